"""`getlatest [DIR]`: the command line of `nbpipe.publishing.copies`; parse, call, print.

A console script of its own that starts in a blink: rich comes only with a progress bar, the
settings of nbpipe never.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbpipe._version import __version__
from nbpipe.cli import home
from nbpipe.cli.copy_report import listing_lines, listing_table, report_lines, report_table
from nbpipe.errors import ExitCode, NbpipeError, UsageError
from nbpipe.publishing.copies.finding import Source, find, site_file
from nbpipe.publishing.copies.taking import Wanted, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress, TaskID

PATIENCE = 1.0
"""Seconds before a progress bar is worth its line."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit code: 0 all is up to date; 1 something could not be brought up to date, nothing "
    "is lost; 4 wrong usage, or nowhere to take it from.",
)
@click.argument("directory", metavar="[DIR]", required=False)
@click.option("--from", "given", metavar="PATH|URL", help="A mirror, or a git repository.")
@click.option("--only", multiple=True, metavar="FOLDER", help="Only this; may be repeated.")
@click.option("--release", "commit", metavar="COMMIT", help="Another release than the current.")
@click.option(
    "--restore",
    is_flag=False,
    flag_value="",
    metavar="[PATH]",
    help="Bring back files that you deleted: all, or those at and below PATH.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@click.option("--list", "listing", is_flag=True, help="Show the folders and releases there are.")
@click.option("--collection", metavar="NAME", help="Which one, where the platform has several.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Read this configuration instead of the site's /etc/nbpipe/nbpipe.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="getlatest")
def command(  # noqa: PLR0913  (click passes every option)
    *,
    directory: str | None,
    given: str | None,
    only: tuple[str, ...],
    commit: str | None,
    restore: str | None,
    dry_run: bool,
    listing: bool,
    collection: str | None,
    config_file: Path | None,
    as_json: bool,
    debug: bool,  # noqa: ARG001  (main reads it)
) -> int:
    """Take a writable copy of the current notebooks into DIR, or update an earlier one.

    Your changes are never lost: a file that you changed stays, and a newer one lands beside it.
    DIR is `notebooks` unless the collection has another name.

    \b
    Examples:
      getlatest                        a copy in ./notebooks; again: an update
      getlatest ~/work --only 03_Science
      getlatest --restore=intro.ipynb  a fresh copy of a file that you deleted
      getlatest --from https://github.com/ORG/REPO
    """  # noqa: D301  (\b is click's own)
    site = site_file(config_file, os.environ)
    source = find(given, environ=os.environ, home=Path.home(), site=site, collection=collection)
    release = source.release(commit)
    try:
        if listing:
            releases = source.mirror.releases() if source.mirror else []
            arguments = source.name, release, releases
            _print(listing_table(*arguments) if as_json else listing_lines(*arguments))
            return ExitCode.OK
        folder = _folder(directory, source)
        wanted = Wanted(only=only, restore=restore, dry_run=dry_run)
        with Bar(folder.name, show=sys.stderr.isatty()) as bar:
            report = take(release, folder, wanted, bar)
    finally:
        release.close()
    _print(report_table(report) if as_json else report_lines(report))
    return ExitCode.FAILED if report.problems else ExitCode.OK


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        home.ensure()
        return int(command.main(words, prog_name="getlatest", standalone_mode=False) or 0)
    except click.UsageError as error:
        _complain(error.format_message(), "`getlatest --help` shows what there is.")
        return ExitCode.USAGE_ERROR
    except NbpipeError as error:
        if "--debug" in words:
            traceback.print_exc()
        _complain(str(error.args[0]), error.hint)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted", "Nothing is lost; run it again to go on.")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on: no complaint at the end
        return ExitCode.FAILED
    except Exception as error:  # noqa: BLE001  (the process's boundary)
        if "--debug" in words:
            traceback.print_exc()
        _complain(
            f"internal error: {type(error).__name__}: {error}",
            "Nothing is lost. Please report it with the output of `getlatest --debug`.",
        )
        return ExitCode.INTERNAL_ERROR


def _folder(directory: str | None, source: Source) -> Path:
    """Return the copy's folder, with the links in its own path followed.

    Raises:
        UsageError: It lies in the mirror itself, or its name is empty.
    """
    if directory == "":
        raise UsageError("the folder's name is empty", hint="Is a variable of the shell not set?")
    folder = Path(os.path.realpath(Path(directory or source.folder).expanduser()))
    mirror = source.mirror.path if source.mirror else None
    if mirror and (folder == mirror or mirror in folder.parents):
        raise UsageError(
            f"{directory or source.folder}: is the read-only original, in {mirror}",
            hint="Name a folder of your own, as in `getlatest ~/notebooks`.",
        )
    return folder


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


def _complain(message: str, hint: str) -> None:
    click.echo(f"getlatest: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


class Bar:
    """A progress bar on standard error, from the moment that it takes long."""

    def __init__(
        self, title: str, *, show: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.title = title
        self.show = show
        self.clock = clock
        self.started = clock()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show where it is."""
        if self._bar is None and self.show and self.clock() - self.started > PATIENCE:
            from rich.console import Console  # noqa: PLC0415  (slow; seldom needed)
            from rich.progress import Progress  # noqa: PLC0415

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.title, total=total)
            self._bar.start()
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main())
