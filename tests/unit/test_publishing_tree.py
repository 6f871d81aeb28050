"""What a commit's raw trees may say, without git."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest

from nbpipe.config.settings import CollectionSettings, ReleaseLimits
from nbpipe.publishing.errors import Refused
from nbpipe.publishing.origin.tree import Reader
from nbpipe.publishing.releases.manifest import File

COMMIT = "c" * 40


@dataclass
class Memory:
    """Objects in a dictionary."""

    objects: dict[str, bytes] = field(default_factory=dict)
    top: str = ""
    reads: int = 0

    def put(self, content: bytes) -> str:
        oid = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.objects[oid] = content
        return oid

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        raw = b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries
        )
        self.top = self.put(raw)
        return self.top

    def read(self, oid: str, kind: str, *, limit: int) -> bytes:
        self.reads += 1
        assert len(self.objects[oid]) <= limit, kind
        return self.objects[oid]

    def size(self, oid: str) -> int:
        return len(self.objects[oid])

    def tree_of(self, commit: str) -> str:
        assert commit == COMMIT
        return self.top


def reader(objects: Memory, **settings: object) -> Reader:
    fields = {"name": "nb", "origin": "https://example.org/a/b", "root": "/srv"} | settings
    return Reader(CollectionSettings(**fields), objects)  # type: ignore[arg-type]


def refusal(objects: Memory, **settings: object) -> list[str]:
    with pytest.raises(Refused) as caught:
        reader(objects, **settings).manifest(COMMIT)
    return [line.strip() for line in str(caught.value).splitlines()[1:-1]]


def test_files_folders_and_links_are_listed() -> None:
    memory = Memory()
    blob, link = memory.put(b"hello"), memory.put(b"a/b.txt")
    folder = memory.tree(("100644", b"b.txt", blob))
    memory.tree(("40000", b"a", folder), ("120000", b"l", link), ("100755", b"run", blob))

    made = reader(memory).manifest(COMMIT)

    assert made.folders == ("a",)
    assert set(made.files) == {
        File(path="run", blob=blob, executable=True, size=5),
        File(path="a/b.txt", blob=blob, executable=False, size=5),
    }
    assert [(each.path, each.target) for each in made.links] == [("l", "a/b.txt")]
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("mode", "executable"),
    [("100644", False), ("100755", True), ("100777", True), ("104755", True), ("100664", False)],
)
def test_a_mode_says_executable_or_not_and_nothing_else(mode: str, *, executable: bool) -> None:
    memory = Memory()
    memory.tree((mode, b"f", memory.put(b"x")))

    (file,) = reader(memory).manifest(COMMIT).files

    assert file.executable is executable


@pytest.mark.parametrize("mode", ["20644", "60644", "10644", "140644", "0", "644"])
def test_a_mode_that_is_no_files_is_refused(mode: str) -> None:
    memory = Memory()
    memory.tree((mode, b"f", memory.put(b"x")))

    assert refusal(memory) == [f"f: its mode {mode} is that of no file"]


def test_every_problem_is_named_with_its_path() -> None:
    memory = Memory()
    blob = memory.put(b"x")
    folder = memory.tree(("100644", b".git", blob), ("100644", b"a\nb", blob))
    memory.tree(("100644", b"..", blob), ("40000", b"sub", folder))

    assert refusal(memory) == [
        "..: its name stands for a folder",
        "sub/.git: its name is .git on some file systems",
        "sub/a\\nb: its name has control characters in it",
    ]


def test_a_name_that_is_there_twice_is_refused() -> None:
    memory = Memory()
    blob = memory.put(b"x")
    folder = memory.tree(("100644", b"f", blob))
    memory.tree(("100644", b"a", blob), ("40000", b"a", folder))

    assert refusal(memory) == ["a: it is there twice"]


def test_a_collision_is_published_with_a_warning() -> None:
    memory = Memory()
    blob = memory.put(b"x")
    memory.tree(("100644", b"README", blob), ("100644", b"readme", blob))

    made = reader(memory).manifest(COMMIT)

    assert len(made.files) == 2
    assert made.warnings == ("readme: the same name as README on some systems",)


def test_a_submodule_is_left_out_with_a_warning() -> None:
    memory = Memory()
    memory.tree(("160000", b"sub", "0" * 40), ("100644", b"f", memory.put(b"x")))

    made = reader(memory).manifest(COMMIT)

    assert [file.path for file in made.files] == ["f"]
    assert made.warnings == ("sub: a submodule is left out",)


def test_a_small_tree_that_stands_for_billions_of_files_is_refused_quickly() -> None:
    memory = Memory()
    tree = memory.tree(("100644", b"f", memory.put(b"x")))
    for _ in range(12):
        tree = memory.tree(*(("40000", f"d{number}".encode(), tree) for number in range(10)))

    assert refusal(memory) == ["more than 200,000 files and folders"]


def test_a_tree_beyond_a_limit_is_refused() -> None:
    memory = Memory()
    tree = memory.tree(("100644", b"f", memory.put(b"x" * 3_000_000)))
    for _ in range(3):
        tree = memory.tree(("40000", b"d", tree))

    assert refusal(memory, limits=ReleaseLimits(depth=2)) == ["d/d/: more than 2 folders deep"]
    assert refusal(memory, limits=ReleaseLimits(files=3)) == ["more than 3 files and folders"]
    assert refusal(memory, limits=ReleaseLimits(file_size=2)) == [
        "d/d/d/f: 3,000,000 bytes, 2 MB is the most"
    ]
    assert refusal(memory, limits=ReleaseLimits(total_size=2)) == ["more than 2 MB in all"]


@pytest.mark.parametrize(
    "raw",
    [b"100644", b"100644 f", b"100644 f\0short", b"abc f\0" + b"x" * 20, b" f\0" + b"x" * 20],
)
def test_a_malformed_tree_is_refused(raw: bytes) -> None:
    memory = Memory()
    memory.top = memory.put(raw)

    with pytest.raises(Refused, match="is malformed at byte 0"):
        reader(memory).manifest(COMMIT)


def test_an_update_reads_only_the_trees_that_changed() -> None:
    memory = Memory()
    same = memory.tree(("100644", b"f", memory.put(b"x" * 2000)))
    memory.tree(("40000", b"a", same), ("40000", b"b", memory.tree()))
    read = reader(memory)
    read.manifest(COMMIT)
    before = memory.reads
    memory.tree(("40000", b"a", same), ("40000", b"c", same))

    read.manifest(COMMIT)

    assert memory.reads - before == 1


def test_pointers_are_reported() -> None:
    memory = Memory()
    text = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 9\n" % (b"a" * 64)
    blob = memory.put(text)
    memory.tree(("100644", b"big.fits", blob))

    assert reader(memory).manifest(COMMIT).warnings == (
        "1 Git LFS pointers are published as they are",
    )
    (file,) = reader(memory, lfs="fetch").manifest(COMMIT).files
    assert (file.large, file.size) == ("a" * 64, 9)


def test_an_unchanged_folder_is_reused_at_its_place_only_and_its_warnings_stay() -> None:
    memory = Memory()
    blob, out = memory.put(b"hello"), memory.put(b"../../etc")
    same = memory.tree(("100644", b"b.txt", blob), ("120000", b"out", out))
    memory.tree(("40000", b"a", same))
    reads = reader(memory)
    first = reads.manifest(COMMIT)
    before = memory.reads
    memory.tree(("40000", b"a", same), ("40000", b"z", same))

    second = reads.manifest(COMMIT)

    assert first.warnings == ("a/out: a link that leads out of the collection is left out",)
    assert [file.path for file in first.files] == ["a/b.txt"]
    assert sorted(file.path for file in second.files) == ["a/b.txt", "z/b.txt"]
    assert sorted(second.warnings) == [
        "a/out: a link that leads out of the collection is left out",
        "z/out: a link that leads out of the collection is left out",
    ]
    assert memory.reads == before + 1  # the new top, nothing else


def test_a_file_that_moves_keeps_what_is_known_of_it_after_two_unchanged_releases() -> None:
    memory = Memory()
    blob = memory.put(b"hello")
    folder = memory.tree(("100644", b"b.txt", blob))
    memory.tree(("40000", b"a", folder))
    reads = reader(memory)
    for _ in range(3):
        reads.manifest(COMMIT)
    before = memory.reads
    memory.tree(("100644", b"b.txt", blob))

    assert [file.path for file in reads.manifest(COMMIT).files] == ["b.txt"]
    assert memory.reads == before + 0  # the top is the folder's own tree
