"""`nbpipe new`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbpipe.cli import completion, options
from nbpipe.errors import ExitCode, UsageError
from nbpipe.system.text import first_line, plain, plain_name

if TYPE_CHECKING:
    from nbpipe.config import Config


@click.command(
    name="new",
    epilog="""\b
Examples:
  nbpipe new 05_Contrib/LightCurves.ipynb --title 'Light curves of RR Lyrae stars'
  nbpipe new Fit.ipynb --author 'Jane Doe' --keyword photometry --kernel ir

The template is that of the configuration ([check] template), else a built-in one.""",
)
@click.argument("path", type=click.Path(path_type=Path), shell_complete=completion.paths)
@click.option("--title", help="The title; by default made from the file's name.")
@click.option(
    "--author",
    "authors",
    multiple=True,
    metavar="NAME",
    help="An author; repeatable. By default the person whom git knows.",
)
@click.option("--date", "day", metavar="YYYY-MM-DD", help="The date; by default today.")
@click.option("--license", "license_name", metavar="SPDX", help="The licence, such as CC-BY-4.0.")
@click.option("--keyword", "keywords", multiple=True, metavar="WORD", help="Repeatable.")
@click.option(
    "--kernel", metavar="NAME", help="The kernel to ask for.", shell_complete=completion.kernels
)
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    help="Use this notebook as the template.",
)
@options.shared
def command(  # noqa: PLR0913  (its options)
    *,
    path: Path,
    title: str | None,
    authors: tuple[str, ...],
    day: str | None,
    license_name: str | None,
    keywords: tuple[str, ...],
    kernel: str | None,
    template: Path | None,
    config_file: Path | None,
) -> int:
    """Begin a new notebook from the collection's template; never overwrite one.

    What can be known is filled in; what only its author can write is listed.
    """
    from nbpipe.lint import contribution  # noqa: PLC0415  (slow)

    config = options.load_config(config_file)
    configured = config.settings.check.template
    source = template.absolute() if template else contribution.BUILT_IN
    if template is None and configured:
        source = config.root / configured
    target = path.absolute()
    settings = config.settings.new
    known = authors or tuple(filter(None, [contribution.author(options.here())]))
    name, shown, language = _kernel(kernel or settings.kernel)
    contribution.write(
        target,
        source,
        contribution.Facts(
            title=title or _title(path),
            authors=known,
            date=_day(day),
            license=license_name or settings.license or "",
            keywords=(*settings.keywords, *keywords),
            kernel=name,
            display_name=shown,
            language=language,
        ),
    )
    click.echo(f"{plain_name(str(path))} written")
    _left(target, source, config)
    return ExitCode.OK


def _title(path: Path) -> str:
    """Return a title made from a file's name: `light_curves` -> `Light curves`."""
    words = path.stem.replace("_", " ").replace("-", " ").strip()
    return f"{words[:1].upper()}{words[1:]}"


def _day(given: str | None) -> date:
    if given is None:
        return datetime.now(UTC).astimezone().date()
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise UsageError(
            f"--date {given}: is not a date", hint="Write YYYY-MM-DD, such as 2026-01-31."
        ) from error


def _kernel(name: str) -> tuple[str, str, str]:
    """Return a kernel's name, its display name and its language; it need not be installed."""
    from nbpipe.collecting import installed_kernels  # noqa: PLC0415  (slow)

    installed = installed_kernels().get(name)
    usual = {"python3": ("Python 3", "python"), "ir": ("R", "r"), "bash": ("Bash", "bash")}
    shown, language = usual.get(name, (name, installed.language if installed else "python"))
    return name, shown, language


def _left(target: Path, template: Path, config: Config) -> None:
    """Say what the rules still find in the new notebook: what only its author can write."""
    import msgspec  # noqa: PLC0415  (slow)

    from nbpipe.lint.checks import check  # noqa: PLC0415
    from nbpipe.lint.notebook import read  # noqa: PLC0415

    settings = msgspec.structs.replace(config.settings.check, template=str(template))
    checked = check([(target.name, target)], settings, root=config.root)
    sources = [cell.source for cell in read(target.name, str(target), target.read_bytes()).cells]
    if checked.findings:
        click.echo("left for you to write:")
    for each in checked.findings:
        where = (
            "" if each.cell is None else f"cells[{each.cell}] {first_line(sources[each.cell])}: "
        )
        click.echo(f"  {where}{plain(each.message)} ({each.rule})")
