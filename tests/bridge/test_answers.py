"""Stories of the customer's second word: it ends the case, or starts one further attempt."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bridge.answering import Answering, Asked, Standing
from bridge.model import Category, Outcome, Stage, SurveyWay
from bridge.web.survey_page import SurveyDesk, survey_routes
from tests.bridge.second_question import CLOSES_LATE, DAY, EVERYWHERE, HOUR, LINK, MINUTE, Story, Tell

BY_LINK = ("by: auto", "by: link")
RERATING = ("surveys: everyone", "surveys: everyone\n  allow_rerating: true")
ENDS = [("good", Outcome.RECOVERED), ("neutral", Outcome.IMPROVED)]


def told(story: Story) -> tuple[Stage, Outcome | None, str | None]:
    case = story.case
    return case.stage, case.outcome, str(case.answer.category) if case.answer else None


def answers_on(story: Story) -> list[str]:
    return [note for note in story.notes if "answered: " in note or "changed the answer" in note]


@EVERYWHERE
def test_a_good_answer_by_the_mail_s_own_link_is_a_recovery(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()

    story.answer("good", "Now it works")

    assert told(story) == (Stage.ENDED, Outcome.RECOVERED, "good")


@EVERYWHERE
@pytest.mark.parametrize(("category", "outcome"), ENDS)
def test_an_answer_to_our_own_question_ends_the_case(tell: Tell, flavour: str, category: str, outcome: Outcome) -> None:
    story = tell(flavour, BY_LINK)
    story.begin()
    mail = story.until_asked()

    story.answer(category, "Somewhat late")

    assert (mail.kind, story.case.asked_by) == ("question", SurveyWay.LINK)
    assert told(story) == (Stage.ENDED, outcome, category)


@pytest.mark.parametrize("flavour", ["new", "freshdesk", "newer"])
def test_a_better_answer_to_the_helpdesk_s_survey_is_an_improvement(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()

    story.answer("neutral")

    assert told(story) == (Stage.ENDED, Outcome.IMPROVED, "neutral")


@EVERYWHERE
def test_a_second_bad_answer_starts_one_further_attempt_with_a_supervisor(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()

    story.answer("bad", "Still not")

    assert (story.case.attempt, story.case.stage) == (2, Stage.ASSIGNED)
    assert story.case.assignee_id == story.firm.agents[story.account, "Zoe"]
    assert story.ticket.assignee_id == story.firm.agents[story.account, "Zoe"]
    assert story.ticket.status == "open"


@EVERYWHERE
def test_a_third_bad_answer_ends_it(tell: Tell, flavour: str) -> None:
    story = tell(flavour, ("surveys_per_customer: 1 in 30d", "surveys_per_customer: 5 in 30d"))
    story.begin()
    story.until_asked()
    story.answer("bad", "Still not")
    story.repair("Zoe")
    story.until_asked()

    story.answer("bad", "You do not understand")

    assert told(story) == (Stage.ENDED, Outcome.NOT_RECOVERED, "bad")
    assert len(story.questions()) == 2
    assert len(story.app.store.cases()) == 1


@EVERYWHERE
def test_the_first_rating_stays_what_it_was(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    ticket_id = story.begin()
    before = story.case
    (first,) = story.app.store.ratings_of_ticket(story.account, ticket_id)
    story.until_asked()

    story.answer("good", "Now it works")

    rows = story.app.store.ratings_of_ticket(story.account, ticket_id)
    assert first.rating in [row.rating for row in rows]
    unchanged = ("category", "rating", "scale_max", "rated_at", "rating_id", "rule", "severity")
    assert [getattr(story.case, name) for name in unchanged] == [getattr(before, name) for name in unchanged]


@EVERYWHERE
def test_an_answer_to_our_own_question_is_a_private_note_on_the_ticket(tell: Tell, flavour: str) -> None:
    story = tell(flavour, BY_LINK)
    story.begin()
    story.until_asked()

    story.answer("good", "Now it works {{ticket.id}} https://evil.example")

    said = story.notes[-1]
    assert "asked again and answered: good (5 of 5)" in said
    assert "Now it works" in said
    assert "{{ticket.id}}" not in said


@EVERYWHERE
def test_an_answer_counts_once_however_often_the_page_is_sent(tell: Tell, flavour: str) -> None:
    story = tell(flavour, BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]

    assert [story.answer_ours(token, "bad"), story.answer_ours(token, "bad")] == [True, True]
    story.later(2 * MINUTE)

    assert (story.case.attempt, story.answer_ours(token, "bad")) == (2, True)
    story.later(2 * MINUTE)
    assert (story.case.attempt, len(answers_on(story))) == (2, 1)


@pytest.mark.parametrize(
    ("first", "then", "outcome"),
    [
        ("good", "neutral", Outcome.IMPROVED),
        ("neutral", "good", Outcome.RECOVERED),
        ("good", "bad", Outcome.NOT_RECOVERED),
    ],
)
def test_an_answer_changed_within_a_day_changes_the_end(tell: Tell, first: str, then: str, outcome: Outcome) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer(first)

    assert story.answer_ours(token, then, "On second thoughts")
    story.later(23 * HOUR)

    assert told(story) == (Stage.ENDED, outcome, then)
    assert "changed the answer" in answers_on(story)[-1] and "On second thoughts" in answers_on(story)[-1]


def test_an_answer_changed_for_the_worse_is_told_to_a_person(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer("good")

    story.answer_ours(token, "bad")
    story.later(2 * MINUTE)

    alerts = [e.effect.text for e in story.app.store.effects_of(story.case.case_id) if e.effect.kind == "alert"]
    assert "the customer changed the answer to bad; the case had ended as recovered" in (alerts[-1] or "")


def test_an_answer_changed_for_the_better_ends_the_further_attempt(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer("bad")
    assert story.case.attempt == 2

    story.answer_ours(token, "good")
    story.later(2 * MINUTE)

    assert told(story) == (Stage.ENDED, Outcome.RECOVERED, "good")


def asked_again(story: Story) -> tuple[str, str]:
    """A first answer is bad, and the customer is asked again within the day; returns both links' tokens."""
    tokens = []
    story.begin()
    for attempt in (1, 2):
        story.runs(2, 2 * HOUR)
        tokens.append(LINK.findall(story.questions()[-1].text)[0])
        if attempt == 1:
            story.answer("bad")
            story.repair("Zoe")
    return tokens[0], tokens[1]


SOON = (
    ("after: 2d                 #", "after: 1h                 #"),
    ("surveys_per_customer: 1 in 30d", "surveys_per_customer: 2 in 30d"),
)


def test_once_a_later_question_is_answered_the_earlier_answer_stands(tell: Tell) -> None:
    story = tell("newer", BY_LINK, *SOON)
    first, second = asked_again(story)
    assert first != second
    story.answer_ours(second, "neutral")
    story.later(2 * MINUTE)
    ended = story.case

    assert not story.answer_ours(first, "good", "On second thoughts")
    story.later(2 * MINUTE)
    assert (ended.attempt, ended.outcome, story.case) == (2, Outcome.IMPROVED, ended)


def test_of_answers_that_wait_together_the_one_to_the_newest_question_counts(tell: Tell) -> None:
    story = tell("newer", BY_LINK, *SOON)
    first, second = asked_again(story)

    assert [story.answer_ours(first, "good"), story.answer_ours(second, "bad")] == [True, True]
    story.later(2 * MINUTE)

    assert (story.case.outcome, len(answers_on(story))) == (Outcome.NOT_RECOVERED, 2)
    assert "overtaken" in [audit.what for audit in story.app.store.audits(case_id=story.case.case_id)]


def test_until_a_later_question_is_answered_the_earlier_answer_may_be_changed(tell: Tell) -> None:
    story = tell("newer", BY_LINK, *SOON)
    first, _ = asked_again(story)

    assert story.answer_ours(first, "good")
    story.later(2 * MINUTE)

    assert told(story) == (Stage.ENDED, Outcome.RECOVERED, "good")


def test_the_words_of_an_answer_are_forgotten_when_it_can_no_longer_be_changed(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer("good", "It works now")
    case_id, store = story.case.case_id, story.app.store

    story.later(23 * HOUR)
    kept = store.answer(story.account, f"{case_id}:1")
    assert kept and "It works now" in (kept.raw or "")

    story.later(2 * HOUR)
    kept = store.answer(story.account, f"{case_id}:1")
    assert kept and '"value": 5' in (kept.raw or "") and "works" not in (kept.raw or "")
    assert Answering(store, story.firm.now).look(case_id, 1) == Asked(Standing.SETTLED, 5)
    assert not story.answer_ours(token, "bad")


def test_words_added_to_a_bad_answer_reach_the_ticket_and_leave_the_further_attempt(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer("bad")

    story.answer_ours(token, "bad", "The part is missing")
    story.later(2 * MINUTE)

    assert (story.case.stage, story.case.attempt) == (Stage.ASSIGNED, 2)
    assert "The part is missing" in answers_on(story)[-1]


def test_an_answer_on_the_page_ends_the_case_and_stands_on_the_ticket(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token, rung = LINK.findall(story.until_asked().text)[0], list[str]()
    answering = Answering(story.app.store, story.firm.now, rung.append)
    desk = SurveyDesk(
        lambda text: story.links.read(text, story.firm.now()), answering.look, answering.take, story.firm.now
    )
    browser = TestClient(Starlette(routes=survey_routes(desk)))

    assert browser.get(f"/survey/{token}").status_code == 200
    pages = [browser.post(f"/survey/{token}", data={"value": "5", "comment": "It works"}) for _ in range(2)]
    story.later(2 * MINUTE)

    assert ([page.status_code for page in pages], rung) == ([200, 200], [story.account])
    assert told(story) == (Stage.ENDED, Outcome.RECOVERED, "good")
    assert "good (5 of 5)" in answers_on(story)[-1] and "It works" in answers_on(story)[-1]
    assert browser.get(f"/survey/{token}").status_code == 200
    story.runs(2, DAY)
    assert browser.get(f"/survey/{token}").status_code == 403


@EVERYWHERE
def test_the_link_knows_the_customer_s_language_and_the_brand(tell: Tell, flavour: str) -> None:
    story = tell(flavour, BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]

    invitation = story.links.read(token, story.firm.now())

    desk = story.app.engine.desks[story.account]
    assert (invitation.language, invitation.brand) == (desk.language(story.ticket), story.ticket.brand)
    assert invitation.language


def test_after_a_day_an_answer_stands(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer("good")
    ended = story.case
    story.runs(2, DAY)

    assert not story.answer_ours(token, "bad")
    story.later(2 * MINUTE)
    assert story.case == ended


def test_an_answer_changed_while_it_is_followed_is_followed_again(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    store = story.app.store
    story.answer_ours(token, "good")
    (read,) = store.answers(story.account, story.firm.now(), 10)
    story.answer_ours(token, "bad")

    store.finish_answer(read)

    assert len(store.answers(story.account, story.firm.now(), 10)) == 1


def test_an_answer_that_cannot_be_read_stops_nothing_behind_it(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    story.until_asked()
    case_id = story.case.case_id
    story.app.store.put_answer(story.account, "spoilt", case_id, "{}", story.firm.now())

    story.answer("good")

    assert told(story) == (Stage.ENDED, Outcome.RECOVERED, "good")
    assert [one.key for one in story.app.store.failures()] == ["spoilt"]


def test_an_answer_that_was_followed_twice_counts_once(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer("bad", "Still not")
    before = story.case
    kept = story.app.store.answer(story.account, f"{before.case_id}:1")
    assert kept is not None and kept.raw is not None

    story.app.store.put_answer(story.account, f"{before.case_id}:1", before.case_id, kept.raw, story.firm.now())
    story.later(2 * MINUTE)

    assert (story.case, len(answers_on(story))) == (before, 1)
    assert story.answer_ours(token, "bad", "Still not")


def test_a_changed_answer_that_was_followed_twice_beside_a_rating_counts_once(tell: Tell) -> None:
    story = tell("newer", BY_LINK)
    story.begin()
    token = LINK.findall(story.until_asked().text)[0]
    story.answer("bad")
    story.desk.rate(story.ticket_id, "good", "Now it works")
    story.later(10 * MINUTE)
    story.answer_ours(token, "neutral", "On second thoughts")
    story.later(2 * MINUTE)
    before, name = story.case, f"{story.case.case_id}:1"
    kept = story.app.store.answer(story.account, name)
    assert kept is not None and kept.raw is not None

    story.app.store.put_answer(story.account, name, before.case_id, kept.raw, story.firm.now())
    story.later(2 * MINUTE)

    assert (story.case, before.outcome, len(answers_on(story))) == (before, Outcome.RECOVERED, 2)


@pytest.mark.parametrize("value", [0, 6, -1])
def test_an_answer_off_the_scale_is_none(tell: Tell, value: int) -> None:
    story = tell("legacy")
    story.begin()
    story.until_asked()

    assert not story.app.engine.answer(story.case.case_id, 1, value, None)
    assert not story.app.engine.answer("nobody", 1, 5, None)


def test_a_second_native_rating_is_paired_with_the_first_that_it_overwrites(tell: Tell) -> None:
    story = tell("legacy", RERATING)
    ticket_id = story.begin()
    mail = story.until_asked()

    story.answer("good", "Now it works")

    (shown,) = story.app.engine.desks["acme"].ratings_of(ticket_id)
    kept = [row.rating.category for row in story.app.store.ratings_of_ticket("acme", ticket_id)]
    assert (mail.kind, shown.category) == ("survey", Category.GOOD)
    assert sorted(kept) == ["bad", "good"]
    assert (story.case.category, story.case.outcome) == (Category.BAD, Outcome.RECOVERED)


def test_without_leave_to_overwrite_legacy_ratings_are_asked_for_by_link(tell: Tell) -> None:
    story = tell("legacy", ("by: auto", "by: helpdesk"))
    story.begin()

    story.runs(3, DAY)

    assert story.questions() == []
    assert "overwrite" in (story.case.not_asked or "")


@EVERYWHERE
def test_a_customer_who_answers_before_being_asked_is_not_asked(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    ticket_id = story.begin()

    story.desk.rate(ticket_id, "good", "That was quick")
    story.runs(3, DAY)

    assert told(story) == (Stage.ENDED, Outcome.RECOVERED, "good")
    assert story.questions() == []


@EVERYWHERE
def test_an_answer_after_the_end_changes_nothing(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()
    story.answer("good", "Now it works")
    ended = story.case

    story.desk.rate(story.ticket_id, "good", "Still fine")
    story.runs(2, HOUR)

    assert story.app.store.cases() == [ended]


@EVERYWHERE
def test_silence_after_the_question_ends_as_no_response(tell: Tell, flavour: str) -> None:
    story = tell(flavour, options=CLOSES_LATE.get(flavour, {}))
    story.begin()
    story.until_asked()

    story.runs(9, DAY)

    assert told(story) == (Stage.ENDED, Outcome.NO_RESPONSE, None)
    assert len(story.questions()) == 2  # one reminder, no more


@EVERYWHERE
def test_a_reminder_comes_once_and_its_answer_counts(tell: Tell, flavour: str) -> None:
    story = tell(flavour, options=CLOSES_LATE.get(flavour, {}))
    story.begin()
    story.until_asked()
    story.runs(4, DAY)
    assert len(story.questions()) == 2

    story.answer("good")

    assert told(story) == (Stage.ENDED, Outcome.RECOVERED, "good")


@pytest.mark.parametrize("flavour", ["legacy", "new"])
def test_a_ticket_that_closed_meanwhile_carries_no_reminder(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()

    story.runs(4, DAY)

    assert len(story.questions()) == 1
    assert [one.what for one in story.app.store.audits(case_id=story.case.case_id)].count("not_reminded") == 1


@EVERYWHERE
def test_who_has_answered_is_not_reminded(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()
    story.answer("neutral")

    story.runs(5, DAY)

    assert len(story.questions()) == 1
