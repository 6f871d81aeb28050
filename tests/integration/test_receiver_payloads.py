"""Real payloads from npm, signed by an independent implementation, answered as the contract says.

Needs node and `npm ci` in tests/integration/node.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from doors import admitted, door

from nbpipe.config.settings import CollectionSettings
from nbpipe.publishing.reconcile import Reconciler
from webhook.app import create_app
from webhook.receiving.decision import Followed
from webhook.receiving.deliveries import Deliveries
from webhook.receiving.secret import Secrets
from webhook.served import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient

NODE = Path(__file__).parent / "node"
PACKAGES = NODE / "node_modules" / "@octokit"
SECRET = "It's a Secret to Everybody"  # noqa: S105  (of these tests)
REPOSITORY = "Codertocat/Hello-World"
ZEROS = "0" * 40
SIGN = """
import { sign } from "@octokit/webhooks-methods";
let text = "";
for await (const chunk of process.stdin) text += chunk;
const { secret, bodies } = JSON.parse(text);
const signatures = await Promise.all(bodies.map((body) => sign(secret, body)));
process.stdout.write(JSON.stringify(signatures));
"""

if missing := [
    name
    for name, there in (("node", shutil.which("node")), (str(PACKAGES), PACKAGES.is_dir()))
    if not there
]:
    reason = f"{', '.join(missing)} is missing"
    if os.environ.get("NBPIPE_REQUIRE") == "all":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)

SOURCES = sorted(file.parent.name for file in PACKAGES.glob("webhooks-examples/*/index.json"))


def sign(*bodies: str) -> list[str]:
    """Sign with @octokit/webhooks-methods."""
    done = subprocess.run(
        ["node", "--input-type=module", "-e", SIGN],
        cwd=NODE,
        input=json.dumps({"secret": SECRET, "bodies": bodies}),
        capture_output=True,
        text=True,
        check=True,
    )
    signatures: list[str] = json.loads(done.stdout)
    return signatures


def examples(source: str, event: str) -> list[dict[str, Any]]:
    file = PACKAGES / "webhooks-examples" / source / "index.json"
    found = [one["examples"] for one in json.loads(file.read_bytes()) if one["name"] == event]
    return list(itertools.chain.from_iterable(found))


@pytest.fixture
def deliver(tmp_path: Path) -> Iterator[Callable[..., list[tuple[int, Any]]]]:
    """Deliver payloads of one event, each under an id of its own, and return the answers."""
    settings = CollectionSettings(name="n", origin="https://example.org/x.git", root=str(tmp_path))
    counter = itertools.count()
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:

        def client(branch: str) -> FlaskClient:
            served = Served(
                followed=Followed(name="n", repository=REPOSITORY, branch=branch),
                secrets=Secrets(("env:HOOK",), {"HOOK": SECRET}),
                worker=Reconciler(settings),
            )
            return admitted(create_app([served], deliveries, door=door()))

        def deliver(
            event: str, payloads: list[dict[str, Any]], branch: str = "master"
        ) -> list[tuple[int, Any]]:
            bodies = [json.dumps(payload, ensure_ascii=False) for payload in payloads]
            answers = [
                client(branch).post(
                    "/webhook/n",
                    data=body.encode(),
                    headers={
                        "Content-Type": "application/json",
                        "X-GitHub-Event": event,
                        "X-GitHub-Delivery": f"delivery-{next(counter)}",
                        "X-Hub-Signature-256": signature,
                    },
                )
                for body, signature in zip(bodies, sign(*bodies), strict=True)
            ]
            return [(answer.status_code, answer.get_json()) for answer in answers]

        yield deliver


def test_github_com_and_every_enterprise_version_are_there() -> None:
    assert SOURCES == ["api.github.com", "ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"]
    counts = {event: len(examples("api.github.com", event)) for event in ("push", "ping")}
    assert counts == {"push": 7, "ping": 4}


@pytest.mark.parametrize("source", SOURCES)
def test_every_example_of_a_ping_is_answered_with_pong(
    source: str, deliver: Callable[..., list[tuple[int, Any]]]
) -> None:
    payloads = examples(source, "ping")
    assert deliver("ping", payloads) == [(200, {"status": "pong"})] * len(payloads)


@pytest.mark.parametrize("source", SOURCES)
def test_every_example_of_a_pull_request_is_ignored(
    source: str, deliver: Callable[..., list[tuple[int, Any]]]
) -> None:
    payloads = examples(source, "pull_request")
    ignored = {"status": "ignored", "reason": "event pull_request: only push is followed"}
    assert deliver("pull_request", payloads) == [(202, ignored)] * len(payloads)


@pytest.mark.parametrize(
    ("source", "refs"),
    [
        ("api.github.com", "ttttbbt"),
        ("ghes-31", "t"),
        ("ghes-32", "t"),
        ("ghes-33", "t"),
        ("ghes-34", "tt"),
        ("ghes-35", "tt"),
    ],
)
def test_every_example_of_a_push_is_accepted_on_its_branch_and_a_tag_is_ignored(
    source: str, refs: str, deliver: Callable[..., list[tuple[int, Any]]]
) -> None:
    tag = (
        202,
        {
            "status": "ignored",
            "reason": "ref refs/tags/simple-tag: only refs/heads/master is followed",
        },
    )
    expected = [{"t": tag, "b": (202, {"status": "accepted"})}[ref] for ref in refs]
    assert deliver("push", examples(source, "push")) == expected


@pytest.mark.parametrize("source", SOURCES)
def test_a_tag_that_is_named_like_the_branch_is_ignored(
    source: str, deliver: Callable[..., list[tuple[int, Any]]]
) -> None:
    tags = [one for one in examples(source, "push") if one["ref"] == "refs/tags/simple-tag"]
    answers = deliver("push", tags, branch="simple-tag")
    assert tags
    assert [answer["status"] for _, answer in answers] == ["ignored"] * len(tags)


def derived(**changes: object) -> dict[str, Any]:
    """Return a push of the package with changes, checked against @octokit/webhooks-schemas."""
    payload = copy.deepcopy(examples("api.github.com", "push")[4])
    payload.update(changes)
    schema = json.loads((PACKAGES / "webhooks-schemas" / "schema.json").read_bytes())
    jsonschema.validate(payload, {**schema, "oneOf": [{"$ref": "#/definitions/push$event"}]})
    return payload


def commits(count: int) -> list[dict[str, Any]]:
    base = examples("api.github.com", "push")[4]["head_commit"]
    return [{**base, "id": f"{number:040x}"} for number in range(1, count + 1)]


def test_the_schema_does_refuse_a_wrong_payload() -> None:
    with pytest.raises(jsonschema.ValidationError):
        derived(commits="none")


def test_an_ordinary_push_of_several_commits_is_accepted(
    deliver: Callable[..., list[tuple[int, Any]]],
) -> None:
    several = commits(5)
    payload = derived(
        before="6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        after=several[-1]["id"],
        created=False,
        commits=several,
        head_commit=several[-1],
    )
    assert deliver("push", [payload]) == [(202, {"status": "accepted"})]


def test_a_forced_push_is_accepted(deliver: Callable[..., list[tuple[int, Any]]]) -> None:
    assert deliver("push", [derived(forced=True, created=False)]) == [(202, {"status": "accepted"})]


def test_a_deleted_branch_is_ignored(deliver: Callable[..., list[tuple[int, Any]]]) -> None:
    payload = derived(
        before="6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        after=ZEROS,
        created=False,
        deleted=True,
        commits=[],
        head_commit=None,
    )
    reason = "branch master was deleted: the last release stays"
    assert deliver("push", [payload]) == [(202, {"status": "ignored", "reason": reason})]


def test_a_branch_with_a_slash_is_followed_exactly(
    deliver: Callable[..., list[tuple[int, Any]]],
) -> None:
    payload = derived(ref="refs/heads/release/2026.1")
    assert deliver("push", [payload], branch="release/2026.1") == [(202, {"status": "accepted"})]
    assert deliver("push", [payload], branch="2026.1")[0][1]["status"] == "ignored"


def test_a_push_to_another_repository_is_ignored(
    deliver: Callable[..., list[tuple[int, Any]]],
) -> None:
    repository = {**derived()["repository"], "full_name": "Codertocat/Another"}
    reason = f"repository Codertocat/Another: only {REPOSITORY} is followed"
    assert deliver("push", [derived(repository=repository)]) == [
        (202, {"status": "ignored", "reason": reason})
    ]
