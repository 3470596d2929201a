"""Stories of the second question: by our own mail server, about closed tickets, and its link, which is a secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.model import EffectKind, Outcome, Status, SurveyWay
from connectors.sandbox.world import Fault
from tests.bridge.second_question import HOUR, LINK, MIA, MINUTE, VENDORS, Story, Tell
from tests.mail_server import HANG_UP, MailServer, mail_server

BY_SMTP = ("survey_mail: helpdesk", "survey_mail: smtp")
BY_LINK = ("by: auto", "by: link")


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def mailing(tell: Tell, post: MailServer, flavour: str, **more: Any) -> Story:
    """A customer was asked to wait: it is time to ask, and the question leaves by our own mail server."""
    env = {"BRIDGE_SMTP_URL": post.url, "BRIDGE_MAIL_FROM": "bridge@example.com"}
    story = tell(flavour, BY_SMTP, BY_LINK, env=env, **more)
    story.begin()
    story.until_due()
    story.firm.pass_time(MINUTE)
    return story


# ------------------------------------------------------------------ our own mail
@VENDORS
def test_our_own_mail_goes_to_the_requester_alone_and_once(tell: Tell, post: MailServer, flavour: str) -> None:
    story = mailing(tell, post, flavour)

    story.runs(3, HOUR)

    assert (post.recipients, len(post.mails)) == ([MIA], 1)
    assert LINK.search(post.texts[0])
    assert "sr_surveyed" in story.ticket.tags
    assert story.questions() == []


@VENDORS
def test_the_answer_to_our_own_mail_ends_the_case(tell: Tell, post: MailServer, flavour: str) -> None:
    story = mailing(tell, post, flavour)
    story.later(MINUTE)

    assert story.answer_ours(LINK.findall(post.texts[0])[0], "good")
    story.later(2 * MINUTE)

    assert (story.case.outcome, story.case.asked_by) == (Outcome.RECOVERED, SurveyWay.LINK)


def test_zendesk_s_new_survey_can_leave_by_our_own_mail(tell: Tell, post: MailServer) -> None:
    story = tell("new", BY_SMTP, env={"BRIDGE_SMTP_URL": post.url})
    story.begin()
    story.until_due()
    story.later(MINUTE)

    (text,) = post.texts
    link = text[text.index("http") :].split()[0].rstrip(".")
    story.firm.zendesk.answer(link, "good")
    story.later(2 * MINUTE)

    assert (story.case.outcome, story.case.asked_by) == (Outcome.RECOVERED, SurveyWay.HELPDESK)


@pytest.mark.parametrize("flavour", ["legacy", "freshdesk"])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_mail_server_in_passing_trouble_is_tried_again(
    tell: Tell, post: MailServer, flavour: str, command: str
) -> None:
    story = mailing(tell, post, flavour)
    post.answers[command] = "451 later please"
    story.later(MINUTE)
    assert post.mails == []
    post.answers.clear()

    story.runs(3, HOUR)

    assert (len(post.mails), story.asking_effects()) == (1, ["applied"])


@pytest.mark.parametrize("flavour", ["legacy", "freshdesk"])
def test_an_address_that_is_refused_waits_for_a_person(tell: Tell, post: MailServer, flavour: str) -> None:
    story = mailing(tell, post, flavour)
    post.answers["RCPT"] = "550 nobody of that name"
    story.runs(3, HOUR)
    assert (post.mails, story.asking_effects(), story.case.asked_at) == ([], ["parked"], None)
    post.answers.clear()

    story.app.store.retry_parked()
    story.runs(2, HOUR)

    assert (len(post.mails), story.asking_effects()) == (1, ["applied"])
    assert (story.case.asked_by, story.case.not_asked) == (SurveyWay.LINK, None)


@pytest.mark.parametrize("flavour", ["legacy", "freshdesk"])
def test_a_mail_of_which_nobody_knows_whether_it_left_is_not_repeated(
    tell: Tell, post: MailServer, flavour: str
) -> None:
    story = mailing(tell, post, flavour)
    post.answers["."] = HANG_UP  # it may have been taken
    story.later(MINUTE)
    post.answers.clear()

    story.runs(3, HOUR)

    assert (post.mails, story.asking_effects()) == ([], ["adopted"])
    assert story.case.asked_at is not None


@pytest.mark.parametrize("flavour", ["legacy", "freshdesk"])
def test_a_crash_between_the_mail_and_its_record_never_mails_twice(tell: Tell, post: MailServer, flavour: str) -> None:
    story = mailing(tell, post, flavour)
    finish = story.app.store.finish

    def die(claim: object, *details: object, **more: object) -> None:
        if claim.effect.way:
            raise KeyboardInterrupt
        finish(claim, *details, **more)

    story.app.store.finish = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        story.app.run()
    story.app.store.finish = finish  # type: ignore[method-assign]

    story.runs(3, HOUR)

    assert (len(post.mails), story.asking_effects()) == (1, ["adopted"])


# ------------------------------------------------------------------ closed tickets
@pytest.mark.parametrize("flavour", ["legacy", "freshdesk"])
def test_a_ticket_that_is_locked_by_then_is_continued_by_one_that_carries_the_question(
    tell: Tell, flavour: str
) -> None:
    story = tell(flavour, BY_LINK)
    story.begin()
    lock(story)

    mail = story.until_asked()

    new = story.app.engine.desks[story.account].tickets([mail.ticket_id])[mail.ticket_id]
    assert (mail.to, new.status, mail.ticket_id == story.ticket_id) == (MIA, Status.SOLVED, False)
    assert story.case.survey_ticket_id == mail.ticket_id
    story.answer("good")
    assert story.case.outcome is Outcome.RECOVERED


@pytest.mark.parametrize("flavour", ["legacy", "freshdesk"])
def test_our_own_mail_needs_no_new_ticket(tell: Tell, post: MailServer, flavour: str) -> None:
    env = {"BRIDGE_SMTP_URL": post.url}
    story = tell(flavour, BY_SMTP, BY_LINK, env=env)
    story.begin()
    lock(story)
    story.until_due()

    story.later(MINUTE)

    kinds = [one.effect.kind for one in story.app.store.effects_of(story.case.case_id)]
    assert (len(post.mails), EffectKind.FOLLOW_UP in kinds) == (1, False)


def lock(story: Story) -> None:
    """The ticket is closed, or archived, right after its repair."""
    if story.account == "acme":
        story.desk.edit(story.ticket_id, by=story.desk.owner_id, status="closed")
    else:
        story.desk.tickets[int(story.ticket_id)].archived = True
    story.firm.pass_time(MINUTE)


# ------------------------------------------------------------------ secrets
@VENDORS
@pytest.mark.parametrize("by", ["auto", "link"])
def test_the_link_is_a_secret_that_only_the_requester_s_mail_holds(
    tell: Tell, flavour: str, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    story = tell(flavour, ("by: auto", f"by: {by}"))
    story.begin()

    mail = story.until_asked()
    story.later(HOUR)

    found = LINK.search(mail.text)
    secret = found[1] if found else mail.link.rpartition("=")[2].rpartition("/")[2]
    assert len(secret) > 20
    story.app.store.close()
    kept = b"".join(path.read_bytes() for path in story.app.folder.rglob("*") if path.is_file())
    assert secret.encode() not in kept
    assert secret not in caplog.text
    assert [m.to for m in story.firm.world.mails if secret in m.text] == [MIA]
    said = [e for e in story.firm.world.ledger if e.what in ("public_comment", "private_note")]
    assert secret not in repr(said)


@VENDORS
def test_a_lost_answer_puts_the_link_into_no_error(tell: Tell, flavour: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    story = tell(flavour, BY_LINK)
    story.begin()
    story.until_due()
    story.desk.faults.append(refusing())
    story.runs(6, 10 * MINUTE)

    said = caplog.text + story.told() + repr(story.app.store.audits())
    assert "recovery.example.com" not in said
    assert story.asking_effects() == ["parked"], story.told()


def refusing() -> Fault:
    """A helpdesk that refuses the question, and repeats it in its error."""
    body = '{"description": "https://recovery.example.com/survey/secret", "errors": []}'
    return Fault("status", path="/tickets/", method="PUT", status=422, body=body, times=99)
