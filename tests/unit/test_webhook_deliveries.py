"""The receiver's memory outlives it, is shared, and stays small."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from webhook.receiving.deliveries import Deliveries, Delivery

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def one(delivery: str, **changes: object) -> Delivery:
    values: dict[str, object] = {
        "at": 1.5,
        "collection": "n",
        "delivery": delivery,
        "event": "push",
        "status": "accepted",
    }
    return Delivery(**{**values, **changes})  # type: ignore[arg-type]


def test_a_delivery_is_claimed_once(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite") as deliveries:
        assert deliveries.claim("n", "a")
        assert not deliveries.claim("n", "a")
        assert deliveries.claim("n", "b")


def test_two_collections_may_get_the_same_delivery(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite") as deliveries:
        assert deliveries.claim("english", "a")
        assert deliveries.claim("spanish", "a")


def test_a_claim_outlives_the_process(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite") as deliveries:
        deliveries.claim("n", "a")
    with Deliveries(tmp_path / "d.sqlite") as deliveries:
        assert not deliveries.claim("n", "a")


def test_a_claim_that_is_taken_back_can_be_made_again(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite") as deliveries:
        deliveries.claim("n", "a")
        deliveries.forget("n", "a")
        assert deliveries.claim("n", "a")


def test_only_so_many_claims_are_remembered(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite", remembered=3) as deliveries:
        for name in "abcd":
            deliveries.claim("n", name)
        assert not deliveries.claim("n", "d")
        assert not deliveries.claim("n", "b")
        assert deliveries.claim("n", "a")


def test_many_duplicates_do_not_push_a_claim_out(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite", remembered=2) as deliveries:
        deliveries.claim("n", "a")
        deliveries.claim("n", "b")
        assert [deliveries.claim("n", "b") for _ in range(10)] == [False] * 10
        assert not deliveries.claim("n", "a")


def test_of_many_threads_with_one_delivery_one_claims_it(tmp_path: Path) -> None:
    claimed: list[bool] = []
    barrier = threading.Barrier(16)
    with Deliveries(tmp_path / "d.sqlite") as deliveries:

        def claim() -> None:
            barrier.wait()
            claimed.append(deliveries.claim("n", "a"))

        threads = [threading.Thread(target=claim) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(claimed) == [False] * 15 + [True]


def test_of_several_processes_that_start_at_once_each_delivery_is_claimed_by_one(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from webhook.receiving.deliveries import Deliveries\n"
        "deliveries = Deliveries(Path(sys.argv[1]))\n"
        "print(sum(deliveries.claim('n', str(n)) for n in range(200)))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "d.sqlite")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(4)
    ]
    ended = [process.communicate() for process in processes]
    assert [errors for _, errors in ended] == [""] * 4
    assert sum(int(count) for count, _ in ended) == 200


def test_the_log_gives_the_newest_first_and_forgets_the_oldest(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite", logged=3) as deliveries:
        for name in "abcde":
            deliveries.record(one(name))
        assert [found.delivery for found in deliveries.last(10)] == ["e", "d", "c"]
        assert [found.delivery for found in deliveries.last(1)] == ["e"]


def test_what_is_recorded_comes_back(tmp_path: Path) -> None:
    whole = one(
        "a", reason="r", who="ada", ref="refs/heads/main", commit="c", title="t", forced=True
    )
    with Deliveries(tmp_path / "d.sqlite") as deliveries:
        deliveries.record(whole)
        assert deliveries.last(1) == [whole]


def test_text_that_is_no_unicode_is_recorded_all_the_same(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "d.sqlite") as deliveries:
        deliveries.record(one("a", who="half \ud800"))
        assert deliveries.last(1)[0].who == "half ?"


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "d.sqlite"
    file.write_bytes(b"this is no database at all" * 100)
    with Deliveries(file) as deliveries:
        assert deliveries.claim("n", "a")
    assert (tmp_path / "d.sqlite.damaged").exists()
    assert "is damaged" in caplog.text


def test_a_file_that_cannot_be_written_never_loses_a_beacon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "d.sqlite"
    with Deliveries(file) as deliveries:
        other = sqlite3.connect(file)
        other.execute("DROP TABLE accepted")
        other.execute("DROP TABLE log")
        other.close()
        assert deliveries.claim("n", "a")
        deliveries.record(one("a"))
        assert deliveries.last(1) == []
    assert "cannot be written" in caplog.text


def test_the_file_is_not_for_other_eyes(tmp_path: Path) -> None:
    with Deliveries(tmp_path / "state" / "d.sqlite"):
        assert (tmp_path / "state" / "d.sqlite").stat().st_mode & 0o777 == 0o600
