"""How the Freshdesk connector asks customers again: the ways, the rules, the writes; on documented payloads."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import responses
from freshdesk_account import API, Account, write_of, written
from memory import NOON
from responses.matchers import query_param_matcher

from bridge.connector import Asking, Level, Needs, SetupStep
from bridge.errors import Refused, Throttled
from bridge.model import Change, EffectKind, Question, Requester, Status, Ticket, Verdict

Wire = responses.RequestsMock
RULES, FIELDS = f"{API}/automations/4/rules", f"{API}/ticket_fields"
ASK, MAIL = "[recovery-bridge] Ask for a second rating", "[recovery-bridge] Mail the second question"
LINK = "https://answers.example.com/q/SECRET"
QUESTION = Question(f"Have we made it right?\n\n{LINK}", adds_survey=False)
SURVEY = Question("Have we made it right?", adds_survey=True)
NEEDS = Needs(surveys=True, survey_mail=True)
RUN_SETUP = "run `recovery-bridge setup`"


@pytest.fixture
def wire():
    with Wire(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.fixture
def account() -> Account:
    return Account(needs=NEEDS)


@pytest.fixture
def able(account: Account) -> Account:
    account.memory.remember("marker_field", True)
    account.memory.remember("survey_text_field", True)
    return account


def fields_are(wire: Wire, *names: str) -> None:
    wire.get(FIELDS, json=[{"id": number, "name": name} for number, name in enumerate(names, 1)])


def rules_are(wire: Wire, *rules: dict[str, Any]) -> None:
    wire.get(RULES, json={"rules": [{"id": number, **rule} for number, rule in enumerate(rules, 1)]})


def sent(wire: Wire, method: str) -> list[Any]:
    return [json.loads(call.request.body) for call in wire.calls if call.request.method == method]


def said(wire: Wire) -> list[str]:
    return [f"{call.request.method} {call.request.url.removeprefix(API).split('?')[0]}" for call in wire.calls]


def ticket_row(**changes: Any) -> dict[str, Any]:
    return {"id": 7, "status": 4, "priority": 1, "source": 1, "subject": "Lost parcel", "tags": ["shop"],
            "requester_id": 8, "responder_id": 9, "group_id": 4, "product_id": None, "custom_fields": {},
            "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-21T10:00:00Z"} | changes  # fmt: skip


# ------------------------------------------------------------------ the ways
BOTH = ({"name": ASK}, {"name": MAIL})


def test_customers_can_be_asked_where_our_rules_and_fields_are(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, *BOTH)

    assert account.freshdesk.asking() == Asking()


@pytest.mark.parametrize(
    ("rules", "own", "mail"),
    [
        ([{"name": MAIL}], f'there is no rule "{ASK}"; {RUN_SETUP}', ""),
        ([{"name": ASK}, {"name": f"{MAIL} (copy)"}], "", f'there is no rule "{MAIL}"; {RUN_SETUP}'),
        ([{"name": ASK, "active": False}, {"name": MAIL}],
         f'the rule "{ASK}" is switched off; {RUN_SETUP}, or switch it on', ""),
        ([{"name": ASK}, {"name": MAIL}, {"name": MAIL}], "", f'there are 2 rules "{MAIL}"; delete all but one'),
    ],
)  # fmt: skip
def test_what_a_way_lacks_is_said_with_what_to_do(account, wire, rules, own, mail):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, *rules)

    assert account.freshdesk.asking() == Asking(own=own, mail=mail)


@pytest.mark.parametrize("missing", ["cf_sr_ref", "cf_sr_survey_text"])
def test_without_a_field_of_ours_nobody_can_be_asked(account, wire, missing):
    fields_are(wire, *({"cf_sr_ref", "cf_sr_survey_text"} - {missing}))
    rules_are(wire, *BOTH)

    why = f"tickets have no field {missing}; {RUN_SETUP}"
    assert account.freshdesk.asking() == Asking(own=why, mail=why)


@pytest.mark.parametrize("status", [403, 404])
def test_a_key_that_may_not_read_rules_is_told_which_role_and_plan_it_takes(account, wire, status):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    wire.get(RULES, status=status, json={"code": "require_feature", "message": "not in your plan"})

    found = account.freshdesk.asking()

    assert found.own == found.mail
    assert "the role Administrator" in found.own
    assert "a plan with automations" in found.own


def test_the_ways_are_looked_at_once_a_day_or_when_asked_for(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, *BOTH)
    account.freshdesk.asking()
    account.reconnected().freshdesk.asking()
    assert said(wire) == ["GET /ticket_fields", "GET /automations/4/rules"]

    account.freshdesk.asking(fresh=True)
    account.advance(hours=25)
    account.freshdesk.asking()

    assert len(wire.calls) == 6


def test_rules_are_read_to_their_last_page(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    many = [{"id": number, "name": "x"} for number in range(100)]
    wire.get(RULES, json={"rules": many}, match=[query_param_matcher({"page": "1", "per_page": "100"})])
    last = [{"id": 101, "name": ASK}, {"id": 102, "name": MAIL}]
    wire.get(RULES, json={"rules": last}, match=[query_param_matcher({"page": "2", "per_page": "100"})])

    assert account.freshdesk.asking() == Asking()


def test_a_list_of_rules_without_pages_is_read_twice_and_not_for_ever(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    wire.get(RULES, json={"rules": [{"id": number, "name": "x"} for number in range(100)]})

    account.freshdesk.asking()

    assert said(wire).count("GET /automations/4/rules") == 2


def test_freshdesk_makes_no_links_and_shows_no_surveys_that_were_sent(account, wire):
    with pytest.raises(Refused, match="makes no link"):
        account.freshdesk.survey_link(TICKET)

    assert account.freshdesk.asked_since("7", NOON) is None
    assert said(wire) == []


# ------------------------------------------------------------------ setup
TEXT_BODY = '<div style="white-space: pre-line">{{ticket.cf_sr_survey_text}}</div>'
MAIL_ACTION = {
    "field_name": "send_email_to_requester",
    "email_subject": "Re: {{ticket.subject}}",
    "email_body": TEXT_BODY,
}
SHOWS_THE_SURVEY = {"name": "Survey on resolve", "actions": [{"field_name": "send_csat_survey", "value": "12"}]}
MAIL_RULE = {
    "name": MAIL,
    "active": True,
    "performer": {"type": 1},
    "events": [{"field_name": "tag_names", "value": "sr_ask"}],
    "actions": [
        MAIL_ACTION,
        {"field_name": "remove_tag", "value": "sr_ask"},
        {"field_name": "cf_sr_survey_text", "value": ""},
    ],
}
ASK_RULE = {
    "name": ASK,
    "active": True,
    "performer": {"type": 1},
    "events": [{"field_name": "tag_names", "value": "sr_ask_survey"}],
    "actions": [
        MAIL_ACTION,
        {"field_name": "send_csat_survey", "value": "12"},
        {"field_name": "remove_tag", "value": "sr_ask_survey"},
        {"field_name": "cf_sr_survey_text", "value": ""},
    ],
}


def states(account: Account, **how: bool) -> dict[str, str]:
    return {step.what: step.state for step in account.freshdesk.setup(**how)}


def test_setup_creates_a_field_for_agents_and_two_rules(account, wire):
    fields_are(wire, "cf_sr_ref")
    rules_are(wire, SHOWS_THE_SURVEY)
    wire.post(f"{API}/admin/ticket_fields", status=201, json={"name": "cf_sr_survey_text"})
    wire.post(RULES, status=201, json={})

    assert list(account.freshdesk.setup()) == [
        SetupStep("ticket field cf_sr_ref", "present"),
        SetupStep("ticket field cf_sr_survey_text", "created"),
        SetupStep(f"automation rule {MAIL}", "created"),
        SetupStep(f"automation rule {ASK}", "created"),
    ]
    text_field = {
        "label": "sr_survey_text",
        "label_for_customers": "sr_survey_text",
        "type": "custom_paragraph",
        "displayed_to_customers": False,
        "customers_can_edit": False,
        "required_for_agents": False,
        "required_for_closure": False,
    }
    assert sent(wire, "POST") == [text_field, MAIL_RULE, ASK_RULE]


def test_the_event_of_a_tag_is_called_as_the_account_calls_it(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, SHOWS_THE_SURVEY, {"name": "x", "events": [{"field_name": "ticket_tags", "value": "vip"}]})
    wire.post(RULES, status=201, json={})

    states(account)

    assert [rule["events"][0]["field_name"] for rule in sent(wire, "POST")] == ["ticket_tags", "ticket_tags"]


def test_where_no_rule_shows_how_a_survey_is_sent_ours_is_made_by_hand(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, {**MAIL_RULE, "id": 1})

    *_, step = account.freshdesk.setup()

    assert step.state == "by hand"
    assert f"automation rule {ASK} (no rule of this account shows how it sends its survey" in step.what
    assert "adds the tag sr_ask_survey" in step.what
    assert sent(wire, "POST") == []


def test_a_rule_made_by_hand_is_left_as_it_is(account, wire):
    by_hand = {
        "name": ASK,
        "events": [{"field_name": "odd", "value": ["sr_ask_survey"]}],
        "actions": [{"field_name": "email_requester", "body": "{{ticket.cf_sr_survey_text}}"}, {"field_name": "csat"}],
    }
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, by_hand, MAIL_RULE)

    assert set(states(account).values()) == {"present"}


@pytest.mark.parametrize(
    "broken",
    [
        {"active": False},
        {"performer": {"type": 2}},
        {"events": [{"field_name": "tag_names", "value": "sr_ask_survey"}]},
        {"actions": [{"field_name": "remove_tag", "value": "sr_ask"}]},
        {"actions": [MAIL_ACTION, {"field_name": "send_email_to_group", "email_body": TEXT_BODY}]},
    ],
)
def test_a_rule_that_no_longer_does_its_job_is_mended(account, wire, broken):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, ASK_RULE, MAIL_RULE | broken)
    wire.put(f"{RULES}/2", json={})

    assert states(account, dry_run=True)[f"automation rule {MAIL}"] == "differs"
    assert states(account)[f"automation rule {MAIL}"] == "changed"
    [rule] = sent(wire, "PUT")
    assert rule | {"events": []} == MAIL_RULE | {"events": []}


def test_a_survey_rule_without_its_survey_does_not_do_its_job(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    without = [action for action in ASK_RULE["actions"] if action["field_name"] != "send_csat_survey"]
    rules_are(wire, SHOWS_THE_SURVEY, MAIL_RULE, ASK_RULE | {"actions": without})
    wire.put(f"{RULES}/3", json={})

    assert states(account)[f"automation rule {ASK}"] == "changed"
    assert sent(wire, "PUT") == [ASK_RULE]


@pytest.mark.parametrize("remove", [True, False])
def test_two_rules_of_one_name_are_left_alone(account, wire, remove):
    fields_are(wire)
    rules_are(wire, MAIL_RULE, MAIL_RULE, ASK_RULE)
    wire.delete(f"{RULES}/3", status=204)
    wire.post(f"{API}/admin/ticket_fields", status=403, json={})

    steps = list(account.freshdesk.setup(remove=remove))

    [twice] = [step for step in steps if MAIL in step.what]
    assert twice.state == "by hand"
    assert "there are 2 of this name, and nothing was touched" in twice.what
    assert "DELETE /automations/4/rules/1" not in said(wire)


@pytest.mark.parametrize("no", [{"status": 400, "json": {}}, {"status": 403, "json": {}}, {"status": 500}])
def test_a_rule_that_is_refused_is_left_to_be_made_by_hand(account, wire, no):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, ASK_RULE)
    wire.post(RULES, **no)

    mail = next(step for step in account.freshdesk.setup() if MAIL in step.what)

    assert mail.state == "by hand"
    assert "under Admin > Workflows > Automations > Ticket Updates add a rule with exactly this name" in mail.what


def test_a_key_that_may_not_read_rules_is_told_what_to_make_by_hand(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    wire.get(RULES, status=403, json={})

    steps = [step for step in account.freshdesk.setup() if "rule" in step.what]

    assert [step.state for step in steps] == ["by hand", "by hand"]
    assert "adds the tag sr_ask," in steps[0].what


@pytest.mark.parametrize(
    ("needs", "wanted"),
    [
        (Needs(), ["cf_sr_ref"]),
        (Needs(survey_mail=True), ["cf_sr_ref"]),
        (Needs(surveys=True), ["cf_sr_ref", "cf_sr_survey_text", ASK]),
        (NEEDS, ["cf_sr_ref", "cf_sr_survey_text", MAIL, ASK]),
    ],
)
def test_setup_installs_what_the_rules_need_and_no_more(wire, needs, wanted):
    fields_are(wire)
    rules_are(wire, SHOWS_THE_SURVEY)

    steps = list(Account(needs=needs).freshdesk.setup(dry_run=True))

    assert [step.what.removeprefix("ticket field ").removeprefix("automation rule ") for step in steps] == wanted
    assert {step.state for step in steps} == {"missing"}


def test_whatever_there_is_of_ours_is_removed_and_nothing_else(wire):
    fields_are(wire, "cf_other", "cf_sr_survey_text", "cf_sr_ref")
    rules_are(wire, {"name": "[recovery-bridge] mine"}, ASK_RULE, MAIL_RULE)
    for path in ("automations/4/rules/2", "automations/4/rules/3", "admin/ticket_fields/2", "admin/ticket_fields/3"):
        wire.delete(f"{API}/{path}", status=204)

    steps = list(Account().freshdesk.setup(remove=True))

    assert [step.state for step in steps] == ["removed"] * 4
    assert [line for line in said(wire) if line.startswith("DELETE")] == [
        "DELETE /automations/4/rules/3",
        "DELETE /automations/4/rules/2",
        "DELETE /admin/ticket_fields/2",
        "DELETE /admin/ticket_fields/3",
    ]


def test_a_dry_run_changes_nothing(account, wire):
    fields_are(wire, "cf_sr_ref")
    rules_are(wire, MAIL_RULE | {"active": False}, SHOWS_THE_SURVEY)

    assert list(states(account, dry_run=True).values()) == ["present", "missing", "differs", "missing"]
    assert list(states(account, dry_run=True, remove=True).values()) == ["present", "absent", "absent", "present"]
    assert {call.request.method for call in wire.calls} == {"GET"}


def test_after_setup_the_ways_are_looked_at_again(account, wire):
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    rules_are(wire, MAIL_RULE, ASK_RULE)
    account.memory.remember("asking", {"own": "no", "mail": "no"})

    states(account)

    assert account.freshdesk.asking() == Asking()


# ------------------------------------------------------------------ a write with a question
MIA = Requester("8", "Mia", "mia@example.com")
TICKET = Ticket("7", Status.SOLVED, NOON - timedelta(hours=1), NOON, tags=("shop",), assignee_id="9", group_id="4",
                requester=MIA, marker="sr-e0")  # fmt: skip
TAGGED = Change(add_tags=("sr_surveyed",))


def ask(account: Account, ticket: Ticket = TICKET, question: Question = QUESTION, **how: Any) -> Any:
    return written(
        account.freshdesk.write([write_of(ticket, TAGGED, question=question, kind=EffectKind.SURVEY, **how)])
    )


@pytest.mark.parametrize(("question", "tag"), [(QUESTION, "sr_ask"), (SURVEY, "sr_ask_survey")])
def test_a_question_goes_with_one_put_that_the_rule_answers(able, wire, question, tag):
    wire.put(f"{API}/tickets/7", json=ticket_row(tags=["shop", "sr_surveyed"]))

    assert ask(able, question=question).verdict is Verdict.APPLIED
    assert said(wire) == ["PUT /tickets/7"]
    assert sent(wire, "PUT") == [
        {
            "tags": ["shop", "sr_surveyed", tag],
            "custom_fields": {"cf_sr_survey_text": question.text, "cf_sr_ref": "sr-e1"},
        }
    ]


def test_a_text_is_plain_and_holds_no_placeholders(able, wire):
    wire.put(f"{API}/tickets/7", json=ticket_row(tags=["shop", "sr_surveyed"]))

    ask(able, question=Question("Dear {{ticket.id}}\x00{% x %} <b>", adds_survey=False))

    assert sent(wire, "PUT")[0]["custom_fields"]["cf_sr_survey_text"] == "Dear { {ticket.id}}{ % x %} <b>"


@pytest.mark.parametrize(
    ("ticket", "text", "why"),
    [
        (TICKET, "x" * 10_001, "longer than 10000 characters"),
        (replace(TICKET, tags=("sr_ask",)), "x", f'still has the tag sr_ask; see why the rule "{MAIL}"'),
        (replace(TICKET, tags=("sr_ask_survey",)), "x", f'see why the rule "{ASK}" has not removed it'),
    ],
)
def test_a_question_that_would_not_arrive_is_not_sent(able, wire, ticket, text, why):
    result = ask(able, ticket, Question(text, adds_survey=False))

    assert result.verdict is Verdict.REFUSED
    assert why in result.why
    assert said(wire) == []


@pytest.mark.parametrize("missing", ["cf_sr_ref", "cf_sr_survey_text"])
def test_without_a_field_of_ours_no_question_is_risked(account, wire, missing):
    fields_are(wire, *({"cf_sr_ref", "cf_sr_survey_text"} - {missing}))

    result = ask(account)

    assert (result.verdict, f"without the field {missing}" in result.why) == (Verdict.REFUSED, True)
    assert "run setup" in result.why
    assert sent(wire, "PUT") == []


def test_a_question_whose_answer_was_lost_is_known_by_the_marker(able, wire):
    there = replace(TICKET, marker="sr-e1", tags=("shop", "sr_surveyed"))

    assert ask(able, there, repeat=True).verdict is Verdict.ADOPTED
    assert said(wire) == []


def test_a_question_that_never_arrived_is_sent_by_the_repeat(able, wire):
    wire.put(f"{API}/tickets/7", json=ticket_row(tags=["shop", "sr_surveyed"]))

    assert ask(able, repeat=True).verdict is Verdict.APPLIED


def test_where_nobody_can_tell_whether_a_question_arrived_it_is_not_sent_again(able, wire):
    overwritten = replace(TICKET, marker="sr-e2", tags=("shop", "sr_surveyed"))

    result = ask(able, overwritten, repeat=True)

    assert (result.verdict, "nobody is asked twice" in result.why) == (Verdict.REFUSED, True)
    assert said(wire) == []


def no(field: str, message: str = "is not valid") -> dict[str, Any]:
    errors = [{"field": field, "message": message, "code": "invalid_value"}]
    return {"status": 400, "json": {"description": "Validation failed", "errors": errors}}


@pytest.mark.parametrize("field", ["custom_fields.cf_sr_survey_text", "subject"])
def test_a_refusal_never_shows_the_link(able, wire, field, caplog):
    caplog.set_level(logging.DEBUG)
    wire.put(f"{API}/tickets/7", **no(field, f"'{QUESTION.text}' is too long"))

    result = ask(able)

    assert result.verdict is Verdict.REFUSED
    assert "SECRET" not in f"{result!r} {caplog.text}"


def test_an_answer_that_cannot_be_read_never_shows_the_link(able, wire, caplog):
    caplog.set_level(logging.DEBUG)
    wire.put(f"{API}/tickets/7", json={"created_at": QUESTION.text, "updated_at": "2026-11-21T10:00:00Z"})

    result = ask(able)

    assert result.verdict is Verdict.UNKNOWN
    assert "SECRET" not in f"{result!r} {caplog.text}"


def test_a_write_on_its_way_does_not_show_the_link():
    assert "SECRET" not in repr(write_of(TICKET, TAGGED, question=QUESTION))


def test_a_text_field_that_was_removed_is_looked_for_the_next_time(able, wire):
    wire.put(f"{API}/tickets/7", **no("cf_sr_survey_text"))
    fields_are(wire, "cf_sr_ref")

    first, second = ask(able), ask(able)

    assert "does not take the field cf_sr_survey_text" in first.why
    assert "without the field cf_sr_survey_text" in second.why
    assert said(wire).count("PUT /tickets/7") == 1


# ------------------------------------------------------------------ writes after a question
def put_after(account: Account, wire: Wire, *tags: str, minutes: float = 60) -> Any:
    wire.put(f"{API}/tickets/7", json=ticket_row(tags=["sr_surveyed", "sr_x"]))
    ticket = replace(TICKET, tags=tags, updated_at=NOON - timedelta(minutes=minutes))
    written(account.freshdesk.write([write_of(ticket, Change(add_tags=("sr_x",)))]))
    [body] = sent(wire, "PUT")
    return body


def test_a_later_write_empties_a_text_that_was_left_over(able, wire):
    assert put_after(able, wire, "sr_surveyed") == {
        "tags": ["sr_surveyed", "sr_x"],
        "custom_fields": {"cf_sr_ref": "sr-e1", "cf_sr_survey_text": None},
    }


def test_a_tag_that_asks_is_never_sent_back_by_another_write(able, wire):
    body = put_after(able, wire, "sr_ask", "sr_surveyed", minutes=1)

    assert body["tags"] == ["sr_surveyed", "sr_x"]
    assert body["custom_fields"] == {"cf_sr_ref": "sr-e1"}  # the rule may be about to mail the text


def test_a_text_that_no_rule_has_fetched_is_emptied_in_the_end(able, wire):
    assert put_after(able, wire, "sr_ask", "sr_surveyed")["custom_fields"]["cf_sr_survey_text"] is None


def test_tickets_that_were_never_asked_about_are_left_alone(able, wire):
    assert put_after(able, wire, "shop")["custom_fields"] == {"cf_sr_ref": "sr-e1"}


# ------------------------------------------------------------------ solved again
AGAIN = Change(add_tags=("sr_surveyed",), solve_again=True)
STAMP = "2026-11-21T11:00:00Z"  # of TICKET
REOPENED = {"cf_sr_ref": "sr-e1-reopened"}


def solve_again(account: Account, ticket: Ticket = TICKET, question: Question | None = QUESTION, **how: Any) -> Any:
    return written(account.freshdesk.write([write_of(ticket, AGAIN, question=question, **how)]))


def before(wire: Wire, **changes: Any) -> None:
    row = ticket_row(updated_at=STAMP) | changes
    wire.get(f"{API}/tickets/7", json=row, match=[query_param_matcher({"include": "requester"})])


def between(wire: Wire, **changes: Any) -> None:
    row = ticket_row(status=2, updated_at="2026-11-21T12:00:00Z", custom_fields=REOPENED) | changes
    wire.get(f"{API}/tickets/7", json=row, match=[query_param_matcher({"include": "stats"})])


def puts_are(wire: Wire, *answers: dict[str, Any]) -> None:
    for answer in answers:
        wire.put(f"{API}/tickets/7", **answer)


FIRST = {"json": ticket_row(status=2, updated_at="2026-11-21T12:00:00Z")}
SECOND = {"json": ticket_row(status=4, tags=["shop", "sr_surveyed"])}


def test_a_ticket_is_reopened_and_solved_again_with_the_question(able, wire):
    before(wire)
    between(wire)
    puts_are(wire, FIRST, SECOND)

    assert solve_again(able).verdict is Verdict.APPLIED
    assert said(wire) == ["GET /tickets/7", "PUT /tickets/7", "GET /tickets/7", "PUT /tickets/7"]
    assert sent(wire, "PUT") == [
        {"status": 2, "custom_fields": {"cf_sr_ref": "sr-e1-reopened"}},
        {
            "tags": ["shop", "sr_surveyed", "sr_ask"],
            "status": 4,
            "custom_fields": {"cf_sr_survey_text": QUESTION.text, "cf_sr_ref": "sr-e1"},
        },
    ]


@pytest.mark.parametrize("change", [{"status": 2}, {"updated_at": "2026-11-21T11:59:00Z"}])
def test_a_ticket_that_changed_since_it_was_read_is_not_reopened(able, wire, change):
    before(wire, **change)

    assert solve_again(able).verdict is Verdict.CONFLICT
    assert sent(wire, "PUT") == []


def test_on_a_ticket_that_is_not_solved_there_is_only_the_question(able, wire):
    puts_are(wire, {"json": ticket_row(status=2, tags=["shop", "sr_surveyed"])})

    assert solve_again(able, replace(TICKET, status=Status.OPEN)).verdict is Verdict.APPLIED
    assert ["status" in body for body in sent(wire, "PUT")] == [False]


@pytest.mark.parametrize(
    ("row", "talk", "why"),
    [
        ({"status": 3}, None, "became pending"),
        ({"responder_id": 10}, None, "got another assignee"),
        ({"updated_at": "2026-11-21T12:05:00Z"}, None, "may have been worked on"),
        ({"updated_at": "2026-11-21T12:00:09Z"}, "2026-11-21T12:00:09Z", "was written on"),
    ],
)
def test_a_ticket_on_which_somebody_began_to_work_stays_open(able, wire, row, talk, why):
    before(wire)
    between(wire, **row)
    wire.get(f"{API}/tickets/7/conversations", json=[{"created_at": talk}] if talk else [])
    puts_are(wire, FIRST)

    result = solve_again(able)

    assert (result.verdict, why in result.why) == (Verdict.REFUSED, True)
    assert len(sent(wire, "PUT")) == 1


def test_what_rules_of_the_account_do_to_a_reopened_ticket_holds_nothing_up(able, wire):
    before(wire)
    between(wire, updated_at="2026-11-21T12:00:05Z", tags=["shop", "auto"])
    wire.get(f"{API}/tickets/7/conversations", json=[{"created_at": STAMP}])
    puts_are(wire, FIRST, SECOND | {"json": ticket_row(tags=["shop", "auto", "sr_surveyed"])})

    assert solve_again(able).verdict is Verdict.APPLIED
    assert sent(wire, "PUT")[1]["tags"] == ["shop", "auto", "sr_surveyed", "sr_ask"]


def test_a_required_field_leaves_the_ticket_open_and_is_named(able, wire):
    before(wire)
    between(wire)
    puts_are(wire, FIRST, no("cf_cause", "It should not be blank as this is a mandatory field"))

    result = solve_again(able)

    assert result.verdict is Verdict.REFUSED
    assert "cf_cause: It should not be blank" in result.why
    assert "the ticket is open now" in result.why


@pytest.mark.parametrize("second", [{"status": 429}, {"status": 403, "json": {}}, {"status": 502}])
def test_what_is_half_done_is_looked_at_again(able, wire, second):
    before(wire)
    between(wire)
    puts_are(wire, FIRST, second)

    assert solve_again(able).verdict is Verdict.UNKNOWN


def test_what_is_turned_away_at_once_is_undone(able, wire):
    before(wire)
    puts_are(wire, {"status": 429})

    with pytest.raises(Throttled):
        solve_again(able)


def test_a_ticket_left_open_by_a_crash_is_solved_by_the_repeat(able, wire):
    before(wire, status=2, custom_fields=REOPENED)
    between(wire, updated_at=STAMP, stats={"reopened_at": STAMP})
    puts_are(wire, SECOND)
    tags = ("shop", "sr_surveyed")  # of an earlier attempt
    half_done = replace(TICKET, status=Status.OPEN, marker="sr-e1-reopened", tags=tags)

    assert solve_again(able, half_done, repeat=True).verdict is Verdict.APPLIED
    assert sent(wire, "PUT")[0]["status"] == 4


@pytest.mark.parametrize("stats", [{"reopened_at": "2026-11-21T10:00:00Z"}, {"reopened_at": None}, None])
def test_a_ticket_left_open_by_a_crash_stays_open_once_somebody_works_on_it(able, wire, stats):
    before(wire, status=2, custom_fields=REOPENED)
    between(wire, updated_at=STAMP, stats=stats)
    half_done = replace(TICKET, status=Status.OPEN, marker="sr-e1-reopened")

    assert solve_again(able, half_done, repeat=True).verdict is Verdict.REFUSED
    assert sent(wire, "PUT") == []


def test_what_was_solved_again_is_known_by_the_marker(able, wire):
    assert solve_again(able, replace(TICKET, marker="sr-e1"), repeat=True).verdict is Verdict.ADOPTED
    assert said(wire) == []


def test_without_the_marker_nothing_is_solved_again(account, wire):
    fields_are(wire, "cf_sr_survey_text")

    assert solve_again(account, question=None).verdict is Verdict.REFUSED
    assert sent(wire, "PUT") == []


# ------------------------------------------------------------------ a new ticket that carries the question
ARCHIVED = replace(TICKET, status=Status.ARCHIVED, tags=("sr_ask", "sr_surveyed"), subject="Lost parcel")
CARRIER = Change(add_tags=("sr_surveyed",), assignee_id="9", group_id="4")


def carry(account: Account, **how: Any) -> Any:
    write = write_of(ARCHIVED, CARRIER, kind=EffectKind.FOLLOW_UP, question=QUESTION, **how)
    return written(account.freshdesk.write([write]))


def test_a_new_ticket_with_a_question_is_resolved_and_then_asked_about(able, wire):
    wire.post(f"{API}/tickets", status=201, json=ticket_row(id=70))
    wire.get(f"{API}/tickets/70", json=ticket_row(id=70, tags=["auto"]))
    wire.put(f"{API}/tickets/70", json=ticket_row(id=70, tags=["auto", "sr_surveyed"]))

    result = carry(able)

    assert (result.verdict, result.ticket_id) == (Verdict.APPLIED, "70")
    assert (
        sent(wire, "POST")
        == [
            {
                "subject": "Follow-up to ticket 7: Lost parcel",
                "description": "This continues ticket 7, which can no longer be answered.",
                "requester_id": 8,
                "email": None,
                "status": 4,
                "priority": 1,
                "source": 2,
                "group_id": 4,
                "responder_id": 9,
                "custom_fields": {"cf_sr_ref": "sr-e1"},
            }
        ]
        or "email" not in sent(wire, "POST")[0]
    )
    assert sent(wire, "PUT") == [
        {
            "tags": ["auto", "sr_surveyed", "sr_ask"],
            "custom_fields": {"cf_sr_survey_text": QUESTION.text, "cf_sr_ref": "sr-e1"},
        }
    ]


def test_a_new_ticket_whose_question_was_asked_before_is_found(able, wire):
    wire.get(f"{API}/tickets", json=[{"id": 70, "custom_fields": {"cf_sr_ref": "sr-e1"}}])
    wire.get(f"{API}/tickets/70", json=ticket_row(id=70, tags=["sr_surveyed"]))

    result = carry(able, repeat=True)

    assert (result.verdict, result.ticket_id) == (Verdict.ADOPTED, "70")
    assert {call.request.method for call in wire.calls} == {"GET"}


def test_a_new_ticket_that_lacks_its_question_gets_it_by_the_repeat(able, wire):
    wire.get(f"{API}/tickets", json=[{"id": 70, "custom_fields": {"cf_sr_ref": "sr-e1"}}])
    wire.get(f"{API}/tickets/70", json=ticket_row(id=70, tags=[]))
    wire.put(f"{API}/tickets/70", json=ticket_row(id=70, tags=["sr_surveyed"]))

    assert carry(able, repeat=True).verdict is Verdict.APPLIED
    assert len(sent(wire, "PUT")) == 1
    assert sent(wire, "POST") == []


@pytest.mark.parametrize("answer", [{"status": 429}, {"status": 502}, {"status": 403, "json": {}}])
def test_a_new_ticket_whose_question_did_not_leave_is_looked_at_again(able, wire, answer):
    wire.post(f"{API}/tickets", status=201, json=ticket_row(id=70))
    wire.get(f"{API}/tickets/70", json=ticket_row(id=70))
    wire.put(f"{API}/tickets/70", **answer)

    result = carry(able)

    assert (result.verdict, result.ticket_id) == (Verdict.UNKNOWN, "70")


# ------------------------------------------------------------------ requests and fields
def test_requests_are_found_with_one_search(account, wire):
    query = {"query": "\"tag:'sr_request' AND (status:<4 OR status:>6)\"", "page": "1"}
    rows = [{"id": 7, "status": 2}, {"id": 8, "status": 4}, {"id": 9, "status": 2, "spam": True}]
    wire.get(f"{API}/search/tickets", json={"total": 3, "results": rows}, match=[query_param_matcher(query)])

    assert account.freshdesk.requests() == ["7", "8"]
    assert len(wire.calls) == 1


def test_many_requests_take_a_call_for_each_thirty(account, wire):
    for page, ids in (("1", range(30)), ("2", range(29, 40))):
        wire.get(f"{API}/search/tickets", json={"results": [{"id": 100 + number} for number in ids]},
                 match=[query_param_matcher({"page": page}, strict_match=False)])  # fmt: skip

    assert len(account.freshdesk.requests()) == 40


def test_a_ticket_carries_the_fields_that_the_rules_name(wire):
    account = Account(needs=Needs(fields=frozenset({"cf_cause", "cf_spent", "cf_done", "cf_none", "360001"})))
    custom = {"cf_cause": "Late", "cf_spent": 12.5, "cf_done": True, "cf_none": None, "cf_other": "x"}
    wire.get(f"{API}/tickets/7", json=ticket_row(custom_fields=custom))

    found = account.freshdesk.tickets(["7"])["7"].fields

    assert found == {"cf_cause": "Late", "cf_spent": "12.5", "cf_done": "true"}


# ------------------------------------------------------------------ doctor
def findings(account: Account, wire: Wire, *rules: dict[str, Any], hourly: Any = ()) -> list[tuple[Level, str]]:
    wire.get(f"{API}/agents/me", json={"id": 1, "ticket_scope": 1} | dict.fromkeys(["created_at", "updated_at"], STAMP))
    wire.get(f"{API}/agents", json=[])
    wire.get(f"{API}/surveys/satisfaction_ratings", json=[])
    wire.get(f"{API}/surveys", json=[])
    wire.get(f"{API}/customer-satisfaction/surveys", status=404)
    fields_are(wire, "cf_sr_ref", "cf_sr_survey_text")
    wire.get(f"{API}/automations/3/rules", json={"rules": list(hourly)})
    rules_are(wire, *rules)
    return [(found.level, f"{found.what} -> {found.todo}") for found in account.freshdesk.doctor()]


def lines(found: list[tuple[Level, str]], level: Level) -> str:
    return "\n".join(line for at, line in found if at is level)


def test_doctor_says_by_which_ways_customers_can_be_asked(account, wire):
    found = findings(account, wire, MAIL_RULE, ASK_RULE | {"active": False})

    assert f'asked again by a mail with our words (rule "{MAIL}")' in lines(found, Level.OK)
    assert f'cannot be asked again by Freshdesk\'s own survey (rule "{ASK}"): the rule' in lines(found, Level.WARNING)
    assert "is switched off -> run `recovery-bridge setup`, or switch it on" in lines(found, Level.WARNING)


def test_doctor_names_rules_that_ask_by_themselves(account, wire):
    mail = {"field_name": "send_email_to_requester", "email_body": "How was it? {{ticket.satisfaction_survey}}"}
    found = findings(account, wire, MAIL_RULE, ASK_RULE, SHOWS_THE_SURVEY, {"name": "Mail on close", "actions": [mail]})

    assert "rules that send surveys by themselves: Survey on resolve, Mail on close; a customer" in lines(
        found, Level.WARNING
    )
    assert "`tag is not sr_flagged`" in lines(found, Level.WARNING)


def test_doctor_does_not_take_our_own_rules_for_others(account, wire):
    found = findings(account, wire, MAIL_RULE, ASK_RULE)

    assert lines(found, Level.WARNING) == ""
    assert "whether the account asks by itself on every resolved ticket is not shown" in lines(found, Level.NOTE)


def test_doctor_says_after_how_many_hours_tickets_are_closed(account, wire):
    test = {"field_name": "hours_since_resolved", "operator": "greater_than", "value": 96}
    close = {"name": "Close", "conditions": [{"properties": [test]}], "actions": [{"field_name": "status", "value": 5}]}

    found = findings(account, wire, MAIL_RULE, ASK_RULE, hourly=[close])

    assert "rules that close tickets: Close (96 hours since resolved)" in lines(found, Level.NOTE)


def test_where_nobody_is_asked_again_doctor_says_nothing_about_it(wire):
    found = findings(Account(), wire, SHOWS_THE_SURVEY)

    assert "asked again" not in "\n".join(line for _, line in found)
    assert "by themselves" not in "\n".join(line for _, line in found)


def test_a_plan_without_surveys_is_told_which_plan_has_them(account, wire):
    for path in ("surveys/satisfaction_ratings", "customer-satisfaction/surveys"):
        wire.get(f"{API}/{path}", status=403, json={"code": "require_feature", "message": "not in your plan"})

    found = findings(account, wire, MAIL_RULE, ASK_RULE)

    assert "on a plan that has them (Pro, Enterprise)" in lines(found, Level.FAIL)
