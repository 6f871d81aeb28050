"""Runs in their folders: several at once, elsewhere, read-only, with ids that others had."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nbpipe.batch import run_views
from nbpipe.cli import nbpipe
from nbpipe.reference import store
from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage
from nbpipe.reference.schedulers import registry
from nbpipe.reference.schedulers.protocol import Accounting, JobState, JobStatus, NoAccounting
from nbpipe.reference.store import StoredRun

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

S = JobState
SUBMITTED = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def queued(job: str, state: JobState, **more: Any) -> JobStatus:  # noqa: ANN401
    return JobStatus(id=job, state=state, said=state.upper(), **more)


def ended(job: str, state: JobState = S.COMPLETED, **more: Any) -> Accounting:  # noqa: ANN401
    return Accounting(id=job, state=state, said=state.upper(), **more)


class Recording:
    """A scheduler that answers from two tables and notes each question."""

    name = "slurm"
    traits = None

    def __init__(self) -> None:
        self.queue: dict[str, JobStatus] = {}
        self.accounts: dict[str, tuple[Accounting, ...]] = {}
        self.error: Exception | None = None
        self.asked: list[tuple[str, frozenset[str]]] = []
        self.cancelled: list[str] = []

    def poll(self, jobs: Collection[str]) -> dict[str, JobStatus]:
        self.asked.append(("queue", frozenset(jobs)))
        if self.error is not None:
            raise self.error
        return {job: self.queue[job] for job in jobs if job in self.queue}

    def account(self, jobs: Collection[str]) -> dict[str, tuple[Accounting, ...]]:
        self.asked.append(("accounting", frozenset(jobs)))
        if self.error is not None:
            raise self.error
        return {job: self.accounts[job] for job in jobs if job in self.accounts}

    def cancel(self, jobs: Collection[str]) -> None:
        self.cancelled += jobs

    def find(self, _name: str) -> tuple[str, ...]:
        return ()


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Recording:
    made = Recording()
    monkeypatch.setattr(registry, "scheduler", lambda _name: made)
    return made


def run(root: Path, number: int, job: str, children: Collection[str] = ()) -> StoredRun:
    """Return a run in a store, as `submit` leaves it, with children as the recorder notes them."""
    folder = root / "minitest" / "runs" / f"20261130T12000{number}-abcdef"
    (folder / "work").mkdir(parents=True)
    made = StoredRun(folder)
    made.write("request.json", {"submitted": SUBMITTED.isoformat(), "profile": {"walltime": 3600}})
    made.write(
        "submission.json",
        {
            "scheduler": "slurm",
            "name": f"nbpipe-minitest-{number}",
            "job": job,
            "submitted": SUBMITTED.isoformat(),
        },
    )
    for child in children:
        note = folder / "children" / child
        note.mkdir(parents=True)
        texts = {"arguments": "sbatch\0x\0", "parent": job, "said": f"{child}\n", "code": "0",
                 "caller": f"slurm={job}\n"}  # fmt: skip
        for name, text in texts.items():
            (note / name).write_text(text)
    return made


def passed(made: StoredRun) -> None:
    made.write("result.json", {"exit_code": 0, "elapsed": 10.0})


def test_one_question_is_about_all_runs_and_their_children(
    tmp_path: Path, scheduler: Recording
) -> None:
    runs = [run(tmp_path, 1, "11", ["12"]), run(tmp_path, 2, "21", ["22", "23"]),
            run(tmp_path, 3, "31")]  # fmt: skip
    jobs = ["11", "12", "21", "22", "23", "31"]
    scheduler.queue = {job: queued(job, S.RUNNING) for job in jobs}
    rounds: list[int] = []

    def pause(_seconds: float) -> None:
        rounds.append(len(scheduler.asked))
        if len(rounds) == 3:
            scheduler.queue = {}
            scheduler.accounts = {job: (ended(job),) for job in jobs}

    found = run_views.wait(*runs, told=lambda _view: None, pause=pause)
    assert [view.completed for view in found] == [True] * 3
    assert rounds == [1, 2, 3], "a question a round, not of the accounting while all go on"
    assert set(scheduler.asked[:3]) == {("queue", frozenset(jobs))}
    assert {kind for kind, _ in scheduler.asked[4:]} == {"accounting"}


def test_a_run_that_has_ended_is_not_asked_about_while_others_go_on(
    tmp_path: Path, scheduler: Recording
) -> None:
    first, second = run(tmp_path, 1, "11"), run(tmp_path, 2, "21")
    passed(first)
    scheduler.accounts = {"11": (ended("11"),)}
    scheduler.queue = {"21": queued("21", S.RUNNING)}
    told = []

    def pause(_seconds: float) -> None:
        told.append(len(scheduler.asked))
        if len(told) == 4:
            scheduler.accounts["21"] = (ended("21", S.FAILED),)
            del scheduler.queue["21"]

    one, two = run_views.wait(first, second, told=lambda _view: None, pause=pause)
    assert (one.completed, two.completed) == (True, False)
    later = scheduler.asked[told[0] :]
    assert all("11" not in jobs for _, jobs in later)


def test_an_end_that_is_accounted_for_is_not_asked_about_again(
    tmp_path: Path, scheduler: Recording
) -> None:
    made = run(tmp_path, 1, "11", ["12"])
    scheduler.queue = {"11": queued("11", S.RUNNING)}
    scheduler.accounts = {"12": (ended("12", core_seconds=7200.0),)}
    run_views.look(made)
    scheduler.asked.clear()
    view = run_views.look(made)
    assert scheduler.asked == [("queue", frozenset({"11"}))]
    assert view.children[0].core_hours == 2


def test_a_run_that_ended_can_be_looked_at_where_the_scheduler_is_not(
    tmp_path: Path, scheduler: Recording
) -> None:
    made = run(tmp_path, 1, "11")
    scheduler.error = SchedulerMissing("slurm: the program squeue cannot be started", hint="Go.")
    passed(made)
    view = run_views.look(made)
    assert (view.ended, view.completed) == (True, True)
    assert "squeue cannot be started" in view.problem
    (waited,) = run_views.wait(made, told=lambda _view: None, pause=pytest.fail)
    assert waited.completed


def test_waiting_where_the_scheduler_is_not_says_so_at_once(
    tmp_path: Path, scheduler: Recording
) -> None:
    made = run(tmp_path, 1, "11")
    scheduler.error = SchedulerMissing("slurm: the program squeue cannot be started", hint="Go.")
    assert run_views.look(made).job.standing.state is S.UNKNOWN
    with pytest.raises(SchedulerMissing, match="squeue cannot be started"):
        run_views.wait(made, told=lambda _view: None, pause=pytest.fail)


def test_an_outage_is_waited_out(tmp_path: Path, scheduler: Recording) -> None:
    made = run(tmp_path, 1, "11")
    scheduler.error = SchedulerOutage("slurm: squeue failed")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            scheduler.error = None
            scheduler.accounts = {"11": (ended("11"),)}

    (view,) = run_views.wait(made, told=lambda _view: None, pause=pause)
    assert view.completed
    assert pauses == [4, 8, 16, 32], "and less and less often asked"


def test_a_job_that_got_the_id_of_a_run_of_long_ago_is_not_the_runs(
    tmp_path: Path, scheduler: Recording
) -> None:
    made = run(tmp_path, 1, "11", ["12"])
    year = datetime(2027, 11, 30, tzinfo=UTC)
    stranger = {"name": "simulation", "submitted": year}
    own = {"submitted": SUBMITTED, "core_seconds": 3600.0}
    scheduler.queue = {"11": queued("11", S.RUNNING, **stranger)}
    scheduler.accounts = {
        "11": (ended("11", S.TIMEOUT, name="nbpipe-minitest-1", **own),
               ended("11", S.RUNNING, **stranger)),
        "12": (ended("12", S.FAILED, name="wrap", **own), ended("12", S.COMPLETED, **stranger)),
    }  # fmt: skip
    view = run_views.look(made)
    assert view.job.standing.state is S.TIMEOUT
    assert view.job.core_hours == 1
    assert view.children[0].standing.state is S.FAILED
    assert view.children[0].core_hours == 1
    run_views.cancel(made)
    assert scheduler.cancelled == []


def test_what_the_accounting_says_against_a_result_is_told_when_it_is_known(
    tmp_path: Path, scheduler: Recording
) -> None:
    made = run(tmp_path, 1, "11")
    passed(made)
    scheduler.queue = {"11": queued("11", S.RUNNING)}
    first = run_views.look(made)
    assert (first.job.standing.reason, first.contradiction) == ("exit code 0", "")
    scheduler.queue, scheduler.accounts = {}, {"11": (ended("11", S.OUT_OF_MEMORY),)}
    view = run_views.look(made)
    assert view.completed
    assert view.job.standing.reason == "exit code 0, while the accounting says OUT-OF-MEMORY"
    assert view.contradiction == view.job.standing.reason


def test_where_no_accounting_is_kept_the_end_is_there_and_nobody_waits_for_figures(
    tmp_path: Path, scheduler: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(tmp_path, 1, "11")
    passed(made)

    def account(_jobs: object) -> None:
        raise NoAccounting("slurm: no accounting is kept here", {})

    monkeypatch.setattr(scheduler, "account", account)
    view = run_views.settle(made, told=pytest.fail, pause=pytest.fail)
    assert view.completed
    assert view.problem.startswith("slurm: no accounting is kept here")


def test_who_may_only_read_a_run_sees_how_it_stands(
    tmp_path: Path, scheduler: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(tmp_path, 1, "11")
    scheduler.queue = {"11": queued("11", S.RUNNING)}

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "write_json", refuse)
    assert run_views.look(made).job.standing.state is S.RUNNING


def invoke(root: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        nbpipe, ["reference", *words, "--store", str(root)], standalone_mode=False
    )
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def test_status_says_what_to_do_about_a_job_that_cannot_start(
    tmp_path: Path, scheduler: Recording
) -> None:
    made = run(tmp_path, 1, "11")
    advice = "the job asks for more time than it may have"
    scheduler.queue = {"11": queued("11", S.PENDING, reason="PartitionTimeLimit", advice=advice)}
    code, text = invoke(tmp_path, "status", made.id)
    assert code == 0
    assert text.splitlines() == [
        f"minitest/{made.id}  job 11  pending  (PartitionTimeLimit)",
        f"  job 11 may never start: {advice}; give it up: nbpipe reference cancel {made.id}",
    ]


def test_wait_says_it_once_and_goes_on(
    tmp_path: Path, scheduler: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run(tmp_path, 1, "11"), run(tmp_path, 2, "21")]
    scheduler.queue = {
        "11": queued("11", S.PENDING, reason="Licenses", advice="wait for licences"),
        "21": queued("21", S.RUNNING),
    }
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            scheduler.queue = {}
            scheduler.accounts = {job: (ended(job),) for job in ("11", "21")}

    monkeypatch.setattr(run_views.wait, "__kwdefaults__", {"pause": sleep})
    code, text = invoke(tmp_path, "wait", *(made.id for made in runs))
    assert code == 0
    assert text.count("may never start: wait for licences") == 1
    states = [line.split("  ")[2] for line in text.splitlines() if line.startswith("minitest/")]
    assert states == ["pending", "running", "completed", "completed"]


def test_unknown_ends_with_what_a_person_can_do(tmp_path: Path, scheduler: Recording) -> None:
    made = run(tmp_path, 1, "11")
    scheduler.error = SchedulerOutage("slurm: squeue failed: no route", hint="Ask again later.")
    _, text = invoke(tmp_path, "status", made.id)
    assert "unknown" in text
    assert f"ask again: nbpipe reference status {made.id}" in text
    assert "no news: slurm: squeue failed: no route; Ask again later." in text


def test_a_lost_job_says_what_is_left_to_look_at(tmp_path: Path, scheduler: Recording) -> None:
    made = run(tmp_path, 1, "11")
    made.write("standing.json", {"11": {"state": "running", "unsettled_since": 1.0}})
    scheduler.queue = {}
    _, text = invoke(tmp_path, "status", made.id)
    assert "lost" in text
    assert "can only be seen in what it left" in text
