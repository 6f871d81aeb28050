"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import contextlib
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbpipe import config
from nbpipe.collecting.tasks import NAME, injectable
from nbpipe.errors import UsageError
from nbpipe.history import LATEST
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbpipe.config import Config

color_option = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours; NO_COLOR and FORCE_COLOR are honoured.",
)


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command has."""
    for option in (
        debug_option,
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            help="Read this configuration file; its folder is the collection's root.",
        ),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def while_read() -> Iterator[None]:
    """Write to standard output; a reader that goes away (`| head`) changes no verdict."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python's last flush fails again


def load_config(file: Path | None) -> Config:
    """Return the configuration for a command run here.

    Raises:
        ConfigError: It has problems.
    """
    return config.load(here(), file=file.absolute() if file else None)


def here() -> Path:
    """Return the working directory.

    Raises:
        UsageError: Somebody removed it.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "the working directory does not exist any more", hint="Change to another folder."
        ) from error


if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # generic from click 8.4 on only
    ParamType = click.ParamType


class Auto(ParamType):
    """A number of at least 1, or `auto`, or another word."""

    def __init__(self, *words: str) -> None:
        self._words = ("auto", *words)
        self.name = "|".join(("N", *self._words))

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401  (click's)
        """Return the number, or the word."""
        if isinstance(value, int):
            return value
        if value.lower() in self._words:
            return value.lower()
        if value.isascii() and value.isdigit() and int(value) >= 1:
            return int(value)
        words = " nor ".join(self._words)
        return self.fail(f"{value!r} is neither a number of at least 1 nor {words}", param, ctx)


class Here(ParamType):
    """A path, relative to the working directory."""

    name = "PATH"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401  (click's)
        """Return the absolute path as text, as in a configuration."""
        del param, ctx
        return str(here() / value)


class Shard(ParamType):
    """`I/N`, with I from 1 to N."""

    name = "I/N"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401  (click's)
        """Return (I, N)."""
        number, _, count = str(value).partition("/")
        if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return int(number), int(count)
        return self.fail(f"{value!r} is not I/N with I from 1 to N, such as 2/4", param, ctx)


class Pair(ParamType):
    """`FROM=TO`."""

    name = "FROM=TO"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401  (click's)
        """Return (FROM, TO)."""
        left, equals, right = str(value).partition("=")
        if left and equals and right:
            return left, right
        return self.fail(f"{value!r} is not FROM=TO, such as desi-22.2=python3", param, ctx)


class Limit(click.FloatRange):
    """A number above 0; `nan` is none."""

    name = "number"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> float:  # noqa: ANN401  (click's)
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid number", param, ctx)
        return number


class Duration(Limit):
    """A duration, such as `90`, `10m` or `1h30m`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:  # noqa: ANN401  (click's)
        """Return the seconds."""
        with contextlib.suppress(ValueError):
            return units.seconds(str(value))
        with contextlib.suppress(ValueError):
            float(value)
            return super().convert(value, param, ctx)  # says why that number is none
        told = f"{value!r} is not a valid number of seconds, nor a duration {units.DURATIONS}"
        return float(self.fail(told, param, ctx))


class Budget(ParamType):
    """An amount of memory, or a share of the machine's."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:  # noqa: ANN401  (click's)
        """Return the text, which can be read on every machine."""
        try:
            units.budget(value, whole=0)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Parameter(ParamType):
    """The name of a variable, in any language."""

    name = "NAME"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401  (click's)
        """Return the name."""
        if NAME.fullmatch(value):
            return value
        return self.fail(f"{value!r} is not the name of a variable", param, ctx)


def parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options whose values `parameters` puts together."""
    for option in (
        click.option(
            "--parameters-file",
            type=click.Path(path_type=Path),
            multiple=True,
            metavar="FILE",
            help="Parameters from YAML.",
        ),
        click.option(
            "-p",
            "--parameter",
            "parameter",
            type=(Parameter(), str),
            multiple=True,
            metavar="NAME VALUE",
            help="Parameter, as papermill injects it; repeatable.",
        ),
    ):
        command = option(command)
    return command


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that the command line gives; single ones win over files.

    Raises:
        UsageError: A file cannot be read, or is not a mapping of names to values that can be
            injected.
    """
    found: dict[str, Any] = {}
    for file in given["parameters_file"]:
        found |= injectable(parameters_file(file), where=f"--parameters-file {file}")
    single = {name: typed(value) for name, value in given["parameter"]}
    return found | injectable(single, where="-p")


def typed(value: str) -> Any:  # noqa: ANN401  (JSON)
    """Return a parameter's value with its type, as papermill's `-p` reads it.

    Numbers, booleans and None are recognised; so are JSON lists and objects. Everything else
    is text.
    """
    import json  # noqa: PLC0415

    words = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
    if value in words:
        return words[value]
    for read in (int, float):
        try:
            return read(value)
        except ValueError:
            continue
    if value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _without_dates(loader: Any) -> Any:  # noqa: ANN401  (yaml is imported late)
    """Return a loader that leaves a date the text that it is, as papermill's."""
    kept = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in loader.yaml_implicit_resolvers.items()
    }
    return type("Loader", (loader,), {"yaml_implicit_resolvers": kept})


def parameters_file(path: Path) -> dict[str, Any]:
    """Return the parameters in a YAML (or JSON) file.

    Raises:
        UsageError: It cannot be read, or is not a mapping of names to values.
    """
    import yaml  # noqa: PLC0415  (slow)

    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.load(text, Loader=_without_dates(yaml.SafeLoader))  # noqa: S506  (it is safe)
    except OSError as error:
        raise UsageError(
            f"--parameters-file {path}: cannot be read: {error.strerror}",
            hint="Name a file with one `name: value` a line.",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(
            f"--parameters-file {path}: is not YAML: {error}",
            hint="Write one `name: value` a line.",
        ) from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UsageError(
            f"--parameters-file {path}: is not a mapping of names to values",
            hint="Write one `name: value` a line.",
        )
    return values


_RUN = re.compile(r"latest|[\dT]+(?:-[0-9a-f]*)?")
"""The beginning of a run's id, as `nbpipe.runner` makes them, or the newest."""


class GroupedCommand(click.Command):
    """A command with many options: its help shows them in groups, with their defaults.

    Args:
        groups: Title -> the options' names; what is in none comes last.
        defaults: What a setting of the same name is where nobody sets it.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401  (click's)
        groups: Mapping[str, tuple[str, ...]],
        defaults: object = None,
        **more: Any,  # noqa: ANN401  (click's)
    ) -> None:
        super().__init__(*arguments, **more)
        self._groups, self._defaults = groups, defaults

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        known = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        left = {each.name: each for each in known if each.name}
        for title, names in self._groups.items():
            self._write(ctx, formatter, title, [left.pop(name) for name in names])
        self._write(ctx, formatter, "Other options", list(left.values()))

    def _write(
        self,
        ctx: click.Context,
        formatter: click.HelpFormatter,
        title: str,
        parameters: list[click.Option],
    ) -> None:
        records = [(each.name or "", each.get_help_record(ctx)) for each in parameters]
        rows = [(record[0], record[1] + self._default(name)) for name, record in records if record]
        with formatter.section(title):
            formatter.write_dl(rows)

    def _default(self, name: str) -> str:
        value = getattr(self._defaults, name, None)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return ""
        return f"  [default: {value:g}]" if isinstance(value, float) else f"  [default: {value}]"


class ResumingCommand(GroupedCommand):
    """A command with `--resume [RUN]` and patterns: what follows the option may be either."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the latest run named where a pattern follows `--resume`."""
        ends = args.index("--") if "--" in args else len(args)
        for place in range(min(ends, len(args) - 1)):
            if args[place] == "--resume" and _is_pattern(args[place + 1]):
                args[place] = f"--resume={LATEST}"
        return super().parse_args(ctx, args)


def _is_pattern(word: str) -> bool:
    """Return whether a word that may name a run names notebooks: it is no run's, and is there."""
    if _RUN.fullmatch(word):
        return False
    return bool(set(word) & set("*?[/")) or word.endswith(".ipynb") or Path(word).exists()
