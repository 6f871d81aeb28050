"""A selection and the settings -> the plan: tasks in their order, and why each other is out.

`-k` takes words with `and`, `or`, `not` and parentheses, as pytest does; a word matches where it is
part of one of the texts, whatever its case.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boolean import boolean

from nbpipe.collecting.candidates import choose_files
from nbpipe.collecting.exclusions import Exclusions, Places
from nbpipe.collecting.kernels import InstalledKernel, require
from nbpipe.collecting.paths import GitLines, natural, printable, unified
from nbpipe.collecting.scopes import Folder, Included, Scope, interpret, is_below
from nbpipe.collecting.tasks import Tasks
from nbpipe.config.variables import kept_from_notebooks
from nbpipe.errors import NothingCollected, UsageError
from nbpipe.model import Excluded, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nbpipe.collecting.candidates import Choosing, Chosen
    from nbpipe.config import Config
    from nbpipe.config.settings import TestSettings

_MOST_LINES = 10
"""Of a message, about what a shell's glob may have named by the thousand."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a person asked for on the command line."""

    cwd: Path
    patterns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keyword: str | None = None
    """The expression of `-k`."""
    shard: tuple[int, int] | None = None
    """`--shard I/N`: the I-th of N parts, I from 1."""


class NothingPlanned(NothingCollected):
    """`plan`, without tasks, says why each notebook that the patterns matched is out."""

    def __init__(self, message: str, *, plan: Plan, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.plan = plan


def plan(selection: Selection, config: Config, *, kernels: Mapping[str, InstalledKernel]) -> Plan:
    """Return what would run, in which order, and why each other notebook would not.

    A shard may be empty; nothing else may.

    Raises:
        UsageError: A named file or folder does not exist, a folder cannot be listed, a kernel
            that was asked for is not installed, a pattern or expression is none.
        NothingPlanned: No notebook at all is left.
    """
    settings = config.settings.test
    places = Places(root=os.path.realpath(config.root), cwd=os.path.realpath(selection.cwd))
    text = (selection.keyword or "").strip()  # pytest too takes an empty one for none
    keyword = Keyword(text) if text else None
    _check_shard(selection.shard)
    _check_kernels(settings, kernels)
    hidden = kept_from_notebooks(config.settings)
    tasks = Tasks(settings, places, kernels, file=_file(config), hidden=hidden)
    choosing, files, scopes = _choose(selection, config, places)
    excluded = choosing.excluded
    if keyword:
        _deselect(choosing, tasks, keyword)
    chosen = choosing.chosen
    nothing = not chosen
    if selection.shard:
        chosen = _keep_shard(chosen, selection.shard, excluded)
    made = Plan(
        root=Path(places.root),
        tasks=tuple(tasks.make(notebook) for notebook in chosen),
        excluded=tuple(
            Excluded(path=places.shown(path), reason=excluded[path])
            for path in sorted(excluded, key=natural)
        ),
        unmatched=_unmatched(choosing, files, scopes),
        warnings=_dead_lines(settings, _file(config), choosing, places)
        if not selection.patterns and places.cwd == places.root
        else (),
    )
    if nothing:
        raise _nothing(choosing, files, scopes, places, made)
    return made


def choose(selection: Selection, config: Config) -> list[tuple[str, Path]]:
    """Return the notebooks that `plan` would take, each as people read it and as a file.

    Raises:
        UsageError: As `plan`.
        NothingCollected: No notebook at all is left.
    """
    places = Places(root=os.path.realpath(config.root), cwd=os.path.realpath(selection.cwd))
    choosing, files, scopes = _choose(selection, config, places)
    if not choosing.chosen:
        empty = Plan(root=Path(places.root), tasks=(), excluded=())
        raise _nothing(choosing, files, scopes, places, empty)
    return [(places.shown(each.path), Path(each.path)) for each in choosing.chosen]


def _choose(
    selection: Selection, config: Config, places: Places
) -> tuple[Choosing, list[str], list[Scope]]:
    """Return what the patterns came to, and the files and scopes that they stand for."""
    settings = config.settings.test
    exclusions = Exclusions(
        places,
        by_default=settings.default_exclude,
        configured=settings.exclude,
        file=_file(config),
        given=selection.exclude,
    )
    files, scopes = _scopes(selection, settings, places, _file(config))
    return choose_files(files, scopes, places, exclusions), files, scopes


def _file(config: Config) -> str:
    return config.file.name if config.file else "the configuration"


def _scopes(
    selection: Selection, settings: TestSettings, places: Places, file: str
) -> tuple[list[str], list[Scope]]:
    if selection.patterns:
        return interpret(selection.patterns, places.cwd)
    if settings.include:
        return [], [Included(places.root, settings.include, file)]
    base = places.cwd if is_below(places.cwd, places.root) else places.root
    return [], [Folder(base, base, "found, as no pattern was given")]


def _check_shard(shard: tuple[int, int] | None) -> None:
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise UsageError(
            f"--shard {shard[0]}/{shard[1]}: no such part",
            hint="Parts are counted from 1: --shard 1/4 to --shard 4/4.",
        )


def _check_kernels(settings: TestSettings, kernels: Mapping[str, InstalledKernel]) -> None:
    if settings.kernel:
        require(settings.kernel, kernels, asked="`--kernel` or `test.kernel`")
    for name, target in settings.kernel_map.items():
        require(target, kernels, asked=f"the kernel map ({name}={target})")


def _deselect(choosing: Choosing, tasks: Tasks, keyword: Keyword) -> None:
    """Take out the notebooks for whose path, kernel and tags the expression does not hold."""
    kept = []
    for notebook in choosing.chosen:
        task = tasks.make(notebook)
        tags = notebook.head.metadata.get("tags")
        words = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        if keyword.holds([task.path, task.kernel, *words]):
            kept.append(notebook)
        else:
            choosing.excluded[notebook.path] = f"deselected by -k {keyword.text!r}"
    choosing.chosen = kept


def _keep_shard(
    chosen: list[Chosen], shard: tuple[int, int], excluded: dict[str, str]
) -> list[Chosen]:
    """Return every N-th notebook: the parts of one plan are disjoint and complete."""
    part, parts = shard
    kept = []
    for position, notebook in enumerate(chosen):
        mine = position % parts + 1
        if mine == part:
            kept.append(notebook)
        else:
            excluded[notebook.path] = f"in another shard ({mine}/{parts})"
    return kept


def _unmatched(choosing: Choosing, files: list[str], scopes: list[Scope]) -> tuple[str, ...]:
    """Return the patterns and folders that matched nothing, not even a file that was named too."""
    empty = (scope for scope in scopes if not choosing.matched[scope.label])
    return tuple(
        printable(scope.label) for scope in empty if not any(scope.why(path) for path in files)
    )


def _dead_lines(
    settings: TestSettings, file: str, choosing: Choosing, places: Places
) -> tuple[str, ...]:
    """Return which lines of the configuration match no notebook of the collection: misspelt ones.

    Only asked where the whole collection is looked at; what is excluded counts, too.
    """
    every = [*(each.path for each in choosing.chosen), *choosing.excluded]
    paths = [places.relative(path, "") for path in every if is_below(path, places.root)]
    written = {"exclude": settings.exclude}
    written |= {f"groups.{name}": lines for name, lines in settings.groups.items()}
    written |= {
        f"overrides[{number}].paths": each.paths for number, each in enumerate(settings.overrides)
    }
    return tuple(
        printable(f"{file}: test.{key}: {line!r} matches no notebook")
        for key, lines in written.items()
        for line in lines
        if not _matches(line.removeprefix("!"), paths)
    )


def _matches(line: str, paths: list[str]) -> bool:
    """Return whether a line matches one of the paths; a comment, and nothing, always do."""
    if not line.strip() or line.startswith("#"):
        return True
    lines = GitLines([line], where="test")
    return any(lines.take(path) for path in paths)


def _nothing(
    choosing: Choosing, files: list[str], scopes: list[Scope], places: Places, made: Plan
) -> NothingPlanned:
    """Return the error that says what the patterns matched, and what took everything out."""
    lines = []
    asked = {path: places.shown(path) for path in files}
    asked |= {scope.label: scope.label for scope in scopes}
    for label, shown in list(asked.items())[:_MOST_LINES]:
        count = choosing.matched[label]
        matched = {0: "no notebook", 1: "1 notebook"}.get(count, f"{count} notebooks")
        lines.append(f"  {shown} matched {matched}")
    if len(asked) > _MOST_LINES:
        lines.append(f"  ... and {len(asked) - _MOST_LINES} more")
    for reason, count in Counter(choosing.excluded.values()).most_common():
        lines.append(f"  {count} {reason}")
    return NothingPlanned(
        printable("\n".join(["no notebook was chosen", *lines])),
        plan=made,
        hint="A notebook that is named on its own runs even if it is excluded."
        if choosing.excluded
        else f"It was looked for from {printable(places.cwd)}.",
    )


_TOKEN = re.compile(r"\s*(?:([()])|([^\s()]+))")
_OPERATORS = {"and": boolean.TOKEN_AND, "or": boolean.TOKEN_OR, "not": boolean.TOKEN_NOT}
_PARENTHESES = {"(": boolean.TOKEN_LPAR, ")": boolean.TOKEN_RPAR}


class _Algebra(boolean.BooleanAlgebra):  # type: ignore[misc]  # the library has no types
    """boolean.py's parser on our words: only spaces and parentheses end one."""

    def tokenize(self, expr: str) -> Iterator[tuple[Any, str, int]]:
        for match in _TOKEN.finditer(expr):
            parenthesis, word = match.groups()
            if parenthesis:
                yield _PARENTHESES[parenthesis], parenthesis, match.start(1)
            else:
                kind = _OPERATORS.get(word.lower(), boolean.TOKEN_SYMBOL)
                yield kind, word, match.start(2)


class Keyword:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Compile the expression.

        Raises:
            UsageError: The expression is invalid; the message shows where.
        """
        self.text = text
        algebra = _Algebra()
        _check(text, algebra.tokenize(text))
        self._tree = algebra.parse(text)

    def holds(self, texts: Iterable[str]) -> bool:
        """Return whether the expression holds for a notebook with these texts."""
        return _evaluate(self._tree, "\n".join(_folded(text) for text in texts))


def _evaluate(tree: Any, haystack: str) -> bool:  # noqa: ANN401
    if isinstance(tree, boolean.AND):
        return all(_evaluate(part, haystack) for part in tree.args)
    if isinstance(tree, boolean.OR):
        return any(_evaluate(part, haystack) for part in tree.args)
    if isinstance(tree, boolean.NOT):
        return not _evaluate(tree.args[0], haystack)
    return _folded(tree.obj) in haystack


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unified(text)).casefold()


def _check(text: str, tokens: Iterable[tuple[Any, str, int]]) -> None:
    """Raise for the first token that cannot stand where it does.

    boolean.py takes `a and b and` for an expression, and asserts that others are none.
    """
    opened: list[int] = []
    wants_word = True
    for kind, word, position in tokens:
        if kind in {boolean.TOKEN_AND, boolean.TOKEN_OR, boolean.TOKEN_RPAR} and wants_word:
            raise _broken(text, position, f"a word is missing before {word!r}")
        if kind in {boolean.TOKEN_SYMBOL, boolean.TOKEN_NOT, boolean.TOKEN_LPAR} and not wants_word:
            raise _broken(text, position, f"`and` or `or` is missing before {word!r}")
        if kind == boolean.TOKEN_LPAR:
            opened.append(position)
        elif kind == boolean.TOKEN_RPAR:
            if not opened:
                raise _broken(text, position, "this parenthesis was never opened")
            opened.pop()
        wants_word = kind not in {boolean.TOKEN_SYMBOL, boolean.TOKEN_RPAR}
    if wants_word:
        raise _broken(text, len(text), "it ends where a word is missing")
    if opened:
        raise _broken(text, opened[-1], "this parenthesis is never closed")


def _broken(text: str, position: int, reason: str) -> UsageError:
    return UsageError(
        f"-k {text!r}: {reason}, at character {position + 1}\n  {text}\n  {' ' * position}^",
        hint="Join words with `and`, `or`, `not` and parentheses: -k 'fits and not (slow or R)'.",
    )
