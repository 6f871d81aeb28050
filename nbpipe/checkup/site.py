"""What the configuration needs of the machine: schedulers' programs, secrets, folders, homes.

Nothing is submitted, fetched or written; a secret is looked at and never told.
"""

from __future__ import annotations

import glob
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.checkup.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.config import Config
    from nbpipe.settings import CollectionSettings

PROGRAMS = {
    "slurm": ("sbatch", "squeue", "sacct", "scancel"),
    "gridengine": ("qsub", "qstat", "qacct", "qdel"),
    "pbs": ("qsub", "qstat", "qdel"),
    "lsf": ("bsub", "bjobs", "bkill"),
    "htcondor": ("condor_submit", "condor_q", "condor_history", "condor_rm"),
    "local": (),
}
"""What each of our schedulers calls; a site's own brings its own programs."""


def about_schedulers(config: Config) -> Iterator[Finding]:
    """Yield the profiles whose scheduler cannot be used from here."""
    from nbpipe.reference.schedulers import registry  # noqa: PLC0415

    profiles: dict[str, list[str]] = {}
    for name, profile in config.settings.profiles.items():
        profiles.setdefault(profile.scheduler, []).append(name)
    known = registry.names()
    for scheduler, names in profiles.items():
        told = f"profile{'s' if len(names) > 1 else ''} {', '.join(names)}"
        if scheduler not in known:
            yield _missing(
                "scheduler",
                f"{told}: there is no scheduler {scheduler!r}",
                f"Known: {', '.join(known)}; a site adds its own as an entry point.",
            )
            continue
        programs = [each for each in PROGRAMS.get(scheduler, ()) if shutil.which(each) is None]
        if programs:
            yield Finding(
                severity=Severity.NOTE,
                kind="scheduler",
                what=f"{told}: {scheduler}'s programs are not on PATH: {', '.join(programs)}",
                how="Submit where they are, such as on a login node.",
            )


def about_service(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what a publishing service would miss: secrets, the mirror's place, homes."""
    for collection in config.settings.collection:
        yield from _about_collection(collection, environ)
    if config.settings.collection:
        spaces = config.settings.spaces
        homes = (next(glob.iglob(each), None) for each in spaces.homes)  # noqa: PTH207  (absolute)
        if not any(homes):
            yield Finding(
                severity=Severity.NOTE,
                kind="folder",
                what=f"no home matches {', '.join(spaces.homes)}: the mirror appears nowhere",
                how="Name the users' homes in [spaces] homes.",
            )


def _about_collection(
    collection: CollectionSettings, environ: Mapping[str, str]
) -> Iterator[Finding]:
    where = f"collection {collection.name}"
    sources = [*collection.secrets, *filter(None, [collection.token])]
    for source in sources:
        if (problem := _secret_problem(source, environ)) is not None:
            yield _missing("secret", f"{where}: {source}: {problem}", "Put the secret there.")
    if not collection.secrets:
        yield Finding(
            severity=Severity.NOTE,
            kind="secret",
            what=f"{where}: no secret, so no beacon is accepted; the origin is only polled",
            how='Name one: secrets = ["env:NAME"] or ["file:/path"].',
        )
    if not Path(collection.root).is_dir():
        yield _missing("folder", f"{where}: root {collection.root} is no folder", "Make it.")
    elif not os.access(collection.root, os.W_OK | os.X_OK):
        yield Finding(
            severity=Severity.NOTE,
            kind="folder",
            what=f"{where}: you may not write in {collection.root}",
            how="Run the service as the user that owns it.",
        )


def _secret_problem(source: str, environ: Mapping[str, str]) -> str | None:
    """Return why a source holds no secret now; None where it does."""
    kind, _, name = source.partition(":")
    if kind == "env":
        return None if environ.get(name) else "the variable is not set"
    if kind == "file":
        try:
            return None if Path(name).read_bytes().strip() else "the file is empty"
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
    return "is neither env:NAME nor file:PATH"


def _missing(kind: str, what: str, how: str) -> Finding:
    return Finding(severity=Severity.MISSING, kind=kind, what=what, how=how)
