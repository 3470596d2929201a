"""What `recovery-bridge demo` tells: the shipped rules on both stand-ins, played once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.model import Outcome
from connectors.sandbox.demo import play, what_came_of_it

SECRET = re.compile(r"/surveys?/[\w-]{8,}")


class Told:
    """The demo as its reader has it."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.report: dict[str, Any] = play(7, self.story.append)
        self.end = list(what_came_of_it({**self.report, "seconds": 0}))

    def lines(self, *texts: str) -> list[str]:
        """Return the lines of the story that hold all these texts."""
        return [line for line in self.story if all(text in line for text in texts)]


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


def test_every_ending_occurs_and_no_case_stays_open(told: Told) -> None:
    assert set(told.report["outcomes"]) == set(map(str, Outcome))


def test_most_customers_are_won_back(told: Told) -> None:
    assert told.report["outcomes"]["recovered"] > sum(told.report["outcomes"].values()) / 2


@pytest.mark.parametrize("outcome", [str(one).replace("_", " ").upper() for one in Outcome])
def test_each_ending_says_why(told: Told, outcome: str) -> None:
    endings = told.lines(f": {outcome}: ")

    assert endings
    assert all(len(line.partition(f"{outcome}: ")[2]) > 20 for line in endings)


def test_both_helpdesks_ask_a_second_time_and_are_answered(told: Told) -> None:
    assert all(count >= 3 for count in told.report["questions"].values())
    assert told.lines("RECOVERED", "to our own question")
    assert told.lines("RECOVERED", "to the helpdesk's survey")


def test_the_bridge_causes_no_mail_to_a_customer_but_its_questions(told: Told) -> None:
    assert told.report["mails_to_customers"] > 0
    assert told.report["other_mails_to_customers"] == 0


def test_a_mail_of_each_helpdesk_is_shown_without_its_secret(told: Told) -> None:
    assert told.lines("| ", "https://recovery.example.com/survey/...")
    assert told.lines("| ", "https://shop.freshdesk.com/support/surveys/...")
    assert not SECRET.search("\n".join(told.story))


@pytest.mark.parametrize(
    "texts",
    [
        ("goes to Ben", "not acknowledged in time"),
        ("a case for Cem", "Ana is no longer an agent"),
        ("goes to Zoe", "the customer answered bad", "to our own question"),
        ("STOPPED", "not solved within", "limits: give_up_after"),
        ("DISMISSED", "the customer changed the rating to good"),
        ("UNFIXABLE", "cause Defect"),
        ("NO RESPONSE", "said nothing more"),
        ("the customer is not asked again", "limits: surveys_per_customer"),
        ("a case for Cem", '"An agent asked for it"'),
        ("#recovery-leads", "a promise to the customer is not kept"),
        ("#recovery-supervisors", "3 tickets of acme, incident Outage in March"),
    ],
)
def test_the_story_shows_once_what_a_lead_asks_about(told: Told, texts: tuple[str, ...]) -> None:
    assert len(told.lines(*texts)) == 1


def test_every_ticket_stands_in_the_table_with_its_recovery(told: Told) -> None:
    assert [row["recovery"] for row in told.report["tickets"]].count("recovered") == told.report["outcomes"][
        "recovered"
    ]
    assert all(row["customer"] in told.end[1] for row in told.report["tickets"])


def test_the_reader_hears_what_to_do_next(told: Told) -> None:
    assert all(f"recovery-bridge {command}" in told.end[-1] for command in ("check", "doctor", "setup", "explain"))


def test_two_minutes_are_enough_to_read_it(told: Told) -> None:
    assert len("\n".join([*told.story, *told.end]).splitlines()) < 130
