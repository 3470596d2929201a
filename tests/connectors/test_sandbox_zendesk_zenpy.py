"""The real zenpy client works against the served stand-in as it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from zenpy import Zenpy
from zenpy.lib.api_objects import Comment, Ticket, Trigger

from connectors.sandbox.server import serve
from connectors.sandbox.world import World
from connectors.sandbox.zendesk import ZendeskDesk

START = datetime(2026, 11, 21, 9, tzinfo=UTC)


@pytest.fixture
def desk() -> ZendeskDesk:
    desk = ZendeskDesk(World(START), updates_per_minute=0, rate_limit=0)
    billing = desk.add_group("Billing")
    ann = desk.add_agent("Ann", "ann@acme.example", [billing])
    customer = desk.add_customer("Cy", "cy@example.com")
    ticket = desk.open_ticket(customer, "Help", "It is broken", group=billing, tags=["printer"])
    desk.solve(ticket, ann)
    desk.rate(ticket, "bad", "slow")
    return desk


@pytest.fixture
def zenpy(desk: ZendeskDesk) -> Iterator[Any]:
    with serve(desk) as url, requests.Session() as session:
        head, _, rest = urlsplit(url).netloc.partition(".")
        client = Zenpy(
            subdomain=head, domain=rest, email="bridge@acme.example", token="bridge-api-token",
            session=session, disable_cache=True,
        )  # fmt: skip
        for api in vars(client).values():
            if hasattr(api, "protocol"):
                api.protocol = "http"
        yield client


def test_who_am_i(zenpy: Any) -> None:
    assert zenpy.users.me().email == "bridge@acme.example"


def test_a_ticket_is_shown_and_updated(zenpy: Any, desk: ZendeskDesk) -> None:
    ticket = zenpy.tickets(id=501)
    ticket.status = "open"
    ticket.comment = Comment(body="look at this", public=False)

    audit = zenpy.tickets.update(ticket)

    assert (audit.ticket.status, desk.account.tickets[501].row["status"]) == ("open", "open")


def test_many_tickets_are_updated_by_a_job(zenpy: Any, desk: ZendeskDesk) -> None:
    job = zenpy.tickets.update([Ticket(id=501, additional_tags=["sr_flagged"], status="open")])

    assert zenpy.job_status(id=job.id).status == "completed"
    assert desk.account.tickets[501].row["tags"] == ["printer", "sr_flagged"]


def test_bad_ratings_are_listed(zenpy: Any) -> None:
    ratings = list(zenpy.satisfaction_ratings(score="bad", start_time=START))

    assert [(rating.ticket_id, rating.comment) for rating in ratings] == [(501, "slow")]


def test_every_page_of_ratings_is_read(zenpy: Any, desk: ZendeskDesk) -> None:
    desk.add_ratings_in_bulk(250, start=START)

    assert len({rating.id for rating in zenpy.satisfaction_ratings()}) == 251


def test_a_trigger_is_created_found_and_deleted(zenpy: Any) -> None:
    wish = Trigger(
        title="[recovery-bridge] survey",
        conditions={"all": [{"field": "status", "operator": "is", "value": "solved"}], "any": []},
        actions=[{"field": "current_tags", "value": "sr_asked"}],
    )

    made = zenpy.triggers.create(wish)

    assert "[recovery-bridge] survey" in [trigger.title for trigger in zenpy.triggers()]
    zenpy.triggers.delete(made)
    assert "[recovery-bridge] survey" not in [trigger.title for trigger in zenpy.triggers()]


def test_changed_tickets_are_exported(zenpy: Any, desk: ZendeskDesk) -> None:
    desk.tickets.hide_newest = False

    found = zenpy.tickets.incremental(start_time=1_700_000_000)

    assert [ticket.id for ticket in found] == [501]
