"""Grid Engine (Son of, Altair, Some of): qsub, qstat, qacct, qdel.

What its accounting cannot tell, nobody else can: a job that was deleted and one that killed itself
both end with signal 9 (only whoever asked for the deletion knows), and a job over h_vmem sees
its allocations fail and ends as it likes. `s_rt` sends SIGUSR1 to the process group of the job,
not only to its script. Source: the manual pages of Son of Grid Engine 8.1.9 (qsub, accounting,
sge_status), and what its daemons really answer (tests/integration/test_gridengine.py).
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbpipe.reference import spelling
from nbpipe.reference.schedulers import groups, splitting
from nbpipe.reference.schedulers.programs import Programs
from nbpipe.reference.schedulers.protocol import (
    Accounting,
    JobRequest,
    JobState,
    JobStatus,
    Traits,
    batches,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_OUTAGE = r"commlib|unable to (?:send|contact|receive)|got \w+ error|qmaster|can't get"
_NOT_FOUND = r"job (?:id|name) .* not found"
_LIMIT, _AFTER_JOB = 37, 100
_SIGNALLED = 128
"""An exit status above this means a signal, as in the shell."""
_AGAIN = {24, 25}
"""`failed`: the job migrates, is rescheduled."""
_NODE = {19, 21, 22}
"""`failed`: the execution daemon found a job without an exit status."""
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MONTHS = {name: number for number, name in enumerate(
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
)}  # fmt: skip


class GridEngine:
    """Grid Engine, through its own programs."""

    name = "gridengine"
    traits = Traits(
        warning=signal.SIGUSR1, dependencies="end", arrays=True, evidence="real daemons"
    )

    def __init__(self, environ: Mapping[str, str] | None = None, timeout: float = 60.0) -> None:
        self._programs = Programs(
            self.name,
            environ={"SGE_SINGLE_LINE": "1", **(os.environ if environ is None else environ)},
            timeout=timeout,
            outage=_OUTAGE,
        )

    def submit(self, request: JobRequest) -> str:
        """Submit a job; return its id (see `Scheduler`)."""
        out = self._programs.submit("qsub", *options(request), *request.command)
        job = out.splitlines()[-1].strip() if out else ""  # a site's wrapper may say more before
        if not job.isdigit():
            raise self._programs.unreadable("qsub", out)
        return job

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Submit tasks 1 to `count`; return their ids (see `Scheduler`)."""
        said = splitting.answer(self._programs, "qconf", "-sconf")
        most = splitting.number(said, r"^max_aj_tasks\s+(\d+)")
        return splitting.in_parts(
            self, request, count, most=most, at_once=at_once, submit=self._array
        )

    def _array(self, request: JobRequest, count: int, at_once: int | None) -> tuple[str, ...]:
        array = ["-t", f"1-{count}", *(["-tc", str(at_once)] if at_once else [])]
        arguments = [*options(request, suffix=".$TASK_ID"), *array, *request.command]
        out = self._programs.submit("qsub", *arguments)
        job = (out.splitlines() or [""])[-1].strip().partition(".")[0]
        if not job.isdigit():
            raise self._programs.unreadable("qsub", out)
        return tuple(f"{job}.{index}" for index in range(1, count + 1))

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what qstat knows of these jobs (see `Scheduler`)."""
        wanted = [job for batch in batches(jobs) for job in batch]
        found = groups.queued(wanted, queue(self._queue()), ".")
        return {job: self._explained(status) for job, status in found.items()}

    def _queue(self) -> list[tuple[str, str, str]]:
        """Return what qstat knows of all jobs of this user: one question, however many jobs."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        text = self._programs.ask("qstat", "-xml", "-g", "d", "-u", user)
        try:
            return list(entries(text))
        except ET.ParseError as error:
            raise self._programs.unreadable("qstat", text) from error

    def _explained(self, status: JobStatus) -> JobStatus:
        """Return a job that cannot be started with the reason."""
        if status.state is not JobState.FAILED:
            return status
        text = self._programs.call("qstat", "-j", status.id.partition(".")[0]).out
        reason = re.search(r"^error reason\s+\d+:\s*(.*)$", text, re.MULTILINE)
        words = reason[1] if reason else "it is in the error state"
        return JobStatus(id=status.id, state=status.state, said=status.said, reason=words)

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what qacct knows of these jobs (see `Scheduler`)."""
        wanted = [job for batch in batches(jobs) for job in batch]
        found: dict[str, list[Accounting]] = {}
        for number in dict.fromkeys(job.partition(".")[0] for job in wanted):
            text = self._programs.ask("qacct", "-j", number, nothing=_NOT_FOUND)
            for record in records(text):
                found.setdefault(record.id, []).append(record)
        known = {job: tuple(each) for job, each in found.items()}
        return groups.accounted(wanted, known, ".")

    def cancel(self, jobs: Collection[str]) -> None:
        """Delete these jobs (see `Scheduler`)."""
        for batch in batches(jobs):
            self._programs.ask("qdel", *batch, nothing=r"does not exist|already in deletion")

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        spelling.job_name(name)
        waiting = [job for job, title, _ in self._queue() if title == name]
        ended = self._programs.ask("qacct", "-j", name, nothing=_NOT_FOUND)
        return tuple(dict.fromkeys([*waiting, *(record.id for record in records(ended))]))


def options(request: JobRequest, suffix: str = "") -> list[str]:
    """Return qsub's options for a job; the site's own come last and win.

    h_vmem counts for each slot, so the memory is shared out.
    """
    profile = request.profile
    told = ["-terse", "-C", "", "-S", "/bin/bash", "-b", "n", "-j", "n"]
    told += ["-N", request.name, "-wd", str(request.folder)]
    told += ["-o", f"{request.stdout}{suffix}", "-e", f"{request.stderr}{suffix}"]
    told += ["-r", "y" if request.requeue else "n"]
    limits = []
    if profile.walltime:
        limits.append(f"h_rt={profile.walltime}")
    if request.grace:
        limits.append(f"s_rt={request.grace}")
    if profile.memory:
        limits.append(f"h_vmem={max(1, profile.memory // spelling.MIB // profile.cores)}M")
    if profile.gpus:
        limits.append(f"gpu={profile.gpus}")
    if limits:
        told += ["-l", ",".join(limits)]
    slots = profile.cores * profile.nodes
    if slots > 1:
        told += ["-pe", profile.parallel_environment, str(slots)]
    if profile.queue:
        told += ["-q", profile.queue]
    if profile.account:
        told += ["-P", profile.account]
    if request.after:
        told += ["-hold_jid", ",".join(job.partition(".")[0] for job in request.after)]
    return [*told, *profile.extra]


def entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield id, name and state letters of every job in `qstat -xml -g d`.

    Raises:
        ET.ParseError: It is not XML.
    """
    for job in ET.fromstring(text).iter("job_list"):  # noqa: S314  (the scheduler's own program)
        number, task = job.findtext("JB_job_number", ""), job.findtext("tasks", "")
        name, letters = job.findtext("JB_name", ""), job.findtext("state", "")
        yield (f"{number}.{task}" if task else number), name, letters


def queue(jobs: Iterable[tuple[str, str, str]]) -> dict[str, JobStatus]:
    """Return what qstat's entries mean."""
    return {
        job: JobStatus(id=job, state=_state(letters), said=letters, reason=_reason(letters))
        for job, _, letters in jobs
    }


def _state(letters: str) -> JobState:
    """Return the state: E error, w waiting, r running, t starting, d being deleted, s suspended."""
    if "E" in letters:
        return JobState.FAILED
    if "w" in letters:
        return JobState.PENDING
    return JobState.RUNNING if set(letters) & set("rtsSTdR") else JobState.UNKNOWN


def _reason(letters: str) -> str:
    if "E" in letters:
        return "cannot be started"
    return "Held, or waits for another job" if "h" in letters else ""


def records(text: str) -> list[Accounting]:
    """Return what qacct's blocks say, in their order: each attempt of each task."""
    blocks = re.split(r"^=+$", text, flags=re.MULTILINE)
    found = []
    for block in blocks:
        pairs = (line.split(None, 1) for line in block.splitlines() if line.strip())
        fields = {pair[0]: pair[1].strip() if len(pair) > 1 else "" for pair in pairs}
        if fields.get("jobnumber", "").isdigit():
            found.append(_record(fields))
    return found


def _record(fields: Mapping[str, str]) -> Accounting:
    number, task = fields["jobnumber"], fields.get("taskid", "undefined")
    failed = int(fields.get("failed", "0").partition(" ")[0] or 0)
    code = int(fields.get("exit_status", "0").partition(" ")[0] or 0)
    slots = int(fields.get("slots", "1"))
    elapsed = _amount(fields.get("ru_wallclock", ""))
    limits = dict(re.findall(r"\b(h_rt|s_rt|h_vmem)=(\w+)", fields.get("category", "")))
    by = code - _SIGNALLED if _SIGNALLED < code < _SIGNALLED + signal.NSIG else None
    state = _ended(failed, code, by, elapsed, limits)
    return Accounting(
        id=f"{number}.{task}" if task.isdigit() else number,
        state=state,
        said=_words(fields, failed, code),
        exit_code=code,
        signal=by,
        submitted=_moment(fields.get("qsub_time", "")),
        started=_moment(fields.get("start_time", "")),
        ended=_moment(fields.get("end_time", "")),
        elapsed=elapsed,
        cores=slots,
        core_seconds=elapsed * slots,
        cpu_seconds=_amount(fields.get("cpu", "")),
        peak_memory=int(_amount(fields.get("maxvmem", ""))) or None,
        requested_memory=int(_amount(limits["h_vmem"]) * slots) if "h_vmem" in limits else None,
        hosts=fields.get("hostname", ""),
    )


def _ended(
    failed: int, code: int, by: int | None, elapsed: float, limits: Mapping[str, str]
) -> JobState:
    """Return how a job ended, from `failed`, the exit code and the limits it was given."""
    if failed in _AGAIN:
        return JobState.REQUEUED
    if failed in _NODE:
        return JobState.NODE_FAIL
    if failed == _LIMIT:
        over = "h_rt" in limits and elapsed >= _amount(limits["h_rt"])
        return JobState.TIMEOUT if over or "h_vmem" not in limits else JobState.OUT_OF_MEMORY
    if by in {signal.SIGUSR1, signal.SIGXCPU} and "s_rt" in limits:
        return JobState.TIMEOUT
    if failed == 0 and code == 0:
        return JobState.COMPLETED
    return JobState.FAILED


def _words(fields: Mapping[str, str], failed: int, code: int) -> str:
    told = f"failed {fields.get('failed', '')}" if failed else f"exit status {code}"
    return f"{told}, exit status {code}" if failed == _AFTER_JOB else told


def _amount(text: str) -> float:
    """Return bytes or seconds from `13.527MB`, `0.136s`, `100M`, `7`; 0 for nothing."""
    matched = re.match(r"([\d.]+)([KMGT]?)", text)
    return float(matched[1]) * _UNITS[matched[2]] if matched else 0.0


def _moment(text: str) -> datetime | None:
    """Return the time from `Sat Nov 21 09:49:45 2026` or `11/21/2026 09:49:45.123`, in UTC."""
    if plain := re.match(r"\w{3} (\w{3}) +(\d+) (\d+):(\d+):(\d+) (\d+)", text):
        month, *numbers, year = plain.groups()
        day, hour, minute, second = map(int, numbers)
        return datetime(int(year), _MONTHS[month], day, hour, minute, second, tzinfo=UTC)
    if other := re.match(r"(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+)", text):
        month_number, day, year_number, hour, minute, second = map(int, other.groups())
        return datetime(year_number, month_number, day, hour, minute, second, tzinfo=UTC)
    return None
