"""Durations, and the hours in which people work: deadlines in working time, exact across clock changes.

An opening time that a clock change skips moves forward to the change; one that happens twice is the first of the two.
Public holidays come from the `holidays` package, imported at the first question.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from bridge.errors import RulesError

MIDNIGHT = time()
ALL_DAY = ((MIDNIGHT, MIDNIGHT),)  # an end of 00:00 is the midnight after
LONGEST = timedelta(days=3650)

Hours = tuple[tuple[time, time], ...]

_ONE_DAY = timedelta(days=1)
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_DURATION = re.compile(r"(?:([0-9]{1,5})d)?\s*(?:([0-9]{1,6})h)?\s*(?:([0-9]{1,7})m)?")


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `30m`, `4h`, `2d` or `2h 30m`.

    Raises ValueError, with the accepted forms in its message, if *text* is anything else or longer than 3650d.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise ValueError(f'"{text}" is not a duration; write it like 30m, 4h, 2d or 2h 30m')
    parts = zip(_UNITS.values(), found.groups(), strict=True)
    total = sum((int(number) * unit for unit, number in parts if number), timedelta())
    if total > LONGEST:
        raise ValueError(f'"{text}" is too long; at most {LONGEST.days}d')
    return total


def show_duration(amount: timedelta) -> str:
    """Write a duration the way `parse_duration` reads it, without its seconds."""
    minutes = int(amount.total_seconds()) // 60
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "m"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0m"


class PublicHolidays:
    """The public holidays of a country or region such as `DE` or `DE-BE`; a date is `in` them or not."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __contains__(self, day: object) -> bool:
        return day in self._days

    @cached_property
    def _days(self) -> Container[object]:
        try:
            return self.load()
        except ValueError as exc:
            raise RulesError([f"settings.holidays: {exc}"]) from exc

    def load(self) -> Container[object]:
        """Load the dates, which takes a tenth of a second; raises ValueError if there is no such place."""
        from holidays import country_holidays

        country, _, region = self.code.partition("-")
        try:
            days: Container[object] = country_holidays(country, subdiv=region or None)
        except NotImplementedError as exc:
            raise ValueError(f'no public holidays are known for "{self.code}"; write a code like DE or DE-BE') from exc
        return days


@dataclass(frozen=True)
class Calendar:
    """When people work: *weekly* holds the hours of Monday to Sunday in local time; none of them on *holidays*.

    Raises ValueError if no hour of any week is ever open, or if an opening does not end after it begins.
    """

    timezone: ZoneInfo
    weekly: tuple[Hours, ...] = (ALL_DAY,) * 7
    holidays: Container[date] = frozenset()
    quiet: tuple[time, time] | None = None

    def __post_init__(self) -> None:
        if len(self.weekly) != 7 or not any(self.weekly):
            raise ValueError("working hours: no day of the week is ever open")
        for start, end in (opening for day in self.weekly for opening in day):
            if end != MIDNIGHT and end <= start:
                raise ValueError(f"working hours: {start:%H:%M}-{end:%H:%M} does not end after it begins")

    @classmethod
    def always(cls, timezone: ZoneInfo) -> Calendar:
        """Return the calendar of people who work around the clock."""
        return cls(timezone)

    def is_open(self, moment: datetime) -> bool:
        """True if people work at this moment."""
        moment = _utc(moment)
        return any(start <= moment < end for start, end in self._first_openings(moment))

    def add(self, start: datetime, amount: timedelta) -> datetime:
        """Return the first moment, in UTC, by which *amount* of working time has passed since *start*."""
        left, moment = amount, _utc(start)
        if left <= timedelta():
            return moment
        for opens, closes in self._openings(moment):
            begins = max(opens, moment)
            if closes - begins >= left:
                return begins + left
            left -= max(closes - begins, timedelta())
        raise AssertionError("openings never end")

    def between(self, start: datetime, end: datetime) -> timedelta:
        """Return the working time from *start* to *end*; nothing if *end* comes first."""
        start, end = _utc(start), _utc(end)
        total = timedelta()
        for opens, closes in self._openings(start):
            if opens >= end:
                break
            total += max(min(closes, end) - max(opens, start), timedelta())
        return total

    def after_quiet(self, moment: datetime) -> datetime:
        """Return the moment itself, in UTC, or the end of the quiet hours that it falls into."""
        quiet = self._quiet_around(moment)
        return quiet[1] if quiet else _utc(moment)

    def before_quiet(self, moment: datetime) -> datetime:
        """Return the moment itself, in UTC, or the beginning of the quiet hours that it falls into."""
        quiet = self._quiet_around(moment)
        return quiet[0] if quiet else _utc(moment)

    def _quiet_around(self, moment: datetime) -> tuple[datetime, datetime] | None:
        """Return when the quiet hours that a moment falls into begin and end, in UTC."""
        if self.quiet is None:
            return None
        moment, (begins, ends) = _utc(moment), self.quiet
        today = moment.astimezone(self.timezone).date()
        for day in (today - _ONE_DAY, today):
            last = day if begins < ends else day + _ONE_DAY
            first, until = self._instant(day, begins), self._instant(last, ends)
            if first <= moment < until:
                return first, until
        return None

    def _first_openings(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the openings near *moment*, until they begin after it."""
        for opens, closes in self._openings(moment):
            yield opens, closes
            if opens > moment:
                return

    def _openings(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield openings in UTC for ever, in order, beginning with the day before *moment*."""
        day = moment.astimezone(self.timezone).date() - _ONE_DAY
        while True:
            if self.weekly[day.weekday()] and day not in self.holidays:
                for start, end in self.weekly[day.weekday()]:
                    last = day + _ONE_DAY if end == MIDNIGHT else day
                    yield self._instant(day, start), self._instant(last, end)
            day += _ONE_DAY

    def _instant(self, day: date, wall: time) -> datetime:
        """Return the first moment, in UTC, at which the clock on the wall shows or has passed this time."""
        local = datetime.combine(day, wall, self.timezone)
        instant = local.astimezone(UTC)
        if instant.astimezone(self.timezone).replace(tzinfo=None) == local.replace(tzinfo=None):
            return instant
        return self._clock_change(local.replace(fold=1).astimezone(UTC), instant)

    def _clock_change(self, before: datetime, after: datetime) -> datetime:
        """Return the second, between these two moments in UTC, from which the later offset holds."""
        offset = after.astimezone(self.timezone).utcoffset()
        while after - before > timedelta(seconds=1):
            middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
            if middle.astimezone(self.timezone).utcoffset() == offset:
                after = middle
            else:
                before = middle
        return after


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)
