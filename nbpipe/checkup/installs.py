"""What a notebook's shell lines install: command lines in, names of distributions out."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

_INSTALLERS = {"pip", "pip3", "conda", "mamba", "micromamba"}
_WITH_VALUE = {
    *("-c", "-e", "-f", "-i", "-n", "-p", "-r", "-t"),
    *("--channel", "--constraint", "--extra-index-url", "--index-url", "--name", "--prefix"),
    *("--requirement", "--target"),
}


def installed_by(command: str) -> list[str]:
    """Return what a command line installs: `pip install a 'b>=2'` installs a and b."""
    names: list[str] = []
    for part in re.split(r"&&|\|\||[;|]", command):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            continue
        if "install" in words:
            verb = words.index("install")
            if _is_installer(words[:verb]):
                names += _names(words[verb + 1 :])
    return names


def _is_installer(words: Sequence[str]) -> bool:
    programs = {os.path.basename(word) for word in words}  # noqa: PTH119  (a word, maybe no path)
    return not programs.isdisjoint(_INSTALLERS)


def _names(words: Sequence[str]) -> list[str]:
    names = []
    before = ""
    for word in words:
        if not word.startswith("-") and before not in _WITH_VALUE:
            names.append(_bare(word))
        before = word
    return [name for name in names if name]


def _bare(requirement: str) -> str:
    """Return the name in a requirement: `a[x]>=2`, `conda-forge::a`, `git+https://…/a.git`."""
    if "://" in requirement:
        last = urlsplit(requirement).path.rstrip("/").rpartition("/")[2]
        return last.partition("@")[0].removesuffix(".git")
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement.rpartition("::")[2])
    return match[0] if match else ""
