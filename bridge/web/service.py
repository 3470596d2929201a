"""The work behind the server: polls as `run` does, follows a hint as soon as it is stored, and counts what none told.

One thread does all of it, the main one; the server has another. They share the bell and nothing else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from bridge.app import App
from bridge.engine import Tally
from bridge.errors import StoreError, Throttled
from bridge.reloading import LivingApp
from bridge.rules import Rules
from bridge.store import Found, Store
from bridge.web.counts import Counts

if TYPE_CHECKING:
    from socket import socket

    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

WEBHOOKS_LAG = timedelta(minutes=10)  # a hint that comes later than the poll by more than that was missed
CONNECTIONS = 800  # open at once; further ones are answered 503. Below the usual limit of 1,024 open files
KEEP_ALIVE = 30  # seconds
LOOKS_UP = timedelta(seconds=1)  # how long it waits without a sign of progress
LEAVE_WITHIN = 5  # seconds for requests that are under way when the service ends
MISSED = "missed_by_webhooks"  # in the state of an account: bad ratings that only polls found

Clock = Callable[[], datetime]


class Bell:
    """Wakes the worker. Ringing takes no lock of ours: it may happen within a signal handler."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[tuple[str, datetime] | None] = SimpleQueue()

    def ring(self, account: str, at: datetime) -> None:
        """Say that an account has something to follow from then on."""
        self._rung.put((account, at))

    def stir(self) -> None:
        """Wake the worker for nothing in particular."""
        self._rung.put(None)

    def wait(self, seconds: float) -> list[tuple[str, datetime]]:
        """Return what was rung for, after at most *seconds*."""
        rung: list[tuple[str, datetime] | None] = []
        with suppress(Empty):
            rung.append(self._rung.get(timeout=max(seconds, 0)))
            while True:
                rung.append(self._rung.get_nowait())
        return [one for one in rung if one]


class Missed:
    """Counts the bad ratings that polls found, and of which no webhook told within WEBHOOKS_LAG before or after.

    Counted once that time is over, of what polls find while this process runs: what was found in the last minutes
    before a restart is not judged.
    """

    def __init__(self, store: Store, now: datetime) -> None:
        self._counted = store.last_row()
        self._marked, self._marked_at = self._counted, now

    def count(self, store: Store, now: datetime) -> Counter[str]:
        """Return how many there are since the last time, by account; nothing before WEBHOOKS_LAG has passed."""
        if now - self._marked_at <= WEBHOOKS_LAG:
            return Counter()
        found = store.found_by_polls(self._counted, self._marked)
        self._counted, self._marked, self._marked_at = self._marked, store.last_row(), now
        return Counter(one.account for one in found if not _was_told(store, one))


def _was_told(store: Store, found: Found) -> bool:
    return store.was_hinted(found.account, found.ticket_id, found.at - WEBHOOKS_LAG, found.at + WEBHOOKS_LAG)


class Worker:
    """Works for every account until told to stop. *reloaded* hears of rules that have taken the place of others.

    *stopping* is asked at least every LOOKS_UP, also while there is nothing to do; *of_pass* is around each poll.
    """

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
        of_pass: Callable[[App], AbstractContextManager[None]] = lambda _app: nullcontext(),
    ) -> None:
        self._living, self._bell, self._counts = living, bell, counts
        self._every, self._stopping, self._reloaded, self._hooked = every, stopping, reloaded, hooked
        self._of_pass = of_pass
        self._missed = Missed(living.app.store, living.app.now())
        self._due: dict[str, datetime] = {}  # when an account has something to do by itself
        self._away: dict[str, datetime] = {}  # accounts to be left alone until then

    def work(self) -> None:
        """Poll, and between two polls follow hints and do what falls due."""
        while not self._stopping():
            until = self._now() + self._every
            self._safely(self.reconcile)
            while not self._stopping() and (now := self._now()) < until:
                self.listen(min([until, now + LOOKS_UP, *self._due.values()]) - now)
                self._safely(self.follow)

    def _now(self) -> datetime:
        return self._living.app.now()

    def listen(self, at_most: timedelta) -> None:
        """Wait for hints, at most so long, and put down when they are to be followed."""
        for account, at in self._bell.wait(at_most.total_seconds()):
            self._due[account] = min(at, self._due.get(account, at))

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
        app.engine.tally = Tally()
        with self._of_pass(app):
            app.run(within=timedelta())
        self._away = {name: why.until for name, why in app.failures.items() if isinstance(why, Throttled)}
        self._due = {account: self._now() for account in app.accounts}  # asks each when more will be due
        self._count_missed()
        self._counts.add("polls_total")

    def _count_missed(self) -> None:
        store = self._living.app.store
        for account, number in self._missed.count(store, self._now()).items():
            if not self._hooked(account):
                continue
            store.count_up(account, MISSED, number)
            self._counts.add("ratings_missed_by_webhooks_total", number, account=account)
            what = "%d bad ratings were found by polling, and no webhook told of them"
            log.warning(what, number, extra={"account": account})

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
def web_server(
    app: ASGIApp,
    listening: socket,
    *,
    proxies: str = "",
    user_header: str = "",
    fell: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """Answer on a socket from a thread of its own while the block lasts; gives uvicorn's server.

    *fell* hears of it if that thread ends before.

    *proxies* are the addresses, with commas between them, whose X-Forwarded-For is believed, and the name of somebody
    who signed in there, in *user_header*. Raises SettingsError for a header without usable addresses.
    """
    import uvicorn

    from bridge.web.doorkeeper import Deadlined
    from bridge.web.proxied import behind

    config = uvicorn.Config(
        behind(app, proxies, user_header), http=Deadlined, ws="none", loop="asyncio", lifespan="off",
        log_config=None, access_log=False, server_header=False, proxy_headers=False,
        limit_concurrency=CONNECTIONS, timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=LEAVE_WITHIN,
        backlog=1024,
    )  # fmt: skip
    server = uvicorn.Server(config)

    def answer() -> None:
        try:
            server.run([listening])
        finally:
            if not server.should_exit:
                fell()

    thread = Thread(target=answer, name="web", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(2 * LEAVE_WITHIN)
