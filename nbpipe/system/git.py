"""Runs git. The only module that starts one, but for the watched git of `publishing.origin`.

Every git has an environment in which nothing points it to another repository than the one it is
asked about (a hook sets GIT_DIR and others), never asks a person anything, takes no lock that it
can do without, and speaks English. Who needs more isolation passes an environment of its own.

A question gets `PATIENCE` seconds: on a dead file server git would wait for ever. What may rightly
take longer says how long.
"""

from __future__ import annotations

import os
import subprocess
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATIENCE = 60.0
"""Seconds for a question."""
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
GitError = (OSError, subprocess.SubprocessError)
"""What `output` raises where git cannot say: it is not installed, ended with an error, or hangs."""

_ELSEWHERE = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"),
    }
)
"""Of `git rev-parse --local-env-vars` what names a place; configuration may make a place safe."""
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment (ours) as git is to have it."""
    given = os.environ if environ is None else environ
    return {name: value for name, value in given.items() if name not in _ELSEWHERE} | _QUIET


def output(folder: Path, *words: str, given: bytes = b"", timeout: float = PATIENCE) -> bytes:
    """Return what git prints about a folder.

    Args:
        folder: In a working tree, or a repository.
        words: The command and its arguments.
        given: Its standard input.
        timeout: Seconds until it is given up.

    Raises:
        OSError, subprocess.SubprocessError: git cannot say (`GitError`).
    """
    done = run("-C", str(folder), *words, given=given, timeout=timeout)
    done.check_returncode()
    return done.stdout


def run(
    *words: str,
    given: bytes = b"",
    timeout: float | None = PATIENCE,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git to its end, whatever its exit code.

    Args:
        words: Its arguments.
        given: Its standard input.
        timeout: Seconds until it is given up; None: it may take as long as it needs.
        environ: All of its environment, for a git that is isolated further.

    Raises:
        OSError: It cannot be started.
        subprocess.TimeoutExpired: It was given up.
    """
    return subprocess.run(
        ["git", *words],
        input=given,
        capture_output=True,
        timeout=timeout,
        check=False,
        env=environment() if environ is None else dict(environ),
    )


def start(
    *words: str,
    environ: Mapping[str, str],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = None,
    new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a git that the caller talks with and ends.

    Args:
        words: Its arguments.
        environ: All of its environment.
        stdin: As for `subprocess.Popen`.
        stdout: As for `subprocess.Popen`.
        stderr: As for `subprocess.Popen`; None: ours.
        new_session: So that what it starts can be ended with it.

    Raises:
        OSError: It cannot be started.
    """
    return subprocess.Popen(
        ["git", *words],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=dict(environ),
        start_new_session=new_session,
    )


def version() -> str:
    """Return git's version; empty where it is not installed or does not start."""
    try:
        done = run("--version")
        done.check_returncode()
    except GitError:
        return ""
    return done.stdout.decode(errors="replace").strip().removeprefix("git version ")
