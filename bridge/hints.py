"""Following hints: a webhook says "look at this ticket now", and each ticket is read once, however many have said so.

Nothing hangs on a hint. What one that comes late, or is followed before the API shows its rating, does not bring is
found by the next poll: it reads all that was rated since the poll before, and some time further back. Hints that lead
to nothing new, as those of a helpdesk's trigger that fires in a circle do, take no more than PATIENCE of the account's
calls a minute; what they announce meanwhile is found by polls, too.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from bridge.connector import Connector
from bridge.errors import BadRecord, HelpdeskError, Refused
from bridge.model import Rating
from bridge.reading import is_of_the_account, retry_in
from bridge.store import Hint, Store

log = logging.getLogger(__name__)

TOGETHER = 10  # tickets; what they say is decided about before others are read
LOOKED_AT = 1_000  # hints, to find those tickets
PATIENCE = 60  # tickets that were read for nothing, in a minute
MINUTE = timedelta(minutes=1)
KEPT_FOR = timedelta(days=1)  # so long a delivery that comes again is known


class Hints:
    """Follows the hints of one installation."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._in_vain: dict[str, deque[datetime]] = {}  # by account: when tickets were last read for nothing
        self._said: set[str] = set()

    def ripe(self, account: str, begun: datetime) -> Mapping[str, Sequence[Hint]]:
        """Return tickets to be read, with all their hints that came before *begun*, ripe ones and others.

        A ticket is read once one of its hints is ripe: then a write that follows has not to wait for its stamp.
        """
        if self._rests_until(account) > begun:
            return {}
        found: dict[str, list[Hint]] = {}
        for hint in self._store.hints(account, begun, LOOKED_AT):
            found.setdefault(hint.ticket_id, []).append(hint)
        ripe = [key for key, hints in found.items() if any((one.not_before or begun) <= begun for one in hints)]
        return {key: found[key] for key in ripe[:TOGETHER]}

    def next_at(self, account: str) -> datetime | None:
        """Return when there will be hints to follow, None if none is known of."""
        at = self._store.next_hint_at(account)
        return max(at, self._rests_until(account)) if at else None

    def follow(self, desk: Connector, tickets: Mapping[str, Sequence[Hint]], acts_from: datetime) -> None:
        """Read the ratings of tickets, and store them; those given before *acts_from* are memory."""
        ratings: list[Rating] = []
        read: list[Hint] = []
        try:
            for ticket_id, hints in tickets.items():
                if (found := self._ratings_of(desk, ticket_id, hints)) is not None:
                    ratings += found
                    read += hints
        finally:
            ids = [one.hint_id for one in read]
            now = self._now()
            new = self._store.follow_hints(desk.account, ids, ratings, seen_at=now, acts_from=acts_from)
            self._count(desk.account, len({one.ticket_id for one in read}) - new)

    def _ratings_of(self, desk: Connector, ticket_id: str, hints: Sequence[Hint]) -> Sequence[Rating] | None:
        """Read one ticket; None if it cannot be read now. Raises what is not the ticket's own trouble."""
        try:
            return desk.ratings_of(ticket_id)
        except (HelpdeskError, BadRecord) as exc:  # put off, so that it does not stop what is behind it
            if is_of_the_account(exc):
                raise
            for hint in hints:
                self._store.fail_hint(hint.hint_id, str(exc), self._now() + retry_in(hint.tries))
            if isinstance(exc, Refused | BadRecord):
                return None
            raise

    def _count(self, account: str, in_vain: int) -> None:
        """Put down how many tickets were just read for nothing."""
        times = self._in_vain.setdefault(account, deque(maxlen=PATIENCE))
        times.extend([self._now()] * in_vain)
        if self._rests_until(account) > self._now() and account not in self._said:
            self._said.add(account)
            what = "webhooks that tell nothing new come so often that they are followed more slowly; is a trigger"
            log.warning("%s firing for every change of a ticket?", what, extra={"account": account})

    def _rests_until(self, account: str) -> datetime:
        """Return until when no hint is followed: so that a minute sees PATIENCE readings for nothing, and no more."""
        times = self._in_vain.get(account)
        return times[0] + MINUTE if times and len(times) == PATIENCE else datetime.min.replace(tzinfo=UTC)
