"""How a cell ended its session, where the kernel keeps that to itself: what its text says.

IRkernel drops the status of `quit()`, bash_kernel that of its shell. Only a text that leaves no
doubt counts. Pure functions.
"""

from __future__ import annotations

import re
from typing import Any

Error = dict[str, Any]

_QUIT = re.compile(r"(?<![\w.])(?:quit|q)\s*\(([^()]*)\)")
_QUIT_ARGUMENTS = ("save", "status", "runLast")
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_EXIT = re.compile(r"exit(?:\s+(\d+))?\s*;?")


def asked(reply: dict[str, Any]) -> bool:
    """Return whether the kernel asks to end the session (messaging protocol, payloads)."""
    return any(entry.get("source") == "ask_exit" for entry in reply.get("payload") or [])


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
    """Return the status that a call of `quit` is given; None where it is no number."""
    given: dict[str, str] = {}
    for argument in filter(str.strip, arguments.split(",")):
        name, equals, value = argument.partition("=")
        free = next((each for each in _QUIT_ARGUMENTS if each not in given), "")
        given[name.strip() if equals else free] = (value if equals else name).strip()
    number = re.fullmatch(r"(\d+)L?", given.get("status", "0"))
    return int(number[1]) if number else None


def _error(name: str, message: str) -> Error:
    return {"ename": name, "evalue": message}
