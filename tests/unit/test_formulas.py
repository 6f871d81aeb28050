r"""TeX becomes MathML as MathJax would show it; what cannot stays readable."""

from __future__ import annotations

import re

import pytest

from nbpipe.reports.html.formulas import DEEPEST, LONGEST, Formulas


def shown(tex: str, *, display: bool = False) -> str:
    return Formulas().mathml(tex, display=display)


def words(html: str) -> str:
    return re.sub(r"<[^>]*>|\s", "", html)


@pytest.mark.parametrize(
    ("tex", "said"),
    [
        (r"\frac{a}{b}", "ab"),
        (r"\begin{align}a&=b\\c&=d\end{align}", "a=b(1)c=d(2)"),
        (r"\begin{align*}a&=b\\c&=d\end{align*}", "a=bc=d"),
        (r"\begin{equation}\begin{split}a&=b\end{split}\label{e}\end{equation}", "a=b(1)"),
        (r"\begin{eqnarray}a&=&b\end{eqnarray}", "a=b"),
        (r"E\tag{7}", "E(7)"),
        (r"\label{here}x", "x"),
        (r"\mbox{a_b}x", "a_bx"),
        (r"\text{if $x_1$ or a_b}", "ifx1ora_b"),
        (r"\require{cancel}\substack{a\\b}", "ab"),
        (r"\displaystyle \left[\begin{matrix}1 & x\\y & 2\end{matrix}\right]", "[1xy2]"),
        (r"\text{<script>}", "&lt;script&gt;"),
    ],
)
def test_what_mathjax_knows_is_mathml(tex: str, said: str) -> None:
    html = shown(tex, display=True)
    assert html.startswith('<math display="block" tabindex="0">')
    assert words(html) == said


def test_a_macro_holds_in_later_formulas_and_may_be_defined_anew() -> None:
    formulas = Formulas()
    formulas.mathml(r"\newcommand{\R}{\mathbb{R}}", display=False)
    assert words(formulas.mathml(r"\R", display=False)) == "\N{DOUBLE-STRUCK CAPITAL R}"
    formulas.mathml(r"\newcommand\R[2]{#2\in #1}", display=False)
    assert words(formulas.mathml(r"\R{A}{x}", display=False)) == "x∈A"
    formulas.mathml(r"\DeclareMathOperator{\argbest}{arg\,best}", display=False)
    assert words(formulas.mathml(r"\argbest_x", display=False)) == "argbestx"
    assert '<code class="tex"' in shown(r"\argbest_x")  # not in another notebook


def test_equations_are_numbered_through_and_referred_to() -> None:
    formulas = Formulas()
    formulas.mathml(r"\begin{equation}a\end{equation}", display=True)
    second = formulas.mathml(r"\begin{equation}b\label{eq:b}\end{equation}", display=True)
    assert words(second) == "b(2)"
    assert words(formulas.mathml(r"\eqref{eq:b}", display=False)) == "(2)"


@pytest.mark.parametrize(
    ("tex", "why"),
    [
        (r"\foo<b>{x}", "Unknown command"),
        ("{" * 30, "Expected closing token"),
        ("{" * 3_000_000, "too long"),
        ("x" * (LONGEST + 1), "too long"),
        ("{" * (DEEPEST + 1) + "x" + "}" * (DEEPEST + 1), "nested too deeply"),
        (r"\def\x{\x\x}\x", "Too many expansions"),
        (r"\href{javascript:alert(1)}{x}", "Unknown command"),
        ("a & b", "may only appear in a table"),
        ("\ud800", "surrogates"),
    ],
)
def test_what_cannot_be_converted_stays_as_tex_and_says_why(tex: str, why: str) -> None:
    html = shown(tex)
    assert html.startswith('<code class="tex" title="TeX: ')
    assert why in html
    assert "<b>" not in html
    assert "<math" not in html


def test_nothing_is_converted_on_request() -> None:
    assert Formulas(plain=True).mathml("x^2", display=True).endswith(">x^2</code>")
