"""Is it alive: when each account was last read, what is overdue, parked or failed, and which rules match nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.model import EffectState
from bridge.rules import Rules
from bridge.show import count, duration, moment
from bridge.store import Store

QUIET_AFTER = timedelta(days=30)  # a rule that matched nothing for so long is named
LATE_AFTER = timedelta(minutes=15)


@dataclass(frozen=True)
class AccountStatus:
    """The figures of one account; times are None where it has not happened yet."""

    account: str
    mode: str
    began_at: datetime | None
    succeeded_at: datetime | None
    error: str
    late: bool
    waits_until: datetime | None  # told to stay away by the helpdesk, or our share of its limit is used up
    held: str  # why a limit stopped the account; empty if none did
    ratings_pending: int
    records_failed: int
    cases_open: int
    cases_overdue: int
    effects: Mapping[str, int]
    found_late: int
    quiet_rules: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        times = ("began_at", "succeeded_at", "waits_until")
        return vars(self) | {name: moment(getattr(self, name)) for name in times}


def account_status(store: Store, rules: Rules, account: str, now: datetime) -> AccountStatus:
    """Return how one account is."""
    state, counts = store.account_state(account), store.counts(account, now)
    succeeded_at = _time(state.get("succeeded_at"))
    stopped = _time((store.rate_state(account) or {}).get("stopped_until"))
    quiet = [
        rule.name
        for rule in rules.rules
        if not (found := counts.rules.get(rule.name)) or now - found.last_flagged_at > QUIET_AFTER
    ]
    return AccountStatus(
        account=account,
        mode=str(rules.settings.mode),
        began_at=_time(state.get("began_at")),
        succeeded_at=succeeded_at,
        error=str(state.get("error", "")),
        late=succeeded_at is None or now - succeeded_at > LATE_AFTER,
        waits_until=stopped if stopped and stopped > now else None,
        held=str(state.get("held", "")),
        ratings_pending=counts.pending,
        records_failed=counts.failed,
        cases_open=counts.open_cases,
        cases_overdue=counts.overdue,
        effects={str(kind): count for kind, count in counts.effects.items()},
        found_late=int(state.get("found_late", 0)),
        quiet_rules=quiet,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def status_text(reports: Sequence[AccountStatus], now: datetime) -> str:
    """Return the lines that `status` prints; a rule is named as quiet if it is so on every account."""
    lines = [line for report in reports for line in _lines(report, now)]
    quiet = [name for name in reports[0].quiet_rules if all(name in report.quiet_rules for report in reports)]
    if quiet:
        lines.append(f"rules without a case in the last {duration(QUIET_AFTER)}: {', '.join(quiet)}")
    return "\n".join(lines)


def _lines(report: AccountStatus, now: datetime) -> list[str]:
    alive = "never read" if report.succeeded_at is None else f"read {duration(now - report.succeeded_at)} ago"
    parked = report.effects.get(str(EffectState.PARKED), 0)
    waiting = report.effects.get(str(EffectState.PLANNED), 0) + report.effects.get(str(EffectState.SENDING), 0)
    lines = [
        f"{report.account}: {report.mode}, {alive}" + (" (LATE: does cron or systemd still run it?)" * report.late),
        f"  {count(report.cases_open, 'open case')}, {report.cases_overdue} overdue; "
        f"{count(waiting, 'effect')} waiting, {parked} parked; {count(report.ratings_pending, 'rating')} to decide",
    ]
    if report.waits_until:
        lines.append(f"  the helpdesk asked us to wait: {duration(report.waits_until - now)} to go")
    if report.held:
        lines.append(f"  begins no recovery: {report.held} {report.account}")
    if report.error:
        lines.append(f"  last trouble: {report.error}")
    if parked:
        lines.append("  parked effects need a human: recovery-bridge retry --list")
    if report.records_failed:
        lines.append(f"  {count(report.records_failed, 'record')} could not be worked on: recovery-bridge retry --list")
    if report.found_late:
        lines.append(f"  found only by the daily sweep: {count(report.found_late, 'bad rating')}")
    return lines
