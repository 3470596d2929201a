"""The stand-in Zendesk asking again: triggers and fields made over the API, and second answers to both surveys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sandbox_office import BASIC, HOUR, MINUTE, START, Office

from connectors.sandbox.wsgi import Refusal

LINK = "https://care.acme.example/s/abc"


@pytest.fixture
def opened() -> Iterator[Callable[..., Office]]:
    yield Office


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def new() -> Office:
    return Office(csat="new")


def when(field: str, operator: str, value: Any = "") -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def do(field: str, value: Any) -> dict[str, Any]:
    return {"field": field, "value": value}


def mail(text: str, subject: str = "About {{ticket.title}}") -> dict[str, Any]:
    return do("notification_user", ["requester_id", subject, text])


def field(office: Office, **more: Any) -> int:
    """Make the field that carries a text, and return its id."""
    wish = {"ticket_field": {"type": "textarea", "title": "sr_survey_text", **more}}
    return int(office.call("POST", "/ticket_fields", wish).json["ticket_field"]["id"])


def trigger(office: Office, actions: list[Any], conditions: list[Any] | None = None, **more: Any) -> Any:
    wanted = {"all": conditions or [when("current_tags", "includes", "sr_ask")], "any": []}
    rule = {"title": "[recovery-bridge] Ask", "conditions": wanted, "actions": actions, **more}
    return office.call("POST", "/triggers", {"trigger": rule})


def mails_its_field(office: Office) -> int:
    """Install the trigger that mails the field to the requester and clears it; returns the field's id."""
    field_id = field(office)
    actions = [
        mail(f"{{{{ticket.ticket_field_{field_id}}}}}"),
        do("remove_tags", "sr_ask"),
        do("current_tags", "sr_surveyed"),
        do(f"custom_fields_{field_id}", ""),
    ]
    assert trigger(office, actions).status_code == 201
    office.world.mails.clear()
    return field_id


def ask(office: Office, field_id: int, text: str = LINK) -> dict[str, Any]:
    return dict(office.put(tags=["sr_ask"], custom_fields=[{"id": field_id, "value": text}]).json["ticket"])


def value_of(ticket: dict[str, Any], field_id: int) -> Any:
    return next(row["value"] for row in ticket["custom_fields"] if row["id"] == field_id)


# ------------------------------------------------------------------ triggers of our own
def test_a_trigger_mails_a_field_to_the_requester_alone_and_clears_up(office: Office) -> None:
    other = office.desk.add_customer("Di", "di@example.com")
    office.put(email_ccs=[{"user_id": other, "action": "put"}])
    field_id = mails_its_field(office)

    after = ask(office, field_id)

    assert [(m.to, m.kind, m.subject, m.text) for m in office.world.mails] == [
        ("cy@example.com", "question", "About Help", LINK)
    ]
    assert (value_of(after, field_id), after["tags"]) == (None, ["sr_surveyed"])


def test_an_account_may_not_let_triggers_clear_fields(opened: Callable[..., Office]) -> None:
    office = opened(triggers_clear_fields=False)
    field_id = mails_its_field(office)

    after = ask(office, field_id)

    assert (value_of(after, field_id), after["tags"]) == (LINK, ["sr_surveyed"])


def test_a_mail_that_is_written_after_the_update_misses_what_the_update_cleared(office: Office) -> None:
    office.desk.account.mailer.renders_late = True
    field_id = mails_its_field(office)

    ask(office, field_id)

    assert [(m.kind, m.text) for m in office.world.mails] == [("rule", "")]


def test_a_text_with_placeholders_in_it_is_mailed_as_it_is(office: Office) -> None:
    field_id = mails_its_field(office)

    ask(office, field_id, "Use {{ticket.id}}")

    assert [m.text for m in office.world.mails] == ["Use {{ticket.id}}"]


def test_an_agents_update_sets_triggers_off_too(office: Office) -> None:
    mails_its_field(office)

    office.desk.edit(office.ticket, by=office.ann, add_tags=["sr_ask"])

    assert office.mails() == [("cy", "rule")]


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        (when("current_tags", "not_includes", "sr_ask"), False),
        (when("current_tags", "not_includes", "vip"), True),
        (when("status", "is", "solved"), False),
        (when("status", "less_than", "solved"), True),
        (when("update_type", "is", "Change"), True),
        (when("update_type", "is", "Create"), False),
        (when("role", "is", "end_user"), False),
    ],
)
def test_conditions_of_triggers(office: Office, condition: dict[str, Any], fires: bool) -> None:
    trigger(office, [mail("hello")], [when("current_tags", "includes", "sr_ask"), condition])
    office.world.mails.clear()

    office.put(tags=["sr_ask"])

    assert bool(office.mails()) is fires


@pytest.mark.parametrize(("operator", "fires"), [("is", True), ("is_not", False)])
def test_a_trigger_can_look_at_who_updates(office: Office, operator: str, fires: bool) -> None:
    trigger(office, [mail("hello")], [when("current_user_id", operator, office.desk.service_id)])
    office.world.mails.clear()

    office.put(priority="high")

    assert bool(office.mails()) is fires


def test_a_change_by_one_trigger_wakes_the_ones_before_it(office: Office) -> None:
    trigger(office, [mail("hello")], [when("current_tags", "includes", "second")])
    trigger(office, [do("current_tags", "second")])
    office.world.mails.clear()

    office.put(tags=["sr_ask"])

    assert office.mails() == [("cy", "rule")]


def test_two_triggers_that_undo_each_other_come_to_rest(office: Office) -> None:
    trigger(office, [do("set_tags", "a")], [when("current_tags", "not_includes", "a")])
    trigger(office, [do("set_tags", "b")], [when("current_tags", "not_includes", "b")])

    office.put(tags=["x"])

    assert office.shown()["tags"] == ["b"]


def test_sending_conditions_alone_takes_the_actions_away(office: Office) -> None:
    made = trigger(office, [mail("hello")]).json["trigger"]
    wish = {"trigger": {"conditions": {"all": [when("status", "is", "open")], "any": []}}}

    changed = office.call("PUT", f"/triggers/{made['id']}", wish).json["trigger"]

    assert (changed["conditions"]["all"], changed["actions"]) == (wish["trigger"]["conditions"]["all"], [])


@pytest.mark.parametrize("wrong", [{"actions": []}, {"conditions": {"all": [when("status", "equals", "open")]}}])
def test_a_trigger_that_cannot_run_is_refused(office: Office, wrong: dict[str, Any]) -> None:
    assert trigger(office, [mail("hello")]).status_code == 201
    rule = {"title": "x", "conditions": {"all": []}, "actions": [mail("hello")], **wrong}

    assert office.call("POST", "/triggers", {"trigger": rule}).status_code == 422


def test_an_account_may_demand_categories(opened: Callable[..., Office]) -> None:
    office = opened(demands_category=True)
    made = office.call("POST", "/trigger_categories", {"trigger_category": {"name": "Recovery"}}).json
    category_id = made["trigger_category"]["id"]

    assert trigger(office, [mail("x")]).status_code == 422
    assert trigger(office, [mail("x")], category_id="1").status_code == 422
    assert trigger(office, [mail("x")], category_id=category_id).status_code == 201
    assert office.call("DELETE", f"/trigger_categories/{category_id}").status_code == 400


# ------------------------------------------------------------------ fields
def test_a_new_field_is_on_tickets_that_were_there_before(office: Office) -> None:
    field_id = field(office, agent_description="Of Recovery Bridge")

    assert office.shown()["custom_fields"] == [{"id": field_id, "value": None}]
    assert office.put(custom_fields=[{"id": field_id, "value": "x"}]).json["ticket"]["custom_fields"][0]["value"] == "x"


def test_a_deleted_field_leaves_the_tickets(office: Office) -> None:
    field_id = field(office)

    office.call("DELETE", f"/ticket_fields/{field_id}")

    assert office.shown()["custom_fields"] == office.shown()["fields"] == []


def test_an_audit_names_a_field_by_its_id(office: Office) -> None:
    field_id = field(office)

    audit = office.put(custom_fields=[{"id": field_id, "value": "x"}]).json["audit"]

    assert [(e["field_name"], e["previous_value"], e["value"]) for e in audit["events"]] == [(str(field_id), None, "x")]


# ------------------------------------------------------------------ the legacy survey, again
def rated_bad(office: Office) -> str:
    """Let the customer answer the account's own survey; returns the link."""
    office.solved()
    office.passes(25 * HOUR)
    link = office.world.mails[-1].link
    office.desk.answer(link, "bad", "Too slow")
    return link


def legacy(office: Office) -> dict[str, Any]:
    (rating,) = office.call("GET", "/satisfaction_ratings").json["satisfaction_ratings"]
    return dict(rating)


def test_a_second_legacy_answer_overwrites_the_first(office: Office) -> None:
    trigger(office, [mail("{{satisfaction.rating_section}}"), do("remove_tags", "sr_ask")])
    rated_bad(office)
    first = legacy(office)
    office.passes(MINUTE)
    office.put(tags=["sr_ask"])

    office.desk.answer(office.world.mails[-1].link, "good")

    second = legacy(office)
    assert office.world.mails[-1].kind == "survey"
    assert (first["score"], second["score"], second["comment"]) == ("bad", "good", None)
    assert first["id"] == second["id"]
    assert first["updated_at"] < second["updated_at"]


@pytest.mark.parametrize("csat", ["legacy", "new"])
def test_answers_on_a_closed_ticket_are_not_recorded(opened: Callable[..., Office], csat: str) -> None:
    office = opened(csat=csat)
    link = rated_bad(office)
    office.passes(100 * HOUR)

    with pytest.raises(Refusal) as no:
        office.desk.answer(link, "good")

    assert (no.value.status, office.shown()["satisfaction_rating"]["score"]) == (422, "bad")


@pytest.mark.parametrize("link", ["https://acme.zendesk.com/requests/501/satisfaction/new/guessed", LINK])
def test_a_link_that_is_not_the_surveys_answers_nothing(office: Office, link: str) -> None:
    with pytest.raises(Refusal) as no:
        office.desk.answer(link, "good")

    assert no.value.status == 404


# ------------------------------------------------------------------ the newer survey, again
def offer(office: Office) -> Any:
    survey = office.call("GET", "/guide/en-us/surveys").json["surveys"][0]["id"]
    wish = {"survey_id": survey, "responder_id": int(office.cy), "locale": "de",
            "subject_zrns": [f"zen:ticket:{office.ticket}"]}  # fmt: skip
    return office.call("POST", "/guide/survey_responses", {"survey_response": wish})


def responses(office: Office, query: str = "") -> list[dict[str, Any]]:
    path = f"/guide/survey_responses?filter[subject_zrns]=zen:ticket:{office.ticket}{query}"
    found: list[dict[str, Any]] = office.call("GET", path).json["survey_responses"]
    return found


def test_the_accounts_own_survey_is_one_offer(new: Office) -> None:
    rated_bad(new)

    assert [len(row["answers"]) for row in responses(new)] == [2]


def test_each_offer_has_an_answer_and_a_token_of_its_own(new: Office) -> None:
    rated_bad(new)
    second, third = (offer(new).json["survey_response"]["links"]["url_path"] for _ in range(2))

    new.desk.answer(f"https://acme.zendesk.com{second}&rating=5", "good")

    assert [bool(row["answers"]) for row in responses(new)] == [True, True, False]
    assert second.startswith("/hc/de/survey_responses/")
    assert second.split("access_token=")[1] != third.split("access_token=")[1] != "SANDBOX"
    assert "token" not in str(responses(new))


def test_without_a_link_the_newest_offer_is_answered(new: Office) -> None:
    rated_bad(new)
    offer(new)

    new.desk.rate(new.ticket, "good")

    assert [row["answers"][0]["rating_category"] for row in responses(new)] == ["bad", "good"]


def test_an_account_may_refuse_a_second_offer(opened: Callable[..., Office]) -> None:
    office = opened(csat="new", second_offer="refused")

    assert [offer(office).status_code for _ in range(2)] == [200, 422]


def test_the_id_of_a_response_begins_with_the_time(new: Office) -> None:
    new.passes(timedelta(days=3))
    made = offer(new).json["survey_response"]["id"]

    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    milliseconds = sum(letters.index(letter) * 32 ** (9 - place) for place, letter in enumerate(made[:10]))
    assert len(made) == 26
    assert milliseconds == (START + timedelta(days=3)).timestamp() * 1000


def test_offers_of_some_tickets_can_be_asked_for_from_a_time_on(new: Office) -> None:
    offer(new)
    new.passes(2 * HOUR)
    second = offer(new).json["survey_response"]["id"]

    since = int((START + HOUR).timestamp() * 1000)
    found = responses(new, f",zen:ticket:999&filter[created_at_start]={since}")

    assert [row["id"] for row in found] == [second]


def test_a_mail_with_an_offers_link_is_a_survey(new: Office) -> None:
    field_id = mails_its_field(new)
    path = offer(new).json["survey_response"]["links"]["url_path"]

    ask(new, field_id, f"How was it? https://acme.zendesk.com{path}.")

    assert new.world.mails[-1].kind == "survey"
    assert new.desk.answer(new.world.mails[-1].link, "good") == responses(new)[0]["id"]


# ------------------------------------------------------------------ finding what agents asked for
@pytest.mark.parametrize(
    ("query", "found"),
    [("type:ticket tags:sr_request status<closed", 1), ("tags:sr_request status<solved", 0),
     ("tags:other", 0), ("status>=solved", 1), ("status:nonsense", 0)],
)  # fmt: skip
def test_search_knows_tags_and_the_order_of_statuses(office: Office, query: str, found: int) -> None:
    office.put(tags=["sr_request"], status="solved")

    answer = office.client.get("/api/v2/search", query_string={"query": query}, auth=BASIC)

    assert answer.json["count"] == found


def test_the_search_index_may_be_behind(office: Office) -> None:
    office.desk.account.search_lag = timedelta(minutes=5)
    office.put(tags=["sr_request"])
    path = "/search?query=tags:sr_request"

    assert office.call("GET", path).json["count"] == 0
    office.passes(6 * MINUTE)
    office.put(tags=[])
    assert office.call("GET", path).json["count"] == 1
