"""Zendesk: reading tickets with their requesters, and who held a ticket at some moment.

Source: the OpenAPI file (tickets, users, organizations, ticket metrics, ticket audits), read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from bridge.connector import Tools
from bridge.errors import BadRecord, NotFound
from bridge.model import Category, Directory, Requester, Status, Ticket
from connectors.zendesk.pages import PAGE_SIZE, allowed, read_all, record, rows
from connectors.zendesk.ratings import optional_id

TICKETS = "/api/v2/tickets"
SHOW_MANY = "/api/v2/tickets/show_many"
SEARCH = "/api/v2/search"
SEARCH_MOST = 1000
SIDELOADS = "users,organizations,metric_sets"
MARKER_TAG = "sr_ref_"  # followed by the id of the effect that wrote last
FRESH_FOR = timedelta(seconds=10)  # from a look at a ticket to its reading
Looked = tuple[datetime, datetime, Mapping[str, Any]]  # when, by our clock and by the helpdesk's, and what was there
_MERGE_TAG = "closed_by_merge"

_CHANNELS = {
    "email": "email", "web": "web", "api": "api", "mobile": "web", "mobile_sdk": "web", "web_widget": "web",
    "web_service": "api", "help_center": "web", "chat": "chat", "chat_transcript": "chat", "voice": "phone",
    "voicemail": "phone", "phone_call_inbound": "phone", "phone_call_outbound": "phone", "sms": "messaging",
    "native_messaging": "messaging", "messaging": "messaging", "whatsapp": "messaging", "line": "messaging",
    "sunshine_conversations_api": "messaging", "telegram": "messaging", "viber": "messaging", "wechat": "messaging",
    "facebook": "social", "facebook_messenger": "social", "instagram_dm": "social", "twitter": "social",
    "twitter_dm": "social", "twitter_favorite": "social", "any_channel": "other",
}  # fmt: skip


class Tickets:
    """The tickets of one account."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._http = tools.http
        self._looked: dict[str, Looked] = {}

    def look(self, ticket_id: str) -> Mapping[str, Any] | None:
        """Return the JSON of a ticket, None if it is gone; `read_or_take` takes it over if it follows at once.

        A write that follows that is conditional on the stamp of this moment, as on any other.
        """
        body = self._body_of(ticket_id)
        if body is None:
            return None
        self._looked = {**self._fresh(), ticket_id: (self._tools.now(), self._clock(), body)}
        return body.get("ticket") or {}

    def forget(self) -> None:
        """Read everything anew from now on: something was written."""
        self._looked.clear()

    def read_or_take(self, ticket_ids: Sequence[str], directory: Directory | None) -> dict[str, Ticket]:
        """Read tickets; those that were looked at a moment ago are taken over as they were then, each once."""
        fresh = self._fresh()
        taken = {key: fresh.pop(key) for key in ticket_ids if key in fresh}
        self._looked = fresh
        found = {
            key: next(self._read_body(body, [body.get("ticket")], directory, at))
            for key, (_, at, body) in taken.items()
        }
        return found | self.read([key for key in ticket_ids if key not in found], directory)

    def _fresh(self) -> dict[str, Looked]:
        now = self._tools.now()
        return {key: seen for key, seen in self._looked.items() if timedelta() <= now - seen[0] <= FRESH_FOR}

    def read(self, ticket_ids: Sequence[str], directory: Directory | None) -> dict[str, Ticket]:
        """Read tickets, 100 per call; an id that the answer leaves out is asked for by itself."""
        wanted = list(dict.fromkeys(ticket_ids))
        found: dict[str, Ticket] = {}
        for first in range(0, len(wanted), PAGE_SIZE):
            ids = ",".join(wanted[first : first + PAGE_SIZE])
            body = record(self._http, SHOW_MANY, self._http.read(SHOW_MANY, {"ids": ids, "include": SIDELOADS}))
            for ticket in self._read_body(body, rows(self._http, SHOW_MANY, body, "tickets"), directory, self._clock()):
                found[ticket.ticket_id] = ticket
        return {ticket_id: found.get(ticket_id) or self._read_one(ticket_id, directory) for ticket_id in wanted}

    def _read_one(self, ticket_id: str, directory: Directory | None) -> Ticket:
        body, now = self._body_of(ticket_id), self._clock()
        if body is None:
            return Ticket(ticket_id, Status.DELETED, updated_at=now, read_at=now)
        return next(self._read_body(body, [body.get("ticket")], directory, now))

    def _body_of(self, ticket_id: str) -> Mapping[str, Any] | None:
        """Read one ticket with what belongs to it; None if it is gone."""
        path = f"{TICKETS}/{ticket_id}"
        try:
            return record(self._http, path, self._http.read(path, {"include": SIDELOADS}))
        except NotFound:
            return None

    def _read_body(
        self, body: Mapping[str, Any], tickets: Sequence[Any], directory: Directory | None, now: datetime
    ) -> Iterator[Ticket]:
        """Make tickets of JSON that was read at *now*. Raises BadRecord if one is not what a ticket is."""
        users, organizations = _by_id(body.get("users")), _by_id(body.get("organizations"))
        metrics = {str(metric.get("ticket_id")): metric for metric in body.get("metric_sets") or ()}
        brands = directory.brands if directory else {}
        for row in tickets:
            try:
                metric = row.get("metric_set") or metrics.get(str(row["id"])) or {}
                requester = requester_from(row, users, organizations)
                yield ticket_from(row, requester, metric, brands, now, wanted=self._tools.needs.fields)
            except (KeyError, TypeError, ValueError, AttributeError) as exc:
                ticket_id = row.get("id") if isinstance(row, dict) else None
                what = f"ticket {ticket_id} cannot be read ({type(exc).__name__} {exc})"
                raise BadRecord(f"{self._http.account}: {what}") from exc

    def with_tag(self, tag: str) -> list[str]:
        """Return the ids of tickets with this tag that are not closed, at most a thousand: more the search never shows.

        The index lags and may tell of a tag that is gone.
        """
        params = {"query": f"type:ticket tags:{tag} status<closed", "per_page": PAGE_SIZE}
        found = islice(read_all(self._http, SEARCH, "results", params), SEARCH_MOST)
        return list(dict.fromkeys(str(row["id"]) for row in found if row.get("id")))

    def _clock(self) -> datetime:
        return self._http.helpdesk_time or self._tools.now()

    def past_holder(self, ticket_id: str, at: datetime, directory: Directory) -> str | None:
        """Return who held the ticket then; if nobody, the agent who last answered; None if audits may not be read."""
        try:
            audits = allowed(lambda: list(read_all(self._http, f"{TICKETS}/{ticket_id}/audits", "audits")))
        except NotFound:
            return None
        return None if audits is None else holder_at(audits, at, directory)


def ticket_from(
    row: Mapping[str, Any],
    requester: Requester | None,
    metric: Mapping[str, Any],
    brands: Mapping[str, str],
    now: datetime,
    *,
    wanted: Collection[str] = (),
) -> Ticket:
    """Make a ticket of its JSON; *now* is the time of the answer, *wanted* the ids of fields of the account's own."""
    tags = tuple(row.get("tags") or ())
    markers = [tag for tag in tags if tag.startswith(MARKER_TAG)]
    return Ticket(
        ticket_id=str(row["id"]),
        status=_status(row["status"], tags),
        updated_at=datetime.fromisoformat(row["updated_at"]).astimezone(UTC),
        read_at=now,
        stamp=row["updated_at"],
        subject=row.get("subject") or row.get("raw_subject") or "",
        tags=tags,
        assignee_id=optional_id(row.get("assignee_id")),
        group_id=optional_id(row.get("group_id")),
        priority=row.get("priority"),
        channel=channel_of(row),
        brand=brands.get(str(row.get("brand_id"))),
        requester=requester,
        reopens=metric.get("reopens"),
        marker=f"sr-{markers[-1].removeprefix(MARKER_TAG)}" if markers else None,
        rated=_rated(row.get("satisfaction_rating")),
        fields=_fields(row.get("custom_fields"), wanted),
    )


def requester_from(
    row: Mapping[str, Any], users: Mapping[str, Mapping[str, Any]], organizations: Mapping[str, Mapping[str, Any]]
) -> Requester | None:
    """Make the requester of a ticket's JSON from what came beside it."""
    requester_id = optional_id(row.get("requester_id"))
    if requester_id is None:
        return None
    user = users.get(requester_id, {})
    organization = organizations.get(str(row.get("organization_id") or user.get("organization_id")), {})
    return Requester(
        requester_id=requester_id,
        name=user.get("name"),
        email=user.get("email"),
        language=user["locale"].lower() if user.get("locale") else None,
        tags=frozenset(user.get("tags") or ()),
        organization_tags=frozenset(organization.get("tags") or ()),
        suspended=bool(user.get("suspended")),
    )


def channel_of(row: Mapping[str, Any]) -> str | None:
    """Return how the ticket came in, in the words that rules use; None where Zendesk does not say."""
    channel = (row.get("via") or {}).get("channel")
    return None if channel is None else _CHANNELS.get(str(channel), "other")


def holder_at(audits: Sequence[Mapping[str, Any]], at: datetime, directory: Directory) -> str | None:
    """Return the assignee at that moment; if there was none, the agent whose public comment was the last before it."""
    holder, answered = None, None
    for audit in sorted(audits, key=lambda audit: str(audit["created_at"])):
        if datetime.fromisoformat(audit["created_at"]) > at:
            break
        for event in audit.get("events") or ():
            if event.get("type") in ("Create", "Change") and event.get("field_name") == "assignee_id":
                holder = optional_id(event.get("value")) or None
            if event.get("type") == "Comment" and event.get("public"):
                author = optional_id(event.get("author_id", audit.get("author_id")))
                answered = author if author in directory.agents else answered
    return holder or answered


def _status(word: str, tags: Sequence[str]) -> Status:
    status = Status(word)
    return Status.MERGED if status is Status.CLOSED and _MERGE_TAG in tags else status


def _rated(rating: Any) -> Category | None:
    score = rating.get("score") if isinstance(rating, Mapping) else None
    return Category(score) if score in ("bad", "good") else None


def _fields(found: Any, wanted: Collection[str]) -> dict[str, str]:
    """Return the fields that are wanted and filled, as text: checkboxes true or false, several choices with commas."""
    given = {str(field["id"]): field.get("value") for field in found or ()} if wanted else {}
    return {name: _text(given[name]) for name in wanted if given.get(name) not in (None, "", [])}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _by_id(found: Any) -> dict[str, Mapping[str, Any]]:
    return {str(item["id"]): item for item in found or ()}
