"""Which rules apply to which notebook: ids, beginnings of ids, patterns of paths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from nbpipe.collecting.paths import GitLines
from nbpipe.errors import UsageError
from nbpipe.lint.findings import Default

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.findings import Rule


@lru_cache(maxsize=256)
def _lines(patterns: tuple[str, ...]) -> GitLines:
    return GitLines(patterns, where="check")


def matching(patterns: tuple[str, ...], path: str) -> bool:
    """Return whether a path relative to the collection's root matches a line of .gitignore."""
    return _lines(patterns).take(path)


@dataclass(frozen=True)
class Selected:
    """The rules that apply."""

    rules: tuple[Rule, ...]
    per_file: Mapping[str, tuple[str, ...]]

    def at(self, path: str) -> tuple[Rule, ...]:
        """Return the rules that apply to a notebook."""
        ignored = [
            prefix
            for pattern, prefixes in self.per_file.items()
            if matching((pattern,), path)
            for prefix in prefixes
        ]
        return tuple(rule for rule in self.rules if not covers(ignored, rule.id))


def adjusted(
    settings: CheckSettings,
    *,
    select: Iterable[str],
    extend_select: Iterable[str],
    ignore: Iterable[str],
    baseline: Path | None,
) -> CheckSettings:
    """Return `[check]` with what the command line adds to it, or replaces; `RULE,RULE` are two."""
    return msgspec.structs.replace(
        settings,
        select=_split(select) or settings.select,
        extend_select=(*settings.extend_select, *_split(extend_select)),
        ignore=(*settings.ignore, *_split(ignore)),
        baseline=str(baseline.absolute()) if baseline else settings.baseline,
    )


def _split(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(word.strip() for each in given for word in each.split(",") if word.strip())


def covers(prefixes: Iterable[str], rule: str) -> bool:
    """Return whether one of the ids, or beginnings of ids, is a rule's."""
    return any(prefix == "ALL" or rule.startswith(prefix) for prefix in prefixes)


def selected(rules: Mapping[str, Rule], settings: CheckSettings) -> Selected:
    """Return which rules apply.

    A longer beginning decides against a shorter one, as with ruff: `ignore = ["NBP4"]` with
    `select = ["NBP401"]` applies NBP401.

    Raises:
        UsageError: A prefix names no rule.
    """
    for given in (settings.select, settings.extend_select, settings.ignore, settings.fixable):
        check(rules, given)
    for given in settings.per_file_ignores.values():
        check(rules, given)
    chosen = [
        rule
        for rule in rules.values()
        if (
            _longest(settings.select, rule.id) or _longest(settings.extend_select, rule.id)
            if settings.select
            else _is_default(rule, settings)
        )
    ]
    wanted = (*settings.select, *settings.extend_select)
    kept = [
        rule
        for rule in chosen
        if _longest(settings.ignore, rule.id) <= _longest(wanted, rule.id)
        and not (_longest(settings.ignore, rule.id) and not _longest(wanted, rule.id))
    ]
    return Selected(tuple(kept), settings.per_file_ignores)


def check(rules: Mapping[str, Rule], prefixes: Iterable[str]) -> None:
    """Raise for an id that names no rule.

    Raises:
        UsageError: One does not.
    """
    for prefix in prefixes:
        if not prefix.startswith("NBP") and prefix != "ALL":
            continue  # ruff's
        if not any(covers([prefix], rule) for rule in rules):
            raise UsageError(
                f"there is no rule {prefix}", hint="`nbpipe check --explain ALL` lists all rules."
            )


def _longest(prefixes: Iterable[str], rule: str) -> int:
    """Return the length of the longest beginning that covers a rule; 0: none does."""
    lengths = [
        1 if prefix == "ALL" else len(prefix) for prefix in prefixes if covers([prefix], rule)
    ]
    return max(lengths, default=0)


def _is_default(rule: Rule, settings: CheckSettings) -> bool:
    if _longest(settings.extend_select, rule.id):
        return True
    if rule.default is Default.CONFIGURED:
        return _is_configured(rule, settings)
    return rule.default is Default.ON


def _is_configured(rule: Rule, settings: CheckSettings) -> bool:
    known = {
        "NBP102": settings.kernels,
        "NBP107": settings.required_metadata,
        "NBP201": settings.outputs != "any",
        "NBP505": settings.template,
        "NBP506": settings.required_sections,
    }
    return bool(known.get(rule.id))
