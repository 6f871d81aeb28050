"""The survey's catalogue: what the invented sky looks like as an SQLite database."""

# ruff: noqa: PLR2004 - the numbers are what the survey is made of

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import numpy as np
from sky import Columns, generator, objects

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
PRAGMA page_size = 1024;
CREATE TABLE object (id INTEGER PRIMARY KEY, ra REAL NOT NULL, dec REAL NOT NULL,
  class TEXT NOT NULL CHECK (class IN ('star', 'galaxy')), parallax REAL, parallax_error REAL,
  pmra REAL, pmdec REAL);
CREATE TABLE photometry (object_id INTEGER REFERENCES object(id), band TEXT, mag REAL,
  mag_error REAL, PRIMARY KEY (object_id, band)) WITHOUT ROWID;
CREATE TABLE redshift (object_id INTEGER PRIMARY KEY REFERENCES object(id), z REAL, quality INT);
CREATE TABLE exposure (id INTEGER PRIMARY KEY, mjd REAL NOT NULL, band TEXT NOT NULL,
  airmass REAL, seeing REAL);
CREATE TABLE detection (object_id INTEGER REFERENCES object(id),
  exposure_id INTEGER REFERENCES exposure(id), mag REAL, mag_error REAL,
  PRIMARY KEY (object_id, exposure_id)) WITHOUT ROWID;
CREATE INDEX object_dec ON object (dec, ra);
"""


def survey(path: Path) -> None:
    """Write the catalogue as an SQLite database of five tables."""
    sky = objects()
    random = generator(2)
    number = np.arange(1, len(sky["ra"]) + 1)
    astrometry = ("parallax", "precision", "pmra", "pmdec")
    kind = np.where(sky["is_galaxy"], "galaxy", "star")
    positions = [np.round(sky[name], 6).tolist() for name in ("ra", "dec")]
    motions = [np.round(sky[name], 3).tolist() for name in astrometry]
    rows = {
        "object": list(zip(number.tolist(), *positions, kind.tolist(), *motions, strict=True)),
        "photometry": [
            (int(n), band, round(float(mag), 3), round(float(error), 3))
            for band in "gri"
            for n, mag, error in zip(number, sky[band], sky[f"{band}_error"], strict=True)
        ],
        "redshift": [
            (int(n), round(float(z), 4), int(quality))
            for n, z, quality in zip(
                number, sky["redshift"], random.choice([1, 2, 3, 4], len(number)), strict=True
            )
            if np.isfinite(z)
        ],
        **monitoring(random, sky, number),
    }
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    for table, values in rows.items():
        marks = ", ".join("?" * len(values[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608 - names from above
    connection.commit()
    connection.execute("VACUUM")
    connection.close()


def monitoring(
    random: np.random.RandomState, sky: Columns, number: np.ndarray
) -> dict[str, list[tuple[object, ...]]]:
    """Return 60 r-band exposures and the detections of 40 bright stars, four of them variable."""
    nights = np.sort(57388 + random.choice(120, 60, replace=False))
    mjd = nights + random.uniform(0.1, 0.4, 60)
    airmass, seeing = random.uniform(1, 1.8, 60), random.lognormal(0.3, 0.2, 60)
    bright = np.flatnonzero((sky["r"] > 13) & (sky["r"] < 16) & ~sky["is_galaxy"])[:40]
    detections: list[tuple[object, ...]] = []
    for index, which in enumerate(bright):
        amplitude = 0.25 if index % 10 == 0 else 0.0
        wave = amplitude * np.sin(2 * np.pi * mjd / (0.6 + 0.11 * index))
        mags = sky["r"][which] + wave + random.normal(0, 0.012, 60)
        seen = random.uniform(size=60) > 0.08
        detections += [
            (int(number[which]), epoch + 1, round(float(mags[epoch]), 3), 0.012)
            for epoch in np.flatnonzero(seen).tolist()
        ]
    exposures: list[tuple[object, ...]] = [
        (epoch + 1, round(float(mjd[epoch]), 4), "r", *map(float, pair))
        for epoch, pair in enumerate(zip(airmass.round(2), seeing.round(2), strict=True))
    ]
    return {"exposure": exposures, "detection": detections}
