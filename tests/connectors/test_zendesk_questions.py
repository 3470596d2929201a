"""Zendesk's writes that carry a question or solve a ticket again: what is sent, and what every interruption leaves."""

import json
import logging
from dataclasses import replace

import pytest
import requests
import responses
from memory import DictMemory
from test_zendesk_asking import SURVEY, account, field, rule
from test_zendesk_writes import done, job, verdicts
from zendesk_account import API, asks, connected, question, ticket_json, write

from bridge.connector import Needs
from bridge.errors import Throttled
from bridge.model import Change, EffectKind, Requester, Sending, Verdict, Written
from connectors.zendesk.bodies import follow_up_body, reopening_body, solving_body, update_body
from connectors.zendesk.question import MAIL_TITLE
from connectors.zendesk.writes import MAILED_WITHIN

TICKET = f"{API}/tickets/7"
STAMP, LATER = "2026-11-21T11:00:00Z", "2026-11-21T11:00:05Z"
TEXT = "Hello! https://x.example/q/SECRET"


@pytest.fixture
def memory():
    """The memory of an account whose field for questions has the id 34."""
    memory = DictMemory()
    memory.remember("asking", {"own": "", "mail": "", "is_link": True, "overwrites": False,
                               "closes_after": 96, "field": "34"})  # fmt: skip
    return memory


@pytest.fixture
def zendesk(memory):
    return connected(memory, needs=Needs(surveys=True, survey_mail=True))


@pytest.fixture
def http():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def sent(http, method="PUT"):
    """Return the `ticket` of each update."""
    return [json.loads(call.request.body)["ticket"] for call in http.calls if call.request.method == method]


def shown(*tags, **changes):
    return {"ticket": ticket_json(tags=["parcel", *tags], updated_at=LATER, **changes)}


ASKED = shown("sr_surveyed", "sr_ref_e1")
BLANK = {"custom_fields": [{"id": 34, "value": None}], "metadata": {"recovery_bridge": "sr-e1"}}


# ------------------------------------------------------------------ what is sent
@pytest.mark.parametrize(("adds_survey", "tag"), [(False, "sr_ask"), (True, "sr_ask_survey")])
def test_a_question_is_one_conditional_write(adds_survey, tag):
    assert update_body(asks(said=question(adds_survey=adds_survey)), "34") == {
        "tags": ["parcel", "sr_surveyed", tag, "sr_ref_e1"],
        "custom_fields": [{"id": 34, "value": TEXT}],
        "safe_update": True,
        "updated_stamp": STAMP,
    }


def test_a_question_adds_the_tag_of_surveyed_tickets_by_itself():
    reminder = replace(asks(said=question(), tags=["sr_surveyed", "sr_ref_e0"]), change=Change())

    assert update_body(reminder, "34")["tags"] == ["sr_surveyed", "sr_ask", "sr_ref_e1"]


def test_every_later_write_to_a_surveyed_ticket_blanks_what_was_left_there():
    body = update_body(write(tags=["parcel", "sr_surveyed", "sr_ask", "sr_half"]), "34")

    assert body["custom_fields"] == [{"id": 34, "value": None}]
    assert body["tags"] == ["parcel", "sr_surveyed", "csat-recovery", "sr_ref_e1"]


def test_a_ticket_that_was_never_surveyed_is_not_touched_in_its_field():
    assert "custom_fields" not in update_body(write(), "34")


def test_a_ticket_is_first_reopened_with_nothing_but_two_tags():
    assert reopening_body(asks(again=True, said=question()), "34") == {
        "status": "open",
        "tags": ["parcel", "sr_half", "sr_ref_e1"],
        "safe_update": True,
        "updated_stamp": STAMP,
    }


def test_and_then_solved_again_with_the_question():
    opened = asks(again=True, said=question(), status="open", tags=["parcel", "sr_half", "sr_ref_e1"])

    assert solving_body(opened, "34") == {
        "status": "solved",
        "tags": ["parcel", "sr_surveyed", "sr_ask", "sr_ref_e1"],
        "custom_fields": [{"id": 34, "value": TEXT}],
        "metadata": {"recovery_bridge": "sr-e1"},
        "safe_update": True,
        "updated_stamp": STAMP,
    }


def test_a_new_ticket_that_carries_a_question_is_solved_from_the_beginning():
    asking = asks(kind=EffectKind.FOLLOW_UP, said=question(), status="closed", requester=Requester("70"))

    assert follow_up_body(asking, "34") == {
        "subject": "Late parcel",
        "via_followup_source_id": 7,
        "external_id": "sr-e1",
        "requester_id": 70,
        "status": "solved",
        "assignee_id": 80,
        "group_id": 60,
        "tags": ["parcel", "sr_surveyed", "sr_ask", "sr_ref_e1"],
        "custom_fields": [{"id": 34, "value": TEXT}],
        "comment": {"body": "ref sr-e1", "public": False},
    }


def test_a_follow_up_of_a_surveyed_ticket_does_not_inherit_its_question():
    body = follow_up_body(write(kind=EffectKind.FOLLOW_UP, status="closed", tags=["sr_surveyed"]), "34")

    assert body["custom_fields"] == [{"id": 34, "value": None}]
    assert "status" not in body


# ------------------------------------------------------------------ a question on its way
def test_a_question_is_handed_over_and_then_taken_off_the_ticket(zendesk, http):
    http.put(TICKET, json=ASKED)

    news = list(zendesk.write([asks(said=question())]))

    assert news == [Sending(("e1",)), Written("e1", Verdict.APPLIED)]
    assert sent(http)[1:] == [BLANK]
    assert zendesk.pauses == [MAILED_WITHIN]
    assert len(http.calls) == 2


def test_several_questions_go_one_by_one_and_wait_once(zendesk, http):
    http.put(TICKET, json=ASKED)
    http.put(f"{API}/tickets/8", json=shown("sr_surveyed", "sr_ref_e2"))

    found = verdicts(zendesk.write([asks(said=question()), asks("e2", ticket_id=8, said=question())]))

    assert found == {"e1": Verdict.APPLIED, "e2": Verdict.APPLIED}
    assert [call.request.url[-1] for call in http.calls] == ["7", "8", "7", "8"]
    assert zendesk.pauses == [MAILED_WITHIN]


def test_a_question_that_stays_on_its_ticket_was_asked_all_the_same(zendesk, http, caplog):
    http.put(TICKET, json=ASKED)
    http.put(TICKET, status=422, json={"error": "RecordInvalid", "details": {"base": [{"description": TEXT}]}})

    with caplog.at_level(logging.WARNING):
        assert verdicts(zendesk.write([asks(said=question())])) == {"e1": Verdict.APPLIED}

    assert "the question stays on its ticket until our next write (Refused)" in caplog.text
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    "trouble", [{"status": 429, "headers": {"Retry-After": "9"}}, {"status": 401}, {"status": 500}]
)
def test_trouble_behind_a_question_does_not_take_it_back(zendesk, http, trouble):
    http.put(TICKET, json=ASKED)
    http.put(TICKET, **trouble)

    assert verdicts(zendesk.write([asks(said=question())])) == {"e1": Verdict.APPLIED}


def test_a_question_that_no_trigger_took_is_taken_back(zendesk, http, memory):
    http.put(TICKET, json=shown("sr_surveyed", "sr_ask", "sr_ref_e1"))
    http.get(TICKET, json=shown("sr_surveyed", "sr_ask", "sr_ref_e1"))

    news = list(zendesk.write([asks(said=question())]))

    assert news[1] == Written("e1", Verdict.REFUSED, "no trigger mailed the question; run recovery-bridge setup")
    assert sent(http)[1:] == [BLANK | {"tags": ["parcel", "sr_surveyed"], "safe_update": True, "updated_stamp": LATER}]
    assert memory.recall("asking") is None


def test_an_answer_that_is_older_than_its_triggers_is_looked_at_once_more(zendesk, http):
    http.put(TICKET, json=shown("sr_surveyed", "sr_ask", "sr_ref_e1"))
    http.get(TICKET, json=ASKED)

    assert verdicts(zendesk.write([asks(said=question())])) == {"e1": Verdict.APPLIED}
    assert sent(http)[1:] == [BLANK]


@pytest.mark.parametrize(("method", "status"), [("GET", 500), ("PUT", 409), ("GET", 429)])
def test_trouble_while_taking_back_leaves_it_unknown(zendesk, http, method, status):
    http.put(TICKET, json=shown("sr_surveyed", "sr_ask", "sr_ref_e1"))
    http.get(TICKET, json=shown("sr_surveyed", "sr_ask", "sr_ref_e1"))
    if method == "GET":
        http.replace("GET", TICKET, status=status, json={})
    else:
        http.put(TICKET, status=status, json={})

    assert verdicts(zendesk.write([asks(said=question())])) == {"e1": Verdict.UNKNOWN}


def test_a_question_found_on_its_ticket_after_a_crash_was_mailed_and_is_taken_off(zendesk, http):
    http.put(TICKET, json=ASKED)

    news = list(zendesk.write([asks(tags=["sr_surveyed", "sr_ref_e1"], repeat=True)]))

    assert news == [Written("e1", Verdict.ADOPTED, "the ticket carries our tag already")]
    assert sent(http) == [BLANK]


def test_a_question_found_with_its_tag_after_a_crash_was_not(zendesk, http):
    http.get(TICKET, json=shown("sr_surveyed", "sr_ask", "sr_ref_e1"))
    http.put(TICKET, json=shown("sr_surveyed"))

    found = verdicts(zendesk.write([asks(tags=["sr_surveyed", "sr_ask", "sr_ref_e1"], repeat=True)]))

    assert found == {"e1": Verdict.REFUSED}
    assert sent(http)[0]["tags"] == ["parcel", "sr_surveyed"]


def test_a_question_that_cannot_be_taken_back_is_tried_a_few_times_only(zendesk, http):
    http.get(TICKET, status=500)

    news = list(zendesk.write([asks(tags=["sr_surveyed", "sr_ask", "sr_ref_e1"], repeat=True)]))

    assert [type(item) for item in news] == [Sending, Written]  # it is the intents that are counted
    assert news[1].verdict is Verdict.UNKNOWN


def test_a_question_that_no_trigger_took_stays_on_a_closed_ticket(zendesk, http):
    tags = ["sr_surveyed", "sr_ask", "sr_ref_e1"]
    http.get(TICKET, json=shown(*tags, status="closed"))

    assert verdicts(zendesk.write([asks(tags=tags, status="closed", repeat=True)])) == {"e1": Verdict.REFUSED}
    assert sent(http) == []


def test_without_the_field_nothing_leaves(http):
    account(http, survey=SURVEY, triggers=[rule(MAIL_TITLE)])

    news = list(connected(DictMemory()).write([asks(said=question())]))

    why = "ticket field 'sr_survey_text' is missing; run recovery-bridge setup"
    assert news == [Written("e1", Verdict.REFUSED, why)]
    assert sent(http) == []


def test_the_field_is_looked_up_where_it_is_not_known(http):
    account(http, survey=SURVEY, triggers=[rule(MAIL_TITLE)], fields=[field(id=77)])
    http.put(TICKET, json=ASKED)

    list(connected(DictMemory()).write([asks(said=question())]))

    assert sent(http)[0]["custom_fields"] == [{"id": 77, "value": TEXT}]


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (409, {"error": "UpdateConflict"}, Verdict.CONFLICT),
        (404, {"error": "RecordNotFound"}, Verdict.GONE),
        (500, {}, Verdict.UNKNOWN),
        (422, {"details": {"status": [{"description": "Status: closed prevents ticket update"}]}}, Verdict.LOCKED),
    ],
)
def test_what_a_refused_question_means(zendesk, http, status, body, verdict):
    http.put(TICKET, status=status, json=body)

    assert verdicts(zendesk.write([asks(said=question())])) == {"e1": verdict}
    assert zendesk.pauses == []


def test_words_of_zendesk_that_repeat_the_link_are_not_passed_on(zendesk, http):
    said = "sr_survey_text: Hello! https://x.example/q/SECRET and /hc/x?access_token=SECRET are invalid"
    http.put(TICKET, status=422, json={"error": "RecordInvalid", "details": {"base": [{"description": said}]}})

    [_, written] = zendesk.write([asks(said=question())])

    assert written.verdict is Verdict.REFUSED
    assert "SECRET" not in written.why


def test_the_words_are_in_no_log_and_no_representation(zendesk, http, caplog):
    http.put(TICKET, json=ASKED)
    caplog.set_level(0)
    asking = asks(said=question())

    news = list(zendesk.write([asking]))

    assert not any("SECRET" in text for text in (caplog.text, repr(asking), repr(news), repr(vars(zendesk._writes))))


def test_a_throttled_question_raises_before_it_is_counted(zendesk, http):
    http.put(TICKET, status=429, headers={"Retry-After": "9"})

    with pytest.raises(Throttled):
        list(zendesk.write([asks(said=question())]))


def test_many_writes_to_surveyed_tickets_blank_in_their_job(zendesk, http):
    http.put(f"{API}/tickets/update_many", json=job("queued"))
    http.get(f"{API}/job_statuses/V3-1", json=job("completed", done(7), done(8)))

    list(zendesk.write([write("e1", tags=["sr_surveyed"]), write("e2", ticket_id=8)]))

    [first, second] = json.loads(http.calls[0].request.body)["tickets"]
    assert first["custom_fields"] == [{"id": 34, "value": None}]
    assert "custom_fields" not in second


# ------------------------------------------------------------------ solving again
OPENED = shown("sr_half", "sr_ref_e1", status="open")


def test_a_ticket_is_solved_again_in_two_updates_each_on_the_one_before(zendesk, http):
    http.put(TICKET, json=OPENED)
    http.put(TICKET, json=ASKED)

    news = list(zendesk.write([asks(again=True, said=question())]))

    assert news == [Sending(("e1",)), Written("e1", Verdict.APPLIED)]
    [first, second, blank] = sent(http)
    assert (first["status"], first["updated_stamp"]) == ("open", STAMP)
    assert (second["status"], second["updated_stamp"]) == ("solved", LATER)
    assert second["custom_fields"] == [{"id": 34, "value": TEXT}]
    assert "assignee_id" not in second
    assert blank == BLANK


def test_solving_again_without_a_question_needs_no_field(http):
    zendesk = connected(DictMemory())
    http.put(TICKET, json=OPENED)
    http.put(TICKET, json=ASKED)
    mark = write(change=Change(add_tags=("sr_surveyed",), solve_again=True))

    assert verdicts(zendesk.write([mark])) == {"e1": Verdict.APPLIED}
    assert sent(http)[1]["tags"] == ["parcel", "sr_surveyed", "sr_ref_e1"]
    assert zendesk.pauses == []


def test_whoever_held_the_ticket_holds_it_when_a_trigger_took_it_away(zendesk, http):
    http.put(TICKET, json=shown("sr_half", "sr_ref_e1", status="open", assignee_id=None))
    http.put(TICKET, json=ASKED)

    list(zendesk.write([asks(again=True, said=question())]))

    assert (sent(http)[1]["assignee_id"], sent(http)[1]["group_id"]) == (80, 60)


@pytest.mark.parametrize("status", ["open", "pending", "hold", "new"])
def test_a_ticket_that_is_not_solved_gets_the_question_alone(zendesk, http, status):
    http.put(TICKET, json=ASKED)

    assert verdicts(zendesk.write([asks(again=True, said=question(), status=status)])) == {"e1": Verdict.APPLIED}
    assert "status" not in sent(http)[0]


@pytest.mark.parametrize(
    ("trouble", "verdict"),
    [
        ({"status": 409, "json": {"error": "UpdateConflict"}}, Verdict.CONFLICT),
        ({"body": requests.ReadTimeout("slow")}, Verdict.UNKNOWN),
        ({"status": 429, "headers": {"Retry-After": "9"}}, Verdict.UNKNOWN),
        ({"status": 401, "json": {}}, Verdict.UNKNOWN),
        ({"json": OPENED}, Verdict.UNKNOWN),
        ({"status": 422, "json": {"details": {"base": [{"description": "Cause: is required when solving"}]}}},
         Verdict.REFUSED),
    ],
)  # fmt: skip
def test_trouble_between_the_two_updates_is_told_and_never_raised(zendesk, http, trouble, verdict):
    http.put(TICKET, json=OPENED)
    http.put(TICKET, **trouble)

    assert verdicts(zendesk.write([asks(again=True, said=question())])) == {"e1": verdict}
    assert len(sent(http)) == 2


HALF = {"status": "open", "tags": ["parcel", "sr_half", "sr_ref_e1"], "updated_at": LATER}


def audits(http, *rows):
    http.get(f"{TICKET}/audits", json={"audits": list(rows), "next_page": None})


def audit(audit_id, at=LATER, value=("parcel", "sr_half", "sr_ref_e1")):
    event = {"type": "Change", "field_name": "tags", "value": list(value), "previous_value": ["parcel"]}
    return {"id": audit_id, "created_at": at, "events": [event]}


def test_a_ticket_left_open_by_a_crash_is_solved_if_nobody_touched_it(zendesk, http):
    audits(http, audit(1, STAMP, ()), audit(2))
    http.put(TICKET, json=ASKED)

    news = list(zendesk.write([asks(again=True, said=question(), repeat=True, **HALF)]))

    assert news == [Sending(("e1",)), Written("e1", Verdict.APPLIED)]
    assert sent(http)[0]["status"] == "solved"
    assert sent(http)[0]["updated_stamp"] == LATER


@pytest.mark.parametrize(
    "later",
    [[audit(2), audit(3, LATER, ("parcel",))], [audit(2), {"id": 3, "created_at": "2026-11-21T11:00:06Z"}], []],
)
def test_a_ticket_that_somebody_touched_meanwhile_stays_as_it_is(zendesk, http, later):
    audits(http, *later)

    [written] = zendesk.write([asks(again=True, said=question(), repeat=True, **HALF)])

    why = "somebody worked on the ticket after we reopened it; it is left as it is"
    assert (written.verdict, written.why) == (Verdict.REFUSED, why)
    assert sent(http) == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_ticket_whose_history_we_may_not_read_stays_as_it_is(zendesk, http, status):
    http.get(f"{TICKET}/audits", status=status, json={"error": "Forbidden"})

    assert verdicts(zendesk.write([asks(again=True, said=question(), repeat=True, **HALF)])) == {"e1": Verdict.REFUSED}


@pytest.mark.parametrize("said", [question(), None])
@pytest.mark.parametrize("status", ["solved", "closed"])
def test_a_half_done_ticket_that_somebody_solved_was_touched(zendesk, http, said, status):
    asking = asks(again=True, said=said, repeat=True, **(HALF | {"status": status}))

    assert verdicts(zendesk.write([asking])) == {"e1": Verdict.REFUSED}
    assert len(http.calls) == 0


def test_a_half_done_ticket_is_not_solved_without_its_question(zendesk, http):
    audits(http, audit(2))

    assert verdicts(zendesk.write([asks(again=True, repeat=True, **HALF)])) == {"e1": Verdict.REFUSED}
    assert sent(http) == []


# ------------------------------------------------------------------ again, once a later write dropped the mark
OURS = {"metadata": {"custom": {"recovery_bridge": "sr-e1"}}}
ARRIVED = audit(1, value=("sr_surveyed", "sr_ask", "sr_ref_e1"))
REOPENED = audit(1, value=("sr_half", "sr_surveyed", "sr_ref_e1"))
DROPPED = {"id": 2, "created_at": LATER, "events": [{"value": ["sr_ref_e2"], "previous_value": ["sr_ref_e1"]}]}


def retried(zendesk, **how):
    return verdicts(zendesk.write([asks(said=question(), repeat=True, tags=["sr_surveyed", "sr_ref_e2"], **how)]))


@pytest.mark.parametrize("again", [False, True])
def test_a_question_that_may_have_arrived_is_not_asked_twice(zendesk, http, again):
    audits(http, DROPPED, ARRIVED)

    assert retried(zendesk, again=again) == {"e1": Verdict.REFUSED}
    assert sent(http) == []


@pytest.mark.parametrize(
    "before", [[], [audit(1, value=("sr_ref_e0",))], [REOPENED, DROPPED], [DROPPED | OURS, ARRIVED]]
)
def test_a_question_that_never_arrived_or_was_taken_back_is_asked(zendesk, http, before):
    audits(http, *before)
    http.put(TICKET, json=ASKED)

    assert retried(zendesk) == {"e1": Verdict.APPLIED}


def test_where_we_may_not_read_the_history_nobody_is_asked_again(zendesk, http):
    http.get(f"{TICKET}/audits", status=403, json={"error": "Forbidden"})

    assert retried(zendesk) == {"e1": Verdict.REFUSED}


# ------------------------------------------------------------------ new tickets that carry a question
CARRIER = {"kind": EffectKind.FOLLOW_UP, "status": "closed"}


def made(*tags):
    return ticket_json(99, external_id="sr-e1", tags=["parcel", *tags], updated_at=LATER)


def test_a_new_ticket_brings_the_question_and_is_blanked(zendesk, http):
    http.post(f"{API}/tickets", status=201, json={"ticket": made("sr_surveyed", "sr_ref_e1")})
    http.put(f"{API}/tickets/99", json={})

    news = list(zendesk.write([asks(said=question(), **CARRIER)]))

    assert news[1] == Written("e1", Verdict.APPLIED, ticket_id="99")
    assert (sent(http, "POST")[0]["status"], sent(http)) == ("solved", [BLANK])


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        (("sr_surveyed", "sr_ref_e1"), Verdict.ADOPTED),
        (("sr_surveyed", "sr_ask", "sr_ref_e1"), Verdict.REFUSED),
        (("sr_surveyed",), Verdict.REFUSED),
    ],
)
def test_a_new_ticket_of_an_earlier_run_tells_whether_its_question_left(zendesk, http, tags, verdict):
    http.get(f"{API}/tickets", json={"tickets": [made(*tags)]})
    http.get(f"{API}/tickets/99", json={"ticket": made(*tags)})
    http.put(f"{API}/tickets/99", json={})

    found = list(zendesk.write([asks(said=question(), repeat=True, **CARRIER)]))

    assert [(item.verdict, item.ticket_id) for item in found if isinstance(item, Written)] == [(verdict, "99")]
    assert sent(http, "POST") == []


def test_a_question_that_cannot_be_taken_off_a_new_ticket_is_counted_too(zendesk, http):
    http.get(f"{API}/tickets", json={"tickets": [made("sr_surveyed", "sr_ask", "sr_ref_e1")]})
    http.get(f"{API}/tickets/99", status=500)

    news = list(zendesk.write([asks(said=question(), repeat=True, **CARRIER)]))

    assert [type(item) for item in news] == [Sending, Written]
