"""What was decided: cases, their audits, and the one verb that stores a decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, func, insert, or_, select, update

from bridge.model import Audit, Case, Change, Decision, Effect, EffectState, LadderStep, Outcome, Stage
from bridge.store.database import Database
from bridge.store.rows import Counts, RuleCount, Saving, StaleCase
from bridge.store.tables import OPEN, UNDECIDED, audit, cases, effect, inbox, rating

UNFINISHED = (EffectState.PLANNED, EffectState.SENDING)
_CASE_FIELDS = tuple(one.name for one in fields(Case))
_AUDIT_FIELDS = tuple(one.name for one in fields(Audit))
_EFFECT_FIELDS = tuple(one.name for one in fields(Effect))
_TUPLES = frozenset(one.name for one in fields(Change) if isinstance(one.default, tuple))
_WAITING = effect.c.state.in_(UNFINISHED)
_DECIDED = (
    update(rating)
    .where(rating.c.row_id == bindparam("row"), UNDECIDED)
    .values(outcome=bindparam("what"), why=bindparam("because"), case_id=bindparam("case"), error=None)
)


class Cases(Database):
    """The verbs of cases and audits."""

    # -------------------------------------------------------------- storing decisions
    def save(
        self,
        decision: Decision,
        *,
        expected_version: int | None = None,
        rating_row: int | None = None,
        rating_outcome: str | None = None,
        effect_state: EffectState = EffectState.PLANNED,
    ) -> None:
        """Store one decision; see `save_all`."""
        self.save_all([Saving(decision, expected_version, rating_row, rating_outcome, effect_state)])

    def save_all(self, savings: Sequence[Saving]) -> None:
        """Store decisions in one transaction: cases, audits, effects, and what became of their ratings.

        Raises StaleCase, and stores nothing at all, if a case is no longer at the version it was read at, if the
        customer or the ticket has got an open case meanwhile, or if a rating has been decided already.
        """
        if not savings:
            return
        with self._writing() as tx:
            _settle_ratings(tx, savings)
            insert_cases(
                tx, [one.decision.case for one in savings if one.decision.case and one.expected_version is None]
            )
            for one in savings:
                if one.decision.case and one.expected_version is not None:
                    update_case(tx, one.decision.case, one.expected_version)
            insert_audits(tx, [one.decision.audit for one in savings])
            for one in savings:
                insert_effects(tx, one.decision.effects, one.decision.audit.at, one.effect_state)

    # -------------------------------------------------------------- finding cases
    def case(self, case_id: str) -> Case | None:
        """Return one case."""
        return self._first_case(cases.c.case_id == case_id)

    def open_case_of(self, account: str, customer: str) -> Case | None:
        """Return the open case of a customer on an account."""
        return self._first_case(cases.c.account == account, cases.c.customer == customer, OPEN)

    def open_case_on(self, account: str, ticket_id: str) -> Case | None:
        """Return the open case that began with a ticket, or whose recovery happens on it."""
        on = or_(cases.c.ticket_id == ticket_id, cases.c.work_ticket_id == ticket_id)
        return self._first_case(cases.c.account == account, on, OPEN)

    def open_cases_on(self, account: str, ticket_ids: Collection[str]) -> set[str]:
        """Return which of these tickets `open_case_on` finds a case for."""
        wanted = list(ticket_ids)
        on = or_(cases.c.ticket_id.in_(wanted), cases.c.work_ticket_id.in_(wanted))
        asked = select(cases.c.ticket_id, cases.c.work_ticket_id).where(cases.c.account == account, OPEN, on)
        with self._reading() as tx:
            return {ticket_id for row in tx.execute(asked) for ticket_id in row} & set(wanted)

    def case_of_rating(self, account: str, rating_id: str) -> Case | None:
        """Return the newest case that a rating opened."""
        return self._first_case(cases.c.account == account, cases.c.rating_id == rating_id)

    def cases(self, *, open_only: bool = False, account: str | None = None, limit: int | None = None) -> list[Case]:
        """Return cases, newest first."""
        where = ([OPEN] if open_only else []) + ([cases.c.account == account] if account else [])
        return self._cases(*where, order=cases.c.flagged_at.desc(), limit=limit)

    def due_cases(self, account: str, now: datetime, limit: int) -> list[Case]:
        """Return open cases whose next step is due and that wait for no effect, the most overdue first."""
        waits = exists().where(effect.c.case_id == cases.c.case_id, _WAITING)
        return self._cases(
            cases.c.account == account, OPEN, cases.c.due_at <= now, ~waits, order=cases.c.due_at, limit=limit
        )

    def watchable(self, account: str) -> list[Case]:
        """Return open, confirmed cases that wait for no effect: those whose people are worth watching."""
        waits = exists().where(effect.c.case_id == cases.c.case_id, _WAITING)
        confirmed = cases.c.stage != Stage.UNCONFIRMED
        return self._cases(cases.c.account == account, OPEN, confirmed, ~waits, order=cases.c.flagged_at)

    def seen(self, case: Case, stamp: str, at: datetime) -> None:
        """Record how a ticket looked when nothing about its case changed."""
        looked = update(cases).where(cases.c.case_id == case.case_id, cases.c.version == case.version)
        with self._writing() as tx:
            tx.execute(looked.values(seen_stamp=stamp, seen_at=at))

    def orphans(self) -> list[Case]:
        """Return open cases that nobody has, or that nothing will ever happen to: there should be none."""
        nobody = cases.c.assignee_id.is_(None) & cases.c.group_id.is_(None)
        return self._cases(OPEN, nobody | cases.c.due_at.is_(None), order=cases.c.flagged_at)

    def flagged_since(self, account: str, since: datetime) -> int:
        """Return how many live recoveries an account began at or after *since*."""
        live = or_(cases.c.outcome.is_(None), cases.c.outcome != Outcome.DISMISSED)
        with self._reading() as tx:
            return _count(tx, cases, cases.c.account == account, cases.c.flagged_at >= since, live)

    def recoveries_of(self, account: str, ticket_id: str) -> int:
        """Return how many recoveries a ticket has had, without those that were dismissed."""
        live = or_(cases.c.outcome.is_(None), cases.c.outcome != Outcome.DISMISSED)
        with self._reading() as tx:
            return _count(tx, cases, cases.c.account == account, cases.c.ticket_id == ticket_id, live)

    def open_load(self, account: str) -> Counter[str]:
        """Return how many open cases each agent has: {assignee_id: cases}."""
        asked = select(cases.c.assignee_id, func.count()).where(cases.c.account == account, OPEN)
        with self._reading() as tx:
            found = tx.execute(asked.where(cases.c.assignee_id.is_not(None)).group_by(cases.c.assignee_id))
            return Counter({row[0]: row[1] for row in found})

    def _first_case(self, *where: Any) -> Case | None:
        found = self._cases(*where, order=cases.c.flagged_at.desc(), limit=1)
        return found[0] if found else None

    def _cases(self, *where: Any, order: Any, limit: int | None = None) -> list[Case]:
        asked = select(cases).where(*where).order_by(order, cases.c.case_id).limit(limit)
        with self._reading() as tx:
            return [case_of(row) for row in tx.execute(asked)]

    # -------------------------------------------------------------- looking back
    def audits(
        self,
        account: str | None = None,
        ticket_id: str | None = None,
        case_id: str | None = None,
        limit: int | None = None,
    ) -> list[Audit]:
        """Return audits in the order of the decisions; with a limit, the last ones."""
        given = {audit.c.account: account, audit.c.ticket_id: ticket_id, audit.c.case_id: case_id}
        asked = select(audit).where(*(column == value for column, value in given.items() if value is not None))
        with self._reading() as tx:
            found = tx.execute(asked.order_by(audit.c.audit_id.desc()).limit(limit)).all()
        return [Audit(**{name: getattr(row, name) for name in _AUDIT_FIELDS}) for row in reversed(found)]

    def counts(self, account: str, now: datetime) -> Counts:
        """Return the figures of one account for `status`."""
        undecided = (rating.c.account == account, UNDECIDED)
        failed = (inbox.c.account == account, inbox.c.error.is_not(None), inbox.c.state != "done")
        live = (cases.c.account == account, OPEN)
        by_state = select(effect.c.state, func.count()).where(effect.c.account == account).group_by(effect.c.state)
        by_rule = select(cases.c.rule, func.count(), func.max(cases.c.flagged_at)).where(cases.c.account == account)
        with self._reading() as tx:
            return Counts(
                pending=_count(tx, rating, *undecided),
                failed=_count(tx, rating, *undecided, rating.c.error.is_not(None)) + _count(tx, inbox, *failed),
                open_cases=_count(tx, cases, *live),
                overdue=_count(tx, cases, *live, cases.c.due_at <= now),
                oldest_due_at=tx.execute(select(func.min(cases.c.due_at)).where(*live)).scalar(),
                effects={row[0]: row[1] for row in tx.execute(by_state)},
                rules={
                    rule: RuleCount(count, last) for rule, count, last in tx.execute(by_rule.group_by(cases.c.rule))
                },
            )


# ------------------------------------------------------------------ writing rows
def insert_cases(tx: Connection, new: Sequence[Case]) -> None:
    """Insert cases; the unique indices refuse a second open one of a customer or on a ticket."""
    if new:
        tx.execute(insert(cases), [_case_row(case) for case in new])


def update_case(tx: Connection, case: Case, expected_version: int) -> None:
    """Replace a case. Raises StaleCase unless it is still at *expected_version*."""
    here = update(cases).where(cases.c.case_id == case.case_id, cases.c.version == expected_version)
    if tx.execute(here.values(_case_row(case))).rowcount != 1:
        raise StaleCase(f"case {case.case_id} is no longer at version {expected_version}; read it again")


def insert_audits(tx: Connection, new: Sequence[Audit]) -> None:
    """Append audits."""
    tx.execute(insert(audit), [{name: getattr(one, name) for name in _AUDIT_FIELDS} for one in new])


def insert_effects(
    tx: Connection, new: Sequence[Effect], now: datetime, state: EffectState = EffectState.PLANNED
) -> None:
    """Insert effects in their order."""
    if new:
        tx.execute(insert(effect), [_effect_row(one) | {"planned_at": now, "state": state} for one in new])


def _settle_ratings(tx: Connection, savings: Sequence[Saving]) -> None:
    rows = [
        {
            "row": one.rating_row,
            "what": one.rating_outcome,
            "because": one.decision.audit.reason,
            "case": one.decision.case.case_id if one.decision.case else one.decision.audit.case_id,
        }
        for one in sorted(savings, key=lambda one: one.rating_row or 0)
        if one.rating_row is not None
    ]
    if rows and tx.execute(_DECIDED, rows).rowcount != len(rows):
        raise StaleCase("a rating has been decided already; read again what is pending")


def _case_row(case: Case) -> dict[str, Any]:
    row = {name: getattr(case, name) for name in _CASE_FIELDS}
    row["ladder"] = [asdict(step) for step in case.ladder]
    return row


def _effect_row(planned: Effect) -> dict[str, Any]:
    row = {name: getattr(planned, name) for name in _EFFECT_FIELDS}
    row["change"] = {
        one.name: value for one in fields(Change) if (value := getattr(planned.change, one.name)) != one.default
    }
    return row


# ------------------------------------------------------------------ reading rows
def case_of(row: Row[Any]) -> Case:
    """Read a row of `cases`."""
    found = {name: getattr(row, name) for name in _CASE_FIELDS}
    found["ladder"] = tuple(LadderStep(**step) for step in row.ladder)
    return Case(**found)


def effect_of(row: Row[Any]) -> Effect:
    """Read a row of `effect`."""
    found = {name: getattr(row, name) for name in _EFFECT_FIELDS}
    change: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in row.change.items()}
    found["change"] = Change(**change)
    return Effect(**found)


def _count(tx: Connection, table: Any, *where: Any) -> int:
    return int(tx.execute(select(func.count()).select_from(table).where(*where)).scalar_one())
