"""Imports run downwards only, and slow libraries are imported where they are used."""

from __future__ import annotations

import ast
import collections
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import pytest
from floors import LAYERS, REPOSITORY, SERVICES, sources

import nbpipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SLOW = {
    *("dask", "distributed", "flask", "git", "jupyterhub", "jupytext", "nbclient"),
    *("nbconvert", "nbformat", "numpy", "papermill", "requests", "rich", "sqlalchemy"),
}


def room(module: str) -> str:
    """Return the room that a module is in: the longest name of a layer that it begins with."""
    rooms = {each for layer in LAYERS for each in layer} - {"nbpipe"}
    inside = [each for each in rooms if module == each or module.startswith(f"{each}.")]
    return max(inside, key=len) if inside else module


def height(module: str) -> int | None:
    """Return the layer of a module, None for one that is in no room."""
    name = room(module)
    return next((number for number, layer in enumerate(LAYERS) if name in layer), None)


def imported(module: str, text: str, known: Mapping[str, str]) -> Iterator[str]:
    """Yield which of our modules a module imports, also in functions and for type checkers."""
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            assert node.level == 0, f"{module}: a relative import"
            inner = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in known else base for name in inner]
        yield from (name for name in names if name.partition(".")[0] in {"nbpipe", "webhook"})


def violations(texts: Mapping[str, str]) -> list[str]:
    """Return every import that does not run downwards, and every module without a room."""
    wrong = [f"{module} is in no room" for module in texts if height(module) is None]
    for module, text in texts.items():
        for target in imported(module, text, texts):
            mine, other = height(module), height(target)
            if room(module) == room(target) or mine is None or other is None:
                continue
            if other > mine:
                wrong.append(f"{module} imports {target}, which is above it")
            elif room(module) in SERVICES and room(target) in SERVICES:
                wrong.append(f"{module} imports {target}: two services")
            elif mine == other == 0:
                wrong.append(f"{module} imports {target}: the lowest import nothing")
    return wrong


def graph_of_modules(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Return what each module imports at its top; what a function imports can wait."""
    graph = {}
    for name, text in texts.items():
        tree = ast.parse(text)
        tops = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        top = ast.unparse(ast.Module(list[ast.stmt](tops), []))
        graph[name] = {*imported(name, top, texts)} - {name}
    return graph


def graph_of_rooms(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Return which rooms each room imports from, wherever it does."""
    graph: dict[str, set[str]] = {}
    for name, text in texts.items():
        targets = {room(target) for target in imported(name, text, texts)}
        graph.setdefault(room(name), set()).update(targets - {room(name)})
    return graph


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return a cycle, empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def run(code: str, cwd: Path = REPOSITORY) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_run_downwards_only() -> None:
    assert violations(sources()) == []


def test_there_is_no_cycle_of_modules() -> None:
    assert cycle(graph_of_modules(sources())) == []


def test_there_is_no_cycle_of_modules_not_even_for_types_or_in_functions() -> None:
    texts = {name: text for name, text in sources().items() if name not in {"nbpipe", "webhook"}}
    every = {name: {*imported(name, text, texts)} - {name} for name, text in texts.items()}
    inside = {name: {each for each in found if each in texts} for name, found in every.items()}
    assert cycle(inside) == []


def test_there_is_no_cycle_of_rooms() -> None:
    texts = {name: text for name, text in sources().items() if name != "nbpipe"}
    assert cycle(graph_of_rooms(texts)) == []


def test_every_module_is_looked_at() -> None:
    assert {"nbpipe", "nbpipe.model", "nbpipe.cli.test", "webhook"} <= sources().keys()


@pytest.mark.parametrize(
    ("module", "text", "said"),
    [
        ("nbpipe.config", "from nbpipe import collecting", "which is above it"),
        ("nbpipe.config", "def f():\n    import nbpipe.cli.test", "which is above it"),
        ("nbpipe.errors", "if TYPE_CHECKING:\n    from nbpipe.model import A", "import nothing"),
        ("nbpipe.reports.x", "from nbpipe.execution.source import read", "two services"),
        ("nbpipe.reports.x", "from nbpipe import collecting", "two services"),
        ("nbpipe.execution", "from nbpipe.runner import cores", "which is above it"),
        ("nbpipe.runner", "import webhook", "which is above it"),
        ("nbpipe.collecting", "from nbpipe import test", "which is above it"),
        ("nbpipe.newcomer", "", "is in no room"),
    ],
)
def test_a_violation_is_seen(module: str, text: str, said: str) -> None:
    (wrong,) = violations({**sources(), module: text})
    assert wrong.startswith(f"{module} ")
    assert said in wrong


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("nbpipe.config", "from nbpipe.errors import ConfigError"),
        ("nbpipe.reports.x", "from nbpipe.reports.y import z"),
        ("nbpipe.runner", "def f():\n    from nbpipe.execution.schedule import Scheduler"),
        ("webhook.x", "from nbpipe import collecting, model"),
        ("nbpipe.model", "import dataclasses, nbpipeline"),
    ],
)
def test_what_is_allowed_is_no_violation(module: str, text: str) -> None:
    assert violations({**sources(), module: text}) == []


def test_a_cycle_of_modules_is_seen() -> None:
    texts = {
        "nbpipe.reports.a": "from nbpipe.reports import b",
        "nbpipe.reports.b": "from nbpipe.reports.c import x",
        "nbpipe.reports.c": "import nbpipe.reports.a",
    }
    assert set(cycle(graph_of_modules(texts))) == texts.keys()


def test_a_cycle_of_rooms_is_seen() -> None:
    texts = {
        "nbpipe.api": "def f():\n    from nbpipe import runner",
        "nbpipe.runner": "if TYPE_CHECKING:\n    from nbpipe.api import x",
    }
    assert set(cycle(graph_of_rooms(texts))) == {"nbpipe.api", "nbpipe.runner"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["test", "--help"], ["test", "--list"], ["config"], ["nosuch"]],
)
def test_a_quick_command_imports_nothing_slow(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text('{"cells": [], "metadata": {}}')
    code = f"import sys; from nbpipe.cli import run; run({arguments!r}); print('#', *sys.modules)"
    modules = run(code, tmp_path).rpartition("#")[2].split()
    assert "nbpipe.cli" in modules
    assert SLOW.intersection(modules) == set()


def test_importing_the_package_imports_nothing_slow() -> None:
    modules = run("import sys, nbpipe; print(*sys.modules)").split()
    assert (SLOW | {"asyncio", "click", "msgspec"}).intersection(modules) == set()


def test_collections_is_the_standard_librarys_from_the_repositorys_root() -> None:
    assert run("import collections; print(collections.__file__)").strip() == collections.__file__
    assert list((REPOSITORY / "collections").rglob("__init__.py")) == []


def test_the_public_names_are_these() -> None:
    assert sorted(nbpipe.__all__) == [
        "Category",
        "ConfigError",
        "Failure",
        "NbpipeError",
        "NothingCollected",
        "Outcome",
        "Result",
        "TestRun",
        "UsageError",
        "__version__",
        "test",
    ]


def test_every_public_name_is_there() -> None:
    assert [name for name in nbpipe.__all__ if getattr(nbpipe, name, None) is None] == []


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nbpipe' has no attribute 'nosuch'"):
        _ = nbpipe.nosuch
