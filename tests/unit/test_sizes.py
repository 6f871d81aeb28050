"""Amounts of memory and durations as people write and read them: one grammar for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click import BadParameter

from nbpipe.cli.options import Duration
from nbpipe.config import load
from nbpipe.errors import ConfigError, UsageError
from nbpipe.reference import spelling
from nbpipe.runner import memory_budget
from nbpipe.system import units

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1K", 1024),
        ("512M", 512 * 1024**2),
        ("16G", 16 * 1024**3),
        ("16GB", 16 * 1024**3),
        ("16g", 16 * 1024**3),
        ("100k", 100 * 1024),
        ("100K", 100 * 1024),
        (" 16 GiB ", 16 * 1024**3),
        ("1.5Ti", 3 * 1024**4 // 2),
    ],
)
def test_units_are_powers_of_1024(text: str, amount: int) -> None:
    assert units.size(text) == amount


@pytest.mark.parametrize("text", ["", "16", "0G", "0.0G", "-1G", "G", "1e3M", "80%", "1,5G"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory, such as 16G"):
        units.size(text)


def test_a_share_is_of_the_whole() -> None:
    assert units.budget("80%", whole=1000) == 800
    assert units.budget("2K", whole=1000) == 2048


@pytest.mark.parametrize("text", ["0%", "101%", "1000%", "8.5%", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="or a share such as 80%"):
        units.budget(text, whole=1000)


def test_a_share_of_something_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="how much memory this machine has is not known"):
        units.budget("80%", whole=None)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 KiB"),
        (45 * 1024**2, "45 MiB"),
        (1024**3 - 1, "1.0 GiB"),
        (int(1.5 * 1024**3), "1.5 GiB"),
        (120 * 1024**3, "120 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_an_amount_is_shown_short(amount: int, text: str) -> None:
    assert units.memory(amount) == text


def test_the_configuration_says_which_amount_is_wrong(tmp_path: Path) -> None:
    toml = '[test]\nmemory-budget = "16"\n[[test.overrides]]\npaths = ["*"]\nmemory = "80%"\n'
    (tmp_path / "nbpipe.toml").write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert "test.memory-budget: expected an amount of memory" in str(caught.value)
    assert "test.overrides[0].memory: expected an amount of memory" in str(caught.value)


def test_a_budget_is_an_amount_of_this_machine() -> None:
    assert memory_budget(None) is None
    assert memory_budget("1G") == 1024**3
    half, whole = memory_budget("50%"), memory_budget("100%")
    assert half is not None
    assert whole is not None
    assert abs(2 * half - whole) <= 1


def test_a_budget_that_is_none_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"memory-budget: 'much' is not an amount"):
        memory_budget("much")


@pytest.mark.parametrize(
    "text",
    ["16g", "16G", "16gb", "16 GiB", "1.5t", "100k", "0.5M", "1e3M", "16", "5%", "9" * 30 + "T"],
)
def test_a_profile_and_a_budget_read_an_amount_alike(text: str) -> None:
    try:
        amount = units.size(text)
    except ValueError:
        amount = 0
    try:
        asked = spelling.memory(text, "memory")
    except UsageError:
        asked = 0
    assert asked == (amount if amount >= units.MIB else 0)  # schedulers count in MiB


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0.5", 0.5),
        ("90s", 90.0),
        ("10m", 600.0),
        ("1.5h", 5_400.0),
        ("4h", 14_400.0),
        ("1h30m", 5_400.0),
        ("2d", 172_800.0),
        ("2:00:00", 7_200.0),
        ("1-12:00:00", 129_600.0),
    ],
)
def test_a_duration_is_read_alike_by_everybody(text: str, seconds: float, tmp_path: Path) -> None:
    assert units.seconds(text) == seconds
    assert Duration().convert(text, None, None) == seconds
    toml = text if units.is_bare(text) else f'"{text}"'
    (tmp_path / "nbpipe.toml").write_text(f"[test]\ntimeout = {toml}\n[notify]\ntimeout = {toml}")
    settings = load(tmp_path).settings
    assert (settings.test.timeout, settings.notify.timeout) == (seconds, seconds)
    if not units.is_bare(text):
        assert spelling.duration(text, "walltime") == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0s",
        "0:00:00",
        "-1h",
        "1:30",
        "1:60:00",
        "4 hours",
        "1h ",
        "1m1h",
        "h",
        "\u0661h",
        "nan",
    ],
)
def test_what_is_no_duration_is_refused_by_everybody(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a duration, such as 90"):
        units.seconds(text)
    with pytest.raises(BadParameter):
        Duration().convert(text, None, None)
    with pytest.raises(UsageError):
        spelling.duration(text, "walltime")
    (tmp_path / "nbpipe.toml").write_text(f'[test]\ntimeout = "{text}"')
    with pytest.raises(ConfigError, match=r"test\.timeout: expected a number, got text"):
        load(tmp_path)


def test_every_limit_of_time_in_the_configuration_takes_units(tmp_path: Path) -> None:
    toml = '[[test.overrides]]\npaths = ["a"]\nnotebook-timeout = "1h30m"\n'
    more = '[[collection]]\nname = "n"\norigin = "o"\nroot = "/r"\npoll = "5m"\n'
    (tmp_path / "nbpipe.toml").write_text(toml + more)
    settings = load(tmp_path).settings
    assert settings.test.overrides[0].notebook_timeout == 5_400.0
    assert settings.collection[0].poll == 300.0


@pytest.mark.parametrize(
    ("amount", "text"),
    [(12, "12 B"), (1_500, "1.5 kB"), (4_000_000, "4.0 MB"), (2 * 10**12, "2.0 TB")],
)
def test_the_size_of_a_file_is_in_powers_of_1000(amount: int, text: str) -> None:
    assert units.data(amount) == text
