"""The files whose code runs first in every notebook of their language."""

from __future__ import annotations

from pathlib import Path

from nbpipe.collecting.naming import on_disk
from nbpipe.errors import UsageError
from nbpipe.model import Prerun

_LANGUAGES = {
    ".bash": "bash",
    ".ipy": "python",
    ".jl": "julia",
    ".py": "python",
    ".r": "r",
    ".sh": "bash",
}


def read_preruns(files: tuple[str, ...], root: Path) -> tuple[Prerun, ...]:
    """Return the code of the files, which are relative to the root or absolute.

    Raises:
        UsageError: A file is unreadable, or its extension does not name a language.
    """
    return tuple(_read(root / Path(on_disk(file)), file) for file in files)


def _read(path: Path, name: str) -> Prerun:
    language = _LANGUAGES.get(path.suffix.lower())
    if language is None:
        raise UsageError(
            f"prerun file {name}: its extension does not name a language",
            hint=f"Known extensions: {', '.join(sorted(_LANGUAGES))}.",
        )
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"prerun file {path}: cannot be read: {error.strerror}",
            hint="Files of the configuration are relative to the collection's root.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"prerun file {path}: is not UTF-8 text: {error}") from error
    return Prerun(name=name, language=language, source=source)
