"""The output directory: where the executed copy and the log of each notebook are written.

Never beside the sources. A full disk loses a copy, not the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nbpipe.execution.kernels.spool import Spool
from nbpipe.system import files, private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from nbformat import NotebookNode

    from nbpipe.model import Task

_NAME_BYTES = 240
"""File systems allow 255; endings are added."""

_TAKEN = re.compile(r"\.(?:ipynb|attempt-\d+|md|markdown|py|R|r|jl|Rmd|qmd|myst|mystnb|mnb)$")
"""How the copies of text notebooks and of later attempts end: `a.md` goes to `a.md.ipynb`."""


class Workspace:
    """The files of one attempt at one notebook.

    Args:
        output_dir: An existing folder.
        task: The notebook.
        attempt: From 1; later attempts stand beside the first.
    """

    def __init__(self, output_dir: Path, task: Task, attempt: int) -> None:
        relative = copy_path(task)
        if attempt > 1:
            relative = relative.with_name(f"{relative.stem}.attempt-{attempt}.ipynb")
        self.relative = relative.as_posix()
        self.log_relative = relative.with_suffix(".log").as_posix()
        self.copy = output_dir / relative
        self.log_path = output_dir / self.log_relative
        self.log: BinaryIO = self._open_log()
        self.spool = Spool(self.copy.parent, secrets.token_hex(8))
        self.logger = _logger(self.log)

    def _open_log(self) -> BinaryIO:
        """Return the log, for appending: the kernel's process writes to it as well."""
        with contextlib.suppress(OSError):
            private.make_folder(self.copy.parent)
            private.write(self.log_path, b"")
            return self.log_path.open("ab", buffering=0)
        return Path(os.devnull).open("ab", buffering=0)  # the notebook runs all the same

    def write(self, notebook: NotebookNode) -> str | None:
        """Write the executed copy whole or not at all; return why it could not be, if so."""
        partial = self.copy.with_name(f".{self.copy.name}.partial")
        try:
            with open(partial, "wb", opener=private.opener) as stream:
                stream.writelines(self.spool.expand(_document(notebook)))
            files.settle(partial, self.copy)
        except OSError as error:
            why = error.strerror
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            self.logger.exception("the executed copy could not be written")
            why = f"{type(error).__name__}: {error}"  # what the source holds is no notebook's
        else:
            return None
        with contextlib.suppress(OSError):
            partial.unlink()
        return f"the executed copy could not be written: {why}"

    def log_bytes(self) -> int:
        """Return how long the log is by now."""
        return os.fstat(self.log.fileno()).st_size

    def said(self, start: int) -> str:
        """Return the end of what was written to the log since a position, as text."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as stream:
            stream.seek(max(start, self.log_bytes() - 8_000))
            return stream.read().decode(errors="replace")
        return ""

    def close(self) -> None:
        """Give the open files back."""
        self.spool.close()
        self.log.close()


def _document(notebook: NotebookNode) -> Iterator[str]:
    """Yield a notebook in the form that Jupyter writes, without holding the whole text."""
    from nbformat.v4.nbjson import BytesEncoder  # noqa: PLC0415
    from nbformat.v4.rwbase import split_lines, strip_transient  # noqa: PLC0415

    encoder = BytesEncoder(ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
    yield from encoder.iterencode(split_lines(strip_transient(notebook)))
    yield "\n"


def copy_path(task: Task) -> PurePosixPath:
    """Return where a task's executed copy goes, relative to the output directory."""
    path = PurePosixPath(task.path)
    if path.is_absolute() or ".." in path.parts:
        digest = hashlib.sha256(os.fsencode(_on_disk(str(path.parent)))).hexdigest()[:8]
        path = PurePosixPath("outside", digest, path.name)
    if path.suffix != ".ipynb" or _TAKEN.search(path.stem):
        path = path.with_name(f"{path.name}.ipynb")
    path = PurePosixPath(_on_disk(str(path)))
    if len(os.fsencode(path.name)) > _NAME_BYTES - len(".attempt-10.ipynb"):
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
        path = path.with_name(f"{path.name[:48]}-{digest}.ipynb")
    return path


def _on_disk(name: str) -> str:
    r"""Return a path as this process can make it, whatever its locale: `\xe9` where é cannot be."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        return name.encode(encoding, "backslashreplace").decode(encoding)
    return name


def _logger(stream: BinaryIO) -> logging.Logger:
    """Return a logger of nobody's tree that writes into this log."""
    logger = logging.Logger("nbpipe", logging.INFO)  # noqa: LOG001  (not to be found by name)
    handler = _Lines(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    return logger


class _Lines(logging.Handler):
    """Writes lines to an unbuffered file that a kernel writes to too; a full disk is no error."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{self.format(record)}\n".encode(errors="backslashreplace"))
