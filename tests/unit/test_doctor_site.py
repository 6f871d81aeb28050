from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from nbpipe import config
from nbpipe.checkup import site

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.config import Config


def loaded(folder: Path, text: str) -> Config:
    file = folder / "nbpipe.toml"
    file.write_text(text)
    return config.load(folder, file=file)


def schedulers(folder: Path, text: str) -> list[tuple[str, str]]:
    found = site.about_schedulers(loaded(folder, text))
    return [(each.severity.value, each.what) for each in found]


def origin(folder: Path, *words: str) -> str:
    """Make a repository with the branch main; return what names it in a collection."""
    where = folder / "origin.git"
    if not where.exists():
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(where)]
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(where)], check=True)
        empty = subprocess.run(
            [*git, "hash-object", "-wt", "tree", "/dev/null"], check=True, stdout=subprocess.PIPE
        ).stdout.decode()
        commit = subprocess.run(
            [*git, "commit-tree", "-m", "x", empty.strip()], check=True, stdout=subprocess.PIPE
        ).stdout.decode()
        subprocess.run([*git, "update-ref", "refs/heads/main", commit.strip()], check=True)
    return "\n".join([f'origin = "file://{where}"', 'protocols = ["file"]', *words])


def service(folder: Path, more: str, **environ: str) -> list[tuple[str, str]]:
    named = "" if "origin = " in more else origin(folder)
    text = f"""
[spaces]
homes = ["{folder}"]
[[collection]]
name = "nb"
{named}
{more}
"""
    found = site.about_service(loaded(folder, text), environ)
    return [(each.severity.value, each.what) for each in found]


def test_a_scheduler_without_its_programs_is_worth_knowing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = '[profiles.a]\nscheduler = "slurm"\n[profiles.b]\nscheduler = "slurm"\n[profiles.c]\n'
    assert schedulers(tmp_path, text) == [
        ("note", "profiles a, b: slurm's programs are not on PATH: sbatch, squeue, sacct, scancel")
    ]


def test_an_unknown_scheduler_is_missing(tmp_path: Path) -> None:
    assert schedulers(tmp_path, '[profiles.a]\nscheduler = "slrum"\n') == [
        ("missing", "profile a: unknown scheduler 'slrum'")
    ]


def test_a_service_with_everything_has_no_finding(tmp_path: Path) -> None:
    more = f'root = "{tmp_path}"\nsecrets = ["env:S"]\n'
    assert service(tmp_path, more, S="long enough") == []


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("env:S", "the variable is not set"),
        ("file:/nonexistent/secret", "it cannot be read: No such file or directory"),
    ],
)
def test_a_secret_that_is_not_there_is_missing(tmp_path: Path, secret: str, problem: str) -> None:
    more = f'root = "{tmp_path}"\nsecrets = ["{secret}"]\n'
    assert service(tmp_path, more) == [("missing", f"collection nb: {secret}: {problem}")]


def test_a_service_without_a_secret_or_a_root_is_told(tmp_path: Path) -> None:
    assert service(tmp_path, f'root = "{tmp_path}/none"\n') == [
        ("note", "collection nb: no secret, so no beacon is accepted; the origin is only polled"),
        ("missing", f"collection nb: root {tmp_path}/none is not a folder"),
    ]


def test_published_outputs_without_a_gate_are_told(tmp_path: Path) -> None:
    outputs = f'root = "{tmp_path}"\noutputs = "executed"\n'
    (without,) = [what for _, what in service(tmp_path, outputs) if "without a gate" in what]
    assert without.endswith("notebooks are published as stored")
    gated = service(tmp_path, outputs + 'gate = ["true"]')
    assert not [what for _, what in gated if "without a gate" in what]


def test_homes_that_are_nowhere_are_told(tmp_path: Path) -> None:
    text = f"""
[spaces]
homes = ["{tmp_path}/no-such/*"]
[[collection]]
name = "nb"
{origin(tmp_path)}
root = "{tmp_path}"
secrets = ["env:S"]
"""
    found = site.about_service(loaded(tmp_path, text), {"S": "long enough"})
    assert [each.what for each in found] == [
        f"no home matches {tmp_path}/no-such/*: the mirror appears nowhere"
    ]


def test_an_origin_that_cannot_be_followed_is_missing(tmp_path: Path) -> None:
    more = f'root = "{tmp_path}"\nsecrets = ["env:S"]\nprotocols = ["file"]\n'
    ((severity, what),) = service(
        tmp_path, f'{more}origin = "file://{tmp_path}/none.git"\n', S="long enough"
    )
    assert (severity, what.splitlines()[0].startswith("nb: file://")) == ("missing", True)
    named = origin(tmp_path, 'branch = "dev"')
    found = service(tmp_path, f'root = "{tmp_path}"\nsecrets = ["env:S"]\n{named}', S="long enough")
    assert found == [("missing", f"nb: file://{tmp_path}/origin.git: branch not found: dev")]


def test_what_weakens_a_secret_is_told(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("12345678\n")
    file.chmod(0o644)
    more = f'root = "{tmp_path}"\nsecrets = ["file:{file}", "env:S", "env:BLANK"]\n'
    assert service(tmp_path, more, S="1234567", BLANK="  ") == [
        ("note", f"collection nb: {file} can be read by other users (mode 0644)"),
        ("missing", "collection nb: env:S: is shorter than 8 bytes"),
        ("missing", "collection nb: env:BLANK: the variable is not set"),
    ]


def test_a_root_in_which_a_release_is_not_safe_is_missing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o777)
    more = f'root = "{root}"\nsecrets = ["env:S"]\n'
    ((severity, what),) = service(tmp_path, more, S="long enough")
    assert (severity, what) == (
        "missing",
        f"collection nb: {root}: every user of this machine may write in it (mode 0777)",
    )


@pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("NBPIPE_REQUIRE") != "all", reason="chown needs root"
)
def test_a_root_of_somebody_else_is_worth_knowing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.chown(root, 12345, 12345)
    more = f'root = "{root}"\nsecrets = ["env:S"]\n'
    assert service(tmp_path, more, S="long enough") == [
        ("note", f"collection nb: {root} belongs to uid 12345, who can change every release")
    ]


def test_large_files_without_git_lfs_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "env", "sh"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    named = origin(tmp_path)
    monkeypatch.setenv("PATH", str(programs))
    more = f'root = "{tmp_path}"\nsecrets = ["env:S"]\nlfs = "fetch"\n{named}'
    assert service(tmp_path, more, S="long enough") == [
        ("missing", 'collection nb: lfs = "fetch", and git-lfs is not installed')
    ]


def test_pages_that_are_open_are_told(tmp_path: Path) -> None:
    more = f'root = "{tmp_path}"\nsecrets = ["env:S"]\n[webhook]\npages = "open"\n'
    ((severity, what),) = service(tmp_path, more, S="long enough")
    assert (severity, what.startswith('[webhook] pages = "open": anyone who')) == (
        "note",
        True,
    )
