"""nbpipe.toml or [tool.nbpipe] -> validated, frozen settings; every problem listed at once.

The shapes below are the documentation of the file: a field's name with dashes is the key, its
type is what is accepted. Nothing here knows what a setting does.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

import msgspec

from nbpipe.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "nbpipe.toml"
SERVICE_FILE = "/etc/nbpipe/nbpipe.toml"
"""Read by a service that is given no other."""

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Megabytes = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One table of the file: frozen, keys written with dashes."""


T = TypeVar("T", bound=Table)


class Override(Table, frozen=True):
    """`[[test.overrides]]`: other settings for some notebooks; the last one that matches wins."""

    paths: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Patterns as in .gitignore, relative to the root."""
    skip: Name | None = None
    """Do not execute; the text is the reason."""
    kernel: Name | None = None
    missing_kernel: Literal["fail", "skip"] | None = None
    timeout: Seconds | None = None
    notebook_timeout: Seconds | None = None
    output_limit: Megabytes | None = None
    retries: Count | None = None
    all_errors: bool | None = None
    parameters: dict[str, Any] = {}


class TestSettings(Table, frozen=True):
    """`[test]`: what `nbpipe test` runs, and how."""

    include: tuple[str, ...] = ()
    """Patterns as in .gitignore, relative to the root; none: every notebook."""
    exclude: tuple[str, ...] = ()
    default_exclude: bool = True
    """False: the exclusions by default do not apply."""
    kernel: Name | None = None
    """Force this kernel on every notebook."""
    kernel_map: dict[str, Name] = {}
    """Name in the notebook -> installed kernel."""
    missing_kernel: Literal["fail", "skip"] = "fail"
    timeout: Seconds = 600.0
    """Seconds for one cell."""
    notebook_timeout: Seconds | None = None
    """Seconds for a whole notebook."""
    startup_timeout: Seconds = 180.0
    """Seconds for a kernel to answer for the first time."""
    grace: Seconds = 10.0
    """Seconds between interrupting a notebook and killing it."""
    output_limit: Megabytes = 100.0
    """Megabytes (10^6 bytes) of output that one notebook may produce."""
    prerun: tuple[str, ...] = ()
    """Files relative to the root; the ending tells the language."""
    parameters: dict[str, Any] = {}
    jobs: Annotated[int, msgspec.Meta(ge=1)] | Literal["auto"] = "auto"
    retries: Count = 0
    flaky: Literal["pass", "fail"] = "pass"
    all_errors: bool = False
    reports: tuple[str, ...] = ()
    """`KIND` or `KIND=PATH`, as for `--report`."""
    output_dir: Name | None = None
    overrides: tuple[Override, ...] = ()


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
    total_size: Megabytes = 50_000.0


class CollectionSettings(Table, frozen=True):
    """`[[collection]]`: a branch at an origin, and the mirror that follows it."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    origin: Name
    """What git fetches from; never with a password in it."""
    root: Name
    """Absolute; the mirror is root/name, its state root/.nbpipe/name."""
    branch: Name = "main"
    repository: Name | None = None
    """`ORG/REPO` as beacons name it; by default the end of the origin."""
    poll: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """Seconds between two looks at the origin; 0: only at the start and for beacons."""
    keep: Keep = Keep()
    secrets: tuple[Name, ...] = ()
    """Of beacons: `env:NAME` or `file:PATH`; several while one is being replaced."""
    protocols: tuple[Literal["https", "ssh", "http", "git", "file"], ...] = ("https", "ssh")
    """What git may speak, to any host and for any reason."""
    token: Name | None = None
    """The origin's password for https: `env:NAME` or `file:PATH`."""
    username: Name = "x-access-token"
    askpass: Name | None = None
    """A program that answers git's questions for a user name and a password."""
    ssh_key: Name | None = None
    """The file of a deploy key."""
    known_hosts: Name | None = None
    """The file with the origin's host key, where it is not in ssh's own."""
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
    lfs: Literal["pointers", "fetch"] = "pointers"
    """Git LFS: publish the pointers with a warning, or what they point to (needs git-lfs)."""
    gate: tuple[Name, ...] = ()
    """A command run with the candidate's folder as its last argument; not 0: not published."""
    gate_timeout: Seconds = 3_600.0
    limits: ReleaseLimits = ReleaseLimits()
    max_links: Annotated[int, msgspec.Meta(ge=2)] | None = None
    """Hard links to one file, where the file system allows fewer than it says."""


class SpacesSettings(Table, frozen=True):
    """`[spaces]`: where the mirror appears."""

    homes: tuple[Name, ...] = ("/home/*",)
    """Patterns of the folders in which it appears."""
    name: Annotated[str, msgspec.Meta(pattern=r"^[^/\x00-\x1f]{1,255}$")] = "notebooks-latest"
    method: Literal["symlink", "bind"] = "symlink"
    collection: Name | None = None
    """Which one; by default the only one, or the one with the name above."""
    exclude: tuple[Name, ...] = ()
    """Patterns of homes to leave alone."""


class WebhookSettings(Table, frozen=True):
    """`[webhook]`: the receiver."""

    host: Name = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8080
    prefix: str = ""
    """The path below which it answers, behind a proxy."""
    threads: Annotated[int, msgspec.Meta(ge=1)] = 8
    body_limit: Megabytes = 25.0
    """GitHub's own limit for a payload."""
    deliveries: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Ids of deliveries that are remembered, so that a replay is recognised."""


class Settings(Table, frozen=True):
    """The whole file."""

    test: TestSettings = TestSettings()
    collection: tuple[CollectionSettings, ...] = ()
    spaces: SpacesSettings = SpacesSettings()
    webhook: WebhookSettings = WebhookSettings()


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings, where they come from, and the folder they are about."""

    root: Path
    """The collection's root."""
    file: Path | None
    """The file that was read, None where there is none."""
    settings: Settings
    given: frozenset[str]
    """Dotted keys that the file sets, such as `test.jobs`; all others are defaults."""


def load(start: Path, *, file: Path | None = None) -> Config:
    """Return the configuration that holds for a command started in `start`.

    Args:
        start: Where the search for a root begins, upwards.
        file: A configuration file to read instead (`--config`); its folder is the root.

    Raises:
        ConfigError: The file cannot be read, or has problems; all of them are named.
    """
    if file is None:
        file = find(start)
    if file is None:
        return Config(root=start, file=None, settings=Settings(), given=frozenset())
    table = _read(file)
    if file.name == "pyproject.toml":
        table = table.get("tool", {}).get("nbpipe", {})
    problems: list[str] = []
    settings = _convert(table, Settings, "", problems)
    if problems or settings is None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(
            f"{file}: {count} in the configuration\n{lines}",
            hint="Nothing was run. `nbpipe config --help` shows where the keys are described.",
        )
    return Config(
        root=file.parent.resolve(), file=file, settings=settings, given=frozenset(_dotted(table))
    )


def find(start: Path) -> Path | None:
    """Return the nearest configuration file, from `start` upwards; nbpipe.toml comes first."""
    for folder in (start, *start.parents):
        if (candidate := folder / FILE_NAME).is_file():
            return candidate
        project = folder / "pyproject.toml"
        if project.is_file() and "nbpipe" in _read(project).get("tool", {}):
            return project
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read: {error.strerror}", hint="Name another one with --config."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}", hint="Mend that line first.") from error


def _convert(table: object, kind: type[T], where: str, problems: list[str]) -> T | None:
    """Return the table as `kind`, adding everything that is wrong to `problems`."""
    if not isinstance(table, dict):
        problems.append(f"{where}: expected a table, got {table!r}")
        return None
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        dotted = f"{where}.{key}" if where else key
        if key not in fields:
            problems.append(_unknown(dotted, key, list(fields)))
            continue
        values[fields[key].name] = _value(value, fields[key].type, dotted, problems)
    problems.extend(
        f"{where}: `{name}` is missing"
        for name, field in fields.items()
        if field.required and name not in table
    )
    return None if problems else kind(**values)


def _value(value: object, kind: Any, dotted: str, problems: list[str]) -> Any:  # noqa: ANN401
    """Return one value converted to its field's type."""
    if isinstance(kind, type) and issubclass(kind, Table):
        return _convert(value, kind, dotted, problems)
    if _is_list_of_tables(kind, value):
        element: type[Table] = get_args(kind)[0]
        return tuple(
            _convert(item, element, f"{dotted}[{number}]", problems)
            for number, item in enumerate(cast("list[object]", value))
        )
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problems.append(f"{dotted}: {_plain(str(error), kind)}")
        return None


def _plain(message: str, kind: Any) -> str:  # noqa: ANN401
    """Return msgspec's message in TOML's words, with the choices where there are few."""
    choices = _choices(kind)
    if message.startswith("Invalid enum value") and choices:
        return f"{message.removeprefix('Invalid enum value ')} is none of {', '.join(choices)}"
    for word, plain in _TOML_WORDS.items():
        message = message.replace(f"`{word}`", plain)
    message = message.replace(" - at `$[...]`", " for a value in it")
    return message[:1].lower() + message[1:] + (f" (or {', '.join(choices)})" if choices else "")


_TOML_WORDS = {
    "array": "a list",
    "object": "a table",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}


def _choices(kind: Any) -> list[str]:  # noqa: ANN401
    if get_origin(kind) is Literal:
        return [f'"{choice}"' for choice in get_args(kind)]
    if get_origin(kind) in {Union, UnionType}:
        return [choice for option in get_args(kind) for choice in _choices(option)]
    return []


def _unknown(dotted: str, key: str, known: list[str]) -> str:
    near = get_close_matches(key.replace("_", "-").lower(), known, n=1, cutoff=0.5)
    advice = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{dotted}: unknown key; {advice}"


def _is_list_of_tables(kind: Any, value: object) -> bool:  # noqa: ANN401
    element = get_args(kind)[0] if get_origin(kind) is tuple else None
    return isinstance(element, type) and issubclass(element, Table) and isinstance(value, list)


def _dotted(table: dict[str, Any], where: str = "") -> list[str]:
    """Return the dotted name of every key that is set."""
    names: list[str] = []
    for key, value in table.items():
        dotted = f"{where}.{key}" if where else key
        names.append(dotted)
        if isinstance(value, dict):
            names += _dotted(value, dotted)
    return names
