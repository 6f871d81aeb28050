"""`nbpipe reference`: integration notebooks as jobs, and the reference runs of releases."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbpipe import comparison_reports, reports
from nbpipe.cli import completion, options
from nbpipe.comparison_reports import KINDS
from nbpipe.errors import ExitCode, UsageError
from nbpipe.reference import profiles
from nbpipe.reference.store import VARIABLE, Store, location

if TYPE_CHECKING:
    from collections.abc import Callable

_OVERRIDES = {
    "cores": ("N", "cores, as far as it allows"),
    "memory": ("SIZE", "memory: 125G"),
    "memory-per-core": ("SIZE", "memory per core: 4G"),
    "walltime": ("TIME", "walltime: 2:00:00"),
    "queue": ("NAME", "queue (Slurm: partition)"),
    "account": ("NAME", "account"),
    "qos": ("NAME", "quality of service"),
    "constraint": ("NAME", "required node features: 'cpu&nvme'"),
    "reservation": ("NAME", "reservation"),
    "nodes": ("N", "number of nodes"),
    "gpus": ("N", "GPUs per node"),
}
"""The options for `profiles.OVERRIDABLE`: what is in their places, and what they override."""
_REPORTS = [kind for kind in KINDS if kind != "console"]


@click.group(
    name="reference",
    epilog="""\b
Examples:
  nbpipe reference submit minitest.ipynb --name minitest --release 1.0 --profile parallel
  nbpipe reference wait latest && nbpipe reference collect latest
  nbpipe reference promote latest --release 1.0 --reason "first release"
  nbpipe reference compare latest --against 1.0""",
)
def command() -> None:
    """Run an integration notebook as a job; keep it as a release's reference; compare with it.

    RUN is a run's id, the beginning of it, or `latest`; NAME/latest where there are several.
    """


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command here."""
    store = click.option(
        "--store",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=f"Folder of runs and releases; also {VARIABLE}. All hosts must see it.",
    )
    return options.shared(store(function))


def _store(given: Path | None, config_file: Path | None) -> Store:
    """Return where runs are kept; a configuration that was named must be one."""
    if config_file:
        options.load_config(config_file)
    return Store(location(os.environ, given))


def _override_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each key of a profile that may be overridden."""
    for key, (metavar, what) in reversed(_OVERRIDES.items()):
        text = f"Override the profile's {what}."
        function = click.option(f"--{key}", metavar=metavar, help=text)(function)
    return function


def _subcommand(name: str, example: str) -> Callable[..., Any]:
    return command.command(name=name, epilog=f"Example: nbpipe reference {example}")


@_subcommand("submit", "submit minitest.ipynb --name minitest --release 1.0 --profile parallel")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option(
    "--name", required=True, metavar="NAME", help="Name of the reference: [reference.NAME]."
)
@click.option("--release", required=True, metavar="R", help="Release that the run is for.")
@click.option(
    "--profile",
    default="local",
    show_default=True,
    metavar="P",
    shell_complete=completion.profiles,
    help="Profile with the job's resources.",
)
@_override_options
@options.parameter_options
@click.option(
    "--kernel",
    metavar="NAME",
    help="Run the notebook on this kernel.",
    shell_complete=completion.kernels,
)
@click.option(
    "--outputs",
    multiple=True,
    metavar="GLOB",
    help="Data products of the run, also as an absolute path or ROOT:GLOB; repeatable.",
)
@click.option(
    "--root",
    multiple=True,
    metavar="NAME=DIR",
    help="Folder outside of the collection for products; repeatable.",
)
@click.option(
    "--variable",
    multiple=True,
    metavar="NAME=VALUE",
    help="Variable of the job's environment, kept with the run; repeatable.",
)
@click.option(
    "--children",
    type=click.Choice(["wait", "ignore", "fail"]),
    default="wait",
    show_default=True,
    help="Jobs that the notebook submits: wait for them, ignore them, or fail if one fails.",
)
@_shared
def submit(config_file: Path | None, store: Path | None, **given: Any) -> int:  # noqa: ANN401
    """Submit a notebook as a job, with its collection as it is now."""
    from nbpipe.batch import submission  # noqa: PLC0415  (slow)

    config = options.load_config(config_file)
    profile = profiles.known(config).get(given["profile"])
    wanted = {key: given[key.replace("-", "_")] for key in profiles.OVERRIDABLE}
    profile = profiles.override(profile, wanted)
    order = submission.JobOrder(
        notebook=_notebook(given["notebook"]),
        name=given["name"],
        release=given["release"],
        profile=profile,
        parameters=options.parameters(given),
        settings={"kernel": given["kernel"]} if given["kernel"] else {},
        outputs=given["outputs"],
        children=given["children"],
        roots=_pairs(given["root"], "--root"),
        variables=_pairs(given["variable"], "--variable"),
    )
    run = submission.submit(order, config, _store(store, None), say=_warn)
    job = run.read("submission.json").get("job")
    click.echo(f"{run.id}  job {job}  {profile.label}")
    _warn(f"folder: {run.folder}")
    _warn(f"next:   nbpipe reference wait {run.id}")
    return ExitCode.OK


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """Return what `NAME=VALUE` says, the last one of a name."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"{option} {text}: is not NAME=VALUE", hint=f"Write {option} NAME=…")
        found[name] = value
    return found


def _notebook(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"{path}: notebook not found", hint="Name an existing file.")
    return path.resolve()


@_subcommand("status", "status latest")
@click.argument("run", default="latest", shell_complete=completion.reference_runs)
@_shared
def status(config_file: Path | None, store: Path | None, run: str) -> int:
    """Show the state of a run's job and of its child jobs."""
    from nbpipe.batch import run_views, status_lines  # noqa: PLC0415
    from nbpipe.comparison_reports import store_lines  # noqa: PLC0415

    keep = _store(store, config_file)
    view = run_views.look(keep.run(run), search=True)
    _say(*status_lines.status(view), *store_lines.compared(keep, view.run))
    return ExitCode.OK


@_subcommand("wait", "wait latest")
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completion.reference_runs)
@_shared
def wait(config_file: Path | None, store: Path | None, runs: tuple[str, ...]) -> int:
    """Wait for runs to end and report their progress.

    Ctrl-C ends the waiting, not the jobs. Exit code 1: one of them did not complete.
    """
    from nbpipe.batch import run_views, status_lines  # noqa: PLC0415

    keep = _store(store, config_file)
    chosen = {run.folder: run for run in (keep.run(each) for each in runs or ("latest",))}
    news = status_lines.News()
    try:
        ended = run_views.wait(*chosen.values(), told=lambda view: _say(*news.of(view)))
    except KeyboardInterrupt:
        ids = " ".join(run.id for run in chosen.values())
        _warn(f"\nnot waiting any more; the job goes on: nbpipe reference wait {ids}")
        return ExitCode.INTERRUPTED
    for view in ended:
        if not view.completed:
            _warn(run_views.log_tail(view.run).rstrip())
        _warn(f"next: nbpipe reference collect {view.run.id}")
    return ExitCode.OK if all(view.completed for view in ended) else ExitCode.FAILED


@_subcommand("collect", "collect latest")
@click.argument("run", default="latest", shell_complete=completion.reference_runs)
@_shared
def collect(config_file: Path | None, store: Path | None, run: str) -> int:
    """Write the manifest of a run that has ended."""
    from nbpipe.batch import collect, run_views, status_lines  # noqa: PLC0415
    from nbpipe.reference.products import progress_bar  # noqa: PLC0415

    chosen = _store(store, config_file).run(run)
    view = run_views.settle(
        chosen, told=lambda view: _warn(f"{status_lines.late(view)}; waiting for it")
    )
    with progress_bar.shown() as tell:
        made = collect.collect(view, tell)
    _say(status_lines.collected(made, view))
    _warn(*status_lines.children(view))
    doubts = collect.doubts(made, chosen.request.get("outputs", ()))
    _warn(*(f"warning: {each}" for each in (*doubts, *status_lines.warnings(view))))
    return ExitCode.OK if view.completed else ExitCode.FAILED


@_subcommand("compare", "compare latest --against 1.0 --report html=page")
@click.argument("run", default="latest", shell_complete=completion.reference_runs)
@click.option(
    "--against",
    metavar="RELEASE|RUN",
    help="Release or run to compare with (default: the newest release).",
)
@click.option(
    "--report", multiple=True, metavar="KIND=PATH", help=f"Also write: {', '.join(_REPORTS)}."
)
@options.color_option
@_shared
def compare(config_file: Path | None, store: Path | None, run: str, **given: Any) -> int:  # noqa: ANN401
    """Compare a run with a release or another run.

    Exit code 0: the same, or within tolerance; 1: different, or not comparable.

    The verdict is kept with the run, and shown by list, status, show and the service's pages.
    """
    from nbpipe.batch import promotion  # noqa: PLC0415
    from nbpipe.comparison_reports.console import ConsoleReporter  # noqa: PLC0415
    from nbpipe.reference.comparison import kept  # noqa: PLC0415

    config = options.load_config(config_file)
    keep = _store(store, None)
    chosen = keep.run(run)
    wanted = [reports.parse(text, kinds=KINDS, output_dir=None) for text in given["report"]]
    asked = [(each, comparison_reports.reporter(each)) for each in wanted]
    for request, how in asked:
        reports.check(request, how)
    reports.check_apart(wanted)
    against = promotion.reference(keep, chosen, given["against"])
    found = promotion.judge(keep, against, chosen, config, now=datetime.now(UTC))
    try:
        kept.keep(chosen, found)
    except OSError as error:
        _warn(f"warning: {chosen.folder}: the verdict was not kept there: {error.strerror}")
    screen = sys.stderr if any(each.path is None for each in wanted) else sys.stdout
    page = ConsoleReporter(color=given["color"], environ=os.environ)
    with options.while_read():
        reports.write(page, found, None, stdout=screen)
    for request, how in asked:
        with options.while_read():
            reports.write(how, found, request.path, stdout=sys.stdout)
    return found.exit_code


@_subcommand("promote", 'promote latest --release 1.0 --reason "release of 2026-01"')
@click.argument("run", default="latest", shell_complete=completion.reference_runs)
@click.option("--release", required=True, metavar="R", help="Name of the release.")
@click.option("--reason", required=True, metavar="TEXT", help="Reason, kept with the reference.")
@_shared
def promote(
    config_file: Path | None,
    store: Path | None,
    run: str,
    **given: str,
) -> int:
    """Make a collected run the permanent reference of a release."""
    from nbpipe.batch import collect, promotion  # noqa: PLC0415

    keep = _store(store, config_file)
    chosen = keep.run(run)
    doubts = collect.doubts(chosen.manifest(), chosen.request.get("outputs", ()))
    _warn(*(f"warning: {each}" for each in doubts))
    made = promotion.promote(keep, chosen, **given)
    click.echo(f"{made.name} {made.release}: {made.folder}")
    return ExitCode.OK


@_subcommand("verify", "verify minitest/1.0")
@click.argument("release", required=False, metavar="[NAME[/RELEASE]]")
@_shared
def verify(config_file: Path | None, store: Path | None, release: str | None) -> int:
    """Check every file of releases against their manifests.

    Exit code 1: a file is missing, has other content, or does not belong to the release.
    """
    from nbpipe.batch import promotion  # noqa: PLC0415

    failed = False
    for each in _store(store, config_file).chosen(release):
        problems = promotion.verify(each)
        failed = failed or bool(problems)
        _say(f"{'WRONG' if problems else 'ok':5}  {each.label}")
        _say(*(f"       {problem}" for problem in problems))
    return ExitCode.FAILED if failed else ExitCode.OK


@_subcommand("export", "export minitest/1.0 --to minitest-1.0.zip --creator 'Doe, Jane'")
@click.argument("release", metavar="NAME/RELEASE")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.zip",
    help="Archive to write.",
)
@click.option("--title", default="", metavar="TEXT", help="Title of the deposit.")
@click.option("--creator", multiple=True, metavar="NAME", help="`Family, Given`; repeatable.")
@click.option("--license", "licence", default="", metavar="ID", help="SPDX identifier: CC-BY-4.0.")
@click.option("--without-data", is_flag=True, help="Leave the data products out.")
@_shared
def export(
    config_file: Path | None,
    store: Path | None,
    release: str,
    target: Path,
    **given: Any,  # noqa: ANN401
) -> int:
    """Write a release as a zip archive with RO-Crate, for Zenodo."""
    from nbpipe.reference import crate  # noqa: PLC0415

    found = _store(store, config_file).named(release)
    about = crate.About(title=given["title"], creators=given["creator"], license=given["licence"])
    size = crate.export(found, target, about, data=not given["without_data"])
    click.echo(f"{target}: {size:,} bytes")
    return ExitCode.OK


@_subcommand("accept", "accept latest --only 'qa/*.png' --reason 'new colour map'")
@click.argument("run", default="latest", shell_complete=completion.reference_runs)
@click.option(
    "--only", multiple=True, required=True, metavar="GLOB", help="Outputs to accept; repeatable."
)
@click.option("--release", metavar="R", help="Release to update (default: the newest).")
@click.option("--reason", required=True, metavar="TEXT", help="Reason, kept with the reference.")
@_shared
def accept(
    config_file: Path | None,
    store: Path | None,
    run: str,
    **given: Any,  # noqa: ANN401
) -> int:
    """Accept a run's outputs as the reference's, with the reason."""
    from nbpipe.batch import promotion  # noqa: PLC0415

    keep = _store(store, config_file)
    made = promotion.accept(keep, keep.run(run), **given)
    click.echo(f"{made.name} {made.release}, revision {made.revision}: {made.folder}")
    return ExitCode.OK


@_subcommand("list", "list minitest")
@click.argument("name", required=False)
@_shared
def list_(config_file: Path | None, store: Path | None, name: str | None) -> int:
    """List releases and runs."""
    from nbpipe.comparison_reports import store_lines  # noqa: PLC0415  (msgspec)

    keep = _store(store, config_file)
    lines = store_lines.listing(keep, name)
    _say(*lines)
    if not lines:
        _warn(f"{keep.root}: nothing {f'of {name} ' if name else ''}yet")
    return ExitCode.OK


@_subcommand("show", "show latest")
@click.argument("run", default="latest", shell_complete=completion.reference_runs)
@_shared
def show(config_file: Path | None, store: Path | None, run: str) -> int:
    """Show the manifest of a run, or of a release (NAME/RELEASE).

    Of a run, `comparisons` holds the verdicts that are kept with it.
    """
    from nbpipe.comparison_reports import store_lines  # noqa: PLC0415

    text = store_lines.document(_store(store, config_file), run)
    with options.while_read():
        sys.stdout.write(text)
        sys.stdout.flush()
    return ExitCode.OK


@_subcommand("cancel", "cancel latest")
@click.argument("run", default="latest", shell_complete=completion.reference_runs)
@_shared
def cancel(config_file: Path | None, store: Path | None, run: str) -> int:
    """Cancel a run's job and its child jobs."""
    from nbpipe.batch import run_views, status_lines  # noqa: PLC0415

    _say(*status_lines.status(run_views.cancel(_store(store, config_file).run(run))))
    return ExitCode.OK


def _say(*lines: str) -> None:
    for line in lines:
        click.echo(line)


def _warn(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)
