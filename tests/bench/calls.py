"""How many API calls things cost, counted by the bridge's own sessions and checked against the stand-ins' logs.

Counting needs no second process: stand-ins, bridge and one simulated clock live in this one. Limits are so high that
no budget stretches the work over minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridge.app import App
from connectors.sandbox.company import Company, company
from tests.bench.table import Chapter, Row

MONDAY = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BACKLOG = 1000
TEAM = 40  # agents who hold the tickets of the backlog
HIGH = 1_000_000_000  # calls per minute; a stand-in with no limit at all would not say so in its headers
NAMES = {"acme": "Zendesk", "shop": "Freshdesk"}

HOW = (
    "Both vendors' stand-ins over loopback HTTP, one simulated clock, limits that nobody reaches. Calls are those of the"
    " account's session, minus those that mint a token. People, groups, marker field and kind of CSAT are in memory from"
    " an earlier run (age limit 1 h)."
)


def measure() -> Iterator[Chapter]:
    """Count the calls of idle polls, of one flagged ticket and of a backlog."""
    yield Chapter("API calls of a run with nothing to do", HOW, [*_idle("legacy"), *_idle("new")])
    yield Chapter(
        "API calls of flagged tickets, the poll that finds them included",
        f"The same stand-ins. Each ticket is another customer's, solved by one of {TEAM} agents and rated badly with a"
        " comment; each gets tags, status, priority, assignee and a private note.",
        [*_flagged(1, {"acme": 3, "shop": 4}), *_flagged(BACKLOG, {"acme": 0.1, "shop": 3.1})],
    )


@contextmanager
def _firm(csat: str = "legacy") -> Iterator[tuple[Company, App]]:
    with (
        TemporaryDirectory() as folder,
        company(
            MONDAY,
            Path(folder),
            zendesk={"csat": csat, "rate_limit": HIGH, "updates_per_minute": 0},
            freshdesk={"rate_limit": HIGH},
        ) as firm,
    ):
        rules = firm.rules(_without_limits())
        with firm.bridge(rules) as app:
            for desk in app.engine.desks.values():
                list(desk.setup())
            for _ in range(3):  # import, first polls, and whatever is asked once
                app.run()
                firm.pass_time(2 * MINUTE)
            yield firm, app


def _without_limits() -> str:
    """Return the company's rules, but that no agent's plate is ever full and no hour has too many tickets."""
    from connectors.sandbox.company import RULES

    text = RULES.read_text(encoding="utf-8")
    return text.replace("settings:\n", f"settings:\n  max_open: {BACKLOG}\n", 1).replace(
        "tickets_per_hour: 50", f"tickets_per_hour: {BACKLOG}"
    )


def _idle(csat: str) -> Iterator[Row]:
    with _firm(csat) as (firm, app):
        used = _calls_of_a_run(app)
        if csat == "new":
            yield Row("Zendesk, new CSAT surveys", used["acme"], "calls", 2)
            return
        yield Row("Zendesk, legacy ratings", used["acme"], "calls", 1)
        yield Row("Freshdesk", used["shop"], "calls", 1)
        firm.zendesk.add_ratings_in_bulk(250, bad_share=1, start=firm.now() - timedelta(days=20))
        firm.pass_time(2 * MINUTE)
        app.run()
        firm.pass_time(2 * MINUTE)
        yield Row("Zendesk, legacy ratings, 250 bad ones in the answer window", _calls_of_a_run(app)["acme"], "calls", 3)


def _flagged(count: int, goals: dict[str, float]) -> Iterator[Row]:
    for account, goal in goals.items():
        with _firm() as (firm, app):
            _rate_badly(firm, account, count)
            used = _calls_of_a_run(app)[account]
            _must_be_done(app, count)
            what = "one flagged ticket" if count == 1 else f"a backlog of {count:,} flagged tickets, calls for each"
            yield Row(f"{NAMES[account]}, {what}", used / count, "calls", goal)


def _rate_badly(firm: Company, account: str, count: int) -> None:
    desk, group = firm.desks[account], firm.groups[account, "Care"]
    agents = [desk.add_agent(f"Agent {n}", f"agent{n}@example.com", [group]) for n in range(min(TEAM, count))]
    tickets = [_solved(desk, group, agents[n % len(agents)], n) for n in range(count)]
    firm.pass_time(timedelta(hours=1, minutes=30))  # the directory is too old by then
    with _nothing_counted(firm) as app_again:
        app_again()
    for ticket_id in tickets:
        desk.rate(ticket_id, "bad", "Nobody helped me")
    firm.pass_time(2 * MINUTE)
