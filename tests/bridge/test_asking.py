"""Stories of the second question: it reaches the requester alone, once, and their answer ends the case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.app import App
from bridge.model import Case, Stage, SurveyWay
from connectors.sandbox import freshdesk_rules
from connectors.sandbox.company import Company, company
from connectors.sandbox.freshdesk_records import ON_UPDATE
from connectors.sandbox.world import Mail

MONDAY = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)  # 09:00 in Berlin; the ticket below is rated at 10:00
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LINK = re.compile(r"https://recovery\.example\.com/survey/(\S+)")
DESKS = {
    "legacy": ("acme", {"zendesk": {"csat": "legacy"}}),
    "new": ("acme", {"zendesk": {"csat": "new"}}),
    "freshdesk": ("shop", {}),
    "newer": ("shop", {"freshdesk": {"csat": "new"}}),
}
THEIRS = {
    "name": "Survey on request",
    "performer": {"type": 1},
    "events": [{"field_name": "tags", "value": "ask"}],
    "actions": [{"field_name": "send_survey"}],
}
EVERYWHERE = pytest.mark.parametrize("flavour", list(DESKS))


class Story:
    """One customer of one desk, and the bridge."""

    def __init__(self, firm: Company, app: App, account: str) -> None:
        self.firm, self.app, self.account = firm, app, account
        self.desk = firm.desks[account]
        firm.freshdesk.asks_on_solve = False  # this account does not ask by itself ...
        freshdesk_rules.add(firm.freshdesk, ON_UPDATE, THEIRS)  # ... and shows how its survey is sent
        for name in firm.desks:
            list(app.engine.desks[name].setup())
        app.run()

    def begin(self, customer: str = "Mia Maier", **details: Any) -> str:
        """A ticket is rated badly, repaired within the hour and solved."""
        ticket_id = self.firm.solved_ticket(self.account, "Ana", customer, **details)
        self.desk.rate(ticket_id, "bad", "Nobody helped me")
        self.later(2 * MINUTE)
        self.repair(ticket_id, "Ana")
        return ticket_id

    def repair(self, ticket_id: str, agent: str) -> None:
        agent_id = self.firm.agents[self.account, agent]
        self.firm.pass_time(10 * MINUTE)
        self.desk.reply(ticket_id, agent_id, "I am sorry. Here is what I can do for you.")
        self.desk.solve(ticket_id, agent_id)
        self.later(10 * MINUTE)

    def later(self, step: timedelta) -> None:
        self.firm.pass_time(step)
        self.app.run()
        assert self.app.failures == {}

    def until_asked(self) -> Mail:
        """Let two days pass; returns the mail that asks."""
        for _ in range(49):
            self.later(HOUR)
        (mail,) = self.questions()
        return mail

    def questions(self) -> list[Mail]:
        """Return the mails to customers that the bridge caused."""
        return [m for m in self.firm.world.mails if m.kind in ("survey", "question") and m.at > MONDAY + 3 * HOUR]

    @property
    def case(self) -> Case:
        return self.app.store.cases()[0]


@pytest.fixture
def story(tmp_path: Path, flavour: str) -> Iterator[Story]:
    account, options = DESKS[flavour]
    with company(MONDAY, tmp_path, **options) as firm, firm.bridge() as app:
        yield Story(firm, app, account)


WAYS = {
    "legacy": ("question", SurveyWay.LINK),
    "new": ("survey", SurveyWay.HELPDESK),
    "freshdesk": ("survey", SurveyWay.HELPDESK),
    "newer": ("survey", SurveyWay.HELPDESK),
}


@EVERYWHERE
def test_two_days_after_the_repair_the_requester_alone_is_asked(story: Story, flavour: str) -> None:
    ticket_id = story.begin()

    mail = story.until_asked()

    kind, way = WAYS[flavour]
    assert (mail.to, mail.ticket_id, mail.kind) == ("mia.maier@customer.example", ticket_id, kind)
    assert (story.case.stage, story.case.asked_by) == (Stage.SURVEYED, way)


@EVERYWHERE
def test_the_question_stands_in_no_comment_and_on_no_ticket(story: Story, flavour: str) -> None:
    ticket_id = story.begin()
    mail = story.until_asked()
    story.later(HOUR)

    shown = repr([entry for entry in story.firm.world.ledger if entry.what in ("public_comment", "private_note")])
    ticket = story.app.engine.desks[story.account].tickets([ticket_id])[ticket_id]

    assert "survey" not in shown.replace("sr_surveyed", "")
    assert "sr_surveyed" in ticket.tags
    assert {"sr_ask", "sr_ask_survey"}.isdisjoint(ticket.tags)
    assert mail.text not in shown
