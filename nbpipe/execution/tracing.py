"""What a notebook depends on: asked of its kernel while it runs, read from its text otherwise.

A Python kernel gets a hook (see `audithook`) with a request before the first cell; what it noted is
read when the kernel is gone (see `notes`). What no hook can see is looked for in the text (see
`mentions`). Where a notebook can read what neither shows, the trace says that this is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from nbpipe import environments, fingerprint, private, worktree
from nbpipe.execution import mentions, notes
from nbpipe.model import CHANGED, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

    from nbpipe.environments import Environment
    from nbpipe.execution.kernel import Kernel
    from nbpipe.execution.notes import Notes
    from nbpipe.model import Task

_SLACK_NS = 5_000_000
"""A file system's clock may be so far behind."""

_MOST_CODE = 2_000_000
"""Bytes of a module that are still read for what it mentions."""


class Tracer:
    """What the traces of one run share: the files' ids, the interpreters' packages.

    Args:
        top: The repository's, as the operating system resolves it.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.lock = threading.Lock()
        self.files = worktree.Files(top)
        self._environments: dict[object, Environment | None] = {}
        self._texts: dict[str, str] = {}

    def environment(self, argv: list[str], own: dict[str, str]) -> Environment | None:
        """Return what the interpreter of a kernelspec has; asked once."""
        key = (*argv, *sorted(own.items()))
        if key not in self._environments:
            self._environments[key] = environments.ask(argv, own, os.environ, modules=True)
        return self._environments[key]

    def text(self, path: str) -> str:
        """Return the text of a module of the repository; nothing of one that is too long."""
        if path not in self._texts:
            self._texts[path] = ""
            with contextlib.suppress(OSError), (self.top / path).open("rb") as stream:
                self._texts[path] = stream.read(_MOST_CODE).decode(errors="replace")
        return self._texts[path]


_current: ContextVar[Tracer | None] = ContextVar("_current", default=None)


@contextlib.contextmanager
def traced(root: Path | None) -> Iterator[None]:
    """Trace what is executed in here, where `root` is in a repository of git; None: do not."""
    top = worktree.top(root) if root is not None else None
    token = _current.set(Tracer(Path(os.path.realpath(top))) if top else None)
    try:
        yield
    finally:
        _current.reset(token)


class Watch:
    """The trace of one attempt at a notebook that comes to be.

    Args:
        task: The notebook.
        copy: Where its executed copy goes; the kernel's notes lie beside it for a while.
    """

    def __init__(self, task: Task, copy: Path) -> None:
        self._tracer = _current.get()
        self._task = task
        self._notes = copy.with_name(f".{copy.name}.notes")
        self._began = time.time_ns() - _SLACK_NS
        self._argv: list[str] | None = None
        self._own: dict[str, str] = {}
        self._text = ""

    def begin(self, kernel: Kernel, notebook: NotebookNode) -> None:
        """Put the hook into a kernel that is ready; the next request finds it there."""
        spec = kernel.manager.kernel_spec
        if self._tracer is None or spec is None:
            return
        self._argv, self._own = list(spec.argv), dict(spec.env or {})
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        self._text = "\n".join(sources)
        if self._task.language != "python":
            return
        with contextlib.suppress(OSError):  # a full disk: then there is no trace
            private.write(self._notes, b"")
            # A file server's clock may be behind this machine's.
            self._began = min(self._began, self._notes.stat().st_ctime_ns - _SLACK_NS)
        arguments = (str(self._notes), str(self._tracer.top), notes.WATCHED)
        kernel.client.execute(
            "", silent=True, user_expressions={"nbpipe": f"{_HOOK}(*{arguments!r})"}
        )
        kernel.client.shell_channel.socket.get(zmq.EVENTS)  # see Session._look_again

    async def end(self, *, passed: bool) -> Trace | None:
        """Return the trace of a notebook whose kernel is gone; None: there is none to keep."""
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self._notes.read_text(encoding="ascii", errors="replace").splitlines()
            self._notes.unlink()
        if self._tracer is None or self._argv is None or not passed:
            return None
        try:
            return await asyncio.to_thread(self._trace, self._tracer, notes.parse(lines))
        except (OSError, subprocess.SubprocessError):
            return None  # git has nothing to say any more

    def _trace(self, tracer: Tracer, seen: Notes) -> Trace:
        with tracer.lock:
            return self._sum_up(tracer, seen)

    def _sum_up(self, tracer: Tracer, seen: Notes) -> Trace:
        """Return the trace; what is read from texts is added to the notes."""
        assert self._argv is not None  # noqa: S101  (its caller looked)
        texts = self._texts(tracer, seen)
        for text in texts:
            self._mentioned(tracer, seen, text)
        if not seen.begun and not seen.unknown:
            seen.unknown = mentions.unknown("\n".join(texts), self._task.language)
        wanted = {f"{folder}/" for folder in seen.listed} | {f"//{end}" for end in seen.endings}
        source = self._relative(tracer, os.path.realpath(self._task.file))
        seen.read.add(self._relative(tracer, str(self._task.file)))  # which may be a link
        ids = tracer.files.ids({source, *seen.read, *wanted})
        inputs = {path: CHANGED if self._is_newer(path) else ids[path] for path in ids}
        changed = {path for path in seen.read | seen.updated if self._is_newer(path)}
        trace = Trace(
            source=inputs[source],
            kernel=self._task.kernel,
            settings=fingerprint.settings(self._task, self._argv, self._own),
            inputs=inputs,
            modules=tuple(sorted(seen.modules)),
            folders=tuple(sorted(seen.folders)),
            places=tuple(sorted(seen.places)),
            outputs=tuple(sorted(seen.written | changed)),
            environment=self._environment(tracer, seen),
            unknown=seen.unknown,
        )
        looked = partial(worktree.modules_in, tracer.top)
        return replace(trace, found=worktree.modules_found(trace, looked))

    def _texts(self, tracer: Tracer, seen: Notes) -> list[str]:
        """Return the notebook's text and those of all modules of the repository that it reads."""
        texts = [self._text, *(each.source for each in self._task.prerun)]
        waiting, known = sorted(seen.read), set(seen.read)
        if not seen.begun:
            for text in texts:
                self._mentioned(tracer, seen, text)
            waiting, known = sorted(seen.read), set(seen.read)
        while waiting:
            path = waiting.pop()
            if not path.endswith((".py", ".R", ".r", ".jl", ".ipy")):
                continue
            texts.append(tracer.text(path))
            if not seen.begun:
                self._mentioned(tracer, seen, texts[-1])
                waiting += sorted(seen.read - known)
                known |= seen.read
        return texts

    def _mentioned(self, tracer: Tracer, seen: Notes, text: str) -> None:
        """Add the files that a text mentions; a hook sees what is opened, not what is asked for."""
        found = mentions.paths(text)
        if not seen.begun:
            found |= mentions.modules(text, self._task.language)
        for path in found:
            place = self._relative(tracer, os.path.join(self._task.file.parent, path))  # noqa: PTH118
            full = tracer.top / place
            if not place or place.startswith("../") or place in seen.written:
                continue
            if full.is_file() or (mentions.is_like_a_file(path) and not full.exists()):
                seen.read.add(place)
            elif full.is_dir() and not seen.begun and not seen.unknown:
                seen.unknown = f"its text names the folder {place}, and not what it reads there"
        if mentions.asks_for_content(text):
            seen.endings.add("")
        elif mentions.asks_for_names(text):
            seen.endings.add("names")

    def _environment(self, tracer: Tracer, seen: Notes) -> dict[str, str]:
        """Return the distributions that it imported; nothing where they cannot be known."""
        if not seen.begun:
            return {}
        found = tracer.environment(self._argv or [], self._own)
        if found is None:
            why = f"the packages of kernel {self._task.kernel} are not known"
            seen.unknown = seen.unknown or why
            return {}
        return found.of(seen.modules)

    @staticmethod
    def _relative(tracer: Tracer, path: str) -> str:
        return os.path.relpath(path, tracer.top)

    def _is_newer(self, path: str) -> bool:
        """Return whether a file or folder was changed since the attempt began."""
        tracer = self._tracer
        if tracer is None or path.startswith("//"):
            return False
        try:
            return (tracer.top / path.rstrip("/")).stat().st_ctime_ns >= self._began
        except (OSError, ValueError):
            return False


def _hook() -> str:
    """Return the function that puts the hook in place, as an expression that leaves no name."""
    source = Path(__file__).with_name("audithook.py").read_text(encoding="utf-8")
    return f"(lambda own: (exec({source!r}, own), own['begin'])[1])({{'__name__': 'audithook'}})"


_HOOK = _hook()
