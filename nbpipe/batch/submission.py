"""A notebook with its collection -> a run's folder -> a job of a scheduler.

The collection is copied as it is in the working tree, so that what is edited afterwards does not
change what runs, and what runs does not change the collection. The job's unique name is written
down before it is submitted and its id afterwards: a submitter that dies in between is found by
the name.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbpipe import collecting, runner
from nbpipe.batch.job import FORMAT
from nbpipe.batch.tree import tree_of
from nbpipe.config.settings import ReferenceSettings
from nbpipe.errors import UsageError
from nbpipe.model import Category
from nbpipe.reference import profiles, recorder, roots, spelling, store
from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.schedulers import registry
from nbpipe.reference.schedulers.protocol import JobRequest
from nbpipe.reference.words import filled
from nbpipe.system.accounts import user_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nbpipe.batch.tree import Tree
    from nbpipe.config import Config
    from nbpipe.reference.profiles import Profile
    from nbpipe.reference.roots import Root
    from nbpipe.reference.schedulers.protocol import Scheduler
    from nbpipe.reference.store import Store, StoredRun

Children = Literal["wait", "ignore", "fail"]

_LOOKED_AT = 20
"""Earlier runs that may still write where a new one does."""
WARNING = 120
"""Seconds before the limit at which a job is warned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """What to submit."""

    notebook: Path
    """Absolute."""
    name: str
    release: str
    profile: Profile
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of `[test]`, in place of the collection's: kernel, timeout, …"""
    outputs: tuple[str, ...] = ()
    """Patterns of the data products, relative to the collection; none: whatever is new."""
    children: Children = "wait"
    """What becomes of the run with jobs that the notebook submits."""
    roots: Mapping[str, str] = field(default_factory=dict)
    """Folders outside of the collection for products, besides the configured ones."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the job's environment, besides the configured ones and the profile's."""


def submit(
    order: JobOrder, config: Config, keep: Store, *, say: Callable[[str], None]
) -> StoredRun:
    """Store a run and submit its job; return the run.

    Raises:
        UsageError: The notebook, a name, a root or the store cannot be; nothing was submitted.
        SubmissionRefused: The scheduler will not take it; the run is removed again.
        SchedulerOutage: No answer; `run_views` finds the job by its name, should there be one.
    """
    found = tree_of(order.notebook, config.root)
    root = found.root
    store.checked(order.release, "--release")
    _look(order, config, say)
    scheduler = registry.scheduler(order.profile.scheduler)
    run = keep.new_run(order.name, runner.new_run_id(datetime.now(UTC)))
    left_out = found.left_out
    for warning in found.warnings():
        say(f"warning: {warning}")

    def leave_out(text: str) -> None:
        left_out.append(text)
        say(f"warning: {text}")

    made: list[Path] = []
    try:
        places = _places(order, config, found.root, run)
        for text in _said_of(order, places, keep, run):
            say(text)
        run.work.mkdir()
        store.copy_tree(root, found.paths, run.work, say=leave_out)
        made = roots.make(places.roots, run.work)
        _write_request(order, found, left_out, run, places)
        _write_job(order, config, root, run, scheduler, places)
        recorder.install(run.folder)
        return _submit(scheduler, order.profile, run, places)
    except SchedulerOutage:
        raise
    except OSError as error:
        _forget(run, made)
        file = Path(str(error.filename or run.folder))
        if isinstance(error, PermissionError) and not file.is_relative_to(run.folder):
            raise store.unreadable(file, error) from error  # of the collection
        raise store.unwritable(run.folder, error) from error
    except BaseException:
        _forget(run, made)
        raise


def _forget(run: StoredRun, made: Iterable[Path]) -> None:
    """Remove a run from which nothing ran."""
    shutil.rmtree(run.folder, ignore_errors=True)
    roots.unmake(made)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Places:
    """Where a run's products are, and what its job's environment has besides the usual."""

    outputs: tuple[str, ...]
    roots: tuple[Root, ...]
    variables: dict[str, str]

    @property
    def folders(self) -> dict[str, str]:
        """Name of a root -> its folder."""
        return {root.name: str(root.path) for root in self.roots}


def _places(order: JobOrder, config: Config, collection: Path, run: StoredRun) -> _Places:
    """Return where products go, by the configuration and by the order, which wins.

    Raises:
        UsageError: A root, a pattern or a variable cannot be.
    """
    settings = config.settings.reference.get(order.name, ReferenceSettings())
    words = {"run": run.id, "release": order.release, "name": order.name}
    named = roots.named({**settings.roots, **order.roots}, environ=os.environ, words=words)
    outputs = order.outputs or settings.outputs
    patterns, known = roots.placed(outputs, named, collection, os.environ)
    where = f"[reference.{order.name}] variables"
    profile = profiles.with_variables(order.profile, settings.variables, where)
    profile = profiles.with_variables(profile, order.variables, "--variable")
    words |= {root.name: str(root.path) for root in known}
    own = {f"NBPIPE_{key.upper()}": words[key] for key in ("run", "release")}
    own |= {root.variable: str(root.path) for root in known}
    return _Places(
        outputs=patterns, roots=known, variables={**_filled(profile.variables, words), **own}
    )


def _filled(variables: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    made = {
        name: filled(text, f"variable {name}", environ=os.environ, words=words)
        for name, text in variables.items()
    }
    return {name: spelling.line(text, f"variable {name}") for name, text in made.items()}


def _said_of(order: JobOrder, places: _Places, keep: Store, run: StoredRun) -> Iterator[str]:
    """Yield where the products go, and what may be amiss with that."""
    for root in places.roots:
        yield f"root {root.name}: {root.path}"
        if not root.own and (others := _writing_into(root, keep, run)):
            yield (
                f"warning: root {root.name}: also written by {', '.join(others)}, which has not "
                "ended: what each of them leaves there cannot be told apart"
            )
    for pattern in order.outputs:
        if pattern.startswith(("/", "!/")) and pattern in places.outputs:
            yield (
                f"warning: --outputs {pattern}: taken as of the collection, which has such a "
                "folder, or this machine has not"
            )


def _writing_into(root: Root, keep: Store, run: StoredRun) -> list[str]:
    """Return the newest runs that have not ended and write into a folder, too."""
    newest = [each for each in keep.runs(run.name) if each.id != run.id][-_LOOKED_AT:]
    return [
        each.id
        for each in newest
        if str(root.path) in each.request.get("roots", {}).values()
        and not (each.folder / "result.json").exists()
    ]


def _look(order: JobOrder, config: Config, say: Callable[[str], None]) -> None:
    """Refuse what can be no notebook; tell of what may be amiss before a job waits for hours.

    Raises:
        UsageError: It cannot be executed anywhere.
    """
    here = collecting.Selection(cwd=order.notebook.parent, patterns=(order.notebook.name,))
    kernels = collecting.installed_kernels()
    task = collecting.plan(here, config, kernels=kernels).tasks[0]
    if task.failure is not None and task.failure.category is not Category.KERNEL_MISSING:
        raise UsageError(
            f"{order.notebook}: cannot be executed: {task.failure.message}",
            hint="`nbpipe test --list` shows what is wrong with it.",
        )
    kernel = order.settings.get("kernel", task.kernel)
    if kernel not in kernels:
        say(f"warning: kernel {kernel!r} is not installed here: the job fails where it is not")
    if order.name not in config.settings.reference and not order.outputs:
        where = config.file or f"a configuration for {config.root}"
        say(f"warning: no [reference.{order.name}] in {where}: every new file is an output")
    if unknown := _unmentioned(order):
        say(f"warning: no cell mentions the parameter {unknown}: it has no effect")


def _unmentioned(order: JobOrder) -> str:
    """Return the parameters that no cell of the notebook names."""
    from nbpipe.execution import source  # noqa: PLC0415  (slow)

    try:
        notebook = source.read(order.notebook)
    except source.UnreadableNotebookError:
        return ""  # the job says why
    words = {word for cell in notebook.cells for word in re.findall(r"[\w.]+", cell.source)}
    return ", ".join(sorted(order.parameters.keys() - words))


def _submit(scheduler: Scheduler, profile: Profile, run: StoredRun, places: _Places) -> StoredRun:
    name = f"nbpipe-{run.name}-{run.id}"[:90]
    request = JobRequest(
        name=name,
        command=(str(script(run.folder, profile, places.variables)), str(run.folder)),
        folder=run.folder,
        stdout=run.folder / "job.out",
        stderr=run.folder / "job.err",
        profile=profile,
        warning=WARNING,
    )
    before = {"scheduler": profile.scheduler, "name": name, "submitted": _now()}
    run.write("submission.json", before)
    job = scheduler.submit(request)
    run.write("submission.json", {**before, "job": job})
    return run


def script(
    folder: Path,
    profile: Profile,
    variables: Mapping[str, str] | None = None,
    *,
    module: str | None = None,
) -> Path:
    """Put the constant script of every job, and what it reads, into a folder; return its path.

    Args:
        folder: The job's.
        profile: What it asks for.
        variables: Of its environment; by default the profile's.
        module: What the job runs; None: a reference run.

    Raises:
        UsageError: A variable of the profile cannot be filled in.
    """
    path = folder / "job.sh"
    path.write_bytes(resources.files("nbpipe.reference").joinpath("job.sh").read_bytes())
    path.chmod(0o755)
    (folder / "interpreter").write_text(f"{sys.executable}\n", encoding="utf-8")
    if module is not None:
        (folder / "module").write_text(f"{module}\n", encoding="utf-8")
    told = _filled(profile.variables, {}) if variables is None else variables
    if told:
        lines = "".join(f"{name}={value}\n" for name, value in told.items())
        (folder / "variables").write_text(lines, encoding="utf-8", errors="surrogateescape")
    if profile.setup:
        lines = "".join(f"{line}\n" for line in profile.setup)
        (folder / "setup.sh").write_text(lines, encoding="utf-8")
    return path


def _write_request(
    order: JobOrder, found: Tree, left_out: list[str], run: StoredRun, places: _Places
) -> None:
    source, root = order.notebook.read_bytes(), found.root
    run.write(
        "request.json",
        {
            "format": FORMAT,
            "name": order.name,
            "release": order.release,
            "run": run.id,
            "notebook": order.notebook.relative_to(root).as_posix(),
            "sha256": hashlib.sha256(source).hexdigest(),
            "parameters": dict(order.parameters),
            "outputs": list(places.outputs),
            "roots": places.folders,
            "variables": places.variables,
            "children": order.children,
            "profile": {
                "name": order.profile.name,
                "label": order.profile.label,
                "scheduler": order.profile.scheduler,
                "walltime": order.profile.walltime,
                "memory": order.profile.node_memory,
            },
            "commit": runner.head_commit(root),
            "changed": list(found.changed),
            "submodules": found.submodules,
            "left_out": left_out,
            "root": str(root),
            "host": socket.gethostname(),
            "user": user_name(),
            "submitted": _now(),
        },
    )


def _write_job(  # noqa: PLR0913, PLR0917  (the job's whole description)
    order: JobOrder,
    config: Config,
    root: Path,
    run: StoredRun,
    scheduler: Scheduler,
    places: _Places,
) -> None:
    here = order.notebook.parent.relative_to(root)
    inside = config.file is not None and config.file.is_relative_to(root)
    run.write(
        "job.json",
        {
            "format": FORMAT,
            "notebook": order.notebook.name,
            "cwd": here.as_posix(),
            "config": config.file.relative_to(root).as_posix()
            if inside and config.file is not None
            else None,
            "parameters": dict(order.parameters),
            "settings": dict(order.settings),
            "seconds": _own_clock(order.profile, scheduler),
            "roots": places.folders,
        },
    )


def _own_clock(profile: Profile, scheduler: Scheduler) -> int | None:
    """Return after how many seconds the job warns itself, where the scheduler does not."""
    if scheduler.traits.warning is not None or profile.walltime is None:
        return None
    return max(profile.walltime - WARNING, profile.walltime // 2)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
