"""One name for pip; and what another project called `nbpipe` leaves where ours is looked for."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import nbpipe
from nbpipe.checkup.advice import about_distribution
from nbpipe.checkup.distributions import distribution_of
from nbpipe.distribution import NAME, mixture, others, pip_install, refuse_mixture
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder like the one that pip installs into."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


def register(site: Path, record: str, name: str = "nbpipe-0.1.6.dist-info") -> Path:
    """Register a distribution with these files."""
    folder = site / name
    folder.mkdir()
    (folder / "RECORD").write_text(record)
    return folder


def test_an_extra_is_quoted_for_the_shell() -> None:
    assert pip_install("text") == f"pip install '{NAME}[text]'"
    assert pip_install() == f"pip install {NAME}"


def test_the_environment_of_these_tests_is_ours_alone() -> None:
    refuse_mixture(nbpipe, sys.path)


def test_files_below_our_import_name_are_a_mixture(site: Path) -> None:
    found = register(site, "../../../bin/nbpipe,,\nnbpipe/__init__.py,sha256=x,9\n")
    assert mixture(nbpipe, [str(site)]) == str(found)
    with pytest.raises(UsageError, match=f"are mixed with those of {NAME}: ") as caught:
        refuse_mixture(nbpipe, ["", str(site)])
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("nbpipe-0.1.0.dist-info", "_nbpipe.pth,,\n"),  # editable: none of its files is here
        ("nbpipe_collections-0.1.0.dist-info", "nbpipe/__init__.py,,\n"),
        ("nbpipeline-1.0.dist-info", "nbpipeline/__init__.py,,\n"),
    ],
)
def test_what_has_no_files_among_ours_is_none(site: Path, name: str, record: str) -> None:
    register(site, record, name)
    assert mixture(nbpipe, [str(site)]) is None


def test_a_package_that_is_not_ours_is_a_mixture() -> None:
    """After `pip uninstall nbpipe` the folder has no `__init__.py`; after an install, theirs."""
    found = mixture(ModuleType("nbpipe"), [])
    assert found is not None
    assert found.endswith("__init__.py is not ours, or missing")


def test_only_where_packages_are_installed_is_looked_at(tmp_path: Path, site: Path) -> None:
    register(tmp_path, "nbpipe/__init__.py,,\n")
    found = register(site, "")
    (tmp_path / "dist-packages").write_text("not a folder")
    path = [str(tmp_path), str(site), str(site), str(tmp_path / "dist-packages"), "/gone/x.zip"]
    assert [*others(path)] == [found]


def test_the_doctor_tells_what_is_left_of_the_old_name(site: Path) -> None:
    found = register(site, "_nbpipe.pth,,\n", "nbpipe-0.1.0.dist-info")
    (told,) = about_distribution([str(site)])
    assert str(found) in told.what
    assert told.how.endswith(f"-m pip uninstall nbpipe; then install {NAME} again")
    assert [*about_distribution([])] == []


def test_a_notebook_that_imports_nbpipe_is_sent_to_our_name() -> None:
    assert distribution_of("nbpipe") == NAME
