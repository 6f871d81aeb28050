"""The folder that workers share: records are whole or not there, claims are exclusive and few."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.cluster import exchange
from nbpipe.cluster.exchange import Cursor, DamagedError, Exchange, Log, Logs, Round
from nbpipe.errors import UsageError

VALUES = [b'{"a":1}', b"{}", '"é"'.encode(), b"[" + b"1," * 500 + b"1]"]


def test_records_survive_the_way() -> None:
    data = b"".join(map(exchange.record, VALUES))
    assert exchange.split(data) == (VALUES, len(data))


@given(st.integers(min_value=0))
def test_of_a_log_that_is_cut_anywhere_every_whole_record_is_read(cut: int) -> None:
    lines = [exchange.record(each) for each in VALUES]
    data = b"".join(lines)
    cut %= len(data)
    found, used = exchange.split(data[:cut])
    assert found == VALUES[: len(found)]
    assert used == sum(map(len, lines[: len(found)]))
    assert used + len(lines[len(found)]) > cut


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_byte_that_differs_is_never_taken_for_a_record(place: int, change: int) -> None:
    lines = [exchange.record(each) for each in VALUES]
    data = bytearray(b"".join(lines))
    place %= len(data)
    data[place] ^= change
    found, used = exchange.split(bytes(data))
    begun = 0
    whole = [
        value
        for value, line in zip(VALUES, lines, strict=True)
        if (begun := begun + len(line)) <= place
    ]
    assert found[: len(whole)] == whole
    assert set(found) <= set(VALUES)
    assert used == len(data) or used <= place


def test_pages_that_a_network_file_system_delivers_late_are_read_later(tmp_path: Path) -> None:
    line = exchange.record(exchange.report("hello", b'{"n":1}'))
    file = tmp_path / "worker"
    logs = Logs(tmp_path)
    file.write_bytes(line[:7] + bytes(len(line) - 7))
    assert list(logs.fresh()) == []
    file.write_bytes(line)
    assert [report.kind for _, report in logs.fresh()] == ["hello"]
    assert list(logs.fresh()) == []


def test_a_log_that_could_not_be_written_goes_on_where_it_ended(tmp_path: Path) -> None:
    log, logs = Log(tmp_path / "worker"), Logs(tmp_path)
    log.append([exchange.report("hello", b"1")], safe=False)
    with (tmp_path / "worker").open("ab") as stream:  # what a full disk leaves of a record
        stream.write(exchange.record(exchange.report("moved", b"2"))[:-5])
    log.append([exchange.report("result", b"3")], safe=True)
    assert [(each.kind, bytes(each.value)) for _, each in logs.fresh()] == [
        ("hello", b"1"),
        ("result", b"3"),
    ]


def test_what_a_worker_was_writing_when_it_died_is_all_that_is_lost(tmp_path: Path) -> None:
    log, logs = Log(tmp_path / "a"), Logs(tmp_path)
    log.append([exchange.report("result", b"1")], safe=True)
    with (tmp_path / "a").open("ab") as stream:
        stream.write(b"000000ff 12345678 {")
    Log(tmp_path / "b").append([exchange.report("result", b"2")], safe=True)
    assert [bytes(each.value) for _, each in logs.fresh()] == [b"1", b"2"]
    assert list(logs.fresh()) == []


def test_a_report_of_another_kind_of_nbpipe_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "worker").write_bytes(exchange.record(b"[1, 2]"))
    with pytest.raises(msgspec.ValidationError):
        list(Logs(tmp_path).fresh())


def a_round(folder: Path, count: int) -> Round:
    shared = Exchange(folder / "shared")
    shared.make()
    return shared.new_round(b"[%d]" % number for number in range(count))


def test_workers_take_every_portion_once_and_in_order(tmp_path: Path) -> None:
    place = a_round(tmp_path, 20)
    workers = [Cursor(place, 20) for _ in range(3)]
    taken: list[list[int]] = [[], [], []]
    for turn in (0, 0, 0, 0, 0, 1, 2, 2, 0, 1, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0):
        index = workers[turn].take()
        assert index is not None
        taken[turn].append(index)
    assert sorted(index for each in taken for index in each) == list(range(20))
    assert all(each == sorted(each) for each in taken)
    assert [each.take() for each in workers] == [None, None, None]


@dataclass
class Counting:
    """A round in memory that counts what is asked of it."""

    taken: set[int] = field(default_factory=set)
    questions: int = 0

    def claim(self, index: int) -> bool:
        self.questions += 1
        free = index not in self.taken
        self.taken.add(index)
        return free

    def is_claimed(self, index: int) -> bool:
        self.questions += 1
        return index in self.taken


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_the_first_free_portion_is_found_with_few_questions(count: int, taken: int) -> None:
    place = Counting(taken=set(range(min(taken, count))))
    found = Cursor(place, count).take()  # type: ignore[arg-type]
    assert found == (taken if taken < count else None)
    assert place.questions <= 2 * count.bit_length() + 4


def test_a_claim_that_another_host_made_meanwhile_is_not_taken_again(tmp_path: Path) -> None:
    place = a_round(tmp_path, 8)

    class Late(Counting):
        """Answers `is it taken?` from an old copy, as NFS may, and `mkdir` truly."""

        def is_claimed(self, index: int) -> bool:
            return index in self.taken and index < 2

    late = Late(taken={0, 1, 2, 3, 4})
    assert Cursor(late, 8).take() == 5  # type: ignore[arg-type]
    assert place.claim(0)
    assert not place.claim(0)


def test_a_plan_is_there_whole_or_not_at_all_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    place = a_round(tmp_path, 3)
    assert place.portions()[0] == [b"[0]", b"[1]", b"[2]"]
    file = place.folder / "plan"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(DamagedError):
        place.portions()


def test_the_newest_round_is_the_one_with_the_highest_number(tmp_path: Path) -> None:
    shared = Exchange(tmp_path / "shared")
    assert shared.last_round() is None
    shared.make()
    assert shared.last_round() is None
    for _ in range(11):
        shared.new_round([b"1"])
    last = shared.last_round()
    assert last is not None
    assert last.number == 11


def test_only_one_client_follows_a_run(tmp_path: Path) -> None:
    shared = Exchange(tmp_path / "shared")
    shared.make()
    with (
        shared.followed(),
        pytest.raises(UsageError, match=f"process {os.getpid()} on "),
        shared.followed(),
    ):
        pass
    with shared.followed():
        pass


@pytest.mark.parametrize("portions", [10, 10_000])
def test_a_look_opens_one_file_for_each_worker_however_long_the_plan_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portions: int
) -> None:
    shared = Exchange(tmp_path / "shared")
    shared.make()
    shared.new_round(b"[]" for _ in range(portions))
    for number in range(3):
        Log(shared.logs / f"w{number}").append([exchange.report("hello", b"{}")], safe=False)
    logs = Logs(shared.logs)
    assert len(list(logs.fresh())) == 3
    opened: list[Path] = []
    real = Path.open

    def noting(path: Path, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        opened.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", noting)
    assert list(logs.fresh()) == []
    assert len(opened) == 3
