"""The last word before a flip: a command of the operator's, run on a copy of the candidate.

A release shares its files with the ones before it, and no mode stops root: so the command gets
bytes of its own, and nothing that it started outlives it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.config.variables import named, without
from nbpipe.publishing.errors import Refused, Stopped
from nbpipe.publishing.releases import gate_guard
from nbpipe.system.text import plain

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.config.settings import CollectionSettings

_TAIL = 2_000
"""Bytes of its output that the message repeats."""
_GRACE = 10.0
"""Seconds for the guard to end what the command has started."""
_LOOK = 0.2
"""Seconds between two looks at whether to stop."""


def ask(  # noqa: PLR0913  (all that a gate is told, and when to end it)
    settings: CollectionSettings,
    candidate: Path,
    *,
    outputs: Path | None = None,
    commit: str,
    previous: str | None,
    environ: Mapping[str, str],
    stop: threading.Event,
) -> None:
    """Run the gate, if there is one, with the candidate's folder as its last argument.

    It also finds NBPIPE_COLLECTION, NBPIPE_COMMIT, NBPIPE_PREVIOUS and NBPIPE_CANDIDATE in its
    environment, and none of the secrets that the settings name. Whatever it started is ended,
    also what detached itself.

    Args:
        settings: The collection's.
        candidate: The folder to judge.
        outputs: Where it may leave its run, as NBPIPE_OUTPUTS; see `outputs`.
        commit: What the candidate is of.
        previous: What readers see now.
        environ: The service's environment.
        stop: Ends it.

    Raises:
        Refused: It ended with another code than 0, took too long, or cannot be run.
        Stopped: `stop` was set while it ran; nothing is known of the candidate.
    """
    if not settings.gate:
        return
    environment = without(environ, named(settings)) | {
        "NBPIPE_COLLECTION": settings.name,
        "NBPIPE_COMMIT": commit,
        "NBPIPE_PREVIOUS": previous or "",
        "NBPIPE_CANDIDATE": os.fspath(candidate),
    }
    if outputs:
        environment["NBPIPE_OUTPUTS"] = os.fspath(outputs)
    with tempfile.TemporaryFile() as output:
        command = [*settings.gate, os.fspath(candidate)]
        end = _run(command, environment, output.fileno(), settings.gate_timeout, stop)
        if end.good:
            return
        if end.stopped:
            raise Stopped(f"{settings.name}: stopped while the gate looked at commit {commit}")
        output.seek(max(output.seek(0, os.SEEK_END) - _TAIL, 0))
        said = plain(output.read().decode("utf-8", "replace").strip())
    what = f"{settings.name}: the gate `{settings.gate[0]}`"
    if end.failed:
        raise Refused(f"{what} cannot be run: {end.failed}")
    raise Refused(
        f"{what} {_how(end, settings)} on commit {commit}" + (f"\n{said}" if said else ""),
        hint="The last release stays, until the branch has another head.",
    )


@dataclass(frozen=True, slots=True)
class _End:
    """How a command ended."""

    code: int | None
    """None: it was ended before its time."""
    failed: str = ""
    """Why it could not be started."""
    left: bool = False
    """Something that it started is still running."""
    stopped: bool = False
    """It was ended because of `stop`."""

    @property
    def good(self) -> bool:
        return self.code == 0 and not self.failed and not self.left


def _how(end: _End, settings: CollectionSettings) -> str:
    if end.code is None:
        return f"took longer than {settings.gate_timeout:g} s"
    if end.code == 0:
        return "left a process running that cannot be ended"
    return f"ended with {end.code}"


def _run(
    command: list[str],
    environment: dict[str, str],
    output: int,
    timeout: float,
    stop: threading.Event,
) -> _End:
    """Run it below a guard; nothing of it is left running, as far as that can be had."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as status:
        try:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", gate_guard.__file__, str(writing), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        try:
            ended = _ended(guard, timeout, stop)
        finally:
            _end(guard)
        told = _told(status.read().decode("utf-8", "replace"))
    if guard.returncode and "started" in told:
        # Killed by what it should have watched: at least the command's own session ends.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(told["started"]), signal.SIGKILL)
    code = int(told.get("exited", -signal.SIGKILL)) if ended else None
    return _End(
        code=code,
        failed=told.get("failed", ""),
        left="left" in told,
        stopped=not ended and stop.is_set(),
    )


def _ended(guard: subprocess.Popen[bytes], timeout: float, stop: threading.Event) -> bool:
    """Wait for the end; False where the time was over before, or `stop` was set."""
    limit = time.monotonic() + timeout
    while not stop.is_set() and (left := limit - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            guard.wait(min(left, _LOOK))
            return True
    return False


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Have the guard end everything; where it does not, end the guard, and the command with it."""
    guard.terminate()
    try:
        guard.wait(_GRACE)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()


def _told(said: str) -> dict[str, str]:
    """Return what the guard said, by its first words; one that was killed said less."""
    return {word: rest for word, _, rest in (line.partition(" ") for line in said.splitlines())}
