"""Run one tool once on fresh notebooks, and see whether it really did the work.

A run counts when the command ended well, every notebook reached its last line exactly once and no
executed copy holds an error. Who runs how often, and what is made of it, stands elsewhere.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environments import environ
from results import Measure
from workloads import RAN

if TYPE_CHECKING:
    from tools import Tool
    from workloads import Workload

_METER = Path(__file__).with_name("meter.py")


@dataclass(frozen=True, slots=True)
class Bench:
    """Where one tool runs one workload again and again.

    The folder stays the same, so that a tool which remembers durations finds its notebooks again.
    """

    tool: Tool
    workload: Workload
    environment: Path
    folder: Path
    scale: float
    limit: float
    """Seconds for one run."""

    def run(self) -> Measure:
        """Run it once."""
        names = self._prepare()
        variables = environ(self.environment) | {
            RAN: str(self.folder / "ran"),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }
        result, log = self.folder / "result.json", self.folder / "log"
        command = self.tool.command.format(dir=self.folder / "notebooks", out=self.folder / "out")
        meter = [sys.executable, "-I", str(_METER), str(result), str(self.limit)]
        with log.open("wb") as output:
            subprocess.run(
                [*meter, "sh", "-c", command],
                cwd=self.folder,
                env=variables,
                stdout=output,
                stderr=output,
                check=True,
            )
        measured = json.loads(result.read_text(encoding="utf-8"))
        code, late = measured.pop("code"), measured.pop("late")
        return Measure(**measured, problem=self._problem(code, names, late=late))

    def _prepare(self) -> tuple[str, ...]:
        for name in ("notebooks", "out", "ran"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir(parents=True)
        return self.workload.build(self.folder / "notebooks", self.scale)

    def _problem(self, code: int, names: tuple[str, ...], *, late: bool) -> str:
        """Return why this run does not count, or nothing."""
        ran = {path.name for path in (self.folder / "ran").iterdir()}
        said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
        if late:
            return f"not done after {self.limit:g} s ({len(ran)} of {len(names)} notebooks were)"
        if missing := set(names) - ran:
            return f"{len(missing)} of {len(names)} not executed to the end: {last[:200]}"
        if code:
            return f"exit code {code}: {last[:200]}"
        if self.tool.copies:
            return self._problem_of_copies(names)
        return ""

    def _problem_of_copies(self, names: tuple[str, ...]) -> str:
        copies = self.copies()
        if missing := set(names) - set(copies):
            return f"{len(missing)} of {len(names)} have no executed copy"
        for name, cells in copies.items():
            kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
            if "error" in kinds or any(cell["execution_count"] is None for cell in cells):
                return f"an error, or a cell without a count, in the copy of {name}"
        return ""

    def copies(self) -> dict[str, list[dict[str, Any]]]:
        """Return the code cells of the executed copies, by the notebook's name."""
        found = {}
        for file in sorted(self.folder.glob(self.tool.copies)):
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
            found[file.stem] = [cell for cell in cells if cell["cell_type"] == "code"]
        return found

    def outputs(self) -> dict[str, list[tuple[int, Any]]]:
        """Return what the notebooks put out, images included, by the notebook's name."""
        return {
            name: [(cell["execution_count"], cell["outputs"]) for cell in cells]
            for name, cells in self.copies().items()
        }
