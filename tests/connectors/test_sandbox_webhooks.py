"""What the stand-ins send when a customer rates, and the API that the stand-in Zendesk has for its webhooks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sandbox_office import MINUTE, Office
from sandbox_shop import Shop
from werkzeug import Request, Response

from connectors.freshdesk import hooks as freshdesk
from connectors.sandbox import courier
from connectors.sandbox.courier import Webhook
from connectors.sandbox.server import serve
from connectors.sandbox.zendesk_webhooks import BY_TRIGGERS, CSAT_RECEIVED
from connectors.zendesk import hooks as zendesk

WISH = {
    "name": "[recovery-bridge] in", "endpoint": "https://bridge.example/hooks/acme", "http_method": "POST",
    "request_format": "json", "status": "active", "subscriptions": [CSAT_RECEIVED],
}  # fmt: skip


@pytest.fixture
def office() -> Office:
    return Office()


def made(office: Office, **changes: Any) -> str:
    """Make a webhook and return its id."""
    return str(office.call("POST", "/webhooks", {"webhook": WISH | changes}).json["webhook"]["id"])


def rated(office: Office) -> Webhook:
    """Let the customer rate, and return the webhook that came of it."""
    office.solved()
    office.desk.rate(office.ticket, "bad", "Still broken")
    return office.desk.webhooks[-1]


def headers_of(webhook: Webhook) -> dict[str, str]:
    """Return the headers as a server sees them."""
    return {name.lower(): value for name, value in webhook.headers.items()}


# ------------------------------------------------------------------ Zendesk's API
def test_a_webhook_is_made_found_changed_and_deleted(office: Office) -> None:
    webhook_id = made(office)
    path = f"/webhooks/{webhook_id}"

    assert [row["id"] for row in office.call("GET", "/webhooks?filter[name_contains]=bridge").json["webhooks"]] == [
        webhook_id
    ]
    assert office.call("GET", "/webhooks?filter[name_contains]=other").json["webhooks"] == []
    assert office.call("PATCH", path, {"webhook": {"endpoint": "https://b.example/"}}).status_code == 204
    assert office.call("PUT", path, {"webhook": WISH | {"status": "inactive"}}).status_code == 204
    shown = office.call("GET", path).json["webhook"]
    assert (shown["endpoint"], shown["status"], shown["created_by"]) == (WISH["endpoint"], "inactive", "1")
    assert [office.call("DELETE", path).status_code for _ in range(2)] == [204, 404]


def test_a_webhook_keeps_its_secrets_to_itself(office: Office) -> None:
    login = {"type": "basic_auth", "data": {"username": "u", "password": "PASSWORD"}, "add_position": "header"}
    path = f"/webhooks/{made(office, authentication=login)}"

    assert "PASSWORD" not in office.call("GET", path).text
    secret = office.call("GET", f"{path}/signing_secret").json["signing_secret"]
    assert secret["algorithm"] == "SHA256"
    assert office.call("POST", f"{path}/signing_secret").json["signing_secret"]["secret"] != secret["secret"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": None}, {"subscriptions": [CSAT_RECEIVED, BY_TRIGGERS]}, {"request_format": "xml"},
        {"http_method": "GET"}, {"subscriptions": ["zen:event-type:ticket.unheard_of"]}, {"title": "x"},
    ],
)  # fmt: skip
def test_what_no_webhook_can_be_is_refused(office: Office, wrong: dict[str, Any]) -> None:
    office.desk.hooks.unknown_events.add("zen:event-type:ticket.unheard_of")

    assert office.call("POST", "/webhooks", {"webhook": WISH | wrong}).status_code == 400


def test_a_webhook_of_events_never_becomes_one_of_triggers(office: Office) -> None:
    path = f"/webhooks/{made(office)}"

    assert office.call("PATCH", path, {"webhook": {"subscriptions": [BY_TRIGGERS]}}).status_code == 400


def test_only_admins_see_webhooks(office: Office) -> None:
    office.desk.change_agent(office.desk.service_id, role="agent")

    assert office.call("GET", "/webhooks").status_code == 403


# ------------------------------------------------------------------ Zendesk's deliveries
@pytest.mark.parametrize("csat", ["legacy", "new"])
def test_a_rating_is_told_with_a_signature_that_holds(csat: str) -> None:
    office = Office(csat=csat)
    webhook_id = made(office)

    webhook = rated(office)

    secret = office.desk.hooks.secrets[webhook_id]
    assert zendesk.why_refused(headers_of(webhook), webhook.body, [secret], office.world.clock.now()) is None
    assert zendesk.ticket_of(json.loads(webhook.body)) == webhook.ticket_id == office.ticket
    assert (webhook.url, webhook.body[-1:]) == (WISH["endpoint"], b"\n")


@pytest.mark.parametrize("changes", [{"status": "inactive"}, {"subscriptions": [BY_TRIGGERS]}])
def test_who_does_not_wait_for_ratings_is_told_nothing(office: Office, changes: dict[str, Any]) -> None:
    made(office, **changes)
    office.solved()

    office.desk.rate(office.ticket, "bad")

    assert office.desk.webhooks == []


def test_another_attempt_has_a_stamp_and_a_signature_of_its_own(office: Office) -> None:
    made(office)
    first = rated(office)
    office.passes(8 * MINUTE)

    office.desk.hooks.send_again(first)

    again = office.desk.webhooks[-1]
    names = ("X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Invocation-Id")
    assert [first.headers[name] == again.headers[name] for name in names] == [False, True]
    assert (again.body, again.at - first.at) == (first.body, 8 * MINUTE)


@pytest.mark.parametrize(("answered", "status"), [(200, "success"), (401, "terminated"), (0, "terminated")])
def test_what_became_of_deliveries_is_listed_the_newest_first(office: Office, answered: int, status: str) -> None:
    path = f"/webhooks/{made(office)}/invocations"
    rated(office)
    office.desk.send = lambda _: answered
    office.passes(MINUTE)
    office.desk.rate(office.ticket, "good")

    listed = office.call("GET", f"{path}?sort=-latest_completed_at&page[size]=1").json

    assert [row["status"] for row in listed["invocations"]] == [status]
    assert listed["meta"]["has_more"]
    assert office.call("GET", f"{path}?page[after]={listed['meta']['after_cursor']}").json["invocations"][0][
        "status_code"
    ] == 200  # fmt: skip
    office.passes(timedelta(days=8))
    assert office.call("GET", path).json["invocations"] == []


def test_a_test_is_sent_where_the_webhook_sends(office: Office) -> None:
    webhook_id = made(office)
    office.desk.send = lambda _: 404

    said = office.call("POST", f"/webhooks/test?webhook_id={webhook_id}", {"request": {"payload": "{}"}}).json

    [sent] = office.desk.webhooks
    assert (said["response"]["status"], sent.url, sent.body) == (404, WISH["endpoint"], b"{}")
    assert office.desk.unknown_parameters == []


# ------------------------------------------------------------------ over HTTP
def test_webhooks_are_sent_over_http_when_asked(office: Office) -> None:
    came: list[bytes] = []

    @Request.application
    def service(request: Request) -> Response:
        came.append(request.get_data())
        return Response(status=503)

    with serve(service) as url:
        office.desk.send = courier.post
        made(office, endpoint=url)
        sent = rated(office)
    gone = courier.post(sent)

    assert came == [sent.body]
    assert gone == 0


# ------------------------------------------------------------------ Freshdesk
@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    hook = {"field_name": "trigger_webhook", "url": "https://bridge.example/hooks/shop", "request_type": "POST",
            "content_type": "JSON", "content_layout": "2", "custom_headers": {"X-Bridge-Secret": "s" * 32},
            "content": '{"ticket_id": "{{ticket.id}}"}'}  # fmt: skip
    rule = {
        "name": "hook",
        "performer": {"type": 2},
        "events": [{"field_name": "customer_feedback"}],
        "actions": [hook],
    }
    shop.call("POST", "/automations/4/rules", rule)
    return shop


def test_a_rule_sends_its_secret_and_the_ticket(shop: Shop) -> None:
    shop.desk.rate(str(shop.ticket_id), "bad")

    [webhook] = shop.desk.webhooks
    assert freshdesk.why_refused(headers_of(webhook), webhook.body, ["s" * 32], shop.world.clock.now()) is None
    assert freshdesk.ticket_of(json.loads(webhook.body)) == str(shop.ticket_id)


def test_a_rule_may_send_its_secret_as_a_password_and_the_simple_body(shop: Shop) -> None:
    [hook] = [rule for rule in shop.desk.rules.values() if rule.name == "hook"]
    hook.body["actions"][0] |= {
        "custom_headers": {}, "auth_header": {"username": "bridge", "password": "p" * 32}, "content": {"simple": True},
    }  # fmt: skip

    shop.desk.rate(str(shop.ticket_id), "bad")

    [webhook] = shop.desk.webhooks
    assert freshdesk.why_refused(headers_of(webhook), webhook.body, ["p" * 32], shop.world.clock.now()) is None
    assert freshdesk.ticket_of(json.loads(webhook.body)) == str(shop.ticket_id)


def test_what_is_not_taken_comes_again_three_times(shop: Shop) -> None:
    shop.desk.send = lambda _: 503
    shop.desk.rate(str(shop.ticket_id), "bad")
    for _ in range(40):
        shop.after(5 * MINUTE)

    first, *others = (webhook.at for webhook in shop.desk.webhooks)
    assert [(at - first) // MINUTE for at in others] == [5, 35, 95]
