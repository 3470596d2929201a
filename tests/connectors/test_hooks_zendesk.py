"""Which webhooks of Zendesk are believed, and which ticket they name."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.zendesk import hooks

NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
SECRET = "kJ9zM3vQ0pXcN8sLw2RtYg=="
BODY = b'{\n  "ticket_id": "7"\n}\n'
MINUTE = timedelta(minutes=1)


def signed(body: bytes = BODY, secret: str = SECRET, at: str = "2026-11-21T18:00:00Z") -> dict[str, str]:
    mac = hmac.new(secret.encode(), at.encode() + body, hashlib.sha256).digest()
    return {hooks.SIGNATURE: base64.b64encode(mac).decode(), hooks.SIGNED_AT: at}


def test_the_signature_is_the_one_of_the_vendors_own_sample() -> None:
    headers = signed(b'{"ping":1}\n', hooks.PUBLIC_TEST_SECRET)

    assert headers[hooks.SIGNATURE] == "1xLWkd6mogS4qplC7PO4lLGPrytMa8mZ7QMldTdQfGw="


def test_what_one_of_the_active_secrets_signed_is_believed() -> None:
    assert hooks.why_refused(signed(), BODY, ["another", SECRET], NOW) is None


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        ({}, BODY, "unsigned"),
        ({hooks.SIGNATURE: "x"}, BODY, "unsigned"),
        (signed(), BODY + b" ", "forged"),
        (signed(secret="another one"), BODY, "forged"),
        (signed() | {hooks.SIGNED_AT: "2026-11-21T18:00:01Z"}, BODY, "forged"),
        (signed() | {hooks.SIGNATURE: "Zäöü€=="}, BODY, "forged"),
        (signed(at="2026-11-21T17:54:59Z"), BODY, "stale"),
        (signed(at="2026-11-21T18:05:01Z"), BODY, "stale"),
        (signed(at="2026-11-21T18:00:00"), BODY, "stale"),
        (signed(at="yesterday"), BODY, "stale"),
    ],
)
def test_what_is_not_signed_by_us_now_is_refused(headers: dict[str, str], body: bytes, why: str) -> None:
    assert hooks.why_refused(headers, body, [SECRET], NOW) == why


@pytest.mark.parametrize("skew", [-5 * MINUTE, 5 * MINUTE])
def test_a_clock_may_be_five_minutes_off(skew: timedelta) -> None:
    assert hooks.why_refused(signed(), BODY, [SECRET], NOW + skew) is None


def test_the_public_test_secret_opens_nothing_even_if_somebody_sets_it() -> None:
    headers = signed(secret=hooks.PUBLIC_TEST_SECRET)

    assert hooks.why_refused(headers, BODY, [hooks.PUBLIC_TEST_SECRET], NOW) == "forged"
    assert "public" in (hooks.why_weak(hooks.PUBLIC_TEST_SECRET) or "")


@pytest.mark.parametrize(
    ("payload", "ticket_id"),
    [
        ({"ticket_id": "7"}, "7"),
        ({"ticket_id": 7}, "7"),
        ({"type": "zen:event-type:ticket.csat_received", "detail": {"id": "31"}, "subject": "zen:ticket:31"}, "31"),
        ({"type": "zen:event-type:ticket.csat_received", "subject": "zen:ticket:31", "detail": None}, "31"),
        ({"type": "zen:event-type:user.deleted", "subject": "zen:user:8", "detail": {"id": "8"}}, None),
        ({"ticket_id": "../users/7"}, None),
        ({"ticket_id": "7" * 20}, None),
        ({"ticket_id": 0}, None),
        ({"ticket_id": -7}, None),
        ({"ticket_id": True}, None),
        ({"ticket_id": "٧"}, None),
        ({"ticket_id": ["7"]}, None),
        ({"type": "zen:event-type:ticket.csat_received", "detail": {"id": "0"}, "subject": "zen:ticket:"}, None),
        (["7"], None),
        ("7", None),
        (None, None),
        ({}, None),
    ],
)
def test_a_body_names_a_ticket_or_none(payload: Any, ticket_id: str | None) -> None:
    assert hooks.ticket_of(payload) == ticket_id
