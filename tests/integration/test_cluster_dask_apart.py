"""Dask clusters of others: TLS, no shared files, another nbpipe, a client that was killed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from clusters import free_ports, listening, until
from ondisk import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ondisk import Collection

try:
    import distributed
except ImportError:
    distributed = None

APART = 'mount -t tmpfs none "$0" && exec "$@"'
"""Shell: run a program that does not see what is in a folder; nobody else is concerned."""


class Dask:
    """A scheduler and its workers."""

    def __init__(self, *options: str, protocol: str = "tcp") -> None:
        (port,) = free_ports(1)
        self.address = f"{protocol}://127.0.0.1:{port}"
        self._options = options
        self._processes = [
            self._start("dask_scheduler", "--host", f"{protocol}://127.0.0.1", "--port", str(port))
        ]
        until(lambda: listening(port), "the scheduler")

    def worker(self, *more: str, before: tuple[str, ...] = (), threads: int = 1) -> None:
        """Start a worker."""
        words = (self.address, "--nthreads", str(threads), "--no-dashboard", "--no-nanny", *more)
        self._processes.append(self._start("dask_worker", *words, before=before))

    def _start(
        self, module: str, *arguments: str, before: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", f"distributed.cli.{module}", *arguments, *self._options)
        return subprocess.Popen(
            [*before, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def end(self) -> None:
        """End all of it."""
        for process in reversed(self._processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()
            process.kill()
            process.wait(timeout=60)


@pytest.fixture
def dask() -> Iterator[Dask]:
    """Return a scheduler without workers."""
    if distributed is None:
        lacking("Dask distributed")
    cluster = Dask()
    yield cluster
    cluster.end()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Return the beginning of a command that runs without the files of this test."""
    before = ("unshare", "--mount", "sh", "-c", APART)
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*before, str(tmp_path), "true"], capture_output=True, check=False
        ).returncode
    ):
        lacking("the right to mount in a namespace of its own (unshare --mount)")
    with tempfile.TemporaryDirectory() as folder:
        yield (
            *before,
            str(tmp_path),
            *("env", f"TMPDIR={folder}", f"DASK_TEMPORARY_DIRECTORY={folder}"),
        )


def test_workers_without_the_file_system_get_notebooks_and_data_by_dask(
    collection: Collection, dask: Dask, apart: tuple[str, ...]
) -> None:
    dask.worker(before=apart, threads=2)
    (collection.root / "sub").mkdir()
    (collection.root / "sub" / "data.txt").write_text("42")
    for number in range(4):
        collection.notebook(f"sub/n{number}.ipynb", "print(open('data.txt').read())")
    collection.notebook("sub/bad.ipynb", "1/0")
    collection.notebook("where.ipynb", "import os; print(os.getcwd())")
    ended = collection.test("--cluster", dask.address, "-n", "2")
    assert ended.code == 1, ended.err
    assert ended.report is not None
    assert {each["path"]: each["outcome"] for each in ended.report["notebooks"]} == {
        **{f"sub/n{number}.ipynb": "passed" for number in range(4)},
        "sub/bad.ipynb": "failed",
        "where.ipynb": "passed",
    }
    assert ended.executed("sub/n3.ipynb").cells[0].outputs[0].text == "42\n"
    assert str(collection.root) not in ended.executed("where.ipynb").cells[0].outputs[0].text
    assert "ZeroDivisionError" in (collection.output_dir / "sub" / "bad.log").read_text()
    assert list(collection.output_dir.glob(".*cluster*")) == []
    (folder,) = (word.partition("=")[2] for word in apart if word.startswith("TMPDIR="))
    until(lambda: not list(Path(folder).rglob("nbpipe-*")), "the worker's files being gone")


def test_an_interrupt_reaches_kernels_that_dask_alone_reaches(
    collection: Collection, dask: Dask, apart: tuple[str, ...]
) -> None:
    dask.worker(before=apart)
    (port,) = free_ports(1)
    collection.notebook(
        "slow.ipynb",
        f"import socket, time\ns = socket.create_server(('127.0.0.1', {port}))\ntime.sleep(600)",
    )
    collection.notebook("z.ipynb", "1")
    client = _client(collection, dask.address)
    until(lambda: listening(port), "the kernel")
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=120)
    ended = collection.ended(client.returncode, "", err)
    assert ended.code == 2, err
    assert ended.report is not None
    assert {each["outcome"] for each in ended.report["notebooks"]} == {"skipped"}
    until(lambda: not listening(port), "the kernel's end")


def test_what_cannot_be_sent_to_workers_apart_is_refused_before_anything_runs(
    collection: Collection, dask: Dask, apart: tuple[str, ...], tmp_path: Path
) -> None:
    dask.worker(before=apart)
    outside = tmp_path / "outside.ipynb"
    shutil.copy(collection.notebook("a.ipynb", "1"), outside)
    ended = collection.test("--cluster", dask.address, str(outside))
    assert ended.code == 4
    assert f"{outside}: lies outside of {collection.root}" in ended.err


@pytest.mark.parametrize(
    ("preload", "told"),
    [
        (
            "import nbpipe._version\nnbpipe._version.__version__ = '0.0.9'\n",
            "has nbpipe 0.0.9 in ",
        ),
        ("import sys\nsys.modules['nbpipe'] = None\n", "has no usable nbpipe in "),
    ],
)
def test_a_worker_with_another_nbpipe_is_refused_before_anything_runs(
    collection: Collection, dask: Dask, tmp_path: Path, preload: str, told: str
) -> None:
    file = tmp_path / "preload.py"
    file.write_text(preload)
    dask.worker("--preload", str(file))
    collection.notebook("a.ipynb", "1")
    ended = collection.test("--cluster", dask.address)
    assert ended.code == 4
    assert told in ended.err
    assert "the worker tcp://127.0.0.1:" in ended.err
    assert not collection.report_path.exists()


def test_a_scheduler_with_tls_is_reached_by_dasks_own_configuration(
    collection: Collection, tmp_path: Path
) -> None:
    if distributed is None:
        lacking("Dask distributed")
    files = _certificates(tmp_path)
    options = [f"--tls-{name}={files[key]}" for name, key in
               (("ca-file", "ca"), ("cert", "cert"), ("key", "key"))]  # fmt: skip
    cluster = Dask(*options, protocol="tls")
    try:
        cluster.worker()
        collection.notebook("a.ipynb", "print(1)")
        refused = collection.test("--cluster", cluster.address)
        assert refused.code == 4
        assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in refused.err
        collection.environ = {
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": files["ca"],
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": files["cert"],
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": files["key"],
        }
        assert collection.test("--cluster", cluster.address).code == 0
    finally:
        cluster.end()


def _certificates(folder: Path) -> dict[str, str]:
    """Make a key and a certificate that is its own authority."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    request = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=dask")
    subprocess.run(
        ["openssl", *request, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    return {"ca": str(cert), "cert": str(cert), "key": str(key)}


def test_a_killed_clients_workers_on_dask_are_followed_and_nothing_runs_twice(
    collection: Collection, dask: Dask, tmp_path: Path
) -> None:
    dask.worker()
    starts = tmp_path / "starts"
    starts.mkdir()
    for name in "abc":
        wait = f"while not pathlib.Path({str(starts)!r}, 'go').exists(): time.sleep(0.05)"
        collection.notebook(
            f"{name}.ipynb",
            "import pathlib, time, uuid\n"
            f"pathlib.Path({str(starts)!r}, '{name}-' + uuid.uuid4().hex).touch()\n"
            f"{wait if name == 'b' else ''}",
        )
    first = _client(collection, dask.address)
    until(lambda: list(starts.glob("b-*")), "the start of b")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    collection.output_dir = collection.output_dir.with_name("again")
    second = _client(collection, dask.address, "--resume")
    until(lambda: list(collection.output_dir.glob(".cluster-*")), "the second client")
    (starts / "go").touch()
    _, err = second.communicate(timeout=300)
    ended = collection.ended(second.returncode, "", err)
    assert ended.code == 0, err
    assert sorted(each.name[0] for each in starts.glob("*-*")) == ["a", "b", "c"]
    assert any("taken up by --resume" in note for note in ended["b.ipynb"]["notes"])


def _client(collection: Collection, address: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        collection.command("--cluster", address, *options),
        cwd=collection.root,
        env=collection.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
