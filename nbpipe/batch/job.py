"""What runs inside a job: reads `job.json`, executes notebooks, writes what became of them.

Started by the constant script job.sh as `python -m nbpipe.batch.job FOLDER`. Everything that
differs between jobs is in the folder; nothing comes from the scheduler but the signal before the
limit, on which the notebook is interrupted and its partial copy kept. `result.json` appears last
and whole: where it is missing, the job did not get so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe import collecting, config, runner
from nbpipe.batch import exchange, packages, worker
from nbpipe.batch.stopping import OUTLIVE_SECONDS, Stopping, was_killed
from nbpipe.errors import ExitCode, NbpipeError
from nbpipe.model import Category, Outcome
from nbpipe.reference import store
from nbpipe.reports import json_report
from nbpipe.settings import Settings

if TYPE_CHECKING:
    from nbpipe.config import Config
    from nbpipe.model import Plan, Progress, Result, Run

FORMAT = 1
PARENT = "NBPIPE_PARENT"
"""The id of a process that the job must not outlive, where there is one."""
TOLD_TO_STOP = 143
"""The exit code of a job that ended because it was told to (128 + SIGTERM)."""


@dataclass
class Timing:
    """When each cell began, and prints that into the job's log."""

    began: list[tuple[int, float]] = field(default_factory=list)
    """Number among the code cells, from 1, and seconds of the monotonic clock."""
    ended: float = 0.0

    def started(self, progress: Progress) -> None:
        """A notebook starts."""
        _say(f"starting {progress.task.path} on {progress.task.kernel}")

    def moved(self, progress: Progress) -> None:
        """It reached another cell."""
        if progress.cell and (not self.began or self.began[-1][0] != progress.cell):
            self.began.append((progress.cell, time.monotonic()))
            _say(f"cell {progress.cell} of {progress.cells}")

    def finished(self, result: Result) -> None:
        """It has its result."""
        self.ended = time.monotonic()
        _say(str(result))

    def cells(self) -> list[dict[str, Any]]:
        """Return the seconds of each cell, by its number among the code cells."""
        if not self.began:  # it could not be started
            return []
        ends = [moment for _, moment in self.began[1:]] + [self.ended or time.monotonic()]
        return [
            {"number": number, "seconds": round(end - moment, 3)}
            for (number, moment), end in zip(self.began, ends, strict=True)
        ]


def main(folder: Path) -> int:
    """Run the job in a folder; return its exit code."""
    stopping = Stopping()
    stopping.install()
    _die_with(os.environ.pop(PARENT, None))
    clock = time.monotonic()
    job = store.read_json(folder / "job.json")
    if job.get("format") != (exchange.FORMAT if job.get("kind") == "worker" else FORMAT):
        _say(f"{folder}/job.json: format {job.get('format')} is not known to this nbpipe")
        return ExitCode.INTERNAL_ERROR
    if job["kind"] == "worker":
        return worker.main(folder, stopping)
    (folder / "result.json").unlink(missing_ok=True)  # of an attempt that was queued again
    answer: dict[str, Any] = {"format": FORMAT, "started": datetime.now(UTC).isoformat()}
    try:
        answer |= _reference(folder, job, stopping)
    except NbpipeError as error:
        answer |= {"exit_code": int(error.exit_code), "error": str(error)}
        _say(str(error))
    except Exception as error:  # noqa: BLE001  (the boundary of a job; told in its result)
        import traceback  # noqa: PLC0415

        traceback.print_exc()
        answer |= {"exit_code": int(ExitCode.INTERNAL_ERROR), "error": repr(error)}
    if stopping.signal is not None:
        answer |= {"exit_code": TOLD_TO_STOP, "stopped_by": stopping.signal}
    store.write_json(
        folder / "result.json",
        {**answer, "elapsed": round(time.monotonic() - clock, 3), **_host()},
    )
    return int(answer["exit_code"])


def _die_with(parent: str | None) -> None:
    """Ask the system for a signal when the parent dies; Linux only, elsewhere nothing."""
    if parent is None or not sys.platform.startswith("linux"):
        return
    import ctypes  # noqa: PLC0415

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG of linux/prctl.h
    if os.getppid() != int(parent):  # it died before
        os.kill(os.getpid(), signal.SIGTERM)


def _reference(folder: Path, job: dict[str, Any], stopping: Stopping) -> dict[str, Any]:
    """Execute one notebook in the copy of its collection; return what is worth keeping."""
    work = folder / "work"
    os.environ["NBPIPE_CHILDREN"] = str(folder / "children")
    os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if not (folder / "inputs.json").exists():
        # Only before the first attempt: what that one left is a product of the run, too.
        store.write_json(folder / "inputs.json", inventory(work))
    plan = _plan(work, job)
    timing = Timing()
    order = runner.Order(plan=plan, run_id=folder.name, jobs=1, output_dir=folder / "executed")
    order.output_dir.mkdir(exist_ok=True)
    ran = asyncio.run(_run(order, timing, stopping, job.get("seconds")))
    result = ran.results[0]
    if was_killed(result):
        time.sleep(OUTLIVE_SECONDS)
    return {
        "exit_code": int(_code(ran)),
        "out_of_memory": any(each.category is Category.OUT_OF_MEMORY for each in result.failures),
        "report": json_report.document(ran),
        "cells": timing.cells(),
        "packages": packages.of_kernel(result.kernel),
        "peak_memory_bytes": _peak(),
    }


async def _run(
    order: runner.Order, timing: Timing, stopping: Stopping, seconds: float | None
) -> Run:
    """Run the notebook; a scheduler that does not warn has left us the seconds until its limit."""
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stopping, int(signal.SIGTERM))
    with stopping.listening():
        return await runner.run(order, timing, on_start=stopping.around)


def _plan(work: Path, job: dict[str, Any]) -> Plan:
    """Return the plan for the one notebook, by the collection's own configuration."""
    where = (work / job["cwd"]).resolve()
    settings = _config(work, job.get("config"))
    test = settings.settings.test
    changes = {**test.parameters, **job["parameters"]}
    merged = _replaced(settings, parameters=changes, **job.get("settings", {}))
    selection = collecting.Selection(cwd=where, patterns=(job["notebook"],))
    return collecting.plan(selection, merged, kernels=collecting.installed_kernels())


def _config(work: Path, name: str | None) -> Config:
    if name is not None:
        file = work / name
        return config.load(file.parent, file=file)
    return config.Config(root=work, file=None, settings=Settings(), given=frozenset())


def _replaced(settings: Config, **changes: Any) -> Config:  # noqa: ANN401  (settings' values)
    import dataclasses  # noqa: PLC0415

    import msgspec  # noqa: PLC0415

    test = msgspec.structs.replace(settings.settings.test, **changes)
    whole = msgspec.structs.replace(settings.settings, test=test)
    return dataclasses.replace(settings, settings=whole)


def _code(ran: Run) -> ExitCode:
    passed = all(each.outcome in {Outcome.PASSED, Outcome.FLAKY} for each in ran.results)
    return ExitCode.OK if passed else ExitCode.FAILED


def inventory(folder: Path) -> dict[str, Any]:
    """Return size and time of every file below a folder, to see later which are new."""
    found: dict[str, Any] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(OSError):
                state = path.lstat()
                key = os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")
                found[key] = [state.st_size, state.st_mtime_ns]
    return found


def _peak() -> int:
    """Return bytes: the most that one of the processes held; what the scheduler says is better."""
    import resource  # noqa: PLC0415

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _host() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "ended": datetime.now(UTC).isoformat(),
    }


def _say(text: str) -> None:
    now = datetime.now(UTC)
    line = f"{now:%Y-%m-%d %H:%M:%S} nbpipe: {text}\n"
    with contextlib.suppress(OSError):
        sys.stdout.write(line.encode(errors="backslashreplace").decode())
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
