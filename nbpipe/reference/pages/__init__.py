"""A comparison of reference runs on one page: console, JSON, Markdown, JUnit, HTML.

    write_page(comparison, "html", Path("comparison.html"), stdout=sys.stdout)

Every page tells the same sections in the same order (`content`). Whatever comes from a file is
plain text: escaped, and without control characters. This room stands above the services, because
it takes a comparison from one and the means of writing from another. Nothing is decided here.
"""

from __future__ import annotations

from nbpipe.reference.pages.writing import KINDS, write_page

__all__ = ["KINDS", "write_page"]
