"""Zendesk: the JSON of our writes. Pure: no call is made here.

Source: the OpenAPI file (tickets, update_many) and the article on protecting against ticket update collisions (read
2026-11-21). Every write carries a tag `sr_ref_<effect id>`, so that it can be recognised after a lost answer; tags
replace the whole list, and `safe_update` makes a stale list a 409. The second write of two carries `metadata` instead,
which comes back on its audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bridge.model import Change, Status, Write
from connectors.zendesk.question import ASK_SURVEY_TAG, ASK_TAG, ASK_TAGS, SURVEYED_TAG
from connectors.zendesk.tickets import MARKER_TAG

HALF_TAG = "sr_half"  # we reopened the ticket to solve it again, and have not done so yet
METADATA = "recovery_bridge"  # name in `metadata`, for the marker
_OUR_TAGS = "sr_"


def update_body(write: Write, text_field: str | None = None) -> dict[str, Any]:
    """Return the `ticket` object of one update: everything in one write, on condition that nothing changed.

    *text_field* is the id of the field for a question: on a ticket that carried one it is blanked, in case an earlier
    run did not come to that.
    """
    change = write.change
    body = _placed(change)
    body["tags"] = _tags(write, [*change.add_tags, *_question_tags(write)])
    if change.reopen and write.ticket.status is Status.SOLVED:
        body["status"] = "open"
    if change.note is not None:
        body["comment"] = _private(write)
    return body | _question_text(write, text_field) | _condition(write.ticket.stamp)


def reopening_body(write: Write, text_field: str | None = None) -> dict[str, Any]:
    """Return the first of the two updates that solve a ticket again."""
    body = {"status": "open", "tags": _tags(write, [HALF_TAG])}
    return body | _question_text(replace(write, question=None), text_field) | _condition(write.ticket.stamp)


def solving_body(write: Write, text_field: str | None = None) -> dict[str, Any]:
    """Return the second one: everything that the write asks for, and solved; the ticket is as the first left it."""
    return update_body(write, text_field) | {"status": "solved", "metadata": {METADATA: write.effect.marker}}


def blank_body(marker: str, text_field: str | None) -> dict[str, Any]:
    """Return the update that takes a question off a ticket; it touches nothing else, so it needs no condition."""
    fields = [{"id": number(text_field), "value": None}] if text_field else []
    return {"custom_fields": fields, "metadata": {METADATA: marker}}


def take_back_body(write: Write, row: Mapping[str, Any], text_field: str | None) -> dict[str, Any]:
    """Return the update that takes back a question which no trigger took, from the ticket's JSON."""
    gone = {*ASK_TAGS, mark_of(write)}  # without our mark it can be asked again
    tags = [tag for tag in row.get("tags") or () if tag not in gone]
    return blank_body(write.effect.marker, text_field) | {"tags": tags} | _condition(row.get("updated_at"))


def follow_up_body(write: Write, text_field: str | None = None) -> dict[str, Any]:
    """Return the `ticket` object of a follow-up; tags are given, because those of the closed ticket are inherited."""
    ticket, change = write.ticket, write.change
    if write.question and change.assignee_id is None:  # nothing is solved without an assignee
        change = replace(change, assignee_id=ticket.assignee_id, group_id=ticket.group_id)
    inherited = [tag for tag in ticket.tags if not tag.startswith(_OUR_TAGS)]
    tags = [*inherited, *change.add_tags, *_question_tags(write), mark_of(write)]
    body = _placed(change) | {
        "subject": ticket.subject,
        "external_id": write.effect.marker,
        "tags": list(dict.fromkeys(tags)),
        "comment": _private(write),  # first and private, so that no "request received" mail goes out
    }
    if write.question:
        body["status"] = "solved"
    if ticket.status is Status.CLOSED:  # only a closed ticket can be named as the source
        body["via_followup_source_id"] = number(ticket.ticket_id)
    if ticket.requester:
        body["requester_id"] = number(ticket.requester.requester_id)
    return body | _question_text(write, text_field)


def mark_of(write: Write) -> str:
    """Return the tag that the ticket carries when this write has reached it."""
    return f"{MARKER_TAG}{write.effect.effect_id}"


def number(some_id: str) -> int | str:
    """Return an id as Zendesk writes it."""
    return int(some_id) if some_id.isdigit() else some_id


def _tags(write: Write, added: Sequence[str]) -> list[str]:
    """Return all tags of a ticket after a write: what was ours and only for a while gives way."""
    passing = {*ASK_TAGS, HALF_TAG}
    kept = [tag for tag in write.ticket.tags if not tag.startswith(MARKER_TAG) and tag not in passing]
    return list(dict.fromkeys([*kept, *added, mark_of(write)]))


def _question_tags(write: Write) -> tuple[str, ...]:
    if write.question is None:
        return ()
    return SURVEYED_TAG, ASK_SURVEY_TAG if write.question.adds_survey else ASK_TAG


def _question_text(write: Write, text_field: str | None) -> dict[str, Any]:
    if text_field is None or (write.question is None and SURVEYED_TAG not in write.ticket.tags):
        return {}
    text = write.question.text if write.question else None
    return {"custom_fields": [{"id": number(text_field), "value": text}]}


def _condition(stamp: Any) -> dict[str, Any]:
    return {"safe_update": True, "updated_stamp": stamp}


def _placed(change: Change) -> dict[str, Any]:
    """Return assignee, group and priority; an assignee without the group would drag in that agent's default group."""
    body: dict[str, Any] = {}
    if change.unassign:
        body["assignee_id"] = None
    elif change.assignee_id is not None:
        body["assignee_id"] = number(change.assignee_id)
    if change.group_id is not None:
        body["group_id"] = number(change.group_id)
    if change.priority is not None:
        body["priority"] = change.priority
    return body


def _private(write: Write) -> dict[str, Any]:
    text = f"{write.change.note or ''}\n\nref {write.effect.marker}".strip()
    return {"body": text, "public": False}
