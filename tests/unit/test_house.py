"""The house is in order: licence, types, scripts, and rooms that say what they are for."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from nbpipe.distribution import NAME, pip_install

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


def texts() -> dict[str, str]:
    """Return every text of the repository, but this one."""
    found = {}
    for folder, folders, files in os.walk(REPOSITORY):
        folders[:] = [
            each
            for each in folders
            if each in {".ci", ".github"} or not each.startswith((".", "node_modules", "__pycache"))
        ]
        for file in (Path(folder) / name for name in files):
            if file != Path(__file__):
                text = file.read_bytes().decode("utf-8", "replace")
                found[str(file.relative_to(REPOSITORY))] = text
    return found


def test_pip_knows_us_by_one_name() -> None:
    assert PROJECT["name"] == NAME
    assert f"{NAME}[collection," in " ".join(PROJECT["optional-dependencies"]["test"])


SENDS_AWAY = re.compile(
    r"\bnbpipe\[(?!bot\])[a-z]"  # an extra; [bot] is a login at GitHub
    r"|\bnbpipe @ "  # a requirement with an address
    r"|\b(pip3?|pipx|uv|uvx)( pip| tool)? (install|run|add)\b[^\n;`|&]*?['\" ]nbpipe(?![-\w/.])"
)


def test_nothing_tells_people_to_install_the_other_project_called_nbpipe() -> None:
    found = {name: SENDS_AWAY.search(text) for name, text in texts().items()}
    assert {name: each[0] for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("pip install nbpipe", True),
        ("pip install -U 'nbpipe[text]'", True),
        ('python -m pip install --quiet "nbpipe @ git+https://host/x"', True),
        ("uv tool install nbpipe", True),
        (pip_install(), False),
        (pip_install("text"), False),
        ("pip install .; nbpipe test", False),
    ],
)
def test_such_a_text_is_seen(text: str, seen: bool) -> None:  # noqa: FBT001
    assert bool(SENDS_AWAY.search(text)) is seen


def test_the_readme_names_every_extra_as_our_messages_do() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for extra in ("dask", "github", "postgresql", "reference", "text"):
        assert extra in PROJECT["optional-dependencies"]
        assert f"`{pip_install(extra)}`" in readme


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


@pytest.mark.parametrize("module", MODULES, ids=NAMES)
def test_nothing_is_defined_after_a_module_has_run_as_a_program(module: Path) -> None:
    body = ast.parse(module.read_text(encoding="utf-8")).body
    guards = [each for each in body if isinstance(each, ast.If) and "__main__" in ast.unparse(each)]
    assert guards in ([], body[-1:]), "what follows the guard does not exist yet when it runs"


def test_no_module_has_a_vague_name() -> None:
    assert [name for name in NAMES if Path(name).stem in VAGUE] == []
