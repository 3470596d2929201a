"""Zendesk: one combined conditional write per ticket, alone or a hundred at once, questions, and follow-up tickets.

Source: the OpenAPI file (tickets, update_many, job statuses) and the article on protecting against ticket update
collisions (read 2026-11-21). What is sent: bodies.py. What an answer means: verdicts.py.

A question takes two updates: the first hands it to the trigger that mails it, the second takes it off the ticket. It is
not documented when the mail is written, so the second waits a little; where it fails, our next write to the ticket does
it. Solving a ticket again takes two as well: a tag says that only the first was made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.connector import Tools
from bridge.errors import CredentialsRefused, HelpdeskError, NotFound, Refused, Throttled, Unreachable
from bridge.model import Accepted, EffectKind, News, Sending, Status, Verdict, Write, Written
from connectors.zendesk.activity import rows_since
from connectors.zendesk.asking import Asker
from connectors.zendesk.bodies import (
    HALF_TAG,
    blank_body,
    follow_up_body,
    mark_of,
    number,
    reopening_body,
    solving_body,
    take_back_body,
    update_body,
)
from connectors.zendesk.marks import made_by, notes_on
from connectors.zendesk.pages import allowed, record
from connectors.zendesk.question import ASK_TAGS, SURVEYED_TAG, TEXT_FIELD
from connectors.zendesk.tickets import TICKETS
from connectors.zendesk.verdicts import failed, row_verdict, unknown, was_asked

UPDATE_MANY = "/api/v2/tickets/update_many"
JOBS = "/api/v2/job_statuses"
BATCH = 100
JOB_WITHIN = 60.0  # seconds that we wait for a job before a later run follows it
MAILED_WITHIN = 10.0  # seconds from the update to the mail that it sets off: UNVERIFIED
_EVER = datetime.min.replace(tzinfo=UTC)
_POLL_FIRST, _POLL_MOST = 0.2, 2.0  # seconds between two looks at a job
_NOT_TAKEN = "no trigger mailed the question; run recovery-bridge setup"
_UNASKED = "the question did not leave yet, and is needed again"
_NOT_TWICE = "nobody can tell whether the question arrived; it is not asked twice"
_TOUCHED = "somebody worked on the ticket after we reopened it; it is left as it is"

log = logging.getLogger("bridge.connectors.zendesk")
Row = Mapping[str, Any]


class Writes:
    """The writes of one account."""

    def __init__(self, tools: Tools, asker: Asker) -> None:
        self._tools = tools
        self._http = tools.http
        self._asker = asker
        self._mailed: list[tuple[str, str]] = []  # ticket and marker of each question that is still on its ticket

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        """Carry out writes; see `Connector.write`."""
        updates = []
        for write in writes:
            if mark_of(write) in write.ticket.tags:
                yield from self._found(write)
            elif self._has_our_note(write):
                yield Written(write.effect.effect_id, Verdict.ADOPTED, "the ticket bears our note already")
            elif _asks(write) and write.question is None:
                yield Written(write.effect.effect_id, Verdict.REFUSED, _UNASKED)
            elif write.effect.kind is EffectKind.FOLLOW_UP:
                yield from self._follow_up(write)
            elif write.question or write.change.solve_again:
                yield from self._ask(write)
            else:
                updates.append(write)
        for batch in batches(updates):
            yield from self._update_one(batch[0]) if len(batch) == 1 else self._update_many(batch)
        self._blank()

    def _field(self, write: Write) -> str | None:
        """Return the id of the field for questions, if this ticket carries one, or carried one before."""
        return self._asker.field_id() if write.question or SURVEYED_TAG in write.ticket.tags else None

    # -------------------------------------------------------------- one ticket
    def _update_one(self, write: Write) -> Iterator[News]:
        body = update_body(write, self._field(write))
        yield Sending((write.effect.effect_id,))
        yield self._landed(write, self._put(write, body))

    def _put(self, write: Write, body: Row) -> Row | Written:
        """Send one update; returns the ticket as it is now, or what went wrong."""
        try:
            answer = self._http.write("PUT", _path(write.ticket.ticket_id), {"ticket": body})
        except HelpdeskError as exc:
            return failed(write, exc)
        ticket = answer.get("ticket") if isinstance(answer, Mapping) else None
        if isinstance(ticket, Mapping) and mark_of(write) in _tags(ticket):
            return ticket
        # a 200 may also mean that nothing was understood and nothing done
        return unknown(write, "the answer does not show our tag")

    def _found(self, write: Write) -> Iterator[News]:
        """Tell what became of a write whose tag the ticket carries, and finish it."""
        tags = set(write.ticket.tags)
        if HALF_TAG in tags:
            yield from self._resume(write)
        elif _asks(write) and tags & ASK_TAGS:
            yield Sending((write.effect.effect_id,))
            yield self._take_back(write, write.ticket.ticket_id)
        else:
            if _asks(write):
                self._mailed.append((write.ticket.ticket_id, write.effect.marker))
            yield Written(write.effect.effect_id, Verdict.ADOPTED, "the ticket carries our tag already")

    def _has_our_note(self, write: Write) -> bool:
        """Look for the note of a write that may have been sent: its tag may have given way to a later one of ours."""
        if not write.repeat or write.change.note is None or write.effect.kind is EffectKind.FOLLOW_UP:
            return False
        with suppress(NotFound):
            return write.effect.marker in notes_on(self._http, write.ticket.ticket_id)
        return False

    # -------------------------------------------------------------- questions
    def _ask(self, write: Write) -> Iterator[News]:
        """Send a question, or solve a ticket again, or both; on one that is not solved, there is only the question."""
        field = self._field(write)
        if write.question and field is None:
            yield self._no_field(write)
            return
        if write.question and write.repeat and SURVEYED_TAG in write.ticket.tags and self._was_asked(write):
            yield Written(write.effect.effect_id, Verdict.REFUSED, _NOT_TWICE, may_have_arrived=True)
            return
        yield Sending((write.effect.effect_id,))
        if not (write.change.solve_again and write.ticket.status is Status.SOLVED):
            yield self._landed(write, self._put(write, update_body(write, field)))
            return
        opened = self._put(write, reopening_body(write, field))
        yield opened if isinstance(opened, Written) else self._solve_again(write, opened)

    def _solve_again(self, write: Write, opened: Row) -> Written:
        """Make the second update, as a ticket of which the first left *opened*."""
        holder = write.ticket.assignee_id or write.effect.seen_assignee_id
        change, ticket = write.change, write.ticket
        if opened.get("assignee_id") is None and change.assignee_id is None:  # a trigger took the ticket from its agent
            change = replace(change, assignee_id=holder, group_id=ticket.group_id)
        stamp, tags = str(opened.get("updated_at")), tuple(_tags(opened))
        now = replace(write, change=change, ticket=replace(ticket, status=Status.OPEN, stamp=stamp, tags=tags))
        try:
            solved = self._put(now, solving_body(now, self._field(now)))
        except (Throttled, CredentialsRefused) as exc:  # the first was carried out
            return unknown(write, str(exc))
        if not isinstance(solved, Written) and HALF_TAG in _tags(solved):
            return unknown(write, "the answer does not show that the ticket is solved again")
        return self._landed(now, solved)

    def _resume(self, write: Write) -> Iterator[News]:
        """Go on where an earlier run reopened a ticket to solve it again, if nobody touched it since."""
        ticket = write.ticket
        if ticket.status in (Status.SOLVED, Status.CLOSED) or not self._is_untouched(write):
            yield Written(write.effect.effect_id, Verdict.REFUSED, _TOUCHED)
        elif _asks(write) and write.question is None:
            yield Written(write.effect.effect_id, Verdict.REFUSED, _UNASKED)
        elif write.question and self._field(write) is None:
            yield self._no_field(write)
        else:
            yield Sending((write.effect.effect_id,))
            opened = {"tags": ticket.tags, "updated_at": ticket.stamp, "assignee_id": ticket.assignee_id}
            yield self._solve_again(write, opened)

    def _is_untouched(self, write: Write) -> bool:
        """True if the newest audit of a ticket is that of our first update; False also where we may not read it."""
        audits = self._audits(write, write.ticket.updated_at - timedelta(seconds=5)) or [{}]
        return any(mark_of(write) in (event.get("value") or ()) for event in audits[-1].get("events") or ())

    def _was_asked(self, write: Write) -> bool:
        """True if this question stood on the ticket and was not taken back; True also where we may not read that."""
        audits = self._audits(write, _EVER)
        return audits is None or was_asked(audits, write)

    def _audits(self, write: Write, since: datetime) -> list[Row] | None:
        """Return the history of a ticket, oldest first; None where we may not read it."""
        path = f"{_path(write.ticket.ticket_id)}/audits"
        try:
            audits = allowed(lambda: list(rows_since(self._http, path, "audits", since)))
        except NotFound:
            return None
        if audits is None:
            return None
        return sorted(audits, key=lambda audit: (str(audit.get("created_at")), audit.get("id")))

    def _landed(self, write: Write, row: Row | Written, new_id: str | None = None) -> Written:
        """Tell what became of an update or of a new ticket; a question still there was taken by no trigger."""
        if isinstance(row, Written):
            return row
        if write.question is None:
            return Written(write.effect.effect_id, Verdict.APPLIED, ticket_id=new_id)
        ticket_id = new_id or write.ticket.ticket_id
        if ASK_TAGS & set(_tags(row)):
            return self._take_back(write, ticket_id, new_id)
        self._mailed.append((ticket_id, write.effect.marker))
        return Written(write.effect.effect_id, Verdict.APPLIED, ticket_id=new_id)

    def _take_back(self, write: Write, ticket_id: str, new_id: str | None = None) -> Written:
        """Look once more, as an answer may be older than its triggers, and take off what none of them took."""
        path = _path(ticket_id)
        try:
            row = record(self._http, path, self._http.read(path)).get("ticket") or {}
            field = self._asker.field_id()
            if not ASK_TAGS & set(_tags(row)):
                self._mailed.append((ticket_id, write.effect.marker))
                return Written(write.effect.effect_id, Verdict.APPLIED, ticket_id=new_id)
            if row.get("status") != "closed":  # nothing can be taken off a closed one, nor will a trigger run there
                self._http.write("PUT", path, {"ticket": take_back_body(write, row, field)})
        except HelpdeskError as exc:
            return unknown(write, f"{type(exc).__name__} when looking whether the question was mailed")
        self._asker.forget()
        return Written(write.effect.effect_id, Verdict.REFUSED, _NOT_TAKEN, ticket_id=new_id)

    def _no_field(self, write: Write) -> Written:
        self._asker.forget()
        why = f"ticket field {TEXT_FIELD!r} is missing; run recovery-bridge setup"
        return Written(write.effect.effect_id, Verdict.REFUSED, why)

    def _blank(self) -> None:
        """Take the questions off their tickets once they have been mailed."""
        mailed, self._mailed = self._mailed, []
        if mailed:
            self._tools.sleep(MAILED_WITHIN)
        for ticket_id, marker in mailed:
            try:
                if field := self._asker.field_id():
                    self._http.write("PUT", _path(ticket_id), {"ticket": blank_body(marker, field)})
            except HelpdeskError as exc:
                what = "the question stays on its ticket until our next write (%s)"
                log.warning(what, type(exc).__name__, extra={"account": self._http.account, "ticket_id": ticket_id})

    # -------------------------------------------------------------- many tickets
    def _update_many(self, batch: Sequence[Write]) -> Iterator[News]:
        effect_ids = tuple(write.effect.effect_id for write in batch)
        bodies = [{"id": number(one.ticket.ticket_id), **update_body(one, self._field(one))} for one in batch]
        yield Sending(effect_ids)
        try:
            job = _job_id(self._http.write("PUT", UPDATE_MANY, {"tickets": bodies}))
        except Refused as exc:
            if exc.says("TooManyJobs"):
                raise Throttled(str(exc), until=self._tools.now() + timedelta(minutes=1)) from exc
            for write in batch:  # nothing was done; one ticket must not stop the others
                yield from self._update_one(write)
            return
        except Unreachable as exc:
            yield from (failed(write, exc) for write in batch)
            return
        if job is None:
            yield from (unknown(write, "the answer names no job") for write in batch)
            return
        yield Accepted(effect_ids, job)
        yield from self.follow(job, batch)

    def follow(self, job: str, writes: Sequence[Write]) -> Iterator[Written]:
        """Wait for a job and tell what became of each write; UNKNOWN for what the job does not tell."""
        try:
            status = self._wait(job)
        except HelpdeskError as exc:
            yield from (unknown(write, str(exc)) for write in writes)
            return
        results = {str(row.get("id")): row for row in _rows(status)}
        for write in writes:
            row = results.get(write.ticket.ticket_id)
            if row is None:
                yield unknown(write, f"job {job} is {status.get('status')} and does not tell")
            else:
                yield Written(write.effect.effect_id, *row_verdict(row))

    def _wait(self, job: str) -> Mapping[str, Any]:
        """Look at a job until it has ended or we have waited long enough."""
        waited, pause = 0.0, _POLL_FIRST
        while True:
            answer = self._http.read(f"{JOBS}/{job}")
            status = answer.get("job_status") if isinstance(answer, Mapping) else None
            status = status if isinstance(status, Mapping) else {}
            if status.get("status") not in ("queued", "working") or waited >= JOB_WITHIN:
                return status
            self._tools.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, _POLL_MOST)

    # -------------------------------------------------------------- follow-up tickets
    def _follow_up(self, write: Write) -> Iterator[News]:
        if write.repeat and (made := self._existing(write)):
            yield from self._continued(write, made)
            return
        field = self._field(write)
        if write.question and field is None:
            yield self._no_field(write)
            return
        yield Sending((write.effect.effect_id,))
        body, key = {"ticket": follow_up_body(write, field)}, {"Idempotency-Key": write.effect.marker}
        try:
            answer = self._http.write("POST", TICKETS, body, headers=key)
        except HelpdeskError as exc:
            yield from self._not_created(write, exc)
            return
        ticket = answer.get("ticket") if isinstance(answer, Mapping) else None
        if isinstance(ticket, Mapping) and ticket.get("external_id") == write.effect.marker and ticket.get("id"):
            yield self._landed(write, ticket, str(ticket["id"]))
        else:
            yield unknown(write, "the answer does not show our new ticket")

    def _not_created(self, write: Write, exc: HelpdeskError) -> Iterator[News]:
        made = None
        if isinstance(exc, Refused) and exc.says("Idempotent"):
            try:  # the key was used with another body: the ticket was created by an earlier try
                made = self._existing(write)
            except HelpdeskError as trouble:
                yield unknown(write, str(trouble))
                return
        if made:
            yield from self._continued(write, made)
        else:
            yield failed(write, exc)

    def _existing(self, write: Write) -> Row | None:
        """Look for the follow-up ticket of an earlier try."""
        return next(iter(made_by(self._http, write.effect.marker)), None)

    def _continued(self, write: Write, row: Row) -> Iterator[News]:
        """Tell what became of a follow-up ticket that was made before, and of the question on it."""
        tags, new_id, effect_id = set(_tags(row)), str(row["id"]), write.effect.effect_id
        if _asks(write) and tags & ASK_TAGS:
            yield Sending((effect_id,))
            yield self._take_back(write, new_id, new_id)
        elif _asks(write) and mark_of(write) not in tags:
            yield Written(effect_id, Verdict.REFUSED, _NOT_TAKEN, ticket_id=new_id)
        else:
            if _asks(write):
                self._mailed.append((new_id, write.effect.marker))
            yield Written(effect_id, Verdict.ADOPTED, "the follow-up ticket exists already", ticket_id=new_id)


def _asks(write: Write) -> bool:
    return write.question is not None or write.effect.way is not None


def _path(ticket_id: str) -> str:
    return f"{TICKETS}/{ticket_id}"


def _tags(row: Row) -> Sequence[str]:
    return row.get("tags") or ()


def batches(writes: Sequence[Write]) -> list[list[Write]]:
    """Split writes into batches of at most 100 in which no ticket comes twice; the order per ticket stays."""
    found: list[list[Write]] = []
    first: dict[str, int] = {}  # ticket -> the first batch that may take its next write
    for write in writes:
        ticket_id = write.ticket.ticket_id
        place = first.get(ticket_id, 0)
        while place < len(found) and len(found[place]) >= BATCH:
            place += 1
        if place == len(found):
            found.append([])
        found[place].append(write)
        first[ticket_id] = place + 1
    return found


def _job_id(answer: Any) -> str | None:
    status = answer.get("job_status") if isinstance(answer, Mapping) else None
    return str(status["id"]) if isinstance(status, Mapping) and status.get("id") else None


def _rows(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    results = status.get("results")
    return [row for row in results if isinstance(row, Mapping)] if isinstance(results, list) else []
