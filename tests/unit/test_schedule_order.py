"""Who starts when: slots, groups, and the order that earlier runs give."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING

import pytest
from pasts import START, plan, task

from nbpipe.execution import schedule
from nbpipe.history import Last, start_order
from nbpipe.history.records import PastResult
from nbpipe.model import Outcome, Result
from nbpipe.subset.results import failed_first, keep_failed, keep_missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbpipe.model import Progress, Task


class Log:
    """Listens; remembers starts and ends."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def started(self, progress: Progress) -> None:
        self.told.append(f"+{progress.task.path}")

    def moved(self, progress: Progress) -> None:
        pass

    def finished(self, result: Result) -> None:
        self.told.append(f"-{result.path}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[Task], int], str]:
    """Return a function that schedules tasks which take as many turns of the loop as they say."""

    async def turns(task: Task, *_: object, **__: object) -> Result:
        for _turn in range(int(task.parameters.get("turns", 1))):
            await asyncio.sleep(0)
        return Result(task=task, outcome=Outcome.PASSED, kernel=task.kernel)

    def scheduled(tasks: list[Task], jobs: int) -> str:
        log = Log()
        monkeypatch.setattr(schedule, "execute_once", turns)
        scheduler = schedule.Scheduler(tasks, jobs=jobs, output_dir=tmp_path, listener=log)
        asyncio.run(scheduler.run())
        assert len(scheduler.results) == len(tasks)
        return " ".join(log.told)

    return scheduled


def takes(path: str, turns: int, **fields: object) -> Task:
    return task(path, parameters={"turns": turns}, **fields)


def test_as_many_run_at_once_as_there_are_slots(run: Callable[[list[Task], int], str]) -> None:
    tasks = [takes("a", 9), takes("b", 1), takes("c", 1)]
    assert run(tasks, 2) == "+a +b -b +c -c -a"


def test_a_heavy_notebook_takes_its_slots(run: Callable[[list[Task], int], str]) -> None:
    tasks = [takes("heavy", 3, slots=2), takes("a", 1), takes("b", 1)]
    assert run(tasks, 2) == "+heavy -heavy +a +b -a -b"


def test_a_heavy_notebook_is_not_overtaken_for_ever(run: Callable[[list[Task], int], str]) -> None:
    tasks = [takes("a", 3), takes("heavy", 1, slots=2), takes("b", 1), takes("c", 1)]
    assert run(tasks, 2) == "+a -a +heavy -heavy +b +c -b -c"


def test_more_slots_than_there_are_is_all_of_them(run: Callable[[list[Task], int], str]) -> None:
    assert run([takes("a", 1), takes("huge", 1, slots=99)], 2) == "+a -a +huge -huge"


def test_of_a_group_only_one_runs_and_others_overtake(
    run: Callable[[list[Task], int], str],
) -> None:
    tasks = [takes("a", 5, groups=("db",)), takes("b", 1, groups=("db",)), takes("c", 1)]
    assert run(tasks, 2) == "+a +c -c -a +b -b"


def test_a_notebook_in_two_groups_waits_for_both(run: Callable[[list[Task], int], str]) -> None:
    tasks = [
        takes("a", 3, groups=("x",)),
        takes("b", 6, groups=("y",)),
        takes("both", 1, groups=("x", "y")),
    ]
    assert run(tasks, 3) == "+a +b -a -b +both -both"


def test_what_is_not_executed_needs_no_slot(run: Callable[[list[Task], int], str]) -> None:
    tasks = [task("s", skip="why", slots=2, groups=("g",)), takes("a", 1, groups=("g",))]
    assert run(tasks, 1) == "-s +a -a"


def known(**seconds: float) -> dict[str, Last]:
    return {path: Last(outcome="passed", run="r1", seconds=each) for path, each in seconds.items()}


def test_the_longest_starts_first_and_the_unknown_before_it() -> None:
    tasks = plan("short", "long", "new", "newer").tasks
    order = start_order(tasks, known(short=1, long=60))
    assert [each.path for each in order] == ["new", "newer", "long", "short"]


def test_what_failed_first_starts_before_the_longest() -> None:
    last = known(long=60) | {"bad": Last(outcome="failed", run="r1", seconds=1)}
    first = failed_first(plan("long", "bad", "new"), last, failing={"failed"})
    assert [each.path for each in first.tasks] == ["bad", "long", "new"]
    assert first.tasks[0].turn == "first by --ff: failed in run r1"
    order = start_order(first.tasks, last)
    assert [each.path for each in order] == ["bad", "new", "long"]


def test_only_what_failed_last_is_kept() -> None:
    last = {
        path: Last(outcome=outcome, run="r1", seconds=1)
        for path, outcome in (("a", "passed"), ("b", "failed"), ("c", "flaky"))
    }
    kept = keep_failed(plan("a", "b", "c", "d"), last, failing={"failed"})
    assert [each.path for each in kept.tasks] == ["b"]
    assert [(each.path, each.reason) for each in kept.excluded] == [
        ("a", "deselected by --lf: passed in run r1"),
        ("c", "deselected by --lf: flaky in run r1"),
        ("d", "deselected by --lf: no result of it is known"),
    ]


def past(path: str, outcome: str | None, run: str = "r1", *, complete: bool = True) -> PastResult:
    return PastResult(
        run=run, started=START, path=path, outcome=outcome, complete=complete, reason=None,
        kernel="python3", seconds=1.0, attempts=1, failures=(),
    )  # fmt: skip


def test_only_what_a_run_did_not_get_to_is_resumed() -> None:
    results = [
        past("a", "passed"),
        past("b", "skipped", complete=False),
        past("c", None, complete=False),
        past("d", "failed"),
    ]
    kept = keep_missing(plan("a", "b", "c", "d", "e"), "r1", results)
    assert [each.path for each in kept.tasks] == ["b", "c"]
    assert [(each.path, each.reason) for each in kept.excluded] == [
        ("a", "deselected by --resume: passed in run r1"),
        ("d", "deselected by --resume: failed in run r1"),
        ("e", "deselected by --resume: not in the plan of run r1"),
    ]


class Workers:
    """Executes tasks that take as many seconds as they say, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self._ends: list[tuple[float, int, asyncio.Future[None]]] = []

    async def execute_once(self, task: Task, *_: object, **__: object) -> Result:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._ends, (self.now + float(task.parameters["s"]), id(end), end))
        await end
        return Result(task=task, outcome=Outcome.PASSED, kernel=task.kernel)

    async def run(self, scheduler: schedule.Scheduler) -> float:
        """Return how many seconds it all takes."""
        running = asyncio.ensure_future(scheduler.run())
        while not running.done():
            for _turn in range(10):  # until everybody waits for the clock
                await asyncio.sleep(0)
            if self._ends:
                self.now, _, end = heapq.heappop(self._ends)
                end.set_result(None)
        return self.now


def test_one_long_notebook_at_the_end_of_the_alphabet_costs_nothing_the_second_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seconds = {f"n{number:02}": 0.2 + 0.02 * number for number in range(39)} | {"z": 20.0}
    tasks = tuple(task(path, parameters={"s": each}) for path, each in seconds.items())

    def takes_all(order: tuple[Task, ...]) -> float:
        workers = Workers()
        monkeypatch.setattr(schedule, "execute_once", workers.execute_once)
        made = schedule.Scheduler(order, jobs=2, output_dir=tmp_path, listener=Log())
        return asyncio.run(workers.run(made))

    least = max(20.0, sum(seconds.values()) / 2)
    assert takes_all(start_order(tasks, {})) > 1.4 * least
    assert takes_all(start_order(tasks, known(**seconds))) <= 1.01 * least
