"""Stories of working hours: whose they are, what they delay, and what they never delay."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.model import Stage
from tests.bridge.stories import BOTH, DAY, HOUR, MINUTE, Story, story_in

HOURS = "  - {group: Supervisors, working_hours: {mon-sat: 08:00-20:00}}"
EVENING = datetime(2026, 3, 9, 16, 0, tzinfo=UTC)  # 17:00 in Berlin; a ticket is rated at 18:00, when Care goes home
TELLS_PRODUCT = ("    note: unhappy\n    deadlines", "    note: unhappy\n    notify: product\n    deadlines")
NIGHT = datetime(2026, 3, 9, 19, 30, tzinfo=UTC)  # 20:30 in Berlin; a ticket is rated at 21:30, in quiet hours


def hours(*lines: str) -> tuple[str, str]:
    """Return a change of the rules that adds hours of somebody's own."""
    return HOURS, "\n".join([HOURS, *(f"  - {line}" for line in lines)])


# ------------------------------------------------------------------ whose hours
@BOTH
@pytest.mark.parametrize(
    "whose", ["group: Care", "agent: ana@example.com", "account: {account}"], ids=["group", "agent", "account"]
)
def test_a_deadline_counts_the_hours_of_whoever_has_the_case(tmp_path: Path, account: str, whose: str) -> None:
    late = hours(f"{{{whose.format(account=account)}, working_hours: {{mon-fri: 12:00-22:00}}}}")
    with story_in(tmp_path, account, late) as story:
        story.flagged()  # at 10:02 in Berlin

        assert story.case.due_at == datetime(2026, 3, 9, 11, 30, tzinfo=UTC)  # half an hour from 12:00


@BOTH
def test_the_hours_of_another_account_change_nothing(tmp_path: Path, account: str) -> None:
    other = {"acme": "shop", "shop": "acme"}[account]
    late = hours(f"{{account: {other}, working_hours: {{mon-fri: 12:00-22:00}}}}")
    with story_in(tmp_path, account, late) as story:
        story.flagged()

        assert story.case.due_at == story.case.flagged_at + 30 * MINUTE


@BOTH
def test_an_agent_in_another_time_zone_has_their_own_evening(tmp_path: Path, account: str) -> None:
    chicago = hours("{agent: ana@example.com, timezone: America/Chicago}")
    with story_in(tmp_path, account, chicago, start=EVENING) as story:
        story.flagged()

        assert story.case.due_at == story.case.flagged_at + 30 * MINUTE  # 12:32 there


@BOTH
def test_deadlines_change_with_the_owner(tmp_path: Path, account: str) -> None:
    late = hours("{agent: cem@example.com, working_hours: {mon-fri: 14:00-22:00}}")
    with story_in(tmp_path, account, late) as story:
        ticket_id = story.flagged()
        story.desk.assign(ticket_id, story.agent("Cem"), by=story.agent("Ben"))
        story.later(6 * MINUTE)

        assert story.case.assignee_id == story.agent("Cem")
        assert story.case.due_at == datetime(2026, 3, 9, 13, 30, tzinfo=UTC)


@BOTH
def test_a_supervisor_who_takes_over_has_the_hours_of_supervisors(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, start=EVENING) as story:
        story.flagged("You are so rude")  # after Care has gone home, and before the supervisors do

        assert story.case.assignee_id == story.agent("Zoe")
        assert story.case.due_at == story.case.flagged_at + 45 * MINUTE


@BOTH
def test_the_note_says_by_when_to_reply_in_the_agents_own_time(tmp_path: Path, account: str) -> None:
    lisbon = hours("{agent: ana@example.com, timezone: Europe/Lisbon}")
    with story_in(tmp_path, account, lisbon) as story:
        ticket_id = story.flagged()

        assert "by Mon 09 Mar 2026, 13:02 WET" in story.notes(ticket_id)[0]  # 9:02 there, and four hours


@BOTH
def test_a_holiday_of_the_team_is_no_working_time_for_it(tmp_path: Path, account: str) -> None:
    day_off = hours("{group: Care, holidays: [2026-03-09]}")
    with story_in(tmp_path, account, day_off) as story:
        story.flagged()

        assert story.case.due_at == datetime(2026, 3, 10, 8, 30, tzinfo=UTC)


# ------------------------------------------------------------------ absence
def shows(story: Story, name: str, *, here: bool) -> None:
    """An agent comes or goes, and the bridge has heard of it."""
    if story.account == "acme":
        story.firm.zendesk.set_presence(story.agent(name), "online" if here else "offline")
    else:
        story.firm.freshdesk.set_presence(story.agent(name), available=here)
    story.app.engine.desks[story.account].directory(fresh=True)


@BOTH
def test_an_agent_who_went_home_keeps_the_first_shot(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, start=EVENING) as story:
        shows(story, "Ana", here=False)
        story.later(14 * HOUR)  # over night no working hour has passed

        story.flagged()  # at 09:02 in Berlin

        assert story.case.assignee_id == story.agent("Ana")


@BOTH
def test_absence_counts_in_the_hours_of_the_agent(tmp_path: Path, account: str) -> None:
    around_the_clock = hours("{agent: ana@example.com, working_hours: {mon-sun: 00:00-24:00}}")
    with story_in(tmp_path, account, around_the_clock, start=EVENING) as story:
        shows(story, "Ana", here=False)
        story.later(14 * HOUR)

        story.flagged()

        assert story.case.assignee_id == story.agent("Cem")
        assert "has been away for more than 8 working hours" in story.case.reason


@BOTH
def test_an_owner_who_stays_away_hands_the_case_over_before_any_deadline(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, ("  quiet_hours", "  absent_after: 20m\n  quiet_hours")) as story:
        for name in ("Ana", "Cem"):
            shows(story, name, here=True)
        story.flagged()
        shows(story, "Ana", here=False)

        story.later(26 * MINUTE)

        assert story.happened() == ["flagged", "escalated"]
        assert story.case.assignee_id == story.agent("Cem")


# ------------------------------------------------------------------ quiet hours
@BOTH
def test_in_quiet_hours_a_ticket_is_noticed_and_written_at_once(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, start=NIGHT) as story:
        ticket_id = story.flagged()

        assert story.status(ticket_id) == "open"
        assert len(story.notes(ticket_id)) == 1


@BOTH
def test_an_alert_waits_for_the_end_of_the_quiet_hours(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, TELLS_PRODUCT, start=NIGHT) as story:
        story.flagged()
        story.later(10 * HOUR, every=HOUR)
        assert story.firm.chat.posted == []

        story.until(datetime(2026, 3, 10, 7, 1, tzinfo=UTC))  # 08:01 in Berlin

        assert story.told() == ["product"]


@BOTH
def test_people_are_noticed_in_quiet_hours(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, start=NIGHT) as story:
        ticket_id = story.flagged()

        story.solve(ticket_id)

        assert story.case.stage is Stage.SOLVED


@BOTH
def test_deadlines_of_people_who_work_at_night_pass_at_night(tmp_path: Path, account: str) -> None:
    at_night = hours("{group: Care, working_hours: {mon-sun: 00:00-24:00}}")
    with story_in(tmp_path, account, at_night, start=NIGHT) as story:
        story.flagged()

        story.later(3 * HOUR, every=30 * MINUTE)

        assert story.happened()[:2] == ["flagged", "reminded"]


@BOTH
def test_what_a_deadline_of_the_night_tells_is_told_in_the_morning(tmp_path: Path, account: str) -> None:
    at_night = hours("{group: Care, working_hours: {mon-sun: 00:00-24:00}}", "{group: Team Leads, working_hours: "
                     "{mon-sun: 00:00-24:00}}")  # fmt: skip
    with story_in(tmp_path, account, at_night, start=NIGHT) as story:
        story.flagged()
        story.later(5 * HOUR, every=30 * MINUTE)
        assert "notified" in story.happened()
        assert story.firm.chat.posted == []

        story.until(datetime(2026, 3, 10, 7, 1, tzinfo=UTC), every=30 * MINUTE)

        assert story.told() == ["supervisors"]


@BOTH
def test_a_check_in_waits_for_the_end_of_the_quiet_hours(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, start=NIGHT) as story:
        ticket_id = story.flagged()
        story.solve(ticket_id)  # at 21:38, and a day later it is night again
        story.later(DAY + HOUR, every=HOUR)
        assert story.case.checked_in_at is None

        story.until(datetime(2026, 3, 11, 7, 1, tzinfo=UTC), every=HOUR)

        assert story.case.checked_in_at == datetime(2026, 3, 11, 7, 1, tzinfo=UTC)
        assert "Check in" in story.notes(ticket_id)[-1]


@BOTH
def test_a_check_in_is_a_private_note_and_no_mail(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.solve(ticket_id)
        mails = [mail for mail in story.firm.world.mails if mail.to_customer]

        story.later(DAY, every=6 * HOUR)

        assert "Check in" in story.notes(ticket_id)[-1]
        assert story.status(ticket_id) == "solved"
        assert [mail for mail in story.firm.world.mails if mail.to_customer] == mails


# ------------------------------------------------------------------ digest
@BOTH
def test_a_reader_of_a_digest_hears_of_normal_cases_once_a_day(tmp_path: Path, account: str) -> None:
    to_coaches = (
        "requested: {like: standard",
        "coached: {like: standard, notify: coaches}\n  requested: {like: standard",
    )
    low = ('  - name: Low rating\n    when: {rating: bad}\n    severity: normal\n    playbook: standard',
           '  - name: Low rating\n    when: {rating: bad}\n    severity: normal\n    playbook: coached')  # fmt: skip
    with story_in(tmp_path, account, to_coaches, low) as story:
        for customer in ("Mia Maier", "Tom Tanner", "Ida Ilg"):
            story.flagged(customer=customer)
        assert story.posted("#coaching") == []

        story.until(datetime(2026, 3, 9, 15, 1, tzinfo=UTC), every=30 * MINUTE)  # 16:01 in Berlin

        (digest,) = story.posted("#coaching")
        assert f"3 tickets of {account}, digest 2026-03-09" in digest


# ------------------------------------------------------------------ the clocks change
@BOTH
def test_a_deadline_over_the_change_of_the_clocks_is_half_an_hour_into_monday(tmp_path: Path, account: str) -> None:
    saturday = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)  # 13:00 in Berlin; rated at 14:00, when Saturday's work ends
    with story_in(tmp_path, account, start=saturday) as story:
        story.flagged()

        assert story.case.due_at == datetime(2026, 3, 30, 7, 30, tzinfo=UTC)  # 09:30 in summer


@BOTH
def test_a_check_in_over_the_change_of_the_clocks_comes_a_day_later(tmp_path: Path, account: str) -> None:
    saturday = datetime(2026, 3, 28, 8, 0, tzinfo=UTC)
    with story_in(tmp_path, account, start=saturday) as story:
        ticket_id = story.flagged()
        story.solve(ticket_id)
        solved_at = story.case.solved_at

        assert solved_at
        assert story.case.due_at == solved_at + DAY
