"""Who may see the pages: whoever has the token, from wherever the request comes."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from flask import url_for

from nbpipe.cli.serve import serve
from nbpipe.errors import ConfigError
from webhook.app import create_app
from webhook.pages.door import SESSION_SECONDS, Door, Token
from webhook.receiving.deliveries import Deliveries

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

    def client(self, *, opened: bool = False, **options: Any) -> FlaskClient:  # noqa: ANN401
        given = None if opened else Token("env:T", self.environ)
        badges = options.pop("public_badges", False)
        door = Door(given, now=lambda: self.time, public_badges=badges)
        return create_app([], self.deliveries, door=door, **options).test_client()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Deliveries(tmp_path / "deliveries.sqlite") as deliveries:
        yield House(deliveries)


def login(client: FlaskClient, token: str = TOKEN, target: str = "/references") -> TestResponse:
    return client.post("/login", data={"token": token, "target": target})


@pytest.mark.parametrize(
    "origin",
    [
        {},
        {"Host": "127.0.0.1:8080"},
        {"Host": "localhost"},
        {"Host": "[::1]:8080"},
        {"Host": "notebooks.example.org"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Host": "["},
    ],
)
@pytest.mark.parametrize("options", [{}, {"prefix": "/services/nb"}, {"proxies": 1}])
def test_no_page_is_open_wherever_the_request_seems_to_come_from(
    house: House, origin: dict[str, str], options: dict[str, Any]
) -> None:
    client = house.client(**options)
    for page in (*PAGES, "/index.json", "/collections.json", "/collections/x/feed.atom"):
        response = client.get(page, headers=origin)
        assert response.status_code == 401, page
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="nbpipe"'


def test_every_address_but_beacons_health_and_the_login_asks_for_the_token(house: House) -> None:
    app = create_app([], house.deliveries, door=Door(Token("env:T", house.environ), now=time.time))
    client = app.test_client()
    answered = {}
    for rule in app.url_map.iter_rules():
        values = dict.fromkeys(rule.arguments, "x")
        with app.test_request_context():
            address = url_for(rule.endpoint, **values)
        for method in {"GET", "HEAD", "POST", "OPTIONS"} & set(rule.methods or ()):
            response = client.open(address, method=method)
            answered[rule.endpoint, method] = response.status_code
            response.close()
    opened = {endpoint for (endpoint, _), status in answered.items() if status != 401}
    assert opened == {
        *("static", "pages.health", "receiver.only", "receiver.receive"),
        *("door.form", "door.login", "door.logout"),
    }
    assert answered["door.logout", "POST"] == 403


def test_pages_are_open_where_the_configuration_says_so(house: House) -> None:
    client = house.client(opened=True)
    assert client.get("/", headers={"Host": "notebooks.example.org"}).status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.get("/login").headers["Location"] == "/"
    assert "Sign out" not in client.get("/").get_data(as_text=True)


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
    "value",
    [
        *("", ".", "9999999999.", "9999999999.00", "-1.x", "²²²²²²²²²².x", "9" * 3_000 + ".x"),
        *("..", ".a5MpAA.", ".a5MpAA." + "A" * 43, ".²²²²." + "A" * 43, "." + "9" * 3_000 + ".x"),
    ],
)
def test_a_forged_cookie_does_not_open(house: House, value: str) -> None:
    client = house.client()
    client.set_cookie("nbpipe_session", value)
    assert client.get("/").status_code == 401


def test_signing_out_takes_the_cookie_back(house: House) -> None:
    client = house.client()
    login(client)
    response = client.post("/logout", data={"key": key_of(client)})
    assert response.status_code == 303
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert client.get("/").status_code == 401


def key_of(client: FlaskClient) -> str:
    """Return the key in the form for signing out."""
    found = re.search(r'name="key" value="([\w-]{43})"', client.get("/").get_data(as_text=True))
    assert found
    return found[1]


def test_a_form_of_another_site_signs_nobody_out(house: House) -> None:
    client, other = house.client(), house.client()
    login(client)
    house.time += 10
    login(other)
    forms: list[dict[str, str]] = [{}, {"key": ""}, {"key": "0" * 64}, {"key": "é" * 64}]
    for form in (*forms, {"key": key_of(other)}, {"key": "x" * 5_000}):
        response = client.post("/logout", data=form)
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers
    assert client.get("/").status_code == 200


def test_a_form_without_the_cookie_takes_none_away(house: House) -> None:
    client = house.client()
    for cookie in (None, "", "9999999999.00"):
        if cookie is not None:
            client.set_cookie("nbpipe_session", cookie)
        response = client.post("/logout", data={"key": ""})
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers


def test_who_shows_the_token_as_a_header_has_nothing_to_sign_out_of(house: House) -> None:
    page = house.client().get("/", headers=BEARER).get_data(as_text=True)
    assert "Sign out" not in page


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
