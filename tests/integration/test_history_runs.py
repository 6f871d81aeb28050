"""Real runs that remember, and real runs that ask what was."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from changing import changing
from pasts import opened, postgresql
from running import running, until

import nbpipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ondisk import Collection, Ended

    from nbpipe.history import History

SQLITE = "sqlite:///history/h.sqlite"


@pytest.fixture
def remembered(collection: Collection) -> Collection:
    """Return a collection with a history of its own: a passes, b fails, c passes."""
    configure(collection, SQLITE)
    for path, source in (("a", "1"), ("b", "1 / 0"), ("c", "1")):
        collection.notebook(f"{path}.ipynb", source)
    return collection


def configure(collection: Collection, url: str, more: str = "") -> None:
    text = f'[history]\nurl = "{url}"\n{more}'
    (collection.root / "nbpipe.toml").write_text(text, encoding="utf-8")


def history(collection: Collection) -> History:
    return opened(SQLITE, collection.root, create=False)


def nbpipe_(collection: Collection, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nbpipe", *arguments],
        cwd=collection.root,
        env=os.environ | collection.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def ran(ended: Ended) -> list[str]:
    assert ended.report is not None, ended.err
    return [each["path"] for each in ended.report["notebooks"]]


def reasons(ended: Ended) -> dict[str, str]:
    """Return why each other notebook did not run, without the number of the run."""
    assert ended.report is not None
    return {
        each["path"]: each["reason"].partition(" in run ")[0] for each in ended.report["excluded"]
    }


def test_only_what_failed_last_runs_again(remembered: Collection) -> None:
    assert remembered.test().code == 1
    ended = remembered.test("--lf")
    assert (ended.code, ran(ended)) == (1, ["b.ipynb"])
    assert reasons(ended) == {
        "a.ipynb": "deselected by --lf: passed",
        "c.ipynb": "deselected by --lf: passed",
    }
    remembered.notebook("b.ipynb", "1 / 1")
    assert remembered.test("--lf").code == 0
    done = nbpipe_(remembered, "test", "--lf")
    assert done.returncode == 0
    assert done.stdout == (
        "nothing to run: nothing that was chosen failed last (--list says more)\n"
    )
    ended = remembered.test("--lf")
    assert (ended.code, ran(ended), len(reasons(ended))) == (0, [], 3)


def test_the_list_gives_the_reasons_too(remembered: Collection) -> None:
    remembered.test()
    done = nbpipe_(remembered, "test", "--lf", "--list")
    assert "1 notebook would run" in done.stdout
    assert done.stdout.count("deselected by --lf: passed in run 2") == 2


def test_what_failed_last_comes_first(remembered: Collection) -> None:
    remembered.test()
    ended = remembered.test("--ff", "-n", "1", "--progress", "plain")
    assert ran(ended) == ["b.ipynb", "a.ipynb", "c.ipynb"]
    first = [line for line in ended.err.splitlines() if line.startswith("[1/3]")]
    assert "b.ipynb" in first[0]


def test_lf_without_a_history_runs_nothing_and_says_so(remembered: Collection) -> None:
    done = nbpipe_(remembered, "test", "--lf")
    assert done.returncode == 4
    assert f"{remembered.root}/history/h.sqlite: no history yet" in done.stderr


def test_lf_where_nothing_is_known_is_no_success(remembered: Collection) -> None:
    remembered.test("a.ipynb")
    done = nbpipe_(remembered, "test", "--lf", "b.ipynb")
    assert done.returncode == 4
    assert "no result of any notebook that was chosen is known" in done.stderr


def test_ff_without_a_history_runs_everything(remembered: Collection) -> None:
    ended = remembered.test("--ff")
    assert ran(ended) == ["a.ipynb", "b.ipynb", "c.ipynb"]
    assert "no history yet" in ended.err


def test_a_run_that_was_killed_is_resumed(collection: Collection) -> None:
    configure(collection, SQLITE)
    collection.notebook("a.ipynb", "1 / 0")
    slow = "import pathlib, time\npathlib.Path('flag').touch()\ntime.sleep(600)"
    collection.notebook("b.ipynb", slow)
    collection.notebook("c.ipynb", "1")
    with running(collection, "-n", "1") as run:
        run.wait_for("flag")
        until(lambda: len(known(collection)) == 1, "the first result is written")
        run.process.kill()
    with history(collection) as past:
        killed = past.run("latest")
        assert killed.seconds is None
    collection.notebook("b.ipynb", "1")
    ended = collection.test("--resume")
    assert (ended.code, ran(ended)) == (0, ["b.ipynb", "c.ipynb"])
    assert reasons(ended) == {"a.ipynb": "deselected by --resume: failed"}
    assert f"resuming run {killed.id}: 1 of its 3 notebooks have their result (1 failed)" in (
        ended.err
    )
    again = nbpipe_(collection, "test", "--resume", killed.id[:15], "--list")
    assert "2 notebooks would run" in again.stdout


def known(collection: Collection) -> dict[str, Any]:
    if not (collection.root / "history/h.sqlite").exists():
        return {}
    with history(collection) as past:
        return dict(past.last())


def test_an_interrupted_run_is_resumed(collection: Collection) -> None:
    configure(collection, SQLITE)
    slow = "import pathlib, time\npathlib.Path('flag').touch()\ntime.sleep(600)"
    collection.notebook("a.ipynb", slow)
    collection.notebook("b.ipynb", "1")
    with running(collection, "-n", "1") as run:
        run.wait_for("flag")
        run.interrupt("SIGINT")
        assert run.ended().code == 2
    with history(collection) as past:
        assert past.run("latest").interrupted
    collection.notebook("a.ipynb", "1")
    assert ran(collection.test("--resume", "latest")) == ["a.ipynb", "b.ipynb"]
    done = nbpipe_(collection, "test", "--resume")
    assert done.returncode == 0
    assert done.stdout.startswith("nothing to run: that run got to the end")


def test_the_longest_starts_first_the_second_time(collection: Collection) -> None:
    configure(collection, SQLITE)
    source = "import time, pathlib\npathlib.Path('order').open('a').write('{0}')\ntime.sleep({1})"
    for name, seconds in (("a", 0), ("b", 0), ("z", 3)):
        collection.notebook(f"{name}.ipynb", source.format(name, seconds))
    for _ in range(2):
        ended = collection.test("-n", "1")
        assert ran(ended) == ["a.ipynb", "b.ipynb", "z.ipynb"]  # a report keeps the plan's order
    order = (collection.root / "order").read_text()
    assert (order[:3], order[3]) == ("abz", "z")


def test_a_group_and_slots_keep_notebooks_apart(collection: Collection) -> None:
    configure(
        collection,
        SQLITE,
        '[test.groups]\nfile = ["g*"]\n[[test.overrides]]\npaths = ["heavy.ipynb"]\nslots = 2\n',
    )
    alone = (
        "import os, time\nos.mkdir('{0}')\ntime.sleep(0.5)\n"
        "assert not os.path.exists('{1}')\nos.rmdir('{0}')"
    )
    for name in ("g1", "g2", "g3"):
        collection.notebook(f"{name}.ipynb", alone.format("one", "two"))
    collection.notebook("heavy.ipynb", alone.format("two", "one"))
    assert collection.test("-n", "2").code == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield SQLITE
    else:
        with postgresql() as url:
            yield url


def test_two_runs_at_once_both_are_remembered_whole(remembered: Collection, url: str) -> None:
    configure(remembered, url)
    folder = remembered.output_dir
    others = [replace(remembered, output_dir=folder.with_name(f"output{n}")) for n in range(2)]
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda each: each.test("-n", "2"), others))
    assert [(each.code, "warning" in each.err) for each in ended] == [(1, False), (1, False)]
    with opened(url, remembered.root) as past:
        runs = past.runs(9)
        told = [[each.outcome for each in past.results(run)] for run in runs]
        assert told == [["passed", "failed", "passed"]] * 2
        assert all(run.seconds for run in runs)
    assert ran(remembered.test("--lf")) == ["b.ipynb"]


def test_a_broken_history_is_one_warning_and_fails_nothing(remembered: Collection) -> None:
    (remembered.root / "history").mkdir()
    (remembered.root / "history/h.sqlite").write_text("no database " * 100)
    (remembered.root / "b.ipynb").unlink()
    ended = remembered.test("-n", "1")
    assert ended.code == 0
    assert ended.err.count("nbpipe: warning: the history") == 1
    assert "history/h.sqlite: file is not a database\n  Move the file away" in ended.err


def test_a_locked_history_is_one_warning_and_fails_nothing(remembered: Collection) -> None:
    remembered.test("a.ipynb")
    other = sqlite3.connect(remembered.root / "history/h.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ended = remembered.test("a.ipynb", "c.ipynb", "-n", "1")
    other.close()
    assert ended.code == 0
    assert ended.err.count("nbpipe: warning: the history") == 1
    assert "database is locked" in ended.err


def test_a_history_that_is_switched_off_is_not_written(remembered: Collection) -> None:
    configure(remembered, SQLITE, "enabled = false\n")
    ended = remembered.test()
    assert (ended.code, "warning" in ended.err) == (1, False)
    assert not (remembered.root / "history").exists()


def test_the_library_remembers_too(remembered: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(remembered.root)
    nbpipe.test(output_dir=remembered.output_dir).wait()
    with history(remembered) as past:
        assert {path: last.outcome for path, last in past.last().items()} == {
            "a.ipynb": "passed",
            "b.ipynb": "failed",
            "c.ipynb": "passed",
        }


def test_history_and_show_tell_what_was(remembered: Collection) -> None:
    remembered.test()
    remembered.notebook("b.ipynb", "1")
    remembered.test()
    told = nbpipe_(remembered, "history").stdout.splitlines()
    assert [line.split("s  ")[-1] for line in told[:2]] == ["3 passed", "2 passed, 1 failed"]
    assert told[4] == "  b.ipynb"
    assert told[5].startswith("    F.   flakiness 100%   median ")
    assert len(told) == 6
    one = nbpipe_(remembered, "history", "b.ipynb").stdout.splitlines()
    assert one[4].split()[1] == "failed"
    assert one[4].endswith("exception: ZeroDivisionError: division by zero")
    programs = json.loads(nbpipe_(remembered, "history", "--json", "b.ipynb").stdout)
    assert (programs["strip"], programs["flakiness"]) == ("F.", 1.0)
    shown = nbpipe_(remembered, "show").stdout
    assert shown.splitlines()[-1].startswith("3 passed in ")
    earlier = nbpipe_(remembered, "show", programs["results"][1]["run"]).stdout
    assert "FAILED  b.ipynb  (python3)\n  exception in cells[0]: ZeroDivisionError" in earlier
    assert earlier.splitlines()[-1].startswith("2 passed, 1 failed in ")


def test_show_tells_programs_everything(remembered: Collection) -> None:
    remembered.test()
    told = json.loads(nbpipe_(remembered, "show", "latest", "--json").stdout)
    assert told["summary"] == {
        "total": 3,
        "passed": 2,
        "failed": 1,
        "flaky": 0,
        "skipped": 0,
        "missing": 0,
    }
    (failed,) = (each for each in told["notebooks"] if each["outcome"] == "failed")
    assert (failed["path"], failed["failure"]["category"]) == ("b.ipynb", "exception")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("history", "gone.ipynb"), "no result of gone.ipynb is known"),
        (("show", "zz"), "no run whose id begins with 'zz'"),
        (("test", "--resume", "zz"), "no run whose id begins with 'zz'"),
    ],
)
def test_what_is_not_known_is_an_error(
    remembered: Collection, arguments: tuple[str, ...], said: str
) -> None:
    remembered.test("a.ipynb")
    done = nbpipe_(remembered, *arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert said in done.stderr


def test_reports_tell_what_was_before(remembered: Collection, schema: dict[str, Any]) -> None:
    first = remembered.test()
    assert first.report is not None
    assert all("past" not in each for each in first.report["notebooks"])
    remembered.notebook("c.ipynb", "1 / 0")
    again = remembered.test("--report", f"markdown={remembered.root}/r.md")
    assert again.report is not None
    jsonschema.validate(again.report, schema)
    run = first.report["run"]["id"]
    found = {each["path"]: each["past"] for each in again.report["notebooks"]}
    assert {path: (each["outcome"], each["run"]) for path, each in found.items()} == {
        "a.ipynb": ("passed", run),
        "b.ipynb": ("failed", run),
        "c.ipynb": ("passed", run),
    }
    assert f"it failed before, too (run {run})" in again.out
    assert f"It passed before (run {run})." in (remembered.root / "r.md").read_text()


def test_a_failure_is_reported_with_the_versions_of_the_last_pass(tmp_path: Path) -> None:
    repository = changing(tmp_path)
    collection, site = repository.collection, tmp_path / "site"
    collection.environ["PYTHONPATH"] = str(site)
    collection.notebook("a.ipynb", "import brought", "assert brought.value == 1")
    repository.commit()
    for version in ("1", "2"):
        shutil.rmtree(site, ignore_errors=True)
        about = site / f"brought-{version}.0.dist-info"
        about.mkdir(parents=True)
        (site / "brought.py").write_text(f"value = {version}", encoding="utf-8")
        (about / "RECORD").write_text("brought.py,,\n", encoding="utf-8")
        ended = collection.test("--report", "html")
    failed = ended["a.ipynb"]
    assert (failed["outcome"], failed["environment"]["packages"]["brought"]) == ("failed", "2.0")
    assert [each["cell"] for each in failed["cell_seconds"]] == [0, 1]
    past = failed["past"]
    assert (past["packages"]["brought"], past["passed"]) == ("1.0", past["run"])
    assert [each["outcome"] for each in past["earlier"]] == ["passed"]
    page = (ended.output_dir / "html" / "index.html").read_text(encoding="utf-8")
    assert '"changed":[["brought","1.0","2.0"]]' in page
