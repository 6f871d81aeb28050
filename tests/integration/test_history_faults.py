"""What becomes of a run when its history breaks in the middle, and of a history when a run does."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import sqlalchemy as sa
from ondisk import lacking
from pasts import opened, postgresql
from running import running, until

from nbpipe.history.engine import address

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection

SQLITE = "sqlite:///history/h.sqlite"
WAIT = (
    "import pathlib, time\npathlib.Path('flag').touch()\n"
    "while not pathlib.Path('go').exists():\n    time.sleep(0.05)"
)


def configure(collection: Collection, url: str) -> None:
    (collection.root / "nbpipe.toml").write_text(f'[history]\nurl = "{url}"\n')


def test_kill_9_loses_only_the_notebook_in_flight(collection: Collection) -> None:
    configure(collection, SQLITE)
    for name in "abcd":
        collection.notebook(f"{name}.ipynb", "1")
    collection.notebook("e.ipynb", WAIT)
    collection.notebook("f.ipynb", "1")
    with running(collection, "-n", "1") as run:
        run.wait_for("flag")
        run.process.kill()
    with opened(SQLITE, collection.root, create=False) as past:
        done = [each.path for each in past.results(past.run("latest")) if each.complete]
    assert done == ["a.ipynb", "b.ipynb", "c.ipynb", "d.ipynb"]


def test_a_server_that_goes_in_the_middle_is_one_warning(collection: Collection) -> None:
    collection.notebook("a.ipynb", "1")
    collection.notebook("b.ipynb", WAIT)
    collection.notebook("c.ipynb", "1")
    with postgresql() as server:
        admin = sa.create_engine(address(server, collection.root), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE gone")
            url = server.replace("/postgres", "/gone")
            configure(collection, url)
            with running(collection, "-n", "1") as run:
                run.wait_for("flag")
                until(lambda: recorded(url, collection.root) == 1, "the first result is written")
                connection.exec_driver_sql("ALTER DATABASE gone ALLOW_CONNECTIONS false")
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'gone'"
                )
                (collection.root / "go").touch()
                ended = run.ended()
        admin.dispose()
    assert ended.code == 0, ended.out
    assert ended.out.count("nbpipe: warning: the history: postgresql://") == 1
    assert "3 passed" in ended.out
    assert "secret" not in ended.out


def recorded(url: str, root: Path) -> int:
    """Return how many results there are."""
    with opened(url, root) as history:
        return len(history.last())


def test_a_full_disk_is_one_warning(collection: Collection) -> None:
    unshare = shutil.which("unshare")
    inside = [str(unshare), "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if unshare is None or subprocess.run([*inside, "true"], check=False).returncode:
        lacking("unshare --mount (a private place to mount a small disk)")
    configure(collection, SQLITE)
    for number in range(3):
        collection.notebook(f"{number}.ipynb", "1")
    (collection.root / "history").mkdir()
    mount = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
    done = subprocess.run(
        [*inside, "sh", "-c", mount, str(collection.root / "history"), *collection.command()],
        cwd=collection.root,
        env=collection.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nbpipe: warning: the history: ") == 1
    assert "disk is full" in done.stderr
    assert "3 passed" in done.stdout
