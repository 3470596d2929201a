"""People of the sandbox: agents who work or do not, customers who forgive or do not.

They know nothing but what people know: agents see the tickets that they hold, customers read their mail. They act
through the verbs of `Desk` alone, so the same people work at every vendor's stand-in. Each has an own chance drawn from
the world's, so that one seed tells one story.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bridge.errors import Refused
from connectors.sandbox.world import Desk, Entry, Mail, World

HOUR = timedelta(hours=1)
WORKED = ("solved", "closed")


class AgentTemper(StrEnum):
    """How an agent treats the tickets that they hold."""

    KEEN = "keen"  # answers within two hours, solves within the next
    SLOW = "slow"  # the same a day or two later
    SILENT = "silent"  # looks at the ticket, sets it to pending and never writes
    ABSENT = "absent"  # does not even look
    GONE = "gone"  # keen, and leaves the company the day after the first solved ticket


class CustomerTemper(StrEnum):
    """How a customer answers a survey. All are unhappy the first time; here is what they say after that."""

    FORGIVING = "forgiving"  # good, the second time
    DEMANDING = "demanding"  # good the second time if somebody wrote within a day, else bad again
    SILENT = "silent"  # bad without a word, and then nothing more
    RUDE = "rude"  # bad for ever, and says so to whoever writes
    REPEAT = "repeat"  # forgives, comes back with another question, and is let down again


WAITS = {  # hours between holding a ticket and writing
    AgentTemper.KEEN: (0.2, 2.0),
    AgentTemper.GONE: (0.2, 2.0),
    AgentTemper.SLOW: (24.0, 48.0),
    AgentTemper.SILENT: (0.5, 4.0),
}
COMPLAINTS = (
    "I waited three days and my question is still open.",
    "Nobody read what I wrote.",
    "The refund you promised has not come.",
    "I had to explain everything twice.",
)


@dataclass
class Agent:
    """An agent of one desk."""

    desk: Desk
    id: str
    temper: AgentTemper
    chance: random.Random


@dataclass
class Customer:
    """A customer of one desk, and what they remember."""

    desk: Desk
    id: str
    email: str
    temper: CustomerTemper
    chance: random.Random
    let_down: dict[str, datetime] = field(default_factory=dict)  # ticket -> when they said so
    said: dict[str, datetime] = field(default_factory=dict)  # ticket -> when they last answered
    heard: dict[str, datetime] = field(default_factory=dict)  # ticket -> first reply after that
    came_back: bool = False


Deed = Callable[[], object]
Key = tuple[str, str]  # the desk's name, and an id or address there


class People:
    """Everybody of a few desks that share one world.

    *on_question* is called when a customer answers a mail of the kind "question": with that mail, whose `link` leads to
    a page that is not the helpdesk's, and with their answer: bad or good.
    """

    def __init__(self, desks: Sequence[Desk], world: World, *, cause_tags: Sequence[str] = ()) -> None:
        self.desks = desks
        self.world = world
        self.cause_tags = cause_tags  # of which an agent adds one, every other time that they solve a ticket
        self.on_question: Callable[[Mail, str], None] = lambda _mail, _category: None
        self.agents: dict[Key, Agent] = {}
        self.customers: dict[Key, Customer] = {}
        self.holders: dict[Key, str] = {}  # who holds a ticket
        self._solved: set[Key] = set()
        self._tags: dict[Key, list[str]] = {}
        self._continuations: set[Key] = set()  # tickets that a program opened for a customer
        self._plans: list[tuple[datetime, int, Deed]] = []
        self._planned = 0
        self._busy: set[Key] = set()  # tickets that somebody is about to work on
        self._ledger_read = self._mails_read = 0

    def hire(self, desk: Desk, name: str, email: str, temper: str, groups: Iterable[str] = (), **details: Any) -> str:
        """Add an agent of a temper to a desk and return the id."""
        agent_id = desk.add_agent(name, email, groups, **details)
        self.agents[desk.name, agent_id] = Agent(desk, agent_id, AgentTemper(temper), self._own_chance())
        return agent_id

    def welcome(self, desk: Desk, name: str, email: str, temper: str, **details: Any) -> str:
        """Add a customer of a temper to a desk and return the id."""
        customer_id = desk.add_customer(name, email, **details)
        customer = Customer(desk, customer_id, email, CustomerTemper(temper), self._own_chance())
        self.customers[desk.name, email] = customer
        return customer_id

    def _own_chance(self) -> random.Random:
        return random.Random(self.world.random.getrandbits(64))

    def live(self, until: datetime, step: timedelta, each: Callable[[], None]) -> None:
        """Let time pass in steps: automations run, people act, then *each* is called."""
        while (now := self.world.clock.now()) < until:
            passed = min(step, until - now)
            self.world.clock.advance(passed)
            for desk in self.desks:
                desk.pass_time(passed)
            self.act()
            each()

    def act(self) -> None:
        """Let everybody see the news, and do what they had planned for now or earlier."""
        self._see()
        now = self.world.clock.now()
        while self._plans and self._plans[0][0] <= now:
            _, _, deed = heapq.heappop(self._plans)
            with suppress(Refused):  # the ticket was closed, merged or deleted meanwhile
                deed()
            self._see()

    def _see(self) -> None:
        ledger, mails = self.world.ledger, self.world.mails
        while self._ledger_read < len(ledger):
            self._ledger_read += 1
            self._agents_see(ledger[self._ledger_read - 1])
        while self._mails_read < len(mails):
            self._mails_read += 1
            self._customers_read(mails[self._mails_read - 1])

    def _plan(self, chance: random.Random, hours: tuple[float, float], deed: Deed) -> None:
        self._planned += 1  # keeps the order of plans for the same moment
        at = self.world.clock.now() + chance.uniform(*hours) * HOUR
        heapq.heappush(self._plans, (at, self._planned, deed))

    # -------------------------------------------------------------- agents
    def _agents_see(self, entry: Entry) -> None:
        """Begin to work on a ticket that was given to us, opened again, or written to by its customer."""
        ticket = entry.desk, entry.ticket_id
        self._remember(ticket, entry)
        reopened = entry.what == "status" and entry.before in WORKED and entry.after not in WORKED
        answered = entry.what == "public_comment" and (entry.desk, entry.actor) not in self.agents
        agent = self.agents.get((entry.desk, self.holders.get(ticket, "")))
        wakes = entry.what == "assignee" or reopened or (answered and not entry.actor.startswith(("api:", "rule:")))
        if agent and wakes and ticket not in self._busy and agent.temper in WAITS:
            self._busy.add(ticket)
            self._plan(agent.chance, WAITS[agent.temper], lambda: self._write(agent, ticket))

    def _remember(self, ticket: Key, entry: Entry) -> None:
        """Keep what anybody can see on a ticket: who holds it, if it is solved, its tags, who opened it."""
        if entry.what == "assignee":
            self.holders[ticket] = str(entry.after or "")
            self._busy.discard(ticket)
        elif entry.what == "tags":
            self._tags[ticket] = list(entry.after or ())
        elif entry.what == "status":
            (self._solved.add if entry.after in WORKED else self._solved.discard)(ticket)
        elif entry.what == "created" and entry.actor.startswith("api:"):
            self._continuations.add(ticket)

    def _write(self, agent: Agent, ticket: Key) -> None:
        if not self._works_on(agent, ticket):
            return
        if agent.temper is AgentTemper.SILENT:
            self._busy.discard(ticket)
            agent.desk.edit(ticket[1], by=agent.id, status="pending")
            return
        agent.desk.reply(ticket[1], agent.id, "I have looked into this and here is what I can do for you.")
        self._plan(agent.chance, (0.2, 1.0), lambda: self._solve(agent, ticket))

    def _solve(self, agent: Agent, ticket: Key) -> None:
        if not self._works_on(agent, ticket):
            return
        self._busy.discard(ticket)
        if self.cause_tags and agent.chance.random() < 0.5:
            tags = [*self._tags.get(ticket, ()), agent.chance.choice(self.cause_tags)]
            agent.desk.edit(ticket[1], by=agent.id, tags=tags)
        agent.desk.solve(ticket[1], agent.id)
        if agent.temper is AgentTemper.GONE:
            self._plan(agent.chance, (20.0, 28.0), lambda: self._leave(agent))

    def _works_on(self, agent: Agent, ticket: Key) -> bool:
        """Tell if the ticket is still the agent's, and still to be worked on."""
        if self.holders.get(ticket) != agent.id or (agent.desk.name, agent.id) not in self.agents:
            return False
        if ticket in self._solved:
            self._busy.discard(ticket)
        return ticket not in self._solved

    def _leave(self, agent: Agent) -> None:
        if self.agents.pop((agent.desk.name, agent.id), None):
            agent.desk.remove_agent(agent.id)

    # -------------------------------------------------------------- customers
    def _customers_read(self, mail: Mail) -> None:
        """Answer a survey after a while; notice, or mock, a reply."""
        customer = self.customers.get((mail.desk, mail.to))
        if customer is None:
            return
        about = self._about(customer, mail)
        if mail.kind == "survey" or (mail.kind == "question" and about in customer.let_down):
            self._plan(customer.chance, (1.0, 12.0), lambda: self._answer(customer, mail, about))
        if mail.kind == "reply" and about in customer.let_down and about not in customer.heard:
            customer.heard[about] = mail.at
            if customer.temper is CustomerTemper.RUDE:
                words = "Spare me your excuses."
                self._plan(customer.chance, (0.5, 3.0), lambda: customer.desk.customer_replies(mail.ticket_id, words))

    def _about(self, customer: Customer, mail: Mail) -> str:
        """Return the ticket that a mail is about: one that a program opened continues what went wrong last."""
        if (mail.desk, mail.ticket_id) in self._continuations and customer.let_down:
            return max(customer.let_down, key=lambda ticket_id: customer.let_down[ticket_id])
        return mail.ticket_id

    def _answer(self, customer: Customer, mail: Mail, about: str) -> None:
        """Answer a survey or question, unless they have said something since it was sent."""
        if about in customer.said and mail.at <= customer.said[about]:
            return
        again = about in customer.let_down
        if again and customer.temper is CustomerTemper.SILENT:
            return
        is_good = again and _is_won_back(customer, about)
        is_silent = customer.temper is CustomerTemper.SILENT
        words = "Thank you for coming back to me." if is_good else customer.chance.choice(COMPLAINTS)
        self._say(customer, mail, "good" if is_good else "bad", None if is_silent else words)
        customer.said[about] = self.world.clock.now()
        if is_good:
            self._come_back(customer)
        else:
            customer.let_down.setdefault(about, self.world.clock.now())

    def _say(self, customer: Customer, mail: Mail, category: str, words: str | None) -> None:
        if mail.kind == "question":
            self.on_question(mail, category)
        elif mail.link:
            customer.desk.answer(mail.link, category, words)
        else:
            customer.desk.rate(mail.ticket_id, category, words)

    def _come_back(self, customer: Customer) -> None:
        if customer.temper is CustomerTemper.REPEAT and not customer.came_back:
            customer.came_back = True
            desk, words = customer.desk, ("Another question", "It does not work again.")
            self._plan(customer.chance, (24.0, 72.0), lambda: desk.open_ticket(customer.id, *words))


def _is_won_back(customer: Customer, ticket_id: str) -> bool:
    if customer.temper is CustomerTemper.RUDE:
        return False
    if customer.temper is CustomerTemper.DEMANDING:
        heard = customer.heard.get(ticket_id)
        return heard is not None and heard - customer.let_down[ticket_id] <= 24 * HOUR
    return True
