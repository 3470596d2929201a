"""The figures of the overview in words, tables and charts. Every share says of how many, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from markupsafe import Markup

from bridge.funnel import OURS, Figures, Funnel, Lag, Share, Slice
from bridge.report import percent
from bridge.show import count
from bridge.web import charts
from bridge.web.dashboard.asked import Selection
from bridge.web.dashboard.said import OUTCOMES, PARTIES, lasted

STEPS = (  # of the funnel, and how each is called
    ("flagged", "Flagged"),
    ("assigned", "Assigned"),
    ("acknowledged", "Acknowledged"),
    ("contacted", "Contacted"),
    ("solved", "Solved"),
    ("surveyed", "Asked again"),
    ("answered", "Answered"),
    ("recovered", "Recovered"),
)


@dataclass(frozen=True)
class Part:
    """A share in words: `38%`, `82 of 214`, `32% to 45%`; *of* is 0 where there is nothing to measure."""

    percent: str
    said: str
    interval: str
    number: int
    of: int
    is_few: bool  # too few to say anything


@dataclass(frozen=True)
class Line:
    """One row of a table of figures: a week, rule, cause, party or group."""

    label: str
    href: str
    flagged: int
    ended: int
    recovery: Part


@dataclass(frozen=True)
class Took:
    """A lag in words."""

    name: str
    whose: str
    count: int
    median: str
    ninth_decile: str


@dataclass(frozen=True)
class Overview:
    """The figures of a period as the page shows them; they stay true for as long as it keeps them."""

    as_of: datetime
    funnel: Funnel
    recovery: Part
    bounds: str
    without: Part
    change: Sequence[tuple[str, int]]
    steps: Sequence[tuple[str, Part]]
    outcomes: Sequence[tuple[str, int]]
    funnel_chart: Markup
    recovery_chart: Markup
    weeks_chart: Markup
    weeks: Sequence[Line]
    rules: Sequence[Line]
    causes: Sequence[Line]
    parties: Sequence[Line]
    groups: Sequence[Line]
    our_lags: Sequence[Took]
    their_lags: Sequence[Took]


def overview(figures: Figures, chosen: Selection, group: Callable[[str], str]) -> Overview:
    """Put figures into words; *chosen* are the cases that their links lead to, *group* names a group."""
    funnel, weeks = figures.funnel, [(_day(one.label), one.funnel) for one in figures.weeks]
    lags = [_took(lag) for lag in figures.lags]
    return Overview(
        as_of=figures.until,
        funnel=funnel,
        recovery=part(funnel.recovery),
        bounds=_bounds(funnel),
        without=part(figures.without_others_fault.recovery),
        change=list(figures.change.items()),
        steps=[(name, part(Share(getattr(funnel, step), funnel.flagged))) for step, name in STEPS],
        outcomes=[(words, n) for outcome, words in OUTCOMES.items() if (n := funnel.outcomes.get(outcome, 0))],
        funnel_chart=_funnel_chart(funnel),
        recovery_chart=_recovery_chart(weeks),
        weeks_chart=_weeks_chart(weeks),
        weeks=[_line(_short(day), one, replace(chosen, week=day).but()) for day, one in reversed(weeks)],
        rules=_lines(figures.rules, {}, lambda rule: replace(chosen, rule=rule).but()),
        causes=_lines(figures.causes, {"": "not known yet"}),
        parties=_lines(figures.parties, {**PARTIES, "": "not known yet"}),
        groups=_lines([replace(one, label=group(one.label)) for one in figures.groups], {}),
        our_lags=[lag for lag in lags if lag.whose == OURS],
        their_lags=[lag for lag in lags if lag.whose != OURS],
    )


# ------------------------------------------------------------------ shares
def part(share: Share) -> Part:
    """Return a share in words."""
    said = f"{share.numerator:,} of {share.denominator:,}"
    if not share.denominator:
        return Part("-", said, "", 0, 0, is_few=True)
    low, high = share.interval
    between = f"{percent(low)} to {percent(high)}"
    return Part(percent(share.value or 0), said, between, share.numerator, share.denominator, share.is_few)


def _bounds(funnel: Funnel) -> str:
    """Say what the recovery would be if all, or none, of whom it is not known were recovered."""
    if not funnel.flagged:
        return ""
    low, high = (percent(share.value or 0) for share in (funnel.lowest, funnel.highest))
    unknown = funnel.highest.numerator - funnel.recovered
    if not unknown:
        return f"Everybody has answered, so {low} it is."
    return f"Of {unknown:,} it is not known, or not yet: {low} if none of them is recovered, {high} if all are."


def _line(label: str, funnel: Funnel, href: str = "") -> Line:
    return Line(label, href, funnel.flagged, funnel.flagged - funnel.open, part(funnel.recovery))


def _lines(
    slices: Sequence[Slice], words: Mapping[str, str], href: Callable[[str], str] = lambda _label: ""
) -> list[Line]:
    return [_line(words.get(one.label, one.label), one.funnel, href(one.label)) for one in slices]


def _took(lag: Lag) -> Took:
    return Took(lag.name, lag.whose, lag.count, lasted(lag.median), lasted(lag.ninth_decile))


# ------------------------------------------------------------------ charts
def _funnel_chart(funnel: Funnel) -> Markup:
    of = funnel.flagged or 1
    bars = [
        charts.Bar(name, n := getattr(funnel, step), f"{n:,}" if step == "flagged" else f"{n:,} ({percent(n / of)})")
        for step, name in STEPS
    ]
    told = "; ".join(f"{bar.label}: {bar.said}" for bar in bars)
    return charts.bars(charts.Words("funnel", "How far the flagged cases came", told), bars)


def _recovery_chart(weeks: Sequence[tuple[date, Funnel]]) -> Markup:
    told = "A point for each week, with its 95% interval; hollow where cases are still open. The table has every week."
    words = charts.Words("recovery", "Recovered of all flagged, by week of flagging", told)
    return charts.points(words, [_point(day, funnel) for day, funnel in weeks])


def _point(day: date, funnel: Funnel) -> charts.Point:
    found = part(funnel.recovery)
    if not found.of:
        return charts.Point(_short(day), None, 0, 0, "")
    low, high = funnel.recovery.interval
    young = f", {funnel.open} still open" if funnel.open else ""
    said = f"week of {_short(day)}: {found.percent} ({found.said}; {found.interval}){young}"
    value = 100 * found.number / found.of
    return charts.Point(_short(day), value, 100 * low, 100 * high, said, young=bool(funnel.open))


def _weeks_chart(weeks: Sequence[tuple[date, Funnel]]) -> Markup:
    told = "A column for each week: recovered, ended otherwise, still open. The table has every week."
    words = charts.Words("weeks", "What became of the cases of each week", told)
    return charts.columns(words, [_column(day, funnel) for day, funnel in weeks])


def _column(day: date, funnel: Funnel) -> charts.Column:
    recovered, still_open = funnel.recovered, funnel.open
    otherwise = max(0, funnel.flagged - recovered - still_open)
    said = f"week of {_short(day)}: {count(funnel.flagged, 'case')}, {recovered} recovered, {still_open} still open"
    return charts.Column(_short(day), (recovered, otherwise, still_open), said)


def _day(label: str) -> date:
    return date.fromisoformat(label)


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"
