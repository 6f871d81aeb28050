"""A user without a home: HOME is not set, and there is no entry in the passwd file."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from otherusers import USER, Stranger, stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="users are changed as on Linux")


@pytest.fixture
def user() -> Iterator[Stranger]:
    """Return a user without a home."""
    with stranger() as made:
        yield made


def test_a_run_makes_itself_a_home_and_says_so(user: Stranger) -> None:
    for name in ("a", "b"):
        user.collection.notebook(f"{name}.ipynb", "import os\nprint(os.path.expanduser('~'))")
    home = user.temporary / f"nbpipe-home-{USER}"
    for _ in range(2):
        ended = user.test()
        assert ended.code == 0, ended.out + ended.err
        assert f"warning: no home directory: HOME is not set, and user {USER} has no" in ended.err
        assert f"using HOME={home}\n" in ended.err
        assert ended.executed("a.ipynb").cells[0].outputs[0]["text"] == f"{home}\n"
    assert (stat.S_IMODE(home.stat().st_mode), home.stat().st_uid) == (0o700, USER)
    assert user.run("history").stdout.count("2 passed") == 2  # the same home in each run


@pytest.mark.parametrize("command", ["test --list", "doctor", "history", "profiles"])
def test_no_command_ends_with_an_internal_error(user: Stranger, command: str) -> None:
    user.collection.notebook("a.ipynb", "1")
    done = user.run(*command.split())
    assert done.returncode in {0, 1, 4}, done.stderr
    assert "internal error" not in done.stderr


def test_a_folder_of_somebody_else_is_not_taken_for_a_home(user: Stranger) -> None:
    taken = user.temporary / f"nbpipe-home-{USER}"
    shutil.rmtree(taken, ignore_errors=True)  # of the commands before
    taken.mkdir()
    user.collection.notebook("a.ipynb", "1")
    done = user.run("test", "--list")
    assert done.returncode == 0, done.stderr
    assert f"using HOME={taken}-" in done.stderr
    assert taken.stat().st_uid == os.getuid()
