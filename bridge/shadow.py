"""What shadow mode would have done since it began: from the store alone, nothing is asked of a helpdesk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from bridge import show
from bridge.backtest import busiest, stops
from bridge.model import Case, Effect, EffectState
from bridge.rules import Rules
from bridge.store import Store

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Shadow:
    """One recovery that shadow mode decided about, and what it would have done."""

    case: Case
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class ShadowReport:
    """What shadow mode would have done on one account since *began_at*; None if it is not in shadow mode."""

    account: str
    began_at: datetime | None
    shadows: tuple[Shadow, ...]  # oldest first
    rules: Rules
    names: show.Names

    def as_text(self) -> str:
        """Return the report as lines for a terminal."""
        zone = self.rules.settings.timezone
        if self.began_at is None:
            return f"{self.account}: has not run in shadow mode yet"
        begin = f"{self.account}: shadow mode, ratings since {show.local(self.began_at, zone)}"
        lines = [f"{begin}: {_recoveries(len(self.shadows))}, nothing was written"]
        for shadow in self.shadows:
            case = shadow.case
            lines.append(
                f"  {show.local(case.flagged_at, zone)}  ticket {case.ticket_id}: {case.severity}, {case.reason}"
            )
            lines += [f"      {show.what(effect, self.names)}" for effect in shadow.effects]
        return "\n".join(lines + (self._sums() if self.shadows else []))

    def _sums(self) -> list[str]:
        cases = [shadow.case for shadow in self.shadows]
        agents = Counter(self.names.agent(case.assignee_id) for case in cases)
        lines = ["  by rule: " + _counts(Counter(case.rule for case in cases))]
        lines.append("  by first owner: " + _counts(agents))
        limits = self.rules.limits
        for what, window, limit in (("hour", AN_HOUR, limits.tickets_per_hour), ("day", A_DAY, limits.tickets_per_day)):
            most = busiest([case.flagged_at for case in cases], window)
            said = f"limit {limit}" if limit else "no limit"
            lines.append(f"  busiest {what}: {_recoveries(most)} ({said}{stops(most, limit)})")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "account": self.account,
            "began_at": show.moment(self.began_at),
            "recoveries": [
                {**show.case_json(one.case), "would_do": [show.what(effect, self.names) for effect in one.effects]}
                for one in self.shadows
            ],
        }


def shadow_report(store: Store, rules: Rules, account: str) -> ShadowReport:
    """Return what shadow mode has decided about an account since it was last switched on."""
    state = store.account_state(account)
    names = show.names_of(store, account)
    if state.get("mode") != "shadow":
        return ShadowReport(account, None, (), rules, names)
    began_at = datetime.fromisoformat(state["acts_from"])
    found = [one for one in store.unfinished_effects(account, began_at) if one.state is EffectState.SHADOW]
    found.sort(key=lambda one: one.effect.case_id)
    effects = {key: tuple(one.effect for one in group) for key, group in groupby(found, lambda one: one.effect.case_id)}
    cases = [case for case in store.cases(account=account) if case.case_id in effects]
    shadows = tuple(Shadow(case, effects[case.case_id]) for case in reversed(cases))
    return ShadowReport(account, began_at, shadows, rules, names)


def limits_in_words(rules: Rules) -> str:
    """Return the limits that always hold, in one line."""
    return ", ".join(f"{name} {value}" for name, value in rules.document.data.get("limits", {}).items()) or "none"


def _recoveries(number: int) -> str:
    return "1 recovery" if number == 1 else f"{number} recoveries"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())
