"""Whether a kernel must shut down in order, or may be killed.

What an orderly end would see to is asked of the kernel itself (see `leftovers`).
How it is ended stands in `kernel`.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import zmq

from nbpipe.execution.kernels.provisioner import first_of
from nbpipe.execution.kernels.sockets import WAIT

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient

Shutdown = Literal["auto", "graceful", "immediate"]

TRACERS = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COV_CORE_SOURCE")
"""Variables that have a Python process write coverage data at its end, from before its start."""

_KEY = "nbpipe"


class End:
    """Decides how one kernel ends.

    Args:
        shutdown: The setting; only `auto` asks the kernel.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._asked = ""
        self._python = False
        self._before: str | None = None
        self._after: str | None = None

    def insist(self, graceful: bool) -> None:  # noqa: FBT001  (its only word)
        """Take note of a kernel that has something to see to from its start, where it has."""
        if graceful and self._shutdown == "auto":
            self._shutdown = "graceful"

    def began(self, client: AsyncKernelClient, *, python: bool, env: dict[str, str]) -> None:
        """Ask a kernel that starts; the answer is the first on its shell channel.

        It is also asked to keep all of its output.
        """
        self._python = python
        if self._shutdown == "auto" and python and not any(map(env.get, TRACERS)):
            self._asked = _ask(client, _QUESTION, WAIT)
        elif python:
            _ask(client, WAIT)

    def heard(self, reply: dict[str, Any]) -> None:
        """Take the answer, should this be it."""
        if self._asked and reply["parent_header"].get("msg_id") == self._asked:
            self._before = _answer(reply["content"])
            self.insist(_has_begun(self._before))

    def question(self) -> dict[str, str]:
        """Return what the last cell's request asks as well; nothing where nobody wants to know."""
        return {_KEY: _QUESTION} if self._shutdown == "auto" and self._before else {}

    def answered(self, content: dict[str, Any]) -> None:
        """Take the content of that request's reply; a cell that failed answers nothing."""
        self._after = _answer(content)

    async def is_needed(
        self, client: AsyncKernelClient, exited: asyncio.Future[Any], *, seconds: float
    ) -> bool:
        """Return whether there is anything to see to; also where that cannot be found out."""
        if self._shutdown != "auto":
            return self._shutdown == "graceful"
        if self._before is None:
            return True
        if self._after is not None:
            return _left(self._after) != _left(self._before)
        answer = await _answered(client, _QUESTION, exited, seconds=seconds)
        return answer is None or _left(answer) != _left(self._before)

    async def leave(
        self, client: AsyncKernelClient, exited: asyncio.Future[Any], *, seconds: float
    ) -> bool:
        """Have a Python kernel end in order; return whether it will, else it is to be asked."""
        if not self._python:
            return False
        return await _answered(client, _FAREWELL, exited, seconds=seconds) is not None


async def _answered(
    client: AsyncKernelClient, question: str, exited: asyncio.Future[Any], *, seconds: float
) -> str | None:
    """Return what a kernel answers; None where it does not."""
    asking = asyncio.ensure_future(_reply(client, question))
    await first_of(asking, exited, seconds=seconds)
    if asking.done():
        return asking.result()
    asking.cancel()
    await asyncio.wait({asking})
    return None


async def _reply(client: AsyncKernelClient, question: str) -> str | None:
    asked = _ask(client, question)
    while True:
        reply = await client.shell_channel.get_msg()
        if reply["parent_header"].get("msg_id") == asked:
            return _answer(reply["content"])


def _ask(client: AsyncKernelClient, question: str, request: str = "None") -> str:
    """Send a question and a request, with nothing that a notebook would see.

    Return the message id.
    """
    expressions = {_KEY: question, f"{_KEY} request": request}
    asked: str = client.execute("", silent=True, user_expressions=expressions)
    client.shell_channel.socket.get(zmq.EVENTS)  # see Session._look_again
    return asked


def _answer(content: dict[str, Any]) -> str | None:
    with contextlib.suppress(KeyError, TypeError):
        return str(content["user_expressions"][_KEY]["data"]["text/plain"])
    return None


def _expression(wanted: str) -> str:
    """Return something of `leftovers` as an expression, which leaves no name behind."""
    source = Path(__file__).with_name("leftovers.py").read_text(encoding="utf-8")
    return f"(lambda own: (exec({source!r}, own), {wanted})[1])({{}})"


def _has_begun(answer: str | None) -> bool:
    """Return whether there was something to see to before the first cell."""
    return answer is not None and "True" in answer.partition(" ")[0]


def _left(answer: str) -> str:
    """Return the rest of an answer: what there is to see to."""
    return answer.partition(" ")[2]


_QUESTION = _expression("'%s %s' % (own['from_start'](), own['left']())")
_FAREWELL = _expression(
    "own['leave'](__import__('ipykernel.kernelapp').kernelapp.IPKernelApp.instance().kernel)"
)
