"""Facts about customers in the store: asked seldom, on no account too often; opted out; goodwill; their history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Barrier, Thread

import pytest

from bridge.model import Audit, Category, Outcome, Rating
from bridge.rules.values import CountWithin
from bridge.store import PastRating, Spending, Store
from tests.bridge.test_store_cases import CASE, ENDED, HOUR, NOW, decision, other

DAY = timedelta(days=1)
ONCE = CountWithin(1, 30 * DAY)
TWICE = CountWithin(2, 30 * DAY)
SPENDING = Spending("k1", "acme", "7", "c1", NOW, Decimal("12.50"), "EUR", None)
AUDIT = Audit(NOW, "acme", "7", "spent", "12.50 EUR", case_id="k1")


# ------------------------------------------------------------------ asking again
def test_a_customer_is_asked_once_in_a_while_on_all_accounts(store: Store) -> None:
    assert store.reserve_survey("c1", "acme", "k1:1", NOW, ONCE)

    assert not store.may_ask("c1", "k2:1", NOW + DAY, ONCE)
    assert not store.reserve_survey("c1", "shop", "k2:1", NOW + DAY, ONCE)
    assert store.reserve_survey("c2", "shop", "k2:1", NOW + DAY, ONCE)


def test_a_customer_may_be_asked_again_when_the_time_is_over(store: Store) -> None:
    store.reserve_survey("c1", "acme", "k1:1", NOW, ONCE)

    assert not store.may_ask("c1", "k2:1", NOW + 30 * DAY - HOUR, ONCE)
    assert store.may_ask("c1", "k2:1", NOW + 30 * DAY, ONCE)


def test_a_limit_of_two_lets_two_ask(store: Store) -> None:
    asked = [store.reserve_survey("c1", "acme", f"k{n}:1", NOW, TWICE) for n in range(3)]

    assert asked == [True, True, False]


def test_a_question_that_is_put_down_may_be_asked_again(store: Store) -> None:
    store.reserve_survey("c1", "acme", "k1:1", NOW, ONCE)

    assert store.may_ask("c1", "k1:1", NOW + DAY, ONCE)
    assert store.reserve_survey("c1", "acme", "k1:1", NOW + DAY, ONCE)
    assert not store.may_ask("c1", "k2:1", NOW + 30 * DAY, ONCE)  # counted from the last time


def test_a_question_that_was_not_sent_is_forgotten(store: Store) -> None:
    store.reserve_survey("c1", "acme", "k1:1", NOW, ONCE)

    store.release_survey("k1:1")

    assert store.reserve_survey("c1", "shop", "k2:1", NOW, ONCE)


def test_without_a_limit_questions_are_put_down_all_the_same(store: Store) -> None:
    assert store.reserve_survey("c1", "acme", "k1:1", NOW, None)
    assert store.reserve_survey("c1", "acme", "k2:1", NOW, None)

    assert not store.may_ask("c1", "k3:1", NOW, TWICE)


def test_of_two_processes_one_asks_each_customer(store: Store, database_url: str) -> None:
    start, asked = Barrier(2), list[str]()

    def ask(account: str) -> None:
        mine = Store.open(database_url)
        start.wait()
        for n in range(20):
            if mine.reserve_survey(f"c{n}", account, f"{account}-{n}:1", NOW, ONCE):
                asked.append(f"c{n}")
        mine.close()

    threads = [Thread(target=ask, args=(account,)) for account in ("acme", "shop")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(asked) == sorted(f"c{n}" for n in range(20))


# ------------------------------------------------------------------ opting out
def test_who_opted_out_stays_so_until_they_opt_in(store: Store) -> None:
    store.opt_out("c1", NOW, "said so")
    store.opt_out("c1", NOW + DAY, "said so again")

    assert (store.has_opted_out("c1"), store.has_opted_out("c2"), store.opted_out_count()) == (True, False, 1)
    store.opt_in("c1")
    assert (store.has_opted_out("c1"), store.opted_out_count()) == (False, 0)


# ------------------------------------------------------------------ goodwill
def test_goodwill_adds_up_exactly_by_currency(store: Store) -> None:
    for amount, currency in (("0.10", "EUR"), ("0.20", "EUR"), ("100000000000000000.01", "EUR"), ("3", "USD")):
        store.spend(replace(SPENDING, amount=Decimal(amount), currency=currency), AUDIT)

    assert store.spent_on("acme", "7") == {"EUR": Decimal("100000000000000000.31"), "USD": Decimal(3)}
    assert store.spent_on("acme", "8") == {}


def test_goodwill_for_a_customer_counts_on_all_accounts(store: Store) -> None:
    store.spend(SPENDING, AUDIT)
    store.spend(replace(SPENDING, account="shop", at=NOW + DAY), AUDIT)
    store.spend(replace(SPENDING, customer=None), AUDIT)

    assert store.spent_for("c1", NOW) == {"EUR": Decimal("25.00")}
    assert store.spent_for("c1", NOW + DAY) == {"EUR": Decimal("12.50")}


def test_goodwill_leaves_an_audit_and_comes_back_as_it_was_given(store: Store) -> None:
    above = replace(SPENDING, because="a partner's mistake")
    store.spend(above, AUDIT)

    assert store.audits("acme", "7") == [AUDIT]
    assert store.spendings("acme", NOW) == [above]
    assert store.spendings("acme", NOW + DAY) == []


# ------------------------------------------------------------------ history
See = Callable[..., None]


@pytest.fixture
def rates(store: Store) -> See:
    """Store a rating of the customer c1, whose requester has another id on each account."""
    store.link_customers("acme", {"500": "c1", "501": "c2"})
    store.link_customers("shop", {"9": "c1"})

    def see(rating_id: str, days_ago: int, *, good: bool = False, account: str = "acme", source: str = "poll") -> None:
        category, value = (Category.GOOD, 2) if good else (Category.BAD, 1)
        whose = {"acme": "500", "shop": "9"}[account]
        found = Rating(
            rating_id, f"t{rating_id}", category, value, 2, NOW - days_ago * DAY, NOW, requester_id=whose
        )  # fmt: skip
        store.add_ratings(account, [found], source=source, seen_at=NOW, memory_before=NOW - 99 * DAY)

    return see


def test_the_history_of_a_customer_is_on_all_accounts_newest_first(store: Store, rates: See) -> None:
    rates("1", 5)
    rates("2", 2, good=True, account="shop")
    rates("3", 3)

    assert [one.ticket_id for one in store.history_of("c1", NOW - 9 * DAY, 9)] == ["t2", "t3", "t1"]
    assert [one.ticket_id for one in store.history_of("c1", NOW - 4 * DAY, 1)] == ["t2"]
    assert store.history_of("c2", NOW - 9 * DAY, 9) == []


def test_a_changed_rating_is_in_the_history_once_as_it_is_now(store: Store, rates: See) -> None:
    rates("1", 5)
    rates("1", 5, good=True)

    assert store.history_of("c1", NOW - 9 * DAY, 9) == [
        PastRating("acme", "t1", Category.GOOD, 2, 2, NOW - 5 * DAY, None)
    ]


def test_the_history_says_how_a_recovery_ended(store: Store, rates: See) -> None:
    rates("1", 5)
    (row,) = store.pending("acme", NOW, 9)
    store.save(decision(CASE), rating_row=row.row_id, rating_outcome="flagged")
    assert store.history_of("c1", NOW - 9 * DAY, 9)[0].outcome is None

    store.save(decision(ENDED), expected_version=1)

    assert store.history_of("c1", NOW - 9 * DAY, 9)[0].outcome is Outcome.RECOVERED


def test_of_an_import_the_history_has_the_bad_ratings(store: Store, rates: See) -> None:
    rates("1", 5, source="import")
    rates("2", 5, source="import", good=True)

    assert [one.ticket_id for one in store.history_of("c1", NOW - 9 * DAY, 9)] == ["t1"]


def test_recoveries_of_a_customer_count_on_all_accounts_without_dismissed_ones(store: Store) -> None:
    dismissed = replace(ENDED, case_id="k2", outcome=Outcome.DISMISSED)
    for case in (CASE, dismissed, replace(CASE, case_id="k3", account="shop"), other(4)):
        store.save(decision(case))

    assert store.recoveries_of_customer("c1", NOW) == 2
    assert store.recoveries_of_customer("c1", NOW + HOUR) == 0


# ------------------------------------------------------------------ the share of rated tickets
def test_ratings_are_counted_once_each_by_when_they_were_given(store: Store, rates: See) -> None:
    rates("1", 5)
    rates("1", 5, good=True)
    rates("2", 2, good=True)
    rates("3", 1, account="shop")

    assert [store.rated_since("acme", NOW - days * DAY) for days in (5, 2, 1)] == [2, 1, 0]


def test_settled_ratings_count_and_neither_memory_nor_requests_do(store: Store, rates: See) -> None:
    rates("1", 5)
    (row,) = store.pending("acme", NOW, 9)
    store.settle_ratings([(row.row_id, "no_rule", "nothing matches")])
    rates("2", 5, source="import")
    rates("3", 100)
    rates("request:4", 5, source="request")

    assert store.rated_since("acme", NOW - 300 * DAY) == 1


# ------------------------------------------------------------------ answers to our own question
def test_an_answer_waits_until_it_is_taken_to_its_case(store: Store) -> None:
    store.put_answer("acme", "k1:1", "k1", '{"value": 2}', NOW)
    store.put_answer("acme", "k1:1", "k1", '{"value": 5}', NOW + HOUR)

    (found,) = store.answers("acme", NOW + HOUR, 9)
    assert (found.ticket_id, found.raw, found.received_at) == ("k1", '{"value": 5}', NOW + HOUR)
    assert store.hints("acme", NOW + HOUR, 9) == []
    store.finish_answer(found)
    assert store.answers("acme", NOW + HOUR, 9) == []
