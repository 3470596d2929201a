"""A desk that needs no helpdesk, for tests of the dashboard: a small team's quarter, and one case with a long story."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from bridge.errors import StoreError
from bridge.model import (
    Audit,
    Case,
    Category,
    Change,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    LadderStep,
    Malformed,
    Rating,
    RatingPage,
    Severity,
    Stage,
)
from bridge.rules import Rules, check
from bridge.store import Store
from bridge.web.dashboard import DashDesk, dashboard_routes
from bridge.web.visitors import Endpoint, Guard, Role, Visitor
from tests.many_cases import ACCOUNTS, UNTIL, many_cases

NOW = UNTIL
RULES = Path(__file__).parents[2] / "rules.yaml"
HOSTILE = '<script>alert(1)</script> {{ 7*7 }} "onload=x" https://evil.example/x \u202egnp'
SAID = "Third time I write. Nobody called me back, and the parcel is still at the wrong address."
PEOPLE = ("Ana", "Cem", "Mia", "Jon", "Lea", "Tom", "Ines", "Paul", "Rosa", "Emil", "Nora", "Finn")
URLS = {"acme": "https://acme.zendesk.com/agent/tickets/", "shop": "https://shop.freshdesk.com/a/tickets/"}
STORY, STUCK = "c0ffee42", "9c41d0aa"
HOUR = timedelta(hours=1)
TOLD = (  # what, hours after the flagging, why
    ("applied", 0.0, "assigned to agent 103, reopened, tagged, private note", ()),
    ("acknowledged", 1.0, "agent 103 edited the ticket", ()),
    ("promised", 1.2, '"A call" by Fri 20 Nov 2026, 17:30 CET', ()),
)
PARKED = ("deadline", 2.0, "not replied within 2h: supervisors are told")


def everybody(endpoint: Endpoint, role: Role = Role.OPERATOR) -> Endpoint:
    """Let everybody in, as ana."""

    async def guarded(request: Request) -> Response:
        request.state.visitor = Visitor("ana", role, "token-of-ana")
        return await endpoint(request)

    return guarded


class Fragile(Store):
    """A store whose disk can fail."""

    down = False

    def _begin(self, tx: Any, how: str) -> None:
        if self.down:
            raise StoreError("the disk is full")
        super()._begin(tx, how)


@cache
def template(count: int) -> Path:
    """Make a store once; every test gets a copy."""
    path = Path(tempfile.mkdtemp(prefix="recovery-bridge-dash-")) / "bridge.db"
    many_cases(path, count)
    store = Store.open(f"sqlite:///{path}")
    agents = [{"agent_id": f"{100 + n}", "name": PEOPLE[n % len(PEOPLE)]} for n in range(60)]
    for account in set(ACCOUNTS):
        store.remember(account, "directory", {"agents": agents, "groups": {"10": "Care", "20": "Orders"}}, NOW)
        store.put_account_state(account, succeeded_at=(NOW - timedelta(minutes=2)).isoformat(), error="")
    store.close()
    return path


class Desk:
    """The dashboard over a store of its own, as a visitor sees it."""

    def __init__(self, folder: Path, count: int = 0, *, role: Role = Role.OPERATOR, **settings: Any) -> None:
        self.path = folder / "bridge.db"
        shutil.copy(template(count), self.path)
        self.store, self.now = Fragile.open(f"sqlite:///{self.path}"), NOW
        self.role = role
        self.rules = rules(**settings)

    def app(self, *more: Any) -> Starlette:
        """Return the dashboard, with *more* routes beside it."""
        desk = DashDesk(self.store, lambda: self.rules, lambda a, t: URLS[a] + t, lambda: self.now)
        return Starlette(routes=[*dashboard_routes(desk, self.guard), *more])

    @property
    def guard(self) -> Guard:
        """Lets everybody in, as ana."""
        return partial(everybody, role=self.role)

    def add(self, case: Case, *effects: Effect, state: EffectState = EffectState.PLANNED, comment: str = "") -> Case:
        """Store a case with its rating."""
        rating = Rating(
            case.rating_id, case.ticket_id, case.category, case.rating, case.scale_max, case.rated_at, case.rated_at,
            comment=comment or None,
        )  # fmt: skip
        self.store.add_ratings(
            case.account, [rating], source="poll", seen_at=case.flagged_at, memory_before=case.rated_at
        )
        audit = Audit(
            case.flagged_at,
            case.account,
            case.ticket_id,
            "flagged",
            case.reason,
            case.case_id,
            case.rating_id,
            case.rule,
        )
        self.store.save(Decision(audit, case, effects), effect_state=state)
        return case

    def story(self, comment: str = SAID, **changes: Any) -> Case:
        """Add a case that has been through something: its ticket was given on, and one message could not be sent."""
        case = replace(open_case(), case_id=STORY, ticket_id="4711", **changes)
        flag = Effect(
            "1f6ab2c9", STORY, "acme", "4711", EffectKind.UPDATE, "flag",
            change=Change(("csat-recovery",), "103", "10", reopen=True, priority="high", note="Hi"),
        )  # fmt: skip
        alert = Effect(STUCK, STORY, "acme", "4711", EffectKind.ALERT, "tell:supervisors", person="supervisors")
        self.add(case, flag, state=EffectState.APPLIED, comment=comment)
        for what, hours, reason, effects in (*TOLD, (*PARKED, (alert,))):
            told = Audit(case.flagged_at + hours * HOUR, "acme", "4711", what, reason, STORY, case.rating_id, case.rule)
            self.store.save(Decision(told, None, effects), effect_state=EffectState.PARKED)
        self.sql("UPDATE effect SET error = ? WHERE effect_id = ?", "oncall@example.com: 550 mailbox is full", STUCK)
        return case

    def fail(self, key: str, error: str) -> None:
        """Keep a record that cannot be read."""
        page = RatingPage((), (Malformed(key, "{}", error),), "1")
        self.store.add_page("acme", "ratings", page, source="poll", seen_at=NOW - HOUR, memory_before=NOW)

    def sql(self, text: str, *values: Any) -> None:
        """Change a row as no verb would."""
        with self.store._writing() as tx:
            tx.exec_driver_sql(text, values)


@cache
def _checked(text: str) -> Rules:
    found, problems = check(text)
    assert found, problems
    return found


def rules(**settings: Any) -> Rules:
    """Return the rules.yaml of this repository, live; *settings* change those of its settings."""
    return _checked(RULES.read_text(encoding="utf-8")).played(**{"mode": "live", **settings})


def open_case(**changes: Any) -> Case:
    """Return a case that was flagged three hours ago and waits for an answer to the customer."""
    at = NOW - 3 * HOUR
    case = Case(
        case_id="ab12", account="acme", ticket_id="1", rating_id="r1", category=Category.BAD, rating=1, scale_max=5,
        rated_at=at - timedelta(minutes=1), flagged_at=at, rule="Angry VIP", rules_hash="5eed", playbook="urgent",
        severity=Severity.HIGH, stage=Stage.ACKNOWLEDGED, due_at=NOW + HOUR, next_step="replied",
        reason='matched "Angry VIP"; same team: Jon has the fewest open', original_agent_id="101", assignee_id="103",
        group_id="10", assigned_at=at, confirmed_at=at, acknowledged_at=at + HOUR, customer="k", version=3,
        ladder=(
            LadderStep("original_agent", None, "Cem is away until Monday"),
            LadderStep("same_team", "103", "the fewest open cases of those who are there"),
        ),
    )  # fmt: skip
    return replace(case, **changes)
