"""Who may see the pages: this machine, or whoever has the token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nbpipe.cli.serve import serve
from nbpipe.errors import ConfigError
from webhook.app import create_app
from webhook.deliveries import Deliveries
from webhook.door import SESSION_SECONDS, Door, Token, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

TOKEN = "correct horse battery"  # noqa: S105
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PAGES = (
    "/",
    "/collections",
    "/collections/x",
    "/collections/x/badge.svg",
    "/references",
    "/metrics",
)


class House:
    """A service, its clock and its token, which may change."""

    def __init__(self, deliveries: Deliveries) -> None:
        self.deliveries = deliveries
        self.time = 1_800_000_000.0
        self.environ = {"T": TOKEN}

    def client(self, *, token: bool = True, local: bool = False, **options: Any) -> FlaskClient:  # noqa: ANN401
        given = Token("env:T", self.environ) if token else None
        badges = options.pop("public_badges", False)
        door = Door(given, local=local, now=lambda: self.time, public_badges=badges)
        return create_app([], self.deliveries, door=door, **options).test_client()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        yield House(deliveries)


def login(client: FlaskClient, token: str = TOKEN, target: str = "/references") -> TestResponse:
    return client.post("/login", data={"token": token, "target": target})


def test_on_loopback_without_a_token_everything_is_open(house: House) -> None:
    client = house.client(token=False, local=True)
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"Host": "127.0.0.1:8080"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1]:8080"}).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_elsewhere_without_a_token_every_page_is_refused_and_says_what_to_configure(
    house: House, page: str
) -> None:
    response = house.client(token=False).get(page)
    assert response.status_code == 403
    assert "[webhook] token" in response.get_data(as_text=True)


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "192.0.2.7"},
        {"X-Forwarded-Host": "notebooks.example.org"},
        {"Forwarded": "for=192.0.2.7"},
        {"X-Real-IP": "192.0.2.7"},
        {"Via": "1.1 cache"},
        {"Host": "notebooks.example.org"},
        {"Host": "["},
    ],
)
def test_a_request_that_came_through_a_proxy_is_not_from_this_machine(
    house: House, header: dict[str, str]
) -> None:
    client = house.client(token=False, local=True)
    assert client.get("/", headers=header).status_code == 403


def test_a_caller_from_another_address_is_not_this_machine(house: House) -> None:
    client = house.client(token=False, local=True)
    response = client.get("/", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert response.status_code == 403


@pytest.mark.parametrize("options", [{"prefix": "/services/nb"}, {"proxies": 1}])
def test_a_prefix_or_a_believed_proxy_means_that_others_reach_the_port(
    house: House, options: dict[str, Any]
) -> None:
    client = create_app([], house.deliveries, **options).test_client()
    assert client.get("/").status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_with_a_token_every_page_asks_for_it_on_loopback_too(house: House, page: str) -> None:
    response = house.client(local=True).get(page)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="nbpipe"'


def test_the_token_opens_as_bearer_and_as_a_basic_logins_password(house: House) -> None:
    client = house.client()
    assert client.get("/", headers=BEARER).status_code == 200
    assert client.get("/metrics", headers=BEARER).status_code == 200
    assert client.get("/", auth=("anybody", TOKEN)).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Token {TOKEN}", "Basic ???"],
)
def test_what_is_not_the_token_does_not_open(house: House, header: str) -> None:
    assert house.client().get("/", headers={"Authorization": header}).status_code == 401


def test_programs_get_json_and_people_the_form(house: House) -> None:
    client = house.client()
    assert client.get("/index.json").get_json()["status"] == "refused"
    page = client.get("/collections?q=1").get_data(as_text=True)
    assert 'type="password"' in page
    assert 'name="target" value="/collections?q=1"' in page


def test_health_is_open_without_details_and_a_beacon_needs_no_token(house: House) -> None:
    client = house.client()
    response = client.get("/health")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})
    assert "collections" in client.get("/health", headers=BEARER).get_json()
    assert client.post("/webhook").status_code == 404  # no collection is served, and no 401
    with client.get("/static/status.css") as style:
        assert style.status_code == 200


def test_the_form_gives_a_cookie_that_opens(house: House) -> None:
    client = house.client()
    response = login(client)
    assert (response.status_code, response.headers["Location"]) == (303, "/references")
    cookie = response.headers["Set-Cookie"]
    assert TOKEN not in cookie
    for word in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    assert client.get("/references").status_code == 200


def test_a_wrong_token_gives_no_cookie(house: House) -> None:
    client = house.client()
    for wrong in ("", "wrong", "é" * 20, TOKEN + "x"):
        response = login(client, wrong)
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers
    assert client.get("/").status_code == 401


def test_a_cookie_ends_after_a_week_and_with_the_token(house: House) -> None:
    client = house.client()
    login(client)
    house.time += SESSION_SECONDS - 1
    assert client.get("/").status_code == 200
    house.time += 2
    assert client.get("/").status_code == 401
    login(client)
    house.environ["T"] = "another long token"
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "value", ["", ".", "9999999999.", "9999999999.00", "-1.x", "²²²²²²²²²².x", "9" * 3_000 + ".x"]
)
def test_a_forged_cookie_does_not_open(house: House, value: str) -> None:
    client = house.client()
    client.set_cookie("nbpipe_session", value)
    assert client.get("/").status_code == 401


def test_signing_out_takes_the_cookie_back(house: House) -> None:
    client = house.client()
    login(client)
    assert "Sign out" in client.get("/").get_data(as_text=True)
    assert client.post("/logout").status_code == 303
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "", "x", "/a\nb"]
)
def test_the_form_leads_to_no_other_host(house: House, target: str) -> None:
    assert login(house.client(), target=target).headers["Location"] == "/"


def test_below_a_prefix_the_form_and_its_cookie_stay_there(house: House) -> None:
    client = house.client(prefix="/services/nb")
    response = login(client, target="/references")
    assert response.headers["Location"] == "/services/nb/references"
    assert "Path=/services/nb" in response.headers["Set-Cookie"]


def test_behind_https_the_cookie_is_for_https_only(house: House) -> None:
    client = house.client(proxies=1)
    response = client.post("/login", data={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in response.headers["Set-Cookie"]


def test_a_token_that_is_gone_opens_nothing(house: House) -> None:
    client = house.client()
    house.environ.clear()
    assert client.get("/", headers={"Authorization": "Bearer "}).status_code == 401
    assert login(client, "").status_code == 403


def test_badges_can_be_for_everybody(house: House) -> None:
    client = house.client(public_badges=True)
    assert client.get("/collections/x/badge.svg").status_code == 404  # known to nobody, not 401
    assert client.get("/collections/x").status_code == 401


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_known_by_its_address(host: str, inside: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is inside


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "env:PAGES is empty or missing"), ("short", "env:PAGES has fewer than 16 characters")],
)
def test_a_token_that_is_none_keeps_the_service_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, said: str
) -> None:
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f"""
        [[collection]]
        name = "english"
        origin = "https://github.com/ORG/REPO.git"
        root = "{tmp_path}"
        secrets = ["env:HOOK"]
        [webhook]
        token = "env:PAGES"
        """
    )
    monkeypatch.setenv("HOOK", "secret-of-the-hook")
    monkeypatch.setenv("PAGES", token)
    ended = CliRunner().invoke(serve, ["--config", str(file)])
    assert isinstance(ended.exception, ConfigError)
    assert said in str(ended.exception)
    assert token not in str(ended.exception) or not token
