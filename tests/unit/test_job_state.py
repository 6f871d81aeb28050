"""What has become of a job, from three sources: every rule with the evidence that it is for."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from nbpipe.reference import looks
from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.looks import Followed
from nbpipe.reference.schedulers.protocol import Accounting, JobState, JobStatus
from nbpipe.reference.schedulers.slurm import queue, records
from nbpipe.reference.state import (
    GRACE,
    SETTLE,
    Evidence,
    JobResult,
    NoNews,
    Standing,
    beside,
    core_hours,
    decide,
    final,
)

MIB = 1024**2
S = JobState
RUNNING = Standing(state=S.RUNNING, source="queue")
NOTHING = Evidence(result=None, queue=None, accounting=(), now=1000.0)


def queued(state: JobState) -> JobStatus:
    return JobStatus(id="1", state=state, said=state.upper())


def record(state: JobState, **more: object) -> Accounting:
    return replace(Accounting(id="1", state=state, said=state.upper()), **more)


def seen(**more: object) -> Evidence:
    return replace(NOTHING, **more)


@pytest.mark.parametrize("state", [S.PENDING, S.RUNNING, S.REQUEUED])
def test_a_job_in_the_queue_is_what_the_queue_says(state: JobState) -> None:
    told = decide(Standing(), seen(queue=queued(state), accounting=NoNews.NOT_ASKED))
    assert (told.state, told.source) == (state, "queue")


def test_a_job_that_vanished_is_not_completed_and_lost_only_after_a_while() -> None:
    first = decide(RUNNING, NOTHING)
    assert (first.state, first.unsettled_since) == (S.RUNNING, 1000.0)
    early = decide(first, seen(now=1000.0 + GRACE - 1))
    assert early.state is S.RUNNING
    late = decide(early, seen(now=1000.0 + GRACE))
    assert (late.state, late.source) == (S.LOST, "nowhere")
    assert late.reason == "neither result, queue nor accounting knows it"


def test_a_lost_job_that_turns_up_is_found() -> None:
    lost = Standing(state=S.LOST, source="nowhere")
    assert decide(lost, NOTHING).state is S.LOST
    assert decide(lost, seen(accounting=(record(S.COMPLETED),))).state is S.COMPLETED


def test_a_job_that_only_the_accounting_thinks_alive_is_lost_after_a_while() -> None:
    alive = (record(S.RUNNING),)
    first = decide(RUNNING, seen(accounting=alive))
    told = decide(first, seen(accounting=alive, now=1000.0 + GRACE))
    assert told.state is S.LOST
    assert told.reason == "the accounting says RUNNING, the queue does not know it"


@pytest.mark.parametrize(
    ("queue_says", "accounting"),
    [(NoNews.OUTAGE, ()), (NoNews.OUTAGE, NoNews.OUTAGE), (None, NoNews.OUTAGE)],
)
def test_an_outage_is_no_news_however_long(
    queue_says: NoNews | None, accounting: NoNews | tuple[()]
) -> None:
    told = RUNNING
    for number in range(5):
        now = 1000.0 + number * 10 * GRACE
        told = decide(told, seen(queue=queue_says, accounting=accounting, now=now))
    assert (told.state, told.failures) == (S.RUNNING, 5)


def test_questions_become_rarer_while_there_is_no_answer() -> None:
    pauses = [replace(RUNNING, failures=number).pause for number in range(7)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60]
    told = decide(replace(RUNNING, failures=5), seen(queue=queued(S.RUNNING)))
    assert told.failures == 0


@pytest.mark.parametrize(
    "state", [S.COMPLETED, S.FAILED, S.CANCELLED, S.TIMEOUT, S.OUT_OF_MEMORY, S.NODE_FAIL]
)
def test_the_accounting_has_the_word_on_the_end(state: JobState) -> None:
    told = decide(RUNNING, seen(accounting=(record(state, exit_code=0),)))
    assert (told.state, told.source, told.reason) == (state, "accounting", state.upper())


def test_the_last_attempt_counts() -> None:
    attempts = (record(S.PREEMPTED), record(S.COMPLETED))
    assert decide(RUNNING, seen(accounting=attempts)).state is S.COMPLETED


@pytest.mark.parametrize("state", [S.PREEMPTED, S.NODE_FAIL])
def test_an_attempt_that_may_be_repeated_is_no_end_while_the_queue_is_silent(
    state: JobState,
) -> None:
    told = decide(RUNNING, seen(queue=NoNews.OUTAGE, accounting=(record(state),)))
    assert told.state is S.RUNNING
    assert decide(told, seen(accounting=(record(state),))).state is state


def test_a_preempted_job_that_waits_again_is_pending() -> None:
    told = decide(RUNNING, seen(queue=queued(S.PENDING), accounting=(record(S.PREEMPTED),)))
    assert told.state is S.PENDING


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"peak_memory": 100 * MIB, "requested_memory": 100 * MIB}, S.OUT_OF_MEMORY),
        ({"peak_memory": 99 * MIB, "requested_memory": 100 * MIB}, S.FAILED),
        ({"peak_memory": 100 * MIB}, S.FAILED),
        ({"signal": 11, "peak_memory": 200 * MIB, "requested_memory": 100 * MIB}, S.FAILED),
    ],
)
def test_a_memory_kill_is_signal_9_with_all_memory_used(
    more: dict[str, int], state: JobState
) -> None:
    assert final(record(S.FAILED, **{"signal": 9, **more})).state is state


def test_what_was_asked_for_counts_where_the_accounting_does_not_know_it_yet() -> None:
    killed = record(S.FAILED, signal=9, peak_memory=200 * MIB)
    told = decide(RUNNING, seen(accounting=(killed,), memory=100 * MIB))
    assert told.state is S.OUT_OF_MEMORY


def test_the_memory_of_a_killed_job_is_waited_for() -> None:
    killed = (record(S.FAILED, signal=9),)
    first = decide(RUNNING, seen(accounting=killed, memory=100 * MIB))
    assert first.state is S.RUNNING
    late = decide(first, seen(accounting=killed, memory=100 * MIB, now=1000.0 + SETTLE))
    assert (late.state, late.signal) == (S.FAILED, 9)


def test_a_killed_job_is_cancelled_where_we_asked_for_it() -> None:
    killed = (record(S.FAILED, signal=9, said="failed 100 : assumedly after job"),)
    assert decide(RUNNING, seen(accounting=killed, cancelled=True)).state is S.CANCELLED
    own = (record(S.FAILED, exit_code=3),)
    assert decide(RUNNING, seen(accounting=own, cancelled=True)).state is S.FAILED


def test_a_failure_in_the_queue_waits_for_its_cause() -> None:
    failed = queued(S.FAILED)
    first = decide(RUNNING, seen(queue=failed))
    assert first.state is S.RUNNING
    late = decide(first, seen(queue=failed, now=1000.0 + GRACE))
    assert (late.state, late.source) == (S.FAILED, "queue")


def test_an_end_in_the_queue_waits_a_little_for_its_details() -> None:
    cancelled = queued(S.CANCELLED)
    first = decide(RUNNING, seen(queue=cancelled))
    assert first.state is S.RUNNING
    by_whom = (record(S.CANCELLED, said="CANCELLED by 7"),)
    told = decide(first, seen(queue=cancelled, accounting=by_whom, now=1001.0))
    assert (told.state, told.reason) == (S.CANCELLED, "CANCELLED by 7")
    late = decide(first, seen(queue=cancelled, now=1000.0 + SETTLE))
    assert (late.state, late.source) == (S.CANCELLED, "queue")


def test_accounting_that_knows_only_the_preempted_attempt_does_not_end_the_job() -> None:
    behind = (record(S.PREEMPTED),)
    told = decide(RUNNING, seen(queue=queued(S.COMPLETED), accounting=behind))
    assert (told.state, told.source) == (S.COMPLETED, "queue")
    failed = decide(RUNNING, seen(queue=queued(S.FAILED), accounting=behind))
    assert failed.state is S.RUNNING, "waits for the exit code"
    same = decide(RUNNING, seen(queue=queued(S.PREEMPTED), accounting=behind))
    assert (same.state, same.source) == (S.PREEMPTED, "accounting")


def test_without_accounting_the_queue_has_the_word() -> None:
    told = decide(RUNNING, seen(queue=queued(S.COMPLETED), accounting=NoNews.OUTAGE))
    assert (told.state, told.source, told.exit_code) == (S.COMPLETED, "queue", 0)


@pytest.mark.parametrize(("code", "state"), [(0, S.COMPLETED), (3, S.FAILED)])
def test_the_jobs_own_result_comes_first(code: int, state: JobState) -> None:
    told = decide(RUNNING, seen(result=JobResult(exit_code=code), queue=queued(S.RUNNING)))
    assert (told.state, told.source, told.exit_code) == (state, "result", code)


def test_the_result_of_an_earlier_attempt_does_not_count() -> None:
    told = decide(RUNNING, seen(result=JobResult(exit_code=0), queue=queued(S.PENDING)))
    assert told.state is S.PENDING


def test_a_job_that_says_it_had_no_memory_is_believed() -> None:
    result = JobResult(exit_code=1, out_of_memory=True)
    assert decide(RUNNING, seen(result=result)).state is S.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"walltime": 3600, "accounting": NoNews.NOT_KEPT}, S.TIMEOUT),
        ({"walltime": 3600, "queue": queued(S.CANCELLED)}, S.CANCELLED),
        ({"walltime": 7200}, S.CANCELLED),
        ({"accounting": (record(S.TIMEOUT),)}, S.TIMEOUT),
        ({"accounting": (record(S.PREEMPTED),)}, S.PREEMPTED),
        ({"accounting": (record(S.FAILED),)}, S.CANCELLED),
        ({"queue": queued(S.RUNNING)}, S.RUNNING),
    ],
)
def test_a_job_that_was_told_to_stop(more: dict[str, object], state: JobState) -> None:
    result = JobResult(exit_code=1, stopped_by=int(signal.SIGTERM), elapsed=3500.0)
    assert decide(RUNNING, seen(result=result, **more)).state is state


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"cancelled": True}, S.CANCELLED),
        ({"accounting": (record(S.CANCELLED),)}, S.CANCELLED),
        ({"queue": queued(S.CANCELLED)}, S.CANCELLED),
    ],
)
def test_a_short_job_is_not_always_near_its_limit(more: dict[str, object], state: JobState) -> None:
    result = JobResult(exit_code=1, stopped_by=int(signal.SIGTERM), elapsed=20.0)
    assert decide(RUNNING, seen(result=result, walltime=180, **more)).state is state
    late = seen(result=replace(result, elapsed=100.0), walltime=180)
    waiting = decide(RUNNING, late)
    assert waiting.state is S.RUNNING, "the accounting may say who told it to stop"
    told = decide(waiting, replace(late, now=1000.0 + SETTLE))
    assert (told.state, told.reason) == (S.TIMEOUT, "warned of the time limit")


@pytest.mark.parametrize("state", [S.OUT_OF_MEMORY, S.TIMEOUT])
def test_what_the_accounting_says_beside_a_success_is_told(state: JobState) -> None:
    told = decide(RUNNING, seen(result=JobResult(exit_code=0), accounting=(record(state),)))
    assert told.state is S.COMPLETED
    assert told.reason == f"exit code 0, while the accounting says {state.upper()}"


def test_what_the_accounting_says_later_beside_a_success_is_told_then() -> None:
    passed = decide(RUNNING, seen(result=JobResult(exit_code=0), queue=queued(S.RUNNING)))
    assert passed.reason == "exit code 0"
    told = beside(passed, (record(S.OUT_OF_MEMORY),))
    assert (told.state, told.source) == (S.COMPLETED, "result")
    assert told.reason == "exit code 0, while the accounting says OUT-OF-MEMORY"
    for attempts in ((), (record(S.COMPLETED),), (record(S.RUNNING),), (record(S.PREEMPTED),)):
        assert beside(passed, attempts) == passed
    other = Standing(state=S.CANCELLED, source="accounting")
    assert beside(other, (record(S.TIMEOUT),)) == other


def test_where_no_accounting_is_kept_a_job_that_the_queue_forgot_is_lost_after_a_while() -> None:
    first = decide(RUNNING, seen(accounting=NoNews.NOT_KEPT))
    assert first.state is S.RUNNING
    told = decide(first, seen(accounting=NoNews.NOT_KEPT, now=1000.0 + GRACE))
    assert told.state is S.LOST
    assert "keeps no accounting" in told.reason
    assert told.advice


def test_what_a_person_can_do_about_a_job_that_waits_is_kept_while_it_waits() -> None:
    waiting = replace(queued(S.PENDING), reason="PartitionTimeLimit", advice="ask for less")
    told = decide(Standing(), seen(queue=waiting, accounting=NoNews.NOT_ASKED))
    assert (told.reason, told.advice) == ("PartitionTimeLimit", "ask for less")
    assert not decide(told, seen(queue=queued(S.RUNNING))).advice


def test_why_there_was_no_answer_is_told_until_there_is_one() -> None:
    silent = seen(queue=NoNews.OUTAGE, trouble="squeue failed")
    told = decide(RUNNING, silent)
    assert (told.state, told.trouble) == (S.RUNNING, "squeue failed")
    assert not decide(told, seen(queue=queued(S.RUNNING))).trouble
    ended = decide(told, replace(silent, result=JobResult(exit_code=0)))
    assert ended.state is S.COMPLETED
    assert not decide(ended, NOTHING).trouble


def test_a_word_that_we_do_not_know_is_told_and_changes_nothing() -> None:
    told = decide(RUNNING, seen(queue=JobStatus(id="1", state=S.UNKNOWN, said="STRANGE")))
    assert (told.state, told.reason) == (S.RUNNING, "the queue says STRANGE")


def test_an_end_is_final() -> None:
    ended = Standing(state=S.COMPLETED, source="result")
    assert decide(ended, seen(queue=queued(S.RUNNING))) == ended


def test_all_attempts_are_charged() -> None:
    attempts = (record(S.PREEMPTED, core_seconds=1800.0), record(S.COMPLETED, core_seconds=5400.0))
    assert core_hours(attempts) == 2.0


class Silent:
    """A scheduler that gives no answer."""

    def poll(self, _jobs: object) -> dict[str, JobStatus]:
        raise SchedulerOutage("no answer")

    account = poll


def test_a_look_at_a_silent_scheduler_is_no_error() -> None:
    done = Followed(id="2", standing=Standing(state=S.COMPLETED))
    told = looks.look(Silent(), [Followed(id="1", standing=RUNNING), done], now=0.0)  # type: ignore[arg-type]
    assert (told["1"].state, told["1"].failures) == (S.RUNNING, 1)
    assert told["2"] == done.standing


# Recorded from Slurm 22.05.8: preempted and started again, memory kill, cancelled, still waiting.
SACCT = """\
16|PREEMPTED|0:0|1795254300|1795254315|1795254317|2|1|2|00:00.002||100M|n2
16.batch|CANCELLED|0:15|1795254317|1795254317|1795254317|0|1|0|00:00.002|||n2
5|FAILED|0:9|1795254274|1795254274|1795254275|1|1|1|00:00.229||100M|n1
5.batch|CANCELLED by 0|0:9|1795254274|1795254274|1795254275|1|1|1|00:00.229|198600K||n1
8|CANCELLED by 0|0:0|1795254274|1795254274|1795254277|3|1|3|00:00.003||100M|n2
8.batch|CANCELLED|0:15|1795254274|1795254274|1795254277|3|1|3|00:00.003|4156K||n2
20.batch|CANCELLED|0:9|1795254354|1795254354|1795254355|1|1|1|00:00:00|9999M||n2
16|COMPLETED|0:0|1795254317|1795254350|1795254354|4|2|8|01:02:03||100M|n1
11_2|PENDING|0:0|1795254355|Unknown|Unknown|0|1|0|00:00:00||100M|None assigned
"""


def test_slurms_accounting_is_read_attempt_by_attempt() -> None:
    found = records(SACCT)
    first, second = found["16"]
    assert (first.state, second.state, second.cores) == (S.PREEMPTED, S.COMPLETED, 2)
    assert core_hours(found["16"]) == 10 / 3600
    assert second.cpu_seconds == 3723
    (killed,) = found["5"]
    assert (killed.signal, killed.peak_memory) == (9, 198_600 * 1024)
    assert (killed.requested_memory, killed.cpu_seconds) == (100 * MIB, None)
    (cancelled,) = found["8"]
    assert (cancelled.state, cancelled.said) == (S.CANCELLED, "CANCELLED by 0")
    assert cancelled.peak_memory == 4156 * 1024, "not that of another job's step"
    (waiting,) = found["11_2"]
    assert (waiting.state, waiting.started, waiting.hosts) == (S.PENDING, None, "")


def test_slurms_queue_is_read_with_words_of_the_future() -> None:
    text = "13|CANCELLED|DependencyNeverSatisfied\n11_1|COMPLETED|None\n9|HOVERING|None\n"
    told = {job: (status.state, status.reason) for job, status in queue(text).items()}
    assert told == {
        "13": (S.CANCELLED, "DependencyNeverSatisfied"),
        "11_1": (S.COMPLETED, ""),
        "9": (S.UNKNOWN, ""),
    }


def test_slurms_half_told_end_is_none_yet() -> None:
    """Slurm 22.05 tells FAILED first, and seconds later with which signal, as its End."""
    half = "5|FAILED|0:0|1700000000|1700000001|Unknown|0|1|0|00:00:00||100M|n1\n"
    whole = half.replace("0:0", "0:11").replace("Unknown", "1700000002")
    failed = queued(S.FAILED)
    first = decide(RUNNING, seen(queue=failed, accounting=records(half)["5"]))
    assert first.state is S.RUNNING
    told = decide(first, seen(queue=failed, accounting=records(whole)["5"], now=1001.0))
    assert (told.state, told.signal, told.source) == (S.FAILED, 11, "accounting")
