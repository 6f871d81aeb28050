"""What counts as the same: the settings of `[reference.NAME]`, asked about a file or a column.

Paths match as in .gitignore; names of columns and keywords as in a shell (`*`, `?`, `[ab]`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from nbpipe.config.settings import ReferenceSettings
from nbpipe.reference.comparison.model import Tolerance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from pathspec import GitIgnoreSpec

    from nbpipe.config.settings import ReferenceBound, ReferenceExpected, ReferenceFiles


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one reference."""

    settings: ReferenceSettings

    def ignores(self, path: str) -> bool:
        """Tell whether a file is not compared."""
        return path_matches(self.settings.ignore, path)

    def keys(self, path: str) -> tuple[str, ...]:
        """Return the columns that name a row in this file."""
        found = [each.keys for each in self._files(path) if each.keys is not None]
        return found[-1] if found else self.settings.keys

    def tolerance(self, path: str, part: str, column: str) -> Tolerance:
        """Return the tolerance of a column: the column's rule, the file's, the general one."""
        rules = [
            *self._files(path),
            *(
                each
                for each in self.settings.columns
                if path_matches(each.paths, path)
                and any_matches(each.names, column, _whole(part, column))
            ),
        ]
        found = {name: getattr(self.settings, name) for name in ("absolute", "relative", "allowed")}
        for rule in rules:
            for name, before in found.items():
                value = getattr(rule, name)
                found[name] = before if value is None else value
        return Tolerance(**found)

    def ignores_column(self, path: str, part: str, column: str) -> bool:
        """Tell whether a column is not compared."""
        patterns = list(self.settings.ignore_columns)
        for each in self._files(path):
            patterns += each.ignore_columns
        return any_matches(patterns, column, _whole(part, column))

    def ignores_keyword(self, path: str, keyword: str) -> bool:
        """Tell whether a keyword or attribute is not compared."""
        patterns = list(self.settings.ignore_keywords)
        for each in self._files(path):
            patterns += each.ignore_keywords
        return any_matches(patterns, keyword)

    def expected(self, today: date) -> tuple[ReferenceExpected, ...]:
        """Return the differences that are expected today."""
        return tuple(each for each in self.settings.expected if today <= each.until)

    def expired(self, today: date) -> tuple[ReferenceExpected, ...]:
        """Return the differences that were expected until an earlier day."""
        return tuple(each for each in self.settings.expected if today > each.until)

    def bound(self, measure: str, system: str, cell: int | None = None) -> ReferenceBound | None:
        """Return the last bound on a measure that holds on this system."""
        found = [
            each
            for each in self.settings.performance
            if each.measure == measure
            and fnmatchcase(system, each.system)
            and (cell is None or not each.cells or cell in each.cells)
        ]
        return found[-1] if found else None

    def _files(self, path: str) -> list[ReferenceFiles]:
        return [each for each in self.settings.files if path_matches(each.paths, path)]


def default_rules() -> Rules:
    """Return the rules of a reference that nothing is configured for: everything is exact."""
    return Rules(ReferenceSettings())


def path_matches(patterns: Sequence[str], path: str) -> bool:
    """Tell whether a path is among what .gitignore patterns choose."""
    return bool(patterns) and _spec(tuple(patterns)).match_file(path)


def any_matches(patterns: Iterable[str], name: str, whole: str = "") -> bool:
    """Tell whether a pattern matches a name; one with a slash is of the `whole` name."""
    return any(
        fnmatchcase(whole if whole and "/" in pattern else name, pattern) for pattern in patterns
    )


@lru_cache(maxsize=256)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    from nbpipe.system.wildmatch import spec  # noqa: PLC0415

    return spec(patterns)


def _whole(part: str, column: str) -> str:
    """Return a column's name with its table's or group's: `ZCAT/Z`, `/spectra/flux`."""
    return f"{part.rstrip('/')}/{column}"
