"""What a verified delivery means."""

from __future__ import annotations

from typing import Any

import pytest

from nbpipe.publishing.origin.forge import Known
from webhook.receiving.decision import Followed, decide

COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
ZEROS = "0" * 40


def push(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    payload: dict[str, Any] = {
        "ref": "refs/heads/main",
        "before": ZEROS,
        "after": COMMIT,
        "deleted": False,
        "forced": False,
        "repository": {"full_name": "ORG/REPO"},
        "pusher": {"name": "ada"},
        "head_commit": {"message": "Fix the plot\n\nIt was empty."},
    }
    payload.update(changes)
    return payload


def answer(event: str, payload: dict[str, Any], branch: str = "main") -> tuple[str, str, str]:
    followed = Followed(name="n", repository="ORG/REPO", branch=branch)
    decision = decide(event, payload, followed)
    return str(decision.status), decision.reason, decision.wake


def test_a_push_to_the_followed_branch_is_accepted_and_wakes_the_worker() -> None:
    assert answer("push", push()) == ("accepted", "", "push")


def test_a_force_push_is_accepted_and_marked() -> None:
    assert answer("push", push(forced=True)) == ("accepted", "", "forced push")


def test_a_branch_with_slashes_is_followed_exactly() -> None:
    payload = push(ref="refs/heads/release/2026/a")
    assert answer("push", payload, "release/2026/a")[0] == "accepted"
    assert answer("push", payload, "a")[0] == "ignored"


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/develop",
        "refs/heads/main2",
        "refs/heads/Main",
        "refs/heads/a/main",
        "refs/tags/main",
        "refs/tags/heads/main",
        "main",
        "refs/heads/main\n",
        "refs/heads/",
        "",
    ],
)
def test_another_ref_is_ignored_with_the_reason(ref: str) -> None:
    assert answer("push", push(ref=ref)) == (
        "ignored",
        f"ref {ref}: only refs/heads/main is followed",
        "",
    )


def test_another_repository_is_ignored_with_the_reason() -> None:
    assert answer("push", push(repository={"full_name": "EVIL/REPO"})) == (
        "ignored",
        "repository EVIL/REPO: only ORG/REPO is followed",
        "",
    )


def test_github_does_not_tell_capitals_of_a_repository_apart() -> None:
    assert answer("push", push(repository={"full_name": "org/Repo"}))[0] == "accepted"


@pytest.mark.parametrize("change", [{"deleted": True, "after": ZEROS}, {"after": ZEROS}])
def test_a_deleted_branch_is_ignored_and_the_worker_raises_the_alarm(
    change: dict[str, Any],
) -> None:
    assert answer("push", push(head_commit=None, **change)) == (
        "ignored",
        "branch main was deleted: the last release stays",
        "branch deleted",
    )


def test_another_event_is_ignored_with_the_reason() -> None:
    assert answer("pull_request", {}) == (
        "ignored",
        "event pull_request: only push is followed",
        "",
    )


def test_an_organisations_ping_names_no_repository_and_is_answered() -> None:
    assert answer("ping", {"zen": "Speak like a human.", "hook_id": 1}) == ("pong", "", "")


def test_who_pushed_what_is_kept_for_the_page() -> None:
    followed = Followed(name="n", repository="ORG/REPO", branch="main")
    decision = decide("push", push(forced=True), followed)
    assert (decision.who, decision.ref, decision.commit, decision.title, decision.forced) == (
        "ada",
        "refs/heads/main",
        COMMIT,
        "Fix the plot",
        True,
    )


FOLLOWED = Followed(name="n", repository="ORG/REPO", branch="main")
KNOWN = Known(configured="ORG/REPO", id="7", now="ORG/REPO")


def test_an_accepted_push_says_which_repository_it_is() -> None:
    decision = decide("push", push(repository={"full_name": "org/Repo", "id": 7}), FOLLOWED)
    assert decision.known == Known(configured="ORG/REPO", id="7", now="org/Repo")
    assert not decision.known.renamed


def test_a_repository_that_was_renamed_is_accepted_by_its_id_and_that_is_said() -> None:
    payload = push(repository={"full_name": "OTHER/NEW", "id": 7})
    decision = decide("push", payload, FOLLOWED, KNOWN)
    assert (decision.status, decision.reason) == ("accepted", "ORG/REPO is called OTHER/NEW now")
    assert decision.known is not None
    assert decision.known.renamed


@pytest.mark.parametrize("repository", [{"id": 8}, {"id": "seven"}, {"id": None}, {}])
def test_another_repository_is_no_renamed_one(repository: dict[str, Any]) -> None:
    payload = push(repository={"full_name": "OTHER/NEW"} | repository)
    decision = decide("push", payload, FOLLOWED, KNOWN)
    assert (decision.status, decision.known) == ("ignored", None)


def test_a_push_that_is_ignored_teaches_nothing() -> None:
    payload = push(ref="refs/heads/other", repository={"full_name": "ORG/REPO", "id": 9})
    assert decide("push", payload, FOLLOWED).known is None


@pytest.mark.parametrize(
    ("repository", "known"),
    [
        ({"full_name": "org/repo", "id": 7}, Known(configured="ORG/REPO", id="7", now="org/repo")),
        ({"full_name": "OTHER/REPO", "id": 7}, None),
        ({"full_name": "ORG/REPO"}, None),
        ({"id": 7}, None),
        (None, None),
        ("ORG/REPO", None),
    ],
)
def test_a_ping_tells_the_id_of_the_repository_that_is_followed(
    repository: object, known: Known | None
) -> None:
    decision = decide("ping", {"zen": "Design for failure.", "repository": repository}, FOLLOWED)
    assert (decision.status, decision.known) == ("pong", known)
