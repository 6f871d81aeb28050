"""What the history tells, and what it is told: frozen values, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.model import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from nbpipe.model import Attempt, Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """One run, as it was recorded."""

    id: str
    started: datetime
    """Aware, UTC."""
    seconds: float | None = None
    """None where it has not ended, or its end was never recorded."""
    interrupted: bool = False
    root: str
    output_dir: str
    commit: str | None
    host: str
    version: str
    """nbpipe's own."""
    python: str
    jobs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PastFailure:
    """One reason why a notebook did not pass; the fields of `nbpipe.model.Failure`."""

    category: str
    name: str
    message: str
    traceback: str
    signature: str
    cell: int | None
    cell_id: str | None
    source: str = ""
    """Empty, too, where it was recorded by an early version."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastResult:
    """What became of one notebook in one run."""

    run: str
    started: datetime
    """Of the run; aware, UTC."""
    path: str
    outcome: str | None
    """None: it was planned, and no result was recorded."""
    complete: bool
    """False: planned only, interrupted or never started: `--resume` runs it."""
    reason: str | None
    kernel: str
    seconds: float
    attempts: int
    memory: int | None = None
    """Peak in bytes; None where it was not measured."""
    failures: tuple[PastFailure, ...]
    tries: tuple[Attempt, ...] = ()
    """Each attempt where there was more than one; empty, too, where it was recorded by an early
    version."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastLine:
    """A result in one line: without what its failures say."""

    run: str
    started: datetime
    path: str
    outcome: str | None
    complete: bool
    reason: str | None
    kernel: str
    seconds: float
    attempts: int
    memory: int | None
    category: str | None
    """Of the first failure."""
    signature: str | None
    change: str | None
    """`failing`: it failed and had not before; `recovered`: it passed and had failed; else None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastMark:
    """As much of a result as its notebook's statistics need."""

    path: str
    outcome: str | None
    seconds: float
    memory: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLine:
    """A run with its numbers."""

    run: PastRun
    planned: int
    passed: int
    failed: int
    flaky: int
    skipped: int

    @property
    def missing(self) -> int:
        """How many of the plan have no result (yet)."""
        return self.planned - self.passed - self.failed - self.flaky - self.skipped


@dataclass(frozen=True, kw_only=True, slots=True)
class PastCollection:
    """A collection that the database knows."""

    id: int
    keys: tuple[str, ...]
    """As in `identity`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A notebook that the database knows."""

    path: str
    outcome: str
    """The last time that it was executed."""
    run: str
    started: datetime
    """Of that run; aware, UTC."""
    seconds: float
    memory: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Last:
    """What is known about a notebook from the last time that it was executed."""

    outcome: str
    """`passed`, `failed` or `flaky`; never `skipped`."""
    run: str
    seconds: float
    """How long it takes: a failure after a pass does not make it shorter."""
    memory: int | None = None
    """Peak in bytes, None where it is not known: a failure does not make it smaller."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastTrace:
    """What a notebook depended on when it passed last."""

    run: str
    trace: Trace | None
    """None where another version of nbpipe wrote it, in a form that this one does not know."""


def failing_outcomes(*, flaky: str) -> frozenset[str]:
    """Return the outcomes that count as a failure; `flaky` is the setting of that name."""
    failed = {Outcome.FAILED.value}
    return frozenset(failed | {Outcome.FLAKY.value} if flaky == "fail" else failed)


def storable(text: str) -> str:
    r"""Return text that every database takes: no NUL, and a lone surrogate as `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
