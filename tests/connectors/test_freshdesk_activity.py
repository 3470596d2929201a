"""What the Freshdesk connector says that people did to watched tickets: tables of records, and the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import responses
from freshdesk_account import API, Account, close_all, write_of, written
from memory import NOON

from bridge.errors import BadRecord
from bridge.model import Change, Deed, DeedKind, Status, Ticket, Verdict, Watched
from connectors.freshdesk.activity import deeds
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.server import serve
from connectors.sandbox.world import World

EDITED, REPLIED, SOLVED = DeedKind.EDITED, DeedKind.REPLIED, DeedKind.SOLVED
REOPENED, CUSTOMER_WROTE = DeedKind.REOPENED, DeedKind.CUSTOMER_WROTE
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    """So many minutes after noon, when the ticket was last read."""
    return NOON + minutes * MINUTE


def text(minutes: float | None) -> str | None:
    return None if minutes is None else f"{at(minutes):%Y-%m-%dT%H:%M:%SZ}"


def row(updated: float, *, status: int = 2, stats: dict[str, float | None] | None = None, **more: Any) -> Any:
    times = {name: text(minutes) for name, minutes in (stats or {}).items()}
    return {"id": 7, "status": status, "created_at": text(-9999), "updated_at": text(updated), "stats": times} | more


def talk(minutes: float, **more: Any) -> Any:
    """A public reply of agent 9, unless it is told otherwise."""
    return {"id": 1, "source": 0, "category": 3, "incoming": False, "private": False, "user_id": 9,
            "automation_id": None, "auto_response": False, "body": "<div>Hi</div>", "body_text": "Hi",
            "created_at": text(minutes)} | more  # fmt: skip


NOTE = {"source": 2, "category": 2, "private": True}
OURS = NOTE | {"body_text": "Please write to Mia.\n\nref sr-e1"}


# ------------------------------------------------------------------ what somebody said
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, [(REPLIED, "9")]),
        ({"source": 5}, [(REPLIED, "9")]),
        ({"automation_id": 3}, []),
        ({"auto_response": True}, []),
        ({"user_id": None}, []),
        (NOTE, [(EDITED, "9")]),
        (NOTE | {"private": False}, [(EDITED, "9")]),  # merging leaves public notes: not yet a word to the customer
        ({"source": 8}, [(EDITED, "9")]),  # forwarded to somebody else
        (OURS, []),
        (NOTE | {"body_text": None, "body": "<div>Call.<br><br>ref sr-4af0-1</div>"}, []),
        (NOTE | {"body_text": "see ref sr-e1 above"}, [(EDITED, "9")]),
        ({"body_text": "Your number is ref sr-e1"}, [(REPLIED, "9")]),  # we write no replies
        ({"incoming": True, "user_id": 8}, [(CUSTOMER_WROTE, None)]),
        ({"incoming": True, "source": 7}, [(CUSTOMER_WROTE, None)]),
        ({"incoming": True, "auto_response": True}, []),
        ({"incoming": True, "private": True}, []),  # the answer to a forwarded mail
        ({"incoming": True, "source": 6, "category": 7}, []),
    ],
)
def test_what_is_said_on_a_ticket_is_told_by_who_said_it(said, expected):
    found = deeds(row(5), [talk(5, **said)], NOON)

    assert found == tuple(Deed(kind, at(5), who) for kind, who in expected)


def test_what_was_said_before_is_known():
    assert deeds(row(-5), [talk(-6), talk(-5)], NOON) == ()


def test_a_deed_at_the_moment_of_the_last_reading_is_told_rather_than_lost():
    assert deeds(row(0), [talk(0)], NOON) == (Deed(REPLIED, NOON, "9"),)


def test_deeds_come_oldest_first_whatever_the_order_of_the_list():
    found = deeds(row(9), [talk(9, **NOTE), talk(3), talk(6, incoming=True)], NOON)

    assert [(deed.kind, deed.at) for deed in found] == [(REPLIED, at(3)), (CUSTOMER_WROTE, at(6)), (EDITED, at(9))]


# ------------------------------------------------------------------ solved and reopened
@pytest.mark.parametrize(
    ("status", "stats", "expected"),
    [
        (4, {"resolved_at": 5}, [(SOLVED, 5)]),
        (5, {"resolved_at": 5, "closed_at": 5}, [(SOLVED, 5)]),
        (5, {"resolved_at": None, "closed_at": 5}, [(SOLVED, 5)]),
        (5, {"resolved_at": -99, "closed_at": 5}, []),  # the account closed what had been solved before
        (5, {"resolved_at": -99, "reopened_at": -9, "closed_at": 5}, [(SOLVED, 5)]),
        (4, {"resolved_at": 5, "reopened_at": 2}, [(REOPENED, 2), (SOLVED, 5)]),
        (2, {"resolved_at": None, "reopened_at": 5}, [(REOPENED, 5)]),
        (2, {"resolved_at": 3, "reopened_at": 5}, [(REOPENED, 5)]),
        (2, {"resolved_at": -9, "reopened_at": -5, "requester_responded_at": 5}, []),
    ],
)
def test_solved_and_reopened_are_told_by_the_stats(status, stats, expected):
    found = deeds(row(5, status=status, stats=stats), [], NOON)

    assert [(deed.kind, deed.at) for deed in found] == [(kind, at(minutes)) for kind, minutes in expected]


def test_what_we_reopen_nobody_has_reopened():
    assert deeds(row(5, stats={"reopened_at": 5}), [talk(5.02, **OURS)], NOON, [at(5.02)]) == ()


# ------------------------------------------------------------------ an edit that nothing else explains
@pytest.mark.parametrize(
    ("changed", "said", "is_edit"),
    [
        (row(5), [], True),
        (row(5, status=3, stats={"status_updated_at": 5, "pending_since": 5}), [], True),
        (row(5), [talk(5)], False),
        (row(5), [talk(2)], True),  # two minutes after a reply
        (row(5), [talk(5, **OURS)], False),
        (row(5), [talk(2, **OURS)], True),
        (row(5), [talk(4.9, source=6, category=7, incoming=True)], False),
        (row(5, stats={"requester_responded_at": 4.9}), [], False),  # a survey answer without a word
        (row(5, stats={"requester_responded_at": 2}), [], True),
        (row(5, is_escalated=True, due_by=text(-10)), [], False),
        (row(5, fr_escalated=True, fr_due_by=text(5)), [], False),
        (row(5, is_escalated=True, due_by=text(-900)), [], True),  # it was late long before
        (row(5, is_escalated=False, due_by=text(5)), [], True),
        (row(5, nr_escalated=True, nr_due_by=None), [], True),
        (row(5, created_at=text(5)), [], False),
        (row(-1), [], False),  # known
    ],
)
def test_a_change_that_nothing_else_explains_is_an_edit_by_somebody(changed, said, is_edit):
    found = [deed for deed in deeds(changed, said, NOON) if deed.agent_id is None and deed.kind is EDITED]

    assert found == ([Deed(EDITED, at(5))] if is_edit else [])


# ------------------------------------------------------------------ merged
@pytest.mark.parametrize(
    ("status", "note", "into"),
    [
        (5, NOTE | {"body_text": "This ticket is closed and merged into ticket 12"}, "12"),
        (5, NOTE | {"body_text": None, "body": 'closed and merged into ticket <a href="/a/tickets/12">12</a>'}, "12"),
        (5, NOTE | {"body_text": "Closed. Perhaps to be merged into ticket 12?"}, None),
        (4, NOTE | {"body_text": "This ticket is closed and merged into ticket 12"}, None),  # opened and solved since
        (5, {"body_text": "This ticket is closed and merged into ticket 12"}, None),  # said to the customer
    ],
)
def test_a_closed_ticket_with_the_note_of_a_merge_is_merged(status, note, into):
    with responses.RequestsMock() as wire:
        wire.get(f"{API}/tickets", json=[row(5, status=status)])
        wire.get(f"{API}/tickets/7/conversations", json=[talk(5, **note)])

        [seen] = Account().freshdesk.activity([Watched("7", "", NOON)])

    assert (seen.ticket.merged_into, seen.ticket.status is Status.MERGED) == (into, into is not None)


# ------------------------------------------------------------------ trouble
def test_a_ticket_that_cannot_be_read_does_not_hide_the_others():
    tickets = [{"id": n, "status": 2, "updated_at": text(n), "custom_fields": {}} for n in (1, 2)]
    del tickets[0]["status"]
    with responses.RequestsMock() as wire:
        wire.get(f"{API}/tickets", json=tickets)
        wire.get(f"{API}/tickets/2/conversations", json=[])
        found = Account().freshdesk.activity([Watched("1", "", NOON), Watched("2", "", NOON)])

        assert next(found).ticket.ticket_id == "2"
        with pytest.raises(BadRecord, match="ticket 1"):
            next(found)


def test_the_next_page_begins_a_second_before_the_last_ticket_of_this_one():
    tickets = [{"id": n, "updated_at": text(1)} for n in range(100)]
    with responses.RequestsMock() as wire:
        wire.get(f"{API}/tickets", json=tickets)
        wire.get(f"{API}/tickets", json=[])

        assert list(Account().freshdesk.activity([Watched("500", "", NOON)])) == []
        assert "updated_since=2026-11-21T12%3A00%3A59Z" in wire.calls[1].request.url
        assert "&page=1&" in wire.calls[1].request.url


# ------------------------------------------------------------------ over HTTP
class Shop:
    """A desk with Ana and Mia, whose ticket is flagged; what is seen is stored, as the engine does it."""

    def __init__(self, desk: FreshdeskDesk, url: str) -> None:
        self.desk = desk
        self.account = Account(url=url)
        self.freshdesk = self.account.freshdesk
        self.group = desk.add_group("Support")
        self.ana = desk.add_agent("Ana", "ana@example.com", [self.group])
        self.mia = desk.add_customer("Mia", "mia@example.com")
        self.ticket = self.solved()
        list(self.freshdesk.setup())
        self.later()
        self.watched = self.watch(self.ticket)
        self.later()
        desk.requests.clear()

    def solved(self) -> str:
        ticket = self.desk.open_ticket(self.mia, "Lost parcel", "Where is it?", group=self.group, assignee=self.ana)
        self.desk.solve(ticket, self.ana)
        return ticket

    def read(self, ticket: str) -> Ticket:
        return self.freshdesk.tickets([ticket])[ticket]

    def watch(self, ticket: str) -> Watched:
        return Watched(ticket, self.read(ticket).stamp, self.desk.now())

    def later(self, **step: float) -> None:
        passed = timedelta(**(step or {"minutes": 10}))
        self.desk.world.clock.advance(passed)
        self.account.advance(**(step or {"minutes": 10}))
        self.desk.pass_time(passed)

    def bridge_writes(self, change: Change, **how: Any) -> None:
        result = written(self.freshdesk.write([write_of(self.read(self.ticket), change, **how)]))
        assert result.verdict is Verdict.APPLIED

    def look(self) -> list[tuple[DeedKind, str | None]]:
        """What people did to the ticket since the last look."""
        found = list(self.freshdesk.activity([self.watched]))
        for seen in found:
            self.watched = Watched(self.ticket, seen.ticket.stamp, seen.ticket.updated_at + timedelta(seconds=1))
        return [(deed.kind, deed.agent_id) for seen in found for deed in seen.deeds]

    @property
    def requests(self) -> list[str]:
        return [f"{r.method} {r.path}" for r in self.desk.requests]


LIST, TALK = "GET /api/v2/tickets", "GET /api/v2/tickets/1/conversations"
RECOVERY = Change(add_tags=("sr_open",), reopen=True, priority="high", note="Please write to Mia by 18:00.")


@pytest.fixture(autouse=True)
def connections_end() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def shop() -> Iterator[Shop]:
    desk = FreshdeskDesk(World(NOON))
    with serve(desk) as url:
        yield Shop(desk, url)


def test_nothing_watched_costs_nothing(shop):
    assert list(shop.freshdesk.activity([])) == []
    assert shop.requests == []


def test_a_quiet_ticket_costs_one_call(shop):
    assert list(shop.freshdesk.activity([shop.watched])) == []
    assert shop.requests == [LIST]


def test_a_changed_ticket_costs_one_call_more(shop):
    shop.desk.reply(shop.ticket, shop.ana, "Hello Mia")

    assert shop.look() == [(REPLIED, shop.ana)]
    assert shop.requests == [LIST, TALK]


def test_what_was_seen_is_not_told_again(shop):
    shop.desk.reply(shop.ticket, shop.ana, "Hello Mia")
    shop.look()

    assert shop.look() == []


def test_an_activity_carries_the_ticket_as_it_is_now(shop):
    shop.desk.edit(shop.ticket, shop.ana, tags=["sr_request"], status="open")

    [seen] = shop.freshdesk.activity([shop.watched])

    assert (seen.ticket.status, seen.ticket.tags, seen.ticket.read_at) == (
        Status.OPEN,
        ("sr_request",),
        shop.desk.now(),
    )
    assert replace(seen.ticket, requester=None) == replace(shop.read(shop.ticket), requester=None)


def test_a_person_who_changes_a_field_is_noticed(shop):
    shop.desk.edit(shop.ticket, shop.ana, priority="urgent")

    assert shop.look() == [(EDITED, None)]


def test_a_note_of_a_person_is_an_edit(shop):
    shop.desk.private_note(shop.ticket, shop.ana, "I take it")

    assert shop.look() == [(EDITED, shop.ana)]


def test_a_customer_who_writes_reopens_the_ticket(shop):
    shop.desk.customer_replies(shop.ticket, "Still not there")

    assert shop.look() == [(CUSTOMER_WROTE, None), (REOPENED, None)]


def test_a_recovery_is_told_from_its_reply_to_its_end(shop):
    shop.bridge_writes(RECOVERY)
    shop.later()
    shop.desk.reply(shop.ticket, shop.ana, "I am sorry")
    shop.later()
    shop.desk.solve(shop.ticket, shop.ana)

    assert shop.look() == [(REPLIED, shop.ana), (SOLVED, None)]


def test_replies_on_a_ticket_that_began_as_outbound_mail_are_noticed(shop):
    outbound = shop.desk.open_ticket(shop.mia, "Your order", "Hello", channel="outbound", by=shop.ana)
    watched = shop.watch(outbound)
    shop.later()
    shop.desk.reply(outbound, shop.ana, "Any news?")

    [seen] = shop.freshdesk.activity([watched])

    assert seen.deeds == (Deed(REPLIED, shop.desk.now(), shop.ana),)


def test_our_own_write_is_nobodys_deed(shop):
    shop.bridge_writes(RECOVERY)
    shop.later()

    assert shop.look() == []
    assert shop.watched.stamp == shop.read(shop.ticket).stamp  # it was told as changed, and without deeds


def test_a_write_without_a_note_is_nobodys_deed_however_often_it_is_read(shop):
    shop.bridge_writes(Change(priority="high"))
    before = shop.watched

    assert shop.look() == []
    shop.watched = before  # a crash before it was stored
    assert shop.look() == []


def test_who_edits_after_a_write_without_a_note_is_noticed(shop):
    shop.bridge_writes(Change(priority="high"))
    shop.look()
    shop.later()
    shop.desk.edit(shop.ticket, shop.ana, priority="urgent")

    assert shop.look() == [(EDITED, None)]


@pytest.mark.parametrize("first_look", [True, False])
def test_who_edits_after_our_write_is_noticed(shop, first_look):
    shop.bridge_writes(RECOVERY)
    if first_look:
        shop.look()
    shop.later()
    shop.desk.edit(shop.ticket, shop.ana, priority="urgent")

    assert shop.look() == [(EDITED, None)]


@pytest.mark.parametrize("comment", ["Too slow", None])
def test_an_answered_survey_is_no_deed(shop, comment):
    shop.desk.rate(shop.ticket, "bad", comment)

    assert shop.look() == []


def test_the_accounts_own_closing_is_no_deed(shop):
    shop.later(hours=100)

    assert shop.desk.tickets[1].status == 5
    assert shop.look() == []
    assert TALK in shop.requests


def test_deleted_tickets_and_spam_are_absent(shop):
    spam = shop.solved()
    watched = [shop.watched, shop.watch(spam)]
    shop.desk.delete(shop.ticket, by=shop.ana)
    shop.desk.mark_spam(spam, by=shop.ana)

    assert list(shop.freshdesk.activity(watched)) == []


def test_every_change_of_a_busy_account_is_found_in_the_fewest_pages(shop):
    tickets = [shop.solved() for _ in range(250)]
    watched = [shop.watch(ticket) for ticket in tickets]
    shop.later()
    for ticket in tickets:
        shop.desk.edit(ticket, shop.ana, priority="urgent")
        shop.later(seconds=10)
    shop.desk.requests.clear()

    found = list(shop.freshdesk.activity(watched))

    assert [seen.ticket.ticket_id for seen in found] == tickets
    assert all(seen.deeds[-1].kind is EDITED for seen in found)
    assert (shop.requests.count(LIST), len(shop.requests)) == (3, 3 + 250)


def test_tickets_that_changed_in_the_same_second_are_all_found(shop):
    tickets = [shop.solved() for _ in range(250)]
    watched = [shop.watch(ticket) for ticket in tickets]
    shop.later()
    for ticket in tickets:
        shop.desk.edit(ticket, shop.ana, priority="urgent")

    assert sorted(seen.ticket.ticket_id for seen in shop.freshdesk.activity(watched)) == sorted(tickets)


def test_a_ticket_that_changes_during_the_walk_hides_no_other(shop):
    tickets = [shop.solved() for _ in range(150)]
    watched = [shop.watch(ticket) for ticket in tickets]
    for ticket in tickets:
        shop.later(seconds=10)
        shop.desk.edit(ticket, shop.ana, priority="urgent")
    found = shop.freshdesk.activity(watched)
    seen = [next(found).ticket.ticket_id]
    for ticket in tickets[:50]:  # the first page is read; these move behind the last
        shop.later(seconds=10)
        shop.desk.edit(ticket, shop.ana, priority="low")

    seen += [activity.ticket.ticket_id for activity in found]

    assert seen == tickets


def test_a_ticket_was_read_when_its_page_was_read(shop):
    other = shop.solved()
    watched = [shop.watched, shop.watch(other)]
    shop.later()
    for ticket in (shop.ticket, other):
        shop.desk.edit(ticket, shop.ana, priority="urgent")
    page_read_at = shop.desk.now()
    found = shop.freshdesk.activity(watched)
    next(found)
    shop.later()

    assert next(found).ticket.read_at == page_read_at


def test_the_walk_begins_at_the_oldest_reading_and_not_at_the_flag(shop):
    shop.later(days=3)
    shop.desk.reply(shop.ticket, shop.ana, "Hello")
    read = shop.read(shop.ticket)
    shop.desk.requests.clear()

    list(shop.freshdesk.activity([Watched(shop.ticket, read.stamp, NOON)]))

    [request] = shop.desk.requests
    since = read.updated_at - timedelta(minutes=1)
    assert f"updated_since={since:%Y-%m-%dT%H}%3A{since:%M}%3A{since:%S}Z" in request.query
