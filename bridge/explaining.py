"""Why something happened to a ticket, or nothing did: every rating of it, what became of it, and each rule in order.

The trace is computed from the facts that were stored with the decision and from the rules.yaml of that day. A rating
about which no facts were stored (memory, still pending, or of no rule whatever its ticket says) is looked at with
today's rules.yaml and what the rating itself says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from bridge import show
from bridge.model import Audit, Case
from bridge.rehearsal.script import Said
from bridge.rules import Facts, Rule, Rules, RuleTrace, Verdict, facts_of, inert, recall
from bridge.store import Store, StoredRating

UNDECIDED = "the next run will decide"
MOST_RECENT = 20  # ratings of an outcome


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
            "trace": traces_json(self.trace),
        }


def traces_json(trace: Sequence[RuleTrace]) -> list[dict[str, Any]]:
    """Return what each rule wanted and saw as JSON values."""
    return [
        {"kind": rule.kind, "name": rule.name, "matches": rule.matches, "lines": [vars(line) for line in rule.lines]}
        for rule in trace
    ]


def latest(store: Store, account: str, outcome: str, zone: tzinfo) -> list[str]:
    """Return the last ratings of an outcome in a line each; which outcomes there are, if there is none of this."""
    rows = store.latest(account, outcome, MOST_RECENT)
    if not rows:
        there = ", ".join(f"{name} {number}" for name, number in sorted(store.outcomes(account).items()))
        return [f"{account}: no rating came to {outcome!r}; there are: {there or 'none yet'}"]
    told = [(row.rating, row.why) for row in rows]
    return [
        f"{account} ticket {one.ticket_id}: {one.category}, {show.local(one.rated_at, zone)}: {why}"
        for one, why in told
    ]


def latest_json(store: Store, account: str, outcome: str) -> list[dict[str, Any]]:
    """Return the last ratings of an outcome as JSON values, the newest first."""
    return [
        {
            "account": account,
            "ticket_id": row.rating.ticket_id,
            "rating_id": row.rating.rating_id,
            "category": str(row.rating.category),
            "rated_at": show.moment(row.rating.rated_at),
            "outcome": row.outcome,
            "why": row.why,
            "case_id": row.case_id,
        }
        for row in store.latest(account, outcome, MOST_RECENT)
    ]


@dataclass(frozen=True)
class Supposed:
    """What the rules would do with a rating that nobody gave."""

    facts: Facts
    verdict: Verdict
    trace: Sequence[RuleTrace]

    def as_text(self) -> str:
        """Return it as lines for a terminal."""
        return "\n".join(
            [
                self._outcome(),
                "  what is not known (?) matches nothing; the first match wins:",
                *show.trace_lines(self.trace),
            ]
        )

    def _outcome(self) -> str:
        taken = self.verdict.rule
        if not isinstance(taken, Rule):
            return self.verdict.reason
        return f"{self.verdict.reason}: severity {taken.severity}, playbook {taken.playbook}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "outcome": self.verdict.kind,
            "name": self.verdict.rule.name if self.verdict.rule else None,
            "facts": self.facts.as_dict(),
            "trace": traces_json(self.trace),
        }


def suppose(
    rules: Rules,
    answered: Said,
    now: datetime,
    *,
    age: timedelta = timedelta(),
    bad_ratings: int = 1,
    account: str | None = None,
    **known: Any,
) -> Supposed:
    """Explain what the rules would do with a rating of that *age*, of a customer with so many bad ones in 90 days.

    *known* are the facts of `Facts` that are known besides; what is left out is not known.
    """
    rated_at = now - age
    facts = Facts(
        category=answered.category,
        point=answered.point,
        rated_at=rated_at,
        now=now,
        account=account or next(iter(rules.accounts)),
        comment_present=bool(known.get("comment")),
        bad_rated_at=(rated_at,) * bad_ratings,
        **known,
    )
    return Supposed(facts, rules.decide(facts), rules.trace(facts))


def explain_ticket(store: Store, rules: Rules, ticket_id: str, account: str | None = None) -> list[Explanation]:
    """Explain every rating of a ticket, on one account or on all."""
    names = [account] if account else list(rules.accounts)
    return [
        _explain(store, name, stored, rules) for name in names for stored in store.ratings_of_ticket(name, ticket_id)
    ]


def explain_case(store: Store, rules: Rules, case: Case) -> Explanation | None:
    """Explain the rating that began a case, in the last version that it is about; None if it is not known."""
    versions = store.versions_of(case.account, case.rating_id)
    about = [stored for stored in versions if stored.case_id == case.case_id] or versions
    return _explain(store, case.account, about[-1], rules) if about else None


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
    return recall(text) if text else None
