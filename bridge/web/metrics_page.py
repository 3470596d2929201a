"""`GET /metrics`, for Prometheus: with a token, or without one for this machine alone.

What went through a proxy is not from this machine, whatever its address: a proxy in front of us runs here, too. One
that says nothing of itself, and a tunnel, is known by the name under which we were asked for.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.connector import Secret
from bridge.errors import BridgeError

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


def metrics_routes(text: Callable[[], bytes], token: Secret | None) -> list[Route]:
    """Return `/metrics`, which says what *text* returns: that of `bridge.metrics.Metrics`."""

    async def metrics(request: Request) -> Response:
        if token and not _has(token, request):
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        if not token and not _is_from_here(request):
            return Response(status_code=404)
        try:
            said = await run_in_threadpool(text)
        except BridgeError:
            return Response(status_code=503)
        return Response(said, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [Route("/metrics", metrics)]


def _has(token: Secret, request: Request) -> bool:
    """True if a request carries the token; how long that takes to find out tells nothing."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.reveal().encode())
    return same and kind.lower() == "bearer"


def _is_from_here(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    return _is_loopback(request.client.host) and _is_loopback(request.url.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
