"""A scheduler's programs that answer from a record, for schedulers that no test can run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from nbpipe.reference.schedulers.programs import Answer, Programs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_PROGRAM = """#!/usr/bin/env -S python3 -IS
import json, sys
from pathlib import Path
here = Path(__file__)
with here.with_suffix(".calls").open("a") as calls:
    calls.write(json.dumps([sys.argv[1:], sys.stdin.read()]) + "\\n")
answer = json.loads(here.with_suffix(".answer").read_text())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["code"])
"""


class Recorded:
    """A folder of such programs, as PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment in which they are found."""
        return {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}

    def program(self, name: str, out: str = "", err: str = "", code: int = 0) -> None:
        """Let a program answer like this from now on."""
        file = self.folder / name
        file.write_text(_PROGRAM)
        file.chmod(0o700)
        file.with_suffix(".answer").write_text(json.dumps({"out": out, "err": err, "code": code}))

    def calls(self, name: str) -> list[list[str]]:
        """Return the arguments of each call."""
        return [call[0] for call in self._read(name)]

    def text(self, name: str) -> str:
        """Return what the last call read from its standard input."""
        return str(self._read(name)[-1][1])

    def _read(self, name: str) -> list[tuple[list[str], str]]:
        lines = (self.folder / name).with_suffix(".calls").read_text().splitlines()
        return [json.loads(line) for line in lines]


class Spoken:
    """The same answers without starting a process for each question."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environ: dict[str, str] = {}
        self._answers: dict[str, Answer] = {}
        self._calls: list[list[str]] = []

        def call(_programs: Programs, *words: str, **_: object) -> Answer:
            self._calls.append([*words])
            return self._answers[words[0]]

        monkeypatch.setattr(Programs, "call", call)

    def program(self, name: str, out: str = "", err: str = "", code: int = 0) -> None:
        """Let a program answer like this from now on."""
        self._answers[name] = Answer(code=code, out=out, err=err)

    def calls(self, name: str) -> list[list[str]]:
        """Return the arguments of each call."""
        return [words[1:] for words in self._calls if words[0] == name]
