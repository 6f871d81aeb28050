"""What runs inside a job: reads `job.json`, executes notebooks, writes what became of them.

Started by the constant script job.sh as `python -m nbpipe.batch.job FOLDER`. Everything that
differs between jobs is in the folder; nothing comes from the scheduler but the signal before the
limit, on which the notebook is interrupted and its partial copy kept. `result.json` appears last
and whole: where it is missing, the job did not get so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
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
from nbpipe.batch import children
from nbpipe.batch.inventory import inventory
from nbpipe.batch.stop import OUTLIVE_SECONDS, Stopping, was_killed
from nbpipe.config.settings import Settings
from nbpipe.errors import ExitCode, NbpipeError, UsageError
from nbpipe.model import Category, Outcome
from nbpipe.prepare import RunOptions, prepare
from nbpipe.reference import recorder, store
from nbpipe.reports.json import document
from nbpipe.system import interpreters

if TYPE_CHECKING:
    from nbpipe.config import Config
    from nbpipe.model import Plan, Progress, Result, Run

FORMAT = 1
TOLD_TO_STOP = 143
"""The exit code of a job that ended because it was told to (128 + SIGTERM)."""


@dataclass
class Timing:
    """When each cell began, and prints that into the job's log."""

    folder: Path
    """The run's."""
    began: list[tuple[int, float]] = field(default_factory=list)
    """Number among the code cells, from 1, and seconds of the monotonic clock."""
    ended: float = 0.0

    def started(self, progress: Progress) -> None:
        """A notebook starts."""
        _say(f"starting {progress.task.path} on {progress.task.kernel}")

    def moved(self, progress: Progress) -> None:
        """It reached another cell."""
        if progress.cell and (not self.began or self.began[-1][0] != progress.cell):
            if not self.began:  # now there is a kernel
                with contextlib.suppress(OSError):
                    children.note_sessions(self.folder, os.environ)
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
    stopping = Stopping.begun()
    clock = time.monotonic()
    job = store.read_json(folder / "job.json")
    if job.get("format") != FORMAT:
        _say(f"{folder}/job.json: format {job.get('format')} is not known to this nbpipe")
        return ExitCode.INTERNAL_ERROR
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
    if stopping.signal is None:
        # What was submitted past the recorder, before the scheduler forgets who submitted it. The
        # result is there already, whatever becomes of this.
        with contextlib.suppress(NbpipeError, OSError):
            children.search_from_within(folder)
    return int(answer["exit_code"])


def _reference(folder: Path, job: dict[str, Any], stopping: Stopping) -> dict[str, Any]:
    """Execute one notebook in the copy of its collection; return what is worth keeping."""
    work = folder / "work"
    _check_roots(job.get("roots", {}))
    with contextlib.suppress(OSError):
        children.note_origin(folder, os.environ)
        recorder.fit(folder, os.environ)
    os.environ.update(recorder.environment(folder, os.environ))
    if not (folder / "inputs.json").exists():
        # Only before the first attempt: what that one left is a product of the run, too.
        before = inventory(work, job.get("roots", {}), store=folder.parents[2])
        store.write_json(folder / "inputs.json", before)
    plan = _plan(work, job)
    timing = Timing(folder)
    order = runner.Order(plan=plan, run_id=folder.name, jobs=1, output_dir=folder / "executed")
    order.output_dir.mkdir(exist_ok=True)
    ran = asyncio.run(_run(order, timing, stopping, job.get("seconds")))
    result = ran.results[0]
    if was_killed(result):
        time.sleep(OUTLIVE_SECONDS)
    return {
        "exit_code": int(_code(ran)),
        "out_of_memory": any(each.category is Category.OUT_OF_MEMORY for each in result.failures),
        "report": document(ran),
        "cells": timing.cells(),
        "packages": _packages(result.kernel),
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
    options = RunOptions(
        selection=collecting.Selection(cwd=where, patterns=(job["notebook"],)),
        replaced=job.get("settings", {}),
        added={"parameters": job["parameters"]},
    )
    return prepare(options, options.applied(_config(work, job.get("config"))))


def _config(work: Path, name: str | None) -> Config:
    if name is not None:
        file = work / name
        return config.load(file.parent, file=file)
    return config.Config(root=work, file=None, settings=Settings(), given=frozenset())


def _code(ran: Run) -> ExitCode:
    passed = all(each.outcome in {Outcome.PASSED, Outcome.FLAKY} for each in ran.results)
    return ExitCode.OK if passed else ExitCode.FAILED


def _check_roots(roots: dict[str, str]) -> None:
    """Refuse to begin what could not leave its products.

    Raises:
        UsageError: A root is not there on this host, or cannot be written.
    """
    for name, path in roots.items():
        if not (os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)):  # noqa: PTH112
            raise UsageError(
                f"root {name}: {path}: cannot be written on {socket.gethostname()}",
                hint="Name a folder that all hosts of the job see.",
            )


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


_LIST = f"""
import json, sys
from importlib.metadata import distributions
found = {{}}
for each in distributions():
    name = (each.metadata["Name"] or "").lower().replace("_", "-")
    if name:
        found.setdefault(name, each.version or "")
found = {{"python": sys.version.split()[0], **dict(sorted(found.items()))}}
print({interpreters.MARK!r}, json.dumps(found))
"""
_SECONDS = 60


def _packages(name: str) -> dict[str, str]:
    """Return name -> version for a Python kernel; {} for any other, or one that cannot say."""
    kernel = collecting.installed_kernels().get(name)
    if kernel is None or kernel.language != "python":
        return {}
    try:
        answer = interpreters.ask(
            [kernel.interpreter or sys.executable], _LIST, environ=os.environ, patience=_SECONDS
        )
        return {str(key): str(value) for key, value in json.loads(answer).items()}
    except (interpreters.NoAnswerError, ValueError):
        return {}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
