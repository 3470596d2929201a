"""What a run would change now, ticket by ticket, found by running the production code on a copy of the store.

Nothing is written: neither to a helpdesk (effects are planned on the copy and never delivered) nor to the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge import settings, show
from bridge.app import App, open_app
from bridge.errors import BridgeError, HelpdeskError
from bridge.model import Case, Change, Effect, EffectKind, Ticket
from bridge.recovery import settle
from bridge.rules import Rules
from bridge.store import Store


@dataclass(frozen=True)
class Planned:
    """One change that a run would make."""

    effect: Effect
    case: Case
    change: Change
    ticket: Ticket | None
    names: Mapping[str, str]  # agent id -> name
    shadow: bool

    def as_text(self) -> str:
        """Return the change as lines for a terminal."""
        shadow = " (shadow: would not be sent)" if self.shadow else ""
        head = f"{self.effect.account} ticket {self.effect.ticket_id}: {self.case.severity}, {self.case.reason}{shadow}"
        if self.effect.kind is EffectKind.ALERT or self.ticket is None:
            return f"{head}\n  {show.what(self.effect)}"
        return "\n".join([head, *show.difference(self.effect, self.change, self.ticket, self.names)])

    def as_json(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return {
            "account": self.effect.account,
            "ticket_id": self.effect.ticket_id,
            "case_id": self.case.case_id,
            "step": self.effect.step,
            "does": show.what(self.effect),
            "changes": self.change.parts,
            "severity": str(self.case.severity),
            "reason": self.case.reason,
            "shadow": self.shadow,
        }


def make_plan(rules: Rules, env: Mapping[str, str]) -> tuple[list[Planned], Mapping[str, BridgeError]]:
    """Return what a run would do now, and what went wrong by account."""
    folder = settings.state_dir(env)
    with tempfile.TemporaryDirectory(prefix="recovery-bridge-plan-") as place:
        copy = f"sqlite:///{Path(place) / 'plan.db'}"
        store = Store.open(settings.database_url(env, folder))
        try:
            store.copy_to(copy)
        finally:
            store.close()
        with open_app(rules, env, database_url=copy) as app:
            failures = {account: exc for account in app.accounts if (exc := _think(app, account))}
            return [planned for account in app.accounts for planned in _planned(app, account)], failures


def _think(app: App, account: str) -> BridgeError | None:
    try:
        app.engine.poll(account)
        app.engine.tick(account)
        while app.engine.decide(account):
            pass
    except HelpdeskError as exc:
        return exc
    return None


def _planned(app: App, account: str) -> list[Planned]:
    desk = app.engine.desks[account]
    found = app.store.unfinished_effects(account, decided_since=app.engine.started_at)
    if not found:
        return []
    tickets = app.engine.reading.tickets(desk, [one.effect.ticket_id for one in found])
    names = {agent.agent_id: agent.name for agent in desk.directory().agents.values()}
    plans = []
    for one in found:
        case, ticket = app.store.case(one.effect.case_id), tickets.get(one.effect.ticket_id)
        if case and ticket:
            change = settle(one.effect, ticket)
            plans.append(Planned(one.effect, case, change, ticket, names, app.rules.settings.mode == "shadow"))
    return plans
