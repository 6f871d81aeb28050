"""Lock files of the pip world -> the pins in them, and how two of them differ.

What `pip freeze`, pip-compile and `uv export` write, with hashes, markers and continued lines; and
pylock.toml (PEP 751). Whatever does not fix one version is refused with its file and line.

`packaging.pylock` reads the second kind. Nothing public reads the first: pip's own parser is
internal to pip, and `packaging.requirements` knows a requirement, but no line of such a file.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.pylock import Pylock, PylockValidationError, is_valid_pylock_path
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from packaging.markers import Marker
    from packaging.pylock import Package

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTION = re.compile(r"\s--(?!hash)[a-z-]+.*$")
_HASH = re.compile(r"\s--hash[= ](\S+)")
_EDITABLE = re.compile(r"(?:-e|--editable)[ =]\s*(\S+)")
_OF_A_COMMIT = re.compile(r"(?P<url>(?:git|hg)\+\S+@[0-9a-f]{40,64})#egg=(?P<name>[\w.-]+)\S*")
_PASSED_ON = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--pre|--trusted-host"
    r"|--no-binary|--only-binary|--prefer-binary)\b"
)
_LINKS = re.compile(r"(?:-f|--find-links)[ =]\s*(\S+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One distribution in one version."""

    name: str
    """Normalized."""
    version: str
    """Normalized; for one from an address: that."""
    requirement: str
    """As pip takes it, without marker and hashes."""
    hashes: tuple[str, ...] = ()
    """`sha256:...`"""

    @property
    def same(self) -> str:
        """What is equal for equal versions: 1.0 is 1.0.0."""
        return self.version if self.has_address else canonicalize_version(self.version)

    @property
    def has_address(self) -> bool:
        """Whether it comes from an address instead of an index."""
        return "==" not in self.requirement


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock file says."""

    file: Path
    pins: Mapping[str, Pin]
    """By name; those whose markers do not hold left out."""
    options: tuple[str, ...] = ()
    """For pip: where it looks for distributions."""


@dataclass(frozen=True, slots=True)
class PackageChange:
    """What is not the same in two lock files."""

    name: str
    good: Pin | None
    bad: Pin | None

    def __str__(self) -> str:
        if self.good is None:
            return f"{self.name} added ({self.bad.version if self.bad else ''})"
        if self.bad is None:
            return f"{self.name} removed ({self.good.version})"
        return f"{self.name} {self.good.version} -> {self.bad.version}"


def read(file: Path, markers: Mapping[str, str]) -> Lock:
    """Return what a lock file says.

    Args:
        file: The file.
        markers: What environment markers are decided by: the interpreter's own values.

    Raises:
        UsageError: It cannot be read, or something in it is no pin.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read: {error.strerror}",
            hint="Name two lock files: `pip freeze > good.txt` writes one.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file}: is not text in UTF-8: {error.reason}", hint="Save it as UTF-8."
        ) from error
    pins: dict[str, Pin] = {}
    options: list[str] = []
    found = _of_pylock(file, text) if is_valid_pylock_path(file) else _of_lines(file, text, options)
    for where, pin, marker in found:
        if not _holds(where, marker, markers):
            continue
        before = pins.setdefault(pin.name, pin)
        if before.same != pin.same:
            raise UsageError(
                f"{where}: {pin.name} is {pin.version}, and was {before.version} above",
                hint="Leave one of them, or give them markers that exclude each other.",
            )
    return Lock(file, pins, tuple(options))


def _holds(where: str, marker: Marker | None, markers: Mapping[str, str]) -> bool:
    try:
        return marker is None or marker.evaluate(dict(markers))
    except (UndefinedEnvironmentName, UndefinedComparison) as error:
        raise UsageError(
            f"{where}: {marker}: this marker cannot be decided here: {error}",
            hint="Lock without extras and dependency groups, or remove the marker.",
        ) from error


def differences(good: Lock, bad: Lock) -> tuple[PackageChange, ...]:
    """Return what is not the same, by name."""
    changes = (
        PackageChange(name, good.pins.get(name), bad.pins.get(name))
        for name in sorted({*good.pins, *bad.pins})
    )
    return tuple(
        change
        for change in changes
        if (change.good and change.good.same) != (change.bad and change.bad.same)
    )


def mixed(good: Lock, changes: Collection[PackageChange]) -> dict[str, Pin]:
    """Return the good pins with some changes made."""
    pins = dict(good.pins)
    for change in changes:
        if change.bad is None:
            del pins[change.name]
        else:
            pins[change.name] = change.bad
    return pins


def _of_lines(
    file: Path, text: str, options: list[str]
) -> Iterator[tuple[str, Pin, Marker | None]]:
    """Yield the pins with their places and markers; add what is for pip to the options."""
    for number, line in _joined(text):
        where = f"{file}:{number}"
        if _PASSED_ON.match(line):
            options.append(_from_there(file, line))
        elif line.startswith("-"):
            editable = _EDITABLE.match(line)
            commit = _OF_A_COMMIT.fullmatch(editable[1]) if editable else None
            if commit is None:
                raise _refused(where, line, editable=editable is not None)
            yield where, _pin(where, f"{commit['name']} @ {commit['url']}"), None
        else:
            hashes = tuple(_HASH.findall(line))
            requirement = _OPTION.sub("", _HASH.sub("", line)).strip()
            yield where, _pin(where, requirement, hashes), _requirement(where, requirement).marker


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, continued ones put together, with their numbers."""
    waiting, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            waiting += f"{line[:-1]} "
            continue
        whole = _COMMENT.sub("", waiting + line).strip()
        if whole:
            yield first, whole
        waiting, first = "", 0
    if waiting.strip():
        yield first, waiting.strip()


def _from_there(file: Path, line: str) -> str:
    """Return an option of pip; a folder beside the lock file as an absolute one."""
    links = _LINKS.fullmatch(line)
    if links and (file.parent / links[1]).is_dir():
        return f"--find-links {(file.parent / links[1]).resolve()}"
    return line


def _refused(where: str, line: str, *, editable: bool) -> UsageError:
    if editable:
        return UsageError(
            f"{where}: {line}: an editable install has no fixed version",
            hint="Pin a version that pip can install, or remove the line from both files.",
        )
    return UsageError(
        f"{where}: {line}: this option is not taken here",
        hint="Give whole lock files with one `name==version` a line: `pip freeze` writes such.",
    )


def _requirement(where: str, text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        said = str(error).split("\n", 1)[0]
        raise UsageError(
            f"{where}: {text}: not a valid requirement: {said}", hint="Write `name==version`."
        ) from error


def _pin(where: str, text: str, hashes: tuple[str, ...] = ()) -> Pin:
    requirement = _requirement(where, text)
    name = canonicalize_name(requirement.name)
    if requirement.url:
        return Pin(name, requirement.url, f"{name} @ {requirement.url}", hashes)
    (only,) = requirement.specifier if len(requirement.specifier) == 1 else (None,)
    if only is None or only.operator not in {"==", "==="} or only.version.endswith(".*"):
        raise UsageError(
            f"{where}: {text}: is not pinned to one version",
            hint="Write `name==version`, as `pip freeze` does.",
        )
    try:
        version = str(Version(only.version))
    except InvalidVersion:  # which `===` may name
        version = only.version
    return Pin(name, version, f"{name}{only.operator}{only.version}", hashes)


def _of_pylock(file: Path, text: str) -> Iterator[tuple[str, Pin, Marker | None]]:
    """Yield the pins of a pylock.toml with their places and markers."""
    try:
        packages = Pylock.from_dict(tomllib.loads(text)).packages
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: is not TOML: {error}") from error
    except PylockValidationError as error:
        raise UsageError(
            f"{file}: not a valid pylock.toml: {error}",
            hint="See https://packaging.python.org/specifications/pylock-toml.",
        ) from error
    for number, package in enumerate(packages):
        where = f"{file}: packages[{number}]"
        yield where, _of_package(where, package), package.marker


def _of_package(where: str, package: Package) -> Pin:
    vcs, archive = package.vcs, package.archive
    if vcs and vcs.url:
        text = f"{package.name} @ {vcs.type}+{vcs.url}@{vcs.commit_id}"
    elif archive and archive.url:
        text = f"{package.name} @ {archive.url}"
    elif package.version and not package.is_direct:
        text = f"{package.name}=={package.version}"
    else:
        raise UsageError(
            f"{where}: {package.name}: a folder has no fixed version",
            hint="Lock a version that pip can install, or remove it from both files.",
        )
    hashes = [wheel.hashes for wheel in package.wheels or ()]
    if package.sdist:
        hashes.append(package.sdist.hashes)
    return _pin(where, text, tuple(f"{k}:{value}" for each in hashes for k, value in each.items()))
