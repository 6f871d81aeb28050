"""Where secrets come from: `env:NAME` or `file:PATH`. The only module that resolves them.

One set of rules for every secret of a configuration, whoever uses it:

- white space around it does not count (a file ends with a newline); one of nothing else is missing;
- a relative path begins at the configuration file's folder: `anchored` is applied when it is read;
- a file of more than 64 KiB is a mistake, such as the path of a log;
- a file that every user of the machine may read is used, and `exposed` says so: for the log and
  `nbpipe doctor`. Its group may read it: that is how a service reads what root has put there.

A secret is read again whenever it is needed, so that it can be replaced without a restart. No
message holds one; a text that is neither form may be a secret itself, and is not repeated.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 64 * 1024
"""Bytes of a file."""
FORMS = "env:NAME or file:PATH"
_VARIABLE = "env:"
_FILE = "file:"


class SecretUnusableError(Exception):
    """A source holds no secret now.

    Args:
        source: What the configuration says.
        problem: What is wrong, as the end of a sentence.
    """

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"the secret {source} {problem}")
        self.problem = problem


class SecretMissingError(SecretUnusableError):
    """The variable is not set or the file is empty; white space alone counts as that."""


class SecretUnreadableError(SecretUnusableError):
    """The file is not there, or may not be read."""


class NotASourceError(SecretUnusableError):
    """The text is neither `env:NAME` nor `file:PATH`; it is not repeated."""

    def __init__(self) -> None:
        super().__init__("", f"is neither {FORMS.replace(' or ', ' nor ')}")
        self.args = ('a source is neither "env:NAME" nor "file:PATH"',)


def variable(text: str) -> str | None:
    """Return NAME of `env:NAME`; None for another text."""
    return text.removeprefix(_VARIABLE) or None if text.startswith(_VARIABLE) else None


def file(text: str) -> Path | None:
    """Return PATH of `file:PATH`; None for another text."""
    name = text.removeprefix(_FILE) if text.startswith(_FILE) else ""
    return Path(name) if name else None


def is_source(text: str) -> bool:
    """Return whether a text says where something is, instead of being it."""
    return variable(text) is not None or file(text) is not None


def anchored(text: str, folder: Path) -> str:
    """Return the text with a relative path in `file:PATH` beginning at a folder."""
    path = file(text)
    return text if path is None else f"{_FILE}{folder / path}"


def read(source: str, environ: Mapping[str, str], *, shortest: int = 1) -> bytes:
    """Return the secret that a source holds now.

    Args:
        source: `env:NAME` or `file:PATH`.
        environ: Where the variable is looked up.
        shortest: Fewer bytes could be guessed.

    Raises:
        SecretUnusableError: It holds none, or one that is too short.
    """
    name, path = variable(source), file(source)
    if name is not None:
        value = environ.get(name, "").encode("utf-8", "surrogateescape")
    elif path is not None:
        value = _content(path, source)
    else:
        raise NotASourceError
    value = value.strip()
    if not value:
        raise SecretMissingError(source, "is empty or missing")
    if len(value) < shortest:
        raise SecretUnusableError(source, f"is shorter than {shortest} bytes")
    return value


def text(source: str, environ: Mapping[str, str]) -> str:
    """Return the secret that a source holds now, as text.

    Raises:
        SecretUnusableError: It holds none, or bytes that are not UTF-8.
    """
    try:
        return read(source, environ).decode()
    except UnicodeDecodeError:
        raise SecretUnusableError(source, "is not UTF-8 text") from None  # it holds the bytes


def exposed(source: str) -> int | None:
    """Return the mode of a secret's file if every user of the machine may read it, else None."""
    path = file(source)
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path is not None else 0
    except OSError:
        return None
    return mode if mode & stat.S_IRWXO else None


def _content(path: Path, source: str) -> bytes:
    try:
        with path.open("rb") as stream:
            value = stream.read(LONGEST + 1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "not a file"
        raise SecretUnreadableError(source, f"cannot be read: {reason}") from error
    except ValueError as error:
        raise SecretUnreadableError(source, "cannot be read: not a path") from error
    if len(value) > LONGEST:
        raise SecretUnusableError(source, f"is larger than {LONGEST} bytes")
    return value
