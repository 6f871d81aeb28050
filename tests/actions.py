"""Steps of workflows and composite actions run on this machine, as GitHub's runner does it.

Only `run:` steps are executed; what a `uses:` step would get is recorded. Expressions are the few
that this project's files use: a name, a comparison, `&&`, `!cancelled()` and `always()`.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")


@dataclass
class Job:
    """What a job has while its steps run."""

    workspace: Path
    temp: Path
    environ: dict[str, str]
    github: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    matrix: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    """Id -> outputs."""
    made: dict[str, dict[str, str]] = field(default_factory=dict)
    """Action, without its version -> outputs that it would have."""
    used: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """What would be used, with what."""
    log: str = ""
    failed: bool = False
    summary: str = ""

    def run(self, steps: list[dict[str, Any]]) -> None:
        """Run the steps in their order; after a failure only those that want to."""
        self.temp.mkdir(exist_ok=True)
        for step in steps:
            condition = str(step.get("if", ""))
            if self.failed and "always()" not in condition and "cancelled()" not in condition:
                continue
            if condition and not self._holds(condition):
                continue
            if "uses" in step:
                given = {key: self.filled(str(value)) for key, value in step["with"].items()}
                name = step["uses"].partition("@")[0]
                self.used.append((name, given))
                self.steps[step.get("id", "")] = self.made.get(name, {})
            else:
                self._execute(step)

    def filled(self, text: str) -> str:
        """Return the text with its expressions replaced."""
        return _EXPRESSION.sub(lambda match: str(self._value(match[1])), text)

    def _execute(self, step: dict[str, Any]) -> None:
        files = {name: self.temp / name.lower() for name in _FILES}
        for file in files.values():
            file.write_text("")
        own = {key: self.filled(str(value)) for key, value in step.get("env", {}).items()}
        fixed = {name: str(file) for name, file in files.items()} | {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
        }
        script = self.temp / "step.sh"
        script.write_text(self.filled(step["run"]))
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.workspace / self.filled(str(step.get("working-directory", "."))),
            env=self.environ | fixed | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        self.log += done.stdout
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        self.failed = self.failed or done.returncode != 0
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        self.steps[step.get("id", "")] = outputs

    def _holds(self, condition: str) -> bool:
        match = _EXPRESSION.fullmatch(condition)
        text = match[1] if match else condition
        return all(self._part(part.strip()) for part in text.split("&&"))

    def _part(self, part: str) -> bool:
        if part in {"always()", "!cancelled()"}:
            return True
        left, operator, right = re.split(r"\s*(==|!=)\s*", part)
        same = self._value(left) == right.strip("'")
        return same if operator == "==" else not same

    def _value(self, name: str) -> Any:  # noqa: ANN401  (of a context)
        kind, *rest = name.split(".")
        if kind == "steps":
            return self.steps.get(rest[0], {}).get(rest[2], "")
        found: Any = {
            "inputs": self.inputs,
            "github": self.github,
            "matrix": self.matrix,
            "runner": {"temp": str(self.temp)},
        }[kind]
        for part in rest:
            found = found[part]
        return found


def composite(file: Path, job: Job, **inputs: str) -> dict[str, str]:
    """Run a composite action; return its outputs."""
    action = yaml.safe_load(file.read_text(encoding="utf-8"))
    unknown = set(inputs) - set(action["inputs"])
    assert unknown == set(), unknown
    defaults = {name: str(each["default"]) for name, each in action["inputs"].items()}
    job.inputs = defaults | inputs
    job.environ = job.environ | {"GITHUB_ACTION_PATH": str(file.parent)}
    job.run(action["runs"]["steps"])
    return {name: job.filled(each["value"]) for name, each in action["outputs"].items()}


def steps(file: Path, job: str) -> list[dict[str, Any]]:
    """Return the steps of a workflow's job."""
    return list(yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"][job]["steps"])
