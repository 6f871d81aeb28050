"""A run that has ended -> its manifest: what ran, where, how long, and what it left."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pathspec

from nbpipe.batch.job import inventory
from nbpipe.errors import UsageError
from nbpipe.reference import manifest as manifests
from nbpipe.reference.errors import IncompleteRun
from nbpipe.reference.manifest import Cell, Job, Manifest, Notebook, Output, Source
from nbpipe.reference.products import describe_outputs
from nbpipe.reference.products.describing import describe_all
from nbpipe.reference.products.directories import METADATA
from nbpipe.reference.products.parallel import nobody
from nbpipe.wildmatch import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nbpipe.batch.following import JobView, View
    from nbpipe.reference.products.parallel import Progress
    from nbpipe.reference.store import StoredRun

_INJECTED = {"injected-prerun", "injected-parameters"}
_TITLE = 80
_KEPT_VARIABLES = ("host", "platform", "python")


def collect(view: View, tell: Callable[[Progress], None] = nobody) -> Manifest:
    """Write the manifest of a run into its folder, and return it.

    Args:
        view: The run.
        tell: Called for every product that has been described.

    Raises:
        UsageError: It has not ended, nothing is known of it, or it is damaged.
        IncompleteRun: It completed, and its own result is not here.
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
    made = gathered(view, tell)
    manifests.write(made, run.folder / "manifest.json")
    return made


def gathered(view: View, tell: Callable[[Progress], None] = nobody) -> Manifest:
    """Return the manifest of a run as it stands."""
    run = view.run
    request, result = run.request, run.read("result.json")
    notebook = _notebook(result)
    executed = _relative(run, notebook.get("executed"))
    system = view.job.records[-1].hosts if view.job.records else ""
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
        jobs=_jobs(view, result),
        cells=_cells(run, executed, result.get("cells", [])),
        outputs=_outputs(run, request["outputs"], tell),
        source=Source(
            changed=tuple(request.get("changed", ())),
            submodules=dict(request.get("submodules", {})),
            left_out=tuple(request.get("left_out", ())),
        ),
        notes=tuple(_lacks(result, executed)),
    )


def _lacks(result: dict[str, Any], executed: str | None) -> Iterator[str]:
    """Yield what the manifest of an ended run does not have, and why."""
    if not result:
        yield "the job left no result.json: its cells, packages and host are not known"
    elif executed is None:
        yield "the executed copy of the notebook is missing"


def doubts(manifest: Manifest, patterns: Sequence[str]) -> Iterator[str]:
    """Yield what looks wrong with a run's products, for whoever is about to promote it."""
    for output in manifest.outputs:
        if output.error:
            yield f"{output.path}: {output.error}"
        elif output.bytes == 0 and output.kind not in {"zarr", "casa"}:
            yield f"{output.path}: is empty"
    for pattern in patterns:
        if not pattern.startswith("!"):
            spec = pathspec.GitIgnoreSpec.from_lines([pattern], pattern_factory=compiled)
            if not any(spec.match_file(each.path) for each in manifest.outputs):
                yield f"no output matches {pattern!r}"
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


def _jobs(view: View, result: dict[str, Any]) -> tuple[Job, ...]:
    children = {each.id: each.parent for each in view.children}
    return tuple(
        _job(each, children, result if each is view.job else {})
        for each in (view.job, *view.children)
        if each.id
    )


def _job(view: JobView, parents: dict[str, str | None], result: dict[str, Any]) -> Job:
    last = view.records[-1] if view.accounted else None
    first = view.records[0] if view.records else None
    waited = None
    if first and first.submitted and first.started:
        waited = max(0.0, (first.started - first.submitted).total_seconds())
    peaks = [each.peak_memory for each in view.records if each.peak_memory]
    return Job(
        id=view.id,
        parent=view.parent,
        state=view.standing.state.value,
        exit=view.standing.exit_code,
        wall_seconds=last.elapsed if last else result.get("elapsed"),
        queue_seconds=waited,
        core_hours=view.core_hours,
        cpu_seconds=last.cpu_seconds if last else None,
        peak_memory_bytes=max(peaks, default=None) or result.get("peak_memory_bytes"),
        children=tuple(job for job, parent in parents.items() if parent == view.id),
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
    run: StoredRun, patterns: Sequence[str], tell: Callable[[Progress], None]
) -> tuple[Output, ...]:
    """Return what the run left: what the patterns choose, or whatever is new or changed."""
    if patterns:
        return describe_outputs(run.work, tuple(patterns), tell)
    fresh = new_files(run.work, run.read("inputs.json"))
    return describe_all(run.work, fresh, tell)


def new_files(work: Path, before: dict[str, Any]) -> set[str]:
    """Return the files below a folder that are new or changed since an inventory of it."""
    return {
        path
        for path, state in inventory(work).items()
        if before.get(path) != state and not _byproduct(PurePosixPath(path))
    }


def _byproduct(path: PurePosixPath) -> bool:
    hidden = path.parts[:-1] if path.name in METADATA else path.parts
    return path.suffix == ".pyc" or any(part.startswith(".") for part in hidden)
