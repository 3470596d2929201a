"""People, tickets and rules to think about: what the tests of the ladder and of the case have in common."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.model import Agent, Category, Directory, Rating, Requester, Status, Ticket
from bridge.owner import Staff
from bridge.recovery import Situation
from bridge.rules import Rule, Rules, check

NOW = datetime(2026, 3, 9, 10, 0, tzinfo=UTC)  # a Monday; 11:00 in Berlin, two hours after the doors opened
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

CARE, LEADS, NIGHT = "10", "20", "30"  # groups
ANA, CEM, DORA, BEN, BOT = "1", "2", "3", "4", "9"  # agents

RULES = """
version: 1
accounts:
  acme: {connector: zendesk, url: http://127.0.0.1:1}
settings:
  mode: live
  timezone: Europe/Berlin
  working_hours: {mon-fri: 09:00-18:00}
  SETTINGS
people:
  leads: {group: Team Leads, notify: "#leads"}
  product: {notify: "#product"}
  PEOPLE
away: [AWAY]
notes:
  unhappy: |
    {customer_first_name|The customer} rated this {rating_text} and wrote: "{comment|nothing}"
    Please reply by {reply_by}. It is yours, {assignee|nobody}.
playbooks:
  standard:
    assign_to_first_available: [original_agent, same_team, leads]
    priority: high
    tags: [csat-recovery]
    note: unhappy
    deadlines:
      - {within: 30m, until: acknowledged, otherwise: {remind: assignee}}
      - {within: 4h, until: replied, otherwise: {notify: leads}}
  urgent: {like: standard, priority: urgent, deadlines: []}
  follow_up: {like: standard, ticket: follow_up}
  note_only: {like: standard, ticket: note_only}
  new_ticket: {like: standard, archived: new_ticket}
  for_product: {like: standard, notify: product}
  patient: {like: standard, check_in: {after: 1d}, survey: {after: 2d, if_still_bad: {assign: leads}}}
  PLAYBOOKS
rules:
  - {name: Low rating, when: {rating: bad}, severity: normal, playbook: standard}
  - {name: Neutral and angry, when: {rating: neutral}, severity: low, playbook: standard}
  - {name: Urgent, when: {rating: bad}, severity: critical, playbook: urgent}
  - {name: Follow-up, when: {rating: bad}, severity: normal, playbook: follow_up}
  - {name: Note only, when: {rating: bad}, severity: normal, playbook: note_only}
  - {name: New ticket, when: {rating: bad}, severity: normal, playbook: new_ticket}
  - {name: Patient, when: {rating: bad}, severity: high, playbook: patient}
  - {name: For product, when: {rating: bad}, severity: normal, playbook: for_product}
"""


@functools.cache
def rules(*, settings: str = "", people: str = "", away: str = "", playbooks: str = "") -> Rules:
    """Return RULES with lines added; raises ValueError with what is wrong with them."""
    text = RULES.replace("  SETTINGS\n", f"  {settings}\n").replace("[AWAY]", f"[{away}]")
    text = text.replace("  PEOPLE\n", f"  {people}\n").replace("  PLAYBOOKS\n", f"  {playbooks}\n")
    found, problems = check(text)
    if found is None:
        raise ValueError("\n".join(str(problem) for problem in problems))
    return found


def rule(name: str, of: Rules) -> Rule:
    """Return the rule of that name."""
    return next(one for one in of.rules if one.name == name)


def agent(agent_id: str, name: str, *groups: str, **details: Any) -> Agent:
    """Return a usable member of these groups; the first one is the default."""
    default = groups[0] if groups else None
    given: dict[str, Any] = {"email": f"{name.lower()}@example.com", "group_ids": groups, "default_group_id": default}
    return Agent(agent_id, name, **given | details)


STAFF = {
    found.agent_id: found
    for found in (
        agent(ANA, "Ana", CARE),
        agent(CEM, "Cem", CARE),
        agent(DORA, "Dora", CARE, NIGHT),
        agent(BEN, "Ben", LEADS),
        agent(BOT, "Bridge", CARE, LEADS),
    )
}
GROUPS = {CARE: "Care", LEADS: "Team Leads", NIGHT: "Night"}


def directory(*, without: tuple[str, ...] = (), **changes: Mapping[str, Any]) -> Directory:
    """Return the company's people; *changes* by name: `directory(Ana={"unusable": "suspended"})`."""
    agents = {
        key: replace(found, **changes.get(found.name, {})) for key, found in STAFF.items() if found.name not in without
    }
    return Directory(NOW, agents, GROUPS, own_id=BOT)


def staff(of: Directory | None = None, by: Rules | None = None, **details: Any) -> Staff:
    """Return what the ladder may know; details: load, now, refused."""
    found = by or rules()
    given: dict[str, Any] = {"load": {}, "now": NOW}
    return Staff(found, of or directory(), found.calendar(), **given | details)


def ticket(**changes: Any) -> Ticket:
    """Return a solved ticket that Ana holds in Care."""
    given: dict[str, Any] = {
        "ticket_id": "7",
        "status": Status.SOLVED,
        "updated_at": NOW - HOUR,
        "read_at": NOW,
        "stamp": "s",
        "assignee_id": ANA,
        "group_id": CARE,
        "subject": "My order",
        "requester": Requester("70", "Mia Maier", "mia@customer.example"),
    }
    return Ticket(**given | changes)


def rating(**changes: Any) -> Rating:
    """Return a bad rating with a comment, given ten minutes ago while Ana held the ticket."""
    given: dict[str, Any] = {
        "rating_id": "r1",
        "ticket_id": "7",
        "category": Category.BAD,
        "value": 1,
        "scale_max": 5,
        "rated_at": NOW - 10 * MINUTE,
        "updated_at": NOW - 10 * MINUTE,
        "comment": "Nobody helped me",
        "requester_id": "70",
        "assignee_id": ANA,
        "group_id": CARE,
    }
    return Rating(**given | changes)


def situation(on: Ticket | None = None, among: Staff | None = None, **changes: Any) -> Situation:
    """Return what thinking looks at; ids count up from n1."""
    numbers = itertools.count(1)
    found = on or ticket()
    given: dict[str, Any] = {
        "account": "acme",
        "ticket": found,
        "staff": among or staff(),
        "facts": None,
        "link": f"http://127.0.0.1:1/agent/tickets/{found.ticket_id}",
        "shadow": False,
        "new_id": lambda: f"n{next(numbers)}",
    }
    return Situation(**given | changes)
