"""What a decision looks at: ticket, people and customer, put together from what was read and what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, partial

from bridge.connector import Asking, Connector
from bridge.decision import Situation, Spent
from bridge.model import Case, Directory, Ticket
from bridge.owner import Staff
from bridge.rules import Facts, Rules, recall
from bridge.store import PastRating, Store

HISTORY_REACHES_BACK = timedelta(days=366)
HISTORY_LENGTH = 3  # ratings shown to an agent
LOOKS_AGAIN_AFTER = timedelta(minutes=1)  # for an agent or group that the remembered directory does not have


@dataclass(frozen=True)
class Briefing:
    """Puts together the situations of one installation."""

    rules: Rules
    store: Store
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    known_as: Callable[[str], str]  # address -> the key of a customer on every account
    _of_hash: dict[str, Rules | None] = field(default_factory=dict)  # rules that were in charge earlier

    @property
    def is_shadow(self) -> bool:
        """True if nothing is written anywhere."""
        return self.rules.settings.mode == "shadow"

    @property
    def asks_again(self) -> bool:
        """True if any customer may be asked again."""
        return self.rules.settings.surveys != "off"

    def as_begun(self, case: Case, situation: Situation) -> Situation:
        """Return the situation of an open case: it goes on by the playbook that it began with."""
        rules = self.rules_for(case)
        return situation if rules is self.rules else replace(situation, staff=replace(situation.staff, rules=rules))

    def rules_for(self, case: Case) -> Rules:
        """Return today's rules with the playbook of a case as it was when the case began."""
        if case.rules_hash == self.rules.hash:
            return self.rules
        earlier = self._earlier(case.rules_hash)
        if earlier is None or case.playbook not in earlier.playbooks:
            return self.rules
        return self.rules.keeping(case.playbook, earlier)

    def _earlier(self, rules_hash: str) -> Rules | None:
        if rules_hash not in self._of_hash:
            text = self.store.rules_text(rules_hash)
            self._of_hash[rules_hash] = recall(text) if text else None
        return self._of_hash[rules_hash]

    def staff(self, desk: Connector, load: Mapping[str, int], refused: Mapping[str, str] | None = None) -> Staff:
        """Return the people of an account; those who were *refused* by the helpdesk are looked up afresh."""
        return Staff(
            self.rules,
            desk.directory(fresh=bool(refused)),
            self.rules.calendar(desk.account),
            load,
            self.now(),
            refused or {},
            desk.account,
            partial(self.directory_again, desk),
        )

    def directory_again(self, desk: Connector) -> Directory:
        """Return the directory, read again for whom it lacks; those who really left cost at most one look a minute."""
        kept = desk.directory()
        return kept if self.now() - kept.read_at < LOOKS_AGAIN_AFTER else desk.directory(fresh=True)

    def situation(
        self, desk: Connector, ticket: Ticket, staff: Staff, facts: Facts | None = None, customer: str | None = None
    ) -> Situation:
        """Return what a decision about one ticket looks at; *facts* are known where a rating is decided about.

        How to ask again is not known yet: only a solved case needs it (see `asking`).
        """
        return Situation(
            account=desk.account,
            ticket=ticket,
            staff=staff,
            facts=facts,
            link=desk.link(ticket.ticket_id),
            shadow=self.is_shadow,
            new_id=self.new_id,
            history=self._history(customer, facts) if customer and facts else None,
            spent=self._spent(desk.account, ticket.ticket_id, customer) if facts else Spent(),
        )

    def asking(self, desk: Connector) -> Asking | None:
        """Return how an account can ask its customers again; None where nobody is asked."""
        return desk.asking() if self.asks_again else None

    @cached_property
    def _shows_history(self) -> bool:
        return any("history" in note.fields for note in self.rules.notes.values())

    def _history(self, customer: str, facts: Facts) -> str | None:
        if not self._shows_history:
            return None
        past = self.store.history_of(customer, self.now() - HISTORY_REACHES_BACK, HISTORY_LENGTH + 1)
        earlier = past[:HISTORY_LENGTH] if facts.requested else past[1:]  # the newest rating is being decided about
        return "; ".join(map(_told, earlier)) or None

    def _spent(self, account: str, ticket_id: str, customer: str | None) -> Spent:
        limits = self.rules.limits
        on_ticket = self.store.spent_on(account, ticket_id)
        of_customer = limits.goodwill_per_customer if customer else None
        since = self.now() - of_customer.within if of_customer else self.now()
        return Spent(on_ticket, self.store.spent_for(customer, since) if customer and of_customer else {})


def _told(past: PastRating) -> str:
    outcome = f", {past.outcome}" if past.outcome else ""
    return f"{past.rated_at:%Y-%m-%d} {past.category} (ticket {past.ticket_id}{outcome})"
