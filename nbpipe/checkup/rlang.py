"""Which packages the code of an R notebook attaches, read without running it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_STRING_OR_COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|#[^\n]*""")
_NAME = r"[A-Za-z][A-Za-z0-9.]*"
_ATTACHED = re.compile(
    rf"""\b(?:library|require)\(\s*(?:package\s*=\s*)?["']?({_NAME})["']?\s*[,)]"""
)
_TRIED = re.compile(r"\b(?:if|try|tryCatch)\s*\(\s*!?\s*$")
_QUALIFIED = re.compile(rf"(?<![\w.:\"'])({_NAME}):::?[A-Za-z.]")
_ASKED_FOR = re.compile(rf"""\brequireNamespace\(\s*["']({_NAME})["']""")
_INSTALLED = re.compile(r"\binstall\.packages\(([^)]*)\)|\binstall\(([^)]*)\)")
_BY_NAME = re.compile(r"character\.only\s*=\s*T(?:RUE)?\b")


def read_packages(sources: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the packages that R code cannot do without, and those that it installs itself."""
    needed: dict[str, None] = {}
    installed: list[str] = []
    for source in sources:
        code = _STRING_OR_COMMENT.sub(lambda match: match[1] or "", source)
        for match in _ATTACHED.finditer(code):
            if _BY_NAME.search(code[match.start() :].split("\n", 1)[0]):
                continue  # the package's name is in a variable
            if not _TRIED.search(code[: match.start()]):
                needed[match[1]] = None
        unquoted = re.sub(r"""("|')(?:\\.|(?!\1)[^\\])*\1""", '""', code)
        asked_for = set(_ASKED_FOR.findall(code))
        needed |= dict.fromkeys(n for n in _QUALIFIED.findall(unquoted) if n not in asked_for)
        for arguments in _INSTALLED.findall(code):
            installed += re.findall(rf"""["']({_NAME})["']""", "".join(arguments))
    return list(needed), installed
