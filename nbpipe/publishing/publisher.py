"""What is done to a mirror, one step at a time and under the lock; when, others decide.

Every step can be repeated and can be cut short anywhere: a release is in `releases` only when it
is whole, and what lies in `building` and `trash` belongs to nobody once the lock is free.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from nbpipe.publishing import lock
from nbpipe.publishing.errors import Busy, MirrorError, Refused, Stopped
from nbpipe.publishing.origin import address
from nbpipe.publishing.origin.cache import Cache, DamagedCacheError
from nbpipe.publishing.origin.tree import Reader
from nbpipe.publishing.releases import build, gate, manifest, outputs, retention, verify
from nbpipe.publishing.releases.journal import Entry, Event, Trigger, at
from nbpipe.publishing.releases.mirror import Mirror
from nbpipe.publishing.releases.spare import Spare
from nbpipe.publishing.releases.witness import Witness
from nbpipe.system import files, private
from nbpipe.system.rename import exchange

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.config.settings import CollectionSettings
    from nbpipe.publishing.releases.manifest import File, Manifest
    from nbpipe.publishing.releases.verify import Damage
    from nbpipe.publishing.releases.witness import Seen

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Suspicions:
    """What was touched while a gate ran; whether it is damaged is to be seen."""

    releases: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    current: str | None = None
    """Where the link led before; None where it still does."""
    store: bool = False


class Publisher:
    """The steps for one collection."""

    def __init__(
        self, settings: CollectionSettings, *, environ: Mapping[str, str], now: Callable[[], float]
    ) -> None:
        """Take the settings.

        Args:
            settings: The collection's.
            environ: Where `env:NAME` secrets are.
            now: Seconds since the epoch.

        Raises:
            ConfigError: They cannot work.
        """
        address.check(settings)
        self.settings = settings
        self.mirror = Mirror.of(settings)
        self.environ = environ
        self.now = now
        self.moment = retention.moment
        """What the age of a release is counted by."""
        self.cache = Cache(settings, self.mirror.state, environ=environ)
        self.store = build.Store(self.mirror.state / "store", max_links=settings.max_links)
        self._reader = Reader(settings, self.cache)
        self._building = self.mirror.state / "building"
        self._spare = Spare(self._building)
        self._trash = self.mirror.state / "trash"
        self._up_to_date = ""
        self._witness = Witness(self.mirror, self.store.folder)
        self._manifests = self.mirror.state / "manifests"
        self._kept = outputs.Kept(self.mirror.state / "outputs")

    @contextmanager
    def at_work(self, *, patience: float, stop: threading.Event | None = None) -> Iterator[None]:
        """Hold the collection's lock, with everything in place and cleared up.

        Raises:
            Busy: Another process had it for `patience` seconds.
            Stopped: `stop` was set while it was waited for.
            MirrorError: The disk says no.
        """
        with self.disk():
            self.mirror.prepare()
            with lock.held(self.mirror.state / "lock", patience=patience, stop=stop) as crashed:
                suspicions = self._suspicions(self._witness.remembered()) if crashed else None
                if crashed:
                    self._recover()
                else:
                    self.cache.unlock()  # of a git that was killed, and not with its nbpipe
                self._building.mkdir(private.FOLDER, exist_ok=True)
                self._trash.mkdir(private.FOLDER, exist_ok=True)
                if not (self.store.folder / "ff").is_dir():
                    self.store.prepare()
                self.cache.open()
                try:
                    if suspicions:
                        self._mend(suspicions)
                    yield
                except BaseException:
                    self.cache.close()
                    raise

    def fetch(self) -> str:
        """Return the branch's head, with everything that it needs in the cache.

        Raises:
            PublishError: As the cache says; a damaged one is made anew, once.
        """
        return self._healed(self.cache.fetch)

    def make(self, commit: str) -> Manifest:
        """Have that commit's release on disk, whole, and return what it holds.

        One that is there stays as it is; see `renew`.

        Raises:
            Refused: The tree or the gate says no.
            MirrorError: No room, or the cache does not have it.
        """
        folder = self.mirror.release(commit)
        if folder.is_dir():
            build.seal(folder)
            return self.manifest(commit)
        return self._healed(lambda: self._make(commit))

    def outdated(self, commit: str) -> bool:
        """Return whether that release is there and was made under other settings."""
        if self._up_to_date == commit or not self.mirror.release(commit).is_dir():
            return False
        held = self.manifest(commit)
        if (held.policy, held.outputs) != (self._reader.policy, outputs.rule(self.settings)):
            return True
        self._up_to_date = commit  # looked at once: a poll need not read it again
        return False

    def renew(self, commit: str, trigger: Trigger) -> Manifest | None:
        """Make that release, which is there, under the present settings.

        The other one takes its place in one step; None where nothing in it differs. What a gate
        has passed under the same rules of outputs is not run again.

        Raises:
            Refused: It must not be published any more; what is there stays.
            MirrorError: No room, or the cache does not have it.
        """
        held = self.manifest(commit)
        try:
            made = self._healed(lambda: self._reader.manifest(commit))
            if made.sources == held.sources and held.outputs == outputs.rule(self.settings):
                known = msgspec.structs.replace(held, policy=made.policy)
                manifest.write(self._manifests, known if held.outputs else made)
                return None
            made = self._healed(lambda: self._anew(made, held))
        except Refused as error:
            raise Refused(
                f"{error.args[0]}\n(the settings have changed: the release of that commit stays "
                "as it was made under the earlier ones)",
                hint="Change them back, or push a commit that passes.",
            ) from error
        self._place(made)
        manifest.write(self._manifests, made)
        why = "the settings changed"
        self.record(Event.REMADE, commit, trigger, reason=why, executed=made.executed)
        return made

    def guard(self, commit: str, *, instead_of: str, accepted: bool = False) -> None:
        """Refuse a commit that takes most of the files away from readers, unless that is wanted.

        Args:
            commit: What is to be shown.
            instead_of: What is shown now.
            accepted: Remember that a person wants this commit.

        Raises:
            Refused: It is, or may not be published at all.
        """
        before = manifest.read(self._manifests, instead_of)
        if before is None:
            return
        if self.mirror.release(commit).is_dir():
            after = self.manifest(commit)
        else:
            after = self._healed(lambda: self._reader.manifest(commit))
        lost = manifest.loss(before, after)
        if lost <= self.settings.loss_allowed:
            return
        what = f"{lost:.0%} of the {len(before.files):,} files of {instead_of[:12]} are not in it"
        if accepted:
            self.record(Event.LOSS_ACCEPTED, commit, Trigger.MANUAL, reason=what)
        elif not any(
            entry.event is Event.LOSS_ACCEPTED and entry.commit == commit
            for entry in self.mirror.journal.entries()
        ):
            name = self.settings.name
            raise Refused(
                f"{name}: commit {commit} is not published: {what} "
                f"(it has {len(after.files):,}), and `max-loss` is {self.settings.max_loss}",
                hint=f"To publish it: `nbpipe publish {name} --accept-loss {commit[:12]}`. "
                "The last release stays until then.",
            )

    def manifest(self, commit: str) -> Manifest:
        """Return what that release holds; read again from git where the record was lost."""
        known = manifest.read(self._manifests, commit)
        if known is None:
            known = self._healed(lambda: self._reader.manifest(commit))
            manifest.write(self._manifests, known)
        return known

    def show(self, commit: str) -> None:
        """Make the release, which must be on disk, the current one."""
        self.mirror.flip(commit)

    def record(self, event: Event, commit: str, trigger: Trigger, **fields: Any) -> None:  # noqa: ANN401  (the fields of Entry)
        """Write a line of the journal, at the present time."""
        self.mirror.journal.append(
            Entry(time=at(self.now()), event=event, commit=commit, trigger=trigger, **fields)
        )

    def damages(self, commit: str) -> list[Damage]:
        """Return what in that release is not as it was published."""
        return verify.examine(self.mirror.release(commit), self.manifest(commit))

    def repair(self, commit: str, damages: Iterable[Damage]) -> None:
        """Build the release anew, and swap it for the damaged one in one step."""
        held = self.manifest(commit)
        self._forget(held, damages)
        whole = outputs.stored(held, self._kept, self.cache.size)
        self._healed(lambda: self._build(whole))
        if whole is not held:  # git has only what is stored; the next look asks the gate again
            self._up_to_date = ""
            manifest.write(self._manifests, whole)
        self._place(whole)

    def collect_garbage(self, *, dry_run: bool = False) -> list[str]:
        """Remove the releases that are neither young nor among the newest; return which."""
        current, pin = self.mirror.current(), self.mirror.pinned()
        order = list(retention.last_current(self.mirror.journal.entries()))
        # An age is time that the machine really spent, not what the clock on the wall says: one
        # that was set wrong for an hour must not make every release old.
        ages = retention.look(
            self._ages(),
            self.moment(),
            releases=sorted(
                self.mirror.releases(),
                key=lambda commit: order.index(commit) if commit in order else -1,
                reverse=True,
            ),
            current=current,
            keep=self.settings.keep,
        )
        gone = retention.expired(
            {commit: at(seconds) for commit, seconds in ages.last.items()},
            keep=self.settings.keep,
            spared={current or "", pin.commit if pin else ""},
            now=at(ages.elapsed),
        )
        # The ages are on the disk before anything goes, so that a removal that is cut short is
        # taken up by the next one with the same answer.
        if not dry_run:
            data = msgspec.json.encode(ages)
            files.replace(self.mirror.state / "ages.json", data, mode=private.FILE, durable=True)
        if gone and not dry_run:
            for commit in gone:
                self._retire(commit)
            self.store.sweep()
        if not dry_run:
            self._sweep_outputs()
        return gone

    def settle(self) -> None:
        """Look whether the current release is whole, and mend it where it is not.

        After a power failure some file systems have the flip and not all that came before it.
        """
        commit = self.mirror.current()
        if commit is None or not self.mirror.release(commit).is_dir():
            return
        build.seal(self.mirror.release(commit))
        held = self.manifest(commit)
        damages = verify.examine(self.mirror.release(commit), held, content=False)
        if damages:
            self.repair(commit, damages)
            what = f"{len(damages)} damages, the first: {damages[0]}"
            self.record(Event.REPAIRED, commit, Trigger.STARTUP, reason=what)

    def prepare(self) -> None:
        """Link the current release once more, for the next one to begin with.

        Raises:
            MirrorError: There is no room, or what the store has lost is not in the cache either.
        """
        commit = self.mirror.current()
        if commit is not None and not self._spare.ready:
            self._spare.make(self.manifest(commit), self.store, self._content)

    def tidy(self) -> None:
        """Have the cache keep what the releases need, and nothing for ever."""
        self.cache.tidy(commit for commit in self.mirror.releases() if self.cache.has(commit))

    def close(self) -> None:
        """End the helpers, and remove what was prepared where nobody is at work."""
        if self._spare.ready:
            with suppress(MirrorError, Busy, Stopped), self.at_work(patience=0):
                self._spare.drop()
        self._spare.let_go()
        self.cache.close()

    def _make(self, commit: str) -> Manifest:
        made = self._candidate(self._reader.manifest(commit))
        manifest.write(self._manifests, made)
        target = self.mirror.release(commit)
        (self._building / commit).rename(target)
        build.seal(target)
        return made

    def _candidate(self, made: Manifest) -> Manifest:
        """Build it and have the gate's word; return what it holds then."""
        self._build(made)
        if self.settings.gate:
            return self._pass_gate(made)
        if self.settings.outputs == "stored":
            return made
        what = 'every notebook is published as stored: `outputs = "executed"` needs a `gate`'
        return msgspec.structs.replace(
            made, outputs=outputs.rule(self.settings), warnings=(*made.warnings, what)
        )

    def _anew(self, made: Manifest, held: Manifest) -> Manifest:
        """Build what replaces a release; its stored files have passed the gate already."""
        if held.outputs and self.settings.outputs == "stored" and made.sources == held.sources:
            self._build(made)
            return made
        return self._candidate(made)

    def _sweep_outputs(self) -> None:
        known = (manifest.read(self._manifests, each) for each in self.mirror.releases())
        self._kept.sweep(f.blob for each in known if each for f in each.files if f.source)

    def _place(self, made: Manifest) -> None:
        """Put what was built in the place of the release; readers see the one or the other."""
        fresh, old = self._building / made.commit, self.mirror.release(made.commit)
        if not (old.is_dir() and self._swap(fresh, old)):
            if old.is_dir() and self.mirror.current() == made.commit:
                self._detour(made)
            self._take_away(made.commit)
            fresh.rename(old)
        build.seal(old)
        files.sync_folder(self.mirror.releases_folder)
        if self.mirror.current() is None:
            self.mirror.flip(made.commit)
        self._clear_detours()
        build.remove(fresh)

    def _detour(self, made: Manifest) -> None:
        """Have readers see what was built at another place, and build it once more.

        For file systems that cannot swap two folders (NFS): meanwhile the release can be replaced.
        """
        aside = self.mirror.releases_folder / _detour_of(made.commit)
        build.remove(aside)
        (self._building / made.commit).rename(aside)
        build.seal(aside)
        self.mirror.flip(aside.name)
        self._build(made)

    def _clear_detours(self) -> None:
        for left in self.mirror.releases_folder.glob(_detour_of("*")):
            build.remove(left)

    def _ages(self) -> retention.Ages | None:
        try:
            text = (self.mirror.state / "ages.json").read_bytes()
            return msgspec.json.decode(text, type=retention.Ages)
        except (OSError, msgspec.DecodeError):
            return None

    def _build(self, made: Manifest) -> None:
        candidate = self._building / made.commit
        build.remove(candidate)
        try:
            if (spare := self._spare.take(candidate)) is not None:
                build.change(candidate, spare, made, self.store, self._content)
            else:
                build.build(made, candidate, self.store, self._content)
        except BaseException:
            # What a full disk holds of it would be missing elsewhere.
            build.remove(candidate)
            raise

    def _content(self, file: File) -> Iterable[bytes]:
        if file.source:
            return (self._kept.content(file.blob),)
        return self.cache.large(file) if file.large else self.cache.chunks(file.blob)

    def _pass_gate(self, made: Manifest) -> Manifest:
        candidate = self._building / made.commit
        own = self._building / "gate" / made.commit
        left = self._building / "run" if self.settings.outputs == "executed" else None
        try:
            build.remove(own.parent)
            own.parent.mkdir()
            if left:
                build.remove(left)
                left.mkdir(private.FOLDER)
            build.copy(made, candidate, own)
            self._watched(made, candidate, own, left)
            return self._with_outputs(made, candidate, own, left) if left else made
        except BaseException:
            build.remove(candidate)
            raise
        finally:
            build.remove(own.parent)
            if left:
                build.remove(left)

    def _with_outputs(self, made: Manifest, candidate: Path, own: Path, left: Path) -> Manifest:
        """Put what the gate's run made into the candidate; what nobody has run stays stored."""
        executed = outputs.take(
            made,
            left,
            candidate=own,
            settings=self.settings,
            source=lambda file: b"".join(self.cache.chunks(file.blob)),
            kept=self._kept,
        )
        build.change(candidate, made, executed, self.store, self._content)
        return executed

    def _watched(self, made: Manifest, candidate: Path, own: Path, left: Path | None) -> None:
        """Ask the gate about its own copy; compare all else at its end, whatever that is."""
        seen, as_made = self._witness.look(candidate), verify.fingerprint(own)
        self._witness.remember(seen)
        try:
            gate.ask(
                self.settings,
                own,
                outputs=left,
                commit=made.commit,
                previous=seen.current,
                environ=self.environ,
                stop=self.cache.stop,
            )
        finally:
            touched = seen.candidate != verify.fingerprint(candidate)
            damages = verify.examine(candidate, made, top=0o755) if touched else []
            if damages:
                self._forget(made, damages)
            changed = self._mend(self._suspicions(seen))
        if changed:
            raise self._changed(f"the gate changed {changed}, which was repaired")
        if verify.fingerprint(own) != as_made:
            damages = damages or verify.examine(own, made)
        if damages:
            raise self._changed(f"the gate changed the candidate {made.commit}: {damages[0]}")

    def _changed(self, what: str) -> Refused:
        return Refused(
            f"{self.settings.name}: {what}",
            hint="A gate may only read; have it write to a folder of its own.",
        )

    def _suspicions(self, seen: Seen | None) -> _Suspicions:
        """Return what is not as it was before the gate."""
        if seen is None:
            return _Suspicions()
        now = self._witness.look()
        return _Suspicions(
            releases=tuple(c for c in seen.releases if now.releases.get(c) != seen.releases[c]),
            added=tuple(c for c in now.releases if c not in seen.releases),
            current=seen.current if now.current != seen.current else None,
            store=now.store != seen.store,
        )

    def _mend(self, suspicions: _Suspicions) -> str:
        """Put right what a gate did to releases and link; return what that was, for people."""
        changed = []
        for commit in suspicions.releases:
            if damages := self.damages(commit):
                self.repair(commit, damages)
                what = f"a gate changed it, {len(damages)} damages, the first: {damages[0]}"
                self.record(Event.REPAIRED, commit, Trigger.MANUAL, reason=what)
                changed.append(f"the published release {commit} ({damages[0]})")
        for commit in suspicions.added:
            build.remove(self.mirror.release(commit))
            changed.append(f"the releases: it added {commit}")
        if suspicions.current:
            self.show(suspicions.current)
            changed.append("the link `current`")
        if suspicions.store:
            # What the releases use of it is looked at with them; the rest can be read again.
            self.store.sweep()
        self._witness.forget()
        return ", ".join(changed)

    def _forget(self, made: Manifest, damages: Iterable[Damage]) -> None:
        # The store's file is the same inode: what is wrong in the release is wrong there,
        # and in the spare, whosever that is.
        self._spare.drop()
        spoiled = {damage.path for damage in damages}
        for file in made.files:
            entry = self.store.entry(file.key)
            if file.path in spoiled and not verify.intact(entry, file):
                entry.unlink(missing_ok=True)

    def _retire(self, commit: str) -> None:
        """Take a release away from readers in one step, then remove it, and what is known of it."""
        self._take_away(commit)
        (self._manifests / f"{commit}.json").unlink(missing_ok=True)

    def _take_away(self, commit: str) -> None:
        folder, aside = self.mirror.release(commit), self._trash / commit
        build.remove(aside)
        if folder.is_dir():
            folder.chmod(0o755)
            folder.rename(aside)
            build.remove(aside)

    def _swap(self, fresh: Path, old: Path) -> bool:
        """Exchange two folders in one step; False where the file system cannot."""
        old.chmod(0o755)
        one, other = files.open_folder(fresh.parent), files.open_folder(old.parent)
        try:
            return exchange(fresh.name, old.name, folder=one, other_folder=other)
        finally:
            os.close(one)
            os.close(other)

    def _recover(self) -> None:
        if self.mirror.current() is not None:
            self._clear_detours()
        for folder in (self._building, self._trash):
            if folder.is_dir():
                for left in folder.iterdir():
                    build.remove(left)
        self.cache.recover()

    def _healed(self, step: Callable[[], T]) -> T:
        """Run a step; where the cache lacks something, once more when that was fetched."""
        try:
            return step()
        except DamagedCacheError:
            self.cache.heal()
        try:
            return step()
        except DamagedCacheError as error:
            raise MirrorError(
                f"{self.settings.name}: the origin does not have what is needed either: {error}"
            ) from error

    @contextmanager
    def disk(self) -> Iterator[None]:
        """Say for people what the disk refuses.

        Raises:
            MirrorError: Instead of an OSError.
        """
        try:
            yield
        except OSError as error:
            where = error.filename if isinstance(error.filename, str) else self.mirror.state
            hint = "The last release stays; it is tried again."
            if isinstance(error, PermissionError):
                hint = f"The last release stays. Only the owner of {self.mirror.path} may do this."
            if error.errno == errno.EXDEV:
                hint = (
                    f"The last release stays. {self.mirror.path} and {self.mirror.state} must be "
                    "on one file system: mount it at the root or above, and nothing below it."
                )
            raise MirrorError(
                f"{self.settings.name}: {where}: {os.strerror(error.errno or 0)}", hint=hint
            ) from error


def _detour_of(commit: str) -> str:
    """Return the name under which a release is shown while the one in its place is replaced."""
    return f".{commit}.new"
