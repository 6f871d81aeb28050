"""Make *actual* (the mirror's current release) what is *wanted* (the branch's head).

Level-triggered: a beacon, the start, a poll and a person all cause the same, and a lost, doubled
or late one heals itself. No HTTP here, and no printing.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from nbpipe.errors import NbpipeError
from nbpipe.publishing import health as healths
from nbpipe.publishing.errors import (
    BranchGone,
    Busy,
    MirrorError,
    OriginError,
    PublishError,
    Refused,
    Stopped,
)
from nbpipe.publishing.origin import address, forge
from nbpipe.publishing.publisher import Publisher
from nbpipe.publishing.releases import outputs
from nbpipe.publishing.releases.journal import Event, Trigger
from nbpipe.publishing.schedule import Schedule
from nbpipe.system import files, private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbpipe.config.settings import CollectionSettings
    from nbpipe.publishing.health import Health, Record
    from nbpipe.publishing.releases.mirror import Mirror

_log = logging.getLogger(__name__)

_PATIENCE = 60.0
"""Seconds that one reconciliation waits for another process's."""
_LOOK = 0.5
"""Seconds between two looks at whether another process left a beacon."""
_CLEAN = 3_600.0
"""Seconds between two looks at what has become old."""


class Result(StrEnum):
    """How one reconciliation ended."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    PINNED = "pinned"
    """The branch has another head; a rollback holds."""
    REFUSED = "refused"
    BRANCH_GONE = "branch-gone"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    STOPPED = "stopped"
    """The service ends; nothing is known of the origin, and nothing is wrong."""

    @property
    def good(self) -> bool:
        """Whether nobody need be told."""
        return self in {Result.PUBLISHED, Result.UNCHANGED, Result.PINNED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one reconciliation did."""

    result: Result
    current: str | None = None
    """The release that readers see now."""
    previous: str | None = None
    """The one they saw before; where it is another."""
    wanted: str | None = None
    """The branch's head."""
    forced: bool = False
    """The branch was rewritten."""
    error: str | None = None
    """For people, without secrets; None where the result is good."""
    warnings: tuple[str, ...] = ()
    """What was left out of the release, or published with doubts."""
    seconds: float = 0.0
    """From the start of the fetch until the release was visible."""


class Reconciler:
    """The worker of one collection; any number of processes may have one, a lock orders them."""

    def __init__(
        self,
        settings: CollectionSettings,
        *,
        environ: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the settings; nothing is touched yet.

        Raises:
            ConfigError: They cannot work.
        """
        self.settings = settings
        self.publisher = Publisher(
            settings, environ=os.environ if environ is None else environ, now=now
        )
        self.mirror: Mirror = self.publisher.mirror
        self._now = now
        self._schedule = Schedule(poll=settings.poll, random=jitter)
        self._changed = threading.Condition()
        self._delivery: str | None = None
        self._one_at_a_time = threading.Lock()
        self._cleaned = -math.inf
        self._stop = threading.Event()
        self._unwritten: Record | None = None

    def wake(self, trigger: Trigger, *, delivery: str | None = None) -> None:
        """Ask for a reconciliation and return at once; bursts become one. Any thread may call."""
        with self._changed:
            self._schedule.wake(trigger, time.monotonic())
            self._delivery = delivery or self._delivery
            self._changed.notify_all()

    def reconcile_once(
        self,
        trigger: Trigger = Trigger.MANUAL,
        *,
        delivery: str | None = None,
        again: bool = False,
        accept_loss: str | None = None,
    ) -> Outcome:
        """Reconcile now, in this thread; what goes wrong is in the outcome, not raised.

        Args:
            trigger: Why.
            delivery: The id of the beacon, for the journal.
            again: Try a commit that was refused before.
            accept_loss: The commit (its first digits do) that is published whatever it loses.
        """
        with self._one_at_a_time:
            before = self._read()
            try:
                with self.publisher.at_work(patience=_PATIENCE, stop=self._stop):
                    record, outcome = self._reconcile(
                        before, trigger, delivery, again=again, accept_loss=accept_loss
                    )
                    self._write(record)
            except Stopped as error:
                return Outcome(result=Result.STOPPED, current=self._current(), error=str(error))
            except Busy as error:
                return Outcome(result=Result.FAILED, current=self._current(), error=str(error))
            except NbpipeError as error:
                record, outcome = self._failed(self._read(), error)
                self._write(record)
        return outcome

    def run_forever(self, stop: threading.Event) -> None:
        """Reconcile at the start, for every wake and poll, and after failures, until `stop`.

        A fetch or a gate that is under way then is ended; what was fetched is published, unless
        a gate has to be asked.
        """
        self.stopped_by(stop)
        self.wake(Trigger.STARTUP)
        seen = self._beacon()
        while not stop.is_set():
            with self._changed:
                pause = self._schedule.wait(time.monotonic())
                if pause:
                    self._changed.wait(min(pause, _LOOK))
                    if (left := self._beacon()) != seen:
                        seen = left
                        self._schedule.wake(Trigger.BEACON, time.monotonic())
                        self._delivery = left[1] or self._delivery
                    continue
                trigger, delivery = self._schedule.begin(), self._delivery
                self._delivery = None
            outcome = self._guarded(trigger, delivery)
            with self._changed:
                again = outcome.result in {Result.UNREACHABLE, Result.FAILED}
                self._schedule.end(time.monotonic(), again=again)
                idle = self._schedule.wait(time.monotonic()) > 0
            if idle and outcome.result.good and not stop.is_set():
                self.prepare()
        self.publisher.close()

    def stopped_by(self, stop: threading.Event) -> None:
        """Have that event end what git or a gate is doing, and the waiting for another process."""
        self._stop = self.publisher.cache.stop = stop

    def prepare(self) -> None:
        """Do what can be done of the next release before there is one, where nothing is due.

        It is only a matter of speed: what goes wrong here takes nothing from what is published.
        """
        try:
            with self._one_at_a_time, self.publisher.at_work(patience=0):
                self.publisher.prepare()
        except (Busy, Stopped):
            return
        except NbpipeError as error:
            _log.warning("%s: preparing the next release failed: %s", self.settings.name, error)

    def health(self) -> Health:
        """Return how it is now; also true where another process is the worker."""
        pin = self.mirror.pinned()
        configured = address.repository_of(self.settings)
        known = forge.read(self.mirror, configured) if configured else None
        return healths.judge(
            self._read(),
            settings=self.settings,
            current=self.mirror.current(),
            pinned=pin.commit if pin else None,
            now=self._now(),
            note=forge.advice(known) if known and known.renamed else "",
        )

    def _guarded(self, trigger: Trigger, delivery: str | None) -> Outcome:
        try:
            outcome = self.reconcile_once(trigger, delivery=delivery)
        except Exception as error:  # noqa: BLE001  (one failure must not end the worker)
            _log.exception("%s: reconciling failed", self.settings.name)
            what = f"{self.settings.name}: {type(error).__name__}, see the log"
            record, outcome = self._failed(self._read(), MirrorError(what))
            self._write(record)
        if outcome.result is Result.STOPPED:
            _log.info("%s", outcome.error)
        elif outcome.error:
            _log.error("%s", outcome.error)
        elif outcome.result is Result.PUBLISHED:
            _log.info("%s: published %s", self.settings.name, outcome.current)
        return outcome

    def _reconcile(
        self,
        record: Record,
        trigger: Trigger,
        delivery: str | None,
        *,
        again: bool,
        accept_loss: str | None,
    ) -> tuple[Record, Outcome]:
        started = time.monotonic()
        publisher, mirror = self.publisher, self.mirror
        if trigger is Trigger.STARTUP:
            # Whatever a killed process left half done is undone before anything is built on it.
            publisher.settle()
        previous = mirror.current()
        try:
            wanted = publisher.fetch()
        except Refused as error:
            return self._failed(record, error, seen=False)
        record = msgspec.structs.replace(record, fetched=self._now(), wanted=wanted)
        self._write(record)
        pin = mirror.pinned()
        target = pin.commit if pin else wanted
        accepted = accept_loss is not None and wanted.startswith(accept_loss)
        # What was refused under these rules would be refused again: neither the poll nor a second
        # beacon runs the gate once more for it. A person who asks, or changed rules, do.
        if record.refused == target and record.rules == self._rules() and not (again or accepted):
            return self._failed(record, Refused(record.reason))
        if previous and previous != target and pin is None:
            publisher.guard(target, instead_of=previous, accepted=accepted)
        warnings: tuple[str, ...] = ()
        remade = None
        # A release that was made under other rules (of names, links, sizes) is made again.
        if pin is None and publisher.outdated(target):
            remade = publisher.renew(target, trigger)
            warnings = remade.warnings if remade else ()
        if previous != target or not mirror.release(target).is_dir():
            warnings = publisher.make(target).warnings
            publisher.show(target)
        visible = time.monotonic()
        published = self._note(target, previous, trigger, delivery, warnings, visible - started)
        self._clean(published is not None or trigger is Trigger.STARTUP)
        result = Result.PUBLISHED if previous != target or remade else Result.UNCHANGED
        if pin and pin.commit != wanted:
            result = Result.PINNED
        outcome = Outcome(
            result=result,
            current=target,
            previous=previous if previous != target else None,
            wanted=wanted,
            forced=published or False,
            warnings=warnings,
            seconds=visible - started,
        )
        return _succeeded(record, self._now()), outcome

    def _note(  # noqa: PLR0913, PLR0917  (the fields of one line)
        self,
        target: str,
        previous: str | None,
        trigger: Trigger,
        delivery: str | None,
        warnings: tuple[str, ...],
        seconds: float,
    ) -> bool | None:
        """Write the journal's line of a flip, also of one whose line a crash has cost.

        Returns whether the branch was rewritten, None where there was nothing to write.
        """
        last = self.mirror.journal.last(Event.PUBLISHED, Event.ROLLED_BACK)
        if previous == target:
            if last and last.commit == target:
                return None
            previous = last.commit if last else None
            reason = "found published after an interruption"
        else:
            reason = ""
        pin = self.mirror.pinned()
        followed = previous is not None and pin is None
        forced = followed and not self.publisher.cache.descends(target, previous or "")
        self.publisher.record(
            Event.ROLLED_BACK if pin else Event.PUBLISHED,
            target,
            trigger,
            previous=previous,
            forced=forced,
            delivery=delivery,
            reason=reason,
            warnings=warnings,
            seconds=round(seconds, 4),
            executed=self.publisher.manifest(target).executed,
        )
        return forced

    def _clean(self, needed: bool) -> None:  # noqa: FBT001  (a reason of several)
        """Remove what is old; a failure here takes nothing from what was published."""
        # Not the time of day, which may be set.
        if not needed and time.monotonic() - self._cleaned < _CLEAN:
            return
        self._cleaned = time.monotonic()
        try:
            self.publisher.collect_garbage()
            self.publisher.tidy()
        except Stopped:
            return
        except (OSError, PublishError) as error:
            _log.warning("%s: cleaning up failed: %s", self.settings.name, error)

    def _failed(
        self, record: Record, error: NbpipeError, *, seen: bool = True
    ) -> tuple[Record, Outcome]:
        """Return the record of a failure; not `seen`: the commit that it is about is unknown."""
        now, text = self._now(), str(error)
        result = _result_of(error)
        new = msgspec.structs.replace(
            record,
            attempt=now,
            error=text,
            unreachable=result is Result.UNREACHABLE,
            since=record.since or now,
            failures=record.failures + 1,
        )
        if result is Result.BRANCH_GONE and record.error != text:
            self._record(Event.BRANCH_GONE, self._current() or "", text)
        if result is Result.REFUSED:
            target = self._target(record) if seen else None
            if record.reason != text or record.refused != target:
                self._record(Event.REFUSED, target or "", text)
            new = msgspec.structs.replace(
                new, refused=target, reason=text, rules=self._rules(), fetched=now
            )
        outcome = Outcome(result=result, current=self._current(), wanted=record.wanted, error=text)
        return new, outcome

    def _record(self, event: Event, commit: str, reason: str) -> None:
        try:
            self.publisher.record(event, commit, Trigger.POLL, reason=reason)
        except OSError as error:
            _log.warning("%s: %s", self.mirror.journal.file, error)

    def _target(self, record: Record) -> str | None:
        pin = self.mirror.pinned()
        return pin.commit if pin else record.wanted

    def _rules(self) -> str:
        """Return a fingerprint of what decides whether a commit is refused."""
        s = self.settings
        rules = repr(
            (s.symlinks, s.backslashes, s.lfs, s.gate, s.gate_timeout, s.limits, s.fsck, s.max_loss)
        )
        rules += outputs.rule(s)
        return hashlib.sha256(rules.encode()).hexdigest()[:16]

    def _current(self) -> str | None:
        try:
            return self.mirror.current()
        except MirrorError:
            return None

    def _read(self) -> Record:
        return self._unwritten or healths.read(self.mirror)

    def _write(self, record: Record) -> None:
        """Keep the record in the file, or in memory while the disk is full."""
        try:
            healths.write(self.mirror, record)
        except OSError:
            self._unwritten = record
        else:
            self._unwritten = None

    def _beacon(self) -> tuple[int, str]:
        file = self.mirror.state / "beacon"
        try:
            return file.stat().st_mtime_ns, file.read_text("utf-8")
        except OSError:
            return 0, ""


def signal(mirror: Mirror, delivery: str) -> None:
    """Wake the worker of that mirror in another process (`nbpipe publish --watch`).

    Raises:
        OSError: The mirror's state cannot be written.
    """
    mirror.prepare()
    fresh = mirror.state / f"beacon.{os.getpid()}.{threading.get_ident()}"
    files.replace(mirror.state / "beacon", delivery.encode(), mode=private.FILE, fresh=fresh)


def _succeeded(record: Record, now: float) -> Record:
    return healths.Record(attempt=now, fetched=record.fetched, wanted=record.wanted)


def _result_of(error: NbpipeError) -> Result:
    if isinstance(error, Refused):
        return Result.REFUSED
    if isinstance(error, BranchGone):
        return Result.BRANCH_GONE
    return Result.UNREACHABLE if isinstance(error, OriginError) else Result.FAILED
