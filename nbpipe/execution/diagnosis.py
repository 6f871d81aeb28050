"""From what a kernel says to a failure: its category and what tells it.

Pure functions on text. The rules were made from real notebooks in Python, R, bash and Julia; an
exception's name is not reliable across kernels (bash gives none, R gives `ERROR`, xeus-python
gives `<class '…'>`), so messages and tracebacks are read as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nbpipe.execution.signature import clues, signature
from nbpipe.model import Category, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.execution.provisioner import Exit
    from nbpipe.execution.source import CodeCell

_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_NETWORK_NAMES = [
    "ClientConnectorError",
    "ClientConnectionError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectTimeoutError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "HTTPError",
    "MaxRetryError",
    "NameResolutionError",
    "NewConnectionError",
    "ProxyError",
    "ReadTimeout",
    "ReadTimeoutError",
    "RemoteDisconnected",
    "SSLCertVerificationError",
    "SSLError",
    "ServerDisconnectedError",
    "URLError",
    "gaierror",
    "herror",
]
_NETWORK = re.compile(
    "Temporary failure in name resolution|Name or service not known|Could(?:n't| not) resolve host"
    "|nodename nor servname|Network is unreachable|No route to host|Max retries exceeded"
    "|Failed to establish a new connection|Connection refused|Connection timed out"
    "|cannot open URL|URL '.*': status was|connection to '(?:https?|ftp):|urlopen error"
    "|unable to resolve host|Failed to connect to",
    re.IGNORECASE,
)
_PACKAGE = re.compile(
    r"No module named|Missing optional dependency|there (?:is|are) no packages? called"
    r"|loadNamespace|Package \S+ not found|command not found",
    re.IGNORECASE,
)
_INSTALL = re.compile(
    r"\b(?:pip3?|conda|mamba) install |install\.packages\(|is not a recogni[sz]ed GUI loop"
)
_FILE = re.compile(
    r"No such file or directory|cannot open file|file .* does not exist", re.IGNORECASE
)
_QUOTED = re.compile(r"['\"\u2018\u201c]([^'\"\u2019\u201d]+)['\"\u2019\u201d]")
_FILE_NAME = re.compile(r"[^\s:]+\.\w{1,8}\b")
_DOWNLOAD = re.compile(
    r"curl: \((?:5|6|7|28|35|56)\) .*|wget: unable to resolve .*|Could not resolve host: .*"
    r"|.*failed: (?:Connection refused|Connection timed out|Network is unreachable).*"
)
_MEMORY = re.compile(
    "cannot allocate (?:vector|memory)|std::bad_alloc|out of memory|Unable to allocate .* array",
    re.IGNORECASE,
)
_INPUT = re.compile(
    "does not support input requests|EOF when reading a line|allow_stdin|stdin is not allowed"
    "|cannot be used non-interactively",
    re.IGNORECASE,
)
_CHAINED = re.compile(r"^(?:[\w.]*\.)?(\w+)(?::|\()", re.MULTILINE)
_TELLING = re.compile(
    r"^[\w.]*(?:Error|Exception|Exit|Interrupt)\b|No module named|not found|[Nn]o such |denied"
    r"|cannot |can't |could not |unable to |in use|expired|invalid|unrecognized|refused|failed"
    r"|\b(?:error|fatal|critical|abort(?:ed)?|fault|killed)\b",
    re.IGNORECASE,
)
"""How a line looks that says why a process ended."""
_NOISE = re.compile(r"Exception ignored|sys:1: |.*Warning: |Traceback |During handling|The above ")
_REASON_CHARACTERS = 300
_BASH_ERROR = re.compile(r"^(?:bash: )?(?:line \d+: )?(\S+: .+)$")
_R_WARNING = re.compile(r"[“\"](cannot open[^”]*|URL '[^”]*)[”\"]")


def plain(text: str) -> str:
    """Return text without terminal codes and control characters."""
    return _CONTROL.sub("", _ANSI.sub("", text).replace("\r\n", "\n"))


def cell_error(
    error: Mapping[str, Any],
    cell: CodeCell,
    *,
    printed: str = "",
    before: Sequence[tuple[str, str]] = (),
) -> Failure:
    """Return the failure that an error output or an error reply is.

    Args:
        error: With `ename`, `evalue` and `traceback`, as in the Jupyter messaging protocol.
        cell: The cell that was running.
        printed: The end of what the cell printed, for kernels whose errors say nothing.
        before: The cells before it: the source, and the end of what it printed.
    """
    name = exception_name(str(error.get("ename") or ""))
    message = plain(str(error.get("evalue") or "")).strip()
    lines = error.get("traceback")
    traceback = plain("\n".join(map(str, lines)) if isinstance(lines, list) else "")
    if not name and message.isdigit():  # bash: nothing but the exit code
        name, message = "ExitStatus", _bash_message(message, printed)
    if message.endswith("cannot open the connection"):  # R: a warning says what and why
        message += _r_warning(printed)
    category = classify(name, message, traceback)
    source = cell.node.source
    if category is Category.MISSING_FILE and (
        said := _failed_download(message, [*before, (source, printed)])
    ):
        category = Category.NETWORK
        message += f" (its download failed: {said})"
    earlier = "\n".join(source for source, _ in before)
    code = clues(category, traceback, source=source, earlier=earlier)
    return failure(category, name, message, traceback=traceback, cell=cell, code=code)


def failure(  # noqa: PLR0913
    category: Category,
    name: str,
    message: str,
    *,
    traceback: str = "",
    cell: CodeCell | None = None,
    code: str = "",
) -> Failure:
    """Return a failure with its signature.

    Args:
        category: Why it failed.
        name: The exception's name, or ours.
        message: Plain text.
        traceback: Plain text.
        cell: The cell that was running, if any.
        code: The failing line of the notebook, which stands in for a message that is empty.
    """
    return Failure(
        category=category,
        name=name,
        message=message,
        traceback=traceback,
        signature=signature(category, name, message, code=code),
        cell=cell.origin if cell else None,
        cell_id=cell.cell_id if cell else None,
        source=cell.node.source if cell else "",
    )


def exception_name(ename: str) -> str:
    """Return an exception's bare name: `<class 'a.B'>` is B, R's `ERROR` is Error."""
    if match := re.fullmatch(r"<class '(?:.*\.)?(\w+)'>", ename):
        return match[1]
    return {"ERROR": "Error"}.get(ename, plain(ename))


def classify(name: str, message: str, traceback: str) -> Category:  # noqa: PLR0911  (a table)
    """Return the category of an exception."""
    bare = name.rpartition(".")[2]
    if bare == "StdinNotImplementedError" or _INPUT.search(message):
        return Category.ASKS_FOR_INPUT
    if bare.endswith("MemoryError") or _MEMORY.search(message):
        return Category.OUT_OF_MEMORY
    if bare in {"ModuleNotFoundError", "PackageNotFoundError"}:
        return Category.MISSING_PACKAGE
    if bare in {"ImportError", "ExitStatus", "Error", "ArgumentError"} and _PACKAGE.search(message):
        return Category.MISSING_PACKAGE
    if _INSTALL.search(message):
        return Category.MISSING_PACKAGE
    if bare in _NETWORK_NAMES or _NETWORK.search(message):
        return Category.NETWORK
    if bare == "FileNotFoundError":
        return Category.MISSING_FILE
    if bare in {"Error", "ExitStatus", "OSError", "SystemError"} and _FILE.search(message):
        return Category.MISSING_FILE
    return _chained(bare, message, traceback)


def _chained(name: str, message: str, traceback: str) -> Category:
    """Look at the exceptions that led to the last one."""
    causes = set(_CHAINED.findall(traceback)) - {name}
    if causes & {"gaierror", "URLError", "NewConnectionError", "NameResolutionError"}:
        return Category.NETWORK
    if (
        name == "TimeoutError"
        and "timed out" in message
        and re.search(r"socket|http|ssl", traceback)
    ):
        return Category.NETWORK
    if name == "ImportError" and "ModuleNotFoundError" in causes:
        return Category.MISSING_PACKAGE
    return Category.EXCEPTION


def _failed_download(message: str, cells: Sequence[tuple[str, str]]) -> str:
    """Return what `!curl` or `!wget` said when it could not get the file that is missing."""
    names = _QUOTED.findall(message) or _FILE_NAME.findall(message)
    name = re.split(r"[/\\]", names[-1])[-1] if names else ""
    if not name:
        return ""
    for number, (_, printed) in reversed(list(enumerate(cells))):
        said = _DOWNLOAD.search(plain(printed))
        if said and any(name in source for source, _ in cells[: number + 1]):
            return said[0].strip()
    return ""


def _bash_message(code: str, printed: str) -> str:
    last = next((line for line in reversed(plain(printed).splitlines()) if line.strip()), "")
    said = _BASH_ERROR.match(last.strip())
    return f"{said[1]} (exit status {code})" if said else f"exit status {code}"


def _r_warning(printed: str) -> str:
    warnings = _R_WARNING.findall(plain(printed))
    return f": {warnings[-1]}" if warnings else ""


def not_started(category: Category, message: str, *, said: str, sure: bool) -> Failure:
    """Return the failure of a kernel that did not start, with the reason that its process gave.

    Args:
        category: Why it did not.
        message: What is known without its words: an exit code is the same for many reasons.
        said: The end of what the process wrote to its own standard output and error.
        sure: Whether its last words tell the reason in any case; else only if they look like it.
    """
    said = plain(said).strip()
    if reason := _last_words(said, sure=sure):
        message = f"{message}: {reason}"
    return failure(category, "KernelStart", message, traceback=said)


def _last_words(said: str, *, sure: bool) -> str:
    """Return the line that tells why a process ended: the last one that looks like an error."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and line[0] != " "]
    telling = [line for line in lines if _TELLING.search(line) and not _NOISE.match(line)]
    last = (telling or (lines if sure else []))[-1:]
    return last[0][:_REASON_CHARACTERS] if last else ""


def died(how: Exit, *, out_of_memory: bool, cell: CodeCell | None, said: str) -> Failure:
    """Return the failure that the end of a kernel is.

    Args:
        how: Its exit.
        out_of_memory: Whether the operating system killed a process for memory meanwhile.
        cell: The cell that was running, if any.
        said: The end of what the process wrote to its own standard output and error.
    """
    killed = how.code in {-9, 137}
    if killed and out_of_memory:
        return failure(
            Category.OUT_OF_MEMORY,
            "OutOfMemory",
            "the kernel was killed by the operating system, which had run out of memory",
            traceback=said,
            cell=cell,
        )
    message = f"the kernel died: {how}"
    if killed:
        message += " (not by nbpipe; often a container's or a scheduler's memory limit)"
    return failure(Category.KERNEL_DIED, "KernelDied", message, traceback=said, cell=cell)
