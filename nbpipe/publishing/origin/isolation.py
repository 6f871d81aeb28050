"""What git is told about its surroundings: a configuration and an environment of its own.

Neither the machine's nor the service user's nor the repository's settings take part. Values only.
"""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from nbpipe.publishing.origin import address
from nbpipe.system import secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbpipe.config.settings import CollectionSettings

# Answers only about the origin's own host: a redirect elsewhere learns nothing. git puts the
# address between single quotes, git-lfs between double ones. A program of the operator's
# (`askpass`) is asked only then.
ASKPASS = """\
#!/bin/sh
case "$1" in
  *"://$NBPIPE_ORIGIN_HOST'"* | *"@$NBPIPE_ORIGIN_HOST'"*) ;;
  *"://$NBPIPE_ORIGIN_HOST\\""* | *"@$NBPIPE_ORIGIN_HOST\\""*) ;;
  *) exit 1 ;;
esac
if [ -n "$NBPIPE_ORIGIN_ASKPASS" ]; then exec "$NBPIPE_ORIGIN_ASKPASS" "$@"; fi
case "$1" in
  Username*) printf '%s\\n' "$NBPIPE_ORIGIN_USER" ;;
  *) printf '%s\\n' "$NBPIPE_ORIGIN_TOKEN" ;;
esac
"""
EAR = "NBPIPE_EAR"
"""Names the descriptor for what ssh and the origin say, beside git's own complaints."""
# A jail may lack /dev/fd; then all is heard in one.
_OVERHEARD = f'2>"/dev/fd/${{{EAR}:-2}}"' if Path("/dev/fd").is_dir() else ""
_UNWANTED = ("GIT_TRACE", "GIT_TR2", "GIT_CURL_VERBOSE", "GIT_SSL_NO_VERIFY", "GIT_PROXY_COMMAND")
"""Beginnings of variables that do something whatever their value is: they must not be there."""


def configuration(settings: CollectionSettings) -> str:
    """Return the only configuration that git reads, beside the cache's own format."""
    allowed = "".join(f'[protocol "{name}"]\n\tallow = always\n' for name in settings.protocols)
    check = "true" if settings.fsck else "false"
    trusted = (
        f"[safe]\n\tdirectory = {_quoted(settings.origin.removeprefix('file://'))}\n"
        if address.protocol_of(settings.origin) == "file"
        else ""
    )
    authority = f"\tsslCAInfo = {_quoted(settings.ca_file)}\n" if settings.ca_file else ""
    return (
        "[core]\n\thooksPath = /dev/null\n\tattributesFile = /dev/null\n\tfsmonitor = false\n"
        "[credential]\n\thelper =\n"
        "[protocol]\n\tallow = never\n"
        f"{allowed}"
        f"[transfer]\n\tfsckObjects = {check}\n[fetch]\n\tfsckObjects = {check}\n"
        "\trecurseSubmodules = false\n\twriteCommitGraph = false\n"
        "[gc]\n\tauto = 0\n\tautoDetach = false\n[maintenance]\n\tauto = false\n"
        f"[http]\n\tfollowRedirects = false\n\tlowSpeedLimit = {settings.low_speed_limit}\n"
        f"\tlowSpeedTime = {settings.low_speed_time}\n{authority}{trusted}{_large(settings)}"
    )


def _large(settings: CollectionSettings) -> str:
    """Return where Git LFS finds its files: at the origin, whatever a `.lfsconfig` says."""
    if settings.lfs != "fetch":
        return ""
    url, protocol = settings.origin, address.protocol_of(settings.origin)
    if protocol in {"http", "https"}:
        end = "/info/lfs" if url.endswith(".git") else ".git/info/lfs"
        limit = settings.low_speed_time
        return (
            f"[lfs]\n\turl = {_quoted(url.rstrip('/') + end)}\n\tdialtimeout = {limit}\n"
            f"\ttlstimeout = {limit}\n\tactivitytimeout = {limit}\n"
            '[lfs "transfer"]\n\tmaxRetries = 1\n'  # the next reconciliation is a retry
        )
    if protocol == "file":
        url = Path(url.removeprefix("file://")).as_uri()
    return f'[remote "origin"]\n\turl = {_quoted(url)}\n[lfs]\n\turl = {_quoted(url)}\n'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def environment(settings: CollectionSettings, state: Path, folder: Path) -> dict[str, str]:
    """Return what git's environment has over the process's own."""
    trusted = {
        name: ""
        for source in (*settings.secrets, settings.token or "")
        if (name := secrets.variable(source))
    }
    return {
        **trusted,
        "HOME": os.fspath(state),
        "XDG_CONFIG_HOME": os.fspath(state),
        **place(folder),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_CONFIG_GLOBAL": os.fspath(state / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "0",
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": os.fspath(state / "askpass") if settings.askpass or settings.token else "",
        "SSH_ASKPASS": "",
        "GIT_SSH_COMMAND": _ssh(settings),
        "GIT_ALLOW_PROTOCOL": ":".join(settings.protocols),
        "NBPIPE_ORIGIN_HOST": address.host_of(settings.origin),
        "NBPIPE_ORIGIN_USER": settings.username,
        "NBPIPE_ORIGIN_ASKPASS": settings.askpass or "",
        **({"GIT_SSL_CAINFO": settings.ca_file} if settings.ca_file else {}),
    }


def place(folder: Path) -> dict[str, str]:
    """Return what tells git in which repository it works."""
    return {"GIT_DIR": os.fspath(folder), "GIT_OBJECT_DIRECTORY": os.fspath(folder / "objects")}


def upload_pack(settings: CollectionSettings) -> tuple[str, ...]:
    """Return the options that keep what a folder's own git says apart from what ours says."""
    if address.protocol_of(settings.origin) != "file" or not _OVERHEARD:
        return ()
    return ("--upload-pack", f"git-upload-pack {_OVERHEARD}")


def without(environ: Mapping[str, str]) -> list[str]:
    """Return the words before git's command line that keep some variables from it; mostly none."""
    unwanted = sorted(name for name in environ if name.startswith(_UNWANTED))
    return ["env", *(word for name in unwanted for word in ("-u", name))] if unwanted else []


def _ssh(settings: CollectionSettings) -> str:
    """Return ssh's command line: no configuration, no agent, no question."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "IdentityAgent=none"]
    options += ["ForwardAgent=no", "ClearAllForwardings=yes", "UpdateHostKeys=no"]
    options += [f"ConnectTimeout={settings.low_speed_time}"]
    options += [f"ServerAliveInterval={max(settings.low_speed_time // 3, 1)}"]
    options += ["ServerAliveCountMax=3"]
    if settings.ssh_key:
        options += [f"IdentityFile={_in_ssh(settings.ssh_key)}", "IdentitiesOnly=yes"]
    if settings.known_hosts:
        options += [f"UserKnownHostsFile={_in_ssh(settings.known_hosts)}"]
        options += ["GlobalKnownHostsFile=none"]
    words = " ".join(f"-o {quote(option)}" for option in options)
    return f"ssh -F none {words} {_OVERHEARD}".rstrip()


def _in_ssh(path: str) -> str:
    """Return a path as ssh_config(5) wants it: quoted, and `%` is no token."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
