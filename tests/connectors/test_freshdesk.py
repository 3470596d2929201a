"""What the Freshdesk connector asks for and how it reads the answers, on recorded and documented payloads."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import responses
from freshdesk_account import API, Account, ratings_in, write_of, written
from memory import NOON
from responses.matchers import header_matcher, query_param_matcher

from bridge.connector import Level, Needs
from bridge.errors import BadRecord, CredentialsRefused, SettingsError, Throttled, Unreachable
from bridge.model import Change, Status, Ticket, Verdict
from connectors.freshdesk import Config, connect

REFERENCE = Path(os.environ.get("BRIDGE_TEST_REFERENCE", "../shared/reference"))
RATINGS, SURVEYS, NEWER = (
    f"{API}/surveys/satisfaction_ratings",
    f"{API}/surveys",
    f"{API}/customer-satisfaction/surveys",
)
Wire = responses.RequestsMock


@pytest.fixture
def wire():
    with Wire(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def classic(account: Account) -> Account:
    account.memory.remember("csat", {"api": "classic", "both": False})
    account.memory.remember("scales", {"5": [-103, 100, 103]})
    return account


@pytest.fixture
def newer(account: Account) -> Account:
    account.memory.remember("csat", {"api": "new", "both": False})
    return account


def rating(number: int, code: int = -103, at: str = "2026-11-21T11:00:00Z") -> dict[str, Any]:
    return {"id": number, "survey_id": 5, "user_id": 8, "agent_id": 9, "group_id": 4, "ticket_id": 23, "feedback": None,
            "created_at": at, "updated_at": at, "ratings": {"default_question": code}}  # fmt: skip


def ticket_row(**changes: Any) -> dict[str, Any]:
    return {"id": 7, "status": 4, "priority": 1, "source": 1, "subject": "Lost parcel", "tags": ["shop"],
            "requester_id": 8, "requester": {"id": 8, "name": "Mia", "email": "mia@example.com"}, "responder_id": 9,
            "group_id": 4, "product_id": None, "custom_fields": {}, "created_at": "2026-11-20T10:00:00Z",
            "updated_at": "2026-11-21T10:00:00Z"} | changes  # fmt: skip


def said(wire: Wire) -> list[str]:
    return [f"{call.request.method} {call.request.url.removeprefix(API)}" for call in wire.calls]


# ------------------------------------------------------------------ connecting
def test_a_missing_key_is_named(account):
    with pytest.raises(SettingsError, match="BRIDGE_MY_SHOP_API_KEY"):
        connect(Config("my-shop", "https://shop.freshdesk.com"), account.freshdesk._tools)


def test_the_key_is_sent_to_freshdesk_only(account):
    with pytest.raises(SettingsError, match=r"\.freshdesk\.com"):
        connect(Config("shop", "https://freshdesk.com.evil.example"), account.freshdesk._tools)


def test_the_key_is_the_user_name(classic, wire):
    wire.get(RATINGS, json=[], match=[header_matcher({"Authorization": "Basic c2FuZGJveC1rZXk6eA=="})])

    assert ratings_in(classic.freshdesk.new_ratings(None)) == []


# ------------------------------------------------------------------ new ratings, the long-standing system
def test_the_first_poll_begins_28_days_back(classic, wire):
    since = {"created_since": "2026-10-24T12:00:00Z", "page": "1", "per_page": "100"}
    wire.get(RATINGS, json=[rating(31)], match=[query_param_matcher(since)])

    assert ratings_in(classic.freshdesk.new_ratings(None)) == ["31"]


def test_an_idle_poll_costs_one_call_and_looks_fifteen_minutes_back(classic, wire):
    wire.get(RATINGS, json=[])
    [page] = classic.freshdesk.new_ratings(None)
    classic.advance(minutes=5)

    list(classic.reconnected().freshdesk.new_ratings(page.cursor))

    assert len(wire.calls) == 2
    assert "created_since=2026-11-21T11%3A45%3A00Z" in wire.calls[1].request.url


def test_the_walk_follows_the_link_header(classic, wire):
    wire.get(RATINGS, json=[rating(1)], headers={"Link": f'<{RATINGS}?page=2>; rel="next"'})
    wire.get(RATINGS, json=[rating(2)], match=[query_param_matcher({"page": "2"}, strict_match=False)])

    assert ratings_in(classic.freshdesk.new_ratings(None)) == ["1", "2"]


def test_a_full_page_without_a_link_is_followed_too(classic, wire):
    wire.get(RATINGS, json=[rating(n) for n in range(100)])
    wire.get(RATINGS, json=[rating(100)], match=[query_param_matcher({"page": "2"}, strict_match=False)])

    assert len(ratings_in(classic.freshdesk.new_ratings(None))) == 101


def test_a_walk_that_broke_off_goes_on_where_it_was(classic, wire):
    wire.get(RATINGS, json=[rating(n) for n in range(100)])
    wire.get(RATINGS, status=503, match=[query_param_matcher({"page": "2"}, strict_match=False)])
    pages = classic.freshdesk.new_ratings(None)
    cursor = next(pages).cursor
    with pytest.raises(Unreachable):
        next(pages)
    wire.replace(
        responses.GET, RATINGS, json=[rating(7)], match=[query_param_matcher({"page": "2"}, strict_match=False)]
    )

    assert ratings_in(classic.freshdesk.new_ratings(cursor)) == ["7"]


def test_the_next_walk_begins_before_the_start_of_the_last_not_its_end(classic, wire):
    wire.get(RATINGS, json=[rating(n) for n in range(100)])
    pages = classic.freshdesk.new_ratings(None)
    cursor = next(pages).cursor
    classic.advance(hours=3)
    wire.replace(responses.GET, RATINGS, json=[])
    [last] = classic.freshdesk.new_ratings(cursor)

    list(classic.freshdesk.new_ratings(last.cursor))

    assert "created_since=2026-11-21T11%3A45%3A00Z" in wire.calls[-1].request.url


def test_a_clock_that_is_ahead_makes_no_gap(classic, wire):
    wire.get(RATINGS, json=[], headers={"Date": "Sat, 21 Nov 2026 10:00:00 GMT"})
    [page] = classic.freshdesk.new_ratings(None)

    list(classic.freshdesk.new_ratings(page.cursor))

    assert "created_since=2026-11-21T09%3A45%3A00Z" in wire.calls[1].request.url


def test_a_malformed_rating_does_not_hold_up_the_others(classic, wire):
    wire.get(RATINGS, json=[{"id": 1}, rating(2)])

    [page] = classic.freshdesk.new_ratings(None)

    assert [rating.rating_id for rating in page.ratings] == ["2"]
    assert [bad.error for bad in page.malformed] == ["rating 1 has no field 'ratings'"]


def test_a_list_that_ends_at_page_300_is_gone_on_with_from_its_newest_rating(classic, wire):
    end = {"field": "page", "message": "You cannot access tickets beyond the 300th page.", "code": "invalid_value"}
    beyond = query_param_matcher({"page": "2"}, strict_match=False)
    wire.get(RATINGS, json=[rating(n) for n in range(100)])
    wire.get(RATINGS, status=400, json={"description": "Validation failed", "errors": [end]}, match=[beyond])
    anew = query_param_matcher({"page": "1", "created_since": "2026-11-21T11:00:00Z"}, strict_match=False)
    wire.get(RATINGS, json=[rating(500)], match=[anew])

    found = ratings_in(classic.freshdesk.past_ratings(NOON - timedelta(days=1)))

    assert found[-1] == "500"
    assert len(found) == 101


def test_a_walk_through_the_past_that_is_finished_stays_finished(classic, wire):
    wire.get(RATINGS, json=[rating(1)])
    [page] = classic.freshdesk.past_ratings(NOON - timedelta(days=90))

    assert list(classic.freshdesk.past_ratings(NOON - timedelta(days=90), page.cursor)) == []


def test_an_empty_page_that_promises_more_ends_the_walk(classic, wire):
    wire.get(RATINGS, json=[], headers={"Link": f'<{RATINGS}?page=2>; rel="next"'})

    assert ratings_in(classic.freshdesk.new_ratings(None)) == []
    assert len(wire.calls) == 1


def test_a_survey_that_is_new_to_us_is_looked_up_once_an_hour(classic, wire):
    wire.get(RATINGS, json=[rating(31, -102) | {"survey_id": 6}])
    question = {"id": "default_question", "accepted_ratings": [103, 102, 100, -102, -103]}
    wire.get(SURVEYS, json=[{"id": 6, "questions": [question]}])
    classic.advance(hours=2)

    pages = [*classic.freshdesk.new_ratings(None), *classic.freshdesk.new_ratings(None)]

    assert [(r.value, r.scale_max) for page in pages for r in page.ratings] == [(2, 5), (2, 5)]
    assert sum(line == "GET /surveys" for line in said(wire)) == 1


def test_a_page_that_is_no_list_leaves_the_account_for_later(classic, wire):
    wire.get(RATINGS, json={"ratings": []})

    with pytest.raises(Unreachable, match="expected a list, got dict"):
        list(classic.freshdesk.new_ratings(None))


def test_a_cursor_that_cannot_be_read_begins_anew(classic, wire):
    wire.get(RATINGS, json=[])

    list(classic.freshdesk.new_ratings("{what"))

    assert "created_since=2026-10-24" in wire.calls[0].request.url


# ------------------------------------------------------------------ which of the two systems
def answers(*rows: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    return {"data": list(rows), "paging": {"next": following, "previous": None}}


def survey(name: str = "s-1", state: str = "ACTIVE") -> dict[str, Any]:
    asked = {"id": "Q_1", "type": "range", "question_identifier": "CSAT", "scale": {"min": 1, "max": 5}}
    return {"id": name, "state": state, "questions": [asked]}


def response(number: int, value: int = 1, at: str = "2026-11-21T11:00:00Z") -> dict[str, Any]:
    return {"id": f"r-{number}", "survey_id": "s-1", "user_id": "8", "agent_id": "9", "group_id": None, "ticket_id": 23,
            "answers": [{"question_id": "Q_1", "value": value}], "created_at": at, "updated_at": at}  # fmt: skip


def test_where_both_systems_hold_answers_the_newer_one_is_read(account, wire):
    wire.get(RATINGS, json=[rating(31)])
    wire.get(NEWER, json=answers(survey()))
    wire.get(f"{NEWER}/s-1/responses", json=answers(response(1)))

    assert ratings_in(account.freshdesk.new_ratings(None)) == ["r-1"]


def test_a_newer_system_without_an_answer_does_not_hide_the_older_one(account, wire):
    wire.get(RATINGS, json=[rating(31)])
    wire.get(SURVEYS, json=[])
    wire.get(NEWER, json=answers(survey()))
    wire.get(f"{NEWER}/s-1/responses", status=404)

    assert ratings_in(account.freshdesk.new_ratings(None)) == ["31"]


def test_an_account_without_surveys_is_told_so(account, wire):
    wire.get(RATINGS, status=403, json={"code": "require_feature", "message": "The Surveys feature(s) is/are not"})
    wire.get(NEWER, status=404)

    with pytest.raises(CredentialsRefused, match="no satisfaction ratings to read"):
        account.freshdesk.new_ratings(None)


def test_a_refused_key_is_not_taken_for_a_missing_system(account, wire):
    wire.get(RATINGS, status=401, json={"code": "invalid_credentials", "message": "no"})

    with pytest.raises(CredentialsRefused, match="401"):
        account.freshdesk.new_ratings(None)


def test_a_change_of_the_system_leaves_no_gap(newer, wire):
    wire.get(NEWER, json=answers(survey()))
    wire.get(f"{NEWER}/s-1/responses", json=answers())

    list(newer.freshdesk.new_ratings('{"api": "classic", "done": "2026-11-21T11:55:00Z"}'))

    assert "created_after=2026-11-20T10%3A40%3A00Z" in wire.calls[-1].request.url


# ------------------------------------------------------------------ the newer system
def test_responses_are_read_by_token(newer, wire):
    wire.get(NEWER, json=answers(survey()))
    path = f"{NEWER}/s-1/responses"
    wire.get(path, json=answers(response(1), following=f"{path}?next_token=abc%3D&per_page=100"))
    wire.get(path, json=answers(response(2)), match=[query_param_matcher({"next_token": "abc="}, strict_match=False)])

    assert ratings_in(newer.freshdesk.new_ratings(None)) == ["r-1", "r-2"]


def test_an_idle_poll_of_the_newer_system_costs_one_call_per_active_survey(newer, wire):
    wire.get(NEWER, json=answers(survey("s-1"), survey("s-2"), survey("s-3", "PAUSE"), survey("s-4", "DRAFT")))
    for name in ("s-1", "s-2", "s-3"):
        wire.get(f"{NEWER}/{name}/responses", status=404)
    *_, last = newer.freshdesk.new_ratings(None)
    before = len(wire.calls)

    list(newer.reconnected().freshdesk.new_ratings(last.cursor))

    assert len(wire.calls) - before == 2


def test_past_ratings_read_surveys_that_are_no_longer_sent(newer, wire):
    wire.get(NEWER, json=answers(survey("s-3", "PAUSE"), survey("s-4", "DRAFT")))
    wire.get(f"{NEWER}/s-3/responses", json=answers(response(1)))

    assert ratings_in(newer.freshdesk.past_ratings(NOON - timedelta(days=2))) == ["r-1"]


def test_a_filter_that_is_not_known_is_left_out(newer, wire):
    unknown = {"field": "created_after", "message": "Unexpected/invalid field in request", "code": "invalid_field"}
    wire.get(NEWER, json=answers(survey()))
    path = f"{NEWER}/s-1/responses"
    wire.get(path, json=answers(response(1)), match=[query_param_matcher({"per_page": "100"})])
    wire.get(path, status=400, json={"description": "Validation failed", "errors": [unknown]})

    assert ratings_in(newer.freshdesk.new_ratings(None)) == ["r-1"]


def test_a_filter_that_is_ignored_does_not_make_us_read_everything(newer, wire):
    wire.get(NEWER, json=answers(survey()))
    path = f"{NEWER}/s-1/responses"
    old = [response(2, at="2026-01-02T00:00:00Z"), response(3, at="2026-01-01T00:00:00Z")]
    wire.get(path, json=answers(response(1), *old, following=f"{path}?next_token=abc"))

    assert ratings_in(newer.freshdesk.new_ratings(None)) == ["r-1"]
    assert len(wire.calls) == 2


def test_a_token_that_has_expired_begins_the_survey_anew(newer, wire):
    wire.get(NEWER, json=answers(survey()))
    path = f"{NEWER}/s-1/responses"
    wire.get(path, status=400, json={}, match=[query_param_matcher({"next_token": "old"}, strict_match=False)])
    wire.get(path, json=answers(response(1)))
    cursor = '{"api": "new", "since": "2026-11-20T00:00:00Z", "survey": "s-1", "token": "old"}'

    assert ratings_in(newer.freshdesk.new_ratings(cursor)) == ["r-1"]


def test_a_survey_that_vanished_during_a_walk_ends_it(newer, wire):
    wire.get(NEWER, json=answers(survey("s-1")))

    [page] = newer.freshdesk.new_ratings('{"api": "new", "since": "2026-11-20T00:00:00Z", "survey": "s-9"}')

    assert json.loads(page.cursor) == {"api": "new", "done": "2026-11-21T12:00:00Z"}


# ------------------------------------------------------------------ ratings of one ticket
def test_one_rating_is_read_again_from_its_ticket(classic, wire):
    wire.get(f"{API}/tickets/23/satisfaction_ratings", json=[rating(31), rating(32, 103)])

    [found] = classic.freshdesk.ratings_of("23", "32")

    assert found.category == "good"


def test_the_ratings_of_a_deleted_ticket_are_none(classic, wire):
    wire.get(f"{API}/tickets/23/satisfaction_ratings", status=404)

    assert classic.freshdesk.ratings_of("23") == []


def test_a_malformed_rating_that_is_asked_for_says_why(classic, wire):
    wire.get(f"{API}/tickets/23/satisfaction_ratings", json=[{"id": 31, "ratings": {}}])

    with pytest.raises(BadRecord, match=r"shop: rating 31 has no field 'ratings.default_question'"):
        classic.freshdesk.ratings_of("23", "31")


# ------------------------------------------------------------------ tickets
@pytest.fixture(scope="session")
def recorded() -> dict[str, list[dict[str, Any]]]:
    file = REFERENCE / "samples/freshdesk/recorded.jsonl"
    if not file.exists():
        pytest.skip(f"the recorded records are not at {file}; set BRIDGE_TEST_REFERENCE")
    streams: dict[str, list[dict[str, Any]]] = {}
    for line in file.read_text().splitlines():
        record = json.loads(line)
        streams.setdefault(record["stream"], []).append(record["data"])
    return streams


def test_the_recorded_ticket_is_read_as_it_is(account, wire, recorded):
    wire.get(f"{API}/tickets/23", json=recorded["tickets"][0])

    ticket = account.freshdesk.tickets(["23"])["23"]

    assert (ticket.status, ticket.channel, ticket.priority) == (Status.SOLVED, "email", "low")
    assert ticket.stamp == "2022-11-22T15:02:37Z"
    assert ticket.requester and ticket.requester.email == "requester@example.com"


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"status": 2}, Status.OPEN),
        ({"status": 3}, Status.PENDING),
        ({"status": 5}, Status.SOLVED),
        ({"status": 6}, Status.PENDING),
        ({"status": 11}, Status.PENDING),
        ({"deleted": True}, Status.DELETED),
        ({"spam": True}, Status.SPAM),
    ],
)
def test_a_ticket_stands_where_it_can_be_worked_on(account, wire, row, status):
    wire.get(f"{API}/tickets/7", json=ticket_row(**row))

    assert account.freshdesk.tickets(["7"])["7"].status is status


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"json": ticket_row()}, Status.ARCHIVED),
        ({"status": 404}, Status.DELETED),
        ({"status": 403, "json": {"code": "require_feature", "message": "no archive"}}, Status.DELETED),
    ],
)
def test_a_ticket_that_is_not_there_is_archived_or_deleted(account, wire, answer, status):
    wire.get(f"{API}/tickets/7", status=404)
    wire.get(f"{API}/tickets/archived/7", **answer)

    assert account.freshdesk.tickets(["7"])["7"].status is status


def test_a_ticket_carries_the_marker_of_our_last_write(account, wire):
    wire.get(f"{API}/tickets/7", json=ticket_row(custom_fields={"cf_sr_ref": "sr-e1"}))

    assert account.freshdesk.tickets(["7"])["7"].marker == "sr-e1"


def test_the_brand_of_a_ticket_is_its_product(account, wire):
    wire.get(f"{API}/tickets/7", json=ticket_row(product_id=3))
    wire.get(f"{API}/products", json=[{"id": 3, "name": "Bikes"}])

    assert account.freshdesk.tickets(["7"])["7"].brand == "Bikes"


def test_a_ticket_without_a_status_is_a_bad_record(account, wire):
    wire.get(f"{API}/tickets/7", json={"id": 7, "updated_at": "2026-11-21T10:00:00Z"})

    with pytest.raises(BadRecord, match="shop: ticket 7 has no field 'status'"):
        account.freshdesk.tickets(["7"])


# ------------------------------------------------------------------ requesters
@pytest.fixture
def curious() -> Account:
    return Account(needs=Needs(customer_tags=frozenset({"vip", "partner"})))


def tags_of(account: Account) -> frozenset[str]:
    requester = account.freshdesk.tickets(["7"])["7"].requester
    assert requester
    return requester.tags


def test_one_search_tells_who_has_the_tags_that_rules_name(curious, wire):
    query = query_param_matcher({"query": "\"tag:'partner' OR tag:'vip'\"", "page": "1"})
    wire.get(f"{API}/tickets/7", json=ticket_row())
    wire.get(f"{API}/search/contacts", json={"total": 1, "results": [{"id": 8, "tags": ["vip"]}]}, match=[query])

    assert tags_of(curious) == tags_of(curious) == {"vip"}
    assert len(wire.calls) == 3


def test_a_search_that_does_not_show_tags_costs_one_look_at_the_contact(curious, wire):
    wire.get(f"{API}/tickets/7", json=ticket_row())
    wire.get(f"{API}/search/contacts", json={"total": 1, "results": [{"id": 8}]})
    wire.get(f"{API}/contacts/8", json={"id": 8, "tags": ["vip", "x"], "language": "de"})

    assert tags_of(curious) == {"vip", "x"}


@pytest.mark.parametrize(
    "search",
    [{"json": {"total": 301, "results": []}}, {"status": 400, "json": {}}, {"status": 403, "json": {}}],
)
def test_where_the_search_cannot_tell_each_contact_is_asked_once_a_day(curious, wire, search):
    wire.get(f"{API}/tickets/7", json=ticket_row())
    wire.get(f"{API}/search/contacts", **search)
    wire.get(f"{API}/contacts/8", json={"id": 8, "tags": ["vip"]})

    assert tags_of(curious) == tags_of(curious) == {"vip"}
    assert sum("/contacts/8" in line for line in said(wire)) == 1


def test_nobody_pays_for_facts_that_no_rule_asks_for(account, wire):
    wire.get(f"{API}/tickets/7", json=ticket_row())

    assert tags_of(account) == frozenset()
    assert said(wire) == ["GET /tickets/7?include=requester"]


def test_the_language_is_the_contacts_own(wire):
    wire.get(f"{API}/tickets/7", json=ticket_row())
    wire.get(f"{API}/contacts/8", json={"id": 8, "tags": [], "language": "pt-BR"})

    requester = Account(needs=Needs(language=True)).freshdesk.tickets(["7"])["7"].requester

    assert requester and requester.language == "pt-BR"


# ------------------------------------------------------------------ who answered last
def talk(user: int, minute: int, **changes: Any) -> dict[str, Any]:
    return {"user_id": user, "source": 0, "incoming": False, "private": False, "automation_id": None,
            "auto_response": False, "created_at": f"2026-11-21T11:{minute:02}:00Z"} | changes  # fmt: skip


def holder(account: Account, wire: Wire, *rows: dict[str, Any]) -> str | None:
    wire.get(f"{API}/tickets/7/conversations", json=list(rows))
    return account.freshdesk.past_holder("7", datetime(2026, 11, 21, 11, 30, tzinfo=UTC))


def test_the_past_holder_wrote_the_last_public_reply_before_the_moment(account, wire):
    assert holder(account, wire, talk(3, 20), talk(2, 10), talk(4, 40)) == "3"


@pytest.mark.parametrize("change", [{"incoming": True}, {"private": True}, {"source": 2}, {"automation_id": 5}])
def test_customers_notes_and_machines_hold_no_ticket(account, wire, change):
    assert holder(account, wire, talk(2, 10), talk(3, 20, **change)) == "2"


def test_the_recorded_conversation_has_a_holder(account, wire, recorded):
    wire.get(f"{API}/tickets/23/conversations", json=recorded["conversations"])

    assert account.freshdesk.past_holder("23", NOON) == "67013469919"


# ------------------------------------------------------------------ people
def agent(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": number, "type": "support_agent", "ticket_scope": 1, "available": False, "contact": {
        "name": f"Agent {number}", "email": f"a{number}@example.com", "active": False, "time_zone": "Berlin",
    }, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"} | changes  # fmt: skip


def presence(number: int, *channels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"agent_ref": str(number), "channel_availability": list(channels)} | changes


def people(wire: Wire, *agents: dict[str, Any], members: tuple[int, ...] = (), present: Any = None) -> None:
    only = query_param_matcher({"only": "availability"}, strict_match=False)
    group = {"id": 4, "name": "Support", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    wire.get(f"{API}/agents", match=[only], **({"status": 404} if present is None else {"json": present}))
    wire.get(f"{API}/agents", json=list(agents))
    wire.get(f"{API}/groups", json=[group])
    wire.get(f"{API}/groups/4", json=group | {"agent_ids": list(members)})
    wire.get(f"{API}/products", json=[{"id": 3, "name": "Bikes"}])
    wire.get(f"{API}/agents/me", json={"id": 99})


def test_the_directory_knows_agents_groups_and_brands(account, wire):
    people(wire, agent(9), members=(9,))

    directory = account.freshdesk.directory()

    assert directory.agents["9"].group_ids == ("4",)
    assert directory.agents["9"].unusable is None
    assert (directory.groups, directory.brands) == ({"4": "Support"}, {"3": "Bikes"})


def test_the_directory_is_read_again_only_when_it_is_old_or_asked_for(account, wire):
    people(wire, agent(9), members=(9,))
    first = account.freshdesk.directory()
    calls = len(wire.calls)

    assert account.reconnected().freshdesk.directory() == first
    assert len(wire.calls) == calls

    account.freshdesk.directory(fresh=True)
    account.advance(hours=2)
    account.freshdesk.directory()
    assert len(wire.calls) == 3 * calls


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"deactivated": True}, "is deactivated"),
        ({"type": "collaborator"}, "is a collaborator"),
        ({"type": "field_agent"}, "is a field agent"),
        ({"ticket_scope": 2}, "sees only the tickets of their groups and is in none"),
        ({"occasional": True}, None),
    ],
)
def test_who_cannot_be_given_a_ticket_and_why(account, wire, changes, why):
    people(wire, agent(9, **changes))

    assert account.freshdesk.directory().agents["9"].unusable == why


LEFT = {"available": False, "logged_in": False, "availability_updated_at": "2026-11-20T08:00:00Z"}


@pytest.mark.parametrize(
    ("channels", "away_since"),
    [
        ([LEFT, LEFT | {"availability_updated_at": "2026-11-20T09:00:00Z"}], datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ([LEFT, LEFT | {"logged_in": True}], None),
        ([LEFT, LEFT | {"available": True}], None),
        ([], None),
    ],
)
def test_away_is_who_has_left_every_channel(account, wire, channels, away_since):
    people(wire, agent(9), present=[presence(9, *channels), presence(10, LEFT)])

    assert account.freshdesk.directory().agents["9"].away_since == away_since


def test_a_status_of_the_settings_means_out_of_office(wire):
    people(wire, agent(9, agent_operational_status="On Leave"))

    found = Account(out_of_office=("on leave",)).freshdesk.directory().agents["9"]

    assert found.out_of_office == "status On Leave"


def test_the_recorded_agent_can_be_given_a_ticket(account, wire, recorded):
    people(wire, *recorded["agents"])

    assert account.freshdesk.directory().agents["67013469919"].unusable is None


# ------------------------------------------------------------------ writing
TICKET = Ticket("7", Status.SOLVED, NOON, NOON, tags=("shop",), assignee_id="9", group_id="4", priority="low")


@pytest.fixture
def marked(account: Account) -> Account:
    account.memory.remember("marker_field", True)
    return account


def put(wire: Wire) -> Any:
    return next(json.loads(call.request.body) for call in wire.calls if call.request.method == "PUT")


def test_only_what_changes_is_sent_with_the_marker(marked, wire):
    wire.put(f"{API}/tickets/7", json=ticket_row(status=2, tags=["shop", "sr"], priority=3))
    change = Change(add_tags=("sr", "SHOP"), assignee_id="9", group_id="4", reopen=True, priority="high")

    assert written(marked.freshdesk.write([write_of(TICKET, change)])).verdict is Verdict.APPLIED
    assert put(wire) == {
        "tags": ["shop", "sr"],
        "status": 2,
        "priority": 3,
        "custom_fields": {"cf_sr_ref": "sr-e1"},
    }


def test_a_new_assignee_is_sent_together_with_the_group(marked, wire):
    wire.put(f"{API}/tickets/7", json=ticket_row(responder_id=10))

    written(marked.freshdesk.write([write_of(TICKET, Change(assignee_id="10"))]))

    assert put(wire) == {"responder_id": 10, "group_id": 4, "custom_fields": {"cf_sr_ref": "sr-e1"}}


def test_a_ticket_can_be_left_in_a_group_with_nobody(marked, wire):
    wire.put(f"{API}/tickets/7", json=ticket_row(responder_id=None, group_id=5))

    written(marked.freshdesk.write([write_of(TICKET, Change(unassign=True, group_id="5"))]))

    assert put(wire) == {"responder_id": None, "group_id": 5, "custom_fields": {"cf_sr_ref": "sr-e1"}}


def test_a_ticket_that_is_as_wanted_is_not_written(marked, wire):
    assert written(marked.freshdesk.write([write_of(TICKET, Change(add_tags=("shop",)))])).verdict is Verdict.APPLIED
    assert said(wire) == []


def test_without_the_field_the_write_goes_without_the_marker(account, wire, recorded):
    wire.get(f"{API}/ticket_fields", json=recorded["ticket_fields"])
    wire.put(f"{API}/tickets/7", json=ticket_row(status=2))

    written(account.freshdesk.write([write_of(TICKET, Change(reopen=True))]))

    assert put(wire) == {"status": 2}


def test_a_note_is_inert_text_that_ends_with_our_reference(marked, wire):
    wire.post(f"{API}/tickets/7/notes", status=201, json=talk(1, 1) | {"updated_at": "2026-11-21T11:00:00Z"})
    note = "<script>alert(1)</script>\nHello {{ticket.id}}\x00"

    written(marked.freshdesk.write([write_of(TICKET, Change(note=note))]))

    sent = json.loads(wire.calls[0].request.body)
    assert sent["private"] is True
    assert sent["body"] == ("&lt;script&gt;alert(1)&lt;/script&gt;<br>Hello &#123;&#123;ticket.id}}<br><br>ref sr-e1")


def no(*fields: str) -> dict[str, Any]:
    errors = [{"field": name, "message": "is not valid", "code": "invalid_value"} for name in fields]
    return {"status": 400, "json": {"description": "Validation failed", "errors": errors}}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (no("responder_id"), Verdict.BAD_ASSIGNEE),
        (no("group_id"), Verdict.BAD_ASSIGNEE),
        (no("cf_order"), Verdict.REFUSED),
        ({"status": 405, "json": {}}, Verdict.GONE),
        ({"status": 404}, Verdict.GONE),
        ({"status": 409, "json": {}}, Verdict.CONFLICT),
        ({"status": 502, "body": "<html>"}, Verdict.UNKNOWN),
        ({"status": 200, "body": "<html>"}, Verdict.UNKNOWN),
        ({"status": 200, "json": {"id": 7}}, Verdict.UNKNOWN),
        ({"status": 200, "json": ticket_row(responder_id=9)}, Verdict.BAD_ASSIGNEE),
        ({"status": 200, "json": ticket_row(responder_id=10, status=5)}, Verdict.REFUSED),
        ({"status": 200, "json": ticket_row(responder_id=10, status=2)}, Verdict.APPLIED),
    ],
)
def test_what_an_answer_means_for_the_effect(marked, wire, answer, verdict):
    wire.put(f"{API}/tickets/7", **answer)
    wire.get(f"{API}/tickets/7", status=404)
    wire.get(f"{API}/tickets/archived/7", status=404)

    result = written(marked.freshdesk.write([write_of(TICKET, Change(assignee_id="10", reopen=True))]))

    assert result.verdict is verdict


def test_a_refusal_names_the_field(marked, wire):
    wire.put(f"{API}/tickets/7", **no("cf_order"))

    assert "cf_order: is not valid" in written(marked.freshdesk.write([write_of(TICKET, Change(reopen=True))])).why


def test_a_ticket_that_was_archived_meanwhile_is_locked(marked, wire):
    wire.put(f"{API}/tickets/7", status=404)
    wire.get(f"{API}/tickets/7", status=404)
    wire.get(f"{API}/tickets/archived/7", json=ticket_row())

    assert written(marked.freshdesk.write([write_of(TICKET, Change(reopen=True))])).verdict is Verdict.LOCKED


def test_a_marker_field_that_was_removed_is_left_out_the_next_time(marked, wire):
    wire.put(f"{API}/tickets/7", **no("cf_sr_ref"))
    first = written(marked.freshdesk.write([write_of(TICKET, Change(reopen=True))]))
    wire.replace(responses.PUT, f"{API}/tickets/7", json=ticket_row(status=2))

    again = written(marked.freshdesk.write([write_of(TICKET, Change(reopen=True))]))

    assert (first.verdict, again.verdict) == (Verdict.CONFLICT, Verdict.APPLIED)
    assert json.loads(wire.calls[-1].request.body) == {"status": 2}


def test_a_429_to_the_first_request_leaves_the_effect_undone(marked, wire):
    wire.put(f"{API}/tickets/7", status=429, headers={"Retry-After": "30"})

    with pytest.raises(Throttled):
        list(marked.freshdesk.write([write_of(TICKET, Change(reopen=True))]))


def test_a_429_between_the_fields_and_the_note_is_unknown(marked, wire):
    wire.put(f"{API}/tickets/7", json=ticket_row(status=2))
    wire.post(f"{API}/tickets/7/notes", status=429, headers={"Retry-After": "30"})

    result = written(marked.freshdesk.write([write_of(TICKET, Change(reopen=True, note="Hello"))]))

    assert result.verdict is Verdict.UNKNOWN


def test_a_key_that_may_not_write_is_raised_and_refuses_nothing(marked, wire):
    wire.put(f"{API}/tickets/7", status=403, json={"code": "access_denied", "message": "no"})

    with pytest.raises(CredentialsRefused):
        list(marked.freshdesk.write([write_of(TICKET, Change(reopen=True))]))


def test_no_job_is_ever_followed(account):
    write = write_of(TICKET, Change(reopen=True))

    assert written(account.freshdesk.follow("j1", [write])).verdict is Verdict.UNKNOWN


# ------------------------------------------------------------------ doctor
def test_doctor_stops_at_a_key_that_is_refused(account, wire):
    wire.get(f"{API}/agents/me", status=401, json={"code": "invalid_credentials", "message": "no"})

    [finding] = account.freshdesk.doctor()

    assert finding.level is Level.FAIL
    assert "401" in finding.what


def test_doctor_warns_where_both_systems_hold_answers(account, wire):
    me = {"id": 1, "ticket_scope": 1, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    wire.get(f"{API}/agents/me", json=me)
    wire.get(f"{API}/agents", json=[])
    wire.get(RATINGS, json=[rating(31)])
    wire.get(NEWER, json=answers(survey()))
    wire.get(f"{NEWER}/s-1/responses", json=answers(response(1)))
    wire.get(f"{API}/ticket_fields", json=[{"name": "cf_sr_ref"}])
    wire.get(f"{API}/automations/3/rules", status=403, json={})
    wire.get(f"{API}/automations/4/rules", status=403, json={})

    found = list(account.freshdesk.doctor())

    assert [finding.what for finding in found if finding.level is Level.WARNING] == [
        "both the older and the newer CSAT hold answers of the last four weeks; only the newer one is read"
    ]
    assert "ratings come from the newer CSAT; scale: 1 to 5" in [finding.what for finding in found]
    assert "the automation rules cannot be read with this key" in [finding.what for finding in found]


def test_the_link_is_for_people(account):
    assert account.freshdesk.link("7") == "https://shop.freshdesk.com/a/tickets/7"
