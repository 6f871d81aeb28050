"""What every database must do; collected by the tests of SQLite and of PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import olddatabases
import pytest
import sqlalchemy as sa
from pasts import (
    FAILURE,
    START,
    looked,
    opened,
    past_run,
    record,
    result,
    retried,
    task,
    trace,
)
from plans import full_scan, questions

from nbpipe.history import HistoryError, Last, PastFailure, PastTrace
from nbpipe.history.engine import address
from nbpipe.history.schema import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbpipe.history import History


class Storage:
    """The tests; a class that inherits them has a fixture `url` for an empty database."""

    @pytest.fixture
    def history(self, url: str, tmp_path: Path) -> Iterator[History]:
        with opened(url, tmp_path) as history:
            yield history

    def test_a_run_comes_back_as_it_was_recorded(self, history: History) -> None:
        record(history, past_run("r1"), result("a.ipynb", "passed"))
        run = history.run("latest")
        assert (run.id, run.started, run.seconds, run.interrupted) == ("r1", START, 9.5, False)
        assert (run.root, run.commit, run.jobs) == ("/c", "c0ffee", 2)

    def test_results_come_back_in_the_order_of_the_plan(self, history: History) -> None:
        run = past_run("r1")
        history.begin(run, [("b.ipynb", "python3"), ("a.ipynb", "ir"), ("c.ipynb", "ir")])
        history.add("r1", [result("a.ipynb", "passed", 2.5), result("b.ipynb", "failed", 0.5)])
        told = [(each.path, each.outcome, each.complete) for each in history.results(run)]
        assert told == [
            ("b.ipynb", "failed", True),
            ("a.ipynb", "passed", True),
            ("c.ipynb", None, False),
        ]

    def test_a_failure_comes_back_whole(self, history: History) -> None:
        run = past_run("r1")
        record(history, run, result("a.ipynb", "failed"))
        (told,) = history.results(run)
        assert told.failures == (
            PastFailure(
                category="missing-package",
                name=FAILURE.name,
                message=FAILURE.message,
                traceback="Traceback",
                signature=FAILURE.signature,
                cell=3,
                cell_id="c3",
                source="import x",
            ),
        )

    def test_what_no_database_takes_is_spelled(self, history: History) -> None:
        name = "caf\udce9\0.ipynb"
        record(history, past_run("r1"), result(name, "passed", 3.0))
        assert history.last() == {
            "caf\\udce9\\x00.ipynb": Last(outcome="passed", run="r1", seconds=3.0)
        }
        assert [each.seconds for each in history.notebook(name, 5)] == [3.0]

    def test_an_interrupted_notebook_is_not_complete(self, history: History) -> None:
        run = past_run("r1")
        record(history, run, result("a.ipynb", "skipped", reason="not started: SIGINT", attempts=0))
        (told,) = history.results(run)
        assert (told.outcome, told.complete, told.reason) == (
            "skipped",
            False,
            "not started: SIGINT",
        )
        assert history.last() == {}

    def test_a_notebook_that_is_to_be_skipped_is_complete(self, history: History) -> None:
        run = past_run("r1")
        skipped = result("a.ipynb", "skipped", reason="no R")
        record(history, run, replace(skipped, task=task("a.ipynb", skip="no R")))
        (told,) = history.results(run)
        assert (told.outcome, told.complete) == ("skipped", True)

    def test_the_last_result_is_the_newest_one(self, history: History) -> None:
        record(history, past_run("r1"), result("a.ipynb", "failed", 1.0))
        record(history, past_run("r2", days=1), result("a.ipynb", "passed", 2.0))
        assert history.last() == {"a.ipynb": Last(outcome="passed", run="r2", seconds=2.0)}

    def test_a_failure_does_not_make_a_notebook_quicker(self, history: History) -> None:
        record(history, past_run("r1"), result("a.ipynb", "passed", 60.0))
        record(history, past_run("r2", days=1), result("a.ipynb", "failed", 0.5))
        assert history.last() == {"a.ipynb": Last(outcome="failed", run="r2", seconds=60.0)}

    def test_a_skip_says_nothing_about_the_last_result(self, history: History) -> None:
        record(history, past_run("r1"), result("a.ipynb", "failed", 1.0))
        record(history, past_run("r2", days=1), result("a.ipynb", "skipped", reason="x"))
        assert history.last()["a.ipynb"].outcome == "failed"

    def test_a_notebooks_results_are_the_newest_first(self, history: History) -> None:
        for number, outcome in enumerate(("passed", "failed", "flaky")):
            record(history, past_run(f"r{number}", days=number), result("a.ipynb", outcome))
        told = [(each.run, each.outcome) for each in history.notebook("a.ipynb", 2)]
        assert told == [("r2", "flaky"), ("r1", "failed")]

    def test_a_run_is_found_by_the_beginning_of_its_id(self, history: History) -> None:
        record(history, past_run("20260131-ab"))
        record(history, past_run("20260201-cd", days=1))
        assert history.run("20260131").id == "20260131-ab"
        assert history.run("latest").id == "20260201-cd"

    def test_an_ambiguous_beginning_is_refused(self, history: History) -> None:
        record(history, past_run("r_1"))
        record(history, past_run("r_2", days=1))
        with pytest.raises(HistoryError, match="several runs whose id begins with 'r_'"):
            history.run("r_")

    def test_an_id_that_begins_another_one_is_found(self, history: History) -> None:
        record(history, past_run("r1"))
        record(history, past_run("r1-again"))
        with pytest.raises(HistoryError, match="several"):
            history.run("r1")
        assert history.run("r1-again").id == "r1-again"

    def test_an_unknown_run_is_refused(self, history: History) -> None:
        record(history, past_run("r1"))
        with pytest.raises(HistoryError, match="no run whose id begins with '%'"):
            history.run("%")

    def test_only_the_newest_runs_are_kept(self, history: History) -> None:
        for number in range(4):
            record(history, past_run(f"r{number}", days=number), result("a.ipynb", "passed"))
        history.forget(keep_runs=2, before=None)
        assert [run.id for run in history.runs(9)] == ["r3", "r2"]
        assert len(history.notebook("a.ipynb", 9)) == 2

    def test_old_runs_are_forgotten(self, history: History) -> None:
        record(history, past_run("r1"), result("gone.ipynb", "passed"))
        record(history, past_run("r2", days=10), result("a.ipynb", "passed"))
        history.forget(keep_runs=0, before=START + timedelta(days=5))
        assert [run.id for run in history.runs(9)] == ["r2"]
        assert list(history.last()) == ["a.ipynb"]

    def test_what_is_known_last_outlives_its_run(self, history: History) -> None:
        record(history, past_run("r1"), result("rare.ipynb", "failed"))
        record(history, past_run("r2", days=1), result("a.ipynb", "passed"))
        history.forget(keep_runs=1, before=None)
        assert history.last()["rare.ipynb"].outcome == "failed"

    def test_collections_do_not_see_each_other(self, url: str, tmp_path: Path) -> None:
        with opened(url, tmp_path, collection="one") as one:
            record(one, past_run("r1"), result("a.ipynb", "passed"))
            with opened(url, tmp_path, collection="two") as two:
                assert (two.runs(9), two.last()) == ([], {})
            one.forget(keep_runs=1, before=None)
            assert len(one.runs(9)) == 1

    def test_retention_of_one_collection_leaves_the_others(self, url: str, tmp_path: Path) -> None:
        for name in ("one", "two"):
            with opened(url, tmp_path, collection=name) as history:
                record(history, past_run(f"{name}-1"), result("a.ipynb", "passed"))
                record(history, past_run(f"{name}-2", days=1), result("a.ipynb", "passed"))
        with opened(url, tmp_path, collection="one") as one:
            one.forget(keep_runs=1, before=START + timedelta(hours=1))
        with opened(url, tmp_path, collection="two") as two:
            assert [run.id for run in two.runs(9)] == ["two-2", "two-1"]

    def test_several_at_once_begin_a_database_and_write_everything(
        self, url: str, tmp_path: Path
    ) -> None:
        names = [f"n{number}.ipynb" for number in range(30)]

        def write(number: int) -> None:
            mine = names if number % 2 else names[::-1]
            with opened(url, tmp_path) as history:
                history.begin(past_run(f"r{number}"), [(name, "python3") for name in mine])
                for name in mine:
                    history.add(f"r{number}", [result(name, "passed"), result(mine[0], "passed")])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        with opened(url, tmp_path) as history:
            runs = history.runs(9)
            assert sorted(run.id for run in runs) == ["r0", "r1", "r2", "r3"]
            done = [each.outcome for run in runs for each in history.results(run)]
            assert done == ["passed"] * 120

    @pytest.mark.parametrize("version", range(VERSION))
    def test_an_old_database_is_brought_to_this_version(
        self, url: str, tmp_path: Path, version: int
    ) -> None:
        olddatabases.make(url, tmp_path, version)
        with opened(url, tmp_path, collection="old") as history:
            assert history.last() == {"a.ipynb": Last(outcome="failed", run="r2", seconds=60.0)}
            runs = history.runs(9)
            assert [(run.id, run.started.day) for run in runs] == [("r2", 1), ("r1", 31)]
            told = [(each.path, each.outcome, each.memory) for each in history.results(runs[0])]
            assert told == [("a.ipynb", "failed", None), ("b.ipynb", None, None)]
            (failure,) = history.notebook("a.ipynb", 1)[0].failures
            assert (failure.message, failure.cell) == ("x", 3)

    def test_the_attempts_of_a_retried_notebook_come_back(self, url: str, tmp_path: Path) -> None:
        told = retried("a.ipynb", "flaky")
        with opened(url, tmp_path) as history:
            record(history, past_run("r1"), told, result("b.ipynb", "passed"))
            (run,) = history.runs(1)
            first, second = history.results(run)
            assert first.tries == told.tries
            assert second.tries == ()
            assert history.notebook("a.ipynb", 1)[0].tries == told.tries

    @pytest.mark.parametrize("version", range(VERSION))
    def test_an_old_database_is_then_like_a_new_one(
        self, url: str, tmp_path: Path, version: int
    ) -> None:
        with opened(url, tmp_path):
            pass
        wanted = olddatabases.shape(url, tmp_path)
        olddatabases.drop(url, tmp_path)
        olddatabases.make(url, tmp_path, version)
        with opened(url, tmp_path, collection="old") as history:
            record(
                history, past_run("r3", days=2), result("a.ipynb", "passed", memory=5_000_000_000)
            )
            assert history.last()["a.ipynb"].memory == 5_000_000_000
            assert history.notebook("a.ipynb", 1)[0].memory == 5_000_000_000
        assert olddatabases.shape(url, tmp_path) == wanted

    @pytest.mark.parametrize("version", range(VERSION))
    def test_what_pages_need_is_made_from_what_an_old_database_has(
        self, url: str, tmp_path: Path, version: int
    ) -> None:
        olddatabases.make(url, tmp_path, version)
        with looked(url, tmp_path) as look:
            (old,) = look.collections()
            runs = look.runs(old.id, 9)
            told = [(each.run.id, each.planned, each.passed, each.missing) for each in runs]
            assert told == [("r2", 2, 0, 1), ("r1", 2, 1, 0)]
            changes = [(each.run, each.path, each.change) for each in look.changes(old.id, 9)]
            assert changes == [("r2", "a.ipynb", "failing")]
            past = [(each.run, each.started.day) for each in look.notebook(old.id, "a.ipynb", 9)]
            assert past == [("r2", 1), ("r1", 31)]

    def test_a_failure_is_news_once_and_so_is_its_end(self, url: str, tmp_path: Path) -> None:
        outcomes = ("passed", "failed", "skipped", "failed", "flaky", "passed", "failed")
        with opened(url, tmp_path) as history:
            for day, outcome in enumerate(outcomes):
                record(history, past_run(f"r{day}", days=day), result("a.ipynb", outcome))
        with looked(url, tmp_path) as look:
            news = [(each.run, each.change) for each in look.changes(1, 9)]
        assert news == [("r6", "failing"), ("r4", "recovered"), ("r1", "failing")]

    def test_the_first_failure_of_a_new_notebook_is_news_its_first_pass_is_not(
        self, url: str, tmp_path: Path
    ) -> None:
        with opened(url, tmp_path) as history:
            record(
                history, past_run("r1"), result("a.ipynb", "passed"), result("b.ipynb", "failed")
            )
        with looked(url, tmp_path) as look:
            assert [(each.path, each.change) for each in look.changes(1, 9)] == [
                ("b.ipynb", "failing")
            ]

    def test_a_result_that_is_written_twice_is_the_same_news(
        self, url: str, tmp_path: Path
    ) -> None:
        with opened(url, tmp_path) as history:
            record(history, past_run("r1"), result("a.ipynb", "passed"))
            record(history, past_run("r2", days=1), result("a.ipynb", "failed"))
            history.add("r2", [result("a.ipynb", "failed")])
        with looked(url, tmp_path) as look:
            assert [each.change for each in look.changes(1, 9)] == ["failing"]

    def test_a_run_under_way_has_its_numbers_too(self, url: str, tmp_path: Path) -> None:
        with opened(url, tmp_path) as history:
            run = past_run("r1")
            history.begin(run, [("a.ipynb", "python3"), ("b.ipynb", "python3")])
            history.add("r1", [result("a.ipynb", "flaky")])
        with looked(url, tmp_path) as look:
            (told,) = look.runs(1, 9)
        assert (told.planned, told.flaky, told.missing) == (2, 1, 1)

    def test_runs_are_read_page_by_page(self, url: str, tmp_path: Path) -> None:
        with opened(url, tmp_path) as history:
            for name in ("r1", "r2", "r3"):  # at the same moment
                record(history, past_run(name))
            record(history, past_run("r0", days=-1))
        with looked(url, tmp_path) as look:
            first = look.runs(1, 2)
            rest = look.runs(1, 9, before=first[-1].run)
        assert [each.run.id for each in (*first, *rest)] == ["r3", "r2", "r1", "r0"]

    def test_failing_notebooks_are_listed_first(self, url: str, tmp_path: Path) -> None:
        with opened(url, tmp_path) as history:
            outcomes = {"a_.ipynb": "passed", "b.ipynb": "failed", "c.ipynb": "flaky"}
            record(history, past_run("r1"), *(result(*each) for each in outcomes.items()))
        with looked(url, tmp_path) as look:
            told = [each.path for each in look.notebooks(1, 9)]
            assert told == ["b.ipynb", "c.ipynb", "a_.ipynb"]
            assert [each.path for each in look.notebooks(1, 9, part="A_")] == ["a_.ipynb"]
            assert [each.path for each in look.notebooks(1, 1, 1)] == ["c.ipynb"]
            assert look.standing(1) == {"passed": 1, "failed": 1, "flaky": 1}

    def test_the_pasts_of_several_notebooks_come_each_with_its_own(
        self, url: str, tmp_path: Path
    ) -> None:
        with opened(url, tmp_path) as history:
            for day in range(3):
                run = past_run(f"r{day}", days=day)
                rare = [result("b.ipynb", "failed", 7.0)] if day == 0 else []
                record(history, run, result("a.ipynb", "passed", float(day)), *rare)
        with looked(url, tmp_path) as look:
            pasts = look.pasts(1, ["a.ipynb", "b.ipynb", "none.ipynb"], 2)
        told = {path: [each.seconds for each in past] for path, past in pasts.items()}
        assert told == {"a.ipynb": [2.0, 1.0], "b.ipynb": [7.0], "none.ipynb": []}

    def test_no_question_of_a_page_reads_all_results(self, url: str, tmp_path: Path) -> None:
        with opened(url, tmp_path) as history:
            run = past_run("r1")
            record(history, run, result("a.ipynb", "failed"), result("b.ipynb", "passed"))
            history.notebook("a.ipynb", 5)
        asked = questions(url, tmp_path, run)
        assert len(asked) > 10
        assert [plan for plan in asked if full_scan(plan)] == []

    def test_the_trace_of_the_last_pass_is_kept(self, history: History) -> None:
        first, second = trace(inputs={"d.csv": "1"}), trace(inputs={"d\udcff.csv": "2", "e": ""})
        record(history, past_run("r1"), result("a.ipynb", "passed", trace=first))
        record(history, past_run("r2", days=1), result("a.ipynb", "failed", trace=second))
        assert history.traces() == {"a.ipynb": PastTrace(run="r1", trace=first)}
        record(history, past_run("r3", days=2), result("a.ipynb", "passed", trace=second))
        kept = history.traces()["a.ipynb"]
        assert (kept.run, kept.trace) == ("r3", trace(inputs={"d\\udcff.csv": "2", "e": ""}))
        record(history, past_run("r4", days=3), result("a.ipynb", "passed"))
        assert history.traces()["a.ipynb"].run == "r3"

    def test_an_old_trace_is_forgotten_with_its_notebook(self, history: History) -> None:
        record(history, past_run("r1"), result("a.ipynb", "passed", trace=trace()))
        history.forget(keep_runs=0, before=START + timedelta(days=1))
        assert history.traces() == {}

    def test_a_failure_does_not_make_a_notebook_smaller(self, history: History) -> None:
        record(history, past_run("r1"), result("a.ipynb", "passed", memory=5_000_000_000))
        record(history, past_run("r2", days=1), result("a.ipynb", "failed", memory=1_000))
        assert history.last()["a.ipynb"].memory == 5_000_000_000
        record(history, past_run("r3", days=2), result("a.ipynb", "passed", memory=None))
        assert history.last()["a.ipynb"].memory == 5_000_000_000
        record(history, past_run("r4", days=3), result("a.ipynb", "passed", memory=2_000))
        assert history.last()["a.ipynb"].memory == 2_000

    def test_a_newer_database_is_refused_and_left_alone(self, url: str, tmp_path: Path) -> None:
        with opened(url, tmp_path):
            pass
        execute(url, tmp_path, "UPDATE nbpipe_schema SET version = 99")
        with pytest.raises(HistoryError, match=r"newer nbpipe \(schema 99, this one knows 5\)"):
            opened(url, tmp_path)


def execute(url: str, root: Path, *statements: str) -> None:
    """Do something to a database behind nbpipe's back."""
    engine = sa.create_engine(address(url, root))
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
