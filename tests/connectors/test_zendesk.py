"""Zendesk's verbs against recorded shapes: signing, polling, tickets, people, history."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from memory import NOON, DictMemory
from responses import matchers
from test_zendesk_ratings import answered, legacy, picked
from zendesk_account import API, URL, connected, ticket_json

from bridge.connector import Needs, Secret
from bridge.errors import BadRecord, CredentialsRefused, Refused, SettingsError, Unreachable
from bridge.model import Category, Requester, Status
from connectors.zendesk import Config

DAY = timedelta(days=1)


@pytest.fixture
def memory():
    return DictMemory()


@pytest.fixture
def http():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def old_csat(http):
    """An account without the new surveys."""
    http.get(f"{API}/guide/en-us/surveys", status=404, json={"errors": [{"code": "NotFound", "status": "404"}]})
    return http


@pytest.fixture
def new_csat(http):
    """An account whose survey has five points and one reason."""
    options = [{"rating": n, "label": str(n)} for n in (1, 2, 3, 4, 5)]
    questions = [{"sub_type": "customer_satisfaction", "options": options},
                 {"type": "closed_ended", "options": [{"id": "O1", "label": "Too slow"}]}]  # fmt: skip
    survey = {"id": "S", "version": 4, "state": "enabled", "questions": questions}
    http.get(f"{API}/guide/en-us/surveys", json={"surveys": [survey], "meta": {"has_more": False}})
    return http


def ratings_page(*rows, after=None):
    return {"satisfaction_ratings": list(rows), "meta": {"has_more": after is not None, "after_cursor": after},
            "links": {"next": f"{URL}/elsewhere" if after else None}}  # fmt: skip


def responses_page(*rows, after=None):
    return {"survey_responses": list(rows), "meta": {"has_more": after is not None, "after_cursor": after}}


def export_page(*tickets, after="C1", end=True):
    return {"tickets": list(tickets), "after_cursor": after, "end_of_stream": end}


def asked(http, part):
    """Return the query of each request whose path contains *part*."""
    urls = [urlsplit(call.request.url) for call in http.calls]
    return [{key: values[0] for key, values in parse_qs(url.query).items()} for url in urls if part in url.path]


def ids(pages):
    return [rating.rating_id for page in pages for rating in page.ratings]


def seconds(moment):
    return str(int(moment.timestamp()))


# ------------------------------------------------------------------ settings
@pytest.mark.parametrize(
    "secrets", [{}, {"client_id": Secret("a")}, {"email": Secret("a@b.c")}, {"api_token": Secret("t")}]
)
def test_half_a_pair_of_credentials_names_what_to_set(secrets):
    with pytest.raises(SettingsError, match="set BRIDGE_ACME_EU_CLIENT_ID and BRIDGE_ACME_EU_CLIENT_SECRET") as caught:
        Config("acme-eu", URL, **secrets)

    assert caught.value.exit_code == 78


def test_a_url_of_another_host_is_refused():
    with pytest.raises(SettingsError, match="not a host below"):
        Config("acme", "https://acme.zendesk.com.evil.example", email=Secret("a@b.c"), api_token=Secret("t"))


def test_the_link_is_the_agents_page_of_the_ticket(memory):
    assert connected(memory).link("7") == f"{URL}/agent/tickets/7"


# ------------------------------------------------------------------ signing
def test_an_api_token_signs_as_its_user(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page())

    list(connected(memory).new_ratings(None))

    assert old_csat.calls[-1].request.headers["Authorization"].startswith("Basic YnJpZGdlQGFjbWUuZXhhbXBsZS90b2tlbj")


def minting(http, *tokens, expires_in=1800):
    for token in tokens:
        http.post(f"{URL}/oauth/tokens", status=201, json={"access_token": token, "expires_in": expires_in})


def by_oauth(memory):
    return connected(memory, client_id="CLIENT", client_secret="SECRET-TEXT")


def signed_with(http):
    return [call.request.headers.get("Authorization") for call in http.calls]


def test_a_token_is_minted_once_and_kept_for_the_next_run(memory, http):
    minting(http, "T1")
    http.get(f"{API}/tickets/7", json={"ticket": ticket_json(satisfaction_rating=None)})
    http.get(f"{API}/guide/en-us/surveys", status=404)

    by_oauth(memory).ratings_of("7")
    by_oauth(memory).ratings_of("7")

    assert signed_with(http).count(None) == 1  # the request for the token itself is not signed
    assert json.loads(http.calls[0].request.body)["scope"] == "read write"
    assert "T1" in memory.secrets["token"]


def test_a_token_is_renewed_before_it_expires(memory, http):
    minting(http, "T1", "T2")
    http.get(f"{API}/satisfaction_ratings/1", status=404)
    http.get(f"{API}/guide/en-us/surveys", status=404)
    by_oauth(memory).ratings_of("7", "1")

    memory.advance(timedelta(seconds=1700))
    by_oauth(memory).ratings_of("7", "1")

    assert signed_with(http)[-1] == "Bearer T2"


def test_a_revoked_token_is_minted_again_once(memory, http):
    minting(http, "T1", "T2")
    http.get(f"{API}/guide/en-us/surveys", status=404)
    http.get(
        f"{API}/satisfaction_ratings/31", status=401, match=[matchers.header_matcher({"Authorization": "Bearer T1"})]
    )
    http.get(f"{API}/satisfaction_ratings/31", json={"satisfaction_rating": legacy()},
             match=[matchers.header_matcher({"Authorization": "Bearer T2"})])  # fmt: skip

    [rating] = by_oauth(memory).ratings_of("7", "31")

    assert rating.rating_id == "31"


def test_credentials_that_are_refused_end_after_one_more_try(memory, http):
    minting(http, "T1", "T2", "T3")
    http.get(f"{API}/guide/en-us/surveys", status=401, json={"error": "Couldn't authenticate you"})

    with pytest.raises(CredentialsRefused, match="acme: GET /api/v2/guide/en-us/surveys: 401"):
        list(by_oauth(memory).new_ratings(None))

    assert len(http.calls) == 4


def test_a_wrong_client_secret_is_a_matter_of_credentials_and_not_shown(memory, http):
    http.post(f"{URL}/oauth/tokens", status=400, json={"error": "invalid_client"})

    with pytest.raises(CredentialsRefused) as caught:
        list(by_oauth(memory).new_ratings(None))

    assert "are client id and secret right" in str(caught.value)
    assert "SECRET-TEXT" not in str(caught.value)


# ------------------------------------------------------------------ legacy ratings
def test_a_first_poll_reads_bad_ratings_of_the_window_in_which_customers_may_answer(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy()))

    assert ids(connected(memory).new_ratings(None)) == ["31"]

    [query] = asked(old_csat, "satisfaction_ratings")
    assert query == {"score": "bad", "start_time": seconds(NOON - 28 * DAY), "page[size]": "100"}


def test_an_idle_poll_costs_one_call(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page())
    [page] = connected(memory).new_ratings(None)
    before = len(old_csat.calls)

    memory.advance(timedelta(minutes=5))
    list(connected(memory).new_ratings(page.cursor))

    assert len(old_csat.calls) - before == 1


def test_a_poll_follows_every_page_and_its_cursors_resume_behind_each(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=1), after="P2"))
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=2)))
    first, _ = connected(memory).new_ratings(None)

    assert ids(connected(memory).new_ratings(first.cursor)) == ["2"]

    assert asked(old_csat, "satisfaction_ratings")[-1]["page[after]"] == "P2"


def test_the_rest_of_a_walk_keeps_its_window(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=1), after="P2"))
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=2)))
    first = next(connected(memory).new_ratings(None))

    memory.advance(DAY)
    list(connected(memory).new_ratings(first.cursor))

    first_query, second_query = asked(old_csat, "satisfaction_ratings")
    assert second_query["start_time"] == first_query["start_time"]


def test_a_page_cursor_that_is_too_old_starts_the_walk_again(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=1), after="P2"))
    old_csat.get(f"{API}/satisfaction_ratings", status=400, json={"error": "InvalidPaginationParameter"})
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=1), legacy(id=2)))
    first = next(connected(memory).new_ratings(None))

    assert ids(connected(memory).new_ratings(first.cursor)) == ["1", "2"]


def test_the_same_page_again_and_again_is_an_error_and_not_for_ever(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=1), after="P2"))

    with pytest.raises(Unreachable, match="the next page is this page again"):
        list(connected(memory).new_ratings(None))


def test_pages_in_the_older_style_are_followed_too(memory, old_csat):
    following = f"{API}/satisfaction_ratings?page=2"
    old_csat.get(f"{API}/satisfaction_ratings", json={"satisfaction_ratings": [legacy(id=1)], "next_page": following},
                 match=[matchers.query_param_matcher({"score": "bad"}, strict_match=False)])  # fmt: skip
    old_csat.get(f"{API}/satisfaction_ratings", json={"satisfaction_ratings": [legacy(id=2)], "next_page": None},
                 match=[matchers.query_param_matcher({"page": "2"})])  # fmt: skip

    assert ids(connected(memory).new_ratings(None)) == ["1", "2"]


def test_a_next_page_on_another_host_is_not_followed(memory, old_csat):
    evil = {"satisfaction_ratings": [], "next_page": "https://evil.example/api/v2/satisfaction_ratings?page=2"}
    old_csat.get(f"{API}/satisfaction_ratings", json=evil)

    with pytest.raises(Unreachable, match=r"will not send credentials to evil\.example"):
        list(connected(memory).new_ratings(None))


def test_rules_about_good_ratings_make_polls_read_all_scores(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page())

    list(connected(memory, needs=Needs(categories=frozenset({Category.GOOD}))).new_ratings(None))

    assert asked(old_csat, "satisfaction_ratings")[0]["score"] == "received"


def test_a_late_answer_that_comes_back_shows_that_start_time_means_update(memory, old_csat):
    late = legacy(created_at="2026-10-20T09:00:00Z", updated_at="2026-11-11T10:15:00Z")
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(late))
    [page] = connected(memory).new_ratings(None)

    memory.advance(timedelta(hours=1))
    list(connected(memory).new_ratings(page.cursor))

    query = asked(old_csat, "satisfaction_ratings")[-1]
    assert query["score"] == "received"
    assert query["start_time"] == seconds(NOON - timedelta(minutes=15))


def test_until_then_every_poll_reads_the_whole_window(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy()))
    [page] = connected(memory).new_ratings(None)

    memory.advance(DAY)
    list(connected(memory).new_ratings(page.cursor))

    assert asked(old_csat, "satisfaction_ratings")[-1]["start_time"] == seconds(NOON - 27 * DAY)


def test_a_malformed_rating_does_not_block_the_page(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=1), legacy(id=2, ticket_id=None)))

    [page] = connected(memory).new_ratings(None)

    assert [rating.rating_id for rating in page.ratings] == ["1"]
    assert [record.error for record in page.malformed] == ["rating 2 has no field 'ticket_id'"]


@pytest.mark.parametrize("body", [[], {"count": 0}, {"satisfaction_ratings": None}, "text", None])
def test_json_that_is_no_page_of_ratings_is_no_empty_page(memory, old_csat, body):
    old_csat.get(f"{API}/satisfaction_ratings", json=body)

    with pytest.raises(Unreachable, match="the answer"):
        list(connected(memory).new_ratings(None))


# ------------------------------------------------------------------ past ratings
def test_past_ratings_begin_with_the_offers_that_may_have_been_answered_since(memory, old_csat):
    early = legacy(id=1, updated_at="2026-11-01T00:00:00Z")
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(early, legacy(id=2, score="good")))

    found = ids(connected(memory).past_ratings(datetime(2026, 11, 10, tzinfo=UTC)))

    assert found == ["2"]
    [query] = asked(old_csat, "satisfaction_ratings")
    assert (query["score"], query["start_time"]) == ("received", seconds(datetime(2026, 10, 13, tzinfo=UTC)))


def test_past_ratings_resume_and_end(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=1), after="P2"))
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy(id=2)))
    first, last = connected(memory).past_ratings(NOON - 90 * DAY)

    assert ids(connected(memory).past_ratings(NOON - 90 * DAY, first.cursor)) == ["2"]
    assert ids(connected(memory).past_ratings(NOON - 90 * DAY, last.cursor)) == []


def test_past_survey_answers_are_asked_for_in_milliseconds(memory, new_csat):
    new_csat.get(f"{API}/guide/survey_responses", json=responses_page(answered(), answered(id="R2", answers=[])))

    assert ids(connected(memory).past_ratings(datetime(2026, 11, 1, tzinfo=UTC))) == ["R1"]

    [query] = asked(new_csat, "survey_responses")
    assert query["filter[created_at_start]"] == seconds(datetime(2026, 10, 4, tzinfo=UTC)) + "000"


# ------------------------------------------------------------------ new CSAT
def test_which_csat_it_is_is_asked_once_a_day(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", json=ratings_page())
    list(connected(memory).new_ratings(None))
    memory.advance(timedelta(hours=23))
    list(connected(memory).new_ratings(None))
    assert len(asked(old_csat, "surveys")) == 1

    memory.advance(timedelta(hours=2))
    list(connected(memory).new_ratings(None))

    assert len(asked(old_csat, "surveys")) == 2


def test_a_disabled_survey_means_legacy(memory, http):
    http.get(f"{API}/guide/en-us/surveys", json={"surveys": [{"id": "S", "state": "disabled"}], "meta": {}})
    http.get(f"{API}/satisfaction_ratings", json=ratings_page(legacy()))

    assert ids(connected(memory).new_ratings(None)) == ["31"]


def test_a_first_poll_of_surveys_reads_the_window_and_the_next_follows_changed_tickets(memory, new_csat):
    new_csat.get(f"{API}/guide/survey_responses", json=responses_page(answered()))
    new_csat.get(
        f"{API}/incremental/tickets/cursor", json=export_page(ticket_json(7, updated_at="2026-11-11T10:15:00Z"))
    )
    [first] = connected(memory).new_ratings(None)

    [page] = connected(memory).new_ratings(first.cursor)

    assert (page.ratings[0].rating_id, page.ratings[0].assignee_id, page.ratings[0].group_id) == ("R1", "80", "60")
    [query] = asked(new_csat, "incremental")
    assert (query["support_type_scope"], query["start_time"]) == ("all", seconds(NOON - timedelta(minutes=15)))
    assert asked(new_csat, "survey_responses")[-1]["filter[subject_zrns]"] == "zen:ticket:7"


def following(memory, http, *pages):
    """Return the connector and a cursor with which it follows changed tickets."""
    http.get(f"{API}/guide/survey_responses", json=responses_page())
    for page in pages:
        http.get(f"{API}/incremental/tickets/cursor", json=page)
    zendesk = connected(memory)
    [page] = zendesk.new_ratings(None)
    return zendesk, page.cursor


def test_an_idle_poll_of_surveys_costs_one_call_and_keeps_the_export_cursor(memory, new_csat):
    zendesk, cursor = following(memory, new_csat, export_page(after="C1"), export_page(after="C1"))
    [page] = zendesk.new_ratings(cursor)
    before = len(new_csat.calls)

    [page] = zendesk.new_ratings(page.cursor)

    assert len(new_csat.calls) - before == 1
    assert asked(new_csat, "incremental")[-1]["cursor"] == "C1"


def test_changed_tickets_are_asked_for_their_answers_a_hundred_at_a_time(memory, new_csat):
    tickets = [ticket_json(n) for n in range(1, 151)] + [
        ticket_json(200, status="deleted"),
        ticket_json(201, status="new"),
    ]
    zendesk, cursor = following(memory, new_csat, export_page(*tickets))

    list(zendesk.new_ratings(cursor))

    asked_for = [query["filter[subject_zrns]"] for query in asked(new_csat, "survey_responses")[1:]]
    assert [len(text.split(",")) for text in asked_for] == [100, 50]


def test_the_export_is_read_to_its_end_with_a_cursor_per_page(memory, new_csat):
    zendesk, cursor = following(
        memory, new_csat, export_page(ticket_json(), after="C1", end=False), export_page(after="C2")
    )

    first, second = zendesk.new_ratings(cursor)

    assert json.loads(first.cursor)["export"] == "C1"
    assert json.loads(second.cursor)["export"] == "C2"


def test_the_export_is_never_asked_for_the_last_minute(memory, new_csat):
    new_csat.get(f"{API}/guide/survey_responses", json=responses_page())
    new_csat.get(f"{API}/incremental/tickets/cursor", json=export_page())
    just_now = json.dumps({"flavour": "survey", "start": int(NOON.timestamp())})

    list(connected(memory).new_ratings(just_now))

    assert asked(new_csat, "incremental")[0]["start_time"] == seconds(NOON - timedelta(seconds=61))


def test_an_export_cursor_that_zendesk_forgot_leads_back_to_the_window(memory, new_csat):
    zendesk, cursor = following(memory, new_csat, export_page())
    [page] = zendesk.new_ratings(cursor)
    new_csat.replace(responses.GET, f"{API}/incremental/tickets/cursor", status=400, json={"error": "InvalidCursor"})

    [page] = zendesk.new_ratings(page.cursor)

    assert "start" in json.loads(page.cursor)


def test_words_of_a_bad_reason_are_looked_up_once(memory, new_csat):
    row = answered()
    row["answers"].append(picked("O9"))
    question = {"options": [{"id": "O9", "label": "Rude"}]}
    new_csat.get(f"{API}/guide/survey_responses", json=responses_page(row, row))
    new_csat.get(f"{API}/guide/en-us/survey_responses/R1",
                 json={"survey_response": {"answers": [{"question": question}]}})  # fmt: skip

    [page] = connected(memory).new_ratings(None)

    assert [rating.reason for rating in page.ratings] == ["Rude", "Rude"]
    assert len(asked(new_csat, "/survey_responses/R1")) == 1


def test_a_change_of_csat_starts_anew_with_the_other(memory, new_csat):
    new_csat.get(f"{API}/guide/survey_responses", json=responses_page(answered()))

    pages = list(connected(memory).new_ratings('{"flavour":"legacy","polled":1}'))

    assert ids(pages) == ["R1"]


# ------------------------------------------------------------------ one rating again
def test_a_single_rating_may_come_as_an_object_or_as_a_list(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings/31", json={"satisfaction_rating": legacy()})
    old_csat.get(f"{API}/satisfaction_ratings/31", json={"satisfaction_rating": [legacy(score="good")]})
    zendesk = connected(memory)

    assert [rating.category for rating in zendesk.ratings_of("7", "31")] == [Category.BAD]
    assert [rating.category for rating in zendesk.ratings_of("7", "31")] == [Category.GOOD]


def test_the_rating_of_a_ticket_is_found_through_the_ticket(memory, old_csat):
    old_csat.get(f"{API}/tickets/7", json={"ticket": ticket_json()})
    old_csat.get(f"{API}/satisfaction_ratings/31", json={"satisfaction_rating": legacy()})

    assert [rating.rating_id for rating in connected(memory).ratings_of("7")] == ["31"]


def test_a_rating_that_is_gone_is_no_rating(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings/31", status=404, json={"error": "RecordNotFound"})

    assert list(connected(memory).ratings_of("7", "31")) == []


def test_the_survey_answer_of_a_ticket_is_one_of_its_responses(memory, new_csat):
    new_csat.get(f"{API}/guide/survey_responses", json=responses_page(answered(), answered(id="R2")))
    new_csat.get(f"{API}/tickets/7", json={"ticket": ticket_json()})

    assert [rating.rating_id for rating in connected(memory).ratings_of("7", "R2")] == ["R2"]
    assert [rating.rating_id for rating in connected(memory).ratings_of("7")] == ["R1", "R2"]


def test_an_answer_that_cannot_be_read_is_not_taken_for_withdrawn(memory, new_csat):
    new_csat.get(f"{API}/guide/survey_responses", json=responses_page(answered(category="awful")))

    with pytest.raises(BadRecord, match="survey response R1"):
        connected(memory).ratings_of("7", "R1")


# ------------------------------------------------------------------ tickets
@pytest.fixture
def people(http):
    """An account with Ana (80, Support) and Ben (81, no group), and the brand Shoes."""
    users = [{"id": 80, "name": "Ana", "email": "ana@acme.example", "role": "agent", "active": True, "tags": []},
             {"id": 81, "name": "Ben", "email": "ben@acme.example", "role": "admin", "active": True}]  # fmt: skip
    http.get(f"{API}/users", json={"users": users, "meta": {"has_more": False}})
    http.get(
        f"{API}/groups", json={"groups": [{"id": 60, "name": "Support"}, {"id": 61, "name": "Old", "deleted": True}]}
    )
    memberships = [{"user_id": 80, "group_id": 60, "default": True}, {"user_id": 81, "group_id": 61, "default": True}]
    http.get(f"{API}/group_memberships", json={"group_memberships": memberships})
    http.get(f"{API}/brands", json={"brands": [{"id": 90, "name": "Shoes"}]})
    http.get(f"{API}/users/me", json={"user": {"id": 99}})
    return http


@pytest.fixture
def helpdesk(people):
    """The same account, which does not tell who is there."""
    people.get(f"{API}/agent_availabilities", status=404)
    return people


def shown(http, *tickets, **beside):
    http.get(f"{API}/tickets/show_many", json={"tickets": list(tickets), **beside})


def test_a_ticket_comes_with_its_requester_in_one_call(memory, helpdesk):
    user = {
        "id": 70,
        "name": "Mia",
        "email": "mia@x.example",
        "locale": "de-AT",
        "tags": ["vip"],
        "organization_id": 50,
    }
    metrics = {"reopens": 2}
    shown(helpdesk, ticket_json(metric_set=metrics), users=[user], organizations=[{"id": 50, "tags": ["enterprise"]}])

    ticket = connected(memory).tickets(["7"])["7"]

    assert ticket.requester == Requester(
        "70", "Mia", "mia@x.example", "de-at", frozenset({"vip"}), frozenset({"enterprise"})
    )
    assert (ticket.status, ticket.reopens, ticket.brand, ticket.channel) == (Status.SOLVED, 2, "Shoes", "email")
    assert (ticket.stamp, ticket.rated, ticket.tags) == ("2026-11-21T11:00:00Z", Category.BAD, ("parcel",))
    assert asked(helpdesk, "show_many")[0]["include"] == "users,organizations,metric_sets"


def test_a_ticket_is_as_old_as_the_helpdesks_clock_says(memory, helpdesk):
    helpdesk.get(f"{API}/tickets/show_many", json={"tickets": [ticket_json()]},
                 headers={"Date": "Sat, 21 Nov 2026 12:00:09 GMT"})  # fmt: skip

    assert connected(memory).tickets(["7"])["7"].read_at == NOON + timedelta(seconds=9)


def test_tickets_are_read_a_hundred_at_a_time(memory, helpdesk):
    shown(helpdesk, *[ticket_json(n) for n in range(1, 101)])
    shown(helpdesk, *[ticket_json(n) for n in range(101, 151)])

    found = connected(memory).tickets([str(n) for n in range(1, 151)])

    assert len(found) == 150
    assert len(asked(helpdesk, "show_many")) == 2


def test_a_ticket_that_is_left_out_is_asked_for_and_may_be_deleted(memory, helpdesk):
    shown(helpdesk, ticket_json(7))
    helpdesk.get(f"{API}/tickets/8", status=404, json={"error": "RecordNotFound", "description": "Not found"})
    helpdesk.get(f"{API}/tickets/9", json={"ticket": ticket_json(9, status="closed")})

    found = connected(memory).tickets(["7", "8", "9"])

    assert {ticket_id: ticket.status for ticket_id, ticket in found.items()} == {
        "7": Status.SOLVED, "8": Status.DELETED, "9": Status.CLOSED}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "closed"}, Status.CLOSED),
        ({"status": "closed", "tags": ["closed_by_merge"]}, Status.MERGED),
        ({"status": "solved", "tags": ["closed_by_merge"]}, Status.SOLVED),
        ({"status": "hold"}, Status.HOLD),
        ({"status": "deleted"}, Status.DELETED),
    ],
)
def test_a_merged_ticket_is_closed_with_a_tag(memory, helpdesk, changes, status):
    shown(helpdesk, ticket_json(**changes))

    assert connected(memory).tickets(["7"])["7"].status is status


@pytest.mark.parametrize(
    ("channel", "word"),
    [("email", "email"), ("voice", "phone"), ("native_messaging", "messaging"), ("facebook", "social"), ("web", "web"),
     ("chat", "chat"), ("api", "api"), ("something_new", "other"), (None, None)],
)  # fmt: skip
def test_channels_have_the_words_of_the_rules(memory, helpdesk, channel, word):
    shown(helpdesk, ticket_json(via={"channel": channel}))

    assert connected(memory).tickets(["7"])["7"].channel == word


def test_our_last_write_is_known_by_its_tag(memory, helpdesk):
    shown(helpdesk, ticket_json(tags=["parcel", "sr_ref_e1"]))

    assert connected(memory).tickets(["7"])["7"].marker == "sr-e1"


def test_no_ticket_costs_no_call(memory, http):
    assert connected(memory).tickets([]) == {}


# ------------------------------------------------------------------ people
def test_the_directory_knows_who_can_be_given_a_ticket(memory, helpdesk):
    directory = connected(memory).directory()

    ana, ben = directory.agents["80"], directory.agents["81"]
    assert (ana.name, ana.group_ids, ana.default_group_id, ana.unusable) == ("Ana", ("60",), "60", None)
    assert (ben.group_ids, ben.default_group_id, ben.unusable) == ((), None, "in no group")
    assert (directory.groups, directory.brands) == ({"60": "Support"}, {"90": "Shoes"})
    assert parse_qs(urlsplit(helpdesk.calls[3].request.url).query)["role[]"] == ["agent", "admin"]


def test_the_directory_is_kept_between_runs_until_it_is_too_old(memory, helpdesk):
    read = connected(memory).directory()
    calls = len(helpdesk.calls)

    assert connected(memory).directory() == read
    assert len(helpdesk.calls) == calls

    memory.advance(timedelta(minutes=61))
    connected(memory).directory()
    assert len(helpdesk.calls) == 2 * calls - 1  # that there is no presence is remembered for longer


def test_a_fresh_directory_is_read_again(memory, helpdesk):
    zendesk = connected(memory)
    zendesk.directory()
    calls = len(helpdesk.calls)

    zendesk.directory(fresh=True)

    assert len(helpdesk.calls) > calls


def user_is(memory, http, **changes):
    """Return agent 80 of an account in which user 80 is like this."""
    user = {"id": 80, "name": "Ana", "email": "ana@acme.example", "role": "agent", "active": True} | changes
    http.replace(responses.GET, f"{API}/users", json={"users": [user], "meta": {"has_more": False}})
    return connected(memory).directory().agents["80"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"active": False}, "deleted"),
        ({"suspended": True}, "suspended"),
        ({"role": "end-user"}, "not an agent any more"),
        ({"role_type": 1}, "light agent"),
        ({"role_type": 2}, "chat agent only"),
        ({"chat_only": True}, "chat agent only"),
        ({"only_private_comments": True}, "cannot reply publicly"),
        ({"role_type": 0}, None),
        ({"role": "admin", "role_type": 4}, None),
    ],
)
def test_an_agent_who_cannot_answer_is_unusable(memory, helpdesk, changes, why):
    assert user_is(memory, helpdesk, **changes).unusable == why


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tags": ["agent_ooo"]}, "tag agent_ooo"),
        ({"user_fields": {"agent_ooo": True}}, "field agent_ooo"),
        ({"user_fields": {"agent_ooo": False}}, None),
        ({"tags": ["ooo"]}, None),
    ],
)
def test_out_of_office_is_said_by_a_tag_or_a_field(memory, helpdesk, changes, says):
    assert user_is(memory, helpdesk, **changes).out_of_office == says


@pytest.mark.parametrize(
    ("status", "away", "out"),
    [
        ("Online", False, None),
        ("Offline", True, None),
        ("Away", True, None),
        ("On Vacation", False, "status On Vacation"),
        ("Parental leave", False, "status Parental leave"),
        ("Transfers only", False, None),
    ],
)
def test_presence_tells_who_is_away_and_since_when(memory, people, status, away, out):
    at = "2026-11-21T03:00:00Z"
    resource = {"id": "agent_availabilities|80", "attributes": {
        "agent_id": 80, "agent_status": {"id": 4, "name": status, "updated_at": at}}}  # fmt: skip
    people.get(f"{API}/agent_availabilities", json={"data": [resource], "meta": {"has_more": False}})

    ana = connected(memory).directory().agents["80"]

    assert ana.away_since == (datetime.fromisoformat(at) if away else None)
    assert ana.out_of_office == out
    assert connected(memory).directory().agents["80"] == ana  # as it is remembered


# ------------------------------------------------------------------ history
def change(at, value, kind="Change"):
    return {"created_at": at, "author_id": 81, "events": [{"type": kind, "field_name": "assignee_id", "value": value}]}


def comment(at, author, public=True):
    return {
        "created_at": at,
        "author_id": author,
        "events": [{"type": "Comment", "public": public, "author_id": author}],
    }


MONDAY, TUESDAY, FRIDAY = "2026-11-09T09:00:00Z", "2026-11-10T09:00:00Z", "2026-11-13T09:00:00Z"


@pytest.mark.parametrize(
    ("audits", "holder"),
    [
        ([change(MONDAY, "80", "Create"), change(FRIDAY, "81")], "80"),
        ([change(TUESDAY, "81"), change(MONDAY, "80", "Create")], "81"),  # in any order
        ([change(MONDAY, "80"), change(TUESDAY, None), comment(MONDAY, 81)], "81"),  # unassigned: who answered last
        ([comment(MONDAY, 80, public=False), comment(TUESDAY, 70)], None),  # a note, and the customer's own words
        ([], None),
    ],
)
def test_the_holder_at_the_time_comes_from_the_audits(memory, helpdesk, audits, holder):
    helpdesk.get(f"{API}/tickets/7/audits", json={"audits": audits, "meta": {"has_more": False}})

    assert connected(memory).past_holder("7", datetime(2026, 11, 12, tzinfo=UTC)) == holder


@pytest.mark.parametrize("status", [403, 404])
def test_without_audits_nobody_is_known_to_have_held_it(memory, helpdesk, status):
    helpdesk.get(f"{API}/tickets/7/audits", status=status, json={"error": "Forbidden"})

    assert connected(memory).past_holder("7", NOON) is None


# ------------------------------------------------------------------ refusals
def test_a_missing_permission_names_the_call(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", status=403, json={"error": {"title": "Forbidden", "message": "No."}})

    with pytest.raises(CredentialsRefused, match="acme: GET /api/v2/satisfaction_ratings: 403") as caught:
        list(connected(memory).new_ratings(None))

    assert caught.value.exit_code == 77


def test_a_refused_read_is_not_tried_again(memory, old_csat):
    old_csat.get(f"{API}/satisfaction_ratings", status=422, json={"error": "Unprocessable"})

    with pytest.raises(Refused):
        list(connected(memory).new_ratings(None))

    assert len(asked(old_csat, "satisfaction_ratings")) == 1
