"""What N spaces cost: setting them up, a sync that finds all right, and one update for all.

    python benchmarks/publishing/spaces.py [--spaces 10000] [--updates 400]

Run it as root; homes are made in a folder of its own and removed again. Times are medians of one
run on one machine: compare them with each other only. The update for few and for many spaces is
measured in turn, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

from nbpipe.publishing.releases.mirror import Mirror
from nbpipe.publishing.spaces.sync import Spaces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbpipe.publishing.spaces.space import Space

MNT_DETACH = 2
FEW = 10


class Site:
    """A mirror with two releases, and homes of one user."""

    def __init__(self, top: Path, count: int, *, bind: bool) -> None:
        self.mirror = Mirror(top / "srv", "notebooks-latest")
        self.mirror.prepare()
        self.commits = ("a" * 40, "b" * 40)
        for commit in self.commits:
            (self.mirror.release(commit)).mkdir()
            (self.mirror.release(commit) / "which").write_text(commit)
        self.mirror.flip(self.commits[0])
        self.homes = top / "home"
        owner = pwd.getpwnam("nobody")
        self.homes.mkdir(parents=True)
        for number in range(count):
            home = self.homes / f"u{number:05}"
            home.mkdir()
            os.chown(home, owner.pw_uid, owner.pw_gid)
        self.spaces = Spaces(mirror=self.mirror.path, homes=(f"{self.homes}/*",), bind=bind)

    def update(self, number: int) -> float:
        """Publish the other release and look at it in the last space; return seconds."""
        commit = self.commits[number % 2]
        place = self.homes / sorted_last(self.homes) / "notebooks-latest/which"
        started = time.perf_counter()
        self.mirror.flip(commit)
        seen = place.read_text()
        seconds = time.perf_counter() - started
        if seen != commit:
            raise SystemExit(f"{place}: shows {seen}, not {commit}")
        return seconds

    def all_show(self, commit: str) -> bool:
        """Return whether every space shows that release."""
        homes = self.homes.iterdir()
        return all((home / "notebooks-latest/which").read_text() == commit for home in homes)


_last: dict[Path, str] = {}


def sorted_last(homes: Path) -> str:
    """Return the last home's name, looked up once."""
    if homes not in _last:
        _last[homes] = max(entry.name for entry in homes.iterdir())
    return _last[homes]


def timed(states: Iterable[Space], expected: str, count: int) -> float:
    """Return how long a pass over all spaces takes; every one must end as expected."""
    started = time.perf_counter()
    found = Counter(str(space.state) for space in states)
    seconds = time.perf_counter() - started
    if found != {expected: count}:
        raise SystemExit(f"expected {count} {expected}, got {dict(found)}")
    return seconds


def measure(top: Path, *, bind: bool, many: int, updates: int) -> None:
    """Measure one method and print its row."""
    today = datetime.now(tz=UTC).date()
    few = Site(top / "few", FEW, bind=bind)
    site = Site(top / "many", many, bind=bind)
    timed(few.spaces.sync(today), "created", FEW)
    created = timed(site.spaces.sync(today), "created", many)
    present = timed(site.spaces.sync(today), "present", many)
    for number in range(20):  # warm both
        few.update(number)
        site.update(number)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(updates):
        for place, into in zip((few, site), times, strict=True):
            into.append(place.update(number))
    shown = site.all_show(site.commits[(updates - 1) % 2])
    small, large = (statistics.median(values) * 1_000 for values in times)
    removed = timed(site.spaces.remove(today), "removed", many)
    timed(few.spaces.remove(today), "removed", FEW)
    print(
        f"| {'bind' if bind else 'symlink':7} | {created:7.2f} | {present:7.2f} | {small:8.3f} | "
        f"{large:8.3f} | {large / small:5.2f} | {'yes' if shown else 'NO':3} | {removed:7.2f} |"
    )


def main() -> None:
    """Measure both methods."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", type=int, default=10_000)
    parser.add_argument("--updates", type=int, default=400)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("making other people's homes needs root")
    many = arguments.spaces
    print(f"{many} spaces; {arguments.updates} updates, in turn with those for {FEW}\n")
    print(
        f"| method  | set up s | again s | update, {FEW}: ms | update, {many}: ms | ratio | "
        "all show it | remove s |\n|---|---|---|---|---|---|---|---|"
    )
    for bind in (False, True):
        top = Path(tempfile.mkdtemp(prefix="nbpipe-spaces-", dir="/var/tmp"))
        try:
            measure(top, bind=bind, many=many, updates=arguments.updates)
        finally:
            _unmount(top)
            shutil.rmtree(top)


def _unmount(top: Path) -> None:
    library = ctypes.CDLL(None)
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        place = line.split()[4]
        if place.startswith(f"{top}/"):
            library.umount2(os.fsencode(place), MNT_DETACH)


if __name__ == "__main__":
    main()
