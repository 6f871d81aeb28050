"""The truth about jobs, told by a real Slurm with accounting that the test brings up itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from clusters import Jobs, until

from nbpipe.reference.errors import SchedulerOutage, SubmissionRefused
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.schedulers.slurm import Slurm
from nbpipe.reference.state import GRACE, core_hours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clusters import SecondSlurm, SlurmCluster

    from nbpipe.reference.schedulers.protocol import Accounting

MIB = 1024**2
PROFILE = Profile(name="test", scheduler="slurm", memory=100 * MIB)
EAT = "exec python3 -c \"x = b'x' * 300_000_000; import time; time.sleep(600)\""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def slurm(slurm_cluster: SlurmCluster) -> Slurm:
    return Slurm(slurm_cluster.environ, timeout=20)


@pytest.fixture(scope="module")
def jobs(slurm: Slurm, folder: Path) -> Iterator[Jobs]:
    """Return jobs; those with a time limit are started now, as it takes Slurm a minute."""
    jobs = Jobs(slurm, folder, PROFILE)
    yield jobs
    slurm.cancel([*jobs.seen])


@pytest.fixture(scope="module", autouse=True)
def limited(jobs: Jobs) -> str:
    return jobs.submit("limited", "sleep 600", walltime=60)


@pytest.fixture(scope="module", autouse=True)
def warned(jobs: Jobs) -> str:
    text = "trap 'echo warned; exit 5' TERM; sleep 600 & wait"
    return jobs.submit("warned", text, walltime=60, warning=50)


def accounted(jobs: Jobs, job: str, attempts: int = 1) -> tuple[Accounting, ...]:
    """Return the attempts of a job, when the accounting, which is late, knows all their ends."""
    told: list[tuple[Accounting, ...]] = []

    def complete() -> bool:
        told.append(jobs.scheduler.account([job]).get(job, ()))
        return len(told[-1]) == attempts and all(each.state.ended for each in told[-1])

    until(complete, f"the accounting of {attempts} attempts")
    return told[-1]


def test_a_job_runs_in_its_folder_with_its_argument(jobs: Jobs, folder: Path) -> None:
    job = jobs.submit("good", 'echo "$1 $PWD"; echo no >&2; sleep 2', cores=2)
    told = jobs.ended(job)
    assert (told.state, told.exit_code) == (JobState.COMPLETED, 0)
    assert (folder / "good.out").read_text() == f"{folder} {folder}\n"
    assert (folder / "good.err").read_text() == "no\n"
    until(lambda: accounted(jobs, job)[0].requested_memory, "the memory asked for")
    until(lambda: accounted(jobs, job)[0].peak_memory, "the memory used")
    (record,) = accounted(jobs, job)
    assert (record.cores, record.requested_memory) == (2, 100 * MIB)
    assert record.elapsed >= 1
    assert record.core_seconds == 2 * record.elapsed
    assert record.submitted is not None
    assert record.started is not None
    assert record.submitted <= record.started
    assert record.peak_memory


def test_an_exit_code_is_a_failure_and_kept(jobs: Jobs) -> None:
    told = jobs.ended(jobs.submit("exit3", "exit 3"))
    assert (told.state, told.exit_code, told.signal) == (JobState.FAILED, 3, None)


def test_a_segmentation_fault_is_a_failure_with_its_signal(jobs: Jobs) -> None:
    told = jobs.ended(jobs.submit("segv", "kill -SEGV $$"))
    assert (told.state, told.signal) == (JobState.FAILED, signal.SIGSEGV)


def test_a_memory_kill_is_told_from_other_kills(jobs: Jobs) -> None:
    hungry, killed = jobs.submit("hungry", EAT), jobs.submit("killed", "kill -KILL $$")
    assert jobs.ended(hungry).state is JobState.OUT_OF_MEMORY
    told = jobs.ended(killed)
    assert (told.state, told.signal) == (JobState.FAILED, signal.SIGKILL)
    (record,) = accounted(jobs, hungry)
    assert (record.state, record.cpu_seconds) == (JobState.FAILED, None)


def test_a_cancelled_job_says_by_whom(jobs: Jobs) -> None:
    job = jobs.submit("cancelled", "sleep 600")
    jobs.until(job, JobState.RUNNING)
    jobs.cancel(job)
    told = jobs.ended(job)
    assert (told.state, told.reason) == (JobState.CANCELLED, f"CANCELLED by {os.geteuid()}")
    jobs.scheduler.cancel([job, "999999"])  # ended, unknown: passed over


def test_a_preempted_job_is_queued_again_and_every_attempt_is_charged(
    jobs: Jobs, slurm_cluster: SlurmCluster, folder: Path
) -> None:
    here = ("--nodelist=n2",)
    gate = f"until [ -e {folder}/go-on ]; do sleep 0.2; done"
    again = jobs.submit("again", gate, queue="scavenge", cores=2, extra=here)
    once = jobs.submit("once", gate, queue="scavenge", extra=here, requeue=False)
    jobs.until(again, JobState.RUNNING)
    jobs.until(once, JobState.RUNNING)
    until(lambda: any(each.elapsed >= 1 for each in jobs.scheduler.account([again]).get(again, ())))
    urgent = jobs.submit("urgent", "true", cores=4, extra=here)
    assert jobs.ended(once).state is JobState.PREEMPTED
    assert jobs.ended(urgent).state is JobState.COMPLETED
    assert jobs.until(again, JobState.PENDING).source == "queue"
    (folder / "go-on").touch()
    slurm_cluster.wait_for_nodes()  # the first attempt is cleared away
    # A credential of the second in which the first attempt was killed would be refused.
    slurm_cluster.daemons.run("scontrol", "update", f"job={again}", "starttime=now+2")
    assert jobs.ended(again).state is JobState.COMPLETED
    first, second = accounted(jobs, again, attempts=2)
    assert (first.state, second.state) == (JobState.PREEMPTED, JobState.COMPLETED)
    assert core_hours((first, second)) * 3600 == first.core_seconds + second.core_seconds
    assert first.core_seconds >= 2


def test_a_job_is_warned_before_its_limit(jobs: Jobs, warned: str, folder: Path) -> None:
    told = jobs.ended(warned)
    assert (told.state, told.exit_code) == (JobState.FAILED, 5)
    assert (folder / "warned.out").read_text() == "warned\n"


def test_a_job_whose_node_goes_down_says_so(jobs: Jobs, slurm_cluster: SlurmCluster) -> None:
    job = jobs.submit("stranded", "sleep 600", extra=("--nodelist=n2",), requeue=False)
    jobs.until(job, JobState.RUNNING)
    run = slurm_cluster.daemons.run
    run("scontrol", "update", "node=n2", "state=down", "reason=test")
    assert jobs.ended(job).state is JobState.NODE_FAIL
    slurm_cluster.daemons.works("scontrol", "update", "node=n2", "state=resume")
    slurm_cluster.wait_for_nodes()


def test_a_stopped_scheduler_is_no_news(
    jobs: Jobs, slurm: Slurm, slurm_cluster: SlurmCluster, folder: Path
) -> None:
    job = jobs.submit("patient", f"until [ -e {folder}/patient-go ]; do sleep 0.2; done; exit 4")
    jobs.until(job, JobState.RUNNING)
    slurm_cluster.stop_controller()
    (folder / "patient-go").touch()
    with pytest.raises(SchedulerOutage, match="Unable to contact slurm controller"):
        slurm.submit(jobs.request("unheard", "true"))
    held = jobs.look()[job]
    assert (held.state, held.failures) == (JobState.RUNNING, 1)
    assert jobs.look(now=1e9)[job].state is JobState.RUNNING, "however long it lasts"
    slurm_cluster.start_controller()
    assert slurm.find("unheard") == ()
    told = jobs.ended(job)
    assert (told.state, told.exit_code, told.failures) == (JobState.FAILED, 4, 0)
    slurm_cluster.wait_for_nodes()


def test_a_submitter_that_is_killed_before_it_knows_the_id_finds_the_job_by_name(
    jobs: Jobs, slurm: Slurm, slurm_cluster: SlurmCluster, folder: Path
) -> None:
    request = jobs.request("orphan-7f3a", "exit 6")
    options = [f"--job-name={request.name}", f"--output={request.stdout}", *request.command]
    code = (
        "import os, signal, subprocess, sys\n"
        "subprocess.run(['sbatch', '--parsable', *sys.argv[1:]], check=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *options],
        env=slurm_cluster.environ,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    (job,) = Slurm(slurm_cluster.environ).find(request.name)
    told = jobs.ended(jobs.follow(job))
    assert (told.state, told.exit_code) == (JobState.FAILED, 6)
    assert slurm.find("orphan-7f3b") == ()


def test_a_job_that_nobody_knows_is_lost_and_never_completed(jobs: Jobs) -> None:
    job = jobs.follow("987654")
    assert jobs.look(now=1000.0)[job].state is JobState.UNKNOWN
    assert jobs.look(now=1000.0 + GRACE / 2)[job].state is JobState.UNKNOWN
    told = jobs.look(now=1000.0 + GRACE)[job]
    assert (told.state, told.source) == (JobState.LOST, "nowhere")


def test_the_tasks_of_an_array_have_an_end_each(jobs: Jobs, folder: Path) -> None:
    text = 'echo $SLURM_ARRAY_TASK_ID; test "$SLURM_ARRAY_TASK_ID" != 2'
    tasks = jobs.scheduler.submit_array(jobs.request("array", text), 3, at_once=2)
    states = [jobs.ended(jobs.follow(task)).state for task in tasks]
    assert states == [JobState.COMPLETED, JobState.FAILED, JobState.COMPLETED]
    assert [(folder / f"array.out.{number}").read_text() for number in (1, 2, 3)] == [
        "1\n",
        "2\n",
        "3\n",
    ]
    assert sorted(jobs.scheduler.find("array")) == sorted(tasks)


def test_a_job_after_a_failure_is_cancelled_and_after_a_success_runs(jobs: Jobs) -> None:
    good, bad = jobs.submit("before-good", "true"), jobs.submit("before-bad", "exit 1")
    after_good = jobs.submit("after-good", "true", after=(good,))
    after_bad = jobs.submit("after-bad", "true", after=(bad,))
    assert jobs.ended(after_good).state is JobState.COMPLETED
    assert jobs.ended(after_bad).state is JobState.CANCELLED


def test_a_refused_job_is_refused_in_slurms_words(jobs: Jobs, slurm: Slurm) -> None:
    request = jobs.request("nowhere", "true", queue="no-such-partition")
    with pytest.raises(SubmissionRefused, match="invalid partition specified: no-such-partition"):
        slurm.submit(request)


def test_variables_of_the_user_do_not_hide_jobs(slurm_cluster: SlurmCluster, jobs: Jobs) -> None:
    job = jobs.submit("visible", "sleep 600")
    jobs.until(job, JobState.RUNNING)
    hiding = {"SQUEUE_PARTITION": "scavenge", "SQUEUE_STATES": "CF", "SQUEUE_USERS": "nobody",
              "SACCT_FORMAT": "jobid", "SLURM_TIME_FORMAT": "relative"}  # fmt: skip
    slurm = Slurm({**slurm_cluster.environ, **hiding})
    assert slurm.poll([job])[job].state is JobState.RUNNING
    until(lambda: job in slurm.account([job]))
    jobs.cancel(job)


def test_a_job_of_another_cluster_is_asked_about_and_cancelled_there(
    slurm_cluster: SlurmCluster, second_slurm: SecondSlurm, slurm: Slurm, folder: Path
) -> None:
    """Both clusters give out the same ids; sbatch answers `5001;second`."""
    there = ("-M", second_slurm.NAME, "--parsable", "-o", "/dev/null")
    run = slurm_cluster.daemons.run
    elsewhere = Jobs(slurm, folder, PROFILE)
    plain = elsewhere.follow(run("sbatch", *there, "--wrap=exit 3").strip())
    array = elsewhere.follow(run("sbatch", *there, "--array=1-2", "--wrap=sleep 600").strip())
    het = elsewhere.follow(run("sbatch", *there, "-n1", "--wrap=sleep 600", ":", "-n1").strip())
    ids = (plain, array, het)
    assert {job.partition(";")[2] for job in ids} == {second_slurm.NAME}
    told = elsewhere.ended(plain)
    assert (told.state, told.exit_code) == (JobState.FAILED, 3)
    elsewhere.until(array, JobState.RUNNING)
    elsewhere.cancel(array, het)
    assert elsewhere.ended(array).state is JobState.CANCELLED
    assert elsewhere.ended(het).state is JobState.CANCELLED
    states = second_slurm.daemons.run("squeue", "-h", "-r", "-t", "all", "-o", "%T").split()
    assert {"PENDING", "RUNNING"} & set(states) == set()
    found = slurm.account([plain, plain.partition(";")[0]])
    assert found[plain][-1].exit_code == 3
    assert found[plain] != found.get(plain.partition(";")[0], ()), "that is another job"


def test_a_submission_from_inside_of_a_job_does_not_inherit_its_size(
    slurm_cluster: SlurmCluster, jobs: Jobs
) -> None:
    """Else every srun of the new job fails: `can't satisfy request` of its parent's tasks."""
    size = ("-n2", "--mem-per-cpu=300M", "-Q")
    outside = slurm_cluster.daemons.run("salloc", *size, "env").splitlines()
    inside = dict(line.split("=", 1) for line in outside if line.startswith("SLURM"))
    assert inside["SLURM_NTASKS"] == "2"
    slurm = Slurm({**slurm_cluster.environ, **inside})
    job = jobs.follow(slurm.submit(jobs.request("from-inside", "srun -n1 true")))
    told = jobs.ended(job)
    assert (told.state, told.exit_code) == (JobState.COMPLETED, 0)


def test_a_job_over_its_time_is_a_timeout(jobs: Jobs, limited: str) -> None:
    assert jobs.ended(limited).state is JobState.TIMEOUT


def test_a_stopped_accounting_leaves_what_is_known(jobs: Jobs, slurm_cluster: SlurmCluster) -> None:
    job = jobs.submit("unaccounted", "exit 3")
    jobs.ended(job)
    slurm_cluster.daemons.stop("slurmdbd")
    with pytest.raises(SchedulerOutage, match="sacct failed"):
        jobs.scheduler.account([job])
    assert jobs.look()[job].state is JobState.FAILED
    slurm_cluster.start_accounting()
    until(lambda: replaced(jobs, job))


def replaced(jobs: Jobs, job: str) -> bool:
    """Return whether the accounting answers again."""
    try:
        return job in jobs.scheduler.account([job])
    except SchedulerOutage:
        return False


def test_a_job_gets_the_qos_the_nodes_and_the_reservation_that_were_asked_for(
    jobs: Jobs, slurm_cluster: SlurmCluster
) -> None:
    control = ("scontrol", "create", "reservation", "reservationname=mini", "users=root")
    slurm_cluster.daemons.run(
        *control, "starttime=now", "duration=30", "nodes=n2", "flags=ignore_jobs"
    )
    wishes = {"qos": "interactive", "constraint": "cpu&n2", "reservation": "mini"}
    per_core = {"memory": None, "memory_per_core": 300 * 1024**2, "cores": 2}
    try:
        job = jobs.submit("wishes", 'scontrol show job "$SLURM_JOB_ID"', **wishes, **per_core)
        assert jobs.ended(job).state is JobState.COMPLETED
    finally:
        slurm_cluster.daemons.run("scontrol", "delete", "reservationname=mini")
    said = (jobs.folder / "wishes.out").read_text()
    for fact in (
        *("QOS=interactive", "Features=cpu&n2", "Reservation=mini", "NodeList=n2"),
        *("MinMemoryCPU=300M", "NumCPUs=2"),
    ):
        assert fact in said, said
