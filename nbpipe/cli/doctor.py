"""`nbpipe doctor`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbpipe.cli import completion, options
from nbpipe.errors import ExitCode
from nbpipe.reports.terminal import Page, is_colored

if TYPE_CHECKING:
    from nbpipe.reports.terminal import Color


@click.command(
    name="doctor",
    epilog="""\b
Examples:
  nbpipe doctor                          what the notebooks below this folder would miss
  nbpipe doctor 03_ScienceExamples       those of one folder
  nbpipe doctor --json > doctor.json     the same, for programs

Exit code 0: everything is there; 1: something is missing.""",
)
@click.argument("patterns", nargs=-1, metavar="[PATTERN…]", shell_complete=completion.paths)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@options.color_option
@options.shared
def command(
    *, patterns: tuple[str, ...], config_file: Path | None, as_json: bool, color: Color
) -> int:
    """Check kernels, packages, schedulers, secrets; say what is missing and how to get it.

    The notebooks are chosen as by `nbpipe test`. Their imports are read, and each kernel's own
    interpreter is asked for them; no notebook is executed and nothing is imported.
    """
    from nbpipe import checkup, collecting  # noqa: PLC0415  (slow)
    from nbpipe.checkup import report  # noqa: PLC0415

    config = options.load_config(config_file)
    selection = collecting.Selection(cwd=Path.cwd(), patterns=patterns)
    result = checkup.examine(selection, config, environ=os.environ)
    page = Page(sys.stdout, colored=is_colored(sys.stdout, color, os.environ) and not as_json)
    with options.while_read():
        if as_json:
            page.line(json.dumps(report.document(result), indent=2))
        else:
            report.show(result, page)
        page.flush()
    return ExitCode.OK if result.is_ready else ExitCode.FAILED
