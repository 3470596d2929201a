"""One time for several processes: it goes on as the real one does, and whoever would sleep moves it on instead.

A file in memory holds what every process has skipped so far, in a place of its own, so that none is ever overwritten:
the time is the real one plus the sum. It stands still or jumps for nobody alone.
"""

from __future__ import annotations

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.sandbox.world import Clock

PLACES = 64  # processes that live at the same time
_ALL = struct.Struct(f"{PLACES}d")
_ONE = struct.Struct("d")
START = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)  # a Monday


class SharedClock(Clock):
    """The clock in a file, as the process sees it whose place is *place*; place 0 is the driver's."""

    def __init__(self, path: Path, begun: float | None = None, place: int = 0) -> None:
        super().__init__()
        self.path, self.place = path, place
        self.begun = time.monotonic() if begun is None else begun  # the same for every process of a machine
        if begun is None:
            path.write_bytes(bytes(_ALL.size))
        with path.open("r+b") as file:
            self._skipped = mmap.mmap(file.fileno(), _ALL.size)

    def now(self) -> datetime:
        """Return the present."""
        skipped = sum(_ALL.unpack_from(self._skipped))
        return START + timedelta(seconds=time.monotonic() - self.begun + skipped)

    def advance(self, step: timedelta) -> None:
        """Move on by *step*, for everybody."""
        self.sleep(step.total_seconds())

    def sleep(self, seconds: float) -> None:
        """Let the time pass without waiting for it."""
        at = self.place * _ONE.size
        _ONE.pack_into(self._skipped, at, _ONE.unpack_from(self._skipped, at)[0] + seconds)

    def close(self) -> None:
        """Let go of the file."""
        self._skipped.close()
