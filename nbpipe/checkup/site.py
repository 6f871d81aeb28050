"""What the configuration needs of the machine: schedulers' programs, secrets, folders, homes.

For a service also its origins: each is asked for its branch, with the isolation and the secrets of
a fetch. Nothing is submitted, fetched or kept; a secret is looked at and never shown.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import shlex
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from nbpipe.checkup.findings import Finding, Severity
from nbpipe.config import is_marked
from nbpipe.config.settings import SHORTEST_SECRET
from nbpipe.config.tables import Table
from nbpipe.system import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbpipe.config import Config
    from nbpipe.config.settings import CollectionSettings, WebhookSettings

PATIENCE = 20.0
"""Seconds without a word from an origin until it counts as silent."""
_PUT = "Put the secret there."
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
                f"{told}: unknown scheduler {scheduler!r}",
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


def about_secrets(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which secrets of runs and reports (history, GitHub, mail) are not to be had from here.

    Notes only: that of GitHub may rightly exist in its workflows alone. A service's own are looked
    at by `about_service`.
    """
    settings = config.settings
    for name in ("history", "github", "notify"):
        for where, source in _sources(getattr(settings, name), name):
            if secrets.is_source(source):
                for finding in _about_secret(where, source, environ):
                    yield dataclasses.replace(finding, severity=Severity.NOTE)


def _sources(table: Table, name: str) -> Iterator[tuple[str, str]]:
    """Yield every key below a table that says where a secret is, as messages name it."""
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        if isinstance(value, Table):
            yield from _sources(value, f"{name}.{field.encode_name}")
        elif isinstance(value, str) and is_marked(field.type, "secret"):
            yield f"[{name}] {field.encode_name}", value


def about_service(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what a publishing service would miss: origins, secrets, the mirror's place, homes."""
    for collection in config.settings.collection:
        yield from _about_collection(collection, environ)
        yield from _about_origin(collection, environ)
    yield from _about_pages(config.settings.webhook, environ)
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
    for source in collection.secrets:
        yield from _about_secret(where, source, environ, shortest=SHORTEST_SECRET)
    if collection.token:
        yield from _about_secret(where, collection.token, environ)
    if not collection.secrets:
        yield Finding(
            severity=Severity.NOTE,
            kind="secret",
            what=f"{where}: no secret, so no beacon is accepted; the origin is only polled",
            how='Name one: secrets = ["env:NAME"] or ["file:/path"].',
        )
    if collection.outputs == "executed" and not collection.gate:
        yield Finding(
            severity=Severity.NOTE,
            kind="setting",
            what=f'{where}: outputs = "executed" without a gate: notebooks are published as stored',
            how="Name a gate whose run leaves executed copies in NBPIPE_OUTPUTS (see the README).",
        )
    yield from _about_root(where, collection)


def _about_root(where: str, collection: CollectionSettings) -> Iterator[Finding]:
    """Yield what is wrong with the place of the mirror: owner, modes, links, file systems."""
    from nbpipe.publishing.errors import MirrorError  # noqa: PLC0415
    from nbpipe.publishing.releases.mirror import Mirror  # noqa: PLC0415

    root = Path(collection.root)
    if not root.is_dir():
        yield _missing("folder", f"{where}: root {root} is not a folder", "Create it.")
        return
    try:
        Mirror.of(collection).check()
    except MirrorError as error:
        yield _missing("folder", f"{where}: {error.args[0]}", error.hint or "")
    if not os.access(root, os.W_OK | os.X_OK):
        yield Finding(
            severity=Severity.NOTE,
            kind="folder",
            what=f"{where}: you may not write in {root}, which belongs to {_owner(root)}",
            how="Run the service as the user that owns it.",
        )
    elif os.geteuid() == 0 and root.stat().st_uid != 0:
        yield Finding(
            severity=Severity.NOTE,
            kind="folder",
            what=f"{where}: {root} belongs to {_owner(root)}, who can change every release",
            how="Run the service as that user, or give the folder to root.",
        )


def _about_origin(collection: CollectionSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield why the origin cannot be followed from here, as a fetch would find out."""
    from nbpipe.errors import NbpipeError  # noqa: PLC0415
    from nbpipe.publishing.origin.cache import Cache  # noqa: PLC0415

    where = f"collection {collection.name}"
    if collection.lfs == "fetch" and shutil.which("git-lfs") is None:
        what = f'{where}: lfs = "fetch", and git-lfs is not installed'
        yield _missing("program", what, "Install git-lfs.")
    patience = min(collection.fetch_timeout, PATIENCE)
    hasty = msgspec.structs.replace(collection, fetch_timeout=patience)
    with TemporaryDirectory(prefix="nbpipe-") as folder:
        cache = Cache(hasty, Path(folder), environ=environ)
        try:
            cache.look()
        except NbpipeError as error:
            yield _missing("origin", error.args[0], error.hint or "")
        finally:
            cache.close()


def _about_pages(webhook: WebhookSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    if webhook.token:
        yield from _about_secret("[webhook] token", webhook.token, environ)
    elif webhook.pages == "open":
        yield Finding(
            severity=Severity.NOTE,
            kind="secret",
            what='[webhook] pages = "open": anyone who can reach the port, or a proxy in front '
            "of it, sees tracebacks, which can hold secrets",
            how="Remove it: the pages then ask for a token.",
        )


def _about_secret(
    where: str, source: str, environ: Mapping[str, str], *, shortest: int = 1
) -> Iterator[Finding]:
    """Yield why a source holds no secret now, or one that others can read."""
    try:
        secrets.read(source, environ, shortest=shortest)
    except secrets.NotASourceError as error:  # it may be the secret itself
        yield _missing("secret", f"{where}: {error}", f"Write {secrets.FORMS}.")
    except secrets.SecretUnusableError as error:
        yield _missing("secret", f"{where}: {source}: {_words(error, source)}", _PUT)
    else:
        if (mode := secrets.exposed(source)) is not None:
            file = secrets.file(source)
            yield Finding(
                severity=Severity.NOTE,
                kind="secret",
                what=f"{where}: {file} can be read by other users (mode {mode:04o})",
                how=f"chmod 600 {shlex.quote(str(file))}, owned by the service's user",
            )


def _words(error: secrets.SecretUnusableError, source: str) -> str:
    """Return what is wrong with a source, after its name."""
    if isinstance(error, secrets.SecretMissingError):
        return "the variable is not set" if secrets.variable(source) else "the file is empty"
    unreadable = isinstance(error, secrets.SecretUnreadableError)
    return f"it {error.problem}" if unreadable else error.problem


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:
        return f"uid {folder.stat().st_uid}"


def _missing(kind: str, what: str, how: str) -> Finding:
    return Finding(severity=Severity.MISSING, kind=kind, what=what, how=how)
