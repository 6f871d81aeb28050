"""Which schedulers there are: ours, and what a site's package brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.reference.errors import SchedulerMissing
from nbpipe.reference.schedulers import registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package that brings two schedulers, one of them broken."""
    info = tmp_path / "cray-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cray\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nbpipe.schedulers]\ncray = craysched:Cray\nbroken = craysched:Nobody\n"
    )
    (tmp_path / "craysched.py").write_text(
        "from nbpipe.reference.schedulers.slurm import Slurm\n\n\nclass Cray(Slurm):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("site")
def test_a_site_adds_a_scheduler_of_its_own() -> None:
    assert type(registry.scheduler("cray")).__name__ == "Cray"
    assert {"cray", "local", "slurm"} <= set(registry.names())


@pytest.mark.usefixtures("site")
def test_a_scheduler_that_cannot_be_loaded_is_named_with_its_place() -> None:
    with pytest.raises(SchedulerMissing, match=r"'broken': craysched:Nobody cannot be loaded"):
        registry.scheduler("broken")


def test_an_unknown_scheduler_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SchedulerMissing) as caught:
        registry.scheduler("slrum")
    assert "Did you mean 'slurm'?" in caught.value.hint
    assert "gridengine, htcondor, local, lsf, pbs, slurm" in caught.value.hint
