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
        ("sbatch", "Submitted batch job 123", [("slurm", "123")]),
        ("sbatch", "124;cluster", [("slurm", "124;cluster")]),
        ("sbatch", "Submitted batch job 124 on cluster two", [("slurm", "124;two")]),
        ("sbatch", "sbatch: 2 jobs are queued\n125", [("slurm", "125")]),
        ("qsub", 'Your job 12 ("a.sh") has been submitted', [("gridengine", "12")]),
        ("qsub", 'Your job-array 13.1-10:1 ("a.sh") has been submitted', [("gridengine", "13")]),
        ("qsub", "15.pbs.example.org", [("pbs", "15")]),
        ("qsub", "16[].pbs.example.org", [("pbs", "16[]")]),
        ("qsub", "17", [("pbs", "17")]),
        ("qsub", "2 jobs are queued\n18.pbs", [("pbs", "18")]),
        ("bsub", "Job <16> is submitted to queue <normal>.", [("lsf", "16")]),
        ("condor_submit", "1 job(s) submitted to cluster 17.", [("htcondor", "17")]),
        ("condor_submit", "18.0 - 18.4", [("htcondor", "18")]),
    ],
)
def test_what_was_submitted_is_noted(
    tmp_path: Path, name: str, said: str, expected: list[tuple[str, str]]
) -> None:
    run(tmp_path, name, f"echo '{said}'", "-n", "2", SLURM_JOB_ID="7", JOB_ID="8")
    found = recorder.children(tmp_path)
    assert [(child.scheduler, child.id) for child in found] == expected
    assert found[0].callers == {"slurm": "7", "gridengine": "8"}
    assert found[0].arguments == (name, "-n", "2")


def test_a_bare_number_of_qsub_is_grid_engines_where_that_is(tmp_path: Path) -> None:
    run(tmp_path, "qsub", "echo 14", "-terse", "a.sh")
    run(tmp_path, "qsub", "echo 15", "a.sh", SGE_ROOT="/opt/sge")
    found = recorder.children(tmp_path)
    assert [(child.scheduler, child.id) for child in found] == [
        ("gridengine", "14"),
        ("gridengine", "15"),
    ]


@pytest.mark.parametrize(
    ("name", "words", "body"),
    [
        ("sbatch", ("--wait",), "echo 'Submitted batch job 5'; exit 7"),
        ("sbatch", ("--wait", "--parsable"), "echo 5; exit 7"),
        (
            "qsub",
            ("-sync", "y"),
            (
                "echo 'Your job 5 (\"a\") has been submitted'; "
                "echo 'Job 5 exited with exit code 7.'; exit 7"
            ),
        ),
        ("qsub", ("-W", "block=true"), "echo 5.server; exit 7"),
        (
            "bsub",
            ("-K",),
            (
                "echo 'Job <5> is submitted to default queue <normal>.'; "
                "echo '<<Waiting for dispatch ...>>' >&2; exit 7"
            ),
        ),
    ],
)
def test_a_child_that_failed_is_a_child_though_its_submission_waited_and_failed(
    tmp_path: Path, name: str, words: tuple[str, ...], body: str
) -> None:
    done = run(tmp_path, name, body, *words)
    assert done.returncode == 7
    assert [child.id for child in recorder.children(tmp_path)] == ["5"]


def test_a_refused_submission_is_not_a_child(tmp_path: Path) -> None:
    run(tmp_path, "sbatch", "echo 'sbatch: error: invalid partition 5' >&2; exit 1")
    assert recorder.children(tmp_path) == ()


def test_a_submission_that_waits_is_a_child_before_it_ends(tmp_path: Path) -> None:
    run(tmp_path, "sbatch", "echo 'Submitted batch job 5'")
    (note,) = (tmp_path / "children").iterdir()
    note = note.rename(note.with_name(f"{note.name}.new"))
    (note / "code").unlink()
    assert [child.id for child in recorder.children(tmp_path)] == ["5"]
    (note / "said").write_text("Submitted batch job 5\nSubmitted batch job 1")
    assert [child.id for child in recorder.children(tmp_path)] == ["5"], "half a line"


def test_a_launch_is_noted_without_an_id_and_gets_the_terminal_and_signals(tmp_path: Path) -> None:
    done = run(tmp_path, "srun", "echo $PPID; exit 3", "-n", "2", "hostname")
    assert (done.returncode, done.stdout) == (3, f"{os.getpid()}\n"), "nothing stands between"
    run(tmp_path, "salloc", "true", "-N", "1")
    run(tmp_path, "qrsh", "true", "-inherit", "node", "true")
    run(tmp_path, "srun", "true", "--jobid=12", "true")
    launches = recorder.launches(tmp_path)
    assert sorted((each.scheduler, each.arguments) for each in launches) == [
        ("slurm", ("salloc", "-N", "1")),
        ("slurm", ("srun", "-n", "2", "hostname")),
    ]
    assert recorder.children(tmp_path) == ()


def test_srun_in_an_allocation_is_a_step_and_not_a_launch(tmp_path: Path) -> None:
    run(tmp_path, "srun", "true", "-n", "2", "a b", SLURM_JOB_ID="12")
    assert recorder.launches(tmp_path) == ()
    (step,) = recorder.steps(tmp_path)
    assert (step.job, step.call) == ("12", "srun -n 2 a\\ b")


def test_a_notebook_that_looks_for_a_program_does_not_find_the_recorder_instead(
    tmp_path: Path,
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "srun").touch(0o755)
    recorder.install(tmp_path)
    recorder.fit(tmp_path, {"PATH": str(real)})
    assert [file.name for file in (tmp_path / "bin").iterdir()] == ["srun"]
    (real / "srun").rename(real / "sbatch")
    recorder.fit(tmp_path, {"PATH": str(real)})
    assert [file.name for file in (tmp_path / "bin").iterdir()] == ["sbatch"], "of another host"
    assert os.access(tmp_path / "bin" / "sbatch", os.X_OK)


def test_a_login_shell_that_resets_path_is_recorded_all_the_same(tmp_path: Path) -> None:
    real, home = tmp_path / "real", tmp_path / "home"
    real.mkdir()
    home.mkdir()
    (real / "sbatch").write_text("#!/bin/bash\necho Submitted batch job 5\n")
    (real / "sbatch").chmod(0o755)
    (home / ".bash_profile").write_text(f"PATH={real}:/usr/bin:/bin\n")
    (home / "own.sh").write_text("OWN=1\n")
    recorder.install(tmp_path)
    before = {"PATH": os.environ["PATH"], "HOME": str(home), "BASH_ENV": str(home / "own.sh")}
    done = subprocess.run(
        ["bash", "-l", "-u", "-e", "-c", "sbatch a.sh; echo $OWN"],
        env=before | recorder.environment(tmp_path, before),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "Submitted batch job 5\n1\n", "the user's own BASH_ENV is read, too"
    assert [child.id for child in recorder.children(tmp_path)] == ["5"]


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
