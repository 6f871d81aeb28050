"""What a configuration file may say: its tables, their keys, types, defaults and meanings.

These shapes are the documentation of the file: a field's name with dashes is the key, its type
is what is accepted, the text below it is what `nbpipe config --keys` shows. Nothing here reads a
file or knows what a setting does.
"""

from __future__ import annotations

from datetime import date  # noqa: TC003  (msgspec reads the annotations)
from typing import Annotated, Any, Literal

import msgspec

from nbpipe import sizes

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Megabytes = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Size = Annotated[str, msgspec.Meta(pattern=sizes.SIZE)]
Budget = Annotated[str, msgspec.Meta(pattern=sizes.BUDGET)]
Title = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
"""The NAME of `[reference.NAME]` and its like: it becomes part of paths."""
Tolerance = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Patterns = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One table of the file: frozen, keys written with dashes."""


class Override(Table, frozen=True):
    """`[[test.overrides]]`: other settings for some notebooks; the last one that matches wins."""

    paths: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Patterns as in .gitignore, relative to the root."""
    skip: Name | None = None
    """Do not execute; the text is the reason."""
    kernel: Name | None = None
    """Run them on this kernel."""
    missing_kernel: Literal["fail", "skip"] | None = None
    """As `test.missing-kernel`."""
    timeout: Seconds | None = None
    """Seconds for one cell."""
    notebook_timeout: Seconds | None = None
    """Seconds for a whole notebook."""
    output_limit: Megabytes | None = None
    """Megabytes (10^6 bytes) of output that one notebook may produce."""
    retries: Count | None = None
    """Try a failing notebook so many times more."""
    all_errors: bool | None = None
    """Go on after a failing cell and report every error."""
    parameters: dict[str, Any] = {}
    """Added to `test.parameters`, or in place of those of the same name."""
    slots: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Each counts as so many notebooks at once; never as more than `jobs`."""
    memory: Size | None = None
    """So much counts for `test.memory-budget`, such as "8G", whatever earlier runs took."""


class TestSettings(Table, frozen=True):
    """`[test]`: what `nbpipe test` runs, and how."""

    include: tuple[str, ...] = ()
    """Patterns as in .gitignore, relative to the root; none: every notebook."""
    exclude: tuple[str, ...] = ()
    """Patterns as in .gitignore, relative to the root: leave these out."""
    default_exclude: bool = True
    """False: the exclusions by default do not apply."""
    kernel: Name | None = None
    """Force this kernel on every notebook."""
    kernel_map: dict[str, Name] = {}
    """Name in the notebook -> installed kernel."""
    missing_kernel: Literal["fail", "skip"] = "fail"
    """What becomes of a notebook whose kernel is not installed."""
    timeout: Seconds = 600.0
    """Seconds for one cell."""
    notebook_timeout: Seconds | None = None
    """Seconds for a whole notebook."""
    startup_timeout: Seconds = 180.0
    """Seconds for a kernel to answer for the first time."""
    grace: Seconds = 10.0
    """Seconds between interrupting a notebook and killing it."""
    shutdown: Literal["graceful", "immediate"] = "graceful"
    """After the last cell a kernel has a second to shut down, for atexit handlers; or none."""
    output_limit: Megabytes = 100.0
    """Megabytes (10^6 bytes) of output that one notebook may produce."""
    prerun: tuple[str, ...] = ()
    """Files with code that runs first in every notebook of their language.

    Relative to the root; the ending tells the language.
    """
    parameters: dict[str, Any] = {}
    """Name -> value, put into every notebook as papermill does it."""
    jobs: Annotated[int, msgspec.Meta(ge=1)] | Literal["auto"] = "auto"
    """So many notebooks at once; auto: one for each processor."""
    memory_budget: Budget | None = None
    """Notebooks run at once whose last peaks (unknown: 1G) fit into "16G", "80%" of the machine."""
    retries: Count = 0
    """Try a failing notebook so many times more."""
    flaky: Literal["pass", "fail"] = "pass"
    """What a notebook counts as that failed and passed on a retry."""
    all_errors: bool = False
    """Go on after a failing cell and report every error."""
    fork: bool = False
    """Fork Python kernels from a process that has imported ipykernel already (Linux).

    Anything unusual is started anew all the same; the notebook's log says why.
    """
    reports: tuple[str, ...] = ()
    """`KIND` or `KIND=PATH`, as for `--report`."""
    output_dir: Name | None = None
    """For executed copies and logs, relative to the root; none: the user's state directory."""
    groups: dict[str, tuple[str, ...]] = {}
    """Name -> patterns as in .gitignore: of these notebooks only one runs at a time."""
    overrides: tuple[Override, ...] = ()
    """Other settings for some notebooks."""


class HistorySettings(Table, frozen=True):
    """`[history]`: where runs and results are kept, and for how long."""

    enabled: bool = True
    """False: nothing is recorded, and the order does not depend on earlier runs."""
    url: Name | None = None
    """`sqlite:///PATH` (relative to the root) or `postgresql://USER@HOST/NAME`.

    Or `env:NAME` or `file:PATH` that hold it; none: a file in the user's state directory. SQLite
    needs a local disk; a password belongs into ~/.pgpass, a variable or a file.
    """
    collection: Name | None = None
    """What the collection is called there; none: recognised by its repository."""
    keep_runs: Count = 500
    """The newest so many runs of a collection are kept; 0: all."""
    keep_days: Annotated[float, msgspec.Meta(ge=0)] = 365.0
    """Runs older than so many days are forgotten; 0: never."""


class Keep(Table, frozen=True):
    """`keep` of a collection: a release is removed only when *both* allow it."""

    releases: Annotated[int, msgspec.Meta(ge=1)] = 5
    """The newest so many are kept, however old."""
    days: Annotated[float, msgspec.Meta(ge=0)] = 7.0
    """One that was current within so many days is kept, however many there are."""


class ReleaseLimits(Table, frozen=True):
    """`limits` of a collection: a tree beyond one of them is refused."""

    depth: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Folders within folders."""
    files: Annotated[int, msgspec.Meta(ge=1)] = 200_000
    """Files, links and folders together."""
    file_size: Megabytes = 4_000.0
    """Megabytes (10^6 bytes) of one file."""
    total_size: Megabytes = 50_000.0
    """Megabytes (10^6 bytes) of all files together."""


class CollectionSettings(Table, frozen=True):
    """`[[collection]]`: a branch at an origin, and the mirror that follows it."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
    """Letters, digits and `._-`; the name of the mirror's folder."""
    origin: Name
    """What git fetches from; never with a password in it."""
    root: Name
    """Absolute; the mirror is root/name, its state root/.nbpipe/name."""
    branch: Name = "main"
    """The branch that is followed."""
    repository: Name | None = None
    """`ORG/REPO` as beacons name it; by default the end of the origin."""
    poll: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """Seconds between two looks at the origin; 0: only at the start and for beacons."""
    keep: Keep = Keep()
    """How many releases are kept, and how long."""
    secrets: tuple[Name, ...] = ()
    """Of beacons: `env:NAME` or `file:PATH`; several while one is being replaced."""
    protocols: tuple[Literal["https", "ssh", "http", "git", "file"], ...] = ("https", "ssh")
    """What git may speak, to any host and for any reason."""
    token: Name | None = None
    """The origin's password for https: `env:NAME` or `file:PATH`."""
    username: Name = "x-access-token"
    """The user name that goes with the token."""
    askpass: Name | None = None
    """A program that answers git's questions for a user name and a password of the origin's host.

    In place of `token`.
    """
    ssh_key: Name | None = None
    """The file of a deploy key; none: the service user's own (~/.ssh/id_*). Never an agent's."""
    known_hosts: Name | None = None
    """The file with the origin's host key; none: ~/.ssh/known_hosts and the system's."""
    ca_file: Name | None = None
    """The certificates (PEM) that an https origin is trusted by; none: those of the system."""
    fetch_timeout: Seconds = 600.0
    """Seconds for one fetch, whatever it is doing."""
    low_speed_limit: Count = 1_000
    """Bytes per second below which a fetch by https counts as hanging."""
    low_speed_time: Annotated[int, msgspec.Meta(ge=1)] = 30
    """Seconds below the limit until it is given up."""
    stale_after: Seconds = 300.0
    """Seconds without reaching the origin until health says `stale`."""
    fsck: bool = False
    """Have git check every object that it fetches; nbpipe checks the trees in any case."""
    symlinks: Literal["drop", "refuse"] = "drop"
    """What a link that leaves the tree leads to: it is left out, or the release is refused."""
    backslashes: Literal["refuse", "publish"] = "refuse"
    """What to do with a file whose name holds a backslash."""
    lfs: Literal["pointers", "fetch"] = "pointers"
    """Git LFS: publish the pointers with a warning, or what they point to (needs git-lfs)."""
    gate: tuple[Name, ...] = ()
    """A command run with the candidate's folder as its last argument; not 0: not published."""
    gate_timeout: Seconds = 3_600.0
    """Seconds for the gate's command."""
    limits: ReleaseLimits = ReleaseLimits()
    """How large a tree may be."""
    max_links: Annotated[int, msgspec.Meta(ge=2)] | None = None
    """Hard links to one file, where the file system allows fewer than it says."""


class SpacesSettings(Table, frozen=True):
    """`[spaces]`: where the mirror appears."""

    homes: tuple[Name, ...] = ("/home/*",)
    """Patterns of the folders in which it appears."""
    name: Annotated[str, msgspec.Meta(pattern=r"^[^/\x00-\x1f]{1,255}\Z")] = "notebooks-latest"
    """What the mirror is called in a home."""
    method: Literal["symlink", "bind"] = "symlink"
    """A link on the host, or a read-only mount in each home."""
    collection: Name | None = None
    """Which one; by default the only one, or the one with the name above."""
    exclude: tuple[Name, ...] = ()
    """Patterns of homes to leave alone."""


class WebhookSettings(Table, frozen=True):
    """`[webhook]`: the receiver."""

    host: Name = "127.0.0.1"
    """The address to listen at."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8080
    """The port to listen at; 0: any free one."""
    prefix: str = ""
    """The path below which it answers, behind a proxy."""
    threads: Annotated[int, msgspec.Meta(ge=1)] = 8
    """Requests answered at the same time."""
    body_limit: Megabytes = 25.0
    """GitHub's own limit for a payload."""
    deliveries: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Ids of deliveries that are remembered, so that a replay is recognised."""


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
    """Patterns of names (`*`, `?`); of an HDF5 tree the whole path or its last part."""
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
    """So much more is allowed: 0.25 for a quarter."""
    less: Share | None = None
    """So much less is allowed; none: any."""
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
    """Patterns as in .gitignore, relative to the run's folder: the data products."""
    ignore: tuple[Name, ...] = ()
    """Patterns as in .gitignore: outputs that are not compared."""
    keys: tuple[Name, ...] = ()
    """Columns that name a row, where a table has them all; none: rows are compared in order."""
    absolute: Tolerance = 0.0
    """Two numbers are the same within `absolute + relative * |reference|`."""
    relative: Tolerance = 0.0
    """See `absolute`; 1e-6 is one in a million."""
    allowed: Share = 0.0
    """So large a share of a column's values may be beyond the tolerance."""
    ignore_keywords: tuple[Name, ...] = ("CHECKSUM", "DATASUM", "DATE", "HISTORY", "COMMENT")
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
    """Memory on each node, such as "125G"; none: what the scheduler gives unasked."""
    walltime: Name | None = None
    """Such as "2:00:00", "1-12:00:00", "4h", "90m"; none: what the scheduler gives unasked."""
    queue: Name | None = None
    """The queue, or Slurm's partition."""
    account: Name | None = None
    """The account or project that is charged."""
    nodes: Annotated[int, msgspec.Meta(ge=1)] = 1
    """So many machines."""
    gpus: Count = 0
    """GPUs on each node."""
    parallel_environment: Name = "smp"
    """Grid Engine: the parallel environment that gives several slots of one machine."""
    setup: tuple[str, ...] = ()
    """Lines of shell that prepare the environment; in the site's own file only."""
    extra: tuple[str, ...] = ()
    """More arguments for the submitting program (HTCondor: lines); in the site's own file only."""
    allow: dict[str, bool | str | tuple[str, ...]] = {}
    """What may be overridden, and how far: {walltime = "<=12:00:00", queue = ["a", "b"]}.

    true: anything. In the site's file: what is not named stays as it is.
    """


class Settings(Table, frozen=True):
    """The whole file."""

    test: TestSettings = TestSettings()
    """What `nbpipe test` runs, and how."""
    history: HistorySettings = HistorySettings()
    """Where runs and results are kept, and for how long."""
    reference: dict[Title, ReferenceSettings] = {}
    """NAME -> what a reference run leaves, and what counts as the same."""
    profiles: dict[str, ProfileSettings] = {}
    """Resources of jobs, by name."""
    collection: tuple[CollectionSettings, ...] = ()
    """For a service: what is mirrored, from where, how."""
    spaces: SpacesSettings = SpacesSettings()
    """For a service: in whose homes the mirrors appear."""
    webhook: WebhookSettings = WebhookSettings()
    """For a service: the receiver of beacons."""
