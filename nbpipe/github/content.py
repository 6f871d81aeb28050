"""What GitHub shows of a run: a verdict, a title, a summary and annotations, in its limits.

Values in, values out. Sources: GitHub's description of "Create a check run" (65,535 characters
of a summary; of an annotation 255 of its title, 64 KB of its message and its details), "Create a
commit status" (140 characters of a description).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nbpipe.model import Outcome
from nbpipe.reports.console import totals
from nbpipe.reports.groups import cause, error
from nbpipe.reports.links import NONE
from nbpipe.reports.markdown import MarkdownReporter
from nbpipe.reports.past import before
from nbpipe.system.text import cut, encodable, first_line, plain, plain_name
from nbpipe.system.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.github.places import Places
    from nbpipe.model import Failure, Result, Run
    from nbpipe.reports.links import Links

Conclusion = Literal["success", "failure", "cancelled", "neutral"]

SUMMARY = 65_000
"""Bytes, and so characters, of a summary or a comment; GitHub takes 65,535 characters."""
DESCRIPTION = 140
TITLE = 255
MESSAGE = 15_000
"""Characters of a message: never more than 64 KB."""
ANNOTATIONS = 500
"""At most, ten requests' worth; the summary has the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One failure at its place."""

    path: str
    line: int
    level: Literal["failure", "warning"]
    title: str
    message: str
    details: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A run as GitHub shows it."""

    conclusion: Conclusion
    title: str
    summary: str
    """Markdown."""
    annotations: tuple[Annotation, ...] = ()


def compose(run: Run, places: Places, *, links: Links = NONE, flaky: str = "pass") -> Content:
    """Return what is told about a run that has ended.

    Args:
        run: The run.
        places: Where its failures stand.
        links: Where the summary leads.
        flaky: `[test] flaky`: what a notebook counts as that passed on a retry.
    """
    every = list(_annotations(run, places))
    told = tuple(every[:ANNOTATIONS])
    more = len(every) - len(told)
    left = f"\n{count(more, 'more annotation')} would not fit.\n" if more else ""
    stream = io.StringIO()
    reporter = MarkdownReporter(links=lambda _: links, limit=SUMMARY - len(left))
    reporter.report(run, stream)
    return Content(
        conclusion=_conclusion(run, flaky),
        title=short(totals(run), TITLE),
        summary=stream.getvalue() + left,
        annotations=told,
    )


def ended(conclusion: Conclusion, title: str, text: str) -> Content:
    """Return what is told about a run that has no report."""
    return Content(conclusion=conclusion, title=short(title, TITLE), summary=text)


def short(text: str, limit: int) -> str:
    """Return one line of at most `limit` characters."""
    line = first_line(encodable(plain(text)), 10 * limit)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _conclusion(run: Run, flaky: str) -> Conclusion:
    if run.interrupted:
        return "cancelled"
    if run.count(Outcome.FAILED) or (flaky == "fail" and run.count(Outcome.FLAKY)):
        return "failure"
    return "success" if run.count(Outcome.PASSED) + run.count(Outcome.FLAKY) else "neutral"


def _annotations(run: Run, places: Places) -> Iterator[Annotation]:
    """Yield the failures, those that count first."""
    for wanted in (Outcome.FAILED, Outcome.FLAKY):
        for result in run.results:
            path = places.path(result.path)
            if result.outcome is wanted and path is not None:
                yield from (_annotation(result, each, path, places) for each in result.failures)


def _annotation(result: Result, failure: Failure, path: str, places: Places) -> Annotation:
    where = "" if failure.cell is None else f" in cells[{failure.cell}]"
    message = encodable(plain(failure.message).strip("\n"))
    named = ": ".join(part for part in (first_line(failure.name), message) if part)
    flaky = result.outcome is Outcome.FLAKY
    passed = f"\npassed at attempt {result.attempts}" if flaky else ""
    text = cut(named or error(failure), MESSAGE)
    past = f"\nit {told}" if (told := before(result)) else ""
    return Annotation(
        path=encodable(path),
        line=places.line(result.path, failure) or 1,
        level="warning" if flaky else "failure",
        title=short(f"{plain_name(result.path)}: {cause(failure)}", TITLE),
        message=f"{failure.category.value}{where}: {text}{passed}{past}",
        details=cut(encodable(plain(failure.traceback).strip("\n")), MESSAGE),
    )
