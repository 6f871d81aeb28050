"""A plugin for the second run of .ci/run: names the tests that failed first and pass by themselves.

PYTHONPATH=tests python -m pytest -p flaky --last-failed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write them before pytest's closing line, which CI reads."""
    passed = sorted({report.nodeid for report in terminalreporter.getreports("passed")})
    if passed:
        terminalreporter.section(f"flaky: {len(passed)} failed before, and passed now", bold=True)
        for name in passed:
            terminalreporter.line(f"FLAKY {name}")
