"""The frames of a kernel's message -> the message; long texts in it are left as they came."""

from __future__ import annotations

import json
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import msgspec
from jupyter_client.adapter import adapt

from nbpipe.execution.spool import Escaped

if TYPE_CHECKING:
    import zmq
    from jupyter_client.session import Session as Protocol

LONG = 1_000_000
"""Bytes from which a text is better not decoded."""
SHOWN = {"display_data", "execute_result", "update_display_data"}


def decode(protocol: Protocol, frames: list[zmq.Frame]) -> dict[str, Any]:
    """Return a message, without a second copy of a long content."""
    parts: list[Any] = protocol.feed_identities(frames, copy=False)[1]
    content = parts.pop(4)
    signed = [bytes(part.bytes) for part in parts[:4]]
    check = protocol.sign([*signed[1:], content.buffer])
    if not compare_digest(check, signed[0]):
        raise ValueError("invalid signature")
    header, parent, metadata = (protocol.unpack(part) for part in signed[1:4])
    message = {
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": header["msg_type"],
        "parent_header": parent,
        "metadata": metadata,
        "content": _content(content, header["msg_type"]),
        "buffers": [memoryview(bytes(part.bytes)) for part in parts[4:]],
    }
    return adapt(message)  # from older versions of the protocol


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
    try:
        if kind == "stream" and len(frame.buffer) > LONG:
            stream = msgspec.json.decode(frame.buffer, type=_Stream)
            text = memoryview(stream.text)[1:-1]
            return {"name": stream.name, "text": Escaped(text)}
        if kind in SHOWN and len(frame.buffer) > LONG:
            shown = msgspec.json.decode(frame.buffer, type=_Shown)
            values = {mime: _value(raw) for mime, raw in shown.data.items()}
            return msgspec.structs.asdict(shown) | {"data": values}
        return msgspec.json.decode(frame.buffer)
    except msgspec.DecodeError:  # NaN, lone surrogates: what Python's own parser accepts
        return json.loads(frame.bytes)


def _value(raw: msgspec.Raw) -> Any:  # noqa: ANN401  (JSON)
    """Return a value of a display: a long text as it came."""
    text = memoryview(raw)
    if len(text) > LONG and bytes(text[:1]) == b'"':
        return Escaped(text[1:-1])
    return msgspec.json.decode(raw)
