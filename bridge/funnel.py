"""The recovery funnel and its honest figures: how far cases came, of how many, and how sure that is.

Pure. Definitions and their traps: every share names its denominator; the headline counts all that was flagged, whether
or not anybody answered (intention to treat); its interval is Wilson's (1927), at 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from bridge.model import Outcome


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    numerator: int
    denominator: int


@dataclass(frozen=True)
class Funnel:
    """How far the cases of a period came; each step counts those that ever reached it."""

    rated_bad: int  # ratings of the period that the helpdesk calls bad, whatever became of them
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

    @property
    def recovery(self) -> Share:
        """Recovered, of all flagged."""
        return Share(self.recovered, self.flagged)


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
    """The funnel of one week, rule, cause or group; *label* is for people."""

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
    rules: Sequence[Slice]
    causes: Sequence[Slice]  # "" for not known yet
    parties: Sequence[Slice]
    groups: Sequence[Slice]  # labels are group ids; "" for none


def monday(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())
