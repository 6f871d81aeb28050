"""Which kernels are installed, and which of them a notebook gets, and why.

Starting one is not this room's business.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.errors import UsageError
from nbpipe.model import Category, Failure
from nbpipe.system import kernelspecs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

_log = logging.getLogger(__name__)

DEFAULT = "python3"
"""The kernel of a notebook that names none."""

_OWN_PYTHON = frozenset(
    f"python{version}"
    for version in ("", sys.version_info.major, "{}.{}".format(*sys.version_info[:2]))
)
_WELL_KNOWN = (
    (re.compile(r"(x?python\d?|.*-py|pysparkkernel|sagemath)"), "python"),
    (re.compile(r"(x?r|ir\d*|ir[-_.].*|.*-r)"), "r"),
    (re.compile(r"bash"), "bash"),
    (re.compile(r"julia.*"), "julia"),
    (re.compile(r"octave"), "octave"),
)
_INSTALL = {
    "bash": "pip install bash_kernel && python -m bash_kernel.install",
    "c++": "conda install -c conda-forge xeus-cling",
    "julia": 'in Julia: using Pkg; Pkg.add("IJulia")',
    "octave": "pip install octave_kernel",
    "python": "python -m ipykernel install --user --name {name}, run by that environment's python",
    "python2": "Python 2 has ended: move the notebook to Python 3, or map its kernel",
    "r": "apt-get install r-cran-irkernel, or in R: IRkernel::installspec()",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledKernel:
    """A kernelspec that Jupyter finds on this machine."""

    name: str
    display_name: str
    language: str
    """Lower case."""
    argv: tuple[str, ...]
    interpreter: str | None
    """The program that it starts, absolute; None where there is no such program."""
    resource_dir: str
    problem: str = ""
    """Why it cannot be started as its kernel.json stands; empty: it may be."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a notebook says about its kernel."""

    name: str = ""
    """The kernelspec's name, empty where it names none."""
    language: str = ""
    """As it is written there, empty where it does not say."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The kernel that a notebook gets."""

    kernel: str
    """Where it is missing, the one wanted."""
    language: str
    """Lower case."""
    why: str = ""
    missing: bool = False


def installed_kernels() -> dict[str, InstalledKernel]:
    """Return every kernelspec that Jupyter finds, by its name."""
    manager = kernelspecs.finder()
    kernels = {}
    with warnings.catch_warnings():
        # traitlets warns about keys it does not know, and bash_kernel's kernel.json has one
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)  # folders whose names are no kernels'
        for name, folder in sorted(manager.find_kernel_specs().items()):
            try:
                kernels[name] = _kernel(name, *_spec(manager, name, folder))
            except Exception as error:  # noqa: BLE001  (whatever is wrong in one kernel.json)
                file = Path(folder) / "kernel.json"
                why = f"{type(error).__name__}: {error} ({file})"
                _log.warning("kernel %s cannot be used: %s", name, why)
    return kernels


def _spec(manager: KernelSpecManager, name: str, folder: str) -> tuple[KernelSpec, str]:
    """Return a kernelspec, and why it cannot be started as it stands."""
    from jupyter_client.kernelspec import KernelSpec, NoSuchKernel  # noqa: PLC0415  (slow)

    try:
        spec = manager.get_kernel_spec(name)
    except NoSuchKernel:  # it is there; what would start it is not
        spec = KernelSpec.from_resource_dir(folder)
        wanted = (spec.metadata or {}).get("kernel_provisioner")
        by = wanted.get("provisioner_name") if isinstance(wanted, dict) else None
        missing = f"{Path(folder) / 'kernel.json'}: the kernel provisioner {by!r} is not installed"
        return spec, kernelspecs.problem(spec) or missing
    return spec, kernelspecs.problem(spec)


def _kernel(name: str, spec: KernelSpec, problem: str) -> InstalledKernel:
    argv = kernelspecs.command(spec)
    return InstalledKernel(
        name=name,
        display_name=spec.display_name or name,
        language=spec.language.lower(),
        argv=argv,
        interpreter=_interpreter(argv, kernelspecs.search_path(spec)),
        resource_dir=spec.resource_dir,
        problem=problem,
    )


def named(metadata: Mapping[str, Any]) -> tuple[Named, tuple[str, ...]]:
    """Return the kernel that the metadata names, and what is wrong with how it does."""
    notes: list[str] = []
    spec = _mapping(metadata, "kernelspec", notes)
    info = _mapping(metadata, "language_info", notes)
    name = _text(spec, "kernelspec", "name", notes)
    language = _text(spec, "kernelspec", "language", notes)
    language = language or _text(info, "language_info", "name", notes)
    return Named(name, language or _derived(name)), tuple(notes)


def require(name: str, kernels: Mapping[str, InstalledKernel], *, asked: str) -> str:
    """Return the name of the kernel that a person asked for, as it is installed.

    Raises:
        UsageError: It is not installed.
    """
    if found := _installed(name, kernels):
        return found
    raise UsageError(
        f"no kernel {name!r} is installed, which {asked} asks for",
        hint=f"Installed: {_list(kernels)}. {how_to_install(name, '')}".rstrip(),
    )


def choose(
    wanted: Named,
    *,
    forced: tuple[str, str] | None,
    kernel_map: Mapping[str, str],
    kernels: Mapping[str, InstalledKernel],
) -> Choice:
    """Return the kernel for a notebook.

    The forced one, else the map's entry, else the one named, else one of the same language.

    Args:
        wanted: What the notebook says.
        forced: The name of a kernel, and who forces it.
        kernel_map: Name in the notebook -> installed kernel.
        kernels: The installed ones.
    """
    name = wanted.name or ("" if _speaks_other(wanted) else DEFAULT)
    if forced:
        return _exactly(forced[0], _because(wanted, forced[0], forced[1]), kernels)
    if target := kernel_map.get(name):
        why = "" if wanted.name else "the notebook names none; "
        return _exactly(target, f"{why}the kernel map gives {target} for {name!r}", kernels)
    if name and (found := _installed(name, kernels)):
        why = "" if wanted.name else f"the notebook names none; {found} is the default"
        return Choice(found, kernels[found].language, why)
    language = _normal(wanted.language) or _derived(name)
    if found := _same_language(language, kernels):
        says = f"names {name!r}, which is not installed" if name else "names none"
        why = f"the notebook {says}; {found} has the same language"
        return Choice(found, language, why)
    return Choice(name or language, language, missing=True)


def missing_failure(choice: Choice, kernels: Mapping[str, InstalledKernel]) -> Failure:
    """Return the failure of a notebook whose kernel is not installed."""
    of = f" for {choice.language}" if choice.language else ""
    advice = how_to_install(choice.kernel, choice.language)
    parts = [f"no kernel {choice.kernel!r}{of}", f"installed: {_list(kernels)}", advice]
    return Failure(
        category=Category.KERNEL_MISSING,
        name="NoSuchKernel",
        message="; ".join(filter(None, parts)),
        signature=f"NoSuchKernel: {choice.kernel}",
    )


def broken_failure(kernel: InstalledKernel) -> Failure:
    """Return the failure of a notebook whose kernel is installed and cannot be started."""
    what = kernel.problem.rpartition("kernel.json: ")[2]
    return Failure(
        category=Category.KERNEL_MISSING,
        name="BrokenKernelSpec",
        message=f"kernel {kernel.name!r} cannot be started: {kernel.problem}",
        signature=f"BrokenKernelSpec: {kernel.name}: {what}",
    )


def missing_skip(choice: Choice) -> str:
    """Return why a notebook whose kernel is not installed is skipped."""
    language = {"r": "R", "julia": "Julia"}.get(choice.language, choice.language)
    of = f" ({language})" if language and language != choice.kernel else ""
    advice = how_to_install(choice.kernel, choice.language)
    return f"kernel {choice.kernel!r}{of} is not installed" + (f"; {advice}" if advice else "")


def how_to_install(name: str, language: str) -> str:
    """Return how a well-known kernel is installed, empty where it is not known."""
    known = name if name in _INSTALL else language.lower() or _derived(name)
    advice = _INSTALL.get(known)
    return f"to install it: {advice.format(name=name)}" if advice else ""


def _exactly(name: str, why: str, kernels: Mapping[str, InstalledKernel]) -> Choice:
    if found := _installed(name, kernels):
        return Choice(found, kernels[found].language, why)
    return Choice(name, _derived(name), why, missing=True)


def _because(wanted: Named, name: str, who: str) -> str:
    if wanted.name.lower() == name.lower():
        return ""
    says = f"names {wanted.name!r}" if wanted.name else "names none"
    return f"{who}; the notebook {says}"


def _installed(name: str, kernels: Mapping[str, InstalledKernel]) -> str | None:
    """Return the name under which it is installed: Jupyter's are all lower case."""
    return next((option for option in (name, name.lower()) if option in kernels), None)


def _same_language(language: str, kernels: Mapping[str, InstalledKernel]) -> str | None:
    options = sorted(
        name
        for name, kernel in kernels.items()
        if kernel.language == language and not kernel.problem
    )
    if not language or not options:
        return None
    return DEFAULT if DEFAULT in options else options[0]


def _speaks_other(wanted: Named) -> bool:
    return _normal(wanted.language) not in {"", "python"}


def _normal(language: str) -> str:
    """Return a language as kernelspecs name it; old notebooks call Python `ipython`."""
    lower = language.lower()
    return "python" if lower == "ipython" else lower


def _derived(name: str) -> str:
    lower = name.lower()
    return next((language for form, language in _WELL_KNOWN if form.fullmatch(lower)), "")


def _interpreter(argv: tuple[str, ...], path: str | None) -> str | None:
    """Return what argv[0] means; jupyter_client takes `python`, `python3` for its own."""
    if not argv or (os.sep in argv[0] and not Path(argv[0]).is_absolute()):
        return None  # it is looked for in the notebook's folder
    return sys.executable if argv[0] in _OWN_PYTHON else shutil.which(argv[0], path=path)


def _mapping(metadata: Mapping[str, Any], key: str, notes: list[str]) -> Mapping[str, Any]:
    value = metadata.get(key, {})
    if isinstance(value, dict):
        return value
    notes.append(f"metadata.{key} is not an object: ignored")
    return {}


def _text(table: Mapping[str, Any], key: str, name: str, notes: list[str]) -> str:
    value = table.get(name)
    if isinstance(value, str):
        return value.strip()
    if value is not None:
        notes.append(f"metadata.{key}.{name} is not text: ignored")
    return ""


def _list(kernels: Mapping[str, InstalledKernel]) -> str:
    return ", ".join(sorted(kernels)) or "none"
