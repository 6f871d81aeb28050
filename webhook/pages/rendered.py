"""Executed copies as pages on disk: each made once, in a process of its own, within limits.

    <folder>/<key>.html     the page; 0600
    <folder>/<key>.txt      why there is none, where that will not change

The key is a digest of what the page is made of, so a page never is out of date. The folder is
bounded; what was not asked for longest goes first. No request waits for long, and few wait at all:
beacons need the threads.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.reports.html.rendering import Limits, NotShown, Renderer
from nbpipe.system import files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nbpipe.model import Failure
    from nbpipe.reports.html.rendering import Source

logger = logging.getLogger(__name__)

LIMITS = Limits()
"""For one page: a minute of computing, 1 GiB of memory."""
CHILDREN = 2
"""Processes that render at the same time."""
QUEUED = 20
"""Copies that are being rendered or wait for it."""
WAITING = 3
"""Requests that wait for a page at the same time."""
PATIENCE = 8.0
"""Seconds that one of them waits."""
KEPT_BYTES = 500_000_000
KEPT_PAGES = 500
FORGET_SECONDS = 60.0
"""How long a problem that may pass is remembered."""
_STALE_SECONDS = 3_600.0
"""After so long, what was being written was left behind by a service that was killed."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why there is no page."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Order:
    """A page that is to be made."""

    key: str
    copy: Path
    failures: tuple[Failure, ...]
    source: Source | None


class Rendered:
    """Makes pages and keeps them.

    Args:
        folder: Only the service's own user may look in there; made if need be.
        limits: For one page.
        waiting: How many requests may wait for a page at the same time.
    """

    def __init__(self, folder: Path, limits: Limits = LIMITS, *, waiting: int = WAITING) -> None:
        self._folder = folder
        self._limits = limits
        self._lock = threading.Lock()
        self._making: dict[str, threading.Event] = {}
        self._passing: dict[str, tuple[float, Why]] = {}
        self._children = threading.Semaphore(CHILDREN)
        self._waiting = threading.Semaphore(waiting)

    def get(
        self, key: str, copy: Path, failures: Sequence[Failure], source: Source | None = None
    ) -> Path | Why | None:
        """Return the page of a copy, or why there is none; None: not yet.

        Args:
            key: A digest of everything that the page is made of.
            copy: The executed copy.
            failures: Their cells are marked.
            source: What else is known of the notebook.
        """
        if (known := self._known(key)) is not None:
            return known
        made = self._begin(_Order(key, copy, tuple(failures), source))
        if made is not None and self._waiting.acquire(blocking=False):
            try:
                made.wait(PATIENCE)
            finally:
                self._waiting.release()
        return self._known(key)

    def _known(self, key: str) -> Path | Why | None:
        page = self._folder / f"{key}.html"
        try:
            os.utime(page)
        except OSError:
            pass
        else:
            return page
        try:
            return Why((self._folder / f"{key}.txt").read_text(encoding="utf-8"))
        except OSError:
            pass
        with self._lock:
            since, why = self._passing.get(key, (0.0, None))
        return why if time.monotonic() - since < FORGET_SECONDS else None

    def _begin(self, order: _Order) -> threading.Event | None:
        """Have a page made, unless it is being made already; None where too many wait."""
        with self._lock:
            if (event := self._making.get(order.key)) is not None:
                return event
            if len(self._making) >= QUEUED:
                return None
            event = self._making[order.key] = threading.Event()
        work = (order, event)
        threading.Thread(target=self._work, args=work, name="rendering", daemon=True).start()
        return event

    def _work(self, order: _Order, event: threading.Event) -> None:
        key, copy = order.key, order.copy
        try:
            with self._children:
                if self._known(key) is None:
                    self._make(order)
        except Exception:
            logger.exception("%s: cannot be rendered", copy)
            self._note(key, Why("an error of the service; its log says more"))
        finally:
            with self._lock:
                del self._making[key]
            event.set()

    def _make(self, order: _Order) -> None:
        key, copy = order.key, order.copy
        fresh = self._folder / f"{secrets.token_hex(8)}.part"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            before = _state(copy)
            with Renderer(self._limits) as renderer:
                drawn = renderer.draw(copy, order.failures, fresh, order.source)
            if _state(copy) != before:
                self._note(key, Why("it is being written just now"))
            elif drawn:
                files.settle(fresh, self._folder / f"{key}.html")
                self._trim()
            else:
                self._refuse(key, "it is not a notebook that can be read")
        except NotShown as problem:
            logger.warning("%s: is not shown: %s", copy, problem.reason)
            if problem.lasting:
                self._refuse(key, problem.reason)
            else:
                self._note(key, Why(problem.reason))
        except OSError as error:
            logger.error("%s: cannot be rendered: %s", copy, error)  # noqa: TRY400  (says it all)
            self._note(key, Why(f"its page cannot be kept: {error.strerror}"))
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink()

    def _refuse(self, key: str, reason: str) -> None:
        """Keep on disk why there is no page."""
        fresh = self._folder / f"{secrets.token_hex(8)}.part"
        files.replace(self._folder / f"{key}.txt", reason.encode(), mode=0o600, fresh=fresh)

    def _note(self, key: str, why: Why) -> None:
        """Remember a problem for a while."""
        now = time.monotonic()
        with self._lock:
            fresh = {
                name: kept for name, kept in self._passing.items() if now - kept[0] < FORGET_SECONDS
            }
            self._passing = {**fresh, key: (now, why)}

    def _trim(self) -> None:
        """Remove what was not asked for longest until the folder is within its bounds."""
        kept = []
        with os.scandir(self._folder) as entries:
            found_here = list(entries)
        for entry in found_here:
            try:
                found = entry.stat(follow_symlinks=False)
                if not entry.name.endswith(".part"):
                    kept.append((found.st_mtime, found.st_size, entry.path))
                elif time.time() - found.st_mtime > _STALE_SECONDS:
                    os.unlink(entry.path)  # noqa: PTH108  (an entry's path)
            except FileNotFoundError:  # another service on the same folder was faster
                continue
        kept.sort(reverse=True)
        size = 0
        for number, (_, length, path) in enumerate(kept):
            size += length
            if number >= KEPT_PAGES or size > KEPT_BYTES:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108


def _state(copy: Path) -> tuple[int, int, int]:
    found = copy.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
