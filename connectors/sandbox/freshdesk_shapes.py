"""Freshdesk stand-in: its records as the JSON of the API.

Keys are those of recorded answers of a live account (2022-11 to 2023-01) and of developers.freshdesk.com/api (read
2026-11-21); absent values are null. The newer CSAT API is known from the schemas of public clients only.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from connectors.sandbox.freshdesk_http import z
from connectors.sandbox.freshdesk_records import (
    EMAIL,
    OUTBOUND,
    PRIORITY_LABELS,
    SOURCE_LABELS,
    STATUS_LABELS,
    Agent,
    Answer,
    Contact,
    Conversation,
    Field,
    Group,
    Rule,
    Ticket,
)

if TYPE_CHECKING:
    from connectors.sandbox.freshdesk import FreshdeskDesk

JSON = dict[str, Any]
ROLES = ("Account Administrator", "Administrator", "Supervisor", "Agent", "Ticket Collaborator")
CHANNEL = "freshdesk"
SUPPORT = "support@sandbox.freshdesk.com"


def role_id(name: str) -> int:
    """Return the id of a role; ids differ from account to account on the vendor's side."""
    return 67_000_159_700 + ROLES.index(name)


def role(desk: FreshdeskDesk, name: str) -> JSON:
    """Return a role."""
    opened = z(desk.opened_at)
    return {
        "id": role_id(name),
        "name": name,
        "description": f"The default role {name}.",
        "default": True,
        "created_at": opened,
        "updated_at": opened,
        "agent_type": 3 if name == "Ticket Collaborator" else 1,
    }


def text_of(markup: str) -> str:
    """Return HTML as the plain text that stands beside it in answers."""
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br\s*/?>", "\n", markup)))


# ------------------------------------------------------------------ people
def agent(record: Agent) -> JSON:
    """Return an agent as lists have it: without groups and roles."""
    return {
        "available": record.available,
        "occasional": record.occasional,
        "id": record.id,
        "ticket_scope": record.ticket_scope,
        "created_at": z(record.created_at),
        "updated_at": z(record.updated_at),
        "last_active_at": z(record.last_active_at),
        "available_since": z(record.presence_at) if record.available else None,
        "type": record.type,
        "contact": {
            "active": False,  # means verified: 12 of 13 recorded, working agents had false
            "email": record.email,
            "job_title": None,
            "language": record.language,
            "last_login_at": z(record.last_active_at),
            "mobile": None,
            "name": record.name,
            "phone": None,
            "time_zone": record.time_zone,
            "created_at": z(record.created_at),
            "updated_at": z(record.updated_at),
        },
        "signature": None,
    }


def whole_agent(record: Agent) -> JSON:
    """Return an agent as GET /agents/{id} has it."""
    return agent(record) | {
        "group_ids": sorted(record.group_ids),
        "role_ids": [role_id(record.role)],
        "skill_ids": [],
        "focus_mode": True,
        "deactivated": record.deactivated,
        "api_key_enabled": True,
    }


def availability(record: Agent) -> JSON:
    """Return the presence of an agent, as the endpoint of 2025 tells it."""
    channel = {
        "channel": CHANNEL,
        "available": record.available,
        "logged_in": record.available,
        "round_robin_enabled": False,
        "assignment_limit": None,
        "current_assignment_load": None,
        "status_id": 1 if record.available else 2,
        "pause_assignment": False,
        "availability_updated_at": z(record.presence_at),
    }
    return {
        "agent_ref": str(record.id),
        "channel_availability": [channel],
        "status_updated_at": z(record.presence_at),
        "availability_control": "agent",
        "idle_enabled": False,
    }


def listed_availability(record: Agent) -> JSON:
    """Return the presence of an agent as GET /agents?only=availability has it."""
    user = {
        "id": record.id,
        "name": record.name,
        "email": record.email,
        "active": not record.deactivated,
        "deleted": False,
        "helpdesk_agent": True,
    }
    more = {"id": record.id, "deactivated": record.deactivated, "legacy_routing": False, "user_data": {"user": user}}
    return availability(record) | more


def group(record: Group) -> JSON:
    """Return a group as lists have it: without its agents."""
    return {
        "id": record.id,
        "name": record.name,
        "description": record.name,
        "escalate_to": record.escalate_to,
        "unassigned_for": record.unassigned_for,
        "business_hour_id": None,
        "group_type": "support_agent_group",
        "created_at": z(record.created_at),
        "updated_at": z(record.created_at),
        "auto_ticket_assign": 0,
    }


def group_member(record: Agent, group_id: int) -> JSON:
    """Return an agent as GET /admin/groups/{id}/agents has it."""
    return {
        "id": record.id,
        "ticket_scope": record.ticket_scope,
        "write_access": group_id in record.group_ids,
        "role_ids": [role_id(record.role)],
        "contact": {"name": record.name, "email": record.email},
    }


def contact(record: Contact) -> JSON:
    """Return a customer."""
    return {
        "active": True,
        "address": None,
        "company_id": record.company_id,
        "created_at": z(record.created_at),
        "custom_fields": {},
        "deleted": record.deleted,
        "description": None,
        "email": record.email,
        "id": record.id,
        "job_title": None,
        "language": record.language,
        "mobile": None,
        "name": record.name,
        "other_companies": [],
        "other_emails": [],
        "phone": None,
        "tags": list(record.tags),
        "time_zone": "UTC",
        "twitter_id": None,
        "unique_external_id": None,
        "updated_at": z(record.updated_at),
        "view_all_tickets": False,
    }


def company(desk: FreshdeskDesk, company_id: int | None) -> JSON | None:
    """Return an organisation of customers, or None."""
    record = desk.companies.get(company_id or 0)
    if record is None:
        return None
    return {
        "id": record.id,
        "name": record.name,
        "description": None,
        "domains": [],
        "note": None,
        "custom_fields": {},
        "health_score": None,
        "account_tier": None,
        "renewal_date": None,
        "industry": None,
        "created_at": z(record.created_at),
        "updated_at": z(record.created_at),
    }


# ------------------------------------------------------------------ tickets
NEVER_SET: JSON = {  # what the stand-in does not simulate
    "cc_emails": [],
    "fwd_emails": [],
    "reply_cc_emails": [],
    "ticket_cc_emails": [],
    "ticket_bcc_emails": [],
    "fr_escalated": False,
    "email_config_id": None,
    "is_escalated": False,
    "associated_tickets_count": None,
    "nr_due_by": None,
    "nr_escalated": False,
    "form_id": None,
}
AS_STORED = (
    "id group_id priority requester_id responder_id source company_id status subject association_type product_id "
    "type spam"
)


def ticket(desk: FreshdeskDesk, record: Ticket, include: Sequence[str] = ()) -> JSON:
    """Return a ticket as lists have it, with what was asked for."""
    by_mail = record.source in (EMAIL, OUTBOUND)
    fields = dict.fromkeys(own.name for own in desk.fields.values())
    shape = NEVER_SET | {name: getattr(record, name) for name in AS_STORED.split()}
    shape |= {name: z(getattr(record, name)) for name in ("due_by", "fr_due_by", "created_at", "updated_at")}
    shape |= {
        "support_email": SUPPORT if by_mail else None,
        "to_emails": [SUPPORT] if by_mail else None,
        "custom_fields": fields | record.custom_fields,
        "tags": list(record.tags),
    }
    if record.deleted:
        shape["deleted"] = True
    return shape | _included(desk, record, include)


def whole_ticket(desk: FreshdeskDesk, record: Ticket, include: Sequence[str] = ()) -> JSON:
    """Return a ticket as GET /tickets/{id} has it."""
    more: JSON = {"attachments": [], "structured_description": None, "source_additional_info": None}
    return ticket(desk, record, ["description", *include]) | more


def _included(desk: FreshdeskDesk, record: Ticket, include: Sequence[str]) -> JSON:
    more: JSON = {}
    if "description" in include:
        more |= {"description": record.description, "description_text": text_of(record.description)}
    if "stats" in include:
        more["stats"] = {name: z(at) for name, at in record.stats.items()}
    if "requester" in include:
        person = desk.contacts.get(record.requester_id) or desk.agents.get(record.requester_id)
        known = {"name": person.name, "email": person.email} if person else {"name": None, "email": None}
        more["requester"] = {"id": record.requester_id, **known, "mobile": None, "phone": None}
    if "company" in include:
        found = company(desk, record.company_id)
        more["company"] = {"id": found["id"], "name": found["name"]} if found else {}
    if "conversations" in include:
        more["conversations"] = [conversation(said) for said in record.conversations[:10]]
    return more


def conversation(record: Conversation) -> JSON:
    """Return a reply, note or answered survey."""
    incoming = record.incoming
    return {
        "body": record.body,
        "body_text": text_of(record.body),
        "id": record.id,
        "incoming": incoming,
        "private": record.private,
        "user_id": record.user_id,
        "support_email": SUPPORT if record.category == 3 else None,
        "source": record.source,
        "category": record.category,
        "to_emails": None if incoming else record.to_emails,
        "from_email": None,
        "cc_emails": [],
        "bcc_emails": None,
        "email_failure_count": None,
        "outgoing_failures": None,
        "thread_id": None,
        "thread_message_id": None,
        "created_at": z(record.created_at),
        "updated_at": z(record.updated_at),
        "last_edited_at": z(record.edited_at),
        "last_edited_user_id": record.edited_by,
        "attachments": [],
        "automation_id": record.automation_id,
        "automation_type_id": None,
        "auto_response": False,
        "ticket_id": record.ticket_id,
        "source_additional_info": None,
    }


# ------------------------------------------------------------------ surveys
def rating(desk: FreshdeskDesk, record: Answer) -> JSON:
    """Return an answer as the long-standing API (2A) has it."""
    return {
        "id": record.id,
        "survey_id": desk.survey_id,
        "user_id": record.user_id,
        "agent_id": record.agent_id,
        "feedback": record.comment,
        "group_id": record.group_id,
        "ticket_id": record.ticket_id,
        "created_at": z(record.created_at),
        "updated_at": z(record.updated_at),
        "ratings": {"default_question": record.value},
    }


def survey(desk: FreshdeskDesk) -> JSON:
    """Return the account's one survey as the long-standing API (2A) has it."""
    opened = z(desk.opened_at)
    question = {
        "id": "default_question",
        "label": "How would you rate your overall satisfaction for the resolution provided by the agent?",
        "accepted_ratings": list(reversed(desk.scale())),
        "default": True,
    }
    return {
        "id": desk.survey_id,
        "title": "Default Survey",
        "active": True,
        "created_at": opened,
        "updated_at": opened,
        "questions": [question],
    }


def survey_uuid(desk: FreshdeskDesk) -> str:
    """Return the id that the newer API (2B) gives the survey."""
    return f"{crc32(desk.name.encode()):08x}-0000-4000-8000-{desk.survey_id:012x}"


def response(desk: FreshdeskDesk, record: Answer) -> JSON:
    """Return an answer as the newer API (2B) has it: ids are strings, words are answers of text questions."""
    said = [("Q_1", "How satisfied are you?", record.value), ("Q_2", "Why?", record.reason)]
    said.append(("Q_3", "What could we do better?", record.comment))
    return {
        "id": str(record.id),
        "survey_id": survey_uuid(desk),
        "survey_version_id": "1",
        "user_id": str(record.user_id),
        "agent_id": str(record.agent_id) if record.agent_id else None,
        "group_id": str(record.group_id) if record.group_id else None,
        "ticket_id": record.ticket_id,
        "status": "COMPLETED",
        "answers": [
            {"question_id": question, "question_text": text, "value": value}
            for question, text, value in said
            if value is not None
        ],
        "created_at": z(record.created_at),
        "updated_at": z(record.updated_at),
    }


def new_survey(desk: FreshdeskDesk) -> JSON:
    """Return the account's one survey as the newer API (2B) has it."""
    low, high = desk.scale()[0], desk.scale()[-1]
    labels = ["Very unsatisfied", *("",) * (high - low - 1), "Very satisfied"]
    scale = {"min": low, "max": high, "variant": "STAR", "order": "ASC", "labels": labels,
             "score_ranges": _score_ranges(low, high)}  # fmt: skip
    ratings = [{"value": value, "label": label} for value, label in zip(range(low, high + 1), labels, strict=True)]
    return {
        "id": survey_uuid(desk),
        "title": "Customer satisfaction",
        "description": None,
        "header_message": None,
        "state": "ACTIVE",
        "language": "en",
        "questions": [
            _question("Q_1", "CSAT", "range", "How satisfied are you?", {"scale": scale, "ratings": ratings}),
            _question("Q_2", "REASON", "choice", "Why?", {"choices": [], "multiple": False}),
            _question("Q_3", "COMMENT", "paragraph", "What could we do better?", {"multiline": True}),
        ],
        "created_at": z(desk.opened_at),
        "updated_at": z(desk.opened_at),
    }


def _question(name: str, identifier: str, kind: str, text: str, more: JSON) -> JSON:
    return {
        "type": kind,
        "id": name,
        "question_identifier": identifier,
        "text": text,
        "required": identifier == "CSAT",
        "deleted": False,
        "display_logic": None,
        "skip_logic": None,
    } | more


def _score_ranges(low: int, high: int) -> list[JSON]:
    """Return which points the vendor calls unhappy, neutral and happy; a middle exists on odd scales only."""
    middle = (low + high) / 2
    bands = (
        ("unhappy", [p for p in range(low, high + 1) if p < middle]),
        ("neutral", [p for p in range(low, high + 1) if p == middle]),
        ("happy", [p for p in range(low, high + 1) if p > middle]),
    )
    return [{"id": label, "min": points[0], "max": points[-1], "label": label} for label, points in bands if points]


# ------------------------------------------------------------------ settings
ALWAYS_REQUIRED = frozenset({"status", "priority", "source", "requester", "subject", "description"})


def ticket_fields(desk: FreshdeskDesk) -> list[JSON]:
    """Return the form of a ticket: the default fields, then those that an admin has added."""
    agents = {agent.name: agent.id for agent in desk.agents.values() if not agent.deactivated}
    groups = {group.name: group.id for group in desk.groups.values()}
    default = [
        ("requester", "Search a requester", None),
        ("subject", "Subject", None),
        ("ticket_type", "Type", ["Question", "Incident", "Problem", "Feature Request", "Refund"]),
        ("source", "Source", {label: code for code, label in SOURCE_LABELS.items()}),
        ("status", "Status", {str(code): list(labels) for code, labels in STATUS_LABELS.items()}),
        ("priority", "Priority", {label: code for code, label in PRIORITY_LABELS.items()}),
        ("group", "Group", groups),
        ("agent", "Agent", agents),
        ("product", "Product", {name: product for product, name in desk.products.items()}),
        ("description", "Description", None),
    ]
    shapes = [
        _field(desk, 67_000_439_400 + at, name, label, kind=f"default_{name}", choices=choices)
        for at, (name, label, choices) in enumerate(default)
    ]
    return shapes + [custom_field(desk, own) for own in desk.fields.values()]


def custom_field(desk: FreshdeskDesk, record: Field) -> JSON:
    """Return a field that an admin has added."""
    shape = _field(desk, record.id, record.name, record.label, kind=record.type, choices=record.choices)
    created = z(record.created_at)
    more = {"default": False, "label_for_customers": record.label_for_customers}
    return shape | more | {"created_at": created, "updated_at": created}


def _field(desk: FreshdeskDesk, number: int, name: str, label: str, *, kind: str, choices: Any) -> JSON:
    opened = z(desk.opened_at)
    return {
        "id": number,
        "name": name,
        "label": label,
        "label_for_customers": label,
        "type": kind,
        "default": True,
        "customers_can_edit": False,
        "required_for_closure": name in desk.required_for_closure,
        "required_for_agents": name in ALWAYS_REQUIRED | desk.required_for_agents,
        "required_for_customers": False,
        "displayed_to_customers": False,
        "created_at": opened,
        "updated_at": opened,
        **({"choices": choices} if choices is not None else {}),
    }


def rule(record: Rule) -> JSON:
    """Return an automation rule."""
    made = {"id": record.id, "created_at": z(record.created_at), "updated_at": z(record.updated_at)}
    counted = {"outdated": False, "affected_tickets_count": 0, "summary": {"name": record.name}}
    return record.body | made | counted
