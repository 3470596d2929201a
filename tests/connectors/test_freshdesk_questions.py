"""The second question over real HTTP, against the stand-in: setup, mails, lost answers, and what is left on tickets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from freshdesk_account import Account, close_all, write_of, written
from memory import NOON

from bridge.connector import Asking, Needs
from bridge.model import (
    Category,
    Change,
    DeedKind,
    EffectKind,
    Question,
    Sending,
    Status,
    Ticket,
    Verdict,
    Watched,
    Written,
)
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.server import serve
from connectors.sandbox.world import Fault, Mail, World

LINK = "https://answers.example.com/q/SECRET"
QUESTION = Question(f"Have we made it right?\n\n{LINK}", adds_survey=False)
SURVEY = Question("Have we made it right?", adds_survey=True)
TAGGED = Change(add_tags=("sr_surveyed",))
AGAIN = Change(add_tags=("sr_surveyed",), solve_again=True)
OURS = "[recovery-bridge] "
THEIRS = {
    "name": "Survey after complaints",
    "performer": {"type": 1},
    "events": [{"field_name": "status", "from": "--", "to": "5"}],
    "actions": [{"field_name": "send_survey"}],
}


class Shop:
    """A desk that shows how it sends surveys, a solved ticket of Mia, and the connector, set up."""

    def __init__(self, desk: FreshdeskDesk, url: str) -> None:
        self.desk = desk
        self.account = Account(url=url, needs=Needs(surveys=True, survey_mail=True, requests=True))
        self.freshdesk = self.account.freshdesk
        self.account.http.write("POST", "/api/v2/automations/4/rules", THEIRS)
        self.steps = list(self.freshdesk.setup())
        self.group = desk.add_group("Support")
        self.ana = desk.add_agent("Ana", "ana@example.com", [self.group])
        self.mia = desk.add_customer("Mia", "mia@example.com")
        self.ticket = self.solved()
        self.later()
        desk.requests.clear()
        desk.world.mails.clear()

    def solved(self) -> str:
        ticket = self.desk.open_ticket(self.mia, "Lost parcel", "Where is it?", group=self.group, assignee=self.ana)
        self.desk.solve(ticket, self.ana)
        return ticket

    def later(self, **step: float) -> None:
        passed = timedelta(**(step or {"minutes": 30}))
        self.desk.world.clock.advance(passed)
        self.account.memory.advance(passed)
        self.desk.pass_time(passed)

    def read(self, ticket: str = "") -> Ticket:
        return self.freshdesk.tickets([ticket or self.ticket])[ticket or self.ticket]

    def ask(self, question: Question | None = QUESTION, change: Change = TAGGED, **how: Any) -> Any:
        how = {"kind": EffectKind.SURVEY} | how
        return written(self.freshdesk.write([write_of(self.read(), change, question=question, **how)]))

    def breaks(self, kind: str, **where: Any) -> None:
        self.desk.faults.append(Fault(kind, **where))

    @property
    def shown(self) -> Any:
        return self.desk.tickets[int(self.ticket)]

    @property
    def mails(self) -> list[Mail]:
        """The mails to Mia that our rules sent."""
        return [mail for mail in self.desk.world.mails if mail.rule.startswith(OURS)]


@pytest.fixture(autouse=True)
def connections_end() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def shop() -> Iterator[Shop]:
    desk = FreshdeskDesk(World(NOON))
    desk.notifications.discard("survey")
    with serve(desk) as url:
        yield Shop(desk, url)
        desk.notifications.add("survey")


# ------------------------------------------------------------------ setup
def test_after_setup_customers_can_be_asked(shop):
    assert [step.state for step in shop.steps] == ["created"] * 4
    assert shop.freshdesk.asking() == Asking(asks_on_solve=True)  # by the rule of theirs


def test_setup_done_again_changes_nothing(shop):
    assert {step.state for step in shop.freshdesk.setup()} == {"present"}
    assert {request.method for request in shop.desk.requests} == {"GET"}


def test_setup_is_undone_without_a_trace(shop):
    list(shop.freshdesk.setup(remove=True))

    assert [rule.name for rule in shop.desk.rules.values() if rule.name.startswith(OURS)] == []
    assert THEIRS["name"] in [rule.name for rule in shop.desk.rules.values()]
    assert shop.desk.fields == {}


def test_a_key_without_the_role_is_told_so(shop):
    shop.desk.key_is_admin = False

    assert "give its agent the role Administrator" in shop.freshdesk.asking(fresh=True).own


# ------------------------------------------------------------------ one question
def test_the_requester_alone_gets_the_words_and_the_link(shop):
    assert shop.ask().verdict is Verdict.APPLIED

    [mail] = shop.desk.world.mails
    assert (mail.to, mail.subject, mail.link) == ("mia@example.com", "Re: Lost parcel", LINK)
    assert "Have we made it right?\n\n" in mail.text


def test_the_link_stays_on_no_ticket_and_in_no_conversation(shop):
    shop.ask()

    assert shop.shown.tags == ["sr_surveyed"]
    assert shop.shown.custom_fields == {"cf_sr_ref": "sr-e1", "cf_sr_survey_text": None}
    assert shop.shown.conversations == []


def test_a_survey_of_the_helpdesk_is_answered_beside_the_first_rating(shop):
    shop.desk.notifications.add("survey")
    shop.desk.rate(shop.ticket, "bad")
    shop.ask(SURVEY)
    shop.later()

    survey = next(mail for mail in shop.mails if mail.kind == "survey")
    shop.desk.answer(survey.link, "good")

    assert [rating.category for rating in shop.freshdesk.ratings_of(shop.ticket)] == [Category.BAD, Category.GOOD]


def test_a_reminder_asks_a_second_time_and_no_more(shop):
    shop.ask()
    shop.later(days=3)
    shop.ask(effect_id="e2")

    assert len(shop.mails) == 2


def test_a_rule_that_is_gone_is_noticed_before_the_reminder(shop):
    for rule in [rule for rule in shop.desk.rules.values() if rule.name.startswith(OURS)]:
        del shop.desk.rules[rule.id]
    shop.ask()
    shop.later(days=3)

    assert "still has the tag sr_ask" in shop.ask(effect_id="e2").why


@pytest.mark.parametrize("kind", ["lost", "reset"])
def test_whatever_breaks_the_customer_is_asked_once(shop, kind):
    shop.breaks(kind, method="PUT")
    assert shop.ask().verdict is Verdict.UNKNOWN

    verdicts = [shop.ask(repeat=True).verdict for _ in range(3)]

    assert set(verdicts) <= {Verdict.APPLIED, Verdict.ADOPTED}
    assert len(shop.mails) == 1


def test_the_mark_of_a_later_write_does_not_ask_again(shop):
    shop.desk.rules_clear_fields = False
    shop.ask()
    shop.later()

    shop.ask(None, Change(add_tags=("sr_x",), note="Answered."), kind=EffectKind.UPDATE, effect_id="e2")

    assert len(shop.mails) == 1
    assert shop.shown.custom_fields["cf_sr_survey_text"] is None
    assert shop.shown.tags == ["sr_surveyed", "sr_x"]


# ------------------------------------------------------------------ solved again
def test_a_ticket_is_solved_again_and_its_customer_asked(shop):
    assert shop.ask(change=AGAIN).verdict is Verdict.APPLIED

    assert (shop.shown.status, shop.shown.stats["reopened_at"]) == (4, shop.desk.now())
    assert [mail.link for mail in shop.mails] == [LINK]
    assert [f"{r.method} {r.path[8:]}" for r in shop.desk.requests if r.path.endswith("tickets/1")] == [
        "GET tickets/1",
        "GET tickets/1",
        "PUT tickets/1",
        "GET tickets/1",
        "PUT tickets/1",
    ]


def test_a_required_field_leaves_it_open_and_nobody_is_asked(shop):
    shop.desk.required_for_closure.add("ticket_type")

    result = shop.ask(change=AGAIN)

    assert (result.verdict, "type: " in result.why, shop.shown.status) == (Verdict.REFUSED, True, 2)
    assert shop.mails == []


@pytest.mark.parametrize("kind", ["lost", "reset"])
@pytest.mark.parametrize("skip", [0, 1])
def test_whatever_breaks_it_is_solved_in_the_end_and_asked_about_once(shop, kind, skip):
    news = shop.freshdesk.write([write_of(shop.read(), AGAIN, question=QUESTION)])
    for _ in range(skip + 1):
        next(news)
    shop.breaks(kind, method="PUT")
    assert written(news).verdict is Verdict.UNKNOWN
    shop.later()

    result = shop.ask(change=AGAIN, repeat=True)

    assert result.verdict in (Verdict.APPLIED, Verdict.ADOPTED)
    assert (shop.shown.status, len(shop.mails)) == (4, 1)


def reopened(shop: Shop) -> None:
    """Reopen the ticket to ask again; whether that happened stays unknown."""
    news = shop.freshdesk.write([write_of(shop.read(), AGAIN, question=QUESTION)])
    next(news)
    shop.breaks("lost", method="PUT")
    assert written(news).verdict is Verdict.UNKNOWN


def test_who_begins_to_work_on_it_meanwhile_keeps_it_open(shop):
    reopened(shop)
    shop.later()
    shop.desk.reply(shop.ticket, shop.ana, "One more idea")

    result = shop.ask(change=AGAIN, repeat=True)

    assert result.verdict is Verdict.REFUSED  # for good: nothing would change if we looked again
    assert "worked on; nobody was asked, it stays open" in result.why
    assert (shop.shown.status, shop.mails) == (2, [])


def test_who_takes_it_at_once_keeps_it_however_late_we_look(shop):
    decided = write_of(shop.read(), AGAIN, question=QUESTION, repeat=True)
    reopened(shop)
    ben = shop.desk.add_agent("Ben", "ben@example.com", [shop.group])
    shop.desk.assign(shop.ticket, ben, ben)
    shop.later()

    results = [written(shop.freshdesk.write([replace(decided, ticket=shop.read())])) for _ in range(2)]

    assert {result.verdict for result in results} == {Verdict.REFUSED}
    assert (shop.shown.status, shop.mails) == (2, [])


def test_a_ticket_that_cannot_be_read_again_is_tried_a_few_times_only(shop):
    reopened(shop)
    shop.later()
    news = shop.freshdesk.write([write_of(shop.read(), AGAIN, question=QUESTION, repeat=True)])

    first = next(news)
    shop.breaks("reset", method="GET", times=9)

    assert isinstance(first, Sending)  # it is the intents that are counted
    assert written(news).verdict is Verdict.UNKNOWN


def test_our_own_question_is_nobodys_deed(shop):
    watched = Watched(shop.ticket, shop.read().stamp, shop.desk.now())
    shop.later()
    shop.ask()
    [seen] = shop.freshdesk.activity([watched])
    shop.later(seconds=20)
    shop.desk.edit(shop.ticket, "system", custom_fields={"cf_sr_survey_text": ""})  # a rule that takes its time
    [later] = shop.freshdesk.activity([Watched(shop.ticket, seen.ticket.stamp, seen.ticket.updated_at)])

    assert (seen.deeds, later.deeds) == ((), ())


# ------------------------------------------------------------------ a new ticket
@pytest.mark.parametrize(("kind", "method"), [("lost", "POST"), ("reset", "POST"), ("lost", "PUT"), ("reset", "PUT")])
def test_a_new_ticket_carries_the_question_once_whatever_breaks(shop, kind, method):
    shop.shown.archived = True
    before = len(shop.desk.tickets)
    shop.breaks(kind, method=method)
    how = {"kind": EffectKind.FOLLOW_UP, "change": Change(add_tags=("sr_surveyed",), note="It is solved already.")}

    assert shop.ask(**how).verdict is Verdict.UNKNOWN
    results = [shop.ask(**how, repeat=True) for _ in range(2)]

    new = shop.desk.tickets[int(results[-1].ticket_id)]
    assert (len(shop.desk.tickets), new.status, new.tags) == (before + 1, 4, ["sr_surveyed"])
    assert [mail.ticket_id for mail in shop.mails] == [results[-1].ticket_id]
    assert len(new.conversations) == 1


def test_a_question_on_a_new_ticket_that_cannot_be_read_is_tried_a_few_times_only(shop):
    shop.shown.archived = True
    how = {"kind": EffectKind.FOLLOW_UP, "change": TAGGED}
    shop.breaks("reset", method="PUT")
    new = shop.ask(**how).ticket_id
    shop.breaks("reset", method="GET", path=f"/tickets/{new}", times=9)

    news = list(shop.freshdesk.write([write_of(shop.read(), question=QUESTION, repeat=True, **how)]))

    assert [type(item) for item in news] == [Sending, Written]


# ------------------------------------------------------------------ requests, and tickets that are gone
def test_requests_are_open_or_resolved_tickets_with_the_tag(shop):
    tickets = [shop.solved() for _ in range(5)]
    for ticket in tickets:
        shop.desk.edit(ticket, shop.ana, tags=["sr_request"])
    shop.desk.edit(tickets[0], shop.ana, status="open")
    shop.desk.edit(tickets[1], shop.ana, status="pending")
    shop.desk.edit(tickets[3], shop.ana, status="closed")
    shop.desk.delete(tickets[4], by=shop.ana)
    shop.desk.requests.clear()

    assert shop.freshdesk.requests() == tickets[:3]
    assert [request.path for request in shop.desk.requests] == ["/api/v2/search/tickets"]


def test_a_ticket_that_was_merged_says_into_which(shop):
    other = shop.solved()
    watched = Watched(shop.ticket, shop.read().stamp, shop.desk.now())
    shop.later()
    shop.desk.merge(shop.ticket, other, by=shop.ana)

    [seen] = shop.freshdesk.activity([watched])

    assert (seen.ticket.status, seen.ticket.merged_into) == (Status.MERGED, other)


def test_the_ticket_that_others_were_merged_into_goes_on(shop):
    other = shop.solved()
    watched = Watched(shop.ticket, shop.read().stamp, shop.desk.now())
    shop.later()
    shop.desk.merge(other, shop.ticket, by=shop.ana)
    shop.desk.edit(shop.ticket, shop.ana, status="closed")

    [seen] = shop.freshdesk.activity([watched])

    assert (seen.ticket.status, seen.ticket.merged_into) == (Status.SOLVED, None)
    assert DeedKind.EDITED in [deed.kind for deed in seen.deeds]
