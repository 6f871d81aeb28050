"""Slurm: sbatch, squeue, sacct, scancel.

Times are asked for as seconds since 1970 (SLURM_TIME_FORMAT); variables that would change the
questions (SQUEUE_PARTITION, SBATCH_…) are kept from the programs. Source: the manual pages of
Slurm 22.05, and what its daemons really answer (tests/integration/test_slurm.py).
"""

from __future__ import annotations

import re
import signal
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbpipe.reference import spelling
from nbpipe.reference.errors import SubmissionRefused
from nbpipe.reference.schedulers import groups, splitting
from nbpipe.reference.schedulers.programs import Programs
from nbpipe.reference.schedulers.protocol import (
    Accounting,
    JobRequest,
    JobState,
    JobStatus,
    Known,
    Traits,
    batches,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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
    "REVOKED": JobState.CANCELLED,
    "TIMEOUT": JobState.TIMEOUT,
    "DEADLINE": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "PREEMPTED": JobState.PREEMPTED,
}
_OUTAGE = (
    r"unable to contact|connection refused|socket timed out|connect failure|zero bytes|"
    r"communication|slurm_persist|munge|temporarily unable|backup controller|message receive"
)
_FIELDS = (
    *("JobID", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "AllocCPUS"),
    *("CPUTimeRAW", "TotalCPU", "MaxRSS", "ReqMem", "NodeList"),
)
_ANSWER = re.compile(r"(?:Submitted batch job )?(\d+)(;[\w.-]+)?(?: on cluster [\w.-]+)?")
"""What sbatch says of a job: its number, and the cluster where that is another one."""
_PARTS = "_+"
"""What follows an array's or a heterogeneous job's number in the ids of its parts."""
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
            keep=("SLURM_CONF",),
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
        said = splitting.answer(self._programs, *question) if count > 1 else ""
        size = splitting.number(said, r"^MaxArraySize\s*=\s*(\d+)")
        jobs = splitting.number(said, r"^MaxJobCount\s*=\s*(\d+)")
        if jobs and count > jobs:
            raise SubmissionRefused(
                f"slurm: {count} tasks are more than the controller keeps (MaxJobCount={jobs})",
                hint="Ask for fewer at once (`-n`).",
            )
        most = size - 1 if size else None  # the largest index is one less
        return splitting.in_parts(
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
        # A site's wrapper may print lines of its own before the id.
        answers = [each for line in out.splitlines() if (each := _ANSWER.fullmatch(line.strip()))]
        if not answers:
            raise self._programs.unreadable("sbatch", out)
        return f"{answers[-1][1]}{answers[-1][2] or ''}"

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what squeue knows of these jobs (see `Scheduler`)."""
        answers: dict[str, JobStatus] = {}
        for cluster, ids in _by_cluster(jobs).items():
            found: dict[str, JobStatus] = {}
            for batch in batches(ids):
                found |= queue(
                    self._programs.ask(
                        *("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r", *_at(cluster)),
                        *("-j", ",".join(batch)),
                        nothing=r"Invalid job id specified",
                    )
                )
            whole = groups.queued(ids, found, _PARTS)
            answers |= {
                f"{job}{cluster}": replace(whole[job], id=f"{job}{cluster}") for job in whole
            }
        return {job: answers[job] for job in jobs if job in answers}

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        """Return what sacct knows of these jobs (see `Scheduler`)."""
        answers: dict[str, tuple[Accounting, ...]] = {}
        for cluster, ids in _by_cluster(jobs).items():
            found: dict[str, tuple[Accounting, ...]] = {}
            for batch in batches(ids):
                words = ("-D", "-o", ",".join(_FIELDS), *_at(cluster), "-j", ",".join(batch))
                found |= records(self._sacct(*words))
            whole = groups.accounted(ids, found, _PARTS)
            answers |= {f"{job}{cluster}": whole[job] for job in whole}
        return {job: answers[job] for job in jobs if job in answers}

    def cancel(self, jobs: Collection[str]) -> None:
        """Cancel these jobs (see `Scheduler`)."""
        for cluster, ids in _by_cluster(jobs).items():
            for batch in batches(ids):
                self._programs.ask(
                    *("scancel", *_at(cluster), *batch),
                    nothing=r"Invalid job id|already completing or completed",
                )

    def find(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs of that name (see `Scheduler`)."""
        spelling.job_name(name)
        waiting = self._programs.ask("squeue", "-h", "-r", "-t", "all", "-o", "%i", "-n", name)
        ended = self._sacct("-X", "-S", _WITHIN, "-o", "JobID", "--name", name)
        ids = [*waiting.split(), *ended.split()]
        return tuple(dict.fromkeys(job for job in ids if re.fullmatch(r"\d+(_\d+)?", job)))

    def _sacct(self, *words: str) -> str:
        """Return sacct's answer; it complains about an outage and exits with 0 all the same."""
        answer = self._programs.call(
            "sacct", "-n", "-P", *words, environ={"SLURM_TIME_FORMAT": "%s"}
        )
        if answer.code != 0 or "error:" in answer.err:
            raise self._programs.outage("sacct", answer)
        return answer.out


def _by_cluster(jobs: Collection[str]) -> dict[str, list[str]]:
    """Return the jobs of each cluster: `;name`, or nothing for the one that programs ask anyway."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        number, semicolon, cluster = job.partition(";")
        found.setdefault(f"{semicolon}{cluster}", []).append(number)
    return found


def _at(cluster: str) -> tuple[str, ...]:
    return ("-M", cluster.removeprefix(";")) if cluster else ()


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
    if profile.memory:
        told.append(f"--mem={max(1, profile.memory // spelling.MIB)}M")
    if profile.walltime:
        told.append(f"--time={spelling.clock(profile.walltime)}")
    if request.grace:
        told.append(f"--signal=B:TERM@{request.warning}")
    if profile.queue:
        told.append(f"--partition={profile.queue}")
    if profile.account:
        told.append(f"--account={profile.account}")
    if profile.gpus:
        told.append(f"--gpus-per-node={profile.gpus}")
    if request.after:
        told += [f"--dependency=afterok:{':'.join(request.after)}", "--kill-on-invalid-dep=yes"]
    return [*told, *profile.extra]


def queue(text: str) -> dict[str, JobStatus]:
    """Return what squeue's lines `%i|%T|%r` say."""
    found = {}
    for line in text.splitlines():
        job, _, rest = line.strip().partition("|")
        said, _, reason = rest.partition("|")
        if job and said:
            found[job] = JobStatus(
                id=job,
                state=_STATES.get(said, JobState.UNKNOWN),
                said=said,
                reason="" if reason == "None" else reason,
            )
    return found


def records(text: str) -> dict[str, tuple[Accounting, ...]]:
    """Return what sacct's lines say: jobs, each attempt, with the memory of its steps."""
    attempts: dict[str, list[Accounting]] = {}
    for row, steps in _grouped(text):
        attempts.setdefault(row["JobID"], []).append(_record(row, steps))
    return {job: tuple(sorted(each, key=_order)) for job, each in attempts.items()}


def _order(record: Accounting) -> float:
    """An attempt that has not started is the newest."""
    return record.started.timestamp() if record.started else float("inf")


def _grouped(text: str) -> Iterator[tuple[dict[str, str], list[dict[str, str]]]]:
    """Yield each job's row with the rows of its steps, which follow it."""
    job: dict[str, str] | None = None
    steps: list[dict[str, str]] = []
    for line in text.splitlines():
        row = dict(zip(_FIELDS, line.split("|"), strict=False))
        if len(row) < len(_FIELDS):
            continue
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
