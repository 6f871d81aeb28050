"""What an examination finds: frozen values, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Severity(StrEnum):
    """What a finding means for a run."""

    MISSING = "missing"
    """A run would fail over it."""
    NOTE = "note"
    """Worth knowing; a run ends well all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is missing, where, and how to get it."""

    severity: Severity
    kind: str
    """kernel, package, notebook, program, folder, setting, scheduler or secret."""
    what: str
    where: tuple[str, ...] = ()
    """Paths of notebooks, as in reports; empty where it is about the machine."""
    how: str = ""
    """How to get it, empty where nobody knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelState:
    """A kernel that Jupyter finds, and whether its interpreter answers."""

    name: str
    display_name: str
    language: str
    interpreter: str | None
    """The program that the kernelspec starts, None where there is no such program."""
    answers: bool | None
    """None: it was not asked, as only Python's and R's interpreters are."""
    version: str = ""
    """The language's, empty where it was not asked or is another one than the interpreter's."""
    problem: str = ""
    """Why it does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threads:
    """How many threads the numerical libraries of notebooks would get."""

    cores: int
    """What a run may use."""
    at_once: int
    """Notebooks, or slots of them."""
    each: int | None
    """For a notebook of one slot; None: nothing is set."""
    already: Mapping[str, str]
    """Variables that are set in the environment, which stay as they are."""
    scheduler: str
    """The variable that shows a scheduler's job; empty outside of one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkup:
    """The whole examination."""

    root: Path
    config: Path | None
    output: Path
    """Where the next run would write."""
    git: str
    """Its version, empty where there is none."""
    libraries: Mapping[str, str]
    """Distribution -> version, empty where it is not installed."""
    kernels: tuple[KernelState, ...]
    threads: Threads
    notebooks: int
    """How many would run."""
    findings: tuple[Finding, ...]

    @property
    def is_ready(self) -> bool:
        """Whether everything is there that a run needs."""
        return all(finding.severity is not Severity.MISSING for finding in self.findings)
