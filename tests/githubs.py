"""A GitHub on loopback that judges every request by GitHub's published OpenAPI description.

Its answers are the description's own examples, with what it was told filled in. It forgets,
delays and breaks off on demand. What it cannot know (which permissions a token has) it does not.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
from browser import NODE
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ondisk import lacking
from referencing import Registry
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DESCRIPTION = NODE / "node_modules/@octokit/openapi/generated/api.github.com.json"
TOKEN = "ghp_secretsecretsecretsecretsecret00"  # noqa: S105  (of these tests)
INSTALLED = "ghs_installedinstalledinstalled0000"
REPOSITORY = "octo-org/notebooks"
SHA = "0123456789abcdef0123456789abcdef01234567"
_NAME = "urn:github"
_ANY = "[0-9a-f]{40}"


@cache
def description() -> dict[str, Any]:
    """Return GitHub's description of its API."""
    if not DESCRIPTION.is_file():
        lacking(f"npm's @octokit/openapi in {NODE}")
    return dict(json.loads(DESCRIPTION.read_bytes()))


@cache
def _registry() -> Any:  # noqa: ANN401  (attrs' class)
    resource = DRAFT202012.create_resource(description())
    return Registry().with_resource(_NAME, resource)


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = description()
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


def _operation(request: Request) -> tuple[str, dict[str, Any]] | None:
    """Return the path as described and the operation of a request."""
    found = []
    for template, item in description()["paths"].items():
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, request.path) and request.method.lower() in item:
            found.append((template.count("{"), template, item[request.method.lower()]))
    return min(found, key=lambda each: each[0])[1:] if found else None


def problems(request: Request) -> list[str]:
    """Return what is wrong with a request, by the description."""
    where = f"{request.method} {request.path}"
    operation = _operation(request)
    if operation is None:
        return [f"{where}: there is no such operation"]
    template, described = operation
    wrong = [f"{where}: the header {name}: {request.headers.get(name)!r}" for name in _bad(request)]
    parameters = [_resolved(each) for each in described.get("parameters", [])]
    known = {each["name"]: each for each in parameters if each["in"] == "query"}
    for name, value in request.query.items():
        schema = known.get(name, {}).get("schema")
        if schema is None:
            wrong.append(f"{where}: the parameter {name} is unknown")
            continue
        typed = int(value) if schema.get("type") == "integer" else value
        wrong += [f"{where}: {name}: {each.message}" for each in _checked(schema, typed)]
    return wrong + _wrong_body(where, template, described, request)


def _bad(request: Request) -> Iterator[str]:
    """Yield the headers that are not as GitHub's documentation asks for them."""
    expected = {
        "accept": r"application/vnd\.github\+json",
        "x-github-api-version": r"2022-11-28",
        "user-agent": r"nbpipe/.+",
        "authorization": r"Bearer \S+",
    }
    for name, pattern in expected.items():
        if not re.fullmatch(pattern, request.headers.get(name, "")):
            yield name


def _wrong_body(
    where: str, template: str, described: dict[str, Any], request: Request
) -> Iterator[str] | list[str]:
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    if request.body is None:
        missing = described.get("requestBody", {}).get("required", False)
        return [f"{where}: the body is missing"] if missing else []
    if content is None:
        return [f"{where}: takes no body"]
    pointer = template.replace("~", "~0").replace("/", "~1").replace("{", "%7B")
    pointer = pointer.replace("}", "%7D")
    reference = (
        f"{_NAME}#/paths/{pointer}/{request.method.lower()}"
        "/requestBody/content/application~1json/schema"
    )
    wrong = [
        f"{where}: {each.json_path}: {each.message[:300]}"
        for each in _checked({"$ref": reference}, request.body)
    ]
    extra = set(request.body) - set(content["schema"]["properties"])
    return wrong + [f"{where}: the key {name} is unknown" for name in sorted(extra)]


def _checked(schema: dict[str, Any], value: object) -> list[Any]:
    return list(Draft202012Validator(schema, registry=_registry()).iter_errors(value))


def example(name: str) -> Any:  # noqa: ANN401  (JSON)
    """Return one of the description's examples."""
    return deepcopy(description()["components"]["examples"][name]["value"])


@dataclass(frozen=True)
class Fault:
    """What one request gets instead of its answer."""

    status: int = 0
    """0: the connection is cut."""
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    done: bool = False
    """What was asked for is done all the same."""


UNDISTURBED = Fault(status=-1)
"""The request gets its answer."""


@dataclass
class Github:
    """What the server was asked, what it has, and what it does next."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    """For the next requests, one each."""
    checks: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    app_key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(65537, 2048), repr=False
    )

    @property
    def pem(self) -> str:
        """Return the App's private key."""
        return self.app_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()

    def calls(self, method: str) -> list[str]:
        """Return the paths that were asked by that method."""
        return [each.path for each in self.requests if each.method == method]

    def answer(self, request: Request) -> tuple[int, Any]:
        """Return status and body of an answer."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.path.endswith(("/installation", "/access_tokens")):
            return self._as_app(request, token)
        if token not in {TOKEN, INSTALLED}:
            return 401, {"message": "Bad credentials"}
        for pattern, answer in (
            (r"GET /user", self._user),
            (
                rf"(GET|POST) /repos/{REPOSITORY}/(commits|statuses)/{_ANY}(/statuses)?",
                self._status,
            ),
            (rf"POST /repos/{REPOSITORY}/check-runs", self._new_check),
            (rf"(GET|PATCH) /repos/{REPOSITORY}/check-runs/(\d+)", self._check),
            (rf"GET /repos/{REPOSITORY}/commits/{_ANY}/check-runs", self._list_checks),
            (rf"(GET|POST) /repos/{REPOSITORY}/issues/42/comments", self._all_comments),
            (rf"PATCH /repos/{REPOSITORY}/issues/comments/(\d+)", self._comment),
        ):
            if re.fullmatch(pattern, f"{request.method} {request.path}"):
                return answer(request, token)
        return 404, {"message": "Not Found"}

    def _as_app(self, request: Request, token: str) -> tuple[int, Any]:
        claims = jwt.decode(token, self.app_key.public_key(), algorithms=["RS256"], issuer="Iv1.a")
        assert claims["exp"] - claims["iat"] <= 600
        if request.method == "GET":
            return 200, example("installation") | {"id": 7}
        assert request.path == "/app/installations/7/access_tokens"
        until = {"token": INSTALLED, "expires_at": "2999-07-11T22:14:10Z"}
        return 201, example("installation-token") | until

    def _user(self, _: Request, token: str) -> tuple[int, Any]:
        if token == INSTALLED:
            return 403, {"message": "Resource not accessible by integration"}
        name = "private-user-response-with-public-and-private-profile-information"
        return 200, example(name) | {"login": "nightly"}

    def _status(self, request: Request, _: str) -> tuple[int, Any]:
        if request.method == "GET":
            return 200, self.statuses[::-1]
        self.statuses.append(example("status") | request.body)
        return 201, self.statuses[-1]

    def _new_check(self, request: Request, token: str) -> tuple[int, Any]:
        if token != INSTALLED:
            return 403, {"message": "You must authenticate via a GitHub App."}
        number = len(self.checks) + 1
        page = f"https://github.example/{REPOSITORY}/runs/{number}"
        new = example("check-run-example-of-in-progress-conclusion")
        self.checks.append(new | request.body | {"id": number, "html_url": page})
        self._output(self.checks[-1], request.body.get("output", {}))
        return 201, self.checks[-1]

    def _check(self, request: Request, _: str) -> tuple[int, Any]:
        found = self.checks[int(request.path.rpartition("/")[2]) - 1]
        if request.method == "PATCH":
            body = dict(request.body)
            output = body.pop("output", {})
            found.update(body)
            self._output(found, output)
        return 200, found

    def _output(self, check: dict[str, Any], output: dict[str, Any]) -> None:
        output = dict(output)  # the request stays as it came
        self.annotations += output.pop("annotations", [])
        old = check.get("output", {})
        check["output"] = old | output | {"annotations_count": len(self.annotations)}

    def _list_checks(self, request: Request, _: str) -> tuple[int, Any]:
        named = [each for each in self.checks if each["name"] == request.query["check_name"]]
        return 200, {"total_count": len(named), "check_runs": named[::-1]}

    def _all_comments(self, request: Request, token: str) -> tuple[int, Any]:
        if request.method == "GET":
            start = (int(request.query["page"]) - 1) * int(request.query["per_page"])
            return 200, self.comments[start : start + int(request.query["per_page"])]
        bot = token == INSTALLED
        user = {"login": "nbpipe[bot]" if bot else "nightly", "type": "Bot" if bot else "User"}
        self.add_comment(request.body["body"], user)
        return 201, self.comments[-1]

    def add_comment(self, body: str, user: dict[str, str]) -> None:
        """Add a comment of somebody."""
        new = example("issue-comment")
        page = f"https://github.example/{REPOSITORY}/pull/42#{len(self.comments) + 1}"
        number = len(self.comments) + 1
        mine = {"id": number, "body": body, "html_url": page, "user": new["user"] | user}
        self.comments.append(new | mine)

    def _comment(self, request: Request, _: str) -> tuple[int, Any]:
        found = self.comments[int(request.path.rpartition("/")[2]) - 1]
        found["body"] = request.body["body"]
        return 200, found


class _Handler(BaseHTTPRequestHandler):
    github: Github
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            body=json.loads(text) if text else None,
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        github = self.github
        github.requests.append(request)
        github.problems += problems(request)
        fault = github.faults.popleft() if github.faults else None
        if fault == UNDISTURBED:
            fault = None
        status, body = (0, None)
        if fault is None or fault.done:
            status, body = github.answer(request)
        headers: dict[str, str] = {}
        if fault is not None:
            status, body, headers = fault.status, fault.body, fault.headers
        if status == 0:
            self.close_connection = True
            return
        self._send(status, body, headers)

    def _send(self, status: int, body: object, headers: dict[str, str]) -> None:
        text = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815  (http.server's)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Github]:
    """Give a GitHub; at the end every request must have been as described."""
    description()
    github = Github()
    handler = type("Handler", (_Handler,), {"github": github})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    github.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
    assert github.problems == []


def report(path: Path, failures: int, **run: Any) -> Path:  # noqa: ANN401  (JSON)
    """Write the JSON report of a run with so many failures."""
    failure = {
        "category": "exception",
        "cell": 2,
        "cell_id": None,
        "name": "ValueError",
        "message": "50%, \x1b[31ma|b\n@octocat ```",
        "traceback": "Traceback\nValueError: 50%",
        "signature": "ValueError: <n>%",
        "source": "1/0",
        "line": 17,
    }
    notebooks = [
        {
            "path": f"n{number}.ipynb",
            "outcome": "failed",
            "reason": None,
            "kernel": "python3",
            "seconds": 1.5,
            "attempts": 1,
            "cells": {"total": 3, "executed": 2},
            "failure": failure,
            "executed": None,
            "log": None,
            "memory": None,
            "notes": [],
        }
        for number in range(failures)
    ]
    about = {
        "id": "20260131T120000-a3e82e",
        "started": "2026-01-31T12:00:00Z",
        "seconds": 3.0,
        "commit": SHA,
        "host": "h",
        "version": "1",
        "python": "3.11.7",
        "jobs": 2,
        "interrupted": False,
        "output_dir": "/out",
    }
    document = {"format": 1, "run": about | run, "notebooks": notebooks, "excluded": []}
    path.write_text(json.dumps(document))
    return path
