"""`nbpipe reference`: integration notebooks as jobs, and the reference runs of releases."""

from __future__ import annotations

import os
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nbpipe import comparison_reports, reports
from nbpipe.cli import options
from nbpipe.cli.elsewhere import known_profiles
from nbpipe.comparison_reports import KINDS
from nbpipe.errors import ExitCode, NbpipeError, UsageError
from nbpipe.reference import profiles
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.schedulers.unnoted import How
from nbpipe.reference.store import VARIABLE, Store, location
from nbpipe.system.units import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.batch.run_views import View
    from nbpipe.reference.comparison.kept import Kept
    from nbpipe.reference.state import Standing
    from nbpipe.reference.store import StoredRelease, StoredRun

_Stored = TypeVar("_Stored", "StoredRelease", "StoredRun")
_OVERRIDES = profiles.OVERRIDABLE
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
        help=f"Where runs are kept; also {VARIABLE}. All hosts must see it.",
    )
    return options.shared(store(function))


def _store(given: Path | None, config_file: Path | None) -> Store:
    """Return where runs are kept; a configuration that was named must be one."""
    if config_file:
        options.load_config(config_file)
    return Store(location(os.environ, given))


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
    help="Profile with the job's resources.",
)
@click.option("--cores", metavar="N", help="Override the profile's cores, as far as it allows.")
@click.option("--memory", metavar="SIZE", help="Override the profile's memory: 125G.")
@click.option(
    "--memory-per-core", metavar="SIZE", help="Override the profile's memory, by core: 4G."
)
@click.option("--walltime", metavar="TIME", help="Override the profile's walltime: 2:00:00.")
@click.option("--queue", metavar="NAME", help="Override the profile's queue (Slurm: partition).")
@click.option("--account", metavar="NAME", help="Override the profile's account.")
@click.option("--qos", metavar="NAME", help="Override the profile's quality of service.")
@click.option(
    "--constraint", metavar="NAME", help="Override the profile's features of nodes: 'cpu&nvme'."
)
@click.option("--reservation", metavar="NAME", help="Override the profile's reservation.")
@click.option("--nodes", metavar="N", help="Override the profile's number of nodes.")
@click.option("--gpus", metavar="N", help="Override the profile's GPUs per node.")
@options.parameter_options
@click.option("--kernel", metavar="NAME", help="Run it on this kernel.")
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
    """Submit a notebook, with its collection as it is now, as a job."""
    from nbpipe.batch import submission  # noqa: PLC0415  (slow)

    config = options.load_config(config_file)
    profile = known_profiles(config).get(given["profile"])
    wanted = {key: given[key.replace("-", "_")] for key in _OVERRIDES}
    profile = profiles.override(profile, wanted)
    order = submission.Order(
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
@click.argument("run", default="latest")
@_shared
def status(config_file: Path | None, store: Path | None, run: str) -> int:
    """Show how a run's job and its children stand."""
    from nbpipe.batch import run_views  # noqa: PLC0415

    keep = _store(store, config_file)
    view = run_views.look(keep.run(run), search=True)
    click.echo("\n".join([*_lines(view), *_compared(keep, view.run)]))
    return ExitCode.OK


def _compared(keep: Store, run: StoredRun) -> list[str]:
    """Return each verdict that is kept with a run, in a line; none where it has no manifest."""
    from nbpipe.comparison_reports.wording import kept_line  # noqa: PLC0415  (msgspec)

    if not (run.folder / "manifest.json").exists():
        return []
    releases = keep.releases(run.name)
    found = [f"  {kept_line(each)}" for each in _verdicts(run, releases)]
    if not found and releases:
        found = [f"  not compared yet: nbpipe reference compare {run.id}"]
    return found


def _verdicts(run: StoredRun, releases: list[StoredRelease]) -> tuple[Kept, ...]:
    from nbpipe.reference.comparison import kept  # noqa: PLC0415  (msgspec)

    return kept.verdicts(run, releases, datetime.now(UTC).date())


@_subcommand("wait", "wait latest")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@_shared
def wait(config_file: Path | None, store: Path | None, runs: tuple[str, ...]) -> int:
    """Wait for runs to end and report their progress; Ctrl-C leaves the jobs alone.

    Exit code 1 where one of them did not complete.
    """
    from nbpipe.batch import run_views  # noqa: PLC0415

    keep = _store(store, config_file)
    chosen = {run.folder: run for run in (keep.run(each) for each in runs or ("latest",))}
    told: dict[Path, list[str]] = {}

    def tell(view: View) -> None:
        lines, before = _lines(view), told.get(view.run.folder, [])
        if new := [each for each in lines if each not in before]:
            click.echo("\n".join(new))
        told[view.run.folder] = lines

    try:
        ended = run_views.wait(*chosen.values(), told=tell)
    except KeyboardInterrupt:
        ids = " ".join(run.id for run in chosen.values())
        _warn(f"\nnot waiting any more; the job goes on: nbpipe reference wait {ids}")
        return ExitCode.INTERRUPTED
    for view in ended:
        if not view.completed:
            _warn(run_views.log_tail(view.run).rstrip())
        _warn(f"next: nbpipe reference collect {view.run.id}")
    return ExitCode.OK if all(view.completed for view in ended) else ExitCode.FAILED


def _lines(view: View) -> list[str]:
    """Return the run, its job and its children, a line each."""
    from nbpipe.batch.run_views import cell_now  # noqa: PLC0415

    lines = [f"{view.run.name}/{view.run.id}  {_state(view.job.id, view.job)}"]
    if not view.job.standing.state.ended and (cell := cell_now(view.run)):
        lines.append(f"  {cell}")
    lines += _what_to_do(view, view.job.standing, f"job {view.job.id or '?'}")
    for child in view.children:
        lines.append(f"  child {_child(child, view.job.scheduler)}")
        lines += _what_to_do(view, child.standing, f"child {child.id}")
    if view.problem:
        lines.append(f"  no news: {' '.join(view.problem.split())}")
    lines += [f"  note: {remark}" for remark in view.remarks]
    return lines


def _child(view: Any, parents: str) -> str:  # noqa: ANN401  (a JobView)
    """Return how a child stands, with its scheduler if that is another, and how it was found."""
    where = f" on {view.scheduler}" if view.scheduler != parents else ""
    how = f"  [{view.how}]" if view.how != How.NOTED else ""
    return f"{_state(view.id + where, view)}{how}"


def _what_to_do(view: View, standing: Standing, job: str) -> list[str]:
    """Return what a person can do about a job that does not start, or of which nothing is known."""
    if standing.advice and standing.state is JobState.PENDING:
        cancel = f"give it up: nbpipe reference cancel {view.run.id}"
        return [f"  {job} may never start: {standing.advice}; {cancel}"]
    if standing.advice:
        return [f"  {job}: {standing.advice}"]
    if standing.state is JobState.UNKNOWN:
        again = f"ask again: nbpipe reference status {view.run.id}"
        return [f"  {job}: nothing is known of it yet; {again}; its output is in {view.run.folder}"]
    return []


def _state(job: str, view: Any) -> str:  # noqa: ANN401  (a JobView)
    standing = view.standing
    parts = [f"job {job or '?'}", standing.state.value]
    if standing.reason and standing.reason not in {"None", standing.state.value}:
        parts.append(f"({standing.reason})")
    if view.core_hours is not None and standing.state.ended:
        parts.append(f"{view.core_hours:.3f} core-hours")
    return "  ".join(parts)


@_subcommand("collect", "collect latest")
@click.argument("run", default="latest")
@_shared
def collect(config_file: Path | None, store: Path | None, run: str) -> int:
    """Write the manifest of a run that has ended."""
    from nbpipe.batch import collect, run_views  # noqa: PLC0415
    from nbpipe.cli import description_bar  # noqa: PLC0415

    chosen = _store(store, config_file).run(run)
    view = run_views.settle(chosen, told=lambda view: _warn(f"{_late(view)}; waiting for it"))
    with description_bar.shown() as tell:
        made = collect.collect(view, tell)
    total = sum(job.core_hours or 0.0 for job in made.jobs)
    jobs = count(len(made.jobs), "job")
    size = sum(output.bytes for output in made.outputs)
    click.echo(
        f"{chosen.folder / 'manifest.json'}: {count(len(made.outputs), 'output')}, {size:,} bytes, "
        f"{jobs}, {total:.3f} core-hours"
    )
    for line in _children(view):
        _warn(line)
    for doubt in collect.doubts(made, chosen.request.get("outputs", ())):
        _warn(f"warning: {doubt}")
    if view.contradiction:
        _warn(f"warning: job {view.job.id}: {view.contradiction}")
    if view.unaccounted:
        _warn(f"warning: {_late(view)}; core-hours are missing: collect again later")
    return ExitCode.OK if view.completed else ExitCode.FAILED


def _children(view: View) -> list[str]:
    """Return how the child jobs were found, and what no scheduler could have told."""
    ways = Counter(child.how for child in view.children)
    found = ", ".join(f"{number} {how}" for how, number in ways.items())
    lines = [f"{count(len(view.children), 'child job')}: {found}"] if view.children else []
    return [*lines, *(f"note: {limit}" for limit in view.limits)]


def _late(view: View) -> str:
    if view.resultless:
        return "the job completed, and its result.json is not here yet"
    why = f" ({view.problem})" if view.problem else ""
    return f"the accounting does not know the end of job {', '.join(view.unaccounted)} yet{why}"


@_subcommand("compare", "compare latest --against 1.0 --report html=page")
@click.argument("run", default="latest")
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
@click.argument("run", default="latest")
@click.option("--release", required=True, metavar="R", help="Name of the release.")
@click.option("--reason", required=True, metavar="TEXT", help="Reason, kept with the reference.")
@_shared
def promote(
    config_file: Path | None,
    store: Path | None,
    run: str,
    **given: str,
) -> int:
    """Make a collected run the reference of a release; it never changes afterwards."""
    from nbpipe.batch import collect, promotion  # noqa: PLC0415

    keep = _store(store, config_file)
    chosen = keep.run(run)
    for doubt in collect.doubts(chosen.manifest(), chosen.request.get("outputs", ())):
        _warn(f"warning: {doubt}")
    made = promotion.promote(keep, chosen, **given)
    click.echo(f"{made.name} {made.release}: {made.folder}")
    return ExitCode.OK


@_subcommand("verify", "verify minitest/1.0")
@click.argument("release", required=False, metavar="[NAME[/RELEASE]]")
@_shared
def verify(config_file: Path | None, store: Path | None, release: str | None) -> int:
    """Check every file of releases against the digests of their manifests.

    Exit code 1 where a file is missing, has other content, or does not belong to the release.
    """
    from nbpipe.batch import promotion  # noqa: PLC0415

    keep = _store(store, config_file)
    name, _, wanted = (release or "").partition("/")
    found = [each for each in keep.releases(name or None) if wanted in {"", each.release}]
    if not found:
        raise UsageError(
            f"{keep.root}: release not found: {release}"
            if release
            else f"{keep.root}: no releases",
            hint="`nbpipe reference list` shows releases and runs.",
        )
    failed = False
    for each in found:
        problems = promotion.verify(each)
        failed = failed or bool(problems)
        data = "" if each.files else ", without its data"
        label = f"{each.name} {each.release} (revision {each.revision}{data})"
        click.echo(f"{'WRONG' if problems else 'ok':5}  {label}")
        for problem in problems:
            click.echo(f"       {problem}")
    return ExitCode.FAILED if failed else ExitCode.OK


@_subcommand("export", "export minitest/1.0 --to minitest-1.0.zip --creator 'Doe, Jane'")
@click.argument("release", metavar="NAME/RELEASE")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), metavar="FILE.zip")
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
    """Write a release as a zip archive with an RO-Crate and metadata for Zenodo."""
    from nbpipe.reference import crate  # noqa: PLC0415

    keep = _store(store, config_file)
    name, _, wanted = release.partition("/")
    found = keep.release(name, wanted) if wanted else None
    if found is None:
        raise UsageError(
            f"{keep.root}: release not found: {release}",
            hint="Name it as NAME/RELEASE; `nbpipe reference list` shows them.",
        )
    about = crate.About(title=given["title"], creators=given["creator"], license=given["licence"])
    size = crate.export(found, target, about, data=not given["without_data"])
    click.echo(f"{target}: {size:,} bytes")
    return ExitCode.OK


@_subcommand("accept", "accept latest --only 'qa/*.png' --reason 'new colour map'")
@click.argument("run", default="latest")
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
    """Take a run's outputs as the reference's from now on; recorded with the reason."""
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
    keep = _store(store, config_file)
    releases, runs = keep.releases(name), keep.runs(name)
    for release in releases:
        click.echo(_line("release", release, _release_line))
    by_name: dict[str, list[StoredRelease]] = {}
    for release in releases:
        by_name.setdefault(release.name, []).append(release)
    for run in runs:
        known = by_name.get(run.name, [])
        click.echo(_line("run    ", run, partial(_run_line, releases=known)))
    if not releases and not runs:
        _warn(f"{keep.root}: nothing {f'of {name} ' if name else ''}yet")
    return ExitCode.OK


def _line(kind: str, stored: _Stored, describe: Callable[[_Stored], str]) -> str:
    """Return a line about a run or a release; one that cannot be read does not hide the others."""
    try:
        return describe(stored)
    except NbpipeError as error:
        return f"{kind}  {stored.folder}: cannot be shown: {error.args[0]}"


def _release_line(release: StoredRelease) -> str:
    manifest = release.manifest()
    revision = f" (revision {release.revision})" if release.revision > 1 else ""
    who = f"{release.name}  {release.release}{revision}"
    return f"release  {who}  run {manifest.run}  {manifest.reason}"


def _run_line(run: StoredRun, releases: list[StoredRelease]) -> str:
    request = run.request
    job = run.read("submission.json").get("job") or ""
    state = run.read("standing.json").get(job, {}).get("state", "submitted")
    collected = "  collected" if (run.folder / "manifest.json").exists() else ""
    label = request.get("profile", {}).get("label", "")
    told = ", ".join(f"{each.against}: {each.told}" for each in _verdicts(run, releases))
    if not told and collected and releases:
        told = "not compared yet"
    head = f"run      {run.name}  {request.get('release', '?')}  {run.id}  {state}{collected}"
    return f"{head}  {label}  {told}".rstrip()


@_subcommand("show", "show latest")
@click.argument("run", default="latest")
@_shared
def show(config_file: Path | None, store: Path | None, run: str) -> int:
    """Show the manifest of a run, or of a release (NAME/RELEASE).

    Of a run, `comparisons` holds the verdicts that are kept with it.
    """
    from nbpipe.reference import manifest as manifests  # noqa: PLC0415

    keep = _store(store, config_file)
    name, _, release = run.rpartition("/")
    found = keep.release(name, release) if name else None
    if found is not None:
        text = manifests.encode(found.manifest()).decode()
    else:
        chosen = keep.run(run)
        verdicts = _verdicts(chosen, keep.releases(chosen.name))
        text = _with_verdicts(manifests.encode(chosen.manifest()), verdicts)
    with options.while_read():
        sys.stdout.write(text)
        sys.stdout.flush()
    return ExitCode.OK


def _with_verdicts(manifest: bytes, verdicts: tuple[Kept, ...]) -> str:
    """Return a manifest's JSON with the verdicts that are kept beside it."""
    import json  # noqa: PLC0415
    from dataclasses import asdict  # noqa: PLC0415

    document = json.loads(manifest)
    document["comparisons"] = [asdict(each) for each in verdicts]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


@_subcommand("cancel", "cancel latest")
@click.argument("run", default="latest")
@_shared
def cancel(config_file: Path | None, store: Path | None, run: str) -> int:
    """Cancel a run's job and its children."""
    from nbpipe.batch import run_views  # noqa: PLC0415

    click.echo("\n".join(_lines(run_views.cancel(_store(store, config_file).run(run)))))
    return ExitCode.OK


def _warn(text: str) -> None:
    click.echo(text, err=True)
