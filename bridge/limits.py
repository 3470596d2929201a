"""Limits: when no new recovery may begin on an account, and when a ticket or a customer has had enough of them.

Reaching a limit of the account holds new cases, tells a person, and waits for `resume`; open cases go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.briefing import Briefing
from bridge.model import Audit, Decision
from bridge.rules import Rules
from bridge.rules.schema import SHARE_COUNTS_FROM
from bridge.store import Store

log = logging.getLogger(__name__)

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
NEVER = "2000-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Brakes:
    """The limits of one installation at work."""

    briefing: Briefing

    @property
    def rules(self) -> Rules:
        """The rules that set the limits."""
        return self.briefing.rules

    @property
    def store(self) -> Store:
        """Where recoveries are counted."""
        return self.briefing.store

    def why_held(self, account: str) -> str | None:
        """Return why no new recovery may begin on this account, or None."""
        if self.briefing.is_shadow:
            return None
        state = self.store.account_state(account)
        if why := state.get("held"):
            return str(why)
        resumed_at = datetime.fromisoformat(state.get("resumed_at", NEVER))
        reached = next(self._reached(account, resumed_at), None)
        return f"held: {reached}; then: recovery-bridge resume {account}" if reached else None

    def _reached(self, account: str, resumed_at: datetime) -> Iterator[str]:
        limits, now = self.rules.limits, self.briefing.now()
        for limit, span, words in (
            (limits.tickets_per_hour, AN_HOUR, "within an hour (limits: tickets_per_hour)"),
            (limits.tickets_per_day, A_DAY, "within a day (limits: tickets_per_day)"),
        ):
            if limit is not None and self.store.flagged_since(account, max(resumed_at, now - span)) >= limit:
                yield f"{limit} recoveries began {words}"
        if limits.share_of_rated is not None and limits.share_of_rated < 1:
            since = max(resumed_at, now - A_DAY)
            flagged, rated = self.store.flagged_since(account, since), self.store.rated_since(account, since)
            if rated >= SHARE_COUNTS_FROM and flagged + 1 > limits.share_of_rated * rated:
                yield f"{flagged} of {rated} ratings of a day are recovered (limits: share_of_rated)"

    def hold(self, account: str, row_id: int, why: str) -> None:
        """Leave a rating undecided until `resume`; of the first one a person is told (bridge/vigil.py)."""
        now = self.briefing.now()
        if not self.store.hold_rating(account, row_id, why, now):
            return
        log.error(why, extra={"account": account})
        self.store.count_up(account, "limits_reached")
        if newest := self.store.cases(account=account, limit=1):  # stands in the story of the last one let through
            audit = Audit(now, account, newest[0].ticket_id, "held", why, case_id=newest[0].case_id)
            self.store.save(Decision(audit, None, ()))

    def why_enough(self, account: str, ticket_id: str, customer: str | None) -> str | None:
        """Know when to quit: return why a ticket or a customer gets no further recovery, or None."""
        limits = self.rules.limits
        per_ticket, per_customer = limits.recoveries_per_ticket, limits.recoveries_per_customer
        if per_ticket is not None and self.store.recoveries_of(account, ticket_id) >= per_ticket:
            return f"this ticket had {per_ticket} recoveries already (limits: recoveries_per_ticket)"
        if per_customer is None or customer is None:
            return None
        since = self.briefing.now() - per_customer.within
        if self.store.recoveries_of_customer(customer, since) < per_customer.count:
            return None
        return f"this customer had {per_customer.count} recoveries already (limits: recoveries_per_customer)"
