"""How far a copy is: a bar on standard error, once it takes long enough to wonder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress, TaskID

PATIENCE = 1.0
"""Seconds before a progress bar is worth its line."""


class Bar:
    """A progress bar on standard error, from the moment that it takes long."""

    def __init__(
        self, title: str, *, show: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.title = title
        self.show = show
        self.clock = clock
        self.started = clock()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show where it is."""
        if self._bar is None and self.show and self.clock() - self.started > PATIENCE:
            from rich.console import Console  # noqa: PLC0415  (slow; seldom needed)
            from rich.markup import escape  # noqa: PLC0415  (comes with it)
            from rich.progress import Progress  # noqa: PLC0415

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(escape(self.title), total=total)
            self._bar.start()
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
