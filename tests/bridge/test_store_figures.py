"""Facts about figures and lists in the store: what SQL adds up is what a plain count of the cases finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bridge.funnel import Figures, Funnel, change_of, is_shadow, lag_of, monday, weeks_back
from bridge.model import (
    Answer,
    Audit,
    Case,
    Category,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Outcome,
    Rating,
    Severity,
    Stage,
)
from bridge.show import by_urgency
from bridge.store import Saving, Store, Which
from bridge.store.figures import Weeks
from tests.many_cases import UNTIL, some_cases

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)  # a Wednesday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SINCE, TO = weeks_back(2, NOW, BERLIN), NOW + 2 * DAY
CASE = Case(
    case_id="k1", account="acme", ticket_id="7", rating_id="31", category=Category.BAD, rating=1, scale_max=5,
    rated_at=NOW - 90 * MINUTE, flagged_at=NOW - HOUR, rule="slow", rules_hash="h1", playbook="standard",
    severity=Severity.HIGH, stage=Stage.ASSIGNED, due_at=NOW + HOUR, next_step="acknowledged", reason="matched",
    original_agent_id="60", assignee_id="60", group_id="4", version=1,
)  # fmt: skip


def save(store: Store, *cases: Case) -> None:
    """Store cases as new ones, or as the next version of those that are there."""
    audits = [Audit(one.flagged_at, one.account, one.ticket_id, "flagged", one.reason, one.case_id) for one in cases]
    store.save_all(
        [
            Saving(Decision(audit, case), expected_version=case.version - 1 or None)
            for audit, case in zip(audits, cases, strict=True)
        ]
    )


def look(store: Store, *accounts: str) -> Figures:
    return store.figures(accounts or ("acme", "shop"), SINCE, TO, BERLIN)


def ended(outcome: Outcome, why: str = "because", **changes: Any) -> Case:
    closed: dict[str, Any] = {"stage": Stage.ENDED, "due_at": None, "ended_at": NOW, "version": 2}
    return replace(CASE, **closed | changes, outcome=outcome, reason=why)


# ------------------------------------------------------------------ against a plain count
def recount(cases: Iterable[Case]) -> Funnel:
    """Count cases one by one."""
    found = list(cases)
    live = [case for case in found if case.outcome is not Outcome.DISMISSED]

    def holds(fact: Callable[[Case], object]) -> int:
        return sum(bool(fact(case)) for case in live)

    shadows = sum(is_shadow(case) for case in found)
    return Funnel(
        rated_bad=None,
        flagged=len(live),
        assigned=holds(lambda case: case.assignee_id),
        acknowledged=holds(lambda case: case.acknowledged_at),
        contacted=holds(lambda case: case.contacted_at),
        solved=holds(lambda case: case.solved_at),
        surveyed=holds(lambda case: case.asked_at),
        answered=holds(lambda case: case.answer),
        recovered=holds(lambda case: case.answer and case.answer.category is Category.GOOD),
        dismissed=len(found) - len(live) - shadows,
        open=holds(lambda case: case.is_open),
        outcomes=dict(Counter(case.outcome for case in live if case.outcome)),
        shadow=shadows,
    )


def lengths(cases: Iterable[Case], begins: str, ends: str) -> list[int]:
    times = [(getattr(case, begins), getattr(case, ends)) for case in cases]
    return [round((end - begin).total_seconds()) for begin, end in times if begin and end]


def test_figures_are_those_of_a_plain_count(store: Store) -> None:
    cases = list(some_cases(250))
    save(store, *[replace(case, version=1) for case in cases])
    since = UNTIL - timedelta(weeks=51)

    made = store.figures(["acme", "shop"], since, UNTIL, BERLIN)

    counted = [case for case in cases if since <= case.flagged_at < UNTIL]
    live = [case for case in counted if case.outcome is not Outcome.DISMISSED]
    assert replace(made.funnel, rated_bad=None) == recount(counted)
    assert made.without_others_fault == recount(case for case in counted if case.party in (None, "service"))
    assert made.change == dict(Counter(word for case in live if (word := change_of(case))))
    named = {"rules": "rule", "causes": "cause", "parties": "party", "groups": "group_id"}
    for slices, name in named.items():
        for one in getattr(made, slices):
            assert one.funnel == recount(case for case in counted if (getattr(case, name) or "") == one.label)
    for week in made.weeks:
        there = [case for case in counted if f"{monday(case.flagged_at.astimezone(BERLIN).date())}" == week.label]
        assert replace(week.funnel, rated_bad=None) == recount(there)
    lags = {lag.name: lag for lag in made.lags}
    for name in ("acknowledged", "contacted", "solved"):
        key = f"flagged to {name}"
        assert lags[key] == lag_of(key, "team", [sorted(lengths(live, "flagged_at", f"{name}_at"))])


def test_a_week_without_cases_is_there_too(store: Store) -> None:
    save(store, CASE)

    assert [(week.label, week.funnel.flagged) for week in look(store).weeks] == [("2026-11-09", 0), ("2026-11-16", 1)]


def test_of_other_accounts_and_times_nothing_counts(store: Store) -> None:
    early = replace(CASE, case_id="k2", ticket_id="8", flagged_at=SINCE - MINUTE)
    save(store, CASE, early)

    assert look(store).funnel.flagged == 1
    assert look(store, "shop").funnel.flagged == 0


# ------------------------------------------------------------------ what was reached stays
def test_a_case_that_begins_anew_keeps_what_it_has_reached(store: Store) -> None:
    asked = replace(CASE, contacted_at=NOW, solved_at=NOW, asked_at=NOW)
    save(store, CASE)
    save(store, replace(asked, version=2))
    bad = Answer(NOW + 2 * HOUR, Category.BAD, 1, 5)

    save(store, replace(CASE, attempt=2, answer=bad, version=3))

    funnel = look(store).funnel
    assert (funnel.contacted, funnel.solved, funnel.surveyed, funnel.answered, funnel.again) == (1, 1, 1, 1, 1)


def test_lags_are_of_the_first_time(store: Store) -> None:
    save(store, CASE)
    for version, changes in enumerate(
        ({"contacted_at": NOW}, {"contacted_at": None}, {"contacted_at": NOW + 9 * HOUR}), start=2
    ):
        save(store, replace(CASE, version=version, **changes))

    (contacted,) = (lag for lag in look(store).lags if lag.name == "flagged to contacted")
    assert (contacted.count, contacted.median) == (1, HOUR)


def test_an_answer_is_measured_from_the_question_though_a_second_attempt_forgets_that(store: Store) -> None:
    save(store, CASE)
    save(store, replace(CASE, asked_at=NOW, version=2))

    save(store, replace(CASE, attempt=2, answer=Answer(NOW + 2 * HOUR, Category.BAD, 1, 5), version=3))

    (answered,) = (lag for lag in look(store).lags if lag.name == "asked to answered")
    assert (answered.count, answered.median) == (1, 2 * HOUR)


def test_an_answer_before_any_question_took_no_time_of_the_customer(store: Store) -> None:
    save(store, replace(CASE, asked_at=NOW, answer=Answer(NOW - MINUTE, Category.GOOD, 5, 5)))

    assert [lag.count for lag in look(store).lags if lag.whose == "customer"] == [0]


@pytest.mark.parametrize(("why", "left_out"), [("the ticket is spam", (1, 0)), ("shadow: matched", (0, 1))])
def test_a_case_that_is_dismissed_counts_nowhere(store: Store, why: str, left_out: tuple[int, int]) -> None:
    save(store, replace(CASE, contacted_at=NOW))

    save(store, ended(Outcome.DISMISSED, why, contacted_at=NOW))

    made = look(store)
    assert (made.funnel.dismissed, made.funnel.shadow) == left_out
    assert (made.funnel.flagged, made.funnel.contacted, made.funnel.assigned) == (0, 0, 0)
    assert {lag.count for lag in made.lags} == {0}


def test_who_closes_a_case_as_recovered_makes_nobody_content(store: Store) -> None:
    save(store, CASE)
    save(store, ended(Outcome.RECOVERED, "closed by hand"))

    funnel = look(store).funnel
    assert (funnel.recovered, funnel.outcomes) == (0, {Outcome.RECOVERED: 1})


def test_a_long_rule_name_in_every_script_can_be_counted(store: Store) -> None:
    names = {"rule": "\N{OWL}" * 100, "cause": "\N{OWL}" * 5000, "party": "service", "group_id": "4"}

    save(store, replace(CASE, **names))

    assert look(store).causes[0].label == "\N{OWL}" * 100


def test_giving_the_ticket_back_is_ours_to_answer_for(store: Store) -> None:
    flag = Effect("e1", "k1", "acme", "7", EffectKind.UPDATE, "flag")
    audit = Audit(CASE.flagged_at, "acme", "7", "flagged", "because", "k1")
    store.save_all([Saving(Decision(audit, CASE, (flag,)))])
    (claim,) = store.claim("acme", NOW, limit=1, lease=HOUR)

    store.finish(claim, EffectState.APPLIED, audit=replace(audit, at=CASE.flagged_at + MINUTE, what="applied"))

    (given_back,) = (lag for lag in look(store).lags if lag.name == "flagged to given back")
    assert (given_back.count, given_back.median, given_back.whose) == (1, MINUTE, "ours")


# ------------------------------------------------------------------ weeks that are kept
def test_weeks_that_are_kept_give_the_same_figures_whatever_happens_between(store: Store) -> None:
    found = [replace(case, version=1) for case in some_cases(120, within=timedelta(weeks=6))]
    since, weeks, of = UNTIL - timedelta(weeks=5), Weeks(), ["acme", "shop"]
    save(store, *found[:100])
    for case in found[:100:9]:
        store.figures(of, since, UNTIL, BERLIN, weeks)

        save(store, replace(case, cause="Tone", contacted_at=case.contacted_at or UNTIL, version=2))

        assert store.figures(of, since, UNTIL, BERLIN, weeks) == store.figures(of, since, UNTIL, BERLIN)
    save(store, *found[100:])
    assert store.figures(of, since, UNTIL, BERLIN, weeks) == store.figures(of, since, UNTIL, BERLIN)


def test_a_week_that_is_kept_hears_of_a_bad_rating(store: Store) -> None:
    weeks = Weeks()
    kept = [store.figures(["acme"], SINCE, TO, BERLIN, weeks)]

    add(store, rated("1"))

    kept.append(store.figures(["acme"], SINCE, TO, BERLIN, weeks))
    assert [made.funnel.rated_bad for made in kept] == [0, 1]


def test_a_week_that_is_kept_hears_of_a_ticket_that_was_given_back(store: Store) -> None:
    weeks, flag = Weeks(), Effect("e1", "k1", "acme", "7", EffectKind.UPDATE, "flag")
    audit = Audit(CASE.flagged_at, "acme", "7", "flagged", "because", "k1")
    store.save_all([Saving(Decision(audit, CASE, (flag,)))])
    store.figures(["acme"], SINCE, TO, BERLIN, weeks)
    (claim,) = store.claim("acme", NOW, limit=1, lease=HOUR)

    store.finish(claim, EffectState.APPLIED, audit=replace(audit, at=CASE.flagged_at + MINUTE, what="applied"))

    made = store.figures(["acme"], SINCE, TO, BERLIN, weeks)
    assert [lag.count for lag in made.lags if lag.name == "flagged to given back"] == [1]


def test_weeks_of_one_account_are_kept_beside_those_of_all(store: Store) -> None:
    save(store, CASE, replace(CASE, case_id="k2", account="shop"))
    weeks = Weeks()

    found = [store.figures(of, SINCE, TO, BERLIN, weeks).funnel.flagged for of in (["acme", "shop"], ["acme"])]

    assert found == [2, 1]


# ------------------------------------------------------------------ bad ratings
def rated(rating_id: str, category: Category = Category.BAD, **changes: Any) -> Rating:
    given: dict[str, Any] = {"value": 1, "scale_max": 5, "rated_at": NOW, "updated_at": NOW}
    return Rating(rating_id, f"t{rating_id}", category, **given | changes)


def add(store: Store, *ratings: Rating, source: str = "poll") -> None:
    store.add_ratings("acme", ratings, source=source, seen_at=NOW, memory_before=SINCE)


def test_bad_ratings_count_whatever_became_of_them(store: Store) -> None:
    add(store, rated("1"), rated("2", Category.GOOD), rated("3", Category.NEUTRAL), rated("4", rated_at=SINCE + DAY))

    assert look(store).funnel.rated_bad == 2
    assert [week.funnel.rated_bad for week in look(store).weeks] == [1, 1]


def test_a_bad_rating_that_is_changed_counts_once(store: Store) -> None:
    add(store, rated("1"))
    add(store, rated("1", comment="Still bad", updated_at=NOW + MINUTE))
    add(store, rated("1", Category.GOOD, value=5, updated_at=NOW + HOUR))

    assert look(store).funnel.rated_bad == 1


def test_ratings_from_before_the_bridge_acts_do_not_count(store: Store) -> None:
    add(store, rated("1"), source="import")

    assert look(store).funnel.rated_bad == 0


# ------------------------------------------------------------------ lists
@pytest.fixture
def cases(store: Store) -> list[Case]:
    """Sixty cases, a third of them open, newest first."""
    found = [replace(case, version=1) for case in some_cases(60, within=timedelta(weeks=5))]
    save(store, *found)
    return found[::-1]


@pytest.mark.parametrize("account", [None, "acme"])
def test_the_most_urgent_come_first(store: Store, cases: list[Case], account: str | None) -> None:
    still_open = [case for case in by_urgency(cases) if case.is_open and account in (None, case.account)]

    assert store.open_by_urgency(account, 10) == still_open[:10]
    assert store.open_by_urgency(account, 10, offset=3) == still_open[3:13]


def test_open_cases_that_are_due_at_the_same_time_come_newest_first(store: Store) -> None:
    same = [replace(CASE, case_id=f"k{n}", ticket_id=f"{n}", flagged_at=NOW + n * MINUTE) for n in range(3)]
    save(store, *same, replace(CASE, case_id="orphan", ticket_id="9", due_at=None))

    assert [case.case_id for case in store.open_by_urgency(None, 9)] == ["k2", "k1", "k0", "orphan"]


def test_open_cases_are_counted_with_those_overdue(store: Store, cases: list[Case]) -> None:
    due = [case.due_at for case in cases if case.is_open and case.due_at]

    assert store.open_counts(None, UNTIL) == (len(due), sum(at <= UNTIL for at in due))
    assert store.open_counts("nobody", UNTIL) == (0, 0)


@pytest.mark.parametrize(
    ("which", "fits"),
    [
        (Which(), lambda case: True),
        (Which(is_open=False), lambda case: not case.is_open),
        (Which("acme", is_open=True), lambda case: case.is_open and case.account == "acme"),
        (Which(outcome=Outcome.STOPPED), lambda case: case.outcome is Outcome.STOPPED),
        (Which(rule="VIP"), lambda case: case.rule == "VIP"),
        (Which(since=UNTIL - 14 * DAY, until=UNTIL - DAY), lambda case: DAY < UNTIL - case.flagged_at <= 14 * DAY),
    ],
)  # fmt: skip
def test_a_page_holds_the_cases_that_were_asked_for(
    store: Store, cases: list[Case], which: Which, fits: Callable[[Case], bool]
) -> None:
    wanted = [case for case in cases if fits(case)]

    assert store.cases_page(which, 100) == wanted
    assert store.cases_count(which) == len(wanted) > 0


def test_pages_put_together_are_the_whole_list(store: Store, cases: list[Case]) -> None:
    pages = [store.cases_page(Which(), 25, offset) for offset in (0, 25, 50)]

    assert [case for page in pages for case in page] == cases


def test_many_cases_are_the_same_each_time() -> None:
    assert list(islice(some_cases(100), 5)) == list(islice(some_cases(100), 5))
