"""The schemas of two files: what came, went or became something else; pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.reference.comparison.model import KeywordChange, SchemaChange, Verdict, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nbpipe.reference.comparison.model import Tolerance
    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.manifest import Column, Output, Part, Value

ABSENT = "(absent)"
ABOUT = "comment of "
"""What the comment of a keyword is called; ignored with the keyword."""
EMPTY = "empty"
"""The type of a column of a text without any value: it could be of any."""


def schema_changes(old: Output, new: Output, rules: Rules) -> tuple[SchemaChange, ...]:
    """Return how the structure of a file changed."""
    if old.kind != new.kind:
        return (SchemaChange(part="", what=f"{old.kind} became {new.kind}", breaking=True),)
    return tuple(_parts(old, new, rules))


def keyword_changes(old: Output, new: Output, rules: Rules) -> tuple[KeywordChange, ...]:
    """Return which keywords and attributes changed, those that are not compared left out."""
    before = {part.name: part for part in old.parts}
    changes: list[KeywordChange] = []
    for part in new.parts:
        if (was := before.get(part.name)) is None:
            continue
        path = new.path
        changes += _keywords(path, part.name, "", was.attributes, part.attributes, rules)
        columns = {each.name: each for each in was.columns}
        for column in part.columns:
            if column.name in columns and not rules.ignores_column(path, part.name, column.name):
                sides = columns[column.name].attributes, column.attributes
                changes += _keywords(path, part.name, column.name, *sides, rules)
    return tuple(changes)


def keyed_rows(part: Part, keys: tuple[str, ...]) -> int | None:
    """Return the rows of a table, or of a group's columns that a key names; None where none."""
    columns = {each.name: each for each in part.columns}
    if part.form == "table":
        return part.rows
    if part.form != "group" or not keys or not columns.keys() >= set(keys):
        return None
    shapes = {columns[key].shape for key in keys}
    return next(iter(shapes))[0] if len(shapes) == 1 and len(next(iter(shapes))) == 1 else None


def row_shape(part: Part, column: Column, keys: tuple[str, ...]) -> tuple[int, ...]:
    """Return the shape that may not change: without the rows where they are counted apart."""
    rows = None if part.form == "table" else keyed_rows(part, keys)
    return column.shape[1:] if rows is not None and column.shape[:1] == (rows,) else column.shape


def _parts(old: Output, new: Output, rules: Rules) -> Iterator[SchemaChange]:
    before = {part.name: part for part in old.parts}
    after = {part.name: part for part in new.parts}
    for name, part in before.items():
        if name not in after:
            yield SchemaChange(part=name, what=f"{part.form} {name} is gone", breaking=True)
        elif after[name].form != part.form:
            what = f"{part.form} became {after[name].form}"
            yield SchemaChange(part=name, what=what, breaking=True)
        else:
            yield from _columns(new.path, part, after[name], rules)
    for name, part in after.items():
        if name not in before:
            yield SchemaChange(part=name, what=f"{part.form} {name} is new", breaking=False)
    if _reordered(before, after):
        yield SchemaChange(part="", what="its parts are in another order", breaking=True)


def _columns(path: str, old: Part, new: Part, rules: Rules) -> Iterator[SchemaChange]:
    before = {each.name: each for each in old.columns}
    after = {each.name: each for each in new.columns}
    keys = rules.keys(path)
    for name, column in before.items():
        if rules.ignores_column(path, old.name, name):
            continue
        if name not in after:
            yield SchemaChange(part=old.name, what=f"column {name} is gone", breaking=True)
            continue
        shapes = row_shape(old, column, keys), row_shape(new, after[name], keys)
        for what in _column(column, after[name], shapes):
            yield SchemaChange(part=old.name, what=f"column {name}: {what}", breaking=True)
    for name, column in after.items():
        if name not in before and not rules.ignores_column(path, new.name, name):
            what = f"column {name} is new ({column.dtype})"
            yield SchemaChange(part=new.name, what=what, breaking=False)
    if new.form == "table" and _reordered(before, after):
        # Who reads columns by their number finds others.
        what = "its columns are in another order"
        yield SchemaChange(part=new.name, what=what, breaking=True)


def _reordered(before: Iterable[str], after: Iterable[str]) -> bool:
    """Tell whether the names that both sides have are in another order."""
    olds, news = list(before), list(after)
    common = set(olds) & set(news)
    return [each for each in olds if each in common] != [each for each in news if each in common]


def _column(
    old: Column, new: Column, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> Iterator[str]:
    if old.dtype != new.dtype and EMPTY not in {old.dtype, new.dtype}:
        yield f"{old.dtype} became {new.dtype}"
    if old.unit != new.unit:
        yield f"unit {old.unit or 'none'} became {new.unit or 'none'}"
    if shapes[0] != shapes[1]:
        yield f"shape {_shape(shapes[0])} became {_shape(shapes[1])}"
    if old.dimensions != new.dimensions:
        names = [", ".join(each) or "none" for each in (old.dimensions, new.dimensions)]
        yield f"dimensions {names[0]} became {names[1]}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "single"


def _keywords(  # noqa: PLR0913, PLR0917  (where, and the two sides)
    path: str,
    part: str,
    column: str,
    old: Mapping[str, Value],
    new: Mapping[str, Value],
    rules: Rules,
) -> Iterator[KeywordChange]:
    for name in (*old, *(each for each in new if each not in old)):
        texts = [shown(side[name]) if name in side else ABSENT for side in (old, new)]
        if texts[0] == texts[1] and _alike(old.get(name), new.get(name)):
            continue
        if rules.ignores_keyword(path, name.removeprefix(ABOUT)):
            continue
        within = (
            name in old
            and name in new
            and _is_within(old[name], new[name], rules.tolerance(path, part, name))
        )
        yield KeywordChange(
            part=part,
            keyword=f"{column} {name}" if column else name,
            reference=texts[0],
            new=texts[1],
            verdict=Verdict.WITHIN if within else Verdict.DIFFERENT,
        )


def _alike(old: Value, new: Value) -> bool:
    """Tell whether both are texts, or neither is: `1` is not `"1"`."""
    return isinstance(old, str) == isinstance(new, str)


def _is_within(old: Value, new: Value, tolerance: Tolerance) -> bool:
    """Tell whether both are numbers, or arrays of numbers, that the tolerance allows to differ."""
    if not (tolerance.absolute or tolerance.relative):
        return False
    before, after = _numbers(old), _numbers(new)
    if before is None or after is None or len(before) != len(after):
        return False
    return all(
        a == b or abs(a - b) <= tolerance.absolute + tolerance.relative * abs(a)
        for a, b in zip(before, after, strict=True)
    )


def _numbers(value: Value) -> list[float] | None:
    """Return the numbers that a keyword holds; None where it holds anything else."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return [float(each) for each in value.replace("[", " ").replace("]", " ").split(",")]
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return [float(value)]
    except OverflowError:
        return None
