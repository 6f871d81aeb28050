"""Which cell a message of a kernel is about, where it does not say so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from nbformat import v4

from nbpipe.execution.kernels.session import Request, Session

if TYPE_CHECKING:
    from collections.abc import Mapping


def about(requests: Mapping[str, Request], kind: str, parent: str | None = None) -> Request | None:
    session = Session.__new__(Session)
    session._requests = dict(requests)
    header = {} if parent is None else {"msg_id": parent}
    return session._request_of({"parent_header": header, "msg_type": kind})


async def made(*, replied: bool, idle: bool) -> Request:
    request = Request(v4.new_code_cell("1"), 0)
    if replied:
        request.reply.set_result({})
    if idle:
        request.idle.set_result(None)
    return request


@pytest.mark.parametrize(
    ("replied", "idle", "error", "reply"),
    [
        (False, False, True, True),
        (True, False, True, False),  # the reply was quicker than the error
        (False, True, False, True),
        (True, True, False, False),
    ],
)
def test_a_message_without_a_parent_is_about_a_cell_whose_channel_is_not_over(
    *, replied: bool, idle: bool, error: bool, reply: bool
) -> None:
    async def judged() -> None:
        request = await made(replied=replied, idle=idle)
        known = {"a": request}
        assert (about(known, "error") is request) is error
        assert (about(known, "execute_reply") is request) is reply
        assert about(known, "stream") is None
        assert about(known, "stream", "a") is request

    asyncio.run(judged())


def test_of_several_cells_it_is_the_last() -> None:
    async def judged() -> None:
        first, last = [await made(replied=False, idle=False) for _ in range(2)]
        assert about({"a": first, "b": last}, "error") is last

    asyncio.run(judged())
