"""Keep a collection of Jupyter notebooks working, and in everybody's hands."""

from __future__ import annotations

from nbpipe._version import __version__

__all__ = ["__version__"]
