"""A proxy that misbehaves on order, between a connector and a helpdesk that is served on loopback.

It passes every request on and every answer back, unless an order stands against the request. A misbehaviour is a
function of one `Exchange`: what it does with the request and with the connection is all that the connector sees.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, NoReturn
from urllib.parse import urlsplit

from werkzeug import Request, Response

from connectors.sandbox.server import serve

ALWAYS = 1_000_000
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding")
Misbehaviour = Callable[["Exchange"], object]


class Over(Exception):
    """Raised to end a connection."""


@dataclass(frozen=True)
class Answer:
    """What the helpdesk said, or what somebody between says in its place."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def head(self) -> bytes:
        """The bytes up to the body; a length is stated only by the headers."""
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'X')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    @property
    def whole(self) -> bytes:
        """All bytes."""
        return self.head + self.body

    def but(self, body: bytes | None = None, **headers: str | None) -> Answer:
        """Return an answer with another body of the stated length, and other headers; None leaves one out."""
        body = self.body if body is None else body
        changed = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        changed.setdefault("content-length", str(len(body)))
        kept = [(name, value) for name, value in self.headers if name.lower() not in changed]
        return Answer(self.status, [*kept, *((name, value) for name, value in changed.items() if value)], body)


def saying(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Return an answer that no helpdesk gave."""
    return Answer(status, (), body).but(**headers)


class Exchange:
    """One request on its way, and the connection that it came on."""

    def __init__(self, connection: socket.socket, method: str, path: str, pass_on: Callable[[], Answer]) -> None:
        self.connection = connection
        self.method, self.path = method, path
        self.pass_on = pass_on  # let the helpdesk do it, and take its answer

    def say(self, *data: bytes, every: float = 0.0) -> None:
        """Send bytes back, with a pause before each but the first."""
        for number, part in enumerate(data):
            if number and every:
                self.wait(every)
            self.connection.sendall(part)

    def wait(self, seconds: float) -> None:
        """Let time pass; ends with the connection if the other side has had enough."""
        self.connection.settimeout(seconds)
        with suppress(TimeoutError):
            self.connection.recv(1)
            raise Over
        self.connection.settimeout(None)

    def hold(self) -> NoReturn:
        """Say nothing more until the other side has had enough."""
        self.connection.recv(1)
        raise Over

    def close(self) -> NoReturn:
        """End the connection as a server does."""
        raise Over

    def reset(self) -> NoReturn:
        """Break the connection: the other side gets a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        os.close(self.connection.detach())
        raise Over


@dataclass
class Order:
    """A misbehaviour for the next requests of a method whose path contains *path*."""

    deed: Misbehaviour
    method: str
    path: str
    times: int

    def is_for(self, method: str, path: str) -> bool:
        """True if it stands against such a request."""
        return self.times > 0 and self.method in ("", method) and self.path in path


class Proxy(ThreadingTCPServer):
    """The proxy before one helpdesk. *happened* are the methods and paths that met an order."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, helpdesk: str) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.helpdesk = urlsplit(helpdesk).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.orders: list[Order] = []
        self.happened: list[tuple[str, str]] = []
        self.open: set[socket.socket] = set()

    def order(self, deed: Misbehaviour, path: str = "", method: str = "", times: int = 1) -> None:
        """Misbehave at the next *times* requests that fit."""
        self.orders.append(Order(deed, method, path, times))

    def peace(self) -> None:
        """Take back every order, and forget what happened."""
        self.orders, self.happened = [], []

    def due(self, method: str, path: str) -> Order | None:
        """Return the order against a request and count it."""
        found = next((order for order in self.orders if order.is_for(method, path)), None)
        if found:
            found.times -= 1
            self.happened.append((method, path))
        return found

    def end(self) -> None:
        """Break every connection."""
        self.shutdown()
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Connection(StreamRequestHandler):
    """One connection from the connector, with one of its own to the helpdesk."""

    disable_nagle_algorithm = True
    server: Proxy

    def handle(self) -> None:
        self.server.open.add(self.connection)
        self.helpdesk = http.client.HTTPConnection(self.server.helpdesk)
        with suppress(Over, OSError):
            while line := self.rfile.readline().decode("latin-1").split():
                self.exchange(*line[:2])

    def exchange(self, method: str, path: str) -> None:
        headers = http.client.parse_headers(self.rfile)
        body = self.rfile.read(int(headers.get("Content-Length", 0)))

        def pass_on() -> Answer:
            self.helpdesk.request(method, path, body, dict(headers))
            got = self.helpdesk.getresponse()
            kept = [(name, value) for name, value in got.getheaders() if name.lower() not in HOP_BY_HOP]
            return Answer(got.status, kept, got.read())

        exchange = Exchange(self.connection, method, path, pass_on)
        if order := self.server.due(method, path):
            order.deed(exchange)
        else:
            exchange.say(exchange.pass_on().whole)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        self.helpdesk.close()
        with suppress(OSError):
            super().finish()


@contextmanager
def between(helpdesk: str) -> Iterator[Proxy]:
    """Put a proxy before the helpdesk at this address while the block lasts."""
    proxy = Proxy(helpdesk)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join()


@contextmanager
def stranger() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve a host that is nobody's helpdesk; gives its address and the headers of every request that reaches it."""
    reached: list[dict[str, str]] = []

    def app(environ: Any, start_response: Any) -> Any:
        reached.append(dict(Request(environ).headers))
        return Response("{}", content_type="application/json")(environ, start_response)

    with serve(app) as url:
        yield url, reached
