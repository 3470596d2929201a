"""The data that flows through the house: what helpdesks say, what we decide, what we do.

All values are frozen; ids are `str`; times are aware and in UTC. Nothing here imports anything of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

REQUEST = "request:"  # begins the id of what stands for a rating where an agent asked for a recovery


# ------------------------------------------------------------------ what a helpdesk says
class Category(StrEnum):
    """How the helpdesk itself classes a rating."""

    BAD = "bad"
    NEUTRAL = "neutral"
    GOOD = "good"

    def is_better_than(self, other: Category) -> bool:
        """True if the customer is happier; the order of the members is the order of happiness."""
        order = list(Category)
        return order.index(self) > order.index(other)


class Status(StrEnum):
    """What can be done with a ticket, in the words of both helpdesks."""

    NEW = "new"
    OPEN = "open"
    PENDING = "pending"
    HOLD = "hold"
    SOLVED = "solved"  # can be reopened
    CLOSED = "closed"  # Zendesk: locked. Freshdesk: can be reopened, its connector says SOLVED
    ARCHIVED = "archived"  # Freshdesk: read-only for ever
    DELETED = "deleted"
    SPAM = "spam"
    MERGED = "merged"

    @property
    def is_gone(self) -> bool:
        """Nothing can or should be done with such a ticket."""
        return self in (Status.DELETED, Status.SPAM, Status.MERGED)

    @property
    def is_solved(self) -> bool:
        """The work on it is done, for now or for ever."""
        return self in (Status.SOLVED, Status.CLOSED, Status.ARCHIVED)

    @property
    def is_locked(self) -> bool:
        """It can be read, never written again."""
        return self in (Status.CLOSED, Status.ARCHIVED)


def point_of(value: int, scale_max: int) -> float:
    """Return where a value from 1 to *scale_max* stands on a scale from 1 to 5: mapped linearly and unrounded."""
    return 1 + 4 * (value - 1) / (scale_max - 1)


@dataclass(frozen=True)
class Rating:
    """One answer of a customer to a satisfaction survey.

    *value* is the position on the account's scale, 1 (worst) to *scale_max* (best).
    *assignee_id* and *group_id* are those of the moment of the rating, as the helpdesk recorded them.
    """

    rating_id: str  # unique per account
    ticket_id: str
    category: Category
    value: int
    scale_max: int
    rated_at: datetime
    updated_at: datetime
    comment: str | None = None
    reason: str | None = None  # the reason that the customer picked
    requester_id: str | None = None
    assignee_id: str | None = None
    group_id: str | None = None

    @property
    def point(self) -> float:
        """The value on a scale from 1 to 5, mapped linearly and unrounded."""
        return point_of(self.value, self.scale_max)

    @cached_property
    def version(self) -> str:
        """Changes whenever the customer changes the answer: 16 hexadecimal digits."""
        said = (
            f"{self.value}/{self.scale_max}\0{self.comment or ''}\0{self.reason or ''}\0{self.updated_at:%Y%m%d%H%M%S}"
        )
        return hashlib.blake2b(repr(said).encode("utf-8", "replace"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Malformed:
    """A record that cannot be read: kept with its error, never blocking the ones behind it."""

    key: str  # the record's id where it has one, else a digest of its text
    raw: str  # bounded JSON text
    error: str


@dataclass(frozen=True)
class RatingPage:
    """One page of ratings with the cursor that resumes behind it; both are stored in one transaction."""

    ratings: tuple[Rating, ...]
    malformed: tuple[Malformed, ...]
    cursor: str  # opaque; only the connector that made it reads it


@dataclass(frozen=True)
class Requester:
    """The customer of a ticket. Name and address are used and forgotten, never stored."""

    requester_id: str
    name: str | None = None
    email: str | None = field(default=None, repr=False)
    language: str | None = None  # BCP 47, as far as the helpdesk has it: "de", "en-us"
    tags: frozenset[str] = frozenset()
    organization_tags: frozenset[str] = frozenset()
    suspended: bool = False


@dataclass(frozen=True)
class Ticket:
    """A ticket as it was read at *read_at*, with what a conditional write needs."""

    ticket_id: str
    status: Status
    updated_at: datetime
    read_at: datetime  # the helpdesk's own clock (Date header)
    stamp: str = ""  # what the helpdesk compares in a conditional write, verbatim
    subject: str = ""
    tags: tuple[str, ...] = ()
    assignee_id: str | None = None
    group_id: str | None = None
    priority: str | None = None  # low, normal, high, urgent
    channel: str | None = None  # email, chat, phone, web, api, social, messaging, other
    brand: str | None = None  # the name of the Zendesk brand or Freshdesk product
    requester: Requester | None = None
    reopens: int | None = None  # times reopened; None where the helpdesk does not say
    marker: str | None = None  # of our last write that the ticket carries
    rated: Category | None = None  # the rating that the ticket shows now, where it shows one
    merged_into: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)  # of the account's own, by the keys of `Needs.fields`


@dataclass(frozen=True)
class Agent:
    """A member of staff as the helpdesk knows them.

    *unusable* says why they cannot be given a ticket; None means that they can.
    *away_since* is when their presence last changed, if it now says away or offline.
    *out_of_office* names the tag, field or status that says so.
    """

    agent_id: str
    name: str
    email: str = field(default="", repr=False)
    group_ids: tuple[str, ...] = ()
    default_group_id: str | None = None
    unusable: str | None = None
    away_since: datetime | None = None
    out_of_office: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True)
class Directory:
    """The people and groups of one account, as read at *read_at*."""

    read_at: datetime
    agents: Mapping[str, Agent]
    groups: Mapping[str, str]  # id -> name; only groups that can be assigned
    brands: Mapping[str, str] = field(default_factory=dict)  # id -> name
    own_id: str | None = None  # the agent whose credentials we use: nobody who can be given a colleague's ticket

    def group_named(self, name: str) -> str | None:
        """Return the id of the group with this name, in any letter case."""
        return next((gid for gid, found in self.groups.items() if found.casefold() == name.casefold()), None)

    def agent_with_email(self, email: str) -> Agent | None:
        """Return the agent with this address, in any letter case."""
        return next((a for a in self.agents.values() if a.email.casefold() == email.casefold()), None)

    def members(self, group_id: str) -> list[Agent]:
        """Return the agents of a group, in the order of their ids."""
        found = (a for a in self.agents.values() if group_id in a.group_ids)
        return sorted(found, key=lambda agent: agent.agent_id)


class DeedKind(StrEnum):
    """What a person did to a ticket."""

    EDITED = "edited"  # an agent changed a field, or wrote a private note
    REPLIED = "replied"  # an agent wrote to the customer
    SOLVED = "solved"  # it became solved or closed, whoever did it
    REOPENED = "reopened"  # it left solved or closed, whoever did it
    CUSTOMER_WROTE = "customer_wrote"


@dataclass(frozen=True)
class Deed:
    """One thing that a person did to a ticket; our own writes and those of automations are no deeds."""

    kind: DeedKind
    at: datetime
    agent_id: str | None = None  # None: not an agent, or the helpdesk does not say who


@dataclass(frozen=True, slots=True)  # there is one for each open case
class Watched:
    """A ticket with an open case, as it was last read."""

    ticket_id: str
    stamp: str  # `Ticket.stamp` of the last reading; "" for none
    since: datetime  # deeds before this are known


@dataclass(frozen=True)
class Activity:
    """A watched ticket that changed, and what people did to it since, oldest first."""

    ticket: Ticket
    deeds: tuple[Deed, ...]


# ------------------------------------------------------------------ what we decide
class Severity(StrEnum):
    """How much attention a case gets; the order of the members is the order of weight."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def weight(self) -> int:
        """0 for low to 3 for critical."""
        return list(Severity).index(self)


class Stage(StrEnum):
    """Where a case stands. Milestones are times on the case; the stage is the furthest one that holds."""

    UNCONFIRMED = "unconfirmed"  # bad without a word, and young: perhaps a mail scanner clicked
    ASSIGNED = "assigned"
    ACKNOWLEDGED = "acknowledged"
    CONTACTED = "contacted"
    SOLVED = "solved"
    SURVEYED = "surveyed"
    ENDED = "ended"  # exactly one Outcome


class Outcome(StrEnum):
    """How a case ended."""

    RECOVERED = "recovered"
    IMPROVED = "improved"
    NOT_RECOVERED = "not_recovered"
    NO_RESPONSE = "no_response"
    UNFIXABLE = "unfixable"
    STOPPED = "stopped"
    DISMISSED = "dismissed"  # deleted, merged, spam, rating withdrawn, shadow


class SurveyWay(StrEnum):
    """How the customer is asked again."""

    HELPDESK = "helpdesk"  # by the helpdesk's own survey
    LINK = "link"  # by our own question, behind a signed link
    ADOPTED = "adopted"  # the helpdesk had asked by itself


@dataclass(frozen=True)
class Answer:
    """What the customer said after the repair; the first rating stays what it was."""

    at: datetime
    category: Category
    value: int
    scale_max: int
    rating_id: str | None = None  # None: given to our own question


@dataclass(frozen=True)
class Change:
    """What one combined write does to one ticket. None leaves a thing as it is."""

    add_tags: tuple[str, ...] = ()
    assignee_id: str | None = None
    group_id: str | None = None
    unassign: bool = False  # leave it in *group_id* with nobody
    reopen: bool = False
    priority: str | None = None
    note: str | None = None  # private, plain text; the connector escapes it for its helpdesk
    note_first: bool = False  # a new ticket begins with the private note
    solve_again: bool = False  # a solved ticket is reopened and solved again, so that it stays open to answers longer

    @property
    def is_empty(self) -> bool:
        """True if there is nothing left to write."""
        return self == Change()

    @property
    def parts(self) -> list[str]:
        """Name what it does, without the words of the note."""
        owner = f"assign to {self.assignee_id} in group {self.group_id}" if self.assignee_id else ""
        nobody = f"leave unassigned in group {self.group_id}" if self.unassign else ""
        priority = f"priority {self.priority}" if self.priority else ""
        tags = f"tags + {', '.join(self.add_tags)}" if self.add_tags else ""
        again = "reopen and solve again" * self.solve_again
        named = ("reopen" * self.reopen, again, owner, nobody, priority, tags, "private note" if self.note else "")
        return [part for part in named if part]


class EffectKind(StrEnum):
    """What an effect does to the world."""

    UPDATE = "update"  # one combined write to the ticket
    FOLLOW_UP = "follow_up"  # a new ticket that continues a closed one
    ALERT = "alert"  # a message to a member of staff
    SURVEY = "survey"  # the second question, to the customer


class EffectState(StrEnum):
    """The life of an effect; those after SENDING are terminal, except PARKED, which `retry` plans again."""

    PLANNED = "planned"
    SENDING = "sending"
    APPLIED = "applied"
    ADOPTED = "adopted"  # found to have happened already: after a crash or a lost answer
    REFUSED = "refused"  # the helpdesk said no, and the case went on without it
    SUPERSEDED = "superseded"  # no longer wanted
    PARKED = "parked"  # waits for a human
    SHADOW = "shadow"  # decided in shadow mode; never sent


@dataclass(frozen=True)
class Effect:
    """Something to do, as data, stored before it is done."""

    effect_id: str  # random; `sr-<effect_id>` is the marker in the helpdesk
    case_id: str
    account: str
    ticket_id: str
    kind: EffectKind
    step: str  # flag, confirm, withdraw, join, ask:<attempt>, tell:<person>; one effect of a kind for each
    generation: int = 0  # counts re-decisions of the same step
    change: Change = Change()
    seen_assignee_id: str | None = None  # who held the ticket when this was decided
    person: str | None = None  # ALERT: whom to tell, by their name in rules.yaml
    target: str | None = None  # ALERT: the address, channel or url at which they are told
    text: str | None = None  # ALERT: what
    bundle: str | None = None  # ALERT: those of one bundle to one target leave as one message
    way: SurveyWay | None = None  # SURVEY, and a FOLLOW_UP that carries one
    not_before: datetime | None = None

    @property
    def marker(self) -> str:
        """What the write leaves in the helpdesk, so that it is found again."""
        return f"sr-{self.effect_id}"


@dataclass(frozen=True)
class LadderStep:
    """One rung of `assign_to_first_available`: whom it found, or why nobody."""

    rung: str
    agent_id: str | None
    why: str


@dataclass(frozen=True)
class Case:
    """One bad rating being recovered."""

    case_id: str
    account: str
    ticket_id: str
    rating_id: str
    category: Category
    rating: int
    scale_max: int
    rated_at: datetime
    flagged_at: datetime
    rule: str
    rules_hash: str
    playbook: str
    severity: Severity
    stage: Stage
    due_at: datetime | None  # None only when ENDED
    next_step: str  # what happens at due_at, for people
    reason: str  # of the last decision, for people
    original_agent_id: str | None
    assignee_id: str | None
    group_id: str | None
    ladder: tuple[LadderStep, ...] = ()
    customer: str | None = None  # keyed hash of the requester's address, or account:requester_id
    work_ticket_id: str | None = None  # the follow-up ticket that carries the recovery, where there is one
    survey_ticket_id: str | None = None
    outcome: Outcome | None = None
    assigned_at: datetime | None = None
    confirmed_at: datetime | None = None
    acknowledged_at: datetime | None = None  # first edit by the owner
    contacted_at: datetime | None = None  # first public reply by a human
    replied_at: datetime | None = None  # the last one
    nudged_at: datetime | None = None  # when the owner was told that the customer hears nothing
    promise: str | None = None  # what was promised
    promised_by: datetime | None = None  # until when
    promise_broken_at: datetime | None = None  # when its breach was told
    solved_at: datetime | None = None  # since when it is solved
    checked_in_at: datetime | None = None  # when the owner was asked whether the solution holds
    asked_at: datetime | None = None  # when the customer was asked again
    asked_by: SurveyWay | None = None
    reminded_at: datetime | None = None  # when the customer was reminded of the question, once at most
    not_asked: str | None = None  # why the customer is not asked again
    answer: Answer | None = None
    ended_at: datetime | None = None
    attempt: int = 1  # a second bad answer starts at most one more
    deadlines_done: int = 0  # how many deadlines of this attempt have been acted on, the shortest first
    chosen_by_human: bool = False  # somebody gave the ticket to its present owner: it is never taken from them
    seen_stamp: str = ""  # of the ticket when people were last looked for
    seen_at: datetime | None = None
    incident: str | None = None  # the incident that it is part of: its alerts go out as one list
    cause_asked_at: datetime | None = None
    cause: str | None = None  # what was learned when it ended
    remedy: str | None = None
    party: str | None = None  # service, product, policy, third_party
    version: int = 0  # compare-and-set

    @property
    def is_open(self) -> bool:
        """True until the case has ended with an outcome."""
        return self.stage is not Stage.ENDED

    @property
    def begun_at(self) -> datetime:
        """Since when its deadlines count: a case may begin anew."""
        return self.confirmed_at or self.flagged_at

    @property
    def is_request(self) -> bool:
        """True if an agent asked for it with the tag `sr_request`; then there is no rating."""
        return self.rating_id.startswith(REQUEST)

    @property
    def carrier_id(self) -> str:
        """The ticket on which the recovery happens."""
        return self.work_ticket_id or self.ticket_id

    @property
    def ticket_ids(self) -> frozenset[str]:
        """All tickets of this case: the rated one, and those that continue it."""
        return frozenset(filter(None, (self.ticket_id, self.work_ticket_id, self.survey_ticket_id)))


@dataclass(frozen=True)
class Audit:
    """One row per decision, append-only. *facts* are the values seen, never the customer's words."""

    at: datetime
    account: str
    ticket_id: str
    what: str  # flagged, ignored, no_rule, memory, joined, confirmed, applied, refused, ...
    reason: str
    case_id: str | None = None
    rating_id: str | None = None
    rule: str | None = None
    rules_hash: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The only output of thinking: the case as it is now, why, and what to do."""

    audit: Audit
    case: Case | None = None  # None: nothing to recover, and the audit says why
    effects: tuple[Effect, ...] = ()


# ------------------------------------------------------------------ what a write came to
@dataclass(frozen=True)
class Question:
    """The second question on its way to the requester; made when it leaves and never stored: its link is a secret.

    A rule in the helpdesk mails *text* to the requester alone, and adds the helpdesk's own survey if *adds_survey*.
    """

    text: str = field(repr=False)
    adds_survey: bool


@dataclass(frozen=True)
class Write:
    """An effect on its way to the helpdesk: *ticket* is the reading that the write depends on.

    *repeat* says that it may have been sent before, so that an append must first be looked for.
    """

    effect: Effect
    ticket: Ticket
    change: Change
    repeat: bool = False
    question: Question | None = None  # a new ticket that carries one is solved from the beginning


@dataclass(frozen=True)
class Sending:
    """Yielded immediately before a request leaves: the intent to store first."""

    effect_ids: tuple[str, ...]


@dataclass(frozen=True)
class Accepted:
    """The helpdesk took a batch and will work on it: *job* finds its result again."""

    effect_ids: tuple[str, ...]
    job: str


class Verdict(StrEnum):
    """What became of one write."""

    APPLIED = "applied"
    ADOPTED = "adopted"  # it had happened before
    CONFLICT = "conflict"  # the ticket changed since it was read: read and decide again
    LOCKED = "locked"  # the ticket is closed or archived by now
    GONE = "gone"  # deleted, spam or merged by now
    BAD_ASSIGNEE = "bad_assignee"  # the helpdesk will not give the ticket to this agent or group
    REFUSED = "refused"  # any other no
    UNKNOWN = "unknown"  # no usable answer: may or may not have happened


@dataclass(frozen=True)
class Written:
    """The result of one write."""

    effect_id: str
    verdict: Verdict
    why: str = ""
    ticket_id: str | None = None  # FOLLOW_UP: the new ticket
    may_have_arrived: bool = False  # REFUSED: because an earlier try of the question may have reached the customer


News = Sending | Accepted | Written
