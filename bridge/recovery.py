"""The case: how a recovery begins, what it does at each signal, and how it ends.

Everything here is pure: `open_case` and `advance` take what was read and return a Decision, which is the only output of
thinking. TRANSITIONS says what each signal does at each stage; an end has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.model import (
    Audit,
    Case,
    Category,
    Change,
    Decision,
    Effect,
    EffectKind,
    Outcome,
    Rating,
    Stage,
    Status,
    Ticket,
    Verdict,
)
from bridge.owner import Owner, Staff, find_owner
from bridge.rules import Facts, Goodwill, Playbook, Rule, Rules, inert

FLAGGED_TAG = "sr_flagged"
REOPENED_TAG = "sr_reopened"
WITHDRAWN_TAG = "sr_withdrawn"
CLOSING_STEPS = frozenset({"withdraw", "thanks"})  # what is still written once the case has ended
TAGS_IN_USE = (FLAGGED_TAG, REOPENED_TAG, WITHDRAWN_TAG)

PRIORITIES = ("low", "normal", "high", "urgent")
WITHOUT_DEADLINES = timedelta(hours=8)  # of working time, when a playbook names none


# ------------------------------------------------------------------ what thinking looks at
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

    @property
    def rules(self) -> Rules:
        """The rules that decide."""
        return self.staff.rules

    @property
    def now(self) -> datetime:
        """The moment of the decision."""
        return self.staff.now


@dataclass(frozen=True)
class RatedAgain:
    """The customer of an open case changed the rating, or rated another ticket; *rule* is what matches now."""

    rating: Rating
    rule: Rule | None


@dataclass(frozen=True)
class DeadlinePassed:
    """The due time of the case has come; *rating* is the rating as it is now, None if it no longer exists."""

    rating: Rating | None


@dataclass(frozen=True)
class EffectFailed:
    """The helpdesk did not carry out an effect, in a way that the case itself can answer."""

    effect: Effect
    verdict: Verdict
    why: str


Signal = RatedAgain | DeadlinePassed | EffectFailed


# ------------------------------------------------------------------ beginning
def open_case(
    rating: Rating, rule: Rule, original_agent_id: str | None, customer: str | None, situation: Situation
) -> Decision:
    """Begin the recovery of one rating that *rule* matched; *customer* is the key by which the requester is known."""
    ticket, rungs = situation.ticket, situation.rules.playbooks[rule.playbook].assign_to_first_available
    nobody = Owner(None, ticket.group_id, ())
    gone = ticket.status.is_gone
    owner = nobody if gone else find_owner(rungs, rating, ticket, original_agent_id, situation.staff)
    case = replace(_new_case(rating, rule, owner, situation), original_agent_id=original_agent_id, customer=customer)
    if gone:
        return _end(case, Outcome.DISMISSED, f"the ticket is {ticket.status}", situation, what="flagged")
    effects = _first_effects(case, rating, owner, situation)
    if situation.shadow:
        return _shadow(case, effects, situation)
    return _decision(case, "flagged", case.reason, situation, effects)


def _new_case(rating: Rating, rule: Rule, owner: Owner, situation: Situation) -> Case:
    now, settings = situation.now, situation.rules.settings
    confirmed_at = rating.rated_at + settings.confirm_after
    unconfirmed = rating.comment is None and rating.reason is None and now < confirmed_at
    case = Case(
        case_id=situation.new_id(),
        account=situation.account,
        ticket_id=rating.ticket_id,
        rating_id=rating.rating_id,
        category=rating.category,
        rating=rating.value,
        scale_max=rating.scale_max,
        rated_at=rating.rated_at,
        flagged_at=now,
        rule=rule.name,
        rules_hash=situation.rules.hash,
        playbook=rule.playbook,
        severity=rule.severity,
        stage=Stage.UNCONFIRMED if unconfirmed else Stage.ASSIGNED,
        due_at=confirmed_at,
        next_step="look whether the rating still stands",
        reason=f'matched "{rule.name}"; {owner.why}',
        original_agent_id=None,
        assignee_id=owner.agent_id,
        group_id=owner.group_id,
        ladder=owner.steps,
        assigned_at=now if owner.agent_id else None,
        version=1,
    )
    return case if unconfirmed else replace(case, confirmed_at=now, **_next_deadline(case, situation))


def _first_effects(case: Case, rating: Rating, owner: Owner, situation: Situation) -> tuple[Effect, ...]:
    playbook = situation.rules.playbooks[case.playbook]
    change = Change(
        add_tags=(FLAGGED_TAG, *playbook.tags),
        priority=playbook.priority,
        note=_note(case, rating, owner, situation),
        **_assignment(owner),
    )
    if case.stage is Stage.ASSIGNED and playbook.ticket == "reopen":
        change = _reopening(change)
    effects = list(_on_ticket(case, "flag", change, situation))
    told = {playbook.notify} if playbook.notify else set()
    if owner.agent_id is None and (fallback := _who_hears(playbook, situation.rules)):
        told.add(fallback)
    return (*effects, *(_alert(case, person, "flag", case.reason, situation) for person in sorted(told)))


def _assignment(owner: Owner) -> Mapping[str, Any]:
    if owner.keeps:
        return {}
    if owner.agent_id is None:
        return {"group_id": owner.group_id, "unassign": True}
    return {"assignee_id": owner.agent_id, "group_id": owner.group_id}


def _reopening(change: Change) -> Change:
    return replace(change, reopen=True, add_tags=(*change.add_tags, REOPENED_TAG))


def _on_ticket(case: Case, step: str, change: Change, situation: Situation) -> tuple[Effect, ...]:
    """Return the effects that carry out *change* on the ticket as it is: a write, a follow-up ticket, or an alert."""
    ticket, playbook = situation.ticket, situation.rules.playbooks[case.playbook]
    makes_ticket = playbook.ticket == "follow_up" or ticket.status.is_locked
    if not makes_ticket or ticket.ticket_id == case.work_ticket_id:
        return (_effect(case, EffectKind.UPDATE, step, change, situation),)
    if case.stage is Stage.UNCONFIRMED:
        return ()  # the customer would see a new ticket: it waits until the rating is confirmed
    impossible = playbook.ticket == "note_only" or (ticket.status is Status.ARCHIVED and playbook.archived == "alert")
    if impossible:
        text = f"the ticket is {ticket.status} and cannot be written; please write to the customer. {case.reason}"
        person = _who_hears(playbook, situation.rules)
        return (_alert(case, person, step, text, situation),) if person else ()
    new_ticket = replace(change, reopen=False, note_first=True, add_tags=_without(change.add_tags, REOPENED_TAG))
    return (_effect(case, EffectKind.FOLLOW_UP, step, new_ticket, situation),)


def _shadow(case: Case, effects: Sequence[Effect], situation: Situation) -> Decision:
    decision = _end(case, Outcome.DISMISSED, f"shadow: {case.reason}", situation, what="flagged")
    return replace(decision, effects=tuple(effects))


# ------------------------------------------------------------------ going on
def advance(case: Case, signal: Signal, situation: Situation) -> Decision:
    """Return what a signal does to an open case. Raises KeyError for a case that has ended."""
    if situation.ticket.status.is_gone:
        return _end(case, Outcome.DISMISSED, f"the ticket is {situation.ticket.status}", situation)
    return TRANSITIONS[case.stage, type(signal)](case, signal, situation)


def _confirm(case: Case, signal: DeadlinePassed, situation: Situation) -> Decision:
    """The grace time is over: reopen if the rating still stands, withdraw if it does not."""
    rating = signal.rating
    if rating is None:
        return _withdraw(case, "the rating no longer exists", situation)
    if rating.category is Category.GOOD:
        return _withdraw(case, "the customer changed the rating to good before it was acted on", situation)
    case = replace(case, stage=Stage.ASSIGNED, confirmed_at=situation.now, version=case.version + 1)
    case = replace(case, **_next_deadline(case, situation), reason=f"{case.reason}; the rating still stands")
    return _decision(case, "confirmed", "the rating still stands", situation, _confirming(case, rating, situation))


def _confirming(case: Case, rating: Rating, situation: Situation) -> tuple[Effect, ...]:
    playbook, ticket = situation.rules.playbooks[case.playbook], situation.ticket
    if ticket.status.is_locked or playbook.ticket == "follow_up":
        owner = Owner(case.assignee_id, case.group_id, case.ladder)
        note = _note(case, rating, owner, situation)
        change = Change((FLAGGED_TAG, *playbook.tags), priority=playbook.priority, note=note, **_assignment(owner))
        return _on_ticket(case, "confirm", change, situation)
    if playbook.ticket != "reopen" or ticket.status is not Status.SOLVED:
        return ()
    said = f' They added: "{inert(rating.comment)}"' if rating.comment else ""
    note = f"The customer's rating still stands, so the ticket is open again.{said}"
    return _on_ticket(case, "confirm", _reopening(Change(note=note)), situation)


def _overdue(case: Case, _signal: DeadlinePassed, situation: Situation) -> Decision:
    """Record that a deadline passed and look at the next one; who is reminded or takes over comes with it."""
    missed = case.next_step
    case = replace(case, version=case.version + 1, **_next_deadline(case, situation))
    return _decision(case, "overdue", f"{missed}: the time is up", situation)


def _rated_again(case: Case, signal: RatedAgain, situation: Situation) -> Decision:
    """The same customer spoke again: join the open case, never open a second one."""
    rating = signal.rating
    same = rating.rating_id == case.rating_id
    if same and rating.category is not Category.BAD:
        return _changed_mind(case, rating, situation)
    if case.stage is Stage.UNCONFIRMED and (rating.comment or rating.reason):
        joined = _heavier(case, signal.rule, rating)
        return _confirm(joined, DeadlinePassed(rating), situation)
    heavier = _heavier(case, signal.rule, rating)
    joined = replace(heavier, version=case.version + 1, reason=f"{case.reason}; joined by {_call(rating)}")
    note = f"The customer also said, in {_call(rating)}: {_quoted(rating)}"
    priority = situation.rules.playbooks[joined.playbook].priority if joined.severity != case.severity else None
    effect = _effect(
        joined, EffectKind.UPDATE, f"join:{rating.version}", Change(note=note, priority=priority), situation
    )
    worth_a_note = bool(rating.comment or rating.reason or not same)
    return _decision(
        joined, "joined", f"{_call(rating)} joins case {case.case_id}", situation, (effect,) * worth_a_note
    )


def _heavier(case: Case, rule: Rule | None, rating: Rating) -> Case:
    """Return the case with the greater of both severities; the worst rating is the one it shows."""
    if rating.rating_id == case.rating_id:
        case = replace(case, rating=rating.value, scale_max=rating.scale_max, category=rating.category)
    if rule is None or rule.severity.weight <= case.severity.weight:
        return case
    return replace(case, severity=rule.severity, rule=rule.name, playbook=rule.playbook)


def _changed_mind(case: Case, rating: Rating, situation: Situation) -> Decision:
    if case.stage is Stage.UNCONFIRMED:
        return _withdraw(case, f"the customer changed the rating to {rating.category}", situation)
    outcome = Outcome.RECOVERED if rating.category is Category.GOOD else Outcome.IMPROVED
    why = f"the customer changed the rating to {rating.category}"
    note = Change(note=f"Good news: {why}. Nothing more is asked of you here.")
    effect = _effect(case, EffectKind.UPDATE, "thanks", note, situation)
    return replace(_end(case, outcome, why, situation), effects=(effect,))


def _withdraw(case: Case, why: str, situation: Situation) -> Decision:
    decision = _end(case, Outcome.DISMISSED, f"rating withdrawn: {why}", situation)
    if situation.ticket.status.is_locked:
        return decision
    note = Change(add_tags=(WITHDRAWN_TAG,), note=f"No action is needed any more: {why}.")
    return replace(decision, effects=(_effect(case, EffectKind.UPDATE, "withdraw", note, situation),))


def _effect_failed(case: Case, signal: EffectFailed, situation: Situation) -> Decision:
    """Find another way where the helpdesk would not do what was decided."""
    if signal.verdict is Verdict.BAD_ASSIGNEE:
        return _next_owner(case, signal, situation)
    if signal.verdict is Verdict.LOCKED:
        case = replace(case, version=case.version + 1)
        effects = _on_ticket(case, signal.effect.step, signal.effect.change, situation)
        effects = tuple(replace(e, generation=signal.effect.generation + 1) for e in effects)
        return _decision(case, "redecided", f"the ticket is {situation.ticket.status} by now", situation, effects)
    return _end(case, Outcome.DISMISSED, f"the ticket is gone: {signal.why}", situation)


def _next_owner(case: Case, signal: EffectFailed, situation: Situation) -> Decision:
    playbook = situation.rules.playbooks[case.playbook]
    rating = _rating_of(case, situation.ticket)
    owner = find_owner(
        playbook.assign_to_first_available, rating, situation.ticket, case.original_agent_id, situation.staff
    )
    case = replace(
        case,
        assignee_id=owner.agent_id,
        group_id=owner.group_id,
        ladder=owner.steps,
        reason=f'matched "{case.rule}"; {owner.why}',
        assigned_at=situation.now if owner.agent_id else None,
        version=case.version + 1,
    )
    change = replace(signal.effect.change, assignee_id=None, group_id=None, unassign=False, **_assignment(owner))
    effect = _effect(case, signal.effect.kind, signal.effect.step, change, situation)
    effects = [replace(effect, generation=signal.effect.generation + 1)]
    if owner.agent_id is None and (person := _who_hears(playbook, situation.rules)):
        effects.append(_alert(case, person, "next_owner", case.reason, situation))
    return _decision(case, "redecided", signal.why, situation, effects)


TRANSITIONS: Mapping[tuple[Stage, type], Callable[..., Decision]] = {
    (stage, signal): {
        RatedAgain: _rated_again,
        DeadlinePassed: _confirm if stage is Stage.UNCONFIRMED else _overdue,
        EffectFailed: _effect_failed,
    }[signal]
    for stage in Stage
    if stage is not Stage.ENDED
    for signal in (RatedAgain, DeadlinePassed, EffectFailed)
}


# ------------------------------------------------------------------ just before the write
def settle(effect: Effect, ticket: Ticket) -> Change:
    """Return what is left of a change on the ticket as it is now: what a human did meanwhile is never undone."""
    change = effect.change
    chosen_by_human = ticket.assignee_id not in (None, effect.seen_assignee_id, change.assignee_id)
    if effect.kind is EffectKind.UPDATE and chosen_by_human:
        change = replace(change, assignee_id=None, group_id=None, unassign=False)
    if effect.kind is EffectKind.UPDATE and change.reopen and ticket.status is not Status.SOLVED:
        change = replace(change, reopen=False, add_tags=_without(change.add_tags, REOPENED_TAG))
    if change.priority and _rank(ticket.priority) >= _rank(change.priority):
        change = replace(change, priority=None)
    return change


def _rank(priority: str | None) -> int:
    return PRIORITIES.index(priority) if priority in PRIORITIES else -1


# ------------------------------------------------------------------ parts
def _decision(case: Case, what: str, reason: str, situation: Situation, effects: Sequence[Effect] = ()) -> Decision:
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


def _end(case: Case, outcome: Outcome, why: str, situation: Situation, *, what: str = "ended") -> Decision:
    ended = replace(
        case,
        stage=Stage.ENDED,
        outcome=outcome,
        due_at=None,
        next_step="",
        reason=why,
        ended_at=situation.now,
        version=case.version if what == "flagged" else case.version + 1,
    )
    return _decision(ended, what, why, situation)


def _effect(case: Case, kind: EffectKind, step: str, change: Change, situation: Situation) -> Effect:
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


def _alert(case: Case, name: str, step: str, text: str, situation: Situation) -> Effect:
    effect = _effect(case, EffectKind.ALERT, f"{step}:tell:{name}", Change(), situation)
    ticket, groups = situation.ticket, situation.staff.directory.groups
    reason = situation.facts.reason if situation.facts else None
    person = situation.rules.person(name, group=groups.get(ticket.group_id or ""), brand=ticket.brand, reason=reason)
    heading = f"{case.account} ticket {case.ticket_id}, severity {case.severity}: {situation.link}"
    return replace(effect, person=name, target=person.notify or person.agent, text=f"{heading}\n{text}")


def _who_hears(playbook: Playbook, rules: Rules) -> str | None:
    """Return who is told when nobody could take a case: the last of the ladder who can be reached, else anybody."""
    candidates = (*reversed(playbook.assign_to_first_available), playbook.notify, *rules.people)
    return next((name for name in candidates if name and name in rules.people and rules.people[name].can_be_told), None)


def _next_deadline(case: Case, situation: Situation) -> Mapping[str, Any]:
    """Return due_at and next_step: the first deadline of the playbook that is still to come."""
    playbook, calendar = situation.rules.playbooks[case.playbook], situation.staff.calendar
    begun = case.confirmed_at or situation.now
    coming = sorted((calendar.add(begun, d.within), str(d.until)) for d in playbook.deadlines)
    for due_at, until in coming:
        if due_at > situation.now:
            return {"due_at": due_at, "next_step": until}
    return {"due_at": calendar.add(situation.now, WITHOUT_DEADLINES), "next_step": "solved"}


def _reply_by(playbook: Playbook, begun: datetime, situation: Situation) -> str | None:
    within = [d.within for d in playbook.deadlines if d.until == "replied"]
    if not within:
        return None
    calendar = situation.staff.calendar
    return f"{calendar.add(begun, min(within)).astimezone(calendar.timezone):%a %d %b %Y, %H:%M %Z}"


def _note(case: Case, rating: Rating, owner: Owner, situation: Situation) -> str:
    """Write the private note for the agent: what happened, for whom, by when, and why it is theirs."""
    rules, staff = situation.rules, situation.staff
    playbook = rules.playbooks[case.playbook]
    why = f"Recovery Bridge gave this ticket to {staff.name(owner.agent_id)}: {owner.why}."
    if owner.agent_id is None:
        why = f"Recovery Bridge found nobody to take this ticket: {owner.why}."
    if not playbook.note:
        return why
    return f"{rules.note(playbook.note, _values(case, rating, owner, situation)).strip()}\n\n{why}"


def _values(case: Case, rating: Rating, owner: Owner, situation: Situation) -> Mapping[str, str | None]:
    """Return what the placeholders of a note stand for; customers' words are made inert first."""
    ticket, staff = situation.ticket, situation.staff
    playbook = situation.rules.playbooks[case.playbook]
    name = inert(ticket.requester.name, 80) if ticket.requester and ticket.requester.name else None
    return {
        "customer_name": name,
        "customer_first_name": name.split()[0] if name else None,
        "rating_text": f"{rating.category} ({rating.value} of {rating.scale_max})",
        "comment": inert(rating.comment) if rating.comment else None,
        "reason": inert(rating.reason, 200) if rating.reason else None,
        "reply_by": _reply_by(playbook, situation.now, situation),
        "goodwill_left": _alone(playbook.goodwill) if playbook.goodwill else None,
        "original_agent": staff.name(case.original_agent_id) if case.original_agent_id else None,
        "assignee": staff.name(owner.agent_id) if owner.agent_id else None,
        "ticket_id": ticket.ticket_id,
        "ticket_subject": inert(ticket.subject, 200),
        "rule": case.rule,
        "playbook": case.playbook,
        "severity": str(case.severity),
        "brand": ticket.brand,
        "group": staff.directory.groups.get(ticket.group_id or ""),
        "channel": ticket.channel,
        "account": case.account,
        **_bad_rating_counts(playbook, situation),
    }


def _alone(goodwill: Goodwill) -> str:
    """Return what an agent may offer without asking."""
    limits = [money for money in (goodwill.up_to, goodwill.approval_above) if money is not None]
    return str(min(limits, key=lambda money: money.amount))


def _bad_rating_counts(playbook: Playbook, situation: Situation) -> Mapping[str, str]:
    """Return the value of each placeholder `bad_ratings_<N>d` of the note."""
    if situation.facts is None or playbook.note is None:
        return {}
    names = [name for name in situation.rules.notes[playbook.note].fields if name.startswith("bad_ratings_")]
    days = {name: int(name.removeprefix("bad_ratings_").removesuffix("d")) for name in names}
    return {name: str(situation.facts.bad_ratings_within(timedelta(days=days[name]))) for name in names}


def _rating_of(case: Case, ticket: Ticket) -> Rating:
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


def _call(rating: Rating) -> str:
    return f"the {rating.category} rating of ticket {rating.ticket_id}"


def _quoted(rating: Rating) -> str:
    words = [inert(text) for text in (rating.reason, rating.comment) if text]
    return " / ".join(f'"{word}"' for word in words) if words else "nothing more"


def _without(tags: tuple[str, ...], tag: str) -> tuple[str, ...]:
    return tuple(kept for kept in tags if kept != tag)
