"""Stories of the ladder: who has a case next, what a human chose, and what is said once."""

from __future__ import annotations

from pathlib import Path

from bridge.model import Stage
from tests.bridge.stories import BOTH, DAY, HOUR, MINUTE, Story, story_in


def leaves(story: Story, name: str) -> None:
    """Somebody leaves the company, and the bridge has heard of it."""
    story.desk.remove_agent(story.agent(name))
    story.app.engine.desks[story.account].directory(fresh=True)


# ------------------------------------------------------------------ owners who are gone
@BOTH
def test_an_escalated_case_never_goes_back_when_the_lead_leaves(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.later(2 * HOUR + MINUTE, every=30 * MINUTE)
        assert story.case.assignee_id == story.agent("Ben")
        story.firm.hire(account, "Bea", "bea@example.com", "Team Leads")
        leaves(story, "Ben")

        story.later(6 * MINUTE)

        assert story.holder(ticket_id) == story.agent("Bea")


@BOTH
def test_when_the_only_lead_leaves_somebody_is_told_and_nobody_further_down_gets_it(
    tmp_path: Path, account: str
) -> None:
    with story_in(tmp_path, account) as story:
        story.flagged()
        story.later(2 * HOUR + MINUTE, every=30 * MINUTE)
        leaves(story, "Ben")

        story.later(6 * MINUTE)

        assert story.case.assignee_id not in (story.agent("Ana"), story.agent("Cem"))
        assert story.told() == ["leads"]


@BOTH
def test_a_lead_whom_the_helpdesk_refuses_sends_nothing_back_to_the_team(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, ("  quiet_hours", "  directory_age: 1d\n  quiet_hours")) as story:
        story.flagged()
        story.desk.remove_agent(story.agent("Ben"))  # and the directory of a moment ago does not know

        story.later(2 * HOUR + 2 * MINUTE, every=30 * MINUTE)

        assert "escalated" in story.happened()
        assert story.case.assignee_id != story.agent("Cem")
        assert "leads" in story.told()


def test_an_owner_chosen_by_a_human_who_leaves_hands_over_and_the_ladder_goes_on(tmp_path: Path) -> None:
    with story_in(tmp_path, "acme") as story:  # on Freshdesk any edit counts as the owner's
        ticket_id = story.flagged()
        story.firm.pass_time(2 * MINUTE)
        story.desk.assign(ticket_id, story.agent("Cem"), by=story.agent("Ben"))
        story.later(6 * MINUTE)
        leaves(story, "Cem")
        story.later(6 * MINUTE)
        assert story.case.assignee_id == story.agent("Ana")

        story.later(2 * HOUR, every=30 * MINUTE)

        assert story.case.assignee_id == story.agent("Ben")


@BOTH
def test_a_departure_is_acted_on_once(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        story.flagged()
        leaves(story, "Cem")
        leaves(story, "Ben")
        leaves(story, "Ana")

        story.later(HOUR, every=6 * MINUTE)

        assert story.happened().count("notified") == 1


# ------------------------------------------------------------------ what a human chose
@BOTH
def test_a_human_may_give_an_escalated_case_back_and_then_it_stays(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.later(2 * HOUR + MINUTE, every=30 * MINUTE)
        story.desk.assign(ticket_id, story.agent("Ana"), by=story.agent("Ben"))

        story.later(DAY, every=6 * HOUR)

        assert story.case.assignee_id == story.holder(ticket_id) == story.agent("Ana")
        assert "notified" in story.happened()


# ------------------------------------------------------------------ silence
@BOTH
def test_each_silence_reminds_the_owner_once(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.reply(ticket_id)

        story.later(3 * DAY, every=6 * HOUR)
        assert story.happened().count("reminded") == 1
        story.reply(ticket_id)
        story.later(3 * DAY, every=6 * HOUR)

        assert story.happened().count("reminded") == 2
        assert "has not heard from us" in story.notes(ticket_id)[-1]


@BOTH
def test_a_solved_case_is_not_silent(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        story.solve(story.flagged())

        story.later(3 * DAY, every=6 * HOUR)

        assert "reminded" not in story.happened()


# ------------------------------------------------------------------ abuse
@BOTH
def test_an_abusive_customer_is_handed_to_a_lead_once(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.tag(ticket_id, "sr_abusive")
        story.later(6 * MINUTE)
        assert story.holder(ticket_id) == story.agent("Ben")

        story.later(2 * HOUR, every=6 * MINUTE)

        assert story.happened().count("escalated") == 1
        assert [note for note in story.notes(ticket_id) if "abusive" in note] == story.notes(ticket_id)[1:2]


@BOTH
def test_a_customer_known_as_abusive_goes_to_a_lead_first(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        story.flagged(customer_tags=["abusive"])

        assert story.case.assignee_id == story.agent("Ben")


@BOTH
def test_a_ticket_that_was_solved_with_the_tag_for_abuse_is_not_opened_again(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.reply(ticket_id)
        story.tag(ticket_id, "sr_abusive")
        story.desk.solve(ticket_id, story.agent("Ana"))

        story.later(6 * MINUTE)

        assert (story.status(ticket_id), story.case.stage) == ("solved", Stage.SOLVED)


# ------------------------------------------------------------------ more than one thing at once
@BOTH
def test_a_reminder_that_may_not_be_written_stops_no_alert(tmp_path: Path, account: str) -> None:
    one_write = ("writes_per_ticket_per_day: 6", "writes_per_ticket_per_day: 1")
    nobody_else = ("      - {within: 2h,  until: acknowledged, otherwise: {assign: leads}}\n", "")
    with story_in(tmp_path, account, one_write, nobody_else) as story:
        ticket_id = story.flagged()

        story.later(5 * HOUR, every=30 * MINUTE)

        assert len(story.notes(ticket_id)) == 1
        assert story.told() == ["supervisors"]


@BOTH
def test_every_deadline_is_acted_on_at_the_first_run_after_it(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        story.flagged()
        flagged_at = story.case.flagged_at
        story.later(5 * HOUR, every=7 * MINUTE)

        audits = {audit.what: audit.at for audit in story.app.store.audits(case_id=story.case.case_id)}
        late = [audits["reminded"] - flagged_at - 30 * MINUTE, audits["escalated"] - flagged_at - 2 * HOUR]
        assert all(0 * MINUTE <= one < 7 * MINUTE for one in late)
