"""`nbpipe check`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbpipe.cli import completion, options
from nbpipe.errors import ExitCode
from nbpipe.system.text import plain
from nbpipe.system.units import count

if TYPE_CHECKING:
    from nbpipe.config import Config
    from nbpipe.lint.checks import Checked
    from nbpipe.reports.terminal import Color

_RULES = "RULE[,RULE…]"


@click.command(
    name="check",
    epilog="""\b
Examples:
  nbpipe check                            notebooks below this folder
  nbpipe check 'notebooks/**/*.ipynb' --fix
  nbpipe check --select NBP3 --format github
  nbpipe check --explain NBP209

Exit code 0: no error; 1: an error was found (with --strict: anything).""",
)
@click.argument("patterns", nargs=-1, metavar="[PATTERN…]", shell_complete=completion.paths)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave out matching notebooks; repeatable."
)
@click.option(
    "--select",
    multiple=True,
    metavar=_RULES,
    help="Apply these rules only; NBP2 stands for all NBP2xx.",
)
@click.option(
    "--extend-select", multiple=True, metavar=_RULES, help="Apply these rules in addition."
)
@click.option("--ignore", multiple=True, metavar=_RULES, help="Do not apply these rules.")
@click.option("--fix", is_flag=True, help="Repair what can be repaired safely; writes notebooks.")
@click.option(
    "--unsafe-fixes", is_flag=True, help="With --fix: also make repairs that may change a meaning."
)
@click.option("--diff", is_flag=True, help="Show what --fix would write; write nothing.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["full", "concise", "json", "sarif", "github", "gitlab"]),
    default="full",
    show_default=True,
    help="How findings are written.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write findings to this file.")
@click.option("--statistics", is_flag=True, help="Show the number of findings of each rule.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="Do not report findings that are listed in this file.",
)
@click.option(
    "--write-baseline",
    is_flag=True,
    help="Record all findings as known, in the baseline (nbpipe-baseline.json).",
)
@click.option("--explain", metavar="RULE", help="Explain a rule (ALL: list them) and exit.")
@options.color_option
@options.shared
def command(  # noqa: PLR0913  (its options)
    *,
    patterns: tuple[str, ...],
    exclude: tuple[str, ...],
    select: tuple[str, ...],
    extend_select: tuple[str, ...],
    ignore: tuple[str, ...],
    fix: bool,
    unsafe_fixes: bool,
    diff: bool,
    form: str,
    output: Path | None,
    statistics: bool,
    strict: bool,
    baseline: Path | None,
    write_baseline: bool,
    explain: str | None,
    config_file: Path | None,
    color: Color,
) -> int:
    """Check notebooks without executing them: format, secrets, code, links, text.

    Nothing is written without --fix. [check] in the configuration selects the rules; code is
    checked with ruff if it is installed.
    """
    if explain:
        from nbpipe.lint.console import explained  # noqa: PLC0415  (slow)

        click.echo(explained(explain))
        return ExitCode.OK
    from nbpipe import collecting  # noqa: PLC0415  (slow)
    from nbpipe.lint import console  # noqa: PLC0415
    from nbpipe.lint.checks import Repairs, check  # noqa: PLC0415
    from nbpipe.lint.selection import adjusted  # noqa: PLC0415
    from nbpipe.reports.terminal import Page, is_colored  # noqa: PLC0415

    config = options.load_config(config_file)
    settings = adjusted(
        config.settings.check,
        select=select,
        extend_select=extend_select,
        ignore=ignore,
        baseline=None if write_baseline else baseline,
    )
    selection = collecting.Selection(cwd=Path.cwd(), patterns=patterns, exclude=exclude)
    chosen = collecting.choose(selection, config)
    notebooks = [(path, file) for path, file in chosen if file.suffix == ".ipynb"]
    repairs = Repairs(unsafe=unsafe_fixes, write=fix and not diff) if fix or diff else None
    checked = check(notebooks, settings, root=config.root, repairs=repairs)
    if write_baseline:
        return _write_baseline(checked, config.root, baseline, config)
    with options.while_read():
        page = Page(sys.stdout, colored=is_colored(sys.stdout, color, os.environ))
        console.write(checked, page, form, output, statistics=statistics)
    failed = checked.findings if strict else checked.errors
    return ExitCode.FAILED if failed or checked.changes else ExitCode.OK


def _write_baseline(checked: Checked, root: Path, file: Path | None, config: Config) -> int:
    from nbpipe.lint import baseline  # noqa: PLC0415  (slow)

    target = file.absolute() if file else root / (config.settings.check.baseline or baseline.NAME)
    number = baseline.write(target, checked.findings)
    click.echo(f"{count(number, 'finding')} written to {plain(str(target))}")
    if not config.settings.check.baseline:
        click.echo(f'Name it in the configuration: [check] baseline = "{target.name}"')
    return ExitCode.OK
