"""Build and flip one changed file of 1,000, side by side with git's own ways; one command.

    python benchmarks/publishing/build.py [--rounds 15] [--work FOLDER]

Interleaved in one run on the same file system; every way starts from a local repository that
already has the commit, and ends when its `current` shows it. The figures that count are the
ratios: absolute times are this machine's, at that moment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from repository import change, git, make

from nbpipe.publishing.journal import Trigger
from nbpipe.publishing.reconcile import Reconciler
from nbpipe.settings import CollectionSettings

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
    """Hard links to what is held, built from blobs."""

    name = "nbpipe"

    def __init__(self, origin: Path, root: Path) -> None:
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
        """Write the journal, remove old releases."""
        outcome = self.worker.reconcile_once(Trigger.STARTUP)
        assert outcome.error is None, outcome.error  # noqa: S101  (likewise)

    def current(self) -> Path:
        """Return where the link is."""
        return self.worker.mirror.link


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


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds per way and round; every result is compared with the working copy."""
    work = folder / "work"
    work.mkdir()
    origin = make(work)
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    ways: list[Way] = [
        Ours(origin, folder / "ours"),
        GitSync(origin, folder / "git-sync"),
        Archive(origin, folder / "archive"),
    ]
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        commit = change(work, number)
        for way in ways if number % 2 else reversed(ways):
            way.fetch(commit)
            _settle()
            taken = _timed(way.publish, commit)
            if number:  # the first one fills every store
                times[way.name].append(taken)
            way.clean()
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        for way in ways:
            _compare(way.current(), work, number)
    return times


def _timed(publish: Callable[[str], None], commit: str) -> float:
    start = time.perf_counter()
    publish(commit)
    return (time.perf_counter() - start) * 1000


def _settle() -> None:
    """Have no way pay for what another has left to be written."""
    os.sync()


def _compare(current: Path, work: Path, number: int) -> None:
    changed = f"topic{number % 105:03}/notebook{number:03}.ipynb"
    assert (current / changed).read_bytes() == (work / changed).read_bytes()  # noqa: S101  (likewise)
    assert sum(1 for _ in current.glob("topic*/*")) == 1000  # noqa: PLR2004, S101  (likewise)


def report(times: dict[str, list[float]]) -> str:
    """Return a Markdown table of medians, and how many times slower than ours.

    The last column holds each round against itself: what else the machine does comes and goes.
    """
    ours = times["nbpipe"]
    lines = [
        "| way | median ms | min | max | times nbpipe's | median of the rounds' ratios |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in times.items():
        median = statistics.median(each)
        ratios = [theirs / mine for theirs, mine in zip(each, ours, strict=True)]
        lines.append(
            f"| {name} | {median:.1f} | {min(each):.1f} | {max(each):.1f} "
            f"| {median / statistics.median(ours):.1f} | {statistics.median(ratios):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", type=Path, help="a folder on the file system to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        times = measure(Path(folder), options.rounds)
        print(f"{options.rounds} rounds, 1,000 files, 201.5 MB, one changed")
        load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
        print(f"load average {load} on {os.cpu_count()} processors")
        print(report(times))
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)


if __name__ == "__main__":
    main()
