"""The folder of the report: built beside its place, then put there whole."""

from __future__ import annotations

import base64
import hashlib
import secrets
import shutil
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nbpipe.errors import UsageError
from nbpipe.model import Outcome
from nbpipe.reports import charts
from nbpipe.reports.console import rerun_command, totals
from nbpipe.reports.excerpt import excerpt
from nbpipe.reports.groups import by_cause, by_note, by_reason, cause, error
from nbpipe.reports.html import rendering
from nbpipe.reports.past import before, slower, usual
from nbpipe.system import private
from nbpipe.system.text import cut, encodable, first_line, plain, plain_name
from nbpipe.system.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.console import ConsoleReporter
    from nbpipe.reports.reporter import FolderReporter

GENERATOR = '<meta name="generator" content="nbpipe">'
"""By this a report knows an earlier one, which it may replace."""
TRACEBACK_LIMIT = 20_000
LIMITS = rendering.Limits(seconds=120, memory=2 * 2**30, output=100_000_000)
"""Of one executed copy; a run may show more than a service that others wait for."""
SHOWN_EACH = 20
"""Notebooks of one cause that are told in full; the table has all."""


@dataclass(frozen=True)
class HtmlReporter:
    """Writes the HTML report."""

    rerun: Callable[[Result], str] = rerun_command
    kind: str = "html"

    def check(self, folder: Path) -> None:
        """Find out before a long run whether the folder can be written.

        Raises:
            UsageError: It is no folder, or holds something else than an earlier report.
        """
        if folder.suffix in {".html", ".htm"}:
            raise UsageError(
                f"{folder}: the HTML report is a folder, not a file",
                hint=f"Name a folder: --report html={folder.with_suffix('')}",
            )
        if not folder.exists():
            return
        if not folder.is_dir() or (any(folder.iterdir()) and not _is_report(folder)):
            raise UsageError(
                f"{folder}: the HTML report would replace what is there, and no report of nbpipe",
                hint="Name a new folder with --report html=FOLDER, or empty that one.",
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
            self._fill(run, made)
            private.close_all(made)
            if folder.exists():
                shutil.rmtree(folder)
            made.rename(folder)
        except OSError as problem:
            raise UsageError(
                f"{folder}: the report cannot be written: {problem.strerror}",
                hint="Name another place with --report html=FOLDER.",
            ) from problem
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _fill(self, run: Run, folder: Path) -> None:
        pages = {}
        with rendering.Renderer(LIMITS) as renderer:
            for result in run.results:
                name = _page(result)
                if name is not None and self._notebook(renderer, run, result, folder / name):
                    pages[result.path] = name
        script = _text("filter.js")
        page = self._environment.get_template("index.html").render(
            run=run,
            totals=totals(run),
            groups=by_cause(run.results),
            flaky=[each for each in run.results if each.outcome is Outcome.FLAKY],
            slower=slower(run.results),
            known=any(each.past for each in run.results),
            notes=by_note(run.results),
            reasons=by_reason(run.results),
            pages=pages,
            style=_text("index.css"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            longest=charts.longest(run.results),
            timeline=charts.timeline(run.results),
            shown_each=SHOWN_EACH,
        )
        (folder / "index.html").write_text(encodable(page), encoding="utf-8")

    def _notebook(self, renderer: rendering.Renderer, run: Run, result: Result, file: Path) -> bool:
        """Write the page of an executed copy; tell whether there is one to show."""
        frame = renderer.frame(run.output_dir / (result.executed or ""), result.failures)
        if frame is None:
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(PurePosixPath(result.executed or "").parts))
        page = self._environment.get_template("notebook.html").render(
            result=result, frame=frame, back=f"{up}index.html", style=_text("index.css")
        )
        file.write_text(encodable(page), encoding="utf-8")
        return True

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
            "cause": cause,
            "before": before,
            "usual": usual,
            "error": error,
            "first_line": first_line,
            "url": quote,
            "count": count,
            "rerun": self.rerun,
            "excerpt": _excerpt,
            "traceback": _traceback,
        }
        environment.globals["generator"] = GENERATOR
        return environment


def reporter(console: ConsoleReporter) -> FolderReporter[Run]:
    """Return the reporter of this kind."""
    return HtmlReporter(rerun=console.rerun)


def _page(result: Result) -> str | None:
    """Return where the page of an executed copy goes, None where there is no copy."""
    return None if result.executed is None else f"notebooks/{result.executed}.html"


def _is_report(folder: Path) -> bool:
    try:
        with (folder / "index.html").open(encoding="utf-8", errors="replace") as stream:
            return GENERATOR in stream.read(4096)
    except OSError:
        return False


def _excerpt(failure: Failure) -> list[Any]:
    return list(excerpt(failure.source, failure.traceback))


def _traceback(failure: Failure) -> str:
    return cut(plain(failure.traceback).strip("\n") or error(failure), TRACEBACK_LIMIT)


def _text(name: str) -> str:
    return (resources.files("nbpipe.reports.html") / "templates" / name).read_text(encoding="utf-8")
