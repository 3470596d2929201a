"""Why something happened to a ticket, or nothing did: every rating of it, what became of it, and each rule in order.

The trace is computed from the facts that were stored with the decision and from the rules.yaml of that day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge import show
from bridge.model import Audit
from bridge.rules import Facts, Rules, RuleTrace, check, inert
from bridge.store import Store, StoredRating

UNDECIDED = "not decided yet: the next run will"


@dataclass(frozen=True)
class Explanation:
    """One rating of a ticket and what became of it."""

    account: str
    stored: StoredRating
    audits: Sequence[Audit]
    trace: Sequence[RuleTrace]
    rules_hash: str | None

    def as_text(self) -> str:
        """Return the explanation as lines for a terminal."""
        rating = self.stored.rating
        said = f', "{inert(rating.comment, 200)}"' if rating.comment else ", no comment"
        lines = [
            f"{self.account} ticket {rating.ticket_id}: rated {rating.category} "
            f"({rating.value} of {rating.scale_max}) at {show.moment(rating.rated_at)}{said}",
            f"  seen {show.moment(self.stored.seen_at)} by {self.stored.source}",
            f"  outcome: {self.stored.outcome or UNDECIDED}" + (f": {self.stored.why}" if self.stored.why else ""),
        ]
        lines += [f"  {show.moment(a.at)}  {a.what}: {a.reason}" for a in self.audits]
        if self.trace:
            lines += [f"  rules.yaml {self.rules_hash} at that time:", *show.trace_lines(self.trace)]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        rating = self.stored.rating
        return {
            "account": self.account,
            "ticket_id": rating.ticket_id,
            "rating_id": rating.rating_id,
            "category": str(rating.category),
            "rated_at": show.moment(rating.rated_at),
            "seen_at": show.moment(self.stored.seen_at),
            "outcome": self.stored.outcome,
            "why": self.stored.why,
            "case_id": self.stored.case_id,
            "audits": [{"at": show.moment(a.at), "what": a.what, "reason": a.reason} for a in self.audits],
            "rules_hash": self.rules_hash,
            "trace": [
                {
                    "kind": rule.kind,
                    "name": rule.name,
                    "matches": rule.matches,
                    "lines": [vars(line) for line in rule.lines],
                }
                for rule in self.trace
            ],
        }


def explain_ticket(store: Store, rules: Rules, ticket_id: str, account: str | None = None) -> list[Explanation]:
    """Explain every rating of a ticket, on one account or on all."""
    names = [account] if account else list(rules.accounts)
    return [
        _explain(store, name, stored, rules) for name in names for stored in store.ratings_of_ticket(name, ticket_id)
    ]


def _explain(store: Store, account: str, stored: StoredRating, rules: Rules) -> Explanation:
    audits = [a for a in store.audits(account, stored.rating.ticket_id) if a.rating_id == stored.rating.rating_id]
    decided = next((audit for audit in audits if audit.facts), None)
    if decided is None or stored.outcome in (None, "memory"):
        return Explanation(account, stored, audits, (), None)
    then = _rules_of(store, decided.rules_hash, rules)
    if then is None:
        return Explanation(account, stored, audits, (), decided.rules_hash)
    facts = Facts.from_dict(dict(decided.facts), comment=stored.rating.comment)
    return Explanation(account, stored, audits, then.trace(facts), decided.rules_hash)


def _rules_of(store: Store, rules_hash: str | None, now: Rules) -> Rules | None:
    """Return the rules as they were: today's if the hash is the same, else those kept in the store."""
    if rules_hash in (None, now.hash):
        return now
    text = store.rules_text(rules_hash or "")
    return check(text)[0] if text else None
