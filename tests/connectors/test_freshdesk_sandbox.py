"""The Freshdesk connector over real HTTP, against the stand-in: lost answers, repeats, paging, mails and setup."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from freshdesk_account import Account, close_all, ratings_in, write_of, written
from memory import NOON, DictMemory

from bridge.connector import Level, Needs, SetupStep
from bridge.errors import CredentialsRefused, Throttled, Unreachable
from bridge.model import Category, Change, EffectKind, Sending, Status, Verdict
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.server import serve
from connectors.sandbox.world import Fault, World

RECOVERY = Change(add_tags=("sr_open",), reopen=True, priority="high", note="Please write to Mia by 18:00.")


class Shop:
    """A desk with one agent in one group and one solved ticket, and the connector that serves it."""

    def __init__(self, desk: FreshdeskDesk, url: str) -> None:
        self.desk = desk
        self.account = Account(url=url)
        self.freshdesk = self.account.freshdesk
        self.group = desk.add_group("Support")
        self.ana = desk.add_agent("Ana", "ana@example.com", [self.group])
        self.mia = desk.add_customer("Mia", "mia@example.com", tags=["vip"], language="de")
        self.ticket = self.solved()

    def solved(self) -> str:
        ticket = self.desk.open_ticket(self.mia, "Lost parcel", "Where is it?", group=self.group, assignee=self.ana)
        self.desk.solve(ticket, self.ana)
        return ticket

    def pass_time(self, **step: float) -> None:
        self.desk.world.clock.advance(timedelta(**step))
        self.account.advance(**step)
        self.desk.pass_time(timedelta(**step))

    def write(self, change: Change = RECOVERY, *, ticket: str = "", repeat: bool = False, **how: Any) -> Any:
        read = self.freshdesk.tickets([ticket or self.ticket])[ticket or self.ticket]
        return written(self.freshdesk.write([write_of(read, change, repeat=repeat, **how)]))

    def breaks(self, kind: str, **where: Any) -> None:
        self.desk.faults.append(Fault(kind, **where))

    @property
    def shown(self) -> Any:
        return self.desk.tickets[int(self.ticket)]

    @property
    def notes(self) -> list[str]:
        return [said.body for said in self.shown.conversations if said.private]

    def requests(self, method: str = "") -> list[str]:
        return [f"{r.method} {r.path}" for r in self.desk.requests if method in ("", r.method)]


@pytest.fixture(autouse=True)
def connections_end() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def world() -> World:
    return World(NOON)


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    desk = FreshdeskDesk(world)
    with serve(desk) as url:
        shop = Shop(desk, url)
        assert [step.state for step in shop.freshdesk.setup()] == ["created"]
        desk.requests.clear()
        yield shop


# ------------------------------------------------------------------ ratings
def test_a_bad_rating_is_read_with_the_agent_of_its_moment(shop):
    shop.desk.rate(shop.ticket, "bad", "Nobody called back")
    other = shop.desk.add_agent("Cem", "cem@example.com", [shop.group])
    shop.desk.assign(shop.ticket, other, by=other)

    [page] = shop.freshdesk.new_ratings(None)

    [rating] = page.ratings
    assert (rating.category, rating.assignee_id, rating.comment) == (Category.BAD, shop.ana, "Nobody called back")


def test_250_ratings_come_in_three_pages_and_each_once(shop):
    sent = [shop.desk.rate(shop.ticket, "bad") for _ in range(250)]

    found = ratings_in(shop.freshdesk.new_ratings(None))

    assert sorted(found) == sorted(sent)
    assert sum(line.endswith("satisfaction_ratings") for line in shop.requests()) == 4  # one of them is the probe


def test_a_rating_that_shows_up_late_is_not_lost(shop):
    shop.desk.ratings_visible_after = timedelta(minutes=10)
    rating = shop.desk.rate(shop.ticket, "bad")
    [first] = shop.freshdesk.new_ratings(None)
    shop.pass_time(minutes=12)

    assert ratings_in([first]) == []
    assert ratings_in(shop.freshdesk.new_ratings(first.cursor)) == [rating]


@pytest.mark.parametrize("kind", ["html", "truncated", "reset", "status"])
def test_a_page_that_fails_once_is_read_again(shop, kind):
    shop.desk.rate(shop.ticket, "bad")
    list(shop.freshdesk.new_ratings(None))
    shop.breaks(kind, path="satisfaction_ratings")

    assert len(ratings_in(shop.freshdesk.new_ratings(None))) == 1


def test_a_helpdesk_that_shows_a_login_page_has_not_no_ratings(shop):
    list(shop.freshdesk.new_ratings(None))
    shop.breaks("html", times=9)

    with pytest.raises(Unreachable, match="not JSON"):
        list(shop.freshdesk.new_ratings(None))


def test_a_wrong_key_is_refused(shop):
    wrong = Account(url=shop.account.url, key="other")

    with pytest.raises(CredentialsRefused, match="401"):
        list(wrong.freshdesk.new_ratings(None))


@pytest.mark.parametrize(
    ("csat", "points", "value", "scale_max"),
    [("classic_codes", 7, 1, 7), ("classic_123", 3, 1, 3), ("new", 5, 1, 5)],
)
def test_each_kind_of_survey_is_read_unasked(world, csat, points, value, scale_max):
    desk = FreshdeskDesk(world, csat=csat, points=points)
    with serve(desk) as url:
        shop = Shop(desk, url)
        desk.rate(shop.ticket, "bad", "Too slow")

        [page] = shop.freshdesk.new_ratings(None)

    [rating] = page.ratings
    assert (rating.category, rating.value, rating.scale_max) == (Category.BAD, value, scale_max)
    assert (rating.comment, rating.assignee_id) == ("Too slow", shop.ana)


def test_responses_of_the_newer_system_come_in_pages(world):
    desk = FreshdeskDesk(world, csat="new", points=5)
    with serve(desk) as url:
        shop = Shop(desk, url)
        sent = [desk.rate(shop.solved(), "bad") for _ in range(120)]

        found = ratings_in(shop.freshdesk.new_ratings(None))
        again = shop.freshdesk.ratings_of("7")

    assert sorted(found) == sorted(sent)
    assert [rating.ticket_id for rating in again] == ["7"]


def test_a_plan_without_surveys_is_told_so(world):
    with serve(FreshdeskDesk(world, csat="none")) as url, pytest.raises(CredentialsRefused, match="no surveys"):
        list(Account(url=url).freshdesk.new_ratings(None))


# ------------------------------------------------------------------ tickets and people
def test_a_ticket_is_read_with_its_requester(shop):
    ticket = shop.freshdesk.tickets([shop.ticket])[shop.ticket]

    assert (ticket.status, ticket.assignee_id, ticket.group_id) == (Status.SOLVED, shop.ana, shop.group)
    assert ticket.requester and (ticket.requester.name, ticket.requester.email) == ("Mia", "mia@example.com")
    assert ticket.read_at == NOON


def test_tags_and_language_of_the_requester_are_read_where_rules_ask_for_them(shop):
    needs = Needs(customer_tags=frozenset({"vip"}), language=True)

    ticket = shop.account.reconnected(needs=needs).freshdesk.tickets([shop.ticket])[shop.ticket]

    assert ticket.requester and (ticket.requester.tags, ticket.requester.language) == ({"vip"}, "de")


def test_every_ticket_that_was_asked_for_is_answered(shop):
    spam, deleted, archived = shop.solved(), shop.solved(), shop.solved()
    shop.desk.mark_spam(spam, by=shop.ana)
    shop.desk.delete(deleted, by=shop.ana)
    shop.desk.tickets[int(archived)].archived = True

    found = shop.freshdesk.tickets([shop.ticket, spam, deleted, archived, "999"])

    assert [ticket.status for ticket in found.values()] == [
        Status.SOLVED,
        Status.SPAM,
        Status.DELETED,
        Status.ARCHIVED,
        Status.DELETED,
    ]


def test_the_past_holder_is_who_answered_before_the_rating(shop):
    shop.desk.reply(shop.ticket, shop.ana, "Hello")
    shop.pass_time(hours=1)
    rated_at = shop.desk.now()
    cem = shop.desk.add_agent("Cem", "cem@example.com", [shop.group])
    shop.pass_time(hours=1)
    shop.desk.reply(shop.ticket, cem, "Hello again")

    assert shop.freshdesk.past_holder(shop.ticket, rated_at) == shop.ana


def test_the_directory_shows_who_left(shop):
    cem = shop.desk.add_agent("Cem", "cem@example.com", [shop.group])
    shop.desk.deactivate_agent(cem)
    gone = shop.desk.add_agent("Eva", "eva@example.com", [shop.group])
    shop.desk.remove_agent(gone)

    directory = shop.freshdesk.directory()

    assert directory.agents[shop.ana].unusable is None
    assert [agent.name for agent in directory.members(shop.group)] == ["Ana"]
    assert directory.agents[cem].unusable == "is deactivated"
    assert gone not in directory.agents


def test_a_small_rate_limit_is_enough_for_many_groups_in_the_end(shop):
    for number in range(30):
        shop.desk.add_group(f"Group {number}")
    shop.account.http.budget.limit = shop.desk.rate_limit = 20
    with pytest.raises(Throttled):
        shop.freshdesk.directory()
    for _ in range(2):
        shop.pass_time(minutes=2)
        try:
            found = shop.freshdesk.directory()
        except Throttled:
            continue

    assert len(found.groups) == 31


# ------------------------------------------------------------------ one write
def test_a_rated_ticket_costs_four_calls(shop):
    shop.desk.rate(shop.ticket, "bad")
    [page] = shop.freshdesk.new_ratings(None)
    shop.desk.requests.clear()

    list(shop.freshdesk.new_ratings(page.cursor))
    result = shop.write()

    assert result.verdict is Verdict.APPLIED
    assert shop.requests() == [
        "GET /api/v2/surveys/satisfaction_ratings",
        f"GET /api/v2/tickets/{shop.ticket}",
        f"PUT /api/v2/tickets/{shop.ticket}",
        f"POST /api/v2/tickets/{shop.ticket}/notes",
    ]


def test_the_ticket_is_tagged_reopened_and_prioritised_and_carries_note_and_marker(shop):
    shop.write()

    assert (shop.shown.tags, shop.shown.status, shop.shown.priority) == (["sr_open"], 2, 3)
    assert shop.shown.custom_fields["cf_sr_ref"] == "sr-e1"
    assert shop.notes == ["Please write to Mia by 18:00.<br><br>ref sr-e1"]


def test_a_write_mails_nothing_to_the_customer(shop):
    before = len(shop.desk.world.mails)

    shop.write()

    assert [mail.to for mail in shop.desk.world.mails[before:] if mail.to == "mia@example.com"] == []


def test_the_intent_is_told_before_each_request(shop):
    ticket = shop.freshdesk.tickets([shop.ticket])[shop.ticket]
    shop.desk.requests.clear()
    news = shop.freshdesk.write([write_of(ticket, RECOVERY)])

    assert next(news) == Sending(("e1",))
    assert shop.requests() == []
    assert next(news) == Sending(("e1",))
    assert shop.requests() == [f"PUT /api/v2/tickets/{shop.ticket}"]


def test_tags_that_an_agent_added_are_kept(shop):
    shop.desk.edit(shop.ticket, by=shop.ana, tags=["urgent"])

    shop.write()

    assert shop.shown.tags == ["urgent", "sr_open"]


def test_a_closed_ticket_is_reopened(shop):
    shop.desk.edit(shop.ticket, by=shop.ana, status="closed")

    assert shop.write().verdict is Verdict.APPLIED
    assert shop.shown.status == 2


# ------------------------------------------------------------------ lost answers and repeats
def test_fields_whose_answer_was_lost_are_not_sent_again_and_the_note_follows(shop):
    shop.breaks("lost", method="PUT")

    assert shop.write().verdict is Verdict.UNKNOWN
    assert shop.write(repeat=True).verdict is Verdict.APPLIED
    assert len(shop.requests("PUT")) == len(shop.notes) == 1


def test_a_note_whose_answer_was_lost_is_found_and_not_written_again(shop):
    shop.breaks("lost", method="POST")

    assert shop.write().verdict is Verdict.UNKNOWN
    assert shop.write(repeat=True).verdict is Verdict.ADOPTED
    assert len(shop.notes) == len(shop.requests("POST")) == 1


def test_a_write_that_never_arrived_is_made_by_the_repeat(shop):
    shop.breaks("reset", method="PUT")

    assert shop.write().verdict is Verdict.UNKNOWN
    assert shop.write(repeat=True).verdict is Verdict.APPLIED
    assert (shop.shown.status, len(shop.notes)) == (2, 1)


def test_the_note_is_looked_for_on_every_page(shop):
    for number in range(120):
        shop.desk.private_note(shop.ticket, shop.ana, f"note {number}")
    shop.breaks("lost", path="/notes")
    shop.write()

    assert shop.write(repeat=True).verdict is Verdict.ADOPTED
    assert len(shop.notes) == 121


def test_the_repeat_does_not_undo_what_a_person_did_meanwhile(shop):
    shop.breaks("lost", method="POST")
    shop.write()
    shop.desk.solve(shop.ticket, shop.ana)

    shop.write(repeat=True)

    assert shop.shown.status == 4


def test_without_the_field_a_repeat_is_known_by_its_values(shop):
    list(shop.freshdesk.setup(remove=True))
    shop.breaks("lost", method="POST", path="/notes")
    shop.write()

    assert shop.write(repeat=True).verdict is Verdict.ADOPTED
    assert len(shop.requests("PUT")) == 1


@pytest.mark.parametrize("kind", ["lost", "reset"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_whatever_breaks_there_is_one_note_in_the_end(shop, kind, method):
    shop.breaks(kind, method=method)
    shop.write()

    for _ in range(3):
        shop.write(repeat=True)

    assert (len(shop.notes), shop.shown.tags, shop.shown.status) == (1, ["sr_open"], 2)


# ------------------------------------------------------------------ refusals
def test_an_agent_outside_the_group_is_a_bad_assignee(shop):
    stranger = shop.desk.add_agent("Cem", "cem@example.com")

    assert shop.write(Change(assignee_id=stranger, group_id=shop.group)).verdict is Verdict.BAD_ASSIGNEE
    assert shop.notes == []


def test_an_agent_who_left_is_a_bad_assignee(shop):
    cem = shop.desk.add_agent("Cem", "cem@example.com", [shop.group])
    shop.desk.remove_agent(cem)

    assert shop.write(Change(assignee_id=cem, group_id=shop.group)).verdict is Verdict.BAD_ASSIGNEE


def test_a_form_that_is_not_filled_in_refuses_and_names_the_field(shop):
    shop.desk.strict_form = True
    shop.desk.required_for_agents.add("ticket_type")

    result = shop.write()

    assert result.verdict is Verdict.REFUSED
    assert "type" in result.why


@pytest.mark.parametrize("verb", ["delete", "mark_spam"])
def test_a_ticket_that_vanishes_before_the_write_is_gone(shop, verb):
    read = shop.freshdesk.tickets([shop.ticket])[shop.ticket]
    getattr(shop.desk, verb)(shop.ticket, by=shop.ana)

    assert written(shop.freshdesk.write([write_of(read, RECOVERY)])).verdict is Verdict.GONE


def test_a_ticket_that_is_archived_before_the_write_is_locked(shop):
    read = shop.freshdesk.tickets([shop.ticket])[shop.ticket]
    shop.shown.archived = True

    assert written(shop.freshdesk.write([write_of(read, RECOVERY)])).verdict is Verdict.LOCKED


def test_one_refusal_does_not_hold_up_the_next_write(shop):
    gone, read = shop.solved(), shop.freshdesk.tickets([shop.ticket])[shop.ticket]
    first = shop.freshdesk.tickets([gone])[gone]
    shop.desk.delete(gone, by=shop.ana)

    news = shop.freshdesk.write([write_of(first, RECOVERY), write_of(read, RECOVERY)])

    assert [item.verdict for item in news if not isinstance(item, Sending)] == [Verdict.GONE, Verdict.APPLIED]


# ------------------------------------------------------------------ a follow-up for an archived ticket
def archived(shop: Shop) -> str:
    shop.shown.archived = True
    return shop.ticket


def follow_up(shop: Shop, *, repeat: bool = False) -> Any:
    change = Change(
        add_tags=("sr_open",), assignee_id=shop.ana, group_id=shop.group, priority="high", note="Please write."
    )
    return shop.write(change, repeat=repeat, kind=EffectKind.FOLLOW_UP)


def test_a_follow_up_is_a_new_ticket_of_the_same_requester(shop):
    archived(shop)

    result = follow_up(shop)

    new = shop.desk.tickets[int(result.ticket_id)]
    assert (str(new.requester_id), str(new.responder_id), new.tags) == (shop.mia, shop.ana, ["sr_open"])
    assert [said.private for said in new.conversations] == [True]


@pytest.mark.parametrize("path", ["/tickets", "/notes"])
def test_a_follow_up_whose_answer_was_lost_is_found_again(shop, path):
    archived(shop)
    shop.breaks("lost", method="POST", path=path)
    before = len(shop.desk.tickets)

    assert follow_up(shop).verdict is Verdict.UNKNOWN
    result = follow_up(shop, repeat=True)

    assert result.verdict in (Verdict.APPLIED, Verdict.ADOPTED)
    assert len(shop.desk.tickets) == before + 1
    assert len(shop.desk.tickets[int(result.ticket_id)].conversations) == 1


def test_without_the_field_no_follow_up_is_risked(shop):
    list(shop.freshdesk.setup(remove=True))
    archived(shop)
    before = len(shop.desk.tickets)

    assert follow_up(shop).verdict is Verdict.REFUSED
    assert len(shop.desk.tickets) == before


# ------------------------------------------------------------------ setup and doctor
def test_setup_is_the_same_when_done_again_and_can_be_undone(shop):
    what = "ticket field cf_sr_ref"

    assert list(shop.freshdesk.setup()) == [SetupStep(what, "present")]
    assert list(shop.freshdesk.setup(remove=True, dry_run=True)) == [SetupStep(what, "present")]
    assert list(shop.freshdesk.setup(remove=True)) == [SetupStep(what, "removed")]
    assert list(shop.freshdesk.setup(remove=True)) == [SetupStep(what, "absent")]
    assert list(shop.freshdesk.setup(dry_run=True)) == [SetupStep(what, "missing")]
    assert list(shop.freshdesk.setup()) == [SetupStep(what, "created")]


def test_setup_says_what_to_do_by_hand_where_the_key_may_not(shop):
    list(shop.freshdesk.setup(remove=True))
    shop.desk.key_is_admin = False

    [step] = shop.freshdesk.setup()

    assert step.state == "missing"
    assert "labelled sr_ref" in step.what


def findings(shop: Shop, level: Level) -> str:
    return "\n".join(f"{found.what} -> {found.todo}" for found in shop.freshdesk.doctor() if found.level is level)


def test_a_healthy_account_has_no_warning(shop):
    assert findings(shop, Level.FAIL) == findings(shop, Level.WARNING) == ""
    assert "3 points (-103, 100, 103)" in findings(shop, Level.OK)
    assert "700 calls per minute" in findings(shop, Level.NOTE)
    assert "Close resolved tickets after 4 days" in findings(shop, Level.NOTE)


def test_doctor_misses_the_role(shop):
    shop.desk.key_is_admin = False

    assert "Administrator" in findings(shop, Level.FAIL)


def test_doctor_misses_the_scope(shop):
    shop.desk.agents[shop.desk.api_agent].ticket_scope = 2

    assert "global access" in findings(shop, Level.FAIL)


def test_doctor_misses_the_marker_field(shop):
    list(shop.freshdesk.setup(remove=True))

    assert "recovery-bridge setup" in findings(shop, Level.WARNING)


def test_doctor_names_required_fields(shop):
    shop.desk.required_for_agents.add("ticket_type")

    assert "Type" in findings(shop, Level.WARNING)


def test_doctor_names_rules_that_our_writes_set_off(shop):
    rule = {
        "name": "Thank the customer",
        "performer": {"type": 1},
        "events": [{"field_name": "status", "from": "--", "to": "2"}],
        "actions": [{"field_name": "send_email_to_requester", "email_body": "Thanks"}],
    }
    shop.account.http.write("POST", "/api/v2/automations/4/rules", rule)

    assert "Thank the customer" in findings(shop, Level.WARNING)


def test_doctor_sees_a_clock_that_is_wrong(shop):
    shop.account.advance(minutes=5)

    assert "differ by 300 s" in findings(shop, Level.WARNING)


def test_memory_survives_as_json(shop):
    shop.freshdesk.directory()
    shop.write()

    assert isinstance(shop.account.memory, DictMemory)
    assert {"directory", "marker_field"} <= shop.account.memory.values.keys()
