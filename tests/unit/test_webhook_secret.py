"""Secrets come from outside, hold while they are there, and are never printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.errors import ConfigError
from webhook.receiving.secret import Secrets

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_comes_from_a_variable_or_from_a_file_without_its_newline(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"from the file\n")
    secrets = Secrets(("env:HOOK", f"file:{file}"), {"HOOK": "from the variable"})
    secrets.check("n")
    assert secrets.read() == [b"from the variable", b"from the file"]


def test_a_rotated_file_holds_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("the old secret")
    secrets = Secrets((f"file:{file}",), {})
    assert secrets.read() == [b"the old secret"]
    file.write_text("the new secret")
    assert secrets.read() == [b"the new secret"]


@pytest.mark.parametrize("content", ["", "\n", " \t\n"])
def test_an_empty_secret_is_refused_at_the_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    with pytest.raises(ConfigError, match="is empty or missing"):
        Secrets((f"file:{file}",), {}).check("n")
    with pytest.raises(ConfigError, match="env:HOOK is empty or missing"):
        Secrets(("env:HOOK",), {"HOOK": content}).check("n")


def test_a_missing_secret_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="env:HOOK is empty or missing"):
        Secrets(("env:HOOK",), {}).check("n")
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        Secrets((f"file:{tmp_path}/none",), {}).check("n")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        Secrets((f"file:{tmp_path}",), {}).check("n")


def test_one_empty_secret_among_good_ones_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="env:OLD"):
        Secrets(("env:NEW", "env:OLD"), {"NEW": "x"}).check("n")


def test_no_secret_at_all_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="collection n: `secrets` is empty"):
        Secrets((), {}).check("n")


@pytest.mark.parametrize("source", ["hunter2", "env:", "file:", "ENV:hunter2", "vault:hunter2"])
def test_a_secret_written_into_the_configuration_is_refused_and_not_printed(source: str) -> None:
    with pytest.raises(ConfigError, match='neither "env:NAME" nor "file:PATH"') as caught:
        Secrets((source,), {}).check("n")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_vanishes_accepts_nothing_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cr3t-of-the-hook")
    secrets = Secrets((f"file:{file}",), {})
    secrets.check("n")
    file.unlink()
    assert secrets.read() == []
    assert f"the secret file:{file} cannot be read" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_huge_file_is_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"x" * 65_537)
    with pytest.raises(ConfigError, match="is larger than 65536 bytes"):
        Secrets((f"file:{file}",), {}).check("n")


def test_environment_values_are_not_in_the_representation() -> None:
    assert "hunter2" not in repr(Secrets(("env:HOOK",), {"HOOK": "hunter2"}))


@pytest.mark.parametrize("value", ["x", "hunter2", "  x        ", "1234567\n"])
def test_a_secret_that_could_be_guessed_is_refused_at_the_start_and_not_printed(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "secret").write_text(value)
    for source in ("env:HOOK", f"file:{tmp_path}/secret"):
        with pytest.raises(ConfigError, match="is shorter than 8 bytes") as caught:
            Secrets((source,), {"HOOK": value}).check("n")
        assert source in str(caught.value)
        assert "openssl rand -hex 32" in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_every_unusable_secret_is_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"env:A is shorter.*env:B is empty"):
        Secrets(("env:A", "env:B"), {"A": "x"}).check("n")


def test_a_short_secret_is_complained_of_and_a_long_one_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Secrets(("env:SHORT", "env:LONG"), {"SHORT": "hunter2-2", "LONG": "0123456789abcdef"}).check(
        "n"
    )
    assert "env:SHORT has only 9 bytes" in caplog.text
    assert "env:LONG" not in caplog.text
    assert "hunter2" not in caplog.text


def test_a_secret_that_is_replaced_by_a_short_one_accepts_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef")
    secrets = Secrets((f"file:{file}",), {})
    secrets.check("n")
    file.write_text("x")
    assert secrets.read() == []
    assert "is shorter than 8 bytes" in caplog.text
