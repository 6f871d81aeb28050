from __future__ import annotations

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


def test_elsewhere_the_report_is_written_when_asked_for(collection: Collection) -> None:
    collection.notebook("bad.ipynb", "1/0")
    ended = collection.test("--report", "github", "--report", "markdown")
    assert "::error title=bad.ipynb%3A" in ended.out
    assert (collection.output_dir / "report.md").read_text(encoding="utf-8").startswith("## ❌")
