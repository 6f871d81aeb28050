"""The bare cache of an origin: the only place that runs git, through GitPython.

Nothing of the machine's, the user's or the repository's own configuration takes part: no hook,
filter, attribute, credential helper or prompt. What the network does is bounded in time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbpipe.publishing import address, children, complaints, isolation, lfs
from nbpipe.publishing.errors import MirrorError, OriginError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.publishing.manifest import File
    from nbpipe.settings import CollectionSettings

WANTED = "refs/nbpipe/wanted"
HELD = "refs/nbpipe/releases/"
_CHUNK = 1 << 20


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
        self._environ = environ
        self._git: Any = None

    def open(self) -> None:
        """Make what is missing."""
        self._write("gitconfig", isolation.configuration(self.settings), 0o600)
        self._write("askpass", isolation.ASKPASS, 0o700)
        if not (self.folder / "HEAD").is_file():
            self.discard()
            fresh = self.state / "cache.new"
            shutil.rmtree(fresh, ignore_errors=True)
            self._run("init", "--quiet", "--bare", "--template=", os.fspath(fresh), inside=False)
            fresh.rename(self.folder)

    def recover(self) -> None:
        """Clear away what a killed git left behind; for the holder of the lock only."""
        children.end_orphan(self.state / "fetch.pid")
        for stale in self._leftovers():
            stale.unlink(missing_ok=True)

    def close(self) -> None:
        """End git's long-running helpers."""
        if self._git is not None:
            self._git.clear_cache()
            self._git = None

    def discard(self) -> None:
        """Throw the cache away; the next fetch fills a new one."""
        self.close()
        trash = self.state / "cache.old"
        shutil.rmtree(trash, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)

    def fetch(self) -> str:
        """Fetch the branch's exact ref and return its head.

        Raises:
            BranchGone: The origin has no such branch.
            OriginError: It cannot be reached, says no, or takes too long.
            Refused: git itself will not take what the origin sends.
            MirrorError: There is no room for it.
        """
        try:
            self._fetch_from(self.settings.origin)
        except OriginError as error:
            if not complaints.redirects(str(error)):
                raise
            self._fetch_from(self._moved())
        oid, kind, _ = self._header(WANTED)
        if kind != "commit":
            raise Refused(f"{self.settings.name}: the branch's head {oid} is a {kind}, no commit")
        return oid

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
        running = self._start(("lfs", "smudge", "--", file.path), self._secrets())
        process = running.proc
        children.note(self.state / "fetch.pid", process.pid)
        timer = threading.Timer(self.settings.fetch_timeout, children.end, (process,))
        timer.start()
        try:
            process.stdin.write(text)
            process.stdin.close()
            while chunk := process.stdout.read(_CHUNK):
                yield chunk
            said = process.stderr.read(4_096).decode("utf-8", "replace").strip()
            code = process.wait()
        finally:
            timer.cancel()
            children.end(process)
            (self.state / "fetch.pid").unlink(missing_ok=True)
        if code:
            masked = address.mask(said, self._secrets().values())
            raise OriginError(
                f"{self.settings.name}: {file.path}: git lfs failed: {masked}",
                hint=complaints.advice(masked),
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
        """Return author, date (ISO 8601) and subject of those commits that are in the cache."""
        form = "--format=%H%x00%an%x00%aI%x00%s"
        if not (self.folder / "HEAD").is_file():
            return {}
        known = [commit for commit in commits if self.has(commit)]
        if not known:
            return {}
        lines = self._run("log", "--no-walk=unsorted", form, *known, "--").splitlines()
        fields = [line.split("\0") for line in lines]
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
        self._run("-c", "gc.auto=2000", "-c", "gc.packRefs=false", "gc", "--auto", "--quiet")

    def _fetch_from(self, url: str) -> None:
        self._run(
            *("fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head"),
            *("--no-recurse-submodules", "--no-auto-maintenance"),
            *("--", url, f"+refs/heads/{self.settings.branch}:{WANTED}"),
            network=True,
        )

    def _moved(self) -> str:
        """Return where the origin redirects to on the same host; git fetches from there itself.

        Only asked, and nothing taken, while redirects are followed.

        Raises:
            OriginError: It is another host or protocol.
        """
        origin = self.settings.origin
        follow = ("-c", "http.followRedirects=initial")
        _, _, said = self._finish((*follow, "ls-remote", "--", origin, "HEAD"), network=True)
        url = complaints.destination(said)
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
        return DamagedCacheError(f"{self.folder}: {ref} is not there")

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
        self, *arguments: str, network: bool = False, inside: bool = True, stdin: str = ""
    ) -> str:
        """Run git to its end within the time it has, and return what it says."""
        extra = {}
        if not inside:
            extra = {"GIT_DIR": arguments[-1], "GIT_OBJECT_DIRECTORY": f"{arguments[-1]}/objects"}
        code, out, said = self._finish(arguments, network=network, extra=extra, stdin=stdin)
        if code:
            raise self._failure(said, arguments[0], network=network)
        return out

    def _finish(
        self,
        arguments: tuple[str, ...],
        *,
        network: bool,
        extra: Mapping[str, str] = MappingProxyType({}),
        stdin: str = "",
    ) -> tuple[int, str, str]:
        """Run git to its end; return its code, its output, and what it complains of."""
        secrets = self._secrets() if network else {}
        running = self._start(arguments, {**extra, **secrets})  # it ends when this is forgotten
        process = running.proc
        try:
            if network:  # a full disk refuses it
                children.note(self.state / "fetch.pid", process.pid)
            out, err = process.communicate(stdin.encode(), timeout=self.settings.fetch_timeout)
        except subprocess.TimeoutExpired as error:
            what = address.mask(self.settings.origin) if network else f"git {arguments[0]}"
            kind = OriginError if network else MirrorError
            raise kind(
                f"{self.settings.name}: {what} took longer than {self.settings.fetch_timeout:g} s",
                hint="It is tried again; `fetch-timeout` says how long it may take.",
            ) from error
        finally:
            children.end(process)
            children.forget(process)
            if network:
                (self.state / "fetch.pid").unlink(missing_ok=True)
        said = address.mask(err.decode("utf-8", "replace").strip(), secrets.values())
        return process.returncode, out.decode("utf-8", "replace"), said

    def _start(self, arguments: tuple[str, ...], extra: dict[str, str]) -> Any:  # noqa: ANN401
        """Start git in a group of its own, so that all of it can be ended."""
        return self._persistent().execute(
            [*isolation.without(self._environ), "git", *arguments],
            istream=subprocess.PIPE,
            as_process=True,
            start_new_session=True,
            env=extra,
        )

    def _failure(self, text: str, verb: str, *, network: bool) -> Exception:
        if complaints.full(text):
            return MirrorError(f"{self.folder}: {text}", hint="Make room; it is tried again.")
        if complaints.broken(text):
            self.close()
            return DamagedCacheError(f"{self.folder}: {text}")
        if not network:
            return MirrorError(f"{self.folder}: git {verb} failed: {text}")
        where = f"{self.settings.name}: {address.mask(self.settings.origin)}"
        return complaints.of_origin(text, where=where, branch=self.settings.branch)

    def _secrets(self) -> dict[str, str]:
        if not self.settings.token:
            return {}
        where = f"collection {self.settings.name}, token"
        token = address.secret(self.settings.token, self._environ, where=where)
        return {"NBPIPE_ORIGIN_TOKEN": token}

    def _write(self, name: str, text: str, mode: int) -> None:
        file = self.state / name
        if not file.is_file() or file.read_text("utf-8") != text:
            fresh = file.with_name(f"{name}.new")
            fresh.write_text(text, "utf-8")
            fresh.chmod(mode)
            fresh.replace(file)

    def _leftovers(self) -> Iterator[Path]:
        """Yield the locks and half-written objects of a killed git; the lock is ours alone."""
        yield from self.folder.glob("*.lock")
        yield from (self.folder / "refs").rglob("*.lock")
        yield from (self.folder / "objects" / "pack").glob("tmp_*")
        yield from (self.folder / "objects").glob("??/tmp_obj_*")
        yield self.folder / "gc.pid"


def _text(token: str | bytes) -> str:
    """Return what GitPython gives as one or the other."""
    return token.decode("ascii") if isinstance(token, bytes) else token


def _drain(stream: Any) -> None:  # noqa: ANN401  (GitPython's)
    while stream.read(_CHUNK):
        pass
