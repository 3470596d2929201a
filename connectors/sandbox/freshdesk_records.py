"""The records of the Freshdesk stand-in and the codes that Freshdesk uses for them.

Codes: developers.freshdesk.com/api (read 2026-11-21), sections Tickets, Conversations and Satisfaction Ratings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

OPEN, PENDING, RESOLVED, CLOSED, WAITING_ON_CUSTOMER, WAITING_ON_THIRD_PARTY = 2, 3, 4, 5, 6, 7
STATUS_LABELS = {
    OPEN: ("Open", "Being Processed"),
    PENDING: ("Pending", "Awaiting your Reply"),
    RESOLVED: ("Resolved", "This ticket has been Resolved"),
    CLOSED: ("Closed", "This ticket has been Closed"),
    WAITING_ON_CUSTOMER: ("Waiting on Customer", "Awaiting your Reply"),
    WAITING_ON_THIRD_PARTY: ("Waiting on Third Party", "Being Processed"),
}
# the words of both helpdesks, which the verbs take and the ledger writes
STATUS_WORDS = {OPEN: "open", PENDING: "pending", RESOLVED: "solved", CLOSED: "closed"}
PRIORITY_WORDS = {1: "low", 2: "normal", 3: "high", 4: "urgent"}
PRIORITY_LABELS = {1: "Low", 2: "Medium", 3: "High", 4: "Urgent"}

EMAIL, PORTAL, PHONE, TWITTER, FACEBOOK, CHAT, WIDGET, OUTBOUND, WHATSAPP = 1, 2, 3, 5, 6, 7, 9, 10, 13
CHANNELS = {
    "email": EMAIL,
    "web": PORTAL,
    "phone": PHONE,
    "chat": CHAT,
    "widget": WIDGET,
    "social": FACEBOOK,
    "messaging": WHATSAPP,
    "outbound": OUTBOUND,
    "api": PORTAL,
}
SOURCE_LABELS = {
    EMAIL: "Email",
    PORTAL: "Portal",
    PHONE: "Phone",
    TWITTER: "Twitter",
    FACEBOOK: "Facebook",
    CHAT: "Chat",
    WIDGET: "Feedback Widget",
    OUTBOUND: "Outbound Email",
    WHATSAPP: "WhatsApp",
}

REPLY, NOTE, FEEDBACK = 0, 2, 6  # conversation.source
BY_CUSTOMER, IS_NOTE, BY_AGENT, IS_FEEDBACK = 1, 2, 3, 7  # conversation.category; 1 is not documented

# survey codes from worst to best; which of them the 2-, 5- and 7-point scales use is UNVERIFIED
SIGNED_CODES = {
    2: (-103, 103),
    3: (-103, 100, 103),
    5: (-103, -102, 100, 102, 103),
    7: (-103, -102, -101, 100, 101, 102, 103),
}
CLASSIC_CODES = (3, 2, 1)  # 3 is UNHAPPY


@dataclass
class Company:
    """An organisation of customers."""

    id: int
    name: str
    created_at: datetime


@dataclass
class Contact:
    """A customer."""

    id: int
    name: str
    email: str
    created_at: datetime
    updated_at: datetime
    tags: list[str] = field(default_factory=list)
    language: str = "en"
    company_id: int | None = None
    deleted: bool = False


@dataclass
class Agent:
    """A member of staff. *available* and *presence_at* are what the availability endpoint tells."""

    id: int
    name: str
    email: str
    created_at: datetime
    updated_at: datetime
    last_active_at: datetime
    group_ids: set[int] = field(default_factory=set)
    role: str = "Agent"  # Agent, Supervisor, Administrator, Account Administrator, Ticket Collaborator
    type: str = "support_agent"
    occasional: bool = False
    ticket_scope: int = 1
    deactivated: bool = False
    time_zone: str = "UTC"
    language: str = "en"
    available: bool = False
    presence_at: datetime | None = None


@dataclass
class Group:
    """A group of agents."""

    id: int
    name: str
    created_at: datetime
    escalate_to: int | None = None
    unassigned_for: str | None = None


@dataclass
class Conversation:
    """One reply, note or answered survey of a ticket."""

    id: int
    ticket_id: int
    user_id: int
    body: str  # HTML
    source: int
    category: int
    incoming: bool
    private: bool
    created_at: datetime
    updated_at: datetime
    to_emails: list[str] = field(default_factory=list)
    automation_id: int | None = None
    edited_at: datetime | None = None
    edited_by: int | None = None


STATS = (
    "agent_responded_at",
    "requester_responded_at",
    "first_responded_at",
    "status_updated_at",
    "reopened_at",
    "resolved_at",
    "closed_at",
    "pending_since",
)


@dataclass
class Ticket:
    """A ticket; the fields that a PUT may carry have the names of the API."""

    id: int
    requester_id: int
    subject: str
    description: str  # HTML
    created_at: datetime
    updated_at: datetime
    status: int = OPEN
    priority: int = 1
    source: int = EMAIL
    type: str | None = None
    responder_id: int | None = None
    group_id: int | None = None
    product_id: int | None = None
    company_id: int | None = None
    tags: list[str] = field(default_factory=list)
    custom_fields: dict[str, Any] = field(default_factory=dict)
    due_by: datetime | None = None
    fr_due_by: datetime | None = None
    spam: bool = False
    deleted: bool = False
    archived: bool = False
    association_type: int | None = None
    parent_id: int | None = None
    merged_into: int | None = None
    stats: dict[str, datetime | None] = field(default_factory=lambda: dict.fromkeys(STATS))
    conversations: list[Conversation] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Spam and deleted tickets refuse every write."""
        return self.spam or self.deleted


@dataclass(slots=True)
class Answer:
    """One answered survey: *value* is the code of the question about satisfaction, as the account's scale has it."""

    id: int
    ticket_id: int
    user_id: int
    agent_id: int | None  # the responder at that moment
    group_id: int | None
    value: int
    comment: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime


@dataclass
class Field:
    """A custom field of tickets."""

    id: int
    name: str
    label: str
    label_for_customers: str
    type: str
    created_at: datetime
    choices: Any = None


ON_CREATION, HOURLY, ON_UPDATE = 1, 3, 4


@dataclass
class Rule:
    """An automation rule; *body* is what the API takes and gives."""

    id: int
    kind: int
    body: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """Return the title that the ledger names."""
        return str(self.body["name"])

    @property
    def active(self) -> bool:
        """False for a rule that was switched off."""
        return bool(self.body.get("active", True))


@dataclass
class Job:
    """A bulk update: done at once, but the first reading still says that it is in progress."""

    id: str
    results: list[dict[str, Any]]
    readings: int = 0


# ------------------------------------------------------------------ words of people, of the API and of the ledger
LEDGER_WORDS = {"responder_id": "assignee", "group_id": "group"}


def html_of(text: str) -> str:
    """Return what somebody typed as the HTML that Freshdesk keeps."""
    return f"<div>{escape(text, quote=False)}</div>"


def in_api_words(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Translate what people say about a ticket into the fields of the API. Raises TypeError for anything else."""
    fields: dict[str, Any] = {}
    ids = {"group": "group_id", "assignee": "responder_id", "product": "product_id"}
    for name, value in changes.items():
        if name == "status":
            fields[name] = _code(STATUS_WORDS, {"resolved": RESOLVED, "new": OPEN}, value)
        elif name == "priority":
            fields[name] = _code(PRIORITY_WORDS, {"medium": 2}, value)
        elif name in ids:
            fields[ids[name]] = int(value) if value else None
        elif name in ("tags", "type", "subject", "custom_fields"):
            fields[name] = list(value) if name == "tags" else value
        else:
            raise TypeError(f"a Freshdesk ticket has no {name!r}")
    return fields


def _code(words: Mapping[int, str], synonyms: Mapping[str, int], said: str | int) -> int:
    if isinstance(said, int):
        return said
    return {word: code for code, word in words.items()}.get(said) or synonyms[said]


def ledger_value(what: str, value: Any) -> Any:
    """Return a value of a field as the ledger writes it: words and string ids."""
    if what == "status":
        return STATUS_WORDS.get(value, value)
    if what == "priority":
        return PRIORITY_WORDS.get(value, value)
    if what.endswith("_id") and value is not None:
        return str(value)
    return list(value) if isinstance(value, list) else value
