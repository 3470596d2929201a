"""Whether this process can do its work, for `/readyz`: its worker moves, and its database takes what is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from bridge.errors import BridgeError
from bridge.store import Store

WRITES_EVERY = 10.0  # seconds; whoever asks more often hears what was found last
STANDS_STILL = timedelta(minutes=5)  # and three times the pause between two polls


class Readiness:
    """Knows why this process is not ready."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], datetime],
        *,
        every: timedelta,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*every*: the pause between two polls."""
        self._store, self._now, self._stopping, self._clock = store, now, stopping, clock
        self._patience = (3 * every + STANDS_STILL).total_seconds()
        self._moved_at = clock()
        self._written_at, self._trouble = -WRITES_EVERY, ""

    def beat(self) -> None:
        """Take note that the worker has done something, or waits on purpose."""
        self._moved_at = self._clock()

    def why_not(self) -> str:
        """Return why not, "" if it is ready; the database is tried at most every WRITES_EVERY."""
        if self._stopping():
            return "this service is about to end"
        now = self._clock()
        if now - self._written_at >= WRITES_EVERY:
            self._written_at = now  # first: whoever asks while it is tried must not try, too
            self._trouble = self._try_to_write()
        if now - self._moved_at > self._patience:
            return f"the worker has done nothing for {int(now - self._moved_at)} seconds"
        return self._trouble

    def _try_to_write(self) -> str:
        try:
            self._store.remember("", "readyz", None, self._now())  # no account has this name
        except BridgeError:
            return "the database cannot be used"
        return ""
