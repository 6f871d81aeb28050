"""Under which name pip knows this project, and whether another project's files are among ours.

The package, the import and the command are `nbpipe`; the distribution is not, because `nbpipe` on
the package index is a project of other people that has the same import name and the same command.
pip takes one for nothing to do with the other, and writes both into one folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe._version import __version__
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

NAME = "nbpipe-collections"
"""The distribution, as `[project] name` in pyproject.toml has it."""

_FOLDERS = ("site-packages", "dist-packages")
"""Where pip and Debian install, and nobody else leaves a dist-info."""


def pip_install(extra: str = "") -> str:
    """Return the command that installs us with an extra, for a person to copy into a shell."""
    return f"pip install '{NAME}[{extra}]'" if extra else f"pip install {NAME}"


def refuse_mixture(package: ModuleType, path: Sequence[str]) -> None:
    """Refuse to start where another project's files are mixed with ours.

    It lists two or three folders, which the import of a module has listed before: 0.3 ms.

    Args:
        package: What `import nbpipe` gives; the other project's is written over ours.
        path: Where Python looks for modules.

    Raises:
        UsageError: They are; whatever ran would be half of each.
    """
    found = mixture(package, path)
    if found:
        pip = f"{sys.executable} -m pip"
        raise UsageError(
            "files of the distribution `nbpipe`, which is another project (or this one before it "
            f"was renamed), are mixed with those of {NAME}: {found}",
            hint=f"Install into an environment of its own, or repair this one:\n"
            f"    {pip} uninstall -y nbpipe\n"
            f"    {pip} install --force-reinstall --no-deps {NAME}   (in a clone: . for the name)",
        )


def mixture(package: ModuleType, path: Sequence[str]) -> str | None:
    """Return what shows that files of the other project are among ours; None: nothing does."""
    for found in others(path):
        if _has_our_import_name(found):
            return str(found)
    here = Path(__file__).parent
    if (here / "cli.py").exists():  # ours is the folder cli, which hides it
        return str(here / "cli.py")
    if getattr(package, "__version__", None) != __version__:  # theirs has none
        return f"{here / '__init__.py'} is not ours, or missing"
    return None


def others(path: Sequence[str]) -> Iterator[Path]:
    """Yield the folders in which pip keeps what it knows of a distribution called `nbpipe`."""
    for folder in dict.fromkeys(path):
        if os.path.basename(folder) not in _FOLDERS:  # noqa: PTH119  (at every start)
            continue
        try:
            names = os.listdir(folder)  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            if name.startswith("nbpipe-") and name.endswith(".dist-info"):
                yield Path(folder, name)


def _has_our_import_name(found: Path) -> bool:
    """Return whether its files lie in a folder `nbpipe`: an editable install has none there."""
    try:
        record = (found / "RECORD").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(line.startswith("nbpipe/") for line in record.splitlines())
