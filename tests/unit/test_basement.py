"""What the basement, `nbpipe/system`, does for everybody is done nowhere else.

Each rule below finds an act by what a module's text says, in its syntax tree. A module that may
do it itself is named with the reason; an exception that is no longer needed fails, too.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REPOSITORY = Path(__file__).parents[2]


def resolves_a_secret(node: ast.AST) -> bool:
    """Return whether that takes `env:NAME` or `file:PATH` apart."""
    match node:
        case ast.Constant(value="env:"):
            return True
        case ast.Call(func=ast.Attribute(), args=[ast.Constant(value="file:")]):
            return True
        case ast.Compare(comparators=[ast.Constant(value="env")]):
            return True
        case ast.MatchValue(value=ast.Constant(value="env")):
            return True
    return False


def formats_a_quantity(node: ast.AST) -> bool:
    """Return whether that divides into units of time or size: `seconds // 60`, `bytes / 1e6`."""
    match node:
        case ast.BinOp(
            op=ast.Div() | ast.FloorDiv(), right=ast.Constant(value=int() | float() as by)
        ):
            return by in {60, 3_600, 86_400, 1024, 1024**2, 1e3, 1e6, 1e9}
        case ast.BinOp(op=ast.Div() | ast.FloorDiv(), right=ast.BinOp(op=ast.Pow())):
            return True
    return False


def spawns_git(node: ast.AST) -> bool:
    """Return whether that is a command line of git's: "git", and arguments from elsewhere."""
    words = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
    literals = [each.value for each in words if isinstance(each, ast.Constant)]
    options = any(str(each).startswith("-") for each in literals)
    return "git" in literals and (options or any(isinstance(each, ast.Starred) for each in words))


def replaces_a_file(node: ast.AST) -> bool:
    """Return whether that puts a file in another's place, or waits for the disk."""
    match node:
        case ast.Attribute(value=ast.Name("os"), attr="replace" | "fsync" | "fdatasync"):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name("files"), attr="replace")):
            return False  # the basement's own
        case ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[]):
            return True  # of pathlib; that of a text has two arguments
    return False


def takes_a_lock(node: ast.AST) -> bool:
    """Return whether that locks an open file."""
    return isinstance(node, ast.Attribute) and node.attr in {"flock", "lockf", "F_SETLK"}


def measures_the_machine(node: ast.AST) -> bool:
    """Return whether that asks for the processors, the memory or the limits of a group."""
    match node:
        case ast.Attribute(attr="cpu_count" | "sched_getaffinity" | "virtual_memory"):
            return True
        case ast.Constant(value=str() as text):
            return text.endswith(("proc/meminfo", "sys/fs/cgroup"))
    return False


def asks_an_interpreter(node: ast.AST) -> bool:
    """Return whether that is `[program, "-c", code]`, with a program from elsewhere."""
    words = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
    return any(
        isinstance(option, (ast.Constant, ast.Name))
        and getattr(option, "value", getattr(option, "id", "")) in {"-c", "option"}
        and not isinstance(program, ast.Constant)
        for program, option in pairwise(words)
    )


@dataclass(frozen=True)
class Rule:
    """An act, and who does it."""

    acts: Callable[[ast.AST], bool]
    home: str
    exceptions: Mapping[str, str]
    """Module, or folder with a slash at its end -> why it does it itself."""

    def excepted(self, module: str) -> bool:
        return any(
            module == each or (each.endswith("/") and module.startswith(each))
            for each in self.exceptions
        )


RULES = {
    "resolves a secret": Rule(resolves_a_secret, "nbpipe/system/secrets.py", {}),
    "spawns git": Rule(
        spawns_git,
        "nbpipe/system/git.py",
        {
            "nbpipe/publishing/origin/cache.py": "GitPython's, in a session that is watched",
        },
    ),
    "replaces a file": Rule(
        replaces_a_file,
        "nbpipe/system/files.py",
        {
            "nbpipe/publishing/releases/build.py": "the store, through descriptors of its folders",
            "nbpipe/publishing/copies/folder.py": "a user's folder, through its descriptor",
            "nbpipe/execution/kernels/forks.py": "not a file: a fork server in another's place",
            "nbpipe/cluster/exchange.py": "its logs and plans, through open descriptors",
        },
    ),
    "takes a lock": Rule(takes_a_lock, "nbpipe/system/locks.py", {}),
    "measures the machine": Rule(measures_the_machine, "nbpipe/system/machine.py", {}),
    "asks an interpreter": Rule(
        asks_an_interpreter,
        "nbpipe/system/interpreters.py",
        {
            "nbpipe/bisecting/venvs.py": "not a question: the constraints of pip",
            "nbpipe/publishing/copies/commands.py": "not a question: git's settings",
            "nbpipe/execution/kernels/forks.py": "not a question: the server that forks kernels",
        },
    ),
    "formats a quantity": Rule(
        formats_a_quantity,
        "nbpipe/system/units.py",
        {
            "nbpipe/reference/comparison/differences.py": "numpy's own units of time",
            "nbpipe/reference/products/statistics.py": "numpy's microseconds",
            "nbpipe/reference/schedulers/lsf.py": "times as LSF takes them",
            "nbpipe/reference/state.py": "core-hours, the unit of a record",
        },
    ),
}


@functools.cache
def doers() -> dict[str, list[str]]:
    """Return which modules do what."""
    found: dict[str, list[str]] = {name: [] for name in RULES}
    for package in ("nbpipe", "webhook"):
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
            for name, rule in RULES.items():
                if any(map(rule.acts, nodes)):
                    found[name].append(str(file.relative_to(REPOSITORY)))
    return found


@pytest.mark.parametrize("name", RULES)
def test_one_module_does_it_for_all(name: str) -> None:
    rule = RULES[name]
    assert sorted(each for each in doers()[name] if not rule.excepted(each)) == [rule.home]


@pytest.mark.parametrize("name", RULES)
def test_no_exception_is_left_that_is_not_needed(name: str) -> None:
    rule = RULES[name]
    found = doers()[name]
    for each in rule.exceptions:
        assert any(module == each or module.startswith(f"{each.rstrip('/')}/") for module in found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resolves a secret", 'kind, _, name = source.partition(":")\nif kind == "env": ...'),
        ("resolves a secret", 'match kind:\n    case "env" if name: ...'),
        ("resolves a secret", '_PREFIX = "env:"'),
        ("spawns git", 'subprocess.run(["git", "-C", str(folder), *words])'),
        ("spawns git", 'words = ["git", *arguments]'),
        ("spawns git", 'Popen([*jail, "git", "fetch"])'),
        ("replaces a file", "fresh.replace(file)"),
        ("replaces a file", "os.replace(one, other)"),
        ("replaces a file", "os.fsync(stream.fileno())"),
        ("takes a lock", "fcntl.flock(file, fcntl.LOCK_EX)"),
        ("measures the machine", "os.cpu_count()"),
        ("measures the machine", "len(os.sched_getaffinity(0))"),
        ("measures the machine", 'root / "proc/meminfo"'),
        ("asks an interpreter", '[*python, "-c", "print(1)"]'),
        ("asks an interpreter", '[sys.executable, "-c", code]'),
        ("formats a quantity", 'f"{size / 1e6:.1f} MB"'),
        ("formats a quantity", "hours = seconds // 3_600"),
        ("formats a quantity", "size // 2**20"),
        ("resolves a secret", 'source.removeprefix("file:")'),
    ],
)
def test_what_does_it_is_seen(name: str, text: str) -> None:
    assert any(RULES[name].acts(node) for node in ast.walk(ast.parse(text)))
