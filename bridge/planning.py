"""What a run would change now, ticket by ticket, found by running the production code on a copy of the store.

Nothing is written: neither to a helpdesk (effects are planned on the copy and never delivered) nor to the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge import settings, show
from bridge.app import App, open_app
from bridge.errors import BadRecord, BridgeError, HelpdeskError
from bridge.model import Case, Change, Directory, Effect, EffectKind, Ticket
from bridge.recovery import settle
from bridge.rules import Rules
from bridge.store import Store


@dataclass(frozen=True)
class Planned:
    """One change that a run would make."""

    effect: Effect
    case: Case
    change: Change
    ticket: Ticket
    directory: Directory
    shadow: bool

    def as_text(self) -> str:
        """Return the change as lines for a terminal."""
        shadow = " (shadow: would not be sent)" if self.shadow else ""
        head = f"{self.effect.account} ticket {self.effect.ticket_id}: {self.case.severity}, {self.case.reason}{shadow}"
        if self.effect.kind is EffectKind.ALERT:
            return f"{head}\n  {show.what(self.effect)}"
        return "\n".join([head, *show.difference(self.effect, self.change, self.ticket, self.directory)])

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


def make_plan(
    rules: Rules, env: Mapping[str, str], since: datetime | None = None
) -> tuple[list[Planned], Mapping[str, BridgeError]]:
    """Return what a run (with `--since`, if given) would do now, and what went wrong by account."""
    folder = settings.state_dir(env)
    planned: list[Planned] = []
    failures: dict[str, BridgeError] = {}
    with tempfile.TemporaryDirectory(prefix="recovery-bridge-plan-") as place:
        copy = f"sqlite:///{Path(place) / 'plan.db'}"
        store = Store.open(settings.database_url(env, folder))
        try:
            store.copy_to(copy)
        finally:
            store.close()
        with open_app(rules, env, database_url=copy) as app:
            app.check_names()
            for account in app.accounts:
                try:
                    planned += _plan_of(app, account, since)
                except (HelpdeskError, BadRecord) as exc:
                    failures[account] = exc
    return planned, failures


def _plan_of(app: App, account: str, since: datetime | None) -> list[Planned]:
    """Think as a run would, then compare what it would send with the tickets as they are."""
    app.engine.poll(account, since)
    while app.engine.decide(account):
        pass
    app.engine.tick(account)
    desk = app.engine.desks[account]
    found = app.store.unfinished_effects(account, decided_since=app.engine.started_at)
    tickets = app.engine.reading.tickets(desk, [one.effect.ticket_id for one in found])
    shadow = app.rules.settings.mode == "shadow"
    return [
        Planned(one.effect, case, settle(one.effect, ticket), ticket, desk.directory(), shadow)
        for one in found
        if (ticket := tickets[one.effect.ticket_id]) and (case := app.store.case(one.effect.case_id))
    ]
