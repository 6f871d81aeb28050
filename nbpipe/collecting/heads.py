"""The head of a notebook: its metadata, read without its cells and outputs; never an exception.

A file that is not a notebook has a `Failure` in its head.

What a notebook asks of its execution is understood in the words of three other tools: `execution`
is nbclient's and papermill's, `nbsphinx` is nbsphinx's
(https://nbsphinx.readthedocs.io/en/latest/executing-notebooks.html), `mystnb` is MyST-NB's
(https://myst-nb.readthedocs.io/en/latest/configuration.html). Where they differ, the first one
that says something holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.model import Category, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOM = b"\xef\xbb\xbf"
_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Head:
    """What a notebook says about itself."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Only the keys that this room reads, whatever their types."""
    failure: Failure | None = None
    """Why it is no notebook."""


class _Metadata(msgspec.Struct):
    execution: Any = None
    jupytext: Any = None
    kernelspec: Any = None
    language_info: Any = None
    mystnb: Any = None
    nbsphinx: Any = None
    tags: Any = None


class _Notebook(msgspec.Struct):
    cells: msgspec.Raw = msgspec.Raw()  # checked for being JSON, not decoded
    worksheets: msgspec.Raw = msgspec.Raw()  # nbformat 2 and 3
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


KEYS = tuple(_Metadata.__struct_fields__)

_decode = msgspec.json.Decoder(_Notebook).decode


def read_notebook(file: str) -> Head:
    """Return the head of an `.ipynb` file."""
    try:
        with open(file, "rb") as stream:  # noqa: PTH123  (10,000 of them)
            content = stream.read()
    except OSError as error:
        return unreadable(error)
    return parse_notebook(content)


def parse_notebook(content: bytes) -> Head:
    """Return the head of a notebook's JSON."""
    content = content.removeprefix(_BOM)
    try:
        notebook = _decode(content)
        if not content.isascii():
            content.decode()  # what is skipped is not checked for being UTF-8
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_leniently(content)
    if not (_is_list(notebook.cells) or _is_list(notebook.worksheets)):
        return _no_notebook("it holds no cells")
    return Head(_only_known({key: getattr(notebook.metadata, key) for key in KEYS}))


def unreadable(error: OSError) -> Head:
    """Return the head of a file that could not be read."""
    reason = error.strerror or "cannot be read"
    return _failed(type(error).__name__, f"the file cannot be read: {reason}", reason)


def special_file() -> Head:
    """Return the head of a pipe, a socket or a device: reading it could wait for ever."""
    return _no_notebook("it is not a regular file")


def _parse_leniently(content: bytes) -> Head:
    """Read with Python's own JSON, which accepts more (NaN, lone surrogates, any metadata)."""
    if not content.strip():
        return _failed("EmptyFile", "the file is empty", "")
    try:
        document = json.loads(content.decode())
    except UnicodeDecodeError as error:
        return _failed("UnicodeDecodeError", f"the file is not UTF-8 text: {error}", "not UTF-8")
    except ValueError as error:
        return _not_json(content, error)
    except RecursionError:
        return _failed("RecursionError", "the file's JSON is nested too deeply", "")
    return _checked(document)


def _checked(document: object) -> Head:
    if not isinstance(document, dict):
        return _no_notebook(f"its JSON is a {type(document).__name__}, not an object")
    if not any(isinstance(document.get(key), list) for key in ("cells", "worksheets")):
        return _no_notebook("it holds no cells")
    metadata = document.get("metadata")
    return Head(_only_known(metadata if isinstance(metadata, dict) else {}))


def _not_json(content: bytes, error: ValueError) -> Head:
    """Return the head of a file that is not JSON, naming the usual accidents."""
    message, cause = str(error), ""
    if content.startswith(_LFS):
        message, cause = "it is a Git LFS pointer; run `git lfs pull`", "Git LFS pointer"
    elif b"\n<<<<<<< " in content or content.startswith(b"<<<<<<< "):
        message, cause = f"it holds the marks of a merge conflict ({error})", "merge conflict"
    return _failed("JSONDecodeError", f"the file is not JSON: {message}", cause)


def _no_notebook(reason: str) -> Head:
    return _failed("NotANotebook", f"the file is not a notebook: {reason}", reason)


def _failed(name: str, message: str, cause: str) -> Head:
    """Return a head with a failure; `cause` is the part of it that tells root causes apart."""
    return Head(
        failure=Failure(
            category=Category.INVALID_NOTEBOOK,
            name=name,
            message=message,
            signature=f"{name}: {cause}" if cause else name,
        )
    )


def _only_known(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in KEYS if metadata.get(key) is not None}


def _is_list(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"["


@dataclass(slots=True)
class Wishes:
    """What the notebook asks for."""

    timeout: float | None = None
    """Seconds for one cell; meaningful where `has_timeout`; None: for ever."""
    has_timeout: bool = False
    allow_errors: bool = False
    skip: str | None = None
    """Why it is not to be executed."""
    notes: list[str] = field(default_factory=list)


def read_wishes(metadata: Mapping[str, Any]) -> Wishes:
    """Return what the metadata asks for; what it says in wrong types is noted and ignored."""
    wishes = Wishes()
    tables = {
        key: _table(metadata, key, wishes.notes) for key in ("execution", "nbsphinx", "mystnb")
    }
    for key, table in tables.items():
        prefix = "execution_" if key == "mystnb" else ""
        _timeout(table, f"{prefix}timeout", key, wishes)
        _allow_errors(table, f"{prefix}allow_errors", key, wishes)
    if tables["nbsphinx"].get("execute") == "never":
        wishes.skip = "its metadata says nbsphinx.execute = never"
    elif tables["mystnb"].get("execution_mode") in ("off", False):  # YAML reads `off` as false
        wishes.skip = "its metadata says mystnb.execution_mode = off"
    return wishes


def _table(metadata: Mapping[str, Any], key: str, notes: list[str]) -> Mapping[str, Any]:
    value = metadata.get(key, {})
    if isinstance(value, dict):
        return value
    # nbsphinx also knows cell metadata of that name, a text; as the notebook's it means nothing
    notes.append(f"metadata.{key} is not an object: ignored")
    return {}


def _timeout(table: Mapping[str, Any], name: str, key: str, wishes: Wishes) -> None:
    if name not in table:
        return
    value = table[name]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        wishes.notes.append(f"metadata.{key}.{name} is not a number of seconds: ignored")
    elif not wishes.has_timeout:
        wishes.has_timeout = True
        # -1, 0 and null switch it off in all three tools; so does NaN, which is in no order
        wishes.timeout = float(value) if value is not None and value > 0 else None


def _allow_errors(table: Mapping[str, Any], name: str, key: str, wishes: Wishes) -> None:
    value = table.get(name)
    if isinstance(value, bool):
        wishes.allow_errors = wishes.allow_errors or value
    elif value is not None:
        wishes.notes.append(f"metadata.{key}.{name} is neither true nor false: ignored")
