"""The protocol that every reader keeps, and the choice of the reader by a file's content.

A *row* is an index along the first axis: of a table, an image or an array. Values come in blocks
of rows, so that a file of any size takes a bounded part of the memory.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from nbpipe.distribution import pip_install
from nbpipe.reference.products.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from nbpipe.reference.manifest import Column, Part

READERS = {
    "fits": "fits",
    "hdf5": "hdf5",
    "parquet": "parquet",
    "csv": "text_tables",
    "ecsv": "text_tables",
    "votable": "votable",
    "png": "images",
    "jpeg": "images",
    "tiff": "images",
    "json": "documents",
    "yaml": "documents",
    "text": "texts",
    "svg": "texts",
    "pdf": "texts",
    "npy": "arrays",
    "npz": "arrays",
    "netcdf3": "arrays",
    "sqlite": "sqlite",
    "gzip": "archives",
    "bzip2": "archives",
    "xz": "archives",
    "zstd": "archives",
    "zip": "archives",
    "zarr": "zarr",
    "casa": "casa",
    "tar": "archives",
}
"""Kind -> module of this package with `open_product(file, kind)`."""

KINDS = frozenset({*READERS, "netcdf"})
"""Kinds whose content can be compared: what a file of a kind may turn out to be is among them."""

LIBRARIES = {
    "fits": "astropy",
    "hdf5": "h5py",
    "parquet": "pyarrow",
    "images": "pillow",
    "votable": "astropy",
    "zarr": "zarr",
    "casa": "python-casacore",
}
"""Module -> the package that it needs beside numpy."""

EXTRAS = {"python-casacore": "casa"}
"""Packages that are in an extra of their own."""

BLOCK_BYTES = 4_000_000
"""About what one block of rows takes in memory."""
MOST_ROWS = 65_536


class ProductError(Exception):
    """A file cannot be read as what it is: damaged, of no known kind, or of an odd type."""


class NoLibrary(ProductError):  # noqa: N818  (what is missing, not what went wrong)
    """The library that reads this kind is not installed; the message names the extra."""

    @classmethod
    def of(cls, package: str) -> NoLibrary:
        """Return the error about a package."""
        return cls(f"{package} is not installed: {pip_install(EXTRAS.get(package, 'reference'))}")


@dataclass(frozen=True, slots=True)
class Values:
    """Some rows of one column."""

    data: NDArray[Any]
    """In the machine's byte order; strings as `S`, `U` or Python's own.

    Of dtype object where numpy has no type that holds them: whole numbers and decimals with all
    their digits (`int`, `Decimal`), lists of varying length (one-dimensional arrays), texts, bytes.
    """
    missing: NDArray[Any] | None = None
    """True where a value is null or masked; None where none can be. A NaN is not missing."""


class Product(Protocol):
    """An open file."""

    @property
    def kind(self) -> str:
        """What it turned out to be: of an HDF5 file `hdf5` or `netcdf`."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The schema, from headers where the format has them."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be described."""

    @property
    def uncompared(self) -> tuple[str, ...]:
        """What of its content no column, attribute or part stands for, by name, with the reason.

        Two files whose bytes differ are never the same where there is any.
        """

    def rows(self, part: Part, column: Column) -> int:
        """Return how many rows a column has; 0 where it has no values that can be read."""

    def blocks(self, part: Part, names: Sequence[str], rows: int) -> Iterator[dict[str, Values]]:
        """Yield all rows of these columns, at most so many at a time.

        The columns have the same number of rows.
        """

    def take(
        self, part: Part, names: Sequence[str], rows: NDArray[Any]
    ) -> dict[str, Values] | None:
        """Return these rows in this order; None where the format reads only in its own order."""


@contextmanager
def opened(file: Path, kind: str | None = None) -> Iterator[Product]:
    """Open a file with the reader of its kind.

    Warnings of the libraries become nobody's: what is wrong with a file is an error here.

    Raises:
        ProductError: It is damaged, or of no kind that has a reader.
        NoLibrary: The library of its kind is missing.
    """
    kind = kind or kind_of(file)
    if kind not in READERS:
        raise ProductError(f"{kind} files have no reader")
    open_product = reader(kind)
    with warnings.catch_warnings(), guarded():
        warnings.simplefilter("ignore")
        with open_product(file, kind) as product:
            yield product


@contextmanager
def opened_together(files: Sequence[Path]) -> Iterator[Product]:
    """Open the Parquet files of one data set as the one table that they are.

    Raises:
        ProductError: One is damaged, or their schemas differ.
        NoLibrary: pyarrow is missing.
    """
    reader("parquet")
    module = import_module("nbpipe.reference.products.parquet")
    with guarded(), module.open_data_set(files, "parquet") as product:
        yield product


@contextmanager
def guarded() -> Iterator[None]:
    """Make a `ProductError` of whatever a library raises that meets a damaged file.

    Raises:
        ProductError: Anything was raised.
    """
    try:
        yield
    except (ProductError, MemoryError):
        raise
    except Exception as error:
        # The boundary of one file: a parser raises whatever it stumbled upon.
        text = " ".join(str(error).split()) or "no details"
        raise ProductError(f"{type(error).__name__}: {text[:500]}") from error


def reader(kind: str) -> Opener:
    """Return the function that opens a file of that kind as a product.

    Raises:
        NoLibrary: It needs a package that is not installed.
    """
    name = READERS[kind]
    try:
        module = import_module(f"nbpipe.reference.products.{name}")
    except ImportError as error:
        missing = LIBRARIES.get(name, "numpy") if error.name != "numpy" else "numpy"
        raise NoLibrary.of(missing) from error
    return cast("Opener", module.open_product)


class Opener(Protocol):
    """What each reader's module has as `open_product`."""

    def __call__(self, file: Path, kind: str) -> AbstractContextManager[Product]:
        """Open the file."""


def rows_at_once(columns: Sequence[Column], *, whole: bool) -> int:
    """Return how many rows make a block.

    Args:
        columns: What each row holds.
        whole: A column's shape is the whole array's, not one row's.
    """
    width = 0
    for column in columns:
        cells = 1
        for extent in column.shape[1:] if whole else column.shape:
            cells *= max(extent, 1)
        width += 8 * cells
    return max(1, min(MOST_ROWS, BLOCK_BYTES // max(width, 1)))
