"""Freshdesk stand-in: the HTTP API of tickets: reading, changing, talking, merging, many at once.

Source: developers.freshdesk.com/api (read 2026-11-21). A write is checked as a whole before anything is changed; the
last write wins, because the vendor has no condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox import freshdesk_shapes as shapes
from connectors.sandbox.freshdesk_http import (
    body_of,
    check_keys,
    invalid,
    listed,
    missing_feature,
    moment,
    not_found,
    number,
    parse_moment,
    said,
    window,
)
from connectors.sandbox.freshdesk_records import CLOSED, NOTE, OPEN, RESOLVED, STATUS_LABELS, Conversation, Job, Ticket
from connectors.sandbox.freshdesk_search import MAX_PAGE, PER_PAGE, parse
from connectors.sandbox.wsgi import Call, Refusal, answer, route

if TYPE_CHECKING:
    from connectors.sandbox.freshdesk import FreshdeskDesk

BASE = "/api/v2"
DEFAULT_REACH = timedelta(days=30)  # a list without updated_since goes back this far
MAX_LIST_PAGE = 300
MAX_BULK = 100
MAX_TAG = 32  # characters
CHANGEABLE = frozenset(
    {
        "status",
        "priority",
        "type",
        "responder_id",
        "group_id",
        "tags",
        "custom_fields",
        "due_by",
        "fr_due_by",
        "product_id",
        "requester_id",
        "email",
        "subject",
        "description",
        "parent_id",
        "source",
        "company_id",
    }
)
ONLY_WHEN_NEW = frozenset({"name", "cc_emails", "related_ticket_ids"})
ON_ONE = frozenset({"conversations", "requester", "company", "stats"})
ON_LIST = frozenset({"requester", "company", "stats", "description"})
ORDERS = ("created_at", "due_by", "updated_at", "status")
SEARCHABLE = frozenset(
    {"agent_id", "group_id", "priority", "status", "tag", "type", "due_by", "fr_due_by", "created_at", "updated_at"}
)
TYPES: Mapping[str, tuple[type, str]] = {
    "status": (int, "Integer"),
    "priority": (int, "Integer"),
    "source": (int, "Integer"),
    "responder_id": (int, "Positive Integer"),
    "group_id": (int, "Positive Integer"),
    "product_id": (int, "Positive Integer"),
    "requester_id": (int, "Positive Integer"),
    "company_id": (int, "Positive Integer"),
    "parent_id": (int, "Positive Integer"),
    "type": (str, "String"),
    "subject": (str, "String"),
    "description": (str, "String"),
    "email": (str, "String"),
    "tags": (list, "Array"),
    "custom_fields": (dict, "key/value pair"),
}


class TicketEndpoints:
    """Tickets, their conversations and jobs."""

    def __init__(self, desk: FreshdeskDesk) -> None:
        self.desk = desk

    def routes(self) -> Iterable[Rule]:
        """Return the rules for tickets."""
        one = f"{BASE}/tickets/<int:ticket_id>"
        yield route("GET", f"{BASE}/tickets", self.list_tickets)
        yield route("POST", f"{BASE}/tickets", self.create)
        yield route("GET", one, self.show)
        yield route("PUT", one, self.update)
        yield route("DELETE", one, self.delete)
        yield route("PUT", f"{one}/restore", self.restore)
        yield route("GET", f"{BASE}/tickets/archived/<int:ticket_id>", self.show_archived)
        yield route("GET", f"{BASE}/tickets/archived/<int:ticket_id>/conversations", self.archived_conversations)
        yield route("GET", f"{one}/conversations", self.conversations)
        yield route("POST", f"{one}/notes", self.add_note)
        yield route("POST", f"{one}/reply", self.add_reply)
        yield route("PUT", f"{BASE}/conversations/<int:said_id>", self.edit_note)
        yield route("DELETE", f"{BASE}/conversations/<int:said_id>", self.delete_conversation)
        yield route("PUT", f"{BASE}/tickets/merge", self.merge)
        yield route("POST", f"{BASE}/tickets/bulk_update", self.bulk_update)
        yield route("GET", f"{BASE}/jobs/<job_id>", self.job)
        yield route("GET", f"{BASE}/search/tickets", self.search)

    @property
    def who(self) -> tuple[str, int]:
        """Return the actor of the ledger for what the API does."""
        return f"api:{self.desk.api_agent}", self.desk.api_agent

    # -------------------------------------------------------------- reading
    def show(self, call: Call, ticket_id: int) -> Response:
        """Answer one ticket, with what `include` names."""
        return answer(shapes.whole_ticket(self.desk, self._found(ticket_id), _includes(call, ON_ONE)))

    def show_archived(self, _call: Call, ticket_id: int) -> Response:
        """Answer one archived ticket."""
        return answer(shapes.whole_ticket(self.desk, self._archived(ticket_id), ["stats"]) | {"archived": True})

    def archived_conversations(self, call: Call, ticket_id: int) -> Response:
        """List what was said on an archived ticket."""
        return self._talk(call, self._archived(ticket_id))

    def conversations(self, call: Call, ticket_id: int) -> Response:
        """List what was said on a ticket."""
        return self._talk(call, self._found(ticket_id))

    def _talk(self, call: Call, ticket: Ticket) -> Response:
        page, per_page = window(call)
        last = page * per_page
        shown = [shapes.conversation(one) for one in ticket.conversations[last - per_page : last]]
        return listed(call, shown, len(ticket.conversations) > last)

    def list_tickets(self, call: Call) -> Response:
        """List tickets: those created within 30 days unless `updated_since` says otherwise."""
        page, per_page = window(call)
        if page > MAX_LIST_PAGE:
            message = "You cannot access tickets beyond the 300th page. Please provide a smaller page number."
            raise invalid("page", message)
        order = call.args.get("order_by", "created_at")
        if order not in ORDERS:
            raise invalid("order_by", f"It should be one of these values: '{','.join(ORDERS)}'")
        include, found = _includes(call, ON_LIST), self._listed(call)
        newest_first = call.args.get("order_type", "desc") != "asc"
        found.sort(key=lambda one: (getattr(one, order) or one.created_at, one.id), reverse=newest_first)
        last = page * per_page
        shown = [shapes.ticket(self.desk, one, include) for one in found[last - per_page : last]]
        return listed(call, shown, len(found) > last)

    def _listed(self, call: Call) -> list[Ticket]:
        view, since = call.args.get("filter"), moment(call, "updated_since")
        if view not in (None, "new_and_my_open", "watching", "spam", "deleted"):
            raise invalid("filter", "It should be one of these values: 'new_and_my_open,watching,spam,deleted'")
        requester, company = number(call, "requester_id"), number(call, "company_id")
        if call.args.get("email"):
            requester = self._contact_id(call.args["email"]) or 0
        oldest = self.desk.now() - DEFAULT_REACH
        return [
            one
            for one in self.desk.tickets.values()
            if (one.updated_at >= since if since else one.created_at >= oldest)
            and not one.archived
            and self._is_in_view(one, view)
            and requester in (None, one.requester_id)
            and company in (None, one.company_id)
        ]

    def _is_in_view(self, one: Ticket, view: str | None) -> bool:
        if view == "deleted":
            return one.deleted
        if view == "spam":
            return one.spam and not one.deleted
        mine = one.status == OPEN and one.responder_id in (None, self.desk.api_agent)
        return not one.is_refused and (view is None or (view == "new_and_my_open" and mine))

    def search(self, call: Call) -> Response:
        """Answer a query, 30 at a time, at most 10 pages; archived tickets are left out."""
        test, page = parse(call.args.get("query", ""), SEARCHABLE), number(call, "page") or 1
        if page > MAX_PAGE:
            raise invalid("page", "It should be a Positive Integer less than or equal to 10")
        found = [self.desk.tickets[facts.get("id")] for facts in self.desk.searchable() if test(facts)]
        shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
        return answer({"total": len(found), "results": [shapes.ticket(self.desk, one) for one in shown]})

    # -------------------------------------------------------------- changing
    def create(self, call: Call) -> Response:
        """Open a ticket; its requester gets the mail that a new ticket sends (UNVERIFIED for tickets of the API)."""
        body = dict(body_of(call))
        check_keys(body, CHANGEABLE | ONLY_WHEN_NEW)
        for name in ("subject", "description"):
            if not body.get(name):
                raise invalid(name, "It should be a/an String", "missing_field")
        if not ("requester_id" in body or "email" in body):
            raise invalid("requester_id", "One of requester_id, email should be present", "missing_field")
        name, parent = body.pop("name", None), body.pop("parent_id", None)
        for ignored in ("cc_emails", "related_ticket_ids"):
            body.pop(ignored, None)
        changes = self._checked(None, body, name)
        ticket = self.desk.create_ticket(self.who, changes, mails_customer=True)
        if parent is not None:
            self._found(int(parent)).association_type = 1
            ticket.parent_id, ticket.association_type = int(parent), 2
        place = {"Location": f"{call.base_url}/{ticket.id}"}
        return answer(shapes.whole_ticket(self.desk, ticket), 201, place)

    def update(self, call: Call, ticket_id: int) -> Response:
        """Change some fields of a ticket."""
        ticket, body = self._writable(ticket_id), body_of(call)
        check_keys(body, CHANGEABLE)
        if not body:
            raise said(400, "missing_params", "Mandatory parameters missing")
        self.desk.change(ticket, self.who, self._checked(ticket, body))
        return answer(shapes.whole_ticket(self.desk, ticket))

    def delete(self, _call: Call, ticket_id: int) -> Response:
        """Move a ticket to the trash."""
        self._writable(ticket_id)
        self.desk.delete(str(ticket_id), by=self.who[0])
        return answer(None, 204)

    def restore(self, _call: Call, ticket_id: int) -> Response:
        """Take a ticket out of the trash or the spam."""
        ticket = self._found(ticket_id)
        ticket.deleted = ticket.spam = False
        ticket.updated_at = self.desk.now()
        self.desk.note_down(ticket, self.who[0], "restored")
        return answer(None, 204)

    def merge(self, call: Call) -> Response:
        """Merge tickets into a primary one."""
        body = body_of(call)
        check_keys(
            body, ("primary_id", "ticket_ids", "note_in_primary", "note_in_secondary", "convert_recepients_to_cc")
        )
        primary = self._writable(int(body.get("primary_id") or 0))
        secondary = [self._writable(int(one)) for one in body.get("ticket_ids") or ()]
        notes = [(body.get(f"note_in_{which}") or {}).get("body", "") for which in ("primary", "secondary")]
        self.desk.merge_tickets(primary, secondary, self.who, notes)
        return answer(None, 204)

    def bulk_update(self, call: Call) -> Response:
        """Take a change of many tickets; the job says for each whether it was done."""
        body = body_of(call)
        check_keys(body, ("bulk_action",))
        action = body.get("bulk_action") or {}
        check_keys(action, ("ids", "properties", "reply"))
        ids, properties = action.get("ids") or [], dict(action.get("properties") or {})
        if not 0 < len(ids) <= MAX_BULK:
            raise invalid("ids", f"It should have 1 to {MAX_BULK} elements")  # UNVERIFIED limit
        silent = ["closed"] if properties.pop("skip_close_notification", False) else []
        check_keys(properties, CHANGEABLE)
        reply = (action.get("reply") or {}).get("body")
        job = Job(f"{self.desk.next_id():024x}", [self._bulk_one(one, properties, reply, silent) for one in ids])
        self.desk.jobs[job.id] = job
        return answer({"job_id": job.id, "href": f"{call.host_url}api/v2/jobs/{job.id}"}, 202)

    def _bulk_one(self, ticket_id: int, properties: dict[str, Any], reply: str | None, silent: list[str]) -> Any:
        try:
            ticket = self._writable(ticket_id)
            self.desk.change(ticket, self.who, self._checked(ticket, properties), silent)
            if reply:
                self.desk.add_reply(ticket, self.who, reply)
        except Refusal as no:
            return {"id": ticket_id, "success": False, "errors": (no.body or {}).get("errors", [])}
        return {"id": ticket_id, "success": True}

    def job(self, _call: Call, job_id: str) -> Response:
        """Answer how far a bulk update is."""
        job = self.desk.jobs.get(job_id)
        if job is None:
            raise not_found()
        job.readings += 1
        if job.readings == 1:
            return answer({"id": job.id, "status": "IN PROGRESS"})
        return answer({"id": job.id, "status": "COMPLETED", "data": job.results})

    # -------------------------------------------------------------- talking
    def add_note(self, call: Call, ticket_id: int) -> Response:
        """Write a note, private unless it says otherwise; `notify_emails` alone are mailed about it."""
        ticket, body = self._writable(ticket_id), body_of(call)
        check_keys(body, ("body", "private", "incoming", "notify_emails", "user_id"))
        private = body.get("private", True)
        made = self.desk.add_note(
            ticket, self.who, _text_of(body), private=private, incoming=body.get("incoming", False),
            author=body.get("user_id"), notify=body.get("notify_emails") or (),
        )  # fmt: skip
        return answer(self._note_shape(made) | {"notified_to": made.to_emails}, 201)

    def add_reply(self, call: Call, ticket_id: int) -> Response:
        """Send a reply to the customer."""
        ticket, body = self._writable(ticket_id), body_of(call)
        check_keys(body, ("body", "from_email", "user_id", "cc_emails", "bcc_emails"))
        made = self.desk.add_reply(ticket, self.who, _text_of(body), author=body.get("user_id"))
        return answer(self._note_shape(made) | {"replied_to": made.to_emails}, 201)

    def _note_shape(self, made: Conversation) -> dict[str, Any]:
        whole = shapes.conversation(made)
        names = "id body body_text private incoming user_id support_email ticket_id attachments created_at updated_at"
        return {name: whole[name] for name in names.split()}

    def edit_note(self, call: Call, said_id: int) -> Response:
        """Change the text of a note; replies refuse."""
        ticket, note = self._said(said_id)
        if note.source != NOTE:
            raise said(405, "method_not_allowed", "Only notes can be edited")
        note.body, note.updated_at = _text_of(body_of(call)), self.desk.now()
        note.edited_at, note.edited_by = note.updated_at, self.desk.api_agent
        self.desk.note_down(ticket, self.who[0], "note_edited")
        return answer(self._note_shape(note))

    def delete_conversation(self, _call: Call, said_id: int) -> Response:
        """Delete a note or reply."""
        ticket, found = self._said(said_id)
        ticket.conversations.remove(found)
        self.desk.note_down(ticket, self.who[0], "conversation_deleted")
        return answer(None, 204)

    def _said(self, said_id: int) -> tuple[Ticket, Conversation]:
        for ticket in self.desk.tickets.values():
            for one in ticket.conversations:
                if one.id == said_id and not ticket.archived:
                    return ticket, one
        raise not_found()

    # -------------------------------------------------------------- which ticket, and may it be so
    def _found(self, ticket_id: int) -> Ticket:
        ticket = self.desk.tickets.get(ticket_id)
        if ticket is None or ticket.archived:  # UNVERIFIED: an archived ticket is 404 here
            raise not_found()
        return ticket

    def _archived(self, ticket_id: int) -> Ticket:
        if "archive" in self.desk.missing_features:
            raise missing_feature("Archive Tickets")
        ticket = self.desk.tickets.get(ticket_id)
        if ticket is None or not ticket.archived:
            raise not_found()
        return ticket

    def _writable(self, ticket_id: int) -> Ticket:
        ticket = self._found(ticket_id)
        if ticket.is_refused:
            message = "The ticket is spam or deleted. It should be restored first"
            raise said(405, "method_not_allowed", message)
        return ticket

    def _checked(self, ticket: Ticket | None, body: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
        """Return the changes that *body* asks for, in our own terms. Raises a 400 that names the field."""
        for key, value in body.items():
            kind, words = TYPES.get(key, (object, ""))
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                message = f"Value set is of type {type(value).__name__}. It should be a/an {words}"
                raise invalid(key, message, "datatype_mismatch")
        changes = dict(body)
        self._check_choices(changes)
        self._check_people(changes)
        for key in ("due_by", "fr_due_by"):
            if changes.get(key):
                changes[key] = parse_moment(key, changes[key])
        if "tags" in changes:
            changes["tags"] = _tags(changes["tags"] or [])
        if email := changes.pop("email", None):
            known = self._contact_id(email)
            changes["requester_id"] = known or int(self.desk.add_customer(name or email, email))
        self._check_form(ticket, changes)
        return changes

    def _check_choices(self, changes: Mapping[str, Any]) -> None:
        own = {field.name for field in self.desk.fields.values()}
        for key in changes.get("custom_fields") or {}:
            if key not in own:
                raise invalid(f"custom_fields.{key}", "Unexpected/invalid field in request", "invalid_field")
        for key, choices in (("status", list(STATUS_LABELS)), ("priority", [1, 2, 3, 4])):
            if key in changes and changes[key] not in choices:
                raise invalid(key, f"It should be one of these values: '{','.join(map(str, choices))}'")

    def _check_people(self, changes: Mapping[str, Any]) -> None:
        responder, group = changes.get("responder_id"), changes.get("group_id")
        agent = self.desk.agents.get(responder or 0)
        if responder is not None and (agent is None or agent.deactivated):
            raise invalid("responder_id", "There is no agent matching the given responder_id")
        if group is not None and group not in self.desk.groups:
            raise invalid("group_id", "There is no group matching the given group_id")
        if agent and group is not None and group not in agent.group_ids and self.desk.checks_membership:
            raise invalid("responder_id", "The agent does not belong to the given group", "incompatible_field")
        requester = changes.get("requester_id")
        if requester is not None and requester not in self.desk.contacts and requester not in self.desk.agents:
            raise invalid("requester_id", "There is no contact matching the given requester_id")

    def _check_form(self, ticket: Ticket | None, changes: Mapping[str, Any]) -> None:
        """Refuse to resolve, or with a strict form to change at all, while a required field is empty."""
        required: set[str] = set(self.desk.required_for_agents) if self.desk.strict_form or ticket is None else set()
        if changes.get("status") in (RESOLVED, CLOSED):
            required |= self.desk.required_for_closure | self.desk.required_for_agents
        for name in sorted(required):
            key = "type" if name == "ticket_type" else name
            stored = {**(ticket.custom_fields if ticket else {}), "type": ticket.type if ticket else None}
            sent = {**changes, **(changes.get("custom_fields") or {})}
            if not sent.get(key, stored.get(key)):
                raise invalid(key, "It should not be blank as this is a mandatory field", "missing_field")

    def _contact_id(self, email: str) -> int | None:
        wish = email.lower()
        return next((one.id for one in self.desk.contacts.values() if one.email.lower() == wish), None)


def _includes(call: Call, known: frozenset[str]) -> list[str]:
    wishes = [name for name in call.args.get("include", "").split(",") if name]
    if set(wishes) - known:
        raise invalid("include", f"It should be one of these values: '{','.join(sorted(known))}'")
    return wishes


def _tags(tags: list[Any]) -> list[str]:
    """Return tags without repetitions. Raises a 400 for what is no tag."""
    if not all(isinstance(tag, str) for tag in tags):
        raise invalid("tags", "It should only contain elements of type String", "datatype_mismatch")
    if any(not tag or len(tag) > MAX_TAG or re.search(r"[,\"]", tag) for tag in tags):
        raise invalid("tags", f"It should only contain elements that have maximum of {MAX_TAG} characters")
    return list(dict.fromkeys(tags))


def _text_of(body: Mapping[str, Any]) -> str:
    if not isinstance(body.get("body"), str) or not body["body"]:
        raise invalid("body", "It should be a/an String", "missing_field")
    return str(body["body"])
