"""Do something as another Linux user, in a child process that the user cannot hold up.

The child gives up root for good (groups, gid, uid; every capability goes with them), so whatever
it does is allowed to that user. But a user may also signal their own processes: one that is
stopped (SIGSTOP), killed, or slow on purpose must not keep root waiting. The child therefore says
that it is getting on, and is killed and reported where it falls silent.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbpipe.publishing.spaces.homes import Account

SILENCE = 10.0
"""Seconds without a sign of life until the child is killed."""
WHOLE = 300.0
"""Seconds for everything: stopping and continuing a process by turns is a sign of life, too."""
_GONE = 2.0
"""Seconds for a killed process to end; one that waits for a dead file server may never do so."""
_ALIVE = b"."


class ActingError(Exception):
    """Nothing came back from the child: it could not become the user, or was held up."""


def act(
    account: Account,
    work: Callable[[Callable[[], None]], Any],
    *,
    silence: float = SILENCE,
    whole: float = WHOLE,
) -> Any:  # noqa: ANN401  (whatever JSON the work returns)
    """Call `work` as the user in a child process; return what it returned.

    Args:
        account: Who to become; the caller is root.
        work: Returns what JSON can hold. Is given a function to call after each step, which says
            that it is getting on.
        silence: Seconds without a sign of life until it is given up.
        whole: Seconds for everything.

    Raises:
        ActingError: It could not become the user, or did not answer in time.
        OSError: The work's own, or the child could not be started.
    """
    # Asked before the fork: the directory service's library may hold locks of other threads,
    # which nobody would release in the child.
    groups = os.getgrouplist(account.name, account.gid)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(writing, account, groups, work)
    os.close(writing)
    try:
        answer = _answer(reading, silence, whole)
    finally:
        os.close(reading)
        _end(child)
    if answer is None:
        raise ActingError(
            f"gave up acting as {account.name}: their process did not answer "
            f"for {silence:g} s (stopped, or a file server that does not answer)"
        )
    if not answer:
        raise ActingError(f"could not act as {account.name}: the process was killed")
    kind, value = json.loads(answer)
    if kind == "error":
        raise OSError(*value)
    if kind == "refused":
        raise ActingError(f"could not act as {account.name}: {value}")
    return value


def _answer(reading: int, silence: float, whole: float) -> bytes | None:
    """Return what the child said in the end, None where it fell silent."""
    waiting = select.poll()
    waiting.register(reading, select.POLLIN | select.POLLHUP)
    end = time.monotonic() + whole
    said = bytearray()
    while (left := min(silence, end - time.monotonic())) > 0:
        if not waiting.poll(left * 1000):
            return None
        data = os.read(reading, 1 << 16)
        if not data:
            return bytes(said.lstrip(_ALIVE))
        said += data
    return None


def _end(child: int) -> None:
    """Kill the child and reap it; what cannot end now is left to init."""
    os.kill(child, signal.SIGKILL)
    end = time.monotonic() + _GONE
    while os.waitpid(child, os.WNOHANG)[0] == 0 and time.monotonic() < end:
        time.sleep(0.002)


def _child(
    writing: int,
    account: Account,
    groups: Sequence[int],
    work: Callable[[Callable[[], None]], Any],
) -> None:
    """Be the user, do the work, say what came of it, and end: never return to the caller."""
    try:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            try:
                os.setgroups(groups)
                os.setresgid(account.gid, account.gid, account.gid)
                os.setresuid(account.uid, account.uid, account.uid)
            except OSError as error:
                answer: tuple[str, Any] = ("refused", str(error))
            else:
                answer = _done(work, lambda: _say(pipe.fileno(), _ALIVE))
            _say(pipe.fileno(), json.dumps(answer).encode())
    finally:
        os._exit(0)


def _done(work: Callable[[Callable[[], None]], Any], alive: Callable[[], None]) -> tuple[str, Any]:
    try:
        return "done", work(alive)
    except OSError as error:
        return "error", (error.errno, error.strerror or str(error))


def _say(writing: int, data: bytes) -> None:
    with suppress(BrokenPipeError):  # the parent has given up
        while data:
            data = data[os.write(writing, data) :]
