"""Limits, parameters and skips: overrides, the notebook's metadata, the settings; prerun files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from tests.unit.collecting.conftest import Tree


def test_the_settings_reach_the_task(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    toml = """
        [test]
        timeout = 5
        notebook-timeout = 50
        startup-timeout = 6
        grace = 2
        output-limit = 1.5
        retries = 3
        all-errors = true
        parameters = {n = 1}
    """
    task = tree.task(toml=toml)
    limits = task.limits
    assert (limits.cell_seconds, limits.notebook_seconds) == (5, 50)
    assert (limits.startup_seconds, limits.grace_seconds) == (6, 2)
    assert limits.output_bytes == 1_500_000
    assert (task.retries, task.all_errors, task.parameters) == (3, True, {"n": 1})


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ({"execution": {"timeout": 30}}, 30.0),
        ({"execution": {"timeout": 2.5}}, 2.5),
        ({"execution": {"timeout": -1}}, None),
        ({"execution": {"timeout": 0}}, None),
        ({"execution": {"timeout": None}}, None),
        ({"nbsphinx": {"timeout": 60}}, 60.0),
        ({"nbsphinx": {"timeout": -1}}, None),
        ({"mystnb": {"execution_timeout": 90}}, 90.0),
        ({"execution": {"timeout": 1}, "mystnb": {"execution_timeout": 2}}, 1.0),
        ({"execution": {}}, 600.0),
    ],
)
def test_the_notebooks_own_timeout_is_honoured(
    tree: Tree, metadata: dict[str, object], seconds: float | None
) -> None:
    tree.notebook("a.ipynb", **metadata)
    assert tree.task().limits.cell_seconds == seconds


@pytest.mark.parametrize(
    ("metadata", "allowed"),
    [
        ({"execution": {"allow_errors": True}}, True),
        ({"nbsphinx": {"allow_errors": True}}, True),
        ({"mystnb": {"execution_allow_errors": True}}, True),
        ({"nbsphinx": {"allow_errors": False}}, False),
        ({}, False),
    ],
)
def test_the_notebook_may_allow_errors(
    tree: Tree, metadata: dict[str, object], *, allowed: bool
) -> None:
    tree.notebook("a.ipynb", **metadata)
    assert tree.task().allow_errors is allowed


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"nbsphinx": {"execute": "never"}}, "its metadata says nbsphinx.execute = never"),
        ({"nbsphinx": {"execute": "always"}}, None),
        ({"mystnb": {"execution_mode": "off"}}, "its metadata says mystnb.execution_mode = off"),
        ({"mystnb": {"execution_mode": "force"}}, None),
    ],
)
def test_the_notebook_may_ask_not_to_be_executed(
    tree: Tree, metadata: dict[str, object], reason: str | None
) -> None:
    tree.notebook("a.ipynb", **metadata)
    assert tree.task().skip == reason


def test_a_text_may_say_off_without_quotes(tree: Tree) -> None:
    tree.write("a.md", "---\njupytext: {}\nmystnb:\n  execution_mode: off\n---\n")
    assert tree.task().skip == "its metadata says mystnb.execution_mode = off"


@pytest.mark.parametrize(
    ("metadata", "note"),
    [
        ({"execution": 3}, "metadata.execution is not an object: ignored"),
        (
            {"execution": {"timeout": "30"}},
            "metadata.execution.timeout is not a number of seconds: ignored",
        ),
        (
            {"nbsphinx": {"timeout": True}},
            "metadata.nbsphinx.timeout is not a number of seconds: ignored",
        ),
        (
            {"mystnb": {"execution_allow_errors": 1}},
            "metadata.mystnb.execution_allow_errors is neither true nor false: ignored",
        ),
    ],
)
def test_metadata_of_a_wrong_type_is_noted_and_ignored(
    tree: Tree, metadata: dict[str, object], note: str
) -> None:
    tree.notebook("a.ipynb", **metadata)
    task = tree.task()
    assert task.notes == (note,)
    assert (task.limits.cell_seconds, task.allow_errors) == (600.0, False)


def test_an_override_wins_over_the_notebook_which_wins_over_the_settings(tree: Tree) -> None:
    tree.notebook("a.ipynb", "slow/b.ipynb", execution={"timeout": 7})
    tree.notebook("c.ipynb")
    toml = """
        [test]
        timeout = 5
        [[test.overrides]]
        paths = ["slow/"]
        timeout = 9
    """
    seconds = {task.path: task.limits.cell_seconds for task in tree.plan(toml=toml).tasks}
    assert seconds == {"a.ipynb": 7, "c.ipynb": 5, "slow/b.ipynb": 9}


def test_the_last_override_that_sets_a_key_wins(tree: Tree) -> None:
    tree.notebook("a.ipynb", "b.ipynb")
    toml = """
        [test]
        parameters = {n = 1, host = "x"}
        [[test.overrides]]
        paths = ["*.ipynb", "!b.ipynb"]
        kernel = "ir"
        retries = 2
        output-limit = 3
        notebook-timeout = 40
        all-errors = true
        parameters = {n = 2, m = 3}
        [[test.overrides]]
        paths = ["a.*"]
        kernel = "bash"
        parameters = {n = 4}
    """
    a, b = tree.plan(toml=toml).tasks
    assert (a.kernel, a.kernel_why) == (
        "bash",
        "an override of nbpipe.toml forces it; the notebook names none",
    )
    assert (a.retries, a.all_errors) == (2, True)
    assert (a.limits.output_bytes, a.limits.notebook_seconds) == (3_000_000, 40)
    assert a.parameters == {"n": 4, "host": "x", "m": 3}
    assert (b.kernel, b.retries, b.parameters) == ("python3", 0, {"n": 1, "host": "x"})


def test_groups_and_slots_reach_the_tasks(tree: Tree) -> None:
    tree.notebook("a.ipynb", "db/b.ipynb", "db/c.ipynb")
    toml = """
        [test.groups]
        database = ["db/"]
        license = ["a.ipynb", "b.ipynb"]
        [[test.overrides]]
        paths = ["db/*", "!db/c.ipynb"]
        slots = 2
    """
    assert [(task.path, task.groups, task.slots) for task in tree.plan(toml=toml).tasks] == [
        ("a.ipynb", ("license",), 1),
        ("db/b.ipynb", ("database", "license"), 2),
        ("db/c.ipynb", ("database",), 1),
    ]


def test_a_group_with_a_wrong_pattern_is_refused(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    with pytest.raises(UsageError, match=r"test\.groups\.g"):
        tree.plan(toml='[test]\ngroups = {g = ["!"]}')


def test_an_override_may_skip_with_a_reason(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    toml = '[[test.overrides]]\npaths = ["a.ipynb"]\nskip = "needs a person"'
    assert tree.task(toml=toml).skip == "needs a person"


def test_an_override_may_skip_a_broken_file(tree: Tree) -> None:
    tree.write("a.ipynb", "{")
    toml = '[[test.overrides]]\npaths = ["a.ipynb"]\nskip = "broken on purpose"'
    task = tree.task(toml=toml)
    assert (task.skip, task.failure) == ("broken on purpose", None)


def test_an_overrides_kernel_that_is_missing_obeys_its_missing_kernel(tree: Tree) -> None:
    tree.notebook("a.ipynb", "b.ipynb")
    toml = """
        [[test.overrides]]
        paths = ["*.ipynb"]
        kernel = "julia-1.9"
        [[test.overrides]]
        paths = ["b.ipynb"]
        missing-kernel = "skip"
    """
    a, b = tree.plan(toml=toml).tasks
    assert a.failure is not None
    assert a.failure.signature == "NoSuchKernel: julia-1.9"
    assert b.failure is None
    assert (b.skip or "").startswith("kernel 'julia-1.9' (Julia) is not installed; ")


def test_prerun_files_go_to_the_notebooks_of_their_language(tree: Tree) -> None:
    tree.notebook("p.ipynb")
    tree.notebook("r.ipynb", kernelspec={"name": "ir"})
    tree.write("tests/prerun.py", "import os\n")
    absolute = tree.write("elsewhere/login.R", "\ufefflibrary(x)\n")
    toml = f'test.prerun = ["tests/prerun.py", "{absolute}"]\ntest.exclude = ["tests/"]'
    p, r = tree.plan(toml=toml).tasks
    assert [(code.name, code.language, code.source) for code in p.prerun] == [
        ("tests/prerun.py", "python", "import os\n")
    ]
    assert [(code.name, code.language, code.source) for code in r.prerun] == [
        (str(absolute), "r", "library(x)\n")
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.py", r"prerun file .*/gone\.py: cannot be read: No such file or directory"),
        ("notes.txt", r"prerun file notes\.txt: its extension does not name a language"),
    ],
)
def test_a_prerun_file_that_cannot_be_used_is_refused(tree: Tree, name: str, message: str) -> None:
    tree.notebook("a.ipynb")
    with pytest.raises(UsageError, match=message):
        tree.plan(toml=f'test.prerun = ["{name}"]')
