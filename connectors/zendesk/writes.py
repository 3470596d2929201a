"""Zendesk: one combined conditional write per ticket, alone or a hundred at once, and follow-up tickets.

Source: the OpenAPI file (tickets, update_many, job statuses) and the article on protecting against ticket update
collisions (read 2026-11-21). Every write carries a tag `sr_ref_<effect id>`, so that it can be recognised after a lost
answer; tags replace the whole list, and `safe_update` makes a stale list a 409.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bridge.connector import Tools
from bridge.errors import Conflict, CredentialsRefused, HelpdeskError, NotFound, Refused, Throttled, Unreachable
from bridge.model import Accepted, Change, EffectKind, News, Sending, Status, Verdict, Write, Written
from connectors.zendesk.tickets import MARKER_TAG, TICKETS

UPDATE_MANY = "/api/v2/tickets/update_many"
JOBS = "/api/v2/job_statuses"
BATCH = 100
JOB_WITHIN = 60.0  # seconds that we wait for a job before a later run follows it
_POLL_FIRST, _POLL_MOST = 0.2, 2.0  # seconds between two looks at a job
_OUR_TAGS = "sr_"


class Writes:
    """The writes of one account."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._http = tools.http

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        """Carry out writes; see `Connector.write`."""
        updates = []
        for write in writes:
            if _mark(write) in write.ticket.tags:
                yield Written(write.effect.effect_id, Verdict.ADOPTED, "the ticket carries our tag already")
            elif write.effect.kind is EffectKind.FOLLOW_UP:
                yield from self._follow_up(write)
            else:
                updates.append(write)
        for batch in batches(updates):
            yield from self._update_one(batch[0]) if len(batch) == 1 else self._update_many(batch)

    # -------------------------------------------------------------- one ticket
    def _update_one(self, write: Write) -> Iterator[News]:
        yield Sending((write.effect.effect_id,))
        try:
            answer = self._http.write("PUT", f"{TICKETS}/{write.ticket.ticket_id}", {"ticket": update_body(write)})
        except HelpdeskError as exc:
            yield _failed(write, exc)
            return
        ticket = answer.get("ticket") if isinstance(answer, Mapping) else None
        if isinstance(ticket, Mapping) and _mark(write) in (ticket.get("tags") or ()):
            yield Written(write.effect.effect_id, Verdict.APPLIED)
        else:  # a 200 may also mean that nothing was understood and nothing done
            yield Written(write.effect.effect_id, Verdict.UNKNOWN, "the answer does not show our tag")

    # -------------------------------------------------------------- many tickets
    def _update_many(self, batch: Sequence[Write]) -> Iterator[News]:
        effect_ids = tuple(write.effect.effect_id for write in batch)
        body = {"tickets": [{"id": _number(write.ticket.ticket_id), **update_body(write)} for write in batch]}
        yield Sending(effect_ids)
        try:
            job = _job_id(self._http.write("PUT", UPDATE_MANY, body))
        except Refused as exc:
            if exc.says("TooManyJobs"):
                raise Throttled(str(exc), until=self._tools.now() + timedelta(minutes=1)) from exc
            for write in batch:  # nothing was done; one ticket must not stop the others
                yield from self._update_one(write)
            return
        except Unreachable as exc:
            yield from (_failed(write, exc) for write in batch)
            return
        if job is None:
            yield from (_unknown(write, "the answer names no job") for write in batch)
            return
        yield Accepted(effect_ids, job)
        yield from self.follow(job, batch)

    def follow(self, job: str, writes: Sequence[Write]) -> Iterator[Written]:
        """Wait for a job and tell what became of each write; UNKNOWN for what the job does not tell."""
        try:
            status = self._wait(job)
        except HelpdeskError as exc:
            yield from (_unknown(write, str(exc)) for write in writes)
            return
        results = {str(row.get("id")): row for row in _rows(status)}
        for write in writes:
            row = results.get(write.ticket.ticket_id)
            if row is None:
                yield _unknown(write, f"job {job} is {status.get('status')} and does not tell")
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
        if write.repeat and (adopted := self._existing(write)):
            yield adopted
            return
        yield Sending((write.effect.effect_id,))
        body, key = {"ticket": follow_up_body(write)}, {"Idempotency-Key": write.effect.marker}
        try:
            answer = self._http.write("POST", TICKETS, body, headers=key)
        except HelpdeskError as exc:
            yield self._not_created(write, exc)
            return
        ticket = answer.get("ticket") if isinstance(answer, Mapping) else None
        if isinstance(ticket, Mapping) and ticket.get("external_id") == write.effect.marker and ticket.get("id"):
            yield Written(write.effect.effect_id, Verdict.APPLIED, ticket_id=str(ticket["id"]))
        else:
            yield _unknown(write, "the answer does not show our new ticket")

    def _not_created(self, write: Write, exc: HelpdeskError) -> Written:
        if not (isinstance(exc, Refused) and exc.says("Idempotent")):
            return _failed(write, exc)
        try:  # the key was used with another body: the ticket was created by an earlier try
            return self._existing(write) or _failed(write, exc)
        except HelpdeskError as trouble:
            return _unknown(write, str(trouble))

    def _existing(self, write: Write) -> Written | None:
        """Look for the follow-up ticket of an earlier try."""
        marker = write.effect.marker
        found = self._http.read(TICKETS, {"external_id": marker, "support_type_scope": "all"})
        for ticket in (found.get("tickets") if isinstance(found, Mapping) else None) or ():
            if ticket.get("external_id") == marker:
                why = "the follow-up ticket exists already"
                return Written(write.effect.effect_id, Verdict.ADOPTED, why, ticket_id=str(ticket["id"]))
        return None


# ------------------------------------------------------------------ what is sent
def update_body(write: Write) -> dict[str, Any]:
    """Return the `ticket` object of one update: everything in one write, on condition that nothing changed."""
    change = write.change
    kept = [tag for tag in write.ticket.tags if not tag.startswith(MARKER_TAG)]
    body = _placed(change)
    body["tags"] = list(dict.fromkeys([*kept, *change.add_tags, _mark(write)]))
    if change.reopen and write.ticket.status is Status.SOLVED:
        body["status"] = "open"
    if change.note is not None:
        body["comment"] = _private(write)
    return body | {"safe_update": True, "updated_stamp": write.ticket.stamp}


def follow_up_body(write: Write) -> dict[str, Any]:
    """Return the `ticket` object of a follow-up; tags are given, because those of the closed ticket are inherited."""
    ticket = write.ticket
    inherited = [tag for tag in ticket.tags if not tag.startswith(_OUR_TAGS)]
    body = _placed(write.change) | {
        "subject": ticket.subject,
        "external_id": write.effect.marker,
        "tags": list(dict.fromkeys([*inherited, *write.change.add_tags, _mark(write)])),
        "comment": _private(write),  # first and private, so that no "request received" mail goes out
    }
    if ticket.status is Status.CLOSED:  # only a closed ticket can be named as the source
        body["via_followup_source_id"] = _number(ticket.ticket_id)
    if ticket.requester:
        body["requester_id"] = _number(ticket.requester.requester_id)
    return body


def _placed(change: Change) -> dict[str, Any]:
    """Return assignee, group and priority; an assignee without the group would drag in that agent's default group."""
    body: dict[str, Any] = {}
    if change.unassign:
        body["assignee_id"] = None
    elif change.assignee_id is not None:
        body["assignee_id"] = _number(change.assignee_id)
    if change.group_id is not None:
        body["group_id"] = _number(change.group_id)
    if change.priority is not None:
        body["priority"] = change.priority
    return body


def _private(write: Write) -> dict[str, Any]:
    text = f"{write.change.note or ''}\n\nref {write.effect.marker}".strip()
    return {"body": text, "public": False}


def _mark(write: Write) -> str:
    return f"{MARKER_TAG}{write.effect.effect_id}"


def _number(some_id: str) -> int | str:
    return int(some_id) if some_id.isdigit() else some_id


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


# ------------------------------------------------------------------ what came back
_WORDS = (  # narrow, because an account's own fields may be called "Date closed" or "Customer group"
    (re.compile(r"conflict", re.I), Verdict.CONFLICT),
    (re.compile(r"closed prevents|closedticket|(is|already) closed", re.I), Verdict.LOCKED),
    (re.compile(r"assignee|member of the group|\bgroup: (is|does|not)", re.I), Verdict.BAD_ASSIGNEE),
    (re.compile(r"not ?found", re.I), Verdict.GONE),
)


def row_verdict(row: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Tell what one row of a job's results means."""
    if row.get("success") is True or (row.get("success") is None and row.get("status") == "Updated"):
        return Verdict.APPLIED, ""
    said = " ".join(_text(row.get(name)) for name in ("error", "description", "details", "errors"))
    return _verdict_of(said), _inert(said)


def _failed(write: Write, exc: HelpdeskError) -> Written:
    """Tell what an error means for one write. Raises it again where nothing more can be sent."""
    effect_id = write.effect.effect_id
    if isinstance(exc, Throttled) or (isinstance(exc, CredentialsRefused) and exc.status == 401):
        raise exc  # refused unread, and so would the next be
    if isinstance(exc, Conflict):
        return Written(effect_id, Verdict.CONFLICT, "the ticket changed since it was read")
    if isinstance(exc, NotFound):
        return Written(effect_id, Verdict.GONE, "the ticket is not there any more")
    if isinstance(exc, Refused):
        said = " ".join(exc.details)
        verdict = _verdict_of(said)
        if write.effect.kind is EffectKind.FOLLOW_UP and verdict is Verdict.LOCKED:
            verdict = Verdict.REFUSED  # it is the new ticket that was refused
        return Written(effect_id, verdict, f"{exc.status} {_inert(said)}")
    if isinstance(exc, CredentialsRefused):
        return Written(effect_id, Verdict.REFUSED, "403, our user may not do this")
    return Written(effect_id, Verdict.UNKNOWN, str(exc))


def _verdict_of(said: str) -> Verdict:
    """Tell the cases apart by the vendor's words, which are English whatever the account's language."""
    return next((verdict for words, verdict in _WORDS if words.search(said)), Verdict.REFUSED)


def _inert(said: str) -> str:
    """Bound the vendor's words and leave out a requester's name, which stands in one of them."""
    return "the requester is suspended" if "UserSuspended" in said else said.strip()[:200]


def _unknown(write: Write, why: str) -> Written:
    return Written(write.effect.effect_id, Verdict.UNKNOWN, why)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _job_id(answer: Any) -> str | None:
    status = answer.get("job_status") if isinstance(answer, Mapping) else None
    return str(status["id"]) if isinstance(status, Mapping) and status.get("id") else None


def _rows(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    results = status.get("results")
    return [row for row in results if isinstance(row, Mapping)] if isinstance(results, list) else []
