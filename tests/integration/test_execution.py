"""What a notebook may ask for, and what it gets: tags, metadata, parameters, prerun, retries."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import psutil
import pytest
from nbformat import v4
from ondisk import Collection, imported

if TYPE_CHECKING:
    from collections.abc import Callable

RAISES = {"tags": ["raises-exception"]}
R = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
BASH = {"kernelspec": {"name": "bash", "display_name": "Bash", "language": "bash"}}


def printed(cell: Any) -> str:  # noqa: ANN401
    return "".join(output["text"] for output in cell.outputs if output.output_type == "stream")


def test_each_notebook_gets_a_fresh_kernel_in_its_own_folder(collection: Collection) -> None:
    for folder in ("a", "b"):
        collection.notebook(
            f"{folder}/n.ipynb",
            "import os\nprint(os.path.basename(os.getcwd()), 'leaked' in globals())\nleaked = 1",
        )
    ended = collection.test()
    assert printed(ended.executed("a/n.ipynb").cells[0]) == "a False\n"
    assert printed(ended.executed("b/n.ipynb").cells[0]) == "b False\n"
    assert (ended.code, ended.err.count("PASSED")) == (0, 2)


def test_notebooks_really_run_at_the_same_time(collection: Collection) -> None:
    meet = (
        "import pathlib, time\npathlib.Path('{own}').touch()\n"
        "while not pathlib.Path('{other}').exists():\n    time.sleep(0.05)"
    )
    collection.notebook("a.ipynb", meet.format(own="here-a", other="here-b"))
    collection.notebook("b.ipynb", meet.format(own="here-b", other="here-a"))
    assert collection.test("-n", "2", "--timeout", "60").code == 0


def test_the_tags_and_comments_of_peers_are_honoured(collection: Collection) -> None:
    collection.notebook(
        "tags.ipynb",
        ("1 / 0", RAISES),
        ("1 / 0", {"tags": ["nbval-raises-exception"]}),
        "# NBVAL_RAISES_EXCEPTION\n1 / 0",
        ("1 / 0", {"tags": ["skip-execution"]}),
        ("1 / 0", {"tags": ["nbval-skip"]}),
        "# NBVAL_SKIP\n1 / 0",
        ("hidden = 1", {"tags": ["remove-cell", "hide_input"]}),
        "assert hidden",
    )
    ended = collection.test()
    told = ended["tags.ipynb"]
    assert (told["outcome"], told["notes"]) == ("passed", [])
    counts = [cell.execution_count for cell in ended.executed("tags.ipynb").cells]
    assert counts == [1, 2, 3, None, None, None, 4, 5]


def test_a_cell_that_was_to_raise_and_did_not_is_noted(collection: Collection) -> None:
    collection.notebook("n.ipynb", ("1 / 1", RAISES))
    told = collection.test()["n.ipynb"]
    assert told["outcome"] == "passed"
    assert told["notes"] == ["cells[0] is tagged raises-exception and did not raise"]


def test_nbmakes_mocks_are_said_not_to_be_supported(collection: Collection) -> None:
    collection.notebook("n.ipynb", ("x = 1", {"nbmake": {"mock": {"x": 2}}}))
    ended = collection.test()
    assert "nbmake's `mock` is not supported" in ended["n.ipynb"]["notes"][0]
    assert "nbmake's `mock` is not supported" in ended.out


@pytest.mark.parametrize(
    "metadata",
    [
        {"execution": {"allow_errors": True}},
        {"nbsphinx": {"allow_errors": True}},
        {"mystnb": {"execution_allow_errors": True}},
    ],
)
def test_metadata_can_allow_errors(collection: Collection, metadata: dict[str, Any]) -> None:
    collection.notebook("n.ipynb", "1 / 0", "print('after')", **metadata)
    ended = collection.test()
    assert ended["n.ipynb"]["outcome"] == "passed"
    assert printed(ended.executed("n.ipynb").cells[1]) == "after\n"


def test_metadata_can_set_the_time_for_a_cell(collection: Collection) -> None:
    collection.notebook("n.ipynb", "import time\ntime.sleep(600)", execution={"timeout": 1})
    failure = collection.test()["n.ipynb"]["failure"]
    assert failure["category"] == "timeout"
    assert failure["message"] == "the cell ran for more than 1 s and was interrupted"


def test_metadata_can_forbid_the_execution(collection: Collection) -> None:
    collection.notebook("n.ipynb", "1 / 0", nbsphinx={"execute": "never"})
    told = collection.test()["n.ipynb"]
    assert told["outcome"] == "skipped"
    assert "nbsphinx" in told["reason"]


def test_a_whole_notebook_has_a_limit_too(collection: Collection) -> None:
    collection.notebook("n.ipynb", "print('kept')", *["import time\ntime.sleep(2)"] * 60)
    ended = collection.test("--notebook-timeout", "8")
    failure = ended["n.ipynb"]["failure"]
    assert (failure["category"], failure["name"]) == ("timeout", "NotebookTimeout")
    assert failure["cell"] >= 1
    assert printed(ended.executed("n.ipynb").cells[0]) == "kept\n"


def test_all_errors_are_reported_on_request(collection: Collection) -> None:
    collection.notebook("n.ipynb", "1 / 0", "x = 1", "import nosuchpackage")
    told = collection.test("--all-errors")["n.ipynb"]
    assert [failure["cell"] for failure in told["failures"]] == [0, 2]
    assert told["failure"] == told["failures"][0]
    assert told["cells"] == {"total": 3, "executed": 3}


@pytest.mark.parametrize("ending", ["sys.exit()", "sys.exit(0)", "raise SystemExit", "exit()"])
def test_a_notebook_may_end_itself(collection: Collection, ending: str) -> None:
    collection.notebook("n.ipynb", f"import sys\n{ending}", "1 / 0")
    told = collection.test()["n.ipynb"]
    assert told["outcome"] == "passed"
    assert told["notes"] == ["cells[0] ended the notebook; code cells not executed: 1"]


def test_an_error_output_counts_although_the_reply_says_ok(collection: Collection) -> None:
    shown = (
        "from IPython import get_ipython\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    get_ipython().showtraceback()"
    )
    collection.notebook("n.ipynb", shown)
    collection.notebook("tagged.ipynb", (shown, RAISES))
    ended = collection.test()
    assert ended["n.ipynb"]["failure"]["name"] == "ZeroDivisionError"
    assert ended["tagged.ipynb"]["outcome"] == "passed"


def test_what_a_thread_prints_after_its_cell_is_kept(collection: Collection) -> None:
    late = "import threading\nt = threading.Timer(0.5, print, ['late'])\nt.start()"
    collection.notebook("n.ipynb", late, "t.join()\nimport time\ntime.sleep(0.5)")
    cells = collection.test().executed("n.ipynb").cells
    assert "".join(map(printed, cells)) == "late\n"


def test_parameters_are_typed_and_go_where_papermill_puts_them(collection: Collection) -> None:
    collection.notebook(
        "n.ipynb", "first = 1", ("n = 1\nx = 'a'", {"tags": ["parameters"]}), "print(n, x, l, b)"
    )
    file = collection.root / "p.yaml"
    file.write_text("l: [1, two]\nn: 5\n", encoding="utf-8")
    ended = collection.test(
        "-p", "n", "7", "-p", "x", "7 apples", "-p", "b", "True", "--parameters-file", "p.yaml"
    )
    copy = ended.executed("n.ipynb")
    assert copy.cells[2].metadata.tags == ["injected-parameters"]
    assert printed(copy.cells[3]) == "7 7 apples [1, 'two'] True\n"


def test_dates_are_passed_as_text_from_toml_and_from_yaml(collection: Collection) -> None:
    collection.notebook("n.ipynb", ("a = b = c = 0", {"tags": ["parameters"]}), "print(a, b, c)")
    (collection.root / "p.yaml").write_text("b: 2026-01-31 12:00\n", encoding="utf-8")
    (collection.root / "nbpipe.toml").write_text(
        "[test.parameters]\na = 2026-01-31\nc = {days = [2026-01-31T12:00:00]}\n", encoding="utf-8"
    )
    copy = collection.test("--parameters-file", "p.yaml").executed("n.ipynb")
    expected = "2026-01-31 2026-01-31 12:00 {'days': ['2026-01-31T12:00:00']}\n"
    assert printed(copy.cells[2]) == expected


def test_a_failure_after_injected_cells_names_the_cell_of_the_source(
    collection: Collection,
) -> None:
    (collection.root / "pre.py").write_text("ready = True\n", encoding="utf-8")
    collection.notebook("n.ipynb", ("n = 1", {"tags": ["parameters"]}), "assert ready", "1 / 0")
    told = collection.test("--prerun", "pre.py", "-p", "n", "2")["n.ipynb"]
    assert told["failure"]["cell"] == 2
    assert told["cells"] == {"total": 3, "executed": 3}


@pytest.mark.parametrize("source", ["raise SystemExit(0)", "exit()"])
def test_a_prerun_that_exits_is_no_pass(collection: Collection, source: str) -> None:
    collection.notebook("n.ipynb", "1 / 0")
    (collection.root / "pre.py").write_text(source, encoding="utf-8")
    told = collection.test("--prerun", "pre.py")["n.ipynb"]
    assert (told["outcome"], told["cells"]) == ("failed", {"total": 1, "executed": 0})
    assert (told["failure"]["name"], told["failure"]["cell"]) == ("SystemExit", None)


def test_a_failure_in_the_prerun_is_in_no_cell(collection: Collection) -> None:
    (collection.root / "pre.py").write_text("import nosuchpackage\n", encoding="utf-8")
    collection.notebook("n.ipynb", "1")
    failure = collection.test("--prerun", "pre.py")["n.ipynb"]["failure"]
    assert (failure["cell"], failure["category"]) == (None, "missing-package")


def test_a_retry_that_passes_is_flaky(collection: Collection) -> None:
    collection.notebook(
        "n.ipynb",
        "import pathlib\nseen = pathlib.Path('seen')\nfirst = not seen.exists()\nseen.touch()",
        "assert not first, 'not yet'",
    )
    ended = collection.test("--retries", "2")
    told = ended["n.ipynb"]
    assert (ended.code, told["outcome"], told["attempts"]) == (0, "flaky", 2)
    assert told["failure"]["message"] == "not yet"
    assert (collection.output_dir / "n.ipynb").exists()
    assert told["executed"] == "n.attempt-2.ipynb"
    first, second = told["attempts_made"]
    assert (first["outcome"], first["executed"]) == ("failed", "n.ipynb")
    assert (first["failure"]["message"], second["failure"]) == ("not yet", None)
    assert (second["outcome"], second["executed"]) == ("passed", "n.attempt-2.ipynb")
    assert first["started"] <= second["started"]
    copy = str(collection.output_dir / "n.ipynb")
    assert copy in ended.out, "the copy in which the failing cell can be seen"
    (collection.root / "seen").unlink()
    assert collection.test("--retries", "2", "--flaky", "fail").code == 1


def test_nothing_is_started_after_maxfail(collection: Collection) -> None:
    for name in "abc":
        collection.notebook(f"{name}.ipynb", "1 / 0")
    ended = collection.test("-x", "-n", "1")
    outcomes = [ended[f"{name}.ipynb"]["outcome"] for name in "abc"]
    assert outcomes == ["failed", "skipped", "skipped"]
    assert ended["c.ipynb"]["reason"] == "not started: 1 failed (--maxfail 1)"


def test_children_that_detach_themselves_end_with_their_notebook(collection: Collection) -> None:
    daemon = (
        "import subprocess, sys\n"
        "code = 'import os, time\\nos.setsid()\\nif os.fork(): os._exit(0)\\ntime.sleep(600)'\n"
        "p = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        "p.wait()"
    )
    collection.notebook("n.ipynb", daemon)
    assert collection.test()["n.ipynb"]["outcome"] == "passed"
    assert [p for p in psutil.process_iter() if _cwd(p).startswith(str(collection.root))] == []


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


@pytest.mark.parametrize("minor", [2, 3])
def test_notebooks_of_older_formats_are_executed(collection: Collection, minor: int) -> None:
    cell = {"cell_type": "code", "language": "python", "input": ["print(6 * 7)"], "outputs": []}
    document = {
        "nbformat": minor,
        "nbformat_minor": 0,
        "metadata": {"name": "old"},
        "worksheets": [{"cells": [cell]}],
    }
    path = collection.root / "old.ipynb"
    path.write_text(json.dumps(document), encoding="utf-8")
    ended = collection.test()
    assert ended["old.ipynb"]["outcome"] == "passed"
    assert printed(ended.executed("old.ipynb").cells[0]) == "42\n"
    assert json.loads(path.read_text(encoding="utf-8")) == document


def test_what_nbformat_calls_invalid_is_executed_all_the_same(collection: Collection) -> None:
    cells = [
        {"cell_type": "code", "source": "x = 1", "surprise": 1},
        {"cell_type": "code", "source": ["print(", "x)"], "metadata": None, "id": "!!"},
        {"cell_type": "markdown"},
    ]
    document = {"nbformat": 4, "nbformat_minor": 5, "cells": cells, "metadata": {"kernelspec": 7}}
    (collection.root / "n.ipynb").write_text(json.dumps(document), encoding="utf-8")
    ended = collection.test()
    assert ended["n.ipynb"]["outcome"] == "passed", ended["n.ipynb"]


def test_a_text_notebook_is_executed_and_its_copy_is_a_notebook(collection: Collection) -> None:
    imported("jupytext")
    header = "---\njupytext:\n  formats: md:myst\nkernelspec:\n  name: python3\n---\n"
    text = f"{header}\n# Title\n\n```{{code-cell}}\nprint('from text')\n```\n"
    (collection.root / "page.md").write_text(text, encoding="utf-8")
    ended = collection.test()
    assert ended["page.md"]["executed"] == "page.md.ipynb"
    assert printed(ended.executed("page.md").cells[1]) == "from text\n"


def test_the_copy_is_a_valid_notebook_written_as_jupyter_does(collection: Collection) -> None:
    plot = "from IPython.display import HTML\nprint('é🙂')\nHTML('<b>x</b>\\n<i>y</i>')"
    collection.notebook("n.ipynb", plot)
    ended = collection.test()
    path = ended.output_dir / "n.ipynb"
    copy = nbformat.read(path, as_version=4)
    nbformat.validate(copy)
    assert path.read_text(encoding="utf-8") == v4.writes(copy) + "\n"


def test_widgets_keep_their_state_and_do_not_stall(collection: Collection) -> None:
    imported("ipywidgets")
    collection.notebook(
        "n.ipynb",
        "from ipywidgets import interactive\nshown = interactive(lambda n: print(n), n=3)\nshown",
        "shown.children[0].value = 5",
        "print([output['text'] for output in shown.out.outputs])",
    )
    ended = collection.test("--timeout", "60")
    assert ended["n.ipynb"]["outcome"] == "passed"
    assert "application/vnd.jupyter.widget-state+json" in ended.executed("n.ipynb").metadata.widgets


def test_an_r_notebook_runs_and_its_errors_have_their_categories(
    collection: Collection, need: Callable[[bool, str], None]
) -> None:
    need(_kernel("ir"), "the R kernel (apt-get install r-cran-irkernel)")
    collection.notebook("good.ipynb", "x <- c(1, 2)\ncat(mean(x))", **R)
    collection.notebook("stop.ipynb", "f <- function() stop('wrong number 12')\nf()", **R)
    collection.notebook("package.ipynb", "library(nosuchpackage)", **R)
    collection.notebook("file.ipynb", "read.csv('nosuch.csv')", **R)
    collection.notebook("input.ipynb", "readline('name? ')", **R)
    collection.notebook("param.ipynb", ("n <- 1", {"tags": ["parameters"]}), "cat(n + 1)", **R)
    ended = collection.test("-n", "2", "-p", "n", "4")
    assert printed(ended.executed("good.ipynb").cells[1]) == "1.5"
    assert printed(ended.executed("param.ipynb").cells[2]) == "5"
    told = {
        path: (ended[path]["failure"]["category"], ended[path]["failure"]["signature"])
        for path in ("stop.ipynb", "package.ipynb", "file.ipynb", "input.ipynb")
    }
    assert told["stop.ipynb"] == ("exception", "Error: wrong number <n>")
    assert told["package.ipynb"][0] == "missing-package"
    assert told["file.ipynb"][0] == "missing-file"
    assert told["input.ipynb"][0] == "asks-for-input"


def test_a_bash_notebook_runs_and_its_errors_have_their_categories(
    collection: Collection, need: Callable[[bool, str], None]
) -> None:
    need(_kernel("bash"), "the bash kernel (pip install bash_kernel)")
    collection.notebook("good.ipynb", "x=hello", "echo $x", **BASH)
    collection.notebook("command.ipynb", "nosuchcommand", **BASH)
    collection.notebook("file.ipynb", "cat nosuch.txt", **BASH)
    collection.notebook("false.ipynb", "false", **BASH)
    ended = collection.test("-n", "2")
    assert printed(ended.executed("good.ipynb").cells[1]).strip() == "hello"
    told = {path: ended[path]["failure"] for path in ("command.ipynb", "file.ipynb", "false.ipynb")}
    assert told["command.ipynb"]["category"] == "missing-package"
    assert "nosuchcommand: command not found" in told["command.ipynb"]["message"]
    assert told["file.ipynb"]["category"] == "missing-file"
    assert told["false.ipynb"]["message"] == "exit status 1"


def _kernel(name: str) -> bool:
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415

    return name in KernelSpecManager().find_kernel_specs()


def test_a_second_python_environment_is_its_own_kernel(
    collection: Collection, tmp_path: Path, need: Callable[[bool, str], None]
) -> None:
    need(shutil.which("python3") is not None, "python3")
    environment = tmp_path / "environment"
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", environment],
        check=True,
        capture_output=True,
    )
    python = environment / "bin/python"
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    paths = next(environment.glob("lib/python*/site-packages"))
    (paths / "outer.pth").write_text(f"{site}\n", encoding="utf-8")
    (paths / "only_here.py").write_text("answer = 42\n", encoding="utf-8")
    kernels = tmp_path / "jupyter"
    subprocess.run(
        [python, "-m", "ipykernel", "install", "--prefix", kernels, "--name", "site-2.2"],
        check=True,
        capture_output=True,
    )
    collection.environ["JUPYTER_PATH"] = str(kernels / "share/jupyter")
    site_kernel = {"kernelspec": {"name": "site-2.2", "display_name": "s", "language": "python"}}
    collection.notebook("site.ipynb", "import only_here, sys\nprint(sys.prefix)", **site_kernel)
    collection.notebook("plain.ipynb", "import only_here")
    ended = collection.test()
    assert printed(ended.executed("site.ipynb").cells[0]) == f"{environment}\n"
    assert ended["site.ipynb"]["kernel"] == "site-2.2"
    assert ended["plain.ipynb"]["failure"]["category"] == "missing-package"


def test_what_a_kernel_drops_is_counted_and_told(collection: Collection) -> None:
    collection.notebook(
        "n.ipynb", "for n in range(10_000):\n    display({'text/plain': str(n)}, raw=True)"
    )
    ended = collection.test()
    kept = len(ended.executed("n.ipynb").cells[0].outputs)
    notes = ended["n.ipynb"]["notes"]
    if kept == 10_000:
        assert notes == []
    else:
        lost = int(notes[0].removeprefix("messages of the kernel that were lost: ").split(";")[0])
        assert kept + lost >= 10_000
