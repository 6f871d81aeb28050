"""`--list`: what would run, in which order, on which kernel, and why the others would not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from nbpipe.reports.progress import remaining
from nbpipe.reports.terminal import Color, Page, is_colored
from nbpipe.system.text import columns, plain, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nbpipe.model import Plan, Task


def listing(
    plan: Plan, stream: TextIO, *, color: Color, environ: Mapping[str, str], jobs: int = 1
) -> None:
    """Write the plan for a person; `jobs` of its notebooks would run in parallel."""
    page = Page(stream, colored=is_colored(stream, color, environ))
    runnable = [task for task in plan.tasks if task.skip is None and task.failure is None]
    if runnable:
        page.line(
            (f"{count(len(runnable), 'notebook')} would run, reported in this order:", "bold")
        )
    width = min(max((columns(plain_name(task.path)) for task in runnable), default=0), 60)
    for number, task in enumerate(runnable, start=1):
        name = plain_name(task.path)
        gap = " " * (width - columns(name) + 2 if columns(name) < width else 2)
        usual = "" if task.expected is None else f"  about {duration(task.expected)}"
        page.line(f"{number:5}  {name}{gap}", (task.kernel, "cyan"), usual)
        _remarks(page, (task.because, task.turn, task.kernel_why, *task.notes))
    if told := _expectation(runnable, jobs):
        page.line(told)
    _others(page, "would fail without being executed", _broken(plan.tasks))
    _others(page, "would be skipped", ((t.path, t.skip) for t in plan.tasks if t.skip is not None))
    _others(page, "would not run", ((each.path, each.reason) for each in plan.excluded))
    page.flush()


def _expectation(tasks: Sequence[Task], jobs: int) -> str:
    """Return how long the run will take, by what its notebooks took the last time."""
    known = [task.expected for task in tasks if task.expected is not None]
    if not known:
        return ""
    parallel = f" with {count(jobs, 'notebook')} in parallel" if jobs > 1 else ""
    rest = len(tasks) - len(known)
    unknown = f", {count(rest, 'notebook')} not counted: nothing is known of it" if rest else ""
    if rest > 1:
        unknown = f", {count(rest, 'notebook')} not counted: nothing is known of them"
    return f"expected: {duration(remaining(known, jobs))}{parallel}{unknown}"


def _broken(tasks: Iterable[Task]) -> Iterable[tuple[str, str]]:
    for task in tasks:
        if task.failure is not None:
            yield task.path, f"{task.failure.category}: {task.failure.message}"


def _others(page: Page, title: str, each: Iterable[tuple[str, str]]) -> None:
    entries = list(each)
    if not entries:
        return
    page.title(f"{count(len(entries), 'notebook')} {title}:")
    for path, reason in entries:
        page.line(f"       {plain_name(path)}")
        _remarks(page, (reason,))


def _remarks(page: Page, texts: Iterable[str]) -> None:
    for text in texts:
        if text:
            page.line("         ", (plain(text).replace("\n", " "), "dim"))
