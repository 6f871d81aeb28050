"""Kernels whose own protocol does not tell: a shell that waits at its terminal, or has ended; R."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ondisk import Collection, lacking

from nbpipe.collecting import installed_kernels

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Ended

BASH = {"kernelspec": {"name": "bash", "display_name": "Bash", "language": "bash"}}
R = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
RAISES = {"tags": ["raises-exception"]}


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a run of notebooks of bash; the limit is out of reach."""
    if "bash" not in installed_kernels():
        lacking("the kernel bash")
    folder = tmp_path_factory.mktemp("bash")
    made = Collection(folder / "collection", folder / "output")
    made.notebook("read.ipynb", "echo before", "read -p 'name? ' x\necho $x", **BASH)
    made.notebook("child.ipynb", "cat | sort", **BASH)
    made.notebook("given.ipynb", "read x < <(sleep 8; echo 5)", "test $x = 5", **BASH)
    made.notebook("busy.ipynb", "for i in 1 2 3 4 5 6 7 8; do sleep 1; echo $i; done", **BASH)
    made.notebook("exit.ipynb", "x=1", "echo before; exit 3", "echo $x", **BASH)
    made.notebook("well.ipynb", "true", "exit 0", "false", **BASH)
    made.notebook("errexit.ipynb", "set -e", "false", "echo never", **BASH)
    made.notebook("tagged.ipynb", ("exit 3", RAISES), "true", **BASH)
    made.notebook("subshell.ipynb", "(exit 0)\nbash -c 'exit 0'", "true", **BASH)
    return made.test("-n", "2", "--timeout", "100000")


@pytest.mark.parametrize("last", ["true", "exit 0", "kill -HUP $$"])
def test_the_users_own_history_is_left_alone(
    last: str, collection: Collection, tmp_path: Path
) -> None:
    if "bash" not in installed_kernels():
        lacking("the kernel bash")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bash_history").write_text("mine\n")
    collection.environ["HOME"] = str(home)
    collection.notebook("a.ipynb", "TOKEN=secret", last, **BASH)
    collection.test()
    assert (home / ".bash_history").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("path", "cell", "program"), [("read.ipynb", 1, "bash"), ("child.ipynb", 0, "cat")]
)
def test_a_cell_that_waits_at_the_terminal_asks_for_input(
    bash: Ended, path: str, cell: int, program: str
) -> None:
    failure = bash[path]["failure"]
    assert (failure["category"], failure["cell"]) == ("asks-for-input", cell)
    expected = f"asks for input: {program} waits at its terminal"
    assert failure["message"] == expected


def test_what_ran_before_it_asked_is_kept(bash: Ended) -> None:
    assert bash.executed("read.ipynb").cells[0].outputs[0]["text"] == "before\n"


@pytest.mark.parametrize("path", ["given.ipynb", "busy.ipynb", "subshell.ipynb"])
def test_a_cell_that_only_takes_long_or_has_its_answer_passes(bash: Ended, path: str) -> None:
    assert (bash[path]["outcome"], bash[path]["failure"]) == ("passed", None)


@pytest.mark.parametrize("path", ["exit.ipynb", "errexit.ipynb"])
def test_a_cell_that_ends_its_shell_fails(bash: Ended, path: str) -> None:
    failure = bash[path]["failure"]
    assert (failure["category"], failure["name"], failure["cell"]) == ("exception", "ShellExit", 1)
    assert "the cell ended its shell" in failure["message"]
    assert bash[path]["cells"]["executed"] == 2


def test_a_bare_exit_ends_the_notebook_well(bash: Ended) -> None:
    told = bash["well.ipynb"]
    assert (told["outcome"], told["cells"]) == ("passed", {"total": 3, "executed": 2})
    assert told["notes"] == ["cells[1] ended the notebook; code cells not executed: 1"]


def test_a_shell_may_end_where_the_cell_is_tagged_for_it(bash: Ended) -> None:
    assert (bash["tagged.ipynb"]["outcome"], bash["tagged.ipynb"]["notes"]) == ("passed", [])


def test_a_program_under_python_that_asks_is_told_at_the_limit(collection: Collection) -> None:
    collection.notebook("n.ipynb", "1", "!cat")
    failure = collection.test("--timeout", "3")["n.ipynb"]["failure"]
    assert (failure["category"], failure["cell"]) == ("asks-for-input", 1)
    assert failure["message"] == "asks for input: cat waits at its terminal"


def test_r_that_asks_does_not_take_the_whole_grace_period(collection: Collection) -> None:
    if "ir" not in installed_kernels():
        lacking("the kernel ir")
    collection.notebook("n.ipynb", "print('before')\nx <- readline('name? ')", **R)
    (collection.root / "nbpipe.toml").write_text("[test]\ngrace = 100000\n")
    told = collection.test()["n.ipynb"]
    assert told["failure"]["category"] == "asks-for-input"
    assert told["failure"]["message"] == "asks for input: 'name? '"


def test_the_status_with_which_r_quits_counts(collection: Collection) -> None:
    if "ir" not in installed_kernels():
        lacking("the kernel ir")
    collection.notebook("bad.ipynb", "quit(status = 3)", "stop('never')", **R)
    collection.notebook("well.ipynb", "quit('no')", "stop('never')", **R)
    ended = collection.test("-n", "2")
    failure = ended["bad.ipynb"]["failure"]
    assert (failure["category"], failure["name"], failure["cell"]) == ("exception", "QuitStatus", 0)
    assert failure["message"] == "the cell ended the session with status 3"
    assert ended["bad.ipynb"]["cells"]["executed"] == 1
    assert ended["well.ipynb"]["outcome"] == "passed"
