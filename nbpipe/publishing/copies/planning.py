"""What a run would do, path by path; reads the release and the copy, writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nbpipe.publishing.copies import decision, selection
from nbpipe.publishing.copies.decision import Action, Content, Kind, Mine, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.publishing.copies.folder import Seen
    from nbpipe.publishing.copies.releases import Release
    from nbpipe.publishing.copies.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the user asked for."""

    only: tuple[str, ...] = ()
    """Folders or files; none: all of it."""
    restore: str | None = None
    """Bring back what the user deleted here and below; "" is everywhere, None nowhere."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A release, what is wanted of it, and who is told how far it is."""

    release: Release
    wanted: Wanted
    progress: Callable[[int, int], None]
    """Called with the steps done and the steps in all."""


@dataclass(frozen=True, slots=True)
class Step:
    """One path, and what becomes of it."""

    path: str
    action: Action
    mine: Mine
    seen: Seen | None
    new: Content | None
    taken: Taken | None

    @property
    def executable(self) -> bool:
        """The x bit that the file gets."""
        base = self.taken.base if self.taken else None
        return bool(
            self.new and decision.executable(base=base, mine=self.mine.content, new=self.new)
        )


class Place(Protocol):
    """What can be looked at: a copy, or the place where there will be one."""

    def look(self, path: str, commit: str) -> tuple[Mine, Seen | None]:
        """Return what is at a path now."""

    def blocked_by(self, path: str) -> str | None:
        """Return the part of a path that is no folder of the copy, None where all are."""

    def ignores_case(self) -> bool:
        """Return whether names that differ in case mean the same file here."""


class EmptyPlace:
    """Where no copy is yet."""

    def look(self, _path: str, _commit: str) -> tuple[Mine, Seen | None]:
        """Return that nothing is there."""
        return decision.ABSENT, None

    def blocked_by(self, _path: str) -> str | None:
        """Return that nothing is in the way."""
        return None

    def ignores_case(self) -> bool:
        """Return False: nobody can know yet."""
        return False


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in the order of their paths."""

    release: Release
    place: Place
    steps: tuple[Step, ...]
    names: frozenset[str]
    """Every path of the release and the manifest: no name beside may be one of them."""

    def beside(self, step: Step) -> tuple[str, bool]:
        """Return a name beside the user's file, and whether just this content is there already."""
        folder, slash, name = step.path.rpartition("/")
        number = 0
        while True:
            number += 1
            path = folder + slash + decision.beside(name, self.release.commit, number)
            if path in self.names:
                continue
            mine, _ = self.place.look(path, self.release.commit)
            if mine.kind is Kind.ABSENT:
                return path, False
            if step.new and step.new.same(mine.content):
                return path, True


def plan(request: Request, place: Place, files: Mapping[str, Taken], report: Report) -> Plan:
    """Return what becomes of every path; what a copy never holds goes into the report.

    Args:
        request: The release, and what is wanted of it.
        place: The copy.
        files: What the copy's manifest knows.
        report: Takes what is left out.

    Raises:
        UsageError: The request names what neither the release nor the copy holds.
        ReleaseGone: The release was cleaned up meanwhile.
    """
    release, wanted = request.release, request.wanted
    listing = release.listing()
    names = frozenset(listing) | files.keys()
    only = selection.cleaned(wanted.only, names, "--only") or [""]
    back = [] if wanted.restore is None else [wanted.restore]
    restore = selection.cleaned(back, names, "--restore")
    twins = selection.same_names(listing) if place.ignores_case() else {}
    chosen = [
        path
        for path in sorted(names)
        if any(selection.below(path, folder) for folder in only)
        and _possible(release, path, twins, report)
    ]
    planner = _Planner(release, place, files, restore)
    steps = []
    for number, path in enumerate(chosen):
        request.progress(number, 2 * len(chosen))
        steps.append(planner.step(path))
    return Plan(release, place, tuple(steps), names)


class _Planner:
    """Decides path by path, in order: a file that gives way comes before what lies below it."""

    def __init__(
        self, release: Release, place: Place, files: Mapping[str, Taken], restore: list[str]
    ) -> None:
        self.release = release
        self.place = place
        self.files = files
        self.restore = restore
        self.folders = selection.folders(release.listing())
        self.giving: set[str | None] = set()

    def step(self, path: str) -> Step:
        new = self.release.content(path) if path in self.release.listing() else None
        taken = self.files.get(path)
        mine, seen = self.place.look(path, self.release.commit)
        if mine.kind is Kind.BLOCKED and self.place.blocked_by(path) in self.giving:
            mine = decision.ABSENT
        action = decision.decide(
            taken=taken,
            mine=mine,
            new=new,
            restore=any(selection.below(path, folder) for folder in self.restore),
            folder=path in self.folders,
        )
        if action is Action.GIVE_WAY:
            self.giving.add(path)
        return Step(path, action, mine, seen, new, taken)


def _possible(release: Release, path: str, twins: Mapping[str, str], report: Report) -> bool:
    """Return whether a copy can hold that path; if not, the report says why."""
    listed = release.listing().get(path)
    if listed is None:
        return True
    target = release.target(path) if listed.kind is Kind.LINK else None
    why = selection.refused(path, target)
    if listed.kind is Kind.OTHER:
        why = "a repository of its own (submodule)"
    if why:
        report.left_out.append((path, why))
        return False
    if path in twins:
        report.problems.append((path, f"the same name as {twins[path]} on this file system"))
        return False
    return True


def tell(report: Report, step: Step, beside: str | None = None) -> None:
    """Put a path under the word that says what became of it."""
    if beside:
        report.beside.append((step.path, beside))
        return
    words = {
        Action.ADD: report.added,
        Action.UPDATE: report.updated,
        Action.RESTORE: report.restored,
        Action.SAME: report.same,
        Action.KEEP: report.kept,
        Action.GONE: report.gone,
        Action.STAYS_DELETED: report.stays_deleted,
    }
    if step.action in words:
        words[step.action].append(step.path)


def tell_blocked(report: Report, plan: Plan) -> None:
    """Tell once for each link or file that stands where the release has a folder."""
    counts: dict[str, int] = {}
    for step in plan.steps:
        if step.action is Action.BLOCKED:
            above = plan.place.blocked_by(step.path) or step.path
            counts[above] = counts.get(above, 0) + 1
    for above, count in counts.items():
        files = "1 file" if count == 1 else f"{count} files"
        reason = f"is no folder (a link or a file of yours); {files} below it not updated"
        report.problems.append((above, reason))
