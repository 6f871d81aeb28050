"""What a configuration file may say: its tables, their keys, types, defaults and meanings.

These shapes are the documentation of the file: a field's name with dashes is the key, its type
is what is accepted, the text below it is what `nbpipe config --keys` shows. Nothing here reads a
file or knows what a setting does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from nbpipe.config.check import CheckSettings, NewSettings
from nbpipe.config.github import GithubSettings
from nbpipe.config.notify import EmailSettings, NotifySettings
from nbpipe.config.reference import (
    ProfileSettings,
    ReferenceBound,
    ReferenceColumns,
    ReferenceExpected,
    ReferenceFiles,
    ReferenceSettings,
)
from nbpipe.config.tables import (
    Budget,
    Count,
    FileName,
    LossShare,
    Megabytes,
    Name,
    Patterns,
    Report,
    Seconds,
    Secret,
    Share,
    Size,
    Table,
    Threads,
    Title,
    Tolerance,
)

__all__ = [
    "Budget",
    "CheckSettings",
    "CollectionSettings",
    "Count",
    "EmailSettings",
    "FileName",
    "GithubSettings",
    "HistorySettings",
    "Keep",
    "LossShare",
    "Megabytes",
    "Name",
    "NewSettings",
    "NotifySettings",
    "Override",
    "Patterns",
    "ProfileSettings",
    "ReferenceBound",
    "ReferenceColumns",
    "ReferenceExpected",
    "ReferenceFiles",
    "ReferenceSettings",
    "ReleaseLimits",
    "Report",
    "Seconds",
    "Secret",
    "Settings",
    "Share",
    "Size",
    "SpacesSettings",
    "Table",
    "TestSettings",
    "Threads",
    "Title",
    "Tolerance",
    "WebhookSettings",
]


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
    """Retry a failing notebook up to this many times."""
    all_errors: bool | None = None
    """Continue after a failing cell and report every error."""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    """Added to `test.parameters`, or in place of those of the same name."""
    slots: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Number of slots that each of them takes; at most `jobs`."""
    threads: Threads | None = None
    """As `test.threads`."""
    memory: Size | None = None
    """Memory to count for `test.memory-budget`, such as "8G", whatever earlier runs took."""


class TestSettings(Table, frozen=True):
    """`[test]`: what `nbpipe test` runs, and how."""

    include: tuple[str, ...] = ()
    """Patterns as in .gitignore, relative to the root; none: every notebook."""
    exclude: tuple[str, ...] = ()
    """Patterns as in .gitignore, relative to the root: leave these out."""
    default_exclude: bool = True
    """Whether the default exclusions apply."""
    kernel: Name | None = None
    """Force this kernel on every notebook."""
    kernel_map: dict[str, Name] = msgspec.field(default_factory=dict)
    """Name in the notebook -> installed kernel."""
    missing_kernel: Literal["fail", "skip"] = "fail"
    """Whether a notebook whose kernel is not installed fails or is skipped."""
    timeout: Seconds = 600.0
    """Seconds for one cell."""
    notebook_timeout: Seconds | None = None
    """Seconds for a whole notebook."""
    startup_timeout: Seconds = 180.0
    """Seconds for a kernel to answer for the first time."""
    grace: Seconds = 10.0
    """Seconds between interrupting a notebook and killing it."""
    shutdown: Literal["auto", "graceful", "immediate"] = "auto"
    """After the last cell: let the kernel shut down (15 s), for atexit handlers; or kill it.

    auto: kill it (faster) where a Python kernel has nothing to see to: no atexit handler, file
    open for writing or thread that was not there before the first cell.
    """
    output_limit: Megabytes = 100.0
    """Megabytes (10^6 bytes) of output that one notebook may produce."""
    prerun: tuple[str, ...] = ()
    """Files with code that runs first in every notebook of their language.

    Relative to the root; the file extension gives the language.
    """
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    """Name -> value, put into every notebook as papermill does it."""
    jobs: Annotated[int, msgspec.Meta(ge=1)] | Literal["auto"] = "auto"
    """Number of notebooks to run in parallel (auto: one per core)."""
    threads: Threads = "auto"
    """Threads per notebook for numerical libraries (OMP_NUM_THREADS and others).

    auto: a slot's share of the cores where several notebooks run at once; nothing in a job of a
    scheduler. off: nothing is set. A variable that is set already is left as it is.
    """
    user_site: Literal["warn", "off", "on"] = "warn"
    """Packages in the home (`~/.local`), which others do not have.

    warn: a notebook that imports one is reported; off: kernels do not see them; on: say nothing.
    """
    memory_budget: Budget | None = None
    """Notebooks run at once whose last peaks (unknown: 1G) fit into "16G", "80%" of the machine."""
    retries: Count = 0
    """Retry a failing notebook up to this many times."""
    flaky: Literal["pass", "fail"] = "pass"
    """Whether a notebook that failed and passed on a retry passes or fails."""
    all_errors: bool = False
    """Continue after a failing cell and report every error."""
    fork: bool = True
    """Fork Python kernels from a process that has imported ipykernel already (Linux).

    Anything unusual is started from scratch; the notebook's log says why.
    """
    preload: tuple[Name, ...] = ()
    """Modules imported before kernels are forked, such as `numpy`: faster, but visible.

    One that cannot be shared safely is skipped; the notebook's log says why.
    """
    reports: tuple[Report, ...] = ()
    """`KIND` or `KIND=PATH`, as for `--report`."""
    output_dir: Name | None = None
    """For executed copies and logs, relative to the root; none: the user's state directory."""
    groups: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Name -> patterns as in .gitignore: of these notebooks only one runs at a time."""
    overrides: tuple[Override, ...] = ()
    """Other settings for some notebooks."""


class HistorySettings(Table, frozen=True):
    """`[history]`: where runs and results are kept, and for how long."""

    enabled: bool = True
    """Whether runs are recorded; if not, the order does not depend on earlier runs."""
    url: Secret | None = None
    """`sqlite:///PATH` (relative to the root) or `postgresql://USER@HOST/NAME`.

    Or `env:NAME` or `file:PATH` that hold it; none: a file in the user's state directory. SQLite
    needs a local disk; a password belongs into ~/.pgpass, a variable or a file.
    """
    collection: Name | None = None
    """Name of the collection there; none: recognised by its repository."""
    pages: Name | None = None
    """Address of the collection's pages at `nbpipe serve`, to which reports link their runs.

    Such as `https://your.host/collections/NAME`.
    """
    trace: bool = True
    """Record what each notebook reads and imports, for `--changed-since`; needs git."""
    keep_runs: Count = 500
    """Number of most recent runs of a collection to keep (0: all)."""
    keep_days: Annotated[float, msgspec.Meta(ge=0)] = 365.0
    """Days after which a run is forgotten (0: never)."""


class Keep(Table, frozen=True):
    """`keep` of a collection: a release is removed only when *both* allow it."""

    releases: Annotated[int, msgspec.Meta(ge=1)] = 5
    """Number of newest releases to keep, however old."""
    days: Annotated[float, msgspec.Meta(ge=0)] = 7.0
    """Days for which a release is kept after it was last current, however many there are."""


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


SHORTEST_SECRET = 8
"""Bytes of a webhook's secret: who has one signed delivery can try every shorter one offline."""


class CollectionSettings(Table, frozen=True):
    """`[[collection]]`: a branch at an origin, and the mirror that follows it."""

    name: Title
    """Letters, digits and `._-`; the name of the mirror's folder."""
    origin: Name
    """What git fetches from; never with a password in it."""
    root: Name
    """Absolute; the mirror is root/name, its state root/.nbpipe/name."""
    branch: Name = "main"
    """The branch that is followed."""
    repository: Name | None = None
    """`ORG/REPO` as beacons name it; by default the end of the origin."""
    poll: Annotated[float, msgspec.Meta(ge=0, extra={"duration": True})] = 60.0
    """Seconds between two looks at the origin; 0: only at the start and for beacons."""
    keep: Keep = Keep()
    """How many releases are kept, and how long."""
    secrets: tuple[Secret, ...] = ()
    """Webhook secrets: `env:NAME` or `file:PATH`; several while one is being replaced."""
    protocols: tuple[Literal["https", "ssh", "http", "git", "file"], ...] = ("https", "ssh")
    """Protocols that git may use, with any host."""
    token: Secret | None = None
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
    """Seconds that a fetch may be silent; while bytes arrive, it may take a day."""
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
    """A command run with a copy of the candidate as its last argument; not 0: not published."""
    gate_timeout: Seconds = 3_600.0
    """Seconds for the gate's command."""
    outputs: Literal["stored", "executed"] = "stored"
    """Outputs that readers see: those in the repository, or those of the run that the gate leaves.

    A gate leaves a run in the folder NBPIPE_OUTPUTS: `report.json` and the executed copies.
    """
    output_limit: Megabytes = 20.0
    """Megabytes (10^6 bytes) of an executed notebook; a larger one is published as stored."""
    max_loss: LossShare = 0.5
    """A commit that lacks more than this share of the files before it (0.5, "50%") is refused.

    A file that only moved is not lost; of fewer than six files all must go. To publish one such
    commit: `nbpipe publish NAME --accept-loss COMMIT`. 1: no commit is refused for it.
    """
    limits: ReleaseLimits = ReleaseLimits()
    """How large a tree may be."""
    max_links: Annotated[int, msgspec.Meta(ge=2)] | None = None
    """Hard links to one file, where the file system allows fewer than it says."""

    @property
    def loss_allowed(self) -> float:
        """`max_loss` as a number."""
        if isinstance(self.max_loss, str):
            return float(self.max_loss.rstrip("%")) / 100
        return self.max_loss


class SpacesSettings(Table, frozen=True):
    """`[spaces]`: where the mirror appears."""

    homes: tuple[Name, ...] = ("/home/*",)
    """Patterns of the homes in which the mirror appears."""
    name: FileName = "notebooks-latest"
    """What the mirror is called in a home; several collections have their own names."""
    method: Literal["symlink", "bind"] = "symlink"
    """A link on the host, or a read-only mount in each home."""
    collection: Name | tuple[Name, ...] | None = None
    """The collection that appears, or a list of them, each under its own name.

    By default all of them; with `name`, the only one or the one of that name.
    """
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
    """Megabytes (10^6 bytes) that a payload may have (default: GitHub's own limit)."""
    deliveries: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Ids of deliveries that are remembered, so that a replay is recognised."""
    pages: Literal["token", "open"] = "token"
    """Who may see the pages: those who have the token; `open`: everybody who can reach the port."""
    token: Secret | None = None
    """What the pages ask for: `env:NAME` or `file:PATH`.

    None: a token is made at the first start, in a file below the first collection's `root`; the
    log says where.
    """
    copies: tuple[Name, ...] = ()
    """Folders whose executed copies the pages may show, besides the user's state directory."""
    public_badges: bool = False
    """Show badges without the token, as a README on GitHub needs it."""
    public_gallery: bool = False
    """Show the published notebooks (/notebooks) without the token, with the outputs of the last
    run that passed; results and failures still need it."""


class Settings(Table, frozen=True):
    """The whole file."""

    test: TestSettings = TestSettings()
    """What `nbpipe test` runs, and how."""
    check: CheckSettings = CheckSettings()
    """What `nbpipe check` looks for."""
    new: NewSettings = NewSettings()
    """What `nbpipe new` fills in."""
    history: HistorySettings = HistorySettings()
    """Where runs and results are kept, and for how long."""
    github: GithubSettings = GithubSettings()
    """How `nbpipe github` reports runs to GitHub."""
    notify: NotifySettings = NotifySettings()
    """Who is notified when a notebook starts to fail, and when it works again."""
    reference: dict[Title, ReferenceSettings] = msgspec.field(default_factory=dict)
    """NAME -> what a reference run leaves, and what counts as the same."""
    profiles: dict[str, ProfileSettings] = msgspec.field(default_factory=dict)
    """Resources of jobs, by name."""
    collection: tuple[CollectionSettings, ...] = ()
    """For a service: what is mirrored, from where, how."""
    spaces: SpacesSettings = SpacesSettings()
    """For a service: in whose homes the mirrors appear."""
    webhook: WebhookSettings = WebhookSettings()
    """For a service: the receiver of beacons."""
