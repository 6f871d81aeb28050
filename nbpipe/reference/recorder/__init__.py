"""Child jobs: what a job itself submitted, noted by a recorder that stands first on its PATH.

`install` puts the recorder into a run's folder, `environment` puts it on the PATH; `children`,
`launches` and `steps` read what it noted. The recorder is a shell script of its own (record.sh):
jobs of jobs inherit it where the scheduler passes the environment on (Slurm does; Grid Engine with
`-V`). What it cannot see (an absolute path, an emptied environment) is found by asking the
scheduler, which nothing here does: `schedulers.unnoted`.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FOLDER = "NBPIPE_CHILDREN"
"""The variable that names the folder of the notes."""
_BEFORE = "NBPIPE_BASH_ENV"
"""The user's own BASH_ENV."""
_LAUNCHERS = {"srun": "slurm", "salloc": "slurm", "qrsh": "gridengine"}
"""Programs that launch a job, stay until its end and do not print its id."""
PROGRAMS = ("sbatch", "qsub", "bsub", "condor_submit", *_LAUNCHERS)
_ATTACHED = ("--jobid", "-inherit")
"""Options with which a launcher starts something in a job that exists already."""
_IDS = {
    "sbatch": re.compile(
        r"^(?:Submitted batch job )?(\d+)(?:;([\w.-]+)| on cluster ([\w.-]+))?$", re.MULTILINE
    ),
    "qsub": re.compile(
        r"^Your job(?:-array)? (\d+)(?:\.\d+-\d+:\d+)? |"
        r"^(\d+(?:\[\])?)(?:\.\d+-\d+:\d+)?(?:\.[A-Za-z][\w.-]*)?$",
        re.MULTILINE,
    ),
    "bsub": re.compile(r"^Job <(\d+)> is submitted", re.MULTILINE),
    "condor_submit": re.compile(
        r"submitted to cluster (\d+)|^(\d+)\.\d+ - \d+\.\d+$", re.MULTILINE
    ),
}
"""What each program says after a submission. Sources: their manual pages."""
_SCHEDULERS = {"sbatch": "slurm", "bsub": "lsf", "condor_submit": "htcondor"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """A job that a job submitted."""

    id: str
    scheduler: str
    """The scheduler that runs it, by its name in the registry."""
    arguments: tuple[str, ...]
    """The call, the program's name first."""
    callers: Mapping[str, str] = field(default_factory=dict)
    """Scheduler -> id of the job in whose environment the call was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A call that launched a job (srun, salloc, qrsh), the id of which it did not print."""

    scheduler: str
    arguments: tuple[str, ...]
    when: float
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A call of srun within an allocation."""

    job: str
    call: str
    """As it could be typed again."""
    when: float
    """Seconds since 1970."""


def install(folder: Path) -> None:
    """Put the recorder into `folder/bin`, and make `folder/children` for its notes."""
    (folder / "bin").mkdir()
    (folder / "children").mkdir()
    (folder / "bash_env.sh").write_bytes(_script("bash_env.sh"))
    for name in PROGRAMS:
        _put(folder / "bin" / name)


def fit(folder: Path, environ: Mapping[str, str]) -> None:
    """Let the recorder stand in for what the job's host has, and for nothing else.

    A notebook may look for a program to see where it is.
    """
    for name in PROGRAMS:
        file = folder / "bin" / name
        if shutil.which(name, path=environ.get("PATH", os.defpath)) is None:
            file.unlink(missing_ok=True)
        elif not file.exists():  # another host ran the attempt before
            _put(file)


def _put(file: Path) -> None:
    file.write_bytes(_script("record.sh"))
    file.chmod(0o755)


def _script(name: str) -> bytes:
    return resources.files("nbpipe.reference.recorder").joinpath(name).read_bytes()


def environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which everything below a job is recorded in a run's folder.

    Args:
        folder: The run's, where the recorder is installed.
        environ: The job's own environment.
    """
    before = environ.get("PATH", os.defpath)
    found = {
        FOLDER: str(folder / "children"),
        "PATH": f"{folder / 'bin'}{os.pathsep}{before}",
        "BASH_ENV": str(folder / "bash_env.sh"),
    }
    if environ.get("BASH_ENV"):
        found[_BEFORE] = environ["BASH_ENV"]
    return found


def children(folder: Path) -> tuple[Child, ...]:
    """Return the jobs that were submitted from within a run, in order of their ids.

    A submission that waits for its job's end is a note from the moment the id was printed, and a
    child whose failure became the exit code of the submitting program is one too.
    """
    found: dict[tuple[str, str], Child] = {}
    for note in _notes(folder):
        for child in _noted(note):
            found.setdefault((child.scheduler, child.id), child)
    return tuple(sorted(found.values(), key=lambda child: (len(child.id), child.id)))


def launches(folder: Path) -> tuple[Launch, ...]:
    """Return the calls that launched jobs without printing their ids, oldest first."""
    found = []
    for note in _notes(folder):
        arguments, caller = _call(note)
        scheduler = _LAUNCHERS.get(arguments[0]) if arguments else None
        if scheduler and not any(each.startswith(_ATTACHED) for each in arguments):
            when = float(caller.get("time") or 0)
            found.append(Launch(scheduler=scheduler, arguments=arguments, when=when))
    return tuple(sorted(found, key=lambda each: each.when))


def steps(folder: Path) -> tuple[Step, ...]:
    """Return the calls of srun within jobs, oldest first."""
    try:
        text = (folder / "children" / "steps").read_text(errors="replace")
    except OSError:
        return ()
    found = []
    for line in text.splitlines():
        when, _, rest = line.partition("\t")
        job, tab, call = rest.partition("\t")
        if tab and when.isdigit():
            found.append(Step(job=job, call=call, when=float(when)))
    return tuple(sorted(found, key=lambda each: each.when))


def _notes(folder: Path) -> Iterator[Path]:
    yield from (note.parent for note in sorted((folder / "children").glob("*/arguments")))


def _call(note: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the words of a call, and what was known of the job that made it."""
    try:
        words = (note / "arguments").read_text(errors="replace").split("\0")[:-1]
        lines = (note / "caller").read_text(errors="replace").splitlines()
    except OSError:
        return (), {}
    pairs = (line.partition("=") for line in lines)
    return tuple(words), {name: value for name, _, value in pairs}


def _noted(note: Path) -> list[Child]:
    arguments, caller = _call(note)
    pattern = _IDS.get(arguments[0]) if arguments else None
    if pattern is None:
        return []
    try:
        said = (note / "said").read_text(errors="replace")
    except OSError:
        return []
    if not (note / "code").exists():
        said = said[: said.rfind("\n") + 1]  # the program still runs: a line may be half written
    scheduler = _scheduler(arguments, said, caller)
    callers = {
        name: caller[name] for name in ("slurm", "pbs", "lsf", "gridengine") if caller.get(name)
    }
    return [
        Child(
            id=";".join(group for group in found.groups() if group),
            scheduler=scheduler,
            arguments=arguments,
            callers=callers,
        )
        for found in pattern.finditer(said)
    ]


def _scheduler(arguments: tuple[str, ...], said: str, caller: Mapping[str, str]) -> str:
    """Return whose program was called; qsub is Grid Engine's or PBS's."""
    if arguments[0] in _SCHEDULERS:
        return _SCHEDULERS[arguments[0]]
    if "-terse" in arguments or said.startswith("Your job") or "\nYour job" in said:
        return "gridengine"
    if re.search(r"^\d+(?:\[\])?\.[A-Za-z]", said, re.MULTILINE):
        return "pbs"
    return "gridengine" if caller.get("root") else "pbs"
