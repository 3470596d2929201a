"""`recovery-bridge report` as its readers meet it: the example of a hundred cases, of which eighteen were recovered."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from commands import Said, Shell, shell_beside_a_company

from bridge.funnel import Share
from bridge.model import Answer, Audit, Case, Category, Decision, Outcome, Severity, Stage
from bridge.report import defused, in_words
from bridge.store import Saving, Store

FLAGGED_AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)  # a Tuesday
SPRING = "report --from 2026-03-02 --to 2026-03-16"
FUNNEL = [
    "rated_bad",
    "flagged",
    "assigned",
    "acknowledged",
    "contacted",
    "solved",
    "surveyed",
    "answered",
    "recovered",
]
SHARE = {"value", "low", "high", "numerator", "denominator"}
HOUR = timedelta(hours=1)
CASE = Case(
    case_id="", account="acme", ticket_id="", rating_id="", category=Category.BAD, rating=1, scale_max=5,
    rated_at=FLAGGED_AT - HOUR, flagged_at=FLAGGED_AT, rule="=HYPERLINK()", rules_hash="h1", playbook="standard",
    severity=Severity.HIGH, stage=Stage.ENDED, due_at=None, next_step="", reason="matched", original_agent_id="60",
    assignee_id="60", group_id="4", ended_at=FLAGGED_AT + HOUR, version=1,
)  # fmt: skip


def example() -> Iterator[Case]:
    """A hundred flagged, sixty of them contacted, 24 answered, 18 are content: practice D4."""
    for number in range(100):
        named = {"case_id": f"k{number}", "ticket_id": f"{number}", "rating_id": f"r{number}"}
        case = replace(CASE, **named, contacted_at=FLAGGED_AT + HOUR if number < 60 else None)
        if number < 18:
            good = Answer(FLAGGED_AT + HOUR, Category.GOOD, 5, 5)
            yield replace(case, answer=good, asked_at=FLAGGED_AT, outcome=Outcome.RECOVERED)
        elif number < 24:
            bad = Answer(FLAGGED_AT + HOUR, Category.BAD, 1, 5)
            yield replace(case, answer=bad, asked_at=FLAGGED_AT, outcome=Outcome.NOT_RECOVERED)
        else:
            yield replace(case, outcome=Outcome.NO_RESPONSE)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path_factory.mktemp("report")) as shell:
        store = Store.open(f"sqlite:///{shell.state / 'bridge.db'}")
        audit = Audit(FLAGGED_AT, "acme", "1", "flagged", "because")
        store.save_all([Saving(Decision(audit, case)) for case in example()])
        store.close()
        yield shell


@pytest.fixture(scope="module")
def text(shell: Shell) -> Said:
    return shell(SPRING)


def test_the_headline_is_of_all_that_was_flagged(text: Said) -> None:
    assert text.says("18 of 100 flagged recovered: 18% (12 to 27%)")
    assert text.says("between 18%, if nobody is recovered who has not answered, and 94%, if all of them are")


def test_the_share_that_flatters_is_named_as_such(text: Said) -> None:
    assert text.says("18 of 24 that answered recovered: 75% (55 to 88%); this flatters")


def test_a_report_says_what_its_numbers_are_and_claims_no_effect(text: Said) -> None:
    assert text.says("recovered: of the flagged: the customer's last word is good", "association, not effect")


def test_ours_and_theirs_stand_apart(text: Said) -> None:
    assert text.says("rated to flagged         ours      100    1h", "flagged to contacted     team      60     1h")


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (Share(3, 10), "30% (11 to 60%), too few to say"),
        (Share(10, 20), "50% (30 to 70%)"),
        (Share(1, 1000), "<1% (0 to 1%)"),
        (Share(0, 0), "nothing to measure"),
    ],
)
def test_a_share_says_how_sure_it_is(share: Share, said: str) -> None:
    assert in_words(share) == said


def test_of_an_account_without_cases_there_is_nothing_to_measure(shell: Shell) -> None:
    assert shell(SPRING, "--account", "shop").says("0 of 0 flagged recovered: nothing to measure")


def test_programs_get_what_was_promised(shell: Shell) -> None:
    report = shell(SPRING, "--json").json

    assert list(report["funnel"]) == FUNNEL
    assert set(report["recovery_rate"]) == SHARE
    assert report["bounds"] == {"lowest": 0.18, "highest": 0.94}
    assert {"rule", "group", "cause", "week"} <= set(report["by"])
    assert report["by"]["week"][0]["recovery_rate"]["value"] is None
    assert report["by"]["rule"][0]["funnel"]["recovered"] == 18


def test_a_sheet_has_a_row_for_each_week(shell: Shell) -> None:
    first, second = csv.DictReader(shell(SPRING, "--csv").out.splitlines())

    assert (first["week"], first["flagged"], first["recovery_rate"]) == ("2026-03-02", "0", "")
    assert (second["week"], second["flagged"], second["recovery_rate"]) == ("2026-03-09", "100", "0.1800")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert defused(cell) == f"'{cell}"


def test_days_are_those_of_the_team(shell: Shell) -> None:
    report = shell("report --from 2026-03-10 --to 2026-03-11 --json").json  # the company works in Berlin

    assert (report["since"], report["until"]) == ("2026-03-09T23:00:00Z", "2026-03-10T23:00:00Z")


def test_thirteen_weeks_are_reported_if_nobody_says_which(shell: Shell) -> None:
    assert len(shell("report --json").json["by"]["week"]) == 13
    assert len(shell("report --weeks 2 --json").json["by"]["week"]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--json --csv", "not both"),
        ("--weeks 3 --from 2026-03-01", "not both"),
        ("--from yesterday", "write a day, such as 2026-11-01"),
        ("--from 2026-03-02 --to 2026-03-01", "--from is not before --to"),
    ],
)
def test_wrong_questions_are_told(shell: Shell, words: str, said: str) -> None:
    answer = shell(f"report {words}")

    assert answer.code == 2
    assert answer.says(said)
