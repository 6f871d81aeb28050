"""A memory budget together with slots, groups, retries, -x, and what earlier runs took."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from pasts import plan, task

from nbpipe.execution import schedule
from nbpipe.execution.schedule import MemoryBudget
from nbpipe.history import Last, start_order
from nbpipe.model import Category, Failure, Outcome, Result

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.model import Progress, Task

GIB = 1 << 30


@dataclass
class Stage:
    """Executes tasks that take turns of the loop; knows what has started and ended."""

    told: list[str] = field(default_factory=list)
    fails: dict[str, Category] = field(default_factory=dict)
    """What the first attempt of a notebook ends with."""
    most: int = 0
    """The most that was planned to be in use at once."""
    _using: int = 0

    async def execute_once(self, task: Task, *_: Path, attempt: int, **__: object) -> Result:
        self._using += min(task.memory or 0, 4 * GIB)
        self.most = max(self.most, self._using)
        for _turn in range(int(task.parameters.get("turns", 1))):
            await asyncio.sleep(0)
        self._using -= min(task.memory or 0, 4 * GIB)
        passed = Result(task=task, outcome=Outcome.PASSED, kernel="python3", attempts=attempt)
        if attempt > 1 or task.path not in self.fails:
            return replace(passed, memory=attempt * 100)
        failure = Failure(category=self.fails[task.path], name="E", message="m")
        return replace(passed, outcome=Outcome.FAILED, failures=(failure,), memory=700)

    def started(self, progress: Progress) -> None:
        self.told.append(f"+{progress.task.path}")

    def moved(self, progress: Progress) -> None:
        pass

    def finished(self, result: Result) -> None:
        self.told.append(f"-{result.path}")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(schedule, "execute_once", made.execute_once)
    return made


def run(
    stage: Stage, *tasks: Task, jobs: int = 4, maxfail: int = 0, left: int | None = None
) -> list[Result]:
    """Schedule tasks with a budget of 4 GiB; in `told` is what happened."""

    async def scheduled() -> list[Result]:
        budget = MemoryBudget(4 * GIB, lambda: left)
        scheduler = schedule.Scheduler(
            tasks,
            jobs=jobs,
            output_dir=None,
            listener=stage,
            maxfail=maxfail,
            budget=budget,  # type: ignore[arg-type]
        )
        return await scheduler.run()

    results = asyncio.run(scheduled())
    assert len(results) == len(tasks)
    return results


def takes(path: str, gib: float | None, turns: int = 1, **fields: object) -> Task:
    memory = None if gib is None else int(gib * GIB)
    return task(path, memory=memory, parameters={"turns": turns}, **fields)


def test_only_what_fits_together_runs_together(stage: Stage) -> None:
    run(stage, takes("a", 3, 3), takes("b", 2), takes("c", 1))
    assert stage.told == ["+a", "+c", "-c", "-a", "+b", "-b"]
    assert stage.most == 4 * GIB


def test_one_that_needs_more_than_there_is_runs_alone(stage: Stage) -> None:
    run(stage, takes("a", 0.1, 3), takes("huge", 99), takes("b", 0.1))
    assert stage.told == ["+a", "-a", "+huge", "-huge", "+b", "-b"]


def test_an_unknown_one_counts_as_one_gib(stage: Stage) -> None:
    run(stage, takes("a", 3.5, 3), takes("new", None), takes("b", 0.5))
    assert stage.told == ["+a", "+b", "-b", "-a", "+new", "-new"]
    assert schedule.UNKNOWN_MEMORY == GIB


def test_groups_and_slots_hold_with_a_budget(stage: Stage) -> None:
    db = {"groups": ("db",)}
    tasks = [takes("a", 1, 5, **db), takes("b", 1, 1, **db), takes("heavy", 1, 1, slots=3)]
    run(stage, *tasks, takes("c", 1), jobs=3)
    assert stage.told == ["+a", "-a", "+b", "-b", "+heavy", "-heavy", "+c", "-c"]


def test_a_retry_waits_for_its_room_too(stage: Stage) -> None:
    stage.fails = {"a": Category.NETWORK}
    results = run(stage, takes("a", 3, retries=1), takes("b", 3, 2), takes("c", 1, 9))
    assert stage.told == ["+a", "+c", "+b", "-b", "+a", "-a", "-c"]
    flaky = next(each for each in results if each.path == "a")
    assert (flaky.outcome, flaky.memory) == ("flaky", 700)


def test_what_was_killed_for_memory_is_tried_again_alone(stage: Stage) -> None:
    stage.fails = {"a": Category.OUT_OF_MEMORY}
    run(stage, takes("a", 1, retries=1), takes("b", 1, 9), takes("c", 1, 3))
    assert stage.told == ["+a", "+b", "+c", "-c", "-b", "+a", "-a"]


def test_nothing_that_waits_for_room_starts_after_the_first_failure(stage: Stage) -> None:
    stage.fails = {"a": Category.EXCEPTION}
    results = run(stage, takes("a", 3), takes("b", 3), takes("c", 3), maxfail=1)
    assert stage.told[:2] == ["+a", "-a"]
    assert {each.path: str(each.outcome) for each in results} == {
        "a": "failed", "b": "skipped", "c": "skipped",
    }  # fmt: skip


def test_while_the_machine_has_little_left_one_runs_at_a_time(stage: Stage) -> None:
    run(stage, takes("a", 1), takes("b", 1), takes("c", 1), left=GIB - 1)
    assert stage.told == ["+a", "-a", "+b", "-b", "+c", "-c"]


def test_what_is_not_executed_needs_no_room(stage: Stage) -> None:
    run(stage, task("s", skip="why", memory=99 * GIB), takes("a", 4))
    assert stage.told == ["-s", "+a", "-a"]


def test_what_earlier_runs_took_is_planned_with() -> None:
    last = {"a": Last(outcome="passed", run="r1", seconds=1, memory=5)}
    tasks = (*plan("a", "new").tasks, task("b", memory=7))
    last["b"] = replace(last["a"], memory=9)
    order = start_order(tasks, last)
    assert [(each.path, each.memory) for each in order] == [("new", None), ("a", 5), ("b", 7)]
