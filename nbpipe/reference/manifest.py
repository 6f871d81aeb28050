"""The record of a reference run: what ran, where, how long, and what it left.

Plain values, written as JSON that is versioned (`"format"`) and has a published schema,
manifest.schema.json beside this file. Nothing here opens a data product or asks a scheduler.

Versions of the format; a new key is no new version, a changed or removed one is:

1. 2026-11-21: the first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from nbpipe.errors import ExitCode, NbpipeError
from nbpipe.system.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1

SPECIAL = "special"
"""Kind of what has no content of its own: a FIFO, a link to a folder elsewhere."""
LINK = "link"
"""Kind of a link to a folder of the run, whose files are outputs under their own names."""

Value = str | int | float | bool | None
"""What a keyword or an attribute holds; anything else is written as text."""


class ManifestError(NbpipeError):
    """A manifest cannot be read: it is absent, damaged, or of a newer nbpipe."""

    exit_code = ExitCode.INTERRUPTED  # 2: "could not compare", as the contract of `compare` says


@dataclass(frozen=True, kw_only=True, slots=True)
class Notebook:
    """The notebook that ran."""

    path: str
    sha256: str
    executed: str | None = None
    """The executed copy, relative to the run's folder."""
    log: str | None = None
    """The job's log, relative to the run's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A part of a job that the scheduler keeps apart, such as a call of srun in it."""

    id: str = ""
    """`12.0`; "" where the accounting does not know it and the call was noted."""
    name: str = ""
    state: str = ""
    exit: int | None = None
    """The exit code; None where it is not known, or a signal ended it."""
    seconds: float | None = None
    cores: int | None = None
    call: str = ""
    """The command line, where it is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job, or a job that a job submitted."""

    id: str
    name: str = ""
    scheduler: str = ""
    """The scheduler that ran it; "" in older manifests, where all jobs had the same."""
    found: str = ""
    """How a job was found to be the run's; "" for the run's own."""
    parent: str | None = None
    """The id of the job that submitted it."""
    state: str = ""
    exit: int | None = None
    """The exit code; None where it is not known, or a signal ended it."""
    wall_seconds: float | None = None
    queue_seconds: float | None = None
    """Between the submission and the start."""
    core_hours: float | None = None
    """Allocated cores x wall time."""
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    children: tuple[str, ...] = ()
    """Ids of the jobs that it submitted."""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """How long one cell took."""

    index: int
    """0-based, in the source notebook."""
    seconds: float
    title: str = ""
    """For people: the cell's first line, or the heading above it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """One numeric column in numbers; min, max, mean and std are of the finite values."""

    count: int
    """All values, the absent ones included; of a vector column, its elements."""
    missing: int = 0
    """Null or masked."""
    nan: int = 0
    infinite: int = 0
    min: int | float | None = None
    max: int | float | None = None
    mean: float | None = None
    std: float | None = None
    """Of the population (divided by n)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table, or an array of a tree."""

    name: str
    dtype: str
    """`int32`, `float64`, `bool`, `string`, `datetime`, `object`: the same for every format."""
    unit: str | None = None
    shape: tuple[int, ...] = ()
    """Of a table's column for one row; of an array the whole."""
    dimensions: tuple[str, ...] = ()
    """Their names, where the format has them."""
    attributes: dict[str, Value] = field(default_factory=dict)
    statistics: Statistics | None = None
    """None for what has no numbers, or could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A table, image or group in a file."""

    name: str
    """`1 ZCAT` of a FITS file, `/spectra` of a tree; empty where a file is one table."""
    form: Literal["table", "array", "group", "image", "document"]
    rows: int | None = None
    """Of a table."""
    columns: tuple[Column, ...] = ()
    attributes: dict[str, Value] = field(default_factory=dict)
    """Header keywords, attributes of a group, size and mode of an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """One file that the run left."""

    path: str
    """Relative to the run's folder, with `/`."""
    bytes: int
    sha256: str | None
    """None where it could not be read."""
    kind: str
    """`fits`, `hdf5`, `netcdf`, `parquet`, `csv`, `ecsv`, `png`, `jpeg`, `json`, `text`, ..."""
    modified: str | None = None
    """When it was last written, ISO 8601, UTC; by this a file is known again without reading it."""
    link: str | None = None
    """Where a symbolic link leads: relative to the run's folder where that is inside of it."""
    parts: tuple[Part, ...] = ()
    """The schema, with the statistics."""
    error: str | None = None
    """Why it is not described, or not wholly."""
    notes: tuple[str, ...] = ()
    """What a reader of the description should know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The collection as it was submitted, where that is more than its commit says."""

    changed: tuple[str, ...] = ()
    """Files that differed from the commit."""
    submodules: dict[str, str] = field(default_factory=dict)
    """Path -> commit."""
    left_out: tuple[str, ...] = ()
    """What was there and was not copied for the run: ignored files, links that lead out of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A file of the run that a release keeps beside its products: the executed notebook, a log."""

    path: str
    """Relative to the release's folder `record`, with `/`."""
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotion:
    """Who made a run the reference of a release."""

    when: str
    """ISO 8601, UTC."""
    by: str
    """The name of the account."""
    host: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """Differences that somebody accepted."""

    only: tuple[str, ...]
    """Patterns of the files; none: all."""
    reason: str
    when: str
    """ISO 8601, UTC."""
    run: str
    """The run whose files became the reference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A reference run."""

    format: int = FORMAT
    name: str
    """NAME of `[reference.NAME]`."""
    run: str
    release: str | None = None
    """None until it is promoted."""
    reason: str = ""
    """Why it was promoted."""
    created: str
    """ISO 8601, UTC."""
    notebook: Notebook
    parameters: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    """Of the job's environment, as they were asked for."""
    roots: dict[str, str] = field(default_factory=dict)
    """Name -> folder outside of the run's; its outputs' paths begin with the name."""
    commit: str | None = None
    packages: dict[str, str] = field(default_factory=dict)
    """Name -> version, of the kernel's environment."""
    host: str = ""
    system: str = ""
    """The machine or cluster by its name; performance is only compared within one."""
    environment: dict[str, str] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    cells: tuple[Cell, ...] = ()
    outputs: tuple[Output, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    source: Source = Source()
    promoted: Promotion | None = None
    """None until it is promoted."""
    record: tuple[Kept, ...] = ()
    """What a release keeps beside its products; empty until it is promoted."""
    notes: tuple[str, ...] = ()
    """What this record lacks, and why."""
    unseen: tuple[str, ...] = ()
    """Which jobs that the run submitted the schedulers could not have told of."""


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as JSON, indented for people and diffs."""
    plain = msgspec.to_builtins(manifest)
    return (
        json.dumps(
            encodable(plain), indent=1, ensure_ascii=False, allow_nan=False, sort_keys=False
        ).encode()
        + b"\n"
    )


def decode(data: bytes, where: str) -> Manifest:
    """Return the manifest that the JSON holds; `where` is its name in errors.

    Raises:
        ManifestError: It is damaged, or its format is newer than this nbpipe.
    """
    hint = "Restore it from a backup, or run and promote again."
    try:
        document = msgspec.json.decode(data)
        found = document.get("format") if isinstance(document, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise ManifestError(
                f"{where}: its format is {found}, this nbpipe reads up to {FORMAT}",
                hint="Update nbpipe.",
            )
        manifest = msgspec.convert(document, Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"{where}: not a manifest: {error}", hint=hint) from error
    if found != FORMAT:
        raise ManifestError(f"{where}: not a manifest: unknown format {found}", hint=hint)
    return manifest


def write(manifest: Manifest, file: Path) -> None:
    """Write the manifest, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    write_whole(file, encode(manifest))


def read(file: Path) -> Manifest:
    """Return the manifest in a file.

    Raises:
        ManifestError: It cannot be read, is damaged, or its format is newer than this nbpipe.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{file}: cannot be read: {error.strerror}",
            hint="`nbpipe reference list` shows the runs there are.",
        ) from error
    return decode(data, str(file))


def schema() -> dict[str, Any]:
    """Return the published JSON Schema of a manifest (draft 2020-12)."""
    text = files("nbpipe.reference").joinpath("manifest.schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def derived_schema() -> dict[str, Any]:
    """Return the schema as the classes above say it; the published one is made from it."""
    made = msgspec.json.schema(Manifest)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The manifest of a reference run, format 1",
    }
    return cast("dict[str, Any]", json.loads(msgspec.json.encode({**head, **made})))


def encodable(value: Any) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """Return the value as JSON can hold it: no lone surrogates, no NaN or infinity."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {encodable(str(key)): encodable(each) for key, each in value.items()}
        case list() | tuple():
            return [encodable(each) for each in value]
        case float() if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124
            return str(value)
        case _:
            return value
