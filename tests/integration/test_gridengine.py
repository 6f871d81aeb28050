"""The truth about jobs, told by a real Grid Engine that the test brings up itself."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from clusters import Jobs, until

from nbpipe.reference.errors import SchedulerOutage, SubmissionRefused
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers.gridengine import GridEngine
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.state import GRACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gridengine_cluster import GridEngineCluster

MIB = 1024**2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def jobs(gridengine_cluster: GridEngineCluster, folder: Path) -> Iterator[Jobs]:
    engine = GridEngine(gridengine_cluster.environ)
    jobs = Jobs(engine, folder, Profile(name="test", scheduler="gridengine"))
    yield jobs
    engine.cancel([*jobs.seen])


def test_a_job_runs_in_its_folder_with_its_argument(jobs: Jobs, folder: Path) -> None:
    job = jobs.submit("good", 'echo "$1 $PWD"; echo no >&2; sleep 2', cores=2, memory=2048 * MIB)
    told = jobs.ended(job)
    assert (told.state, told.exit_code, told.source) == (JobState.COMPLETED, 0, "accounting")
    assert (folder / "good.out").read_text() == f"{folder} {folder}\n"
    # Grid Engine starts a login shell, and what a site's profile says comes first.
    assert (folder / "good.err").read_text().splitlines()[-1] == "no"
    (record,) = jobs.scheduler.account([job])[job]
    assert (record.cores, record.requested_memory) == (2, 2048 * MIB)
    assert record.elapsed >= 1
    assert record.core_seconds == 2 * record.elapsed
    assert record.submitted is not None
    assert record.started is not None
    assert record.ended is not None
    assert record.submitted <= record.started < record.ended


def test_an_exit_code_is_a_failure_and_kept(jobs: Jobs) -> None:
    told = jobs.ended(jobs.submit("exit3", "exit 3"))
    assert (told.state, told.exit_code, told.signal) == (JobState.FAILED, 3, None)


def test_a_segmentation_fault_is_a_failure_with_its_signal(jobs: Jobs) -> None:
    told = jobs.ended(jobs.submit("segv", "kill -SEGV $$"))
    assert (told.state, told.signal) == (JobState.FAILED, signal.SIGSEGV)


def test_a_job_without_more_memory_is_a_failure_of_its_own(jobs: Jobs, folder: Path) -> None:
    eat = "exec python3 -c \"x = b'x' * 300_000_000\""
    told = jobs.ended(jobs.submit("hungry", eat, memory=200 * MIB))
    assert (told.state, told.exit_code) == (JobState.FAILED, 1)
    assert "MemoryError" in (folder / "hungry.err").read_text()


def test_a_job_over_its_time_is_a_timeout(jobs: Jobs) -> None:
    told = jobs.ended(jobs.submit("limited", "sleep 600", walltime=4))
    assert told.state is JobState.TIMEOUT
    assert "h_rt" in told.reason


def test_a_job_is_warned_before_its_limit(jobs: Jobs, folder: Path) -> None:
    text = "trap 'echo warned; exit 5' USR1; sleep 600 & wait"
    told = jobs.ended(jobs.submit("warned", text, walltime=604, warning=602))
    assert (told.state, told.exit_code) == (JobState.FAILED, 5)
    assert (folder / "warned.out").read_text() == "warned\n"


def test_the_warning_that_ends_a_job_is_its_limit(jobs: Jobs) -> None:
    told = jobs.ended(jobs.submit("unaware", "sleep 600", walltime=604, warning=602))
    assert (told.state, told.signal) == (JobState.TIMEOUT, signal.SIGUSR1)


def test_a_cancelled_job_is_told_from_a_killed_one_by_who_asked(jobs: Jobs) -> None:
    cancelled, killed = jobs.submit("cancelled", "sleep 600"), jobs.submit("killed", "kill -9 $$")
    jobs.until(cancelled, JobState.RUNNING)
    jobs.cancel(cancelled)
    assert jobs.ended(cancelled).state is JobState.CANCELLED
    told = jobs.ended(killed)
    assert (told.state, told.signal) == (JobState.FAILED, signal.SIGKILL)
    jobs.scheduler.cancel([cancelled, "999999"])  # ended, unknown: passed over


def test_a_job_that_cannot_be_started_says_why(jobs: Jobs, folder: Path) -> None:
    gone = folder / "gone"
    gone.mkdir()
    request = jobs.request("stuck", "true", folder=gone)
    gone.rmdir()
    job = jobs.follow(jobs.scheduler.submit(request))
    until(lambda: jobs.scheduler.poll([job])[job].state is JobState.FAILED)
    assert "can't chdir" in jobs.scheduler.poll([job])[job].reason
    assert f"qmod -cj {job}" in jobs.scheduler.poll([job])[job].advice
    jobs.look(now=0.0)
    assert jobs.look(now=GRACE)[job].state is JobState.FAILED


def test_a_stopped_master_is_no_news(
    jobs: Jobs, gridengine_cluster: GridEngineCluster, folder: Path
) -> None:
    job = jobs.submit("patient", f"until [ -e {folder}/patient-go ]; do sleep 0.2; done; exit 4")
    jobs.until(job, JobState.RUNNING)
    gridengine_cluster.stop_master()
    (folder / "patient-go").touch()
    with pytest.raises(SchedulerOutage, match="unable to send message to qmaster"):
        jobs.scheduler.submit(jobs.request("unheard", "true"))
    held = jobs.look()[job]
    assert (held.state, held.failures) == (JobState.RUNNING, 1)
    assert jobs.look(now=1e9)[job].state is JobState.RUNNING, "however long it lasts"
    gridengine_cluster.start_master()
    assert jobs.scheduler.find("unheard") == ()
    told = jobs.ended(job)
    assert (told.state, told.exit_code, told.failures) == (JobState.FAILED, 4, 0)


def test_a_job_is_found_by_its_name_in_the_queue_and_after(
    jobs: Jobs, gridengine_cluster: GridEngineCluster
) -> None:
    job = jobs.submit("unique-7f3a", "sleep 3; exit 6")
    other = GridEngine(gridengine_cluster.environ)
    assert other.find("unique-7f3a") == (job,)
    assert jobs.ended(job).exit_code == 6
    assert other.find("unique-7f3a") == (job,)
    assert other.find("unique-7f3b") == ()


def test_a_job_that_nobody_knows_is_lost_and_never_completed(jobs: Jobs) -> None:
    job = jobs.follow("987654")
    assert jobs.look(now=1000.0)[job].state is JobState.UNKNOWN
    told = jobs.look(now=1000.0 + GRACE)[job]
    assert (told.state, told.source) == (JobState.LOST, "nowhere")


def test_the_tasks_of_an_array_have_an_end_each(jobs: Jobs, folder: Path) -> None:
    text = 'echo $SGE_TASK_ID; test "$SGE_TASK_ID" != 2'
    tasks = jobs.scheduler.submit_array(jobs.request("array", text), 3, at_once=2)
    states = [jobs.ended(jobs.follow(task)).state for task in tasks]
    assert states == [JobState.COMPLETED, JobState.FAILED, JobState.COMPLETED]
    assert [(folder / f"array.out.{number}").read_text() for number in (1, 2, 3)] == [
        "1\n",
        "2\n",
        "3\n",
    ]
    assert sorted(jobs.scheduler.find("array")) == sorted(tasks)


def test_an_array_that_was_submitted_as_one_job_is_as_its_tasks_are(
    jobs: Jobs, gridengine_cluster: GridEngineCluster, folder: Path
) -> None:
    run = gridengine_cluster.daemons.run
    script = folder / "tasks.sh"
    script.write_text("#!/bin/bash\nsleep $SGE_TASK_ID; test $SGE_TASK_ID != 2\n")
    words = ("qsub", "-terse", "-o", "/dev/null", "-e", "/dev/null", "-t")
    told = run(*words, "1-3", str(script)).strip()
    assert told.endswith(".1-3:1")
    job = jobs.follow(told.partition(".")[0])
    until(lambda: f"{job}.1" in jobs.scheduler.account([f"{job}.1"]), "the end of a task")
    if jobs.scheduler.poll([job]):  # the last task takes two seconds more
        assert jobs.look()[job].state is JobState.RUNNING
    end = jobs.ended(job)
    assert (end.state, end.exit_code) == (JobState.FAILED, 1)
    ((whole,),) = jobs.scheduler.account([job]).values()
    assert whole.core_seconds >= 6
    stopped = jobs.follow(run(*words, "1-9", str(script)).partition(".")[0])
    jobs.cancel(stopped)
    until(lambda: not jobs.scheduler.poll([stopped]), "all tasks being deleted")


def test_a_job_that_no_queue_would_ever_take_says_so(
    jobs: Jobs, gridengine_cluster: GridEngineCluster
) -> None:
    run = gridengine_cluster.daemons.run
    words = ("qsub", "-terse", "-b", "y", "-o", "/dev/null", "-e", "/dev/null")
    job = jobs.follow(run(*words, "-pe", "smp", "500", "true").strip())
    held = jobs.follow(run(*words, "-h", "true").strip())
    until(lambda: jobs.look()[job].advice, "the advice")
    told = jobs.look()[job]
    assert told.state is JobState.PENDING
    assert 'cannot run in PE "smp"' in told.reason
    assert "ask for less" in told.advice
    until(lambda: f"qrls {held}" in jobs.look()[held].advice, "the advice on the held job")
    jobs.cancel(job, held)


def test_a_job_after_another_one_waits_for_its_end(jobs: Jobs, folder: Path) -> None:
    first = jobs.submit("first", "sleep 2; touch first-was-here; exit 1")
    second = jobs.submit("second", "test -e first-was-here", after=(first,))
    assert jobs.ended(second).state is JobState.COMPLETED


def test_a_refused_job_is_refused_in_grid_engines_words(jobs: Jobs) -> None:
    request = jobs.request("nowhere", "true", queue="no-such-queue")
    with pytest.raises(SubmissionRefused, match='unknown queue "no-such-queue"'):
        jobs.scheduler.submit(request)
