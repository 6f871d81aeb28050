"""This machine as a scheduler: real processes, real limits."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from nbpipe.reference.errors import SubmissionRefused
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers.local import Local
from nbpipe.reference.schedulers.local_files import held, read
from nbpipe.reference.schedulers.protocol import Accounting, JobRequest, JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROFILE = Profile(name="local", cores=1)


@pytest.fixture
def local(tmp_path: Path) -> Local:
    return Local(tmp_path / "jobs", cores=2)


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., JobRequest]:
    """Return a function that makes a request for a script with these lines."""

    def make(
        text: str, profile: Profile = PROFILE, name: str = "job", **more: object
    ) -> JobRequest:
        script = tmp_path / f"{name}.sh"
        script.write_text(f"#!/bin/bash\n{text}\n")
        script.chmod(0o700)
        request = JobRequest(
            name=name,
            command=(str(script), str(tmp_path)),
            folder=tmp_path,
            stdout=tmp_path / f"{name}.out",
            stderr=tmp_path / f"{name}.err",
            profile=profile,
        )
        return replace(request, **more)

    return make


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, generously."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(local: Local, job: str) -> Accounting:
    """Wait for a job's end; return its accounting."""
    until(lambda: local.account([job]))
    return local.account([job])[job][0]


def running(local: Local, job: str) -> None:
    until(lambda: local.poll([job])[job].state is JobState.RUNNING)


def test_a_job_runs_in_its_folder_with_its_argument(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    record = ended(local, local.submit(request_for('echo "$1 $PWD"; echo no >&2')))
    assert (record.state, record.exit_code, record.signal) == (JobState.COMPLETED, 0, None)
    assert (tmp_path / "job.out").read_text() == f"{tmp_path} {tmp_path}\n"
    assert (tmp_path / "job.err").read_text() == "no\n"
    assert record.core_seconds == record.elapsed * record.cores


def test_an_exit_code_is_kept(local: Local, request_for: Callable[..., JobRequest]) -> None:
    record = ended(local, local.submit(request_for("exit 3")))
    assert (record.state, record.exit_code, record.signal) == (JobState.FAILED, 3, None)


def test_a_signal_is_kept(local: Local, request_for: Callable[..., JobRequest]) -> None:
    record = ended(local, local.submit(request_for("kill -SEGV $$")))
    assert (record.state, record.signal) == (JobState.FAILED, signal.SIGSEGV)


def test_a_program_that_is_not_there_is_a_failure(
    local: Local, request_for: Callable[..., JobRequest]
) -> None:
    request = replace(request_for(""), command=("/nowhere/job.sh",))
    record = ended(local, local.submit(request))
    assert (record.state, record.exit_code) == (JobState.FAILED, 127)
    assert "/nowhere/job.sh" in record.said


def test_a_job_over_its_time_is_a_timeout(
    local: Local, request_for: Callable[..., JobRequest]
) -> None:
    profile = replace(PROFILE, walltime=1)
    record = ended(local, local.submit(request_for("trap '' TERM; sleep 600 & wait", profile)))
    assert record.state is JobState.TIMEOUT


def test_a_job_is_warned_before_its_limit(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    profile = replace(PROFILE, walltime=600)
    request = request_for("trap 'echo warned; exit 5' TERM; sleep 600 & wait", profile, warning=599)
    record = ended(local, local.submit(request))
    assert (record.state, record.exit_code) == (JobState.FAILED, 5)
    assert (tmp_path / "job.out").read_text() == "warned\n"


def test_a_job_over_its_memory_is_killed(
    local: Local, request_for: Callable[..., JobRequest]
) -> None:
    profile = replace(PROFILE, memory=50 * 1024**2)
    eat = "python3 -c \"x = b'x' * 200_000_000; import time; time.sleep(600)\""
    record = ended(local, local.submit(request_for(eat, profile)))
    assert record.state is JobState.OUT_OF_MEMORY
    assert record.peak_memory is not None
    assert record.peak_memory > 50 * 1024**2


def test_a_cancelled_job_ends_with_all_that_it_started(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    left = tmp_path / "pid"
    job = local.submit(
        request_for(f"setsid sleep 600 & echo $! >{left}.new; mv {left}.new {left}; wait")
    )
    until(left.exists)
    local.cancel([job])
    assert ended(local, job).state is JobState.CANCELLED
    until(lambda: not psutil.pid_exists(int(left.read_text())))


def test_what_a_job_leaves_behind_is_ended(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    left = tmp_path / "pid"
    job = local.submit(request_for(f"setsid sleep 600 & echo $! >{left}"))
    assert ended(local, job).state is JobState.COMPLETED
    until(lambda: not psutil.pid_exists(int(left.read_text())))


def test_a_killed_guard_takes_its_job_along_and_nobody_says_completed(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    left = tmp_path / "pid"
    job = local.submit(request_for(f"echo $$ >{left}.new; mv {left}.new {left}; sleep 600"))
    until(left.exists)
    process = psutil.Process(int(left.read_text()))
    os.kill(process.ppid(), signal.SIGKILL)
    until(lambda: not held(tmp_path / f"jobs/{job}/guard.lock"))
    assert (local.poll([job]), local.account([job])) == ({}, {})
    until(lambda: not psutil.pid_exists(process.pid))


def test_jobs_wait_for_free_cores(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    wide = replace(PROFILE, cores=2)
    first = local.submit(request_for(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", wide))
    running(local, first)
    second = local.submit(request_for("true", wide, name="second"))
    until(lambda: local.poll([second])[second].reason == "Resources")
    assert local.poll([second])[second].state is JobState.PENDING
    (tmp_path / "go").touch()
    assert ended(local, first).state is ended(local, second).state is JobState.COMPLETED


def test_a_waiting_job_can_be_cancelled(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    wide = replace(PROFILE, cores=2)
    first = local.submit(request_for("sleep 600", wide))
    running(local, first)
    second = local.submit(request_for("touch ran", wide, name="second"))
    local.cancel([second])
    assert ended(local, second).state is JobState.CANCELLED
    local.cancel([first])
    assert ended(local, first).state is JobState.CANCELLED
    assert not (tmp_path / "ran").exists()


def test_a_job_runs_after_another_one(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    first = local.submit(request_for("sleep 0.3; touch first"))
    second = local.submit(request_for("test -e first", name="second", after=(first,)))
    assert ended(local, second).state is JobState.COMPLETED


def test_a_job_after_a_failure_never_starts(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    first = local.submit(request_for("exit 1"))
    second = local.submit(request_for("touch ran", name="second", after=(first,)))
    record = ended(local, second)
    assert (record.state, record.said) == (
        JobState.CANCELLED,
        f"dependency never satisfied: {first}",
    )
    assert not (tmp_path / "ran").exists()


def test_the_tasks_of_an_array_know_their_index(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    jobs = local.submit_array(request_for("echo $NBPIPE_TASK_INDEX"), 3, at_once=1)
    assert {ended(local, job).state for job in jobs} == {JobState.COMPLETED}
    texts = [(tmp_path / f"job.out.{index}").read_text() for index in (1, 2, 3)]
    assert texts == ["1\n", "2\n", "3\n"]


def test_a_job_is_found_by_its_name_by_anybody(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    job = local.submit(request_for("true", name="unique-1"))
    other = Local(tmp_path / "jobs")
    assert (other.find("unique-1"), other.find("unique-2")) == ((job,), ())
    ended(other, job)


@pytest.mark.parametrize(
    ("more", "said"),
    [({"cores": 3}, "3 cores on 1 machines"), ({"nodes": 2}, "2 cores on 2 machines")],
)
def test_more_than_this_machine_has_is_refused(
    local: Local, request_for: Callable[..., JobRequest], more: dict[str, int], said: str
) -> None:
    with pytest.raises(SubmissionRefused, match=f"{said} are asked for, this one gives 2"):
        local.submit(request_for("true", replace(PROFILE, **more)))


def test_an_unknown_job_is_in_no_queue_and_no_accounting(local: Local) -> None:
    assert (local.poll(["17"]), local.account(["17"])) == ({}, {})


def test_a_job_of_another_host_is_not_taken_for_dead(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    folder = tmp_path / "jobs/17"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text('{"host": "elsewhere"}')
    (folder / "state.json").write_text('{"state": "running"}')
    assert local.poll(["17"])["17"].state is JobState.RUNNING


def test_a_guard_writes_down_what_a_job_was_asked_for(
    local: Local, request_for: Callable[..., JobRequest], tmp_path: Path
) -> None:
    job = local.submit(request_for("true", replace(PROFILE, memory=1024**3)))
    assert ended(local, job).requested_memory == 1024**3
    assert read(tmp_path / f"jobs/{job}/request.json")["cores"] == 1
