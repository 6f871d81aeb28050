"""Every answer of the contract, through Flask's test client."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from doors import admitted, door

from nbpipe.publishing.health import Health, State
from nbpipe.publishing.releases.journal import Trigger
from nbpipe.publishing.releases.mirror import Mirror
from webhook.app import create_app
from webhook.receiving.decision import Followed
from webhook.receiving.deliveries import Deliveries
from webhook.receiving.secret import Secrets
from webhook.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask import Flask
    from werkzeug.test import TestResponse

SECRET = "s3cr3t-of-the-hook"  # noqa: S105  (of this test)
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
OTHER = "0123456789abcdef0123456789abcdef01234567"
NOW = 1_800_000_000.0


class Worker:
    """Notes that it was woken; says of itself what a test wants."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.woken: list[tuple[Trigger, str | None]] = []
        self.state = State.OK
        self.error: str | None = None
        self.breaks = False

    def wake(self, trigger: Trigger, *, delivery: str | None = None) -> None:
        if self.breaks:
            raise OSError(28, "No space left on device")
        self.woken.append((trigger, delivery))

    def health(self) -> Health:
        return Health(
            collection=self.mirror.name,
            state=self.state,
            current=self.mirror.current(),
            wanted=COMMIT,
            pinned=None,
            since=None,
            error=self.error,
            fetched=NOW - 5,
            attempt=NOW - 5,
            failures=0,
        )


class Site:
    """A service of one or more collections, and somebody who knows the secret."""

    def __init__(self, folder: Path, *names: str, **options: Any) -> None:  # noqa: ANN401
        self.deliveries = Deliveries(folder / "deliveries.sqlite")
        self.workers = {name: Worker(Mirror(folder, name)) for name in names}
        served = [
            Served(
                followed=Followed(name=name, repository=f"ORG/{name}", branch="main"),
                secrets=Secrets(("env:HOOK",), {"HOOK": SECRET}),
                worker=worker,
            )
            for name, worker in self.workers.items()
        ]
        self.app: Flask = create_app(
            served, self.deliveries, now=lambda: NOW, door=door(NOW), **options
        )
        self.client = admitted(self.app)

    @property
    def worker(self) -> Worker:
        return next(iter(self.workers.values()))

    def post(
        self, body: bytes, path: str = "/webhook/notebooks", **headers: str | None
    ) -> TestResponse:
        """POST as GitHub does; a header named with None is left out."""
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        values = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "X-Hub-Signature-256": signature,
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in values.items() if value is not None}
        return self.client.post(
            path, data=body, headers=kept, environ_overrides={"CONTENT_LENGTH": str(len(body))}
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, "notebooks")
    yield site
    site.deliveries.close()


def push(**changes: Any) -> bytes:  # noqa: ANN401
    payload: dict[str, Any] = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": COMMIT,
        "deleted": False,
        "forced": False,
        "repository": {"full_name": "ORG/notebooks"},
        "pusher": {"name": "ada"},
        "head_commit": {"message": "Fix <b>the plot</b>"},
    }
    payload.update(changes)
    return json.dumps(payload).encode()


def result(response: TestResponse) -> tuple[int, Any]:
    return response.status_code, response.get_json()


def test_a_push_is_accepted_and_wakes_the_worker(site: Site) -> None:
    assert result(site.post(push())) == (202, {"status": "accepted"})
    assert site.worker.woken == [(Trigger.BEACON, "72d3162e-cc78-11e3-81ab-4c9367dc0958")]


def test_the_only_collection_needs_no_name(site: Site) -> None:
    assert result(site.post(push(), "/webhook")) == (202, {"status": "accepted"})


def test_a_form_is_signed_over_its_raw_body(site: Site) -> None:
    body = urlencode({"payload": push().decode()}).encode()
    form = "application/x-www-form-urlencoded"
    assert result(site.post(body, Content_Type=form)) == (202, {"status": "accepted"})


def test_a_charset_beside_the_content_type_is_no_other_type(site: Site) -> None:
    response = site.post(push(), Content_Type="application/json; charset=utf-8")
    assert result(response) == (202, {"status": "accepted"})


def test_a_replay_is_a_duplicate_and_wakes_nobody(site: Site) -> None:
    site.post(push())
    assert result(site.post(push())) == (202, {"status": "duplicate"})
    assert len(site.worker.woken) == 1


def test_a_redelivery_of_one_that_was_ignored_works(site: Site) -> None:
    assert site.post(push(ref="refs/heads/other")).get_json()["status"] == "ignored"
    assert result(site.post(push())) == (202, {"status": "accepted"})


def test_a_redelivery_of_one_that_was_refused_works(site: Site) -> None:
    assert site.post(push(), X_Hub_Signature_256="sha256=" + "0" * 64).status_code == 403
    assert site.post(b"[]").status_code == 400
    assert result(site.post(push())) == (202, {"status": "accepted"})


def test_a_redelivery_of_one_that_could_not_be_handed_on_works(site: Site) -> None:
    site.worker.breaks = True
    assert site.post(push()).status_code == 500
    site.worker.breaks = False
    assert result(site.post(push())) == (202, {"status": "accepted"})


def test_a_ping_is_answered_with_pong(site: Site) -> None:
    body = b'{"zen": "Design for failure.", "hook_id": 1, "organization": {"login": "ORG"}}'
    assert result(site.post(body, X_GitHub_Event="ping")) == (200, {"status": "pong"})
    assert site.worker.woken == []


def test_a_deleted_branch_is_ignored_and_the_worker_looks(site: Site) -> None:
    response = site.post(push(deleted=True, after="0" * 40, head_commit=None))
    assert result(response) == (
        202,
        {"status": "ignored", "reason": "branch main was deleted: the last release stays"},
    )
    assert len(site.worker.woken) == 1


@pytest.mark.parametrize(
    "signature",
    [None, "", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "sha256=" + "é" * 64, "sha256="],
)
def test_a_forged_delivery_is_refused_and_leaves_nothing(site: Site, signature: str | None) -> None:
    response = site.post(b"not even JSON", X_Hub_Signature_256=signature)
    assert response.status_code == 403
    assert site.worker.woken == []
    assert site.deliveries.last(10) == []


def test_an_upper_case_signature_is_refused(site: Site) -> None:
    digest = hmac.new(SECRET.encode(), push(), hashlib.sha256).hexdigest()
    assert site.post(push(), X_Hub_Signature_256=f"sha256={digest.upper()}").status_code == 403


def test_a_good_sha1_signature_is_not_enough(site: Site) -> None:
    sha1 = "sha1=" + hmac.new(SECRET.encode(), push(), hashlib.sha1).hexdigest()
    response = site.post(push(), X_Hub_Signature_256=None, X_Hub_Signature=sha1)
    assert response.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"ref": NaN}',
        b'{"ref": 1, "ref": 2}',
        b"[" * 100_000 + b"]" * 100_000,
        push(ref=5),
        push(repository=[]),
        b"\xff",
    ],
    ids=range(9),
)
def test_a_malformed_body_is_400_and_can_be_delivered_again(site: Site, body: bytes) -> None:
    assert site.post(body).status_code == 400
    assert [one.status for one in site.deliveries.last(10)] == ["malformed"]
    assert result(site.post(push())) == (202, {"status": "accepted"})


@pytest.mark.parametrize(
    "headers",
    [
        {"X_GitHub_Event": None},
        {"X_GitHub_Event": "pu sh"},
        {"X_GitHub_Event": "x" * 65},
        {"X_GitHub_Delivery": None},
        {"X_GitHub_Delivery": "x" * 101},
        {"X_GitHub_Delivery": "'; DROP TABLE accepted; --"},
        {"X_GitHub_Delivery": "<script>"},
        {"X_GitHub_Delivery": "é"},
    ],
    ids=str,
)
def test_a_malformed_identity_is_400(site: Site, headers: dict[str, str | None]) -> None:
    assert site.post(push(), "/webhook", **headers).status_code == 400
    assert site.worker.woken == []


@pytest.mark.parametrize("length", ["25000001", "300000000", "-1", "many", ""])
def test_a_body_over_25_megabytes_or_without_length_is_413_without_being_read(
    site: Site, length: str
) -> None:
    class Unreadable(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("the body was read")

        readinto = readline = read  # type: ignore[assignment]

    response = site.client.post(
        "/webhook/notebooks",
        input_stream=Unreadable(),
        headers={
            "Content-Type": "application/json",
            "X-Hub-Signature-256": "sha256=" + "0" * 64,
        },
        environ_overrides={"CONTENT_LENGTH": length},
    )
    assert response.status_code == 413


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_a_compressed_body_is_415(site: Site, encoding: str) -> None:
    assert site.post(push(), Content_Encoding=encoding).status_code == 415


@pytest.mark.parametrize("kind", [None, "text/plain", "multipart/form-data; boundary=x"])
def test_another_content_type_is_415(site: Site, kind: str | None) -> None:
    assert site.post(push(), Content_Type=kind).status_code == 415


@pytest.mark.parametrize(
    "path",
    ["/webhook/other", "/webhook/", "/webhook/notebooks/", "/webhooks", "/webhook/a/b", "/x"],
)
def test_an_unknown_place_is_404(site: Site, path: str) -> None:
    assert site.post(push(), path).status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405_and_names_the_right_one(site: Site, method: str) -> None:
    response = site.client.open("/webhook/notebooks", method=method)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


def test_several_collections_each_have_their_own_place(tmp_path: Path) -> None:
    site = Site(tmp_path, "notebooks", "cuadernos")
    body = push(repository={"full_name": "ORG/cuadernos"})
    assert site.post(push(), "/webhook").status_code == 404
    assert result(site.post(body, "/webhook/cuadernos")) == (202, {"status": "accepted"})
    assert result(site.post(push(), "/webhook/notebooks")) == (202, {"status": "accepted"})
    assert result(site.post(body, "/webhook/notebooks")) == (
        202,
        {
            "status": "ignored",
            "reason": "repository ORG/cuadernos: only ORG/notebooks is followed",
        },
    )
    assert [len(worker.woken) for worker in site.workers.values()] == [1, 1]
    site.deliveries.close()


def test_metrics_count_every_answer_by_what_it_was(site: Site) -> None:
    site.post(push())
    site.post(push())
    site.post(push(), X_Hub_Signature_256=None)
    text = site.client.get("/metrics").get_data(as_text=True)
    for line in (
        'nbpipe_webhook_deliveries_total{collection="notebooks",result="accepted"} 1.0',
        'nbpipe_webhook_deliveries_total{collection="notebooks",result="duplicate"} 1.0',
        'nbpipe_webhook_deliveries_total{collection="notebooks",result="forged"} 1.0',
        'nbpipe_collection_state{collection="notebooks",state="ok"} 1.0',
        'nbpipe_collection_fetched_timestamp_seconds{collection="notebooks"} 1.799999995e+09',
    ):
        assert line in text


def test_two_applications_count_apart(tmp_path: Path) -> None:
    first, second = Site(tmp_path / "1", "notebooks"), Site(tmp_path / "2", "notebooks")
    first.post(push())
    assert 'result="accepted"' in first.client.get("/metrics").get_data(as_text=True)
    assert 'result="accepted"' not in second.client.get("/metrics").get_data(as_text=True)
    first.deliveries.close()
    second.deliveries.close()


def test_a_name_that_is_no_unicode_breaks_neither_answer_nor_page(site: Site) -> None:
    body = push(pusher={"name": "\ud800"}, ref="refs/heads/\udfff")
    assert site.post(body).get_json()["status"] == "ignored"
    assert site.client.get("/").status_code == 200


def test_the_access_log_has_one_line_for_each_request_and_no_secret(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    site.post(push(), "/webhook/notebooks?token=hunter2")
    site.client.get("/none\n%0aforged: line", headers={"Authorization": "Bearer hunter2"})
    lines = [json.loads(one.message) for one in caplog.records if one.name == "webhook.access"]
    assert [(one["method"], one["path"], one["status"]) for one in lines] == [
        ("POST", "/webhook/notebooks", 202),
        ("GET", "/none\nforged: line", 404),
    ]
    assert "hunter2" not in caplog.text
    assert SECRET not in caplog.text
    assert "sha256=" not in caplog.text


def test_a_fault_of_ours_is_500_without_a_word_about_the_inside(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.worker.breaks = True
    response = site.post(push())
    assert result(response) == (
        500,
        {"status": "failed", "reason": "an error of the service; its log says more"},
    )
    assert "No space left on device" in caplog.text


GITEA = {
    "ref": "refs/heads/main",
    "before": "0" * 40,
    "after": COMMIT,
    "compare_url": "https://git.example.org/",
    "commits": [],
    "repository": {"id": 1, "name": "notebooks", "full_name": "ORG/notebooks"},
    "pusher": {"id": 1, "login": "ann", "full_name": "", "email": "a@b.org", "username": "ann"},
    "sender": {"id": 1, "login": "ann"},
}


@pytest.mark.parametrize("forge", ["Gitea", "Forgejo", "Gogs", "GitHub"])
def test_a_push_of_gitea_and_its_kin_is_accepted(site: Site, forge: str) -> None:
    headers = {"X_GitHub_Event": None, "X_GitHub_Delivery": None}
    headers |= {f"X_{forge}_Event": "push", f"X_{forge}_Delivery": "b5a2"}
    assert result(site.post(json.dumps(GITEA).encode(), **headers)) == (
        202,
        {"status": "accepted"},
    )
    (row,) = site.deliveries.last(10)
    assert (row.delivery, row.who) == ("b5a2", "ann")


def named(name: str, number: int) -> bytes:
    return push(repository={"full_name": name, "id": number})


def test_a_repository_that_was_renamed_is_still_heard_and_the_operator_is_told(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.post(named("ORG/notebooks", 7))
    for delivery in ("b", "c"):
        answer = site.post(named("LAB/tutorials", 7), X_GitHub_Delivery=delivery)
        assert result(answer) == (202, {"status": "accepted"})
    told = (
        "the repository ORG/notebooks is called LAB/tutorials now: "
        "set `origin` (and `repository`) to that"
    )
    assert len(site.worker.woken) == 3
    assert caplog.text.count(told) == 1
    (entry,) = site.worker.mirror.journal.entries()
    assert (entry.event, entry.reason) == ("renamed", told)
    assert site.deliveries.last(1)[0].reason == "ORG/notebooks is called LAB/tutorials now"


def test_a_repository_is_not_known_before_a_delivery_with_the_configured_name(site: Site) -> None:
    answer = site.post(named("LAB/tutorials", 7))
    assert result(answer) == (
        202,
        {
            "status": "ignored",
            "reason": "repository LAB/tutorials: only ORG/notebooks is followed",
        },
    )
    assert site.worker.woken == []


def test_a_forged_delivery_teaches_no_id(site: Site) -> None:
    site.post(named("ORG/notebooks", 7), X_Hub_Signature_256="sha256=" + "0" * 64)
    answer = site.post(named("LAB/tutorials", 7))
    assert answer.get_json()["status"] == "ignored"


def test_a_repository_of_the_same_name_with_another_id_is_told(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.post(named("ORG/notebooks", 7))
    answer = site.post(named("ORG/notebooks", 8), X_GitHub_Delivery="b")
    assert result(answer) == (202, {"status": "accepted"})
    assert "ORG/notebooks has a new id" in caplog.text


def test_an_id_that_cannot_be_kept_costs_no_delivery(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.worker.mirror.state.mkdir(parents=True)
    (site.worker.mirror.state / "forge.json").mkdir()
    assert result(site.post(named("ORG/notebooks", 7))) == (202, {"status": "accepted"})
    assert "the repository's id cannot be kept" in caplog.text
