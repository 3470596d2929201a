"""When a message to staff may leave and in which list, against a minute-by-minute oracle around clock changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.hours import Calendar
from bridge.messages import LIST_GROWS_FOR, bundle_of, when_to_tell
from bridge.model import Severity
from tests.bridge.test_hours import BERLIN, ZONES, berlin, clock_changes
from tests.bridge.test_store_cases import CASE

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NINE = time(9)
WAITING = replace(CASE, severity=Severity.NORMAL)
FLOOD = replace(CASE, incident="Outage", severity=Severity.CRITICAL)
NIGHT = Calendar(BERLIN, quiet=(time(21), time(8)))
ALWAYS = Calendar.always(BERLIN)
CLOCK = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@pytest.mark.parametrize("severity", [Severity.HIGH, Severity.CRITICAL])
@pytest.mark.parametrize("digest", [None, NINE])
def test_what_is_severe_waits_for_quiet_hours_alone(severity: Severity, digest: time | None) -> None:
    case = replace(CASE, severity=severity)
    noon, night = berlin(2026, 3, 9, 12), berlin(2026, 3, 9, 23)

    assert (when_to_tell(case, digest, NIGHT, noon), bundle_of(case, digest, NIGHT, noon)) == (None, None)
    assert (when_to_tell(case, digest, NIGHT, night), bundle_of(case, digest, NIGHT, night)) == (
        berlin(2026, 3, 10, 8),
        None,
    )


@pytest.mark.parametrize("severity", [Severity.LOW, Severity.NORMAL])
def test_without_a_digest_everything_is_told_at_once(severity: Severity) -> None:
    noon = berlin(2026, 3, 9, 12)

    assert when_to_tell(replace(CASE, severity=severity), None, NIGHT, noon) is None


@pytest.mark.parametrize(
    ("now", "leaves_at"),
    [
        (berlin(2026, 3, 9, 8, 59), berlin(2026, 3, 9, 9)),
        (berlin(2026, 3, 9, 9), berlin(2026, 3, 9, 9)),
        (berlin(2026, 3, 9, 9, 1), berlin(2026, 3, 10, 9)),
        (berlin(2026, 3, 28, 23), berlin(2026, 3, 29, 9)),  # the clock changes in this night
        (berlin(2026, 10, 24, 23), berlin(2026, 10, 25, 9)),
    ],
)
def test_a_digest_leaves_at_its_time_of_day(now: datetime, leaves_at: datetime) -> None:
    assert when_to_tell(WAITING, NINE, NIGHT, now) == leaves_at
    assert bundle_of(WAITING, NINE, NIGHT, now) == f"digest:{leaves_at.date()}"


@pytest.mark.parametrize(
    ("now", "leaves_at"),
    [
        (berlin(2026, 3, 9, 20), berlin(2026, 3, 10, 8)),
        (berlin(2026, 3, 9, 23, 30), berlin(2026, 3, 10, 8)),  # its time has passed, but it has not left yet
        (berlin(2026, 3, 10, 7, 59), berlin(2026, 3, 10, 8)),
        (berlin(2026, 3, 10, 8, 1), berlin(2026, 3, 11, 8)),
    ],
)
def test_a_digest_in_quiet_hours_leaves_at_their_end(now: datetime, leaves_at: datetime) -> None:
    assert when_to_tell(WAITING, time(22), NIGHT, now) == leaves_at
    assert bundle_of(WAITING, time(22), NIGHT, now) == f"digest:{leaves_at.date()}"


def test_a_time_that_the_clock_skips_is_the_change_and_a_double_one_the_first() -> None:
    digest = time(2, 30)

    assert when_to_tell(WAITING, digest, ALWAYS, berlin(2026, 3, 28, 12)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert when_to_tell(WAITING, digest, ALWAYS, berlin(2026, 10, 24, 12)) == first
    assert when_to_tell(WAITING, digest, ALWAYS, first + MINUTE) == berlin(2026, 10, 26, 2, 30)


def test_the_date_of_a_digest_is_that_of_its_reader() -> None:
    auckland = Calendar.always(ZoneInfo("Pacific/Auckland"))

    assert bundle_of(WAITING, NINE, auckland, datetime(2026, 3, 9, 12, tzinfo=UTC)) == "digest:2026-03-10"


def test_the_alerts_of_an_incident_leave_as_one_list_each_quarter_of_an_hour() -> None:
    moments = [berlin(2026, 3, 9, 12, minute) for minute in (0, 1, 14)]

    assert {when_to_tell(FLOOD, None, NIGHT, moment) for moment in moments} == {berlin(2026, 3, 9, 12, 15)}
    assert when_to_tell(FLOOD, None, NIGHT, berlin(2026, 3, 9, 12, 15)) == berlin(2026, 3, 9, 12, 30)
    assert {bundle_of(FLOOD, None, NIGHT, moment) for moment in moments} == {"incident:Outage"}


def test_an_incident_in_the_night_is_one_list_in_the_morning() -> None:
    assert when_to_tell(FLOOD, None, NIGHT, berlin(2026, 3, 9, 20, 50)) == berlin(2026, 3, 10, 8)
    assert when_to_tell(FLOOD, None, NIGHT, berlin(2026, 3, 10, 3)) == berlin(2026, 3, 10, 8)


def test_an_incident_that_can_wait_is_part_of_the_digest() -> None:
    case, noon = replace(FLOOD, severity=Severity.LOW), berlin(2026, 3, 9, 12)

    assert when_to_tell(case, NINE, NIGHT, noon) == berlin(2026, 3, 10, 9)
    assert bundle_of(case, NINE, NIGHT, noon) == "digest:2026-03-10"


# ------------------------------------------------------------------ the oracle
def first_minute(digest: time, zone: ZoneInfo, now: datetime) -> datetime:
    """Walk the wall clock minute by minute: a day's digest is due when the wall first shows or has passed its time."""
    minute = now - 3 * HOUR  # no clock is put back further than that
    highest = minute.astimezone(zone).replace(tzinfo=None)
    while True:
        minute += MINUTE
        wall = minute.astimezone(zone).replace(tzinfo=None)
        due = datetime.combine(wall.date(), digest)
        if highest < due <= wall and minute >= now:
            return minute
        highest = max(highest, wall)


@settings(deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    change=st.integers(0, 99),
    hours=st.integers(-30, 30),
    minutes=st.integers(0, 59),
    digest=CLOCK,
)
def test_around_clock_changes_every_digest_agrees_with_the_oracle(
    zone: str, change: int, hours: int, minutes: int, digest: time
) -> None:
    changes, info = clock_changes(zone), ZoneInfo(zone)
    now = changes[change % len(changes)] + timedelta(hours=hours, minutes=minutes)

    leaves_at = when_to_tell(WAITING, digest, Calendar.always(info), now) or now

    assert leaves_at == first_minute(digest, info, now)


@settings(deadline=None)
@given(
    now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    digest=st.none() | CLOCK,
    quiet=st.none() | st.tuples(CLOCK, CLOCK).filter(lambda both: both[0] != both[1]),
    severity=st.sampled_from(Severity),
    incident=st.sampled_from([None, "Outage"]),
)
def test_nothing_is_late_lost_or_said_in_quiet_hours(
    now: datetime, digest: time | None, quiet: tuple[time, time] | None, severity: Severity, incident: str | None
) -> None:
    case, calendar = replace(CASE, severity=severity, incident=incident), Calendar(BERLIN, quiet=quiet)

    leaves_at = when_to_tell(case, digest, calendar, now) or now

    assert now <= leaves_at <= now + 2 * DAY + LIST_GROWS_FOR
    assert calendar.after_quiet(leaves_at) == leaves_at
    bundle = bundle_of(case, digest, calendar, now)
    assert bundle in (None, "incident:Outage", f"digest:{leaves_at.astimezone(BERLIN).date()}")


def test_berlin_has_its_digest_once_a_day() -> None:
    moments = [berlin(2026, 10, 20, 12) + number * 6 * 60 * MINUTE for number in range(40)]

    leaving = {when_to_tell(WAITING, NINE, ALWAYS, moment) for moment in moments}

    days = [leaves_at.astimezone(BERLIN).date() for leaves_at in sorted(filter(None, leaving))]
    assert days == [date(2026, 10, 21) + number * DAY for number in range(len(days))]
