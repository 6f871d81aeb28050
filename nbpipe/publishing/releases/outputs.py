"""The executed notebooks of a gate's run, made part of a release (`outputs = "executed"`).

A gate leaves its run where NBPIPE_OUTPUTS says: `report.json` and the executed copies that it
names, as `nbpipe test --output-dir --report json=` writes them. Of a copy only the outputs, the
execution counts and the state of widgets are taken, into the notebook as the commit has it: so
nothing else of a run, neither timings nor the machine's paths in metadata, is published, and equal
outputs make equal bytes. What is taken is kept apart from the store, since git cannot give it back.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.publishing.origin.cache import DamagedCacheError
from nbpipe.publishing.releases.build import digest_of
from nbpipe.publishing.releases.manifest import File
from nbpipe.system import files, private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nbpipe.config.settings import CollectionSettings
    from nbpipe.publishing.releases.manifest import Manifest

REPORT = "report.json"
MARK = "nbpipe_executed"
"""The key of the notebook's metadata that says so; `getlatest` knows it."""
_SUFFIX = ".ipynb"
_LARGEST_REPORT = 1 << 28
_NAMED = 5
"""Notebooks that a warning names."""
_PASSED = frozenset({"passed", "flaky"})
_COUNTED = frozenset({"execute_result"})
_KERNEL_FOLDER = re.compile(r"\bipykernel_\d+/")
"""Where ipykernel says that a cell's code is: it differs from run to run."""


class NotTakenError(Exception):
    """Why a notebook is published as it is stored."""


class _Run(msgspec.Struct):
    id: str
    started: str = ""


class _Notebook(msgspec.Struct):
    path: str
    outcome: str
    executed: str | None = None


class _Report(msgspec.Struct):
    run: _Run
    notebooks: list[_Notebook]


def rule(settings: CollectionSettings) -> str:
    """Return a fingerprint of the settings that decide which outputs are published; "": none."""
    if settings.outputs == "stored":
        return ""
    rules = repr((settings.outputs, settings.output_limit, settings.gate))
    return hashlib.sha256(rules.encode()).hexdigest()[:16]


class Kept:
    """Executed notebooks by blob, apart from the inodes that releases share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, blob: str, data: bytes) -> None:
        """Have it on the disk.

        Raises:
            OSError: No room, for one.
        """
        file = self.folder / blob
        if self.holds(blob, len(data)):
            return
        self.folder.mkdir(private.FOLDER, exist_ok=True)
        files.replace(file, zlib.compress(data), mode=private.FILE, durable=True)

    def content(self, blob: str) -> bytes:
        """Return the notebook.

        Raises:
            DamagedCacheError: It is gone or damaged.
        """
        try:
            return zlib.decompress((self.folder / blob).read_bytes())
        except (FileNotFoundError, zlib.error) as error:
            raise DamagedCacheError(f"the executed notebook {blob} is lost") from error

    def holds(self, blob: str, size: int) -> bool:
        """Return whether it is there, to the byte."""
        try:
            data = self.content(blob)
        except DamagedCacheError:
            return False
        return len(data) == size and blob_of(data) == blob

    def sweep(self, used: Iterable[str]) -> None:
        """Remove what no release has any more."""
        if not self.folder.is_dir():
            return
        wanted = frozenset(used)
        for path in self.folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)


def blob_of(data: bytes) -> str:
    """Return what git would call that content."""
    digest = digest_of(File("", "", executable=False, size=len(data)))
    digest.update(data)
    return digest.hexdigest()


def take(  # noqa: PLR0913  (what a run is put together with)
    made: Manifest,
    left: Path,
    *,
    candidate: Path,
    settings: CollectionSettings,
    source: Callable[[File], bytes],
    kept: Kept,
) -> Manifest:
    """Return the manifest with the executed notebooks of the run that the gate has left.

    A notebook that did not pass, was not run, or is not the commit's stays as it is stored; the
    manifest's warnings name it.

    Args:
        made: What the commit holds.
        left: The folder of the run.
        candidate: Where the gate had its copy: no output names that place afterwards.
        settings: The collection's.
        source: Reads a notebook of the commit.
        kept: Where the executed ones are kept.

    Raises:
        OSError: No room, for one.
    """
    rule_ = rule(settings)
    try:
        report = _read(left)
    except NotTakenError as error:
        warning = f"every notebook is published as stored: {error}"
        return msgspec.structs.replace(made, outputs=rule_, warnings=(*made.warnings, warning))
    found = {_released(each.path, candidate): each for each in report.notebooks}
    room = settings.limits.total_size * 1e6 - made.size
    taken, without = [], dict[str, list[str]]()
    for file in made.files:
        fresh = file
        if file.path.endswith(_SUFFIX) and not file.large:
            try:
                data = _executed(file, found.get(file.path), left, candidate, settings, source)
                if data is not None:
                    room -= _growth(file, data, room)
                    fresh = _file(file, data, kept)
            except NotTakenError as error:
                without.setdefault(str(error), []).append(file.path)
        taken.append(fresh)
    return msgspec.structs.replace(
        made,
        files=tuple(taken),
        warnings=(*made.warnings, *(_warning(why, paths) for why, paths in without.items())),
        outputs=rule_,
        run=report.run.id,
        ran=report.run.started,
    )


def stored(made: Manifest, kept: Kept, size: Callable[[str], int]) -> Manifest:
    """Return the manifest without the executed notebooks that are lost: as stored, in their place.

    Where there are any, the release counts as made under other settings: the gate is asked anew.
    """
    lost = {f.path for f in made.files if f.source and not kept.holds(f.blob, f.size)}
    if not lost:
        return made
    return msgspec.structs.replace(
        made,
        files=tuple(
            File(file.path, file.source, file.executable, size(file.source))
            if file.path in lost
            else file
            for file in made.files
        ),
        warnings=(*made.warnings, _warning("its executed copy was lost", sorted(lost))),
        outputs="",
    )


def graft(source: bytes, executed: bytes, *, blob: str, candidate: Path, name: str) -> bytes | None:
    """Return the notebook with what running it made; None where it has that already.

    Args:
        source: The notebook as the commit has it.
        executed: The copy of it that was run; it may have cells that were injected.
        blob: What git calls the source.
        candidate: A folder that is named by `name` where an output names it.
        name: The collection.

    Raises:
        NotTakenError: They are not the same notebook, or no notebooks of nbformat 4.
    """
    try:
        notebook, run = json.loads(source), json.loads(executed)
        if notebook["nbformat"] != 4 or run["nbformat"] != 4:  # noqa: PLR2004  (the format's)
            raise NotTakenError("it is not in nbformat 4")
        before = json.dumps(notebook["cells"])
        cells = iter(run["cells"])
        for cell in notebook["cells"]:
            match = next((each for each in cells if _same(cell, each)), None)
            if match is None:
                raise NotTakenError("its executed copy has other cells")
            if cell["cell_type"] == "code":
                cell["outputs"] = _clean(match["outputs"], candidate, name)
                cell["execution_count"] = match.get("execution_count")
        widgets = run.get("metadata", {}).get("widgets")
        if json.dumps(notebook["cells"]) == before and not widgets:
            return None
        metadata = notebook.setdefault("metadata", {})
        metadata.pop("widgets", None)
        if widgets:
            metadata["widgets"] = _clean(widgets, candidate, name)
        metadata[MARK] = {"source": blob}
        return f"{json.dumps(notebook, ensure_ascii=False, indent=1)}\n".encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotTakenError("it, or its executed copy, is not a readable notebook") from error


def _same(cell: dict[str, Any], other: dict[str, Any]) -> bool:
    one, two = (
        text if isinstance(text := each["source"], str) else "".join(text) for each in (cell, other)
    )
    return bool(cell["cell_type"] == other["cell_type"] and one == two)


def _clean(value: Any, candidate: Path, name: str) -> Any:  # noqa: ANN401  (JSON)
    """Return outputs without what only this run and this machine have."""
    if isinstance(value, dict):
        return {
            key: _clean(each, candidate, name) for key, each in value.items() if key != "transient"
        }
    if isinstance(value, list):
        return [_clean(each, candidate, name) for each in value]
    if isinstance(value, str):
        for place in {os.path.realpath(candidate), os.fspath(candidate)}:
            value = value.replace(place, name)
        return _KERNEL_FOLDER.sub("ipykernel/", value)
    return value


def _executed(  # noqa: PLR0913, PLR0917  (what one notebook's copy depends on)
    file: File,
    told: _Notebook | None,
    left: Path,
    candidate: Path,
    settings: CollectionSettings,
    source: Callable[[File], bytes],
) -> bytes | None:
    if told is None:
        raise NotTakenError("the gate did not run it")
    if told.outcome not in _PASSED:
        raise NotTakenError(f"in the gate's run it {_WORDS.get(told.outcome, 'did not pass')}")
    if not told.executed:
        raise NotTakenError("the run has left no executed copy")
    limit = settings.output_limit * 1e6
    too_large = f"with its outputs it is larger than `output-limit` ({settings.output_limit:g} MB)"
    data = _bytes(left, told.executed, limit, too_large)
    if file.size > limit:
        raise NotTakenError(too_large)
    made = graft(source(file), data, blob=file.blob, candidate=candidate, name=settings.name)
    if made is not None and len(made) > limit:
        raise NotTakenError(too_large)
    return made


_WORDS = {"failed": "failed", "skipped": "was skipped"}


def _growth(file: File, data: bytes, room: float) -> int:
    """Return how many bytes the release grows by.

    Raises:
        NotTakenError: There is no room for them.
    """
    growth = max(len(data) - file.size, 0)
    if growth > room:
        raise NotTakenError("the release would be larger than `limits.total-size`")
    return growth


def _file(file: File, data: bytes, kept: Kept) -> File:
    blob = blob_of(data)
    kept.keep(blob, data)
    return File(file.path, blob, file.executable, len(data), source=file.blob)


def _read(left: Path) -> _Report:
    data = _bytes(left, REPORT, _LARGEST_REPORT, f"{REPORT} is too large")
    try:
        return msgspec.json.decode(data, type=_Report)
    except msgspec.DecodeError as error:
        raise NotTakenError(f"the {REPORT} of the gate's run cannot be read: {error}") from error


def _bytes(left: Path, name: str, limit: float, too_large: str) -> bytes:
    """Return a file that the run has left, never through a link: notebooks can make some.

    Raises:
        NotTakenError: There is none, or it is too large.
    """
    path = os.path.join(os.path.realpath(left), name)  # noqa: PTH118  (its text as it is)
    missing = f"the gate left no {REPORT} in NBPIPE_OUTPUTS" if name == REPORT else _NO_COPY
    if "\0" in name or os.path.isabs(name) or os.path.realpath(path) != path:  # noqa: PTH117
        raise NotTakenError(missing)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotTakenError(missing) from error
    with os.fdopen(fd, "rb") as stream:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NotTakenError(missing)
        if status.st_size > limit:
            raise NotTakenError(too_large)
        return stream.read()


_NO_COPY = "the run has left no executed copy"


def _released(path: str, candidate: Path) -> str:
    """Return a path of the report as the release has it, wherever the run's root was."""
    _, inside, rest = f"/{path}".partition(f"/{candidate.name}/")
    return rest if inside else path


def _warning(why: str, paths: list[str]) -> str:
    named = ", ".join(paths[:_NAMED])
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    return f"published as stored, since {why}: {named}{more}"
