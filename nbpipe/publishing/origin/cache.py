"""The bare cache of an origin: the only place that runs git, through GitPython.

Nothing of the machine's, the user's or the repository's own configuration takes part: no hook,
filter, attribute, credential helper or prompt. A fetch is given up when it falls silent.

What the origin says is no evidence of the cache: whether that is damaged is seen by looking at it,
and the one there is stays until a new one is whole.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbpipe.publishing.errors import (
    BranchGone,
    MirrorError,
    OriginError,
    PublishError,
    Refused,
    Stopped,
)
from nbpipe.publishing.origin import address, complaints, isolation, lfs, processes
from nbpipe.system import files
from nbpipe.system.rename import exchange
from nbpipe.system.text import plain, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.config.settings import CollectionSettings
    from nbpipe.publishing.releases.manifest import File

WANTED = "refs/nbpipe/wanted"
HELD = "refs/nbpipe/releases/"
NO_REF = 2
"""What `git ls-remote --exit-code` ends with where there is no such ref."""
_CHUNK = 1 << 20
_SOUND_FOR = 600.0
"""Seconds for which a look at the whole cache holds: it reads every object."""
_LOCK_FILES = ("gc.pid", "gc.log", "packed-refs.new")
"""Beside the `.lock` files: git's own `gc` refuses to run, or to write, where they are."""
_LOCK_FOLDERS = ("refs", "logs", "reftable", "worktrees", "objects/info")


class DamagedCacheError(MirrorError):
    """An object that must be there is missing or wrong; a new cache heals it."""


class Cache:
    """One bare repository; not for two threads at once."""

    def __init__(
        self, settings: CollectionSettings, state: Path, *, environ: Mapping[str, str]
    ) -> None:
        self.settings = settings
        self.state = state
        self.folder = state / "cache.git"
        self.stop = threading.Event()
        """Set by whoever wants what git is doing to end now."""
        self._environ = environ
        self._git: Any = None
        self._looked: tuple[bool, float] | None = None

    def open(self) -> None:
        """Make what is missing."""
        self._write("gitconfig", isolation.configuration(self.settings), 0o600)
        self._write("askpass", isolation.ASKPASS, 0o700)
        if not self.folder.exists():
            fresh = self._fresh()
            fresh.rename(self.folder)
        elif not (self.folder / "HEAD").is_file():
            # It leaves what is there as it is.
            self._initialize(self.folder)

    def recover(self) -> None:
        """Clear away what a killed nbpipe left behind; for the holder of the lock only."""
        processes.end_orphan(self.state / "fetch.pid")
        old = self.state / "cache.old"
        if old.is_dir() and not self.folder.exists():
            old.rename(self.folder)
        for stale in (old, self.state / "cache.new"):
            shutil.rmtree(stale, ignore_errors=True)
        self.unlock()
        for half in _half_written(self.folder):
            half.unlink(missing_ok=True)

    def unlock(self) -> None:
        """Remove the locks of a git that was killed: nobody else works here, they are stale."""
        for stale in _locks(self.folder):
            stale.unlink(missing_ok=True)

    def close(self) -> None:
        """End git's long-running helpers."""
        if self._git is not None:
            self._git.clear_cache()
            self._git = None

    def sound(self) -> bool:
        """Return whether all that the cache must hold is there and whole, by reading it.

        Objects that were made in a way that git does not like are not damage.
        """
        if self._looked and time.monotonic() - self._looked[1] < _SOUND_FOR:
            return self._looked[0]
        code, out, said = self._finish(("fsck", "--full", "--no-dangling", "--no-progress"))
        found = not code or complaints.only_of_style(f"{out}\n{said}")
        self._looked = found, time.monotonic()
        return found

    def heal(self) -> None:
        """Have again what is missing: from the origin, in a new cache if this one is damaged.

        The old one stays until the new one is whole, whatever keeps that from being made.

        Raises:
            PublishError: As for a fetch.
        """
        if self.sound():
            self.fetch()
            return
        fresh = self._fresh()
        try:
            self._fetch_into(fresh)
        except PublishError:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        self.close()
        self._take(fresh)
        self._looked = None

    def fetch(self) -> str:
        """Fetch the branch's exact ref and return its head.

        Raises:
            BranchGone: The origin has no such branch.
            OriginError: It cannot be reached, says no, or falls silent.
            Refused: git itself will not take what the origin sends.
            MirrorError: There is no room for it.
            DamagedCacheError: The cache was looked at, and is damaged.
            Stopped: The service ends.
        """
        self._fetch_into(self.folder)
        self._looked = None
        oid, kind, _ = self._header(WANTED)
        if kind != "commit":
            raise Refused(f"{self.settings.name}: the branch's head {oid} is a {kind}, no commit")
        return oid

    def look(self) -> None:
        """Ask the origin for the branch, without fetching anything.

        Raises:
            BranchGone: The origin has no such branch.
            OriginError: It cannot be reached, says no, or takes too long.
        """
        self._write("gitconfig", isolation.configuration(self.settings), 0o600)
        self._write("askpass", isolation.ASKPASS, 0o700)
        ref = f"refs/heads/{self.settings.branch}"
        words = ("ls-remote", "--exit-code", *isolation.upload_pack(self.settings))
        code, _, said, heard = self._ran((*words, "--", self.settings.origin, ref), network=True)
        where = f"{self.settings.name}: {address.mask(self.settings.origin)}"
        if code == NO_REF and not said:
            raise BranchGone(
                f"{where}: branch not found: {self.settings.branch}",
                hint="Set `branch` to one that is there.",
            )
        if code:
            raise complaints.of_origin(said, heard, where=where, branch=self.settings.branch)

    def read(self, oid: str, kind: str, *, limit: int) -> bytes:
        """Return a small object whole.

        Raises:
            DamagedCacheError: It is missing.
            Refused: It is of another kind, or larger than `limit` bytes.
        """
        found, size, stream = self._object(oid)
        if found == kind and size <= limit:
            return bytes(stream.read())
        _drain(stream)
        what = f"a {found}, not a {kind}" if found != kind else f"{size:,} bytes long"
        raise Refused(f"{self.settings.name}: the object {oid} is {what}")

    def size(self, oid: str) -> int:
        """Return a blob's size in bytes.

        Raises:
            DamagedCacheError: It is missing.
            Refused: It is no blob.
        """
        _, kind, size = self._header(oid)
        if kind != "blob":
            raise Refused(f"{self.settings.name}: the object {oid} is a {kind}, not a blob")
        return size

    def chunks(self, oid: str) -> Iterator[bytes]:
        """Yield a blob's bytes in pieces.

        Raises:
            DamagedCacheError: It is missing.
        """
        _, _, stream = self._object(oid)
        try:
            while chunk := stream.read(_CHUNK):
                yield chunk
        finally:
            # The next answer of the same git comes after this one.
            _drain(stream)

    def large(self, file: File) -> Iterator[bytes]:
        """Yield what a Git LFS pointer stands for, in pieces; git-lfs fetches it.

        Raises:
            OriginError: It is not to be had.
        """
        text = self.read(file.blob, "blob", limit=lfs.LONGEST)
        secrets = self._secrets()
        words = ("lfs", "smudge", "--", file.path)
        with self._supervised(words, secrets, network=True, objects=False, noted=True) as git:
            git.tell(text)
            while chunk := git.read(_CHUNK):
                yield chunk
            code = git.wait()
        self._check_ended(git, network=True, verb="lfs")
        if code:
            said = self._printable(f"{git.heard}\n{git.said}", secrets)
            told = complaints.in_a_line(said)
            if complaints.full_below(said, self.folder):
                raise complaints.no_room(self.folder, told)
            raise OriginError(
                f"{self.settings.name}: {plain_name(file.path)}: git lfs failed: {told}",
                hint=complaints.advice(told),
            )

    def tree_of(self, commit: str) -> str:
        """Return the id of a commit's tree."""
        head = self.read(commit, "commit", limit=1 << 20).split(b"\n", 1)[0]
        return head.removeprefix(b"tree ").decode("ascii")

    def has(self, commit: str) -> bool:
        """Return whether the commit is in the cache."""
        try:
            return self._header(commit)[1] == "commit"
        except DamagedCacheError:
            return False

    def resolve(self, prefix: str) -> str | None:
        """Return the one commit whose id begins like that, None where it is none or several."""
        try:
            return self._run("rev-parse", "--verify", "--quiet", f"{prefix}^{{commit}}").strip()
        except MirrorError:
            return None

    def descends(self, commit: str, ancestor: str) -> bool:
        """Return whether `ancestor` is in the commit's history."""
        try:
            self._run("merge-base", "--is-ancestor", ancestor, commit)
        except MirrorError:
            return False
        return True

    def describe(self, commits: Iterable[str]) -> dict[str, tuple[str, str, str]]:
        """Return author, date (ISO 8601) and subject of those commits that are in the cache.

        Author and subject are as somebody wrote them: whoever shows them makes them plain.
        """
        form = "--format=%H%x00%an%x00%aI%x00%s"
        if not (self.folder / "HEAD").is_file():
            return {}
        known = [commit for commit in commits if self.has(commit)]
        if not known:
            return {}
        # Only git's own newline ends a line: a subject may hold U+2028, form feeds and others.
        lines = self._run("log", "--no-walk=unsorted", form, *known, "--").split("\n")
        fields = [line.split("\0", 3) for line in lines if line]
        return {commit: (who, when, what) for commit, who, when, what in fields}

    def tidy(self, releases: Iterable[str]) -> None:
        """Keep what these releases need, whatever happens to the branch; pack when it pays."""
        folder = self.folder / HELD
        present = {ref.name for ref in folder.iterdir()} if folder.is_dir() else set()
        wanted = set(releases)
        lines = [f"update {HELD}{commit} {commit}\n" for commit in wanted - present]
        lines += [f"delete {HELD}{commit}\n" for commit in present - wanted]
        if lines:
            self._run("update-ref", "--stdin", stdin="".join(lines))
        # The store holds them by now, and the origin in any case.
        shutil.rmtree(self.folder / "lfs", ignore_errors=True)
        settings = ("-c", "gc.auto=2000", "-c", "gc.packRefs=false")
        self._run(*settings, "gc", "--auto", "--quiet", noted=True)

    def _fresh(self) -> Path:
        """Return a new, empty repository beside the cache."""
        fresh = self.state / "cache.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._initialize(fresh)
        return fresh

    def _initialize(self, folder: Path) -> None:
        self._run("init", "--quiet", "--bare", "--template=", os.fspath(folder), folder=folder)

    def _take(self, fresh: Path) -> None:
        """Put the new cache in the place of the old one, which is thrown away."""
        at = files.open_folder(self.state)
        try:
            swapped = exchange(fresh.name, self.folder.name, folder=at)
        finally:
            os.close(at)
        if swapped:
            shutil.rmtree(fresh, ignore_errors=True)
            return
        old = self.state / "cache.old"
        shutil.rmtree(old, ignore_errors=True)
        self.folder.rename(old)
        fresh.rename(self.folder)
        shutil.rmtree(old, ignore_errors=True)

    def _fetch_into(self, folder: Path) -> None:
        """Fetch from the origin, or from where it has moved to on the same host."""
        try:
            self._fetch_from(self.settings.origin, folder)
        except OriginError as error:
            if not complaints.redirects(str(error)):
                raise
            self._fetch_from(self._moved(), folder)

    def _fetch_from(self, url: str, folder: Path) -> None:
        words = (
            *("fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head"),
            *("--no-recurse-submodules", "--no-auto-maintenance"),
            *isolation.upload_pack(self.settings),
            *("--", url, f"+refs/heads/{self.settings.branch}:{WANTED}"),
        )
        code, _, said, heard = self._ran(words, network=True, folder=folder)
        if code:
            raise self._refusal(said, heard, folder)

    def _refusal(self, said: str, heard: str, folder: Path) -> Exception:
        """Return what a failed fetch means; only git's own words can be about the cache."""
        own = complaints.own(said)
        if complaints.full(own):
            return complaints.no_room(folder, complaints.in_a_line(own))
        if folder == self.folder and complaints.suspicious(own) and not self.sound():
            self.close()
            return DamagedCacheError(f"{self.folder}: {complaints.in_a_line(own)}")
        where = f"{self.settings.name}: {address.mask(self.settings.origin)}"
        return complaints.of_origin(said, heard, where=where, branch=self.settings.branch)

    def _moved(self) -> str:
        """Return where the origin redirects to on the same host; git fetches from there itself.

        Only asked, and nothing taken, while redirects are followed.

        Raises:
            OriginError: It is another host or protocol.
        """
        origin = self.settings.origin
        follow = ("-c", "http.followRedirects=initial")
        _, _, said = self._finish((*follow, "ls-remote", "--", origin, "HEAD"), network=True)
        url = complaints.destination(complaints.own(said))
        if address.place_of(url) == address.place_of(origin):
            return url
        raise OriginError(
            f"{self.settings.name}: {address.mask(origin)} redirects to "
            f"{address.mask(url) or 'what is not followed'}, and only the same host is followed",
            hint="Set `origin` to the new address if that is right. It is tried again.",
        )

    def _header(self, ref: str) -> tuple[str, str, int]:
        """Return id, kind and size."""
        try:
            oid, kind, size = self._persistent().get_object_header(ref)
        except (ValueError, OSError) as error:
            raise self._damaged(ref) from error
        return _text(oid), _text(kind), size

    def _object(self, oid: str) -> tuple[str, int, Any]:
        """Return kind, size and stream; the stream must be read to its end before the next."""
        try:
            _, kind, size, stream = self._persistent().stream_object_data(oid)
        except (ValueError, OSError) as error:
            raise self._damaged(oid) from error
        return _text(kind), size, stream

    def _damaged(self, ref: str) -> DamagedCacheError:
        self.close()
        return DamagedCacheError(f"{self.folder}: {ref} is missing")

    def _persistent(self) -> Any:  # noqa: ANN401  (GitPython is imported where it is used)
        if self._git is None:
            try:
                from git.cmd import Git  # noqa: PLC0415  (slow)
            except ImportError as error:
                raise MirrorError(
                    f"{self.settings.name}: git or GitPython is missing: {error}",
                    hint="Install git, and GitPython: pip install GitPython",
                ) from error
            self._git = Git(os.fspath(self.state))
            self._git.update_environment(
                **isolation.environment(self.settings, self.state, self.folder)
            )
        return self._git

    def _run(
        self, *arguments: str, folder: Path | None = None, stdin: str = "", noted: bool = False
    ) -> str:
        """Run git to its end, and return what it says."""
        code, out, said = self._finish(arguments, folder=folder, stdin=stdin, noted=noted)
        if code:
            raise self._failure(said, arguments[0])
        return out

    def _finish(
        self,
        arguments: tuple[str, ...],
        *,
        network: bool = False,
        folder: Path | None = None,
        stdin: str = "",
        noted: bool = False,
    ) -> tuple[int, str, str]:
        """Run git to its end; return its code, its output, and what it complains of."""
        code, out, said, _ = self._ran(
            arguments, network=network, folder=folder, stdin=stdin, noted=noted
        )
        return code, out, said

    def _ran(
        self,
        arguments: tuple[str, ...],
        *,
        network: bool,
        folder: Path | None = None,
        stdin: str = "",
        noted: bool = False,
    ) -> tuple[int, str, str, str]:
        """Run git to its end; return code, output, complaints, and what the other side said.

        Raises:
            OriginError: It fell silent (MirrorError where no network is involved).
            Stopped: The service ends.
        """
        secrets = self._secrets() if network else {}
        given = {**(isolation.place(folder) if folder else {}), **secrets}
        objects = arguments[0] == "fetch"
        remembered = network or noted
        with self._supervised(
            arguments, given, network=network, objects=objects, noted=remembered
        ) as git:
            git.tell(stdin.encode())
            out = git.read()
            code = git.wait()
        self._check_ended(git, network=network, verb=arguments[0])
        said, heard = (self._printable(text, secrets) for text in (git.said, git.heard))
        return code, out.decode("utf-8", "replace"), said, heard

    @contextmanager
    def _supervised(
        self,
        arguments: tuple[str, ...],
        extra: Mapping[str, str],
        *,
        network: bool,
        objects: bool,
        noted: bool,
    ) -> Iterator[processes.Supervised]:
        """Start git in a session of its own, so that all of it can be watched and ended.

        Args:
            arguments: Its command line.
            extra: What its environment has besides.
            network: It speaks to the origin: then it must not outlive us, either.
            objects: It is to bring objects, so that mere words become silence.
            noted: It is remembered in a file: a killed nbpipe leaves it alive.
        """
        ear, mouth = os.pipe() if network else (None, None)
        try:
            started = self._persistent().execute(
                [*isolation.without(self._environ), "git", *arguments],
                istream=subprocess.PIPE,
                as_process=True,
                start_new_session=True,
                env={**extra, **({isolation.EAR: str(mouth)} if network else {})},
                pass_fds=() if mouth is None else (mouth,),
            )
        except BaseException:
            if ear is not None:
                os.close(ear)
            raise
        finally:
            if mouth is not None:
                os.close(mouth)
        process = started.proc
        silence = self.settings.fetch_timeout
        pulse = processes.Pulse(process.pid, silence=silence, objects=objects)
        try:
            with processes.Supervised(process, pulse=pulse, stop=self.stop, heard=ear) as git:
                if noted:  # a full disk refuses it; then git ends, too
                    processes.note(self.state / "fetch.pid", process.pid)
                yield git
        finally:
            if noted:
                (self.state / "fetch.pid").unlink(missing_ok=True)

    def _check_ended(self, git: processes.Supervised, *, network: bool, verb: str) -> None:
        """Raise where it was ended before its time."""
        if git.stopped:
            raise Stopped(f"{self.settings.name}: stopped during `git {verb}`")
        if git.given_up and network:
            raise OriginError(
                f"{self.settings.name}: {address.mask(self.settings.origin)}: {git.given_up}",
                hint="It is tried again; `fetch-timeout` is how long the origin may be silent.",
            )
        if git.given_up:
            raise MirrorError(
                f"{self.settings.name}: `git {verb}` hangs: {git.given_up}",
                hint="It is tried again; `fetch-timeout` is how long git may do nothing.",
            )

    def _printable(self, text: str, secrets: Mapping[str, str]) -> str:
        """Return what a program said, in lines, without secrets and control characters."""
        values = secrets.values()
        sent = [f"{self.settings.username}:{value}" for value in values]  # HTTP's Basic scheme
        return address.mask(plain(text), (*sent, *values))

    def _failure(self, said: str, verb: str) -> Exception:
        told = complaints.in_a_line(said)
        if complaints.full(said):
            return complaints.no_room(self.folder, told)
        if complaints.suspicious(said):
            self.close()
            return DamagedCacheError(f"{self.folder}: {told}")
        return MirrorError(f"{self.folder}: git {verb} failed: {told}")

    def _secrets(self) -> dict[str, str]:
        if not self.settings.token:
            return {}
        where = f"collection {self.settings.name}, token"
        token = address.secret(self.settings.token, self._environ, where=where)
        return {"NBPIPE_ORIGIN_TOKEN": token}

    def _write(self, name: str, text: str, mode: int) -> None:
        file = self.state / name
        if not file.is_file() or file.read_text("utf-8") != text:
            files.replace(file, text.encode(), mode=mode)


def _locks(repository: Path) -> Iterator[Path]:
    """Yield what a killed git left that stops the next one, in a bare repository.

    Where no git runs, for the holder of the collection's lock, every lock is stale. The thousands
    of folders of objects have none.
    """
    for name in _LOCK_FILES:
        if (repository / name).is_file():
            yield repository / name
    yield from repository.glob("*.lock")
    for name in _LOCK_FOLDERS:
        yield from (repository / name).rglob("*.lock")
    for name in ("objects", "objects/pack"):
        yield from (repository / name).glob("*.lock")


def _half_written(repository: Path) -> Iterator[Path]:
    """Yield the objects and packs that were never finished; nothing refers to them."""
    yield from (repository / "objects" / "pack").glob("tmp_*")
    yield from (repository / "objects" / "pack").glob(".tmp-*")
    yield from (repository / "objects").glob("??/tmp_obj_*")


def _text(token: str | bytes) -> str:
    """Return what GitPython gives as one or the other."""
    return token.decode("ascii") if isinstance(token, bytes) else token


def _drain(stream: Any) -> None:  # noqa: ANN401  (GitPython's)
    while stream.read(_CHUNK):
        pass
