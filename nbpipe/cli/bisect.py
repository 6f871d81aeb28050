"""`nbpipe bisect`: which commit, or which package, broke a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbpipe.cli import options
from nbpipe.errors import UsageError
from nbpipe.system.text import first_line, plain, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbpipe.bisecting import Found, Guilty, Judged, Step
    from nbpipe.bisecting.locks import Change
    from nbpipe.config import Config

_NAMED = 3
"""So many packages of a step are named."""


@click.command(
    name="bisect",
    epilog="""\b
Examples:
  nbpipe bisect notebooks/a.ipynb --good v1.2 --bad HEAD
  nbpipe bisect notebooks/a.ipynb --good HEAD~50 --retries 3 --no-history
  nbpipe bisect notebooks/a.ipynb --environment june.txt july.txt""",
)
@click.argument("notebook")
@click.option("--good", metavar="REV", help="A commit at which it passes.")
@click.option("--bad", metavar="REV", help="One where it fails.  [default: HEAD]")
@click.option(
    "--environment",
    type=(click.Path(path_type=Path), click.Path(path_type=Path)),
    metavar="GOOD_LOCK BAD_LOCK",
    help="Two lock files (`pip freeze`, pylock.toml) instead of commits; it passes with the first.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Retry a failing notebook up to N times before a commit or environment counts as bad.",
)
@click.option(
    "--no-history", is_flag=True, help="Ignore results of earlier runs; execute everything."
)
@options.shared
def command(  # noqa: PLR0913  (one per option)
    notebook: str,
    *,
    good: str | None,
    bad: str | None,
    environment: tuple[Path, Path] | None,
    retries: int,
    no_history: bool,
    config_file: Path | None,
) -> None:
    """Find the commit after which NOTEBOOK fails, or the package that broke it.

    Runs it at as few commits as git's bisection needs, in a worktree of its own and with the
    kernels that are installed now. With --environment: as it is now, in environments of its own
    between the two lock files. What the history knows is not run again.
    """
    if environment and (good or bad):
        raise UsageError(
            f"--environment cannot be combined with {'--good' if good else '--bad'}",
            hint="Give two revisions, or two lock files.",
        )
    if not environment and not good:
        raise UsageError(
            "bisect needs to know where the notebook passes",
            hint="Give --good REV, or --environment GOOD_LOCK BAD_LOCK.",
        )
    config = options.load_config(config_file)
    file = (options.here() / notebook).resolve()
    if not file.is_relative_to(config.root):
        raise UsageError(
            f"{notebook}: lies outside of the collection in {config.root}",
            hint="Name a notebook of the collection; --config says which one.",
        )
    path = file.relative_to(config.root).as_posix()
    if environment:
        _packages(config, path, environment, retries=retries, use_history=not no_history)
    elif good:
        _commits(config, path, (good, bad or "HEAD"), retries=retries, use_history=not no_history)


def _commits(
    config: Config, path: str, ends: tuple[str, str], *, retries: int, use_history: bool
) -> None:
    from nbpipe.bisecting import Bisection, known  # noqa: PLC0415  (slow)

    search = Bisection(
        config.root,
        path,
        retries=retries,
        known=known(config, path) if use_history else {},
        tell=_tell,
    )
    _show(config.root, search.search(*ends))


def _packages(
    config: Config, path: str, files: tuple[Path, Path], *, retries: int, use_history: bool
) -> None:
    from nbpipe.bisecting import PackageBisection  # noqa: PLC0415  (slow)

    good, bad = files
    search = PackageBisection(
        config,
        path,
        good=good,
        bad=bad,
        retries=retries,
        use_history=use_history,
        tell=_tell_step,
    )
    _show_guilty(search.search())


def _tell(judged: Judged) -> None:
    source = f"  (run {judged.run})" if judged.run else ""
    why = f"  {first_line(judged.why, 100)}" if judged.why else ""
    click.echo(f"  {judged.commit[:12]}  {judged.verdict:4}{why}{source}", err=True)


def _tell_step(step: Step) -> None:
    source = f"  (run {step.run})" if step.run else ""
    why = f"  {first_line(step.why, 100)}" if step.why else ""
    names = [change.name for change in step.changes]
    more = len(names) - _NAMED
    named = f": {', '.join(names[:_NAMED])}{f' and {more} more' if more > 0 else ''}"
    made = f"{len(names)} of {step.of} changed{named if 0 < len(names) < step.of else ''}"
    click.echo(f"  {step.verdict:4}  {made}{why}{source}", err=True)
    for conflict in step.conflicts[:_NAMED]:
        click.echo(f"        pip check: {first_line(conflict, 100)}", err=True)
    if len(step.conflicts) > _NAMED:
        click.echo(f"        pip check: {len(step.conflicts) - _NAMED} more", err=True)


def _show_guilty(found: Guilty) -> None:
    """Print the answer: one package, several together, or those that nobody can decide between."""
    for file in found.gets_kernel:
        click.echo(f"  ipykernel was added, which {plain_name(file)} does not have", err=True)
    single = len(found.groups) == 1
    if single and len(found.groups[0]) == 1:
        click.echo(f"the first bad package: {plain(str(found.groups[0][0]))}")
    elif single:
        click.echo("one or more of these broke it; what lies between could not be judged:")
        _list(found.groups[0])
    else:
        click.echo("these packages broke it together, and none of them without the others:")
        for group in found.groups:
            if len(group) > 1:
                click.echo("  one or more of these, between which could not be judged:")
            _list(group)
    if found.company:
        click.echo("with at least one of these, without which it could not be judged:")
        _list(found.company)
    click.echo(f"\n  {first_line(found.why, 500)}")


def _list(changes: Sequence[Change]) -> None:
    for change in changes:
        click.echo(f"  {plain(str(change))}")


def _show(root: Path, found: Found) -> None:
    from nbpipe.bisecting import git  # noqa: PLC0415  (slow)

    if len(found.commits) == 1:
        click.echo("the first bad commit:")
    else:
        click.echo("one of these is the first bad commit; those between could not be judged:")
    for commit in found.commits:
        form = "--format=%an <%ae>%x00%ad%x00%s"
        told = git(root, "show", "--no-patch", form, "--date=iso", commit)
        # A subject or a name may hold a lone CR, U+2028 or others that end a line elsewhere.
        lines = [" ".join(plain(each).split()) for each in told.split("\0")]
        author, date, subject = [*lines, "", ""][:3]
        click.echo(f"\n  {commit}\n  {author}, {date}\n  {subject}")
        if len(found.commits) == 1:
            names = git(root, "show", "--format=", "--name-status", "--no-renames", commit)
            for line in names.strip().split("\n")[:20]:
                click.echo(f"    {plain_name(line.replace(chr(9), ' '))}")
