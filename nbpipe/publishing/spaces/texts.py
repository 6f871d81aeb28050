"""Spaces and their checks: lines for people, documents for programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from nbpipe.system.text import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbpipe.publishing.spaces.check import Checked, Sample
    from nbpipe.publishing.spaces.proof import Attempt
    from nbpipe.publishing.spaces.space import Space

QUIET = frozenset({"present"})
"""States that are counted but not listed one by one by `space sync`."""
NO_HOME = "no home matches the patterns in spaces.homes"
NO_SPACE = "no home to check; `nbpipe space list` says which there are and why any is skipped"


def lines(found: Sequence[Space], *, every: bool, named: bool) -> Iterator[str]:
    """Yield homes line by line, then how many there are of each state.

    Args:
        found: The spaces.
        every: Those that are right as well.
        named: With the mirror's name in the home, as there are several.
    """
    for space in found:
        if every or space.state not in QUIET:
            yield _line(space, named=named)
    counts = Counter(str(space.state) for space in found)
    yield ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or NO_HOME


def document(found: Sequence[Space]) -> dict[str, Any]:
    """Return the same for programs, with every home."""
    return {"format": 1, "homes": [_space_table(space) for space in found]}


def _line(space: Space, *, named: bool) -> str:
    detail = f"  ({space.detail})" if space.detail else ""
    place = f"{space.home}/{space.name}" if named else space.home
    return f"{space.state:8}  {plain_name(place)}{plain_name(detail)}"


def _space_table(space: Space) -> dict[str, str]:
    return {
        "home": space.home,
        "user": space.user,
        "name": space.name,
        "state": str(space.state),
        "detail": space.detail,
    }


def check_lines(sample: Sample, results: list[Checked]) -> list[str]:
    """Return every attempt of every user: the proof is in them."""
    lines = [f"release {sample.commit}, {len(sample.files)} files read by every user"]
    if not sample.known:
        lines.append("  no manifest of this release: its files are only compared with themselves")
    lines += [f"  WRONG {plain_name(problem)}" for problem in sample.problems]
    for result in results:
        space = result.space
        lines.append(f"{'ok' if result.right else 'WRONG'}  {plain_name(space.home)}  {space.user}")
        if result.proof is None:
            lines.append(f"    the link: {space.state} {plain_name(space.detail)}".rstrip())
            continue
        lines += [f"    WRONG {plain_name(problem)}" for problem in result.proof.problems]
        lines += [f"    {_attempt(each)}" for each in result.proof.attempts]
    wrong = sum(not result.right for result in results)
    lines.append(f"{len(results)} spaces checked, {wrong} wrong" if results else NO_SPACE)
    return lines


def check_document(checked: Sequence[tuple[str, Sample, list[Checked]]]) -> dict[str, Any]:
    """Return the same of every collection for programs."""
    collections = [
        {
            "name": name,
            "release": sample.commit,
            "manifest": sample.known,
            "problems": list(sample.problems),
        }
        for name, sample, _ in checked
    ]
    first = {key: value for key, value in collections[0].items() if key != "name"}
    return {
        "format": 1,
        **(first if len(collections) == 1 else {}),
        "collections": collections,
        "spaces": [
            {
                **_space_table(result.space),
                "right": result.right,
                "problems": list(result.proof.problems) if result.proof else [],
                "attempts": [
                    {"what": a.what, "path": a.path, "error": a.error, "refused": a.refused}
                    for a in (result.proof.attempts if result.proof else ())
                ],
            }
            for _, _, results in checked
            for result in results
        ],
    }


def _attempt(attempt: Attempt) -> str:
    if attempt.refused:
        outcome = f"refused ({attempt.error})"
    else:
        how = f"ended with {attempt.error}" if attempt.error else "IT SUCCEEDED"
        outcome = f"WRONG: {how}"
    return f"{attempt.what}: {plain_name(attempt.path)}: {outcome}"
