"""What an origin's address says, and what is kept out of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.config.settings import CollectionSettings
from nbpipe.errors import ConfigError
from nbpipe.publishing.origin.address import (
    check,
    host_of,
    mask,
    protocol_of,
    repository_of,
    secret,
    secrets_of,
)
from webhook.wiring import repository as followed

if TYPE_CHECKING:
    from pathlib import Path


def settings(origin: str, **others: object) -> CollectionSettings:
    fields = {"name": "nb", "origin": origin, "root": "/srv/nbpipe"} | others
    return CollectionSettings(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("origin", "protocol", "host", "repository"),
    [
        ("https://github.com/ORG/REPO.git", "https", "github.com", "ORG/REPO"),
        ("https://git.example.org:8443/ORG/REPO/", "https", "git.example.org:8443", "ORG/REPO"),
        ("git@github.com:ORG/REPO.git", "ssh", "github.com", "ORG/REPO"),
        ("ssh://git@github.com/ORG/REPO", "ssh", "github.com", "ORG/REPO"),
        ("/srv/git/ORG/REPO.git", "file", "", "ORG/REPO"),
        ("file:///srv/git/ORG/REPO.git", "file", "", "ORG/REPO"),
    ],
)
def test_an_origin_is_taken_apart(origin: str, protocol: str, host: str, repository: str) -> None:
    assert protocol_of(origin) == protocol
    assert host_of(origin) == host
    assert repository_of(settings(origin)) == repository


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "https://example.org/",
        "https://example.org/REPO.git",
        "https://example.org//REPO",
        "ssh://git@example.org/REPO",
        "git@example.org:REPO.git",
        "/REPO.git",
        "REPO",
    ],
)
def test_an_origin_that_names_no_owner_names_no_repository(origin: str) -> None:
    one = settings(origin)
    assert repository_of(one) is None
    with pytest.raises(ConfigError, match="does not end with ORG/REPO"):
        followed(one)
    named = settings(origin, repository="A/B")
    assert repository_of(named) == followed(named) == "A/B"


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org/group/ORG/REPO.git",
        "https://example.org/ORG/REPO.git?x=/a/b",
        "git@example.org:group/ORG/REPO",
        "srv/ORG/REPO/",
    ],
)
def test_the_receiver_follows_the_repository_that_the_worker_knows(origin: str) -> None:
    assert repository_of(settings(origin)) == followed(settings(origin)) == "ORG/REPO"


def test_a_remote_helper_is_a_protocol_of_its_own() -> None:
    assert protocol_of("ext::sh -c id") == "ext"
    assert host_of("ext::sh -c id") == ""


@pytest.mark.parametrize("origin", ["/srv/git/x", "ext::sh -c id", "http://example.org/x"])
def test_a_protocol_that_is_not_asked_for_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match="which is not one of https, ssh"):
        check(settings(origin))


@pytest.mark.parametrize(
    "origin",
    [
        "https://user:hunter2@github.com/ORG/REPO.git",
        "https://hunter2@github.com/ORG/REPO.git",
        "ssh://git:hunter2@github.com/ORG/REPO.git",
    ],
)
def test_a_password_in_the_origin_is_refused_and_not_repeated(origin: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(settings(origin))

    assert "https://***@github.com" in str(caught.value).replace("ssh", "https")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "x.lock", "/a", "a/", "a:b", "@", "a//b"])
def test_a_branch_that_git_would_not_take_is_refused(branch: str) -> None:
    with pytest.raises(ConfigError, match="is not a valid name of a branch"):
        check(settings("https://github.com/ORG/REPO", branch=branch))


@pytest.mark.parametrize("branch", ["main", "release/2026.1", "a-b_c", "été"])
def test_an_ordinary_branch_is_taken(branch: str) -> None:
    check(settings("https://github.com/ORG/REPO", branch=branch))


def test_a_relative_root_is_refused() -> None:
    with pytest.raises(ConfigError, match="not an absolute path"):
        check(settings("https://github.com/ORG/REPO", root="mirror"))


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")

    assert secret(f"file:{tmp_path}/token", {}, where="x") == "s3cret"
    assert secret("env:TOKEN", {"TOKEN": "s3cret"}, where="x") == "s3cret"


@pytest.mark.parametrize("source", ["s3cret-itself", "env:EMPTY", "env:MISSING", "file:/missing"])
def test_a_missing_empty_or_literal_secret_is_refused_without_repeating_it(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        secret(source, {"EMPTY": ""}, where="x")

    assert "s3cret-itself" not in str(caught.value)


def test_secrets_are_masked_in_what_git_says() -> None:
    said = "fatal: unable to access 'https://bob:pa%2Fss@host/x': pa/ss"

    assert mask(said, ["pa/ss"]) == "fatal: unable to access 'https://***@host/x': ***"


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        ("at https://bob:a@b@host/x", "at https://***@host/x"),
        (
            "https://host/x.git?private_token=abc&depth=1",
            "https://host/x.git?private_token=***&depth=1",
        ),
        ("no such page: /X/T-0%2FK.E+Y/z", "no such page: /X/***/z"),
        ("no such page: /X/t-0/k.e+y/z", "no such page: /X/***/z"),
        (r'{"path": "\/X\/T-0\/K.E+Y"}', r'{"path": "\/X\/***"}'),
        ("no such page: %54%2D0/K&#46;E&#x2b;Y", "no such page: ***"),
        ("Authorization: Basic VC0wL0suRStZ", "Authorization: Basic ***"),
    ],
)
def test_a_secret_is_masked_however_a_program_writes_it(said: str, masked: str) -> None:
    assert mask(said, ["T-0/K.E+Y"]) == masked


def test_every_part_of_an_address_that_is_a_secret_is_one() -> None:
    parts = secrets_of("https://hooks.example.org/v1/T0/TOPSECRET/x?key=a%26b-c&v=2#frag:ment")

    assert {"TOPSECRET", "a%26b-c", "a&b-c", "frag", "ment"} <= {*parts}
    assert "v1" not in parts
    assert "hooks.example.org" not in parts
    assert secrets_of("https://[broken/TOPSECRET") == ["https://[broken/TOPSECRET"]
