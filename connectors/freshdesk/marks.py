"""What writes of ours left on a ticket.

Source: developers.freshdesk.com/api, Conversations (read 2026-11-21). There is no history of tags
or fields: notes are all there is to count.
"""

from __future__ import annotations

import re

from bridge.connector import Marks
from bridge.model import Status, Ticket
from connectors.freshdesk.activity import CLOSED, is_note, merged_into
from connectors.freshdesk.api import Api

REF = re.compile(r"\bref (sr-\w+)")  # anywhere: somebody may have written on below it


def marks_on(api: Api, ticket: Ticket) -> Marks:
    """Return who wrote the notes that bear a marker; *arrived* stays empty, for fields and note are two writes."""
    folder = "tickets/archived" if ticket.status is Status.ARCHIVED else "tickets"
    said = [talk for talk in api.rows(f"{folder}/{ticket.ticket_id}/conversations") if is_note(talk)]
    notes: dict[str, list[str]] = {}
    for talk in said:
        for marker in set(REF.findall(f"{talk.get('body_text')} {talk.get('body')}")):
            notes.setdefault(marker, []).append(str(talk.get("user_id")))
    into = merged_into({"status": CLOSED}, said) if ticket.status is Status.SOLVED else None
    return Marks(notes, merged_into=into)
