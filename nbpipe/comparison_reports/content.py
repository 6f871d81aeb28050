"""What a page about a comparison says, in the order that a release manager reads.

The verdict; what changed around the run; files that are missing, new or renamed; schemas; values
with the worst column first; performance per step, the queue apart; the notebooks and logs; what
was accepted; the trend; every file. Sections are tables of plain text: the pages only render.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nbpipe.comparison_reports.wording import (
    GONE,
    amount,
    label,
    moment,
    number,
    size,
    text,
    tone,
)
from nbpipe.reference.comparison.model import FAILING, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nbpipe.comparison_reports.wording import Tone
    from nbpipe.reference.comparison.model import (
        ColumnDifference,
        Comparison,
        FileComparison,
        Measure,
        TrendPoint,
    )

SHOWN = 200
"""Rows of a section; the JSON page has all."""
PRESENCE = (Verdict.MISSING, Verdict.NEW, Verdict.RENAMED)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    cells: tuple[str, ...]
    tone: Tone = ""
    link: str = ""
    """The absolute path of the file that the last cell names."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a table, or with lines."""

    key: str
    title: str
    header: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    lines: tuple[str, ...] = ()
    numeric: frozenset[int] = frozenset()
    """Columns of numbers."""
    details: frozenset[int] = frozenset()
    """Columns that a narrow page leaves out."""
    clipped: frozenset[int] = frozenset()
    """Columns of which the beginning is enough where there is no room."""


def sections(comparison: Comparison) -> tuple[Section, ...]:
    """Return the sections that have something to say."""
    folder, comparison = below(comparison)
    every = (
        _runs(comparison, folder),
        _around(comparison),
        _presence(comparison.files),
        _schema(comparison.files),
        _values(comparison.files),
        _worst(comparison.files),
        _keywords(comparison.files),
        _rows(comparison.files),
        _reasons(comparison.files),
        _performance(comparison.performance),
        _queue(comparison.performance),
        _documents(comparison),
        _rules(comparison),
        _accepted(comparison),
        _trend(comparison.trend),
        _files(comparison.files),
        Section("notes", "Notes", lines=tuple(_notes(comparison))),
    )
    return tuple(_shown(each) for each in every if each.rows or each.lines)


def below(comparison: Comparison) -> tuple[str, Comparison]:
    """Return the folder that all files are in ("" for none), and all with their names in it."""
    names = [name for each in comparison.files for name in (each.path, each.renamed_from) if name]
    folder = _common_folder(names)
    if not folder:
        return "", comparison
    start = len(folder) + 1
    files = (
        replace(
            each,
            path=each.path[start:],
            renamed_from=each.renamed_from and each.renamed_from[start:],
        )
        for each in comparison.files
    )
    return folder, replace(comparison, files=tuple(files))


def _common_folder(names: Sequence[str]) -> str:
    """Return the folder that all of several files are in; "" where there is none."""
    parents = {PurePosixPath(name).parent.as_posix() for name in names}
    if len(names) < 2 or any(parent.startswith("/") for parent in parents):  # noqa: PLR2004
        return ""
    return posixpath.commonpath(parents).removeprefix(".")


def _runs(comparison: Comparison, folder: str) -> Section:
    sides = (("reference", comparison.reference), ("new", comparison.new))
    rows = [
        Row(
            (
                name,
                text(label(side)) + (f", revision {side.revision}" if side.revision else ""),
                text(side.run),
                moment(side.created),
                text(side.system or side.host),
                text((side.commit or GONE)[:12]),
            ),
            "bad" if side.states else "",
        )
        for name, side in sides
    ]
    lines = [
        f"{name}: jobs that did not complete: {text(', '.join(side.states))}"
        for name, side in sides
        if side.states
    ]
    if folder:
        lines.append(f"All files are in {text(folder)}/")
    header = ("side", "release", "run", "created", "system", "commit")
    return Section(
        "runs", "The two runs", header, tuple(rows), tuple(lines), details=_set(4), clipped=_set(5)
    )


def _around(comparison: Comparison) -> Section:
    groups = (
        ("package", GONE, comparison.packages),
        ("parameter", "the notebook's own", comparison.parameters),
    )
    rows = [
        Row((what, text(each.name), text(each.reference or absent), text(each.new or absent)))
        for what, absent, changes in groups
        for each in changes
    ]
    header = ("what", "name", "reference", "new")
    return Section("changes", "Changed since the reference", header, tuple(rows))


def _presence(files: Iterable[FileComparison]) -> Section:
    rows = [
        Row(
            (
                each.verdict.value,
                text(each.path),
                text(f"was {each.renamed_from}" if each.renamed_from else each.reason),
                size(each.bytes_reference if each.bytes_new is None else each.bytes_new),
            ),
            tone(each.verdict),
        )
        for verdict in PRESENCE
        for each in files
        if each.verdict is verdict
    ]
    header = ("verdict", "file", "remark", "size")
    return Section("presence", "Files missing, new, renamed", header, tuple(rows), (), _set(3))


def _schema(files: Iterable[FileComparison]) -> Section:
    rows = [
        Row(
            (
                "breaking" if change.breaking else "added",
                text(each.path),
                text(change.part),
                text(change.what),
            ),
            "bad" if change.breaking else "warn",
        )
        for each in files
        for change in sorted(each.schema, key=lambda change: not change.breaking)
    ]
    rows.sort(key=lambda row: row.cells[0] != "breaking")
    header = ("effect", "file", "part", "change")
    return Section("schema", "Schema changes", header, tuple(rows))


def _columns(files: Iterable[FileComparison]) -> list[tuple[FileComparison, ColumnDifference]]:
    found = [(each, column) for each in files for column in each.columns]
    return sorted(
        found,
        key=lambda pair: (
            pair[1].verdict is not Verdict.DIFFERENT,
            -(pair[1].excess or 0),
            -pair[1].beyond,
        ),
    )


def _values(files: Iterable[FileComparison]) -> Section:
    rows = [
        Row(
            (
                column.verdict.value,
                text(file.path),
                text(_name(column)),
                number(column.max),
                number(column.mean),
                number(column.rms),
                GONE if column.excess is None else f"{column.excess:.3g}x",
                _shares(column),
                text(column.note) or _tolerance(column),
            ),
            tone(column.verdict),
        )
        for file, column in _columns(files)
    ]
    header = (
        *("verdict", "file", "column", "max", "mean", "rms", "beyond"),
        *("over 1x / 10x / 100x", "tolerance"),
    )
    numeric = _set(3, 4, 5, 6, 7)
    title = "Values, the worst column first"
    return Section("values", title, header, tuple(rows), (), numeric, details=_set(4, 5, 7))


def _name(column: ColumnDifference) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    return f"{f'{column.part}: ' if column.part else ''}{column.column}{unit}"


def _shares(column: ColumnDifference) -> str:
    if column.level == "statistics" or not column.compared:
        return GONE
    counts = (column.beyond, column.beyond_10, column.beyond_100)
    return " / ".join(f"{100 * each / column.compared:.3g} %" for each in counts)


def _tolerance(column: ColumnDifference) -> str:
    given = column.tolerance
    parts = [
        f"{value:g} {name}"
        for name, value in (("absolute", given.absolute), ("relative", given.relative))
        if value
    ]
    allowed = f", {given.allowed:.3g} of the values may be beyond" if given.allowed else ""
    return (" + ".join(parts) or "exact") + allowed


def _worst(files: Iterable[FileComparison]) -> Section:
    rows = [
        Row(
            (
                text(file.path),
                text(column.column),
                text(worst.row),
                text(worst.reference),
                text(worst.new),
                number(worst.difference),
            )
        )
        for file, column in _columns(files)
        for worst in column.worst[: 3 if column.level == "data" else 9]
    ]
    header = ("file", "column", "row", "reference", "new", "difference")
    return Section("worst", "The worst values", header, tuple(rows[:60]), (), _set(3, 4, 5))


def _keywords(files: Iterable[FileComparison]) -> Section:
    rows = [
        Row(
            (
                text(file.path),
                text(each.part),
                text(each.keyword),
                text(each.reference),
                text(each.new),
            ),
            "bad" if each.verdict is Verdict.DIFFERENT else "",
        )
        for file in files
        for each in file.keywords
    ]
    header = ("file", "part", "keyword", "reference", "new")
    return Section("keywords", "Keywords and attributes", header, tuple(rows))


def _rows(files: Iterable[FileComparison]) -> Section:
    rows = []
    for file in files:
        for each in file.rows:
            same = each.reference == each.new and not (each.only_reference or each.only_new)
            what = "only the order" if same else "; ".join(each.examples)
            counts = (each.reference, each.new, each.only_reference, each.only_new)
            cells = (text(file.path), text(each.part), *(f"{count:,}" for count in counts))
            rows.append(Row((*cells, text(what)), "" if same else "bad"))
    header = ("file", "table", "reference", "new", "gone", "came", "examples")
    return Section("rows", "Rows", header, tuple(rows), (), _set(2, 3, 4, 5), details=_set(6))


def _reasons(files: Iterable[FileComparison]) -> Section:
    rows = [
        Row((each.verdict.value, text(each.path), text(each.reason)), tone(each.verdict))
        for each in files
        if each.reason and each.verdict not in PRESENCE
    ]
    header = ("verdict", "file", "reason")
    return Section("reasons", "Expected, not comparable, and why", header, tuple(rows))


def _performance(measures: Iterable[Measure]) -> Section:
    rows = [_measure(each) for each in measures if each.name != "queue"]
    header = ("verdict", "measure", "step", "reference", "new", "ratio", "allowed")
    title = "Performance against the reference"
    numeric = _set(3, 4, 5)
    return Section("performance", title, header, tuple(rows), (), numeric, clipped=_set(2))


def _queue(measures: Iterable[Measure]) -> Section:
    lines = [
        f"reference {amount(each.reference, each.unit)}, new {amount(each.new, each.unit)}"
        for each in measures
        if each.name == "queue"
    ]
    return Section("queue", "Time in the queue, which is not judged", lines=tuple(lines))


def _measure(each: Measure) -> Row:
    ratio = GONE if each.ratio is None else f"{each.ratio:.2f}x"
    figures = amount(each.reference, each.unit), amount(each.new, each.unit)
    word = each.verdict.value if each.bound or each.verdict is Verdict.NOT_COMPARABLE else ""
    mark = tone(each.verdict) if word else ""
    return Row((word, text(each.name), text(each.title), *figures, ratio, text(each.bound)), mark)


def _documents(comparison: Comparison) -> Section:
    sides = (("reference", comparison.reference), ("new", comparison.new))
    rows = [
        Row((name, what, text(path)), link=f"{side.folder}/{path}" if side.folder else "")
        for name, side in sides
        for what, path in (("executed notebook", side.executed), ("log", side.log))
        if path
    ]
    header = ("side", "document", "path")
    return Section("documents", "Notebooks and logs", header, tuple(rows))


def _rules(comparison: Comparison) -> Section:
    """Return by which rules it was judged, and when: what makes it one verdict for everybody."""
    made = comparison.made
    if made is None:
        return Section("rules", "")
    rows = [_rule("everything", "", made.rules)]
    rows += [_rule("files", ", ".join(each["paths"]), each) for each in made.rules["files"]]
    rows += [
        _rule("columns", f"{', '.join(each['names'])} in {', '.join(each['paths'])}", each)
        for each in made.rules["columns"]
    ]
    where = made.configuration
    source = f"by the rules in {where}" if where else "exactly: no rules are configured"
    lines = (f"Compared on {moment(made.when)}, {text(source)}",)
    header = ("rule for", "which", "absolute", "relative", "allowed", "keys")
    return Section("rules", "How it was compared", header, tuple(rows), lines, _set(2, 3, 4))


def _rule(what: str, which: str, rule: Mapping[str, Any]) -> Row:
    figures = (rule.get(name) for name in ("absolute", "relative", "allowed"))
    keys = ", ".join(rule.get("keys") or ())
    cells = (what, text(which), *(GONE if each is None else f"{each:g}" for each in figures))
    return Row((*cells, text(keys)))


def _accepted(comparison: Comparison) -> Section:
    lines = tuple(text(each) for each in comparison.reference.accepted)
    return Section("accepted", "Accepted into the reference", lines=lines)


def _trend(points: Iterable[TrendPoint]) -> Section:
    rows = [
        Row(
            (
                text(each.label),
                moment(each.created),
                text(each.system),
                amount(each.wall_seconds, "s"),
                amount(each.core_hours, ""),
                size(each.peak_memory_bytes),
            )
        )
        for each in points
    ]
    header = ("release", "created", "system", "wall", "core-hours", "memory")
    found = tuple(rows) if len(rows) > 1 else ()
    return Section("trend", "Over the releases", header, found, (), _set(3, 4, 5))


def _files(files: Iterable[FileComparison]) -> Section:
    rows = [
        Row(
            (
                each.verdict.value,
                text(each.path),
                text(each.kind),
                each.level,
                f"{each.compared_columns}" if each.compared_columns else GONE,
                size(each.bytes_new if each.bytes_new is not None else each.bytes_reference),
            ),
            tone(each.verdict),
        )
        for each in sorted(files, key=lambda each: (each.verdict not in FAILING, each.path))
    ]
    header = ("verdict", "file", "kind", "compared by", "columns", "size")
    return Section("files", "Every file", header, tuple(rows), (), _set(4, 5), details=_set(3, 4))


def _notes(comparison: Comparison) -> Iterator[str]:
    yield from (text(each) for each in comparison.notes)
    for file in comparison.files:
        yield from (f"{text(file.path)}: {text(note)}" for note in file.notes)


def _shown(section: Section) -> Section:
    """Return a section with no more rows than a page takes."""
    more = len(section.rows) - SHOWN
    if more <= 0:
        return section
    lines = (*section.lines, f"and {more:,} more: the JSON page has all")
    return replace(section, rows=section.rows[:SHOWN], lines=lines)


def _set(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)
