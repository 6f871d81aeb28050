"""The files of a local job, and its locks. Imports next to nothing: guards start quickly."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from nbpipe.system import files, locks

if TYPE_CHECKING:
    from pathlib import Path


def read(file: Path) -> dict[str, Any]:
    """Return what a file holds, {} where it is not there."""
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    return found


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    files.replace(file, json.dumps(content).encode(), fresh=fresh)


def lock(file: Path, *, wait: bool = False) -> int | None:
    """Return a descriptor that holds the lock, None where somebody else does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if locks.take(descriptor, wait=wait):
        return descriptor
    os.close(descriptor)
    return None


def held(file: Path) -> bool:
    """Return whether somebody holds the lock."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            return not locks.take(descriptor, shared=True)
        finally:
            os.close(descriptor)
    return False
