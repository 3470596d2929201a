"""What people do in the demo's story: at the helpdesks, in their mail, and with the bridge's own commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.app import App
from bridge.by_hand import Learned, close, promise, promised_until
from bridge.model import Case, Decision, Outcome
from bridge.survey import category_of
from connectors.sandbox.company import Company
from connectors.sandbox.demo_cast import CAST, MINUTE, Event
from connectors.sandbox.outbox import Cause, caused_by_programs
from connectors.sandbox.world import Desk, Mail

SORRY = "I am sorry. Here is what I can do for you."


@dataclass
class Scene:
    """Where the story is played: the company, its bridge, and the ticket of each customer."""

    firm: Company
    app: App
    tickets: dict[str, str] = field(default_factory=dict)

    def play(self, event: Event) -> str:
        """Let one person do one thing to one or more tickets; returns it as a sentence."""
        for who in event.customers:
            if who not in self.tickets:
                self._ask_and_solve(who)
        for who in event.customers:
            _DEEDS[event.deed](self, who, event)
        return _told(event, [self._name_of(who) for who in event.customers])

    def _name_of(self, who: str) -> str:
        return f"{CAST[who].account} {self._carrier(who)}"

    def customer_of(self, account: str, ticket_id: str) -> str | None:
        """Return whose ticket it is."""
        named = (who for who, key in self.tickets.items() if (CAST[who].account, key) == (account, ticket_id))
        return next(named, None)

    def questions(self) -> list[Mail]:
        """Return the mails to customers by which the bridge asked: through the rules that it has installed."""
        return [sent.mail for sent in caused_by_programs(self.firm.world) if sent.cause is Cause.INSTALLED]

    def _ask_and_solve(self, who: str) -> None:
        cast = CAST[who]
        made = self.firm.solved_ticket(cast.account, cast.agent, who, takes=2 * MINUTE, **cast.details)
        self.tickets[who] = made

    def _desk(self, who: str) -> Desk:
        return self.firm.desks[CAST[who].account]

    def _agent(self, who: str, name: str) -> str:
        return self.firm.agents[CAST[who].account, name]

    def _case(self, who: str) -> Case | None:
        return self.app.store.open_case_on(CAST[who].account, self.tickets[who])

    def _carrier(self, who: str) -> str:
        """Return the ticket in which a customer is answered now."""
        case = self._case(who)
        return case.carrier_id if case else self.tickets[who]

    # -------------------------------------------------------------- customers
    def _rates(self, who: str, event: Event) -> None:
        self._desk(who).rate(self.tickets[who], category_of(event.score), event.words or None)

    def _rates_and_closes(self, who: str, event: Event) -> None:
        self._rates(who, event)
        self._desk(who).edit(self.tickets[who], by=self._agent(who, CAST[who].agent), status="closed")

    def _answers(self, who: str, event: Event) -> None:
        """Follow the link of the last question, to the helpdesk's survey or to our own page."""
        address = f"{who.replace(' ', '.').lower()}@customer.example"
        mail = next(mail for mail in reversed(self.questions()) if mail.to == address and mail.link)
        links = self.app.delivery.asker.links
        if mail.kind == "question" and links:
            invitation = links.read(mail.link.rpartition("/")[2], self.firm.now())
            self.app.engine.answer(invitation.case_id, invitation.attempt, event.score, event.words)
        else:
            self._desk(who).answer(mail.link, category_of(event.score), event.words)

    # -------------------------------------------------------------- agents
    def _repairs(self, who: str, event: Event) -> None:
        desk, ticket_id, agent = self._desk(who), self._carrier(who), self._agent(who, event.agent)
        desk.reply(ticket_id, agent, SORRY)
        if event.words:
            self._tags(who, event)
        desk.solve(ticket_id, agent)

    def _tags(self, who: str, event: Event) -> None:
        firm, ticket_id, by = self.firm, self._carrier(who), self._agent(who, event.agent)
        tag = event.words or "sr_request"
        if CAST[who].account == "acme":
            firm.zendesk.edit(ticket_id, by=by, add_tags=[tag])
        else:
            firm.freshdesk.edit(ticket_id, by=by, tags=[*firm.freshdesk.tickets[int(ticket_id)].tags, tag])

    def _looks(self, who: str, event: Event) -> None:
        self._desk(who).edit(self._carrier(who), by=self._agent(who, event.agent), status="pending")

    def _takes(self, who: str, event: Event) -> None:
        agent = self._agent(who, event.agent)
        self._desk(who).assign(self._carrier(who), agent, by=agent)

    def _leaves(self, who: str, event: Event) -> None:
        self._desk(who).remove_agent(self._agent(who, event.agent))

    # -------------------------------------------------------------- the bridge's commands
    def _promises(self, who: str, event: Event) -> None:
        """Write to the customer and put down what was promised: `recovery-bridge case promise`."""
        self._desk(who).reply(self._carrier(who), self._agent(who, event.agent), SORRY)
        calendar = self.app.rules.calendar()
        by = promised_until("2026-03-12", calendar, self.firm.now())
        self._decide(who, lambda case, now: promise(case, event.words, by, calendar.timezone, now))

    def _gives_up(self, who: str, event: Event) -> None:
        """End the case: `recovery-bridge case close`."""
        learned = Learned(cause=event.words, party=self.app.rules.causes[event.words].party)
        self._decide(who, lambda case, now: close(case, Outcome.UNFIXABLE, learned, now))

    def _decide(self, who: str, decide: Callable[[Case, datetime], Decision]) -> None:
        if case := self._case(who):
            self.app.store.save(decide(case, self.firm.now()), expected_version=case.version)


_DEEDS: Mapping[str, Callable[[Scene, str, Event], None]] = {
    "rates": Scene._rates,
    "changes_mind": Scene._rates,
    "rates_and_closes": Scene._rates_and_closes,
    "answers": Scene._answers,
    "repairs": Scene._repairs,
    "requests": Scene._tags,
    "looks": Scene._looks,
    "takes": Scene._takes,
    "leaves": Scene._leaves,
    "promises": Scene._promises,
    "gives_up": Scene._gives_up,
}


def _told(event: Event, tickets: Sequence[str]) -> str:
    """Return an event as a sentence."""
    who, ticket, agent, s = joined(event.customers), joined(tickets), event.agent, "s" * (len(tickets) == 1)
    said = f'"{event.words}"' if event.words else "without a word"
    rated = f"{who} rate{s} {ticket} {category_of(event.score)}"
    return {
        "rates": f"{rated}: {said}",
        "changes_mind": f"{who} changes that to {category_of(event.score)}",
        "rates_and_closes": f"{rated}: {said} The ticket is closed before anybody looks",
        "answers": f"{who} follow{s} the link in the mail and answer{s} {category_of(event.score)}: {said}",
        "repairs": f"{agent} writes to {who} and solves {ticket}",
        "requests": f"{agent} adds the tag sr_request to {ticket}: {who} rated nothing, but was angry on the phone",
        "looks": f"{agent} sets {ticket} to pending",
        "takes": f"{agent} takes {ticket}",
        "leaves": f"{agent} leaves, and is no agent of {CAST[event.customers[0]].account} any more",
        "promises": f'{agent} writes to {who}; recovery-bridge case promise: "{event.words}" by Thursday',
        "gives_up": f"{agent} cannot help {who}: recovery-bridge case close --outcome unfixable --cause {event.words}",
    }[event.deed]


def joined(names: Sequence[str]) -> str:
    """Return names as a list for people."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
