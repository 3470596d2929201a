"""What people did to watched tickets: one walk through the list of tickets, and what was said on those that changed.

Source: developers.freshdesk.com/api, Tickets and Conversations, and records of a live account (read 2026-11-21).
Freshdesk shows no history of fields. That a person edited one is inferred: `updated_at` moved, and nothing else that is
known to move it happened near that time. UNVERIFIED, and so never more than a deed without an agent:

- how long after its cause `updated_at` moves: 8 seconds were recorded for a survey answer; we allow SETTLES_WITHIN
- that a breach of the SLA moves it: it explains a change shortly after the due time, as long as its flag is up
- time-triggered automations leave no trace: a field that one changes looks like an edit of a person
- of two changes between two readings only the later is seen: an edit hidden behind a reply or our note is missed
- `updated_at` has whole seconds: a change in the very second of the last reading is seen with the next one
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bridge.connector import Memory
from bridge.errors import BadRecord, NotFound
from bridge.model import Activity, Deed, DeedKind, Status, Ticket, Watched
from connectors.freshdesk.api import Api, as_id, as_text, moment
from connectors.freshdesk.tickets import STATUSES, Tickets

SETTLES_WITHIN = timedelta(minutes=1)
BREACH_SHOWS_WITHIN = timedelta(minutes=30)  # UNVERIFIED: how late the flag of a missed due time is set
SECOND = timedelta(seconds=1)

CLOSED = 5
NOTE, FEEDBACK = 2, 6  # conversation.source
REPLIES = frozenset({0, 5, 7, 11})  # conversation.source: mail or portal, tweet, Facebook, shop
IS_FEEDBACK = 7  # conversation.category
BREACHES = (("is_escalated", "due_by"), ("fr_escalated", "fr_due_by"), ("nr_escalated", "nr_due_by"))
NO_EDITS = ("resolved_at", "closed_at", "reopened_at", "requester_responded_at")  # stats that move updated_at too
OUR_REF = re.compile(r"\bref (sr-[\w-]+)\s*(?:<[^<>]*>\s*)*$")  # what `writes` puts at the end of its notes
MERGED = re.compile(r"\bclosed and merged into ticket\W{0,3}(?:<[^<>]*>\s*)?#?(\d+)")
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)


class Changes:
    """Finds out which watched tickets of one account changed, and what people did to them."""

    def __init__(self, api: Api, memory: Memory, tickets: Tickets) -> None:
        self.api = api
        self.memory = memory
        self.tickets = tickets

    def of(self, watched: Sequence[Watched]) -> Iterator[Activity]:
        """Yield the watched tickets that changed, each at most once.

        Raises BadRecord for one that cannot be read, after all the others.
        """
        if not watched:
            return
        waiting = {one.ticket_id: one for one in watched}
        since = min(_known_until(one) for one in watched) - SETTLES_WITHIN  # a list may lag behind its tickets
        trouble: BadRecord | None = None
        for row, read_at in self._updated_since(since):
            one = waiting.get(str(row.get("id")))
            if one is None or row.get("updated_at") == one.stamp:
                continue
            del waiting[one.ticket_id]
            try:
                yield self._look_into(one, row, read_at)
            except NotFound:  # deleted since the list was read
                continue
            except BadRecord as exc:
                trouble = exc
            if not waiting:
                break
        if trouble:
            raise trouble

    def _updated_since(self, since: datetime) -> Iterator[tuple[dict[str, Any], datetime]]:
        """Read every ticket updated since then, oldest change first, with the time of the reading.

        A ticket that changes meanwhile moves to the end, and page 2 would miss the one that takes its place. So each
        reading is page 1 of a later time, which also keeps far from the vendor's last page, 300; only a crowd within
        one second has further pages. The time steps back one second: UNVERIFIED that updated_since is inclusive.
        """
        number = 1
        while True:
            params = {"updated_since": as_text(since), "order_by": "updated_at", "order_type": "asc"}
            rows, more = self.api.page("tickets", number, {**params, "include": "stats"})
            read_at = self.tickets._read_at()
            yield from ((row, read_at) for row in rows)
            if not (rows and more):
                return
            reached = self._updated_at(rows[-1]) - SECOND
            since, number = (reached, 1) if reached > since else (since, number + 1)

    def _updated_at(self, row: dict[str, Any]) -> datetime:
        try:
            return moment(row["updated_at"])
        except UNREADABLE as exc:
            raise BadRecord(f"{self.api.account}: the list of tickets has one without a readable updated_at") from exc

    def _look_into(self, one: Watched, row: dict[str, Any], read_at: datetime) -> Activity:
        ticket = replace(self.tickets._ticket(one.ticket_id, row), read_at=read_at)
        said = list(self.api.rows(f"tickets/{one.ticket_id}/conversations"))
        try:
            ours = {ref: moment(talk["created_at"]) for talk in said if (ref := _our_ref(talk))}
            if ticket.marker and ticket.marker not in ours:
                ours[ticket.marker] = self._first_seen(ticket)
            if into := merged_into(row, said):
                ticket = replace(ticket, status=Status.MERGED, merged_into=into)
            return Activity(ticket, deeds(row, said, one.since, ours.values()))
        except UNREADABLE as exc:
            what = "has a time or a conversation that cannot be read"
            raise BadRecord(f"{self.api.account}: ticket {one.ticket_id} {what}") from exc

    def _first_seen(self, ticket: Ticket) -> datetime:
        """Return when the ticket first changed with this marker on it.

        A write of ours that left no note has no time. The first change that shows its marker is taken for it, with
        what a rule of ours does at once; a later one is somebody else's. The same change is judged the same when it is
        read again after a crash.
        """
        name = f"marker:{ticket.ticket_id}"
        first = self.memory.recall(name)
        if first is None or first["marker"] != ticket.marker:
            first = {"marker": ticket.marker, "stamp": ticket.stamp}
            self.memory.remember(name, first)
        return moment(first["stamp"])


def deeds(
    row: Mapping[str, Any], said: Sequence[Mapping[str, Any]], since: datetime, ours: Collection[datetime] = ()
) -> tuple[Deed, ...]:
    """Return what people did to a ticket at or after *since*, oldest first.

    *row* is a ticket of the list with its stats, *said* all its conversations in any order, *ours* when we wrote.
    Raises KeyError, TypeError or ValueError for a time that is missing or cannot be read.
    """
    updated_at = moment(row["updated_at"])
    found = [deed for talk in said if (deed := _deed_of(talk))]
    wrote = [deed.at for deed in found if deed.kind is DeedKind.CUSTOMER_WROTE]  # which reopens it
    found += _turns(row, [at for at in ours if not _is_near(at, wrote)])
    if not _is_explained(row, said, updated_at, ours):
        found.append(Deed(DeedKind.EDITED, updated_at))
    return tuple(sorted((deed for deed in found if deed.at >= since), key=lambda deed: (deed.at, deed.kind)))


def _deed_of(talk: Mapping[str, Any]) -> Deed | None:
    """Return what a person did by saying this; machines, survey answers and our own notes are no deeds."""
    at, author = moment(talk["created_at"]), as_id(talk.get("user_id"))
    is_answer = talk.get("source") == FEEDBACK or talk.get("category") == IS_FEEDBACK
    if is_answer or talk.get("automation_id") or talk.get("auto_response") or _our_ref(talk):
        return None
    if talk.get("incoming"):  # a private one is the answer of somebody to whom an agent had forwarded the ticket
        return None if talk.get("private") else Deed(DeedKind.CUSTOMER_WROTE, at)
    if author is None:
        return None
    is_reply = not talk.get("private") and talk.get("source") in REPLIES
    return Deed(DeedKind.REPLIED if is_reply else DeedKind.EDITED, at, author)


def _turns(row: Mapping[str, Any], ours: Collection[datetime]) -> Iterator[Deed]:
    """Yield that it was solved, and that it was reopened unless by us."""
    times = _stats(row)
    reopened_at = times.get("reopened_at")
    solved = [times[name] for name in ("resolved_at", "closed_at") if name in times]
    if reopened_at:  # UNVERIFIED: that resolved_at is cleared then
        solved = [at for at in solved if at >= reopened_at]
    if STATUSES.get(row["status"]) is Status.SOLVED and solved:
        yield Deed(DeedKind.SOLVED, min(solved))  # closing what was solved before is no news
    if reopened_at and not _is_near(reopened_at, ours):
        yield Deed(DeedKind.REOPENED, reopened_at)


def _is_explained(
    row: Mapping[str, Any], said: Sequence[Mapping[str, Any]], updated_at: datetime, ours: Collection[datetime]
) -> bool:
    """Return whether anything but a person's edit accounts for the last change of the ticket."""
    causes = [*ours, *(moment(talk["created_at"]) for talk in said)]
    causes += [at for name, at in _stats(row).items() if name in NO_EDITS]
    if row.get("created_at"):
        causes.append(moment(row["created_at"]))
    breaches = [moment(row[due]) for flag, due in BREACHES if row.get(flag) and row.get(due)]
    return _is_near(updated_at, causes) or any(
        timedelta() <= updated_at - due_at <= BREACH_SHOWS_WITHIN for due_at in breaches
    )


def _is_near(at: datetime, others: Collection[datetime]) -> bool:
    return any(abs(at - other) <= SETTLES_WITHIN for other in others)


def _stats(row: Mapping[str, Any]) -> dict[str, datetime]:
    return {name: moment(at) for name, at in (row.get("stats") or {}).items() if at}


def _our_ref(talk: Mapping[str, Any]) -> str | None:
    """Return the marker at the end of a note of ours, or None for anything else."""
    if not is_note(talk):
        return None
    found = (OUR_REF.search(talk.get(name) or "") for name in ("body_text", "body"))
    return next((match[1] for match in found if match), None)


def merged_into(row: Mapping[str, Any], said: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the ticket into which a closed one was merged.

    UNVERIFIED: no field says so. The helpdesk closes it and leaves a note, which people may word otherwise.
    """
    if row.get("status") != CLOSED:
        return None
    notes = (str(talk.get("body_text") or talk.get("body")) for talk in said if is_note(talk))
    return next((found[1] for note in notes if (found := MERGED.search(note))), None)


def is_note(talk: Mapping[str, Any]) -> bool:
    """Return whether this was said in private, by an agent or a program."""
    return bool(talk.get("source") == NOTE and talk.get("private") and not talk.get("incoming"))


def _known_until(one: Watched) -> datetime:
    """Return the time since which changes are unknown: a reading cannot have missed what came before its stamp."""
    return max(one.since, moment(one.stamp)) if one.stamp else one.since
