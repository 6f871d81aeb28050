"""getlatest as real users run it: the installed wheel, read-only mirrors, kill -9, full disks."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.linux_users import Site, User, require
from tests.mirrors import HandMadeMirror, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ("tests.integration.linux_users",)

FILES = {"01_Intro/a.ipynb": "first", "run.sh": "#!/bin/sh\n", "README.md": "read", ".dot": "d"}


@pytest.fixture
def mirror(site: Site) -> HandMadeMirror:
    """A mirror that appears in every home."""
    made = site.mirror
    made.publish("aaa", FILES, executable=("run.sh",))
    for user in site.users:
        (user.home / "notebooks-latest").symlink_to(made.path / "current")
    return made


def getlatest(
    python: Path, user: User, *words: str | Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    script = python.parent / "getlatest"
    command = [script] if script.exists() else [python, "-m", "nbpipe.cli.getlatest"]
    return user.run(*command, *words, **environ)


def test_every_user_gets_a_writable_copy_without_any_setting(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    for user in site.users:
        done = getlatest(user_python, user)
        assert (done.returncode, done.stderr) == (0, "")
        copy = user.home / "notebooks"
        assert tree(copy) == FILES
        for path in copy.rglob("*"):
            assert path.stat().st_uid == user.uid
        written = user.run(
            "sh", "-c", "echo more >> notebooks/01_Intro/a.ipynb; rm notebooks/run.sh"
        )
        assert (written.returncode, written.stderr) == (0, "")


def test_an_update_keeps_an_edited_notebook(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    user = site.users[0]
    getlatest(user_python, user)
    user.run("sh", "-c", "echo mine > notebooks/01_Intro/a.ipynb")
    mirror.publish("bbb", {**FILES, "01_Intro/a.ipynb": "second", "README.md": "read more"})
    done = getlatest(user_python, user, "--json")
    table = json.loads(done.stdout)
    assert (done.returncode, table["updated"]) == (0, ["README.md"])
    assert table["beside"] == [{"path": "01_Intro/a.ipynb", "as": "01_Intro/a__bbb0000.ipynb"}]
    copy = user.home / "notebooks"
    assert (copy / "01_Intro/a.ipynb").read_text() == "mine\n"
    assert (copy / "01_Intro/a__bbb0000.ipynb").read_text() == "second"


def test_a_read_only_folder_of_an_old_copy_is_told_and_the_rest_goes_on(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    user = site.users[0]
    user.run("cp", "-r", "notebooks-latest/.", "notebooks")
    assert user.run("touch", "notebooks/new").returncode != 0
    assert getlatest(user_python, user).returncode == 1
    user.run("chmod", "u+w", "notebooks")
    assert getlatest(user_python, user).returncode == 0
    mirror.publish("bbb", {**FILES, "01_Intro/a.ipynb": "second", "README.md": "more"})
    done = getlatest(user_python, user, "--json")
    table = json.loads(done.stdout)
    assert (done.returncode, table["updated"]) == (1, ["README.md"])
    reason = "permission denied; `chmod -R u+w` on its folder helps"
    assert table["problems"] == [{"path": "01_Intro/a.ipynb", "reason": reason}]
    again = json.loads(getlatest(user_python, user, "--json").stdout)
    assert (again["problems"], again["notes"]) == (table["problems"], [])
    own = user.home / "notebooks/.nbpipe"
    assert not [*own.glob("kept-*"), *own.glob("incoming/*")]


def test_a_folder_of_another_user_is_told(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    ann, bob = site.users[:2]
    ann.home.chmod(0o755)
    done = getlatest(user_python, bob, ann.home / "notebooks")
    assert done.returncode == 1
    assert "cannot be written: permission denied" in done.stderr
    assert sorted(path.name for path in ann.home.iterdir()) == ["notebooks-latest"]


def test_a_mirror_that_may_not_be_read_is_told(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    (mirror.path / "current/README.md").chmod(0o400)
    done = getlatest(user_python, site.users[0])
    assert done.returncode == 1
    assert "README.md: cannot be read: Permission denied" in done.stderr
    assert sorted(p.name for p in site.users[0].home.iterdir()) == ["notebooks-latest"]


def test_a_mirror_that_may_not_be_looked_at_is_told(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    mirror.path.chmod(0o700)
    done = getlatest(user_python, site.users[0])
    assert done.returncode == 1
    assert "notebooks-latest: cannot be looked at: Permission denied" in done.stderr


def test_it_works_through_a_read_only_mount(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    done = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    require("mounting needs CAP_SYS_ADMIN", met=done.returncode == 0)
    from nbpipe.cli.space import command  # noqa: PLC0415  (root's part of this test)

    for user in site.users:
        (user.home / "notebooks-latest").unlink()
    config = str(site.configuration("bind"))
    assert command.main(["sync", "--config", config], standalone_mode=False) == 0
    assert getlatest(user_python, site.users[0]).returncode == 0
    assert tree(site.users[0].home / "notebooks") == FILES


def test_it_starts_in_a_blink(site: Site, mirror: HandMadeMirror, user_python: Path) -> None:
    """No clock: what takes time is what is imported."""
    done = site.users[0].run(
        user_python, "-X", "importtime", "-m", "nbpipe.cli.getlatest", "--help"
    )
    names = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not names & {"rich", "msgspec", "asyncio", "nbformat", "git", "importlib_metadata"}


def patience(python: Path, user: User) -> float:
    """Return how many seconds a whole getlatest takes here; it leaves no copy."""
    started = time.monotonic()
    assert getlatest(python, user).returncode == 0
    taken = time.monotonic() - started
    shutil.rmtree(user.home / "notebooks")
    return taken


def killed_after(seconds: float, python: Path, user: User, *arguments: str) -> bool:
    """Run getlatest as a user; return whether it had to be killed after so long."""
    running = subprocess.Popen(
        [str(python), "-m", "nbpipe.cli.getlatest", *arguments],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd=user.home,
        env={"HOME": str(user.home), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        running.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGKILL)
        running.wait()
        return True
    return False


def test_killed_at_any_point_nothing_is_lost_and_the_next_run_goes_on(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    """kill -9 at random moments, while releases come and the user edits; the seed is printed."""
    seed = int(os.environ.get("NBPIPE_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}: NBPIPE_SEED={seed} runs it again")  # noqa: T201
    chance = random.Random(seed)  # noqa: S311  (no secret)
    user = site.users[0]
    copy = user.home / "notebooks"
    mine: dict[str, str] = {}
    killed = 0
    whole = patience(user_python, user)
    for number in range(60):
        files = {
            f"f{i % 7}/n{i}.ipynb": f"{number if chance.random() < 0.5 else 0} " * 5_000
            for i in range(60)
        }
        mirror.publish(f"{number:07d}", files)
        killed += killed_after(chance.uniform(0.3, 1.2) * whole, user_python, user)
        if copy.exists() and chance.random() < 0.5:
            name = chance.choice(sorted(files))
            if (copy / name).exists():
                mine[name] = f"mine {number}"
                (copy / name).write_text(mine[name])
        for name, text in mine.items():
            assert (copy / name).read_text() == text, (seed, number, name)
        if copy.exists():
            for file in copy.rglob("*.ipynb"):
                assert file.read_text().startswith("mine") or file.stat().st_size >= 10_000
    assert killed > 0, "no run was slow enough to be killed"
    done = getlatest(user_python, user, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, text in files.items():
        assert (copy / name).read_text() == mine.get(name, text), (seed, name)
    assert not list(user.home.glob(".*getlatest*"))
    assert list((copy / ".nbpipe/incoming").iterdir()) == []


def notebook(source: str, said: str = "") -> str:
    """Return a notebook's text; with what a run of it said."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": said}] if said else []
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": outputs, "source": source}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_killed_at_any_point_the_last_run_of_a_notebook_is_kept_once(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    """kill -9 at random moments, while releases come and the user runs and edits notebooks."""
    seed = int(os.environ.get("NBPIPE_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}: NBPIPE_SEED={seed} runs it again")  # noqa: T201
    chance = random.Random(seed)  # noqa: S311  (no secret)
    user = site.users[0]
    copy = user.home / "notebooks"
    names = [f"f{i % 3}/n{i}.ipynb" for i in range(24)]
    ran: dict[str, str] = {}
    mine: dict[str, str] = {}
    killed = 0
    whole = patience(user_python, user)
    for number in range(40):
        mirror.publish(f"{number:07d}", {name: notebook(f"{number} " * 2_000) for name in names})
        killed += killed_after(chance.uniform(0.3, 1.2) * whole, user_python, user, "--prune")
        for name in [name for name in chance.sample(names, 5) if (copy / name).exists()]:
            table = json.loads((copy / name).read_text())
            if name in mine or chance.random() < 0.2:
                mine[name] = notebook(f"mine {number}")
                ran.pop(name, None)
                (copy / name).write_text(mine[name])
            else:
                ran[name] = notebook(table["cells"][0]["source"], f"run {number}")
                (copy / name).write_text(ran[name])
        for name, text in mine.items():
            assert (copy / name).read_text() == text, (seed, number, name)
        for name, text in ran.items():
            places = [copy / name, *copy.glob(name.replace(".ipynb", "__executed*.ipynb"))]
            assert text in [place.read_text() for place in places], (seed, number, name)
    assert killed > 0, "no run was slow enough to be killed"
    assert getlatest(user_python, user).returncode == 0
    for name in names:
        beside = copy.glob(name.replace(".ipynb", "__*.ipynb"))
        kinds = [place.name.rpartition("__")[2].removesuffix(".ipynb") for place in beside]
        assert len(kinds) <= 2, (seed, name, kinds)
        assert sum(kind.startswith("executed") for kind in kinds) <= 1, (seed, name, kinds)
    assert not list(user.home.glob(".*getlatest*"))
    assert list((copy / ".nbpipe/incoming").iterdir()) == []
    assert not list((copy / ".nbpipe").glob("kept-*"))


def test_a_second_language_in_the_homes_is_taken_by_its_name(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    other = HandMadeMirror(site.top / "second", "cuadernos-latest")
    other.publish("eee", {"hola.ipynb": "hola"})
    user = site.users[0]
    (user.home / "cuadernos-latest").symlink_to(other.path / "current")
    assert getlatest(user_python, user, "cuadernos").returncode == 0
    done = getlatest(user_python, user)
    assert done.returncode == 0
    assert "also here: cuadernos-latest (`getlatest cuadernos`)" in done.stdout
    assert tree(user.home / "cuadernos") == {"hola.ipynb": "hola"}
    assert tree(user.home / "notebooks") == FILES
    (user.home / "notebooks-latest").unlink()
    other.publish("fff", {"hola.ipynb": "adios"})
    assert getlatest(user_python, user, "cuadernos").returncode == 0
    assert tree(user.home / "cuadernos") == {"hola.ipynb": "adios"}


def test_several_at_once_make_one_whole_copy(
    site: Site, mirror: HandMadeMirror, user_python: Path
) -> None:
    user = site.users[0]
    mirror.publish("bbb", {f"n{i}.ipynb": "x" * 100_000 for i in range(100)})
    running = [
        subprocess.Popen(
            [str(user_python), "-m", "nbpipe.cli.getlatest"],
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            cwd=user.home,
            env={"HOME": str(user.home), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    said = [one.communicate()[1] for one in running]
    codes = [one.returncode for one in running]
    assert 0 in codes
    for code, text in zip(codes, said, strict=True):
        assert (code, text) == (0, "") or (code == 1 and "another getlatest" in text)
    assert len(tree(user.home / "notebooks")) == 100
    assert sorted(p.name for p in user.home.iterdir()) == ["notebooks", "notebooks-latest"]


@pytest.fixture
def small_disk(site: Site) -> Iterator[Path]:
    """A folder of the first user's on a file system of 4 MB."""
    folder = site.users[0].home / "small"
    folder.mkdir()
    options = f"size=4m,mode=700,uid={site.users[0].uid},gid={site.users[0].gid}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False
    )
    require("mounting needs CAP_SYS_ADMIN", met=done.returncode == 0)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_no_half_copy(
    site: Site, mirror: HandMadeMirror, user_python: Path, small_disk: Path
) -> None:
    mirror.publish("bbb", {f"n{i}.ipynb": "x" * 1_000_000 for i in range(8)})
    done = getlatest(user_python, site.users[0], small_disk / "notebooks")
    assert done.returncode == 1
    assert "no space is left on this disk" in done.stderr
    assert list(small_disk.iterdir()) == []


def test_a_full_disk_in_an_update_loses_nothing_and_the_next_run_goes_on(
    site: Site, mirror: HandMadeMirror, user_python: Path, small_disk: Path
) -> None:
    user, copy = site.users[0], small_disk / "notebooks"
    mirror.publish("bbb", {f"n{i}.ipynb": "x" * 300_000 for i in range(8)})
    assert getlatest(user_python, user, copy).returncode == 0
    (copy / "n0.ipynb").write_text("mine")
    big = {f"n{i}.ipynb": "y" * 900_000 for i in range(4)}
    mirror.publish("ccc", {**big, **{f"n{i}.ipynb": "x" * 300_000 for i in range(4, 8)}})
    done = getlatest(user_python, user, copy)
    assert done.returncode == 1
    assert "no space is left on this disk" in done.stderr
    assert (copy / "n0.ipynb").read_text() == "mine"
    for file in copy.rglob("*.ipynb"):
        assert file.stat().st_size in {4, 300_000, 900_000}, file
    mirror.publish("ddd", {f"n{i}.ipynb": "z" * 100_000 for i in range(1, 8)})
    assert getlatest(user_python, user, copy).returncode == 0
    texts = {path: text[:1] for path, text in tree(copy).items() if "__" not in path}
    assert texts == {"n0.ipynb": "m", **{f"n{i}.ipynb": "z" for i in range(1, 8)}}


def test_a_full_disk_leaves_a_run_where_it_was(
    site: Site, mirror: HandMadeMirror, user_python: Path, small_disk: Path
) -> None:
    user, copy = site.users[0], small_disk / "notebooks"
    mirror.publish("bbb", {"n.ipynb": notebook("1")})
    assert getlatest(user_python, user, copy).returncode == 0
    run = notebook("1", "x" * 2_500_000)
    (copy / "n.ipynb").write_text(run)
    mirror.publish("ccc", {"n.ipynb": notebook("2")})
    done = getlatest(user_python, user, copy)
    assert done.returncode == 1
    assert "no space is left on this disk" in done.stderr
    assert (copy / "n.ipynb").read_text() == run
    assert [path.name for path in copy.glob("*.ipynb")] == ["n.ipynb"]
    small = notebook("1", "x" * 100_000)
    (copy / "n.ipynb").write_text(small)
    assert getlatest(user_python, user, copy).returncode == 0
    assert tree(copy) == {"n.ipynb": notebook("2"), "n__executed.ipynb": small}


@pytest.fixture
def fat_disk(site: Site) -> Iterator[Path]:
    """A folder of the first user's on a file system that ignores case and has no links."""
    mkfs = shutil.which("mkfs.vfat") or "/sbin/mkfs.vfat"
    require("needs dosfstools", met=Path(mkfs).exists())
    image, folder = site.top / "fat.img", site.users[0].home / "stick"
    with image.open("wb") as file:
        file.truncate(16_000_000)
    subprocess.run([mkfs, str(image)], check=True, capture_output=True)
    folder.mkdir()
    options = f"loop,uid={site.users[0].uid},gid={site.users[0].gid}"
    done = subprocess.run(
        ["mount", "-t", "vfat", "-o", options, str(image), str(folder)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        image.unlink()
        if b"unknown filesystem type" in done.stderr:  # nothing that could be installed
            pytest.skip("this kernel knows no vfat")
        require(f"no vfat image can be mounted: {done.stderr!r}", met=False)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    image.unlink()


def test_a_file_system_that_ignores_case_and_has_no_links(
    site: Site, mirror: HandMadeMirror, user_python: Path, fat_disk: Path
) -> None:
    user, copy = site.users[0], fat_disk / "notebooks"
    mirror.publish("bbb", {"README.md": "1", "readme.md": "2", "x.ipynb": "x", "l": ("x.ipynb",)})
    done = getlatest(user_python, user, copy, "--json")
    table = json.loads(done.stdout)
    assert done.returncode == 1
    assert table["added"] == ["README.md", "x.ipynb"]
    assert table["problems"] == [
        {"path": "readme.md", "reason": "the same name as README.md on this file system"},
        {"path": "l", "reason": "Operation not permitted"},
    ]
    (copy / "x.ipynb").write_text("mine")
    mirror.publish("ccc", {"README.md": "11", "x.ipynb": "xx"})
    table = json.loads(getlatest(user_python, user, copy, "--json").stdout)
    assert (table["updated"], table["problems"]) == (["README.md"], [])
    assert table["beside"] == [{"path": "x.ipynb", "as": "x__ccc0000.ipynb"}]
    assert (copy / "x.ipynb").read_text() == "mine"


@pytest.fixture
def cloning_disk(site: Site) -> Iterator[Path]:
    """A folder on a file system that can share blocks between files."""
    mkfs = shutil.which("mkfs.xfs") or "/sbin/mkfs.xfs"
    require("needs xfsprogs", met=Path(mkfs).exists())
    image, folder = site.top / "xfs.img", site.top / "xfs"
    with image.open("wb") as file:
        file.truncate(400_000_000)
    folder.mkdir()
    words = [[mkfs, "-q", "-m", "reflink=1", image], ["mount", "-o", "loop", image, folder]]
    done = [subprocess.run(word, check=False, capture_output=True) for word in words]
    if any(one.returncode for one in done):
        image.unlink()
        require(f"this kernel mounts no xfs image: {done[-1].stderr!r}", met=False)
    folder.chmod(0o755)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    image.unlink()
    folder.rmdir()


def test_on_a_file_system_that_can_a_copy_shares_the_mirrors_blocks(
    site: Site, user_python: Path, cloning_disk: Path
) -> None:
    user = site.users[0]
    mirror = HandMadeMirror(cloning_disk / "srv")
    mirror.publish("aaa", {"big.ipynb": "x" * 3_000_000})
    (cloning_disk / "home").mkdir()
    os.chown(cloning_disk / "home", user.uid, user.gid)
    place = cloning_disk / "home/notebooks"
    done = getlatest(user_python, user, "--from", mirror.path, place)
    assert (done.returncode, done.stderr) == (0, "")
    extents = subprocess.run(
        ["filefrag", "-v", place / "big.ipynb"], check=True, capture_output=True, text=True
    )
    assert "shared" in extents.stdout
    user.run("sh", "-c", f"echo mine > {place}/big.ipynb")
    assert (mirror.path / "current/big.ipynb").stat().st_size == 3_000_000
