"""Facts about the funnel and its figures: shares with their doubts, weeks, marks of a case, and adding up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.funnel import (
    DEFINITIONS,
    Counted,
    Figures,
    Funnel,
    Marks,
    Period,
    Share,
    change_of,
    figures,
    funnel_of,
    lag_of,
    marks,
    weeks_back,
    weeks_of,
)
from bridge.model import REQUEST, Answer, Case, Category, Outcome, Severity, Stage

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CASE = Case(
    case_id="k1", account="acme", ticket_id="7", rating_id="31", category=Category.BAD, rating=2, scale_max=5,
    rated_at=NOW - HOUR, flagged_at=NOW, rule="slow", rules_hash="h1", playbook="standard", severity=Severity.HIGH,
    stage=Stage.ASSIGNED, due_at=NOW + HOUR, next_step="acknowledged", reason="matched", original_agent_id="60",
    assignee_id="60", group_id="4",
)  # fmt: skip
NONE = Funnel(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {})


# ------------------------------------------------------------------ shares
@pytest.mark.parametrize(
    ("numerator", "denominator", "low", "high"),
    [
        (18, 100, 0.117, 0.267),  # the example of practice: 12 to 27%
        (18, 24, 0.551, 0.880),  # and what it flatters to: 55 to 88%
        (0, 10, 0.0, 0.278),
        (10, 10, 0.722, 1.0),
        (1, 2, 0.095, 0.905),
        (1, 1, 0.207, 1.0),
    ],
)
def test_the_interval_is_wilsons(numerator: int, denominator: int, low: float, high: float) -> None:
    assert Share(numerator, denominator).interval == pytest.approx((low, high), abs=0.0006)


def test_of_nothing_there_is_no_share() -> None:
    nothing = Share(0, 0)

    assert (nothing.value, nothing.low, nothing.high) == (None, None, None)


@given(st.integers(1, 10_000), st.data())
def test_an_interval_holds_its_share(denominator: int, data: st.DataObject) -> None:
    share = Share(data.draw(st.integers(0, denominator)), denominator)

    assert share.value is not None
    assert 0 <= share.interval[0] <= share.value <= share.interval[1] <= 1


def test_more_cases_leave_less_doubt() -> None:
    widths = [share.interval[1] - share.interval[0] for share in (Share(2, 10), Share(20, 100), Share(200, 1000))]

    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("cases", "few"), [(0, True), (19, True), (20, False)])
def test_of_fewer_than_twenty_nothing_can_be_said(cases: int, few: bool) -> None:
    assert Share(0, cases).is_few is few


def test_the_bounds_take_every_silent_customer_for_lost_or_for_won() -> None:
    funnel = replace(NONE, flagged=100, contacted=60, answered=24, recovered=18)

    assert (funnel.lowest.value, funnel.highest.value) == (0.18, 0.94)


def test_who_was_let_down_twice_may_still_be_won_while_the_case_is_open() -> None:
    funnel = replace(NONE, flagged=10, answered=4, recovered=1, open=2, again=2)

    assert funnel.highest == Share(9, 10)


def test_the_naive_share_is_of_those_that_answered() -> None:
    assert replace(NONE, flagged=100, answered=24, recovered=18).among_answers == Share(18, 24)


def test_everything_that_is_counted_is_defined() -> None:
    counted = set(vars(NONE)) - {"outcomes", "again"}

    assert counted <= set(DEFINITIONS)


# ------------------------------------------------------------------ weeks
def test_a_week_begins_on_monday_at_midnight_of_the_team() -> None:
    assert weeks_back(2, NOW, BERLIN) == datetime(2026, 11, 9, 0, 0, tzinfo=BERLIN)


def test_a_sunday_evening_may_be_a_monday_elsewhere() -> None:
    sunday = datetime(2026, 11, 15, 23, 30, tzinfo=UTC)  # 00:30 on Monday in Berlin

    assert weeks_back(1, sunday, BERLIN).date() == date(2026, 11, 16)


def test_the_week_in_which_the_clock_is_put_back_has_an_hour_more() -> None:
    (_, begins, ends), _ = weeks_of(
        datetime(2026, 10, 19, tzinfo=BERLIN), datetime(2026, 10, 26, 0, 1, tzinfo=BERLIN), BERLIN
    )

    assert ends.astimezone(UTC) - begins.astimezone(UTC) == timedelta(days=7, hours=1)


@given(
    st.timedeltas(-timedelta(days=400), timedelta()).map(NOW.__add__),
    st.timedeltas(timedelta(minutes=1), timedelta(days=100)),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Pacific/Apia"]),
)
def test_weeks_cover_a_period_without_gap_and_overlap(since: datetime, length: timedelta, name: str) -> None:
    weeks = weeks_of(since, since + length, ZoneInfo(name))

    ends = [end.astimezone(UTC) for _, _, end in weeks]
    assert [begin.astimezone(UTC) for _, begin, _ in weeks] == [since, *ends[:-1]]
    assert ends[-1] == since + length
    assert {(later - earlier).days for (earlier, *_), (later, *_) in pairwise(weeks)} <= {7}


# ------------------------------------------------------------------ the marks of a case
def test_milestones_are_seconds_after_the_flagging() -> None:
    marked = marks(replace(CASE, contacted_at=NOW + HOUR, solved_at=NOW + 2 * HOUR))

    assert (marked.flagged_after, marked.contacted_after, marked.solved_after) == (3600, 3600, 7200)
    assert marked.asked_after is None


def test_what_people_did_before_we_flagged_took_no_time() -> None:
    assert marks(replace(CASE, acknowledged_at=NOW - HOUR)).acknowledged_after == 0


def test_a_request_has_no_first_rating_to_measure_from() -> None:
    request = replace(CASE, rating_id=f"{REQUEST}7", answer=Answer(NOW, Category.GOOD, 5, 5))

    assert marks(request).flagged_after is None
    assert marks(request).facts == ("open", "flagged", "open", "assigned", "answered", "recovered")


@pytest.mark.parametrize(("why", "left_out"), [("the ticket is spam", "dismissed"), ("shadow: matched", "shadow")])
def test_what_was_dismissed_has_only_its_labels(why: str, left_out: str) -> None:
    dismissed = replace(CASE, stage=Stage.ENDED, outcome=Outcome.DISMISSED, reason=why, contacted_at=NOW)

    assert marks(dismissed) == Marks(("slow", "", "", "4"), ("dismissed", left_out))


def test_a_label_fits_into_an_index() -> None:
    assert len(marks(replace(CASE, cause="x" * 5000)).labels[1]) == 100


@pytest.mark.parametrize(
    ("answer", "change"),
    [
        (Answer(NOW, Category.GOOD, 1, 2), "better"),  # the category counts, whatever the scale
        (Answer(NOW, Category.NEUTRAL, 3, 5), "better"),
        (Answer(NOW, Category.BAD, 2, 5), "same"),
        (Answer(NOW, Category.BAD, 1, 5), "worse"),  # 2 of 5 before
        (Answer(NOW, Category.BAD, 1, 2), "same"),  # on another scale nobody can tell
    ],
)
def test_words_compare_by_category_then_by_value_on_one_scale(answer: Answer, change: str) -> None:
    assert change_of(replace(CASE, answer=answer)) == change


def test_a_good_word_after_a_neutral_one_is_better_and_a_bad_one_worse() -> None:
    neutral = replace(CASE, category=Category.NEUTRAL, rating=3)
    words = [Answer(NOW, category, value, 5) for category, value in ((Category.GOOD, 4), (Category.BAD, 2))]

    assert [change_of(replace(neutral, answer=word)) for word in words] == ["better", "worse"]


# ------------------------------------------------------------------ adding up
facts = st.lists(st.sampled_from(["flagged", "assigned", "contacted", "answered", "again", "better"]), unique=True)
ends = st.sampled_from(["open", *Outcome])
states = st.dictionaries(st.builds(lambda end, those: " ".join([end, *those]), ends, facts), st.integers(1, 99))
labelled = st.builds(
    lambda state, labels: f"{state} {json.dumps(labels)}",
    st.sampled_from(["open flagged open", "recovered flagged assigned answered recovered", "dismissed shadow"]),
    st.tuples(*[st.sampled_from(["", "a", 'a "quoted" [name]', "product"])] * 4),
)


def made_of(*weeks: Counted) -> Figures:
    days = {date(2026, 11, 2) + timedelta(weeks=number): week for number, week in enumerate(weeks)}
    return figures(Period(NOW, NOW + HOUR, ["acme"]), days, [])


def counted(labelled: Mapping[str, int], rated_bad: int = 0) -> Counted:
    states: Counter[str] = Counter()
    for text, number in labelled.items():
        states[text.partition(" [")[0]] += number
    return Counted(rated_bad, states, labelled, [])


@settings(max_examples=30)
@given(states)
def test_every_case_has_ended_somehow_is_open_or_was_dismissed(found: dict[str, int]) -> None:
    funnel = funnel_of(found)
    rest = sum(number for state, number in found.items() if state.split()[0] in ("open", "dismissed"))

    assert sum(funnel.outcomes.values()) + rest == sum(found.values())
    assert funnel.flagged == sum(number for state, number in found.items() if "flagged" in state.split())


@settings(max_examples=30)
@given(st.lists(st.dictionaries(labelled, st.integers(1, 99)), max_size=4))
def test_every_way_to_cut_holds_all_that_was_flagged(weeks: list[dict[str, int]]) -> None:
    made = made_of(*[counted(week) for week in weeks])

    for slices in (made.weeks, made.rules, made.causes, made.parties, made.groups):
        assert sum(one.funnel.flagged for one in slices) == made.funnel.flagged
        assert sum(one.funnel.recovered for one in slices) == made.funnel.recovered
    flagged = [one.funnel.flagged for one in made.rules]
    assert flagged == sorted(flagged, reverse=True)


def test_what_others_have_to_answer_for_is_left_out_beside_the_whole() -> None:
    parties = ("service", "product", "policy", "third_party", "")
    found = {f"open flagged open {json.dumps(['slow', '', party, ''])}": 1 for party in parties}

    made = made_of(counted(found))

    assert (made.funnel.flagged, made.without_others_fault.flagged) == (5, 2)


def test_bad_ratings_come_from_the_weeks() -> None:
    assert made_of(counted({}, rated_bad=3), counted({}, rated_bad=4)).funnel.rated_bad == 7


@pytest.mark.parametrize(
    ("lengths", "median", "ninth"), [([5], 5, 5), ([1, 2], 1, 2), (range(1, 101), 50, 90), (range(1, 12), 6, 10)]
)
def test_lags_of_several_weeks_are_exact(lengths: Sequence[int], median: int, ninth: int) -> None:
    lag = lag_of("flagged to solved", "team", [lengths[::2], [], lengths[1::2]])

    assert (lag.median, lag.ninth_decile) == (timedelta(seconds=median), timedelta(seconds=ninth))


def test_a_lag_of_nothing_is_not_measured() -> None:
    assert lag_of("flagged to solved", "team", [[]]).median is None
