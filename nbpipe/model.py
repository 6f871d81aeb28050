"""The words that every room shares: task, failure, result, run.

Frozen values only. Nothing here imports from nbpipe, reads a file or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (annotations are read: batch.wire)
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta  # noqa: TC003
from enum import StrEnum
from pathlib import Path  # noqa: TC003
from typing import Any, Literal


class Outcome(StrEnum):
    """What became of a task."""

    PASSED = "passed"
    FAILED = "failed"
    FLAKY = "flaky"
    """Failed, then passed on a retry."""
    SKIPPED = "skipped"
    """Chosen, and then not executed (to its end); always with a reason."""


class Category(StrEnum):
    """Why a notebook failed; a fixed vocabulary, part of the outside contract."""

    EXCEPTION = "exception"
    MISSING_PACKAGE = "missing-package"
    MISSING_FILE = "missing-file"
    NETWORK = "network"
    ASKS_FOR_INPUT = "asks-for-input"
    TIMEOUT = "timeout"
    KERNEL_DIED = "kernel-died"
    OUT_OF_MEMORY = "out-of-memory"
    KERNEL_MISSING = "kernel-missing"
    INVALID_NOTEBOOK = "invalid-notebook"
    OUTPUT_LIMIT = "output-limit"
    OUTPUT_DIFFERS = "output-differs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One reason why a notebook did not pass."""

    category: Category
    name: str
    """The exception's name as its language gives it, without decoration; may be empty."""
    message: str
    """One or more lines, plain text."""
    traceback: str = ""
    """Plain text, no ANSI codes."""
    signature: str = ""
    """The same root cause has the same signature, in every notebook, run and machine."""
    cell: int | None = None
    """0-based index into the source notebook's cells; None where it is not one of them."""
    cell_id: str | None = None
    source: str = ""
    """The failing cell's source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long and how loud a notebook may be."""

    cell_seconds: float | None = 600.0
    """For one cell; None: for ever."""
    notebook_seconds: float | None = None
    """For the whole notebook, the kernel's start included; None: for ever."""
    startup_seconds: float = 180.0
    """For the kernel to answer for the first time."""
    grace_seconds: float = 10.0
    """Between the interrupt and the kill."""
    shutdown: Literal["auto", "graceful", "immediate"] = "auto"
    """How a kernel ends after the last cell: as the setting of that name."""
    shutdown_seconds: float = 15.0
    """For an orderly end, after the last cell; 0: it is killed at once.

    ipykernel itself can take 10 s: its control thread flushes output to a thread that has ended
    (`OutStream.flush_timeout`), and only then come the atexit handlers.
    """
    output_bytes: int = 100_000_000
    """All outputs of the notebook together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prerun:
    """Code that runs first in every notebook of its language."""

    name: str
    """The file it comes from, for people."""
    language: str
    """A kernel's language, lower case: python, r, bash, julia."""
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One notebook to execute, and everything that decides how."""

    path: str
    """Relative to the collection's root, with `/`; absolute where it lies outside."""
    file: Path
    """Absolute path of the source, which is never written."""
    why: str
    """Why it was chosen: the pattern, folder or file that matched."""
    kernel: str
    """The kernelspec to start; where `failure` or `skip` says it is missing, the one wanted."""
    language: str = ""
    """The kernel's language, lower case; empty where unknown."""
    kernel_why: str = ""
    """How the kernel was chosen, where it is not simply the one the notebook names."""
    limits: Limits = field(default_factory=Limits)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    prerun: tuple[Prerun, ...] = ()
    all_errors: bool = False
    """Go on after a failing cell and report every error (`--all-errors`)."""
    allow_errors: bool = False
    """Errors are expected in every cell: the notebook's own metadata says so."""
    retries: int = 0
    slots: int = 1
    """How many notebooks at once it counts as."""
    groups: tuple[str, ...] = ()
    """Of all notebooks with a group in common only one runs at a time."""
    threads: int | Literal["auto", "off"] = "auto"
    """Threads for its numerical libraries; auto: a slot's share of the cores."""
    cores: int | None = None
    """The number of threads in this run; None: no limit is set."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables that its kernel gets, whatever else is set."""
    hidden: tuple[str, ...] = ()
    """Variables that its kernel does not inherit: the configuration's secrets."""
    user_site: Literal["warn", "on", "off"] = "warn"
    """What to do about packages in the home: note what was imported, say nothing, or hide them."""
    memory: int | None = None
    """Bytes that it is expected to need at its peak; None where nothing is known."""
    expected: float | None = None
    """Seconds that it took the last time; None where nothing is known."""
    turn: str = ""
    """Why it starts earlier than its place says; empty where it does not."""
    because: str = ""
    """What changed, so that it runs (`--changed-since`)."""
    skip: str | None = None
    """Why it will not be executed at all."""
    failure: Failure | None = None
    """What is wrong already: no kernel, an unreadable file."""
    notes: tuple[str, ...] = ()
    """What a maintainer should know about it, failing or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Excluded:
    """A notebook that the patterns matched and that an exclusion took out."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What would run, in this order, and why each other notebook would not."""

    root: Path
    tasks: tuple[Task, ...]
    excluded: tuple[Excluded, ...]
    unmatched: tuple[str, ...] = ()
    """Patterns and folders in which there is no notebook at all, while others have some."""
    warnings: tuple[str, ...] = ()
    """What in the configuration is about no notebook of the whole collection."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a running notebook is."""

    task: Task
    cell: int
    """1-based number of the cell now running, among the code cells; 0 while it starts."""
    cells: int
    """How many code cells there are; 0 while not known."""
    attempt: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What a notebook that passed depended on; paths are relative to the repository's top."""

    source: str
    """The git id of the notebook itself; `CHANGED` where it was edited meanwhile."""
    kernel: str
    """The kernelspec's name."""
    settings: str
    """A digest of the kernelspec and of everything in the task that can change the result."""
    inputs: Mapping[str, str]
    """What it read, each with its git id: empty where there was none, `CHANGED` where it was
    written meanwhile. `folder/` is a folder that was listed; `//` every file, `//names` the names
    of all files, `//files` those of all but notebooks and modules, `//files/folder` those below a
    folder."""
    modules: tuple[str, ...] = ()
    """Top-level modules that it imported, none of the standard library."""
    folders: tuple[str, ...] = ()
    """Where those were looked for."""
    places: tuple[str, ...] = ()
    """Where modules of packages were looked for: `package/module`."""
    found: tuple[str, ...] = ()
    """Of all these places, those where there was one."""
    outputs: tuple[str, ...] = ()
    """What it wrote."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The distributions that it imported, with their versions; and `python`."""
    unknown: str = ""
    """Why nobody can know what it read; empty where that is known."""
    limits: Mapping[str, float | None] = field(default_factory=dict)
    """Within which it passed: `cell_seconds`, `notebook_seconds`, `output_bytes`."""


CHANGED = "?"
"""The id of a file that was written while it was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """A result of an earlier run."""

    run: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What earlier runs say of a notebook."""

    outcome: Outcome
    """Of the last time that it was executed."""
    run: str
    """The run of that time."""
    commit: str | None
    """What was checked out then."""
    runs: int
    """Results that the rest is of."""
    row: int
    """How often in a row it had that outcome."""
    flakiness: float
    """Changes between passing and failing for each possible change, 0 to 1."""
    seconds: float | None
    """Its usual time, the median of those that passed; None where none did."""
    earlier: tuple[Earlier, ...] = ()
    """The newest first; as many as are shown."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """The distributions that it imported when it passed last, with their versions; and `python`.
    Only of a notebook that did not pass this time."""
    passed: str = ""
    """The run that imported them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellTime:
    """How long a code cell took."""

    cell: int | None
    """0-based index into the source notebook's cells; None for injected code."""
    number: int | None
    """The `n` of its prompt, `In [n]`; None where its kernel did not say."""
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One execution of a notebook; with retries there may be several."""

    number: int
    """From 1."""
    outcome: Outcome
    """Passed or failed."""
    started: datetime | None = None
    """Aware, UTC; None where it did not get so far."""
    seconds: float = 0.0
    """Wall time."""
    failures: tuple[Failure, ...] = ()
    executed: str | None = None
    """Its executed copy, relative to the output directory, with `/`."""
    log: str | None = None
    """Its log, likewise."""
    memory: int | None = None
    """Its peak in bytes; None where it was not measured."""

    @property
    def failure(self) -> Failure | None:
        """The first failure, None where there is none."""
        return self.failures[0] if self.failures else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of a task."""

    task: Task
    outcome: Outcome
    reason: str | None = None
    """Why it was skipped."""
    kernel: str
    """The kernelspec that ran it, or the one that is missing."""
    started: datetime | None = None
    """When its first attempt began; aware, UTC; None where it was not executed."""
    seconds: float = 0.0
    """Wall time of all attempts, without the pauses between them."""
    attempts: int = 0
    tries: tuple[Attempt, ...] = ()
    """Each attempt, the first one first; empty where it was not executed."""
    cells_total: int = 0
    """Code cells in the source."""
    cells_executed: int = 0
    failures: tuple[Failure, ...] = ()
    """In the order of the cells; of the first failing attempt where it is flaky."""
    executed: str | None = None
    """The executed copy, relative to the output directory, with `/`."""
    log: str | None = None
    """The full log, relative to the output directory, with `/`."""
    memory: int | None = None
    """Peak of the kernel and all that it started, in bytes, of the attempt that took most; None
    where it was not measured."""
    notes: tuple[str, ...] = ()
    home: Mapping[str, str] = field(default_factory=dict)
    """Distributions that it imported from the home (`~/.local`), with their versions."""
    shadowed: tuple[str, ...] = ()
    """Modules that it took from files beside it, which the environment has too."""
    cell_times: tuple[CellTime, ...] = ()
    """Of the last attempt, in the order of execution."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """The distributions that it imported, with their versions, and `python`; empty where nobody
    looked."""
    trace: Trace | None = None
    """What it depended on; None where it did not pass, or nobody looked."""
    past: Past | None = None
    """What earlier runs say; None where they say nothing, or nobody looked."""

    @property
    def path(self) -> str:
        """The task's path, as every report names it."""
        return self.task.path

    def __str__(self) -> str:
        """Return one line for a person."""
        line = f"{self.outcome.upper():7}  {self.path}  {self.seconds:.1f} s"
        if self.failure is not None:
            return f"{line}  {self.failure.category}: {self.failure.signature}"
        return line if self.reason is None else f"{line}  {self.reason}"

    @property
    def failure(self) -> Failure | None:
        """The first failure, None where there is none."""
        return self.failures[0] if self.failures else None

    @property
    def attempted(self) -> tuple[Attempt, ...]:
        """Its attempts; of a result that says nothing of them, itself if it was the only one."""
        if self.tries or self.started is None or self.attempts > 1:
            return self.tries
        return (self.as_attempt(1),)

    def as_attempt(self, number: int) -> Attempt:
        """Return what became of one execution as one attempt of several."""
        return Attempt(
            number=number,
            outcome=self.outcome,
            started=self.started,
            seconds=self.seconds,
            failures=self.failures,
            executed=self.executed,
            log=self.log,
            memory=self.memory,
        )

    @property
    def retried(self) -> tuple[Attempt, ...]:
        """Its attempts where there is more than one, else nothing."""
        return self.tries if len(self.tries) > 1 else ()

    @property
    def files(self) -> tuple[str, ...]:
        """All executed copies and logs, of each attempt."""
        pairs = [(self.executed, self.log), *((each.executed, each.log) for each in self.tries)]
        return tuple(dict.fromkeys(name for pair in pairs for name in pair if name))

    def shifted(self, by: timedelta) -> Result:
        """Return it with all its times moved, as from a host whose clock is wrong."""
        moved = tuple(
            replace(each, started=each.started and each.started + by) for each in self.tries
        )
        return replace(self, started=self.started and self.started + by, tries=moved)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """All the results of one `nbpipe test`, with its environment."""

    id: str
    started: datetime
    """Aware, UTC."""
    seconds: float
    root: Path
    output_dir: Path
    commit: str | None
    """HEAD of the collection's repository."""
    host: str
    version: str
    """nbpipe's own."""
    python: str
    jobs: int
    results: tuple[Result, ...]
    excluded: tuple[Excluded, ...]
    interrupted: bool = False
    threads: int | None = None
    """What the numerical libraries of a notebook of one slot got; None: as many as they took."""

    def count(self, outcome: Outcome) -> int:
        """Return how many results have that outcome."""
        return sum(result.outcome is outcome for result in self.results)
