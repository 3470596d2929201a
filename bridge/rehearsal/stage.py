"""A rehearsal of the rules in simulated time: one ticket and its people, through the code that decides in production.

What a helpdesk would do is done here at once and always succeeds; limits that count tickets of others are not played.
Whoever tests rules wants to see what they will do, so they are played live and with surveys, whatever the settings say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.connector import Asking
from bridge.decision import Situation
from bridge.model import (
    REQUEST,
    Activity,
    Agent,
    Case,
    Change,
    Decision,
    DeedKind,
    Directory,
    Effect,
    EffectKind,
    Rating,
    Requester,
    Status,
    Ticket,
)
from bridge.model import Deed as Done
from bridge.owner import Staff
from bridge.pursuit import is_news
from bridge.recovery import DeadlinePassed, OwnerGone, PeopleActed, RatedAgain, Signal, advance, open_case, settle
from bridge.rehearsal.script import NOBODY, AgentEntry, Deed, Said, TicketEntry, said
from bridge.rules import Facts, Rule, Rules, Verdict, facts_of
from bridge.survey import is_question, sent

TICKET_ID, RATING_ID, REQUESTER_ID = "1", "r1", "c1"
RATED_AGO = timedelta(minutes=10)
MOST_STEPS = 1000  # of one case in one wait; a case that needs more goes round in circles
_DONE = {
    "acknowledged": DeedKind.EDITED,
    "replied": DeedKind.REPLIED,
    "solved": DeedKind.SOLVED,
    "closed": DeedKind.SOLVED,
    "reopened": DeedKind.REOPENED,
    "wrote": DeedKind.CUSTOMER_WROTE,
    "assigned": DeedKind.EDITED,
    "tagged": DeedKind.EDITED,
}
_STATUS = {
    "solved": Status.SOLVED,
    "closed": Status.CLOSED,
    "reopened": Status.OPEN,
    "wrote": Status.OPEN,
    "merged": Status.MERGED,
    "deleted": Status.DELETED,
}


@dataclass(frozen=True)
class Happening:
    """Something that the bridge did: assign, remind, notify, task, send or end, and whom or what it is about."""

    at: datetime
    verb: str
    what: str


@dataclass
class Stage:
    """One ticket, its people and the rules at one moment of simulated time."""

    rules: Rules
    now: datetime
    people: Mapping[str, AgentEntry]
    entry: TicketEntry
    case: Case | None = None
    happened: list[Happening] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)  # every one so far
    gone: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rules = self.rules.played(mode="live", surveys="everyone")
        self.away |= {name for name, agent in self.people.items() if not agent.available}
        self.gone |= {name for name, agent in self.people.items() if agent.left}
        self.account = self.entry.account or next(iter(self.rules.accounts))
        numbers = itertools.count(1)
        self._new_id = lambda: f"n{next(numbers)}"
        self.rating = self._first_rating()
        self.ticket = self._first_ticket()
        self.looked_at = self.facts  # as the rules saw them, before anything was done
        self.verdict = self._open()

    # -------------------------------------------------------------- the beginning
    def _first_rating(self) -> Rating:
        entry = self.entry
        answered = entry.rating or said("bad")
        holder = None if entry.original_agent in (None, NOBODY) else entry.original_agent
        rated_at = entry.rated.at(self.now, self.rules.settings.timezone) if entry.rated else self.now - RATED_AGO
        return Rating(
            rating_id=f"{REQUEST}{TICKET_ID}" if entry.requested else RATING_ID,
            ticket_id=TICKET_ID,
            category=answered.category,
            value=answered.value,
            scale_max=answered.scale_max,
            rated_at=rated_at,
            updated_at=rated_at,
            comment=entry.comment or None,
            reason=entry.reason,
            requester_id=REQUESTER_ID,
            assignee_id=holder,
            group_id=self._group_of(holder),
        )

    def _first_ticket(self) -> Ticket:
        entry = self.entry
        assignee = entry.assignee or self.rating.assignee_id
        holder = None if assignee == NOBODY else assignee
        return Ticket(
            ticket_id=TICKET_ID,
            status=Status(entry.status),
            updated_at=self.now,
            read_at=self.now,
            subject=entry.subject or "My order",
            tags=entry.tags,
            assignee_id=holder,
            group_id=entry.group or self._group_of(holder),
            priority=entry.priority,
            channel=entry.channel,
            brand=entry.brand,
            reopens=entry.reopens,
            requester=Requester(
                REQUESTER_ID,
                entry.customer_first_name,
                "customer@customer.example",
                entry.language,
                frozenset(entry.customer_tags),
                frozenset(entry.organization_tags),
            ),
        )

    def _open(self) -> Verdict:
        verdict = self.rules.decide(self.looked_at)
        if isinstance(verdict.rule, Rule):
            situation = replace(self._situation(), facts=self.looked_at)
            self._play(open_case(self.rating, verdict.rule, self.rating.assignee_id, "customer", situation))
        return verdict

    @property
    def facts(self) -> Facts:
        """What the rules see of the rating and its ticket now."""
        return facts_of(
            self.rating,
            self.ticket,
            self._directory(),
            account=self.account,
            bad_rated_at=tuple(self._bad_times()),
            now=self.now,
        )

    def _bad_times(self) -> Iterator[datetime]:
        """Yield when this customer rated badly, so that each window holds as many as the test says."""
        counts = sorted((self.entry.bad_ratings or {1: 1}).items())
        known, inner = 0, 0
        for days, count in counts:
            at = self.rating.rated_at - timedelta(days=(inner + days) / 2) if known else self.rating.rated_at
            for number in range(known, count):
                yield self.rating.rated_at if number == 0 else min(at, self.rating.rated_at - timedelta(hours=1))
            known, inner = max(known, count), days

    # -------------------------------------------------------------- who there is
    def _group_of(self, name: str | None) -> str | None:
        return self.people[name].group if name and name in self.people else None

    def _directory(self) -> Directory:
        groups = {agent.group for agent in self.people.values() if agent.group}
        groups |= {one.group for person in self.rules.people.values() for one in person.variants if one.group}
        agents = {name: self._agent(name, entry) for name, entry in self.people.items() if name not in self.gone}
        return Directory(self.now, agents, {name: name for name in sorted(groups)})

    def _agent(self, name: str, entry: AgentEntry) -> Agent:
        return Agent(
            agent_id=name,
            name=name.capitalize(),
            email=entry.email or f"{name}@example.com",
            group_ids=(entry.group,) if entry.group else (),
            default_group_id=entry.group,
            out_of_office="the test says so" if name in self.away else None,
        )

    def _situation(self) -> Situation:
        load = {name: agent.open_recoveries for name, agent in self.people.items()}
        calendar = self.rules.calendar(self.account)
        staff = Staff(self.rules, self._directory(), calendar, load, self.now, account=self.account)
        return Situation(
            account=self.account,
            ticket=replace(self.ticket, read_at=self.now),
            staff=staff,
            facts=None,
            link=f"{self.rules.accounts[self.account].url}/tickets/{self.ticket.ticket_id}",
            shadow=False,
            new_id=self._new_id,
            asking=Asking(),
        )

    # -------------------------------------------------------------- time passes
    def wait(self, until: datetime) -> None:
        """Let time pass, and the bridge do what becomes due."""
        for _ in range(MOST_STEPS):
            due_at = self.case.due_at if self.case else None
            if due_at is None or due_at > until:
                break
            self.now = max(self.now, due_at)
            self._hear(DeadlinePassed(self.rating))
        else:
            raise RuntimeError(f"the case goes round in circles at {self.now}")
        self.now = max(self.now, until)

    def _hear(self, signal: Signal) -> None:
        if self.case and self.case.is_open:
            self._play(advance(self.case, signal, self._situation()))

    # -------------------------------------------------------------- people act
    def do(self, deed: Deed) -> None:
        """Let somebody do something, and the bridge notice it."""
        if deed.verb == "rated":
            self._rate(said(deed.what))
        elif deed.verb in ("away", "back", "leaves"):
            self._come_or_go(deed)
        else:
            self._act(deed)

    def _rate(self, answered: Said) -> None:
        self.rating = replace(
            self.rating,
            category=answered.category,
            value=answered.value,
            scale_max=answered.scale_max,
            updated_at=self.now,
            comment=None,
        )
        rule = self.rules.decide(self.facts).rule
        self._hear(RatedAgain(self.rating, rule if isinstance(rule, Rule) else None))

    def _come_or_go(self, deed: Deed) -> None:
        changed = self.gone if deed.verb == "leaves" else self.away
        changed.discard(deed.what) if deed.verb == "back" else changed.add(deed.what)
        if self.case and (why := self._situation().staff.why_gone(self.case)):
            self._hear(OwnerGone(why))

    def _act(self, deed: Deed) -> None:
        agent_id = self.case.assignee_id if self.case else self.ticket.assignee_id
        changes: dict[str, Any] = {"updated_at": self.now, "stamp": str(self.now)}
        if deed.verb == "assigned":
            changes |= {"assignee_id": deed.what, "group_id": self._group_of(deed.what)}
        if deed.verb == "tagged":
            changes["tags"] = (*self.ticket.tags, deed.what)
        if status := _STATUS.get(deed.verb):
            changes["status"] = status
        self.ticket = replace(self.ticket, **changes)
        kind = _DONE.get(deed.verb)
        done = (Done(kind, self.now, agent_id),) if kind else ()
        activity = Activity(replace(self.ticket, read_at=self.now), done)
        if self.case and self.case.is_open and (self.ticket.status.is_gone or is_news(self.case, activity, self.rules)):
            self._hear(PeopleActed(activity))

    # -------------------------------------------------------------- the bridge acts
    def _play(self, decision: Decision) -> None:
        before, self.case = self.case, decision.case
        self.effects += decision.effects
        for effect in decision.effects:
            self._carry_out(effect, begins=before is None)
        if self.case and self.case.outcome:
            self._note("end", str(self.case.outcome).replace("_", " "))

    def _carry_out(self, effect: Effect, *, begins: bool) -> None:
        for verb, what in _seen_as(effect, self.case):
            if not (begins and verb == "assign"):  # what the beginning comes to is asked of the case
                self._note(verb, what)
        if effect.kind is EffectKind.ALERT or self.case is None:
            return
        if effect.way:
            self.case = sent(self.case, effect, self.now, None)
        elif effect.kind is EffectKind.FOLLOW_UP:
            self.case = replace(self.case, work_ticket_id=f"{TICKET_ID}-2")
            self.ticket = replace(self.ticket, ticket_id=f"{TICKET_ID}-2", status=Status.OPEN)
        self._write(settle(effect, self.ticket))

    def _write(self, change: Change) -> None:
        changes: dict[str, Any] = {"tags": tuple(dict.fromkeys((*self.ticket.tags, *change.add_tags)))}
        if change.assignee_id or change.unassign:
            changes |= {"assignee_id": change.assignee_id, "group_id": change.group_id}
        if change.reopen:
            changes["status"] = Status.OPEN
        if change.priority:
            changes["priority"] = change.priority
        self.ticket = replace(self.ticket, **changes)

    def _note(self, verb: str, what: str) -> None:
        self.happened.append(Happening(self.now, verb, what))


def _seen_as(effect: Effect, case: Case | None) -> Sequence[tuple[str, str]]:
    """Return what an effect is to people: verb and whom or what it is about; () for mere notes and tags."""
    owner = case.assignee_id or NOBODY if case else NOBODY
    if effect.kind is EffectKind.ALERT:
        return [("notify", effect.person or NOBODY)]
    if effect.way:
        return [("send", "survey" if is_question(effect) else "reminder")]
    if effect.change.assignee_id or effect.change.unassign:
        return [("assign", effect.change.assignee_id or NOBODY)]
    if effect.step.startswith(("deadline:", "silence:")):
        return [("remind", owner)]
    return [("task", owner)] if effect.step.startswith("check_in:") else []
