"""Facts about what came in: pages, cursors, pending ratings, hints, failures, and who is the same customer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.model import Category, Malformed, Rating, RatingPage
from bridge.store import PURGED_AT_ONCE, PageCount, Store, StoredRating

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RATING = Rating("31", "7", Category.BAD, 1, 2, NOW - DAY, NOW - DAY, "Slow", "Took too long", "500", "60", "4")
UNREADABLE = Malformed("32", '{"id": 32}', "no field 'ticket_id'")


def page(*ratings: Rating, malformed: tuple[Malformed, ...] = (), cursor: str = "c1") -> RatingPage:
    return RatingPage(ratings, malformed, cursor)


def see(store: Store, *ratings: Rating, source: str = "poll", memory_before: datetime = NOW - 30 * DAY) -> PageCount:
    return store.add_page("acme", source, page(*ratings), source=source, seen_at=NOW, memory_before=memory_before)


def pending(store: Store, at: datetime = NOW) -> list[StoredRating]:
    return store.pending("acme", at, 100)


def test_a_rating_comes_back_as_it_was_given(store: Store) -> None:
    see(store, RATING)

    (row,) = pending(store)

    assert row.rating == RATING
    assert (row.source, row.seen_at, row.tries) == ("poll", NOW, 0)


def test_a_page_counts_what_is_new_changed_and_unreadable(store: Store) -> None:
    see(store, RATING)
    changed = replace(RATING, comment="Still slow", updated_at=NOW)
    other = replace(RATING, rating_id="33", category=Category.GOOD, value=2)

    count = store.add_page(
        "acme", "poll", page(RATING, changed, other, malformed=(UNREADABLE,)), source="poll", seen_at=NOW,
        memory_before=NOW - 30 * DAY,
    )  # fmt: skip

    assert count == PageCount(seen=3, new=1, changed=1, new_bad=1, malformed=1)


def test_a_known_page_brings_nothing(store: Store) -> None:
    see(store, RATING)

    assert see(store, RATING) == PageCount(seen=1, new=0, changed=0, new_bad=0, malformed=0)
    assert len(pending(store)) == 1


def test_the_same_rating_id_of_two_accounts_is_two_ratings(store: Store) -> None:
    see(store, RATING)
    store.add_page("shop", "poll", page(RATING), source="poll", seen_at=NOW, memory_before=NOW - 30 * DAY)

    assert len(store.pending("shop", NOW, 100)) == 1


def test_a_page_and_its_cursor_are_stored_together(store: Store) -> None:
    see(store, RATING)

    assert store.cursor("acme", "poll") == "c1"


def test_an_error_in_the_middle_of_a_page_stores_neither_rows_nor_cursor(store: Store) -> None:
    naive = Malformed("33", "{}", "no id")

    with pytest.raises(ValueError, match="no zone"):
        store.add_page(
            "acme", "poll", page(RATING, replace(RATING, rating_id="34", rated_at=NOW.replace(tzinfo=None)),
                                 malformed=(naive,)),
            source="import", seen_at=NOW, memory_before=NOW,
        )  # fmt: skip

    assert (pending(store), store.cursor("acme", "poll"), store.failures()) == ([], None, [])


def test_rows_are_taken_back_when_the_cursor_behind_them_cannot_be_written(store: Store) -> None:
    broken = RatingPage((RATING,), (UNREADABLE,), None)  # type: ignore[arg-type]

    with pytest.raises(Exception, match="please report this"):
        store.add_page("acme", "poll", broken, source="poll", seen_at=NOW, memory_before=NOW - 30 * DAY)

    assert (pending(store), store.failures()) == ([], [])


def test_a_cursor_can_be_moved_and_forgotten(store: Store) -> None:
    store.set_cursor("acme", "sweep", "a")
    store.set_cursor("acme", "sweep", "b")
    assert store.cursor("acme", "sweep") == "b"

    store.set_cursor("acme", "sweep", None)
    assert store.cursor("acme", "sweep") is None


def test_ratings_from_before_the_first_run_are_memory(store: Store) -> None:
    see(store, RATING, memory_before=NOW)

    assert pending(store) == []
    assert [row.outcome for row in store.ratings_of_ticket("acme", "7")] == ["memory"]


def test_an_import_is_memory(store: Store) -> None:
    see(store, RATING, source="import")

    assert pending(store) == []


def test_a_rating_given_during_the_import_is_decided_once_the_poll_shows_it(store: Store) -> None:
    see(store, RATING, source="import", memory_before=NOW - 2 * DAY)

    see(store, RATING, source="poll", memory_before=NOW - 2 * DAY)

    assert [row.rating for row in pending(store)] == [RATING]


def test_an_answer_that_was_changed_after_the_import_is_decided_in_its_last_version_only(store: Store) -> None:
    see(store, RATING, source="import", memory_before=NOW - 2 * DAY)
    changed = replace(RATING, comment="Fine", updated_at=NOW)

    see(store, changed, source="poll", memory_before=NOW - 2 * DAY)

    assert [row.rating for row in pending(store)] == [changed]


def test_an_old_rating_stays_memory_when_the_poll_shows_it(store: Store) -> None:
    see(store, RATING, source="import", memory_before=NOW)

    see(store, RATING, source="poll", memory_before=NOW)

    assert pending(store) == []


def test_pending_begins_with_the_oldest(store: Store) -> None:
    see(store, RATING, replace(RATING, rating_id="30", rated_at=NOW - 3 * DAY))

    assert [row.rating.rating_id for row in pending(store)] == ["30", "31"]


def test_a_settled_rating_is_pending_no_more(store: Store) -> None:
    see(store, RATING)

    store.settle_ratings([(pending(store)[0].row_id, "no_rule", "no rule matches")])

    assert pending(store) == []
    (row,) = store.ratings_of_ticket("acme", "7")
    assert (row.outcome, row.why) == ("no_rule", "no rule matches")


def test_an_outcome_is_never_replaced(store: Store) -> None:
    see(store, RATING)
    row_id = pending(store)[0].row_id
    store.settle_ratings([(row_id, "flagged", "slow")])

    store.settle_ratings([(row_id, "no_rule", "no rule matches")])

    assert store.ratings_of_ticket("acme", "7")[0].outcome == "flagged"


def test_a_rating_that_failed_waits_and_comes_again(store: Store) -> None:
    see(store, RATING)

    store.fail_rating(pending(store)[0].row_id, "crash", NOW + DAY)

    assert pending(store) == []
    assert [row.tries for row in pending(store, NOW + DAY)] == [1]


@pytest.fixture
def remembered(store: Store) -> Iterator[Store]:
    """A store whose import saw two versions of rating 31."""
    see(store, RATING, source="import")
    see(store, replace(RATING, comment="Really slow", updated_at=NOW), source="import")
    yield store


def test_since_considers_the_last_version_of_a_memory(remembered: Store) -> None:
    assert remembered.consider_since("acme", NOW - 2 * DAY) == 1

    assert [row.rating.comment for row in pending(remembered)] == ["Really slow"]


def test_since_leaves_alone_what_is_older(remembered: Store) -> None:
    assert remembered.consider_since("acme", NOW) == 0


def test_since_leaves_alone_what_was_decided_in_any_version(remembered: Store) -> None:
    remembered.consider_since("acme", NOW - 2 * DAY)
    remembered.settle_ratings([(pending(remembered)[0].row_id, "flagged", "slow")])

    assert remembered.consider_since("acme", NOW - 2 * DAY) == 0


def test_the_category_before_is_that_of_the_version_seen_before(store: Store) -> None:
    good = replace(RATING, category=Category.GOOD, value=2, updated_at=NOW)
    see(store, RATING)
    see(store, good)

    assert store.category_before("acme", good) is Category.BAD
    assert store.category_before("acme", RATING) is None


def test_an_answer_that_turned_bad_was_given_when_it_turned(store: Store) -> None:
    see(store, replace(RATING, category=Category.GOOD, value=2))
    see(store, replace(RATING, updated_at=NOW))  # the time of the first answer stays in it

    good, bad = store.ratings_of_ticket("acme", RATING.ticket_id)

    assert (good.rating.rated_at, bad.rating.rated_at) == (RATING.rated_at, NOW)


# ------------------------------------------------------------------ what customers write
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("a\ud800b", "a?b"),
        ("Zu langsam, schöne Grüße \N{SNOWMAN}", "Zu langsam, schöne Grüße \N{SNOWMAN}"),
        ("x" * 70_000, "x" * 5_000),
        ("'; DROP TABLE rating; --", "'; DROP TABLE rating; --"),
    ],
)
def test_whatever_a_customer_writes_can_be_stored(store: Store, given: str, kept: str) -> None:
    see(store, replace(RATING, comment=given))

    assert pending(store)[0].rating.comment == kept


def test_a_cut_comment_keeps_the_version_of_the_whole(store: Store) -> None:
    long = replace(RATING, comment="x" * 70_000)
    see(store, long)

    assert pending(store)[0].rating.version == long.version
    assert see(store, long).changed == 0


# ------------------------------------------------------------------ what cannot be read
def test_an_unreadable_record_is_kept_and_counted_once(store: Store) -> None:
    bad = page(malformed=(UNREADABLE,))
    add = [
        store.add_page("acme", "poll", bad, source="poll", seen_at=NOW, memory_before=NOW).malformed for _ in range(2)
    ]

    assert add == [1, 0]
    (failure,) = store.failures()
    assert (failure.kind, failure.key, failure.error) == ("record", "32", "no field 'ticket_id'")


def test_an_unreadable_record_is_forgiven_once_its_rating_can_be_read(store: Store) -> None:
    store.add_page("acme", "p", page(malformed=(UNREADABLE,)), source="poll", seen_at=NOW, memory_before=NOW)

    see(store, replace(RATING, rating_id="32"))

    assert store.failures() == []


def test_retrying_lets_failed_ratings_and_hints_come_at_once(store: Store) -> None:
    see(store, RATING)
    store.fail_rating(pending(store)[0].row_id, "crash", NOW + DAY)
    store.add_hint("acme", "d1", "7", NOW)
    store.fail_hint(store.hints("acme", NOW, 10)[0].hint_id, "no such ticket", None)
    assert sorted(failure.kind for failure in store.failures()) == ["hint", "rating"]

    assert store.retry_failures() == 2

    assert (len(pending(store)), len(store.hints("acme", NOW, 10)), store.failures()) == (1, 1, [])


# ------------------------------------------------------------------ hints
def test_a_delivery_is_accepted_once(store: Store) -> None:
    assert store.add_hint("acme", "d1", "7", NOW)
    assert not store.add_hint("acme", "d1", "7", NOW)

    assert [hint.ticket_id for hint in store.hints("acme", NOW, 10)] == ["7"]


def follow(store: Store, *ratings: Rating) -> int:
    """Follow every hint of acme, to these ratings."""
    ids = [hint.hint_id for hint in store.hints("acme", NOW, 10)]
    return store.follow_hints("acme", ids, ratings, seen_at=NOW, acts_from=NOW - 30 * DAY)


def test_a_followed_hint_does_not_come_again(store: Store) -> None:
    store.add_hint("acme", "d1", "7", NOW)

    assert follow(store, RATING) == 1

    assert (store.hints("acme", NOW, 10), store.next_hint_at("acme")) == ([], None)
    assert [row.source for row in pending(store)] == ["hint"]
    assert not store.add_hint("acme", "d1", "7", NOW)


def test_a_hint_tells_when_it_is_ripe(store: Store) -> None:
    store.add_hint("acme", "d1", "7", NOW, NOW + HOUR)
    store.add_hint("acme", "d2", "8", NOW + HOUR)

    assert [hint.not_before for hint in store.hints("acme", NOW, 10)] == [NOW + HOUR]
    assert store.next_hint_at("acme") == NOW + HOUR


def test_failed_hints_stand_in_nobody_s_way(store: Store) -> None:
    for number in range(3):
        store.add_hint("acme", f"d{number}", "7", NOW)
        store.fail_hint(store.hints("acme", NOW, 1)[0].hint_id, "no such ticket", NOW + DAY)
    store.add_hint("acme", "d9", "9", NOW)

    assert [hint.ticket_id for hint in store.hints("acme", NOW, 1)] == ["9"]


def test_followed_hints_are_forgotten_in_batches_others_never(store: Store) -> None:
    store.add_hints([("acme", f"d{number}", "7", NOW) for number in range(PURGED_AT_ONCE + 1)], NOW)
    ids = [hint.hint_id for hint in store.hints("acme", NOW, 2 * PURGED_AT_ONCE)]
    store.follow_hints("acme", ids, [], seen_at=NOW, acts_from=NOW)
    store.add_hint("acme", "waits", "7", NOW - DAY)
    store.add_hint("acme", "young", "8", NOW + HOUR)

    assert [store.purge_hints("acme", NOW + HOUR) for _ in range(3)] == [PURGED_AT_ONCE, 1, 0]
    assert [hint.ticket_id for hint in store.hints("acme", NOW + HOUR, 10)] == ["7", "8"]


def test_of_a_settled_answer_the_words_are_gone_and_the_value_stands(store: Store) -> None:
    store.put_answer("acme", "k1:1", "k1", "old words", NOW - DAY)
    store.finish_answer(store.answers("acme", NOW, 10)[0])
    store.put_answer("acme", "k2:1", "k2", "words that nobody took yet", NOW - DAY)

    (found,) = store.followed_answers("acme", NOW, 10)
    store.settle_answer(found, "value")

    kept = store.answer("acme", "k1:1")
    assert (kept and kept.raw, store.followed_answers("acme", NOW, 10)) == ("value", [])


def test_a_failed_hint_waits_for_its_time(store: Store) -> None:
    store.add_hint("acme", "d1", "7", NOW)

    store.fail_hint(store.hints("acme", NOW, 10)[0].hint_id, "no such ticket", NOW + DAY)

    assert store.hints("acme", NOW, 10) == []
    assert [hint.tries for hint in store.hints("acme", NOW + DAY, 10)] == [1]


def test_many_deliveries_are_kept_together_each_once(store: Store) -> None:
    store.add_hint("acme", "d1", "7", NOW)

    came = [("acme", "d1", "7", NOW), ("acme", "d2", "8", NOW), ("shop", "d2", "8", NOW), ("acme", "d2", "8", NOW)]

    assert store.add_hints(came, NOW) == [False, True, True, False]
    assert [hint.ticket_id for hint in store.hints("acme", NOW, 10)] == ["7", "8"]
    assert store.hints("acme", NOW, 10)[1].received_at == NOW


def test_bad_ratings_that_polls_found_are_told_from_the_others(store: Store) -> None:
    see(store, RATING)
    last = store.last_row()
    see(store, replace(RATING, rating_id="32", ticket_id="8"), source="hint")
    see(store, replace(RATING, rating_id="33", ticket_id="9", category=Category.GOOD))
    see(store, replace(RATING, rating_id="34", ticket_id="10"))
    until = store.last_row()
    see(store, replace(RATING, rating_id="35", ticket_id="11"))

    assert [(found.account, found.ticket_id) for found in store.found_by_polls(last, until)] == [("acme", "10")]


def test_a_webhook_told_of_a_ticket_if_it_came_then(store: Store) -> None:
    store.add_hint("acme", "d1", "7", NOW)
    follow(store)

    assert store.was_hinted("acme", "7", NOW - HOUR, NOW)
    assert not store.was_hinted("acme", "7", NOW + HOUR, NOW + DAY)
    assert not store.was_hinted("acme", "8", NOW - HOUR, NOW)
    assert not store.was_hinted("shop", "7", NOW - HOUR, NOW)


# ------------------------------------------------------------------ customers
def test_a_customer_is_known_by_the_key_of_the_requester(store: Store) -> None:
    store.link_customers("acme", {"500": "k1"})
    store.link_customers("acme", {"500": "k2"})

    assert store.customer_key("acme", "500") == "k2"
    assert store.customer_key("shop", "500") is None


def test_bad_ratings_of_one_customer_add_up_across_accounts(store: Store) -> None:
    see(store, RATING)
    elsewhere = replace(RATING, rating_id="9", requester_id="77", rated_at=NOW - 5 * DAY)
    store.add_page("shop", "poll", page(elsewhere), source="poll", seen_at=NOW, memory_before=NOW)
    store.link_customers("acme", {"500": "k1"})
    store.link_customers("shop", {"77": "k1"})

    assert store.bad_times("k1", "shop", "77", NOW - 30 * DAY) == (NOW - 5 * DAY, NOW - DAY)


def test_a_requester_without_key_has_the_bad_ratings_of_this_account(store: Store) -> None:
    see(store, RATING, replace(RATING, rating_id="32", requester_id="501"))

    assert store.bad_times(None, "acme", "500", NOW - 30 * DAY) == (NOW - DAY,)


def test_a_rating_counts_as_bad_once_even_if_it_is_good_by_now(store: Store) -> None:
    see(store, RATING)
    see(store, replace(RATING, comment="more", rated_at=NOW - DAY / 2, updated_at=NOW - DAY / 2))
    see(store, replace(RATING, category=Category.GOOD, value=2, updated_at=NOW, rated_at=NOW))

    assert store.bad_times(None, "acme", "500", NOW - 30 * DAY) == (NOW - DAY / 2,)


def test_good_and_older_ratings_are_not_bad_times(store: Store) -> None:
    good = replace(RATING, rating_id="32", category=Category.GOOD, value=2)
    old = replace(RATING, rating_id="33", rated_at=NOW - 50 * DAY)
    see(store, good, old)

    assert store.bad_times(None, "acme", "500", NOW - 30 * DAY) == ()


def test_bad_times_of_many_come_by_person(store: Store) -> None:
    see(store, RATING)

    found = store.bad_times_of("acme", [("k1", "500"), (None, "501"), (None, None)], NOW - 30 * DAY)

    assert found == {("k1", "500"): (NOW - DAY,), (None, "501"): (), (None, None): ()}


def test_bad_raters_whose_customer_is_not_known_yet_can_be_looked_up(store: Store) -> None:
    others = [replace(RATING, rating_id=f"9{who}", requester_id=who) for who in ("501", "502", None)]
    see(store, RATING, *others, replace(RATING, rating_id="40", requester_id="503", category=Category.GOOD))
    store.link_customers("acme", {"501": "k1"})

    assert store.unlinked_requesters("acme", NOW - 30 * DAY, 10) == ["500", "502"]
    assert store.unlinked_requesters("acme", NOW, 10) == []


def test_an_answer_that_failed_comes_at_once_when_somebody_asks_for_it(store: Store) -> None:
    store.put_answer("acme", "k1:1", "k1", "{}", NOW)
    (answer,) = store.answers("acme", NOW, 10)
    store.fail_hint(answer.hint_id, "its ticket cannot be read", NOW + DAY)

    assert (store.answers("acme", NOW, 10), store.retry_failures()) == ([], 1)
    assert len(store.answers("acme", NOW, 10)) == 1


# ------------------------------------------------------------------ limits
def test_the_first_rating_that_is_held_stops_its_account_with_it(store: Store) -> None:
    see(store, RATING, replace(RATING, rating_id="33"))
    first, second = pending(store)

    held = [store.hold_rating("acme", row.row_id, "limits", NOW) for row in (first, second)]

    state = store.account_state("acme")
    assert (held, pending(store, NOW + 30 * DAY)) == ([True, False], [])
    assert (state["held"], state["held_at"]) == ("limits", NOW.isoformat())
