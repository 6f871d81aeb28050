"""A run that has ended -> its manifest: what ran, where, how long, and what it left."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nbpipe.batch import children
from nbpipe.batch.children import Member
from nbpipe.batch.inventory import fresh, inventory, is_byproduct, symbolic
from nbpipe.errors import UsageError
from nbpipe.reference import manifest as manifests
from nbpipe.reference.errors import IncompleteRun
from nbpipe.reference.manifest import Cell, Job, Manifest, Notebook, Output, Source
from nbpipe.reference.products.description import describe_all
from nbpipe.reference.products.directories import directories, members
from nbpipe.reference.products.parallel import nobody
from nbpipe.reference.roots import lacking
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.store import unwritable
from nbpipe.system.wildmatch import spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nbpipe.batch.run_views import JobView, View
    from nbpipe.reference.products.parallel import Described
    from nbpipe.reference.schedulers.unnoted import Step
    from nbpipe.reference.store import StoredRun

_INJECTED = {"injected-prerun", "injected-parameters"}
_TITLE = 80
_NAMED = 5
"""Files that a remark names."""
_KEPT_VARIABLES = ("host", "platform", "python")


def collect(view: View, tell: Callable[[Described], None] = nobody) -> Manifest:
    """Write the manifest of a run into its folder, and return it.

    Args:
        view: The run.
        tell: Called for every product that has been described.

    Raises:
        UsageError: It has not ended, nothing is known of it, it is damaged, or cannot be written.
        IncompleteRun: It completed, and its own result is not here, or one of its roots is not.
    """
    run = view.run
    if not view.ended:
        raise UsageError(
            f"run {run.id} of {run.name} has not ended: {view.job.standing.state}",
            hint=f"nbpipe reference wait {run.id}",
        )
    if view.resultless:
        raise IncompleteRun(
            f"run {run.id} of {run.name} completed, and its result.json is not here: a manifest "
            "without cells and packages was not written",
            hint=f"Its file server may be late: nbpipe reference collect {run.id}",
        )
    if (why := lacking(run.request.get("roots", {}))) is not None:
        raise IncompleteRun(
            f"run {run.id} of {run.name}: {why}: a manifest without its products was not written",
            hint="Collect on a host that sees it; where it is gone for ever, make it again, empty.",
        )
    made = gathered(view, tell)
    file = run.folder / "manifest.json"
    try:
        manifests.write(made, file)
    except OSError as error:
        raise unwritable(file, error) from error
    return made


def gathered(view: View, tell: Callable[[Described], None] = nobody) -> Manifest:
    """Return the manifest of a run as it stands."""
    run = view.run
    request, result = run.request, run.read("result.json")
    notebook = _notebook(result)
    executed = _relative(run, notebook.get("executed"))
    system = view.job.records[-1].hosts if view.job.records else ""
    outputs, of_outputs = _outputs(run, request, tell)
    jobs, remarks = _jobs(view, result)
    return Manifest(
        name=run.name,
        run=run.id,
        release=request.get("release"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notebook=Notebook(
            path=request["notebook"], sha256=request["sha256"], executed=executed, log="job.out"
        ),
        parameters=dict(request.get("parameters", {})),
        commit=request.get("commit"),
        packages=dict(result.get("packages", {})),
        host=str(result.get("host", system)),
        system=_system(request),
        environment={key: str(result[key]) for key in _KEPT_VARIABLES if key in result},
        jobs=jobs,
        cells=_cells(run, executed, result.get("cells", [])),
        outputs=outputs,
        roots=dict(request.get("roots", {})),
        variables=dict(request.get("variables", {})),
        source=Source(
            changed=tuple(request.get("changed", ())),
            submodules=dict(request.get("submodules", {})),
            left_out=tuple(request.get("left_out", ())),
        ),
        notes=(*_lacks(run, result, executed), *view.remarks, *remarks, *of_outputs),
        unseen=view.limits,
    )


def _lacks(run: StoredRun, result: dict[str, Any], executed: str | None) -> Iterator[str]:
    """Yield what the manifest of an ended run does not have, and why."""
    if not run.request.get("commit"):
        yield "the collection is in no git repository: its commit is not known"
    if not (run.folder / "job.out").exists():
        yield "the job's log is missing"
    if not result:
        yield "the job left no result.json: its cells, packages and host are not known"
    elif executed is None:
        yield "the executed copy of the notebook is missing"


def doubts(manifest: Manifest, patterns: Sequence[str]) -> Iterator[str]:
    """Yield what looks wrong with a run's products, for whoever is about to promote it."""
    for output in manifest.outputs:
        if output.error:
            yield f"{output.path}: {output.error}"
        elif output.bytes == 0 and output.kind not in {manifests.LINK, "zarr", "casa"}:
            yield f"{output.path}: is empty"
    for pattern in patterns:
        if not pattern.startswith("!"):
            chosen = spec([pattern])
            if not any(chosen.match_file(each.path) for each in manifest.outputs):
                root = pattern.lstrip("/").partition("/")[0]
                where = f" ({root}: {manifest.roots[root]})" if root in manifest.roots else ""
                yield f"no output matches {pattern!r}{where}"
    if not manifest.outputs and not patterns:
        yield "the run left no products"
    yield from manifest.notes


def _notebook(result: dict[str, Any]) -> dict[str, Any]:
    notebooks = result.get("report", {}).get("notebooks", [])
    return dict(notebooks[0]) if notebooks else {}


def _relative(run: StoredRun, executed: str | None) -> str | None:
    name = f"executed/{executed}" if executed else None
    return name if name and (run.folder / name).is_file() else None


def _system(request: dict[str, Any]) -> str:
    """Return where performance can be compared: the same profile of the same scheduler."""
    profile = request.get("profile", {})
    return f"{profile.get('scheduler', 'local')}:{profile.get('name', '')}"


def _jobs(view: View, result: dict[str, Any]) -> tuple[tuple[Job, ...], tuple[str, ...]]:
    """Return the jobs of a run, its own first, and what there is to remark about them."""
    views = [each for each in (view.job, *view.children) if each.id]
    members = [Member(id=each.id, scheduler=each.scheduler, how=each.how) for each in views]
    steps, remarks = children.steps(view.run.folder, members)
    jobs = tuple(
        _job(
            each,
            tuple(
                child.id
                for child in view.children
                if child.parent and child.parent.identity == member.identity
            ),
            steps.get(member.identity, ()),
            result if each is view.job else {},
        )
        for each, member in zip(views, members, strict=True)
    )
    return jobs, remarks


def _job(
    view: JobView, below: tuple[str, ...], steps: Sequence[Step], result: dict[str, Any]
) -> Job:
    last = view.records[-1] if view.accounted else None
    first = view.records[0] if view.records else None
    waited = None
    if first and first.submitted and first.started:
        waited = max(0.0, (first.started - first.submitted).total_seconds())
    peaks = [each.peak_memory for each in view.records if each.peak_memory]
    return Job(
        id=view.id,
        scheduler=view.scheduler,
        found=view.how,
        parent=view.parent.id if view.parent else None,
        state=view.standing.state.value,
        exit=view.standing.exit_code,
        wall_seconds=last.elapsed if last else result.get("elapsed"),
        queue_seconds=waited,
        core_hours=view.core_hours,
        cpu_seconds=last.cpu_seconds if last else None,
        peak_memory_bytes=max(peaks, default=None) or result.get("peak_memory_bytes"),
        children=below,
        steps=tuple(_step(each) for each in steps),
    )


def _step(step: Step) -> manifests.Step:
    known = step.state is not JobState.UNKNOWN
    return manifests.Step(
        id=step.id,
        name=step.name,
        state=step.state.value if known else "",
        exit=step.exit,
        seconds=step.seconds if known else None,
        cores=step.cores or None,
        call=step.call,
    )


def _cells(
    run: StoredRun, executed: str | None, timed: Sequence[dict[str, Any]]
) -> tuple[Cell, ...]:
    """Return the seconds of each cell of the source; those of injected cells are left out."""
    import nbformat  # noqa: PLC0415  (slow)

    if executed is None:
        return ()
    notebook = nbformat.read(run.folder / executed, as_version=4)
    places: list[tuple[int, str] | None] = []
    injected = 0
    for number, cell in enumerate(notebook.cells):
        own = not _INJECTED & set(cell.metadata.get("tags", ()))
        injected += not own
        if cell.cell_type == "code" and cell.source.strip():
            places.append((number - injected, cell.source) if own else None)
    found = []
    for each in timed:
        place = places[each["number"] - 1] if 0 < each["number"] <= len(places) else None
        if place is not None:
            title = place[1].strip().splitlines()[0][:_TITLE]
            found.append(Cell(index=place[0], seconds=each["seconds"], title=title))
    return tuple(found)


def _outputs(
    run: StoredRun, request: dict[str, Any], tell: Callable[[Described], None]
) -> tuple[tuple[Output, ...], list[str]]:
    """Return what the run left, and what a reader of it should know.

    That is what is new or changed since its job began, of which the patterns choose.
    """
    if not (run.folder / "inputs.json").exists():
        return (), ["the notebook was not started: there are no products"]
    unread: list[OSError] = []
    roots, patterns = request.get("roots", {}), request.get("outputs", ())
    store = run.folder.parents[2]
    before = run.read("inputs.json")
    now = inventory(run.work, roots, store=store, unread=unread.append)
    new = fresh(before, now)
    chosen = spec(patterns).match_files(now) if patterns else now
    every = {each for each in chosen if patterns or not is_byproduct(each)}
    paths = _with_their_folders(every, new)
    old = sorted(each for each in every - paths if each.partition("/")[0] not in roots)
    remarks = _unchanged(old if patterns else ())
    remarks += [f"{each.filename}: cannot be read: {each.strerror}" for each in unread]
    found = describe_all(run.work, paths, tell)
    return tuple(_named_by_root(run, roots, each) for each in found), remarks


def _with_their_folders(every: set[str], new: set[str]) -> set[str]:
    """Return what is new, with all of a folder that is one product and in which something is."""
    owners = members(sorted(every), directories(sorted(every)))
    written = {owners[path] for path in new & owners.keys()}
    return {path for path in every if path in new or owners.get(path) in written}


def _unchanged(paths: Sequence[str]) -> list[str]:
    """Return a remark about files that would be products, had the run written them."""
    if not paths:
        return []
    named = ", ".join(paths[:_NAMED])
    more = ", …" if len(paths) > _NAMED else ""
    return [f"not a product, as the run did not write it: {named}{more}"]


def _named_by_root(run: StoredRun, roots: dict[str, str], made: Output) -> Output:
    """Return an output with its link told by the names of roots."""
    if made.link is None:
        return made
    path = made.path
    link = symbolic(run.work, roots, path)
    inside = link is not None and not link.startswith(("/", ".."))
    if made.kind == manifests.SPECIAL and inside and os.path.isdir(run.work / path):  # noqa: PTH112
        return replace(made, link=link, kind=manifests.LINK, error=None)
    return replace(made, link=link)
