"""`nbpipe test --cluster` on Dask: the same verdicts; a killed worker loses nothing unseen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from ondisk import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ondisk import Collection

try:
    import distributed
except ImportError:
    distributed = None


@pytest.fixture(autouse=True)
def dask() -> None:
    if distributed is None:
        lacking("Dask distributed")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Start a scheduler and two workers of one thread, as somebody's own cluster."""
    file = tmp_path / "scheduler.json"
    processes = [_start("dask_scheduler", "--port", "0", "--scheduler-file", str(file))]
    until(file.exists, "the scheduler's file")
    worker = ("dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard")
    processes += [_start(*worker), _start(*worker)]
    with distributed.Client(scheduler_file=str(file)) as client:
        client.wait_for_workers(2, timeout=120)
        yield client.scheduler.address
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(timeout=60)


def _start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def until(condition: Any, what: str) -> None:  # noqa: ANN401
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.1)


def outcomes(report: dict[str, Any] | None) -> dict[str, str]:
    assert report is not None
    return {each["path"]: each["outcome"] for each in report["notebooks"]}


def verdicts(report: dict[str, Any] | None) -> dict[str, Any]:
    """Return what both reports must say, by path."""
    assert report is not None
    kept = ("outcome", "kernel", "cells", "reason", "attempts", "notes")
    return {
        each["path"]: [each[key] for key in kept] + [(each["failure"] or {}).get("signature")]
        for each in report["notebooks"]
    }


def test_forty_notebooks_on_a_cluster_of_this_machine(collection: Collection) -> None:
    for number in range(38):
        collection.notebook(f"n{number}.ipynb", f"print({number})")
    collection.notebook("bad.ipynb", "1/0")
    collection.notebook("missing.ipynb", "import nothere")
    here = collection.test("-n", "2")
    collection.output_dir = collection.output_dir.with_name("away")
    away = collection.test("-n", "2", "--cluster", "dask")
    assert (here.code, away.code) == (1, 1), away.err
    assert verdicts(away.report) == verdicts(here.report)
    assert len(verdicts(here.report)) == 40


def test_a_killed_worker_neither_loses_a_notebook_nor_runs_one_twice_unseen(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    starts.mkdir()
    for number in range(4):
        collection.notebook(
            f"n{number}.ipynb",
            "import os, pathlib, time, uuid\n"
            f"pathlib.Path({str(starts)!r}, 'n{number}-' + str(uuid.uuid4())).touch()\n"
            f"deadly = pathlib.Path({str(tmp_path)!r}, 'deadly')",
        )
    collection.notebook(
        "a_deadly.ipynb",
        f"import os, pathlib, time\ndeadly = pathlib.Path({str(tmp_path)!r}, 'deadly')\n"
        "first = not deadly.exists()\ndeadly.write_text(str(os.getpid()))\n"
        "if first: time.sleep(600)",
    )
    process = subprocess.Popen(
        collection.command("--cluster", address),
        cwd=collection.root,
        env=collection.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadly = tmp_path / "deadly"
    until(lambda: deadly.exists() and deadly.read_text(), "the notebook that is killed")
    ours = next(
        each
        for each in psutil.Process(int(deadly.read_text())).parents()
        if "nbpipe.cluster.worker" in each.cmdline()
    )
    dask_worker = ours.parent()
    assert dask_worker is not None
    os.kill(dask_worker.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    ended = collection.ended(process.returncode, "", err)
    assert ended.code == 0, err
    assert set(outcomes(ended.report).values()) == {"passed"}
    for number in range(4):
        assert len(list(starts.glob(f"n{number}-*"))) == 1
    (note,) = ended["a_deadly.ipynb"]["notes"]
    assert note.startswith("run again: its worker was lost (")


def test_an_interrupt_stops_the_kernels_on_the_cluster(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    collection.notebook(
        "slow.ipynb",
        f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(600)",
    )
    process = subprocess.Popen(
        collection.command("--cluster", address),
        cwd=collection.root,
        env=collection.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: mark.exists() and mark.read_text(), "the kernel")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 2
    until(lambda: not psutil.pid_exists(int(mark.read_text())), "the kernel's end")
