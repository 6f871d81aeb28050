"""Which releases may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nbpipe.publishing.journal import Entry, Event, Trigger
from nbpipe.publishing.retention import expired, last_current
from nbpipe.settings import Keep

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
