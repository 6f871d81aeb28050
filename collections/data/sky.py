"""The invented sky: an open cluster called Lantern 1, field stars and galaxies behind it.

What is on the sky and how the survey measures it, from one fixed seed. Nothing here writes a file.
"""

# ruff: noqa: PLR2004 - the numbers are what this sky is made of

from __future__ import annotations

import numpy as np

Columns = dict[str, np.ndarray]

CENTRE = (246.50, 38.20)
"""Right ascension and declination of Lantern 1, ICRS, degrees."""
DISTANCE_PC = 850.0
REDDENING = 0.08
"""E(B-V) of the cluster, magnitudes."""
EXTINCTION = {"g": 3.30, "r": 2.31, "i": 1.70}
"""A_band / E(B-V): Schlafly & Finkbeiner 2011, table 6, R_V = 3.1, rounded."""
SEQUENCE = np.array(
    # g-r, absolute r, r-i: a schematic main sequence, not a model of stellar evolution
    [
        (0.02, 1.60, -0.08),
        (0.10, 2.30, -0.03),
        (0.20, 3.10, 0.04),
        (0.30, 3.75, 0.10),
        (0.40, 4.35, 0.14),
        (0.50, 4.95, 0.18),
        (0.70, 5.95, 0.26),
        (0.90, 6.80, 0.35),
        (1.10, 7.50, 0.45),
        (1.30, 8.30, 0.62),
        (1.40, 9.20, 0.90),
        (1.45, 10.20, 1.20),
    ]
)
CLUSTER, FIELD, GALAXIES = 300, 1100, 400


def generator(seed: int) -> np.random.RandomState:
    """Return a generator whose stream never changes (NEP 19 freezes only this one)."""
    return np.random.RandomState(seed)


def photometry(absolute_r: np.ndarray, distance_pc: np.ndarray, reddening: float) -> Columns:
    """Return the apparent g, r, i of main-sequence stars without noise."""
    colour_gr = np.interp(absolute_r, SEQUENCE[:, 1], SEQUENCE[:, 0])
    colour_ri = np.interp(absolute_r, SEQUENCE[:, 1], SEQUENCE[:, 2])
    r = absolute_r + 5 * np.log10(distance_pc / 10)
    clean = {"g": r + colour_gr, "r": r, "i": r - colour_ri}
    return {band: clean[band] + EXTINCTION[band] * reddening for band in "gri"}


def cluster(random: np.random.RandomState) -> Columns:
    """Return the members of Lantern 1: a Plummer sphere with a quarter of binaries."""
    radius = 0.04 / np.sqrt(random.uniform(0.02, 1, CLUSTER) ** -1 - 1 + 1e-9)
    angle = random.uniform(0, 2 * np.pi, CLUSTER)
    absolute_r = 1.7 + 8.3 * random.uniform(0, 1, CLUSTER) ** 0.6
    bands = photometry(absolute_r, np.full(CLUSTER, DISTANCE_PC), REDDENING)
    binary = np.where(random.uniform(size=CLUSTER) < 0.25, random.uniform(0, 0.75, CLUSTER), 0.0)
    return {
        "east": np.clip(radius, 0, 0.3) * np.sin(angle),
        "north": np.clip(radius, 0, 0.3) * np.cos(angle),
        **{band: mag - binary for band, mag in bands.items()},
        "parallax": np.full(CLUSTER, 1000 / DISTANCE_PC),
        "pmra": random.normal(-4.2, 0.25, CLUSTER),
        "pmdec": random.normal(2.9, 0.25, CLUSTER),
    }


def field(random: np.random.RandomState) -> Columns:
    """Return stars of the Galactic disc along the line of sight."""
    distance = 150 + random.gamma(3.0, 600.0, FIELD)
    absolute_r = 2.0 + 8.0 * random.uniform(0, 1, FIELD) ** 0.7
    kpc = distance / 1000
    return {
        "east": random.uniform(-0.25, 0.25, FIELD),
        "north": random.uniform(-0.25, 0.25, FIELD),
        **photometry(absolute_r, distance, REDDENING),
        "parallax": 1 / kpc,
        "pmra": random.normal(-1.0, 7.0, FIELD) / kpc,
        "pmdec": random.normal(-2.0, 7.0, FIELD) / kpc,
    }


def galaxies(random: np.random.RandomState) -> Columns:
    """Return galaxies: faint, red, at rest, with a redshift."""
    r = 20.4 - random.exponential(1.0, GALAXIES)
    redshift = np.clip(0.02 * 10 ** (0.22 * (r - 15)) * random.lognormal(0, 0.35, GALAXIES), 0, 2)
    colour = 0.45 + 1.6 * np.clip(redshift, 0, 0.4) + random.normal(0, 0.08, GALAXIES)
    return {
        "east": random.uniform(-0.25, 0.25, GALAXIES),
        "north": random.uniform(-0.25, 0.25, GALAXIES),
        "g": r + colour,
        "r": r,
        "i": r - 0.2 - 0.4 * colour,
        "parallax": np.zeros(GALAXIES),
        "pmra": np.zeros(GALAXIES),
        "pmdec": np.zeros(GALAXIES),
        "redshift": redshift,
    }


def objects() -> Columns:
    """Return every object of the survey, measured: with errors, noise and a limit at r = 20.5."""
    random = generator(20160101)
    kinds = [cluster(random), field(random), galaxies(random)]
    names = ("east", "north", "g", "r", "i", "parallax", "pmra", "pmdec")
    sky = {name: np.concatenate([kind[name] for kind in kinds]) for name in names}
    is_galaxy = np.arange(len(sky["r"])) >= CLUSTER + FIELD
    sky["redshift"] = np.where(is_galaxy, np.resize(kinds[2]["redshift"], len(is_galaxy)), np.nan)
    sky["redshift"][is_galaxy] = kinds[2]["redshift"]
    sky["is_galaxy"] = is_galaxy
    precision = np.hypot(0.02, 0.03 * 10 ** (0.2 * (sky["r"] - 15)))  # mas, as Gaia's
    for name in ("parallax", "pmra", "pmdec"):
        sky[name] = sky[name] + random.normal(0, 1, len(precision)) * precision
    sky["precision"] = precision
    for band in "gri":
        error = np.hypot(0.008, 0.1 * 10 ** (0.4 * (sky[band] - 20.5)))
        sky[f"true_{band}"] = sky[band]
        sky[f"{band}_error"] = error
        sky[band] = sky[band] + random.normal(0, 1, len(error)) * error
    sky["dec"] = CENTRE[1] + sky.pop("north")
    sky["ra"] = CENTRE[0] + sky.pop("east") / np.cos(np.radians(sky["dec"]))
    order = random.permutation(np.flatnonzero((sky["true_r"] < 20.5) & (sky["true_r"] > 11)))
    return {name: values[order] for name, values in sky.items()}
