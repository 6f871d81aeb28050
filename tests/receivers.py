"""Real receivers of notifications on loopback: a mail server, a webhook, a command."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

PASSWORD = "s3cret pass"  # noqa: S105  (of these tests)


class Mailbox:
    """What a mail server received; it refuses all while `refuses`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = False
        self.says = "451 4.7.1 Try again later"
        self.port = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: ANN401, N802  (aiosmtpd's)
        """Take a mail."""
        if self.refuses:
            return self.says
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append(mail)  # type: ignore[arg-type]
        return "250 OK"


def _judge(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:  # noqa: ANN401  (aiosmtpd's)
    right = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=right, handled=False)


@contextmanager
def mail_server(certificate: Path | None = None) -> Iterator[Mailbox]:
    """Give a mail server; with a certificate it wants STARTTLS and a password."""
    mailbox = Mailbox()
    options: dict[str, Any] = {}
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        options = {"tls_context": context, "require_starttls": True, "authenticator": _judge}
        options |= {"auth_required": True}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        mailbox.port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


def certificate(folder: Path) -> Path:
    """Return a new certificate with its key, for this machine."""
    file = folder / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", file, "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (folder / "cert.pem").read_text())
    return file


class Hook:
    """What a webhook received, and what it answers."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.status = 200
        self.url = ""
        self.says = ""
        """What it answers; `{path}` is the path that was asked for."""


@contextmanager
def webhook() -> Iterator[Hook]:
    """Give a webhook."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.status == 200:
                hook.bodies.append(body)
            said = hook.says.replace("{path}", self.path).encode()
            self.send_response(hook.status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/services/T0/B0/verysecret"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
