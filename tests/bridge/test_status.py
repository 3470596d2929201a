"""How the last 30 days of an account are summed up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bridge.model import Answer, Case, Category, Outcome, Severity, Stage
from bridge.status import Lately, lately
from bridge.store import Spending

NOW = datetime(2026, 3, 9, 9, tzinfo=UTC)
DAY = timedelta(days=1)
CASE = Case(
    case_id="c1",
    account="acme",
    ticket_id="7",
    rating_id="31",
    category=Category.BAD,
    rating=1,
    scale_max=5,
    rated_at=NOW,
    flagged_at=NOW,
    rule="Low rating",
    rules_hash="abc",
    playbook="standard",
    severity=Severity.NORMAL,
    stage=Stage.ASSIGNED,
    due_at=NOW,
    next_step="replied",
    reason="why",
    original_agent_id="1",
    assignee_id="1",
    group_id="2",
)
ENDED = replace(CASE, stage=Stage.ENDED, outcome=Outcome.STOPPED, due_at=None)


def spending(amount: str, because: str | None = None, currency: str = "EUR") -> Spending:
    return Spending("c1", "acme", "7", None, NOW, Decimal(amount), currency, because)


def figures(*cases: Case) -> Lately:
    return lately(cases, ())


def test_a_promise_counts_while_its_case_is_open() -> None:
    promised = replace(CASE, promise="Refund", promised_by=NOW + DAY)

    days = figures(promised, replace(promised, promise_broken_at=NOW), replace(ENDED, promised_by=NOW))

    assert (days.promises_open, days.promises_broken) == (1, 1)


def test_a_broken_promise_counts_also_after_the_end() -> None:
    assert figures(replace(ENDED, promised_by=NOW, promise_broken_at=NOW)).promises_broken == 1


def test_the_most_frequent_reason_for_not_asking_is_named() -> None:
    reasons = ("opted out", "surveys are off", "surveys are off")

    days = figures(*(replace(CASE, not_asked=reason) for reason in reasons))

    assert (days.not_asked, days.not_asked_mostly) == (3, "surveys are off")


def test_who_was_asked_and_who_answered_are_counted_apart() -> None:
    asked = replace(CASE, asked_at=NOW)

    days = figures(asked, replace(asked, answer=Answer(NOW, Category.GOOD, 5, 5)))

    assert (days.asked, days.answered) == (2, 1)


def test_only_cases_that_ended_for_real_lack_a_cause() -> None:
    dismissed = replace(ENDED, outcome=Outcome.DISMISSED)

    days = figures(CASE, dismissed, ENDED, replace(ENDED, cause="Too slow"))

    assert (days.cases, days.ended, days.without_a_cause) == (4, 2, 1)


def test_goodwill_is_summed_by_currency_and_overrides_are_named() -> None:
    days = lately((), [spending("5.50"), spending("20", "Third failure"), spending("3", currency="USD")])

    assert days.goodwill == {"EUR": Decimal("25.50"), "USD": Decimal(3)}
    assert days.overrides == [("c1", "20 EUR", "Third failure")]
