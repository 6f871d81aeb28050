"""`--changed-since REV`: what the history, git and the kernels tell, for the decision.

The decision itself is `nbpipe.impact.affected`.
"""

from __future__ import annotations

import dataclasses
import os
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe import history, worktree
from nbpipe.errors import UsageError
from nbpipe.history import HistoryError, NoHistory
from nbpipe.impact import fingerprint, mentions
from nbpipe.impact.affected import Difference, Known, Present, affected
from nbpipe.system import environments, kernelspecs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_client.kernelspec import KernelSpec

    from nbpipe.config.settings import HistorySettings
    from nbpipe.model import Plan, Task, Trace


def affected_only(
    plan: Plan, settings: HistorySettings, rev: str, *, say: Callable[[str], None]
) -> Plan:
    """Return the plan with what a change cannot have affected skipped, and why the others run.

    Args:
        plan: The whole one.
        settings: Where the history is.
        rev: A commit; what differs from it now is the change.
        say: Shows a line to a person.

    Raises:
        UsageError: The collection is in no repository of git, or there is no such commit here.
    """
    top = worktree.top(plan.root)
    if top is None:
        raise UsageError(
            f"--changed-since {rev}: {plan.root} is in no repository of git",
            hint="Run without it, or in a clone of the collection.",
        )
    top = Path(os.path.realpath(top))
    change = worktree.change(top, rev)
    known = _known(plan, settings, say)
    tasks = {task.path: task for task in plan.tasks if task.skip is None and task.failure is None}
    looking = _Looking(top, known, change)
    notebooks = {path: looking.present(task) for path, task in tasks.items()}
    difference = Difference(
        rev=rev,
        changed=change.changed,
        names=change.names,
        untracked=change.untracked,
        tracked=change.tracked,
    )
    by_path = {path: known.get(history.storable(path), Known()) for path in tasks}
    others = {path: past for path, past in known.items() if path not in by_path}
    chosen = affected(notebooks, {**others, **by_path}, difference, looking.ids)
    return dataclasses.replace(
        plan,
        tasks=tuple(
            _decided(task, chosen, by_path) if task.path in tasks else task for task in plan.tasks
        ),
    )


def _decided(task: Task, chosen: Mapping[str, str], known: Mapping[str, Known]) -> Task:
    if task.path in chosen:
        return dataclasses.replace(task, because=chosen[task.path])
    return dataclasses.replace(task, skip=f"unaffected since run {known[task.path].run}")


def _known(plan: Plan, settings: HistorySettings, say: Callable[[str], None]) -> dict[str, Known]:
    """Return what the history knows; nothing where there is none."""
    try:
        with history.open_history(settings, plan.root) as past:
            last, traces = past.last(), past.traces()
    except HistoryError as error:
        if not isinstance(error, NoHistory):
            say(f"nbpipe: warning: the history: {error}")
        say("nbpipe: no history of this collection: every notebook runs")
        return {}
    return {
        path: Known(
            outcome=last[path].outcome if path in last else None,
            outcome_run=last[path].run if path in last else "",
            run=traces[path].run if path in traces else "",
            trace=traces[path].trace if path in traces else None,
            seconds=last[path].seconds if path in last else None,
        )
        for path in last.keys() | traces.keys()
    }


class _Looking:
    """Looks at notebooks as they are now.

    Args:
        top: The repository's.
        known: What is known, by storable path.
        change: Between the commit and now.
    """

    def __init__(self, top: Path, known: Mapping[str, Known], change: worktree.Change) -> None:
        self._top, self._known, self._change = top, known, change
        self._modules = cache(partial(worktree.modules_in, top))
        self._spec = cache(_spec)
        self._environments: dict[object, dict[str, str] | None] = {}
        self._files = worktree.Files(top)
        traces = [past.trace for past in known.values() if past.trace]
        wanted = {path for trace in traces for path in (*trace.inputs, *trace.outputs)}
        self.ids = self._files.ids(wanted)

    def present(self, task: Task) -> Present:
        """Return what the decision needs about one notebook."""
        place = self._place(os.path.realpath(task.file))
        if place not in self.ids:
            self.ids |= self._files.ids({place})
        past = self._known.get(history.storable(task.path), Known())
        spec = self._spec(task.kernel)
        argv, own = (spec.argv, spec.env or {}) if spec is not None else ([], {})
        trace = past.trace
        return Present(
            place=place,
            kernel=task.kernel,
            settings=fingerprint.settings(task, argv, own),
            limits=fingerprint.limits(task),
            found=worktree.modules_found(trace, self._modules) if trace else (),
            environment=self._environment(task, argv, own) if trace else None,
            writes=self._writes(task, place, trace),
        )

    def _place(self, file: str) -> str:
        return os.path.relpath(file, self._top)

    def _environment(
        self, task: Task, argv: list[str], own: Mapping[str, str]
    ) -> dict[str, str] | None:
        key = (task.kernel, *sorted(task.environ.items()))
        if key not in self._environments:
            environ = {**os.environ, **task.environ}
            found = environments.ask(argv, own, environ, modules=False)
            has = {"python": found.python, **found.versions} if found else None
            self._environments[key] = has
        return self._environments[key]

    def _writes(self, task: Task, place: str, trace: Trace | None) -> frozenset[str]:
        """Return what a notebook seems to write whose code is not what its trace knows."""
        code = {place, *(path for path in (trace.inputs if trace else ()) if path.endswith(".py"))}
        changed = {path for path in code if self._is_changed(path, trace)}
        found: set[str] = set()
        for path in changed:
            try:
                text = (self._top / path).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if path.endswith(".ipynb"):
                text = _code(text)
            folder = str(task.file.parent)
            found |= {self._place(f"{folder}/{each}") for each in mentions.written(text)}
        self.ids |= self._files.ids(found - self.ids.keys())
        return frozenset(found)

    def _is_changed(self, path: str, trace: Trace | None) -> bool:
        if trace is None or path in self._change.changed:
            return True
        return self.ids.get(path) != trace.inputs.get(path, trace.source)


def _code(text: str) -> str:
    """Return the code of a notebook's JSON, of any version; nothing where it is none."""
    import json  # noqa: PLC0415  (here for its only user)

    try:
        notebook = json.loads(text)
        cells = notebook.get("cells") or notebook["worksheets"][0]["cells"]
        sources = [cell.get("source", cell.get("input", "")) for cell in cells]
        return "\n".join("".join(source) for source in sources)
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _spec(name: str) -> KernelSpec | None:
    from jupyter_client.kernelspec import NoSuchKernel  # noqa: PLC0415  (slow)

    try:
        return kernelspecs.finder().get_kernel_spec(name)
    except NoSuchKernel:
        return None
