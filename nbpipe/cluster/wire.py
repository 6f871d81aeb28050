"""Tasks and results as JSON, for the way to a job and back."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from nbpipe.model import Result, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")
_BYTES = "\0base64:"
"""Before a path that is not UTF-8; NUL is in no path."""


def encode(value: Task | Result | list[Task]) -> bytes:
    """Return the JSON of tasks or a result."""
    return msgspec.json.encode(value, enc_hook=_plain)


def decode_tasks(data: bytes) -> list[Task]:
    """Return the tasks in the JSON.

    Raises:
        ValueError: There are none in it.
    """
    return _decoded(data, list[Task])


def decode_result(data: bytes) -> Result:
    """Return the result in the JSON.

    Raises:
        ValueError: There is none in it.
    """
    return _decoded(data, Result)


def together(tasks: Iterable[Task]) -> list[list[Task]]:
    """Return the tasks in portions that may run apart: those of one group stay together.

    The order of the portions, and in them, is that of the tasks.
    """
    portions: list[list[Task]] = []
    of_group: dict[str, list[Task]] = {}
    for task in tasks:
        known = list({id(each): each for each in map(of_group.get, task.groups) if each}.values())
        portion = known[0] if known else []
        if not known:
            portions.append(portion)
        for other in known[1:]:  # this task joins groups that were apart
            portion.extend(other)
            portions[:] = [each for each in portions if each is not other]
        portion.append(task)
        of_group |= {group: portion for each in portion for group in each.groups}
    return portions


def path_text(path: Path) -> str:
    """Return a path as JSON can hold it: a name need not be text, in no encoding."""
    data = os.fsencode(path)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _BYTES + base64.b64encode(data).decode()


def path_of(text: str) -> Path:
    """Return the path of such a text."""
    if text.startswith(_BYTES):
        return Path(os.fsdecode(base64.b64decode(text.removeprefix(_BYTES))))
    return Path(os.fsdecode(text.encode()))


def _decoded(data: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(data, type=kind, dec_hook=_read)


def _plain(value: object) -> Any:  # noqa: ANN401  (whatever JSON holds)
    if isinstance(value, Path):
        return path_text(value)
    raise NotImplementedError(type(value))


def _read(kind: type[T], value: object) -> T:
    if kind is Path:
        return cast("T", path_of(str(value)))
    raise NotImplementedError(kind)
