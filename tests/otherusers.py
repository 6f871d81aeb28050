"""`nbpipe` run by a user who is not in the passwd file, as in many containers."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ondisk import REPOSITORY, Collection, lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ondisk import Ended

USER = 1_234_567

_CHANGED = """
import os, resource, sys
user, limit, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if limit:
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
os.setgroups([])
os.setgid(user)
os.setuid(user)
os.execv(command[0], command)
"""


@dataclass
class Stranger:
    """That user, with a collection and folders of their own, and no home."""

    collection: Collection
    python: str

    @property
    def temporary(self) -> Path:
        """The folder for temporary files."""
        return self.collection.root.parent / "tmp"

    def run(self, *arguments: str, processes: int = 0) -> subprocess.CompletedProcess[str]:
        """Run nbpipe.

        Args:
            arguments: The command.
            processes: The limit of this user's processes and threads; 0: none.
        """
        paths = [str(REPOSITORY), sysconfig.get_path("purelib")]
        environ = {"PATH": "/usr/bin:/bin", "TMPDIR": str(self.temporary)}
        changed = [sys.executable, "-c", _CHANGED, str(USER), str(processes)]
        return subprocess.run(
            [*changed, self.python, "-m", "nbpipe", *arguments],
            cwd=self.collection.root,
            env=environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def test(self, *arguments: str, processes: int = 0) -> Ended:
        """Run `nbpipe test` to its end."""
        command = self.collection.command(*arguments)[3:]
        done = self.run(*command, processes=processes)
        return self.collection.ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def stranger() -> Iterator[Stranger]:
    """Return the user; skip the test where there cannot be one."""
    if os.geteuid() != 0:
        lacking("root, who can be any user")
    python = "/usr/bin/python3"
    asked = [python, "-c", "import sys; print(sys.version_info[:2])"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if said != str(sys.version_info[:2]):
        lacking(f"{python} of this version, which another user can run")
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        top = Path(folder)
        top.chmod(0o755)
        for name in ("tmp", "collection", "output"):
            (top / name).mkdir()
            os.chown(top / name, USER, USER)
        os.chown(top, USER, USER)
        made = Stranger(Collection(top / "collection", top / "output"), python)
        if made.run("--version").returncode:
            lacking("an installation that another user can read")
        yield made
