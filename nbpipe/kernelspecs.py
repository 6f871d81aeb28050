"""Where kernelspecs are looked for: as Jupyter does it, without what that costs for nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_client.kernelspec import KernelSpecManager


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
    return found


def _of_ipython(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders that `IPython.paths.get_ipython_dir` chooses from."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (without a home it stays as it is)
    if own := environ.get("IPYTHONDIR"):
        yield Path(own).expanduser()
    yield home / ".ipython"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "ipython"
