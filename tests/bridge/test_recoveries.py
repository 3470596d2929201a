"""Months of recoveries among mixed people: no promise is broken, whatever they do. `make bench` lives through more.

The referees must be able to see: each gets a month in which one thing was broken on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from bridge.model import Case
from bridge.store import StoredEffect
from connectors.sandbox.outbox import SECOND_QUESTIONS
from connectors.sandbox.world import Entry, Mail
from tests.recoveries import DAY, HOUR, START, VENDORS, Found, Month, Referee, a_month, report, sum_up

COUNT, STEP = 18, 6 * HOUR  # customers of each helpdesk; the bridge runs late, so that much is due at once


@pytest.fixture(scope="module", params=[0, 1])  # each with another kind of CSAT on both helpdesks
def month(request: pytest.FixtureRequest) -> Iterator[Month]:
    with a_month(request.param, COUNT, STEP) as month:
        yield month


def test_every_recovery_of_a_month_ends_and_keeps_its_promises(month: Month) -> None:
    found = sum_up(month, f"tests.recoveries {month.seed} {COUNT} {STEP // HOUR}", time.process_time())

    assert not found.violations, report(found)
    assert {vendor for vendor, _ in found.outcomes} == set(VENDORS.values())
    assert found.cases >= 1.6 * COUNT, report(found)
    assert _some_of_each(found), report(found)


def _some_of_each(found: Found) -> bool:
    """True if the month saw people who were won back, some who were not, and some who said nothing."""
    return {"recovered", "not_recovered", "no_response"} <= {outcome for _, outcome in found.outcomes}


# ------------------------------------------------------------------ the referees can see
OPEN = "UPDATE cases SET stage = 'solved', outcome = NULL, ended_at = NULL, next_step = 'x', due_at = "
LATE, LATER = "'2026-03-10T09:00:00.000000Z'", "'2027-03-10T09:00:00.000000Z'"
ONE = " WHERE case_id = (SELECT min(case_id) FROM cases)"
ROWS = {
    "DELETE FROM rating WHERE category = 'bad'": "was seen 0 times",
    "UPDATE rating SET outcome = NULL": "became None",
    f"{OPEN}{LATE}{ONE}": "was not acted on",
    f"{OPEN}{LATER}, assignee_id = NULL, group_id = NULL{ONE}": "without an owner",
    f"{OPEN}NULL{ONE}": "without a next step",
    "UPDATE cases SET rating = 9": "its first rating was",
}


@pytest.mark.parametrize("sql", list(ROWS))
def test_the_referees_see_rows_that_break_a_promise(month: Month, sql: str) -> None:
    referee = fresh(month.referee)
    referee.database.execute(sql)

    referee.look()
    referee.no_rating_is_lost({case.case_id for case in month.app.store.cases()})
    referee.database.rollback()

    assert any(ROWS[sql] in said for said in referee.said)


NOON, NIGHT = datetime(2026, 3, 12, 11, 0, tzinfo=START.tzinfo), datetime(2026, 3, 12, 23, 0, tzinfo=START.tzinfo)
MAILS: dict[str, Callable[[Mail, str], list[Mail]]] = {
    "in quiet hours": lambda mail, _: [replace(mail, at=NIGHT)],
    "opted out and was asked": lambda mail, opted_out: [replace(mail, at=START + 20 * DAY, to=opted_out)],
    "was asked too often": lambda mail, _: [mail, mail],
    "caused a mail to a customer": lambda mail, _: [replace(mail, kind="rule", at=NOON)],
    "questions left": lambda mail, _: [mail],
}


@pytest.mark.parametrize("said", list(MAILS))
def test_the_referees_see_mails_that_nobody_allowed(month: Month, said: str) -> None:
    referee, mails = fresh(month.referee), month.firm.world.mails
    kept, asked = list(mails), next(m for m in mails if _is_question(m))
    cases = month.app.store.cases()

    mails += MAILS[said](asked, min(month.opted_out))
    referee.outbox(cases, {case.case_id: month.app.store.effects_of(case.case_id) for case in cases})
    mails[:] = kept

    assert any(said in one for one in referee.said)


def _is_question(mail: Mail) -> bool:
    return mail.rule.startswith("[recovery-bridge]") and mail.kind in SECOND_QUESTIONS


ENTRIES = {
    "wrote to the customer": Entry(START, "acme", "api:1", "public_comment", "501", None, "Hello"),
    "a tag twice": Entry(START, "acme", "api:1", "tags", "501", ["a"], ["a", "b", "b"]),
    "stands there 2 times": Entry(START, "acme", "api:1", "private_note", "501", None, "ref sr-12\n\nref sr-12"),
}


@pytest.mark.parametrize("said", list(ENTRIES))
def test_the_referees_see_what_the_bridge_must_not_write(month: Month, said: str) -> None:
    referee, entries = fresh(month.referee), month.firm.world.ledger

    entries.append(ENTRIES[said])
    referee.ledger()
    entries.pop()

    assert any(said in one for one in referee.said)


Wrong = Callable[[Referee, Case, list[StoredEffect]], object]
CASES: dict[str, Wrong] = {
    "without evidence": lambda referee, case, _: referee.ended_once(replace(case, answer=None)),
    "ended 1 times, None": lambda referee, case, _: referee.ended_once(replace(case, outcome=None)),
    "held by": lambda referee, case, _: referee.began_with_the_original_agent(case),
    "contacted at None": lambda referee, case, _: referee.was_noticed(replace(case, contacted_at=None)),
    "deadline 1 was due": lambda referee, case, _: referee.kept_its_deadlines(case, []),
    "was done 2 times": lambda referee, case, effects: referee.did_nothing_twice(case, [*effects, *effects]),
    "left 2 times": lambda referee, case, effects: referee.asked_within_bounds(case, [*effects, *effects]),
}


@pytest.mark.parametrize("said", list(CASES))
def test_the_referees_see_cases_that_went_wrong(month: Month, said: str) -> None:
    referee, store = fresh(month.referee), month.app.store
    referee.first_ladder = {key: replace(case, original_agent_id="7") for key, case in referee.first_ladder.items()}

    for case in store.cases():
        if (case.attempt == 1 and case.outcome == "recovered") or said.startswith("deadline"):
            CASES[said](referee, case, store.effects_of(case.case_id))

    assert any(said in one for one in referee.said)


def fresh(referee: Referee) -> Referee:
    """Return a referee that knows the month and has said nothing yet."""
    again = Referee(referee.month)
    again.database, again.first, again.first_ladder = referee.database, dict(referee.first), referee.first_ladder
    again.runs_at = list(referee.runs_at)
    return again
