"""Where kernelspecs are looked for: as Jupyter does it, without what that costs for nothing."""

from __future__ import annotations

import json
import os
import re
import string
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")


def finder(environ: Mapping[str, str] = os.environ) -> KernelSpecManager:
    """Return what finds kernelspecs.

    Jupyter's own asks IPython for its folder, where IPython 3 kept them, and imports half of it for
    that (70 ms). That is left out where none of the folders that it can name has kernels.
    """
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415  (slow)
    from jupyter_core.paths import jupyter_path  # noqa: PLC0415

    found = KernelSpecManager()
    if not any((folder / "kernels").is_dir() for folder in _of_ipython(environ)):
        found.kernel_dirs = jupyter_path("kernels")
    found.kernel_dirs = [each for each in found.kernel_dirs if os.access(each, os.R_OK | os.X_OK)]
    return found


def _of_ipython(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders that `IPython.paths.get_ipython_dir` chooses from."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (without a home it stays as it is)
    if own := environ.get("IPYTHONDIR"):
        yield Path(os.path.expanduser(own))  # noqa: PTH111  (of a user who may not exist)
    yield home / ".ipython"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "ipython"


def problem(spec: KernelSpec) -> str:
    """Return why a kernel cannot be started as its kernel.json stands; empty: it may be.

    Jupyter takes any list as `argv` and any object as `env`; starting a process does not.
    Source: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs
    """
    wrong = _not_text(spec)
    if not spec.argv:
        wrong = "argv is empty; it is the command that starts the kernel"
    provisioner = (spec.metadata or {}).get("kernel_provisioner", {})
    if not isinstance(provisioner, dict):
        wrong = "metadata.kernel_provisioner is not an object"
    return f"{Path(spec.resource_dir) / 'kernel.json'}: {wrong}" if wrong else ""


def _not_text(spec: KernelSpec) -> str:
    """Return the first key whose value is not what a process can be given, and why."""
    keys = [(f"argv[{place}]", word) for place, word in enumerate(spec.argv)]
    for key, value in keys + [(f"env.{name}", value) for name, value in (spec.env or {}).items()]:
        if not isinstance(value, str):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            advice = f'; write "{value}"' if number else ""
            return f"{key} is {json.dumps(value)}, which is not text{advice}"
        if "\0" in value:
            return f"{key} has a null character"
    for name in spec.env or {}:
        if not name or "=" in name or "\0" in name:
            return f"env.{name!r} cannot be the name of a variable"
    return ""


def command(spec: KernelSpec) -> tuple[str, ...]:
    """Return the kernel's command with the placeholders that are known before it is started.

    That is `{resource_dir}` and `{prefix}`, as jupyter_client replaces them.
    """
    known = {"resource_dir": spec.resource_dir, "prefix": sys.prefix}
    return tuple(
        _PLACEHOLDER.sub(lambda match: known.get(match[1], match[0]), str(word))
        for word in spec.argv
    )


def search_path(spec: KernelSpec, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the PATH on which the kernel's program is looked for; None: there is none."""
    own = (spec.env or {}).get("PATH")
    if not isinstance(own, str):
        return environ.get("PATH")
    return string.Template(own).safe_substitute(environ)
