"""The referee of customers' mail: what caused each, at both vendors."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_office import HOUR, Office
from sandbox_shop import Shop

from connectors.sandbox.outbox import Cause, caused_by_programs, outbox, unwanted

OWN_RULE = {"title": "[recovery-bridge] Ask", "conditions": {"all": [
    {"field": "current_tags", "operator": "includes", "value": "sr_ask"}]}}  # fmt: skip


@pytest.fixture
def office() -> Office:
    office = Office(mail_on_solve=True)
    office.world.mails.clear()
    return office


@pytest.fixture
def shop() -> Shop:
    return Shop()


def causes(firm: Office | Shop) -> list[tuple[str, str]]:
    return [(sent.mail.kind, str(sent.cause)) for sent in outbox(firm.world)]


def mails(text: str) -> dict[str, Any]:
    return OWN_RULE | {"actions": [{"field": "notification_user", "value": ["requester_id", "Hello", text]}]}


def test_an_agents_reply_and_the_accounts_own_rules_are_told_apart(office: Office) -> None:
    office.desk.reply(office.ticket, office.ann, "Here you are")
    office.desk.solve(office.ticket, office.ann)
    office.passes(25 * HOUR)

    assert causes(office) == [("reply", "reply"), ("solved", "account"), ("survey", "account")]


def test_mail_to_staff_is_in_nobodys_outbox(office: Office) -> None:
    office.put(assignee_id=int(office.ann), comment={"body": "Please look", "public": False})

    assert office.mails() == [("ann", "assigned")]
    assert causes(office) == []


def test_what_a_programs_write_sets_off_is_the_programs(office: Office) -> None:
    office.put(assignee_id=int(office.ann), status="solved")
    office.put(comment={"body": "Hello", "public": True})

    assert causes(office) == [("solved", "api"), ("reply", "api")]
    assert len(unwanted(office.world)) == 2


@pytest.mark.parametrize(("text", "count"), [("https://care.example/s/1", 0), ("Hello", 1)])
def test_an_installed_trigger_may_ask_and_nothing_else(office: Office, text: str, count: int) -> None:
    office.call("POST", "/triggers", {"trigger": mails(text)})

    office.put(tags=["sr_ask"])

    assert [sent.cause for sent in caused_by_programs(office.world)] == [Cause.INSTALLED]
    assert len(unwanted(office.world)) == count


def test_a_rule_of_the_account_that_a_program_set_off_is_the_programs(shop: Shop) -> None:
    rule = {"name": "solve", "performer": {"type": 1}, "events": [{"field_name": "tag", "value": "x"}],
            "actions": [{"field_name": "status", "value": 4}]}  # fmt: skip
    shop.call("POST", "/automations/4/rules", rule)

    shop.put({"tags": ["x"]})

    assert causes(shop) == [("solved", "api"), ("survey", "api")]
    assert [sent.mail.kind for sent in unwanted(shop.world)] == ["solved"]


def test_what_people_set_off_is_the_accounts(shop: Shop) -> None:
    shop.desk.reply(str(shop.ticket_id), str(shop.ann), "Here you are")
    shop.desk.solve(str(shop.ticket_id), str(shop.ann))
    shop.desk.customer_replies(str(shop.ticket_id), "Thanks")

    assert causes(shop) == [("reply", "reply"), ("solved", "account"), ("survey", "account")]
    assert caused_by_programs(shop.world) == []


def test_an_installed_rule_is_known_by_its_name(shop: Shop) -> None:
    rule = {"name": "[recovery-bridge] Ask", "performer": {"type": 1}, "actions": [{"field_name": "send_survey"}],
            "events": [{"field_name": "tag", "value": "sr_ask_survey"}]}  # fmt: skip
    shop.call("POST", "/automations/4/rules", rule)

    shop.put({"tags": ["sr_ask_survey"]})

    assert causes(shop) == [("survey", "installed")]
    assert unwanted(shop.world) == []
