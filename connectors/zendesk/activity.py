"""Zendesk: what people did to watched tickets, from the audits of those that changed.

Source: the OpenAPI file (show_many, ticket audits, comments, metrics); developer.zendesk.com, ticket audit events
reference and via object reference (read 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.connector import Tools
from bridge.errors import BadRecord, CredentialsRefused, NotFound
from bridge.http import BridgeSession
from bridge.model import Activity, Deed, DeedKind, Directory, Status, Ticket, Watched
from connectors.zendesk.bodies import METADATA
from connectors.zendesk.pages import PAGE_SIZE, Params, moved, next_position, read_page, record, rows
from connectors.zendesk.ratings import optional_id
from connectors.zendesk.tickets import MARKER_TAG, TICKETS, Tickets

NEWEST_FIRST: Params = {"sort_order": "desc", "per_page": PAGE_SIZE}
_DONE = ("solved", "closed")
_RULE = ("rule", 8)  # triggers and automations, by name or by number
_COMMENTS = ("Comment", "VoiceComment", "TpeVoiceComment")
_NOBODY = (None, "-1")  # the author of what the system does by itself
_OUR_NOTE = re.compile(r"^ref sr-\S+\s*\Z", re.MULTILINE)

Audit = Mapping[str, Any]
Event = Mapping[str, Any]


class Watch:
    """One look at the watched tickets of an account."""

    def __init__(self, tools: Tools, tickets: Tickets, directory: Directory) -> None:
        self._http = tools.http
        self._tickets = tickets
        self._directory = directory
        self._audits_are_open = True
        self._unread: BadRecord | None = None

    def changes(self, watched: Sequence[Watched]) -> Iterator[Activity]:
        """Yield the tickets that changed; raises BadRecord behind the last if one could not be read."""
        for first in range(0, len(watched), PAGE_SIZE):
            yield from self._changes_among(watched[first : first + PAGE_SIZE])
        if self._unread:
            raise self._unread

    def _changes_among(self, watched: Sequence[Watched]) -> Iterator[Activity]:
        tickets = self._read([each.ticket_id for each in watched])
        for each in watched:
            ticket = tickets.get(each.ticket_id)
            if ticket is None or (ticket.stamp and ticket.stamp == each.stamp):
                continue
            try:
                deeds = self._deeds(ticket, each.since)
            except BadRecord as exc:
                self._unread = self._unread or exc
                continue
            yield Activity(ticket, deeds)

    def _read(self, ticket_ids: Sequence[str]) -> dict[str, Ticket]:
        """Read tickets in one call; one that cannot be read is looked for by halving, and costs only itself."""
        try:
            return self._tickets.read(ticket_ids, self._directory)
        except BadRecord as exc:
            middle = len(ticket_ids) // 2
            if not middle:
                self._unread = self._unread or exc
                return {}
        return self._read(ticket_ids[:middle]) | self._read(ticket_ids[middle:])

    def _deeds(self, ticket: Ticket, since: datetime) -> tuple[Deed, ...]:
        if ticket.status is Status.DELETED:
            return ()
        since = since.replace(microsecond=0)  # Zendesk's own times are whole seconds
        try:
            return self._from_audits(ticket, since)
        except NotFound:
            return ()  # deleted a moment ago; it comes with that status next time
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            what = f"the history of ticket {ticket.ticket_id} cannot be read ({type(exc).__name__} {exc})"
            raise BadRecord(f"{self._http.account}: {what}") from exc

    def _from_audits(self, ticket: Ticket, since: datetime) -> tuple[Deed, ...]:
        """Return the deeds; without the global scope `read`, which audits need, from what else there is."""
        if self._audits_are_open:
            try:
                audits = rows_since(self._http, f"{TICKETS}/{ticket.ticket_id}/audits", "audits", since)
                return deeds_in(audits, self._directory)
            except CredentialsRefused as exc:
                if exc.status != 403:
                    raise
                self._audits_are_open = False
        return self._from_comments(ticket, since)

    def _from_comments(self, ticket: Ticket, since: datetime) -> tuple[Deed, ...]:
        path = f"{TICKETS}/{ticket.ticket_id}"
        comments = rows_since(self._http, f"{path}/comments", "comments", since)
        said = deeds_in([{**comment, "events": [comment]} for comment in comments], self._directory)
        body = record(self._http, path, self._http.read(f"{path}/metrics"))
        metric = body.get("ticket_metric") or {}
        metric = metric[0] if isinstance(metric, list) else metric  # the OpenAPI says a list, live is an object
        done = [deed for deed in (status_deed(ticket, metric),) if deed and deed.at >= since]
        return tuple(sorted([*said, *done], key=lambda deed: deed.at))


def rows_since(session: BridgeSession, path: str, key: str, since: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield the rows made at or after *since*, in as few pages as their order allows.

    The order asked for is in the OpenAPI but not in the prose: where it is ignored, every page is read.
    """
    position: str | None = None
    while True:
        body = read_page(session, path, NEWEST_FIRST, position)
        page = rows(session, path, body, key)
        yield from (row for row in page if _made_at(row) >= since)
        position = moved(session, path, position, next_position(body))
        if position is None or not page:
            return
        if _made_at(page[0]) > _made_at(page[-1]) < since:
            return


def deeds_in(audits: Iterable[Audit], directory: Directory) -> tuple[Deed, ...]:
    """Tell what people did, from audits of one ticket in any order; oldest first."""
    ordered = sorted(audits, key=lambda audit: (_made_at(audit), audit["id"]))
    return tuple(deed for audit in ordered for deed in _deeds_of(audit, directory))


def _deeds_of(audit: Audit, directory: Directory) -> Iterator[Deed]:
    """Yield the deeds of one update, each once; that of creation has none."""
    events: Sequence[Event] = audit.get("events") or ()
    if any(event.get("type") == "Create" for event in events):
        return
    if is_ours(audit, directory.own_id):  # what a trigger did about our write is in the same update
        events = [event for event in events if is_by_rule(event, audit)]
    yield from dict.fromkeys(deed for event in events for deed in _deeds_from(event, audit, directory))


def _deeds_from(event: Event, audit: Audit, directory: Directory) -> Iterator[Deed]:
    at, by_rule = _made_at(audit), is_by_rule(event, audit)
    author = optional_id(event.get("author_id") or audit.get("author_id"))
    agent = author if author in directory.agents and not by_rule else None  # a trigger acts in its author's name
    if event.get("type") in _COMMENTS and not by_rule:
        if agent:
            yield Deed(DeedKind.REPLIED if event.get("public") else DeedKind.EDITED, at, agent)
        elif author not in _NOBODY:
            yield Deed(DeedKind.CUSTOMER_WROTE, at)
    if event.get("type") == "Change":
        if agent:
            yield Deed(DeedKind.EDITED, at, agent)
        if kind := _turn(event):
            yield Deed(kind, at, agent)


def _turn(event: Event) -> DeedKind | None:
    """Tell if a change of status ended the work or began it again; a solved ticket that closes does neither."""
    if event.get("field_name") != "status":
        return None
    before, after = event.get("previous_value") in _DONE, event.get("value") in _DONE
    if before == after:
        return None
    return DeedKind.SOLVED if after else DeedKind.REOPENED


def is_ours(audit: Audit, own_id: str | None) -> bool:
    """True if a write of ours made this audit: by our user, with the tag, note or metadata that our writes leave.

    The user alone proves nothing: a person may use the same one.
    """
    if own_id is not None and optional_id(audit.get("author_id")) != own_id:
        return False
    if METADATA in ((audit.get("metadata") or {}).get("custom") or {}):
        return True
    return any(_is_marked(event) for event in audit.get("events") or ())


def _is_marked(event: Event) -> bool:
    if event.get("type") == "Comment":
        return not event.get("public") and bool(_OUR_NOTE.search(event.get("body") or ""))
    if event.get("field_name") != "tags":
        return False
    added = set(event.get("value") or ()) - set(event.get("previous_value") or ())
    return any(tag.startswith(MARKER_TAG) for tag in added)


def is_by_rule(event: Event, audit: Audit) -> bool:
    """True if a trigger or automation did it; an event has a `via` of its own where it differs from the audit's."""
    via = event.get("via") or audit.get("via") or {}
    return via.get("channel") in _RULE


def status_deed(ticket: Ticket, metric: Mapping[str, Any]) -> Deed | None:
    """Tell when a ticket became solved, or was reopened, from its metrics; None if neither can be seen.

    Knows the last change of status alone, so a ticket that was reopened once may tell of it again later.
    """
    solved_at, changed_at = metric.get("solved_at"), metric.get("status_updated_at")
    if ticket.status in (Status.SOLVED, Status.CLOSED):
        return Deed(DeedKind.SOLVED, _moment(solved_at)) if solved_at else None
    if ticket.reopens and changed_at:
        return Deed(DeedKind.REOPENED, _moment(changed_at))
    return None


def _made_at(row: Mapping[str, Any]) -> datetime:
    return _moment(row["created_at"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
