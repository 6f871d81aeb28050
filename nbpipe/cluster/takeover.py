"""What a run on a cluster leaves whose client is gone, and how a later run takes it up."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nbpipe.cluster import exchange
from nbpipe.cluster.exchange import Exchange
from nbpipe.errors import UsageError
from nbpipe.reference import store

if TYPE_CHECKING:
    from typing import Any

    from nbpipe.model import Result

_LINKS = "links"
_WORDS = 300
"""Characters of what a worker that could not begin said last."""


class Workers(Protocol):
    """Where workers come from: a scheduler's array, or Dask."""

    count: int
    """How many there are at most."""

    def start(self, shared: Exchange, portions: int) -> None:
        """Start workers for the newest round of a shared folder, which has so many portions.

        Raises:
            NbpipeError: None could be started.
        """

    def lost(self) -> str | None:
        """Return why no worker is left that could go on; None while there may be one.

        Raises nothing: an outage is no news.
        """

    def stop(self, *, ended: int) -> None:
        """Let go of all workers; those that go on although nothing is left to do are ended.

        Args:
            ended: So many of them have reported their end.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftBehind:
    """What a run left whose client is gone."""

    run: str
    shared: Exchange
    workers: Workers
    """Those that may still work."""
    keep: bool = False
    """Whether it is wanted later, as not all of its notebooks are taken up now."""


def folder_of(output_dir: Path, run: str) -> Path:
    """Return where the shared folder of a run is, in its output directory."""
    return output_dir / f".cluster-{run}"


def find(output_dir: Path, run: str) -> tuple[Exchange, dict[str, Any]] | None:
    """Return what a run left, and where its workers are; None where it left nothing.

    Raises:
        UsageError: It was left by another version of nbpipe, or is damaged.
    """
    folder = folder_of(output_dir, run)
    if not (folder / exchange.JOB).exists():
        return None
    job = store.read_json(folder / exchange.JOB)
    if job.get("format") != exchange.FORMAT or job.get("kind") != "worker":
        raise UsageError(
            f"{folder}: left by nbpipe {job.get('version', 'of an unknown version')}, whose"
            f" results (format {job.get('format')}) this version cannot read",
            hint=f"Resume with that version, or remove {folder} to run its notebooks again.",
        )
    return Exchange(folder.resolve()), store.read_json(folder / exchange.WORKERS)


def link(left: LeftBehind, output_dir: Path, run: str) -> None:
    """Have what was left found under a later run, too, before that one is known to anybody.

    Raises:
        UsageError: It cannot be, as the client that started it is alive or nothing can be written.
    """
    place = folder_of(output_dir, run)
    try:
        with left.shared.followed():
            with (left.shared.folder / _LINKS).open("a", encoding="utf-8") as links:
                links.write(f"{place}\n")
            place.symlink_to(left.shared.folder)
    except OSError as error:
        raise UsageError(
            f"{place}: cannot be made: {error.strerror}",
            hint="Check free space and permissions, or name another --output-dir.",
        ) from error


def forget_links(shared: Exchange) -> None:
    """Remove what `link` made."""
    with contextlib.suppress(OSError):
        for line in (shared.folder / _LINKS).read_text(encoding="utf-8").splitlines():
            if Path(line).is_symlink():
                Path(line).unlink()


def bring(result: Result, source: str | None, output_dir: Path) -> None:
    """Copy a result's executed notebooks and logs to where this run keeps its own."""
    for name in result.files:
        target = output_dir / name
        if source is None or Path(source) == output_dir:
            return
        with contextlib.suppress(FileNotFoundError):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(source, name), target)


def last_words(folder: Path) -> str:
    """Return what a worker that ended last complained about; nothing where none did."""
    files = [each for each in folder.glob("worker.err*") if each.stat().st_size]
    if not files:
        return ""
    newest = max(files, key=lambda each: each.stat().st_mtime)
    lines = newest.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"; {newest.name}: {lines[-1][-_WORDS:]}" if lines else ""
