"""Reports of a comparison of reference runs: console, JSON, Markdown, JUnit, HTML.

    request = parse("html=page.html", kinds=KINDS, output_dir=None)
    how = reporter(request); check(request, how)                    before comparing
    write(how, comparison, request.path, stdout=sys.stdout)         after it

`parse`, `check` and `write` are those of `nbpipe.reports`. A new kind is a module with a function
`reporter`, and a word in `config.tables.REPORTS`.

Every report tells the same sections in the same order (`content`). Whatever comes from a file is
plain text: escaped, and without control characters. This room stands above the services, because
it takes a comparison from one and the means of writing from another. Nothing is decided here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nbpipe.config.tables import REPORTS

if TYPE_CHECKING:
    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reports.reporter import Reporter, Request

KINDS = tuple(name for name, kind in REPORTS.items() if kind.compares)


def reporter(request: Request) -> Reporter[Comparison]:
    """Return the reporter for a request, one of `KINDS`: the one of the module of that name."""
    module = import_module(f"{__name__}.{request.kind}")
    made: Reporter[Comparison] = module.reporter(request.path)
    return made
