"""The client of `--cluster` against workers that a test plays: what it makes of their reports."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nbpipe import outputs
from nbpipe._version import __version__
from nbpipe.batch.stop import Stopping
from nbpipe.cluster import exchange, takeover, wire, worker
from nbpipe.cluster.exchange import Cursor, Exchange, Log
from nbpipe.cluster.run import Cluster, Terms
from nbpipe.cluster.takeover import LeftBehind
from nbpipe.cluster.worker import Portions, Teller
from nbpipe.errors import UsageError
from nbpipe.model import Category, Failure, Outcome, Progress, Result, Task
from nbpipe.reference.errors import SubmissionRefused

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0


@dataclass
class Listener:
    """Notes what it is told."""

    said: list[str] = field(default_factory=list)

    def started(self, progress: Progress) -> None:
        self.said.append(f"started {progress.task.path}")

    def moved(self, progress: Progress) -> None:
        """Ignored."""

    def finished(self, result: Result) -> None:
        self.said.append(f"{result.outcome} {result.path}")


class Played:
    """Workers that are a function of the test, in a thread."""

    count = 2

    def __init__(self, *plays: Callable[[Exchange], str]) -> None:
        self._plays = list(plays)
        self._thread: threading.Thread | None = None
        self._why = "none was started"
        self.ended: list[int] = []

    def start(self, shared: Exchange, portions: int) -> None:
        assert portions
        if not self._plays:
            raise SubmissionRefused("the queue is closed", hint="Wait.")
        play = self._plays.pop(0)

        def run() -> None:
            self._why = play(shared)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def lost(self) -> str | None:
        return None if self._thread is not None and self._thread.is_alive() else self._why

    def stop(self, *, ended: int) -> None:
        self.ended.append(ended)
        if self._thread is not None:
            self._thread.join(PATIENCE)


class Hand:
    """One worker as the test plays it."""

    def __init__(self, shared: Exchange, name: str = "w", **facts: object) -> None:
        self.log = Log(shared.logs / name)
        own = {"version": __version__, "host": "n1", "output_dir": str(shared.folder.parent)}
        self.say("hello", {**own, **facts})

    def say(self, kind: str, value: dict[str, Any]) -> None:
        self.log.append([exchange.report(kind, msgspec.json.encode(value))], safe=False)

    def starts(self, path: str) -> None:
        self.say("started", {"path": path, "cell": 0, "cells": 1, "attempt": 1})

    def ends(self, path: str, outcome: Outcome = Outcome.PASSED, **more: object) -> None:
        plain = Result(task=task(path), outcome=outcome, kernel="python3", attempts=1)
        result = replace(plain, **more)  # type: ignore[arg-type]
        self.log.append([exchange.report("result", wire.encode(result))], safe=False)


def task(path: str) -> Task:
    return Task(path=path, file=Path("/c") / path, why="*", kernel="python3")


def planned(shared: Exchange, path: str) -> Task:
    """Return a task as the newest plan has it."""
    place = shared.last_round()
    assert place is not None
    tasks = [task for each in place.portions()[0] for task in wire.decode_tasks(each)]
    return next(each for each in tasks if each.path == path)


def run(
    tmp_path: Path,
    paths: str,
    workers: Played,
    *,
    maxfail: int = 0,
    left: LeftBehind | None = None,
) -> tuple[dict[str, Result], Listener]:
    listener = Listener()
    cluster = Cluster(
        [task(path) for path in paths],
        folder=tmp_path / ".cluster-1",
        output_dir=tmp_path,
        listener=listener,
        workers=workers,
        terms=Terms(maxfail=maxfail),
        left=left,
    )
    results = asyncio.run(cluster.run())
    assert cluster.interrupted is False
    return {each.path: each for each in results}, listener


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_results_come_in_their_order_and_the_folder_goes(tmp_path: Path) -> None:
    def play(shared: Exchange) -> str:
        hand = Hand(shared)
        for path in "ab":
            hand.starts(path)
            hand.ends(path)
        hand.say("end", {"reason": None})
        return "completed"

    workers = Played(play)
    results, listener = run(tmp_path, "ab", workers)
    assert {each.outcome for each in results.values()} == {Outcome.PASSED}
    assert [each for each in listener.said if "passed" in each] == ["passed a", "passed b"]
    assert list(tmp_path.iterdir()) == []


def test_after_too_many_failures_what_runs_goes_on_and_nothing_more_starts(tmp_path: Path) -> None:
    def play(shared: Exchange) -> str:
        hand, place = Hand(shared), shared.last_round()
        assert place is not None
        hand.starts("a")
        hand.starts("b")
        failure = Failure(category=Category.EXCEPTION, name="E", message="m")
        hand.ends("a", Outcome.FAILED, failures=(failure,))
        until(lambda: place.draining)
        assert not place.stopped
        hand.ends("b")
        hand.say("end", {"reason": None})
        return "completed"

    results, _ = run(tmp_path, "abc", Played(play), maxfail=1)
    assert {path: each.outcome.value for path, each in results.items()} == {
        "a": "failed",
        "b": "passed",
        "c": "skipped",
    }
    assert results["c"].reason == "not started: 1 failed (--maxfail 1)"


def test_a_worker_with_another_version_ends_the_run_with_both_named(tmp_path: Path) -> None:
    stopped: list[bool] = []

    def play(shared: Exchange) -> str:
        Hand(shared, version="0.0.9", interpreter="/opt/python")
        place = shared.last_round()
        assert place is not None
        until(lambda: place.stopped)
        stopped.append(True)
        return "completed"

    with pytest.raises(UsageError, match=r"worker on n1 runs nbpipe 0\.0\.9 \(/opt/python\)"):
        run(tmp_path, "a", Played(play))
    assert stopped == [True]


def test_a_report_that_this_version_cannot_read_is_named(tmp_path: Path) -> None:
    def play(shared: Exchange) -> str:
        hand = Hand(shared)
        hand.say("result", {"outcome": "splendid"})
        return "completed"

    with pytest.raises(UsageError, match="a worker's report cannot be read"):
        run(tmp_path, "a", Played(play))


@pytest.mark.parametrize(("ahead", "moved"), [(7200.0, 7200.0), (-90.0, -90.0), (1.0, 0.0)])
def test_a_worker_whose_clock_differs_has_its_times_put_right(
    tmp_path: Path, ahead: float, moved: float
) -> None:
    """`clock` is by how much the file server is ahead of the worker."""
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def play(shared: Exchange) -> str:
        here = exchange.clock_offset(shared.folder / exchange.JOB)
        hand = Hand(shared, clock=round(here) + ahead)
        hand.ends("a", started=moment)
        return "completed"

    results, _ = run(tmp_path, "a", Played(play))
    started = results["a"].started
    assert started is not None
    assert abs(started - moment - timedelta(seconds=moved)) < timedelta(seconds=4)


def test_a_lost_notebook_runs_again_once_and_only_what_was_started_says_so(tmp_path: Path) -> None:
    def dies(shared: Exchange) -> str:
        hand = Hand(shared, f"w{time.monotonic_ns()}")
        hand.starts("a")
        return "out-of-memory"

    def works(shared: Exchange) -> str:
        hand = Hand(shared, "second")
        for path in "ab":
            hand.starts(path)
            hand.ends(path, notes=planned(shared, path).notes)
        return "completed"

    results, _ = run(tmp_path, "ab", Played(dies, works))
    assert results["a"].notes == ("run again: its worker was lost (out-of-memory)",)
    assert results["b"].notes == ()


def test_a_worker_that_was_only_cut_off_does_not_speak_for_the_one_in_its_place(
    tmp_path: Path,
) -> None:
    hands: list[Hand] = []

    def cut_off(shared: Exchange) -> str:
        hands.append(Hand(shared, "first", round=1))
        hands[0].starts("a")
        return "node-fail"

    def works(shared: Exchange) -> str:
        hand = Hand(shared, "second", round=2)
        hand.starts("a")
        hands[0].ends("a", Outcome.SKIPPED, reason="the run was interrupted")
        time.sleep(0.3)
        hand.ends("a")
        return "completed"

    results, _ = run(tmp_path, "a", Played(cut_off, works))
    assert results["a"].outcome is Outcome.PASSED


def test_a_notebook_that_takes_its_worker_down_twice_failed_by_what_killed_it(
    tmp_path: Path,
) -> None:
    def dies(shared: Exchange) -> str:
        Hand(shared, f"w{time.monotonic_ns()}").starts("a")
        return "out-of-memory"

    results, _ = run(tmp_path, "a", Played(dies, dies))
    (failure,) = results["a"].failures
    assert failure.category is Category.OUT_OF_MEMORY
    assert failure.message == "the worker that ran it was lost 2 times: out-of-memory"


def test_workers_that_cannot_be_replaced_leave_results_and_a_reason(tmp_path: Path) -> None:
    def dies(shared: Exchange) -> str:
        hand = Hand(shared)
        hand.ends("a")
        hand.starts("b")
        return "node-fail"

    results, _ = run(tmp_path, "ab", Played(dies))
    assert results["a"].outcome is Outcome.PASSED
    assert "no other could be started: the queue is closed" in results["b"].failures[0].message


def test_a_refused_first_submission_is_the_end_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SubmissionRefused):
        run(tmp_path, "a", Played())
    assert list(tmp_path.iterdir()) == []


def test_a_shared_folder_that_cannot_be_made_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / ".cluster-1").write_text("in the way")
    with pytest.raises(UsageError, match="the folder that workers share cannot be written"):
        run(tmp_path, "a", Played())


def test_the_last_words_of_workers_that_could_not_begin_are_told(tmp_path: Path) -> None:
    def play(shared: Exchange) -> str:
        (shared.folder / "worker.err.1").write_text("module: command not found\n")
        return "failed with exit code 1"

    results, _ = run(tmp_path, "a", Played(play))
    assert results["a"].failures[0].message == (
        "no worker took it; all ended: failed with exit code 1; worker.err.1:"
        " module: command not found"
    )


# What another client left


def left_behind(tmp_path: Path, play: Callable[[Exchange], None]) -> LeftBehind:
    old = tmp_path / "old"
    old.mkdir()
    shared = Exchange(old / ".cluster-0")
    shared.make()
    shared.new_round(wire.encode([task(path)]) for path in "ab")
    play(shared)
    return LeftBehind(run="0", shared=shared, workers=Played())


def test_results_of_another_client_are_taken_up_with_their_files(tmp_path: Path) -> None:
    def played(shared: Exchange) -> None:
        hand = Hand(shared)
        (tmp_path / "old" / "a.ipynb").write_text("{}")
        (tmp_path / "old" / "a.log").write_text("log")
        hand.ends("a", executed="a.ipynb", log="a.log")

    def works(shared: Exchange) -> str:
        hand = Hand(shared, "second", output_dir=str(tmp_path / "new"))
        hand.ends("b")
        return "completed"

    (tmp_path / "new").mkdir()
    left = left_behind(tmp_path, played)
    results, _ = run(tmp_path / "new", "ab", Played(works), left=left)
    assert results["a"].notes == ("result of run 0, taken up by --resume",)
    assert results["b"].notes == ()
    assert (tmp_path / "new" / "a.ipynb").read_text() == "{}"
    assert (tmp_path / "new" / "a.log").read_text() == "log"
    assert not left.shared.folder.exists()


def test_what_is_not_wanted_now_stays_for_later(tmp_path: Path) -> None:
    left = left_behind(tmp_path, lambda shared: Hand(shared).ends("a"))
    results, _ = run(tmp_path, "a", Played(), left=replace(left, keep=True))
    assert results["a"].outcome is Outcome.PASSED
    assert left.shared.folder.exists()


def test_a_later_run_is_a_way_to_what_was_left_until_that_is_gone(tmp_path: Path) -> None:
    left = left_behind(tmp_path, lambda _: None)
    (left.shared.folder / exchange.JOB).write_text('{"format": 2, "kind": "worker"}')
    takeover.link(left, tmp_path, "2")
    found = takeover.find(tmp_path, "2")
    assert found is not None
    assert found[0] == left.shared
    takeover.forget_links(left.shared)
    assert takeover.find(tmp_path, "2") is None


def test_what_another_version_left_is_refused_with_its_name(tmp_path: Path) -> None:
    folder = takeover.folder_of(tmp_path, "1")
    folder.mkdir()
    (folder / exchange.JOB).write_text('{"format": 99, "kind": "worker", "version": "7.0"}')
    with pytest.raises(UsageError, match=r"left by nbpipe 7\.0, .*\(format 99\)"):
        takeover.find(tmp_path, "1")


def test_the_folder_of_a_run_with_workers_is_not_forgotten_with_old_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "_default_place", lambda: tmp_path)
    monkeypatch.setattr(outputs, "KEPT_RUNS", 1)
    for number in range(3):
        folder = outputs.make_folder(tmp_path / f"r{number}", f"r{number}", ())
        if number == 0:
            (folder / ".cluster-r0" / "logs").mkdir(parents=True)
    outputs.make_folder(None, "r3", ())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["r0", "r3"]


# A worker's side


def teller(tmp_path: Path) -> Teller:
    return Teller(Log(tmp_path / "w"), Stopping())


def test_what_a_full_disk_refuses_is_written_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, real, full = teller(tmp_path), os.pwrite, [True]

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if full[0]:
            real(descriptor, data[:10], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    told.finished(Result(task=task("a"), outcome=Outcome.PASSED, kernel="python3"))
    told.try_again()
    assert list(exchange.Logs(tmp_path).fresh()) == []
    full[0] = False
    asyncio.run(told.delivered())
    assert [each.kind for _, each in exchange.Logs(tmp_path).fresh()] == ["result"]
    assert told.lost == ""


def test_a_disk_that_stays_full_ends_the_worker_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = teller(tmp_path)

    def append(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Log, "append", append)
    monkeypatch.setattr(worker, "_PATIENCE", -1.0)
    told.say("hello", {})
    told.try_again()
    asyncio.run(told.delivered())
    assert told.lost == f"{tmp_path / 'w'}: cannot be written: No space left on device"
    assert told.stopping.reason == told.lost


def portions(tmp_path: Path, *, count: int, lanes: int, growing: bool = False) -> Portions:
    shared = Exchange(tmp_path / "shared")
    shared.make()
    place = shared.new_round(wire.encode([task(f"n{number}")]) for number in range(count))
    return Portions(place, teller(tmp_path), lanes=lanes, growing=growing)


def taken(source: Portions, *, ahead: bool) -> list[str]:
    return [each.path for each in source.take(ahead=ahead)]


def test_nothing_is_taken_ahead_that_an_idle_worker_could_run(tmp_path: Path) -> None:
    source = portions(tmp_path, count=4, lanes=2)
    assert taken(source, ahead=True) == ["n0"]
    assert taken(source, ahead=True) == ["n1"]
    assert taken(source, ahead=True) == []
    assert taken(source, ahead=False) == ["n2"]


def test_a_plan_that_grows_is_followed(tmp_path: Path) -> None:
    source = portions(tmp_path, count=0, lanes=1, growing=True)
    assert taken(source, ahead=False) == []
    assert source.may_grow()
    source.round.add(wire.encode([task("late")]))
    assert taken(source, ahead=False) == ["late"]
    assert Cursor(source.round, 1).take() is None


def test_a_worker_that_is_told_to_end_leaves_no_verdict_on_what_it_skipped(tmp_path: Path) -> None:
    told = teller(tmp_path)
    told.stopping.signal = 15
    told.finished(Result(task=task("a"), outcome=Outcome.SKIPPED, kernel="python3"))
    told.finished(Result(task=task("b"), outcome=Outcome.PASSED, kernel="python3"))
    told.log.append([], safe=False)
    (report,) = [each for _, each in exchange.Logs(tmp_path).fresh()]
    assert wire.decode_result(bytes(report.value)).path == "b"
