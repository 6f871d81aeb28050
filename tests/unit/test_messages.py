"""Whatever bytes a kernel sends become a message that later code can rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session
from nbformat.v4 import output_from_msg

from nbpipe.execution.kernels import messages
from nbpipe.execution.kernels.spool import Escaped

PROTOCOL = Session(key=b"secret")

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    (
        *("ename", "evalue", "traceback", "name", "text", "data", "metadata", "transient"),
        *("status", "execution_count", "payload", "user_expressions", "comm_id", "wait", "prompt"),
    )
)
KINDS = sorted({*messages._SHAPES, "status", "nosuch"})


def frames(kind: str, content: bytes, **parts: bytes) -> list[zmq.Frame]:
    header = json.dumps({"msg_id": "1", "msg_type": kind, "version": "5.3"}).encode()
    rest = [parts.get("header", header), parts.get("parent", b"{}"), b"{}", content]
    signature = parts.get("signature") or PROTOCOL.sign(rest)
    return [zmq.Frame(each) for each in (b"topic", b"<IDS|MSG>", signature, *rest)]


def decoded(kind: str, content: object, **parts: bytes) -> dict[str, Any]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return messages.decode(PROTOCOL, frames(kind, data, **parts))


@pytest.mark.parametrize(
    ("content", "ename", "evalue", "traceback"),
    [
        ({"ename": "E", "evalue": "bad"}, "E", "bad", []),
        ({"ename": "E", "evalue": 17, "traceback": ["t"]}, "E", "17", ["t"]),
        ({"ename": "E", "evalue": "bad", "traceback": "one\ntext"}, "E", "bad", ["one", "text"]),
        ({"ename": None, "evalue": None, "traceback": None}, "", "", []),
        (
            {"ename": "E", "evalue": {"a": [1]}, "traceback": [1, None]},
            "E",
            '{"a": [1]}',
            ["1", ""],
        ),
        (["boom"], "", '["boom"]', []),
        ({}, "", "", []),
    ],
)
def test_an_error_is_an_error_whatever_its_fields(
    content: object, ename: str, evalue: str, traceback: list[str]
) -> None:
    message = decoded("error", content)
    told = message["content"]
    assert (told["ename"], told["evalue"], told["traceback"]) == (ename, evalue, traceback)
    assert output_from_msg(message)["output_type"] == "error"  # type: ignore[no-untyped-call]


def test_an_error_that_nobody_can_read_is_still_an_error() -> None:
    message = decoded("error", b"{half")
    assert message["lost"].startswith("its content cannot be read (JSONDecodeError")
    assert message["content"]["evalue"].startswith("the kernel's error came, but its content")


def test_bytes_that_are_not_utf_8_become_replacement_characters() -> None:
    content = '{"ename": "ValueError", "evalue": "caf\xe9", "traceback": []}'.encode("latin-1")
    header = '{"msg_id": "1", "msg_type": "error", "username": "Ren\xe9"}'.encode("latin-1")
    message = decoded("error", content, header=header)
    assert message["content"]["evalue"] == "caf\ufffd"
    assert (message["lost"], message["odd"]) == ("", [])


def test_a_long_text_that_is_not_utf_8_is_kept_with_replacement_characters() -> None:
    said = b"x" * messages.LONG + b"caf\xe9"
    message = decoded("stream", b'{"name": "stdout", "text": "%s"}' % said)
    text = message["content"]["text"]
    assert isinstance(text, Escaped)
    assert bytes(text.data).decode() == said.decode(errors="replace")
    shown = decoded("display_data", b'{"data": {"text/html": "%s"}}' % said)
    assert str(shown["content"]["data"]["text/html"]).endswith("caf\ufffd")


def test_a_long_text_in_utf_8_is_not_copied() -> None:
    data = json.dumps({"name": "stdout", "text": "é" * messages.LONG}, ensure_ascii=False).encode()
    assert len(decoded("stream", data)["content"]["text"]) == len("é".encode()) * messages.LONG


@pytest.mark.parametrize(
    "number", ["9" * 5000, "1e999", "NaN", "-Infinity", "123456789012345678901234567890"]
)
def test_numbers_that_no_machine_holds_cost_no_message(number: str) -> None:
    message = decoded("execute_reply", f'{{"status": "ok", "x": {number}}}'.encode())
    assert (message["lost"], message["content"]["status"]) == ("", "ok")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"status": "ok"}, None),
        ({"status": "error", "ename": "E"}, "E"),
        ({"status": "aborted"}, "CellAborted"),
        ({"status": "fine"}, "NoStatus"),
        ({"status": 3}, "NoStatus"),
        ({}, "NoStatus"),
        ([], "NoStatus"),
        ({"ename": "E", "evalue": "no status at all"}, "E"),
        (b"\xff", ""),
    ],
)
def test_only_a_reply_that_says_ok_is_a_success(content: object, name: str | None) -> None:
    failed = messages.failed(decoded("execute_reply", content)["content"])
    assert (failed and failed["ename"]) == name


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"signature": b"0" * 64}, "signature is invalid"),
        ({"header": b"[1]"}, "header does not say"),
        ({"header": b"{"}, "header does not say"),
        ({"header": b'{"msg_type": 3}'}, "header does not say"),
    ],
)
def test_a_message_of_which_nobody_can_tell_what_it_is_is_unreadable(
    parts: dict[str, bytes], why: str
) -> None:
    with pytest.raises(messages.UnreadableMessageError, match=why):
        decoded("error", {}, **parts)
    with pytest.raises(messages.UnreadableMessageError):
        messages.decode(PROTOCOL, [zmq.Frame(b"alone")])
    with pytest.raises(messages.UnreadableMessageError, match="it has 1 of 5 parts"):
        messages.decode(PROTOCOL, [zmq.Frame(b"<IDS|MSG>"), zmq.Frame(b"")])


def test_a_parent_that_is_not_an_object_is_nobody() -> None:
    for parent in (b"null", b"[1]", b"{", b'{"msg_id": [1]}', b"\xff"):
        assert "msg_id" not in decoded("stream", {}, parent=parent)["parent_header"]


@given(st.sampled_from(KINDS), ANYTHING | st.dictionaries(FIELDS, ANYTHING))
def test_every_content_becomes_what_nbformat_takes(kind: str, content: object) -> None:
    message = decoded(kind, content)
    assert isinstance(message["content"], dict)
    if kind in {"error", "stream", "display_data", "execute_result"}:
        output_from_msg(message)  # type: ignore[no-untyped-call]  # raises for what it refuses


@given(ANYTHING, st.binary(max_size=40))
def test_what_is_well_formed_stays_as_it_is(value: object, junk: bytes) -> None:
    good = {"name": "stdout", "text": "a"}
    assert messages.wellformed("stream", good) == (good, [])
    result = {"data": {"application/json": value}, "metadata": {}, "execution_count": 1}
    shaped, odd = messages.wellformed("execute_result", result)
    assert (shaped["data"], odd) == (result["data"], [])
    decoded("error", junk)
