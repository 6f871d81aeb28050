"""Comparisons that are kept with their run: one verdict for everybody who asks later.

    RUN/comparisons/release-1.0.json    the comparison with that release, as `document` writes it
    RUN/comparisons/run-ID.json         with another run

`nbpipe reference compare` makes them, by the project's rules. Whoever shows a verdict (the command
line, the service) reads it here and decides nothing; what has changed since is reported beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.reference.comparison.document import encode
from nbpipe.reference.comparison.model import FORMAT, Comparison, Made, RunSide, Verdict
from nbpipe.reference.store import write_text
from nbpipe.system import private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.reference.comparison.rules import Rules
    from nbpipe.reference.store import StoredRelease, StoredRun

FOLDER = "comparisons"
NOT_YET = "not compared yet"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptVerdict:
    """What a page says of one comparison."""

    against: str
    """The release, or the id of a run."""
    revision: int | None
    """Of the release, when it was compared."""
    verdict: str
    exit_code: int
    summary: str
    when: str
    """ISO 8601, UTC."""
    configuration: str | None
    outdated: str = ""
    """What has changed since, so that the verdict may be another one; empty where nothing has."""

    @property
    def told(self) -> str:
        """The verdict in a few words: `within tolerance`, `same (outdated)`."""
        return f"{self.verdict} (outdated)" if self.outdated else self.verdict


class _Head(msgspec.Struct, frozen=True):
    """The part of a kept comparison that lists show."""

    format: int
    verdict: Verdict
    exit_code: int
    summary: str
    today: str
    reference: RunSide
    new: RunSide
    made: Made


def keep(run: StoredRun, comparison: Comparison) -> Path:
    """Write a comparison into the folder of its run, in place of an earlier one.

    Raises:
        OSError: The folder cannot be written.
    """
    side = comparison.reference
    file = _file(run, side.release if side.revision is not None else None, side.run)
    mode = private.FOLDER if private.is_ours(file) else 0o777
    file.parent.mkdir(mode, exist_ok=True)
    write_text(file, encode(comparison))
    return file


def recalled(run: StoredRun, release: StoredRelease) -> Comparison | None:
    """Return the whole comparison with a release; None where none was made that can be read."""
    file = _file(run, release.release, "")
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Comparison)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.format == FORMAT and found.made is not None else None


def verdict(run: StoredRun, release: StoredRelease, today: date) -> KeptVerdict | None:
    """Return the verdict on a run against a release; None where it was not compared yet."""
    return _kept(run, _file(run, release.release, ""), [release], today)


def verdicts(
    run: StoredRun, releases: Iterable[StoredRelease], today: date
) -> tuple[KeptVerdict, ...]:
    """Return all verdicts on a run, the newest first.

    Args:
        run: The run.
        releases: The newest revision of each release of its name.
        today: The day by which expectations have ended.
    """
    known = list(releases)
    files = sorted((run.folder / FOLDER).glob("[!.]*.json"))
    found = [made for each in files if (made := _kept(run, each, known, today)) is not None]
    return tuple(sorted(found, key=lambda each: each.when, reverse=True))


def other_rules(comparison: Comparison, rules: Rules | None) -> bool:
    """Tell whether somebody's configuration has other rules than a comparison was made by."""
    if rules is None or comparison.made is None:
        return False
    return settings_of(rules) != comparison.made.rules


def settings_of(rules: Rules) -> dict[str, Any]:
    """Return rules as a comparison holds them."""
    found: dict[str, Any] = msgspec.to_builtins(rules.settings)
    return msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Any])


def digest(stored: StoredRun | StoredRelease) -> str | None:
    """Return the SHA-256 of the manifest; None where there is none that can be read."""
    file = stored.folder / "manifest.json"
    try:
        status = file.stat()
        return _digest(file, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


def _file(run: StoredRun, release: str | None, other: str) -> Path:
    name = f"run-{other}" if release is None else f"release-{release}"
    return run.folder / FOLDER / f"{name}.json"


def _kept(
    run: StoredRun, file: Path, releases: Iterable[StoredRelease], today: date
) -> KeptVerdict | None:
    try:
        status = file.stat()
        head = _head(file, status.st_mtime_ns, status.st_size)
    except (OSError, msgspec.DecodeError):
        return None
    if head.format != FORMAT:
        return None
    side = head.reference
    return KeptVerdict(
        against=(side.release or side.run) if side.revision is not None else side.run,
        revision=side.revision,
        verdict=head.verdict.value,
        exit_code=head.exit_code,
        summary=head.summary,
        when=head.made.when,
        configuration=head.made.configuration,
        outdated="; ".join(_changes(head, run, releases, today)),
    )


def _changes(
    head: _Head, run: StoredRun, releases: Iterable[StoredRelease], today: date
) -> Iterator[str]:
    """Yield what has changed since a comparison was made."""
    side = head.reference
    if side.revision is not None:
        release = next((each for each in releases if each.release == side.release), None)
        if release is None:
            yield f"release {side.release} is no longer in the store"
        elif release.revision != side.revision:
            yield (
                f"release {side.release} is at revision {release.revision} now, "
                f"and was compared at revision {side.revision}"
            )
        elif digest(release) != side.manifest:
            yield f"release {side.release} was promoted anew"
    if digest(run) != head.new.manifest:
        yield "the run was collected again"
    yield from _ended(head.made.rules, date.fromisoformat(head.today), today)


def _ended(rules: Mapping[str, Any], compared: date, today: date) -> Iterator[str]:
    """Yield expectations that held on the day of the comparison, and no longer do."""
    for each in rules.get("expected", ()):
        if compared <= date.fromisoformat(each["until"]) < today:
            yield f"a difference was expected until {each['until']}, which is over"


@lru_cache(maxsize=4096)
def _head(file: Path, changed: int, size: int) -> _Head:
    del changed, size  # they only tell one content from the next
    return msgspec.json.decode(file.read_bytes(), type=_Head)


@lru_cache(maxsize=4096)
def _digest(file: Path, changed: int, size: int) -> str:
    del changed, size
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
