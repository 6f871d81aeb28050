"""The data of two files: rows paired by keys or in order, every column against its tolerance.

Blocks of rows are read from both files at the same time. Where keys say that the order differs,
the new file's rows are looked up: directly where the format can, otherwise one column at a time
is held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbpipe.reference.comparison.model import RowChange
from nbpipe.reference.comparison.schemas import keyed_rows, row_shape
from nbpipe.reference.products.protocol import Values, guarded, rows_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nbpipe.reference.comparison.differences import Differences
    from nbpipe.reference.comparison.joins import Join
    from nbpipe.reference.comparison.model import ColumnDifference
    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.manifest import Column, Part
    from nbpipe.reference.products.protocol import Product

EXAMPLES = 5
"""Rows that are named of those that came or went."""

Block = dict[str, Values]


@dataclass(slots=True)
class DataComparison:
    """What the data of two files have to say."""

    columns: list[ColumnDifference] = field(default_factory=list)
    rows: list[RowChange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare_data(old: Product, new: Product, path: str, rules: Rules) -> DataComparison:
    """Compare every part that both files have.

    Raises:
        ProductError: One of them is damaged.
    """
    found = DataComparison()
    parts = {part.name: part for part in new.parts}
    with guarded():
        for part in old.parts:
            if (other := parts.get(part.name)) is not None and other.form == part.form:
                _Sides(old, new, part, other, path, rules, found).compare()
    return found


@dataclass(frozen=True, slots=True)
class _Sides:
    """One part of the two files."""

    old: Product
    new: Product
    part: Part
    other: Part
    path: str
    rules: Rules
    found: DataComparison

    def compare(self) -> None:
        """Compare the columns, those with rows of their own apart from the others."""
        keys = self._keys()
        together: list[Column] = []
        alone: list[Column] = []
        for column in self._common(keys):
            rows = keyed_rows(self.part, keys)
            in_rows = self.part.form == "table" or (rows and column.shape[:1] == (rows,))
            (together if in_rows else alone).append(column)
        if together:
            self._rows(together, keys)
        for column in alone:
            self._run([column], None, keys=())

    def _keys(self) -> tuple[str, ...]:
        """Return the keys, where both sides have all of them."""
        keys = self.rules.keys(self.path)
        sides = [{each.name for each in part.columns} for part in (self.part, self.other)]
        return keys if keys and all(side >= set(keys) for side in sides) else ()

    def _common(self, keys: tuple[str, ...]) -> Iterator[Column]:
        after = {each.name: each for each in self.other.columns}
        for column in self.part.columns:
            other = after.get(column.name)
            if other is None or self.rules.ignores_column(self.path, self.part.name, column.name):
                continue
            if row_shape(self.part, column, keys) != row_shape(self.other, other, keys):
                continue
            if self.old.rows(self.part, column) or self.new.rows(self.other, other):
                yield column

    def _rows(self, columns: list[Column], keys: tuple[str, ...]) -> None:
        """Compare columns that share their rows, and the rows themselves."""
        counts = [keyed_rows(part, keys) or 0 for part in (self.part, self.other)]
        if not keys:
            if counts[0] != counts[1]:
                change = RowChange(part=self.part.name, reference=counts[0], new=counts[1])
                self.found.rows.append(change)
                if not self.rules.keys(self.path):
                    self.found.notes.append(
                        f"{self.part.name}: without keys, row by row as far as both go".lstrip(": ")
                    )
            self._run(columns, None, keys)
            return
        from nbpipe.reference.comparison.joins import join  # noqa: PLC0415  (numpy)

        old = _whole(self.old, self.part, keys)
        new = _whole(self.new, self.other, keys)
        pairs = join([old[key].data for key in keys], [new[key].data for key in keys])
        self._tell(pairs, counts, old, new, keys)
        # Rows that are paired have the same keys: nothing to compare.
        rest = [each for each in columns if each.name not in keys]
        self._run(rest, pairs, keys, old)

    def _tell(
        self, pairs: Join, counts: list[int], old: Block, new: Block, keys: tuple[str, ...]
    ) -> None:
        if pairs.repeated:
            self.found.notes.append(
                f"{self.part.name}: {pairs.repeated:,} rows repeat the keys of another; "
                "they are paired in their order".lstrip(": ")
            )
        gone, came = pairs.only_old, pairs.only_new
        if not (len(gone) or len(came) or pairs.reordered):
            return
        examples = [f"gone: {_label(old, keys, int(each))}" for each in gone[:EXAMPLES]]
        examples += [f"new: {_label(new, keys, int(each))}" for each in came[:EXAMPLES]]
        self.found.rows.append(
            RowChange(
                part=self.part.name,
                reference=counts[0],
                new=counts[1],
                only_reference=len(gone),
                only_new=len(came),
                examples=tuple(examples),
                reordered=pairs.reordered,
            )
        )

    def _run(
        self,
        columns: Sequence[Column],
        pairs: Join | None,
        keys: tuple[str, ...],
        labels: Block | None = None,
    ) -> None:
        """Compare columns, all at once or one by one where the new rows must be held."""
        from nbpipe.reference.comparison.differences import Differences  # noqa: PLC0415

        if not columns:
            return
        seen = {
            each.name: Differences(
                self.part.name,
                each.name,
                self.rules.tolerance(self.path, self.part.name, each.name),
                each.unit,
            )
            for each in columns
        }
        rows = rows_at_once(columns, whole=self.part.form != "table")
        if pairs is None or pairs.partner is None:
            self._in_order(seen, rows, labels, keys)
        else:
            self._looked_up(seen, rows, pairs, labels or {}, keys)
        self.found.columns += [each.result() for each in seen.values()]

    def _in_order(
        self,
        seen: dict[str, Differences],
        rows: int,
        labels: Block | None,
        keys: tuple[str, ...],
    ) -> None:
        start, names = 0, list(seen)
        olds = self.old.blocks(self.part, names, rows)
        news = self.new.blocks(self.other, names, rows)
        for old, new in aligned(olds, news):
            for name, each in seen.items():
                each.add(old[name], new[name], _namer(start, labels, keys))
            start += len(old[names[0]].data)

    def _looked_up(
        self,
        seen: dict[str, Differences],
        rows: int,
        pairs: Join,
        labels: Block,
        keys: tuple[str, ...],
    ) -> None:
        import numpy as np  # noqa: PLC0415

        names = list(seen)
        direct = self.new.take(self.other, names[:1], np.zeros(0, np.int64)) is not None
        for group in [names] if direct else [[name] for name in names]:
            held = None if direct else _whole(self.new, self.other, group)
            start = 0
            for block in self.old.blocks(self.part, group, rows):
                size = len(block[group[0]].data)
                assert pairs.partner is not None  # noqa: S101  (the caller's condition)
                partner = pairs.partner[start : start + size]
                here = np.flatnonzero(partner >= 0)
                new = self._taken(held, group, partner[here])
                for name in group:
                    old = block[name] if len(here) == size else _taken(block[name], here)
                    seen[name].add(old, new[name], _namer(start, labels, keys, here))
                start += size

    def _taken(self, held: Block | None, names: Sequence[str], rows: Any) -> Block:  # noqa: ANN401
        if held is not None:
            return {name: _taken(held[name], rows) for name in names}
        return self.new.take(self.other, names, rows) or {}


def aligned(olds: Iterator[Block], news: Iterator[Block]) -> Iterator[tuple[Block, Block]]:
    """Yield blocks of equal length, as far as both sides go."""
    old: Block | None = next(olds, None)
    new: Block | None = next(news, None)
    while old is not None and new is not None:
        sizes = [_size(each) for each in (old, new)]
        size = min(sizes)
        if size:
            yield _cut(old, 0, size), _cut(new, 0, size)
        old = _cut(old, size, sizes[0]) if size < sizes[0] else next(olds, None)
        new = _cut(new, size, sizes[1]) if size < sizes[1] else next(news, None)


def _size(block: Block) -> int:
    return len(next(iter(block.values())).data)


def _cut(block: Block, start: int, end: int) -> Block:
    if start == 0 and end == _size(block):
        return block
    return {name: _taken(each, slice(start, end)) for name, each in block.items()}


def _taken(values: Values, rows: Any) -> Values:  # noqa: ANN401  (a slice or an index)
    missing = None if values.missing is None else values.missing[rows]
    return Values(values.data[rows], missing)


def _whole(product: Product, part: Part, names: Sequence[str]) -> Block:
    """Return whole columns."""
    import numpy as np  # noqa: PLC0415

    columns = [each for each in part.columns if each.name in names]
    rows = rows_at_once(columns, whole=part.form != "table")
    blocks = list(product.blocks(part, names, rows))
    found = {}
    for name in names:
        pieces = [block[name] for block in blocks]
        if not pieces:
            found[name] = Values(np.zeros(0, np.int64))
            continue
        data = np.concatenate([each.data for each in pieces])
        gone = None
        if any(each.missing is not None for each in pieces):
            gone = np.concatenate(
                [
                    np.zeros(each.data.shape, bool) if each.missing is None else each.missing
                    for each in pieces
                ]
            )
        found[name] = Values(data, gone)
    return found


def _namer(
    start: int,
    labels: Block | None,
    keys: tuple[str, ...],
    here: Any = None,  # noqa: ANN401
) -> Callable[[int], str]:
    """Return what names a row of the block that begins at `start`."""

    def name(row: int) -> str:
        place = start + (row if here is None else int(here[row]))
        return f"row {place}" if labels is None else _label(labels, keys, place)

    return name


def _label(labels: Block, keys: tuple[str, ...], row: int) -> str:
    from nbpipe.reference.comparison.differences import text_of  # noqa: PLC0415

    return ", ".join(f"{key}={text_of(labels[key].data[row])}" for key in keys)
