"""What an origin's address says: the protocol, the repository, and whether it may be used.

Values in, values out. An address with a password in it is refused, and never repeated in full.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from nbpipe.errors import ConfigError
from nbpipe.system import secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbpipe.config.settings import CollectionSettings

_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:]+):(?P<path>(?!//).+)")
_USERINFO = re.compile(r"(?<=://)[^/\s'\"<>]+@")
_PARAMETER = re.compile(
    r"([?&][^=&\s'\"]*(?:token|key|secret|passw|signature|auth)[^=&\s'\"]*=)[^&\s'\"<>]+",
    re.IGNORECASE,
)
_SHORTEST = 4
"""Characters of a part of a secret address that is a secret, too; `v1` is none."""
# The rules of git-check-ref-format(1).
_BAD_REF = re.compile(r"^[-/]|\.\.|//|/\.|^\.|@\{|[\x00-\x20\x7f~^:?*\[\\]|\.lock(/|$)|[/.]$")


def protocol_of(origin: str) -> str:
    """Return the protocol that git would speak: a URL's scheme, `ssh` or `file`."""
    if "://" in origin:
        return origin.split("://", 1)[0].lower()
    if "::" in origin.split("/", 1)[0]:
        return origin.split("::", 1)[0]
    return "ssh" if _SCP.fullmatch(origin) else "file"


def host_of(origin: str) -> str:
    """Return the host, with the port where one is given; empty for a folder."""
    if "://" in origin:
        return urlsplit(origin).netloc.rpartition("@")[2]
    scp = _SCP.fullmatch(origin) if protocol_of(origin) == "ssh" else None
    return scp["host"] if scp else ""


def place_of(origin: str) -> tuple[str, str]:
    """Return the protocol and the host, for what must not change between two addresses."""
    return protocol_of(origin), host_of(origin).lower()


def repository_of(settings: CollectionSettings) -> str | None:
    """Return `ORG/REPO`, as beacons name it: the setting, else the end of the origin's path.

    None where the path has no two parts; the host is no part of it.
    """
    if settings.repository:
        return settings.repository
    scp = _SCP.fullmatch(settings.origin) if "://" not in settings.origin else None
    path = scp["path"] if scp else settings.origin
    if "://" in settings.origin:
        path = urlsplit(settings.origin).path
    parts = path.rstrip("/").removesuffix(".git").split("/")[-2:]
    return "/".join(parts) if len(parts) == 2 and all(parts) else None  # noqa: PLR2004  (an owner and a name)


def check(settings: CollectionSettings) -> None:
    """Refuse settings that could not work, or would be dangerous.

    Raises:
        ConfigError: What is wrong with which collection.
    """
    where = f"collection {settings.name}"
    protocol = protocol_of(settings.origin)
    if protocol not in settings.protocols:
        raise ConfigError(
            f"{where}: the origin needs the protocol {protocol}, "
            f"which is not one of {', '.join(settings.protocols)}",
            hint=f'Add "{protocol}" to `protocols` if that is meant.',
        )
    if _has_password(settings.origin, protocol):
        raise ConfigError(
            f"{where}: the origin {mask(settings.origin)} has credentials in it",
            hint='Take them out and set `token = "file:PATH"`, `askpass` or `ssh-key`.',
        )
    if _BAD_REF.search(settings.branch) or settings.branch == "@":
        raise ConfigError(f"{where}: {settings.branch!r} is not a valid name of a branch")
    if not Path(settings.root).is_absolute():
        raise ConfigError(f"{where}: the root {settings.root} is not an absolute path")


def _has_password(origin: str, protocol: str) -> bool:
    if "://" not in origin:
        return False
    user, at, _ = urlsplit(origin).netloc.rpartition("@")
    return bool(at) and (protocol != "ssh" or ":" in user)


def secret(source: str, environ: Mapping[str, str], *, where: str) -> str:
    """Return the secret that `env:NAME` or `file:PATH` stands for.

    Raises:
        ConfigError: It is neither, not there, or empty. The value is in no message.
    """
    try:
        return secrets.text(source, environ)
    except secrets.NotASourceError:
        raise ConfigError(
            f"{where}: a secret is written as {secrets.FORMS}",
            hint="The value itself never stands in the configuration.",
        ) from None
    except secrets.SecretUnusableError as error:
        raise ConfigError(f"{where}: {error}", hint="Put the secret there.") from error


def mask(text: str, hidden: Iterable[str] = ()) -> str:
    """Return the text without credentials in addresses, and without the secrets.

    A secret is found as it is, however its letters are written, and as addresses, HTML, JSON and
    base64 write it.
    """
    for value in sorted({*hidden}, key=len, reverse=True):
        for form in sorted(_forms(value), key=len, reverse=True):
            pattern = "".join(map(_written, form))
            text = re.sub(pattern, "***", text, flags=re.IGNORECASE)
    return _PARAMETER.sub(r"\1***", _USERINFO.sub("***@", text))


def secrets_of(url: str) -> list[str]:
    """Return what must not be repeated of an address that is a secret itself, and its parts."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    values = [value for _, value in parse_qsl(parts.query)]
    pieces = re.split(r"[/?&=#;,:@]", f"{parts.path}?{parts.query}#{parts.fragment}")
    user = [parts.username or "", parts.password or ""]
    whole = [url, f"{parts.path}?{parts.query}" if parts.query else parts.path]
    return [each for each in (*whole, *pieces, *values, *user) if len(each) >= _SHORTEST]


def _forms(value: str) -> set[str]:
    """Return a secret as it is sent, decoded, and in base64."""
    raw = value.encode("utf-8", "surrogateescape")
    encoded = base64.b64encode(raw).decode("ascii") if len(raw) >= _SHORTEST else ""
    forms = {value, unquote(value), encoded, encoded.rstrip("=")}
    return {form for form in forms if form.strip()}


def _written(letter: str) -> str:
    """Return a pattern for a letter, as it is or as an address, HTML or JSON writes it."""
    octets = letter.encode("utf-8", "surrogateescape")
    forms = {letter, "".join(f"%{octet:02x}" for octet in octets), html.escape(letter)}
    forms |= {json.dumps(letter)[1:-1], f"&#{ord(letter)};", f"&#x{ord(letter):x};"}
    forms |= {r"\/"} if letter == "/" else {"+"} if letter == " " else set()
    return f"(?:{'|'.join(re.escape(form) for form in sorted(forms, key=len, reverse=True))})"
