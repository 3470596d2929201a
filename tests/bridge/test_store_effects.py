"""Facts about delivery in the store: leases and epochs, so that nothing is sent by two or finished twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest

from bridge.model import Audit, Change, Effect, EffectKind, EffectState
from bridge.store import Claim, Saving, StaleCase, Store
from tests.bridge.test_store_cases import CASE, EFFECT, HOUR, NOW, decision, other

LEASE = timedelta(minutes=1)
AUDIT = Audit(NOW, "acme", "7", "applied", "the helpdesk did it", case_id="k1")


def claim(store: Store, at: datetime = NOW, limit: int = 100) -> list[Claim]:
    return store.claim("acme", at, limit=limit, lease=LEASE)


def effect(number: int, **changes: object) -> Effect:
    return replace(EFFECT, effect_id=f"e{number}", step=f"step {number}", **changes)  # type: ignore[arg-type]


def state(store: Store, place: int = 0) -> EffectState:
    return store.effects_of("k1")[place].state


@pytest.fixture
def planned(store: Store) -> Store:
    """A store with one case that has two planned effects."""
    store.save(decision(CASE, effect(1), effect(2)))
    return store


def test_a_claim_brings_the_first_effect_of_a_case(planned: Store) -> None:
    (found,) = claim(planned)

    assert (found.effect, found.case) == (effect(1), CASE)
    assert (found.epoch, found.tries, found.state, found.last_sent_at, found.job) == (1, 0, "planned", None, None)


def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(planned: Store) -> None:
    claim(planned)

    assert claim(planned, NOW + LEASE / 2) == []
    assert [again.epoch for again in claim(planned, NOW + LEASE)] == [2]


def test_a_released_claim_can_be_taken_at_once(planned: Store) -> None:
    planned.release(claim(planned))

    assert [again.effect.effect_id for again in claim(planned)] == ["e1"]


def test_effects_of_many_cases_are_claimed_together_oldest_first(store: Store) -> None:
    store.save_all([Saving(decision(other(n), effect(n, case_id=f"k{n}"))) for n in range(5)])

    assert [one.effect.effect_id for one in claim(store, limit=3)] == ["e0", "e1", "e2"]
    assert [one.effect.effect_id for one in claim(store)] == ["e3", "e4"]


def test_an_effect_waits_for_its_time_and_those_behind_it_wait_too(store: Store) -> None:
    store.save(decision(CASE, effect(1, not_before=NOW + HOUR), effect(2)))

    assert claim(store) == []
    assert [one.effect.effect_id for one in claim(store, NOW + HOUR)] == ["e1"]


def test_another_account_has_its_own_effects(planned: Store) -> None:
    assert planned.claim("shop", NOW, limit=9, lease=LEASE) == []


def test_an_alert_comes_back_as_it_was_planned(store: Store) -> None:
    alert = Effect(
        "e1",
        "k1",
        "acme",
        "7",
        EffectKind.ALERT,
        "tell:lead",
        person="lead",
        target="lead@example.com",
        text="Look at this",
    )
    store.save(decision(CASE, alert))

    assert claim(store)[0].effect == alert


# ------------------------------------------------------------------ alerts beside the writes
def alert(number: int, **changes: object) -> Effect:
    return effect(
        number, **{"kind": EffectKind.ALERT, "change": Change(), "target": "mailto:lead@example.com"} | changes
    )


def ids(claims: list[Claim]) -> list[str]:
    return [one.effect.effect_id for one in claims]


@pytest.fixture
def both(store: Store) -> Store:
    """A store with one case that has two planned writes, and two alerts between them."""
    store.save(decision(CASE, effect(1), alert(2), alert(3), effect(4)))
    return store


def test_a_claim_brings_the_alerts_of_a_case_beside_its_first_write(both: Store) -> None:
    found = claim(both)

    assert ids(found) == ["e1", "e2", "e3"]
    assert {one.epoch for one in found} == {1}


def test_an_alert_that_waits_for_its_time_holds_nothing_up(store: Store) -> None:
    store.save(decision(CASE, alert(1, not_before=NOW + HOUR), effect(2)))

    assert ids(claim(store)) == ["e2"]
    assert ids(claim(store, NOW + HOUR)) == ["e1", "e2"]


def test_a_write_that_waits_for_its_time_holds_no_alert_up(store: Store) -> None:
    store.save(decision(CASE, effect(1, not_before=NOW + HOUR), effect(2), alert(3)))

    assert ids(claim(store)) == ["e3"]


def test_a_claim_is_no_longer_than_its_limit(both: Store) -> None:
    (first,) = claim(both, limit=1)
    assert claim(both) == []  # the case is somebody's

    both.finish(first, EffectState.APPLIED, audit=AUDIT)

    assert ids(claim(both)) == ["e2", "e3", "e4"]


def test_a_bundle_comes_whole_and_alone_to_each_target(store: Store) -> None:
    for n in range(1, 5):
        store.save(decision(other(n), alert(n, case_id=f"k{n}", bundle="digest")))
    store.save(decision(other(5), alert(5, case_id="k5", bundle="digest", target="mailto:boss@example.com")))
    store.save(decision(other(6), alert(6, case_id="k6", bundle="digest", not_before=NOW + HOUR)))

    assert ids(claim(store, limit=1)) == ["e1", "e2", "e3", "e4"]
    assert ids(claim(store, limit=1)) == ["e5"]


def test_a_bundle_takes_only_itself_along(store: Store) -> None:
    store.save(decision(other(1), alert(1, case_id="k1", bundle="digest")))
    store.save(decision(other(2), effect(2, case_id="k2"), alert(3, case_id="k2", bundle="digest")))

    assert ids(claim(store, limit=1)) == ["e1", "e3"]
    assert claim(store) == []


def test_a_case_is_free_again_with_the_last_of_its_claims(both: Store) -> None:
    write, first, second = claim(both)

    both.finish(first, EffectState.APPLIED, audit=AUDIT)
    both.postpone(second, NOW + HOUR)
    assert claim(both) == []
    assert both.intend([write], NOW, LEASE) == {"e1"}
    both.finish(write, EffectState.APPLIED, audit=AUDIT)

    assert ids(claim(both)) == ["e4"]


def test_what_was_given_back_is_ours_no_longer_though_its_neighbour_is(both: Store) -> None:
    write, first, second = claim(both)

    both.postpone(first, NOW)
    both.release([second])

    assert both.intend([write, first, second], NOW, LEASE) == {"e1"}


def test_of_two_claims_of_a_case_neither_outlives_the_lease(both: Store) -> None:
    paused = claim(both)
    taken = claim(both, NOW + LEASE)

    for one in paused:
        with pytest.raises(StaleCase):
            both.finish(one, EffectState.APPLIED, audit=AUDIT)
    both.release(paused)

    assert claim(both, NOW + LEASE) == []
    assert both.intend(taken, NOW + LEASE, LEASE) == {"e1", "e2", "e3"}


def test_released_claims_of_one_case_can_be_taken_at_once(both: Store) -> None:
    both.release(claim(both))

    assert ids(claim(both)) == ["e1", "e2", "e3"]


def test_an_alert_that_comes_due_while_the_case_is_held_waits_for_it(store: Store) -> None:
    store.save(decision(CASE, effect(1), alert(2, not_before=NOW + LEASE / 2)))
    (write,) = claim(store)

    assert claim(store, NOW + LEASE / 2) == []
    store.finish(write, EffectState.APPLIED, audit=AUDIT)

    assert ids(claim(store, NOW + LEASE / 2)) == ["e2"]


def test_a_parked_alert_can_be_told_again(both: Store) -> None:
    _, first, _ = claim(both)
    both.finish(first, EffectState.PARKED, audit=AUDIT, error="no mail server")

    assert both.retry_parked(["e2"]) == 1

    assert ids(claim(both, NOW + LEASE)) == ["e1", "e2", "e3"]


def test_a_run_waits_for_the_first_write_and_for_no_alert(store: Store) -> None:
    store.save(decision(CASE, effect(1, not_before=NOW + 3 * HOUR), effect(2), alert(3, not_before=NOW + 2 * HOUR)))

    assert store.next_effect_at("acme") == NOW + 3 * HOUR


# ------------------------------------------------------------------ sending
def test_the_intent_is_on_record_before_anything_is_sent(planned: Store) -> None:
    claims = claim(planned)

    assert planned.intend(claims, NOW + LEASE / 2, LEASE) == {"e1"}

    stored = planned.effects_of("k1")[0]
    sent_at = NOW + LEASE / 2
    assert (stored.state, stored.tries, stored.first_sent_at, stored.last_sent_at) == ("sending", 1, sent_at, sent_at)
    assert claim(planned, NOW + LEASE) == []  # the lease was renewed


def test_a_second_try_keeps_when_the_first_was(planned: Store) -> None:
    planned.intend(claim(planned), NOW, LEASE)
    again = claim(planned, NOW + HOUR)
    assert (again[0].state, again[0].tries) == ("sending", 1)

    planned.intend(again, NOW + HOUR, LEASE)

    stored = planned.effects_of("k1")[0]
    assert (stored.tries, stored.first_sent_at, stored.last_sent_at) == (2, NOW, NOW + HOUR)


def test_whoever_lost_the_lease_may_not_send(planned: Store) -> None:
    paused = claim(planned)
    claim(planned, NOW + LEASE)

    assert planned.intend(paused, NOW + LEASE, LEASE) == set()
    assert state(planned) == "planned"


def test_of_many_claims_only_those_that_hold_may_be_sent(store: Store) -> None:
    store.save_all([Saving(decision(other(n), effect(n, case_id=f"k{n}"))) for n in range(2)])
    claims = claim(store)
    claim(store, NOW + LEASE, limit=1)

    assert store.intend(claims, NOW + LEASE, LEASE) == {"e1"}


def test_the_job_is_remembered_until_the_next_try(planned: Store) -> None:
    claims = claim(planned)
    planned.intend(claims, NOW, LEASE)
    planned.accepted(claims, "job-1")
    again = claim(planned, NOW + HOUR)
    assert again[0].job == "job-1"

    planned.intend(again, NOW + HOUR, LEASE)

    assert claim(planned, NOW + 2 * HOUR)[0].job is None


# ------------------------------------------------------------------ finishing
def test_a_finished_effect_makes_room_for_the_next(planned: Store) -> None:
    (first,) = claim(planned)
    planned.intend([first], NOW, LEASE)

    planned.finish(first, EffectState.APPLIED, audit=AUDIT, remote_ref="70")

    assert (state(planned), planned.effects_of("k1")[0].remote_ref) == ("applied", "70")
    assert [one.effect.effect_id for one in claim(planned)] == ["e2"]
    assert planned.audits(case_id="k1")[-1] == AUDIT


def test_finishing_moves_the_case_and_plans_further_effects(planned: Store) -> None:
    (first,) = claim(planned)
    moved = replace(CASE, version=2, assignee_id="61")

    planned.finish(first, EffectState.REFUSED, audit=AUDIT, case=moved, effects=[effect(3)], error="no such agent")

    assert planned.case("k1") == moved
    assert [found.state for found in planned.effects_of("k1")] == ["refused", "planned", "planned"]


def test_finishing_with_a_stale_case_stores_nothing(planned: Store) -> None:
    (first,) = claim(planned)
    planned.save(decision(replace(CASE, version=2)), expected_version=1)

    with pytest.raises(StaleCase):
        planned.finish(first, EffectState.APPLIED, audit=AUDIT, case=replace(CASE, version=2), effects=[effect(3)])

    assert (state(planned), len(planned.audits()), len(planned.effects_of("k1"))) == ("planned", 2, 2)


def test_nothing_is_finished_twice(planned: Store) -> None:
    (first,) = claim(planned)
    planned.finish(first, EffectState.APPLIED, audit=AUDIT)

    with pytest.raises(StaleCase):
        planned.finish(first, EffectState.REFUSED, audit=AUDIT)

    assert state(planned) == "applied"


def test_whoever_lost_the_lease_cannot_finish(planned: Store) -> None:
    (paused,) = claim(planned)
    claim(planned, NOW + LEASE)

    with pytest.raises(StaleCase):
        planned.finish(paused, EffectState.APPLIED, audit=AUDIT)


def test_a_case_that_changes_while_its_effect_is_sent_keeps_its_lease(planned: Store) -> None:
    (first,) = claim(planned)

    planned.save(decision(replace(CASE, version=2)), expected_version=1)

    assert planned.intend([first], NOW, LEASE) == {"e1"}


def test_a_postponed_effect_comes_back_as_it_was(planned: Store) -> None:
    (first,) = claim(planned)
    planned.intend([first], NOW, LEASE)

    planned.postpone(first, NOW + HOUR, "timeout")

    assert claim(planned, NOW + LEASE) == []
    (again,) = claim(planned, NOW + HOUR)
    assert (again.state, again.tries, again.epoch) == ("sending", 1, 2)
    assert planned.effects_of("k1")[0].error == "timeout"


def test_what_another_has_taken_is_not_postponed(planned: Store) -> None:
    (paused,) = claim(planned)
    (taken,) = claim(planned, NOW + LEASE)

    planned.postpone(paused, NOW + HOUR)
    planned.release([paused])

    assert claim(planned, NOW + LEASE) == []
    assert planned.intend([taken], NOW + LEASE, LEASE) == {"e1"}


def test_the_next_effect_is_known_before_it_is_due(planned: Store) -> None:
    assert planned.next_effect_at("shop") is None
    assert (planned.next_effect_at("acme") or NOW) < NOW
    (first,) = claim(planned)
    assert planned.next_effect_at("acme") == NOW + LEASE

    planned.postpone(first, NOW + HOUR)

    assert planned.next_effect_at("acme") == NOW + HOUR


# ------------------------------------------------------------------ parked and planned
def test_a_parked_effect_waits_for_a_person(planned: Store) -> None:
    (first,) = claim(planned)
    planned.intend([first], NOW, LEASE)
    planned.finish(first, EffectState.PARKED, audit=AUDIT, error="eight tries")

    (parked,) = planned.parked()

    assert (parked.effect, parked.error, parked.tries) == (effect(1), "eight tries", 1)
    assert [one.effect.effect_id for one in claim(planned)] == ["e2"]


def test_retry_plans_parked_effects_again_and_remembers_that_they_were_sent(planned: Store) -> None:
    (first,) = claim(planned)
    planned.intend([first], NOW, LEASE)
    planned.finish(first, EffectState.PARKED, audit=AUDIT, error="eight tries")

    assert planned.retry_parked(["e2"], lambda one: AUDIT) == 0
    assert planned.retry_parked(None, lambda one: replace(AUDIT, what=f"{one.effect_id} again")) == 1
    assert [one.what for one in planned.audits()][2:] == ["e1 again"]

    (again,) = claim(planned)
    assert (again.effect.effect_id, again.tries, again.last_sent_at) == ("e1", 0, NOW)


def test_a_plan_shows_what_is_unfinished_and_what_shadow_mode_decided_since(planned: Store) -> None:
    for number in (3, 4):
        decided = decision(other(number), effect(number, case_id=f"k{number}"))
        later = replace(decided, audit=replace(decided.audit, at=NOW + number * HOUR))
        planned.save(later, effect_state=EffectState.SHADOW)

    found = planned.unfinished_effects("acme", decided_since=NOW + 4 * HOUR)

    assert [one.effect.effect_id for one in found] == ["e1", "e2", "e4"]


def test_the_steps_of_many_cases_are_known_together(planned: Store) -> None:
    planned.save(decision(other(2), effect(3, case_id="k2")))

    assert planned.steps_of(["k1", "k2", "k9"]) == {"k1": {"step 1", "step 2"}, "k2": {"step 3"}, "k9": set()}
    assert len(planned.steps_of([f"k{n}" for n in range(2500)])) == 2500


# ------------------------------------------------------------------ two processes
def test_two_processes_never_claim_the_same_case(store: Store, database_url: str) -> None:
    store.save_all([Saving(decision(other(n), effect(n, case_id=f"k{n}"))) for n in range(60)])
    start, taken = Barrier(3), list[str]()

    def work() -> None:
        mine = Store.open(database_url)
        start.wait()
        while claims := claim(mine, limit=7):
            taken.extend(one.effect.effect_id for one in claims)
        mine.close()

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken) == sorted(f"e{n}" for n in range(60))


@pytest.mark.parametrize("kinds", [(effect, effect, effect), (effect, alert, alert, effect, alert)])
def test_two_processes_deliver_each_effect_once(
    store: Store, database_url: str, kinds: tuple[Callable[..., Effect], ...]
) -> None:
    for n in range(10):
        effects = [replace(kind(i, case_id=f"k{n}"), effect_id=f"e{n}-{i}") for i, kind in enumerate(kinds)]
        store.save(decision(other(n), *effects))
    start, sent = Barrier(2), list[str]()

    def work() -> None:
        mine = Store.open(database_url)
        start.wait()
        while claims := claim(mine, limit=4):
            may = mine.intend(claims, NOW, LEASE)
            sent.extend(sorted(may))
            for one in claims:
                mine.finish(one, EffectState.APPLIED, audit=AUDIT)
        mine.close()

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(sent) == len(set(sent)) == 10 * len(kinds)
    assert claim(store) == []
