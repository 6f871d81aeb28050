"""The outputs of two runs: which belong together, and how each pair differs.

Where the reference's data are gone, columns are compared by their statistics. If no value moves by
more than the tolerance, then neither do minimum, maximum and mean, and the standard deviation moves
by less than twice of it. So statistics within it prove nothing about the values, but statistics
beyond it prove a difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import (
    ColumnDifference,
    FileComparison,
    RowChange,
    Verdict,
    Worst,
)
from nbpipe.reference.comparison.schemas import keyed_rows, keyword_changes, schema_changes
from nbpipe.reference.manifest import LINK, Output
from nbpipe.reference.products.description import moment
from nbpipe.reference.products.directories import LOCK, directories, members
from nbpipe.reference.products.kinds import kind_of
from nbpipe.reference.products.protocol import (
    KINDS,
    NoLibrary,
    ProductError,
    opened,
    opened_together,
)
from nbpipe.system.files import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbpipe.reference.comparison.model import Tolerance
    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.manifest import Column, Statistics
    from nbpipe.reference.products.protocol import Product


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the files of the two runs are; None where they are gone."""

    old: Path | None
    new: Path | None


def compare_outputs(
    olds: Sequence[Output], news: Sequence[Output], folders: Folders, rules: Rules
) -> tuple[FileComparison, ...]:
    """Compare what two runs left, in the order of the paths."""
    before = {each.path: each for each in olds if not rules.ignores(each.path)}
    after = {each.path: each for each in news if not rules.ignores(each.path)}
    found = []
    for folder, (parts, others) in data_sets(before, after).items():
        if (whole := _data_set(folder, parts, others, folders, rules)) is not None:
            found.append(whole)
            before = {path: each for path, each in before.items() if each not in parts}
            after = {path: each for path, each in after.items() if each not in others}
    for folder, kind in directories((*before, *after)).items():
        sides = [_below(folder, kind, each) for each in (before, after)]
        found.append(_directory(folder, kind, sides, folders, rules))
        before = {path: each for path, each in before.items() if path not in sides[0]}
        after = {path: each for path, each in after.items() if path not in sides[1]}
    found += [
        compare_file(before[path], after[path], folders, rules) for path in before & after.keys()
    ]
    moved = renames(before, after)
    gone = before.keys() - after.keys() - {each.path for each, _ in moved}
    came = after.keys() - before.keys() - {each.path for _, each in moved}
    found += [_renamed(old, new) for old, new in moved]
    found += [_one_side(before[path], Verdict.MISSING) for path in gone]
    found += [_one_side(after[path], Verdict.NEW) for path in came]
    return tuple(sorted(found, key=lambda each: each.path))


def renames(before: dict[str, Output], after: dict[str, Output]) -> list[tuple[Output, Output]]:
    """Return files that are gone and files that came with the same content, pair by pair."""
    new: dict[str, list[Output]] = {}
    for path in sorted(after.keys() - before.keys()):
        each = after[path]
        if each.sha256 and each.bytes:
            new.setdefault(each.sha256, []).append(each)
    pairs: list[tuple[Output, Output]] = []
    for path in sorted(before.keys() - after.keys()):
        same = new.get(before[path].sha256 or "", [])
        pairs += [(before[path], each) for each in same[:1]]
        del same[:1]
    return pairs


def data_sets(
    before: dict[str, Output], after: dict[str, Output]
) -> dict[str, tuple[list[Output], list[Output]]]:
    """Return folder -> its Parquet files on both sides, where the names of their parts differ.

    Spark, Dask and HATS split a table into files with names made up anew each time.
    """
    found = {}
    sides = [_parts_by_folder(each) for each in (before, after)]
    for folder, olds in sides[0].items():
        news = sides[1].get(folder, [])
        if news and {each.path for each in olds} != {each.path for each in news}:
            found[folder] = olds, news
    return found


def _parts_by_folder(outputs: dict[str, Output]) -> dict[str, list[Output]]:
    found: dict[str, list[Output]] = {}
    for path, each in outputs.items():
        where = PurePosixPath(path)
        is_part = where.name.startswith("part") or any(
            "=" in name or name.endswith(".parquet") for name in where.parent.parts
        )
        if each.kind == "parquet" and is_part:
            found.setdefault(str(where.parent), []).append(each)
    return found


def _data_set(
    folder: str, olds: list[Output], news: list[Output], folders: Folders, rules: Rules
) -> FileComparison | None:
    """Compare a data set as the one table that it is; None where it cannot be read as one."""
    files = [
        [_there(folders.old, each) for each in olds],
        [_there(folders.new, each) for each in news],
    ]
    present = [[each for each in side if each is not None] for side in files]
    # With one part missing, the rows that are left would look like a table that lost some.
    if [len(side) for side in present] != [len(olds), len(news)]:
        return None
    made = FileComparison(
        path=folder,
        verdict=Verdict.SAME,
        kind="parquet",
        level="content",
        bytes_reference=sum(each.bytes for each in olds),
        bytes_new=sum(each.bytes for each in news),
        notes=(f"a data set: {len(olds)} files before, {len(news)} now",),
    )
    if sorted(each.sha256 or "" for each in olds) == sorted(each.sha256 or "" for each in news):
        return made
    try:
        with opened_together(present[0]) as old, opened_together(present[1]) as new:
            outputs = [
                Output(path=folder, bytes=0, sha256=None, kind="parquet", parts=each.parts)
                for each in (old, new)
            ]
            return _judged(_compared(replace(made, level="schema"), old, new, outputs, rules))
    except ProductError:
        return None


def _below(folder: str, kind: str, outputs: dict[str, Output]) -> dict[str, Output]:
    """Return the files of a run that belong to a folder which is one product."""
    return {path: outputs[path] for path in members(outputs, {folder: kind})}


def _directory(
    folder: str,
    kind: str,
    sides: Sequence[dict[str, Output]],
    folders: Folders,
    rules: Rules,
) -> FileComparison:
    """Compare a folder as the one product that it is."""
    sizes = [sum(each.bytes for each in side.values()) for side in sides]
    made = FileComparison(
        path=folder,
        verdict=Verdict.SAME,
        kind=kind,
        level="content",
        bytes_reference=sizes[0] if sides[0] else None,
        bytes_new=sizes[1] if sides[1] else None,
    )
    if not all(sides):
        verdict = Verdict.NEW if sides[1] else Verdict.MISSING
        return replace(made, verdict=verdict, level="presence")
    if len({tuple(sorted(_contents(side))) for side in sides}) == 1:
        return made
    roots = []
    for root, side in zip((folders.old, folders.new), sides, strict=True):
        if root is not None and all(_there(root, each) for each in side.values()):
            roots.append(root / folder)
    if len(roots) < len(sides):
        reason = "its files differ, and the data of one side are gone or have changed"
        return replace(made, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    return _opened_directories(made, roots[0], roots[1], rules)


def _contents(side: dict[str, Output]) -> Iterator[tuple[str, str, str]]:
    for path, each in side.items():
        if PurePosixPath(path).name != LOCK:
            yield path, each.sha256 or each.error or "", each.link or ""


def _opened_directories(
    made: FileComparison, before: Path, after: Path, rules: Rules
) -> FileComparison:
    """Compare two folders by the reader of their kind."""
    try:
        with opened(before, made.kind) as old, opened(after, made.kind) as new:
            outputs = [
                Output(path=made.path, bytes=0, sha256=None, kind=made.kind, parts=each.parts)
                for each in (old, new)
            ]
            found = _compared(replace(made, level="schema"), old, new, outputs, rules)
            stored = tuple(_stored_otherwise(old.notes, new.notes))
        return _judged(replace(found, notes=(*found.notes, *stored)))
    except NoLibrary as missing:
        reason = f"its files differ, and it cannot be compared: {missing}"
        return replace(made, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    except (ProductError, OSError) as error:
        reason = f"its files differ, and it cannot be compared: {error}"
        return replace(made, verdict=Verdict.DIFFERENT, reason=reason)


def _stored_otherwise(olds: Sequence[str], news: Sequence[str]) -> Iterator[str]:
    """Yield what is stored in another way, whatever the values are."""
    before = dict(each.partition(": ")[::2] for each in olds)
    for name, now in (each.partition(": ")[::2] for each in news):
        if before.get(name, now) != now:
            yield f"stored otherwise: {name}: {before[name]} became {now}"


def compare_file(old: Output, new: Output, folders: Folders, rules: Rules) -> FileComparison:
    """Compare one file as deep as can be."""
    made = FileComparison(
        path=new.path,
        verdict=Verdict.SAME,
        kind=new.kind,
        level="content",
        bytes_reference=old.bytes,
        bytes_new=new.bytes,
        notes=(*new.notes, *((new.error,) if new.error else ())),
    )
    if (known := _without_reading(old, new)) is not None:
        return replace(made, verdict=known[0], reason=known[1])
    made = replace(
        made,
        level="schema",
        schema=schema_changes(old, new, rules),
        keywords=keyword_changes(old, new, rules),
    )
    if old.kind != new.kind:
        return replace(made, verdict=Verdict.SCHEMA_CHANGED)
    return _judged(_values(made, old, new, folders, rules))


def _without_reading(old: Output, new: Output) -> tuple[Verdict, str] | None:
    """Return the verdict, and why, that takes no look into the files; None where it does."""
    if old.link != new.link:
        names = [f"a link to {each.link}" if each.link else "no link" for each in (old, new)]
        return Verdict.DIFFERENT, f"{names[0]} became {names[1]}"
    if old.kind == new.kind == LINK or (old.sha256 and old.sha256 == new.sha256):
        return Verdict.SAME, ""
    if old.error and not old.parts:
        # Where nothing of either can be read, their bytes are all there is, and they differ.
        neither = bool(old.sha256 and new.sha256 and new.error)
        verdict = Verdict.DIFFERENT if neither else Verdict.NOT_COMPARABLE
        return verdict, f"the reference's file is not described: {old.error}"
    if new.error and not new.parts:
        return Verdict.DIFFERENT, f"it cannot be read: {new.error}"
    if old.kind == new.kind and new.kind not in KINDS:
        return Verdict.DIFFERENT, "its content is different"
    return None


def _values(
    made: FileComparison, old: Output, new: Output, folders: Folders, rules: Rules
) -> FileComparison:
    """Compare the data, or the statistics where the data of one side are gone."""
    files = [_there(folders.old, old), _there(folders.new, new)]
    if files[0] is None or files[1] is None:
        which = "reference" if files[0] is None else "new run"
        return _statistics(made, old, new, rules, f"the {which}'s data are gone or have changed")
    try:
        kinds = [kind_of(each) for each in files if each]
        with opened(files[0], kinds[0]) as before, opened(files[1], kinds[1]) as after:
            # Described afresh: the manifest may come from a machine without the library.
            described = [
                replace(each, parts=product.parts, error=None)
                for each, product in ((old, before), (new, after))
            ]
            return _compared(made, before, after, described, rules)
    except NoLibrary as missing:
        return _statistics(made, old, new, rules, str(missing))
    except (ProductError, OSError) as error:
        reason = f"it cannot be compared: {error}"
        neither = old.error and new.error  # but their bytes differ
        verdict = Verdict.NOT_COMPARABLE if old.error and not neither else Verdict.DIFFERENT
        return replace(made, verdict=verdict, reason=reason)


def _compared(
    made: FileComparison, old: Product, new: Product, described: Sequence[Output], rules: Rules
) -> FileComparison:
    """Return it with what schema, keywords and data have to say."""
    from nbpipe.reference.comparison.data import compare_data  # noqa: PLC0415  (numpy)

    found = compare_data(old, new, made.path, rules)
    return replace(
        made,
        level="data",
        schema=schema_changes(described[0], described[1], rules),
        keywords=keyword_changes(described[0], described[1], rules),
        rows=tuple(found.rows),
        columns=_worst_first(found.columns),
        compared_columns=len(found.columns),
        uncompared=tuple(dict.fromkeys((*old.uncompared, *new.uncompared))),
        notes=(*made.notes, *found.notes),
    )


def _statistics(
    made: FileComparison, old: Output, new: Output, rules: Rules, why: str
) -> FileComparison:
    columns = list(compare_statistics(old, new, rules))
    note = f"{why}: only the statistics were compared"
    if missing := without_statistics(old, rules):
        note = f"{note}; without any: {', '.join(missing[:10])}"
    if not columns:
        reason = f"{why}, and statistics are missing; its content is different"
        return replace(made, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    made = replace(
        made,
        level="statistics",
        rows=tuple(_row_changes(old, new, rules)),
        columns=_worst_first(columns),
        compared_columns=len(columns),
        notes=(*made.notes, note),
    )
    if _judged(made).verdict is Verdict.WITHIN and not _explained(columns):
        # Statistics prove a difference, never that values are the same.
        reason = f"{why}; its bytes differ, and statistics cannot tell whether its values do"
        return replace(made, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    return made


def _explained(columns: Sequence[ColumnDifference]) -> bool:
    """Tell whether a column differs that has a tolerance: bytes may differ then."""
    return any(
        each.verdict is Verdict.WITHIN
        and (each.tolerance.absolute or each.tolerance.relative or each.tolerance.allowed)
        for each in columns
    )


def _row_changes(old: Output, new: Output, rules: Rules) -> Iterator[RowChange]:
    after = {part.name: part for part in new.parts}
    keys = rules.keys(new.path)
    for part in old.parts:
        if (other := after.get(part.name)) is None:
            continue
        rows = keyed_rows(part, keys), keyed_rows(other, keys)
        if rows[0] is not None and rows[1] is not None and rows[0] != rows[1]:
            yield RowChange(part=part.name, reference=rows[0], new=rows[1])


def _judged(made: FileComparison) -> FileComparison:
    """Return it with the verdict that all of it leads to; schema changes come first."""
    if made.reason:
        return made
    if made.schema:
        return replace(made, verdict=Verdict.SCHEMA_CHANGED)
    rows = any(
        each.only_reference or each.only_new or each.reference != each.new for each in made.rows
    )
    verdicts = {each.verdict for each in made.keywords} | {each.verdict for each in made.columns}
    if rows or Verdict.DIFFERENT in verdicts:
        return replace(made, verdict=Verdict.DIFFERENT)
    if made.uncompared:
        # Whether this is what differs cannot be known: it must never pass for the same.
        reason = f"its bytes differ, and not all was compared: {'; '.join(made.uncompared)}"
        return replace(made, verdict=Verdict.DIFFERENT, reason=reason)
    within = made.level == "statistics" or Verdict.WITHIN in verdicts
    return replace(made, verdict=Verdict.WITHIN if within else Verdict.SAME)


def _worst_first(columns: Sequence[ColumnDifference]) -> tuple[ColumnDifference, ...]:
    """Return those that are not the same: beyond first, then by how far beyond."""
    found = [each for each in columns if each.verdict is not Verdict.SAME]
    return tuple(
        sorted(
            found,
            key=lambda each: (
                each.verdict is not Verdict.DIFFERENT,
                -(each.excess or 0),
                -each.beyond,
                -each.differing,
            ),
        )
    )


def _there(folder: Path | None, output: Output) -> Path | None:
    """Return the file where it still is what the manifest says.

    That is by its size and time, or else by its content: in a folder that runs share a later one
    may have written another of the same size.
    """
    if folder is None:
        return None
    file = folder / output.path
    try:
        status = file.stat()
        if status.st_size != output.bytes:
            return None
        known = output.modified in {None, moment(status)}
        return file if known or digest(file) == output.sha256 else None
    except OSError:
        return None


def _renamed(old: Output, new: Output) -> FileComparison:
    return FileComparison(
        path=new.path,
        verdict=Verdict.RENAMED,
        kind=new.kind,
        level="content",
        renamed_from=old.path,
        bytes_reference=old.bytes,
        bytes_new=new.bytes,
    )


def _one_side(output: Output, verdict: Verdict) -> FileComparison:
    missing = verdict is Verdict.MISSING
    return FileComparison(
        path=output.path,
        verdict=verdict,
        kind=output.kind,
        bytes_reference=output.bytes if missing else None,
        bytes_new=None if missing else output.bytes,
        reason=output.error or "",
    )


ROUNDING = 1e-12
"""Relative: sums in another order differ by about this much."""
FIGURES = (("min", 1, 0.0), ("max", 1, 0.0), ("mean", 1, ROUNDING), ("std", 2, ROUNDING))
"""Each with how many tolerances it may move, and its own rounding: two of them are values."""
COUNTS = ("missing", "nan", "infinite")


def compare_statistics(old: Output, new: Output, rules: Rules) -> Iterator[ColumnDifference]:
    """Yield every column of both files that has statistics, with its verdict."""
    parts = {part.name: part for part in new.parts}
    for part in old.parts:
        after = {each.name: each for each in parts[part.name].columns} if part.name in parts else {}
        for column in part.columns:
            other = after.get(column.name)
            if other is None or rules.ignores_column(new.path, part.name, column.name):
                continue
            if column.statistics is None or other.statistics is None:
                continue
            tolerance = rules.tolerance(new.path, part.name, column.name)
            yield _column(part.name, column, column.statistics, other.statistics, tolerance)


def without_statistics(old: Output, rules: Rules) -> list[str]:
    """Return the columns that this level says nothing about."""
    return [
        each.name
        for part in old.parts
        for each in part.columns
        if each.statistics is None and not rules.ignores_column(old.path, part.name, each.name)
    ]


def _column(
    part: str, column: Column, old: Statistics, new: Statistics, tolerance: Tolerance
) -> ColumnDifference:
    found = [*_counts(old, new, tolerance), *_figures(old, new, tolerance)]
    beyond = [worst for worst, ratio in found if ratio > 1]
    finite = [ratio for _, ratio in found if 0 < ratio < float("inf")]
    verdict = Verdict.DIFFERENT if beyond else Verdict.WITHIN if found else Verdict.SAME
    return ColumnDifference(
        part=part,
        column=column.name,
        verdict=verdict,
        level="statistics",
        tolerance=tolerance,
        unit=column.unit,
        compared=new.count,
        excess=max(finite) if finite and (tolerance.absolute or tolerance.relative) else None,
        worst=tuple(beyond),
        note="only the statistics were compared",
    )


def _counts(old: Statistics, new: Statistics, given: Tolerance) -> Iterator[tuple[Worst, float]]:
    """Yield the counts that differ, each with how far beyond what is allowed."""
    if old.count != new.count:
        yield _worst("count", old.count, new.count), float("inf")
    for name in COUNTS:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            room = given.allowed * new.count
            yield _worst(name, before, after), abs(after - before) / room if room else float("inf")


def _figures(old: Statistics, new: Statistics, given: Tolerance) -> Iterator[tuple[Worst, float]]:
    for name, times, rounding in FIGURES:
        before, after = getattr(old, name), getattr(new, name)
        if before is None or after is None:
            if before is not after:
                yield _worst(name, before, after), float("inf")
            continue
        if before == after:
            continue
        scale = max(abs(each or 0) for each in (old.min, old.max, before))
        room = times * (given.absolute + given.relative * scale) + rounding * scale
        # One value alone may be the minimum or maximum: the share says nothing about it.
        free = given.allowed > 0 and name in {"min", "max"}
        ratio = 0.0 if free else abs(after - before) / room if room else float("inf")
        yield _worst(name, before, after), ratio


def _worst(name: str, old: float | None, new: float | None) -> Worst:
    size = None if old is None or new is None else float(abs(new - old))
    texts = ["none" if each is None else f"{each:.17g}" for each in (old, new)]
    return Worst(row=name, reference=texts[0], new=texts[1], difference=size)
