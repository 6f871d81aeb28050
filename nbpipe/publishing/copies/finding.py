"""Where the release comes from, without any setting of the user's.

In this order: `--from PATH|URL`, the variable NBPIPE_MIRROR, the site's configuration,
`~/notebooks-latest`. The first that is there counts; what was looked at is in the error.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.errors import UsageError
from nbpipe.publishing.copies.origins import fetch, is_url, repository_name
from nbpipe.publishing.copies.releases import MirrorFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.publishing.copies.releases import Release

SITE = Path("/etc/nbpipe/nbpipe.toml")
SPACE = "notebooks-latest"
SUFFIX = "-latest"


@dataclass(frozen=True, slots=True)
class Source:
    """A mirror on this machine or a repository elsewhere."""

    mirror: MirrorFolder | None
    url: str | None
    cache: Path
    """Where repositories from elsewhere are kept."""

    @property
    def name(self) -> str:
        """The collection's name."""
        return self.mirror.name if self.mirror else repository_name(self.url or "")

    @property
    def folder(self) -> str:
        """The name of a copy that nobody named: without `-latest`, never the space's own."""
        short = self.name.removesuffix(SUFFIX) or self.name
        return short if short != self.name or self.url else f"{self.name}-copy"

    def release(self, wanted: str | None) -> Release:
        """Return the current release, or the wanted one.

        Raises:
            UsageError: There is no such release.
            CopyError: It cannot be read or fetched.
        """
        if self.mirror:
            return self.mirror.release(wanted)
        return fetch(self.url or "", wanted, self.cache)


def find(
    given: str | None,
    *,
    environ: Mapping[str, str],
    home: Path,
    site: Path = SITE,
    collection: str | None = None,
) -> Source:
    """Return where to take a release from.

    Args:
        given: `--from`.
        environ: The environment.
        home: The user's home.
        site: The site's configuration.
        collection: The one to choose where the site has several.

    Raises:
        UsageError: What was given, or the site's choice, is not there; or nothing was given, and
            nothing is configured.
    """
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "nbpipe" / "origins"
    if given and is_url(given):
        return Source(None, given, cache)
    for option, path in (("--from", given), ("NBPIPE_MIRROR", environ.get("NBPIPE_MIRROR"))):
        if path:
            mirror = at(Path(path).expanduser())
            if mirror is None:
                raise UsageError(
                    f"{option} {path}: is no mirror and no release",
                    hint="A mirror has `current` in it, once it has a release. For a repository, "
                    "give a URL (https://..., ssh://..., file:///...).",
                )
            return Source(mirror, None, cache)
    mirrors = [mirror for folder in _site(site, collection) if (mirror := at(folder))]
    if not mirrors and (mirror := at(home / SPACE)):
        mirrors = [mirror]
    if mirrors:
        return Source(mirrors[0], None, cache)
    raise UsageError(
        f"no notebooks found: NBPIPE_MIRROR is not set, {site} names no mirror that is here, "
        f"and there is no {home / SPACE}",
        hint="Name the place: `getlatest --from PATH` or `getlatest --from https://...`.",
    )


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
    """
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
    if _is_repository(end) or _is_above_releases(end):
        return None
    return MirrorFolder(path.name, end, end)


def _is_repository(folder: Path) -> bool:
    return (folder / ".git").exists() or (
        (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    )


def _is_above_releases(folder: Path) -> bool:
    """Return whether it is empty, a mirror before its first release, or a root of mirrors."""
    names = sorted(entry.name for entry in folder.iterdir())
    return names in ([], ["releases"]) or any(
        os.path.islink(folder / name / "current")  # noqa: PTH114  (False where we may not look)
        and (folder / name / "releases").is_dir()
        for name in names
    )


def _site(site: Path, collection: str | None) -> list[Path]:
    """Return the mirrors that the site's configuration names; one that is unreadable names none.

    The file is judged by the service; here only names and roots are read from it.
    """
    try:
        table: dict[str, Any] = tomllib.loads(site.read_bytes().decode())
        found = {str(entry["name"]): Path(entry["root"]) for entry in table.get("collection", ())}
        first = table.get("spaces", {}).get("collection") or table.get("spaces", {}).get("name")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found, first = {}, None
    if collection is not None and collection not in found:
        known = ", ".join(found) or "none"
        raise UsageError(f"{site}: has no collection {collection}", hint=f"It has: {known}.")
    names = [collection] if collection else sorted(found, key=lambda name: name != first)
    return [found[name] / name for name in names]
