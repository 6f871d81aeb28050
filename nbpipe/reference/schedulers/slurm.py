"""Slurm: sbatch, squeue, sacct, scancel.

Times are asked for as seconds since 1970 (SLURM_TIME_FORMAT); variables that would change the
questions (SQUEUE_PARTITION, SBATCH_…) are kept from the programs. Source: the manual pages of
Slurm 22.05, and what its daemons really answer (tests/integration/test_slurm.py).

Most reasons of a job that waits pass by themselves (`Priority`, `Resources`, a limit on running
jobs); advice is given for the others, after SchedMD's list of job reason codes.
"""

from __future__ import annotations

import re
import signal
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbpipe.reference import spelling
from nbpipe.reference.errors import SubmissionRefused
from nbpipe.reference.schedulers import array_limits, groups
from nbpipe.reference.schedulers.programs import Programs
from nbpipe.reference.schedulers.protocol import (
    Accounting,
    JobRequest,
    JobState,
    JobStatus,
    Known,
    NoAccounting,
    Traits,
    batches,
)
from nbpipe.reference.schedulers.unnoted import Seen, Step, Submissions
from nbpipe.system.accounts import account

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from nbpipe.reference.profiles import Profile

_STATES: Known = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "REQUEUED": JobState.REQUEUED,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "COMPLETED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "LAUNCH_FAILED": JobState.NODE_FAIL,
    "RECONFIG_FAIL": JobState.NODE_FAIL,
    "BOOT_FAIL": JobState.NODE_FAIL,
    "NODE_FAIL": JobState.NODE_FAIL,
    "CANCELLED": JobState.CANCELLED,
    "TIMEOUT": JobState.TIMEOUT,
    "DEADLINE": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "PREEMPTED": JobState.PREEMPTED,
}
_REVOKED = "REVOKED"
"""Of a federation: another cluster of it has started the job, and tells how it goes."""
_OUTAGE = (
    r"unable to contact|connection refused|socket timed out|connect failure|zero bytes|"
    r"communication|slurm_persist|munge|temporarily unable|backup controller|message receive"
)
_FIELDS = (
    *("JobID", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "AllocCPUS"),
    *("CPUTimeRAW", "TotalCPU", "MaxRSS", "ReqMem", "NodeList", "JobName"),
)
"""Of sacct. A name may hold anything, and so stands last."""
_QUEUE = "%i|%T|%r|%V|%j"
_REMEMBERED = (
    *("JobArrayID", "State", "exit_code", "SubmitTime", "StartTime", "EndTime", "NumCPUs"),
    *("NodeList", "Name"),
)
"""Of squeue, where there is no accounting."""
_NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)
_EPOCH = {"SLURM_TIME_FORMAT": "%s"}
_ANSWER = r"(?:Submitted batch job )?(\d+)(?:;([\w.-]+)| on cluster ([\w.-]+))?"
"""What sbatch says of a job: its number, and the cluster where that is another one."""
_PART = re.compile(r"\d+(?:[_+]\d+)?")
"""What squeue and sacct know of a job's id; a step's name (`12.batch`) is not for squeue."""
_PARTS = "_+"
"""What follows an array's or a heterogeneous job's number in the ids of its parts."""
_SUBMISSION = ("JobArrayID", "AllocNodes", "AllocSID", "SubmitTime", "Dependency", "WorkDir")
"""squeue's fields that say how jobs were submitted."""
_STEP_FIELDS = ("JobID", "JobName", "State", "ExitCode", "ElapsedRaw", "AllocCPUS", "SubmitLine")
_WITHIN = "now-30days"
"""How far back an ended job is found by its name."""
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


class Slurm:
    """Slurm, through its own programs."""

    name = "slurm"
    traits = Traits(
        warning=signal.SIGTERM, dependencies="success", arrays=True, evidence="real daemons"
    )

    def __init__(self, environ: Mapping[str, str] | None = None, timeout: float = 60.0) -> None:
        self._programs = Programs(
            self.name,
            environ=environ,
            # A job's own variables, too: submitted from inside of it, the new job would inherit its
            # parent's number of tasks and memory, which every srun in it takes for its own.
            without=("SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_", "SRUN_"),
            keep=("SLURM_CONF", "SLURM_JWT"),
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
        question = ("scontrol", "show", "config")
        said = array_limits.answer(self._programs, *question) if count > 1 else ""
        size = array_limits.number(said, r"^MaxArraySize\s*=\s*(\d+)")
        jobs = array_limits.number(said, r"^MaxJobCount\s*=\s*(\d+)")
        if jobs and count > jobs:
            raise SubmissionRefused(
                f"slurm: {count} tasks are more than the controller keeps (MaxJobCount={jobs})",
                hint="Ask for fewer at once (`-n`).",
            )
        most = size - 1 if size else None  # the largest index is one less
        return array_limits.in_parts(
            self, request, count, most=most, at_once=at_once, submit=self._array
        )

    def _array(self, request: JobRequest, count: int, at_once: int | None) -> tuple[str, ...]:
        throttle = f"%{at_once}" if at_once else ""
        array = options(request, suffix=".%a")
        job = self._submit([*array, f"--array=1-{count}{throttle}"], request)
        number, semicolon, cluster = job.partition(";")
        return tuple(f"{number}_{index}{semicolon}{cluster}" for index in range(1, count + 1))

    def _submit(self, arguments: list[str], request: JobRequest) -> str:
        out = self._programs.submit("sbatch", *arguments, *request.command)
        answer = self._programs.said("sbatch", out, _ANSWER)
        cluster = answer[2] or answer[3]
        return f"{answer[1]};{cluster}" if cluster else answer[1]

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what squeue knows of these jobs (see `Scheduler`)."""
        answers: dict[str, JobStatus] = {}
        for cluster, ids in _by_cluster(jobs).items():
            found: dict[str, JobStatus] = {}
            for batch in batches(ids.values()):
                found |= queue(self._squeue("-o", _QUEUE, *_at(cluster), "-j", ",".join(batch)))
            found = self._federated(found)
            whole = groups.queued([*ids.values()], found, _PARTS)
            answers |= {
                job: replace(whole[bare], id=job) for job, bare in ids.items() if bare in whole
            }
        return {job: answers[job] for job in jobs if job in answers}

    def _federated(self, found: dict[str, JobStatus]) -> dict[str, JobStatus]:
        """Return the answer with what other clusters say of the jobs that they have started."""
        gone = [job for job, status in found.items() if status.said == _REVOKED]
        if not gone:
            return found
        elsewhere = queue(self._squeue("-o", _QUEUE, "-M", "all", "-j", ",".join(gone)))
        own = {
            job: elsewhere[job]
            for job in gone
            if job in elsewhere and elsewhere[job].name == found[job].name
        }
        return {job: status for job, status in (found | own).items() if status.said != _REVOKED}

    def _squeue(self, *words: str) -> str:
        return self._programs.ask(
            *("squeue", "-h", "-r", "-t", "all", *words),
            nothing=r"Invalid job id specified",
            environ=_EPOCH,
        )

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what sacct knows of these jobs (see `Scheduler`).

        Without accounting, what squeue remembers (for MinJobAge, mostly five minutes).

        Raises:
            NoAccounting: None is kept, and squeue does not know all of these jobs either.
            SchedulerOutage: No answer, or none that can be understood.
        """
        answers: dict[str, tuple[Accounting, ...]] = {}
        disabled = ""
        for cluster, ids in _by_cluster(jobs).items():
            found: dict[str, tuple[Accounting, ...]] = {}
            for batch in batches(ids.values()):
                where = (*_at(cluster), "-j", ",".join(batch))
                question = ("-D", "-o", ",".join(_FIELDS), *where)
                answer = self._sacct(*question)
                if answer and f"|{_REVOKED}|" in answer:
                    answer = self._sacct("--federation", *question)
                if answer is None:
                    disabled = "slurm: no accounting is kept here (sacct: disabled)"
                    found |= remembered(self._squeue("-O", _long(_REMEMBERED), *where))
                else:
                    found |= records(answer)
            whole = groups.accounted([*ids.values()], found, _PARTS)
            answers |= {job: whole[bare] for job, bare in ids.items() if bare in whole}
        if disabled and not all(job in answers for job in jobs):
            raise NoAccounting(disabled, answers)
        return {job: answers[job] for job in jobs if job in answers}

    def cancel(self, jobs: Collection[str]) -> None:
        """Cancel these jobs (see `Scheduler`)."""
        for cluster, ids in _by_cluster(jobs).items():
            for batch in batches(ids.values()):
                self._programs.ask(
                    *("scancel", *_at(cluster), *batch),
                    nothing=r"Invalid job id|already completing or completed",
                )

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        spelling.job_name(name)
        waiting = self._squeue("-o", "%i", "-n", name)
        ended = self._sacct("-X", "-S", _WITHIN, "-o", "JobID", "--name", name)
        ids = [*waiting.split(), *(ended or "").split()]
        return tuple(dict.fromkeys(job for job in ids if re.fullmatch(r"\d+(_\d+)?", job)))

    def submitted(self, since: datetime, *, near: Collection[str], ended: bool) -> Submissions:
        """Return the jobs of this user and how they were submitted (see `tracing.Searchable`)."""
        user = account()
        found: list[Seen] = []
        blind = ""
        for cluster in {"": None, **dict.fromkeys(_by_cluster(near))}:
            if not ended:
                words = ("squeue", "-h", "-t", "all", "-u", user, "-O", _long(_SUBMISSION))
                answer = self._programs.call(*words, *_at(cluster), environ=_EPOCH)
                if answer.code != 0:
                    raise self._programs.outage("squeue", answer)
                found += in_queue(answer.out, cluster)
                continue
            start = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
            fields = ("-X", "-u", user, "-S", start, "-o", "JobID,Submit,WorkDir")
            text = self._sacct(*fields, *_at(cluster))
            if text is None:
                blind = "without accounting, jobs that left the queue cannot be found"
            found += in_accounting(text or "", cluster)
        return Submissions(jobs=tuple(found), blind=blind)

    def steps(self, jobs: Collection[str]) -> dict[str, tuple[Step, ...]]:
        """Return the steps of jobs that srun made, as the accounting knows them.

        Raises:
            SchedulerOutage: No answer.
        """
        found: dict[str, tuple[Step, ...]] = {}
        for cluster, ids in _by_cluster(jobs).items():
            known: dict[str, tuple[Step, ...]] = {}
            for batch in batches(ids.values()):
                words = ("-o", ",".join(_STEP_FIELDS), *_at(cluster), "-j", ",".join(batch))
                known |= steps_of(self._sacct(*words) or "")
            found |= {job: known[bare] for job, bare in ids.items() if bare in known}
        return {job: found[job] for job in jobs if job in found}

    def _sacct(self, *words: str) -> str | None:
        """Return sacct's answer; None where no accounting is kept.

        It complains about an outage and exits with 0 all the same.
        """
        answer = self._programs.call("sacct", "-n", "-P", *words, environ=_EPOCH)
        if _NO_ACCOUNTING.search(answer.err):
            return None
        if answer.code != 0 or "error:" in answer.err:
            raise self._programs.outage("sacct", answer)
        return answer.out


def _by_cluster(jobs: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the jobs of each cluster with the ids that its programs know.

    The cluster is "" for the one that programs ask anyway.
    """
    found: dict[str, dict[str, str]] = {}
    for job in jobs:
        number, _, cluster = job.partition(";")
        part = _PART.match(number)
        found.setdefault(cluster, {})[job] = groups.bare(part[0]) if part else number
    return found


def _at(cluster: str) -> tuple[str, ...]:
    return ("-M", cluster) if cluster else ()


def _long(fields: Collection[str]) -> str:
    """Return squeue's long format: wide columns, as it cuts longer values off."""
    return ",".join(f"{name}:1000|" for name in fields)


def options(request: JobRequest, suffix: str = "") -> list[str]:
    """Return sbatch's options for a job; the site's own come last and win."""
    profile = request.profile
    told = [
        "--parsable",
        f"--job-name={request.name}",
        f"--chdir={request.folder}",
        f"--output={request.stdout}{suffix}",
        f"--error={request.stderr}{suffix}",
        f"--nodes={profile.nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={profile.cores}",
        "--requeue" if request.requeue else "--no-requeue",
    ]
    # sbatch refuses both at once: --mem and --mem-per-cpu exclude each other.
    if profile.memory_per_core:
        told.append(f"--mem-per-cpu={max(1, profile.memory_per_core // spelling.MIB)}M")
    elif profile.memory:
        told.append(f"--mem={max(1, profile.memory // spelling.MIB)}M")
    if profile.walltime:
        told.append(f"--time={spelling.clock(profile.walltime)}")
    if request.grace:
        told.append(f"--signal=B:TERM@{request.warning}")
    told += [f"--{option}={value}" for option, value in _places(profile) if value]
    if profile.gpus:
        told.append(f"--gpus-per-node={profile.gpus}")
    if request.after:
        told += [f"--dependency=afterok:{':'.join(request.after)}", "--kill-on-invalid-dep=yes"]
    return [*told, *profile.extra]


def _places(profile: Profile) -> Iterator[tuple[str, str | None]]:
    """Yield the options that say where and on whose account a job runs."""
    yield "partition", profile.queue
    yield "account", profile.account
    yield "qos", profile.qos
    yield "constraint", profile.constraint
    yield "reservation", profile.reservation


def in_queue(text: str, cluster: str = "") -> list[Seen]:
    """Return what squeue says of the fields `_SUBMISSION`; one entry per array."""
    found: dict[str, Seen] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|", len(_SUBMISSION) - 1)]
        number = re.match(r"\d+", fields[0])
        if len(fields) < len(_SUBMISSION) or number is None:
            continue
        _, host, session, submitted, after, folder = fields
        seen = Seen(
            id=_of_cluster(number.group(), cluster),
            submitted=float(submitted) if submitted.isdigit() else None,
            folders=(folder.removesuffix("|").rstrip(),),
            host=host,
            session=int(session) if session.isdigit() else None,
            after=tuple(re.findall(r":(\d+)", after)),
        )
        found.setdefault(seen.id, seen)
    return [*found.values()]


def in_accounting(text: str, cluster: str = "") -> list[Seen]:
    """Return what sacct's lines `JobID|Submit|WorkDir` say; one entry per array."""
    found: dict[str, Seen] = {}
    for line in text.splitlines():
        job, _, rest = line.partition("|")
        submitted, bar, folder = rest.partition("|")
        if bar and (number := re.match(r"\d+", job)):
            when = float(submitted) if submitted.isdigit() else None
            name = _of_cluster(number.group(), cluster)
            found.setdefault(name, Seen(id=name, submitted=when, folders=(folder,)))
    return [*found.values()]


def _of_cluster(job: str, cluster: str) -> str:
    return f"{job};{cluster}" if cluster else job


def steps_of(text: str) -> dict[str, tuple[Step, ...]]:
    """Return what sacct's lines say of steps that srun made, by job; an array's by its number."""
    found: dict[str, list[Step]] = {}
    for line in text.splitlines():
        fields = dict(zip(_STEP_FIELDS, line.split("|", len(_STEP_FIELDS) - 1), strict=False))
        job, _, step = fields["JobID"].partition(".")
        if not step[:1].isdigit() or len(fields) < len(_STEP_FIELDS):
            continue  # the job itself, or its batch, extern or interactive step
        code, _, number = fields["ExitCode"].partition(":")
        found.setdefault(re.split(r"[_+]", job)[0], []).append(
            Step(
                id=fields["JobID"],
                name=fields["JobName"],
                state=_STATES.get(fields["State"].partition(" ")[0], JobState.UNKNOWN),
                exit=int(code or 0) if not int(number or 0) else None,
                seconds=float(fields["ElapsedRaw"] or 0),
                cores=int(fields["AllocCPUS"] or 0),
                call=fields["SubmitLine"],
            )
        )
    return {job: tuple(each) for job, each in found.items()}


def queue(text: str) -> dict[str, JobStatus]:
    """Return what squeue's lines say: `_QUEUE`."""
    found = {}
    for line in text.splitlines():
        job, said, reason, submitted, name = (*line.strip().split("|", 4), *[""] * 5)[:5]
        if not said or not _PART.match(job):
            continue  # the name of another cluster, a word of the site's, a name of two lines
        if said == _REVOKED and job in found:
            continue
        state = _STATES.get(said, JobState.UNKNOWN)
        found[job] = JobStatus(
            id=job,
            state=state,
            said=said,
            reason="" if reason == "None" else reason,
            advice=advice(reason) if state is JobState.PENDING else "",
            name=name,
            submitted=_moment(submitted),
        )
    return found


def remembered(text: str) -> dict[str, tuple[Accounting, ...]]:
    """Return what squeue's lines say of jobs that have ended: `_REMEMBERED`.

    Slurm without accounting knows neither memory nor processor time, nor earlier attempts.
    """
    found: dict[str, tuple[Accounting, ...]] = {}
    for line in text.splitlines():
        values = [each.strip() for each in line.split("|", len(_REMEMBERED) - 1)]
        row = dict(zip(_REMEMBERED, values, strict=False))
        state = _STATES.get(row.get("State", ""), JobState.UNKNOWN)
        if len(row) == len(_REMEMBERED) and state.ended and _PART.match(row["JobArrayID"]):
            found[row["JobArrayID"]] = (_remembered(row, state),)
    return found


def _remembered(row: Mapping[str, str], state: JobState) -> Accounting:
    status = int(row["exit_code"]) if row["exit_code"].isdigit() else 0  # as wait(2) returns it
    started, ended = _moment(row["StartTime"]), _moment(row["EndTime"])
    elapsed = (ended - started).total_seconds() if started and ended else 0.0
    cores = int(row["NumCPUs"]) if row["NumCPUs"].isdigit() else 0
    return Accounting(
        id=row["JobArrayID"],
        state=state,
        said=row["State"],
        exit_code=status >> 8,
        signal=status & 0x7F or None,
        submitted=_moment(row["SubmitTime"]),
        started=started,
        ended=ended,
        elapsed=elapsed,
        cores=cores,
        core_seconds=cores * elapsed,
        hosts=row["NodeList"],
        name=row["Name"].removesuffix("|").rstrip(),
    )


def records(text: str) -> dict[str, tuple[Accounting, ...]]:
    """Return what sacct's lines say: jobs, each attempt, with the memory of its steps."""
    attempts: dict[str, list[Accounting]] = {}
    for row, steps in _grouped(text):
        if row["State"] == _REVOKED:
            continue
        attempts.setdefault(row["JobID"], []).append(_record(row, steps))
    return {job: tuple(sorted(each, key=_order)) for job, each in attempts.items()}


def _order(record: Accounting) -> tuple[float, float]:
    """An attempt that has not started is the newest; a job of the same id came much later."""
    submitted = record.submitted.timestamp() if record.submitted else 0.0
    return submitted, record.started.timestamp() if record.started else float("inf")


def _grouped(text: str) -> Iterator[tuple[dict[str, str], list[dict[str, str]]]]:
    """Yield each job's row with the rows of its steps, which follow it."""
    job: dict[str, str] | None = None
    steps: list[dict[str, str]] = []
    for line in text.splitlines():
        values = line.split("|", len(_FIELDS) - 1)
        if len(values) < len(_FIELDS) - 1 or not _PART.match(values[0]):
            continue
        row = dict(zip(_FIELDS, (*values, "")[: len(_FIELDS)], strict=True))
        number, dot, _ = row["JobID"].partition(".")
        if dot:
            if job and job["JobID"] == number:
                steps.append(row)
            continue
        if job:
            yield job, steps
        job, steps = row, []
    if job:
        yield job, steps


def _record(row: Mapping[str, str], steps: list[dict[str, str]]) -> Accounting:
    state = _STATES.get(row["State"].partition(" ")[0].rstrip("+"), JobState.UNKNOWN)
    if state.ended and not row["End"].isdigit():
        state = JobState.UNKNOWN  # half told: what the job ended with comes in a later message
    code, _, number = row["ExitCode"].partition(":")
    peaks = [peak for step in steps if (peak := _bytes(step["MaxRSS"])) is not None]
    killed = [int(step["ExitCode"].partition(":")[2] or 0) for step in steps]
    by = int(number or 0) or next((each for each in killed if each), 0)
    return Accounting(
        id=row["JobID"],
        state=state,
        said=row["State"],
        exit_code=int(code or 0),
        signal=by or None,
        submitted=_moment(row["Submit"]),
        started=_moment(row["Start"]),
        ended=_moment(row["End"]),
        elapsed=float(row["ElapsedRaw"] or 0),
        cores=int(row["AllocCPUS"] or 0),
        core_seconds=float(row["CPUTimeRAW"] or 0),
        cpu_seconds=None if by == signal.SIGKILL else _cpu(row["TotalCPU"]),
        peak_memory=max(peaks, default=None),
        requested_memory=_bytes(row["ReqMem"].rstrip("nc")),
        hosts="" if row["NodeList"] == "None assigned" else row["NodeList"],
        # What sacct says of a job that has started before its name has come.
        name="" if row["JobName"] == "allocation" else row["JobName"],
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if text.isdigit() else None


def _bytes(text: str) -> int | None:
    """Return bytes from `1234K`, `0.50G`; None for nothing."""
    matched = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return int(float(matched[1]) * _UNITS[matched[2]]) if matched else None


def _cpu(text: str) -> float | None:
    """Return seconds from `00:01.500`, `01:02:03`, `1-01:02:03`."""
    days, _, rest = text.rpartition("-")
    try:
        seconds = 0.0
        for part in rest.split(":"):
            seconds = seconds * 60 + float(part)
        return seconds + 86_400 * int(days or 0)
    except ValueError:
        return None


_SMALLER = "ask for less, or for another partition, and submit again"
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"PartitionTimeLimit|(QOS|Assoc)?MaxWall\w*|(QOS|Assoc)MaxWallDurationPerJobLimit|TimeLimit",
        (
            "the job asks for more time than it may have: submit again with a shorter --walltime "
            "or with another --queue (`sinfo -o '%P %l'` shows the limits of partitions)"
        ),
    ),
    (r"PartitionNodeLimit|PartitionConfig", f"no node of the partition fits the job: {_SMALLER}"),
    (r"PartitionDown|PartitionInactive", "the partition is closed: ask its administrators"),
    (r"BadConstraints", f"no node has what the job asks for: {_SMALLER}"),
    (
        (
            r"(QOS|Assoc|Association|Max)\w*(PerJob|PerNode|MinCpu|MinGRES|MinMemory|MinBilling)\w*"
            r"|MaxMemPerLimit|(QOS|Association|Assoc)ResourceLimit"
        ),
        f"the job asks for more than one job may have: {_SMALLER}",
    ),
    (
        r"(Assoc|QOS)Grp\w*(?<!Run)Minutes(Limit)?|QOSTimeLimit|AssociationTimeLimit",
        "the budget of the account is used up: charge another --account, or ask for more",
    ),
    (
        r"InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|QOSUsageThreshold",
        (
            "the account or its QOS may not be used here: submit again with another --account "
            "(`sacctmgr show associations user=$USER` lists yours)"
        ),
    ),
    (
        r"DependencyNeverSatisfied",
        "the job that it waits for did not end as it should: cancel it and submit again",
    ),
    (r"JobHeldUser", "a user holds it: `scontrol release` the job"),
    (r"JobHeldAdmin", "an administrator, or a limit, holds it: ask the administrators"),
    (
        (
            r"launch failed requeued held|JobLaunchFailure|JobHoldMaxRequeue|"
            r"BadJobFile|InvalidBBSpec|BurstBufferStageIn\w*"
        ),
        (
            "it could not be started and is held: `scontrol show job` tells why; mend it, then "
            "`scontrol release` the job"
        ),
    ),
    (
        r"ReqNodeNotAvail.*|Nodes required for job are DOWN.*|NodeDown|FrontEndDown",
        (
            "nodes that it needs are down, drained or reserved (a maintenance): a shorter "
            "--walltime may fit before it, another --queue may have nodes (`sinfo -R` tells why)"
        ),
    ),
    (r"ReservationDeleted", "its reservation does not exist any more: submit again without it"),
    (r"InvalidReservation|ReservationInvalid", "its reservation cannot be used: submit without it"),
    (r"Licenses", "it waits for licences (`scontrol show licenses`): it starts when some are free"),
    (r"DeadLine", "it cannot end before its deadline any more: cancel it and submit again"),
)
_PATTERNS = [(re.compile(pattern), text) for pattern, text in _ADVICE]


def advice(reason: str) -> str:
    """Return what to do about a pending job of which Slurm says this; "" where waiting helps."""
    for pattern, text in _PATTERNS:
        if pattern.fullmatch(reason.strip("()")):
            return text
    return ""
