"""What a report is, how one is asked for (`KIND[=PATH]`), and how its file gets written.

Every report file is written here: beside its place, then renamed, so that whoever looks sees the
old report or the whole new one. No report's own words or layout enter this module.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TextIO, TypeVar, runtime_checkable

from nbpipe.config.tables import REPORTS
from nbpipe.errors import UsageError
from nbpipe.system import files, private

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

STANDARD_OUTPUT = "-"
_Subject_contra = TypeVar("_Subject_contra", contravariant=True)
_Told = TypeVar("_Told")


@runtime_checkable
class Reporter(Protocol[_Subject_contra]):
    """Something that tells of a run, or of a comparison, in one file."""

    @property
    def kind(self) -> str:
        """The word that `--report` knows it by."""

    def report(self, subject: _Subject_contra, /, stream: TextIO) -> None:
        """Write the whole report to the stream."""


class FolderReporter(Protocol[_Subject_contra]):
    """Something that tells it in a folder of its own, or writes its one file by itself."""

    @property
    def kind(self) -> str:
        """The word that `--report` knows it by."""

    def index(self, place: Path) -> Path:
        """Return the file that somebody opens."""

    def check(self, folder: Path) -> None:
        """Find out before a long run whether the folder can be written; changes nothing."""

    def write(self, subject: _Subject_contra, /, folder: Path) -> None:
        """Write the whole report."""


@dataclass(frozen=True, slots=True)
class Request:
    """One report that somebody asked for."""

    kind: str
    path: Path | None
    """Where to; None is standard output."""


def parse(
    text: str, *, output_dir: Path | None, kinds: Collection[str] = tuple(REPORTS)
) -> Request:
    """Return what `KIND`, `KIND=PATH` or `KIND=-` asks for.

    Args:
        text: That.
        output_dir: Where a report without a path goes; None: it needs a path.
        kinds: Those to choose from.

    Raises:
        UsageError: The kind is unknown, or the path is empty.
    """
    kind, equals, name = text.partition("=")
    if kind not in kinds:
        choice = ", ".join(kinds)
        raise UsageError(
            f"--report {text}: unknown report `{kind}`",
            hint=f"Choose one of: {choice}; for example --report junit=results/junit.xml.",
        )
    if not name and (equals or output_dir is None):
        raise UsageError(
            f"--report {text}: the path is missing",
            hint=f"Write {kind}=PATH, or {kind}=- for standard output.",
        )
    default = REPORTS[kind].default
    if not equals and output_dir is not None and default is not None:
        return Request(kind, output_dir / default)
    return Request(kind, Path(name) if name and name != STANDARD_OUTPUT else None)


def check(
    request: Request,
    reporter: Reporter[_Told] | FolderReporter[_Told],
    *,
    sources: Collection[str] = (),
) -> None:
    """Find out before a long run whether a report can be written; changes nothing.

    Args:
        request: The report.
        reporter: What will write it.
        sources: Resolved paths of files that are read, which no report may replace.

    Raises:
        UsageError: It cannot.
    """
    folder = None if isinstance(reporter, Reporter) else reporter
    path = request.path
    if path is None:
        if folder is not None:
            raise UsageError(
                f"--report {request.kind}=-: it is a folder, which does not fit into a stream",
                hint=f"Write {request.kind}=FOLDER, or {request.kind}=FILE.html for one file.",
            )
        return
    if str(path.resolve()) in sources:
        raise cannot_write(path, "the run itself reads that file")
    if folder is not None:
        folder.check(path)
    check_writable(path if folder is None else folder.index(path))


def check_apart(requests: Iterable[Request]) -> None:
    """Find out before a long run whether each report has a place of its own.

    Raises:
        UsageError: Two kinds of report would be written to one file.
    """
    taken: dict[Path, str] = {}
    for request in requests:
        path = request.path and request.path.resolve()
        if path is None or (path.exists() and not path.is_file()):  # a pipe takes them all
            continue
        if (other := taken.setdefault(path, request.kind)) != request.kind:
            raise cannot_write(path, f"the {other} report goes there too")


def check_writable(path: Path) -> None:
    """Find out before a long run whether a report can be written; changes nothing.

    Raises:
        UsageError: It is a folder or a notebook, or its folder neither takes files nor can be
            created.
    """
    path = path.resolve()
    if path.is_dir():
        raise cannot_write(path, "it is a folder", "Name a file in it.")
    if path.suffix == ".ipynb" and path.exists():
        raise cannot_write(path, "it is a notebook, which no report replaces")
    if _is_special(path):
        if not os.access(path, os.W_OK):
            raise cannot_write(path, "permission denied")
        return
    folder = next(folder for folder in path.parents if folder.exists())
    if not folder.is_dir():
        raise cannot_write(path, f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise cannot_write(path, f"no permission to write in {folder}")


def write(
    reporter: Reporter[_Told] | FolderReporter[_Told],
    subject: _Told,
    path: Path | None,
    *,
    stdout: TextIO,
) -> None:
    """Write one report to its file or folder, or to standard output where `path` is None.

    Raises:
        UsageError: It cannot be written; nothing is left behind.
    """
    if not isinstance(reporter, Reporter):
        if path is not None:
            reporter.write(subject, path)
    elif path is not None:
        check_writable(path)
        with replaced(path.resolve()) as stream:
            reporter.report(subject, stream)
    elif reporter.kind == "console":
        reporter.report(subject, stdout)
    else:
        with _utf8(stdout) as stream:
            reporter.report(subject, stream)


@contextmanager
def _utf8(stream: TextIO) -> Iterator[TextIO]:
    """Give a stream for machines: UTF-8 whatever the locale says."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        yield stream
        return
    stream.flush()
    with _utf8_of(buffer) as wrapper:
        yield wrapper


@contextmanager
def _utf8_of(data: BinaryIO) -> Iterator[TextIO]:
    """Give a stream of text over one of bytes, which stays open."""
    wrapper = io.TextIOWrapper(data, encoding="utf-8", newline="\n")
    try:
        yield wrapper
    finally:
        wrapper.flush()
        wrapper.detach()


@contextmanager
def replaced(path: Path) -> Iterator[TextIO]:
    """Give a stream whose text becomes the file when all of it is written, and not before."""
    try:
        if _is_special(path):
            with path.open("w", encoding="utf-8", newline="\n") as stream:
                yield stream
            return
        private.make_folder(path.parent)
        with files.replacing(path, mode=_mode(path)) as data, _utf8_of(data) as stream:
            yield stream
    except OSError as error:
        raise cannot_write(path, error.strerror or str(error)) from error


def _mode(path: Path) -> int:
    """Return the permissions that plain opening would have given the file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return private.mode(path) & ~umask


def _is_special(path: Path) -> bool:
    """Tell a device or a pipe, which cannot be replaced by a file."""
    return path.exists() and not path.is_file() and not path.is_dir()


def cannot_write(
    path: Path, why: str, hint: str = "Name another place with --report KIND=PATH."
) -> UsageError:
    """Return the error of a report whose place is no place for it."""
    return UsageError(f"{path}: the report cannot be written: {why}", hint=hint)
