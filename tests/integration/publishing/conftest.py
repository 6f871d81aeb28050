"""A bare origin on disk, written with git's plumbing, and a collection that follows it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from nbpipe.config.settings import CollectionSettings
from nbpipe.publishing.reconcile import Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Entry = tuple[str, bytes, str]
"""Mode, name and id, as a raw tree object has them."""


@dataclass
class Origin:
    """A bare repository into which anything can be written, also what git would refuse."""

    path: Path
    branch: str = "main"
    head: str | None = None
    count: int = 0
    environ: dict[str, str] = field(default_factory=dict)

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            input=stdin,
            capture_output=True,
            check=True,
            env=self.environ,
        )
        return done.stdout.decode().strip()

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def tree(self, *entries: Entry) -> str:
        """Write a raw tree object, in the order given, whatever it says."""
        raw = b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries
        )
        arguments = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
        return self.git(*arguments, stdin=raw)

    def commit(self, tree: str, *, parent: str | None = None, subject: str = "") -> str:
        self.count += 1
        parents = ("-p", parent) if parent else ()
        message = subject or f"commit {self.count}"
        return self.git("commit-tree", tree, *parents, "-m", message)

    def push(self, tree: str, *, force: bool = False, subject: str = "") -> str:
        """Make a commit of that tree the branch's head."""
        parent = None if force else self.head
        self.head = self.commit(tree, parent=parent, subject=subject)
        self.git("update-ref", f"refs/heads/{self.branch}", self.head)
        return self.head

    def files(self, files: dict[str, bytes]) -> str:
        """Return a tree of ordinary files; a slash makes a folder."""
        here: dict[str, str] = {}
        below: dict[str, dict[str, bytes]] = {}
        for path, content in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                below.setdefault(first, {})[rest] = content
            else:
                here[path] = self.blob(content)
        entries = [("100644", name.encode(), oid) for name, oid in here.items()]
        entries += [("40000", name.encode(), self.files(each)) for name, each in below.items()]
        order = {name: name + (b"/" if mode == "40000" else b"") for mode, name, _ in entries}
        return self.tree(*sorted(entries, key=lambda entry: order[entry[1]]))

    def publish(self, files: dict[str, bytes], *, force: bool = False) -> str:
        return self.push(self.files(files), force=force)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "origin.git")
    made.path.mkdir()
    who = {"NAME": "A. Maintainer", "EMAIL": "maintainer@example.org"}
    made.environ = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_AUTHOR_{key}": value for key, value in who.items()},
        **{f"GIT_COMMITTER_{key}": value for key, value in who.items()},
    }
    made.git("init", "--quiet", "--bare", "--initial-branch=main")
    return made


@pytest.fixture
def follow(tmp_path: Path, origin: Origin) -> Iterator[Callable[..., Reconciler]]:
    """Return a function that makes a worker for the origin, with other settings if asked."""
    workers: list[Reconciler] = []

    def make(**changes: object) -> Reconciler:
        fields = {
            "name": "notebooks-latest",
            "origin": str(origin.path),
            "root": str(tmp_path / "srv"),
            "protocols": ("file",),
            "poll": 0.0,
        } | changes
        workers.append(Reconciler(CollectionSettings(**fields)))  # type: ignore[arg-type]
        return workers[-1]

    yield make
    for worker in workers:
        worker.publisher.close()


def content(folder: Path) -> dict[str, bytes | str]:
    """Return every file's bytes and every link's target below a folder."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)  # noqa: PTH115  (its text as it is)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def modes(folder: Path) -> dict[str, str]:
    """Return the modes of the folder and of everything below it, without links."""
    paths = [folder, *(path for path in sorted(folder.rglob("*")) if not path.is_symlink())]
    return {
        path.relative_to(folder).as_posix(): f"{stat.S_IMODE(path.lstat().st_mode):04o}"
        for path in paths
    }


@pytest.fixture
def look() -> Callable[[Path], dict[str, bytes | str]]:
    return content


@pytest.fixture
def look_at_modes() -> Callable[[Path], dict[str, str]]:
    return modes


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen, accept, and never answer; return the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in taken:
            each.close()
