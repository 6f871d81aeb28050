"""Environments made from pins: `venv` and pip below a temporary folder, and a kernelspec for each.

The one place that runs pip. Its configuration, its cache and PIP_* variables hold as always.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from nbpipe.bisecting.verdict import ENDS, Interrupted, handling
from nbpipe.system import interpreters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import FrameType

    from nbpipe.bisecting.locks import Pin

KERNEL = "ipykernel"
"""The distribution without which no notebook runs."""

_PIP = ("--disable-pip-version-check", "--no-input")
_INSTALL = ("install", "--quiet", "--no-user", "--target=", "--no-compile")
"""Into the environment, whatever is configured; most of it is never imported."""
_ELSEWHERE = ("PIP_PREFIX", "PIP_ROOT")
"""Would lead pip out of the environment; no option takes them back."""
_LAUNCH = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]

_MARKERS = """
import json, os, platform, sys
version = platform.python_version()
print("MARK" + json.dumps({
    "implementation_name": sys.implementation.name,
    "implementation_version": "%d.%d.%d" % sys.implementation.version[:3],
    "os_name": os.name, "platform_machine": platform.machine(),
    "platform_release": platform.release(), "platform_system": platform.system(),
    "platform_version": platform.version(), "python_full_version": version,
    "platform_python_implementation": platform.python_implementation(),
    "python_version": ".".join(platform.python_version_tuple()[:2]),
    "sys_platform": sys.platform}))
"""


class CannotBuild(Exception):  # noqa: N818  (what happened)
    """There is no such environment; the message says why."""


@dataclass(frozen=True, slots=True)
class Built:
    """An environment that is there."""

    kernel: str
    """The name of its kernelspec, for as long as it is there."""
    place: Path
    """Its folder."""
    conflicts: tuple[str, ...]
    """What `pip check` says."""

    def needs(self) -> dict[str, tuple[str, ...]]:
        """Return what each distribution in it requires, as its metadata have it."""
        folders = map(str, self.place.glob("lib*/python*/site-packages"))
        return {
            canonicalize_name(each.name): tuple(each.requires or ())
            for each in importlib.metadata.distributions(path=[*folders])
            if each.name
        }


class Builder:
    """Makes environments for one kind of kernel.

    Args:
        python: How the interpreter is started.
        own: The variables that the kernelspec sets.
        options: Pip's, from the lock files: where it looks for distributions.
        folder: Everything is made in here; the environments' kernelspecs too.
    """

    def __init__(
        self, python: Sequence[str], own: Mapping[str, str], options: Iterable[str], folder: Path
    ) -> None:
        self._python = [*python]
        self._own = dict(own)
        self._options = [*dict.fromkeys(options)]
        self._folder = folder
        self._number = 0
        self._pip: list[str] = []

    @contextlib.contextmanager
    def environment(self, pins: Mapping[str, Pin]) -> Iterator[Built]:
        """Give an environment with exactly these pins; it is gone afterwards.

        Without ipykernel among them it gets one, with what that needs and the pins leave free.

        Raises:
            CannotBuild: pip, or the interpreter, says no.
        """
        self._number += 1
        place = self._folder / f"environment-{self._number}"
        name = f"nbpipe-bisect-{os.getpid()}-{self._number}"
        spec = self._folder / "kernels" / name
        try:
            conflicts = self._build(place, pins)
            spec.mkdir(parents=True)
            (spec / "kernel.json").write_text(json.dumps(self._kernelspec(place)), "utf-8")
            yield Built(name, place, conflicts)
        finally:
            shutil.rmtree(place, ignore_errors=True)
            shutil.rmtree(spec, ignore_errors=True)

    def _build(self, place: Path, pins: Mapping[str, Pin]) -> tuple[str, ...]:
        self._run([*self._python, "-m", "venv", "--without-pip", str(place)])
        pip = [*self._found_pip(), "--python", str(place / "bin/python"), *_PIP]
        with tempfile.TemporaryDirectory(dir=self._folder) as files:
            if pins:
                wanted = self._file(files, "pins.txt", [*self._options, *_lines(pins)])
                self._run([*pip, *_INSTALL, "--no-deps", "-r", wanted])
            if KERNEL not in pins:
                kept = [pin.requirement for pin in pins.values() if not pin.has_address]
                constraints = self._file(files, "constraints.txt", kept)
                wanted = self._file(files, "kernel.txt", [*self._options, KERNEL])
                self._run([*pip, *_INSTALL, "-c", constraints, "-r", wanted])
        checked = _ended([*pip, "check"], self._temporary)
        return tuple(checked.stdout.strip().splitlines()) if checked.returncode else ()

    @property
    def _temporary(self) -> dict[str, str]:
        """What makes pip leave its own temporary files where they go with everything else."""
        return {"TMPDIR": str(self._folder)}

    def _run(self, command: list[str]) -> None:
        _run(command, self._temporary)

    def _found_pip(self) -> list[str]:
        """Return how pip is started: our interpreter's, else one of its own."""
        if not self._pip:
            tool = [sys.executable]
            if importlib.util.find_spec("pip") is None:
                place = self._folder / "pip"
                self._run([sys.executable, "-m", "venv", str(place)])
                tool = [str(place / "bin/python")]
            self._pip = [*tool, "-m", "pip"]
        return self._pip

    def _kernelspec(self, place: Path) -> dict[str, object]:
        programs = place / "bin"
        path = f"{programs}{os.pathsep}{self._own.get('PATH', '${PATH}')}"
        return {
            "argv": [str(programs / "python"), *_LAUNCH],
            "display_name": place.name,
            "language": "python",
            "env": self._own | {"PATH": path, "VIRTUAL_ENV": str(place)},
        }

    @staticmethod
    def _file(folder: str, name: str, lines: Iterable[str]) -> str:
        file = Path(folder, name)
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return str(file)


@contextlib.contextmanager
def builder(
    python: Sequence[str], own: Mapping[str, str], options: Iterable[str]
) -> Iterator[Builder]:
    """Give a builder whose kernelspecs Jupyter finds; all that it made is gone afterwards.

    Raises:
        Interrupted: A signal ended it, at whatever moment.
    """
    before = os.environ.get("JUPYTER_PATH")
    with handling(_end), tempfile.TemporaryDirectory(prefix="nbpipe-bisect-") as folder:
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield Builder(python, own, options, Path(folder).resolve())
        finally:
            for number in ENDS:  # until the folder is gone as a whole
                signal.signal(number, signal.SIG_IGN)
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def marker_values(python: Sequence[str]) -> dict[str, str]:
    """Return what environment markers are decided by, for an interpreter.

    Raises:
        CannotBuild: It does not say.
    """
    question = _MARKERS.replace("MARK", interpreters.MARK)
    try:
        return dict(json.loads(interpreters.ask(python, question, environ=os.environ)))
    except interpreters.NoAnswerError as error:
        raise CannotBuild(f"{python[0]}: {error}") from error


def _lines(pins: Mapping[str, Pin]) -> Iterator[str]:
    """Yield the lines of a requirements file; pip takes hashes for all of them, or for none."""
    hashed = all(pin.hashes for pin in pins.values())
    for pin in pins.values():
        hashes = [f"--hash={text}" for text in pin.hashes] if hashed else []
        yield " ".join([pin.requirement, *hashes])


def _run(command: list[str], own: Mapping[str, str]) -> str:
    """Return what a program prints; variables of its own are added to ours.

    Raises:
        CannotBuild: It failed.
    """
    done = _ended(command, own)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        said = errors or [*filter(None, lines)] or [f"{command[0]}: exit code {done.returncode}"]
        raise CannotBuild(said[-1])
    return done.stdout


def _ended(command: list[str], own: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; whatever ends us ends it, with all that it started."""
    environ = {**os.environ, **own}
    try:
        process = subprocess.Popen(
            command,
            cwd=os.sep,
            env={key: text for key, text in environ.items() if key not in _ELSEWHERE},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CannotBuild(f"{command[0]} cannot be run: {error.strerror}") from error
    with process:
        try:
            out, err = process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # until all of them have closed it
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted
