"""Keeping hints: those that arrive together share one commit, and none is acknowledged before it is on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from bridge.errors import BridgeError
from bridge.store import Delivery, Store

TOGETHER = 200  # hints in one commit

# One thread, because a database has one writer at a time; the pages of people have other threads.


class Keeper:
    """Stores hints for coroutines of one event loop, and tells *ring* of each new one: account, and when it is ripe."""

    def __init__(self, store: Store, now: Callable[[], datetime], ring: Callable[[str, datetime], None]) -> None:
        self._store, self._now, self._ring = store, now, ring
        self._waiting: list[tuple[Delivery, asyncio.Future[bool]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "hints")

    async def keep(self, account: str, key: str, ticket_id: str, ripens_in: timedelta = timedelta()) -> bool:
        """Store one hint; False if this delivery was seen before. Raises BridgeError if it cannot be stored."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(((account, key, ticket_id, self._now() + ripens_in), kept))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await kept

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            hints = [hint for hint, _ in batch]
            try:
                fresh = await loop.run_in_executor(self._thread, self._store.add_hints, hints, self._now())
            except BridgeError as exc:
                _tell(batch, exc)
            except BaseException:
                _tell(batch, BridgeError("hints could not be stored"))
                self._writing = None
                raise
            else:
                self._settle(batch, fresh)
        self._writing = None

    def _settle(self, batch: Sequence[tuple[Delivery, asyncio.Future[bool]]], fresh: Sequence[bool]) -> None:
        for ((account, _, _, ripe_at), kept), is_new in zip(batch, fresh, strict=True):
            if not kept.done():  # else whoever sent it has gone
                kept.set_result(is_new)
            if is_new:
                self._ring(account, ripe_at)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown()


def _tell(batch: Sequence[tuple[Delivery, asyncio.Future[bool]]], exc: BridgeError) -> None:
    for _, kept in batch:
        if not kept.done():
            kept.set_exception(exc)
