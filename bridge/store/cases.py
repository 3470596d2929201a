"""What was decided: cases, their audits, and the one verb that stores a decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, insert, or_, select, update

from bridge.model import Audit, Case, Change, Decision, Effect, EffectKind, EffectState, Outcome, Stage, Watched
from bridge.store.database import Database
from bridge.store.rows import Counts, RuleCount, Saving, StaleCase
from bridge.store.tables import OPEN, UNDECIDED, audit, cases, effect, inbox, rating

UNFINISHED = (EffectState.PLANNED, EffectState.SENDING)
_CASE_FIELDS = tuple(one.name for one in fields(Case))
_AUDIT_FIELDS = tuple(one.name for one in fields(Audit))
_EFFECT_FIELDS = tuple(one.name for one in fields(Effect))
_TUPLES = frozenset(one.name for one in fields(Change) if isinstance(one.default, tuple))
CASE = [cases.c[name] for name in _CASE_FIELDS]
_TICKETS = (cases.c.ticket_id, cases.c.work_ticket_id, cases.c.survey_ticket_id)
LIVE = or_(OPEN, cases.c.outcome != Outcome.DISMISSED)
_WAITING = select(effect.c.case_id).where(effect.c.state.in_(UNFINISHED), effect.c.kind != EffectKind.ALERT)
_IDLE = cases.c.case_id.not_in(_WAITING)  # one list for all cases: for each of them alone it takes ten times as long
_ASKING = (effect.c.kind == EffectKind.SURVEY) & (effect.c.state == EffectState.PLANNED)
_WRITING = select(effect.c.case_id).where(effect.c.state.in_(UNFINISHED), effect.c.kind != EffectKind.ALERT, ~_ASKING)
_UNCHANGED = cases.c.case_id.not_in(_WRITING)  # a question may wait all night, and gives the ticket to nobody
_SEEN = (
    update(cases)
    .where(cases.c.case_id == bindparam("id"), cases.c.version == bindparam("at"))
    .values(seen_stamp=bindparam("stamp"), seen_at=bindparam("now"))
)
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
        """Return the open case that began with a ticket, or whose recovery or survey happens on it."""
        return self._first_case(_open_on(account, [ticket_id]))

    def open_cases_on(self, account: str, ticket_ids: Collection[str]) -> set[str]:
        """Return which of these tickets `open_case_on` finds a case for."""
        wanted = list(ticket_ids)
        asked = select(*_TICKETS).where(_open_on(account, wanted))
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
        """Return open cases whose next step is due and that wait for no write, the most overdue first.

        An alert that is held back, say for quiet hours, stops no deadline.
        """
        return self._cases(
            cases.c.account == account, OPEN, cases.c.due_at <= now, _IDLE, order=cases.c.due_at, limit=limit
        )

    def watchable(self, account: str, known: datetime) -> list[Watched]:
        """Return the tickets of open, confirmed cases that wait for no write, but perhaps for a question.

        Deeds before *known* are known of those that were confirmed by then. There may be many: no more is read of them
        than it takes.
        """
        carrier = func.coalesce(cases.c.work_ticket_id, cases.c.ticket_id)
        is_new = and_(cases.c.seen_at.is_(None), cases.c.confirmed_at > known)  # unconfirmed ones are not looked at
        asked = select(carrier, cases.c.seen_stamp, cases.c.flagged_at, cases.c.seen_at, is_new)
        asked = asked.where(*_worth_watching(account)).order_by(cases.c.flagged_at, cases.c.case_id)
        with self._reading() as tx:
            return [
                Watched(ticket_id, stamp, max(flagged_at if new else known, flagged_at, seen_at or flagged_at))
                for ticket_id, stamp, flagged_at, seen_at, new in tx.execute(asked)
            ]

    def has_unwatched(self, account: str) -> bool:
        """Tell whether a confirmed case is missing from `watchable` because it waits for a write."""
        confirmed = (cases.c.account == account, OPEN, cases.c.stage != Stage.UNCONFIRMED)
        asked = select(cases.c.case_id).where(*confirmed, cases.c.case_id.in_(_WRITING)).limit(1)
        with self._reading() as tx:
            return tx.execute(asked).first() is not None

    def held_by(self, account: str, agent_ids: Collection[str]) -> list[Case]:
        """Return those cases of `watchable` that these agents have."""
        if not agent_ids:
            return []
        theirs = cases.c.assignee_id.in_(list(agent_ids))
        return self._cases(*_worth_watching(account), theirs, order=cases.c.flagged_at)

    def open_cases_of_incident(self, account: str, incident: str) -> list[Case]:
        """Return the open cases that an incident has made on an account, oldest first."""
        return self._cases(cases.c.account == account, cases.c.incident == incident, OPEN, order=cases.c.flagged_at)

    def seen(self, case: Case, stamp: str, at: datetime) -> None:
        """Record one; see `seen_all`."""
        self.seen_all([(case, stamp, at)])

    def seen_all(self, looks: Sequence[tuple[Case, str, datetime]]) -> None:
        """Record how tickets looked when nothing about their cases changed: (case, stamp, when) each.

        Nothing happens to a case that has moved meanwhile.
        """
        rows = [{"id": case.case_id, "at": case.version, "stamp": stamp, "now": now} for case, stamp, now in looks]
        if not rows:
            return
        rows.sort(key=itemgetter("id"))  # so that two processes cannot wait for each other
        with self._writing() as tx:
            tx.execute(_SEEN, rows)

    def orphans(self) -> list[Case]:
        """Return open cases that nobody has, or that nothing will ever happen to: there should be none."""
        nobody = cases.c.assignee_id.is_(None) & cases.c.group_id.is_(None)
        aimless = cases.c.due_at.is_(None) | (cases.c.next_step == "")
        return self._cases(OPEN, nobody | aimless, order=cases.c.flagged_at)

    def flagged_since(self, account: str, since: datetime) -> int:
        """Return how many live recoveries an account began at or after *since*, without those of an incident."""
        alone = cases.c.incident.is_(None)
        with self._reading() as tx:
            return count(tx, cases, cases.c.account == account, cases.c.flagged_at >= since, alone, LIVE)

    def recoveries_of(self, account: str, ticket_id: str) -> int:
        """Return how many recoveries a ticket has had, without those that were dismissed."""
        with self._reading() as tx:
            return count(tx, cases, cases.c.account == account, cases.c.ticket_id == ticket_id, LIVE)

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
        asked = select(*CASE).where(*where).order_by(order, cases.c.case_id).limit(limit)
        with self._reading() as tx:
            return [Case(*row) for row in tx.execute(asked)]

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
                pending=count(tx, rating, *undecided),
                failed=count(tx, rating, *undecided, rating.c.error.is_not(None)) + count(tx, inbox, *failed),
                open_cases=count(tx, cases, *live),
                overdue=count(tx, cases, *live, cases.c.due_at <= now),
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
    return {name: getattr(case, name) for name in _CASE_FIELDS}


def _effect_row(planned: Effect) -> dict[str, Any]:
    row = {name: getattr(planned, name) for name in _EFFECT_FIELDS}
    row["change"] = {
        one.name: value for one in fields(Change) if (value := getattr(planned.change, one.name)) != one.default
    }
    return row


# ------------------------------------------------------------------ reading rows
def effect_of(row: Row[Any]) -> Effect:
    """Read a row of `effect`."""
    found = {name: getattr(row, name) for name in _EFFECT_FIELDS}
    change: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in row.change.items()}
    found["change"] = Change(**change)
    return Effect(**found)


def _worth_watching(account: str) -> tuple[ColumnElement[bool], ...]:
    return cases.c.account == account, OPEN, cases.c.stage != Stage.UNCONFIRMED, _UNCHANGED


def _open_on(account: str, ticket_ids: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition for open cases on these tickets; written so that SQLite takes an index for each column."""
    return or_(*[and_(cases.c.account == account, OPEN, one.in_(ticket_ids)) for one in _TICKETS])


def count(tx: Connection, table: Any, *where: Any) -> int:
    """Return how many rows of a table there are."""
    return int(tx.execute(select(func.count()).select_from(table).where(*where)).scalar_one())
