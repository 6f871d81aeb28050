"""The secrets that a collection's beacons are signed with, read again for every request.

How one is found is `nbpipe.system.secrets`; here it must be there at the start, and long enough. A
secret leaves this module only as bytes for an HMAC. No message, log or repr holds one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbpipe.config.settings import SHORTEST_SECRET
from nbpipe.errors import ConfigError
from nbpipe.system import secrets
from nbpipe.system.secrets import SecretUnusableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)

ADVISED = 16
"""Bytes below which a secret is complained of in the log."""
_MAKE = "`openssl rand -hex 32` makes a good one."


@dataclass(frozen=True, slots=True)
class Secrets:
    """All the secrets that a collection's beacons may be signed with.

    Several are listed while one is rotated. They are read for every request, so that a new file
    takes effect without a restart and a removed one is not accepted any more.
    """

    sources: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)

    def check(self, collection: str) -> None:
        """Make sure that every source holds a secret before the first request arrives.

        Raises:
            ConfigError: No source is listed, or some of them are empty, missing, unreadable or
                too short; all of these are named.
        """
        if not self.sources:
            raise ConfigError(
                f"collection {collection}: `secrets` is empty, so every beacon could be forged",
                hint='Name at least one: secrets = ["env:NAME"] or ["file:/path"].',
            )
        problems = []
        for source in self.sources:
            try:
                value = secrets.read(source, self.environ, shortest=SHORTEST_SECRET)
            except SecretUnusableError as error:
                problems.append(str(error))
                continue
            if len(value) < ADVISED:
                logger.warning(
                    "collection %s: the secret %s has only %d bytes; %s",
                    *(collection, source, len(value), _MAKE),
                )
            if secrets.exposed(source) is not None:
                logger.warning(
                    "collection %s: every user of this machine can read %s", collection, source
                )
        if problems:
            raise ConfigError(
                f"collection {collection}: {'; '.join(problems)}",
                hint=f"Put the webhook's secret there, or take it out of `secrets`. {_MAKE}",
            )

    def read(self) -> Sequence[bytes]:
        """Return the secrets that hold now; a source that lost its secret accepts nothing."""
        found: list[bytes] = []
        for source in self.sources:
            try:
                found.append(secrets.read(source, self.environ, shortest=SHORTEST_SECRET))
            except SecretUnusableError as error:
                logger.error("%s: no beacon is accepted with it", error)  # noqa: TRY400  (the message says it all)
        return found
