"""The second question: who is asked again, when, by which way, in which words, and what the answer means."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bridge.connector import Asking
from bridge.deadlines import ANSWER, ASK, REMIND, ask_at
from bridge.decision import Situation
from bridge.hours import Calendar
from bridge.model import (
    Answer,
    Case,
    Category,
    Decision,
    Effect,
    EffectKind,
    Outcome,
    Requester,
    Stage,
    Status,
    SurveyWay,
    Ticket,
    Verdict,
)
from bridge.pursuit import due
from bridge.recovery import Answered, DeadlinePassed, EffectFailed, RatedAgain, advance, open_case
from bridge.rules import Rules, Survey, SurveyText, check
from bridge.rules.notes import SURVEY_PLACEHOLDERS, parse_note
from bridge.survey import BUILT_IN, Chance, category_of, render, sent, unasked
from tests.bridge.people import ANA, BEN, DAY, HOUR, NOW, rating, rule, situation, staff, ticket

RULES = """
version: 1
accounts:
  acme: {connector: zendesk, url: http://127.0.0.1:1}
settings:
  mode: live
  surveys: everyone
  survey_mail: MAIL
  survey_page: https://recovery.example.com
people:
  leads: {group: Team Leads, notify: "#leads"}
survey_texts:
  - {subject: Again, text: "All right?"}
playbooks:
  asked:
    ticket: TICKET
    survey: {after: 2d, answer_within: 7d, remind_after: 3d, by: BY, reopen: REOPEN, if_still_bad: {assign: leads}}
rules:
  - {name: Asked, when: {rating: bad}, playbook: asked}
"""
SOLVED_AT = NOW + HOUR
LAST_DAY = (NOW + 7 * DAY).date()
ASK_TIME = SOLVED_AT + 2 * DAY
FOUR_DAYS = Asking(closes_after=4 * DAY)
IN_A_WEEK = Asking(closes_after=9 * DAY)
NOTHING = Asking(own="no survey", mail="no rule mails")
CLOSED = ticket(status=Status.CLOSED)


@functools.cache
def rules(by: str = "auto", reopen: str = "auto", mail: str = "helpdesk", on: str = "reopen", cut: str = "") -> Rules:
    """Return RULES; *cut* is a line that is left out."""
    text = RULES.replace("BY", by).replace("REOPEN", reopen).replace("MAIL", mail).replace("TICKET", on)
    found, problems = check("\n".join(line for line in text.splitlines() if not cut or cut not in line))
    assert found is not None, problems
    return found


def at(moment: datetime, of: Rules, on: Ticket | None = None, asking: Asking | None = IN_A_WEEK) -> Situation:
    return situation(on, staff(by=of, now=moment), asking=asking)


def solved(of: Rules, **changes: Any) -> Case:
    opened = open_case(rating(), rule("Asked", of), ANA, "mia", at(NOW, of)).case
    assert opened is not None
    found = replace(opened, stage=Stage.SOLVED, solved_at=SOLVED_AT, contacted_at=NOW, **changes)
    return due(found, at(SOLVED_AT, of))


def asked(
    of: Rules | None = None,
    on: Ticket | None = None,
    asking: Asking = IN_A_WEEK,
    chance: Chance = Chance(),
) -> Decision:
    found = of or rules()
    return advance(solved(found), DeadlinePassed(None, chance), at(ASK_TIME, found, on, asking))


def case_of(decision: Decision) -> Case:
    assert decision.case is not None
    return decision.case


def only(decision: Decision) -> Effect:
    assert len(decision.effects) == 1, decision
    return decision.effects[0]


# ------------------------------------------------------------------ when
def test_the_question_comes_some_days_after_the_solution() -> None:
    case = due(solved(rules()), at(SOLVED_AT, rules()))

    assert (case.next_step, case.due_at) == (ASK, ASK_TIME)


BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = Calendar(BERLIN, quiet=(time(21), time(8)))
SURVEY = Survey(after="2d", answer_within="7d")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("closes_after", "solved_at", "ask"),
    [
        (None, "03-09 10:00", "03-11 10:00"),  # the helpdesk never closes it
        (9 * DAY, "03-09 10:00", "03-11 10:00"),
        (4 * DAY, "03-09 10:00", "03-11 08:00"),  # two days are left to answer even if a run is late
        (4 * DAY, "03-09 12:00", "03-11 10:00"),
        (3 * DAY, "03-09 13:00", "03-11 13:00"),  # earlier than a day after would be too early: as planned
        (2 * DAY, "03-09 10:00", "03-11 10:00"),  # no time would do: as planned
        (4 * DAY, "03-09 23:30", "03-11 19:00"),  # well before the quiet hours, because after them it is too late
        (None, "03-09 22:00", "03-12 08:00"),
        (None, "03-28 07:59", "03-30 08:00"),  # over the change of the clock
    ],
)
def test_it_is_planned_backwards_from_when_the_ticket_closes(
    closes_after: timedelta | None, solved_at: str, ask: str
) -> None:
    when = ask_at(local(solved_at), SURVEY, NIGHTS, closes_after)

    assert when == local(ask)


def local(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=BERLIN)


def test_our_own_question_waits_for_no_ticket_to_close() -> None:
    by_link = Survey(after="2d", by="link")  # type: ignore[arg-type]

    assert ask_at(local("03-09 10:00"), by_link, NIGHTS, 3 * DAY) == local("03-11 10:00")


def test_a_ticket_that_is_solved_again_is_asked_about_later() -> None:
    again = replace(solved(rules()), solved_at=SOLVED_AT + 5 * DAY)

    assert due(again, at(SOLVED_AT + 5 * DAY, rules())).due_at == SOLVED_AT + 7 * DAY


# ------------------------------------------------------------------ by which way
@pytest.mark.parametrize(
    ("by", "asking", "way"),
    [
        ("auto", IN_A_WEEK, SurveyWay.HELPDESK),
        ("auto", FOUR_DAYS, SurveyWay.HELPDESK),
        ("auto", Asking(closes_after=3 * DAY), SurveyWay.LINK),  # under two days are left
        ("auto", Asking(own="no survey"), SurveyWay.LINK),
        ("auto", Asking(overwrites=True), SurveyWay.LINK),  # a second rating would overwrite the first
        ("helpdesk", Asking(closes_after=3 * DAY), SurveyWay.HELPDESK),
        ("link", IN_A_WEEK, SurveyWay.LINK),
    ],
)
def test_the_way_depends_on_the_account_and_the_time_left(by: str, asking: Asking, way: SurveyWay) -> None:
    decision = asked(rules(by), asking=asking)

    assert (decision.audit.what, only(decision).way, case_of(decision).asked_by) == ("asked", way, way)
    assert (only(decision).kind, case_of(decision).stage) == (EffectKind.SURVEY, Stage.SURVEYED)


@pytest.mark.parametrize(
    ("of", "asking", "why"),
    [
        (rules(), NOTHING, "no survey; no rule mails"),
        (rules("helpdesk"), Asking(own="no survey"), "no survey"),
        (rules("helpdesk"), Asking(overwrites=True), "a second rating would overwrite the first"),
        (rules("helpdesk"), Asking(is_link=True, mail="no rule mails"), "no rule mails"),
        (rules("link"), Asking(mail="no rule mails"), "no rule mails"),
        (rules("link", cut="survey_page"), IN_A_WEEK, "there is no settings.survey_page"),
    ],
)
def test_a_customer_who_cannot_be_asked_is_not_and_the_case_says_why(of: Rules, asking: Asking, why: str) -> None:
    decision = asked(of, asking=asking)

    assert (decision.audit.what, decision.effects, case_of(decision).not_asked) == ("not_asked", (), why)
    assert (case_of(decision).stage, case_of(decision).next_step) == (Stage.SOLVED, ANSWER)


MIA = ticket().requester
assert MIA is not None


@pytest.mark.parametrize(
    ("requester", "why"),
    [
        (None, "the ticket has no requester"),
        (Requester("70", "Mia"), "the requester has no e-mail address"),
        (replace(MIA, suspended=True), "the requester is suspended"),
    ],
)
def test_nobody_is_asked_who_cannot_be_written_to(requester: Requester | None, why: str) -> None:
    assert case_of(asked(on=ticket(requester=requester))).not_asked == why


@pytest.mark.parametrize(("listed", "is_asked"), [("MIA@customer.example", True), ("tom@customer.example", False)])
def test_listed_surveys_go_to_listed_addresses_only(listed: str, is_asked: bool) -> None:
    found, _ = check(RULES.replace("everyone", f"listed\n  survey_list: [{listed}]").replace("MAIL", "smtp")
                     .replace("BY", "auto").replace("REOPEN", "auto").replace("TICKET", "reopen"))  # fmt: skip
    assert found is not None

    assert (case_of(asked(found)).asked_at is not None) == is_asked


@pytest.mark.parametrize("why", ["the customer does not want to be asked", "asked a short while ago"])
def test_whoever_must_not_be_asked_is_not(why: str) -> None:
    decision = asked(chance=Chance(barred=why))

    assert (case_of(decision).not_asked, decision.effects) == (why, ())


def test_a_question_of_the_helpdesk_itself_is_taken_over() -> None:
    offered_at = SOLVED_AT + DAY

    case = case_of(asked(chance=Chance(offered_at=offered_at)))

    assert (case.asked_at, case.asked_by, case.next_step) == (offered_at, SurveyWay.ADOPTED, ANSWER)


# ------------------------------------------------------------------ reopening for it
SOON = Asking(closes_after=3 * DAY)


@pytest.mark.parametrize(
    ("reopen", "asking", "again"),
    [
        ("auto", IN_A_WEEK, False),
        ("auto", SOON, True),  # to win time, where there is no other way
        ("always", IN_A_WEEK, True),
        ("never", SOON, False),
    ],
)
def test_a_ticket_is_reopened_and_solved_again_as_the_playbook_says(reopen: str, asking: Asking, again: bool) -> None:
    found = rules("auto", reopen, cut="survey_page")

    assert only(asked(found, asking=asking)).change.solve_again is again


def test_a_closed_ticket_is_followed_by_a_solved_one_that_carries_our_question() -> None:
    effect = only(asked(on=CLOSED, asking=IN_A_WEEK))

    assert (effect.kind, effect.way, effect.change.solve_again) == (EffectKind.FOLLOW_UP, SurveyWay.HELPDESK, False)


def test_a_link_survey_of_the_helpdesk_takes_no_answer_on_a_closed_ticket() -> None:
    effect = only(asked(on=CLOSED, asking=Asking(is_link=True)))

    assert (effect.kind, effect.way) == (EffectKind.FOLLOW_UP, SurveyWay.LINK)


def test_our_own_mail_needs_no_ticket() -> None:
    effect = only(asked(rules("link", mail="smtp"), on=CLOSED, asking=NOTHING))

    assert (effect.kind, effect.change.is_empty) == (EffectKind.SURVEY, True)


def test_our_own_mail_is_preceded_by_the_tag_that_says_so() -> None:
    mark, question = asked(rules("link", mail="smtp"), asking=NOTHING).effects

    assert (mark.kind, mark.change.add_tags) == (EffectKind.UPDATE, ("sr_surveyed",))
    assert (question.kind, question.change.is_empty) == (EffectKind.SURVEY, True)


def test_a_playbook_that_only_notes_makes_no_ticket_to_ask() -> None:
    assert "makes no new one" in str(case_of(asked(rules(on="note_only"), on=CLOSED)).not_asked)


# ------------------------------------------------------------------ afterwards
def test_without_an_answer_the_customer_is_reminded_once() -> None:
    case = case_of(asked())
    assert (case.next_step, case.due_at) == (REMIND, ASK_TIME + 3 * DAY)

    reminded = advance(case, DeadlinePassed(None), at(ASK_TIME + 3 * DAY, rules()))

    assert (only(reminded).way, only(reminded).step) == (SurveyWay.HELPDESK, "remind:1")
    assert (case_of(reminded).next_step, case_of(reminded).due_at) == (ANSWER, ASK_TIME + 7 * DAY)


def test_silence_after_the_question_ends_it() -> None:
    case = replace(case_of(asked()), reminded_at=ASK_TIME + 3 * DAY)

    decision = advance(case, DeadlinePassed(None), at(ASK_TIME + 7 * DAY, rules()))

    assert (case_of(decision).outcome, decision.audit.reason) == (
        Outcome.NO_RESPONSE,
        "the customer was asked again (helpdesk) and said nothing more",
    )


def test_whoever_was_not_asked_has_said_nothing_either() -> None:
    case = case_of(asked(asking=NOTHING))

    decision = advance(case, DeadlinePassed(None), at(SOLVED_AT + 9 * DAY, rules()))

    assert case_of(decision).outcome is Outcome.NO_RESPONSE
    assert "was not asked again (no survey; no rule mails)" in decision.audit.reason


ANSWERS = [
    (5, Category.GOOD, Outcome.RECOVERED),
    (4, Category.GOOD, Outcome.RECOVERED),
    (3, Category.NEUTRAL, Outcome.IMPROVED),
]


@pytest.mark.parametrize(("value", "category", "outcome"), ANSWERS)
def test_a_better_answer_ends_the_case_beside_the_first_rating(
    value: int, category: Category, outcome: Outcome
) -> None:
    answer = Answer(ASK_TIME + HOUR, category_of(value), value, 5)

    case = case_of(advance(case_of(asked()), Answered(answer), at(ASK_TIME + HOUR, rules())))

    assert (case.outcome, case.answer, case.rating, case.category) == (outcome, answer, 1, Category.BAD)
    assert answer.category is category


def test_a_second_rating_in_the_helpdesk_is_the_answer() -> None:
    second = rating(rating_id="r2", category=Category.GOOD, value=5, updated_at=ASK_TIME + HOUR)

    case = case_of(advance(case_of(asked()), RatedAgain(second, None), at(ASK_TIME + HOUR, rules())))

    assert case.outcome is Outcome.RECOVERED
    assert case.answer == Answer(ASK_TIME + HOUR, Category.GOOD, 5, 5, "r2")


def test_a_second_bad_answer_starts_one_further_attempt_higher_up() -> None:
    answer = Answer(ASK_TIME + HOUR, Category.BAD, 2, 5)

    decision = advance(case_of(asked()), Answered(answer, "Still broken"), at(ASK_TIME + HOUR, rules()))

    case = case_of(decision)
    assert (case.attempt, case.assignee_id, case.stage, case.solved_at) == (2, BEN, Stage.ASSIGNED, None)
    assert (case.rating, case.answer, case.asked_at) == (1, answer, None)


def test_a_third_bad_answer_ends_it() -> None:
    second = replace(case_of(asked()), attempt=2)

    decision = advance(second, Answered(Answer(ASK_TIME, Category.BAD, 1, 5)), at(ASK_TIME, rules()))

    assert case_of(decision).outcome is Outcome.NOT_RECOVERED


def test_silence_after_the_second_attempt_has_the_bad_answer_as_its_last_word() -> None:
    second = replace(solved(rules()), attempt=2, not_asked="asked a short while ago")

    decision = advance(second, DeadlinePassed(None), at(SOLVED_AT + 9 * DAY, rules()))

    assert case_of(decision).outcome is Outcome.NOT_RECOVERED


def test_an_answer_to_our_own_question_is_put_on_the_ticket() -> None:
    answer = Answer(ASK_TIME, Category.GOOD, 5, 5)

    effect = only(advance(case_of(asked()), Answered(answer, "Thanks {{x}}"), at(ASK_TIME, rules())))

    assert effect.change.note == 'The customer was asked again and answered: good (5 of 5). "Thanks { {x} }"'


def test_a_question_that_did_not_leave_leaves_the_case_unasked() -> None:
    assert (unasked(case_of(asked()), "refused").not_asked, unasked(case_of(asked()), "refused").stage) == (
        "refused",
        Stage.SOLVED,
    )


def test_a_question_that_the_reopened_ticket_overtook_comes_after_the_next_solution() -> None:
    reopened = replace(case_of(asked()), solved_at=None)

    assert (unasked(reopened, "open again").not_asked, unasked(reopened, "open again").asked_at) == (None, None)


def test_a_parked_question_that_is_sent_at_last_was_asked_then() -> None:
    decision = asked()

    case = sent(unasked(case_of(decision), "parked"), only(decision), ASK_TIME + DAY, None)

    assert (case.asked_at, case.asked_by, case.survey_ticket_id) == (ASK_TIME + DAY, SurveyWay.HELPDESK, "7")


def test_a_ticket_that_closed_under_the_question_is_asked_about_in_another_way() -> None:
    decision = asked()

    failed = EffectFailed(only(decision), Verdict.LOCKED, "it is closed")
    again = advance(case_of(decision), failed, at(ASK_TIME, rules(), CLOSED))

    assert (only(again).kind, only(again).generation, case_of(again).asked_at) == (EffectKind.FOLLOW_UP, 1, ASK_TIME)


# ------------------------------------------------------------------ the words
def test_the_built_in_words_carry_the_link_and_an_inert_name() -> None:
    on = ticket(requester=replace(MIA, name="{{ticket.id}} https://evil.example"))

    text = render(BUILT_IN, solved(rules()), on, LAST_DAY, "https://r.example/survey/abc")

    assert "\nhttps://r.example/survey/abc\n" in text
    assert "{{" not in text
    assert "https://evil" not in text


def test_a_text_without_a_place_for_the_link_has_it_at_the_end() -> None:
    words = SurveyText.model_construct(subject="?", text=parse_note("All right, {customer_name}?", SURVEY_PLACEHOLDERS))

    text = render(words, solved(rules()), ticket(), LAST_DAY, "https://r.example/s")

    assert text == "All right, Mia Maier?\n\nhttps://r.example/s"
