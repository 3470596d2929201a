"""Reading tickets so that one that cannot be read stops nobody else, and so that one read serves decision and write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from bridge.connector import Connector
from bridge.errors import BadRecord, CredentialsRefused, HelpdeskError, Throttled
from bridge.model import Ticket

log = logging.getLogger(__name__)

BATCH = 100  # tickets per read and per write
SEVERAL_IN_A_ROW = 3
TRY_AGAIN_FIRST = timedelta(minutes=2)
TRY_AGAIN_AFTER = timedelta(hours=1)  # a record whose handling crashed
FRESH_WITHOUT_CONDITION = timedelta(seconds=2)  # where a write could overwrite what a human did since the read
FRESH_FOR = timedelta(seconds=30)  # how long a ticket that was read to decide may also serve the write


def is_of_the_account(exc: Exception) -> bool:
    """True if trouble concerns all of an account, so that nothing else should be tried there now."""
    return isinstance(exc, Throttled) or (isinstance(exc, CredentialsRefused) and exc.status == 401)


def retry_in(tries: int) -> timedelta:
    """Return how long to leave a record alone that failed so often."""
    return min(TRY_AGAIN_FIRST * (1 << min(tries, 6)), TRY_AGAIN_AFTER)


def batch_of(desk: Connector) -> int:
    """Return how many tickets are read together: one where a write could overwrite what a human did since the read."""
    return BATCH if desk.conditional_writes else 1


class Reading:
    """Tickets read a moment ago, so that one read serves both the decision and the write that follows it."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._read: dict[tuple[str, str], tuple[datetime, Ticket]] = {}
        self._unreadable = 0  # tickets in a row

    def tickets(self, desk: Connector, ticket_ids: Iterable[str]) -> dict[str, Ticket]:
        """Return tickets, reading those that are not fresh; one that cannot be read is left out."""
        wanted = list(dict.fromkeys(ticket_ids))
        known = {key: ticket for key in wanted if (ticket := self._fresh(desk, key))}
        read = self._read_from(desk, [key for key in wanted if key not in known])
        now = self._now()
        self._read = {key: value for key, value in self._read.items() if now - value[0] <= FRESH_FOR}
        self._read.update({(desk.account, key): (now, ticket) for key, ticket in read.items()})
        return {**known, **read}

    def _read_from(self, desk: Connector, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        """Read tickets; those that cannot be read are found one by one, and do not stop the others.

        Raises HelpdeskError when several in a row cannot be read: then it is the helpdesk, not a ticket.
        """
        if not ticket_ids:
            return {}
        try:
            read = desk.tickets(ticket_ids)
        except (BadRecord, HelpdeskError) as exc:
            if is_of_the_account(exc):
                raise
            if len(ticket_ids) == 1:
                self._unreadable += 1
                if self._unreadable >= SEVERAL_IN_A_ROW and isinstance(exc, HelpdeskError):
                    raise
                log.error("%s", exc)
                return {}
        else:
            self._unreadable = 0
            return read
        return {key: ticket for one in ticket_ids for key, ticket in self._read_from(desk, [one]).items()}

    def forget(self, account: str, ticket_ids: Iterable[str]) -> None:
        """Drop tickets that were written, or changed under us."""
        for ticket_id in ticket_ids:
            self._read.pop((account, ticket_id), None)

    def _fresh(self, desk: Connector, ticket_id: str) -> Ticket | None:
        at, ticket = self._read.get((desk.account, ticket_id), (None, None))
        fresh_for = FRESH_FOR if desk.conditional_writes else FRESH_WITHOUT_CONDITION
        return ticket if at and self._now() - at <= fresh_for else None
