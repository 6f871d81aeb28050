"""The content of a kernel's message as the protocol says it is, whatever the kernel sent.

Kernels leave out fields, send null, numbers or one text where a list belongs. nbclient and
nbformat refuse such a message, and an error that is refused would let its notebook pass. So
everything that later code relies on is put in order here; what was odd is said, for the log.
Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nbpipe.execution.kernels.spool import Escaped

if TYPE_CHECKING:
    from collections.abc import Callable

Content = dict[str, Any]

_JSON = re.compile(r"application/(?:.*\+)?json")
"""The types whose values may be anything (nbformat's schema, `mimebundle`)."""


def wellformed(kind: str, content: object) -> tuple[Content, list[str]]:
    """Return the content of a message of that kind, and what had to be put in order."""
    odd: list[str] = []
    if not isinstance(content, dict):
        odd.append(f"its content is {_kind(content)}, not an object")
        content = {"evalue": text(content)} if kind == "error" else {}
    shape = _SHAPES.get(kind)
    if shape is None:
        return content, odd
    shaped = {**content, **shape(content)}
    odd += [f"`{name}` is {_kind(content.get(name))}" for name in shaped if _differs(
        content.get(name), shaped[name]
    )]  # fmt: skip
    return shaped, odd


def text(value: object) -> str:
    """Return a text for a value that should be one; null is nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _differs(given: object, shaped: object) -> bool:
    """Return whether a value was changed; one that the protocol lets kernels leave out was not."""
    if shaped in (None, {}, [], False):
        return given not in (None, shaped)
    return given is not shaped and given != shaped


def _kind(value: object) -> str:
    if value is None:
        return "missing or null"
    return {str: "text", bool: "a boolean", int: "a number", float: "a number", list: "a list",
            dict: "an object"}.get(type(value), type(value).__name__)  # fmt: skip


def _error(content: Content) -> Content:
    lines = content.get("traceback")
    if not isinstance(lines, list):
        lines = text(lines).splitlines()
    return {
        "ename": text(content.get("ename")),
        "evalue": text(content.get("evalue")),
        "traceback": [text(line) for line in lines],
    }


def _reply(content: Content) -> Content:
    """Return what a reply says; only `ok` is a success (see `failed`)."""
    payload = content.get("payload")
    return {
        **(_error(content) if content.get("status") != "ok" else {}),
        "status": text(content.get("status")),
        "execution_count": _count(content),
        "payload": [each for each in payload if isinstance(each, dict)]
        if isinstance(payload, list)
        else [],
        "user_expressions": _object(content, "user_expressions"),
    }


def _stream(content: Content) -> Content:
    said = content.get("text")
    if isinstance(said, list):
        said = "".join(map(text, said))
    elif not isinstance(said, Escaped):
        said = text(said)
    return {"name": text(content.get("name")) or "stdout", "text": said}


def _display(content: Content) -> Content:
    data = content.get("data")
    if not isinstance(data, dict):
        data = {} if data is None else {"text/plain": data}
    transient = _object(content, "transient")
    if not isinstance(transient.get("display_id"), str | None):
        transient = {**transient, "display_id": text(transient["display_id"])}
    return {
        "data": {mime: _value(mime, value) for mime, value in data.items()},
        "metadata": _object(content, "metadata"),
        "transient": transient,
    }


def _result(content: Content) -> Content:
    return {**_display(content), "execution_count": _count(content)}


def _value(mime: str, value: object) -> object:
    """Return a value of a display as nbformat takes it: text, but for JSON."""
    if isinstance(value, str | Escaped) or _JSON.fullmatch(mime):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return text(value)


def _clear(content: Content) -> Content:
    return {"wait": bool(content.get("wait"))}


def _input(content: Content) -> Content:
    return {"execution_count": _count(content)}


def _comm(content: Content) -> Content:
    data = _object(content, "data")
    shaped: Content = {**data}
    if "state" in data:
        shaped["state"] = _object(data, "state")
    if not isinstance(data.get("buffer_paths", []), list):
        shaped["buffer_paths"] = []
    return {"comm_id": text(content.get("comm_id")), "data": shaped}


def _prompt(content: Content) -> Content:
    return {"prompt": text(content.get("prompt"))}


def _object(content: Content, name: str) -> Content:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _count(content: Content) -> int | None:
    count = content.get("execution_count")
    return count if isinstance(count, int) and not isinstance(count, bool) else None


_SHAPES: dict[str, Callable[[Content], Content]] = {
    "clear_output": _clear,
    "comm_close": _comm,
    "comm_msg": _comm,
    "comm_open": _comm,
    "display_data": _display,
    "error": _error,
    "execute_input": _input,
    "execute_reply": _reply,
    "execute_result": _result,
    "input_request": _prompt,
    "stream": _stream,
    "update_display_data": _display,
}


def failed(reply: Content) -> Content | None:
    """Return the error that a reply is, None where it says that the cell succeeded."""
    status = reply["status"]
    if status == "ok":
        return None
    if status == "error" or any(reply[field] for field in ("ename", "evalue", "traceback")):
        return reply
    if status in {"aborted", "abort"}:
        why = "the kernel aborted the cell without executing it"
    elif status:
        why = f"the kernel's reply has the unknown status {status!r}"
    else:
        why = "the kernel's reply does not say whether the cell succeeded: it has no status"
    return {**reply, "ename": "CellAborted" if "abort" in status else "NoStatus", "evalue": why}
