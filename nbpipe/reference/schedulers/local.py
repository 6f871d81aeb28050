"""This machine as a scheduler: background processes with limits, that survive their submitter.

Each job has a folder below the state directory: `request.json` (written before anything starts),
`state.json` (written by its guard, see `local_guard`), `guard.lock` (held by the guard for as
long as it lives, so that a guard that was killed is told from one that works) and `cancel`. There
is no daemon: the guards themselves take turns for the machine's cores.
"""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.reference import spelling
from nbpipe.reference.errors import SchedulerOutage, SubmissionRefused
from nbpipe.reference.schedulers import wishes
from nbpipe.reference.schedulers.local_files import held, read, write
from nbpipe.reference.schedulers.protocol import Accounting, JobRequest, JobState, JobStatus, Traits
from nbpipe.system import machine, private

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_START = 60.0
"""Seconds for a guard to start."""


class Local:
    """Background processes on this machine."""

    name = "local"
    traits = Traits(
        warning=signal.SIGTERM, dependencies="success", arrays=True, evidence="real daemons"
    )

    def __init__(
        self,
        root: Path | None = None,
        cores: int | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the folder of its jobs.

        Args:
            root: By default in the user's state directory.
            cores: As many are given out at the same time; by default the machine's.
            now: The clock that jobs' ids begin with, seconds since 1970.
        """
        self._root = root or _state_directory()
        self._cores = cores or machine.cores()
        self._now = now

    def submit(self, request: JobRequest) -> str:
        """Start a job's guard; return the job's id (see `Scheduler`)."""
        (job,) = self._submit(request, None, None)
        return job

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Start the guards of `count` tasks; return their ids (see `Scheduler`)."""
        return self._submit(request, count, at_once)

    def _submit(
        self, request: JobRequest, count: int | None, at_once: int | None
    ) -> tuple[str, ...]:
        wishes.check("local", request.profile)
        cores = request.profile.cores * request.profile.nodes
        if cores > self._cores or request.profile.nodes > 1:
            raise SubmissionRefused(
                f"local: {cores} cores on {request.profile.nodes} machines are asked for, "
                f"this one gives {self._cores}",
                hint="Choose a smaller profile (see `nbpipe profiles`).",
            )
        base = f"{int(self._now() * 1000)}{secrets.randbelow(1000):03}"
        jobs = []
        for index in range(1, (count or 1) + 1):
            job = f"{base}_{index}" if count else base
            folder = self._root / job
            private.make_folder(folder.parent)
            folder.mkdir(mode=0o700)
            write(
                folder / "request.json", self._described(request, index if count else None, at_once)
            )
            self._start(folder)
            jobs.append(job)
        return tuple(jobs)

    def _described(
        self, request: JobRequest, index: int | None, at_once: int | None
    ) -> dict[str, Any]:
        profile = request.profile
        suffix = f".{index}" if index else ""
        return {
            "name": request.name,
            "command": list(request.command),
            "folder": str(request.folder),
            "stdout": f"{request.stdout}{suffix}",
            "stderr": f"{request.stderr}{suffix}",
            "cores": profile.cores,
            "memory": profile.node_memory,
            "walltime": profile.walltime,
            "grace": request.grace,
            "after": list(request.after),
            "index": index,
            "at_once": at_once,
            "slots": self._cores,
            "host": socket.gethostname(),
            "submitted": self._now(),
        }

    def _start(self, folder: Path) -> None:
        """Start the guard; it has the lock when this returns."""
        command = [sys.executable, "-P", "-m", "nbpipe.reference.schedulers.local_guard"]
        try:
            done = subprocess.run(
                [*command, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_START,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SchedulerOutage(
                f"local: {folder}: the guard did not start in {_START:g} seconds",
                hint="The machine may be overloaded.",
            ) from error
        if done.returncode != 0:
            raise SubmissionRefused(
                f"local: {folder}: the guard did not start: {done.stderr.decode(errors='replace')}",
                hint="Is the folder writable?",
            )

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return the jobs whose guard lives, and those that it saw end (see `Scheduler`)."""
        found = {}
        for job in jobs:
            folder = self._folder(job)
            alive = held(folder / "guard.lock") if self._here(folder) else None
            state = read(folder / "state.json")  # after the lock: its last word, if it has ended
            if state.get("ended") or (state and alive is not False):
                said = JobState(state.get("state", "pending"))
                found[job] = JobStatus(
                    id=job, state=said, said=said, reason=state.get("reason", "")
                )
        return found

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what the guards wrote down of jobs that ended (see `Scheduler`)."""
        found: dict[str, tuple[Accounting, ...]] = {}
        for job in jobs:
            state = read(self._folder(job) / "state.json")
            if state.get("ended"):
                request = read(self._folder(job) / "request.json")
                found[job] = (_record(job, state, request),)
        return found

    def cancel(self, jobs: Collection[str]) -> None:
        """Leave the wish where each guard looks for it (see `Scheduler`)."""
        for job in jobs:
            if (folder := self._folder(job)).is_dir():
                (folder / "cancel").touch()

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        spelling.job_name(name)
        requests = sorted(self._root.glob("*/request.json"))
        return tuple(each.parent.name for each in requests if read(each).get("name") == name)

    def _folder(self, job: str) -> Path:
        return self._root / spelling.job_id(job)

    def _here(self, folder: Path) -> bool:
        """Return whether the job is this host's; of another's lock nothing can be said."""
        return read(folder / "request.json").get("host") == socket.gethostname()


def _record(job: str, state: dict[str, Any], request: dict[str, Any]) -> Accounting:
    started = state.get("started")
    elapsed = max(0.0, state["ended"] - started) if started else 0.0
    cores = int(request.get("cores", 1))
    return Accounting(
        id=job,
        state=JobState(state["state"]),
        said=state.get("reason", ""),
        exit_code=state.get("exit_code"),
        signal=state.get("signal"),
        submitted=_moment(request.get("submitted")),
        started=_moment(started),
        ended=_moment(state["ended"]),
        elapsed=elapsed,
        cores=cores,
        core_seconds=elapsed * cores,
        cpu_seconds=state.get("cpu_seconds"),
        peak_memory=state.get("peak_memory"),
        requested_memory=request.get("memory"),
        hosts=str(request.get("host", "")),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _state_directory() -> Path:
    import platformdirs  # noqa: PLC0415  (only where no folder is given)

    return Path(platformdirs.user_state_path("nbpipe")) / "jobs"
