"""What an examination found: lines for people, values for programs."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe._version import __version__
from nbpipe.system.text import plain, plain_name
from nbpipe.system.units import count

if TYPE_CHECKING:
    from nbpipe.checkup.findings import Checkup, Finding, KernelState, Threads
    from nbpipe.reports.terminal import Page

FORMAT = 1
_SHOWN = 5
"""Number of notebooks that are named for one finding; JSON has them all."""


def show(result: Checkup, page: Page) -> None:
    """Write the examination for a person."""
    libraries = ", ".join(f"{name} {held or '-'}" for name, held in result.libraries.items())
    for label, text in (
        ("nbpipe", f"{__version__}, Python {platform.python_version()} ({sys.executable})"),
        ("libraries", libraries),
        ("git", result.git or "not there"),
        ("root", plain_name(str(result.root))),
        ("configuration", plain_name(str(result.config or "none: defaults"))),
        ("output", plain_name(str(result.output))),
        ("threads", _threads(result.threads)),
    ):
        page.line(f"{label:14}", text)
    page.title(f"{count(len(result.kernels), 'kernel')} found:")
    width = max((len(kernel.name) for kernel in result.kernels), default=0)
    for kernel in result.kernels:
        _show_kernel(kernel, page, width)
    missing = [each for each in result.findings if each.severity == "missing"]
    notes = [each for each in result.findings if each.severity == "note"]
    _show_findings("Missing:", missing, page, "red")
    _show_findings("Worth knowing:", notes, page, "yellow")
    page.line()
    if missing:
        page.line((f"{count(len(missing), 'thing')} missing.", "bold red"))
    elif result.notebooks:
        needed = count(result.notebooks, "notebook")
        page.line((f"Everything is there for {needed} to run.", "bold green"))
    else:
        page.line(f"No notebook would run below {plain_name(str(Path.cwd()))}.")


def _threads(found: Threads) -> str:
    """Return how many threads each notebook's numerical libraries would get, and why."""
    cores = f"{count(found.cores, 'core')}, {count(found.at_once, 'notebook')} at once"
    if found.each is not None:
        share = f"{count(found.each, 'thread')} for each one's numerical libraries"
    elif found.scheduler:
        share = f"as many as the scheduler says ({found.scheduler} is set)"
    else:
        share = "as many as the libraries take"
    already = ", ".join(f"{name}={plain(value)}" for name, value in found.already.items())
    return f"{cores}: {share}" + (f"; set already: {already}" if already else "")


def _show_kernel(kernel: KernelState, page: Page, width: int) -> None:
    marks = {True: ("works", "green"), False: ("does not work", "red"), None: ("not asked", "dim")}
    spoken = f"{kernel.language} {kernel.version}".strip()
    page.line(
        f"  {kernel.name:{width}}  {spoken:14}  ",
        marks[kernel.answers],
        f"  {plain_name(kernel.interpreter or '')}",
        f"  {plain(kernel.problem)}" if kernel.problem else "",
    )


def _show_findings(title: str, findings: list[Finding], page: Page, style: str) -> None:
    if findings:
        page.title(title)
    for each in findings:
        page.line("  ", (plain(each.what).replace("\n", " "), style))
        for path in each.where[:_SHOWN]:
            page.line(f"      {plain_name(path)}")
        if len(each.where) > _SHOWN:
            page.line(f"      and {len(each.where) - _SHOWN} more")
        if each.how:
            page.line("    ", (f"-> {plain(each.how)}", "dim"))


def document(result: Checkup) -> dict[str, Any]:
    """Return the examination for a program."""
    return {
        "format": FORMAT,
        "ready": result.is_ready,
        "nbpipe": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "libraries": {name: held or None for name, held in result.libraries.items()},
        "git": result.git or None,
        "root": str(result.root),
        "config": str(result.config) if result.config else None,
        "output": str(result.output),
        "threads": {
            "cores": result.threads.cores,
            "at_once": result.threads.at_once,
            "each": result.threads.each,
            "set": dict(result.threads.already),
            "scheduler": result.threads.scheduler or None,
        },
        "notebooks": result.notebooks,
        "kernels": [
            {
                "name": kernel.name,
                "display_name": kernel.display_name,
                "language": kernel.language,
                "interpreter": kernel.interpreter,
                "answers": kernel.answers,
                "version": kernel.version or None,
                "problem": kernel.problem or None,
            }
            for kernel in result.kernels
        ],
        "findings": [
            {
                "severity": str(each.severity),
                "kind": each.kind,
                "what": each.what,
                "where": list(each.where),
                "how": each.how or None,
            }
            for each in result.findings
        ],
    }
