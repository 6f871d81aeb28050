"""A user at work, releases coming, runs ended at any write: no content of the user's is ever lost.

The model is what the user did: the last thing they wrote under a name must be found under that
name, whatever was published, taken or killed since. The last run of a notebook in which nobody
worked must be found under its name, or in the one place beside it where runs are kept.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nbpipe.publishing.copies import folder as copy_folder
from nbpipe.publishing.copies.releases import MirrorFolder
from nbpipe.publishing.copies.update import Wanted, take
from tests.mirrors import HandMadeMirror

NAMES = ["a", "b.ipynb", "d/x.ipynb", "d/y", "d/e/z", "e"]
names = st.sampled_from(NAMES)
notebooks = st.sampled_from(["b.ipynb", "d/x.ipynb"])


def written(name: str, text: str) -> str:
    """Return a file's text: of a notebook, one whose only cell has that source."""
    if not name.endswith(".ipynb"):
        return text
    cell = {"cell_type": "code", "source": text, "metadata": {}, "outputs": []}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def executed(text: str, said: str) -> str:
    """Return a notebook's text after a run that said that."""
    table = json.loads(text)
    table["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": said}]
    table["metadata"]["language_info"] = {"name": "python"}
    return json.dumps(table, indent=1)


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs, not even our own cleaning up."""


class Writes:
    """Counts calls that write; at the given one the process is killed."""

    def __init__(self, ends_at: int) -> None:
        self.left = ends_at

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


class AUserAtWork(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp())
        self.mirror = HandMadeMirror(self.top / "srv")
        self.copy = self.top / "copy"
        self.number = 0
        self.mine: dict[str, str] = {}
        """What the user wrote last, by name."""
        self.ran: dict[str, str] = {}
        """What the user's last run of a notebook saved, by its name."""
        self.released: dict[str, str] = {}
        self.deleted: set[str] = set()
        """What the user deleted, and has not been given again."""

    def teardown(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)

    def fresh(self) -> str:
        self.number += 1
        return f"{self.number}"

    @rule(chosen=st.sets(names, min_size=1), same=st.booleans())
    def publish(self, chosen: set[str], *, same: bool) -> None:
        self.number += 1
        files = {
            name: self.released.get(name, written(name, "r"))
            if same
            else written(name, self.fresh())
            for name in chosen
        }
        self.released = files
        self.mirror.publish(f"{self.number:07d}", files)

    @rule()
    def publish_a_folder_as_a_file_or_back(self) -> None:
        self.number += 1
        whole = {name: written(name, self.fresh()) for name in NAMES}
        file = {"a/now": "folder", "d": "file"}
        self.released = whole if "d" in self.released else file
        self.mirror.publish(f"{self.number:07d}", self.released)

    @rule(prune=st.booleans())
    def get(self, *, prune: bool) -> None:
        self.run(None, prune=prune)

    @rule(ends_at=st.integers(0, 20), prune=st.booleans())
    def get_and_be_killed(self, ends_at: int, *, prune: bool) -> None:
        self.run(Writes(ends_at), prune=prune)

    def run(self, writes: Writes | None, *, prune: bool = False) -> None:
        if not self.released:
            return
        release = MirrorFolder("notebooks-latest", self.mirror.path).release()
        with contextlib.ExitStack() as stack:
            stack.callback(release.close)
            if writes:
                stack.enter_context(contextlib.suppress(Killed))
                for name in ("move_to_free", "exchange"):
                    stack.enter_context(patch.object(copy_folder, name, killed_in(name, writes)))
                for name in ("drop", "write_manifest"):
                    method = killed_method(name, writes)
                    stack.enter_context(patch.object(copy_folder.CopyFolder, name, method))
                stack.enter_context(patch("shutil.rmtree", killed_removal(writes)))
            take(release, self.copy, Wanted(prune=prune))
        self.deleted = {name for name in self.deleted if not (self.copy / name).is_file()}

    @rule(name=names)
    def edit(self, name: str) -> None:
        file = self.copy / name
        if self.copy.is_dir() and file.parent.is_dir() and not file.is_dir():
            file.write_text(written(name, f"user {self.fresh()}"))
            self.mine[name] = file.read_text()
            self.forget_the_run(name)

    @rule(name=notebooks)
    def execute(self, name: str) -> None:
        file = self.copy / name
        if file.is_file():
            file.write_text(executed(file.read_text(), self.fresh()))
            if name in self.mine:
                self.mine[name] = file.read_text()
            else:
                self.ran[name] = file.read_text()

    @rule(name=notebooks, kind=st.sampled_from(["executed", "executed-2", "newer"]))
    def edit_beside(self, name: str, kind: str) -> None:
        stem = name.removesuffix(".ipynb")
        pattern = f"{stem}__[0-9]*.ipynb" if kind == "newer" else f"{stem}__{kind}.ipynb"
        for file in sorted(self.copy.glob(pattern))[:1]:
            if file.read_text() == self.ran.get(name):
                self.ran.pop(name)
            beside = file.relative_to(self.copy).as_posix()
            file.write_text(written(beside, f"user {self.fresh()}"))
            self.mine[beside] = file.read_text()

    @rule(name=notebooks)
    def execute_beside(self, name: str) -> None:
        for file in sorted(self.copy.glob(f"{name.removesuffix('.ipynb')}__[0-9]*.ipynb"))[:1]:
            beside = file.relative_to(self.copy).as_posix()
            file.write_text(executed(file.read_text(), self.fresh()))
            if beside in self.mine:
                self.mine[beside] = file.read_text()
            else:
                self.ran[name] = file.read_text()

    @rule(name=names)
    def delete(self, name: str) -> None:
        file = self.copy / name
        if file.is_file():
            self.forget_the_run(name)
            file.unlink()
            self.mine.pop(name, None)
            self.deleted.add(name)

    def forget_the_run(self, name: str) -> None:
        """Expect no run of a notebook that the user has overwritten or deleted."""
        self.ran.pop(name, None)

    @rule(name=st.sampled_from(["a", "d", "d/e"]))
    def put_a_folder(self, name: str) -> None:
        place = self.copy / name
        if self.copy.is_dir() and place.parent.is_dir() and not place.exists():
            place.mkdir()
            (place / "own").write_text(f"user {self.fresh()}")
            self.mine[f"{name}/own"] = (place / "own").read_text()

    @invariant()
    def everything_of_the_users_is_there(self) -> None:
        for name, text in self.mine.items():
            assert (self.copy / name).read_text() == text, name

    @invariant()
    def the_last_run_of_each_notebook_is_there(self) -> None:
        for name, text in self.ran.items():
            file = self.copy / name
            beside = file.parent.glob(f"{file.stem}__*.ipynb")
            assert text in [each.read_text() for each in (file, *beside) if each.is_file()], name

    @invariant()
    def every_file_is_somebodys_whole_content(self) -> None:
        if self.copy.is_dir():
            for file in self.copy.rglob("*"):
                if ".nbpipe" not in file.parts and file.is_file():
                    assert file.read_text(), file

    @rule()
    def a_run_without_accident_has_every_new_file(self) -> None:
        if not self.released:
            return
        self.run(None)
        texts = {file.read_text() for file in self.copy.rglob("*") if file.is_file()}
        missing = {name for name, text in self.released.items() if text not in texts}
        # What was deleted stays away, also where a folder of the user's has its name now.
        untouched = {
            name for name in missing if not (self.copy / name).exists() or (name in self.deleted)
        }
        theirs = self.mine.keys() | self.ran.keys()
        assert missing == untouched | {name for name in missing if name in theirs}
        for name in self.released.keys() - self.mine.keys():
            if (self.copy / name).is_file():
                text = (self.copy / name).read_text()
                assert text in {self.released[name], self.ran.get(name)}, name
        for name in ("b", "d/x"):
            runs = [*self.copy.glob(f"{name}__executed*.ipynb")]
            newer = [*self.copy.glob(f"{name}__[0-9]*.ipynb")]
            for found in (runs, newer):
                ours = {each.relative_to(self.copy).as_posix() for each in found} - {*self.mine}
                assert len(ours) <= 1, ours


@pytest.mark.parametrize("ends_at", range(21))
def test_a_file_that_has_to_lie_beside_comes_again_after_a_run_that_was_killed(
    ends_at: int,
) -> None:
    user = AUserAtWork()
    try:
        user.publish(chosen={"a", "b.ipynb", "d/x.ipynb"}, same=False)
        user.run(None)
        user.publish_a_folder_as_a_file_or_back()
        user.execute(name="d/x.ipynb")
        user.run(None)
        user.publish_a_folder_as_a_file_or_back()
        user.run(Writes(ends_at))  # takes away what lies beside
        user.publish_a_folder_as_a_file_or_back()
        user.a_run_without_accident_has_every_new_file()
        user.the_last_run_of_each_notebook_is_there()
    finally:
        user.teardown()


def test_a_folder_in_the_place_of_a_deleted_file_stays() -> None:
    user = AUserAtWork()
    try:
        user.publish(chosen={"a"}, same=False)
        user.a_run_without_accident_has_every_new_file()
        user.delete(name="a")
        user.put_a_folder(name="a")
        user.a_run_without_accident_has_every_new_file()
        user.everything_of_the_users_is_there()
        user.publish(chosen={"a"}, same=False)
        user.a_run_without_accident_has_every_new_file()
        user.everything_of_the_users_is_there()
    finally:
        user.teardown()


def killed_in(name: str, writes: Writes):  # noqa: ANN201  (a stand-in of the same shape)
    original = getattr(copy_folder, name)

    def function(*arguments: object, **named: object) -> object:
        writes()
        result = original(*arguments, **named)
        writes()
        return result

    return function


def killed_removal(writes: Writes):  # noqa: ANN201  (likewise)
    original = shutil.rmtree

    def function(*arguments: object, **named: object) -> None:
        writes()
        original(*arguments, **named)

    return function


def killed_method(name: str, writes: Writes):  # noqa: ANN201  (likewise)
    original = getattr(copy_folder.CopyFolder, name)

    def method(self: object, *arguments: object) -> object:
        writes()
        return original(self, *arguments)

    return method


TestAUserAtWork = AUserAtWork.TestCase
TestAUserAtWork.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
