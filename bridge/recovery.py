"""The case: how a recovery begins, what it does at each signal, and how it ends.

Everything here is pure: `open_case` and `advance` take what was read and return a Decision, which is the only output of
thinking. TRANSITIONS says what each signal does at each stage; an end has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge import pursuit, survey
from bridge.decision import (
    FLAGGED_TAG,
    REOPENED_TAG,
    WITHDRAWN_TAG,
    Situation,
    alert,
    assignment,
    decide,
    effect_for,
    end,
    end_at_once,
    playbook_of,
    rating_of,
    reopening,
    who_hears,
    without,
)
from bridge.model import (
    REQUEST,
    Activity,
    Answer,
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
from bridge.owner import Owner, find_owner
from bridge.private_note import call, private_note, quoted, readdressed
from bridge.rules import Playbook, Rule, inert
from bridge.survey import NOTHING_KNOWN, Chance, outcome_of

NO_REASON_FOR_A_NEW_TICKET = ("check_in", "cause", "silence", "answer", "ask")
PRIORITIES = ("low", "normal", "high", "urgent")


# ------------------------------------------------------------------ what thinking looks at


@dataclass(frozen=True)
class RatedAgain:
    """The customer of an open case changed the rating, or rated another ticket; *rule* is what matches now."""

    rating: Rating
    rule: Rule | None


@dataclass(frozen=True)
class DeadlinePassed:
    """The due time of the case has come; *rating* is the rating as it is now, None if it no longer exists.

    *chance* is what was found out where the customer would be asked again.
    """

    rating: Rating | None
    chance: Chance = NOTHING_KNOWN


@dataclass(frozen=True)
class Answered:
    """The customer answered our own question; *comment* are their words."""

    answer: Answer
    comment: str | None = None


@dataclass(frozen=True)
class EffectFailed:
    """The helpdesk did not carry out an effect, in a way that the case itself can answer."""

    effect: Effect
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class PeopleActed:
    """The ticket of a case changed, and people did something to it."""

    activity: Activity


@dataclass(frozen=True)
class OwnerGone:
    """The owner of a case has left or is absent."""

    why: str


Signal = RatedAgain | DeadlinePassed | Answered | EffectFailed | PeopleActed | OwnerGone


# ------------------------------------------------------------------ beginning
def open_case(
    rating: Rating, rule: Rule, original_agent_id: str | None, customer: str | None, situation: Situation
) -> Decision:
    """Begin the recovery of one rating that *rule* matched; *customer* is the key by which the requester is known."""
    ticket, rungs = situation.ticket, situation.rules.playbooks[rule.playbook].assign_to_first_available
    nobody = Owner(None, ticket.group_id, ())
    gone = ticket.status.is_gone
    owner = nobody if gone else find_owner(rungs, rating, ticket, original_agent_id, situation.staff)
    case = _new_case(rating, rule, owner, situation, original_agent_id=original_agent_id, customer=customer)
    if gone:
        return end_at_once(case, f"the ticket is {ticket.status}", situation)
    effects = _first_effects(case, rating, owner, situation)
    if situation.shadow:
        return _shadow(case, effects, situation)
    return decide(case, "flagged", case.reason, situation, effects)


def _new_case(
    rating: Rating,
    rule: Rule,
    owner: Owner,
    situation: Situation,
    *,
    original_agent_id: str | None,
    customer: str | None,
) -> Case:
    now, settings = situation.now, situation.rules.settings
    confirmed_at = rating.rated_at + settings.confirm_after
    wordless = rating.comment is None and rating.reason is None and not rating.rating_id.startswith(REQUEST)
    unconfirmed = wordless and now < confirmed_at
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
        original_agent_id=original_agent_id,
        assignee_id=owner.agent_id,
        group_id=owner.group_id,
        ladder=owner.steps,
        customer=customer,
        incident=rule.incident,
        chosen_by_human=owner.keeps,
        assigned_at=now if owner.agent_id else None,
        confirmed_at=None if unconfirmed else now,
        version=1,
    )
    return case if unconfirmed else pursuit.due(case, situation)


def _first_effects(case: Case, rating: Rating, owner: Owner, situation: Situation) -> tuple[Effect, ...]:
    playbook = playbook_of(case, situation)
    change = Change(
        add_tags=(FLAGGED_TAG, *playbook.tags),
        priority=playbook.priority,
        note=private_note(case, rating, owner, situation),
        **assignment(owner),
    )
    if case.stage is Stage.ASSIGNED and playbook.ticket == "reopen":
        change = reopening(change)
    effects = list(_on_ticket(case, "flag", change, situation))
    told = {playbook.notify} if playbook.notify else set()
    if owner.agent_id is None and (fallback := who_hears(playbook, situation.rules)):
        told.add(fallback)
    told -= {effect.person for effect in effects}
    return (*effects, *(alert(case, person, "flag", case.reason, situation) for person in sorted(told)))


def _on_ticket(case: Case, step: str, change: Change, situation: Situation) -> tuple[Effect, ...]:
    """Return the effects that carry out *change* on the ticket as it is: a write, a follow-up ticket, or an alert."""
    ticket, playbook = situation.ticket, playbook_of(case, situation)
    if not ticket.status.is_locked and playbook.ticket != "follow_up":
        return (effect_for(case, EffectKind.UPDATE, step, change, situation),)
    if case.stage is Stage.UNCONFIRMED:
        return ()  # the customer would see a new ticket: it waits until the rating is confirmed
    impossible = playbook.ticket == "note_only" or (ticket.status is Status.ARCHIVED and playbook.archived == "alert")
    if impossible:
        text = f"the ticket is {ticket.status} and cannot be written; please write to the customer. {case.reason}"
        return (alert(case, who_hears(playbook, situation.rules), step, text, situation),)
    return (effect_for(case, EffectKind.FOLLOW_UP, step, _beginning(case, change, playbook), situation),)


def _beginning(case: Case, change: Change, playbook: Playbook) -> Change:
    """Return what a new ticket begins with: it has no owner, tags or priority of its own yet."""
    return replace(
        change,
        add_tags=tuple(dict.fromkeys((FLAGGED_TAG, *playbook.tags, *without(change.add_tags, REOPENED_TAG)))),
        reopen=False,
        priority=change.priority or playbook.priority,
        note_first=True,
        **assignment(Owner(case.assignee_id, case.group_id, case.ladder)),
    )


def _shadow(case: Case, effects: Sequence[Effect], situation: Situation) -> Decision:
    decision = end_at_once(case, f"shadow: {case.reason}", situation)
    return replace(decision, effects=tuple(effects))


# ------------------------------------------------------------------ going on
def advance(case: Case, signal: Signal, situation: Situation) -> Decision:
    """Return what a signal does to an open case. Raises KeyError for a case that has ended."""
    ticket, go_on = situation.ticket, TRANSITIONS[case.stage, type(signal)]
    if ticket.status.is_gone and ticket.ticket_id == case.carrier_id:
        return end(case, Outcome.DISMISSED, f"the ticket is {ticket.status}", situation)
    return go_on(case, signal, situation)


def _confirm(case: Case, signal: DeadlinePassed, situation: Situation) -> Decision:
    """The grace time is over: reopen if the rating still stands, withdraw if it does not."""
    rating = signal.rating
    if rating is None:
        return _withdraw(case, "the rating no longer exists", situation)
    if rating.category is Category.GOOD and case.category is not Category.GOOD:
        return _withdraw(case, "the customer changed the rating to good before it was acted on", situation)
    return _confirmed(case, rating, None, situation)


def _confirmed(case: Case, rating: Rating, priority: str | None, situation: Situation) -> Decision:
    """Begin in earnest; *priority* is the one to raise the ticket to, if there is more reason to hurry now."""
    case = replace(case, stage=Stage.ASSIGNED, confirmed_at=situation.now, version=case.version + 1)
    case = replace(pursuit.due(case, situation), reason=f"{case.reason}; the rating still stands")
    effects = _confirming(case, rating, priority, situation)
    return decide(case, "confirmed", "the rating still stands", situation, effects)


def _confirming(case: Case, rating: Rating, priority: str | None, situation: Situation) -> tuple[Effect, ...]:
    playbook, ticket = playbook_of(case, situation), situation.ticket
    if ticket.status.is_locked or playbook.ticket == "follow_up":
        note = private_note(case, rating, Owner(case.assignee_id, case.group_id, case.ladder), situation)
        return _on_ticket(case, "confirm", Change(note=note), situation)
    reopens = playbook.ticket == "reopen" and ticket.status is Status.SOLVED
    if not reopens and not rating.comment and not priority:
        return ()
    said = f' They added: "{inert(rating.comment)}"' if rating.comment else ""
    note = f"The customer's rating still stands{', so the ticket is open again' if reopens else ''}.{said}"
    change = Change(note=note, priority=priority)
    return _on_ticket(case, "confirm", reopening(change) if reopens else change, situation)


def _overdue(case: Case, signal: DeadlinePassed, situation: Situation) -> Decision:
    return pursuit.overdue(case, signal.chance, situation)


def _answered(case: Case, signal: Answered, situation: Situation) -> Decision:
    """Take the answer to our own question, and put it on the ticket where that can still be written."""
    decision = pursuit.answered(case, signal.answer, situation)
    note = _answer_note(case, f"answer:{case.attempt}", "was asked again and answered", signal, situation)
    return replace(decision, effects=(*note, *decision.effects))


def _answer_note(case: Case, step: str, did: str, signal: Answered, situation: Situation) -> tuple[Effect, ...]:
    if situation.ticket.status.is_locked or situation.ticket.status.is_gone:
        return ()
    said = f' "{inert(signal.comment)}"' if signal.comment else ""
    value = f"{signal.answer.value} of {signal.answer.scale_max}"
    note = Change(note=f"The customer {did}: {signal.answer.category} ({value}).{said}")
    return (effect_for(case, EffectKind.UPDATE, step, note, situation),)


# What the customer's own word decided, and their changed word decides anew; what people decided stays.
BY_ANSWER = (Outcome.RECOVERED, Outcome.IMPROVED, Outcome.NOT_RECOVERED, Outcome.NO_RESPONSE)


def answer_changed(case: Case, signal: Answered, situation: Situation) -> Decision:
    """Take an answer that was changed after it was acted on: the end of the case follows it, or a further attempt ends.

    The case stays closed where the new word is worse, because a customer has one case at a time: a person hears of it.
    """
    answer = signal.answer
    if case.is_open and outcome_of(case, answer.category):
        return _answered(case, signal, situation)
    step, why = f"answer:{answer.at:%Y%m%d%H%M%S%f}", f"the customer changed the answer to {answer.category}"
    rated = case.answer is not None and case.answer.rating_id is not None  # in the helpdesk: that word stands
    changed = case if rated else replace(case, answer=answer)
    if case.outcome in BY_ANSWER and not rated:
        changed = replace(changed, outcome=outcome_of(case, answer.category) or Outcome.NOT_RECOVERED)
    changed = replace(changed, version=case.version + 1, reason=why)
    effects = _answer_note(case, step, "changed the answer", signal, situation)
    worse = changed.outcome is Outcome.NOT_RECOVERED is not case.outcome
    if worse and (person := who_hears(playbook_of(case, situation), situation.rules)):
        effects = (*effects, alert(changed, person, step, f"{why}; the case had ended as {case.outcome}", situation))
    return decide(changed, "answer_changed", why, situation, effects)


def _people_acted(case: Case, signal: PeopleActed, situation: Situation) -> Decision:
    return pursuit.noticed(case, signal.activity, situation)


def _owner_gone(case: Case, signal: OwnerGone, situation: Situation) -> Decision:
    return pursuit.owner_gone(case, signal.why, situation)


def _rated_again(case: Case, signal: RatedAgain, situation: Situation) -> Decision:
    """The same customer spoke again: join the open case, never open a second one."""
    rating = signal.rating
    same = rating.rating_id == case.rating_id
    second = rating.ticket_id in case.ticket_ids and rating.updated_at > case.rated_at
    if second and case.solved_at and rating.updated_at > case.solved_at:
        return pursuit.answered(case, answer_in(rating), situation)
    if (same or second) and signal.rule is None and rating.category.is_better_than(case.category):
        return _changed_mind(case, rating, situation)
    heavier = _heavier(case, signal.rule, situation)
    priority = playbook_of(heavier, situation).priority if heavier.severity != case.severity else None
    if case.stage is Stage.UNCONFIRMED and (rating.comment or rating.reason):
        return _confirmed(heavier, rating, priority, situation)
    anew = bool(case.solved_at and signal.rule and rating.ticket_id not in case.ticket_ids)  # let down elsewhere
    if anew:
        heavier = pursuit.begun_anew(heavier, situation)
    hurries = heavier.playbook != case.playbook and case.stage is not Stage.UNCONFIRMED and not case.solved_at
    joined = pursuit.due(heavier, situation) if hurries or anew else heavier
    joined = replace(joined, version=case.version + 1, reason=f"{case.reason}; joined by {call(rating)}")
    note = f"The customer also said, in {call(rating)}: {quoted(rating)}"
    if rating.rating_id.startswith(REQUEST):
        note = f"An agent asked for a recovery of ticket {rating.ticket_id} of this customer, too."
    step = f"join:{rating.rating_id}:{rating.version}"
    change = Change(note=note, priority=priority)
    change = pursuit.reopened(joined, change, situation) if anew else change
    effect = effect_for(joined, EffectKind.UPDATE, step, change, situation)
    worth_a_note = bool(rating.comment or rating.reason or not same)
    return decide(joined, "joined", f"{call(rating)} joins case {case.case_id}", situation, (effect,) * worth_a_note)


def _heavier(case: Case, rule: Rule | None, situation: Situation) -> Case:
    """Return the case with the greater of both severities; the rating that opened it stays what it was."""
    if rule is None or rule.severity.weight <= case.severity.weight:
        return case
    since = case.rules_hash if rule.playbook == case.playbook else situation.rules.hash
    return replace(case, severity=rule.severity, rule=rule.name, playbook=rule.playbook, rules_hash=since)


def answer_in(rating: Rating) -> Answer:
    """Return what a later rating answers to the second question."""
    return Answer(rating.updated_at, rating.category, rating.value, rating.scale_max, rating.rating_id)


def _changed_mind(case: Case, rating: Rating, situation: Situation) -> Decision:
    if case.stage is Stage.UNCONFIRMED:
        return _withdraw(case, f"the customer changed the rating to {rating.category}", situation)
    outcome = Outcome.RECOVERED if rating.category is Category.GOOD else Outcome.IMPROVED
    why = f"the customer changed the rating to {rating.category}"
    note = Change(note=f"Good news: {why}. Nothing more is asked of you here.")
    effect = effect_for(case, EffectKind.UPDATE, "thanks", note, situation)
    return replace(end(replace(case, answer=answer_in(rating)), outcome, why, situation), effects=(effect,))


def _withdraw(case: Case, why: str, situation: Situation) -> Decision:
    decision = end(case, Outcome.DISMISSED, f"rating withdrawn: {why}", situation)
    if situation.ticket.status.is_locked:
        return decision
    note = Change(add_tags=(WITHDRAWN_TAG,), note=f"No action is needed any more: {why}.")
    return replace(decision, effects=(effect_for(case, EffectKind.UPDATE, "withdraw", note, situation),))


def _effect_failed(case: Case, signal: EffectFailed, situation: Situation) -> Decision:
    """Find another way where the helpdesk would not do what was decided."""
    if signal.effect.kind is EffectKind.SURVEY:
        return _not_asked_so(case, signal, situation)
    if signal.verdict is Verdict.BAD_ASSIGNEE:
        return _next_owner(case, signal, situation)
    if signal.effect.ticket_id != case.carrier_id:
        return _carried_over(case, signal, situation)
    if signal.verdict is Verdict.LOCKED:
        case = replace(case, version=case.version + 1)
        if signal.effect.step.startswith(NO_REASON_FOR_A_NEW_TICKET):
            return decide(case, "redecided", "closed by now: nothing is written any more", situation)
        effects = _on_ticket(case, signal.effect.step, signal.effect.change, situation)
        effects = tuple(replace(e, generation=signal.effect.generation + 1) for e in effects)
        return decide(case, "redecided", f"the ticket is {situation.ticket.status} by now", situation, effects)
    return end(case, Outcome.DISMISSED, f"the ticket is gone: {signal.why}", situation)


def _not_asked_so(case: Case, signal: EffectFailed, situation: Situation) -> Decision:
    """Ask in another way where the ticket is locked by now; else the customer is not asked."""
    if not survey.is_question(signal.effect):
        why = f"the customer is not reminded: {signal.why}"
        return decide(replace(case, version=case.version + 1), "not_reminded", why, situation)
    case = replace(survey.unasked(case, signal.why), version=case.version + 1)
    if signal.verdict is not Verdict.LOCKED or not case.solved_at or not situation.ticket.status.is_locked:
        return decide(case, "not_asked", f"the customer is not asked again: {signal.why}", situation)
    move = survey.ask(replace(case, not_asked=None), NOTHING_KNOWN, situation)
    effects = [replace(effect, generation=signal.effect.generation + 1) for effect in move.effects]
    return decide(move.case, move.what, move.why, situation, effects)


def _carried_over(case: Case, signal: EffectFailed, situation: Situation) -> Decision:
    """Write to the follow-up ticket what was meant for the one that it continues."""
    case = replace(case, version=case.version + 1)
    change = replace(signal.effect.change, reopen=False)
    effect = effect_for(case, EffectKind.UPDATE, signal.effect.step, change, situation)
    effect = replace(effect, generation=signal.effect.generation + 1)
    return decide(case, "redecided", f"the recovery goes on in ticket {case.carrier_id}", situation, (effect,))


def _next_owner(case: Case, signal: EffectFailed, situation: Situation) -> Decision:
    playbook, rungs = playbook_of(case, situation), pursuit.rungs_from_here(case, situation)
    rating = rating_of(case, situation.ticket)
    owner = find_owner(rungs, rating, situation.ticket, case.original_agent_id, situation.staff)
    holder, found_nobody = situation.ticket.assignee_id, owner.agent_id is None
    staff = situation.staff.knowing([holder])
    if found_nobody and holder and holder not in staff.refused and not staff.why_left(holder):  # better than nobody
        owner = replace(owner, agent_id=holder, group_id=situation.ticket.group_id, keeps=True)
    case = replace(
        case,
        assignee_id=owner.agent_id,
        group_id=owner.group_id,
        chosen_by_human=owner.keeps or case.chosen_by_human,
        ladder=(*case.ladder, *owner.steps),
        reason=f'matched "{case.rule}"; {owner.why}',
        assigned_at=situation.now if owner.agent_id else None,
        version=case.version + 1,
    )
    change = replace(signal.effect.change, assignee_id=None, group_id=None, unassign=False)
    if signal.effect.kind is EffectKind.FOLLOW_UP:
        owner = replace(owner, keeps=False)  # what they keep is the old ticket
    change = replace(change, note=readdressed(change.note, owner, situation), **assignment(owner))
    effects = [effect_for(case, signal.effect.kind, signal.effect.step, change, situation)]
    if found_nobody and (person := who_hears(playbook, situation.rules)):
        effects.append(alert(case, person, f"{signal.effect.step}:next_owner", case.reason, situation))
    effects = [replace(effect, generation=signal.effect.generation + 1) for effect in effects]
    return decide(case, "redecided", signal.why, situation, effects)


_AT_EVERY_STAGE: Mapping[type, Callable[..., Decision]] = {
    RatedAgain: _rated_again,
    DeadlinePassed: _overdue,
    Answered: _answered,
    EffectFailed: _effect_failed,
    PeopleActed: _people_acted,
    OwnerGone: _owner_gone,
}

TRANSITIONS: Mapping[tuple[Stage, type], Callable[..., Decision]] = {
    **{(stage, signal): do for stage in Stage if stage is not Stage.ENDED for signal, do in _AT_EVERY_STAGE.items()},
    (Stage.UNCONFIRMED, DeadlinePassed): _confirm,
}


# ------------------------------------------------------------------ just before the write
def is_closing(step: str) -> bool:
    """True for what is still written once the case has ended."""
    return step in ("withdraw", "thanks") or step.startswith("answer:")


def is_soon_stale(effect: Effect) -> bool:
    """True for a mere reminder, which is worth nothing a day later."""
    return effect.step.startswith(("deadline:", "silence:")) and effect.change == Change(note=effect.change.note)


def settle(effect: Effect, ticket: Ticket) -> Change:
    """Return what is left of a change on the ticket as it is now: what a human did meanwhile is never undone."""
    change = effect.change
    chosen_by_human = ticket.assignee_id not in (None, effect.seen_assignee_id, change.assignee_id)
    if effect.kind is EffectKind.UPDATE and chosen_by_human:
        change = replace(change, assignee_id=None, group_id=None, unassign=False)
    if effect.kind is EffectKind.UPDATE and change.reopen and ticket.status is not Status.SOLVED:
        change = replace(change, reopen=False, add_tags=without(change.add_tags, REOPENED_TAG))
    if effect.kind is EffectKind.UPDATE and _rank(ticket.priority) >= _rank(change.priority):
        change = replace(change, priority=None)
    if effect.kind is EffectKind.FOLLOW_UP and _rank(ticket.priority) > _rank(change.priority):
        change = replace(change, priority=ticket.priority)
    return change


def _rank(priority: str | None) -> int:
    return PRIORITIES.index(priority) if priority in PRIORITIES else -1
