from __future__ import annotations

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


def service(folder: Path, more: str, **environ: str) -> list[tuple[str, str]]:
    text = f"""
[spaces]
homes = ["{folder}"]
[[collection]]
name = "nb"
origin = "https://example.org/a/b.git"
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
        ("missing", "profile a: there is no scheduler 'slrum'")
    ]


def test_a_service_with_everything_has_no_finding(tmp_path: Path) -> None:
    more = f'root = "{tmp_path}"\nsecrets = ["env:S"]\n'
    assert service(tmp_path, more, S="secret") == []


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
        ("missing", f"collection nb: root {tmp_path}/none is no folder"),
    ]


def test_homes_that_are_nowhere_are_told(tmp_path: Path) -> None:
    text = f"""
[spaces]
homes = ["{tmp_path}/no-such/*"]
[[collection]]
name = "nb"
origin = "https://example.org/a/b.git"
root = "{tmp_path}"
secrets = ["env:S"]
"""
    found = site.about_service(loaded(tmp_path, text), {"S": "x"})
    assert [each.what for each in found] == [
        f"no home matches {tmp_path}/no-such/*: the mirror appears nowhere"
    ]
