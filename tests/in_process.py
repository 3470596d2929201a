"""The company without sockets: requests reach its desks by a call, which halves what a story costs.

Only the line is left out. Connectors, both vendor libraries, `bridge.http` and the desks are the real ones; faults that
break the line or spoil an answer do the same here, but for those that take real time. Stories about the line itself are
told over HTTP: test_delivery.py, test_engine.py, test_contract.py and the commands.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from bridge.app import App
from bridge.rules import Rules
from bridge.store import Store
from connectors.sandbox.company import Company, founded
from connectors.sandbox.server import serve


class Call(BaseAdapter):  # type: ignore[misc]
    """Hands the requests of a session to a WSGI application."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Return the answer. Raises requests.ConnectionError where the desk breaks the connection."""
        response = requests.Response()
        response.request, response.url = request, str(request.url)

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            response.status_code, response.reason = int(status[:3]), status[4:]
            response.headers = CaseInsensitiveDict(headers)

        try:
            response.raw = io.BytesIO(b"".join(self.app(environ_of(request), start)))
        except ConnectionResetError as exc:
            raise requests.ConnectionError(exc) from exc
        return response

    def close(self) -> None:
        """Nothing is open."""


def environ_of(request: requests.PreparedRequest) -> dict[str, Any]:
    """Return a request as WSGI sees it."""
    parts, body = urlsplit(str(request.url)), request.body or b""
    body = body.encode() if isinstance(body, str) else body
    return {
        "REQUEST_METHOD": request.method, "SCRIPT_NAME": "", "PATH_INFO": unquote(parts.path),
        "QUERY_STRING": parts.query, "SERVER_NAME": parts.hostname, "SERVER_PORT": str(parts.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.multithread": False,
        "wsgi.multiprocess": False, "wsgi.run_once": False, "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()},
    }  # fmt: skip


class Nearby(Company):
    """A company whose bridge reaches its desks without a socket."""

    @contextmanager
    def bridge(self, rules: Rules | None = None) -> Iterator[App]:
        """Open Recovery Bridge on this company's clock."""
        with super().bridge(rules) as app:
            for name, session in app.sessions.items():
                session.mount("http://", Call(self.desks[name]))
            yield app


@functools.cache
def migrated() -> bytes:
    """Return a database at the newest schema, without a row: to make its tables takes longer than most stories."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bridge.db"
        Store.open(f"sqlite:///{path}").close()
        return path.read_bytes()


@contextmanager
def company(start: datetime, state_dir: Path, **options: Any) -> Iterator[Company]:
    """Found the company at *start* beside an empty database; only its chat is served, for whoever posts there."""
    (state_dir / "bridge.db").write_bytes(migrated())
    firm = founded(start, state_dir, **options)
    with serve(firm.chat) as url:
        firm.env["BRIDGE_SLACK_WEBHOOK"] = url
        yield Nearby(**vars(firm))
