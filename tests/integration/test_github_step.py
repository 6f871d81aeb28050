from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection


def test_a_step_of_a_workflow_gets_annotations_and_a_summary_unasked(
    collection: Collection, tmp_path: Path
) -> None:
    collection.notebook("good.ipynb", "1")
    collection.notebook("bad.ipynb", "x = 1", "print('::error::injected')\n1/0")
    summary = tmp_path / "summary.md"
    collection.environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    ended = collection.test()
    assert ended.code == 1
    errors = [line for line in ended.out.splitlines() if line.startswith("::error ")]
    line = collection.root.joinpath("bad.ipynb").read_text().splitlines().index('    "1/0"') + 1
    assert errors == [
        (
            "::error title=bad.ipynb%3A ZeroDivisionError%3A division by zero,"
            f"file=collection/bad.ipynb,line={line}::exception in cells[1]: ZeroDivisionError: "
            "division by zero%0Arun it again: nbpipe test bad.ipynb"
        )
    ]
    assert "1 passed, 1 failed" in ended.out
    assert summary.read_text(encoding="utf-8").startswith("## ❌ nbpipe: 1 passed, 1 failed")


def test_a_checked_out_commit_is_linked_from_the_summary(
    collection: Collection, tmp_path: Path
) -> None:
    """On a server of one's own, with credentials in the origin, in a folder of the repository."""
    collection.notebook("sub/é [1].ipynb", "x = 1", "1/0")
    git = ["git", "-C", str(collection.root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    origin = "https://x:ghs_secret@ghe.example/octo-org/notebooks.git"
    for words in (["init", "-q"], ["remote", "add", "origin", origin], ["add", "sub"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    sha = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    summary = tmp_path / "summary.md"
    collection.environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://ghe.example",
        "GITHUB_REPOSITORY": "octo-org/notebooks",
        "GITHUB_RUN_ID": "17",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_SHA": sha,
        "GITHUB_WORKSPACE": str(collection.root),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    assert collection.test().code == 1
    text = summary.read_text(encoding="utf-8")
    page = "https://ghe.example/octo-org/notebooks"
    line = (collection.root / "sub/é [1].ipynb").read_text().splitlines().index('    "1/0"') + 1
    assert f"[`cells[1]`]({page}/blob/{sha}/sub/%C3%A9%20%5B1%5D.ipynb?plain=1#L{line})" in text
    assert f"({page}/actions/runs/17/attempts/2)" in text
    assert f"commit [`{sha[:12]}`]({page}/commit/{sha})" in text
    assert "ghs_secret" not in text


def test_elsewhere_the_report_is_written_when_asked_for(collection: Collection) -> None:
    collection.notebook("bad.ipynb", "1/0")
    ended = collection.test("--report", "github", "--report", "markdown")
    assert "::error title=bad.ipynb%3A" in ended.out
    assert (collection.output_dir / "report.md").read_text(encoding="utf-8").startswith("## ❌")
