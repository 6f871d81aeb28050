"""What takes a notebook out, and what is said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from tests.unit.collecting.conftest import Tree


@pytest.fixture
def tree(tree: Tree) -> Tree:
    tree.notebook("a.ipynb", "drafts/b.ipynb", "x/drafts/c.ipynb", "x/d.ipynb")
    return tree


def test_exclusions_by_default_are_listed_with_their_reason(tree: Tree) -> None:
    tree.notebook(
        ".git/g.ipynb",
        ".ipynb_checkpoints/a-checkpoint.ipynb",
        "Template.ipynb",
        "a_tested.ipynb",
        "node_modules/pkg/n.ipynb",
        "tests/testnotebooks.ipynb",
        "x/MyTemplate.ipynb",
    )
    assert tree.excluded() == {
        ".git/g.ipynb": "excluded by default: .git/",
        ".ipynb_checkpoints/a-checkpoint.ipynb": "excluded by default: .ipynb_checkpoints/",
        "Template.ipynb": "excluded by default: *Template.ipynb",
        "a_tested.ipynb": "excluded by default: *_tested.ipynb",
        "node_modules/pkg/n.ipynb": "excluded by default: node_modules/",
        "tests/testnotebooks.ipynb": "excluded by default: testnotebooks.ipynb",
        "x/MyTemplate.ipynb": "excluded by default: *Template.ipynb",
    }


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
def test_a_virtual_environment_is_known_by_what_it_holds(tree: Tree, mark: str) -> None:
    tree.notebook("tools/lib/e.ipynb")
    tree.write(f"tools/{mark}")
    expected = "excluded by default: tools/ is a virtual environment"
    assert tree.excluded()["tools/lib/e.ipynb"] == expected
    assert tree.excluded("a.ipynb", "tools/lib")["tools/lib/e.ipynb"] == expected


def test_the_copies_of_an_earlier_run_are_no_sources(tree: Tree) -> None:
    tree.notebook("results/night/a.ipynb")
    tree.write("results/.nbpipe-run.json")
    expected = "excluded by default: results/ is the output directory of a run"
    assert tree.excluded()["results/night/a.ipynb"] == expected
    assert tree.paths("results/night/a.ipynb") == ["results/night/a.ipynb"]
    assert tree.paths(cwd="results") == ["results/night/a.ipynb"]


def test_an_environment_made_in_the_root_itself_excludes_nothing(tree: Tree) -> None:
    tree.write("pyvenv.cfg")
    assert tree.excluded() == {}


def test_exclusions_by_default_can_be_switched_off(tree: Tree) -> None:
    tree.notebook("Template.ipynb")
    tree.write("pyvenv.cfg")
    assert "Template.ipynb" in tree.paths(toml="test.default-exclude = false")


def test_the_folders_above_the_root_do_not_count(tree: Tree) -> None:
    tree.notebook("node_modules/mine/a.ipynb")
    tree.write("node_modules/mine/nbpipe.toml")
    assert tree.paths(cwd="node_modules/mine") == ["a.ipynb"]


def test_the_configuration_excludes_as_a_gitignore_at_the_root(tree: Tree) -> None:
    toml = 'test.exclude = ["drafts/", "/x/d.ipynb"]'
    assert tree.excluded(toml=toml) == {
        "drafts/b.ipynb": "excluded by nbpipe.toml: exclude = 'drafts/'",
        "x/d.ipynb": "excluded by nbpipe.toml: exclude = '/x/d.ipynb'",
        "x/drafts/c.ipynb": "excluded by nbpipe.toml: exclude = 'drafts/'",
    }


def test_a_negated_line_brings_a_notebook_back(tree: Tree) -> None:
    tree.notebook("Template.ipynb")
    toml = 'test.exclude = ["drafts/", "!x/drafts/c.ipynb", "!Template.ipynb"]'
    assert tree.paths(toml=toml) == ["Template.ipynb", "a.ipynb", "x/d.ipynb", "x/drafts/c.ipynb"]


@pytest.mark.parametrize("pattern", ["drafts", "drafts/", "draft?", "draft*/"])
def test_a_bare_name_excludes_at_any_level_with_or_without_a_slash(
    tree: Tree, pattern: str
) -> None:
    reason = f"excluded by --exclude: {pattern}"
    assert tree.excluded(exclude=(pattern,)) == {
        "drafts/b.ipynb": reason,
        "x/drafts/c.ipynb": reason,
    }


@pytest.mark.parametrize("pattern", ["x/drafts", "./x/drafts/", "x/dr*", "{root}/x/drafts/"])
def test_a_path_excludes_that_place(tree: Tree, pattern: str) -> None:
    pattern = pattern.format(root=tree.root)
    assert list(tree.excluded(exclude=(pattern,))) == ["x/drafts/c.ipynb"]


def test_a_path_is_excluded_from_where_the_command_is_started(tree: Tree) -> None:
    tree.write("nbpipe.toml")
    excluded = tree.excluded("..", cwd="x", exclude=("../drafts", "./d.ipynb"))
    assert list(excluded) == ["drafts/b.ipynb", "x/d.ipynb"]


def test_a_bare_name_excludes_outside_of_the_working_directory_too(tree: Tree) -> None:
    tree.write("nbpipe.toml")
    excluded = tree.excluded("..", cwd="x", exclude=("drafts",))
    assert list(excluded) == ["drafts/b.ipynb", "x/drafts/c.ipynb"]


def test_a_name_that_exists_is_no_glob(tree: Tree) -> None:
    tree.notebook("n[1].ipynb", "n1.ipynb")
    assert list(tree.excluded(exclude=("n[1].ipynb",))) == ["n[1].ipynb"]
    assert list(tree.excluded(exclude=("./n[1].ipynb",))) == ["n[1].ipynb"]


def test_a_named_file_runs_although_an_exclusion_matches(tree: Tree) -> None:
    tree.notebook("Template.ipynb")
    assert tree.paths("Template.ipynb", exclude=("*.ipynb",)) == ["Template.ipynb"]


def test_a_named_folder_does_not_lift_exclusions(tree: Tree) -> None:
    tree.notebook("x/Template.ipynb")
    assert tree.paths("x", exclude=("x/drafts",)) == ["x/d.ipynb"]


def test_a_glob_that_a_shell_expanded_means_what_the_quoted_one_means(tree: Tree) -> None:
    tree.notebook("s/a.ipynb", "s/Template.ipynb", "s/b.ipynb")
    tree.write("s/notes.txt")
    assert tree.paths("s/*.ipynb") == ["s/a.ipynb", "s/b.ipynb"]
    expanded = ("s/Template.ipynb", "s/a.ipynb", "s/b.ipynb")
    assert tree.paths(*expanded) == ["s/a.ipynb", "s/b.ipynb"]
    assert tree.excluded(*expanded) == {
        "s/Template.ipynb": "excluded by default: *Template.ipynb; named together with all its "
        "siblings, as a shell's glob does; name it alone to run it"
    }


def test_some_of_the_notebooks_of_a_folder_are_no_glob(tree: Tree) -> None:
    tree.notebook("s/a.ipynb", "s/Template.ipynb", "s/b.ipynb")
    assert tree.paths("s/Template.ipynb", "s/a.ipynb") == ["s/Template.ipynb", "s/a.ipynb"]


def test_a_glob_over_folders_that_a_shell_expanded_is_one_too(tree: Tree) -> None:
    tree.notebook("p/q/a.ipynb", "p/q/b.ipynb", "p/r/Template.ipynb")
    expanded = ("p/q/a.ipynb", "p/q/b.ipynb", "p/r/Template.ipynb")
    assert tree.paths(*expanded) == tree.paths("p/*/*.ipynb") == ["p/q/a.ipynb", "p/q/b.ipynb"]


def test_a_star_that_a_shell_expanded_does_not_make_notebooks_of_other_files(tree: Tree) -> None:
    tree.write("README.md", "# Read me\n")
    expanded = sorted(path.name for path in tree.root.iterdir())
    assert expanded == ["README.md", "a.ipynb", "drafts", "x"]
    assert tree.paths(*expanded) == tree.paths("*") == tree.paths()


def test_an_empty_pattern_is_refused_as_an_unset_variable(tree: Tree) -> None:
    with pytest.raises(UsageError, match="--exclude '': the pattern is empty"):
        tree.excluded(exclude=("",))


def test_lines_of_the_configuration_that_match_nothing_are_reported(tree: Tree) -> None:
    tree.notebook("a/one.ipynb", "b/two.ipynb", "b/old.ipynb")
    toml = """[test]
exclude = ["old.ipynb", "odl/", "# a comment", "!keep.ipynb"]
groups = {gpu = ["a/", "c/"]}
overrides = [{paths = ["b/*.ipynb", "B/*.ipynb"], slots = 2}, {paths = ["old.ipynb"], slots = 2}]
"""
    assert tree.plan(toml=toml).warnings == (
        "nbpipe.toml: test.exclude: 'odl/' matches no notebook",
        "nbpipe.toml: test.exclude: '!keep.ipynb' matches no notebook",
        "nbpipe.toml: test.groups.gpu: 'c/' matches no notebook",
        "nbpipe.toml: test.overrides[0].paths: 'B/*.ipynb' matches no notebook",
    )


def test_a_part_of_the_collection_says_nothing_about_lines_of_the_whole(tree: Tree) -> None:
    tree.notebook("a/one.ipynb", "b/two.ipynb")
    toml = '[test]\nexclude = ["b/two.ipynb", "gone.ipynb"]\n'
    assert tree.plan("a", toml=toml).warnings == ()
    assert tree.plan(cwd="a").warnings == ()
