"""Stories of learning: why customers were let down, as agents say it with a tag or a field, or when they are asked."""

from __future__ import annotations

from pathlib import Path

from bridge import by_hand
from bridge.model import Outcome
from tests.bridge.stories import BOTH, DAY, MINUTE, MONDAY, own_fields, story_in, told_in
from tests.in_process import company

NO_CHECK_IN = ("    check_in: {after: 1d}       # a task for the owner: does the fix hold?\n", "")
ASKED = "What went wrong? Please add one of these tags, so that we learn from it: cause-slow, cause-wrong"


@BOTH
def test_a_tag_says_why_and_whose_failure_it_was(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.tag(ticket_id, "cause-defect")
        story.solve(ticket_id)

        story.later(11 * DAY, every=DAY)

        case = story.case
        assert (case.outcome, case.cause, case.party) == (Outcome.NO_RESPONSE, "Defect", "product")
        assert ASKED not in "".join(story.notes(ticket_id))


@BOTH
def test_a_missing_cause_is_asked_for_once_with_the_check_in(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.solve(ticket_id)
        story.later(DAY)
        story.desk.customer_replies(ticket_id, "It is broken again")
        story.later(6 * MINUTE)
        story.solve(ticket_id)

        story.later(2 * DAY, every=DAY)

        asking = [note for note in story.notes(ticket_id) if ASKED in note]
        assert len(asking) == 1
        assert "Check in" in asking[0]


@BOTH
def test_without_a_check_in_the_cause_is_asked_for_at_the_solution(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, NO_CHECK_IN) as story:
        ticket_id = story.flagged()

        story.solve(ticket_id)

        assert ASKED in story.notes(ticket_id)[-1]


@BOTH
def test_a_tag_that_comes_after_the_question_is_learned(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, NO_CHECK_IN) as story:
        ticket_id = story.flagged()
        story.solve(ticket_id)
        story.tag(ticket_id, "cause-carrier")

        story.later(11 * DAY, every=DAY)

        assert (story.case.cause, story.case.party) == ("Carrier", "third_party")


@BOTH
def test_a_field_says_it_too_and_what_was_done(tmp_path: Path, account: str) -> None:
    with company(MONDAY, tmp_path) as firm:
        cause, remedy = own_fields(firm, account, "cause", "remedy")
        named = f'{{cause: "{cause}", remedy: "{remedy}"}}'
        with told_in(firm, account, ("  quiet_hours:", f"  ticket_fields: {named}\n  quiet_hours:")) as story:
            ticket_id = story.flagged()
            story.fill(ticket_id, cause, "our policy")
            story.fill(ticket_id, remedy, "Sent again")
            story.desk.rate(ticket_id, "good", "Thank you")
            story.later(6 * MINUTE)

            case = story.case
            assert (case.outcome, case.cause, case.party) == (Outcome.RECOVERED, "Our policy", "policy")
            assert case.remedy == "Sent again"


@BOTH
def test_what_the_command_says_wins_over_the_tag(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.tag(ticket_id, "cause-slow")
        learned = by_hand.Learned(cause="Defect", party="product")
        closed = by_hand.close(story.case, Outcome.UNFIXABLE, learned, story.firm.now())
        story.app.store.save(closed, expected_version=story.case.version)

        story.later(6 * MINUTE)

        assert (story.case.cause, story.case.party, story.case.outcome) == ("Defect", "product", Outcome.UNFIXABLE)
