"""Zendesk's second question against recorded shapes: the ways to ask, offers, links, requests and fields."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from memory import NOON, DictMemory
from test_zendesk_writes import SAMPLES
from zendesk_account import API, URL, connected, ticket_json

from bridge.connector import Needs
from bridge.errors import CredentialsRefused, Refused, Throttled, Unreachable
from bridge.model import Requester
from connectors.zendesk.asking import offered_at
from connectors.zendesk.question import MAIL_TITLE, RATE_TITLE, is_as, text_field, trigger
from connectors.zendesk.tickets import ticket_from

NEEDS = Needs(surveys=True, survey_mail=True, rerating=True)
HOUR = timedelta(hours=1)
POST_OFFER = f"{API}/guide/survey_responses"
TOKEN = "TOKEN-OF-THE-SURVEY"


@pytest.fixture
def memory():
    return DictMemory()


@pytest.fixture
def http():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def field(**changes):
    return {"id": 34, **text_field(), **changes}


def rule(title, rule_id=39, **changes):
    return {"id": rule_id, "url": "x", "category_id": "1", **trigger(title, "34"), **changes}


def closing(hours=96, **changes):
    condition = {"field": "SOLVED", "operator": "greater_than", "value": str(hours)}
    return {"id": 1, "title": "Close", "active": True, "conditions": {"all": [condition], "any": []},
            "actions": [{"field": "status", "value": "closed"}], **changes}  # fmt: skip


def account(http, *, survey=None, fields=(), triggers=(), automations=(), csat=True):
    """Let an account answer what `asking` reads; a *survey* makes it one of the new CSAT."""
    http.get(f"{API}/guide/en-us/surveys", json={"surveys": [survey] if survey else [], "meta": {"has_more": False}})
    http.get(f"{API}/ticket_fields", json={"ticket_fields": list(fields), "meta": {"has_more": False}})
    http.get(f"{API}/triggers", json={"triggers": list(triggers), "meta": {"has_more": False}})
    http.get(f"{API}/automations", json={"automations": list(automations), "meta": {"has_more": False}})
    flags = {"customer_satisfaction": csat}
    http.get(f"{API}/account/settings", json={"settings": {"active_features": flags}})


SURVEY = {"id": "01KSURVEY", "version": 4, "state": "enabled", "questions": []}
BOTH = (rule(MAIL_TITLE), rule(RATE_TITLE, 40))


# ------------------------------------------------------------------ what is installed
def test_the_field_is_for_agents_only():
    assert text_field() == {
        "type": "textarea",
        "title": "sr_survey_text",
        "agent_description": "Used by Recovery Bridge on the way to the customer; empty at all other times.",
        "active": True,
        "required": False,
        "visible_in_portal": False,
        "editable_in_portal": False,
        "required_in_portal": False,
    }


def test_the_trigger_for_a_question_mails_the_field_to_the_requester_alone():
    assert trigger(MAIL_TITLE, "34") == {
        "title": "[recovery-bridge] Mail the second question",
        "description": "Made by recovery-bridge setup, which also mends and removes it. Mails only the requester.",
        "active": True,
        "conditions": {"all": [{"field": "current_tags", "operator": "includes", "value": "sr_ask"}], "any": []},
        "actions": [
            {
                "field": "notification_user",
                "value": ["requester_id", "Re: {{ticket.title}}", "{{ticket.ticket_field_34}}"],
            },
            {"field": "remove_tags", "value": "sr_ask"},
        ],
    }


def test_the_trigger_for_a_second_rating_adds_the_accounts_own_survey():
    wished = trigger(RATE_TITLE, "34")

    assert wished["title"] == "[recovery-bridge] Ask for a second rating"
    assert wished["conditions"]["all"] == [{"field": "current_tags", "operator": "includes", "value": "sr_ask_survey"}]
    assert wished["actions"] == [
        {
            "field": "notification_user",
            "value": [
                "requester_id",
                "Re: {{ticket.title}}",
                "{{ticket.ticket_field_34}}\n\n{{satisfaction.rating_section}}",
            ],
        },
        {"field": "remove_tags", "value": "sr_ask_survey"},
    ]


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"description": "another", "position": 7, "category_id": "9"}, True),
        ({"conditions": {**trigger(MAIL_TITLE, "34")["conditions"], "any": None}}, True),
        ({"actions": trigger(MAIL_TITLE, "34")["actions"][::-1]}, True),
        ({"active": False}, False),
        ({"actions": trigger(MAIL_TITLE, "34")["actions"][:1]}, False),
        ({"actions": trigger(MAIL_TITLE, "35")["actions"]}, False),
        ({"conditions": trigger(RATE_TITLE, "34")["conditions"]}, False),
    ],
)
def test_when_a_trigger_is_as_we_made_it(change, is_same):
    assert is_as(rule(MAIL_TITLE, **change), trigger(MAIL_TITLE, "34")) is is_same


def test_line_ends_may_be_written_in_another_way():
    shown = json.loads(json.dumps(rule(RATE_TITLE)).replace("\\n\\n", "\\r\\n\\r\\n"))

    assert is_as(shown, trigger(RATE_TITLE, "34"))


def test_a_mail_that_goes_to_ccs_too_is_not_ours():
    leaky = json.loads(json.dumps(rule(MAIL_TITLE)).replace("requester_id", "requester_and_ccs"))

    assert not is_as(leaky, trigger(MAIL_TITLE, "34"))


# ------------------------------------------------------------------ the ways to ask
def test_a_new_survey_is_a_link_that_overwrites_nothing(memory, http):
    account(http, survey=SURVEY, fields=[field()], triggers=BOTH, automations=[closing()])

    asking = connected(memory, needs=NEEDS).asking()

    assert (asking.own, asking.mail, asking.is_link, asking.overwrites) == ("", "", True, False)
    assert asking.closes_after == 96 * HOUR


def test_a_legacy_rating_is_asked_for_by_a_trigger_and_overwrites(memory, http):
    account(http, fields=[field()], triggers=BOTH, automations=[closing(48)])

    asking = connected(memory, needs=NEEDS).asking()

    assert (asking.own, asking.mail, asking.is_link, asking.overwrites) == ("", "", False, True)
    assert asking.closes_after == 48 * HOUR


def test_a_second_legacy_rating_must_be_wished_for(memory, http):
    account(http, fields=[field()], triggers=BOTH)

    asking = connected(memory, needs=Needs(surveys=True, survey_mail=True)).asking()

    assert asking.own == "a second rating would overwrite the first; settings.allow_rerating in rules.yaml permits it"
    assert (asking.mail, asking.closes_after) == ("", None)


def test_an_account_without_csat_says_so(memory, http):
    account(http, fields=[field()], triggers=BOTH, csat=False)

    assert connected(memory, needs=NEEDS).asking().own == (
        "customer satisfaction is switched off in this account, or not in its plan; use our own question"
    )


@pytest.mark.parametrize(
    ("fields", "triggers", "why"),
    [
        ([], BOTH, "ticket field 'sr_survey_text' is missing or not active; run recovery-bridge setup"),
        (
            [field(active=False)],
            BOTH,
            "ticket field 'sr_survey_text' is missing or not active; run recovery-bridge setup",
        ),
        (
            [field(), field(id=35)],
            BOTH,
            "there are 2 ticket fields 'sr_survey_text'; delete all but one in Admin Center",
        ),
        ([field()], [], f"trigger '{MAIL_TITLE}' is missing; run recovery-bridge setup"),
        (
            [field()],
            [rule("Mail the second question")],
            f"trigger '{MAIL_TITLE}' is missing; run recovery-bridge setup",
        ),
        (
            [field()],
            [rule(MAIL_TITLE, active=False)],
            f"trigger '{MAIL_TITLE}' is not active; run recovery-bridge setup",
        ),
        ([field(id=35)], [rule(MAIL_TITLE)], f"trigger '{MAIL_TITLE}' was changed; run recovery-bridge setup"),
        (
            [field()],
            [rule(MAIL_TITLE), rule(MAIL_TITLE, 41)],
            f"there are 2 triggers '{MAIL_TITLE}'; delete all but one in Admin Center",
        ),
    ],
)
def test_why_no_mail_can_leave(memory, http, fields, triggers, why):
    account(http, survey=SURVEY, fields=fields, triggers=triggers)

    assert connected(memory, needs=NEEDS).asking().mail == why


@pytest.mark.parametrize("path", ["triggers", "ticket_fields"])
def test_who_may_not_read_triggers_is_told_so(memory, http, path):
    http.get(f"{API}/{path}", status=403, json={"error": "Forbidden"})
    account(http, survey=SURVEY, fields=[field()])

    assert connected(memory, needs=NEEDS).asking().mail == (
        "our user may not read triggers and ticket fields (403); give it the role of an admin"
    )


def test_automations_that_cannot_be_read_are_taken_for_those_of_a_new_account(memory, http):
    http.get(f"{API}/automations", status=403, json={"error": "Forbidden"})
    account(http, survey=SURVEY)

    assert connected(memory, needs=NEEDS).asking().closes_after == 96 * HOUR


@pytest.mark.parametrize(
    "automation",
    [
        closing(active=False),
        closing(actions=[{"field": "status", "value": "pending"}]),
        closing(
            conditions={
                "all": [
                    {"field": "SOLVED", "operator": "greater_than", "value": "96"},
                    {"field": "current_tags", "operator": "not_includes", "value": "vip sr_flagged"},
                ]
            }
        ),
    ],
)
def test_automations_that_do_not_close_our_tickets_do_not_count(memory, http, automation):
    account(http, survey=SURVEY, automations=[automation])

    assert connected(memory, needs=NEEDS).asking().closes_after is None


def test_the_ways_are_looked_up_once_a_day(memory, http):
    account(http, fields=[field()], triggers=BOTH)
    zendesk = connected(memory, needs=NEEDS)

    first, calls = zendesk.asking(), len(http.calls)
    assert calls == 5  # fields, triggers, surveys, settings, automations

    memory.advance(23 * HOUR)
    assert zendesk.asking() == first
    assert len(http.calls) == calls

    memory.advance(2 * HOUR)
    zendesk.asking()
    zendesk.asking(fresh=True)
    assert len(http.calls) == 3 * calls


# ------------------------------------------------------------------ offers of Zendesk's own survey
def test_an_offer_is_dated_by_its_id(memory, http):
    account(http, survey=SURVEY)
    at = NOON - HOUR
    http.get(POST_OFFER, json={"survey_responses": [{"id": ulid(at)}], "meta": {"has_more": False}})
    zendesk = connected(memory)
    since = NOON - 5 * HOUR

    assert zendesk.asked_since("7", since) == at

    query = parse_qs(urlsplit(http.calls[-1].request.url).query)
    assert query == {
        "filter[subject_zrns]": ["zen:ticket:7"],
        "filter[created_at_start]": [str(int(since.timestamp() * 1000))],
        "page[size]": ["100"],
    }
    assert len(http.calls) == 2


def ulid(at, rest="0123456789ABCDEF"):
    letters, value = "0123456789ABCDEFGHJKMNPQRSTVWXYZ", int(at.timestamp() * 1000)
    return "".join(letters[value >> shift & 31] for shift in range(45, -1, -5)) + rest


def test_the_first_of_several_offers_counts(memory, http):
    account(http, survey=SURVEY)
    offers = [{"id": ulid(NOON - hours * HOUR)} for hours in (1, 3, 2)]
    http.get(POST_OFFER, json={"survey_responses": offers, "meta": {"has_more": False}})

    assert connected(memory).asked_since("7", NOON - 5 * HOUR) == NOON - 3 * HOUR


def test_no_offer_is_none(memory, http):
    account(http, survey=SURVEY)
    http.get(POST_OFFER, json={"survey_responses": [], "meta": {"has_more": False}})

    assert connected(memory).asked_since("7", NOON - HOUR) is None


@pytest.mark.parametrize(
    "response_id", ["01K0AAAAAAAAAAAAAAAAAAAAAA", "7ZZZZZZZZZ0123456789ABCDEF", "31", "", "IILLOOUU", ulid(NOON + HOUR)]
)
def test_an_id_that_tells_no_plausible_time_means_since(response_id):
    assert offered_at(response_id, NOON - HOUR, NOON) == NOON - HOUR


def test_a_time_in_an_id_is_exact():
    at = datetime(2026, 11, 21, 11, 30, 0, 123000, tzinfo=UTC)

    assert offered_at(ulid(at).lower(), NOON - HOUR, NOON) == at


def audit(at: datetime, **event):
    return {"id": 1, "created_at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "events": [{"id": 2, "type": "Change", **event}]}


def test_a_legacy_rating_that_an_automation_offered_since_is_known_from_the_history(memory, http):
    offered = {"field_name": "satisfaction_score", "value": "offered"}
    history = [audit(NOON, field_name="status", value="solved"), audit(NOON - HOUR, **offered)]
    account(http)
    http.get(f"{API}/tickets/7/audits", json={"audits": history, "next_page": None})

    assert connected(memory).asked_since("7", NOON - 2 * HOUR) == NOON - HOUR
    assert connected(memory).asked_since("7", NOON) is None


def test_without_the_scope_for_histories_nobody_knows_if_a_legacy_rating_was_offered(memory, http):
    account(http)
    http.get(f"{API}/tickets/7/audits", status=403, json={"error": "Forbidden"})

    assert connected(memory).asked_since("7", NOON) is None


# ------------------------------------------------------------------ the link of the new survey
def ticket(brand=None, requester=Requester("70")):
    row = ticket_json()
    return ticket_from(row, requester, {}, {str(row["brand_id"]): brand} if brand else {}, NOON)


def offered(path=f"/hc/en-us/survey_responses/01K0C?access_token={TOKEN}"):
    return {"survey_response": {"id": "01K0C", "links": {"type": "rating_link_numeric", "url_path": path}}}


def test_a_link_is_offered_to_the_requester_in_their_language(memory, http):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, json=offered())

    link = connected(memory).survey_link(ticket(), "pt-BR")

    assert link == f"{URL}/hc/en-us/survey_responses/01K0C?access_token={TOKEN}"
    assert json.loads(http.calls[-1].request.body) == {
        "survey_response": {
            "survey_id": "01KSURVEY",
            "responder_id": 70,
            "subject_zrns": ["zen:ticket:7"],
            "locale": "pt-br",
        }
    }
    assert len(http.calls) == 2


def test_a_link_without_a_language_is_english(memory, http):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, json=offered())

    connected(memory).survey_link(ticket())

    assert json.loads(http.calls[-1].request.body)["survey_response"]["locale"] == "en-us"


def test_a_language_that_the_survey_does_not_have_gets_english(memory, http):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, status=422, json={"errors": [{"code": "Unprocessable", "title": "Locale is invalid"}]})
    http.post(POST_OFFER, json=offered())

    assert TOKEN in connected(memory).survey_link(ticket(), "xx")
    bodies = [json.loads(call.request.body) for call in http.calls if call.request.method == "POST"]
    assert [body["survey_response"]["locale"] for body in bodies] == ["xx", "en-us"]


def test_a_link_has_the_host_of_the_tickets_brand(memory, http):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, json=offered())
    memory.remember("brand_hosts", {"Fine Shoes": "https://shoes.example.com"})

    assert connected(memory).survey_link(ticket("Fine Shoes")).startswith("https://shoes.example.com/hc/en-us/")


def test_the_vendors_sample_of_an_offer_is_understood(memory, http):
    if not SAMPLES.is_dir():
        pytest.skip("the vendors' sample payloads are absent; BRIDGE_TEST_REFERENCE names their folder")
    account(http, survey=SURVEY)
    http.post(POST_OFFER, json=json.loads(Path(SAMPLES / "survey_response_create_200.json").read_text()))

    assert connected(memory).survey_link(ticket()).endswith("?access_token=SAMPLE")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (403, "our user may not offer surveys; it needs the role of an admin"),
        (404, "the survey or the ticket is not there any more"),
        (409, "the survey is switched off"),
        (422, "it takes no offer for this ticket; perhaps it was offered before"),
    ],
)
def test_a_refused_offer_says_why(memory, http, status, why):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, status=status, json={"errors": [{"code": "X", "title": f"no {TOKEN}"}]})

    with pytest.raises(Refused) as caught:
        connected(memory).survey_link(ticket())

    assert str(caught.value) == f"acme: ticket 7: Zendesk's own survey cannot be offered: {why} ({status})"
    assert caught.value.status == status
    assert caught.value.__suppress_context__


def test_a_401_and_a_429_are_not_about_the_offer(memory, http):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, status=401, json={"error": "Couldn't authenticate you"})
    http.post(POST_OFFER, status=429, headers={"Retry-After": "30"})

    with pytest.raises(CredentialsRefused):
        connected(memory).survey_link(ticket())
    with pytest.raises(Throttled):
        connected(memory).survey_link(ticket())


def test_without_a_survey_or_a_requester_nothing_is_offered(memory, http):
    account(http)

    with pytest.raises(Refused, match="no survey that is switched on"):
        connected(memory).survey_link(ticket())
    memory.remember("csat", {"flavour": "survey", "survey": "S"})
    with pytest.raises(Refused, match="the ticket has no requester"):
        connected(memory).survey_link(ticket(requester=None))

    assert [call.request.method for call in http.calls] == ["GET"]


def test_an_account_remembered_by_an_older_version_is_asked_for_its_survey(memory, http):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, json=offered())
    memory.remember("csat", {"flavour": "survey", "scales": {}, "reasons": {}})

    connected(memory).survey_link(ticket())

    assert json.loads(http.calls[-1].request.body)["survey_response"]["survey_id"] == "01KSURVEY"


@pytest.mark.parametrize("answer", [{}, [], {"survey_response": {}}, offered(path=None), offered(path="evil")])
def test_an_offer_whose_answer_shows_no_link_is_unknown(memory, http, answer):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, json=answer)

    with pytest.raises(Unreachable, match="the answer has no 'url_path'"):
        connected(memory).survey_link(ticket())


def test_the_link_is_in_no_log_no_memory_and_no_error(memory, http, caplog):
    account(http, survey=SURVEY)
    http.post(POST_OFFER, json=offered())
    http.post(POST_OFFER, body=json.dumps(offered())[:-3], content_type="application/json")
    caplog.set_level(0)
    zendesk = connected(memory)

    link = zendesk.survey_link(ticket())
    with pytest.raises(Unreachable) as caught:
        zendesk.survey_link(ticket())

    assert TOKEN in link
    said = [caplog.text, repr(caught.value), str(caught.value), repr(vars(zendesk)), repr(memory.values)]
    assert not any(TOKEN in text for text in said)


# ------------------------------------------------------------------ requests
def test_requests_are_one_search(memory, http):
    rows = [{"id": 7, "result_type": "ticket"}, {"id": 8}, {"id": 7}]
    http.get(f"{API}/search", json={"results": rows, "next_page": None, "count": 3})

    assert connected(memory).requests() == ["7", "8"]

    [call] = http.calls
    assert parse_qs(urlsplit(call.request.url).query) == {
        "query": ["type:ticket tags:sr_request status<closed"], "per_page": ["100"]}  # fmt: skip


def test_more_requests_are_read_to_the_end_of_what_a_search_shows(memory, http):
    def page(number):
        rows = [{"id": 1 + number * 100 + n} for n in range(100)]
        return {"results": rows, "next_page": f"{API}/search?page={number + 1}", "count": 5000}

    for number in range(11):
        http.get(f"{API}/search", json=page(number))

    assert len(connected(memory).requests()) == 1000
    assert len(http.calls) == 10


# ------------------------------------------------------------------ fields of the account's own
def test_only_fields_that_are_named_come_with_a_ticket(memory, http):
    given = {34: "a link", 1: "2026-12-01", 2: None, 3: True, 4: ["a", "b"], 5: 12.5, 6: ""}
    custom = [{"id": field_id, "value": value} for field_id, value in given.items()]
    http.get(f"{API}/tickets/show_many", json={"tickets": [ticket_json(custom_fields=custom)]})
    wanted = frozenset({"1", "2", "3", "4", "5", "6", "9", "cf_cause"})
    zendesk = connected(memory, needs=Needs(fields=wanted))

    read = zendesk._tickets.read(["7"], None)["7"]

    assert read.fields == {"1": "2026-12-01", "3": "true", "4": "a, b", "5": "12.5"}


def test_a_ticket_without_fields_has_none(memory, http):
    http.get(f"{API}/tickets/show_many", json={"tickets": [ticket_json()]})

    assert connected(memory, needs=Needs(fields=frozenset({"1"})))._tickets.read(["7"], None)["7"].fields == {}
