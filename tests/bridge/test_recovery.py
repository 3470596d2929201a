"""The case: how it begins, what each signal does to it, and what holds whatever happens."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model import (
    Activity,
    Case,
    Category,
    Change,
    Decision,
    Deed,
    DeedKind,
    Effect,
    EffectKind,
    Outcome,
    Rating,
    Severity,
    Stage,
    Status,
    Ticket,
    Verdict,
)
from bridge.owner import Staff
from bridge.recovery import (
    PRIORITIES,
    TRANSITIONS,
    DeadlinePassed,
    EffectFailed,
    PeopleActed,
    RatedAgain,
    Signal,
    Situation,
    advance,
    open_case,
    settle,
)
from bridge.rules import Rules
from tests.bridge.people import (
    ANA,
    BEN,
    CARE,
    CEM,
    GROUPS,
    LEADS,
    MINUTE,
    NOW,
    STAFF,
    directory,
    rating,
    rule,
    rules,
    situation,
    staff,
    ticket,
)

RULES = rules()
LATER = NOW + 20 * MINUTE
SILENT = rating(comment=None)  # ten minutes old: five are left until it is confirmed
PENDING = ticket(status=Status.PENDING)
NOBODY = staff(directory(without=tuple(STAFF[key].name for key in (ANA, CEM, "3", BEN))), RULES)


def opened(
    rated: Rating | None = None, name: str = "Low rating", by: Rules = RULES, on: Ticket | None = None, **changes: Any
) -> Decision:
    """Open a case of one rule."""
    given_situation = changes.pop("among", None) or situation(on, staff(by=by), **changes)
    return open_case(rated or rating(), rule(name, by), ANA, "customer", given_situation)


def case_of(decision: Decision) -> Case:
    assert decision.case is not None
    return decision.case


def only(decision: Decision) -> Effect:
    (effect,) = decision.effects
    return effect


def at(now: Any, on: Ticket | None = None, by: Rules = RULES, **changes: Any) -> Situation:
    return situation(on, staff(by=by, now=now), **changes)


def shape(decision: Decision) -> list[tuple[str, str]]:
    return [(str(effect.kind), effect.step) for effect in decision.effects]


# ------------------------------------------------------------------ the table
def test_every_open_stage_answers_every_signal_and_an_end_answers_none() -> None:
    signals = get_args(Signal)

    assert set(TRANSITIONS) == {(stage, signal) for stage in Stage if stage is not Stage.ENDED for signal in signals}


def test_an_ended_case_cannot_go_on() -> None:
    ended = replace(case_of(opened()), stage=Stage.ENDED, outcome=Outcome.DISMISSED)

    with pytest.raises(KeyError):
        advance(ended, DeadlinePassed(rating()), at(LATER))


# ------------------------------------------------------------------ beginning
def test_a_solved_ticket_is_tagged_reopened_prioritised_assigned_and_noted_in_one_write() -> None:
    change = only(opened()).change

    assert change.add_tags == ("sr_flagged", "csat-recovery", "sr_reopened")
    assert (change.assignee_id, change.group_id, change.reopen, change.priority) == (ANA, CARE, True, "high")
    assert 'Mia rated this bad (1 of 5) and wrote: "Nobody helped me"' in (change.note or "")
    assert "Please reply by Mon 09 Mar 2026, 15:00 CET. It is yours, Ana." in (change.note or "")


def test_a_case_knows_why_it_is_whose() -> None:
    case = case_of(opened())

    assert (case.stage, case.original_agent_id, case.assignee_id, case.group_id) == (Stage.ASSIGNED, ANA, ANA, CARE)
    assert case.reason == 'matched "Low rating"; Ana held the ticket when it was rated'
    assert (case.due_at, case.next_step) == (NOW + 30 * MINUTE, "acknowledged")


def test_what_customers_wrote_is_data_and_never_a_placeholder() -> None:
    note = only(opened(rating(comment="{{ticket.requester.email}} {assignee} {% raw %}"))).change.note or ""

    assert "{{" not in note
    assert "{%" not in note
    assert "{assignee}" in note


@pytest.mark.parametrize("status", [Status.DELETED, Status.SPAM, Status.MERGED])
def test_a_ticket_that_is_gone_is_dismissed_with_its_reason(status: Status) -> None:
    decision = opened(on=ticket(status=status))

    assert (case_of(decision).outcome, decision.audit.reason) == (Outcome.DISMISSED, f"the ticket is {status}")
    assert decision.effects == ()


def test_shadow_mode_records_what_it_would_do_and_ends() -> None:
    decision = opened(shadow=True)

    assert (case_of(decision).outcome, shape(decision)) == (Outcome.DISMISSED, [("update", "flag")])
    assert decision.audit.reason.startswith('shadow: matched "Low rating"; Ana held')


def test_a_human_who_took_the_ticket_is_not_assigned_again() -> None:
    change = only(opened(on=ticket(assignee_id=BEN, group_id=LEADS))).change

    assert (change.assignee_id, change.group_id, change.unassign) == (None, None, False)


def test_when_nobody_can_take_it_it_waits_in_the_last_group_and_a_person_is_told() -> None:
    decision = opened(among=situation(ticket(), NOBODY))

    update, alert = decision.effects
    assert (update.change.assignee_id, update.change.group_id, update.change.unassign) == (None, LEADS, True)
    assert (alert.person, alert.target) == ("leads", "#leads")
    assert "agent 1 is no longer an agent" in (alert.text or "")


def test_a_person_of_the_playbook_hears_of_it_at_once() -> None:
    assert shape(opened(name="For product")) == [("update", "flag"), ("alert", "flag:tell:product")]


# ------------------------------------------------------------------ tickets that cannot be written
@pytest.mark.parametrize(
    ("status", "name", "effect"),
    [
        (Status.CLOSED, "Low rating", ("follow_up", "flag")),
        (Status.CLOSED, "Follow-up", ("follow_up", "flag")),
        (Status.SOLVED, "Follow-up", ("follow_up", "flag")),
        (Status.OPEN, "Follow-up", ("follow_up", "flag")),
        (Status.CLOSED, "Note only", ("alert", "flag:tell:leads")),
        (Status.ARCHIVED, "Low rating", ("alert", "flag:tell:leads")),
        (Status.ARCHIVED, "Follow-up", ("alert", "flag:tell:leads")),
        (Status.ARCHIVED, "New ticket", ("follow_up", "flag")),
        (Status.SOLVED, "Note only", ("update", "flag")),
        (Status.SOLVED, "Low rating", ("update", "flag")),
    ],
)
def test_what_is_done_to_a_ticket_depends_on_what_can_be_done(
    status: Status, name: str, effect: tuple[str, str]
) -> None:
    assert shape(opened(name=name, on=ticket(status=status))) == [effect]


@pytest.mark.parametrize(("name", "reopens"), [("Low rating", True), ("Note only", False)])
def test_note_only_reopens_nothing(name: str, reopens: bool) -> None:
    change = only(opened(name=name)).change

    assert (change.reopen, "sr_reopened" in change.add_tags) == (reopens, reopens)


def test_a_follow_up_begins_with_the_note_and_is_not_a_reopened_ticket() -> None:
    change = only(opened(on=ticket(status=Status.CLOSED))).change

    assert (change.note_first, change.reopen, change.assignee_id, change.priority) == (True, False, ANA, "high")
    assert change.add_tags == ("sr_flagged", "csat-recovery")


def test_a_follow_up_of_a_ticket_that_a_human_took_is_theirs() -> None:
    change = only(opened(on=ticket(status=Status.CLOSED, assignee_id=BEN, group_id=LEADS))).change

    assert (change.assignee_id, change.group_id) == (BEN, LEADS)


def test_a_person_is_told_once_of_an_archived_ticket_that_nobody_can_take() -> None:
    decision = opened(among=situation(ticket(status=Status.ARCHIVED), NOBODY))

    assert shape(decision) == [("alert", "flag:tell:leads")]


def test_an_alert_that_nobody_would_get_is_still_on_record() -> None:
    alone = copy.copy(RULES)
    alone.people = {}

    alert = only(opened(on=ticket(status=Status.ARCHIVED), by=alone))

    assert (alert.kind, alert.step, alert.person, alert.target) == (EffectKind.ALERT, "flag:tell:nobody", None, None)


# ------------------------------------------------------------------ unconfirmed
def test_without_a_word_and_young_it_is_noted_but_not_reopened() -> None:
    decision = opened(SILENT)

    assert case_of(decision).stage is Stage.UNCONFIRMED
    assert (only(decision).change.reopen, only(decision).change.assignee_id) == (False, ANA)
    assert case_of(decision).due_at == SILENT.rated_at + 15 * MINUTE


@pytest.mark.parametrize(
    "rated",
    [rating(), rating(comment=None, reason="Too slow"), rating(comment=None, rated_at=NOW - 15 * MINUTE)],
    ids=["comment", "reason", "old"],
)
def test_with_a_word_or_old_enough_it_is_reopened_at_once(rated: Rating) -> None:
    assert only(opened(rated)).change.reopen


@pytest.mark.parametrize("name", ["Low rating", "Follow-up", "New ticket"])
def test_an_unconfirmed_rating_makes_no_new_ticket_yet(name: str) -> None:
    status = {"Low rating": Status.CLOSED, "Follow-up": Status.SOLVED, "New ticket": Status.ARCHIVED}[name]

    assert opened(SILENT, name, on=ticket(status=status)).effects == ()


@pytest.mark.parametrize(
    ("status", "name", "effect"),
    [
        (Status.SOLVED, "Low rating", [("update", "confirm")]),
        (Status.OPEN, "Low rating", []),
        (Status.SOLVED, "Note only", []),
        (Status.CLOSED, "Low rating", [("follow_up", "confirm")]),
        (Status.SOLVED, "Follow-up", [("follow_up", "confirm")]),
        (Status.ARCHIVED, "Low rating", [("alert", "confirm:tell:leads")]),
        (Status.CLOSED, "Note only", [("alert", "confirm:tell:leads")]),
    ],
)
def test_what_still_stands_after_the_grace_time_is_confirmed(
    status: Status, name: str, effect: list[tuple[str, str]]
) -> None:
    case = case_of(opened(SILENT, name))

    decision = advance(case, DeadlinePassed(SILENT), at(LATER, ticket(status=status)))

    assert (case_of(decision).stage, case_of(decision).confirmed_at) == (Stage.ASSIGNED, LATER)
    assert shape(decision) == effect


def test_a_follow_up_made_when_confirmed_is_complete() -> None:
    case = case_of(opened(SILENT, on=ticket(status=Status.CLOSED)))

    change = only(advance(case, DeadlinePassed(SILENT), at(LATER, ticket(status=Status.CLOSED)))).change

    assert (change.assignee_id, change.group_id, change.priority, change.note_first) == (ANA, CARE, "high", True)
    assert change.add_tags == ("sr_flagged", "csat-recovery")
    assert "Mia rated this bad (1 of 5)" in (change.note or "")


@pytest.mark.parametrize("now", [None, replace(SILENT, category=Category.GOOD, value=5)], ids=["deleted", "good"])
def test_what_does_not_stand_any_more_is_withdrawn(now: Rating | None) -> None:
    decision = advance(case_of(opened(SILENT)), DeadlinePassed(now), at(LATER))

    assert case_of(decision).outcome is Outcome.DISMISSED
    assert (only(decision).step, only(decision).change.add_tags) == ("withdraw", ("sr_withdrawn",))
    assert not only(decision).change.reopen


def test_a_closed_ticket_gets_no_note_that_its_rating_was_withdrawn() -> None:
    decision = advance(case_of(opened(SILENT)), DeadlinePassed(None), at(LATER, ticket(status=Status.CLOSED)))

    assert (case_of(decision).outcome, decision.effects) == (Outcome.DISMISSED, ())


def test_a_comment_that_comes_later_confirms_at_once() -> None:
    said = replace(SILENT, comment="It broke again", updated_at=NOW)

    decision = advance(case_of(opened(SILENT)), RatedAgain(said, rule("Low rating", RULES)), at(NOW))

    assert (case_of(decision).stage, only(decision).step) == (Stage.ASSIGNED, "confirm")
    assert 'They added: "It broke again"' in (only(decision).change.note or "")


def test_a_comment_that_comes_later_is_noted_where_nothing_is_reopened() -> None:
    said = replace(SILENT, comment="It broke again", updated_at=NOW)
    signal = RatedAgain(said, rule("Low rating", RULES))

    change = only(advance(case_of(opened(SILENT)), signal, at(NOW, ticket(status=Status.OPEN)))).change

    assert "It broke again" in (change.note or "")
    assert (change.reopen, "open again" in (change.note or "")) == (False, False)


# ------------------------------------------------------------------ rated again
def test_another_bad_rating_of_the_customer_joins_the_case_with_a_note() -> None:
    other = rating(rating_id="r2", ticket_id="8", comment="This one as well")

    decision = advance(case_of(opened()), RatedAgain(other, rule("Low rating", RULES)), at(NOW))

    assert (decision.audit.what, case_of(decision).ticket_id, only(decision).ticket_id) == ("joined", "7", "7")
    assert only(decision).change.note == 'The customer also said, in the bad rating of ticket 8: "This one as well"'


def test_two_ratings_of_one_second_join_as_two() -> None:
    signals = [RatedAgain(rating(rating_id=name, ticket_id="8", comment=None), None) for name in ("r2", "r3")]

    steps = {only(advance(case_of(opened()), signal, at(NOW))).step for signal in signals}

    assert len(steps) == 2


@pytest.mark.parametrize(
    ("name", "severity", "playbook", "priority"),
    [
        ("Urgent", Severity.CRITICAL, "urgent", "urgent"),
        ("Neutral and angry", Severity.NORMAL, "standard", None),
        ("Note only", Severity.NORMAL, "standard", None),
    ],
)
def test_a_rating_that_joins_raises_the_severity_and_never_lowers_it(
    name: str, severity: Severity, playbook: str, priority: str | None
) -> None:
    other = rating(rating_id="r2", ticket_id="8")

    decision = advance(case_of(opened()), RatedAgain(other, rule(name, RULES)), at(NOW))

    assert (case_of(decision).severity, case_of(decision).playbook) == (severity, playbook)
    assert only(decision).change.priority == priority


def test_a_heavier_rating_that_joins_brings_the_deadline_forward() -> None:
    quick = "{within: 10m, until: acknowledged, otherwise: {remind: assignee}}"
    by = rules(playbooks=f"quick: {{like: standard, deadlines: [{quick}]}}")
    heavier = rule("Urgent", by).model_copy(update={"playbook": "quick"})

    decision = advance(
        case_of(opened(by=by)), RatedAgain(rating(rating_id="r2", ticket_id="8"), heavier), at(NOW, by=by)
    )

    assert case_of(decision).due_at == NOW + 10 * MINUTE


def test_a_heavier_rating_that_confirms_raises_the_priority_too() -> None:
    other = rating(rating_id="r2", ticket_id="8")

    decision = advance(case_of(opened(SILENT)), RatedAgain(other, rule("Urgent", RULES)), at(NOW))

    assert (case_of(decision).severity, only(decision).change.priority) == (Severity.CRITICAL, "urgent")


def test_the_same_rating_with_nothing_new_to_say_writes_nothing() -> None:
    case = case_of(opened(SILENT))

    decision = advance(case, RatedAgain(replace(SILENT, value=2), rule("Low rating", RULES)), at(NOW))

    assert (decision.audit.what, decision.effects, case_of(decision).rating) == ("joined", (), 1)  # as rated first


@pytest.mark.parametrize(
    ("category", "outcome"), [(Category.GOOD, Outcome.RECOVERED), (Category.NEUTRAL, Outcome.IMPROVED)]
)
def test_a_customer_who_changes_their_mind_ends_the_case(category: Category, outcome: Outcome) -> None:
    happy = rating(category=category, value=4)

    decision = advance(case_of(opened()), RatedAgain(happy, None), at(NOW))

    assert (case_of(decision).outcome, only(decision).step) == (outcome, "thanks")


def test_a_customer_who_changes_their_mind_before_it_was_confirmed_withdraws() -> None:
    decision = advance(case_of(opened(SILENT)), RatedAgain(replace(SILENT, category=Category.NEUTRAL), None), at(NOW))

    assert (case_of(decision).outcome, only(decision).step) == (Outcome.DISMISSED, "withdraw")


def test_a_neutral_rating_that_is_edited_and_still_neutral_is_no_change_of_mind() -> None:
    neutral = rating(category=Category.NEUTRAL, value=3)
    case = case_of(opened(neutral, "Neutral and angry"))

    decision = advance(case, RatedAgain(replace(neutral, comment="Still nothing"), None), at(NOW))

    assert (decision.audit.what, case_of(decision).is_open) == ("joined", True)


def test_a_better_rating_that_a_rule_still_matches_is_no_change_of_mind() -> None:
    neutral = rating(category=Category.NEUTRAL, value=3)

    decision = advance(case_of(opened()), RatedAgain(neutral, rule("Neutral and angry", RULES)), at(NOW))

    assert (decision.audit.what, case_of(decision).category) == ("joined", Category.BAD)  # as rated first


def test_a_good_rating_of_another_ticket_takes_nothing_back() -> None:
    praise = rating(rating_id="r2", ticket_id="8", category=Category.GOOD, value=5, comment="still broken")

    decision = advance(case_of(opened(SILENT)), RatedAgain(praise, rule("Low rating", RULES)), at(NOW))

    assert (decision.audit.what, case_of(decision).stage) == ("confirmed", Stage.ASSIGNED)


def test_a_case_on_a_follow_up_ticket_goes_on_there() -> None:
    case = replace(case_of(opened()), work_ticket_id="9")
    followed = ticket(ticket_id="9", status=Status.OPEN)

    decision = advance(case, RatedAgain(rating(comment="And now?"), None), at(NOW, followed))

    assert (only(decision).ticket_id, only(decision).kind) == ("9", EffectKind.UPDATE)


# ------------------------------------------------------------------ deadlines
def test_a_passed_deadline_moves_on_to_the_next_one() -> None:
    case = case_of(opened())

    overdue = case_of(advance(case, DeadlinePassed(None), at(NOW + 30 * MINUTE)))

    assert (overdue.due_at, overdue.next_step) == (NOW + timedelta(hours=4), "replied")


@pytest.mark.parametrize("after", [timedelta(hours=5), timedelta(days=3), timedelta(days=29)])
@pytest.mark.parametrize("name", ["Low rating", "Urgent"])
def test_when_all_deadlines_have_passed_there_is_still_a_next_one(name: str, after: timedelta) -> None:
    case = case_of(opened(name=name))

    for _ in range(4):  # one for each deadline, and for what comes after them
        if case.due_at and case.due_at <= NOW + after:
            case = case_of(advance(case, DeadlinePassed(None), at(NOW + after)))

    assert case.due_at is not None
    assert case.due_at > NOW + after


def test_a_playbook_that_was_deleted_meanwhile_stops_nobody() -> None:
    case = replace(case_of(opened(SILENT)), playbook="of last year")

    decision = advance(case, DeadlinePassed(SILENT), at(LATER))

    assert (case_of(decision).stage, only(decision).change.reopen) == (Stage.ASSIGNED, True)


def test_each_solution_is_checked_by_a_step_of_its_own() -> None:
    case, steps = case_of(opened(name="Patient")), []
    for day in (1, 4):
        solved_at = NOW + timedelta(days=day)
        for kind in (DeedKind.REOPENED, DeedKind.SOLVED):
            activity = Activity(ticket(status=Status.OPEN), (Deed(kind, solved_at, ANA),))
            case = case_of(advance(case, PeopleActed(activity), at(solved_at)))
        checked = advance(case, DeadlinePassed(None), at(solved_at + timedelta(days=2)))
        case, steps = case_of(checked), [*steps, only(checked).step]

    assert len(set(steps)) == 2


# ------------------------------------------------------------------ a ticket that went away
def test_a_ticket_that_is_gone_meanwhile_ends_its_case() -> None:
    decision = advance(case_of(opened()), DeadlinePassed(None), at(LATER, ticket(status=Status.MERGED)))

    assert (case_of(decision).outcome, decision.audit.reason) == (Outcome.DISMISSED, "the ticket is merged")


def test_the_old_ticket_may_go_when_a_follow_up_carries_the_case() -> None:
    case = replace(case_of(opened()), work_ticket_id="9")

    decision = advance(case, DeadlinePassed(None), at(LATER, ticket(status=Status.DELETED)))

    assert case_of(decision).is_open


# ------------------------------------------------------------------ what the helpdesk would not do
def failed(
    decision: Decision, verdict: Verdict, on: Ticket | None = None, among: Staff | None = None, **changes: Any
) -> Decision:
    """Let the first effect of a decision fail."""
    case, effect = replace(case_of(decision), **changes), decision.effects[0]
    return advance(case, EffectFailed(effect, verdict, "422"), situation(on, among or staff(by=RULES, now=LATER)))


def test_a_refused_agent_is_followed_by_the_next_rung() -> None:
    decision = failed(opened(), Verdict.BAD_ASSIGNEE, among=staff(by=RULES, refused={ANA: "was refused"}))

    effect = only(decision)
    assert (effect.step, effect.generation, effect.change.assignee_id) == ("flag", 1, CEM)
    assert (effect.change.reopen, effect.change.priority) == (True, "high")
    assert case_of(decision).assignee_id == CEM
    assert "Ana was refused" in case_of(decision).reason


def test_the_note_names_who_has_it_now() -> None:
    decision = failed(opened(), Verdict.BAD_ASSIGNEE, among=staff(by=RULES, refused={ANA: "was refused"}))

    note = only(decision).change.note or ""
    assert "Nobody helped me" in note
    assert note.endswith("gave this ticket to Cem: Ana was refused; Cem in Care has the fewest open recoveries (0).")
    assert "gave this ticket to Ana" not in note


def test_a_refused_note_of_somebody_who_left_keeps_its_words_and_finds_a_new_owner() -> None:
    joined = advance(case_of(opened()), RatedAgain(rating(comment="And now?"), None), at(NOW))

    decision = failed(joined, Verdict.BAD_ASSIGNEE, among=staff(by=RULES, refused={ANA: "was refused"}))

    assert only(decision).change.assignee_id == CEM
    assert (only(decision).change.note or "").startswith("The customer also said")


def test_when_no_rung_is_left_it_is_unassigned_and_somebody_is_told() -> None:
    decision = failed(opened(), Verdict.BAD_ASSIGNEE, among=NOBODY)

    update, alert = decision.effects
    assert (update.change.unassign, update.change.group_id) == (True, LEADS)
    assert (alert.person, alert.generation) == ("leads", 1)


def test_a_ticket_closed_before_the_write_gets_a_follow_up() -> None:
    effect = only(failed(opened(), Verdict.LOCKED, ticket(status=Status.CLOSED)))

    assert (effect.kind, effect.step, effect.generation) == (EffectKind.FOLLOW_UP, "flag", 1)
    assert (effect.change.reopen, effect.change.note_first, effect.change.assignee_id) == (False, True, ANA)


@pytest.mark.parametrize("step", ["join", "confirm"])
def test_what_was_to_be_added_to_a_closed_ticket_makes_a_complete_one(step: str) -> None:
    first = opened(SILENT if step == "confirm" else rating())
    signal = DeadlinePassed(SILENT) if step == "confirm" else RatedAgain(rating(rating_id="r2"), None)
    added = advance(case_of(first), signal, at(LATER))

    effect = only(failed(added, Verdict.LOCKED, ticket(status=Status.CLOSED)))

    assert (effect.kind, effect.change.assignee_id, effect.change.group_id) == (EffectKind.FOLLOW_UP, ANA, CARE)
    assert (effect.change.add_tags, effect.change.priority) == (("sr_flagged", "csat-recovery"), "high")


def test_an_unconfirmed_case_on_a_closed_ticket_waits() -> None:
    decision = failed(opened(SILENT), Verdict.LOCKED, ticket(status=Status.CLOSED))

    assert (decision.effects, case_of(decision).stage) == ((), Stage.UNCONFIRMED)


@pytest.mark.parametrize("verdict", [Verdict.LOCKED, Verdict.GONE])
def test_what_was_meant_for_the_old_ticket_goes_to_its_follow_up(verdict: Verdict) -> None:
    joined = advance(case_of(opened()), RatedAgain(rating(rating_id="r2"), None), at(NOW))

    decision = failed(joined, verdict, ticket(status=Status.CLOSED), work_ticket_id="9")

    assert (only(decision).kind, only(decision).ticket_id, case_of(decision).is_open) == (EffectKind.UPDATE, "9", True)


def test_a_closed_follow_up_ticket_gets_one_of_its_own() -> None:
    case = replace(case_of(opened()), work_ticket_id="9")
    joined = advance(case, RatedAgain(rating(rating_id="r2"), None), at(NOW, ticket(ticket_id="9")))

    effect = only(failed(joined, Verdict.LOCKED, ticket(ticket_id="9", status=Status.CLOSED)))

    assert (effect.kind, effect.ticket_id) == (EffectKind.FOLLOW_UP, "9")


def test_a_ticket_deleted_before_the_write_ends_the_case() -> None:
    decision = failed(opened(), Verdict.GONE)

    assert (case_of(decision).outcome, decision.audit.reason) == (Outcome.DISMISSED, "the ticket is gone: 422")


# ------------------------------------------------------------------ just before the write
WANTED = Change(("sr_flagged", "sr_reopened"), ANA, CARE, reopen=True, priority="high", note="n")


def settled(kind: EffectKind = EffectKind.UPDATE, change: Change = WANTED, **of_ticket: Any) -> Change:
    effect = Effect("e1", "k1", "acme", "7", kind, "flag", change=change, seen_assignee_id=CEM)
    return settle(effect, ticket(**{"assignee_id": CEM} | of_ticket))


@pytest.mark.parametrize("holder", [CEM, ANA, None])
def test_nobody_new_holds_the_ticket_so_it_is_assigned(holder: str | None) -> None:
    assert settled(assignee_id=holder).assignee_id == ANA


def test_a_ticket_that_somebody_took_meanwhile_stays_with_them() -> None:
    left = settled(assignee_id=BEN)

    assert (left.assignee_id, left.group_id, left.note) == (None, None, "n")


def test_a_ticket_that_somebody_took_meanwhile_is_not_unassigned() -> None:
    assert not settled(change=Change(group_id=LEADS, unassign=True, note="n"), assignee_id=BEN).unassign


@pytest.mark.parametrize("status", [Status.OPEN, Status.PENDING, Status.HOLD, Status.NEW])
def test_an_open_ticket_is_not_reopened_nor_said_to_be(status: Status) -> None:
    left = settled(status=status)

    assert (left.reopen, left.add_tags) == (False, ("sr_flagged",))


@pytest.mark.parametrize(
    ("has", "wanted", "left"),
    [
        ("low", "high", "high"),
        ("high", "high", None),
        ("urgent", "high", None),
        (None, "low", "low"),
        ("normal", None, None),
    ],
)
def test_a_priority_is_raised_and_never_lowered(has: str | None, wanted: str | None, left: str | None) -> None:
    assert settled(change=replace(WANTED, priority=wanted), priority=has).priority == left


@pytest.mark.parametrize(
    ("has", "wanted", "given"), [("urgent", "high", "urgent"), ("low", "high", "high"), ("high", "high", "high")]
)
def test_a_follow_up_is_at_least_as_urgent_as_the_ticket_it_continues(has: str, wanted: str, given: str) -> None:
    change = settled(EffectKind.FOLLOW_UP, replace(WANTED, priority=wanted), priority=has, status=Status.CLOSED)

    assert (change.priority, change.assignee_id) == (given, ANA)


# ------------------------------------------------------------------ whatever was decided (and see test_case_machine.py)
AGENTS = st.sampled_from([None, *STAFF])


@st.composite
def tickets(draw: st.DrawFn, ticket_id: str = "7") -> Ticket:
    return ticket(
        ticket_id=ticket_id,
        status=draw(st.sampled_from(Status)),
        assignee_id=draw(AGENTS),
        group_id=draw(st.sampled_from([None, *GROUPS])),
        priority=draw(st.sampled_from([None, *PRIORITIES])),
        subject=draw(st.sampled_from(["My order", "{{x}}"])),
    )


@st.composite
def changes(draw: st.DrawFn) -> Change:
    wanted, reopen = draw(AGENTS), draw(st.booleans())
    tags = ("sr_flagged", "sr_reopened") if reopen else ("sr_flagged",)
    priority = draw(st.sampled_from([None, *PRIORITIES]))
    return Change(tags, wanted, CARE, draw(st.booleans()) and not wanted, reopen, priority, "n")


@settings(max_examples=200, deadline=None)
@given(tickets(), changes(), AGENTS)
def test_what_is_left_of_a_change_undoes_nothing_of_a_human(found: Ticket, change: Change, seen: str | None) -> None:
    effect = Effect("e1", "k1", "acme", "7", EffectKind.UPDATE, "flag", change=change, seen_assignee_id=seen)

    left = settle(effect, found)

    if found.assignee_id not in (None, seen, change.assignee_id):
        assert (left.assignee_id, left.group_id, left.unassign) == (None, None, False)
    if left.priority and found.priority:
        assert PRIORITIES.index(left.priority) > PRIORITIES.index(found.priority)
    assert left.reopen == ("sr_reopened" in left.add_tags) == (change.reopen and found.status is Status.SOLVED)
    assert ("sr_flagged" in left.add_tags, left.note) == (True, "n")
