"""How far the description of many products is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbpipe.system.units import data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbpipe.reference.products.parallel import Described

EVERY = 10.0
"""Seconds between two lines."""
FEW = 200
BYTES = 500_000_000
"""Fewer files with fewer bytes are described before anybody wonders."""


@contextmanager
def shown(now: Callable[[], float] = time.monotonic) -> Iterator[Callable[[Described], None]]:
    """Give what is to be called with the progress; it writes to standard error."""
    if sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield lines(now)


def lines(now: Callable[[], float]) -> Callable[[Described], None]:
    """Return what writes a line every few seconds, and one at the end if there was any."""
    last = now()
    told = False

    def tell(progress: Described) -> None:
        nonlocal last, told
        moment = now()
        ended = progress.files == progress.all_files
        if moment - last >= EVERY or (ended and told):
            last, told = moment, True
            print(_line(progress), file=sys.stderr, flush=True)  # noqa: T201

    return tell


def _line(progress: Described) -> str:
    return (
        f"described {progress.files:,} of {progress.all_files:,} products, "
        f"{data(progress.bytes)} of {data(progress.all_bytes)}"
    )


@contextmanager
def _bar() -> Iterator[Callable[[Described], None]]:
    from rich.console import Console  # noqa: PLC0415  (slow)
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", visible=False)

        def tell(progress: Described) -> None:
            many = progress.all_files >= FEW or progress.all_bytes >= BYTES
            bar.update(
                task,
                description=_line(progress),
                completed=progress.bytes,
                total=max(progress.all_bytes, 1),
                visible=many,
            )

        yield tell
