"""What was decided: cases, their audits, and the one verb that stores a decision."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from datetime import datetime
from functools import reduce
from operator import add, itemgetter
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy import case as choose

from bridge.funnel import marks
from bridge.model import Audit, Case, Change, Decision, Effect, EffectKind, EffectState, Outcome, Stage, Watched
from bridge.store.database import Database
from bridge.store.rows import Counts, RuleCount, Saving, StaleCase
from bridge.store.tables import OPEN, UNDECIDED, UNFINISHED, Words, audit, cases, effect, inbox, rating

_CASE_FIELDS = tuple(one.name for one in fields(Case))
_AUDIT_FIELDS = tuple(one.name for one in fields(Audit))
_EFFECT_FIELDS = tuple(one.name for one in fields(Effect))
_TUPLES = frozenset(one.name for one in fields(Change) if isinstance(one.default, tuple))
CASE = [cases.c[name] for name in _CASE_FIELDS]
_TICKETS = (cases.c.ticket_id, cases.c.work_ticket_id, cases.c.survey_ticket_id)
LIVE = or_(OPEN, cases.c.outcome != Outcome.DISMISSED)
_WAITING = select(effect.c.case_id).where(UNFINISHED, effect.c.kind != EffectKind.ALERT)
_IDLE = cases.c.case_id.not_in(_WAITING)  # one list for all cases: for each of them alone it takes ten times as long
_ASKING = (effect.c.kind == EffectKind.SURVEY) & (effect.c.state == EffectState.PLANNED)
_WRITING = select(effect.c.case_id).where(UNFINISHED, effect.c.kind != EffectKind.ALERT, ~_ASKING)
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

# ------------------------------------------------------------------ what is asked often, put together once


def counting(table: Any, *where: Any) -> Select[Any]:
    """Return the question how many rows of a table there are."""
    return select(func.count()).select_from(table).where(*where)


def _find(*where: Any, order: Any = cases.c.flagged_at) -> Select[Any]:
    return select(*CASE).where(*where).order_by(order, cases.c.case_id)


def _newest(*where: Any) -> Select[Any]:
    return _find(*where, order=_NEWEST_FIRST).limit(1)


def _open_on(tickets: Callable[[Column[Any]], ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return the condition for open cases on tickets; written so that SQLite takes an index for each column."""
    return or_(*[and_(_ACCOUNT, OPEN, tickets(one)) for one in _TICKETS])


_NEWEST_FIRST = cases.c.flagged_at.desc()
_ACCOUNT = cases.c.account == bindparam("account")
_SINCE = cases.c.flagged_at >= bindparam("since")
_CASE = _newest(cases.c.case_id == bindparam("case_id"))
_CASE_OF_RATING = _newest(_ACCOUNT, cases.c.rating_id == bindparam("rating_id"))
_OPEN_CASE_OF = _newest(_ACCOUNT, cases.c.customer == bindparam("customer"), OPEN)
_OPEN_CASE_ON = _newest(_open_on(lambda one: one == bindparam("ticket_id")))
_TICKETS_OF_CASES = select(*_TICKETS).where(_open_on(lambda one: one.in_(bindparam("ticket_ids", expanding=True))))
_DUE = _find(_ACCOUNT, OPEN, cases.c.due_at <= bindparam("now"), _IDLE, order=cases.c.due_at).limit(bindparam("limit"))
NEXT_DUE = select(func.min(cases.c.due_at)).where(_ACCOUNT, OPEN, _IDLE)
_WATCHABLE = (_ACCOUNT, OPEN, cases.c.stage != Stage.UNCONFIRMED, _UNCHANGED)
_IS_NEW = and_(cases.c.seen_at.is_(None), cases.c.confirmed_at > bindparam("known"))  # unconfirmed: not looked at
_WATCHED = (
    select(
        func.coalesce(cases.c.work_ticket_id, cases.c.ticket_id),
        cases.c.seen_stamp,
        cases.c.flagged_at,
        cases.c.seen_at,
        _IS_NEW,
    )
    .where(*_WATCHABLE)
    .order_by(cases.c.flagged_at, cases.c.case_id)
)
_UNWATCHED = (
    select(cases.c.case_id)
    .where(_ACCOUNT, OPEN, cases.c.stage != Stage.UNCONFIRMED, cases.c.case_id.in_(_WRITING))
    .limit(1)
)
_HELD = _find(*_WATCHABLE, cases.c.assignee_id.in_(bindparam("agent_ids", expanding=True)))
_FLAGGED = counting(cases, _ACCOUNT, _SINCE, cases.c.incident.is_(None), LIVE)
_RECOVERIES = counting(cases, _ACCOUNT, cases.c.ticket_id == bindparam("ticket_id"), LIVE)
_LOAD = (
    select(cases.c.assignee_id, func.count())
    .where(_ACCOUNT, OPEN, cases.c.assignee_id.is_not(None))
    .group_by(cases.c.assignee_id)
)
_INSERT_CASES, _INSERT_AUDITS, _INSERT_EFFECTS = insert(cases), insert(audit), insert(effect)
_MILESTONES = ("acknowledged_after", "contacted_after", "solved_after", "asked_after", "answered_after")
_STEPS = {  # of the funnel, by their milestones
    "acknowledged_after": " acknowledged",
    "contacted_after": " contacted",
    "solved_after": " solved",
    "asked_after": " surveyed",
}


def _if_it_counts(marked: ColumnElement[Any]) -> ColumnElement[Any]:
    return choose((bindparam("counts", type_=Boolean), marked))


def _reached(milestone: str) -> ColumnElement[Any]:
    return func.coalesce(cases.c[milestone], bindparam(f"now_{milestone}", type_=Integer))


def _counted() -> ColumnElement[str]:
    """Return what `case_row` says of a case, with the milestones that it reached before."""
    none = literal_column("''", Text)
    steps = [
        choose((_reached(name).is_not(None), literal_column(f"'{step}'", Text)), else_=none)
        for name, step in _STEPS.items()
    ]
    reached = func.coalesce(_if_it_counts(reduce(add, steps)), none)
    return bindparam("facts", type_=Text) + reached + bindparam("labels", type_=Words)


_UPDATE_CASE = (  # a case that begins anew keeps what it has reached; one that is dismissed counts nowhere
    update(cases)
    .where(cases.c.case_id == bindparam("id"), cases.c.version == bindparam("at"))
    .values(
        written_after=_if_it_counts(cases.c.written_after),
        counted=_counted(),
        **{name: _if_it_counts(_reached(name)) for name in _MILESTONES},
    )
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
        return self._first_case(_CASE, case_id=case_id)

    def open_case_of(self, account: str, customer: str) -> Case | None:
        """Return the open case of a customer on an account."""
        return self._first_case(_OPEN_CASE_OF, account=account, customer=customer)

    def open_case_on(self, account: str, ticket_id: str) -> Case | None:
        """Return the open case that began with a ticket, or whose recovery or survey happens on it."""
        return self._first_case(_OPEN_CASE_ON, account=account, ticket_id=ticket_id)

    def open_cases_on(self, account: str, ticket_ids: Collection[str]) -> set[str]:
        """Return which of these tickets `open_case_on` finds a case for."""
        wanted = list(ticket_ids)
        with self._reading() as tx:
            rows = tx.execute(_TICKETS_OF_CASES, {"account": account, "ticket_ids": wanted}).all()
        return {ticket_id for row in rows for ticket_id in row} & set(wanted)

    def case_of_rating(self, account: str, rating_id: str) -> Case | None:
        """Return the newest case that a rating opened."""
        return self._first_case(_CASE_OF_RATING, account=account, rating_id=rating_id)

    def cases(self, *, open_only: bool = False, account: str | None = None, limit: int | None = None) -> list[Case]:
        """Return cases, newest first."""
        where = ([OPEN] if open_only else []) + ([cases.c.account == account] if account else [])
        return self._cases(_find(*where, order=_NEWEST_FIRST).limit(limit))

    def due_cases(self, account: str, now: datetime, limit: int) -> list[Case]:
        """Return open cases whose next step is due and that wait for no write, the most overdue first.

        An alert that is held back, say for quiet hours, stops no deadline.
        """
        return self._cases(_DUE, account=account, now=now, limit=limit)

    def next_due_at(self, account: str) -> datetime | None:
        """Return when the next step of an open case that waits for no write is due, None if there is none."""
        with self._reading() as tx:
            return tx.execute(NEXT_DUE, {"account": account}).scalar()

    def watchable(self, account: str, known: datetime) -> list[Watched]:
        """Return the tickets of open, confirmed cases that wait for no write, but perhaps for a question.

        Deeds before *known* are known of those that were confirmed by then. There may be many: no more is read of them
        than it takes.
        """
        with self._reading() as tx:
            return [
                Watched(ticket_id, stamp, max(flagged_at if new else known, flagged_at, seen_at or flagged_at))
                for ticket_id, stamp, flagged_at, seen_at, new in tx.execute(
                    _WATCHED, {"account": account, "known": known}
                )
            ]

    def has_unwatched(self, account: str) -> bool:
        """Tell whether a confirmed case is missing from `watchable` because it waits for a write."""
        with self._reading() as tx:
            return tx.execute(_UNWATCHED, {"account": account}).first() is not None

    def held_by(self, account: str, agent_ids: Collection[str]) -> list[Case]:
        """Return those cases of `watchable` that these agents have."""
        if not agent_ids:
            return []
        return self._cases(_HELD, account=account, agent_ids=list(agent_ids))

    def open_cases_of_incident(self, account: str, incident: str) -> list[Case]:
        """Return the open cases that an incident has made on an account, oldest first."""
        return self._cases(_find(cases.c.account == account, cases.c.incident == incident, OPEN))

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
        found = self._cases(select(*CASE).where(OPEN, nobody | aimless))  # in an order SQLite would walk all cases
        return sorted(found, key=lambda case: (case.flagged_at, case.case_id))

    def flagged_since(self, account: str, since: datetime) -> int:
        """Return how many live recoveries an account began at or after *since*, without those of an incident."""
        with self._reading() as tx:
            return int(tx.execute(_FLAGGED, {"account": account, "since": since}).scalar_one())

    def recoveries_of(self, account: str, ticket_id: str) -> int:
        """Return how many recoveries a ticket has had, without those that were dismissed."""
        with self._reading() as tx:
            return int(tx.execute(_RECOVERIES, {"account": account, "ticket_id": ticket_id}).scalar_one())

    def open_load(self, account: str) -> Counter[str]:
        """Return how many open cases each agent has: {assignee_id: cases}."""
        with self._reading() as tx:
            return Counter({row[0]: row[1] for row in tx.execute(_LOAD, {"account": account})})

    def _first_case(self, asked: Select[Any], **values: Any) -> Case | None:
        found = self._cases(asked, **values)
        return found[0] if found else None

    def _cases(self, asked: Select[Any], **values: Any) -> list[Case]:
        with self._reading() as tx:
            return [Case(*row) for row in tx.execute(asked, values)]

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
        tally = (effect.c.kind, effect.c.state)  # in the order of their index, which needs no row then
        by_state = select(*tally, func.count()).where(effect.c.account == account).group_by(*tally)
        by_rule = select(cases.c.rule, func.count(), func.max(cases.c.flagged_at)).where(cases.c.account == account)
        with self._reading() as tx:
            effects: Counter[EffectState] = Counter()
            for _, state, number in tx.execute(by_state):
                effects[state] += number
            return Counts(
                pending=count(tx, rating, *undecided),
                failed=count(tx, rating, *undecided, rating.c.error.is_not(None)) + count(tx, inbox, *failed),
                open_cases=count(tx, cases, *live),
                overdue=count(tx, cases, *live, cases.c.due_at <= now),
                oldest_due_at=tx.execute(select(func.min(cases.c.due_at)).where(*live)).scalar(),
                effects=effects,
                rules={
                    rule: RuleCount(count, last) for rule, count, last in tx.execute(by_rule.group_by(cases.c.rule))
                },
            )


# ------------------------------------------------------------------ writing rows
def insert_cases(tx: Connection, new: Sequence[Case]) -> None:
    """Insert cases; the unique indices refuse a second open one of a customer or on a ticket."""
    if new:
        tx.execute(_INSERT_CASES, [case_row(case) for case in new])


def update_case(tx: Connection, case: Case, expected_version: int) -> None:
    """Replace a case. Raises StaleCase unless it is still at *expected_version*."""
    row = _marked_row(case) | {"id": case.case_id, "at": expected_version}
    row |= {f"now_{name}": row.pop(name) for name in _MILESTONES}
    row["counts"] = case.outcome is not Outcome.DISMISSED
    if tx.execute(_UPDATE_CASE, row).rowcount != 1:
        raise StaleCase(f"case {case.case_id} is no longer at version {expected_version}; read it again")


def insert_audits(tx: Connection, new: Sequence[Audit]) -> None:
    """Append audits."""
    tx.execute(_INSERT_AUDITS, [{name: getattr(one, name) for name in _AUDIT_FIELDS} for one in new])


def insert_effects(
    tx: Connection, new: Sequence[Effect], now: datetime, state: EffectState = EffectState.PLANNED
) -> None:
    """Insert effects in their order."""
    if new:
        tx.execute(_INSERT_EFFECTS, [_effect_row(one) | {"planned_at": now, "state": state} for one in new])


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


def case_row(case: Case) -> dict[str, Any]:
    """Return the values of a new case, with what figures count of it."""
    row = _marked_row(case)
    steps = [step for milestone, step in _STEPS.items() if row[milestone] is not None]
    return row | {"counted": "".join([row.pop("facts"), *steps, row.pop("labels")])}


def _marked_row(case: Case) -> dict[str, Any]:
    found = marks(case)
    said = {"facts": " ".join(found.facts), "labels": f" {json.dumps(found.labels, ensure_ascii=False)}"}
    return {name: getattr(case, name) for name in _CASE_FIELDS} | vars(found) | said


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


def count(tx: Connection, table: Any, *where: Any) -> int:
    """Return how many rows of a table there are."""
    return int(tx.execute(counting(table, *where)).scalar_one())
