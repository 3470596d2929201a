"""Ratings, surveys, the export and the people of the stand-in Zendesk, seen through its API and its verbs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sandbox_office import BASIC, HOUR, MINUTE, START, Office

from bridge.errors import Refused


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def opened() -> Callable[..., Office]:
    return Office


# ------------------------------------------------------------------ ratings
def ratings(office: Office, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = office.call("GET", "/satisfaction_ratings" + query).json["satisfaction_ratings"]
    return found


def test_a_rating_keeps_the_agent_of_its_moment(office: Office) -> None:
    office.solved()
    office.desk.rate(office.ticket, "bad", "slow", "The issue was not resolved")
    office.desk.assign(office.ticket, office.bob, office.bob)

    rating = ratings(office, "?score=bad_with_comment")[0]

    assert (rating["assignee_id"], rating["group_id"]) == (int(office.ann), int(office.billing))
    assert (rating["comment"], rating["reason"]) == ("slow", "The issue was not resolved")
    assert office.shown()["satisfaction_rating"]["score"] == "bad"


def test_a_changed_rating_keeps_its_id_and_moves_its_time(office: Office) -> None:
    office.solved()
    first = office.desk.rate(office.ticket, "bad")
    office.passes(HOUR)

    assert office.desk.rate(office.ticket, "good", "thanks") == first
    assert [r["score"] for r in ratings(office, "?score=received")] == ["good"]
    assert ratings(office, "?score=bad") == []


def test_an_answer_comes_late_under_the_time_of_its_offer(office: Office) -> None:
    office.solved()
    office.passes(25 * HOUR)
    office.passes(24 * HOUR)
    office.desk.rate(office.ticket, "bad")
    day_two = int((START + 26 * HOUR).timestamp())

    assert ratings(office, f"?score=bad&start_time={day_two}") == []
    assert len(ratings(office, f"?score=bad&end_time={day_two}")) == 1


def test_the_account_may_mean_the_time_of_the_answer(opened: Callable[..., Office]) -> None:
    office = opened(start_time_means="updated")
    office.solved()
    office.passes(25 * HOUR)
    office.passes(24 * HOUR)
    office.desk.rate(office.ticket, "bad")

    assert len(ratings(office, f"?score=bad&start_time={int((START + 26 * HOUR).timestamp())}")) == 1


def test_a_closed_ticket_cannot_be_rated(office: Office) -> None:
    office.closed()

    with pytest.raises(Refused):
        office.desk.rate(office.ticket, "bad")


def test_a_rating_moves_the_ticket_in_the_export(office: Office) -> None:
    office.solved()
    start = int(office.world.clock.now().timestamp())
    office.passes(HOUR)
    office.desk.rate(office.ticket, "bad")
    office.passes(2 * MINUTE)

    assert [t["id"] for t in export(office, f"?start_time={start}")["tickets"]] == [int(office.ticket)]


def test_pages_of_ratings_can_be_resumed_behind_their_cursor(office: Office) -> None:
    office.desk.add_ratings_in_bulk(5, start=START, bad_share=0.4)

    first = office.call("GET", "/satisfaction_ratings?page[size]=3").json
    office.desk.add_ratings_in_bulk(1, start=START + HOUR)
    second = office.client.get(first["links"]["next"], auth=BASIC).json

    assert [len(first["satisfaction_ratings"]), len(second["satisfaction_ratings"])] == [3, 3]
    assert (first["meta"]["has_more"], second["meta"]["has_more"]) == (True, False)
    assert len(ratings(office, "?score=bad")) == 2


def test_ratings_come_in_the_order_of_their_time(office: Office) -> None:
    office.desk.add_ratings_in_bulk(3, start=START)
    office.desk.add_ratings_in_bulk(3, start=START - 100 * HOUR)

    times = [rating["created_at"] for rating in ratings(office, "?score=good_with_comment")]

    assert times == sorted(times)
    assert len(times) == 2


def test_ratings_can_be_read_by_page_number(office: Office) -> None:
    office.desk.add_ratings_in_bulk(5, start=START)

    second = office.call("GET", "/satisfaction_ratings?per_page=3&page=2").json

    assert (len(second["satisfaction_ratings"]), second["count"], second["next_page"]) == (2, 5, None)


@pytest.mark.parametrize("query", ["?score=terrible", "?start_time=yesterday", "?page[size]=101", "?page[after]=x"])
def test_a_wrong_value_of_a_parameter_is_refused(office: Office, query: str) -> None:
    assert office.call("GET", "/satisfaction_ratings" + query).status_code == 400


def test_a_misspelt_parameter_is_ignored_and_remembered(office: Office) -> None:
    office.call("GET", "/satisfaction_ratings?sore=bad")

    assert office.desk.unknown_parameters == [("/api/v2/satisfaction_ratings", "sore")]


# ------------------------------------------------------------------ the newer survey
def responses(office: Office, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = office.call("GET", "/guide/survey_responses" + query).json["survey_responses"]
    return found


@pytest.mark.parametrize(("scale_max", "category", "value"), [
    (2, "bad", 1), (2, "good", 2), (3, "neutral", 2), (5, "bad", 1), (5, "neutral", 3), (5, "good", 5),
])  # fmt: skip
def test_an_answer_on_every_scale(opened: Callable[..., Office], scale_max: int, category: str, value: int) -> None:
    office = opened(csat="new", scale_max=scale_max)
    office.solved()

    office.desk.rate(office.ticket, category, "slow")

    answers = responses(office)[0]["answers"]
    assert (answers[0]["rating"], answers[0]["rating_category"], answers[1]["value"]) == (value, category, "slow")
    assert answers[0]["question"]["sub_type"] == "customer_satisfaction"


def test_an_offer_without_an_answer_is_listed_for_its_ticket(opened: Callable[..., Office]) -> None:
    office = opened(csat="new")
    office.solved()
    office.passes(25 * HOUR)

    found = responses(office, f"?filter[subject_zrns]=zen:ticket:1,zen:ticket:{office.ticket}&page[size]=100")

    assert [(r["answers"], r["subject_zrns"]) for r in found] == [([], [f"zen:ticket:{office.ticket}"])]


def test_offers_are_found_by_their_own_time_in_milliseconds(opened: Callable[..., Office]) -> None:
    office = opened(csat="new")
    office.solved()
    office.passes(25 * HOUR)
    offered = int((START + 24 * HOUR).timestamp() * 1000)

    assert len(responses(office, f"?filter[created_at_start]={offered}&filter[created_at_end]={offered}")) == 1
    assert responses(office, f"?filter[created_at_start]={offered + 1}") == []


def test_a_survey_can_be_offered_again_by_api(opened: Callable[..., Office]) -> None:
    office = opened(csat="new")
    office.solved()
    office.desk.rate(office.ticket, "bad")
    survey = office.call("GET", "/guide/en-us/surveys").json["surveys"][0]
    wish = {"survey_id": survey["id"], "responder_id": int(office.cy), "subject_zrns": [f"zen:ticket:{office.ticket}"]}

    made = office.call("POST", "/guide/survey_responses", {"survey_response": wish}).json["survey_response"]

    assert [link["rating"] for link in made["links"]["rating_links"]] == [1, 2, 3, 4, 5]
    assert office.desk.rate(office.ticket, "good") == made["id"]
    shown = office.call("GET", f"/guide/en-us/survey_responses/{made['id']}").json["survey_response"]
    assert shown["answers"][0]["question"]["alias"] == "customer_satisfaction"


def test_a_disabled_survey_cannot_be_offered(opened: Callable[..., Office]) -> None:
    office = opened(csat="new")
    office.desk.surveys.survey["state"] = "disabled"
    survey_id = office.desk.surveys.survey["id"]
    wish = {"survey_id": survey_id, "responder_id": int(office.cy), "subject_zrns": [f"zen:ticket:{office.ticket}"]}

    assert office.call("POST", "/guide/survey_responses", {"survey_response": wish}).status_code == 409


def test_a_legacy_account_has_no_survey(office: Office) -> None:
    assert office.call("GET", "/guide/en-us/surveys?filter[types]=CUSTOMER_SATISFACTION").json["surveys"] == []
    assert office.call("GET", "/guide/survey_responses").status_code == 404


# ------------------------------------------------------------------ export and people
def export(office: Office, query: str) -> dict[str, Any]:
    found: dict[str, Any] = office.call("GET", "/incremental/tickets/cursor.json" + query).json
    return found


def test_the_export_hides_the_last_minute_and_resumes(office: Office) -> None:
    office.world.clock.advance(59 * timedelta(seconds=1))
    early = export(office, f"?start_time={int(START.timestamp()) - 60}")
    office.world.clock.advance(2 * timedelta(seconds=1))

    late = export(office, f"?cursor={early['after_cursor']}")

    assert (early["tickets"], early["end_of_stream"]) == ([], True)
    assert [ticket["id"] for ticket in late["tickets"]] == [int(office.ticket)]


def test_the_export_shows_deleted_tickets_as_such(office: Office) -> None:
    office.desk.delete(office.ticket, office.ann)
    office.world.clock.advance(2 * MINUTE)

    assert [t["status"] for t in export(office, "?start_time=1")["tickets"]] == ["deleted"]


def test_tickets_of_ai_agents_are_exported_on_request_only(office: Office) -> None:
    office.desk.open_ticket(office.cy, "Bot", "hello", support_type="ai_agent")
    office.world.clock.advance(2 * MINUTE)

    assert len(export(office, "?start_time=1")["tickets"]) == 1
    assert len(export(office, "?start_time=1&support_type_scope=all")["tickets"]) == 2


def test_the_export_may_be_read_ten_times_a_minute(office: Office) -> None:
    answers = [office.call("GET", "/incremental/tickets/cursor?start_time=1") for _ in range(11)]

    assert [a.status_code for a in answers[9:]] == [200, 429]


def test_staff_is_listed_page_by_page(office: Office) -> None:
    first = office.call("GET", "/users?role[]=agent&role[]=admin&page[size]=3").json
    second = office.client.get(first["links"]["next"], auth=BASIC).json

    names = [user["name"] for user in first["users"] + second["users"]]
    assert names == ["Olive Owner", "Recovery Bridge", "Ann", "Bob"]


def test_a_ticket_comes_with_its_people_and_numbers(office: Office) -> None:
    found = office.call("GET", f"/tickets/show_many?ids={office.ticket}&include=users,metric_sets").json

    assert [user["name"] for user in found["users"]] == ["Cy"]
    assert found["tickets"][0]["metric_set"]["reopens"] == 0


def test_an_agent_who_leaves_is_deleted_and_loses_open_tickets(office: Office) -> None:
    solved = office.desk.open_ticket(office.cy, "More", "help", assignee=office.ann)
    office.desk.solve(solved, office.ann)
    office.desk.assign(office.ticket, office.ann, office.ann)

    office.desk.remove_agent(office.ann)

    assert (office.shown()["assignee_id"], office.shown(solved)["assignee_id"]) == (None, int(office.desk.owner_id))
    assert office.call("GET", f"/users/{office.ann}").json["user"]["active"] is False
    assert office.call("GET", f"/users/show_many?ids={office.ann}").json["users"] == []
    assert len(office.call("GET", f"/users/show_many?ids={office.ann}&include_deleted=true").json["users"]) == 1


def test_a_merged_ticket_is_closed_with_a_pointer(office: Office) -> None:
    target = office.desk.open_ticket(office.cy, "More", "help")

    office.desk.merge(office.ticket, target, office.ann)

    merged = office.shown()
    assert (merged["status"], merged["tags"]) == ("closed", ["closed_by_merge", "printer"])
    assert f"#{target}" in office.call("GET", f"/tickets/{office.ticket}/comments").json["comments"][-1]["body"]


def test_presence_is_shown_or_missing(office: Office) -> None:
    office.desk.set_presence(office.ann, "away")
    data = office.call("GET", "/agent_availabilities").json["data"]

    statuses = {row["attributes"]["agent_id"]: row["attributes"]["agent_status"]["name"] for row in data}
    assert statuses[int(office.ann)] == "away"
    office.desk.people.presence = None
    assert office.call("GET", "/agent_availabilities").status_code == 404
