"""Reading tickets: status, tags, who holds them, and what the rules want to know about the requester.

Source: developers.freshdesk.com/api, Tickets, Conversations and Contacts (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bridge.connector import Tools
from bridge.errors import BadRecord, CredentialsRefused, NotFound, Refused
from bridge.model import Requester, Status, Ticket
from connectors.freshdesk.api import Api, as_id, moment
from connectors.freshdesk.fields import MARKER

STATUSES = {2: Status.OPEN, 4: Status.SOLVED, 5: Status.SOLVED}  # a closed ticket can be reopened; others wait
PRIORITIES = {1: "low", 2: "normal", 3: "high", 4: "urgent"}
CHANNELS = {
    1: "email", 2: "web", 3: "phone", 5: "social", 6: "social", 7: "chat", 9: "web", 10: "email", 13: "messaging",
}  # fmt: skip
REPLY = 0  # conversation.source
CONTACT_AGE = timedelta(days=1)
REQUESTED = "tag:'sr_request' AND (status:<4 OR status:>6)"  # both inclusive: open, waiting in any way, or resolved
SEARCH_ROWS, SEARCH_PAGES, SEARCH_CHARACTERS = 30, 10, 512  # limits of the vendor's search


class Tickets:
    """The tickets of one account."""

    def __init__(self, api: Api, tools: Tools, brands: Callable[[], Mapping[str, str]]) -> None:
        self.api = api
        self.tools = tools
        self.brands = brands
        self.customers = Customers(api, tools)
        self._named = sorted(name for name in tools.needs.fields if name.startswith("cf_"))  # others are Zendesk's ids

    def read(self, ticket_id: str) -> Ticket:
        """Read one ticket with its requester; one that is not there comes as ARCHIVED or DELETED."""
        try:
            return self._there(ticket_id)
        except NotFound:
            return self._not_there(ticket_id)

    def requested(self) -> list[str]:
        """Return the ids of the tickets that carry the tag `sr_request`, but closed ones; the index lags by minutes."""
        found: list[str] = []
        for number in range(1, SEARCH_PAGES + 1):
            body = self.api.read("search/tickets", {"query": f'"{REQUESTED}"', "page": number})
            rows = self.api.as_list("search/tickets", body.get("results") if isinstance(body, dict) else body)
            found += [str(row["id"]) for row in rows if row.get("id") and not (row.get("deleted") or row.get("spam"))]
            if len(rows) < SEARCH_ROWS:
                break
        return list(dict.fromkeys(found))

    def last_answered_by(self, ticket_id: str, before: datetime) -> str | None:
        """Return who wrote the last public reply before a moment; machines and imports do not count."""
        last: tuple[datetime, str] | None = None
        try:
            for row in self.api.rows(f"tickets/{ticket_id}/conversations"):
                if not _is_persons_reply(row):
                    continue
                found = (moment(row["created_at"]), str(row["user_id"]))
                if found[0] < before and (last is None or found > last):  # the order of the list is not documented
                    last = found
        except NotFound:
            return None
        return last[1] if last else None

    def _there(self, ticket_id: str) -> Ticket:
        return self._ticket(ticket_id, self.api.read(f"tickets/{ticket_id}", {"include": "requester"}))

    def _not_there(self, ticket_id: str) -> Ticket:
        try:
            row = self.api.record(f"tickets/archived/{ticket_id}")
        except (NotFound, CredentialsRefused) as no:  # 403: the plan has no archive
            if getattr(no, "status", 0) not in (403, 404):
                raise
            return self._deleted(ticket_id)
        if row.get("requester_id") and not row.get("requester"):  # an archived ticket comes without them
            row = row | {"requester": self.api.read_if_offered(f"contacts/{row['requester_id']}")}
        return self._ticket(ticket_id, row, Status.ARCHIVED)

    def _deleted(self, ticket_id: str) -> Ticket:
        """Return a ticket as deleted if it is still not there: that ends its recovery, and a stray 404 must not."""
        try:
            return self._there(ticket_id)
        except NotFound:
            read_at = self._read_at()
            return Ticket(ticket_id, Status.DELETED, updated_at=read_at, read_at=read_at)

    def _ticket(self, ticket_id: str, row: dict[str, Any], status: Status | None = None) -> Ticket:
        try:
            if str(row["id"]) != ticket_id:
                raise ValueError
            custom = row.get("custom_fields") or {}
            return Ticket(
                ticket_id=ticket_id,
                status=status or _status(row),
                updated_at=moment(row["updated_at"]),
                read_at=self._read_at(),
                stamp=row["updated_at"],
                subject=row.get("subject") or "",
                tags=tuple(row.get("tags") or ()),
                assignee_id=as_id(row.get("responder_id")),
                group_id=as_id(row.get("group_id")),
                priority=PRIORITIES.get(row.get("priority", 0)),
                channel=CHANNELS.get(row.get("source", 0), "other"),
                brand=self.brands().get(str(row["product_id"])) if row.get("product_id") else None,
                requester=self._requester(row),
                marker=custom.get(MARKER.name) or None,
                fields={name: _text(custom[name]) for name in self._named if custom.get(name) not in (None, "")},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            what = f"has no field {exc}" if isinstance(exc, KeyError) else "cannot be read"
            raise BadRecord(f"{self.api.account}: ticket {ticket_id} {what}") from exc

    def _requester(self, row: dict[str, Any]) -> Requester | None:
        if not row.get("requester_id"):
            return None
        contact = row.get("requester") or {}
        requester_id = str(row["requester_id"])
        return Requester(
            requester_id=requester_id,
            name=contact.get("name"),
            email=contact.get("email"),
            language=self.customers.language(requester_id) if self.tools.needs.language else None,
            tags=self.customers.tags(requester_id) if self.tools.needs.customer_tags else frozenset(),
        )

    def _read_at(self) -> datetime:
        return self.tools.http.helpdesk_time or self.tools.now()


class Customers:
    """What the rules want to know about contacts, in as few calls as possible."""

    def __init__(self, api: Api, tools: Tools) -> None:
        self.api = api
        self.tools = tools

    def language(self, contact_id: str) -> str | None:
        """Return the contact's language as Freshdesk has it, remembered for a day."""
        language: str | None = self._contact(contact_id)["language"]
        return language

    def tags(self, contact_id: str) -> frozenset[str]:
        """Return the contact's tags, as far as rules name them; most contacts have none and cost no call."""
        tagged = self._tagged()
        if tagged is not None and contact_id not in tagged:
            return frozenset()
        known = tagged[contact_id] if tagged else None
        return frozenset(self._contact(contact_id)["tags"] if known is None else known)

    def _contact(self, contact_id: str) -> dict[str, Any]:
        name = f"contact:{contact_id}"
        known: dict[str, Any] | None = self.tools.memory.recall(name, CONTACT_AGE)
        if known is None:
            row = self.api.read_if_offered(f"contacts/{contact_id}") or {}
            known = {"language": row.get("language"), "tags": row.get("tags") or []}
            self.tools.memory.remember(name, known)
        return known

    def _tagged(self) -> dict[str, list[str] | None] | None:
        """Return every contact with a tag that rules name, with its tags where the search tells them.

        None where the search is refused or has too many results.
        """
        query = " OR ".join(f"tag:'{tag}'" for tag in sorted(self.tools.needs.customer_tags))
        known = self.tools.memory.recall("tagged", self.tools.directory_age)
        if known is None or known["query"] != query:
            known = {"query": query, "found": self._search(query)}
            self.tools.memory.remember("tagged", known)
        found: dict[str, list[str] | None] | None = known["found"]
        return found

    def _search(self, query: str) -> dict[str, list[str] | None] | None:
        if len(query) > SEARCH_CHARACTERS or any("'" in tag or '"' in tag for tag in self.tools.needs.customer_tags):
            return None  # UNVERIFIED how a quote in a tag would be written
        found: dict[str, list[str] | None] = {}
        for number in range(1, SEARCH_PAGES + 1):
            try:
                body = self.api.read_if_offered("search/contacts", {"query": f'"{query}"', "page": number})
            except Refused:
                return None
            if body is None or body.get("total", 0) > SEARCH_ROWS * SEARCH_PAGES:
                return None
            rows: Sequence[Any] = body.get("results") or ()
            found.update((str(row["id"]), row.get("tags")) for row in rows)
            if len(rows) < SEARCH_ROWS:
                break
        return found


def _status(row: Mapping[str, Any]) -> Status:
    if row.get("deleted"):
        return Status.DELETED
    if row.get("spam"):
        return Status.SPAM
    return STATUSES.get(row["status"], Status.PENDING)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_persons_reply(row: Mapping[str, Any]) -> bool:
    is_public = row.get("source") == REPLY and not row.get("incoming") and not row.get("private")
    return bool(is_public and row.get("user_id") and not row.get("automation_id") and not row.get("auto_response"))
