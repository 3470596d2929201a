"""Staying with a case until it ends: deadlines and their ladder, an owner who is gone, and what people did.

After a human chose an owner the ladder only reminds and notifies. An escalated case never goes back by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.deadlines import ANSWER, ASK, CHECK_IN, PROMISE, REMIND, SILENCE, Step, done, next_step
from bridge.decision import (
    Situation,
    alert,
    assignment,
    decide,
    effect_for,
    end,
    learn,
    playbook_of,
    rating_of,
    reopening,
    who_hears,
)
from bridge.hours import show_duration
from bridge.model import (
    Activity,
    Answer,
    Case,
    Change,
    Decision,
    Effect,
    EffectKind,
    Outcome,
    Stage,
    Status,
    SurveyWay,
    Ticket,
)
from bridge.noticing import held_by, notice
from bridge.owner import Owner, find_owner
from bridge.private_note import given_to
from bridge.rules import Rules
from bridge.survey import Chance, Move, ask, outcome_of, remind

ABUSIVE_TAG = "sr_abusive"


def due(case: Case, situation: Situation) -> Case:
    """Return the case with its next step and when that is due."""
    step, give_up_at = _next(case, situation), _give_up_at(case, situation)
    return replace(case, due_at=step.due_at if case.solved_at else min(step.due_at, give_up_at), next_step=step.what)


def _give_up_at(case: Case, situation: Situation) -> datetime:
    return case.begun_at + situation.rules.limits.give_up_after


def _next(case: Case, situation: Situation) -> Step:
    closes_after = situation.asking.closes_after if situation.asking else None
    return next_step(case, playbook_of(case, situation), situation.hours(case), situation.now, closes_after)


# ------------------------------------------------------------------ a due time has come
def overdue(case: Case, chance: Chance, situation: Situation) -> Decision:
    """Act on the step that is due, or find that it is not due any more."""
    now = situation.now
    if (held := held_by(case, situation.ticket)) != case:  # also what a human did since we looked
        return _go_on(held, "noticed", _news(case, held, situation), situation)
    if not case.solved_at and now >= _give_up_at(case, situation):
        within = show_duration(situation.rules.limits.give_up_after)
        why = f"not solved within {within} (limits: give_up_after)"
        person = who_hears(playbook_of(case, situation), situation.rules)
        told = alert(case, person, "stopped", f"we stop pursuing this: {why}. {case.reason}", situation)
        return replace(end(case, Outcome.STOPPED, why, situation), effects=(told,))
    step = _next(case, situation)
    unlooked = step.what in (ASK, REMIND) and case.next_step != step.what  # *chance* was not found out for it
    if step.due_at > now or unlooked:
        return _go_on(case, "waiting", f"next: {step.what}", situation)
    if step.what in (ASK, REMIND):
        return _moved((ask if step.what == ASK else remind)(case, chance, situation), situation)
    if at_step := _AT_STEP.get(step.what):
        return at_step(case, situation)
    return _act_on(replace(case, deadlines_done=done(case, playbook_of(case, situation), step)), step, situation)


def _moved(move: Move, situation: Situation) -> Decision:
    return _go_on(move.case, move.what, move.why, situation, move.effects)


def _no_answer(case: Case, situation: Situation) -> Decision:
    if case.attempt > 1:
        why = "the customer rated badly after the first attempt, and said nothing more after the second"
        unasked = f"; not asked again: {case.not_asked}" if case.not_asked else ""
        return end(case, Outcome.NOT_RECOVERED, f"{why}{unasked}", situation)
    if case.asked_at is None:
        why = f"the customer was not asked again ({case.not_asked or 'no survey'}) and said nothing more"
    else:
        why = f"the customer was asked again ({case.asked_by}) and said nothing more"
    return end(case, Outcome.NO_RESPONSE, why, situation)


def _check_in(case: Case, situation: Situation) -> Decision:
    text = "Check in: is the customer content with the solution? Please ask, or look, and write down what you find."
    case, wanted = _asking_for_cause(case, situation)
    step = f"check_in:{case.solved_at:%Y%m%d%H%M%S}"  # a case that is reopened has more than one solution
    asked = effect_for(case, EffectKind.UPDATE, step, Change(note=f"{text}\n{wanted}".strip()), situation)
    case = replace(case, checked_in_at=situation.now)
    return _go_on(case, "check_in", "the owner was asked whether the solution holds", situation, (asked,))


def _asking_for_cause(case: Case, situation: Situation) -> tuple[Case, str]:
    """Ask once, where it is not known, what went wrong; returns what to write, or nothing."""
    tags = [cause.tag for cause in situation.rules.causes.values() if cause.tag]
    if not tags or case.cause_asked_at or learn(case, situation).cause:
        return case, ""
    asked = replace(case, cause_asked_at=situation.now)
    return asked, f"What went wrong? Please add one of these tags, so that we learn from it: {', '.join(tags)}."


def _silence(case: Case, situation: Situation) -> Decision:
    """Remind the owner, once for each silence, that the customer hears nothing."""
    note = f"Reminder for {situation.staff.name(case.assignee_id)}: the customer has not heard from us for a while."
    step = f"silence:{case.replied_at:%Y%m%d%H%M%S}"
    reminder = effect_for(case, EffectKind.UPDATE, step, Change(note=note), situation)
    case = replace(case, nudged_at=situation.now)
    return _go_on(case, "reminded", "no word to the customer for too long", situation, (reminder,))


def _promise_broken(case: Case, situation: Situation) -> Decision:
    """Tell the lead that something was promised and is not done."""
    person = who_hears(playbook_of(case, situation), situation.rules)
    step = f"promise:{situation.now:%Y%m%d%H%M%S}"  # a day that was told may come back into the field
    told = alert(case, person, step, f"a promise to the customer is not kept: {case.promise}", situation)
    case = replace(case, promise_broken_at=situation.now)
    return _go_on(case, "promise_broken", f"promised and not done: {case.promise}", situation, (told,))


_AT_STEP: Mapping[str, Callable[[Case, Situation], Decision]] = {
    ANSWER: _no_answer,
    CHECK_IN: _check_in,
    SILENCE: _silence,
    PROMISE: _promise_broken,
}


def _act_on(case: Case, step: Step, situation: Situation) -> Decision:
    """Remind, assign or notify, as the deadline says."""
    if step.deadline is None:
        return _go_on(case, "overdue", "still open", situation)
    missed = f"not {step.what} in time"
    name = f"deadline:{case.begun_at:%Y%m%d%H%M%S}:{case.deadlines_done}"
    otherwise = step.deadline.otherwise
    if otherwise.assign and not case.chosen_by_human and case.attempt == 1:  # a second attempt is up there already
        return _escalate(case, otherwise.assign, name, missed, situation)
    if otherwise.remind:
        note = f"Reminder for {situation.staff.name(case.assignee_id)}: the customer is still waiting ({missed})."
        reminder = effect_for(case, EffectKind.UPDATE, name, Change(note=note), situation)
        return _go_on(case, "reminded", missed, situation, (reminder,))
    person = otherwise.notify or otherwise.assign
    told = alert(case, person, name, f"{missed}: {case.reason}", situation)
    return _go_on(case, "notified", f"{missed}; {person} told", situation, (told,))


def _escalate(case: Case, person: str, step: str, why: str, situation: Situation) -> Decision:
    """Give the case to somebody further up; if nobody there can take it, tell them."""
    owner = _owner_from((person,), case, situation)
    if owner.agent_id is None:
        told = alert(case, person, step, f"{why}, and nobody can take it over: {owner.why}", situation)
        tried = replace(case, ladder=(*case.ladder, *owner.steps))
        again = reopened(case, Change(note=f"{why[0].upper()}{why[1:]}. Please take this on again."), situation)
        begins = (effect_for(tried, EffectKind.UPDATE, step, again, situation),) if again.reopen else ()
        return _go_on(tried, "notified", f"{why}; {owner.why}", situation, (*begins, told))
    return _hand_over(case, owner, step, why, situation)


def _hand_over(case: Case, owner: Owner, step: str, why: str, situation: Situation) -> Decision:
    moved = replace(
        case,
        assignee_id=owner.agent_id,
        group_id=owner.group_id,
        ladder=(*case.ladder, *owner.steps),
        chosen_by_human=False,
        reason=f"{case.reason}; {why}; {owner.why}",
    )
    note = f"{why[0].upper()}{why[1:]}. {given_to(owner, situation.staff)}"
    change = reopened(case, Change(note=note, **assignment(owner)), situation)
    return _go_on(
        moved,
        "escalated",
        f"{why}; {owner.why}",
        situation,
        (effect_for(moved, EffectKind.UPDATE, step, change, situation),),
    )


def reopened(case: Case, change: Change, situation: Situation) -> Change:
    """Return a change that also opens a solved ticket again, where the case is to be worked on."""
    begins = case.solved_at is None and situation.ticket.status is Status.SOLVED
    return reopening(change) if begins and playbook_of(case, situation).ticket == "reopen" else change


def rungs_from_here(case: Case, situation: Situation) -> Sequence[str]:
    """Return the rungs from the one that found the present owner on: no case goes back down by itself."""
    rungs = playbook_of(case, situation).assign_to_first_available
    here = next((step.rung for step in reversed(case.ladder) if step.agent_id == case.assignee_id), None)
    if here is None or (here not in rungs and here not in situation.rules.people):
        return rungs
    return rungs[rungs.index(here) :] if here in rungs else (here,)


def _owner_from(rungs: Sequence[str], case: Case, situation: Situation) -> Owner:
    """Climb a ladder for a case that has an owner; the present one is not asked again."""
    refused = {case.assignee_id: "has the case already"} if case.assignee_id else {}
    staff = replace(situation.staff, refused=refused)
    rating, unheld = rating_of(case, situation.ticket), replace(situation.ticket, assignee_id=None)
    return find_owner(rungs, rating, unheld, case.original_agent_id, staff)


# ------------------------------------------------------------------ people
def owner_gone(case: Case, why: str, situation: Situation) -> Decision:
    """The owner has left or is absent: the case moves at once, not at the deadline."""
    playbook = playbook_of(case, situation)
    name = situation.staff.name(case.assignee_id)
    step = f"owner_gone:{case.assignee_id}:{case.version}"  # they may come back, and go again
    owner = _owner_from(rungs_from_here(case, situation), case, situation)
    if owner.agent_id:
        return _hand_over(case, owner, step, f"{name} {why}", situation)
    told = alert(case, who_hears(playbook, situation.rules), step, f"{name} {why}: {owner.why}", situation)
    return _go_on(case, "notified", f"{name} {why}; {owner.why}", situation, (told,))


def is_news(case: Case, activity: Activity, rules: Rules) -> bool:
    """True if what people did changes anything about the case."""
    after = notice(case, activity, rules)
    if _wants_other_hands(case, activity.ticket, rules):
        return True
    return replace(after, seen_stamp=case.seen_stamp, seen_at=case.seen_at) != case


def noticed(case: Case, activity: Activity, situation: Situation) -> Decision:
    """Take over what people did; a solved case waits for the customer's word."""
    after = notice(case, activity, situation.rules)
    if person := _wants_other_hands(case, activity.ticket, situation.rules):
        return _escalate(after, person, "abusive", "an agent says that the customer is abusive", situation)
    effects: tuple[Effect, ...] = ()
    if after.solved_at and not case.solved_at and not playbook_of(case, situation).check_in:
        after, wanted = _asking_for_cause(after, situation)
        step = f"cause:{after.solved_at:%Y%m%d%H%M%S}"
        effects = (effect_for(after, EffectKind.UPDATE, step, Change(note=wanted), situation),) if wanted else ()
    return _go_on(after, "noticed", _news(case, after, situation) or "nothing new", situation, effects)


def _wants_other_hands(case: Case, ticket: Ticket, rules: Rules) -> str | None:
    """Return who takes over because an agent marked the customer as abusive, if that has not been tried before."""
    playbook = rules.playbooks.get(case.playbook)
    if playbook is None or playbook.abusive is None or ABUSIVE_TAG not in ticket.tags:
        return None
    return None if any(step.rung == playbook.abusive for step in case.ladder) else playbook.abusive


def _news(before: Case, after: Case, situation: Situation) -> str:
    """Say what is new, in the words of the report."""
    if after.assignee_id != before.assignee_id:
        taken = f"a human gave the ticket to {situation.staff.name(after.assignee_id)}, who keeps it"
    else:
        taken = ""
    reached = [
        name
        for name in ("acknowledged", "contacted", "replied", "solved")
        if getattr(after, f"{name}_at") not in (None, getattr(before, f"{name}_at"))
    ]
    if "contacted" in reached:
        reached.remove("replied")
    promised = "a promise" if after.promised_by != before.promised_by else ""
    reopened = "reopened" if before.solved_at and not after.solved_at else ""
    return ", ".join(part for part in (taken, *reached, promised, reopened) if part)


# ------------------------------------------------------------------ the customer's second word
def answered(case: Case, answer: Answer, situation: Situation) -> Decision:
    """Take the customer's word after the repair: it ends the case, or starts at most one further attempt."""
    case = replace(case, answer=answer)
    said = f"the customer answered {answer.category} ({answer.value} of {answer.scale_max}){_asked_how(case)}"
    if outcome := outcome_of(case, answer.category):
        return end(case, outcome, said, situation)
    playbook = playbook_of(case, situation)
    after = playbook.survey.if_still_bad if playbook.survey else None
    if case.attempt > 1 or after is None:
        return end(case, Outcome.NOT_RECOVERED, said, situation)
    fresh = begun_anew(case, situation)
    again = replace(
        fresh, attempt=case.attempt + 1, asked_at=None, asked_by=None, reminded_at=None, chosen_by_human=False
    )
    return _escalate(again, after.assign, f"attempt:{again.attempt}", said, situation)


def begun_anew(case: Case, situation: Situation) -> Case:
    """Return a solved case that is worked on again, its deadlines counted from now."""
    return replace(
        case,
        stage=Stage.ASSIGNED,
        confirmed_at=situation.now,
        acknowledged_at=None,
        contacted_at=None,
        replied_at=None,
        nudged_at=None,
        solved_at=None,
        checked_in_at=None,
        not_asked=None,
        deadlines_done=0,
    )


def _asked_how(case: Case) -> str:
    if case.asked_at is None:
        return " without being asked"
    return {
        SurveyWay.HELPDESK: " to the helpdesk's survey",
        SurveyWay.LINK: " to our own question",
        SurveyWay.ADOPTED: " to the helpdesk's own survey",
    }[case.asked_by or SurveyWay.HELPDESK]


def _go_on(case: Case, what: str, why: str, situation: Situation, effects: Sequence[Effect] = ()) -> Decision:
    case = replace(due(case, situation), version=case.version + 1)
    return decide(case, what, why, situation, effects)
