"""The examination: plan, read what notebooks need, ask interpreters, say what is missing."""

from __future__ import annotations

import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe import collecting
from nbpipe.checkup import advice, site
from nbpipe.checkup.findings import Checkup, Finding, KernelState, Threads
from nbpipe.checkup.interpreters import Answer, ask
from nbpipe.checkup.needs import Needs, read_needs
from nbpipe.collecting.paths import on_disk
from nbpipe.errors import NothingCollected
from nbpipe.execution.kernels import capacity
from nbpipe.system import git, machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbpipe.collecting import InstalledKernel, Selection
    from nbpipe.config import Config
    from nbpipe.config.settings import TestSettings
    from nbpipe.model import Plan, Task

LIBRARIES = ("nbclient", "nbformat", "papermill", "ipykernel", "jupyter_client", "jupytext")


def examine(selection: Selection, config: Config, *, environ: Mapping[str, str]) -> Checkup:
    """Return what the selected notebooks would miss on this machine.

    Args:
        selection: What a person asked for; without a pattern, no notebook at all is no error.
        config: A kernel that it forces and that is not installed is a finding, no error.
        environ: The environment that a run would give to its kernels.

    Raises:
        UsageError: As `nbpipe.collecting.plan`.
        NothingCollected: The patterns chose no notebook.
    """
    kernels = collecting.installed_kernels()
    settings, config = advice.about_settings(config, kernels)
    plan = _plan(selection, config, kernels)
    tasks = plan.tasks if plan else ()
    needs, unreadable = _read_all(tasks, plan.root if plan else config.root)
    test = config.settings.test
    asked = environ if test.user_site != "off" else {**environ, "PYTHONNOUSERSITE": "1"}
    answers = _ask_all(kernels, needs, asked)
    version, output = git.version(), _output_folder(config)
    return Checkup(
        root=config.root,
        config=config.file,
        output=output,
        git=version,
        libraries={name: _version(name) for name in LIBRARIES},
        kernels=tuple(_state(kernel, answers[name]) for name, kernel in kernels.items()),
        threads=_threads(test, tasks, environ),
        notebooks=len(needs),
        findings=(
            *settings,
            *advice.about_tasks(tasks, kernels),
            *unreadable,
            *advice.about_kernels(answers, needs),
            *advice.about_packages(needs, answers),
            *advice.about_home(answers if test.user_site == "warn" else {}),
            *advice.about_machine(git=version, output=output, tasks=tasks),
            *advice.about_distribution(sys.path),
            *site.about_schedulers(config),
            *site.about_secrets(config, environ),
            *site.about_service(config, environ),
        ),
    )


def _plan(
    selection: Selection, config: Config, kernels: Mapping[str, InstalledKernel]
) -> Plan | None:
    try:
        return collecting.plan(selection, config, kernels=kernels)
    except NothingCollected:
        if selection.patterns:
            raise
        return None


def _read_all(tasks: Iterable[Task], root: Path) -> tuple[list[Needs], list[Finding]]:
    """Return what the notebooks that would run need, and those that cannot be read."""
    from nbpipe.execution.source import UnreadableNotebookError  # noqa: PLC0415  (slow)

    needs, unreadable = [], []
    for task in tasks:
        if task.skip is not None or task.failure is not None:
            continue
        try:
            needs.append(read_needs(task, root))
        except UnreadableNotebookError as error:
            unreadable.append(advice.unreadable(task, str(error)))
    return needs, unreadable


def _ask_all(
    kernels: Mapping[str, InstalledKernel], needs: Iterable[Needs], environ: Mapping[str, str]
) -> dict[str, Answer]:
    """Ask every kernel's interpreter, a few at once: most of the time is waiting for disks."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    for each in needs:
        names[each.task.kernel] |= each.names
    with ThreadPoolExecutor(max_workers=4) as pool:
        asked = {
            name: pool.submit(partial(ask, kernel, names[name], environ))
            for name, kernel in kernels.items()
        }
        return {name: future.result() for name, future in asked.items()}


def _state(kernel: InstalledKernel, answer: Answer) -> KernelState:
    return KernelState(
        name=kernel.name,
        display_name=kernel.display_name,
        language=kernel.language,
        interpreter=kernel.interpreter,
        answers=answer.works,
        version=answer.version if kernel.language in {"python", "r"} else "",
        problem=answer.problem,
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _threads(test: TestSettings, tasks: tuple[Task, ...], environ: Mapping[str, str]) -> Threads:
    cores = machine.cores()
    jobs = cores if test.jobs == "auto" else test.jobs
    at_once = capacity.at_once(tasks, jobs)
    return Threads(
        cores=cores,
        at_once=at_once,
        each=capacity.share(test.threads, slots=1, at_once=at_once, cores=cores, environ=environ),
        already={name: environ[name] for name in capacity.VARIABLES if name in environ},
        scheduler=capacity.scheduler_job(environ),
    )


def _output_folder(config: Config) -> Path:
    """Return where the next run writes; one without a setting makes a new folder there."""
    import platformdirs  # noqa: PLC0415

    if config.settings.test.output_dir:
        return config.root / on_disk(config.settings.test.output_dir)
    return Path(platformdirs.user_state_path("nbpipe")) / "runs"
