"""What tests of every room share."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import flaky
import pytest
from clusters import second_slurm, slurm_cluster, unaccounted_slurm
from gridengine_cluster import gridengine_cluster
from ondisk import REPOSITORY, Collection, lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [  # fixtures for everybody
    "gridengine_cluster",
    "second_slurm",
    "slurm_cluster",
    "unaccounted_slurm",
]


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep runs and histories out of the user's own state directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("GITHUB_ACTIONS", raising=False)  # or every run would write annotations
        # A shell that is killed while it starts leaves pyenv's lock, where ~/.bashrc calls pyenv;
        # every later shell would wait a minute for it.
        patch.setenv("PYENV_REHASH_TIMEOUT", "1")
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the flaky tests of an earlier run, unless the plugin of a second run does."""
    if not terminalreporter.config.pluginmanager.has_plugin("flaky"):
        flaky.recall(terminalreporter)


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Have Ctrl-C work in what tests start, also where a shell runs them in its background.

    A shell without job control lets its background processes ignore SIGINT (POSIX, XCU 2.11),
    and they hand that down.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def need() -> Callable[[bool, str], None]:
    """Return a function: `need(condition, part)` skips the test where the part is missing."""

    def check(condition: bool, part: str) -> None:  # noqa: FBT001
        if not condition:
            lacking(part)

    return check


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Return an empty collection."""
    root = tmp_path / "collection"
    root.mkdir()
    return Collection(root, tmp_path / "output")


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    """Return the published schema of the JSON report."""
    text = (REPOSITORY / "nbpipe/reports/report.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
