"""Zendesk: what writes of ours left on a ticket, and the tickets that they made.

Source: the OpenAPI file (ticket audits, ticket comments, tickets by external id), read 2026-11-21. Audits need the
global scope `read`; without it the comments, and the tags of now, must do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.connector import Marks
from bridge.http import BridgeSession
from bridge.model import Ticket
from connectors.zendesk.activity import is_by_rule
from connectors.zendesk.bodies import HALF_TAG, METADATA
from connectors.zendesk.pages import allowed, read_all
from connectors.zendesk.question import ASK_TAGS
from connectors.zendesk.tickets import MARKER_TAG, TICKETS

_REF = re.compile(r"\bref (sr-\w+)")  # anywhere: somebody may have written on below it
_OURS, _PASSING = "sr_", (*ASK_TAGS, HALF_TAG)

Row = Mapping[str, Any]


class MarksReader:
    """Looks for marks on the tickets of one account."""

    def __init__(self, session: BridgeSession) -> None:
        self._http = session
        self._audits_are_open = True

    def on(self, ticket: Ticket) -> Marks:
        """Return what our writes left, from the history of a ticket; from its comments where we may not read that."""
        if self._audits_are_open:
            path = f"{TICKETS}/{ticket.ticket_id}/audits"
            audits = allowed(lambda: list(read_all(self._http, path, "audits")))
            if audits is not None:
                return marks_in(audits, ticket.tags)
            self._audits_are_open = False
        return Marks(notes_on(self._http, ticket.ticket_id), frozenset(_markers(ticket.tags)))


def notes_on(session: BridgeSession, ticket_id: str) -> dict[str, list[str]]:
    """Return who wrote each private comment of a ticket that bears a marker, by marker."""
    return _notes(read_all(session, f"{TICKETS}/{ticket_id}/comments", "comments"))


def marks_in(audits: Iterable[Row], tags: Sequence[str]) -> Marks:
    """Tell from all audits of a ticket, in any order, and its tags of now, what our writes left.

    A question that we took back does not count as asked, nor its write as arrived.
    """
    ordered = sorted(audits, key=lambda audit: (str(audit["created_at"]), audit["id"]))
    arrived, asked = set(_markers(tags)), Counter[str]()
    untagged: dict[str, str | None] = {}
    for audit in ordered:
        taken_back = ((audit.get("metadata") or {}).get("custom") or {}).get(METADATA)
        for event in audit.get("events") or ():
            if event.get("field_name") != "tags":
                continue
            after, before = set(event.get("value") or ()), set(event.get("previous_value") or ())
            arrived.update(_markers(after - before))
            if ASK_TAGS & (after - before):
                asked.update(_markers(after))
            if taken_back in _markers(before - after):
                arrived.discard(taken_back)
                asked[taken_back] -= 1
            who = None if is_by_rule(event, audit) else str(event.get("author_id") or audit.get("author_id"))
            untagged.update(dict.fromkeys(_lasting(before - after), who))
    gone = {tag: who for tag, who in untagged.items() if tag not in tags}
    return Marks(_notes([one for audit in ordered for one in _comments(audit)]), frozenset(arrived), asked, gone)


def made_by(session: BridgeSession, marker: str) -> list[Row]:
    """Return the tickets that a write of ours made; deleted ones are not among them."""
    found = session.read(TICKETS, {"external_id": marker, "support_type_scope": "all"})
    tickets = (found.get("tickets") if isinstance(found, Mapping) else None) or ()
    return [ticket for ticket in tickets if ticket.get("external_id") == marker]


def _comments(audit: Row) -> Iterable[Row]:
    return (audit | event for event in audit.get("events") or () if event.get("type") == "Comment")


def _notes(comments: Iterable[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for comment in comments:
        if not comment.get("public"):
            for marker in set(_REF.findall(comment.get("body") or "")):
                found.setdefault(marker, []).append(str(comment.get("author_id")))
    return found


def _markers(tags: Iterable[str]) -> set[str]:
    return {f"sr-{tag.removeprefix(MARKER_TAG)}" for tag in tags if tag.startswith(MARKER_TAG)}


def _lasting(tags: Iterable[str]) -> set[str]:
    """Return those of our tags that nobody but a person or a rule takes off."""
    return {tag for tag in tags if tag.startswith(_OURS) and not tag.startswith(MARKER_TAG) and tag not in _PASSING}
