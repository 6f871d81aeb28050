"""What kernels print that call a failed cell good; the texts are those of the real ones."""

from __future__ import annotations

import pytest

from nbpipe.execution import hidden_failures
from nbpipe.execution.diagnosis import classify


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("error: 'f' undefined near line 1, column 1\r\n", "'f' undefined near line 1, column 1"),
        ("x\r\nerror: 'f' undefined\r\ny\r\n", "'f' undefined"),
        ("error: hm 3\r\nerror: called from\r\n    g at line 2 column 3\r\n", "hm 3"),
        (
            "error: parse error:\r\n\r\n  syntax error\r\n\r\n>>> x = 1 +* 2\r\n           ^\r\n",
            "parse error: syntax error >>> x = 1 +* 2 ^",
        ),
    ],
)
def test_octave_prints_its_errors(printed: str, message: str) -> None:
    error = hidden_failures.error_of("octave", "f(3)", printed)
    assert error == {"ename": "Error", "evalue": message, "traceback": []}


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("disp('error: printed')", "error: printed\n"),
        ("fprintf('x\\n'); printf('error: %s\\n', s)", "error: mine\n"),
        ("try; f; catch; disp(lasterr); end", "error: 'f' undefined\n"),
        ("warning('careful')", "warning: careful\n"),
        ("try; error('caught'); catch e; disp(e.message); end", "caught\n"),
    ],
)
def test_what_a_cell_may_have_printed_itself_is_no_error(source: str, printed: str) -> None:
    assert hidden_failures.error_of("octave", source, printed) is None


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("undefined variable: nosuch\n", "undefined variable: nosuch"),
        ("Cannot load input from 'n.gp'\n", "Cannot load input from 'n.gp'"),
        (
            'warning: Cannot find or open file "n.dat"\n         No data in plot\n',
            'Cannot find or open file "n.dat"',
        ),
        ("\nprint 1/0\n               ^\n         undefined value\n", "undefined value"),
        (
            "Failed to read and display image file.Possibly:\n2. You have an invalid expression.\n",
            None,
        ),
        ("x^2\n", None),
    ],
)
def test_gnuplot_prints_its_errors(printed: str, message: str | None) -> None:
    error = hidden_failures.error_of("gnuplot", "", printed)
    assert (error and error["evalue"]) == message


def test_scheme_prints_a_traceback_and_sos_a_warning() -> None:
    said = '\nTraceback (most recent call last):\n  File "In [2]", line 1\nRunTimeError: car of 1\n'
    error = hidden_failures.error_of("scheme", "(car 1)", said)
    assert error == {"ename": "RunTimeError", "evalue": "car of 1", "traceback": []}
    assert hidden_failures.error_of("scheme", "", "Traceback (most recent call last):") is None
    lost = "Failed to get a from R: Variable a does not exist\n"
    assert (hidden_failures.error_of("sos", "%get a --from R", lost) or {})[
        "evalue"
    ] == lost.strip()


def test_other_kernels_say_so_themselves() -> None:
    assert hidden_failures.error_of("python", "", "error: x\n") is None
    assert hidden_failures.caution("python") == ""
    assert hidden_failures.caution("octave").startswith(
        "a kernel for octave does not report every error"
    )


def test_they_get_their_category() -> None:
    assert classify("Error", "load: unable to find file nofile.mat", "") == "missing-file"
    assert classify("Error", 'Cannot find or open file "n.dat"', "") == "missing-file"
    assert classify("Error", "package statistics is not installed", "") == "missing-package"
