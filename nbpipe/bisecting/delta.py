"""Which of many changes turn good into bad: Zeller's delta debugging, with skips.

Pure: a judge comes in as a function. A judged set is the set of changes that are made; everything
else is as it was. Source: A. Zeller, R. Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", IEEE TSE 28 (2002): `dd`, whose "unresolved" is git's skip.

Written by hand: `git bisect` (see `commits`) searches the commits of a history, not subsets of
changes. picire has `ddmin`, which shrinks what fails and knows only pass and fail: there is no
third answer for an environment that cannot be built.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from nbpipe.bisecting.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    Judge = Callable[[frozenset[str]], Verdict]


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The answer."""

    groups: tuple[tuple[str, ...], ...]
    """All of them are needed to break it. One of several changes: nobody can decide between
    them."""
    company: tuple[str, ...] = ()
    """What could not be left out, because nothing can be judged without it."""


def narrow(
    changes: Sequence[str],
    judge: Judge,
    *,
    likely: Collection[str] = (),
    clusters: Mapping[str, str] = MappingProxyType({}),
) -> Narrowed:
    """Return a smallest set of changes that break it: leaving out any one of them, it is good.

    A single guilty one of n takes log2(n) + 1 judgements.

    Args:
        changes: With none of them it is good, with all of them bad.
        judge: Tells what it is with some; asked once for each set.
        likely: Those that are tried before all others.
        clusters: By change, the name of what it belongs to: cut apart last.
    """
    asked = _Asked(judge, clusters)
    found: list[tuple[str, ...]] = []
    first = [change for change in changes if change in likely]
    rest = [*first, *(change for change in changes if change not in likely)]
    verdict = Verdict.GOOD
    cut = len(first)
    while True:
        guilty = frozenset(change for group in found for change in group)
        kept, group = _turning(asked, guilty, rest, cut)
        if verdict is Verdict.SKIP and not kept:
            return Narrowed(tuple(found), tuple(group))
        found.append(tuple(group))
        rest, cut = kept, 0
        verdict = asked(guilty | set(group)) if rest else Verdict.BAD
        if verdict is Verdict.BAD:
            return Narrowed(tuple(found))


def _turning(
    asked: _Asked, base: frozenset[str], block: list[str], cut: int
) -> tuple[list[str], list[str]]:
    """Return what of a block keeps it good, and what turns it bad on top of that.

    Args:
        asked: The judge.
        base: Made all the time.
        block: Together with the base it is bad.
        cut: Where it is cut first; 0: in the middle.
    """
    kept: list[str] = []
    parts = 2
    while len(block) > 1:
        for piece in asked.pieces(block, parts, cut):
            verdict = asked(base | set(kept) | set(piece))
            if verdict is Verdict.SKIP:
                continue
            if verdict is Verdict.GOOD:
                kept += piece
                block = [change for change in block if change not in piece]
            else:
                block = piece
            parts = 2
            break
        else:
            if parts >= len(block) and not 0 < cut < len(block):
                break
            parts = parts if 0 < cut < len(block) else min(2 * parts, len(block))
        cut = 0
    return kept, block


class _Asked:
    """A judge that remembers, and what is put before it."""

    def __init__(self, judge: Judge, clusters: Mapping[str, str]) -> None:
        self._judge = judge
        self._clusters = clusters
        self._said: dict[frozenset[str], Verdict] = {}

    def __call__(self, made: frozenset[str]) -> Verdict:
        if made not in self._said:
            self._said[made] = self._judge(made)
        return self._said[made]

    def pieces(self, block: list[str], parts: int, cut: int) -> Iterator[list[str]]:
        """Yield the parts of a block, and the block without each of them."""
        if 0 < cut < len(block):
            yield block[:cut]
            yield block[cut:]
            return
        pieces = list(itertools.pairwise(self._bounds(block, parts)))
        yield from (block[start:end] for start, end in pieces)
        if len(pieces) > 2:  # noqa: PLR2004  (with two, each is the rest of the other)
            yield from (block[:start] + block[end:] for start, end in pieces)

    def _bounds(self, block: list[str], parts: int) -> list[int]:
        """Return where a block is cut: evenly; between clusters where there are some."""
        even = [len(block) * number // parts for number in range(parts + 1)]
        of = [self._clusters.get(change, change) for change in block]
        between = [at for at in range(1, len(block)) if of[at - 1] != of[at]]
        if parts >= len(block) or not between:
            return even
        near = {min(between, key=lambda at: abs(at - wanted)) for wanted in even[1:-1]}
        return [0, *sorted(near), len(block)]
