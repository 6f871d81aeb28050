"""The token of the pages that the service makes itself, and what the configuration may say."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from nbpipe.config.settings import CollectionSettings, WebhookSettings
from nbpipe.errors import ConfigError
from nbpipe.publishing.errors import MirrorError
from webhook.pages.state import own_folder, token_file
from webhook.wiring import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

NAMED = "env:PAGES"
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  (of these tests)


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    """Create files with the widest modes that a process can ask for."""
    before = os.umask(0)
    yield
    os.umask(before)


def client_of(root: Path, **options: str) -> FlaskClient:
    """Return a client of a service wired as `nbpipe serve` does it."""
    collection = CollectionSettings(
        name="n", origin="https://example.org/ORG/n.git", root=str(root), secrets=("env:HOOK",)
    )
    settings = WebhookSettings(**options)  # type: ignore[arg-type]
    service = wire([collection], settings, {"HOOK": SECRET, "PAGES": SECRET})
    service.stop()
    return service.app.test_client()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def token_in(root: Path) -> Path:
    return root / ".nbpipe" / ".pages" / "token"


def test_the_first_start_makes_a_token_that_only_the_service_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = client_of(tmp_path / "srv")
    file = token_in(tmp_path / "srv")
    assert mode(file) == 0o600
    assert mode(file.parent) == mode(file.parent.parent) == 0o700
    token = file.read_text().strip()
    assert len(token) >= 43
    assert f"the pages ask for the token in {file}, made now" in caplog.text
    assert token not in caplog.text
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert [each.name for each in file.parent.iterdir()] == ["token"]


@pytest.mark.parametrize("pages", ["token", "open"])
def test_readers_reach_the_releases_though_a_service_with_a_strict_umask_made_the_root(
    tmp_path: Path, pages: str
) -> None:
    os.umask(0o077)
    client_of(tmp_path / "mnt" / "srv", pages=pages)
    assert mode(tmp_path / "mnt") == mode(tmp_path / "mnt" / "srv") == 0o755
    assert mode(tmp_path / "mnt" / "srv" / ".nbpipe") == 0o700


def test_the_next_start_keeps_the_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client_of(tmp_path)
    token = token_in(tmp_path).read_text()
    caplog.set_level("INFO")
    caplog.clear()
    client_of(tmp_path)
    assert token_in(tmp_path).read_text() == token
    assert "made now" not in caplog.text


def test_services_that_start_at_once_agree_on_one_token(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    for number in range(5):
        barrier = threading.Barrier(4)
        made: list[bool] = []
        token_file(folder)[0].unlink()

        def start(barrier: threading.Barrier = barrier, made: list[bool] = made) -> None:
            barrier.wait()
            made.append(token_file(folder)[1])

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(made) == [False, False, False, True], number


@pytest.mark.parametrize("loose", [0o604, 0o640, 0o602, 0o666])
def test_a_token_that_others_may_have_read_keeps_the_service_from_starting(
    tmp_path: Path, loose: int
) -> None:
    client_of(tmp_path)
    token_in(tmp_path).chmod(loose)
    with pytest.raises(ConfigError, match="other users may know the token") as caught:
        client_of(tmp_path)
    assert "Remove the file" in str(caught.value)


def test_what_is_no_file_in_the_tokens_place_keeps_the_service_from_starting(
    tmp_path: Path,
) -> None:
    file = token_in(tmp_path)
    own_folder(tmp_path)
    (tmp_path / "elsewhere").write_text(SECRET)
    (tmp_path / "elsewhere").chmod(0o600)
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MirrorError, match="cannot be used"):
        client_of(tmp_path)
    file.unlink()
    file.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="other users may know"):
        client_of(tmp_path)
    file.rmdir()
    os.mkfifo(file, 0o600)
    with pytest.raises(ConfigError, match="other users may know"):
        client_of(tmp_path)
    file.unlink()
    file.touch(0o600)
    with pytest.raises(ConfigError, match="is empty"):
        client_of(tmp_path)


def test_a_link_in_place_of_the_pages_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".nbpipe").mkdir()
    (tmp_path / ".nbpipe" / ".pages").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="must be a folder of the service's own user"):
        client_of(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_loose_folder_of_the_pages_is_closed_again(tmp_path: Path) -> None:
    own_folder(tmp_path).chmod(0o777)
    assert mode(own_folder(tmp_path)) == 0o700


def test_a_configured_token_is_used_and_none_is_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = client_of(tmp_path, token=NAMED)
    assert client.get("/", headers={"Authorization": f"Bearer {SECRET}"}).status_code == 200
    assert client.get("/").status_code == 401
    assert not token_in(tmp_path).exists()
    assert "the pages ask for the token of env:PAGES" in caplog.text
    assert SECRET not in caplog.text


def test_a_configured_token_that_every_user_can_read_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    for bits, reported in ((0o600, False), (0o640, False), (0o644, True)):
        file.chmod(bits)
        caplog.clear()
        client_of(tmp_path, token=f"file:{file}")
        assert ("every user of this machine can read the token" in caplog.text) is reported


def test_the_pages_are_opened_by_a_word_only_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert client_of(tmp_path, pages="open").get("/").status_code == 200
    assert "the pages are open to everyone who can reach the port" in caplog.text
    assert not token_in(tmp_path).exists()


def test_open_pages_with_a_token_are_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="contradict"):
        client_of(tmp_path, pages="open", token=NAMED)


def test_the_deliveries_are_the_services_own(tmp_path: Path) -> None:
    client_of(tmp_path)
    files = [each for each in (tmp_path / ".nbpipe").iterdir() if each.is_file()]
    assert {each.name for each in files} == {"deliveries.sqlite"}
    assert {mode(each) for each in files} == {0o600}
