"""The rules against past ratings: what is counted, what is read once, and what another file changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.backtest import Badness, Figures, Past, Span, busiest, differences, figures, judge
from bridge.backtesting import backtest, past_of, read_past
from bridge.model import Category, Status
from bridge.rules import Facts, Rules, check
from bridge.store import Store
from connectors.sandbox.company import Company, company
from tests.bridge.people import DAY, HOUR, MINUTE, NOW
from tests.bridge.stories import MONDAY

RULES = """
version: 1
accounts: {acme: {connector: zendesk, url: http://127.0.0.1:1}}
settings: {timezone: Europe/Berlin}
playbooks: {standard: {}}
ignore:
  - {name: Spam, when: {tags: {has: spam}}}
rules:
  - {name: Third time, when: {rating: bad, bad_ratings_90d: {at_least: 3}}, severity: high, playbook: standard}
  - {name: Words, when: {comment: {mentions: [refund]}}, playbook: standard}
  - {name: Low, when: {rating: bad}, playbook: standard}
"""
REFUND = {"comment": "refund", "comment_present": True}


def rules(old: str = "", new: str = "") -> Rules:
    found, problems = check(RULES.replace(old, new) if old else RULES)
    assert found, problems
    return found


def past(number: int, category: str = "bad", *, customer: str = "c", agent: str = "1", **known: Any) -> Past:
    """Return a rating of that many days before NOW."""
    at = NOW - number * DAY
    bad = Category(category) is Category.BAD
    facts = {"tags": (), **known}
    is_known, closed = facts.pop("is_known", True), facts.pop("closed", None)
    if not is_known:
        facts["tags"] = None
    given = Facts(Category(category), 1 if bad else 5, at, at, "acme", bad_rated_at=(at,) * bad, **facts)
    return Past(f"r{number}", f"t{number}", customer, agent, given, is_known, closed)


def counted(*pasts: Past) -> Figures:
    by = rules()
    return figures(judge(by, sorted(pasts, key=lambda one: one.facts.rated_at)), by)


# ------------------------------------------------------------------ what is counted
def test_each_rating_is_counted_once_with_what_took_it() -> None:
    found = counted(past(1), past(2, "good"), past(3, tags=("spam",)), past(4, "good", **REFUND))

    assert (found.ratings, found.flagged, found.ignored, found.no_rule) == (4, 2, 1, 1)
    assert found.rules == {"Low": 1, "Words": 1, "Spam": 1}


def test_rules_below_that_would_match_too_are_overlaps() -> None:
    assert counted(past(1, **REFUND)).overlaps == {("Words", "Low"): 1}


def test_weeks_without_a_flagged_rating_are_shown_too() -> None:
    found = counted(past(0), past(20))

    assert found.weeks == {date(2026, 2, 16): 1, date(2026, 2, 23): 0, date(2026, 3, 2): 0, date(2026, 3, 9): 1}


def test_the_load_of_agents_is_counted_by_the_day() -> None:
    found = counted(past(1, agent="7"), past(1, agent="7"), past(2, agent="8"))

    assert found.agents == {"7": 2, "8": 1}
    assert found.busiest_agent_day == ("7", date(2026, 3, 8), 2)
    assert (found.busiest_hour, found.busiest_day) == (2, 2)


def test_customers_who_came_back_content_by_themselves_are_counted() -> None:
    found = counted(past(9, customer="a"), past(3, "good", customer="a"), past(8, customer="b"), past(2, customer="b"))

    assert found.good_anyway == (1, 2)


def test_tickets_that_are_closed_by_now_are_counted_where_that_is_known() -> None:
    assert counted(past(1, closed=True), past(2, closed=False), past(3)).closed == (1, 2)


def test_a_ticket_that_was_not_read_is_not_known() -> None:
    assert counted(past(1, is_known=False), past(2), past(3, "good", is_known=False)).not_known == 1


def test_the_share_of_a_day_counts_from_thirty_ratings() -> None:
    few, many = [past(1)], [past(2, "good")] * 29 + [past(2)]

    assert counted(*few).highest_share == 0
    assert counted(*few, *many).highest_share == pytest.approx(1 / 30)


@pytest.mark.parametrize(("minutes", "most"), [([], 0), ([0], 1), ([0, 59], 2), ([0, 60], 1), ([0, 30, 61, 80], 3)])
def test_the_busiest_hour(minutes: list[int], most: int) -> None:
    assert busiest([NOW + minute * MINUTE for minute in minutes], HOUR) == most


def test_a_customer_is_let_down_again_within_a_year() -> None:
    bad = Badness()
    bad.with_this("c", Category.BAD, NOW - 400 * DAY)
    bad.with_this("c", Category.BAD, NOW - 10 * DAY)

    assert bad.with_this("c", Category.GOOD, NOW) == (NOW - 10 * DAY,)
    assert bad.with_this("d", Category.BAD, NOW) == (NOW,)


def test_another_file_differs_where_its_words_differ() -> None:
    pasts = [past(1, **REFUND), past(2)]

    (one,) = differences(judge(rules(), pasts), judge(rules("[refund]", "[lawyer]"), pasts))

    assert (one.past.ticket_id, one.theirs, one.ours) == (
        "t1",
        '"Low" (normal, standard)',
        '"Words" (normal, standard)',
    )


# ------------------------------------------------------------------ what is stored
def test_what_was_read_of_a_ticket_is_kept_and_replaced(store: Store) -> None:
    store.put_past_tickets("acme", [("7", {"tags": ["a"]}, Status.OPEN)], NOW)
    store.put_past_tickets("acme", [("7", {"tags": ["b"]}, Status.CLOSED), ("8", {}, Status.OPEN)], NOW)
    store.put_past_tickets("shop", [], NOW)

    assert store.past_tickets("acme") == {"7": ({"tags": ["b"]}, Status.CLOSED), "8": ({}, Status.OPEN)}
    assert store.past_tickets("shop") == {}


# ------------------------------------------------------------------ an account's own past
SINCE = MONDAY - 30 * DAY


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Company]:
    with company(SINCE, tmp_path / "state") as firm:
        for number, category in enumerate(("bad", "good", "bad", "bad")):
            for account in firm.desks:
                ticket_id = firm.solved_ticket(account, "Ana", f"Mia {number}", tags=["outage-march"] * (number == 2))
                firm.desks[account].rate(ticket_id, category, "Nobody helped me")
            firm.pass_time(timedelta(days=2))
        yield firm


@pytest.mark.parametrize("account", ["acme", "shop"])
def test_the_past_is_read_once_and_nothing_is_changed(firm: Company, account: str) -> None:
    with firm.bridge() as app:
        app.run()  # before that everything is memory
        span = Span(SINCE, firm.now())
        read_past(app, account, span, [app.rules], lambda done, of: None)
        calls = len(firm.desks[account].requests)
        read_past(app, account, span, [app.rules], lambda done, of: None)
        report = backtest(app.store, app.rules, account, span)

        assert [len(firm.desks[account].requests) - calls, app.store.cases()] == [0, []]
        assert (report.figures.ratings, report.figures.flagged) == (4, 3)
        assert report.figures.rules["Outage in March"] == 1
        assert not [entry for entry in firm.world.ledger if entry.actor.startswith("api:")]


def test_ratings_that_were_decided_about_are_judged_by_what_was_seen_then(firm: Company) -> None:
    with firm.bridge() as app:
        app.run(since=SINCE)
        ticket_id = max(case.ticket_id for case in app.store.cases(account="acme"))
        firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Ana"], tags=["spam"])

        known = {one.ticket_id: one for one in past_of(app.store, "acme", Span(SINCE, firm.now()))}

        assert "spam" not in (known[ticket_id].facts.tags or ())
        assert known[ticket_id].is_known


def test_the_report_is_read_by_people(firm: Company) -> None:
    with firm.bridge() as app:
        span = Span(SINCE, firm.now())
        read_past(app, "acme", span, [app.rules], lambda done, of: None)
        text = backtest(app.store, app.rules, "acme", span, rules()).as_text()

    assert "4 ratings, 3 flagged" in text
    assert "busiest hour: 1 (tickets_per_hour: 50)" in text
    assert "against rules.yaml: 3 ratings would end otherwise" in text
    assert "1  Outage in March" in text
