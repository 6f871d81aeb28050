"""The signature of a failure: a text that is the same wherever the root cause is the same.

Pure functions on text: what the kernel said, and the notebook's code, which names the host that
an error leaves out. Why it failed, its category, is not decided here.
"""

from __future__ import annotations

import re
from itertools import pairwise

from nbpipe.model import Category

_HOSTS = (
    re.compile(r"(?:https?|ftp)://(?:[^/@\s]*@)?([\w.-]+)"),
    re.compile(r"host=['\"]?([\w.-]+)"),
    re.compile(r"resolve host(?: ?name| address)?:? ['\"\u2018]?([\w-]+(?:\.[\w-]+)*)"),
    re.compile(r"Failed to connect to ([\w.-]+)"),
)
_R_PREFIX = re.compile(r"^Error(?: in .*?\)| in [^:(]*)?\s*: ")
_EXIT_STATUS = re.compile(r" \(exit status \d+\)$")
_UNREACHABLE = re.compile(
    "name resolution|Name or service not known|resolve host|Failed to resolve|getaddrinfo failed"
    "|nodename nor servname|Network is unreachable|No route to host|Connection refused"
    "|Failed to establish a new connection|Failed to connect to|Cannot connect to host",
    re.IGNORECASE,
)
_OTHERWISE = re.compile("proxy|SSL(?!:default)|certificate|HTTPError", re.IGNORECASE)
"""A host that was reached, or a way to it that is not the host's fault."""
_ASSIGNED = re.compile(r"^[ \t]*(\w+)[ \t]*=(?!=)(.*(?:\n[ \t)\]}]+\S.*)*)", re.MULTILINE)
_NAME = re.compile(r"\b[A-Za-z_]\w*")
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
_FRAME = re.compile(r"^(?:Cell |Input )?In ?\[\d+\].*$|^(?:File )?\S+.*in .*\(.*$", re.MULTILINE)
_CAUSE = re.compile(r"^[\w.]+(?:Error|Exception|Retry)\w*: (.+)$", re.MULTILINE)
_ARROW = re.compile(r"^-+> *\d+ (.+)$(?P<rest>(?:\n *\d+ .*$)*)", re.MULTILINE)
_NUMBER = re.compile(r"^ *\d+ ", re.MULTILINE)


def signature(category: Category, name: str, message: str, *, code: str = "") -> str:
    """Return a text that is the same for the same root cause.

    Without addresses, paths, times and numbers, so that it is the same in every notebook, run
    and on every machine; a file keeps its bare name, a host and a package theirs. The failing
    line of code stands in for a message that is empty, and for a host that is not in it. A host
    that cannot be reached is one cause, whatever the library that tried calls it.
    """
    bare = name.rpartition(".")[2] or str(category)
    first = _first_line(message) or _first_line(code)
    first = _EXIT_STATUS.sub("", _R_PREFIX.sub("", first) or first)
    if category is Category.MISSING_PACKAGE:
        return f"{bare}: {first}" if first else bare
    if category is Category.NETWORK and (host := _host(message) or _host(code)):
        unreachable = _UNREACHABLE.search(message) and not _OTHERWISE.search(f"{bare} {message}")
        return f"{'ConnectionError' if unreachable else bare} to {host}"
    text = _without_accidents(first)[:200]
    return f"{bare}: {text}" if text else bare


def clues(category: Category, traceback: str, *, source: str, earlier: str) -> str:
    """Return the code that stands in for what a message does not say.

    Args:
        category: Why it failed.
        traceback: Plain text.
        source: That of the failing cell.
        earlier: That of the cells before it.
    """
    code = _failing_code(traceback)
    found = [code, _causes(traceback)]
    if category is Category.NETWORK and not _HOSTS[0].search(code):
        variables = dict(_ASSIGNED.findall(f"{earlier}\n{source}"))
        found += [_address(code, variables) or _only_host(source)]
    return "\n".join(found)


def _first_line(text: str) -> str:
    """Return the first line, and the next one where the first only announces it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    announces = len(lines) > 1 and lines[0].endswith(":")
    return " ".join(lines[: 2 if announces else 1])


def _host(text: str) -> str:
    for pattern in _HOSTS:
        if match := pattern.search(text):
            return match[1].rstrip(".")
    return ""


def _address(code: str, variables: dict[str, str]) -> str:
    """Return the first address in some code, or in the values of the variables that it names."""
    seen = set[str]()
    texts = [code]
    for text in texts:  # grows meanwhile: a value may name another variable
        if match := _HOSTS[0].search(text):
            return match[0]
        named = [name for name in dict.fromkeys(_NAME.findall(text)) if name not in seen]
        seen.update(named)
        texts += [variables[name] for name in named if name in variables]
    return ""


def _only_host(source: str) -> str:
    """Return the address of the host that a cell names, where it names one and no other."""
    hosts = {match[1]: match[0] for match in _HOSTS[0].finditer(source)}
    return next(iter(hosts.values())) if len(hosts) == 1 else ""


def _without_accidents(text: str) -> str:
    for pattern, replacement in _ACCIDENTS:
        text = pattern.sub(replacement, text)
    return text.strip()


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
