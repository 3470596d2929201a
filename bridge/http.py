"""One requests session for both vendor libraries: timeouts, no redirects, politeness, errors of our own.

zenpy and python-freshdesk are given this session, so that neither can retry a write, sleep through a 429, follow a
redirect with our credentials or take a login page for an empty list. Connections that were never made are tried again;
a request that may have left is not. Reading one page may be retried (`read`), a write never is.

Rate headers: Zendesk `X-Rate-Limit`, `ratelimit-*` and `zendesk-ratelimit-<name>: total=; remaining=; resets=`;
Freshdesk `X-RateLimit-*` (developers.freshdesk.com/api, developer.zendesk.com rate limits, read 2026-11-21).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from bridge.errors import (
    Conflict,
    CredentialsRefused,
    NotFound,
    Refused,
    SettingsError,
    Throttled,
    Unreachable,
    WrongHost,
)

Clock = Callable[[], datetime]

TIMEOUT = (5.0, 20.0)  # seconds to connect, seconds between two bytes of the answer
READ_TRIES = 4
READ_WITHIN = 45.0  # seconds for all tries of one page
WAIT_WITHOUT_WORD = timedelta(seconds=60)  # after a 429 without Retry-After
MAX_WAIT = timedelta(hours=1)  # what we believe of a Retry-After; later calls will be told again
PATIENCE = 5.0  # seconds that a call waits for its turn before it gives the account up for now
LIMIT_BEFORE_HEADERS = 200  # requests per minute of the smallest paid plans of both vendors
_ENDPOINT_LIMIT = re.compile(r"^zendesk-rate-?limit-(?!inflight)(?P<name>.+)$", re.IGNORECASE)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check_url(account: str, url: str, suffix: str) -> str:
    """Return *url* without its trailing slash if it is a safe base address.

    Raises SettingsError unless it is https on a host below *suffix*, or any address on the loopback interface.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise SettingsError(f"{account}: url {url!r} must be only https:// and a host name")
    if host in LOOPBACK and parts.scheme in ("http", "https"):
        return url.rstrip("/")
    if parts.scheme != "https":
        raise SettingsError(f"{account}: url {url!r} must begin with https:// (plain http is for this machine only)")
    if not host.endswith(suffix) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", host[: -len(suffix)]):
        raise SettingsError(f"{account}: url {url!r} is not a host below {suffix}; write https://YOUR-NAME{suffix}")
    return url.rstrip("/")


def retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, in seconds or as a date; None if it is absent or unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (when - now).total_seconds()
    return min(max(0.0, seconds), MAX_WAIT.total_seconds()) if not math.isnan(seconds) else None


class Budget:
    """How many calls one account may take: a share of the vendor's limit per minute, and never while told to wait.

    A leaky bucket (GCRA): a minute's share may be used at once, after that calls are spaced evenly. The limit follows
    the vendor's headers, so a change of plan needs no setting.
    """

    def __init__(self, account: str, now: Clock, share: float = 0.5) -> None:
        self.account = account
        self.now = now
        self.share = share
        self.limit = LIMIT_BEFORE_HEADERS
        self.used_until = datetime.min.replace(tzinfo=UTC)  # GCRA's theoretical arrival time
        self.stopped_until: datetime | None = None
        self.stopped_because = ""

    def admit(self) -> float:
        """Count one call and return how many seconds to wait before making it, at most PATIENCE.

        Raises Throttled if it would have to wait longer, or if the helpdesk told us to stay away.
        """
        now = self.now()
        if self.stopped_until and now < self.stopped_until:
            raise Throttled(f"{self.account}: {self.stopped_because}", until=self.stopped_until)
        spacing = timedelta(minutes=1) / max(1.0, self.limit * self.share)
        begun = min(max(self.used_until, now), now + timedelta(minutes=2))  # a clock set back must not stop us
        after = begun + spacing
        wait = (after - now - timedelta(minutes=1)).total_seconds()
        if wait > PATIENCE:
            until = now + timedelta(seconds=wait)
            spent = f"{self.account}: our share of the rate limit is used up until {until:%H:%M:%S}Z"
            raise Throttled(spent, until=until)
        self.used_until = after
        return max(0.0, wait)

    def stop(self, until: datetime, because: str) -> None:
        """Make no call before *until*."""
        if self.stopped_until is None or until > self.stopped_until:
            self.stopped_until, self.stopped_because = until, because

    def learn(self, headers: Mapping[str, str]) -> None:
        """Follow the limits that an answer states."""
        limit = _first_int(headers, "x-rate-limit", "ratelimit-limit", "x-ratelimit-total")
        if limit:
            self.limit = limit
        for name, value in headers.items():
            if found := _ENDPOINT_LIMIT.match(name):
                self._learn_endpoint(found["name"], value)

    def _learn_endpoint(self, name: str, value: str) -> None:
        if name.lower() == "per-ticket-updates":
            return  # belongs to one ticket, not to the account
        parts = dict(re.findall(r"(total|remaining|resets)=(\d+)", value))
        if parts.get("remaining") == "0" and "resets" in parts:
            self.stop(self.now() + timedelta(seconds=int(parts["resets"])), f"the limit for {name} is used up")

    def state(self) -> dict[str, Any]:
        """Return what the next process must know, as JSON values."""
        return {
            "limit": self.limit,
            "used_until": self.used_until.isoformat(),
            "stopped_until": self.stopped_until.isoformat() if self.stopped_until else None,
            "because": self.stopped_because,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another process stopped."""
        self.limit = int(state["limit"])
        self.used_until = datetime.fromisoformat(state["used_until"])
        stopped = state.get("stopped_until")
        self.stopped_until = datetime.fromisoformat(stopped) if stopped else None
        self.stopped_because = str(state.get("because", ""))


class BridgeSession(requests.Session):
    """A session for one account and one thread; every answer but plain JSON success raises one of our errors."""

    def __init__(self, account: str, url: str, budget: Budget, *, sleep: Callable[[float], None]) -> None:
        super().__init__()
        self.account = account
        self.base_url = url
        self.budget = budget
        self.sleep = sleep
        self.requests_made = 0
        self.helpdesk_time: datetime | None = None  # Date header of the last answer
        never_sent_only = Retry(
            total=None, connect=2, read=False, redirect=False, status=False, other=False,
            respect_retry_after_header=False, raise_on_status=False, backoff_factor=0.2,
        )  # fmt: skip
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(max_retries=never_sent_only))
        self.headers["User-Agent"] = "recovery-bridge"
        self.headers["Accept"] = "application/json"
        self.hooks["response"].append(self._check)
        # Proxies and certificates as the environment names them: asked here once, by requests for every call.
        found = self.merge_environment_settings(url, {}, None, None, None)
        self.proxies, self.verify, self.trust_env = found["proxies"], found["verify"], False

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        """Send one request to this account's host, never to another.

        Raises Throttled before anything is sent; Unreachable, CredentialsRefused or Refused by what comes back.
        """
        target = urljoin(self.base_url + "/", str(url))
        if urlsplit(target)[:2] != urlsplit(self.base_url)[:2]:
            raise Unreachable(
                f"{self.account}: {_path(target)}: will not send credentials to {urlsplit(target).netloc}"
            )
        if options.get("timeout") is None:
            options["timeout"] = TIMEOUT
        options["allow_redirects"] = False
        if wait := self.budget.admit():
            self.sleep(wait)
        self.requests_made += 1
        try:
            return super().request(method, target, *args, **options)
        except (requests.RequestException, UnicodeError) as exc:
            where = f"{self.account}: {str(method).upper()} {_path(target)}"
            raise Unreachable(f"{where}: {_transport_trouble(exc)}") from exc

    def get(self, url: str | bytes, **options: Any) -> requests.Response:
        """Send one GET; requests' own version would follow redirects."""
        return self.request("GET", url, **options)

    def read(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of one GET; transient trouble is tried again within a deadline."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay
        from tenacity.wait import wait_random_exponential

        backoff = wait_random_exponential(multiplier=0.5, max=8)

        def wait(state: Any) -> float:
            told = getattr(state.outcome.exception(), "retry_after", None)
            return float(told) if told is not None else backoff(state)

        for attempt in Retrying(
            retry=retry_if_exception(lambda exc: isinstance(exc, Unreachable) and not isinstance(exc, WrongHost)),
            stop=stop_after_attempt(READ_TRIES) | stop_before_delay(READ_WITHIN),
            wait=wait,
            sleep=self.sleep,
            reraise=True,
        ):
            with attempt:
                return parsed(self.get(path, params=params))
        raise AssertionError("tenacity always returns or raises")  # pragma: no cover

    def write(self, method: str, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Send one write once and return the JSON of its answer, or None where it has no body."""
        return parsed(self.request(method, path, json=body, headers=headers))

    def _check(self, response: requests.Response, *_: Any, **__: Any) -> None:
        body = response.content  # read to its end, so that the connection is free again whatever comes
        now = self.budget.now()
        self.budget.learn(response.headers)
        if date := response.headers.get("Date"):
            try:
                self.helpdesk_time = parsedate_to_datetime(date).astimezone(UTC)
            except ValueError:
                self.helpdesk_time = None
        where = f"{self.account}: {response.request.method} {_path(response.url)}"
        status = response.status_code
        if status == 429:
            told = retry_after(response.headers.get("Retry-After"), self.helpdesk_time or now)
            until = now + (timedelta(seconds=told) if told is not None else WAIT_WITHOUT_WORD)
            self.budget.stop(until, f"the helpdesk asked us to wait until {until:%H:%M:%S}Z")
            raise Throttled(f"{where}: 429, the helpdesk asks us to wait until {until:%H:%M:%S}Z", until=until)
        if status >= 500:
            told = retry_after(response.headers.get("Retry-After"), self.helpdesk_time or now)
            raise Unreachable(f"{where}: {status} from the helpdesk", retry_after=told)
        if status in (401, 403):
            todo = "are the secrets of this account right?" if status == 401 else "has our user the role that it needs?"
            raise CredentialsRefused(f"{where}: {status}{_said(response)}; {todo}", status=status)
        if 300 <= status < 400:
            target = urlsplit(response.headers.get("Location", "")).netloc
            raise WrongHost(f"{where}: redirected to {target or 'nowhere'}; is the url of this account right?")
        if status >= 400:
            kind = {404: NotFound, 409: Conflict}.get(status, Refused)
            details = error_details(response)
            said = "; ".join(_without_names(details)) or response.reason
            raise kind(f"{where}: {status} {said}", status=status, details=details)
        try:
            response.__dict__["parsed"] = response.json() if body.strip() else None
        except ValueError as exc:
            what = "something that is not JSON, or not all of it (a login or maintenance page?)"
            raise Unreachable(f"{where}: {status} with {what}") from exc


def parsed(response: requests.Response) -> Any:
    """Return the JSON of a response that this session has checked, without reading it twice."""
    return response.__dict__["parsed"]


def error_details(response: requests.Response) -> tuple[str, ...]:
    """Return a helpdesk's own words about an error, one `field: text` each, bounded; () if it has none."""
    try:
        body = response.json()
    except ValueError:
        return ()
    return tuple(text[:200] for text in _flatten(body))[:8]


def _flatten(body: Any, name: str = "") -> list[str]:
    """Find the words in the error bodies of both vendors, which are strings, lists and objects by turns."""
    if isinstance(body, str):
        return [f"{name}: {body}" if name else body]
    if isinstance(body, list):
        return [line for item in body for line in _flatten(item, name)]
    if not isinstance(body, dict):
        return []
    if isinstance(body.get("message"), str) and "field" in body:  # Freshdesk: {field, message, code}
        return [f"{body['field']}: {body['message']} ({body.get('code', '')})"]
    if "title" in body or "code" in body:  # JSON:API, and Freshdesk's {code, message}
        words = (body.get("code"), body.get("title"), body.get("message"), body.get("detail"))
        return [" ".join(str(word) for word in words if isinstance(word, str))]
    return [line for key, value in body.items() for line in _flatten(value, name or _topic(key))]


def _topic(key: str) -> str:
    return "" if key in ("error", "errors", "details", "description", "message") else key


def _without_names(details: Iterable[str]) -> list[str]:
    """Return the words of a helpdesk without those that name a customer."""
    return [detail if not detail.lower().startswith("requester") else "requester: not accepted" for detail in details]


def _said(response: requests.Response) -> str:
    details = error_details(response)
    return f" ({details[0]})" if details else ""


def _path(url: str) -> str:
    """Return the path alone: a query may hold what must not be logged."""
    return urlsplit(url).path


def _transport_trouble(exc: Exception) -> str:
    if isinstance(exc, requests.ConnectTimeout):
        return f"no connection within {TIMEOUT[0]:g} s"
    if isinstance(exc, requests.Timeout):
        return f"no answer within {TIMEOUT[1]:g} s"
    if isinstance(exc, requests.exceptions.SSLError):
        return "the certificate of the helpdesk is not accepted"
    if isinstance(exc, requests.ConnectionError):
        return "no connection, or it broke; is the url of this account right?"
    return type(exc).__name__


def _first_int(headers: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        value = headers.get(name, "")
        if value.isdigit():
            return int(value)
    return None
