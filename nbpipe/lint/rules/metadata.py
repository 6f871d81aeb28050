"""NBP1xx: what the notebook says about itself, and what editors left in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbpipe.lint.findings import Spot
from nbpipe.lint.notebook import mapping
from nbpipe.lint.rules.declaration import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Notebook

RULES = Rules()

NOTEBOOK_NOISE = frozenset(
    [
        "colab",
        "toc",
        "toc-autonumbering",
        "toc-showcode",
        "toc-showmarkdowntxt",
        "toc-showtags",
        "varInspector",
        "hide_input",
        "latex_envs",
        "nbTranslate",
        "celltoolbar",
        "accelerator",
        "gpuClass",
        "vscode",
        "interpreter",
        "ExecuteTime",
        "toc_position",
        "notify_time_setting",
        "livereveal_width",
        "widgets_state",
    ]
)
CELL_NOISE = frozenset(
    [
        "ExecuteTime",
        "scrolled",
        "collapsed",
        "colab",
        "colab_type",
        "executionInfo",
        "outputId",
        "id",
        "heading_collapsed",
        "hidden",
        "run_control",
        "code_folding",
        "ExecutionTime",
        "execution",
        "papermill",
        "vscode",
        "pycharm",
        "application/vnd.databricks.v1+cell",
    ]
)
_ENVIRONMENT = re.compile(
    r"[('\"]?\.?v?env\b|conda|\b\d+\.\d+\.\d+\b|/|\\|\bvenv\b|poetry|pipenv", re.IGNORECASE
)
WIDGETS = "application/vnd.jupyter.widget-state+json"


@RULES.add(
    101,
    "no-kernelspec",
    fix="unsafe",
    why="Jupyter asks every user which kernel to start, and tools guess the language.",
    bad='"metadata": {}',
    good='"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}',
)
def no_kernelspec(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The notebook does not name its kernel."""
    if notebook.failure is None and not mapping(notebook.metadata.get("kernelspec")).get("name"):
        yield Spot("the metadata has no kernelspec with a name", fixed=True)


@RULES.add(
    102,
    "unknown-kernel",
    default="configured",
    why="Users of the platform are asked for another kernel, or cannot run the notebook.",
    bad='kernels = ["python3"] in [check], and "name": "my-env" in the notebook',
    good="a kernel that the platform has",
)
def unknown_kernel(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """The kernel is not among `kernels`."""
    name = mapping(notebook.metadata.get("kernelspec")).get("name")
    if settings.kernels and isinstance(name, str) and name and name not in settings.kernels:
        yield Spot(f"the kernel {name!r} is not one of: {', '.join(settings.kernels)}")


@RULES.add(
    103,
    "private-kernel-name",
    fix="safe",
    why="The display name is that of somebody's own environment; it changes with every author.",
    bad='"display_name": ".venv (3.11.4)"',
    good='"display_name": "Python 3"',
)
def private_display_name(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The kernel's display name is that of somebody's environment."""
    spec = mapping(notebook.metadata.get("kernelspec"))
    shown = spec.get("display_name")
    if spec.get("name") == "python3" and isinstance(shown, str) and _ENVIRONMENT.search(shown):
        yield Spot(f"the kernel is shown as {shown!r}", fixed=True)


@RULES.add(
    104,
    "editor-metadata",
    fix="safe",
    why="What an editor or an extension stores changes with every save and means nothing to"
    " others.",
    bad='"colab": {"provenance": []}',
    good="metadata without it",
)
def notebook_noise(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The notebook's metadata has what an editor left there."""
    if found := sorted(NOTEBOOK_NOISE & notebook.metadata.keys()):
        yield Spot(f"left by an editor: {', '.join(found)}", fixed=True)


@RULES.add(
    105,
    "editor-cell-metadata",
    fix="safe",
    why="What an editor or an extension stores changes with every save and means nothing to"
    " others.",
    bad='"ExecuteTime": {"start_time": "2024-05-02T10:11:12"}',
    good="metadata without it; tags such as `hide-output` mean something and stay",
)
def cell_noise(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A cell's metadata has what an editor left there."""
    for cell in notebook.cells:
        if found := sorted(CELL_NOISE & cell.metadata.keys()):
            yield Spot(f"left by an editor: {', '.join(found)}", cell.index, fixed=True)


@RULES.add(
    106,
    "widget-state",
    fix="safe",
    why="The state of widgets is large, belongs to one session, and is of no use in the next.",
    bad=f'"widgets": {{"{WIDGETS}": ...}}',
    good="metadata without it",
)
def widget_state(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The state of widgets is stored."""
    if "widgets" in notebook.metadata:
        yield Spot("the state of widgets is stored in the metadata", fixed=True)


@RULES.add(
    107,
    "missing-metadata",
    default="configured",
    why="Galleries, citations and searches of the collection rely on it.",
    bad='required-metadata = ["authors", "license"] in [check], and neither in the notebook',
    good='"authors": [{"name": "..."}] in the metadata, or `__author__ = "..."` in a cell',
)
def missing_metadata(notebook: Notebook, settings: CheckSettings) -> Iterator[Spot]:
    """A key of `required-metadata` is missing."""
    if not settings.required_metadata or notebook.failure is not None:
        return
    named = {match for cell in notebook.code for match in _DUNDER.findall(cell.source)}
    for key in settings.required_metadata:
        bare = key.strip("_").lower()
        known = {bare, bare.rstrip("s"), f"{bare}s"}
        if not (notebook.metadata.get(key) or known & named):
            yield Spot(f"the metadata has no {key!r}, and no cell sets __{bare.rstrip('s')}__")


_DUNDER = re.compile(r"^__([a-z]+)__\s*=\s*\S", re.MULTILINE)
