"""Markdown and HTML of a notebook as it is shown without scripts and without neighbouring files.

Jupyter leaves formulas, diagrams and pictures to the browser: MathJax, Mermaid and the server draw
them there. Here formulas become MathML, pictures become data, and diagrams are shown as text.
"""

from __future__ import annotations

import re
from html import escape, unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathInlineParser,
)

from nbpipe.reports.html import formulas as tex
from nbpipe.reports.html.images import NotEmbedded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mistune import InlineState

    from nbpipe.reports.html.formulas import Formulas
    from nbpipe.reports.html.images import Images

HTML_LIMIT = 2_000_000
"""Characters of an HTML output whose formulas and pictures are looked for."""
_ALERT = re.compile(
    r"\s*<p>\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\][ \t]*(?:\n|(?=</p>))", re.IGNORECASE
)
_SKIPPED = frozenset(
    {"code", "kbd", "math", "option", "pre", "samp", "script", "style", "svg", "textarea", "title"}
)
"""Elements whose text is never a formula; MathJax skips most of them, too."""
_IGNORED = frozenset({"tex2jax_ignore", "mathjax_ignore"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_STARTS = ("$", "\\(", "\\[", "\\begin{")
TEXT_LIMIT = 100_000
"""Characters of a text between two tags whose formulas are looked for."""
# Each piece is bounded: of what is opened and never closed, every beginning is read to that end.
_FORMULA = re.compile(
    r"""(?s:
      (?P<dollar>\\\$)
    | (?<!\\)\$\$(?P<dollars>.{1,20000}?)(?<!\\)\$\$
    | (?<![$\\])\$(?P<inline>[^$].{0,20000}?)(?<!\\)\$
    | (?<!\\)\\\[(?P<brackets>.{1,20000}?)\\\]
    | (?<!\\)\\\((?P<parentheses>.{1,20000}?)\\\)
    | (?P<environment>\\begin\{(?P<name>[A-Za-z]+\*?)\}.{0,20000}?\\end\{(?P=name)\})
    )""",
    re.VERBOSE,
)


class Content:
    """Shows the texts of one notebook, in their order.

    Args:
        formulas: Converts its formulas.
        images: Reads its pictures.
    """

    def __init__(self, formulas: Formulas, images: Images) -> None:
        self._formulas = formulas
        self._images = images

    def markdown(self, source: str, attachments: Mapping[str, object]) -> str:
        """Return Markdown as HTML.

        Args:
            source: The Markdown.
            attachments: Those of the cell, by name.
        """
        renderer = _Renderer(self, self._formulas, attachments)
        return MarkdownWithMath(renderer, inline=_InlineParser(hard_wrap=False)).render(source)

    def html(self, source: str, attachments: Mapping[str, object] | None = None) -> str:
        """Return HTML with its formulas drawn and its pictures embedded."""
        has_formulas = any(each in source for each in _STARTS)
        if len(source) > HTML_LIMIT or not (has_formulas or "<img" in source.lower()):
            return source
        reader = _Reader(self, attachments or {})
        try:
            reader.feed(source)
            reader.close()
        except AssertionError:  # what the standard library's parser makes of some odd markup
            return source
        return reader.result()

    def latex(self, source: str) -> str:
        """Return an output of LaTeX, which may have words around its formulas."""
        return self.text(source) if any(each in source for each in _STARTS) else escape(source)

    def text(self, source: str) -> str:
        r"""Return plain text as HTML, the formulas in it drawn; `\$` is a dollar sign."""
        if len(source) > TEXT_LIMIT:
            return escape(source, quote=False)
        parts: list[str] = []
        end = 0
        while found := _FORMULA.search(source, end):
            parts.append(escape(source[end : found.start()], quote=False))
            end = found.end()
            if found["inline"]:
                begin = found.start() + 1
                end = tex.closing(source, begin, end)
                parts.append(self._formulas.mathml(source[begin : end - 1], display=False))
            else:
                parts.append(self._formula(found))
        parts.append(escape(source[end:], quote=False))
        return "".join(parts)

    def _formula(self, found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if found["parentheses"]:
            return self._formulas.mathml(found["parentheses"], display=False)
        whole = found["dollars"] or found["brackets"] or found["environment"]
        return self._formulas.mathml(whole, display=True)

    def image(
        self, source: str, attributes: Mapping[str, str], attachments: Mapping[str, object]
    ) -> str:
        """Return the element of a picture, or the text that stands for it.

        Args:
            source: Where the notebook says that it is.
            attributes: The others of the element.
            attachments: Those of the cell, by name.
        """
        try:
            address = self._images.address(source, attachments)
        except NotEmbedded as problem:
            return _not_shown(source, attributes.get("alt", ""), str(problem))
        more = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
        return f'<img src="{escape(address)}"{more}>'


def _not_shown(source: str, alternative: str, reason: str) -> str:
    said = f"{alternative} ({source[:200]})" if alternative else source[:200]
    told = f"Picture not shown: <b>{escape(said)}</b>: {escape(reason)}."
    return f'<span class="not-shown">{told}</span>'


class _InlineParser(MathInlineParser):
    """Ends a formula where its braces do."""

    def parse_inline_math_tex(self, m: re.Match[str], state: InlineState) -> int:
        begin = m.start() + 1
        end = tex.closing(state.src, begin, m.end())
        state.append_token({"type": "inline_math", "raw": state.src[begin : end - 1]})
        return end


class _Renderer(IPythonRenderer):
    """What of Markdown is shown otherwise than by nbconvert."""

    def __init__(
        self, content: Content, formulas: Formulas, attachments: Mapping[str, object]
    ) -> None:
        super().__init__(escape=False, exclude_anchor_links=False)
        self._content = content
        self._formulas = formulas
        self._attached = attachments

    def block_math(self, body: str) -> str:
        return self._formulas.mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        return self._formulas.mathml(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        return self._formulas.mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        attributes = {"alt": unescape(re.sub(r"<[^<>]*>", "", text))}
        if title:
            attributes["title"] = unescape(title)
        return self._content.image(url, attributes, self._attached)

    def block_html(self, html: str) -> str:
        return self._content.html(html, self._attached) + "\n"

    def inline_html(self, html: str) -> str:
        return self._content.html(html, self._attached)

    def block_quote(self, text: str) -> str:
        found = _ALERT.match(text)
        if found is None:
            return str(super().block_quote(text))
        kind = found[1].lower()
        rest = text[found.end() :].removeprefix("</p>")
        opened = "" if text[found.end() :].startswith("</p>") else "<p>"
        return (
            f'<div class="alert alert-{kind}" role="note"><p class="alert-title">'
            f"{kind.capitalize()}</p>{opened}{rest}</div>\n"
        )

    def block_code(self, code: str, info: str | None = None) -> str:
        # What is wider than its place scrolls, with the keyboard, too.
        return str(super().block_code(code, info)).replace("<pre>", '<pre tabindex="0">', 1)

    def block_mermaidjs(self, code: str) -> str:
        return (
            '<figure class="diagram"><figcaption>Diagram, as its Mermaid source</figcaption>'
            f'<pre tabindex="0"><code>{escape(code.strip())}</code></pre></figure>\n'
        )


class _Reader(HTMLParser):
    """Writes HTML as it is, but for formulas in its text, and pictures."""

    def __init__(self, content: Content, attachments: Mapping[str, object]) -> None:
        super().__init__(convert_charrefs=False)
        self._content = content
        self._attachments = attachments
        self._written: list[str] = []
        self._text: list[str] = []
        self._skipped = ""
        """The element within which nothing is a formula; "" outside of one."""
        self._open = 0

    def result(self) -> str:
        """Return what was written."""
        self._flush()
        return "".join(self._written)

    def _flush(self) -> None:
        raw = "".join(self._text)
        self._text.clear()
        is_looked_at = not self._skipped and len(raw) <= TEXT_LIMIT
        if is_looked_at and any(each in raw for each in _STARTS):
            text = unescape(raw)
            raw = self._content.text(text) if _FORMULA.search(text) else raw
        self._written.append(raw)

    def _write(self, raw: str) -> None:
        self._flush()
        self._written.append(raw)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raw = self.get_starttag_text() or ""
        named = {name: value or "" for name, value in attrs}
        if tag == "img" and named.get("src"):
            source = named.pop("src")
            named.pop("srcset", None)
            raw = self._content.image(source, named, self._attachments)
        self._write(raw)
        if self._skipped:
            self._open += tag == self._skipped
        elif tag in _SKIPPED or (
            tag not in _VOID and _IGNORED & set(named.get("class", "").split())
        ):
            self._skipped, self._open = tag, 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.handle_starttag(tag, attrs)
        else:
            self._write(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        self._write(f"</{tag}>")
        if tag == self._skipped:
            self._open -= 1
            if not self._open:
                self._skipped = ""

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_entityref(self, name: str) -> None:
        self._text.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._text.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self._write(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._write(f"<!{decl}>")

    def unknown_decl(self, data: str) -> None:
        self._write(f"<![{data}]>")

    def handle_pi(self, data: str) -> None:
        self._write(f"<?{data}>")
