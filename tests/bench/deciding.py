"""How fast ratings are decided about: thinking alone, thinking with the store, and finding one of very many rules.

No HTTP. One process and one thread. The rules are the shipped rules.yaml, live, and for the last question made up, as
people, tickets and ratings always are.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.decision import Situation
from bridge.engine import Engine
from bridge.model import Agent, Category, Directory, Rating, Requester, Status, Ticket
from bridge.owner import Staff
from bridge.recovery import open_case
from bridge.rules import Facts, Rule, Rules, check, facts_of
from bridge.rules.index import Finder, Index, Loop
from bridge.store import Store
from tests.bench.loading import load_rules
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

SIZES = {10: None, 100: None, 1000: 10.0, 10_000: 100.0}  # rules, and how many microseconds a decision may take
SEEN = 1000  # facts of one round
HOW_FOUND = (
    f"CPU microseconds from facts that nobody has looked at before to the first rule that matches; medians of {ROUNDS}"
    f" rounds of {SEEN:,} for the index; one round of fewer for the loop, whose answers must be the same. Brands: each"
    " rule names one of 500 brands. Mixed: half of the rules do, a fifth names one of 300 tags, a fifth has"
    " alternatives, a tenth has only thresholds. Open: all have only thresholds."
)


def measure() -> Iterator[Chapter]:
    """Measure ratings per second, and microseconds per decision."""
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
    yield Chapter("Finding the rule", HOW_FOUND, [row for name, rule in KINDS.items() for row in _growth(name, rule)])


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


# ------------------------------------------------------------------ one of very many rules
def _growth(name: str, rule: Callable[[random.Random], str]) -> Iterator[Row]:
    """Yield the time of a decision for each number of rules, and how it grows."""
    chance = random.Random(2026)
    facts = [_facts(chance) for _ in range(SEEN)]
    index_us, loop_us = {}, {}
    for size, goal in SIZES.items():
        rules = load_rules(f"{{name: R{number}, when: {{{rule(chance)}}}}}" for number in range(size - 1)).rules
        begun = time.process_time()
        index = Index(rules)
        built = time.process_time() - begun
        few = facts[: max(50, min(SEEN, 200_000 // size))]
        loop_us[size], by_loop = _find(Loop(rules), few)
        rounds = [_find(index, facts) for _ in range(ROUNDS + 1)][1:]
        if any(found[: len(few)] != by_loop for _, found in rounds):
            raise RuntimeError("the index found another rule than the loop")
        index_us[size] = middle([us for us, _ in rounds])
        what = f"{name}, {size:,} rules (loop {loop_us[size]:,.1f}; built in {built * 1000:,.1f} ms)"
        yield Row(what, index_us[size], "us", goal, best=min(us for us, _ in rounds))
    grown = f"{name}, growth exponent from 100 to 10,000 rules (loop {_exponent(loop_us):.2f})"
    yield Row(grown, _exponent(index_us), "", 0.8)


def _find(finder: Finder, facts: Sequence[Facts]) -> tuple[float, list[int | None]]:
    """Return the microseconds per decision about facts that nobody has looked at, and the decisions."""
    fresh = [replace(one) for one in facts]
    begun = time.process_time()
    found = [finder.first(one) for one in fresh]
    return (time.process_time() - begun) / len(fresh) * 1e6, found


def _exponent(us: Mapping[int, float]) -> float:
    return math.log(us[10_000] / us[100]) / math.log(100)


def _brands(chance: random.Random) -> str:
    return f"rating: bad, brand: B{chance.randrange(500)}, reopens: {{at_least: {chance.randint(1, 4)}}}"


def _tags(chance: random.Random) -> str:
    return f"rating: bad, tags: {{has: t{chance.randrange(300)}}}, reopens: {{at_least: {chance.randint(1, 4)}}}"


def _alternatives(chance: random.Random) -> str:
    group, tag = f"group: G{chance.randrange(200)}", f"tags: {{has: t{chance.randrange(300)}}}"
    return f"channel: [chat, web], any: [{{{group}}}, {{{tag}}}]"


def _thresholds(chance: random.Random) -> str:
    return f"rating: {{at_most: {chance.randint(100, 300) / 100}}}, reopens: {{at_least: {chance.randint(2, 9)}}}"


def _mixed(chance: random.Random) -> str:
    kinds = (_brands, _tags, _alternatives, _thresholds)
    return chance.choices(kinds, weights=(5, 2, 2, 1))[0](chance)


KINDS: Mapping[str, Callable[[random.Random], str]] = {"brands": _brands, "mixed": _mixed, "open": _thresholds}


def _facts(chance: random.Random) -> Facts:
    """Make up facts that many rules nearly match, and few do."""
    at = MONDAY - timedelta(days=chance.uniform(0, 20))
    return Facts(
        category=chance.choice(list(Category)), point=chance.uniform(1, 5), rated_at=at, now=MONDAY, account="acme",
        comment="Still broken", comment_present=True, bad_rated_at=(at,),
        tags=tuple(f"T{chance.randrange(3000)}" for _ in range(5)), channel=chance.choice(["email", "web", "chat"]),
        group=f"G{chance.randrange(300)}", brand=f"B{chance.randrange(800)}", priority="normal", customer_tags=(),
        organization_tags=(), language="de-AT", reopens=chance.choice([0, 0, 0, 0, 1, 2]),
    )  # fmt: skip
