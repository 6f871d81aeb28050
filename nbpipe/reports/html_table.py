"""A run inside Jupyter: the coloured PASS/FAIL matrix, and the failures by cause.

HTML without scripts and without anything from elsewhere; every style stands in the element, so
that a saved notebook shows the same. Colours are half transparent on the page's own, and text
keeps the page's colour: readable in light and dark themes. Links are relative to the notebook, as
JupyterLab opens them.
"""

from __future__ import annotations

import html
import os
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from nbpipe.model import Outcome
from nbpipe.reports.excerpt import excerpt
from nbpipe.reports.groups import by_cause, cause, error, with_category
from nbpipe.system.text import cut, first_line, plain, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nbpipe.model import Excluded, Progress, Result, Task
    from nbpipe.reports.groups import Group

COLORS = {
    Outcome.PASSED: "46, 160, 67",
    Outcome.FAILED: "218, 54, 51",
    Outcome.FLAKY: "210, 153, 34",
    Outcome.SKIPPED: "128, 128, 128",
}
RUNNING = "56, 139, 253"
PLANNED = "128, 128, 128"
TRACEBACK_LIMIT = 20_000
"""Characters of one traceback that are put into the page."""
SHOWN_PATHS = 100
SHOWN_ROWS, SHOWN_LIVE = 200, 50
"""Rows of notebooks that passed, are skipped or planned, at the end and while the run goes on; of
those that failed or run five times as many are shown. Jupyter's server drops what is too large
(`iopub_data_rate_limit`, 1 MB a second)."""

T = TypeVar("T")

_UNSEEN = (
    "not in Jupyter's file browser; a folder beside the notebook is:"
    " <code>output_dir=&quot;results&quot;</code>"
)
_KINDS = {"html": "HTML", "json": "JSON", "junit": "JUnit", "markdown": "Markdown"}
_CELL = "text-align:left;padding:2px 10px;vertical-align:top"
_TABLE = "table-layout:auto;border-collapse:collapse;color:inherit"
_NUMBER = "text-align:right;padding:2px 10px;vertical-align:top;white-space:nowrap"
_WHY = "margin-left:1em;overflow-wrap:anywhere"
_PRE = (
    "margin:4px 0;padding:6px 10px;overflow:auto;max-height:30em;color:inherit;"
    "background:rgba(128,128,128,0.12);white-space:pre"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileBrowser:
    """What Jupyter can open from a notebook, and by which links."""

    folder: Path
    """The notebook's, as Jupyter names it."""
    cwd: Path
    """The same with no symbolic link in its path."""
    root: Path
    """The top folder that Jupyter shows; the notebook's own where that is not known."""

    def link(self, path: Path) -> str | None:
        """Return a link to a file, relative to the notebook; None where Jupyter would not open it.

        It does not give hidden files, nor what lies outside of its root.
        """
        relative = os.path.relpath(path, self.cwd if path.is_relative_to(self.cwd) else self.folder)
        named = Path(os.path.normpath(self.folder / relative))
        if not named.is_relative_to(self.root):
            return None
        if any(part.startswith(".") for part in named.relative_to(self.root).parts):
            return None
        return quote(relative.encode(errors="surrogateescape"), safe="/")


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A run at some moment, as the matrix shows it."""

    results: Sequence[Result] = ()
    excluded: Sequence[Excluded] = ()
    running: Sequence[tuple[Progress, float]] = ()
    """What runs, and for how many seconds."""
    planned: Sequence[Task] = ()
    """What has not started, in the order of the plan."""
    seconds: float | None = None
    """That the run has taken; None: not shown."""
    moment: str = ""
    """The time of day, while the run goes on: in a notebook that was saved meanwhile it stays."""
    headline: str = ""
    """What ended the run, where it did not get to its end."""
    folder: Path | None = None
    """Where executed copies and logs are."""
    browser: FileBrowser | None = None
    """What can be linked; None: nothing."""
    reports: Sequence[tuple[str, Path]] = field(default=())
    """The kinds of reports that were written, and where."""

    def link(self, path: Path) -> str | None:
        """Return a link to a file; None where the notebook has none to it."""
        return None if self.browser is None else self.browser.link(path)

    @property
    def has_files(self) -> bool:
        """Whether executed copies and logs can be opened from the notebook."""
        return self.folder is not None and self.link(self.folder) is not None


def table(state: State) -> str:
    """Return the matrix: a row for each notebook, the totals above it."""
    columns = [
        *(("Outcome", _CELL), ("Notebook", _CELL), ("Kernel", _CELL)),
        *(("Cells", _NUMBER), ("Time", _NUMBER), ("Files", _CELL)),
    ]
    head = "".join(
        f'<th scope="col" style="{style}">{name}</th>'
        for name, style in columns
        if name != "Files" or state.has_files
    )
    return (
        f'<div class="nbpipe"><p>{_totals(state)}</p>'
        '<div style="overflow-x:auto">'
        f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(_rows(state))}</tbody></table></div>"
        f"{_where(state)}{_excluded(state.excluded)}</div>"
    )


def failures(results: Iterable[Result]) -> str:
    """Return the failed notebooks grouped by cause, each with its traceback to unfold."""
    groups = by_cause(results)
    if not groups:
        return '<div class="nbpipe"><p>No notebook failed.</p></div>'
    return f'<div class="nbpipe">{"".join(_group(group) for group in groups)}</div>'


def _rows(state: State) -> Iterable[str]:
    """Yield what runs, then what did not pass, then the others; all in the order of the plan."""
    bad = [each for each in state.results if each.outcome in {Outcome.FAILED, Outcome.FLAKY}]
    good = [each for each in state.results if each.outcome not in {Outcome.FAILED, Outcome.FLAKY}]
    limit = SHOWN_LIVE if state.moment else SHOWN_ROWS
    yield from _some(state.running, partial(_running, state=state), 5 * limit)
    yield from _some(bad, partial(_row, state=state), 5 * limit)
    yield from _some(good, partial(_row, state=state), limit)
    yield from _some(state.planned, partial(_planned, state=state), limit)


def _some(members: Sequence[T], row: Callable[[T], str], limit: int) -> Iterable[str]:
    """Yield the rows of the first members, and how many more there are."""
    yield from map(row, members[:limit])
    if (more := len(members) - limit) > 0:
        yield f'<tr><td colspan="6" style="{_CELL}">and {more:,} more</td></tr>'


def _row(result: Result, state: State) -> str:
    why = first_line(result.reason or "")
    if (failure := result.failure) is not None:
        where = "" if failure.cell is None else f" in cells[{failure.cell}]"
        why = f"{with_category(cause(failure), failure.category.value)}{where}"
    why = "; ".join([why, *result.notes] if why else result.notes)
    if result.outcome is Outcome.FLAKY:
        why = f"passed at attempt {result.attempts}, after {why}"
    cells, took = f"{result.cells_executed}/{result.cells_total}", duration(result.seconds)
    if result.outcome is Outcome.SKIPPED and not result.seconds:  # it never started
        cells, took = "", ""
    texts = (result.path, result.kernel, cells, took, why)
    word = result.outcome.value.upper()
    return _line(word, COLORS[result.outcome], texts, _files(result, state))


def _running(running: tuple[Progress, float], state: State) -> str:
    progress, seconds = running
    task = progress.task
    cells = f"{progress.cell}/{progress.cells}" if progress.cell else "starting"
    why = f"attempt {progress.attempt}" if progress.attempt > 1 else ""
    texts = (task.path, task.kernel, cells, duration(seconds), why)
    return _line("RUNNING", RUNNING, texts, "" if state.has_files else None)


def _planned(task: Task, state: State) -> str:
    texts = (task.path, task.kernel, "", "", task.because)
    return _line("PLANNED", PLANNED, texts, "" if state.has_files else None)


def _line(word: str, color: str, texts: tuple[str, str, str, str, str], files: str | None) -> str:
    """Return a row; without files (None) it has no column for them."""
    path, kernel, cells, took, why = map(_escaped, texts)
    named = f'<span title="{path}">{_name(texts[0])}</span>'  # whole, for programs that look for it
    told = f'<div style="{_WHY}">{why}</div>' if why else ""
    badge = f"{_CELL};background:rgba({color},0.35);font-weight:bold"
    columns = (
        (badge, word),
        (f"{_CELL};min-width:12em", f"{named}{told}"),
        (f"{_CELL};white-space:nowrap", kernel),
        (_NUMBER, cells),
        (_NUMBER, took),
        (f"{_CELL};white-space:nowrap", files),
    )
    inside = "".join(
        f'<td style="{style}">{text}</td>' for style, text in columns if text is not None
    )
    return f'<tr style="color:inherit;background:rgba({color},0.10)">{inside}</tr>'


def _files(result: Result, state: State) -> str | None:
    """Return links to the executed copy and the log; None where there are none at all."""
    if state.folder is None or not state.has_files:
        return None
    found = (("copy", result.executed), ("log", result.log))
    addresses = [(word, state.link(state.folder / name)) for word, name in found if name]
    return " · ".join(
        f'<a href="{html.escape(address)}" title="{_escaped(f"{word} of {result.path}")}">'
        f"{word}</a>"
        for word, address in addresses
        if address
    )


def _where(state: State) -> str:
    """Return where the files are, with the reports."""
    if state.folder is None:
        return ""
    place = f"Executed copies and logs: <code>{_escaped(str(state.folder))}</code>"
    if state.browser is not None and not state.has_files:
        place += f" ({_UNSEEN})"
    parts = [place]
    for kind, path in state.reports:
        file = path / "index.html" if kind == "html" else path
        address = state.link(file)
        name = _escaped(str(file))
        found = (
            f'<a href="{html.escape(address)}">{name}</a>' if address else f"<code>{name}</code>"
        )
        parts.append(f"{_escaped(_KINDS.get(kind, kind))} report: {found}")
    return f'<p style="overflow-wrap:anywhere">{"<br>".join(parts)}</p>'


def _totals(state: State) -> str:
    counts: list[tuple[int, str, str]] = [
        (sum(each.outcome is outcome for each in state.results), outcome.value, COLORS[outcome])
        for outcome in Outcome
    ]
    counts += [
        (len(state.running), "running", RUNNING),
        (len(state.planned), "planned", PLANNED),
    ]
    told = ", ".join(
        f'<span style="padding:1px 6px;background:rgba({color},0.35)">{number:,} {word}</span>'
        for number, word, color in counts
        if number
    )
    total = len(state.results) + len(state.running) + len(state.planned)
    parts = [f"<b>{_escaped(state.headline)}</b>"] if state.headline else []
    if state.running or state.planned:
        parts.append(f"{len(state.results):,} of {count(total, 'notebook')} done")
    parts.append(told or "No notebook has finished.")
    if state.seconds is not None:
        parts.append(duration(state.seconds))
    if state.moment:
        parts.append(f"as of {_escaped(state.moment)}")
    return " · ".join(parts)


def _excluded(excluded: Sequence[Excluded]) -> str:
    if not excluded:
        return ""
    shown = excluded[:SHOWN_ROWS]
    items = "".join(f"<li>{_escaped(each.path)}: {_escaped(each.reason)}</li>" for each in shown)
    if (more := len(excluded) - SHOWN_ROWS) > 0:
        items += f"<li>and {more:,} more</li>"
    return _unfold(f"{count(len(excluded), 'notebook')} excluded", f"<ul>{items}</ul>")


def _group(group: Group) -> str:
    number = count(len(group.results), "notebook")
    title = f"{number}: {with_category(group.title, group.category)}"
    parts = [_failure(result) for result in group.results[:SHOWN_PATHS]]
    if (more := len(group.results) - SHOWN_PATHS) > 0:
        parts.append(f"<p>and {more:,} more</p>")
    style = "font-weight:bold;margin:1em 0 0.3em;overflow-wrap:anywhere"
    return f'<p style="{style}">{_escaped(title)}</p>{"".join(parts)}'


def _failure(result: Result) -> str:
    blocks = []
    for failure in result.failures:
        lines = "\n".join(
            f"{'>' if line.failing else ' '}{line.number:4} {line.text}"
            for line in excerpt(failure.source, failure.traceback)
        )
        text = failure.traceback.strip("\n") or error(failure)
        blocks += [_pre(each) for each in (lines, cut(plain(text), TRACEBACK_LIMIT)) if each]
    where = ""
    if result.failure and result.failure.cell is not None:
        where = f" cells[{result.failure.cell}]"
    return _unfold(f"{plain_name(result.path)}{where}", "".join(blocks))


def _pre(text: str) -> str:
    return f'<pre style="{_PRE}">{html.escape(text)}</pre>'


def _unfold(title: str, inside: str) -> str:
    return f"<details><summary>{_escaped(title)}</summary>{inside}</details>"


def _name(path: str) -> str:
    """Return a path that goes on in another line after `/`, `_` and `-` only."""
    return re.sub("(?<=[/_-])(?=.)", "<wbr>", _escaped(path))


def _escaped(text: str) -> str:
    return html.escape(plain_name(text))
