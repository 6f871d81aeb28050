"""The examples under docs/deploy, in the programs that they are for, before a real service."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from ondisk import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
LIMIT = 120.0
"""Seconds; generous, nothing depends on it."""
SECRET = "s3cr3t-of-the-hook"  # noqa: S105  (of these tests)
NAME = "notebooks.example.org"
START = "from nbpipe.cli.serve import serve; serve()"


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def program(name: str) -> str:
    """Return where a program is, also where only root looks for it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        lacking(name)
    return str(found)


class Receiver:
    """`nbpipe serve --proxies 1`, as in the unit."""

    def __init__(self, folder: Path) -> None:
        (folder / "nbpipe.toml").write_text(
            f"""
            [webhook]
            port = 0
            [[collection]]
            name = "notebooks-latest"
            origin = "https://127.0.0.1:1/ORG/notebooks.git"
            root = "{folder / "srv"}"
            secrets = ["env:HOOK"]
            poll = 0
            """
        )
        arguments = ["--config", str(folder / "nbpipe.toml"), "--proxies", "1", "--no-worker"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, *arguments],
            env={**os.environ, "HOOK": SECRET, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        wait_until(lambda: self._listening() or self._process.poll() is not None)
        found = self._listening()
        assert found, "".join(self.log)
        self.port = int(found[1])
        self.token = (folder / "srv" / ".nbpipe" / ".pages" / "token").read_text().strip()

    def _listening(self) -> re.Match[str] | None:
        return re.search(r"Listening on http://127\.0\.0\.1:(\d+)", "".join(self.log))

    def _read(self) -> None:
        assert self._process.stderr
        with self._process.stderr as lines:
            for line in lines:
                self.log.append(line)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(LIMIT)
        self._reader.join(LIMIT)


class Site:
    """What a client sees of the service through a proxy."""

    def __init__(self, receiver: Receiver, port: int, certificate: Path) -> None:
        self.receiver = receiver
        self.port = port
        self.context = ssl.create_default_context(cafile=str(certificate))

    def connect(self) -> http.client.HTTPConnection:
        """Connect to the name, which is this machine here."""
        raw = socket.create_connection(("127.0.0.1", self.port), LIMIT)
        connection = http.client.HTTPConnection(NAME, timeout=LIMIT)
        connection.sock = self.context.wrap_socket(raw, server_hostname=NAME)
        return connection

    def request(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        connection = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body or None, named)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def beacon(self, body: bytes, delivery: str, secret: str = SECRET) -> tuple[int, Any]:
        code = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        status, text, _ = self.request(
            "POST",
            "/webhook/notebooks-latest",
            body,
            Content_Type="application/json",
            X_GitHub_Event="push",
            X_GitHub_Delivery=delivery,
            X_Hub_Signature_256=f"sha256={code}",
        )
        return status, text


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path)
    yield receiver
    receiver.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate of its own for the examples' name."""
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME}"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return tmp_path / "cert.pem"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return an example with what everybody has to change changed."""
    for old, new in pairs:
        assert old in text, f"the example has no {old} any more"
        text = text.replace(old, new)
    return text


def nginx(folder: Path, upstream: int, port: int, certificate: Path) -> list[str]:
    site = replaced(
        (DEPLOY / "nginx.conf").read_text(),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("    listen [::]:443 ssl;\n", ""),
        ("/etc/ssl/notebooks.example.org.pem", str(certificate)),
        ("/etc/ssl/private/notebooks.example.org.key", str(folder / "key.pem")),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    )
    (folder / "site.conf").write_text(site)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/site.conf; }}"
    )
    return [program("nginx"), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]


def caddy(folder: Path, upstream: int, port: int, certificate: Path) -> list[str]:
    site = replaced(
        (DEPLOY / "Caddyfile").read_text(),
        (f"{NAME} {{\n", f"{NAME}:{port} {{\n\ttls {certificate} {folder}/key.pem\n"),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}")
    return [
        *(program("caddy"), "run", "--adapter", "caddyfile"),
        *("--config", str(folder / "Caddyfile")),
    ]


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver, certificate: Path
) -> Iterator[Site]:
    port = free_port()
    command = request.param(tmp_path, receiver.port, port, certificate)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    with (tmp_path / "proxy.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **home}, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "proxy.log").read_text()
        yield Site(receiver, port, certificate)
    finally:
        process.kill()
        process.wait(LIMIT)


def push(size: int = 0) -> bytes:
    payload = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "repository": {"full_name": "ORG/notebooks"},
    }
    body = json.dumps(payload).encode()
    return json.dumps({**payload, "zen": "x" * (size - len(body) - 11)}).encode() if size else body


def written(folder: Path) -> int:
    """Return how many bytes are in the files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_through_the_proxy_beacons_are_judged_and_pages_ask_for_the_token(
    site: Site, tmp_path: Path
) -> None:
    assert site.beacon(push(), "one")[0] == 202
    assert site.beacon(push(), "two", secret="another")[0] == 403  # noqa: S106
    assert site.request("GET", "/health")[0] == 503  # nothing is published here
    for path in ("/", "/collections", "/collections.json", "/references", "/metrics"):
        assert site.request("GET", path)[0] == 401
        bearer = f"Bearer {site.receiver.token}"
        assert site.request("GET", path, Authorization=bearer)[0] == 200
    spoofed = {"X_Forwarded_For": "127.0.0.1", "X_Forwarded_Prefix": "/evil", "X_Real_IP": "::1"}
    status, page, _ = site.request("GET", "/", **spoofed)
    assert status == 401
    assert "/evil" not in page
    form = urlencode({"token": site.receiver.token, "target": "/references"}).encode()
    form_type = "application/x-www-form-urlencoded"
    status, _, headers = site.request("POST", "/login", form, Content_Type=form_type)
    assert (status, headers["Location"]) == (303, "/references")
    assert "Secure" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert site.request("GET", "/references", Cookie=cookie)[0] == 200
    assert site.receiver.token not in "".join(site.receiver.log)
    assert '"remote": "127.0.0.1"' in "".join(site.receiver.log)
    assert (tmp_path / "srv" / ".nbpipe" / ".pages" / "token").stat().st_mode & 0o777 == 0o600


def test_through_the_proxy_github_s_largest_payload_passes_and_a_larger_one_does_not(
    site: Site,
) -> None:
    assert site.beacon(push(25_000_000), "large")[0] == 202
    for size in (25_000_001, 27_000_000):
        try:
            assert site.beacon(b"x" * size, "larger")[0] == 413
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            continue  # the proxy closed on what it will not read
    assert site.beacon(push(), "after")[0] == 202


def test_through_the_proxy_an_unsigned_body_is_refused_and_kept_nowhere(
    site: Site, tmp_path: Path
) -> None:
    before = written(tmp_path)
    body = b"x" * 5_000_000
    for _ in range(3):
        try:
            status, *_ = site.request(
                "POST", "/webhook/notebooks-latest", body, Content_Type="application/json"
            )
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            continue  # refused before all of it was sent
        assert status == 403
    assert written(tmp_path) - before < 1_000_000
    assert site.beacon(push(), "one")[0] == 202


def test_the_unit_is_one_that_systemd_accepts_and_calls_safe(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    unit = replaced(
        (DEPLOY / "nbpipe.service").read_text(), ("/opt/nbpipe/bin/nbpipe", sys.executable)
    )
    (tmp_path / "nbpipe.service").write_text(unit)
    file = str(tmp_path / "nbpipe.service")
    verified = subprocess.run(
        [analyze, "verify", file], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout


def test_the_unit_starts_a_command_that_there_is_and_the_proxies_pass_to_its_port() -> None:
    unit = (DEPLOY / "nbpipe.service").read_text()
    (command,) = re.findall(r"^ExecStart=/opt/nbpipe/bin/nbpipe (.*)$", unit, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "nbpipe", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert command.split()[0] == "serve"
    for option in re.findall(r"--[a-z-]+", command):
        assert option in done.stdout
    for name in ("nginx.conf", "Caddyfile"):
        assert "127.0.0.1:8080" in (DEPLOY / name).read_text()
