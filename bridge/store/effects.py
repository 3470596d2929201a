"""Effects on their way out: claim, intend, send, finish. The protocol that makes them happen exactly once.

A case has one lease, so the writes to one ticket go out in their order; its epoch is counted up by each claim, and
whoever comes back with an old epoch is refused. A claim may bring several effects of a case, a write and alerts: each
carries the epoch until it is given back, and the lease is free again with the last of them. Every step locks the case's
row first (SQLite: the database).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, exists, func, literal, or_, select, tuple_, update

from bridge.model import Audit, Case, Effect, EffectKind, EffectState
from bridge.store.cases import CASE, UNFINISHED, effect_of, insert_audits, insert_effects, update_case
from bridge.store.database import Database
from bridge.store.rows import Claim, StaleCase, StoredEffect
from bridge.store.tables import Time, cases, effect

_AT_ONCE = 1000  # ids in one question
_PAST = datetime.min.replace(tzinfo=UTC)
_WAITING = effect.c.state.in_(UNFINISHED)
_EPOCH = cases.c.lease_epoch
_TAKE = update(effect).where(effect.c.effect_id == bindparam("id")).values(epoch=bindparam("by"))


class Effects(Database):
    """The verbs of delivery."""

    def claim(self, account: str, now: datetime, *, limit: int, lease: timedelta) -> list[Claim]:
        """Take effects that are due and nobody's until now + *lease*, oldest first, at most *limit*.

        Of each case these are its first unfinished write, and its alerts, which wait for no write and hold none up.
        A bundle of alerts to one target comes whole, whatever the limit.
        """
        free = or_(cases.c.lease_until.is_(None), cases.c.lease_until <= now)
        due = _next_effects().where(effect.c.account == account, free, _is_due(now)).order_by(effect.c.place)
        with self._writing() as tx:
            # Another process may be about to take the same ones: pass over the rows that it has locked.
            mine = due.with_for_update(of=cases, skip_locked=True)
            found = list(tx.execute(mine.limit(limit)))
            if bundles := {(row.bundle, row.target) for row in found if row.bundle}:
                found += tx.execute(mine.where(tuple_(effect.c.bundle, effect.c.target).in_(bundles)))
            # What was read before the locks were ours may have been delivered meanwhile: read again.
            ours = cases.c.case_id.in_({row.case_id for row in found})
            rows = _within(limit, tx.execute(due.where(ours)).all()) if found else []
            if not rows:
                return []
            held = cases.c.case_id.in_({row.case_id for row in rows})
            tx.execute(update(cases).where(held).values(lease_epoch=cases.c.lease_epoch + 1, lease_until=now + lease))
            whose = {row.case_id: (Case(*row[:-1]), row[-1]) for row in tx.execute(select(*CASE, _EPOCH).where(held))}
            tx.execute(_TAKE, [{"id": row.effect_id, "by": whose[row.case_id][1]} for row in rows])
        return [_claim(row, *whose[row.case_id]) for row in rows]

    def intend(self, claims: Sequence[Claim], now: datetime, lease: timedelta) -> set[str]:
        """Record that these effects are about to be sent, and renew their leases.

        Returns the ids that may be sent: those whose claim still holds.
        """
        with self._writing() as tx:
            ours = _still_ours(tx, claims)
            if not ours:
                return set()
            sent = update(effect).where(effect.c.effect_id.in_(ours))
            tx.execute(
                sent.values(
                    state=EffectState.SENDING,
                    first_sent_at=func.coalesce(effect.c.first_sent_at, literal(now, Time), type_=Time()),
                    last_sent_at=now,
                    tries=effect.c.tries + 1,
                    not_before=None,
                    job=None,
                )
            )
            renewed = cases.c.case_id.in_({one.case.case_id for one in claims if one.effect.effect_id in ours})
            tx.execute(update(cases).where(renewed).values(lease_until=now + lease))
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
        if self.engine.dialect.name != "sqlite":
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
            ended = update(effect).where(effect.c.effect_id == claim.effect.effect_id)
            tx.execute(ended.values(state=state, error=error, remote_ref=remote_ref))
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
            later = update(effect).where(effect.c.effect_id == claim.effect.effect_id)
            counted = {} if tries is None else {"tries": tries}
            tx.execute(later.values(not_before=not_before, error=error, **counted))
            _give_back(tx, [claim])

    def release(self, claims: Sequence[Claim]) -> None:
        """Give effects back at once; nothing for claims that are lost."""
        with self._writing() as tx:
            ours = _still_ours(tx, claims)
            _give_back(tx, [one for one in claims if one.effect.effect_id in ours])

    # -------------------------------------------------------------- parked
    def parked(self) -> list[StoredEffect]:
        """Return the effects that wait for a person, of every account, oldest first."""
        return self._effects(effect.c.state == EffectState.PARKED)

    def retry_parked(self, effect_ids: Collection[str] | None = None) -> int:
        """Plan parked effects again, these or all, with all their tries; returns how many.

        When they were last sent stays on record: a repeat is looked for in the helpdesk first.
        """
        again = update(effect).where(effect.c.state == EffectState.PARKED)
        if effect_ids is not None:
            again = again.where(effect.c.effect_id.in_(list(effect_ids)))
        with self._writing() as tx:
            return tx.execute(
                again.values(state=EffectState.PLANNED, tries=0, not_before=None, error=None, job=None)
            ).rowcount

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
        return self._effects(effect.c.account == account, or_(_WAITING, shadow))

    def writes_on(self, account: str, ticket_id: str, since: datetime) -> int:
        """Return how many writes to a ticket were sent at or after *since*."""
        sent = (effect.c.account == account, effect.c.ticket_id == ticket_id, effect.c.last_sent_at >= since)
        asked = select(func.count()).select_from(effect).where(*sent, effect.c.kind != EffectKind.ALERT)
        with self._reading() as tx:
            return int(tx.execute(asked).scalar_one())

    def next_effect_at(self, account: str) -> datetime | None:
        """Return when the next unfinished write can be claimed: a time long past for now, None if there is none.

        Alerts are not waited for: the next run finds those that are due then.
        """
        asked = _next_effects(effect.c.not_before, cases.c.lease_until)
        with self._reading() as tx:
            waiting = tx.execute(asked.where(effect.c.account == account, effect.c.kind != EffectKind.ALERT)).all()
        return min((max(not_before or _PAST, leased or _PAST) for not_before, leased in waiting), default=None)

    def _effects(self, *where: Any) -> list[StoredEffect]:
        with self._reading() as tx:
            return [_stored(row) for row in tx.execute(select(effect).where(*where).order_by(effect.c.place))]


def _next_effects(*columns: Any) -> Select[Any]:
    """Return the question for the first unfinished write and all unfinished alerts of each case."""
    alert = effect.c.kind == EffectKind.ALERT
    first = select(func.min(effect.c.place)).where(_WAITING, ~alert).group_by(effect.c.case_id)
    asked = select(*(columns or effect.c)).join(cases, cases.c.case_id == effect.c.case_id)
    return asked.where(_WAITING, or_(alert, effect.c.place.in_(first)))


def _within(limit: int, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the first rows, and those of later ones that share a bundle with them."""
    bundles = {(row.bundle, row.target) for row in rows[:limit] if row.bundle}
    return [*rows[:limit], *(row for row in rows[limit:] if (row.bundle, row.target) in bundles)]


def _is_due(now: datetime) -> Any:
    return or_(effect.c.not_before.is_(None), effect.c.not_before <= now)


def _still_ours(tx: Connection, claims: Sequence[Claim]) -> set[str]:
    """Lock the cases of these claims and return the effects that are unfinished and still held by their claim."""
    epochs = {one.effect.effect_id: one.epoch for one in claims}
    asked = (
        select(effect.c.effect_id, cases.c.lease_epoch)
        .join(cases, cases.c.case_id == effect.c.case_id)
        .where(effect.c.effect_id.in_(list(epochs)), effect.c.epoch == cases.c.lease_epoch, _WAITING)
        .order_by(cases.c.case_id)  # so that two processes cannot wait for each other
        .with_for_update(of=cases)
    )
    return {row.effect_id for row in tx.execute(asked) if row.lease_epoch == epochs[row.effect_id]}


def _give_back(tx: Connection, claims: Sequence[Claim]) -> None:
    """Let go of effects; the lease of a case is free once nothing of it is held under its epoch."""
    effects, theirs = {one.effect.effect_id for one in claims}, {one.case.case_id for one in claims}
    tx.execute(update(effect).where(effect.c.effect_id.in_(effects)).values(epoch=None))
    held = exists().where(effect.c.case_id == cases.c.case_id, effect.c.epoch == cases.c.lease_epoch)
    tx.execute(update(cases).where(cases.c.case_id.in_(theirs), ~held).values(lease_until=None))


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
