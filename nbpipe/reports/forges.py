"""Addresses of a repository's files on the web: GitHub, GitLab, Gitea and Forgejo, Bitbucket.

Pure, and careful: an origin that may be anything (a server without pages, a path) has no address,
rather than one that leads nowhere. User and password of an origin never come into one.

Sources: GitHub's and GitLab's documentation of permanent links; `?plain=1` shows a notebook's text
in place of its rendering, without which a line has no place on the page (Gitea: `display=source`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

Forge = Literal["github", "gitlab", "gitea", "bitbucket"]

_COMMIT: dict[Forge, str] = {
    "github": "commit",
    "gitlab": "-/commit",
    "gitea": "commit",
    "bitbucket": "commits",
}
_FILE: dict[Forge, str] = {
    "github": "blob",
    "gitlab": "-/blob",
    "gitea": "src/commit",
    "bitbucket": "src",
}
_LINE: dict[Forge, str] = {
    "github": "?plain=1#L{}",
    "gitlab": "?plain=1#L{}",
    "gitea": "?display=source#L{}",
    "bitbucket": "#lines-{}",
}
_KNOWN: dict[str, Forge] = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "gitea",
    "gitea.com": "gitea",
    "bitbucket.org": "bitbucket",
}
_NAMED: dict[str, Forge] = {
    "github": "github",
    "gitlab": "gitlab",
    "gitea": "gitea",
    "forgejo": "gitea",
}
"""A part of the names that most servers of one's own have; a Bitbucket of one's own has other
addresses than bitbucket.org."""

_SCP = re.compile(r"(?:[^@/:]+@)?([^/:@]+):(?!//)(.+)")
_URL = re.compile(r"(https?|ssh|git)://(?:[^/]*@)?([^/@]+)/(.+)", re.IGNORECASE)
_SERVER = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_SAFE = "/:?#@!$&'*+,;=%~-._"
"""What may stand in an address as it is; brackets would end a link in Markdown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A repository as a forge shows it."""

    address: str
    """Of its page, without a slash at its end."""
    forge: Forge

    def commit(self, sha: str) -> str:
        """Return the address of a commit."""
        return f"{self.address}/{_COMMIT[self.forge]}/{sha}"

    def file(self, sha: str, path: str, line: int | None = None) -> str:
        """Return the address of a file at a commit, or of a line of its text."""
        name = quote(path.encode(errors="surrogateescape"), safe="/")
        where = _LINE[self.forge].format(line) if line else ""
        return f"{self.address}/{_FILE[self.forge]}/{sha}/{name}{where}"


def repository(origin: str, environ: Mapping[str, str]) -> Repository | None:
    """Return the repository that an origin of git is; None where it has no known address.

    Args:
        origin: As git has it.
        environ: Where a CI says which server it belongs to.
    """
    scheme, host, path = _parts(origin.strip())
    if not _SERVER.fullmatch(host) or "/" not in path or ".." in path.split("/"):
        return None
    where, forge = f"{scheme}://{host}", of_host(host)
    if server := _server(environ, "GITHUB_SERVER_URL", host):
        where = server
        is_gitea = environ.get("GITEA_ACTIONS") or environ.get("FORGEJO_ACTIONS")
        forge = "gitea" if is_gitea else "github"
    elif server := _server(environ, "CI_SERVER_URL", host):
        where, forge = server, "gitlab"
    return forge and Repository(address=f"{where}/{quote(path, safe='/')}", forge=forge)


def at_github(name: str, api: str, environ: Mapping[str, str]) -> Repository:
    """Return the repository `OWNER/NAME` of the GitHub with that API.

    Args:
        name: Of the repository.
        api: The API's address; that of a server of one's own ends in `/api/v3`.
        environ: Where a CI says which server it belongs to, and its API.
    """
    server = environ.get("GITHUB_SERVER_URL", "")
    if server and environ.get("GITHUB_API_URL", "").rstrip("/") == api.rstrip("/"):
        return Repository(address=f"{server.rstrip('/')}/{name}", forge="github")
    parts = urlsplit(api)
    host = parts.netloc.rpartition("@")[2]
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        host = host.removeprefix("api.")
    return Repository(address=f"{parts.scheme}://{host}/{name}", forge="github")


def run_page(environ: Mapping[str, str]) -> str | None:
    """Return the address of the CI run that this process belongs to; None where it has none."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, name, number = (environ.get(each, "") for each in names)
    if server and name and number.isdigit():
        attempt = environ.get("GITHUB_RUN_ATTEMPT", "")
        tail = f"/attempts/{attempt}" if attempt.isdigit() else ""
        return address(f"{server.rstrip('/')}/{name}/actions/runs/{number}{tail}")
    return address(environ.get("CI_JOB_URL", ""))


def address(text: str) -> str | None:
    """Return an address as it can stand in Markdown and HTML; None where it is not one."""
    if not text.startswith(("https://", "http://")) or not urlsplit(text).netloc:
        return None
    return quote(text, safe=_SAFE)


def _parts(origin: str) -> tuple[str, str, str]:
    """Return scheme, host and path of the page of an origin; empty where it is a path."""
    if match := _URL.fullmatch(origin):
        scheme, host, path = match.groups()
        if scheme.lower() in {"ssh", "git"}:  # their port is not that of the pages
            scheme, host = "https", host.partition(":")[0]
    elif match := _SCP.fullmatch(origin):
        scheme, (host, path) = "https", match.groups()
    else:
        return "", "", ""
    host = host.lower()
    host = "github.com" if host == "ssh.github.com" else host
    return scheme.lower(), host, path.strip("/").removesuffix(".git")


def _server(environ: Mapping[str, str], name: str, host: str) -> str | None:
    """Return the server's address that the environment gives, where the host is this server."""
    found = address(environ.get(name, "").rstrip("/"))
    if not found:
        return None
    parts = urlsplit(found)
    return found if host in {parts.netloc.lower(), (parts.hostname or "")} else None


def of_host(host: str) -> Forge | None:
    """Return what a server is, as far as its name says."""
    if host in _KNOWN:
        return _KNOWN[host]
    return next((_NAMED[part] for part in host.split(".") if part in _NAMED), None)
