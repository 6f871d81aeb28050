"""Where a webhook's secrets come from: `env:NAME` or `file:PATH`, read again when asked.

A secret leaves this module only as bytes for an HMAC. No message, log or repr holds one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.errors import ConfigError
from nbpipe.settings import SHORTEST_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)

ADVISED = 16
"""Bytes below which a secret is complained of in the log."""
LONGEST_FILE = 64 * 1024
"""Bytes; a larger file is not a secret but a mistake."""


_MAKE = "`openssl rand -hex 32` makes a good one."


class SecretUnusableError(Exception):
    """A source holds no secret now; the message names the source, never its content."""


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
                value = _of_beacons(source, self.environ)
            except SecretUnusableError as error:
                problems.append(str(error))
                continue
            if len(value) < ADVISED:
                logger.warning(
                    "collection %s: the secret %s has only %d bytes; %s",
                    *(collection, source, len(value), _MAKE),
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
                found.append(_of_beacons(source, self.environ))
            except SecretUnusableError as error:
                logger.error("%s: no beacon is accepted with it", error)  # noqa: TRY400  (the message says it all)
        return found


def read_source(source: str, environ: Mapping[str, str]) -> bytes:
    """Return the secret that a source holds now.

    Raises:
        SecretUnusableError: It holds none.
    """
    kind, _, where = source.partition(":")
    match kind:
        case "env" if where:
            value = environ.get(where, "").encode("utf-8", "surrogateescape")
        case "file" if where:
            value = _file(Path(where), source)
        case _:
            # The source is not printed: it may be a secret that was written here by mistake.
            raise SecretUnusableError('a source is neither "env:NAME" nor "file:PATH"')
    value = value.strip()
    if not value:
        raise SecretUnusableError(f"the secret {source} is empty or missing")
    return value


def _of_beacons(source: str, environ: Mapping[str, str]) -> bytes:
    """Return a secret that beacons are signed with.

    Raises:
        SecretUnusableError: There is none, or one that could be guessed.
    """
    value = read_source(source, environ)
    if len(value) < SHORTEST_SECRET:
        raise SecretUnusableError(
            f"the secret {source} is shorter than {SHORTEST_SECRET} bytes, so it could be guessed"
        )
    return value


def _file(path: Path, source: str) -> bytes:
    try:
        with path.open("rb") as file:
            value = file.read(LONGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise SecretUnusableError(f"the secret {source} cannot be read: {reason}") from error
    if len(value) > LONGEST_FILE:
        raise SecretUnusableError(f"the secret {source} is larger than {LONGEST_FILE} bytes")
    return value
