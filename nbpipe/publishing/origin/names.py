"""Which names of a git tree may become names on disk.

git itself checks names when it checks a tree out (read-cache.c, verify_path) and when asked to
check objects (fsck.c); a release is built from blobs and relies on neither. Values only.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 255
"""Bytes in a name: NAME_MAX of every usual file system."""
LONGEST_PATH = 3_000
"""Bytes in a path within the release: PATH_MAX (4,096) less room for the mirror's own."""

# Nearly every name: nothing in it can be a disguise.
_PLAIN = re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9_. -]*")
# Characters that HFS+ ignores when it compares names (git's utf8.c, next_hfs_char).
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What NTFS takes for .git: its short name, trailing dots and spaces, a stream
# (git's path.c, is_ntfs_dotgit).
_NTFS = re.compile(r"(?:\.git|git~[0-9]+)[. ]*(?::.*)?", re.DOTALL)


def problem(name: bytes, *, backslashes: bool = False) -> str | None:
    """Return why this entry of a tree cannot be published, None where it can.

    Args:
        name: One component, as the tree object has it.
        backslashes: Let them pass; they are separators elsewhere.
    """
    if len(name) > LONGEST:
        return f"its name is {len(name)} bytes long, {LONGEST} is the most"
    if _PLAIN.fullmatch(name):
        return None
    if name in {b"", b".", b".."}:
        return "its name is empty" if not name else "its name stands for a folder"
    if b"/" in name:
        return "its name has a slash in it"
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return "its name is not UTF-8"
    return _disguise(text, backslashes=backslashes)


def _disguise(text: str, *, backslashes: bool) -> str | None:
    for part in text.replace("\\", "/").split("/"):
        bare = unicodedata.normalize("NFKC", _IGNORED.sub("", part)).casefold()
        if _NTFS.fullmatch(bare):
            return "its name is .git on some file systems"
        if "\\" in text and bare in {".", ".."}:
            return "its name leads elsewhere on some systems"
    if _LINES.search(text):
        return "its name has control characters in it"
    if _DIRECTION.search(text):
        return "its name changes the direction of writing"
    if "\\" in text and not backslashes:
        return "its name has a backslash in it"
    return None


def collision_key(name: str) -> str:
    """Return what names have in common that some file systems cannot tell apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown(name: bytes) -> str:
    """Return a name for a message: one line, nothing that a terminal would act on."""
    return ascii(name.decode("utf-8", "backslashreplace"))[1:-1]
