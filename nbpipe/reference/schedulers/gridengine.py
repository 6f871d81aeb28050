"""Grid Engine (Son of, Altair, Some of): qsub, qstat, qacct, qdel.

What its accounting cannot tell, nobody else can: a job that was deleted and one that killed itself
both end with signal 9 (only whoever asked for the deletion knows), and a job over h_vmem sees
its allocations fail and ends as it likes. `s_rt` sends SIGUSR1 to the process group of the job,
not only to its script. Source: the manual pages of Son of Grid Engine 8.1.9 (qsub, accounting,
sge_status), and what its daemons really answer (tests/integration/test_gridengine.py).
"""

from __future__ import annotations

import os
import re
import signal
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbpipe.reference import spelling
from nbpipe.reference.schedulers import array_limits, groups, wishes
from nbpipe.reference.schedulers.programs import Programs, document
from nbpipe.reference.schedulers.protocol import (
    Accounting,
    JobRequest,
    JobState,
    JobStatus,
    Traits,
    batches,
)
from nbpipe.reference.schedulers.unnoted import Seen, Submissions
from nbpipe.system.accounts import account

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_OUTAGE = r"commlib|unable to (?:send|contact|receive)|got \w+ error|qmaster|can't get"
_NOT_FOUND = r"job (?:id|name) .* not found"
_ANSWERS = (
    r"(\d+)(?:\.\d+-\d+:\d+)?",
    r"Your job(?:-array)? (\d+)[. ].* has been submitted",
)
"""What qsub says of a job or an array, with -terse and without."""
_VERIFIED_AFTER = 10.0
"""Seconds that a job waits before it is asked whether any queue would ever take it."""
_NEVER = "no queue would ever take it: ask for less, or for another queue, and submit again"
_ERROR = "mend that and clear the error (`qmod -cj {0}`), or delete the job (`qdel {0}`)"
_HELD = "somebody holds it: `qrls {0}` releases it"
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
            # What the engine told the job that this may run in, not what a user set for programs.
            without=(
                *(
                    "SGE_O_",
                    "SGE_TASK_",
                    "SGE_STD",
                    "SGE_JOB_",
                    "SGE_CWD_",
                    "SGE_CKPT_",
                    "SGE_HGR_",
                ),
                *("SGE_SGR_", "SGE_ACCOUNT", "SGE_RSH_", "SGE_BINDING", "PE_HOSTFILE", "NSLOTS"),
                *("NHOSTS", "NQUEUES", "RESTARTED", "JOB_ID", "JOB_NAME", "JOB_SCRIPT", "QUEUE"),
            ),
            timeout=timeout,
            outage=_OUTAGE,
        )

    def submit(self, request: JobRequest) -> str:
        """Submit a job; return its id (see `Scheduler`)."""
        out = self._programs.submit("qsub", *options(request), *request.command)
        return self._programs.said("qsub", out, *_ANSWERS)[1]

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Submit tasks 1 to `count`; return their ids (see `Scheduler`)."""
        said = array_limits.answer(self._programs, "qconf", "-sconf")
        most = array_limits.number(said, r"^max_aj_tasks\s+(\d+)")
        return array_limits.in_parts(
            self, request, count, most=most, at_once=at_once, submit=self._array
        )

    def _array(self, request: JobRequest, count: int, at_once: int | None) -> tuple[str, ...]:
        array = ["-t", f"1-{count}", *(["-tc", str(at_once)] if at_once else [])]
        arguments = [*options(request, suffix=".$TASK_ID"), *array, *request.command]
        out = self._programs.submit("qsub", *arguments)
        job = self._programs.said("qsub", out, *_ANSWERS)[1]
        return tuple(f"{job}.{index}" for index in range(1, count + 1))

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what qstat knows of these jobs (see `Scheduler`)."""
        wanted = _known_as(jobs)
        found = groups.queued([*wanted.values()], queue(self._queue()), ".")
        explained = {job: self._explained(status) for job, status in found.items()}
        return {
            job: replace(explained[known], id=job)
            for job, known in wanted.items()
            if known in explained
        }

    def _queue(self) -> list[Entry]:
        """Return what qstat knows of all jobs of this user: one question, however many jobs."""
        user = account()
        text = self._programs.ask("qstat", "-xml", "-g", "d", "-u", user)
        try:
            return list(entries(document(text, "<")))
        except ET.ParseError as error:
            raise self._programs.unreadable("qstat", text) from error

    def _explained(self, status: JobStatus) -> JobStatus:
        """Return a job that cannot be started with the reason, and what to do."""
        number = status.id.partition(".")[0]
        if status.state is JobState.FAILED:
            text = self._programs.call("qstat", "-j", number).out
            reason = re.search(r"^error reason\s+\d+:\s*(.*)$", text, re.MULTILINE)
            words = reason[1] if reason else "it is in the error state"
            return replace(status, reason=words, advice=_ERROR.format(number))
        if _age(status) < _VERIFIED_AFTER:
            return status
        if status.said == "hqw":
            text = self._programs.call("qstat", "-j", number).out
            waits = re.search(r"^jid_predecessor_list", text, re.MULTILINE)
            return status if waits else replace(status, advice=_HELD.format(number))
        if status.said != "qw":
            return status
        # Against an empty cluster: whether any queue would ever take the job.
        verified = self._programs.call("qalter", "-w", "v", number)
        if not re.search(r"^verification: no suitable queues", verified.out, re.MULTILINE):
            return status
        why = " ".join(verified.out.partition("verification:")[0].split())
        return replace(status, reason=why or "no suitable queues", advice=_NEVER)

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what qacct knows of these jobs (see `Scheduler`)."""
        wanted = _known_as(jobs)
        found: dict[str, list[Accounting]] = {}
        for number in dict.fromkeys(job.partition(".")[0] for job in wanted.values()):
            text = self._programs.ask("qacct", "-j", number, nothing=_NOT_FOUND)
            for record in records(text):
                found.setdefault(record.id, []).append(record)
        known = {job: tuple(each) for job, each in found.items()}
        if any(_is_array(job, known) for job in wanted.values()):
            # qacct knows the tasks of an array that have ended, not whether others go on.
            for job, status in queue(self._queue()).items():
                known.setdefault(job, (Accounting(id=job, state=status.state, said=status.said),))
        whole = groups.ended(groups.accounted([*wanted.values()], known, "."))
        return {job: whole[known] for job, known in wanted.items() if known in whole}

    def cancel(self, jobs: Collection[str]) -> None:
        """Delete these jobs (see `Scheduler`)."""
        for batch in batches(_known_as(jobs).values()):
            self._programs.ask("qdel", *batch, nothing=r"does not exist|already in deletion")

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        spelling.job_name(name)
        waiting = [entry.id for entry in self._queue() if entry.name == name]
        ended = self._programs.ask("qacct", "-j", name, nothing=_NOT_FOUND)
        return tuple(dict.fromkeys([*waiting, *(record.id for record in records(ended))]))

    def submitted(self, since: datetime, *, near: Collection[str], ended: bool) -> Submissions:
        """Return the jobs of this user and how they were submitted (see `tracing.Searchable`)."""
        del since, near  # the queue is all that can be asked, and it is the only one
        if ended:
            return Submissions(
                blind="Grid Engine's accounting does not keep how a job was submitted: a job that "
                "the recorder did not see and that ended between two looks cannot be found"
            )
        found: list[Seen] = []
        for batch in batches({job.id.partition(".")[0]: None for job in self._queue()}):
            found += descriptions(
                self._programs.ask("qstat", "-j", ",".join(batch), nothing=r"do not exist")
            )
        return Submissions(jobs=tuple(found))


def options(request: JobRequest, suffix: str = "") -> list[str]:
    """Return qsub's options for a job; the site's own come last and win.

    h_vmem counts for each slot, so the memory is shared out. A feature is a boolean resource
    (complex(5)), a reservation an advance reservation's id (qrsub(1)).

    Raises:
        SubmissionRefused: The profile asks for what Grid Engine does not have.
    """
    profile = request.profile
    wishes.check("gridengine", profile, "constraint", "reservation")
    told = ["-terse", "-C", "", "-S", "/bin/bash", "-b", "n", "-j", "n"]
    told += ["-N", request.name, "-wd", str(request.folder)]
    told += ["-o", f"{request.stdout}{suffix}", "-e", f"{request.stderr}{suffix}"]
    told += ["-r", "y" if request.requeue else "n"]
    if limits := list(_limits(request)):
        told += ["-l", ",".join(limits)]
    slots = profile.cores * profile.nodes
    if slots > 1:
        told += ["-pe", profile.parallel_environment, str(slots)]
    if profile.queue:
        told += ["-q", profile.queue]
    if profile.account:
        told += ["-P", profile.account]
    if profile.reservation:
        told += ["-ar", profile.reservation]
    if request.after:
        told += ["-hold_jid", ",".join(job.partition(".")[0] for job in request.after)]
    return [*told, *profile.extra]


def _limits(request: JobRequest) -> Iterator[str]:
    """Yield what `-l` asks for."""
    profile = request.profile
    if profile.walltime:
        yield f"h_rt={profile.walltime}"
    if request.grace:
        yield f"s_rt={request.grace}"
    if profile.node_memory:
        yield f"h_vmem={max(1, profile.node_memory // spelling.MIB // profile.cores)}M"
    if profile.gpus:
        yield f"gpu={profile.gpus}"
    if feature := wishes.feature("gridengine", profile):
        yield f"{feature}=TRUE"


@dataclass(frozen=True, slots=True)
class Entry:
    """A job, or a task of one, in `qstat -xml -g d`."""

    id: str
    name: str
    letters: str
    submitted: datetime | None


def _known_as(jobs: Collection[str]) -> dict[str, str]:
    """Return the ids that qstat and qacct know of jobs: `12` also for `12.1-3:1`."""
    known = {job: groups.bare(re.sub(r"\.\d+-.*", "", job)) for job in jobs}
    for job in known.values():
        spelling.job_id(job)
    return known


def _is_array(job: str, known: Collection[str]) -> bool:
    """Return whether only tasks of a job are known."""
    return job not in known and any(each.startswith(f"{job}.") for each in known)


def _age(status: JobStatus) -> float:
    """Return for how many seconds a job waits."""
    return (datetime.now(UTC) - status.submitted).total_seconds() if status.submitted else 0.0


def entries(text: str) -> Iterator[Entry]:
    """Yield every job in `qstat -xml -g d`.

    Raises:
        ET.ParseError: It is not XML.
    """
    for job in ET.fromstring(text).iter("job_list"):  # noqa: S314  (the scheduler's own program)
        number, task = job.findtext("JB_job_number", ""), job.findtext("tasks", "")
        name, letters = job.findtext("JB_name", ""), job.findtext("state", "")
        submitted = _moment(job.findtext("JB_submission_time", ""))
        yield Entry(f"{number}.{task}" if task else number, name, letters, submitted)


def descriptions(text: str) -> list[Seen]:
    """Return what the blocks of `qstat -j` say about the submission of each job."""
    found = []
    for block in re.split(r"^=+$", text, flags=re.MULTILINE):
        fields = dict(re.findall(r"^(\w+):[ \t]+(.*)$", block, re.MULTILINE))
        if not (number := fields.get("job_number", "")).isdigit():
            continue
        moment = _moment(fields.get("submission_time", ""))
        # Values may hold commas: of the environment only what is looked for can be told.
        notes = re.search(r"(?:^|,)NBPIPE_CHILDREN=([^,]*)", fields.get("env_list", ""))
        found.append(
            Seen(
                id=number,
                submitted=moment.timestamp() if moment else None,
                folders=tuple(fields[name] for name in ("sge_o_workdir", "cwd") if name in fields),
                host=fields.get("sge_o_host", ""),
                variables={"NBPIPE_CHILDREN": notes[1]} if notes else {},
                after=tuple(re.findall(r"\d+", fields.get("jid_predecessor_list", ""))),
            )
        )
    return found


def queue(jobs: Iterable[Entry]) -> dict[str, JobStatus]:
    """Return what qstat's entries mean."""
    return {
        job.id: JobStatus(
            id=job.id,
            state=_state(job.letters),
            said=job.letters,
            reason=_reason(job.letters),
            name=job.name,
            submitted=job.submitted,
        )
        for job in jobs
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
    # qacct has no field for the signal: the shell's convention of 128 + N is all there is, and a
    # job that exits with such a code itself looks the same.
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
        name=fields.get("jobname", ""),
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
    """Return the time from `Sat Nov 21 09:49:45 2026`, `11/21/2026 09:49:45.123` or ISO 8601.

    They are in UTC, which the programs are asked for.
    """
    if plain := re.match(r"\w{3} (\w{3}) +(\d+) (\d+):(\d+):(\d+) (\d+)", text):
        month, *numbers, year = plain.groups()
        day, hour, minute, second = map(int, numbers)
        return datetime(int(year), _MONTHS[month], day, hour, minute, second, tzinfo=UTC)
    if other := re.match(r"(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+)", text):
        month_number, day, year_number, hour, minute, second = map(int, other.groups())
        return datetime(year_number, month_number, day, hour, minute, second, tzinfo=UTC)
    if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$", text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return None
