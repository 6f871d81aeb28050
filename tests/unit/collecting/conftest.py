"""Small real trees of notebooks, and the plan that comes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbpipe import config
from nbpipe.collecting import InstalledKernel, Selection, plan
from nbpipe.config.settings import Settings

if TYPE_CHECKING:
    from nbpipe.model import Plan, Task


def kernel(name: str, language: str) -> InstalledKernel:
    return InstalledKernel(
        name=name,
        display_name=name,
        language=language,
        argv=("run", "{connection_file}"),
        interpreter=None,
        resource_dir=f"/kernels/{name}",
    )


KERNELS = {
    name: kernel(name, language)
    for name, language in (("bash", "bash"), ("ir", "r"), ("python3", "python"))
}


class Tree:
    """A folder of notebooks."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def notebook(self, *names: str, **metadata: object) -> None:
        """Write empty notebooks."""
        for name in names:
            document = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
            self.write(name, json.dumps(document))

    def write(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def plan(self, *patterns: str, cwd: str = ".", toml: str = "", **selection: Any) -> Plan:  # noqa: ANN401  (Selection's)
        """Return the plan for a command started in `cwd`, with that text in nbpipe.toml."""
        if toml:
            self.write("nbpipe.toml", toml)
        start = self.root / cwd
        settings = config.load(start)
        if settings.file is None:
            settings = config.Config(
                root=self.root, file=None, settings=Settings(), given=frozenset()
            )
        return plan(Selection(cwd=start, patterns=patterns, **selection), settings, kernels=KERNELS)

    def paths(self, *patterns: str, **arguments: Any) -> list[str]:  # noqa: ANN401  (those of plan)
        """Return what would run."""
        return [task.path for task in self.plan(*patterns, **arguments).tasks]

    def excluded(self, *patterns: str, **arguments: Any) -> dict[str, str]:  # noqa: ANN401  (likewise)
        """Return what would not, with the reason."""
        return {out.path: out.reason for out in self.plan(*patterns, **arguments).excluded}

    def task(self, *patterns: str, **arguments: Any) -> Task:  # noqa: ANN401  (likewise)
        """Return the only task."""
        (task,) = self.plan(*patterns, **arguments).tasks
        return task


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(Path(tmp_path))
