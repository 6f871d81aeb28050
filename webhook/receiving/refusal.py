"""The ways a request is turned away, with the status of each; part of the outside contract."""

from __future__ import annotations

from http import HTTPStatus


class Refused(Exception):  # noqa: N818  (an answer, not a fault of ours)
    """A request that is not accepted. The message is sent to the caller: no secret, no path."""

    status = HTTPStatus.BAD_REQUEST
    kind = "malformed"
    """A word for the metrics."""


class Malformed(Refused):
    """The body or a header is not what GitHub sends: 400."""


class Forged(Refused):
    """The signature is missing, of another kind, or wrong: 403."""

    status = HTTPStatus.FORBIDDEN
    kind = "forged"


class TooLarge(Refused):
    """The body is over GitHub's own limit, or does not say how long it is: 413."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    kind = "too-large"


class WrongType(Refused):
    """The body is neither JSON nor a form, or it is compressed: 415."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    kind = "wrong-type"
