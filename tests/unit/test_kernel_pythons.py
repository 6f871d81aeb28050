"""What runs in a kernel's own Python is older than the runner's: Python 3.8 has all that it uses.

A kernel of RHEL 9 or of an old environment is started by the same run. Real interpreters are tried
in tests/integration/test_fork_pythons.py, where they can be had; this holds everywhere.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from ondisk import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

KERNELS = "execution/kernels"
THERE = (
    "impact/audithook",
    *(f"{KERNELS}/{name}" for name in ("forkserver", "guard", "leftovers", "preloads")),
)
"""Modules whose text is executed in a kernel, its guard or its fork server."""

NEWER = {
    "functools": {"cache"},
    "importlib": {"resources.files"},
    "logging": {"getLevelNamesMapping", "getHandlerByName"},
    "math": {"lcm", "nextafter", "ulp", "cbrt", "exp2"},
    "os": {"EFD_CLOEXEC", "eventfd", "pidfd_open", "waitstatus_to_exitcode", "unshare", "setns"}
    | {"P_PIDFD", "copy_file_range", "splice", "login_tty", "posix_openpt", "process_cpu_count"},
    "random": {"randbytes"},
    "signal": {"pidfd_send_signal"},
    "socket": {"recv_fds", "send_fds"},
    "sys": {
        "orig_argv",
        "stdlib_module_names",
        "exception",
        "monitoring",
        "activate_stack_trampoline",
    },
    "threading": {"gettrace", "getprofile", "setprofile_all_threads", "settrace_all_threads"},
    "time": {"clock_gettime_res"},
    "types": {"EllipsisType", "NoneType", "NotImplementedType", "UnionType", "get_original_bases"},
}
"""Names of the standard library that came after Python 3.8 ("New in version 3.9" and later)."""

METHODS = {"removeprefix", "removesuffix", "is_relative_to", "readlink", "with_stem", "bit_count"}
"""Methods that came after Python 3.8."""

BUILTINS = {"aiter", "anext", "BaseExceptionGroup", "EncodingWarning", "ExceptionGroup"}
GENERIC = {"dict", "frozenset", "list", "set", "tuple", "type", "Callable", "Iterator", "Iterable"}
"""What cannot be subscripted there."""


def parsed(name: str) -> ast.Module:
    """Return a module by the grammar of Python 3.8; SyntaxError where it is newer."""
    text = (REPOSITORY / f"nbpipe/{name}.py").read_text(encoding="utf-8")
    return ast.parse(text, f"{name}.py", feature_version=(3, 8))


def evaluated(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield what is evaluated when it is executed: no annotation in a function, no type check."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.AnnAssign) and isinstance(tree, ast.FunctionDef):
            yield from evaluated(ast.Expression(child.value or child.target))
            continue
        yield child
        yield from evaluated(child)


@pytest.mark.parametrize("name", THERE)
def test_the_grammar_is_that_of_python_3_8(name: str) -> None:
    assert parsed(name).body


def newer(tree: ast.Module) -> set[str]:
    """Return what is evaluated and came after Python 3.8."""
    found = set()
    for node in evaluated(tree):
        if isinstance(node, ast.Attribute):
            of = ast.unparse(node.value)
            if node.attr in NEWER.get(of, set()) | METHODS:
                found.add(ast.unparse(node))
        elif isinstance(node, ast.Name) and node.id in BUILTINS:
            found.add(node.id)
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) in GENERIC:
            found.add(ast.unparse(node))
    return found


@pytest.mark.parametrize("name", THERE)
def test_no_name_is_newer_than_python_3_8(name: str) -> None:
    looked_for = {"sys.orig_argv"} if name.endswith("forkserver") else set()
    assert newer(parsed(name)) <= looked_for


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import os\nos.waitstatus_to_exitcode(0)", "os.waitstatus_to_exitcode"),
        ("'a'.removeprefix('a')", "'a'.removeprefix"),
        ("def of(x: list[int]) -> int:\n    return 1", "list[int]"),
        ("def of() -> dict[str, int]:\n    return {}", "dict[str, int]"),
        ("names: list[str] = []", "list[str]"),
    ],
)
def test_what_is_newer_is_found(text: str, found: str) -> None:
    assert newer(ast.parse(text)) == {found}
