"""What ruff says about the code of notebooks, in our findings' terms.

Ruff reads notebooks itself, names cell and line, and takes 2 ms for each. It does not know what
IPython's magics use and bind; findings that they explain are left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nbpipe.errors import UsageError
from nbpipe.lint.findings import Default, Fix, Rule, Severity, Spot
from nbpipe.lint.magics import magic_lines
from nbpipe.lint.rules.code import RUFF

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Notebook

_WANTED = "E9,F401,F403,F63,F7,F82,NPY201"
_UNWANTED = re.compile(r"^(?:I\d|D\d|E[1-57]\d\d|W|B018|T20|INP|ERA|COM|Q\d|CPY)")
"""Order, form and documentation of modules: for notebooks they are noise."""
_SECONDS = 300
_CONFIGURED = ("ruff.toml", ".ruff.toml", "pyproject.toml")


class _Location(msgspec.Struct):
    row: int = 1
    column: int = 1


class _Message(msgspec.Struct):
    filename: str
    message: str
    code: str | None = None
    location: _Location = msgspec.field(default_factory=_Location)
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One finding of ruff's."""

    rule: str
    """Ours where we have one, else ruff's own."""
    spot: Spot


def program(settings: CheckSettings) -> str | None:
    """Return the path of ruff, from this environment or PATH; None: it is not used.

    Raises:
        UsageError: It must be used and is not installed.
    """
    if settings.ruff == "off":
        return None
    beside = Path(sys.executable).with_name("ruff")
    found = str(beside) if beside.is_file() else shutil.which("ruff")
    if found is None and settings.ruff == "on":
        raise UsageError(
            "[check] ruff is on, and ruff is not installed",
            hint='Install it (`pip install ruff`), or set ruff = "auto".',
        )
    return found


def look(
    command: str, notebooks: Iterable[Notebook], settings: CheckSettings, root: Path
) -> dict[str, list[Said]]:
    """Return what ruff finds in the Python notebooks, by their files.

    Raises:
        UsageError: Ruff cannot be run, or answers with something else than findings.
    """
    wanted = {
        each.file: each for each in notebooks if not each.failure and each.language == "python"
    }
    found: dict[str, list[Said]] = defaultdict(list)
    if not wanted:
        return found
    for message in _ask(command, list(wanted), settings, root):
        notebook = wanted.get(message.filename) or wanted.get(str(Path(message.filename).resolve()))
        said = _said(message, notebook) if notebook else None
        if notebook and said and not _is_explained(message, notebook):
            found[notebook.file].append(said)
    return found


def _ask(command: str, files: list[str], settings: CheckSettings, root: Path) -> list[_Message]:
    own = next((root / name for name in _CONFIGURED if _configures(root / name)), None)
    options = ["--config", str(own), "--extend-select"] if own else ["--isolated", "--select"]
    target = settings.target_python
    words = [command, "check", "--no-fix", "--exit-zero", "--no-cache", "--quiet"]
    words += ["--output-format", "json", *options, _WANTED]
    words += ["--target-version", f"py{target.replace('.', '')}"] if target else []
    try:
        ran = subprocess.run(
            [*words, "--", *files],
            capture_output=True,
            check=False,
            timeout=_SECONDS,
            cwd=root,
            stdin=subprocess.DEVNULL,
        )
        return msgspec.json.decode(ran.stdout, type=list[_Message])
    except OSError as error:
        raise UsageError(f"{command} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"ruff did not answer within {_SECONDS} s") from error
    except msgspec.DecodeError as error:
        said = ran.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(
            f"ruff failed: {said[-1] if said else f'exit code {ran.returncode}'}",
            hint='`nbpipe check` goes on without it when [check] ruff = "off".',
        ) from error


def _configures(file: Path) -> bool:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return file.name != "pyproject.toml" or "[tool.ruff" in text


def _said(message: _Message, notebook: Notebook) -> Said | None:
    code = message.code or "E999"
    if _UNWANTED.match(code):
        return None
    ours = max((each for each in RUFF if code.startswith(each)), key=len, default="")
    if ours and not RUFF[ours]:
        return None
    cell = message.cell - 1 if message.cell and message.cell <= len(notebook.cells) else None
    spot = Spot(message.message, cell, message.location.row, message.location.column)
    return Said(RUFF.get(ours, code) if ours else code, spot)


def _is_explained(message: _Message, notebook: Notebook) -> bool:
    """Return whether a magic uses, or binds, the name that ruff misses."""
    name = re.search(r"`([\w.]+)(?: as (\w+))?`", message.message)
    if name is None:
        return False
    code, bare = message.code or "", name[2] or name[1]
    if message.cell and not name[2]:  # ruff does not say `as np`
        cell = notebook.cells[min(message.cell, len(notebook.cells)) - 1].source
        alias = re.search(rf"\b{re.escape(bare)}\s+as\s+(\w+)", cell)
        bare = alias[1] if alias else bare
    names = _Names.of(notebook)
    if code == "F401":
        return bare.split(".")[0] in names.used
    if code == "F821":
        return names.anything or bare in names.bound
    return False


@dataclass(frozen=True, slots=True)
class _Names:
    used: frozenset[str]
    bound: frozenset[str]
    anything: bool
    """%pylab: nobody can know what is defined."""

    @classmethod
    def of(cls, notebook: Notebook) -> _Names:
        magics = "\n".join(line for cell in notebook.code for line in magic_lines(cell.source))
        whole = "\n".join(cell.source for cell in notebook.code)
        bound = {
            *re.findall(r"%%capture\s+(?:-\S+\s+)*(\w+)", magics),
            *re.findall(r"%{1,2}(?:time|timeit|prun)\b[^\n=]*?\b(\w+)\s*=(?!=)", magics),
            *re.findall(r"['\"](\w+)['\"]\s+(?:not\s+)?in\s+(?:locals|globals|dir|vars)\(", whole),
            *re.findall(r"%store\s+-r\s+(\w+)", magics),
        }
        for line in re.findall(r"%store\s+-r\s+([^\n]+)", magics):
            bound |= set(line.split())
        anything = bool(re.search(r"%pylab\b|%run\b|%load\b|%store\s+-r\s*$", magics, re.MULTILINE))
        return cls(frozenset(re.findall(r"\w+", magics)), frozenset(bound), anything)


def known(rules: Mapping[str, Any]) -> frozenset[str]:
    """Return the rules of ours that ruff looks for where it is used."""
    return frozenset(each for each in RUFF.values() if each in rules)


def as_rule(code: str) -> Rule:
    """Return a rule that stands for one of ruff's own."""
    return Rule(
        id=code,
        name=code,
        summary="A rule of ruff's.",
        severity=Severity.WARNING,
        default=Default.ON,
        fix=Fix.NONE,
        why=f"See https://docs.astral.sh/ruff/rules/ ({code}).",
        bad="",
        good="",
        look=lambda _, __: iter(()),
    )
