"""From what was seen to findings: what is missing, where, and how to get it.

Pure but for a look at the output folder. What a run would fail over is *missing*, what it would
merely go on without is a *note*.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from nbpipe import distribution
from nbpipe.checkup.distributions import distribution_of
from nbpipe.checkup.findings import Finding, Severity
from nbpipe.collecting.kernels import how_to_install
from nbpipe.collecting.texts import SKIP_WITHOUT_JUPYTEXT
from nbpipe.execution.hidden_failures import caution
from nbpipe.model import Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nbpipe.checkup.interpreters import Answer
    from nbpipe.checkup.needs import Needs
    from nbpipe.collecting import InstalledKernel
    from nbpipe.config import Config
    from nbpipe.model import Task


_ELSEWHERE = {
    "tkinter": "apt-get install python3-tk, or what your system has instead",
    "ROOT": "conda install -c conda-forge root",
    "graph_tool": "conda install -c conda-forge graph-tool",
}
"""How to get what pip does not bring."""


def about_settings(
    config: Config, kernels: Mapping[str, InstalledKernel]
) -> tuple[list[Finding], Config]:
    """Return the kernels that the configuration asks for in vain, and a usable configuration."""
    test = config.settings.test
    wanted = {f'kernel-map."{name}"': target for name, target in test.kernel_map.items()}
    if test.kernel:
        wanted["kernel"] = test.kernel
    absent = {key: name for key, name in wanted.items() if not _is_installed(name, kernels)}
    findings = [
        Finding(
            severity=Severity.MISSING,
            kind="setting",
            what=f"{config.file}: test.{key}: no kernel {name!r} is installed",
            how=_advice(name, "") or f"name one of {', '.join(kernels) or 'none'}",
        )
        for key, name in absent.items()
    ]
    usable = msgspec.structs.replace(
        test,
        kernel=None if "kernel" in absent else test.kernel,
        kernel_map={
            name: target
            for name, target in test.kernel_map.items()
            if target not in absent.values()
        },
    )
    settings = msgspec.structs.replace(config.settings, test=usable)
    return findings, dataclasses.replace(config, settings=settings)


def about_tasks(tasks: Iterable[Task], kernels: Mapping[str, InstalledKernel]) -> Iterator[Finding]:
    """Yield missing kernels, each with the notebooks that name it, and broken notebooks."""
    failing: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    skipped: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for task in tasks:
        kernel = (task.kernel, task.language)
        if task.failure and task.failure.category is Category.KERNEL_MISSING:
            failing[kernel].append(task.path)
        elif task.failure:
            yield unreadable(task, task.failure.message)
        elif task.skip and not _is_installed(task.kernel, kernels):
            skipped[kernel].append(task.path)
    for severity, group in ((Severity.MISSING, failing), (Severity.NOTE, skipped)):
        for (name, language), paths in group.items():
            yield Finding(
                severity=severity,
                kind="kernel",
                what=f"kernel {name!r} is not installed"
                + ("; its notebooks are skipped" if severity is Severity.NOTE else ""),
                where=tuple(paths),
                how=_advice(name, language),
            )


def unreadable(task: Task, why: str) -> Finding:
    """Return the finding that a notebook cannot be read."""
    return Finding(severity=Severity.MISSING, kind="notebook", what=why, where=(task.path,))


def about_kernels(answers: Mapping[str, Answer], needs: Iterable[Needs]) -> Iterator[Finding]:
    """Yield kernels that do not work; one that no notebook needs is only noted."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    languages: dict[str, str] = {}
    for each in needs:
        users[each.task.kernel].append(each.task.path)
        languages[each.task.kernel] = each.task.language
    for name, answer in answers.items():
        if answer.works is False:
            yield Finding(
                severity=Severity.MISSING if name in users else Severity.NOTE,
                kind="kernel",
                what=f"kernel {name!r} does not work: {answer.problem}",
                where=tuple(users.get(name, ())),
                how=f"{answer.installer} ipykernel"
                if "ipykernel" in answer.problem and answer.installer
                else f"install it again, or take it away: jupyter kernelspec remove {name}",
            )
    for name, language in languages.items():
        if why := caution(language):
            yield Finding(
                severity=Severity.NOTE,
                kind="kernel",
                what=f"kernel {name!r}: {why}",
                where=tuple(users[name]),
            )


def about_packages(needs: Iterable[Needs], answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """Yield the packages that notebooks import and their own interpreter does not have."""
    lacking: defaultdict[tuple[Severity, str, str, str], list[str]] = defaultdict(list)
    unasked: defaultdict[str, list[str]] = defaultdict(list)
    for each in needs:
        task = each.task
        answer = answers[task.kernel]
        if answer.works is None and each.names:
            unasked[task.kernel].append(task.path)
        for lack in each.lacks(answer.missing):
            # An import in a `try` may do without, and a notebook that runs pip brings its own: a
            # maintainer should hear of both, and neither may turn the checkup red.
            severity = Severity.MISSING if lack.sure and not lack.installs else Severity.NOTE
            why = "" if lack.sure else "; it may be needed"
            why = "; the notebook installs it itself" if lack.installs else why
            lacking[severity, task.kernel, lack.module, why].append(task.path)
        if each.python.unread:
            cells = ", ".join(f"cells[{position}]" for position in each.python.unread)
            yield Finding(
                severity=Severity.NOTE,
                kind="notebook",
                what=f"not Python 3, so its imports are unknown: {cells}",
                where=(task.path,),
            )
    for (severity, kernel, module, why), paths in sorted(lacking.items()):
        yield Finding(
            severity=severity,
            kind="package",
            what=f"no package {module!r} in kernel {kernel!r}{why}",
            where=tuple(paths),
            how=_how_to_get(module, answers[kernel]),
        )
    for kernel, paths in unasked.items():
        yield Finding(
            severity=Severity.NOTE,
            kind="kernel",
            what=f"which packages kernel {kernel!r} has is unknown: {answers[kernel].problem}",
            where=tuple(paths),
        )


def about_home(answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """Yield kernels that see packages of the user's home, which other users do not have."""
    for name, answer in answers.items():
        if answer.of_home:
            yield Finding(
                severity=Severity.NOTE,
                kind="home",
                what=f"kernel {name!r} sees packages of the home ({answer.home}),"
                f" not of its environment: {', '.join(map(_of_home, answer.of_home))}",
                how='hide them from notebooks: user-site = "off" in [test]',
            )


def _of_home(distribution: tuple[str, str, str]) -> str:
    name, version, hidden = distribution
    return f"{name} {version}".rstrip() + (f" (hides {hidden})" if hidden else "")


def about_machine(*, git: str, output: Path, tasks: Iterable[Task]) -> Iterator[Finding]:
    """Yield what else a run uses: git, jupytext, a folder to write to."""
    if not git:
        yield Finding(
            severity=Severity.NOTE,
            kind="program",
            what="git not found: reports will not include the commit that was tested",
            how="apt-get install git, or what your system has instead",
        )
    texts = tuple(task.path for task in tasks if task.skip == SKIP_WITHOUT_JUPYTEXT)
    if texts:
        yield Finding(
            severity=Severity.NOTE,
            kind="program",
            what="jupytext is not installed: text notebooks will be skipped",
            where=texts,
            how=distribution.pip_install("text"),
        )
    if not _is_writable(output):
        yield Finding(
            severity=Severity.MISSING,
            kind="folder",
            what=f"the output directory {output} cannot be written",
            how="name another one with --output-dir, or as output-dir in the configuration",
        )


def about_distribution(path: Sequence[str]) -> Iterator[Finding]:
    """Yield what is left of an install under the name that another project has.

    Where its files are among ours, no command starts, and so no examination.
    """
    for found in distribution.others(path):
        yield Finding(
            severity=Severity.NOTE,
            kind="package",
            what=f"the distribution nbpipe is registered here beside {distribution.NAME}: {found}",
            how=f"{sys.executable} -m pip uninstall nbpipe; then install {distribution.NAME} again",
        )


def _how_to_get(module: str, answer: Answer) -> str:
    if not answer.installer:
        return f'in R: install.packages("{module}")'
    distribution = distribution_of(module)
    if not distribution:
        return _ELSEWHERE.get(module, "")
    doubt = "perhaps: " if distribution == module else ""
    return f"{doubt}{answer.installer} {distribution}"


def _advice(kernel: str, language: str) -> str:
    return how_to_install(kernel, language).removeprefix("to install it: ")


def _is_installed(name: str, kernels: Mapping[str, InstalledKernel]) -> bool:
    return name in kernels or name.lower() in kernels


def _is_writable(folder: Path) -> bool:
    existing = next((each for each in (folder, *folder.parents) if each.exists()), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
