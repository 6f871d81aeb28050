"""The journal, and the health that is told from a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.config.settings import CollectionSettings
from nbpipe.publishing.health import Record, State, judge
from nbpipe.publishing.releases.journal import Entry, Event, Journal, Trigger, at

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = CollectionSettings(
    name="nb", origin="https://example.org/a/b", root="/srv", poll=60, stale_after=300
)


def entry(commit: str) -> Entry:
    return Entry(time=at(0), event=Event.PUBLISHED, commit=commit, trigger=Trigger.POLL)


def test_entries_come_back_in_their_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(entry("a"))
    journal.append(entry("b"))

    assert [each.commit for each in journal.entries()] == ["a", "b"]
    assert journal.last(Event.PUBLISHED) == entry("b")
    assert journal.last(Event.REFUSED) is None


def test_a_line_torn_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(entry("a"))
    with journal.file.open("ab") as file:
        file.write(b'{"time":"1970-01-01T00:0')
    journal.append(entry("b"))

    assert [each.commit for each in journal.entries()] == ["a", "b"]


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    assert Journal(tmp_path / "journal.jsonl").entries() == []


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (Record(attempt=1000, fetched=1000), State.OK),
        (Record(), State.STALE),
        (Record(fetched=900, error="no answer", unreachable=True), State.OK),
        (Record(fetched=600, error="no answer", unreachable=True), State.STALE),
        (Record(fetched=600), State.STALE),
        (Record(fetched=9_999_999, error="no answer", unreachable=True), State.STALE),
        (Record(fetched=1000, error="refused"), State.FAILING),
        (Record(fetched=1005), State.OK),
        (Record(fetched=9999, error="no answer", unreachable=True), State.STALE),
    ],
)
def test_health_tells_trouble_in_time(record: Record, state: State) -> None:
    found = judge(record, settings=SETTINGS, current="a", pinned=None, now=1000.0)
    held = judge(record, settings=SETTINGS, current="a", pinned="a", now=1000.0)

    assert found.state is state
    assert held.state is (State.PINNED if state is State.OK else state)
