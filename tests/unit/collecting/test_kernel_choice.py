"""Which kernel a notebook gets, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from tests.unit.collecting.conftest import Tree

JULIA = {"name": "julia-1.9", "language": "julia"}


@pytest.mark.parametrize(
    ("metadata", "kernel", "language", "why"),
    [
        ({"kernelspec": {"name": "python3"}}, "python3", "python", ""),
        ({"kernelspec": {"name": "ir", "language": "R"}}, "ir", "r", ""),
        ({"kernelspec": {"name": "IR"}}, "ir", "r", ""),
        ({}, "python3", "python", "the notebook names none; python3 is the default"),
        (
            {"kernelspec": {"name": ""}, "language_info": {"name": "ipython"}},
            "python3",
            "python",
            "the notebook names none; python3 is the default",
        ),
        (
            {"language_info": {"name": "R"}},
            "ir",
            "r",
            "the notebook names none; ir has the same language",
        ),
        (
            {"kernelspec": {"name": "desi-22.2", "language": "Python"}},
            "python3",
            "python",
            "the notebook names 'desi-22.2', which is not installed; python3 has the same language",
        ),
        (
            {"kernelspec": {"name": "lsst"}, "language_info": {"name": "python"}},
            "python3",
            "python",
            "the notebook names 'lsst', which is not installed; python3 has the same language",
        ),
        (
            {"kernelspec": {"name": "python2"}},
            "python3",
            "python",
            "the notebook names 'python2', which is not installed; python3 has the same language",
        ),
        (
            {"kernelspec": {"name": "conda-env-stats-r"}},
            "ir",
            "r",
            (
                "the notebook names 'conda-env-stats-r', which is not installed; "
                "ir has the same language"
            ),
        ),
    ],
)
def test_the_kernel_is_chosen(
    tree: Tree, metadata: dict[str, object], kernel: str, language: str, why: str
) -> None:
    tree.notebook("a.ipynb", **metadata)
    task = tree.task()
    assert (task.kernel, task.language, task.kernel_why) == (kernel, language, why)
    assert (task.failure, task.skip) == (None, None)


def test_a_missing_kernel_is_a_failure_that_lists_the_installed(tree: Tree) -> None:
    tree.notebook("a.ipynb", kernelspec=JULIA)
    task = tree.task()
    failure = task.failure
    assert failure is not None
    assert (task.kernel, task.language) == ("julia-1.9", "julia")
    assert (failure.category, failure.name) == ("kernel-missing", "NoSuchKernel")
    assert failure.signature == "NoSuchKernel: julia-1.9"
    assert failure.message == (
        "no kernel 'julia-1.9' for julia; installed: bash, ir, python3; "
        'to install it: in Julia: using Pkg; Pkg.add("IJulia")'
    )


def test_a_kernel_of_an_unknown_language_is_missing(tree: Tree) -> None:
    tree.notebook("a.ipynb", kernelspec={"name": "desi-22.2"})
    failure = tree.task().failure
    assert failure is not None
    assert failure.message == "no kernel 'desi-22.2'; installed: bash, ir, python3"


def test_a_missing_kernel_may_be_a_skip_that_says_how_to_install_it(tree: Tree) -> None:
    tree.notebook("a.ipynb", kernelspec=JULIA)
    task = tree.task(toml='test.missing-kernel = "skip"')
    assert task.failure is None
    assert task.skip == (
        "kernel 'julia-1.9' (Julia) is not installed; "
        'to install it: in Julia: using Pkg; Pkg.add("IJulia")'
    )


def test_a_language_without_a_kernel_is_missing_under_its_name(tree: Tree) -> None:
    tree.notebook("a.ipynb", language_info={"name": "octave"})
    failure = tree.task().failure
    assert failure is not None
    assert failure.signature == "NoSuchKernel: octave"


def test_a_forced_kernel_is_everybodys(tree: Tree) -> None:
    tree.notebook("a.ipynb", kernelspec=JULIA)
    tree.notebook("b.ipynb", kernelspec={"name": "bash"})
    toml = 'test.kernel = "bash"\ntest.kernel-map = {"julia-1.9" = "ir"}'
    a, b = tree.plan(toml=toml).tasks
    assert (a.kernel, a.kernel_why) == (
        "bash",
        "forced for every notebook; the notebook names 'julia-1.9'",
    )
    assert (b.kernel, b.kernel_why) == ("bash", "")


def test_the_kernel_map_comes_before_the_installed_name(tree: Tree) -> None:
    tree.notebook("a.ipynb", kernelspec={"name": "ir"})
    task = tree.task(toml='test.kernel-map = {ir = "bash"}')
    assert (task.kernel, task.kernel_why) == ("bash", "the kernel map gives bash for 'ir'")


def test_a_notebook_without_a_name_counts_as_python3_in_the_kernel_map(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    task = tree.task(toml='test.kernel-map = {python3 = "ir"}')
    assert (task.kernel, task.kernel_why) == (
        "ir",
        "the notebook names none; the kernel map gives ir for 'python3'",
    )


def test_an_unknown_forced_kernel_is_refused(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    with pytest.raises(UsageError) as refused:
        tree.plan(toml='test.kernel = "xyz"')
    assert str(refused.value) == (
        "no kernel 'xyz' is installed, which `--kernel` or `test.kernel` asks for\n"
        "  Installed: bash, ir, python3."
    )


def test_a_kernel_map_to_an_unknown_kernel_is_refused(tree: Tree) -> None:
    tree.notebook("a.ipynb")
    with pytest.raises(UsageError, match=r"which the kernel map \(lsst=xyz\) asks for"):
        tree.plan(toml='test.kernel-map = {lsst = "xyz"}')


@pytest.mark.parametrize(
    ("metadata", "note"),
    [
        ({"kernelspec": "python3"}, "metadata.kernelspec is not an object: ignored"),
        ({"kernelspec": {"name": 3}}, "metadata.kernelspec.name is not text: ignored"),
        ({"language_info": []}, "metadata.language_info is not an object: ignored"),
    ],
)
def test_a_kernel_named_in_a_wrong_way_is_noted(
    tree: Tree, metadata: dict[str, object], note: str
) -> None:
    tree.notebook("a.ipynb", **metadata)
    task = tree.task()
    assert (task.kernel, task.notes) == ("python3", (note,))
