"""`POST /webhook/<collection>`: one delivery in, an answer within milliseconds out.

The order of the checks is part of the contract: route and method (Flask), length, content type,
signature, and only then is a byte of the body understood. The work itself is never done here:
the worker is only told to look.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.exceptions import NotFound

from nbpipe.errors import NbpipeError
from nbpipe.publishing.origin import forge
from nbpipe.publishing.releases.journal import Trigger
from webhook.receiving.body import Head, check_head, read_verified
from webhook.receiving.decision import Decision, Status, decide
from webhook.receiving.deliveries import Delivery
from webhook.receiving.payload import parse
from webhook.receiving.refusal import Malformed, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.metrics import Metrics
    from webhook.receiving.deliveries import Deliveries
    from webhook.receiving.forges import Forge
    from webhook.served import Served

EVENT = re.compile(r"[a-z][a-z_]{0,63}")
DELIVERY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:-]{0,99}")
"""GitHub sends a GUID; the bound keeps what is stored and shown small and plain."""


class Receiver:
    """Answers the deliveries of all the collections."""

    def __init__(
        self,
        served: Mapping[str, Served],
        deliveries: Deliveries,
        metrics: Metrics,
        *,
        body_limit: int,
    ) -> None:
        self._body_limit = body_limit
        self._served = served
        self._deliveries = deliveries
        self._metrics = metrics

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("receiver", __name__)
        routes.add_url_rule("/webhook", "only", self.receive, methods=["POST"])
        routes.add_url_rule("/webhook/<collection>", "receive", self.receive, methods=["POST"])
        return routes

    def receive(self, collection: str | None = None) -> tuple[Response, int]:
        """Answer one delivery.

        Raises:
            NotFound: There is no such collection.
            Refused: The delivery is not accepted, and nothing of it is kept.
        """
        served = self._find(collection)
        started = time.perf_counter()
        try:
            body = _verified_body(served, self._body_limit)
            decision = self._handle(body, served)
        except Refused as refused:
            self._metrics.count(served.name, refused.kind, time.perf_counter() - started)
            raise
        except Exception:
            self._metrics.count(served.name, "failed", time.perf_counter() - started)
            raise
        self._metrics.count(served.name, decision.status, time.perf_counter() - started)
        return _answer(decision)

    def _find(self, collection: str | None) -> Served:
        if not self._served:
            raise NotFound("nothing is published by this service: it takes no webhooks")
        if collection is None and len(self._served) == 1:
            return next(iter(self._served.values()))
        if collection is None:
            raise NotFound("there are several collections: POST to /webhook/NAME")
        try:
            return self._served[collection]
        except KeyError:
            raise NotFound("no such collection") from None

    def _handle(self, body: bytes, served: Served) -> Decision:
        event, delivery = _identity(served.forge)
        try:
            known = forge.read(served.worker.mirror, served.followed.repository)
            told = parse(body, request.mimetype)
            decision = decide(event, told, served.followed, known, forge=served.forge)
            _check_delivery(decision, delivery, served.forge)
        except Malformed as malformed:
            self._record(served, event, delivery, status=malformed.kind, reason=str(malformed))
            raise
        if decision.status is Status.ACCEPTED and not self._deliveries.claim(served.name, delivery):
            decision = Decision(status=Status.DUPLICATE, ref=decision.ref, commit=decision.commit)
        self._wake(served, decision, delivery)
        _learn(served, decision)
        self._record(served, event, delivery, status=decision.status, decision=decision)
        return decision

    def _wake(self, served: Served, decision: Decision, delivery: str) -> None:
        if not decision.wake:
            return
        try:
            served.worker.wake(Trigger.BEACON, delivery=delivery or None)
        except BaseException:
            # Not accepted after all: the redelivery must not be called a duplicate.
            self._deliveries.forget(served.name, delivery)
            raise
        current_app.logger.info(
            "collection %s: %s, delivery %s", served.name, decision.wake, delivery
        )

    def _record(  # noqa: PLR0913  (one row)
        self,
        served: Served,
        event: str,
        delivery: str,
        *,
        status: str,
        reason: str = "",
        decision: Decision | None = None,
    ) -> None:
        self._deliveries.record(
            Delivery(
                at=time.time(),
                collection=served.name,
                delivery=delivery,
                event=event,
                status=status,
                reason=decision.reason if decision else reason,
                who=decision.who if decision else "",
                ref=decision.ref if decision else "",
                commit=decision.commit if decision else "",
                title=decision.title if decision else "",
                forced=decision.forced if decision else False,
            )
        )


def _learn(served: Served, decision: Decision) -> None:
    """Keep the repository's id and name; a beacon is heard though that may not be possible."""
    if decision.known is None:
        return
    try:
        told = forge.learn(served.worker.mirror, decision.known, decision.commit, now=time.time())
    except (OSError, NbpipeError) as error:
        told = f"the repository's id cannot be kept: {error}"
    if told:
        current_app.logger.warning("collection %s: %s", served.name, told)


def _verified_body(served: Served, limit: int) -> bytes:
    headers = request.headers
    signature = headers.get(served.forge.signature_header, "")
    length = check_head(
        Head(
            length=headers.get("Content-Length", ""),
            transfer_encoding=headers.get("Transfer-Encoding", ""),
            content_encoding=headers.get("Content-Encoding", "").strip().lower(),
            mimetype=request.mimetype,
            signature=signature,
        ),
        limit=limit,
        forge=served.forge,
    )
    # The server's own stream: Flask's would judge the length in its own order.
    stream = request.environ["wsgi.input"]
    return read_verified(
        stream,
        length=length,
        signature=signature,
        secrets=served.secrets.read(),
        forge=served.forge,
    )


def _identity(forge: Forge) -> tuple[str, str]:
    """Return the event and the delivery's id (empty where there is none).

    Raises:
        Malformed: They are not what the forge sends.
    """
    event = forge.event(request.headers)
    if not EVENT.fullmatch(event):
        raise Malformed(f"{forge.event_headers[0]} is missing or not the name of an event")
    delivery = forge.delivery(request.headers)
    if delivery and not DELIVERY.fullmatch(delivery):
        raise Malformed(f"{forge.delivery_headers[0]} is not the id of a delivery")
    return event, delivery


def _check_delivery(decision: Decision, delivery: str, forge: Forge) -> None:
    if decision.status is Status.ACCEPTED and not delivery:
        raise Malformed(f"{forge.delivery_headers[0]} is missing")


def _answer(decision: Decision) -> tuple[Response, int]:
    body = {"status": str(decision.status)}
    if decision.status is Status.IGNORED:
        body["reason"] = decision.reason
    return jsonify(body), 200 if decision.status is Status.PONG else 202
