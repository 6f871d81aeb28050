"""The tests that failed first and passed by themselves: named where nobody misses them.

.ci/run runs failed tests again with this as a plugin:

    PYTHONPATH=tests python -m pytest -p flaky --last-failed

Their names stand before pytest's closing line, which CI reads; in a GitHub workflow they are
annotations and in the summary of the step, too. The file that NBPIPE_FLAKY names remembers them for
the runs after it: of several interpreters, the last one lists all. A test that is flaky in two runs
is a defect to mend.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

FILE = "NBPIPE_FLAKY"
"""The variable that names a file with what earlier runs found."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name those of this run, and those of the runs before it."""
    again = terminalreporter.getreports
    passed = sorted({report.nodeid for report in again("passed") if report.when == "call"})
    skipped = sorted({report.nodeid for report in again("skipped")})
    _announce(passed, os.environ)
    earlier = remembered(os.environ)
    _remember(passed, os.environ)
    if passed:
        terminalreporter.section(f"flaky: {len(passed)} failed before, and passed now", bold=True)
    for name in passed:
        terminalreporter.line(f"FLAKY {name}")
    for name in skipped:
        terminalreporter.line(f"FLAKY {name} (failed before, and was skipped now)")
    for name in earlier:
        terminalreporter.line(f"FLAKY {name}")


def recall(terminalreporter: pytest.TerminalReporter) -> None:
    """Name those of the runs before a run that is the first of its kind."""
    if earlier := remembered(os.environ):
        terminalreporter.section(f"flaky: {len(earlier)} in an earlier run", bold=True)
        for name in earlier:
            terminalreporter.line(f"FLAKY {name}")


def remembered(environ: Mapping[str, str]) -> list[str]:
    """Return what earlier runs found, with their interpreter."""
    file = environ.get(FILE)
    if not file or not Path(file).is_file():
        return []
    return Path(file).read_text(encoding="utf-8").splitlines()


def _remember(names: Sequence[str], environ: Mapping[str, str]) -> None:
    if file := environ.get(FILE):
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.writelines(f"{name} (Python {platform.python_version()})\n" for name in names)


def _announce(names: Sequence[str], environ: Mapping[str, str]) -> None:
    """Write annotations and the step's summary in a GitHub workflow."""
    if not names or environ.get("GITHUB_ACTIONS") != "true":
        return
    for name in names:
        escaped = name.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        print(f"::warning title=Flaky test::{escaped} failed first, and passed by itself")  # noqa: T201  (a workflow command is a line of output)
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write("### Flaky tests\n\nFailed first, and passed by themselves:\n\n")
            stream.writelines(f"- `{name}`\n" for name in names)
