"""Real servers of git on loopback, started and stopped: OpenSSH's sshd, and https.

The https server speaks TLS with a certificate of an authority of its own and leaves git's protocol
to `git http-backend`; what it can do wrong (redirect, stall, refuse) is set by the tests. It also
answers Git LFS's batch API (docs/api/batch.md in git-lfs/git-lfs) for what it is given.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ondisk import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
KEYGEN = shutil.which("ssh-keygen")
OPENSSL = shutil.which("openssl")
LFS = "application/vnd.git-lfs+json"


def run(*words: str | Path) -> str:
    """Run a program that must succeed, and return what it prints."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{words[0]}: {done.stderr!r}"
    return str(done.stdout.decode())


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def new_key(file: Path) -> Path:
    """Make an SSH key pair without a passphrase; return the private one's file."""
    run(KEYGEN or "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", file.name, "-f", file)
    return file


@dataclass
class Sshd:
    """A running sshd with one deploy key, which may only run git."""

    folder: Path
    port: int
    key: Path
    """The deploy key's private half."""

    @property
    def known_hosts(self) -> Path:
        """A file with the host's key, as `known-hosts` names it."""
        file = self.folder / "known_hosts"
        kind, key = (self.folder / "host.pub").read_text("ascii").split()[:2]
        file.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n", "ascii")
        return file

    def address(self, repository: Path) -> str:
        """Return the repository's URL."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository}"


def _configured(folder: Path, port: int) -> Path:
    file = folder / "sshd_config"
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        "PidFile none",
        "StrictModes no",  # the folder lies below one for temporary files
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        f"SetEnv PATH={os.environ['PATH']}",
    ]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """Run an sshd of its own: configuration, host key, port, one authorized key."""
    if SSHD is None or KEYGEN is None:
        lacking("sshd (apt-get install openssh-server)")
    folder.mkdir()
    key = new_key(folder / "deploy")
    new_key(folder / "host")
    allowed = 'restrict,command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\""'
    public = key.with_suffix(".pub").read_text("ascii")
    (folder / "authorized_keys").write_text(f"{allowed} {public}", "ascii")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as the service's unit would
    with _started(folder) as port:
        yield Sshd(folder, port, key)


@contextmanager
def _started(folder: Path) -> Iterator[int]:
    for _ in range(5):  # another process may have taken the port
        port = free_port()
        command = [str(SSHD), "-D", "-e", "-f", str(_configured(folder, port))]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        try:
            end = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < end and not _listens(port):
                time.sleep(0.05)
            if process.poll() is None:
                yield port
                return
        finally:
            process.terminate()
            process.wait(60)
    raise AssertionError((folder / "log").read_text("utf-8"))


@dataclass(frozen=True)
class Authority:
    """A certificate authority and a certificate of it for 127.0.0.1."""

    folder: Path

    @property
    def file(self) -> Path:
        """The authority's own certificate, to be trusted."""
        return self.folder / "ca.pem"

    def context(self) -> ssl.SSLContext:
        """Return what a server needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context


def authority(folder: Path) -> Authority:
    """Make an authority with openssl, and a certificate that names 127.0.0.1 and localhost."""
    if OPENSSL is None:
        lacking("openssl (apt-get install openssl)")
    folder.mkdir()
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run(
        *("openssl", *new, "-x509", "-days", "2", "-subj", "/CN=nbpipe test authority"),
        *("-keyout", folder / "ca.key", "-out", folder / "ca.pem"),
    )
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n", "ascii")
    run(
        *("openssl", *new, "-subj", "/CN=127.0.0.1"),
        *("-keyout", folder / "server.key", "-out", folder / "server.csr"),
    )
    run(
        *("openssl", "x509", "-req", "-days", "2", "-in", folder / "server.csr"),
        *("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial"),
        *("-extfile", names, "-out", folder / "server.pem"),
    )
    return Authority(folder)


@dataclass
class Behaviour:
    """What a server of git does, changed by tests while it runs."""

    root: Path
    """The folder that its paths begin in."""
    login: tuple[str, str] | None = None
    """User name and password that it asks for."""
    redirect: str | None = None
    """Where every request is sent, with its path."""
    moved: dict[str, str] = field(default_factory=dict)
    """Beginnings of paths that have another one now, on the same host."""
    stalls: threading.Event = field(default_factory=threading.Event)
    """While set, every answer stops in its middle."""
    stalls_large: threading.Event = field(default_factory=threading.Event)
    """Likewise, for large files only."""
    tears: bool = False
    """Tear answers of more than 100 kB off in their middle, with a TCP reset: in a pack."""
    speed: float = 0.0
    """Bytes per second of an answer; 0: as fast as it goes."""
    large: dict[str, bytes] = field(default_factory=dict)
    """Git LFS: SHA-256 -> content."""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request, with `!` where it brought credentials."""
    over: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Server:
    """A running server."""

    behaviour: Behaviour
    url: str


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Behaviour
    scheme: str

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        pass

    def _answer(self) -> None:
        body = self._body()
        given = self.headers.get("Authorization")
        self.behaviour.asked.append(f"{self.command} {self.path}{' !' if given else ''}")
        if self.behaviour.redirect:
            self._say(301, b"", Location=self.behaviour.redirect + self.path)
        elif old := next((p for p in self.behaviour.moved if self.path.startswith(p)), None):
            self._say(301, b"", Location=self.behaviour.moved[old] + self.path.removeprefix(old))
        elif self.behaviour.login and given != _basic(*self.behaviour.login):
            self._say(401, b"no", **{"WWW-Authenticate": 'Basic realm="git"'})
        elif "/info/lfs/objects/batch" in self.path:
            self._batch(json.loads(body))
        elif self.path.startswith("/large/"):
            self._say(200, self.behaviour.large[self.path.removeprefix("/large/")])
        else:
            self._git(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _batch(self, asked: dict[str, Any]) -> None:
        place = f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}/large/"
        objects = []
        for one in asked["objects"]:
            answer: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] in self.behaviour.large:
                answer["actions"] = {"download": {"href": place + one["oid"]}}
            else:
                answer["error"] = {"code": 404, "message": "Object does not exist"}
            objects.append(answer)
        said = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self._say(200, said, **{"Content-Type": LFS})

    def _git(self, body: bytes) -> None:
        url = urlsplit(self.path)
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.behaviour.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environ, capture_output=True, check=False
        )
        head, _, said = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
        self._say(int(fields.pop("Status", "200").split()[0]), said, **fields)

    def _say(self, status: int, said: bytes, **fields: str) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        large = self.behaviour.stalls_large.is_set() and self.path.startswith("/large/")
        if status == 200 and (large or self.behaviour.stalls.is_set()):
            self.wfile.write(said[: len(said) // 2])
            self.wfile.flush()
            self.behaviour.over.wait()
            self.close_connection = True
            return
        if self.behaviour.tears and len(said) > 100_000:
            self.wfile.write(said[: len(said) // 2])
            linger = struct.pack("ii", 1, 0)  # close(2) answers with RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            return
        if self.behaviour.speed:
            for start in range(0, len(said), 65_536):
                self.wfile.write(said[start : start + 65_536])
                time.sleep(min(65_536, len(said) - start) / self.behaviour.speed)
            return
        self.wfile.write(said)


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  (theirs)
        # In the request's own thread: a client that is slow to greet holds nobody up.
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what half of the tests are about."""


@contextmanager
def git_server(
    root: Path,
    trust: Authority | None,
    **behaviour: Any,  # noqa: ANN401  (the fields of Behaviour)
) -> Iterator[Server]:
    """Serve the repositories below `root`, by https where there is an authority."""
    made = Behaviour(root, **behaviour)
    scheme = "https" if trust else "http"
    handler = type("Handler", (_Handler,), {"behaviour": made, "scheme": scheme})
    with _Threads(("127.0.0.1", 0), handler) as server:
        server.context = trust.context() if trust else None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Server(made, f"{scheme}://127.0.0.1:{server.server_address[1]}")
        finally:
            made.over.set()
            server.shutdown()
            thread.join()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
