"""What users read is idiomatic English: phrases that are not, wherever a text may be shown."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted(
    file for room in ("nbpipe", "webhook") for file in (REPOSITORY / room).rglob("*.py")
)
PAGES = sorted(
    file for room in ("nbpipe", "webhook") for file in (REPOSITORY / room).rglob("*.html")
)
PHRASES = {
    r"(?<!there )\bis no (?!longer\b|more than\b)": "is not a …",
    r"(?<!there )\bare no (?!longer\b)": "are not …",
    r"\b(?:is|are) none\b(?! of these)": "is not one of …",
    r"\b(?:is|are) not there\b": "is missing",
    r"\bnot there any ?more\b": "was removed",
    r"\bso many\b": "up to N",
    r"\blikewise\b": "what it does",
    r"\bamiss\b": "wrong",
    r"\btold\b(?! apart)": "reported, notified",
    r"\bsomebody else\b": "another user",
    r"\bwhat there is\b": "lists …",
    r"\bone a (?:core|line|slot)\b": "one per …",
    r"\bnobody is to\b": "no recipients",
    r"\bwhoever reaches\b": "anyone who can reach",
}
"""A phrase, and what the field says instead."""


def shown(file: Path) -> Iterator[tuple[int, str]]:
    """Yield every text of a module that a user may see, with its line.

    That is each string but the docstrings; of the settings the docstrings too, which
    `nbpipe config --keys` prints.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    printed = file.parent.name == "config" and file.name not in {"files.py", "keys.py"}
    commands = {
        id(each.body[0].value)
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef)
        and any("command(" in ast.unparse(deco) for deco in each.decorator_list)
        and isinstance(each.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) not in documents or printed or id(node) in commands:
            yield node.lineno, node.value


def faults(text: str) -> list[str]:
    return [better for phrase, better in PHRASES.items() if re.search(phrase, text, re.IGNORECASE)]


@pytest.mark.parametrize(
    "text",
    ["is no job's id", "auto: one a core", "So many at once", "git is not there", "Likewise."],
)
def test_the_phrases_are_recognised(text: str) -> None:
    assert faults(text)


def test_the_texts_of_a_module_are_found(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""A room of its own."""\n\nraise ValueError(f"{1}: git is not there")\n')
    assert [text for _, text in shown(file)] == [": git is not there"]


def test_no_text_that_users_read_has_one_of_them() -> None:
    found = [
        f"{file.relative_to(REPOSITORY)}:{line}: {text.strip()[:80]!r} -> {better}"
        for file in SOURCES
        for line, text in shown(file)
        for better in faults(text)
    ]
    found += [
        f"{file.relative_to(REPOSITORY)}:{number}: {line.strip()[:80]!r} -> {better}"
        for file in PAGES
        for number, line in enumerate(
            re.sub(r"\{[%{#].*?[%}#]\}", "", file.read_text()).splitlines(), 1
        )
        for better in faults(line)
    ]
    assert not found, "\n".join(found)
