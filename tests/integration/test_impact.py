"""A random collection over random commits: what is chosen is never less than what is affected.

The truth is found by running everything: a notebook is affected where the result that it leaves in
its executed copy is another one. Small by default; NBPIPE_IMPACT=NOTEBOOKSxCOMMITS makes it long.
Some read and write with compiled code that no hook of Python's sees: the C library, and Arrow.
"""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from changing import Changing, changing

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = {"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}}
LEVELS = ("1_make", "2_derive", "3_use")
"""Folders that run one after the other; a notebook reads what those before it have written."""


C = """\
import ctypes
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
for function in (libc.fread, libc.fwrite):
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
def read(path):
    file = libc.fopen(path.encode(), b'rb')
    if file is None:
        return b''
    room = ctypes.create_string_buffer(1000)
    got = libc.fread(room, 1, 1000, file)
    libc.fclose(file)
    return room.raw[:got]
def write(path, text):
    file = libc.fopen(path.encode(), b'wb')
    libc.fwrite(text.encode(), 1, len(text), file)
    libc.fclose(file)
"""
ARROW = """\
import pyarrow as pa
def read(path):
    with pa.memory_map(path) as file:
        return file.read()
def write(path, text):
    with pa.OSFile(path, 'wb') as file:
        file.write(text.encode())
"""
PLAIN = """\
def read(path):
    with open(path, 'rb') as file:
        return file.read()
def write(path, text):
    with open(path, 'w') as file:
        file.write(text)
"""


@dataclass
class Generated:
    """A collection that a seed has made, and that changes at random.

    Args:
        repository: Where it lies.
        notebooks: How many.
        chance: Decides everything.
    """

    repository: Changing
    notebooks: int
    chance: random.Random
    data: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def make(self) -> None:
        """Write everything."""
        for number in range(max(4, self.notebooks // 4)):
            self.data.append(f"data/d{number}.txt")
            self.repository.write(self.data[-1], f"{number}\n")
        for number in range(max(3, self.notebooks // 8)):
            self.modules.append(f"m{number}")
            self._module(number)
        for number in range(self.notebooks):
            level = number * len(LEVELS) // self.notebooks
            self.paths.append(f"{LEVELS[level]}/n{number:03}.ipynb")
            self._notebook(number)
        self.repository.write(".gitignore", "__pycache__/\n")

    def _module(self, number: int) -> None:
        """Write a module; it imports some of those before it, and may read a file."""
        lines = [f"import m{each}" for each in self._some(range(number), 2)]
        lines += [f"value = {self.chance.randrange(100)}"]
        lines += [f"value += m{line[8:]}.value" for line in lines if line.startswith("import m")]
        if self.chance.random() < 0.4:
            name = self.chance.choice(self.data)
            lines += ["from pathlib import Path", "here = Path(__file__).parent.parent"]
            lines += [f"value += len((here / '{name}').read_text()) * 7"]
        self.repository.write(f"lib/m{number}.py", "\n".join(lines) + "\n")

    def _notebook(self, number: int) -> None:
        """Write a notebook: what it reads decides what it prints and what it writes."""
        level = self.paths[number].partition("/")[0]
        before = [n for n, path in enumerate(self.paths) if path.partition("/")[0] < level]
        reads = [*self._some(self.data, 2)]
        reads += [f"products/p{each}.txt" for each in self._some(before, 2)]
        kind = self.chance.choices((PLAIN, C, ARROW), (8, 2, 1))[0]
        cells = [f"import sys\nsys.path.insert(0, '../lib')\ntotal = {self.chance.randrange(9)}"]
        cells += [kind]
        cells += [f"import {each}\ntotal += {each}.value" for each in self._some(self.modules, 1)]
        cells += [
            f"name = '{each.partition('/')[2]}'\n"
            f"text = read('../{each.partition('/')[0]}/' + name)\n"
            "total = (total * 31 + sum(text)) % 1000003"
            for each in reads
        ]
        if self.chance.random() < 0.1:
            tried = f"    total += len(read('o{number}' + '.txt'))"
            cells += [f"try:\n{tried}\nexcept OSError:\n    pass"]
        cells += [f"write('../products/p{number}' + '.txt', str(total))", "print('result', total)"]
        self.repository.collection.notebook(self.paths[number], *cells, **PYTHON)

    def _some(self, many: object, most: int) -> list:  # type: ignore[type-arg]
        found = list(many)  # type: ignore[call-overload]
        return self.chance.sample(found, min(len(found), self.chance.randint(0, most)))

    def change(self) -> str:
        """Change something; return what."""
        kind = self.chance.choices(
            ("data", "module", "notebook", "optional", "text", "rename", "several"),
            (6, 2, 5, 1, 1, 1, 2),
        )[0]
        if kind == "several":
            return " and ".join(self.change() for _ in range(2))
        number = self.chance.randrange(self.notebooks)
        if kind == "data":
            self.repository.write(self.chance.choice(self.data), f"{self.chance.random()}\n")
        elif kind == "module":
            self._module(self.chance.randrange(len(self.modules)))
        elif kind == "notebook":
            self._notebook(number)
        elif kind == "optional":
            folder = self.paths[number].partition("/")[0]
            self.repository.write(f"{folder}/o{number}.txt", "there\n")
        elif kind == "text":
            self.repository.write("README.md", f"{self.chance.random()}\n")
        else:
            self._rename()
        return kind

    def _rename(self) -> None:
        """Rename a file of data, and say so to nobody; a file of the old name takes its place."""
        name = self.chance.choice(self.data)
        (self.repository.top / name).rename(self.repository.top / f"{name}.old")
        self.repository.write(name, f"{self.chance.random()}\n")

    def run(self) -> dict[str, str]:
        """Run everything, level by level; return what each notebook results in."""
        found = {}
        (self.repository.top / "products").mkdir(exist_ok=True)
        for level in LEVELS:
            ended = self.repository.run("-n", "2", level)
            for path in (path for path in self.paths if path.startswith(level)):
                output = ended.executed(path).cells[-1].outputs[0].text
                source = (self.repository.top / path).read_text(encoding="utf-8")
                found[path] = f"{output} {hash(source)}"
        return found


def test_what_is_chosen_is_never_less_than_what_is_affected(tmp_path: Path) -> None:
    notebooks, _, commits = os.environ.get("NBPIPE_IMPACT", "18x6").partition("x")
    generated = Generated(changing(tmp_path), int(notebooks), random.Random(6))  # noqa: S311  (no secret)
    generated.make()
    generated.repository.commit()
    before = generated.run()
    before = generated.run()  # now everything was written once
    truths, choices, seconds = 0, 0, []
    for number in range(int(commits)):
        generated.repository.commit()  # the products
        what = generated.change()
        revision = generated.repository.git("rev-parse", "HEAD")
        generated.repository.commit()
        start = time.perf_counter()
        chosen = set(generated.repository.affected(revision))
        seconds.append(time.perf_counter() - start)
        after = generated.run()
        truth = {path for path, result in after.items() if result != before[path]}
        assert truth <= chosen, f"commit {number}, {what}: {truth - chosen} would be skipped"
        truths, choices, before = truths + len(truth), choices + len(chosen), after
        told = f"{number} {what}: {len(truth)} affected, {len(chosen)} chosen, {seconds[-1]:.2f} s"
        sys.stderr.write(f"{told}\n")
    longest = max(seconds)
    sys.stderr.write(f"{choices} chosen for {truths} affected; {longest:.2f} s to choose\n")
    assert truths > 0
    assert choices <= 2 * truths  # what C code may have opened counts for all that ran meanwhile
