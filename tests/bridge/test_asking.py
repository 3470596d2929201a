"""Stories of the second question: who is asked again, when and how, and why the others are not."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from bridge.model import Outcome, Stage, SurveyWay
from tests.bridge.second_question import (
    DAY,
    EVERYWHERE,
    HOUR,
    MIA,
    MINUTE,
    VENDORS,
    Story,
    Tell,
)

BERLIN = ZoneInfo("Europe/Berlin")
WAYS = {
    "legacy": ("question", SurveyWay.LINK),
    "new": ("survey", SurveyWay.HELPDESK),
    "freshdesk": ("survey", SurveyWay.HELPDESK),
    "newer": ("survey", SurveyWay.HELPDESK),
}


# ------------------------------------------------------------------ the question
@EVERYWHERE
def test_two_days_after_the_repair_the_requester_alone_is_asked(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    ticket_id = story.begin()

    mail = story.until_asked()

    kind, way = WAYS[flavour]
    assert (mail.to, mail.ticket_id, mail.kind) == (MIA, ticket_id, kind)
    assert (story.case.stage, story.case.asked_by) == (Stage.SURVEYED, way)


@EVERYWHERE
def test_the_question_stands_in_no_comment_and_on_no_ticket(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    mail = story.until_asked()
    story.later(HOUR)

    shown = repr([entry for entry in story.firm.world.ledger if entry.what in ("public_comment", "private_note")])

    assert "survey" not in shown.replace("sr_surveyed", "")
    assert "sr_surveyed" in story.ticket.tags
    assert {"sr_ask", "sr_ask_survey"}.isdisjoint(story.ticket.tags)
    assert mail.text not in shown


@EVERYWHERE
def test_nobody_is_asked_a_second_time(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()

    story.runs(12, 2 * HOUR)

    assert len(story.questions()) == 1


# ------------------------------------------------------------------ who is not asked, and why
@pytest.mark.parametrize("surveys", ["off", "listed\n  survey_list: [other@customer.example]"])
@VENDORS
def test_whom_the_settings_leave_out_is_not_asked(tell: Tell, flavour: str, surveys: str) -> None:
    story = tell(flavour, ("surveys: everyone", f"surveys: {surveys}"))
    story.begin()

    story.runs(3, DAY)

    assert story.questions() == []
    assert "settings.survey" in (story.case.not_asked or "")


@VENDORS
def test_whom_the_list_names_is_asked(tell: Tell, flavour: str) -> None:
    story = tell(flavour, ("surveys: everyone", f"surveys: listed\n  survey_list: [{MIA.upper()}]"))
    story.begin()

    assert story.until_asked().to == MIA


@VENDORS
def test_a_requester_without_an_address_is_not_asked(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    forget_address(story)

    story.runs(3, DAY)

    assert story.questions() == []
    assert "no e-mail address" in (story.case.not_asked or "")


def forget_address(story: Story) -> None:
    requester = story.ticket.requester
    assert requester is not None
    if story.account == "acme":
        story.firm.zendesk.account.users[int(requester.requester_id)]["email"] = None
    else:
        story.firm.freshdesk.contacts[int(requester.requester_id)].email = ""


@VENDORS
def test_who_does_not_want_to_be_asked_is_not(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.app.store.opt_out(story.case.customer or "", story.firm.now(), "said so on the phone")

    story.runs(3, DAY)

    assert (story.questions(), story.case.not_asked) == ([], "the customer does not want to be asked")


@VENDORS
def test_who_stops_wanting_it_right_before_the_question_leaves_is_not_asked(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_due()
    story.app.engine.watch(story.account)
    story.app.engine.tick(story.account)
    story.app.store.opt_out(story.case.customer or "", story.firm.now(), "said so on the phone")

    story.runs(2, DAY)

    assert (story.questions(), story.asking_effects()) == ([], ["superseded"])
    assert story.case.not_asked == "the customer does not want to be asked"


@pytest.mark.parametrize("second", ["acme", "shop"])
def test_one_customer_is_asked_once_in_thirty_days_on_all_accounts(tell: Tell, second: str) -> None:
    story = tell("new", both=True)
    story.begin()
    story.until_asked()
    story.answer("good")
    story.account, story.desk = second, story.firm.desks[second]
    story.begin()

    story.runs(3, DAY)

    assert len(story.questions()) == 1
    assert "surveys_per_customer" in (story.case.not_asked or "")


def test_after_thirty_days_the_same_customer_may_be_asked_again(tell: Tell) -> None:
    story = tell("new")
    story.begin()
    story.until_asked()
    story.answer("good")
    story.runs(4, 8 * DAY)
    story.begin()

    assert story.until_asked().to == MIA
    assert len(story.questions()) == 2


@VENDORS
def test_at_night_nobody_is_asked(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.firm.pass_time(8 * HOUR)  # it is solved at 18:22 in Berlin, and quiet from 18:00 on
    story.app.run()
    story.begin()

    story.until_due()
    story.firm.pass_time(4 * HOUR)
    story.runs(3, HOUR)
    assert story.questions() == []
    story.runs(12, HOUR)

    (mail,) = story.questions()
    assert 8 <= mail.at.astimezone(BERLIN).hour < 21


# ------------------------------------------------------------------ the ticket opens again
@EVERYWHERE
def test_a_ticket_that_opens_again_is_asked_about_after_its_next_solution(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.later(DAY)
    story.desk.customer_replies(story.ticket_id, "It is broken again")
    story.runs(3, DAY)
    assert (story.questions(), story.case.solved_at) == ([], None), story.told()

    story.repair("Ana")

    assert story.until_asked().to == MIA


@EVERYWHERE
def test_a_ticket_that_opens_while_its_question_waits_cancels_it(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_due()
    story.app.engine.tick(story.account)  # the question is planned, and has not left
    story.desk.customer_replies(story.ticket_id, "It is broken again")

    story.runs(2, HOUR)
    assert (story.questions(), story.asking_effects(), story.case.asked_at) == ([], ["superseded"], None)
    story.repair("Ana")

    assert story.until_asked().to == MIA
    assert len(story.questions()) == 1


@EVERYWHERE
def test_a_customer_who_writes_after_being_asked_is_not_asked_twice_for_it(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()
    story.desk.customer_replies(story.ticket_id, "It is broken again")
    story.later(10 * MINUTE)
    story.repair("Ana")

    story.runs(4, DAY)

    assert len(story.questions()) <= 2  # the question, and perhaps its one reminder


# ------------------------------------------------------------------ the helpdesk asks by itself
def test_a_survey_that_zendesk_sent_by_itself_is_adopted(tell: Tell) -> None:
    story = tell("new")
    story.begin()
    story.firm.pass_time(HOUR)
    offer = story.firm.zendesk.surveys.offer(story.firm.zendesk.account.file(int(story.ticket_id)))

    story.runs(3, DAY)

    assert (story.questions(), story.asking_effects(), story.case.asked_by) == ([], [], SurveyWay.ADOPTED)
    story.firm.zendesk.answer(f"/hc/en-us/survey_responses/{offer['id']}?access_token={offer['token']}", "good")
    story.later(2 * MINUTE)
    assert story.case.outcome is Outcome.RECOVERED


def test_a_survey_from_before_the_flag_is_not_adopted(tell: Tell) -> None:
    story = tell("new")
    story.begin()  # the first rating was an answer to an offer

    assert story.until_asked().kind == "survey"
    assert story.case.asked_by is SurveyWay.HELPDESK


@pytest.mark.parametrize("flavour", ["freshdesk", "newer"])
def test_the_survey_that_freshdesk_sends_at_each_solution_is_adopted(tell: Tell, flavour: str) -> None:
    story = tell(flavour, ("connector: freshdesk,", "connector: freshdesk, asks_on_solve: true,"))
    story.firm.freshdesk.asks_on_solve = True
    story.begin()
    sent = [mail for mail in story.firm.world.mails if mail.kind == "survey"]

    story.runs(3, DAY)

    assert (story.asking_effects(), story.case.asked_by) == ([], SurveyWay.ADOPTED)
    assert [mail for mail in story.firm.world.mails if mail.kind == "survey"] == sent
    story.answer("good", mail=sent[-1])
    assert story.case.outcome is Outcome.RECOVERED


# ------------------------------------------------------------------ what setup installed
@EVERYWHERE
def test_without_what_setup_installs_nobody_is_asked_and_the_case_says_why(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    list(story.app.engine.desks[story.account].setup(remove=True))

    story.runs(3, DAY)

    assert story.questions() == []
    assert "setup" in (story.case.not_asked or "")


@EVERYWHERE
def test_the_doctor_says_that_nobody_can_be_asked(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    desk = story.app.engine.desks[story.account]
    healthy = [finding for finding in desk.doctor() if "setup" in finding.todo]

    list(desk.setup(remove=True))

    ill = [finding for finding in desk.doctor() if "setup" in finding.todo]
    assert (healthy, bool(ill)) == ([], True)
