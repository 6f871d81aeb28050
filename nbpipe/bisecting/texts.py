"""The steps and the answers of a bisection, for people: values in, lines out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbpipe.bisecting.commits import git
from nbpipe.system.text import first_line, plain, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbpipe.bisecting.commits import FirstBad, Judged
    from nbpipe.bisecting.locks import PackageChange
    from nbpipe.bisecting.packages import Guilty, Step

_NAMED = 3
"""Number of packages of a step that are named."""
_FILES = 20
"""Changed files of a commit that are named."""


def judged(one: Judged) -> str:
    """Return how the notebook does at a commit."""
    return f"  {one.commit[:12]}  {one.verdict:4}{_cause(one.why, one.run)}"


def step(one: Step) -> Iterator[str]:
    """Yield how the notebook does with some of the packages changed, and what pip says of them."""
    names = [change.name for change in one.changes]
    more = len(names) - _NAMED
    named = f": {', '.join(names[:_NAMED])}{f' and {more} more' if more > 0 else ''}"
    made = f"{len(names)} of {one.of} changed{named if 0 < len(names) < one.of else ''}"
    yield f"  {one.verdict:4}  {made}{_cause(one.why, one.run)}"
    for conflict in one.conflicts[:_NAMED]:
        yield f"        pip check: {first_line(conflict, 100)}"
    if len(one.conflicts) > _NAMED:
        yield f"        pip check: {len(one.conflicts) - _NAMED} more"


def guilty(found: Guilty) -> Iterator[str]:
    """Yield the answer: one package, several together, or those that nobody can decide between."""
    single = len(found.groups) == 1
    if single and len(found.groups[0]) == 1:
        yield f"the first bad package: {plain(str(found.groups[0][0]))}"
    elif single:
        yield "one or more of these broke it; what lies between could not be judged:"
        yield from _list(found.groups[0])
    else:
        yield "these packages broke it together, and none of them without the others:"
        for group in found.groups:
            if len(group) > 1:
                yield "  one or more of these, between which could not be judged:"
            yield from _list(group)
    if found.company:
        yield "with at least one of these, without which it could not be judged:"
        yield from _list(found.company)
    yield f"\n  {first_line(found.why, 500)}"


def added(found: Guilty) -> Iterator[str]:
    """Yield to which lock files a kernel was added."""
    for file in found.gets_kernel:
        yield f"  ipykernel was added, which {plain_name(file)} does not have"


def commits(root: Path, found: FirstBad) -> Iterator[str]:
    """Yield the first bad commit with its files, or those between which nobody can decide."""
    single = len(found.commits) == 1
    yield (
        "the first bad commit:"
        if single
        else "one of these is the first bad commit; those between could not be judged:"
    )
    for commit in found.commits:
        form = "--format=%an <%ae>%x00%ad%x00%s"
        told = git(root, "show", "--no-patch", form, "--date=iso", commit)
        # A subject or a name may hold a lone CR, U+2028 or others that end a line elsewhere.
        lines = [" ".join(plain(each).split()) for each in told.split("\0")]
        author, date, subject = [*lines, "", ""][:3]
        yield f"\n  {commit}\n  {author}, {date}\n  {subject}"
        if single:
            names = git(root, "show", "--format=", "--name-status", "--no-renames", commit)
            for line in names.strip().split("\n")[:_FILES]:
                yield f"    {plain_name(line.replace(chr(9), ' '))}"


def _cause(why: str, run: str | None) -> str:
    source = f"  (run {run})" if run else ""
    return f"{f'  {first_line(why, 100)}' if why else ''}{source}"


def _list(changes: Sequence[PackageChange]) -> list[str]:
    return [f"  {plain(str(change))}" for change in changes]
