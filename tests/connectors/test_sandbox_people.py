"""People of the sandbox: what each temper does, and that a seed tells one story."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import Client

from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.people import People
from connectors.sandbox.world import Desk, Mail, World
from connectors.sandbox.zendesk import ZendeskDesk

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Story:
    """One agent and one customer with a ticket, living for some days."""

    def __init__(self, agent: str, customer: str, seed: int = 1, **options: Any) -> None:
        self.world = World(START, seed)
        self.desk = FreshdeskDesk(self.world)
        self.people = People([self.desk], self.world, **options)
        self.team = self.desk.add_group("Support")
        self.agent = self.people.hire(self.desk, "Ann", "ann@shop.example", agent, [self.team])
        self.customer = self.people.welcome(self.desk, "Cora", "cora@mail.example", customer)
        self.ticket = self.desk.open_ticket(self.customer, "Lamp", "Broken", assignee=self.agent, group=self.team)

    def live(self, days: float) -> Story:
        self.people.live(self.world.clock.now() + days * DAY, HOUR, lambda: None)
        return self

    def recover(self) -> None:
        """Give the ticket back to its agent, as a program would."""
        self.desk.edit(self.ticket, by=self.agent, status="open")

    def asks(self, ticket: str | None = None) -> None:
        """Mail the customer a question with a link that is not the helpdesk's."""
        now, link = self.world.clock.now(), "https://care.shop.example/s/abc"
        mail = Mail(now, self.desk.name, "cora@mail.example", "question", ticket or self.ticket, text=f"Well? {link}")
        self.world.mails.append(mail)

    def answers(self) -> list[tuple[str, str]]:
        """Keep what the customer answers to questions."""
        said: list[tuple[str, str]] = []
        self.people.on_question = lambda mail, category: said.append((mail.link, category))
        return said

    @property
    def ratings(self) -> list[int]:
        return [answer.value for answer in self.desk.answers]

    def did(self, what: str) -> bool:
        return any(entry.what == what for entry in self.world.ledger)


def test_a_keen_agent_answers_and_solves_within_hours() -> None:
    story = Story("keen", "forgiving").live(0.25)

    assert story.desk.tickets[1].status == 4
    assert story.did("public_comment")


def test_a_slow_agent_needs_more_than_a_day() -> None:
    story = Story("slow", "forgiving")

    assert not story.live(1).did("public_comment")
    assert story.live(2).did("public_comment")


def test_a_silent_agent_looks_and_does_not_write() -> None:
    story = Story("silent", "forgiving").live(3)

    assert story.desk.tickets[1].status == 3
    assert not story.did("public_comment")


def test_an_absent_agent_does_nothing() -> None:
    story = Story("absent", "forgiving")
    before = len(story.world.ledger)

    assert len(story.live(3).world.ledger) == before


def test_a_gone_agent_leaves_after_the_first_solved_ticket() -> None:
    story = Story("gone", "forgiving").live(3)

    assert int(story.agent) not in story.desk.agents
    assert story.desk.tickets[1].responder_id is None


@pytest.mark.parametrize(
    ("temper", "ratings"),
    [("forgiving", [-103, 103]), ("demanding", [-103, 103]), ("silent", [-103]), ("rude", [-103, -103])],
)
def test_customers_judge_a_recovery_by_their_temper(temper: str, ratings: list[int]) -> None:
    story = Story("keen", temper).live(1)

    story.recover()

    assert story.live(1).ratings[: len(ratings)] == ratings


def test_a_demanding_customer_does_not_forgive_a_late_answer() -> None:
    story = Story("slow", "demanding").live(5)

    story.recover()

    assert story.live(5).ratings == [-103, -103]


def test_silent_customers_say_nothing_with_their_rating() -> None:
    story = Story("keen", "silent").live(1)

    assert [answer.comment for answer in story.desk.answers] == [None]


def test_a_repeat_customer_comes_back_with_another_question() -> None:
    story = Story("keen", "repeat").live(1)
    story.recover()

    story.live(5)

    assert len(story.desk.tickets) == 2


@pytest.mark.parametrize(
    ("temper", "said"),
    [("forgiving", ["good"]), ("repeat", ["good"]), ("demanding", ["bad"]), ("rude", ["bad"]), ("silent", [])],
)
def test_customers_answer_a_question_of_somebody_else_by_their_temper(temper: str, said: list[str]) -> None:
    story = Story("keen", temper).live(1)
    answers = story.answers()

    story.asks()
    story.live(1)

    assert answers == [("https://care.shop.example/s/abc", category) for category in said]
    assert len(story.ratings) == 1


def test_nobody_answers_a_question_about_what_they_have_not_rated() -> None:
    story = Story("absent", "forgiving")
    answers = story.answers()

    story.asks()
    story.live(1)

    assert answers == []


def test_a_survey_from_before_the_first_answer_is_no_second_one() -> None:
    story = Story("absent", "forgiving")
    for _ in range(2):
        story.desk.solve(story.ticket, story.agent)
        story.desk.edit(story.ticket, by=story.agent, status="open")

    assert story.live(2).ratings == [-103]


def test_a_reminder_is_not_answered_after_an_answer() -> None:
    story = Story("keen", "forgiving").live(1)
    answers = story.answers()

    story.asks()
    story.asks()
    story.live(1)

    assert len(answers) == 1


@pytest.mark.parametrize(("agent", "said"), [("keen", "good"), ("slow", "bad")])
def test_a_ticket_that_a_program_opens_continues_what_went_wrong(agent: str, said: str) -> None:
    story = Story("keen", "demanding").live(1)
    answers = story.answers()
    other = story.people.hire(story.desk, "Ben", "ben@shop.example", agent, [story.team])
    wish = {"requester_id": int(story.customer), "subject": "Lamp", "description": "Again", "responder_id": int(other)}
    made = Client(story.desk).post("/api/v2/tickets", json=wish, auth=("sandbox-key", "X"))

    story.live(3)
    story.asks(str(made.json["id"]))
    story.live(1)

    assert answers == [("https://care.shop.example/s/abc", said)]


def test_an_agent_does_not_write_on_what_is_solved_again_already() -> None:
    story = Story("keen", "forgiving").live(0.25)
    replies = deeds(story.world, "public_comment", story.agent)

    story.recover()
    story.desk.solve(story.ticket, "1")
    story.live(0.5)

    assert deeds(story.world, "public_comment", story.agent) == replies


def test_agents_sometimes_say_what_the_cause_was() -> None:
    tags = [Story("keen", "silent", seed, cause_tags=["late"]).live(0.25).desk.tickets[1].tags for seed in range(8)]

    assert {tuple(found) for found in tags} == {(), ("late",)}


def test_an_agent_leaves_alone_what_was_given_to_another() -> None:
    story = Story("keen", "forgiving")
    other = story.desk.add_agent("Ben", "ben@shop.example", [story.team])

    story.desk.assign(story.ticket, other, by=other)

    assert not story.live(1).did("public_comment")


def test_an_agent_who_is_asked_twice_writes_once() -> None:
    story = Story("keen", "forgiving")
    story.desk.customer_replies(story.ticket, "Are you there?")

    story.live(0.25)

    assert deeds(story.world, "public_comment", story.agent) == 1


def test_a_deleted_ticket_stops_nobody_from_living_on() -> None:
    story = Story("keen", "forgiving")
    story.desk.delete(story.ticket, by=story.agent)

    assert story.live(2).ratings == []


def test_somebody_else_gets_a_word_in_between_the_steps() -> None:
    story, called = Story("keen", "forgiving"), []

    story.people.live(START + DAY, 6 * HOUR, lambda: called.append(story.world.clock.now()))

    assert called == [START + n * 6 * HOUR for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(("vendor", "asked"), [(ZendeskDesk, 1), (FreshdeskDesk, 2)])  # Zendesk asks only once
def test_the_same_people_work_at_both_vendors(vendor: Callable[[World], Desk], asked: int) -> None:
    world = World(START)
    desk = vendor(world)
    people = People([desk], world)
    team = desk.add_group("Billing")
    ann = people.hire(desk, "Ann", "ann@shop.example", "keen", [team])
    cora = people.welcome(desk, "Cora", "cora@mail.example", "forgiving")
    ticket = desk.open_ticket(cora, "Lamp", "Broken", assignee=ann, group=team)

    people.live(START + 3 * DAY, HOUR, lambda: None)
    desk.edit(ticket, by=ann, status="open")
    people.live(START + 6 * DAY, HOUR, lambda: None)

    assert deeds(world, "public_comment", ann) == 2
    assert deeds(world, "rated", cora) == asked


def deeds(world: World, what: str, actor: str) -> int:
    return sum((entry.what, entry.actor) == (what, actor) for entry in world.ledger)


def test_a_seed_tells_one_story() -> None:
    first, again, other = (Story("keen", "rude", seed).live(4).world.ledger for seed in (7, 7, 8))

    assert first == again
    assert first != other
