"""What a run would do, path by path; reads the release and the copy, writes nothing."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from nbpipe.publishing.copies import decision, selection
from nbpipe.publishing.copies.decision import (
    UNKNOWABLE,
    Action,
    Content,
    Kind,
    Mine,
    Placed,
    Role,
    Substance,
    Taken,
)
from nbpipe.publishing.copies.substance import LARGEST, SUFFIX, substance
from nbpipe.publishing.origin import lfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbpipe.publishing.copies.folder import Seen
    from nbpipe.publishing.copies.manifest import CopyManifest
    from nbpipe.publishing.copies.releases import Release
    from nbpipe.publishing.copies.report import Report

RELEASES = "/releases/"
CHECKPOINTS = ".ipynb_checkpoints"
"""Where Jupyter keeps the state of a notebook before it was opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the user asked for."""

    only: tuple[str, ...] = ()
    """Folders or files; none: what the copy is about, all of it at first."""
    everything: bool = False
    """All of it, whatever the copy was about until now."""
    restore: str | None = None
    """Bring back what the user deleted here and below; "" is everywhere, None nowhere."""
    prune: bool = False
    """Remove what was deleted upstream and is unchanged here."""
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
    below: tuple[tuple[str, Seen], ...] = ()
    """The files of a folder that gives way."""

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

    def substance(self, path: str) -> Substance:
        """Return the substance of the notebook at a path."""

    def below(self, path: str, commit: str) -> Iterator[tuple[str, Mine, Seen | None]]:
        """Yield what is below a folder, the folders themselves after what they hold."""

    def blocked_by(self, path: str) -> str | None:
        """Return the part of a path that is no folder of the copy, None where all are."""

    def ignores_case(self) -> bool:
        """Return whether names that differ in case mean the same file here."""


class EmptyPlace:
    """Where no copy is yet."""

    def look(self, _path: str, _commit: str) -> tuple[Mine, Seen | None]:
        """Return that nothing is there."""
        return decision.ABSENT, None

    def substance(self, _path: str) -> Substance:
        """Return that nothing is known."""
        return UNKNOWABLE

    def below(self, _path: str, _commit: str) -> Iterator[tuple[str, Mine, Seen | None]]:
        """Yield nothing."""
        return iter(())

    def blocked_by(self, _path: str) -> str | None:
        """Return that nothing is in the way."""
        return None

    def ignores_case(self) -> bool:
        """Return False: nobody can know yet."""
        return False


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """All steps, in the order of their paths."""

    release: Release
    place: Place
    steps: tuple[Step, ...]
    names: frozenset[str]
    """Every path of the release and the manifest: no name beside may be one of them."""
    placed: Mapping[str, Placed]
    """What lies beside files of the copy and is still getlatest's own."""
    only: tuple[str, ...]
    """What the copy is about from now on; none: all."""
    prune: bool
    folders: frozenset[str]
    """Every folder of the release."""

    def beside(self, step: Step) -> tuple[str, bool]:
        """Return a name beside the user's file, and whether just this content is there already."""
        for path in self._free(step.path, self.release.commit[:7]):
            mine, _ = self.place.look(path, self.release.commit)
            if mine.kind is Kind.ABSENT:
                return path, False
            if step.new and step.new.same(mine.content):
                return path, True
        raise AssertionError("numbers do not end")

    def kept(
        self, of: str, run: Content, placed: Mapping[str, Placed]
    ) -> tuple[str, Mine, Seen | None]:
        """Return where the user's run of a notebook is kept beside it, and what is there now.

        Nothing, this very run, or an earlier one in which nobody has worked since.
        """
        for path in self._free(of, "executed"):
            mine, seen = self.place.look(path, self.release.commit)
            known = placed.get(path)
            if mine.kind is Kind.ABSENT or run.same(mine.content):
                return path, mine, seen
            if known and (known.of, known.role) == (of, Role.EXECUTED):
                mine = judged(self.place, path, mine, known.taken)
                if known.taken.is_ours(mine.content) or known.taken.was_run(mine.content):
                    return path, mine, seen
        raise AssertionError("numbers do not end")

    def _free(self, path: str, mark: str) -> Iterator[str]:
        """Yield names beside a file that no release means."""
        folder, slash, name = path.rpartition("/")
        number = 0
        while True:
            number += 1
            beside = folder + slash + decision.beside(name, mark, number)
            if beside not in self.names:
                yield beside


def plan(request: Request, place: Place, known: CopyManifest, report: Report) -> CopyPlan:
    """Return what becomes of every path; what a copy never holds goes into the report.

    Args:
        request: The release, and what is wanted of it.
        place: The copy.
        known: The copy's manifest.
        report: Takes what is left out.

    Raises:
        UsageError: The request names what neither the release nor the copy holds.
        ReleaseGone: The release was cleaned up meanwhile.
    """
    release, wanted = request.release, request.wanted
    listing = release.listing()
    report.notes += release.notes
    # A copy that was taken from another collection has files that this release never had: to prune
    # them would take away a person's whole copy because a path was mistyped.
    before = known.source.partition(RELEASES)[0]
    elsewhere = bool(known.source) and before != release.source.partition(RELEASES)[0]
    if elsewhere:
        report.notes.append(
            f"from another place than before, which was {before}"
            f"{'; nothing is pruned this time' if wanted.prune else ''}"
        )
    prune = wanted.prune and not elsewhere
    names = frozenset(listing) | known.files.keys()
    scope = _scope(wanted, known, names, report)
    back = [] if wanted.restore is None else [wanted.restore]
    restore = selection.cleaned(back, names, "--restore")
    twins = selection.same_names(listing) if place.ignores_case() else {}
    chosen = [
        path
        for path in sorted(names)
        if any(selection.below(path, folder) for folder in scope.now or ("",))
        and _possible(release, path, twins, report)
    ]
    placed = dict(_still_ours(place, release.commit, known.beside))
    planner = _Planner(release, place, known, placed, restore, prune=prune)
    steps = []
    for number, path in enumerate(chosen):
        request.progress(number, 2 * len(chosen))
        steps.append(planner.step(path))
        if _is_pointer(release, path):
            report.pointers.append(path)
    if report.pointers:
        report.notes.append(release.content_of_pointers)
    return CopyPlan(
        release,
        place,
        tuple(steps),
        names,
        placed,
        scope.later,
        wanted.prune,
        frozenset(planner.folders),
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which folders a run is about, and which the copy is about after it; none: all."""

    now: tuple[str, ...]
    later: tuple[str, ...]


def _scope(wanted: Wanted, known: CopyManifest, names: frozenset[str], report: Report) -> _Scope:
    """Return what a run is about: what was asked for, or else what the copy was about so far."""
    asked = tuple(selection.cleaned(wanted.only, names, "--only"))
    folders = ", ".join(known.only)
    if wanted.everything or "" in asked:
        if known.only:
            report.notes.append(f"everything from now on, and not only {folders}")
        return _Scope((), ())
    if asked:
        whole = bool(known.files) and not known.only
        later = () if whole else selection.widest((*known.only, *asked))
        if known.only and later != known.only:
            report.notes.append(f"from now on this copy takes {', '.join(later)}")
        return _Scope(asked, later)
    if known.only:
        report.notes.append(f"only {folders}, as chosen before; --all takes everything")
        for folder in known.only:
            if not any(selection.below(path, folder) for path in names):
                report.notes.append(f"{folder}: not part of this release; --list shows what is")
    return _Scope(known.only, known.only)


def _still_ours(
    place: Place, commit: str, beside: Mapping[str, Placed]
) -> Iterator[tuple[str, Placed]]:
    """Yield what lies beside files and was not worked in; the rest is the user's from now on."""
    for path, placed in beside.items():
        if selection.refused(path, None):
            continue
        mine, _ = place.look(path, commit)
        mine = judged(place, path, mine, placed.taken)
        if placed.taken.is_ours(mine.content) or placed.taken.was_run(mine.content):
            yield path, placed


def judged(place: Place, path: str, mine: Mine, taken: Taken) -> Mine:
    """Return what is at a path with its substance, where its bytes are not what was taken."""
    notebook = path.endswith(SUFFIX) and mine.kind is Kind.FILE
    if not notebook or mine.content is None or taken.is_ours(mine.content):
        return mine
    return replace(mine, content=replace(mine.content, substance=place.substance(path)))


def read_substance(release: Release, path: str) -> Substance | None:
    """Return the substance of a release's notebook; None of any other file."""
    listed = release.listing()[path]
    if not path.endswith(SUFFIX) or listed.kind is not Kind.FILE:
        return None
    if listed.size > LARGEST:
        return UNKNOWABLE
    with release.open(path) as file:
        return substance(file.read())


class _Planner:
    """Decides path by path, in order: what gives way comes before what lies below it."""

    def __init__(  # noqa: PLR0913  (what it reads from)
        self,
        release: Release,
        place: Place,
        known: CopyManifest,
        placed: Mapping[str, Placed],
        restore: list[str],
        *,
        prune: bool,
    ) -> None:
        self.release = release
        self.place = place
        self.known = known
        self.files = known.files
        self.placed = placed
        self.restore = restore
        self.prune = prune
        self.folders = selection.folders(release.listing())
        self.giving: set[str | None] = set()
        self.cleared: set[str] = set()

    def step(self, path: str) -> Step:
        new = self.release.content(path) if path in self.release.listing() else None
        taken = self.files.get(path)
        # Whatever lay below a folder that makes room is moved away together with it.
        if any(above in self.cleared for above in selection.folders([path])):
            return Step(path, Action.FORGET, decision.ABSENT, None, new, taken)
        mine, seen = self.place.look(path, self.release.commit)
        # A file that an earlier step moves out of the way stands in nobody's way any more.
        if mine.kind is Kind.BLOCKED and self.place.blocked_by(path) in self.giving:
            mine = decision.ABSENT
        below: tuple[tuple[str, Seen], ...] = ()
        if new and mine.kind is Kind.FOLDER:
            mine, below = self._folder(path, mine)
        else:
            new, taken, mine = self._judged(path, new, taken, mine)
        action = decision.decide(
            taken=taken,
            mine=mine,
            new=new,
            restore=any(selection.below(path, folder) for folder in self.restore),
            folder=path in self.folders,
            prune=self.prune,
        )
        if action is Action.GIVE_WAY:
            self.giving.add(path)
        if action is Action.CLEAR:
            self.cleared.add(path)
        if action is Action.PRUNE:
            below = tuple(self._checkpoint(path))
        return Step(path, action, mine, seen, new, taken, below)

    def _judged(
        self, path: str, new: Content | None, taken: Taken | None, mine: Mine
    ) -> tuple[Content | None, Taken | None, Mine]:
        """Return the three states with the substances that tell a run from work, where needed."""
        if mine.content is None or (new and new.same(mine.content)):
            return new, taken, mine
        mine = judged(self.place, path, mine, taken or Taken(None))
        if new and mine.content and mine.content.substance:
            new = replace(new, substance=read_substance(self.release, path))
            taken = taken and self._with_substance(path, taken, new)
        return new, taken, mine

    def _with_substance(self, path: str, taken: Taken, new: Content) -> Taken:
        """Return what was taken, of a copy that was made before substances were noted."""
        base = taken.base
        if base is None or base.substance:
            return taken
        if new.same(base):
            return replace(taken, base=new)
        data = self.release.before(path, self.known.release, base.blob)
        return replace(taken, base=replace(base, substance=substance(data))) if data else taken

    def _folder(self, path: str, mine: Mine) -> tuple[Mine, tuple[tuple[str, Seen], ...]]:
        """Return a folder with whether nothing of the user's is in it, and its files."""
        found: list[tuple[str, Seen]] = []
        try:
            for inner, there, seen in self.place.below(path, self.release.commit):
                if there.kind is Kind.FOLDER:
                    continue
                if seen is None or not self._taken(inner, there):
                    return mine, ()
                found.append((inner, seen))
        except (OSError, RecursionError):  # what cannot be looked at is the user's
            return mine, ()
        known = bool(found) or any(selection.below(each, path) for each in self.files)
        return replace(mine, ours=known), tuple(found)

    def _taken(self, path: str, mine: Mine) -> bool:
        """Return whether a file is as it was taken, placed beside, or as Jupyter found it."""
        placed = self.placed.get(path)
        states = [
            self.files.get(path),
            placed.taken if placed and placed.role is Role.NEWER else None,
            self.files.get(_checkpointed(path)),
        ]
        return any(taken.is_ours(mine.content) for taken in states if taken)

    def _checkpoint(self, path: str) -> Iterator[tuple[str, Seen]]:
        """Yield the checkpoint of a file that goes, where it holds nothing else than the file."""
        folder, name = posixpath.split(path)
        stem, suffix = posixpath.splitext(name)
        checkpoint = posixpath.join(folder, CHECKPOINTS, f"{stem}-checkpoint{suffix}")
        mine, seen = self.place.look(checkpoint, self.release.commit)
        if seen and self.files[path].is_ours(mine.content):
            yield checkpoint, seen


def _checkpointed(path: str) -> str:
    """Return the file that a path is Jupyter's checkpoint of; "" where it is none."""
    folder, name = posixpath.split(path)
    above, last = posixpath.split(folder)
    stem, suffix = posixpath.splitext(name)
    if last != CHECKPOINTS or not stem.endswith("-checkpoint"):
        return ""
    return posixpath.join(above, stem.removesuffix("-checkpoint") + suffix)


def _is_pointer(release: Release, path: str) -> bool:
    """Return whether the release has a Git LFS pointer there instead of a file's content."""
    listed = release.listing().get(path)
    if listed is None or listed.kind is not Kind.FILE or listed.size >= lfs.LONGEST:
        return False
    with release.open(path) as file:
        return lfs.pointer(file.read()) is not None


def _possible(release: Release, path: str, twins: Mapping[str, str], report: Report) -> bool:
    """Return whether a copy can hold that path; if not, the report says why."""
    listed = release.listing().get(path)
    if listed is None:
        return selection.refused(path, None) is None
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
    """Put a path under the word that says what became of it.

    Args:
        report: Grows.
        step: What was done, or would be.
        beside: The name under which the release's file lies beside the user's; of a notebook
            that only was run, the name under which the run is kept.
    """
    if beside and step.action in {Action.RENEW, Action.GIVE_WAY}:
        report.executed.append((step.path, beside))
    elif beside:
        report.beside.append((step.path, beside))
        return
    words = {
        Action.ADD: report.added,
        Action.CLEAR: report.added,
        Action.UPDATE: report.updated,
        Action.RENEW: report.updated,
        Action.RESTORE: report.restored,
        Action.SAME: report.same,
        Action.RAN: report.same,
        Action.KEEP: report.kept,
        Action.GONE: report.gone,
        Action.PRUNE: report.pruned,
        Action.STAYS_DELETED: report.stays_deleted,
    }
    if step.action in words:
        words[step.action].append(step.path)


def tell_blocked(report: Report, plan: CopyPlan) -> None:
    """Tell once for each link or file that stands where the release has a folder."""
    counts: dict[str, int] = {}
    for step in plan.steps:
        if step.action is Action.BLOCKED:
            above = plan.place.blocked_by(step.path) or step.path
            counts[above] = counts.get(above, 0) + 1
    for above, count in counts.items():
        files = "1 file" if count == 1 else f"{count} files"
        reason = f"is not a folder (a link or a file of yours); {files} below it not updated"
        report.problems.append((above, reason))
