"""The parts of a decision: what was read before it, its audit, its effects, and how a case ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from bridge.connector import Asking
from bridge.hours import Calendar
from bridge.messages import bundle_of, when_to_tell
from bridge.model import Audit, Case, Change, Decision, Effect, EffectKind, Outcome, Rating, Stage, Ticket
from bridge.owner import Owner, Staff
from bridge.rules import Facts, Playbook, Rules

FLAGGED_TAG = "sr_flagged"
REOPENED_TAG = "sr_reopened"
WITHDRAWN_TAG = "sr_withdrawn"
SURVEYED_TAG = "sr_surveyed"


@dataclass(frozen=True)
class Spent:
    """Goodwill granted so far, by currency: on this ticket, and to this customer within the limit's time."""

    on_ticket: Mapping[str, Decimal] = field(default_factory=dict)
    for_customer: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Situation:
    """What was read about one ticket before deciding about it."""

    account: str
    ticket: Ticket
    staff: Staff
    facts: Facts | None  # None where nothing new was said about the rating
    link: str  # to the ticket, for staff
    shadow: bool
    new_id: Callable[[], str]  # random ids for cases and effects
    asking: Asking | None = None  # how the customer can be asked again; None where nobody is
    history: str | None = None  # this customer's earlier ratings, for staff
    spent: Spent = Spent()

    @property
    def rules(self) -> Rules:
        """The rules that decide."""
        return self.staff.rules

    @property
    def now(self) -> datetime:
        """The moment of the decision."""
        return self.staff.now

    def hours(self, case: Case) -> Calendar:
        """Return the working hours of whoever has the case: their own where known, else their team's."""
        return self.staff.hours_of(case.assignee_id, case.group_id)


def decide(case: Case, what: str, reason: str, situation: Situation, effects: Sequence[Effect] = ()) -> Decision:
    """Return the decision: the case as it is now, why, and what to do."""
    audit = Audit(
        at=situation.now,
        account=case.account,
        ticket_id=case.ticket_id,
        what=what,
        reason=reason,
        case_id=case.case_id,
        rating_id=case.rating_id,
        rule=case.rule,
        rules_hash=situation.rules.hash,
        facts=situation.facts.as_dict() if situation.facts else {},
    )
    return Decision(audit, case, tuple(effects))


def ended(case: Case, outcome: Outcome, why: str, now: datetime) -> Case:
    """Return a case with its one named outcome."""
    return replace(
        case,
        stage=Stage.ENDED,
        outcome=outcome,
        due_at=None,
        next_step="",
        reason=why,
        ended_at=now,
        version=case.version + 1,
    )


def end(case: Case, outcome: Outcome, why: str, situation: Situation) -> Decision:
    """End a case with one named outcome, and with what its ticket says about the cause."""
    learned = learn(case, situation)
    return decide(ended(learned, outcome, why, situation.now), "ended", why, situation)


def learn(case: Case, situation: Situation) -> Case:
    """Return the case with the cause and the remedy that agents put down on its ticket."""
    rules, ticket = situation.rules, situation.ticket
    named = rules.settings.ticket_fields.named
    said = {meaning: ticket.fields.get(name) for meaning, name in named.items()}
    cause = case.cause or rules.cause_of(ticket.tags, said.get("cause"))
    party = case.party or (rules.party_of(cause) if cause else None)
    return replace(case, cause=cause, party=party, remedy=case.remedy or said.get("remedy"))


def end_at_once(case: Case, why: str, situation: Situation) -> Decision:
    """Dismiss a case with the decision that opens it."""
    dismissed = replace(ended(case, Outcome.DISMISSED, why, situation.now), version=case.version)
    return decide(dismissed, "flagged", why, situation)


def effect_for(case: Case, kind: EffectKind, step: str, change: Change, situation: Situation) -> Effect:
    """Plan one thing to do on the ticket that carries the recovery."""
    return Effect(
        effect_id=situation.new_id(),
        case_id=case.case_id,
        account=case.account,
        ticket_id=case.carrier_id,
        kind=kind,
        step=step,
        change=change,
        seen_assignee_id=situation.ticket.assignee_id,
    )


def alert(case: Case, name: str | None, step: str, text: str, situation: Situation) -> Effect:
    """Tell a person; with nobody to tell, the alert waits for whoever looks at what is parked."""
    effect = effect_for(case, EffectKind.ALERT, f"{step}:tell:{name or 'nobody'}", Change(), situation)
    if name is None:
        return replace(effect, text=text)
    ticket, groups, rules = situation.ticket, situation.staff.directory.groups, situation.rules
    reason = situation.facts.reason if situation.facts else None
    person = rules.person(name, group=groups.get(ticket.group_id or ""), brand=ticket.brand, reason=reason)
    heading = f"{case.account} ticket {case.ticket_id}, severity {case.severity}: {situation.link}"
    digest, calendar = rules.people[name].digest, situation.hours(case)
    return replace(
        effect,
        person=name,
        target=person.notify or person.agent,
        text=f"{heading}\n{text}",
        bundle=bundle_of(case, digest, calendar, situation.now),
        not_before=when_to_tell(case, digest, calendar, situation.now),
    )


def playbook_of(case: Case, situation: Situation) -> Playbook:
    """Return the playbook of a case; one that rules.yaml has no longer leaves what every playbook has."""
    return situation.rules.playbooks.get(case.playbook) or Playbook()


def who_hears(playbook: Playbook, rules: Rules) -> str | None:
    """Return who is told when nobody could take a case: the last of the ladder who can be reached, else anybody."""
    candidates = (*reversed(playbook.assign_to_first_available), playbook.notify, *rules.people)
    return next((name for name in candidates if name and name in rules.people and rules.people[name].can_be_told), None)


def assignment(owner: Owner) -> Mapping[str, Any]:
    """Return the fields of a Change that give a ticket to its owner; none for a human who keeps it."""
    if owner.keeps:
        return {}
    if owner.agent_id is None:
        return {"group_id": owner.group_id, "unassign": True}
    return {"assignee_id": owner.agent_id, "group_id": owner.group_id}


def reopening(change: Change) -> Change:
    """Return a change that also reopens the ticket, with the tag that says so."""
    return replace(change, reopen=True, add_tags=(*change.add_tags, REOPENED_TAG))


def without(tags: tuple[str, ...], tag: str) -> tuple[str, ...]:
    """Return tags but one."""
    return tuple(kept for kept in tags if kept != tag)


def rating_of(case: Case, ticket: Ticket) -> Rating:
    """Return the rating that opened a case, as far as the ladder asks for it."""
    return Rating(
        rating_id=case.rating_id,
        ticket_id=case.ticket_id,
        category=case.category,
        value=case.rating,
        scale_max=case.scale_max,
        rated_at=case.rated_at,
        updated_at=case.rated_at,
        assignee_id=case.original_agent_id,
        group_id=ticket.group_id,
    )
