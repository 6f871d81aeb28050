"""Where a symbolic link of a tree leads."""

from __future__ import annotations

import pytest

from nbpipe.publishing.origin.links import STEPS, Following, Leads, leads

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


def test_a_place_that_is_not_there_is_left_again_by_as_many_steps() -> None:
    links = {"gone": "missing/deeper", "back": "gone/../../c.txt", "out": "gone/../../../c.txt"}

    assert leads("back", links, OTHERS) is Leads.NOWHERE
    assert leads("out", links, OTHERS) is Leads.OUTSIDE


def test_links_that_share_a_target_and_lead_round_are_followed_once() -> None:
    target = "x/../" * 800 + "x"
    links = {f"l{number}": target for number in range(1_000)} | {"x": "x1", "x1": "x"}
    following = Following(links, OTHERS)

    assert {following.leads(link) for link in links} == {Leads.ROUND}
    assert following.steps < 10_000


def test_a_long_chain_of_long_targets_costs_no_more_than_its_length() -> None:
    links = {f"l{number}": "a/../" * 800 + f"l{number + 1}" for number in range(500)}
    following = Following(links, OTHERS)

    assert {following.leads(link) for link in links} == {Leads.ROUND, Leads.NOWHERE}
    assert following.steps < 3 * 500 * 1_601


def test_a_tree_whose_links_go_on_for_ever_is_given_up() -> None:
    folders = {f"d{number}" for number in range(3_000)}
    following = Following({f"{folder}/l": "x/../" * 800 + "l" for folder in folders}, folders)

    found = {following.leads(f"{folder}/l") for folder in folders}

    assert found == {Leads.ROUND, Leads.TOO_FAR}
    assert following.steps <= STEPS + 3_000 * 1_601


def test_forty_links_in_a_row_are_followed_and_forty_two_are_not() -> None:
    chain = {f"l{number}": f"l{number + 1}" for number in range(41)} | {"l41": "c.txt"}

    assert leads("l1", chain, OTHERS) is Leads.INSIDE
    assert leads("l0", chain, OTHERS) is Leads.ROUND
