"""Stories of agents who ask for a recovery with the tag sr_request: a case without a rating, once."""

from __future__ import annotations

from pathlib import Path

from bridge.model import Category, Outcome, Stage
from tests.bridge.stories import BOTH, DAY, HOUR, MINUTE, Story, story_in

HISTORY = ("    A colleague asks you", "    Earlier ratings: {history|none}. A colleague asks you")


def asked(story: Story, customer: str = "Mia Maier") -> str:
    """An agent asks for a recovery of a ticket that nobody has rated."""
    ticket_id = story.firm.solved_ticket(story.account, "Ana", customer)
    story.tag(ticket_id, "sr_request", by="Cem")
    story.later(16 * MINUTE)
    return ticket_id


@BOTH
def test_a_request_opens_a_case_without_a_rating_and_without_delay(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = asked(story)

        case = story.case
        assert (case.is_request, case.rule, case.stage) == (True, "An agent asked for it", Stage.ASSIGNED)
        assert story.status(ticket_id) == "open"
        assert "A colleague asks you to make this right for Mia by Mon 09 Mar" in story.notes(ticket_id)[0]


@BOTH
def test_a_request_is_acted_on_once_however_long_the_tag_stays(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        story.solve(asked(story))
        story.later(10 * DAY, every=DAY)

        story.later(HOUR, every=16 * MINUTE)

        assert story.case.outcome is Outcome.NO_RESPONSE


@BOTH
def test_a_tag_that_comes_while_a_case_is_open_opens_no_other_one_afterwards(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        story.tag(ticket_id, "sr_request")
        story.later(16 * MINUTE)
        story.desk.rate(ticket_id, "good", "Thank you")
        story.later(16 * MINUTE)
        assert story.case.outcome is Outcome.RECOVERED

        story.later(HOUR, every=16 * MINUTE)

        assert len(story.app.store.cases()) == 1


@BOTH
def test_a_request_for_a_customer_with_an_open_case_says_that_an_agent_asked(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        first = story.flagged()

        other = asked(story)

        assert story.case.ticket_id == first
        assert story.notes(other) == []
        assert f"asked for a recovery of ticket {other}" in "".join(story.notes(first))


@BOTH
def test_a_request_is_no_bad_rating_of_its_customer(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        asked(story)

        key = story.case.customer
        times = story.app.store.bad_times(key, account, None, story.firm.now() - 90 * DAY)
        assert (list(times), story.case.category) == ([], Category.NEUTRAL)


@BOTH
def test_the_history_of_a_customer_has_the_last_rating_when_an_agent_asks(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account, HISTORY) as story:
        rated = story.flagged()
        story.desk.delete(rated, by=story.agent("Ben"))
        story.later(40 * MINUTE)

        ticket_id = asked(story)

        assert f"(ticket {rated}" in story.notes(ticket_id)[0]


@BOTH
def test_a_request_waits_for_no_word_of_the_customer(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        asked(story)

        assert story.happened() == ["flagged"]
        assert story.case.confirmed_at == story.case.flagged_at


def test_where_no_rule_takes_requests_nobody_looks_for_them(tmp_path: Path) -> None:
    without = ("    when: {requested: true}", "    when: {rating: good, comment: {mentions: [zzz]}}")
    with story_in(tmp_path, "acme", without) as story:
        asked(story)

        assert story.app.store.cases() == []
        assert not [one for one in story.desk.requests if "sr_request" in one.query]
