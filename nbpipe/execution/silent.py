"""Kernels that call a cell good although it failed: what the text of its outputs says instead.

Only a text that leaves no doubt counts; so some errors of these kernels pass, which is why every
log of such a notebook, and `nbpipe doctor`, says that its kernel is one of them. The texts are
those of octave_kernel 1.1, gnuplot_kernel 0.5, calysto_scheme before 2 and sos-notebook 0.24.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_OCTAVE = re.compile(r"^error: (?!called from)(.*(?:\n+(?: |>>>).*)*)", re.MULTILINE)
_OCTAVE_PRINTS = re.compile(
    r"(?:disp|printf|puts|fputs|fdisp|display)\s*\([^\n]*error: |lasterr|getReport"
)
_GNUPLOT = re.compile(
    r"^(?:\s*\^\n\s*(?P<what>\S.*)|(?P<line>undefined (?:variable|function): \S.*"
    r"|Cannot load input from .*|warning: Cannot find or open file .*))$",
    re.MULTILINE,
)
_SCHEME = re.compile(
    r"^Traceback \(most recent call last\):(?:\n.*)*?\n(\w*Error): (.*)$", re.MULTILINE
)
_SOS = re.compile(r"^(Failed to (?:get|put|change dir|render|load) .*)$", re.MULTILINE)


def error_of(language: str, source: str, printed: str) -> dict[str, Any] | None:
    """Return the error of a cell that its kernel calls good; None where its text has none.

    Args:
        language: The kernel's.
        source: The cell's code.
        printed: What it printed and showed, as plain text.
    """
    find = _FINDERS.get(language)
    return find(source, printed.replace("\r\n", "\n")) if find else None


def _octave(source: str, printed: str) -> dict[str, Any] | None:
    match = _OCTAVE.search(printed)
    if match is None or _OCTAVE_PRINTS.search(source):  # it may be the cell's own words
        return None
    return _error("Error", " ".join(match[1].split()) if ">>>" in match[1] else match[1].strip())


def _gnuplot(_: str, printed: str) -> dict[str, Any] | None:
    match = _GNUPLOT.search(printed)
    return (
        _error("Error", (match["what"] or match["line"]).removeprefix("warning: ").strip())
        if match
        else None
    )


def _scheme(_: str, printed: str) -> dict[str, Any] | None:
    match = _SCHEME.search(printed)
    return _error(match[1], match[2]) if match else None


def _sos(_: str, printed: str) -> dict[str, Any] | None:
    match = _SOS.search(printed)
    return _error("Error", match[1]) if match else None


def _error(name: str, message: str) -> dict[str, Any]:
    return {"ename": name, "evalue": message, "traceback": []}


_FINDERS: dict[str, Callable[[str, str], dict[str, Any] | None]] = {
    "gnuplot": _gnuplot,
    "octave": _octave,
    "scheme": _scheme,
    "sos": _sos,
}


def caution(language: str) -> str:
    """Return why a pass on a kernel of that language proves less; empty where it does not."""
    if language not in _FINDERS:
        return ""
    return (
        f"a kernel for {language} does not report every error: a cell that failed can count as"
        " passed unless its output says so"
    )
