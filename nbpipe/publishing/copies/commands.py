"""The git that a copy needs: run without questions, watched while it talks to somebody.

No hook, filter or configuration of the folder the user stands in counts. The user's own global
git configuration does: it knows the proxy and the way to log in. What git says is made printable.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from typing import TYPE_CHECKING

from nbpipe.publishing.copies.errors import CopyError
from nbpipe.publishing.origin import processes
from nbpipe.system import git as system_git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROTOCOLS = "https:ssh:file"
SETTINGS = (
    *(*system_git.NO_HOOKS, "-c", "core.fsmonitor=false"),
    *("-c", "gc.autoDetach=false", "-c", "fetch.recurseSubmodules=false"),
)
PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")
SLICE = 0.5
"""Seconds between two looks at a git whose helpers may keep its standard error open."""
KEPT = 1 << 14
"""Bytes of what git said that an error is made of."""

_PROGRESS = re.compile(
    r"(?:remote: )?(?P<what>Enumerating|Counting|Compressing|Receiving|Unpacking|Resolving|"
    r"Updating|Total)"
    r"\b[^:\r\n]*(?::\s+(?P<percent>\d{1,3})%)?"
)


class GitFailed(CopyError):  # noqa: N818  (what happened)
    """A git ended with an error, or said nothing for too long."""


def git(repository: Path | None, *arguments: str, protocols: str = PROTOCOLS) -> bytes:
    """Return what a git prints that works on this machine alone.

    Raises:
        GitFailed: It ended with an error.
        CopyError: git is not installed.
    """
    place = ["--git-dir", str(repository)] if repository else []
    try:
        done = system_git.run(
            *(*SETTINGS, *place, *arguments), timeout=None, environ=environment(protocols)
        )
    except FileNotFoundError as error:
        raise _no_git() from error
    if done.returncode:
        raise _failed(str(repository), arguments[0], done.stderr)
    return done.stdout


def fetch(
    repository: Path,
    url: str,
    refspec: str,
    *,
    silence: float,
    progress: Callable[[int, int], None],
) -> None:
    """Fetch one commit without its history.

    Args:
        repository: The bare repository that takes it.
        url: Where from.
        refspec: What, and under which name.
        silence: Seconds without a byte or a word from the other side after which it is given up.
        progress: Called with the percent received, and 100; also while nothing comes.

    Raises:
        GitFailed: It did not answer, or not with that.
        CopyError: git is not installed.
    """
    words = ("--progress", "--depth=1", "--no-tags", "--no-recurse-submodules", "--force")
    try:
        process = system_git.start(
            *(*SETTINGS, "--git-dir", str(repository), "fetch", *words, "--", url, refspec),
            environ=environment(PROTOCOLS),
            stderr=subprocess.PIPE,
            new_session=True,  # so that what it started ends with it
        )
    except FileNotFoundError as error:
        raise _no_git() from error
    said = bytearray()
    done = 0
    try:
        for piece in _words(process, silence):
            said += piece
            del said[:-KEPT]
            for found in _PROGRESS.finditer(piece.decode("utf-8", "replace")):
                if found["what"] in {"Receiving", "Unpacking"} and found["percent"]:
                    done = int(found["percent"])
            progress(done, 100)
    except TimeoutError:
        raise GitFailed(
            f"{PASSWORD.sub('', url)}: no answer for {silence:g} seconds; given up",
            hint="Nothing was changed. Try again later, or wait longer with --timeout SECONDS.",
        ) from None
    finally:
        processes.end(process)
        if process.stderr:
            process.stderr.close()
    if process.returncode:
        raise _failed(PASSWORD.sub("", url), "fetch", bytes(said))


def _words(process: subprocess.Popen[bytes], silence: float) -> Iterator[bytes]:
    """Yield what a git says on standard error until it ends, and nothing every now and then.

    Raises:
        TimeoutError: It said nothing for that many seconds.
    """
    assert process.stderr is not None  # noqa: S101  (a pipe was asked for)
    descriptor = process.stderr.fileno()
    last = time.monotonic()
    while True:
        if select.select([descriptor], [], [], min(SLICE, silence))[0]:
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                process.wait()
                return
            last = time.monotonic()
            yield piece
        elif process.poll() is not None:  # a helper of ssh's has the pipe and stays
            return
        elif time.monotonic() - last > silence:
            raise TimeoutError
        else:
            yield b""


def environment(protocols: str) -> dict[str, str]:
    """Return the user's environment without what points git elsewhere, and without questions.

    Args:
        protocols: Those that git may speak; "none" for one that stays on this machine.
    """
    mine = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    for name in (
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_ASKPASS",
        "GIT_SSL_CAINFO",
        "GIT_PROXY_SSL_CERT",
    ):
        if name in os.environ:
            mine[name] = os.environ[name]
    mine.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return mine | {
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_NOSYSTEM": os.environ.get("GIT_CONFIG_NOSYSTEM", "0"),
        "LC_ALL": "C",
    }


def plain(said: bytes) -> str:
    """Return what a program or a server said in one printable line, without progress."""
    text = PASSWORD.sub("", said.decode("utf-8", "replace"))
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    kept = [line for line in lines if line and not _PROGRESS.match(line)]
    return "; ".join(line if line.isprintable() else ascii(line)[1:-1] for line in kept)


def _failed(where: str, command: str, said: bytes) -> GitFailed:
    return GitFailed(f"{where}: git {command} failed: {plain(said)}", hint="Nothing was changed.")


def _no_git() -> CopyError:
    return CopyError(
        "git: is not installed here", hint="A copy from a repository needs it; see git-scm.com."
    )
