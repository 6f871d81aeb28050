"""From settings to a service: the one place that knows all the parts.

`embedded` runs every collection's worker in this process; `split` leaves the work to
`nbpipe publish --watch`, here or on another host that shares the mirror's file system.
"""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.config import variables
from nbpipe.errors import ConfigError
from nbpipe.history import identity
from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.origin import address
from nbpipe.publishing.reconcile import Reconciler, signal
from nbpipe.publishing.releases.mirror import STATE, Mirror, make_root
from nbpipe.system import private, secrets
from webhook.app import create_app
from webhook.pages.commits import Commits
from webhook.pages.door import Door, Token
from webhook.pages.state import own_folder, token_file
from webhook.receiving.decision import Followed
from webhook.receiving.deliveries import Deliveries
from webhook.receiving.secret import Secrets
from webhook.served import Served, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask import Flask

    from nbpipe.config.settings import CollectionSettings, WebhookSettings
    from nbpipe.publishing.health import Health
    from nbpipe.publishing.releases.journal import Trigger
    from webhook.pages.past import Past

logger = logging.getLogger(__name__)

JOIN_SECONDS = 30.0
"""How long a worker may take to come to the end of what it is doing."""
RESTART_SECONDS = 5.0
MEGABYTE = 1_000_000


class Elsewhere:
    """A worker in another process, woken through the file system."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self.mirror: Mirror = reconciler.mirror

    def wake(self, trigger: Trigger, *, delivery: str | None = None) -> None:  # noqa: ARG002  (a signal is a beacon's)
        """Touch what the other process watches.

        Raises:
            OSError: The mirror's state cannot be written.
        """
        signal(self.mirror, delivery or "")

    def health(self) -> Health:
        """Return what the other process last wrote."""
        return self._reconciler.health()


class Service:
    """The application, and the workers that live beside it."""

    def __init__(
        self,
        app: Flask,
        deliveries: Deliveries,
        workers: Sequence[Reconciler],
        past: Past | None = None,
    ) -> None:
        self.app = app
        self._deliveries = deliveries
        self._past = past
        self.workers = workers
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start one thread for every worker in this process, and open the history."""
        for worker in self.workers:
            name = f"worker {worker.settings.name}"
            thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        if self._past is not None:
            archive = self._past.archive
            threading.Thread(target=archive.warm, name="history", daemon=True).start()

    def _work(self, worker: Reconciler) -> None:
        """Run a worker; one that ends by a mistake of ours begins again."""
        while not self._stop.is_set():
            try:
                worker.run_forever(self._stop)
            except Exception:
                logger.exception("collection %s: the worker starts again", worker.settings.name)
                self._stop.wait(RESTART_SECONDS)

    def stop(self) -> None:
        """Let the workers come to their end; one that does not is safe to leave by design."""
        self._stop.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        self._deliveries.close()
        if self._past is not None:
            self._past.archive.close()


def wire(  # noqa: PLR0913  (the wiring: everything comes together here)
    collections: Sequence[CollectionSettings],
    settings: WebhookSettings,
    environ: Mapping[str, str],
    *,
    embedded: bool = True,
    prefix: str = "",
    proxies: int = 0,
    past: Past | None = None,
    hidden: frozenset[str] = frozenset(),
) -> Service:
    """Return the service for these collections; nothing is started yet.

    Args:
        collections: What is published; none: only results and reference runs are shown.
        settings: `[webhook]`.
        environ: Where secrets are looked up.
        embedded: The workers live in this process.
        prefix: The path below which it answers; by default that of the settings.
        proxies: How many reverse proxies are believed.
        past: Where the results and reference runs are.
        hidden: The variables that hold secrets of any table; a gate sees none of them.

    Raises:
        ConfigError: There is nothing to serve, two collections have one name, or one has no usable
            secret or repository; or the pages' token is not usable.
        MirrorError: The memory of deliveries cannot be kept below `root`.
    """
    if not collections and past is None:
        raise ConfigError(
            "the configuration has no [[collection]] to serve",
            hint="Name the file with --config, or add a collection to it.",
        )
    _check_names(collections)
    root = Path(collections[0].root) if collections else _own_root()
    prefix = prefix or settings.prefix
    workers = [
        Reconciler(one, environ=variables.without(environ, hidden, but=one)) for one in collections
    ]
    served = [
        _served(worker.settings, worker if embedded else Elsewhere(worker), environ)
        for worker in workers
    ]
    door = _door(settings, environ, root)
    if past is not None and past.copies:
        pages = own_folder(root)
        waiting = max(settings.threads // 3, 1)
        past = dataclasses.replace(past, rendered=pages / "copies", waiting=waiting)
    # Beside the first collection's state, so that processes on one mirror share the memory.
    file = root / STATE / "deliveries.sqlite"
    deliveries = _deliveries(file, remembered=settings.deliveries)
    app = create_app(
        served,
        deliveries,
        door=door,
        past=past,
        prefix=prefix,
        proxies=proxies,
        body_limit=int(settings.body_limit * MEGABYTE),
    )
    return Service(app, deliveries, workers if embedded else (), past)


def _door(settings: WebhookSettings, environ: Mapping[str, str], root: Path) -> Door:
    """Return who may see the pages; the log says so, and where the token is, never the token."""
    return Door(
        _token(settings, environ, root),
        now=time.time,
        public_badges=settings.public_badges,
        public_gallery=settings.public_gallery,
    )


def _token(settings: WebhookSettings, environ: Mapping[str, str], root: Path) -> Token | None:
    if settings.pages == "open":
        if settings.token:
            raise ConfigError(
                '[webhook] pages = "open" and token contradict each other',
                hint="Remove one of them; with a token the pages ask for it.",
            )
        logger.warning('the pages are open to everyone who can reach the port: pages = "open"')
        return None
    if settings.token is None:
        file, made = token_file(own_folder(root))
        token = Token(f"file:{file}", environ)
        token.check()
        logger.info("the pages ask for the token in %s%s", file, ", made now" if made else "")
        return token
    token = Token(settings.token, environ)
    token.check()
    logger.info("the pages ask for the token of %s", settings.token)
    if secrets.exposed(settings.token) is not None:
        logger.warning("%s: every user of this machine can read the token", settings.token)
    return token


def _served(settings: CollectionSettings, worker: Worker, environ: Mapping[str, str]) -> Served:
    signing = Secrets(settings.secrets, environ)
    signing.check(settings.name)
    followed = Followed(name=settings.name, repository=repository(settings), branch=settings.branch)
    return Served(
        followed=followed,
        secrets=signing,
        worker=worker,
        place=identity.address(settings.origin),
        describe=Commits(settings, environ).describe,
    )


def _check_names(collections: Sequence[CollectionSettings]) -> None:
    counts = Counter(one.name for one in collections)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ConfigError(
            f"collection {', '.join(twice)}: the name is given more than once",
            hint="Every [[collection]] needs a name of its own.",
        )


def repository(settings: CollectionSettings) -> str:
    """Return `ORG/REPO` as beacons name it, by default the end of the origin.

    Raises:
        ConfigError: The origin does not end like that.
    """
    found = address.repository_of(settings)
    if found is None:
        raise ConfigError(
            f"collection {settings.name}: its origin does not end with ORG/REPO",
            hint='Say which beacons are meant: repository = "ORG/REPO".',
        )
    return found


def _deliveries(file: Path, *, remembered: int) -> Deliveries:
    try:
        make_root(file.parent.parent)
        return Deliveries(file, remembered=remembered)
    except (OSError, sqlite3.Error) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise MirrorError(
            f"{file}: cannot be used: {what}",
            hint="The service's own user must be able to write below `root`.",
        ) from error


def _own_root() -> Path:
    """Return where a service without a mirror keeps the token and rendered copies.

    Raises:
        MirrorError: It cannot be made.
    """
    import platformdirs  # noqa: PLC0415

    root = Path(platformdirs.user_state_path("nbpipe")) / "serve"
    try:
        private.make_folder(root)
    except OSError as error:
        raise MirrorError(
            f"{root}: cannot be made: {error.strerror}",
            hint="The pages keep their token there; XDG_STATE_HOME names another place.",
        ) from error
    return root
