"""Databases as earlier versions of nbpipe made and filled them; written down, never generated."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from pasts import START

from nbpipe.history.engine import address

if TYPE_CHECKING:
    from pathlib import Path

_VERSION_0 = """
CREATE TABLE nbpipe_schema (version INTEGER NOT NULL);
CREATE TABLE collections (id {serial} NOT NULL PRIMARY KEY);
CREATE TABLE collection_keys (
    key TEXT NOT NULL PRIMARY KEY,
    collection INTEGER NOT NULL REFERENCES collections (id)
);
CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    collection INTEGER NOT NULL REFERENCES collections (id),
    started {time} NOT NULL, seconds FLOAT, interrupted BOOLEAN NOT NULL,
    root TEXT NOT NULL, output_dir TEXT NOT NULL, "commit" TEXT, host TEXT NOT NULL,
    version TEXT NOT NULL, python TEXT NOT NULL, jobs INTEGER NOT NULL
);
CREATE INDEX runs_by_time ON runs (collection, started);
CREATE TABLE results (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    path TEXT NOT NULL, position INTEGER NOT NULL, outcome TEXT, complete BOOLEAN NOT NULL,
    reason TEXT, kernel TEXT NOT NULL, seconds FLOAT NOT NULL, attempts INTEGER NOT NULL,
    category TEXT, signature TEXT, failures JSON, PRIMARY KEY (run, path)
);
CREATE INDEX results_by_path ON results (path);
INSERT INTO nbpipe_schema VALUES ({version});
INSERT INTO collections (id) VALUES (7);
INSERT INTO collection_keys VALUES ('name:old', 7);
INSERT INTO runs VALUES
    ('r1', 7, '{start}', 61.0, FALSE, '/c', '/out', 'c0ffee', 'here', '0.0', '3.11', 2),
    ('r2', 7, '{later}', NULL, FALSE, '/c', '/out', NULL, 'here', '0.0', '3.11', 2);
INSERT INTO results VALUES
    ('r1', 'a.ipynb', 0, 'passed', TRUE, NULL, 'python3', 60.0, 1, NULL, NULL, NULL),
    ('r1', 's.ipynb', 1, 'skipped', TRUE, 'no R', 'ir', 0.0, 0, NULL, NULL, NULL),
    ('r2', 'a.ipynb', 0, 'failed', TRUE, NULL, 'python3', 0.5, 1, 'exception', 'E: x',
     '[{{"category": "exception", "name": "E", "message": "x", "traceback": "T",
        "signature": "E: x", "cell": 3, "cell_id": null}}]'),
    ('r2', 'b.ipynb', 1, NULL, FALSE, NULL, 'python3', 0.0, 0, NULL, NULL, NULL)
"""
_VERSION_1 = (
    _VERSION_0
    + """;
CREATE TABLE notebooks (
    collection INTEGER NOT NULL REFERENCES collections (id), path TEXT NOT NULL,
    outcome TEXT NOT NULL, run TEXT NOT NULL, started {time} NOT NULL, seconds FLOAT NOT NULL,
    PRIMARY KEY (collection, path)
);
INSERT INTO notebooks VALUES (7, 'a.ipynb', 'failed', 'r2', '{later}', 60.0)
"""
)
_VERSION_2 = (
    _VERSION_1
    + """;
ALTER TABLE results ADD COLUMN memory BIGINT;
ALTER TABLE notebooks ADD COLUMN memory BIGINT
"""
)
_VERSION_3 = (
    _VERSION_2
    + """;
ALTER TABLE results ADD COLUMN collection INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN started {time};
ALTER TABLE results ADD COLUMN change TEXT;
ALTER TABLE runs ADD COLUMN planned INTEGER;
ALTER TABLE runs ADD COLUMN passed INTEGER;
ALTER TABLE runs ADD COLUMN failed INTEGER;
ALTER TABLE runs ADD COLUMN flaky INTEGER;
ALTER TABLE runs ADD COLUMN skipped INTEGER;
DROP INDEX results_by_path;
CREATE INDEX results_by_notebook ON results (collection, path, started);
CREATE INDEX results_by_change ON results (collection, started) WHERE change IS NOT NULL;
UPDATE results SET collection = 7, started = '{start}' WHERE run = 'r1';
UPDATE results SET collection = 7, started = '{later}' WHERE run = 'r2';
UPDATE results SET change = 'failing' WHERE run = 'r2' AND path = 'a.ipynb';
UPDATE runs SET planned = 2, passed = 1, failed = 0, flaky = 0, skipped = 1 WHERE id = 'r1'
"""
)
_VERSION_4 = (
    _VERSION_3
    + """;
CREATE TABLE traces (
  collection INTEGER NOT NULL REFERENCES collections (id), path TEXT NOT NULL, run TEXT NOT NULL,
  started {time} NOT NULL, trace JSON NOT NULL, PRIMARY KEY (collection, path))
"""
)
_STATEMENTS = (_VERSION_0, _VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)


def make(url: str, root: Path, version: int) -> None:
    """Make the database that a version of the schema had, of a collection named `old`.

    Run r1 ended; r2, a day later, was killed before its second notebook.
    """
    engine = sa.create_engine(address(url, root))
    server = engine.dialect.name == "postgresql"
    zone = "+00" if server else ""
    words = {
        "version": version,
        "serial": "SERIAL" if server else "INTEGER",
        "time": "TIMESTAMP WITH TIME ZONE" if server else "DATETIME",
        "start": f"{START:%Y-%m-%d %H:%M:%S.%f}{zone}",
        "later": f"{START + timedelta(days=1):%Y-%m-%d %H:%M:%S.%f}{zone}",
    }
    if not server:
        (root / str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    with engine.begin() as connection:
        for statement in _STATEMENTS[version].format(**words).split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()


def drop(url: str, root: Path) -> None:
    """Remove all tables of a database."""
    engine = sa.create_engine(address(url, root))
    found = sa.MetaData()
    found.reflect(engine)
    found.drop_all(engine)
    engine.dispose()


def shape(url: str, root: Path) -> dict[str, object]:
    """Return what tables a database has, with their columns, keys and indexes."""
    engine = sa.create_engine(address(url, root))
    inspector = sa.inspect(engine)
    found: dict[str, object] = {
        table: (
            sorted(
                (each["name"], type(each["type"]).__name__, each["nullable"])
                for each in inspector.get_columns(table)
            ),
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted(
                (*each["constrained_columns"], each["referred_table"])
                for each in inspector.get_foreign_keys(table)
            ),
            sorted(str(each["name"]) for each in inspector.get_indexes(table)),
        )
        for table in inspector.get_table_names()
    }
    engine.dispose()
    return found
