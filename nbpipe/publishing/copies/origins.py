"""A release from a git repository: of a URL, fetched shallowly into a cache; or of this machine.

It is read from blobs, there is never a checkout: no hook, filter, attribute or submodule of the
repository runs. What was fetched once is there without the network.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from nbpipe.errors import UsageError
from nbpipe.publishing.copies import commands
from nbpipe.publishing.copies.commands import PASSWORD, PROTOCOLS, SETTINGS, GitFailed, git
from nbpipe.publishing.copies.decision import Content, Kind
from nbpipe.publishing.copies.errors import CopyError
from nbpipe.publishing.copies.releases import Listed
from nbpipe.publishing.origin.names import problem, shown
from nbpipe.system import git as system_git
from nbpipe.system import locks, private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

REF = "refs/getlatest/taken"
SILENCE = 30.0
"""Seconds for which a server may say nothing."""
LOCAL = "none"
"""The protocols of a git that reads a repository of this machine: its own settings may name any."""
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SCP = re.compile(r"[\w.-]+@[\w.-]+:(?!//)")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PART = re.compile(r"[0-9a-fA-F]{4,64}")
_MODES = {
    "100644": (Kind.FILE, False),
    "100664": (Kind.FILE, False),
    "100755": (Kind.FILE, True),
    "120000": (Kind.LINK, False),
    "160000": (Kind.OTHER, False),
}


def is_url(text: str) -> bool:
    """Return whether this means a git repository elsewhere, and no folder of this machine."""
    return bool(_URL.match(text) or _SCP.match(text))


def repository_name(url: str) -> str:
    """Return the last part of a URL, without `.git`."""
    return re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")


def git_folder(path: Path) -> Path | None:
    """Return the git directory of a working clone or a bare repository, None of anything else."""
    if (path / ".git").exists():
        return path / ".git"
    if (path / "HEAD").is_file() and (path / "objects").is_dir():
        return path
    return None


class GitRelease:
    """One commit of a repository."""

    def __init__(
        self, repository: Path, url: str, commit: str, *, notes: tuple[str, ...] = ()
    ) -> None:
        self.repository = repository
        self.url = url
        self.commit = commit
        self.notes = notes
        self.warning = ""
        self.content_of_pointers = (
            f"with git-lfs installed, `git clone {self.source}` gets what the Git LFS pointers "
            "stand for"
        )
        self._listing: dict[str, Listed] | None = None
        self._batch: subprocess.Popen[bytes] | None = None

    @property
    def source(self) -> str:
        """The URL, without a password."""
        return PASSWORD.sub("", self.url)

    def listing(self) -> Mapping[str, Listed]:
        """Return every file, link and submodule by its path.

        Raises:
            CopyError: The tree holds a name that no copy may have.
        """
        if self._listing is None:
            output = git(
                self.repository, "ls-tree", "-r", "-z", "--long", self.commit, protocols=LOCAL
            )
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

    def before(self, _path: str, _commit: str, blob: str) -> bytes | None:
        """Return a file of an earlier release, while git keeps it."""
        if not _COMMIT.fullmatch(blob):
            return None
        try:
            return git(self.repository, "cat-file", "blob", blob, protocols=LOCAL)
        except GitFailed:
            return None

    def close(self) -> None:
        """End the git process that reads the blobs."""
        if self._batch:
            self._batch.communicate()
            self._batch = None

    def about(self) -> tuple[str, str]:
        """Return the commit's date (ISO 8601) and the first line of its message."""
        words = ("log", "-1", "--no-show-signature", "--format=%cI%x00%s", self.commit)
        said = git(self.repository, *words, protocols=LOCAL).decode("utf-8", "replace")
        date, _, subject = said.strip().partition("\0")
        return date, subject

    def _entry(self, line: bytes) -> tuple[str, Listed]:
        head, _, name = line.partition(b"\t")
        mode, _, blob, size = head.decode().split()
        for part in name.split(b"/"):
            if why := problem(part):
                raise CopyError(f"{self.source}: {shown(name)}: {why}", hint="Nothing was taken.")
        if not size.isdecimal() and size != "-":
            raise self._missing(os.fsdecode(name))
        kind, executable = _MODES.get(mode, (Kind.OTHER, False))
        return os.fsdecode(name), Listed(kind, int(size) if size != "-" else 0, executable, blob)

    def _read(self, path: str) -> bytes:
        blob = self.listing()[path].blob or ""
        if self._batch is None:
            self._batch = system_git.start(
                *(*SETTINGS, "--git-dir", str(self.repository), "cat-file", "--batch"),
                environ=commands.environment(LOCAL),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        into, out = cast("IO[bytes]", self._batch.stdin), cast("IO[bytes]", self._batch.stdout)
        into.write(blob.encode() + b"\n")
        into.flush()
        head = out.readline().split()
        if head[1:2] != [b"blob"]:
            raise self._missing(path)
        data = out.read(int(head[2]))
        out.read(1)
        return data

    def _missing(self, path: str) -> CopyError:
        return CopyError(
            f"{self.repository}: {path}: its content is missing there",
            hint="A partial clone is not enough: clone it without --filter. If that is a cache of "
            "getlatest's, remove it.",
        )


def fetch(
    url: str,
    wanted: str | None,
    cache: Path,
    *,
    silence: float = SILENCE,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> GitRelease:
    """Fetch one commit of a repository, its default branch's head unless `wanted` names another.

    Where the repository does not answer, the release that was fetched last is returned, with a
    warning.

    Args:
        url: https, ssh or file.
        wanted: A whole commit id.
        cache: The folder of all such caches, for its owner alone; made where missing.
        silence: Seconds without a word from the other side after which it is given up.
        progress: Called with the percent received, and 100.

    Raises:
        UsageError: The URL or the commit cannot be asked for.
        CopyError: The repository does not answer, or not with that; and nothing is cached.
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
        git(None, "init", "--quiet", "--bare", "--template=", str(repository))
        if wanted and _is_whole(repository, wanted):
            return GitRelease(repository, url, wanted)
        try:
            refspec = f"{wanted or 'HEAD'}:{REF}"
            commands.fetch(repository, url, refspec, silence=silence, progress=progress)
        except GitFailed as error:
            return _fetched_before(repository, url, wanted, error)
        commit = _commit(repository, REF)
    return GitRelease(repository, url, commit or "")


def _fetched_before(repository: Path, url: str, wanted: str | None, error: GitFailed) -> GitRelease:
    """Return the release that was fetched last, with a warning; raises `error` without one."""
    commit = _commit(repository, REF)
    if wanted or commit is None or not _is_whole(repository, commit):
        raise error
    release = GitRelease(repository, url, commit)
    date, _ = release.about()
    release.warning = (
        f"{error.args[0]}\n  The release that was fetched last is taken: {commit[:12]} of "
        f"{date[:10]}; there may be a newer one."
    )
    return release


def local(path: Path, wanted: str | None) -> GitRelease:
    """Return a commit of a repository on this machine: what its HEAD names, or `wanted`.

    Args:
        path: A working clone or a bare repository.
        wanted: A commit id, or its beginning.

    Raises:
        UsageError: The commit does not exist.
        CopyError: It has no commit, or cannot be read.
    """
    repository = git_folder(path)
    if repository is None:
        raise CopyError(f"{path}: not a git repository any more", hint="Nothing was changed.")
    if wanted and not _PART.fullmatch(wanted):
        raise UsageError(f"--release {wanted}: is not a commit id")
    commit = _commit(repository, wanted or "HEAD")
    if commit is None and wanted:
        raise UsageError(f"--release {wanted}: no such commit in {path}")
    if commit is None:
        git(repository, "rev-parse", "--git-dir", protocols=LOCAL)  # says why, if it is broken
        raise CopyError(f"{path}: this repository has no commit yet", hint="Nothing to take.")
    release = GitRelease(repository, str(path), commit)
    date, subject = release.about()
    what = "commit" if wanted else "HEAD"
    uncommitted = (
        "" if repository == path else "; changes that are not committed are not part of it"
    )
    release.notes = (f"{what} {commit[:12]} of {date[:10]}, {subject!r}{uncommitted}",)
    return release


def _commit(repository: Path, name: str) -> str | None:
    """Return the whole id of a commit, None where there is no such thing."""
    try:
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return git(repository, *words, protocols=LOCAL).decode().strip()
    except GitFailed:
        return None


def _is_whole(repository: Path, commit: str) -> bool:
    """Return whether a commit is there with every file of it."""
    try:
        words = ("rev-list", "--quiet", "--objects", "--max-count=1", commit)
        git(repository, *words, protocols=LOCAL)
    except GitFailed:
        return False
    return True


@contextmanager
def _alone(repository: Path) -> Iterator[None]:
    """Keep others out of a cache; remove the lock files of a git that was killed there."""
    try:
        repository.parent.mkdir(private.FOLDER, parents=True, exist_ok=True)
        private.close(repository.parent)  # of an earlier version
        lock = repository.with_suffix(".lock").open("w")
    except OSError as error:
        raise CopyError(f"{repository}: cannot be made: {error.strerror}") from error
    with lock:
        with suppress(OSError):  # a file system without locks
            locks.take(lock.fileno(), wait=True)
        for stale in [*repository.glob("*.lock"), *repository.glob("refs/**/*.lock")]:
            stale.unlink(missing_ok=True)
        yield
