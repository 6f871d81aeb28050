"""Failures that kernels keep to themselves: what a cell's text and its outputs say instead.

Some kernels call a cell good although it failed (`error_of`). Others hide how it ended the session
(`of_r`, `of_shell`, `is_success`): IRkernel drops the status of `quit()`, bash_kernel that of its
shell, ipykernel the type of what `sys.exit` was given. Pure functions.

Only a text that leaves no doubt counts; so some errors of these kernels pass, which is why every
log of such a notebook, and `nbpipe doctor`, says that its kernel is one of them. The texts are
those of octave_kernel 1.1, gnuplot_kernel 0.5, calysto_scheme before 2 and sos-notebook 0.24.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Error = dict[str, Any]
"""A kernel's error: ename, evalue, traceback (messaging protocol)."""

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


def error_of(language: str, source: str, printed: str) -> Error | None:
    """Return the error of a cell that its kernel calls good; None where its text has none.

    Args:
        language: The kernel's.
        source: The cell's code.
        printed: What it printed and showed, as plain text.
    """
    find = _FINDERS.get(language)
    return find(source, printed.replace("\r\n", "\n")) if find else None


def _octave(source: str, printed: str) -> Error | None:
    match = _OCTAVE.search(printed)
    if match is None or _OCTAVE_PRINTS.search(source):  # it may be the cell's own words
        return None
    return _error("Error", " ".join(match[1].split()) if ">>>" in match[1] else match[1].strip())


def _gnuplot(_: str, printed: str) -> Error | None:
    match = _GNUPLOT.search(printed)
    return (
        _error("Error", (match["what"] or match["line"]).removeprefix("warning: ").strip())
        if match
        else None
    )


def _scheme(_: str, printed: str) -> Error | None:
    match = _SCHEME.search(printed)
    return _error(match[1], match[2]) if match else None


def _sos(_: str, printed: str) -> Error | None:
    match = _SOS.search(printed)
    return _error("Error", match[1]) if match else None


def _error(name: str, message: str) -> Error:
    return {"ename": name, "evalue": message, "traceback": []}


_FINDERS: dict[str, Callable[[str, str], Error | None]] = {
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


_QUIT = re.compile(r"(?<![\w.])(?:quit|q)\s*\(([^()]*)\)")
_QUIT_ARGUMENTS = ("save", "status", "runLast")
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_SUCCESSES = {"", "0", "False", "None"}
_EXITS = {"sys.exit", "SystemExit", "exit", "quit"}
_EXIT = re.compile(r"exit(?:\s+(\d+))?\s*;?")


def asked(reply: dict[str, Any]) -> bool:
    """Return whether the kernel asks to end the session (messaging protocol, payloads)."""
    return any(entry.get("source") == "ask_exit" for entry in reply.get("payload") or [])


def is_success(value: str, source: str) -> bool:
    """Return whether a script that raised that `SystemExit` would have ended with status 0.

    Python takes integers (a boolean is one) for the status and None for 0; everything else is
    printed, and the status is 1 (`sys.exit`). The protocol has only the text of the value, so
    that `exit("0")` is told from `exit(0)` by the cell's code.

    Args:
        value: The text of the value.
        source: The cell's code.
    """
    if value not in _SUCCESSES:
        return False
    return not any(str(given) == value for given in _given(source))


def _given(source: str) -> list[object]:
    """Return the constants that calls of `exit` are given and that are printed, not a status."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the notebook's code, such as a `\d` in it
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        argument.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) in _EXITS
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str | bytes | float)
    ]


def of_r(source: str) -> list[Error]:
    """Return the error of an R cell that ended the session, none where it may have ended well."""
    statuses = [_status(call) for call in _QUIT.findall(_COMMENT.sub("", source))]
    if not statuses or not all(statuses):
        return []
    return [_error("QuitStatus", f"the cell ended the session with status {statuses[-1]}")]


def of_shell(source: str) -> list[Error]:
    """Return the error of a cell that ended its shell, none for a bare `exit` or `exit 0`."""
    alone = _EXIT.fullmatch(_COMMENT.sub("", source).strip())
    if alone and not int(alone[1] or 0):
        return []
    status = f"status {alone[1]}" if alone else "which status is not known"
    return [
        _error(
            "ShellExit",
            "the cell ended its shell: `exit`, or a command that failed under `set -e` (with"
            f" {status})",
        )
    ]


def _status(arguments: str) -> int | None:
    """Return the status that a call of `quit` is given; None where it is not a number."""
    given: dict[str, str] = {}
    for argument in filter(str.strip, arguments.split(",")):
        name, equals, value = argument.partition("=")
        free = next((each for each in _QUIT_ARGUMENTS if each not in given), "")
        given[name.strip() if equals else free] = (value if equals else name).strip()
    number = re.fullmatch(r"(\d+)L?", given.get("status", "0"))
    return int(number[1]) if number else None
