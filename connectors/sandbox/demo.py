"""A made-up week of service recovery on two stand-in helpdesks: what `recovery-bridge demo` tells.

The helpdesks are served over HTTP on loopback; the bridge that works on them is the real one, with the shipped rules.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bridge.app import App
from bridge.model import Audit
from bridge.show import moment, table
from connectors.sandbox.company import Company, company
from connectors.sandbox.world import Mail

BERLIN = ZoneInfo("Europe/Berlin")
WINTER = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
MONDAY = datetime(2026, 3, 9, tzinfo=BERLIN)
MINUTE = timedelta(minutes=1)
Write = Callable[[str], object]


@dataclass(frozen=True)
class Scene:
    """One customer rates one solved ticket; *then* is what else happens, before the bridge looks or after it did."""

    day: int  # of the week, Monday is 0
    hour: float
    account: str
    agent: str
    customer: str
    category: str
    comment: str | None
    then: Callable[[Company, str], object] | None = None
    ticket: dict[str, Any] = field(default_factory=dict)
    happened: str = ""  # what *then* does, for the reader
    bridge_first: bool = False  # the bridge looks before *then*

    @property
    def at(self) -> datetime:
        """When the customer rates."""
        return MONDAY + timedelta(days=self.day, hours=self.hour)


def _closes(firm: Company, ticket_id: str) -> None:
    firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Cem"], status="closed")


def _ben_takes_it(firm: Company, ticket_id: str) -> None:
    firm.zendesk.assign(ticket_id, firm.agents["acme", "Ben"], by=firm.agents["acme", "Ben"])


def _ana_has_left(firm: Company, _ticket_id: str) -> None:
    firm.freshdesk.remove_agent(firm.agents["shop", "Ana"])
    firm.pass_time(timedelta(hours=1))


def _thinks_better_of_it(firm: Company, ticket_id: str) -> None:
    firm.pass_time(2 * MINUTE)
    firm.zendesk.rate(ticket_id, "good")


BEFORE = (("acme", "Ana", "Rita Rath"), ("shop", "Cem", "Rita Rath"), ("acme", "Cem", "Otto Ohm"))

WEEK = (
    Scene(0, 10.5, "acme", "Ana", "Mia Maier", "bad", "I waited five days and it is still broken."),
    Scene(0, 14.0, "shop", "Cem", "Tom Tanner", "bad", "Nobody read what I wrote."),
    Scene(1, 9.5, "acme", "Cem", "Vera Voss", "bad", "Not what I pay for.", ticket={"customer_tags": ["vip"]}),
    Scene(1, 11.0, "acme", "Ana", "Nils Neu", "bad", None),
    Scene(
        1,
        15.0,
        "acme",
        "Cem",
        "Ole Olsen",
        "bad",
        None,
        _thinks_better_of_it,
        happened="the customer changes it to good",
        bridge_first=True,
    ),
    Scene(
        2, 10.0, "shop", "Ana", "Pia Pohl", "bad", "Wrong size again.", _ana_has_left, happened="Ana leaves the shop"
    ),
    Scene(2, 13.0, "acme", "Ana", "Rita Rath", "bad", "This is the third time."),
    Scene(3, 9.5, "acme", "Cem", "Uwe Ufer", "bad", "I want a refund.", _closes, happened="the ticket is closed"),
    Scene(3, 11.0, "shop", "Cem", "Lena Lau", "good", "Thank you!"),
    Scene(3, 13.5, "acme", "Ana", "Bot Bottom", "bad", "Buy my watches", ticket={"tags": ["spam"]}),
    Scene(
        4, 10.0, "acme", "Ana", "Ida Iden", "bad", "Too slow.", _ben_takes_it, happened="Ben takes the ticket himself"
    ),
    Scene(4, 15.0, "shop", "Cem", "Tom Tanner", "bad", "And now this one, too."),
)


def tell(*, seed: int, as_json: bool, write: Write) -> None:
    """Play the week and write what happened, for people or as one JSON object."""
    started = time.monotonic()
    say: Write = (lambda _line: None) if as_json else write
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="recovery-bridge-demo-"))
        firm = stack.enter_context(company(WINTER, Path(folder), seed=seed))
        _winter(firm)
        app = stack.enter_context(firm.bridge())
        report = _play(firm, app, say)
        report["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        write(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _say_how_it_stands(report, write)


def _winter(firm: Company) -> None:
    """Let some customers be let down before there was a bridge."""
    for account, agent, customer in BEFORE:
        ticket_id = firm.solved_ticket(account, agent, customer)
        firm.desks[account].rate(ticket_id, "bad", "Disappointing.")
        firm.pass_time(timedelta(days=6))


def _play(firm: Company, app: App, say: Write) -> dict[str, Any]:
    _go_to(firm, MONDAY + timedelta(hours=8))
    app.run()
    seen = app.engine.tally.ratings_seen
    say("Recovery Bridge beside two helpdesks: acme (Zendesk) and shop (Freshdesk), stand-ins served at")
    say(f"{firm.urls['acme']} and {firm.urls['shop']}. Rules: the shipped rules.yaml, live.\n")
    say(f"{_clock(firm.now())}  first run: {seen} ratings of the last 90 days become memory; nobody is written to\n")
    before = {account: session.requests_made for account, session in app.sessions.items()}
    tickets = [(scene.account, _play_scene(firm, app, scene, say)) for scene in WEEK]
    calls = {account: session.requests_made - before[account] for account, session in app.sessions.items()}
    return {
        "tickets": list(_standing(firm, app, tickets)),
        "api_calls": calls,
        "runs": sum(4 if scene.bridge_first else 3 for scene in WEEK),
        "mails_to_customers": len(_mails_by_the_bridge(firm)),
        "ended_at": moment(firm.now()),
    }


def _mails_by_the_bridge(firm: Company) -> list[Mail]:
    """Return the mails to customers that left at a moment at which the bridge wrote to that ticket."""
    wrote = {(e.at, e.desk, e.ticket_id) for e in firm.world.ledger if e.actor.startswith("api:")}
    return [m for m in firm.world.mails if (m.at, m.desk, m.ticket_id) in wrote and m.to.endswith("@customer.example")]


def _play_scene(firm: Company, app: App, scene: Scene, say: Write) -> str:
    _go_to(firm, scene.at - timedelta(hours=1))
    ticket_id = firm.solved_ticket(scene.account, scene.agent, scene.customer, **scene.ticket)
    firm.desks[scene.account].rate(ticket_id, scene.category, scene.comment)
    said = f'"{scene.comment}"' if scene.comment else "without a word"
    rated = f"{scene.customer} rates {scene.account} ticket {ticket_id} ({scene.agent})"
    say(f"{_clock(firm.now())}  {rated}: {scene.category}, {said}")
    known = len(app.store.audits())
    if scene.bridge_first:
        known = _look(firm, app, known, say)
    if scene.then:
        scene.then(firm, ticket_id)
        say(f"{_minute(firm.now())}  ({scene.happened})")
    for minutes in (1, 10, 10):  # cron; at the end the grace time for a rating without a word is over
        firm.pass_time((minutes - 1) * MINUTE)
        known = _look(firm, app, known, say)
    say("")
    return ticket_id


def _look(firm: Company, app: App, known: int, say: Write) -> int:
    """Let cron start the bridge a minute later, and say what it decided and did."""
    firm.pass_time(MINUTE)
    app.run()
    audits = app.store.audits()
    for audit in audits[known:]:
        if audit.what != "overdue":
            say(f"{_minute(audit.at)}  {_in_words(firm, app, audit)}")
    return len(audits)


def _go_to(firm: Company, at: datetime) -> None:
    firm.pass_time(max(timedelta(), at - firm.now()))


def _clock(at: datetime) -> str:
    return f"{at.astimezone(BERLIN):%a %d %b %H:%M}"


def _minute(at: datetime) -> str:
    return f"{_clock(at)[-5:]:>16}"


def _in_words(firm: Company, app: App, audit: Audit) -> str:
    names = {agent_id: name for (_, name), agent_id in firm.agents.items()}
    case = app.store.case(audit.case_id) if audit.case_id else None
    owner = names.get(case.assignee_id or "", "nobody") if case else ""
    first = {
        "flagged": f"case for {owner}: ",
        "confirmed": f"{owner} goes on: ",
        "ended": f"ended, {case.outcome if case else ''}: ",
    }.get(audit.what, f"{audit.what}: ")
    return _named(first + audit.reason, firm)


def _named(text: str, firm: Company) -> str:
    """Write names for the ids of agents and groups."""
    ids = {
        **{key: name for (_, name), key in firm.agents.items()},
        **{key: name for (_, name), key in firm.groups.items()},
    }
    for key, name in ids.items():
        text = text.replace(f"agent {key}", name).replace(key, name)
    return text


def _say_how_it_stands(report: dict[str, Any], say: Write) -> None:
    say("What each ticket looks like on Friday evening, read from the helpdesks:\n")
    headings = ["helpdesk", "ticket", "status", "assignee", "priority", "tags", "rating became"]
    say(table(headings, [list(row.values()) for row in report["tickets"]]))
    calls = ", ".join(f"{account} {count}" for account, count in report["api_calls"].items())
    say(f"\nAPI calls of the whole week, with {report['runs']} runs: {calls}.")
    say(f"Mails to customers that the bridge caused: {report['mails_to_customers']}. Time: {report['seconds']} s.")


def _standing(firm: Company, app: App, tickets: list[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Read each ticket, and the follow-up ticket that carries its recovery where there is one."""
    for account, ticket_id in tickets:
        stored = app.store.ratings_of_ticket(account, ticket_id)
        last = stored[-1] if stored else None
        case = app.store.case(last.case_id) if last and last.case_id else None
        carrier = case.carrier_id if case and last and last.outcome == "flagged" else ticket_id
        ticket = app.engine.desks[account].tickets([carrier])[carrier]
        became = (last.outcome or "pending") if last else "not read"
        yield {
            "helpdesk": account,
            "ticket": ticket_id if carrier == ticket_id else f"{ticket_id} -> {carrier}",
            "status": str(ticket.status),
            "assignee": _named(ticket.assignee_id or "nobody", firm),
            "priority": ticket.priority or "",
            "tags": " ".join(tag for tag in ticket.tags if not tag.startswith("sr_ref_")),
            "rating became": f"{became}, case {case.outcome or case.stage}" if case else became,
        }
