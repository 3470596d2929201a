"""What every request has to pass before a page sees it: size, time, and how often its source was refused.

Slow heads end in `Deadlined`, slow and large bodies in `Doorkeeper`. Measured with 300 slow connections and a body of
50 MB; uvicorn itself waits for both for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bridge.log import crash
from bridge.web.counts import Counts

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024  # of a body
BODY_WITHIN = 10.0  # seconds
HEAD_WITHIN = 10.0
HEAD_BYTES = 16 * 1024
REFUSALS = 60  # per minute and source
MOST_SOURCES = 10_000  # that are told apart within a minute
ALWAYS_OPEN = ("/hooks/", "/healthz", "/readyz")
FORWARDED = frozenset({b"x-forwarded-for", b"forwarded"})
_BEHIND_A_PROXY = (
    "a proxy at %s forwards requests, and all who come through it count as one visitor: whoever is refused often there"
    " shuts out the others; start serve with --proxy and that address"
)


class Patience:
    """How often each source was refused in this minute."""

    def __init__(self, limit: int = REFUSALS, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._minute = 0
        self._refused: Counter[str] = Counter()

    def is_over(self, source: str) -> bool:
        """True if a source was refused too often."""
        self._turn_over()
        return self._refused[source] >= self._limit

    def count(self, source: str) -> None:
        """Put down that a source was refused."""
        self._turn_over()
        if source in self._refused or len(self._refused) < MOST_SOURCES:
            self._refused[source] += 1

    def _turn_over(self) -> None:
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._refused = minute, Counter()


class _Gone(Exception):
    """The sender has gone."""


class _Late(Exception):
    """The sender is too slow."""


class _Large(Exception):
    """The body is too large."""


class Doorkeeper:
    """Middleware: hands on whole bodies only, refuses sources that were refused too often, and hides our crashes.

    A source over its limit is answered 429. Webhooks are looked at even then, because helpdesks send for all their
    customers from the same addresses: a stranger must not be able to shut out ours. Nor to make us look ill.
    """

    def __init__(self, app: ASGIApp, counts: Counts, patience: Patience | None = None, within: float = BODY_WITHIN):
        self._app, self._counts, self._within = app, counts, within
        self._patience = patience or Patience()
        self._warned = False

    def lead_to(self, app: ASGIApp) -> None:
        """Hand requests on to another application from now on, such as one with the pages of a new rules.yaml."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        source = source_of(scope)
        if not self._warned and is_forwarded(scope):
            self._warned = True
            log.warning(_BEHIND_A_PROXY, scope["client"][0])
        is_over = self._patience.is_over(source)
        scope["refused_often"] = is_over
        if is_over and not scope["path"].startswith(ALWAYS_OPEN):
            await _refuse(429, scope, receive, send, {"Retry-After": "60"})
            status = 429
        else:
            status = await self._answer(scope, receive, send, is_over=is_over)
        if 400 <= status < 500:
            self._patience.count(source)
            self._counts.add("requests_refused_total", status=str(status))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, is_over: bool) -> int:
        """Let the page answer and return the status; a refusal of whom was refused often becomes 429."""
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if is_over and 400 <= message["status"] < 500:
                    message = {**message, "status": 429}  # refusals of webhooks have no body
                status = message["status"]
            await send(message)

        try:
            body = await self._body(scope, receive)
            await self._app(scope, _replayed(body), sending)
        except _Gone:
            return 0
        except _Large:
            await _refuse(413, scope, receive, sending)
        except _Late:
            await _refuse(408, scope, receive, sending)
        except Exception as exc:
            log.error("a request could not be answered: %s", crash(exc))
            self._counts.add("requests_crashed_total")
            if not status:
                await _refuse(500, scope, receive, sending)
        return status

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body. Raises _Large, _Late or _Gone."""
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not announced.isdigit() or len(announced) > 9 or int(announced) > MOST_BYTES:
            raise _Large
        body = bytearray()
        try:
            async with asyncio.timeout(self._within):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    body += message.get("body", b"")
                    if len(body) > MOST_BYTES:
                        raise _Large
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise _Late from None


def source_of(scope: Scope) -> str:
    """Return whom a request is counted for: an address; of IPv6 the network that one household gets."""
    host = (scope.get("client") or ("local", 0))[0]
    if ":" not in host:
        return str(host)
    try:
        return ip_address(host.partition("%")[0]).packed[:8].hex()
    except ValueError:
        return str(host)


def is_forwarded(scope: Scope) -> bool:
    """Tell whether a proxy near us sent this, of which nobody told us: we see its address, not that of its client."""
    if not any(name in FORWARDED for name, _ in scope["headers"]):
        return False
    host, port = scope.get("client") or ("", 0)
    try:
        return bool(port) and ip_address(host).is_private  # uvicorn gives a client of whom a proxy told no port
    except ValueError:
        return False


def _replayed(body: bytes) -> Receive:
    """Return a receive that hands out a body that was read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _refuse(
    status: int, scope: Scope, receive: Receive, send: Send, headers: dict[str, str] | None = None
) -> None:
    """Say no without a detail, and end the connection: what is still on its way is not read."""
    await Response(status_code=status, headers={"Connection": "close", **(headers or {})})(scope, receive, send)


class Deadlined(HttpToolsProtocol):
    """uvicorn's HTTP, which ends connections whose next request does not say all of its head, in time and in short."""

    head_within = HEAD_WITHIN
    _head_due: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        if self._head_due is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        if self._head_due is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Wait no more: from here on the doorkeeper does."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_due = self.loop.call_later(self.head_within, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None
