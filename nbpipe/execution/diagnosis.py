"""From what a kernel says to a failure: its category and what tells it.

Pure functions on text. The rules were made from real notebooks in Python, R, bash and Julia; an
exception's name is not reliable across kernels (bash gives none, R gives `ERROR`, xeus-python
gives `<class '…'>`), so messages and tracebacks are read as well. No library does this: nbclient's
CellExecutionError carries the kernel's name, message and traceback, and sorts nothing.
"""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from nbpipe.execution.signature import clues, signature
from nbpipe.model import Category, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbpipe.execution.kernels.provisioner import Exit
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
    r"No module named|there (?:is|are) no packages? called|Cannot find (?:module|package)"
    r"|loadNamespace|Package \S+ (?:not found|is not installed)|command not found",
    re.IGNORECASE,
)
_INSTALL = re.compile(
    r"\b(?:pip3?|conda|mamba) install |install\.packages\(|is not a recogni[sz]ed GUI loop"
    r"|Missing optional dependency|Use pip or conda to install"
    r"|\bmust be installed|\bto be installed|\bbut (?:it is|they are) not installed"
    r"|installing additional \w*\s?dependencies|To install additional dependencies"
    r"|dependencies may not be installed|Namespace \S+ not available"
    r"|doesn't seem to be a Python package"
    r"|because (?:\w*latex|dvipng|gs|kpsewhich) could not be found"
    r"|Requested MovieWriter \(\S+\) not available",
)
"""What says that something has to be installed, whatever the exception is called."""
_NOT_IMPORTED = re.compile(
    r"\binstall|\brequire[sd]?\b|\bneed(?:s|ed)?\b|\bdepend|\bmissing\b|not (?:be )?found"
    r"|(?:could not|cannot|can't|unable to|fail(?:s|ed) to) (?:be imported|import(?!ed)|load)"
    r"|not (?:be )?importable",
    re.IGNORECASE,
)
"""What an ImportError says of a package that is absent, in its library's own words."""
_OTHERWISE_NOT_IMPORTED = re.compile(
    r"cannot import name|interactive framework|currently installed|\bor (?:newer|less|lower|older)"
    r"|circular|undefined symbol|incompatib|multiarray|relative import",
    re.IGNORECASE,
)
"""What it says of one that is there: of another version, without a display, wrongly built."""
_SHARED_LIBRARY = re.compile(r"\.so[.\d]*: cannot open shared object file")
_ABSENT = {
    *("DistributionNotFound", "ExecutableNotFound", "ModuleNotFoundError", "NoSuchModuleError"),
    "PackageNotFoundError",
}
_FILE = re.compile(
    r"No such file or directory|cannot open file|file .* does not exist|unable to find file"
    r"|Cannot (?:find or open file|load input from)",
    re.IGNORECASE,
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
SCARCE = frozenset(
    {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT}
)
"""Errors of a machine or an account that has no more to give: processes, files, memory, disk."""
_INPUT = re.compile(
    "does not support input requests|EOF when reading a line|allow_stdin|stdin is not allowed"
    "|cannot be used non-interactively",
    re.IGNORECASE,
)
_ABSENT_MODULE = re.compile(r"No module named '([\w.]+)'")
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
_NAMED_ERROR = re.compile(r"(?:Uncaught )?(?:[\w.]+\.)?(\w*(?:Error|Exception))(?:: ?(.*)|())\Z")
_COMPILER_ERROR = re.compile(r"\b(?:fatal )?error\b.*|^\d+:\d+ - (.+)", re.IGNORECASE)
"""gcc's and tsc's; tslab leaves `error TS2304` out: `1:5 - Cannot find name 'x'.`"""
_TRACEBACK = re.compile(r"^ *Traceback \(most recent call last\)", re.MULTILINE)
_NO_REASON = "the kernel reports an error without a reason"
_R_WARNING = re.compile(r"[“\"](cannot open[^”]*|URL '[^”]*)[”\"]")


def plain(text: str) -> str:
    """Return text without terminal codes and control characters."""
    return _CONTROL.sub("", _ANSI.sub("", text).replace("\r\n", "\n"))


def cell_error(
    error: Mapping[str, Any],
    cell: CodeCell,
    *,
    printed: str = "",
    said: str = "",
    before: Sequence[tuple[str, str]] = (),
) -> Failure:
    """Return the failure that an error output or an error reply is.

    Args:
        error: With `ename`, `evalue` and `traceback`, as in the Jupyter messaging protocol.
        cell: The cell that was running.
        printed: The end of what the cell printed, for kernels whose errors say nothing.
        said: The end of what it wrote to standard error, for the same.
        before: The cells before it: the source, and the end of what it printed.
    """
    name = exception_name(str(error.get("ename") or ""))
    message = plain(str(error.get("evalue") or "")).strip()
    lines = error.get("traceback")
    traceback = plain("\n".join(map(str, lines)) if isinstance(lines, list) else "")
    if not name and message.isdigit():  # bash: nothing but the exit code
        name, message = "ExitStatus", _bash_message(message, printed)
    if not message and name in {"", "Error"}:
        name, message = _told(traceback) or _told(said) or (name, "")
        traceback = traceback or plain(said).strip()
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
    if not name and not message:  # nothing but the code tells one such cause from another
        found = failure(
            category, name, "", traceback=traceback, cell=cell, code=code.strip() or source
        )
        return replace(found, message=_NO_REASON)
    return failure(category, name, message, traceback=traceback, cell=cell, code=code)


def _told(text: str) -> tuple[str, str] | None:
    """Return the name and the message that a text about an error tells, None where it does not.

    The last exception of a traceback, else the first line that names one, else the first that
    calls itself an error (compilers), else the last line.
    """
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()]
    named = [match for line in lines if (match := _NAMED_ERROR.match(line))]
    if named:
        match = named[-1] if _TRACEBACK.search(text) else named[0]
        return match[1], (match[2] or "").strip() or match[1]
    for line in lines:
        if match := _COMPILER_ERROR.search(line):
            return "", (match[1] or match[0]).strip()
    return ("", lines[-1]) if lines else None


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
    if _is_missing_package(bare, message):
        return Category.MISSING_PACKAGE
    if bare in _NETWORK_NAMES or _NETWORK.search(message):
        return Category.NETWORK
    if bare == "FileNotFoundError":
        return Category.MISSING_FILE
    if bare in {"Error", "ExitStatus", "OSError", "SystemError"} and _FILE.search(message):
        return Category.MISSING_FILE
    return _chained(bare, message, traceback)


def _is_missing_package(name: str, message: str) -> bool:
    if name in _ABSENT or _INSTALL.search(message) or _SHARED_LIBRARY.search(message):
        return True
    if name.endswith("ImportError") and not _OTHERWISE_NOT_IMPORTED.search(message):
        return bool(_PACKAGE.search(message) or _NOT_IMPORTED.search(message))
    return name in {"", "ExitStatus", "Error", "ArgumentError"} and bool(_PACKAGE.search(message))


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
    if "ModuleNotFoundError" in causes and (
        name == "ImportError" or _speaks_of_absent(message, traceback)
    ):
        return Category.MISSING_PACKAGE
    return Category.EXCEPTION


def _speaks_of_absent(message: str, traceback: str) -> bool:
    """Return whether a message says that a module is needed that an earlier import did not find."""
    absent = {name.partition(".")[0].lower() for name in _ABSENT_MODULE.findall(traceback)}
    words = set(re.findall(r"\w+", message.lower()))
    return bool(absent & words) and bool(_NOT_IMPORTED.search(message))


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


def internal(error: Exception, doing: str) -> Failure:
    """Return the failure of a notebook on which nbpipe itself stumbled, or the machine."""
    scarce = getattr(error, "errno", None) in SCARCE or "can't start new thread" in str(error)
    why = f"a mistake of nbpipe while {doing}, please report it"
    if scarce:
        why = f"the machine has no room for it ({doing})"
    return failure(
        Category.EXCEPTION,
        f"nbpipe.{type(error).__name__}",
        f"{why}: {type(error).__name__}: {error}",
        traceback="".join(format_exception(error)),
    )


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
