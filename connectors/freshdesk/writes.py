"""Writing to tickets: one PUT with the fields and the marker, then the private note.

Freshdesk has no conditional write, so what may have been sent before is looked for first: the PUT by the marker field
or by its values, the note by the `ref sr-...` at its end. Errors: developers.freshdesk.com/api (read 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from html import escape
from typing import Any

from bridge.connector import Tools
from bridge.errors import BadRecord, Conflict, CredentialsRefused, HelpdeskError, NotFound, Refused, Throttled
from bridge.model import Effect, EffectKind, News, Sending, Status, Ticket, Verdict, Write, Written
from connectors.freshdesk import asking, fields, questions
from connectors.freshdesk.api import UNREADABLE, Api, as_text, moment
from connectors.freshdesk.automations import ASKING_TAGS, SURVEYED_TAG
from connectors.freshdesk.fields import MARKER, SURVEY_TEXT
from connectors.freshdesk.tickets import PRIORITIES, Tickets

OPEN, RESOLVED = 2, 4
PORTAL = 2  # the API's default; 10 would mail the text to the customer, 1 would pretend that they had written it
LOW = 1
PRIORITY_CODES = {word: code for code, word in PRIORITIES.items()}
LOOK_BACK = timedelta(days=30)  # for a follow-up ticket that may have been created before
SETTLES_WITHIN = timedelta(minutes=1)  # rules and clocks of the account that run when we reopen a ticket
CONTROL = {code: None for code in (*range(32), 127) if chr(code) not in "\n\t"}
LINK = re.compile(r"https?://\S+")
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
            elif not_now := _where_it_stands(write) or self._cannot_ask(write):
                yield not_now
            elif write.change.solve_again and _can_be_solved_again(write):
                yield from self._solve_again(write)
            else:
                yield from self._update(write)

    def follow(self, job: str, writes: Sequence[Write]) -> Iterator[News]:
        """Say UNKNOWN for every write: no job was ever started."""
        for write in writes:
            yield _written(write, Verdict.UNKNOWN, f"Freshdesk knows no job {job}")

    # -------------------------------------------------------------- an existing ticket
    def _update(self, write: Write) -> Iterator[News]:
        body = {} if _is_done(write) else self._body(write)
        note_is_due = self._note_is_due(write, write.ticket.ticket_id)
        if body:
            yield Sending((write.effect.effect_id,))
            answer = self._put(write, body)
            if isinstance(answer, Written):
                yield answer
                return
        yield from self._finish(write, note_is_due=note_is_due, has_written=bool(body))

    def _finish(self, write: Write, *, note_is_due: bool, has_written: bool) -> Iterator[News]:
        if note_is_due:
            yield Sending((write.effect.effect_id,))
            yield self._post_note(write, write.ticket.ticket_id, is_half_done=has_written or write.repeat)
        elif has_written or not write.repeat:
            yield _written(write, Verdict.APPLIED)
        else:
            yield _written(write, Verdict.ADOPTED, "found on the ticket")

    def _body(self, write: Write, **more: Any) -> dict[str, Any]:
        """Return the body of a PUT: only what differs from the ticket as it was read, with the marker; or empty."""
        body = _differing(write) | more
        memory = self.tools.memory
        if not (body or write.question):
            return {}
        own: dict[str, str | None] = {}
        if write.question:
            own[SURVEY_TEXT.name] = questions.plain(write.question)
        if fields.is_there(MARKER, self.api, memory):
            own[MARKER.name] = write.effect.marker
        if questions.is_left_over(write) and fields.is_there(SURVEY_TEXT, self.api, memory):
            own[SURVEY_TEXT.name] = None
        return body | ({"custom_fields": own} if own else {})

    def _put(self, write: Write, body: dict[str, Any]) -> dict[str, Any] | Written:
        """Send the fields; returns the ticket as the answer shows it, or what stands in the way."""
        try:
            answer = vars(self.api.library.tickets.update_ticket(int(write.ticket.ticket_id), **body))
        except (Throttled, CredentialsRefused):
            raise  # nothing was done
        except Refused as no:
            return self._refused(write, no)
        except (HelpdeskError, *UNREADABLE) as exc:
            return _unknown(write, exc)
        return _not_done(write, body, answer) or answer

    def _refused(self, write: Write, no: Refused) -> Written:
        memory = self.tools.memory
        if isinstance(no, NotFound) or no.status == METHOD_NOT_ALLOWED:
            return self._gone_or_archived(write, no)
        if isinstance(no, Conflict):
            return _written(write, Verdict.CONFLICT, str(no))
        if no.says(SURVEY_TEXT.name):  # its words may quote the text: they stay out
            memory.remember(SURVEY_TEXT.remembered_as, None)
            asking.forget(memory)
            why = f"Freshdesk does not take the field {SURVEY_TEXT.name}; run `recovery-bridge setup`"
            return _written(write, Verdict.REFUSED if write.question else Verdict.CONFLICT, why)
        if no.says(MARKER.name):  # somebody removed the field: read and decide again, without it
            memory.remember(MARKER.remembered_as, False)
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

    # -------------------------------------------------------------- a question
    def _cannot_ask(self, write: Write) -> Written | None:
        """Return why a customer cannot be asked, or a ticket not solved again, without the risk of doing it twice."""
        if _is_done(write) or not (write.question or write.change.solve_again):
            return None
        for field in (MARKER, SURVEY_TEXT) if write.question else (MARKER,):
            if not fields.is_there(field, self.api, self.tools.memory):
                why = f"without the field {field.name} a customer could be asked twice, or not; run setup"
                return _written(write, Verdict.REFUSED, why)
        against = questions.objection(write)
        if against is None:
            return None
        return replace(_written(write, Verdict.REFUSED, against), may_have_arrived=write.repeat)

    # -------------------------------------------------------------- reopened and solved again
    def _solve_again(self, write: Write) -> Iterator[News]:
        """Reopen a solved ticket and solve it again, the second only if nobody touched it since the first.

        The first PUT leaves the marker with `-reopened` behind it, by which it is known again after a crash.
        """
        note_is_due = self._note_is_due(write, write.ticket.ticket_id)
        ticket = self.tickets.read(write.ticket.ticket_id)
        reopened_at = None
        if ticket.marker != questions.half_done(write):
            if not_now := _where_it_stands(replace(write, ticket=ticket)) or _changed(write, ticket):
                yield not_now
                return
            yield Sending((write.effect.effect_id,))
            marked = {MARKER.name: questions.half_done(write)}
            answer = self._put(write, {"status": OPEN, "custom_fields": marked})
            if isinstance(answer, Written):
                yield answer
                return
            reopened_at = self.tickets._read_at()
        yield Sending((write.effect.effect_id,))
        body = self._second_half(write, ticket, reopened_at)
        if isinstance(body, Written):
            yield body
            return
        if trouble := self._put_second(write, body):
            yield trouble
            return
        yield from self._finish(write, note_is_due=note_is_due, has_written=True)

    def _second_half(self, write: Write, before: Ticket, reopened_at: datetime | None) -> dict[str, Any] | Written:
        """Read the reopened ticket and return what solves it again, or why that is left to people."""
        ticket_id = before.ticket_id
        try:
            row = self.api.read(f"tickets/{ticket_id}", {"include": "stats"})
            now = self.tickets._ticket(ticket_id, row)
            holder = before.assignee_id if reopened_at else write.effect.seen_assignee_id  # who held it when solved
            if now.status is not Status.SOLVED and (touched := self._touched(now, holder, row, reopened_at)):
                why = (
                    f"ticket {ticket_id} was reopened to ask again, and then {touched}; nobody was asked, it stays open"
                )
                return _written(write, Verdict.REFUSED, why)
        except (HelpdeskError, BadRecord, *UNREADABLE) as exc:
            return _unknown(write, exc, f"ticket {ticket_id} is reopened and not solved again: ")
        change = replace(write.change, reopen=False)
        return self._body(replace(write, ticket=now, change=change), status=RESOLVED)

    def _touched(
        self, now: Ticket, holder: str | None, row: dict[str, Any], reopened_at: datetime | None
    ) -> str | None:
        """Return what happened to a ticket since we reopened it; None for nothing but that."""
        if now.status is not Status.OPEN:
            return f"became {now.status}"
        if now.assignee_id != holder:
            return "got another assignee"
        told = (row.get("stats") or {}).get("reopened_at")
        since = reopened_at or (moment(told) if told else None)
        if since is None or now.updated_at - since > SETTLES_WITHIN:
            return "may have been worked on"
        if now.updated_at <= since:
            return None
        talks = self.api.rows(f"tickets/{now.ticket_id}/conversations")
        return "was written on" if any(moment(talk["created_at"]) > since for talk in talks) else None

    def _put_second(self, write: Write, body: dict[str, Any]) -> Written | None:
        try:
            answer = self._put(write, body)
        except (Throttled, CredentialsRefused) as exc:
            return _unknown(write, exc, f"ticket {write.ticket.ticket_id} is reopened and not solved again: ")
        if isinstance(answer, Written) and answer.verdict in (Verdict.REFUSED, Verdict.BAD_ASSIGNEE):
            why = f"{answer.why}; the ticket is open now: fill what is missing, and resolve it"
            return _written(write, Verdict.REFUSED, why)
        return answer if isinstance(answer, Written) else None

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
            return _unknown(write, exc, "the fields are written, the note is not: ", new_ticket)
        except (HelpdeskError, *UNREADABLE) as exc:
            return _unknown(write, exc, ticket_id=new_ticket)
        return _written(write, Verdict.APPLIED, ticket_id=new_ticket)

    # -------------------------------------------------------------- a new ticket
    def _follow_up(self, write: Write) -> Iterator[News]:
        """Create a ticket that continues an archived one; the account may mail "request received" to its requester."""
        if write.ticket.requester is None:
            yield _written(write, Verdict.REFUSED, f"ticket {write.ticket.ticket_id} has no requester to write to")
            return
        if not fields.is_there(MARKER, self.api, self.tools.memory):
            why = f"without the field {MARKER.name} a new ticket could be created twice; run setup"
            yield _written(write, Verdict.REFUSED, why)
            return
        if refusal := self._cannot_ask(replace(write, repeat=False, ticket=replace(write.ticket, tags=()))):
            yield refusal
            return
        ticket_id = next(self.made_by(write.effect, write.ticket), None) if write.repeat else None
        was_there = ticket_id is not None
        if ticket_id is None:
            yield Sending((write.effect.effect_id,))
            made = self._create(write)
            if made.verdict is not Verdict.APPLIED or made.ticket_id is None:
                yield made
                return
            ticket_id = made.ticket_id
        yield from self._complete(write, ticket_id, was_there=was_there)

    def _complete(self, write: Write, ticket_id: str, *, was_there: bool) -> Iterator[News]:
        """Add to a new ticket what cannot come with it: the note, and the question."""
        if self._note_is_due(write, ticket_id):
            yield Sending((write.effect.effect_id,))
            noted = self._post_note(write, ticket_id, is_half_done=True, new_ticket=ticket_id)
            if noted.verdict is not Verdict.APPLIED or not write.question:
                yield noted
                return
            was_there = False
        if write.question:
            yield from self._ask_on_new(write, ticket_id, was_there=was_there)
        else:
            yield _written(write, Verdict.ADOPTED if was_there else Verdict.APPLIED, ticket_id=ticket_id)

    def _ask_on_new(self, write: Write, ticket_id: str, *, was_there: bool) -> Iterator[News]:
        """Hand over the question: rules for ticket updates do not see the tags with which a ticket begins."""
        yield Sending((write.effect.effect_id,))
        try:
            ticket = self.tickets.read(ticket_id)
            if SURVEYED_TAG in ticket.tags:
                yield _written(write, Verdict.ADOPTED if was_there else Verdict.APPLIED, ticket_id=ticket_id)
                return
            change = replace(write.change, assignee_id=None, group_id=None, unassign=False, priority=None)
            on_new = replace(write, ticket=ticket, change=change)
            answer = self._put(on_new, self._body(on_new))
        except (HelpdeskError, BadRecord) as exc:
            yield _unknown(write, exc, "the new ticket is there, the question is not: ", ticket_id)
            return
        asked = answer if isinstance(answer, Written) else _written(write, Verdict.APPLIED)
        yield replace(asked, ticket_id=ticket_id)

    def _create(self, write: Write) -> Written:
        body = _new_ticket(write)
        try:
            made = self.api.library.tickets.create_ticket(body.pop("subject"), **body)
        except (Throttled, CredentialsRefused):
            raise  # nothing was done
        except Refused as no:
            is_assignee = no.says("responder_id") or no.says("group_id")
            return _written(write, Verdict.BAD_ASSIGNEE if is_assignee else Verdict.REFUSED, str(no))
        except (HelpdeskError, *UNREADABLE) as exc:
            return _unknown(write, exc)
        return _written(write, Verdict.APPLIED, ticket_id=str(made.id))

    def made_by(self, effect: Effect, ticket: Ticket) -> Iterator[str]:
        """Yield the new tickets of this requester that an earlier attempt of the effect made."""
        if ticket.requester is None:
            return
        since = as_text(self.tools.now() - LOOK_BACK)
        rows = self.api.rows("tickets", {"requester_id": ticket.requester.requester_id, "updated_since": since})
        yield from (str(row["id"]) for row in rows if _marker_of(row) == effect.marker)


def _where_it_stands(write: Write) -> Written | None:
    """Return that a ticket cannot be written to, where that is so."""
    status = write.ticket.status
    if not (status.is_locked or status.is_gone):
        return None
    verdict = Verdict.LOCKED if status.is_locked else Verdict.GONE
    return _written(write, verdict, f"ticket {write.ticket.ticket_id} is {status}")


def _is_done(write: Write) -> bool:
    """Return whether the PUT has happened: after a lost answer, its marker tells."""
    return write.repeat and write.ticket.marker == write.effect.marker


def _can_be_solved_again(write: Write) -> bool:
    """Return whether it is solved, or was until we reopened it; on any other ticket there is only the question."""
    if _is_done(write):
        return False
    return write.ticket.status is Status.SOLVED or write.ticket.marker == questions.half_done(write)


def _changed(write: Write, ticket: Ticket) -> Written | None:
    """Return that a ticket is not the solved one any more that was to be solved again."""
    if ticket.status is Status.SOLVED and ticket.updated_at == write.ticket.updated_at:
        return None
    return _written(write, Verdict.CONFLICT, f"ticket {ticket.ticket_id} changed since it was read")


def _differing(write: Write) -> dict[str, Any]:
    """Return the fields that the ticket does not have as wanted, in the words of the API."""
    change, ticket = write.change, write.ticket
    body: dict[str, Any] = {}
    if (tags := questions.tags(write)) is not None:
        body["tags"] = tags
    assignee = None if change.unassign else change.assignee_id or ticket.assignee_id
    group = change.group_id or ticket.group_id
    if (assignee, group) != (ticket.assignee_id, ticket.group_id):
        if change.assignee_id or change.unassign:
            body["responder_id"] = _number(assignee)
        if group:  # always beside the responder: whether one outside the group is taken depends on the account
            body["group_id"] = _number(group)
    if change.reopen and ticket.status in (Status.SOLVED, Status.CLOSED):
        body["status"] = OPEN
    if change.priority and change.priority != ticket.priority:
        body["priority"] = PRIORITY_CODES[change.priority]
    return body


def _new_ticket(write: Write) -> dict[str, Any]:
    change, ticket = write.change, write.ticket
    priority = change.priority or ticket.priority
    body = {
        "subject": f"Follow-up to ticket {ticket.ticket_id}: {ticket.subject}"[:255],
        "description": f"This continues ticket {ticket.ticket_id}, which can no longer be answered.",
        "requester_id": _number(ticket.requester.requester_id if ticket.requester else None),
        "status": RESOLVED if write.question else OPEN,
        "priority": PRIORITY_CODES[priority] if priority else LOW,
        "source": PORTAL,
        "tags": [tag for tag in change.add_tags if not (write.question and tag == SURVEYED_TAG)],  # comes with it
        "group_id": _number(change.group_id),
        "responder_id": _number(None if change.unassign else change.assignee_id),
        "custom_fields": {MARKER.name: write.effect.marker},
    }
    return {name: value for name, value in body.items() if value not in (None, [])}


def _not_done(write: Write, body: dict[str, Any], answer: dict[str, Any]) -> Written | None:
    """Return a refusal if the answer to a PUT, a 200, shows that something was left as it was."""
    shown = {name.removeprefix("_"): value for name, value in answer.items()}  # the library renames status and priority
    asked = {name: value for name, value in body.items() if name in shown and name != "custom_fields"}
    missed = [name for name, value in asked.items() if not _is_set(value, shown[name])]
    if not missed:
        return None
    why = f"Freshdesk said yes but did not set {', '.join(missed)}"
    is_assignee = bool({"responder_id", "group_id"} & set(missed))
    return _written(write, Verdict.BAD_ASSIGNEE if is_assignee else Verdict.REFUSED, why)


def _is_set(wanted: Any, got: Any) -> bool:
    if not isinstance(wanted, list):
        return bool(wanted == got)
    lasting = [tag for tag in wanted if tag not in ASKING_TAGS]  # a rule may have taken these away already
    return not questions.missing(lasting, got or ())


def _html(write: Write) -> str:
    """Return the note as inert HTML: no markup, no placeholders, no control characters; our reference at its end."""
    text = escape((write.change.note or "").translate(CONTROL)).replace("{", "&#123;")
    return f"{text}\n\n{_ref(write)}".replace("\n", "<br>")


def _ref(write: Write) -> str:
    return f"ref {write.effect.marker}"


def _marker_of(row: dict[str, Any]) -> Any:
    return (row.get("custom_fields") or {}).get(MARKER.name)


def _number(some_id: str | None) -> int | None:
    return None if some_id is None else int(some_id)


def _unknown(write: Write, exc: Exception, what: str = "", ticket_id: str | None = None) -> Written:
    """Say that nobody knows; what an unreadable answer holds stays out of the words."""
    said = str(exc) if isinstance(exc, (HelpdeskError, BadRecord)) else "an answer that cannot be read"
    return _written(write, Verdict.UNKNOWN, f"{what}{type(exc).__name__}: {said}", ticket_id)


def _written(write: Write, verdict: Verdict, why: str = "", ticket_id: str | None = None) -> Written:
    why = LINK.sub("***", why) if write.question else why  # the helpdesk's own words might quote the text
    return Written(write.effect.effect_id, verdict, why, ticket_id)
