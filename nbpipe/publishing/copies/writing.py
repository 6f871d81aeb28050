"""Carry a plan out in a copy, path by path, and remember what was taken.

The manifest says before the first write what is about to be written, and after the last one what
was. One path that cannot be written is a problem of that path; a full disk ends the run.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from nbpipe.publishing.copies import manifest
from nbpipe.publishing.copies.decision import Action, Content, Kind, Taken
from nbpipe.publishing.copies.errors import CopyError, NoSpace
from nbpipe.publishing.copies.folder import BlockedError, CopyFolder
from nbpipe.publishing.copies.planning import tell, tell_blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.publishing.copies.planning import Plan, Step
    from nbpipe.publishing.copies.report import Report

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
WRITES = frozenset({Action.ADD, Action.UPDATE, Action.RESTORE})
NEW = frozenset({Action.ADD, Action.RESTORE, Action.BESIDE})
"""Written without waiting for the disk each time; once for all of them, at the end."""
TAKEN = WRITES | {Action.SAME, Action.BESIDE}
"""After these the user has seen what the release holds: it is the next run's base."""


class Writer:
    """One run in one copy."""

    def __init__(self, plan: Plan, copy: CopyFolder, files: Mapping[str, Taken]) -> None:
        self.plan = plan
        self.copy = copy
        self.files = dict(files)
        self._written: bytes | None = copy.read_manifest()

    def run(self, report: Report, progress: Callable[[int, int], None]) -> None:
        """Do every step; `report` says what became of each.

        Raises:
            ReleaseGone: The release was cleaned up meanwhile; what was taken is remembered.
            OSError: The disk is full, or the folder cannot be written at all.
        """
        steps = self.plan.steps
        for step in steps:
            if step.action is Action.UPDATE:  # what is there may come from a run that was killed
                self.files[step.path] = Taken(step.mine.content)
        if any(step.action in WRITES | {Action.BESIDE, Action.GIVE_WAY} for step in steps):
            self._remember("", {s.path: s.new for s in steps if s.new and s.action in WRITES})
        release = ""
        try:
            for number, step in enumerate(steps):
                progress(len(steps) + number, 2 * len(steps))
                self._apply(step, report)
            if any(step.action in NEW for step in steps):
                self.copy.sync()
            release = "" if report.problems else report.release
        finally:
            self._remember(release, {})
        tell_blocked(report, self.plan)
        progress(2 * len(steps), 2 * len(steps))

    def _remember(self, release: str, writing: Mapping[str, Content]) -> None:
        """Write the manifest, where it says something new."""
        files = dict(self.files)
        for path, content in writing.items():
            files[path] = replace(files.get(path, Taken(None)), writing=content)
        data = manifest.dump(manifest.Manifest(release, self.plan.release.source, files))
        if data != self._written:
            self.copy.write_manifest(data)
            self._written = data

    def _apply(self, step: Step, report: Report) -> None:
        try:
            beside = self._do(step)
        except OSError as error:
            if error.errno in FULL or error.errno == errno.EROFS:
                raise
            report.problems.append((step.path, reason(error)))
            return
        if step.action in {Action.FORGET, Action.GIVE_WAY}:
            self.files.pop(step.path, None)
        elif step.new and step.action in TAKEN:
            self.files[step.path] = Taken(step.new)
        tell(report, step, beside)

    def _do(self, step: Step) -> str | None:
        """Write what a step asks for; return the name beside, where it lands there."""
        if step.action in {Action.ADD, Action.RESTORE}:
            return self._add(step)
        if step.action is Action.UPDATE:
            return self._update(step)
        if step.action is Action.BESIDE:
            return self._beside(step)
        if step.action is Action.GIVE_WAY and step.seen:
            self.copy.give_way(step.path, step.seen)
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
            durable = step.action is Action.UPDATE
            return self.copy.bring(source, executable=step.executable, durable=durable)

    def _mode(self, step: Step) -> None:
        """Give a file the release's x bit where that is all that changed."""
        mine, known = step.mine.content, step.taken and step.taken.base
        if mine and known and mine.kind is Kind.FILE and mine.executable != step.executable:
            self.copy.set_executable(step.path, executable=step.executable)


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
        return f"{error.filename} is no folder (a link or a file of yours)"
    if error.errno == errno.EXDEV:
        return "lies on another file system than the rest of the copy"
    if error.errno == errno.EACCES:
        return "permission denied; `chmod -R u+w` on its folder helps"
    return error.strerror or str(error)
