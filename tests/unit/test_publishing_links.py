"""Where a symbolic link of a tree leads."""

from __future__ import annotations

import pytest

from nbpipe.publishing.links import Leads, leads

OTHERS = {"a", "a/b.txt", "c.txt", "a/deep", "a/deep/d.txt"}


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("link", "c.txt"),
        ("link", "./a/../c.txt"),
        ("a/link", "../c.txt"),
        ("a/link", ".."),
        ("link", "."),
        ("a/deep/link", "../../a//b.txt"),
    ],
)
def test_a_link_to_something_of_the_tree_stays_inside(path: str, target: str) -> None:
    assert leads(path, {path: target}, OTHERS) is Leads.INSIDE


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("link", "/etc/passwd"),
        ("link", ".."),
        ("link", "../other/c.txt"),
        ("a/link", "../../c.txt"),
        ("link", "a/../../c.txt"),
        ("link", "missing/../../c.txt"),
        ("link", ""),
        ("link", "c.txt\x00"),
        ("link", "a" * 4096),
    ],
)
def test_a_link_out_of_the_tree_leads_outside(path: str, target: str) -> None:
    assert leads(path, {path: target}, OTHERS) is Leads.OUTSIDE


def test_a_link_that_goes_out_through_a_second_one_leads_outside() -> None:
    links = {"a/up": "..", "link": "a/up/../x", "far": "near/passwd", "near": "/etc"}

    assert leads("a/up", links, OTHERS) is Leads.INSIDE
    assert leads("link", links, OTHERS) is Leads.OUTSIDE
    assert leads("far", links, OTHERS) is Leads.OUTSIDE


def test_a_circle_of_links_is_recognised() -> None:
    assert leads("x", {"x": "y", "y": "x"}, OTHERS) is Leads.ROUND
    assert leads("x", {"x": "x/x"}, OTHERS) is Leads.ROUND


def test_a_link_to_nothing_leads_nowhere() -> None:
    assert leads("link", {"link": "a/missing.txt"}, OTHERS) is Leads.NOWHERE


def test_forty_links_in_a_row_are_followed_and_forty_two_are_not() -> None:
    chain = {f"l{number}": f"l{number + 1}" for number in range(41)} | {"l41": "c.txt"}

    assert leads("l1", chain, OTHERS) is Leads.INSIDE
    assert leads("l0", chain, OTHERS) is Leads.ROUND
