"""What the text of a notebook says about the files that it may read; nothing is executed.

For kernels that no hook can watch, and for what the hook of a Python kernel does not see. Text in,
values out; a file's existence is not this module's business.
"""

from __future__ import annotations

import re

_STRING = re.compile(
    r"""("{3}|'{3})(?P<long>.*?)\1|(["'])(?P<short>(?:\\.|(?!\3)[^\\\n])*)\3""", re.DOTALL
)
_MAGIC = re.compile(r"^\s*%%?(?:run|load|loadpy|pycat|macro)\s+(?:-\w+\s+)*(\S+)", re.MULTILINE)
_PATH = re.compile(r"[^\s<>|\"'*?:;,(){}\[\]\\]+(?: [^\s<>|\"'*?:;,(){}\[\]\\]+)*")
_IMPORT = re.compile(r"^\s*(?:import|from)\s+([\w.]+)", re.MULTILINE)
_NAMED_LIKE_A_FILE = re.compile(r"(?<=[^/.])\.\w{1,8}$")

_ASKS_FOR_NAMES = re.compile(
    r"\b(?:exists|lexists|is_file|is_dir|isfile|isdir|islink|is_symlink|access)\s*\("
)
_ASKS_FOR_CONTENT = re.compile(r"\b(?:getsize|getmtime|samefile)\s*\(|(?:\.|\bos\.)l?stat\s*\(")
_OPENS_COMPILED = re.compile(
    r"\b(?:pyarrow|load_cert_chain|load_verify_locations|cafile|capath|certfile|keyfile)\b"
    r"|\bverify\s*=(?!=|\s*(?:True|False)\b)|\b(?i:attach\b(?=\s+(?:database\b|[\"'?:(|{])))"
)
_BRANCHES = re.compile(
    r"\b(?:except|suppress|raises|None|if|elif|while|or|match|filter)\b|NBVAL_RAISES"
)
_LITERAL_CALL = re.compile(r"\s*(?:Path\s*\(\s*)?([\"'])[^\"'{}\n]*\1\s*\)")
_LITERAL_PATH = re.compile(r"\bPath\s*\(\s*([\"'])[^\"'{}\n]*\1\s*\)\s*\.\s*$")

_MADE_UP = re.compile(
    r"\b(?:paste0?|sprintf|glue|str_c|joinpath|file\.path|normalizePath|here|path_join)\s*\("
    r"|\b(?:list\.files|list\.dirs|dir|Sys\.glob|readdir|walkdir|glob|listdir|scandir|walk)\s*\("
    r"|\b(?:setwd|chdir|cd|system2?|shell|pipe|run|popen|Popen|check_output|eval|get)\s*\("
    r"|\b(?:commandArgs|Sys\.getenv|getenv|readline|scan|environ|ENV)\b"
    r"|(?<![\w.])[fFrR]{1,2}[\"']|os\.path\.join|\.format\s*\(|[\"']\s*[/%+]|[/+]\s*[\"']|\$\(|^\s*[!%]"
    , re.MULTILINE,
)  # fmt: skip
_SHELLS = frozenset({"bash", "sh", "zsh", "fish", "shell", "powershell", "cmd"})
_WRITES = re.compile(
    r"\b(?:to_|write|save|dump|export|output|tofile|out\b)|[\"'](?:[wax]b?\+?)[\"']"
)


def strings(text: str) -> set[str]:
    """Return what stands in quotes, and what magics run."""
    found = {match["short"] or match["long"] or "" for match in _STRING.finditer(text)}
    return found | set(_MAGIC.findall(text))


def paths(text: str) -> set[str]:
    """Return what may be relative or absolute paths of files among a text's strings."""
    return {
        each
        for each in strings(text)
        if 1 < len(each) < 1000  # noqa: PLR2004  (no path is so long)
        and "://" not in each
        and _PATH.fullmatch(each)
        and (
            "/" in each
            or each.startswith(".")
            or _NAMED_LIKE_A_FILE.search(each)
            or each.replace("_", "").isalnum()
        )
    }


def modules(text: str, language: str) -> set[str]:
    """Return the files and folders that the imports of Python may mean."""
    if language != "python":
        return set()
    names = {name.replace(".", "/").strip("/") for name in _IMPORT.findall(text)}
    return {each for name in names for each in (f"{name}.py", name) if name}


def is_like_a_file(path: str) -> bool:
    """Return whether a path has the ending of a file: one that is not there may come."""
    return _NAMED_LIKE_A_FILE.search(path) is not None


def written(text: str) -> set[str]:
    """Return the paths on lines that seem to write."""
    lines = [line for line in text.splitlines() if _WRITES.search(line)]
    return {each for each in paths("\n".join(lines)) if "/" in each or is_like_a_file(each)}


def asks_for_names(text: str) -> bool:
    """Return whether code asks if files exist of which it does not spell out the names."""
    return any(not _is_literal(text, match) for match in _ASKS_FOR_NAMES.finditer(text))


def asks_for_content(text: str) -> bool:
    """Return whether code asks for the size or time of files that it does not spell out."""
    return any(not _is_literal(text, match) for match in _ASKS_FOR_CONTENT.finditer(text))


def opens_compiled(text: str) -> str:
    """Return what code names that opens files in compiled modules that are vouched for, or nothing.

    `pyarrow.lib` comes with pandas, `ssl` with all that speaks HTTPS (and reads certificates),
    SQLite with Python (and opens what is attached).
    """
    found = _OPENS_COMPILED.search(text)
    return found[0] if found else ""


def survives_a_miss(text: str) -> bool:
    """Return whether code may go on without a file that it, or a library, looked for in vain."""
    return _BRANCHES.search(text) is not None


def _is_literal(text: str, call: re.Match[str]) -> bool:
    if _LITERAL_CALL.match(text, call.end()):
        return True
    start = call.start() + (1 if text[call.start()] == "." else 0)
    return _LITERAL_PATH.search(text, max(0, start - 300), start) is not None


def unknown(text: str, language: str) -> str:
    """Return why a text does not show what it reads, or nothing."""
    if language in _SHELLS:
        return "its cells are commands of a shell"
    if match := _MADE_UP.search(text):
        made = match[0].strip()
        return f"its kernel cannot be watched, and its text makes names of files up ({made})"
    return ""
