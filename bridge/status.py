"""Is it alive: when each account was last read, what is overdue, parked or failed, and which rules match nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.model import EffectState
from bridge.rules import Rules
from bridge.show import duration
from bridge.store import Store

QUIET_AFTER = timedelta(days=30)  # a rule that matched nothing for so long is named


@dataclass(frozen=True)
class AccountStatus:
    """The figures of one account; times are UTC text, None where it has not happened yet."""

    account: str
    mode: str
    began_at: str | None
    succeeded_at: str | None
    error: str
    late: bool
    ratings_pending: int
    records_failed: int
    cases_open: int
    cases_overdue: int
    effects: Mapping[str, int]
    found_late: int
    quiet_rules: Sequence[str]


def account_status(store: Store, rules: Rules, account: str, now: datetime) -> AccountStatus:
    """Return how one account is."""
    state, counts = store.account_state(account), store.counts(account, now)
    succeeded = state.get("succeeded_at")
    quiet = [
        rule.name
        for rule in rules.rules
        if not (found := counts.rules.get(rule.name)) or now - found.last_flagged_at > QUIET_AFTER
    ]
    return AccountStatus(
        account=account,
        mode=str(rules.settings.mode),
        began_at=state.get("began_at"),
        succeeded_at=succeeded,
        error=str(state.get("error", "")),
        late=succeeded is None or now - datetime.fromisoformat(succeeded) > timedelta(minutes=15),
        ratings_pending=counts.pending,
        records_failed=counts.failed,
        cases_open=counts.open_cases,
        cases_overdue=counts.overdue,
        effects={str(kind): count for kind, count in counts.effects.items()},
        found_late=int(state.get("found_late", 0)),
        quiet_rules=quiet,
    )


def status_text(reports: Sequence[AccountStatus]) -> str:
    """Return the lines that `status` prints."""
    return "\n".join(line for report in reports for line in _lines(report))


def _lines(report: AccountStatus) -> list[str]:
    alive = "never read" if report.succeeded_at is None else f"last read {report.succeeded_at[:19]}Z"
    parked = report.effects.get(str(EffectState.PARKED), 0)
    waiting = report.effects.get(str(EffectState.PLANNED), 0) + report.effects.get(str(EffectState.SENDING), 0)
    lines = [
        f"{report.account}: {report.mode}, {alive}" + (" (LATE)" if report.late else ""),
        f"  {report.cases_open} open cases, {report.cases_overdue} overdue; "
        f"{waiting} effects waiting, {parked} parked; {report.ratings_pending} ratings to decide",
    ]
    if report.error:
        lines.append(f"  last trouble: {report.error}")
    if report.records_failed:
        lines.append(f"  {report.records_failed} records could not be read: recovery-bridge retry --list")
    if report.found_late:
        lines.append(f"  {report.found_late} bad ratings were found only by the daily sweep")
    if report.quiet_rules:
        days = duration(QUIET_AFTER)
        lines.append(f"  no case within {days} by: {', '.join(report.quiet_rules)}")
    return lines
