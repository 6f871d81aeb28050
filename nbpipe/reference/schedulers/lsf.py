"""IBM Spectrum LSF: bsub, bjobs (also as accounting, for as long as it remembers), bkill.

Written after the vendor's documents (Spectrum LSF 10.1: bsub, bjobs -o, -json, termination
reasons) and tested by outputs in their form: no LSF could be run. bjobs forgets a job an hour
after its end by default (CLEAN_PERIOD); what is not asked within it is known by result.json only.

bsub gives the command to a shell on the execution host, so it is quoted here; nothing in it is
a user's own text.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from nbpipe.reference import spelling
from nbpipe.reference.errors import SubmissionRefused
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

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_STATES: Known = {
    "PEND": JobState.PENDING,
    "PSUSP": JobState.PENDING,
    "WAIT": JobState.PENDING,
    "PROV": JobState.PENDING,
    "RUN": JobState.RUNNING,
    "USUSP": JobState.RUNNING,
    "SSUSP": JobState.RUNNING,
    "DONE": JobState.COMPLETED,
    "EXIT": JobState.FAILED,
}
"""UNKWN (the host does not answer) and ZOMBI are not in it: nothing is known."""
_REASONS: Known = {
    "TERM_RUNLIMIT": JobState.TIMEOUT,
    "TERM_CPULIMIT": JobState.TIMEOUT,
    "TERM_DEADLINE": JobState.TIMEOUT,
    "TERM_WINDOW": JobState.TIMEOUT,
    "TERM_MEMLIMIT": JobState.OUT_OF_MEMORY,
    "TERM_SWAP": JobState.OUT_OF_MEMORY,
    "TERM_OWNER": JobState.CANCELLED,
    "TERM_FORCE_OWNER": JobState.CANCELLED,
    "TERM_ADMIN": JobState.CANCELLED,
    "TERM_FORCE_ADMIN": JobState.CANCELLED,
    "TERM_BUCKET_KILL": JobState.CANCELLED,
    "TERM_PREEMPT": JobState.PREEMPTED,
    "TERM_REQUEUE_OWNER": JobState.REQUEUED,
    "TERM_REQUEUE_ADMIN": JobState.REQUEUED,
    "TERM_REMOVE_HUNG_JOB": JobState.NODE_FAIL,
    "TERM_ZOMBIE": JobState.NODE_FAIL,
}
_FIELDS = (
    "jobid jobindex stat job_name exit_code exit_reason pend_reason submit_time start_time "
    "finish_time run_time cpu_used max_mem memlimit slots exec_host"
)
_SUBMISSION = "jobid jobindex stat submit_time from_host sub_cwd exec_cwd dependency"
_OUTAGE = r"LSF is down|batch daemon|not responding|cannot connect|connection (?:refused|timed)|LIM"
_NOT_FOUND = r"is not found|No (?:matching|unfinished) job found|No job found"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = {"": 1024**2, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIGNALLED = 128
_PARTS = "["
"""What follows an array's number in the ids of its elements."""
_ADVICE = (
    (
        r"dependency condition (?:is )?invalid|never satisfied",
        "the job that it waits for did not end as it should: cancel it and submit again",
    ),
    (
        r"queue (?:is |has been )?(?:inactivated|closed)|closed by",
        "the queue is closed: ask its administrators, or use another --queue",
    ),
    (
        (
            r"not enough hosts|resource requirements? (?:not|can ?not)|no host|"
            r"requirements? .*not satisfied"
        ),
        (
            "no host fits it now: if that does not pass, ask for less or for another --queue "
            "(`bhosts -R` shows which hosts fit)"
        ),
    ),
    (
        r"unable to access|unable to (?:set|determine|open)|pre-exec",
        "it could not be started: mend that (`bjobs -l` tells more), then `brequeue` the job",
    ),
)


class LSF:
    """IBM Spectrum LSF, through its own programs."""

    name = "lsf"
    traits = Traits(warning=signal.SIGTERM, dependencies="success", arrays=True)

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        today: Callable[[], date] = date.today,
    ) -> None:
        self._today = today
        self._programs = Programs(
            self.name,
            environ=environ,
            # LSF hands on the submitter's environment: what it told the job that this may run in
            # would be told to the new one. LSF_*, where its programs are, stays.
            without=("LSB_", "LS_", "BSUB_"),
            timeout=timeout,
            outage=_OUTAGE,
        )

    def submit(self, request: JobRequest) -> str:
        """Submit a job; return its id (see `Scheduler`)."""
        return self._submit(["-J", request.name, *options(request)], request)

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Submit tasks 1 to `count`; return their ids (see `Scheduler`)."""
        said = array_limits.answer(self._programs, "bparams", "-a")
        most = array_limits.number(said, r"MAX_JOB_ARRAY_SIZE\s*=\s*(\d+)")
        return array_limits.in_parts(
            self, request, count, most=most, at_once=at_once, submit=self._array
        )

    def _array(self, request: JobRequest, count: int, at_once: int | None) -> tuple[str, ...]:
        throttle = f"%{at_once}" if at_once else ""
        array = ["-J", f"{request.name}[1-{count}]{throttle}", *options(request, suffix=".%I")]
        job = self._submit(array, request)
        return tuple(f"{job}[{index}]" for index in range(1, count + 1))

    def _submit(self, arguments: list[str], request: JobRequest) -> str:
        command = shlex.join(("/bin/bash", *request.command))
        out = self._programs.submit("bsub", *arguments, command)
        return self._programs.said("bsub", out, r"Job <(\d+)> is submitted.*")[1]

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what bjobs knows of these jobs (see `Scheduler`)."""
        found = {}
        for batch in batches(jobs):
            for facts in self._ask(*batch):
                found[job_of(facts)] = status(facts, self._today())
        wanted = {job: _known_as(job) for job in jobs}
        whole = groups.queued([*wanted.values()], found, _PARTS)
        return {
            job: replace(whole[known], id=job) for job, known in wanted.items() if known in whole
        }

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what bjobs remembers of those that have ended (see `Scheduler`)."""
        found: dict[str, tuple[Accounting, ...]] = {}
        for batch in batches(jobs):
            for facts in self._ask(*batch):  # an array has ended when all of its elements have
                found[job_of(facts)] = (record(facts, self._today()),)
        wanted = {job: _known_as(job) for job in jobs}
        whole = groups.ended(groups.accounted([*wanted.values()], found, _PARTS))
        return {job: whole[known] for job, known in wanted.items() if known in whole}

    def submitted(self, since: datetime, *, near: Collection[str], ended: bool) -> Submissions:
        """Return the jobs of this user and how they were submitted (see `tracing.Searchable`)."""
        del since, near  # bjobs forgets jobs itself, and there is one cluster
        if ended:
            return Submissions(blind="bjobs forgets a job some time after its end (CLEAN_PERIOD)")
        today = self._today()
        return Submissions(
            jobs=tuple(submission(each, today) for each in self._ask(fields=_SUBMISSION))
        )

    def _ask(self, *words: str, fields: str = _FIELDS) -> Iterator[Mapping[str, str]]:
        """Yield what bjobs writes about each job; about one it does not know, an error text."""
        text = self._programs.ask("bjobs", "-a", "-json", "-o", fields, *words, nothing=_NOT_FOUND)
        start = document(text, "{")
        if not start:
            return
        try:
            jobs: list[dict[str, Any]] = json.loads(start, strict=False)["RECORDS"]
        except (ValueError, KeyError) as error:
            raise self._programs.unreadable("bjobs", text) from error
        yield from (facts for facts in jobs if facts.get("STAT"))

    def cancel(self, jobs: Collection[str]) -> None:
        """Kill these jobs (see `Scheduler`)."""
        for batch in batches(jobs):
            self._programs.ask("bkill", *batch, nothing=rf"{_NOT_FOUND}|already finished|Job has")

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        return tuple(job_of(facts) for facts in self._ask("-J", spelling.job_name(name)))


def options(request: JobRequest, suffix: str = "") -> list[str]:
    """Return bsub's options for a job but for its name; the site's own come last and win.

    Raises:
        SubmissionRefused: The limit is below a minute, which LSF counts in, or the profile asks
            for what LSF does not have.
    """
    profile = request.profile
    wishes.check("lsf", profile, "constraint", "reservation")
    told = ["-cwd", str(request.folder)]
    told += ["-o", f"{request.stdout}{suffix}", "-e", f"{request.stderr}{suffix}"]
    told += ["-n", str(profile.cores * profile.nodes), "-R", f"span[ptile={profile.cores}]"]
    told += ["-r"] if request.requeue else ["-rn"]
    if feature := wishes.feature("lsf", profile):
        told += ["-R", f"select[{feature}]"]
    if profile.node_memory:
        told += ["-M", f"{max(1, profile.node_memory // spelling.MIB)}MB"]
    if profile.walltime:
        if profile.walltime < 60:  # noqa: PLR2004
            raise SubmissionRefused(
                f"lsf: a limit of {profile.walltime} seconds is below a minute",
                hint="Ask for a minute or more.",
            )
        told += ["-W", f"{profile.walltime // 3600}:{profile.walltime // 60 % 60:02}"]
    if request.grace:
        told += ["-wa", "TERM", "-wt", str(max(1, request.warning // 60))]
    places = {"-q": profile.queue, "-P": profile.account, "-U": profile.reservation}
    told += [word for option, value in places.items() if value for word in (option, value)]
    if profile.gpus:
        told += ["-gpu", f"num={profile.gpus}"]
    if request.after:
        told += ["-w", " && ".join(f"done({job})" for job in request.after)]
    return [*told, *profile.extra]


def job_of(facts: Mapping[str, str]) -> str:
    """Return a job's id: `12`, or `12[3]` for a task."""
    index = facts.get("JOBINDEX", "0")
    number = facts["JOBID"].partition("[")[0]
    return number if index in {"", "0", "-"} else f"{number}[{index}]"


def submission(facts: Mapping[str, str], today: date) -> Seen:
    """Return how a job was submitted, from bjobs's JSON; a folder may be told as `$HOME/…`."""
    submitted = _moment(facts.get("SUBMIT_TIME", ""), today)
    folders = (facts.get("SUB_CWD", ""), facts.get("EXEC_CWD", ""))
    return Seen(
        id=str(facts.get("JOBID", "")),
        submitted=submitted.timestamp() if submitted else None,
        folders=tuple(os.path.expandvars(each) for each in folders if each),
        host=facts.get("FROM_HOST", ""),
        after=tuple(re.findall(r"\d+", facts.get("DEPENDENCY", ""))),
    )


def _known_as(job: str) -> str:
    """Return the id by which bjobs answers: of `12[1-3]` it answers by elements."""
    return groups.bare(re.sub(r"\[\d*[-,:].*", "", job))


def status(facts: Mapping[str, str], today: date) -> JobStatus:
    """Return what bjobs says of a job."""
    said = facts.get("STAT", "")
    state = _ended(facts) if said == "EXIT" else _STATES.get(said, JobState.UNKNOWN)
    reason = facts.get("EXIT_REASON") or facts.get("PEND_REASON", "")
    return JobStatus(
        id=job_of(facts),
        state=state,
        said=said,
        reason=reason,
        advice=_advice(said, reason),
        name=facts.get("JOB_NAME", ""),
        submitted=_moment(facts.get("SUBMIT_TIME", ""), today),
    )


def _advice(said: str, reason: str) -> str:
    """Return what to do about a job that waits and will not start by itself."""
    if said == "PSUSP":
        return "it is suspended: `bresume` lets it go on"
    if said != "PEND":
        return ""
    for pattern, text in _ADVICE:
        if re.search(pattern, reason, re.IGNORECASE):
            return text
    return ""


def _ended(facts: Mapping[str, str]) -> JobState:
    """Return how a job ended, by the reason LSF gives for terminating it."""
    if facts.get("STAT") != "EXIT":
        return _STATES.get(facts.get("STAT", ""), JobState.UNKNOWN)
    return _REASONS.get(facts.get("EXIT_REASON", "").partition(":")[0].strip(), JobState.FAILED)


def record(facts: Mapping[str, str], today: date) -> Accounting:
    """Return what bjobs says of a job that has ended; its times may lack the year."""
    reason = facts.get("EXIT_REASON", "")
    code = int(facts.get("EXIT_CODE") or 0)
    by = code - _SIGNALLED if _SIGNALLED < code < _SIGNALLED + signal.NSIG else None
    cores = int(facts.get("SLOTS") or 1)
    elapsed = _seconds(facts.get("RUN_TIME", ""))
    return Accounting(
        id=job_of(facts),
        state=_ended(facts),
        said=reason or facts.get("STAT", ""),
        exit_code=code,
        signal=by,
        submitted=_moment(facts.get("SUBMIT_TIME", ""), today),
        started=_moment(facts.get("START_TIME", ""), today),
        ended=_moment(facts.get("FINISH_TIME", ""), today),
        elapsed=elapsed,
        cores=cores,
        core_seconds=elapsed * cores,
        cpu_seconds=_seconds(facts.get("CPU_USED", "")),
        peak_memory=_bytes(facts.get("MAX_MEM", "")),
        requested_memory=_bytes(facts.get("MEMLIMIT", "")),
        hosts=facts.get("EXEC_HOST", ""),
        name=facts.get("JOB_NAME", ""),
    )


def _seconds(text: str) -> float:
    matched = re.match(r"([\d.]+)", text)
    return float(matched[1]) if matched else 0.0


def _bytes(text: str) -> int | None:
    """Return bytes from `12 Mbytes`, `1.5 Gbytes`, `100 M`."""
    matched = re.match(r"([\d.]+) ?([KMGT]?)", text)
    return int(float(matched[1]) * _UNITS[matched[2]]) if matched else None


def _moment(text: str, today: date) -> datetime | None:
    """Return the time from `Nov 21 09:49`, `Nov 21 09:49:45 2026 L`: often without a year."""
    matched = re.match(r"(?:\w{3} )?(\w{3}) +(\d+) (\d+):(\d+)(?::(\d+))?(?: (\d{4}))?", text)
    if not matched or matched[1] not in _MONTHS:
        return None
    day, hour, minute, second = (int(matched[number] or 0) for number in range(2, 6))
    month = _MONTHS.index(matched[1]) + 1
    year = today.year if (month, day) <= (today.month, today.day) else today.year - 1
    return datetime(int(matched[6] or year), month, day, hour, minute, second, tzinfo=UTC)
