"""The operator's own command has the last word before a flip."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from nbpipe.publishing.reconcile import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]


def gate(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_candidate_that_passes_is_published(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    head = origin.publish({"a": b"1"})
    told = tmp_path / "told"
    code = (
        "import os, sys; candidate = sys.argv[1]; "
        "assert open(candidate + '/a').read() == '1'; "
        "assert os.environ['NBPIPE_CANDIDATE'] == candidate; "
        f"open({str(told)!r}, 'w').write(os.environ['NBPIPE_COMMIT'])"
    )

    outcome = follow(gate=gate(code)).reconcile_once()

    assert outcome.current == head
    assert told.read_text() == head


def test_a_candidate_that_does_not_pass_leaves_the_old_release_and_is_asked_once(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    good = origin.publish({"a": b"1"})
    follow().reconcile_once()
    refused = origin.publish({"a": b"2"})
    counter = tmp_path / "counter"
    code = (
        f"open({str(counter)!r}, 'a').write('x'); "
        "print('notebook a is broken'); raise SystemExit(3)"
    )
    worker = follow(gate=gate(code))

    outcomes = [worker.reconcile_once() for _ in range(3)]

    assert {outcome.result for outcome in outcomes} == {Result.REFUSED}
    assert worker.mirror.current() == good
    assert worker.mirror.releases() == [good]
    assert "ended with 3" in (outcomes[-1].error or "")
    assert "notebook a is broken" in (outcomes[-1].error or "")
    assert counter.read_text() == "x"
    worker.reconcile_once(again=True)
    assert counter.read_text() == "xx"
    assert worker.health().wanted == refused


def test_a_gate_that_hangs_is_ended_with_all_its_children(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    worker = follow(gate=("sh", "-c", "sleep 600 & sleep 600; true"), gate_timeout=0.5)

    outcome = worker.reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "took longer than 0.5 s" in (outcome.error or "")


def test_a_gate_that_writes_into_the_candidate_refuses_it(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})
    code = (
        "import os, sys; path = sys.argv[1] + '/a'; os.chmod(path, 0o644); "
        "open(path, 'w').write('2'); os.chmod(path, 0o444)"
    )
    worker = follow(gate=gate(code))

    outcome = worker.reconcile_once()

    assert outcome.result is Result.REFUSED
    assert "the gate changed the candidate" in (outcome.error or "")
    assert follow().reconcile_once().result is Result.PUBLISHED
    assert (worker.mirror.link / "a").read_bytes() == b"1"


def test_a_missing_gate_publishes_nothing(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1"})

    outcome = follow(gate=("/no/such/gate",)).reconcile_once()

    assert outcome.current is None
    assert "cannot be run: No such file or directory" in (outcome.error or "")


def test_a_gate_does_not_see_the_secrets(
    origin: Origin, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "BEACON_SECRET", "hunter2")
    origin.publish({"a": b"1"})
    code = "import os; raise SystemExit('hunter2' in str(os.environ))"
    changes: dict[str, Any] = {"gate": gate(code), "secrets": ("env:BEACON_SECRET",)}

    assert follow(**changes).reconcile_once().result is Result.PUBLISHED
