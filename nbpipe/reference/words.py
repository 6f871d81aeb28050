"""Texts of a configuration in which `$NAME` and `{NAME}` stand for something.

`$NAME` is a variable of who submits, `{NAME}` one of the run's own words (run, release, name, the
folder of a root). That is all: nobody asks a shell, and what cannot be replaced is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD = re.compile(r"\$\{(\w+)\}|\$(\w+)|\{(\w+)\}|[${}]", re.ASCII)


def filled(text: str, what: str, *, environ: Mapping[str, str], words: Mapping[str, str]) -> str:
    """Return the text with everything replaced.

    Args:
        text: With `$NAME`, `${NAME}` and `{NAME}`.
        what: What it is, for errors.
        environ: The variables.
        words: The run's own.

    Raises:
        UsageError: A variable is not set, a word is not known, or a brace or dollar is alone.
    """

    def replaced(found: re.Match[str]) -> str:
        variable = found[1] or found[2]
        if variable and environ.get(variable):
            return environ[variable]
        if variable:
            raise UsageError(
                f"{what}: {text!r}: the variable {variable} is not set",
                hint="Set it where you submit, or write the path.",
            )
        if found[3] in words:
            return words[found[3]]
        raise UsageError(
            f"{what}: {text!r}: {found.group()!r} stands for nothing",
            hint=f"$NAME is a variable of yours; in braces: {', '.join(sorted(words)) or 'none'}.",
        )

    return _WORD.sub(replaced, text)
