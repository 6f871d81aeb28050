"""The Markdown of a notebook's cells, taken apart: headings, links, images, anchors.

markdown-it knows the lines of what it finds, which other parsers do not. Formulas are taken out
before: `$[a](x)$` is no link.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    from nbpipe.lint.notebook import Notebook

_FORMULA = re.compile(
    r"\$\$.*?\$\$|\\\[.*?\\\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|(?<![\\$\w])\$(?!\s)[^$\n]+?(?<!\s)\$",
    re.DOTALL,
)
_FENCE = re.compile(r"^(```+|~~~+).*?^\1", re.DOTALL | re.MULTILINE)


_WORTH = re.compile(r"\][(\[:]|<[a-zA-Z/]|^[ >]{0,3}#|^[ >]{0,3}[=-]{1,}\s*$", re.MULTILINE)
"""What a heading, a link, an image or an anchor cannot do without."""


_LINKS = re.compile(r"\][(\[]|\[[^\]]+\]|<[a-zA-Z/]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading."""

    level: int
    text: str
    cell: int
    line: int


@dataclass(frozen=True, slots=True)
class Link:
    """A link, or an image."""

    target: str
    text: str
    """The text of a link, the alternative text of an image."""
    cell: int
    line: int
    is_image: bool = False
    is_decoration: bool = False
    """An image with an empty `alt`, which says that there is nothing to tell."""


@dataclass(slots=True)
class Page:
    """All Markdown of a notebook."""

    headings: list[Heading] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415  (slow)

    parser = MarkdownIt("commonmark").enable("table")
    return parser.disable(["inline", "emphasis", "fragments_join", "balance_pairs"])


def headings(notebook: Notebook) -> list[Heading]:
    """Return the headings of a notebook, in their order."""
    return page(notebook).headings


@lru_cache(maxsize=4)
def page(notebook: Notebook) -> Page:
    """Return what the Markdown of a notebook holds."""
    found = Page()
    for cell in notebook.prose:
        if not _WORTH.search(cell.source):
            continue  # two thirds of the time would go into plain paragraphs
        environ: dict[str, Any] = {}
        tokens = _parser().parse(_without_formulas(cell.source), environ)
        _read(tokens, environ, cell.index, found)
    return found


def _without_formulas(source: str) -> str:
    """Return the text with formulas replaced by as many lines of nothing."""
    if "$" not in source and "\\" not in source:
        return source
    fences = [match.span() for match in _FENCE.finditer(source)]

    def replaced(match: re.Match[str]) -> str:
        if any(begin <= match.start() < end for begin, end in fences):
            return match[0]
        return "x" + "\n" * match[0].count("\n")

    return _FORMULA.sub(replaced, source)


def _read(tokens: Iterable[Token], environ: dict[str, Any], cell: int, found: Page) -> None:
    level = 0
    for token in tokens:
        line = (token.map[0] if token.map else 0) + 1
        if token.type == "heading_open":
            level = int(token.tag[1:])
        elif token.type == "inline":
            if level or _LINKS.search(token.content):
                token.children = _parser().inline.parse(token.content, _parser(), environ, [])
            if level:
                found.headings.append(Heading(level, _plain(token), cell, line))
                level = 0
            _read_inline(token, cell, line, found)
        elif token.type == "html_block":
            _read_html(token.content, cell, line, found)


def _read_inline(token: Token, cell: int, line: int, found: Page) -> None:
    opened: list[tuple[str, list[str], int]] = []
    for child in token.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            line += 1
        elif child.type == "link_open":
            opened.append((str(child.attrGet("href") or ""), [], line))
        elif child.type == "link_close" and opened:
            target, words, begin = opened.pop()
            found.links.append(Link(target, "".join(words).strip(), cell, begin))
        elif child.type == "image":
            source = str(child.attrGet("src") or "")
            found.links.append(Link(source, child.content.strip(), cell, line, is_image=True))
            if opened:
                opened[-1][1].append(child.content or "image")
        elif child.type == "html_inline":
            _read_html(child.content, cell, line, found)
            line += child.content.count("\n")
        elif opened:
            opened[-1][1].append(child.content)


def _plain(token: Token) -> str:
    kinds = {"text", "code_inline", "image"}
    words = [child.content for child in token.children or () if child.type in kinds]
    return "".join(words).strip()


class _Html(HTMLParser):
    """Finds links, images and anchors in a piece of HTML."""

    def __init__(self, cell: int, line: int, found: Page) -> None:
        super().__init__()
        self._cell, self._line, self._found = cell, line, found
        self._heading: tuple[int, int, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        line = self._line + self.getpos()[0] - 1
        for key in ("id", "name"):
            if value := known.get(key):
                self._found.anchors.add(value)
        if tag == "a" and known.get("href"):
            self._found.links.append(Link(known["href"] or "", "?", self._cell, line))
        if tag == "img" and known.get("src"):
            alternative = known.get("alt")
            self._found.links.append(
                Link(
                    known["src"] or "",
                    (alternative or "").strip(),
                    self._cell,
                    line,
                    is_image=True,
                    is_decoration="alt" in known and not alternative,
                )
            )
        if re.fullmatch(r"h[1-6]", tag):
            self._heading = (int(tag[1]), line, [])

    def handle_data(self, data: str) -> None:
        if self._heading:
            self._heading[2].append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._heading and tag == f"h{self._heading[0]}":
            level, line, words = self._heading
            self._found.headings.append(Heading(level, "".join(words).strip(), self._cell, line))
            self._heading = None


def _read_html(content: str, cell: int, line: int, found: Page) -> None:
    reader = _Html(cell, line, found)
    reader.feed(content)
    reader.close()
