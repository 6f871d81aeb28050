"""A release from a git URL, for a laptop: fetched shallowly into a cache, read from blobs.

There is never a checkout: no hook, filter, attribute or submodule of the repository runs, and no
configuration of the folder the user happens to stand in counts. The user's own global git
configuration does: it knows the proxy and the way to log in. git never asks anything.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import subprocess
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from nbpipe.errors import UsageError
from nbpipe.publishing.copies.decision import Content, Kind
from nbpipe.publishing.copies.errors import CopyError
from nbpipe.publishing.copies.releases import Listed
from nbpipe.publishing.names import problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PROTOCOLS = "https:ssh:file"
REF = "refs/getlatest/taken"
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SCP = re.compile(r"[\w.-]+@[\w.-]+:(?!//)")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")
_MODES = {
    "100644": (Kind.FILE, False),
    "100664": (Kind.FILE, False),
    "100755": (Kind.FILE, True),
    "120000": (Kind.LINK, False),
    "160000": (Kind.OTHER, False),
}
_SETTINGS = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"),
    *("-c", "gc.autoDetach=false", "-c", "fetch.recurseSubmodules=false"),
)


def is_url(text: str) -> bool:
    """Return whether this means a git repository elsewhere, and no folder of this machine."""
    return bool(_URL.match(text) or _SCP.match(text))


def repository_name(url: str) -> str:
    """Return the last part of a URL, without `.git`."""
    return re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")


class GitRelease:
    """One commit of a repository elsewhere."""

    def __init__(self, repository: Path, url: str, commit: str) -> None:
        self.repository = repository
        self.url = url
        self.commit = commit
        self._listing: dict[str, Listed] | None = None
        self._batch: subprocess.Popen[bytes] | None = None

    @property
    def source(self) -> str:
        """The URL, without a password."""
        return _PASSWORD.sub("", self.url)

    def listing(self) -> Mapping[str, Listed]:
        """Return every file, link and submodule by its path.

        Raises:
            CopyError: The tree holds a name that no copy may have.
        """
        if self._listing is None:
            output = _git(self.repository, "ls-tree", "-r", "-z", "--long", self.commit)
            lines = [line for line in output.split(b"\0") if line]
            self._listing = dict(self._entry(line) for line in lines)
        return self._listing

    def content(self, path: str) -> Content:
        """Return what git calls that file."""
        listed = self.listing()[path]
        return Content(listed.blob or "", listed.kind, listed.executable)

    def target(self, path: str) -> str:
        """Return a link's target."""
        return os.fsdecode(self._read(path))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for reading, from memory."""
        yield io.BytesIO(self._read(path))

    def close(self) -> None:
        """End the git process that reads the blobs."""
        if self._batch:
            self._batch.communicate()
            self._batch = None

    def _entry(self, line: bytes) -> tuple[str, Listed]:
        head, _, name = line.partition(b"\t")
        mode, _, blob, size = head.decode().split()
        for part in name.split(b"/"):
            if why := problem(part):
                raise CopyError(f"{self.source}: {shown(name)}: {why}", hint="Nothing was taken.")
        kind, executable = _MODES.get(mode, (Kind.OTHER, False))
        return os.fsdecode(name), Listed(kind, int(size) if size != "-" else 0, executable, blob)

    def _read(self, path: str) -> bytes:
        blob = self.listing()[path].blob or ""
        if self._batch is None:
            self._batch = subprocess.Popen(
                ["git", *_SETTINGS, "--git-dir", str(self.repository), "cat-file", "--batch"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
            )
        into, out = cast("IO[bytes]", self._batch.stdin), cast("IO[bytes]", self._batch.stdout)
        into.write(blob.encode() + b"\n")
        into.flush()
        head = out.readline().split()
        if head[1:2] != [b"blob"]:
            raise CopyError(
                f"{self.repository}: {path}: its content is missing in the cache",
                hint="Remove that folder and run getlatest again.",
            )
        data = out.read(int(head[2]))
        out.read(1)
        return data


def fetch(url: str, wanted: str | None, cache: Path) -> GitRelease:
    """Fetch one commit of a repository, its default branch's head unless `wanted` names another.

    Args:
        url: https, ssh or file.
        wanted: A whole commit id.
        cache: The folder of all such caches; made where missing.

    Raises:
        UsageError: The URL or the commit cannot be asked for.
        CopyError: The repository does not answer, or not with that.
    """
    match = _URL.match(url)
    if match and match["scheme"].lower() not in PROTOCOLS.split(":"):
        raise UsageError(f"--from {url}: speaks {match['scheme']}; https, ssh or file it must be")
    if wanted and not _COMMIT.fullmatch(wanted):
        raise UsageError(
            f"--release {wanted}: is not a whole commit id",
            hint="A git server finds commits by all their 40 digits only.",
        )
    repository = cache / (hashlib.sha256(url.encode()).hexdigest()[:16] + ".git")
    with _alone(repository):
        _git(None, "init", "--quiet", "--bare", "--template=", str(repository))
        arguments = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--force")
        _git(repository, "fetch", *arguments, "--", url, f"{wanted or 'HEAD'}:{REF}")
        commit = _git(repository, "rev-parse", f"{REF}^{{commit}}").decode().strip()
    return GitRelease(repository, url, commit)


@contextmanager
def _alone(repository: Path) -> Iterator[None]:
    """Keep others out of a cache; remove the lock files of a git that was killed there."""
    try:
        repository.parent.mkdir(parents=True, exist_ok=True)
        lock = repository.with_suffix(".lock").open("w")
    except OSError as error:
        raise CopyError(f"{repository}: cannot be made: {error.strerror}") from error
    with lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in [*repository.glob("*.lock"), *repository.glob("refs/**/*.lock")]:
            stale.unlink(missing_ok=True)
        yield


def _git(repository: Path | None, *arguments: str) -> bytes:
    place = ["--git-dir", str(repository)] if repository else []
    try:
        done = subprocess.run(
            ["git", *_SETTINGS, *place, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise CopyError(
            "git: is not installed here", hint="A copy from a URL needs it; see git-scm.com."
        ) from error
    if done.returncode:
        said = _PASSWORD.sub("", done.stderr.decode(errors="replace").strip())
        where = _PASSWORD.sub("", arguments[-2] if arguments[0] == "fetch" else str(repository))
        raise CopyError(f"{where}: git {arguments[0]} failed: {said}", hint="Nothing was changed.")
    return done.stdout


def _environment() -> dict[str, str]:
    """Return the user's environment without what points git elsewhere, and without questions."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    for name in (
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
        "GIT_SSL_CAINFO",
        "GIT_PROXY_SSL_CERT",
    ):
        if name in os.environ:
            mine[name] = os.environ[name]
    mine.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return mine | {
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_NOSYSTEM": os.environ.get("GIT_CONFIG_NOSYSTEM", "0"),
        "LC_ALL": "C",
    }
