"""Results put together by what they share: the same cause, the same reason, the same note.

Grouping only; how a group looks is each report's own business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.model import Outcome
from nbpipe.system.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbpipe.model import Failure, Result

NO_REASON = "no reason was recorded"
_PLACEHOLDER = re.compile("<(?:n|time|address|id)>")
"""What a signature has in place of what differs from run to run."""


@dataclass(frozen=True, slots=True)
class Group:
    """Notebooks that failed for one cause."""

    title: str
    """The cause in one line."""
    category: str
    results: tuple[Result, ...]


def by_cause(results: Iterable[Result]) -> list[Group]:
    """Return the failed notebooks grouped by their first failure's signature, most first."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        if result.outcome is Outcome.FAILED:
            groups.setdefault(_key(result.failure), []).append(result)
    return [
        Group(_title(members), _category(members[0].failure), tuple(members))
        for members in sorted(groups.values(), key=len, reverse=True)
    ]


def by_reason(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the skipped notebooks by their reason, most first."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.outcome is Outcome.SKIPPED:
            groups.setdefault(first_line(result.reason or "") or NO_REASON, []).append(result)
    return dict(sorted(groups.items(), key=lambda item: len(item[1]), reverse=True))


def by_note(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the notebooks that something is noted about, by the note."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        for note in dict.fromkeys(result.notes):
            groups.setdefault(first_line(note), []).append(result)
    return groups


def cause(failure: Failure | None) -> str:
    """Return a failure's cause in one line."""
    if failure is None:
        return NO_REASON
    return first_line(failure.signature) or error(failure)


def error(failure: Failure) -> str:
    """Return the error itself in one line, as its language would say it."""
    parts = (first_line(failure.name), first_line(failure.message))
    return ": ".join(part for part in parts if part) or failure.category.value


def _title(members: list[Result]) -> str:
    """Return the cause; with its numbers, where they are the same for all."""
    failures = [result.failure for result in members if result.failure]
    title = cause(members[0].failure)
    if not failures or not _PLACEHOLDER.search(title):
        return title
    errors = {error(failure) for failure in failures}
    return errors.pop() if len(errors) == 1 else title


def with_category(text: str, category: str) -> str:
    """Return `text  [category]`, where the text does not begin with it anyway."""
    return f"{text}  [{category}]" if category and not text.startswith(category) else text


def _key(failure: Failure | None) -> tuple[str, ...]:
    if failure is None:
        return ()
    if failure.signature:
        return (failure.signature,)
    return (failure.category.value, error(failure))


def _category(failure: Failure | None) -> str:
    return failure.category.value if failure else ""
