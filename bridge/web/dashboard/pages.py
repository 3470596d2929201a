"""What each page shows, read from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.funnel import CAUTION, DEFINITIONS, FEW, weeks_back
from bridge.web.dashboard.asked import PERIODS, Period, Query, Selection
from bridge.web.dashboard.cases import Row, Rows
from bridge.web.dashboard.desk import DashDesk, Kept
from bridge.web.dashboard.health import (
    Alert,
    Limit,
    Stuck,
    alerts,
    limits,
    read_condition,
    stuck_effects,
    stuck_records,
)
from bridge.web.dashboard.overview import Overview
from bridge.web.dashboard.said import OUTCOMES, Moment

MOST_URGENT = 20
PER_PAGE = 50
WEEKS_OFFERED = 26

Options = Sequence[tuple[str, str]]  # value and words


# ------------------------------------------------------------------ the overview
@dataclass(frozen=True)
class OverviewPage:
    """The page that is opened every morning."""

    period: Period
    periods: Sequence[int]
    accounts: Sequence[str]
    since: Moment
    as_of: Moment
    alerts: Sequence[Alert]
    figures: Overview
    open: Sequence[Row]
    open_count: int
    late_count: int
    all_open: str
    quiet_since: Moment | None
    limits: Sequence[Limit]
    definitions: Sequence[tuple[str, str]]
    caution: str = CAUTION
    few: int = FEW


def overview_page(desk: DashDesk, kept: Kept, query: Query) -> OverviewPage:
    """Return what the overview shows."""
    rules, clock = desk.rules(), desk.clock()
    period = Period.read(query, rules.accounts)
    figures, condition = kept.of(period), read_condition(desk.store, rules)
    urgent = desk.store.open_by_urgency(period.account, MOST_URGENT)
    open_count, late_count = desk.store.open_counts(period.account, clock.now)
    newest = None if urgent else next(iter(desk.store.cases(account=period.account, limit=1)), None)
    rows = Rows(desk.names(*{case.account for case in urgent}), desk.link, clock)
    return OverviewPage(
        period=period,
        periods=PERIODS,
        accounts=list(rules.accounts),
        since=clock.day(weeks_back(period.weeks, clock.now, clock.zone)),
        as_of=clock.hour(figures.as_of),
        alerts=alerts(condition, clock),
        figures=figures,
        open=[rows.row(case) for case in urgent],
        open_count=open_count,
        late_count=late_count,
        all_open=Selection(account=period.account).but(),
        quiet_since=clock.hour(newest.rated_at) if newest else None,
        limits=limits(desk.store, rules, condition, clock),
        definitions=[(name.replace("_", " "), meaning) for name, meaning in DEFINITIONS.items()],
    )


# ------------------------------------------------------------------ cases
@dataclass(frozen=True)
class CasesPage:
    """One page of a list of cases, and what it can be narrowed down to."""

    chosen: Selection
    rows: Sequence[Row]
    count: int
    noun: str
    pages: int
    before: str
    after: str
    is_filtered: bool
    accounts: Options
    rules: Options
    outcomes: Options
    weeks: Options


def cases_page(desk: DashDesk, query: Query) -> CasesPage:
    """Return one page of the cases that an address asks for."""
    rules, clock = desk.rules(), desk.clock()
    chosen = Selection.read(query, rules.accounts)
    which = chosen.which(clock.zone)
    found, number = desk.store.cases_page(which, PER_PAGE, PER_PAGE * (chosen.page - 1)), desk.store.cases_count(which)
    pages = max(1, -(-number // PER_PAGE))
    rows = Rows(desk.names(*{case.account for case in found}), desk.link, clock)
    return CasesPage(
        chosen=chosen,
        rows=[rows.row(case) for case in found],
        count=number,
        noun="case" if number == 1 else "cases",
        pages=pages,
        before=chosen.but(page=min(chosen.page - 1, pages)) if chosen.page > 1 else "",
        after=chosen.but(page=chosen.page + 1) if chosen.page < pages else "",
        is_filtered=chosen != Selection(state="all"),
        accounts=[("", "all"), *((name, name) for name in rules.accounts)],
        rules=_rules(chosen, [rule.name for rule in rules.rules]),
        outcomes=[("", "whatever"), *((str(one), words) for one, words in OUTCOMES.items())],
        weeks=_weeks(chosen, desk),
    )


def _rules(chosen: Selection, names: Sequence[str]) -> Options:
    """Return the rules of today, and the one that is chosen, which may be gone."""
    known = dict.fromkeys([*names, *([chosen.rule] if chosen.rule else [])])
    return [("", "all"), *((name, name) for name in known)]


def _weeks(chosen: Selection, desk: DashDesk) -> Options:
    clock = desk.clock()
    this = weeks_back(1, clock.now, clock.zone).date()
    known = [this - timedelta(weeks=number) for number in range(WEEKS_OFFERED)]
    if chosen.week and chosen.week not in known:
        known.append(chosen.week)
    return [("", "all"), *((f"{day}", f"{day.day} {day:%b %Y}") for day in known)]


# ------------------------------------------------------------------ work for people
@dataclass(frozen=True)
class WorkPage:
    """What only a person can do."""

    held: dict[str, str]
    limits: Sequence[Limit]
    parked: Sequence[Stuck]
    parked_count: int
    failed: Sequence[Stuck]
    failed_count: int


def work_page(desk: DashDesk) -> WorkPage:
    """Return what waits for a person."""
    rules, clock = desk.rules(), desk.clock()
    found = read_condition(desk.store, rules)
    return WorkPage(
        held=dict(found.held),
        limits=limits(desk.store, rules, found, clock),
        parked=stuck_effects(found.parked, desk.names(*{one.effect.account for one in found.parked}), clock),
        parked_count=len(found.parked),
        failed=stuck_records(found.failures, clock),
        failed_count=len(found.failures),
    )
