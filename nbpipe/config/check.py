"""`[check]` and `[new]`: what contributions are checked for, and what a new one begins with."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from nbpipe.config.tables import Count, Megabytes, Name, Table

RuleName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(ALL|NBP[0-9]{0,3}|[A-Z]{1,8}[0-9]{0,4})\Z",
        description="a rule's id such as NBP209, the beginning of one such as NBP2, or ALL",
    ),
]
Policy = Literal["any", "absent"]


class CheckSettings(Table, frozen=True):
    """What `nbpipe check` looks for."""

    select: tuple[RuleName, ...] = ()
    """Rules to apply, by id or by its beginning; empty: those that are on by default."""
    extend_select: tuple[RuleName, ...] = ()
    """Rules to apply in addition."""
    ignore: tuple[RuleName, ...] = ()
    """Rules not to apply."""
    per_file_ignores: dict[Name, tuple[RuleName, ...]] = msgspec.field(default_factory=dict)
    """PATTERN -> rules not to apply to these notebooks."""
    fixable: tuple[RuleName, ...] = ("ALL",)
    """Rules that `--fix` may repair."""
    kernels: tuple[Name, ...] = ()
    """Names of the kernels that the platform has (NBP102)."""
    outputs: Policy | dict[Name, Policy] = "any"
    """Whether notebooks may have outputs (NBP201): any, absent, or PATTERN -> one of them."""
    required_metadata: tuple[Name, ...] = ()
    """Keys that a notebook's metadata must have, such as authors or license (NBP107)."""
    required_sections: tuple[Name, ...] = ()
    """Headings that a notebook must have (NBP506)."""
    template: Name | None = None
    """The notebook that new ones begin from; its text must not be left over (NBP505)."""
    allowed_paths: tuple[Name, ...] = ()
    """Beginnings of absolute paths that are the same for every user, such as /global/cfs."""
    max_size: Megabytes = 1.0
    """Size of a notebook above which it is reported, in megabytes (NBP007)."""
    max_output_size: Megabytes = 1.0
    """Size of an output above which it is reported, in megabytes (NBP206)."""
    max_cell_lines: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Lines of a code cell above which it is reported (NBP410)."""
    max_code_cells: Count = 5
    """Code cells in a row without text above which they are reported (NBP508)."""
    ruff: Literal["auto", "on", "off"] = "auto"
    """Whether ruff looks at the code: auto: where it is installed; on: it must be."""
    target_python: Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,2}\Z")] | None = None
    """The Python of the platform's kernels, such as 3.11; by default that of each notebook."""
    baseline: Name | None = None
    """A file with known findings, which are not reported (written by `--write-baseline`)."""


class NewSettings(Table, frozen=True):
    """What a new notebook of the collection begins with."""

    license: Name | None = None
    """Its licence, as an SPDX identifier such as CC-BY-4.0."""
    kernel: Name = "python3"
    """Name of the kernel that it asks for."""
    keywords: tuple[Name, ...] = ()
    """Keywords that every notebook of the collection has."""
