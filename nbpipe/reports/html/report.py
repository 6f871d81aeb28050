"""The report as a folder, or as one file: built beside its place, then put there whole."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nbpipe.errors import UsageError
from nbpipe.model import Outcome
from nbpipe.reports import charts
from nbpipe.reports.console import rerun_command, totals
from nbpipe.reports.excerpt import excerpt
from nbpipe.reports.groups import by_cause, by_note, by_reason, cause, error
from nbpipe.reports.html import details, rendering
from nbpipe.reports.past import before, slower, usual
from nbpipe.reports.reporter import replaced
from nbpipe.system import private
from nbpipe.system.text import encodable, first_line, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from jinja2 import Environment
    from markupsafe import Markup

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.console import ConsoleReporter
    from nbpipe.reports.groups import Group
    from nbpipe.reports.reporter import FolderReporter

GENERATOR = '<meta name="generator" content="nbpipe">'
"""By this a report knows an earlier one, which it may replace."""
LIMITS = rendering.Limits(seconds=120, memory=2 * 2**30, output=100_000_000)
"""Of one executed copy; a run may show more than a service that others wait for."""
SHOWN_EACH = 20
"""Notebooks of one cause that are listed with it; the table has all."""
SHOWN_CAUSES = 100
"""Causes that are listed."""
SHOWN_LIST = 200
"""Notebooks of any other list."""
STATIC_ROWS = 200
"""Rows of the table that a browser reads at once; the script takes others when they are in sight.

Ten thousand rows are 300,000 elements, which take a browser seconds.
"""
OPEN_CAUSES = 10
"""Causes whose first notebook is unfolded from the beginning."""
FILE_SUFFIXES = frozenset({".html", ".htm"})
"""A path with one of these is a report in one file."""
_PAGES = "<!-- executed notebooks -->"
"""Where in a report of one file they are put."""
_BREAKS = re.compile(r"(?<=[/_-])(?![/_-])")
_STRIP_WIDTH, _STRIP_HEIGHT = 8, 16
_MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}


@dataclass(slots=True)
class _Built:
    """What was written of a run's notebooks, by their paths."""

    pages: dict[str, str] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HtmlReporter:
    """Writes the HTML report."""

    rerun: Callable[[Result], str] = rerun_command
    kind: str = "html"

    def index(self, place: Path) -> Path:
        """Return the file that a browser opens."""
        return place if is_one_file(place) else place / "index.html"

    def check(self, folder: Path) -> None:
        """Find out before a long run whether the folder, or the one file, can be written.

        Raises:
            UsageError: It holds something else than an earlier report.
        """
        if not folder.exists() or (not folder.is_file() and not folder.is_dir()):
            return
        ours = _is_report(self.index(folder))
        if is_one_file(folder) or not folder.is_dir():
            fits = ours or (is_one_file(folder) and folder.stat().st_size == 0)
        else:
            fits = ours or not any(folder.iterdir())
        if not fits:
            raise UsageError(
                f"{folder}: the HTML report would replace what is there, and no report of nbpipe",
                hint="Name a new folder with --report html=FOLDER, or empty that one; "
                "html=FILE.html is a report in one file.",
            )

    def write(self, run: Run, folder: Path) -> None:
        """Write the report; an earlier one in its place is replaced whole.

        Raises:
            UsageError: It cannot be written; nothing is left behind.
        """
        self.check(folder)
        folder = folder.resolve()
        made = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        try:
            made.mkdir(parents=True)
            if is_one_file(folder):
                self._write_file(run, folder, made)
                return
            self._fill(run, made)
            private.close_all(made)
            if folder.exists():
                shutil.rmtree(folder)
            made.rename(folder)
        except OSError as problem:
            raise UsageError(
                f"{folder}: the report cannot be written: {problem.strerror}",
                hint="Name another place with --report html=FOLDER or html=FILE.html.",
            ) from problem
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _fill(self, run: Run, folder: Path) -> None:
        built = _Built()
        failing = _failing(run)
        with rendering.Renderer(LIMITS) as renderer:
            for result in run.results:
                frame = _frame(renderer, run, result)
                if frame is None:
                    continue
                name = f"notebooks/{result.executed}.html"
                self._notebook(result, frame, failing, folder / name)
                built.pages[result.path] = quote(name)
                target = folder / f"figures/{result.executed}"
                target.parent.mkdir(parents=True, exist_ok=True)
                figure = renderer.figure(run.output_dir / (result.executed or ""), target)
                if figure is not None:
                    place = PurePosixPath("figures", result.executed or "").with_name(figure)
                    built.figures[result.path] = quote(str(place))
        page = self._index(run, built, one_file=False)
        (folder / "index.html").write_text(page, encoding="utf-8")

    def _write_file(self, run: Run, file: Path, folder: Path) -> None:
        """Write everything into one file; the notebooks, which may be large, come one by one."""
        built = _Built()
        parts = folder / "pages"
        with ExitStack() as stack:
            renderer = stack.enter_context(rendering.Renderer(LIMITS))
            stream = stack.enter_context(parts.open("w", encoding="utf-8"))
            for number, result in enumerate(run.results):
                frame = _frame(renderer, run, result)
                if frame is None:
                    continue
                built.pages[result.path] = f"#page={number}"
                stream.write(_embedded(number, frame))
                copy = run.output_dir / (result.executed or "")
                figure = renderer.figure(copy, folder / f"figure{number}")
                if figure is not None:
                    built.figures[result.path] = _data_url(folder / figure)
        head, _, tail = self._index(run, built, one_file=True).rpartition(_PAGES)
        with replaced(file) as target:
            target.write(head)
            _copy_text(parts, target)
            target.write(tail)

    def _index(self, run: Run, built: _Built, *, one_file: bool) -> str:
        script = _text("report.js")
        limit = details.traceback_limit(run.results)
        known = any(each.past for each in run.results)
        shown = details.Shown(self.rerun, built.pages, built.figures, limit)
        page = self._environment.get_template("index.html").render(
            run=run,
            totals=totals(run),
            groups=by_cause(run.results),
            flaky=[each for each in run.results if each.outcome is Outcome.FLAKY],
            slower=slower(run.results),
            known=known,
            notes=by_note(run.results),
            reasons=by_reason(run.results),
            numbers={each.path: number for number, each in enumerate(run.results)},
            pages=built.pages,
            figures=built.figures,
            details=details.script(run.results, shown),
            columns=details.table(run.results, known=known),
            style=_text("index.css"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            longest=charts.longest(run.results),
            timeline=charts.timeline(run.results),
            shown_each=SHOWN_EACH,
            shown_causes=SHOWN_CAUSES,
            shown_list=SHOWN_LIST,
            static_rows=STATIC_ROWS,
            open_causes=OPEN_CAUSES,
            one_file=one_file,
            pages_here=_PAGES,
        )
        return encodable(page)

    def _notebook(self, result: Result, frame: str, failing: Sequence[Result], file: Path) -> None:
        """Write the page of an executed copy."""
        file.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(PurePosixPath(result.executed or "").parts))
        place = next((at for at, each in enumerate(failing) if each is result), None)
        around = {"previous": "", "next": ""}
        if place is not None and len(failing) > 1:
            names = [failing[(place + step) % len(failing)].executed or "" for step in (-1, 1)]
            around = dict(
                zip(around, (quote(f"{up}notebooks/{name}.html") for name in names), strict=True)
            )
        page = self._environment.get_template("notebook.html").render(
            result=result, frame=frame, back=f"{up}index.html", style=_text("index.css"), **around
        )
        file.write_text(encodable(page), encoding="utf-8")

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  (slow)

        environment = Environment(
            loader=PackageLoader("nbpipe.reports.html"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "duration": duration,
            "name": plain_name,
            "soft": soft,
            "cause": cause,
            "before": before,
            "usual": usual,
            "error": error,
            "first_line": first_line,
            "count": count,
            "query": _query,
            "rerun": self.rerun,
            "excerpt": _excerpt,
            "traceback": details.traceback,
            "place": _place,
            "strip": strip,
        }
        environment.globals["generator"] = GENERATOR
        return environment


def reporter(console: ConsoleReporter) -> FolderReporter[Run]:
    """Return the reporter of this kind."""
    return HtmlReporter(rerun=console.rerun)


def is_one_file(place: Path) -> bool:
    """Return whether a path asks for a report in one file: `one.html`, unless that is a folder."""
    return place.suffix.lower() in FILE_SUFFIXES and not place.is_dir()


def soft(name: str) -> Markup:
    """Return a name as HTML that may go on in another line after `/`, `_` and `-` only."""
    from markupsafe import Markup, escape  # noqa: PLC0415  (with jinja2)

    return Markup("<wbr>").join(map(escape, _BREAKS.split(plain_name(name))))


def strip(result: Result) -> Markup:
    """Return the results of earlier runs as a small picture, the newest at the right."""
    from markupsafe import Markup  # noqa: PLC0415  (with jinja2)

    earlier = result.past.earlier[::-1] if result.past else ()
    if not earlier:
        return Markup("")
    paths: dict[str, str] = {}
    for place, each in enumerate(earlier):
        x = place * _STRIP_WIDTH
        # what failed is taller as well as of another colour
        top = 0 if each.outcome is Outcome.FAILED else _STRIP_HEIGHT // 2
        step = f"M{x} {top}h{_STRIP_WIDTH - 2}V{_STRIP_HEIGHT}H{x}z"
        paths[each.outcome.value] = paths.get(each.outcome.value, "") + step
    said = ", ".join(
        f"{count(sum(each.outcome is outcome for each in earlier), 'time')} {outcome.value}"
        for outcome in Outcome
        if any(each.outcome is outcome for each in earlier)
    )
    inside = "".join(f'<path class="{name}" d="{d}"/>' for name, d in paths.items())
    width = len(earlier) * _STRIP_WIDTH
    return Markup(  # noqa: S704  (numbers and fixed words only)
        f'<svg class="strip" role="img" aria-label="before: {said}" width="{width}" '
        f'height="{_STRIP_HEIGHT}">{inside}</svg>'
    )


def _failing(run: Run) -> list[Result]:
    """Return what failed and has a copy, in the order in which the report tells it."""
    failed = [each for group in by_cause(run.results) for each in group.results]
    flaky = [each for each in run.results if each.outcome is Outcome.FLAKY]
    return [
        each
        for each in (*failed, *flaky)
        if each.executed is not None and (run.output_dir / each.executed).is_file()
    ]


def _frame(renderer: rendering.Renderer, run: Run, result: Result) -> str | None:
    """Return the document that shows an executed copy; None where there is none to show."""
    if result.executed is None:
        return None
    return renderer.frame(run.output_dir / result.executed, result.failures)


def _embedded(number: int, frame: str) -> str:
    """Return an executed notebook as data that the script of the page shows."""
    data = details.embedded(encodable(frame))
    return f'<script type="application/json" id="page{number}">{data}</script>\n'


def _data_url(file: Path) -> str:
    kind = _MEDIA.get(file.suffix, "image/svg+xml")
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _copy_text(file: Path, target: TextIO) -> None:
    with file.open(encoding="utf-8") as stream:
        shutil.copyfileobj(stream, target)


def _is_report(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return GENERATOR in stream.read(4096)
    except OSError:
        return False


def _excerpt(failure: Failure) -> list[Any]:
    return list(excerpt(failure.source, failure.traceback))


def _place(result: Result) -> str:
    if result.failure is None:
        return ""
    return details.place(result.cell_times, result.failure)


def _query(group: Group) -> str:
    """Return the address, within the page, of all notebooks of a cause."""
    words = cause(group.results[0].failure)
    return f"#{urlencode({'show': Outcome.FAILED.value, 'q': words})}"


def _text(name: str) -> str:
    return (resources.files("nbpipe.reports.html") / "templates" / name).read_text(encoding="utf-8")
