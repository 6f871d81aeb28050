from __future__ import annotations

import io
import os
import pty
import select
import threading
from pathlib import Path

import pytest

from nbpipe.model import Category, Failure, Outcome, Progress, Result, Task
from nbpipe.reports import Display, ProgressMode, open_progress
from nbpipe.reports.bar import BarDisplay, open_console
from nbpipe.reports.progress import PlainDisplay


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A text in memory that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def task(path: str) -> Task:
    return Task(path=path, file=Path("/c/x"), why="", kernel="python3")


def at(path: str, cell: int, cells: int = 9, attempt: int = 1) -> Progress:
    return Progress(task=task(path), cell=cell, cells=cells, attempt=attempt)


def passed(path: str) -> Result:
    return Result(
        task=task(path),
        outcome=Outcome.PASSED,
        kernel="python3",
        seconds=1.2,
        cells_total=10,
        cells_executed=10,
    )


def failed(path: str) -> Result:
    failure = Failure(
        category=Category.NETWORK, name="ConnectionError", message="[red]\x1b[2Jrefused\nx", cell=3
    )
    return Result(
        task=task(path),
        outcome=Outcome.FAILED,
        kernel="python3",
        seconds=3.4,
        cells_total=10,
        cells_executed=1,
        failures=(failure,),
    )


def plain(stream: io.StringIO, clock: Clock, total: int = 40) -> Display:
    return open_progress("plain", total=total, stream=stream, environ={}, clock=clock, redraw=0)


def test_a_plain_line_for_each_notebook_that_finishes() -> None:
    stream = io.StringIO()
    with plain(stream, Clock()) as display:
        display.started(at("a/b.ipynb", 0))
        display.moved(at("a/b.ipynb", 3))
        display.finished(passed("a/b.ipynb"))
        display.finished(failed("c\n.ipynb"))
        display.finished(
            Result(task=task("s.ipynb"), outcome=Outcome.SKIPPED, reason="no R", kernel="ir")
        )
    assert stream.getvalue() == (
        "[ 1/40] PASSED   a/b.ipynb  (python3, 10 cells, 1.2 s)\n"
        "[ 2/40] FAILED   c\\n.ipynb  (python3, 1 cell, 3.4 s)"
        "  network in cells[3]: ConnectionError: [red]refused\n"
        "[ 3/40] SKIPPED  s.ipynb  (no R)\n"
    )


def test_after_thirty_seconds_of_silence_a_word_about_what_runs() -> None:
    stream, clock = io.StringIO(), Clock()
    with plain(stream, clock) as display:
        display.started(at("a.ipynb", 0))
        clock.now += 29.9
        display.tick()
        assert stream.getvalue() == ""
        clock.now += 0.1
        display.moved(at("a.ipynb", 4, attempt=2))
        display.tick()
        display.tick()
    assert stream.getvalue() == (
        "running: 1 notebook\n  a.ipynb  cell 4/9, attempt 2, for 30.0 s\n"
    )


def test_silence_counts_from_the_last_notebook_that_finished() -> None:
    stream, clock = io.StringIO(), Clock()
    with plain(stream, clock) as display:
        display.started(at("a.ipynb", 1))
        clock.now += 20
        display.finished(passed("b.ipynb"))
        clock.now += 20
        display.tick()
        display.finished(passed("a.ipynb"))
        clock.now += 40
        display.tick()  # nothing runs: nothing to say
    assert "running" not in stream.getvalue()


def test_what_runs_is_told_oldest_first_for_the_signal() -> None:
    clock = Clock()
    display = Display(3, clock=clock, redraw=0)
    assert display.running() == "no notebook is running"
    display.started(at("old.ipynb", 0, 0))
    clock.now += 60
    display.started(at("new\x1b.ipynb", 0, 0))
    display.moved(at("old.ipynb", 3))
    clock.now += 5
    assert display.running() == (
        "running: 2 notebooks\n"
        "  old.ipynb  cell 3/9, for 1 min 05 s\n"
        "  new\\x1b.ipynb  starting, for 5.0 s"
    )
    display.finished(passed("old.ipynb"))
    assert display.running() == "running: 1 notebook\n  new\\x1b.ipynb  starting, for 5.0 s"


def test_a_notebook_that_moves_without_having_started_is_known() -> None:
    display = Display(1, clock=Clock(), redraw=0)
    display.moved(at("a.ipynb", 1))
    assert display.running() == "running: 1 notebook\n  a.ipynb  cell 1/9, for 0.0 s"


@pytest.mark.parametrize(
    ("mode", "stream", "term", "kind"),
    [
        ("auto", Terminal(), "xterm", BarDisplay),
        ("auto", Terminal(), "dumb", PlainDisplay),
        ("auto", io.StringIO(), "xterm", PlainDisplay),
        ("bar", io.StringIO(), "xterm", BarDisplay),
        ("plain", Terminal(), "xterm", PlainDisplay),
        ("none", Terminal(), "xterm", Display),
    ],
)
def test_the_display_that_fits(
    mode: ProgressMode, stream: io.StringIO, term: str, kind: type[Display]
) -> None:
    display = open_progress(mode, total=1, stream=stream, environ={"TERM": term})
    assert type(display) is kind


def test_no_display_writes_nothing() -> None:
    stream = Terminal()
    with open_progress("none", total=1, stream=stream, environ={}) as display:
        display.started(at("a.ipynb", 1))
        display.finished(failed("a.ipynb"))
    assert stream.getvalue() == ""


def bar(stream: io.StringIO, clock: Clock, height: int = 24) -> BarDisplay:
    console = open_console(
        stream, color="never", environ={"COLUMNS": "80", "LINES": str(height)}, force=True
    )
    return BarDisplay(28, console, clock=clock, redraw=0)


def drawn(display: BarDisplay) -> list[str]:
    console = display._console
    with console.capture() as capture:
        console.print(display._render())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_bar_shows_what_runs_and_the_counts() -> None:
    clock = Clock()
    display = bar(io.StringIO(), clock)
    for number in range(13):
        display.finished(passed(f"p{number}.ipynb"))
    display.started(at("a/天文学 [red].ipynb", 0, 0))
    display.started(at("a/b.ipynb", 0, 0))
    display.moved(at("a/b.ipynb", 3, 10, attempt=2))
    display.counts[Outcome.FAILED] = 1
    clock.now += 75
    assert drawn(display) == [
        "a/天文学 [red].ipynb  starting              1 min 15 s",
        "a/b.ipynb             cell 3/10, attempt 2  1 min 15 s",
        "━━━━━━━━━━━━             14/28  13 passed  1 failed  1 min 15 s",
    ]


def test_only_names_are_cut_where_the_terminal_is_narrow() -> None:
    display = bar(io.StringIO(), clock := Clock())
    display.started(at(f"{'long ' * 30}.ipynb", 3))
    clock.now += 5
    name = "long " * 12
    assert drawn(display)[0] == f"{name}lo…  cell 3/9  5.0 s"


def test_the_echo_of_ctrl_c_has_room_behind_the_last_line() -> None:
    display = bar(io.StringIO(), Clock())
    display.started(at(f"{'long ' * 30}.ipynb", 3))
    console = display._console
    with console.capture() as capture:
        console.print(display._render(), end="")
    assert len(capture.get().splitlines()[-1]) < 78


def test_a_small_terminal_shows_the_oldest() -> None:
    display = bar(io.StringIO(), Clock(), height=6)
    for number in range(10):
        display.started(at(f"n{number}.ipynb", 1))
    lines = drawn(display)
    assert [line.split()[0] for line in lines[:3]] == ["n0.ipynb", "n1.ipynb", "and"]
    assert lines[2] == "and 8 more"


def test_failures_are_printed_above_the_bar_and_the_bar_leaves_nothing() -> None:
    stream = io.StringIO()
    with bar(stream, Clock()) as display:
        display.started(at("[red].ipynb", 1))
        display.tick()
        display.finished(passed("ok.ipynb"))
        display.finished(failed("[red].ipynb"))
    text = stream.getvalue()
    line = (
        "FAILED   [red].ipynb  (python3, 1 cell, 3.4 s)"
        "  network in cells[3]: ConnectionError: [red]refused\n"
    )
    assert text.count(line) == 1
    assert "PASSED   ok.ipynb" not in text
    assert text.endswith("\x1b[2K")  # its last line was wiped
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


def test_an_error_during_the_run_gives_the_terminal_back() -> None:
    stream = io.StringIO()

    def interrupted() -> None:
        with bar(stream, Clock()) as display:
            display.started(at("a.ipynb", 1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stream.getvalue().count("\x1b[?25h") == 1


def test_the_display_moves_by_itself_and_its_thread_ends() -> None:
    ticked = threading.Event()

    class Ticking(PlainDisplay):
        def tick(self) -> None:
            ticked.set()

    with Ticking(1, plain(io.StringIO(), Clock())._page, redraw=0.001) as display:  # type: ignore[attr-defined]
        assert ticked.wait(60)
    assert display._thread is not None
    assert not display._thread.is_alive()


def test_threads_may_report_at_once() -> None:
    stream = io.StringIO()
    with bar(stream, Clock()) as display:

        def work(name: str) -> None:
            for number in range(20):
                path = f"{name}{number}.ipynb"
                display.started(at(path, 1))
                display.tick()
                display.running()
                display.finished(failed(path))

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert display.done == 80
    assert stream.getvalue().count("FAILED   ") == 80


@pytest.mark.parametrize("mode", ["plain", "bar"])
def test_a_reader_that_went_away_does_not_end_the_run(mode: ProgressMode) -> None:
    reader, writer = os.pipe()
    stream = io.TextIOWrapper(io.FileIO(writer, "w"), encoding="utf-8", write_through=True)
    with open_progress(mode, total=2, stream=stream, environ={}, redraw=0) as display:
        os.close(reader)
        display.finished(failed("a.ipynb"))
        display.finished(failed("b.ipynb"))
    assert display.done == 2
    stream.close()


def test_a_real_terminal_gets_a_bar() -> None:
    main, side = pty.openpty()
    try:
        with (
            os.fdopen(side, "w", encoding="utf-8") as stream,
            open_progress("auto", total=2, stream=stream, environ={"TERM": "xterm"}) as display,
        ):
            display.started(at("a.ipynb", 1))
            display.tick()
            written = b""
            while b"0/2" not in written:  # a terminal gives its text in any pieces
                assert select.select([main], [], [], 60)[0], written
                written += os.read(main, 65536)
    finally:
        os.close(main)
