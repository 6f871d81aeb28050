"""What ARCHITECTURE.md claims about rooms, floors and libraries is so."""

from __future__ import annotations

import ast
import re

import pytest
from floors import LAYERS, REPOSITORY, sources

MAP = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")

OWNERS = {
    "sqlalchemy": "nbpipe.history",
    "flask": "webhook",
    "git": "nbpipe.publishing.origin",
    "dask": "nbpipe.cluster",
    "distributed": "nbpipe.cluster",
    "numpy": "nbpipe.reference",
    "click": "nbpipe.cli",
}
"""A library, and the only room that imports it."""


def importers(library: str) -> set[str]:
    """Return the modules that import a library, wherever in them."""
    found = set()
    for module, text in sources().items():
        for node in ast.walk(ast.parse(text)):
            names = (
                [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            if any(name.partition(".")[0] == library for name in names):
                found.add(module)
    return found


def test_the_floors_are_drawn_as_the_imports_are_checked() -> None:
    drawn = [
        set(line.split())
        for line in MAP.split("lowest first:\n\n```\n")[1].split("```")[0].splitlines()
    ]
    checked = [{each.removeprefix("nbpipe.") for each in layer} for layer in LAYERS]
    assert drawn == checked[:-1]  # the last one is the package itself


def test_every_floor_has_rooms_that_are_there() -> None:
    modules = sources().keys()
    for room in (each for layer in LAYERS for each in layer):
        assert any(module == room or module.startswith(f"{room}.") for module in modules), room


@pytest.mark.parametrize("room", sorted(each for layer in LAYERS[:-1] for each in layer))
def test_every_room_is_in_the_map(room: str) -> None:
    name = room.removeprefix("nbpipe.")
    drawn = MAP.split("## Rooms")[1].split("## A run")[0]
    assert re.search(rf"(?<![\w.]){re.escape(name)}(?:\.py|/|\b)", drawn)


@pytest.mark.parametrize(("library", "room"), OWNERS.items())
def test_a_library_is_imported_in_its_room_only(library: str, room: str) -> None:
    found = importers(library)
    assert found
    assert {each for each in found if not each.startswith(room)} == set()


def test_every_room_says_what_it_is_for_and_what_may_not_enter() -> None:
    folders = {
        name: text
        for name, text in sources().items()
        if (REPOSITORY / name.replace(".", "/") / "__init__.py").is_file() and name != "nbpipe"
    }
    assert folders
    for name, text in folders.items():
        document = ast.get_docstring(ast.parse(text)) or ""
        assert document, f"{name} does not say what it is for"
        limits = r"(?i)\b(nothing|not|never|no|nobody|alone|only|none)\b"
        assert re.search(limits, document), f"{name} does not say what may not enter"
