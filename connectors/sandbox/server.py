"""Serving desks on the loopback interface, each on a port and with threads of its own."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug import Response
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """HTTP/1.1 with connections kept open (werkzeug's own handler closes each one), and no line for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def run_wsgi(self) -> None:
        """Answer one request; desks read every body to its end, so that the next request begins where it should."""
        try:
            response = Response.from_app(self.server.app, self.make_environ())
        except (ConnectionResetError, ClientDisconnected):
            self.close_connection = True
            return
        except Exception:
            self.server.log("error", f"{self.command} {self.path} failed\n{traceback.format_exc()}")
            response = Response("the sandbox has a bug; its terminal says more", 500)
        self.send_response_only(response.status_code)
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.get_data())
        self.wfile.flush()


class _Server(ThreadedWSGIServer):
    """A server that takes its open connections with it when it stops."""

    def __init__(self, app: Any, port: int) -> None:
        super().__init__(HOST, port, app, handler=_Handler)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def stop(self) -> None:
        """Answer no more and end every connection."""
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            super().shutdown_request(connection)


@contextmanager
def serve(app: Any, port: int = 0) -> Iterator[str]:
    """Serve a WSGI application on loopback while the block lasts; gives the base url. Port 0 takes a free one."""
    server = _Server(app, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.stop()
        thread.join()
