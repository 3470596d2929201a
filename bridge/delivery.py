"""Carrying out effects: claim, read, check, store the intent, write, store what came of it.

The protocol (every step may be the last one before a crash): an effect is claimed with a lease on its case; the ticket
is read; what a human did meanwhile is left alone; the intent is stored; the write carries its marker and, on Zendesk,
the condition that nobody changed the ticket since. An unknown result is looked up by its marker before anything is
repeated. Terminal states never change.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.connector import Connector
from bridge.engine import Engine, batch_of
from bridge.model import (
    Accepted,
    Audit,
    Case,
    Effect,
    EffectKind,
    EffectState,
    Sending,
    Ticket,
    Verdict,
    Write,
    Written,
)
from bridge.notify import Channels, NotToldError
from bridge.recovery import CLOSING_STEPS, EffectFailed, advance, settle
from bridge.store import Claim, StaleCase

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=3)  # longer than a job of the helpdesk is waited for
MAX_TRIES = 8
STAMP_SETTLES_WITHIN = timedelta(seconds=2)  # stamps have one-second steps
FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(minutes=10)


class Delivery:
    """Carries out the effects of one engine."""

    def __init__(self, engine: Engine, channels: Channels) -> None:
        self.engine, self.channels = engine, channels
        self.store, self.now = engine.store, engine.now

    def deliver(self, account: str) -> bool:
        """Carry out one batch of what is due, many tickets together where the helpdesk can; False if nothing was."""
        desk = self.engine.desks[account]
        claims = self.store.claim(account, self.now(), limit=batch_of(desk), lease=LEASE)
        try:
            self._carry_out(desk, claims)
        finally:
            self.store.release(claims)
        return bool(claims)

    def _carry_out(self, desk: Connector, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if claim.effect.kind is EffectKind.ALERT:
                self._tell(claim)
        wanted = [claim for claim in claims if claim.effect.kind is not EffectKind.ALERT and self._is_wanted(claim)]
        accepted = [claim for claim in wanted if claim.job]
        self._follow_jobs(desk, accepted)
        waiting = [claim for claim in wanted if not claim.job and not self._must_settle(desk, claim)]
        tickets = self.engine.reading.tickets(desk, [claim.effect.ticket_id for claim in waiting])
        for claim in waiting:
            if claim.effect.ticket_id not in tickets:
                self._park(claim, f"ticket {claim.effect.ticket_id} cannot be read")
        ready = [(claim, tickets[key]) for claim in waiting if (key := claim.effect.ticket_id) in tickets]
        writes = [write for claim, ticket in ready if (write := self._prepare(desk, claim, ticket))]
        self._write(desk, writes, {claim.effect.effect_id: claim for claim in waiting})

    # -------------------------------------------------------------- staff
    def _tell(self, claim: Claim) -> None:
        effect = claim.effect
        subject = f"Recovery Bridge: ticket {effect.ticket_id} of {effect.account}"
        if not effect.target:
            self._park(claim, f"nobody can be told: {effect.person!r} has no `notify` in rules.yaml")
            return
        self.store.intend([claim], self.now(), LEASE)
        try:
            self.channels.tell(effect.target, subject, effect.text or "")
        except NotToldError as exc:
            self._park(claim, str(exc))
            return
        self._finish(claim, EffectState.APPLIED, f"told {effect.person}")

    # -------------------------------------------------------------- before the write
    def _is_wanted(self, claim: Claim) -> bool:
        """Drop what its case no longer wants."""
        if claim.case.is_open or claim.effect.step in CLOSING_STEPS:
            return True
        self._finish(claim, EffectState.SUPERSEDED, f"the case has ended: {claim.case.reason}")
        return False

    def _must_settle(self, desk: Connector, claim: Claim) -> bool:
        """Wait until a write that may still be under way has landed, where a stale one would not be refused."""
        if claim.last_sent_at is None or desk.conditional_writes:
            return False
        settled_at = claim.last_sent_at + self.engine.rules.settings.settle
        if self.now() >= settled_at:
            return False
        self.store.postpone(claim, settled_at, "waiting for an earlier attempt to land")
        return True

    def _prepare(self, desk: Connector, claim: Claim, ticket: Ticket) -> Write | None:
        effect = claim.effect
        repeat = claim.last_sent_at is not None
        if ticket.marker == effect.marker and repeat:
            return Write(effect, ticket, effect.change, repeat)
        if ticket.status.is_gone:
            self._failed(desk, claim, Verdict.GONE, f"it is {ticket.status}", ticket)
            return None
        if effect.kind is EffectKind.UPDATE and ticket.status.is_locked:
            self._failed(desk, claim, Verdict.LOCKED, f"it is {ticket.status}", ticket)
            return None
        if desk.conditional_writes and ticket.read_at - ticket.updated_at < STAMP_SETTLES_WITHIN:
            self.engine.reading.forget(claim.effect.account, [ticket.ticket_id])
            self.store.postpone(claim, self.now() + STAMP_SETTLES_WITHIN, "changed within the last two seconds")
            return None
        change = settle(effect, ticket)
        if change.is_empty:
            self._finish(claim, EffectState.SUPERSEDED, "a human has already done all of it")
            return None
        return Write(effect, ticket, change, repeat)

    # -------------------------------------------------------------- the write
    def _write(self, desk: Connector, writes: Sequence[Write], claims: dict[str, Claim]) -> None:
        tickets = {write.effect.effect_id: write.ticket for write in writes}
        for news in desk.write(writes) if writes else ():
            match news:
                case Sending(effect_ids):
                    self.store.intend([claims[key] for key in effect_ids], self.now(), LEASE)
                case Accepted(effect_ids, job):
                    self.store.accepted([claims[key] for key in effect_ids], job)
                case Written():
                    self._written(desk, claims[news.effect_id], news, tickets[news.effect_id])

    def _follow_jobs(self, desk: Connector, claims: Iterable[Claim]) -> None:
        """Ask what became of batches that the helpdesk took before we could read their result."""
        jobs: dict[str, list[Claim]] = {}
        for claim in claims:
            jobs.setdefault(claim.job or "", []).append(claim)
        for job, together in jobs.items():
            tickets = self.engine.reading.tickets(desk, [claim.effect.ticket_id for claim in together])
            by_id = {claim.effect.effect_id: claim for claim in together}
            writes = [Write(c.effect, tickets[c.effect.ticket_id], c.effect.change, repeat=True) for c in together]
            for news in desk.follow(job, writes):
                if isinstance(news, Written):
                    claim = by_id[news.effect_id]
                    self._written(desk, claim, news, tickets[claim.effect.ticket_id])

    def _written(self, desk: Connector, claim: Claim, news: Written, ticket: Ticket) -> None:
        self.engine.reading.forget(claim.effect.account, [claim.effect.ticket_id])
        match news.verdict:
            case Verdict.APPLIED:
                self._finish(claim, EffectState.APPLIED, news.why or _done(claim.effect), news, ticket)
            case Verdict.ADOPTED:
                self._finish(claim, EffectState.ADOPTED, news.why or "had been written before", news, ticket)
            case Verdict.CONFLICT:
                self._again(claim, self.now(), "the ticket changed since it was read")
            case Verdict.UNKNOWN:
                self._again(claim, self._look_again_at(desk, claim), news.why or "no usable answer")
            case Verdict.REFUSED:
                self._park(claim, news.why or "the helpdesk refused it")
            case Verdict.GONE | Verdict.LOCKED | Verdict.BAD_ASSIGNEE:
                self._failed(desk, claim, news.verdict, news.why, ticket)

    def _look_again_at(self, desk: Connector, claim: Claim) -> datetime:
        if not desk.conditional_writes:
            return self.now() + self.engine.rules.settings.settle
        return self.now() + min(FIRST_RETRY * (1 << claim.tries), LAST_RETRY)

    # -------------------------------------------------------------- what came of it
    def _again(self, claim: Claim, not_before: datetime, why: str) -> None:
        if claim.tries + 1 >= MAX_TRIES:
            self._park(claim, f"given up after {MAX_TRIES} tries: {why}")
        else:
            self.store.postpone(claim, not_before, why)

    def _park(self, claim: Claim, why: str) -> None:
        log.warning("parked: %s", why, extra=_names(claim.effect))
        self._finish(claim, EffectState.PARKED, why)

    def _finish(
        self, claim: Claim, state: EffectState, why: str, news: Written | None = None, ticket: Ticket | None = None
    ) -> None:
        """Store the result; a case that another process moved meanwhile is read again, so that no result is lost."""
        self.engine.tally.effects[str(state)] += 1
        audit = _audit(claim, str(state), why, self.now())
        case = claim.case
        while True:
            after = _after(case, claim.effect, news, ticket)
            try:
                self.store.finish(
                    claim,
                    state,
                    audit=audit,
                    case=after,
                    expected_version=case.version,
                    error=why if state is EffectState.PARKED else None,
                    remote_ref=news.ticket_id if news else None,
                )
            except StaleCase:
                case = self._reread(claim, case)
                continue
            return

    def _reread(self, claim: Claim, before: Case) -> Case:
        case = self.store.case(before.case_id)
        if case is None or case.version == before.version:
            raise StaleCase(f"effect {claim.effect.effect_id}: its lease is lost")
        return case

    def _failed(self, desk: Connector, claim: Claim, verdict: Verdict, why: str, ticket: Ticket) -> None:
        """Let the case find another way."""
        refused = {claim.effect.change.assignee_id or "": f"was refused by the helpdesk ({why})"}
        situation = self.engine.situation(desk, ticket, refused=refused if verdict is Verdict.BAD_ASSIGNEE else None)
        if verdict is Verdict.LOCKED and not ticket.status.is_locked:
            self._again(claim, self.now(), why)  # it was open when we read it: read it again as it is now
            return
        if not claim.case.is_open:
            self._finish(claim, EffectState.REFUSED, why)
            return
        decision = advance(claim.case, EffectFailed(claim.effect, verdict, why), situation)
        self.engine.tally.effects[str(EffectState.REFUSED)] += 1
        self.engine.tally.effects[str(EffectState.PLANNED)] += len(decision.effects)
        self.store.finish(
            claim,
            EffectState.REFUSED,
            audit=decision.audit,
            case=decision.case,
            effects=decision.effects,
            expected_version=claim.case.version,
            error=why,
        )


def _after(case: Case, effect: Effect, news: Written | None, ticket: Ticket | None) -> Case | None:
    """Return the case as a write leaves it, or None if it stays as it is."""
    after = case
    if news and news.ticket_id and effect.kind is EffectKind.FOLLOW_UP:
        after = replace(after, work_ticket_id=news.ticket_id)
    chosen = ticket.assignee_id if ticket else None
    if chosen and chosen not in (effect.seen_assignee_id, effect.change.assignee_id) and case.is_open:
        after = replace(after, assignee_id=chosen, group_id=ticket.group_id if ticket else None)
        after = replace(after, reason=f"{case.reason}; a human gave the ticket to somebody else, who keeps it")
    return None if after == case else replace(after, version=case.version + 1)


def _audit(claim: Claim, what: str, reason: str, at: datetime) -> Audit:
    effect, case = claim.effect, claim.case
    return Audit(
        at=at,
        account=effect.account,
        ticket_id=effect.ticket_id,
        what=what,
        reason=f"{effect.step}: {reason}",
        case_id=case.case_id,
        rating_id=case.rating_id,
        rule=case.rule,
        rules_hash=case.rules_hash,
    )


def _done(effect: Effect) -> str:
    where = "in a follow-up ticket: " if effect.kind is EffectKind.FOLLOW_UP else ""
    return where + ", ".join(effect.change.parts)


def _names(effect: Effect) -> dict[str, str]:
    return {
        "account": effect.account,
        "ticket_id": effect.ticket_id,
        "case_id": effect.case_id,
        "effect_id": effect.effect_id,
    }
