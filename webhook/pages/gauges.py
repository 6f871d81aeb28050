"""What `/metrics` tells of the test results and the reference runs, read when it is asked.

Labels hold the names of collections and references, and fixed words; never a notebook's path.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nbpipe.history import HistoryError, NoHistory
from webhook.pages.names import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbpipe.history import Archive
    from webhook.pages.references import References

logger = logging.getLogger(__name__)

_OUTCOMES = ("passed", "failed", "flaky")
_COUNTED = (*_OUTCOMES, "skipped", "missing")


class Past(Collector):
    """Gauges of the history."""

    def __init__(self, archive: Archive, origins: Mapping[str, str]) -> None:
        self._archive = archive
        self._origins = origins

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the gauges; `nbpipe_history_up` alone where the history cannot be read."""
        up = GaugeMetricFamily("nbpipe_history_up", "1 where the history can be read.")
        try:
            families = self._read()
        except NoHistory:
            families = []
        except HistoryError:
            logger.exception("the history cannot be read")
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *families]

    def _read(self) -> list[GaugeMetricFamily]:
        notebooks = _gauge("notebooks", "Notebooks by their last outcome.", "outcome")
        runs = _gauge("runs", "Runs that are remembered.")
        results = _gauge("last_run_results", "Results of the last run.", "outcome")
        seconds = _gauge("last_run_seconds", "How long the last run took, once it has ended.")
        started = _gauge("last_run_timestamp_seconds", "When the last run began.")
        with self._archive.look() as look:
            for each in named(look.collections(), self._origins).values():
                standing = look.standing(each.id)
                for word in _OUTCOMES:
                    notebooks.add_metric([each.name, word], standing.get(word, 0))
                runs.add_metric([each.name], look.run_count(each.id))
                for last in look.runs(each.id, 1):
                    for word in _COUNTED:
                        results.add_metric([each.name, word], getattr(last, word))
                    started.add_metric([each.name], last.run.started.timestamp())
                    if last.run.seconds is not None:
                        seconds.add_metric([each.name], last.run.seconds)
        return [notebooks, runs, results, seconds, started]


class Stored(Collector):
    """Gauges of the reference runs."""

    def __init__(self, references: References) -> None:
        self._references = references

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the gauges."""
        runs = GaugeMetricFamily("nbpipe_reference_runs", "Reference runs.", labels=["name"])
        releases = GaugeMetricFamily(
            "nbpipe_reference_releases", "Releases with a reference.", labels=["name"]
        )
        for name, (run_count, release_count) in self._references.counts().items():
            runs.add_metric([name], run_count)
            releases.add_metric([name], release_count)
        return [runs, releases]


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"nbpipe_history_{name}", text, labels=["collection", *labels])
