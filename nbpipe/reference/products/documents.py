"""JSON and YAML: trees of values.

The leaves of a document are columns with one row each (`fit.chi2`, `fit.tags[0]`), so that quality
figures have tolerances as any other column has; a list of numbers is one vector. A document of
very many leaves is a table of them, so that all of them are compared. A key that holds a dot or a
bracket is written in brackets, as JSON text: `["a.b"]`. Needs only numpy.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8
from collections.abc import Hashable
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from nbpipe.reference.manifest import Column, Part
from nbpipe.reference.products.held import HeldProduct, dtype_of
from nbpipe.reference.products.protocol import ProductError, Values
from nbpipe.reference.products.texts import Text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value
    from nbpipe.reference.products.protocol import Product

MOST_BYTES = {"json": 50_000_000, "yaml": 5_000_000}
"""A larger document is compared as text: as a tree it takes ten times its size, or minutes."""
MOST_LEAVES = 10_000
"""Leaves that are columns of their own."""
DIGITS = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
EXACT = 1 << 53
"""Up to here a double is any whole number."""
PLAIN_KEY = re.compile(r"[^.\[\]\"{]+")

_Tree = Any
"""What a parser makes of JSON or YAML."""


@contextmanager
def open_product(file: Path, kind: str) -> Iterator[Product]:
    """Open a document."""
    if file.stat().st_size > MOST_BYTES[kind]:
        yield Text(file, "text")
        return
    try:
        tree, said = _json(file) if kind == "json" else _yaml(file)
        leaves = list(_leaves(tree, ""))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ProductError(f"it is not {kind.upper()}: {error}") from error
    few = len(leaves) <= MOST_LEAVES
    part, values = _columns(leaves) if few else _table(leaves)
    notes = () if few else (f"{len(leaves):,} values: described as a table",)
    yield HeldProduct(kind, [(replace(part, attributes=said), values)], notes=notes)


def _json(file: Path) -> tuple[_Tree, dict[str, Value]]:
    """Return one document, or those of JSON lines as a list; and how they are written."""
    data = file.read_bytes()
    said: dict[str, Value] = {"byte order mark": True} if data.startswith(BOM_UTF8) else {}
    text = data.decode("utf-8-sig")
    try:
        return _loaded(text), said
    except json.JSONDecodeError as error:
        lines = text.split("\n")
        if len(lines) == 1 or error.msg != "Extra data":
            raise
    return [_loaded(line) for line in lines if line.strip()], said | {"form": "JSON lines"}


def _loaded(text: str) -> _Tree:
    return json.loads(text, parse_float=_float, object_pairs_hook=_object)


def _yaml(file: Path) -> tuple[_Tree, dict[str, Value]]:
    trees = list(yaml.load_all(file.read_bytes(), Loader=_Loader))
    return (trees[0], {}) if len(trees) == 1 else (trees, {"documents": len(trees)})


class _Loader(yaml.SafeLoader):
    """Keeps times as they are written, tags of somebody's own, digits, and keys that repeat."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  (PyYAML's)
        """Return a mapping; of keys that are there twice, both values."""
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
        found: dict[Any, Any] = {}
        for key_node, value_node in getattr(node, "value", ()):
            key = self.construct_object(key_node, deep=True)
            key = key if isinstance(key, Hashable) else str(key)
            found[_fresh(key, found)] = self.construct_object(value_node, deep=deep)
        return found

    def construct_decimal(self, node: yaml.ScalarNode) -> float | Decimal:
        """Return a number with all its digits."""
        text = str(node.value).replace("_", "")
        return _float(text) if DIGITS.fullmatch(text) else self.construct_yaml_float(node)


def _without_base_60(tag: str, pattern: re.Pattern[str]) -> re.Pattern[str]:
    if tag not in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}:
        return pattern
    return re.compile(rf"(?!.*:)(?:{pattern.pattern})", pattern.flags)


def _untagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        value: object = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_scalar(node)  # type: ignore[arg-type]
    return {f"!{suffix}": value}


# A number in base 60 of YAML 1.1 is a text in YAML 1.2, and to people: 1:30 is not 90.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _without_base_60(tag, pattern)) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_multi_constructor("!", _untagged)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _untagged)
_Loader.add_constructor(
    "tag:yaml.org,2002:timestamp", lambda _, node: {"!!timestamp": str(node.value)}
)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_decimal)


def _float(text: str) -> float | Decimal:
    """Return a number; as a decimal where a double would lose it."""
    value = float(text)
    digits = len(text.lower().partition("e")[0].replace(".", "").strip("-0"))
    if math.isfinite(value) and digits <= 17 and (value or not digits):  # noqa: PLR2004
        return value
    try:
        return Decimal(text)
    except InvalidOperation:
        return value


def _object(pairs: list[tuple[str, _Tree]]) -> dict[str, _Tree]:
    """Return an object; of keys that are there twice, both values."""
    found: dict[str, _Tree] = {}
    for key, value in pairs:
        found[_fresh(key, found)] = value
    return found


class _Again(str):
    """A key that is there once more: `a{2}`, as no other key is shown."""

    __slots__ = ()


def _fresh(key: Any, found: dict[Any, Any]) -> Any:  # noqa: ANN401  (YAML has keys of any type)
    """Return the key; of one that is there already, one that tells which of them it is."""
    name, number = key, 1
    while name in found:
        number += 1
        name = _Again(f"{_below('', key)}{{{number}}}")
    return name


def _leaves(tree: _Tree, name: str) -> Iterator[tuple[str, Values]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, _below(name, key))
    elif isinstance(tree, list) and tree and not _is_vector(tree):
        for number, value in enumerate(tree):
            yield from _leaves(value, f"{name}[{number}]")
    else:
        yield name or "value", _values(tree)


def _below(name: str, key: object) -> str:
    if isinstance(key, _Again) or (isinstance(key, str) and PLAIN_KEY.fullmatch(key)):
        return f"{name}.{key}" if name else key
    return f"{name}[{json.dumps(key if isinstance(key, str) else str(key), ensure_ascii=False)}]"


class _List(np.ndarray[Any, Any]):
    """The numbers of a list: one of a single number is not that number."""


def _is_number(value: _Tree) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _is_vector(tree: list[_Tree]) -> bool:
    return all(_is_number(each) for each in tree)


def _values(leaf: _Tree) -> Values:
    """Return a leaf's value: a vector of numbers, or one of anything."""
    if leaf is None:
        return Values(np.array([""], dtype=object), np.array([True]))
    if isinstance(leaf, bool):
        return Values(np.array([leaf]))
    if isinstance(leaf, list) and leaf:
        return Values(_numbers(leaf).view(_List))
    if _is_number(leaf):
        return Values(_numbers([leaf]))
    data = np.empty(1, dtype=object)
    data[0] = leaf if isinstance(leaf, str) else _Other(repr(leaf))
    return Values(data)


def _numbers(items: list[_Tree]) -> NDArray[Any]:
    """Return doubles, or Python's own numbers where a double would lose digits.

    One kind of number: a figure that happens to be whole is no other schema.
    """
    lossy = any(
        isinstance(each, Decimal) or (isinstance(each, int) and abs(each) > EXACT) for each in items
    )
    if not lossy:
        return np.array(items, dtype=np.float64)
    data = np.empty(len(items), dtype=object)
    data[:] = items
    return data


class _Other(str):
    """What stands for a leaf that is neither number, text, bool nor null, such as an empty list."""

    __slots__ = ()


def _columns(leaves: list[tuple[str, Values]]) -> tuple[Part, dict[str, Values]]:
    values = dict(leaves)
    columns = tuple(
        Column(
            name=name,
            dtype=_type(each),
            shape=each.data.shape,
            attributes={"list of one": True} if _is_list_of_one(each) else {},
        )
        for name, each in values.items()
    )
    return Part(name="", form="document", columns=columns), values


def _is_list_of_one(values: Values) -> bool:
    return isinstance(values.data, _List) and values.data.shape == (1,)


def _type(values: Values) -> str:
    """Return the name of a leaf's type; of an empty list and object, their own."""
    first = values.data[0]
    if values.data.dtype == object and isinstance(first, (int, float, Decimal)):
        return "float64"
    if values.missing is not None:
        return "null"
    if isinstance(first, _Other):
        return {"[]": "empty list", "{}": "empty object"}.get(first, "object")
    return dtype_of(values.data)


def _table(leaves: list[tuple[str, Values]]) -> tuple[Part, dict[str, Values]]:
    """Return a table of leaves: those that are numbers have tolerances, the others are texts."""
    paths, numbers, texts = [], [], []
    for name, values in leaves:
        numeric = _type(values) == "float64"
        for place, each in enumerate(values.data):
            paths.append(f"{name}[{place}]" if isinstance(values.data, _List) else name)
            numbers.append(each.item() if isinstance(each, np.generic) else each)
            numbers[-1] = numbers[-1] if numeric else None
            texts.append("" if numeric else f"{_type(values)} {each}")
    gone = np.array([each is None for each in numbers])
    held = _numbers([0.0 if each is None else each for each in numbers])
    content = {
        "path": Values(np.array(paths, dtype=object)),
        "number": Values(held, gone),
        "text": Values(np.array(texts, dtype=object)),
    }
    dtypes = {"path": "string", "number": "float64", "text": "string"}
    columns = tuple(Column(name=name, dtype=dtype) for name, dtype in dtypes.items())
    return Part(name="", form="table", rows=len(paths), columns=columns), content
