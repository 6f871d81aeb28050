"""Deliberately broken notebooks: each gets its category, and the run goes to its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema
import psutil
import pytest
from ondisk import Collection

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Ended

JULIA = {"kernelspec": {"name": "julia-9.9", "display_name": "Julia", "language": "julia"}}

NOTEBOOKS: dict[str, tuple[Any, ...]] = {
    "good.ipynb": ("1 + 1", "print('hello')"),
    "exception.ipynb": ("x = 1", "def f():\n    return 1 / 0\nf()", "print('never')"),
    "package.ipynb": ("import nosuchpackage.part",),
    "file.ipynb": ("open('nosuch.txt')",),
    "network.ipynb": ("import urllib.request\nurllib.request.urlopen('http://data.invalid/x')",),
    "network2.ipynb": ("from urllib.request import urlopen\nurlopen('http://data.invalid/y?n=2')",),
    "input.ipynb": ("name = input('name? ')",),
    "timeout.ipynb": ("print('before', flush=True)\nimport time\ntime.sleep(600)",),
    "stubborn.ipynb": (
        "import signal, time",
        "ignored = signal.SIGINT",  # ipykernel forgets it with the cell
        "signal.signal(ignored, signal.SIG_IGN)\nprint('before', flush=True)\ntime.sleep(600)",
    ),
    "shell.ipynb": ("!sleep 600",),
    "segfault.ipynb": ("import ctypes\nctypes.string_at(0)",),
    "suicide.ipynb": ("import os\nos.kill(os.getpid(), 9)",),
    "parricide.ipynb": ("import os\nos.killpg(os.getpgid(os.getppid()), 9)",),
    "group.ipynb": ("import os\nos.killpg(0, 9)",),
    "vanish.ipynb": ("import os\nos._exit(0)",),
    "memory.ipynb": ("raise MemoryError",),
    "flood.ipynb": ("while True:\n    print('x' * 1000)",),
    "exit3.ipynb": ("import sys\nsys.exit(3)",),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a run of all of them."""
    folder = tmp_path_factory.mktemp("broken")
    made = Collection(folder / "collection", folder / "output")
    for path, cells in NOTEBOOKS.items():
        made.notebook(path, *cells)
    made.notebook("kernel.ipynb", "1", **JULIA)
    (made.root / "json.ipynb").write_text("{this is not JSON", encoding="utf-8")
    (made.root / "empty.ipynb").write_bytes(b"")
    (made.root / "dangling.ipynb").symlink_to("nowhere.ipynb")
    (made.root / "nbpipe.toml").write_text(
        '[[test.overrides]]\npaths = ["timeout.ipynb", "stubborn.ipynb", "shell.ipynb"]\n'
        "timeout = 5\n[test]\ngrace = 3\noutput-limit = 5\n",
        encoding="utf-8",
    )
    return made.test("-n", "2", "--progress", "plain")


@pytest.mark.parametrize(
    ("path", "category", "name", "cell"),
    [
        ("exception.ipynb", "exception", "ZeroDivisionError", 1),
        ("package.ipynb", "missing-package", "ModuleNotFoundError", 0),
        ("file.ipynb", "missing-file", "FileNotFoundError", 0),
        ("network.ipynb", "network", "URLError", 0),
        ("input.ipynb", "asks-for-input", "StdinNotImplementedError", 0),
        ("timeout.ipynb", "timeout", "CellTimeout", 0),
        ("stubborn.ipynb", "timeout", "CellTimeout", 2),
        ("shell.ipynb", "timeout", "CellTimeout", 0),
        ("segfault.ipynb", "kernel-died", "KernelDied", 0),
        ("suicide.ipynb", "kernel-died", "KernelDied", 0),
        ("parricide.ipynb", "kernel-died", "KernelDied", 0),
        ("group.ipynb", "kernel-died", "KernelDied", 0),
        ("vanish.ipynb", "kernel-died", "KernelDied", 0),
        ("memory.ipynb", "out-of-memory", "MemoryError", 0),
        ("flood.ipynb", "output-limit", "OutputLimit", 0),
        ("exit3.ipynb", "exception", "SystemExit", 0),
        ("kernel.ipynb", "kernel-missing", "NoSuchKernel", None),
        ("json.ipynb", "invalid-notebook", "JSONDecodeError", None),
        ("empty.ipynb", "invalid-notebook", "EmptyFile", None),
        ("dangling.ipynb", "invalid-notebook", "FileNotFoundError", None),
    ],
)
def test_a_broken_notebook_gets_its_category(
    ended: Ended, path: str, category: str, name: str, cell: int | None
) -> None:
    told = ended[path]
    assert told["outcome"] == "failed"
    failure = told["failure"]
    assert (failure["category"], failure["name"], failure["cell"]) == (category, name, cell)


def test_the_run_goes_to_its_end_and_its_exit_code_is_1(ended: Ended) -> None:
    assert ended.code == 1
    assert ended.report is not None
    assert ended.report["summary"] == {
        "total": 22,
        "passed": 1,
        "failed": 21,
        "flaky": 0,
        "skipped": 0,
    }


def test_the_report_is_what_its_schema_says(ended: Ended, schema: dict[str, Any]) -> None:
    jsonschema.validate(ended.report, schema)


def test_signatures_hold_no_number_address_path_or_time(ended: Ended) -> None:
    assert ended.report is not None
    for each in ended.report["notebooks"]:
        if each["failure"] and each["failure"]["category"] != "kernel-missing":
            assert not re.search(r"\d|/", each["failure"]["signature"]), each


def test_failures_of_one_cause_stand_together_in_the_summary(ended: Ended) -> None:
    assert ended["network.ipynb"]["failure"]["signature"] == "ConnectionError to data.invalid"
    assert ended["network2.ipynb"]["failure"]["signature"] == "ConnectionError to data.invalid"
    assert "2 notebooks: ConnectionError to data.invalid" in ended.out


def test_what_ran_before_a_timeout_is_kept(ended: Ended) -> None:
    for path in ("timeout.ipynb", "stubborn.ipynb"):
        assert ended.executed(path).cells[-1].outputs[0]["text"] == "before\n"


def test_cells_before_the_failure_were_executed_and_those_after_were_not(ended: Ended) -> None:
    assert ended["exception.ipynb"]["cells"] == {"total": 3, "executed": 2}
    counts = [cell.execution_count for cell in ended.executed("exception.ipynb").cells]
    assert counts == [1, 2, None]


def test_a_timeout_says_what_was_done_about_it_and_is_one_cause(ended: Ended) -> None:
    timeout, stubborn = (ended[path]["failure"] for path in ("timeout.ipynb", "stubborn.ipynb"))
    assert timeout["message"] == "the cell ran for more than 5 s and was interrupted"
    assert stubborn["message"] == "the cell ran for more than 5 s and was interrupted and killed"
    assert timeout["signature"] == "CellTimeout: the cell ran for more than <n> s"
    assert stubborn["signature"] == timeout["signature"]


def test_a_crash_says_by_which_signal(ended: Ended) -> None:
    assert ended["segfault.ipynb"]["failure"]["message"] == "the kernel died: killed by SIGSEGV"


def test_a_flood_is_stopped_at_its_limit_and_what_came_before_is_kept(ended: Ended) -> None:
    copy = ended.output_dir / ended["flood.ipynb"]["executed"]
    assert 4_000_000 < copy.stat().st_size < 6_000_000


def test_every_notebook_has_its_log(ended: Ended) -> None:
    assert ended.report is not None
    for each in ended.report["notebooks"]:
        if each["attempts"]:
            log = (ended.output_dir / each["log"]).read_text(encoding="utf-8")
            assert f"end: {each['outcome']}" in log


def test_sources_are_not_touched(ended: Ended, tmp_path: Path) -> None:
    names = {path.name for path in ended.output_dir.parent.joinpath("collection").iterdir()}
    assert names == {*NOTEBOOKS, "kernel.ipynb", "json.ipynb", "empty.ipynb"} | {
        "dangling.ipynb",
        "nbpipe.toml",
    }


def test_nothing_of_a_notebook_runs_on(ended: Ended) -> None:
    left = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(ended.output_dir.parent)):
                left.append(process.cmdline())
        except psutil.Error:
            continue
    assert left == []


def test_a_file_that_vanishes_before_its_turn_is_told(collection: Collection) -> None:
    collection.notebook("a.ipynb", "import os\nos.remove('b.ipynb')")
    collection.notebook("b.ipynb", "1")
    ended = collection.test("-n", "1")
    assert ended["a.ipynb"]["outcome"] == "passed"
    assert ended["b.ipynb"]["failure"]["category"] == "invalid-notebook"
    assert "No such file" in ended["b.ipynb"]["failure"]["message"]


def test_output_that_the_kernel_cannot_send_is_noted(collection: Collection) -> None:
    collection.notebook("n.ipynb", r'print("\ud800")')
    told = collection.test()["n.ipynb"]
    assert (told["outcome"], len(told["notes"])) == ("passed", 1)
    assert told["notes"][0].startswith("messages of the kernel that were lost: 1; ")
    assert told["notes"][0].endswith(
        "or text that is not UTF-8 (see the log): the executed copy lacks output"
    )
