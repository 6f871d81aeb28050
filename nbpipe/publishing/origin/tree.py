"""What a commit holds, read from raw tree objects and judged before anything is written.

git's own tools hide or mend some of what a hostile tree can say, so the objects are read as they
are. Subtrees that were read before are not read again: an update costs what it changes.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nbpipe.publishing.errors import Refused
from nbpipe.publishing.origin import lfs, links, names
from nbpipe.publishing.releases.manifest import File, Link, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.settings import CollectionSettings

_LARGEST_TREE = 64_000_000
"""Bytes of one tree object: about a million names."""
_SHOWN = 20
"""Problems that a message lists."""


class Objects(Protocol):
    """Where objects come from."""

    def read(self, oid: str, kind: str, *, limit: int) -> bytes:
        """Return an object whole."""

    def size(self, oid: str) -> int:
        """Return a blob's size in bytes."""

    def tree_of(self, commit: str) -> str:
        """Return the id of a commit's tree."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """One tree object, read and judged."""

    folders: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str, bool], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    submodules: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    collisions: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many paths it makes."""
        return len(self.folders) + len(self.files) + len(self.links)


@dataclass(frozen=True, slots=True)
class _Fact:
    """What a file's blob is."""

    size: int
    pointer: lfs.Pointer | None = None


@dataclass(slots=True)
class _Found:
    """What a walk has met so far, or in one folder."""

    folders: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pointers: int = 0
    size: int = 0

    def take(self, other: _Found) -> None:
        """Add what another has met."""
        self.folders += other.folders
        self.files += other.files
        self.links.update(other.links)
        self.problems += other.problems
        self.warnings += other.warnings
        self.pointers += other.pointers
        self.size += other.size


@dataclass(slots=True)
class _Place(_Found):
    """One folder's own content at its place, and what that was made from."""

    facts: dict[str, _Fact] = field(default_factory=dict)
    targets: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read for a manifest, for the next one."""

    folders: dict[str, _Folder] = field(default_factory=dict)
    """By id of the tree."""
    facts: dict[str, _Fact] = field(default_factory=dict)
    """By id of the blob."""
    targets: dict[str, str | None] = field(default_factory=dict)
    """Of links, by id of the blob."""
    places: dict[tuple[str, str], _Place] = field(default_factory=dict)
    """What an unchanged tree makes of the same place, by path and id of the tree."""


class Reader:
    """Reads commits into manifests, remembering what the last one was made of."""

    def __init__(self, settings: CollectionSettings, objects: Objects) -> None:
        self._settings = settings
        self._objects = objects
        self._known = _Known()
        s = settings
        rules = repr((s.symlinks, s.backslashes, s.lfs, s.limits))
        self.policy = hashlib.sha256(rules.encode()).hexdigest()[:16]
        """Fingerprint of the settings that decide what a commit's release holds."""

    def manifest(self, commit: str) -> Manifest:
        """Return what would be published of that commit.

        Raises:
            Refused: It must not be; every reason is named, up to twenty.
            DamagedCacheError: An object is missing.
        """
        found = _Found()
        before, self._known = self._known, _Known()
        self._walk(self._objects.tree_of(commit), found, before)
        kept = self._judge_links(found)
        if found.problems:
            raise self._refused(commit, found.problems)
        if found.pointers and self._settings.lfs == "pointers":
            found.warnings.append(f"{found.pointers} Git LFS pointers are published as they are")
        return Manifest(
            commit=commit,
            folders=tuple(found.folders),
            files=tuple(found.files),
            links=tuple(kept),
            warnings=tuple(found.warnings),
            policy=self.policy,
        )

    def _walk(self, tree: str, found: _Found, before: _Known) -> None:
        limits, count = self._settings.limits, 0
        pending = [("", tree, 1)]
        while pending:
            prefix, oid, depth = pending.pop()
            folder = self._known.folders.get(oid) or before.folders.get(oid) or self._parse(oid)
            self._known.folders[oid] = folder
            found.problems += [f"{names.shown(prefix.encode())}{text}" for text in folder.problems]
            found.warnings += [f"{prefix}{text}" for text in folder.collisions]
            found.warnings += [
                f"{prefix}{name}: a submodule is left out" for name in folder.submodules
            ]
            # Counted before it is expanded: a few small trees can stand for billions of files.
            count += folder.count
            if count > limits.files:
                found.problems.append(f"more than {limits.files:,} files and folders")
                return
            if depth > limits.depth and folder.folders:
                found.problems.append(f"{prefix}: more than {limits.depth} folders deep")
                continue
            if len(prefix.encode()) > names.LONGEST_PATH:
                found.problems.append(f"{prefix[:60]}...: a path over {names.LONGEST_PATH} bytes")
                continue
            for name, child in folder.folders:
                found.folders.append(prefix + name)
                pending.append((f"{prefix}{name}/", child, depth + 1))
            place = before.places.get((prefix, oid)) or self._place(prefix, folder, before)
            self._known.places[prefix, oid] = place
            self._known.facts.update(place.facts)
            self._known.targets.update(place.targets)
            found.take(place)
            if found.size > limits.total_size * 1e6:
                found.problems.append(f"more than {limits.total_size:,g} MB in all")
                return

    def _place(self, prefix: str, folder: _Folder, before: _Known) -> _Place:
        """Return what is in a folder at that place; what is below it comes on its own."""
        place = _Place()
        for name, blob, executable in folder.files:
            fact = self._known.facts.get(blob) or before.facts.get(blob) or self._fact(blob)
            place.facts[blob] = self._known.facts[blob] = fact
            self._add(prefix + name, blob, fact, place, executable=executable)
        for name, blob in folder.links:
            target = before.targets[blob] if blob in before.targets else self._target(blob)
            place.targets[blob] = target
            if target is None:
                self._leave_out(prefix + name, "an unreadable target", place)
            else:
                place.links[prefix + name] = (target, blob)
        return place

    def _parse(self, oid: str) -> _Folder:
        raw = self._objects.read(oid, "tree", limit=_LARGEST_TREE)
        folders, files, linked, submodules = [], [], [], []
        problems: list[str] = []
        seen: dict[str, str] = {}
        collisions: list[str] = []
        for mode, name, child in _entries(raw, oid):
            trouble = names.problem(name, backslashes=self._settings.backslashes == "publish")
            text = name.decode("utf-8", "backslashreplace")
            key = names.collision_key(text)
            # A tree object can hold one name twice, a folder cannot; which of the two
            # a user would see is chance. Names that differ in case only are reported, not refused.
            if trouble is None and seen.get(key) == text:
                trouble = "it is there twice"
            if trouble is not None:
                problems.append(f"{names.shown(name)}: {trouble}")
                continue
            if key in seen:
                collisions.append(f"{text}: the same name as {seen[key]} on some systems")
            seen[key] = text
            kind = stat.S_IFMT(mode)
            if kind == stat.S_IFDIR:
                folders.append((text, child))
            elif kind == stat.S_IFREG:
                files.append((text, child, bool(mode & stat.S_IXUSR)))
            elif kind == stat.S_IFLNK:
                linked.append((text, child))
            elif kind == _GITLINK:
                submodules.append(text)
            else:
                problems.append(f"{text}: its mode {mode:o} is that of no file")
        return _Folder(
            folders=tuple(folders),
            files=tuple(files),
            links=tuple(linked),
            submodules=tuple(submodules),
            problems=tuple(problems),
            collisions=tuple(collisions),
        )

    def _fact(self, blob: str) -> _Fact:
        size = self._objects.size(blob)
        if size >= lfs.LONGEST:
            return _Fact(size)
        return _Fact(size, lfs.pointer(self._objects.read(blob, "blob", limit=lfs.LONGEST)))

    def _target(self, blob: str) -> str | None:
        if self._objects.size(blob) > links.LONGEST:
            return None
        try:
            return self._objects.read(blob, "blob", limit=links.LONGEST).decode("utf-8")
        except UnicodeDecodeError:
            return None

    def _add(self, path: str, blob: str, fact: _Fact, found: _Found, *, executable: bool) -> None:
        size, large = fact.size, ""
        if fact.pointer:
            found.pointers += 1
            if self._settings.lfs == "fetch":
                size, large = fact.pointer.size, fact.pointer.sha256
        if size > self._settings.limits.file_size * 1e6:
            most = self._settings.limits.file_size
            found.problems.append(f"{path}: {size:,} bytes, {most:,g} MB is the most")
        found.size += size
        found.files.append(File(path, blob, executable, size, large))

    def _judge_links(self, found: _Found) -> Iterator[Link]:
        if not found.links:
            return iter(())
        targets = {path: target for path, (target, _) in found.links.items()}
        others = {*found.folders, *(file.path for file in found.files)}
        following = links.Following(targets, others)
        kept = []
        for path, (target, blob) in found.links.items():
            verdict = following.leads(path)
            if verdict is links.Leads.OUTSIDE:
                self._leave_out(path, "out of the collection", found)
            elif verdict is links.Leads.ROUND:
                self._leave_out(path, "in a circle", found)
            elif verdict is links.Leads.TOO_FAR:
                self._leave_out(path, "through more folders than are looked at", found)
            else:
                if verdict is links.Leads.NOWHERE:
                    found.warnings.append(f"{path}: a link that leads to nothing")
                kept.append(Link(path, target, blob))
        return iter(kept)

    def _leave_out(self, path: str, where: str, found: _Found) -> None:
        if self._settings.symlinks == "refuse":
            found.problems.append(f"{path}: a link that leads {where}")
        else:
            found.warnings.append(f"{path}: a link that leads {where} is left out")

    def _refused(self, commit: str, problems: list[str]) -> Refused:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        lines = "\n".join(f"  {problem}" for problem in [*problems[:_SHOWN], *more])
        return Refused(
            f"{self._settings.name}: commit {commit} is not published\n{lines}",
            hint="The last release stays, until the branch has another head.",
        )


_GITLINK = 0o160000


def _entries(raw: bytes, oid: str) -> Iterator[tuple[int, bytes, str]]:
    """Yield mode, name and id of each entry of a raw tree object (gitformat-tree)."""
    position = 0
    while position < len(raw):
        space = raw.find(b" ", position, position + 12)
        end = raw.find(b"\0", space)
        mode = raw[position:space]
        if space < 0 or end < 0 or end + 21 > len(raw) or not mode or mode.strip(b"01234567"):
            raise Refused(f"the tree {oid} is malformed at byte {position}")
        yield int(mode, 8), raw[space + 1 : end], raw[end + 1 : end + 21].hex()
        position = end + 21
