"""A made-up week of service recovery on two stand-in helpdesks: what `recovery-bridge demo` tells.

The helpdesks are served over HTTP on loopback; the bridge that works on them is the real one, with the shipped rules.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bridge.app import App
from bridge.by_hand import Learned, close
from bridge.model import Audit, Case, Outcome
from bridge.show import moment, table
from connectors.sandbox.company import Company, company
from connectors.sandbox.world import Mail

BERLIN = ZoneInfo("Europe/Berlin")
WINTER = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
MONDAY = datetime(2026, 3, 9, tzinfo=BERLIN)
END = MONDAY + timedelta(days=4, hours=18)
MINUTE = timedelta(minutes=1)
DEFAULT_NEWS = frozenset({"applied", "adopted", "superseded", "waiting", "overdue"})  # told elsewhere, or no news
Write = Callable[[str], object]

BEFORE = (("acme", "Ana", "Rita Rath"), ("shop", "Cem", "Rita Rath"), ("acme", "Cem", "Otto Ohm"))

# customer -> helpdesk, agent of the ticket, and what is special about the ticket
CAST: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "Mia Maier": ("acme", "Ana", {}),
    "Tom Tanner": ("shop", "Cem", {}),
    "Vera Voss": ("acme", "Cem", {"customer_tags": ["vip"]}),
    "Nils Neu": ("acme", "Ana", {}),
    "Ole Olsen": ("acme", "Cem", {}),
    "Pia Pohl": ("shop", "Ana", {}),
    "Rita Rath": ("acme", "Ana", {}),
    "Uwe Ufer": ("acme", "Cem", {}),
    "Lena Lau": ("shop", "Cem", {}),
    "Bot Bottom": ("acme", "Ana", {"tags": ["spam"]}),
    "Ida Iden": ("acme", "Ana", {}),
}


@dataclass(frozen=True)
class Event:
    """Something that a person does: *who* is a customer of CAST, *deed* a word of `Week.do`."""

    day: int  # Monday is 0
    hour: float
    who: str
    deed: str  # see Week.do
    words: str | None = None
    agent: str = ""
    category: str = "bad"

    @property
    def at(self) -> datetime:
        """When it happens."""
        return MONDAY + timedelta(days=self.day, hours=self.hour)


WEEK = (
    Event(0, 10.5, "Mia Maier", "rates", "I waited five days and it is still broken."),
    Event(0, 10.8, "Mia Maier", "replies", agent="Ana"),
    Event(0, 12.0, "Mia Maier", "solves", agent="Ana"),
    Event(0, 14.0, "Tom Tanner", "rates", "Nobody read what I wrote."),
    Event(1, 9.5, "Vera Voss", "rates", "Not what I pay for."),
    Event(1, 9.7, "Vera Voss", "replies", agent="Cem"),
    Event(1, 9.9, "Mia Maier", "rates", "Thank you for coming back to me!", category="good"),
    Event(1, 10.2, "Vera Voss", "solves", agent="Cem"),
    Event(1, 11.0, "Nils Neu", "rates"),
    Event(1, 11.4, "Nils Neu", "edits", agent="Ana"),
    Event(1, 15.0, "Ole Olsen", "rates"),
    Event(1, 15.1, "Ole Olsen", "rates", category="good"),
    Event(2, 9.2, "Vera Voss", "rates", "Still wrong."),
    Event(2, 9.9, "Pia Pohl", "leaves", agent="Ana"),
    Event(2, 10.0, "Pia Pohl", "rates", "Wrong size again."),
    Event(2, 10.1, "Pia Pohl", "replies", agent="Cem"),
    Event(2, 13.0, "Rita Rath", "rates", "This is the third time."),
    Event(2, 13.2, "Rita Rath", "replies", agent="Zoe"),
    Event(3, 9.5, "Uwe Ufer", "rates_before", "I want a refund."),
    Event(3, 11.0, "Lena Lau", "rates", "Perfect.", category="good"),
    Event(3, 13.5, "Bot Bottom", "rates", "Buy my watches"),
    Event(3, 15.0, "Nils Neu", "gives_up", "no such feature"),
    Event(4, 10.0, "Ida Iden", "rates", "Too slow."),
    Event(4, 10.01, "Ida Iden", "takes", agent="Ben"),
    Event(4, 15.0, "Tom Tanner", "rates_another", "And now this one, too."),
)


@dataclass
class Week:
    """The week as it goes by."""

    firm: Company
    app: App
    say: Write
    tickets: dict[str, str] = field(default_factory=dict)  # customer -> ticket
    told: int = 0  # audits that were told
    runs: int = 0

    def go_to(self, at: datetime) -> None:
        """Let time pass; cron starts the bridge whenever something is due."""
        while (due := self._next_due()) and due < at:
            self._pass_to(due)
            self.look()
        self._pass_to(at)

    def _next_due(self) -> datetime | None:
        now = self.firm.now()
        dues = (case.due_at for case in self.app.store.cases(open_only=True) if case.due_at)
        return min((max(due, now) + MINUTE for due in dues), default=None)

    def _pass_to(self, at: datetime) -> None:
        self.firm.pass_time(max(timedelta(), at - self.firm.now()))

    def look(self) -> None:
        """Run the bridge, and say what it decided."""
        self.runs += 1
        self.app.run()
        audits = self.app.store.audits()
        for audit in audits[self.told :]:
            if audit.what not in DEFAULT_NEWS:
                self.say(f"{_minute(audit.at)}  -> {in_words(self.firm, self.app, audit)}")
        self.told = len(audits)

    def happen(self, event: Event) -> None:
        """Let one person do one thing, and the bridge look at it a minute later."""
        account, agent, details = CAST[event.who]
        if event.who not in self.tickets or event.deed == "rates_another":
            self._ask_and_solve(event.who, account, agent, details)
        ticket_id = self.tickets.get(event.who, "")
        self.do(event, account, ticket_id)
        self.say(f"{_clock(self.firm.now())}  {_told(event, account, ticket_id)}")
        self.firm.pass_time(MINUTE)
        self.look()

    def _ask_and_solve(self, who: str, account: str, agent: str, details: dict[str, Any]) -> None:
        self.tickets[who] = self.firm.solved_ticket(account, agent, who, takes=2 * MINUTE, **details)

    def do(self, event: Event, account: str, ticket_id: str) -> None:
        """Do what the event says."""
        desk = self.firm.desks[account]
        agent = self.firm.agents.get((account, event.agent), "")
        match event.deed:
            case "rates" | "rates_another":
                desk.rate(ticket_id, event.category, event.words)
            case "rates_before":  # the rating came in, then the ticket was closed
                desk.rate(ticket_id, event.category, event.words)
                desk.edit(ticket_id, by=self.firm.agents[account, "Cem"], status="closed")
            case "replies":
                desk.reply(ticket_id, agent, "I am sorry. Here is what I can do for you.")
            case "edits":
                desk.edit(ticket_id, by=agent, status="pending")
            case "solves":
                desk.solve(ticket_id, agent)
            case "takes":
                desk.assign(ticket_id, agent, by=agent)
            case "leaves":
                desk.remove_agent(agent)
                self.app.engine.desks[account].directory(fresh=True)
            case "gives_up":
                case = self.app.store.open_case_on(account, ticket_id)
                if case:
                    learned = Learned(cause=event.words, party="product")
                    decision = close(case, Outcome.UNFIXABLE, learned, self.firm.now())
                    self.app.store.save(decision, expected_version=case.version)


def tell(*, seed: int, as_json: bool, write: Write) -> None:
    """Play the week and write what happened, for people or as one JSON object."""
    started = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="recovery-bridge-demo-"))
        firm = stack.enter_context(company(WINTER, Path(folder), seed=seed))
        _winter(firm)
        app = stack.enter_context(firm.bridge())
        week = Week(firm, app, (lambda _line: None) if as_json else write)
        report = _play(week)
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


def _play(week: Week) -> dict[str, Any]:
    firm, app, say = week.firm, week.app, week.say
    week.go_to(MONDAY + timedelta(hours=8))
    say("Recovery Bridge beside two helpdesks: acme (Zendesk) and shop (Freshdesk), stand-ins served at")
    say(f"{firm.urls['acme']} and {firm.urls['shop']}. Rules: the shipped rules.yaml, live.\n")
    week.look()
    seen = app.engine.tally.ratings_seen
    say(f"{_clock(firm.now())}  first run: {seen} ratings of the last 90 days become memory; nobody is written to")
    before = {account: session.requests_made for account, session in app.sessions.items()}
    day = -1
    for event in WEEK:
        week.go_to(event.at)
        if event.day != day:
            say("")
            day = event.day
        week.happen(event)
    week.go_to(END)
    calls = {account: session.requests_made - before[account] for account, session in app.sessions.items()}
    return {
        "tickets": list(_standing(week)),
        "api_calls": calls,
        "runs": week.runs,
        "mails_to_customers": len(_mails_by_the_bridge(firm)),
        "ended_at": moment(firm.now()),
    }


def _mails_by_the_bridge(firm: Company) -> list[Mail]:
    """Return the mails to customers that left at a moment at which the bridge wrote to that ticket."""
    wrote = {(e.at, e.desk, e.ticket_id) for e in firm.world.ledger if e.actor.startswith("api:")}
    return [m for m in firm.world.mails if (m.at, m.desk, m.ticket_id) in wrote and m.to.endswith("@customer.example")]


def _told(event: Event, account: str, ticket_id: str) -> str:
    said = f'"{event.words}"' if event.words else "without a word"
    ticket = f"{account} ticket {ticket_id}"
    return {
        "rates": f"{event.who} rates {ticket} {event.category}, {said}",
        "rates_another": f"{event.who} rates another one, {ticket}, {event.category}, {said}",
        "rates_before": f"{event.who} rates {ticket} {event.category}, {said}, and it is closed before anybody looks",
        "replies": f"{event.agent} writes to {event.who} ({ticket})",
        "edits": f"{event.agent} sets {ticket} to pending",
        "solves": f"{event.agent} solves {ticket}",
        "takes": f"{event.agent} takes {ticket} himself",
        "leaves": f"{event.agent} leaves the {account}",
        "gives_up": f"recovery-bridge case close: {ticket} cannot be fixed ({event.words})",
    }[event.deed]


def _clock(at: datetime) -> str:
    return f"{at.astimezone(BERLIN):%a %d %b %H:%M}"


def _minute(at: datetime) -> str:
    return f"{_clock(at)[-5:]:>16}"


def in_words(firm: Company, app: App, audit: Audit) -> str:
    """Return one decision as a sentence with names."""
    case = app.store.case(audit.case_id) if audit.case_id else None
    return _named(f"{_beginning(audit, case)}: {audit.reason}", firm)


def _beginning(audit: Audit, case: Case | None) -> str:
    if case is None:
        return audit.what
    if audit.what == "flagged":
        return f"case for {case.assignee_id or 'nobody'}, severity {case.severity}"
    if audit.what == "ended":
        return f"ended, {case.outcome}"
    return audit.what


def _named(text: str, firm: Company) -> str:
    """Write names for the ids of agents and groups."""
    ids = {key: name for (_, name), key in {**firm.agents, **firm.groups}.items()}
    for key, name in ids.items():
        text = text.replace(f"agent {key}", name).replace(key, name)
    return text


def _say_how_it_stands(report: dict[str, Any], say: Write) -> None:
    say("\nWhat each ticket looks like on Friday evening, read from the helpdesks:\n")
    headings = ["helpdesk", "ticket", "customer", "status", "assignee", "priority", "tags", "recovery"]
    say(table(headings, [list(row.values()) for row in report["tickets"]]))
    calls = ", ".join(f"{account} {count}" for account, count in report["api_calls"].items())
    say(f"\nAPI calls of the whole week, with {report['runs']} runs: {calls}.")
    say(f"Mails to customers that the bridge caused: {report['mails_to_customers']}. Time: {report['seconds']} s.")


def _standing(week: Week) -> Iterator[dict[str, str]]:
    """Read each ticket, and the follow-up ticket that carries its recovery where there is one."""
    for who, ticket_id in week.tickets.items():
        account = CAST[who][0]
        stored = week.app.store.ratings_of_ticket(account, ticket_id)
        case = next((found for one in stored if one.case_id and (found := week.app.store.case(one.case_id))), None)
        carrier = case.carrier_id if case and case.ticket_id == ticket_id else ticket_id
        ticket = week.app.engine.desks[account].tickets([carrier])[carrier]
        outcomes = [one.outcome or "pending" for one in stored]
        yield {
            "helpdesk": account,
            "ticket": ticket_id if carrier == ticket_id else f"{ticket_id} -> {carrier}",
            "customer": who,
            "status": str(ticket.status),
            "assignee": _named(ticket.assignee_id or "nobody", week.firm),
            "priority": ticket.priority or "",
            "tags": " ".join(tag for tag in ticket.tags if not tag.startswith("sr_ref_")),
            "recovery": str(case.outcome or case.stage) if case else ", ".join(outcomes) or "not read",
        }
