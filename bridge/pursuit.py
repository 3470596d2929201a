"""Staying with a case until it ends: deadlines and their ladder, an owner who is gone, and what people did.

After a human chose an owner the ladder only reminds and notifies. An escalated case never goes back by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.deadlines import ANSWER, CHECK_IN, GIVE_UP_AFTER, Step, done, next_step
from bridge.decision import (
    Situation,
    alert,
    assignment,
    decide,
    effect_for,
    end,
    playbook_of,
    rating_of,
    reopening,
    who_hears,
)
from bridge.model import Activity, Case, Change, Decision, Effect, EffectKind, Outcome, Rating, Stage, Status
from bridge.noticing import notice
from bridge.owner import Owner, find_owner
from bridge.private_note import given_to


def due(case: Case, situation: Situation) -> Case:
    """Return the case with its next step and when that is due."""
    playbook = playbook_of(case, situation)
    step = next_step(case, playbook, situation.staff.calendar, situation.now)
    give_up_at = case.flagged_at + GIVE_UP_AFTER
    return replace(
        case, due_at=min(step.due_at, give_up_at) if not case.solved_at else step.due_at, next_step=step.what
    )


# ------------------------------------------------------------------ a due time has come
def overdue(case: Case, situation: Situation) -> Decision:
    """Act on the step that is due, or find that it is not due any more."""
    playbook, now = playbook_of(case, situation), situation.now
    if not case.solved_at and now >= case.flagged_at + GIVE_UP_AFTER:
        return end(case, Outcome.STOPPED, f"not solved within {GIVE_UP_AFTER.days} days", situation)
    step = next_step(case, playbook, situation.staff.calendar, now)
    if step.due_at > now:
        return _go_on(case, "waiting", f"next: {step.what}", situation)
    if step.what == ANSWER:
        return end(case, Outcome.NO_RESPONSE, "the customer said nothing more", situation)
    if step.what == CHECK_IN:
        return _check_in(case, situation)
    return _act_on(replace(case, deadlines_done=done(case, playbook, step)), step, situation)


def _check_in(case: Case, situation: Situation) -> Decision:
    note = Change(
        note="Check in: is the customer content with the solution? Please ask, or look, and write down what you find."
    )
    step = f"check_in:{case.solved_at:%Y%m%d%H%M%S}"  # a case that is reopened has more than one solution
    asked = effect_for(case, EffectKind.UPDATE, step, note, situation)
    case = replace(case, checked_in_at=situation.now)
    return _go_on(case, "check_in", "the owner was asked whether the solution holds", situation, (asked,))


def _act_on(case: Case, step: Step, situation: Situation) -> Decision:
    """Remind, assign or notify, as the deadline says."""
    if step.deadline is None:
        return _go_on(case, "overdue", "still open", situation)
    missed = f"not {step.what} in time"
    name = f"deadline:{case.attempt}:{case.deadlines_done}"
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
        return _go_on(case, "notified", f"{why}; {owner.why}", situation, (told,))
    return _hand_over(case, owner, step, why, situation)


def _hand_over(case: Case, owner: Owner, step: str, why: str, situation: Situation) -> Decision:
    moved = replace(
        case,
        assignee_id=owner.agent_id,
        group_id=owner.group_id,
        ladder=(*case.ladder, *owner.steps),
        reason=f"{case.reason}; {why}; {owner.why}",
    )
    note = f"{why[0].upper()}{why[1:]}. {given_to(owner, situation.staff)}"
    change = Change(note=note, **assignment(owner))
    if situation.ticket.status is Status.SOLVED and playbook_of(case, situation).ticket == "reopen":
        change = reopening(change)
    return _go_on(
        moved,
        "escalated",
        f"{why}; {owner.why}",
        situation,
        (effect_for(moved, EffectKind.UPDATE, step, change, situation),),
    )


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
    step = f"owner_gone:{case.assignee_id}"
    owner = _owner_from(playbook.assign_to_first_available, case, situation)
    if owner.agent_id:
        return _hand_over(case, owner, step, f"{name} {why}", situation)
    told = alert(case, who_hears(playbook, situation.rules), step, f"{name} {why}: {owner.why}", situation)
    return _go_on(case, "notified", f"{name} {why}; {owner.why}", situation, (told,))


def is_news(case: Case, activity: Activity) -> bool:
    """True if what people did changes anything about the case."""
    after = notice(case, activity)
    return replace(after, seen_stamp=case.seen_stamp, seen_at=case.seen_at) != case


def noticed(case: Case, activity: Activity, situation: Situation) -> Decision:
    """Take over what people did; a solved case waits for the customer's word."""
    after = notice(case, activity)
    return _go_on(after, "noticed", _news(case, after, situation) or "nothing new", situation)


def _news(before: Case, after: Case, situation: Situation) -> str:
    """Say what is new, in the words of the report."""
    if after.assignee_id != before.assignee_id:
        taken = f"a human gave the ticket to {situation.staff.name(after.assignee_id)}, who keeps it"
    else:
        taken = ""
    reached = [
        name
        for name in ("acknowledged", "contacted", "solved")
        if getattr(after, f"{name}_at") not in (None, getattr(before, f"{name}_at"))
    ]
    reopened = "reopened" if before.solved_at and not after.solved_at else ""
    return ", ".join(part for part in (taken, *reached, reopened) if part)


# ------------------------------------------------------------------ the customer's second word
def still_bad(case: Case, rating: Rating, situation: Situation) -> Decision:
    """A bad answer after the solution: one further attempt, by those whom the playbook names; then it has failed."""
    playbook = playbook_of(case, situation)
    after = playbook.survey.if_still_bad if playbook.survey else None
    if case.attempt > 1 or after is None:
        return end(case, Outcome.NOT_RECOVERED, "the customer rated badly again", situation)
    again = replace(
        case,
        stage=Stage.ASSIGNED,
        attempt=case.attempt + 1,
        confirmed_at=situation.now,
        acknowledged_at=None,
        contacted_at=None,
        solved_at=None,
        checked_in_at=None,
        deadlines_done=0,
        chosen_by_human=False,
        rating=rating.value,
        scale_max=rating.scale_max,
    )
    return _escalate(again, after.assign, f"attempt:{again.attempt}", "the customer rated badly again", situation)


def _go_on(case: Case, what: str, why: str, situation: Situation, effects: Sequence[Effect] = ()) -> Decision:
    case = replace(due(case, situation), version=case.version + 1)
    return decide(case, what, why, situation, effects)
