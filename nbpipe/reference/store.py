"""The folders of reference runs, on a file system that all hosts of a site share.

    STORE/NAME/runs/RUN/            one run, from its submission on
      request.json                  what was asked for; never changed
      submission.json               the job's unique name (before submitting), then its id
      standing.json                 what was last known of the job and its children
      job.json interpreter setup.sh what the job reads; bin/, bash_env.sh the recorder
      children/                     what it noted, where the job ran, which jobs a scheduler named
      search.json                   when schedulers were last asked for more jobs of the run
      work/                         the collection as it was submitted; the notebook runs in it
      result.json                   written by the job, at once and last
      manifest.json                 written by `collect`
    STORE/NAME/releases/RELEASE/REVISION/
      manifest.json, files/         a promoted run; read-only. A later revision is an acceptance.
      record/                       the executed notebook, logs, what was asked for and answered

Every file is written whole (beside its place, then renamed); a release's folder appears by one
rename and is never written again. It owns its bytes: whoever rewrites a file of the run, or the
target of a link in it, does not write into the release. Nothing here asks a scheduler or looks
into a data product.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.errors import UsageError
from nbpipe.reference import manifest as manifests
from nbpipe.system import private
from nbpipe.system.accounts import owner_of
from nbpipe.system.files import copy_file, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nbpipe.reference.manifest import Manifest

    Documents = Callable[[Manifest], Mapping[str, bytes]]

VARIABLE = "NBPIPE_REFERENCE"
"""Names the store where it is not in the user's own data directory."""

RECORD = "record"
RECORDED = (
    *("job.out", "job.err", "request.json", "submission.json", "standing.json", "result.json"),
    *("inputs.json", "setup.sh"),
)
"""Files of a run that its release keeps, where they are."""

MEMORIES = ("standing.json",)
"""Files without which the next look asks again: who may only read a run does without."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
_RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
_KILLED_SECONDS = 3 * 86_400.0
"""After so long nobody fills the folder of a promotion any more."""


def location(environ: Mapping[str, str], given: Path | None = None) -> Path:
    """Return the store's folder: what is given, the variable's, or the user's own."""
    import platformdirs  # noqa: PLC0415

    named = environ.get(VARIABLE)
    if given is not None:
        return given.absolute()
    return Path(named) if named else Path(platformdirs.user_data_path("nbpipe")) / "reference"


def checked(text: str, what: str) -> str:
    """Return the text if it can name a folder of the store.

    Raises:
        UsageError: It cannot.
    """
    if _NAME.fullmatch(text):
        return text
    raise UsageError(
        f"{what}: {text!r} cannot be used as a name",
        hint="Letters, digits and _.+- are accepted; the first is a letter or a digit.",
    )


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The folder of one run."""

    folder: Path

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def name(self) -> str:
        """The reference's name, as in `[reference.NAME]`."""
        return self.folder.parent.parent.name

    @property
    def work(self) -> Path:
        """Where the notebook runs, and leaves its products."""
        return self.folder / "work"

    @property
    def files(self) -> Path | None:
        """Its data products; None where somebody has purged them, or they may not be read."""
        return self.work if os.access(self.work, os.R_OK | os.X_OK) else None

    def read(self, name: str) -> dict[str, Any]:
        """Return one of its JSON files; {} where it is not there (yet).

        Raises:
            UsageError: It is damaged.
        """
        return read_json(self.folder / name)

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one of its JSON files, whole; what is only a memory may not be writable.

        Raises:
            UsageError: The run is somebody else's, the disk is full, or the like.
        """
        try:
            write_json(self.folder / name, value)
        except OSError as error:
            if name not in MEMORIES:
                raise unwritable(self.folder / name, error) from error

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return self.read("request.json")

    def manifest(self) -> Manifest:
        """Return its manifest.

        Raises:
            UsageError: It was not collected.
            ManifestError: It cannot be read.
        """
        file = self.folder / "manifest.json"
        if os.access(self.folder, os.X_OK) and not file.exists():
            raise UsageError(
                f"run {self.id} of {self.name} has no manifest yet",
                hint=f"nbpipe reference collect {self.id}",
            )
        return manifests.read(file)


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """One revision of a release's reference."""

    folder: Path

    @property
    def release(self) -> str:
        """The release's name."""
        return self.folder.parent.name

    @property
    def name(self) -> str:
        """The reference's name."""
        return self.folder.parent.parent.parent.name

    @property
    def label(self) -> str:
        """Its names with the revision, and whether its data is there."""
        data = "" if self.files else ", without its data"
        return f"{self.name} {self.release} (revision {self.revision}{data})"

    @property
    def revision(self) -> int:
        """1 for the promoted run; one more for each acceptance."""
        return int(self.folder.name)

    @property
    def files(self) -> Path | None:
        """Its data products; None where somebody has purged them."""
        folder = self.folder / "files"
        return folder if os.path.isdir(folder) else None  # noqa: PTH112  (raises nothing)

    def manifest(self) -> Manifest:
        """Return its manifest.

        Raises:
            ManifestError: It cannot be read.
        """
        return manifests.read(self.folder / "manifest.json")


class Store:
    """All runs and releases below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def new_run(self, name: str, run: str) -> StoredRun:
        """Make the folder of a new run.

        Raises:
            UsageError: The name cannot be, or the store cannot be written.
        """
        folder = self.root / checked(name, "--name") / "runs" / run
        try:
            private.make_folder(folder.parent)
            folder.mkdir(private.FOLDER if private.is_ours(folder) else 0o777)
        except OSError as error:
            raise UsageError(
                f"{folder}: the run cannot be stored: {error.strerror}",
                hint=f"Name another store with --store or {VARIABLE}.",
            ) from error
        return StoredRun(folder)

    def runs(self, name: str | None = None) -> list[StoredRun]:
        """Return all runs, oldest first.

        Raises:
            UsageError: The store cannot be read.
        """
        found = [
            each
            for folder in self._named(name)
            for each in _listed(folder / "runs")
            if _RUN.fullmatch(each.name)
        ]
        runs = [StoredRun(each) for each in found]
        return sorted(runs, key=lambda run: (run.id, run.name))

    def run(self, text: str) -> StoredRun:
        """Return the run that is meant: its id, the beginning of it, or `latest`.

        Raises:
            UsageError: There is none, or several.
        """
        name, slash, wanted = text.rpartition("/")
        runs = self.runs(name if slash else None)
        if wanted == "latest" and runs:
            return runs[-1]
        chosen = [run for run in runs if run.id.startswith(wanted)]
        if len(chosen) == 1:
            return chosen[0]
        told = ", ".join(f"{run.name}/{run.id}" for run in (chosen or runs)[-5:])
        releases = [f"{name}/{each.release}" for each in self.releases(name)] if slash else []
        told = "; releases: ".join(filter(None, (told, ", ".join(releases))))
        nothing = "neither a run nor a release is called" if slash else "no run is called"
        raise UsageError(
            f"{self.root}: {'several runs begin with' if chosen else nothing} {text!r}",
            hint=f"There are: {told}." if told else "Submit one: nbpipe reference submit.",
        )

    def releases(self, name: str | None = None) -> list[StoredRelease]:
        """Return the newest revision of each release, oldest promotion first.

        Raises:
            UsageError: The store cannot be read.
        """
        newest: dict[Path, StoredRelease] = {}
        for folder in self._revisions(name):
            found = StoredRelease(folder)
            known = newest.get(folder.parent)
            if known is None or known.revision < found.revision:
                newest[folder.parent] = found
        return sorted(newest.values(), key=_age)

    def _named(self, name: str | None) -> list[Path]:
        return [self.root / name] if name else _listed(self.root)

    def _revisions(self, name: str | None) -> Iterator[Path]:
        """Yield the folders of all revisions; not those that are being made."""
        for folder in self._named(name):
            for release in _listed(folder / "releases"):
                yield from (each for each in _listed(release) if each.name.isdecimal())

    def release(self, name: str, release: str) -> StoredRelease | None:
        """Return the newest revision of a release, None where there is none."""
        found = [each for each in self.releases(name) if each.release == release]
        return found[0] if found else None

    def named(self, text: str) -> StoredRelease:
        """Return the newest revision of the release `NAME/RELEASE`.

        Raises:
            UsageError: There is none.
        """
        name, _, release = text.partition("/")
        if (found := self.release(name, release) if release else None) is None:
            raise UsageError(
                f"{self.root}: release not found: {text}",
                hint="Name it as NAME/RELEASE; `nbpipe reference list` shows them.",
            )
        return found

    def chosen(self, text: str | None) -> list[StoredRelease]:
        """Return the releases that `NAME`, `NAME/RELEASE` or nothing stands for.

        Raises:
            UsageError: There is none.
        """
        name, _, release = (text or "").partition("/")
        found = [each for each in self.releases(name or None) if release in {"", each.release}]
        if not found:
            raise UsageError(
                f"{self.root}: release not found: {text}" if text else f"{self.root}: no releases",
                hint="`nbpipe reference list` shows releases and runs.",
            )
        return found

    def promote(
        self, run: StoredRun, manifest: Manifest, documents: Documents = lambda _: {}
    ) -> StoredRelease:
        """Make a run the reference of its manifest's release, for ever.

        Args:
            run: The run.
            manifest: Its manifest, with the release's name.
            documents: What stands beside the manifest, made from the final one.

        Raises:
            UsageError: The release has a reference already, or cannot be written.
        """
        release = checked(manifest.release or "", "--release")
        folder = self.root / run.name / "releases" / release / "1"
        if folder.exists():
            raise UsageError(
                f"release {release} of {run.name} has a reference already: {folder}",
                hint="A reference never changes: promote under another release, or `accept`.",
            )
        products = {each.path: run.work / each.path for each in manifest.outputs}
        self._publish(folder, manifest, products, _record(run), documents)
        return StoredRelease(folder)

    def accept(
        self,
        old: StoredRelease,
        manifest: Manifest,
        products: Mapping[str, Path],
        documents: Documents = lambda _: {},
    ) -> StoredRelease:
        """Make a new revision of a release's reference.

        Args:
            old: The revision it is based on.
            manifest: The new one's.
            products: Output's path -> the file to keep.
            documents: What stands beside the manifest, made from the final one.

        Raises:
            UsageError: Somebody else made that revision first, or it cannot be written.
        """
        folder = old.folder.with_name(str(old.revision + 1))
        record = {each.path: old.folder / RECORD / each.path for each in manifest.record}
        self._publish(folder, manifest, products, record, documents)
        return StoredRelease(folder)

    def _publish(
        self,
        folder: Path,
        manifest: Manifest,
        products: Mapping[str, Path],
        record: Mapping[str, Path],
        documents: Documents,
    ) -> None:
        """Fill a folder beside its place, make it read-only, and put it there by one rename."""
        _clear_leftovers(folder.parent)
        fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        try:
            (fresh / "files").mkdir(parents=True)
            _keep_products(manifest, products, fresh / "files")
            kept = _keep_record(record, fresh / RECORD)
            whole = replace(manifest, record=kept)
            manifests.write(whole, fresh / "manifest.json")
            for name, content in documents(whole).items():
                (fresh / name).write_bytes(content)
            seal(fresh)
            fresh.chmod(0o755)  # or it could not be renamed
            fresh.rename(folder)
            folder.chmod(0o555)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise unwritable(folder, error) from error
            raise UsageError(
                f"{folder}: the reference cannot be written: somebody was quicker",
                hint="Look at `nbpipe reference list`.",
            ) from error
        finally:
            if fresh.exists():
                unseal(fresh)
                shutil.rmtree(fresh, ignore_errors=True)


def _clear_leftovers(place: Path) -> None:
    """Remove what a promotion left that was killed days ago."""
    for left in place.glob(".*.????????"):
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > _KILLED_SECONDS:
                unseal(left)
                shutil.rmtree(left, ignore_errors=True)


def _record(run: StoredRun) -> dict[str, Path]:
    """Return what of a run belongs to its release beside the products."""
    found = {name: run.folder / name for name in RECORDED}
    request = run.request
    if "notebook" in request:
        found[f"notebook/{request['notebook']}"] = run.work / request["notebook"]
    for folder in ("executed", "children"):
        for file in (run.folder / folder).rglob("*"):
            found[file.relative_to(run.folder).as_posix()] = file
    return {name: file for name, file in found.items() if file.is_file()}


def _keep_products(manifest: Manifest, products: Mapping[str, Path], into: Path) -> None:
    """Copy the products, and hold each against its digest in the manifest.

    Raises:
        UsageError: One is gone, or is not what was collected.
    """
    digests = {each.path: each.sha256 for each in manifest.outputs}
    for path, source in products.items():
        wanted = digests.get(path)
        if wanted is None:  # a FIFO, a link to nothing: described, and without content
            continue
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (why := _unreadable(source)) is None and copy_file(source, target) != wanted:
            why = "has changed since it was collected"
        if why is not None:
            raise UsageError(
                f"{source}: {why}: the reference was not made",
                hint="Restore it, or collect the run again and look at what is different.",
            )


def _unreadable(file: Path) -> str | None:
    """Return why a file cannot be read, None where it can: apart from why a copy cannot be made."""
    try:
        with file.open("rb"):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _keep_record(record: Mapping[str, Path], into: Path) -> tuple[manifests.Kept, ...]:
    kept = []
    for path, source in sorted(record.items()):
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = copy_file(source, target)
        kept.append(manifests.Kept(path=path, bytes=target.stat().st_size, sha256=digest))
    return tuple(kept)


def contents(release: StoredRelease, unread: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield every file of a release's products and record, and every link.

    Args:
        release: The release.
        unread: Is told of a folder that cannot be read.
    """
    for name in ("files", RECORD):
        top = release.folder / name
        if os.path.lexists(top):
            for parent, folders, files in os.walk(top, onerror=unread):
                links = (each for each in folders if Path(parent, each).is_symlink())
                yield from (Path(parent, each) for each in (*files, *links))


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder; nothing where there is none.

    Raises:
        UsageError: It may not be read, which must never look like a store without runs.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def unreadable(path: Path, error: OSError) -> UsageError:
    """Return the error of a file or folder of the store that may not be read."""
    return UsageError(
        f"{path}: cannot be read: {error.strerror}",
        hint=f"Ask {owner_of(path)} to let you read it: chmod -R g+rX, also above it.",
    )


def unwritable(path: Path, error: OSError) -> UsageError:
    """Return the error of a file or folder of the store that cannot be written."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        whose = owner_of(path)
        hint = f"It belongs to {whose}; list, show, compare, verify and export need no more rights."
    elif error.errno == errno.EROFS:
        hint = "Do it on a host that may write there."
    else:
        hint = "Make room, and do the same again: nothing was left half written."
    return UsageError(f"{path}: cannot be written: {error.strerror}", hint=hint)


def _age(release: StoredRelease) -> tuple[float, str]:
    """Return when a release was promoted, whatever was accepted into it since."""
    first = release.folder.with_name("1") / "manifest.json"
    try:
        return first.stat().st_mtime, release.release
    except OSError:
        return 0.0, release.release


def seal(folder: Path) -> None:
    """Take the right to write from everything below a folder, and from itself."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():  # its target is not ours
                path.chmod(path.stat().st_mode & ~0o222)
        for name in folders:
            inner = Path(parent, name)
            if not inner.is_symlink():
                inner.chmod(0o555)
    folder.chmod(0o555)


def unseal(folder: Path) -> None:
    """Give the owner the right back to remove the folder."""
    for parent, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(parent).chmod(0o755)


def read_json(file: Path) -> dict[str, Any]:
    """Return a JSON object; {} where there is no file.

    Raises:
        UsageError: It cannot be read, or is damaged.
    """
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise unreadable(file, error) from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{file}: cannot be read: {why}", hint="Restore it, or submit the run again."
        ) from error
    if not isinstance(value, dict):
        raise UsageError(f"{file}: holds no JSON object", hint="Submit the run again.")
    return value


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, whole and safe from a crash.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    write_text(file, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text, whole and safe from a crash.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    write_whole(file, text.encode("utf-8", "backslashreplace"))


def copy_tree(root: Path, paths: Iterable[Path], into: Path, *, say: Callable[[str], None]) -> None:
    """Copy files from below a folder, with their modes and times; never a link to elsewhere.

    Args:
        root: The folder.
        paths: Relative to it; what has gone meanwhile is passed over.
        into: Where to.
        say: Is told what was left out.
    """
    for path in paths:
        source, target = root / path, into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() and not _inside(source, root):
            say(f"{path}: a link that leads out of the collection is not copied")
        elif source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copy2(source, target)


def _inside(link: Path, root: Path) -> bool:
    to = link.readlink()
    return not to.is_absolute() and Path(os.path.normpath(link.parent / to)).is_relative_to(root)
