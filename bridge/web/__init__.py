"""What `recovery-bridge serve` answers over HTTP: webhooks in, the survey page, its own health.

Each part is a list of routes and gets what it needs passed in; the doorkeeper stands before all of them, in place of
the middleware of a Starlette application: a webhook costs a sixth less that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from bridge.errors import BridgeError
from bridge.web.card import nowhere
from bridge.web.counts import Counts
from bridge.web.doorkeeper import Doorkeeper, Patience


def web_app(parts: Iterable[Iterable[BaseRoute]], counts: Counts, patience: Patience | None = None) -> Doorkeeper:
    """Put the parts behind one door; `lead_to(routed(...))` puts others there while it is open."""
    return Doorkeeper(routed(parts), counts, patience)


def routed(parts: Iterable[Iterable[BaseRoute]]) -> Router:
    """Return what leads each request to its page."""
    return _Pages([route for part in parts for route in part])


class _Pages(Router):
    """Leads whoever asks for no page of ours back to one that is."""

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for an address at which there is nothing."""
        if scope["type"] != "http":
            await super().not_found(scope, receive, send)
            return
        await nowhere()(scope, receive, send)


def health_routes(why_not_ready: Callable[[], str], *, prefix: str = "") -> list[Route]:
    """Return `/healthz`: this process answers; and `/readyz`: it can do its work, as *why_not_ready* says with "".

    Where the survey page has a path of its own, *prefix*, `doctor` asks for `/healthz` below it, too.
    """

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        try:
            why = await run_in_threadpool(why_not_ready)
        except BridgeError:
            why = "the database cannot be used"
        return PlainTextResponse(f"{why or 'ready'}\n", status_code=503 if why else 200)

    below = [Route(f"{prefix}/healthz", alive)] if prefix else []
    return [Route("/healthz", alive), Route("/readyz", ready), *below]
