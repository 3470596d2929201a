"""What a run would change now, ticket by ticket, found by running the production code on a copy of the store.

Nothing is written: neither to a helpdesk (effects are planned on the copy and never delivered) nor to the store. The
plan itself is kept in a file of the state directory, so that the next one can say what is different.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge import settings, show
from bridge.app import App, Clock, open_app
from bridge.errors import BadRecord, BridgeError, HelpdeskError
from bridge.model import Case, Change, Directory, Effect, EffectKind, Ticket
from bridge.recovery import settle
from bridge.rules import Rules
from bridge.store import Store

LAST_PLAN = "plan.json"


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

    @property
    def in_a_line(self) -> str:
        """The change without ids of ours, so that it is known again in another plan."""
        parts = ", ".join(self.change.parts) or show.what(self.effect)
        return f"{self.effect.account} ticket {self.effect.ticket_id}, {self.effect.step}: {parts}"

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


@dataclass(frozen=True)
class Plan:
    """What a run would change now, and what is different from the last plan."""

    changes: tuple[Planned, ...]
    failures: Mapping[str, BridgeError]  # what went wrong, by account
    last_at: datetime | None  # when the last plan was made
    last: frozenset[str]  # its changes in a line each
    at: datetime

    def is_new(self, change: Planned) -> bool:
        """True if the last plan had no such change."""
        return self.last_at is not None and change.in_a_line not in self.last

    @property
    def gone(self) -> list[str]:
        """What the last plan would have changed and this one would not, as far as it could be looked at."""
        now = {change.in_a_line for change in self.changes}
        return sorted(line for line in self.last - now if line.partition(" ")[0] not in self.failures)

    def keep(self, folder: Path) -> None:
        """Remember this plan as the last one."""
        lines = sorted({change.in_a_line for change in self.changes})
        settings.write_private(folder / LAST_PLAN, json.dumps({"at": self.at.isoformat(), "changes": lines}))


def make_plan(
    rules: Rules, env: Mapping[str, str], since: datetime | None = None, *, now: Clock = lambda: datetime.now(UTC)
) -> Plan:
    """Return what a run (with `--since`, if given) would do now."""
    folder = settings.state_dir(env)
    planned, failures = _think(rules, env, folder, since, now)
    last = {} if since else json.loads(settings.read_private(folder / LAST_PLAN) or "{}")  # another question
    last_at = datetime.fromisoformat(last["at"]) if last else None
    return Plan(tuple(planned), failures, last_at, frozenset(last.get("changes", ())), now())


def _think(
    rules: Rules, env: Mapping[str, str], folder: Path, since: datetime | None, now: Clock
) -> tuple[list[Planned], Mapping[str, BridgeError]]:
    planned: list[Planned] = []
    failures: dict[str, BridgeError] = {}
    with tempfile.TemporaryDirectory(prefix="recovery-bridge-plan-") as place:
        copy = f"sqlite:///{Path(place) / 'plan.db'}"
        store = Store.open(settings.database_url(env, folder))
        try:
            store.copy_to(copy)
        finally:
            store.close()
        with open_app(rules, env, now=now, database_url=copy) as app:
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
