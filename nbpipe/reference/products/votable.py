"""VOTable: the tables of a query. Imports astropy; see `protocol`.

Source of the format: IVOA's VOTable 1.4.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
from astropy.io.votable import parse

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import HeldProduct, dtype_of
from nbpipe.reference.products.protocol import Values
from nbpipe.reference.products.types import cut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbpipe.reference.manifest import Value
    from nbpipe.reference.products.protocol import Product


FRACTIONS = frozenset({"float", "double"})
NUMBERS = FRACTIONS | {"short", "int", "long", "unsignedByte"}
IN_SCHEMA = {"FIELD": ("name", "unit"), "VOTABLE": ("version",), "TABLE": ("nrows",)}
"""Attributes that columns have of their own, or that change with the writing library."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Read all tables."""
    document = parse(str(file), verify="ignore")
    said = Part(name="", form="group", attributes=_said(file))
    content: list[tuple[Part, dict[str, Values]]] = [(said, {})]
    names: dict[str, int] = {}
    for number, each in enumerate(document.iter_tables()):
        name = each.name or each.ID or f"table {number}"
        names[name] = names.get(name, 0) + 1
        content.append(_table(name if names[name] == 1 else f"{name} ({names[name]})", each))
    yield HeldProduct(kind, content)


def _said(file: Path) -> dict[str, Value]:
    """Return everything that a document says beside its data, by the path of its elements."""
    found: dict[str, Value] = {}
    path: list[str] = []
    skipped = 0
    for event, element in ET.iterparse(file, events=("start", "end")):  # noqa: S314  (no entities: expat refuses them)
        tag = element.tag.rpartition("}")[2]
        if event == "start":
            skipped += tag == "DATA"
            path.append(" ".join(filter(None, (tag, element.get("name") or element.get("ID")))))
            continue
        if not skipped:
            where = "/".join(path[1:]) or "VOTABLE"
            for key in element.attrib:
                if key not in IN_SCHEMA.get(tag, ()) and not key.startswith("{"):
                    found[_free(f"{where} {key}", found)] = _plain(tag, key, element)
            if element.text and element.text.strip():
                found[_free(where, found)] = cut(element.text.strip())
        skipped -= tag == "DATA"
        path.pop()
        element.clear()
    return found


def _plain(tag: str, key: str, element: ET.Element) -> Value:
    """Return an attribute's value; of a parameter that is a number, the number."""
    text = element.get(key, "")
    if tag == "PARAM" and key == "value" and element.get("datatype") in NUMBERS:
        try:
            return float(text) if element.get("datatype") in FRACTIONS else int(text)
        except ValueError:
            return text
    return cut(text)


def _free(name: str, found: dict[str, Value]) -> str:
    number, fresh = 1, name
    while fresh in found:
        number += 1
        fresh = f"{name} ({number})"
    return fresh


def _table(name: str, table: Any) -> tuple[Part, dict[str, Values]]:  # noqa: ANN401
    columns, values = [], {}
    for field in table.fields:
        held = _values(table.array[field.ID or field.name])
        unit = None if field.unit is None else str(field.unit)
        shape = held.data.shape[1:]
        label = field.name if field.name not in values else f"{field.name} ({field.ID})"
        columns.append(Column(name=label, dtype=_type(held), unit=unit, shape=shape))
        values[label] = held
    part = Part(name=name, form="table", rows=len(table.array), columns=tuple(columns))
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
