"""The store among processes that come, pause, die and meet: on both databases it does what a model in memory does.

Three stores on one database stand for three processes. After each step every row of `effect`, `cases`, `rating`,
`cursor` and `asked` is compared with the model; what a refused step leaves behind is compared with what was there.

    python -m pytest tests/bridge/test_store_machine.py --hypothesis-profile soak
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select

from bridge.errors import BridgeError
from bridge.model import Audit, Case, Category, Change, Effect, EffectKind, EffectState, Rating, RatingPage
from bridge.rules.values import CountWithin
from bridge.store import Claim, Saving, StaleCase, Store, tables
from tests.bridge.test_store_cases import EFFECT, NOW, decision, other

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEASE = 3 * MINUTE
ACTS_FROM = NOW - DAY
LIMIT = CountWithin(2, DAY)
UNFINISHED = (EffectState.PLANNED, EffectState.SENDING)
FINAL = (EffectState.APPLIED, EffectState.ADOPTED, EffectState.REFUSED, EffectState.SUPERSEDED)
EXAMPLES = 250 if settings.get_current_profile_name() == "soak" else 25

PROCESS = st.integers(0, 2)
NUMBER = st.integers(0, 11)  # which of those that there are, modulo their number
KIND = st.sampled_from(["write", "write", "alert", "digest", "later"])
KINDS = st.lists(KIND, max_size=3)


# ------------------------------------------------------------------ what is compared
_EFFECT, _CASE, _RATING = tables.effect.c, tables.cases.c, tables.rating.c
EFFECTS = select(
    _EFFECT.effect_id, _EFFECT.state, _EFFECT.epoch, _EFFECT.not_before, _EFFECT.tries, _EFFECT.first_sent_at,
    _EFFECT.last_sent_at, _EFFECT.job,
).order_by(_EFFECT.place)  # fmt: skip
HELD = select(_CASE.case_id, _CASE.version, _CASE.lease_epoch, _CASE.lease_until)
RATED = select(_RATING.rating_id, _RATING.version, _RATING.outcome)
ASKED, CURSOR = select(tables.asked), select(tables.cursor.c.value)


# ------------------------------------------------------------------ the model
@dataclass
class Planned:
    """An effect as it should be stored, in the order of the list."""

    effect: Effect
    state: EffectState = EffectState.PLANNED
    epoch: int | None = None
    not_before: datetime | None = None
    tries: int = 0
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    job: str | None = None

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def is_write(self) -> bool:
        return self.effect.kind is not EffectKind.ALERT


@dataclass
class Kept:
    """A case as it should be stored."""

    case: Case
    epoch: int = 0
    lease_until: datetime | None = None


@dataclass
class Known:
    """A version of a rating as it should be stored."""

    rating: Rating
    source: str
    outcome: str | None


def changed(effect: Effect, number: int, kind: str, now: datetime) -> Effect:
    """Return the effect of that number, of a kind that delivery knows."""
    found = replace(effect, effect_id=f"e{number}", step=f"step {number}")
    if kind in ("alert", "digest"):
        bundle = "digest" if kind == "digest" else None
        return replace(found, kind=EffectKind.ALERT, change=Change(), target="#leads", text="Look", bundle=bundle)
    return replace(found, not_before=now + 5 * MINUTE) if kind == "later" else found


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the database, as it stands there."""
    with store.engine.connect() as tx:
        asked = {name: tx.exec_driver_sql(f"SELECT * FROM {name}") for name in tables.metadata.tables}
        return {name: sorted(map(tuple, rows), key=repr) for name, rows in asked.items()}


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads that begin together; return what each returned, or raised of StaleCase."""
    start, results = Barrier(len(calls)), [None] * len(calls)

    def run(place: int) -> None:
        start.wait()
        try:
            results[place] = calls[place]()
        except StaleCase as exc:
            results[place] = exc

    threads = [Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# ------------------------------------------------------------------ the machine
class StoreMachine(RuleBasedStateMachine):
    """Three processes on one database."""

    def __init__(self, stores: Sequence[Store]) -> None:
        super().__init__()
        self.stores = stores
        self.now = NOW
        self.numbers = iter(range(1, 10_000))
        self.cases: dict[str, Kept] = {}
        self.effects: list[Planned] = []
        self.claims: list[tuple[int, Claim]] = []  # of which process; also those that are lost by now
        self.final: dict[str, EffectState] = {}
        self.ratings: dict[tuple[str, str], Known] = {}
        self.cursor: str | None = None
        self.asked: dict[str, tuple[str, datetime]] = {}
        with stores[0].engine.begin() as tx:
            for table in reversed(tables.metadata.sorted_tables):
                tx.execute(delete(table))

    # -------------------------------------------------------------- what should be
    def of(self, effect_id: str) -> Planned:
        return next(one for one in self.effects if one.effect.effect_id == effect_id)

    def is_ours(self, claim: Claim) -> bool:
        one, kept = self.of(claim.effect.effect_id), self.cases[claim.case.case_id]
        return one.is_unfinished and one.epoch == kept.epoch == claim.epoch

    def due(self) -> list[Planned]:
        """Return what may be claimed now: of each free case its alerts and its first unfinished write."""
        found, begun = [], set[str]()
        for one in self.effects:
            kept = self.cases[one.effect.case_id]
            is_first = one.effect.case_id not in begun
            if not one.is_unfinished:
                continue
            if one.is_write:
                begun.add(one.effect.case_id)
            is_free = kept.lease_until is None or kept.lease_until <= self.now
            is_due = one.not_before is None or one.not_before <= self.now
            if (is_first or not one.is_write) and is_free and is_due:
                found.append(one)
        return found

    def give_back(self, one: Planned) -> None:
        one.epoch = None
        kept = self.cases[one.effect.case_id]
        if not any(o.effect.case_id == one.effect.case_id and o.epoch == kept.epoch for o in self.effects):
            kept.lease_until = None

    def plan(self, case_id: str, kinds: Sequence[str]) -> tuple[Effect, ...]:
        of = replace(EFFECT, case_id=case_id)
        return tuple([changed(of, next(self.numbers), kind, self.now) for kind in kinds])

    def planned(self, effects: Sequence[Effect]) -> None:
        self.effects += [Planned(one, not_before=one.not_before) for one in effects]

    def refused(self, call: Callable[[], Any], error: type[BridgeError] = StaleCase) -> None:
        """A step that is refused stores nothing at all."""
        before = dump(self.stores[0])
        with pytest.raises(error):
            call()
        assert dump(self.stores[0]) == before

    # -------------------------------------------------------------- what is
    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        with self.stores[0].engine.connect() as tx:
            found = [tuple(row) for row in tx.execute(EFFECTS)]
            held = {row[0]: tuple(row[1:]) for row in tx.execute(HELD)}
            rated = [tuple(row) for row in tx.execute(RATED)]
            asked = {row.asked_for: (row.customer, row.at) for row in tx.execute(ASKED)}
            cursor = tx.execute(CURSOR).scalar()
        assert found == [
            (o.effect.effect_id, o.state, o.epoch, o.not_before, o.tries, o.first_sent_at, o.last_sent_at, o.job)
            for o in self.effects
        ]
        assert held == {k: (one.case.version, one.epoch, one.lease_until) for k, one in self.cases.items()}
        assert sorted(rated, key=str) == sorted(((*key, one.outcome) for key, one in self.ratings.items()), key=str)
        assert (asked, cursor) == (self.asked, self.cursor)
        self.what_has_ended_stays(found)

    def what_has_ended_stays(self, found: Sequence[tuple[Any, ...]]) -> None:
        for effect_id, state, *_ in found:
            assert self.final.get(effect_id, state) == state
            if state in FINAL:
                self.final[effect_id] = state

    @invariant()
    def nothing_is_held_twice(self) -> None:
        live = [claim.effect.effect_id for _, claim in self.claims if self.is_ours(claim)]
        assert len(live) == len(set(live))

    # -------------------------------------------------------------- time, and processes
    @initialize(kinds=st.lists(KIND, min_size=2, max_size=4), process=PROCESS)
    def work_is_under_way(self, kinds: list[str], process: int) -> None:
        for number in (0, 1):
            self.a_case_opens(process, number, kinds)
        self.claims_are_made(process, 100)

    @rule(step=st.sampled_from([MINUTE, LEASE - MINUTE, LEASE, HOUR, DAY]))
    def time_passes(self, step: timedelta) -> None:
        self.now += step

    @rule(process=PROCESS)
    def a_process_dies(self, process: int) -> None:
        self.claims = [one for one in self.claims if one[0] != process]

    @rule(process=PROCESS)
    def all_die_and_one_begins_anew(self, process: int) -> None:
        """The only time at which leases may be freed; on PostgreSQL others may work, so they end by themselves."""
        self.claims = []
        self.stores[process].free_leases()
        if self.stores[process].engine.dialect.name == "sqlite":
            for kept in self.cases.values():
                kept.lease_until = None

    # -------------------------------------------------------------- decisions
    @rule(process=PROCESS, number=st.integers(0, 3), kinds=KINDS)
    def a_case_opens(self, process: int, number: int, kinds: list[str]) -> None:
        case = other(number)
        effects = self.plan(case.case_id, kinds)
        store = self.stores[process]
        if case.case_id in self.cases:  # of this customer and on this ticket
            again = replace(case, case_id="twice")
            self.refused(lambda: store.save(decision(again, *[replace(one, case_id="twice") for one in effects])))
            return
        store.save(decision(case, *effects))
        self.cases[case.case_id] = Kept(case)
        self.planned(effects)

    @precondition(lambda self: self.cases)
    @rule(process=PROCESS, number=NUMBER, behind=st.sampled_from([0, 0, 1]), kinds=KINDS, more=st.booleans())
    def a_case_moves(self, process: int, number: int, behind: int, kinds: list[str], more: bool) -> None:
        """Save it as of the right version, or of an older one; perhaps together with one that stands in the way."""
        kept, store = self.pick(number), self.stores[process]
        moved = replace(kept.case, version=kept.case.version + 1)
        effects = self.plan(moved.case_id, kinds)
        savings = [Saving(decision(moved, *effects), kept.case.version - behind)]
        if more:
            savings.append(Saving(decision(replace(other(9), customer=kept.case.customer))))
        if behind or more:
            self.refused(lambda: store.save_all(savings))
            return
        store.save_all(savings)
        kept.case = moved
        self.planned(effects)

    def pick(self, number: int) -> Kept:
        return list(self.cases.values())[number % len(self.cases)]

    @precondition(lambda self: self.effects)
    @rule(process=PROCESS, number=NUMBER)
    def a_step_is_planned_twice(self, process: int, number: int) -> None:
        known = self.effects[number % len(self.effects)].effect
        kept, store = self.cases[known.case_id], self.stores[process]
        moved = replace(kept.case, version=kept.case.version + 1)
        again = replace(known, effect_id=f"e{next(self.numbers)}")
        self.refused(lambda: store.save(decision(moved, again), expected_version=kept.case.version))

    @precondition(lambda self: self.cases)
    @rule(number=NUMBER)
    def two_move_a_case_at_once(self, number: int) -> None:
        kept = self.pick(number)
        moved, version = replace(kept.case, version=kept.case.version + 1), kept.case.version
        one, two = self.stores[:2]
        said = at_once(*[lambda s=s: s.save(decision(moved), expected_version=version) for s in (one, two)])
        assert sorted(map(type, said), key=str) == sorted([type(None), StaleCase], key=str)
        kept.case = moved

    # -------------------------------------------------------------- delivery
    @rule(process=PROCESS, limit=st.sampled_from([1, 2, 100]))
    def claims_are_made(self, process: int, limit: int) -> None:
        expected = self.due()
        bundles = {(one.effect.bundle, one.effect.target) for one in expected[:limit] if one.effect.bundle}
        with_them = (one for one in expected[limit:] if (one.effect.bundle, one.effect.target) in bundles)
        expected = [*expected[:limit], *with_them]

        found = self.stores[process].claim("acme", self.now, limit=limit, lease=LEASE)

        # What it waited for is the store's own affair: a postponed effect comes back with that time.
        assert [replace(one.effect, not_before=None) for one in found] == [
            replace(one.effect, not_before=None) for one in expected
        ]
        self.claimed(found, process)

    def claimed(self, found: Sequence[Claim], process: int) -> None:
        for case_id in {one.case.case_id for one in found}:
            self.cases[case_id].epoch += 1
            self.cases[case_id].lease_until = self.now + LEASE
        for claim in found:
            one, kept = self.of(claim.effect.effect_id), self.cases[claim.case.case_id]
            one.epoch = kept.epoch
            assert (claim.case, claim.epoch, claim.tries, claim.state) == (kept.case, kept.epoch, one.tries, one.state)
            assert (claim.last_sent_at, claim.job) == (one.last_sent_at, one.job)
            self.claims.append((process, claim))

    @rule()
    def two_claim_at_once(self) -> None:
        """Nothing goes to both; what they took is given back, so that it does not matter who was faster."""
        possible, before = {one.effect.effect_id for one in self.due()}, len(self.claims)
        found = at_once(*[lambda s=s: s.claim("acme", self.now, limit=100, lease=LEASE) for s in self.stores[:2]])
        taken = [one.effect.effect_id for claims in found for one in claims]
        assert len(taken) == len(set(taken))
        assert set(taken) <= possible
        for process, claims in enumerate(found):
            self.claimed(claims, process)
            self.stores[process].release(claims)
            for one in claims:
                self.give_back(self.of(one.effect.effect_id))
        del self.claims[before:]

    def held_by(self, process: int) -> list[Claim]:
        return [claim for one, claim in self.claims if one == process]

    @precondition(lambda self: self.claims)
    @rule(number=NUMBER)
    def one_process_intends_all_it_has(self, number: int) -> None:
        process = self.claims[number % len(self.claims)][0]
        claims = self.held_by(process)
        ours = {one.effect.effect_id for one in claims if self.is_ours(one)}

        assert self.stores[process].intend(claims, self.now, LEASE) == ours

        for effect_id in ours:
            one = self.of(effect_id)
            self.nothing_stands_before(one)
            one.state, one.tries, one.not_before, one.job = EffectState.SENDING, one.tries + 1, None, None
            one.first_sent_at, one.last_sent_at = one.first_sent_at or self.now, self.now
            self.cases[one.effect.case_id].lease_until = self.now + LEASE

    def nothing_stands_before(self, one: Planned) -> None:
        """The writes of a case leave in their order."""
        if one.is_write:
            ahead = self.effects[: self.effects.index(one)]
            assert not [o for o in ahead if o.effect.case_id == one.effect.case_id and o.is_write and o.is_unfinished]

    def a_claim(self, number: int) -> tuple[Store, Claim, Planned, Kept]:
        process, claim = self.claims[number % len(self.claims)]
        return self.stores[process], claim, self.of(claim.effect.effect_id), self.cases[claim.case.case_id]

    @precondition(lambda self: self.claims)
    @rule(number=NUMBER)
    def a_job_takes_it(self, number: int) -> None:
        store, claim, one, _ = self.a_claim(number)
        store.accepted([claim], "job-1")
        if self.is_ours(claim):
            one.job = "job-1"

    @precondition(lambda self: self.claims)
    @rule(number=NUMBER, tries=st.integers(0, 1), never=st.booleans())
    def it_was_turned_away(self, number: int, tries: int, never: bool) -> None:
        store, claim, one, _ = self.a_claim(number)
        store.unsend([claim], tries=tries, never_sent=never)
        if self.is_ours(claim):
            one.state, one.tries = claim.state, claim.tries + tries
            one.last_sent_at = None if never else claim.last_sent_at

    @precondition(lambda self: self.claims)
    @rule(
        number=NUMBER, state=st.sampled_from([*FINAL, EffectState.PARKED]), moves=st.booleans(),
        behind=st.sampled_from([0, 0, 1]), kinds=KINDS,
    )  # fmt: skip
    def it_is_finished(self, number: int, state: EffectState, moves: bool, behind: int, kinds: list[str]) -> None:
        store, claim, one, kept = self.a_claim(number)
        version = kept.case.version - behind
        moved = replace(kept.case, version=version + 1) if moves else None
        effects = self.plan(claim.case.case_id, kinds)
        audit = Audit(self.now, "acme", "7", str(state), "it was so", case_id=claim.case.case_id)

        def finish() -> None:
            store.finish(claim, state, audit=audit, case=moved, effects=effects)

        if not self.is_ours(claim) or (moves and behind):
            self.refused(finish)
            return
        finish()
        one.state = state
        kept.case = moved or kept.case
        self.planned(effects)
        self.give_back(one)

    @precondition(lambda self: self.claims)
    @rule(number=NUMBER, step=st.sampled_from([timedelta(), MINUTE, HOUR]), tries=st.sampled_from([None, 3]))
    def it_is_postponed(self, number: int, step: timedelta, tries: int | None) -> None:
        store, claim, one, _ = self.a_claim(number)
        store.postpone(claim, self.now + step, "not now", tries=tries)
        if self.is_ours(claim):
            one.not_before, one.tries = self.now + step, one.tries if tries is None else tries
            self.give_back(one)

    @precondition(lambda self: self.claims)
    @rule(number=NUMBER)
    def a_process_gives_all_back(self, number: int) -> None:
        process = self.claims[number % len(self.claims)][0]
        claims = self.held_by(process)
        ours = [one for one in claims if self.is_ours(one)]
        self.stores[process].release(claims)
        for claim in ours:
            self.give_back(self.of(claim.effect.effect_id))

    @precondition(lambda self: self.effects)
    @rule(process=PROCESS, number=NUMBER, everything=st.booleans())
    def what_is_parked_is_tried_again(self, process: int, number: int, everything: bool) -> None:
        wanted = [one.effect.effect_id for one in self.effects] if everything else [f"e{number}"]
        parked = [o for o in self.effects if o.state is EffectState.PARKED and o.effect.effect_id in wanted]

        assert self.stores[process].retry_parked(None if everything else wanted) == len(parked)

        for one in parked:
            one.state, one.tries, one.not_before, one.job = EffectState.PLANNED, 0, None, None

    # -------------------------------------------------------------- ratings
    @rule(
        process=PROCESS, source=st.sampled_from(["poll", "poll", "import"]), breaks=st.sampled_from([0, 0, 0, 1]),
        given=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(Category), st.booleans()), max_size=4),
    )  # fmt: skip
    def a_page_comes(self, process: int, source: str, breaks: int, given: list[tuple[int, Category, bool]]) -> None:
        """Rows and cursor go together; a version that is known is one row, however often it comes."""
        ratings = tuple([version(*one) for one in given])
        cursor = f"cursor {next(self.numbers)}"
        store = self.stores[process]

        def add(page: RatingPage) -> Any:
            return store.add_page("acme", "new", page, source=source, seen_at=self.now, memory_before=ACTS_FROM)

        if breaks:  # it has no cursor, which must not be stored without one
            self.refused(lambda: add(RatingPage(ratings, (), None)), BridgeError)  # type: ignore[arg-type]
            return
        add(RatingPage(ratings, (), cursor))
        self.cursor = cursor
        known = list(self.ratings.values())
        for one in ratings:
            self.shown(one, source, known)

    def shown(self, one: Rating, source: str, known: Sequence[Known]) -> None:
        """Keep a version that is new; wake one that only an import had seen."""
        key = (one.rating_id, one.version)
        before = [row for row in known if row.rating.rating_id == one.rating_id]
        if key not in self.ratings:
            was_content = any(row.rating.category is not Category.BAD for row in before)
            turned = one.category is Category.BAD and was_content
            given_at = one.updated_at if turned else one.rated_at
            outcome = "memory" if source == "import" or given_at < ACTS_FROM else None
            self.ratings[key] = Known(one, source, outcome)
        elif source != "import" and any(row is self.ratings[key] for row in before):
            row = self.ratings[key]
            if row.source == "import" and row.outcome == "memory" and one.rated_at >= ACTS_FROM:
                row.outcome = None

    @rule(process=PROCESS, number=NUMBER, race=st.booleans())
    def a_rating_is_decided(self, process: int, number: int, race: bool) -> None:
        """Once, also by two who found it at the same time, and by one who found it long ago."""
        store, second = self.stores[process], self.stores[(process + 1) % 3]
        rows = store.pending("acme", self.now, 100)
        undecided = sorted(key for key, one in self.ratings.items() if one.outcome is None)
        assert sorted((row.rating.rating_id, row.rating.version) for row in rows) == undecided
        if not rows:
            return
        row = sorted(rows, key=lambda row: (row.rating.rating_id, row.rating.version))[number % len(rows)]

        def decide(by: Store) -> None:
            by.save(decision(None, what="ignored"), rating_row=row.row_id, rating_outcome="ignored")

        if race:
            said = at_once(lambda: decide(store), lambda: decide(second))
            assert sorted(map(type, said), key=str) == sorted([type(None), StaleCase], key=str)
        else:
            decide(store)
        self.refused(lambda: decide(second))
        self.ratings[row.rating.rating_id, row.rating.version].outcome = "ignored"

    # -------------------------------------------------------------- asking customers
    def may_ask(self, customer: str, asked_for: str) -> bool:
        lately = [one for one, at in self.asked.values() if one == customer and at > self.now - LIMIT.within]
        return asked_for in self.asked or len(lately) < LIMIT.count

    @rule(process=PROCESS, customer=st.sampled_from(["c1", "c2"]), number=st.integers(0, 3))
    def a_question_is_reserved(self, process: int, customer: str, number: int) -> None:
        name, store = f"{customer}:{number}", self.stores[process]
        expected = self.may_ask(customer, name)
        assert store.may_ask(customer, name, self.now, LIMIT) == expected
        assert store.reserve_survey(customer, "acme", name, self.now, LIMIT) == expected
        if expected:
            self.asked[name] = (customer, self.now)

    @rule(process=PROCESS, customer=st.sampled_from(["c1", "c2"]), number=st.integers(0, 3))
    def a_question_is_not_sent(self, process: int, customer: str, number: int) -> None:
        self.stores[process].release_survey(f"{customer}:{number}")
        self.asked.pop(f"{customer}:{number}", None)

    @rule(customer=st.sampled_from(["c1", "c2"]))
    def three_ask_a_customer_at_once(self, customer: str) -> None:
        """As many as the limit allows; they take it back, so that it does not matter who was faster."""
        lately = [one for one, at in self.asked.values() if one == customer and at > self.now - LIMIT.within]
        names = [f"{customer}:race {place}" for place in range(3)]

        said = at_once(*[
            lambda store=store, name=name: store.reserve_survey(customer, "acme", name, self.now, LIMIT)
            for store, name in zip(self.stores, names, strict=True)
        ])  # fmt: skip

        assert sum(said) == max(0, LIMIT.count - len(lately))
        for name in names:
            self.stores[0].release_survey(name)


def version(number: int, category: Category, old: bool) -> Rating:
    """Return one of six versions of one of three ratings; an old one was given before the bridge acts."""
    at = NOW - 2 * DAY if old else NOW - HOUR
    value = {Category.BAD: 1, Category.NEUTRAL: 3, Category.GOOD: 5}[category]
    return Rating(f"r{number}", "7", category, value, 5, at, at, requester_id="70")


@pytest.fixture
def processes(database_url: str) -> Iterator[list[Store]]:
    """Three stores on one database."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Store.open(database_url))) for _ in range(3)]


def test_the_store_does_what_the_model_does(processes: list[Store]) -> None:
    few = EXAMPLES // 2 if processes[0].engine.dialect.name == "postgresql" else EXAMPLES
    run_state_machine_as_test(
        lambda: StoreMachine(processes),
        settings=settings(
            max_examples=few,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
