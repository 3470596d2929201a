"""The Freshdesk stand-in: what people do there, and what the account does by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.freshdesk_records import CLOSED, OPEN, RESOLVED, Ticket
from connectors.sandbox.world import Desk, World
from connectors.sandbox.wsgi import Refusal

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Shop:
    """A desk with one group, two agents and a customer with one ticket."""

    def __init__(self, **options: Any) -> None:
        self.world = World(START)
        self.desk = FreshdeskDesk(self.world, "shop", **options)
        self.team = self.desk.add_group("Support")
        self.ann = self.desk.add_agent("Ann", "ann@shop.example", [self.team])
        self.ben = self.desk.add_agent("Ben", "ben@shop.example", [self.team])
        self.cora = self.desk.add_customer("Cora", "cora@mail.example", tags=["vip"])
        self.ticket_id = self.desk.open_ticket(self.cora, "Lamp", "It is broken.", assignee=self.ann, group=self.team)
        self.world.mails.clear()

    @property
    def ticket(self) -> Ticket:
        return self.desk.tickets[int(self.ticket_id)]

    def after(self, step: timedelta) -> None:
        self.world.clock.advance(step)
        self.desk.pass_time(step)

    def mails(self, to: str = "") -> list[str]:
        return [mail.kind for mail in self.world.mails if mail.to.startswith(to)]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_it_keeps_the_contract_of_desks(shop: Shop) -> None:
    desk: Desk = shop.desk

    assert desk.name == "shop"


def test_a_new_ticket_is_confirmed_to_its_customer(shop: Shop) -> None:
    shop.desk.open_ticket(shop.cora, "Another", "Hello")

    assert shop.mails("cora") == ["request_received"]


@pytest.mark.parametrize("details", [{"channel": "outbound"}, {"by": "ann"}])
def test_tickets_that_the_staff_begins_are_not_confirmed(shop: Shop, details: dict[str, str]) -> None:
    shop.desk.open_ticket(shop.cora, "News", "We write to you", **details)

    assert shop.mails("cora") == []


def test_an_assignee_is_told_unless_they_took_it_themselves(shop: Shop) -> None:
    shop.desk.assign(shop.ticket_id, shop.ben, by=shop.ann)
    shop.desk.assign(shop.ticket_id, shop.ann, by=shop.ann)

    assert shop.mails() == ["assigned"]
    assert shop.world.mails[0].to == "ben@shop.example"


def test_a_ticket_given_to_an_agent_of_another_group_moves_there(shop: Shop) -> None:
    leads = shop.desk.add_group("Leads")
    lea = shop.desk.add_agent("Lea", "lea@shop.example", [leads])

    shop.desk.assign(shop.ticket_id, lea, by=shop.ann)

    assert shop.ticket.group_id == int(leads)


def test_a_reply_reaches_the_customer_and_is_counted(shop: Shop) -> None:
    shop.desk.reply(shop.ticket_id, shop.ann, "Sorry <3")

    assert shop.mails() == ["reply"]
    assert shop.ticket.stats["agent_responded_at"] == START
    assert shop.ticket.conversations[0].body == "<div>Sorry &lt;3</div>"


def test_replies_on_outbound_tickets_are_not_counted(shop: Shop) -> None:
    ticket_id = shop.desk.open_ticket(shop.cora, "News", "We write", channel="outbound")

    shop.desk.reply(ticket_id, shop.ann, "Hello")

    assert shop.desk.tickets[int(ticket_id)].stats["first_responded_at"] is None


def test_private_notes_reach_nobody(shop: Shop) -> None:
    shop.desk.private_note(shop.ticket_id, shop.ann, "Careful")

    assert shop.mails() == []


def test_resolving_tells_the_customer_and_asks_how_it_was(shop: Shop) -> None:
    shop.desk.solve(shop.ticket_id, shop.ann)

    assert shop.mails() == ["solved", "survey"]


def test_an_account_without_surveys_sends_none_and_takes_no_rating() -> None:
    shop = Shop(csat="none")
    shop.desk.solve(shop.ticket_id, shop.ann)

    assert shop.mails() == ["solved"]
    with pytest.raises(Refusal):
        shop.desk.rate(shop.ticket_id, "bad")


def test_resolved_tickets_are_closed_after_four_days_by_the_hourly_rule(shop: Shop) -> None:
    shop.desk.solve(shop.ticket_id, shop.ann)
    shop.after(4 * DAY)
    assert shop.ticket.status == RESOLVED

    shop.after(2 * HOUR)

    assert shop.ticket.status == CLOSED
    assert shop.ticket.stats["closed_at"] == START + 4 * DAY + HOUR
    assert shop.world.ledger[-1].actor == "rule:Close resolved tickets after 4 days"


def test_closing_by_rule_is_mailed_to_nobody_and_by_an_agent_to_the_customer(shop: Shop) -> None:
    other = shop.desk.open_ticket(shop.cora, "Bulb", "Broken too", status="solved")
    shop.world.mails.clear()

    shop.desk.edit(shop.ticket_id, by=shop.ann, status="closed")
    shop.after(5 * DAY)

    assert shop.mails() == ["closed"]
    assert shop.desk.tickets[int(other)].status == CLOSED


def test_hourly_rules_leave_alone_what_has_not_changed_for_30_days(shop: Shop) -> None:
    shop.desk.solve(shop.ticket_id, shop.ann)
    shop.world.clock.advance(31 * DAY)

    shop.desk.pass_time(DAY)

    assert shop.ticket.status == RESOLVED


def test_opening_again_forgets_when_it_was_resolved_unless_told(shop: Shop) -> None:
    shop.desk.solve(shop.ticket_id, shop.ann)
    shop.desk.edit(shop.ticket_id, by=shop.ann, status="open")
    assert shop.ticket.stats["resolved_at"] is None

    shop.desk.reopening_clears_resolved_at = False
    shop.desk.solve(shop.ticket_id, shop.ann)
    shop.desk.edit(shop.ticket_id, by=shop.ann, status="open")

    assert shop.ticket.stats["resolved_at"] == START


def test_an_edit_that_changes_nothing_leaves_no_trace(shop: Shop) -> None:
    entries = len(shop.world.ledger)
    shop.after(HOUR)

    shop.desk.edit(shop.ticket_id, by=shop.ann, status="open", tags=[])

    assert shop.ticket.updated_at == START
    assert len(shop.world.ledger) == entries


def test_closing_by_rule_happens_at_its_hour_within_a_longer_step(shop: Shop) -> None:
    shop.desk.solve(shop.ticket_id, shop.ann)

    shop.after(20 * DAY)

    assert shop.ticket.stats["closed_at"] == START + 4 * DAY + HOUR


@pytest.mark.parametrize("status", ["solved", "closed"])
def test_a_customers_reply_opens_the_ticket_again(shop: Shop, status: str) -> None:
    shop.desk.edit(shop.ticket_id, by=shop.ann, status=status)

    shop.desk.customer_replies(shop.ticket_id, "No!")

    assert shop.ticket.status == OPEN
    assert shop.ticket.stats["reopened_at"] == START
    assert shop.mails("ann") == ["comment"]


def test_a_closed_ticket_is_archived_after_120_quiet_days(shop: Shop) -> None:
    shop.desk.edit(shop.ticket_id, by=shop.ann, status="closed")
    shop.after(119 * DAY)
    assert not shop.ticket.archived

    shop.after(1 * DAY)

    assert shop.ticket.archived
    with pytest.raises(Refusal):
        shop.desk.edit(shop.ticket_id, by=shop.ann, tags=["late"])


def test_mail_to_an_archived_ticket_begins_a_new_one(shop: Shop) -> None:
    shop.ticket.archived = True

    shop.desk.customer_replies(shop.ticket_id, "Hello again")

    assert len(shop.desk.tickets) == 2


def test_a_rating_keeps_responder_and_group_of_its_moment(shop: Shop) -> None:
    shop.desk.rate(shop.ticket_id, "bad", "Too slow")
    shop.desk.assign(shop.ticket_id, shop.ben, by=shop.ann)

    answer = shop.desk.answers[0]
    assert (answer.agent_id, answer.group_id, answer.value) == (int(shop.ann), int(shop.team), -103)


def test_feedback_is_said_on_the_ticket_and_does_not_open_it(shop: Shop) -> None:
    shop.desk.solve(shop.ticket_id, shop.ann)

    shop.desk.rate(shop.ticket_id, "bad", "Too slow")

    said = shop.ticket.conversations[-1]
    assert (said.source, said.category, said.private, said.incoming) == (6, 7, False, True)
    assert shop.ticket.stats["requester_responded_at"] == START
    assert shop.ticket.status == RESOLVED


def test_a_second_rating_stands_beside_the_first(shop: Shop) -> None:
    first = shop.desk.rate(shop.ticket_id, "bad")

    second = shop.desk.rate(shop.ticket_id, "good")

    assert first != second
    assert [answer.value for answer in shop.desk.answers] == [-103, 103]


def test_the_newer_api_changes_the_first_rating() -> None:
    shop = Shop(csat="new", points=5)
    first = shop.desk.rate(shop.ticket_id, "bad")

    assert shop.desk.rate(shop.ticket_id, "good") == first
    assert [answer.value for answer in shop.desk.answers] == [5]


@pytest.mark.parametrize(
    ("csat", "points", "codes"),
    [
        ("classic_codes", 2, [-103, None, 103]),
        ("classic_codes", 7, [-103, 100, 103]),
        ("classic_123", 3, [3, 2, 1]),
        ("new", 5, [1, 3, 5]),
    ],
)
def test_each_scale_has_codes_of_its_own(csat: str, points: int, codes: list[int | None]) -> None:
    desk = Shop(csat=csat, points=points).desk

    for category, code in zip(("bad", "neutral", "good"), codes, strict=True):
        if code is None:
            with pytest.raises(ValueError, match="no neutral"):
                desk.code(category)
        else:
            assert desk.code(category) == code


def test_an_agent_who_leaves_loses_every_ticket(shop: Shop) -> None:
    shop.desk.solve(shop.ticket_id, shop.ann)

    shop.desk.remove_agent(shop.ann)

    assert shop.ticket.responder_id is None
    assert int(shop.ann) in shop.desk.contacts


def test_a_deactivated_agent_loses_only_what_is_in_work(shop: Shop) -> None:
    done = shop.desk.open_ticket(shop.cora, "Old", "Old", assignee=shop.ann, status="solved")

    shop.desk.deactivate_agent(shop.ann)

    assert shop.ticket.responder_id is None
    assert shop.desk.tickets[int(done)].responder_id == int(shop.ann)


def test_a_merged_ticket_is_closed_without_a_word_to_the_customer(shop: Shop) -> None:
    other = shop.desk.open_ticket(shop.cora, "Same", "Same")
    shop.world.mails.clear()

    shop.desk.merge(shop.ticket_id, other, by=shop.ann)

    assert (shop.ticket.status, shop.ticket.merged_into) == (CLOSED, int(other))
    assert shop.mails("cora") == []


@pytest.mark.parametrize("verb", ["delete", "mark_spam"])
def test_deleted_and_spam_tickets_refuse_agents(shop: Shop, verb: str) -> None:
    getattr(shop.desk, verb)(shop.ticket_id, by=shop.ann)

    with pytest.raises(Refusal) as no:
        shop.desk.reply(shop.ticket_id, shop.ann, "Hello")
    assert no.value.status == 405


def test_the_ledger_speaks_the_words_of_both_helpdesks(shop: Shop) -> None:
    shop.world.ledger.clear()

    shop.desk.edit(shop.ticket_id, by=shop.ann, status="solved", priority="urgent", tags=["a"])
    shop.desk.assign(shop.ticket_id, None, by=shop.ben)

    assert [(entry.actor, entry.what, entry.before, entry.after) for entry in shop.world.ledger] == [
        (shop.ann, "status", "open", "solved"),
        (shop.ann, "priority", "low", "urgent"),
        (shop.ann, "tags", [], ["a"]),
        (shop.ben, "assignee", shop.ann, None),
    ]


def test_ratings_in_bulk_disturb_nobody(shop: Shop) -> None:
    entries = len(shop.world.ledger)

    tickets = shop.desk.add_ratings_in_bulk(1000, tickets=50, bad=0.2)

    assert len(tickets) == 50
    assert sum(answer.value < 0 for answer in shop.desk.answers) == 200
    assert shop.mails() == []
    assert len(shop.world.ledger) == entries
