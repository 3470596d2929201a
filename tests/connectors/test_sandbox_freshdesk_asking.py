"""The Freshdesk stand-in asking again: rules and fields made over the API, links of surveys, second answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sandbox_shop import DAY, HOUR, Shop

from connectors.sandbox.wsgi import Refusal

LINK = "https://care.shop.example/s/abc"
TEXT = "cf_sr_survey_text"
MAIL = {
    "field_name": "send_email_to_requester",
    "email_subject": "Re: {{ticket.subject}} ({{ticket.id}})",
    "email_body": "<div>{{ticket.cf_sr_survey_text}}</div>",
}
CLEAN = [{"field_name": "remove_tag", "value": "sr_ask"}, {"field_name": TEXT, "value": ""}]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def install(shop: Shop, *actions: dict[str, Any], **rule: Any) -> None:
    """Add the field that carries a text, and a rule for the tag sr_ask."""
    field = {"label": "sr_survey_text", "label_for_customers": "sr_survey_text", "type": "custom_paragraph"}
    shop.call("POST", "/admin/ticket_fields", field)
    rule = {
        "name": "[recovery-bridge] Ask",
        "performer": {"type": 1},
        "events": [{"field_name": "tag_names", "value": "sr_ask"}],
        "actions": list(actions),
        **rule,
    }
    assert shop.call("POST", "/automations/4/rules", rule).status_code == 201


def ask(shop: Shop, text: str = LINK) -> None:
    assert shop.put({"tags": ["vip", "sr_ask"], "custom_fields": {TEXT: text}}).status_code == 200


def test_a_rule_mails_a_field_to_the_requester_and_clears_up(shop: Shop) -> None:
    install(shop, MAIL, *CLEAN)

    ask(shop)

    (mail,) = shop.world.mails
    assert (mail.to, mail.kind, mail.link) == ("cora@mail.example", "question", LINK)
    assert mail.subject == f"Re: Lamp ({shop.ticket_id})"
    ticket = shop.get(f"/tickets/{shop.ticket_id}")
    assert (ticket["tags"], ticket["custom_fields"]) == (["vip"], {TEXT: None})


def test_a_rule_may_be_unable_to_clear_a_field(shop: Shop) -> None:
    shop.desk.rules_clear_fields = False
    install(shop, MAIL, *CLEAN)

    ask(shop)

    assert shop.get(f"/tickets/{shop.ticket_id}")["custom_fields"] == {TEXT: LINK}


def test_a_rule_can_exchange_tags(shop: Shop) -> None:
    install(shop, *CLEAN, {"field_name": "add_tag", "value": "sr_surveyed"})

    ask(shop)

    assert shop.get(f"/tickets/{shop.ticket_id}")["tags"] == ["vip", "sr_surveyed"]


@pytest.mark.parametrize(
    ("event", "runs"),
    [
        ({"field_name": "tag", "value": ["other", "sr_ask"]}, True),
        ({"field_name": "tag_names", "to": "sr_ask"}, True),
        ({"field_name": "tag_names", "value": "--"}, True),
        ({"field_name": "tag_names", "value": "sr_other"}, False),
    ],
)
def test_a_rule_waits_for_a_tag_to_be_added(shop: Shop, event: dict[str, Any], runs: bool) -> None:
    install(shop, MAIL, events=[event])

    ask(shop)
    shop.put({"tags": []})

    assert len(shop.world.mails) == runs


@pytest.mark.parametrize(
    "action", [{"field_name": "send_survey"}, {**MAIL, "email_body": "{{ticket.satisfaction_survey}}"}]
)
def test_a_rule_can_send_the_helpdesks_own_survey(shop: Shop, action: dict[str, Any]) -> None:
    install(shop, action)

    ask(shop)

    assert shop.mails() == [("survey", "cora@mail.example")]
    shop.desk.answer(shop.world.mails[0].link, "good", "Thanks")
    assert [answer.comment for answer in shop.desk.answers] == ["Thanks"]


def test_an_account_without_surveys_sends_none() -> None:
    shop = Shop(csat="none")
    install(shop, {"field_name": "send_survey"})

    ask(shop)

    assert shop.mails() == []


# ------------------------------------------------------------------ several answers
def surveyed_twice(**options: Any) -> tuple[Shop, str, str]:
    """Let a ticket be resolved twice, with a survey each time; returns the shop and both links."""
    shop = Shop(**options)
    for _ in range(2):
        shop.desk.edit(str(shop.ticket_id), by=str(shop.ann), status="open")
        shop.desk.solve(str(shop.ticket_id), str(shop.ann))
        shop.after(HOUR)
    first, second = (mail.link for mail in shop.world.mails if mail.kind == "survey")
    return shop, first, second


@pytest.mark.parametrize("options", [{}, {"csat": "new", "points": 5}])
def test_each_survey_of_a_ticket_has_an_answer_of_its_own(options: dict[str, Any]) -> None:
    shop, first, second = surveyed_twice(**options)

    ids = [shop.desk.answer(first, "bad"), shop.desk.answer(second, "good")]

    assert [answer.value for answer in shop.desk.answers] == [shop.desk.code("bad"), shop.desk.code("good")]
    assert ids[0] != ids[1]


def test_without_a_link_the_newest_survey_is_answered() -> None:
    shop, first, _ = surveyed_twice(csat="new", points=5)
    shop.desk.answer(first, "bad")

    shop.desk.rate(str(shop.ticket_id), "good")

    assert [answer.value for answer in shop.desk.answers] == [1, 5]


def test_a_link_works_once_on_older_accounts_and_again_on_newer_ones() -> None:
    shop, first, _ = surveyed_twice(csat="new", points=5)
    assert shop.desk.answer(first, "bad") == shop.desk.answer(first, "good")

    shop, first, _ = surveyed_twice()
    shop.desk.answer(first, "bad")
    with pytest.raises(Refusal) as no:
        shop.desk.answer(first, "good")
    assert no.value.status == 410


def test_a_closed_ticket_can_be_rated_an_archived_one_cannot() -> None:
    shop, first, second = surveyed_twice()
    shop.desk.edit(str(shop.ticket_id), by=str(shop.ann), status="closed")
    shop.desk.answer(first, "bad")

    shop.after(121 * DAY)

    with pytest.raises(Refusal) as no:
        shop.desk.answer(second, "good")
    assert (no.value.status, len(shop.desk.answers)) == (404, 1)


def test_a_link_that_is_not_the_surveys_answers_nothing(shop: Shop) -> None:
    with pytest.raises(Refusal):
        shop.desk.answer(LINK, "good")


# ------------------------------------------------------------------ finding what agents asked for
def test_the_search_index_may_be_behind(shop: Shop) -> None:
    path = "/search/tickets?query=\"tag:'sr_request'\""
    shop.desk.search_lag = timedelta(minutes=5)
    shop.put({"tags": ["sr_request"]})

    assert shop.get(path)["total"] == 0
    shop.after(HOUR)
    shop.put({"tags": []})
    assert shop.get(path)["total"] == 1


# ------------------------------------------------------------------ hourly rules
def test_a_rule_that_goes_on_holding_fires_every_hour(shop: Shop) -> None:
    hours = {"field_name": "hours_since_created", "operator": "greater_than", "value": 2}
    rule = {"name": "nag", "conditions": [{"properties": [hours]}], "actions": [{**MAIL, "email_body": "Still here"}]}
    shop.call("POST", "/automations/3/rules", rule)

    shop.after(5 * HOUR)

    assert shop.mails() == [("rule", "cora@mail.example")] * 3


def test_an_hourly_rule_sees_what_has_changed_since(shop: Shop) -> None:
    tagged = {"field_name": "tag", "operator": "is", "value": "late"}
    rule = {
        "name": "raise",
        "conditions": [{"properties": [tagged]}],
        "actions": [{"field_name": "priority", "value": 4}],
    }
    shop.call("POST", "/automations/3/rules", rule)
    shop.after(2 * HOUR)

    shop.put({"tags": ["late"]})
    shop.after(HOUR)

    assert shop.get(f"/tickets/{shop.ticket_id}")["priority"] == 4


def test_an_hourly_rule_that_is_new_looks_at_old_tickets(shop: Shop) -> None:
    shop.after(2 * HOUR)
    rule = {"name": "raise", "actions": [{"field_name": "priority", "value": 4}]}

    shop.call("POST", "/automations/3/rules", rule)
    shop.after(HOUR)

    assert shop.get(f"/tickets/{shop.ticket_id}")["priority"] == 4
