"""What the stories of the second question are made of: one customer of one desk, and the bridge on everybody's clock.

Each flavour is one account as the vendors sell it: Zendesk's legacy ratings and new surveys, Freshdesk's old and new.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.app import App
from bridge.model import Case, SurveyWay, Ticket
from bridge.rules import Rules
from bridge.survey_link import SurveyLinks
from connectors.sandbox import freshdesk_rules
from connectors.sandbox.company import RULES, Company
from connectors.sandbox.freshdesk_records import ON_UPDATE
from connectors.sandbox.world import Mail

MONDAY = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)  # 09:00 in Berlin; the ticket below is rated at 10:00
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LINK = re.compile(r"https://recovery\.example\.com/survey/([\w.-]+)")
MIA = "mia.maier@customer.example"
DESKS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "legacy": ("acme", {"zendesk": {"csat": "legacy"}}),
    "new": ("acme", {"zendesk": {"csat": "new"}}),
    "freshdesk": ("shop", {}),
    "newer": ("shop", {"freshdesk": {"csat": "new"}}),
}
CLOSES_LATE = {"legacy": {"close_after": 300}, "new": {"close_after": 300}}  # hours; Freshdesk takes answers for ever
ANSWERS = {"bad": 1, "neutral": 3, "good": 5}  # to our own question
THEIRS = {
    "name": "Survey on request",
    "performer": {"type": 1},
    "events": [{"field_name": "tags", "value": "ask"}],
    "actions": [{"field_name": "send_survey"}],
}
EVERYWHERE = pytest.mark.parametrize("flavour", list(DESKS))
VENDORS = pytest.mark.parametrize("flavour", ["new", "freshdesk"])
Tell = Callable[..., "Story"]


def rules(firm: Company, account: str | None, *changes: tuple[str, str], **settings: str) -> Rules:
    """Return the company's rules with *changes* to the text, for one account or for both."""
    text = RULES.read_text(encoding="utf-8").replace("share_of_rated: 50%", "share_of_rated: 100%")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    other = {"acme": "  shop:", "shop": "  acme:", None: "-"}[account]
    kept = [line for line in text.splitlines(keepends=True) if not line.startswith(other)]
    return firm.rules("".join(kept), **settings)


class Story:
    """One customer of one desk, and the bridge."""

    def __init__(self, firm: Company, app: App, account: str) -> None:
        self.firm, self.app, self.account = firm, app, account
        self.desk: Any = firm.desks[account]
        self.began_at = firm.now()
        self.ticket_id = ""
        firm.freshdesk.asks_on_solve = False  # this account does not ask by itself ...
        freshdesk_rules.add(firm.freshdesk, ON_UPDATE, THEIRS)  # ... and shows how its survey is sent
        for name in app.accounts:
            list(app.engine.desks[name].setup())
        app.run()

    # -------------------------------------------------------------- what people do
    def begin(self, customer: str = "Mia Maier", **details: Any) -> str:
        """A ticket is rated badly, repaired within the hour and solved."""
        self.ticket_id = self.firm.solved_ticket(self.account, "Ana", customer, **details)
        self.desk.rate(self.ticket_id, "bad", "Nobody helped me")
        self.later(2 * MINUTE)
        self.repair("Ana")
        return self.ticket_id

    def repair(self, agent: str, ticket_id: str | None = None) -> None:
        agent_id = self.firm.agents[self.account, agent]
        self.firm.pass_time(10 * MINUTE)
        self.desk.reply(ticket_id or self.ticket_id, agent_id, "I am sorry. Here is what I can do for you.")
        self.desk.solve(ticket_id or self.ticket_id, agent_id)
        self.later(10 * MINUTE)

    def answer(self, category: str, comment: str | None = None, mail: Mail | None = None) -> None:
        """The customer follows the link of the last question; two minutes later the bridge knows."""
        mail = mail or self.questions()[-1]
        if found := LINK.search(mail.text):
            self.answer_ours(found[1], category, comment)
        else:
            self.desk.answer(mail.link, category, comment)
        self.later(2 * MINUTE)

    def answer_ours(self, token: str, category: str, comment: str | None = None) -> bool:
        """What the page behind our own link does."""
        said = self.links.read(token, self.firm.now())
        return self.app.engine.answer(said.case_id, said.attempt, ANSWERS[category], comment)

    def later(self, step: timedelta) -> None:
        self.firm.pass_time(step)
        self.app.run()
        assert self.app.failures == {}, str(self.app.failures)

    def until_due(self) -> None:
        """Let time pass until the bridge is about to ask; it has not run since."""
        self.later(DAY)
        case = self.case
        assert (case.next_step, case.asked_at) == ("ask the customer again", None), self.told()
        assert case.due_at is not None
        self.firm.pass_time(case.due_at - self.firm.now())

    def until_asked(self) -> Mail:
        """Let two days pass; returns the mail that asks."""
        known = len(self.questions())
        self.until_due()
        self.later(MINUTE)
        new = self.questions()[known:]
        assert len(new) == 1, self.told()
        (mail,) = new
        return mail

    def runs(self, count: int = 6, every: timedelta = 10 * MINUTE) -> None:
        for _ in range(count):
            self.later(every)

    # -------------------------------------------------------------- what there is to see
    def questions(self) -> list[Mail]:
        """Return the mails to customers that the bridge caused."""
        begun = self.began_at + 3 * HOUR
        return [m for m in self.firm.world.mails if m.kind in ("survey", "question") and m.at > begun]

    @property
    def links(self) -> SurveyLinks:
        assert self.app.delivery.asker.links is not None
        return self.app.delivery.asker.links

    @property
    def case(self) -> Case:
        return self.app.store.cases()[0]

    @property
    def ticket(self) -> Ticket:
        return self.app.engine.desks[self.account].tickets([self.ticket_id])[self.ticket_id]

    @property
    def way(self) -> SurveyWay | None:
        return self.case.asked_by

    @property
    def notes(self) -> list[str]:
        """Return the private notes that the bridge wrote."""
        ledger = self.firm.world.ledger
        return [str(e.after) for e in ledger if e.what == "private_note" and e.actor.startswith("api:")]

    def asking_effects(self) -> list[str]:
        """Return what became of the effects that ask."""
        effects = self.app.store.effects_of(self.case.case_id)
        return [str(one.state) for one in effects if one.effect.way]

    def statuses(self, since: datetime) -> list[tuple[str, Any]]:
        """Return who changed the status of a ticket to what, from *since* on: "us" or the actor."""
        mine = [e for e in self.firm.world.ledger if e.ticket_id == self.ticket_id and e.at >= since]
        return [("us" if e.actor.startswith("api:") else e.actor, e.after) for e in mine if e.what == "status"]

    def told(self) -> str:
        """Return what the bridge put down about the case and its effects, for a test that fails."""
        case, store = self.case, self.app.store
        now = f"{case.stage} {case.outcome} asked {case.asked_at} {case.asked_by} not {case.not_asked} {case.next_step}"
        audits = [f"{one.at:%d %H:%M} {one.what}: {one.reason}" for one in store.audits(case_id=case.case_id)]
        effects = [f"{one.effect.step} {one.state} {one.error or ''}" for one in store.effects_of(case.case_id)]
        return "\n".join(["", now, *reversed(audits), *effects])
