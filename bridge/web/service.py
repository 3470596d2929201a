"""The work behind the server: polls as `run` does, follows a hint as soon as it is stored, and counts what none told.

One thread does all of it, the main one; the server has another. They share the bell and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from bridge.engine import Tally
from bridge.errors import StoreError, Throttled
from bridge.reloading import LivingApp
from bridge.rules import Rules
from bridge.web.counts import Counts

if TYPE_CHECKING:
    from socket import socket

    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

WEBHOOKS_LAG = timedelta(minutes=10)  # a hint that comes later than the poll by more than that was missed
CONNECTIONS = 800  # open at once; further ones are answered 503. Below the usual limit of 1,024 open files
KEEP_ALIVE = 30  # seconds
LEAVE_WITHIN = 5  # seconds for requests that are under way when the service ends
MISSED = "missed_by_webhooks"  # in the state of an account: bad ratings that only polls found

Clock = Callable[[], datetime]


class Bell:
    """Wakes the worker. Ringing takes no lock of ours: it may happen within a signal handler."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[tuple[str, str] | None] = SimpleQueue()

    def ring(self, account: str, ticket_id: str) -> None:
        """Say that a hint about a ticket was stored."""
        self._rung.put((account, ticket_id))

    def stir(self) -> None:
        """Wake the worker for nothing in particular."""
        self._rung.put(None)

    def wait(self, seconds: float) -> list[tuple[str, str]]:
        """Return the hints that were rung for, after at most *seconds*."""
        rung: list[tuple[str, str] | None] = []
        with suppress(Empty):
            rung.append(self._rung.get(timeout=max(seconds, 0)))
            while True:
                rung.append(self._rung.get_nowait())
        return [one for one in rung if one]


class Unannounced:
    """Bad ratings that polls found, and of which no webhook told within WEBHOOKS_LAG before or after."""

    def __init__(self) -> None:
        self._announced: dict[tuple[str, str], datetime] = {}
        self._found: dict[tuple[str, str], datetime] = {}

    def announce(self, account: str, ticket_id: str, now: datetime) -> None:
        """Take a hint."""
        self._found.pop((account, ticket_id), None)
        self._announced[account, ticket_id] = now

    def find(self, account: str, ticket_id: str, now: datetime) -> None:
        """Take what a poll found."""
        if (account, ticket_id) not in self._announced:
            self._found.setdefault((account, ticket_id), now)

    def missed(self, now: datetime) -> list[str]:
        """Return the accounts of those that no hint will come for any more, each told once."""
        self._announced = {key: at for key, at in self._announced.items() if now - at <= WEBHOOKS_LAG}
        late = [key for key, at in self._found.items() if now - at > WEBHOOKS_LAG]
        for key in late:
            del self._found[key]
        return [account for account, _ in late]


class Worker:
    """Works for every account until told to stop. *reloaded* hears of rules that have taken the place of others."""

    def __init__(
        self,
        living: LivingApp,
        bell: Bell,
        counts: Counts,
        *,
        every: timedelta,
        stopping: Callable[[], bool],
        reloaded: Callable[[Rules], None] = lambda _rules: None,
        hooked: Callable[[str], bool] = lambda _account: True,
    ) -> None:
        self._living, self._bell, self._counts = living, bell, counts
        self._every, self._stopping, self._reloaded, self._hooked = every, stopping, reloaded, hooked
        self._unannounced = Unannounced()
        self._due: dict[str, datetime] = {}  # when an account has something to do by itself
        self._away: dict[str, datetime] = {}  # accounts to be left alone until then

    def work(self) -> None:
        """Poll, and between two polls follow hints and do what falls due."""
        while not self._stopping():
            until = self._now() + self._every
            self._safely(self.reconcile)
            while not self._stopping() and (now := self._now()) < until:
                self.listen(min([until, *self._due.values()]) - now)
                self._safely(self.follow)

    def _now(self) -> datetime:
        return self._living.app.now()

    def listen(self, at_most: timedelta) -> None:
        """Wait for hints, at most so long, and put down what is to be followed."""
        for account, ticket_id in self._bell.wait(at_most.total_seconds()):
            self._unannounced.announce(account, ticket_id, self._now())
            self._due[account] = self._now()

    def _safely(self, do: Callable[[], None]) -> None:
        """Do it; while the database cannot be used, nothing is lost by waiting for it: webhooks are answered 503."""
        try:
            do()
        except StoreError as exc:
            log.error("%s", exc)
            self._counts.add("store_failures_total")
            self._due.clear()

    def reconcile(self) -> None:
        """Run once over all accounts, as `run` does, and count what webhooks have missed."""
        if self._living.refresh():
            self._reloaded(self._living.app.rules)
        app = self._living.app
        self.listen(timedelta())
        before = app.store.last_row()
        app.engine.tally = Tally()
        app.run(within=timedelta())
        self._away = {name: why.until for name, why in app.failures.items() if isinstance(why, Throttled)}
        self._due = {account: self._now() for account in app.accounts}  # asks each when more will be due
        if app.engine.tally.ratings_seen:
            for account, ticket_id in app.store.bad_from_polls(before):
                if self._hooked(account):
                    self._unannounced.find(account, ticket_id, self._now())
        self._count_missed()
        self._counts.add("polls_total")

    def _count_missed(self) -> None:
        store = self._living.app.store
        for account in self._unannounced.missed(self._now()):
            total = int(store.account_state(account).get(MISSED, 0)) + 1
            store.put_account_state(account, **{MISSED: total})
            self._counts.add("ratings_missed_by_webhooks_total", account=account)
            log.warning("a bad rating was found by polling, and no webhook told of it", extra={"account": account})

    def follow(self) -> None:
        """Work off what came in for accounts that have something to do now."""
        app, now = self._living.app, self._now()
        for account in [name for name, at in self._due.items() if at <= now]:
            del self._due[account]
            if account not in app.accounts or self._away.get(account, now) > now or self._stopping():
                continue
            at = app.follow(account)
            why = app.failures.get(account)
            if why is not None:  # the next poll tries again; meanwhile hints wait
                self._away[account] = at or now + self._every
            if at and at > now:  # what is due already and could not be done waits for the next poll
                self._due[account] = at


# ------------------------------------------------------------------ the server
@contextmanager
def web_server(app: ASGIApp, listening: socket, *, proxies: str = "") -> Iterator[Any]:
    """Answer on a socket from a thread of its own while the block lasts; gives uvicorn's server.

    *proxies* are the addresses, with commas between them, whose X-Forwarded-For is believed.
    """
    import uvicorn

    from bridge.web.doorkeeper import Deadlined

    config = uvicorn.Config(
        app, http=Deadlined, ws="none", loop="asyncio", lifespan="off", log_config=None, access_log=False,
        server_header=False, proxy_headers=bool(proxies), forwarded_allow_ips=proxies or None,
        limit_concurrency=CONNECTIONS, timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=LEAVE_WITHIN,
        backlog=1024,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listening],), name="web", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(2 * LEAVE_WITHIN)
