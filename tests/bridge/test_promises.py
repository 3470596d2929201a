"""Stories of promises: put down by command or in a ticket field, watched, kept or broken, and told once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge import by_hand
from bridge.model import Outcome
from tests.bridge.stories import BOTH, DAY, HOUR, MINUTE, MONDAY, Story, own_fields, story_in, told_in
from tests.in_process import company

TEN_DAYS = ("survey:\n      after: 2d", "survey:\n      after: 10d")  # so that the case lives longer than its promise
TUESDAY_ENDS = datetime(2026, 3, 10, 23, 0, tzinfo=UTC)  # midnight in Berlin


@contextmanager
def with_field(folder: Path, account: str) -> Iterator[tuple[Story, str]]:
    """Tell a story where agents put down in a field until when something is promised."""
    with company(MONDAY, folder) as firm:
        (name,) = own_fields(firm, account, "promised")
        quoted = f'"{name}"' if name.isdigit() else name
        field = ("  quiet_hours:", f"  ticket_fields: {{promised_by: {quoted}}}\n  quiet_hours:")
        with told_in(firm, account, field, TEN_DAYS) as story:
            yield story, name


def promise(story: Story, within: timedelta, what: str = "A refund") -> None:
    now = story.firm.now()
    decision = by_hand.promise(story.case, what, now + within, UTC, now)
    story.app.store.save(decision, expected_version=story.case.version)


def breaches(story: Story) -> list[str]:
    return [alert.text or "" for alert in story.alerts(None) if alert.step.startswith("promise:")]


# ------------------------------------------------------------------ by command
@BOTH
def test_a_broken_promise_alerts_the_lead_once_at_the_first_run_after_it(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, TEN_DAYS) as story:
        story.reply(story.flagged())
        promise(story, 50 * MINUTE)
        story.later(49 * MINUTE, every=7 * MINUTE)
        assert breaches(story) == []

        story.later(2 * DAY, every=6 * HOUR)

        (told,) = breaches(story)
        assert "a promise to the customer is not kept: A refund" in told
        assert story.why("promise_broken") == ["promised and not done: A refund"]
        assert any("A refund" in text for text in story.posted("#recovery-leads"))


@BOTH
def test_a_promise_that_is_kept_alerts_nobody(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, TEN_DAYS) as story:
        story.reply(story.flagged())
        promise(story, DAY)
        story.later(HOUR)
        kept = by_hand.promise_kept(story.case, story.firm.now())
        story.app.store.save(kept, expected_version=story.case.version)

        story.later(2 * DAY, every=6 * HOUR)

        assert breaches(story) == []


@BOTH
def test_a_solution_does_not_keep_a_promise(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, TEN_DAYS) as story:
        ticket_id = story.flagged()
        promise(story, DAY)

        story.solve(ticket_id)
        story.later(DAY, every=6 * HOUR)

        assert len(breaches(story)) == 1
        assert story.case.is_open


@BOTH
def test_a_new_promise_after_a_broken_one_is_watched_again(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, TEN_DAYS) as story:
        story.reply(story.flagged())
        promise(story, HOUR)
        story.later(2 * HOUR, every=30 * MINUTE)
        promise(story, HOUR, "A call")

        story.later(2 * HOUR, every=30 * MINUTE)

        assert [text.partition("kept: ")[2] for text in breaches(story)] == ["A refund", "A call"]


@BOTH
def test_a_promise_breaks_in_the_night_and_is_told_in_the_morning(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, TEN_DAYS) as story:
        story.reply(story.flagged())
        promise(story, 13 * HOUR)  # 23:07 in Berlin
        story.later(14 * HOUR, every=HOUR)
        assert story.case.promise_broken_at
        assert story.posted("#recovery-leads") == []

        story.later(9 * HOUR, every=HOUR)

        assert len(story.posted("#recovery-leads")) == 1


# ------------------------------------------------------------------ by ticket field
@BOTH
def test_the_whole_day_in_the_field_counts(tmp_path: Path, account: str) -> None:
    with with_field(tmp_path, account) as (story, field):
        ticket_id = story.flagged()
        story.reply(ticket_id)

        story.fill(ticket_id, field, "2026-03-10")
        story.later(6 * MINUTE)

        assert (story.case.promise, story.case.promised_by) == ("see the ticket", TUESDAY_ENDS)


@BOTH
def test_a_promise_in_the_field_that_is_broken_is_told_once(tmp_path: Path, account: str) -> None:
    with with_field(tmp_path, account) as (story, field):
        ticket_id = story.flagged()
        story.reply(ticket_id)
        story.fill(ticket_id, field, "2026-03-10")

        story.later(3 * DAY, every=8 * HOUR)

        assert len(breaches(story)) == 1


@BOTH
def test_a_later_day_in_the_field_is_another_promise(tmp_path: Path, account: str) -> None:
    with with_field(tmp_path, account) as (story, field):
        ticket_id = story.flagged()
        story.reply(ticket_id)
        story.fill(ticket_id, field, "2026-03-09")
        story.later(DAY, every=6 * HOUR)

        story.fill(ticket_id, field, "2026-03-11")
        story.later(3 * DAY, every=8 * HOUR)

        assert len(breaches(story)) == 2


@BOTH
def test_a_day_that_is_over_when_it_comes_into_the_field_is_told_no_second_time(tmp_path: Path, account: str) -> None:
    with with_field(tmp_path, account) as (story, field):
        ticket_id = story.flagged()
        story.reply(ticket_id)
        for day in ("2026-03-09", "2026-03-20", "2026-03-09"):
            story.fill(ticket_id, field, day)
            story.later(DAY, every=8 * HOUR)

        assert len(breaches(story)) == 1
        assert story.case.due_at
        assert story.case.due_at > story.firm.now()


@BOTH
def test_an_agent_who_empties_the_field_has_kept_the_promise(tmp_path: Path, account: str) -> None:
    with with_field(tmp_path, account) as (story, field):
        ticket_id = story.flagged()
        story.reply(ticket_id)
        story.fill(ticket_id, field, "2026-03-10")
        story.later(HOUR)

        story.fill(ticket_id, field, None)
        story.later(3 * DAY, every=8 * HOUR)

        assert breaches(story) == []


@BOTH
def test_what_was_promised_by_command_stays_whatever_the_field_says(tmp_path: Path, account: str) -> None:
    with with_field(tmp_path, account) as (story, field):
        ticket_id = story.flagged()
        story.reply(ticket_id)
        promise(story, 3 * DAY)

        story.fill(ticket_id, field, "2026-03-10")
        story.later(6 * MINUTE)

        assert story.case.promise == "A refund"


@BOTH
def test_a_field_that_holds_no_day_promises_nothing(tmp_path: Path, account: str) -> None:
    with with_field(tmp_path, account) as (story, field):
        ticket_id = story.flagged()
        story.fill(ticket_id, field, "as soon as we can")

        story.later(6 * MINUTE)

        assert story.case.promise is None


@BOTH
def test_a_promise_ends_with_its_case(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.solve(ticket_id)
        promise(story, 20 * DAY)

        for _ in range(12):
            story.later(DAY)

        assert story.case.outcome is Outcome.NO_RESPONSE
        assert story.case.due_at is None
