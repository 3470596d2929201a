"""What waits to be looked at: hints of webhooks, and customers' answers to our own question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, or_, select, update

from bridge.store.database import Database
from bridge.store.rows import Hint
from bridge.store.tables import clean, inbox, time_text

PURGED_AT_ONCE = 1_000  # rows in one transaction: whoever wants to write meanwhile waits for some milliseconds
Delivery = tuple[str, str, str, datetime]  # account, what it is known by, ticket, when its hint is ripe

_ADD_HINT = (
    "INSERT INTO inbox (account, source, delivery_key, received_at, ticket_id, not_before, state)"
    " VALUES (?, 'hint', ?, ?, ?, ?, 'new') ON CONFLICT DO NOTHING"
)
_KIND = (inbox.c.account == bindparam("account"), inbox.c.source == bindparam("source"))
_NEW = (*_KIND, inbox.c.state == "new", inbox.c.received_at <= bindparam("now"))
_OLD = (*_KIND, inbox.c.state == "done", inbox.c.received_at < bindparam("before"))
_IN_ORDER = (inbox.c.received_at, inbox.c.inbox_id)
# What failed waits for its time, and stands in nobody's way; what is new comes ripe or not: see bridge/hints.py
_WAITING = (
    select(inbox)
    .where(*_NEW, or_(inbox.c.tries == 0, inbox.c.not_before <= bindparam("now")))
    .order_by(*_IN_ORDER)
    .limit(bindparam("limit"))
)
_FIRST = (
    select(inbox.c.received_at, inbox.c.not_before)
    .where(*_KIND, inbox.c.state == "new", inbox.c.tries == 0)
    .order_by(*_IN_ORDER)
    .limit(1)
)
_TOLD = (
    select(inbox.c.inbox_id)
    .where(*_KIND, inbox.c.state.in_(("new", "done", "failed")), inbox.c.ticket_id == bindparam("ticket_id"))
    .where(inbox.c.received_at.between(bindparam("since"), bindparam("until")))
    .limit(1)
)
_FOLLOWED = select(inbox).where(*_OLD).order_by(*_IN_ORDER).limit(bindparam("limit"))
_PURGE = delete(inbox).where(
    inbox.c.inbox_id.in_(select(inbox.c.inbox_id).where(*_OLD).order_by(*_IN_ORDER).limit(PURGED_AT_ONCE))
)


class Inbox(Database):
    """The verbs of hints and answers."""

    # -------------------------------------------------------------- hints
    def add_hint(
        self, account: str, delivery_key: str, ticket_id: str, now: datetime, ripe_at: datetime | None = None
    ) -> bool:
        """Keep a webhook's word; False if this delivery was seen before."""
        return self.add_hints([(account, delivery_key, ticket_id, ripe_at or now)], now)[0]

    def add_hints(self, deliveries: Sequence[Delivery], now: datetime) -> list[bool]:
        """Keep many webhooks' words at the price of one commit; tells which of them were not seen before."""
        at = time_text(now)
        rows = [
            (account, clean(key), at, clean(ticket_id), time_text(ripe_at))
            for account, key, ticket_id, ripe_at in deliveries
        ]
        with self._writing() as tx:
            sql = _ADD_HINT if self._is_sqlite else _ADD_HINT.replace("?", "%s")
            return [tx.exec_driver_sql(sql, row).rowcount == 1 for row in rows]

    def hints(self, account: str, now: datetime, limit: int) -> list[Hint]:
        """Return hints that still have to be followed, oldest first; those that failed wait for their time."""
        return self._waiting(account, "hint", now, limit)

    def next_hint_at(self, account: str) -> datetime | None:
        """Return when the next hint that was never tried is ripe; None if there is none."""
        with self._reading() as tx:
            row = tx.execute(_FIRST, {"account": account, "source": "hint"}).first()
        return (row.not_before or row.received_at) if row else None

    def was_hinted(self, account: str, ticket_id: str, since: datetime, until: datetime) -> bool:
        """Tell whether a webhook told of a ticket then."""
        asked = {"account": account, "source": "hint", "ticket_id": ticket_id, "since": since, "until": until}
        with self._reading() as tx:
            return tx.execute(_TOLD, asked).first() is not None

    def fail_hint(self, hint_id: int, error: str, not_before: datetime | None) -> None:
        """Count a failed try at following a hint; it comes again at *not_before*, or with None by `retry` only."""
        values = {"tries": inbox.c.tries + 1, "error": error, "not_before": not_before}
        state = "failed" if not_before is None else "new"
        with self._writing() as tx:
            tx.execute(update(inbox).where(inbox.c.inbox_id == hint_id).values(state=state, **values))

    def purge_hints(self, account: str, before: datetime) -> int:
        """Forget PURGED_AT_ONCE of the hints that were followed and came before then; returns how many there were."""
        with self._writing() as tx:
            return tx.execute(_PURGE, {"account": account, "source": "hint", "before": before}).rowcount

    # -------------------------------------------------------------- answers
    def put_answer(self, account: str, asked_for: str, case_id: str, raw: str, now: datetime) -> None:
        """Keep a customer's answer to our own question; a later one takes its place until it was followed."""
        row = {
            "account": account, "source": "answer", "delivery_key": asked_for, "received_at": now,
            "ticket_id": case_id, "raw": raw, "state": "new", "tries": 0, "error": None, "not_before": None,
        }  # fmt: skip
        new = self._insert(inbox).values(row)
        again = {name: new.excluded[name] for name in ("received_at", "raw", "state", "tries", "error", "not_before")}
        with self._writing() as tx:
            tx.execute(new.on_conflict_do_update(index_elements=["account", "source", "delivery_key"], set_=again))

    def answer(self, account: str, asked_for: str) -> Hint | None:
        """Return the answer that was given to one question, followed or not."""
        same = (inbox.c.account == account, inbox.c.source == "answer", inbox.c.delivery_key == asked_for)
        with self._reading() as tx:
            row = tx.execute(select(inbox).where(*same)).first()
        return _hint(row) if row else None

    def answers(self, account: str, now: datetime, limit: int) -> list[Hint]:
        """Return answers that still have to be taken to their cases, oldest first; their *ticket_id* is the case's."""
        return self._waiting(account, "answer", now, limit)

    def finish_answer(self, answer: Hint) -> None:
        """Record that an answer was followed, unless the customer has changed it meanwhile."""
        self._end_answer(answer, state="done", error=None)

    def followed_answers(self, account: str, before: datetime, limit: int) -> list[Hint]:
        """Return answers that were followed, came before then, and still hold what the customer wrote."""
        asked = {"account": account, "source": "answer", "before": before, "limit": limit}
        with self._reading() as tx:
            return [_hint(row) for row in tx.execute(_FOLLOWED, asked)]

    def settle_answer(self, answer: Hint, raw: str) -> None:
        """Keep only *raw* of an answer that was followed and can no longer be changed."""
        self._end_answer(answer, state="settled", raw=raw)

    def _end_answer(self, answer: Hint, **values: Any) -> None:
        same = (inbox.c.inbox_id == answer.hint_id, inbox.c.raw == answer.raw)
        with self._writing() as tx:
            tx.execute(update(inbox).where(*same).values(values))

    def _waiting(self, account: str, source: str, now: datetime, limit: int) -> list[Hint]:
        asked = {"account": account, "source": source, "now": now, "limit": limit}
        with self._reading() as tx:
            return [_hint(row) for row in tx.execute(_WAITING, asked)]


def _hint(row: Row[Any]) -> Hint:
    return Hint(row.inbox_id, row.ticket_id, row.received_at, row.tries, row.raw, row.not_before)
