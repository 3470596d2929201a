"""Zendesk's `setup` against recorded shapes: what is created, mended and removed, and when nothing is done."""

import json

import pytest
import responses
from memory import DictMemory
from test_zendesk_asking import SURVEY, field, rule
from zendesk_account import API, connected

from bridge.connector import Needs
from bridge.errors import CredentialsRefused, Refused
from connectors.zendesk.question import MAIL_TITLE, RATE_TITLE, text_field, trigger

MAIL = Needs(surveys=True, survey_mail=True)
ALL = Needs(surveys=True, survey_mail=True, rerating=True)
FIELD = "ticket field sr_survey_text: carries a question to the trigger that mails it"
MAILS = f"trigger {MAIL_TITLE}: mails a question to the requester"
RATES = f"trigger {RATE_TITLE}: mails a question with the helpdesk's own rating to the requester"


@pytest.fixture
def http():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def account(http, *, fields=(), triggers=(), survey=None, categories=None):
    """Let an account have these objects, and take what is written."""
    http.get(f"{API}/guide/en-us/surveys", json={"surveys": [survey] if survey else [], "meta": {"has_more": False}})
    http.get(f"{API}/ticket_fields", json={"ticket_fields": list(fields), "meta": {"has_more": False}})
    http.get(f"{API}/triggers", json={"triggers": list(triggers), "meta": {"has_more": False}})
    if categories is None:
        http.get(f"{API}/trigger_categories", status=403, json={"errors": [{"code": "TriggerCategoriesNotEnabled"}]})
    else:
        http.get(f"{API}/trigger_categories", json={"trigger_categories": categories, "meta": {"has_more": False}})
    http.get(f"{API}/webhooks", json={"webhooks": [], "meta": {"has_more": False}})
    http.post(f"{API}/ticket_fields", status=201, json={"ticket_field": {**field(), "id": 34}})
    http.post(f"{API}/triggers", status=201, json={"trigger": {"id": 39}})
    for path in ("ticket_fields/34", "triggers/39", "triggers/40"):
        http.put(f"{API}/{path}", json={})
        http.delete(f"{API}/{path}", status=204)


def steps(needs, **options):
    found = connected(DictMemory(), needs=needs).setup(**options)
    return [(step.what, step.state) for step in found if not step.what.startswith("tag ")]


def written(http):
    """Return (method, path, body) of everything that changed the account."""
    calls = [call.request for call in http.calls if call.request.method != "GET"]
    return [(call.method, call.url.removeprefix(API), json.loads(call.body or "null")) for call in calls]


def test_a_new_account_gets_the_field_and_the_trigger(http):
    account(http)

    assert steps(MAIL) == [(FIELD, "created"), (MAILS, "created")]

    assert written(http) == [
        ("POST", "/ticket_fields", {"ticket_field": text_field()}),
        ("POST", "/triggers", {"trigger": trigger(MAIL_TITLE, "34")}),
    ]


def test_a_legacy_account_that_may_rate_again_gets_both_triggers(http):
    account(http)

    assert steps(ALL) == [(FIELD, "created"), (MAILS, "created"), (RATES, "created")]
    assert written(http)[2] == ("POST", "/triggers", {"trigger": trigger(RATE_TITLE, "34")})


def test_an_account_of_the_new_survey_needs_no_second_rating(http):
    account(http, survey=SURVEY)

    assert steps(ALL) == [(FIELD, "created"), (MAILS, "created")]


def test_a_rating_without_our_mail_needs_its_trigger_alone(http):
    account(http)

    assert steps(Needs(surveys=True, rerating=True)) == [(FIELD, "created"), (RATES, "created")]


@pytest.mark.parametrize("needs", [Needs(), Needs(surveys=True), Needs(survey_mail=True, rerating=True)])
def test_who_asks_nobody_by_the_helpdesk_gets_nothing(http, needs):
    account(http)

    assert steps(needs) == []
    assert written(http) == []


def test_doing_it_again_changes_nothing(http):
    account(http, fields=[field()], triggers=[rule(MAIL_TITLE), rule(RATE_TITLE, 40)])

    assert steps(ALL) == [(FIELD, "present"), (MAILS, "present"), (RATES, "present")]
    assert written(http) == []


def test_what_somebody_changed_is_mended(http):
    account(http, fields=[field(visible_in_portal=True)], triggers=[rule(MAIL_TITLE, active=False)])

    assert steps(MAIL) == [(FIELD, "changed"), (MAILS, "changed")]

    assert written(http) == [
        ("PUT", "/ticket_fields/34", {"ticket_field": text_field()}),
        ("PUT", "/triggers/39", {"trigger": trigger(MAIL_TITLE, "34")}),
    ]


def test_a_dry_run_tells_and_does_nothing(http):
    account(http, fields=[field()], triggers=[rule(MAIL_TITLE, active=False)])

    assert steps(ALL, dry_run=True) == [(FIELD, "present"), (MAILS, "differs"), (RATES, "missing")]
    assert written(http) == []


def test_a_dry_run_on_a_new_account_names_all_that_is_missing(http):
    account(http)

    assert steps(ALL, dry_run=True) == [(FIELD, "missing"), (MAILS, "missing"), (RATES, "missing")]
    assert written(http) == []


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize(
    ("fields", "triggers", "what"),
    [
        ([field(), field(id=35)], [], "ticket field sr_survey_text: there are 2 with this title; delete all but one"),
        ([field()], [rule(MAIL_TITLE), rule(MAIL_TITLE, 40)], f"trigger {MAIL_TITLE}: there are 2 with this title"),
        ([field(type="text")], [], "ticket field sr_survey_text: a field with this title is of type text; rename it"),
    ],
)
def test_where_it_is_not_clear_what_is_ours_nothing_is_done(http, fields, triggers, what, remove):
    account(http, fields=fields, triggers=triggers)

    [(said, state)] = steps(ALL, remove=remove)

    assert (state, said.startswith(what), said.endswith("nothing was done")) == ("stopped", True, True)
    assert written(http) == []


def test_removing_takes_exactly_ours_the_triggers_first(http):
    others = [rule("Mail the second question", 50), rule("[recovery-bridge] Something else", 51)]
    cause = {"id": 1, "title": "Cause"}
    account(http, fields=[field(), cause], triggers=[rule(MAIL_TITLE), rule(RATE_TITLE, 40), *others])

    assert steps(Needs(), remove=True) == [
        (f"trigger {MAIL_TITLE}", "removed"),
        (f"trigger {RATE_TITLE}", "removed"),
        ("ticket field sr_survey_text", "removed"),
    ]
    assert [(method, path) for method, path, _ in written(http)] == [
        ("DELETE", "/triggers/39"), ("DELETE", "/triggers/40"), ("DELETE", "/ticket_fields/34")]  # fmt: skip


def test_removing_what_is_not_there_changes_nothing(http):
    account(http)

    assert {state for _, state in steps(ALL, remove=True)} == {"absent"}
    assert written(http) == []


def test_a_dry_removal_tells_what_is_there(http):
    account(http, fields=[field()], triggers=[rule(MAIL_TITLE)])

    assert [state for _, state in steps(ALL, remove=True, dry_run=True)] == ["present", "absent", "present"]
    assert written(http) == []


# ------------------------------------------------------------------ accounts that want a category
WANTED = {"error": "RecordInvalid", "details": {"category_id": [{"description": "Category: cannot be blank"}]}}


OURS = {"id": "10002", "name": "[recovery-bridge]"}


@pytest.fixture
def picky(http):
    """An account that wants a category for each trigger."""
    http.post(f"{API}/triggers", status=422, json=WANTED)
    http.post(f"{API}/trigger_categories", json={"trigger_category": OURS})
    return http


def test_a_trigger_gets_a_category_where_it_needs_one(picky):
    account(picky, categories=[{"id": "10001", "name": "Notifications"}])

    assert steps(MAIL) == [(FIELD, "created"), (MAILS, "created")]

    assert written(picky)[2:] == [
        ("POST", "/trigger_categories", {"trigger_category": {"name": "[recovery-bridge]"}}),
        ("POST", "/triggers", {"trigger": {**trigger(MAIL_TITLE, "34"), "category_id": "10002"}}),
    ]


def test_a_category_of_ours_is_used_again(picky):
    account(picky, fields=[field()], categories=[OURS])

    steps(MAIL)

    assert [path for _, path, _ in written(picky)] == ["/triggers", "/triggers"]
    assert written(picky)[1][2]["trigger"]["category_id"] == "10002"


@pytest.mark.parametrize(("status", "state"), [(204, "removed"), (400, "in use")])
def test_our_category_is_removed_unless_it_holds_other_triggers(http, status, state):
    http.delete(f"{API}/trigger_categories/10002", status=status)
    account(http, categories=[OURS])

    assert steps(MAIL, remove=True)[-1] == ("trigger category [recovery-bridge]", state)


def test_any_other_refusal_is_told_as_it_is(http):
    details = {"base": [{"description": "Too many triggers"}]}
    http.post(f"{API}/triggers", status=422, json={"error": "RecordInvalid", "details": details})
    account(http)

    with pytest.raises(Refused, match="Too many triggers"):
        steps(MAIL)


def test_who_may_not_read_triggers_is_refused(http):
    http.get(f"{API}/triggers", status=403, json={"error": "Forbidden"})
    account(http)

    with pytest.raises(CredentialsRefused, match="acme: GET /api/v2/triggers: 403"):
        steps(MAIL)


def test_after_setup_the_ways_to_ask_are_looked_up_anew(http):
    memory = DictMemory()
    memory.remember("asking", {"own": "?"})
    account(http)

    list(connected(memory, needs=MAIL).setup())

    assert memory.recall("asking") is None
