"""A made-up week of service recovery on two stand-in helpdesks, and what came of it: what `recovery-bridge demo` tells.

The helpdesks are served over HTTP on loopback; the bridge that works on them is the real one, with the shipped rules.
Who does what stands in demo_cast.py.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.app import App
from bridge.deadlines import STILL_OPEN
from bridge.model import Audit, Case, Outcome
from bridge.show import moment, table
from connectors.sandbox import freshdesk_rules
from connectors.sandbox.company import Company, company
from connectors.sandbox.demo_cast import BEFORE, BERLIN, CAST, DAY, END, MINUTE, MONDAY, STORY, WINTER, Event
from connectors.sandbox.demo_deeds import Scene, joined
from connectors.sandbox.freshdesk_records import ON_UPDATE
from connectors.sandbox.outbox import caused_by_programs
from connectors.sandbox.world import Mail

Write = Callable[[str], object]
CRON = 5 * MINUTE  # how often the bridge may run
REQUEST_SEEN_WITHIN = timedelta(minutes=15)
TOLD = frozenset(
    {
        "flagged", "ended", "escalated", "reminded", "asked", "not_asked", "reminded_customer", "ignored", "stopped",
        "anonymous", "joined", "held",
    }
)  # fmt: skip
_HTML = re.compile(r"<[^>]*>")
_NAME = re.compile(r" (?=sr_|cf_|\[)")  # begins the name of what setup made
NEWS = ("a human gave the ticket", "the helpdesk asked the customer by itself")  # begin what is told, whatever it is
SURVEY_RULE = {
    "name": "Survey on request",
    "performer": {"type": 1},
    "events": [{"field_name": "tags", "value": "ask"}],
    "actions": [{"field_name": "send_survey"}],
}
NEXT = """
On your own account (README: ten minutes, in shadow mode, which changes nothing):
  recovery-bridge check                    are the rules sound?
  recovery-bridge doctor                   may it read and write what it needs, and what could go wrong?
  recovery-bridge setup --dry-run          what it would install in the helpdesk
  recovery-bridge run --once, then plan    what it would do now, ticket by ticket
  recovery-bridge explain TICKET           every rule, with the values it saw; cases, case ID: who has it and why\
"""


@dataclass
class Week:
    """The story as it goes by."""

    scene: Scene
    write: Write
    lines: list[str] = field(default_factory=list)
    day: date | None = None
    told: int = 0  # audits that were told
    posted: int = 0  # messages to staff that were told
    mailed: int = 0  # questions that were told
    shown: set[str] = field(default_factory=set)  # helpdesks of which a question was shown in full
    runs: int = 0

    @property
    def firm(self) -> Company:
        """The company that it is about."""
        return self.scene.firm

    @property
    def app(self) -> App:
        """The bridge beside it."""
        return self.scene.app

    def say(self, text: str) -> None:
        """Write a line of the story."""
        self.lines.append(text)
        self.write(text)

    def say_at(self, at: datetime, text: str) -> None:
        """Write what happened at a time, below the heading of its day."""
        local = at.astimezone(BERLIN)
        if local.date() != self.day:
            self.day = local.date()
            self.say(f"\n{local:%A} {local.day} {local:%B}")
        self.say(f"  {local:%H:%M}  {text}")

    # -------------------------------------------------------------- time
    def go_to(self, at: datetime) -> None:
        """Let time pass; cron starts the bridge whenever something is due."""
        while (due := self._next_due()) and due < at:
            self._pass_to(due)
            self.look()
        self._pass_to(at)

    def _next_due(self) -> datetime | None:
        """Return when cron next starts a run that has something to do."""
        store, now, accounts = self.app.store, self.firm.now(), self.app.accounts
        dues = [case.due_at for case in store.cases(open_only=True) if case.due_at and case.next_step != STILL_OPEN]
        waiting = (one.effect for account in accounts for one in store.unfinished_effects(account, now))
        dues.extend(effect.not_before or now for effect in waiting)
        return max(min(dues), now) + CRON if dues else None

    def _pass_to(self, at: datetime) -> None:
        self.firm.pass_time(max(timedelta(), at - self.firm.now()))

    def happen(self, event: Event, at: datetime) -> None:
        """Let people do something. What customers say is looked at a minute later; what agents do, when it is due."""
        self.go_to(at)
        said = self.scene.play(event)
        self.say_at(self.firm.now(), said)
        self.say_news()
        if not event.agent:
            self.firm.pass_time(MINUTE)
            self.look()
        elif event.deed == "requests":
            self.firm.pass_time(REQUEST_SEEN_WITHIN)
            self.look()

    # -------------------------------------------------------------- what the bridge does
    def look(self) -> None:
        """Run the bridge, and say what it did."""
        self.runs += 1
        self.app.run()
        self.say_news()

    def say_news(self) -> None:
        """Say what the bridge decided since the last time, the first question of each helpdesk, and what staff read."""
        audits, questions, posted = self.app.store.audits(), self.scene.questions(), self.firm.chat.posted
        first = [mail for mail in questions[self.mailed :] if mail.desk not in self.shown]
        news = [one for one in audits[self.told :] if _is_news(one) and (first or one.what != "asked")]
        for said, together in self._in_words(news).items():
            customers = joined(sorted(map(self._customer, together)))
            self.say_at(together[0].at, f"  -> {customers}: {said}")
        self._show(first)
        for message in posted[self.posted :]:
            self.say_at(self.firm.now(), f"  -> in the chat, {message['channel']}: {_in_short(message['text'])}")
        self.told, self.mailed, self.posted = len(audits), len(questions), len(posted)

    def _in_words(self, audits: Iterable[Audit]) -> Mapping[str, Sequence[Audit]]:
        """Return decisions as sentences with names; those that say the same are told together."""
        found: dict[str, list[Audit]] = {}
        for audit in audits:
            case = self.app.store.case(audit.case_id) if audit.case_id else None
            said = _named(f"{_beginning(audit, case)}{audit.reason}", self.firm)
            found.setdefault(said, []).append(audit)
        return found

    def _customer(self, audit: Audit) -> str:
        return self.scene.customer_of(audit.account, audit.ticket_id) or f"{audit.account} {audit.ticket_id}"

    def _show(self, mails: Sequence[Mail]) -> None:
        """Show what the first customer of a helpdesk reads, without the secret in its link."""
        self.shown |= {mail.desk for mail in mails}
        theirs = [mail for mail in mails if mail.to == mails[0].to]
        for mail in theirs[:1]:
            self.say(f"           | To: {mail.to}, subject: {mail.subject}")
        for line in (line for mail in theirs for line in _readable(mail)):
            self.say(f"           | {line}")


# ------------------------------------------------------------------ telling
def tell(*, seed: int, as_json: bool, write: Write) -> None:
    """Play the story and write what happened, for people or as one JSON object."""
    started = time.monotonic()
    report = play(seed, (lambda _line: None) if as_json else write)
    report["seconds"] = round(time.monotonic() - started, 1)
    for line in (json.dumps(report, indent=2, ensure_ascii=False),) if as_json else what_came_of_it(report):
        write(line)


def play(seed: int, write: Write) -> dict[str, Any]:
    """Play the story, write each line of it as it happens, and return what came of it as JSON values."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="recovery-bridge-demo-"))
        firm = stack.enter_context(company(WINTER, Path(folder), seed=seed))
        _before(firm)
        week = Week(Scene(firm, stack.enter_context(firm.bridge())), write)
        before = _install(week)
        chance = random.Random(seed)
        delays = {who: chance.randrange(5) * MINUTE for who in CAST}
        for at, event in sorted(((one.at + delays[one.customers[0]], one) for one in STORY), key=lambda pair: pair[0]):
            week.happen(event, at)
        week.go_to(END)
        week.look()
        return _report(week, before)


def _before(firm: Company) -> None:
    """Let some customers be let down before there was a bridge; the shop sends surveys when an agent asks for one."""
    firm.freshdesk.asks_on_solve = False
    freshdesk_rules.add(firm.freshdesk, ON_UPDATE, SURVEY_RULE)
    for account, agent, customer in BEFORE:
        ticket_id = firm.solved_ticket(account, agent, customer)
        firm.desks[account].rate(ticket_id, "bad", "Disappointing.")
        firm.pass_time(6 * DAY)


def _install(week: Week) -> dict[str, int]:
    """Set up both accounts, and let the first run read what was rated before; returns the API calls until then."""
    firm, app = week.firm, week.app
    week.go_to(MONDAY + timedelta(hours=8))
    week.say("Recovery Bridge beside two helpdesks, stand-ins on this machine: acme (Zendesk) and shop (Freshdesk).")
    week.say("Rules: the shipped rules.yaml, live. People act at the helpdesks; -> is what the bridge does, and why.")
    for account, desk in app.engine.desks.items():
        kinds = Counter(_NAME.split(step.what)[0] for step in desk.setup() if step.state == "created")
        made = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in kinds.items())
        week.say(f"recovery-bridge setup, {account}: created {made}, which bring the second question to customers.")
    week.look()
    seen = app.engine.tally.ratings_seen
    week.say_at(firm.now(), f"first run: {seen} ratings of the last 90 days become memory; nobody is written to")
    return _calls(app)


def _report(week: Week, before: Mapping[str, int]) -> dict[str, Any]:
    firm, app, asked = week.firm, week.app, week.scene.questions()
    return {
        "story": week.lines,
        "tickets": list(_standing(week.scene)),
        "outcomes": dict(Counter(str(case.outcome or "open") for case in app.store.cases())),
        "questions": {desk: len({mail.to for mail in asked if mail.desk == desk}) for desk in firm.desks},
        "mails_to_customers": len(caused_by_programs(firm.world)),
        "other_mails_to_customers": len(caused_by_programs(firm.world)) - len(asked),
        "messages_to_staff": len(firm.chat.posted),
        "private_notes": sum(e.what == "private_note" and e.actor.startswith("api:") for e in firm.world.ledger),
        "api_calls": {account: count - before[account] for account, count in _calls(app).items()},
        "runs": week.runs,
        "ended_at": moment(firm.now()),
    }


def _calls(app: App) -> dict[str, int]:
    return {account: session.requests_made for account, session in app.sessions.items()}


def _is_news(audit: Audit) -> bool:
    return audit.what in TOLD or audit.reason.startswith(NEWS)


def _beginning(audit: Audit, case: Case | None) -> str:
    """Return what a sentence about a decision begins with, where its reason does not say what was done."""
    if case is None:
        return ""
    owner, outcome = case.assignee_id or "nobody", str(case.outcome).replace("_", " ").upper()
    return {
        "flagged": f"a case for {owner}, severity {case.severity}: ",
        "reminded": f"{owner} is reminded: ",
        "escalated": f"goes to {owner}: ",
        "ended": f"{outcome}: ",
    }.get(audit.what, "")


def _named(text: str, firm: Company) -> str:
    """Write names for the ids of agents and groups."""
    for (_, name), key in {**firm.agents, **firm.groups}.items():
        text = text.replace(f"agent {key}", name).replace(key, name)
    return text


def _readable(mail: Mail) -> list[str]:
    """Return the lines of a mail as its reader sees them."""
    text = mail.text.replace(mail.link, f"{mail.link.rpartition('/')[0]}/...") if mail.link else mail.text
    return [line for line in _HTML.sub("", text).splitlines() if line.strip()]


def _in_short(text: str) -> str:
    """Return a message to staff on one line: of a list its heading and the tickets."""
    heading, *rows = text.split("\n- ")
    if rows:
        return f"{heading.splitlines()[-1]} {', '.join(sorted(row.split(',')[0].split()[-1] for row in rows))}"
    lines = text.splitlines()
    return f"{lines[1].split(', severity')[0]}: {lines[-1]}"


# ------------------------------------------------------------------ the end
def what_came_of_it(report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that end the story: each ticket as it is now, what was counted, and what to do next."""
    yield "\nWhat each ticket looks like now, read from the helpdesks:\n"
    headings = ["helpdesk", "ticket", "customer", "status", "assignee", "priority", "tags sr_", "recovery", "cause"]
    yield table(headings, [list(row.values()) for row in report["tickets"]])
    ends = ", ".join(f"{report['outcomes'].get(str(one), 0)} {one}".replace("_", " ") for one in Outcome)
    asked, calls = report["questions"], ", ".join(f"{name} {count}" for name, count in report["api_calls"].items())
    yield f"\n{sum(report['outcomes'].values())} cases: {ends}."
    yield (
        f"Customers asked again: {asked['acme']} by our own question, {asked['shop']} by the helpdesk's survey. "
        f"Other mails to customers that the bridge caused: {report['other_mails_to_customers']}."
    )
    yield (
        f"Messages to staff: {report['messages_to_staff']}; private notes: {report['private_notes']}. "
        f"API calls in {report['runs']} runs: {calls}. Time: {report['seconds']} s."
    )
    yield NEXT


def _standing(scene: Scene) -> Iterator[dict[str, str]]:
    """Read each ticket, and the follow-up ticket that carries its recovery where there is one."""
    store, desks = scene.app.store, scene.app.engine.desks
    for who, ticket_id in scene.tickets.items():
        account = CAST[who].account
        stored = store.ratings_of_ticket(account, ticket_id)
        case = next((found for one in stored if one.case_id and (found := store.case(one.case_id))), None)
        carrier = case.carrier_id if case and case.ticket_id == ticket_id else ticket_id
        ticket = desks[account].tickets([carrier])[carrier]
        outcomes = [one.outcome or "pending" for one in stored]
        yield {
            "helpdesk": account,
            "ticket": ticket_id if carrier == ticket_id else f"{ticket_id} -> {carrier}",
            "customer": who,
            "status": str(ticket.status),
            "assignee": _named(ticket.assignee_id or "nobody", scene.firm),
            "priority": ticket.priority or "",
            "tags": " ".join(_known(ticket.tags)),
            "recovery": str(case.outcome or case.stage) if case else ", ".join(outcomes) or "not read",
            "cause": (case.cause or "") if case else "",
        }


def _known(tags: Iterable[str]) -> Iterator[str]:
    """Yield the tags of ours that reports are made of, without what all of them begin with."""
    return (tag.removeprefix("sr_") for tag in tags if tag.startswith("sr_") and not tag.startswith("sr_ref_"))
