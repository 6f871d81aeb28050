"""A new notebook from a template: what a machine can know is filled in, the rest is for its author.

A template is a notebook. In its cells `{{title}}`, `{{authors}}`, `{{date}}`, `{{license}}`,
`{{keywords}}` and `{{kernel}}` are replaced, and so are the values of `__author__ = …` and its
like, which older templates have. Outputs of the template are not taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.errors import UsageError
from nbpipe.lint.notebook import read, text
from nbpipe.lint.rules.files import as_jupyter
from nbpipe.system import git
from nbpipe.system.text import plain_name

if TYPE_CHECKING:
    from datetime import date

BUILT_IN = Path(__file__).with_name("template.ipynb")
_PLACE = re.compile(r"\{\{\s*(title|authors|date|license|keywords|kernel)\s*\}\}")
_DUNDER = re.compile(
    r"^(?P<head>__(?P<name>title|authors?|date|license|licence|keywords?)__\s*=\s*).*$",
    re.MULTILINE,
)
_WITH_IDS = 5


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a new notebook says about itself."""

    title: str
    authors: tuple[str, ...]
    """Each a name, or `Name <address>`."""
    date: date
    license: str
    """An SPDX identifier; empty where nobody said one."""
    keywords: tuple[str, ...]
    kernel: str
    display_name: str
    """Of the kernel, for people."""
    language: str
    """Of the kernel, lower case."""


def author(folder: Path) -> str:
    """Return the name of the person whom git knows in a folder; empty: nobody.

    The address stays where it is: a notebook is published.
    """
    try:
        return git.output(folder, "config", "--get", "user.name").decode(errors="replace").strip()
    except git.GitError:
        return ""


def write(target: Path, template: Path, facts: Facts) -> None:
    """Write a new notebook; what is there is never overwritten.

    Raises:
        UsageError: The target exists, is no .ipynb or cannot be written, or the template is no
            notebook of format 4.
    """
    shown = plain_name(str(target))
    if target.suffix != ".ipynb":
        raise UsageError(f"{shown}: is not named .ipynb", hint="Name it TITLE.ipynb.")
    data = _filled(_template(template), facts)
    try:
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True)
        # Made with O_EXCL: nothing that somebody else puts there meanwhile is lost.
        with target.open("xb") as stream:
            stream.write(as_jupyter(data))
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(target):
            raise UsageError(
                f"{shown}: exists already", hint="Nothing was written. Choose another name."
            ) from error
        raise UsageError(f"{shown}: cannot be written: {os.strerror(error.errno or 0)}") from error


def _template(file: Path) -> dict[str, Any]:
    shown = plain_name(str(file))
    try:
        notebook = read(shown, str(file), file.read_bytes())
    except OSError as error:
        raise UsageError(
            f"template {shown}: cannot be read: {error.strerror}",
            hint="[check] template names it, relative to the collection's root.",
        ) from error
    if notebook.failure or notebook.version[0] != 4:  # noqa: PLR2004  (nbformat's)
        why = notebook.failure.message if notebook.failure else "its nbformat is not 4"
        raise UsageError(f"template {shown}: {why}")
    return json.loads(file.read_text(encoding="utf-8-sig"))  # type: ignore[no-any-return]


def _filled(template: dict[str, Any], facts: Facts) -> dict[str, Any]:
    values = {
        "title": facts.title,
        "authors": ", ".join(facts.authors),
        "date": facts.date.isoformat(),
        "license": facts.license,
        "keywords": ", ".join(facts.keywords),
        "kernel": facts.kernel,
    }
    cells = [_cell(cell, number, values, facts) for number, cell in enumerate(template["cells"])]
    return {
        "cells": cells,
        "metadata": {**template.get("metadata", {}), **_metadata(facts)},
        "nbformat": 4,
        "nbformat_minor": _WITH_IDS,
    }


def _metadata(facts: Facts) -> dict[str, Any]:
    named = {
        "kernelspec": {
            "display_name": facts.display_name,
            "language": facts.language,
            "name": facts.kernel,
        },
        "language_info": {"name": facts.language},
        "title": facts.title,
        "authors": [{"name": each.partition("<")[0].strip()} for each in facts.authors],
        "date": facts.date.isoformat(),
        "license": facts.license,
        "keywords": list(facts.keywords),
    }
    return {key: value for key, value in named.items() if value}


def _cell(
    cell: dict[str, Any], number: int, values: dict[str, str], facts: Facts
) -> dict[str, Any]:
    source = _PLACE.sub(lambda found: values[found[1]], text(cell.get("source")))
    if cell.get("cell_type") == "code":
        source = _DUNDER.sub(lambda found: f"{found['head']}{_value(found['name'], facts)}", source)
    mark = hashlib.sha256(f"{facts.title}\0{number}".encode("utf-8", "replace")).hexdigest()[:8]
    made = {**cell, "id": mark, "source": source.splitlines(keepends=True)}
    if cell.get("cell_type") == "code":
        made |= {"outputs": [], "execution_count": None}
    return made


def _value(name: str, facts: Facts) -> str:
    """Return a value as Python (and most other languages) write it."""
    if name.startswith("keyword"):
        return json.dumps(list(facts.keywords), ensure_ascii=False)
    values = {
        "title": facts.title,
        "date": facts.date.isoformat(),
        "license": facts.license,
        "licence": facts.license,
    }
    return json.dumps(values.get(name, ", ".join(facts.authors)), ensure_ascii=False)
