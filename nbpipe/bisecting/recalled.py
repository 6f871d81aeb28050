"""What the history tells of a notebook in an environment, where what it recorded is enough.

Only passes are told: a run keeps what a notebook imported, in which versions, where it passed; of
one that failed nobody knows.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_version

from nbpipe import history, worktree
from nbpipe.impact import fingerprint
from nbpipe.model import CHANGED
from nbpipe.system import environments, kernelspecs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.bisecting.locks import Pin
    from nbpipe.config import Config
    from nbpipe.model import Task, Trace


@dataclass(frozen=True, slots=True)
class Recalled:
    """A run in which the notebook, as it is now, passed."""

    run: str
    versions: Mapping[str, str]
    """Of the distributions that it imported, by name."""
    others: frozenset[str]
    """Distributions that bring nothing else that it looks for."""

    def holds(self, pins: Mapping[str, Pin]) -> bool:
        """Return whether it passes with these pins, as that run tells."""
        same = all(
            name in pins
            and not pins[name].has_address
            and pins[name].same == canonicalize_version(version)
            for name, version in self.versions.items()
        )
        return same and pins.keys() <= self.others | self.versions.keys()


def imported(config: Config, path: str) -> frozenset[str]:
    """Return which distributions the notebook imported when it passed last; none where unknown."""
    trace = _trace(config, path)[1]
    return frozenset(trace.environment) if trace else frozenset()


def recall(config: Config, task: Task, python: Sequence[str], version: str) -> Recalled | None:
    """Return the run that tells something; None where there is none, or it is not enough.

    Args:
        config: The collection's.
        task: The notebook, with the kernel that it has in an ordinary run.
        python: How the interpreter is started from which environments are made.
        version: Its version.
    """
    run, trace = _trace(config, task.path)
    if trace is None or trace.environment.get("python") != version:
        return None
    spec = kernelspecs.finder().get_kernel_spec(task.kernel)
    settings = fingerprint.settings(task, spec.argv, spec.env)
    if trace.unknown or (trace.kernel, trace.settings) != (task.kernel, settings):
        return None
    if not _is_unchanged(config.root, task.path, trace):
        return None
    environ = {**os.environ, **task.environ}
    now = environments.ask([*python, "-m", ""], spec.env, environ, modules=True)
    names = trace.environment.keys()
    # What the notebook looked for in vain must not be there either: in another version of the same
    # distributions it is not, and nobody knows it of others.
    if now is None or now.of(set(trace.modules)).keys() != names:
        return None
    versions = {name: each for name, each in trace.environment.items() if name != "python"}
    return Recalled(run, versions, frozenset(now.versions))


def _trace(config: Config, path: str) -> tuple[str, Trace | None]:
    """Return what the notebook depended on when it passed last, with the run."""
    try:
        with history.open_history(config.settings.history, config.root) as past:
            found = past.traces().get(history.storable(path))
    except history.HistoryError:
        return "", None
    return (found.run, found.trace) if found else ("", None)


def _is_unchanged(root: Path, path: str, trace: Trace) -> bool:
    """Return whether everything that it read is now as it was then."""
    top = worktree.top(root)
    if top is None:
        return False
    top = Path(os.path.realpath(top))
    place = os.path.relpath(os.path.realpath(root / path), top)
    try:
        ids = worktree.Files(top).ids({place, *trace.inputs})
    except (OSError, subprocess.SubprocessError):
        return False
    same = ids[place] == trace.source and all(
        before != CHANGED and ids[name] == before for name, before in trace.inputs.items()
    )
    looked = partial(worktree.modules_in, top)
    return same and worktree.modules_found(trace, looked) == trace.found
