"""Is it alive: when each account was last read, what is overdue, parked or failed, and which rules match nothing.

And how the last 30 days went: promises, second questions, goodwill, and what was learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Any

from bridge.model import Case, EffectState, Outcome
from bridge.rules import Rules, in_force
from bridge.show import count, duration, moment, money
from bridge.silence import Rhythm, Sign, Silence
from bridge.store import Spending, Store
from bridge.vigil import in_words, rhythm_in, silence_as_json, silence_in

QUIET_AFTER = timedelta(days=30)  # a rule that matched nothing for so long is named
LATE_AFTER = timedelta(minutes=15)
LATELY = timedelta(days=30)
MOST_CASES = 10_000  # that are looked through for what happened lately
MOST_OVERRIDES = 10  # that are named


@dataclass(frozen=True)
class Lately:
    """How the cases of one account went that were flagged in the last 30 days."""

    cases: int
    promises_open: int
    promises_broken: int
    asked: int
    answered: int
    not_asked: int
    not_asked_mostly: str | None  # the most frequent reason
    ended: int  # without those that were dismissed
    without_a_cause: int  # of them
    goodwill: Mapping[str, Decimal]  # by currency
    overrides: Sequence[tuple[str, str, str]]  # of goodwill: case, amount, reason


def lately(cases: Iterable[Case], spendings: Sequence[Spending]) -> Lately:
    """Return the figures of cases, and of the goodwill that was granted meanwhile."""
    found = list(cases)
    why = Counter(case.not_asked for case in found if case.not_asked)
    ended = [case for case in found if case.outcome not in (None, Outcome.DISMISSED)]
    promised = [case for case in found if case.is_open and case.promise]
    goodwill: dict[str, Decimal] = {}
    for one in spendings:
        goodwill[one.currency] = goodwill.get(one.currency, Decimal()) + one.amount
    return Lately(
        cases=len(found),
        promises_open=sum(case.promise_broken_at is None for case in promised),
        promises_broken=sum(case.promise_broken_at is not None for case in found),
        asked=sum(case.asked_at is not None for case in found),
        answered=sum(case.answer is not None for case in found),
        not_asked=why.total(),
        not_asked_mostly=why.most_common(1)[0][0] if why else None,
        ended=len(ended),
        without_a_cause=sum(case.cause is None for case in ended),
        goodwill=goodwill,
        overrides=[(one.case_id, f"{one.amount} {one.currency}", one.because) for one in spendings if one.because],
    )


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
    silence: Silence | None  # what does not come any more, for longer than ever before
    rhythm: Mapping[Sign, Rhythm]  # what silence is measured by
    rules_refused: str  # why the file as it is now is not used by the process that runs
    ratings_pending: int
    records_failed: int
    cases_open: int
    cases_overdue: int
    effects: Mapping[str, int]
    found_late: int
    missed_by_webhooks: int  # bad ratings that only polls found, while webhooks were expected
    quiet_rules: Sequence[str]
    customers_opted_out: int  # on any account
    last_30_days: Lately

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        times = ("began_at", "succeeded_at", "waits_until")
        rhythm = {sign: (one.as_json() or {}) | {"is_known": one.is_known} for sign, one in self.rhythm.items()}
        heard = {"silence": silence_as_json(self.silence), "rhythm": rhythm}
        named = [dict(zip(("case_id", "amount", "because"), one, strict=True)) for one in self.last_30_days.overrides]
        days = {"last_30_days": asdict(self.last_30_days) | {"overrides": named}}
        return vars(self) | {name: moment(getattr(self, name)) for name in times} | heard | days


def account_status(store: Store, rules: Rules, account: str, now: datetime) -> AccountStatus:
    """Return how one account is."""
    state, counts = store.account_state(account), store.counts(account, now)
    succeeded_at = _time(state.get("succeeded_at"))
    stopped = _time((store.rate_state(account) or {}).get("stopped_until"))
    quiet = [
        rule.name
        for rule in in_force(rules.rules)
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
        silence=silence_in(state),
        rhythm=rhythm_in(state),
        rules_refused=str(state.get("rules_refused", "")),
        ratings_pending=counts.pending,
        records_failed=counts.failed,
        cases_open=counts.open_cases,
        cases_overdue=counts.overdue,
        effects={str(kind): count for kind, count in counts.effects.items()},
        found_late=int(state.get("found_late", 0)),
        missed_by_webhooks=int(state.get("missed_by_webhooks", 0)),
        quiet_rules=quiet,
        customers_opted_out=store.opted_out_count(),
        last_30_days=_lately(store, account, now - LATELY),
    )


def _lately(store: Store, account: str, since: datetime) -> Lately:
    newest_first = store.cases(account=account, limit=MOST_CASES)
    return lately(takewhile(lambda case: case.flagged_at >= since, newest_first), store.spendings(account, since))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def status_text(reports: Sequence[AccountStatus], now: datetime) -> str:
    """Return the lines that `status` prints; a rule is named as quiet if it is so on every account."""
    refused = dict.fromkeys(report.rules_refused for report in reports if report.rules_refused)
    lines = [f"rules.yaml was changed and is NOT used; the rules of before decide: {why}" for why in refused]
    lines += [line for report in reports for line in _lines(report, now)]
    quiet = [name for name in reports[0].quiet_rules if all(name in report.quiet_rules for report in reports)]
    if quiet:
        lines.append(f"rules without a case in the last {duration(QUIET_AFTER)}: {', '.join(quiet)}")
    if reports[0].customers_opted_out:
        lines.append(f"{count(reports[0].customers_opted_out, 'customer')} opted out of being asked again")
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
        lines.append(f"  begins no recovery: {report.held}")
    if report.silence:
        lines.append(f"  SILENT: {in_words(report.silence, now)}")
    if report.error:
        lines.append(f"  last trouble: {report.error}")
    if parked:
        lines.append("  parked effects need a human: recovery-bridge retry --list")
    if report.records_failed:
        lines.append(f"  {count(report.records_failed, 'record')} could not be worked on: recovery-bridge retry --list")
    if report.found_late:
        lines.append(f"  found only by the daily sweep: {count(report.found_late, 'bad rating')}")
    if report.missed_by_webhooks:
        lines.append(f"  found only by polling, no webhook told: {count(report.missed_by_webhooks, 'bad rating')}")
    return [*lines, *_lately_lines(report.last_30_days)]


def _lately_lines(days: Lately) -> Iterator[str]:
    """Yield what happened in the last 30 days, as far as anything did."""
    learned = f" ({days.without_a_cause} without a cause)" if days.without_a_cause else ""
    mostly = f" (mostly: {days.not_asked_mostly})" if days.not_asked_mostly else ""
    if days.cases:
        yield f"  last 30d: {count(days.cases, 'case')}, {days.ended} ended{learned}"
    if days.asked or days.not_asked:
        yield f"  asked again: {days.asked}, answered: {days.answered}, not asked: {days.not_asked}{mostly}"
    if days.promises_open or days.promises_broken:
        yield f"  promises: {days.promises_open} open, {days.promises_broken} broken"
    if days.goodwill:
        yield f"  goodwill: {money(days.goodwill)}, {count(len(days.overrides), 'override')}"
    for case_id, amount, because in days.overrides[:MOST_OVERRIDES]:
        yield f"    case {case_id}: {amount}, because: {because}"
