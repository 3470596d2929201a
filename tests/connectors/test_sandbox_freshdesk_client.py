"""The Freshdesk stand-in against the vendor's recorded answers, and against the client library as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from freshdesk.v2.api import API
from freshdesk.v2.errors import FreshdeskBadRequest
from werkzeug.test import Client

from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.server import serve
from connectors.sandbox.world import World

RECORDED = Path(os.environ.get("BRIDGE_TEST_REFERENCE", "../shared/reference")) / "samples/freshdesk/recorded.jsonl"
needs_records = pytest.mark.skipif(not RECORDED.exists(), reason=f"{RECORDED} is not there (BRIDGE_TEST_REFERENCE)")

PATHS = {
    "satisfaction_ratings": "/surveys/satisfaction_ratings",
    "surveys": "/surveys",
    "conversations": "/tickets/1/conversations",
    "tickets": "/tickets?include=stats,requester",
    "agents": "/agents",
    "groups": "/groups",
    "roles": "/roles",
    "ticket_fields": "/ticket_fields",
}
# what our answers have beyond the recorded ones, which are a redacted selection: documented, or seen by others
BEYOND = {
    "tickets": {"ticket_bcc_emails", "form_id"},
    "ticket_fields": {
        "label_for_customers", "customers_can_edit", "required_for_customers", "displayed_to_customers", "created_at",
        "updated_at",
    },
}  # fmt: skip


@pytest.fixture
def desk() -> FreshdeskDesk:
    desk = FreshdeskDesk(World(datetime(2026, 11, 2, 9, tzinfo=UTC)), api_key="key")
    team = desk.add_group("Support")
    ann = desk.add_agent("Ann", "ann@shop.example", [team])
    cora = desk.add_customer("Cora", "cora@mail.example", organization="Acme")
    ticket = desk.open_ticket(cora, "Lamp", "It is broken", assignee=ann, group=team)
    desk.rate(ticket, "bad", "Too slow")
    return desk


@pytest.fixture
def library(desk: FreshdeskDesk) -> Iterator[Any]:
    api = API("shop.freshdesk.com", "key")
    api._session.close()
    with serve(desk) as url, requests.Session() as session:
        session.auth, session.headers["Content-Type"] = ("key", "x"), "application/json"
        api._api_prefix, api._session = f"{url}/api/v2/", session
        yield api


def recorded(stream: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    return [row["data"] for row in rows if row["stream"] == stream]


@needs_records
@pytest.mark.parametrize("stream", PATHS)
def test_our_answers_have_the_keys_of_the_recorded_ones(desk: FreshdeskDesk, stream: str) -> None:
    answers: Any = Client(desk).get(f"/api/v2{PATHS[stream]}", auth=("key", "x")).json
    wish = next((one for one in answers if one.get("name") == "status"), answers[0])
    known = recorded(stream)

    assert set().union(*known) <= set(wish)
    assert set(wish) - set().union(*known) <= BEYOND.get(stream, set())


@needs_records
@pytest.mark.parametrize(
    ("stream", "part"),
    [("agents", "contact"), ("tickets", "stats"), ("tickets", "requester"), ("surveys", "questions")],
)
def test_nested_objects_have_the_keys_of_the_recorded_ones(desk: FreshdeskDesk, stream: str, part: str) -> None:
    answers: Any = Client(desk).get(f"/api/v2{PATHS[stream]}", auth=("key", "x")).json
    ours, theirs = answers[0][part], recorded(stream)[0][part]
    if part == "questions":
        ours, theirs = ours[0], theirs[0]

    assert set(ours) == set(theirs)


def test_the_library_reads_tickets(library: Any) -> None:
    ticket = library.tickets.get_ticket(1, "stats", "requester")

    assert (ticket.subject, ticket.status, ticket.source) == ("Lamp", "open", "email")
    assert [one.id for one in library.tickets.list_tickets(filter_name=None)] == [1]


def test_the_library_changes_tickets(library: Any, desk: FreshdeskDesk) -> None:
    changed = library.tickets.update_ticket(1, tags=["sr_case"], priority=4)

    assert (changed.tags, changed.priority) == (["sr_case"], "urgent")
    assert desk.tickets[1].tags == ["sr_case"]
    with pytest.raises(FreshdeskBadRequest, match="responder_id"):
        library.tickets.update_ticket(1, responder_id=1)


def test_the_library_writes_notes_and_reads_what_was_said(library: Any, desk: FreshdeskDesk) -> None:
    note = library.comments.create_note(1, "Please call")

    assert note.private is True
    assert desk.tickets[1].conversations[-1].body == "Please call"
    assert [one.source for one in library.comments.list_comments(1)] == ["survey", "note"]


def test_the_library_reads_agents_groups_roles_and_fields(library: Any, desk: FreshdeskDesk) -> None:
    agents = {agent.contact["name"]: agent for agent in library.agents.list_agents()}

    assert library.agents.get_agent(agents["Ann"].id).group_ids == list(desk.groups)
    assert library.agents.currently_authenticated_agent().id == desk.api_agent
    assert [group.name for group in library.groups.list_groups()] == ["Support"]
    assert library.groups.get_group(next(iter(desk.groups))).agent_ids == [agents["Ann"].id]
    assert "Supervisor" in [role.name for role in library.roles.list_roles()]
    assert "status" in [field.name for field in library.ticket_fields.list_ticket_fields()]


def test_the_library_reads_and_searches_customers(library: Any) -> None:
    assert [one.name for one in library.contacts.list_contacts(email="cora@mail.example")] == ["Cora"]
    assert library.contacts.filter_contacts("email:'cora@mail.example'")[0].name == "Cora"


def test_ratings_are_read_raw_through_the_librarys_session(library: Any) -> None:
    found = library._get("surveys/satisfaction_ratings", params={"created_since": "2026-11-01T00:00:00Z"})

    assert [one["feedback"] for one in found] == ["Too slow"]
