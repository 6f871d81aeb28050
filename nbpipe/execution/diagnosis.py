"""From what a kernel says to a failure: its category, and a signature of its root cause.

Pure functions on text. The rules were made from real notebooks in Python, R, bash and Julia; an
exception's name is not reliable across kernels (bash gives none, R gives `ERROR`, xeus-python
gives `<class '…'>`), so messages and tracebacks are read as well.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nbpipe.model import Category, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_MEMORY = re.compile(
    "cannot allocate (?:vector|memory)|std::bad_alloc|out of memory|Unable to allocate .* array",
    re.IGNORECASE,
)
_INPUT = re.compile(
    "does not support input requests|EOF when reading a line|allow_stdin|stdin is not allowed",
    re.IGNORECASE,
)
_CHAINED = re.compile(r"^(?:[\w.]*\.)?(\w+)(?::|\()", re.MULTILINE)
_HOSTS = (
    re.compile(r"https?://(?:[^/@\s]*@)?([\w.-]+)"),
    re.compile(r"host=['\"]?([\w.-]+)"),
    re.compile(r"resolve host(?: ?name)?:? ['\"]?([\w-]+(?:\.[\w-]+)*)"),
    re.compile(r"Failed to connect to ([\w.-]+)"),
)
_BASH_ERROR = re.compile(r"^(?:bash: )?(?:line \d+: )?(\S+: .+)$")
_R_PREFIX = re.compile(r"^Error(?: in .*?\)| in [^:(]*)?\s*: ")
_R_WARNING = re.compile(r"[“\"](cannot open[^”]*|URL '[^”]*)[”\"]")
_EXIT_STATUS = re.compile(r" \(exit status \d+\)$")


def plain(text: str) -> str:
    """Return text without terminal codes and control characters."""
    return _CONTROL.sub("", _ANSI.sub("", text).replace("\r\n", "\n"))


def cell_error(error: Mapping[str, Any], cell: CodeCell, *, printed: str = "") -> Failure:
    """Return the failure that an error output or an error reply is.

    Args:
        error: With `ename`, `evalue` and `traceback`, as in the Jupyter messaging protocol.
        cell: The cell that was running.
        printed: The end of what the cell printed, for kernels whose errors say nothing.
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
    code = [_failing_code(traceback), _causes(traceback)]
    if category is Category.NETWORK:  # the address may stand in a variable
        code.append(_only_host(cell.node.source))
    return failure(category, name, message, traceback=traceback, cell=cell, code="\n".join(code))


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


def signature(category: Category, name: str, message: str, *, code: str = "") -> str:
    """Return a text that is the same for the same root cause.

    Without addresses, paths, times and numbers, so that it is the same in every notebook, run
    and on every machine; a file keeps its bare name, a host and a package theirs. The failing
    line of code stands in for a message that is empty, and for a host that is not in it.
    """
    bare = name.rpartition(".")[2] or str(category)
    first = _first_line(message) or _first_line(code)
    first = _EXIT_STATUS.sub("", _R_PREFIX.sub("", first) or first)
    if category is Category.MISSING_PACKAGE:
        return f"{bare}: {first}" if first else bare
    if category is Category.NETWORK and (host := _host(message) or _host(code)):
        return f"{bare} to {host}"
    text = _without_accidents(first)[:200]
    return f"{bare}: {text}" if text else bare


def _first_line(text: str) -> str:
    """Return the first line, and the next one where the first only announces it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    announces = len(lines) > 1 and lines[0].endswith(":")
    return " ".join(lines[: 2 if announces else 1])


def _host(message: str) -> str:
    for pattern in _HOSTS:
        if match := pattern.search(message):
            return match[1].rstrip(".")
    return ""


def _only_host(source: str) -> str:
    """Return the address of the host that a cell names, where it names one and no other."""
    hosts = {match[1]: match[0] for match in _HOSTS[0].finditer(source)}
    return next(iter(hosts.values())) if len(hosts) == 1 else ""


_ACCIDENTS = (
    (re.compile(r" \((?:<\S+>|\d+\.py), line \d+\)$"), ""),
    (re.compile(r"\[(?:Errno|WinError) -?\d+\] "), ""),
    (re.compile(r"\b\w+://(?:[^/@\s]*@)?([\w.-]+)[^\s'\"<>)]*"), r"\1"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (  # hexadecimal, and no end of a number such as 1.25e+16
        re.compile(r"\b(?<!\d\.)(?!\d+e\d*\b)(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"),
        "<id>",
    ),
    # absolute and dotted paths, then relative ones that end in a file's name, then Windows'
    (re.compile(r"(?<![\w.~/])(?:/|~/|\.{1,2}/)(?:[^\s'\"()\[\],:;=/]+/)*(?=[^\s/])"), ""),
    (re.compile(r"(?<![\w/])(?:[^\s'\"()\[\],:;=\\/]+/)+(?=[^\s'\"/]*\.[A-Za-z]\w{0,4}\b)"), ""),
    (re.compile(r"\b[A-Za-z]:\\(?:[^\s'\"()\[\],:;=\\/]+\\)*"), ""),
    (
        re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?"),
        "<time>",
    ),
    (re.compile(r"\b\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?\b"), "<time>"),
    (
        re.compile(r"(?<![A-Za-z\d])(?>[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?)(?!x\d|\d)"),
        "<n>",
    ),
    (re.compile(r"<n>(?:(?:, ?| )<n>)+"), "<n>…"),
    (re.compile(r"\s+"), " "),
)


def _without_accidents(text: str) -> str:
    for pattern, replacement in _ACCIDENTS:
        text = pattern.sub(replacement, text)
    return text.strip()


_FRAME = re.compile(r"^(?:Cell |Input )?In ?\[\d+\].*$|^(?:File )?\S+.*in .*\(.*$", re.MULTILINE)
_CAUSE = re.compile(r"^[\w.]+(?:Error|Exception|Retry)\w*: (.+)$", re.MULTILINE)
_ARROW = re.compile(r"^-+> *\d+ (.+)$(?P<rest>(?:\n *\d+ .*$)*)", re.MULTILINE)
_NUMBER = re.compile(r"^ *\d+ ", re.MULTILINE)


def _failing_code(traceback: str) -> str:
    """Return the statements of the notebook that IPython's traceback points at, deepest first."""
    starts = [frame.start() for frame in _FRAME.finditer(traceback)]
    lines = []
    for start, end in pairwise([*starts, len(traceback)]):
        if traceback.startswith(("Cell In", "Input In", "In "), start):
            lines += [_statement(arrow) for arrow in _ARROW.finditer(traceback, start, end)]
    return "\n".join(reversed(lines))


def _statement(arrow: re.Match[str]) -> str:
    """Return the line that is pointed at, and those after it until its brackets are closed."""
    text = arrow[1].strip()
    for line in _NUMBER.sub("", arrow["rest"]).splitlines()[1:]:
        if sum(map(text.count, "([{")) <= sum(map(text.count, ")]}")):
            break
        text += " " + line.strip()
    return text


def _causes(traceback: str) -> str:
    """Return the messages of the exceptions that led to the last one."""
    return "\n".join(match[1] for match in _CAUSE.finditer(traceback))


def _bash_message(code: str, printed: str) -> str:
    last = next((line for line in reversed(plain(printed).splitlines()) if line.strip()), "")
    said = _BASH_ERROR.match(last.strip())
    return f"{said[1]} (exit status {code})" if said else f"exit status {code}"


def _r_warning(printed: str) -> str:
    warnings = _R_WARNING.findall(plain(printed))
    return f": {warnings[-1]}" if warnings else ""


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
