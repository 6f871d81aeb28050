"""Every home that the configuration names, in turn: look, sync, undo. No printing here."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import ConfigError, UsageError
from nbpipe.publishing import binds, spaces
from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.homes import Accounts, Home, Skipped, find
from nbpipe.publishing.spaces import Space, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from datetime import date

    from nbpipe.settings import CollectionSettings, Settings


THREADS = 16
AHEAD = 64
"""Homes at most that are open and not done."""


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
    def of(cls, settings: Settings, file: Path | None) -> Spaces:
        """Return what the configuration says.

        Raises:
            ConfigError: It does not say which collection, or where its mirror is.
        """
        wanted = settings.spaces
        collection = _collection(settings, file)
        if not Path(collection.root).is_absolute():
            # A link to it would lead into the home, to what its user put there.
            raise ConfigError(
                f"{file}: collection {collection.name}: the root {collection.root} is not an "
                "absolute path",
                hint="Write it from `/` on.",
            )
        return cls(
            mirror=Path(collection.root) / collection.name,
            homes=wanted.homes,
            exclude=wanted.exclude,
            name=wanted.name,
            bind=wanted.method == "bind",
        )

    @property
    def target(self) -> str:
        """Where the link in a home points."""
        return binds.link_target(self.name) if self.bind else str(self.mirror / "current")

    def survey(self) -> Iterator[Space]:
        """Yield how every home stands; nothing is changed."""
        status = self.mirror.stat() if self.bind and self.mirror.is_dir() else None

        def look(home: int) -> tuple[State, str]:
            state, detail = spaces.inspect(home, self.name, self.target)
            if state is not State.PRESENT or not self.bind:
                return state, detail
            if status is None or not binds.is_mounted(home, self.name, status):
                return State.MISSING, "the link is there, the mount is not"
            return state, detail

        return self._each(look)

    def preview(self, today: date) -> Iterator[Space]:
        """Yield what `sync` would do; nothing is changed."""
        for space in self.survey():
            state, detail = spaces.would(space.state, self.name, today)
            words = [word for word in (space.detail, detail) if word]
            yield Space(space.home, space.account, state, ", ".join(words))

    def sync(self, today: date) -> Iterator[Space]:
        """Make the mirror appear in every home; yield what became of each.

        Raises:
            UsageError: This is not root.
            MirrorError: There is nothing to mount.
        """
        _as_root("space sync")
        if not self.bind:
            yield from self._each_at_once(lambda home: self._link(home, today))
            return
        with self._prepared() as place:
            status = self.mirror.stat()

            def bind(home: int) -> tuple[State, str]:
                fresh = binds.mount(home, self.name, place, status)
                state, detail = spaces.link(home, self.name, self.target, today)
                if fresh and state is State.PRESENT:
                    return State.REPLACED, "mounted again"
                return state, detail

            yield from self._each_at_once(bind)

    def remove(self, today: date) -> Iterator[Space]:
        """Take the link, and a mount, out of every home; what is the users' own stays.

        Raises:
            UsageError: This is not root.
        """
        _as_root("space sync --remove")

        def undo(home: int) -> tuple[State, str]:
            result = spaces.unlink(home, self.name, self.target, today)
            if binds.unmount(home, self.name) and result[0] is State.MISSING:
                return State.REMOVED, "the mount; the link was gone"
            return result

        return self._each_at_once(undo)

    def _link(self, home: int, today: date) -> tuple[State, str]:
        result = spaces.link(home, self.name, self.target, today)
        if result[0] is State.REPLACED:  # by method = "bind" before: its mount is of no use now
            binds.unmount(home, self.name)
        return result

    def _each(self, work: Callable[[int], tuple[State, str]]) -> Iterator[Space]:
        for place, descriptor in self._found():
            yield _done(place, descriptor, work)

    def _each_at_once(self, work: Callable[[int], tuple[State, str]]) -> Iterator[Space]:
        """As `_each`, in the same order, some homes at a time.

        Taking a folder or a mount away is little work and much waiting for the kernel.
        """
        pending: deque[Future[Space]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            for place, descriptor in self._found():
                own = os.dup(descriptor) if descriptor >= 0 else -1
                pending.append(pool.submit(_done_and_closed, place, own, work))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _found(self) -> Iterator[tuple[Home | Skipped, int]]:
        return find(self.homes, exclude=self.exclude, accounts=Accounts())

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


def _done(
    place: Home | Skipped, descriptor: int, work: Callable[[int], tuple[State, str]]
) -> Space:
    if isinstance(place, Skipped):
        return Space(place.path, None, State.SKIPPED, place.reason)
    try:
        state, detail = work(descriptor)
    except OSError as error:
        state, detail = State.FAILED, error.strerror or str(error)
    return Space(place.path, place.account, state, detail)


def _done_and_closed(
    place: Home | Skipped, descriptor: int, work: Callable[[int], tuple[State, str]]
) -> Space:
    try:
        return _done(place, descriptor, work)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _as_root(command: str) -> None:
    if os.geteuid() != 0:
        raise UsageError(
            f"nbpipe {command}: works in other people's homes and must run as root",
            hint=f"`sudo nbpipe {command}`; `--dry-run` and `nbpipe space list` need no root.",
        )


def _collection(settings: Settings, file: Path | None) -> CollectionSettings:
    """Return the collection that appears in spaces."""
    known = {collection.name: collection for collection in settings.collection}
    wanted = settings.spaces.collection or settings.spaces.name
    if wanted in known:
        return known[wanted]
    if len(known) == 1 and settings.spaces.collection is None:
        return settings.collection[0]
    if not known:
        raise ConfigError(f"{file}: has no [[collection]]", hint="Nothing can appear in spaces.")
    raise ConfigError(
        f"{file}: spaces.collection: there is no collection {wanted}",
        hint=f"There are: {', '.join(known)}.",
    )
