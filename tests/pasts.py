"""What tests of the history share: results made by hand, and a server of PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ondisk import lacking

from nbpipe.config.settings import HistorySettings
from nbpipe.history import Archive, PastRun, open_history
from nbpipe.model import Attempt, Category, Failure, Outcome, Plan, Result, Task, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.history import History
    from nbpipe.history.page_queries import Look

START = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
FAILURE = Failure(
    category=Category.MISSING_PACKAGE,
    name="ModuleNotFoundError",
    message="No module named 'x'",
    traceback="Traceback",
    signature="ModuleNotFoundError: No module named 'x'",
    cell=3,
    cell_id="c3",
    source="import x",
)


def task(path: str, **fields: object) -> Task:
    return Task(path=path, file=Path("/c") / path, why="", kernel="python3", **fields)  # type: ignore[arg-type]


def plan(*paths: str) -> Plan:
    return Plan(root=Path("/c"), tasks=tuple(map(task, paths)), excluded=())


def past_run(name: str, *, days: float = 0) -> PastRun:
    """Return a run that began so many days after START."""
    return PastRun(
        id=name,
        started=START + timedelta(days=days),
        root="/c",
        output_dir="/out",
        commit="c0ffee",
        host="here",
        version="0.1.0",
        python="3.11.7",
        jobs=2,
    )


def result(path: str, outcome: str, seconds: float = 1.0, **fields: object) -> Result:
    kind = Outcome(outcome)
    failures = (FAILURE,) if kind in {Outcome.FAILED, Outcome.FLAKY} else ()
    given = {"kernel": "python3", "attempts": 1, "failures": failures} | fields
    return Result(task=task(path), outcome=kind, seconds=seconds, **given)  # type: ignore[arg-type]


def retried(path: str, outcome: str) -> Result:
    """Return the result of a notebook that failed first and had a second attempt."""
    last = Outcome.PASSED if outcome == "flaky" else Outcome.FAILED
    stem = path.removesuffix(".ipynb")
    first = Attempt(
        number=1,
        outcome=Outcome.FAILED,
        started=START,
        seconds=4.0,
        failures=(FAILURE,),
        executed=path,
        log=f"{stem}.log",
    )
    second = Attempt(
        number=2,
        outcome=last,
        started=START + timedelta(seconds=9),
        seconds=2.0,
        failures=(FAILURE,) if last is Outcome.FAILED else (),
        executed=f"{stem}.attempt-2.ipynb",
        log=f"{stem}.attempt-2.log",
        memory=300 * 2**20,
    )
    named = {"executed": second.executed, "log": second.log, "started": START}
    return result(path, outcome, 6.0, attempts=2, tries=(first, second), **named)


def trace(**fields: object) -> Trace:
    """Return what a notebook depended on that read nothing but itself."""
    given = {"source": "s", "kernel": "python3", "settings": "x", "inputs": {}} | fields
    return Trace(**given)  # type: ignore[arg-type]


def record(history: History, run: PastRun, *results: Result, planned: tuple[str, ...] = ()) -> None:
    """Record a whole run; `planned` never get a result."""
    paths = [*(each.path for each in results), *planned]
    history.begin(run, [(path, "python3") for path in paths])
    history.add(run.id, results)
    history.end(run.id, seconds=9.5, interrupted=False)


def opened(url: str, root: Path, *, collection: str | None = None, create: bool = True) -> History:
    return open_history(HistorySettings(url=url, collection=collection), root, create=create)


@contextmanager
def looked(url: str, root: Path) -> Iterator[Look]:
    """Give what pages ask of a database."""
    archive = Archive(HistorySettings(url=url), root)
    try:
        with archive.look() as look:
            yield look
    finally:
        archive.close()


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a server of our own on a free port of this machine; give the URL of its database."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    found = str(binaries[-1] / "pg_ctl") if binaries else shutil.which("pg_ctl")
    as_root = os.geteuid() == 0  # whom PostgreSQL refuses to serve
    if found is None or (as_root and shutil.which("runuser") is None):
        lacking("PostgreSQL (initdb, pg_ctl)")
    assert found is not None
    tools = Path(found).parent
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as text:
        folder = Path(text)
        if as_root:
            shutil.chown(folder, "postgres", "postgres")
        data, password = folder / "data", folder / "password"
        password.write_text("secret word")
        password.chmod(0o644)

        def run(*command: str | Path) -> None:
            # its output is no pipe of ours: the server would hold it open for ever
            with (folder / "log").open("ab") as log:
                subprocess.run(
                    [*(["runuser", "-u", "postgres", "--"] if as_root else []), *map(str, command)],
                    cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                    timeout=120,
                )  # fmt: skip

        run(
            *(tools / "initdb", "-D", data, "-U", "tester", "--no-sync", "-E", "UTF8"),
            *("--locale=C", "-A", "scram-sha-256", f"--pwfile={password}"),
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
        run(tools / "pg_ctl", "-D", data, "-w", "-o", options, "start")
        try:
            yield f"postgresql://tester:secret%20word@127.0.0.1:{port}/postgres"
        finally:
            run(tools / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
