"""Two reference runs compared: files, schemas, values, performance, and one verdict.

    rules = Rules(config.settings.reference["minitest"])
    found = compare(reference, reference_files, new, new_files, rules, today)
    found.verdict, found.exit_code

Written by hand: numpy.testing asserts on two arrays in memory, astropy's FITSDiff and h5diff know
one format each and one tolerance for all of a file. None has tolerances by column, rows paired by
keys, or a verdict where a reference's data are gone.

Manifests and data products come in, a `Comparison` of plain values goes out; what it looks like
is the business of `nbpipe.comparison_reports`.
"""

from __future__ import annotations

from nbpipe.reference.comparison.document import encode, schema
from nbpipe.reference.comparison.model import Comparison, Verdict
from nbpipe.reference.comparison.rules import Rules, default_rules
from nbpipe.reference.comparison.whole import compare

__all__ = ["Comparison", "Rules", "Verdict", "compare", "default_rules", "encode", "schema"]
