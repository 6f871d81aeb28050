"""A machine with little to give: every notebook has a result, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from otherusers import USER, stranger
from running import traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ondisk import Collection, Ended
    from running import Traces

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are set as on Linux")

WAYS = pytest.mark.parametrize("way", ["--fork", "--no-fork"])

LIMITED = (
    "import os, resource, sys\n{limit}\nos.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@pytest.fixture
def left(collection: Collection) -> Iterator[Traces]:
    """Return what runs of this collection leave behind."""
    with traces(collection) as made:
        yield made


def limited(collection: Collection, limit: str, *arguments: str) -> Ended:
    """Run `nbpipe test` where this statement has set a limit."""
    command = collection.command(*arguments)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit=limit), *command[1:]],
        cwd=collection.root,
        env=collection.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return collection.ended(done.returncode, done.stdout, done.stderr)


def files(soft: int, hard: str = "resource.getrlimit(resource.RLIMIT_NOFILE)[1]") -> str:
    """Return the statement that limits open files."""
    return f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))"


@WAYS
def test_a_low_soft_limit_of_open_files_is_raised_and_kernels_keep_it(
    collection: Collection, left: Traces, way: str
) -> None:
    meet = "import resource, time\nprint(resource.getrlimit(resource.RLIMIT_NOFILE))\ntime.sleep(1)"
    for number in range(12):
        collection.notebook(f"{number}.ipynb", meet)
    ended = limited(collection, files(128), "-n", "10", way)
    assert ended.code == 0, ended.out + ended.err
    assert "warning" not in ended.err
    seen = {ended.executed(f"{number}.ipynb").cells[0].outputs[0]["text"] for number in range(12)}
    assert len(seen) == 1
    assert seen.pop().startswith("(128, ")
    assert (left.processes(), left.files()) == ([], [])


@WAYS
def test_where_the_hard_limit_is_low_fewer_run_at_once(
    collection: Collection, left: Traces, way: str
) -> None:
    for number in range(12):
        collection.notebook(f"{number}.ipynb", "1")
    ended = limited(collection, files(160, "160"), "-n", "12", way)
    assert ended.code == 0, ended.out + ended.err
    assert "notebooks at once instead of 12: the hard limit of open files" in ended.err
    assert ended.report is not None
    assert ended.report["run"]["jobs"] < 12
    assert (left.processes(), left.files()) == ([], [])


@WAYS
@pytest.mark.parametrize("most", [24, 40])
def test_with_too_few_files_for_one_notebook_all_have_a_result(
    collection: Collection, left: Traces, way: str, most: int
) -> None:
    text = "[test]\nstartup-timeout = 5\n"  # a kernel that lacks files may be silent
    (collection.root / "nbpipe.toml").write_text(text, encoding="utf-8")
    for number in range(3):
        collection.notebook(f"{number}.ipynb", "1")
    ended = limited(collection, files(most, str(most)), "-n", "4", way)
    assert ended.code in {0, 1, 3, 4}
    assert "Traceback" not in ended.err, ended.err
    if ended.report is None:  # not enough for the report itself
        assert "Too many open files" in ended.err
    else:
        assert len(ended.report["notebooks"]) == 3
        failures = [each["failure"] for each in ended.report["notebooks"] if each["failure"]]
        assert not [each for each in failures if "mistake of nbpipe" in each["message"]]
    assert (left.processes(), left.files()) == ([], [])


def test_a_folder_for_temporary_files_that_fills_up_is_told_by_the_notebooks_after_that(
    collection: Collection, need: Callable[[bool, str], None]
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        options = ["-t", "tmpfs", "-o", "size=256k,nr_inodes=1000", "tmpfs", folder]
        mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
        need(mounted.returncode == 0, "the right to mount a file system")
        try:
            collection.environ["TMPDIR"] = folder
            fill = (  # its own page is not given back at its end
                "import ipykernel, os\nos.unlink(ipykernel.get_connection_file())\n"
                f"with open('{folder}/full', 'wb', buffering=0) as stream:\n"
                "    while stream.write(bytes(1024)): pass"
            )
            collection.notebook("a.ipynb", fill)
            for name in ("b", "c"):
                collection.notebook(f"{name}.ipynb", "1")
            ended = collection.test("-n", "1", "--no-fork")
            assert ended.code == 1
            for name in ("b", "c"):
                failure = ended[f"{name}.ipynb"]["failure"]
                assert failure["category"] == "kernel-died"
                assert "No space left on device" in failure["message"]
            assert [path.name for path in Path(folder).iterdir()] == ["full"]
        finally:
            subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("length", [60, 140])
def test_a_long_path_for_temporary_files_is_no_hindrance(
    collection: Collection, tmp_path: Path, length: int
) -> None:
    folder = tmp_path / ("t" * length)
    folder.mkdir()
    collection.environ["TMPDIR"] = str(folder)
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", "1")
    assert collection.test().code == 0
    assert [*folder.iterdir()] == []


def test_a_missing_folder_for_temporary_files_is_replaced_by_the_system_s(
    collection: Collection, tmp_path: Path
) -> None:
    collection.environ["TMPDIR"] = str(tmp_path / "missing")
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", "1")
    assert collection.test().code == 0
    assert not (tmp_path / "missing").exists()


@WAYS
@pytest.mark.parametrize("processes", [3, 8, 16, 30])
def test_with_too_few_processes_all_have_a_result(way: str, processes: int) -> None:
    with stranger() as user:
        text = "[test]\nstartup-timeout = 10\n"  # a kernel that lacks threads may be silent
        (user.collection.root / "nbpipe.toml").write_text(text, encoding="utf-8")
        subprocess.run(["git", "init", "-q"], cwd=user.collection.root, user=USER, check=True)
        for number in range(3):
            user.collection.notebook(f"{number}.ipynb", "1")
        ended = user.test("-n", "3", way, processes=processes)
        assert ended.code in {0, 1}, ended.err
        assert "Traceback" not in ended.err, ended.err
        assert ended.report is not None
        assert len(ended.report["notebooks"]) == 3
        failures = [each["failure"] for each in ended.report["notebooks"] if each["failure"]]
        assert not [each for each in failures if "mistake of nbpipe" in each["message"]]
        assert not [*user.temporary.glob("nbpipe-????????")]
