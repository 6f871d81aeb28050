"""PBS Professional and OpenPBS: qsub, qstat (also as accounting, with -x), qdel.

Written after the vendor's documents (PBS Professional 2022.1 User's and Reference Guide, the
manual pages of OpenPBS 23) and tested by outputs in their form: no server of it could be run. It
needs job history on the server (`job_history_enable`), which is what `qstat -x` shows; without,
a job that has ended is known by its result.json only.

PBS has no signal before the limit: the job watches its own clock.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nbpipe.reference import spelling
from nbpipe.reference.schedulers import array_limits, groups, wishes
from nbpipe.reference.schedulers.programs import Programs, document
from nbpipe.reference.schedulers.protocol import (
    Accounting,
    JobRequest,
    JobState,
    JobStatus,
    Known,
    Traits,
    batches,
)
from nbpipe.reference.schedulers.unnoted import Seen, Submissions
from nbpipe.system.accounts import account

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_STATES: Known = {
    "Q": JobState.PENDING,
    "H": JobState.PENDING,
    "W": JobState.PENDING,
    "T": JobState.PENDING,
    "M": JobState.PENDING,
    "B": JobState.RUNNING,
    "R": JobState.RUNNING,
    "E": JobState.RUNNING,
    "S": JobState.RUNNING,
    "U": JobState.RUNNING,
}
"""job_state of a job that has not ended."""
_ENDED = {"F", "X"}
_ANSWER = r"\d+(\[\])?(\.(?=[\w.-]*[A-Za-z])[\w.-]+)?"
"""What qsub says: `123.server`, `123[].server`; some sites cut the server off."""
_PARTS = "["
"""What follows an array's number in the ids of its subjobs."""
_OUTAGE = (
    r"cannot connect to server|connection (?:refused|timed out)|pbs_connect|"
    r"end of file|communication|no permission to connect|server (?:shutting down|is down)"
)
_UNKNOWN_JOB = r"Unknown Job Id|Job has finished"
_CODES = {
    -29: JobState.TIMEOUT,  # JOB_EXEC_KILL_WALLTIME
    -28: JobState.TIMEOUT,  # JOB_EXEC_KILL_CPUT
    -27: JobState.OUT_OF_MEMORY,  # JOB_EXEC_KILL_MEM
    -26: JobState.OUT_OF_MEMORY,  # JOB_EXEC_KILL_VMEM
}
"""Exit_status below 0: PBS ended the job; other such codes mean that it could not be started."""
_SIGNALLED = 256
"""Exit_status above this: the signal that ended the job."""
_DELETED = 271
"""SIGTERM + 256: how a deleted job usually ends."""
_RESERVATION = "A reservation is a queue of PBS: name it as the queue."
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}


class PBS:
    """PBS Professional or OpenPBS, through its own programs."""

    name = "pbs"
    traits = Traits(warning=None, dependencies="success", arrays=True)

    def __init__(self, environ: Mapping[str, str] | None = None, timeout: float = 60.0) -> None:
        self._programs = Programs(
            self.name,
            environ=environ,
            # Also what PBS told the job that this may run in; a user's choices stay.
            without=(
                *("PBS_DPREFIX", "QSUB_", "PBS_O_", "PBS_JOB", "PBS_NODE", "PBS_TASKNUM"),
                *("PBS_MOMPORT", "PBS_QUEUE", "PBS_ENVIRONMENT", "PBS_ARRAY", "NCPUS"),
            ),
            timeout=timeout,
            outage=_OUTAGE,
        )

    def submit(self, request: JobRequest) -> str:
        """Submit a job; return its id (see `Scheduler`)."""
        return self._submit(options(request), request)

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Submit tasks 1 to `count`; return their ids (see `Scheduler`)."""
        said = array_limits.answer(self._programs, "qstat", "-B", "-f")
        most = array_limits.number(said, r"^\s*max_array_size = (\d+)")
        return array_limits.in_parts(
            self, request, count, most=most, at_once=at_once, submit=self._array
        )

    def _array(self, request: JobRequest, count: int, at_once: int | None) -> tuple[str, ...]:
        if count == 1:  # PBS has no array of one
            return (self.submit(request),)
        throttle = f"%{at_once}" if at_once else ""
        array = [*options(request, suffix=".^array_index^"), "-J", f"1-{count}{throttle}"]
        job = self._submit(array, request)
        number, _, server = job.partition("[]")
        return tuple(f"{number}[{index}]{server}" for index in range(1, count + 1))

    def _submit(self, arguments: list[str], request: JobRequest) -> str:
        out = self._programs.submit("qsub", *arguments, "--", "/bin/bash", *request.command)
        return self._programs.said("qsub", out, _ANSWER)[0]

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what qstat knows of these jobs (see `Scheduler`)."""
        found = {job: status(job, facts) for job, facts in self._ask(jobs).items()}
        wanted = {job: _bare(job) for job in jobs}
        whole = groups.queued([*wanted.values()], found, _PARTS)
        return {job: replace(whole[bare], id=job) for job, bare in wanted.items() if bare in whole}

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what the history knows of those that have ended (see `Scheduler`)."""
        found: dict[str, tuple[Accounting, ...]] = {
            job: (record(job, facts),) for job, facts in self._ask(jobs).items()
        }
        wanted = {job: _bare(job) for job in jobs}
        whole = groups.ended(groups.accounted([*wanted.values()], _told_by_parts(found), _PARTS))
        return {job: whole[bare] for job, bare in wanted.items() if bare in whole}

    def _ask(self, jobs: Collection[str]) -> dict[str, Any]:
        """Return what qstat says, by ids without the server's name: `123`, `123[4]`."""
        found: dict[str, Any] = {}
        for batch in batches(jobs):
            asked = list(batch)
            while asked:
                text = self._programs.ask(
                    *("qstat", "-x", "-f", "-F", "json", "-t"), *asked, nothing=_UNKNOWN_JOB
                )
                answer = {_bare(job): facts for job, facts in self._read(text).items()}
                found |= answer
                # Some versions answer of the first job only (openpbs issue 2672).
                left = [job for job in asked if _bare(job) not in found]
                asked = left if answer and len(left) < len(asked) else []
        return found

    def _read(self, text: str) -> dict[str, Any]:
        """Return the jobs in an answer; some versions write no JSON at all for none."""
        start = document(text, "{")
        if not start:
            return {}
        try:
            jobs: dict[str, Any] = json.loads(start, strict=False).get("Jobs", {})
        except ValueError as error:
            raise self._programs.unreadable("qstat", text) from error
        return jobs

    def cancel(self, jobs: Collection[str]) -> None:
        """Delete these jobs (see `Scheduler`)."""
        for batch in batches(jobs):
            self._programs.ask("qdel", *batch, nothing=_UNKNOWN_JOB)

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        spelling.job_name(name)
        user = account()
        out = self._programs.ask("qselect", "-x", "-N", name, "-u", user)
        return tuple(out.split())

    def submitted(self, since: datetime, *, near: Collection[str], ended: bool) -> Submissions:
        """Return the jobs of this user and how they were submitted (see `tracing.Searchable`)."""
        del near  # the server is all that can be asked
        user = account()
        start = f"-tc.ge.{since.astimezone(UTC):%Y%m%d%H%M}"
        history = ("-x",) if ended else ()
        jobs = self._programs.ask("qselect", *history, "-u", user, start).split()
        facts = self._ask(jobs) if jobs else {}
        known = [job for job in jobs if _bare(job) in facts]
        return Submissions(jobs=tuple(submission(job, facts[_bare(job)]) for job in known))


def options(request: JobRequest, suffix: str = "") -> list[str]:
    """Return qsub's options for a job; the site's own come last and win.

    A feature is a boolean resource of hosts.

    Raises:
        SubmissionRefused: The profile asks for what PBS does not have.
    """
    profile = request.profile
    wishes.check("pbs", profile, "constraint", advice=_RESERVATION)
    told = ["-N", request.name, "-r", "y" if request.requeue else "n"]
    told += ["-o", f"{request.stdout}{suffix}", "-e", f"{request.stderr}{suffix}"]
    chunk = f"select={profile.nodes}:ncpus={profile.cores}"
    if profile.node_memory:
        chunk += f":mem={max(1, profile.node_memory // spelling.MIB)}mb"
    if profile.gpus:
        chunk += f":ngpus={profile.gpus}"
    if feature := wishes.feature("pbs", profile):
        chunk += f":{feature}=True"
    told += ["-l", chunk]
    if profile.walltime:
        told += ["-l", f"walltime={spelling.clock(profile.walltime)}"]
    if profile.queue:
        told += ["-q", profile.queue]
    if profile.account:
        told += ["-A", profile.account]
    if request.after:
        told += ["-W", f"depend=afterok:{':'.join(request.after)}"]
    return [*told, *profile.extra]


def submission(job: str, facts: Mapping[str, Any]) -> Seen:
    """Return how a job was submitted, from qstat's JSON."""
    given = facts.get("Variable_List", {})
    variables = {str(name): str(value) for name, value in given.items()}
    created = _moment(str(facts.get("ctime", "")))
    return Seen(
        id=job.partition(".")[0],
        submitted=created.timestamp() if created else None,
        folders=tuple(filter(None, [variables.get("PBS_O_WORKDIR"), facts.get("jobdir")])),
        host=variables.get("PBS_O_HOST", ""),
        variables=variables,
        after=tuple(re.findall(r":(\d+)", str(facts.get("depend", "")))),
    )


def status(job: str, facts: Mapping[str, Any]) -> JobStatus:
    """Return what the queue says of a job; of one that has ended, what the history says."""
    letter = str(facts.get("job_state", ""))
    comment = " ".join(str(facts.get("comment", "")).split())
    return JobStatus(
        id=job,
        state=record(job, facts).state,
        said=letter,
        reason=comment,
        advice=_advice(letter, comment, "" if "depend" in facts else facts.get("Hold_Types", "")),
        name=str(facts.get("Job_Name", "")),
        submitted=_moment(str(facts.get("ctime", ""))),
    )


def _told_by_parts(found: dict[str, tuple[Accounting, ...]]) -> dict[str, tuple[Accounting, ...]]:
    """Return the records without those of arrays that have ended, of others without their parts.

    An array's own exit status is 1 for any failure, and what was used only its subjobs tell.
    """
    parents = {job.partition("[")[0] for job in found if "[" in job} & found.keys()
    ended = {job for job in parents if found[job][0].state.ended}
    return {
        job: records
        for job, records in found.items()
        if job not in ended and job.partition("[")[0] not in parents - ended - {job}
    }


def _bare(job: str) -> str:
    """Return an id without its server's name, an array's without its brackets: its parts tell."""
    return groups.bare(job.partition(".")[0].replace("[]", ""))


def _advice(letter: str, comment: str, holds: str) -> str:
    """Return what to do about a job that waits and will not start by itself.

    Args:
        letter: Its state.
        comment: The scheduler's.
        holds: `u` by a user, `o` by an operator, `s` by the system; "" where it waits for a job.
    """
    if letter in {"Q", "W"} and re.match(r"Can Never Run|Not Running: .*(?:too small)", comment):
        return "ask for less, or for another --queue, and submit again"
    if letter in {"Q", "W"} and re.search(r"Queue not (?:started|enabled)", comment):
        return "the queue is stopped: ask its administrators, or use another --queue"
    if letter == "H" and (set(holds) & set("os") or "too many failed" in comment):
        return "it is held: ask the administrators why (`qstat -f` shows its comment)"
    if letter == "H" and "u" in holds:
        return "a user holds it: `qrls` releases it"
    return ""


def record(job: str, facts: Mapping[str, Any]) -> Accounting:
    """Return what the history says of a job; of one that goes on, its state."""
    letter = str(facts.get("job_state", ""))
    # `qstat -x` also lists jobs that go on, whose figures are not final.
    if letter not in _ENDED:
        return Accounting(id=job, state=_STATES.get(letter, JobState.UNKNOWN), said=letter)
    used, asked = facts.get("resources_used", {}), facts.get("Resource_List", {})
    status_code = facts.get("Exit_status")
    cores = int(asked.get("ncpus", 1))
    elapsed = _seconds(str(used.get("walltime", "")))
    started = _moment(str(facts.get("stime", "")))
    by = _signal(status_code)
    return Accounting(
        id=job,
        state=_ended(status_code, str(facts.get("comment", "")), started=started is not None),
        said=" ".join(str(facts.get("comment", "")).split()),
        exit_code=status_code if status_code is not None and 0 <= status_code < 128 else None,  # noqa: PLR2004
        signal=by,
        submitted=_moment(str(facts.get("ctime", facts.get("qtime", "")))),
        started=started,
        ended=_moment(str(facts.get("obittime", facts.get("mtime", "")))),
        elapsed=elapsed,
        cores=cores,
        core_seconds=cores * elapsed,
        cpu_seconds=_seconds(str(used.get("cput", ""))) if by != signal.SIGKILL else None,
        peak_memory=_bytes(str(used.get("mem", ""))),
        requested_memory=_bytes(str(asked.get("mem", ""))),
        hosts=str(facts.get("exec_host", "")),
        name=str(facts.get("Job_Name", "")),
    )


def _ended(code: int | None, comment: str, *, started: bool) -> JobState:
    """Return how a job ended; one without an exit status was deleted, or nobody knows."""
    if code is None:
        deleted = not started or "terminated" in comment or "deleted" in comment
        return JobState.CANCELLED if deleted else JobState.LOST
    if code == 0:
        return JobState.COMPLETED
    if code == _DELETED and "walltime" not in comment:
        return JobState.CANCELLED
    if "walltime" in comment and "exceeded" in comment:
        return JobState.TIMEOUT
    return _CODES.get(code, JobState.FAILED)


def _signal(code: int | None) -> int | None:
    """Return the signal in an exit status: 256 + n from PBS, 128 + n from a shell."""
    if code is None:
        return None
    for base in (_SIGNALLED, 128):
        if base < code < base + signal.NSIG:
            return code - base
    return None


def _seconds(text: str) -> float:
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):  # noqa: PLR2004
        return 0.0
    hours, minutes, seconds = map(int, parts)
    return float(hours * 3600 + minutes * 60 + seconds)


def _bytes(text: str) -> int | None:
    matched = re.fullmatch(r"(\d+)([kmgt]?b)", text)
    return int(matched[1]) * _UNITS[matched[2]] if matched else None


def _moment(text: str) -> datetime | None:
    """Return the time from `Thu Feb 22 14:27:48 2018` in UTC, or from seconds since 1970."""
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    matched = re.fullmatch(r"\w{3} (\w{3}) +(\d+) (\d+):(\d+):(\d+) (\d{4})", text)
    if not matched or matched[1] not in _MONTHS:
        return None
    day, hour, minute, second, year = (int(matched[number]) for number in range(2, 7))
    return datetime(year, _MONTHS.index(matched[1]) + 1, day, hour, minute, second, tzinfo=UTC)
