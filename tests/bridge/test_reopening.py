"""Stories of a ticket that is solved again so that it stays open to answers longer, and of answers that get lost.

A half-done reopening is finished or refused; nobody is ever asked twice.
"""

from __future__ import annotations

import pytest

from bridge.model import Outcome, Status, SurveyWay
from connectors.sandbox.world import Fault
from tests.bridge.second_question import DAY, HOUR, MIA, MINUTE, VENDORS, Story, Tell

ALWAYS = ("remind_after: 3d", "remind_after: 3d\n      reopen: always")
NEVER = ("remind_after: 3d", "remind_after: 3d\n      reopen: never")
NO_PAGE = ("survey_page:", "# survey_page:")
AGAIN = [("us", "open"), ("us", "solved")]
LOST = ["lost", "reset", "html", "truncated"]


def at_ask(story: Story) -> None:
    """Let the time come at which the bridge asks; it has not run since."""
    story.begin()
    story.until_due()
    story.firm.pass_time(MINUTE)


def turns(story: Story) -> list[tuple[str, str]]:
    """Return who opened or solved the ticket from the day of the question on."""
    words = {"resolved": "solved", "4": "solved", "2": "open"}
    found = story.statuses(story.began_at + DAY)
    return [(who, words.get(str(status), str(status))) for who, status in found]


# ------------------------------------------------------------------ wanted or not
@VENDORS
def test_with_always_the_ticket_is_reopened_and_solved_again_at_once(tell: Tell, flavour: str) -> None:
    story = tell(flavour, ALWAYS)
    at_ask(story)

    story.runs(2, MINUTE)

    assert (turns(story), story.ticket.status, len(story.questions())) == (AGAIN, Status.SOLVED, 1)
    assert story.case.solved_at is not None


@VENDORS
@pytest.mark.parametrize("change", [NEVER, ("by: auto", "by: auto")])
def test_otherwise_its_status_is_left_alone(tell: Tell, flavour: str, change: tuple[str, str]) -> None:
    story = tell(flavour, change)
    at_ask(story)

    story.runs(2, MINUTE)

    assert (turns(story), story.ticket.status, len(story.questions())) == ([], Status.SOLVED, 1)


@pytest.mark.parametrize(("change", "turned"), [(("by: auto", "by: auto"), AGAIN), (NEVER, [])])
def test_where_the_ticket_closes_soon_and_there_is_no_page_auto_reopens_it(
    tell: Tell, change: tuple[str, str], turned: list[tuple[str, str]]
) -> None:
    story = tell("new", NO_PAGE, change)
    at_ask(story)
    story.firm.pass_time(6 * HOUR)  # the machine was off: less than two days are left

    story.runs(2, MINUTE)

    assert (turns(story), len(story.questions())) == (turned, 1)


def test_where_the_ticket_closes_soon_our_own_question_is_preferred(tell: Tell) -> None:
    story = tell("new")
    at_ask(story)
    story.firm.pass_time(6 * HOUR)

    story.runs(2, MINUTE)

    assert (turns(story), story.case.asked_by) == ([], SurveyWay.LINK)


@VENDORS
def test_a_ticket_that_was_solved_again_is_rated_and_ends_the_case(tell: Tell, flavour: str) -> None:
    story = tell(flavour, ALWAYS)
    at_ask(story)
    story.runs(2, MINUTE)

    story.answer("good")

    assert story.case.outcome is Outcome.RECOVERED


# ------------------------------------------------------------------ in between
@VENDORS
@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("number", [0, 1])
def test_a_lost_answer_to_either_write_never_asks_twice(tell: Tell, flavour: str, kind: str, number: int) -> None:
    story = tell(flavour, ALWAYS)
    at_ask(story)
    fail(story, number, kind)

    story.runs(8, 10 * MINUTE)

    assert len(story.questions()) <= 1
    assert story.ticket.status is Status.SOLVED or not story.questions(), story.told()
    assert story.ticket.status is Status.SOLVED, story.told()


def fail(story: Story, number: int, kind: str) -> None:
    """Let that PUT go wrong, counted from 0; those before it go well."""
    if number:
        story.desk.faults.append(Fault("slow", path="/tickets/", method="PUT", times=number))
    story.desk.faults.append(Fault(kind, path="/tickets/", method="PUT", status=502))


@VENDORS
@pytest.mark.parametrize("deed", ["agent", "customer"])
def test_a_person_who_writes_between_both_writes_is_left_alone(tell: Tell, flavour: str, deed: str) -> None:
    story = tell(flavour, ALWAYS)
    at_ask(story)
    story.desk.faults.append(Fault("slow", path="/tickets/", method="PUT"))
    story.desk.faults.append(Fault("reset", path="/tickets/", method="PUT", times=99))
    story.app.run()  # reopened, and then the line is down
    story.desk.faults.clear()

    story.firm.pass_time(MINUTE)
    if deed == "agent":
        story.desk.reply(story.ticket_id, story.firm.agents[story.account, "Cem"], "One moment please")
    else:
        story.desk.customer_replies(story.ticket_id, "By the way ...")
    story.runs(8, 10 * MINUTE)

    assert (story.ticket.status, story.questions()) == (Status.OPEN, []), story.told()
    assert turns(story)[-1] == ("us", "open")


# ------------------------------------------------------------------ lost answers around the question
@VENDORS
@pytest.mark.parametrize("kind", [*LOST, "status"])
def test_a_question_whose_answer_is_lost_reaches_the_customer_once_at_most(tell: Tell, flavour: str, kind: str) -> None:
    story = tell(flavour)
    at_ask(story)
    story.desk.faults.append(Fault(kind, path="/tickets/", method="PUT", status=502))

    story.runs(8, 10 * MINUTE)

    assert len(story.questions()) == 1, story.told()
    assert story.case.asked_at is not None
    story.answer("good")
    assert story.case.outcome is Outcome.RECOVERED


@VENDORS
def test_a_helpdesk_that_answers_nothing_for_hours_is_asked_to_ask_once(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    at_ask(story)
    story.desk.faults.append(Fault("lost", path="/tickets/", method="PUT", times=3))

    story.runs(12, 30 * MINUTE)

    assert len(story.questions()) <= 1, story.told()


@pytest.mark.parametrize("second_offer", ["allowed", "refused"])
@pytest.mark.parametrize("kind", ["lost", "reset"])
def test_a_survey_whose_offer_gets_lost_is_offered_again_or_not_at_all(
    tell: Tell, second_offer: str, kind: str
) -> None:
    story = tell("new", options={"second_offer": second_offer})
    at_ask(story)
    story.desk.faults.append(Fault(kind, path="/survey_responses", method="POST"))

    story.runs(8, 10 * MINUTE)

    assert len(story.questions()) <= 1
    assert bool(story.questions()) == (story.case.asked_at is not None), story.told()
    assert all(mail.to == MIA for mail in story.questions())
