"""A real Slurm that keeps no accounting: what its queue remembers, and what nobody knows then."""

from __future__ import annotations

import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from clusters import Jobs, until

from nbpipe.reference.identity import Identity
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers.protocol import JobState, NoAccounting
from nbpipe.reference.schedulers.slurm import Slurm
from nbpipe.reference.state import GRACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clusters import UnaccountedSlurm

HET = ["-n1", "--wrap", "sleep 600", ":", "-n1"]


@pytest.fixture(scope="module")
def slurm(unaccounted_slurm: UnaccountedSlurm) -> Slurm:
    return Slurm(unaccounted_slurm.environ, timeout=20)


@pytest.fixture(scope="module")
def jobs(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("jobs")
    jobs = Jobs(slurm, folder, Profile(name="test", scheduler="slurm"))
    yield jobs
    slurm.cancel([*jobs.seen])


def test_an_end_is_known_with_its_code_while_the_queue_remembers_it(jobs: Jobs) -> None:
    good, bad = jobs.submit("good", "sleep 1", cores=2), jobs.submit("bad", "exit 3")
    killed = jobs.submit("killed", "kill -KILL $$")
    told = jobs.ended(bad)
    assert (told.state, told.exit_code, told.source) == (JobState.FAILED, 3, "accounting")
    assert (jobs.ended(good).state, jobs.ended(good).exit_code) == (JobState.COMPLETED, 0)
    until(lambda: jobs.scheduler.poll([killed])[killed].state is JobState.FAILED)
    ((record,),) = jobs.scheduler.account([killed]).values()
    assert record.signal == signal.SIGKILL
    ((record,),) = jobs.scheduler.account([good]).values()
    assert record.cores == 2
    assert record.elapsed >= 1
    assert record.core_seconds == 2 * record.elapsed


def test_a_cancelled_job_is_cancelled(jobs: Jobs) -> None:
    job = jobs.submit("cancelled", "sleep 600")
    jobs.until(job, JobState.RUNNING)
    jobs.cancel(job)
    assert jobs.ended(job).state is JobState.CANCELLED


def test_an_array_that_was_submitted_as_one_job_is_as_its_tasks_are(
    jobs: Jobs, unaccounted_slurm: UnaccountedSlurm
) -> None:
    text = "sleep 1; test $SLURM_ARRAY_TASK_ID != 2"
    words = ("sbatch", "--parsable", "--array=1-3%2", "-o", "/dev/null", "--wrap", text)
    job = jobs.follow(unaccounted_slurm.daemons.run(*words).strip())
    told = jobs.ended(job)
    assert (told.state, told.exit_code) == (JobState.FAILED, 1)
    ((whole,),) = jobs.scheduler.account([job]).values()
    assert whole.core_seconds >= 3


@pytest.mark.parametrize(
    "words", [["--array=1-2", "--wrap", "sleep 600"], HET], ids=["array", "het"]
)
def test_all_parts_are_cancelled(
    jobs: Jobs, unaccounted_slurm: UnaccountedSlurm, words: list[str]
) -> None:
    run = unaccounted_slurm.daemons.run
    job = jobs.follow(run("sbatch", "--parsable", "-o", "/dev/null", *words).strip())
    jobs.until(job, JobState.RUNNING, JobState.PENDING)
    jobs.cancel(job)
    assert jobs.ended(job).state is JobState.CANCELLED
    parts = run("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T").split()
    assert set(parts) <= {"CANCELLED", "COMPLETING"}
    assert len(parts) == 2


@pytest.mark.parametrize(
    ("extra", "reason", "words"),
    [
        (("--ntasks-per-node=40",), "PartitionConfig", "ask for less"),
        (("--hold",), "JobHeldUser", "scontrol release"),
    ],
)
def test_a_job_that_cannot_start_comes_with_slurms_reason_and_advice(
    jobs: Jobs, extra: tuple[str, ...], reason: str, words: str
) -> None:
    job = jobs.submit(f"stuck-{reason}", "true", extra=extra)
    until(lambda: jobs.look()[job].reason == reason, f"the reason {reason}")
    told = jobs.look()[job]
    assert told.state is JobState.PENDING
    assert words in told.advice
    jobs.cancel(job)


def test_the_dependency_of_a_failed_job_is_never_satisfied(
    jobs: Jobs, unaccounted_slurm: UnaccountedSlurm
) -> None:
    first = jobs.submit("failing", "exit 1")
    run = unaccounted_slurm.daemons.run
    words = ("--parsable", f"--dependency=afterok:{first}", "-o", "/dev/null", "--wrap=true")
    job = jobs.follow(run("sbatch", *words).strip())
    until(lambda: jobs.look()[job].reason == "DependencyNeverSatisfied")
    assert "did not end as it should" in jobs.look()[job].advice
    jobs.cancel(job)


def test_a_job_that_the_queue_has_forgotten_is_lost_with_advice(
    jobs: Jobs, slurm: Slurm, unaccounted_slurm: UnaccountedSlurm
) -> None:
    job = jobs.submit("forgotten", "exit 3")
    until(lambda: slurm.poll([job])[job].state is JobState.FAILED)
    unaccounted_slurm.stop_controller()
    unaccounted_slurm.start_controller("-c")  # as after MinJobAge, but for all jobs
    unaccounted_slurm.wait_for_nodes()
    assert slurm.poll([job]) == {}
    with pytest.raises(NoAccounting, match="no accounting is kept here"):
        slurm.account([job])
    again = Jobs(slurm, jobs.folder, jobs.profile)
    again.follow(job)
    assert again.look(now=1000.0)[job].state is JobState.UNKNOWN
    told = again.look(now=1000.0 + GRACE)[job]
    assert (told.state, told.source) == (JobState.LOST, "nowhere")
    assert "keeps no accounting" in told.reason
    assert told.advice


def test_a_job_that_has_the_id_of_an_earlier_one_is_told_from_it(
    jobs: Jobs, slurm: Slurm, unaccounted_slurm: UnaccountedSlurm, tmp_path: Path
) -> None:
    """A controller without its state gives the ids out again, from 1."""
    first = jobs.submit("first-of-all", "exit 3")
    unaccounted_slurm.stop_controller()
    shutil.rmtree(unaccounted_slurm.folder / "state")
    (unaccounted_slurm.folder / "state").mkdir()
    unaccounted_slurm.start_controller("-c")
    unaccounted_slurm.wait_for_nodes()
    gate = tmp_path / "go-on"
    later = ""
    while later != first:
        text = f"until [ -e {gate} ]; do sleep 0.2; done"
        later = jobs.submit("stranger", text)
        assert int(later) <= int(first)
        if later != first:
            slurm.cancel([later])
    jobs.until(later, JobState.RUNNING, JobState.PENDING)
    again = Jobs(slurm, jobs.folder, jobs.profile)
    moment = time.time() - 100_000
    again.follow(first, identity=Identity(name="first-of-all", earliest=moment, latest=moment))
    assert again.look(now=1000.0)[first].state is JobState.UNKNOWN
    assert again.look(now=1000.0 + GRACE)[first].state is JobState.LOST
    gate.touch()
