"""Stories of limits, floods and incidents: what is held, what goes on, and who hears of it once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bridge.by_hand import resumed
from bridge.model import Category, Outcome, Stage
from tests.bridge.stories import BOTH, DAY, HOUR, MINUTE, Story, story_in

NIGHT = datetime(2026, 3, 9, 19, 30, tzinfo=UTC)  # 20:30 in Berlin; a ticket is rated at 21:30, in quiet hours
ONE_AN_HOUR = ("tickets_per_hour: 50", "tickets_per_hour: 1")
ONE_A_DAY = ("tickets_per_hour: 50", "tickets_per_day: 1")


def two_rated(story: Story) -> None:
    """Two customers rate badly at the same time."""
    tickets = [story.firm.solved_ticket(story.account, "Ana", name) for name in ("Mia Maier", "Tom Tanner")]
    for ticket_id in tickets:
        story.desk.rate(ticket_id, "bad", "Nobody helped me")
    story.later(2 * MINUTE)


# ------------------------------------------------------------------ limits of the account
@BOTH
def test_whoever_is_named_hears_once_that_new_cases_are_held(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, ONE_AN_HOUR) as story:
        two_rated(story)
        story.later(25 * MINUTE, every=5 * MINUTE)

        (told,) = story.posted("#recovery-leads")
        assert f"recovery-bridge resume {account}" in told


@BOTH
def test_that_cases_are_held_is_told_after_the_quiet_hours(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, ONE_AN_HOUR, start=NIGHT) as story:
        two_rated(story)

        assert story.firm.chat.posted == []


@BOTH
def test_deadlines_of_open_cases_go_on_while_new_ones_are_held(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, ONE_A_DAY) as story:
        two_rated(story)

        story.later(31 * MINUTE)

        assert story.happened() == ["flagged", "held", "reminded"]


def test_a_held_rating_that_turns_good_opens_nothing_when_it_is_resumed(tmp_path: Path) -> None:
    account = "acme"  # on this Freshdesk a second answer stands beside the first
    with story_in(tmp_path, account, ONE_A_DAY) as story:
        story.flagged()
        held = story.flagged(customer="Tom Tanner")
        story.desk.rate(held, "good", "Thank you")
        story.later(DAY)

        story.app.store.resume(resumed(account, story.firm.now()))
        story.later(10 * MINUTE)

        assert len([one for one in story.app.store.cases(open_only=True) if one.ticket_id == held]) == 0


# ------------------------------------------------------------------ limits of a customer and a ticket
@BOTH
def test_a_customer_who_had_enough_recoveries_gets_no_further_one(tmp_path: Path, account: str) -> None:
    with story_in(
        tmp_path, account, ("recoveries_per_customer: 4 in 90d", "recoveries_per_customer: 1 in 90d")
    ) as story:
        first = story.flagged()
        story.desk.rate(first, "good", "Thank you")
        story.later(6 * MINUTE)
        assert story.case.outcome is Outcome.RECOVERED

        story.flagged()

        assert story.why("stopped") == ["this customer had 1 recoveries already (limits: recoveries_per_customer)"]


# ------------------------------------------------------------------ incidents
@BOTH
def test_the_cases_of_an_incident_are_no_flood_and_leads_get_one_list(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, ONE_AN_HOUR) as story:
        for number in range(3):
            ticket_id = story.firm.solved_ticket(
                account, "Ana", f"Cust {'ABC'[number]}", takes=MINUTE, tags=["outage-march"]
            )
            story.desk.rate(ticket_id, "bad", "Nothing works")
        story.later(2 * MINUTE)
        assert [case.incident for case in story.app.store.cases()] == ["Outage in March"] * 3

        story.later(4 * HOUR + 20 * MINUTE, every=20 * MINUTE)

        (told,) = story.posted("#recovery-supervisors")
        assert f"3 tickets of {account}, incident Outage in March" in told


# ------------------------------------------------------------------ hygiene
@BOTH
def test_a_comment_that_comes_within_the_grace_time_confirms_at_once(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged(comment=None)
        assert (story.case.stage, story.status(ticket_id)) == (Stage.UNCONFIRMED, "solved")
        story.firm.pass_time(MINUTE)
        story.desk.rate(ticket_id, "bad", "It broke again")

        story.later(2 * MINUTE)

        assert (story.case.stage, story.status(ticket_id)) == (Stage.ASSIGNED, "open")


@BOTH
def test_a_bad_rating_of_another_ticket_after_the_solution_is_not_lost(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        first = story.flagged()
        story.solve(first)

        story.flagged("And this one is wrong, too")

        case = story.case
        assert case.category is Category.BAD
        assert case.solved_at is None
