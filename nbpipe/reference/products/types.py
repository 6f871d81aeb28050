"""The names of types, the same for every format, and values as a manifest can hold them."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Value

TEXT_LIMIT = 4000
"""Characters of one keyword or attribute."""


def type_name(dtype: np.dtype[Any]) -> str:
    """Return `float32`, `bool`, `string`, `datetime`, `object`, ..."""
    match dtype.kind:
        case "S" | "U" | "T":
            return "string"
        case "M":
            return "datetime"
        case "b" | "i" | "u" | "f" | "c":
            return dtype.name
        case _:
            return "object"


def plain_value(value: Any) -> Value:  # noqa: ANN401  (whatever a format holds)
    """Return a keyword's or attribute's value; what is no single value becomes text.

    The text of an array has every digit of every element. A text that is too long for a manifest
    ends with a digest of all of it, so that a difference anywhere is seen.
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, np.ndarray):
        value = _array(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return cut(str(value))


def cut(text: str) -> str:
    """Return a text that is no longer than a manifest holds."""
    if len(text) <= TEXT_LIMIT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:TEXT_LIMIT]}... ({len(text):,} characters, SHA-256 {digest})"


def _array(value: NDArray[Any]) -> str:
    return np.array2string(
        value, separator=", ", threshold=sys.maxsize, floatmode="unique", max_line_width=sys.maxsize
    )
