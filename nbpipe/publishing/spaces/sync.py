"""Every home that the configuration names, in turn: look, sync, undo. No printing here.

Root does it, through the home's descriptor. In a home where root may do nothing (NFS that squashes
root) it is done as the user, in a child process, after all others and one at a time: a process is
not forked while threads are at work.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import ConfigError, UsageError
from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.spaces import binds, space
from nbpipe.publishing.spaces.homes import OPEN_FOLDER, Accounts, Home, Skipped, find
from nbpipe.publishing.spaces.impersonation import ActingError, act
from nbpipe.publishing.spaces.space import ROOT, Space, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from datetime import date

    from nbpipe.config import Config
    from nbpipe.config.settings import CollectionSettings, SpacesSettings
    from nbpipe.publishing.spaces.homes import Place

    Work = Callable[[int, int], tuple[State, str]]
    """Does something in an open home; the second number is who it is done as (a uid)."""

THREADS = 16
AHEAD = 64
"""Homes at most that are open and not done."""
NO_MOUNT = 'root may not work in this home, as a mount needs it; method = "symlink" does not'


@dataclass(frozen=True, slots=True)
class _Refused:
    """A home in which root may not do it; its user may."""

    home: Home


@dataclass(frozen=True, kw_only=True, slots=True)
class Spaces:
    """Where a mirror appears, and how."""

    mirror: Path
    """`<root>/<collection>`."""
    homes: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    name: str = "notebooks-latest"
    bind: bool = False

    @classmethod
    def every(cls, config: Config) -> tuple[Spaces, ...]:
        """Return what the configuration says, for each collection that appears in homes.

        Raises:
            ConfigError: It does not say which collections, or where a mirror is.
        """
        wanted, file = config.settings.spaces, config.file
        made = []
        for collection, name in _collections(config):
            if not Path(collection.root).is_absolute():
                # A link to it would lead into the home, to what its user put there.
                raise ConfigError(
                    f"{file}: collection {collection.name}: the root {collection.root} is not an "
                    "absolute path",
                    hint="Write it from `/` on.",
                )
            made.append(
                cls(
                    mirror=Path(collection.root) / collection.name,
                    homes=wanted.homes,
                    exclude=wanted.exclude,
                    name=name,
                    bind=wanted.method == "bind",
                )
            )
        return tuple(made)

    @property
    def target(self) -> str:
        """Where the link in a home points."""
        return binds.link_target(self.name) if self.bind else str(self.mirror / "current")

    def survey(self) -> Iterator[Space]:
        """Yield how every home stands; nothing is changed."""
        status = self._status() if self.bind else None

        def look(home: int, maker: int) -> tuple[State, str]:
            state, detail = space.inspect(home, self.name, self.target)
            if state is not State.PRESENT or not self.bind or maker != ROOT:
                return state, detail
            if status is None or not binds.is_mounted(home, self.name, status):
                return State.MISSING, "the link is there, the mount is not"
            return state, detail

        for place, descriptor in self._found():
            yield self._done_by_anybody(place, descriptor, look)

    def preview(self, today: date) -> Iterator[Space]:
        """Yield what `sync` would do; nothing is changed."""
        for each in self.survey():
            state, detail = space.would(each.state, self.name, today)
            words = [word for word in (each.detail, detail) if word]
            yield replace(each, state=state, detail=", ".join(words))

    def sync(self, today: date) -> Iterator[Space]:
        """Make the mirror appear in every home; yield what became of each.

        Raises:
            UsageError: This is not root.
            MirrorError: There is nothing to mount.
        """
        _as_root("space sync")
        unmount_strays = self._strays()

        def link(home: int, maker: int) -> tuple[State, str]:
            result = space.link(home, self.name, self.target, today)
            if maker == ROOT:
                unmount_strays(home)
                if result[0] is State.REPLACED:  # by method = "bind" before: of no use now
                    binds.unmount(home, self.name)
            return result

        if not self.bind:
            yield from self._each_at_once(link)
            return
        with self._prepared() as place:
            status = self.mirror.stat()

            def bind(home: int, maker: int) -> tuple[State, str]:
                if maker != ROOT:
                    raise OSError(errno.EACCES, NO_MOUNT)
                fresh = binds.mount(home, self.name, place, status)
                renamed = unmount_strays(home)
                state, detail = space.link(home, self.name, self.target, today)
                if state is State.PRESENT and (fresh or renamed):
                    return State.REPLACED, "mounted again"
                return state, detail

            yield from self._each_at_once(bind)

    def remove(self, today: date) -> Iterator[Space]:
        """Take the link, and a mount, out of every home; what is the users' own stays.

        Raises:
            UsageError: This is not root.
        """
        _as_root("space sync --remove")
        unmount_strays = self._strays()

        def undo(home: int, maker: int) -> tuple[State, str]:
            if maker == ROOT and not os.access(".", os.W_OK, dir_fd=home):
                raise PermissionError(errno.EACCES, "may not be written")
            result = space.unlink(home, self.name, self.target, today, maker=maker)
            if maker != ROOT:
                return result
            gone = [binds.unmount(home, self.name), unmount_strays(home)]
            if any(gone) and result[0] is State.MISSING:
                return State.REMOVED, "the mount; the link was gone"
            return result

        return self._each_at_once(undo)

    def _strays(self) -> Callable[[int], bool]:
        """Return what takes away the mounts that a home's user has moved by renaming.

        The mounts of all homes are read once: a machine can have tens of thousands.
        """
        status = self._status()
        found = binds.strays(self.name) if status else {}

        def unmount(home: int) -> bool:
            folders = found.get(str(Path(f"/proc/self/fd/{home}").readlink()), ())
            return status is not None and binds.unmount_strays(home, self.name, folders, status)

        return unmount

    def _status(self) -> os.stat_result | None:
        return self.mirror.stat() if self.mirror.is_dir() else None

    def _each_at_once(self, work: Work) -> Iterator[Space]:
        """Do it in every home, some at a time; in the order of homes but for those of users' own.

        Taking a folder or a mount away is little work and much waiting for the kernel.
        """
        pending: deque[Future[Space | _Refused]] = deque()
        refused: list[Home] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for place, descriptor in self._found():
                own = os.dup(descriptor) if descriptor >= 0 else -1
                pending.append(pool.submit(self._done_and_closed, place, own, work))
                if len(pending) > AHEAD:
                    yield from _unless_refused(pending.popleft().result(), refused)
            while pending:
                yield from _unless_refused(pending.popleft().result(), refused)
        for home in refused:
            yield self._done_by_user(home, work)

    def _found(self) -> Iterator[tuple[Place, int]]:
        return find(self.homes, exclude=self.exclude, accounts=Accounts())

    def _done_by_anybody(self, place: Place, descriptor: int, work: Work) -> Space:
        done = self._done(place, descriptor, work)
        return self._done_by_user(done.home, work) if isinstance(done, _Refused) else done

    def _done(self, place: Place, descriptor: int, work: Work) -> Space | _Refused:
        """Do it as this process; say where its user might do more."""
        if not isinstance(place, Home):
            state = State.SKIPPED if isinstance(place, Skipped) else State.FAILED
            return Space(place.path, None, state, place.reason, self.name)
        refused, state, detail = place.closed, State.FAILED, ""
        if not refused:
            try:
                state, detail = work(descriptor, ROOT)
            except PermissionError as error:
                refused = error.strerror or str(error)
            except OSError as error:
                detail = error.strerror or str(error)
        if refused and os.geteuid() == ROOT:
            return _Refused(place)
        if refused:
            detail = f"{refused} (run this command as root)"
        return Space(place.path, place.account, state, detail, self.name)

    def _done_and_closed(self, place: Place, descriptor: int, work: Work) -> Space | _Refused:
        try:
            return self._done(place, descriptor, work)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _done_by_user(self, place: Home, work: Work) -> Space:
        """Do it as the home's user, where root may not."""

        def at_home(_: Callable[[], None]) -> tuple[str, str]:
            home = os.open(place.path, OPEN_FOLDER)
            if os.fstat(home).st_uid != place.account.uid:
                raise OSError(errno.EACCES, "belongs to another user by now")
            state, detail = work(home, place.account.uid)
            return str(state), detail

        try:
            state, detail = act(place.account, at_home)
        except (ActingError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            return Space(place.path, place.account, State.FAILED, reason or str(error), self.name)
        return Space(place.path, place.account, State(state), detail, self.name)

    @contextmanager
    def _prepared(self) -> Iterator[Path]:
        try:
            with binds.read_only(self.mirror) as place:
                yield place
        except OSError as error:
            raise MirrorError(
                f"{self.mirror}: cannot be mounted: {error.strerror}",
                hint="`nbpipe publish` makes the mirror. In a container, mounting needs "
                'CAP_SYS_ADMIN; method = "symlink" needs no mount.',
            ) from error


def _unless_refused(done: Space | _Refused, refused: list[Home]) -> Iterator[Space]:
    if isinstance(done, _Refused):
        refused.append(done.home)
    else:
        yield done


def _as_root(command: str) -> None:
    if os.geteuid() != ROOT:
        raise UsageError(
            f"nbpipe {command}: works in other people's homes and must run as root",
            hint=f"`sudo nbpipe {command}`; `--dry-run` and `nbpipe space list` need no root.",
        )


def _collections(config: Config) -> list[tuple[CollectionSettings, str]]:
    """Return the collections that appear in homes, each with the name that it has there."""
    wanted, file = config.settings.spaces, config.file
    known = {collection.name: collection for collection in config.settings.collection}
    if not known:
        raise ConfigError(f"{file}: has no [[collection]]", hint="Nothing can appear in spaces.")
    named = "spaces.name" in config.given
    if isinstance(wanted.collection, tuple) and named:
        raise ConfigError(
            f"{file}: spaces.name cannot stand beside a list of collections",
            hint="Each of them appears under its own name; remove `name`.",
        )
    if wanted.collection is None and not named and len(known) > 1:
        return [(collection, name) for name, collection in known.items()]
    if wanted.collection is None and len(known) == 1:
        return [(next(iter(known.values())), wanted.name)]
    names = _names(wanted)
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"{file}: spaces.collection: unknown collection {', '.join(unknown)}",
            hint=f"The file has: {', '.join(known)}.",
        )
    if isinstance(wanted.collection, tuple):
        return [(known[name], name) for name in names]
    return [(known[names[0]], wanted.name)]


def _names(wanted: SpacesSettings) -> tuple[str, ...]:
    if isinstance(wanted.collection, tuple):
        return wanted.collection
    return (wanted.collection or wanted.name,)
