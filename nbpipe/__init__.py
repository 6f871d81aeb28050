"""Keep a collection of Jupyter notebooks working, and in everybody's hands.

    import nbpipe
    run = nbpipe.test("notebooks/**/*.ipynb")
    for result in run:
        print(result)

The names below are the public API; everything else may change.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nbpipe._version import __version__
from nbpipe.errors import ConfigError, NbpipeError, NothingCollected, UsageError
from nbpipe.model import Category, Failure, Outcome, Result

if TYPE_CHECKING:
    from nbpipe.api import TestRun, test

__all__ = [
    "Category",
    "ConfigError",
    "Failure",
    "NbpipeError",
    "NothingCollected",
    "Outcome",
    "Result",
    "TestRun",
    "UsageError",
    "__version__",
    "test",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    """Import what is slow to import only when it is asked for."""
    if name in {"test", "TestRun"}:
        from nbpipe.distribution import refuse_mixture  # noqa: PLC0415

        refuse_mixture(sys.modules[__name__], sys.path)  # before files of others are imported
        from nbpipe import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
