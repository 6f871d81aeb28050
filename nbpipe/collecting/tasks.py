"""A chosen notebook -> its task: kernel, limits, parameters, and what is wrong already.

A value comes from the last override that matches and sets it, else from the notebook's own
metadata, else from the settings. Code that runs first (`--prerun`) is chosen by its language.

A parameter goes into the code of a cell and into the metadata of the executed copy, which is JSON.
A date becomes text, as with papermill; so do paths and keys that are all whole numbers.
"""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import date, time
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from nbpipe.collecting import texts
from nbpipe.collecting.heads import Wishes, read_wishes
from nbpipe.collecting.kernels import (
    broken_failure,
    choose,
    missing_failure,
    missing_skip,
    named,
)
from nbpipe.collecting.paths import GitLines, on_disk
from nbpipe.collecting.scopes import is_below
from nbpipe.config.settings import Override, TestSettings
from nbpipe.errors import UsageError
from nbpipe.model import Category, Failure, Limits, Prerun, Task
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.collecting.candidates import Chosen
    from nbpipe.collecting.exclusions import Places
    from nbpipe.collecting.kernels import InstalledKernel

_MEGABYTE = 10**6
_HIDING_HOME = {"PYTHONNOUSERSITE": "1"}
"""Python looks for no packages in the home (docs.python.org, `site`)."""
_OVERRIDDEN = {*Override.__struct_fields__} - {"paths", "parameters"}
_UNCHANGED = tuple(
    ({field.name for field in fields(Task)} & {*TestSettings.__struct_fields__})
    - {"kernel", "parameters", "prerun", "groups"}  # worked out for each notebook
)
"""What a task takes over from the settings, or from the last override that sets it, by its name."""


class Tasks:
    """Makes the tasks of one plan."""

    def __init__(
        self,
        settings: TestSettings,
        places: Places,
        kernels: Mapping[str, InstalledKernel],
        *,
        file: str,
        hidden: tuple[str, ...] = (),
    ) -> None:
        """Read the prerun files and compile the overrides; `file` names the configuration.

        No kernel inherits the variables `hidden`.

        Raises:
            UsageError: A prerun file or a parameter cannot be used, or a pattern is none.
        """
        self._settings = settings
        self._places = places
        self._kernels = kernels
        self._file = file
        self._hidden = hidden
        self._preruns = read_preruns(settings.prerun, Path(places.root))
        self._parameters = injectable(settings.parameters, where="parameters")
        self._overrides = [
            (
                GitLines(override.paths, where=f"{file}: test.overrides[{number}].paths"),
                override,
                injectable(override.parameters, where=f"{file}: test.overrides[{number}]"),
            )
            for number, override in enumerate(settings.overrides)
        ]
        self._groups = [
            (name, GitLines(lines, where=f"{file}: test.groups.{name}"))
            for name, lines in settings.groups.items()
        ]

    def make(self, chosen: Chosen) -> Task:
        """Return the task for a notebook."""
        given = self._given(chosen.path)
        metadata = chosen.head.metadata
        wishes = read_wishes(metadata)
        wanted, notes = named(metadata)
        forced = self._forced(given)
        choice = choose(
            wanted, forced=forced, kernel_map=self._settings.kernel_map, kernels=self._kernels
        )
        # What is wrong with the file itself is worth more than that its kernel is missing; but a
        # maintainer who wrote `skip` into an override knows of it, and wants to hear no more.
        failure = chosen.head.failure or _without_jupytext(chosen)
        skip = None if failure and "skip" not in given else self._skip(chosen.path, given, wishes)
        if choice.missing and not failure and skip is None:
            if given.get("missing_kernel", self._settings.missing_kernel) == "skip":
                skip = missing_skip(choice)
            else:
                failure = missing_failure(choice, self._kernels)
        elif not choice.missing and not failure and self._kernels[choice.kernel].problem:
            failure = broken_failure(self._kernels[choice.kernel])
        return Task(
            path=self._places.shown(chosen.path),
            file=Path(chosen.path),
            why=chosen.why,
            kernel=choice.kernel,
            language=choice.language,
            kernel_why=choice.why,
            limits=self._limits(given, wishes),
            parameters={**self._parameters, **given["parameters"]},
            prerun=tuple(code for code in self._preruns if code.language == choice.language),
            allow_errors=wishes.allow_errors,
            slots=given.get("slots", 1),
            groups=self._grouped(chosen.path),
            environ=_HIDING_HOME if self._settings.user_site == "off" else {},
            hidden=self._hidden,
            memory=units.size(given["memory"]) if "memory" in given else None,
            skip=skip,
            failure=None if skip else failure,
            notes=(*notes, *wishes.notes),
            **{name: given.get(name, getattr(self._settings, name)) for name in _UNCHANGED},
        )

    def _given(self, file: str) -> dict[str, Any]:
        """Return what the overrides set for a file; parameters are merged."""
        given: dict[str, Any] = {"parameters": {}}
        if not is_below(file, self._places.root):
            return given
        relative = self._places.relative(file, "")
        for lines, override, parameters in self._overrides:
            if lines.take(relative):
                values = {key: getattr(override, key) for key in _OVERRIDDEN}
                given |= {key: value for key, value in values.items() if value is not None}
                given["parameters"] |= parameters
        return given

    def _grouped(self, file: str) -> tuple[str, ...]:
        """Return the groups that a file is in."""
        if not is_below(file, self._places.root):
            return ()
        relative = self._places.relative(file, "")
        return tuple(name for name, lines in self._groups if lines.take(relative))

    def _forced(self, given: Mapping[str, Any]) -> tuple[str, str] | None:
        if kernel := given.get("kernel"):
            return kernel, f"an override of {self._file} forces it"
        if kernel := self._settings.kernel:
            return kernel, "forced for every notebook"
        return None

    def _skip(self, file: str, given: Mapping[str, Any], wishes: Wishes) -> str | None:
        if reason := given.get("skip") or wishes.skip:
            return str(reason)
        if not file.endswith(".ipynb") and not texts.is_jupytext_installed():
            return texts.SKIP_WITHOUT_JUPYTEXT
        return None

    def _limits(self, given: Mapping[str, Any], wishes: Wishes) -> Limits:
        settings = self._settings
        timeout = wishes.timeout if wishes.has_timeout else settings.timeout
        return Limits(
            cell_seconds=given.get("timeout", timeout),
            notebook_seconds=given.get("notebook_timeout", settings.notebook_timeout),
            startup_seconds=settings.startup_timeout,
            grace_seconds=settings.grace,
            shutdown=settings.shutdown,
            output_bytes=round(given.get("output_limit", settings.output_limit) * _MEGABYTE),
        )


def _without_jupytext(chosen: Chosen) -> Failure | None:
    """Return the failure of a text notebook that is named itself and cannot be read here.

    One that a pattern or folder chose is skipped: nobody asked for that very file.
    """
    if not chosen.named or chosen.path.endswith(".ipynb") or texts.is_jupytext_installed():
        return None
    return Failure(
        category=Category.MISSING_PACKAGE,
        name="ModuleNotFoundError",
        message=f"a text notebook {texts.SKIP_WITHOUT_JUPYTEXT}",
        signature="ModuleNotFoundError: No module named 'jupytext'",
    )


_LANGUAGES = {
    ".bash": "bash",
    ".ipy": "python",
    ".jl": "julia",
    ".py": "python",
    ".r": "r",
    ".sh": "bash",
}


def read_preruns(files: tuple[str, ...], root: Path) -> tuple[Prerun, ...]:
    """Return the code of the files, which are relative to the root or absolute.

    Raises:
        UsageError: A file is unreadable, or its extension does not name a language.
    """
    return tuple(_read(root / Path(on_disk(file)), file) for file in files)


def _read(path: Path, name: str) -> Prerun:
    language = _LANGUAGES.get(path.suffix.lower())
    if language is None:
        raise UsageError(
            f"prerun file {name}: its extension does not name a language",
            hint=f"Known extensions: {', '.join(sorted(_LANGUAGES))}.",
        )
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"prerun file {path}: cannot be read: {error.strerror}",
            hint="Files of the configuration are relative to the collection's root.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"prerun file {path}: is not UTF-8 text: {error}") from error
    return Prerun(name=name, language=language, source=source)


NAME = re.compile(r"[^\W\d][\w.]*")
"""The name of a variable, in any language."""

_DEEP = 50
_MANY = 1_000_000


class _UnfitError(Exception):
    """Why a value cannot be injected."""


def injectable(parameters: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return parameters as a notebook can hold them.

    Args:
        parameters: Of the command line, YAML, TOML or Python.
        where: Who gives them, for the error.

    Raises:
        UsageError: A name is not a variable's, or a value is not text, a number, a boolean, null,
            or a list or mapping of such; or it holds itself.
    """
    made = {}
    for name, value in parameters.items():
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{where}: parameter {name!r} is not the name of a variable",
                hint="Start with a letter; letters, digits and _ may follow.",
            )
        try:
            made[name] = _Taking().take(value, name, ())
        except _UnfitError as error:
            raise UsageError(
                f"{where}: parameter {name!r} cannot be injected: {error}",
                hint="Use text, numbers, true, false and null, and lists and mappings of them.",
            ) from error
    return made


class _Taking:
    """Takes one parameter, and counts what is in it: an alias of YAML can stand for millions."""

    def __init__(self) -> None:
        self._count = 0

    def take(self, value: Any, place: str, inside: tuple[int, ...]) -> Any:  # noqa: ANN401
        """Return a value as JSON can hold it.

        Args:
            value: Whatever somebody gave.
            place: Where it stands, for the error.
            inside: The lists and mappings around it, each by its identity.
        """
        self._count += 1
        if self._count > _MANY:
            raise _UnfitError(f"it holds more than {_MANY:,} values")
        if not isinstance(value, dict | list | tuple):
            return _single(value, place)
        if id(value) in inside:
            raise _UnfitError(f"{place} holds itself")
        if len(inside) >= _DEEP:
            raise _UnfitError(f"it is nested more than {_DEEP} deep")
        inside = (*inside, id(value))
        if isinstance(value, dict):
            names = _names(value, place)
            return {
                name: self.take(each, f"{place}.{name}", inside)
                for name, each in zip(names, value.values(), strict=True)
            }
        return [self.take(each, f"{place}[{at}]", inside) for at, each in enumerate(value)]


def _single(value: object, place: str) -> object:
    match value:
        case None | bool():
            return value
        case str():  # of an enumeration too, whose own str() is another
            return _text(str.__str__(value), place)
        case PurePath():
            return _text(str(value), place)
        case date() | time():
            return value.isoformat()
        case Integral():  # NumPy's too
            return int(value)
        case Real():
            return float(value)
    raise _UnfitError(f"{place} is of the type {type(value).__name__}")


def _names(mapping: dict[Any, Any], place: str) -> list[str]:
    if all(isinstance(name, str) for name in mapping):
        return [_text(name, place) for name in mapping]
    if all(isinstance(name, int) and not isinstance(name, bool) for name in mapping):
        return [str(name) for name in mapping]
    kinds = sorted({type(name).__name__ for name in mapping})
    raise _UnfitError(f"{place} has keys that are not text ({', '.join(kinds)})")


def _text(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _UnfitError(f"{place} is not valid Unicode text") from error
    return value
