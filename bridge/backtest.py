"""The rules against past ratings: who would have been flagged, by which rule, how much work that is, and for whom.

Pure: ratings and what is known of their tickets come in, figures come out. Times of the day are those of the account.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from itertools import pairwise

from bridge.model import Category
from bridge.rules import Facts, Rule, Rules, Verdict
from bridge.rules.schema import SHARE_COUNTS_FROM

AN_HOUR = timedelta(hours=1)
MEMORY = timedelta(days=366)  # how far back bad ratings of a customer are counted


@dataclass(frozen=True)
class Span:
    """A time: from *since* until before *until*."""

    since: datetime
    until: datetime

    @property
    def days(self) -> int:
        """Its length in days, at least one."""
        return max(1, round((self.until - self.since) / timedelta(days=1)))


@dataclass(frozen=True, slots=True)
class Past:
    """A past rating as the rules see it."""

    rating_id: str
    ticket_id: str
    requester_id: str | None
    assignee_id: str | None
    facts: Facts
    is_known: bool  # the facts of its ticket are
    is_closed: bool | None  # its ticket by now; None: not known


@dataclass(frozen=True)
class Judged:
    """What the rules say about a past rating."""

    past: Past
    verdict: Verdict


def judge(rules: Rules, ratings: Iterable[Past]) -> list[Judged]:
    """Let the rules decide about ratings, in their order."""
    return [Judged(past, rules.decide(past.facts)) for past in ratings]


@dataclass
class Figures:
    """What the rules would have done in a time, on one account."""

    ratings: int = 0
    flagged: int = 0
    ignored: int = 0
    no_rule: int = 0
    not_known: int = 0  # a rule might have matched, had the ticket been read
    rules: Counter[str] = field(default_factory=Counter)  # rule or entry of ignore -> ratings that it took
    overlaps: Counter[tuple[str, str]] = field(default_factory=Counter)  # (taken by, would match too) -> ratings
    weeks: dict[date, int] = field(default_factory=dict)  # Monday of each week -> flagged
    agents: Counter[str] = field(default_factory=Counter)  # who held the ticket -> flagged
    busiest_agent_day: tuple[str, date, int] | None = None
    busiest_hour: int = 0
    busiest_day: int = 0
    highest_share: float = 0.0  # of a day's ratings, of days with 30 of them
    closed: tuple[int, int] = (0, 0)  # of the flagged: tickets that are closed by now, and those of which it is known
    good_anyway: tuple[int, int] = (0, 0)  # of the flagged: customers whose next rating was good, and who rated again


def figures(judged: Sequence[Judged], rules: Rules) -> Figures:
    """Count what the rules would have done."""
    zone = rules.settings.timezone
    found = Figures(ratings=len(judged))
    flagged = [one for one in judged if one.verdict.kind == "matched"]
    found.flagged = len(flagged)
    found.ignored = sum(one.verdict.kind == "ignored" for one in judged)
    found.no_rule = len(judged) - found.flagged - found.ignored
    found.rules = Counter(one.verdict.rule.name for one in judged if one.verdict.rule)
    found.not_known = sum(1 for one in judged if not one.past.is_known and rules.could_match(one.past.facts))
    found.overlaps = Counter(pair for one in flagged for pair in _overlaps(one, rules))
    rated, days = [_day(one, zone) for one in judged], [_day(one, zone) for one in flagged]
    found.weeks = _weeks(rated, days)
    found.closed = _share([one.past.is_closed for one in flagged])
    found.good_anyway = _share(list(_next_was_good(judged, flagged)))
    _load(found, flagged, days, rated)
    return found


def _load(found: Figures, flagged: Sequence[Judged], days: Sequence[date], rated: Sequence[date]) -> None:
    """Count the load by the day: *days* are those of the flagged ratings, *rated* those of all."""
    by_agent = Counter((one.past.assignee_id or "", day) for one, day in zip(flagged, days, strict=True))
    by_day = Counter(days)
    found.agents = Counter(one.past.assignee_id or "" for one in flagged)
    if by_agent:
        (agent_id, day), most = by_agent.most_common(1)[0]
        found.busiest_agent_day = agent_id, day, most
    found.busiest_day = max(by_day.values(), default=0)
    found.busiest_hour = busiest([one.past.facts.rated_at for one in flagged], AN_HOUR)
    shares = (by_day[day] / count for day, count in Counter(rated).items() if count >= SHARE_COUNTS_FROM)
    found.highest_share = max(shares, default=0.0)


def _overlaps(one: Judged, rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield the rules below the one that took a rating which would have taken it, too."""
    taken, below = one.verdict.rule, False
    for rule in rules.rules:
        if rule is taken:
            below = True
        elif below and taken and rule.takes(one.past.facts):
            yield taken.name, rule.name


def _next_was_good(judged: Sequence[Judged], flagged: Sequence[Judged]) -> Iterator[bool | None]:
    """Yield, for each flagged rating, whether the customer's next one was good; None if there is none."""
    by_customer: dict[str, list[Past]] = defaultdict(list)
    for one in judged:
        if one.past.requester_id:
            by_customer[one.past.requester_id].append(one.past)
    following = {
        before.rating_id: after.facts.category is Category.GOOD
        for pasts in by_customer.values()
        for before, after in pairwise(pasts)
    }
    yield from (following.get(one.past.rating_id) for one in flagged)


def _share(answers: Sequence[bool | None]) -> tuple[int, int]:
    known = [answer for answer in answers if answer is not None]
    return sum(known), len(known)


def _day(one: Judged, zone: tzinfo) -> date:
    return one.past.facts.rated_at.astimezone(zone).date()


def _weeks(rated: Sequence[date], flagged: Sequence[date]) -> dict[date, int]:
    """Count the flagged of every week from the first rating to the last, also where there are none."""
    if not rated:
        return {}
    counts = Counter(_monday(day) for day in flagged)
    first, last = _monday(min(rated)), _monday(max(rated))
    return {(monday := first + timedelta(weeks=week)): counts[monday] for week in range((last - first).days // 7 + 1)}


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def stops(count: int, limit: int | None) -> str:
    """Return what to add to a count that a limit would not have let pass, else nothing."""
    return ", which would have stopped the account" if limit and count > limit else ""


def busiest(moments: Sequence[datetime], window: timedelta) -> int:
    """Return the most moments that lie within any one *window*; *moments* are in order."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


# ------------------------------------------------------------------ against other rules
@dataclass(frozen=True)
class Difference:
    """A rating about which two files of rules differ: what each says."""

    past: Past
    theirs: str
    ours: str


def differences(ours: Sequence[Judged], theirs: Sequence[Judged]) -> list[Difference]:
    """Return the ratings about which two files say different things; both were given the same ratings."""
    return [
        Difference(one.past, said(other.verdict), said(one.verdict))
        for one, other in zip(ours, theirs, strict=True)
        if said(one.verdict) != said(other.verdict)
    ]


def said(verdict: Verdict) -> str:
    """Say what a verdict comes to: rule, severity and playbook, or why nothing happens."""
    if isinstance(verdict.rule, Rule):
        return f'"{verdict.rule.name}" ({verdict.rule.severity}, {verdict.rule.playbook})'
    return verdict.reason


# ------------------------------------------------------------------ who was let down before
class Badness:
    """Counts the bad ratings of customers as time goes by."""

    def __init__(self) -> None:
        self._times: dict[str, list[datetime]] = defaultdict(list)

    def with_this(self, requester_id: str | None, category: Category, rated_at: datetime) -> tuple[datetime, ...]:
        """Return when a customer rated badly in the year before a rating, with it; ratings come in their order."""
        if requester_id is None:
            return (rated_at,) if category is Category.BAD else ()
        times = self._times[requester_id]
        if category is Category.BAD:
            times.append(rated_at)
        while times and rated_at - times[0] > MEMORY:
            times.pop(0)
        return tuple(times)
