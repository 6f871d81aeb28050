"""What the tables of a configuration file are made of: the base of each, and common types.

The description of a pattern is what a message says was expected.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec

from nbpipe.system import units

Seconds = Annotated[float, msgspec.Meta(gt=0, extra={"duration": True})]
"""A number, or a text such as "10m" or "4h", which is a number once it is read."""
Megabytes = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Secret = Annotated[str, msgspec.Meta(min_length=1, extra={"secret": True})]
"""`env:NAME` or `file:PATH`; a relative path begins at the configuration file's folder."""
Size = Annotated[
    str, msgspec.Meta(pattern=units.SIZE, description=f"an amount of memory, {units.EXAMPLES}")
]
Budget = Annotated[
    str,
    msgspec.Meta(
        pattern=units.BUDGET,
        description=f"an amount of memory, {units.EXAMPLES}, or a share such as 80%",
    ),
]
Threads = Annotated[int, msgspec.Meta(ge=1)] | Literal["auto", "off"]
Title = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z",
        description="at most 100 letters, digits and ._-, a letter or a digit first",
    ),
]
"""What becomes part of paths: a collection's name, the NAME of `[reference.NAME]`."""
FileName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^/\x00-\x1f]{1,255}\Z", description="the name of a file, without a slash"
    ),
]


class ReportKind(NamedTuple):
    """A kind of report: of a run, and perhaps of a comparison of reference runs."""

    default: str | None
    """Name of its file (`html`: folder) where `=PATH` is missing; None: standard output."""
    compares: bool
    """Whether a comparison has it, too: always with a path."""


REPORTS = {
    "console": ReportKind(None, compares=True),
    "junit": ReportKind("junit.xml", compares=True),
    "json": ReportKind("report.json", compares=True),
    "html": ReportKind("html", compares=True),
    "markdown": ReportKind("report.md", compares=True),
    "github": ReportKind(None, compares=False),
}
"""Every kind of report. The module of this name in `reports` writes that of a run, the one in
`comparison_reports` that of a comparison; each has a function `reporter`.
"""
Report = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^({'|'.join(REPORTS)})(=.+)?\Z",
        description=f"one of {', '.join(REPORTS)}, such as junit=results/junit.xml",
    ),
]
Tolerance = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
LossShare = (
    Annotated[float, msgspec.Meta(ge=0, le=1)]
    | Annotated[
        str,
        msgspec.Meta(pattern=r"^(?:100|[0-9]{1,2})%\Z", description="a share such as 50%, or 0.5"),
    ]
)
Patterns = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One table of the file: frozen, keys written with dashes."""
