"""The floors of the house, and every module with its text."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

LAYERS = (
    {"nbpipe.errors", "nbpipe.model", "nbpipe._version", "nbpipe.system"},
    {"nbpipe.worktree", "nbpipe.distribution"},
    {"nbpipe.config"},
    {"nbpipe.impact"},
    {
        *("nbpipe.collecting", "nbpipe.execution", "nbpipe.reports", "nbpipe.history"),
        *("nbpipe.publishing", "nbpipe.reference"),
    },
    {
        *("nbpipe.subset", "nbpipe.prepare", "nbpipe.runner", "nbpipe.outputs", "nbpipe.api"),
        *("nbpipe.checkup", "nbpipe.batch", "nbpipe.bisecting", "nbpipe.comparison_reports"),
        *("nbpipe.github", "nbpipe.notify", "nbpipe.lint"),
    },
    {"nbpipe.cluster"},
    {"nbpipe.cli", "webhook"},
    {"nbpipe", "nbpipe.__main__"},
)
"""Lowest first. The rooms of the fifth are services: they never import each other."""

SERVICES = LAYERS[4]


def sources() -> dict[str, str]:
    """Return every module of the two packages with its text."""
    found = {}
    for package in ("nbpipe", "webhook"):
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            parts = file.relative_to(REPOSITORY).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = file.read_text(encoding="utf-8")
    return found
