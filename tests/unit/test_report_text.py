from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nbpipe.model import Category, Failure, Outcome, Result, Task
from nbpipe.reports.excerpt import excerpt, failing_line
from nbpipe.reports.groups import by_cause, by_note, by_reason, with_category
from nbpipe.system.text import cut, encodable, first_line, plain, plain_name, shell_quoted
from nbpipe.system.units import count, duration


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[38:2::1:2:3mtrue colour\x1b[m", "true colour"),
        ("\x1b[2J\x1b[H\x1b7gone\x1bc", "gone"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("\x1bPdevice\x1b\\a\x1b_app\x1b\\", "a"),
        ("\x1b(Ba", "a"),
        ("\x1b]0;never ended", "\\x1b]0;never ended"),
        ("\x9b31m \x9d0;t\x9c", "\\x9b31m \\x9d0;t\\x9c"),
        ("a\x00\x07\x08\x7f", "a\\x00\\x07\\x08\\x7f"),
        ("one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("\tx", "    x"),
        ("abc \u202egnp.exe", "abc \\u202egnp.exe"),
        ("line\u2028line", "line\\u2028line"),
        ("lone \ud83d", "lone \\ud83d"),
        ("[bold]é 天 😀[/bold]", "[bold]é 天 😀[/bold]"),
    ],
)
def test_text_from_a_notebook_is_made_harmless(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_hostile_text_of_a_megabyte_is_read_once() -> None:
    for text in ("\x1b]" * 500_000, "\x1b[" + "1" * 1_000_000, "\x1bP" * 500_000):
        assert "\x1b" not in plain(text)


def test_a_name_is_shown_on_one_line() -> None:
    assert plain_name("a\nb\tc\x1b[31m[red]\udcff.ipynb") == "a\\nb\\tc\\x1b[31m[red]\\udcff.ipynb"


def test_the_first_line_that_says_something_is_taken() -> None:
    assert first_line("\n \x1b[31m\n  bad thing \nmore") == "bad thing"


def test_a_line_that_ends_in_a_colon_is_taken_with_the_next() -> None:
    assert first_line("Error at driver init: \n\nno driver.\nmore") == (
        "Error at driver init: no driver."
    )


def test_a_long_text_is_cut_in_its_middle_with_a_word_about_it() -> None:
    assert cut("a" * 20 + "b" * 10, 9) == "aaaaaa [... 21 characters left out ...] bbb"


def test_a_short_text_is_not_cut() -> None:
    assert cut("a" * 9, 9) == "a" * 9


def test_text_that_is_no_utf8_is_spelled_out() -> None:
    assert encodable("é\udcff").encode() == b"\xc3\xa9\\udcff"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (1.25, "1.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7390.0, "2 h 03 min"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_for_people() -> None:
    assert [count(number, "cell") for number in (0, 1, 10_000)] == [
        "0 cells",
        "1 cell",
        "10,000 cells",
    ]


def test_a_plain_path_needs_no_quotes_and_one_with_spaces_has_them() -> None:
    assert shell_quoted("a/b.ipynb") == "a/b.ipynb"
    assert shell_quoted("a/b c.ipynb") == "'a/b c.ipynb'"


@pytest.mark.parametrize(
    "name", ["a b", "it's", "$HOME`x`", "new\nline", "\x1b]0;t\x07'\\", "bad\udcff", "é天\u202e"]
)
def test_a_shell_gets_back_the_name_that_was_quoted(name: str) -> None:
    quoted = shell_quoted(name)
    assert quoted.isprintable()
    out = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"], stdout=subprocess.PIPE, check=True
    ).stdout
    assert out == os.fsencode(name)


SIMPLE = (
    "----\nZeroDivisionError Traceback (most recent call last)\nCell In[2], line 3\n----> 3 1/0"
)
IN_FUNCTION = "Cell In[2], line 2\n----> 2 f()\n\nCell In[1], line 5, in f()\n----> 5 return 1/0"
CHAINED = (
    "Cell In[1], line 2\n      1 try:\n----> 2     1/0\n\nZeroDivisionError: division by zero\n\n"
    "During handling of the above exception, another exception occurred:\n\n"
    "NameError Traceback (most recent call last)\nCell In[1], line 5\n----> 5     nope\n"
)


@pytest.mark.parametrize(
    ("traceback", "line"),
    [
        (SIMPLE, 3),
        (IN_FUNCTION, 2),
        (CHAINED, 5),
        ("  Cell In[1], line 2\n    x = = 2\n        ^\nSyntaxError: invalid syntax\n", 2),
        ("Input In [3], in <cell line: 4>()\n----> 4 1/0", 4),
        ("<ipython-input-3-abc> in <module>\n      1 x\n----> 2 1/0\n", 2),
        ("Error in f(): object 'x' not found", None),
        ("Cell In[1], line 99", None),
        ("", None),
        ("\n" * 1_000_000, None),
    ],
)
def test_the_failing_line_is_the_cells_own(traceback: str, line: int | None) -> None:
    assert failing_line("1\n2\n3\n4\n5", traceback) == line


def test_a_short_cell_is_shown_whole() -> None:
    lines = excerpt("a\nb\n\n1/0\n", "Cell In[2], line 4\n")
    assert [(line.number, line.text, line.failing) for line in lines] == [
        (1, "a", False),
        (2, "b", False),
        (3, "", False),
        (4, "1/0", True),
    ]


def test_a_long_cell_is_shown_around_its_failing_line() -> None:
    source = "\n".join(f"x{number}" for number in range(1, 101))
    shown = [line.number for line in excerpt(source, "Cell In[2], line 50", limit=6)]
    assert shown == [46, 47, 48, 49, 50, 51]
    assert [line.number for line in excerpt(source, "Cell In[2], line 100", limit=3)] == [
        98,
        99,
        100,
    ]
    assert [line.number for line in excerpt(source, "", limit=3)] == [1, 2, 3]


def test_a_cell_without_source_shows_nothing() -> None:
    assert excerpt("", "Cell In[2], line 1") == []


def failed(path: str, signature: str, name: str = "E", message: str = "m") -> Result:
    failure = Failure(category=Category.NETWORK, name=name, message=message, signature=signature)
    return Result(
        task=Task(path=path, file=Path("/c/x"), why="", kernel="k"),
        outcome=Outcome.FAILED,
        kernel="k",
        failures=(failure,),
    )


def test_failures_are_grouped_by_signature_the_biggest_group_first() -> None:
    results = [failed("1", "X"), failed("2", "Y"), failed("3", "Y"), failed("4", "Z")]
    assert [
        (group.title, [each.path for each in group.results]) for group in by_cause(results)
    ] == [
        ("Y", ["2", "3"]),
        ("X", ["1"]),
        ("Z", ["4"]),
    ]


def test_without_a_signature_the_same_words_are_the_same_cause() -> None:
    groups = by_cause([failed("1", "", message="a"), failed("2", "", message="a"), failed("3", "")])
    assert [(group.title, len(group.results)) for group in groups] == [("E: a", 2), ("E: m", 1)]


def test_only_failed_notebooks_have_a_cause() -> None:
    result = failed("1", "X")
    others = [replace(result, outcome=each) for each in Outcome if each is not Outcome.FAILED]
    assert by_cause(others) == []


def test_a_failed_notebook_without_a_failure_is_not_lost() -> None:
    groups = by_cause([replace(failed("1", "X"), failures=())])
    assert [(group.title, group.category) for group in groups] == [("no reason was recorded", "")]


def test_skips_are_grouped_by_reason_and_notes_by_their_words() -> None:
    one = replace(failed("1", "X"), outcome=Outcome.SKIPPED, reason="no R", notes=("n", "n", "m"))
    two = replace(one, reason="", notes=("n",))
    assert by_reason([one, two, one]) == {"no R": [one, one], "no reason was recorded": [two]}
    assert by_note([one, two]) == {"n": [one, two], "m": [one]}


def test_a_category_is_told_once() -> None:
    assert with_category("ConnectionError to x", "network") == "ConnectionError to x  [network]"
    assert with_category("timeout: cell", "timeout") == "timeout: cell"
