"""Freshdesk stand-in: automation rules, as far as recoveries and surveys need them.

Bodies are those of `/api/v2/automations/{type}/rules` (developers.freshdesk.com/api, read 2026-11-21). The names of the
events and conditions are UNVERIFIED where the comments say so: a program should read a rule back, not assume it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from connectors.sandbox.courier import Webhook
from connectors.sandbox.freshdesk_answers import LINK
from connectors.sandbox.freshdesk_records import (
    HOURLY,
    ON_UPDATE,
    OPEN,
    Rule,
    Ticket,
)

if TYPE_CHECKING:
    from connectors.sandbox.freshdesk import FreshdeskDesk

Events = Mapping[str, tuple[Any, Any]]  # {field or event: (from, to)}

WEBHOOK_KEYS = ("url", "request_type", "content_type", "content_layout", "content", "custom_headers")
EITHER = 3  # performer: agent or requester
ANY_VALUE = "--"
HOURLY_REACH = timedelta(days=30)  # hourly rules look at tickets created or updated within this time
_PLACEHOLDER = re.compile(r"\{\{\s*ticket\.(\w+)\s*\}\}")
SYNONYMS = {"tag": "tags", "tag_names": "tags", "add_tags": "tags", "ticket_type": "type", "product": "product_id"}


def install_defaults(desk: FreshdeskDesk) -> None:
    """Add the rules that an account has from its first day."""
    reopen = {
        "name": "Reopen tickets when the customer replies",
        "performer": {"type": 2},
        "events": [{"field_name": "reply_sent", "value": "sent"}],
        "conditions": _all({"field_name": "status", "operator": "is_any_of", "value": [3, 4, 5, 6, 7]}),
        "actions": [{"field_name": "status", "value": OPEN}],
    }
    close = {
        "name": "Close resolved tickets after 4 days",
        "conditions": _all(
            {"field_name": "status", "operator": "is", "value": 4},
            {"field_name": "hours_since_resolved", "operator": "greater_than", "value": 96},
        ),
        "actions": [{"field_name": "status", "value": 5}],
    }
    add(desk, ON_UPDATE, reopen)
    add(desk, HOURLY, close)


def _all(*properties: dict[str, Any]) -> list[dict[str, Any]]:
    stated = [{"resource_type": "ticket", **one} for one in properties]
    return [{"name": "condition_set_1", "match_type": "all", "properties": stated}]


def add(desk: FreshdeskDesk, kind: int, body: Mapping[str, Any]) -> Rule:
    """Keep a rule behind those of its kind."""
    position = 1 + sum(rule.kind == kind for rule in desk.rules.values())
    rule = Rule(desk.next_id(), kind, {"active": True, "position": position} | dict(body), desk.now(), desk.now())
    desk.rules[rule.id] = rule
    return rule


class Hourly:
    """The rules that run every hour: on tickets that have changed, or for which hours that a rule counts are over."""

    def __init__(self, desk: FreshdeskDesk) -> None:
        self.desk = desk
        self._rules = ""
        self._looked: dict[int, tuple[datetime, datetime]] = {}  # ticket -> as of which update, and when again

    def run(self, now: datetime) -> None:
        """Let the rules act on every ticket for which they may be due."""
        bodies = [rule.body for rule in self.desk.rules.values() if rule.kind == HOURLY and rule.active]
        if (rules := repr(bodies)) != self._rules:
            self._rules, self._looked = rules, {}
        for ticket in list(self.desk.tickets.values()) if bodies else ():
            seen, again_at = self._looked.get(ticket.id, (None, now))
            if seen == ticket.updated_at and now < again_at:
                continue
            if now - ticket.updated_at > HOURLY_REACH or ticket.archived or ticket.is_refused:
                continue
            acted = run(self.desk, HOURLY, ticket)  # one that acts does so every hour, until it no longer holds
            self._looked[ticket.id] = ticket.updated_at, now if acted else self._next_look(bodies, ticket, now)

    def _next_look(self, bodies: Iterable[Mapping[str, Any]], ticket: Ticket, now: datetime) -> datetime:
        tests = (test for body in bodies for one in body.get("conditions", ()) for test in one.get("properties", ()))
        counted = ((_counted_from(ticket, test.get("field_name", "")), test.get("value")) for test in tests)
        dues = (since + timedelta(hours=float(hours)) for since, hours in counted if since and hours)
        return min((due for due in dues if due >= now), default=now + HOURLY_REACH)


def _counted_from(ticket: Ticket, name: str) -> datetime | None:
    """Return the time from which a condition such as `hours_since_resolved` counts."""
    if not name.startswith("hours_since_"):
        return None
    what = name.removeprefix("hours_since_")
    return {"created": ticket.created_at, "updated": ticket.updated_at}.get(what) or ticket.stats.get(f"{what}_at")


def run(desk: FreshdeskDesk, kind: int, ticket: Ticket, events: Events | None = None, performer: int = 4) -> bool:
    """Let every active rule of a kind that matches act on the ticket, in order; True if one did."""
    acted = False
    for rule in list(desk.rules.values()):
        if rule.kind != kind or not rule.active:
            continue
        if kind == ON_UPDATE and not _happened(rule.body, events or {}, performer):
            continue
        if _holds(desk, rule.body, ticket):
            _act(desk, rule, ticket)
            acted = True
    return acted


def _happened(body: Mapping[str, Any], events: Events, performer: int) -> bool:
    """True if the rule waits for this performer and one of these events."""
    wanted = body.get("performer", {}).get("type", EITHER)
    if wanted != performer and not (wanted == EITHER and performer in (1, 2)):
        return False
    return any(_is_event(wish, events) for wish in body.get("events", ()))


def _is_event(wish: Mapping[str, Any], events: Events) -> bool:
    name = wish.get("field_name", "")
    name = SYNONYMS.get(name, name)
    if name not in events:
        return False
    before, after = events[name]
    if name == "tags":
        added = set(after) - set(before)
        wanted = _texts(wish.get("value", wish.get("to", ANY_VALUE)))
        return bool(added and (ANY_VALUE in wanted or wanted & added))
    return _fits(wish.get("from", ANY_VALUE), before) and _fits(wish.get("to", wish.get("value", ANY_VALUE)), after)


def _fits(wish: Any, found: Any) -> bool:
    return wish == ANY_VALUE or str(found) in _texts(wish)


def _texts(value: Any) -> set[str]:
    """Return one value or many as texts: ids arrive as numbers or strings."""
    if value is None:
        return {""}
    return {str(one) for one in value} if isinstance(value, list | tuple | set) else {str(value)}


def _holds(desk: FreshdeskDesk, body: Mapping[str, Any], ticket: Ticket) -> bool:
    """True if the sets of conditions hold, joined by the rule's operator."""
    sets = [
        (all if one.get("match_type", "all") == "all" else any)(
            _is_true(desk, test, ticket) for test in one.get("properties", ())
        )
        for one in body.get("conditions", ())
    ]
    return not sets or (any(sets) if body.get("operator") == "condition_set_1 OR condition_set_2" else all(sets))


def _is_true(desk: FreshdeskDesk, test: Mapping[str, Any], ticket: Ticket) -> bool:
    name, operator, wish = test.get("field_name", ""), test.get("operator", "is"), test.get("value")
    found = _value(desk, ticket, name)
    if operator in ("greater_than", "less_than"):
        if found is None or wish is None:
            return False
        return float(found) > float(wish) if operator == "greater_than" else float(found) < float(wish)
    shared = bool(_texts(found) & _texts(wish))
    if operator == "contains":
        shared = any(part in text for part in _texts(wish) for text in _texts(found))
    return not shared if operator in ("is_not", "is_none_of", "not_in", "is_not_any_of") else shared


def _value(desk: FreshdeskDesk, ticket: Ticket, name: str) -> Any:
    name = SYNONYMS.get(name, name)
    if name.startswith("hours_since_"):
        since = _counted_from(ticket, name)
        return (desk.now() - since) / timedelta(hours=1) if since else None
    if name in ticket.custom_fields or name.startswith("cf_"):
        return ticket.custom_fields.get(name)
    return getattr(ticket, name, None)


def _act(desk: FreshdeskDesk, rule: Rule, ticket: Ticket) -> None:
    who = (f"rule:{rule.name}", 0)
    changes: dict[str, Any] = {}
    for action in rule.body.get("actions", ()):
        name, value = action["field_name"], action.get("value")
        name = SYNONYMS.get(name, name)
        if name == "add_tag":
            changes["tags"] = _with_tags(changes.get("tags", ticket.tags), value)
        elif name == "remove_tag":
            changes["tags"] = [tag for tag in changes.get("tags", ticket.tags) if tag not in _texts(value)]
        elif name == "send_email_to_requester":
            _mail_requester(desk, action, ticket, who[0])
        elif name == "send_survey" and desk.csat != "none":  # UNVERIFIED name of the survey action
            desk.mail(desk.address(ticket.requester_id), "survey", ticket, desk.answered.send(ticket), by=who[0])
        elif name == "trigger_webhook":
            desk.deliver_with_retries(_webhook(desk, action, ticket))
        elif name.startswith("cf_") and (value or desk.rules_clear_fields):
            changes.setdefault("custom_fields", {})[name] = value or None
        elif name in ("status", "priority", "responder_id", "group_id", "type", "product_id"):
            changes[name] = value
    desk.change(ticket, who, changes)


def _mail_requester(desk: FreshdeskDesk, action: Mapping[str, Any], ticket: Ticket, by: str) -> None:
    subject, text = (_filled(desk, str(action.get(f"email_{part}", "")), ticket) for part in ("subject", "body"))
    kind = "survey" if LINK.search(text) else "question" if re.search("https?://", text) else "rule"
    desk.mail(desk.address(ticket.requester_id), kind, ticket, text, by=by, subject=subject)


def _filled(desk: FreshdeskDesk, template: str, ticket: Ticket) -> str:
    """Return a template with its placeholders filled in once; those that nobody knows become empty."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name == "satisfaction_survey":  # UNVERIFIED name
            return desk.answered.send(ticket)
        known = ticket.custom_fields.get(name) if name.startswith("cf_") else {"id": ticket.id}.get(name)
        return str(ticket.subject if name == "subject" else known or "")

    return _PLACEHOLDER.sub(value, template)


def _with_tags(tags: Iterable[str], value: Any) -> list[str]:
    return [*tags, *sorted(_texts(value) - set(tags))]


def _webhook(desk: FreshdeskDesk, action: Mapping[str, Any], ticket: Ticket) -> Webhook:
    """Return the request of an action: what its author wrote, or the simple body, in which ids are texts."""
    content = action["content"]
    if isinstance(content, str):
        content = content.replace("{{ticket.id}}", str(ticket.id))
    else:
        content = json.dumps({"freshdesk_webhook": {"ticket_id": str(ticket.id), "ticket_subject": ticket.subject}})
    headers = {str(name): str(value) for name, value in (action["custom_headers"] or {}).items()}
    if user := action.get("auth_header"):
        pair = base64.b64encode(f"{user['username']}:{user['password']}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    headers["Content-Type"] = "application/json"
    return Webhook(desk.now(), action["request_type"], action["url"], headers, content, str(ticket.id))


def is_malformed(body: Mapping[str, Any]) -> bool:
    """True for a webhook action without all its keys, which Freshdesk answers with 500."""
    hooks = [action for action in body.get("actions", ()) if action.get("field_name") == "trigger_webhook"]
    return any(key not in hook for hook in hooks for key in WEBHOOK_KEYS)
