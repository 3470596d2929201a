"""Vital signs: how regularly something comes in, what waits for how long, and what is counted for `/metrics`.

Asked for again and again, beside the work: each answer takes an index, or looks only at what is new since the last one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, or_, select, union_all

from bridge.model import EffectState, Outcome
from bridge.silence import Rhythm
from bridge.store.cases import LIVE, NEXT_DUE, counting
from bridge.store.database import Database
from bridge.store.effects import next_effects
from bridge.store.tables import DECIDED, MISSED, OPEN, UNDECIDED, Time, cases, effect, inbox, rating, time_text

_SECONDS = {"sqlite": "86400.0 * julianday(at)", "postgresql": "extract(epoch FROM at::timestamptz)"}
_PAUSES = (
    "SELECT count(*), min(at), max(at), max(pause) FROM"
    " (SELECT at, {seconds} - lag({seconds}) OVER (ORDER BY at) AS pause FROM ({given}) AS given) AS pauses"
)
_RATED = "SELECT rated_at AS at FROM rating WHERE account = ? AND source <> 'request'"
_RATED_SINCE = (  # each half has an index; memory, which has none, is no news
    f"{_RATED} AND outcome IS NULL AND rated_at > ? UNION ALL {_RATED} AND outcome <> 'memory' AND rated_at > ?"
)
_FLAGGED = "SELECT flagged_at AS at FROM cases WHERE account = ?"
_FLAGGED_SINCE = f"{_FLAGGED} AND flagged_at > ?"
_STORED = "SELECT account, source, category FROM rating WHERE row_id > ? AND row_id <= ?"  # past SQLAlchemy's types

_NOW = bindparam("now", type_=Time())
_OF_RATINGS = rating.c.account == bindparam("account")
_OF_CASES = cases.c.account == bindparam("account")
_OF_EFFECTS = effect.c.account == bindparam("account")
_STAGES = select(cases.c.account, cases.c.stage, func.count()).where(OPEN).group_by(cases.c.account, cases.c.stage)
_TALLY = (effect.c.kind, effect.c.state, effect.c.account)  # in the order of their index
_EFFECTS = select(*_TALLY, func.count()).group_by(*_TALLY)
_MISSED = select(effect.c.account, func.count()).where(MISSED).group_by(effect.c.account)
_GIVEN_LATELY = select(rating.c.seen_at, rating.c.rated_at).where(
    _OF_RATINGS, rating.c.rated_at >= bindparam("since"), rating.c.source != "request"
)
_LATELY = union_all(_GIVEN_LATELY.where(UNDECIDED), _GIVEN_LATELY.where(DECIDED))


def _waiting(table: Any, begun_at: Any, *where: Any) -> Select[Any]:
    """Return the question since when the oldest row of a table could have been worked on."""
    ready = or_(table.c.not_before.is_(None), table.c.not_before <= _NOW)
    return select(func.min(func.coalesce(table.c.not_before, begun_at, type_=Time()))).where(ready, *where)


_OLDEST_RATING = _waiting(rating, rating.c.seen_at, _OF_RATINGS, UNDECIDED)
_OLDEST_HINT = _waiting(
    inbox, inbox.c.received_at, and_(inbox.c.account == bindparam("account"), inbox.c.state == "new")
)
_OLDEST_EFFECT = next_effects(func.min(func.coalesce(effect.c.not_before, effect.c.planned_at, type_=Time()))).where(
    or_(effect.c.not_before.is_(None), effect.c.not_before <= _NOW)
)
_ENDED = select(cases.c.outcome, func.count()).where(_OF_CASES, cases.c.ended_at >= bindparam("since"))
_ENDED = _ENDED.group_by(cases.c.outcome)
_BEGAN = counting(cases, _OF_CASES, cases.c.flagged_at >= bindparam("since"), LIVE)
_DONE = counting(
    effect,
    _OF_EFFECTS,
    effect.c.state.in_((EffectState.APPLIED, EffectState.ADOPTED)),
    effect.c.last_sent_at >= bindparam("since"),
)


@dataclass(frozen=True)
class Doings:
    """What happened on an account in some time; dismissed cases do not count."""

    began: int
    ended: int
    recovered: int
    effects: int  # that were carried out


class Vitals(Database):
    """The verbs of vital signs."""

    # -------------------------------------------------------------- how regularly something comes in
    def rhythm_of_ratings(self, account: str, after: datetime | None = None) -> Rhythm:
        """Return how regularly customers rated, memory included; with *after* of the later ones that are no memory."""
        if after is None:
            return self._rhythm(_RATED, account)
        return self._rhythm(_RATED_SINCE, account, time_text(after), account, time_text(after))

    def rhythm_of_flags(self, account: str, after: datetime | None = None) -> Rhythm:
        """Return how regularly recoveries began; with *after* of the later ones."""
        if after is None:
            return self._rhythm(_FLAGGED, account)
        return self._rhythm(_FLAGGED_SINCE, account, time_text(after))

    def _rhythm(self, given: str, *asked: str) -> Rhythm:
        sql = _PAUSES.format(seconds=_SECONDS[self.engine.dialect.name], given=given)
        with self._reading() as tx:
            row = tx.exec_driver_sql(self._sql(sql), asked).one()
        if not row[0]:
            return Rhythm()
        first_at, last_at = map(datetime.fromisoformat, row[1:3])
        return Rhythm(row[0], first_at, last_at, timedelta(seconds=float(row[3] or 0)))

    # -------------------------------------------------------------- what is counted
    def ratings_stored(self, after_row: int, until_row: int) -> Counter[tuple[str, str, str]]:
        """Return how many versions of ratings these rows hold, by account, source and category."""
        with self._reading() as tx:
            rows = tx.exec_driver_sql(self._sql(_STORED), (after_row, until_row)).yield_per(1000)
            return Counter((account, source, category) for account, source, category in rows)

    def rating_lags(self, account: str, since: datetime) -> list[timedelta]:
        """Return, sorted, how long after they were given the ratings since then were seen; memory does not count."""
        with self._reading() as tx:
            found = tx.execute(_LATELY, {"account": account, "since": since})
            return sorted(seen_at - rated_at for seen_at, rated_at in found)

    def open_stages(self) -> dict[tuple[str, str], int]:
        """Return how many open cases there are, by account and stage."""
        return self._figures(_STAGES)

    def effect_states(self) -> dict[tuple[str, str, str], int]:
        """Return how many effects there ever were, by kind, state and account."""
        return self._figures(_EFFECTS)

    def deadlines_missed(self) -> dict[tuple[str], int]:
        """Return how many reminders, handovers and messages missed deadlines ever led to, by account."""
        return self._figures(_MISSED)

    def _figures(self, asked: Select[Any]) -> dict[Any, int]:
        with self._reading() as tx:
            return {tuple(map(str, row[:-1])): row[-1] for row in tx.execute(asked)}

    # -------------------------------------------------------------- what waits
    def oldest_due(self, account: str, now: datetime, *, writes: bool) -> datetime | None:
        """Return since when the oldest work of an account could have been done, None if nothing is due.

        Without *writes*, in shadow mode, only what came in is work. What waits for its time, for a person or behind
        another write of its case is not due.
        """
        asked = [_OLDEST_RATING, _OLDEST_HINT, *([_OLDEST_EFFECT, NEXT_DUE] if writes else ())]
        with self._reading() as tx:
            found = [tx.execute(one, {"account": account, "now": now}).scalar() for one in asked]
        return min((at for at in found if at and at <= now), default=None)

    def doings(self, account: str, since: datetime) -> Doings:
        """Return what happened at or after *since*; reads every case of the account."""
        values = {"account": account, "since": since}
        with self._reading() as tx:
            ended = {outcome: count for outcome, count in tx.execute(_ENDED, values) if outcome != Outcome.DISMISSED}
            return Doings(
                began=tx.execute(_BEGAN, values).scalar_one(),
                ended=sum(ended.values()),
                recovered=ended.get(Outcome.RECOVERED, 0),
                effects=tx.execute(_DONE, values).scalar_one(),
            )

    def _sql(self, text: str) -> str:
        return text if self._is_sqlite else text.replace("?", "%s")
