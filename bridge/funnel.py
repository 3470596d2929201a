"""The recovery funnel and its honest figures: how far cases came, of how many, and how sure that is.

Pure. Definitions and their traps: every share names its denominator; the headline counts all that was flagged, whether
or not anybody answered (intention to treat); its interval is Wilson's (1927), at 95%. The store puts the `Marks` of a
case beside it, and adds them up.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta, tzinfo
from math import ceil, sqrt

from bridge.model import Case, Category, Outcome

Z = 1.959963984540054  # 95 % of a normal distribution lie so many standard deviations around its mean
FEW = 20  # cases; of fewer nothing can be said
SHADOW = "shadow: "  # begins the reason of a case that shadow mode decided about
BETTER, SAME, WORSE = "better", "same", "worse"
OURS, TEAM, CUSTOMER = "ours", "team", "customer"
OTHERS = frozenset({"product", "policy", "third_party"})  # parties that the service does not answer for
LONGEST_LABEL = 100  # characters, as of a name in rules.yaml: together they must fit into an index

DEFINITIONS: Mapping[str, str] = {
    "rated_bad": "bad ratings of the period, whatever became of them; not those from before the bridge began to act",
    "flagged": "recoveries begun, also for neutral ratings and at agents' requests; the shares are of all of them",
    "assigned": "of the flagged: an agent had it",
    "acknowledged": "of the flagged: its owner did something on the ticket, at any time",
    "contacted": "of the flagged: a person wrote to the customer, at any time",
    "solved": "of the flagged: its ticket was solved, at any time",
    "surveyed": "of the flagged: the customer was asked again",
    "answered": "of the flagged: the customer rated again, asked or not",
    "recovered": "of the flagged: the customer's last word is good; a case that people closed as recovered is none",
    "dismissed": "left out everywhere: the rating was withdrawn, or the ticket was deleted, merged or spam",
    "shadow": "left out everywhere: shadow mode decided about it, and nobody acted",
    "open": "of the flagged: not ended yet; a young week has many of them, and is no bad week for that",
    "recovery_rate": "recovered of all flagged, with its interval of 95 % (Wilson)",
    "bounds": "of all flagged: lowest, if nobody is recovered who has not answered; highest, if all of them are, and "
    "everybody whose case is still open",
    "among_answers": "recovered of those that answered: it flatters, because content customers answer more often",
    "without_others_fault": "the same without cases whose cause lies with product, policy or a third party",
    "change": "of those that answered and had rated before: better or worse by good, neutral and bad; within one of "
    "these by value, where both are on one scale",
    "lags": "each from the first time that it happened; median and ninth decile of the cases in which it did",
}
CAUTION = (
    "No group without a recovery is compared here, and many customers would rate better the next time anyway: "
    "read this as association, not effect."
)


# ------------------------------------------------------------------ shares
@dataclass(frozen=True)
class Share:
    """So many of so many."""

    numerator: int
    denominator: int

    @property
    def value(self) -> float | None:
        """The share, None where there is nothing to share."""
        return self.numerator / self.denominator if self.denominator else None

    @property
    def interval(self) -> tuple[float, float]:
        """Within which the true share lies with 95 % confidence; from 0 to 1 where there is nothing to share."""
        n = self.denominator
        if not n:
            return 0.0, 1.0
        p = self.numerator / n
        middle, spread = p + Z * Z / (2 * n), Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        low, high = ((middle + way) / (1 + Z * Z / n) for way in (-spread, spread))
        return (max(0.0, low) if self.numerator else 0.0), (min(1.0, high) if self.numerator < n else 1.0)

    @property
    def low(self) -> float | None:
        """The lower end of the interval, None where there is nothing to share."""
        return self.interval[0] if self.denominator else None

    @property
    def high(self) -> float | None:
        """The upper end."""
        return self.interval[1] if self.denominator else None

    @property
    def is_few(self) -> bool:
        """True if it is of too few to say anything."""
        return self.denominator < FEW


# ------------------------------------------------------------------ what is counted
@dataclass(frozen=True)
class Funnel:
    """How far the cases of a period came; each step counts those that ever reached it."""

    rated_bad: int | None  # ratings of the period that the helpdesk calls bad; None of a rule, cause, party or group
    flagged: int  # recoveries begun, without those that were dismissed
    assigned: int
    acknowledged: int
    contacted: int
    solved: int
    surveyed: int
    answered: int
    recovered: int  # the second rating is good
    dismissed: int  # left out above: rating withdrawn, ticket deleted or merged, spam
    open: int  # of the flagged, those that have not ended: their end is not known yet
    outcomes: Mapping[Outcome, int]  # of those that ended
    shadow: int = 0  # left out above: decided about in shadow mode
    again: int = 0  # of the answered, those that are open in a second attempt

    @property
    def recovery(self) -> Share:
        """Recovered, of all flagged."""
        return Share(self.recovered, self.flagged)

    @property
    def among_answers(self) -> Share:
        """Recovered, of those that answered: naive, because content customers answer more often."""
        return Share(self.recovered, self.answered)

    @property
    def lowest(self) -> Share:
        """Recovered of all flagged, if nobody is who has not answered."""
        return self.recovery

    @property
    def highest(self) -> Share:
        """Recovered of all flagged, if everybody is who has not answered or whose case is open."""
        lost = self.answered - self.recovered - self.again
        return Share(self.flagged - lost, self.flagged)


@dataclass(frozen=True)
class Lag:
    """How long something took. *whose* it is to answer for: ours, the team's, the customer's."""

    name: str
    whose: str
    count: int  # cases that are measured
    median: timedelta | None
    ninth_decile: timedelta | None


@dataclass(frozen=True)
class Slice:
    """The funnel of one week, rule, cause, party or group; *label* is the day of its Monday, a name, an id, or ""."""

    label: str
    funnel: Funnel


@dataclass(frozen=True)
class Figures:
    """What dashboard and report show of the cases flagged from *since* (included) to *until*."""

    since: datetime
    until: datetime
    accounts: Sequence[str]
    funnel: Funnel
    without_others_fault: Funnel  # without cases whose cause is product, policy or third party
    change: Mapping[str, int]  # of those that answered: better, same, worse than the first rating, on a common scale
    lags: Sequence[Lag]
    weeks: Sequence[Slice]  # by the Monday of their flagging, the oldest first; a week without cases is there too
    rules: Sequence[Slice]  # these four: most cases first
    causes: Sequence[Slice]  # "" for not known yet
    parties: Sequence[Slice]
    groups: Sequence[Slice]  # labels are group ids; "" for none


def monday(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def weeks_back(number: int, now: datetime, zone: tzinfo) -> datetime:
    """Return the Monday, at midnight in *zone*, with which so many weeks begin of which this one is the last."""
    first = monday(now.astimezone(zone).date()) - timedelta(weeks=number - 1)
    return datetime.combine(first, time(), zone)


def weeks_of(since: datetime, until: datetime, zone: tzinfo) -> list[tuple[date, datetime, datetime]]:
    """Return the weeks that a period touches, each with its Monday there and its part of the period."""
    found = []
    day = monday(since.astimezone(zone).date())
    while (begins := datetime.combine(day, time(), zone)) < until:
        following = day + timedelta(weeks=1)
        found.append((day, max(begins, since), min(datetime.combine(following, time(), zone), until)))
        day = following
    return found


# ------------------------------------------------------------------ one case
@dataclass(frozen=True)
class Marks:
    """What figures count of one case. Times are whole seconds after its flagging, or None; none if it was dismissed."""

    labels: tuple[str, str, str, str]  # rule, cause, party, group; "" for none
    facts: tuple[str, ...]  # its end or `open`; then the fields of Funnel that count it, but milestones; its change
    flagged_after: int | None = None  # after the rating
    acknowledged_after: int | None = None
    contacted_after: int | None = None
    solved_after: int | None = None
    asked_after: int | None = None
    answered_after: int | None = None


def marks(case: Case) -> Marks:
    """Return what figures count of a case as it is."""

    def after(at: datetime | None) -> int | None:
        return None if at is None else seconds(at - case.flagged_at)

    rule, cause, party, group = (text[:LONGEST_LABEL] for text in _labels(case))
    none = Marks((rule, cause, party, group), ("dismissed", "shadow" if is_shadow(case) else "dismissed"))
    if case.outcome is Outcome.DISMISSED:
        return none
    return replace(
        none,
        facts=tuple(_facts(case)),
        flagged_after=None if case.is_request else seconds(case.flagged_at - case.rated_at),
        acknowledged_after=after(case.acknowledged_at),
        contacted_after=after(case.contacted_at),
        solved_after=after(case.solved_at),
        asked_after=after(case.asked_at),
        answered_after=after(case.answer.at) if case.answer else None,
    )


def _facts(case: Case) -> Iterator[str]:
    yield str(case.outcome or "open")
    yield "flagged"
    if case.is_open:
        yield "open"
    if case.assigned_at or case.assignee_id:
        yield "assigned"
    if case.answer is None:
        return
    yield "answered"
    if case.answer.category is Category.GOOD:
        yield "recovered"
    elif case.is_open:
        yield "again"
    if change := change_of(case):
        yield change


def _labels(case: Case) -> tuple[str, str, str, str]:
    return case.rule, case.cause or "", case.party or "", case.group_id or ""


def is_shadow(case: Case) -> bool:
    """True for a case that shadow mode decided about: nobody acted."""
    return case.outcome is Outcome.DISMISSED and case.reason.startswith(SHADOW)


def seconds(length: timedelta) -> int:
    """Return a length of time in whole seconds; what seems to have come first took none."""
    return max(0, round(length.total_seconds()))


def change_of(case: Case) -> str | None:
    """Compare the customer's last word with the first; None without either.

    Values compare on one scale only: 2 of 5 says nothing else than the bad one of two thumbs.
    """
    last = case.answer
    if last is None or case.is_request:
        return None
    values = (last.value, case.rating) if last.scale_max == case.scale_max else (0, 0)
    if last.category.is_better_than(case.category):
        return BETTER
    if case.category.is_better_than(last.category):
        return WORSE
    return BETTER if values[0] > values[1] else WORSE if values[0] < values[1] else SAME


# ------------------------------------------------------------------ many cases
States = Mapping[str, int]  # how many cases have these facts, milestones among them, with blanks between


@dataclass(frozen=True)
class Counted:
    """What was counted in a week, or in its part of a period."""

    rated_bad: int
    states: States
    labelled: States  # the same by facts and then labels, a JSON list of these four
    lags: Sequence[Sequence[int]]  # the seconds of each lag, sorted


_NUMBERS = tuple(one.name for one in fields(Funnel) if one.name not in ("rated_bad", "outcomes"))
_ENDS: list[Outcome] = [outcome for outcome in Outcome if outcome is not Outcome.DISMISSED]


def facts_of(states: States) -> Counter[str]:
    """Count in how many cases each fact is true."""
    found: Counter[str] = Counter()
    for state, number in states.items():
        for fact in state.split()[1:]:
            found[fact] += number
    return found


def funnel_of(states: States, rated_bad: int | None = None) -> Funnel:
    """Return the funnel of these cases."""
    facts, ends = facts_of(states), Counter[str]()
    for state, number in states.items():
        ends[state.partition(" ")[0]] += number
    outcomes: dict[Outcome, int] = {outcome: ends[outcome] for outcome in _ENDS if ends[outcome]}
    return Funnel(rated_bad=rated_bad, outcomes=outcomes, **{name: facts[name] for name in _NUMBERS})


def by_labels(labelled: States) -> dict[tuple[str, ...], Counter[str]]:
    """Return the facts of the cases by their four labels."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text, number in labelled.items():
        state, _, labels = text.partition(" [")
        found[labels][state] = number
    return {tuple(json.loads(f"[{labels}")): states for labels, states in found.items()}


def by_label(found: Mapping[tuple[str, ...], States], place: int) -> dict[str, Counter[str]]:
    """Return the facts of the cases of each rule, cause, party or group, by its place among these."""
    states: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for labels, those in found.items():
        states[labels[place]].update(those)
    return states


def slices(states: Mapping[str, States]) -> list[Slice]:
    """Return a funnel for each label; most cases first, and none without cases."""
    found = [Slice(label, funnel_of(those)) for label, those in states.items()]
    return sorted((one for one in found if one.funnel.flagged), key=lambda one: (-one.funnel.flagged, one.label))


def together(states: Iterable[States]) -> Counter[str]:
    """Add up."""
    found: Counter[str] = Counter()
    for one in states:
        found.update(one)
    return found


def lag_of(name: str, whose: str, lengths: Sequence[Sequence[int]]) -> Lag:
    """Return how long something took, from sorted seconds of its cases; the exact values, nearest rank."""
    number = sum(map(len, lengths))
    if not number:
        return Lag(name, whose, 0, None, None)

    def rank(part: float) -> timedelta:
        return timedelta(seconds=_nth(lengths, ceil(part * number)))

    return Lag(name, whose, number, rank(0.5), rank(0.9))


def _nth(lists: Sequence[Sequence[int]], rank: int) -> int:
    """Return the smallest value that so many are not above; none of the lists has to be put together for that."""
    most = max(one[-1] for one in lists if one)
    return bisect_left(range(most), rank, key=lambda value: sum([bisect_right(one, value) for one in lists]))


@dataclass(frozen=True)
class Period:
    """The cases that were flagged in a time on these accounts."""

    since: datetime
    until: datetime
    accounts: Sequence[str]


def figures(period: Period, weeks: Mapping[date, Counted], lags: Sequence[tuple[str, str]]) -> Figures:
    """Put the figures of a period together from what was counted; *lags*: of each its name, and whose it is."""
    counted = list(weeks.values())
    found = by_labels(together(one.labelled for one in counted))
    rules, causes, parties, groups = (by_label(found, place) for place in range(4))
    everything = together(one.states for one in counted)
    facts = facts_of(everything)
    return Figures(
        **vars(period),
        funnel=funnel_of(everything, sum(one.rated_bad for one in counted)),
        without_others_fault=funnel_of(together(those for party, those in parties.items() if party not in OTHERS)),
        change={change: facts[change] for change in (BETTER, SAME, WORSE)},
        lags=[lag_of(*lag, [one.lags[place] for one in counted]) for place, lag in enumerate(lags)],
        weeks=[Slice(f"{day}", funnel_of(one.states, one.rated_bad)) for day, one in weeks.items()],
        rules=slices(rules),
        causes=slices(causes),
        parties=slices(parties),
        groups=slices(groups),
    )
