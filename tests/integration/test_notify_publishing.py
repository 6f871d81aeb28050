from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"


class Site:
    """A collection whose gate can be shut, published by a service that tells a command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sink = folder / "sink"
        self.gate = folder / "gate"
        self.open_gate()
        self.origin = folder / "origin"
        self.git("init", "-q", "-b", "main", str(self.origin), at=folder)
        self.push("1")
        command = json.dumps([sys.executable, "-c", PROGRAM, str(self.sink)])
        self.file = folder / "nbpipe.toml"
        self.file.write_text(
            f'[notify]\ncommand = {command}\n[[collection]]\nname = "n"\npoll = 0.5\n'
            f'origin = "{self.origin}"\nroot = "{folder}/root"\nprotocols = ["file"]\n'
            f'gate = ["{self.gate}"]\n'
        )
        state = {"XDG_STATE_HOME": str(folder / "state")}
        self.environ = {**os.environ, "PYTHONWARNINGS": ""} | state

    def git(self, *words: str, at: Path | None = None) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, "-C", str(at or self.origin), *words], check=True)

    def push(self, text: str) -> None:
        (self.origin / "a.txt").write_text(text)
        self.git("add", ".")
        self.git("commit", "-qm", text)

    def open_gate(self) -> None:
        self.gate.write_text("#!/bin/sh\nexit 0\n")
        self.gate.chmod(0o755)

    def shut_gate(self) -> None:
        self.gate.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "nbpipe", *words, "--config", str(self.file)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def told(self) -> list[dict[str, Any]]:
        if not self.sink.exists():
            return []
        return [json.loads(line) for line in self.sink.read_text().splitlines()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_refused_commit_and_its_end_are_told_once(site: Site) -> None:
    assert site.run("publish").returncode == 0
    assert site.run("notify", "--publishing").stdout == "nothing new to send\n"
    site.shut_gate()
    site.push("2")
    assert site.run("publish").returncode == 1
    for _ in range(2):
        assert site.run("notify", "--publishing").returncode == 0
    shown = site.run("notify", "--publishing", "--show").stdout
    assert "### Not published: it needs a person: 1\n\n- `n`: `" in shown
    site.open_gate()
    assert site.run("publish", "--again").returncode == 0
    for _ in range(2):
        assert site.run("notify", "--publishing").returncode == 0
    assert [each["subject"] for each in site.told] == [
        "nbpipe: 1 refused",
        "nbpipe: 1 published again",
    ]
    assert "not today" in site.told[0]["events"][0]["detail"]


def test_a_watching_service_tells_by_itself(site: Site) -> None:
    site.shut_gate()
    service = subprocess.Popen(site.command("publish", "--watch"), env=site.environ)
    try:
        deadline = time.monotonic() + 120
        while not site.told:
            assert service.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(120) == 0
    assert [each["subject"] for each in site.told] == ["nbpipe: 1 refused"]
