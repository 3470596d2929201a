"""How fast ratings are decided about: thinking alone, and thinking with the store. No HTTP in either.

One process and one thread. The rules are the shipped rules.yaml, live; people, tickets and ratings are made up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.decision import Situation
from bridge.engine import Engine
from bridge.model import Agent, Category, Directory, Rating, Requester, Status, Ticket
from bridge.owner import Staff
from bridge.recovery import open_case
from bridge.rules import Rule, Rules, check, facts_of
from bridge.store import Store
from tests.bench.table import Chapter, Row, middle

MONDAY = datetime(2026, 3, 9, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RATINGS, STORED = 2000, 500
ROUNDS = 5
TEAM, GROUPS = 100, 5
SAMPLE = Path(__file__).parents[2] / "rules.yaml"

HOW = (
    f"One thread, no HTTP, the shipped rules.yaml (live), {TEAM} agents in {GROUPS} groups, CPU seconds, medians of"
    f" {ROUNDS} rounds. Thinking ({RATINGS:,} ratings): facts, rules from the top, ladder, working hours, note, case"
    f" and effects of a bad rating with a comment. With the store ({STORED}): engine.decide on SQLite (WAL,"
    " synchronous=FULL) with tickets in memory: customer, history, open cases, limits, and each decision stored in a"
    " transaction of its own."
)


def measure() -> Iterator[Chapter]:
    """Measure ratings per second."""
    rules, directory = _rules(), _directory()
    bad = [_rating(number, Category.BAD, "Nobody helped me") for number in range(RATINGS)]
    good = [_rating(number, Category.GOOD, None) for number in range(RATINGS)]
    mixed = [good[number] if number % 10 else bad[number] for number in range(RATINGS)]
    tickets = {rating.ticket_id: _ticket(rating) for rating in bad}
    desk = Desk(directory, tickets)
    rows = [
        _row("flagged ratings, thinking", lambda: _cpu(lambda: _think(rules, directory, bad, tickets)), RATINGS, 5000),
        _row("ratings that no rule can match, thinking", lambda: _cpu(lambda: _pass_over(rules, good)), RATINGS, 5000),
        _row("one flagged rating among ten, with the store", lambda: _decide(rules, desk, mixed[:STORED]), STORED),
        _row("flagged ratings, with the store", lambda: _decide(rules, desk, bad[:STORED]), STORED),
    ]
    yield Chapter("Deciding", HOW, rows)


def _row(what: str, work: Callable[[], float], ratings: int, goal: float | None = None) -> Row:
    """Return a row of ratings per second; *work* says how many seconds it took, and its first round warms up."""
    work()
    rates = [ratings / work() for _ in range(ROUNDS)]
    return Row(what, middle(rates), "/s", goal, at_least=True, best=max(rates))


def _cpu(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


# ------------------------------------------------------------------ what is decided about
def _rules() -> Rules:
    text = SAMPLE.read_text(encoding="utf-8").replace("mode: shadow", f"mode: live\n  max_open: {RATINGS}")
    text = text.replace("share_of_rated: 50%", "share_of_rated: 100%")
    rules, problems = check(text.replace("tickets_per_hour: 50", f"tickets_per_hour: {RATINGS}"))
    if rules is None:
        raise ValueError("\n".join(map(str, problems)))
    return rules


def _directory() -> Directory:
    names = ("Team Leads", "Supervisors", "Care", "Billing", "Shipping")
    groups = {str(number): name for number, name in enumerate(names[:GROUPS], start=1)}
    agents = {
        str(number): Agent(str(number), f"Agent {number}", f"agent{number}@example.com", (str(number % GROUPS + 1),))
        for number in range(1, TEAM + 1)
    }
    return Directory(MONDAY, agents, groups)


def _rating(number: int, category: Category, comment: str | None) -> Rating:
    at = MONDAY - timedelta(minutes=30) + number * timedelta(milliseconds=500)
    agent = number % TEAM + 1
    return Rating(
        rating_id=str(number), ticket_id=str(number), category=category, value=1 if category is Category.BAD else 2,
        scale_max=2, rated_at=at, updated_at=at, comment=comment, requester_id=str(number), assignee_id=str(agent),
        group_id=str(agent % GROUPS + 1),
    )  # fmt: skip


def _ticket(rating: Rating) -> Ticket:
    customer = Requester(rating.requester_id or "", "Mia Maier", f"c{rating.requester_id}@customer.example", "de")
    return Ticket(
        ticket_id=rating.ticket_id, status=Status.SOLVED, updated_at=MONDAY - timedelta(days=1), read_at=MONDAY,
        subject="My order", tags=("order", "delivery"), assignee_id=rating.assignee_id, group_id=rating.group_id,
        priority="normal", channel="email", requester=customer,
    )  # fmt: skip


# ------------------------------------------------------------------ thinking alone
def _think(rules: Rules, directory: Directory, ratings: Sequence[Rating], tickets: Mapping[str, Ticket]) -> None:
    now, ids = MONDAY + timedelta(hours=1), map(str, count())
    staff = Staff(rules, directory, rules.calendar(), {}, now)
    for rating in ratings:
        ticket = tickets[rating.ticket_id]
        facts = facts_of(rating, ticket, directory, account="acme", bad_rated_at=(rating.rated_at,), now=now)
        rule = rules.decide(facts).rule
        situation = Situation("acme", ticket, staff, facts, "https://acme.zendesk.com/x", False, ids.__next__)
        if not isinstance(rule, Rule) or not open_case(rating, rule, rating.assignee_id, "key", situation).effects:
            raise RuntimeError("a bad rating was to be flagged")


def _pass_over(rules: Rules, ratings: Sequence[Rating]) -> None:
    for rating in ratings:
        if rules.could_match(facts_of(rating, None, None, account="acme", bad_rated_at=(), now=MONDAY)):
            raise RuntimeError("no rule was to match a good rating")


# ------------------------------------------------------------------ with the store
@dataclass
class Desk:
    """As much of a connector as deciding asks for."""

    people: Directory
    known: Mapping[str, Ticket]
    account: str = "acme"
    conditional_writes: bool = True

    def tickets(self, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        """Return tickets from memory."""
        return {ticket_id: self.known[ticket_id] for ticket_id in ticket_ids}

    def directory(self, *, fresh: bool = False) -> Directory:
        """Return the people."""
        return self.people

    def link(self, ticket_id: str) -> str:
        """Return an address."""
        return f"https://acme.zendesk.com/agent/tickets/{ticket_id}"


def _decide(rules: Rules, desk: Desk, ratings: Sequence[Rating]) -> float:
    now, ids = MONDAY + timedelta(hours=1), (f"{number:08x}" for number in count())
    with TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'bridge.db'}")
        store.add_ratings("acme", ratings, source="poll", seen_at=now, memory_before=MONDAY - timedelta(days=1))
        engine = Engine(rules, store, {"acme": desk}, lambda: now, ids.__next__, lambda address: address)  # type: ignore[dict-item]

        def decide() -> None:
            while engine.decide("acme"):
                pass

        used = _cpu(decide)
        flagged = sum(rating.category is Category.BAD for rating in ratings)
        if engine.tally.cases_opened != flagged:
            raise RuntimeError(f"{engine.tally.cases_opened} cases for {flagged} bad ratings")
        store.close()
    return used
