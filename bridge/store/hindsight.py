"""Looking back: the ratings of a time with what is known of their tickets, for backtests; each ticket is read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from bridge.model import Status
from bridge.store.database import Database
from bridge.store.ratings import stored
from bridge.store.rows import GivenRating, StoredRating
from bridge.store.tables import audit, past_ticket, rating, time_text

_LAST_VERSIONS = (  # plain values, past SQLAlchemy's types: there may be a hundred thousand
    "SELECT rating_id, ticket_id, requester_id, assignee_id, category, value, scale_max, rated_at, comment, reason"
    " FROM rating WHERE account = ? AND rated_at >= ? AND rated_at < ? AND source <> 'request'"
    " AND NOT EXISTS (SELECT 1 FROM rating later WHERE later.account = rating.account"
    " AND later.rating_id = rating.rating_id AND later.row_id > rating.row_id)"
    " ORDER BY rated_at, row_id"
)


class Hindsight(Database):
    """The verbs of looking back."""

    def given_between(self, account: str, since: datetime, until: datetime) -> Iterator[GivenRating]:
        """Yield the last version of every rating that customers gave from *since* until before *until*, in order."""
        sql = _LAST_VERSIONS if self.engine.dialect.name == "sqlite" else _LAST_VERSIONS.replace("?", "%s")
        asked = (account, time_text(since), time_text(until))
        with self._reading() as tx:
            for row in tx.exec_driver_sql(sql, asked).yield_per(1000):
                yield GivenRating(*row)

    def facts_then(self, account: str, since: datetime) -> dict[str, Mapping[str, Any]]:
        """Return the facts that decisions since then were based on, as they were: {rating_id: facts}."""
        asked = select(audit.c.rating_id, audit.c.facts).where(
            audit.c.account == account, audit.c.at >= since, audit.c.rating_id.is_not(None)
        )
        with self._reading() as tx:
            rows = tx.execute(asked.order_by(audit.c.audit_id.desc()))
            return {rating_id: facts for rating_id, facts in rows if facts}

    def forget_facts(self, account: str, keep: int) -> None:
        """Forget what all but the last *keep* decisions of each outcome were based on.

        Each outcome has its own share, so that a frequent one cannot push out those that people ask about.
        """
        kept = (audit.c.account == account, audit.c.facts != {})
        with self._writing() as tx:
            for (what,) in tx.execute(select(audit.c.what).where(*kept).distinct()).all():
                same = (*kept, audit.c.what == what)
                newest = select(audit.c.audit_id).where(*same).order_by(audit.c.audit_id.desc())
                last = tx.execute(newest.offset(keep).limit(1)).scalar()
                if last is not None:
                    tx.execute(update(audit).where(*same, audit.c.audit_id <= last).values(facts={}))

    def latest(self, account: str, outcome: str, limit: int) -> list[StoredRating]:
        """Return the ratings that last came to an outcome, newest first."""
        asked = select(rating).where(rating.c.account == account, rating.c.outcome == outcome)
        with self._reading() as tx:
            return [stored(row) for row in tx.execute(asked.order_by(rating.c.row_id.desc()).limit(limit))]

    def outcomes(self, account: str) -> dict[str, int]:
        """Return how many ratings came to which outcome."""
        asked = select(rating.c.outcome, func.count()).where(rating.c.account == account, rating.c.outcome.is_not(None))
        with self._reading() as tx:
            return {row[0]: row[1] for row in tx.execute(asked.group_by(rating.c.outcome))}

    def past_tickets(self, account: str) -> dict[str, tuple[Mapping[str, Any], Status]]:
        """Return what was read of tickets for a backtest: {ticket_id: (facts, status)}."""
        asked = select(past_ticket.c.ticket_id, past_ticket.c.facts, past_ticket.c.status)
        with self._reading() as tx:
            rows = tx.execute(asked.where(past_ticket.c.account == account))
            return {ticket_id: (facts, status) for ticket_id, facts, status in rows}

    def put_past_tickets(
        self, account: str, found: Sequence[tuple[str, Mapping[str, Any], Status]], now: datetime
    ) -> None:
        """Keep what was read of tickets: (ticket_id, facts, status) each; a later reading replaces an earlier one."""
        rows = [
            {"account": account, "ticket_id": ticket_id, "facts": facts, "status": status, "read_at": now}
            for ticket_id, facts, status in found
        ]
        if not rows:
            return
        new = self._insert(past_ticket)
        again = {name: new.excluded[name] for name in ("facts", "status", "read_at")}
        with self._writing() as tx:
            tx.execute(new.on_conflict_do_update(index_elements=["account", "ticket_id"], set_=again), rows)
