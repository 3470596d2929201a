"""Figures and lists: what report and dashboard ask about all the cases of a time.

One index holds all that is counted, so that no row is read: `case_figures`. Weeks are ranges of it, because a database
knows no time zones that both kinds agree on. SQL only lists what stands there: to count that here takes a third of the
time, and what was counted of a week can be kept until the week changes.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from sys import intern
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Text, and_, bindparam, cast, func, select, true

from bridge.funnel import CUSTOMER, OURS, TEAM, Counted, Figures, Period, figures, weeks_of
from bridge.model import Case, Outcome
from bridge.store.cases import CASE, counting
from bridge.store.database import Database
from bridge.store.tables import ACTED_ON, BAD, OPEN, cases, rating

MOST_WEEKS = 200  # that are kept
_C = cases.c
_ACCOUNTS: BindParameter[Any] = bindparam("accounts", expanding=True)
_SPAN = (_C.flagged_at >= bindparam("since"), _C.flagged_at < bindparam("until"), _C.account.in_(_ACCOUNTS))
_BAD_OF_SPAN = (
    BAD,
    ACTED_ON,
    rating.c.rated_at >= bindparam("since"),
    rating.c.rated_at < bindparam("until"),
    rating.c.account.in_(_ACCOUNTS),
)
_RATED_BAD = (  # a rating that the customer changes keeps its time: so the index counts it once
    select(rating.c.rating_id).where(*_BAD_OF_SPAN).group_by(rating.c.account, rating.c.rated_at, rating.c.rating_id)
)
_BAD_COUNT = counting(_RATED_BAD.subquery())


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
_WEEK = select(func.aggregate_strings(_C.counted, "\n"), *[listed for _, _, listed in _LAGS]).where(*_SPAN)
# Of each of these four there is only ever more: no case or rating is taken away, a version rises with every change of a
# case but for `written_after`, which is written once, and a rating that is bad and no memory stays so.
_STAMP = select(
    func.count(),
    func.sum(_C.version),
    func.count(_C.written_after),
    counting(rating, *_BAD_OF_SPAN).scalar_subquery(),
).where(*_SPAN)


class Weeks:
    """What was counted of weeks, for as long as nothing has changed about them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, tuple[Any, Counted]] = OrderedDict()

    def count(self, tx: Connection, week: Period) -> Counted:
        """Count a week, unless that has been done."""
        of, stamp = (*week.accounts, week.since), (week.until, *tx.execute(_STAMP, vars(week)).one())
        found = self._kept.pop(of, None)
        if found is None or found[0] != stamp:
            found = stamp, _counted(tx, week)
        self._kept[of] = found
        if len(self._kept) > MOST_WEEKS:
            self._kept.popitem(last=False)
        return found[1]


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
    def figures(
        self, accounts: Sequence[str], since: datetime, until: datetime, zone: tzinfo, weeks: Weeks | None = None
    ) -> Figures:
        """Return the figures of the cases flagged from *since* until before *until*; weeks begin on Mondays in *zone*.

        They are exact, lags too. With *weeks* those that have not changed are not counted again.
        """
        weeks = weeks or Weeks()
        with self._reading() as tx:
            counted = {
                day: weeks.count(tx, Period(begins, ends, accounts))
                for day, begins, ends in weeks_of(since, until, zone)
            }
        return figures(Period(since, until, accounts), counted, [lag[:2] for lag in _LAGS])

    # -------------------------------------------------------------- lists
    def open_by_urgency(self, account: str | None, limit: int, offset: int = 0) -> list[Case]:
        """Return open cases in the order of `show.by_urgency`: those due first, the newest of the same time first."""
        order = (_C.due_at.nulls_last(), _C.flagged_at.desc(), _C.case_id)
        return self._page(Which(account, is_open=True), order, limit, offset)

    def open_counts(self, account: str | None, now: datetime) -> tuple[int, int]:
        """Return how many open cases there are, and how many of them are overdue."""
        asked = select(func.count(), func.count().filter(_C.due_at <= now)).where(_chosen(Which(account, is_open=True)))
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


# ------------------------------------------------------------------ counting
def _counted(tx: Connection, week: Period) -> Counted:
    rated_bad = tx.execute(_BAD_COUNT, vars(week)).scalar_one()
    marks, *lags = tx.execute(_WEEK, vars(week)).one()
    labelled = Counter(map(intern, marks.split("\n") if marks else ()))  # interned: weeks have most of them in common
    states: Counter[str] = Counter()
    for mark, number in labelled.items():
        states[mark.partition(" [")[0]] += number
    lengths = [array("q", sorted(json.loads(f"[{listed or ''}]"))) for listed in lags]
    return Counted(rated_bad, states, labelled, lengths)
