"""The outputs of two runs: which belong together, and how each pair differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import FileComparison, RowChange, Verdict
from nbpipe.reference.comparison.schemas import keyed_rows, keyword_changes, schema_changes
from nbpipe.reference.comparison.summaries import compare_statistics, without_statistics
from nbpipe.reference.products.kinds import kind_of
from nbpipe.reference.products.reading import READERS, NoLibrary, ProductError, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbpipe.reference.comparison.model import ColumnDifference
    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.manifest import Output


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
    found = [
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
    if old.sha256 and old.sha256 == new.sha256:
        return made
    if old.error and not old.parts:
        reason = f"the reference's file is not described: {old.error}"
        return replace(made, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    if new.error and not new.parts:
        return replace(made, verdict=Verdict.DIFFERENT, reason=f"it cannot be read: {new.error}")
    if old.kind == new.kind and new.kind not in {*READERS, "netcdf"}:
        return replace(made, verdict=Verdict.DIFFERENT, reason="its content is different")
    made = replace(
        made,
        level="schema",
        schema=schema_changes(old, new, rules),
        keywords=keyword_changes(old, new, rules),
    )
    if old.kind != new.kind:
        return replace(made, verdict=Verdict.SCHEMA_CHANGED)
    return _judged(_values(made, old, new, folders, rules))


def _values(
    made: FileComparison, old: Output, new: Output, folders: Folders, rules: Rules
) -> FileComparison:
    """Compare the data, or the statistics where the data of one side are gone."""
    files = [_there(folders.old, old), _there(folders.new, new)]
    if files[0] is None or files[1] is None:
        which = "reference" if files[0] is None else "new run"
        return _statistics(made, old, new, rules, f"the {which}'s data are gone or have changed")
    try:
        from nbpipe.reference.comparison.data import compare_data  # noqa: PLC0415  (numpy)

        kinds = [kind_of(each) for each in files if each]
        with opened(files[0], kinds[0]) as before, opened(files[1], kinds[1]) as after:
            # Described afresh: the manifest may come from a machine without the library.
            described = [
                replace(each, parts=product.parts, error=None)
                for each, product in ((old, before), (new, after))
            ]
            made = replace(
                made,
                schema=schema_changes(described[0], described[1], rules),
                keywords=keyword_changes(described[0], described[1], rules),
            )
            found = compare_data(before, after, new.path, rules)
    except NoLibrary as missing:
        return _statistics(made, old, new, rules, str(missing))
    except (ProductError, OSError) as error:
        reason = f"it cannot be compared: {error}"
        verdict = Verdict.NOT_COMPARABLE if old.error else Verdict.DIFFERENT
        return replace(made, verdict=verdict, reason=reason)
    return replace(
        made,
        level="data",
        rows=tuple(found.rows),
        columns=_worst_first(found.columns),
        compared_columns=len(found.columns),
        notes=(*made.notes, *found.notes),
    )


def _statistics(
    made: FileComparison, old: Output, new: Output, rules: Rules, why: str
) -> FileComparison:
    columns = list(compare_statistics(old, new, rules))
    note = f"{why}: only the statistics were compared"
    if missing := without_statistics(old):
        note = f"{note}; without any: {', '.join(missing[:10])}"
    if not columns:
        reason = f"{why}, and there are no statistics; its content is different"
        return replace(made, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    return replace(
        made,
        level="statistics",
        rows=tuple(_row_changes(old, new, rules)),
        columns=_worst_first(columns),
        compared_columns=len(columns),
        notes=(*made.notes, note),
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
    if made.keywords or rows or any(each.verdict is Verdict.DIFFERENT for each in made.columns):
        return replace(made, verdict=Verdict.DIFFERENT)
    within = made.level == "statistics" or any(
        each.verdict is Verdict.WITHIN for each in made.columns
    )
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
    """Return the file where it still is what the manifest says, by its size."""
    if folder is None:
        return None
    file = folder / output.path
    try:
        return file if file.stat().st_size == output.bytes else None
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
