"""Writing to tickets: one PUT with the fields and the marker, then the private note.

Freshdesk has no conditional write, so what may have been sent before is looked for first: the PUT by the marker field
or by its values, the note by the `ref sr-...` at its end. Errors: developers.freshdesk.com/api (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from html import escape
from typing import Any

from bridge.connector import Tools
from bridge.errors import Conflict, CredentialsRefused, HelpdeskError, NotFound, Refused, Throttled
from bridge.model import EffectKind, News, Sending, Status, Verdict, Write, Written
from connectors.freshdesk import marker
from connectors.freshdesk.api import UNREADABLE, Api, as_text
from connectors.freshdesk.tickets import PRIORITIES, Tickets

OPEN = 2
PORTAL = 2  # the API's default; 10 would mail the text to the customer, 1 would pretend that they had written it
LOW = 1
PRIORITY_CODES = {word: code for code, word in PRIORITIES.items()}
LOOK_BACK = timedelta(days=30)  # for a follow-up ticket that may have been created before
CONTROL = {code: None for code in (*range(32), 127) if chr(code) not in "\n\t"}
METHOD_NOT_ALLOWED = 405  # also: the ticket is spam or deleted


class Writer:
    """Carries out the writes of one account, one after the other."""

    def __init__(self, api: Api, tools: Tools, tickets: Tickets) -> None:
        self.api = api
        self.tools = tools
        self.tickets = tickets

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        """Carry out writes; yields Sending before each request and one Written for each write."""
        for write in writes:
            if write.effect.kind is EffectKind.FOLLOW_UP:
                yield from self._follow_up(write)
            else:
                yield from self._update(write)

    def follow(self, job: str, writes: Sequence[Write]) -> Iterator[News]:
        """Say UNKNOWN for every write: no job was ever started."""
        for write in writes:
            yield _written(write, Verdict.UNKNOWN, f"Freshdesk knows no job {job}")

    # -------------------------------------------------------------- an existing ticket
    def _update(self, write: Write) -> Iterator[News]:
        ticket_id = write.ticket.ticket_id
        if write.ticket.status.is_locked or write.ticket.status.is_gone:
            verdict = Verdict.LOCKED if write.ticket.status.is_locked else Verdict.GONE
            yield _written(write, verdict, f"ticket {ticket_id} is {write.ticket.status}")
            return
        fields = self._changes(write)
        note_is_due = self._note_is_due(write, ticket_id)
        if fields:
            yield Sending((write.effect.effect_id,))
            if refusal := self._put(write, fields):
                yield refusal
                return
        if note_is_due:
            yield Sending((write.effect.effect_id,))
            yield self._post_note(write, ticket_id, is_half_done=bool(fields) or write.repeat)
        elif fields or not write.repeat:
            yield _written(write, Verdict.APPLIED)
        else:
            yield _written(write, Verdict.ADOPTED, "found on the ticket")

    def _changes(self, write: Write) -> dict[str, Any]:
        """Return the body of the PUT: only what differs from the ticket as it was read; empty if it has happened."""
        if write.repeat and write.ticket.marker == write.effect.marker:
            return {}
        fields = _differing(write)
        if fields and marker.is_there(self.api, self.tools.memory):
            fields["custom_fields"] = {marker.MARKER_FIELD: write.effect.marker}
        return fields

    def _put(self, write: Write, fields: dict[str, Any]) -> Written | None:
        """Send the fields; returns what stands in the way of the note, or None."""
        try:
            answer = vars(self.api.library.tickets.update_ticket(int(write.ticket.ticket_id), **fields))
        except (Throttled, CredentialsRefused):
            raise  # nothing was done
        except Refused as no:
            return self._refused(write, no)
        except (HelpdeskError, *UNREADABLE) as exc:
            return _written(write, Verdict.UNKNOWN, f"{type(exc).__name__}: {exc}")
        return _not_done(write, fields, answer)

    def _refused(self, write: Write, no: Refused) -> Written:
        if isinstance(no, NotFound) or no.status == METHOD_NOT_ALLOWED:
            return self._gone_or_archived(write, no)
        if isinstance(no, Conflict):
            return _written(write, Verdict.CONFLICT, str(no))
        if no.says(marker.MARKER_FIELD):  # somebody removed the field: read and decide again, without it
            self.tools.memory.remember("marker_field", False)
            return _written(write, Verdict.CONFLICT, str(no))
        if no.says("responder_id") or no.says("group_id"):
            return _written(write, Verdict.BAD_ASSIGNEE, str(no))
        return _written(write, Verdict.REFUSED, str(no))

    def _gone_or_archived(self, write: Write, no: Refused) -> Written:
        try:
            is_archived = self.tickets.read(write.ticket.ticket_id).status is Status.ARCHIVED
        except HelpdeskError:
            is_archived = False
        return _written(write, Verdict.LOCKED if is_archived else Verdict.GONE, str(no))

    # -------------------------------------------------------------- the private note
    def _note_is_due(self, write: Write, ticket_id: str) -> bool:
        """Return whether the note is still to be written; looked for only if it may have been sent before."""
        if write.change.note is None:
            return False
        if not write.repeat:
            return True
        ref = _ref(write)
        notes = self.api.rows(f"tickets/{ticket_id}/conversations")
        return not any(ref in f"{note.get('body_text')} {note.get('body')}" for note in notes)

    def _post_note(self, write: Write, ticket_id: str, *, is_half_done: bool, new_ticket: str | None = None) -> Written:
        try:
            self.api.library.comments.create_note(int(ticket_id), _html(write), private=True)
        except Refused as no:
            is_gone = isinstance(no, NotFound) or no.status == METHOD_NOT_ALLOWED
            verdict = Verdict.GONE if is_gone else Verdict.REFUSED
            return _written(write, verdict, f"the note was refused: {no}", new_ticket)
        except (Throttled, CredentialsRefused) as exc:
            if not is_half_done:
                raise
            return _written(write, Verdict.UNKNOWN, f"the fields are written, the note is not: {exc}", new_ticket)
        except (HelpdeskError, *UNREADABLE) as exc:
            return _written(write, Verdict.UNKNOWN, f"{type(exc).__name__}: {exc}", new_ticket)
        return _written(write, Verdict.APPLIED, ticket_id=new_ticket)

    # -------------------------------------------------------------- a new ticket
    def _follow_up(self, write: Write) -> Iterator[News]:
        """Create a ticket that continues an archived one; the account may mail "request received" to its requester."""
        if write.ticket.requester is None:
            yield _written(write, Verdict.REFUSED, f"ticket {write.ticket.ticket_id} has no requester to write to")
            return
        if not marker.is_there(self.api, self.tools.memory):
            why = f"without the field {marker.MARKER_FIELD} a new ticket could be created twice; run setup"
            yield _written(write, Verdict.REFUSED, why)
            return
        ticket_id = self._follow_up_sent_before(write) if write.repeat else None
        was_there = ticket_id is not None
        if ticket_id is None:
            yield Sending((write.effect.effect_id,))
            made = self._create(write)
            if made.verdict is not Verdict.APPLIED or made.ticket_id is None:
                yield made
                return
            ticket_id = made.ticket_id
        if self._note_is_due(write, ticket_id):
            yield Sending((write.effect.effect_id,))
            yield self._post_note(write, ticket_id, is_half_done=True, new_ticket=ticket_id)
        else:
            yield _written(write, Verdict.ADOPTED if was_there else Verdict.APPLIED, ticket_id=ticket_id)

    def _create(self, write: Write) -> Written:
        fields = _new_ticket(write)
        try:
            made = self.api.library.tickets.create_ticket(fields.pop("subject"), **fields)
        except (Throttled, CredentialsRefused):
            raise  # nothing was done
        except Refused as no:
            is_assignee = no.says("responder_id") or no.says("group_id")
            return _written(write, Verdict.BAD_ASSIGNEE if is_assignee else Verdict.REFUSED, str(no))
        except (HelpdeskError, *UNREADABLE) as exc:
            return _written(write, Verdict.UNKNOWN, f"{type(exc).__name__}: {exc}")
        return _written(write, Verdict.APPLIED, ticket_id=str(made.id))

    def _follow_up_sent_before(self, write: Write) -> str | None:
        requester = write.ticket.requester
        since = as_text(self.tools.now() - LOOK_BACK)
        rows = self.api.rows("tickets", {"requester_id": requester and requester.requester_id, "updated_since": since})
        carries = (row for row in rows if _marker_of(row) == write.effect.marker)
        return next((str(row["id"]) for row in carries), None)


def _differing(write: Write) -> dict[str, Any]:
    """Return the fields that the ticket does not have as wanted, in the words of the API."""
    change, ticket = write.change, write.ticket
    fields: dict[str, Any] = {}
    if tags := _missing_tags(change.add_tags, ticket.tags):
        fields["tags"] = [*ticket.tags, *tags]  # a PUT replaces the list
    assignee = None if change.unassign else change.assignee_id or ticket.assignee_id
    group = change.group_id or ticket.group_id
    if (assignee, group) != (ticket.assignee_id, ticket.group_id):
        if change.assignee_id or change.unassign:
            fields["responder_id"] = _number(assignee)
        if group:  # always beside the responder: whether one outside the group is taken depends on the account
            fields["group_id"] = _number(group)
    if change.reopen and ticket.status in (Status.SOLVED, Status.CLOSED):
        fields["status"] = OPEN
    if change.priority and change.priority != ticket.priority:
        fields["priority"] = PRIORITY_CODES[change.priority]
    return fields


def _missing_tags(wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    known = {tag.casefold() for tag in there}
    return [tag for tag in dict.fromkeys(wanted) if tag.casefold() not in known]


def _new_ticket(write: Write) -> dict[str, Any]:
    change, ticket = write.change, write.ticket
    priority = change.priority or ticket.priority
    fields = {
        "subject": f"Follow-up to ticket {ticket.ticket_id}: {ticket.subject}"[:255],
        "description": f"This continues ticket {ticket.ticket_id}, which can no longer be answered.",
        "requester_id": _number(ticket.requester.requester_id if ticket.requester else None),
        "status": OPEN,
        "priority": PRIORITY_CODES[priority] if priority else LOW,
        "source": PORTAL,
        "tags": list(change.add_tags),
        "group_id": _number(change.group_id),
        "responder_id": _number(None if change.unassign else change.assignee_id),
        "custom_fields": {marker.MARKER_FIELD: write.effect.marker},
    }
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _not_done(write: Write, fields: dict[str, Any], answer: dict[str, Any]) -> Written | None:
    """Return a refusal if the answer to a PUT, a 200, shows that something was left as it was."""
    shown = {name.removeprefix("_"): value for name, value in answer.items()}  # the library renames status and priority
    asked = {name: value for name, value in fields.items() if name in shown and name != "custom_fields"}
    missed = [name for name, value in asked.items() if not _is_set(value, shown[name])]
    if not missed:
        return None
    why = f"Freshdesk said yes but did not set {', '.join(missed)}"
    is_assignee = bool({"responder_id", "group_id"} & set(missed))
    return _written(write, Verdict.BAD_ASSIGNEE if is_assignee else Verdict.REFUSED, why)


def _is_set(wanted: Any, got: Any) -> bool:
    return not _missing_tags(wanted, got or ()) if isinstance(wanted, list) else bool(wanted == got)


def _html(write: Write) -> str:
    """Return the note as inert HTML: no markup, no placeholders, no control characters; our reference at its end."""
    text = escape((write.change.note or "").translate(CONTROL)).replace("{", "&#123;")
    return f"{text}\n\n{_ref(write)}".replace("\n", "<br>")


def _ref(write: Write) -> str:
    return f"ref {write.effect.marker}"


def _marker_of(row: dict[str, Any]) -> Any:
    return (row.get("custom_fields") or {}).get(marker.MARKER_FIELD)


def _number(some_id: str | None) -> int | None:
    return None if some_id is None else int(some_id)


def _written(write: Write, verdict: Verdict, why: str = "", ticket_id: str | None = None) -> Written:
    return Written(write.effect.effect_id, verdict, why, ticket_id)
