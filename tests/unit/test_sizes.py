"""Amounts of memory as people write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe import sizes
from nbpipe.config import load
from nbpipe.errors import ConfigError, UsageError
from nbpipe.runner import memory_budget

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1K", 1024),
        ("512M", 512 * 1024**2),
        ("16G", 16 * 1024**3),
        ("16GB", 16 * 1024**3),
        (" 16 GiB ", 16 * 1024**3),
        ("1.5Ti", 3 * 1024**4 // 2),
    ],
)
def test_units_are_powers_of_1024(text: str, amount: int) -> None:
    assert sizes.parse(text) == amount


@pytest.mark.parametrize("text", ["", "16", "0G", "0.0G", "-1G", "G", "16g", "1e3M", "80%", "1,5G"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory, such as 16G"):
        sizes.parse(text)


def test_a_share_is_of_the_whole() -> None:
    assert sizes.budget("80%", whole=1000) == 800
    assert sizes.budget("2K", whole=1000) == 2048


@pytest.mark.parametrize("text", ["0%", "101%", "1000%", "8.5%", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="or a share such as 80%"):
        sizes.budget(text, whole=1000)


def test_a_share_of_something_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="how much memory this machine has is not known"):
        sizes.budget("80%", whole=None)


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
    assert sizes.shown(amount) == text


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
