"""Who stands before us: a header that names a user is believed from a proxy of ours, and from nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.errors import SettingsError

Network = IPv4Network | IPv6Network


def behind(app: ASGIApp, proxies: str, user_header: str = "") -> ASGIApp:
    """Return an application behind its proxies, addresses with commas between them; without any, it stays as it is.

    X-Forwarded-For and -Proto are believed from these, and the user's name. Raises SettingsError as FromProxies does.
    """
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    inner: Any = app
    inner = ProxyHeadersMiddleware(inner, proxies) if proxies else inner
    return FromProxies(inner, user_header, proxies.split(",") if proxies else ()) if user_header else inner


class FromProxies:
    """Middleware, the outermost: takes a header away unless the connection itself comes from a proxy.

    It has to stand before whatever puts the address of X-Forwarded-For in place of the proxy's own.
    """

    def __init__(self, app: ASGIApp, header: str, proxies: Sequence[str]) -> None:
        """*proxies* are addresses or networks. Raises SettingsError for anything else, and for none."""
        if not proxies:
            raise SettingsError("--user-header: name the proxy that sets it, too: --proxy ADDRESS")
        self._app, self._header = app, header.lower().encode("latin-1", "replace")
        self._proxies = [_network(one) for one in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        if scope["type"] == "http" and not self._is_from_a_proxy(scope):
            kept = [(name, value) for name, value in scope["headers"] if name.lower() != self._header]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)

    def _is_from_a_proxy(self, scope: Scope) -> bool:
        client = scope.get("client")
        try:
            peer = ip_address(client[0]) if client else None
        except ValueError:
            return False
        return peer is not None and any(peer in network for network in self._proxies)


def _network(text: str) -> Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise SettingsError(
            f"--proxy: {text!r} is no address; with --user-header write one, such as 127.0.0.1 or 10.0.0.0/24"
        ) from None
