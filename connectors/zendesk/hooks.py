"""Webhooks of Zendesk: whether a delivery is genuine and fresh, and which ticket it is about. Pure functions.

Source: developer.zendesk.com, "Verifying webhooks" and "Webhook event types" (read 2026-11-21); recorded deliveries.
What an event of satisfaction ratings holds beside the ticket is UNVERIFIED: it only says which ticket to look at.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

SIGNATURE = "x-zendesk-webhook-signature"
SIGNED_AT = "x-zendesk-webhook-signature-timestamp"
PUBLIC_TEST_SECRET = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # noqa: S105 - everybody knows it
FRESH_FOR = timedelta(minutes=5)  # the stamp is that of the attempt: a retry comes with a new one
SIGNS_ATTEMPTS = True  # so a signature that was seen before is a replay
RIPENS_IN = timedelta(seconds=2)  # stamps of tickets have whole seconds: sooner no write could be conditional
_TICKET_ID = re.compile(r"[1-9][0-9]{0,18}")
_SUBJECT = "zen:ticket:"


def why_weak(secret: str) -> str | None:
    """Return why a secret must not be used, None if it may."""
    if secret == PUBLIC_TEST_SECRET:
        return "it is the public one of Zendesk's test deliveries; take the webhook's own: Webhooks > Reveal secret"
    return None


def why_refused(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> str | None:
    """Return why a delivery is not believed: `unsigned`, `forged` or `stale`; None if one of *secrets* signed it.

    *headers* by lower-case name; *body* as it came: Zendesk signs the very bytes.
    """
    signature, signed_at = headers.get(SIGNATURE, ""), headers.get(SIGNED_AT, "")
    if not signature or not signed_at:
        return "unsigned"
    message = signed_at.encode("utf-8", "replace") + body
    given = signature.encode("utf-8", "replace")
    genuine = [hmac.compare_digest(_signed(secret, message), given) for secret in secrets if not why_weak(secret)]
    if not any(genuine):
        return "forged"
    return None if _is_fresh(signed_at, now) else "stale"


def _signed(secret: str, message: bytes) -> bytes:
    """Sign; the secret looks like base64 and is used as it is written."""
    return base64.b64encode(hmac.digest(secret.encode(), message, hashlib.sha256))


def _is_fresh(signed_at: str, now: datetime) -> bool:
    try:
        at = datetime.fromisoformat(signed_at)
    except ValueError:
        return False
    return at.tzinfo is not None and abs(now - at) <= FRESH_FOR


def delivery_key(headers: Mapping[str, str], body: bytes, now: datetime) -> str:  # noqa: ARG001
    """Return what a delivery is known by: its signature, for nothing else of it is both signed and always there."""
    return headers.get(SIGNATURE, "")


def ticket_of(payload: Any) -> str | None:
    """Return the ticket that a body names: that of an event, or that of our own trigger (`ticket_id`)."""
    if not isinstance(payload, dict):
        return None
    if "ticket_id" in payload:
        return _ticket_id(payload["ticket_id"])
    subject, detail = str(payload.get("subject", "")), payload.get("detail")
    if not subject.startswith(_SUBJECT) and not str(payload.get("type", "")).startswith("zen:event-type:ticket."):
        return None
    named = detail.get("id") if isinstance(detail, dict) else None
    return _ticket_id(named or subject.removeprefix(_SUBJECT))


def _ticket_id(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and _TICKET_ID.fullmatch(str(value)) else None
