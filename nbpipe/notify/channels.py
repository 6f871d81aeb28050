"""The ways to people: mail, a webhook, a command. Each sends one message, or says why it did not.

No message of an error holds a password or a webhook's address, which is a secret itself, even
where the other side repeats it: what comes back is masked before it is cut or shown.
"""

from __future__ import annotations

import os
import signal
import smtplib
import ssl
import subprocess
import time
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from nbpipe.config.variables import without
from nbpipe.errors import ConfigError, ExitCode, NbpipeError
from nbpipe.notify import message_texts
from nbpipe.publishing.origin.address import mask, secret, secrets_of
from nbpipe.system.text import first_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    import requests

    from nbpipe.config.settings import EmailSettings, NotifySettings
    from nbpipe.notify.events import Event, Occasion

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""
_LONG = 8
"""Characters of an argument that may be a secret."""


class NotSent(NbpipeError):  # noqa: N818  (what is the case)
    """A message could not be sent; it is sent the next time."""

    exit_code = ExitCode.FAILED


class Channel(Protocol):
    """One way to people."""

    @property
    def name(self) -> str:
        """What it is called in messages and in the memory."""

    def send(self, events: Sequence[Event], occasion: Occasion) -> None:
        """Send one message.

        Raises:
            NotSent: It was not taken.
            ConfigError: A secret is missing.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Email:
    """Mail through an SMTP server."""

    settings: EmailSettings
    timeout: float
    environ: Mapping[str, str]
    name: str = "email"

    def send(self, events: Sequence[Event], occasion: Occasion) -> None:
        """Send a mail to all addresses."""
        settings = self.settings
        password = ""
        if settings.user:
            if settings.security == "none" and settings.host not in _LOOPBACK:
                raise ConfigError(
                    "[notify.email] security: a password is not sent without encryption",
                    hint='Set security = "starttls" or "tls".',
                )
            source = settings.password or ""
            password = secret(source, self.environ, where="[notify.email] password")
        try:
            with self._connected() as server:
                if settings.user:
                    server.login(settings.user, password)
                refused = server.send_message(self._message(events, occasion))
        except (smtplib.SMTPException, OSError) as error:
            # AUTH PLAIN sends the name and the password in one piece
            secrets = (password, f"\0{settings.user}\0{password}") if password else ()
            raise NotSent(
                f"email: {settings.host}:{settings.port}: {_smtp_reason(error, secrets)}",
                hint="See [notify.email]: host, port, security, user, sender.",
            ) from error
        if refused:
            raise NotSent(f"email: {settings.host} refused {', '.join(sorted(refused))}")

    def _connected(self) -> smtplib.SMTP:
        host, port = self.settings.host, self.settings.port
        if self.settings.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, timeout=self.timeout, context=context)
        server = smtplib.SMTP(host, port, timeout=self.timeout)
        if self.settings.security == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server

    def _message(self, events: Sequence[Event], occasion: Occasion) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = first_line(message_texts.subject(events))
        message["From"] = self.settings.sender
        message["To"] = ", ".join(self.settings.to)
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain="nbpipe")
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notices in return
        message.set_content(message_texts.text(events, occasion))
        return message


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """An address that takes Slack's JSON."""

    source: str
    timeout: float
    environ: Mapping[str, str]
    name: str = "webhook"

    def send(self, events: Sequence[Event], occasion: Occasion) -> None:
        """Post the message."""
        import requests  # noqa: PLC0415  (slow)

        url = secret(self.source, self.environ, where="[notify] webhook")
        scheme, host = _place(url)
        if scheme != "https" and host not in _LOOPBACK:
            raise ConfigError(
                f"[notify] webhook: what {self.source} holds is not an https address",
                hint="It is one line: https://hooks.slack.com/services/…",
            )
        try:
            with requests.post(
                url,
                json=message_texts.slack(events, occasion),
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                if answer.ok and not answer.is_redirect:
                    return
                status, said = answer.status_code, _beginning(answer, self.timeout)
        except (requests.RequestException, ValueError) as error:
            # its text would repeat the address, which is a secret
            raise NotSent(f"webhook: {host}: {type(error).__name__}") from None
        told = _safe_line(said, secrets_of(url), limit=200)
        raise NotSent(f"webhook: {host} answers {status}: {told}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A program that gets JSON on its standard input."""

    words: tuple[str, ...]
    timeout: float
    environ: Mapping[str, str]
    name: str = "command"

    def send(self, events: Sequence[Event], occasion: Occasion) -> None:
        """Run the program to its end."""
        try:
            process = subprocess.Popen(
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=self.environ,
            )
        except OSError as error:
            raise NotSent(f"command: {self.words[0]}: {error.strerror}") from error
        with process:
            try:
                _, stderr = process.communicate(
                    message_texts.document(events, occasion), self.timeout
                )
            except BaseException as error:
                # With what it has started: that would keep its pipes open.
                os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                late = f"command: {self.words[0]}: not done after {self.timeout:g} s"
                raise NotSent(late) from error
        if process.returncode != 0:
            said = _safe_line(stderr.decode(errors="replace"), _secrets_in(self.words[1:]))
            raise NotSent(f"command: {self.words[0]} ended with {process.returncode}: {said}")


def channels(
    settings: NotifySettings, environ: Mapping[str, str], *, hidden: AbstractSet[str] = frozenset()
) -> list[Channel]:
    """Return the ways that are configured; the command sees none of the `hidden` variables."""
    found: list[Channel] = []
    if settings.email.to:
        found.append(Email(settings=settings.email, timeout=settings.timeout, environ=environ))
    if settings.webhook:
        found.append(Webhook(source=settings.webhook, timeout=settings.timeout, environ=environ))
    if settings.command:
        own = without(environ, hidden)
        found.append(Command(words=settings.command, timeout=settings.timeout, environ=own))
    return found


def _smtp_reason(error: Exception, secrets: Sequence[str]) -> str:
    """Return what a server said, without what we sent it."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return f"{error.smtp_code} {_safe_line(text, secrets)}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        told = "; ".join(
            f"{to}: {code} {text.decode(errors='replace')}"
            for to, (code, text) in error.recipients.items()
        )
        return _safe_line(f"every recipient was refused: {told}", secrets)
    return _safe_line(str(error), secrets) or type(error).__name__


def _place(url: str) -> tuple[str, str]:
    """Return the scheme and the host of an address; nothing for what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


def _beginning(answer: requests.Response, timeout: float) -> str:
    """Return the beginning of an answer, whatever comes of it in the given seconds."""
    end = time.monotonic() + timeout
    body = b""
    for chunk in answer.iter_content(4_096):
        body += chunk
        if len(body) >= _ANSWER or time.monotonic() > end:
            break
    return body.decode(errors="replace")


def _safe_line(text: str, secrets: Iterable[str], *, limit: int = 300) -> str:
    """Return what somebody else said as one printable line without the secrets."""
    return first_line(mask(plain(text), secrets), limit)


def _secrets_in(arguments: Iterable[str]) -> list[str]:
    """Return what of a program's arguments may be a secret: addresses, and what is long."""
    found: list[str] = []
    for argument in arguments:
        value = argument.partition("=")[2] if argument.startswith("-") else argument
        found += secrets_of(value) if "://" in value else [value]
    return [each for each in found if len(each) >= _LONG]
