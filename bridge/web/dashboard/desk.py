"""What the dashboard needs of the rest, and the figures that it keeps for a minute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from bridge.funnel import weeks_back
from bridge.rules import Rules
from bridge.show import Names, groups_of, names_of
from bridge.store import Store
from bridge.store.figures import Weeks
from bridge.web.dashboard.asked import Period, Selection
from bridge.web.dashboard.cases import Link
from bridge.web.dashboard.overview import Overview, overview
from bridge.web.dashboard.said import Clock

KEPT_FOR = timedelta(minutes=1)
MOST_KEPT = 40  # periods and accounts


@dataclass(frozen=True)
class DashDesk:
    """What the pages need; the store may block, and raises StoreError if it cannot be used."""

    store: Store
    rules: Callable[[], Rules]  # as they are in charge now
    link: Link  # KeyError for an account that is not in the rules any more
    now: Callable[[], datetime]

    def clock(self) -> Clock:
        """Return now, in the zone of the rules."""
        return Clock(self.now(), self.rules().settings.timezone)

    def names(self, *accounts: str) -> dict[str, Names]:
        """Return who is behind the ids of accounts."""
        return {account: names_of(self.store, account) for account in accounts}


class Kept:
    """Makes the figures of a period, once a minute at most, from what has changed since."""

    def __init__(self, desk: DashDesk) -> None:
        self._desk, self._lock, self._weeks = desk, Lock(), Weeks()
        self._kept: OrderedDict[Period, Overview] = OrderedDict()

    def of(self, period: Period) -> Overview:
        """Return the figures of a period, as they were a minute ago at most."""
        with self._lock:  # who comes meanwhile waits for these: two readings at once would take twice as long
            found = self._kept.get(period)
            if found is None or self._desk.now() - found.as_of >= KEPT_FOR:
                self._kept[period] = found = self._make(period)
                if len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
            return found

    def _make(self, period: Period) -> Overview:
        desk, clock = self._desk, self._desk.clock()
        accounts = [period.account] if period.account else list(desk.rules().accounts)
        figures = desk.store.figures(
            accounts, weeks_back(period.weeks, clock.now, clock.zone), clock.now, clock.zone, self._weeks
        )
        groups = groups_of(desk.store, accounts)
        chosen = Selection(state="all", account=period.account)
        return overview(figures, chosen, groups.group)
