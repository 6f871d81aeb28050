"""One notebook never takes the run down: whatever it does, the next one runs and is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from running import running, traces, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ondisk import Collection
    from running import Traces

    Need = Callable[[bool, str], None]

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

CHILD = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"

NAMESAKES = """
import os, psutil
mine = os.getsid(0)
parent = os.getsid(os.getppid())
for process in psutil.process_iter():
    try:
        if 'python' in process.name() and os.getsid(process.pid) in {mine, parent}:
            if process.pid != os.getpid():
                process.kill()
    except (psutil.Error, ProcessLookupError):
        continue
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def left(collection: Collection) -> Iterator[Traces]:
    """Return what runs of this collection leave behind."""
    with traces(collection) as made:
        yield made


@pytest.mark.parametrize(
    "murder",
    [
        "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(600)",
        "import os, time\nos.kill(os.getppid(), 15)\ntime.sleep(600)",
        "import os, time\nos.killpg(os.getpgid(os.getppid()), 9)\ntime.sleep(600)",
        NAMESAKES,
    ],
    ids=["kill -9 parent", "kill parent", "kill -9 group", "namesakes"],
)
def test_a_notebook_that_kills_its_parent_ends_alone(
    collection: Collection, left: Traces, murder: str
) -> None:
    collection.notebook("murder.ipynb", "print('before', flush=True)", CHILD + murder, "1")
    collection.notebook("next.ipynb", "print('fine')")
    ended = collection.test("-n", "1")
    failure = ended["murder.ipynb"]["failure"]
    assert (failure["category"], failure["cell"]) == ("kernel-died", 1)
    assert ended.executed("murder.ipynb").cells[0].outputs[0]["text"] == "before\n"
    assert (ended.code, ended["next.ipynb"]["outcome"]) == (1, "passed")
    assert (left.processes(), left.files()) == ([], [])


def test_a_notebook_that_stops_its_parent_is_ended_by_its_limit(
    collection: Collection, left: Traces
) -> None:
    stop = "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\n"
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)"
    collection.notebook("stop.ipynb", CHILD + stop + deaf, execution={"timeout": 2})
    collection.notebook("next.ipynb", "1")
    (collection.root / "nbpipe.toml").write_text("[test]\ngrace = 1\n", encoding="utf-8")
    ended = collection.test("-n", "1")
    assert ended["stop.ipynb"]["failure"]["category"] == "timeout"
    assert ended["next.ipynb"]["outcome"] == "passed"
    assert left.processes() == []


@pytest.mark.parametrize(
    ("code", "message"),
    [(0, "the kernel died: exit code 0"), (7, "the kernel died: exit code 7")],
)
def test_a_kernel_that_ends_inside_a_cell_has_died_whatever_its_exit_code(
    collection: Collection, code: int, message: str
) -> None:
    said = f"import os\nos.write(2, b'last words')\nos._exit({code})"
    collection.notebook("n.ipynb", "print('before')", said, "1")
    ended = collection.test()
    failure = ended["n.ipynb"]["failure"]
    assert (failure["category"], failure["cell"]) == ("kernel-died", 1)
    assert failure["message"] == message
    assert failure["signature"] == "KernelDied: the kernel died: exit code <n>"
    assert ended["n.ipynb"]["cells"] == {"total": 3, "executed": 2}


@pytest.fixture
def kernelspec(collection: Collection, tmp_path: Path) -> Callable[[list[str]], str]:
    """Return a function that installs a kernel with this command, and returns its name."""

    def install(argv: list[str]) -> str:
        spec = tmp_path / "jupyter/kernels/odd/kernel.json"
        spec.parent.mkdir(parents=True)
        content = {"argv": argv, "display_name": "Odd", "language": "python"}
        spec.write_text(json.dumps(content), encoding="utf-8")
        collection.environ["JUPYTER_PATH"] = str(tmp_path / "jupyter")
        return "odd"

    return install


@pytest.mark.parametrize(
    ("argv", "category", "said"),
    [
        (["sh", "-c", "echo no such environment >&2; exit 3"], "kernel-died", "exit code 3"),
        (["sh", "-c", "echo no such environment >&2; kill -SEGV $$"], "kernel-died", "SIGSEGV"),
        (["sh", "-c", "echo no such environment >&2; sleep 600"], "timeout", "within 2 s"),
    ],
    ids=["exits", "crashes", "never answers"],
)
def test_a_kernel_that_does_not_start_says_why(  # noqa: PLR0913, PLR0917  (a table, two fixtures)
    collection: Collection,
    left: Traces,
    kernelspec: Callable[[list[str]], str],
    argv: list[str],
    category: str,
    said: str,
) -> None:
    collection.notebook("n.ipynb", "1")
    collection.notebook("next.ipynb", "1")
    (collection.root / "nbpipe.toml").write_text(
        f'[[test.overrides]]\npaths = ["n.ipynb"]\nkernel = "{kernelspec(argv)}"\n'
        "[test]\nstartup-timeout = 2\n",
        encoding="utf-8",
    )
    ended = collection.test("-n", "1", "next.ipynb", "n.ipynb")
    failure = ended["n.ipynb"]["failure"]
    assert (failure["category"], failure["name"], failure["cell"]) == (
        category,
        "KernelStart",
        None,
    )
    assert said in failure["message"]
    assert "no such environment" in failure["traceback"]
    assert (left.processes(), left.files()) == ([], [])


TAKES_PORT = """
import json, os, pathlib, socket, sys
connection, folder, spoiled = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
starts = len(list(folder.iterdir()))
(folder / str(starts)).touch()
if starts < spoiled:
    taken = socket.create_server(("127.0.0.1", json.load(open(connection))["shell_port"]))
    taken.set_inheritable(True)
os.execv(sys.executable, [sys.executable, "-m", "ipykernel", "-f", connection])
"""


@pytest.mark.parametrize(("spoiled", "code", "starts"), [(2, 0, 3), (9, 1, 3)])
def test_a_kernel_whose_port_was_taken_is_started_on_another_one(  # noqa: PLR0913, PLR0917
    collection: Collection,
    left: Traces,
    kernelspec: Callable[[list[str]], str],
    tmp_path: Path,
    spoiled: int,
    code: int,
    starts: int,
) -> None:
    counted = tmp_path / "starts"
    counted.mkdir()
    collection.notebook("n.ipynb", "print('once')")
    command = [sys.executable, "-c", TAKES_PORT, "{connection_file}", str(counted), str(spoiled)]
    ended = collection.test("--kernel", kernelspec(command))
    assert (ended.code, len([*counted.iterdir()])) == (code, starts)
    log = (collection.output_dir / "n.log").read_text()
    assert log.count("a port was taken; starting it again") == 2
    if code == 0:
        assert ended.executed("n.ipynb").cells[0].outputs[0].text == "once\n"
    else:
        failure = ended["n.ipynb"]["failure"]
        assert (failure["category"], failure["name"]) == ("kernel-died", "KernelStart")
        assert "Address already in use" in failure["traceback"]
    assert (left.processes(), left.files()) == ([], [])


def test_a_kernel_whose_program_is_not_there_is_told(
    collection: Collection, left: Traces, kernelspec: Callable[[list[str]], str]
) -> None:
    collection.notebook("n.ipynb", "1")
    collection.notebook("next.ipynb", "1")
    name = kernelspec(["/nowhere/bin/python", "-m", "ipykernel_launcher"])
    (collection.root / "nbpipe.toml").write_text(
        f'[[test.overrides]]\npaths = ["n.ipynb"]\nkernel = "{name}"\n', encoding="utf-8"
    )
    ended = collection.test()
    failure = ended["n.ipynb"]["failure"]
    assert failure["category"] == "kernel-missing"
    assert "/nowhere/bin/python cannot be started: No such file" in failure["message"]
    assert ended["next.ipynb"]["outcome"] == "passed"
    assert (left.processes(), left.files()) == ([], [])


def test_a_very_long_temporary_folder_is_no_hindrance(
    collection: Collection, tmp_path: Path
) -> None:
    folder = tmp_path / ("long-" * 30)
    folder.mkdir()
    collection.environ["TMPDIR"] = str(folder)
    collection.notebook("n.ipynb", "print('fine')")
    assert collection.test().code == 0
    assert list(folder.iterdir()) == []


@contextmanager
def small_disk(folder: Path, need: Need) -> Iterator[None]:
    """Make the folder a file system of its own, of 200 kB."""
    need(ROOT and shutil.which("mount") is not None, "mount, as root")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    need(done.returncode == 0, f"a tmpfs ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_a_copy_and_neither_result_nor_run(
    collection: Collection, left: Traces, need: Need
) -> None:
    collection.notebook("a.ipynb", "print('x' * 500_000)")
    collection.notebook("b.ipynb", "print('x' * 500_000)", "1 / 0")
    collection.notebook("c.ipynb", "print('small')")
    with small_disk(collection.output_dir, need):
        ended = collection.test("-n", "1")
        note = "the executed copy could not be written: No space left on device"
        assert (ended["a.ipynb"]["outcome"], ended["a.ipynb"]["executed"]) == ("passed", None)
        assert ended["a.ipynb"]["notes"] == [note]
        assert ended["b.ipynb"]["failure"]["name"] == "ZeroDivisionError"
        assert ended["b.ipynb"]["notes"] == [note]
        assert ended.executed("c.ipynb").cells[0].outputs[0]["text"] == "small\n"
        assert left.files() == []
    assert ended.code == 1
    assert note in ended.out


def test_output_that_finds_no_place_stops_its_notebook_only(
    collection: Collection, need: Need
) -> None:
    collection.notebook("a.ipynb", "for n in range(8):\n    print(str(n) * 1_000_000)")
    collection.notebook("b.ipynb", "print('small')")
    with small_disk(collection.output_dir, need):
        ended = collection.test("-n", "1")
        failure = ended["a.ipynb"]["failure"]
        assert failure["category"] == "output-limit"
        assert "No space left on device" in failure["message"]
        assert ended["b.ipynb"]["outcome"] == "passed"
        assert ended.executed("b.ipynb").cells[0].outputs[0]["text"] == "small\n"


def test_a_notebook_that_may_not_be_read_is_told(collection: Collection, need: Need) -> None:
    need(not ROOT or shutil.which("setpriv") is not None, "setpriv (util-linux)")
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root reads everything
    collection.notebook("open.ipynb", "1")
    collection.notebook("secret.ipynb", "1").chmod(0)
    done = subprocess.run(
        [*(without if ROOT else []), *collection.command()],
        cwd=collection.root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    ended = collection.ended(done.returncode, done.stdout, done.stderr)
    assert ended["secret.ipynb"]["failure"]["category"] == "invalid-notebook"
    assert "Permission denied" in ended["secret.ipynb"]["failure"]["message"]
    assert (ended["open.ipynb"]["outcome"], ended.code) == ("passed", 1)


@contextmanager
def memory_limit(megabytes: int, need: Need) -> Iterator[Path]:
    """Give a control group with so much memory, of either version; processes join its file."""
    v1 = Path("/sys/fs/cgroup/memory")
    v2 = Path("/sys/fs/cgroup")
    base = v1 if v1.is_dir() else v2
    need(ROOT and os.access(base / "cgroup.procs", os.W_OK), "a writable memory control group")
    group = base / f"nbpipe-test-{os.getpid()}"
    names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
    if base is v2:
        controllers = (v2 / "cgroup.subtree_control").read_text(encoding="ascii")
        need("memory" in controllers.split(), "the memory controller of cgroup v2")
        names = ["memory.max", "memory.swap.max"]
    group.mkdir()
    try:
        for name in names:
            swap = name == "memory.swap.max"
            if (group / name).exists():
                (group / name).write_text("0" if swap else str(megabytes * 1_000_000))
        yield group / "cgroup.procs"
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the end of the group's processes")
        group.rmdir()


def test_a_kill_for_memory_is_told_apart_from_a_kill_by_hand(
    collection: Collection, left: Traces, need: Need
) -> None:
    need("oom_kill " in Path("/proc/vmstat").read_text(encoding="ascii"), "oom_kill in vmstat")
    eat = "print('before', flush=True)\ntaken = [bytearray(50_000_000) for n in range(100)]"
    collection.notebook("a.ipynb", eat)
    collection.notebook("b.ipynb", "import os\nos.kill(os.getpid(), 9)")
    collection.notebook("c.ipynb", "print('fine')")
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {eat!r}])"
    collection.notebook("d.ipynb", child, "import os\nos.kill(os.getpid(), 9)")
    with memory_limit(600, need) as group:
        join = ["sh", "-c", f'echo $$ > {group} && exec "$@"', "sh"]
        done = subprocess.run(
            [*join, *collection.command("-n", "1")],
            cwd=collection.root,
            env=os.environ | collection.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        ended = collection.ended(done.returncode, done.stdout, done.stderr)
    told = [ended[f"{name}.ipynb"] for name in "abcd"]
    assert told[0]["failure"]["category"] == "out-of-memory"
    assert told[0]["failure"]["cell"] == 0
    assert ended.executed("a.ipynb").cells[0].outputs[0]["text"] == "before\n"
    assert told[1]["failure"]["category"] == "kernel-died"
    assert "SIGKILL" in told[1]["failure"]["message"]
    assert (told[2]["outcome"], ended.code) == ("passed", 1)
    # that an earlier cell's child was killed for memory says nothing about the kernel
    assert (told[3]["failure"]["category"], told[3]["failure"]["cell"]) == ("kernel-died", 1)
    assert left.processes() == []


def test_a_kernel_killed_from_outside_has_died(collection: Collection, left: Traces) -> None:
    collection.notebook(
        "n.ipynb",
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
        "pathlib.Path('flag').touch()\ntime.sleep(600)",
    )
    with running(collection) as run:
        run.wait_for("flag")
        os.kill(int((collection.root / "pid").read_text(encoding="ascii")), 9)
        ended = run.ended()
    failure = ended["n.ipynb"]["failure"]
    assert failure["category"] == "kernel-died"
    assert failure["message"].startswith("the kernel died: killed by SIGKILL")
    assert (ended.code, left.processes()) == (1, [])


def test_a_folder_that_vanishes_under_a_notebook_is_its_own_trouble(
    collection: Collection,
) -> None:
    collection.notebook("sub/a.ipynb", "import shutil, os\nshutil.rmtree(os.getcwd())")
    collection.notebook("sub/b.ipynb", "1")
    collection.notebook("z.ipynb", "1")
    ended = collection.test("-n", "1")
    assert ended["sub/a.ipynb"]["outcome"] == "passed"
    assert ended["sub/b.ipynb"]["failure"]["category"] == "invalid-notebook"
    assert ended["z.ipynb"]["outcome"] == "passed"
