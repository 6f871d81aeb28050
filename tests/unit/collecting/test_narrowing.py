"""`-k` and `--shard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.collecting.plans import Keyword
from nbpipe.errors import NothingCollected, UsageError

if TYPE_CHECKING:
    from tests.unit.collecting.conftest import Tree


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("fits", True),
        ("FITS", True),
        ("nothing", False),
        ("not nothing", True),
        ("fits and slow", True),
        ("fits and not slow", False),
        ("nothing or fits", True),
        ("nothing or fits and nothing", False),
        ("(nothing or fits) and slow", True),
        ("not (nothing or slow)", False),
        ("not not fits", True),
        ("a/fits-table_1.ipynb", True),
        ("python3", True),
        ("größe", True),
        ("GRÖSSE", True),
        ("1", True),
        ("true", False),
        ("Fits AND Slow", True),
    ],
)
def test_an_expression_is_read_as_pytest_does(expression: str, *, holds: bool) -> None:
    texts = ["a/Fits-Table_1.ipynb", "python3", "slow", "Größe"]
    assert Keyword(expression).holds(texts) is holds


@pytest.mark.parametrize(
    ("expression", "reason", "character"),
    [
        ("a b", "`and` or `or` is missing before 'b'", 3),
        ("a not b", "`and` or `or` is missing before 'not'", 3),
        ("a (b)", "`and` or `or` is missing before '('", 3),
        ("a and", "it ends where a word is missing", 6),
        ("a or b or", "it ends where a word is missing", 10),
        ("not", "it ends where a word is missing", 4),
        ("or a", "a word is missing before 'or'", 1),
        ("a or or b", "a word is missing before 'or'", 6),
        ("()", "a word is missing before ')'", 2),
        ("a)", "this parenthesis was never opened", 2),
        ("b and (a", "this parenthesis is never closed", 7),
    ],
)
def test_a_broken_expression_is_refused_with_its_place(
    expression: str, reason: str, character: int
) -> None:
    with pytest.raises(UsageError) as refused:
        Keyword(expression)
    assert str(refused.value) == (
        f"-k {expression!r}: {reason}, at character {character}\n"
        f"  {expression}\n"
        f"  {' ' * (character - 1)}^\n"
        "  Join words with `and`, `or`, `not` and parentheses: -k 'fits and not (slow or R)'."
    )


def test_the_deselected_are_excluded_with_the_expression(tree: Tree) -> None:
    tree.notebook("fits.ipynb", "other.ipynb")
    tree.notebook("x.ipynb", tags=["FITS", 3])
    tree.notebook("r.ipynb", kernelspec={"name": "ir"})
    assert tree.paths(keyword="fits or ir") == ["fits.ipynb", "r.ipynb", "x.ipynb"]
    assert tree.excluded(keyword="fits or ir") == {"other.ipynb": "deselected by -k 'fits or ir'"}


def test_an_empty_expression_deselects_nothing(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    assert tree.paths(keyword=" ") == ["a.ipynb"]


def test_an_expression_that_leaves_nothing_is_nothing_collected(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    with pytest.raises(NothingCollected, match="1 deselected by -k 'other'"):
        tree.plan(keyword="other")


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7])
def test_shards_are_disjoint_and_complete(tree: Tree, parts: int) -> None:
    tree.notebook(*(f"{number}.ipynb" for number in range(5)))
    everything = [path for part in range(parts) for path in tree.paths(shard=(part + 1, parts))]
    assert sorted(everything) == ["0.ipynb", "1.ipynb", "2.ipynb", "3.ipynb", "4.ipynb"]


def test_a_shard_takes_every_nth_and_tells_where_the_others_are(tree: Tree) -> None:
    tree.notebook("1.ipynb", "2.ipynb", "10.ipynb", "11.ipynb")
    assert tree.paths(shard=(2, 3)) == ["2.ipynb"]
    assert tree.excluded(shard=(2, 3)) == {
        "1.ipynb": "in another shard (1/3)",
        "10.ipynb": "in another shard (3/3)",
        "11.ipynb": "in another shard (1/3)",
    }


def test_a_shard_may_be_empty(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    plan = tree.plan(shard=(2, 2))
    assert plan.tasks == ()
    assert [out.reason for out in plan.excluded] == ["in another shard (1/2)"]


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0)])
def test_a_shard_that_cannot_be_is_refused(tree: Tree, shard: tuple[int, int]) -> None:
    tree.notebook("a.ipynb")
    with pytest.raises(UsageError, match="no such part"):
        tree.plan(shard=shard)
