"""The tables of reference runs: `[profiles.NAME]` and `[reference.NAME]`."""

from __future__ import annotations

from datetime import date  # noqa: TC003  (msgspec reads the annotations)
from typing import Annotated, Literal

import msgspec

from nbpipe.config.tables import Count, Name, Patterns, Share, Table, Title, Tolerance


class ReferenceFiles(Table, frozen=True):
    """`[[reference.NAME.files]]`: other rules for some outputs; the last one that matches wins."""

    paths: Patterns
    """Patterns as in .gitignore, relative to the run's folder."""
    keys: tuple[Name, ...] | None = None
    """As `keys`, for these files."""
    absolute: Tolerance | None = None
    """As `absolute`, for these files."""
    relative: Tolerance | None = None
    """As `relative`, for these files."""
    allowed: Share | None = None
    """As `allowed`, for these files."""
    ignore_keywords: tuple[Name, ...] = ()
    """Added to `ignore-keywords`, for these files."""
    ignore_columns: tuple[Name, ...] = ()
    """Added to `ignore-columns`, for these files."""


class ReferenceColumns(Table, frozen=True):
    """`[[reference.NAME.columns]]`: tolerances of some columns; the last one that matches wins."""

    names: Patterns
    """Patterns of names (`*`, `?`); one with a slash is of `TABLE/COLUMN` or `/group/name`."""
    paths: tuple[Name, ...] = ("*",)
    """Patterns as in .gitignore: only in these files."""
    absolute: Tolerance | None = None
    """As `absolute`, for these columns; of a time in seconds."""
    relative: Tolerance | None = None
    """As `relative`, for these columns."""
    allowed: Share | None = None
    """As `allowed`, for these columns."""


class ReferenceBound(Table, frozen=True):
    """`[[reference.NAME.performance]]`: how far a measure may be from the reference's."""

    measure: Literal["wall", "core-hours", "cpu", "memory", "cell"]
    """Of the run with its children; `cell`: the seconds of each cell."""
    more: Tolerance | None = None
    """Allowed increase: 0.25 for a quarter."""
    less: Share | None = None
    """Allowed decrease; none: any."""
    system: Name = "*"
    """A pattern: only on these systems."""
    cells: tuple[Count, ...] = ()
    """For `cell`: 0-based numbers of cells; none: all."""
    floor: Tolerance = 1.0
    """Seconds (core-hours, bytes) below which a change does not count."""


class ReferenceExpected(Table, frozen=True):
    """`[[reference.NAME.expected]]`: a difference that is known, until a day."""

    paths: Patterns
    """Patterns as in .gitignore, of the files that differ."""
    until: date
    """The last day on which it is expected."""
    reason: Name
    """Why, for everybody who reads the comparison."""
    columns: tuple[Name, ...] = ()
    """Patterns of the columns that differ; none: anything in the file, its absence included."""


class ReferenceSettings(Table, frozen=True):
    """`[reference.NAME]`: what a reference run leaves, and what counts as the same."""

    outputs: tuple[Name, ...] = ()
    """Patterns as in .gitignore, relative to the run's folder: the data products.

    The folder of a root is called as the root: "scratch/**" (or "scratch:**"). A pattern that
    begins with $NAME/, or with a folder of the machine, is one of an absolute path.
    """
    roots: dict[Title, Name] = msgspec.field(default_factory=dict)
    """Folders outside of the collection for products: {scratch = "$SCRATCH/minitest"}.

    Each run has a folder of its own there, unless the path has a place for it: {run}, {release} or
    {name}. The notebook finds it in NBPIPE_ROOT_SCRATCH.
    """
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables of the job's environment: {OMP_NUM_THREADS = "1", OUT = "{scratch}/out"}.

    $NAME stands for a variable of who submits, {NAME} for a root's folder, run, release or name.
    They are kept with the run: not for secrets.
    """
    ignore: tuple[Name, ...] = ()
    """Patterns as in .gitignore: outputs that are not compared."""
    keys: tuple[Name, ...] = ()
    """Columns that name a row, where a table has them all; none: rows are compared in order."""
    absolute: Tolerance = 0.0
    """Two numbers are the same within `absolute + relative * |reference|`."""
    relative: Tolerance = 0.0
    """See `absolute`; 1e-6 is one in a million."""
    allowed: Share = 0.0
    """Share of a column's values that may be beyond the tolerance."""
    ignore_keywords: tuple[Name, ...] = (
        *("CHECKSUM", "DATASUM", "DATE", "HISTORY", "COMMENT"),
        *("history", "date_created", "date_modified", "creation_date"),  # NetCDF's
    )
    """Patterns of header keywords and attributes that are not compared."""
    ignore_columns: tuple[Name, ...] = ()
    """Patterns of columns that are not compared."""
    files: tuple[ReferenceFiles, ...] = ()
    """Other rules for some files."""
    columns: tuple[ReferenceColumns, ...] = ()
    """Tolerances of some columns."""
    performance: tuple[ReferenceBound, ...] = ()
    """How much slower or larger a run may be."""
    expected: tuple[ReferenceExpected, ...] = ()
    """Differences that are known."""


class ProfileSettings(Table, frozen=True):
    """`[profiles.NAME]`: what a job asks of a scheduler, under a name that people know.

    The site's file is read first, then the user's, then the project's; what the site defined,
    others change only as far as its `allow` says.
    """

    title: str = ""
    """As in a hub's menu: "Parallel"; the resources are added."""
    scheduler: Name = "local"
    """local, slurm, gridengine, pbs, lsf, htcondor, or what a site has added."""
    cores: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Cores on each node."""
    memory: Name | None = None
    """Memory on each node, such as "125G"; none: the scheduler's default."""
    memory_per_core: Name | None = None
    """Memory for each core, such as "4G", in place of `memory`."""
    walltime: Name | None = None
    """Such as "2:00:00", "1-12:00:00", "4h", "90m"; none: the scheduler's default."""
    queue: Name | None = None
    """The queue, or Slurm's partition."""
    account: Name | None = None
    """The account or project that is charged."""
    qos: Name | None = None
    """Slurm: the quality of service, such as "interactive"."""
    constraint: Name | None = None
    """Features that the nodes must have; with Slurm an expression, such as "cpu&nvme"."""
    reservation: Name | None = None
    """Slurm, Grid Engine, LSF: the reservation to run in."""
    nodes: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Number of machines."""
    gpus: Count = 0
    """GPUs on each node."""
    parallel_environment: Name = "smp"
    """Grid Engine: the parallel environment that gives several slots of one machine."""
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables of the job's environment; $NAME stands for a variable of who submits.

    They are kept with the run: not for secrets.
    """
    setup: tuple[str, ...] = ()
    """Lines of shell that prepare the environment; in the site's own file only."""
    extra: tuple[str, ...] = ()
    """More arguments for the submitting program (HTCondor: lines); in the site's own file only."""
    allow: dict[str, bool | str | tuple[str, ...]] = msgspec.field(default_factory=dict)
    """What may be overridden, and how far: {walltime = "<=12:00:00", queue = ["a", "b"]}.

    true: anything. In the site's file: what is not named stays as it is.
    """
