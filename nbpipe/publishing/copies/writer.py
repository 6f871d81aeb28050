"""Carry a plan out in a copy, path by path, and remember what was taken.

The manifest says before the first write what is about to be written, and after the last one what
was. One path that cannot be written is a problem of that path; a full disk ends the run.
"""

from __future__ import annotations

import errno
import posixpath
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.publishing.copies import manifest
from nbpipe.publishing.copies.decision import Action, Kind, Placed, Role, Taken
from nbpipe.publishing.copies.errors import CopyError, NoSpace
from nbpipe.publishing.copies.folder import BlockedError, CopyFolder
from nbpipe.publishing.copies.plans import CHECKPOINTS, judged, read_substance, tell, tell_blocked
from nbpipe.publishing.copies.substance import LARGEST, SUFFIX, substance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.publishing.copies.decision import Content, Mine, Substance
    from nbpipe.publishing.copies.folder import Seen
    from nbpipe.publishing.copies.plans import CopyPlan, Step
    from nbpipe.publishing.copies.report import Report

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
WRITES = frozenset({Action.ADD, Action.UPDATE, Action.RESTORE, Action.RENEW, Action.CLEAR})
REMOVES = frozenset({Action.GIVE_WAY, Action.PRUNE})
NEW = frozenset({Action.ADD, Action.RESTORE, Action.BESIDE, Action.CLEAR})
"""Written without waiting for the disk each time; once for all of them, at the end."""
HOLDS = WRITES | {Action.SAME}
"""After these the release's file has the name: one that lies beside it is not needed."""
TAKEN = HOLDS | {Action.BESIDE}
"""After these the user has seen what the release holds: it is the next run's base."""


class Writer:
    """One run in one copy."""

    def __init__(
        self, plan: CopyPlan, copy: CopyFolder, known: manifest.CopyManifest, *, fresh: bool = False
    ) -> None:
        self.plan = plan
        self.copy = copy
        self.files = dict(known.files)
        self.placed = dict(plan.placed)
        self._fresh = fresh
        self._written: bytes | None = copy.read_manifest()
        self._substances: dict[str, Substance | None] = {}
        self._announced = self.files, self.placed

    def run(self, report: Report, progress: Callable[[int, int], None]) -> None:
        """Do every step; `report` says what became of each.

        Raises:
            ReleaseGone: The release was cleaned up meanwhile; what was taken is remembered.
            OSError: The disk is full, or the folder cannot be written at all.
        """
        steps = self.plan.steps
        for step in steps:
            if step.action in {Action.UPDATE, Action.RENEW}:  # it may come from a killed run
                self.files[step.path] = Taken(_which(step.taken or Taken(None), step.mine.content))
        acts = WRITES | REMOVES | {Action.BESIDE}
        if any(step.action in acts or _leads_back(step) for step in steps):
            self._announced = self._intentions()
            self._remember("", *self._announced)
        release = ""
        try:
            for number, step in enumerate(steps):
                progress(len(steps) + number, 2 * len(steps))
                self._apply(step, report)
            if self.plan.prune:
                self._prune_beside(report)
            if any(step.action in NEW for step in steps):
                self.copy.sync()
            release = "" if report.problems else report.release
        finally:
            self._remember(release, self.files, self.placed)
        tell_blocked(report, self.plan)
        progress(2 * len(steps), 2 * len(steps))

    def _intentions(self) -> tuple[dict[str, Taken], dict[str, Placed]]:
        """Return what the manifest says while the run is at work."""
        files, placed = dict(self.files), dict(self.placed)
        going = [
            each.path
            for each in self.plan.steps
            if each.action in REMOVES or (_leads_back(each) and each.path in files)
        ]
        for step in self.plan.steps:
            known = files.get(step.path, Taken(None))
            new = step.new
            # A copy that is built beside its place is built anew after a crash: no need to look.
            if new and step.action in WRITES | {Action.BESIDE} and not self._fresh:
                new = replace(new, substance=self._substance(step))
            if new and step.action in WRITES:
                files[step.path] = replace(known, writing=new)
            if step.action is Action.CLEAR:
                going += [path for path, _ in step.below if path in files]
            if new and step.action is Action.BESIDE:
                path, there = self.plan.beside(step)
                if not there:
                    placed[path] = Placed(step.path, Role.NEWER, Taken(None, new))
            if step.mine.content and step.action is Action.RENEW:
                path, earlier, _ = self.plan.kept(step.path, step.mine.content, placed)
                placed[path] = _keeping(step.path, step.mine.content, earlier, placed.get(path))
        for path in going:  # else a file that a crash leaves removed counts as the user's deletion
            files[path] = Taken(None, self._there(path, files[path]))
        return files, placed

    def _there(self, path: str, known: Taken) -> Content | None:
        """Return what of the contents that were taken a path has now, or had before a run."""
        if known.base and known.writing:
            mine, _ = self.copy.look(path, self.plan.release.commit)
            mine = judged(self.copy, path, mine, known)
            return _which(known, mine.content) or known.base
        return known.base or known.writing

    def _remember(
        self, release: str, files: Mapping[str, Taken], placed: Mapping[str, Placed]
    ) -> None:
        """Write the manifest, where it says something new."""
        source = self.plan.release.source
        data = manifest.dump(manifest.CopyManifest(release, source, files, placed, self.plan.only))
        if data != self._written:
            self.copy.write_manifest(data)
            self._written = data

    def _apply(self, step: Step, report: Report) -> None:
        try:
            beside = self._do(step)
            if beside and not self._is_run(beside):  # also where the user was quicker than the plan
                step = replace(step, action=Action.BESIDE)
            self._retire(step, beside, report)
        except OSError as error:
            if error.errno in FULL or error.errno == errno.EROFS:
                raise
            report.problems.append((step.path, reason(error)))
            return
        if step.action in REMOVES | {Action.FORGET} and not self._forget(step):
            step = replace(step, action=Action.GONE)
        if step.new and step.action in TAKEN:
            self.files[step.path] = Taken(replace(step.new, substance=self._substance(step)))
        elif step.new and step.action is Action.RAN:
            self.files[step.path] = Taken(step.new)
        elif step.taken and step.action is Action.KEEP:
            self.files[step.path] = step.taken
        tell(report, step, beside)

    def _do(self, step: Step) -> str | None:  # noqa: PLR0911  (one for each kind)
        """Write what a step asks for; return the name beside, where it lands there."""
        if step.action in {Action.ADD, Action.RESTORE}:
            return self._add(step)
        if step.action is Action.UPDATE:
            return self._update(step)
        if step.action is Action.RENEW:
            return self._renew(step)
        if step.action is Action.CLEAR:
            return self._clear(step)
        if step.action is Action.BESIDE:
            return self._beside(step)
        if step.action in REMOVES:
            return self._remove(step)
        if step.action is Action.SAME:
            self._mode(step)
        return None

    def _add(self, step: Step) -> str | None:
        name = self._bring(step)
        try:
            self._dropping(name, lambda: self.copy.place(name, step.path))
        except FileExistsError:  # made by the user since the plan
            return self._beside(step)
        return None

    def _update(self, step: Step) -> str | None:
        name, seen = self._bring(step), step.seen
        if seen and self._dropping(name, lambda: self.copy.replace(name, step.path, seen)):
            return None
        return self._beside(step, name)  # changed by the user since the plan

    def _renew(self, step: Step) -> str | None:
        """Keep the user's run of a notebook beside it, and give the name to the release's."""
        kept = self._keep(step.path, step.path, step.mine, step.seen)
        if kept is None:  # changed by the user since the plan
            return self._beside(step)
        moved = self._update(step)
        return moved or kept

    def _keep(self, of: str, path: str, mine: Mine, seen: Seen | None) -> str | None:
        """Copy a run of a notebook to the one place beside `of` where that is kept.

        Returns:
            The place; None where the user has changed the file meanwhile.
        """
        while mine.content and seen:
            kept, there, there_seen = self.plan.kept(of, mine.content, self.placed)
            if not mine.content.same(there.content):
                name = self.copy.save(path, seen)
                if name is None:
                    return None
                self._announce(kept, _keeping(of, mine.content, there, self.placed.get(kept)))
                if not self._put(name, kept, there_seen):
                    continue
            self.placed[kept] = Placed(of, Role.EXECUTED, Taken(mine.content))
            return kept
        return None

    def _announce(self, path: str, keeping: Placed) -> None:
        """Have the manifest say that a run is about to be kept there, where it does not yet."""
        files, placed = self._announced
        known = placed.get(path)
        if known is None or not known.taken.is_ours(keeping.taken.writing):
            self._announced = files, placed | {path: keeping}
            self._remember("", *self._announced)

    def _put(self, name: str, path: str, seen: Seen | None) -> bool:
        """Move an incoming file to a free path, or over what was seen there; False: too late."""
        try:
            if seen is None:
                self._dropping(name, lambda: self.copy.place(name, path))
                return True
            if self._dropping(name, lambda: self.copy.replace(name, path, seen)):
                return True
        except FileExistsError:
            return False
        self.copy.drop(name)
        return False

    def _clear(self, step: Step) -> str | None:
        """Put a file in the place of a folder in which nothing of the user's is."""
        name = self._bring(step)
        for path, seen in step.below:
            if not self.copy.give_way(path, seen):
                return self._beside(step, name)
        if not self.copy.remove_folders(step.path):
            return self._beside(step, name)
        return None if self._put(name, step.path, None) else self._beside(step)

    def _remove(self, step: Step) -> str | None:
        """Take away what gives way or is pruned; return where a run of it is kept."""
        kept = None
        taken = step.taken or Taken(None)
        if not taken.is_ours(step.mine.content):
            kept = self._keep(step.path, step.path, step.mine, step.seen)
        if step.seen and (kept or taken.is_ours(step.mine.content)):
            self.copy.give_way(step.path, step.seen)
        for path, seen in step.below:
            self.copy.give_way(path, seen)
        if step.action is Action.PRUNE:
            self._remove_folders_above(step.path)
        return kept

    def _remove_folders_above(self, path: str) -> None:
        """Remove the folders that a file was the last of, where the release has none there."""
        folder = posixpath.dirname(path)
        self.copy.remove_empty(posixpath.join(folder, CHECKPOINTS))
        while folder and folder not in self.plan.folders and self.copy.remove_empty(folder):
            folder = posixpath.dirname(folder)

    def _forget(self, step: Step) -> bool:
        """Drop a path from the manifest; False where the user was quicker and it is still there."""
        mine, _ = self.copy.look(step.path, self.plan.release.commit)
        if mine.kind in {Kind.FILE, Kind.LINK, Kind.OTHER}:
            return False
        self.files.pop(step.path, None)
        return True

    def _is_run(self, path: str) -> bool:
        """Return whether a run of the user's is kept there."""
        return path in self.placed and self.placed[path].role is Role.EXECUTED

    def _retire(self, step: Step, beside: str | None, report: Report) -> None:
        """Take away what an earlier run placed beside this path, now that there is a newer one.

        A notebook that was run there is kept as any other run; one that was worked in is the
        user's and is not among `placed`.
        """
        if step.action not in HOLDS | {Action.BESIDE} and not _leads_back(step):
            return
        for path, placed in list(self.placed.items()):
            if placed.of == step.path and placed.role is Role.NEWER and path != beside:
                self._take_away(path, placed, report)
        if step.action is Action.BESIDE and beside and step.new:
            new = replace(step.new, substance=self._substance(step))
            self.placed[beside] = Placed(step.path, Role.NEWER, Taken(new))

    def _take_away(self, path: str, placed: Placed, report: Report) -> None:
        mine, seen = self.copy.look(path, self.plan.release.commit)
        mine = judged(self.copy, path, mine, placed.taken)
        del self.placed[path]
        ours = placed.taken.is_ours(mine.content)
        if not ours and not placed.taken.was_run(mine.content):
            return
        if not ours and self._keep(placed.of, path, mine, seen) is None:
            return
        if seen and self.copy.give_way(path, seen):
            report.replaced.append(path)

    def _prune_beside(self, report: Report) -> None:
        """Take away what lies beside files that the release has no more."""
        for path, placed in list(self.placed.items()):
            gone = placed.of not in self.plan.release.listing() and placed.of not in self.files
            if gone and placed.role is Role.NEWER:
                self._take_away(path, placed, report)

    def _beside(self, step: Step, name: str | None = None) -> str:
        """Place a file beside the user's own, under the first name that is free."""
        while True:
            path, there = self.plan.beside(step)
            if there:
                if name:
                    self.copy.drop(name)
                return path
            name = name or self._bring(step)
            bringing = name
            try:
                self._dropping(bringing, lambda: self.copy.place(bringing, path))  # noqa: B023
            except FileExistsError:
                name = None
                continue
            return path

    def _dropping(self, name: str, move: Callable[[], bool | None]) -> bool | None:
        """Move an incoming file; where that fails, it goes."""
        try:
            return move()
        except BaseException:
            self.copy.drop(name)
            raise

    def _bring(self, step: Step) -> str:
        """Return the name of a file in the incoming folder with the release's bytes."""
        release = self.plan.release
        if step.new and step.new.kind is Kind.LINK:
            return self.copy.bring_link(release.target(step.path))
        with release.open(step.path) as source:
            small = release.listing()[step.path].size <= LARGEST
            if small and step.path.endswith(SUFFIX) and step.path not in self._substances:
                self._substances[step.path] = substance(source.read())
                source.seek(0)
            durable = step.action in {Action.UPDATE, Action.RENEW}
            return self.copy.bring(source, executable=step.executable, durable=durable)

    def _substance(self, step: Step) -> Substance | None:
        """Return the substance of the release's notebook, read once at most."""
        base = step.taken.base if step.taken else None
        if step.new is None or step.new.kind is not Kind.FILE:
            return None
        if step.new.substance:
            return step.new.substance
        if base and base.substance and step.new.same(base):
            return base.substance
        if step.path not in self._substances:
            self._substances[step.path] = read_substance(self.plan.release, step.path)
        return self._substances[step.path]

    def _mode(self, step: Step) -> None:
        """Give a file the release's x bit where that is all that changed."""
        mine, known = step.mine.content, step.taken and step.taken.base
        if mine and known and mine.kind is Kind.FILE and mine.executable != step.executable:
            self.copy.set_executable(step.path, executable=step.executable)


def _leads_back(step: Step) -> bool:
    """Return whether the release has a folder again where its file had to lie beside the user's."""
    return step.action is Action.FORGET and step.mine.kind is Kind.FOLDER


def _which(known: Taken, content: Content | None) -> Content | None:
    """Return which of the contents that were taken is there now, or was before a run."""
    if content is None:
        return None
    both = [each for each in (known.base, known.writing) if each]
    same = [each for each in both if each.same(content)]
    return next(iter(same or [each for each in both if content.only_run(each)]), None)


def _keeping(of: str, run: Content, there: Mine, known: Placed | None) -> Placed:
    """Return what the manifest says while a run takes the place of what is kept there now.

    That may come from a getlatest that was killed: it is looked at, and not the last whole run.
    """
    known_there = _which(known.taken, there.content) if known else None
    return Placed(of, Role.EXECUTED, Taken(known_there or there.content, run))


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say what a failure of the whole folder means.

    Raises:
        NoSpace: The disk or the quota is full.
        CopyError: The folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(
                f"{folder}: no space is left on this disk (or in your quota)",
                hint="Nothing is half written. Make room and run getlatest again, or take less "
                "with --only.",
            ) from error
        raise CopyError(
            f"{folder}: cannot be written: {reason(error)}",
            hint="Name a folder of your own, as in `getlatest ~/notebooks`.",
        ) from error


def reason(error: OSError) -> str:
    """Return why a file could not be written, in a few words."""
    if isinstance(error, BlockedError):
        return f"{error.filename} is not a folder (a link or a file of yours)"
    if error.errno == errno.EXDEV:
        return "lies on another file system than the rest of the copy"
    if error.errno == errno.EACCES:
        return "permission denied; `chmod -R u+w` on its folder helps"
    return error.strerror or str(error)
