"""What a pattern on the command line, or in `include`, means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nbpipe.errors import NothingCollected, UsageError

if TYPE_CHECKING:
    from tests.unit.collecting.conftest import Tree


@pytest.fixture
def tree(tree: Tree) -> Tree:
    tree.notebook("a/one.ipynb", "a/deep/two.ipynb", "b/three.ipynb", "top.ipynb")
    return tree


def test_without_a_pattern_everything_below_the_working_directory_runs(tree: Tree) -> None:
    tree.write("nbpipe.toml")
    assert tree.paths() == ["a/deep/two.ipynb", "a/one.ipynb", "b/three.ipynb", "top.ipynb"]
    assert tree.paths(cwd="a") == ["a/deep/two.ipynb", "a/one.ipynb"]


def test_without_a_pattern_the_configuration_says_what_is_included(tree: Tree) -> None:
    toml = 'test.include = ["a/", "!a/deep/"]'
    assert tree.paths(toml=toml, cwd="b") == ["a/one.ipynb"]
    assert tree.task(cwd="b").why == "include of nbpipe.toml: 'a/'"


@pytest.mark.parametrize("spelling", ["a", "a/", "./a", "./a/", "a//", "b/../a", "../{here}/a/"])
def test_a_folder_means_everything_below_it_however_it_is_spelt(tree: Tree, spelling: str) -> None:
    pattern = spelling.format(here=tree.root.name)
    assert tree.paths(pattern) == ["a/deep/two.ipynb", "a/one.ipynb"]


def test_an_absolute_folder_means_the_same(tree: Tree) -> None:
    assert tree.paths(f"{tree.root}/a/") == ["a/deep/two.ipynb", "a/one.ipynb"]


def test_a_folder_may_be_named_from_another_one(tree: Tree) -> None:
    tree.write("nbpipe.toml")
    assert tree.paths("../a", cwd="b") == ["a/deep/two.ipynb", "a/one.ipynb"]


def test_dot_dot_after_a_link_is_the_real_parent(tree: Tree) -> None:
    (tree.root / "link").symlink_to("a/deep")
    assert tree.paths("link/../one.ipynb") == ["a/one.ipynb"]


def test_a_file_means_itself(tree: Tree) -> None:
    assert tree.paths("a//one.ipynb", f"{tree.root}/top.ipynb") == ["a/one.ipynb", "top.ipynb"]
    assert tree.task("a/one.ipynb").why == "named on the command line"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.ipynb", ["top.ipynb"]),
        ("**/*.ipynb", ["a/deep/two.ipynb", "a/one.ipynb", "b/three.ipynb", "top.ipynb"]),
        ("*/*.ipynb", ["a/one.ipynb", "b/three.ipynb"]),
        ("./*//*.ipynb", ["a/one.ipynb", "b/three.ipynb"]),
        ("*/", ["a/deep/two.ipynb", "a/one.ipynb", "b/three.ipynb"]),
        ("[ab]", ["a/deep/two.ipynb", "a/one.ipynb", "b/three.ipynb"]),
        ("a/**/t*", ["a/deep/two.ipynb"]),
        ("a/**", ["a/deep/two.ipynb", "a/one.ipynb"]),
        ("?/[!a-s]*.ipynb", ["b/three.ipynb"]),
        ("t?p.ipynb", ["top.ipynb"]),
        ("[[:lower:]]*.ipynb", ["top.ipynb"]),
        ("[z-a]*", []),
        ("a[!x]one.ipynb", []),
        ("[[:nothing:]]*", []),
    ],
)
def test_a_glob_is_read_as_git_does_from_here(
    tree: Tree, pattern: str, expected: list[str]
) -> None:
    if expected:
        assert tree.paths(pattern) == expected
        return
    with pytest.raises(NothingCollected):
        tree.plan(pattern)


def test_a_glob_is_anchored_where_the_command_is_started(tree: Tree) -> None:
    tree.write("nbpipe.toml")
    assert tree.paths("*.ipynb", cwd="a") == ["a/one.ipynb"]
    assert tree.paths("../b/*.ipynb", cwd="a") == ["b/three.ipynb"]


def test_an_absolute_glob_means_the_same(tree: Tree) -> None:
    assert tree.task(f"{tree.root}/b/*.ipynb").path == "b/three.ipynb"


def test_the_reason_names_the_glob(tree: Tree) -> None:
    assert tree.task("t*.ipynb").why == "matches 't*.ipynb'"


def test_overlapping_patterns_choose_a_notebook_once(tree: Tree) -> None:
    patterns = ("a/one.ipynb", "a/*.ipynb", "a", "./a/one.ipynb")
    assert tree.paths(*patterns) == ["a/deep/two.ipynb", "a/one.ipynb"]


def test_notebooks_come_in_natural_order(tree: Tree) -> None:
    tree.notebook("n/10.ipynb", "n/9.ipynb", "n/b2/x.ipynb", "n/b10/x.ipynb")
    assert tree.paths("n") == ["n/9.ipynb", "n/10.ipynb", "n/b2/x.ipynb", "n/b10/x.ipynb"]


def test_a_notebook_outside_the_root_has_its_absolute_path(tree: Tree) -> None:
    outside = tree.root / "a" / "one.ipynb"
    tree.write("b/nbpipe.toml")
    assert tree.paths("../a/one.ipynb", cwd="b") == [str(outside)]


@pytest.mark.parametrize(
    "name",
    [
        "two words.ipynb",
        " led and trailed .ipynb",
        "[1].ipynb",
        "what?.ipynb",
        "*.ipynb",
        "back\\slash.ipynb",
        "two\nlines.ipynb",
        "-x.ipynb",
        "!not.ipynb",
        "#comment.ipynb",
        "~home.ipynb",
        "naïve ☃.ipynb",
        'it\'s "quoted".ipynb',
    ],
)
def test_a_name_may_hold_anything(tree: Tree, name: str) -> None:
    tree.notebook(f"odd/{name}", "odd/other.ipynb")
    assert tree.paths(f"odd/{name}") == [f"odd/{name}"]
    assert f"odd/{name}" in tree.paths("odd/")
    assert f"odd/{name}" in tree.paths("odd/**")


def test_a_folder_with_brackets_is_that_folder_in_a_glob_too(tree: Tree) -> None:
    tree.notebook("v[1]/x.ipynb", "v1/y.ipynb")
    assert tree.paths("v[1]/*.ipynb") == ["v[1]/x.ipynb"]


def test_composed_and_decomposed_letters_are_the_same(tree: Tree) -> None:
    tree.notebook("cafe\u0301.ipynb")
    assert tree.paths("caf\u00e9.ipynb") == ["cafe\u0301.ipynb"]
    assert tree.paths("caf\u00e9*") == ["cafe\u0301.ipynb"]


def test_a_name_that_is_not_utf_8_is_shown_escaped(tree: Tree) -> None:
    name = os.fsdecode(b"odd\xff.ipynb")
    tree.notebook(name)
    task = tree.task("odd*")
    assert task.path == r"odd\xff.ipynb"
    assert os.fsencode(task.file).endswith(b"odd\xff.ipynb")
    assert tree.task(name).path == r"odd\xff.ipynb"
    assert tree.excluded(toml='test.exclude = ["odd*"]')[r"odd\xff.ipynb"] == (
        "excluded by nbpipe.toml: exclude = 'odd*'"
    )


def test_a_name_that_does_not_exist_is_refused_with_the_nearest(tree: Tree) -> None:
    with pytest.raises(UsageError) as refused:
        tree.plan("a/on.ipynb")
    assert str(refused.value) == ("a/on.ipynb: no such file or folder\n  Did you mean a/one.ipynb?")


def test_an_empty_pattern_is_refused(tree: Tree) -> None:
    with pytest.raises(UsageError, match="a pattern is empty"):
        tree.plan("")


def test_a_file_that_is_no_notebook_is_refused(tree: Tree) -> None:
    tree.write("data.csv")
    with pytest.raises(UsageError, match=r"data\.csv: not a notebook"):
        tree.plan("data.csv")


def test_a_pattern_that_git_would_not_accept_is_refused(tree: Tree) -> None:
    with pytest.raises(UsageError, match=r"nbpipe\.toml: test\.exclude: Invalid git pattern"):
        tree.plan(toml='test.exclude = ["x\\\\"]')


def test_nothing_collected_says_what_the_patterns_matched(tree: Tree) -> None:
    tree.notebook("t/ATemplate.ipynb", "t/b_tested.ipynb")
    with pytest.raises(NothingCollected) as nothing:
        tree.plan("z*", "t/*.ipynb")
    assert str(nothing.value) == (
        "no notebook was chosen\n"
        "  z* matched no notebook\n"
        "  t/*.ipynb matched 2 notebooks\n"
        "  1 excluded by default: *Template.ipynb\n"
        "  1 excluded by default: *_tested.ipynb\n"
        "  A notebook that is named on its own runs even if it is excluded."
    )
    assert nothing.value.exit_code == 5
