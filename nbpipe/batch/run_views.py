"""How a run's job stands, and its children: asked anew, decided by `reference.state`.

Whoever asks, from whatever host: everything known is in the run's folder, and each answer is
written there, so that an outage leaves the last one standing.
"""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbpipe.batch import children
from nbpipe.batch.children import Member
from nbpipe.reference import looks
from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage
from nbpipe.reference.identity import Identity
from nbpipe.reference.looks import Followed
from nbpipe.reference.schedulers import registry
from nbpipe.reference.schedulers.protocol import Accounting, JobState, NoAccounting
from nbpipe.reference.schedulers.shared import Round
from nbpipe.reference.state import GRACE, JobResult, Standing, accounted, beside, core_hours
from nbpipe.reference.store import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from nbpipe.reference.schedulers.protocol import Scheduler
    from nbpipe.reference.store import StoredRun

CANCELLED = "cancelled"
"""The file that says that we asked for an end."""
_SHORTEST, _LONGEST = 1.0, 60.0
"""Seconds between two questions about a job that waits or runs."""
UNFOUND = 300.0
"""Seconds after which a job whose submission was cut short, and that nobody knows, is lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """One job as it stands."""

    id: str
    standing: Standing
    records: tuple[Accounting, ...] = ()
    parent: Member | None = None
    """The job that submitted it; None for the run's own."""
    scheduler: str = ""
    how: str = ""
    """How it was found to be the run's (`schedulers.tracing.How`); "" for the run's own job."""

    @property
    def accounted(self) -> bool:
        """Whether the accounting knows how the job ended, and so all that it took."""
        return accounted(self.standing, self.records)

    @property
    def core_hours(self) -> float | None:
        """Allocated cores x hours; None before the accounting knows the end of the job."""
        return core_hours(self.records) if self.accounted else None


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A run as it stands."""

    run: StoredRun
    job: JobView
    children: tuple[JobView, ...] = ()
    problem: str = ""
    """Why a scheduler could not be asked; "" where all could."""
    missing: SchedulerMissing | None = None
    """Why one can never be asked from this host; None where all can."""
    remarks: tuple[str, ...] = ()
    """What is not certain about the jobs that the run submitted, and what could not be asked."""
    limits: tuple[str, ...] = ()
    """What the schedulers cannot tell about jobs that were not noted at submission."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen, the children included where they are waited for."""
        if not self.job.standing.state.ended:
            return False
        if self.run.request.get("children") == "ignore":
            return True
        return all(child.standing.state.ended for child in self.children)

    @property
    def jobs(self) -> tuple[JobView, ...]:
        """The run's own job and its children."""
        return (self.job, *self.children)

    @property
    def completed(self) -> bool:
        """Whether the run did what it should: notebook passed, children (if they count) too."""
        if self.job.standing.state is not JobState.COMPLETED:
            return False
        if self.run.request.get("children") != "fail":
            return True
        return all(child.standing.state is JobState.COMPLETED for child in self.children)

    @property
    def unaccounted(self) -> tuple[str, ...]:
        """The jobs that have ended, which the accounting does not know yet; not those lost."""
        return tuple(
            each.id
            for each in (self.job, *self.children)
            if each.standing.state.ended
            and each.standing.state is not JobState.LOST
            and not each.accounted
        )

    @property
    def contradiction(self) -> str:
        """What the accounting says against a notebook that passed; "" where it agrees."""
        standing = self.job.standing
        passed = standing.source == "result" and standing.state is JobState.COMPLETED
        return standing.reason if passed and standing.reason != "exit code 0" else ""

    @property
    def resultless(self) -> bool:
        """Whether the job completed and its own result is not here yet (NFS may be late)."""
        completed = self.job.standing.state is JobState.COMPLETED
        return completed and not self.run.read("result.json")

    @property
    def pause(self) -> float:
        """Seconds until it makes sense to ask again."""
        return self.job.standing.pause


def look(
    run: StoredRun, *, now: float | None = None, asked: Round | None = None, search: bool = False
) -> View:
    """Ask about a run; what was learnt is kept in its folder, where it can be written.

    Args:
        run: The run.
        now: Seconds since 1970; by default the clock's.
        asked: The round of questions that this look belongs to; by default one of its own.
        search: Ask for jobs that were not noted now, not only once a minute and at the end.

    Raises:
        UsageError: The run's folder is damaged.
    """
    asked = asked or Round()
    moment = time.time() if now is None else now
    submission = run.read("submission.json")
    name = submission.get("scheduler", children.LOCAL)
    known = run.read("standing.json")
    problem = ""
    try:
        job = submission.get("job") or _found(run, submission, asked.scheduler(name))
    except (SchedulerOutage, SchedulerMissing) as error:
        job, problem = None, str(error)
    if job is None:
        return replace(_unsubmitted(run, known, moment, problem), missing=asked.missing)
    own = Member(id=job, scheduler=name, how="")
    others = children.members(run.folder, own)
    # First the jobs that are known: whether they have ended decides if it is worth asking every
    # scheduler for unknown ones, which costs a question of each.
    views, problem = _views(run, own, (own, *others), asked, now=moment)
    sought = children.last_search(run.folder)
    ended = all(view.standing.state.ended for view in views.values())
    since = _moment(submission.get("submitted")) or moment
    if search or children.is_due(run.folder, sought, now=moment, since=since, ended=ended):
        sought, fresh = children.search(
            run.folder,
            own,
            others,
            now=moment,
            since=since,
            until=_end(views.values()) if ended else None,
            ended=ended,
        )
        more, trouble = _views(run, own, fresh, asked, now=moment)
        views, problem, others = views | more, problem or trouble, (*others, *fresh)
    run.write("standing.json", {_key(each, own): _kept(views[each]) for each in views})
    above = children.parents(own, others)
    return View(
        run=run,
        job=views[own],
        children=tuple(
            replace(views[each], parent=above[each.identity], how=each.how) for each in others
        ),
        problem=problem,
        missing=asked.missing,
        remarks=sought.remarks,
        limits=sought.limits,
    )


def _views(
    run: StoredRun, own: Member, jobs: Sequence[Member], asked: Round, *, now: float
) -> tuple[dict[Member, JobView], str]:
    """Return how jobs stand, and why a scheduler gave no answer; each is asked about its own."""
    known = run.read("standing.json")
    found: dict[Member, JobView] = {}
    problems = []
    for name in dict.fromkeys(job.scheduler for job in jobs):
        kept = {job.id: known.get(_key(job, own), {}) for job in jobs if job.scheduler == name}
        group = [job for job in jobs if job.scheduler == name]
        followed = [_followed(run, job, own, kept[job.id]) for job in group]
        scheduler = asked.scheduler(name)
        standings = looks.look(scheduler, followed, now=now)
        before = {job: _records(kept[job]) for job in kept}
        # Only what has ended has figures, and once; of what goes on the queue alone is asked.
        ended = [
            each
            for each in followed
            if standings[each.id].state.ended and not accounted(standings[each.id], before[each.id])
        ]
        records, problem = _records_of(scheduler, ended)
        trouble = next((each.trouble for each in standings.values() if each.trouble), "")
        problems += [problem or trouble] if problem or trouble else []
        for job in group:
            view = _view(job.id, standings[job.id], records.get(job.id) or before[job.id])
            found[job] = replace(view, scheduler=name)
    return found, "; ".join(dict.fromkeys(problems))


def _key(job: Member, own: Member) -> str:
    """Return what a job is called in standing.json: two schedulers may have the same ids."""
    return job.id if job.scheduler == own.scheduler else f"{job.scheduler}:{job.id}"


def _end(views: Iterable[JobView]) -> float | None:
    """Return when the last of jobs that have ended did; None where that is not known of all."""
    ends = [view.records[-1].ended if view.records else None for view in views]
    known = [each.timestamp() for each in ends if each is not None]
    return max(known) if known and len(known) == len(ends) else None


def _view(job: str, standing: Standing, records: tuple[Accounting, ...]) -> JobView:
    return JobView(id=job, standing=beside(standing, records), records=records)


def _found(run: StoredRun, submission: dict[str, Any], scheduler: Scheduler) -> str | None:
    """Return the job of a submitter that died before it wrote the id down."""
    if "name" not in submission:
        return None
    jobs = scheduler.find(submission["name"])
    if not jobs:
        return None
    run.write("submission.json", {**submission, "job": jobs[-1]})
    return jobs[-1]


def _unsubmitted(run: StoredRun, known: dict[str, Any], now: float, problem: str) -> View:
    """Return the view of a run without a job: about to be submitted, or lost."""
    submitted = run.request.get("submitted")
    since = _moment(submitted)
    age = UNFOUND if since is None else now - since
    standing = _standing(known.get("", {}))
    if age >= UNFOUND and not problem:
        reason = "its submission was cut short, and the scheduler knows no job of its name"
        standing = Standing(state=JobState.LOST, source="nowhere", reason=reason)
    elif not standing.state.ended:
        standing = Standing(reason="no job of its name is known yet")
    return View(run=run, job=JobView(id="", standing=standing), problem=problem)


def _followed(run: StoredRun, job: Member, own: Member, kept: dict[str, Any]) -> Followed:
    """Return what is known of a job without asking; of the run's own that is most."""
    cancelled = (run.folder / CANCELLED).exists()
    submission = run.read("submission.json")
    since = _moment(submission.get("submitted"))
    if job is not own:
        identity = Identity(earliest=since)  # none was submitted before the run
        return Followed(id=job.id, identity=identity, standing=_standing(kept), cancelled=cancelled)
    profile = run.request.get("profile", {})
    return Followed(
        id=job.id,
        identity=Identity(
            name=submission.get("name", ""),
            earliest=since,
            latest=(run.folder / "submission.json").stat().st_mtime,
        ),
        standing=_standing(kept),
        result=_result(run),
        walltime=profile.get("walltime"),
        memory=profile.get("memory"),
        cancelled=cancelled,
    )


def _moment(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def _records_of(
    scheduler: Scheduler, jobs: Sequence[Followed]
) -> tuple[dict[str, tuple[Accounting, ...]], str]:
    """Return what the accounting says of jobs, and why it says nothing."""
    try:
        return (looks.accounting(scheduler, jobs) if jobs else {}), ""
    except NoAccounting as error:
        return error.found, looks.words(error)
    except (SchedulerOutage, SchedulerMissing) as error:
        return {}, looks.words(error)


def _result(run: StoredRun) -> JobResult | None:
    answer = run.read("result.json")
    if "exit_code" not in answer:
        return None
    return JobResult(
        exit_code=int(answer["exit_code"]),
        stopped_by=answer.get("stopped_by"),
        elapsed=float(answer.get("elapsed", 0.0)),
        out_of_memory=bool(answer.get("out_of_memory")),
    )


def _kept(view: JobView) -> dict[str, Any]:
    records = [
        {
            key: value.isoformat() if isinstance(value, datetime) else value
            for key, value in asdict(record).items()
        }
        for record in view.records
    ]
    return {**asdict(view.standing), "records": records}


def _standing(kept: dict[str, Any]) -> Standing:
    if not kept:
        return Standing()
    values = {key: value for key, value in kept.items() if key != "records"}
    return Standing(**{**values, "state": JobState(values["state"])})


def _records(kept: dict[str, Any]) -> tuple[Accounting, ...]:
    found = []
    for record in kept.get("records", ()):
        values = dict(record)
        for key in ("submitted", "started", "ended"):
            values[key] = datetime.fromisoformat(values[key]) if values[key] else None
        found.append(Accounting(**{**values, "state": JobState(values["state"])}))
    return tuple(found)


def wait(
    *runs: StoredRun, told: Callable[[View], None], pause: Callable[[float], None] = time.sleep
) -> tuple[View, ...]:
    """Ask until all of the runs have ended; return how. `told` hears of every look.

    One question is about all of them, and the longer nothing changes, the longer are the pauses:
    a scheduler serves everybody. A KeyboardInterrupt ends the waiting and leaves the jobs alone.

    Raises:
        SchedulerMissing: One has not ended, and its scheduler cannot be asked from this host.
    """
    views: dict[Path, View] = {}
    age, before = 0.0, None
    while True:
        open_ones = [run for run in runs if run.folder not in views or not views[run.folder].ended]
        asked = Round(_expected(open_ones))
        for run in open_ones:
            view = views[run.folder] = look(run, asked=asked)
            told(view)
            if not view.ended and view.missing is not None:
                raise view.missing
        if all(view.ended for view in views.values()):
            return tuple(views[run.folder] for run in runs)
        now = [each.standing.state for view in views.values() for each in view.jobs]
        if now != before:
            age, before = 0.0, now
        seconds = max(_between(age), *(_silence(view) for view in views.values()))
        pause(seconds)
        age += seconds


def _expected(runs: Iterable[StoredRun]) -> dict[str, list[str]]:
    """Return the jobs of each scheduler that looks at these runs will ask about."""
    found: dict[str, list[str]] = {}
    for run in runs:
        submission = run.read("submission.json")
        known = run.read("standing.json")
        name = submission.get("scheduler", children.LOCAL)
        own = Member(id=submission.get("job") or "", scheduler=name, how="")
        for job in (own, *children.members(run.folder, own)):
            if job.id and not _standing(known.get(_key(job, own), {})).state.ended:
                found.setdefault(job.scheduler, []).append(job.id)
    return found


def _silence(view: View) -> float:
    """Return for how long a scheduler that gave no answer is left alone."""
    return view.pause if view.job.standing.failures and not view.ended else 0.0


def _between(age: float) -> float:
    """Return seconds until the next question about jobs of which nothing changed for so long."""
    return min(max(_SHORTEST, age / 3), _LONGEST)


def settle(
    run: StoredRun, *, told: Callable[[View], None], pause: Callable[[float], None] = time.sleep
) -> View:
    """Look, and where the run has ended wait until all about it is there, or for `GRACE`.

    That is what the accounting knows, and the job's own result. `told` hears of it before the
    first pause. A scheduler that gives no answer is not waited for.
    """
    view = look(run)
    if _is_late(view):
        told(view)
    left = GRACE
    while _is_late(view) and left > 0:
        pause(view.pause)
        left -= view.pause
        view = look(run)
    return view


def _is_late(view: View) -> bool:
    late = bool(view.unaccounted) or view.resultless
    return view.ended and late and not view.problem


def cancel(run: StoredRun) -> View:
    """Cancel a run's job and its children, each on its own scheduler; return how it stands.

    A scheduler without an answer does not keep the jobs of the others from being cancelled.

    Raises:
        SchedulerOutage: A scheduler gave no answer.
        SchedulerMissing: The programs of one are not on this machine.
        UsageError: The run is somebody else's.
    """
    asked: set[tuple[str, str]] = set()
    failure: SchedulerMissing | SchedulerOutage | None = None
    while True:
        view = look(run, search=True)
        jobs = [
            each
            for each in (view.job, *view.children)
            if each.id and not each.standing.state.ended and (each.scheduler, each.id) not in asked
        ]
        if not jobs:
            break  # and nothing was submitted while the others were cancelled
        try:
            (run.folder / CANCELLED).touch()
        except OSError as error:
            raise unwritable(run.folder / CANCELLED, error) from error
        asked |= {(each.scheduler, each.id) for each in jobs}
        for name in dict.fromkeys(each.scheduler for each in jobs):
            try:
                registry.scheduler(name).cancel(
                    [each.id for each in jobs if each.scheduler == name]
                )
            except (SchedulerMissing, SchedulerOutage) as error:
                failure = failure or error
    if failure is not None:
        raise failure
    return view


def signal_name(number: int | None) -> str:
    """Return a signal's name; "" for none."""
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return f"signal {number}"


def log_tail(run: StoredRun, size: int = 2000) -> str:
    """Return the end of what the job printed."""
    try:
        with (run.folder / "job.out").open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def cell_now(run: StoredRun) -> str:
    """Return where the notebook is, by the last word of its job: `cell 3 of 12`; "" unknown."""
    found = re.findall(r"nbpipe: (cell \d+ of \d+)$", log_tail(run), re.MULTILINE)
    return found[-1] if found else ""
