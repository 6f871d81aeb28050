"""Which releases may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nbpipe.config.settings import Keep
from nbpipe.publishing.releases.journal import Entry, Event, Trigger
from nbpipe.publishing.releases.retention import Ages, Moment, expired, last_current, look, moment

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def ages(**days: float) -> dict[str, datetime]:
    return {commit: NOW - timedelta(days=each) for commit, each in days.items()}


def test_only_what_is_neither_young_nor_among_the_newest_goes() -> None:
    last = ages(a=0, b=1, c=8, d=9, e=30)

    gone = expired(last, keep=Keep(releases=3, days=7), spared={"a"}, now=NOW)

    assert gone == ["e", "d"]


def test_many_young_ones_all_stay() -> None:
    last = ages(a=0, b=1, c=2, d=3)

    assert expired(last, keep=Keep(releases=1, days=7), spared={"a"}, now=NOW) == []


def test_few_old_ones_all_stay() -> None:
    last = ages(a=100, b=200, c=300)

    assert expired(last, keep=Keep(releases=3, days=7), spared={"a"}, now=NOW) == []


def test_the_current_and_the_pinned_one_stay_however_old() -> None:
    last = ages(a=1, b=100, c=200, d=300)

    gone = expired(last, keep=Keep(releases=1, days=7), spared={"c", "d"}, now=NOW)

    assert gone == ["b"]


def test_the_age_counts_from_when_a_release_was_superseded() -> None:
    first = Entry(
        time=NOW - timedelta(days=30), event=Event.PUBLISHED, commit="a", trigger=Trigger.POLL
    )
    second = Entry(time=NOW, event=Event.PUBLISHED, commit="b", previous="a", trigger=Trigger.POLL)

    assert last_current([first, second]) == {"a": NOW, "b": NOW}


DAY = 86_400.0
START = Moment("boot", 1_000.0, 1_800_000_000.0)
KEEP = Keep(releases=1, days=7)


def later(moment: Moment, seconds: float, *, ahead: float = 0.0) -> Moment:
    """Return the moment after that time, with a clock on the wall that is so much ahead."""
    return Moment(moment.boot, moment.uptime + seconds, moment.wall + seconds + ahead)


def ages_of(ages: Ages) -> dict[str, float]:
    """Return how many days ago each release was current."""
    return {commit: (ages.elapsed - last) / DAY for commit, last in ages.last.items()}


def test_what_was_never_looked_at_is_as_good_as_new() -> None:
    ages = look(None, START, releases=["b", "a"], current="b", keep=KEEP)

    assert ages_of(ages) == {"b": 0.0, "a": 0.0}


def test_a_release_grows_older_from_the_look_after_which_it_is_not_current() -> None:
    first = look(None, START, releases=["a"], current="a", keep=KEEP)
    second = look(first, later(START, DAY), releases=["b", "a"], current="b", keep=KEEP)
    third = look(second, later(START, 3 * DAY), releases=["b", "a"], current="b", keep=KEEP)

    assert ages_of(second) == {"b": 0.0, "a": 0.0}
    assert ages_of(third) == {"b": 0.0, "a": 2.0}


@pytest.mark.parametrize("ahead", [700 * DAY, -700 * DAY])
def test_a_clock_that_jumps_makes_nothing_older(ahead: float) -> None:
    first = look(None, START, releases=["b", "a"], current="b", keep=KEEP)
    jumped = later(START, 60.0, ahead=ahead)
    second = look(first, jumped, releases=["b", "a"], current="b", keep=KEEP)
    third = look(second, later(START, 120.0), releases=["b", "a"], current="b", keep=KEEP)

    assert ages_of(third)["a"] == pytest.approx(120.0 / DAY)


@pytest.mark.parametrize(
    ("off", "expected"), [(3_600.0, 1 / 24), (700 * DAY, 1.0), (-700 * DAY, 0.0)]
)
def test_what_a_clock_says_of_the_time_off_counts_for_a_day_at_most(
    off: float, expected: float
) -> None:
    first = look(None, START, releases=["b", "a"], current="b", keep=KEEP)
    started = Moment("another boot", 50.0, START.wall + off + 50.0)
    second = look(first, started, releases=["b", "a"], current="b", keep=KEEP)

    assert ages_of(second)["a"] == pytest.approx(expected + 50.0 / DAY)


def test_a_jump_at_a_start_does_not_use_up_a_short_time_either() -> None:
    keep = Keep(releases=1, days=0.5)
    first = look(None, START, releases=["b", "a"], current="b", keep=keep)
    started = Moment("another boot", 50.0, START.wall + 700 * DAY)
    second = look(first, started, releases=["b", "a"], current="b", keep=keep)

    assert ages_of(second)["a"] < 0.5


def test_the_order_is_that_of_the_journal_whatever_the_clock_did() -> None:
    def entry(commit: str, previous: str | None, days: float) -> Entry:
        return Entry(
            time=NOW + timedelta(days=days),
            event=Event.PUBLISHED,
            commit=commit,
            previous=previous,
            trigger=Trigger.POLL,
        )

    entries = [entry("a", None, 0), entry("b", "a", 700), entry("c", "b", 1), entry("a", "c", -9)]

    assert list(last_current(entries)) == ["b", "c", "a"]


def test_of_equally_old_ones_the_first_named_stay() -> None:
    last = ages(c=9, a=9, b=9)

    assert expired(last, keep=Keep(releases=2, days=7), spared=(), now=NOW) == ["b"]


def test_a_moment_of_this_machine_goes_on() -> None:
    first, second = moment(), moment()

    assert first.boot == second.boot
    assert first.uptime <= second.uptime
