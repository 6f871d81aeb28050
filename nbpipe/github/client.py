"""Requests to GitHub's REST API: sent, explained, and sent again as `patience` decides.

The only module that speaks HTTP here. The token goes into one header and nowhere else: to no
other host (redirects are not followed), and never over an open line.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import requests

from nbpipe._version import __version__
from nbpipe.errors import ConfigError
from nbpipe.github.errors import GithubError, NotFound, Unclear
from nbpipe.github.patience import Trouble, pause
from nbpipe.publishing.origin.address import mask
from nbpipe.system.text import cut, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

API_VERSION = "2022-11-28"
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for an answer."""
PAGE = 100
_MOST_PAGES = 100
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SAID = 500

T = TypeVar("T")


class Credential(Protocol):
    """Whoever asks."""

    def bearer(self) -> str:
        """Return the token that a request carries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Time, as an argument."""

    now: Callable[[], float]
    """Seconds since the epoch."""
    sleep: Callable[[float], None]


class Client:
    """One GitHub; not for two threads at once.

    Args:
        url: The API's address.
        credential: Who asks.
        clock: The time.
        patience: Seconds that all requests together may wait.

    Raises:
        ConfigError: The address is none that a token may be sent to.
    """

    def __init__(self, url: str, credential: Credential, *, clock: Clock, patience: float) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ConfigError(
                f"{url}: a token is sent by https only",
                hint="Write https://…, as in GITHUB_API_URL or [github] api-url.",
            )
        self.url = url.rstrip("/")
        self.clock = clock
        self._left = patience
        self._credential = credential
        self._session = requests.Session()

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        repeatable: bool = True,
    ) -> Any:  # noqa: ANN401  (JSON)
        """Send a request until it is answered; return what its answer holds.

        Args:
            method: Of HTTP.
            path: After the API's address.
            body: Sent as JSON.
            query: Parameters in the address.
            repeatable: False: sent twice, it would be done twice.

        Raises:
            NotFound: There is no such thing, for this token.
            Unclear: Not repeatable, and it may have been done.
            GithubError: GitHub says no, or does not answer in time.
        """
        for attempt in itertools.count(1):
            found = self._once(method, path, body, query)
            if not isinstance(found, Trouble):
                return found[0]
            seconds = pause(found, attempt, self.clock.now())
            if seconds is None or seconds > self._left:
                raise self._explained(found, method, path, seconds)
            self._wait(seconds)
            if found.is_outage and not repeatable:
                raise Unclear(f"{mask(self.url)}{path}: {_said(found)}")
        raise AssertionError  # pragma: no cover  (itertools.count has no end)

    def make(self, find: Callable[[], T | None], create: Callable[[], T]) -> T:
        """Create something once: where it is unclear whether it was, look before the next try.

        Raises:
            GithubError: As `send`.
        """
        while True:
            try:
                return create()
            except Unclear:
                if (found := find()) is not None:
                    return found

    def pages(self, path: str, key: str | None = None, **query: str) -> list[Any]:
        """Return every element of a list that comes in pages.

        Args:
            path: After the API's address.
            key: Where the list is in the answer; None: it is the answer.
            query: Parameters in the address.
        """
        found: list[Any] = []
        for page in range(1, _MOST_PAGES + 1):
            answer = self.send("GET", path, query={**query, "per_page": PAGE, "page": page})
            elements = answer[key] if key else answer
            found += elements
            if len(elements) < PAGE:
                break
        return found

    def allow(self, seconds: float) -> None:
        """Let the requests from now on wait so long, all together."""
        self._left = seconds

    def _wait(self, seconds: float) -> None:
        self._left -= seconds
        self.clock.sleep(seconds)

    def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, Any] | None,
    ) -> Trouble | tuple[Any]:
        bearer = self._credential.bearer()
        try:
            answer = self._session.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=query,
                auth=_Bearer(bearer),
                headers={
                    "Accept": "application/vnd.github+json",
                    "X-GitHub-Api-Version": API_VERSION,
                    "User-Agent": f"nbpipe/{__version__}",
                },
                timeout=TIMEOUT,
                allow_redirects=False,
            )
            value = answer.json() if answer.content else None
        except requests.exceptions.JSONDecodeError:
            if answer.ok:
                return Trouble(status=None, message="the answer is not JSON")
            value = None
        except requests.RequestException as error:
            return Trouble(status=None, message=_reason(error))
        if answer.ok and not answer.is_redirect:
            return (value,)
        said = value.get("message") if isinstance(value, dict) else None
        details = value.get("errors") if isinstance(value, dict) else None
        return Trouble(
            status=answer.status_code,
            # A proxy in between may repeat what it was sent.
            message=mask(f"{said or answer.reason}{_details(details)}", (bearer,)),
            headers={name.lower(): text for name, text in answer.headers.items()},
        )

    def _explained(
        self, trouble: Trouble, method: str, path: str, seconds: float | None
    ) -> GithubError:
        where = f"{method} {mask(self.url)}{path}: {_said(trouble)}"
        if trouble.is_limit:
            when = "" if seconds is None else f"; it asks to wait {seconds:,.0f} s"
            return GithubError(
                f"{where}{when}", hint="Try again then; `[github] patience` says how long to wait."
            )
        if trouble.is_outage:
            return GithubError(
                where, hint="See https://www.githubstatus.com, and that the address is right."
            )
        kind = NotFound if trouble.status == 404 else GithubError  # noqa: PLR2004  (Not Found)
        return kind(where, hint=_HINTS.get(trouble.status or 0, ""), status=trouble.status)


_HINTS = {
    301: "The repository was renamed or moved: give its present name.",
    307: "The repository was renamed or moved: give its present name.",
    401: "The token or key is not accepted: it is wrong, expired or revoked.",
    403: "The token may not do that. It needs `statuses: write` for a status, `checks: write` for a"
    " check run (an App's, or a workflow's GITHUB_TOKEN), `pull_requests: write` for a comment.",
    404: "The repository's name is wrong, the token does not see it, or the App is not installed.",
    422: "GitHub does not know that commit (push it first), or refuses the request as it is.",
}


@dataclass(frozen=True, slots=True)
class _Bearer(requests.auth.AuthBase):
    """Puts the token into its header; with this, requests does not look into ~/.netrc."""

    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request

    def __repr__(self) -> str:
        return "<a token>"


def _said(trouble: Trouble) -> str:
    number = "" if trouble.status is None else f"{trouble.status} "
    return f"{number}{cut(plain(trouble.message), _SAID)}"


def _details(errors: object) -> str:
    if not isinstance(errors, list):
        return ""
    told = [str(each.get("message") or each) if isinstance(each, dict) else each for each in errors]
    return f" ({'; '.join(map(str, told))})"


def _reason(error: requests.RequestException) -> str:
    """Return why there was no answer, in the words of a person where there are some."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted (REQUESTS_CA_BUNDLE names another authority's)"
    if isinstance(error, requests.ConnectTimeout):
        return "it cannot be reached (time-out)"
    if isinstance(error, requests.Timeout):
        return "it does not answer (time-out)"
    if isinstance(error, requests.ConnectionError):
        return "it cannot be reached, or ended the connection"
    return f"no usable answer ({type(error).__name__})"
