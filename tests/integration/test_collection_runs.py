"""The shipped collection passes, and the testing notebook shows it inside Jupyter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ondisk import REPOSITORY, Collection, Ended

if TYPE_CHECKING:
    from pathlib import Path

COLLECTION = REPOSITORY / "collections"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a run of the whole collection and its template, from another folder."""
    folder = tmp_path_factory.mktemp("shipped")
    shipped = Collection(COLLECTION, folder / "output")
    return shipped.test(
        "--config",
        str(COLLECTION / "nbpipe.toml"),
        str(COLLECTION),
        str(COLLECTION / "05_Contrib/Template.ipynb"),
        cwd=folder,
    )


def test_every_notebook_of_the_collection_passes(ended: Ended) -> None:
    assert ended.report is not None, ended.err
    outcomes = {each["path"]: each["outcome"] for each in ended.report["notebooks"]}
    notebooks = {path.relative_to(COLLECTION).as_posix() for path in COLLECTION.rglob("*.ipynb")}
    expected = {path for path in notebooks if not path.startswith(("tests/", "06_"))}
    assert outcomes == dict.fromkeys(expected, "passed"), ended.out
    assert ended.code == 0


def test_the_prerun_is_the_first_cell_of_every_python_notebook(ended: Ended) -> None:
    assert ended.report is not None
    for each in ended.report["notebooks"]:
        first = ended.executed(each["path"]).cells[0]
        injected = "injected-prerun" in first.metadata.get("tags", [])
        assert injected == (each["kernel"] == "python3"), each["path"]


def test_the_testing_notebook_shows_the_matrix(tmp_path: Path) -> None:
    shipped = Collection(COLLECTION, tmp_path / "output")
    copies = ("-p", "output_dir", str(tmp_path / "copies"))
    wanted = ("-p", "notebooks", '["../04_HowTos"]')
    ended = shipped.test("tests/testnotebooks.ipynb", *wanted, *copies)
    assert ended["tests/testnotebooks.ipynb"]["outcome"] == "passed", ended.out
    pages = [
        output.data["text/html"]
        for cell in ended.executed("tests/testnotebooks.ipynb").cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert "04_HowTos/PandasHowTo.ipynb" in pages[0]
    assert "PASSED" in pages[0]
    assert "<script" not in pages[0]
