"""The frames of a kernel's message -> the message; long texts in it are left as they came.

Bytes that are not UTF-8 become replacement characters: jupyter_client itself writes a name or a
text with such bytes as they are (`surrogateescape`). A content that cannot be read at all is
replaced by nothing, and the message says so: that there was an error, or a reply, still counts.
"""

from __future__ import annotations

import codecs
import json
import re
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import msgspec
from jupyter_client.adapter import adapt

from nbpipe.execution.kernels.spool import Escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    import zmq
    from jupyter_client.session import Session as Protocol

LONG = 1_000_000
"""Bytes from which a text is better not decoded."""
SHOWN = {"display_data", "execute_result", "update_display_data"}

_PARTS = 5
"""Signature, header, parent's header, metadata, content; then come buffers."""
_PIECE = 1 << 20
_VERSION = re.compile(r"\d{1,4}(?:\.|\Z)")
_DIGITS = 4_300
"""Python reads no longer integer (`sys.int_info.default_max_str_digits`)."""


class UnreadableMessageError(ValueError):
    """Nobody can tell what a message is; the text says why."""


def decode(protocol: Protocol, frames: list[zmq.Frame]) -> dict[str, Any]:
    """Return a message, without a second copy of a long content.

    `odd` lists what was not as the protocol says, `lost` says why the content could not be read
    (empty where it could).

    Raises:
        UnreadableMessageError: It has no header, or the signature of somebody else.
    """
    try:
        parts: list[Any] = protocol.feed_identities(frames, copy=False)[1]
    except ValueError as error:
        raise UnreadableMessageError("its delimiter is missing") from error
    if len(parts) < _PARTS:
        raise UnreadableMessageError(f"it has {len(parts)} of {_PARTS} parts")
    content = parts.pop(4)
    signed = [bytes(part.bytes) for part in parts[:4]]
    check = protocol.sign([*signed[1:], content.buffer])
    if not compare_digest(check, signed[0]):
        raise UnreadableMessageError("its signature is invalid")
    header, odd = _header(signed[1])
    parent = _object(signed[2], "the header of its parent", odd)
    if not isinstance(parent.get("msg_id"), str):
        parent.pop("msg_id", None)
    message = {
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": header["msg_type"],
        "parent_header": parent,
        "metadata": _object(signed[3], "its metadata", odd),
        "content": {},
        "buffers": [memoryview(bytes(part.bytes)) for part in parts[4:]],
        "lost": "",
    }
    try:
        message["content"] = _content(content, header["msg_type"])
        message = adapt(message)  # from older versions of the protocol
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        message["lost"] = f"its content cannot be read ({type(error).__name__}: {error})"
    message["content"], shaped = wellformed(message["msg_type"], message["content"])
    message["odd"] = odd + shaped
    if message["lost"] and message["msg_type"] in {"error", "execute_reply"}:
        why = f"the kernel's {message['msg_type']} came, but {message['lost']}"
        message["content"] |= {"status": "error", "evalue": why}
    return message


def unreadable(why: str) -> dict[str, Any]:
    """Return the reply that stands for one that nobody can read: the cell that runs failed."""
    content, _ = wellformed(
        "execute_reply",
        {"status": "error", "evalue": f"the kernel's reply came, but cannot be read: {why}"},
    )
    return {"msg_type": "execute_reply", "parent_header": {}, "content": content}


def _header(data: bytes) -> tuple[dict[str, Any], list[str]]:
    odd: list[str] = []
    header = _object(data, "its header", odd)
    if not isinstance(header.get("msg_type"), str):
        raise UnreadableMessageError("its header does not say what it is")
    if not isinstance(header.get("msg_id"), str):
        header["msg_id"] = ""
    if not _VERSION.match(str(header.get("version", "5"))):  # jupyter_client takes it for a text
        header["version"] = "5"
    return header, odd


def _object(data: bytes, what: str, odd: list[str]) -> dict[str, Any]:
    """Return an object; an empty one where it is not an object at all."""
    try:
        found = _lenient(data)
    except (ValueError, RecursionError) as error:
        odd.append(f"{what} cannot be read: {error}")
        return {}
    if not isinstance(found, dict):
        odd.append(f"{what} is not an object")
        return {}
    return found


def _lenient(data: bytes) -> Any:  # noqa: ANN401  (JSON)
    """Read JSON with Python's own parser: NaN, lone surrogates, control characters."""
    text = data.decode(errors="replace")
    return json.loads(text, strict=False, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS else float(digits)


class _Stream(msgspec.Struct):
    """The content of a stream message whose text is not decoded."""

    name: str
    text: msgspec.Raw


class _Shown(msgspec.Struct):
    """The content of a display whose values are not decoded."""

    data: dict[str, msgspec.Raw]
    metadata: dict[str, Any] = {}
    transient: dict[str, Any] = {}
    execution_count: int | None = None


def _content(frame: zmq.Frame, kind: str) -> Any:  # noqa: ANN401  (JSON)
    data = frame.buffer
    try:
        if kind == "stream" and len(data) > LONG:
            stream = msgspec.json.decode(_utf8(data), type=_Stream)
            text = memoryview(stream.text)
            if bytes(text[:1]) == b'"':
                return {"name": stream.name, "text": Escaped(text[1:-1])}
        if kind in SHOWN and len(data) > LONG:
            shown = msgspec.json.decode(_utf8(data), type=_Shown)
            values = {mime: _value(raw) for mime, raw in shown.data.items()}
            return msgspec.structs.asdict(shown) | {"data": values}
        return msgspec.json.decode(data)
    except msgspec.DecodeError:  # NaN, lone surrogates, not UTF-8
        return _lenient(frame.bytes)


def _utf8(data: memoryview) -> memoryview:
    """Return a text in UTF-8; what is not becomes replacement characters."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pure = True
    try:
        for start in range(0, len(data), _PIECE):
            piece = bytes(data[start : start + _PIECE])
            if not (pure := pure and piece.isascii()):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return memoryview(bytes(data).decode(errors="replace").encode())
    return data


def _value(raw: msgspec.Raw) -> Any:  # noqa: ANN401  (JSON)
    """Return a value of a display: a long text as it came."""
    text = memoryview(raw)
    if len(text) > LONG and bytes(text[:1]) == b'"':
        return Escaped(text[1:-1])
    return msgspec.json.decode(raw)


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
        "user_expressions": _mapping(content, "user_expressions"),
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
    transient = _mapping(content, "transient")
    if not isinstance(transient.get("display_id"), str | None):
        transient = {**transient, "display_id": text(transient["display_id"])}
    return {
        "data": {mime: _shown(mime, value) for mime, value in data.items()},
        "metadata": _mapping(content, "metadata"),
        "transient": transient,
    }


def _result(content: Content) -> Content:
    return {**_display(content), "execution_count": _count(content)}


def _shown(mime: str, value: object) -> object:
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
    data = _mapping(content, "data")
    shaped: Content = {**data}
    if "state" in data:
        shaped["state"] = _mapping(data, "state")
    if not isinstance(data.get("buffer_paths", []), list):
        shaped["buffer_paths"] = []
    return {"comm_id": text(content.get("comm_id")), "data": shaped}


def _prompt(content: Content) -> Content:
    return {"prompt": text(content.get("prompt"))}


def _mapping(content: Content, name: str) -> Content:
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
