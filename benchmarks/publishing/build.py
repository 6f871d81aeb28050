"""Build and flip one changed file of 1,000, side by side with git's own ways; one command.

    python benchmarks/publishing/build.py [--rounds 15] [--work FOLDER]

Interleaved in one run on the same file system; every way starts from a local repository that
already has the commit, and ends when its `current` shows it. The figures that count are the
ratios: absolute times are this machine's, at that moment.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from repository import change, git, make

from nbpipe.config.settings import CollectionSettings
from nbpipe.publishing.reconcile import Reconciler
from nbpipe.publishing.releases.build import sync_file_system
from nbpipe.publishing.releases.journal import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable


class Way(Protocol):
    """One way to publish."""

    name: str

    def fetch(self, commit: str) -> None:
        """Have the commit; not measured."""

    def publish(self, commit: str) -> None:
        """Build and flip; measured."""

    def clean(self) -> None:
        """Remove what is old; not measured."""

    def current(self) -> Path:
        """Return the published folder."""


class Ours:
    """The service: what is held is linked before the commit is there, as soon as nothing is due."""

    name = "nbpipe"

    def __init__(self, origin: Path, root: Path) -> None:
        self.preparing: list[tuple[float, float]] = []
        self.worker = Reconciler(
            CollectionSettings(
                name="nb", origin=str(origin), root=str(root), protocols=("file",), poll=0
            )
        )

    def fetch(self, commit: str) -> None:
        """Fetch, and check that it is the one."""
        with self.worker.publisher.at_work(patience=10):
            assert self.worker.publisher.fetch() == commit  # noqa: S101  (proves what it measures)

    def publish(self, commit: str) -> None:
        """Take the lock, build, flip."""
        with self.worker.publisher.at_work(patience=10):
            self.worker.publisher.make(commit)
            self.worker.publisher.show(commit)

    def clean(self) -> None:
        """Write the journal, remove old releases, prepare the next one as the service does."""
        self._reconcile()
        self.preparing.append(_timed(self.worker.prepare))

    def _reconcile(self) -> None:
        outcome = self.worker.reconcile_once(Trigger.STARTUP)
        assert outcome.error is None, outcome.error  # noqa: S101  (likewise)

    def current(self) -> Path:
        """Return where the link is."""
        return self.worker.mirror.link


class Unprepared(Ours):
    """`nbpipe publish`: every link is made when the commit is there."""

    name = "nbpipe, nothing prepared"

    def clean(self) -> None:
        """Write the journal, remove old releases."""
        self._reconcile()


class GitSync:
    """What git-sync v4 runs: worktree add, reset --hard, symlink, rename."""

    name = "git-sync's commands"

    def __init__(self, origin: Path, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        git(root, "init", "--quiet", "--initial-branch=main", "repo")
        self.repo = root / "repo"
        self.origin = origin
        self.old: list[Path] = []

    def fetch(self, commit: str) -> None:
        """Fetch as it does, shallow."""
        git(self.repo, "fetch", str(self.origin), commit, "--depth", "1", "--no-tags")

    def publish(self, commit: str) -> None:
        """Make a worktree, fill it, and rename a link over the old one."""
        tree = self.root / ".worktrees" / commit
        git(self.repo, "worktree", "add", "--force", "--detach", str(tree), commit, "--no-checkout")
        git(tree, "reset", "--hard", commit, "--")
        fresh = self.root / "tmp-link"
        fresh.symlink_to(Path(".worktrees") / commit)
        fresh.replace(self.current())
        self.old.append(tree)

    def clean(self) -> None:
        """Remove all worktrees but the last."""
        for tree in self.old[:-1]:
            git(self.repo, "worktree", "remove", "--force", str(tree))
        self.old = self.old[-1:]

    def current(self) -> Path:
        """Return where the link is."""
        return self.root / "current"


class Archive:
    """`git archive | tar`, then a symlink."""

    name = "git archive | tar"

    def __init__(self, origin: Path, root: Path) -> None:
        self.root, self.origin = root, origin
        root.mkdir(parents=True)
        self.old: list[Path] = []
        git(root, "clone", "--quiet", "--bare", str(origin), "repo")

    def fetch(self, commit: str) -> None:
        """Fetch everything new."""
        git(self.root / "repo", "fetch", "--quiet", str(self.origin), commit)

    def publish(self, commit: str) -> None:
        """Unpack, and rename a link over the old one."""
        tree = self.root / commit
        tree.mkdir()
        made = subprocess.Popen(
            ["git", "archive", commit], cwd=self.root / "repo", stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-xf", "-", "-C", str(tree)], stdin=made.stdout, check=True)
        made.communicate()
        fresh = self.root / "tmp-link"
        fresh.symlink_to(commit)
        fresh.replace(self.current())
        self.old.append(tree)

    def clean(self) -> None:
        """Remove all trees but the last."""
        for tree in self.old[:-1]:
            shutil.rmtree(tree)
        self.old = self.old[-1:]

    def current(self) -> Path:
        """Return where the link is."""
        return self.root / "current"


class Seen(NamedTuple):
    """Milliseconds per way and round."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]
    """Of this process and those that it waited for."""
    preparing: list[tuple[float, float]]
    """Between the rounds, in none of the above: the same two."""


def measure(folder: Path, rounds: int) -> Seen:
    """Measure every way in every round; every result is compared with the working copy."""
    work = folder / "work"
    work.mkdir()
    origin = make(work)
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    ours = Ours(origin, folder / "ours")
    ways: list[Way] = [
        ours,
        Unprepared(origin, folder / "unprepared"),
        GitSync(origin, folder / "git-sync"),
        Archive(origin, folder / "archive"),
    ]
    wall: dict[str, list[float]] = {way.name: [] for way in ways}
    cpu: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        commit = change(work, number)
        for way in ways if number % 2 else reversed(ways):
            way.fetch(commit)
            _settle(folder)
            taken = _timed(partial(way.publish, commit))
            if number:  # the first one fills every store
                wall[way.name].append(taken[0])
                cpu[way.name].append(taken[1])
            way.clean()
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        for way in ways:
            _compare(way.current(), work, number)
    # What was prepared after the last round is used by none.
    return Seen(wall, cpu, ours.preparing[:-1])


def _timed(step: Callable[[], None]) -> tuple[float, float]:
    """Return how long it takes, and the processor's part of it."""
    cpu, start = _cpu(), time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1000, _cpu() - cpu


def _cpu() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both) * 1000


def _settle(folder: Path) -> None:
    """Have no way pay for what another has left to be written."""
    fd = os.open(folder, os.O_RDONLY)
    sync_file_system(fd)
    os.close(fd)


def _compare(current: Path, work: Path, number: int) -> None:
    changed = f"topic{number % 105:03}/notebook{number:03}.ipynb"
    assert (current / changed).read_bytes() == (work / changed).read_bytes()  # noqa: S101  (likewise)
    assert sum(1 for _ in current.glob("topic*/*")) == 1000  # noqa: PLR2004, S101  (likewise)


def report(seen: Seen) -> str:
    """Return a Markdown table of medians, and how many times slower than ours.

    The last two columns hold each round against itself, since what else the machine does comes
    and goes: against nbpipe, and against nbpipe with nothing prepared.
    """
    lines = [
        "| way | median ms | min | max | CPU ms | times nbpipe's | each round | unprepared |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ours = seen.wall[Ours.name]
    for name, each in seen.wall.items():
        median = statistics.median(each)
        lines.append(
            f"| {name} | {median:.1f} | {min(each):.1f} | {max(each):.1f} "
            f"| {statistics.median(seen.cpu[name]):.1f} | {median / statistics.median(ours):.1f} "
            f"| {_ratio(each, ours):.1f} | {_ratio(each, seen.wall[Unprepared.name]):.1f} |"
        )
    wall, cpu = ([each[number] for each in seen.preparing] for number in (0, 1))
    both = [one + other for one, other in zip(ours, wall, strict=True)]
    theirs = _ratio(seen.wall[GitSync.name], both)
    return "\n".join(lines) + (
        f"\n\nnbpipe prepares the next release after the flip, outside of these times: "
        f"median {statistics.median(wall):.1f} ms, CPU {statistics.median(cpu):.1f} ms.\n"
        f"Both together: git-sync's commands take {theirs:.1f} times as long, in the median round."
    )


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(theirs, ours, strict=True))


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", type=Path, help="a folder on the file system to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        seen = measure(Path(folder), options.rounds)
        print(f"{options.rounds} rounds, 1,000 files, 201.5 MB, one changed")
        load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
        print(f"load average {load} on {os.cpu_count()} processors")
        print(report(seen))
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)


if __name__ == "__main__":
    main()
