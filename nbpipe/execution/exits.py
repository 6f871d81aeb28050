"""How a cell ended its session, where the kernel keeps that to itself: what its text says.

IRkernel drops the status of `quit()`, bash_kernel that of its shell, ipykernel the type of what
`sys.exit` was given. Only a text that leaves no doubt counts. Pure functions.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

Error = dict[str, Any]

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


def _error(name: str, message: str) -> Error:
    return {"ename": name, "evalue": message}
