"""The recorder passes calls through unchanged, and notes what was submitted."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from nbpipe.reference import recorder

if TYPE_CHECKING:
    from pathlib import Path

FAKE = """#!/bin/bash
printf '%s\\n' "$#" "$@" >"{log}"
cat >>"{log}"
{body}
"""


def run(
    folder: Path, name: str, body: str, *arguments: str, text: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Call a submitting program through the recorder; `body` is what the real one does."""
    real = folder / "real"
    real.mkdir(exist_ok=True)
    (real / name).write_text(FAKE.format(log=folder / "log", body=body))
    (real / name).chmod(0o755)
    if not (folder / "bin").exists():
        recorder.install(folder)
    path = f"{folder / 'bin'}:{real}:{os.environ['PATH']}"
    return subprocess.run(
        [name, *arguments],
        executable=folder / "bin" / name,
        input=text,
        env={"PATH": path, "NBPIPE_CHILDREN": str(folder / "children"), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_arguments_input_output_and_code_pass_through(tmp_path: Path) -> None:
    done = run(
        tmp_path, "sbatch", "echo out; echo err >&2; exit 3", "a b", "*", "", text="#!/bin/sh\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert (tmp_path / "log").read_text() == "3\na b\n*\n\n#!/bin/sh\n"


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("sbatch", "Submitted batch job 123", ["123"]),
        ("sbatch", "124;cluster", ["124;cluster"]),
        ("qsub", 'Your job 12 ("a.sh") has been submitted', ["12"]),
        ("qsub", 'Your job-array 13.1-10:1 ("a.sh") has been submitted', ["13"]),
        ("qsub", "14", ["14"]),
        ("qsub", "15.pbs.example.org", ["15"]),
        ("bsub", "Job <16> is submitted to queue <normal>.", ["16"]),
        ("condor_submit", "1 job(s) submitted to cluster 17.", ["17"]),
    ],
)
def test_what_was_submitted_is_noted(
    tmp_path: Path, name: str, said: str, expected: list[str]
) -> None:
    run(tmp_path, name, f"echo '{said}'", "-n", "2", SLURM_JOB_ID="7")
    found = recorder.children(tmp_path)
    assert [child.id for child in found] == expected
    assert found[0].parent == "7"
    assert found[0].arguments == (name, "-n", "2")


def test_a_refused_submission_is_no_child(tmp_path: Path) -> None:
    run(tmp_path, "sbatch", "echo 'Submitted batch job 5'; exit 1")
    assert recorder.children(tmp_path) == ()


def test_without_a_folder_for_notes_the_call_passes_all_the_same(tmp_path: Path) -> None:
    done = run(tmp_path, "sbatch", "echo 'Submitted batch job 5'", NBPIPE_CHILDREN="/nonexistent")
    assert (done.returncode, done.stdout) == (0, "Submitted batch job 5\n")


def test_a_scheduler_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    recorder.install(tmp_path)
    done = subprocess.run(
        [str(tmp_path / "bin" / "bsub")],
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (127, "bsub: command not found\n")
