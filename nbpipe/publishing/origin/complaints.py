"""What git, ssh and git-lfs complain of, and what a person does about it.

Values only: text in, an error with its next step out. The programs speak English here
(`LC_ALL=C`, set by GitPython). Nothing here runs anything. Text comes in as lines that are
printable, and goes out as one line: what the other side writes must not look like ours.

Who speaks matters. Only git's own words can be about this machine (`own`); what stands behind
"remote:", and all that ssh says, is about the origin or the way to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbpipe.publishing.errors import BranchGone, MirrorError, OriginError, PublishError, Refused
from nbpipe.system.text import cut

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 2_000
"""Characters of what a program said that a message repeats."""
_THEIRS = re.compile(r"^\s*(?:remote:|fatal: remote error:).*\n?", re.MULTILINE)
# The system's words end such a line; in the middle of one they are somebody's, quoted.
_FULL = re.compile(
    r"^(?:fatal|error): .*(?:No space left on device|Disk quota exceeded)\.?$",
    re.IGNORECASE | re.MULTILINE,
)
_READ_ONLY = re.compile(
    r"^(?:fatal|error): .*Read-only file system\.?$", re.IGNORECASE | re.MULTILINE
)
_STYLE = re.compile(r"(?:error in |warning in |notice: |dangling )")
_BAD_OBJECT = re.compile(
    r"fsck error|error in (?:tree|commit|blob|tag) |empty filename in tree|"
    r"malformed mode in tree|too-short tree|unresolved deltas|non-tree|not a tree|not a blob",
    re.IGNORECASE,
)
# What git says of a damaged cache, and of an origin that sends something damaged, too.
_SUSPICIOUS = re.compile(
    r"^(?:fatal|error): (?:not a git repository|bad config|bad numeric config|"
    r"(?:cannot|unable to) (?:lock|resolve|read) ref|bad object refs/|bad object [0-9a-f]{40}|"
    r"(?:loose )?object [0-9a-f]{40} .*(?:corrupt|missing)|object file .* is empty|"
    r"unable to (?:unpack|parse|read) [0-9a-f]{40}|packfile |.* did not send all necessary objects|"
    r"refs/nbpipe/.* does not point|could not parse (?:commit|object)|missing blob object|"
    r"index file )",
    re.IGNORECASE | re.MULTILINE,
)
_NO_REF = re.compile(r"^fatal: couldn't find remote ref ", re.MULTILINE)
_ALGORITHM = re.compile(r"mismatched algorithms|unknown object format|object format", re.IGNORECASE)
_REDIRECT = re.compile(r"requested URL returned error: 30[12378]\b")
_LEADS = re.compile(r"^warning: redirecting to (?P<where>\S+)$", re.MULTILINE)
_ADVICE = (
    (
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "Only its owner may read the key: `chmod 600` the file that `ssh-key` names.",
    ),
    (
        r"[Ii]dentity file .* not accessible|no such identity|Load key ",
        "`ssh-key` must name the file of a private key that this service can read.",
    ),
    (
        r"Host key verification failed|host key is known for",
        "Compare the host's key (`ssh-keyscan HOST`), then add it to the file of `known-hosts`.",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "The host does not take this key: make `ssh-key`'s public half a deploy key there.",
    ),
    (
        r"Authentication failed|could not read (?:Username|Password)|returned error: 40[13]",
        "Look at `token`, `username` or `askpass`: is it the right one, and still valid?",
    ),
    (
        r"error setting certificate|error reading ca cert|access rights\?",
        "`ca-file` must name a file of certificates (PEM) that this service can read.",
    ),
    (
        r"certificate|CAfile|CA cert",
        "If the host has an authority of its own, name its certificate with `ca-file`.",
    ),
)


def own(text: str) -> str:
    """Return what git says for itself, without what it passes on from the origin."""
    return _THEIRS.sub("", text)


def in_a_line(text: str) -> str:
    """Return what a program said as one line, the middle of a very long one left out."""
    return cut(" ".join(text.split()), _LONGEST)


def suspicious(text: str) -> bool:
    """Return whether git's own words may mean that the cache is damaged: look at it."""
    return _SUSPICIOUS.search(text) is not None


def only_of_style(text: str) -> bool:
    """Return whether git-fsck complains only of how objects were made, and lacks none."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(_STYLE.match(line) for line in lines)


def full(text: str) -> bool:
    """Return whether git's own words mean that nothing can be written here."""
    return _FULL.search(text) is not None or _READ_ONLY.search(text) is not None


def full_below(text: str, folder: Path) -> bool:
    """Return whether git-lfs could not write a file below that folder."""
    words = rf"{re.escape(str(folder))}\S*: (?:no space left on device|disk quota exceeded)"
    return re.search(words, text, re.IGNORECASE) is not None


def no_room(folder: Path, told: str) -> MirrorError:
    """Return the error of a disk that takes nothing more."""
    if "read-only file system" in told.lower():
        return MirrorError(f"{folder}: {told}", hint="Its file system is mounted read-only.")
    return MirrorError(f"{folder}: {told}", hint="Make room; it is tried again.")


def redirects(text: str) -> bool:
    """Return whether the origin sends git to another address, which it did not follow."""
    return _REDIRECT.search(text) is not None


def destination(text: str) -> str:
    """Return where git says that it was sent; empty where it does not."""
    found = _LEADS.search(text)
    return found["where"].rstrip("/") if found else ""


def of_origin(said: str, heard: str, *, where: str, branch: str) -> PublishError:
    """Return the error that a failed fetch is.

    Args:
        said: What git said; no secrets.
        heard: What ssh and the other side's git said; no secrets.
        where: The collection and its origin.
        branch: Which one was asked for.
    """
    ours = own(said)
    told = in_a_line(f"{heard}\n{said}")
    if _NO_REF.search(ours):
        return BranchGone(
            f"{where}: branch not found: {branch}",
            hint="The last release stays. Set `branch` if it was renamed.",
        )
    if _ALGORITHM.search(ours):
        return MirrorError(
            f"{where}: has SHA-256 object names, and only repositories with SHA-1 can be published",
            hint="`git init --object-format=sha1` and a push there make one that can.",
        )
    # Of its own objects, the other side's git is a witness as good as ours.
    if _BAD_OBJECT.search(told):
        return Refused(f"{where}: git refuses what it sends: {told}")
    how = f"failed: {told}"
    if heard.strip():
        how = f"failed; the other side said: {in_a_line(heard)}; git said: {in_a_line(said)}"
    return OriginError(f"{where}: git fetch {how}", hint=advice(told))


def advice(text: str) -> str:
    """Return what a person can do; where nothing is known, that it is tried again."""
    found = next((hint for pattern, hint in _ADVICE if re.search(pattern, text)), "")
    return f"{found} It is tried again.".strip()
