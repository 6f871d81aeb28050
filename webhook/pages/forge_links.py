"""Addresses of commits and files at the forges, for links on pages.

A collection is known by its origin's address (`host/org/repo`). GitHub, Gitea and Forgejo share
the way to write a commit's address; GitLab and Bitbucket have their own.
"""

from __future__ import annotations

import re
from urllib.parse import quote

_PLACE = re.compile(r"(?P<host>[a-z0-9.-]+\.[a-z0-9-]+)(?::\d+)?/(?P<path>[^\s?#]+/[^\s?#]+)")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def commit_url(place: str, commit: str | None) -> str:
    """Return the address of a commit's page; empty where the forge is not known to have one.

    Args:
        place: `host/org/repo`, as `nbpipe.history.identity.address` writes it.
        commit: Its id.
    """
    found = _PLACE.fullmatch(place)
    if found is None or not _COMMIT.fullmatch(commit or ""):
        return ""
    return f"https://{found['host']}/{quote(found['path'])}/{_words(found['host'])[0]}/{commit}"


def file_url(place: str, commit: str | None, path: str) -> str:
    """Return the address of a file as it is at a commit; empty where that is not known."""
    found = _PLACE.fullmatch(place)
    if found is None or not _COMMIT.fullmatch(commit or "") or path.startswith("/"):
        return ""
    base = f"https://{found['host']}/{quote(found['path'])}"
    return f"{base}/{_words(found['host'])[1]}/{commit}/{quote(path)}"


def _words(host: str) -> tuple[str, str]:
    """Return what stands before a commit, and before the commit of a file."""
    if "gitlab" in host:
        return "-/commit", "-/blob"
    if "bitbucket" in host:
        return "commits", "src"
    if host == "github.com" or "github" in host:
        return "commit", "blob"
    return "commit", "src/commit"
