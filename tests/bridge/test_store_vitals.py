"""Facts about vital signs: pauses found by the database, what is due, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from bridge.model import Category, EffectKind, EffectState, Outcome, Rating
from bridge.silence import Rhythm
from bridge.store import Doings, Store
from tests.bridge.test_store_cases import CASE, EFFECT, ENDED, decision, other

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TIMES = sorted(NOW - timedelta(seconds=Random(5).randrange(90 * 86_400)) for _ in range(200))


def rated(number: int, at: datetime, category: Category = Category.BAD) -> Rating:
    return Rating(f"r{number}", f"t{number}", category, 1, 2, at, at)


def see(store: Store, *times: datetime, source: str = "poll", memory_before: datetime = NOW - 30 * DAY) -> None:
    """Store a rating given at each time, two minutes later."""
    for number, at in enumerate(times):
        found = rated(number, at)
        store.add_ratings("acme", [found], source=source, seen_at=at + 2 * MINUTE, memory_before=memory_before)


# ------------------------------------------------------------------ pauses
def test_the_longest_pause_is_found_among_all_ratings(store: Store) -> None:
    see(store, *Random(1).sample(TIMES, len(TIMES)))

    rhythm = store.rhythm_of_ratings("acme")

    longest = max(later - earlier for earlier, later in pairwise(TIMES))
    assert (rhythm.count, rhythm.first_at, rhythm.last_at) == (len(TIMES), TIMES[0], TIMES[-1])
    assert abs(rhythm.longest - longest) < timedelta(milliseconds=1)


def test_what_came_later_is_asked_for_alone(store: Store) -> None:
    see(store, NOW - 9 * HOUR, NOW - 5 * HOUR, NOW - 3 * HOUR, NOW)

    later = store.rhythm_of_ratings("acme", after=NOW - 5 * HOUR)

    assert (later.count, later.first_at, later.last_at, round(later.longest / HOUR, 6)) == (2, NOW - 3 * HOUR, NOW, 3)


def test_what_agents_asked_for_and_what_others_rated_is_no_sign_of_life(store: Store) -> None:
    see(store, NOW, source="request")
    store.add_ratings("shop", [rated(1, NOW)], source="poll", seen_at=NOW, memory_before=NOW)

    assert store.rhythm_of_ratings("acme") == store.rhythm_of_ratings("acme", NOW - DAY) == Rhythm()


def test_recoveries_have_a_rhythm_too(store: Store) -> None:
    for number, at in enumerate((NOW - 5 * DAY, NOW - DAY, NOW)):
        store.save(decision(other(number, flagged_at=at)))

    assert store.rhythm_of_flags("acme").count == 3
    assert round(store.rhythm_of_flags("acme").longest / DAY, 6) == 4
    assert store.rhythm_of_flags("acme", NOW - DAY) == Rhythm(1, NOW, NOW)


# ------------------------------------------------------------------ what is due
def test_an_idle_account_has_nothing_due(store: Store) -> None:
    assert store.oldest_due("acme", NOW, writes=True) is None


def test_a_rating_is_due_from_when_it_was_seen(store: Store) -> None:
    see(store, NOW - HOUR)

    assert store.oldest_due("acme", NOW, writes=False) == NOW - HOUR + 2 * MINUTE
    store.hold_rating("acme", store.pending("acme", NOW, 1)[0].row_id, "limits", NOW)
    assert store.oldest_due("acme", NOW, writes=False) is None


def test_a_hint_is_due_from_when_it_came(store: Store) -> None:
    store.add_hint("acme", "d1", "7", NOW - HOUR)

    assert store.oldest_due("acme", NOW, writes=False) == NOW - HOUR


def test_a_write_that_waits_for_its_time_or_behind_another_is_not_due(store: Store) -> None:
    asking = replace(EFFECT, effect_id="q1", kind=EffectKind.SURVEY, step="ask", not_before=NOW + HOUR)
    behind = replace(EFFECT, effect_id="w1", step="then")
    store.save(decision(CASE, asking, behind))

    assert store.oldest_due("acme", NOW, writes=True) is None
    assert store.oldest_due("acme", NOW + 3 * HOUR, writes=True) == NOW + HOUR
    assert store.oldest_due("acme", NOW + 3 * HOUR, writes=False) is None  # shadow mode writes nothing


def test_a_case_is_due_when_its_time_has_come(store: Store) -> None:
    store.save(decision(CASE))

    assert store.oldest_due("acme", NOW, writes=True) is None
    assert store.oldest_due("acme", NOW + 2 * HOUR, writes=True) == CASE.due_at


# ------------------------------------------------------------------ what is counted
def test_ratings_are_counted_by_their_rows(store: Store) -> None:
    see(store, NOW - DAY)
    row = store.last_row()
    good = [rated(number, NOW, Category.GOOD) for number in (8, 9)]
    store.add_ratings("acme", good, source="hint", seen_at=NOW, memory_before=NOW - DAY)

    assert store.ratings_stored(0, row) == {("acme", "poll", "bad"): 1}
    assert store.ratings_stored(row, store.last_row()) == {("acme", "hint", "good"): 2}


def test_the_lag_of_ratings_leaves_memory_out(store: Store) -> None:
    see(store, NOW - 2 * HOUR, NOW - HOUR, memory_before=NOW - 90 * MINUTE)

    assert store.rating_lags("acme", NOW - DAY) == [2 * MINUTE]


def test_open_cases_are_counted_by_stage(store: Store) -> None:
    store.save(decision(CASE))
    store.save(decision(replace(ENDED, case_id="k9", ticket_id="9", customer="c9")))

    assert store.open_stages() == {("acme", "assigned"): 1}


def test_effects_are_counted_by_what_became_of_them(store: Store) -> None:
    reminder = replace(EFFECT, effect_id="e2", step="deadline:20261121093000:0", generation=0)
    store.save(decision(CASE, EFFECT, reminder), effect_state=EffectState.APPLIED)

    assert store.effect_states() == {("update", "applied", "acme"): 2}
    assert store.deadlines_missed() == {("acme",): 1}


@pytest.mark.parametrize(
    ("outcome", "ended", "recovered"),
    [(Outcome.RECOVERED, 1, 1), (Outcome.NO_RESPONSE, 1, 0), (Outcome.DISMISSED, 0, 0)],
)
def test_what_was_done_since_a_moment_is_summed_up(store: Store, outcome: Outcome, ended: int, recovered: int) -> None:
    store.save(decision(replace(ENDED, outcome=outcome, version=1)))

    assert store.doings("acme", NOW) == Doings(began=ended, ended=ended, recovered=recovered, effects=0)
    assert store.doings("acme", NOW + DAY) == Doings(0, 0, 0, 0)


def test_a_total_counts_up(store: Store) -> None:
    assert [store.count_up("acme", "conflicts"), store.count_up("acme", "conflicts", 2)] == [1, 3]
    assert store.account_state("acme")["conflicts"] == 3
