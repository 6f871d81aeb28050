"""HTCondor: condor_submit, condor_q, condor_history, condor_rm.

Written after the vendor's documents (HTCondor 23 manual: submit commands, job ClassAd attributes)
and tested by outputs in their form: no pool could be run. It is for pools whose machines share
the file system with the submitter.

Dependencies are DAGMan's business, so `after` is refused. HTCondor has no signal before a
limit: the job watches its own clock. A job that it holds (over its memory, over its time) would
wait for ever; for us it has ended, and its cause is the reason of the hold.
"""

from __future__ import annotations

import json
import re
import signal
from datetime import UTC, datetime
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
    Traits,
    batches,
)
from nbpipe.reference.schedulers.unnoted import Seen, Submissions
from nbpipe.system.accounts import account

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_IDLE, _RUNNING, _REMOVED, _COMPLETED, _HELD, _TRANSFERRING, _SUSPENDED = range(1, 8)
_GOING_ON = {
    _IDLE: JobState.PENDING,
    _RUNNING: JobState.RUNNING,
    _TRANSFERRING: JobState.RUNNING,
    _SUSPENDED: JobState.RUNNING,
}
"""JobStatus."""
_HOLDS = {
    1: JobState.CANCELLED,  # by its user
    15: JobState.PENDING,  # submitted on hold
    16: JobState.PENDING,  # its input is being spooled
    26: JobState.OUT_OF_MEMORY,  # SYSTEM_PERIODIC_HOLD is told apart by its words below
    34: JobState.OUT_OF_MEMORY,
    46: JobState.TIMEOUT,  # allowed_job_duration
    47: JobState.TIMEOUT,  # allowed_execute_duration
}
"""HoldReasonCode; all others mean that it could not be run."""
_OUTAGE = (
    r"can't (?:find address|connect)|failed to (?:connect|fetch ads|end classad)|"
    r"couldn't contact|communication error|timed out|unable to contact|schedd"
)
_OF_A_JOB = (
    *(
        "_CONDOR_SCRATCH_DIR",
        "_CONDOR_JOB_",
        "_CONDOR_MACHINE_AD",
        "_CONDOR_SLOT",
        "_CONDOR_CHIRP_",
    ),
    *("_CONDOR_WRAPPER_ERROR_FILE", "_CONDOR_EXECUTABLE", "_CHIRP_"),
)
"""Variables that tell a job about itself; other `_CONDOR_…` are a user's configuration."""
_RELEASE = "mend that and release the job (`condor_release {0}`), or remove it (`condor_rm {0}`)"
_ATTRIBUTES = (
    *("ClusterId", "ProcId", "JobStatus", "ExitCode", "ExitBySignal", "ExitSignal", "QDate"),
    *("JobStartDate", "JobCurrentStartDate", "CompletionDate", "EnteredCurrentStatus"),
    *("RemoteWallClockTime", "RemoteUserCpu", "RemoteSysCpu", "ResidentSetSize", "MemoryUsage"),
    *("RequestMemory", "RequestCpus", "LastRemoteHost", "HoldReason", "HoldReasonCode"),
    *("RemoveReason", "NumJobStarts"),
)


_SUBMISSION = ("ClusterId", "QDate", "Iwd", "Environment", "Env")


class HTCondor:
    """HTCondor, through its own programs."""

    name = "htcondor"
    traits = Traits(warning=None, dependencies=None, arrays=True)

    def __init__(self, environ: Mapping[str, str] | None = None, timeout: float = 60.0) -> None:
        self._programs = Programs(
            self.name, environ=environ, without=_OF_A_JOB, timeout=timeout, outage=_OUTAGE
        )

    def submit(self, request: JobRequest) -> str:
        """Submit a job; return its id (see `Scheduler`)."""
        (job,) = self._submit(description(request))
        return job

    def submit_array(
        self, request: JobRequest, count: int, *, at_once: int | None = None
    ) -> tuple[str, ...]:
        """Submit tasks 1 to `count`; return their ids (see `Scheduler`)."""
        question = ("condor_config_val", "MAX_JOBS_PER_SUBMISSION")
        most = array_limits.number(array_limits.answer(self._programs, *question), r"^(\d+)$")
        return array_limits.in_parts(
            self, request, count, most=most, at_once=at_once, submit=self._array
        )

    def _array(self, request: JobRequest, count: int, at_once: int | None) -> tuple[str, ...]:
        return self._submit(description(request, count=count, at_once=at_once))

    def _submit(self, text: str) -> tuple[str, ...]:
        out = self._programs.submit("condor_submit", "-terse", "-", text=text)
        matched = self._programs.said("condor_submit", out, r"(\d+)\.(\d+) - \1\.(\d+)")
        return tuple(f"{matched[1]}.{n}" for n in range(int(matched[2]), int(matched[3]) + 1))

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what condor_q knows of these jobs (see `Scheduler`)."""
        found = {}
        for batch in batches(jobs):
            for facts in self._ask("condor_q", *batch):
                found[job_of(facts)] = status(facts)
        return groups.queued(jobs, found, ".")

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what the queue and the history know of those that have ended."""
        found: dict[str, tuple[Accounting, ...]] = {}
        for batch in batches(jobs):
            for facts in self._ask("condor_history", *batch):
                found[job_of(facts)] = (record(facts),)
            waiting = [job for job in batch if job not in found or "." not in job]
            for facts in self._ask("condor_q", *waiting) if waiting else ():
                found[job_of(facts)] = (record(facts),)
        # A cluster has ended when all of its jobs have.
        return groups.ended(groups.accounted(jobs, found, "."))

    def submitted(self, since: datetime, *, near: Collection[str], ended: bool) -> Submissions:
        """Return the jobs of this user and how they were submitted (see `tracing.Searchable`)."""
        del near  # the local schedd is all that can be asked
        user = account()
        mine = f'Owner == "{user}" && QDate >= {int(since.timestamp())}'
        program = "condor_history" if ended else "condor_q"
        ads = self._ask(program, "-constraint", mine, attributes=_SUBMISSION)
        found = {seen.id: seen for seen in map(submission, ads)}
        return Submissions(jobs=tuple(found.values()))

    def _ask(
        self, program: str, *words: str, attributes: Sequence[str] = _ATTRIBUTES
    ) -> list[dict[str, Any]]:
        """Return the ClassAds of jobs; for none the programs write nothing at all."""
        text = self._programs.ask(program, *words, "-json", "-attributes", ",".join(attributes))
        try:
            start = document(text, "[")
            found: list[dict[str, Any]] = json.loads(start) if start else []
        except ValueError as error:
            raise self._programs.unreadable(program, text) from error
        return found

    def cancel(self, jobs: Collection[str]) -> None:
        """Remove these jobs (see `Scheduler`)."""
        for batch in batches(jobs):
            self._programs.ask("condor_rm", *batch, nothing=r"couldn't find|not found|no result")

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        constraint = ("-constraint", f'NbpipeName == "{spelling.job_name(name)}"')
        waiting = self._ask("condor_q", *constraint)
        ended = self._ask("condor_history", *constraint)
        return tuple(dict.fromkeys(job_of(facts) for facts in [*waiting, *ended]))


def submission(facts: Mapping[str, Any]) -> Seen:
    """Return how a job was submitted, from its ClassAd; a cluster's processes are one job."""
    text = f"{facts.get('Environment', '')} {facts.get('Env', '')}"
    notes = re.search(r"(?:^|[\s;])NBPIPE_CHILDREN=([^\s;]+)", text)
    submitted = facts.get("QDate")
    return Seen(
        id=str(facts.get("ClusterId", "")),
        submitted=float(submitted) if submitted is not None else None,
        folders=(str(facts.get("Iwd", "")),),
        variables={"NBPIPE_CHILDREN": notes[1]} if notes else {},
    )


def description(request: JobRequest, count: int = 0, at_once: int | None = None) -> str:
    """Return the submit description: a fixed table of commands, checked values.

    Raises:
        SubmissionRefused: It waits for other jobs, is for several machines, or asks for what
            HTCondor does not have.
    """
    profile = request.profile
    wishes.check("htcondor", profile)
    if request.after or profile.nodes > 1:
        wish = "waits for other jobs" if request.after else "is for several machines"
        raise SubmissionRefused(
            f"htcondor: {request.name} {wish}", hint="HTCondor does that with DAGMan, we do not."
        )
    suffix = ".$(NbpipeIndex)" if count else ""
    arguments = " ".join(_quoted(word) for word in request.command)
    lines = {
        "universe": "vanilla",
        "executable": "/bin/bash",
        "transfer_executable": "false",
        "should_transfer_files": "no",
        "arguments": f'"{arguments}"',
        "initialdir": str(request.folder),
        "output": f"{request.stdout}{suffix}",
        "error": f"{request.stderr}{suffix}",
        "batch_name": request.name,
        "My.NbpipeName": f'"{request.name}"',
        "request_cpus": str(profile.cores),
        "notification": "never",
    }
    # HTCondor starts a job again after an eviction, and nothing in a submit description forbids
    # it; what can be had is that a second start ends it.
    if not request.requeue:
        lines["periodic_remove"] = "NumJobStarts > 1"
    if profile.node_memory:
        lines["request_memory"] = str(max(1, profile.node_memory // spelling.MIB))
    if profile.gpus:
        lines["request_gpus"] = str(profile.gpus)
    if profile.walltime:
        lines["allowed_execute_duration"] = str(profile.walltime)
    if profile.account:
        lines["accounting_group"] = profile.account
    if profile.queue:
        lines["My.Queue"] = f'"{profile.queue}"'
    if count:
        lines["environment"] = '"NBPIPE_TASK_INDEX=$(NbpipeIndex)"'
        if at_once:
            lines["max_materialize"] = str(at_once)
    told = [f"{name} = {value}" for name, value in lines.items()]
    indices = ", ".join(str(index) for index in range(1, count + 1))
    end = f"queue NbpipeIndex in ({indices})" if count else "queue"
    return "\n".join([*told, *profile.extra, end, ""])


def _quoted(word: str) -> str:
    """Return a word of the new syntax of arguments; it holds no quote (see `spelling.path`)."""
    return f"'{word}'"


def job_of(facts: Mapping[str, Any]) -> str:
    """Return a job's id, `12.0`."""
    return f"{facts['ClusterId']}.{facts['ProcId']}"


def status(facts: Mapping[str, Any]) -> JobStatus:
    """Return what condor_q says of a job."""
    number = int(facts.get("JobStatus", 0))
    reason = str(facts.get("HoldReason", "")) if number == _HELD else ""
    return JobStatus(
        id=job_of(facts),
        state=_state(facts),
        said=f"JobStatus {number}",
        reason=" ".join(reason.split()),
        advice=_RELEASE.format(job_of(facts)) if number == _HELD else "",
        submitted=_moment(facts.get("QDate")),
    )


def _state(facts: Mapping[str, Any]) -> JobState:
    number = int(facts.get("JobStatus", 0))
    if number in _GOING_ON:
        return _GOING_ON[number]
    if number == _HELD:
        return _held(facts)
    if number == _REMOVED:
        return JobState.CANCELLED
    if number != _COMPLETED:
        return JobState.UNKNOWN
    clean = not facts.get("ExitBySignal") and facts.get("ExitCode") == 0
    return JobState.COMPLETED if clean else JobState.FAILED


def _held(facts: Mapping[str, Any]) -> JobState:
    words = str(facts.get("HoldReason", "")).lower()
    code = int(facts.get("HoldReasonCode", 0))
    if code == 26:  # noqa: PLR2004  (a rule of the site's; its words are all there is)
        return JobState.OUT_OF_MEMORY if "memory" in words else JobState.CANCELLED
    return _HOLDS.get(code, JobState.FAILED)


def record(facts: Mapping[str, Any]) -> Accounting:
    """Return what the ClassAd says of a job that has ended."""
    elapsed = float(facts.get("RemoteWallClockTime", 0.0))
    cores = int(facts.get("RequestCpus", 1))
    cpu = float(facts.get("RemoteUserCpu", 0)) + float(facts.get("RemoteSysCpu", 0))
    signalled = bool(facts.get("ExitBySignal"))
    words = facts.get("RemoveReason") or facts.get("HoldReason") or ""
    memory = facts.get("RequestMemory")
    # MemoryUsage is an expression that condor_history does not evaluate; this is its KiB.
    usage = facts.get("ResidentSetSize")
    return Accounting(
        id=job_of(facts),
        state=_state(facts),
        said=" ".join(str(words).split()) or f"JobStatus {facts.get('JobStatus')}",
        exit_code=None if signalled else facts.get("ExitCode"),
        signal=facts.get("ExitSignal") if signalled else None,
        submitted=_moment(facts.get("QDate")),
        started=_moment(facts.get("JobStartDate")),
        ended=_moment(facts.get("CompletionDate") or facts.get("EnteredCurrentStatus")),
        elapsed=elapsed,
        cores=cores,
        core_seconds=elapsed * cores,
        cpu_seconds=None if facts.get("ExitSignal") == signal.SIGKILL else cpu,
        peak_memory=int(usage) * 1024 if isinstance(usage, int) else None,
        requested_memory=int(memory) * spelling.MIB if isinstance(memory, int) else None,
        hosts=str(facts.get("LastRemoteHost", "")),
    )


def _moment(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds else None
