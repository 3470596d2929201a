"""Deciding about a batch of ratings: what they need is read once, and kept up to date as cases open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from bridge.briefing import HISTORY_REACHES_BACK, Briefing
from bridge.connector import Connector
from bridge.decision import Situation
from bridge.limits import Brakes
from bridge.model import REQUEST, Audit, Case, Category, Decision, Rating, Ticket
from bridge.reading import Reading
from bridge.recovery import DeadlinePassed, RatedAgain, advance, open_case
from bridge.rules import Facts, Rule, facts_of
from bridge.store import StaleCase


class Batch:
    """Up to `reading.BATCH` ratings of one account, with their tickets and customers."""

    def __init__(
        self,
        briefing: Briefing,
        reading: Reading,
        desk: Connector,
        tickets: Mapping[str, Ticket],
        ratings: Sequence[Rating],
    ) -> None:
        self.briefing, self.reading, self.desk, self.tickets = briefing, reading, desk, tickets
        self.store, self.rules = briefing.store, briefing.rules
        self.load = Counter(self.store.open_load(desk.account))
        groups = [ticket.group_id for ticket in tickets.values()]  # what rules ask about
        self.staff = briefing.staff(desk, self.load).knowing(groups=groups)
        self.brakes = Brakes(briefing)
        self.customers = {rating.rating_id: self._customer(rating) for rating in ratings}
        self._link_customers(ratings)
        people = {(self.customers[rating.rating_id], rating.requester_id) for rating in ratings}
        self.bad_times = self.store.bad_times_of(desk.account, people, briefing.now() - HISTORY_REACHES_BACK)

    def think(self, rating: Rating) -> tuple[Decision, Case | None]:
        """Return the decision about one rating, and the case as it was before if there is one."""
        ticket, customer = self.tickets[rating.ticket_id], self.customers[rating.rating_id]
        facts = self._facts(rating, ticket)
        verdict = self.rules.decide(facts)
        rule = verdict.rule if isinstance(verdict.rule, Rule) else None
        case = self._open_case(rating, customer)
        if case and rating.rating_id.startswith(REQUEST) and rating.ticket_id in case.ticket_ids:
            return self._nothing(rating, "known", f"case {case.case_id} is open on this ticket", facts), None
        if case and (rule or rating.ticket_id in case.ticket_ids):
            carrier = self._ticket(case.carrier_id)
            situation = self.briefing.as_begun(case, self._situation(carrier, facts, customer))
            if carrier is ticket or not carrier.status.is_gone:
                return advance(case, RatedAgain(rating, rule), situation), case
            with suppress(StaleCase):  # its ticket is gone, and this rating needs a case of its own
                self.store.save(advance(case, DeadlinePassed(None), situation), expected_version=case.version)
        if rule is None:
            return self._nothing(rating, verdict.kind, verdict.reason, facts), None
        if why := self._no_case(rating, ticket, customer):
            return self._nothing(rating, *why, facts), None
        original = self._original_agent(rating)
        self.staff = self.staff.knowing((original, ticket.assignee_id))
        return open_case(rating, rule, original, customer, self._situation(ticket, facts, customer)), None

    def _no_case(self, rating: Rating, ticket: Ticket, customer: str | None) -> tuple[str, str] | None:
        """Return, as what and why, what keeps a rating that a rule matched from becoming a case."""
        if rating.requester_id is None and ticket.requester is None and not ticket.status.is_gone:
            return "anonymous", "nobody can be written to: counted, never pursued"
        if why := self._already_known(rating):
            return "known", why
        if why := self.brakes.why_enough(self.desk.account, rating.ticket_id, customer):
            return "stopped", why
        return None

    def _ticket(self, ticket_id: str) -> Ticket:
        """Return a ticket of this batch, or that of a case which a rating of this batch joins."""
        return self.tickets.get(ticket_id) or self.reading.tickets(self.desk, [ticket_id])[ticket_id]

    def learn(self, decision: Decision) -> None:
        """Count the case that was just opened towards its owner's load."""
        case = decision.case
        if case and case.is_open and case.assignee_id and case.version == 1:
            self.load[case.assignee_id] += 1

    def _customer(self, rating: Rating) -> str | None:
        """Return the key of the customer; a ticket that is gone shows no address, but we may have met them before."""
        requester, account = self.tickets[rating.ticket_id].requester, self.desk.account
        if requester and requester.email:
            return self.briefing.known_as(requester.email)
        requester_id = rating.requester_id or (requester.requester_id if requester else None)
        if requester_id is None:
            return None
        return self.store.customer_key(account, requester_id) or f"{account}:{requester_id}"

    def _link_customers(self, ratings: Sequence[Rating]) -> None:
        links = {
            rating.requester_id: customer
            for rating in ratings
            if rating.requester_id and (customer := self.customers[rating.rating_id])
        }
        self.store.link_customers(self.desk.account, links)

    def _facts(self, rating: Rating, ticket: Ticket) -> Facts:
        times = self.bad_times[self.customers[rating.rating_id], rating.requester_id]
        return facts_of(
            rating,
            ticket,
            self.staff.directory,
            account=self.desk.account,
            bad_rated_at=times,
            now=self.briefing.now(),
        )

    def _situation(self, ticket: Ticket, facts: Facts, customer: str | None) -> Situation:
        staff = replace(self.staff, now=self.briefing.now())
        return self.briefing.situation(self.desk, ticket, staff, facts, customer)

    def _open_case(self, rating: Rating, customer: str | None) -> Case | None:
        account = self.desk.account
        by_ticket = self.store.open_case_on(account, rating.ticket_id)
        return by_ticket or (self.store.open_case_of(account, customer) if customer else None)

    def _already_known(self, rating: Rating) -> str | None:
        """Return why this version of a rating is no new failure: its case has ended and it was bad before, too."""
        case = self.store.case_of_rating(self.desk.account, rating.rating_id)
        if case is None or case.is_open:
            return None
        before = self.store.category_before(self.desk.account, rating)
        if before is None or before is not Category.BAD:
            return None
        return f"edited after case {case.case_id} had ended: {case.outcome}"

    def _original_agent(self, rating: Rating) -> str | None:
        """Return who held the ticket when it was rated: the rating's own word, then the ticket's history."""
        if rating.assignee_id:
            return rating.assignee_id
        return self.desk.past_holder(rating.ticket_id, rating.rated_at)

    def _nothing(self, rating: Rating, what: str, reason: str, facts: Facts) -> Decision:
        audit = Audit(
            at=self.briefing.now(),
            account=self.desk.account,
            ticket_id=rating.ticket_id,
            what=what,
            reason=reason,
            rating_id=rating.rating_id,
            rules_hash=self.rules.hash,
            facts=facts.as_dict(),
        )
        return Decision(audit)
