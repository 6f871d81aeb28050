"""What CI installs is locked: one version of each package, by hashes, and from no host by name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nbpipe.bisecting.locks import Lock, read
from nbpipe.distribution import NAME

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "requirements.lock"
NODE = REPOSITORY / "tests/integration/node"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def locked(python: str) -> Lock:
    """Return what is locked for a Python on Linux."""
    here = {name: str(value) for name, value in default_environment().items()}
    markers = {"python_version": python, "python_full_version": f"{python}.9"}
    return read(LOCK, here | {"sys_platform": "linux", **markers})


def wanted() -> list[Requirement]:
    """Return all that pyproject.toml asks for, extras and the build too."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    texts = [
        *PROJECT["project"]["dependencies"],
        *(each for extra in extras for each in extra),
        *PROJECT["build-system"]["requires"],
    ]
    return [each for each in map(Requirement, texts) if each.name != NAME]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_has_what_the_project_asks_for(python: str) -> None:
    pins = locked(python).pins
    assert len(pins) > 100
    for each in wanted():
        version = pins[canonicalize_name(each.name)].version
        assert each.specifier.contains(version), f"{each}: {version} is locked; run ./dev lock"


def test_every_pin_has_hashes_and_comes_from_wherever_pip_looks() -> None:
    lock = locked("3.13")
    assert [name for name, pin in lock.pins.items() if not pin.hashes or pin.has_address] == []
    assert lock.options == ()
    assert "://" not in LOCK.read_text(encoding="utf-8")


def test_the_packages_of_npm_are_locked_without_an_address() -> None:
    lock = json.loads((NODE / "package-lock.json").read_text(encoding="utf-8"))
    asked = json.loads((NODE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    (own, *others) = lock["packages"].values()
    assert own["dependencies"] == asked
    assert [each for each in others if "resolved" in each or not each["integrity"]] == []
    assert {f"node_modules/{name}" for name in asked} <= lock["packages"].keys()
