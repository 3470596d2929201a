"""How many API calls things cost, counted from the stand-ins' own logs of requests.

Counting needs no second process: stand-ins, bridge and one simulated clock live in this one. Limits are so high that
no budget stretches the work over minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.app import App
from bridge.model import EffectState
from connectors.sandbox.company import RULES, Company, company
from tests.bench.table import Chapter, Row

MONDAY = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
HOUR, POLL_EVERY, LOOK_AFTER = timedelta(hours=1), timedelta(minutes=2), timedelta(minutes=6)
BACKLOG = 1000
TEAM = 40  # agents who hold the tickets
HIGH = 999_999_999  # calls per minute; a stand-in without any limit would not name it in its headers
NAMES = {"acme": "Zendesk", "shop": "Freshdesk"}

HOW = (
    "Both stand-ins over loopback HTTP, one simulated clock, limits that nobody reaches. Counted in the stand-ins'"
    " logs; minting a token does not count. People, groups, marker field and kind of CSAT are in memory (at most 1 h)."
)


def measure() -> Iterator[Chapter]:
    """Count the calls of idle polls, of one flagged ticket and of a backlog."""
    yield Chapter("API calls of a run with nothing to do", HOW, [*_idle("legacy"), *_idle("new")])
    yield Chapter(
        "API calls for flagged tickets, with the poll that finds them",
        f"As above. Each ticket is another customer's, solved by one of {TEAM} agents, rated badly with a comment; each"
        " gets tags, status, priority, assignee and a private note, and the run ends with nothing left to send.",
        [*_one(), *_backlog()],
    )


def _idle(csat: str) -> Iterator[Row]:
    with _firm(csat) as firm, _bridge(firm) as app:
        used = _calls_of_a_run(firm, app)
        if csat == "new":
            yield Row("Zendesk, new CSAT surveys", used["acme"], "calls", 2)
            return
        yield Row("Zendesk, legacy ratings", used["acme"], "calls", 1)
        yield Row("Freshdesk", used["shop"], "calls", 1)
        firm.zendesk.add_ratings_in_bulk(250, bad_share=1, start=firm.now() - timedelta(days=20))
        app.run()
        firm.pass_time(POLL_EVERY)
        yield Row(
            "Zendesk, legacy ratings, 250 bad ones in the answer window", _calls_of_a_run(firm, app)["acme"], "calls", 3
        )


def _one() -> Iterator[Row]:
    """Flag a first ticket, which fills the caches, then the one that counts, and look after both."""
    for account, goal in (("acme", 3), ("shop", 4)):
        with _firm() as firm:
            first, second = _solved_tickets(firm, account, 2)
            with _bridge(firm) as app:
                fresh, used = (_calls_to_flag(firm, app, account, [ticket_id]) for ticket_id in (first, second))
                _must_be_done(app, account, 2)
                firm.pass_time(LOOK_AFTER)
                looking = _calls_of_a_run(firm, app)[account]
        yield Row(f"{NAMES[account]}, one flagged ticket", used, "calls", goal)
        yield Row(f"{NAMES[account]}, the first one in an hour, which fills the caches", fresh, "calls")
        yield Row(
            f"{NAMES[account]}, a run that looks at the tickets of two open cases (every 5 min)", looking, "calls"
        )


def _backlog() -> Iterator[Row]:
    for account, goal in (("acme", 0.1), ("shop", 3.1)):
        with _firm() as firm:
            tickets = _solved_tickets(firm, account, BACKLOG)
            with _bridge(firm) as app:
                used = _calls_to_flag(firm, app, account, tickets)
                _must_be_done(app, account, BACKLOG)
        yield Row(
            f"{NAMES[account]}, a backlog of {BACKLOG:,} flagged tickets, for each", used / BACKLOG, "calls", goal
        )


def _calls_to_flag(firm: Company, app: App, account: str, tickets: Sequence[str]) -> int:
    for ticket_id in tickets:
        firm.desks[account].rate(ticket_id, "bad", "Nobody helped me")
    firm.pass_time(POLL_EVERY)
    return _calls_of_a_run(firm, app)[account]


@contextmanager
def _firm(csat: str = "legacy") -> Iterator[Company]:
    zendesk = {"csat": csat, "rate_limit": HIGH, "updates_per_minute": 0}
    freshdesk = {"rate_limit": HIGH}
    with TemporaryDirectory() as folder, company(MONDAY, Path(folder), zendesk=zendesk, freshdesk=freshdesk) as firm:
        yield firm


@contextmanager
def _bridge(firm: Company) -> Iterator[App]:
    """Open a bridge that has seen the accounts before and remembers what it asks once an hour or a day."""
    text = RULES.read_text(encoding="utf-8").replace("settings:\n", f"settings:\n  max_open: {BACKLOG}\n", 1)
    text = text.replace("tickets_per_hour: 50", f"tickets_per_hour: {10 * BACKLOG}")
    text = text.replace("share_of_rated: 50%", "share_of_rated: 100%")
    with firm.bridge(firm.rules(text)) as app:
        for desk in app.engine.desks.values():
            list(desk.setup())
        for _ in range(3):  # the import, the first poll, and one that changes nothing
            app.run()
            firm.pass_time(POLL_EVERY)
        yield app


def _solved_tickets(firm: Company, account: str, count: int) -> list[str]:
    desk, group = firm.desks[account], firm.groups[account, "Care"]
    team = [desk.add_agent(f"Agent {n}", f"agent{n}@example.com", [group]) for n in range(TEAM)]
    tickets = []
    for number in range(count):
        customer, agent = desk.add_customer(f"Customer {number}", f"c{number}@customer.example"), team[number % TEAM]
        tickets.append(desk.open_ticket(customer, "My order", "Where is it?", group=group))
        desk.assign(tickets[-1], agent, by=agent)
        desk.reply(tickets[-1], agent, "It is on its way.")
        desk.solve(tickets[-1], agent)
    firm.pass_time(HOUR)
    return tickets


def _calls_of_a_run(firm: Company, app: App) -> dict[str, int]:
    before = {account: len(desk.requests) for account, desk in firm.desks.items()}
    app.run()
    if app.failures:
        raise RuntimeError(f"the run that was to be counted went wrong: {app.failures}")
    made = {account: desk.requests[before[account] :] for account, desk in firm.desks.items()}
    return {account: sum(call.path != "/oauth/tokens" for call in calls) for account, calls in made.items()}


def _must_be_done(app: App, account: str, count: int) -> None:
    """Raise RuntimeError unless every ticket was recovered: a cheap run that does nothing is no good run."""
    states = app.store.counts(account, app.now()).effects
    if states != {EffectState.APPLIED: count}:
        raise RuntimeError(f"{account}: expected {count} applied effects, got {states}")
