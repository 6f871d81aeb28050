"""Asking a kernel's own interpreter which modules it has: one process each, nothing imported.

The interpreter gets the environment that the
kernel would get, and no folder of notebooks on its path.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.system import interpreters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbpipe.collecting import InstalledKernel

PATIENCE = interpreters.PATIENCE

_QUESTION = f"""
import json, os, site, sys
sys.path[:] = [folder for folder in sys.path if folder]
from importlib.machinery import PathFinder
from importlib.util import find_spec
def has(name):
    if "." in name:
        return has_part(name.split("."))
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return name in sys.modules
def has_part(names):
    place = os.path.join(*names)
    for folder in sys.path:
        if os.path.exists(os.path.join(folder, place)):
            return True
        if os.path.exists(os.path.join(folder, place + ".py")):
            return True
    try:
        spec = find_spec(names[0])
        for length in range(2, len(names) + 1):
            folders = spec and spec.submodule_search_locations
            folders = getattr(folders, "_path", folders)  # without a look at its parent
            spec = folders and PathFinder.find_spec(".".join(names[:length]), list(folders))
        return bool(spec)
    except (ImportError, ValueError, AttributeError, LookupError):
        return ".".join(names) in sys.modules
asked = json.loads(sys.stdin.read())
answer = {{"version": "%d.%d.%d" % sys.version_info[:3], "problem": ""}}
answer["missing"] = [name for name in asked["modules"] if not has(name)]
def distributions(folders):
    found = {{}}
    for folder in folders:
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if entry.endswith((".dist-info", ".egg-info")):
                name, version = (entry[:-10].split("-") + [""])[:2]
                found.setdefault(name.lower().replace(".", "_"), (name, version))
    return found
home = site.USER_SITE if site.ENABLE_USER_SITE and site.USER_SITE in sys.path else ""
if home:
    others = distributions(folder for folder in sys.path if folder != home)
    own = distributions([home])
    answer["home"] = home
    answer["of_home"] = [[*own[key], others.get(key, ("", ""))[1]] for key in sorted(own)]
launcher = asked["launcher"]
if launcher and not has(launcher):
    answer["problem"] = "it has no module " + launcher
elif launcher.startswith("ipykernel"):
    try:
        import ipykernel
    except Exception as error:
        answer["problem"] = "import ipykernel: %s: %s" % (type(error).__name__, error)
print("\\n{interpreters.MARK}" + json.dumps(answer))
"""

_R_QUESTION = f"""
has <- function(name) nzchar(system.file(package = name))
asked <- commandArgs(TRUE)
missing <- Filter(Negate(has), c("IRkernel", asked))
cat("\\n{interpreters.MARK}", as.character(getRversion()), missing)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an interpreter said."""

    works: bool | None
    """None: it was not asked."""
    version: str = ""
    problem: str = ""
    """Why it does not work, or why it was not asked."""
    missing: frozenset[str] = field(default=frozenset())
    """Of the modules or packages that it was asked about."""
    installer: str = ""
    """The command that installs a package there, up to its name."""
    home: str = ""
    """The folder of packages in the user's home that it looks in; empty where it does not."""
    of_home: tuple[tuple[str, str, str], ...] = ()
    """The distributions there: name, version, and the version in the environment that it hides."""


def ask(kernel: InstalledKernel, names: Iterable[str], environ: Mapping[str, str]) -> Answer:
    """Return what the kernel's interpreter says about modules (Python) or packages (R)."""
    if kernel.problem:
        return Answer(works=False, problem=kernel.problem)
    if kernel.interpreter is None:
        return _without_program(kernel.argv[0])
    environ = {**environ, **_own_environment(kernel, environ)}
    if kernel.language == "r":
        return _ask_r(kernel.interpreter, sorted(names), environ)
    command = _python_command(kernel)
    if command is None:
        return Answer(works=None, problem="its program is not a Python interpreter")
    return _ask_python(command, _launcher(kernel), sorted(names), environ)


def _without_program(program: str) -> Answer:
    """Return the answer of a kernel whose program is not found."""
    absolute, tilde = Path(program).is_absolute(), program.startswith("~")
    if os.sep in program and not absolute and not tilde:
        return Answer(works=None, problem=f"{program} is looked for in each notebook's folder")
    problem = f"program not found: {program}"
    if tilde:
        problem += " (~ is not replaced there)"
    elif absolute and os.path.exists(program):  # noqa: PTH110  (False where it is not to be seen)
        problem = f"{program} cannot be executed"
    return Answer(works=False, problem=problem)


def _ask_python(
    command: list[str], launcher: str, names: list[str], environ: Mapping[str, str]
) -> Answer:
    asked = json.dumps({"modules": names, "launcher": launcher})
    try:
        said = interpreters.ask(command, _QUESTION, environ=environ, given=asked, patience=PATIENCE)
    except interpreters.NoAnswerError as error:
        return Answer(works=False, problem=str(error))
    answer = json.loads(said)
    return Answer(
        works=not answer["problem"],
        version=answer["version"],
        problem=answer["problem"],
        missing=frozenset(answer["missing"]),
        installer=f"{shlex.join(command)} -m pip install",
        home=answer.get("home", ""),
        of_home=tuple((name, own, hidden) for name, own, hidden in answer.get("of_home", ())),
    )


def _ask_r(program: str, names: list[str], environ: Mapping[str, str]) -> Answer:
    script = Path(program).with_name("Rscript")
    if not script.exists():
        return Answer(works=None, problem=f"Rscript not found beside {program}")
    try:
        said = interpreters.ask(
            [str(script)], _R_QUESTION, *names, environ=environ, option="-e", patience=PATIENCE
        )
    except interpreters.NoAnswerError as error:
        return Answer(works=False, problem=str(error))
    version, *missing = said.split()
    problem = "" if "IRkernel" not in missing else "it has no package IRkernel"
    return Answer(
        works=not problem, version=version, problem=problem, missing=frozenset(missing) & {*names}
    )


def _python_command(kernel: InstalledKernel) -> list[str] | None:
    """Return how the kernel's Python is started, with wrappers; None where it has none."""
    program = str(kernel.interpreter)
    if found := interpreters.command(program, kernel.argv):
        return found
    beside = Path(program).with_name("python")
    if Path(program).name == "xpython" and beside.exists():
        return [str(beside)]
    return None


def _launcher(kernel: InstalledKernel) -> str:
    """Return the module that the kernel is, empty where it is none."""
    after = kernel.argv[kernel.argv.index("-m") + 1 :] if "-m" in kernel.argv else ()
    return after[0].partition(".")[0] if after else ""


def _own_environment(kernel: InstalledKernel, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the kernelspec sets."""
    try:
        spec = json.loads((Path(kernel.resource_dir) / "kernel.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    own = spec.get("env") if isinstance(spec, dict) else None
    return interpreters.substituted(own, environ) if isinstance(own, dict) else {}
