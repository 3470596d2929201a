"""The Freshdesk stand-in over its HTTP API: tickets, what is said on them, fields and rules."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_shop import DAY, HOUR, Shop, first_error


@pytest.fixture
def shop() -> Shop:
    return Shop()


# ------------------------------------------------------------------ tickets
def test_a_ticket_shows_what_include_asks_for(shop: Shop) -> None:
    shop.desk.reply(str(shop.ticket_id), str(shop.ann), "Hello")
    ticket = shop.get(f"/tickets/{shop.ticket_id}?include=conversations,requester,company,stats")

    assert ticket["requester"]["email"] == "cora@mail.example"
    assert ticket["company"]["name"] == "Acme"
    assert ticket["stats"]["agent_responded_at"] == "2026-11-02T09:00:00Z"
    assert ticket["conversations"][0]["body_text"] == "Hello"
    assert "stats" not in shop.get(f"/tickets/{shop.ticket_id}")


def test_tickets_older_than_30_days_are_listed_only_by_updated_since(shop: Shop) -> None:
    shop.after(31 * DAY)

    assert shop.get("/tickets") == []
    assert len(shop.get("/tickets?updated_since=2026-11-01T00:00:00Z")) == 1


def test_tickets_are_ordered_by_their_last_change(shop: Shop) -> None:
    shop.after(HOUR)
    second = shop.open("Second")
    shop.after(HOUR)
    shop.desk.edit(str(shop.ticket_id), by=str(shop.ann), tags=["moved"])

    listed = shop.get("/tickets?order_by=updated_at&order_type=asc&updated_since=2026-11-02T09:30:00Z")

    assert [one["id"] for one in listed] == [second, shop.ticket_id]


def test_deleted_and_spam_tickets_are_listed_by_filter_alone(shop: Shop) -> None:
    spam = shop.open("Win")
    shop.desk.mark_spam(str(spam), by=str(shop.ann))
    shop.desk.delete(str(shop.ticket_id), by=str(shop.ann))

    assert shop.get("/tickets") == []
    assert [one["id"] for one in shop.get("/tickets?filter=spam")] == [spam]
    assert [one["deleted"] for one in shop.get("/tickets?filter=deleted")] == [True]


def test_no_list_goes_beyond_page_300(shop: Shop) -> None:
    assert first_error(shop.call("GET", "/tickets?page=301")) == (400, "page", "invalid_value")


def test_a_put_changes_what_it_names_and_nothing_else(shop: Shop) -> None:
    shop.desk.edit(str(shop.ticket_id), by=str(shop.ann), tags=["old"], status="closed")
    shop.world.mails.clear()

    response = shop.put({"status": 2, "tags": ["new"], "priority": 3})

    ticket = response.json
    assert (ticket["status"], ticket["tags"], ticket["priority"]) == (2, ["new"], 3)
    assert ticket["responder_id"] == shop.ann
    assert shop.mails() == []
    assert shop.world.ledger[-1].actor == f"api:{shop.desk.api_agent}"


def test_an_agent_who_is_given_a_ticket_by_a_program_is_told(shop: Shop) -> None:
    shop.put({"responder_id": None})
    shop.put({"responder_id": shop.ann, "group_id": int(shop.team)})

    assert shop.mails() == [("assigned", "ann@shop.example")]


def test_unknown_keys_are_refused_and_nothing_is_done(shop: Shop) -> None:
    response = shop.put({"tags": ["a"], "assignee_id": 5})

    assert first_error(response) == (400, "assignee_id", "invalid_field")
    assert shop.get(f"/tickets/{shop.ticket_id}")["tags"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": 99}, "status"),
        ({"status": "2"}, "status"),
        ({"priority": 0}, "priority"),
        ({"tags": "a"}, "tags"),
        ({"tags": ["x" * 33]}, "tags"),
        ({"responder_id": 1}, "responder_id"),
        ({"group_id": 1}, "group_id"),
        ({"custom_fields": {"cf_none": "x"}}, "custom_fields.cf_none"),
    ],
)
def test_bad_values_are_refused_by_field(shop: Shop, body: dict[str, Any], field: str) -> None:
    response = shop.put(body)

    assert (response.status_code, response.json["errors"][0]["field"]) == (400, field)


def test_a_responder_must_belong_to_the_group_that_is_sent_along(shop: Shop) -> None:
    response = shop.put({"responder_id": shop.ann, "group_id": int(shop.leads)})

    assert first_error(response)[:2] == (400, "responder_id")


def test_a_deactivated_agent_gets_nothing(shop: Shop) -> None:
    shop.desk.deactivate_agent(str(shop.ann))

    assert first_error(shop.put({"responder_id": shop.ann}))[:2] == (400, "responder_id")
    assert shop.get(f"/agents/{shop.ann}")["deactivated"] is True


@pytest.mark.parametrize("verb", ["delete", "mark_spam"])
def test_deleted_and_spam_tickets_refuse_writes_with_405(shop: Shop, verb: str) -> None:
    getattr(shop.desk, verb)(str(shop.ticket_id), by=str(shop.ann))

    assert shop.put({"status": 2}).status_code == 405
    assert shop.call("POST", f"/tickets/{shop.ticket_id}/notes", {"body": "x"}).status_code == 405


def test_an_archived_ticket_is_read_elsewhere_and_never_written(shop: Shop) -> None:
    shop.desk.private_note(str(shop.ticket_id), str(shop.ann), "x")
    shop.desk.edit(str(shop.ticket_id), by=str(shop.ann), status="closed")
    shop.after(121 * DAY)

    assert shop.call("GET", f"/tickets/{shop.ticket_id}").status_code == 404
    assert shop.put({"status": 2}).status_code == 404
    assert shop.get(f"/tickets/archived/{shop.ticket_id}")["status"] == 5
    assert len(shop.get(f"/tickets/archived/{shop.ticket_id}/conversations")) == 1


def test_a_field_that_closing_needs_makes_resolving_fail(shop: Shop) -> None:
    shop.desk.required_for_closure.add("ticket_type")

    assert first_error(shop.put({"status": 4})) == (400, "type", "missing_field")
    assert shop.put({"tags": ["a"]}).status_code == 200
    assert shop.put({"status": 4, "type": "Problem"}).status_code == 200


def test_a_strict_form_refuses_even_tags(shop: Shop) -> None:
    shop.desk.required_for_agents.add("ticket_type")
    shop.desk.strict_form = True

    assert shop.put({"tags": ["a"]}).status_code == 400


def test_a_child_ticket_is_opened_for_the_same_customer(shop: Shop) -> None:
    body = {"subject": "Again", "description": "x", "requester_id": int(shop.cora), "parent_id": shop.ticket_id}

    made = shop.call("POST", "/tickets", body)

    assert (made.status_code, made.json["association_type"], made.json["status"]) == (201, 2, 2)
    assert made.headers["Location"].endswith(f"/tickets/{made.json['id']}")
    assert shop.mails() == [("request_received", "cora@mail.example")]


def test_tickets_need_a_subject_a_text_and_somebody(shop: Shop) -> None:
    body = {"subject": "Again", "description": "x", "email": "new@mail.example"}

    for missing in body:
        sent = {name: value for name, value in body.items() if name != missing}
        assert shop.call("POST", "/tickets", sent).status_code == 400
    assert shop.call("POST", "/tickets", body).status_code == 201


# ------------------------------------------------------------------ talking
def test_notes_are_private_unless_they_say_otherwise(shop: Shop) -> None:
    path = f"/tickets/{shop.ticket_id}/notes"

    made = shop.call("POST", path, {"body": "<b>Call</b> her", "notify_emails": ["ann@shop.example"]})

    assert (made.status_code, made.json["private"], made.json["body_text"]) == (201, True, "Call her")
    assert made.json["notified_to"] == ["ann@shop.example"]
    assert shop.mails() == [("note", "ann@shop.example")]
    shop.call("POST", path, {"body": "Hello", "private": False})
    assert shop.mails()[-1] == ("reply", "cora@mail.example")


def test_notes_can_be_edited_and_deleted_and_replies_cannot_be_edited(shop: Shop) -> None:
    note = shop.call("POST", f"/tickets/{shop.ticket_id}/notes", {"body": "x"}).json["id"]
    reply = shop.call("POST", f"/tickets/{shop.ticket_id}/reply", {"body": "Hello"}).json["id"]

    assert shop.call("PUT", f"/conversations/{note}", {"body": "y"}).json["body"] == "y"
    assert shop.call("PUT", f"/conversations/{reply}", {"body": "y"}).status_code == 405
    assert shop.call("DELETE", f"/conversations/{note}").status_code == 204
    assert [one["id"] for one in shop.get(f"/tickets/{shop.ticket_id}/conversations")] == [reply]


def test_a_reply_is_mailed_to_the_customer(shop: Shop) -> None:
    made = shop.call("POST", f"/tickets/{shop.ticket_id}/reply", {"body": "Hello", "user_id": shop.ann})

    assert (made.json["user_id"], made.json["replied_to"]) == (shop.ann, ["cora@mail.example"])
    assert shop.mails() == [("reply", "cora@mail.example")]


# ------------------------------------------------------------------ many at once, fields, rules
def test_a_bulk_update_is_a_job_with_a_result_for_each_ticket(shop: Shop) -> None:
    gone = shop.open("Gone")
    shop.desk.delete(str(gone), by=str(shop.ann))
    action = {"ids": [shop.ticket_id, gone], "properties": {"status": 5, "skip_close_notification": True}}
    shop.world.mails.clear()

    job = shop.call("POST", "/tickets/bulk_update", {"bulk_action": action}).json["job_id"]

    assert shop.get(f"/jobs/{job}")["status"] == "IN PROGRESS"
    assert [row["success"] for row in shop.get(f"/jobs/{job}")["data"]] == [True, False]
    assert shop.mails() == []


def test_tickets_are_merged_by_programs_too(shop: Shop) -> None:
    other = shop.open("Same")

    assert shop.call("PUT", "/tickets/merge", {"primary_id": other, "ticket_ids": [shop.ticket_id]}).status_code == 204
    assert shop.get(f"/tickets/{shop.ticket_id}")["status"] == 5


def test_tickets_are_found_by_tag_and_state(shop: Shop) -> None:
    shop.put({"tags": ["recovery"]})
    shop.open("Other")

    found = shop.get("/search/tickets?query=%22tag:'recovery' AND (status:2 OR status:3)%22")

    assert [one["id"] for one in found["results"]] == [shop.ticket_id]


def test_an_added_field_is_named_after_its_label_and_can_be_written(shop: Shop) -> None:
    field = {"label": "SR Marker", "label_for_customers": "SR Marker", "type": "custom_text"}

    made = shop.call("POST", "/admin/ticket_fields", field)

    assert (made.status_code, made.json["name"]) == (201, "cf_sr_marker")
    assert first_error(shop.call("POST", "/admin/ticket_fields", field)) == (400, "label", "duplicate_value")
    assert shop.put({"custom_fields": {"cf_sr_marker": "sr-1"}}).json["custom_fields"] == {"cf_sr_marker": "sr-1"}
    assert shop.call("DELETE", f"/admin/ticket_fields/{made.json['id']}").status_code == 204
    assert shop.get(f"/tickets/{shop.ticket_id}")["custom_fields"] == {}


def test_the_form_tells_statuses_agents_and_groups(shop: Shop) -> None:
    fields = {field["name"]: field for field in shop.get("/ticket_fields")}

    assert fields["status"]["choices"]["2"] == ["Open", "Being Processed"]
    assert fields["agent"]["choices"]["Ann"] == shop.ann
    assert fields["group"]["choices"]["Support"] == int(shop.team)


def test_the_rule_that_closes_tickets_can_be_read(shop: Shop) -> None:
    rules = shop.get("/automations/3/rules")

    assert rules["meta"] == {"count": 1}
    assert rules["rules"][0]["actions"] == [{"field_name": "status", "value": 5}]


def test_an_installed_rule_answers_a_field_with_a_survey(shop: Shop) -> None:
    field = {"label": "SR Ask", "label_for_customers": "SR Ask", "type": "custom_text"}
    shop.call("POST", "/admin/ticket_fields", field)
    rule = {
        "name": "[recovery-bridge] ask again",
        "performer": {"type": 1},
        "events": [{"field_name": "cf_sr_ask", "from": "--", "to": "now"}],
        "actions": [{"field_name": "send_survey"}, {"field_name": "cf_sr_ask", "value": ""}],
    }
    made = shop.call("POST", "/automations/4/rules", rule)

    shop.put({"custom_fields": {"cf_sr_ask": "now"}})

    assert shop.mails() == [("survey", "cora@mail.example")]
    assert shop.get(f"/tickets/{shop.ticket_id}")["custom_fields"] == {"cf_sr_ask": None}
    assert shop.call("DELETE", f"/automations/4/rules/{made.json['id']}").status_code == 204


def test_what_a_rule_changes_starts_no_further_rule(shop: Shop) -> None:
    for name, before, after, performer in (("down again", 1, 4, 1), ("up again", 4, 1, 4)):
        events = [{"field_name": "priority", "from": before, "to": after}]
        rule = {"name": name, "performer": {"type": performer}, "events": events,
                "actions": [{"field_name": "priority", "value": before}]}  # fmt: skip
        shop.call("POST", "/automations/4/rules", rule)

    shop.put({"priority": 4})

    assert shop.get(f"/tickets/{shop.ticket_id}")["priority"] == 1


def test_a_rule_for_agents_does_not_run_for_customers(shop: Shop) -> None:
    rule = {"name": "agents", "performer": {"type": 1}, "events": [{"field_name": "reply_sent"}],
            "actions": [{"field_name": "add_tag", "value": ["answered"]}]}  # fmt: skip
    shop.call("POST", "/automations/4/rules", rule)

    shop.desk.customer_replies(str(shop.ticket_id), "Hello?")
    assert shop.get(f"/tickets/{shop.ticket_id}")["tags"] == []

    shop.desk.reply(str(shop.ticket_id), str(shop.ann), "Yes?")
    assert shop.get(f"/tickets/{shop.ticket_id}")["tags"] == ["answered"]


def test_a_webhook_without_all_its_keys_breaks_the_vendor(shop: Shop) -> None:
    rule = {"name": "hook", "actions": [{"field_name": "trigger_webhook", "url": "https://bridge.example"}]}

    assert shop.call("POST", "/automations/4/rules", rule).status_code == 500


def test_a_rule_asks_for_a_webhook_when_a_customer_rates(shop: Shop) -> None:
    hook = {"field_name": "trigger_webhook", "url": "https://bridge.example/h", "request_type": "POST",
            "content_type": "JSON", "content_layout": "2", "custom_headers": {"X-Secret": "s"},
            "content": '{"ticket_id": {{ticket.id}}}'}  # fmt: skip
    events = [{"field_name": "customer_feedback", "value": "-103"}]
    shop.call("POST", "/automations/4/rules", {"name": "hook", "performer": {"type": 2}, "events": events,
                                               "actions": [hook]})  # fmt: skip

    shop.desk.rate(str(shop.ticket_id), "good")
    shop.desk.rate(str(shop.ticket_id), "bad")

    assert [webhook.content for webhook in shop.desk.webhooks] == [f'{{"ticket_id": {shop.ticket_id}}}']


def test_rules_can_be_missing_from_a_plan(shop: Shop) -> None:
    shop.desk.missing_features.add("automations")

    assert shop.call("GET", "/automations/4/rules").json["code"] == "require_feature"
