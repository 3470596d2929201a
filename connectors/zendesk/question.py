"""Zendesk: the field and the triggers that bring the second question to the requester, and whether they are there.

Source: the OpenAPI file (triggers, ticket fields) and developer.zendesk.com, actions, conditions and placeholders
references (read 2026-11-21). A write of ours puts the words into the field and adds a tag; the trigger for that tag
mails the field to the requester alone, never to CCs, and takes the tag off.

The triggers do not blank the field, we do (writes.py): it is not documented whether a trigger can blank a text, nor
whether a mail is written before or after the other actions of its trigger; if after, the customer would read nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.http import BridgeSession
from connectors.zendesk.pages import read_all

TRIGGERS = "/api/v2/triggers"
FIELDS = "/api/v2/ticket_fields"

TEXT_FIELD = "sr_survey_text"  # the title: fields of a ticket have no name of their own
MAIL_TITLE = "[recovery-bridge] Mail the second question"
RATE_TITLE = "[recovery-bridge] Ask for a second rating"
TITLES = (MAIL_TITLE, RATE_TITLE)

ASK_TAG, ASK_SURVEY_TAG = "sr_ask", "sr_ask_survey"  # come with the words, and go when they are mailed
ASK_TAGS = frozenset({ASK_TAG, ASK_SURVEY_TAG})
SURVEYED_TAG = "sr_surveyed"  # stays

Record = Mapping[str, Any]
_TODO = "run recovery-bridge setup"


def text_field() -> dict[str, Any]:
    """Return the ticket field as it must be: for agents only."""
    return {
        "type": "textarea",
        "title": TEXT_FIELD,
        "agent_description": "Used by Recovery Bridge on the way to the customer; empty at all other times.",
        "active": True,
        "required": False,
        "visible_in_portal": False,
        "editable_in_portal": False,
        "required_in_portal": False,
    }


def trigger(title: str, field_id: str) -> dict[str, Any]:
    """Return the trigger with this title as it must be, for the field with this id."""
    tag = ASK_TAG if title == MAIL_TITLE else ASK_SURVEY_TAG
    words = f"{{{{ticket.ticket_field_{field_id}}}}}"
    body = words if title == MAIL_TITLE else f"{words}\n\n{{{{satisfaction.rating_section}}}}"
    return {
        "title": title,
        "description": "Made by recovery-bridge setup, which also mends and removes it. Mails only the requester.",
        "active": True,
        "conditions": {"all": [{"field": "current_tags", "operator": "includes", "value": tag}], "any": []},
        "actions": [
            {"field": "notification_user", "value": ["requester_id", "Re: {{ticket.title}}", body]},
            {"field": "remove_tags", "value": tag},
        ],
    }


@dataclass(frozen=True)
class Installed:
    """What an account has of the field and the triggers, by exact title."""

    fields: Sequence[Record]
    triggers: Mapping[str, Sequence[Record]]

    @property
    def field_id(self) -> str | None:
        """The id of the field, if there is exactly one that can carry a text."""
        usable = len(self.fields) == 1 and self.fields[0].get("type") == "textarea" and self.fields[0].get("active")
        return str(self.fields[0]["id"]) if usable else None

    def why_not(self, title: str) -> str:
        """Return why this trigger cannot mail a question, and what to do about it; "" if it can."""
        found = self.triggers[title]
        if len(self.fields) > 1:
            return f"there are {len(self.fields)} ticket fields {TEXT_FIELD!r}; delete all but one in Admin Center"
        if self.field_id is None:
            return f"ticket field {TEXT_FIELD!r} is missing or not active; {_TODO}"
        if len(found) > 1:
            return f"there are {len(found)} triggers {title!r}; delete all but one in Admin Center"
        if not found:
            return f"trigger {title!r} is missing; {_TODO}"
        if not found[0].get("active"):
            return f"trigger {title!r} is not active; {_TODO}"
        return "" if is_as(found[0], trigger(title, self.field_id)) else f"trigger {title!r} was changed; {_TODO}"


def installed(session: BridgeSession) -> Installed:
    """Read what an account has, in two calls where its lists are short. Raises CredentialsRefused if we may not."""
    fields = [row for row in read_all(session, FIELDS, "ticket_fields") if row.get("title") == TEXT_FIELD]
    rules = list(read_all(session, TRIGGERS, "triggers"))
    return Installed(fields, {title: [row for row in rules if row.get("title") == title] for title in TITLES})


def is_as(found: Record, wished: Record) -> bool:
    """True if a field or trigger is as we made it, in all that matters for what it does."""
    names = ("active", "conditions", "actions") if "actions" in wished else ("active", "visible_in_portal", "required")
    return all(_plain(found.get(name)) == _plain(wished[name]) for name in names)


def _plain(value: Any) -> Any:
    """Return a value without what an account may write differently: ids as text, null for nothing, line ends, order."""
    if isinstance(value, Mapping):
        kept = ("field", "operator", "value") if "field" in value else tuple(value)
        return {name: _plain(value[name]) for name in kept if value.get(name) not in (None, "", [])}
    if isinstance(value, list):
        plain = [_plain(inner) for inner in value]
        return sorted(plain, key=json.dumps) if plain and isinstance(plain[0], dict) else plain
    return (
        "\n".join(line.rstrip() for line in str(value).splitlines()).strip() if isinstance(value, str | int) else value
    )
