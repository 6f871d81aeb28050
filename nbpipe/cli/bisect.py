"""`nbpipe bisect`: which commit, or which package, broke a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbpipe.cli import completion, options
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbpipe.config import Config


@click.command(
    name="bisect",
    epilog="""\b
Examples:
  nbpipe bisect notebooks/a.ipynb --good v1.2 --bad HEAD
  nbpipe bisect notebooks/a.ipynb --good HEAD~50 --retries 3 --no-history
  nbpipe bisect notebooks/a.ipynb --environment june.txt july.txt""",
)
@click.argument("notebook", shell_complete=completion.paths)
@click.option("--good", metavar="REV", help="Commit at which the notebook passes.")
@click.option("--bad", metavar="REV", help="Commit at which it fails.  [default: HEAD]")
@click.option(
    "--environment",
    type=(click.Path(path_type=Path), click.Path(path_type=Path)),
    metavar="GOOD_LOCK BAD_LOCK",
    help="Two lock files (`pip freeze`, pylock.toml) instead of commits: where the notebook "
    "passes, and where it fails.",
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

    Executes the notebook at as few commits as git bisect needs, in a separate worktree and with
    the kernels that are installed now. With --environment, executes it as it is now, in separate
    environments between the two lock files. Results that the history has are not run again.
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
    from nbpipe.bisecting import Bisection, known, texts  # noqa: PLC0415  (slow)

    search = Bisection(
        config.root,
        path,
        retries=retries,
        known=known(config, path) if use_history else {},
        tell=lambda judged: _echo([texts.judged(judged)], err=True),
    )
    _echo(texts.commits(config.root, search.search(*ends)))


def _packages(
    config: Config, path: str, files: tuple[Path, Path], *, retries: int, use_history: bool
) -> None:
    from nbpipe.bisecting import PackageBisection, texts  # noqa: PLC0415  (slow)

    good, bad = files
    search = PackageBisection(
        config,
        path,
        good=good,
        bad=bad,
        retries=retries,
        use_history=use_history,
        tell=lambda step: _echo(texts.step(step), err=True),
    )
    found = search.search()
    _echo(texts.added(found), err=True)
    _echo(texts.guilty(found))


def _echo(lines: Iterable[str], *, err: bool = False) -> None:
    for line in lines:
        click.echo(line, err=err)
