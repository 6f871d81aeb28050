"""The jobs of a run, put together from what was noted and what schedulers tell."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from nbpipe.batch import children
from nbpipe.batch.children import AGAIN, Member, Search
from nbpipe.reference import recorder, store
from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage
from nbpipe.reference.schedulers import registry
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.schedulers.unnoted import CLOCKS, How, Seen, Step, Submissions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime
    from pathlib import Path

NOW = 1_769_864_400.0
OWN = Member(id="1769860800000", scheduler="local", how="")


@dataclass
class Answering:
    """A scheduler that knows jobs, or why it does not answer."""

    jobs: tuple[Seen, ...] = ()
    error: Exception | None = None

    def submitted(self, _since: datetime, *, near: Collection[str], ended: bool) -> Submissions:
        del near
        if self.error is not None:
            raise self.error
        return Submissions(jobs=() if ended else self.jobs, blind="forgets" if ended else "")

    def steps(self, jobs: Collection[str]) -> dict[str, tuple[Step, ...]]:
        if self.error is not None:
            raise self.error
        return {job: (Step(id=f"{job}.0", name="x", state=JobState.FAILED),) for job in jobs}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run's folder, the job of which has begun where Slurm is."""
    recorder.install(tmp_path)
    store.write_json(tmp_path / "children" / "origin.json", {"schedulers": ["slurm"]})
    return tmp_path


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what lets the schedulers of these names answer so."""

    def knowing(**known: object) -> None:
        monkeypatch.setattr(registry, "scheduler", known.__getitem__)

    return knowing


def note(run: Path, program: str, said: str | None, time: float = NOW, **caller: str) -> None:
    """Write what the recorder writes."""
    folder = run / "children" / f"{len(list((run / 'children').iterdir())):04}"
    folder.mkdir()
    (folder / "arguments").write_text(f"{program}\0-x\0")
    lines = {"time": f"{int(time)}", **caller}
    (folder / "caller").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    if said is not None:
        (folder / "said").write_text(f"{said}\n")


def search(run: Path, *, ended: bool = False) -> Search:
    """Search once with all that is known."""
    others = children.members(run, OWN)
    found, _ = children.search(run, OWN, others, now=NOW, since=NOW - 3600, ended=ended)
    return found


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("12", "12"),
        ("12.server", "12"),
        ("12[]", "12"),
        ("12_3", "12"),
        ("12+0", "12"),
        ("17.0", "17"),
        ("12;two", "12;two"),
    ],
)
def test_a_jobs_number_is_the_same_however_it_is_written(job: str, expected: str) -> None:
    assert children.number(job) == expected


def test_two_schedulers_may_have_jobs_of_the_same_id(run: Path) -> None:
    note(run, "sbatch", "Submitted batch job 5")
    note(run, "qsub", 'Your job 5 ("a") has been submitted')
    found = children.members(run, replace(OWN, id="5", scheduler="slurm"))
    assert [(each.scheduler, each.id) for each in found] == [("gridengine", "5")]
    assert len(children.members(run, OWN)) == 2


def test_the_parent_is_the_innermost_of_the_jobs_in_whose_environment_a_job_was_made(
    run: Path,
) -> None:
    own = Member(id="3", scheduler="slurm", how="")
    note(run, "qsub", 'Your job 4 ("a") has been submitted', slurm="3")
    note(run, "sbatch", "Submitted batch job 5", slurm="3", gridengine="4")
    note(run, "sbatch", "Submitted batch job 6", slurm="999")
    note(run, "sbatch", "Submitted batch job 7", slurm="7")
    others = children.members(run, own)
    above = children.parents(own, others)
    assert {each.id: above[each.identity].id for each in others} == {
        "4": "3",
        "5": "4",
        "6": "3",
        "7": "3",
    }


def test_a_job_that_a_scheduler_names_is_a_member_once_and_from_then_on(
    run: Path, knowing: Callable[..., None]
) -> None:
    note(run, "sbatch", "Submitted batch job 5")
    here = (str(run / "work"),)
    jobs = tuple(Seen(id=job, submitted=NOW, folders=here) for job in ("5", "6", "7;two"))
    knowing(slurm=Answering(jobs))
    found = search(run, ended=True)
    assert (found.final, found.remarks, found.limits) == (False, (), ("forgets",)), "new ones go on"
    members = children.members(run, OWN)
    assert [(each.id, each.how) for each in members] == [
        ("5", How.NOTED),
        ("6", How.FOLDER),
        ("7;two", How.FOLDER),
    ]
    assert search(run, ended=True).final
    assert children.members(run, OWN) == members
    assert children.last_search(run).final


def test_whoever_may_only_read_a_run_sees_its_jobs_all_the_same(
    run: Path, knowing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "write_json", refuse)
    knowing(slurm=Answering((Seen(id="6", submitted=NOW, folders=(str(run),)),)))
    found, fresh = children.search(run, OWN, (), now=NOW, since=NOW, ended=True)
    assert [each.id for each in fresh] == ["6"]
    assert not found.final
    assert children.last_search(run) == Search()


def test_a_job_that_only_waits_for_one_of_the_runs_is_remarked_for_good(
    run: Path, knowing: Callable[..., None]
) -> None:
    note(run, "sbatch", "Submitted batch job 5")
    knowing(slurm=Answering((Seen(id="8", submitted=NOW, folders=("/",), after=("5",)),)))
    told = ("slurm job 8 is not counted as the run's, though it waits for job 5",)
    assert search(run).remarks == told
    knowing(slurm=Answering())
    assert search(run).remarks == told, "it is not waiting any more"


def test_a_scheduler_without_an_answer_is_remarked_and_asked_again(
    run: Path, knowing: Callable[..., None]
) -> None:
    knowing(slurm=Answering(error=SchedulerOutage("slurm: squeue failed", hint="Later.")))
    found = search(run, ended=True)
    assert found.remarks == (
        "slurm could not be asked for more jobs of this run: slurm: squeue failed",
    )
    assert children.is_due(run, found, now=NOW + 1, since=NOW, ended=True)


@pytest.mark.parametrize(
    "error",
    [
        SchedulerOutage("slurm: squeue failed: Could not establish a configuration source"),
        SchedulerMissing("slurm: the program squeue cannot be started: No such file"),
    ],
)
def test_an_installed_program_without_a_cluster_is_nothing_to_remark(
    run: Path, knowing: Callable[..., None], error: Exception
) -> None:
    knowing(slurm=Answering(error=error))
    assert search(run, ended=True).final
    note(run, "sbatch", "Submitted batch job 5")
    assert search(run, ended=True).remarks, "there it was"


def test_the_job_itself_asks_at_its_end_and_leaves_out_what_is_not_there(
    run: Path, knowing: Callable[..., None]
) -> None:
    origin = run / "children" / "origin.json"
    store.write_json(origin, {"schedulers": ["gridengine", "slurm"]})
    store.write_json(run / "submission.json", {"job": OWN.id, "scheduler": "local"})
    absent = SchedulerOutage("gridengine: qstat failed: Please set SGE_ROOT")
    seen = Seen(id="6", folders=(str(run),))
    knowing(slurm=Answering((seen,)), gridengine=Answering(error=absent))
    children.search_from_within(run)
    assert [each.id for each in children.members(run, OWN)] == ["6"]
    assert store.read_json(origin)["schedulers"] == ["slurm"]


def test_a_scheduler_that_cannot_be_asked_is_a_limit(
    run: Path, knowing: Callable[..., None]
) -> None:
    knowing(slurm=object())
    assert search(run, ended=True).limits == (
        "slurm cannot be asked for jobs that were not noted at submission",
    )


def test_a_launch_without_a_job_is_remarked(run: Path, knowing: Callable[..., None]) -> None:
    note(run, "srun", None, time=NOW)
    note(run, "srun", None, time=NOW + 2 * CLOCKS)
    knowing(slurm=Answering((Seen(id="6", submitted=NOW + 1, folders=(str(run),)),)))
    (remark,) = search(run, ended=True).remarks
    assert remark.startswith("`srun -x` at 2026-01-31 13:02:00 UTC: no job of it is known to slurm")


def test_schedulers_are_asked_once_a_minute_and_once_when_all_has_ended(run: Path) -> None:
    def due(last: Search, seconds: float, *, ended: bool = False) -> bool:
        return children.is_due(run, last, now=NOW + seconds, since=NOW, ended=ended)

    assert not due(Search(), AGAIN - 1)
    assert due(Search(), AGAIN)
    last = Search(asked=NOW + AGAIN)
    assert not due(last, 2 * AGAIN - 1)
    assert due(last, 2 * AGAIN)
    assert due(last, AGAIN + 1, ended=True)
    assert not due(replace(last, final=True), 10 * AGAIN, ended=True)
    (run / "children" / "origin.json").unlink()
    assert not due(Search(), AGAIN, ended=True), "the job has not begun"


def test_steps_are_the_accountings_or_those_noted(run: Path, knowing: Callable[..., None]) -> None:
    (run / "children" / "steps").write_text("1769864400\t5\tsrun a\n1769864401\t77\tsrun b\n")
    five = Member(id="5", scheduler="slurm")
    knowing(slurm=Answering(), local=object())
    found, remarks = children.steps(run, [OWN, five])
    assert [(each.id, each.call) for each in found[five.identity]] == [("5.0", "")]
    assert [each.call for each in found[OWN.identity]] == ["srun b"], "of an allocation around it"
    assert remarks == ()
    knowing(slurm=Answering(error=SchedulerOutage("slurm: sacct failed")), local=object())
    found, remarks = children.steps(run, [OWN, five])
    assert [each.call for each in found[five.identity]] == ["srun a"]
    assert remarks == ("the steps of jobs on slurm are not known: slurm: sacct failed",)


def test_the_job_notes_its_sessions_and_whose_programs_there_are(
    tmp_path: Path,
) -> None:
    recorder.install(tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bsub", "qsub"):
        (programs / name).touch(0o755)
    children.note_origin(tmp_path, {"PATH": str(programs), "SGE_ROOT": "/opt/sge"})
    children.note_origin(tmp_path, {"PATH": str(programs)})
    origin = store.read_json(tmp_path / "children" / "origin.json")
    assert origin["schedulers"] == ["gridengine", "lsf", "pbs"]
    assert os.getsid(0) in {session for _, session in origin["sessions"]}
