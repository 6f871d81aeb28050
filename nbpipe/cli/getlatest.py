"""`getlatest [DIR]`: the command line of `nbpipe.publishing.copies`; parse, call, print.

A console script of its own that starts in a blink: rich comes only with a progress bar, the
settings of nbpipe never.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbpipe._version import __version__
from nbpipe.cli import home
from nbpipe.cli.copy_report import (
    collection_lines,
    collection_table,
    listing_lines,
    listing_table,
    report_lines,
    report_table,
)
from nbpipe.distribution import refuse_mixture
from nbpipe.errors import ExitCode, NbpipeError, UsageError
from nbpipe.publishing.copies.listing import listing
from nbpipe.publishing.copies.origins import SILENCE
from nbpipe.publishing.copies.places import SeveralCollections, Source, find, short, site_file
from nbpipe.publishing.copies.update import Wanted, take
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress, TaskID

PATIENCE = 1.0
"""Seconds before a progress bar is worth its line."""
_LONGEST = 2 * units.DAY
"""Seconds without an answer that somebody may wait for."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit code: 0 all is up to date; 1 something could not be brought up to date, nothing "
    "is lost; 4 wrong usage, or nowhere to take it from.",
)
@click.argument("directory", metavar="[DIR]", required=False)
@click.option("--from", "given", metavar="PATH|URL", help="A mirror, or a git repository.")
@click.option(
    "--only",
    multiple=True,
    metavar="FOLDER",
    help="Take only FOLDER, now and in later runs; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Take everything again, after --only.")
@click.option("--release", "commit", metavar="COMMIT", help="Another release than the current.")
@click.option(
    "--restore",
    is_flag=False,
    flag_value="",
    metavar="[PATH]",
    help="Bring back files that you deleted: all, or those at and below PATH.",
)
@click.option(
    "--prune", is_flag=True, help="Remove files deleted upstream that you have not changed or run."
)
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@click.option(
    "--list", "listed", is_flag=True, help="Show the collections, notebooks and releases there are."
)
@click.option("--collection", metavar="NAME", help="Which one, where the platform has several.")
@click.option(
    "--timeout",
    default=f"{SILENCE:g}",
    metavar="DURATION",
    show_default=True,
    callback=lambda _context, _option, text: _seconds(text),
    help="Give up a server that is silent for this long: seconds, or 5m.",
)
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
    everything: bool,
    prune: bool,
    dry_run: bool,
    listed: bool,
    collection: str | None,
    timeout: float,
    config_file: Path | None,
    as_json: bool,
    debug: bool,  # noqa: ARG001  (main reads it)
) -> int:
    """Take a writable copy of the current notebooks into DIR, or update an earlier one.

    Your changes are never lost: a file that you changed stays, and a newer one lands beside it.
    Of a notebook that you only ran, the newer one takes the name and your run is kept beside it.
    DIR is `notebooks` unless the collection has another name; where there are several collections,
    the name of one as DIR chooses it.

    \b
    Examples:
      getlatest                        a copy in ./notebooks; again: an update
      getlatest cuadernos              the collection cuadernos-latest
      getlatest ~/work --only 03_Science
      getlatest --restore=intro.ipynb  a fresh copy of a file that you deleted
      getlatest --from https://github.com/ORG/REPO
    """  # noqa: D301  (\b is click's own)
    site = site_file(config_file, os.environ)
    if everything and only:
        raise UsageError("--all and --only exclude each other", hint="Leave one of them out.")
    place = _place(directory)
    try:
        source = find(
            given,
            environ=os.environ,
            home=Path.home(),
            site=site,
            collection=collection,
            copy=place,
        )
    except SeveralCollections as error:
        if listed:
            _print((collection_table if as_json else collection_lines)(error.names))
            return ExitCode.OK
        raise
    show = sys.stderr.isatty()
    with Bar(f"fetching {source.name}", show=show) as bar:
        release = source.release(commit, silence=timeout, progress=bar)
    try:
        if release.warning:
            _complain(f"warning: {release.warning}", "")
        if listed:
            found = listing(source, release, only)
            _print(listing_table(found) if as_json else listing_lines(found))
            return ExitCode.OK
        folder = _folder(place, source)
        wanted = Wanted(
            only=only, everything=everything, restore=restore, prune=prune, dry_run=dry_run
        )
        with Bar(folder.name, show=show) as bar:
            report = take(release, folder, wanted, bar)
    finally:
        release.close()
    if report.made:
        report.notes += [
            f"also here: {name} (`getlatest {short(name)}`)"
            for name in source.collections
            if name != source.name
        ]
    _print(report_table(report) if as_json else report_lines(report))
    return ExitCode.FAILED if report.problems else ExitCode.OK


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        refuse_mixture(sys.modules["nbpipe"], sys.path)
        home.ensure()
        return int(command.main(words, prog_name="getlatest", standalone_mode=False) or 0)
    except click.UsageError as error:
        _complain(error.format_message(), "`getlatest --help` lists the options.")
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


def _seconds(text: str) -> float:
    """Return a duration in seconds: `30`, `90s`, `5m`, `1h30m`.

    Raises:
        click.BadParameter: It is none, or nothing.
    """
    with contextlib.suppress(ValueError):
        if (seconds := units.seconds(text)) <= _LONGEST:
            return seconds
    raise click.BadParameter(
        f"{text!r} is not a duration: seconds, or such as 90s, 5m, 1h; 48h at most."
    )


def _place(directory: str | None) -> Path | None:
    """Return the copy's folder as named, with the links in its own path followed.

    Raises:
        UsageError: Its name is empty.
    """
    if directory == "":
        raise UsageError("the folder's name is empty", hint="Is a variable of the shell not set?")
    return Path(os.path.realpath(Path(directory).expanduser())) if directory else None


def _folder(place: Path | None, source: Source) -> Path:
    """Return the copy's folder: the named one, or the usual one in the working directory.

    Raises:
        UsageError: It is, or lies in, what it would be a copy of.
    """
    folder = place or Path(os.path.realpath(source.folder))
    original = source.original
    inside = original in folder.parents
    # A copy inside a working clone is untidy, but may be what somebody asks for by name.
    if folder == original or (inside and not (source.repository and place)):
        raise UsageError(
            f"{place or source.folder}: is the {'read-only ' if source.mirror else ''}original, "
            f"in {original}",
            hint=f"Name a folder of your own, as in `getlatest ~/{short(source.name)}-copy`.",
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
            from rich.markup import escape  # noqa: PLC0415  (comes with it)
            from rich.progress import Progress  # noqa: PLC0415

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(escape(self.title), total=total)
            self._bar.start()
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main())
