"""The verbs of the stories: a company and a bridge beside it, tickets that are rated, people who act, time that passes.

Real connectors against both stand-in helpdesks, in one process; `acme` is the Zendesk, `shop` the Freshdesk account.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.app import App
from bridge.model import Case, Effect, EffectKind, EffectState
from connectors.sandbox.company import Company
from connectors.sandbox.freshdesk_records import Field
from connectors.sandbox.zendesk_people import field_row
from tests.in_process import company

MONDAY = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)  # 09:00 in Berlin; a ticket takes an hour until it is rated
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BOTH = pytest.mark.parametrize("account", ["acme", "shop"])
OF_EFFECTS = {"applied", "adopted", "parked", "superseded", "refused"}
WHOLE_SHARE = ("share_of_rated: 50%", "share_of_rated: 100%")


class Story:
    """One company, its bridge, and one of its accounts."""

    def __init__(self, firm: Company, app: App, account: str) -> None:
        self.firm, self.app, self.account = firm, app, account
        self.desk = firm.desks[account]
        app.run()

    # -------------------------------------------------------------- time
    def later(self, step: timedelta, every: timedelta | None = None) -> None:
        """Let time pass, and cron start the bridge at its end, or *every* so often."""
        left = step
        while left > timedelta():
            passed = min(left, every or left)
            self.firm.pass_time(passed)
            self.app.run()
            assert self.app.failures == {}
            assert self.app.store.orphans() == []
            left -= passed

    def until(self, moment: datetime, every: timedelta | None = None) -> None:
        """Let time pass until a moment."""
        self.later(moment - self.firm.now(), every)

    # -------------------------------------------------------------- people
    def agent(self, name: str) -> str:
        return self.firm.agents[self.account, name]

    def rated(self, comment: str | None = "Nobody helped me", customer: str = "Mia Maier", **details: Any) -> str:
        """Ana solves a ticket within an hour, and the customer rates it badly."""
        reason, category = details.pop("reason", None), details.pop("category", "bad")
        ticket_id = self.firm.solved_ticket(self.account, details.pop("by", "Ana"), customer, **details)
        self.desk.rate(ticket_id, category, comment, reason)
        return ticket_id

    def flagged(self, comment: str | None = "Nobody helped me", customer: str = "Mia Maier", **details: Any) -> str:
        """The bridge sees that two minutes later."""
        ticket_id = self.rated(comment, customer, **details)
        self.later(2 * MINUTE)
        return ticket_id

    def reply(self, ticket_id: str, by: str = "Ana") -> None:
        self.firm.pass_time(5 * MINUTE)
        self.desk.reply(ticket_id, self.agent(by), "I am sorry, here is what we do.")

    def solve(self, ticket_id: str, by: str = "Ana") -> None:
        """Somebody writes to the customer and solves the ticket; the bridge sees it."""
        self.reply(ticket_id, by)
        self.firm.pass_time(MINUTE)
        self.desk.solve(ticket_id, self.agent(by))
        self.later(6 * MINUTE)

    def tag(self, ticket_id: str, *tags: str, by: str = "Ana") -> None:
        """An agent adds tags."""
        self.firm.pass_time(2 * MINUTE)
        if self.account == "acme":
            self.desk.edit(ticket_id, self.agent(by), add_tags=list(tags))
        else:
            there = self.firm.freshdesk.tickets[int(ticket_id)].tags
            self.desk.edit(ticket_id, self.agent(by), tags=[*there, *tags])

    def fill(self, ticket_id: str, field: str, value: str | None, by: str = "Ana") -> None:
        """An agent fills a field of the account's own."""
        self.firm.pass_time(2 * MINUTE)
        named = [{"id": int(field), "value": value}] if self.account == "acme" else {field: value}
        self.desk.edit(ticket_id, self.agent(by), custom_fields=named)

    # -------------------------------------------------------------- what came of it
    @property
    def case(self) -> Case:
        (case,) = self.app.store.cases()
        return case

    def case_on(self, ticket_id: str) -> Case:
        (case,) = [one for one in self.app.store.cases() if one.ticket_id == ticket_id]
        return case

    def happened(self, case: Case | None = None) -> list[str]:
        """Return the decisions about a case, without those about single effects."""
        audits = self.app.store.audits(case_id=(case or self.case).case_id)
        return [audit.what for audit in audits if audit.what not in OF_EFFECTS]

    def why(self, what: str) -> list[str]:
        return [audit.reason for audit in self.app.store.audits() if audit.what == what]

    def alerts(self, state: EffectState | None = EffectState.APPLIED) -> list[Effect]:
        """Return the alerts of all cases that came to this; None: all of them."""
        kept = [one for case in self.app.store.cases() for one in self.app.store.effects_of(case.case_id)]
        return [
            one.effect for one in kept if one.effect.kind is EffectKind.ALERT and (state is None or one.state is state)
        ]

    def told(self) -> list[str | None]:
        return [alert.person for alert in self.alerts()]

    def posted(self, channel: str) -> list[str]:
        """Return what stands in a channel of the staff's chat."""
        return [message["text"] for message in self.firm.chat.posted if message["channel"] == channel]

    def notes(self, ticket_id: str) -> list[str]:
        """Return the private notes of the bridge on a ticket."""
        ledger = self.firm.world.ledger
        ours = (e for e in ledger if e.what == "private_note" and e.actor.startswith("api:"))
        return [str(entry.after) for entry in ours if entry.ticket_id == ticket_id and entry.desk == self.account]

    def holder(self, ticket_id: str) -> str | None:
        return self.app.engine.desks[self.account].tickets([ticket_id])[ticket_id].assignee_id

    def status(self, ticket_id: str) -> str:
        return str(self.app.engine.desks[self.account].tickets([ticket_id])[ticket_id].status)


def text_of(firm: Company, *changes: tuple[str, str]) -> str:
    """Return the company's rules with texts replaced, each of which must be there."""
    text = firm.rules().text
    for before, after in (WHOLE_SHARE, *changes):
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def story_in(folder: Path, account: str, *changes: tuple[str, str], **options: Any) -> Iterator[Story]:
    """Tell a story with changed rules; *options* are those of the desks, such as zendesk={"csat": "new"}."""
    start = options.pop("start", MONDAY)
    with company(start, folder, **options) as firm, told_in(firm, account, *changes) as found:
        yield found


@contextmanager
def told_in(firm: Company, account: str, *changes: tuple[str, str]) -> Iterator[Story]:
    """Tell a story in a company that is there already."""
    with firm.bridge(firm.rules(text_of(firm, *changes))) as app:
        yield Story(firm, app, account)


def own_fields(firm: Company, account: str, *names: str) -> Sequence[str]:
    """Add ticket fields of the account's own; returns what they are called in rules.yaml."""
    if account == "acme":
        for number, name in enumerate(names, 501):
            firm.zendesk.account.fields[number] = field_row("") | {"id": number, "title": name}
        firm.zendesk.account.fields_changed()
        return [str(number) for number, _ in enumerate(names, 501)]
    desk = firm.freshdesk
    for name in names:
        made = Field(desk.next_id(), f"cf_{name}", name, name, "custom_text", desk.now())
        desk.fields[made.id] = made
    return [f"cf_{name}" for name in names]
