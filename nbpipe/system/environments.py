"""Which distributions a Python has installed: asked of the interpreter itself, nothing imported."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.system import interpreters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_OWN = re.compile(r"python(\d(\.\d+)?)?")

_QUESTION = """
import os, sys
def modules(folder, name):
    found = set()
    for file in ("RECORD", "top_level.txt"):
        try:
            with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    found.add(line.strip().split("/")[0].split(",")[0].split(".")[0])
        except OSError:
            pass
    found.discard("__pycache__")
    return sorted(found) or [name]
found = {}
for folder in filter(None, sys.path):
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        continue
    for entry in entries:
        if entry.endswith((".dist-info", ".egg-info")):
            name, version = (entry[:-10].split("-") + [""])[:2]
            if name not in found:
                brought = modules(os.path.join(folder, entry), name) if MODULES else []
                found[name] = version, brought
print("\\nMARK" + repr(("%d.%d.%d" % sys.version_info[:3], found)))
"""
"""The first of a name on the path is the one that is imported."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What an interpreter has."""

    python: str
    """Its version."""
    versions: Mapping[str, str]
    """Of each distribution, by its normalized name."""
    brought: Mapping[str, frozenset[str]]
    """By top-level module: the distributions that bring it; empty where nobody asked for it."""

    def of(self, modules: set[str]) -> dict[str, str]:
        """Return the distributions that bring these modules, with their versions, and `python`."""
        names = {name for module in modules for name in self.brought.get(module, ())}
        return {"python": self.python, **{name: self.versions[name] for name in sorted(names)}}


def command(argv: Sequence[str]) -> list[str] | None:
    """Return how a kernel's Python is started; None where that cannot be seen.

    jupyter_client takes its own interpreter for `python`, `python3` and `python3.11`.
    """
    if not argv:
        return None
    program = sys.executable if _OWN.fullmatch(argv[0]) else argv[0]
    return interpreters.command(program, argv)


def ask(
    argv: Sequence[str], own: Mapping[str, str], environ: Mapping[str, str], *, modules: bool
) -> Environment | None:
    """Return what a kernel's interpreter has; None where it does not say.

    Args:
        argv: The kernelspec's.
        own: The variables that the kernelspec sets.
        environ: Those that the kernel inherits.
        modules: Whether it is to be known which modules each distribution brings.
    """
    starting = command(argv)
    if starting is None:
        return None
    values = interpreters.substituted(own, environ)
    question = _QUESTION.replace("MARK", interpreters.MARK).replace("MODULES", str(modules))
    try:
        answer = interpreters.ask(starting, question, environ={**environ, **values})
        python, found = ast.literal_eval(answer)
    except (interpreters.NoAnswerError, ValueError, SyntaxError):
        return None
    brought: dict[str, set[str]] = {}
    for name, (_, names) in found.items():
        for module in names:
            brought.setdefault(module, set()).add(_normalized(name))
    return Environment(
        python,
        {_normalized(name): version for name, (version, _) in found.items()},
        {module: frozenset(names) for module, names in brought.items()},
    )


def brought_by(modules: Iterable[str]) -> dict[str, str]:
    """Return the distributions that brought these modules, with their versions, sorted by name.

    Args:
        modules: Top-level ones, each as the path of its folder of packages and its name. One that
            no distribution brought (`usercustomize`) has its own name and no version.
    """
    from importlib.metadata import distributions  # noqa: PLC0415  (rarely needed)

    wanted: dict[str, set[str]] = {}
    for module in modules:
        folder, _, name = module.rpartition("/")
        wanted.setdefault(folder, set()).add(name)
    found: dict[str, str] = {}
    for folder, names in wanted.items():
        left = set(names)
        for each in distributions(path=[folder]):
            brought = {str(file).partition("/")[0].partition(".")[0] for file in each.files or ()}
            brought |= set((each.read_text("top_level.txt") or "").split())
            name = str(each.metadata["Name"])
            if names & {*brought, name, _normalized(name).replace("-", "_")}:
                found[name] = each.version
                left -= {*brought, name, _normalized(name).replace("-", "_")}
        found |= dict.fromkeys(left, "")
    return dict(sorted(found.items()))


def _normalized(name: str) -> str:
    """Return a name as names of distributions are compared (packaging.python.org)."""
    return re.sub(r"[-_.]+", "-", name).lower()
