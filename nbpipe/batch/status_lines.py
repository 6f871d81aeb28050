"""How a run stands, for people: its job and the children, what to do, what was collected.

Values in, lines out; nothing is asked or decided here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nbpipe.batch.run_views import cell_now
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.schedulers.unnoted import How
from nbpipe.system.units import count

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.batch.run_views import JobView, View
    from nbpipe.reference.manifest import Manifest
    from nbpipe.reference.state import Standing


def status(view: View) -> list[str]:
    """Return the run, its job and its children, a line each."""
    lines = [f"{view.run.name}/{view.run.id}  {_state(view.job.id, view.job)}"]
    if not view.job.standing.state.ended and (cell := cell_now(view.run)):
        lines.append(f"  {cell}")
    lines += _what_to_do(view, view.job.standing, f"job {view.job.id or '?'}")
    for child in view.children:
        lines.append(f"  child {_child(child, view.job.scheduler)}")
        lines += _what_to_do(view, child.standing, f"child {child.id}")
    if view.problem:
        lines.append(f"  no news: {' '.join(view.problem.split())}")
    lines += [f"  note: {remark}" for remark in view.remarks]
    return lines


class News:
    """The lines of runs that are looked at again and again, each line once in a row."""

    def __init__(self) -> None:
        self._before: dict[Path, list[str]] = {}

    def of(self, view: View) -> list[str]:
        """Return the lines that the last look at this run did not have."""
        lines, before = status(view), self._before.get(view.run.folder, [])
        self._before[view.run.folder] = lines
        return [line for line in lines if line not in before]


def collected(made: Manifest, view: View) -> str:
    """Return what a manifest holds: outputs, jobs, core-hours."""
    total = sum(job.core_hours or 0.0 for job in made.jobs)
    size = sum(output.bytes for output in made.outputs)
    return (
        f"{view.run.folder / 'manifest.json'}: {count(len(made.outputs), 'output')}, "
        f"{size:,} bytes, {count(len(made.jobs), 'job')}, {total:.3f} core-hours"
    )


def children(view: View) -> list[str]:
    """Return how the child jobs were found, and what no scheduler could have told."""
    ways = Counter(child.how for child in view.children)
    found = ", ".join(f"{number} {how}" for how, number in ways.items())
    lines = [f"{count(len(view.children), 'child job')}: {found}"] if view.children else []
    return [*lines, *(f"note: {limit}" for limit in view.limits)]


def late(view: View) -> str:
    """Return what of an ended run is not known yet."""
    if view.resultless:
        return "the job completed, and its result.json is not here yet"
    why = f" ({view.problem})" if view.problem else ""
    return f"the accounting does not know the end of job {', '.join(view.unaccounted)} yet{why}"


def warnings(view: View) -> list[str]:
    """Return where the accounting contradicts a run that is being collected, or is late."""
    lines = []
    if view.contradiction:
        lines.append(f"job {view.job.id}: {view.contradiction}")
    if view.unaccounted:
        lines.append(f"{late(view)}; core-hours are missing: collect again later")
    return lines


def _child(view: JobView, parents: str) -> str:
    """Return how a child stands, with its scheduler if that is another, and how it was found."""
    where = f" on {view.scheduler}" if view.scheduler != parents else ""
    how = f"  [{view.how}]" if view.how != How.NOTED else ""
    return f"{_state(view.id + where, view)}{how}"


def _what_to_do(view: View, standing: Standing, job: str) -> list[str]:
    """Return what a person can do about a job that does not start, or of which nothing is known."""
    if standing.advice and standing.state is JobState.PENDING:
        cancel = f"give it up: nbpipe reference cancel {view.run.id}"
        return [f"  {job} may never start: {standing.advice}; {cancel}"]
    if standing.advice:
        return [f"  {job}: {standing.advice}"]
    if standing.state is JobState.UNKNOWN:
        again = f"ask again: nbpipe reference status {view.run.id}"
        return [f"  {job}: nothing is known of it yet; {again}; its output is in {view.run.folder}"]
    return []


def _state(job: str, view: JobView) -> str:
    standing = view.standing
    parts = [f"job {job or '?'}", standing.state.value]
    if standing.reason and standing.reason not in {"None", standing.state.value}:
        parts.append(f"({standing.reason})")
    if view.core_hours is not None and standing.state.ended:
        parts.append(f"{view.core_hours:.3f} core-hours")
    return "  ".join(parts)
