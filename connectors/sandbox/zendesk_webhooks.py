"""Webhooks of the stand-in Zendesk: the API that makes them, and what it sends when a customer rates.

Shapes: zenpy's recorded exchanges (2023-2024), and developer.zendesk.com, Webhooks and "Verifying webhooks" (read
2026-11-21). UNVERIFIED, and told as the unfriendliest would be: the texts of refusals, that a webhook never changes
between events and triggers, what `csat_received` holds beside the ticket, and that a test is signed with the webhook's
own secret. When Zendesk tries again by itself is not known well enough to play it: `send_again` is one more attempt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox.courier import Webhook
from connectors.sandbox.wsgi import Call, Refusal, answer, route
from connectors.sandbox.zendesk_account import Account
from connectors.sandbox.zendesk_pages import After, asked, cursor_page
from connectors.sandbox.zendesk_rows import File, Row, moment_of, stamp

BY_TRIGGERS = "conditional_ticket_events"
EVENT = "zen:event-type:"
CSAT_RECEIVED = f"{EVENT}ticket.csat_received"
PUBLIC_TEST_SECRET = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # noqa: S105 - everybody knows it
ACCOUNT_ID = 10_000_001
NEEDED = ("name", "endpoint", "http_method", "request_format", "status")
KNOWN = frozenset({*NEEDED, "description", "subscriptions", "authentication", "custom_headers"})
KEPT_FOR = timedelta(days=7)  # invocations


def _refused(status: int, title: str) -> Refusal:
    """Return a refusal in the style of the newer endpoints."""
    return Refusal(status, {"errors": [{"code": "InvalidWebhook" if status == 400 else "NotFound", "title": title}]})


class WebhookCalls:
    """The webhooks of one account: their endpoints, and their deliveries.

    *unknown_events*: event types that this account does not know.
    """

    def __init__(self, account: Account, deliver: Callable[[Webhook], int]) -> None:
        self.account = account
        self.deliver = deliver
        self.rows: dict[str, Row] = {}  # by id
        self.secrets: dict[str, str] = {}
        self.invocations: dict[str, list[Row]] = {}  # oldest first
        self.unknown_events: set[str] = set()
        account.on_rated = self.rated

    def routes(self) -> Iterable[Rule]:
        """Return the rules of this part."""
        api = "/api/v2/webhooks"
        return (
            route("GET POST", api, self.list_or_create),
            route("POST", f"{api}/test", self.test),
            route("GET PUT PATCH DELETE", f"{api}/<row_id>", self.one),
            route("GET POST", f"{api}/<row_id>/signing_secret", self.signing_secret),
            route("GET", f"{api}/<row_id>/invocations", self.list_invocations),
        )

    # -------------------------------------------------------------- the API
    def list_or_create(self, call: Call) -> Response:
        """List webhooks by a part of their name, or make one."""
        if call.method == "POST":
            return answer({"webhook": _shown(self._create(_sent(call)))}, 201)
        wanted, status = asked(call, "filter[name_contains]") or "", asked(call, "filter[status]")
        chosen = (row for row in self.rows.values() if wanted in row["name"] and status in (None, row["status"]))
        return answer(cursor_page(call, "webhooks", _after([_shown(row) for row in chosen]), ""))

    def _create(self, sent: Row) -> Row:
        missing = [name for name in NEEDED if not sent.get(name)]
        if missing:
            raise _refused(400, f"{missing[0]} is missing")
        row_id = f"01K{self.account.new_id('rule'):023d}"
        at = f"{stamp(self.account.now())[:-1]}.000000000Z"
        row = self._checked({"subscriptions": [BY_TRIGGERS]} | sent)
        self.rows[row_id] = {"id": row_id, **row, "created_at": at, "created_by": "1"}
        self.invocations[row_id] = []
        self._new_secret(row_id)
        return self.rows[row_id]

    def _checked(self, row: Row) -> Row:
        """Return a whole webhook. Raises Refusal for what it cannot be."""
        if unknown := set(row) - KNOWN - {"id", "created_at", "created_by"}:
            raise _refused(400, f"{min(unknown)} is not a field of a webhook")
        events = [event for event in row["subscriptions"] if event.startswith(EVENT)]
        if len(events) not in (0, len(row["subscriptions"])):
            raise _refused(400, "subscriptions cannot mix events and triggers")
        if events and (row["http_method"], row["request_format"]) != ("POST", "json"):
            raise _refused(400, "events are sent by POST, as json")
        if unknown := self.unknown_events & set(events):
            raise _refused(400, f"subscriptions: {min(unknown)} is not an event type")
        return row

    def one(self, call: Call, row_id: str) -> Response:
        """Show, replace, change or delete a webhook."""
        row = self._row(row_id)
        if call.method == "GET":
            return answer({"webhook": _shown(row)})
        if call.method == "DELETE":
            for table in (self.rows, self.secrets, self.invocations):
                del table[row_id]
            return answer(None, 204)
        sent = _sent(call)
        changed = self._checked(row | sent)
        if {one.startswith(EVENT) for one in row["subscriptions"]} != {
            one.startswith(EVENT) for one in changed["subscriptions"]
        }:
            raise _refused(400, "a webhook of events cannot become one of triggers, nor the other way round")
        if call.method == "PUT" and (missing := [name for name in NEEDED if name not in sent]):
            raise _refused(400, f"{missing[0]} is missing")
        self.rows[row_id] = changed
        return answer(None, 204)

    def _row(self, row_id: str) -> Row:
        if row_id not in self.rows:
            raise _refused(404, "Webhook not found")
        return self.rows[row_id]

    def signing_secret(self, call: Call, row_id: str) -> Response:
        """Show the key that a webhook signs with, or make a new one in its place."""
        self._row(row_id)
        if call.method == "POST":
            self._new_secret(row_id)
        shown = {"secret": self.secrets[row_id], "algorithm": "SHA256"}
        return answer({"signing_secret": shown}, 201 if call.method == "POST" else 200)

    def _new_secret(self, row_id: str) -> None:
        self.secrets[row_id] = base64.b64encode(self.account.world.random.randbytes(32)).decode()

    def test(self, call: Call) -> Response:
        """Send a test and tell what came back; a webhook that exists lends it what the request leaves out."""
        row_id, request = asked(call, "webhook_id"), (call.sent or {}).get("request", {})
        row = {"http_method": "POST", **(self._row(row_id) if row_id else {}), **request}
        if not row.get("endpoint"):
            raise _refused(400, "endpoint is missing")
        secret = self.secrets[row_id] if row_id else PUBLIC_TEST_SECRET
        status = self.deliver(self._signed(row, request.get("payload") or "", secret, ""))
        return answer({"response": {"status": status or 504, "headers": [], "payload": ""}})

    def list_invocations(self, call: Call, row_id: str) -> Response:
        """List what became of the deliveries of the last seven days, the newest first unless asked otherwise."""
        self._row(row_id)
        newest_first = asked(call, "sort") != "latest_completed_at"
        wanted, since = asked(call, "filter[status]"), self.account.now() - KEPT_FOR
        found = [row for row in self.invocations[row_id] if moment_of(row["latest_completed_at"]) >= since]
        shown = [row for row in found if wanted in (None, row["status"])]
        return answer(cursor_page(call, "invocations", _after(shown[::-1] if newest_first else shown), ""))

    # -------------------------------------------------------------- deliveries
    def rated(self, file: File, score: str) -> None:
        """Tell every webhook that waits for it of a rating."""
        for row_id, row in self.rows.items():
            if row["status"] == "active" and CSAT_RECEIVED in row["subscriptions"]:
                self._invoke(row_id, self._event(file, {"satisfaction_score": {"score": score.upper()}}), file)

    def send_again(self, webhook: Webhook) -> int:
        """Make one more attempt at a delivery: the same body with a stamp and a signature of this moment."""
        row_id = webhook.headers["X-Zendesk-Webhook-Id"]
        again = self._signed(self.rows[row_id], webhook.content, self.secrets[row_id], webhook.ticket_id)
        invocation = {"X-Zendesk-Webhook-Invocation-Id": webhook.headers["X-Zendesk-Webhook-Invocation-Id"]}
        return self.deliver(Webhook(again.at, again.method, again.url, {**again.headers, **invocation},
                                    again.content, again.ticket_id))  # fmt: skip

    def _invoke(self, row_id: str, content: str, file: File) -> None:
        webhook = self._signed(self.rows[row_id], content, self.secrets[row_id], str(file.ticket_id))
        status = self.deliver(webhook)
        row = {
            "id": webhook.headers["X-Zendesk-Webhook-Invocation-Id"],
            "status": "success" if 200 <= status < 300 else "terminated",
            "latest_completed_at": stamp(self.account.now()),
        }
        self.invocations[row_id].append(row | ({"status_code": status} if status else {}))

    def _event(self, file: File, event: Row) -> str:
        """Return the body of an event: indented, and with a newline at its end."""
        shown = file.row
        detail = {name: str(shown[name] or "0") for name in ("assignee_id", "brand_id", "group_id", "requester_id")}
        detail |= {"id": str(file.ticket_id), "status": shown["status"].upper(), "tags": shown["tags"],
                   "subject": shown["subject"], "updated_at": shown["updated_at"]}  # fmt: skip
        envelope = {
            "type": CSAT_RECEIVED, "account_id": ACCOUNT_ID, "id": str(UUID(int=self._chance(), version=4)),
            "time": stamp(self.account.now()), "zendesk_event_version": "2022-11-06",
            "subject": f"zen:ticket:{file.ticket_id}", "detail": detail, "event": event,
        }  # fmt: skip
        return json.dumps(envelope, indent=2) + "\n"

    def _signed(self, row: Row, content: str, secret: str, ticket_id: str) -> Webhook:
        at = stamp(self.account.now())
        mac = hmac.digest(secret.encode(), (at + content).encode(), hashlib.sha256)
        headers = {
            "Content-Type": "application/json; charset=utf-8", "User-Agent": "Zendesk Webhook",
            "X-Zendesk-Account-Id": str(ACCOUNT_ID), "X-Zendesk-Webhook-Id": row.get("id", ""),
            "X-Zendesk-Webhook-Invocation-Id": f"01K{self._chance() % 10**23:023d}",
            "X-Zendesk-Webhook-Signature": base64.b64encode(mac).decode(),
            "X-Zendesk-Webhook-Signature-Timestamp": at,
        }  # fmt: skip
        return Webhook(self.account.now(), row["http_method"], row["endpoint"], headers, content, ticket_id)

    def _chance(self) -> int:
        return self.account.world.random.getrandbits(128)


def _sent(call: Call) -> Row:
    sent = call.sent.get("webhook") if isinstance(call.sent, dict) else None
    if not isinstance(sent, dict):
        raise _refused(400, "webhook is missing")
    return {name: value for name, value in sent.items() if value is not None}


def _shown(row: Row) -> Row:
    """Return a webhook as the API shows it: without secrets."""
    shown = {name: value for name, value in row.items() if name != "authentication"}
    if kept := row.get("authentication"):
        secret = ("password", "token", "value")
        data = {name: value for name, value in kept.get("data", {}).items() if name not in secret}
        shown["authentication"] = kept | {"data": data}
    return shown


def _after(listed: list[Row]) -> After:
    """Return what `cursor_page` needs for rows that are in order already, each known by its id."""

    def after(key: Any) -> Iterator[tuple[Any, Row]]:
        ids = [row["id"] for row in listed]
        first = ids.index(key) + 1 if key in ids else 0
        return ((row["id"], row) for row in listed[first:])

    return after
