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

from bridge.asking import LEFT, Asker, asked_for, may_have_left
from bridge.connector import Connector
from bridge.engine import Engine
from bridge.errors import CredentialsRefused, HelpdeskError, Refused, StoreError, Throttled
from bridge.log import crash
from bridge.model import (
    Accepted,
    Audit,
    Case,
    Change,
    Effect,
    EffectKind,
    EffectState,
    Question,
    Sending,
    Ticket,
    Verdict,
    Write,
    Written,
)
from bridge.notify import Channels, NoAnswerError, NotToldError
from bridge.reading import SEVERAL_IN_A_ROW, TRY_AGAIN_AFTER, batch_of, is_of_the_account, retry_in
from bridge.recovery import EffectFailed, advance, is_closing, is_soon_stale, settle
from bridge.rules import SurveyText
from bridge.store import Claim, StaleCase
from bridge.survey import is_question, sent, unasked
from bridge.survey_link import SurveyLinks
from bridge.telling import SILENT_FOR, Telling

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=3)  # longer than a job of the helpdesk is waited for
A_DAY = timedelta(days=1)
MAX_TRIES = 8
STAMP_SETTLES_WITHIN = timedelta(seconds=2)  # stamps have one-second steps
FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(minutes=10)
SHADOW_LASTS = timedelta(minutes=5)  # longer than a run waits for what is due later


class Delivery:
    """Carries out the effects of one engine."""

    def __init__(self, engine: Engine, channels: Channels, links: SurveyLinks | None = None) -> None:
        self.engine, self.channels = engine, channels
        self.store, self.now = engine.store, engine.now
        self.telling = Telling(self.store, channels, self.now, lease=LEASE, finish=self._finish, park=self._park)
        self.asker = Asker(engine.rules, self.store, channels, links, self.now)
        self._one_by_one = False  # after trouble, to find whose it was
        self._troubles = 0  # single ones in a row
        self._said: set[str] = set()  # warnings that need no repeating
        self._mail_rests_until: datetime | None = None

    def deliver(self, account: str, few: int = 1) -> bool:
        """Carry out one batch of what is due, many tickets together where the helpdesk can; False if nothing was.

        As many as *few* are written one by one: nobody then waits for a job.
        """
        desk = self.engine.desks[account]
        limit = 1 if self._one_by_one else batch_of(desk)
        claims = self.store.claim(account, self.now(), limit=limit, lease=LEASE)
        if not claims:
            return False
        try:
            if self.engine.is_shadow:
                self._hold(claims)
            else:
                self._carry_out(desk, claims, few)
        except StoreError:
            raise
        except Exception as exc:  # one effect must not stop the ones behind it
            self._trouble(claims, exc)
        finally:
            self.store.release(claims)
        return True

    def _trouble(self, claims: Sequence[Claim], exc: Exception) -> None:
        """Find out whose trouble it is by going on one by one; raise it if it is the helpdesk's."""
        if is_of_the_account(exc) or (isinstance(exc, HelpdeskError) and self._troubles >= SEVERAL_IN_A_ROW):
            raise exc
        why = str(exc) if isinstance(exc, HelpdeskError) else crash(exc)
        log.error("effects could not be carried out: %s", why, extra={"account": claims[0].effect.account})
        if len(claims) == 1:
            self._troubles += 1
            self._again(claims[0], self.now() + retry_in(claims[0].tries), why)
        self._one_by_one = True

    def _hold(self, claims: Iterable[Claim]) -> None:
        """Keep back what was decided before somebody turned to shadow mode: it is sent when we are live again."""
        for claim in claims:
            self.store.postpone(claim, self.now() + SHADOW_LASTS, "shadow mode: nothing is sent")

    def _carry_out(self, desk: Connector, claims: Sequence[Claim], few: int) -> None:
        self.telling.tell([claim for claim in claims if claim.effect.kind is EffectKind.ALERT])
        wanted = [claim for claim in claims if claim.effect.kind is not EffectKind.ALERT and self._is_wanted(claim)]
        untold = self._follow_jobs(desk, [claim for claim in wanted if claim.job])
        sendable = [claim for claim in wanted if not claim.job] + untold
        waiting = [claim for claim in sendable if not self._must_settle(desk, claim)]
        tickets = self.engine.reading.tickets(desk, [claim.effect.ticket_id for claim in waiting])
        for claim in waiting:
            if claim.effect.ticket_id not in tickets:
                self._again(
                    claim, self.now() + retry_in(claim.tries), f"ticket {claim.effect.ticket_id} cannot be read"
                )
        ready = [(claim, tickets[key]) for claim in waiting if (key := claim.effect.ticket_id) in tickets]
        writes = [write for claim, ticket in ready if (write := self._prepare(desk, claim, ticket))]
        by_id = {claim.effect.effect_id: claim for claim in waiting}
        for together in [[write] for write in writes] if 1 < len(writes) <= few else [writes]:
            self._write(desk, together, by_id)

    # -------------------------------------------------------------- before the write
    def _is_wanted(self, claim: Claim) -> bool:
        """Drop what its case no longer wants."""
        if claim.case.is_open or (is_closing(claim.effect.step) and self._agents_know(claim)):
            return True
        self._finish(claim, EffectState.SUPERSEDED, f"the case has ended: {claim.case.reason}")
        return False

    def _agents_know(self, claim: Claim) -> bool:
        """True if something of this case may stand on its ticket, so that there is something to take back."""
        effects = self.store.effects_of(claim.case.case_id)
        return any(one.first_sent_at and one.effect.kind is not EffectKind.ALERT for one in effects)

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
        half_done = effect.change.solve_again and not ticket.status.is_solved
        if ticket.marker == effect.marker and repeat and not half_done:
            return Write(effect, ticket, effect.change, repeat)
        if ticket.status.is_gone:
            self._failed(desk, claim, Verdict.GONE, f"it is {ticket.status}", ticket)
            return None
        if effect.way and self.asker.is_mailed_by_us(desk, effect):
            self._mail(desk, claim, ticket)
            return None
        if effect.kind is not EffectKind.FOLLOW_UP and ticket.status.is_locked:
            self._failed(desk, claim, Verdict.LOCKED, f"it is {ticket.status}", ticket)
            return None
        if desk.conditional_writes and ticket.read_at - ticket.updated_at < STAMP_SETTLES_WITHIN:
            self.engine.reading.forget(claim.effect.account, [ticket.ticket_id])
            self.store.postpone(claim, self.now() + STAMP_SETTLES_WITHIN, "changed within the last two seconds")
            return None
        return self._what_is_left(desk, claim, ticket)

    def _what_is_left(self, desk: Connector, claim: Claim, ticket: Ticket) -> Write | None:
        effect, carrier_id, repeat = claim.effect, claim.case.carrier_id, claim.last_sent_at is not None
        if effect.kind is EffectKind.FOLLOW_UP and effect.way is None and effect.ticket_id != carrier_id:
            self._finish(claim, EffectState.SUPERSEDED, f"ticket {carrier_id} continues it already")
            return None
        if not repeat and self._wrote_enough(effect):
            if is_soon_stale(effect):  # what waits to be written holds up the deadlines of its case
                self._finish(claim, EffectState.SUPERSEDED, "limits: writes_per_ticket_per_day")
            else:
                self.store.postpone(claim, self.now() + TRY_AGAIN_AFTER, "limits: writes_per_ticket_per_day")
            return None
        change = settle(effect, ticket)
        if effect.way:
            asked = self._question(desk, claim, ticket)
            return Write(effect, ticket, change, repeat, asked[1]) if asked else None
        if change.is_empty:
            self._finish(claim, EffectState.SUPERSEDED, "a human has already done all of it")
            return None
        return Write(effect, ticket, change, repeat)

    def _wrote_enough(self, effect: Effect) -> bool:
        limit = self.engine.rules.limits.writes_per_ticket_per_day
        if limit is None or is_closing(effect.step):
            return False
        return self.store.writes_on(effect.account, effect.ticket_id, self.now() - A_DAY) >= limit

    # -------------------------------------------------------------- the second question
    def _question(self, desk: Connector, claim: Claim, ticket: Ticket) -> tuple[SurveyText, Question] | None:
        """Write the question if nothing speaks against it now; what does is put down with the case."""
        why = self.asker.objection(claim, ticket)
        if why is None and (not_before := self.asker.quiet_until(self.engine.rules.calendar(desk.account))):
            self.store.postpone(claim, not_before, "quiet hours")
            return None
        if why := why or self.asker.reserve(claim):
            self._finish(claim, EffectState.SUPERSEDED, why)
            return None
        try:
            playbook = self.engine.briefing.rules_for(claim.case).playbooks.get(claim.case.playbook)
            return self.asker.question(desk, claim, ticket, playbook.survey if playbook else None)
        except Refused as exc:
            self._finish(claim, EffectState.REFUSED, str(exc))
            return None

    def _mail(self, desk: Connector, claim: Claim, ticket: Ticket) -> None:
        """Mail the question by ourselves, at most once: one of which nobody knows whether it left is not repeated."""
        if claim.last_sent_at is not None:
            self._finish(claim, EffectState.ADOPTED, "may have been mailed before, and is not mailed twice")
            return
        if self._mail_rests_until and self.now() < self._mail_rests_until:
            self.store.postpone(claim, self._mail_rests_until, "the mail server did not answer a moment ago")
            return
        asked = self._question(desk, claim, ticket)
        if asked is None or not self._intend([claim]):
            return
        try:
            self.asker.mail(claim, ticket, *asked)
        except NotToldError as exc:
            self._not_mailed(claim, exc)
            return
        self._finish(claim, EffectState.APPLIED, "the question was mailed")

    def _not_mailed(self, claim: Claim, exc: NotToldError) -> None:
        if exc.may_have_arrived:
            self._finish(claim, EffectState.ADOPTED, f"may have been mailed: {exc}")
            return
        self.store.unsend([claim], tries=1)
        if exc.is_lasting:
            self._park(claim, str(exc))
            return
        if isinstance(exc, NoAnswerError):
            self._mail_rests_until = self.now() + SILENT_FOR
        self._again(claim, self.now() + retry_in(claim.tries), str(exc))

    # -------------------------------------------------------------- the write
    def _write(self, desk: Connector, writes: Sequence[Write], claims: dict[str, Claim]) -> None:
        tickets = {write.effect.effect_id: write.ticket for write in writes}
        sending: tuple[str, ...] = ()
        try:
            for news in desk.write(writes) if writes else ():
                match news:
                    case Sending(effect_ids):
                        sending = effect_ids
                        if not self._intend([claims[key] for key in effect_ids]):
                            return
                    case Accepted(effect_ids, job):
                        self.store.accepted([claims[key] for key in effect_ids], job)
                        sending = ()
                    case Written():
                        sending = ()
                        self._written(desk, claims[news.effect_id], news, tickets[news.effect_id])
        except (Throttled, CredentialsRefused):  # turned away before it did anything
            self.store.unsend([claims[key] for key in sending])
            raise
        self._troubles = 0

    def _intend(self, claims: Sequence[Claim]) -> bool:
        """Store the intent to send; False if another process has taken one of them over: then none may leave."""
        if len(self.store.intend(claims, self.now(), LEASE)) == len(claims):
            return True
        log.warning("not sent: we took so long that another process works on it now", extra=_names(claims[0].effect))
        return False

    def _follow_jobs(self, desk: Connector, claims: Iterable[Claim]) -> list[Claim]:
        """Ask what became of batches that the helpdesk took before we could read their result.

        Returns those of which the job does not tell, and those it found stale. Sending them again is safe: whichever
        write comes second is stale.
        """
        jobs: dict[str, list[Claim]] = {}
        for claim in claims:
            jobs.setdefault(claim.job or "", []).append(claim)
        untold: list[Claim] = []
        for job, together in jobs.items():
            tickets = self.engine.reading.tickets(desk, [claim.effect.ticket_id for claim in together])
            by_id = {claim.effect.effect_id: claim for claim in together}
            readable = [(one.effect, ticket) for one in together if (ticket := tickets.get(one.effect.ticket_id))]
            writes = [Write(effect, ticket, effect.change, repeat=True) for effect, ticket in readable]
            for news in desk.follow(job, writes):
                if isinstance(news, Written) and news.verdict not in (Verdict.UNKNOWN, Verdict.CONFLICT):
                    claim = by_id.pop(news.effect_id)
                    self._written(desk, claim, news, tickets[claim.effect.ticket_id])
            untold += by_id.values()
        for claim in untold:
            self.engine.reading.forget(claim.effect.account, [claim.effect.ticket_id])
        return untold

    def _written(self, desk: Connector, claim: Claim, news: Written, ticket: Ticket) -> None:
        self.engine.reading.forget(claim.effect.account, [claim.effect.ticket_id])
        match news.verdict:
            case Verdict.APPLIED:
                self._finish(claim, EffectState.APPLIED, news.why or _done(claim.effect), news, ticket)
            case Verdict.ADOPTED:
                self._finish(claim, EffectState.ADOPTED, news.why or "had been written before", news, ticket)
            case Verdict.CONFLICT:
                self._again(claim, self.now(), "the ticket changed since it was read", tries=claim.tries + 1)
                self.store.count_up(claim.effect.account, "conflicts")
            case Verdict.UNKNOWN:
                why = news.why or "no usable answer"
                self._again(claim, self._look_again_at(desk, claim), why, tries=claim.tries + 1)
            case Verdict.REFUSED:
                self._refused(claim, news)
            case Verdict.GONE | Verdict.LOCKED | Verdict.BAD_ASSIGNEE:
                self._failed(desk, claim, news.verdict, news.why, ticket)

    def _look_again_at(self, desk: Connector, claim: Claim) -> datetime:
        if not desk.conditional_writes:
            return self.now() + self.engine.rules.settings.settle
        return self.now() + min(FIRST_RETRY * (1 << claim.tries), LAST_RETRY)

    # -------------------------------------------------------------- what came of it
    def _again(self, claim: Claim, not_before: datetime, why: str, *, tries: int | None = None) -> None:
        if claim.tries + 1 >= MAX_TRIES:
            self._park(claim, f"given up after {MAX_TRIES} tries: {why}")
        else:
            self.store.postpone(claim, not_before, why, tries=tries)

    def _refused(self, claim: Claim, news: Written) -> None:
        if claim.effect.way and not news.may_have_arrived:  # a clear no: the customer has no question from us
            self.store.unsend([claim], tries=1, never_sent=True)
            claim = replace(claim, last_sent_at=None)
        self._park(claim, news.why or "the helpdesk refused it")

    def _park(self, claim: Claim, why: str) -> None:
        if why not in self._said:  # one broken channel may park an alert for each of many tickets
            self._said.add(why)
            log.warning("parked: %s", why, extra=_names(claim.effect))
        self._finish(claim, EffectState.PARKED, why)

    def _finish(
        self, claim: Claim, state: EffectState, why: str, news: Written | None = None, ticket: Ticket | None = None
    ) -> None:
        """Store the result; a case that another process moved meanwhile is read again, so that no result is lost."""
        self.engine.tally.effects[str(state)] += 1
        audit = _audit(claim, str(state), why, self.now())
        case = claim.case
        left = may_have_left(state, claim.last_sent_at)
        never_left = is_question(claim.effect) and not left and not self.asker.other_question(claim)
        while True:
            after = _after(case, claim.effect, news, ticket)
            if never_left:
                after = unasked(after, why)
            elif claim.effect.way and state in LEFT:
                after = sent(after, claim.effect, self.now(), news.ticket_id if news else None)
            try:
                self.store.finish(
                    claim,
                    state,
                    audit=audit,
                    case=replace(after, version=case.version + 1) if after != case else None,
                    expected_version=case.version,
                    error=why if state is EffectState.PARKED else None,
                    remote_ref=news.ticket_id if news else None,
                )
            except StaleCase:
                now = self.store.case(case.case_id)
                if now and now.version != case.version:
                    case = now
                    continue
                log.warning("another process has taken this over and looks it up", extra=_names(claim.effect))
                return
            if never_left:
                self.store.release_survey(asked_for(case))
            return

    def _failed(self, desk: Connector, claim: Claim, verdict: Verdict, why: str, ticket: Ticket) -> None:
        """Let the case find another way."""
        if not _bears_out(ticket, verdict):  # it was not so when we read it: ask the helpdesk, not a gateway
            ticket = self.engine.reading.tickets(desk, [ticket.ticket_id]).get(ticket.ticket_id, ticket)
            if not _bears_out(ticket, verdict):
                self._again(claim, self._look_again_at(desk, claim), why)
                return
        if not claim.case.is_open:
            self._finish(claim, EffectState.REFUSED, why)
            return
        refused = self._refused_so_far(claim, why) if verdict is Verdict.BAD_ASSIGNEE else None
        situation = self.engine.situation(desk, ticket, refused=refused)
        situation = self.engine.briefing.as_begun(claim.case, situation)
        decision = advance(claim.case, EffectFailed(claim.effect, verdict, why), situation)
        if refused and any(_place(one) == _place(claim.effect) for one in decision.effects):
            self._park(claim, f"the helpdesk refuses the only place that is left ({why})")
            return
        try:
            self.store.finish(
                claim,
                EffectState.REFUSED,
                audit=decision.audit,
                case=decision.case,
                effects=decision.effects,
                expected_version=claim.case.version,
                error=why,
            )
        except StaleCase:  # the case was moved meanwhile: find out again, and decide for the case as it is then
            self._again(claim, self.now(), why, tries=claim.tries + 1)
            return
        if is_question(claim.effect) and not any(is_question(one) for one in decision.effects):
            self.store.release_survey(asked_for(claim.case))
        self.engine.tally.effects[str(EffectState.REFUSED)] += 1
        self.engine.tally.effects[str(EffectState.PLANNED)] += len(decision.effects)

    def _refused_so_far(self, claim: Claim, why: str) -> dict[str, str]:
        """Return whom the helpdesk would not take for this step, so that nobody is asked twice."""
        earlier = [
            one.effect.change.assignee_id
            for one in self.store.effects_of(claim.case.case_id)
            if one.state is EffectState.REFUSED and one.effect.step == claim.effect.step
        ]
        said = f"was refused by the helpdesk ({why})"
        return {agent_id or "": said for agent_id in (*earlier, claim.effect.change.assignee_id)}


def _bears_out(ticket: Ticket, verdict: Verdict) -> bool:
    """True if a ticket is what a write was told that it is; a stray 404 must not end a case."""
    status = ticket.status
    if verdict is Verdict.GONE:
        return status.is_gone
    return verdict is not Verdict.LOCKED or status.is_locked or status.is_gone


def _place(effect: Effect) -> tuple[str, Change]:
    """Return what an effect says about assignee and group, and of which step it is."""
    change = effect.change
    return effect.step, Change(assignee_id=change.assignee_id, group_id=change.group_id, unassign=change.unassign)


def _after(case: Case, effect: Effect, news: Written | None, ticket: Ticket | None) -> Case:
    """Return the case as a write leaves it."""
    after = case
    if news and news.ticket_id and effect.kind is EffectKind.FOLLOW_UP and effect.way is None:
        after = replace(after, work_ticket_id=news.ticket_id)
    chosen = ticket.assignee_id if ticket else None
    if chosen and chosen not in (effect.seen_assignee_id, effect.change.assignee_id, case.assignee_id) and case.is_open:
        group_id = ticket.group_id if ticket else None
        after = replace(after, assignee_id=chosen, group_id=group_id, chosen_by_human=True)
        after = replace(after, reason=f"{case.reason}; a human gave the ticket to somebody else, who keeps it")
    return after


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
