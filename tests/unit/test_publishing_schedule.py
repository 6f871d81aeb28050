"""When the next reconciliation is due."""

from __future__ import annotations

import math

import pytest

from nbpipe.publishing.releases.journal import Trigger
from nbpipe.publishing.schedule import Schedule


def schedule(poll: float = 0.0, random: float = 0.0) -> Schedule:
    return Schedule(poll=poll, random=lambda: random)


def run(clock: Schedule, start: float, end: float, *, again: bool = False) -> Trigger:
    assert clock.wait(start) == 0
    trigger = clock.begin()
    clock.end(end, again=again)
    return trigger


def test_a_lone_beacon_is_acted_on_at_once() -> None:
    clock = schedule()
    clock.wake(Trigger.BEACON, 100.0)

    assert run(clock, 100.0, 100.1) is Trigger.BEACON
    assert clock.wait(100.1) == math.inf


def test_a_beacon_during_a_reconciliation_causes_another() -> None:
    clock = schedule()
    clock.wake(Trigger.BEACON, 100.0)
    clock.begin()
    clock.wake(Trigger.BEACON, 100.05)
    clock.end(100.1, again=False)

    assert clock.wait(100.1) == 0


@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_a_thousand_beacons_cost_three_reconciliations_at_most(seconds: float) -> None:
    clock, runs, busy_until = schedule(), 0, 0.0
    beacons = [100.0 + seconds * number / 1000 for number in range(1000)]
    moment = 100.0
    while beacons or clock.wait(moment) < math.inf:
        while beacons and beacons[0] <= moment:
            clock.wake(Trigger.BEACON, beacons.pop(0))
        if busy_until and moment >= busy_until:
            clock.end(moment, again=False)
            busy_until = 0.0
        if not busy_until and clock.wait(moment) == 0:
            clock.begin()
            runs += 1
            busy_until = moment + 0.03
        moment += 0.001

    assert 1 <= runs <= 3


def test_the_first_of_a_burst_is_not_put_off_by_those_behind_it() -> None:
    clock = schedule()
    for number in range(5):
        clock.wake(Trigger.BEACON, 100.0 + number / 1000)

    assert clock.wait(100.004) == 0


def test_the_rest_of_a_burst_is_waited_out() -> None:
    clock = schedule()
    for number in range(5):
        clock.wake(Trigger.BEACON, 100.0 + number / 1000)
    clock.begin()
    clock.end(100.05, again=False)
    for number in range(100):
        clock.wake(Trigger.BEACON, 100.05 + number / 1000)

    assert clock.wait(100.15) == pytest.approx(0.499)


def test_a_beacon_that_never_stops_is_acted_on_within_seconds() -> None:
    clock = schedule()
    for number in range(10_000):
        clock.wake(Trigger.BEACON, 100.0 + number / 1000)

    assert clock.wait(105.0) == 0


def test_the_pause_after_failures_grows_from_a_second_to_a_quarter_of_an_hour() -> None:
    clock, pauses = schedule(), []
    for _ in range(12):
        clock.end(100.0, again=True)
        pauses.append(clock.wait(100.0))

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert clock.begin() is Trigger.RETRY


def test_two_services_do_not_try_again_together() -> None:
    one, other = schedule(random=0.0), schedule(random=0.8)
    one.end(100.0, again=True)
    other.end(100.0, again=True)

    assert (one.wait(100.0), other.wait(100.0)) == (1.0, pytest.approx(1.4))


def test_a_success_ends_the_row_of_failures() -> None:
    clock = schedule(poll=60)
    clock.end(100.0, again=True)
    clock.end(101.0, again=False)

    assert clock.wait(101.0) == pytest.approx(54.0)


def test_beacons_do_not_hammer_an_origin_that_fails() -> None:
    clock = schedule()
    for _ in range(5):
        clock.end(100.0, again=True)
    clock.wake(Trigger.BEACON, 100.1)

    assert clock.wait(100.1) == pytest.approx(0.9)


def test_the_poll_comes_about_once_in_its_time() -> None:
    early, late = schedule(poll=60, random=0.0), schedule(poll=60, random=0.999)
    early.end(100.0, again=False)
    late.end(100.0, again=False)

    assert early.wait(100.0) == pytest.approx(54.0)
    assert late.wait(100.0) == pytest.approx(66.0, abs=0.1)
    assert early.begin() is Trigger.POLL


def test_an_origin_that_is_back_is_noticed_at_the_polls_pace() -> None:
    clock, pauses = schedule(poll=20), []
    for _ in range(8):
        clock.end(100.0, again=True)
        pauses.append(clock.wait(100.0))

    assert pauses == [1, 2, 4, 8, 16, 18, 18, 18]
    assert clock.begin() is Trigger.RETRY


def test_services_that_poll_do_not_try_again_together_after_a_long_outage() -> None:
    one, other = schedule(poll=20, random=0.0), schedule(poll=20, random=0.9)
    for _ in range(10):
        one.end(100.0, again=True)
        other.end(100.0, again=True)

    assert (one.wait(100.0), other.wait(100.0)) == (18.0, pytest.approx(21.6))


def test_a_slow_poll_does_not_put_a_retry_off_beyond_a_quarter_of_an_hour() -> None:
    clock = schedule(poll=86_400)
    for _ in range(20):
        clock.end(100.0, again=True)

    assert clock.wait(100.0) == 900


@pytest.mark.parametrize("poll", [0.0, 3_600.0])
def test_a_beacon_after_a_long_outage_is_acted_on_at_once(poll: float) -> None:
    clock = schedule(poll=poll)
    for _ in range(12):
        clock.end(100.0, again=True)
    clock.wake(Trigger.BEACON, 300.0)

    assert run(clock, 300.0, 300.1) is Trigger.BEACON
