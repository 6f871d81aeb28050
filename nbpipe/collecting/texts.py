"""Text notebooks: which Markdown files and scripts are notebooks, what their header says, twins.

Only the first few kilobytes are read. The formats are jupytext's
(https://jupytext.readthedocs.io/en/latest/formats-scripts.html); turning a text into cells is
jupytext's work and happens where notebooks are executed.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nbpipe.collecting.heads import KEYS, Head, unreadable
from nbpipe.distribution import pip_install

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SKIP_WITHOUT_JUPYTEXT = f"needs jupytext: {pip_install('text')}"

_HEAD_BYTES = 4096
_LONG_HEAD_BYTES = 65536
_FENCE = "---"
# `ipynb,py:percent`: a pair in one folder; jupytext itself need not be asked
_SAME_STEM = re.compile(r"\.?[A-Za-z]+(:\w+)?")

_MARKDOWN = frozenset({".md", ".markdown", ".Rmd", ".qmd", ".myst", ".mystnb", ".mnb"})
# ending: (mark of a comment, the language's name)
_SCRIPTS = {
    ".R": ("#", "R"),
    ".clj": (";;", "clojure"),
    ".coco": ("#", "coconut"),
    ".cpp": ("//", "c++"),
    ".cs": ("//", "csharp"),
    ".do": ("//", "stata"),
    ".fs": ("//", "fsharp"),
    ".fsx": ("//", "fsharp"),
    ".go": ("//", "go"),
    ".gp": ("#", "gnuplot"),
    ".groovy": ("//", "groovy"),
    ".hs": ("--", "haskell"),
    ".java": ("//", "java"),
    ".jenner": ("/*", "jenner"),
    ".jl": ("#", "julia"),
    ".js": ("//", "javascript"),
    ".lgt": ("%", "logtalk"),
    ".logtalk": ("%", "logtalk"),
    ".lua": ("--", "lua"),
    ".m": ("%", "matlab"),
    ".mac": ("/*", "maxima"),
    ".ml": ("(*", "ocaml"),
    ".pro": (";", "idl"),
    ".ps1": ("#", "powershell"),
    ".py": ("#", "python"),
    ".q": ("/", "q"),
    ".r": ("#", "R"),
    ".resource": ("#", "robotframework"),
    ".robot": ("#", "robotframework"),
    ".rs": ("//", "rust"),
    ".sage": ("#", "sage"),
    ".sas": ("/*", "sas"),
    ".scala": ("//", "scala"),
    ".scm": (";;", "scheme"),
    ".sh": ("#", "bash"),
    ".sos": ("#", "sos"),
    ".ss": (";;", "scheme"),
    ".tcl": ("#", "tcl"),
    ".ts": ("//", "typescript"),
    ".wolfram": ("(*", "wolfram language"),
    ".xsh": ("#", "xonsh"),
}
ENDINGS = _MARKDOWN | frozenset(_SCRIPTS)


def is_text(name: str) -> bool:
    """Return whether jupytext could read a file of that name as a notebook."""
    return _ending(name) in ENDINGS


def is_jupytext_installed() -> bool:
    """Return whether the `text` extra is there, without importing it."""
    return find_spec("jupytext") is not None


def read_text(file: str, *, named: bool) -> Head | None:
    """Return the head of a text notebook, None where the file does not say that it is one.

    Args:
        file: The path.
        named: A person named this very file: it is a notebook even without a header.
    """
    try:
        with open(file, "rb") as stream:  # noqa: PTH123  (10,000 of them)
            content = stream.read(_HEAD_BYTES)
            if len(content) == _HEAD_BYTES and b"---" in content[:200]:
                content += stream.read(_LONG_HEAD_BYTES - _HEAD_BYTES)
    except OSError as error:
        return unreadable(error) if named else None
    text = content.decode("utf-8-sig", "replace")
    header = _header(text, _ending(file))
    if header is None:
        return Head(_spoken({}, file)) if named else None
    return Head(_spoken(header, file))


def twins(file: str, metadata: Mapping[str, Any]) -> list[str]:
    """Return the paths where the `.ipynb` of a text notebook would be.

    The same folder and stem, and what jupytext's `formats` say.
    """
    paths = [f"{os.path.splitext(file)[0]}.ipynb"]  # noqa: PTH122
    return paths + [path for path in _paired(file, metadata) if path.endswith(".ipynb")]


def texts_of(file: str, metadata: Mapping[str, Any]) -> list[str]:
    """Return the text files that an `.ipynb` says it is paired with."""
    return [path for path in _paired(file, metadata) if path != file]


def _paired(file: str, metadata: Mapping[str, Any]) -> list[str]:
    settings = metadata.get("jupytext")
    formats = settings.get("formats") if isinstance(settings, dict) else None
    if not isinstance(formats, str):
        return []
    parts = formats.split(",")
    if all(_SAME_STEM.fullmatch(part) for part in parts):
        stem = os.path.splitext(file)[0]  # noqa: PTH122
        return [f"{stem}.{part.partition(':')[0].lstrip('.')}" for part in parts]
    if not is_jupytext_installed():
        return []
    from jupytext.formats import (  # noqa: PLC0415  (slow, and seldom needed)
        JupytextFormatError,
        long_form_multiple_formats,
    )
    from jupytext.paired_paths import (  # noqa: PLC0415
        InconsistentPath,
        find_base_path_and_format,
        full_path,
    )

    try:
        ways = long_form_multiple_formats(formats)
        base, _ = find_base_path_and_format(file, ways)
        return [full_path(base, way) for way in ways]
    except (InconsistentPath, JupytextFormatError, KeyError, ValueError):
        return []


def _header(text: str, ending: str) -> dict[str, Any] | None:
    """Return the YAML header, if it is one of a notebook."""
    lines = _front_matter(text) if ending in _MARKDOWN else _commented(text, ending)
    block = _between_fences(lines)
    if block is None or not any(key in block for key in ("jupy", "kernelspec", "mystnb")):
        return None
    import yaml  # noqa: PLC0415  (only where there is something to read)

    try:
        header = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return _notebook_part(header)


def _notebook_part(header: object) -> dict[str, Any] | None:
    if not isinstance(header, dict):
        return None
    nested = header.get("jupyter")
    if isinstance(nested, dict):
        header = {**header, **nested}
    says_so = "jupytext" in header or "kernelspec" in header
    return header if says_so or header.get("file_format") == "mystnb" else None


def _front_matter(text: str) -> Iterator[str]:
    """Yield the lines of Markdown from its front matter on, which jupytext may hide in `<!--`."""
    lines = text.splitlines()
    start = 0
    while start < len(lines) and lines[start].strip() in {"", "<!--"}:
        start += 1
    yield from lines[start:]


def _commented(text: str, ending: str) -> Iterator[str]:
    """Yield the first comment of a script without its marks, from the first fence on."""
    mark = _SCRIPTS[ending][0]
    started = False
    for line in text.splitlines():
        if not line.startswith(mark):
            if started or line.strip():
                return
            continue
        content = line[len(mark) :].removesuffix("*/").removesuffix("*)").rstrip()
        content = content.removeprefix(" ")
        started = started or content == _FENCE
        if started:
            yield content


def _between_fences(lines: Iterator[str]) -> str | None:
    if next(lines, "").rstrip() != _FENCE:
        return None
    block: list[str] = []
    for line in lines:
        if line.rstrip() in {_FENCE, "..."}:
            return "\n".join(block)
        block.append(line)
    return None


def _spoken(header: dict[str, Any], file: str) -> dict[str, Any]:
    """Return the metadata, with the language that the file's ending tells."""
    metadata = {key: header[key] for key in KEYS if header.get(key) is not None}
    settings = metadata.get("jupytext")
    language = settings.get("main_language") if isinstance(settings, dict) else None
    if language is None and (script := _SCRIPTS.get(_ending(file))):
        language = script[1]
    if language is None and file.endswith(".Rmd"):
        language = "R"
    if language is not None:
        metadata.setdefault("language_info", {"name": language})
    return metadata


def _ending(name: str) -> str:
    return os.path.splitext(name)[1]  # noqa: PTH122
