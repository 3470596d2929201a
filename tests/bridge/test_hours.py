"""Durations and working time, against a minute-by-minute oracle at every clock change of twelve zones, 2024 to 2030."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from bridge.errors import RulesError
from bridge.hours import ALL_DAY, MIDNIGHT, Calendar, PublicHolidays, parse_duration, show_duration

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
OFFICE = ((time(9), time(18)),)
WEEK = (OFFICE,) * 5 + (((time(10), time(14)),), ())
ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "Europe/Chisinau",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Asuncion",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Australia/Lord_Howe",
)
# openings that clock changes hit: across them, inside them, at midnight, and one that begins in the missing hour
NIGHTS = (
    (((time(0, 30), time(2, 30)), (time(2, 45), MIDNIGHT)),) * 7,
    (((MIDNIGHT, time(1, 15)), (time(1, 45), time(3, 15)), (time(23, 30), MIDNIGHT)),) * 7,
)


def berlin(*wall: int) -> datetime:
    return datetime(*wall, tzinfo=BERLIN)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30m", 30), ("4h", 240), ("2d", 2880), ("2h 30m", 150), ("1d 2h 3m", 1563), (" 90m ", 90), ("0m", 0)],
)
def test_durations_are_numbers_with_units(text: str, minutes: int) -> None:
    assert parse_duration(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "30", "h", "-1h", "1.5h", "30m 2h", "2 h", "1w", "9999d", "1h1h", "٣h"])
def test_anything_else_is_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"30m|at most"):
        parse_duration(text)


def test_durations_are_written_as_they_are_read() -> None:
    assert [show_duration(parse_duration(text)) for text in ("90m", "14d", "1d 2h 3m", "0m")] == [
        "1h 30m",
        "14d",
        "1d 2h 3m",
        "0m",
    ]


def test_thirty_working_minutes_from_friday_evening_end_on_saturday() -> None:
    calendar = Calendar(BERLIN, WEEK)

    assert calendar.add(berlin(2026, 3, 13, 17, 50), timedelta(minutes=30)) == berlin(2026, 3, 14, 10, 20)


def test_a_deadline_that_fits_ends_at_closing_time_not_at_the_next_opening() -> None:
    assert Calendar(BERLIN, WEEK).add(berlin(2026, 3, 9, 17, 30), HOUR / 2) == berlin(2026, 3, 9, 18)


def test_no_time_at_all_ends_where_it_began() -> None:
    sunday = berlin(2026, 3, 15, 12)

    assert Calendar(BERLIN, WEEK).add(sunday, timedelta()) == sunday


def test_people_work_from_opening_until_just_before_closing() -> None:
    calendar = Calendar(BERLIN, WEEK)
    moments = [berlin(2026, 3, 9, 8, 59), berlin(2026, 3, 9, 9), berlin(2026, 3, 9, 17, 59), berlin(2026, 3, 9, 18)]

    assert [calendar.is_open(moment) for moment in moments] == [False, True, True, False]


def test_time_between_counts_only_working_hours_and_never_backwards() -> None:
    calendar = Calendar(BERLIN, WEEK)

    assert calendar.between(berlin(2026, 3, 13, 17), berlin(2026, 3, 16, 10)) == 6 * HOUR
    assert calendar.between(berlin(2026, 3, 16, 10), berlin(2026, 3, 13, 17)) == timedelta()


def test_a_public_holiday_of_the_region_is_skipped() -> None:
    calendar = Calendar(BERLIN, WEEK, PublicHolidays("DE-BE"))  # 8 March is one in Berlin, not in Bavaria
    bavaria = Calendar(BERLIN, (OFFICE,) * 7, PublicHolidays("DE-BY"))

    assert calendar.add(berlin(2027, 3, 7, 12), HOUR) == berlin(2027, 3, 9, 10)
    assert bavaria.add(berlin(2027, 3, 8, 12), HOUR) == berlin(2027, 3, 8, 13)


def test_listed_dates_are_skipped() -> None:
    calendar = Calendar(BERLIN, WEEK, frozenset({date(2026, 3, 10)}))

    assert calendar.add(berlin(2026, 3, 9, 17), 2 * HOUR) == berlin(2026, 3, 11, 10)


def test_an_unknown_region_says_what_to_write() -> None:
    with pytest.raises(RulesError, match='"DE-XX"; write a code like DE or DE-BE'):
        Calendar(BERLIN, WEEK, PublicHolidays("DE-XX")).is_open(berlin(2026, 3, 9, 12))


def test_without_working_hours_time_simply_passes() -> None:
    start = berlin(2026, 3, 28, 20)

    assert Calendar.always(BERLIN).add(start, 12 * HOUR) == start.astimezone(UTC) + 12 * HOUR


@pytest.mark.parametrize("weekly", [((),) * 7, (), (OFFICE,) * 6, (((time(18), time(9)),),) * 7])
def test_hours_that_never_open_are_refused_at_once(weekly: tuple[()]) -> None:
    with pytest.raises(ValueError, match="working hours"):
        Calendar(BERLIN, weekly)


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Calendar.always(BERLIN).is_open(datetime(2026, 3, 9, 12))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        (berlin(2026, 3, 9, 20, 59), berlin(2026, 3, 9, 20, 59)),
        (berlin(2026, 3, 9, 21), berlin(2026, 3, 10, 8)),
        (berlin(2026, 3, 10, 7, 59), berlin(2026, 3, 10, 8)),
        (berlin(2026, 3, 10, 8), berlin(2026, 3, 10, 8)),
        (berlin(2026, 3, 28, 22), berlin(2026, 3, 29, 8)),  # the clock changes in this night
    ],
)
def test_in_quiet_hours_messages_wait_until_the_morning(moment: datetime, until: datetime) -> None:
    assert Calendar(BERLIN, WEEK, quiet=(time(21), time(8))).after_quiet(moment) == until


def test_quiet_hours_may_lie_within_one_day() -> None:
    calendar = Calendar(BERLIN, WEEK, quiet=(time(12), time(13)))

    assert calendar.after_quiet(berlin(2026, 3, 9, 12, 30)) == berlin(2026, 3, 9, 13)
    assert calendar.after_quiet(berlin(2026, 3, 9, 13)) == berlin(2026, 3, 9, 13)


def test_an_hour_that_is_skipped_begins_at_the_change_and_a_double_one_is_the_first() -> None:
    calendar = Calendar(BERLIN, (((time(2, 30), time(5)),),) * 7)

    assert calendar.add(berlin(2026, 3, 29, 0), MINUTE) == datetime(2026, 3, 29, 1, 1, tzinfo=UTC)
    assert calendar.add(berlin(2026, 10, 25, 0), MINUTE) == datetime(2026, 10, 25, 0, 31, tzinfo=UTC)


# ------------------------------------------------------------------ the oracle
@cache
def clock_changes(zone: str) -> list[datetime]:
    """Every moment from 2024 to 2030, in UTC and on the quarter of an hour, at which the offset changes."""
    info, found = ZoneInfo(zone), []
    day, last = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    while day < last:
        if day.astimezone(info).utcoffset() != (day + 24 * HOUR).astimezone(info).utcoffset():
            quarters = (day + quarter * 15 * MINUTE for quarter in range(97))
            found += [
                moment
                for moment in quarters
                if moment.astimezone(info).utcoffset() != (moment - 15 * MINUTE).astimezone(info).utcoffset()
            ]
        day += 24 * HOUR
    return found


def open_minutes(zone: ZoneInfo, weekly: tuple, start: datetime, minutes: int) -> list[bool]:  # type: ignore[type-arg]
    """Walk the wall clock minute by minute: it opens when first reached the beginning, closes when first the end."""
    walls = [(start + number * MINUTE).astimezone(zone).replace(tzinfo=None) for number in range(minutes)]
    opened = [False] * minutes
    days = sorted({wall.date() for wall in walls})
    for day in days:
        for begin, end in weekly[day.weekday()]:
            begins = datetime.combine(day, begin)
            ends = datetime.combine(day + timedelta(days=1) if end == MIDNIGHT else day, end)
            first = next((number for number, wall in enumerate(walls) if wall >= begins), minutes)
            last = next((number for number, wall in enumerate(walls) if wall >= ends), minutes)
            for number in range(first, last):
                opened[number] = True
    return opened


def near_changes(zone: str) -> Iterator[datetime]:
    """The start of a window of ten hours around each clock change, which lies in its middle."""
    yield from (change - 5 * HOUR for change in clock_changes(zone))


@pytest.mark.parametrize("zone", ZONES)
def test_every_clock_change_agrees_with_the_minute_by_minute_oracle(zone: str) -> None:
    info = ZoneInfo(zone)
    for number, start in enumerate(near_changes(zone)):
        weekly = NIGHTS[number % 2]
        calendar = Calendar(info, weekly)
        lead = 26 * 60  # minutes before the window, so that the oracle sees openings begin
        opened = open_minutes(info, weekly, start - lead * MINUTE, lead + 600)[lead:]
        moments = [start + minute * MINUTE for minute in range(600)]

        assert [calendar.is_open(moment) for moment in moments[::7]] == opened[::7], start
        assert calendar.between(start, start + 600 * MINUTE) == sum(opened) * MINUTE, start
        passed = 0
        for minute in range(600):
            passed += opened[minute]
            if opened[minute] and passed % 23 == 1:
                assert calendar.add(start, passed * MINUTE) == start + (minute + 1) * MINUTE, (start, passed)


def test_the_oracle_looks_at_all_clock_changes() -> None:
    assert sum(len(clock_changes(zone)) for zone in ZONES) > 150
    assert len(clock_changes("Europe/Berlin")) == 14


def test_around_the_clock_there_is_no_minute_missing_at_any_change() -> None:
    for zone in ZONES:
        calendar = Calendar(ZoneInfo(zone), (ALL_DAY,) * 7)
        for change in clock_changes(zone):
            assert calendar.between(change - 30 * HOUR, change + 30 * HOUR) == 60 * HOUR, (zone, change)
