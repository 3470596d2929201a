"""Facts about cases in the store: saving decisions all or nothing, compare-and-set, and the questions about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest

from bridge.model import (
    Answer,
    Audit,
    Case,
    Category,
    Change,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    LadderStep,
    Outcome,
    Rating,
    RatingPage,
    Severity,
    Stage,
    SurveyWay,
)
from bridge.store import RuleCount, Saving, StaleCase, Store

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
CASE = Case(
    case_id="k1", account="acme", ticket_id="7", rating_id="31", category=Category.BAD, rating=1, scale_max=2,
    rated_at=NOW - HOUR, flagged_at=NOW, rule="slow", rules_hash="h1", playbook="standard", severity=Severity.HIGH,
    stage=Stage.ASSIGNED, due_at=NOW + HOUR, next_step="escalate to the group", reason="rated bad, 'slow'",
    original_agent_id="60", assignee_id="60", group_id="4", customer="c1",
    ladder=(LadderStep("original_agent", "60", "handled the ticket"),), version=1,
)  # fmt: skip
CHANGE = Change(add_tags=("sr_open", "vip"), assignee_id="60", group_id="4", reopen=True, note="Please write to them")
EFFECT = Effect("e1", "k1", "acme", "7", EffectKind.UPDATE, "flag", change=CHANGE, seen_assignee_id="61")
ENDED = replace(CASE, stage=Stage.ENDED, outcome=Outcome.RECOVERED, due_at=None, ended_at=NOW + HOUR, version=2)


def decision(case: Case | None = CASE, *effects: Effect, what: str = "flagged") -> Decision:
    facts = {"point": 1.0, "tags": frozenset({"b", "a"}), "seen_at": NOW}
    ids = {"case_id": case.case_id if case else None, "rating_id": "31"}
    audit = Audit(NOW, "acme", "7", what, "because", rule="slow", rules_hash="h1", facts=facts, **ids)
    return Decision(audit, case, effects)


def other(number: int, **changes: object) -> Case:
    """Another case that stands in nobody's way."""
    return replace(CASE, case_id=f"k{number}", ticket_id=f"t{number}", customer=f"c{number}", **changes)  # type: ignore[arg-type]


@pytest.fixture
def row(store: Store) -> int:
    """The row of a pending rating."""
    rating = Rating("31", "7", Category.BAD, 1, 2, NOW - HOUR, NOW - HOUR)
    store.add_page(
        "acme", "s", RatingPage((rating,), (), "c"), source="poll", seen_at=NOW, memory_before=NOW - 9 * HOUR
    )
    return store.pending("acme", NOW, 1)[0].row_id


def test_a_case_comes_back_as_it_was_saved(store: Store) -> None:
    store.save(decision(CASE, EFFECT))

    assert store.case("k1") == CASE
    assert [found.effect for found in store.effects_of("k1")] == [EFFECT]


def test_everything_about_a_case_comes_back(store: Store) -> None:
    answer = Answer(NOW + 2 * HOUR, Category.GOOD, 5, 5, rating_id="32")
    full = replace(
        CASE, work_ticket_id="70", survey_ticket_id="71", replied_at=NOW, nudged_at=NOW, promise="a refund",
        promised_by=NOW + HOUR, promise_broken_at=NOW, asked_at=NOW, asked_by=SurveyWay.LINK, reminded_at=NOW,
        not_asked="opted out", answer=answer, incident="outage", cause_asked_at=NOW, cause="billing",
    )  # fmt: skip
    question = replace(
        EFFECT, kind=EffectKind.SURVEY, change=Change(solve_again=True), bundle="digest", way=SurveyWay.HELPDESK
    )

    store.save(decision(full, question))

    assert store.case("k1") == full
    assert [found.effect for found in store.effects_of("k1")] == [question]


def test_a_decision_settles_its_rating(store: Store, row: int) -> None:
    store.save(decision(), rating_row=row, rating_outcome="flagged")

    (found,) = store.ratings_of_ticket("acme", "7")
    assert (found.outcome, found.why, found.case_id) == ("flagged", "because", "k1")


def test_a_decision_without_a_case_leaves_its_reason(store: Store, row: int) -> None:
    store.save(decision(None, what="ignored"), rating_row=row, rating_outcome="ignored")

    (audit,) = store.audits("acme", "7")
    assert (audit.what, audit.reason, audit.case_id) == ("ignored", "because", None)
    assert store.cases() == []


def test_the_facts_of_an_audit_are_kept_as_json(store: Store) -> None:
    store.save(decision())

    assert store.audits(case_id="k1")[0].facts == {
        "point": 1.0, "tags": ["a", "b"], "seen_at": "2026-11-21T09:30:00.000000Z",
    }  # fmt: skip


def test_the_last_audits_come_in_their_order(store: Store) -> None:
    for what in ("memory", "flagged", "joined"):
        store.save(decision(None, what=what))

    assert [audit.what for audit in store.audits(limit=2)] == ["flagged", "joined"]


def test_shadow_effects_are_never_claimed(store: Store) -> None:
    store.save(decision(CASE, EFFECT), effect_state=EffectState.SHADOW)

    assert store.claim("acme", NOW, limit=9, lease=HOUR) == []
    assert [found.state for found in store.effects_of("k1")] == [EffectState.SHADOW]


# ------------------------------------------------------------------ all or nothing
def test_a_case_moves_on_from_the_version_it_was_read_at(store: Store) -> None:
    store.save(decision())

    store.save(decision(ENDED), expected_version=1)

    assert store.case("k1") == ENDED


def test_a_case_that_moved_meanwhile_is_stale_and_nothing_is_stored(store: Store, row: int) -> None:
    store.save(decision(replace(CASE, version=2)))

    with pytest.raises(StaleCase):
        store.save(decision(ENDED, EFFECT), expected_version=1, rating_row=row, rating_outcome="joined")

    assert store.case("k1") == replace(CASE, version=2)
    assert (len(store.audits()), store.effects_of("k1"), len(store.pending("acme", NOW, 9))) == (1, [], 1)


def test_a_version_of_zero_is_a_version(store: Store) -> None:
    store.save(decision(replace(CASE, version=0)))

    store.save(decision(CASE), expected_version=0)

    assert store.case("k1") == CASE


def test_a_rating_is_decided_once(store: Store, row: int) -> None:
    store.save(decision(None), rating_row=row, rating_outcome="ignored")

    with pytest.raises(StaleCase):
        store.save(decision(), rating_row=row, rating_outcome="flagged")

    assert store.case("k1") is None


def test_a_customer_has_one_open_case_on_an_account(store: Store) -> None:
    store.save(decision())

    with pytest.raises(StaleCase):
        store.save(decision(replace(CASE, case_id="k2", ticket_id="8")))

    assert len(store.audits()) == 1


def test_a_ticket_has_one_open_case(store: Store) -> None:
    store.save(decision())

    with pytest.raises(StaleCase):
        store.save(decision(replace(CASE, case_id="k2", customer=None)))


def test_a_customer_may_have_an_open_case_on_another_account(store: Store) -> None:
    store.save(decision())
    store.save(decision(replace(CASE, case_id="k2", account="shop")))

    assert len(store.cases(open_only=True)) == 2


def test_a_customer_may_be_let_down_again_after_a_case_has_ended(store: Store) -> None:
    store.save(decision())
    store.save(decision(ENDED), expected_version=1)

    store.save(decision(replace(CASE, case_id="k2", flagged_at=NOW + HOUR)))

    assert [case.case_id for case in store.cases()] == ["k2", "k1"]


def test_of_many_decisions_one_stale_one_takes_all_back(store: Store, row: int) -> None:
    with pytest.raises(StaleCase):
        store.save_all([
            Saving(decision(), rating_row=row, rating_outcome="flagged"),
            Saving(decision(other(2), replace(EFFECT, effect_id="e2", case_id="k2"))),
            Saving(decision(replace(ENDED, case_id="k9")), expected_version=1),
        ])  # fmt: skip

    assert (store.cases(), store.audits(), len(store.pending("acme", NOW, 9))) == ([], [], 1)


def test_many_decisions_are_saved_together(store: Store, row: int) -> None:
    store.save_all([Saving(decision(), rating_row=row, rating_outcome="flagged"), Saving(decision(other(2), EFFECT))])

    assert (len(store.cases()), len(store.audits())) == (2, 2)


def test_two_processes_cannot_open_two_cases_for_one_customer(store: Store, database_url: str) -> None:
    start, refused = Barrier(2), list[str]()

    def flag(case: Case) -> None:
        mine = Store.open(database_url)
        start.wait()
        try:
            mine.save(decision(case))
        except StaleCase:
            refused.append(case.case_id)
        mine.close()

    threads = [Thread(target=flag, args=(replace(CASE, case_id=f"k{n}", ticket_id=f"t{n}"),)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert len(store.cases(open_only=True)) == 1


def test_an_open_case_without_a_stage_to_match_is_a_bug(store: Store) -> None:
    with pytest.raises(Exception, match="please report this") as caught:
        store.save(decision(replace(CASE, outcome=Outcome.RECOVERED, reason="very private")))

    assert "very private" not in str(caught.value)


# ------------------------------------------------------------------ questions
def test_an_open_case_is_found_by_customer_ticket_and_rating(store: Store) -> None:
    store.save(decision(replace(CASE, work_ticket_id="70", survey_ticket_id="71")))

    found = [
        store.open_case_of("acme", "c1"),
        *[store.open_case_on("acme", ticket_id) for ticket_id in ("7", "70", "71")],
        store.case_of_rating("acme", "31"),
    ]
    assert [case.case_id for case in found if case] == ["k1"] * 5
    assert store.open_case_on("shop", "71") is None


def test_an_ended_case_is_open_no_more(store: Store) -> None:
    store.save(decision())
    store.save(decision(ENDED), expected_version=1)

    assert store.open_case_of("acme", "c1") is None
    assert store.open_case_on("acme", "7") is None
    assert store.case_of_rating("acme", "31") == ENDED


def test_tickets_with_an_open_case_are_found_together(store: Store) -> None:
    store.save(decision(replace(CASE, work_ticket_id="70", survey_ticket_id="71")))

    assert store.open_cases_on("acme", ["7", "8", "70", "71"]) == {"7", "70", "71"}
    assert store.open_cases_on("acme", ["8"]) == set()


def test_the_load_counts_open_cases_by_agent(store: Store) -> None:
    store.save_all([
        Saving(decision(other(1))),
        Saving(decision(other(2))),
        Saving(decision(other(3, assignee_id="61"))),
        Saving(decision(other(4, assignee_id=None))),
        Saving(decision(replace(ENDED, case_id="k5", ticket_id="t5"))),
    ])  # fmt: skip

    assert store.open_load("acme") == Counter({"60": 2, "61": 1})


def test_due_cases_begin_with_the_most_overdue(store: Store) -> None:
    store.save(decision(other(1, due_at=NOW)))
    store.save(decision(other(2, due_at=NOW - HOUR)))
    store.save(decision(other(3, due_at=NOW + HOUR)))

    assert [case.case_id for case in store.due_cases("acme", NOW, 9)] == ["k2", "k1"]


def test_the_next_due_time_is_that_of_the_first_case_that_waits_for_no_write(store: Store) -> None:
    assert store.next_due_at("acme") is None
    store.save(decision(replace(CASE, due_at=NOW), EFFECT))
    store.save(decision(other(3, due_at=NOW + HOUR)))

    assert store.next_due_at("acme") == NOW + HOUR


def test_a_case_that_waits_for_an_effect_is_not_due(store: Store) -> None:
    store.save(decision(replace(CASE, due_at=NOW), EFFECT))

    assert store.due_cases("acme", NOW, 9) == []


def test_an_alert_that_is_held_back_stops_neither_deadlines_nor_watching(store: Store) -> None:
    alert = replace(EFFECT, kind=EffectKind.ALERT, not_before=NOW + HOUR)
    store.save(decision(replace(CASE, due_at=NOW), alert))

    assert [case.case_id for case in store.due_cases("acme", NOW, 9)] == ["k1"]
    assert [one.ticket_id for one in store.watchable("acme", NOW)] == [CASE.ticket_id]


def test_confirmed_open_cases_that_wait_for_no_write_are_watched(store: Store) -> None:
    store.save(decision(other(1)))
    store.save(decision(other(2, stage=Stage.UNCONFIRMED)))
    store.save(decision(other(3), replace(EFFECT, case_id="k3")))
    store.save(decision(replace(ENDED, case_id="k4", ticket_id="t4")))

    assert [one.ticket_id for one in store.watchable("acme", NOW)] == [other(1).ticket_id]


def test_what_people_did_while_a_rating_was_unconfirmed_is_still_looked_at(store: Store) -> None:
    store.save(decision(other(1, flagged_at=NOW - HOUR, confirmed_at=NOW)))

    assert [one.since for one in store.watchable("acme", NOW - timedelta(minutes=2))] == [NOW - HOUR]


def test_deeds_are_looked_for_since_the_last_look_at_a_ticket_or_at_all(store: Store) -> None:
    store.save(decision(replace(CASE, flagged_at=NOW - 3 * HOUR, seen_at=NOW - HOUR)))

    assert [one.since for one in store.watchable("acme", NOW)] == [NOW]
    assert [one.since for one in store.watchable("acme", NOW - 2 * HOUR)] == [NOW - HOUR]


def test_the_cases_of_some_agents_are_found_unless_they_wait_for_a_write(store: Store) -> None:
    store.save(decision(other(1, assignee_id="gone")))
    store.save(decision(other(2, assignee_id="here")))
    store.save(decision(other(3, assignee_id="gone"), replace(EFFECT, case_id="k3")))

    assert [case.case_id for case in store.held_by("acme", ["gone"])] == ["k1"]
    assert store.held_by("acme", []) == []


def test_looks_are_recorded_together_but_not_on_cases_that_moved(store: Store) -> None:
    store.save_all([Saving(decision(other(n))) for n in (1, 2)])
    store.save(decision(other(2, version=2)), expected_version=1)

    store.seen_all([(other(n), f"stamp {n}", NOW + HOUR) for n in (1, 2)])

    assert store.case("k1") == other(1, seen_stamp="stamp 1", seen_at=NOW + HOUR)
    assert store.case("k2") == other(2, version=2)


def test_recoveries_that_began_lately_count_without_dismissed_ones_and_those_of_an_incident(store: Store) -> None:
    store.save(decision(other(1)))
    store.save(decision(other(2, flagged_at=NOW - HOUR)))
    store.save(decision(other(3, incident="outage")))
    store.save(decision(replace(ENDED, case_id="k4", outcome=Outcome.DISMISSED)))
    store.save(decision(replace(ENDED, case_id="k5")))

    assert (store.flagged_since("acme", NOW), store.flagged_since("shop", NOW)) == (2, 0)


def test_the_open_cases_of_an_incident_are_found(store: Store) -> None:
    store.save(decision(other(1, incident="outage", flagged_at=NOW + HOUR)))
    store.save(decision(other(2, incident="outage")))
    store.save(decision(other(3, incident="strike")))
    store.save(decision(other(4)))
    store.save(decision(replace(ENDED, case_id="k5", incident="outage")))

    assert [case.case_id for case in store.open_cases_of_incident("acme", "outage")] == ["k2", "k1"]
    assert store.open_cases_of_incident("shop", "outage") == []


def test_a_case_whose_effect_is_parked_is_due_all_the_same(store: Store) -> None:
    store.save(decision(replace(CASE, due_at=NOW), EFFECT), effect_state=EffectState.PARKED)

    assert len(store.due_cases("acme", NOW, 9)) == 1


def test_an_orphan_has_no_owner_or_no_next_step(store: Store) -> None:
    store.save(decision(other(1)))
    store.save(decision(other(2, assignee_id=None)))
    store.save(decision(other(3, assignee_id=None, group_id=None)))
    store.save(decision(other(4, due_at=None, flagged_at=NOW + HOUR)))

    assert [case.case_id for case in store.orphans()] == ["k3", "k4"]


def test_the_counts_of_an_account(store: Store, row: int) -> None:
    store.fail_rating(row, "crash", NOW)
    store.save(decision(replace(CASE, due_at=NOW - HOUR), EFFECT))
    store.save(decision(other(2, flagged_at=NOW + HOUR)))

    counts = store.counts("acme", NOW)

    assert (counts.pending, counts.failed, counts.open_cases, counts.overdue) == (1, 1, 2, 1)
    assert counts.oldest_due_at == NOW - HOUR
    assert counts.effects == {EffectState.PLANNED: 1}
    assert counts.rules == {"slow": RuleCount(2, NOW + HOUR)}


def test_an_account_without_anything_counts_nothing(store: Store) -> None:
    counts = store.counts("acme", NOW)

    assert (counts.pending, counts.open_cases, counts.oldest_due_at, counts.effects, counts.rules) == (
        0,
        0,
        None,
        {},
        {},
    )
