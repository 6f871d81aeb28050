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
from nbpipe.reports.html import details, images, rendering
from nbpipe.reports.past import before, slower, usual
from nbpipe.reports.reporter import replaced
from nbpipe.system import private
from nbpipe.system.text import encodable, first_line, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable
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
    """What was written of a run's notebooks: where each executed copy's page and picture are.

    By the copy, as the result or its attempt names it.
    """

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
            for copy in (each for result in run.results for each in _copies(result)):
                frame = renderer.frame(
                    run.output_dir / copy.name, copy.failures, _source(run, copy)
                )
                if frame is None:
                    continue
                self._notebook(copy, frame, failing, folder / _page(copy.name))
                built.pages[copy.name] = quote(_page(copy.name))
                if not copy.is_last:
                    continue
                target = folder / f"figures/{copy.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                figure = renderer.figure(run.output_dir / copy.name, target)
                if figure is not None:
                    place = PurePosixPath("figures", copy.name).with_name(figure)
                    built.figures[copy.name] = quote(str(place))
        page = self._index(run, built, one_file=False)
        (folder / "index.html").write_text(page, encoding="utf-8")

    def _write_file(self, run: Run, file: Path, folder: Path) -> None:
        """Write everything into one file; the notebooks, which may be large, come one by one."""
        built = _Built()
        parts = folder / "pages"
        with ExitStack() as stack:
            renderer = stack.enter_context(rendering.Renderer(LIMITS))
            stream = stack.enter_context(parts.open("w", encoding="utf-8"))
            for number, copy in (
                (number, each)
                for number, result in enumerate(run.results)
                for each in _copies(result)
            ):
                frame = renderer.frame(
                    run.output_dir / copy.name, copy.failures, _source(run, copy)
                )
                if frame is None:
                    continue
                page = f"{number}" if copy.is_last else f"{number}.{copy.attempt}"
                built.pages[copy.name] = f"#page={page}"
                stream.write(_embedded(page, frame))
                if not copy.is_last:
                    continue
                figure = renderer.figure(run.output_dir / copy.name, folder / f"figure{number}")
                if figure is not None:
                    built.figures[copy.name] = _data_url(folder / figure)
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

    def _notebook(self, copy: _Copy, frame: str, failing: dict[str, str], file: Path) -> None:
        """Write the page of an executed copy.

        Args:
            copy: The copy.
            frame: The document that shows it.
            failing: By the notebook's path: the copies at their failing cells, in order.
            file: Where to.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(PurePosixPath(copy.name).parts))
        paths, around = list(failing), ["", ""]
        if copy.result.path in failing and len(paths) > 1:
            place = paths.index(copy.result.path)
            names = [failing[paths[(place + step) % len(paths)]] for step in (-1, 1)]
            around = [quote(f"{up}{_page(name)}") for name in names]
        page = self._environment.get_template("notebook.html").render(
            result=copy.result,
            copy=copy,
            attempts=[(each, quote(f"{up}{_page(each.name)}")) for each in _copies(copy.result)],
            frame=frame,
            back=f"{up}index.html",
            style=_text("index.css"),
            previous=around[0],
            next=around[1],
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
            "failing_copy": _failing_copy,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Copy:
    """An executed copy that gets a page: that of a notebook, or of one of its attempts."""

    result: Result
    name: str
    """Relative to the output directory, with `/`."""
    outcome: Outcome
    seconds: float
    failures: tuple[Failure, ...]
    attempt: int = 1
    is_last: bool = True


def _copies(result: Result) -> list[_Copy]:
    """Return the executed copies of a result, those of its attempts in their order."""
    if not result.retried:
        if result.executed is None:
            return []
        failures = result.failures
        return [
            _Copy(
                result=result,
                name=result.executed,
                outcome=result.outcome,
                seconds=result.seconds,
                failures=failures,
            )
        ]
    return [
        _Copy(
            result=result,
            name=each.executed,
            outcome=each.outcome,
            seconds=each.seconds,
            failures=each.failures,
            attempt=each.number,
            is_last=each.executed == result.executed,
        )
        for each in result.retried
        if each.executed is not None
    ]


def _source(run: Run, copy: _Copy) -> rendering.Source:
    times = copy.result.cell_times if copy.is_last else ()
    return rendering.Source(
        place=images.Place(run.root, copy.result.path),
        seconds={each.cell: each.seconds for each in times if each.cell is not None},
    )


def _failing_copy(result: Result) -> str:
    """Return the executed copy in which the failure is that the report tells; "" without one."""
    failed = [each.executed for each in result.retried if each.failures == result.failures]
    return next(filter(None, failed), None) or result.executed or ""


def _failing(run: Run) -> dict[str, str]:
    """Return the copies with a failure by their notebook's path, in the order of the report."""
    failed = [each for group in by_cause(run.results) for each in group.results]
    flaky = [each for each in run.results if each.outcome is Outcome.FLAKY]
    found = {each.path: _failing_copy(each) for each in (*failed, *flaky)}
    return {path: name for path, name in found.items() if (run.output_dir / name).is_file()}


def _page(copy: str) -> str:
    """Return where the page of an executed copy goes."""
    return f"notebooks/{copy}.html"


def _embedded(number: str, frame: str) -> str:
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
