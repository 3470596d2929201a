"""Webhooks of the stand-ins on their way: what a desk asked for, and sending it over HTTP for whoever wants that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

PATIENCE = 12.0  # seconds: those of Zendesk, as others tell; Freshdesk's are UNVERIFIED


@dataclass(frozen=True)
class Webhook:
    """A request that a rule or an event has asked for."""

    at: datetime
    method: str
    url: str
    headers: Mapping[str, str]
    content: str
    ticket_id: str  # "" if it is about none

    @property
    def body(self) -> bytes:
        """The bytes of its body."""
        return self.content.encode()


Send = Callable[[Webhook], int]  # returns the status of the answer, 0 if there was none


def keep(_webhook: Webhook) -> int:
    """Send nothing, as if somebody had answered well: each desk keeps what it sent in `webhooks`."""
    return 200


def post(webhook: Webhook) -> int:
    """Send a webhook over HTTP."""
    import requests

    try:
        with requests.request(
            webhook.method, webhook.url, data=webhook.body, headers=dict(webhook.headers), timeout=PATIENCE,
            allow_redirects=False,
        ) as answer:  # fmt: skip
            return answer.status_code
    except requests.RequestException:
        return 0
