"""Two reference runs compared: files, schemas, values, performance, and one verdict.

    rules = Rules(config.settings.reference["minitest"])
    found = compare(reference, reference_files, new, new_files, rules, today)
    found.verdict, found.exit_code

Manifests and data products come in, a `Comparison` of plain values goes out; what it looks like
is the business of `nbpipe.comparison_reports`.
"""

from __future__ import annotations

from nbpipe.reference.comparison.comparing import compare
from nbpipe.reference.comparison.document import encode, schema
from nbpipe.reference.comparison.model import Comparison, Verdict
from nbpipe.reference.comparison.rules import Rules, default_rules

__all__ = ["Comparison", "Rules", "Verdict", "compare", "default_rules", "encode", "schema"]
