"""Zendesk: the webhook that tells us of ratings: what it must be, and whether it is there.

Source: developer.zendesk.com, api-reference/webhooks (read 2026-11-21), and recorded exchanges. A webhook has no key of
our own, so it is found by its exact title. It is either sent by events, or by triggers, for as long as it lives.
UNVERIFIED whether every account knows the event: one that does not is told how a trigger does the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bridge.http import BridgeSession
from connectors.zendesk.pages import PAGED, read_all, record

WEBHOOKS = "/api/v2/webhooks"
TITLE = "[recovery-bridge] Tell of ratings"
EVENT = "zen:event-type:ticket.csat_received"
BY_TRIGGERS = "conditional_ticket_events"
WHERE = "Admin Center > Apps and integrations > Webhooks"
BODY = '{"ticket_id": "{{ticket.id}}"}'  # of a trigger

Record = Mapping[str, Any]


def webhook(url: str) -> dict[str, Any]:
    """Return the webhook as it must be."""
    return {
        "name": TITLE,
        "description": "Made by recovery-bridge setup, which also mends and removes it.",
        "endpoint": url,
        "http_method": "POST",
        "request_format": "json",
        "status": "active",
        "subscriptions": [EVENT],
    }


def by_hand(url: str) -> str:
    """Return what an admin does where a webhook cannot be made over the API."""
    return (
        f"under {WHERE} create {TITLE!r} for triggers, endpoint {url}, method POST, format JSON; then a trigger with"
        f" the condition Ticket > Satisfaction changed and the action Notify active webhook, body {BODY}; then run"
        " setup again"
    )


def ours(session: BridgeSession) -> list[Record]:
    """Return the webhooks with our title. Raises CredentialsRefused or NotFound where we may not see any."""
    params = {"filter[name_contains]": "recovery-bridge", **PAGED}
    return [row for row in read_all(session, WEBHOOKS, "webhooks", params) if row.get("name") == TITLE]


def amiss(found: Record, url: str) -> dict[str, Any]:
    """Return the fields of a webhook that are not as they must be, as they must be; a trigger's stays a trigger's."""
    wished = webhook(url)
    subscribed = found.get("subscriptions") or ()
    if EVENT in subscribed or BY_TRIGGERS in subscribed:
        del wished["subscriptions"]
    del wished["description"]
    return {name: value for name, value in wished.items() if found.get(name) != value}


def in_words(found: Record, wrong: Mapping[str, Any]) -> str:
    """Return what is wrong with a webhook."""
    host = urlsplit(str(found.get("endpoint"))).hostname or "nowhere"
    words = {
        "endpoint": f"sends to another address, on {host}",
        "status": "is not active",
        "subscriptions": f"does not wait for {EVENT}",
    }
    return " and ".join(dict.fromkeys(words.get(name, f"has another {name.replace('_', ' ')}") for name in wrong))


def signing_secret(session: BridgeSession, webhook_id: str) -> str:
    """Return the key with which a webhook signs; "" if the answer has none."""
    path = f"{WEBHOOKS}/{webhook_id}/signing_secret"
    return str((record(session, path, session.read(path)).get("signing_secret") or {}).get("secret") or "")
