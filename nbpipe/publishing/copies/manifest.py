"""What was taken into a copy: `DIR/.nbpipe/getlatest.json`.

    {"format": 1, "release": "<commit>", "source": "...", "only": ["01_Intro"],
     "files": {"a/b.ipynb": {"blob": "<id>", "mode": "100644", "substance": "<digest>",
                             "kernel": "python3", "writing": {...}}},
     "beside": {"a/b__0123456.ipynb": {"of": "a/b.ipynb", "role": "newer", "blob": ...}}}

`blob` and `mode` are git's. `writing` stands only while a run is at work: what it is about to
write there, so that after a crash those bytes are known not to be the user's. `only` and `beside`
are there where they say something. Values in, values out: `folder` reads and writes the bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbpipe.publishing.copies.decision import Content, Kind, Placed, Role, Substance, Taken
from nbpipe.publishing.copies.errors import CopyError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ".nbpipe"
NAME = "getlatest.json"
FORMAT = 1

_MODES = {"100644": (Kind.FILE, False), "100755": (Kind.FILE, True), "120000": (Kind.LINK, False)}
_NAMES = {kind: mode for mode, kind in _MODES.items()}


@dataclass(frozen=True, slots=True)
class CopyManifest:
    """The files of a copy, as they were taken."""

    release: str = ""
    """The commit of the last run that came to its end; empty where none did."""
    source: str = ""
    files: Mapping[str, Taken] = field(default_factory=dict)
    beside: Mapping[str, Placed] = field(default_factory=dict)
    """What getlatest put beside files of the copy, by its path."""
    only: tuple[str, ...] = ()
    """The folders and files that the copy is about; none: all."""


def dump(manifest: CopyManifest) -> bytes:
    """Return the file's bytes; names that are no UTF-8 survive (JSON escapes)."""
    table: dict[str, Any] = {
        "format": FORMAT,
        "release": manifest.release,
        "source": manifest.source,
        "files": {path: _entry(taken) for path, taken in sorted(manifest.files.items())},
    }
    if manifest.only:
        table["only"] = list(manifest.only)
    if manifest.beside:
        table["beside"] = {
            path: {"of": placed.of, "role": placed.role.value, **_entry(placed.taken)}
            for path, placed in sorted(manifest.beside.items())
        }
    return (json.dumps(table, indent=0) + "\n").encode()


def load(data: bytes, where: str) -> CopyManifest:
    """Return the manifest in these bytes.

    Raises:
        CopyError: They are none, or of a newer getlatest; `where` names the file.
    """
    try:
        table = json.loads(data)
        if table["format"] != FORMAT:
            raise CopyError(
                f"{where}: was written by another version of getlatest (format {table['format']})",
                hint="Update nbpipe, or take a new copy into another folder.",
            )
        files = {path: _taken(entry) for path, entry in table["files"].items()}
        beside = {
            path: Placed(str(entry["of"]), Role(entry["role"]), _taken(entry))
            for path, entry in table.get("beside", {}).items()
        }
        only = tuple(str(folder) for folder in table.get("only", ()))
        return CopyManifest(table["release"], table["source"], files, beside, only)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CopyError(
            f"{where}: is damaged: {error!r}",
            hint="Remove that file: every file of yours is then left alone, and what is new "
            "in the release lands beside.",
        ) from error


def _entry(taken: Taken) -> dict[str, Any]:
    entry: dict[str, Any] = _content(taken.base) if taken.base else {}
    if taken.writing:
        entry["writing"] = _content(taken.writing)
    return entry


def _content(content: Content) -> dict[str, str]:
    entry = {"blob": content.blob, "mode": _NAMES[content.kind, content.executable]}
    if content.substance:
        entry["substance"] = content.substance.digest
        if content.substance.kernel:
            entry["kernel"] = content.substance.kernel
    return entry


def _taken(entry: dict[str, Any]) -> Taken:
    base = _parse(entry) if "blob" in entry else None
    return Taken(base, _parse(entry["writing"]) if "writing" in entry else None)


def _parse(entry: dict[str, str]) -> Content:
    kind, executable = _MODES[entry["mode"]]
    found = entry.get("substance")
    substance = None if found is None else Substance(str(found), str(entry.get("kernel", "")))
    return Content(str(entry["blob"]), kind, executable, substance)
