"""How long and how large a run was against its reference; pure decisions.

Only runs on the same system are compared. The time in a queue is told apart and never judged: it
says something about other people's jobs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import Measure, TrendPoint, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nbpipe.config.settings import ReferenceBound
    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.manifest import Job, Manifest


def compare_performance(old: Manifest, new: Manifest, rules: Rules) -> tuple[Measure, ...]:
    """Return every measure that one of the runs has: totals, the queue, then each cell."""
    found = []
    for name, unit, figure in TOTALS:
        bound = rules.bound(name, new.system) if name != "queue" else None
        found.append(_measure(name, unit, (figure(old), figure(new)), bound))
    found += _cells(old, new, rules)
    known = [each for each in found if each.reference is not None or each.new is not None]
    if old.system == new.system:
        return tuple(known)
    return tuple(replace(each, verdict=Verdict.NOT_COMPARABLE) for each in known)


def trend(history: Iterable[Manifest], new: Manifest) -> tuple[TrendPoint, ...]:
    """Return the releases in the order of their runs, the new run last."""
    earlier = sorted(
        (each for each in history if each.run != new.run), key=lambda each: each.created
    )
    return tuple(
        TrendPoint(
            label=each.release or each.run,
            created=each.created,
            system=each.system,
            wall_seconds=wall(each),
            core_hours=core_hours(each),
            peak_memory_bytes=None if (found := memory(each)) is None else int(found),
            new=each is new,
        )
        for each in (*earlier, new)
    )


def wall(run: Manifest) -> float | None:
    """Return the seconds of the run's own jobs: those of its children pass meanwhile."""
    return _sum(job.wall_seconds for job in _own(run.jobs))


def core_hours(run: Manifest) -> float | None:
    """Return the core-hours of all jobs, children included."""
    return _sum(job.core_hours for job in run.jobs)


def memory(run: Manifest) -> float | None:
    """Return the bytes of the largest job."""
    found = [job.peak_memory_bytes for job in run.jobs if job.peak_memory_bytes is not None]
    return max(found, default=None)


def _cpu(run: Manifest) -> float | None:
    return _sum(job.cpu_seconds for job in run.jobs)


def _queue(run: Manifest) -> float | None:
    return _sum(job.queue_seconds for job in _own(run.jobs))


TOTALS: tuple[tuple[str, str, Callable[[Manifest], float | None]], ...] = (
    ("wall", "s", wall),
    ("core-hours", "core-hours", core_hours),
    ("cpu", "s", _cpu),
    ("memory", "bytes", memory),
    ("queue", "s", _queue),
)


def _own(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if job.parent is None]


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _cells(old: Manifest, new: Manifest, rules: Rules) -> Iterator[Measure]:
    before = {cell.index: cell for cell in old.cells}
    after = {cell.index: cell for cell in new.cells}
    for index in sorted(before.keys() | after.keys()):
        was, now = before.get(index), after.get(index)
        title = next((each.title for each in (now, was) if each and each.title), "")
        figures = (was.seconds if was else None, now.seconds if now else None)
        made = _measure(f"cell {index}", "s", figures, rules.bound("cell", new.system, index))
        yield replace(made, title=title)


def _measure(
    name: str,
    unit: str,
    figures: tuple[float | None, float | None],
    bound: ReferenceBound | None,
) -> Measure:
    old, new = figures
    return Measure(
        name=name,
        unit=unit,
        reference=old,
        new=new,
        ratio=new / old if old and new is not None else None,
        verdict=_verdict(old, new, bound),
        bound=_words(bound) if bound else "",
    )


def _verdict(old: float | None, new: float | None, bound: ReferenceBound | None) -> Verdict:
    """Judge one measure; without a bound, or a side of it, there is nothing to keep."""
    if old is None or new is None:
        return Verdict.NOT_COMPARABLE
    if bound is not None and abs(new - old) > bound.floor:
        too_much = bound.more is not None and new > old * (1 + bound.more)
        too_little = bound.less is not None and new < old * (1 - bound.less)
        if too_much or too_little:
            return Verdict.DIFFERENT
    return Verdict.SAME if new == old else Verdict.WITHIN


def _words(bound: ReferenceBound) -> str:
    more = None if bound.more is None else f"at most {bound.more:.0%} more"
    less = None if bound.less is None else f"at most {bound.less:.0%} less"
    return ", ".join(each for each in (more, less) if each)
