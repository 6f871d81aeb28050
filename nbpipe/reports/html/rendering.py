"""An executed copy as one HTML document for a sandboxed frame, by nbconvert.

Long outputs are shortened first: a page stays readable and quick whatever a notebook printed. What
is left can still cost minutes and gigabytes, so it is rendered in a process of its own, within
limits (`child`); what breaks one is not shown, and the page says why.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from nbpipe.reports.html import labels
from nbpipe.reports.html.formulas import Formulas
from nbpipe.reports.html.images import Images, Place
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2.runtime import Context
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

    from nbpipe.model import Failure


FAILED_TAG = "nbpipe-failed"
TEXT_LIMIT = 100_000
"""Characters of one text of an output; the executed copy has all."""
DATA_LIMIT = 4_000_000
"""Characters of one picture or rich output."""
PAGE_LIMIT = 20_000_000
"""Characters of all outputs of a page."""
FILE_LIMIT = 500_000_000
"""Bytes of a copy that is still read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What rendering one copy may take."""

    seconds: float = 60.0
    """Of computing; waiting for it may take several times as long."""
    memory: int = 2**30
    """Bytes of address space."""
    output: int = 60_000_000
    """Bytes of the page."""


_STARTING_SECONDS = 60.0
_WAITING = 5
"""Times the seconds of computing: the process is nice, and the machine may be busy."""
_KEPT_VARIABLES = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
)
_KEPT_KINDS = ("LC_", "PYTHON", "JUPYTER", "XDG_", "COVERAGE")


class NotShown(Exception):  # noqa: N818  (an answer about a copy, not a fault of ours)
    """A copy that is not rendered.

    Args:
        reason: Half a sentence that may follow "It is not shown here: ".
        lasting: Whether the same copy will not be rendered the next time either.
    """

    def __init__(self, reason: str, *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting


class _Crashed(NotShown):
    """The process ended by a signal that is none of its limits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What is known of a notebook beside its executed copy."""

    place: Place | None = None
    """Where it lies; None: nobody knows, and pictures beside it are not shown."""
    seconds: Mapping[int, float] = field(default_factory=dict)
    """How long its code cells took, by their index into its cells."""

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        place = None if self.place is None else [str(self.place.root), self.place.path]
        return {"place": place, "seconds": list(self.seconds.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Source:
        """Return what `as_json` wrote."""
        place = data["place"] and Place(Path(data["place"][0]), data["place"][1])
        return cls(place=place or None, seconds=dict(data["seconds"]))


class Renderer:
    """Renders copies in a process of its own, one after the other, each within the limits.

    The process is started for the first copy, again after one that broke a limit, and ended by
    `close`. For one thread.
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what it did not read any more
                    pipe.close()

    def draw(
        self, copy: Path, failures: Iterable[Failure], target: Path, source: Source | None = None
    ) -> bool:
        """Write the page of a copy; False where the copy is not a notebook that can be read.

        Args:
            copy: The executed copy.
            failures: Their cells are marked.
            target: A file that does not exist yet; only its owner may read it afterwards.
            source: What else is known of the notebook.

        Raises:
            NotShown: A limit was reached, or the copy cannot be converted; there is no file.
        """
        marks = [(each.cell, each.source) for each in failures]
        try:
            request = {"copy": str(copy), "target": str(target), "marks": marks}
            reply = self._ask_twice(request | (source or Source()).as_json())
        except BaseException:
            target.unlink(missing_ok=True)
            self.close()
            raise
        if reply.get("grown") or "problem" in reply:
            self.close()
        if "made" in reply:
            return bool(reply["made"])
        target.unlink(missing_ok=True)
        if "failed" in reply:
            raise NotShown(f"the page cannot be written: {reply['failed']}", lasting=False)
        problem = reply["problem"]
        raise NotShown(self._too_much_memory() if problem == "memory" else problem)

    def figure(self, copy: Path, target: Path) -> str | None:
        """Write a small form of a copy's first picture; None where there is none to show.

        Args:
            copy: The executed copy.
            target: Where to, without an ending.

        Returns:
            The file's name.
        """
        try:
            reply = self._ask({"copy": str(copy), "figure": str(target)})
        except NotShown:
            self.close()
            return None
        if reply.get("grown") or "problem" in reply:
            self.close()
        return reply.get("figure")

    def frame(
        self, copy: Path, failures: Iterable[Failure], source: Source | None = None
    ) -> str | None:
        """Return the document that shows a copy, or says why not; None: not a notebook."""
        with TemporaryDirectory(prefix="nbpipe-") as folder:
            target = Path(folder) / "page.html"
            try:
                drawn = self.draw(copy, failures, target, source)
            except NotShown as problem:
                text = f"This notebook is not shown here: {problem.reason}. Its file is complete."
                return _document(f"<p>{escape(text)}</p>", marked=False)
            return target.read_text(encoding="utf-8") if drawn else None

    def _ask_twice(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask; if the process crashes, once more with the formulas left as they are.

        The converter of formulas is native code: one that is made for it can exhaust its stack.
        """
        try:
            return self._ask(request)
        except _Crashed:
            self.close()
            return self._ask(request | {"plain": True})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        child = self._start()
        if child.stdin is None or child.stdout is None:
            raise NotShown("it cannot be rendered", lasting=False)
        with contextlib.suppress(BrokenPipeError):  # its end is told below
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        line = b""
        patience = _STARTING_SECONDS + _WAITING * self._limits.seconds
        end = time.monotonic() + patience
        while not line.endswith(b"\n"):
            left = max(end - time.monotonic(), 0.0)
            if not select.select([child.stdout], [], [], left)[0]:
                raise NotShown(f"it took longer than {patience:.0f} s", lasting=False)
            more = os.read(child.stdout.fileno(), 65_536)
            if not more:
                raise self._died(child.wait())
            line += more
        return dict(json.loads(line))

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            limits = json.dumps(dataclasses.asdict(self._limits))
            module = "nbpipe.reports.html.child"
            kept = {
                name: value
                for name, value in os.environ.items()
                if name in _KEPT_VARIABLES or name.startswith(_KEPT_KINDS)
            }
            try:
                self._child = subprocess.Popen(
                    # -P: the working directory is somebody's, and no place to import from.
                    [sys.executable, "-P", "-m", module, limits, str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=kept,  # secrets of the service are not for it
                    start_new_session=True,
                )
            except OSError as error:
                reason = f"no process can be started for it: {error.strerror}"
                raise NotShown(reason, lasting=False) from error
        return self._child

    def _died(self, code: int) -> NotShown:
        if code == -signal.SIGXCPU:
            return NotShown(f"rendering takes more than {self._limits.seconds:.0f} s")
        if code == -signal.SIGKILL:
            return NotShown("the system ended its rendering (out of memory?)", lasting=False)
        if code < 0:
            return _Crashed(f"rendering ended by signal {-code}")
        return NotShown(self._too_much_memory(), lasting=False)

    def _too_much_memory(self) -> str:
        return f"rendering takes more than {units.memory(self._limits.memory)} of memory"


def frame(copy: Path, failures: Iterable[Failure]) -> str | None:
    """Return the document that shows an executed copy; None where it cannot be read.

    It is made in a process of its own; several copies are better asked of one `Renderer`.
    """
    with Renderer() as renderer:
        return renderer.frame(copy, failures)


def document(
    copy: Path,
    marks: Iterable[tuple[int | None, str]],
    source: Source | None = None,
    *,
    plain: bool = False,
) -> str | None:
    """Return the document that shows an executed copy, made in this process without a limit.

    Args:
        copy: The executed copy; None is returned where it cannot be read.
        marks: Place in the source notebook and text of the cells that failed.
        source: What else is known of the notebook.
        plain: Leave formulas as TeX.
    """
    import nbformat  # noqa: PLC0415  (slow)

    try:
        if not copy.is_file() or copy.stat().st_size > FILE_LIMIT:
            return None
        notebook = _read(copy)
    except (OSError, ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None
    _shorten(notebook)
    marked = [_mark(notebook, place, text) for place, text in marks]
    known = source or Source()
    labels.add(notebook, known.seconds)
    body = _exporter(known.place, plain=plain).from_notebook_node(notebook)[0]
    return _document(str(body), marked=any(marked))


def _read(copy: Path) -> NotebookNode:
    import nbformat  # noqa: PLC0415  (slow)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ids that nobody looks at here
        notebook: NotebookNode = nbformat.read(copy, as_version=4)
    _forgive(notebook)
    return notebook


def _forgive(notebook: NotebookNode) -> None:
    """Take out what is odd in many files, shows nowhere, and makes nbconvert refuse or warn."""
    notebook["nbformat_minor"] = 4  # which has no ids: missing, doubled and invalid ones
    for cell in notebook.cells:
        cell.pop("id", None)
    if not isinstance(notebook.metadata.get("widgets", {}), dict):
        del notebook.metadata["widgets"]


def _mark(notebook: NotebookNode, place: int | None, source: str) -> bool:
    """Tag the cell that failed; tell whether it was found.

    The copy may hold cells that the source does not (prerun, parameters): of those with the
    failing cell's text it is the first at or after its place.
    """
    if place is None:
        return False
    for cell in notebook.cells[place:]:
        if cell.cell_type == "code" and cell.source == source:
            cell.metadata.setdefault("tags", []).append(FAILED_TAG)
            return True
    return False


def _shorten(notebook: NotebookNode) -> None:
    left = PAGE_LIMIT
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            left -= _shorten_output(output, left)


def _shorten_output(output: NotebookNode, left: int) -> int:
    """Shorten one output; return how many characters it still has."""
    used = 0
    if "text" in output:
        output["text"] = _cut(output["text"], min(TEXT_LIMIT, left))
        used += len(output["text"])
    if "traceback" in output:
        output["traceback"] = [_cut("\n".join(output["traceback"]), TEXT_LIMIT)]
        used += len(output["traceback"][0])
    data: dict[str, Any] = output.get("data", {})
    for kind, value in list(data.items()):
        size = len(value) if isinstance(value, str) else len(str(value))
        limit = TEXT_LIMIT if kind == "text/plain" else DATA_LIMIT
        if size > min(limit, max(left - used, 0)):
            data.pop(kind)
            data.setdefault("text/plain", "")
            data["text/plain"] += f"\n[{kind} of {size:,} characters: see the executed copy]"
            size = 100
        used += size
    return used


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = max(limit // 2, 100)
    gap = f"\n[... {len(text) - 2 * half:,} characters: see the executed copy ...]\n"
    return text[:half] + gap + text[-half:]


def _exporter(place: Place | None, *, plain: bool) -> HTMLExporter:
    """Return the exporter, for one notebook: its filters remember the macros of formulas."""
    from jinja2 import pass_context  # noqa: PLC0415  (slow)

    from nbpipe.reports.html.content import Content  # noqa: PLC0415  (slow)

    content = Content(Formulas(plain=plain), Images(place))

    @pass_context
    def markdown(context: Context, source: str) -> str:
        return content.markdown(source, context.get("cell", {}).get("attachments", {}))

    exporter = _made_exporter()
    own = {"markdown2html": markdown, "shown_html": content.html, "shown_latex": content.latex}
    for name, each in own.items():
        exporter.register_filter(name, each)  # type: ignore[no-untyped-call]
    return exporter


@cache
def _made_exporter() -> HTMLExporter:
    from nbconvert import HTMLExporter  # noqa: PLC0415  (slow)

    template = resources.files("nbpipe.reports.html") / "templates" / "copy.html.j2"
    return HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic", raw_template=template.read_text(encoding="utf-8")
    )


@cache
def _styles() -> str:
    from pygments.formatters import HtmlFormatter  # noqa: PLC0415

    files = resources.files("nbpipe.reports.html") / "templates"
    own = (files / "frame.css").read_text(encoding="utf-8")
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


def _document(body: str, *, marked: bool) -> str:
    jump = ""
    if marked:
        jump = (  # a frame that has no size yet does not scroll: tried until it did
            "<script>const show=left=>{document.querySelector"
            f'(".celltag_{FAILED_TAG}").scrollIntoView({{block:"center"}});'
            "if(!scrollY&&left)setTimeout(show,100,left-1)};show(50)</script>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="color-scheme" content="light dark"><title>Executed notebook</title>'
        f"<style>{_styles()}</style></head><body><main>{body}</main>{jump}</body></html>"
    )
