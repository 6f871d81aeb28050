"""A notebook with its collection -> a run's folder -> a job of a scheduler.

The collection is copied as it is in the working tree, so that what is edited afterwards does not
change what runs, and what runs does not change the collection. The job's unique name is written
down before it is submitted and its id afterwards: a submitter that dies in between is found by
the name.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbpipe import collecting, runner
from nbpipe.batch.job import FORMAT
from nbpipe.errors import UsageError
from nbpipe.model import Category
from nbpipe.reference import recorder, store
from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.schedulers import registry
from nbpipe.reference.schedulers.protocol import JobRequest
from nbpipe.reports.plaintext import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.config import Config
    from nbpipe.reference.profiles import Profile
    from nbpipe.reference.schedulers.protocol import Scheduler
    from nbpipe.reference.store import Store, StoredRun

Children = Literal["wait", "ignore", "fail"]

WARNING = 120
"""Seconds before the limit at which a job is warned."""
_NAMED = 5
"""Files that a warning names."""
_MOST_BYTES = 5_000_000_000
"""Of a collection that is copied for a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
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


def submit(order: Order, config: Config, keep: Store, *, say: Callable[[str], None]) -> StoredRun:
    """Store a run and submit its job; return the run.

    Raises:
        UsageError: The notebook, the name or the store cannot be; nothing was submitted.
        SubmissionRefused: The scheduler will not take it; the run is removed again.
        SchedulerOutage: No answer; `following` finds the job by its name, should there be one.
    """
    found = _collection(order.notebook, config.root)
    root = found.root
    store.checked(order.release, "--release")
    _look(order, config, say)
    scheduler = registry.scheduler(order.profile.scheduler)
    run = keep.new_run(order.name, runner.new_run_id(datetime.now(UTC)))
    left_out = list(found.ignored)
    if found.ignored:
        say(
            f"warning: {count(len(found.ignored), 'ignored file or folder')} not copied: the "
            f"notebook does not find {', '.join(found.ignored[:_NAMED])}"
            f"{', …' if len(found.ignored) > _NAMED else ''} in its copy of the collection"
        )

    def leave_out(text: str) -> None:
        left_out.append(text)
        say(f"warning: {text}")

    try:
        run.work.mkdir()
        store.copy_tree(root, found.paths, run.work, say=leave_out)
        _write_request(order, config, found, left_out, run)
        _write_job(order, config, root, run, scheduler)
        recorder.install(run.folder)
        return _submit(scheduler, order.profile, run)
    except SchedulerOutage:
        raise
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)  # nothing ran from it
        raise


def _look(order: Order, config: Config, say: Callable[[str], None]) -> None:
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


def _unmentioned(order: Order) -> str:
    """Return the parameters that no cell of the notebook names."""
    from nbpipe.execution import source  # noqa: PLC0415  (slow)

    try:
        notebook = source.read(order.notebook)
    except source.UnreadableNotebookError:
        return ""  # the job says why
    words = {word for cell in notebook.cells for word in re.findall(r"[\w.]+", cell.source)}
    return ", ".join(sorted(order.parameters.keys() - words))


def _submit(scheduler: Scheduler, profile: Profile, run: StoredRun) -> StoredRun:
    name = f"nbpipe-{run.name}-{run.id}"[:90]
    request = JobRequest(
        name=name,
        command=(str(script(run.folder, profile)), str(run.folder)),
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


def script(folder: Path, profile: Profile) -> Path:
    """Put the constant script of every job, and what it reads, into a folder; return its path."""
    path = folder / "job.sh"
    path.write_bytes(resources.files("nbpipe.reference").joinpath("job.sh").read_bytes())
    path.chmod(0o755)
    (folder / "interpreter").write_text(f"{sys.executable}\n", encoding="utf-8")
    if profile.setup:
        lines = "".join(f"{line}\n" for line in profile.setup)
        (folder / "setup.sh").write_text(lines, encoding="utf-8")
    return path


def _write_request(
    order: Order, config: Config, found: _Found, left_out: list[str], run: StoredRun
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
            "outputs": list(order.outputs) or list(_configured(order, config)),
            "children": order.children,
            "profile": {
                "name": order.profile.name,
                "label": order.profile.label,
                "scheduler": order.profile.scheduler,
                "walltime": order.profile.walltime,
                "memory": order.profile.memory,
            },
            "commit": runner.head_commit(root),
            "changed": _changed(root),
            "submodules": found.submodules,
            "left_out": left_out,
            "root": str(root),
            "host": socket.gethostname(),
            "user": getpass.getuser(),
            "submitted": _now(),
        },
    )


def _configured(order: Order, config: Config) -> tuple[str, ...]:
    settings = config.settings.reference.get(order.name)
    return settings.outputs if settings is not None else ()


def _write_job(
    order: Order, config: Config, root: Path, run: StoredRun, scheduler: Scheduler
) -> None:
    here = order.notebook.parent.relative_to(root)
    inside = config.file is not None and config.file.is_relative_to(root)
    run.write(
        "job.json",
        {
            "format": FORMAT,
            "kind": "reference",
            "notebook": order.notebook.name,
            "cwd": here.as_posix(),
            "config": config.file.relative_to(root).as_posix()
            if inside and config.file is not None
            else None,
            "parameters": dict(order.parameters),
            "settings": dict(order.settings),
            "seconds": _own_clock(order.profile, scheduler),
        },
    )


def _own_clock(profile: Profile, scheduler: Scheduler) -> int | None:
    """Return after how many seconds the job warns itself, where the scheduler does not."""
    if scheduler.traits.warning is not None or profile.walltime is None:
        return None
    return max(profile.walltime - WARNING, profile.walltime // 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """The collection that is copied for a run."""

    root: Path
    paths: tuple[Path, ...]
    """Relative to the root."""
    submodules: dict[str, str] = field(default_factory=dict)
    """Path -> commit."""
    ignored: tuple[str, ...] = ()
    """What git ignores, and is not copied."""


def _collection(notebook: Path, root: Path) -> _Found:
    """Return the folder to copy, and the files in it.

    That is what git knows of the repository and its submodules (and what it does not ignore), or
    without git the notebook's own folder, or the collection's where a configuration marks it.

    Raises:
        UsageError: There is no such notebook, or too much to copy.
    """
    if not notebook.is_file():
        raise UsageError(f"{notebook}: notebook not found", hint="Name an existing file.")
    found = _known_to_git(notebook.parent)
    if found is None:
        found = _walked(root if notebook.is_relative_to(root) else notebook.parent)
    own = notebook.relative_to(found.root)
    if own not in found.paths:
        found = replace(found, paths=(*found.paths, own))
    sizes = (found.root / path for path in found.paths)
    total = sum(each.lstat().st_size for each in sizes if each.exists())
    if total > _MOST_BYTES:
        raise UsageError(
            f"{found.root}: {total / 1e9:.1f} GB would be copied for the run",
            hint="Keep large data outside of the repository, and give the notebook its path.",
        )
    return found


def files_of(root: Path) -> tuple[Path, tuple[Path, ...], tuple[str, ...]]:
    """Return the top of a collection, the files to copy from there, and what git ignores of it."""
    found = _known_to_git(root) or _walked(root)
    return found.root, found.paths, found.ignored


def _walked(folder: Path) -> _Found:
    """Return the files below a folder, but for hidden ones."""
    paths = sorted(
        Path(parent, name).relative_to(folder)
        for parent, folders, names in os.walk(folder)
        if not _skip(folders)
        for name in names
    )
    return _Found(root=folder, paths=tuple(paths))


def _skip(folders: list[str]) -> bool:
    """Take out what never belongs to a collection, so that the walk does not enter it."""
    folders[:] = [each for each in folders if not each.startswith(".") and each != "node_modules"]
    return False


def _known_to_git(folder: Path) -> _Found | None:
    try:
        top = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n")))
        paths, submodules = _tracked(top)
        ignored = _names(top, "ls-files", "-z", "-oi", "--directory", "--exclude-standard")
    except (OSError, subprocess.SubprocessError):
        return None
    left = [name for name in ignored if not _is_byproduct(name)]
    return _Found(root=top, paths=tuple(paths), submodules=submodules, ignored=tuple(left[:1000]))


def _tracked(top: Path) -> tuple[list[Path], dict[str, str]]:
    """Return the files of a repository and of its submodules, and the submodules' commits."""
    paths: list[Path] = []
    submodules: dict[str, str] = {}
    for name in _names(top, "ls-files", "-z", "-co", "--exclude-standard"):
        place = top / name
        if not place.is_dir() or place.is_symlink():
            paths.append(Path(name))
        elif (place / ".git").exists():
            inner, deeper = _tracked(place)
            head = _git(place, "rev-parse", "HEAD").decode().strip()
            paths += [Path(name) / each for each in inner]
            submodules |= {name.rstrip("/"): head}
            submodules |= {f"{name.rstrip('/')}/{each}": commit for each, commit in deeper.items()}
    return sorted(paths), submodules


def _names(top: Path, *words: str) -> list[str]:
    return sorted({os.fsdecode(name) for name in _git(top, *words).split(b"\0") if name})


def _is_byproduct(name: str) -> bool:
    """Tell what no notebook needs: caches, environments, checkpoints, hidden files."""
    parts = Path(name).parts
    return name.endswith((".pyc", "~")) or any(
        part.startswith(".") or part in {"__pycache__", "node_modules", "venv"} for part in parts
    )


def _changed(root: Path) -> list[str]:
    """Return what differs from the commit; [] outside of a repository."""
    try:
        lines = _git(root, "status", "--porcelain", "-z").split(b"\0")
    except (OSError, subprocess.SubprocessError):
        return []
    return [line[3:].decode(errors="backslashreplace") for line in lines if line][:1000]


def _git(folder: Path, *words: str) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, timeout=60, check=True
    )
    return done.stdout


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
