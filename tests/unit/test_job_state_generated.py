"""What has become of a job, over any order of answers, outages and delays.

Each example is a history: what result, queue and accounting say at moments that follow each other
in any order and at any distance. Whatever it is, these hold.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as some

from nbpipe.reference.schedulers.protocol import Accounting, JobState, JobStatus
from nbpipe.reference.state import (
    GRACE,
    Evidence,
    JobResult,
    NoNews,
    Standing,
    beside,
    decide,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    History = list[tuple[float, Evidence]]

S = JobState
EXAMPLES = 5000 if os.environ.get("NBPIPE_LONG") else 300
GOING_ON = {S.PENDING, S.RUNNING, S.REQUEUED}
WORDS = sorted(set(S) - {S.LOST})

statuses = some.builds(
    lambda state: JobStatus(id="1", state=state, said=state.upper()), some.sampled_from(WORDS)
)
attempts = some.builds(
    lambda state, code, number, peak: Accounting(
        id="1",
        state=state,
        said=state.upper(),
        exit_code=code,
        signal=number,
        peak_memory=peak,
        requested_memory=100,
    ),
    some.sampled_from(WORDS),
    some.sampled_from([None, 0, 3]),
    some.sampled_from([None, 9, 15]),
    some.sampled_from([None, 50, 150]),
)
results = some.builds(
    JobResult,
    exit_code=some.sampled_from([0, 1]),
    stopped_by=some.sampled_from([None, 10, 15]),
    elapsed=some.sampled_from([5.0, 170.0, 3600.0]),
    out_of_memory=some.booleans(),
)
queues = some.one_of(some.none(), some.sampled_from([NoNews.OUTAGE]), statuses)
accounts = some.one_of(
    some.sampled_from([NoNews.OUTAGE, NoNews.NOT_ASKED, NoNews.NOT_KEPT]),
    some.lists(attempts, max_size=3).map(tuple),
)
evidences = some.builds(
    Evidence,
    result=some.one_of(some.none(), some.none(), results),
    queue=queues,
    accounting=accounts,
    now=some.just(0.0),
    walltime=some.sampled_from([None, 180, 7200]),
    memory=some.sampled_from([None, 100]),
    cancelled=some.booleans(),
)
delays = some.sampled_from([0.0, 1.0, 14.0, 16.0, 59.0, 61.0, 100_000.0])
histories = some.lists(some.tuples(delays, evidences), min_size=1, max_size=8)


def told(history: History) -> Iterator[tuple[Standing, Evidence, Standing]]:
    """Yield what held, what was seen and what holds, step by step."""
    from dataclasses import replace  # noqa: PLC0415

    standing, now = Standing(), 1000.0
    for delay, evidence in history:
        now += delay
        seen = replace(evidence, now=now)
        following = decide(standing, seen)
        yield standing, seen, following
        standing = following


def proves(evidence: Evidence, state: JobState) -> bool:
    """Return whether a source says this of the job's end."""
    said = [evidence.queue.state] if isinstance(evidence.queue, JobStatus) else []
    said += [each.state for each in evidence.records[-1:]]
    return state in said


@settings(max_examples=EXAMPLES)
@given(histories)
def test_an_ended_job_never_goes_on_again_unless_it_was_lost(history: History) -> None:
    for before, _, after in told(history):
        if before.state.ended and before.state is not S.LOST:
            assert (after.state, after.exit_code) == (before.state, before.exit_code)


@settings(max_examples=EXAMPLES)
@given(histories)
def test_no_job_is_completed_without_evidence(history: History) -> None:
    for before, seen, after in told(history):
        if after.state is S.COMPLETED and before.state is not S.COMPLETED:
            passed = seen.result is not None and seen.result.exit_code == 0
            assert passed or proves(seen, S.COMPLETED)


@settings(max_examples=EXAMPLES)
@given(histories)
def test_no_job_is_lost_while_its_queue_knows_it_or_gives_no_answer(history: History) -> None:
    for before, seen, after in told(history):
        if after.state is S.LOST and before.state is not S.LOST:
            assert seen.queue is None
            assert seen.accounting not in {NoNews.OUTAGE, NoNews.NOT_ASKED}
            assert seen.result is None
            assert before.unsettled_since is not None
            assert seen.now - before.unsettled_since >= GRACE


@settings(max_examples=EXAMPLES)
@given(histories)
def test_an_end_is_what_some_source_says(history: History) -> None:
    """Or what follows from it: a kill for memory, for a cancel, at the limit."""
    inferred = {S.OUT_OF_MEMORY, S.CANCELLED, S.TIMEOUT, S.LOST, S.FAILED, S.COMPLETED}
    for before, seen, after in told(history):
        if after.state.ended and before.state is not after.state:
            from_result = seen.result is not None and after.state in inferred
            assert from_result or proves(seen, after.state) or after.state in {
                S.LOST, S.OUT_OF_MEMORY, S.CANCELLED,
            }  # fmt: skip
            if after.state is S.OUT_OF_MEMORY and not from_result:
                assert proves(seen, S.OUT_OF_MEMORY) or proves(seen, S.FAILED)
            if after.state is S.CANCELLED and not from_result:
                assert proves(seen, S.CANCELLED) or (seen.cancelled and proves(seen, S.FAILED))


@settings(max_examples=EXAMPLES)
@given(histories, statuses.filter(lambda each: each.state in {S.PENDING, S.REQUEUED}))
def test_a_job_that_waits_again_is_not_ended_by_what_an_earlier_attempt_left(
    history: History, waiting: JobStatus
) -> None:
    for before, seen, _ in told(history):
        if not before.state.ended or before.state is S.LOST:
            again = Evidence(
                result=seen.result, queue=waiting, accounting=seen.accounting, now=seen.now
            )
            assert decide(before, again).state is waiting.state


@settings(max_examples=EXAMPLES)
@given(histories)
def test_an_outage_of_everything_changes_no_state(history: History) -> None:
    for before, seen, _ in told(history):
        silent = Evidence(
            result=None, queue=NoNews.OUTAGE, accounting=NoNews.OUTAGE, now=seen.now + 1e6
        )
        after = decide(before, silent)
        assert (after.state, after.source, after.reason) == (
            before.state, before.source, before.reason,
        )  # fmt: skip


@settings(max_examples=EXAMPLES)
@given(histories)
def test_every_history_ends_when_the_scheduler_answers_that_it_knows_nothing(
    history: History,
) -> None:
    standing = Standing()
    for _, _, after in told(history):
        standing = after
    for step in range(3):
        nothing = Evidence(result=None, queue=None, accounting=(), now=1e9 + step * GRACE)
        standing = decide(standing, nothing)
    assert standing.state.ended


@settings(max_examples=EXAMPLES)
@given(histories, some.lists(attempts, max_size=3).map(tuple))
def test_what_the_accounting_adds_beside_a_result_changes_no_state(
    history: History, late: tuple[Accounting, ...]
) -> None:
    for _, _, after in told(history):
        added = beside(after, late)
        assert (added.state, added.source, added.exit_code) == (
            after.state, after.source, after.exit_code,
        )  # fmt: skip
        if added.reason != after.reason:
            assert after.state is S.COMPLETED
            assert late[-1].said in added.reason
