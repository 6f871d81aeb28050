"""VOTable: the tables of a query. Imports astropy; see `reading`.

Source of the format: IVOA's VOTable 1.4.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.votable import parse

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import HeldProduct, dtype_of
from nbpipe.reference.products.reading import Values
from nbpipe.reference.products.types import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbpipe.reference.manifest import Value
    from nbpipe.reference.products.reading import Product


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Read all tables."""
    document = parse(str(file), verify="ignore")
    content = [_about(document)]
    content += [_table(number, each) for number, each in enumerate(document.iter_tables())]
    yield HeldProduct(kind, content)


def _about(document: Any) -> tuple[Part, dict[str, Values]]:  # noqa: ANN401  (no types)
    found: dict[str, Value] = {}
    for number, resource in enumerate(document.resources):
        for info in (*document.infos, *resource.infos):
            found[f"INFO {info.name}"] = plain_value(info.value)
        for each in resource.params:
            found[f"PARAM {each.name}"] = plain_value(each.value)
        found[f"RESOURCE {number}"] = f"{resource.type} {resource.name or ''}".strip()
        if resource.description:
            found[f"DESCRIPTION {number}"] = plain_value(str(resource.description))
    return Part(name="", form="group", attributes=found), {}


def _table(number: int, table: Any) -> tuple[Part, dict[str, Values]]:  # noqa: ANN401
    name = table.name or table.ID or f"table {number}"
    columns, values = [], {}
    for field in table.fields:
        held = _values(table.array[field.ID or field.name])
        shape = held.data.shape[1:]
        attributes = {
            key: str(value)
            for key in ("ucd", "utype", "xtype", "ref")
            if (value := getattr(field, key, None))
        }
        columns.append(
            Column(
                name=field.name,
                dtype=_type(held),
                unit=None if field.unit is None else str(field.unit),
                shape=shape,
                attributes=dict(attributes),
            )
        )
        values[field.name] = held
    params: dict[str, Value] = {
        f"PARAM {each.name}": plain_value(each.value) for each in table.params
    }
    part = Part(
        name=name,
        form="table",
        rows=len(table.array),
        columns=tuple(columns),
        attributes=params,
    )
    return part, values


def _values(column: Any) -> Values:  # noqa: ANN401  (a masked array)
    data = np.ma.getdata(column)
    missing = np.ma.getmaskarray(column)
    if data.dtype.kind != "O":
        native = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
        return Values(native, missing if missing.any() else None)
    rows = np.empty(len(data), dtype=object)
    rows[:] = [np.ma.getdata(each) if isinstance(each, np.ndarray) else each for each in data]
    gone = np.array([bool(np.all(each)) for each in missing]) if missing.any() else None
    return Values(rows, gone)


def _type(values: Values) -> str:
    if values.data.dtype.kind != "O":
        return dtype_of(values.data)
    lists = [each for each in values.data if isinstance(each, np.ndarray)]
    return f"list of {lists[0].dtype.name}" if lists else dtype_of(values.data)
