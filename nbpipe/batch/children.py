"""Which jobs belong to a run: those that the recorder noted, and those that a scheduler names.

A child runs on a scheduler of its own, which need not be its parent's: a notebook on a login node
submits to Slurm. What the recorder could not see is asked of every scheduler that the run could
reach; `schedulers.unnoted` decides, by certain marks only. What could not be asked, and what looks
like a child without being one for certain, is a remark.

    children/origin.json      written by the job: hosts and sessions of its processes, and whose
                              programs it found; without it the job has not begun
    children/found/…json      a job that a scheduler named; each written once, by whoever asked
    search.json               when was asked last, and what there is to remark
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nbpipe.reference import recorder, store
from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage
from nbpipe.reference.schedulers import registry, unnoted
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.schedulers.unnoted import HasSteps, How, Marks, Searchable, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nbpipe.reference.schedulers.unnoted import Seen

AGAIN = 60.0
"""Seconds between two searches while jobs go on: Slurm forgets a job after five minutes."""
LOCAL = "local"
_ORIGIN = "children/origin.json"
_SEARCH = "search.json"
_PROGRAMS = {"sbatch": "slurm", "bsub": "lsf", "condor_submit": "htcondor"}
_ABSENT = re.compile(
    r"configuration source|SGE_ROOT|cell directory|qmaster name|cannot be started", re.IGNORECASE
)
"""What a scheduler's programs print where they are installed but no cluster is configured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A job of a run."""

    id: str
    scheduler: str
    how: str = How.NOTED
    submitted: float | None = field(default=None, compare=False)
    """Seconds since 1970, where the scheduler told."""
    callers: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Scheduler -> id of the job in whose environment it was submitted, where that was noted."""

    @property
    def identity(self) -> tuple[str, str]:
        """Return what is the same however the id is written: `123`, `123.server`, `123[]`."""
        return self.scheduler, number(self.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What came of asking for jobs that were not noted."""

    asked: float = 0.0
    """Seconds since 1970."""
    final: bool = False
    """Whether all jobs of the run had ended before it was asked, and all schedulers answered."""
    problems: tuple[str, ...] = ()
    """What could not be asked, or was not found."""
    related: tuple[str, ...] = ()
    """Jobs that may have to do with the run; of this search and those before it."""
    limits: tuple[str, ...] = ()
    """What the schedulers cannot tell about any run."""
    absent: tuple[str, ...] = ()
    """Schedulers of which there are programs and nothing else."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return all that is worth a remark about this run."""
        return (*self.problems, *self.related)


def number(job: str) -> str:
    """Return a job's number, with the cluster where it has one: `12` for `12.server`, `12_3`."""
    digits = re.match(r"\d+", job)
    _, semicolon, cluster = job.partition(";")
    return f"{digits.group() if digits else job}{semicolon}{cluster}"


def note_origin(folder: Path, environ: Mapping[str, str]) -> None:
    """Write down where a job runs and what it can reach, before its notebook begins."""
    known = store.read_json(folder / _ORIGIN)
    found = {_PROGRAMS[each] for each in _PROGRAMS if shutil.which(each, path=environ.get("PATH"))}
    if shutil.which("qsub", path=environ.get("PATH")):
        found.add("gridengine" if environ.get("SGE_ROOT") else "pbs")
    known["schedulers"] = sorted({*known.get("schedulers", ()), *found})
    store.write_json(folder / _ORIGIN, known)
    note_sessions(folder, environ)


def note_sessions(folder: Path, environ: Mapping[str, str]) -> None:
    """Add the sessions of this process and of those below it, such as the kernel's."""
    import psutil  # noqa: PLC0415  (slow)

    pids = [os.getpid()]
    with contextlib.suppress(psutil.Error):
        pids += [each.pid for each in psutil.Process().children(recursive=True)]
    hosts = {socket.gethostname().partition(".")[0], environ.get("SLURMD_NODENAME", "")} - {""}
    known = store.read_json(folder / _ORIGIN)
    sessions = {(str(host), int(session)) for host, session in known.get("sessions", ())}
    for pid in pids:
        with contextlib.suppress(OSError):
            sessions |= {(host, os.getsid(pid)) for host in hosts}
    store.write_json(folder / _ORIGIN, {**known, "sessions": sorted(sessions)})


def members(folder: Path, own: Member) -> tuple[Member, ...]:
    """Return the jobs of a run but its own, in order of their ids."""
    found: dict[tuple[str, str], Member] = {}
    for child in recorder.children(folder):
        noted = Member(id=child.id, scheduler=child.scheduler, callers=child.callers)
        found.setdefault(noted.identity, noted)
    for file in sorted((folder / "children" / "found").glob("*.json")):
        named = Member(**store.read_json(file))
        found.setdefault(named.identity, named)
    found.pop(own.identity, None)
    return tuple(sorted(found.values(), key=lambda each: (len(each.id), each.id, each.scheduler)))


def parents(own: Member, others: Sequence[Member]) -> dict[tuple[str, str], Member]:
    """Return the job that submitted each: the innermost of those in whose environment it was.

    A job of Grid Engine that a job of Slurm submitted may have the variables of both.
    """
    known = {each.identity: each for each in (own, *others)}

    def callers(job: Member) -> Iterator[Member]:
        for scheduler, caller in job.callers.items():
            found = known.get((scheduler, number(caller)))
            if found is not None and found.identity != job.identity:
                yield found

    def depth(job: Member, left: int) -> int:
        above = [depth(each, left - 1) for each in callers(job)] if left else []
        return 1 + max(above, default=0)

    return {
        each.identity: max(callers(each), key=lambda job: depth(job, 5), default=own)
        for each in others
    }


def last_search(folder: Path) -> Search:
    """Return what came of the last search."""
    kept = store.read_json(folder / _SEARCH)
    kept |= {
        name: tuple(kept.get(name, ())) for name in ("problems", "related", "limits", "absent")
    }
    return Search(**kept)


def is_due(folder: Path, last: Search, *, now: float, since: float, ended: bool) -> bool:
    """Return whether schedulers are to be asked for more jobs of a run.

    Args:
        folder: The run's.
        last: The search before.
        now: Seconds since 1970.
        since: When the run was submitted, in seconds since 1970.
        ended: Whether all jobs that are known have ended.
    """
    if not (folder / _ORIGIN).exists():
        return False  # the job has not begun
    return not last.final if ended else now - (last.asked or since) >= AGAIN


@dataclass(kw_only=True, slots=True)
class _Sought:
    """What a search has found so far."""

    known: set[tuple[str, str]]
    related: list[str]
    fresh: list[Member] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def take(self, folder: Path, name: str, seen: Sequence[Seen], marks: Marks) -> None:
        """Take the jobs among those a scheduler named that are the run's, and keep them."""
        numbers = {job for scheduler, job in self.known if scheduler == name}
        for each in seen:
            how = unnoted.belongs(each, marks)
            member = Member(id=each.id, scheduler=name, how=how or "", submitted=each.submitted)
            if member.identity in self.known:
                continue
            if how is not None:
                self.known.add(member.identity)
                self.fresh.append(member)
                _keep(folder, member)
            elif why := unnoted.related(each, numbers):
                words = f"{name} job {each.id} is not counted as the run's, though {why}"
                self.related.append(words)


def search(  # noqa: PLR0913  (keywords)
    folder: Path,
    own: Member,
    others: Sequence[Member],
    *,
    now: float,
    since: float,
    until: float | None = None,
    ended: bool = False,
) -> tuple[Search, tuple[Member, ...]]:
    """Ask every scheduler that a run could reach for its jobs; return those that are new, too.

    Both are kept in the run's folder, where it can be written: a colleague may only read it.

    Args:
        folder: The run's.
        own: The run's own job.
        others: Its other jobs, as far as they are known.
        now: Seconds since 1970.
        since: When the run was submitted, in seconds since 1970.
        until: When the last of its jobs ended, in seconds since 1970; None while one goes on.
        ended: Whether all of them have.
    """
    origin = store.read_json(folder / _ORIGIN)
    sessions = frozenset((str(host), int(sid)) for host, sid in origin.get("sessions", ()))
    known = {each.identity for each in (own, *others)}
    marks = Marks(folder=folder, sessions=sessions, since=since, until=until)
    sought = _Sought(known=known, related=[*last_search(folder).related])
    for name in _reachable(folder, own, others, origin):
        near = [each.id for each in (own, *others) if each.scheduler == name]
        seen, blind, problem = _asked(name, since, near, ended=ended)
        sought.limits += blind
        # A scheduler that is not on this host cannot be asked, now or later; where the run has
        # jobs of it, that is a problem to report, else only one of the limits of the search.
        if problem and not near and _ABSENT.search(problem):
            sought.absent.append(name)
        elif problem:
            words = f"{name} could not be asked for more jobs of this run: {problem}"
            sought.problems.append(words)
        sought.take(folder, name, seen, marks)
    fresh = sought.fresh
    # A job that was just found may have submitted others: only a search that finds nothing new,
    # with every scheduler answering, is the last one.
    final = ended and not fresh and not sought.problems
    if ended:
        sought.problems += _unseen_launches(folder, [*others, *fresh])
    result = Search(
        asked=now,
        final=final,
        problems=tuple(sought.problems),
        related=tuple(dict.fromkeys(sought.related)),
        limits=tuple(sought.limits),
        absent=tuple(sought.absent),
    )
    with contextlib.suppress(OSError):
        store.write_json(folder / _SEARCH, asdict(result))
    return result, tuple(fresh)


def search_from_within(folder: Path) -> None:
    """Ask for the jobs of a run from inside its job: nobody else may ask before they are forgotten.

    Args:
        folder: The run's.

    Raises:
        NbpipeError: A file of the run is damaged.
    """
    submission = store.read_json(folder / "submission.json")
    own = Member(id=submission.get("job", ""), scheduler=submission.get("scheduler", LOCAL))
    if not own.id:
        return  # the submitter has not written it down yet, or died before
    now = datetime.now(UTC).timestamp()
    text = submission.get("submitted")
    since = datetime.fromisoformat(text).timestamp() if text else now
    found, _ = search(folder, own, members(folder, own), now=now, since=since)
    origin = store.read_json(folder / _ORIGIN)
    # Nobody asks again where this host has programs and no cluster: that may take them long.
    origin["schedulers"] = sorted(set(origin.get("schedulers", ())) - set(found.absent))
    store.write_json(folder / _ORIGIN, origin)


def steps(
    folder: Path, jobs: Sequence[Member]
) -> tuple[dict[tuple[str, str], tuple[Step, ...]], tuple[str, ...]]:
    """Return the steps of a run's jobs by identity, and what there is to remark.

    The accounting's where it has some, else what the recorder noted. A step in an allocation that
    the run did not make, such as an interactive one around a local run, is the first job's.
    """
    found: dict[tuple[str, str], tuple[Step, ...]] = {}
    remarks = []
    for name in dict.fromkeys(job.scheduler for job in jobs):
        group = [job for job in jobs if job.scheduler == name]
        try:
            scheduler = registry.scheduler(name)
            wanted = [job.id for job in group]
            answer = scheduler.steps(wanted) if isinstance(scheduler, HasSteps) else {}
        except (SchedulerMissing, SchedulerOutage) as error:
            remarks.append(f"the steps of jobs on {name} are not known: {_words(error)}")
            continue
        found |= {job.identity: answer[job.id] for job in group if job.id in answer}
    noted: dict[tuple[str, str], list[Step]] = {}
    known = {job.identity for job in jobs}
    for step in recorder.steps(folder):
        identity = ("slurm", number(step.job))
        made = Step(id="", name="srun", state=JobState.UNKNOWN, call=step.call)
        noted.setdefault(identity if identity in known else jobs[0].identity, []).append(made)
    found |= {job: tuple(each) for job, each in noted.items() if job not in found}
    return found, tuple(remarks)


def _reachable(
    folder: Path, own: Member, others: Iterable[Member], origin: Mapping[str, Any]
) -> list[str]:
    """Return the schedulers that may have jobs of a run."""
    launched = {each.scheduler for each in recorder.launches(folder)}
    noted = {own.scheduler, *(each.scheduler for each in others)}
    return sorted((noted | launched | set(origin.get("schedulers", ()))) - {LOCAL})


def _asked(
    name: str, since: float, near: Sequence[str], *, ended: bool
) -> tuple[list[Seen], list[str], str]:
    """Return the jobs that a scheduler names, what it cannot tell, and why it did not answer.

    Its accounting is asked only once, when all has `ended`.
    """
    try:
        scheduler = registry.scheduler(name)
    except SchedulerMissing as error:
        return [], [], _words(error)
    if not isinstance(scheduler, Searchable):
        return [], [f"{name} cannot be asked for jobs that were not noted at submission"], ""
    seen: list[Seen] = []
    limits: list[str] = []
    start = datetime.fromtimestamp(since, UTC)
    for left in (False, True) if ended else (False,):
        try:
            answer = scheduler.submitted(start, near=near, ended=left)
        except (SchedulerMissing, SchedulerOutage) as error:
            return seen, limits, _words(error)
        seen += answer.jobs
        limits += [answer.blind] if answer.blind else []
    return seen, limits, ""


def _words(error: Exception) -> str:
    """Return what went wrong, without the advice that follows it on a line of its own."""
    return str(error).partition("\n")[0]


def _keep(folder: Path, member: Member) -> None:
    """Keep a job that a scheduler named, for whoever looks next."""
    found = folder / "children" / "found"
    values = {
        "id": member.id,
        "scheduler": member.scheduler,
        "how": member.how,
        "submitted": member.submitted,
    }
    name = re.sub(r"\W", "-", "-".join(member.identity))
    with contextlib.suppress(OSError):
        found.mkdir(exist_ok=True)
        store.write_json(found / f"{name}.json", values)


def _unseen_launches(folder: Path, others: Sequence[Member]) -> Iterator[str]:
    """Yield the launches (srun, salloc, qrsh) that no job of the run can be of."""
    free = [each for each in others if each.submitted is not None]
    for launch in recorder.launches(folder):
        near = [
            each
            for each in free
            if each.scheduler == launch.scheduler
            and abs((each.submitted or 0) - launch.when) <= unnoted.CLOCKS
        ]
        if near:
            free.remove(min(near, key=lambda each: abs((each.submitted or 0) - launch.when)))
            continue
        moment = datetime.fromtimestamp(launch.when, UTC)
        yield (
            f"`{' '.join(launch.arguments)[:80]}` at {moment:%Y-%m-%d %H:%M:%S} UTC: no job of it "
            f"is known to {launch.scheduler}: it was refused, or is forgotten"
        )
