"""A history of a million results: how long each page, and `nbpipe history NOTEBOOK`, takes.

    python benchmarks/history/pages.py                     SQLite and, where installed, PostgreSQL
    python benchmarks/history/pages.py --runs 500 --only sqlite

Fills a database of its own below a temporary folder, asks every page of the service in this
process, and prints milliseconds: the median and the worst of the rounds after the first, and what
of the median this process computed (the rest is the database's, or the machine's other work).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from filling import fill

from nbpipe.config.settings import HistorySettings
from nbpipe.history import Archive
from nbpipe.history.engine import address, connect
from webhook.app import create_app
from webhook.pages.door import Door
from webhook.pages.past import Past
from webhook.receiving.deliveries import Deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROUNDS = 15
NOTEBOOK = "topic3/Notebook 003.ipynb"


@contextmanager
def servers(only: str | None, folder: Path) -> Iterator[dict[str, str]]:
    """Give the URL of each database."""
    urls = {} if only == "postgresql" else {"sqlite": f"sqlite:///{folder}/history.sqlite"}
    if only == "sqlite" or not list(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        yield urls
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from pasts import postgresql  # noqa: PLC0415

    with postgresql() as url:
        yield urls | {"postgresql": url}


def pages(name: str, run: str) -> list[str]:
    """Return the address of every page that reads the history."""
    base, path = f"/collections/{name}", NOTEBOOK.replace(" ", "%20").replace("/", "%2F")
    return [
        "/collections",
        base,
        f"{base}?page=1",
        f"{base}?q=notebook%2009",
        f"{base}?only=failed&sort=-seconds",
        f"{base}/runs",
        f"{base}/runs?only=failed",
        f"{base}/runs/latest?only=failed&sort=-seconds",
        f"{base}/runs?before={run}",
        f"{base}/runs/latest",
        f"{base}/runs/{run}",
        f"{base}/runs/{run}/notebook?path={path}",
        f"{base}/notebook?path={path}",
        f"{base}/notebook.json?path={path}",
        f"{base}/badge.svg",
        f"{base}/badge.svg?notebook={path}",
        f"{base}/feed.atom",
        "/metrics",
    ]


def measure(url: str, folder: Path) -> None:
    """Print the times of the pages on one database."""
    archive = Archive(HistorySettings(url=url), folder)
    with Deliveries(folder / "deliveries.sqlite") as deliveries:
        client = create_app(
            [], deliveries, past=Past(archive=archive), door=Door(None, now=time.time)
        ).test_client()
        old = client.get("/collections/bench/runs.json").get_json()["runs"][-1]["run"]["id"]
        for page in pages("bench", old):
            times, own = [], []
            for _ in range(ROUNDS + 1):
                start, mine = time.perf_counter(), time.process_time()
                response = client.get(page)
                times.append((time.perf_counter() - start) * 1_000)
                own.append((time.process_time() - mine) * 1_000)
                assert response.status_code == 200, (page, response.status_code)  # noqa: PLR2004, S101
            size = len(response.get_data())
            rest = times[1:]
            print(
                f"{median(rest):8.1f} {max(rest):8.1f} {median(own[1:]):8.1f} {times[0]:8.1f}"
                f" {size:9,}  {page}"
            )
    archive.close()


def command(url: str, folder: Path) -> None:
    """Print the time of the command, its start included."""
    (folder / "nbpipe.toml").write_text(f'[history]\nurl = "{url}"\ncollection = "bench"\n')
    times, own = [], []
    for _ in range(5):
        start, before = time.perf_counter(), os.times()
        subprocess.run(
            [sys.executable, "-m", "nbpipe", "history", NOTEBOOK],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        times.append((time.perf_counter() - start) * 1_000)
        after = os.times()
        used = after.children_user + after.children_system
        own.append((used - before.children_user - before.children_system) * 1_000)
    print(
        f"{median(times):8.1f} {max(times):8.1f} {median(own):8.1f} {times[0]:8.1f} {'':9}"
        "  nbpipe history NOTEBOOK (a process of its own)"
    )


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--notebooks", type=int, default=100)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nbpipe-pages-") as text:
        folder = Path(text)
        with servers(given.only, folder) as urls:
            for name, url in urls.items():
                start = time.perf_counter()
                engine = connect(address(url, folder), create=True)
                fill(engine, "name:bench", runs=given.runs, notebooks=given.notebooks)
                engine.dispose()
                took = time.perf_counter() - start
                total = given.runs * given.notebooks
                print(f"\n{name}: {given.runs:,} runs, {total:,} results, filled in {took:.0f} s")
                print(
                    f"{'median':>8} {'worst':>8} {'own':>8} {'first':>8} {'bytes':>9}  milliseconds"
                )
                measure(url, folder)
                command(url, folder)


if __name__ == "__main__":
    main()
