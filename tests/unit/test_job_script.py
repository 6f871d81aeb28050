"""The constant script of every job: what it exports, and that no shell reads it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from nbpipe.batch.submission import script
from nbpipe.errors import UsageError
from nbpipe.reference.profiles import Profile

if TYPE_CHECKING:
    from pathlib import Path

ODD = "a b  $HOME $(touch made) `touch made` 'x' \"y\" \\n ; touch made & * {run} é"


def exported(folder: Path, profile: Profile, variables: dict[str, str] | None = None) -> str:
    """Return what a job's script exports as A, with `env` in the place of Python."""
    path = script(folder, profile, variables)
    interpreter = folder / "python"
    interpreter.write_text('#!/bin/sh\nprintf "%s|%s" "$A" "$SEEN"\n')
    interpreter.chmod(0o755)
    (folder / "interpreter").write_text(f"{interpreter}\n")
    done = subprocess.run([path, folder], capture_output=True, text=True, check=True)
    assert not (folder / "made").exists()
    return done.stdout


def test_a_variable_is_exported_as_it_stands(tmp_path: Path) -> None:
    assert exported(tmp_path, Profile(name="p"), {"A": ODD}) == f"{ODD}|"


def test_setup_may_use_variables_and_does_not_change_them(tmp_path: Path) -> None:
    profile = Profile(name="p", setup=('export SEEN="$A"', "export A=setup"))
    assert exported(tmp_path, profile, {"A": "mine"}) == "mine|mine"


def test_a_job_of_an_array_has_the_profiles_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    profile = Profile(name="p", variables={"A": "$SCRATCH/x"})
    assert exported(tmp_path, profile) == "/scratch/me/x|"
    monkeypatch.delenv("SCRATCH")
    with pytest.raises(UsageError, match=r"variable A: .*SCRATCH is not set"):
        script(tmp_path, profile)
