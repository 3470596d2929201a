"""Serving: `serve` takes webhooks in, shows survey page and dashboard, and does the work of `run` beside it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.shell import BUG, INTERRUPTED, Stop, cli, exit_with, opened_with, rules_option
from bridge.errors import BridgeError, SettingsError

log = logging.getLogger(__name__)

BUSY = timedelta(seconds=5)  # for another writer of the database; helpdesks wait 10 seconds for an answer

if TYPE_CHECKING:
    from bridge.rules import Rules
    from bridge.store import Store
    from bridge.web.hooks import Hooks


@cli.command()
@rules_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--every", type=click.IntRange(5, 3600), default=60, show_default=True, help="Seconds between two polls.")
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A reverse proxy in front of this, whose X-Forwarded-For is believed; may be given more than once.",
)
@click.option("--user-header", default="", metavar="HEADER", help="Where a --proxy names who has signed in there.")
def serve(*, rules_path: Path, host: str, port: int, every: int, proxies: tuple[str, ...], user_header: str) -> None:
    """Take webhooks, show survey page and dashboard, and poll, decide and deliver as `run` does.

    `setup` makes the helpdesks send webhooks. `login add` lets people look at the dashboard. Put a proxy with TLS in
    front.

    \b
    Example:
        recovery-bridge serve
        recovery-bridge serve --port 8080 --proxy 127.0.0.1
    """
    _need_the_extra()
    from bridge.cli.signs import Signs
    from bridge.reloading import LivingApp
    from bridge.settings import run_lock, state_dir
    from bridge.web.counts import Counts
    from bridge.web.readiness import Readiness
    from bridge.web.service import Bell, Worker, web_server
    from bridge.web.site import Site

    bell, counts, servers, fallen = Bell(), Counts(), list[Any](), list[bool]()
    pause = timedelta(seconds=every)

    def leave() -> None:
        for server in servers:
            server.should_exit = True  # accepts nothing more
        bell.stir()

    def fell() -> None:
        log.error("the web server has ended by itself; this service ends, to be started anew")
        fallen.append(True)
        stop.event.set()
        bell.stir()

    def progressed() -> None:
        signs.heart.beat()
        ready.beat()

    with ExitStack() as stack:
        signs = stack.enter_context(closing(Signs(os.environ)))
        stop = Stop(leave, progressed)
        stop.listen()
        stack.enter_context(run_lock(state_dir(os.environ)))
        store = stack.enter_context(_own_store())
        ready = Readiness(store, lambda: datetime.now(UTC), every=pause, stopping=stop.event.is_set)
        living = stack.enter_context(LivingApp(rules_path, lambda rules: opened_with(rules, stop)))
        listening = stack.enter_context(_listen(host, port))
        site = stack.enter_context(
            Site(living, store, os.environ, bell, counts, why_not_ready=ready.why_not, user_header=user_header)
        )
        server = web_server(site.app, listening, proxies=",".join(proxies), user_header=user_header, fell=fell)
        servers.append(stack.enter_context(server))
        _announce(living.app.rules, site.hooks, listening)
        signs.heart.ready()
        Worker(
            living,
            bell,
            counts,
            every=pause,
            stopping=stop.asked,
            reloaded=lambda _rules: site.reload(),
            hooked=lambda account: account in site.hooks.doors,
            of_pass=signs.of_pass,
        ).work()
    exit_with(INTERRUPTED if stop.interrupted else BUG if fallen else 0)


def _need_the_extra() -> None:
    try:
        import httptools  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as exc:
        raise SettingsError("serve needs a web server; in the checkout: pip install '.[serve]'") from exc


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens already: an address that is taken is said before anything begins."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as exc:
        why = str(exc.strerror).partition(" (while ")[0]  # Python adds the address
        raise SettingsError(f"{host} port {port}: cannot be listened on ({why}); try another --port") from exc


@contextmanager
def _own_store() -> Iterator[Store]:
    """Open the server's own store; the engine's is opened anew with each rules.yaml."""
    from bridge import settings
    from bridge.store import Store

    store = Store.open(settings.database_url(os.environ, settings.state_dir(os.environ)), busy=BUSY)
    try:
        yield store
    finally:
        store.close()


def _announce(rules: Rules, hooks: Hooks, listening: socket.socket) -> None:
    """Say where this listens, which accounts send webhooks, and whether anybody can sign in."""
    from bridge.logins import Logins, logins_path
    from bridge.settings import variable

    host, port = listening.getsockname()[:2]
    log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    for account in rules.accounts:
        if account not in hooks.doors:
            name = variable(account, "webhook_secret")
            todo = "is polled only, until recovery-bridge setup has made a webhook, or %s is set"
            log.info(todo, name, extra={"account": account})
    try:
        if not Logins(logins_path(os.environ)).entries():
            log.info("nobody can sign in to the dashboard yet: recovery-bridge login add NAME --role operator")
    except BridgeError as exc:  # all else can do without
        log.error("nobody can sign in to the dashboard: %s", exc)
