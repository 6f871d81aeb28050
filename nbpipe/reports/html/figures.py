"""The first picture that a notebook shows, small enough for a list of notebooks.

Called in the process that renders copies (`child`): a picture may take much memory to read.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = (480, 320)
"""Pixels that a picture is scaled down to: twice what the page shows, for sharp screens."""
FILE_LIMIT = 200_000_000
"""Bytes of a copy that is still read for its picture."""
WHOLE_LIMIT = 1_000_000
"""Bytes of a picture that is shown as it is, where it cannot be scaled."""
_ENDINGS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
}


def write(copy: Path, target: Path) -> str | None:
    """Write the first picture of an executed copy; return its file's name, None: there is none.

    Args:
        copy: The executed copy.
        target: Where to, without an ending.

    Raises:
        OSError: It cannot be read or written.
    """
    if copy.stat().st_size > FILE_LIMIT:
        return None
    try:
        notebook = json.loads(copy.read_bytes())
    except ValueError:
        return None
    for kind, value in _pictures(notebook):
        small = _small(kind, value)
        if small is not None:
            ending, data = small
            file = target.with_name(target.name + ending)
            file.write_bytes(data)
            return file.name
    return None


def _pictures(notebook: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  (JSON of anybody)
    cells = notebook.get("cells", []) if isinstance(notebook, dict) else []
    for cell in cells if isinstance(cells, list) else []:
        for output in (cell.get("outputs") or []) if isinstance(cell, dict) else []:
            data = output.get("data") if isinstance(output, dict) else None
            if not isinstance(data, dict):
                continue
            kind = next((each for each in _ENDINGS if each in data), None)
            value = data.get(kind or "")
            if kind is not None and value:
                yield kind, "".join(map(str, value)) if isinstance(value, list) else str(value)


def _small(kind: str, value: str) -> tuple[str, bytes] | None:
    """Return the ending and the bytes of a picture, scaled down where it can be."""
    if kind == "image/svg+xml":
        data = value.encode("utf-8", "replace")
        return (_ENDINGS[kind], data) if len(data) <= WHOLE_LIMIT else None
    try:
        data = base64.b64decode(value)
    except (binascii.Error, ValueError):
        return None
    if find_spec("PIL") is None:
        return (_ENDINGS[kind], data) if 0 < len(data) <= WHOLE_LIMIT else None
    scaled = _scaled(data)
    return None if scaled is None else (".png", scaled)


def _scaled(data: bytes) -> bytes | None:
    """Return the picture as a small PNG; None where Pillow cannot read it."""
    from PIL import Image  # noqa: PLC0415  (an extra)

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.thumbnail(SIZE)
            target = io.BytesIO()
            plain = picture if picture.mode in {"L", "P", "RGB"} else picture.convert("RGBA")
            plain.save(target, "PNG", optimize=True)
    except Exception:  # noqa: BLE001  (whatever a broken picture makes Pillow raise)
        return None
    return target.getvalue()
