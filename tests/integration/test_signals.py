"""The runner owns the signals of its process, and leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING

import nbformat
import pytest
from running import running, traces, until

from nbpipe.execution.halts import Halt
from nbpipe.execution.notebook import execute_once
from nbpipe.model import Outcome, Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ondisk import Collection
    from running import Traces

    from nbpipe.model import Result

LONG = (
    "print('before', flush=True)",
    "import pathlib, time\npathlib.Path('flag').touch()\ntime.sleep(600)",
    "print('never')",
)

DEAF = """
import pathlib, signal, time
signal.signal(signal.SIGINT, lambda *_: pathlib.Path('interrupted').touch())
pathlib.Path('flag').touch()
while True:
    time.sleep(600)
"""

FAMILY = """
import pathlib, subprocess, sys, time
subprocess.Popen(['sleep', '600'])
detach = 'import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)'
subprocess.run([sys.executable, '-c', detach], check=True)
pathlib.Path('flag').touch()
time.sleep(600)
"""


@pytest.fixture
def left(collection: Collection) -> Iterator[Traces]:
    """Return what runs of this collection leave behind."""
    with traces(collection) as made:
        yield made


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("Ctrl-C", "SIGINT"),
        ("group", "SIGINT"),
        ("SIGINT", "SIGINT"),
        ("SIGTERM", "SIGTERM"),
        ("SIGHUP", "SIGHUP"),
    ],
)
def test_a_signal_interrupts_what_runs_and_starts_nothing_more(
    collection: Collection, left: Traces, how: str, name: str
) -> None:
    collection.notebook("a.ipynb", "print('done')")
    collection.notebook("b.ipynb", *LONG)
    collection.notebook("c.ipynb", "print('never')")
    with running(collection, "-n", "1", terminal=how == "Ctrl-C") as run:
        run.wait_for("flag")
        run.interrupt(how)
        ended = run.ended()
    reason = f"the run was interrupted ({name})"
    assert ended.code == 2
    told = {path: ended[path] for path in ("a.ipynb", "b.ipynb", "c.ipynb")}
    assert {path: each["outcome"] for path, each in told.items()} == {
        "a.ipynb": "passed",
        "b.ipynb": "skipped",
        "c.ipynb": "skipped",
    }
    assert told["b.ipynb"]["reason"] == reason
    assert told["c.ipynb"]["reason"] == f"not started: {reason}"
    assert told["b.ipynb"]["cells"] == {"total": 3, "executed": 2}
    assert ended.executed("b.ipynb").cells[0].outputs[0]["text"] == "before\n"
    assert told["c.ipynb"]["executed"] is None
    assert reason in ended.out
    assert (left.processes(), left.files()) == ([], [])


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_the_second_signal_kills_a_notebook_that_ignores_the_first(
    collection: Collection, left: Traces, how: str
) -> None:
    collection.notebook("deaf.ipynb", "print('before')", DEAF)
    (collection.root / "nbpipe.toml").write_text("[test]\ngrace = 3600\n", encoding="utf-8")
    with running(collection, terminal=how == "Ctrl-C") as run:
        run.wait_for("flag")
        run.interrupt(how)
        run.wait_for("interrupted")
        run.wait_to_say("Once more kills it.")
        assert run.process.poll() is None
        run.interrupt(how)
        ended = run.ended()
    assert (ended.code, ended["deaf.ipynb"]["outcome"]) == (2, "skipped")
    assert ended.executed("deaf.ipynb").cells[0].outputs[0]["text"] == "before\n"
    assert "Again: killing what still runs." in ended.out
    assert (left.processes(), left.files()) == ([], [])


def test_a_notebook_that_ignores_the_interrupt_is_killed_after_the_grace(
    collection: Collection, left: Traces
) -> None:
    collection.notebook("deaf.ipynb", DEAF)
    (collection.root / "nbpipe.toml").write_text("[test]\ngrace = 0.5\n", encoding="utf-8")
    with running(collection) as run:
        run.wait_for("flag")
        run.interrupt("SIGINT")
        ended = run.ended()
    assert (ended.code, ended["deaf.ipynb"]["outcome"]) == (2, "skipped")
    assert left.processes() == []


def test_a_failure_stands_although_its_retry_is_interrupted(
    collection: Collection, left: Traces
) -> None:
    once = "import pathlib, time\nseen = pathlib.Path('seen')\nif not seen.exists():\n"
    collection.notebook(
        "n.ipynb", f"{once}    seen.touch()\n    1 / 0\npathlib.Path('flag').touch()", LONG[1]
    )
    with running(collection, "--retries", "2") as run:
        run.wait_for("flag")
        run.interrupt("SIGINT")
        ended = run.ended()
    assert (ended.code, ended["n.ipynb"]["outcome"]) == (2, "failed")
    assert ended["n.ipynb"]["failure"]["name"] == "ZeroDivisionError"


def test_a_terminal_that_hangs_up_interrupts_the_run_and_copies_are_kept(
    collection: Collection, left: Traces
) -> None:
    collection.notebook("n.ipynb", *LONG)
    with running(collection, terminal=True) as run:
        run.wait_for("flag")
        assert run.terminal is not None
        hung_up, run.terminal = run.terminal, None
        os.close(hung_up)
        run.ended()
    copy = nbformat.read(collection.output_dir / "n.ipynb", as_version=4)
    assert copy.cells[0].outputs[0]["text"] == "before\n"
    assert "end: skipped" in (collection.output_dir / "n.log").read_text(encoding="utf-8")
    assert (left.processes(), left.files()) == ([], [])


def test_sigusr1_tells_what_is_running_and_ends_nothing(collection: Collection) -> None:
    collection.notebook(
        "sub/slow.ipynb",
        "x = 1",
        "import pathlib, time\npathlib.Path('../flag').touch()\n"
        "while not pathlib.Path('../go').exists():\n    time.sleep(0.05)",
        "x = 3",
    )
    with running(collection, "--progress", "none") as run:
        run.wait_for("flag")
        run.process.send_signal(signal.SIGUSR1)
        run.wait_to_say("sub/slow.ipynb")
        run.wait_to_say("cell 2/3")
        assert run.process.poll() is None
        (collection.root / "go").touch()
        ended = run.ended()
    assert "running: 1 notebook\n" in ended.out
    assert (ended.code, ended["sub/slow.ipynb"]["outcome"]) == (0, "passed")


def test_nothing_is_left_after_success_and_failure(collection: Collection, left: Traces) -> None:
    collection.notebook("pass.ipynb", "import subprocess\nsubprocess.Popen(['sleep', '600'])")
    collection.notebook("fail.ipynb", "import subprocess\nsubprocess.Popen(['sleep', '600'])\n1/0")
    collection.notebook("die.ipynb", "import os\nos.kill(os.getpid(), 9)")
    collection.notebook("late.ipynb", "import time\ntime.sleep(600)", execution={"timeout": 1})
    assert collection.test("-n", "2").code == 1
    assert (left.processes(), left.files()) == ([], [])


def test_nothing_is_left_when_the_runner_itself_is_killed(
    collection: Collection, left: Traces
) -> None:
    collection.notebook("n.ipynb", FAMILY)
    with running(collection) as run:
        run.wait_for("flag")
        names = {process.name() for process in left.processes()}
        assert len(left.processes()) >= 5, names  # runner, guard, kernel and two children
        run.process.kill()
        until(lambda: not left.processes(), "the end of the kernel and its children")
    assert left.files() == []


def test_what_is_stopped_while_its_kernel_starts_is_skipped(
    collection: Collection, left: Traces, tmp_path: Path
) -> None:
    spec = tmp_path / "jupyter/kernels/never-answers/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = ["sh", "-c", "touch flag; exec sleep 600"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Never", "language": "none"}))
    collection.environ["JUPYTER_PATH"] = str(tmp_path / "jupyter")
    collection.notebook("n.ipynb", "1")
    with running(collection, "--kernel", "never-answers") as run:
        run.wait_for("flag")
        run.interrupt("SIGINT")
        ended = run.ended()
    assert (ended.code, ended["n.ipynb"]["outcome"]) == (2, "skipped")
    assert (left.processes(), left.files()) == ([], [])


def test_what_is_stopped_before_its_kernel_has_a_process_is_skipped(collection: Collection) -> None:
    file = collection.notebook("n.ipynb", "1")
    task = Task(path="n.ipynb", file=file, why="n.ipynb", kernel="python3", language="python")

    async def stopped() -> Result:
        halt = Halt()
        halt("stopped early")
        return await execute_once(
            task, collection.output_dir, attempt=1, halt=halt, moved=lambda _: None
        )

    result = asyncio.run(stopped())
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "stopped early")
    assert result.cells_executed == 0
