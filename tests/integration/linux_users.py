"""Three real Linux users, their homes, and a Python that they can run; fixtures for root.

Use it with `pytest_plugins = ("tests.integration.linux_users",)`. There are no assertions here to
explain, and tests import it before pytest can look: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mirrors import HandMadeMirror

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
MNT_DETACH = 2


def require(reason: str, *, met: bool) -> None:
    """Skip the test where a part is missing, or fail where NBPIPE_REQUIRE=all."""
    if met:
        return
    if os.environ.get("NBPIPE_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class User:
    """A Linux account."""

    name: str
    uid: int
    gid: int
    home: Path

    def run(
        self, *words: str | Path, cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, with no group but their own and a clean environment."""
        return subprocess.run(
            [str(word) for word in words],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            umask=0o022,
            cwd=cwd or self.home,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


@dataclass(frozen=True)
class Site:
    """A machine's homes and mirrors, readable by everybody."""

    top: Path
    homes: Path
    users: tuple[User, ...]

    @property
    def root(self) -> Path:
        """Where mirrors lie."""
        return self.top / "srv"

    @property
    def mirror(self) -> HandMadeMirror:
        """A new mirror with the name `notebooks-latest`."""
        return HandMadeMirror(self.root)

    def configuration(self, method: str = "symlink", **settings: str) -> Path:
        """Write a configuration for these homes; return the file."""
        more = "".join(f"{key} = {value}\n" for key, value in settings.items())
        file = self.top / "nbpipe.toml"
        file.write_text(
            '[[collection]]\nname = "notebooks-latest"\norigin = "https://example.org/o/r.git"\n'
            f'root = "{self.root}"\n[spaces]\nhomes = ["{self.homes}/*"]\nmethod = "{method}"\n'
            f"{more}"
        )
        return file


@pytest.fixture(scope="session")
def accounts() -> Iterator[tuple[Path, tuple[User, ...]]]:
    """Make three accounts for this session; their homes are made for every test."""
    require("making users needs root", met=os.geteuid() == 0)
    require("making users needs useradd", met=shutil.which("useradd") is not None)
    top = Path(tempfile.mkdtemp(prefix="nbpipe-site-", dir="/var/tmp"))
    top.chmod(0o755)
    users = []
    try:
        for letter in "abc":
            name = f"nbp{letter}{os.getpid()}"
            home = top / "home" / name
            subprocess.run(["useradd", "-M", "-U", "-d", str(home), name], check=True)
            entry = pwd.getpwnam(name)
            users.append(User(name, entry.pw_uid, entry.pw_gid, home))
        yield top, tuple(users)
    finally:
        for user in users:
            subprocess.run(["userdel", user.name], check=False, capture_output=True)
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def site(accounts: tuple[Path, tuple[User, ...]]) -> Iterator[Site]:
    """A machine with three users, their homes empty and their own."""
    top, users = accounts
    made = Site(top, top / "home", users)
    made.root.mkdir()
    made.root.chmod(0o755)
    made.homes.mkdir()
    for user in users:
        user.home.mkdir(mode=0o700)
        os.chown(user.home, user.uid, user.gid)
    try:
        yield made
    finally:
        unmount_below(top)
        shutil.rmtree(made.homes)
        shutil.rmtree(made.root)


@pytest.fixture(scope="session")
def user_python(accounts: tuple[Path, tuple[User, ...]]) -> Path:
    """A Python that every user can run, with nbpipe and what getlatest needs installed."""
    system = Path("/usr/bin/python3")
    require("users need /usr/bin/python3 with python3-venv", met=_has_venv(system))
    folder = accounts[0] / "python"
    subprocess.run([str(system), "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--no-warn-script-location"]
    subprocess.run([*pip, "click>=8.1", "rich>=13.7"], check=True)
    subprocess.run([*pip, "--no-deps", str(REPOSITORY)], check=True)
    return folder / "bin/python"


def unmount_below(top: Path) -> None:
    """Take every mount below a folder away."""
    library = ctypes.CDLL(None, use_errno=True)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        place = line.split()[4].encode().decode("unicode_escape")
        if place.startswith(f"{top}/"):
            library.umount2(os.fsencode(place), MNT_DETACH)


def _has_venv(python: Path) -> bool:
    command = [str(python), "-c", "import ensurepip, venv"]
    return python.exists() and subprocess.run(command, check=False).returncode == 0
