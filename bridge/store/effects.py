"""Effects on their way out: claim, intend, send, finish. The protocol that makes them happen exactly once.

A case has one lease, so the writes to one ticket go out in their order; its epoch is counted up by each claim, and
whoever comes back with an old epoch is refused. A claim may bring several effects of a case, a write and alerts: each
carries the epoch until it is given back, and the lease is free again with the last of them. Every step locks the case's
row first (SQLite: the database).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, bindparam, exists, func, or_, select, tuple_, update

from bridge.funnel import seconds
from bridge.model import Audit, Case, Effect, EffectKind, EffectState
from bridge.store.cases import CASE, LIVE, effect_of, insert_audits, insert_effects, update_case
from bridge.store.database import Database
from bridge.store.rows import Claim, StaleCase, StoredEffect
from bridge.store.tables import UNFINISHED, Time, cases, effect

_FLAG = "flag"  # of the write that gives the ticket back; alerts have steps of their own
_AT_ONCE = 1000  # ids in one question
_PAST = datetime.min.replace(tzinfo=UTC)
_EPOCH = cases.c.lease_epoch
_ACCOUNT = effect.c.account == bindparam("account")
_ALERT = effect.c.kind == EffectKind.ALERT
_CASES = cases.c.case_id.in_(bindparam("case_ids", expanding=True))
_EFFECTS = effect.c.effect_id.in_(bindparam("effect_ids", expanding=True))


# ------------------------------------------------------------------ what is asked often, put together once


def next_effects(*columns: Any) -> Select[Any]:
    """Return the question for the first unfinished write and all unfinished alerts of each case."""
    first = select(func.min(effect.c.place)).where(UNFINISHED, ~_ALERT).group_by(effect.c.case_id)
    asked = select(*(columns or effect.c)).join(cases, cases.c.case_id == effect.c.case_id)
    return asked.where(_ACCOUNT, UNFINISHED, or_(_ALERT, effect.c.place.in_(first)))


_NOW = bindparam("now", type_=Time())
_FREE = or_(cases.c.lease_until.is_(None), cases.c.lease_until <= _NOW)
_IS_DUE = or_(effect.c.not_before.is_(None), effect.c.not_before <= _NOW)
_DUE = next_effects().where(_FREE, _IS_DUE).order_by(effect.c.place)
_MINE = _DUE.with_for_update(of=cases, skip_locked=True)  # another process may be about to take the same ones
_SOME, _OURS, _ANY = _MINE.limit(bindparam("limit")), _DUE.where(_CASES), _DUE.limit(1)
_BUNDLED = _MINE.where(tuple_(effect.c.bundle, effect.c.target).in_(bindparam("bundles", expanding=True)))
_LEASE = update(cases).where(_CASES).values(lease_epoch=_EPOCH + 1, lease_until=bindparam("until"))
_LEASED = select(*CASE, _EPOCH).where(_CASES)
_TAKE = update(effect).where(effect.c.effect_id == bindparam("id")).values(epoch=bindparam("by"))
_HELD = (
    select(effect.c.effect_id, _EPOCH)
    .join(cases, cases.c.case_id == effect.c.case_id)
    .where(_EFFECTS, effect.c.epoch == _EPOCH, UNFINISHED)
    .order_by(cases.c.case_id)  # so that two processes cannot wait for each other
    .with_for_update(of=cases)
)
_SEND = (
    update(effect)
    .where(_EFFECTS)
    .values(
        state=EffectState.SENDING,
        first_sent_at=func.coalesce(effect.c.first_sent_at, _NOW, type_=Time()),
        last_sent_at=_NOW,
        tries=effect.c.tries + 1,
        not_before=None,
        job=None,
    )
)
_RENEW = update(cases).where(_CASES).values(lease_until=bindparam("until"))
_END = update(effect).where(effect.c.effect_id == bindparam("id"))
_WRITTEN = (
    update(cases)
    .where(cases.c.case_id == bindparam("id"), LIVE)
    .values(written_after=func.coalesce(cases.c.written_after, bindparam("after", type_=Integer)))
)
_LET_GO = update(effect).where(_EFFECTS).values(epoch=None)
_STILL_HELD = exists().where(effect.c.case_id == cases.c.case_id, effect.c.epoch == _EPOCH)
_FREED = update(cases).where(_CASES, ~_STILL_HELD).values(lease_until=None)
_WRITES = (
    select(func.count())
    .select_from(effect)
    .where(_ACCOUNT, effect.c.ticket_id == bindparam("ticket_id"), effect.c.last_sent_at >= bindparam("since"), ~_ALERT)
)
_NEXT = next_effects(effect.c.not_before, cases.c.lease_until).where(~_ALERT)


class Effects(Database):
    """The verbs of delivery."""

    def claim(self, account: str, now: datetime, *, limit: int, lease: timedelta) -> list[Claim]:
        """Take effects that are due and nobody's until now + *lease*, oldest first, at most *limit*.

        Of each case these are its first unfinished write, and its alerts, which wait for no write and hold none up.
        A bundle of alerts to one target comes whole, whatever the limit.
        """
        asked = {"account": account, "now": now}
        if not self._is_any_due(asked):
            return []
        with self._writing() as tx:
            found = list(tx.execute(_SOME, asked | {"limit": limit}))
            if bundles := {(row.bundle, row.target) for row in found if row.bundle}:
                found += tx.execute(_BUNDLED, asked | {"bundles": list(bundles)})
            if not found:
                return []
            # What was read before the locks were ours may have been delivered meanwhile: read again.
            ours = {"case_ids": list({row.case_id for row in found})}
            rows = _within(limit, tx.execute(_OURS, asked | ours).all())
            if not rows:
                return []
            held = {"case_ids": list({row.case_id for row in rows})}
            tx.execute(_LEASE, held | {"until": now + lease})
            whose = {row.case_id: (Case(*row[:-1]), row[-1]) for row in tx.execute(_LEASED, held)}
            tx.execute(_TAKE, [{"id": row.effect_id, "by": whose[row.case_id][1]} for row in rows])
        return [_claim(row, *whose[row.case_id]) for row in rows]

    def _is_any_due(self, asked: Mapping[str, Any]) -> bool:
        """Look without a lock: most of the time there is nothing to claim."""
        with self._reading() as tx:
            return tx.execute(_ANY, asked).first() is not None

    def intend(self, claims: Sequence[Claim], now: datetime, lease: timedelta) -> set[str]:
        """Record that these effects are about to be sent, and renew their leases.

        Returns the ids that may be sent: those whose claim still holds.
        """
        with self._writing() as tx:
            ours = _still_ours(tx, claims)
            if not ours:
                return set()
            tx.execute(_SEND, {"effect_ids": list(ours), "now": now})
            renewed = {one.case.case_id for one in claims if one.effect.effect_id in ours}
            tx.execute(_RENEW, {"case_ids": list(renewed), "until": now + lease})
        return ours

    def unsend(self, claims: Sequence[Claim], *, tries: int = 0, never_sent: bool = False) -> None:
        """Take back an intent whose request was turned away before it did anything; it counts as so many *tries*.

        *never_sent*: it is certain by now that no earlier try did anything either.
        """
        with self._writing() as tx:
            ours = _still_ours(tx, claims)
            for one in claims:
                if one.effect.effect_id in ours:
                    back = update(effect).where(effect.c.effect_id == one.effect.effect_id)
                    tx.execute(
                        back.values(
                            state=one.state,
                            tries=one.tries + tries,
                            last_sent_at=None if never_sent else one.last_sent_at,
                        )
                    )

    def free_leases(self) -> None:
        """Free the leases of a run that was killed, where the run lock proves that nobody else works here.

        On PostgreSQL other machines may work on the same database: there leases end by themselves.
        """
        if not self._is_sqlite:
            return
        with self._writing() as tx:
            tx.execute(update(cases).where(cases.c.lease_until.is_not(None)).values(lease_until=None))

    def accepted(self, claims: Sequence[Claim], job: str) -> None:
        """Remember the helpdesk's job that works on these effects."""
        with self._writing() as tx:
            ours = _still_ours(tx, claims)
            tx.execute(update(effect).where(effect.c.effect_id.in_(ours)).values(job=job))

    def finish(
        self,
        claim: Claim,
        state: EffectState,
        *,
        audit: Audit,
        case: Case | None = None,
        effects: Sequence[Effect] = (),
        expected_version: int | None = None,
        error: str | None = None,
        remote_ref: str | None = None,
    ) -> None:
        """End an effect: its state, the audit, the case as it is now and further effects; it is given back.

        Raises StaleCase, and stores nothing, if the claim is lost or the case is no longer at *expected_version*
        (by default the version before that of *case*).
        """
        with self._writing() as tx:
            if not _still_ours(tx, [claim]):
                raise StaleCase(f"case {claim.case.case_id}: another process works on it; leave it to that one")
            ended = {"state": state, "error": error, "remote_ref": remote_ref}
            tx.execute(_END, {"id": claim.effect.effect_id} | ended)
            if claim.effect.step == _FLAG and state in (EffectState.APPLIED, EffectState.ADOPTED):
                tx.execute(_WRITTEN, {"id": claim.case.case_id, "after": seconds(audit.at - claim.case.flagged_at)})
            if case is not None:
                update_case(tx, case, case.version - 1 if expected_version is None else expected_version)
            insert_audits(tx, [audit])
            insert_effects(tx, effects, audit.at)
            _give_back(tx, [claim])

    def postpone(
        self, claim: Claim, not_before: datetime, error: str | None = None, *, tries: int | None = None
    ) -> None:
        """Give an effect back as it is, to be claimed again at *not_before*; nothing if the claim is lost.

        *tries* is how often it has been tried by now, where that was no request.
        """
        with self._writing() as tx:
            if not _still_ours(tx, [claim]):
                return
            later = {"not_before": not_before, "error": error} | ({} if tries is None else {"tries": tries})
            tx.execute(_END, {"id": claim.effect.effect_id} | later)
            _give_back(tx, [claim])

    def release(self, claims: Sequence[Claim]) -> None:
        """Give effects back at once; nothing for claims that are lost."""
        with self._writing() as tx:
            if ours := _still_ours(tx, claims):
                _give_back(tx, [one for one in claims if one.effect.effect_id in ours])

    # -------------------------------------------------------------- parked
    def parked(self) -> list[StoredEffect]:
        """Return the effects that wait for a person, of every account, oldest first."""
        return self._effects(effect.c.state == EffectState.PARKED)

    def retry_parked(
        self, effect_ids: Collection[str] | None = None, audit: Callable[[Effect], Audit] | None = None
    ) -> int:
        """Plan parked effects again, these or all, with all their tries; returns how many. *audit* puts each one down.

        When they were last sent stays on record: a repeat is looked for in the helpdesk first.
        """
        again = update(effect).where(effect.c.state == EffectState.PARKED)
        if effect_ids is not None:
            again = again.where(effect.c.effect_id.in_(list(effect_ids)))
        anew = again.values(state=EffectState.PLANNED, tries=0, not_before=None, error=None, job=None)
        with self._writing() as tx:
            planned = [effect_of(row) for row in tx.execute(anew.returning(effect))]
            if audit and planned:
                insert_audits(tx, [audit(one) for one in planned])
        return len(planned)

    def effects_of(self, case_id: str) -> list[StoredEffect]:
        """Return every effect of a case in its order, with what became of it."""
        return self._effects(effect.c.case_id == case_id)

    def steps_of(self, case_ids: Collection[str]) -> dict[str, set[str]]:
        """Return the steps of all effects of these cases, whatever became of them: {case_id: steps}, {} for none."""
        found: dict[str, set[str]] = {case_id: set() for case_id in case_ids}
        ids = list(found)
        with self._reading() as tx:
            for start in range(0, len(ids), _AT_ONCE):
                some = effect.c.case_id.in_(ids[start : start + _AT_ONCE])
                for case_id, step in tx.execute(select(effect.c.case_id, effect.c.step).where(some)):
                    found[case_id].add(step)
        return found

    def unfinished_effects(self, account: str, decided_since: datetime) -> list[StoredEffect]:
        """Return what a run would send now: whatever is unfinished, and what shadow mode decided since then."""
        shadow = (effect.c.state == EffectState.SHADOW) & (effect.c.planned_at >= decided_since)
        return self._effects(effect.c.account == account, or_(UNFINISHED, shadow))

    def writes_since(self, account: str, since: datetime) -> list[StoredEffect]:
        """Return the effects that change tickets and were planned or last sent at or after *since*; none of shadow."""
        lately = or_(effect.c.planned_at >= since, effect.c.last_sent_at >= since)
        real = (effect.c.kind != EffectKind.ALERT, effect.c.state != EffectState.SHADOW)
        return self._effects(effect.c.account == account, lately, *real)

    def effects_named(self, effect_ids: Collection[str]) -> dict[str, StoredEffect]:
        """Return those of these effects that are known here, by id, whatever account they are of."""
        ids, found = list(effect_ids), list[StoredEffect]()
        for start in range(0, len(ids), _AT_ONCE):
            found += self._effects(effect.c.effect_id.in_(ids[start : start + _AT_ONCE]))
        return {one.effect.effect_id: one for one in found}

    def writes_on(self, account: str, ticket_id: str, since: datetime) -> int:
        """Return how many writes to a ticket were sent at or after *since*."""
        with self._reading() as tx:
            values = {"account": account, "ticket_id": ticket_id, "since": since}
            return int(tx.execute(_WRITES, values).scalar_one())

    def next_effect_at(self, account: str) -> datetime | None:
        """Return when the next unfinished write can be claimed: a time long past for now, None if there is none.

        Alerts are not waited for: the next run finds those that are due then.
        """
        with self._reading() as tx:
            waiting = tx.execute(_NEXT, {"account": account}).all()
        return min((max(not_before or _PAST, leased or _PAST) for not_before, leased in waiting), default=None)

    def _effects(self, *where: Any) -> list[StoredEffect]:
        with self._reading() as tx:
            return [_stored(row) for row in tx.execute(select(effect).where(*where).order_by(effect.c.place))]


def _within(limit: int, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the first rows, and those of later ones that share a bundle with them."""
    bundles = {(row.bundle, row.target) for row in rows[:limit] if row.bundle}
    return [*rows[:limit], *(row for row in rows[limit:] if (row.bundle, row.target) in bundles)]


def _still_ours(tx: Connection, claims: Sequence[Claim]) -> set[str]:
    """Lock the cases of these claims and return the effects that are unfinished and still held by their claim."""
    epochs = {one.effect.effect_id: one.epoch for one in claims}
    held = tx.execute(_HELD, {"effect_ids": list(epochs)})
    return {row.effect_id for row in held if row.lease_epoch == epochs[row.effect_id]}


def _give_back(tx: Connection, claims: Sequence[Claim]) -> None:
    """Let go of effects; the lease of a case is free once nothing of it is held under its epoch."""
    tx.execute(_LET_GO, {"effect_ids": [one.effect.effect_id for one in claims]})
    tx.execute(_FREED, {"case_ids": list({one.case.case_id for one in claims})})


def _claim(row: Row[Any], case: Case, epoch: int) -> Claim:
    return Claim(effect_of(row), case, epoch, row.tries, row.state, row.first_sent_at, row.last_sent_at, row.job)


def _stored(row: Row[Any]) -> StoredEffect:
    return StoredEffect(
        effect_of(row),
        row.state,
        row.tries,
        row.first_sent_at,
        row.last_sent_at,
        row.job,
        row.remote_ref,
        row.error,
    )
