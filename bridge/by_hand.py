"""What people decide by command, or on a page: how a case ended, what was promised, which goodwill was granted.

Goodwill is put down here, and never paid by the bridge. Whoever goes beyond the table says why, and its approver hears.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal

from pydantic import TypeAdapter, ValidationError

from bridge.deadlines import PROMISE
from bridge.decision import Spent, ended, who_hears
from bridge.hours import MIDNIGHT, Calendar, show_duration
from bridge.messages import bundle_of, when_to_tell
from bridge.model import Audit, Case, Decision, Effect, EffectKind, Outcome, Stage
from bridge.rules import Goodwill, Limits, Person, Playbook, Rules, inert
from bridge.rules.problems import unknown
from bridge.rules.values import Money, MoneyText

LONGEST_TEXT = 300  # characters of what somebody types into a command
LONGEST_PROMISE = timedelta(days=366)  # a promise further ahead has a wrong year
FAR_AWAY = "{} is more than a year away; is the year right?"
LOOK_AGAIN = "look what is next"
PARTIES = ("service", "product", "policy", "third_party")
ENDS = tuple(one for one in Outcome if one is not Outcome.DISMISSED)  # dismissed cases count nowhere: not for people
HAND = "hand"  # whoever did it, where nobody knows more


def _decided(case: Case, what: str, why: str, now: datetime) -> Decision:
    audit = Audit(
        now, case.account, case.ticket_id, what, why, case.case_id, case.rating_id, case.rule, case.rules_hash
    )
    return Decision(audit, case)


def typed(text: str) -> str:
    """Return what somebody typed as bounded, harmless text."""
    return inert(text, LONGEST_TEXT)


def is_address(text: str) -> bool:
    """True if a text can be the e-mail address of a customer."""
    return re.fullmatch(r"[^@\s]+@[^@\s]+", text.strip()) is not None


# ------------------------------------------------------------------ the end
@dataclass(frozen=True)
class Learned:
    """What was learned from a case, as far as it is known."""

    cause: str | None = None
    remedy: str | None = None
    party: str | None = None  # service, product, policy, third_party

    def __str__(self) -> str:
        said = [f"{name} {text}" for name, text in vars(self).items() if text]
        return ", ".join(said) or "nothing noted"


def learned(said: Mapping[str, str | None], rules: Rules) -> Learned:
    """Return what was learned, with the cause as rules.yaml names it and its party; from cause, remedy, party.

    Raises ValueError, saying what there is, for a cause or a party that nobody knows.
    """
    known = {name: typed(text) if text else None for name, text in said.items()}
    cause, party = known["cause"], known["party"]
    if party and party not in PARTIES:
        raise ValueError(f"unknown party; there are: {', '.join(PARTIES)}")
    if cause and rules.causes and cause not in rules.causes:
        message, suggestion = unknown("cause", cause, rules.causes)
        raise ValueError(f"{message}; there are: {', '.join(rules.causes)}" if suggestion else message)
    if cause and cause in rules.causes:
        known["party"] = party or rules.causes[cause].party
    return Learned(**known)


def conclude(case: Case, outcome: Outcome | None, learned: Learned, now: datetime, who: str = HAND) -> Decision:
    """End a case, `stopped` if nothing else is said; of one that has ended put down what was learned.

    Raises ValueError, saying what to do instead, for one that has ended with a cause, and for a second end.
    """
    if case.is_open:
        return close(case, outcome or Outcome.STOPPED, learned, now, who)
    ended = f"case {case.case_id} has ended already: {case.outcome}"
    if case.cause:
        raise ValueError(f"{ended}, cause: {case.cause}")
    if outcome:
        raise ValueError(f"{ended}; leave out the outcome to put down what was learned from it")
    if not learned.cause:
        raise ValueError(f"{ended}; write its cause to put down what was learned from it")
    return learn(case, learned, now, who)


def close(case: Case, outcome: Outcome, learned: Learned, now: datetime, who: str = HAND) -> Decision:
    """End a case."""
    why = f"closed by {who}: {learned}"
    return _decided(ended(_taught(case, learned), outcome, why, now), "ended", why, now)


def learn(case: Case, learned: Learned, now: datetime, who: str = HAND) -> Decision:
    """Put down what was learned from a case that has ended; its outcome stays."""
    taught = replace(_taught(case, learned), version=case.version + 1)
    return _decided(taught, "learned", f"by {who}: {learned}", now)


def _taught(case: Case, learned: Learned) -> Case:
    """Return the case with what is known now; what is not said stays as it was."""
    said = {name: text for name, text in vars(learned).items() if text}
    return replace(case, **said)


# ------------------------------------------------------------------ going on
def retried(effect: Effect, now: datetime, who: str = HAND) -> Audit:
    """Return the audit of a parked effect that is tried again."""
    why = f"{effect.step}: by {who}"
    return Audit(now, effect.account, effect.ticket_id, "retried", why, effect.case_id)


def resumed(account: str, now: datetime, who: str = HAND) -> Audit:
    """Return the audit of an account that goes on after a limit stopped it; it is about no ticket."""
    return Audit(now, account, "", "resumed", f"by {who}")


# ------------------------------------------------------------------ promises
def promised_until(text: str, calendar: Calendar, now: datetime) -> datetime:
    """Read until when something was promised: a day lasts until its work ends, a time is that of the calendar's zone.

    Raises ValueError, saying what to write instead, for anything else, for the past, and for more than a year ahead.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is no day or time; write 2026-12-01, or 2026-12-01T15:00') from None
    if abs(at.year - now.year) > 1:  # whatever is nearer can be computed with
        raise ValueError(FAR_AWAY.format(text))
    if len(text) <= len("2026-12-01"):
        by = _end_of_work(at.date(), calendar)
    else:
        by = (at if at.tzinfo else at.replace(tzinfo=calendar.timezone)).astimezone(UTC)
    if by <= now:
        raise ValueError(f"{text} has passed ({_local(by, calendar.timezone)}); write a day or time that is to come")
    if by - now > LONGEST_PROMISE:
        raise ValueError(FAR_AWAY.format(text))
    return by


def _end_of_work(day: date, calendar: Calendar) -> datetime:
    """Return when work ends on a day; the end of the day itself if nobody works then."""
    first, last = (datetime.combine(day + timedelta(days), MIDNIGHT, calendar.timezone) for days in (0, 1))
    worked = calendar.between(first, last)
    return calendar.add(first, worked) if worked else last.astimezone(UTC)


def _local(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %Y, %H:%M %Z}"


def promise(case: Case, what: str, by: datetime, zone: tzinfo, now: datetime) -> Decision:
    """Put down what the customer was promised, and until when; the case looks at it then."""
    promised = replace(case, promise=what, promised_by=by, promise_broken_at=None, version=case.version + 1)
    if case.due_at and by < case.due_at and case.stage is not Stage.UNCONFIRMED:
        promised = replace(promised, due_at=by, next_step=PROMISE)
    return _decided(promised, "promised", f'"{what}" by {_local(by, zone)}', now)


def promise_kept(case: Case, now: datetime) -> Decision:
    """Put down that the promise was kept; if the case waited for that alone, the next run looks what else there is."""
    late = " too late" if case.promised_by and now > case.promised_by else ""
    kept = replace(case, promise=None, promise_broken_at=None, version=case.version + 1)  # the date stays known
    if case.next_step == PROMISE:
        kept = replace(kept, due_at=now, next_step=LOOK_AGAIN)
    return _decided(kept, "promise_kept", f'"{case.promise}" was kept{late}', now)


# ------------------------------------------------------------------ goodwill
def read_amount(text: str) -> Money:
    """Read an amount such as `15 EUR`. Raises ValueError, saying what to write, for anything else and for nothing."""
    try:
        money = TypeAdapter(MoneyText).validate_python(text)
    except ValidationError as exc:
        raise ValueError(str(exc.errors()[0]["ctx"]["advice"])) from exc
    if not money.amount:
        raise ValueError(f'"{text}" is nothing; write what was granted, like 15 EUR')
    return money


def currency_of(policy: Goodwill | None, limits: Limits) -> str | None:
    """Return the currency in which goodwill is granted, or None if the rules name none."""
    per_customer = limits.goodwill_per_customer
    named = (policy and policy.up_to, limits.goodwill_per_ticket, per_customer and per_customer.money)
    return next((money.currency for money in named if money), None)


def objections(money: Money, policy: Goodwill | None, limits: Limits, spent: Spent) -> Iterator[str]:
    """Yield why an amount is more than an agent may grant alone; nothing if it is not."""
    on_ticket = _with(money, spent.on_ticket)
    if policy is None:
        yield "rules.yaml offers no goodwill for such a case"
    elif on_ticket.amount > policy.up_to.amount:
        yield f"{on_ticket} on this ticket is more than the {policy.up_to} that its goodwill allows"
    elif policy.approval_above and on_ticket.amount > policy.approval_above.amount:
        yield f"{on_ticket} on this ticket needs the approval of {policy.approved_by} (above {policy.approval_above})"
    limit = limits.goodwill_per_ticket
    if limit and limit.currency == money.currency and on_ticket.amount > limit.amount:
        yield f"{on_ticket} on this ticket is more than limits: goodwill_per_ticket ({limit})"
    for_customer, most = _with(money, spent.for_customer), limits.goodwill_per_customer
    if most and most.money.currency == money.currency and for_customer.amount > most.money.amount:
        within = f"{most.money} in {show_duration(most.within)}"
        yield f"{for_customer} for this customer is more than limits: goodwill_per_customer ({within})"


def _with(money: Money, spent: Mapping[str, Decimal]) -> Money:
    return Money(money.amount + spent.get(money.currency, Decimal()), money.currency)


def approver(policy: Goodwill | None, case: Case, rules: Rules, group: str | None) -> Person | None:
    """Return who hears of goodwill beyond the table: its approver where they can be told, else a lead."""
    name = policy.approved_by if policy else None
    if name is None or not rules.people[name].can_be_told:
        name = who_hears(rules.playbooks.get(case.playbook) or Playbook(), rules)
    return rules.person(name, group=group) if name else None


@dataclass(frozen=True)
class Grant:
    """Goodwill that was granted; *beyond* says why that is more than an agent may grant alone, and is "" otherwise."""

    money: Money
    because: str
    beyond: str


def granted(case: Case, grant: Grant, now: datetime) -> Audit:
    """Return the audit of goodwill."""
    why = f"; because: {grant.because}" if grant.because else ""
    return _decided(case, "goodwill", f"{grant.money} granted{why}", now).audit


def overridden(
    case: Case, grant: Grant, approver: Person | None, rules: Rules, *, effect_id: str, now: datetime
) -> Decision:
    """Put down that goodwill went beyond what may be granted alone, and let its approver hear of it.

    Without anybody to tell, the message waits for whoever looks at what is parked.
    """
    why = f"{grant.money} granted; {grant.beyond}; because: {grant.because}"
    digest, calendar = rules.people[approver.name].digest if approver else None, rules.calendar(case.account)
    told = Effect(
        effect_id=effect_id,
        case_id=case.case_id,
        account=case.account,
        ticket_id=case.carrier_id,
        kind=EffectKind.ALERT,
        step=f"override:{effect_id}:tell:{approver.name if approver else 'nobody'}",
        person=approver.name if approver else None,
        target=(approver.notify or approver.agent) if approver else None,
        text=f"{case.account} ticket {case.ticket_id}, severity {case.severity}: {why}",
        bundle=bundle_of(case, digest, calendar, now),
        not_before=when_to_tell(case, digest, calendar, now),
    )
    return Decision(_decided(case, "override", why, now).audit, None, (told,))
