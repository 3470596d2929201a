"""Freshdesk stand-in: surveys on their way to customers, and what these answer.

Several ratings of one ticket are in the vendor's own example (developers.freshdesk.com/api, read 2026-11-21).
UNVERIFIED: a link of the long-standing survey works once; with the newer one the same survey, opened again, changes its
answer, and every survey that is sent has an answer of its own.
"""

from __future__ import annotations

import re
from bisect import insort
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from connectors.sandbox.freshdesk_records import (
    CLASSIC_CODES,
    FEEDBACK,
    IS_FEEDBACK,
    RESOLVED,
    SIGNED_CODES,
    Answer,
    Ticket,
    html_of,
)
from connectors.sandbox.wsgi import Refusal

if TYPE_CHECKING:
    from connectors.sandbox.freshdesk import FreshdeskDesk, Who

LINK = re.compile(r"/support/surveys/(\w+)")


@dataclass
class Survey:
    """A survey that was mailed to a requester, with the answer to it."""

    ticket_id: int
    answer: Answer | None = None


class Answers:
    """The answers of one account, in the order of created_at."""

    def __init__(self, desk: FreshdeskDesk) -> None:
        self.desk = desk
        self.all: list[Answer] = []
        self.of: dict[int, list[Answer]] = {}  # by ticket
        self._sent: dict[str, Survey] = {}  # by token
        self._newest: dict[int, Survey] = {}  # by ticket

    # -------------------------------------------------------------- scales
    def scale(self) -> tuple[int, ...]:
        """Return the codes of the account's survey, worst first."""
        if self.desk.csat == "new":
            return tuple(range(1, self.desk.points + 1))
        return CLASSIC_CODES if self.desk.csat == "classic_123" else SIGNED_CODES[self.desk.points]

    def code(self, category: str) -> int:
        """Return the most extreme code for bad, neutral or good. Raises ValueError where a scale has none."""
        scale = self.scale()
        if category == "neutral" and len(scale) % 2 == 0:
            raise ValueError(f"a scale of {len(scale)} has no neutral answer")
        return scale[{"bad": 0, "neutral": len(scale) // 2, "good": -1}[category]]

    # -------------------------------------------------------------- surveys
    def send(self, ticket: Ticket) -> str:
        """Return the text of a new survey with its link; empty on an account without surveys."""
        if self.desk.csat == "none":
            return ""
        token = f"{self.desk.world.random.getrandbits(128):032x}"
        self._sent[token] = self._newest[ticket.id] = Survey(ticket.id)
        return f"How satisfied are you? https://{self.desk.name}.freshdesk.com/support/surveys/{token}"

    def sent(self, link: str) -> Survey:
        """Return the survey that a link belongs to. Raises Refusal 404 or, where it works once, 410."""
        found = LINK.search(link)
        survey = self._sent.get(found[1]) if found else None
        if survey is None:
            raise Refusal(404, None)
        if survey.answer and self.desk.csat != "new":
            raise Refusal(410, {"code": "already_answered", "message": "You have answered this survey"})
        return survey

    def newest(self, ticket: Ticket) -> Survey:
        """Return the survey that the requester of a ticket got last, or one that nobody mailed."""
        return self._newest.setdefault(ticket.id, Survey(ticket.id))

    # -------------------------------------------------------------- answers
    def record(
        self, ticket: Ticket, value: int, comment: str | None, *,
        reason: str | None = None, survey: Survey | None = None, who: Who | None = None,
    ) -> Answer:  # fmt: skip
        """Keep what the requester said, with the responder and group of this moment. Raises Refusal if archived."""
        if ticket.archived:
            raise Refusal(404, None)
        desk, user_id = self.desk, ticket.requester_id
        actor, before = who or (str(user_id), user_id), None
        answer = survey.answer if survey and desk.csat == "new" else None
        if answer:
            before = answer.value
            answer.value, answer.comment, answer.reason, answer.updated_at = value, comment, reason, desk.now()
        else:
            answer = self._new(ticket, value, comment, reason)
        if survey:
            survey.answer = answer
        desk.note_down(ticket, actor[0], "rated", before, value)
        ticket.stats["requester_responded_at"] = desk.now()
        if comment:  # UNVERIFIED without a comment
            desk.talk(ticket, user_id, html_of(comment), FEEDBACK, IS_FEEDBACK, incoming=True)
        desk.after_event(ticket, actor, {"customer_feedback": ("", str(value))})
        return answer

    def _new(self, ticket: Ticket, value: int, comment: str | None, reason: str | None) -> Answer:
        now, user_id = self.desk.now(), ticket.requester_id
        answer = Answer(
            self.desk.next_id(), ticket.id, user_id, ticket.responder_id, ticket.group_id, value, comment, reason,
            now, now,
        )  # fmt: skip
        insort(self.all, answer, key=lambda known: (known.created_at, known.id))
        self.of.setdefault(ticket.id, []).append(answer)
        return answer

    def add_in_bulk(self, n: int, tickets: int | None, bad: float, within: timedelta) -> list[str]:
        """Add *n* ratings of the past, as `FreshdeskDesk.add_ratings_in_bulk` says."""
        desk = self.desk
        responders = [agent for agent in desk.agents.values() if agent.id != desk.api_agent]
        customer = int(desk.add_customer("Many Customers", f"many@{desk.name}.example"))
        first = desk.now() - within
        opened = [self._past_ticket(customer, first) for _ in range(min(n, tickets or n))]
        for i, ticket in enumerate(opened if responders else ()):
            agent = responders[i % len(responders)]
            ticket.responder_id, ticket.group_id = agent.id, min(agent.group_ids, default=None)
        worst, best = self.code("bad"), self.code("good")
        for i in range(n):
            ticket, at = opened[i % len(opened)], (first + within * i / n).replace(microsecond=0)
            value = worst if int((i + 1) * bad) > int(i * bad) else best
            comment = "It took far too long" if value == worst else None
            answer = Answer(desk.next_id(), ticket.id, customer, ticket.responder_id, ticket.group_id, value, comment,
                            None, at, at)  # fmt: skip
            self.of.setdefault(ticket.id, []).append(answer)
            self.all.append(answer)
        self.all.sort(key=lambda known: (known.created_at, known.id))
        return [str(ticket.id) for ticket in opened]

    def _past_ticket(self, customer: int, at: datetime) -> Ticket:
        tickets = self.desk.tickets
        ticket = Ticket(len(tickets) + 1, customer, "A question", "<div>A question</div>", at, at, RESOLVED)
        ticket.stats["resolved_at"] = at
        tickets[ticket.id] = ticket
        return ticket
