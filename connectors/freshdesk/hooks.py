"""Webhooks of Freshdesk: whether a delivery knows the secret, and which ticket it is about. Pure functions.

Source: developers.freshdesk.com/api and the vendor's support pages (read 2026-11-21), and bodies that others recorded.
Freshdesk signs nothing: a long secret comes in a header of the rule's own, or as the password of basic authentication,
and nothing of the body is believed but the number of a ticket to look at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

SECRET_HEADER = "x-bridge-secret"  # noqa: S105 - the name of a header
SHORTEST_SECRET = 32  # characters
SIGNS_ATTEMPTS = False  # a retry looks like the delivery before it
RIPENS_IN = timedelta()  # nothing is to be waited for
_ONE_DELIVERY = 10  # seconds; equal bodies within them are one delivery: there is nothing else to know it by
_TICKET_ID = re.compile(r"[1-9][0-9]{0,18}")


def why_weak(secret: str) -> str | None:
    """Return why a secret must not be used, None if it may."""
    if len(secret) < SHORTEST_SECRET:
        return f"it has fewer than {SHORTEST_SECRET} characters, and it is all that protects the address"
    return None


def why_refused(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> str | None:  # noqa: ARG001
    """Return why a delivery is not believed: `unsigned` or `forged`; None if it brings one of *secrets*.

    *headers* by lower-case name. When it was sent cannot be told.
    """
    given = headers.get(SECRET_HEADER) or _password(headers.get("authorization", ""))
    if not given:
        return "unsigned"
    shown = given.encode("utf-8", "replace")
    genuine = [hmac.compare_digest(secret.encode(), shown) for secret in secrets if not why_weak(secret)]
    return None if any(genuine) else "forged"


def _password(authorization: str) -> str:
    scheme, _, said = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(said.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def delivery_key(headers: Mapping[str, str], body: bytes, now: datetime) -> str:  # noqa: ARG001
    """Return what a delivery is known by: a hash of its body, and the ten seconds in which it came."""
    return f"{hashlib.sha256(body).hexdigest()[:32]}:{int(now.timestamp()) // _ONE_DELIVERY}"


def ticket_of(payload: Any) -> str | None:
    """Return the ticket that a body names: a simple one of Freshdesk's, or the one that our recipe writes."""
    if not isinstance(payload, dict):
        return None
    inner = payload.get("freshdesk_webhook", payload)
    value = inner.get("ticket_id") if isinstance(inner, dict) else None
    return str(value) if isinstance(value, str | int) and _TICKET_ID.fullmatch(str(value)) else None
