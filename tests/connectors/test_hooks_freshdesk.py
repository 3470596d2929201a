"""Which webhooks of Freshdesk are believed, and which ticket they name."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.freshdesk import hooks

NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
SECRET = "3f1c0a9d7e5b42688f6d0c1b2a394857"


def basic(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"bridge:{password}".encode()).decode()}


@pytest.mark.parametrize("headers", [{hooks.SECRET_HEADER: SECRET}, basic(SECRET)])
def test_the_secret_comes_in_a_header_or_as_a_password(headers: dict[str, str]) -> None:
    assert hooks.why_refused(headers, b"{}", ["0" * 32, SECRET], NOW) is None


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "unsigned"),
        ({hooks.SECRET_HEADER: ""}, "unsigned"),
        ({hooks.SECRET_HEADER: SECRET[:-1]}, "forged"),
        ({hooks.SECRET_HEADER: "ä" * 32}, "forged"),
        (basic("wrong"), "forged"),
        ({"authorization": "Basic ***"}, "unsigned"),
        ({"authorization": f"Bearer {SECRET}"}, "unsigned"),
    ],
)
def test_what_does_not_know_the_secret_is_refused(headers: dict[str, str], why: str) -> None:
    assert hooks.why_refused(headers, b"{}", [SECRET], NOW) == why


def test_a_short_secret_opens_nothing() -> None:
    assert hooks.why_refused({hooks.SECRET_HEADER: "short"}, b"{}", ["short"], NOW) == "forged"
    assert "32 characters" in (hooks.why_weak("short") or "")


def test_a_later_change_of_the_same_rating_is_another_delivery() -> None:
    first = hooks.delivery_key({}, b'{"ticket_id": 7}', NOW)

    assert hooks.delivery_key({}, b'{"ticket_id": 7}', NOW + timedelta(seconds=9)) == first
    assert hooks.delivery_key({}, b'{"ticket_id": 7}', NOW + timedelta(minutes=1)) != first
    assert hooks.delivery_key({}, b'{"ticket_id": 8}', NOW) != first


@pytest.mark.parametrize(
    ("payload", "ticket_id"),
    [
        ({"freshdesk_webhook": {"ticket_id": "11", "triggered_event": "{status:{from:4,to:6}}"}}, "11"),
        ({"ticket_id": 11}, "11"),
        ({"freshdesk_webhook": "11"}, None),
        ({"ticket_id": "11/../12"}, None),
        ({"ticket_id": "{{ticket.id}}"}, None),
        ([], None),
    ],
)
def test_a_body_names_a_ticket_or_none(payload: Any, ticket_id: str | None) -> None:
    assert hooks.ticket_of(payload) == ticket_id
