"""The private note that an agent reads: what happened, for whom, by when to write, and why the ticket is theirs.

The text is the admin's, from rules.yaml; what customers wrote is made inert before it gets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from bridge.decision import Situation, playbook_of
from bridge.model import REQUEST, Case, Rating
from bridge.owner import Owner, Staff
from bridge.rules import Playbook, inert

SIGNATURE = "Recovery Bridge"  # begins the paragraph that says whose ticket it is


def private_note(case: Case, rating: Rating, owner: Owner, situation: Situation) -> str:
    """Write the private note for the agent: what happened, for whom, by when, and why it is theirs."""
    rules, staff = situation.rules, situation.staff
    playbook = playbook_of(case, situation)
    why = given_to(owner, staff)
    if not playbook.note:
        return why
    return f"{rules.note(playbook.note, _values(case, rating, owner, situation)).strip()}\n\n{why}"


def given_to(owner: Owner, staff: Staff) -> str:
    """Say to whom a ticket was given, and why."""
    if owner.agent_id is None:
        return f"{SIGNATURE} found nobody to take this ticket: {owner.why}."
    return f"{SIGNATURE} gave this ticket to {staff.name(owner.agent_id)}: {owner.why}."


def readdressed(note: str | None, owner: Owner, situation: Situation) -> str:
    """Return a note whose last paragraph names the owner as it is now."""
    paragraphs = note.split("\n\n") if note else []
    if paragraphs and paragraphs[-1].startswith(SIGNATURE):
        paragraphs.pop()
    return "\n\n".join([*paragraphs, given_to(owner, situation.staff)])


def _values(case: Case, rating: Rating, owner: Owner, situation: Situation) -> Mapping[str, str | None]:
    """Return what the placeholders of a note stand for; customers' words are made inert first."""
    ticket, staff = situation.ticket, situation.staff
    playbook = playbook_of(case, situation)
    confidential = situation.rules.settings.confidential
    named = ticket.requester.name if ticket.requester and not confidential else None
    name = inert(named, 80) if named else None
    alone, most = _offers(case, playbook, situation)
    return {
        "customer_name": name,
        "customer_first_name": name.split()[0] if name else None,
        "rating_text": "not (an agent asked for this)" if case.is_request else _rating_text(rating),
        "comment": inert(rating.comment) if rating.comment else None,
        "reason": inert(rating.reason, 200) if rating.reason else None,
        "reply_by": _reply_by(case, playbook, situation),
        "goodwill_left": alone,
        "goodwill_up_to": most,
        "goodwill_policy": situation.rules.goodwill_policy,
        "history": situation.history,
        "original_agent": staff.name(case.original_agent_id) if case.original_agent_id else None,
        "assignee": staff.name(owner.agent_id) if owner.agent_id else None,
        "ticket_id": ticket.ticket_id,
        "ticket_subject": None if confidential else inert(ticket.subject, 200),
        "rule": case.rule,
        "playbook": case.playbook,
        "severity": str(case.severity),
        "brand": ticket.brand,
        "group": staff.directory.groups.get(ticket.group_id or ""),
        "channel": ticket.channel,
        "account": case.account,
        **_bad_rating_counts(playbook, situation),
    }


def _rating_text(rating: Rating) -> str:
    return f"{rating.category} ({rating.value} of {rating.scale_max})"


def _offers(case: Case, playbook: Playbook, situation: Situation) -> tuple[str | None, str | None]:
    """Return what an agent may still offer without asking, and with approval; None for nothing."""
    requester, limits, spent = situation.ticket.requester, situation.rules.limits, situation.spent
    tags = requester.tags | requester.organization_tags if requester else frozenset()
    goodwill = situation.rules.goodwill_for(playbook, case.severity, tags)
    if goodwill is None:
        return None, None
    currency = goodwill.up_to.currency
    given = spent.on_ticket.get(currency, Decimal(0))
    left = [goodwill.up_to.amount - given]
    if (limit := limits.goodwill_per_ticket) and limit.currency == currency:
        left.append(limit.amount - given)
    if (of_customer := limits.goodwill_per_customer) and of_customer.money.currency == currency:
        left.append(of_customer.money.amount - spent.for_customer.get(currency, 0))
    most = min(left)
    alone = min(most, goodwill.approval_above.amount - given) if goodwill.approval_above else most
    return _shown(alone, currency), _shown(most, currency)


def _shown(amount: Decimal, currency: str) -> str | None:
    return f"{amount} {currency}" if amount > 0 else None


def _bad_rating_counts(playbook: Playbook, situation: Situation) -> Mapping[str, str]:
    """Return the value of each placeholder `bad_ratings_<N>d` of the note."""
    if situation.facts is None or playbook.note is None:
        return {}
    names = [name for name in situation.rules.notes[playbook.note].fields if name.startswith("bad_ratings_")]
    days = {name: int(name.removeprefix("bad_ratings_").removesuffix("d")) for name in names}
    return {name: str(situation.facts.bad_ratings_within(timedelta(days=days[name]))) for name in names}


def _reply_by(case: Case, playbook: Playbook, situation: Situation) -> str | None:
    within = [d.within for d in playbook.deadlines if d.until == "replied"]
    if not within:
        return None
    calendar = situation.hours(case)
    return f"{calendar.add(situation.now, min(within)).astimezone(calendar.timezone):%a %d %b %Y, %H:%M %Z}"


def call(rating: Rating) -> str:
    """Name a rating in a sentence, or the request that stands for one."""
    if rating.rating_id.startswith(REQUEST):
        return f"an agent's request for ticket {rating.ticket_id}"
    return f"the {rating.category} rating of ticket {rating.ticket_id}"


def quoted(rating: Rating) -> str:
    """Return the customer's words as inert, bounded text."""
    words = [inert(text) for text in (rating.reason, rating.comment) if text]
    return " / ".join(f'"{word}"' for word in words) if words else "nothing more"
