"""How often somebody tried and failed, and how long they have to wait for that; in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

MOST_KNOWN = 10_000  # who tried, at a time; to be forgotten by force takes as many failures of others
FORGOTTEN_AFTER = timedelta(hours=1)
LONGEST = timedelta(minutes=5)
AT_ONCE = timedelta()


class Tries:
    """Lets everybody fail so often; from then on each failure doubles the wait, from one second to LONGEST."""

    def __init__(self, free: int, now: Callable[[], datetime]) -> None:
        self._free, self._now = free, now
        self._failed: OrderedDict[str, tuple[int, datetime]] = OrderedDict()

    def wait(self, who: str) -> timedelta:
        """Return how long somebody has to wait before the next try; nothing for most."""
        failures, last_at = self._recent(who)
        if failures < self._free:
            return AT_ONCE
        pause = min(timedelta(seconds=2 ** min(failures - self._free, 20)), LONGEST)
        return max(last_at + pause - self._now(), AT_ONCE)

    def fail(self, who: str) -> None:
        """Put down a failure. To be called before the try: of many at once none goes uncounted."""
        failures, _ = self._recent(who)
        self._failed[who] = failures + 1, self._now()
        self._failed.move_to_end(who)
        if len(self._failed) > MOST_KNOWN:
            self._failed.popitem(last=False)

    def forgive(self, who: str) -> None:
        """Forget failures: it was them."""
        self._failed.pop(who, None)

    def _recent(self, who: str) -> tuple[int, datetime]:
        failures, last_at = self._failed.get(who, (0, self._now()))
        return (0, last_at) if self._now() - last_at > FORGOTTEN_AFTER else (failures, last_at)
