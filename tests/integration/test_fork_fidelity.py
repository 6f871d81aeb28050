"""A forked kernel is what a spawned one is: to the notebook, to the report, to the machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ondisk import Collection
from running import traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from running import Traces

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

PROBE = Path(__file__).with_name("fork_probe.py").read_text(encoding="utf-8")

KNOWN = {
    "outermost frames": "the frames of the server's own module, which no process can leave",
    "kernel's own threads": "debugpy, imported before they start, has taken a number for itself",
    "first environment": "JPY_PARENT_PID is the runner, as a process's first environment stays",
}
"""What may differ, and why; beside one hash seed and one layout of the memory for a server."""

SERVER = "psutil.Process().parents()[1]"


@pytest.fixture
def left(collection: Collection) -> Iterator[Traces]:
    """Return what runs of this collection leave behind."""
    with traces(collection) as made:
        yield made


@pytest.fixture
def log(collection: Collection) -> Callable[[str], str]:
    """Return a function that returns a notebook's log."""

    def read(name: str) -> str:
        return (collection.output_dir / f"{name}.log").read_text(encoding="utf-8")

    return read


def normalised(text: str) -> str:
    """Return a text without what differs from one kernel to the next."""
    text = re.sub(r"nbpipe-\w{8}/", "nbpipe-/", text)
    text = re.sub(r"NBPIPE_KERNEL=[0-9a-f-]{36}", "NBPIPE_KERNEL=", text)
    return re.sub(r"0x[0-9a-f]+", "0x", re.sub(r"/ipykernel_\d+", "/ipykernel", text))


def said(collection: Collection, way: str) -> list[dict[str, Any]]:
    """Return what two kernels say of themselves."""
    for name in ("one", "two"):
        collection.notebook(f"{name}.ipynb", PROBE)
    ended = collection.test("-n", "1", way)
    assert ended.code == 0, ended.out
    texts = [ended.executed(f"{name}.ipynb").cells[0].outputs[1]["text"] for name in ("one", "two")]
    return [json.loads(normalised(text)) for text in texts]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Return what forked and spawned kernels in the same folder say of themselves."""
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "collection").mkdir()
    collection = Collection(folder / "collection", folder / "output")
    forked = said(collection, "--fork")
    assert "not forked" not in (folder / "output/two.log").read_text(encoding="utf-8")
    spawned = said(collection, "--no-fork")
    assert "not forked" in (folder / "output/two.log").read_text(encoding="utf-8")
    return {"forked": forked, "spawned": spawned}


ASPECTS = (
    *("arguments", "command line", "descriptors", "environment", "executable", "flags", "folder"),
    *("garbage", "hooks", "importers", "interpreter", "limits", "locale", "logging", "main"),
    *("mode of files", "modules", "multiprocessing", "new thread", "parent", "path", "priority"),
    *("session", "signals", "streams", "subprocess", "threads", "warnings"),
)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_forked_kernel_is_like_a_spawned_one(
    kernels: dict[str, list[dict[str, Any]]], aspect: str
) -> None:
    forked, spawned = kernels["forked"][1], kernels["spawned"][1]
    assert forked[aspect] == spawned[aspect]


def test_what_differs_is_known(kernels: dict[str, list[dict[str, Any]]]) -> None:
    forked, spawned = kernels["forked"][1], kernels["spawned"][1]
    assert {*forked} == {*spawned} == {*ASPECTS, *KNOWN, "random"}
    differing = {aspect for aspect in forked if forked[aspect] != spawned[aspect]}
    assert differing <= {*KNOWN, "random"}
    assert forked["outermost frames"] == ["<string>:<module>"] * 2 + spawned["outermost frames"]


def test_no_two_kernels_of_a_server_have_the_same_random_numbers(
    kernels: dict[str, list[dict[str, Any]]],
) -> None:
    one, two = (kernel["random"] for kernel in kernels["forked"])
    assert {name for name in one if one[name] == two[name]} == set()
    assert {*one} == {"random", "uuid", "tempfile", "secrets", "authkey", "numpy"}


def test_every_end_is_reported_in_the_same_way(collection: Collection) -> None:
    ends = {
        "segfault": "import ctypes\nctypes.string_at(0)",
        "abort": "import os\nos.abort()",
        "exit": "import os\nos._exit(3)",
        "sys-exit": "import sys\nsys.exit(0)",
        "sys-exit-2": "import sys\nsys.exit(2)",
        "quit": "exit()",
        "killed": "import os\nos.kill(os.getpid(), 9)",
        "error": "1 / 0",
        "stderr": "import sys\nprint('to stderr', file=sys.stderr)",
        "raw": "import os\nos.write(2, b'said by itself')",
    }
    for name, code in ends.items():
        collection.notebook(f"{name}.ipynb", code)
    collection.notebook("slow.ipynb", "while True: pass", execution={"timeout": 1})
    told = {}
    for way in ("--fork", "--no-fork"):
        ended = collection.test("-n", "2", way)
        told[way] = [
            (name, ended[f"{name}.ipynb"]["outcome"], ended[f"{name}.ipynb"]["failure"])
            for name in (*ends, "slow")
        ]
    assert told["--fork"] == told["--no-fork"]
    assert told["--fork"][0][2]["message"] == "the kernel died: killed by SIGSEGV"


def test_kill_9_of_the_server_harms_no_notebook(
    collection: Collection, left: Traces, log: Callable[[str], str]
) -> None:
    kill = f"import psutil\nserver = {SERVER}\nassert 'CONTROL' in str(server.cmdline())\n"
    wait = "server.kill()\nwhile server.status() != 'zombie': pass"
    collection.notebook("a.ipynb", kill + wait, "1")
    collection.notebook("b.ipynb", "1")
    collection.notebook("c.ipynb", "1")
    ended = collection.test("-n", "1", "--fork")
    assert [ended[f"{name}.ipynb"]["outcome"] for name in "abc"] == ["passed"] * 3
    assert "kernel not forked: the fork server ended (exit code -9)" in log("b")
    assert "kernel not forked: the fork server ended (exit code -9)" in log("c")
    assert (left.processes(), left.files()) == ([], [])


def test_kernels_of_one_server_run_at_the_same_time(collection: Collection) -> None:
    meet = (
        "import pathlib, time\npathlib.Path('{0}.flag').touch()\n"
        "deadline = time.monotonic() + 100\n"
        "while not pathlib.Path('{1}.flag').exists():\n"
        "    assert time.monotonic() < deadline\n    time.sleep(0.05)"
    )
    collection.notebook("one.ipynb", meet.format("one", "two"))
    collection.notebook("two.ipynb", meet.format("two", "one"))
    assert collection.test("-n", "2", "--fork").code == 0


@pytest.fixture
def kernelspec(collection: Collection, tmp_path: Path) -> Callable[..., str]:
    """Return a function that installs a kernel with this command, and returns its name."""

    def install(argv: list[str], **env: str) -> str:
        spec = tmp_path / "jupyter/kernels/other/kernel.json"
        spec.parent.mkdir(parents=True)
        content = {"argv": argv, "display_name": "Other", "language": "python", "env": env}
        spec.write_text(json.dumps(content), encoding="utf-8")
        collection.environ["JUPYTER_PATH"] = str(tmp_path / "jupyter")
        return "other"

    return install


def named(kernel: str) -> dict[str, str]:
    """Return a notebook's word for its kernel."""
    return {"name": kernel, "display_name": "Other"}


LAUNCH = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


def test_two_interpreters_have_a_server_each(
    collection: Collection,
    kernelspec: Callable[..., str],
    tmp_path: Path,
    log: Callable[[str], str],
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    packages = sysconfig.get_path("purelib")
    name = kernelspec([python, "-Xfrozen_modules=off", *LAUNCH], PYTHONPATH=packages)
    who = "import sys\nprint(sys.executable, sys._xoptions, sys.prefix != sys.base_prefix)"
    for number in range(2):
        collection.notebook(f"own{number}.ipynb", who)
        collection.notebook(f"other{number}.ipynb", who, kernelspec=named(name))
    ended = collection.test("-n", "2", "--fork")
    for number in range(2):
        outputs = ended.executed(f"other{number}.ipynb").cells[0].outputs
        assert outputs[0]["text"] == f"{python} {{'frozen_modules': 'off'}} True\n"
        outputs = ended.executed(f"own{number}.ipynb").cells[0].outputs
        assert outputs[0]["text"].startswith(f"{sys.executable} {{}} ")
        assert "not forked" not in log(f"other{number}") + log(f"own{number}")


def test_another_command_is_spawned(
    collection: Collection, kernelspec: Callable[..., str], log: Callable[[str], str]
) -> None:
    code = "from ipykernel.kernelapp import main; main()"
    name = kernelspec([sys.executable, "-c", code, "-f", "{connection_file}"])
    collection.notebook("a.ipynb", "1", kernelspec=named(name))
    collection.notebook("b.ipynb", "1", kernelspec=named(name))
    assert collection.test("--fork").code == 0
    assert "kernel not forked: not the plain command of ipykernel" in log("b")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PYTHONPATH", "lib", "a PYTHONPATH with a relative folder"),
        ("PYTHONPATH", "/usr:", "a PYTHONPATH with a relative folder"),
        ("PYTHONINSPECT", "1", "PYTHONINSPECT"),
    ],
)
def test_an_unusual_environment_is_spawned(  # noqa: PLR0913, PLR0917
    collection: Collection,
    kernelspec: Callable[..., str],
    log: Callable[[str], str],
    name: str,
    value: str,
    reason: str,
) -> None:
    kernel = kernelspec([sys.executable, *LAUNCH], **{name: value})
    collection.notebook("a.ipynb", "1", kernelspec=named(kernel))
    collection.notebook("b.ipynb", "1", kernelspec=named(kernel))
    collection.test("--fork")
    assert f"kernel not forked: the environment has {reason}" in log("a")


def test_a_module_beside_the_notebook_that_the_start_would_take_is_taken(
    collection: Collection, log: Callable[[str], str]
) -> None:
    own = "from ipykernel import kernelapp\nkernelapp.OWN = True\nkernelapp.launch_new_instance()\n"
    (collection.root / "ipykernel_launcher.py").write_text(own, encoding="utf-8")
    collection.notebook("a.ipynb", "from ipykernel import kernelapp\nassert kernelapp.OWN")
    collection.notebook("below/b.ipynb", "1")
    assert collection.test("-n", "1", "--fork").code == 0
    assert "ipykernel_launcher.py is imported by a kernel's start" in log("a")
    assert "not forked" not in log("below/b")


def test_new_packages_are_seen_by_the_next_notebook(
    collection: Collection, tmp_path: Path, log: Callable[[str], str]
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    collection.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(packages), os.environ.get("PYTHONPATH")])
    )
    install = f"open('{packages}/newly.py', 'w').write('NEW = True')"
    server = f"import psutil\nprint({SERVER}.pid)"
    collection.notebook("a.ipynb", server, install)
    collection.notebook("b.ipynb", server, "import newly\nassert newly.NEW")
    ended = collection.test("-n", "1", "--fork")
    assert ended.code == 0
    servers = {ended.executed(f"{name}.ipynb").cells[0].outputs[0]["text"] for name in "ab"}
    assert len(servers) == 2
    assert "not forked" not in log("a") + log("b")
