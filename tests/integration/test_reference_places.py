"""The store and the roots of reference runs: full disks, vanished folders, colleagues, races.

One real run, on this machine, is copied for each test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbformat import v4
from ondisk import REPOSITORY, lacking

from nbpipe.reference import manifest as manifests

if TYPE_CHECKING:
    from collections.abc import Iterator

CELLS = """
import os
from pathlib import Path
scratch = Path(os.environ["NBPIPE_ROOT_SCRATCH"])
(scratch / "sub").mkdir()
(scratch / "sub/zcat.csv").write_text("id,z\\n1,2\\n")
(scratch / "large.bin").write_bytes(bytes(range(256)) * 2000)
(scratch / "latest").symlink_to(scratch / "sub")
(scratch / "last.csv").symlink_to(scratch / "sub/zcat.csv")
Path("qa.csv").write_text("id,x\\n1,2\\n")
shared = Path(os.environ["SHARED"])
(shared / "run.csv").write_text("id,x\\n1,2\\n")
"""
CONFIG = """
[reference.mini]
outputs = ["**/*.csv", "scratch:*.bin", "scratch:latest", "/outside/**"]
roots = {scratch = "$SCRATCH/minitest"}
variables = {SHARED = "$SHARED"}
"""
PATHS = [
    *("outside/run.csv", "qa.csv", "scratch/large.bin", "scratch/last.csv", "scratch/latest"),
    "scratch/sub/zcat.csv",
]


@dataclass(frozen=True)
class Place:
    """A store with a run, and the command line for it."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def run_folder(self) -> Path:
        return max((self.store / "mini/runs").iterdir())

    @property
    def release(self) -> Path:
        return self.store / "mini/releases/1.0/1"

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "NBPIPE_REFERENCE": str(self.store),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder),
            "SCRATCH": str(self.folder / "scratch"),
            "SHARED": str(self.folder / "shared"),
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "nbpipe", "reference", *words],
            cwd=self.folder / "repository",
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == code, f"{words}: {process.returncode}\n{said}"
        assert "internal error" not in said
        return said

    def promote(self, code: int = 0) -> str:
        return self.run("promote", "--release", "1.0", "--reason", "x", code=code)

    def leftovers(self) -> list[Path]:
        """Return what a write that failed would leave: hidden files and folders of the store."""
        return [each for each in self.store.rglob(".*") if "work" not in each.parts]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that has ended and was not collected."""
    made = Place(tmp_path_factory.mktemp("places"))
    for name in ("repository", "scratch", "shared"):
        (made.folder / name).mkdir()
    (made.folder / "shared/older.csv").write_text("id,x\n")
    notebook = v4.new_notebook(cells=[v4.new_code_cell(CELLS)])
    nbformat.write(notebook, made.folder / "repository/mini.ipynb")
    config = CONFIG.replace("/outside/**", f"{made.folder}/shared/**")
    (made.folder / "repository/nbpipe.toml").write_text(config)
    (made.folder / "repository/old.csv").write_text("id\n1\n")
    said = made.run("submit", "mini.ipynb", "--name", "mini", "--release", "1.0")
    assert f"root outside: {made.folder}/shared" in said
    made.run("wait")
    made.run("collect")  # waits for the accounting
    (made.run_folder / "manifest.json").unlink()
    return made


@pytest.fixture
def place(ran: Place, tmp_path: Path) -> Place:
    """A copy of it; the roots are where they were."""
    for name in ("store", "state", "repository"):
        shutil.copytree(ran.folder / name, tmp_path / name, symlinks=True)
    for name in ("scratch", "shared"):
        (tmp_path / name).symlink_to(ran.folder / name)
    return Place(tmp_path)


@pytest.fixture
def collected(place: Place) -> Place:
    place.run("collect")
    return place


def test_products_of_roots_are_collected_promoted_verified_and_exported(place: Place) -> None:
    said = place.run("collect")
    made = manifests.decode(place.run("show").encode(), "show")
    assert [each.path for each in made.outputs] == PATHS
    assert "old.csv" in said.split("the run did not write it: ")[1]
    links = {each.path: (each.kind, each.link, each.error) for each in made.outputs if each.link}
    assert links == {
        "scratch/last.csv": ("csv", "scratch/sub/zcat.csv", None),
        "scratch/latest": ("link", "scratch/sub", None),
    }
    place.promote()
    assert (place.release / "files/scratch/sub/zcat.csv").read_text() == "id,z\n1,2\n"
    assert not (place.release / "files/scratch/last.csv").is_symlink()
    assert "ok " in place.run("verify")
    assert "same" in place.run("compare", "--against", "1.0")
    place.run("export", "mini/1.0", "--to", str(place.folder / "x.zip"), "--creator", "Doe, Jane")
    assert (place.folder / "x.zip").stat().st_size > 1000


def test_a_root_that_vanished_is_no_run_without_products(place: Place) -> None:
    root = place.run_folder / "work/scratch"
    target = root.readlink()
    request = json.loads((place.run_folder / "request.json").read_text())
    request["roots"]["scratch"] = str(place.folder / "gone")
    (place.run_folder / "request.json").write_text(json.dumps(request))
    said = place.run("collect", code=1)
    assert f"root scratch: {place.folder}/gone: folder not found on this host" in said
    assert not (place.run_folder / "manifest.json").exists()
    request["roots"]["scratch"] = str(target)
    (place.run_folder / "request.json").write_text(json.dumps(request))
    place.run("collect")


def test_what_vanished_or_changed_since_is_not_promoted(collected: Place) -> None:
    root = collected.run_folder / "work/scratch"
    target = root.readlink()
    root.unlink()
    assert "is missing: the reference was not made" in collected.promote(code=4)
    shutil.copytree(target, root)
    (root / "sub/zcat.csv").write_text("id,z\n1,3\n")
    assert "has changed since it was collected" in collected.promote(code=4)
    (root / "sub/zcat.csv").write_text("id,z\n1,2\n")
    collected.promote()
    assert collected.leftovers() == []


def test_what_a_killed_promotion_left_goes_when_nobody_can_be_writing_it(collected: Place) -> None:
    releases = collected.store / "mini/releases/1.0"
    old, new = releases / ".1.00c0ffee", releases / ".1.0badcafe"
    for left in (old, new):
        (left / "files").mkdir(parents=True)
        (left / "files").chmod(0o555)  # as far as it got
    os.utime(old, (1_700_000_000, 1_700_000_000))
    collected.promote()
    assert collected.leftovers() == [new]


def test_a_file_that_is_written_while_it_is_read_is_not_promoted(collected: Place) -> None:
    file = collected.run_folder / "manifest.json"
    made = json.loads(file.read_text())
    made["outputs"][1] |= {"sha256": None, "error": "it changed while it was read"}
    file.write_text(json.dumps(made))
    said = collected.promote(code=4)
    assert "qa.csv: it changed while it was read: the reference was not made" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--root", "scratch=/proc/none"), "root scratch: /proc/none/"),
        (("--root", "scratch=$NOT_SET/x"), "the variable NOT_SET is not set"),
        (("--root", "repository"), "is not NAME=VALUE"),
        (("--root", "mini.ipynb=/tmp"), "the collection has a file or folder of that name"),
        (("--outputs", "scrtch:*"), "no root is called 'scrtch'"),
        (("--variable", "A=$(id)"), "is for a shell"),
        (("--variable", "NBPIPE_RUN=x"), "is set by nbpipe"),
        (("--qos", "interactive"), "local: profile local: qos 'interactive'"),
        (("--memory", "1G", "--memory-per-core", "1G"), "exclude each other"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    place: Place, words: tuple[str, ...], said: str
) -> None:
    before = sorted((place.store / "mini/runs").iterdir())
    folders = sorted((place.folder / "scratch/minitest").iterdir())
    wanted = ("submit", "mini.ipynb", "--name", "mini", "--release", "1.1")
    assert said in place.run(*wanted, *words, code=4)
    assert sorted((place.store / "mini/runs").iterdir()) == before
    assert sorted((place.folder / "scratch/minitest").iterdir()) == folders


def test_commands_at_once_do_not_disturb_each_other(place: Place) -> None:
    def at_once(*commands: tuple[str, ...]) -> list[tuple[int, str]]:
        processes = [place.start(*words) for words in commands]
        said = [each.communicate(timeout=300)[0] for each in processes]
        assert "internal error" not in "".join(said)
        return sorted(zip((each.returncode for each in processes), said, strict=True))

    promote = ("promote", "--release", "1.0", "--reason", "x")
    assert [code for code, _ in at_once(("collect",), ("collect",), ("collect",))] == [0, 0, 0]
    first, second, third = at_once(promote, promote, ("collect",))
    assert [first[0], second[0], third[0]] == [0, 0, 4]
    assert "somebody was quicker" in third[1] or "has a reference already" in third[1]
    assert "ok " in place.run("verify")
    submit = ("submit", "mini.ipynb", "--name", "mini", "--release", "1.1")
    assert [code for code, _ in at_once(submit, submit)] == [0, 0]
    assert len([*(place.store / "mini/runs").iterdir()]) == 3
    for run in sorted((place.store / "mini/runs").iterdir())[1:]:
        place.run("wait", run.name)
    assert place.leftovers() == []


@pytest.fixture
def small(collected: Place) -> Iterator[Place]:
    """The same on a disk of its own, of 4 MB."""
    mounted = collected.folder / "small"
    mounted.mkdir()
    options = ("-t", "tmpfs", "-o", "size=4m", "none", str(mounted))
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        lacking("the right to mount a small disk")
    try:
        for name in ("store", "state", "repository"):
            shutil.copytree(collected.folder / name, mounted / name, symlinks=True)
        for name in ("scratch", "shared"):
            (mounted / name).symlink_to((collected.folder / name).resolve())
        yield Place(mounted)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def filled(folder: Path) -> Path:
    """Leave no room on a disk; return the file that takes it."""
    file = folder / "room"
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"0" * 4096)
        except OSError:
            return file


def test_a_full_disk_is_said_and_a_later_try_succeeds(small: Place) -> None:
    submit = ("submit", "mini.ipynb", "--name", "mini", "--release", "1.1")
    room = filled(small.folder)
    before = (small.run_folder / "manifest.json").read_bytes()
    for words in (("collect",), submit):
        assert "No space left on device" in small.run(*words, code=4)
    assert "No space left on device" in small.promote(code=4)
    small.run("status")
    assert (small.run_folder / "manifest.json").read_bytes() == before
    assert small.leftovers() == []
    assert len([*(small.store / "mini/runs").iterdir()]) == 1
    room.unlink()
    small.run("collect")
    small.promote()

    filled(small.folder)
    archive = small.folder / "x.zip"
    page = small.folder / "page.json"
    assert "No space left" in small.run("export", "mini/1.0", "--to", str(archive), code=4)
    assert "No space left" in small.run("compare", "--report", f"json={page}", code=4)
    assert "No space left" in small.run("accept", "--only", "*.csv", "--reason", "x", code=4)
    small.run("compare")
    small.run("verify")
    assert [each for each in (archive, page) if each.exists()] == []
    assert small.leftovers() == []
    room.unlink()
    small.run("export", "mini/1.0", "--to", str(archive))
    small.run("compare", "--report", f"json={page}")
    small.run("accept", "--only", "*.csv", "--reason", "x")


_AS_OTHER = """
import os, sys
os.setgroups([]); os.setgid(1234567); os.setuid(1234567)
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Colleague:
    """A user who has no name here, and may read the store."""

    place: Place
    python: str

    def run(self, *words: str, code: int = 0) -> str:
        paths = [str(REPOSITORY), sysconfig.get_path("purelib")]
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.place.folder / "home")}
        environ |= {"NBPIPE_REFERENCE": str(self.place.store), "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            [sys.executable, "-c", _AS_OTHER, self.python, "-m", "nbpipe", "reference", *words],
            cwd=self.place.folder / "home",
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}"
        assert "internal error" not in done.stdout
        return done.stdout


@pytest.fixture
def colleague(collected: Place) -> Iterator[Colleague]:
    if os.geteuid() != 0:
        lacking("root, who can be any user")
    python = "/usr/bin/python3"
    asked = [python, "-c", "import sys; print(sys.version_info[:2])"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if said != str(sys.version_info[:2]):
        lacking(f"{python} of this version, which another user can run")
    collected.promote()
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as name:
        top = Path(name)
        top.chmod(0o755)
        shutil.copytree(collected.store, top / "store", symlinks=True)
        (top / "home").mkdir()
        os.chown(top / "home", 1234567, 1234567)
        made = Colleague(Place(top), python)
        check = [sys.executable, "-c", _AS_OTHER, python, "-c", "import os; os.listdir('/')"]
        if subprocess.run(check, check=False).returncode:
            lacking("an interpreter that another user can run")
        yield made


def test_a_colleague_who_may_only_read_sees_everything(colleague: Colleague) -> None:
    before = sorted(colleague.place.store.rglob("*"))
    assert "release  mini  1.0" in colleague.run("list")
    for words in (("status",), ("show", "latest"), ("show", "mini/1.0"), ("verify",)):
        colleague.run(*words)
    colleague.run("compare", "--against", "1.0")
    colleague.run("export", "mini/1.0", "--to", "x.zip", "--creator", "Doe, Jane")
    assert (colleague.place.folder / "home/x.zip").stat().st_size > 1000
    said = colleague.run("collect", code=1)
    assert "root scratch: " in said
    assert "cannot be read: Permission denied" in said
    request = json.loads((colleague.place.run_folder / "request.json").read_text())
    request["roots"] = dict.fromkeys(request["roots"], str(colleague.place.folder))
    (colleague.place.run_folder / "request.json").write_text(json.dumps(request))
    changes = (
        ("collect",),
        ("promote", "--release", "2.0", "--reason", "x"),
        ("accept", "--only", "*.csv", "--reason", "x"),
    )
    for words in changes:
        said = colleague.run(*words, code=4)
        assert "Permission denied" in said
        assert "It belongs to root" in said
    assert sorted(colleague.place.store.rglob("*")) == before


def test_what_a_colleague_may_not_read_is_never_taken_for_absent(colleague: Colleague) -> None:
    place = colleague.place
    (place.release / "files").chmod(0o700)
    said = colleague.run("verify", code=1)
    assert "files: cannot be read: this was not verified" in said
    assert "cannot be read: Permission denied" in colleague.run(
        *("export", "mini/1.0", "--to", "x.zip"), code=4
    )
    assert [*(place.folder / "home").glob("*.zip")] == []
    place.run_folder.chmod(0o700)
    said = colleague.run("list")
    assert "release  mini  1.0" in said
    assert "request.json: cannot be read: Permission denied" in said
    place.store.chmod(0o700)
    for words in (("list",), ("verify",), ("show", "latest"), ("compare",)):
        assert "Ask root to let you read it" in colleague.run(*words, code=4)


def test_a_job_that_cannot_write_into_its_root_says_so_before_the_notebook_runs(
    place: Place,
) -> None:
    folder = place.run_folder
    job = json.loads((folder / "job.json").read_text())
    job["roots"]["scratch"] = str(place.folder / "none")
    (folder / "job.json").write_text(json.dumps(job))
    call = [sys.executable, "-m", "nbpipe.batch.job", str(folder)]
    done = subprocess.run(call, cwd=folder, env=place.environ, check=False, capture_output=True)
    answer = json.loads((folder / "result.json").read_text())
    assert done.returncode == answer["exit_code"] == 4
    assert f"root scratch: {place.folder}/none: cannot be written on" in answer["error"]
