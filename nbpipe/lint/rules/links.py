"""NBP6xx: links, images and attachments in cells of text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nbpipe.lint.findings import Spot
from nbpipe.lint.markdown import page
from nbpipe.lint.rules.declaration import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.markdown import Link
    from nbpipe.lint.notebook import Notebook

RULES = Rules()
_SCHEME = re.compile(r"^(?:[a-zA-Z][a-zA-Z0-9+.-]*:|//)")
_FILE = re.compile(r"(?i)^[\w.-]+\.(?:png|jpe?g|gif|svg|webp|bmp|tiff?)$|^(?:image|img|alt ?text)$")
_VAGUE = re.compile(r"(?i)^(?:click )?(?:here|link|this|this link|more|read more)\.?$")
_BASE64 = re.compile(r"^data:image/[\w+.-]+;base64,")
_SLUG = re.compile(r"[^\w]+")
_PLACEHOLDER = re.compile(r"[{}<>$]|^\.\.\.$")


def _missing(notebook: Notebook, link: Link) -> str:
    """Return the path of a relative link whose file is not there; empty: it is, or nobody knows."""
    target = link.target
    if not target or target.startswith(("#", "/", "attachment:")) or _SCHEME.match(target):
        return ""
    path = unquote(urlsplit(target).path)
    if not path or _PLACEHOLDER.search(path) or len(path) < 2:  # noqa: PLR2004  (mathematics)
        return ""
    try:
        if (Path(notebook.file).parent / path).exists():
            return ""
    except (OSError, ValueError):
        return ""
    name = path.rstrip("/").rpartition("/")[2]
    # A file that the notebook itself makes is there once it has run.
    return "" if any(name in cell.source for cell in notebook.code) else path


@RULES.add(
    601,
    "dead-link",
    "error",
    why="Users get an error where they expected the next notebook.",
    bad="[Next](02_fit.ipnb)",
    good="[Next](02_fit.ipynb)",
)
def dead_link(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A relative link leads to no file."""
    for link in page(notebook).links:
        if link.is_image or not (path := _missing(notebook, link)):
            continue
        hint = ""
        if re.match(r"^(?:www\.|[\w-]+(?:\.[\w-]+)+/|[\w-]+(?:\.[\w-]+){2,}$)", path):
            hint = "; does it lack https://?"
        elif (Path(notebook.file).parent / f"{path}.ipynb").exists():
            hint = "; does it lack .ipynb?"
        yield Spot(f"the link leads to {path}, which does not exist{hint}", link.cell, link.line)


@RULES.add(
    602,
    "dead-image",
    "error",
    why="Users see a broken picture.",
    bad="![Light curve](figs/lc.png)  (the file is not in the repository)",
    good="the file beside the notebook",
)
def dead_image(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A relative image does not exist."""
    for link in page(notebook).links:
        if link.is_image and (path := _missing(notebook, link)):
            yield Spot(f"the image {path} does not exist", link.cell, link.line)


@RULES.add(
    603,
    "dead-anchor",
    why="The link does nothing.",
    bad="[Fit](#fitt)",
    good="[Fit](#Fit)",
)
def dead_anchor(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A link within the notebook leads to no heading."""
    found = page(notebook)
    there = {_slug(each.text) for each in found.headings} | {_slug(one) for one in found.anchors}
    for link in found.links:
        anchor = unquote(link.target[1:])
        if not link.target.startswith("#") or anchor in {"", "top"}:
            continue
        if _slug(anchor) not in there:
            yield Spot(f"no heading or anchor is called #{anchor}", link.cell, link.line)


@RULES.add(
    604,
    "http-link",
    "info",
    "off",
    "unsafe",
    why="Anybody between can read and change what is loaded; browsers warn, or refuse.",
    bad="http://www.astropy.org",
    good="https://www.astropy.org",
)
def http_link(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """A link begins with http:."""
    for link in page(notebook).links:
        if link.target.startswith("http://") and not re.match(
            r"http://(?:localhost|127\.|\[::1\])", link.target
        ):
            yield Spot(f"{link.target} is not https", link.cell, link.line, fixed=True)


@RULES.add(
    605,
    "no-alt-text",
    why="People who cannot see the picture learn nothing from it, nor does anybody for whom it does"
    " not load.",
    bad="![](spectrum.png)",
    good='![Spectrum of NGC 1068, H-alpha marked](spectrum.png), or alt="" for decoration',
)
def no_alternative(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """An image has no alternative text."""
    for link in page(notebook).links:
        if link.is_image and not link.text and not link.is_decoration:
            yield Spot(
                f"the image {_shown(link.target)} has no alternative text", link.cell, link.line
            )


@RULES.add(
    606,
    "file-name-as-alt-text",
    why="It says nothing about the picture.",
    bad="![spectrum.png](spectrum.png)",
    good="![Spectrum of NGC 1068](spectrum.png)",
)
def file_as_alternative(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The alternative text is a file's name."""
    for link in page(notebook).links:
        if link.is_image and _FILE.match(link.text):
            message = f"the alternative text {link.text!r} does not describe the image"
            yield Spot(message, link.cell, link.line)


@RULES.add(
    607,
    "vague-link-text",
    "info",
    "off",
    why="Screen readers list links by their text alone.",
    bad="[here](https://example.org/manual)",
    good="[the manual](https://example.org/manual)",
)
def vague_link(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The text of a link does not say where it leads."""
    for link in page(notebook).links:
        if not link.is_image and _VAGUE.match(link.text):
            yield Spot(
                f"the link text {link.text!r} does not say where it leads", link.cell, link.line
            )


@RULES.add(
    608,
    "attachment",
    fix="safe",
    why="Pictures in the text make the file large, and unused attachments are never seen.",
    bad="![](data:image/png;base64,iVBOR...), or an attachment that no text shows",
    good="![Setup](attachment:setup.png) with that attachment, or a file beside the notebook",
)
def attachment(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """An attachment is missing or unused, or an image is written into the text."""
    by_cell: dict[int, list[Link]] = {}
    for link in page(notebook).links:
        by_cell.setdefault(link.cell, []).append(link)
    for cell in notebook.prose:
        shown = by_cell.get(cell.index, [])
        names = {
            unquote(link.target.removeprefix("attachment:")): link.line
            for link in shown
            if link.target.startswith("attachment:")
        }
        for name, line in names.items():
            if name not in cell.attachments:
                yield Spot(f"the cell has no attachment {name!r}", cell.index, line)
        for name in cell.attachments:
            if name not in names and name not in cell.source:
                yield Spot(f"the attachment {name!r} is not shown", cell.index, fixed=True)
        for link in shown:
            if _BASE64.match(link.target):
                yield Spot("the image is written into the text (base64)", cell.index, link.line)


def _slug(text: str) -> str:
    return _SLUG.sub("", text).casefold()


def _shown(target: str) -> str:
    return "in the text" if target.startswith("data:") else target[:80]
