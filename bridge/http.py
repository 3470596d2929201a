"""One requests session for both vendor libraries: timeouts, no redirects, politeness, errors of our own.

zenpy and python-freshdesk are given this session, so that neither can retry a write, sleep through a 429, follow a
redirect with our credentials or take a login page for an empty list. Connections that were never made are tried again;
a request that may have left is not. Reading one page may be retried (`read`), a write never is.

Rate headers: Zendesk `X-Rate-Limit`, `ratelimit-*` and `zendesk-ratelimit-<name>: total=; remaining=; resets=`;
Freshdesk `X-RateLimit-*` (developers.freshdesk.com/api, developer.zendesk.com rate limits, read 2026-11-21).
"""

from __future__ import annotations

import http.client
import io
import json
import math
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError
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
WHOLE = 3  # an answer may take so many times the pause that it may make between two bytes
LARGEST = 32_000_000  # bytes of an answer, unpacked; a hundred tickets with the longest texts are a quarter of it
READ_TRIES = 4
READ_WITHIN = 45.0  # seconds for all tries of one page
WAIT_WITHOUT_WORD = timedelta(seconds=60)  # after a 429 without Retry-After
COME_AGAIN = frozenset({408, 421, 425})  # of somebody between: too slow, wrong connection, too early
MIN_WAIT = 1.0  # seconds after a 429 that asks for none, or for a time that is over
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
        except (TypeError, ValueError, OverflowError):
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
        self.remaining: int | None = None  # calls of this minute, as the helpdesk said last
        self.clock_skew: float | None = None  # seconds that our clock is ahead of the helpdesk's
        self.answered: Counter[str] = Counter()  # by status, `none` for calls without an answer; over all processes

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
        remaining = _first_int(headers, "x-rate-limit-remaining", "ratelimit-remaining", "x-ratelimit-remaining")
        if remaining is not None:
            self.remaining = remaining
        for name, value in headers.items():
            if found := _ENDPOINT_LIMIT.match(name):
                self._learn_endpoint(found["name"], value)

    def _learn_endpoint(self, name: str, value: str) -> None:
        if name.lower() == "per-ticket-updates":
            return  # belongs to one ticket, not to the account
        parts = dict(re.findall(r"(total|remaining|resets)=([0-9]{1,9})", value))
        if parts.get("remaining") == "0" and "resets" in parts:
            resets = min(timedelta(seconds=int(parts["resets"])), MAX_WAIT)
            self.stop(self.now() + resets, f"the limit for {name} is used up")

    def state(self) -> dict[str, Any]:
        """Return what the next process must know, as JSON values."""
        return {
            "limit": self.limit,
            "used_until": self.used_until.isoformat(),
            "stopped_until": self.stopped_until.isoformat() if self.stopped_until else None,
            "because": self.stopped_because,
            "remaining": self.remaining,
            "clock_skew": self.clock_skew,
            "answered": dict(self.answered),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another process stopped."""
        self.limit = int(state["limit"])
        self.used_until = datetime.fromisoformat(state["used_until"])
        stopped = state.get("stopped_until")
        self.stopped_until = datetime.fromisoformat(stopped) if stopped else None
        self.stopped_because = str(state.get("because", ""))
        self.remaining, self.clock_skew = state.get("remaining"), state.get("clock_skew")
        self.answered = Counter(state.get("answered", {}))


class _InTime(io.RawIOBase):
    """The bytes of one answer while its time lasts: a socket's own timeout begins anew with each byte."""

    def __init__(self, raw: io.RawIOBase, within: float) -> None:
        self._raw, self._ends_at = raw, time.monotonic() + within

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() >= self._ends_at:
            raise TimeoutError("the answer takes too long")
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        within = WHOLE * (sock.gettimeout() or TIMEOUT[1])
        self.fp: Any = io.BufferedReader(_InTime(self.fp.detach(), within))


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer


class _Adapter(HTTPAdapter):
    """Sends requests, straight or through a proxy, whose whole answers must come in time."""

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        pool.ConnectionCls = _SecureConnection if isinstance(pool, HTTPSConnectionPool) else _Connection
        return pool


class BridgeSession(requests.Session):
    """A session for one account and one thread; every answer but plain JSON success raises one of our errors.

    *timeout*: seconds to connect, seconds between two bytes of an answer; all of it may take WHOLE times the second.
    *largest*: bytes of an answer, unpacked.
    """

    def __init__(
        self,
        account: str,
        url: str,
        budget: Budget,
        *,
        sleep: Callable[[float], None],
        timeout: tuple[float, float] = TIMEOUT,
        largest: int = LARGEST,
    ) -> None:
        super().__init__()
        self.account = account
        self.base_url = url
        self.budget = budget
        self.sleep = sleep
        self.timeout = timeout
        self.largest = largest
        self.requests_made = 0
        self.helpdesk_time: datetime | None = None  # Date header of the last answer
        never_sent_only = Retry(
            total=None, connect=2, read=False, redirect=False, status=False, other=False,
            respect_retry_after_header=False, raise_on_status=False, backoff_factor=0.2,
        )  # fmt: skip
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(max_retries=never_sent_only))
        self.headers["User-Agent"] = "recovery-bridge"
        self.headers["Accept"] = "application/json"
        self.hooks["response"].append(self._check)
        # Proxies and certificates as the environment names them: asked here once, by requests for every call.
        found = self.merge_environment_settings(url, {}, None, None, None)
        self.proxies, self.verify, self.trust_env = found["proxies"], found["verify"], False

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        """Send one request to this account's host, never to another.

        Raises Throttled or WrongHost before anything is sent; Unreachable, CredentialsRefused or Refused by what comes
        back.
        """
        target = self.target(str(url))
        if options.get("timeout") is None:
            options["timeout"] = self.timeout
        options["allow_redirects"] = False
        if wait := self.budget.admit():
            self.sleep(wait)
        self.requests_made += 1
        try:
            return super().request(method, target, *args, **options)
        except (requests.RequestException, HTTPError, UnicodeError) as exc:  # requests lets some of urllib3's through
            where = f"{self.account}: {str(method).upper()} {_path(target)}"
            self.budget.answered["none"] += 1
            raise Unreachable(f"{where}: {_transport_trouble(exc, self.timeout)}") from exc

    def target(self, url: str) -> str:
        """Return the whole address. Raises WrongHost if it is not on our own host: a link may come from anywhere."""
        try:
            target = urljoin(self.base_url + "/", url)
            there, ours = urlsplit(target), urlsplit(self.base_url)
        except ValueError as exc:
            raise WrongHost(f"{self.account}: the helpdesk names an address that cannot be read") from exc
        if (there.scheme, there.netloc.lower()) != (ours.scheme, ours.netloc.lower()):
            raise WrongHost(f"{self.account}: {there.path}: will not send credentials to {_host(target)}")
        return target

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
        where = f"{self.account}: {response.request.method} {_path(response.url)}"
        body = _read(response, where, self.largest)  # to its end, so that the connection is free whatever comes
        now = self.budget.now()
        self.budget.answered[str(response.status_code)] += 1
        self.budget.learn(response.headers)
        if date := response.headers.get("Date"):
            try:
                self.helpdesk_time = parsedate_to_datetime(date).astimezone(UTC)
                self.budget.clock_skew = (now - self.helpdesk_time).total_seconds()
            except (ValueError, OverflowError):
                self.helpdesk_time = None
        status = response.status_code
        if status < 200:  # the real answer may still come, and must not be taken for that to the next request
            self.close()
            raise Unreachable(f"{where}: {status} instead of an answer")
        if status == 429:
            told = retry_after(response.headers.get("Retry-After"), self.helpdesk_time or now)
            until = now + (timedelta(seconds=max(told, MIN_WAIT)) if told is not None else WAIT_WITHOUT_WORD)
            self.budget.stop(until, f"the helpdesk asked us to wait until {until:%H:%M:%S}Z")
            raise Throttled(f"{where}: 429, the helpdesk asks us to wait until {until:%H:%M:%S}Z", until=until)
        if status >= 500 or status in COME_AGAIN:
            told = retry_after(response.headers.get("Retry-After"), self.helpdesk_time or now)
            raise Unreachable(f"{where}: {status} from the helpdesk", retry_after=told)
        if status in (401, 403):
            todo = "are the secrets of this account right?" if status == 401 else "has our user the role that it needs?"
            raise CredentialsRefused(f"{where}: {status}{_said(response)}; {todo}", status=status)
        if 300 <= status < 400:
            target = _host(response.headers.get("Location", ""))
            raise WrongHost(f"{where}: redirected to {target}; is the url of this account right?")
        if status >= 400:
            kind = {404: NotFound, 409: Conflict}.get(status, Refused)
            details = error_details(response)
            said = "; ".join(_without_names(details)) or response.reason
            raise kind(f"{where}: {status} {said}", status=status, details=details)
        try:
            response.__dict__["parsed"] = json.loads(body) if body.strip() else None
        except (ValueError, RecursionError) as exc:
            what = "something that is not JSON, or not all of it (a login or maintenance page?)"
            raise Unreachable(f"{where}: {status} with {what}") from exc


def _read(response: requests.Response, where: str, largest: int) -> bytes:
    """Read an answer to its end, unpacked. Raises Unreachable if it is larger than *largest* bytes."""
    body = bytearray()
    for part in response.iter_content(65536):
        body += part
        if len(body) > largest:
            response.close()
            raise Unreachable(f"{where}: an answer of more than {largest / 1_000_000:g} MB")
    response._content = bytes(body)  # where requests keeps it, too
    return response._content


def parsed(response: requests.Response) -> Any:
    """Return the JSON of a response that this session has checked, without reading it twice."""
    return response.__dict__["parsed"]


def error_details(response: requests.Response) -> tuple[str, ...]:
    """Return a helpdesk's own words about an error, one `field: text` each, bounded; () if it has none."""
    try:
        return tuple(text[:200] for text in _flatten(json.loads(response.content)))[:8]
    except (ValueError, RecursionError):
        return ()


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


def _host(url: str) -> str:
    """Return the host of an address that a helpdesk named, without name and password."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "nowhere"
    except ValueError:
        return "nowhere"


def _transport_trouble(exc: Exception, timeout: tuple[float, float]) -> str:
    connect, silence = timeout
    if isinstance(exc, requests.ConnectTimeout):
        return f"no connection within {connect:g} s"
    if isinstance(exc, requests.Timeout) or any(isinstance(cause, ReadTimeoutError) for cause in exc.args):
        return f"no answer within {silence:g} s, or not all of it within {WHOLE * silence:g} s"
    if isinstance(exc, requests.exceptions.SSLError):
        return "the certificate of the helpdesk is not accepted"
    if isinstance(exc, requests.exceptions.ChunkedEncodingError):
        return "the answer broke off"
    if isinstance(exc, requests.ConnectionError):
        return "no connection, or it broke; is the url of this account right?"
    return f"an answer that cannot be read ({type(exc).__name__})"


def _first_int(headers: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        value = headers.get(name, "")
        if re.fullmatch("[0-9]{1,9}", value):
            return int(value)
    return None
