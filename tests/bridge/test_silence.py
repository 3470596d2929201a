"""When an account counts as silent: tables, and what holds for every past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.silence import AT_LEAST, ENOUGH, LONG_ENOUGH, Rhythm, Sign, Silence, silence

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOTHING = Rhythm()
PAUSES = st.lists(st.integers(0, 5 * 86_400).map(lambda s: timedelta(seconds=s)), max_size=60)


def heard(*times: datetime) -> Rhythm:
    """Return the rhythm of these times."""
    if not times:
        return NOTHING
    longest = max((later - earlier for earlier, later in pairwise(times)), default=timedelta())
    return Rhythm(len(times), times[0], times[-1], longest)


def after(pauses: list[timedelta]) -> list[datetime]:
    return list(accumulate(pauses, initial=START))


def every(pause: timedelta, until: timedelta = 60 * DAY) -> Rhythm:
    return heard(*after([pause] * (until // pause)))


def weekdays(weeks: int = 8) -> list[datetime]:
    """Four ratings each working day, none at weekends."""
    days = [START + number * DAY for number in range(7 * weeks)]
    return [day + 2 * hour * HOUR for day in days if day.weekday() < 5 for hour in range(4)]


OFFICE = heard(*weekdays())  # its last rating is of a Friday, 14:00
FRIDAY = weekdays()[-1]


@pytest.mark.parametrize(
    ("rhythm", "quiet_for", "is_silent"),
    [
        (every(HOUR), 12 * HOUR, False),  # busy: lunch and night are no silence
        (every(HOUR), 12 * HOUR + timedelta(seconds=1), True),
        (OFFICE, 2 * DAY + 18 * HOUR, False),  # every weekend
        (OFFICE, 3 * DAY, True),  # Monday, when everybody has been at work for long
        (every(10 * DAY, 300 * DAY), 9 * DAY, False),  # a small account takes its time
        (every(10 * DAY, 300 * DAY), 11 * DAY, True),
        (every(DAY, 27 * DAY), 20 * DAY, False),  # not four weekends yet
        (every(2 * DAY, 36 * DAY), 20 * DAY, False),  # 19 ratings are too few
        (NOTHING, 99 * DAY, False),
    ],
)
def test_an_account_is_silent_for_longer_than_it_ever_was(
    rhythm: Rhythm, quiet_for: timedelta, is_silent: bool
) -> None:
    assert rhythm.is_broken((rhythm.last_at or START) + quiet_for) is is_silent


def test_a_silence_says_since_when_and_what_was_usual() -> None:
    found = silence(OFFICE, NOTHING, FRIDAY + 4 * DAY)

    assert found == Silence(Sign.RATINGS, FRIDAY, 2 * DAY + 18 * HOUR)


def test_ratings_of_which_none_is_flagged_are_a_silence_of_their_own() -> None:
    flagged = every(DAY)
    ratings = every(HOUR, 65 * DAY)

    found = silence(ratings, flagged, START + 65 * DAY)

    assert found is not None
    assert (found.sign, found.since) == (Sign.FLAGGED, flagged.last_at)


def test_where_no_rating_arrives_nothing_can_be_flagged_and_that_is_one_silence() -> None:
    found = silence(every(HOUR), every(DAY), START + 90 * DAY)

    assert found is not None
    assert found.sign is Sign.RATINGS


# ------------------------------------------------------------------ whatever the past was
@given(PAUSES, st.timedeltas(timedelta(), timedelta(days=40)))
def test_silence_is_never_cried_too_early(pauses: list[timedelta], quiet_for: timedelta) -> None:
    times = after(pauses)
    rhythm = heard(*times)

    if rhythm.is_broken(times[-1] + quiet_for):
        assert quiet_for > AT_LEAST
        assert quiet_for > max(pauses)
        assert len(times) >= ENOUGH
        assert times[-1] - times[0] >= LONG_ENOUGH


@given(PAUSES)
def test_an_account_with_a_past_is_silent_in_the_end(pauses: list[timedelta]) -> None:
    rhythm = heard(*after(pauses))

    assert rhythm.is_broken(after(pauses)[-1] + 6 * DAY) is rhythm.is_known


@given(PAUSES, st.integers(0, 60))
def test_what_is_heard_bit_by_bit_is_what_is_heard_at_once(pauses: list[timedelta], cut: int) -> None:
    times = after(pauses)

    assert heard(*times[:cut]).then(heard(*times[cut:])) == heard(*times)


@given(PAUSES)
def test_a_rhythm_that_was_put_down_is_read_back(pauses: list[timedelta]) -> None:
    rhythm = heard(*after(pauses))

    assert Rhythm.read(rhythm.as_json()) == rhythm
    assert Rhythm.read(NOTHING.as_json()) == NOTHING
