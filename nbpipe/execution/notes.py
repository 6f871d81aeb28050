"""The notes of the hook in a kernel (see `audithook`) -> what they mean for a trace. No IO."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CACHED = re.compile(r"(.*?)__pycache__/([^/]+?)\.(?:cpython|pypy|graalpy)[^/]*\.pyc")

_HDF5 = (".h5", ".hdf5", ".hdf", ".he5", ".nc", ".nc4")
_TABLES = (".csv", ".parquet", ".json", ".feather", ".arrow")
ENDINGS: dict[str, tuple[str, ...]] = {
    "ROOT": ("",),
    "casacore": ("",),
    "casatools": ("",),
    "cfgrib": (".grib", ".grib2", ".grb"),
    "cv2": (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".mp4", ".avi", ".xml", ".yml"),
    "duckdb": (*_TABLES, ".db", ".duckdb"),
    "fiona": (".shp", ".gpkg", ".geojson", ".json"),
    "fitsio": (".fits", ".fit", ".fts", ".fz", ".gz"),
    "fitz": (".pdf",),
    "h5py": _HDF5,
    "lightgbm": (".txt", ".csv", ".bin", ".json"),
    "lsst": ("",),
    "lxml.etree": (".xml", ".html", ".htm", ".xsd", ".xsl", ".xslt", ".svg", ".vot"),
    "netCDF4": (*_HDF5, ".cdf"),
    "osgeo": ("",),
    "polars": (*_TABLES, ".ndjson", ".ipc", ".avro", ".xlsx"),
    "pyarrow.csv": (".csv", ".gz"),
    "pyarrow.dataset": _TABLES,
    "pyarrow.feather": (".feather", ".arrow"),
    "pyarrow.json": (".json",),
    "pyarrow.orc": (".orc",),
    "pyarrow.parquet": (".parquet", ".pq"),
    "pyogrio": (".shp", ".gpkg", ".geojson", ".json"),
    "rasterio": (".tif", ".tiff", ".vrt", ".jp2", ".nc"),
    "SimpleITK": ("",),
    "soundfile": (".wav", ".flac", ".ogg", ".mp3"),
    "spiceypy": ("",),
    "tables": _HDF5,
    "tensorflow": ("",),
    "vtk": ("",),
    "vtkmodules": ("",),
    "xgboost": (".json", ".ubj", ".model", ".txt", ".csv"),
}
"""Modules whose own C code opens files, which no hook sees, and how such files end; `` is all."""

_STARTERS = {
    "multiprocessing.popen_spawn_posix": "multiprocessing",
    "multiprocessing.popen_forkserver": "multiprocessing",
    "joblib.externals.loky.backend.popen_loky_posix": "joblib",
    "loky.backend.popen_loky_posix": "loky",
    "mpi4py": "mpi4py",
    "ray": "ray",
}
"""Modules that start processes without a word, which the hook does not follow."""

_HARMLESS = frozenset(
    {"uname", "ldconfig", "gcc", "cc", "ld", "objdump", "fc-list", "lscpu", "nvidia-smi"}
    | {"getconf", "hostname", "stty", "tput", "lsb_release"}
)
"""Programs that libraries ask about the machine."""

WATCHED = (*ENDINGS, *_STARTERS)


@dataclass(slots=True)
class Notes:
    """What a kernel noted; paths are relative to the top."""

    begun: bool = False
    """The hook was in place."""
    read: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    """Opened for reading and writing, removed or renamed: perhaps written."""
    modules: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    endings: set[str] = field(default_factory=set)
    unknown: str = ""


def parse(lines: Iterable[str]) -> Notes:
    """Return what the notes say; the last line may be cut."""
    notes = Notes()
    fresh: set[str] = set()
    for line in lines:
        kind, _, text = line.rstrip("\n").partition(" ")
        try:
            what = str(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            notes.unknown = notes.unknown or "a note of its kernel is damaged"
            continue
        if kind in {"R", "W", "A", "U"}:
            _take(notes, fresh, kind, what)
        else:
            _learn(notes, kind, what)
    return notes


def _take(notes: Notes, fresh: set[str], kind: str, path: str) -> None:
    """Take note of a file; what the notebook made itself is nothing that it depends on."""
    if "__pycache__/" in path:
        source = _CACHED.fullmatch(path)
        if source and kind == "R":
            notes.read.add(f"{source[1]}{source[2]}.py")
        return
    if path.startswith(".git/"):
        notes.unknown = notes.unknown or "it reads the repository's own data (.git)"
        return
    if kind == "W" and path not in notes.read:
        fresh.add(path)
    if kind in {"W", "A"}:
        notes.written.add(path)
    if kind == "U":
        notes.updated.add(path)
    if kind in {"R", "U"} and path not in fresh:
        notes.read.add(path)


def _learn(notes: Notes, kind: str, what: str) -> None:
    if kind == "H":
        notes.begun = True
    elif kind == "M":
        if what in _STARTERS and not notes.unknown:
            notes.unknown = f"it starts other processes ({_STARTERS[what]})"
        notes.endings.update(ENDINGS.get(what, ()))
        if "." not in what:
            notes.modules.add(what)
    elif kind == "L":
        notes.listed.add(what)
    elif kind == "P":
        notes.folders.add(what)
    elif kind == "S":
        notes.places.add(what)
    elif kind == "X" and what.rpartition("/")[2] not in _HARMLESS:
        notes.unknown = notes.unknown or f"it starts another program ({what})"
    elif kind == "E":
        notes.unknown = notes.unknown or f"a note of its kernel was lost ({what})"
