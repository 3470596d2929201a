"""Who gets the ticket: the original agent first, then the ladder of the playbook, and the reason for each step.

A rung of `assign_to_first_available` is `original_agent`, `same_team` or a name of `people`. A group stands for its
usable member with the fewest open recoveries. An agent who is merely off shift keeps the first shot; only a recorded
absence, a departure or a full plate passes the ticket on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.hours import Calendar
from bridge.model import Agent, Case, Directory, LadderStep, Rating, Ticket
from bridge.rules import Person, Rules

ORIGINAL_AGENT = "original_agent"
SAME_TEAM = "same_team"


@dataclass(frozen=True)
class Staff:
    """What the ladder may know about the people of one account at one moment."""

    rules: Rules
    directory: Directory
    calendar: Calendar
    load: Mapping[str, int]  # agent id -> open recoveries
    now: datetime
    refused: Mapping[str, str] = field(default_factory=dict)  # agent id -> why the helpdesk would not take them
    account: str | None = None  # for hours of its own
    again: Callable[[], Directory] | None = None  # reads the directory again, unless that was a moment ago

    def knowing(self, agents: Iterable[str | None] = (), groups: Iterable[str | None] = ()) -> Staff:
        """Return these people, looked up again if one of the ids is not among them: it may be newer than they are."""
        missing = {*agents} - self.directory.agents.keys() - {None}, {*groups} - self.directory.groups.keys() - {None}
        return self.looked_up() if any(missing) else self

    def knowing_person(self, person: Person) -> Staff:
        """Return these people, looked up again if the agent or group that rules.yaml names is not among them."""
        if person.agent:
            return self if self.directory.agent_with_email(person.agent) else self.looked_up()
        return self if not person.group or self.directory.group_named(person.group) else self.looked_up()

    def looked_up(self) -> Staff:
        """Return these people as the helpdesk has them now, or had them a moment ago."""
        return replace(self, directory=self.again()) if self.again else self

    def why_not(self, agent_id: str) -> str | None:
        """Return why this agent cannot take a ticket now, or None if they can."""
        agent = self.directory.agents.get(agent_id)
        if agent is None:
            return self.why_left(agent_id)
        return self.why_left(agent_id) or self.refused.get(agent_id) or self.why_absent(agent_id) or self._full(agent)

    def why_left(self, agent_id: str) -> str | None:
        """Return why this agent can hold no ticket at all, or None if they can."""
        agent = self.directory.agents.get(agent_id)
        return agent.unusable if agent else "is no longer an agent"

    def why_absent(self, agent_id: str) -> str | None:
        """Return why this agent counts as absent, or None if they do not."""
        agent = self.directory.agents.get(agent_id)
        return (self.rules.is_away(agent.email, self.now) or self._absent(agent)) if agent else None

    def why_gone(self, case: Case) -> str | None:
        """Return why the owner of a case cannot go on with it, or None; whom a human chose may well be absent."""
        if case.assignee_id is None or case.solved_at:
            return None
        absent = None if case.chosen_by_human else self.why_absent(case.assignee_id)
        return self.why_left(case.assignee_id) or absent

    def hours_of(self, agent_id: str | None, group_id: str | None = None) -> Calendar:
        """Return an agent's own working hours where they are known, else those of the group, else the account's."""
        if not self.rules.hours:
            return self.calendar
        agent = self.directory.agents.get(agent_id or "")
        group = self.directory.groups.get(group_id or (agent.default_group_id if agent else None) or "")
        return self.rules.calendar(self.account, group, agent.email if agent else None)

    def name(self, agent_id: str | None) -> str:
        """Return how to call an agent in a sentence."""
        agent = self.directory.agents.get(agent_id or "")
        return agent.name if agent else f"agent {agent_id}"

    def least_loaded(self, group_id: str, *, but_not: str | None) -> Agent | None:
        """Return the usable member of a group with the fewest open recoveries; ties go to the lower id."""
        others = (a for a in self.directory.members(group_id) if a.agent_id not in (but_not, self.directory.own_id))
        able = [agent for agent in others if not self.why_not(agent.agent_id)]
        return min(able, key=lambda agent: self.load.get(agent.agent_id, 0), default=None)

    def group_for(self, agent_id: str, preferred: str | None) -> str | None:
        """Return the group in which an agent takes a ticket: the preferred one if they are in it, else their own."""
        agent = self.directory.agents[agent_id]
        if preferred in agent.group_ids:
            return preferred
        return agent.default_group_id or next(iter(agent.group_ids), None)

    def _absent(self, agent: Agent) -> str | None:
        if agent.out_of_office:
            return f"is out of office ({agent.out_of_office})"
        if agent.away_since is None:
            return None
        absent_after = self.rules.settings.absent_after
        if self.hours_of(agent.agent_id).between(agent.away_since, self.now) < absent_after:
            return None
        return f"has been away for more than {absent_after.total_seconds() / 3600:g} working hours"

    def _full(self, agent: Agent) -> str | None:
        open_now = self.load.get(agent.agent_id, 0)
        return f"already has {open_now} open recoveries" if open_now >= self.rules.settings.max_open else None


@dataclass(frozen=True)
class Owner:
    """The result of climbing the ladder; *agent_id* None means that nobody could take it."""

    agent_id: str | None
    group_id: str | None
    steps: tuple[LadderStep, ...]
    keeps: bool = False  # a human took the ticket after the rating; it stays with them

    @property
    def why(self) -> str:
        """Say in one line who got it and why nobody before them did."""
        return "; ".join(step.why for step in self.steps)


def find_owner(
    rungs: Sequence[str], rating: Rating, ticket: Ticket, original_agent_id: str | None, staff: Staff
) -> Owner:
    """Climb the ladder until somebody can take the ticket; nobody has left whom the helpdesk was not asked about."""
    agents = (original_agent_id, rating.assignee_id, ticket.assignee_id)
    staff = staff.knowing(agents, (ticket.group_id, rating.group_id))
    if holder := _taken_by(ticket, rating.assignee_id or original_agent_id, staff):
        why = f"{staff.name(holder)} took the ticket after the rating and keeps it"
        return Owner(holder, ticket.group_id, (LadderStep("taken", holder, why),), keeps=True)
    climb = _Climb(rating, ticket, original_agent_id, staff)
    steps: list[LadderStep] = []
    last_group = ticket.group_id
    for rung in rungs:
        climb = climb.knowing(rung)
        step, group_id = climb.try_rung(rung)
        steps.append(step)
        last_group = group_id or last_group
        if step.agent_id:
            return Owner(step.agent_id, climb.staff.group_for(step.agent_id, group_id), tuple(steps))
    return Owner(None, last_group, tuple(steps))


def _taken_by(ticket: Ticket, rated_assignee_id: str | None, staff: Staff) -> str | None:
    """Return the person who took the ticket after the rating, if somebody did.

    The rating, or else the ticket's history, names who held it then, so another one now means a change since. When
    that agent has left, the helpdesk itself moves their tickets (Zendesk to an admin): that is nobody's choice.
    """
    holder = staff.directory.agents.get(ticket.assignee_id or "")
    if holder is None or holder.unusable or holder.agent_id in (rated_assignee_id, *staff.refused):
        return None
    rated = staff.directory.agents.get(rated_assignee_id or "")
    left = rated_assignee_id is not None and (rated is None or rated.unusable is not None)
    return None if left else holder.agent_id


@dataclass(frozen=True)
class _Climb:
    rating: Rating
    ticket: Ticket
    original_agent_id: str | None
    staff: Staff

    def knowing(self, rung: str) -> _Climb:
        """Return this climb with whom rules.yaml names on this rung, if the helpdesk has them."""
        if rung in (ORIGINAL_AGENT, SAME_TEAM):
            return self
        person = person_for(self.staff.rules, rung, self.rating, self.ticket, self.staff.directory)
        return replace(self, staff=self.staff.knowing_person(person))

    def try_rung(self, rung: str) -> tuple[LadderStep, str | None]:
        """Return what this rung found, and its group where it names one."""
        if rung == ORIGINAL_AGENT:
            return self._original(), self.ticket.group_id
        if rung == SAME_TEAM:
            group_id = self.rating.group_id or self.ticket.group_id
            if group_id is None:
                return LadderStep(rung, None, "the rating names no team"), None
            return self._member(rung, group_id), group_id
        return self._person(rung)

    def _original(self) -> LadderStep:
        original = self.original_agent_id
        if original is None:
            return LadderStep(ORIGINAL_AGENT, None, "nobody held the ticket when it was rated")
        if why := self.staff.why_not(original):
            return LadderStep(ORIGINAL_AGENT, None, f"{self.staff.name(original)} {why}")
        return LadderStep(ORIGINAL_AGENT, original, f"{self.staff.name(original)} held the ticket when it was rated")

    def _person(self, rung: str) -> tuple[LadderStep, str | None]:
        directory = self.staff.directory
        person = person_for(self.staff.rules, rung, self.rating, self.ticket, directory)
        if person.agent:
            agent = directory.agent_with_email(person.agent)
            if agent is None:
                return LadderStep(rung, None, f"there is no agent {person.agent}"), None
            why = self.staff.why_not(agent.agent_id)
            step = LadderStep(rung, None if why else agent.agent_id, f"{agent.name} {why or f'is {rung}'}")
            return step, agent.default_group_id
        if person.group is None:
            return LadderStep(rung, None, "is only to be notified"), None
        group_id = directory.group_named(person.group)
        if group_id is None:
            return LadderStep(rung, None, f"there is no group {person.group!r}"), None
        return self._member(rung, group_id), group_id

    def _member(self, rung: str, group_id: str) -> LadderStep:
        team = self.staff.directory.groups.get(group_id, f"group {group_id}")
        found = self.staff.least_loaded(group_id, but_not=self.original_agent_id)
        if found is None:
            return LadderStep(rung, None, f"nobody in {team} can take it")
        count = self.staff.load.get(found.agent_id, 0)
        return LadderStep(rung, found.agent_id, f"{found.name} in {team} has the fewest open recoveries ({count})")


def person_for(rules: Rules, name: str, rating: Rating, ticket: Ticket, directory: Directory) -> Person:
    """Return the person of that name for this group, brand and reason."""
    group = directory.groups.get(ticket.group_id or rating.group_id or "")
    return rules.person(name, group=group, brand=ticket.brand, reason=rating.reason)
