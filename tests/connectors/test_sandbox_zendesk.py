"""What the stand-in Zendesk does with tickets, jobs and mail, seen through its API and its verbs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sandbox_office import HOUR, MINUTE, START, Office
from werkzeug.test import TestResponse


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def opened() -> Callable[..., Office]:
    return Office


# ------------------------------------------------------------------ signing in
def token(office: Office, **grant: Any) -> TestResponse:
    full = {"grant_type": "client_credentials", "client_id": "bridge", "client_secret": "bridge-secret", **grant}
    return office.client.post("/oauth/tokens", json=full)


def bearer(minted: TestResponse) -> dict[str, str]:
    return {"Authorization": f"Bearer {minted.json['access_token']}"}


def test_a_token_works_until_it_expires(office: Office) -> None:
    headers = bearer(token(office, scope="read write"))

    before = office.client.get("/api/v2/groups", headers=headers).status_code
    office.world.clock.advance(timedelta(seconds=1800))

    assert (before, office.client.get("/api/v2/groups", headers=headers).status_code) == (200, 401)


def test_a_wrong_secret_gives_no_token(office: Office) -> None:
    assert token(office, client_secret="guess").status_code == 401


@pytest.mark.parametrize("seconds", [300, 172_800])
def test_the_life_of_a_token_has_bounds(office: Office, seconds: int) -> None:
    assert token(office, expires_in=seconds).status_code == 400


def test_a_scope_in_the_wrong_form_gives_a_token_that_may_do_nothing(office: Office) -> None:
    minted = token(office, scope=["read", "write"])

    assert (minted.status_code, office.client.get("/api/v2/groups", headers=bearer(minted)).status_code) == (201, 403)


def test_a_token_for_reading_may_not_write(office: Office) -> None:
    headers = bearer(token(office, scope="read"))

    assert (
        office.client.put(f"/api/v2/tickets/{office.ticket}", json={"ticket": {}}, headers=headers).status_code == 403
    )


def test_audits_need_the_whole_read_scope(office: Office) -> None:
    headers = bearer(token(office, scope="tickets:read"))

    assert office.client.get(f"/api/v2/tickets/{office.ticket}", headers=headers).status_code == 200
    assert office.client.get(f"/api/v2/tickets/{office.ticket}/audits", headers=headers).status_code == 403


def test_ratings_are_for_administrators(office: Office) -> None:
    ann = ("ann@acme.example/token", "bridge-api-token")

    assert office.client.get("/api/v2/satisfaction_ratings", auth=ann).status_code == 403


def test_nobody_comes_in_without_credentials(office: Office) -> None:
    assert office.client.get("/api/v2/tickets").json == {"error": "Couldn't authenticate you"}
    assert office.client.get("/api/v2/users/me.json").json["user"]["id"] is None


# ------------------------------------------------------------------ limits
def test_the_limit_of_the_plan_is_shown_and_kept(opened: Callable[..., Office]) -> None:
    office = opened(rate_limit=2)

    answers = [office.call("GET", "/groups") for _ in range(3)]

    assert [a.headers["X-Rate-Limit-Remaining"] for a in answers] == ["1", "0", "0"]
    assert (answers[2].status_code, answers[2].headers["Retry-After"]) == (429, "60")
    office.world.clock.advance(MINUTE)
    assert office.call("GET", "/groups").status_code == 200


def test_one_ticket_takes_thirty_updates_in_ten_minutes(opened: Callable[..., Office]) -> None:
    office = opened(updates_per_minute=0)

    answers = [office.put(priority="high") for _ in range(31)]

    assert answers[0].headers["zendesk-ratelimit-per-ticket-updates"] == "total=30; remaining=29; resets=600"
    assert [a.status_code for a in answers[29:]] == [200, 429]


def test_an_account_takes_a_hundred_updates_a_minute(opened: Callable[..., Office]) -> None:
    office = opened(updates_per_minute=1)
    other = office.desk.open_ticket(office.cy, "More", "help")

    assert [office.put(priority="low").status_code, office.put(other, priority="low").status_code] == [200, 429]


# ------------------------------------------------------------------ changing a ticket
def test_tags_in_an_update_replace_those_of_the_ticket(office: Office) -> None:
    assert office.put(tags=["Angry Man"]).json["ticket"]["tags"] == ["angry_man"]


def test_tags_of_their_own_are_added_and_removed(office: Office) -> None:
    path = f"/tickets/{office.ticket}/tags"

    assert office.call("PUT", path, {"tags": ["angry"]}).json == {"tags": ["angry", "printer"]}
    assert office.call("DELETE", path, {"tags": ["printer"]}).json == {"tags": ["angry"]}
    assert office.call("POST", path, {"tags": ["calm"]}).json == {"tags": ["calm"]}


def test_unknown_keys_are_dropped_with_a_warning(office: Office) -> None:
    answered = office.put(additional_tags=["x"], priority="high")

    assert 'unpermitted_keys=>["additional_tags"]' in answered.headers["x-zendesk-api-warn"]
    assert (answered.json["ticket"]["tags"], answered.json["ticket"]["priority"]) == (["printer"], "high")


def test_a_closed_ticket_refuses_every_update(office: Office) -> None:
    office.closed()

    refused = office.put(priority="high")

    assert refused.status_code == 422
    assert refused.json["details"] == {"status": [{"description": "Status: closed prevents ticket update"}]}


def test_a_deleted_ticket_is_not_found(office: Office) -> None:
    office.desk.delete(office.ticket, office.ann)

    assert office.put(priority="high").json == {"error": "RecordNotFound", "description": "Not found"}
    assert office.call("GET", f"/tickets/show_many?ids={office.ticket}").json["tickets"] == []


def test_an_assignee_must_be_a_member_of_the_group(office: Office) -> None:
    refused = office.put(assignee_id=int(office.ann), group_id=int(office.sales))

    assert [line["description"] for line in refused.json["details"]["assignee"]] == [
        "Assignee: is invalid", "Assignee: is not a member of the group",
    ]  # fmt: skip


def test_an_assignee_alone_brings_their_default_group(office: Office) -> None:
    assert office.put(assignee_id=int(office.bob)).json["ticket"]["group_id"] == int(office.sales)


def test_another_group_takes_the_ticket_from_its_agent(office: Office) -> None:
    office.desk.assign(office.ticket, office.ann, office.ann)

    assert office.put(group_id=int(office.sales)).json["ticket"]["assignee_id"] is None


@pytest.mark.parametrize("state", [{"suspended": True}, {"role": "end-user"}, {"role_type": 1}, {"active": False}])
def test_who_cannot_work_on_tickets_is_refused_as_assignee(office: Office, state: dict[str, Any]) -> None:
    office.desk.change_agent(office.ann, **state)

    assert office.put(assignee_id=int(office.ann), group_id=int(office.billing)).status_code == 422


def test_a_new_ticket_opens_when_it_is_assigned(office: Office) -> None:
    assert office.put(assignee_id=int(office.ann)).json["ticket"]["status"] == "open"


def test_a_refused_update_changes_nothing(office: Office) -> None:
    before = office.shown()

    office.put(priority="high", tags=["x"], comment={"body": "hi", "public": True}, assignee_id=7)

    assert office.shown() == before


@pytest.mark.parametrize("condition", [True, False, "true"])
def test_a_safe_update_conflicts_after_somebody_elses(office: Office, condition: Any) -> None:
    stamp = office.shown()["updated_at"]
    office.world.clock.advance(timedelta(seconds=1))
    office.desk.edit(office.ticket, office.bob, priority="low")

    assert office.put(priority="high", safe_update=condition, updated_stamp=stamp).status_code == 409
    assert (
        office.put(priority="high", safe_update=condition, updated_stamp=office.shown()["updated_at"]).status_code
        == 200
    )


def test_two_updates_in_one_second_have_one_stamp(office: Office) -> None:
    stamp = office.shown()["updated_at"]
    office.desk.edit(office.ticket, office.bob, priority="low")

    assert office.put(priority="high", safe_update=True, updated_stamp=stamp).status_code == 200


def test_an_update_that_changes_nothing_does_not_move_the_stamp(office: Office) -> None:
    office.world.clock.advance(MINUTE)
    before = office.shown()["updated_at"]

    assert office.put(tags=["printer"]).json["ticket"]["updated_at"] == before


def test_a_comment_without_a_word_on_visibility_inherits_the_first_ones(office: Office) -> None:
    office.put(comment={"body": "hello"})

    assert office.call("GET", f"/tickets/{office.ticket}/comments").json["comments"][-1]["public"] is True


def test_the_marker_of_a_write_is_in_its_audit(office: Office) -> None:
    office.put(priority="high", metadata={"marker": "sr-1"})

    audit = office.call("GET", f"/tickets/{office.ticket}/audits").json["audits"][-1]
    assert audit["metadata"]["custom"] == {"marker": "sr-1"}
    assert [(e["field_name"], e["previous_value"], e["value"]) for e in audit["events"]] == [("priority", None, "high")]


def test_the_history_says_who_held_the_ticket(office: Office) -> None:
    office.desk.assign(office.ticket, office.ann, office.bob)
    office.desk.assign(office.ticket, office.bob, office.bob)

    audits = office.call("GET", f"/tickets/{office.ticket}/audits?filter_events[]=Change").json["audits"]
    held = [e["value"] for audit in audits for e in audit["events"] if e["field_name"] == "assignee_id"]
    assert held == [office.ann, office.bob]


def test_reopening_is_counted(office: Office) -> None:
    office.solved()

    office.put(status="open")

    assert office.call("GET", f"/tickets/{office.ticket}/metrics").json["ticket_metric"]["reopens"] == 1


def test_a_required_field_must_be_filled_before_solving(office: Office) -> None:
    wish = {"ticket_field": {"type": "text", "title": "Cause", "required": True}}
    field_id = office.call("POST", "/ticket_fields", wish).json["ticket_field"]["id"]

    assert "is required when solving" in office.put(status="solved").text
    assert office.put(status="solved", custom_fields=[{"id": field_id, "value": "x"}]).status_code == 200


# ------------------------------------------------------------------ many tickets at once
def many(office: Office, *tickets: dict[str, Any]) -> dict[int, dict[str, Any]]:
    accepted = office.call("PUT", "/tickets/update_many", {"tickets": list(tickets)}).json["job_status"]
    assert accepted["status"] == "queued"
    done = office.call("GET", f"/job_statuses/{accepted['id']}").json["job_status"]
    return {row["id"]: row for row in done["results"]}


def test_a_job_tells_the_fate_of_every_row(office: Office) -> None:
    stale = office.desk.open_ticket(office.cy, "More", "help")

    rows = many(
        office,
        {"id": int(office.ticket), "status": "open", "additional_tags": ["sr_flagged"]},
        {"id": int(stale), "status": "open", "safe_update": True, "updated_stamp": "2026-11-01T00:00:00Z"},
        {"id": 9999, "status": "open"},
    )

    assert (rows[int(office.ticket)]["status"], rows[int(office.ticket)]["success"]) == ("Updated", True)
    assert (rows[int(stale)]["error"], rows[9999]["success"]) == ("UpdateConflict", False)
    assert office.shown()["tags"] == ["printer", "sr_flagged"]


def test_the_rows_of_a_job_come_in_any_order(office: Office) -> None:
    ids = [int(office.desk.open_ticket(office.cy, "More", "help")) for _ in range(20)]

    rows = many(office, *({"id": ticket_id, "priority": "low"} for ticket_id in ids))

    assert list(rows) != ids
    assert sorted(rows) == ids


def test_the_same_change_for_many_tickets(office: Office) -> None:
    path = f"/tickets/update_many?ids={office.ticket}"

    office.call("PUT", path, {"ticket": {"additional_tags": ["a"], "remove_tags": ["printer"]}})

    assert office.shown()["tags"] == ["a"]


def test_a_job_takes_at_most_a_hundred_tickets(office: Office) -> None:
    refused = office.call("PUT", "/tickets/update_many", {"tickets": [{"id": n} for n in range(101)]})

    assert (refused.status_code, refused.json["error"]) == (400, "TooManyValues")


def test_a_job_may_work_late_and_meet_a_changed_ticket(office: Office) -> None:
    office.desk.tickets.jobs_at_once = False
    wish = {
        "id": int(office.ticket),
        "status": "open",
        "safe_update": True,
        "updated_stamp": office.shown()["updated_at"],
    }
    job = office.call("PUT", "/tickets/update_many", {"tickets": [wish]}).json["job_status"]["id"]
    office.world.clock.advance(MINUTE)
    office.desk.edit(office.ticket, office.bob, priority="low")

    rows = office.call("GET", f"/job_statuses/{job}").json["job_status"]["results"]
    assert [row["error"] for row in rows] == ["UpdateConflict"]


def test_a_job_that_nobody_asks_about_is_done_all_the_same(office: Office) -> None:
    office.desk.tickets.jobs_at_once = False
    office.call("PUT", "/tickets/update_many", {"tickets": [{"id": int(office.ticket), "priority": "urgent"}]})

    office.passes(MINUTE)

    assert office.shown()["priority"] == "urgent"


def test_a_job_can_need_several_looks(office: Office) -> None:
    office.desk.tickets.job_polls = 2
    job = office.call("PUT", "/tickets/update_many", {"tickets": []}).json["job_status"]["id"]

    assert [office.call("GET", f"/job_statuses/{job}").json["job_status"]["status"] for _ in range(2)] == [
        "working", "completed",
    ]  # fmt: skip


def test_thirty_jobs_wait_at_most(office: Office) -> None:
    office.desk.tickets.jobs_at_once = False
    wish = {"tickets": [{"id": int(office.ticket), "priority": "low"}]}

    answers = [office.call("PUT", "/tickets/update_many", wish) for _ in range(31)]

    assert [a.status_code for a in answers[29:]] == [200, 429]


# ------------------------------------------------------------------ new and follow-up tickets
def test_a_follow_up_inherits_tags_and_is_linked(office: Office) -> None:
    office.closed()
    wish = {"via_followup_source_id": int(office.ticket), "comment": {"body": "again", "public": False}}

    made = office.call("POST", "/tickets", {"ticket": wish}).json["ticket"]

    assert (made["tags"], made["subject"], made["via"]["source"]["rel"]) == (["printer"], "Help", "follow_up")
    assert office.shown()["followup_ids"] == [made["id"]]
    assert office.call("GET", f"/tickets/{made['id']}/related").json["followup_source_ids"] == [office.ticket]


def test_a_follow_up_with_tags_of_its_own_inherits_none(office: Office) -> None:
    office.closed()
    wish = {"via_followup_source_id": int(office.ticket), "comment": {"body": "again"}, "tags": ["sr"]}

    assert office.call("POST", "/tickets", {"ticket": wish}).json["ticket"]["tags"] == ["sr"]


def test_only_a_closed_ticket_has_follow_ups(office: Office) -> None:
    wish = {"via_followup_source_id": int(office.ticket), "comment": {"body": "again"}}

    assert office.call("POST", "/tickets", {"ticket": wish}).status_code == 422


def test_a_private_first_comment_sends_no_mail_to_the_customer(office: Office) -> None:
    office.world.mails.clear()
    wish = {"requester_id": int(office.cy), "subject": "x", "comment": {"body": "again", "public": False}}

    office.call("POST", "/tickets", {"ticket": wish})

    assert office.mails() == []


def test_an_idempotency_key_makes_one_ticket(office: Office) -> None:
    wish = {"ticket": {"requester_id": int(office.cy), "comment": {"body": "once"}}}

    first, second = (office.call("POST", "/tickets", wish, Idempotency_Key="k") for _ in range(2))

    assert first.json["ticket"]["id"] == second.json["ticket"]["id"]
    assert (first.headers["x-idempotency-lookup"], second.headers["x-idempotency-lookup"]) == ("miss", "hit")
    wish["ticket"]["priority"] = "low"
    assert office.call("POST", "/tickets", wish, Idempotency_Key="k").json["error"] == "IdempotentRequestError"


def test_a_suspended_requester_is_refused(office: Office) -> None:
    office.desk.mark_spam(office.ticket, office.ann)
    wish = {"ticket": {"requester_id": int(office.cy), "comment": {"body": "x"}}}

    assert "UserSuspended" in office.call("POST", "/tickets", wish).text


# ------------------------------------------------------------------ mail, triggers, automations
def test_who_gets_mail_in_the_life_of_a_ticket(opened: Callable[..., Office]) -> None:
    office = opened(mail_on_solve=True)
    office.desk.assign(office.ticket, office.ann, office.bob)
    office.desk.reply(office.ticket, office.ann, "We look into it")
    office.desk.note(office.ticket, office.bob, "Be nice")
    office.desk.solve(office.ticket, office.ann)
    office.passes(25 * HOUR)

    assert office.mails() == [
        ("cy", "request_received"), ("ann", "assigned"), ("cy", "reply"), ("ann", "comment"), ("cy", "solved"),
        ("cy", "survey"),
    ]  # fmt: skip


def test_a_public_comment_reaches_the_ccs_too(office: Office) -> None:
    other = office.desk.add_customer("Di", "di@example.com")
    office.world.mails.clear()

    office.put(email_ccs=[{"user_id": other, "action": "put"}], comment={"body": "hi", "public": True})

    assert office.mails() == [("cy", "reply"), ("di", "reply")]


def test_a_customers_reply_mails_the_agent_alone(office: Office) -> None:
    office.desk.assign(office.ticket, office.ann, office.ann)
    office.world.mails.clear()

    office.desk.customer_replies(office.ticket, "Any news?")

    assert office.mails() == [("ann", "comment")]


def test_our_reopening_with_a_note_tells_the_agent_once_and_the_customer_nothing(office: Office) -> None:
    office.solved()
    office.world.mails.clear()

    office.put(status="open", comment={"body": "Please write to them", "public": False}, tags=["printer", "sr"])

    assert office.mails() == [("ann", "reopened")]


def test_an_agent_who_is_out_loses_a_reopened_ticket_to_the_rule(office: Office) -> None:
    office.solved()
    office.desk.set_out_of_office(office.ann)

    after = office.put(status="open").json["ticket"]

    assert after["assignee_id"] is None
    assert office.world.ledger[-1].actor == "rule:Out of Office: unassign reopened tickets"


def test_a_trigger_made_by_api_runs(office: Office) -> None:
    rule = {
        "title": "ask again",
        "conditions": {"all": [{"field": "current_tags", "operator": "includes", "value": "sr_resurvey"}], "any": []},
        "actions": [
            {"field": "notification_user", "value": ["requester_id", "How was it?", "{{satisfaction.rating_section}}"]},
            {"field": "remove_tags", "value": "sr_resurvey"},
        ],
    }
    office.call("POST", "/triggers", {"trigger": rule})
    office.world.mails.clear()

    office.put(tags=["sr_resurvey"])

    assert (office.mails(), office.shown()["tags"]) == ([("cy", "survey")], [])


def test_a_solved_ticket_is_offered_a_survey_after_a_day_and_closed_after_four(office: Office) -> None:
    office.solved()

    office.passes(97 * HOUR)

    assert [(e.actor.split(" ")[0], e.after, e.at - START) for e in office.world.ledger[-2:]] == [
        ("rule:Request", "offered", 24 * HOUR), ("rule:Close", "closed", 96 * HOUR),
    ]  # fmt: skip


def test_an_automation_made_by_api_runs_once_for_each_solving(office: Office) -> None:
    solved = [{"field": "SOLVED", "operator": "greater_than", "value": "2"}]
    thanks = [{"field": "notification_user", "value": ["requester_id", "Thanks", "Good bye"]}]
    rule = {"title": "thanks", "conditions": {"all": solved}, "actions": thanks}
    office.call("POST", "/automations", {"automation": rule})
    office.solved()

    office.passes(5 * HOUR)
    office.passes(5 * HOUR)

    assert [kind for _, kind in office.mails()].count("rule") == 1


def test_a_reopened_ticket_is_not_closed(office: Office) -> None:
    office.solved()
    office.passes(50 * HOUR)
    office.desk.customer_replies(office.ticket, "It is broken again")

    office.passes(100 * HOUR)

    assert office.shown()["status"] == "open"
