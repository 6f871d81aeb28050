"""The last word before a flip: a command of the operator's, run on the candidate."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

from nbpipe.publishing.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbpipe.settings import CollectionSettings

_TAIL = 2_000
"""Bytes of its output that the message repeats."""


def ask(
    settings: CollectionSettings,
    candidate: Path,
    *,
    commit: str,
    previous: str | None,
    environ: Mapping[str, str],
) -> None:
    """Run the gate, if there is one, with the candidate's folder as its last argument.

    It also finds NBPIPE_COLLECTION, NBPIPE_COMMIT, NBPIPE_PREVIOUS and NBPIPE_CANDIDATE in its
    environment, and none of the secrets that the settings name.

    Raises:
        Refused: It ended with another code than 0, took too long, or cannot be run.
    """
    if not settings.gate:
        return
    secret = {name.partition(":")[2] for name in (*settings.secrets, settings.token or "")}
    environment = {name: value for name, value in environ.items() if name not in secret} | {
        "NBPIPE_COLLECTION": settings.name,
        "NBPIPE_COMMIT": commit,
        "NBPIPE_PREVIOUS": previous or "",
        "NBPIPE_CANDIDATE": os.fspath(candidate),
    }
    what = f"{settings.name}: the gate `{settings.gate[0]}`"
    with tempfile.TemporaryFile() as output:
        code = _run([*settings.gate, os.fspath(candidate)], environment, output.fileno(), settings)
        if code == 0:
            return
        output.seek(max(output.seek(0, os.SEEK_END) - _TAIL, 0))
        said = output.read().decode("utf-8", "replace").strip()
    how = f"took longer than {settings.gate_timeout:g} s" if code is None else f"ended with {code}"
    raise Refused(
        f"{what} {how} on commit {commit}" + (f"\n{said}" if said else ""),
        hint="The last release stays, until the branch has another head.",
    )


def _run(
    command: list[str], environment: dict[str, str], output: int, settings: CollectionSettings
) -> int | None:
    """Return the exit code, None where the time was over; nothing of it is left running."""
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        raise Refused(
            f"{settings.name}: the gate `{command[0]}` cannot be run: {error.strerror}"
        ) from error
    try:
        return process.wait(settings.gate_timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
