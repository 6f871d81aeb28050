"""`[new]`: what `nbpipe new` fills in where no option says it."""

from __future__ import annotations

from nbpipe.config.tables import Name, Table


class NewSettings(Table, frozen=True):
    """What a new notebook of the collection begins with."""

    license: Name | None = None
    """Its licence, as an SPDX identifier such as CC-BY-4.0."""
    kernel: Name = "python3"
    """Name of the kernel that it asks for."""
    keywords: tuple[Name, ...] = ()
    """Keywords that every notebook of the collection has."""
