"""What git, ssh and git-lfs complain of, and what a person does about it.

Values only: text in, an error with its next step out. The programs speak English here
(`LC_ALL=C`, set by GitPython). Nothing here runs anything.
"""

from __future__ import annotations

import re

from nbpipe.publishing.errors import BranchGone, MirrorError, OriginError, PublishError, Refused

_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|Read-only file system", re.IGNORECASE
)
_BAD_OBJECT = re.compile(
    r"fsck error|error in (?:tree|commit|blob|tag) |empty filename in tree|"
    r"malformed mode in tree|too-short tree|unresolved deltas|non-tree|not a tree|not a blob",
    re.IGNORECASE,
)
# Of the cache itself; what the other side says begins with "remote:".
_BROKEN = re.compile(
    r"^(?!remote:)(?:fatal|error): (?:not a git repository|bad config|bad numeric config|"
    r"(?:cannot|unable to) (?:lock|resolve|read) ref|bad object refs/|bad object [0-9a-f]{40}|"
    r"(?:loose )?object [0-9a-f]{40} .*(?:corrupt|missing)|object file .* is empty|"
    r"unable to (?:unpack|parse|read) [0-9a-f]{40}|packfile |.* did not send all necessary objects|"
    r"refs/nbpipe/.* does not point|could not parse (?:commit|object)|missing blob object|"
    r"index file )",
    re.IGNORECASE | re.MULTILINE,
)
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


def broken(text: str) -> bool:
    """Return whether it is the cache that is damaged."""
    return _BROKEN.search(text) is not None


def full(text: str) -> bool:
    """Return whether the disk is."""
    return _FULL.search(text) is not None


def redirects(text: str) -> bool:
    """Return whether the origin sends git to another address, which it did not follow."""
    return _REDIRECT.search(text) is not None


def destination(text: str) -> str:
    """Return where git says that it was sent; empty where it does not."""
    found = _LEADS.search(text)
    return found["where"].rstrip("/") if found else ""


def of_origin(text: str, *, where: str, branch: str) -> PublishError:
    """Return the error that a failed fetch is.

    Args:
        text: What git said; no secrets.
        where: The collection and its origin.
        branch: Which one was asked for.
    """
    if "couldn't find remote ref" in text:
        return BranchGone(
            f"{where}: there is no branch {branch}",
            hint="The last release stays. Set `branch` if it was renamed.",
        )
    if _ALGORITHM.search(text):
        return MirrorError(
            f"{where}: has SHA-256 object names, and only repositories with SHA-1 can be published",
            hint="`git init --object-format=sha1` and a push there make one that can.",
        )
    if _BAD_OBJECT.search(text):
        return Refused(f"{where}: git refuses what it sends: {text}")
    return OriginError(f"{where}: git fetch failed: {text}", hint=advice(text))


def advice(text: str) -> str:
    """Return what a person can do; where nothing is known, that it is tried again."""
    found = next((hint for pattern, hint in _ADVICE if re.search(pattern, text)), "")
    return f"{found} It is tried again.".strip()
