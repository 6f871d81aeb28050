"""Child jobs: what a job itself submitted, noted by a recorder that stands first on its PATH.

`install` puts the recorder into a run's folder; `children` reads what it noted. The recorder is
a shell script of its own (record.sh): jobs of jobs inherit it where the scheduler passes the
environment on (Slurm does; Grid Engine with `-V`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("sbatch", "qsub", "bsub", "condor_submit")
_IDS = {
    "sbatch": re.compile(
        r"^(?:Submitted batch job )?(\d+(?:;[\w.-]+)?)(?: on cluster [\w.-]+)?$", re.MULTILINE
    ),
    "qsub": re.compile(
        r"^(?:Your job(?:-array)? )?(\d+(?:\[\])?)(?:\.\d+-\d+:\d+)?(?:\.[A-Za-z][\w.-]*)?(?: |$)",
        re.MULTILINE,
    ),
    "bsub": re.compile(r"^Job <(\d+)> is submitted", re.MULTILINE),
    "condor_submit": re.compile(r"submitted to cluster (\d+)|^(\d+\.\d+) - ", re.MULTILINE),
}
"""What each program says after a submission. Sources: their manual pages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """A job that a job submitted."""

    id: str
    parent: str
    """The id of the job that submitted it; "" where the scheduler told the recorder none."""
    arguments: tuple[str, ...]
    """The call, the program's name first."""


def install(folder: Path) -> None:
    """Put the recorder into `folder/bin`, and make `folder/children` for its notes."""
    script = resources.files("nbpipe.reference.recorder").joinpath("record.sh").read_bytes()
    programs = folder / "bin"
    programs.mkdir()
    (folder / "children").mkdir()
    for name in PROGRAMS:
        (programs / name).write_bytes(script)
        (programs / name).chmod(0o755)


def children(folder: Path) -> tuple[Child, ...]:
    """Return the jobs that were submitted from within a run, in order of their ids."""
    found: dict[str, Child] = {}
    for note in sorted((folder / "children").glob("*")):
        if note.suffix != ".new":
            for child in _noted(note):
                found.setdefault(child.id, child)
    return tuple(sorted(found.values(), key=lambda child: (len(child.id), child.id)))


def _noted(note: Path) -> list[Child]:
    try:
        arguments = tuple((note / "arguments").read_text(errors="replace").split("\0")[:-1])
        parent = (note / "parent").read_text(errors="replace").partition(".")[0]
        said = (note / "said").read_text(errors="replace")
        failed = (note / "code").read_text() != "0"
    except OSError:
        return []
    pattern = _IDS.get(arguments[0]) if arguments else None
    if failed or pattern is None:
        return []
    ids = [next(group for group in found.groups() if group) for found in pattern.finditer(said)]
    return [Child(id=each, parent=parent, arguments=arguments) for each in ids]
