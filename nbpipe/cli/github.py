"""`nbpipe github`: a run told on GitHub, while it goes on and when it has ended."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbpipe.cli import completion, options
from nbpipe.errors import ExitCode, NbpipeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.github.session import Session


@click.group(
    name="github",
    epilog="""\b
Examples:
  nbpipe github run --repo ORG/REPO --sha "$(git rev-parse HEAD)" -- notebooks/
  nbpipe github report latest --repo ORG/REPO --sha 0123… --comment 42""",
)
def command() -> None:
    """Report a run to GitHub: a commit status, or a check run with annotations; a comment.

    Uses the token in GITHUB_TOKEN, or the credentials that [github] in the configuration names.
    For a GitHub Enterprise Server, set GITHUB_API_URL to the address of its API.
    """


def _about(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which commit is told about, and how."""
    for option in (
        options.shared,
        click.option(
            "--artifact", metavar="URL", help="Address of the HTML report, linked from there."
        ),
        click.option("--url", metavar="URL", help="Link to a page about the run."),
        click.option(
            "--name", metavar="NAME", help="Name of the status or check run (default: nbpipe)."
        ),
        click.option(
            "--as",
            "kind",
            type=click.Choice(["status", "check"]),
            help="Report as a commit status or a check run (default: check run for a GitHub App).",
        ),
        click.option("--sha", required=True, metavar="SHA", help="Full id of the commit."),
        click.option(
            "--repo",
            "repository",
            envvar="GITHUB_REPOSITORY",
            required=True,
            metavar="OWNER/NAME",
            help="Repository (default: GITHUB_REPOSITORY).",
        ),
    ):
        function = option(function)
    return function


_comment_option = click.option(
    "--comment",
    type=click.IntRange(min=1),
    metavar="PR",
    help="Also create or update the comment on this pull request.",
)


@command.command(
    name="start",
    epilog="""\b
Example:
  nbpipe github start --repo ORG/REPO --sha "$(git rev-parse HEAD)"
  nbpipe test --report json=report.json
  nbpipe github report report.json --repo ORG/REPO --sha "$(git rev-parse HEAD)" """,
)
@_about
def start(**given: Any) -> None:  # noqa: ANN401  (click's)
    """Show on the commit that its notebooks are running.

    `nbpipe github report` completes it. If that never happens, any later `nbpipe github` on this
    machine does, once the shell or script that called this one has ended.
    """
    session = _session(given)
    _sweep(session)
    click.echo(f"begun: {session.begin(process=os.getppid())}")


@command.command(
    name="report",
    epilog="""\b
Examples:
  nbpipe github report latest --repo ORG/REPO --sha "$(git rev-parse HEAD)"
  nbpipe github report results/report.json --repo ORG/REPO --sha 0123… --as check --comment 42""",
)
@click.argument("run", shell_complete=completion.runs)
@_comment_option
@_about
def report(run: str, *, comment: int | None, **given: Any) -> None:  # noqa: ANN401  (click's)
    """Report the result of RUN on the commit.

    RUN is the beginning of its id, `latest`, the JSON report of `nbpipe test --report json`, or
    the output directory with it. Completes what `start` began; also works without it.
    """
    from nbpipe.github.runs import load  # noqa: PLC0415  (slow)

    session = _session(given, comment=comment)
    content = session.compose(load(run, session.config))
    _sweep(session)
    for place in session.finish(content):
        click.echo(f"{content.conclusion}, {content.title}: {place}")


@command.command(
    name="run",
    epilog="""\b
Examples:
  nbpipe github run --repo ORG/REPO --sha "$(git rev-parse HEAD)" -- -n 4 notebooks/
  nbpipe github run --repo ORG/REPO --sha 0123… --as check --comment 42""",
)
@click.argument(
    "arguments",
    nargs=-1,
    metavar="[-- ARGUMENTS OF nbpipe test…]",
    shell_complete=completion.paths,
)
@_comment_option
@_about
def run(arguments: tuple[str, ...], *, comment: int | None, **given: Any) -> int:  # noqa: ANN401
    """Run `nbpipe test` and report it on the commit, from start to end.

    Notebooks do not see the token. The exit code is that of `nbpipe test`.
    """
    from nbpipe.github.child import Signals  # noqa: PLC0415  (slow)

    session = _session(given, comment=comment)
    _sweep(session)
    signals = Signals()
    with signals.owned(), tempfile.TemporaryDirectory(prefix="nbpipe-github-") as folder:
        file = Path(folder) / "report.json"
        words = [sys.executable, "-m", "nbpipe", "test", "--report", f"json={file}"]
        if given["config_file"]:
            words += ["--config", str(given["config_file"])]
        _warned(lambda: session.begin(process=os.getpid()))
        code: int | None = None
        try:
            code = signals.run([*words, *arguments], session.child_environ())
        finally:
            content = session.outcome(file, code, signals.ended_by)
            told = _warned(lambda: session.finish(content))
    for place in told or ():
        click.echo(f"{content.conclusion}, {content.title}: {place}", err=True)
    if code < 0:
        return ExitCode.INTERRUPTED
    return code or (ExitCode.OK if told else ExitCode.FAILED)


def _session(given: dict[str, Any], *, comment: int | None = None) -> Session:
    from nbpipe.github import begun  # noqa: PLC0415  (slow)
    from nbpipe.github.client import Clock  # noqa: PLC0415  (slow)
    from nbpipe.github.connection import adjusted  # noqa: PLC0415  (slow)
    from nbpipe.github.session import Session  # noqa: PLC0415  (slow)
    from nbpipe.github.targets import Commit  # noqa: PLC0415  (slow)

    config = adjusted(options.load_config(given["config_file"]), given["kind"], given["name"])
    return Session(
        config=config,
        commit=Commit(
            repository=given["repository"],
            sha=given["sha"].lower(),
            name=config.settings.github.name,
            url=given["url"],
        ),
        comment=comment,
        environ=os.environ,
        clock=Clock(now=time.time, sleep=_sleep),
        begun=begun.default(),
        artifact=given["artifact"],
    )


def _sleep(seconds: float) -> None:
    if seconds > 10:  # noqa: PLR2004  (seconds after which a person wonders)
        click.echo(f"nbpipe: asking GitHub again in {seconds:,.0f} s", err=True)
    time.sleep(seconds)


def _sweep(session: Session) -> None:
    """End what earlier runs on this machine left open; what hinders that hinders nothing else."""
    for ended, problem in session.sweep():
        what = f"{ended.name} on {ended.repository}@{ended.sha[:12]}"
        if problem is None:
            click.echo(f"nbpipe: ended what a run left open: {what}", err=True)
        else:
            click.echo(f"nbpipe: warning: {what} is still open: {problem}", err=True)


def _warned(action: Callable[[], Any]) -> Any:  # noqa: ANN401  (the action's)
    """Return what an action returns; GitHub's troubles are told, and hinder no run."""
    try:
        return action()
    except UsageError:
        raise
    except NbpipeError as error:
        click.echo(f"nbpipe: warning: not reported to GitHub: {error}", err=True)
        return None
