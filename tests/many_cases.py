"""A store with as many cases as a large team has in a year, for what must stay fast: figures, lists, pages.

Their times are counted back from UNTIL; the same count makes the same ones: `python -m tests.many_cases PATH COUNT`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table

from bridge.funnel import is_shadow, seconds
from bridge.model import (
    Answer,
    Case,
    Category,
    EffectKind,
    EffectState,
    LadderStep,
    Outcome,
    Severity,
    Stage,
    SurveyWay,
)
from bridge.store import Store
from bridge.store.cases import case_row
from bridge.store.tables import Answered, Json, Ladder, Time, audit, cases, effect, rating

UNTIL = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)  # a Friday
YEAR = timedelta(weeks=52)
ACCOUNTS = ("acme", "acme", "acme", "shop", "shop")
RULES = ("Low rating", "Low rating", "Refund", "Angry words", "Repeat", "VIP", "Late parcel", "Outage", "Asked for")
GROUPS = ("10", "10", "10", "20", "20", "30", None)
CAUSES = {  # with the party that each is put down to
    "Slow reply": "service", "Wrong answer": "service", "Tone": "service", "Not solved": "service",
    "Missing feature": "product", "Defect": "product", "Return policy": "policy", "Carrier": "third_party",
}  # fmt: skip
SEVERITIES = (*[Severity.NORMAL] * 5, Severity.LOW, Severity.HIGH, Severity.HIGH, Severity.CRITICAL)
ANSWERS = (*[Category.GOOD] * 5, Category.NEUTRAL, *[Category.BAD] * 3)
STEPS = (  # with the median of the hours that it takes, and the share of cases that come so far at all
    (Stage.ACKNOWLEDGED, "acknowledged_at", 0.4, 0.95),
    (Stage.CONTACTED, "contacted_at", 2, 0.9),
    (Stage.SOLVED, "solved_at", 20, 0.9),
    (Stage.SURVEYED, "asked_at", 48, 0.85),
)
AGENTS = 60
BATCH = 2000
SHADOW_BEFORE = timedelta(weeks=50)  # what was flagged longer ago only shadow mode decided about


def some_cases(count: int, *, until: datetime = UNTIL, within: timedelta = YEAR, seed: int = 1) -> Iterator[Case]:
    """Yield cases, oldest first, as they stand at *until*; few of those are open that were flagged weeks before."""
    chance = random.Random(seed)
    for number in range(count):
        flagged_at = until - within * (1 - number / count)
        yield _case(chance, f"{chance.getrandbits(48):012x}", number, flagged_at, until)


def _case(chance: random.Random, case_id: str, number: int, flagged_at: datetime, until: datetime) -> Case:
    scale_max = chance.choice((2, 5, 5, 7))
    agent, rule = f"{100 + chance.randrange(AGENTS)}", chance.choice(RULES)
    why = f"Agent {agent} held the ticket when it was rated"
    asked_for = rule == "Asked for"
    begun: dict[str, Any] = {
        "case_id": case_id, "account": chance.choice(ACCOUNTS), "ticket_id": f"{7_000_000 + number}",
        "rating_id": f"{'request:' * asked_for}{9_000_000 + number}",
        "category": Category.NEUTRAL if asked_for or chance.random() < 0.1 else Category.BAD,
        "rating": 1 if scale_max == 2 else chance.randint(1, scale_max // 2), "scale_max": scale_max,
        "rated_at": flagged_at if asked_for else flagged_at - timedelta(seconds=chance.lognormvariate(4.5, 1)),
        "flagged_at": flagged_at, "rule": rule, "rules_hash": "5eed" * 4, "playbook": "standard",
        "severity": chance.choice(SEVERITIES), "stage": Stage.ASSIGNED, "due_at": None, "next_step": "acknowledged",
        "reason": f'matched "{rule}"; {why}', "original_agent_id": agent, "assignee_id": agent,
        "group_id": chance.choice(GROUPS), "ladder": (LadderStep("original_agent", agent, why),),
        "customer": f"{number:064x}", "assigned_at": flagged_at, "confirmed_at": flagged_at,
        "seen_stamp": f"{flagged_at:%Y-%m-%dT%H:%M:%SZ}", "seen_at": flagged_at, "version": 1,
    }  # fmt: skip
    if chance.random() < 0.02:
        end = _end(Outcome.DISMISSED, "the ticket is deleted", flagged_at + timedelta(hours=1))
    elif until - flagged_at > SHADOW_BEFORE:
        end = _end(Outcome.DISMISSED, f"shadow: {begun['reason']}", flagged_at)
    else:
        end = _pursued(chance, flagged_at, scale_max, until)
    return Case(**begun | end)


def _pursued(chance: random.Random, flagged_at: datetime, scale_max: int, until: datetime) -> dict[str, Any]:
    """Let people act until *until*, and the customer answer, or not; returns what changes about the case."""
    found: dict[str, Any] = {}
    at = flagged_at
    for stage, what, median_hours, goes_on in STEPS:
        at += timedelta(hours=median_hours * chance.lognormvariate(0, 1))
        if at > until or chance.random() > goes_on:
            return found | _waits(chance, flagged_at, found, until)
        found |= {"stage": stage, what: at}
    found |= {"replied_at": found["contacted_at"], "survey_ticket_id": "1", "asked_by": SurveyWay.LINK}
    if chance.random() < 0.7:
        found["cause"] = chance.choice(list(CAUSES))
        found["party"] = CAUSES[found["cause"]]
    at += timedelta(hours=10 * chance.lognormvariate(0, 1))
    if at > until or chance.random() < 0.7:
        return found | _waits(chance, flagged_at, found, until)
    category, scale_max = chance.choice(ANSWERS), chance.choice((5, scale_max))
    worth = {Category.BAD: 1, Category.NEUTRAL: (scale_max + 1) // 2, Category.GOOD: scale_max}
    found["answer"] = Answer(at, category, worth[category], scale_max)
    outcomes = {Category.GOOD: Outcome.RECOVERED, Category.NEUTRAL: Outcome.IMPROVED}
    return found | _end(outcomes.get(category, Outcome.NOT_RECOVERED), f"the customer answered {category}", at)


def _waits(chance: random.Random, flagged_at: datetime, found: dict[str, Any], until: datetime) -> dict[str, Any]:
    """Nothing more happens: it is given up after three weeks, without an answer after two."""
    asked = found.get("asked_at") or found.get("solved_at")
    ends_at = asked + timedelta(weeks=2) if asked else flagged_at + timedelta(weeks=3)
    if ends_at <= until:
        return _end(Outcome.NO_RESPONSE if asked else Outcome.STOPPED, "nothing more was heard", ends_at)
    return {"due_at": until + timedelta(hours=chance.uniform(-4, 40))}


def _end(outcome: Outcome, why: str, at: datetime) -> dict[str, Any]:
    return {"stage": Stage.ENDED, "outcome": outcome, "reason": why, "ended_at": at, "next_step": "", "version": 2}


# ------------------------------------------------------------------ storing them
def many_cases(path: Path, count: int = 100_000) -> None:
    """Make a SQLite store at *path* with these cases; each has its rating, its decisions and two effects.

    Beside each stands a good rating; the names of agents and groups are remembered.
    """
    store = Store.open(f"sqlite:///{path}")
    try:
        found = some_cases(count)
        while some := list(islice(found, BATCH)):
            _store(store, some)
        _name_people(store)
    finally:
        store.close()


def _store(store: Store, found: Sequence[Case]) -> None:
    with store._writing() as tx:
        for table, rows in (
            (rating, [row for case in found for row in _ratings(case)]),
            (cases, [_case_row(case) for case in found]),
            (audit, [row for case in found for row in _audits(case)]),
            (effect, [row for case in found for row in _effects(case)]),
        ):
            _insert(tx, table, rows)


def _insert(tx: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows past SQLAlchemy, which costs five times as much."""
    names = list(rows[0])
    types = [table.c[name].type for name in names]
    ways = [one.process_bind_param if isinstance(one, (Time, Json, Ladder, Answered)) else None for one in types]
    sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    values = [
        tuple([way(value, None) if way else value for way, value in zip(ways, row.values(), strict=True)])
        for row in rows
    ]
    tx.exec_driver_sql(sql, values)


def _case_row(case: Case) -> dict[str, Any]:
    sent_at = None if case.outcome is Outcome.DISMISSED else _sent_at(case)
    return case_row(case) | {"written_after": sent_at and seconds(sent_at - case.flagged_at)}


def _sent_at(case: Case) -> datetime | None:
    """Return when the ticket was given back; never in shadow mode."""
    return None if is_shadow(case) else case.flagged_at + timedelta(seconds=1 + int(case.case_id, 16) % 20)


def _ratings(case: Case) -> Iterator[dict[str, Any]]:
    row = {
        "account": case.account, "rating_id": case.rating_id, "version": "1", "ticket_id": case.ticket_id,
        "category": case.category, "value": case.rating, "scale_max": case.scale_max, "rated_at": case.rated_at,
        "updated_at": case.rated_at, "requester_id": case.ticket_id, "assignee_id": case.original_agent_id,
        "group_id": case.group_id, "source": "request" if case.is_request else "poll", "seen_at": case.flagged_at,
        "outcome": "flagged", "why": case.reason, "case_id": case.case_id,
    }  # fmt: skip
    yield row
    praise = {"rating_id": f"1{case.ticket_id}", "category": Category.GOOD, "value": case.scale_max, "source": "poll"}
    yield row | praise | {"outcome": "no_rule", "why": "no rule matches", "case_id": None}


def _audits(case: Case) -> Iterator[dict[str, Any]]:
    moments = {
        "flagged": case.flagged_at, "contacted": case.contacted_at, "solved": case.solved_at, "asked": case.asked_at,
        "ended": case.ended_at,
    }  # fmt: skip
    for what, at in moments.items():
        if at:
            yield {
                "at": at, "account": case.account, "ticket_id": case.ticket_id, "what": what, "reason": case.reason,
                "case_id": case.case_id, "rating_id": case.rating_id, "rule": case.rule, "facts": {},
            }  # fmt: skip


def _effects(case: Case) -> Iterator[dict[str, Any]]:
    sent_at = _sent_at(case)
    row = {
        "account": case.account, "ticket_id": case.ticket_id, "case_id": case.case_id, "kind": EffectKind.UPDATE,
        "generation": 0, "change": {"add_tags": ["sr_flagged"], "note": "Please write to the customer. " * 10},
        "state": EffectState.APPLIED if sent_at else EffectState.SHADOW, "tries": 1,
    }  # fmt: skip
    for step, at, sent in (("flag", case.flagged_at, sent_at), ("ask:1", case.asked_at, case.asked_at)):
        if at:
            times = {"planned_at": at, "first_sent_at": sent, "last_sent_at": sent}
            yield row | times | {"effect_id": f"{case.case_id}{step[0]}", "step": step}


def _name_people(store: Store) -> None:
    agents = [{"agent_id": f"{100 + number}", "name": f"Agent {number}"} for number in range(AGENTS)]
    groups = {"10": "Care", "20": "Team Leads", "30": "Night"}
    for account in set(ACCOUNTS):
        store.remember(account, "directory", {"agents": agents, "groups": groups}, UNTIL)


if __name__ == "__main__":
    many_cases(Path(sys.argv[1]), int(sys.argv[2]))
