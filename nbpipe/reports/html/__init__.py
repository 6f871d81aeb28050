"""The HTML report: one folder, or one file, that needs nothing else, no network and no server.

`index.html` tells the run; below `notebooks/` every executed copy is rendered. What a notebook
made is shown in a sandboxed frame of an origin of its own, under a policy that allows no
connection: its scripts may draw, and reach nothing.

    HtmlReporter(rerun=...).write(run, folder)                 or: write(run, Path("one.html"))

Importing this package imports neither jinja2 nor nbconvert.
"""

from __future__ import annotations

from nbpipe.reports.html.report import HtmlReporter, reporter

__all__ = ["HtmlReporter", "reporter"]
