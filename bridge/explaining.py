"""Why something happened to a ticket, or nothing did: every rating of it, what became of it, and each rule in order.

The trace is computed from the facts that were stored with the decision and from the rules.yaml of that day. A rating
about which no facts were stored (memory, still pending, or of no rule whatever its ticket says) is looked at with
today's rules.yaml and what the rating itself says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from bridge import show
from bridge.model import Audit
from bridge.rules import Facts, Rules, RuleTrace, check, facts_of, inert
from bridge.store import Store, StoredRating

UNDECIDED = "the next run will decide"


@dataclass(frozen=True)
class Explanation:
    """One rating of a ticket and what became of it; *rules_hash* None: the trace is that of today's rules.yaml."""

    account: str
    stored: StoredRating
    audits: Sequence[Audit]
    trace: Sequence[RuleTrace]
    rules_hash: str | None
    names: show.Names

    def as_text(self, zone: tzinfo) -> str:
        """Return the explanation as lines for a terminal."""
        rating = self.stored.rating
        said = f'"{inert(rating.comment, 200)}"' if rating.comment else "without a word"
        picked = f', reason "{inert(rating.reason, 100)}"' if rating.reason else ""
        lines = [
            f"{self.account} ticket {rating.ticket_id}: rated {rating.category} ({rating.value} of {rating.scale_max}) "
            f"on {show.local(rating.rated_at, zone)}, {said}{picked}",
            f"  outcome: {self._outcome()}",
            f"  what happened:\n    {show.local(self.stored.seen_at, zone)}  seen by {self.stored.source}",
            *(f"  {line}" for line in show.decisions(self.audits, zone, self.names)),
        ]
        if self.trace:
            which = f"rules.yaml {self.rules_hash} of that time" if self.rules_hash else "rules.yaml as it is now"
            unread = "" if self.rules_hash else "; of the ticket (?) nothing was read"
            lines += [f"  {which}, the first match wins{unread}:", *show.trace_lines(self.trace)]
        elif self.rules_hash:
            lines.append(f"  rules.yaml {self.rules_hash} of that time can no longer be read by this version")
        return "\n".join(lines)

    def _outcome(self) -> str:
        outcome, why = self.stored.outcome, self.stored.why or "no reason was kept"
        if outcome is None:
            return f"not decided yet: {self.stored.why or UNDECIDED}"
        if outcome == "memory":
            return f"memory, not acted on: {why}; `run --since` reaches back"
        return f"{outcome}: {why}" + (f" (case {self.stored.case_id})" if self.stored.case_id else "")

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
            "audits": show.audits_json(self.audits),
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
    names = show.names_of(store, account)
    audits = [a for a in store.audits(account, stored.rating.ticket_id) if a.rating_id == stored.rating.rating_id]
    decided = next((audit for audit in audits if audit.facts), None)
    if decided is None or stored.outcome in (None, "memory"):
        seen = facts_of(stored.rating, None, None, account=account, bad_rated_at=(), now=stored.seen_at)
        return Explanation(account, stored, audits, rules.trace(seen), None, names)
    then = _rules_of(store, decided.rules_hash, rules)
    facts = Facts.from_dict(dict(decided.facts), comment=stored.rating.comment)
    return Explanation(account, stored, audits, then.trace(facts) if then else (), decided.rules_hash, names)


def _rules_of(store: Store, rules_hash: str | None, now: Rules) -> Rules | None:
    """Return the rules as they were: today's if the hash is the same, else those kept in the store."""
    if rules_hash in (None, now.hash):
        return now
    text = store.rules_text(rules_hash or "")
    return check(text)[0] if text else None
