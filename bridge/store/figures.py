"""Figures and lists: what report and dashboard ask about all the cases of a time. Everything is added up in SQL.

One index holds all that is counted, so that no row is read: `case_figures`. Weeks are ranges of it, because a database
knows no time zones that both kinds agree on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, Text, and_, bindparam, cast, func, select, true

from bridge.funnel import (
    BETTER,
    CUSTOMER,
    OURS,
    SAME,
    TEAM,
    WORSE,
    Figures,
    Funnel,
    Group,
    Lag,
    Period,
    Slice,
    figures,
    lag_of,
    weeks_of,
)
from bridge.model import Case, Category, Outcome
from bridge.store.cases import CASE, LIVE, counting
from bridge.store.database import Database
from bridge.store.tables import ACTED_ON, BAD, OPEN, cases, rating

_C = cases.c
_DISMISSED = _C.outcome == Outcome.DISMISSED
_GOOD = _C.word == Category.GOOD
_ACCOUNTS: BindParameter[Any] = bindparam("accounts", expanding=True)
_SPAN = (_C.flagged_at >= bindparam("since"), _C.flagged_at < bindparam("until"), _C.account.in_(_ACCOUNTS))


def _where(condition: ColumnElement[bool]) -> Any:
    return func.count().filter(condition)


_COUNTS = {  # by the fields of Funnel; what was dismissed has no marks
    "flagged": _where(LIVE),
    "assigned": _where(_C.owned),
    "acknowledged": func.count(_C.acknowledged_after),
    "contacted": func.count(_C.contacted_after),
    "solved": func.count(_C.solved_after),
    "surveyed": func.count(_C.asked_after),
    "answered": func.count(_C.word),
    "recovered": _where(_GOOD),
    "dismissed": _where(_DISMISSED & ~_C.is_shadow),
    "shadow": _where(_C.is_shadow),
    "open": _where(OPEN),
    "again": _where(and_(OPEN, _C.word.is_not(None), ~_GOOD)),
}
_ENDS = {outcome: _where(_C.outcome == outcome) for outcome in Outcome if outcome is not Outcome.DISMISSED}
_RATED_BAD = (  # a rating that the customer changes keeps its time: so the index counts it once
    select(rating.c.rating_id)
    .where(
        BAD,
        ACTED_ON,
        rating.c.rated_at >= bindparam("since"),
        rating.c.rated_at < bindparam("until"),
        rating.c.account.in_(_ACCOUNTS),
    )
    .group_by(rating.c.account, rating.c.rated_at, rating.c.rating_id)
)
_BAD_COUNT = counting(_RATED_BAD.subquery())
_CHANGES = (BETTER, SAME, WORSE)


def _listed(length: ColumnElement[int]) -> Any:
    """Return seconds with commas between, to be sorted here: the database takes ten times as long."""
    return func.aggregate_strings(cast(length, Text), ",")


_ASKED = _C.answered_after - _C.asked_after
_LAGS = (  # each with whose it is to answer for
    ("rated to flagged", OURS, _listed(_C.flagged_after)),
    ("flagged to given back", OURS, _listed(_C.written_after)),
    ("flagged to acknowledged", TEAM, _listed(_C.acknowledged_after)),
    ("flagged to contacted", TEAM, _listed(_C.contacted_after)),
    ("flagged to solved", TEAM, _listed(_C.solved_after)),
    ("asked to answered", CUSTOMER, _listed(_ASKED).filter(_ASKED >= 0)),
)
_FUNNEL = select(*_COUNTS.values(), *_ENDS.values()).where(*_SPAN)
_FUNNELS = _FUNNEL.add_columns(_C.labels).group_by(_C.labels)
_WEEK = _FUNNEL.add_columns(*[_where(_C.change == change) for change in _CHANGES], *[found for _, _, found in _LAGS])


@dataclass(frozen=True)
class Which:
    """Which cases a list shows; None: whatever it is. *since* and *until* are about their flagging."""

    account: str | None = None
    is_open: bool | None = None
    outcome: Outcome | None = None
    rule: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Figuring(Database):
    """The verbs of figures and lists."""

    # -------------------------------------------------------------- figures
    def figures(self, accounts: Sequence[str], since: datetime, until: datetime, zone: tzinfo) -> Figures:
        """Return the figures of the cases flagged from *since* until before *until*; weeks begin on Mondays in *zone*.

        Lags are exact.
        """
        period = Period(since, until, accounts)
        with self._reading() as tx:
            weeks = [
                _week(tx, day, Period(begins, ends, accounts)) for day, begins, ends in weeks_of(since, until, zone)
            ]
            groups = _groups(tx, period)
        change = {change: sum(week.change[change] for week in weeks) for change in _CHANGES}
        return figures(period, groups, [week.slice for week in weeks], change, _lags(weeks))

    # -------------------------------------------------------------- lists
    def open_by_urgency(self, account: str | None, limit: int, offset: int = 0) -> list[Case]:
        """Return open cases in the order of `show.by_urgency`: those due first, the newest of the same time first."""
        order = (_C.due_at.nulls_last(), _C.flagged_at.desc(), _C.case_id)
        return self._page(Which(account, is_open=True), order, limit, offset)

    def open_counts(self, account: str | None, now: datetime) -> tuple[int, int]:
        """Return how many open cases there are, and how many of them are overdue."""
        asked = select(func.count(), _where(_C.due_at <= now)).where(_chosen(Which(account, is_open=True)))
        with self._reading() as tx:
            row = tx.execute(asked).one()
        return row[0], row[1]

    def cases_page(self, which: Which, limit: int, offset: int = 0) -> list[Case]:
        """Return cases, the newest first."""
        return self._page(which, (_C.flagged_at.desc(), _C.case_id.desc()), limit, offset)

    def cases_count(self, which: Which) -> int:
        """Return how many cases `cases_page` finds on all its pages."""
        with self._reading() as tx:
            return int(tx.execute(counting(cases, _chosen(which))).scalar_one())

    def _page(self, which: Which, order: Sequence[Any], limit: int, offset: int) -> list[Case]:
        """Return some of the cases in an order; only their rows are read, not those that come before."""
        ids = select(_C.case_id).where(_chosen(which)).order_by(*order).limit(limit).offset(offset)
        with self._reading() as tx:
            found = tx.execute(select(*CASE).where(_C.case_id.in_(ids)).order_by(*order))
            return [Case(*row) for row in found]


def _chosen(which: Which) -> ColumnElement[bool]:
    wanted = [
        _C[name] == value for name in ("account", "outcome", "rule") if (value := getattr(which, name)) is not None
    ]
    if which.is_open is not None:
        wanted.append(OPEN if which.is_open else _C.outcome.is_not(None))
    if which.since:
        wanted.append(_C.flagged_at >= which.since)
    if which.until:
        wanted.append(_C.flagged_at < which.until)
    return and_(true(), *wanted)


# ------------------------------------------------------------------ adding up
@dataclass(frozen=True)
class _Week:
    """What one reading of the index tells about a week; *lists* are seconds with commas between, for each lag."""

    slice: Slice
    change: Mapping[str, int]
    lists: Sequence[str | None]


def _week(tx: Connection, day: date, period: Period) -> _Week:
    rated_bad = tx.execute(_BAD_COUNT, vars(period)).scalar_one()
    row = tx.execute(_WEEK, vars(period)).one()
    rest = row[len(_COUNTS) + len(_ENDS) :]
    change = dict(zip(_CHANGES, rest, strict=False))
    return _Week(Slice(f"{day}", _funnel(row, rated_bad)), change, rest[len(_CHANGES) :])


def _lags(weeks: Sequence[_Week]) -> list[Lag]:
    lists = zip(*[week.lists for week in weeks], strict=True)
    texts = [",".join(filter(None, parts)) for parts in lists] or [""] * len(_LAGS)
    return [lag_of(name, whose, json.loads(f"[{text}]")) for (name, whose, _), text in zip(_LAGS, texts, strict=True)]


def _groups(tx: Connection, period: Period) -> list[Group]:
    return [Group(tuple(json.loads(row.labels)), _funnel(row)) for row in tx.execute(_FUNNELS, vars(period))]


def _funnel(row: Row[Any], rated_bad: int | None = None) -> Funnel:
    counts = dict(zip(_COUNTS, row, strict=False))
    ends: dict[Outcome, int] = {
        outcome: number for outcome, number in zip(_ENDS, row[len(_COUNTS) :], strict=False) if number
    }
    return Funnel(rated_bad=rated_bad, outcomes=ends, **counts)
