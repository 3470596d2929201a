"""Silence: whether an account is quieter than it ever was, judged by the pauses in its own past. Pure.

No number of ours fits a busy shop and a small office, so none is set: weekends and holidays are covered as far as the
past has any. A past that is too short to have had some is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

ENOUGH = 20  # events; of fewer, more than one pause in twenty is the longest so far by mere chance
LONG_ENOUGH = timedelta(days=28)  # from the first to the last: four weekends
AT_LEAST = timedelta(hours=12)  # a busy account must not cry at lunch, nor at night


class Sign(StrEnum):
    """What an account lives by."""

    RATINGS = "ratings"  # customers rate
    FLAGGED = "flagged"  # recoveries begin


@dataclass(frozen=True)
class Rhythm:
    """How often something happened so far, and the longest pause between two times in a row."""

    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    longest: timedelta = timedelta()

    @classmethod
    def read(cls, kept: Mapping[str, Any] | None) -> Self:
        """Return what `as_json` has written; nothing for None."""
        if not kept:
            return cls()
        first_at, last_at = (datetime.fromisoformat(kept[key]) for key in ("first_at", "last_at"))
        return cls(kept["count"], first_at, last_at, timedelta(seconds=kept["longest_s"]))

    def as_json(self) -> dict[str, Any] | None:
        """Return JSON values, None if nothing has happened."""
        if self.first_at is None or self.last_at is None:
            return None
        times = {"first_at": self.first_at.isoformat(), "last_at": self.last_at.isoformat()}
        return {"count": self.count, **times, "longest_s": self.longest.total_seconds()}

    def then(self, later: Rhythm) -> Rhythm:
        """Return this one and what happened after it."""
        if self.last_at is None or later.first_at is None:
            return later if self.last_at is None else self
        longest = max(self.longest, later.first_at - self.last_at, later.longest)
        return Rhythm(self.count + later.count, self.first_at, later.last_at, longest)

    @property
    def is_known(self) -> bool:
        """True if there is enough of a past to tell what is unusual."""
        if self.first_at is None or self.last_at is None:
            return False
        return self.count >= ENOUGH and self.last_at - self.first_at >= LONG_ENOUGH

    def is_broken(self, now: datetime) -> bool:
        """True if this is the longest pause ever, and no short one."""
        if not self.is_known or self.last_at is None:
            return False
        return now - self.last_at > max(self.longest, AT_LEAST)


@dataclass(frozen=True)
class Silence:
    """What does not come any more; *longest* is the longest pause that there was before."""

    sign: Sign
    since: datetime
    longest: timedelta


def silence(ratings: Rhythm, flagged: Rhythm, now: datetime) -> Silence | None:
    """Return the silence of an account, None if it is as lively as ever or too young to say.

    Where no rating arrives, nothing can be flagged: that is one silence, not two.
    """
    for sign, rhythm in ((Sign.RATINGS, ratings), (Sign.FLAGGED, flagged)):
        if rhythm.last_at and rhythm.is_broken(now):
            return Silence(sign, rhythm.last_at, rhythm.longest)
    return None
