"""The comparison as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote

from nbpipe.comparison_reports import charts
from nbpipe.comparison_reports.content import below, sections
from nbpipe.comparison_reports.wording import text, title, tone
from nbpipe.reference.comparison.model import FAILING
from nbpipe.system.text import encodable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reports.reporter import Reporter

PLOTS = 6
"""Columns whose differences are drawn."""


@dataclass(frozen=True, slots=True)
class HtmlReporter:
    """Writes the HTML report, one file."""

    folder: Path | None = None
    """Where the page will be."""
    kind: str = "html"

    def report(self, comparison: Comparison, stream: TextIO) -> None:
        """Write the page."""
        stream.write(encodable(html(comparison, self.folder)))


def reporter(path: Path | None) -> Reporter[Comparison]:
    """Return the reporter of this kind."""
    return HtmlReporter(path and path.absolute().parent)


def html(comparison: Comparison, folder: Path | None = None) -> str:
    """Return the page; the template escapes everything but the pictures, which did so.

    Args:
        comparison: What it is about.
        folder: Where the page will be; links lead from there.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  (slow)
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("nbpipe.comparison_reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["link"] = partial(_link, folder)
    pictures = {
        "values": [
            (caption, Markup(picture))  # noqa: S704  (made and escaped by `charts`)
            for caption, picture in _histograms(comparison)
        ],
        "performance": [
            ("reference above, new below", Markup(charts.steps(comparison.performance)))  # noqa: S704
        ],
        "trend": [("wall time", Markup(charts.trend(comparison.trend)))],  # noqa: S704
    }
    return environment.get_template("comparison.html").render(
        title=title(comparison),
        summary=text(comparison.summary),
        tone=tone(comparison.verdict),
        verdict=comparison.verdict.value,
        today=comparison.today,
        sections=sections(comparison),
        pictures=pictures,
    )


def _link(folder: Path | None, path: str) -> str:
    """Return an address relative to the page, so that both may be moved together."""
    return quote(encodable(os.path.relpath(path, folder)) if folder else Path(path).as_posix())


def _histograms(comparison: Comparison) -> Iterator[tuple[str, str]]:
    _, named = below(comparison)
    pairs = [(file, column) for file in named.files for column in file.columns]
    pairs.sort(
        key=lambda pair: (
            pair[1].verdict not in FAILING,
            -(pair[1].excess or 0),
            -pair[1].beyond,
        )
    )
    for file, column in pairs[:PLOTS]:
        picture = charts.histogram(file.path, column)
        if picture:
            yield text(f"{column.column} in {file.path}: sizes of the differences"), picture
