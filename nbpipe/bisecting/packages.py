"""Which package of an environment broke a notebook: environments between a good and a bad one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nbpipe import collecting
from nbpipe.bisecting import locks, recalled, venvs
from nbpipe.bisecting.delta import narrow
from nbpipe.bisecting.order import neighbours
from nbpipe.bisecting.verdict import Verdict, judge
from nbpipe.errors import UsageError
from nbpipe.model import Category
from nbpipe.system import environments, kernelspecs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nbpipe.bisecting.locks import Lock, PackageChange, Pin
    from nbpipe.bisecting.order import Needs, Neighbours
    from nbpipe.bisecting.recalled import Recalled
    from nbpipe.bisecting.venvs import Builder
    from nbpipe.config import Config
    from nbpipe.model import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One environment and how the notebook does there."""

    changes: tuple[PackageChange, ...]
    """What is as in the bad lock file; all the rest is as in the good one."""
    of: int
    """How many changes there are in all."""
    verdict: Verdict
    why: str
    """The failure's cause, or why it could not be judged."""
    conflicts: tuple[str, ...] = ()
    """What `pip check` says of it."""
    run: str | None = None
    """The run of the history that told it; None where it was executed now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guilty:
    """The answer."""

    groups: tuple[tuple[PackageChange, ...], ...]
    """All of them are needed to break it; nobody can decide inside of one."""
    company: tuple[PackageChange, ...]
    """What could not be left out, because nothing can be judged without it."""
    why: str
    """The failure's cause."""
    gets_kernel: tuple[str, ...]
    """The lock files without ipykernel, which was added."""


class PackageBisection:
    """The search for one notebook, as it is in the working tree.

    Args:
        config: The collection's.
        path: The notebook's, as reports name it.
        good: The lock file of an environment where it passes.
        bad: That of one where it fails.
        retries: A failing notebook is tried so many times more before an environment is bad.
        use_history: Whether what earlier runs have told is not executed again.
        tell: Is told of every environment that is judged.
    """

    def __init__(  # noqa: PLR0913  (all keywords)
        self,
        config: Config,
        path: str,
        *,
        good: Path,
        bad: Path,
        retries: int,
        use_history: bool,
        tell: Callable[[Step], None],
    ) -> None:
        self._config = config
        self._path = path
        self._files = good, bad
        self._retries = retries
        self._use_history = use_history
        self._tell = tell
        self._known: Recalled | None = None
        self._cause: str | None = None

    def search(self) -> Guilty:
        """Return what broke it.

        Raises:
            UsageError: A lock file is none, or is not what it is said to be.
            Interrupted: A signal ended it.
        """
        plan = self._plan()
        self._path = plan.tasks[0].path
        python, own = _interpreter(plan)
        try:
            markers = venvs.marker_values(python)
        except venvs.CannotBuild as error:
            raise UsageError(f"{python[0]}: says nothing of itself: {error}") from error
        good, bad = (locks.read(file, markers) for file in self._files)
        changes = locks.differences(good, bad)
        if not changes:
            raise UsageError(
                f"{good.file} and {bad.file} pin the same versions",
                hint="Give the lock file of an environment where it passes, and of one where not.",
            )
        likely = recalled.imported(self._config, self._path) if self._use_history else frozenset()
        if self._use_history and plan.tasks[0].failure is None:
            version = markers["python_full_version"]
            self._known = recalled.recall(self._config, plan.tasks[0], python, version)
        with venvs.builder(python, own, good.options + bad.options) as builder:
            return self._searched(_Mixes(plan, good, changes, builder, markers), bad, likely)

    def _searched(self, mixes: _Mixes, bad: Lock, likely: frozenset[str]) -> Guilty:
        """Return the answer, once both ends are what they are said to be."""
        by_name = {change.name: change for change in mixes.changes}
        for lock, made, wanted in (
            (mixes.good, frozenset[str](), Verdict.GOOD),
            (bad, frozenset(by_name), Verdict.BAD),
        ):
            step = self._judge(mixes, made)
            if step.verdict is not wanted:
                how = "cannot be judged" if step.verdict is Verdict.SKIP else f"is {step.verdict}"
                raise UsageError(
                    f"{lock.file}: {self._path} {how} there{': ' if step.why else ''}{step.why}",
                    hint="Give the lock file where it passes first, then one where it fails.",
                )
            self._cause = step.why
        # One that came with the bad lock file was never imported, and is as likely as those.
        came = {change.name for change in mixes.changes if change.good is None}
        first = {*likely, *came} & by_name.keys() if likely else frozenset()
        near = mixes.neighbours()
        found = narrow(
            near.ordered(tuple(by_name)),
            lambda made: self._judge(mixes, made).verdict,
            likely=near.together(first),
            clusters=near.clusters(),
        )
        return Guilty(
            groups=tuple(tuple(by_name[name] for name in group) for group in found.groups),
            company=tuple(by_name[name] for name in found.company),
            why=self._cause or "",
            gets_kernel=tuple(
                str(lock.file) for lock in (mixes.good, bad) if venvs.KERNEL not in lock.pins
            ),
        )

    def _judge(self, mixes: _Mixes, made: frozenset[str]) -> Step:
        changes = tuple(change for change in mixes.changes if change.name in made)
        pins = locks.mixed(mixes.good, changes)
        step = Step(changes=changes, of=len(mixes.changes), verdict=Verdict.GOOD, why="")
        if self._known is not None and self._known.holds(pins):
            step = replace(step, run=self._known.run)
        else:
            step = self._executed(step, mixes, pins)
        self._tell(step)
        return step

    def _executed(self, step: Step, mixes: _Mixes, pins: Mapping[str, Pin]) -> Step:
        try:
            with mixes.builder.environment(pins) as built:
                if len(step.changes) in {0, step.of}:
                    mixes.needs[len(step.changes)] = built.needs()
                (task,) = mixes.plan.tasks
                task = replace(
                    task, kernel=built.kernel, language="python", kernel_why="", failure=None
                )
                plan = replace(mixes.plan, tasks=(task,))
                verdict, why = judge(plan, self._retries, built.place)
        except venvs.CannotBuild as error:
            return replace(step, verdict=Verdict.SKIP, why=f"cannot be installed: {error}")
        between = 0 < len(step.changes) < step.of
        if between and verdict is Verdict.BAD and why != self._cause:
            # Packages that do not fit each other: this says nothing of what is looked for.
            verdict, why = Verdict.SKIP, f"fails for another reason: {why}"
        return replace(step, verdict=verdict, why=why, conflicts=built.conflicts)

    def _plan(self) -> Plan:
        """Return the plan with the notebook alone.

        Raises:
            UsageError: It would not be executed.
        """
        config = self._config
        patterns = (str(config.root / self._path),)
        selection = collecting.Selection(cwd=config.root, patterns=patterns)
        plan = collecting.plan(selection, config, kernels=collecting.installed_kernels())
        if len(plan.tasks) != 1:
            raise UsageError(
                f"{self._path}: is not one notebook but {len(plan.tasks)}",
                hint="Name one notebook.",
            )
        (task,) = plan.tasks
        failure = task.failure
        missing = failure is not None and failure.category is Category.KERNEL_MISSING
        if task.skip or (failure is not None and not missing):
            said = task.skip or (failure.message if failure else "")
            raise UsageError(
                f"{self._path}: cannot be executed: {said}", hint="See `nbpipe test --list`."
            )
        if task.language not in {"", "python"}:
            raise UsageError(
                f"{self._path}: its kernel {task.kernel} speaks {task.language}",
                hint="Only packages of Python can be bisected.",
            )
        return plan


@dataclass(frozen=True, slots=True)
class _Mixes:
    """What environments are made of."""

    plan: Plan
    good: Lock
    changes: tuple[PackageChange, ...]
    builder: Builder
    markers: Mapping[str, str]
    needs: dict[int, Needs] = field(default_factory=dict)
    """What is required with none and with all of the changes, where that was made."""

    def neighbours(self) -> Neighbours:
        """Return which of the changes have to do with each other, as far as the ends tell."""
        good, bad = (self.needs.get(number, {}) for number in (0, len(self.changes)))
        return neighbours(self.changes, good, bad, self.markers)


def _interpreter(plan: Plan) -> tuple[Sequence[str], dict[str, str]]:
    """Return how the Python of the notebook's kernel is started, and its variables; else ours."""
    (task,) = plan.tasks
    if task.failure is None:
        spec = kernelspecs.finder().get_kernel_spec(task.kernel)
        if python := environments.command(spec.argv):
            return python, dict(spec.env)
    python = environments.command(["python"])
    assert python is not None  # noqa: S101  (it is a Python)
    return python, {}
