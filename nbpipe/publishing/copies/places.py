"""Where the release comes from, without any setting of the user's.

In this order: `--from PATH|URL`, the variable NBPIPE_MIRROR, the site's configuration, the
`*-latest` in the home (`~/notebooks-latest` before others), and where the copy itself was taken
from. The first that is there counts; what was looked at is in the error. Where there are several
collections, `--collection`, the copy's own source or the copy's name says which.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.errors import NbpipeError, UsageError
from nbpipe.publishing.copies import manifest, origins
from nbpipe.publishing.copies.errors import CopyError
from nbpipe.publishing.copies.origins import fetch, git_folder, is_url, local, repository_name
from nbpipe.publishing.copies.releases import MirrorFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbpipe.publishing.copies.releases import Release

SITE = Path("/etc/nbpipe/nbpipe.toml")
SPACE = "notebooks-latest"
SUFFIX = "-latest"


class SeveralCollections(UsageError):  # noqa: N818  (what was found)
    """Nothing says which of several collections is meant."""

    def __init__(self, names: tuple[str, ...]) -> None:
        words = ", ".join(f"`getlatest {short(name)}`" for name in names)
        super().__init__(
            f"there are several collections here: {', '.join(names)}",
            hint=f"Say which: {words}; or --collection NAME, to take it into any folder.",
        )
        self.names = names


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A mirror on this machine, a repository on it, or one elsewhere."""

    mirror: MirrorFolder | None = None
    repository: Path | None = None
    url: str | None = None
    cache: Path
    """Where repositories from elsewhere are kept."""
    collections: tuple[str, ...] = ()
    """All that are here, where there are several."""

    @property
    def name(self) -> str:
        """The collection's name."""
        if self.mirror:
            return self.mirror.name
        return repository_name(str(self.repository or self.url))

    @property
    def folder(self) -> str:
        """The name of a copy that nobody named: without `-latest`, never the original's own."""
        if self.repository and (self.repository / ".git").exists():
            return f"{self.name}-copy"
        short_name = short(self.name)
        return short_name if short_name != self.name or not self.mirror else f"{self.name}-copy"

    @property
    def original(self) -> Path | None:
        """The folder on this machine that a copy must not be made in."""
        return self.mirror.path if self.mirror else self.repository

    def release(
        self,
        wanted: str | None,
        *,
        silence: float = origins.SILENCE,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Release:
        """Return the current release, or the wanted one.

        Args:
            wanted: A commit.
            silence: Seconds for which a server may say nothing.
            progress: Called with what was fetched, and all.

        Raises:
            UsageError: There is no such release.
            CopyError: It cannot be read or fetched.
        """
        if self.mirror:
            return self.mirror.release(wanted)
        if self.repository:
            return local(self.repository, wanted)
        return fetch(self.url or "", wanted, self.cache, silence=silence, progress=progress)


def short(name: str) -> str:
    """Return a collection's name without `-latest`."""
    return name.removesuffix(SUFFIX) or name


def find(  # noqa: PLR0913  (where one may look)
    given: str | None,
    *,
    environ: Mapping[str, str],
    home: Path,
    site: Path = SITE,
    collection: str | None = None,
    copy: Path | None = None,
) -> Source:
    """Return where to take a release from.

    Args:
        given: `--from`.
        environ: The environment.
        home: The user's home.
        site: The site's configuration.
        collection: The one to choose where there are several, with or without `-latest`.
        copy: The folder of the copy, where it was named; it need not exist.

    Raises:
        UsageError: What was given, or the site's choice, is not there; or nothing was given, and
            nothing is configured.
        SeveralCollections: Nothing says which one is meant.
    """
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "nbpipe" / "origins"
    if given:
        return _named(given, "--from", cache)
    variable = environ.get("NBPIPE_MIRROR")
    if variable and not collection:
        return _named(variable, "NBPIPE_MIRROR", cache)
    here = _Here.of(site, home)
    if collection:
        return Source(mirror=here.named(collection, site), cache=cache, collections=here.names)
    before = _taken_from(copy)
    mirror = here.choose(copy, before)
    if mirror:
        return Source(mirror=mirror, cache=cache, collections=here.names)
    if here.mirrors:
        raise SeveralCollections(here.names)
    if before and is_url(before):
        return Source(url=before, cache=cache)
    if before and git_folder(Path(before)):
        return Source(repository=Path(before), cache=cache)
    raise UsageError(
        f"no notebooks found: NBPIPE_MIRROR is not set, {site} names no mirror on this machine, "
        f"and {home / SPACE} does not exist",
        hint="Name the place: `getlatest --from PATH` or `getlatest --from https://...`.",
    )


def _named(text: str, option: str, cache: Path) -> Source:
    """Return the place that somebody named.

    Raises:
        UsageError: It is nothing that a release can be taken from.
    """
    if is_url(text):
        return Source(url=text, cache=cache)
    path = Path(text).expanduser()
    if mirror := at(path):
        return Source(mirror=mirror, cache=cache)
    if git_folder(path):
        return Source(repository=path.resolve(), cache=cache)
    raise UsageError(
        f"{option} {text}: not a mirror, a release or a git repository",
        hint="A mirror has `current` in it, once it has a release. A repository elsewhere has a "
        "URL (https://..., ssh://..., file:///...).",
    )


@dataclass(frozen=True, slots=True)
class _Here:
    """The collections of this machine."""

    mirrors: Mapping[str, MirrorFolder]
    """By name, the site's before the home's."""
    missing: Mapping[str, Path]
    """What the site names and is not there."""
    usual: MirrorFolder | None
    """The one that is meant where nothing is said."""

    @classmethod
    def of(cls, site: Path, home: Path) -> _Here:
        folders, preferred = _site(site)
        mirrors: dict[str, MirrorFolder] = {}
        for name, folder in folders.items():
            if mirror := _readable(folder):
                mirrors[name] = replace(mirror, name=name)
        first = dict(mirrors)
        known = {mirror.path for mirror in mirrors.values()}
        for name, mirror in _in_home(home):
            if name not in mirrors and mirror.path not in known:
                mirrors[name] = mirror
        first = first or mirrors
        usual = next((first[name] for name in (*preferred, SPACE) if name in first), None)
        if usual is None and len(first) == 1:
            usual = next(iter(first.values()))
        missing = {name: folder for name, folder in folders.items() if name not in mirrors}
        return cls(mirrors, missing, usual)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of several collections; of one, nothing."""
        return tuple(self.mirrors) if len(self.mirrors) > 1 else ()

    def find(self, name: str) -> MirrorFolder | None:
        """Return the collection of that name, with or without `-latest`."""
        found = (each for full, each in self.mirrors.items() if name in {full, short(full)})
        return self.mirrors.get(name) or next(found, None)

    def named(self, name: str, site: Path) -> MirrorFolder:
        """Return the collection that `--collection` names.

        Raises:
            UsageError: There is none of that name, or it has no release here.
        """
        if mirror := self.find(name):
            return mirror
        for full, folder in self.missing.items():
            if name in {full, short(full)}:
                raise UsageError(
                    f"{site}: collection {full}: no release in {folder} yet",
                    hint="Try again when something is published there.",
                )
        known = ", ".join(self.mirrors) or "none"
        raise UsageError(f"{site}: has no collection {name}", hint=f"It has: {known}.")

    def choose(self, copy: Path | None, before: str | None) -> MirrorFolder | None:
        """Return the collection that a copy is of: its source, its name, or the usual one."""
        if before:
            for mirror in self.mirrors.values():
                if before == str(mirror.path) or before.startswith(f"{mirror.path}/"):
                    return mirror
        return (self.find(copy.name) if copy else None) or self.usual


def _readable(path: Path) -> MirrorFolder | None:
    """Return the mirror there, None where there is none for this user."""
    try:
        return at(path)
    except CopyError:
        return None


def _in_home(home: Path) -> Iterator[tuple[str, MirrorFolder]]:
    """Yield the mirrors that appear in a home, `notebooks-latest` first."""
    if mirror := at(home / SPACE):
        yield SPACE, mirror
    try:
        names = sorted(os.listdir(home))  # noqa: PTH208  (names are all we need)
    except OSError:
        return
    for name in names:
        if name in {SPACE, SUFFIX} or not (name.endswith(SUFFIX) or _is_space(home / name)):
            continue
        mirror = _readable(home / name)
        if mirror and not mirror.single:  # else it may be any folder of the user's
            yield name, replace(mirror, name=name)


def _is_space(path: Path) -> bool:
    """Return whether a name in a home is a link to a mirror's current release."""
    try:
        return os.readlink(path).rstrip("/").endswith("/current")  # noqa: PTH115  (text)
    except OSError:
        return False


def _taken_from(copy: Path | None) -> str | None:
    """Return the source that a copy's manifest names, None where it has none."""
    if copy is None:
        return None
    file = copy / manifest.FOLDER / manifest.NAME
    try:
        return manifest.load(file.read_bytes(), str(file)).source or None
    except (OSError, NbpipeError):  # whoever takes the copy says what is wrong with it
        return None


def site_file(named: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the site's configuration: the named file, or NBPIPE_SITE's, or the usual one.

    Raises:
        UsageError: The named one cannot be read, or is not TOML.
    """
    if named is None:
        return Path(environ.get("NBPIPE_SITE") or SITE)
    try:
        tomllib.loads(named.read_bytes().decode())
    except OSError as error:
        raise UsageError(
            f"{named}: cannot be read: {error.strerror}", hint="Name another one with --config."
        ) from error
    except ValueError as error:
        raise UsageError(f"{named}: is not TOML: {error}", hint="Mend that first.") from error
    return named


def at(path: Path) -> MirrorFolder | None:
    """Return the mirror that a path means: itself, its `current`, a release of it, or a link there.

    A folder with other content counts as a release without a mirror around it.

    Raises:
        CopyError: It may not be looked at.
    """
    try:
        return _at(path)
    except OSError as error:
        raise CopyError(
            f"{path}: cannot be looked at: {error.strerror}",
            hint="Ask the people who run the platform; nothing of yours was changed.",
        ) from error


def _at(path: Path) -> MirrorFolder | None:
    if (path / "current").is_symlink() and (path / "releases").is_dir():
        return MirrorFolder(path.resolve().name, path.resolve())
    try:
        end = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    if not end.is_dir():
        return None
    above = end.parent
    if above.name == "releases" and (above.parent / "current").is_symlink():
        return MirrorFolder(above.parent.name, above.parent)
    if git_folder(end) or _is_above_releases(end):
        return None
    return MirrorFolder(path.name, end, end)


def _is_above_releases(folder: Path) -> bool:
    """Return whether it is empty, a mirror before its first release, or a root of mirrors."""
    names = sorted(entry.name for entry in folder.iterdir())
    return names in ([], ["releases"]) or any(
        os.path.islink(folder / name / "current")  # noqa: PTH114  (False where we may not look)
        and (folder / name / "releases").is_dir()
        for name in names
    )


def _site(site: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the mirrors that the site's configuration names, and those that it prefers.

    The file is judged by the service; here only names and roots are read from it. One that is
    unreadable names none.
    """
    try:
        table: dict[str, Any] = tomllib.loads(site.read_bytes().decode())
        found = {
            str(entry["name"]): Path(entry["root"]) / str(entry["name"])
            for entry in table.get("collection", ())
        }
        spaces = table.get("spaces", {})
        names = [spaces.get("collection"), spaces.get("name")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, []
    return found, [name for name in names if isinstance(name, str)]


def destination(place: Path | None, source: Source) -> Path:
    """Return the copy's folder: the named one, or the usual one in the working directory.

    Raises:
        UsageError: It is, or lies in, what it would be a copy of.
    """
    folder = place or Path(os.path.realpath(source.folder))
    original = source.original
    inside = original in folder.parents
    # A copy inside a working clone is untidy, but may be what somebody asks for by name.
    if folder == original or (inside and not (source.repository and place)):
        raise UsageError(
            f"{place or source.folder}: is the {'read-only ' if source.mirror else ''}original, "
            f"in {original}",
            hint=f"Name a folder of your own, as in `getlatest ~/{short(source.name)}-copy`.",
        )
    return folder
