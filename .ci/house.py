"""Print the figures of docs/house.md: how large the rooms are, and how far one notebook walks.

    python .ci/house.py

A module's importers are counted over nbpipe and webhook, wherever in a module an import stands.
The files that one passing notebook enters are those of which a function is called in the process of
`nbpipe test`; the modules that run in the kernel's own process are not seen.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

ROOT = Path(__file__).parents[1]
SMALL = 60
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "source": "1 + 1",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 4,
}
ENTERED = """
import os, sys, threading
root, seen = sys.argv[1], set()
def note(frame, event, argument):
    code = frame.f_code
    ours = code.co_filename.startswith((root + "/nbpipe/", root + "/webhook/"))
    if ours and event == "call" and code.co_flags & 1:
        seen.add(code.co_filename)
from nbpipe.cli import main
sys.argv = ["nbpipe", "test", "one.ipynb"]
threading.setprofile(note); sys.setprofile(note)
try:
    main()
except SystemExit:
    pass
sys.setprofile(None)
print(len(seen), file=sys.__stderr__)
"""
"""Functions have CO_OPTIMIZED (1), the bodies of modules and classes have not."""


def modules() -> dict[str, ast.Module]:
    """Return every module of the two packages."""
    found = {}
    for package in ("nbpipe", "webhook"):
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def length(name: str) -> int:
    """Return how many lines a module has."""
    place = ROOT / name.replace(".", "/")
    file = place.with_suffix(".py")
    text = (file if file.is_file() else place / "__init__.py").read_text(encoding="utf-8")
    return len(text.splitlines())


def imports(tree: ast.AST, known: dict[str, ast.Module]) -> set[str]:
    """Return which of our modules a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{each.name}" for each in node.names]
            found |= {name if name in known else node.module for name in inner}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found & known.keys()


def in_cycles(graph: dict[str, set[str]]) -> set[str]:
    """Return the modules from which imports, of functions and for types too, lead back to them."""

    def reached(start: str) -> set[str]:
        seen, left = set[str](), list(graph[start])
        while left:
            if (name := left.pop()) not in seen:
                seen.add(name)
                left += graph[name]
        return seen

    return {name for name in graph if name in reached(name)}


def depth(name: str, graph: dict[str, set[str]], memory: dict[str, int]) -> int:
    """Return the length of the longest chain of imports from a module; cycles count once."""
    if name not in memory:
        memory[name] = 0
        memory[name] = 1 + max((depth(each, graph, memory) for each in graph[name]), default=0)
    return memory[name]


def entered() -> str:
    """Return how many of our files one passing notebook enters."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "one.ipynb").write_text(json.dumps(NOTEBOOK))
        environ = os.environ | {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": folder}
        done = subprocess.run(
            [sys.executable, "-c", ENTERED, str(ROOT)],
            cwd=folder, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Print one figure a line."""
    known = modules()
    lines = {name: length(name) for name in known}
    graph = {name: imports(tree, known) - {name} for name, tree in known.items()}
    importers = [sum(name in targets for targets in graph.values()) for name in known]
    functions = [
        (node.end_lineno or 0) - node.lineno + 1
        for tree in known.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    print("files", len(known))
    print("lines", sum(lines.values()))
    print("files that one passing notebook enters", entered())
    print(f"modules of less than {SMALL} lines", sum(each < SMALL for each in lines.values()))
    print("modules with exactly one importer", importers.count(1))
    print("longest chain of imports", max(depth(name, graph, {}) for name in known))
    print("lines of a function, 95th percentile", round(quantiles(functions, n=20)[-1]))
    print("lines of a function, most", max(functions))
    print(
        "lines of cli", sum(count for name, count in lines.items() if name.startswith("nbpipe.cli"))
    )
    print("modules in a cycle of imports", len(in_cycles(graph)))


if __name__ == "__main__":
    main()
