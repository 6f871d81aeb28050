"""What is asked of a run, and the configuration: one way for everybody who asks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from ondisk import write_notebook

from nbpipe import config
from nbpipe.collecting import NothingPlanned, Selection
from nbpipe.errors import UsageError
from nbpipe.prepare import RunOptions, prepare

REPOSITORY = Path(__file__).parents[2]
FILE = """\
[test]
timeout = 30
prerun = ["setup.py"]
kernel-map = {old = "python3"}
parameters = {kept = 1, other = 2}
"""


def configured(folder: Path) -> config.Config:
    (folder / "nbpipe.toml").write_text(FILE)
    (folder / "setup.py").write_text("")
    return config.load(folder)


def options(folder: Path, *patterns: str, **asked: Any) -> RunOptions:  # noqa: ANN401
    return RunOptions(selection=Selection(cwd=folder, patterns=patterns), **asked)


def test_a_single_setting_replaces_the_files_and_lists_and_tables_are_added(tmp_path: Path) -> None:
    asked = options(
        tmp_path,
        replaced={"timeout": 5.0, "retries": 2},
        added={"prerun": ("more.py",), "parameters": {"other": 3}, "kernel_map": {"new": "ir"}},
    )
    test = asked.applied(configured(tmp_path)).settings.test
    assert (test.timeout, test.retries) == (5.0, 2)
    assert test.prerun == ("setup.py", "more.py")
    assert test.parameters == {"kept": 1, "other": 3}
    assert test.kernel_map == {"old": "python3", "new": "ir"}


def test_a_list_can_be_replaced_too_and_then_added_to(tmp_path: Path) -> None:
    asked = options(tmp_path, replaced={"prerun": ["a.py"]}, added={"prerun": ["b.py"]})
    assert asked.applied(configured(tmp_path)).settings.test.prerun == ("a.py", "b.py")


@pytest.mark.parametrize(
    ("name", "value"), [("jobs", 0), ("timeout", "soon"), ("retries", -1), ("kernel", "")]
)
def test_what_a_file_could_not_say_is_refused_with_its_name(
    tmp_path: Path, name: str, value: object
) -> None:
    with pytest.raises(UsageError, match=f"{name}={value!r}: expected ") as refused:
        options(tmp_path, replaced={name: value}).applied(configured(tmp_path))
    assert "nbpipe config --keys" in refused.value.hint


def test_the_configuration_itself_is_left_as_it_was(tmp_path: Path) -> None:
    before = configured(tmp_path)
    options(tmp_path, added={"parameters": {"kept": 9}}).applied(before)
    assert before == configured(tmp_path)


def test_a_pattern_that_matches_nothing_is_said_aside_while_others_run(tmp_path: Path) -> None:
    write_notebook(tmp_path / "one.ipynb", "1")
    (tmp_path / "empty").mkdir()
    said: list[str] = []
    plan = prepare(
        options(tmp_path, "one.ipynb", "no*.ipynb"), config.load(tmp_path), say=said.append
    )
    assert [task.path for task in plan.tasks] == ["one.ipynb"]
    assert said == ["nbpipe: warning: no*.ipynb matched no notebook"]


def test_where_nothing_matches_the_error_holds_the_empty_plan(tmp_path: Path) -> None:
    with pytest.raises(NothingPlanned) as nothing:
        prepare(options(tmp_path, "no*.ipynb"), config.load(tmp_path))
    assert nothing.value.plan.tasks == ()


def test_no_module_hides_an_argument_in_a_context_variable() -> None:
    """What makes kernels and what traces them are arguments, wherever a run is started."""
    files = [*(REPOSITORY / "nbpipe").rglob("*.py"), *(REPOSITORY / "webhook").rglob("*.py")]
    assert files
    for file in files:
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        modules = {each.module for each in nodes if isinstance(each, ast.ImportFrom)}
        assert "contextvars" not in modules, file
