"""What the stand-in helpdesks share: a clock that can be set, mail that can be read, and faults to order.

A desk is one helpdesk account. Customers and agents act on it through the verbs of `Desk`; programs act on it through
the vendor's HTTP API, which the desk serves as a WSGI application. Everything that happens is written to the ledger.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

_LINK = re.compile(r"https?://[^\s<>\"']+")


class Clock:
    """The time in the sandbox: stands still until it is set or advanced, unless it is *ticking* with the real one."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the present, aware and in UTC."""
        return (self._start or datetime.now(UTC)) + self._offset

    def set(self, moment: datetime) -> None:
        """Stand still at *moment*."""
        self._start, self._offset = moment.astimezone(UTC), timedelta()

    def advance(self, step: timedelta) -> None:
        """Move on by *step*."""
        self._offset += step


@dataclass(frozen=True)
class Mail:
    """A mail that a helpdesk sent to a person because of a trigger, an automation or a reply."""

    at: datetime
    desk: str
    to: str  # the address
    kind: str  # request_received, reply, solved, assigned, closed, survey, question (a rule's, with a link), rule, ...
    ticket_id: str
    subject: str = ""
    text: str = ""
    rule: str = ""  # the title of the trigger, automation or rule that sent it; empty for the vendor's notifications
    actor: str = ""  # whose act set it off, as the ledger names them
    to_customer: bool = False

    @property
    def link(self) -> str:
        """Return the first link in its text; empty if there is none."""
        found = _LINK.search(self.text)
        return found[0].rstrip(".,;:)").replace("&amp;", "&") if found else ""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: who did what to which ticket."""

    at: datetime
    desk: str
    actor: str  # agent or customer id, "api:<agent id>", "rule:<title>"
    what: str  # created, status, assignee, group, tags, priority, public_comment, private_note, rated, merged, ...
    ticket_id: str
    before: Any = None
    after: Any = None


@dataclass
class Fault:
    """Something that goes wrong with the next request that matches; used up once it has happened *times* times.

    *kind*: "status" (answer *status* with *headers* and *body*), "html" (200 with a login page), "truncated" (half of
    the JSON), "reset" (the connection breaks before anything is done), "lost" (it is done, then the connection breaks),
    "slow" (answer after *seconds*).
    """

    kind: str
    path: str = ""  # a part of the path that must match; empty matches all
    method: str = ""  # empty matches all
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 0.0
    times: int = 1


@dataclass(frozen=True)
class Request:
    """One request as a desk saw it, for counting and for looking at."""

    at: datetime
    method: str
    path: str
    query: str
    body: Any
    status: int


class World:
    """The clock, the mail, the ledger and the chance of one simulated company."""

    def __init__(self, start: datetime | None = None, seed: int = 1) -> None:
        self.clock = Clock(start)
        self.random = random.Random(seed)
        self.mails: list[Mail] = []
        self.ledger: list[Entry] = []


class Desk(Protocol):
    """What people do at a helpdesk, the same words for both vendors. Ids are strings; *at* defaults to the clock."""

    name: str
    world: World
    faults: list[Fault]
    requests: list[Request]

    def add_group(self, name: str) -> str:
        """Add a group of agents."""

    def add_agent(self, name: str, email: str, groups: Iterable[str] = (), **details: Any) -> str:
        """Add an agent with the groups named by id; details are the vendor's own."""

    def add_customer(self, name: str, email: str, **details: Any) -> str:
        """Add a customer; details: tags, language, organization, ..."""

    def remove_agent(self, agent_id: str) -> None:
        """The agent leaves the company; the vendor does to their tickets what it does."""

    def open_ticket(self, customer_id: str, subject: str, text: str, **details: Any) -> str:
        """A customer asks; details: channel, group, assignee, tags, priority, brand."""

    def assign(self, ticket_id: str, agent_id: str | None, by: str) -> None:
        """A person gives the ticket to an agent."""

    def edit(self, ticket_id: str, by: str, **changes: Any) -> None:
        """A person changes tags, priority, status or group in the web interface."""

    def reply(self, ticket_id: str, agent_id: str, text: str) -> None:
        """An agent writes to the customer."""

    def customer_replies(self, ticket_id: str, text: str) -> None:
        """The customer writes; a solved ticket opens again."""

    def solve(self, ticket_id: str, agent_id: str) -> None:
        """An agent solves the ticket."""

    def rate(self, ticket_id: str, category: str, comment: str | None = None, reason: str | None = None) -> str:
        """The customer rates the ticket bad, neutral or good; again changes the rating. Returns the rating's id."""

    def answer(self, link: str, category: str, comment: str | None = None) -> str:
        """The customer opens the link of a survey's mail and answers; again changes the answer. Returns its id."""

    def merge(self, source_id: str, target_id: str, by: str) -> None:
        """An agent merges one ticket into another."""

    def delete(self, ticket_id: str, by: str) -> None:
        """An agent deletes the ticket."""

    def mark_spam(self, ticket_id: str, by: str) -> None:
        """An agent marks the ticket as spam."""

    def pass_time(self, step: timedelta) -> None:
        """Let the account's own automations do what they do within *step*; the clock has been advanced already."""
