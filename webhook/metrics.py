"""`GET /metrics` in Prometheus' text format: what arrived, and how every collection is.

One registry per application, so that several live in one process. Labels hold configured names
and fixed words only: a caller cannot make new series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nbpipe.publishing.health import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.served import Served

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0)
"""Seconds; GitHub gives up after ten."""


class Metrics:
    """Counts answers; asks the workers when it is read."""

    def __init__(self, served: Mapping[str, Served]) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "nbpipe_webhook_deliveries",
            "Deliveries by outcome.",
            ["collection", "result"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "nbpipe_webhook_answer_seconds",
            "Seconds from a request's arrival to its answer.",
            ["collection"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._pages = Histogram(
            "nbpipe_page_seconds",
            "Seconds until a page was answered.",
            ["page"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Collections(served))
        ProcessCollector(registry=self._registry)

    def add(self, *collectors: Collector) -> None:
        """Tell what these tell, too."""
        for each in collectors:
            self._registry.register(each)

    def page(self, endpoint: str, seconds: float) -> None:
        """Count the seconds until a page was answered."""
        self._pages.labels(endpoint).observe(seconds)

    def count(self, collection: str, result: str, seconds: float) -> None:
        """Count one answer."""
        self._answers.labels(collection, result).inc()
        self._seconds.labels(collection).observe(seconds)

    def counts(self, collection: str) -> dict[str, int]:
        """Return how often each result came since the start."""
        return {
            sample.labels["result"]: int(sample.value)
            for family in self._answers.collect()
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels["collection"] == collection
        }

    def blueprint(self) -> Blueprint:
        """Return the route."""
        routes = Blueprint("metrics", __name__)
        routes.add_url_rule("/metrics", "metrics", self._page)
        return routes

    def _page(self) -> Response:
        return Response(generate_latest(self._registry), content_type=CONTENT_TYPE_LATEST)


class _Collections(Collector):
    """Gauges that are read from the workers, not kept."""

    def __init__(self, served: Mapping[str, Served]) -> None:
        self._served = served

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state = _gauge("state", "1 for the state that the collection is in.", "state")
        current = _gauge("current", "1 for the commit that readers see.", "commit")
        releases = _gauge("releases", "Releases on disk.")
        failures = _gauge("failures", "Failures in a row.")
        fetched = _gauge("fetched_timestamp_seconds", "When the origin last answered.")
        behind = _gauge("behind", "1 where the branch's head is not what readers see.")
        pinned = _gauge("pinned", "1 where a release is held back from the branch's head.")
        for name, served in self._served.items():
            health = served.health()
            for one in State:
                state.add_metric([name, one], float(health.state is one))
            if health.current:
                current.add_metric([name, health.current], 1)
            releases.add_metric([name], len(served.releases()))
            failures.add_metric([name], health.failures)
            fetched.add_metric([name], health.fetched or 0)
            behind.add_metric([name], float(health.wanted != health.current))
            pinned.add_metric([name], float(health.pinned is not None))
        return [state, current, releases, failures, fetched, behind, pinned]


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"nbpipe_collection_{name}", text, labels=["collection", *labels])
