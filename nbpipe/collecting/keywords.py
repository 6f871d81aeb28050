"""The expressions of `-k`: words with `and`, `or`, `not` and parentheses, as pytest has them.

A word holds where it is a part of one of the texts, whatever the case.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from boolean import boolean

from nbpipe.collecting.paths import unified
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
            UsageError: It is no expression; the message shows the place.
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
