"""`nbpipe bisect`: which commit broke a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nbpipe.cli import options
from nbpipe.errors import UsageError
from nbpipe.reports.plaintext import first_line, plain, plain_name

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.bisecting import Found, Judged


@click.command(
    name="bisect",
    epilog="""\b
Examples:
  nbpipe bisect notebooks/a.ipynb --good v1.2 --bad HEAD
  nbpipe bisect notebooks/a.ipynb --good HEAD~50 --bad HEAD --retries 3 --no-history""",
)
@click.argument("notebook")
@click.option("--good", required=True, metavar="REV", help="A commit at which it passes.")
@click.option("--bad", default="HEAD", show_default=True, metavar="REV", help="One where it fails.")
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Try a failing notebook so many times more before a commit counts as bad.",
)
@click.option("--no-history", is_flag=True, help="Execute also what earlier runs have told.")
@options.shared
def command(  # noqa: PLR0913  (one per option)
    notebook: str,
    *,
    good: str,
    bad: str,
    retries: int,
    no_history: bool,
    config_file: Path | None,
) -> None:
    """Find the commit after which NOTEBOOK fails, between a good and a bad one.

    Runs it at as few commits as git's bisection needs, in a worktree of its own and with the
    kernels that are installed now. What the history knows of a commit is not run again.
    """
    from nbpipe.bisecting import Bisection, known  # noqa: PLC0415  (slow)

    config = options.load_config(config_file)
    file = (options.here() / notebook).resolve()
    if not file.is_relative_to(config.root):
        raise UsageError(
            f"{notebook}: lies outside of the collection in {config.root}",
            hint="Name a notebook of the collection; --config says which one.",
        )
    path = file.relative_to(config.root).as_posix()
    search = Bisection(
        config.root,
        path,
        retries=retries,
        known={} if no_history else known(config, path),
        tell=_tell,
    )
    _show(config.root, search.search(good, bad))


def _tell(judged: Judged) -> None:
    source = f"  (run {judged.run})" if judged.run else ""
    why = f"  {first_line(judged.why, 100)}" if judged.why else ""
    click.echo(f"  {judged.commit[:12]}  {judged.verdict:4}{why}{source}", err=True)


def _show(root: Path, found: Found) -> None:
    from nbpipe.bisecting import git  # noqa: PLC0415  (slow)

    if len(found.commits) == 1:
        click.echo("the first bad commit:")
    else:
        click.echo("one of these is the first bad commit; those between could not be judged:")
    for commit in found.commits:
        told = git(root, "show", "--no-patch", "--format=%an <%ae>%n%ad%n%s", "--date=iso", commit)
        author, date, subject = [*map(plain, told.split("\n")), "", ""][:3]
        click.echo(f"\n  {commit}\n  {author}, {date}\n  {subject}")
        if len(found.commits) == 1:
            names = git(root, "show", "--format=", "--name-status", "--no-renames", commit)
            for line in names.strip().split("\n")[:20]:
                click.echo(f"    {plain_name(line.replace(chr(9), ' '))}")
