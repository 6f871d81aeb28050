"""Spaces of real users, as root: links, mounts, and the proof that nobody can write."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbpipe.cli.space import command
from nbpipe.config import load
from nbpipe.publishing.spaces.check import check, draw
from nbpipe.publishing.spaces.homes import Account
from nbpipe.publishing.spaces.impersonation import act
from nbpipe.publishing.spaces.sync import Spaces
from tests.integration.linux_users import Site, require
from tests.mirrors import HandMadeMirror

pytest_plugins = ("tests.integration.linux_users",)

FILES = {"01_Intro/a.ipynb": "first", "run.sh": "#!/bin/sh\n", "README.md": "read"}
METHODS = ["symlink", "bind"]


@pytest.fixture
def mirror(site: Site) -> HandMadeMirror:
    made = site.mirror
    made.publish("aaa", FILES, executable=("run.sh",))
    return made


def space(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, str]]:
    """Run `nbpipe space ... --json`; return the exit code and every home's state and detail."""
    code = command.main([*map(str, words), "--json"], standalone_mode=False)
    homes = json.loads(capsys.readouterr().out)["homes"]
    found = {}
    for home in homes:
        detail = f": {home['detail']}" if home["detail"] else ""
        found[Path(home["home"]).name] = home["state"] + detail
    return code, found


def needs_mounts(method: str) -> None:
    if method == "bind":
        done = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
        require("mounting needs CAP_SYS_ADMIN", met=done.returncode == 0)


@pytest.mark.parametrize("method", METHODS)
def test_the_mirror_appears_in_every_home(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    needs_mounts(method)
    config = site.configuration(method)
    code, states = space(capsys, "sync", "--config", config)
    assert (code, set(states.values())) == (0, {"created"})
    for user in site.users:
        shown = user.run("cat", user.home / "notebooks-latest/01_Intro/a.ipynb")
        assert (shown.returncode, shown.stdout) == (0, "first")


@pytest.mark.parametrize("method", METHODS)
def test_a_second_sync_does_nothing(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    needs_mounts(method)
    config = site.configuration(method)
    space(capsys, "sync", "--config", config)
    before = Path("/proc/self/mountinfo").read_text()
    code, states = space(capsys, "sync", "--config", config)
    assert (code, set(states.values())) == (0, {"present"})
    assert Path("/proc/self/mountinfo").read_text() == before
    assert set(space(capsys, "list", "--config", config)[1].values()) == {"present"}


@pytest.mark.parametrize("method", METHODS)
def test_an_update_is_visible_at_once_without_touching_a_home(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    needs_mounts(method)
    space(capsys, "sync", "--config", site.configuration(method))
    mirror.publish("bbb", {"01_Intro/a.ipynb": "second"})
    for user in site.users:
        shown = user.run("cat", user.home / "notebooks-latest/01_Intro/a.ipynb")
        assert shown.stdout == "second"


@pytest.mark.parametrize("method", METHODS)
def test_the_check_proves_every_write_refused(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    needs_mounts(method)
    config = str(site.configuration(method))
    space(capsys, "sync", "--config", config)
    assert command.main(["check", "--all", "--config", config], standalone_mode=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "3 spaces checked, 0 wrong"
    error = "EROFS" if method == "bind" else "EACCES"
    tried = [line.split(":")[0].strip() for line in lines if "refused (" in line]
    wanted = ["create a file"] * 3 + ["change the mode", "open for writing"]
    assert tried == ([*wanted, "change the mode", "rename", "delete"]) * 3
    assert sum(f"refused ({error})" in line for line in lines) >= 6 * 3
    assert sorted(p.name for p in (mirror.path / "current").iterdir()) == [
        "01_Intro",
        "README.md",
        "run.sh",
    ]


def test_a_release_published_while_spaces_are_checked_is_no_false_alarm(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    config = site.configuration()
    space(capsys, "sync", "--config", config)
    (places,) = Spaces.every(load(config.parent, file=config))
    chance = random.Random(1)  # noqa: S311  (no secret)
    sample = draw(places, random=chance)
    mirror.publish("bbb", {"other.ipynb": "second"})
    results = list(check(places, sample, count=2, random=chance))
    assert [result.right for result in results] == [True, True]


def test_the_users_own_tools_cannot_write_either(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    space(capsys, "sync", "--config", site.configuration())
    user = site.users[0]
    place = user.home / "notebooks-latest"
    for words in (
        ["touch", place / "new"],
        ["sh", "-c", f"echo x >> {place}/README.md"],
        ["chmod", "u+w", place / "README.md"],
        ["mv", place / "README.md", place / "x"],
        ["rm", "-f", place / "README.md"],
        ["ln", "-sfn", "/etc", mirror.path / "current"],
        ["rm", "-rf", mirror.path / "current"],
    ):
        assert user.run(*words).returncode != 0, words
    assert (mirror.path / "current/README.md").read_text() == "read"


def test_even_root_cannot_write_through_a_mount(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_mounts("bind")
    space(capsys, "sync", "--config", site.configuration("bind"))
    place = site.users[0].home / "notebooks-latest"
    with pytest.raises(OSError, match="Read-only file system"):
        (place / "new").touch()
    with pytest.raises(OSError, match="Read-only file system"):
        (place / "README.md").chmod(0o644)
    line = next(
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if f"{site.users[0].home}/.nbpipe-space/notebooks-latest " in line
    )
    assert {"ro", "nosuid", "nodev"} <= set(line.split()[5].split(","))


def test_a_writable_mirror_is_found_out(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(site.configuration())
    space(capsys, "sync", "--config", config)
    release = mirror.path / "current" / "01_Intro"
    release.chmod(0o777)
    (mirror.path / "current/01_Intro/a.ipynb").chmod(0o666)
    (mirror.path / "current/README.md").unlink()
    (mirror.path / "current/run.sh").unlink()
    assert command.main(["check", "--all", "--config", config], standalone_mode=False) == 1
    out = capsys.readouterr().out
    assert "open for writing: " in out
    assert "a.ipynb: WRONG: IT SUCCEEDED" in out
    assert "rename: " in out
    assert "3 spaces checked, 3 wrong" in out
    assert (mirror.path / "current/01_Intro/a.ipynb").read_text() == "first"


def test_a_user_who_owns_the_mirror_is_found_out(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(site.configuration())
    space(capsys, "sync", "--config", config)
    owner = site.users[1]
    for path in [mirror.path, *mirror.path.rglob("*")]:
        os.lchown(path, owner.uid, owner.gid)
    assert command.main(["check", "--all", "--config", config], standalone_mode=False) == 1
    out = capsys.readouterr().out
    assert f"create a file: {mirror.path}: WRONG: IT SUCCEEDED" in out
    assert "3 spaces checked, 1 wrong" in out


def test_a_mirror_that_users_cannot_reach_is_found_out(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(site.configuration())
    space(capsys, "sync", "--config", config)
    site.root.chmod(0o700)
    assert command.main(["check", "--all", "--config", config], standalone_mode=False) == 1
    assert "notebooks-latest: Permission denied" in capsys.readouterr().out


def test_a_link_elsewhere_is_found_out(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(site.configuration())
    space(capsys, "sync", "--config", config)
    user = site.users[0]
    user.run("sh", "-c", "rm notebooks-latest && ln -s /etc notebooks-latest")
    assert command.main(["check", "--all", "--config", config], standalone_mode=False) == 1
    assert "    the link: other a link to '/etc'" in capsys.readouterr().out


def test_changed_content_is_found_out_against_the_manifest(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(site.configuration())
    space(capsys, "sync", "--config", config)
    manifests = site.root / ".nbpipe/notebooks-latest/manifests"
    manifests.mkdir(parents=True)
    commit = "aaa".ljust(40, "0")
    files = [[path, "0" * 40, False, len(text), ""] for path, text in FILES.items()]
    table = {"format": 1, "commit": commit, "folders": [], "files": files, "links": []}
    (manifests / f"{commit}.json").write_text(json.dumps(table))
    assert command.main(["check", "--all", "--config", config], standalone_mode=False) == 1
    assert "README.md: is not what was published" in capsys.readouterr().out


HOSTILE = {
    "a folder with work in it": "mkdir notebooks-latest; echo mine > notebooks-latest/thesis",
    "a link to /etc": "ln -s /etc notebooks-latest",
    "a dangling link": "ln -s /nowhere notebooks-latest",
    "a link to itself": "ln -s notebooks-latest notebooks-latest",
    "a FIFO": "mkfifo notebooks-latest",
    "a file": "echo mine > notebooks-latest",
    "an unreadable folder": "mkdir notebooks-latest; chmod 0 notebooks-latest",
    "a folder in the home of another": "ln -s ../.. notebooks-latest",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("left", HOSTILE)
def test_what_a_user_left_there_is_kept_and_told(
    site: Site,
    mirror: HandMadeMirror,
    capsys: pytest.CaptureFixture[str],
    left: str,
    method: str,
) -> None:
    needs_mounts(method)
    user = site.users[0]
    assert user.run("sh", "-c", HOSTILE[left]).returncode == 0
    before = (user.home / "notebooks-latest").lstat()
    etc = sorted(Path("/etc").iterdir())
    code, states = space(capsys, "sync", "--config", site.configuration(method))
    assert code == 0
    assert states[user.name].startswith("kept: ")
    kept = user.home / states[user.name].rpartition("now ")[2]
    assert kept.name.startswith("notebooks-latest.before-")
    assert (kept.lstat().st_ino, kept.lstat().st_uid, kept.lstat().st_mode) == (
        before.st_ino,
        user.uid,
        before.st_mode,
    )
    assert user.run("cat", user.home / "notebooks-latest/README.md").stdout == "read"
    assert sorted(Path("/etc").iterdir()) == etc


def test_homes_that_are_none_are_skipped_with_the_reason(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.homes / "lost+found").mkdir()
    (site.homes / "zlink").symlink_to("/etc")
    (site.homes / "zfile").write_text("")
    (site.homes / "zgone").mkdir()
    os.chown(site.homes / "zgone", 61999, 61999)
    code, states = space(capsys, "sync", "--config", site.configuration())
    assert code == 0
    assert {name: state for name, state in states.items() if name[0] in "lz"} == {
        "lost+found": "skipped: belongs to root",
        "zfile": "skipped: is not a folder",
        "zgone": "skipped: belongs to uid 61999, which no account has",
        "zlink": "skipped: is a link; name the folder itself in `homes`",
    }
    assert not (Path("/etc") / "notebooks-latest").exists()


MOUNT_HOSTILE = {
    "a link": ("ln -s /etc .nbpipe-space", "failed: .nbpipe-space is in the way: not a folder"),
    "a file": ("touch .nbpipe-space", "failed: .nbpipe-space is in the way: not a folder"),
    "a FIFO": ("mkfifo .nbpipe-space", "failed: .nbpipe-space is in the way: not a folder"),
    "a folder": (
        "mkdir -p .nbpipe-space/notebooks-latest",
        "failed: .nbpipe-space is in the way: a folder of the user's own",
    ),
}


@pytest.mark.parametrize("left", MOUNT_HOSTILE)
def test_nothing_is_mounted_on_what_a_user_made(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    needs_mounts("bind")
    user, (made, outcome) = site.users[0], MOUNT_HOSTILE[left]
    assert user.run("sh", "-c", made).returncode == 0
    code, states = space(capsys, "sync", "--config", site.configuration("bind"))
    assert (code, states.pop(user.name)) == (1, outcome)
    assert set(states.values()) == {"created"}
    assert f"{user.home}/" not in Path("/proc/self/mountinfo").read_text()


def test_an_immutable_home_fails_alone(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    user = site.users[0]
    done = subprocess.run(["chattr", "+i", user.home], check=False, capture_output=True)
    require("this file system has no immutable folders", met=done.returncode == 0)
    try:
        code, states = space(capsys, "sync", "--config", site.configuration())
    finally:
        subprocess.run(["chattr", "-i", user.home], check=True)
    assert (code, states.pop(user.name)) == (1, "failed: Operation not permitted")
    assert set(states.values()) == {"created"}


SQUASHED = "-dac_override,-dac_read_search,-fowner"
"""What root lacks in a home on NFS that squashes root (exports(5))."""


def squashed_space(*words: str | Path) -> tuple[int, list[dict[str, str]]]:
    """Run `nbpipe space ... --json` as a root that may do no more than others in their homes."""
    require(
        "a root without its capabilities needs setpriv", met=shutil.which("setpriv") is not None
    )
    nbpipe = [sys.executable, "-m", "nbpipe", "space", *map(str, words), "--json"]
    done = subprocess.run(
        ["setpriv", "--bounding-set", SQUASHED, "--inh-caps", SQUASHED, *nbpipe],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    document = json.loads(done.stdout)
    return done.returncode, document.get("homes", document.get("spaces"))


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_home_that_root_may_not_work_in_is_done_as_its_user(
    site: Site, mirror: HandMadeMirror, mode: int
) -> None:
    config = site.configuration()
    for user in site.users:
        user.home.chmod(mode)
    kept = site.users[1].home / "notebooks-latest"
    kept.mkdir()
    os.chown(kept, site.users[1].uid, site.users[1].gid)
    code, homes = squashed_space("sync", "--config", config)
    assert (code, [home["state"] for home in homes]) == (0, ["created", "kept", "created"])
    for user in site.users:
        assert user.run("cat", user.home / "notebooks-latest/README.md").stdout == "read"
        assert (user.home / "notebooks-latest").lstat().st_uid == user.uid
    for words in ("sync", "list"):
        code, homes = squashed_space(words, "--config", config)
        assert (code, {home["state"] for home in homes}) == (0, {"present"})
    code, checked = squashed_space("check", "--all", "--config", config)
    assert (code, [each["right"] for each in checked]) == (0, [True] * 3)  # type: ignore[comparison-overlap]
    code, homes = squashed_space("sync", "--remove", "--config", config)
    assert (code, {home["state"] for home in homes}) == (0, {"removed"})
    assert not any((user.home / "notebooks-latest").is_symlink() for user in site.users)


def test_a_mount_in_a_home_that_root_may_not_open_fails_with_the_reason(
    site: Site, mirror: HandMadeMirror
) -> None:
    needs_mounts("bind")
    code, homes = squashed_space("sync", "--config", site.configuration("bind"))
    assert (code, {home["state"] for home in homes}) == (1, {"failed"})
    assert 'method = "symlink"' in homes[0]["detail"]


def test_a_folder_of_homes_that_cannot_be_listed_is_a_failure(
    site: Site, mirror: HandMadeMirror
) -> None:
    config = site.configuration()
    config.write_text(config.read_text().replace(f"{site.homes}/*", f"{site.top}/*/*"))
    os.chown(site.homes, site.users[0].uid, -1)
    site.homes.chmod(0o711)
    code, homes = squashed_space("sync", "--config", config)
    failed = [(home["home"], home["detail"]) for home in homes if home["state"] == "failed"]
    assert (code, failed) == (1, [(str(site.homes), "cannot be opened: Permission denied")])


def test_a_home_that_is_named_needs_no_listing_of_its_folder(
    site: Site, mirror: HandMadeMirror
) -> None:
    config = site.configuration()
    config.write_text(config.read_text().replace(f"{site.homes}/*", str(site.users[0].home)))
    os.chown(site.homes, site.users[1].uid, -1)
    site.homes.chmod(0o711)
    code, homes = squashed_space("sync", "--config", config)
    assert (code, [home["state"] for home in homes]) == (0, ["created"])


def test_an_ordinary_user_sees_which_homes_they_may_not_look_at(
    site: Site, mirror: HandMadeMirror
) -> None:
    config = site.configuration()
    (places,) = Spaces.every(load(config.parent, file=config))
    user = site.users[0]
    account = Account(user.name, user.uid, user.gid)
    states = act(account, lambda _: [[space.state, space.detail] for space in places.survey()])
    closed = ["failed", "cannot be opened: Permission denied (run this command as root)"]
    assert states == [["missing", ""], closed, closed]


def test_every_collection_appears_under_its_own_name(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    config = site.configuration()
    second = HandMadeMirror(site.root, "cuadernos-latest")
    second.publish("bbb", {"LEEME.md": "leer"})
    text = config.read_text()
    again = text[: text.index("[spaces]")].replace("notebooks-latest", "cuadernos-latest")
    config.write_text(again + text)
    assert command.main(["sync", "--config", str(config)], standalone_mode=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"created   {site.users[0].home}/cuadernos-latest" in lines
    assert lines[-1] == "6 created"
    for user in site.users:
        assert user.run("cat", user.home / "cuadernos-latest/LEEME.md").stdout == "leer"
        assert user.run("cat", user.home / "notebooks-latest/README.md").stdout == "read"
    assert command.main(["check", "--all", "--config", str(config)], standalone_mode=False) == 0
    assert capsys.readouterr().out.count("3 spaces checked, 0 wrong") == 2


def test_a_mirror_made_anew_is_mounted_anew(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_mounts("bind")
    config = site.configuration("bind")
    space(capsys, "sync", "--config", config)
    mirror.path.rename(mirror.path.with_name("old"))
    HandMadeMirror(site.root).publish("ccc", {"new.ipynb": "n"})
    assert set(space(capsys, "list", "--config", config)[1].values()) == {
        "missing: the link is there, the mount is not"
    }
    assert set(space(capsys, "sync", "--config", config)[1].values()) == {"replaced: mounted again"}
    for user in site.users:
        assert user.run("ls", user.home / "notebooks-latest").stdout == "new.ipynb\n"


def mounts(site: Site) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split()[4] for line in lines if f"{site.homes}/" in line)


@pytest.mark.parametrize("new_name", [".old", "it is mine\\now"])
def test_a_renamed_folder_of_mounts_does_not_keep_its_mount(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], new_name: str
) -> None:
    needs_mounts("bind")
    config, user = site.configuration("bind"), site.users[0]
    space(capsys, "sync", "--config", config)
    before = mounts(site)
    assert len(before) == len(site.users)
    for _ in range(2):
        assert user.run("mv", ".nbpipe-space", new_name).returncode == 0
        code, states = space(capsys, "sync", "--config", config)
        assert (code, states[user.name]) == (0, "replaced: mounted again")
        assert mounts(site) == before
        assert not (user.home / new_name).exists()
    assert user.run("cat", user.home / "notebooks-latest/README.md").stdout == "read"


def test_remove_finds_a_mount_in_a_renamed_folder(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_mounts("bind")
    config = site.configuration("bind")
    space(capsys, "sync", "--config", config)
    site.users[0].run("mv", ".nbpipe-space", "mine")
    assert space(capsys, "sync", "--remove", "--config", config)[0] == 0
    assert mounts(site) == []
    assert [list(user.home.iterdir()) for user in site.users] == [[], [], []]


def test_a_mount_that_an_administrator_made_elsewhere_stays(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_mounts("bind")
    place = site.users[0].home / "shared/notebooks-latest"
    place.mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(site.top / "srv"), str(place)], check=True)
    space(capsys, "sync", "--config", site.configuration("bind"))
    assert str(place) in mounts(site)


def test_a_change_of_the_method_leaves_no_mount_behind(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_mounts("bind")
    space(capsys, "sync", "--config", site.configuration("bind"))
    code, states = space(capsys, "sync", "--config", site.configuration("symlink"))
    assert code == 0
    assert set(states.values()) == {
        "replaced: was a link to '.nbpipe-space/notebooks-latest/current'"
    }
    assert str(site.homes) not in Path("/proc/self/mountinfo").read_text()
    assert [p.name for p in site.users[0].home.iterdir()] == ["notebooks-latest"]


@pytest.mark.parametrize("method", METHODS)
def test_remove_leaves_homes_as_they_were(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    needs_mounts(method)
    config = site.configuration(method)
    space(capsys, "sync", "--config", config)
    code, states = space(capsys, "sync", "--remove", "--config", config)
    assert (code, set(states.values())) == (0, {"removed"})
    assert [list(user.home.iterdir()) for user in site.users] == [[], [], []]
    assert str(site.homes) not in Path("/proc/self/mountinfo").read_text()
    assert (mirror.path / "current/README.md").read_text() == "read"


def test_a_dry_run_changes_nothing(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.users[0].home / "notebooks-latest").mkdir()
    code, states = space(capsys, "sync", "--dry-run", "--config", site.configuration())
    assert code == 0
    assert states.pop(site.users[0].name).startswith("kept: a folder, would be notebooks-latest.")
    assert set(states.values()) == {"created"}
    assert list(site.users[1].home.iterdir()) == []


def test_a_user_swapping_names_all_the_time_never_gets_root_to_write_elsewhere(
    site: Site, mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    user, config = site.users[0], site.configuration()
    victim = site.top / "victim"
    victim.mkdir()
    loop = (
        f"while :; do ln -sfn {victim} notebooks-latest; rm -rf notebooks-latest; "
        "mkdir notebooks-latest; rm -rf notebooks-latest; : > notebooks-latest; "
        "rm -rf notebooks-latest*; done"
    )
    racer = subprocess.Popen(
        ["sh", "-c", loop],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd=user.home,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            space(capsys, "sync", "--config", config)
    finally:
        racer.kill()
        racer.wait()
    assert list(victim.iterdir()) == []
    assert victim.stat().st_uid == 0
    names = sorted(path.name for path in (mirror.path / "current").iterdir())
    assert names == ["01_Intro", "README.md", "run.sh"]
    space(capsys, "sync", "--config", config)
    assert user.run("cat", user.home / "notebooks-latest/README.md").stdout == "read"
    victim.rmdir()
