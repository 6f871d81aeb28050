"""What a notebook depends on: asked of its kernel while it runs, read from its text otherwise.

A Python kernel gets a hook (see `audithook`) with a request before the first cell; what it noted
is read when the kernel is gone (see `notes`). No hook sees what compiled code opens; the system
does (see `openings`). What is not opened is looked for in the text (see `mentions`). Where a
notebook can read what none of these shows, the trace says that this is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import zmq

from nbpipe import worktree
from nbpipe.impact import fingerprint, mentions, notes
from nbpipe.impact.openings import CannotWatchError, Openings
from nbpipe.model import CHANGED, Trace
from nbpipe.system import environments, private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode

    from nbpipe.impact.notes import Notes
    from nbpipe.impact.openings import Opened
    from nbpipe.model import Task
    from nbpipe.system.environments import Environment

_SLACK_NS = 5_000_000
"""A file system's clock may be so far behind."""

_TOLERANT = ("raises-exception", "nbval-raises-exception")

_NOWHERE = "\0"
"""A top below which nothing lies, where nothing is traced."""

_MOST_CODE = 2_000_000
"""Bytes of a module that are still read for what it mentions."""


class Tracer:
    """What the traces of one run share: the files' ids, the interpreters' packages.

    Args:
        top: The repository's, as the operating system resolves it.
        apart: Where the runner writes itself.
    """

    def __init__(self, top: Path, apart: Path | None = None) -> None:
        self.top = top
        self.lock = threading.Lock()
        self.openings: Openings | None = None
        self.blind = ""
        """Why it cannot be seen what is opened."""
        try:
            self.openings = Openings(top, apart)
        except CannotWatchError as error:
            self.blind = str(error)
        self.watches: set[Watch] = set()
        """Those of the attempts that go on."""
        self.files = worktree.Files(top)
        self._environments: dict[object, Environment | None] = {}
        self._texts: dict[str, str] = {}

    def environment(
        self, argv: list[str], own: dict[str, str], given: Mapping[str, str]
    ) -> Environment | None:
        """Return what the interpreter of a kernelspec has; asked once."""
        environ = {**os.environ, **given}
        key = (*argv, *sorted(own.items()), *sorted(given.items()))
        if key not in self._environments:
            self._environments[key] = environments.ask(argv, own, environ, modules=True)
        return self._environments[key]

    def close(self) -> None:
        """Watch nothing any more."""
        if self.openings is not None:
            self.openings.close()

    def text(self, path: str) -> str:
        """Return the text of a module of the repository; nothing of one that is too long."""
        if path not in self._texts:
            self._texts[path] = ""
            with contextlib.suppress(OSError), (self.top / path).open("rb") as stream:
                self._texts[path] = stream.read(_MOST_CODE).decode(errors="replace")
        return self._texts[path]


@contextlib.contextmanager
def tracing(root: Path | None, apart: Path | None = None) -> Iterator[Tracer | None]:
    """Yield what traces notebooks, where `root` is in a git repository; None: nothing does.

    Args:
        root: The collection's.
        apart: The folder for executed copies: what is opened there is the runner's own business.
    """
    top = worktree.top(root) if root is not None else None
    if top is None:
        yield None
        return
    tracer = Tracer(Path(os.path.realpath(top)), apart and Path(os.path.realpath(apart)))
    try:
        yield tracer
    finally:
        tracer.close()


IPYKERNEL = "ipython"
"""What ipykernel calls itself in its kernel_info reply; of other kernels the text is read."""


class Traceable(Protocol):
    """A kernel, as far as its trace needs it."""

    manager: AsyncKernelManager
    implementation: str

    @property
    def client(self) -> AsyncKernelClient:
        """The client of a kernel that was started."""


class Watch:
    """The trace of one attempt at a notebook that comes to be.

    Args:
        task: The notebook.
        copy: Where its executed copy goes; the kernel's notes lie beside it for a while.
        tracer: What the traces of the run share; None: nothing is traced.
    """

    def __init__(self, task: Task, copy: Path, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._task = task
        self._notes = copy.with_name(f".{copy.name}.notes")
        self._began = time.time_ns() - _SLACK_NS
        self._argv: list[str] | None = None
        self._own: dict[str, str] = {}
        self._text = ""
        self.home: dict[str, str] = {}
        """Distributions of the user's home that were imported, after `end`."""
        self.shadowed: tuple[str, ...] = ()
        """Modules that files beside the notebook hide, after `end`."""
        self.packages: Mapping[str, str] = {}
        """The distributions that were imported, with their versions, after `end`."""
        self._tolerant = False
        """Whether a cell may raise."""
        self._rivals: set[Watch] = set()
        """Watches of what ran at the same time."""
        self._seen: Notes | None = None
        if self._tracer is not None:
            for other in self._tracer.watches:
                other._rivals.add(self)  # noqa: SLF001  (another of its own kind)
            self._rivals |= self._tracer.watches
            self._tracer.watches.add(self)
            if self._tracer.openings is not None:
                self._tracer.openings.begin(self)

    def begin(self, kernel: Traceable, notebook: NotebookNode) -> None:
        """Put the hook into a kernel that is ready; the next request finds it there."""
        spec = kernel.manager.kernel_spec
        if spec is None:
            return
        self._argv, self._own = list(spec.argv), dict(spec.env or {})
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        self._text = "\n".join(sources)
        tags = [cell.metadata.get("tags") for cell in notebook.cells]
        raises = any(
            each in _TOLERANT for found in tags if isinstance(found, list) for each in found
        )
        self._tolerant = self._task.allow_errors or self._task.all_errors or raises
        if kernel.implementation != IPYKERNEL:  # xeus-python hangs with a hook, now and then
            return
        with contextlib.suppress(OSError):  # a full disk: then there is no trace
            private.write(self._notes, b"")
            # A file server's clock may be behind this machine's.
            self._began = min(self._began, self._notes.stat().st_ctime_ns - _SLACK_NS)
        vouched, unvouched = (tuple(each) for each in (notes.VOUCHED, notes.UNVOUCHED))
        top = str(self._tracer.top) if self._tracer is not None else _NOWHERE
        arguments = (str(self._notes), top, notes.WATCHED, vouched, unvouched)
        kernel.client.execute(
            "", silent=True, user_expressions={"nbpipe": f"{_HOOK}(*{arguments!r})"}
        )
        kernel.client.shell_channel.socket.get(zmq.EVENTS)  # see Session._look_again

    async def end(self, *, passed: bool) -> Trace | None:
        """Return the trace of a notebook whose kernel is gone; None: there is none to keep."""
        seen = self._seen = self._noted()
        self.home = {} if self._task.user_site == "on" else environments.brought_by(seen.home)
        self.shadowed = tuple(sorted(seen.shadowed))
        self._notes.unlink(missing_ok=True)
        opened = None
        if self._tracer is not None:
            self._tracer.watches.discard(self)
            if self._tracer.openings is not None:
                opened = self._tracer.openings.end(self)
        try:
            if self._tracer is None or self._argv is None:
                return None
            if not passed:  # its files do not matter; its packages may say why
                self.packages = await asyncio.to_thread(self._imported, self._tracer, seen)
                return None
            trace = await asyncio.to_thread(self._trace, self._tracer, seen, opened)
            self.packages = trace.environment
        except (OSError, subprocess.SubprocessError):
            return None  # git has nothing to say any more
        finally:
            self._rivals.clear()
        return trace

    def remarks(self) -> list[str]:
        """Return what a maintainer should know about where its packages came from."""
        found = []
        if self.home:
            names = ", ".join(f"{name} {each}".rstrip() for name, each in self.home.items())
            found.append(f"imported from the home, not from the environment: {names}")
        for name in self.shadowed:
            whose = "Python's own" if name in sys.stdlib_module_names else "the environment's"
            found += [f"{name} was imported from a file beside the notebook, which hides {whose}"]
        return found

    def _noted(self) -> Notes:
        """Return what the kernel has noted up to now."""
        if self._seen is not None:
            return self._seen
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self._notes.read_text(encoding="ascii", errors="replace").splitlines()
        return notes.parse(lines)

    def _imported(self, tracer: Tracer, seen: Notes) -> dict[str, str]:
        with tracer.lock:
            return self._environment(tracer, seen)

    def _trace(self, tracer: Tracer, seen: Notes, opened: Opened | None) -> Trace:
        with tracer.lock:
            return self._sum_up(tracer, seen, opened)

    def _sum_up(self, tracer: Tracer, seen: Notes, opened: Opened | None) -> Trace:
        """Return the trace; what was opened and what is read from texts is added to the notes."""
        assert self._argv is not None  # noqa: S101  (its caller looked)
        environment = self._environment(tracer, seen)
        if seen.begun:
            named = map(mentions.opens_compiled, self._texts(tracer, seen))
            old = (name for name in notes.OLDEST if notes.is_old(name, environment.get(name)))
            seen.compiled = seen.compiled or next(filter(None, [*named, *old]), "")
            if seen.compiled:
                self._opened(tracer, seen, opened)
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
            outputs=tuple(sorted((seen.written | changed) - self._removed(tracer, seen))),
            environment=environment,
            unknown=seen.unknown,
            limits=fingerprint.limits(self._task),
        )
        looked = partial(worktree.modules_in, tracer.top)
        return replace(trace, found=worktree.modules_found(trace, looked))

    def _opened(self, tracer: Tracer, seen: Notes, opened: Opened | None) -> None:
        """Add to the notes what compiled code may have opened: of what was, all that is not known.

        What ran at the same time may have opened it instead. Of what was opened for writing it is
        known where that was Python; the rest counts for both. The runner itself opens notebooks.
        """
        if opened is None or opened.lost:
            why = tracer.blind or (opened.lost if opened else "it was not watched")
            reason = f"what compiled code opens ({seen.compiled}) cannot be seen: {why}"
            seen.unknown = seen.unknown or reason
            return
        theirs = {path for rival in self._rivals for path in rival._noted().written}  # noqa: SLF001
        sources = {
            self._relative(tracer, os.path.realpath(each._task.file))  # noqa: SLF001
            for each in (self, *self._rivals)
        }
        fresh = opened.fresh if not opened.shared else set()
        for path in opened.written - theirs - sources:
            kind = "W" if path in opened.fresh else "U"
            notes.take(seen, fresh if kind == "W" else set(), kind, path)
        for path in opened.read - sources:
            notes.take(seen, fresh, "R", path)
        # A file may come that belongs to another (`x.aux`), or to a pattern that C code looks up.
        seen.endings |= {f"files/{folder}" for folder in _bases(opened.read - sources)}
        for link in tracer.openings.links if tracer.openings else ():
            target = self._relative(tracer, os.path.realpath(tracer.top / link))
            inside = tuple(path for path in seen.read if f"{path}/".startswith(f"{target}/"))
            if inside or target.startswith("../"):
                seen.read.add(link)
        text = "\n".join(self._texts(tracer, seen))
        calls = seen.compiled.startswith("ctypes")  # which raises nothing
        if calls or self._tolerant or mentions.survives_a_miss(text):
            seen.endings.add("files")

    def _removed(self, tracer: Tracer, seen: Notes) -> set[str]:
        """Return what it wrote and took away again: a step on the way to a file, such as `.tmp`."""
        return {
            path for path in seen.written & seen.updated if not os.path.lexists(tracer.top / path)
        }

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
        found = tracer.environment(self._argv or [], self._own, self._task.environ)
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


def _bases(paths: Iterable[str]) -> set[str]:
    """Return below which folders lies what was read, and what more a pattern might have matched.

    For `data/2024/a.nc` that is `data`: `data/**/*.nc` matches what comes in `data/2025`.
    """
    found: dict[str, list[str]] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        found.setdefault(folder.partition("/")[0], []).append(folder)
    return {
        os.path.commonpath([*folders, folders[0].rpartition("/")[0] or folders[0]])
        for folders in found.values()
    }


def _hook() -> str:
    """Return the function that puts the hook in place, as an expression that leaves no name."""
    source = Path(__file__).with_name("audithook.py").read_text(encoding="utf-8")
    return f"(lambda own: (exec({source!r}, own), own['begin'])[1])({{'__name__': 'audithook'}})"


_HOOK = _hook()
