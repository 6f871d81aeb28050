r"""Formulas of a notebook as MathML, which a browser draws without a script.

TeX between `$…$`, `$$…$$`, `\(…\)` and `\[…\]`, and AMS environments, as MathJax finds them in
Jupyter. What cannot be converted stays there as TeX, marked. Called in the process that renders
copies (`child`): what a notebook holds may be made to break a parser.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from math_core import LatexToMathML

LONGEST = 20_000
"""Characters of a formula that is converted."""
DEEPEST = 500
"""Braces within each other: the parser takes stack for each, and has enough for some thousands."""

_MACROS = {
    "AA": r"\text{Å}",
    "cr": r"\\",
    "ensuremath": "#1",
    "mathbbm": r"\mathbb{#1}",
    "mathds": r"\mathbb{#1}",
    "nicefrac": r"{#1}/{#2}",
    "smash": "#1",
    "substack": r"\begin{matrix}#1\end{matrix}",
}
"""What MathJax knows and the converter does not."""
_DEFINITION = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand)\*?\s*(?:\{\s*(\\[A-Za-z]+)\s*\}|(\\[A-Za-z]+))\s*"
    r"(?:\[([0-9])\])?\s*(?=\{)"
)
_OPERATOR = re.compile(r"\\DeclareMathOperator(\*?)\s*\{?\s*(\\[A-Za-z]+)\s*\}?\s*\{([^{}]*)\}")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_UNDERLINE = re.compile(r"(?<!\\)_")
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
_REQUIRE = re.compile(r"\\require\s*\{[^{}]*\}")
_NUMBERED = re.compile(r"\\begin\{(?:equation|align|gather|multline|alignat|flalign)\}")
_NESTED = re.compile(r"\\.|[{}]", re.DOTALL)
_SIGNS = re.compile(r"\\.|[{}$]", re.DOTALL)
_WINDOW = 1_000
"""Characters in which the end of a formula is looked for, if the next sign is within braces."""
_DEPTH = 20
"""Braces within which it is looked for: text that only opens them is not read again and again."""
_STEPS = {"{": 1, "}": -1}
_RENAMED = (
    (re.compile(r"\\[mh]box(?![A-Za-z])\s*"), r"\\text"),
    (re.compile(r"\\begin\{eqnarray\*?\}"), r"\\begin{array}{rcl}"),
    (re.compile(r"\\end\{eqnarray\*?\}"), r"\\end{array}"),
    (re.compile(r"\\(begin|end)\{split\}"), r"\\\1{aligned}"),
    (re.compile(r"\\(?:begin|end)\{subequations\}"), ""),
)


class Formulas:
    """Converts the formulas of one notebook, in their order.

    A macro that one formula defines holds in the later ones, and equations are numbered through.

    Args:
        plain: Convert nothing: all formulas stay TeX.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._converter: LatexToMathML | None = None

    def mathml(self, tex: str, *, display: bool) -> str:
        """Return a formula as HTML.

        Args:
            tex: Without its delimiters; an environment is whole.
            display: Whether it stands in lines of its own.
        """
        if self._plain:
            return _marked(tex, "formulas of this notebook are shown as TeX", display=display)
        if len(tex) > LONGEST:
            return _marked(tex, "the formula is too long to be drawn", display=display)
        if _depth(tex) > DEEPEST:
            return _marked(tex, "the formula is nested too deeply to be drawn", display=display)
        try:
            return self._convert(_prepared(tex, display=display), display=display)
        except MemoryError:
            raise
        except BaseException as problem:
            # A fault inside of the converter is a PanicException, which is no Exception.
            if not isinstance(problem, Exception) and type(problem).__name__ != "PanicException":
                raise
            return _marked(tex, _reason(problem), display=display)

    def _convert(self, tex: str, *, display: bool) -> str:
        from math_core import LatexToMathML  # noqa: PLC0415  (only notebooks with formulas)

        if self._converter is None:
            self._converter = LatexToMathML(
                macros=_MACROS,
                global_group=True,  # definitions last, as in MathJax
                fancy_error=False,
                allow_unreliable_rendering=True,  # a tilde that is too short says what it is
                id_prefix="formula-",
            )
        drawn = self._converter.convert_with_global_state(tex, displaystyle=display)
        # One that is wider than the page scrolls, with the keyboard, too.
        return drawn.replace('<math display="block">', '<math display="block" tabindex="0">', 1)


def _reason(problem: BaseException) -> str:
    return str(problem).partition(": ")[2].rstrip(".") or type(problem).__name__


def _marked(tex: str, reason: str, *, display: bool) -> str:
    """Return TeX as text that says why it is not a formula."""
    kind = "tex tex-block" if display else "tex"
    return f'<code class="{kind}" title="TeX: {escape(reason)}">{escape(tex.strip())}</code>'


def _depth(tex: str) -> int:
    """Return how many braces are open at most."""
    depth = deepest = 0
    for found in _NESTED.findall(tex):
        depth += _STEPS.get(found, 0)
        deepest = max(deepest, depth)
    return deepest


def closing(text: str, start: int, end: int) -> int:
    r"""Return where a formula between single dollar signs ends: not within braces.

    In `$\text{if $x$}$` the second and the third sign belong to the words.

    Args:
        text: What the formula stands in.
        start: Behind its first sign.
        end: Behind the next sign; returned if there is no better one.
    """
    depth = 0
    for found in _SIGNS.finditer(text, start, start + _WINDOW):
        if found[0] == "$" and depth <= 0:
            return found.end()
        depth += _STEPS.get(found[0], 0)
        if depth > _DEPTH:
            break
    return end


def _prepared(tex: str, *, display: bool) -> str:
    """Return TeX with what MathJax allows written as the converter has it."""
    tex = _REQUIRE.sub("", tex)
    tex = _DEFINITION.sub(_defined, tex)  # \def may define anew, as MathJax allows for all of them
    tex = _OPERATOR.sub(r"\\def\2{\\operatorname\1{\3}}", tex)
    for pattern, other in _RENAMED:
        tex = pattern.sub(other, tex)
    tex = _TEXT.sub(_words, tex)
    if _NUMBERED.search(tex):
        return tex
    if display and r"\tag" in tex and r"\begin" not in tex:
        return rf"\begin{{equation}}{tex}\end{{equation}}"
    return _LABEL.sub("", tex)


def _defined(found: re.Match[str]) -> str:
    parameters = "".join(f"#{number}" for number in range(1, int(found[3] or 0) + 1))
    return rf"\def{found[1] or found[2]}{parameters}"


def _words(found: re.Match[str]) -> str:
    r"""Return words with formulas among them (`\text{if $x$}`) as words and formulas."""
    parts = re.split(r"(?<!\\)\$", found[1])
    if len(parts) % 2 == 0:
        return found[0]
    return "".join(
        part if number % 2 else r"\text{" + _UNDERLINE.sub(r"\\_", part) + "}"
        for number, part in enumerate(parts)
        if part
    )
