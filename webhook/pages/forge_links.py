"""Addresses of commits and files at the forges, for links on pages.

A collection is known by its origin's address (`host/org/repo`), and it is shown from a server that
people push to: where its host does not say what it is, it is taken for a Gitea or Forgejo.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from nbpipe.reports import forges

_PLACE = re.compile(r"(?P<host>[a-z0-9.-]+\.[a-z0-9-]+)(?::\d+)?/(?P<path>[^\s?#]+/[^\s?#]+)")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def commit_url(place: str, commit: str | None) -> str:
    """Return the address of a commit's page; empty where the forge is not known to have one.

    Args:
        place: `host/org/repo`, as `nbpipe.history.identity.address` writes it.
        commit: Its id.
    """
    found = _repository(place)
    return found.commit(commit) if found and commit and _COMMIT.fullmatch(commit) else ""


def file_url(place: str, commit: str | None, path: str) -> str:
    """Return the address of a file as it is at a commit; empty where that is not known."""
    found = _repository(place)
    if found is None or not commit or not _COMMIT.fullmatch(commit) or path.startswith("/"):
        return ""
    return found.file(commit, path)


def _repository(place: str) -> forges.Repository | None:
    found = _PLACE.fullmatch(place)
    if found is None:
        return None
    forge = forges.of_host(found["host"]) or "gitea"
    return forges.Repository(address=f"https://{found['host']}/{quote(found['path'])}", forge=forge)
