"""Who starts when, who is tried again, and how all of it stops; no kernel is needed for that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe.execution import schedule
from nbpipe.model import Category, Failure, Outcome, Progress, Result, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.execution.halts import Halt

    Step = Callable[[Task, int, Halt], Outcome]


@dataclass
class Told:
    """Remembers what a listener is told."""

    starts: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def started(self, progress: Progress) -> None:
        self.starts.append(f"{progress.task.path} {progress.attempt}")

    def moved(self, progress: Progress) -> None:
        pass

    def finished(self, result: Result) -> None:
        self.ends.append(f"{result.path} {result.outcome}")


def task(path: str, **kwargs: Any) -> Task:  # noqa: ANN401
    return Task(path=path, file=Path("/c", path), why=path, kernel="python3", **kwargs)


def failure(category: Category = Category.EXCEPTION, message: str = "boom") -> Failure:
    return Failure(category=category, name="Boom", message=message)


@dataclass
class Stage:
    """Executes tasks by a script: path -> what each attempt ends with."""

    script: dict[str, list[Outcome | Category | Exception]]
    on_start: Callable[[Task], None] = lambda _: None
    halts: list[Halt] = field(default_factory=list)

    async def execute_once(
        self, task: Task, *_: Path, attempt: int, halt: Halt, **__: object
    ) -> Result:
        self.halts.append(halt)
        await asyncio.sleep(0)
        self.on_start(task)
        await asyncio.sleep(0)
        empty = Result(
            task=task, outcome=Outcome.PASSED, kernel=task.kernel, seconds=1, attempts=attempt
        )
        if halt.reason.done():
            return replace(empty, outcome=Outcome.SKIPPED, reason=str(halt.reason.result()))
        ends = self.script.get(task.path, [])
        end = ends[attempt - 1] if attempt <= len(ends) else Outcome.PASSED
        if isinstance(end, Exception):
            raise end
        if isinstance(end, Category):
            failed = failure(end, f"attempt {attempt}")
            return replace(empty, outcome=Outcome.FAILED, failures=(failed,))
        return replace(empty, outcome=end)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return what stands in for real kernels."""
    made = Stage({})
    monkeypatch.setattr(schedule, "execute_once", made.execute_once)
    return made


def scheduler(tasks: list[Task], told: Told, *, jobs: int = 1, maxfail: int = 0) -> Any:  # noqa: ANN401
    return schedule.Scheduler(
        tasks, jobs=jobs, output_dir=Path("/nowhere"), listener=told, maxfail=maxfail
    )


def run(tasks: list[Task], *, jobs: int = 1, maxfail: int = 0) -> tuple[list[Result], Told]:
    told = Told()

    async def all_of_it() -> list[Result]:
        return list(await scheduler(tasks, told, jobs=jobs, maxfail=maxfail).run())

    return asyncio.run(all_of_it()), told


def test_tasks_start_in_their_order(stage: Stage) -> None:
    results, told = run([task("b"), task("a"), task("c")])
    assert told.starts == ["b 1", "a 1", "c 1"]
    assert told.ends == ["b passed", "a passed", "c passed"]
    assert [result.path for result in results] == ["b", "a", "c"]


@pytest.mark.parametrize("jobs", [1, 2, 3, 9])
def test_never_more_run_at_once_than_jobs(stage: Stage, jobs: int) -> None:
    told = Told()
    most = 0

    async def all_of_it() -> None:
        nonlocal most
        made = scheduler([task(str(n)) for n in range(7)], told, jobs=jobs)

        def count(_: Task) -> None:
            nonlocal most
            most = max(most, len(made.running))

        stage.on_start = count
        await made.run()

    asyncio.run(all_of_it())
    assert most == min(jobs, 7)
    assert len(told.ends) == 7


def test_what_is_known_already_is_not_executed(stage: Stage) -> None:
    wrong = failure(Category.KERNEL_MISSING)
    results, told = run([task("a", failure=wrong), task("b", skip="says so"), task("c")])
    assert told.starts == ["c 1"]
    assert [result.outcome for result in results] == ["failed", "skipped", "passed"]
    assert results[0].failures == (wrong,)
    assert (results[1].reason, results[1].attempts) == ("says so", 0)


def test_a_failure_that_is_known_already_counts_for_maxfail(stage: Stage) -> None:
    results, told = run([task("a", failure=failure()), task("b")], maxfail=1)
    assert told.starts == []
    assert results[1].reason == "not started: 1 failed (--maxfail 1)"


def test_nothing_starts_after_maxfail_failures(stage: Stage) -> None:
    stage.script = {path: [Category.EXCEPTION] for path in "abcd"}
    results, told = run([task(path) for path in "abcd"], maxfail=2)
    assert told.starts == ["a 1", "b 1"]
    assert [result.outcome for result in results] == ["failed", "failed", "skipped", "skipped"]


def test_what_runs_already_ends_although_maxfail_is_reached(stage: Stage) -> None:
    stage.script = {"a": [Category.EXCEPTION], "b": [Category.EXCEPTION]}
    results, _ = run([task(path) for path in "abc"], jobs=2, maxfail=1)
    outcomes = {result.path: result.outcome for result in results}
    assert outcomes == {"a": "failed", "b": "failed", "c": "skipped"}


def test_a_retry_waits_until_the_others_had_their_turn(stage: Stage) -> None:
    stage.script = {"a": [Category.NETWORK, Category.NETWORK]}
    results, told = run([task("a", retries=2), task("b"), task("c")])
    assert told.starts == ["a 1", "b 1", "c 1", "a 2", "a 3"]
    assert told.ends == ["b passed", "c passed", "a flaky"]
    flaky = results[-1]
    assert (flaky.attempts, flaky.seconds) == (3, 3)
    assert [each.message for each in flaky.failures] == ["attempt 1"]


def test_who_fails_every_time_has_the_last_attempts_failure(stage: Stage) -> None:
    stage.script = {"a": [Category.NETWORK, Category.TIMEOUT]}
    (result,), told = run([task("a", retries=1)])
    assert told.starts == ["a 1", "a 2"]
    assert (result.outcome, result.attempts, result.seconds) == ("failed", 2, 2)
    assert result.failures[0].category == "timeout"


@pytest.mark.parametrize(
    "hopeless", [Category.KERNEL_MISSING, Category.INVALID_NOTEBOOK, Category.MISSING_PACKAGE]
)
def test_what_cannot_change_is_not_tried_again(stage: Stage, hopeless: Category) -> None:
    stage.script = {"a": [hopeless]}
    _, told = run([task("a", retries=3)])
    assert told.starts == ["a 1"]


def test_a_failure_that_may_still_pass_does_not_count_for_maxfail(stage: Stage) -> None:
    stage.script = {"a": [Category.NETWORK]}
    results, told = run([task("a", retries=1), task("b")], maxfail=1)
    assert told.starts == ["a 1", "b 1", "a 2"]
    assert [result.outcome for result in results] == ["passed", "flaky"]


def test_a_retry_that_maxfail_forbids_leaves_the_failure(stage: Stage) -> None:
    stage.script = {"a": [Category.NETWORK], "b": [Category.EXCEPTION]}
    results, told = run([task("a", retries=1), task("b")], maxfail=1)
    assert told.starts == ["a 1", "b 1"]
    assert {result.path: result.outcome for result in results} == {"b": "failed", "a": "failed"}


def test_a_stop_before_the_start_starts_nothing(stage: Stage) -> None:
    told = Told()

    async def stopped() -> list[Result]:
        made = scheduler([task("a"), task("b", skip="says so")], told)
        made.stop("the lights went out")
        assert made.interrupted
        return list(await made.run())

    results = asyncio.run(stopped())
    assert told.starts == []
    assert [result.reason for result in results] == ["not started: the lights went out", "says so"]


def test_a_stop_halts_what_runs_and_keeps_what_is_done(stage: Stage) -> None:
    told = Told()
    stage.script = {"a": [Category.NETWORK]}

    async def stopped() -> list[Result]:
        made = scheduler([task("a", retries=1), task("b"), task("c"), task("d")], told)
        stage.on_start = lambda each: made.stop("enough") if each.path == "c" else None
        return list(await made.run())

    results = {result.path: result for result in asyncio.run(stopped())}
    assert told.starts == ["a 1", "b 1", "c 1"]
    assert {path: result.outcome for path, result in results.items()} == {
        "a": "failed",
        "b": "passed",
        "c": "skipped",
        "d": "skipped",
    }
    assert (results["c"].reason, results["d"].reason) == ("enough", "not started: enough")


def test_a_kill_hurries_only_what_runs(stage: Stage) -> None:
    told = Told()

    async def killed() -> None:
        made = scheduler([task("a"), task("b")], told, jobs=1)

        def kill(_: Task) -> None:
            made.stop("enough")
            made.kill()

        stage.on_start = kill
        await made.run()

    asyncio.run(killed())
    assert [halt.now.is_set() for halt in stage.halts] == [True]


def test_our_own_mistake_is_one_notebooks_failure(stage: Stage) -> None:
    stage.script = {"a": [ValueError("oops")]}
    results, _ = run([task("a"), task("b")])
    assert [result.outcome for result in results] == ["failed", "passed"]
    told = results[0].failures[0]
    assert (told.name, told.message) == (
        "nbpipe.ValueError",
        "a mistake of nbpipe while preparing it, please report it: ValueError: oops",
    )
    assert "ValueError: oops" in told.traceback
