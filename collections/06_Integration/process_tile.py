"""One tile of the mini survey: simulate its spectra, fit their redshifts, write both.

A child job of MiniSurvey.ipynb, with a log of its own:

    python process_tile.py TILE SEED FOLDER

It reads FOLDER/fiberassign.fits and writes FOLDER/spectra-TILE.h5 and FOLDER/zbest-TILE.fits. The
spectra lie on a grid of constant step in log10(wavelength), where a redshift is a shift: the fit
is one cross-correlation for each template, weighted by the inverse variance.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import h5py
import numpy as np
from astropy.table import Table

STEP = 1e-4
"""Of the grid, in log10 of the wavelength in Å."""
OBSERVED = 10 ** np.arange(np.log10(3600.0), np.log10(9800.0), STEP)
REST = 10 ** np.arange(np.log10(1400.0), np.log10(9800.0), STEP)
LARGEST = {"ELG": 1.2, "LRG": 0.9, "QSO": 1.5, "STAR": 0.002}
"""Up to which redshift a template is tried."""
APART = 30
"""Steps of the grid; nearer shifts are the same redshift."""
CONFUSED = 9.0
"""A fit is doubtful where another redshift is closer than this in chi-squared."""

log = logging.getLogger("process_tile")


def line(wavelength: np.ndarray, centre: float, width: float, height: float) -> np.ndarray:
    """Return a Gaussian line; all in Å but the height."""
    return height * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)


def template(kind: str, wavelength: np.ndarray) -> np.ndarray:
    """Return the spectrum of a kind of target at rest, about 1 where it is brightest."""
    w = wavelength
    if kind == "ELG":
        flux = 0.25 * (w / 4000.0) ** -0.5
        lines = ((3727.5, 3.5, 1.0), (4861.3, 3.0, 0.5), (4958.9, 3.0, 0.4), (5006.8, 3.0, 1.2),
                 (6562.8, 3.5, 1.3))  # fmt: skip
    elif kind == "LRG":
        flux = 0.35 + 0.65 / (1 + np.exp(-(w - 4000.0) / 40.0))
        lines = ((3933.7, 9.0, -0.25), (3968.5, 9.0, -0.25), (4304.4, 12.0, -0.2),
                 (5175.3, 14.0, -0.2), (5894.0, 8.0, -0.15))  # fmt: skip
    elif kind == "QSO":
        flux = 0.6 * (w / 3000.0) ** -1.3
        lines = ((1549.1, 25.0, 1.2), (1908.7, 30.0, 0.6), (2798.8, 30.0, 0.7),
                 (4861.3, 40.0, 0.5), (5006.8, 6.0, 0.4))  # fmt: skip
    else:
        flux = (w / 5000.0) ** -0.8
        lines = tuple(
            (centre, 12.0, -0.45) for centre in (3889.1, 3970.1, 4101.7, 4340.5, 4861.3, 6562.8)
        )
    return flux + sum(line(w, *each) for each in lines)


def simulate(targets: Table, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and inverse variance, a row for each target."""
    flux = np.empty((len(targets), OBSERVED.size))
    for row, target in enumerate(targets):
        shape = template(target["KIND"], OBSERVED / (1 + target["Z_TRUE"]))
        flux[row] = 10 ** (-0.4 * (target["RMAG"] - 20.0)) * shape
    sky = 0.08 * (1 + 0.5 * (OBSERVED / 9800.0) ** 4)
    ivar = np.broadcast_to(1 / sky**2, flux.shape)
    return flux + rng.normal(size=flux.shape) / np.sqrt(ivar), ivar


def fit(flux: np.ndarray, ivar: np.ndarray) -> dict[str, np.ndarray]:
    """Return the best redshift, its error, kind and chi-squared of each row."""
    rows, pixels = flux.shape
    size = 1 << (REST.size + pixels).bit_length()
    data = np.fft.rfft(flux * ivar, size)
    weight = np.fft.rfft(ivar, size)
    total = np.sum(flux**2 * ivar, axis=1)
    best = {name: np.full(rows, np.inf) for name in ("CHI2", "Z", "ZERR", "SECOND")}
    kinds = np.full(rows, "", dtype="U4")
    offset = round(np.log10(OBSERVED[0] / REST[0]) / STEP)
    for kind, largest in LARGEST.items():
        shape = template(kind, REST)
        cross = np.fft.irfft(data * np.conj(np.fft.rfft(shape, size)), size)
        norm = np.fft.irfft(weight * np.conj(np.fft.rfft(shape**2, size)), size)
        shifts = np.arange(-2, round(np.log10(1 + largest) / STEP) + 1)
        places = (shifts - offset) % size
        with np.errstate(divide="ignore", invalid="ignore"):
            chi2 = total[:, None] - cross[:, places] ** 2 / norm[:, places]
        chi2[cross[:, places] <= 0] = np.inf
        _keep_better(best, kinds, kind, shifts, chi2)
    best["ZWARN"] = (best["SECOND"] - best["CHI2"] < CONFUSED).astype(np.int32)
    return {**best, "SPECTYPE": kinds}


def _keep_better(best, kinds, kind, shifts, chi2) -> None:  # noqa: ANN001  (arrays)
    """Take a template's best shift where it beats what is known; refine it by a parabola."""
    place = np.clip(np.argmin(chi2, axis=1), 1, chi2.shape[1] - 2)
    rows = np.arange(len(place))
    left, centre, right = (chi2[rows, place + step] for step in (-1, 0, 1))
    curvature = left - 2 * centre + right
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(curvature > 0, 0.5 * (left - right) / curvature, 0.0)
        error = np.where(curvature > 0, np.sqrt(2 / curvature), np.nan)
    z = 10 ** ((shifts[place] + step) * STEP) - 1
    far = np.abs(shifts[None, :] - shifts[place][:, None]) > APART
    second = np.min(np.where(far, chi2, np.inf), axis=1)
    better = centre < best["CHI2"]
    best["SECOND"] = np.where(
        better, np.minimum(second, best["CHI2"]), np.minimum(best["SECOND"], centre)
    )
    best["CHI2"] = np.where(better, centre, best["CHI2"])
    best["Z"] = np.where(better, z, best["Z"])
    best["ZERR"] = np.where(better, error * STEP * np.log(10) * (1 + z), best["ZERR"])
    kinds[better] = kind


def write(folder: Path, tile: int, targets: Table, spectra: tuple, found: dict) -> None:
    """Write the spectra and the redshifts of a tile."""
    flux, ivar = spectra
    with h5py.File(folder / f"spectra-{tile}.h5", "w") as file:
        for name, values, unit in (
            ("wavelength", OBSERVED.astype(np.float32), "Angstrom"),
            ("flux", flux.astype(np.float32), "1e-17 erg / (s cm2 Angstrom)"),
            ("ivar", ivar.astype(np.float32), "1e34 s2 cm4 Angstrom2 / erg2"),
        ):
            options = {"compression": "gzip", "shuffle": True} if values.ndim > 1 else {}
            file.create_dataset(name, data=values, **options).attrs["unit"] = unit
        file.create_dataset("targetid", data=targets["TARGETID"])
        file.attrs["tile"] = tile
    table = Table()
    table["TARGETID"] = targets["TARGETID"]
    table["TILE"] = np.full(len(targets), tile, dtype=np.int32)
    for name in ("Z", "ZERR", "CHI2", "ZWARN", "SPECTYPE"):
        table[name] = found[name]
    table["DELTACHI2"] = found["SECOND"] - found["CHI2"]
    table.write(folder / f"zbest-{tile}.fits", overwrite=True)


def main(tile: int, seed: int, folder: Path) -> None:
    """Process one tile."""
    began = time.monotonic()
    assigned = Table.read(folder / "fiberassign.fits")
    targets = assigned[assigned["TILE"] == tile]
    log.info("tile %d: %d targets", tile, len(targets))
    spectra = simulate(targets, np.random.default_rng((seed, tile)))
    log.info("tile %d: %d pixels each simulated", tile, OBSERVED.size)
    found = fit(*spectra)
    log.info("tile %d: %d fits, %d doubtful", tile, len(targets), found["ZWARN"].sum())
    write(folder, tile, targets, spectra, found)
    log.info("tile %d: done in %.1f s", tile, time.monotonic() - began)


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s"
    )
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
