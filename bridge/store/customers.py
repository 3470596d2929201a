"""What is owed to a customer on every account: the limit of surveys, opting out, goodwill, and their history.

A customer is the key of `model.Case.customer`; no address is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, exists, func, insert, select

from bridge.model import Audit
from bridge.store.cases import LIVE, count, counting, insert_audits
from bridge.store.database import Database
from bridge.store.rows import PastRating, Spending
from bridge.store.tables import TELLING, asked, cases, opted_out, rating, spent
from bridge.store.tables import customer as linked

if TYPE_CHECKING:
    from bridge.rules.values import CountWithin

_ASKING = 0x61736B  # any number: the first half of the advisory locks of who asks a customer
_WROTE = and_(rating.c.account == linked.c.account, rating.c.requester_id == linked.c.requester_id)
_LATER = rating.alias()
_REPLACED = exists().where(
    _LATER.c.account == rating.c.account, _LATER.c.rating_id == rating.c.rating_id, _LATER.c.row_id > rating.c.row_id
)
_HISTORY = (
    select(
        rating.c.account,
        rating.c.ticket_id,
        rating.c.category,
        rating.c.value,
        rating.c.scale_max,
        rating.c.rated_at,
        cases.c.outcome,
    )
    .join(linked, _WROTE)
    .outerjoin(cases, cases.c.case_id == rating.c.case_id)
    .where(linked.c.customer_key == bindparam("customer"), rating.c.rated_at >= bindparam("since"), TELLING, ~_REPLACED)
    .order_by(rating.c.rated_at.desc(), rating.c.row_id.desc())
    .limit(bindparam("limit"))
)
_RECOVERIES = counting(cases, cases.c.customer == bindparam("customer"), cases.c.flagged_at >= bindparam("since"), LIVE)
_SPENT = select(spent.c.currency, spent.c.amount)
_SPENT_ON = _SPENT.where(spent.c.account == bindparam("account"), spent.c.ticket_id == bindparam("ticket_id"))
_SPENT_FOR = _SPENT.where(spent.c.customer == bindparam("customer"), spent.c.at >= bindparam("since"))


class Customers(Database):
    """The verbs about one customer."""

    # -------------------------------------------------------------- asking again
    def may_ask(self, customer: str, asked_for: str, now: datetime, limit: CountWithin | None) -> bool:
        """Tell whether `reserve_survey` would let this question reach its customer."""
        with self._reading() as tx:
            return _may_ask(tx, customer, asked_for, now, limit)

    def reserve_survey(
        self, customer: str, account: str, asked_for: str, now: datetime, limit: CountWithin | None
    ) -> bool:
        """Put down that a customer is asked now; False if other questions, on any account, reached them lately.

        *asked_for* names the question: one that is put down already may be asked again, and counts as asked now.
        Without a limit it is put down all the same.
        """
        row = {"asked_for": asked_for, "account": account, "customer": customer, "at": now}
        new = self._insert(asked).values(row)
        with self._writing() as tx:
            if tx.dialect.name == "postgresql":  # SQLite has one writer anyway
                tx.execute(select(func.pg_advisory_xact_lock(_ASKING, func.hashtext(customer))))
            if not _may_ask(tx, customer, asked_for, now, limit):
                return False
            tx.execute(new.on_conflict_do_update(index_elements=["asked_for"], set_=row))
        return True

    def release_survey(self, asked_for: str) -> None:
        """Forget a question that was not sent."""
        with self._writing() as tx:
            tx.execute(delete(asked).where(asked.c.asked_for == asked_for))

    # -------------------------------------------------------------- opting out
    def opt_out(self, customer: str, now: datetime, why: str) -> None:
        """Ask a customer nothing more, on any account; the first time and reason stay."""
        new = self._insert(opted_out).values(customer=customer, at=now, why=why)
        with self._writing() as tx:
            tx.execute(new.on_conflict_do_nothing())

    def opt_in(self, customer: str) -> None:
        """Let a customer be asked again."""
        with self._writing() as tx:
            tx.execute(delete(opted_out).where(opted_out.c.customer == customer))

    def has_opted_out(self, customer: str) -> bool:
        """Tell whether a customer wants to be asked nothing."""
        with self._reading() as tx:
            return count(tx, opted_out, opted_out.c.customer == customer) > 0

    def opted_out_count(self) -> int:
        """Return how many customers want to be asked nothing."""
        with self._reading() as tx:
            return count(tx, opted_out)

    # -------------------------------------------------------------- goodwill
    def spend(self, spending: Spending, audit: Audit) -> None:
        """Put down what somebody gave to a customer, and who says so."""
        with self._writing() as tx:
            tx.execute(insert(spent).values(**vars(spending)))
            insert_audits(tx, [audit])

    def spent_on(self, account: str, ticket_id: str) -> Mapping[str, Decimal]:
        """Return what was given on a ticket: {currency: sum}."""
        return self._spent(_SPENT_ON, account=account, ticket_id=ticket_id)

    def spent_for(self, customer: str, since: datetime) -> Mapping[str, Decimal]:
        """Return what was given to a customer at or after *since*, on all accounts: {currency: sum}."""
        return self._spent(_SPENT_FOR, customer=customer, since=since)

    def spendings(self, account: str, since: datetime) -> list[Spending]:
        """Return what was given on an account at or after *since*, oldest first."""
        given = select(*[spent.c[one.name] for one in fields(Spending)])
        with self._reading() as tx:
            found = tx.execute(given.where(spent.c.account == account, spent.c.at >= since).order_by(spent.c.spent_id))
            return [Spending(*row) for row in found]

    def _spent(self, asked: Select[Any], **values: Any) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = {}
        with self._reading() as tx:
            for currency, amount in tx.execute(asked, values):
                sums[currency] = sums.get(currency, Decimal()) + amount
        return sums

    # -------------------------------------------------------------- history
    def history_of(self, customer: str, since: datetime, limit: int) -> list[PastRating]:
        """Return the last ratings that a customer gave at or after *since*, on all accounts, newest first.

        Of what came before the bridge acted these are the bad ones.
        """
        asked = {"customer": customer, "since": since, "limit": limit}
        with self._reading() as tx:
            return [PastRating(*row) for row in tx.execute(_HISTORY, asked)]

    def recoveries_of_customer(self, customer: str, since: datetime) -> int:
        """Return how many recoveries began for a customer at or after *since*, without those that were dismissed."""
        with self._reading() as tx:
            return int(tx.execute(_RECOVERIES, {"customer": customer, "since": since}).scalar_one())


def _may_ask(tx: Connection, customer: str, asked_for: str, now: datetime, limit: CountWithin | None) -> bool:
    if limit is None or count(tx, asked, asked.c.asked_for == asked_for):
        return True
    lately = (asked.c.customer == customer, asked.c.at > now - limit.within)
    return count(tx, asked, *lately) < limit.count
