from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nbpipe.model import Attempt, Category, Excluded, Failure, Outcome, Result, Run, Task
from nbpipe.reports import ConsoleReporter, rerun_command, totals
from nbpipe.reports.excerpt import library_frame
from nbpipe.reports.terminal import Color, is_colored

NETWORK = Failure(
    category=Category.NETWORK,
    name="ConnectionError",
    message="Connection refused",
    signature="ConnectionError to archive.example.org",
    traceback="Cell In[2], line 2\n----> 2 get()",
    cell=3,
    source="import x\nget()\nprint(1)",
)
DIED = Failure(
    category=Category.KERNEL_DIED,
    name="",
    message="killed by signal 11",
    signature="kernel-died: killed by signal",
)


def result(path: str, outcome: Outcome = Outcome.PASSED, **more: Any) -> Result:  # noqa: ANN401
    values = {
        "kernel": "python3",
        "seconds": 1.2,
        "attempts": 1,
        "cells_total": 10,
        "cells_executed": 10,
        **more,
    }
    task = Task(path=path, file=Path("/c/x"), why="", kernel="python3")
    return Result(task=task, outcome=outcome, **values)


def failed(path: str, *failures: Failure) -> Result:
    return result(
        path,
        Outcome.FAILED,
        failures=failures,
        cells_executed=4,
        executed=f"executed/{path}",
        log=f"logs/{path}.log",
    )


def run(*results: Result, excluded: int = 0, interrupted: bool = False) -> Run:
    return Run(
        id="r1",
        started=datetime(2026, 1, 31, 12, tzinfo=UTC),
        seconds=35.1,
        root=Path("/c"),
        output_dir=Path("/out"),
        commit=None,
        host="h",
        version="1",
        python="3.11.7",
        jobs=2,
        results=results,
        excluded=(Excluded(path="T.ipynb", reason="r"),) * excluded,
        interrupted=interrupted,
    )


def printed(a_run: Run, reporter: ConsoleReporter | None = None) -> str:
    stream = io.StringIO()
    (reporter or ConsoleReporter()).report(a_run, stream)
    return stream.getvalue()


def test_a_run_without_failures() -> None:
    long = result("b/c d.ipynb", seconds=75.0, cells_total=3, cells_executed=3)
    assert printed(run(result("a.ipynb"), long, excluded=2)) == (
        "\n"
        "All: 2 notebooks\n"
        "  PASSED   10/10       1.2 s  python3  a.ipynb\n"
        "  PASSED     3/3  1 min 15 s  python3  b/c d.ipynb\n"
        "\n"
        "2 notebooks excluded (--list says why)\n"
        "copies and logs: /out\n"
        "2 passed in 35.1 s\n"
    )


def test_the_whole_report() -> None:
    flaky = result("f.ipynb", Outcome.FLAKY, failures=(NETWORK,), attempts=2, notes=("a note",))
    skipped = result("s.ipynb", Outcome.SKIPPED, reason="no R", kernel="ir", cells_executed=0)
    everything = run(failed("a/b c.ipynb", NETWORK), failed("d.ipynb", DIED), flaky, skipped)
    reporter = ConsoleReporter(
        durations=1,
        reports=(("junit", Path("/out/junit.xml")), ("html", Path("/out/html/index.html"))),
        next_command=lambda _: "nbpipe test --lf",
    )
    assert printed(everything, reporter) == (
        "\n"
        "All: 4 notebooks\n"
        "  FAILED    4/10  1.2 s  python3  a/b c.ipynb  [network]\n"
        "  FAILED    4/10  1.2 s  python3  d.ipynb  [kernel-died]\n"
        "  FLAKY    10/10  1.2 s  python3  f.ipynb  [network], 2 attempts\n"
        "  SKIPPED      -  1.2 s  ir       s.ipynb\n"
        "\n"
        "Slowest: 1 notebook\n"
        "         1.2 s  a/b c.ipynb\n"
        "\n"
        "Notes: 1 notebook\n"
        "  1 notebook: a note\n"
        "    f.ipynb\n"
        "\n"
        "Skipped: 1 notebook\n"
        "  1 notebook: no R\n"
        "    s.ipynb\n"
        "\n"
        "Flaky: 1 notebook, failed and then passed\n"
        "  f.ipynb  (attempt 2 passed)\n"
        "         | ConnectionError to archive.example.org\n"
        "\n"
        "Failures: 2 notebooks, 2 causes (1 network, 1 kernel-died)\n"
        "\n"
        "1 notebook: ConnectionError to archive.example.org  [network]\n"
        "\n"
        "  a/b c.ipynb  cells[3]\n"
        "        1 | import x\n"
        "    >   2 | get()\n"
        "        3 | print(1)\n"
        "         | ConnectionError: Connection refused\n"
        "    executed copy: /out/executed/a/b c.ipynb\n"
        "    log:           /out/logs/a/b c.ipynb.log\n"
        "    run it again:  nbpipe test 'a/b c.ipynb'\n"
        "\n"
        "1 notebook: kernel-died: killed by signal\n"
        "\n"
        "  d.ipynb  outside of its cells\n"
        "         | killed by signal 11\n"
        "    executed copy: /out/executed/d.ipynb\n"
        "    log:           /out/logs/d.ipynb.log\n"
        "    run it again:  nbpipe test d.ipynb\n"
        "\n"
        "Failed: 2 notebooks, 2 causes (1 network, 1 kernel-died)\n"
        "  1  ConnectionError to archive.example.org  [network]  a/b c.ipynb\n"
        "  1  kernel-died: killed by signal  d.ipynb\n"
        "junit report:    /out/junit.xml\n"
        "html report:     /out/html/index.html\n"
        "copies and logs: /out\n"
        "next:            nbpipe test --lf\n"
        "2 failed, 1 flaky, 1 skipped in 35.1 s\n"
    )


def test_one_failure_is_not_told_twice() -> None:
    text = printed(run(failed("a.ipynb", NETWORK), result("b.ipynb")))
    assert "Failed: " not in text
    assert text.count("a.ipynb") == 5


def test_each_attempt_of_a_flaky_notebook_has_its_copy() -> None:
    first, second = (
        Attempt(number=number, outcome=outcome, failures=failures, seconds=1.5, executed=copy)
        for number, outcome, failures, copy in (
            (1, Outcome.FAILED, (NETWORK,), "f.ipynb"),
            (2, Outcome.PASSED, (), "f.attempt-2.ipynb"),
        )
    )
    flaky = result("f.ipynb", Outcome.FLAKY, failures=(NETWORK,), attempts=2, tries=(first, second))
    assert (
        "    attempt 1:     ConnectionError to archive.example.org, 1.5 s\n"
        "                   /out/f.ipynb\n"
        "    attempt 2:     passed, 1.5 s\n"
        "                   /out/f.attempt-2.ipynb\n"
    ) in printed(run(flaky))


LIBRARY = """\
Cell In[2], line 2
----> 2 get()

File ~/lib/x.py:7, in get(url)
----> 7     return read()

File /lib/y.py:12, in Reader.read(self)
---> 12     raise ConnectionError("Connection refused")

ConnectionError: Connection refused"""


CAUSED = "The above exception was the direct cause of the following exception:"


def test_tracebacks_are_short_long_or_none() -> None:
    a_run = run(failed("a.ipynb", replace(NETWORK, traceback=LIBRARY)))
    short = printed(a_run)
    assert "    >   2 | get()\n" in short
    assert "         | at /lib/y.py:12, in Reader.read\n" in short
    assert "x.py" not in short
    long = printed(a_run, ConsoleReporter(tracebacks="long"))
    assert "         | File ~/lib/x.py:7, in get(url)\n" in long
    none = printed(a_run, ConsoleReporter(tracebacks="none"))
    assert "         | ConnectionError: Connection refused\n" in none
    assert "get()" not in none


@pytest.mark.parametrize(
    ("traceback", "frame"),
    [
        ("", ""),
        ("Cell In[1], line 1\n----> 1 1/0", ""),
        ('Traceback:\n  File "/a b/c.py", line 3, in f\n    1/0', "/a b/c.py:3, in f"),
        ("File /l.py:1, in map(f)\n\nCell In[1], line 2, in g()\n", ""),  # called back
        (f"File /a.py:1, in a()\n\n{CAUSED}\n\nFile /b.py:2, in b()", "/b.py:2, in b"),
        ('  File "/tmp/ipykernel_3/1.py", line 1, in <module>', ""),
    ],
)
def test_the_place_in_the_library_is_the_last_frame_outside_of_the_notebook(
    traceback: str, frame: str
) -> None:
    assert library_frame(traceback) == frame


def test_many_notebooks_with_one_cause_are_listed_and_one_of_them_is_told() -> None:
    text = printed(run(*(failed(f"n{number}.ipynb", NETWORK) for number in range(30))))
    assert (
        "\n"
        "Failures: 30 notebooks, 1 cause\n"
        "\n"
        "30 notebooks: ConnectionError to archive.example.org  [network]\n"
        "    n0.ipynb\n"
        "    n1.ipynb\n"
    ) in text
    assert "    n19.ipynb\n    and 10 more\n\n  for example n0.ipynb  cells[3]\n" in text
    assert "  30  ConnectionError to archive.example.org  [network]  n0.ipynb and 29 more\n" in text
    assert text.count("run it again:") == 1


def test_a_kernel_that_the_notebook_did_not_name_is_told_with_an_error_of_its_code() -> None:
    wrong = Failure(category=Category.EXCEPTION, name="SyntaxError", signature="", message="mkdir")
    named = failed("a.ipynb", wrong)
    why = "the notebook names none; python3 is the default"
    chosen = replace(named, task=replace(named.task, kernel_why=why))
    line = "    kernel:        python3 (the notebook names none; python3 is the default)\n"
    assert line in printed(run(chosen))
    assert "kernel:" not in printed(run(named))
    assert "kernel:" not in printed(run(replace(chosen, failures=(NETWORK,))))


@pytest.mark.parametrize(
    ("limits", "heading"),
    [
        ((60, 60), "2 notebooks: Timeout: more than 60 s  [timeout]"),
        ((60, 90), "2 notebooks: Timeout: more than <n> s  [timeout]"),
    ],
)
def test_numbers_that_all_notebooks_of_a_cause_share_are_shown(
    limits: tuple[int, ...], heading: str
) -> None:
    late = (
        Failure(
            category=Category.TIMEOUT,
            name="Timeout",
            message=f"more than {limit} s",
            signature="Timeout: more than <n> s",
        )
        for limit in limits
    )
    assert heading in printed(run(*(failed(f"{fail.message}.ipynb", fail) for fail in late)))


def test_further_errors_of_a_notebook_are_named() -> None:
    second = replace(NETWORK, cell=7, name="ValueError", message="bad\nreally")
    assert "    also cells[7]: ValueError: bad\n" in printed(
        run(failed("a.ipynb", NETWORK, second))
    )


def test_without_source_the_end_of_the_traceback_is_shown() -> None:
    failure = replace(
        NETWORK, source="", traceback="\n".join(f"frame {number}" for number in range(50))
    )
    text = printed(run(failed("a.ipynb", failure)))
    assert "  a.ipynb  cells[3]\n         | frame 38\n         | frame 39\n" in text
    assert "         | frame 49\n    executed copy" in text


def test_the_rerun_command_is_the_callers() -> None:
    reporter = ConsoleReporter(rerun=lambda each: rerun_command(each, "nbpipe test -p x 1"))
    text = printed(run(failed("a b.ipynb", NETWORK)), reporter)
    assert "    run it again:  nbpipe test -p x 1 'a b.ipynb'\n" in text


def test_a_path_that_looks_like_an_option_can_be_run_again() -> None:
    assert rerun_command(result("-x.ipynb")) == "nbpipe test -- -x.ipynb"


def test_long_paths_are_never_cut() -> None:
    path = "/".join(["a folder with a long name"] * 12) + "/n.ipynb"
    assert f"python3  {path}  [network]\n" in printed(run(failed(path, NETWORK)))


@pytest.mark.parametrize(
    ("a_run", "line"),
    [
        (run(), "no notebooks in 35.1 s"),
        (run(result("a"), interrupted=True), "interrupted: 1 passed in 35.1 s"),
        (run(*[result("a")] * 1200, failed("b", DIED)), "1,200 passed, 1 failed in 35.1 s"),
    ],
)
def test_the_last_line_has_the_totals(a_run: Run, line: str) -> None:
    assert totals(a_run) == line
    assert printed(a_run).splitlines()[-1] == line


def test_where_many_passed_they_are_one_line() -> None:
    passed = [result(f"folder {number % 3}/n{number}.ipynb") for number in range(300)]
    a_run = run(*passed, failed("x.ipynb", DIED))
    text = printed(a_run)
    assert text.startswith(
        "\n"
        "All: 301 notebooks\n"
        "  PASSED   3,000  6 min 00 s  python3  300 notebooks  (-v lists each)\n"
        "  FAILED    4/10       1.2 s  python3  x.ipynb  [kernel-died]\n"
    )
    assert len(text.splitlines()) < 24
    verbose = printed(a_run, ConsoleReporter(verbose=True)).splitlines()
    assert sum(line.startswith("  PASSED") for line in verbose) == 300


def test_what_the_progress_has_named_is_not_named_again() -> None:
    a_run = run(result("a.ipynb"), failed("x.ipynb", DIED))
    assert "All: " not in printed(a_run, ConsoleReporter(listed=True))
    assert "a.ipynb" not in printed(a_run, ConsoleReporter(listed=True))
    assert "All: " in printed(a_run, ConsoleReporter(listed=True, verbose=True))


@pytest.mark.parametrize("failures", [1, 30, 300])
def test_the_last_screen_has_the_causes_and_what_to_do(failures: int) -> None:
    results = [
        failed(f"n{number}.ipynb", replace(NETWORK, signature=f"cause {number}"))
        for number in range(failures)
    ]
    results += [result(f"p{number}.ipynb") for number in range(200 - failures)]
    reporter = ConsoleReporter(next_command=lambda _: "nbpipe test --lf")
    lines = printed(run(*results), reporter).splitlines()
    last = lines[-24:]
    assert last[-2] == "next:            nbpipe test --lf"
    assert any("cause 0" in line for line in last)
    if failures > 10:
        assert f"  and {failures - 10} more causes (-v tells more, a JSON report has all)" in last


def test_ten_thousand_failures_are_told_in_proportion() -> None:
    results = [
        failed(f"n{number}.ipynb", replace(NETWORK, signature=f"cause {number}"))
        for number in range(10_000)
    ]
    lines = printed(run(*results)).splitlines()
    assert "  and 9,990 more causes (-v tells more, a JSON report has all)" in lines
    assert sum("run it again" in line for line in lines) == 10
    assert len(lines) < 200
    verbose = printed(run(*results), ConsoleReporter(verbose=True)).splitlines()
    assert sum("run it again" in line for line in verbose) == 500


HOSTILE = "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x00 \x9b ]]> 😀 [bold]x[/bold] %0A \udcff"


def test_nothing_from_a_notebook_reaches_the_terminal_as_a_command() -> None:
    failure = replace(
        NETWORK,
        name=HOSTILE,
        message=f"{HOSTILE}\n::error::x",
        signature=HOSTILE,
        source=f"::set-output::\n{HOSTILE}",
        traceback=HOSTILE,
    )
    notes = (HOSTILE,)
    text = printed(
        run(
            replace(failed(f"{HOSTILE}\n.ipynb", failure), notes=notes, kernel=HOSTILE),
            result("s", Outcome.SKIPPED, reason=HOSTILE),
        )
    )
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text)
    assert "  1 notebook: red \\x00 \\x9b ]]> 😀 [bold]x[/bold] %0A \\udcff\n" in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]


def test_a_message_of_a_megabyte_is_cut() -> None:
    failure = replace(NETWORK, message="m" * 1_000_000, source="x" * 1_000_000)
    assert len(printed(run(failed("a.ipynb", failure)))) < 5_000


def test_colours_only_where_they_are_wanted() -> None:
    text = printed(run(result("a.ipynb")), ConsoleReporter(color="always"))
    assert "  \x1b[32mPASSED \x1b[0m  10/10  1.2 s  python3  a.ipynb\n" in text
    assert text.endswith("\x1b[1;32m1 passed in 35.1 s\x1b[0m\n")


class Terminal(io.StringIO):
    """A text in memory that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "color", "environ", "expected"),
    [
        (Terminal(), "auto", {"TERM": "xterm"}, True),
        (Terminal(), "auto", {"TERM": "dumb"}, False),
        (Terminal(), "auto", {"NO_COLOR": "1"}, False),
        (Terminal(), "auto", {"NO_COLOR": ""}, True),
        (Terminal(), "never", {"FORCE_COLOR": "1"}, False),
        (io.StringIO(), "auto", {}, False),
        (io.StringIO(), "auto", {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), "auto", {"FORCE_COLOR": "0"}, False),
        (io.StringIO(), "auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (io.StringIO(), "always", {"NO_COLOR": "1"}, True),
    ],
)
def test_colours_follow_the_option_the_environment_and_the_stream(
    stream: io.StringIO, color: Color, environ: dict[str, str], *, expected: bool
) -> None:
    assert is_colored(stream, color, environ) is expected


def test_a_locale_without_the_characters_gets_them_spelled_out() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    ConsoleReporter().report(run(result("天文学 é.ipynb")), stream)
    stream.flush()
    assert b"python3  \\u5929\\u6587\\u5b66 \\xe9.ipynb\n" in raw.getvalue()


def test_importing_the_reports_does_not_import_slow_libraries() -> None:
    code = (
        "import sys, nbpipe.reports\n"
        "print([name for name in ('rich', 'junit_xml', 'jsonschema', 'xml.dom') "
        "if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
