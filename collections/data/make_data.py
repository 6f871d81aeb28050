"""Make the synthetic data that the notebooks of this collection read, or check them.

    python make_data.py            write every file beside this script
    python make_data.py --check    say which files are not those it would make (exit code 1)

Everything is drawn from fixed seeds, from the invented sky of sky.py. Only what the notebooks read
is made here; nothing here reads a notebook, the network or the clock.
"""

# ruff: noqa: PLR2004 - the numbers are what the data are made of

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from catalogue import survey
from sky import CENTRE, SEQUENCE, generator, objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def text(path: Path, names: str, columns: Iterable[Iterable[object]], layout: str) -> None:
    """Write a CSV file, every row formatted by `layout`."""
    rows = [layout.format(*row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([names, *rows]) + "\n", encoding="utf-8")


def image_wcs(size: int) -> WCS:
    """Return the world coordinates of the image: 0.45 arcsec pixels, turned by 12 degrees."""
    wcs = WCS(naxis=2)
    angle, scale = np.radians(12.0), 0.45 / 3600
    wcs.wcs.crpix = [size / 2 + 0.5, size / 2 + 0.5]
    wcs.wcs.crval = list(CENTRE)
    wcs.wcs.cd = scale * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    return wcs


def moffat(shape: tuple[int, int], x: float, y: float, fwhm: float) -> np.ndarray:
    """Return a Moffat profile of total 1, beta 3.5, sampled on 3x3 points in every pixel."""
    beta = 3.5
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    rows, columns = np.indices(shape, dtype=float)
    total = np.zeros(shape)
    for dy in (-1 / 3, 0, 1 / 3):
        for dx in (-1 / 3, 0, 1 / 3):
            squared = (columns + dx - x) ** 2 + (rows + dy - y) ** 2
            total += (1 + squared / alpha**2) ** -beta / 9
    return total * (beta - 1) / (np.pi * alpha**2)


def image(path: Path) -> None:
    """Write a 60 s r-band image of the cluster's core, 16-bit counts."""
    size, exposure, gain, read_noise = 320, 60.0, 2.0, 5.0
    sky, random, wcs = objects(), generator(3), image_wcs(320)
    xs, ys = wcs.world_to_pixel_values(sky["ra"], sky["dec"])
    rows, columns = np.indices((size, size), dtype=float)
    electrons = 120 + 0.06 * columns + 0.03 * rows  # sky brightness with a gradient
    edge = 20
    near = (xs > -edge) & (xs < size + edge) & (ys > -edge) & (ys < size + edge)
    for x, y, mag in zip(xs[near], ys[near], sky["true_r"][near], strict=True):
        flux = exposure * 10 ** (0.4 * (23.5 - mag))
        electrons += flux * moffat((size, size), x, y, 1.5 / 0.45)
    noise = np.sqrt(electrons + read_noise**2)
    counts = (electrons + random.normal(0, 1, electrons.shape) * noise) / gain + 200
    hdu = fits.PrimaryHDU(np.clip(np.rint(counts), 0, 65535).astype(np.uint16), wcs.to_header())
    cards = (
        ("OBJECT", "Lantern 1", "core of the (synthetic) cluster"),
        ("TELESCOP", "Harbour 0.6 m", "an invented telescope"),
        ("FILTER", "r", "pass band"),
        ("DATE-OBS", "2016-01-01T04:12:00", "start of the exposure, UTC"),
        ("EXPTIME", exposure, "[s] exposure time"),
        ("GAIN", gain, "[electron/adu] electrons per count"),
        ("RDNOISE", read_noise, "[electron] read noise"),
        ("BIASLVL", 200, "[adu] pedestal, not subtracted"),
        ("SATURATE", 60000, "[adu] counts above are not linear"),
        ("BUNIT", "adu", "unit of the pixels"),
    )
    for name, value, comment in cards:
        hdu.header[name] = (value, comment)
    hdu.writeto(path, overwrite=True)


def bright_stars(path: Path) -> None:
    """Write a FITS table with units: the 400 brightest stars, some without a radial velocity."""
    sky, random = objects(), generator(4)
    number = np.arange(1, len(sky["ra"]) + 1)
    order = np.argsort(np.where(sky["is_galaxy"], 99, sky["r"]))[:400]
    member = np.hypot(sky["pmra"][order] + 4.2, sky["pmdec"][order] - 2.9) < 1
    velocity = np.where(member, random.normal(18.3, 1.0, 400), random.normal(-12, 35, 400))
    velocity[random.uniform(size=400) < 0.3] = np.nan
    table = QTable(
        {
            "id": number[order].astype(np.int32),
            "ra": sky["ra"][order].round(6) * u.deg,
            "dec": sky["dec"][order].round(6) * u.deg,
            "parallax": sky["parallax"][order].astype(np.float32) * u.mas,
            "parallax_error": sky["precision"][order].astype(np.float32) * u.mas,
            "pmra": sky["pmra"][order].astype(np.float32) * u.mas / u.yr,
            "pmdec": sky["pmdec"][order].astype(np.float32) * u.mas / u.yr,
            "radial_velocity": velocity.astype(np.float32) * u.km / u.s,
            "g": sky["g"][order].astype(np.float32) * u.mag,
            "r": sky["r"][order].astype(np.float32) * u.mag,
            "i": sky["i"][order].astype(np.float32) * u.mag,
        }
    )
    table.meta["EXTNAME"] = "BRIGHT"
    table.meta["EPOCH"] = 2016.0
    table.write(path, format="fits", overwrite=True)


def sampled(random: np.random.RandomState, count: int, nights: int) -> np.ndarray:
    """Return `count` times in days, at night only, irregular as at a real telescope."""
    night = random.randint(0, nights, count)
    return np.sort(57400 + night + random.uniform(0.05, 0.40, count)).round(5)


def rr_lyrae(path: Path) -> None:
    """Write the light curve of an RR Lyrae star: 0.56123 d, a fast rise and a slow decline."""
    random = generator(14)
    time = sampled(random, 220, 90)
    phase = 2 * np.pi * time / 0.56123
    terms = ((0.36, 0.0), (0.17, 0.4), (0.10, 0.9), (0.05, 1.5))
    wave = sum(a * np.cos((k + 1) * phase + shift) for k, (a, shift) in enumerate(terms))
    light_curve(path, random, time, 15.2 - wave, "Lantern V1, RR Lyrae")


def contact_binary(path: Path) -> None:
    """Write the light curve of a contact binary: 0.34187 d, two unequal minima."""
    random = generator(6)
    time = sampled(random, 260, 90)
    phase = 2 * np.pi * time / 0.34187
    light_curve(
        path,
        random,
        time,
        14.6 + 0.22 * np.cos(2 * phase) + 0.04 * np.cos(phase) + 0.02 * np.cos(4 * phase),
        "Lantern V2, contact binary",
    )


def light_curve(
    path: Path, random: np.random.RandomState, time: np.ndarray, mag: np.ndarray, name: str
) -> None:
    """Write times and magnitudes with errors as ECSV."""
    error = random.uniform(0.015, 0.04, len(time))
    measured = mag + random.normal(0, 1, len(time)) * error
    table = QTable(
        {"mjd": time * u.day, "mag": measured.round(4) * u.mag, "error": error.round(4) * u.mag},
        meta={"object": name, "band": "r"},
    )
    table.write(path, format="ascii.ecsv", overwrite=True)


def transit(path: Path) -> None:
    """Write 27 days of photometry from space, one transiting planet (3.5247 d, 0.9 per cent)."""
    random = generator(7)
    time = np.arange(0, 27.0, 0.75 / 24)
    time = time[(time < 12.9) | (time > 14.1)]
    from_middle = np.abs((time - 1.413 + 3.5247 / 2) % 3.5247 - 3.5247 / 2)
    depth = 0.009 * np.clip((0.0700 - from_middle) / 0.012, 0, 1)
    drift = 0.0015 * np.sin(2 * np.pi * time / 11.3)
    flux = 1 - depth + drift + random.normal(0, 0.0009, len(time))
    text(path, "time_days,flux,flux_error", (time, flux, 0.0009 + 0 * time), "{:.5f},{:.6f},{:.4f}")


LINES = (
    # air wavelength in angstrom, strength, width in angstrom: NIST ASD, rounded
    (3727.4, 30, 3.2), (3933.7, -9, 7.0), (3968.5, -8, 7.0), (4340.5, 8, 2.6), (4861.3, 20, 2.7),
    (4958.9, 13, 2.6), (5006.8, 39, 2.6), (5175.4, -5, 9.0), (5892.9, -4, 5.0), (6548.1, 4.7, 2.9),
    (6562.8, 62, 3.0), (6583.5, 14, 2.9), (6716.4, 13, 2.8), (6730.8, 10, 2.8),
)  # fmt: skip


def galaxy_spectrum(path: Path) -> None:
    """Write the spectrum of a star-forming galaxy at z = 0.0834: wavelength, flux, error."""
    random, redshift = generator(8), 0.0834
    wave = 10 ** np.arange(np.log10(3800), np.log10(9000), 1.9e-4)
    rest = wave / (1 + redshift)
    flux = 14 * (rest / 5500) ** -0.7 * (1 - 0.28 / (1 + np.exp((rest - 4000) / 25)))
    for line, strength, width in LINES:
        flux += strength * np.exp(-0.5 * ((rest - line) / width) ** 2) * 0.8
    error = 0.9 + 0.8 * np.exp(-0.5 * ((wave - 3800) / 300) ** 2) + 0.7 * (wave > 7600)
    measured = flux + random.normal(0, 1, len(wave)) * error
    table = QTable(
        {
            "wavelength": wave.astype(np.float32) * u.AA,
            "flux": measured.astype(np.float32) * u.Unit("1e-17 erg / (s cm2 AA)"),
            "error": error.astype(np.float32) * u.Unit("1e-17 erg / (s cm2 AA)"),
        }
    )
    table.meta["OBJECT"] = "Lantern G7"
    table.write(path, format="fits", overwrite=True)


def supernovae(path: Path) -> None:
    """Write distance moduli of 200 type Ia supernovae in a flat universe, Omega_m = 0.3."""
    random = generator(9)
    z = np.sort(np.concatenate([random.uniform(0.01, 0.1, 60), random.uniform(0.1, 1.1, 140)]))
    error = 0.07 + 0.05 * random.uniform(size=200)
    modulus = FlatLambdaCDM(H0=70, Om0=0.3).distmod(z).value + random.normal(0, 1, 200) * error
    text(path, "name,z,mu,mu_error", ([f"SN{n:03d}" for n in range(1, 201)], z, modulus, error),
         "{},{:.5f},{:.3f},{:.3f}")  # fmt: skip


def xray_sources(path: Path) -> None:
    """Write X-ray sources: 60 with an optical counterpart, 30 without, errors of 1 to 2 arcsec."""
    sky, random = objects(), generator(10)
    chosen = random.choice(np.flatnonzero(sky["is_galaxy"]), 60, replace=False)
    error = random.uniform(1.0, 2.0, 90)
    dec = np.concatenate([sky["dec"][chosen], CENTRE[1] + random.uniform(-0.25, 0.25, 30)])
    east = (sky["ra"][chosen] - CENTRE[0]) * np.cos(np.radians(sky["dec"][chosen]))
    east = np.concatenate([east, random.uniform(-0.25, 0.25, 30)])
    dec = dec + random.normal(0, 1, 90) * error / 3600
    ra = CENTRE[0] + (east + random.normal(0, 1, 90) * error / 3600) / np.cos(np.radians(dec))
    flux = 10 ** random.uniform(-14.5, -12.8, 90)
    order = random.permutation(90)
    columns = (np.arange(1, 91), ra[order], dec[order], error[order], flux[order])
    text(path, "id,ra,dec,pos_error,flux", columns, "X{:03d},{:.6f},{:.6f},{:.2f},{:.3e}")


def plate_1955(path: Path) -> None:
    """Write positions of 150 stars as a photographic plate of 1955 had them, 0.3 arcsec errors."""
    sky, random = objects(), generator(11)
    stars = np.flatnonzero(~sky["is_galaxy"])
    chosen = stars[np.argsort(sky["r"][stars])[:150]]
    years = 1955.4 - 2016.0
    dec = (
        sky["dec"][chosen]
        + (sky["pmdec"][chosen] * years / 1000 + 0.3 * random.normal(size=150)) / 3600
    )
    east = (sky["pmra"][chosen] * years / 1000 + 0.3 * random.normal(size=150)) / 3600
    ra = sky["ra"][chosen] + east / np.cos(np.radians(dec))
    mag = sky["g"][chosen] + random.normal(0, 0.15, 150)
    order = random.permutation(150)
    columns = (np.arange(1, 151), ra[order], dec[order], mag[order])
    text(path, "plate_id,ra,dec,blue_mag", columns, "P{:03d},{:.5f},{:.5f},{:.1f}")


def observing_log(path: Path) -> None:
    """Write the log of a month at the telescope, one line for every exposure."""
    random = generator(12)
    night = np.sort(random.choice(np.delete(np.arange(1, 31), [7, 8, 19]), 360))
    target = random.choice(
        ["Lantern-1", "Lantern-G7", "standard", "flat"], 360, p=[0.5, 0.2, 0.2, 0.1]
    )
    seconds = np.where(target == "flat", 5, np.where(target == "standard", 20, 60))
    band = random.choice(list("gri"), 360)
    status = random.choice(["ok", "ok", "ok", "ok", "ok", "clouds", "tracking"], 360)
    seeing = random.lognormal(0.3, 0.2, 360)
    columns = (np.arange(1, 361), night, target, band, seconds, seeing, status)
    text(path, "exposure,date,target,band,seconds,seeing,status", columns,
         "{:04d},2016-01-{:02d},{},{},{},{:.2f},{}")  # fmt: skip


def standard_stars(path: Path) -> None:
    """Write instrumental magnitudes of standard stars: zero point, extinction and colour term."""
    random = generator(34)
    airmass, colour = random.uniform(1.0, 2.2, 140), random.uniform(0.1, 1.3, 140)
    night = np.arange(140) % 2 + 1
    catalogue = random.uniform(11, 15, 140)
    zero_point = np.where(night == 1, -22.71, -22.64)
    instrumental = (
        catalogue + zero_point + 0.112 * airmass - 0.047 * colour + random.normal(0, 0.012, 140)
    )
    text(path, "night,airmass,g_r,catalogue_r,instrumental_r",
         (night, airmass, colour, catalogue, instrumental),
         "{},{:.3f},{:.3f},{:.3f},{:.3f}")  # fmt: skip


def sequence(path: Path) -> None:
    """Write the main sequence in absolute magnitudes, without reddening."""
    text(path, "g_r,M_r,r_i", SEQUENCE.T, "{:.2f},{:.2f},{:.2f}")


FILES: dict[str, Callable[[Path], None]] = {
    "survey.db": survey,
    "lantern1_r.fits": image,
    "bright_stars.fits": bright_stars,
    "rr_lyrae.ecsv": rr_lyrae,
    "contact_binary.ecsv": contact_binary,
    "transit.csv": transit,
    "galaxy_spectrum.fits": galaxy_spectrum,
    "supernovae.csv": supernovae,
    "xray_sources.csv": xray_sources,
    "plate_1955.csv": plate_1955,
    "observing_log.csv": observing_log,
    "standard_stars.csv": standard_stars,
    "main_sequence.csv": sequence,
}


def same(one: Path, other: Path) -> bool:
    """Tell whether two files have the same content; libraries of any version may have written them.

    SQLite's bytes hold its version, and astropy has changed the layout of its tables' metadata.
    """
    try:
        if one.suffix == ".db":
            return dump(one) == dump(other)
        if one.suffix == ".ecsv" or (one.suffix == ".fits" and fits.getheader(one)["NAXIS"] == 0):
            return same_table(QTable.read(one), QTable.read(other))
        if one.suffix == ".fits":
            return bool(fits.FITSDiff(one, other, rtol=1e-6).identical)
        return one.read_bytes() == other.read_bytes()
    except (OSError, ValueError, TypeError, KeyError, sqlite3.Error):
        return False  # missing, or damaged


def same_table(one: QTable, other: QTable) -> bool:
    """Tell whether two tables have the same columns, units, values and metadata."""
    if (
        one.colnames != other.colnames
        or len(one) != len(other)
        or dict(one.meta) != dict(other.meta)
    ):
        return False
    units = all(
        getattr(one[n], "unit", None) == getattr(other[n], "unit", None) for n in one.colnames
    )
    return units and all(
        np.allclose(
            getattr(one[n], "value", one[n]),
            getattr(other[n], "value", other[n]),
            rtol=1e-6,
            equal_nan=True,
        )
        for n in one.colnames
    )


def dump(path: Path) -> list[str]:
    """Return a database as SQL."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def main() -> int:
    """Write or check every file; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    here, wrong = Path(__file__).resolve().parent, []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FILES.items():
            fresh = Path(folder, name)
            make(fresh)
            if same(here / name, fresh):
                continue
            if check:
                wrong.append(name)
            else:
                (here / name).write_bytes(fresh.read_bytes())
                print(f"{name}: written")
    for name in wrong:
        print(f"{name}: missing, or not what make_data.py makes", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
