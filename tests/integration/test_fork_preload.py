"""Modules imported before the fork: shared with the same outputs where that is safe; or refused."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ondisk import REPOSITORY, Collection, imported

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

STACK = ("numpy", "scipy", "pandas", "matplotlib.pyplot", "astropy")

UNFIT = {
    "broken": ("raise OSError('no such data')", "cannot be imported: OSError: no such data"),
    "exits": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "warning": (
        "import warnings\nwarnings.warn('old', UserWarning)",
        "warns while it is imported: old",
    ),
    "printing": ("print('welcome')", "prints while it is imported"),
    "threaded": (
        "import threading as t, time\nt.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "starts a thread of Python",
    ),
    "processes": (
        "import subprocess\nkept = subprocess.Popen(['sleep', '600'])",
        "starts a process",
    ),
    "asking": ("from IPython import get_ipython\nget_ipython()", "asks for the shell"),
    "looking": ("get_ipython().config", "asks for the shell"),
    "logs": (
        "import logging\nlogging.getLogger('logs').addHandler(logging.StreamHandler())",
        "logs to the standard streams of the process",
    ),
}


def preloaded(*names: str) -> list[str]:
    """Return the options that ask for these modules."""
    return [word for name in names for word in ("--preload", name)]


def log(collection: Collection, name: str) -> str:
    """Return a notebook's log."""
    return (collection.output_dir / f"{name}.log").read_text(encoding="utf-8")


@pytest.fixture
def packages(collection: Collection, tmp_path: Path) -> Path:
    """Return a folder from which modules are imported."""
    folder = tmp_path / "packages"
    folder.mkdir()
    folders = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    collection.environ["PYTHONPATH"] = os.pathsep.join(folders)
    return folder


def test_what_cannot_be_shared_is_refused_and_the_rest_is_not(
    collection: Collection, packages: Path
) -> None:
    for name, (code, _) in UNFIT.items():
        (packages / f"{name}.py").write_text(f"{code}\n", encoding="utf-8")
    (packages / "shared.py").write_text("import os\nPID = os.getpid()\n", encoding="utf-8")
    code = "import sys, os\nprint([m for m in sys.modules if m in {names}])\nimport shared\n"
    check = "assert shared.PID != os.getpid()"
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", code.format(names={*UNFIT, "shared"}) + check)
    ended = collection.test(*preloaded(*UNFIT, "shared", "nowhere", "torch.nn"))
    assert ended.code == 0, ended.out
    assert ended.executed("a.ipynb").cells[0].outputs[0]["text"] == "['shared']\n"
    text = log(collection, "a") + log(collection, "b")
    assert "not forked" not in text
    for name, (_, why) in UNFIT.items():
        assert text.count(f"not preloaded: {name}: {why}") == 2
    assert text.count("not preloaded: torch.nn: may use a GPU") == 2
    assert text.count("not preloaded: nowhere: cannot be imported: ModuleNotFoundError") == 2


def test_a_handler_of_a_preloaded_module_is_called_at_the_end_of_every_kernel(
    collection: Collection, packages: Path
) -> None:
    code = "import atexit, pathlib\natexit.register(lambda: pathlib.Path('done').touch())\n"
    (packages / "orderly.py").write_text(code, encoding="utf-8")
    for name in ("a", "b"):
        collection.notebook(f"{name}/{name}.ipynb", "import orderly")
    assert collection.test(*preloaded("orderly")).code == 0
    assert [(collection.root / name / "done").exists() for name in ("a", "b")] == [True, True]
    assert "not forked" not in log(collection, "a/a")


def test_a_notebook_beside_a_module_of_that_name_is_spawned(
    collection: Collection, packages: Path
) -> None:
    (packages / "twice.py").write_text("WHOSE = 'installed'\n", encoding="utf-8")
    for name in ("a", "b"):
        collection.notebook(f"{name}/{name}.ipynb", "import twice")
    (collection.root / "b/twice.py").write_text("WHOSE = 'own'\n", encoding="utf-8")
    assert collection.test(*preloaded("twice")).code == 0
    assert "not forked" not in log(collection, "a/a")
    assert "twice.py is imported by a kernel's start" in log(collection, "b/b")


def test_the_numbers_of_numpy_differ_and_its_threads_work(collection: Collection) -> None:
    imported("numpy")
    code = (
        "import sys\nassert 'numpy' in sys.modules\nimport numpy as np\n"
        "print(np.random.rand(), np.random.default_rng().random())\n"
        "a = np.ones((600, 600))\nassert (a @ a).sum() == 600.0 ** 3"
    )
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", code)
    ended = collection.test(*preloaded("numpy"))
    assert ended.code == 0, ended.out
    texts = [ended.executed(f"{n}.ipynb").cells[0].outputs[0]["text"].split() for n in ("a", "b")]
    assert len({*texts[0], *texts[1]}) == 4
    assert "not preloaded" not in log(collection, "a")


def outputs(collection: Collection) -> dict[str, list[Any]]:
    """Return the outputs of every notebook, images included, without addresses in memory."""
    ended = collection.ended(0)
    assert ended.report is not None
    found = {}
    for each in ended.report["notebooks"]:
        cells = ended.executed(each["path"]).cells
        text = [cell.get("outputs") for cell in cells if cell.cell_type == "code"]
        found[each["path"]] = [re.sub(r"(?<=table)\d{9,}|0x[0-9a-f]+", "0x", str(o)) for o in text]
    return found


@pytest.mark.skipif(
    not os.environ.get("NBPIPE_LONG"), reason="takes minutes; NBPIPE_LONG=1 runs it"
)
def test_the_shipped_collection_has_the_same_outputs_spawned_forked_and_preloaded(
    tmp_path: Path,
) -> None:
    imported("astropy")
    shipped = REPOSITORY / "collections"
    ways = {"spawned": ["--no-fork"], "forked": ["--fork"], "preloaded": preloaded(*STACK)}
    told = {}
    for way, options in ways.items():
        collection = Collection(shipped, tmp_path / way)
        ended = collection.test("--config", str(shipped / "nbpipe.toml"), *options)
        assert ended.code == 0, ended.out
        told[way] = outputs(collection)
    assert sum("image/png" in text for text in map(str, told["spawned"].values())) > 10
    assert told["forked"] == told["spawned"]
    assert told["preloaded"] == told["spawned"]
    logs = "".join(path.read_text() for path in (tmp_path / "preloaded").rglob("*.log"))
    assert "not preloaded" not in logs
