"""NBP3xx: secrets in the text of cells and outputs.

Looked for by the shapes that issuers give to them, and by names of variables; never by entropy,
which takes every base64 figure for a password. The secret itself is never shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbpipe.lint.findings import Spot
from nbpipe.lint.rules.declaration import Rules
from nbpipe.lint.rules.outputs import texts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.config.check import CheckSettings
    from nbpipe.lint.notebook import Notebook

RULES = Rules()

_WORD = r"(?:pass(?:word|wd|phrase)?|pwd|secret|api_?key|access_?key|auth_?token|token|credential)"
_QUOTED = r"""(?P<q>['"])(?P<value>(?:(?!(?P=q)).){6,}?)(?P=q)"""

PATTERNS: dict[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})"),
    "a GitLab token": re.compile(r"\bgl(?:pat|dt|rt|cbt|ptt|ft)-[\w-]{20,}"),
    "a Slack token": re.compile(
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T\w+"
    ),
    "a Google API key": re.compile(r"\bAIza[\w-]{35}(?![\w-])"),
    "an OpenAI or Anthropic key": re.compile(r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z]{30,}\b"),
    "a PyPI token": re.compile(r"\bpypi-AgE[\w-]{30,}"),
    "a JSON Web Token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a Jupyter token": re.compile(r"[?&]token=[0-9a-f]{32,}"),
    "a Data Lab token": re.compile(r"\b[\w-]+\.\d+\.\d+\.\$1\$[\w./$]{20,}"),
    "a URL with a password": re.compile(
        r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"{}<>$]+:(?P<value>[^\s/@'\"{}<>$]{3,})@[\w.-]+"
    ),
    "a bearer token": re.compile(r"\bBearer\s+(?P<value>[A-Za-z0-9_~+/.-]{20,}=*)"),
    "a password": re.compile(
        rf"(?i)(?<![a-z])(?:\w*_)?{_WORD}\w{{0,3}}['\"]?\]?\s*(?:=|:)\s*[rbuf]?{_QUOTED}"
    ),
    "a password in a login": re.compile(
        r"(?i)\b(?:login|authenticate|connect|auth)\(\s*['\"][^'\"]+['\"]\s*,\s*" + _QUOTED
    ),
    "a password in the environment": re.compile(
        rf"(?i)environ\[['\"]\w*{_WORD}\w*['\"]\]\s*=\s*{_QUOTED}"
    ),
    "a password on a command line": re.compile(
        r"(?i)(?:--password|--token|--api-key)[= ](?P<value>(?!['\"]?[\$<{%])[^\s'\"]{6,})"
    ),
}
_PLACEHOLDER = re.compile(
    r"(?i)^(?:.*(?:your|example|placeholder|changeme|change_me|dummy|insert|here|todo|redacted"
    r"|hidden|secret_name|none|null|test|password|passwd|token|username|foo|bar|demo"
    r"|anonymous|guest|xxx|\*\*\*|\.\.\.|<|>|\{|\}|\$|%).*|(.)\1*|[\s_-]*)$"
)
_NEEDS: dict[str, tuple[str, ...]] = {
    "a private key": ("private key",),
    "an AWS access key": ("akia", "asia"),
    "a GitHub token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "a GitLab token": ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-"),
    "a Slack token": ("xox", "hooks.slack"),
    "a Google API key": ("aiza",),
    "an OpenAI or Anthropic key": ("sk-",),
    "a Hugging Face token": ("hf_",),
    "a PyPI token": ("pypi-age",),
    "a JSON Web Token": ("eyj",),
    "a Jupyter token": ("token=",),
    "a Data Lab token": ("$1$",),
    "a URL with a password": ("://",),
    "a bearer token": ("bearer",),
    "a password": ("pass", "pwd", "secret", "key", "token", "credential"),
    "a password in a login": ("login", "auth", "connect"),
    "a password in the environment": ("environ[",),
    "a password on a command line": ("--password", "--token", "--api-key"),
}
"""What a text has, in lower case, that a pattern can match: to look for that is quicker."""


def secret(said: str) -> tuple[str, int] | None:
    """Return what kind of secret a text holds, and its position; None: it holds none."""
    lower = said.lower()
    for kind, pattern in PATTERNS.items():
        if not any(part in lower for part in _NEEDS[kind]):
            continue
        for match in pattern.finditer(said):
            value = match.groupdict().get("value")
            if value is None or not _PLACEHOLDER.match(value):
                return kind, match.start()
    return None


@RULES.add(
    301,
    "secret-in-source",
    "error",
    why="Whoever can read the repository, now or in ten years, can use it. Removing it in a later"
    " commit does not help: revoke it.",
    bad='password = "correct horse"',
    good='password = getpass(), or os.environ["DB_PASSWORD"]',
)
def in_source(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """The text of a cell holds what looks like a secret."""
    for cell in notebook.cells:
        if found := secret(cell.source):
            kind, at = found
            line = cell.source.count("\n", 0, at) + 1
            yield Spot(f"this looks like {kind}; revoke it if it is one", cell.index, line)


@RULES.add(
    302,
    "secret-in-output",
    "error",
    why="Outputs are published together with the notebook. Revoke the secret.",
    bad="http://127.0.0.1:8888/?token=3f2a...",
    good="outputs cleared, and the secret revoked",
)
def in_output(notebook: Notebook, _: CheckSettings) -> Iterator[Spot]:
    """An output holds what looks like a secret."""
    for cell in notebook.code:
        for said in texts_of(cell):
            if found := secret(said):
                yield Spot(f"an output holds what looks like {found[0]}", cell.index)
                break
