"""What a cell's text says about the status with which it ended its session."""

from __future__ import annotations

import pytest

from nbpipe.execution import hidden_failures


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("quit(status=3)", 3),
        ("if (bad) q('no', 1L, FALSE)", 1),
        ("stop_here <- function() q(status = 2)\nstop_here()", 2),
        ("quit()", None),
        ("q('no')", None),
        ("quit(save = 'no', status = 0)", None),
        ("# quit(status=3)\nquit()", None),
        ("if (bad) quit(status=1) else quit()", None),
        ("quit(status=code)", None),
        ("my.quit(status=3)", None),
    ],
)
def test_the_status_of_an_r_cell_counts_where_its_text_leaves_no_doubt(
    source: str, status: int | None
) -> None:
    said = [f"the cell ended the session with status {status}"] if status else []
    assert [error["evalue"] for error in hidden_failures.of_r(source)] == said


@pytest.mark.parametrize("source", ["exit", "exit 0", "# the end\n\nexit 0;\n"])
def test_a_bare_exit_of_a_shell_is_a_good_end(source: str) -> None:
    assert hidden_failures.of_shell(source) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("exit 3", "status 3"),
        ("false || exit", "which status is not known"),
        ("set -e\nfalse\nexit 0", "which status is not known"),
        ("exit $code", "which status is not known"),
    ],
)
def test_any_other_end_of_a_shell_is_an_error(source: str, told: str) -> None:
    [error] = hidden_failures.of_shell(source)
    assert (error["ename"], error["evalue"].endswith(f"(with {told})")) == ("ShellExit", True)


@pytest.mark.parametrize(
    ("value", "source", "well"),
    [
        ("", "sys.exit()", True),
        ("0", "sys.exit(0)", True),
        ("None", "sys.exit(None)", True),
        ("False", "sys.exit(not True)", True),
        ("0", "sys.exit(code)", True),
        ("0", "%matplotlib inline\nsys.exit(code)", True),
        ("0", "if bad:\n    sys.exit('1')\nsys.exit(0)", True),
        ("True", "sys.exit(True)", False),
        ("3", "sys.exit(3)", False),
        ("0.0", "sys.exit(0.0)", False),
        ("text", "sys.exit('text')", False),
        ("0", "sys.exit('0')", False),
        ("", "raise SystemExit('')", False),
        ("None", "exit('None')", False),
    ],
)
def test_system_exit_is_a_success_where_it_is_for_python(
    value: str,
    source: str,
    well: bool,  # noqa: FBT001
) -> None:
    assert hidden_failures.is_success(value, source) is well
