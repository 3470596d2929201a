"""Serving: `serve` takes webhooks in, shows the survey page, and does the work of `run` beside it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from bridge.cli.shell import INTERRUPTED, Stop, cli, exit_with, opened_with, rules_option
from bridge.errors import SettingsError

log = logging.getLogger(__name__)

BUSY = timedelta(seconds=5)  # for another writer of the database; helpdesks wait 10 seconds for an answer

if TYPE_CHECKING:
    from starlette.routing import Route

    from bridge.answering import Answering
    from bridge.app import App
    from bridge.rules import Rules
    from bridge.store import Store
    from bridge.web.counts import Counts
    from bridge.web.hooks import Hooks
    from bridge.web.service import Bell


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
def serve(rules_path: Path, host: str, port: int, every: int, proxies: tuple[str, ...]) -> None:
    """Take webhooks, show the survey page, and poll, decide and deliver as `run` does.

    Webhooks come in at /hooks/ACCOUNT of accounts whose BRIDGE_<ACCOUNT>_WEBHOOK_SECRET is set. Put a proxy with
    TLS in front.

    \b
    Example:
        recovery-bridge serve
        recovery-bridge serve --port 8080 --proxy 127.0.0.1
    """
    _need_the_extra()
    from bridge.reloading import LivingApp
    from bridge.settings import run_lock, state_dir
    from bridge.web.counts import Counts
    from bridge.web.service import Bell, Worker, web_server

    bell, counts, servers = Bell(), Counts(), list[Any]()

    def leave() -> None:
        for server in servers:
            server.should_exit = True  # accepts nothing more
        bell.stir()

    stop = Stop(leave)
    stop.listen()
    with ExitStack() as stack:
        stack.enter_context(run_lock(state_dir(os.environ)))
        living = stack.enter_context(LivingApp(rules_path, lambda rules: opened_with(rules, stop)))
        listening = stack.enter_context(_listen(host, port))
        hooks, app = stack.enter_context(_web(living.app, bell, counts, stop))
        servers.append(stack.enter_context(web_server(app, listening, proxies=",".join(proxies))))
        _announce(living.app.rules, hooks, listening)
        Worker(
            living,
            bell,
            counts,
            every=timedelta(seconds=every),
            stopping=stop.event.is_set,
            reloaded=lambda rules: _reopen(hooks, rules),
            hooked=lambda account: account in hooks.doors,
        ).work()
    exit_with(INTERRUPTED if stop.interrupted else 0)


@contextmanager
def _web(work: App, bell: Bell, counts: Counts, stop: Stop) -> Iterator[tuple[Hooks, Any]]:
    """Put together what is served: webhooks, the survey page, health; gives the hooks and the application."""
    from bridge.answering import Answering
    from bridge.web import health_routes, web_app
    from bridge.web.hooks import Hooks, doors_of
    from bridge.web.keeping import Keeper

    page = urlsplit(work.rules.settings.survey_page or "").path
    with _own_store() as store, closing(Keeper(store, work.now, bell.ring)) as keeper:
        hooks = Hooks(doors_of(work.rules, os.environ), keeper, counts, work.now)
        answering = Answering(store, work.now, lambda account: bell.ring(account, ""))
        health = health_routes(lambda: _why_not_ready(store, stop), prefix=page)
        yield hooks, web_app([hooks.routes(), _survey_page(work.rules, answering, page), health], counts)


def _need_the_extra() -> None:
    try:
        import httptools  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as exc:
        raise SettingsError("serve needs a web server; pip install 'recovery-bridge[serve]'") from exc


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens already: an address that is taken is said before anything begins."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as exc:
        raise SettingsError(f"{host} port {port}: cannot be listened on ({exc.strerror}); try another --port") from exc


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


def _survey_page(rules: Rules, answering: Answering, prefix: str) -> list[Route]:
    """Return the routes of our own question below a path, if rules.yaml says where its page is."""
    if not rules.settings.survey_page:
        return []
    from bridge.settings import state_dir, survey_key
    from bridge.survey_link import SurveyLinks
    from bridge.web.survey_page import SurveyDesk, survey_routes

    links = SurveyLinks(survey_key(state_dir(os.environ)), rules.settings.survey_page)
    now = answering.now
    desk = SurveyDesk(lambda token: links.read(token, now()), answering.look, answering.take, now)
    return survey_routes(desk, prefix=prefix)


def _why_not_ready(store: Store, stop: Stop) -> str:
    if stop.event.is_set():
        return "this service is about to end"
    store.ping()
    return ""


def _reopen(hooks: Hooks, rules: Rules) -> None:
    """Take webhooks for the accounts of a new rules.yaml; secrets that cannot be used leave the old ones in charge."""
    from bridge.web.hooks import doors_of

    try:
        hooks.doors = doors_of(rules, os.environ)
    except SettingsError as exc:
        log.error("%s", exc)


def _announce(rules: Rules, hooks: Hooks, listening: socket.socket) -> None:
    """Say where this listens and which accounts send webhooks."""
    from bridge.settings import variable

    host, port = listening.getsockname()[:2]
    log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    for account in rules.accounts:
        if account not in hooks.doors:
            name = variable(account, "webhook_secret")
            log.info("takes no webhooks, and is polled only: %s is not set", name, extra={"account": account})
