"""nbpipe.toml or [tool.nbpipe] -> validated, frozen settings; every problem listed at once.

What the keys are stands in `nbpipe.config.settings`. Nothing here knows what a setting does.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
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

from nbpipe.config import lines
from nbpipe.config.settings import Settings, Table
from nbpipe.errors import ConfigError, UsageError
from nbpipe.system import secrets, units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE_NAME = "nbpipe.toml"
SERVICE_FILE = "/etc/nbpipe/nbpipe.toml"
"""Read by a service that is given no other; the site's own file."""
SITE_VARIABLE = "NBPIPE_SITE"
"""Names the site's own file where it is not in /etc."""

T = TypeVar("T", bound=Table)


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
        table = _tools(table).get("nbpipe", {})
    problems: list[str] = []
    settings = _convert(table, Settings, "", problems)
    if problems or settings is None:
        listed = "\n".join(f"  {problem}" for problem in _with_lines(problems, file))
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(
            f"{file}: {count} in the configuration\n{listed}",
            hint="Nothing was run. `nbpipe config --keys` describes every key.",
        )
    root = file.parent.resolve()
    anchored = _anchored(settings, Settings, root)
    return Config(root=root, file=file, settings=anchored, given=frozenset(_dotted(table)))


def _with_lines(problems: list[str], file: Path) -> list[str]:
    """Return the problems, each with the line of the file where its key stands."""
    text = file.read_bytes().decode(errors="replace")
    below = "tool.nbpipe" if file.name == "pyproject.toml" else ""
    known = lines.places(text, below=below)
    found = []
    for problem in problems:
        line = lines.nearest(known, problem.partition(": ")[0])
        found.append(problem if line is None else f"line {line}: {problem}")
    return found


def changed(config: Config, *, replaced: Mapping[str, object], added: Mapping[str, Any]) -> Config:
    """Return the configuration with other values in `[test]`.

    Args:
        config: What the files say.
        replaced: Field of `TestSettings` -> the value in place of the file's.
        added: Field of `TestSettings` that is a list or a table -> what is added to the file's.

    Raises:
        UsageError: A value is not one that the file could hold.
    """
    test = config.settings.test
    kinds = {each.name: each.type for each in msgspec.structs.fields(type(test))}
    values = {name: _argument(name, value, kinds[name]) for name, value in replaced.items()}
    for name, value in added.items():
        before = values.get(name, getattr(test, name))
        values[name] = before | value if isinstance(before, dict) else (*before, *value)
    settings = msgspec.structs.replace(
        config.settings, test=msgspec.structs.replace(test, **values)
    )
    return replace(config, settings=settings)


def _argument(name: str, value: object, kind: Any) -> Any:  # noqa: ANN401
    """Return the value as the file would take it; `jobs=0` would wait for ever."""
    read = value
    if isinstance(value, str) and not units.is_bare(value) and is_marked(kind, "duration"):
        with contextlib.suppress(ValueError):  # refused below, as any text is
            read = units.seconds(value)
    try:
        return msgspec.convert(read, kind)
    except msgspec.ValidationError as error:
        message = str(error).partition(" - at ")[0].replace("`", "")
        raise UsageError(
            f"{name}={value!r}: {message[:1].lower()}{message[1:]}",
            hint="`nbpipe config --keys` and help(nbpipe.test) say what it may be.",
        ) from error


def site(environ: Mapping[str, str]) -> Config | None:
    """Return the site's own configuration, None where there is none.

    Raises:
        ConfigError: It has problems, or the file that NBPIPE_SITE names is not there.
    """
    named = environ.get(SITE_VARIABLE)
    file = Path(named or SERVICE_FILE)
    return load(file.parent, file=file) if named or file.is_file() else None


def user(folder: Path) -> Config | None:
    """Return the configuration in the user's folder of settings, None where there is none.

    Raises:
        ConfigError: It has problems.
    """
    file = folder / FILE_NAME
    return load(folder, file=file) if file.is_file() else None


def find(start: Path) -> Path | None:
    """Return the nearest configuration file, from `start` upwards; nbpipe.toml comes first."""
    for folder in (start, *start.parents):
        candidate = folder / FILE_NAME
        if candidate.is_file() or candidate.is_symlink():  # a link to nothing is told
            return candidate
        project = folder / "pyproject.toml"
        if project.is_file() and "nbpipe" in _tools(_read(project)):
            return project
    return None


def _tools(project: dict[str, Any]) -> dict[str, Any]:
    """Return the table `[tool]` of a pyproject.toml; what else may stand there is not ours."""
    tools = project.get("tool")
    return tools if isinstance(tools, dict) else {}


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read: {error.strerror}", hint="Name another one with --config."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: is not UTF-8 text: {error}", hint="Save it as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}", hint="Mend that line first.") from error


def _convert(table: object, kind: type[T], where: str, problems: list[str]) -> T | None:
    """Return the table as `kind`, adding everything that is wrong to `problems`."""
    if not isinstance(table, dict):
        problems.append(f"{where or 'tool.nbpipe'}: expected a table, got {table!r}")
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
    if named := _table_by_name(kind):
        return _tables_by_name(value, named, dotted, problems)
    if _is_list_of_tables(kind, value):
        element: type[Table] = get_args(kind)[0]
        return tuple(
            _convert(item, element, f"{dotted}[{number}]", problems)
            for number, item in enumerate(cast("list[object]", value))
        )
    if isinstance(value, str) and not units.is_bare(value) and is_marked(kind, "duration"):
        return _duration(value, dotted, problems)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problems.append(f"{dotted}: {_plain(str(error), kind)}")
        return None


def _duration(value: str, dotted: str, problems: list[str]) -> float | None:
    """Return the seconds of a duration with units."""
    with contextlib.suppress(ValueError):
        return units.seconds(value)
    problems.append(f'{dotted}: expected a number, got text that is not a duration such as "10m"')
    return None


def _anchored(value: Any, kind: Any, root: Path) -> Any:  # noqa: ANN401
    """Return a value in which every relative path of a secret's file begins at the root."""
    if isinstance(value, Table):
        fields = msgspec.structs.fields(value)
        found = {each.name: (getattr(value, each.name), each.type) for each in fields}
        return msgspec.structs.replace(
            value, **{name: _anchored(each, inner, root) for name, (each, inner) in found.items()}
        )
    if isinstance(value, tuple):
        return tuple(_anchored(each, kind, root) for each in value)
    if isinstance(value, dict):
        return {name: _anchored(each, kind, root) for name, each in value.items()}
    if isinstance(value, str) and is_marked(kind, "secret"):
        return secrets.anchored(value, root)
    return value


def is_marked(kind: Any, mark: Literal["secret", "duration"]) -> bool:  # noqa: ANN401
    """Return whether a field of this type says where a secret is, or is a duration."""
    extras = (meta.extra or {} for meta in getattr(kind, "__metadata__", ()))
    return any(mark in extra for extra in extras) or any(
        is_marked(inner, mark) for inner in get_args(kind)
    )


def _table_by_name(kind: Any) -> tuple[Any, type[Table]] | None:  # noqa: ANN401
    """Return what a table of tables has for names and for values; None for another type."""
    name, element = get_args(kind) if get_origin(kind) is dict else (None, None)
    return (name, element) if isinstance(element, type) and issubclass(element, Table) else None


def _tables_by_name(
    value: object, kind: tuple[Any, type[Table]], dotted: str, problems: list[str]
) -> dict[str, Any] | None:
    """Return `[dotted.NAME]` for every name."""
    if not isinstance(value, dict):
        problems.append(f"{dotted}: expected a table for each name, got {value!r}")
        return None
    names, element = kind
    tables = {}
    for name, table in value.items():
        inner = f"{dotted}.{name}"
        _value(name, names, inner, problems)
        tables[name] = _convert(table, element, inner, problems)
    return tables


def _plain(message: str, kind: Any) -> str:  # noqa: ANN401
    """Return msgspec's message in TOML's words, with the choices where there are few."""
    accepted = " or ".join(_accepted(kind))
    if message.startswith("Invalid enum value"):
        return f"expected {accepted}, got {message.removeprefix('Invalid enum value ')}"
    for pattern, words in _patterns(kind):
        message = message.replace(f"`str` matching regex {pattern!r}", words)
    message = re.sub(r"`\w+(?: \| \w+)+`", lambda _: accepted, message)
    for word, plain in _TOML_WORDS.items():
        message = message.replace(f"`{word}`", plain)
    message = message.replace(" - at `$[...]`", " for a value in it")
    message = re.sub(r" - at `\$(\[\d+\])`", r" at \1", message)
    return message[:1].lower() + message[1:]


def _patterns(kind: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield the patterns in a type, with the words for them."""
    for meta in getattr(kind, "__metadata__", ()):
        if meta.pattern and meta.description:
            yield meta.pattern, meta.description
    for inner in get_args(kind):
        yield from _patterns(inner)


_TOML_WORDS = {
    "array": "a list",
    "object": "a table",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "date": "a date (2026-01-31)",
}


def _accepted(kind: Any) -> list[str]:  # noqa: ANN401
    """Return what a type accepts, in TOML's words; it has no word for nothing."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [f'"{choice}"' for choice in arguments]
    if origin is Annotated:
        return _accepted(arguments[0])
    if origin in {Union, UnionType}:
        options = [option for option in arguments if option is not type(None)]
        return [words for option in options for words in _accepted(option)]
    return [_TOML_WORDS.get(getattr(kind, "__name__", ""), "a value")]


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
