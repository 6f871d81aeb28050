"""How a run's job stands, and its children: asked anew, decided by `reference.state`.

Whoever asks, from whatever host: everything known is in the run's folder, and each answer is
written there, so that an outage leaves the last one standing.
"""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbpipe.reference import asking, recorder
from nbpipe.reference.asking import Followed
from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.schedulers import registry
from nbpipe.reference.schedulers.protocol import Accounting, JobState
from nbpipe.reference.state import GRACE, JobResult, Standing, accounted, core_hours
from nbpipe.reference.store import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbpipe.reference.recorder import Child
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
    parent: str | None = None

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
    """Why the scheduler could not be asked; "" where it could."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen, the children included where they are waited for."""
        if not self.job.standing.state.ended:
            return False
        if self.run.request.get("children") == "ignore":
            return True
        return all(child.standing.state.ended for child in self.children)

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
    def resultless(self) -> bool:
        """Whether the job completed and its own result is not here yet (NFS may be late)."""
        completed = self.job.standing.state is JobState.COMPLETED
        return completed and not self.run.read("result.json")

    @property
    def pause(self) -> float:
        """Seconds until it makes sense to ask again."""
        return self.job.standing.pause


def look(run: StoredRun, *, now: float | None = None) -> View:
    """Ask about a run; what was learnt is kept in its folder.

    Raises:
        UsageError: The run's folder is damaged, its scheduler is not on this machine.
    """
    moment = time.time() if now is None else now
    submission = run.read("submission.json")
    scheduler = registry.scheduler(submission.get("scheduler", "local"))
    known = run.read("standing.json")
    problem = ""
    try:
        job = submission.get("job") or _found(run, submission, scheduler)
    except SchedulerOutage as error:
        job, problem = None, str(error)
    if job is None:
        return _unsubmitted(run, known, moment, problem)
    noted = [child for child in recorder.children(run.folder) if child.id != job]
    jobs = [job, *(child.id for child in noted)]
    standings = asking.look(scheduler, _followed(run, jobs, known), now=moment)
    # Only what has ended has figures; of what goes on the queue alone is asked.
    ended = [each for each in jobs if standings[each].state.ended]
    records, problem = _records_of(scheduler, ended)
    views = {
        each: JobView(
            id=each,
            standing=standings[each],
            records=records.get(each) or _records(known.get(each, {})),
        )
        for each in jobs
    }
    run.write("standing.json", {each: _kept(view) for each, view in views.items()})
    children = tuple(_with_parent(views[child.id], child, job) for child in noted)
    return View(run=run, job=views[job], children=children, problem=problem)


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
    age = now - datetime.fromisoformat(submitted).timestamp() if submitted else UNFOUND
    standing = _standing(known.get("", {}))
    if age >= UNFOUND and not problem:
        reason = "its submission was cut short, and the scheduler knows no job of its name"
        standing = Standing(state=JobState.LOST, source="nowhere", reason=reason)
    elif not standing.state.ended:
        standing = Standing(reason="no job of its name is known yet")
    return View(run=run, job=JobView(id="", standing=standing), problem=problem)


def _followed(run: StoredRun, jobs: Sequence[str], known: dict[str, Any]) -> list[Followed]:
    """Return the run's job, of which most is known, and its children."""
    profile = run.request.get("profile", {})
    first = Followed(
        id=jobs[0],
        standing=_standing(known.get(jobs[0], {})),
        result=_result(run),
        walltime=profile.get("walltime"),
        memory=profile.get("memory"),
        cancelled=(run.folder / CANCELLED).exists(),
    )
    others = (Followed(id=job, standing=_standing(known.get(job, {}))) for job in jobs[1:])
    return [first, *others]


def _records_of(
    scheduler: Scheduler, jobs: Sequence[str]
) -> tuple[dict[str, tuple[Accounting, ...]], str]:
    """Return what the accounting says of jobs, and why it says nothing."""
    try:
        return (scheduler.account(jobs) if jobs else {}), ""
    except SchedulerOutage as error:
        return {}, str(error)


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


def _with_parent(view: JobView, child: Child, job: str) -> JobView:
    return JobView(
        id=view.id, standing=view.standing, records=view.records, parent=child.parent or job
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
    run: StoredRun, *, told: Callable[[View], None], pause: Callable[[float], None] = time.sleep
) -> View:
    """Ask until the run has ended; `told` hears of every look.

    The longer nothing changes, the longer are the pauses: a scheduler serves everybody. A
    KeyboardInterrupt ends the waiting and leaves the job alone.
    """
    age, before = 0.0, None
    while True:
        view = look(run)
        told(view)
        if view.ended:
            return view
        now = [each.standing.state for each in (view.job, *view.children)]
        if now != before:
            age, before = 0.0, now
        seconds = view.pause if view.job.standing.failures else _between(age)
        pause(seconds)
        age += seconds


def _between(age: float) -> float:
    """Return seconds until the next question about jobs of which nothing changed for so long."""
    return min(max(_SHORTEST, age / 4), _LONGEST)


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
    """Cancel a run's job and its children; return how it stands.

    Raises:
        SchedulerOutage: No answer.
        UsageError: The run is somebody else's.
    """
    view = look(run)
    jobs = [
        each for each in (view.job, *view.children) if each.id and not each.standing.state.ended
    ]
    if jobs:
        scheduler = registry.scheduler(run.read("submission.json")["scheduler"])
        try:
            (run.folder / CANCELLED).touch()
        except OSError as error:
            raise unwritable(run.folder / CANCELLED, error) from error
        scheduler.cancel([each.id for each in jobs])
    return look(run)


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
