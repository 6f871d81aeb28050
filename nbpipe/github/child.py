"""A command as a child of ours, told of every signal that we get; its end is returned.

It gets a session of its own, so that Ctrl-C in a terminal reaches it once, through us.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PASSED = (*_ENDS, signal.SIGUSR1)


class Signals:
    """The signals of this process from now on: counted, and passed on to the child."""

    def __init__(self) -> None:
        self.ended_by: signal.Signals | None = None
        """The first one that asked for an end."""
        self._child: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Own them meanwhile; only in the main thread."""
        before = {number: signal.signal(number, self._got) for number in _PASSED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Run a command to its end; return its code, below 0 for the signal that killed it."""
        with subprocess.Popen(command, env=environ, start_new_session=True) as child:
            self._child = child
            if self.ended_by is not None:  # it came while there was no child yet
                child.send_signal(self.ended_by)
            code = child.wait()
            self._child = None
        return code

    def _got(self, number: int, _: FrameType | None) -> None:
        if number in _ENDS and self.ended_by is None:
            self.ended_by = signal.Signals(number)
        if self._child is not None:
            self._child.send_signal(number)
