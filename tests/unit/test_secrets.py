"""One set of rules for every secret: the same source is right, or wrong, for whoever reads it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nbpipe.checkup import site
from nbpipe.checkup.findings import Severity
from nbpipe.config import is_marked, load
from nbpipe.config.keys import keys, table_in
from nbpipe.config.settings import (
    CollectionSettings,
    GithubSettings,
    Settings,
    Table,
    WebhookSettings,
)
from nbpipe.errors import ConfigError
from nbpipe.github.client import Clock
from nbpipe.github.connection import connect
from nbpipe.history.engine import address as database
from nbpipe.history.errors import HistoryError
from nbpipe.publishing.origin.address import secret
from nbpipe.system import secrets
from webhook.pages.door import Token
from webhook.receiving.secret import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = "0123456789abcdef"
CLOCK = Clock(now=time.time, sleep=time.sleep)


def test_white_space_around_a_secret_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b" two words\r\n\n")
    assert secrets.read(f"file:{tmp_path}/secret", {}) == b"two words"
    assert secrets.text("env:S", {"S": "\ttwo words\n"}) == "two words"


def test_bytes_that_are_no_text_are_a_secret_for_a_signature_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe12")
    assert secrets.read(f"file:{tmp_path}/secret", {}) == b"\xff\xfe12"
    assert secrets.read("env:S", {"S": os.fsdecode(b"\xff12")}) == b"\xff12"
    with pytest.raises(secrets.SecretUnusableError, match="is not UTF-8 text"):
        secrets.text(f"file:{tmp_path}/secret", {})


@pytest.mark.parametrize("source", ["hunter2", "env:", "file:", "ENV:hunter2", " env:hunter2", ""])
def test_what_is_no_source_is_not_repeated(source: str) -> None:
    assert not secrets.is_source(source)
    with pytest.raises(secrets.NotASourceError) as caught:
        secrets.read(source, {"": "x"})
    assert str(caught.value) == 'a source is neither "env:NAME" nor "file:PATH"'


def test_a_file_that_every_user_may_read_is_exposed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch()
    for mode, told in ((0o600, None), (0o640, None), (0o604, 0o604), (0o666, 0o666)):
        file.chmod(mode)
        assert secrets.exposed(f"file:{file}") == told
    assert secrets.exposed(f"file:{tmp_path}/none") is None
    assert secrets.exposed("env:S") is None


def test_a_relative_file_begins_at_the_folder_that_is_given(tmp_path: Path) -> None:
    assert secrets.anchored("file:a/b", tmp_path) == f"file:{tmp_path}/a/b"
    assert secrets.anchored("file:/a/b", tmp_path) == "file:/a/b"
    assert secrets.anchored("env:a/b", tmp_path) == "env:a/b"
    assert secrets.anchored("sqlite:///a", tmp_path) == "sqlite:///a"


def problem(read: str, source: str, environ: dict[str, str], tmp_path: Path) -> str | None:
    """Return what one of the readers finds wrong with a source; None where it takes it."""
    try:
        if read == "beacons":
            Secrets((source,), environ).check("nb")
        elif read == "pages":
            Token(source, environ).check()
        elif read == "origin":
            secret(source, environ, where=read)
        elif read == "github":
            connect(GithubSettings(token=source), "O/R", environ=environ, clock=CLOCK)
        else:
            database(source, tmp_path)
    except (ConfigError, HistoryError) as error:
        return str(error)
    return None


READERS = ("beacons", "pages", "origin", "github", "history")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("value", ["", " ", "\n", " \t\r\n"])
def test_a_blank_secret_is_refused_by_everybody(
    read: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S", value)
    (tmp_path / "s").write_text(value)
    for source in ("env:S", f"file:{tmp_path}/s"):
        assert problem(read, source, {"S": value}, tmp_path) is not None


@pytest.mark.parametrize("read", READERS)
def test_a_secret_with_a_newline_is_taken_by_everybody(
    read: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "sqlite:///runs.sqlite\n" if read == "history" else f"{LONG}\n"
    monkeypatch.setenv("S", value)
    (tmp_path / "s").write_text(value)
    for source in ("env:S", f"file:{tmp_path}/s"):
        assert problem(read, source, {"S": value}, tmp_path) is None


@pytest.mark.parametrize("read", READERS)
def test_a_huge_file_is_refused_by_everybody(read: str, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"x" * 65_537)
    told = problem(read, f"file:{tmp_path}/s", {}, tmp_path)
    assert "is larger than 65536 bytes" in str(told)


def findings(**settings: Any) -> list[str]:  # noqa: ANN401
    """Return what `nbpipe doctor` says of a service's secrets."""
    collection = CollectionSettings(name="nb", origin="o", root="/nonexistent", **settings)
    found = site._about_collection(collection, {"BLANK": " \n"})
    return [each.what for each in found if each.kind == "secret"]


def test_doctor_finds_what_the_readers_refuse(tmp_path: Path) -> None:
    blank, huge = tmp_path / "blank", tmp_path / "huge"
    blank.write_text(" \n")
    huge.write_bytes(b"x" * 65_537)
    sources = ("env:BLANK", f"file:{blank}", f"file:{huge}", f"file:{tmp_path}", "hunter2")
    assert findings(secrets=sources) == [
        "collection nb: env:BLANK: the variable is not set",
        f"collection nb: file:{blank}: the file is empty",
        f"collection nb: file:{huge}: is larger than 65536 bytes",
        f"collection nb: file:{tmp_path}: it cannot be read: Is a directory",
        'collection nb: a source is neither "env:NAME" nor "file:PATH"',
    ]


def test_doctor_notes_which_secrets_of_reports_are_not_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "good").write_text(LONG)
    (tmp_path / "good").chmod(0o600)
    (tmp_path / "open").write_text(LONG)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "nbpipe.toml").write_text(
        '[history]\nurl = "env:BLANK"\n[github]\ntoken = "file:good"\nkey = "file:none"\n'
        '[notify]\nwebhook = "https://hooks.example.org/typed"\n'
        '[notify.email]\npassword = "file:open"\n'
    )
    found = [*site.about_secrets(load(tmp_path), {"BLANK": " "})]
    assert [each.what for each in found] == [
        "[history] url: env:BLANK: the variable is not set",
        f"[github] key: file:{tmp_path}/none: it cannot be read: No such file or directory",
        f"[notify.email] password: {tmp_path}/open can be read by other users (mode 0644)",
    ]
    assert {each.severity for each in found} == {Severity.NOTE}


def everywhere(kind: type[Table]) -> Iterator[tuple[str, bool]]:
    """Yield each key that says where a secret is, by its type, below a table."""
    for field in msgspec.structs.fields(kind):
        if inner := table_in(field.type):
            yield from everywhere(inner)
        else:
            yield field.encode_name, is_marked(field.type, "secret")


def test_every_key_that_takes_a_source_is_known_as_one() -> None:
    described = sorted(key.name for key in keys() if "`env:NAME`" in key.meaning)
    (app_key,) = (key.name for key in keys() if "private key (PEM)" in key.meaning)
    assert app_key in described
    assert sorted(name for name, marked in everywhere(Settings) if marked) == described


def test_a_relative_file_begins_at_the_configuration_whoever_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "conf"
    (home / "elsewhere").mkdir(parents=True)
    (home / "s").write_text(f"{LONG}\n")
    (home / "url").write_text("sqlite:///runs.sqlite\n")
    (home / "nbpipe.toml").write_text(
        '[github]\ntoken = "file:s"\nkey = "file:s"\n[notify]\nwebhook = "file:s"\n'
        '[notify.email]\npassword = "file:s"\n[history]\nurl = "file:url"\n'
        '[webhook]\ntoken = "file:s"\n'
        '[[collection]]\nname = "nb"\norigin = "o"\nroot = "/r"\n'
        'token = "file:s"\nsecrets = ["file:./s", "env:S"]\n'
    )
    monkeypatch.chdir(home / "elsewhere")
    settings = load(tmp_path, file=home / "nbpipe.toml").settings
    place, one = f"file:{home}/s", settings.collection[0]
    assert (one.token, one.secrets) == (place, (place, "env:S"))
    assert (settings.github.token, settings.github.key) == (place, place)
    assert (settings.notify.webhook, settings.notify.email.password) == (place, place)
    assert settings.webhook == WebhookSettings(token=place)
    Secrets(one.secrets[:1], {}).check("nb")
    Token(place, {}).check()
    assert str(database(settings.history.url, home)) == f"sqlite:///{home}/runs.sqlite"
