"""The comparison for programs; its format is the business of `reference.comparison.document`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from nbpipe.reference.comparison.document import encode

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.reference.comparison.model import Comparison
    from nbpipe.reports.reporter import Reporter


@dataclass(frozen=True, slots=True)
class JsonReporter:
    """Writes the JSON report."""

    kind: str = "json"

    def report(self, comparison: Comparison, stream: TextIO) -> None:
        """Write the document."""
        stream.write(encode(comparison))


def reporter(path: Path | None) -> Reporter[Comparison]:  # noqa: ARG001  (alike for each kind)
    """Return the reporter of this kind."""
    return JsonReporter()
