"""The process that renders executed copies: `python -m nbpipe.reports.html.child LIMITS PARENT`.

What a notebook shows decides what rendering costs: tables, Markdown and code of a few megabytes
take minutes and gigabytes. So it is done here, under limits, and whoever asked stays as it was.

Reads one request a line from standard input, as JSON, and answers each with a line. It ends with
its input, and with the process that started it. `rendering.Renderer` is the other side.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.reports.html import figures, rendering
from nbpipe.system import units

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PARSED_LIMIT = 2_000_000
"""Characters of a page that nbconvert may parse once more; its parser needs a hundredfold."""


class _Unparsed(str):
    """A large page in place of nbconvert's parsed one, which only adds texts for pictures."""

    __slots__ = ()

    def select(self, _selector: str) -> tuple[()]:
        """Return nothing to change."""
        return ()


def _spare_large_pages() -> None:
    from nbconvert.exporters import html  # noqa: PLC0415  (slow, and only after the limits)

    parse: Callable[..., Any] | None = getattr(html, "BeautifulSoup", None)
    if parse is None:
        return

    def parse_small(page: str, **options: Any) -> Any:  # noqa: ANN401
        return parse(page, **options) if len(page) <= _PARSED_LIMIT else _Unparsed(page)

    html.BeautifulSoup = parse_small  # type: ignore[attr-defined, assignment, misc, unused-ignore]


def _limit(memory: int, parent: int) -> None:
    """Bound this process; of what runs here it is the first that the system may end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # a lower limit holds already, or no Linux
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.nice(10)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if os.getppid() != parent:
        sys.exit(1)


def _allow(seconds: float) -> None:
    """Give the next copy its time of computing; the system ends the process after it."""
    until = math.ceil(time.process_time() + seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = until if hard == resource.RLIM_INFINITY else min(until, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _answer(request: dict[str, Any], output: int) -> dict[str, Any]:
    if "figure" in request:
        return {"figure": figures.write(Path(request["copy"]), Path(request["figure"]))}
    marks = [(place, source) for place, source in request["marks"]]
    source = rendering.Source.from_json(request)
    plain = bool(request.get("plain"))
    page = rendering.document(Path(request["copy"]), marks, source, plain=plain)
    if page is None:
        return {"made": False}
    content = page.encode("utf-8", "replace")
    if len(content) > output:
        return {"problem": f"as a page it has more than {units.whole_megabytes(output)}"}
    target = os.open(request["target"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(target, "wb") as file:
        file.write(content)
    return {"made": True}


def _serve(limits: rendering.Limits, replies: int) -> None:
    for line in sys.stdin.buffer:
        _allow(limits.seconds)
        try:
            reply = _answer(json.loads(line), limits.output)
        except MemoryError:
            os.write(replies, b'{"problem": "memory"}\n')
            os._exit(1)  # what is left of the memory may not be enough for an orderly end
        except OSError as error:
            reply = {"failed": f"{error.strerror}"}
        except Exception as error:  # noqa: BLE001  (the boundary of one copy)
            reply = {"problem": f"it cannot be converted ({type(error).__name__})"}
        reply["grown"] = _peak() > limits.memory // 4
        os.write(replies, json.dumps(reply).encode() + b"\n")


def _peak() -> int:
    """Return the most memory that was in use, in bytes.

    Not what getrusage(2) says where there is better: that begins with what the process that
    started this one had.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """Render what is asked for until there is no more input."""
    limits = rendering.Limits(**json.loads(sys.argv[1]))
    _limit(limits.memory, int(sys.argv[2]))
    replies = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    _spare_large_pages()
    _serve(limits, replies)


if __name__ == "__main__":
    main()
