"""A month at two helpdesks: mixed people, seeded recoveries through the real bridge, and referees who watch.

`simulate` lets customers ask and rate badly in the first days, runs the bridge every hour, and returns what came of it
with every broken promise. The referees read the stand-ins' ledger and mails, which the bridge never sees, and the rows
of its database. `python -m tests.recoveries SEED COUNT HOURS` replays one seed.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bridge.app import App
from bridge.errors import BridgeError
from bridge.model import Case, EffectKind, Outcome
from bridge.rules import Rules
from bridge.store import StoredEffect
from connectors.sandbox import freshdesk_rules
from connectors.sandbox.company import RULES, Company
from connectors.sandbox.freshdesk_records import ON_UPDATE
from connectors.sandbox.outbox import SECOND_QUESTIONS, Cause, caused_by_programs, unwanted
from connectors.sandbox.people import Agent, AgentTemper, Customer, People
from connectors.sandbox.world import Entry, Mail
from tests.in_process import company

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
START = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)  # a Monday; summer time and Easter come within the month
OPENING, COMING_BACK, MONTH = 5 * DAY, 6 * DAY, 30 * DAY
HIGH = 1_000_000_000  # calls per minute
VENDORS = {"acme": "Zendesk", "shop": "Freshdesk"}
FLAVOURS = (("legacy", "classic_codes"), ("new", "new"))
REF = re.compile(r"\bref (sr-\w+)")
MARK = "/survey/"

CARE = {  # who holds the tickets: name -> temper
    "Kim": "keen", "Kay": "keen", "Kit": "keen", "Sal": "slow", "Sue": "slow", "Mo": "silent", "Abe": "absent",
    "Gus": "gone", "Gil": "gone", "Quin": "keen", "Lea": "absent",
}  # fmt: skip
LEAVES = {"Quin": 2 * DAY}  # whoever leaves, whatever their tickets
ON_LEAVE = "Lea"
UPSTAIRS = {"Ana": "keen", "Cem": "slow", "Ben": "slow", "Zoe": "keen"}  # the company's own, with leads and supervisors
MORE_UPSTAIRS = {"Lou": ("keen", "Team Leads"), "Sid": ("slow", "Supervisors")}
CUSTOMERS = (("forgiving", 30), ("demanding", 25), ("silent", 15), ("rude", 15), ("repeat", 15))
THEIR_RULE = {
    "name": "Survey on request",
    "performer": {"type": 1},
    "events": [{"field_name": "tags", "value": "ask"}],
    "actions": [{"field_name": "send_survey"}],
}


@dataclass
class Found:
    """What one or more months came to."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # (vendor, outcome) -> cases
    ratings: Counter[tuple[str, str]] = field(default_factory=Counter)  # (vendor, what became of a bad rating)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)  # (vendor, way of the last question)
    calls: Counter[str] = field(default_factory=Counter)  # by vendor
    mails: int = 0  # that the bridge caused
    runs: int = 0
    cpu: float = 0.0  # seconds, with both stand-ins
    violations: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many recoveries there were."""
        return self.outcomes.total()

    def __iadd__(self, other: Found) -> Found:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, mine + value)
        return self


# ------------------------------------------------------------------ the month
class Month:
    """One company for a month, with *count* customers of each helpdesk."""

    def __init__(self, firm: Company, app: App, seed: int, count: int, step: timedelta) -> None:
        self.firm, self.app, self.seed, self.step = firm, app, seed, step
        self.chance = Random(seed)
        self.people = People(list(firm.desks.values()), firm.world, cause_tags=["cause-slow", "cause-defect"])
        self.people.on_question = self._answer_ours
        self.care: dict[str, list[str]] = {account: [] for account in firm.desks}
        self.left_at: dict[tuple[str, str], datetime] = {}
        self.held: dict[tuple[str, str], str] = {}  # ticket -> who held it when it was solved the first time
        self.opted_out: dict[str, datetime] = {}  # address -> when
        self._begun: list[tuple[str, str]] = []  # tickets to be solved for the first time
        self._to_rate: list[tuple[datetime, str, str]] = []  # where the helpdesk asks nobody
        self._read = 0
        self.runs = 0
        self._hire()
        self._prepare()
        self.opening = sorted(
            (START + self.chance.random() * OPENING, account, number)
            for account in firm.desks
            for number in range(count)
        )
        self.referee = Referee(self)

    def _hire(self) -> None:
        for account, desk in self.firm.desks.items():
            group = self.firm.groups[account, "Care"]
            for name, temper in CARE.items():
                agent_id = self.people.hire(desk, name, f"{name.lower()}@example.com", temper, [group])
                self.care[account].append(agent_id)
                self.firm.agents[account, name] = agent_id
            for name, (temper, group) in MORE_UPSTAIRS.items():
                self.firm.hire(account, name, f"{name.lower()}@example.com", group)
                self._moves_in(account, name, temper)
            for name, temper in UPSTAIRS.items():
                self._moves_in(account, name, temper)

    def _moves_in(self, account: str, name: str, temper: str) -> None:
        agent_id = self.firm.agents[account, name]
        chance = Random(self.chance.getrandbits(64))
        self.people.agents[account, agent_id] = Agent(self.firm.desks[account], agent_id, AgentTemper(temper), chance)

    def _prepare(self) -> None:
        if not self.firm.freshdesk.asks_on_solve:
            freshdesk_rules.add(self.firm.freshdesk, ON_UPDATE, THEIR_RULE)
        for desk in self.app.engine.desks.values():
            list(desk.setup())
        self.app.run()

    def live(self) -> None:
        """Let the month pass."""
        self.people.live(START + MONTH, self.step, self._hour)

    def _hour(self) -> None:
        now = self.firm.now()
        self._go(now)
        self._take_in(now)
        self._solve()
        self._open(now)
        self._rate(now)
        self.people.act()
        self.app.run()
        self.runs += 1
        self.referee.look()

    # -------------------------------------------------------------- agents
    def _go(self, now: datetime) -> None:
        """Let those leave who leave, and notice who has gone by themselves."""
        for account, desk in self.firm.desks.items():
            for name, after in LEAVES.items():
                key = account, self.firm.agents[account, name]
                if now >= START + after and key in self.people.agents:
                    del self.people.agents[key]
                    desk.remove_agent(key[1])
            for agent_id in self.care[account]:
                if (account, agent_id) not in self.people.agents:
                    self.left_at.setdefault((account, agent_id), now)

    def _open(self, now: datetime) -> None:
        while self.opening and self.opening[0][0] <= now:
            _, account, number = self.opening.pop(0)
            customer_id, address = self._welcome(account, number)
            tags = ["spam"] if number % 29 == 17 else ["outage-march"] if number % 13 == 5 else []
            ticket_id = self.firm.desks[account].open_ticket(
                customer_id, "My order", "Where is it?", group=self.firm.groups[account, "Care"], tags=tags
            )
            self._hand_to_somebody(account, ticket_id)
            if number % 20 == 7:
                self.opted_out[address] = now
                self.app.store.opt_out(self.app.engine.known_as(address), now, "asked us to stop")

    def _welcome(self, account: str, number: int) -> tuple[str, str]:
        """Add a customer; every eighth is one of both helpdesks."""
        temper = self.chance.choices([name for name, _ in CUSTOMERS], [share for _, share in CUSTOMERS])[0]
        address = f"c{number}@customer.example" if number % 8 == 0 else f"c{number}.{account}@customer.example"
        tags = ["do-not-contact"] if number % 25 == 11 else ["vip"] if number % 10 == 3 else []
        return self.people.welcome(self.firm.desks[account], f"Cora {number}", address, temper, tags=tags), address

    def _hand_to_somebody(self, account: str, ticket_id: str) -> None:
        here = [one for one in self.care[account] if (account, one) in self.people.agents]
        agent_id = self.chance.choice(here)
        self.held[account, ticket_id] = agent_id
        self.firm.desks[account].assign(ticket_id, agent_id, by=agent_id)
        self._begun.append((account, ticket_id))

    def _solve(self) -> None:
        """Let agents answer what they took an hour ago, not well."""
        for account, ticket_id in self._begun:
            desk, agent_id = self.firm.desks[account], self.held[account, ticket_id]
            if (account, agent_id) not in self.people.agents:
                continue
            desk.reply(ticket_id, agent_id, "It is on its way.")
            desk.solve(ticket_id, agent_id)
            if account == "shop" and not self.firm.freshdesk.asks_on_solve:
                self._to_rate.append((self.firm.now() + self.chance.uniform(1, 12) * HOUR, account, ticket_id))
        self._begun.clear()

    def _take_in(self, now: datetime) -> None:
        """Give the tickets of customers who came back to somebody, while the month is young."""
        ledger = self.firm.world.ledger
        while self._read < len(ledger):
            entry = ledger[self._read]
            self._read += 1
            is_known = (entry.desk, entry.ticket_id) in self.held or entry.actor.startswith(("api:", "rule:"))
            if entry.what == "created" and not is_known and now < START + COMING_BACK:
                self.firm.desks[entry.desk].edit(
                    entry.ticket_id, by=self._somebody(entry.desk), group=self.firm.groups[entry.desk, "Care"]
                )
                self._hand_to_somebody(entry.desk, entry.ticket_id)

    def _somebody(self, account: str) -> str:
        return self.firm.agents[account, "Kim"]

    # -------------------------------------------------------------- customers
    def _rate(self, now: datetime) -> None:
        """Let customers rate by themselves where their helpdesk asks nobody."""
        for due in [one for one in self._to_rate if one[0] <= now]:
            self._to_rate.remove(due)
            _, account, ticket_id = due
            customer = self._customer_of(account, ticket_id)
            silent = customer.temper == "silent"
            self.firm.desks[account].rate(ticket_id, "bad", None if silent else "Nobody read what I wrote.")
            customer.let_down[ticket_id] = customer.said[ticket_id] = now

    def _customer_of(self, account: str, ticket_id: str) -> Customer:
        requester = str(self.firm.freshdesk.tickets[int(ticket_id)].requester_id)
        return next(one for one in self.people.customers.values() if one.desk.name == account and one.id == requester)

    def _answer_ours(self, mail: Mail, category: str) -> None:
        """Answer our own question as its page will."""
        links, engine = self.app.delivery.asker.links, self.app.engine
        assert links
        try:
            said = links.read(mail.link.partition(MARK)[2], self.firm.now())
        except BridgeError:
            return  # too late
        engine.answer(said.case_id, said.attempt, {"bad": 1, "neutral": 3, "good": 5}[category], None)


# ------------------------------------------------------------------ the referees
@dataclass(frozen=True)
class First:
    """What never changes about a case once it is there."""

    rating_id: str
    category: str
    rating: int
    scale_max: int
    rated_at: str
    original_agent_id: str | None


class Referee:
    """Watches a month: after every run, and at its end."""

    def __init__(self, month: Month) -> None:
        self.month, self.firm, self.app = month, month.firm, month.app
        self.rules: Rules = month.app.rules
        self.database = sqlite3.connect(month.app.folder / "bridge.db")
        self.said: list[str] = []
        self.first: dict[str, First] = {}
        self.first_ladder: dict[str, Case] = {}
        self.runs_at: list[datetime] = []

    def says(self, what: str) -> None:
        """Put down a broken promise."""
        self.said.append(f"{self.firm.now():%m-%d %H:%M} {what}")

    # -------------------------------------------------------------- after every run
    def look(self) -> None:
        """Look at the rows that a run leaves."""
        now = f"{self.firm.now():%Y-%m-%dT%H:%M:%S.%f}Z"
        self.runs_at.append(self.firm.now())
        for account, failure in self.app.failures.items():
            self.says(f"{account}: the run failed: {failure}")
        self._no_case_is_lost(now)
        self._the_first_rating_stays()

    def _no_case_is_lost(self, now: str) -> None:
        rows = self.database.execute(
            "SELECT case_id, account, ticket_id, assignee_id, group_id, next_step, due_at, case_id IN (SELECT case_id"
            " FROM effect WHERE state IN ('planned', 'sending') AND kind != 'alert') FROM cases WHERE stage != 'ended'"
        )
        for case_id, account, ticket_id, assignee, group, step, due_at, waits in rows:
            name = f"{account} ticket {ticket_id} case {case_id}"
            if not (assignee or group):
                self.says(f"{name}: open without an owner")
            if not step or not due_at:
                self.says(f"{name}: open without a next step and its time")
            elif due_at <= now and not waits:
                self.says(f"{name}: {step!r} was due at {due_at} and was not acted on")

    def _the_first_rating_stays(self) -> None:
        rows = self.database.execute(
            "SELECT case_id, rating_id, category, rating, scale_max, rated_at, original_agent_id FROM cases"
        )
        for case_id, *seen in rows:
            if self.first.setdefault(case_id, First(*seen)) != First(*seen):
                self.says(f"case {case_id}: its first rating was {self.first[case_id]} and is {seen}")
            if case_id not in self.first_ladder and (case := self.app.store.case(case_id)):
                self.first_ladder[case_id] = case

    # -------------------------------------------------------------- at the end
    def judge(self) -> list[str]:
        """Return every promise that was broken in the month."""
        cases = self.app.store.cases()
        effects = {case.case_id: self.app.store.effects_of(case.case_id) for case in cases}
        for case in cases:
            self.ended_once(case)
            self.began_with_the_original_agent(case)
            self.was_noticed(case)
            self.kept_its_deadlines(case, effects[case.case_id])
            self.asked_within_bounds(case, effects[case.case_id])
            self.did_nothing_twice(case, effects[case.case_id])
        self.no_rating_is_lost({case.case_id for case in cases})
        self.outbox(cases, effects)
        self.ledger()
        self._chat()
        return self.said

    def _name(self, case: Case) -> str:
        return f"{case.account} ticket {case.ticket_id} case {case.case_id}"

    def ended_once(self, case: Case) -> None:
        ends = [one for one in self.app.store.audits(case_id=case.case_id) if one.what == "ended"]
        at_once = case.ended_at == case.flagged_at
        if case.is_open:
            self.says(f"{self._name(case)}: still {case.stage}, next {case.next_step!r} at {case.due_at}")
        elif not (case.outcome and case.reason and case.ended_at) or case.due_at or (len(ends) != 1 and not at_once):
            self.says(f"{self._name(case)}: ended {len(ends)} times, {case.outcome}, {case.reason!r}")
        said = case.answer.category if case.answer else None
        evidence = {
            Outcome.RECOVERED: said == "good",
            Outcome.IMPROVED: said is not None and said != case.category,
            Outcome.NO_RESPONSE: said is None and case.solved_at is not None,
            Outcome.NOT_RECOVERED: said is not None,
            Outcome.STOPPED: said is None or case.attempt > 1,
        }
        if case.outcome in evidence and not evidence[case.outcome]:
            self.says(f"{self._name(case)}: {case.outcome} without evidence (answer: {said})")

    def began_with_the_original_agent(self, case: Case) -> None:
        began, key = self.first_ladder[case.case_id], (case.account, case.ticket_id)
        held = self.month.held.get(key)
        if held is None:
            return
        left_at = self.month.left_at.get((case.account, held))
        if left_at and left_at <= case.rated_at:
            return  # the helpdesk has given the ticket to somebody else before it was rated
        if began.original_agent_id != held:
            self.says(f"{self._name(case)}: held by {held} when rated, not by {began.original_agent_id}")
        rungs = self.rules.playbooks[began.playbook].assign_to_first_available
        if rungs[0] != "original_agent" or began.assignee_id == held:
            return
        first = began.ladder[0]
        lea = self.firm.agents[case.account, ON_LEAVE]
        is_away = (left_at and left_at <= began.flagged_at + self.month.step) or held == lea
        if first.rung != "original_agent" or not first.why or not is_away:
            self.says(f"{self._name(case)}: {held} is here and was passed over: {first}")

    def was_noticed(self, case: Case) -> None:
        """Compare what the case knows about people with what they did."""
        if case.attempt > 1 or case.ended_at is None or case.work_ticket_id or case.ended_at == case.flagged_at:
            return
        mine = [e for e in self._entries(case) if case.flagged_at <= e.at < case.ended_at - SECOND]
        staff = {agent_id for (account, _), agent_id in self.firm.agents.items() if account == case.account}
        wrote = [e for e in mine if e.what == "public_comment" and e.actor in staff]
        firsts = (wrote[:1], [e for e in wrote if not self._left_after(e)][:1])
        if not any(_same(case.contacted_at, first[0].at if first else None) for first in firsts):
            self.says(f"{self._name(case)}: contacted at {case.contacted_at}, in truth {wrote[:1]}")

    def _left_after(self, entry: Entry) -> bool:
        """True for somebody who left before the next run, which may take their reply for a customer's then."""
        left_at = self.month.left_at.get((entry.desk, entry.actor))
        return left_at is not None and entry.at >= left_at - self.month.step - MINUTE

    def _entries(self, case: Case) -> list[Entry]:
        if not hasattr(self, "_by_ticket"):
            self._by_ticket: dict[tuple[str, str], list[Entry]] = {}
            for entry in self.firm.world.ledger:
                self._by_ticket.setdefault((entry.desk, entry.ticket_id), []).append(entry)
        return self._by_ticket.get((case.account, case.ticket_id), [])

    def kept_its_deadlines(self, case: Case, effects: list[StoredEffect]) -> None:
        """Every deadline of the first attempt that nobody met was acted on at the first run after it."""
        supervisors = self.firm.groups[case.account, "Supervisors"]
        if case.attempt > 1 or case.confirmed_at is None or case.ended_at is None or case.group_id == supervisors:
            return  # supervisors have other hours
        deadlines = sorted(self.rules.playbooks[case.playbook].deadlines, key=lambda one: one.within)
        met = {"acknowledged": case.acknowledged_at, "replied": case.contacted_at, "solved": case.solved_at}
        planned = dict(
            self.database.execute("SELECT effect_id, planned_at FROM effect WHERE case_id = ?", (case.case_id,))
        )
        for number, deadline in enumerate(deadlines, 1):
            due_at = self.rules.calendar(case.account).add(case.confirmed_at, deadline.within)
            first_run = next((at for at in self.runs_at if at >= due_at), None)
            met_at = met[deadline.until]
            if first_run is None or first_run >= case.ended_at or (met_at and met_at <= first_run):
                continue
            acted = [one for one in effects if one.effect.step.split(":")[::2][:2] == ["deadline", str(number)]]
            at = min((datetime.fromisoformat(planned[one.effect.effect_id]) for one in acted), default=None)
            if at is None or not first_run - self.month.step < at <= first_run:
                self.says(f"{self._name(case)}: deadline {number} was due at {due_at}, acted on at {at}")

    def asked_within_bounds(self, case: Case, effects: list[StoredEffect]) -> None:
        left = [one.effect.step.split(":")[:2] for one in effects if one.effect.way and one.last_sent_at]
        for step, times in Counter(tuple(one) for one in left).items():
            if times > 1:
                self.says(f"{self._name(case)}: {':'.join(step)} left {times} times")

    def did_nothing_twice(self, case: Case, effects: list[StoredEffect]) -> None:
        done = Counter((e.effect.kind, e.effect.step) for e in effects if e.state in ("applied", "adopted"))
        for (kind, step), times in done.items():
            if times > 1 and kind is not EffectKind.ALERT:
                self.says(f"{self._name(case)}: {step} was done {times} times")
        for one in effects:
            if one.state in ("planned", "sending", "parked") and one.effect.kind is not EffectKind.ALERT:
                self.says(f"{self._name(case)}: {one.effect.step} is still {one.state}: {one.error}")

    def no_rating_is_lost(self, case_ids: set[str]) -> None:
        """Every bad rating that stood when a run looked has exactly one outcome."""
        rows: dict[tuple[str, str], list[tuple[datetime, str, str | None, str | None, str | None]]] = {}
        for account, ticket_id, updated_at, category, outcome, why, case_id in self.database.execute(
            "SELECT account, ticket_id, updated_at, category, outcome, why, case_id FROM rating"
        ):
            at = datetime.fromisoformat(updated_at)
            rows.setdefault((account, ticket_id), []).append((at, category, outcome, why, case_id))
        for entry in self._bad_ones_that_stood():
            found = rows.get((entry.desk, entry.ticket_id), [])
            same = [row for row in found if _same(row[0], entry.at) and row[1] == "bad"]
            name = f"{entry.desk} ticket {entry.ticket_id}: the bad rating of {entry.at}"
            if len(same) != 1:
                self.says(f"{name} was seen {len(same)} times")
                continue
            _, _, outcome, why, case_id = same[0]
            if not outcome or not why or (case_id and case_id not in case_ids):
                self.says(f"{name} became {outcome} because {why!r}, case {case_id}")
            self.outcomes[entry.desk, outcome or "nothing"] += 1

    outcomes: Counter[tuple[str, str]]

    def _bad_ones_that_stood(self) -> Iterator[Entry]:
        """Yield the bad ratings that no other of the same ticket followed before the next run."""
        self.outcomes = Counter()
        given = [e for e in self.firm.world.ledger if e.what == "rated"]
        last: dict[tuple[str, str, int], Entry] = {}
        at = 0
        for entry in sorted(given, key=lambda one: one.at):
            while at < len(self.runs_at) and self.runs_at[at] < entry.at:
                at += 1
            if at < len(self.runs_at):
                last[entry.desk, entry.ticket_id, at] = entry
        codes = {"bad", self.firm.freshdesk.answered.code("bad")}
        yield from (entry for entry in last.values() if entry.after in codes)

    # -------------------------------------------------------------- what others see
    def outbox(self, cases: list[Case], effects: dict[str, list[StoredEffect]]) -> None:
        world, zone = self.firm.world, self.rules.settings.timezone
        surveys = {(m.desk, m.ticket_id, m.at) for m in world.mails if m.kind == "survey"}
        for sent in unwanted(world):  # Freshdesk sends the words and its survey in two mails
            if sent.cause is not Cause.INSTALLED or (sent.mail.desk, sent.mail.ticket_id, sent.mail.at) not in surveys:
                self.says(f"the bridge caused a mail to a customer: {sent}")
        asked: dict[str, list[tuple[Mail, str]]] = {}
        questions = [one.mail for one in caused_by_programs(world) if one.mail.kind in SECOND_QUESTIONS]
        left = [
            (
                one.effect,
                f"{case.case_id}:{case.attempt if one.effect.step.count(':') < 1 else one.effect.step.split(':')[1]}",
            )
            for case in cases
            for one in effects[case.case_id]
            if one.effect.way and one.last_sent_at
        ]
        if len(left) != len(questions):
            self.says(f"{len(left)} questions left, {len(questions)} mails came")
        for mail in questions:
            hour = mail.at.astimezone(zone).hour
            if hour >= 21 or hour < 8:
                self.says(f"{mail.desk} ticket {mail.ticket_id}: asked in quiet hours, at {mail.at.astimezone(zone)}")
            if (opted := self.month.opted_out.get(mail.to)) and opted <= mail.at:
                self.says(f"{mail.desk} ticket {mail.ticket_id}: {mail.to} opted out and was asked at {mail.at}")
            whose = {name for effect, name in left if mail.ticket_id in self._tickets(effect.case_id, cases)
                     and effect.account == mail.desk}  # fmt: skip
            asked.setdefault(mail.to, []).append((mail, min(whose, default="nobody's")))
        for address, mails in asked.items():
            if len(mails) > 2 or len({whose for _, whose in mails}) > 1:
                told = [(f"{mail.at:%m-%d %H:%M}", mail.desk, mail.ticket_id, whose) for mail, whose in mails]
                self.says(f"{address} was asked too often: {told}")

    def _tickets(self, case_id: str, cases: list[Case]) -> frozenset[str]:
        return next(case.ticket_ids for case in cases if case.case_id == case_id)

    def ledger(self) -> None:
        refs: Counter[tuple[str, str]] = Counter()
        for entry in self.firm.world.ledger:
            ours = entry.actor.startswith("api:")
            if ours and entry.what == "public_comment":
                self.says(f"{entry.desk} ticket {entry.ticket_id}: the bridge wrote to the customer")
            if ours and entry.what == "private_note":
                refs.update((entry.desk, ref) for ref in REF.findall(str(entry.after)))
            if ours and entry.what == "tags" and _repeats(entry.after) - _repeats(entry.before):
                self.says(f"{entry.desk} ticket {entry.ticket_id}: a tag twice: {entry.after}")
        for (desk, ref), times in refs.items():
            if times > 1:
                self.says(f"{desk}: the note {ref} stands there {times} times")
        if not refs:
            self.says("no note of the bridge carries its mark: the referee of notes sees nothing")

    def _chat(self) -> None:
        for text, times in Counter(str(one) for one in self.firm.chat.posted).items():
            if times > 1:
                self.says(f"the chat was told {times} times: {text[:200]}")


def _repeats(tags: Iterable[str] | None) -> set[str]:
    """Return the tags that stand there more than once; people may do that."""
    return {tag for tag, times in Counter(tags or ()).items() if times > 1}


def _same(one: datetime | None, other: datetime | None) -> bool:
    """True if both moments are the same but for fractions of a second, which helpdesks cut off."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= SECOND


# ------------------------------------------------------------------ running it
def rules_for(firm: Company) -> Rules:
    """Return the company's rules: no limit stops anybody, one agent is on leave, and every case ends in the month."""
    text = RULES.read_text(encoding="utf-8").replace(
        "settings:\n", "settings:\n  max_open: 100000\n  directory_age: 4h\n", 1
    )
    text = text.replace("limits:  ", "limits:\n  give_up_after: 12d\n  # ", 1) if "limits:  " in text else text
    first, last = (f"{START + days:%Y-%m-%d}" for days in (2 * DAY, 12 * DAY))
    text = text.replace("away: []", f"away: [{{agent: {ON_LEAVE.lower()}@example.com, from: {first}, to: {last}}}]")
    return firm.rules(text, tickets_per_hour="100000", share_of_rated="100%")


@contextmanager
def a_month(seed: int, count: int, step: timedelta) -> Iterator[Month]:
    """Let a month pass at a company with *count* customers on each helpdesk; the seed also chooses the CSAT."""
    zendesk, freshdesk = FLAVOURS[seed % 2]
    options = {
        "zendesk": {"csat": zendesk, "rate_limit": HIGH, "updates_per_minute": 0},
        "freshdesk": {"csat": freshdesk, "rate_limit": HIGH},
    }
    with TemporaryDirectory() as folder, company(START, Path(folder), seed=seed, **options) as firm:
        firm.freshdesk.asks_on_solve = seed % 4 in (1, 2)
        with firm.bridge(rules_for(firm)) as app:
            month = Month(firm, app, seed, count, step)
            month.live()
            yield month
            month.referee.database.close()


def simulate(seed: int, count: int, step: timedelta = HOUR) -> Found:
    """Let a month pass and return what came of it."""
    began = time.process_time()
    with a_month(seed, count, step) as month:
        return sum_up(month, f"tests.recoveries {seed} {count} {step // HOUR}", began)


def sum_up(month: Month, replay: str, began: float) -> Found:
    """Let the referees judge, and count."""
    said = month.referee.judge()
    found = Found(runs=month.runs, cpu=time.process_time() - began)
    found.violations = [f"{replay}: {one}" for one in said]
    for case in month.app.store.cases():
        found.outcomes[VENDORS[case.account], str(case.outcome)] += 1
        found.asked[VENDORS[case.account], str(case.asked_by or "not asked")] += 1
    for (account, outcome), number in month.referee.outcomes.items():
        found.ratings[VENDORS[account], outcome] += number
    for account, desk in month.firm.desks.items():
        found.calls[VENDORS[account]] += len(desk.requests)
    found.mails = len(caused_by_programs(month.firm.world))
    return found


def report(found: Found) -> str:
    """Return what was found, for people."""
    lines = [f"{found.cases} recoveries, {found.runs} runs, {found.cpu:.1f} s CPU, {found.mails} questions mailed"]
    for name in ("outcomes", "ratings", "asked"):
        lines += [f"  {name} {vendor} {what}: {n}" for (vendor, what), n in sorted(getattr(found, name).items())]
    lines += [f"  calls {vendor}: {n}" for vendor, n in sorted(found.calls.items())]
    return "\n".join([*lines, f"{len(found.violations)} violations", *found.violations[:40]])


if __name__ == "__main__":
    found = simulate(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) * HOUR)
    sys.stdout.write(f"{report(found)}\n")
    sys.exit(bool(found.violations))
