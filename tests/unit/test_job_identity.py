"""Several jobs with one id: ids are given out again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nbpipe.reference import looks
from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage
from nbpipe.reference.identity import SKEW, Identity
from nbpipe.reference.looks import Followed
from nbpipe.reference.schedulers.protocol import Accounting, JobState, JobStatus, NoAccounting
from nbpipe.reference.schedulers.shared import Round, Shared
from nbpipe.reference.schedulers.slurm import records
from nbpipe.reference.state import GRACE, Standing

S = JobState
OURS = Identity(name="nbpipe-minitest-7f3a", earliest=1000.0, latest=1010.0)
CHILD = Identity(earliest=1000.0)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def record(submitted: float, state: JobState, name: str = "") -> Accounting:
    return Accounting(id="5", state=state, submitted=at(submitted), name=name)


BEFORE = record(200.0, S.FAILED, "other")
OWN = record(1005.0, S.COMPLETED, OURS.name)
AFTER = record(900_000.0, S.CANCELLED, "other")


def test_a_job_is_chosen_by_its_name_and_the_moment_of_its_submission() -> None:
    assert OURS.attempts([BEFORE, OWN, AFTER]) == (OWN,)
    assert OURS.attempts([BEFORE, AFTER]) == ()
    namesake = record(200.0, S.FAILED, OURS.name)
    assert OURS.attempts([namesake, OWN]) == (OWN,)


def test_without_an_identity_nothing_is_left_out() -> None:
    assert Identity().attempts([BEFORE, OWN, AFTER]) == (BEFORE, OWN, AFTER)


def test_all_attempts_of_a_requeued_job_are_its_own() -> None:
    """Slurm gives every attempt a new moment of submission."""
    attempts = [record(1005.0, S.PREEMPTED, OURS.name), record(90_000.0, S.COMPLETED, OURS.name)]
    assert OURS.attempts([BEFORE, *attempts, AFTER]) == tuple(attempts)
    moments = {1005.0: S.REQUEUED, 1300.0: S.NODE_FAIL, 90_000.0: S.COMPLETED, 95_000.0: S.FAILED}
    unnamed = [record(moment, state, "wrap") for moment, state in moments.items()]
    assert CHILD.attempts([BEFORE, *unnamed]) == tuple(unnamed[:3])


def test_a_child_of_which_only_the_id_is_known_is_the_first_one_since_its_run() -> None:
    assert CHILD.attempts([BEFORE, record(1005.0, S.FAILED, "wrap"), AFTER])[0].name == "wrap"
    assert len(CHILD.attempts([BEFORE, record(1005.0, S.FAILED, "wrap"), AFTER])) == 1


def test_clocks_may_differ_a_little_and_names_may_be_cut_or_late() -> None:
    early = record(1000.0 - SKEW, S.COMPLETED, OURS.name[:15])
    assert OURS.attempts([early]) == (early,)
    assert OURS.attempts([record(999.0 - SKEW, S.COMPLETED, OURS.name)]) == ()
    late = record(1005.0, S.RUNNING)
    assert OURS.attempts([BEFORE, late]) == (late,), "sacct tells the name later"


def test_a_job_that_the_site_has_renamed_is_known_by_its_moment() -> None:
    renamed = record(1005.0, S.COMPLETED, "project-17")
    assert OURS.attempts([BEFORE, renamed, AFTER]) == (renamed,)


@pytest.mark.parametrize(
    ("name", "submitted", "ours"),
    [
        (OURS.name, 1005.0, True),
        (OURS.name, None, True),
        ("", None, True),
        ("project-17", 1005.0, True),
        ("other", 900_000.0, False),
        ("other", None, False),
        (OURS.name, 200.0, False),
    ],
)
def test_a_stranger_in_the_queue_is_not_taken_for_the_job(
    name: str, submitted: float | None, *, ours: bool
) -> None:
    moment = None if submitted is None else at(submitted)
    status = JobStatus(id="5", state=S.RUNNING, name=name, submitted=moment)
    assert OURS.is_of(status) is ours


def test_slurms_answer_about_an_id_that_was_used_twice() -> None:
    rows = [
        "5|FAILED|1:0|900000|900001|900010|9|2|18|00:01|||n1|other",
        "5.batch|FAILED|1:0|900000|900001|900010|9|2|18|00:01|9K||n1|batch",
        "5|COMPLETED|0:0|1005|1006|1016|10|2|20|00:01|||n1|nbpipe-minitest-7f3a",
        "5.batch|COMPLETED|0:0|1005|1006|1016|10|2|20|00:01|4K||n1|batch",
    ]
    found = records("\n".join(rows))["5"]
    assert [each.state for each in found] == [S.COMPLETED, S.FAILED]
    (own,) = OURS.attempts(found)
    assert (own.state, own.peak_memory) == (S.COMPLETED, 4096)


class Answers:
    """A scheduler with an answer of each kind, which counts the questions."""

    name = "answers"
    traits = None

    def __init__(
        self,
        queue: dict[str, JobStatus] | Exception,
        accounts: dict[str, tuple[Accounting, ...]] | Exception,
    ) -> None:
        self.queue = queue
        self.accounts = accounts
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def poll(self, jobs: list[str]) -> dict[str, JobStatus]:
        self.asked.append(("poll", tuple(jobs)))
        if isinstance(self.queue, Exception):
            raise self.queue
        return {job: self.queue[job] for job in jobs if job in self.queue}

    def account(self, jobs: list[str]) -> dict[str, tuple[Accounting, ...]]:
        self.asked.append(("account", tuple(jobs)))
        if isinstance(self.accounts, Exception):
            raise self.accounts
        return {job: self.accounts[job] for job in jobs if job in self.accounts}


def test_a_look_finds_the_own_end_behind_a_strangers_job_with_the_same_id() -> None:
    stranger = JobStatus(id="5", state=S.RUNNING, name="other", submitted=at(900_000.0))
    scheduler = Answers({"5": stranger}, {"5": (BEFORE, OWN, AFTER)})
    followed = Followed(id="5", identity=OURS, standing=Standing(state=S.RUNNING))
    assert looks.look(scheduler, [followed], now=0.0)["5"].state is S.COMPLETED


def test_a_host_without_the_programs_leaves_what_is_known_and_says_why() -> None:
    missing = SchedulerMissing("slurm: the program squeue cannot be started", hint="Go there.")
    followed = Followed(id="5", standing=Standing(state=S.RUNNING, source="queue"))
    told = looks.look(Answers(missing, missing), [followed], now=0.0)["5"]
    assert (told.state, told.source) == (S.RUNNING, "queue")
    assert told.trouble == "slurm: the program squeue cannot be started; Go there."


def test_without_accounting_a_forgotten_job_is_lost_with_advice() -> None:
    scheduler = Answers({}, NoAccounting("none is kept", {}))
    first = looks.look(scheduler, [Followed(id="5")], now=0.0)["5"]
    assert first.state is S.UNKNOWN
    told = looks.look(scheduler, [Followed(id="5", standing=first)], now=GRACE)["5"]
    assert told.state is S.LOST
    assert told.reason == "neither result nor queue knows it, and the scheduler keeps no accounting"
    assert "output" in told.advice


def test_without_accounting_what_the_queue_remembers_is_the_end() -> None:
    ended = Accounting(id="5", state=S.FAILED, exit_code=3, said="FAILED")
    scheduler = Answers(
        {"5": JobStatus(id="5", state=S.FAILED)}, NoAccounting("none is kept", {"5": (ended,)})
    )
    told = looks.look(scheduler, [Followed(id="5"), Followed(id="6")], now=0.0)
    assert (told["5"].state, told["5"].exit_code) == (S.FAILED, 3)
    assert told["6"].state is S.UNKNOWN


def test_in_a_round_every_job_is_asked_about_once() -> None:
    running = {job: JobStatus(id=job, state=S.RUNNING) for job in "1234"}
    scheduler = Answers(running, {"5": (OWN,)})
    shared = Shared(scheduler, ["1", "2", "3"])
    assert shared.poll(["1"]).keys() == {"1"}
    assert shared.poll(["2", "3"]).keys() == {"2", "3"}
    assert shared.poll(["4", "9"]).keys() == {"4"}
    assert shared.account(["5", "6"]) == {"5": (OWN,)}
    assert shared.account(["6", "5"]) == {"5": (OWN,)}
    assert scheduler.asked == [
        ("poll", ("1", "2", "3")),
        ("poll", ("4", "9")),
        ("account", ("5", "6")),
    ]


def test_in_a_round_a_silent_scheduler_is_asked_once() -> None:
    scheduler = Answers(SchedulerOutage("no answer"), SchedulerOutage("no answer"))
    shared = Shared(scheduler, [])
    for question in (shared.poll, shared.poll, shared.account):
        with pytest.raises(SchedulerOutage, match="no answer"):
            question(["1"])
    assert len(scheduler.asked) == 1


def test_a_scheduler_that_is_not_installed_fails_only_when_it_is_asked() -> None:
    asked = Round()
    unknown = asked.scheduler("site-own")
    assert asked.missing is None
    for question in (unknown.poll, unknown.account, unknown.cancel):
        with pytest.raises(SchedulerMissing, match="unknown scheduler 'site-own'"):
            question(["1"])
    assert asked.missing is not None
