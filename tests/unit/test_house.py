"""The house is in order: licence, types, scripts, and rooms that say what they are for."""

from __future__ import annotations

import ast
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MODULES = sorted([*REPOSITORY.glob("nbpipe/**/*.py"), *REPOSITORY.glob("webhook/**/*.py")])
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES = [str(module.relative_to(REPOSITORY)) for module in MODULES]

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "tools"}


def test_the_licence_is_bsd_3_clause() -> None:
    text = " ".join((REPOSITORY / "LICENSE").read_text(encoding="utf-8").split())
    assert text.startswith("BSD 3-Clause License")
    assert "Neither the name of the copyright holder" in text
    assert PROJECT["license"] == "BSD-3-Clause"
    assert PROJECT["license-files"] == ["LICENSE"]


@pytest.mark.parametrize("package", ["nbpipe", "webhook"])
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").is_file()


@pytest.mark.parametrize("script", ["nbpipe", "jupyter-nbpipe"])
def test_a_console_script_leads_to_a_function(script: str) -> None:
    module, _, name = PROJECT["scripts"][script].partition(":")
    assert callable(getattr(import_module(module), name))


def test_the_readme_is_there() -> None:
    assert (REPOSITORY / PROJECT["readme"]).read_text(encoding="utf-8").startswith("# nbpipe")


def test_python_3_11_is_enough() -> None:
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_module_is_looked_at() -> None:
    assert {"nbpipe/model.py", "nbpipe/cli/__init__.py", "webhook/__init__.py"} <= {*NAMES}


@pytest.mark.parametrize("module", MODULES, ids=NAMES)
def test_a_module_says_what_it_is_for(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "it has no docstring"


def test_no_module_has_a_vague_name() -> None:
    assert [name for name in NAMES if Path(name).stem in VAGUE] == []
