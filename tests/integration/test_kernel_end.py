"""After the last cell: what a kernel still has to do is done, and no kernel waits for nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ondisk import Collection, imported

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are killed on Linux only")

WAYS = ("--fork", "--no-fork")
PROBE = Path(__file__).with_name("fork_probe.py").read_text(encoding="utf-8")

TO_DO = {
    "handler": "import atexit\natexit.register(Path('done').write_text, 'all of it')",
    "file": "stream = open('done', 'w')\nstream.write('all of it')",
    "packed": (
        "import io, gzip\nstream = gzip.open('packed', 'w')\nstream.write(b'all of it')\n"
        "import atexit\natexit.register(lambda: Path('done').write_bytes(b'all of it'))"
    ),
    "thread": (
        "import threading, time\n"
        "def work():\n    time.sleep(0.5)\n    Path('done').write_text('all of it')\n"
        "threading.Thread(target=work).start()"
    ),
    "finalizer": "import weakref\n"
    "class It: pass\nit = It()\nweakref.finalize(it, Path('done').write_text, 'all of it')",
}

NOTHING_TO_DO = (
    "class It:\n    def __del__(self): open('done', 'w').close()\n\nimport sys\nsys.it = It()"
)
"""Python promises nothing about objects that are still there at the end of a process."""


def chosen(collection: Collection, shutdown: str) -> None:
    """Configure how kernels end."""
    text = f'[test]\nshutdown = "{shutdown}"\n'
    (collection.root / "nbpipe.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_to_be_done_at_the_end_is_done(collection: Collection, way: str) -> None:
    for name, code in TO_DO.items():
        collection.notebook(f"{name}/a.ipynb", f"from pathlib import Path\n{code}")
    collection.notebook("failing/a.ipynb", f"from pathlib import Path\n{TO_DO['handler']}", "1 / 0")
    collection.test("-n", "2", way)
    done = {path.parent.name: path.read_text() for path in collection.root.glob("*/done")}
    assert done == dict.fromkeys([*TO_DO, "failing"], "all of it")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("shutdown", "waits"), [("auto", False), ("graceful", True), ("immediate", False)]
)
def test_a_kernel_with_nothing_to_do_is_killed_unless_told_otherwise(
    collection: Collection,
    way: str,
    shutdown: str,
    waits: bool,  # noqa: FBT001
) -> None:
    chosen(collection, shutdown)
    collection.notebook("a/a.ipynb", NOTHING_TO_DO.replace("sys.it", "it"))
    collection.notebook("b/b.ipynb", "1")
    assert collection.test(way).code == 0
    assert (collection.root / "a/done").exists() is waits


@pytest.mark.parametrize("way", WAYS)
def test_a_kernel_that_has_plotted_has_nothing_to_do(collection: Collection, way: str) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    collection.notebook("a.ipynb", plot, NOTHING_TO_DO.replace("sys.it", "it"))
    collection.notebook("b.ipynb", "1")
    assert collection.test(way).code == 0
    assert not (collection.root / "done").exists()


@pytest.mark.parametrize("way", WAYS)
def test_an_immediate_end_does_nothing(collection: Collection, way: str) -> None:
    chosen(collection, "immediate")
    for name, code in TO_DO.items():
        collection.notebook(f"{name}/a.ipynb", f"from pathlib import Path\n{code}")
    assert collection.test("-n", "2", way).code == 0
    done = {path.parent.name: path.read_text() for path in collection.root.glob("*/done")}
    assert {*done} <= {"file"}  # opened by the notebook
    assert not any(done.values())


def test_being_asked_is_not_seen_by_the_notebook(collection: Collection) -> None:
    count = "print(get_ipython().execution_count, len(In), [*Out], _ih)"
    told = []
    for shutdown in ("auto", "immediate"):
        chosen(collection, shutdown)
        for name in ("a", "b"):
            collection.notebook(f"{name}.ipynb", PROBE, count)
        ended = collection.test("-n", "1")
        assert ended.code == 0, ended.out
        cells = ended.executed("b.ipynb").cells
        probe = json.loads(re.sub(r"0x[0-9a-f]+", "0x", cells[0].outputs[1]["text"]))
        aspects = ("modules", "main", "threads", "signals", "garbage", "logging", "warnings")
        told.append(({name: probe[name] for name in aspects}, cells[1].outputs[0]["text"][:3]))
    assert told[0] == told[1]
    assert told[0][1] == "3 3"


@pytest.mark.parametrize("way", WAYS)
def test_coverage_data_is_written(
    collection: Collection, tmp_path: Path, need: Callable[[bool, str], None], way: str
) -> None:
    need(importlib.util.find_spec("coverage") is not None, "coverage")
    site = tmp_path / "site"
    site.mkdir()
    start = "import coverage\ncoverage.process_startup()\n"
    (site / "sitecustomize.py").write_text(start, encoding="utf-8")
    (site / "measured.py").write_text("def twice(x):\n    return 2 * x\n", encoding="utf-8")
    settings = f"[run]\nparallel = true\ndata_file = {tmp_path}/data\nsource = {site}\n"
    (tmp_path / "coveragerc").write_text(settings, encoding="utf-8")
    folders = filter(None, [str(site), os.environ.get("PYTHONPATH")])
    env = {"COVERAGE_PROCESS_START": f"{tmp_path}/coveragerc"}
    collection.environ |= env | {"PYTHONPATH": os.pathsep.join(folders)}
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", "import measured\nmeasured.twice(2)")
    assert collection.test(way).code == 0
    from coverage import CoverageData  # noqa: PLC0415  (not everywhere)

    executed = []
    for file in tmp_path.glob("data.*"):
        data = CoverageData(str(file))
        data.read()
        executed.append(data.lines(str(site / "measured.py")))
    assert executed.count([1, 2]) == 2


@pytest.mark.parametrize("mode", ["--fork", "--no-fork"])
def test_a_kernel_that_dies_right_after_its_last_answer_is_no_pass(
    collection: Collection, mode: str
) -> None:
    late = (
        "import os\ncalls = []\n"
        "def answer(*_):\n"
        "    calls.append(1)\n"
        "    return {} if len(calls) == 1 else os.kill(os.getpid(), 9)\n"
        "get_ipython().user_expressions = answer"
    )
    collection.notebook("a.ipynb", "1", late)
    collection.notebook("b.ipynb", "1")
    ended = collection.test(mode)
    assert ended["a.ipynb"]["outcome"] == "failed"
    failure = ended["a.ipynb"]["failure"]
    assert (failure["category"], failure["cell"]) == ("kernel-died", 1)
    assert ended["b.ipynb"]["outcome"] == "passed"


CHILDREN = {
    "Popen": "import subprocess\nsubprocess.Popen(['sleep', '600'])",
    "spawned process": (
        "import multiprocessing, time\n"
        "multiprocessing.get_context('spawn').Process(target=time.sleep, args=(600,)).start()"
    ),
    "pool": "import multiprocessing\npool = multiprocessing.get_context('spawn').Pool(1)",
    "forked pool": "import multiprocessing\npool = multiprocessing.get_context('fork').Pool(1)",
    "shared memory": (
        "from multiprocessing.shared_memory import SharedMemory\n"
        "shared = SharedMemory(create=True, size=100)"
    ),
    "manager": "import multiprocessing\nmanager = multiprocessing.Manager()",
    "executor": (
        "from concurrent.futures import ProcessPoolExecutor\nexecutor = ProcessPoolExecutor(1)\n"
        "assert executor.submit(abs, -1).result() == 1"
    ),
    "nobody's child": "import subprocess\nsubprocess.Popen(['setsid', 'sleep', '600'])",
    "deaf child": (
        "import subprocess, sys\n"
        "code = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); '\n"
        "deaf = subprocess.Popen([sys.executable, '-c', code + 'time.sleep(600)'], stdout=-1)\n"
        "deaf.stdout.readline()"
    ),
}
"""Child processes that a notebook leaves."""

LIBRARIES = {
    "joblib": "import joblib\nassert joblib.Parallel(2)([joblib.delayed(abs)(-1)]) == [1]",
    "distributed": (
        "from distributed import Client, LocalCluster\n"
        "cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)\n"
        "client = Client(cluster)\nassert client.submit(abs, -1).result() == 1"
    ),
}

HANDLER_AND_FILE = (
    "import atexit, pathlib\n"
    "stream = open('written', 'w')\nstream.write('all of it')\n"
    "atexit.register(pathlib.Path('done').write_text, 'all of it')\n"
)


def in_order(collection: Collection, name: str) -> bool:
    """Return whether what was to be done at the end of a notebook was done, and not by force."""
    folder = collection.root / name
    return all((folder / each).read_text() == "all of it" for each in ("written", "done"))


@pytest.mark.parametrize("way", WAYS)
def test_child_processes_do_not_keep_a_kernel_from_its_end(
    collection: Collection, way: str
) -> None:
    for number, code in enumerate(CHILDREN.values()):
        # registered before and after the library's own
        collection.notebook(f"{number}/before.ipynb", HANDLER_AND_FILE, code)
        collection.notebook(f"{number}-after/after.ipynb", code, HANDLER_AND_FILE)
    ended = collection.test("-n", "2", way)
    assert ended.code == 0, ended.out
    names = [f"{number}{when}" for number in range(len(CHILDREN)) for when in ("", "-after")]
    assert {name: in_order(collection, name) for name in names} == dict.fromkeys(names, True)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_of_processes_is_ended_in_order(collection: Collection, library: str) -> None:
    imported(library)
    collection.notebook("a/a.ipynb", LIBRARIES[library], HANDLER_AND_FILE)
    assert collection.test().code == 0
    assert in_order(collection, "a")


@pytest.mark.parametrize("way", WAYS)
def test_shared_memory_that_a_notebook_forgets_is_freed(collection: Collection, way: str) -> None:
    shared = Path("/dev/shm")  # noqa: S108  (where the system has it, shm_open(3))
    made = (
        "from multiprocessing.shared_memory import SharedMemory\n"
        "shared = SharedMemory(create=True, size=100)\nprint(shared.name)"
    )
    for shutdown in ("auto", "immediate"):
        chosen(collection, shutdown)
        for name in ("a", "b"):
            collection.notebook(f"{name}.ipynb", made)
        ended = collection.test(way)
        assert ended.code == 0
        names = {ended.executed(f"{name}.ipynb").cells[0].outputs[0]["text"] for name in "ab"}
        assert len(names) == 2
        assert {path.name for path in shared.iterdir()} & {name.strip() for name in names} == set()
