"""`getlatest [DIR]`: the command line of `nbpipe.publishing.copies`; parse, call, print.

A console script of its own that starts in a blink: rich comes only with a progress bar, the
settings of nbpipe never.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path

import click

from nbpipe._version import __version__
from nbpipe.cli import completion, home
from nbpipe.distribution import refuse_mixture
from nbpipe.errors import ExitCode, NbpipeError, UsageError
from nbpipe.publishing.copies import texts
from nbpipe.publishing.copies.listing import listing
from nbpipe.publishing.copies.origins import SILENCE
from nbpipe.publishing.copies.places import (
    SeveralCollections,
    destination,
    find,
    short,
    site_file,
)
from nbpipe.publishing.copies.progress_bar import Bar
from nbpipe.publishing.copies.update import Wanted, take
from nbpipe.system import units

_LONGEST = 2 * units.DAY
"""Seconds without an answer that somebody may wait for."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit code: 0 all is up to date; 1 something could not be brought up to date, nothing "
    "is lost; 4 wrong usage, or nowhere to take it from.",
)
@click.argument("directory", metavar="[DIR]", required=False, shell_complete=completion.paths)
@click.option("--from", "given", metavar="PATH|URL", help="A mirror, or a git repository.")
@click.option(
    "--only",
    multiple=True,
    metavar="FOLDER",
    help="Take only FOLDER, now and in later runs; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Take everything again, after --only.")
@click.option(
    "--release", "commit", metavar="COMMIT", help="Take this release instead of the current one."
)
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
@click.option("--dry-run", is_flag=True, help="Show what would happen; write nothing.")
@click.option(
    "--list", "listed", is_flag=True, help="Show the collections, notebooks and releases there are."
)
@click.option("--collection", metavar="NAME", help="Name of the collection, if there are several.")
@click.option(
    "--timeout",
    default=f"{SILENCE:g}",
    metavar="DURATION",
    show_default=True,
    callback=lambda _context, _option, text: _seconds(text),
    help="Give up on a server that is silent for this long: seconds, or 5m.",
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
            _print((texts.collection_table if as_json else texts.collection_lines)(error.names))
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
            _print(texts.listing_table(found) if as_json else texts.listing_lines(found))
            return ExitCode.OK
        folder = destination(place, source)
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
    _print(texts.report_table(report) if as_json else texts.report_lines(report))
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


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


def _complain(message: str, hint: str) -> None:
    click.echo(f"getlatest: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


if __name__ == "__main__":
    sys.exit(main())
