"""The mirror on disk, as readers and the service see it, and the one rename that changes it.

    <root>/<collection>/current -> releases/<commit>     all that a space ever sees
    <root>/<collection>/releases/<commit>/...            files 0444 or 0555, folders 0555
    <root>/.nbpipe/<collection>/                         the service's own, 0700: cache, store,
                                                         journal, lock, pin, health

Everything lies in one file system, for hard links and renames. Nothing here speaks to git.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from datetime import datetime  # noqa: TC003  (msgspec reads the annotation)
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import msgspec

from nbpipe.publishing.errors import MirrorError
from nbpipe.publishing.releases.journal import Journal
from nbpipe.system import files, private

if TYPE_CHECKING:
    from nbpipe.config.settings import CollectionSettings

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
STATE = ".nbpipe"


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """A rollback's hold on `current`."""

    commit: str
    since: datetime
    """Aware, UTC."""
    reason: str = ""


class Mirror:
    """The releases of one collection and the `current` link."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.path = root / name
        """What spaces link to or mount; the parent of `current` and `releases`."""
        self.state = root / STATE / name
        """The service's own folder; not for other eyes."""
        self.link = self.path / "current"
        self.releases_folder = self.path / "releases"
        self.journal = Journal(self.state / "journal.jsonl")

    @classmethod
    def of(cls, settings: CollectionSettings) -> Mirror:
        """Return the mirror of a configured collection."""
        return cls(Path(settings.root), settings.name)

    def release(self, commit: str) -> Path:
        """Return where that release is or would be."""
        return self.releases_folder / commit

    def current(self) -> str | None:
        """Return the commit of the release that readers see, None where there is none.

        Raises:
            MirrorError: `current` is no link of ours.
        """
        try:
            target = self.link.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MirrorError(
                f"{self.link}: is not the mirror's link",
                hint="Move it away; nbpipe makes it a link to a release and nothing else.",
            ) from error
        return target.name if COMMIT.fullmatch(target.name) else None

    def releases(self) -> list[str]:
        """Return the commits of the releases on disk, in no particular order."""
        try:
            names = os.listdir(self.releases_folder)  # noqa: PTH208  (names are all we need)
        except FileNotFoundError:
            return []
        return [name for name in names if COMMIT.fullmatch(name)]

    def pinned(self) -> Pin | None:
        """Return what a rollback holds, None where the branch is followed."""
        try:
            return msgspec.json.decode((self.state / "pin.json").read_bytes(), type=Pin)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise MirrorError(
                f"{self.state / 'pin.json'}: cannot be read: {error}",
                hint=f"`nbpipe release unpin --collection {self.name}` removes it.",
            ) from error

    def pin(self, pin: Pin | None) -> None:
        """Hold that release whatever the branch does, or (None) follow the branch again."""
        if pin is None:
            (self.state / "pin.json").unlink(missing_ok=True)
        else:
            data = msgspec.json.encode(pin)
            files.replace(self.state / "pin.json", data, mode=private.FILE, durable=True)
        files.sync_folder(self.state)

    def check(self) -> None:
        """Refuse folders in which a release is not safe, or cannot be; makes none.

        Raises:
            MirrorError: One of them is a link or others may write in it, or they are on two file
                systems.
        """
        for folder in (self.path.parent, *self._folders()):
            _refuse_unsafe(folder)
        self._refuse_two_file_systems()

    def prepare(self) -> None:
        """Make the folders, with modes that do not depend on the umask.

        Raises:
            MirrorError: One of them is a link or others may write in it, or they are on two file
                systems.
        """
        self.check()
        make_root(self.path.parent)
        for folder, mode in (
            (self.path, 0o755),
            (self.releases_folder, 0o755),
            (self.state.parent, private.FOLDER),
            (self.state, private.FOLDER),
        ):
            try:
                folder.mkdir()
            except FileExistsError:
                if mode == private.FOLDER:
                    private.close(folder)  # of an earlier version
                continue
            folder.chmod(mode)
        self._refuse_two_file_systems()

    def _folders(self) -> tuple[Path, ...]:
        return self.path, self.releases_folder, self.state.parent, self.state

    def _refuse_two_file_systems(self) -> None:
        there = [folder for folder in self._folders() if folder.is_dir()]
        for other in there[1:]:
            if other.stat().st_dev == there[0].stat().st_dev:
                continue
            raise MirrorError(
                f"{there[0]} and {other} are on two file systems, and a release is hard links",
                hint=f"Mount one file system at {self.path.parent} or above, and nothing below it.",
            )

    def flip(self, commit: str) -> None:
        """Make that release the current one: one atomic rename; a left-over link is no obstacle."""
        target = Path("releases") / commit
        files.relink(self.link, target, fresh=self.state / "current.new")


def _refuse_unsafe(folder: Path) -> None:
    """Refuse a folder in which somebody else could put other files in the place of ours.

    Raises:
        MirrorError: It is a link, no folder, or everybody may write in it.
    """
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise MirrorError(
            f"{folder}: is a symbolic link, whose target may change",
            hint=f"Have `root` name the folder itself: {os.path.realpath(folder)}",
        )
    if not stat.S_ISDIR(mode):
        raise MirrorError(f"{folder}: is not a folder", hint="Move it away.")
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise MirrorError(
            f"{folder}: every user of this machine may write in it (mode {mode & 0o7777:04o})",
            hint=f"See who has written there, then: chmod 755 {quote(os.fspath(folder))}",
        )


def make_root(root: Path) -> None:
    """Make the folder of all mirrors, and what is missing above; readers pass whatever the umask.

    Raises:
        OSError: It cannot be made.
    """
    for folder in (*reversed(root.parents), root):
        if not folder.exists():
            with suppress(FileExistsError):  # another process was quicker
                folder.mkdir()
                folder.chmod(0o755)
