"""Stories of what follows: deadlines, people who act or do not, the customer's second word, and limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.app import App
from bridge.by_hand import resumed
from bridge.model import Case, Outcome, Stage
from connectors.sandbox.company import Company
from tests.in_process import company

MONDAY = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)  # 09:00 in Berlin; the ticket below is rated at 10:00
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BOTH = pytest.mark.parametrize("account", ["acme", "shop"])


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Company]:
    with company(MONDAY, tmp_path) as found:
        yield found


@pytest.fixture
def bridge(firm: Company) -> Iterator[App]:
    with firm.bridge() as app:
        app.run()
        yield app


def flagged(firm: Company, app: App, account: str, customer: str = "Mia Maier") -> str:
    """Ana's ticket is rated badly and given back to her."""
    ticket_id = firm.solved_ticket(account, "Ana", customer)
    firm.desks[account].rate(ticket_id, "bad", "Nobody helped me")
    later(firm, app, 2 * MINUTE)
    return ticket_id


def later(firm: Company, app: App, step: timedelta) -> None:
    """Let time pass and cron start the bridge at its end."""
    firm.pass_time(step)
    app.run()
    assert app.failures == {}


def case_of(app: App) -> Case:
    (case,) = app.store.cases()
    return case


def what_happened(app: App) -> list[str]:
    """Return the decisions about the only case, without those about single effects."""
    effects = {"applied", "adopted", "parked", "superseded", "refused"}
    return [audit.what for audit in app.store.audits(case_id=case_of(app).case_id) if audit.what not in effects]


def told(app: App) -> list[str | None]:
    return [one.effect.person for one in app.store.effects_of(case_of(app).case_id) if one.effect.person]


# ------------------------------------------------------------------ nobody acts
@BOTH
def test_nothing_happens_before_the_first_deadline(firm: Company, bridge: App, account: str) -> None:
    flagged(firm, bridge, account)

    later(firm, bridge, 27 * MINUTE)

    assert what_happened(bridge) == ["flagged"]


@BOTH
def test_silence_is_first_a_reminder_then_a_lead_then_the_supervisors(firm: Company, bridge: App, account: str) -> None:
    ticket_id = flagged(firm, bridge, account)

    for step in (31 * MINUTE, 91 * MINUTE, 121 * MINUTE):
        later(firm, bridge, step)

    assert what_happened(bridge) == ["flagged", "reminded", "escalated", "notified"]
    assert case_of(bridge).assignee_id == firm.agents[account, "Ben"]
    assert bridge.engine.desks[account].tickets([ticket_id])[ticket_id].assignee_id == firm.agents[account, "Ben"]
    assert told(bridge) == ["supervisors"]


@BOTH
def test_deadlines_count_working_time(firm: Company, bridge: App, account: str) -> None:
    firm.pass_time(8 * HOUR)  # it is Monday 17:00, and an hour later, when the ticket is rated, 18:00
    flagged(firm, bridge, account)

    later(firm, bridge, 14 * HOUR)

    assert what_happened(bridge) == ["flagged"]


@BOTH
def test_a_case_that_nobody_solves_stops_after_a_month(firm: Company, bridge: App, account: str) -> None:
    flagged(firm, bridge, account)

    for _ in range(31):
        later(firm, bridge, DAY)

    assert case_of(bridge).outcome is Outcome.STOPPED


# ------------------------------------------------------------------ people act
@BOTH
def test_a_reply_stops_the_reminders(firm: Company, bridge: App, account: str) -> None:
    ticket_id = flagged(firm, bridge, account)
    firm.pass_time(5 * MINUTE)
    firm.desks[account].reply(ticket_id, firm.agents[account, "Ana"], "I am sorry, here is what we do.")

    for step in (30 * MINUTE, 2 * HOUR, 2 * HOUR):
        later(firm, bridge, step)

    assert what_happened(bridge) == ["flagged", "noticed"]
    assert case_of(bridge).stage is Stage.CONTACTED


@BOTH
def test_an_edit_of_the_owner_acknowledges_and_the_reply_is_still_wanted(
    firm: Company, bridge: App, account: str
) -> None:
    ticket_id = flagged(firm, bridge, account)
    firm.pass_time(5 * MINUTE)
    firm.desks[account].edit(ticket_id, by=firm.agents[account, "Ana"], status="pending")

    for step in (30 * MINUTE, 2 * HOUR, 2 * HOUR):
        later(firm, bridge, step)

    assert what_happened(bridge) == ["flagged", "noticed", "notified"]


@BOTH
def test_after_a_human_chose_an_owner_the_ladder_only_reminds_and_notifies(
    firm: Company, bridge: App, account: str
) -> None:
    ticket_id = flagged(firm, bridge, account)
    firm.pass_time(5 * MINUTE)
    firm.desks[account].assign(ticket_id, firm.agents[account, "Cem"], by=firm.agents[account, "Ben"])

    for step in (30 * MINUTE, 2 * HOUR, 2 * HOUR):
        later(firm, bridge, step)

    assert "escalated" not in what_happened(bridge)
    assert case_of(bridge).assignee_id == firm.agents[account, "Cem"]
    assert bridge.engine.desks[account].tickets([ticket_id])[ticket_id].assignee_id == firm.agents[account, "Cem"]


@BOTH
def test_an_owner_who_leaves_hands_the_case_over_at_once(firm: Company, bridge: App, account: str) -> None:
    flagged(firm, bridge, account)
    firm.desks[account].remove_agent(firm.agents[account, "Ana"])
    bridge.engine.desks[account].directory(fresh=True)

    later(firm, bridge, 6 * MINUTE)

    assert what_happened(bridge) == ["flagged", "escalated"]
    assert case_of(bridge).assignee_id == firm.agents[account, "Cem"]


# ------------------------------------------------------------------ the end
def solved(firm: Company, app: App, account: str) -> str:
    ticket_id = flagged(firm, app, account)
    firm.pass_time(5 * MINUTE)
    firm.desks[account].reply(ticket_id, firm.agents[account, "Ana"], "Here is what we did.")
    firm.pass_time(MINUTE)
    firm.desks[account].solve(ticket_id, firm.agents[account, "Ana"])
    later(firm, app, 6 * MINUTE)
    assert case_of(app).stage is Stage.SOLVED
    return ticket_id


@BOTH
def test_the_owner_is_asked_a_day_later_whether_the_solution_holds(firm: Company, bridge: App, account: str) -> None:
    solved(firm, bridge, account)

    later(firm, bridge, DAY)

    assert what_happened(bridge)[-1] == "check_in"


@BOTH
def test_silence_after_the_solution_ends_it(firm: Company, bridge: App, account: str) -> None:
    solved(firm, bridge, account)

    for _ in range(10):
        later(firm, bridge, DAY)

    assert case_of(bridge).outcome is Outcome.NO_RESPONSE


@BOTH
def test_a_good_second_word_is_a_recovery(firm: Company, bridge: App, account: str) -> None:
    ticket_id = solved(firm, bridge, account)
    firm.desks[account].rate(ticket_id, "good", "Thank you!")

    for _ in range(2):  # on legacy Zendesk the daily sweep may be what sees it
        later(firm, bridge, DAY)

    assert case_of(bridge).outcome is Outcome.RECOVERED


@BOTH
def test_a_bad_second_word_goes_to_a_supervisor_and_a_third_ends_it(firm: Company, bridge: App, account: str) -> None:
    ticket_id = solved(firm, bridge, account)
    firm.desks[account].rate(ticket_id, "bad", "It still does not work")
    later(firm, bridge, 2 * MINUTE)

    case = case_of(bridge)
    assert (case.attempt, case.assignee_id) == (2, firm.agents[account, "Zoe"])
    assert bridge.engine.desks[account].tickets([ticket_id])[ticket_id].status == "open"

    firm.pass_time(5 * MINUTE)
    firm.desks[account].solve(ticket_id, firm.agents[account, "Zoe"])
    later(firm, bridge, 6 * MINUTE)
    firm.desks[account].rate(ticket_id, "bad", "Never again")
    later(firm, bridge, 2 * MINUTE)

    assert case_of(bridge).outcome is Outcome.NOT_RECOVERED


# ------------------------------------------------------------------ limits
@BOTH
def test_too_many_recoveries_in_an_hour_hold_the_account_until_it_is_resumed(firm: Company, account: str) -> None:
    rules = firm.rules().text.replace("tickets_per_hour: 50", "tickets_per_hour: 1")
    with firm.bridge(firm.rules(rules)) as app:
        app.run()
        tickets = [firm.solved_ticket(account, "Ana", name) for name in ("Mia Maier", "Tom Tanner")]
        for ticket_id in tickets:
            firm.desks[account].rate(ticket_id, "bad", "Nobody helped me")
        later(firm, app, 2 * MINUTE)
        assert len(app.store.cases()) == 1

        later(firm, app, 3 * HOUR)
        assert len(app.store.cases()) == 1

        app.store.resume(resumed(account, firm.now()))
        later(firm, app, MINUTE)
        assert len(app.store.cases()) == 2


@BOTH
def test_a_ticket_is_written_only_so_often_a_day(firm: Company, account: str) -> None:
    rules = firm.rules().text.replace("writes_per_ticket_per_day: 6", "writes_per_ticket_per_day: 1")
    with firm.bridge(firm.rules(rules)) as app:
        app.run()
        flagged(firm, app, account)
        later(firm, app, 31 * MINUTE)

        sent = [one for one in app.store.effects_of(case_of(app).case_id) if one.first_sent_at]
        assert [one.effect.step for one in sent] == ["flag"]


@BOTH
def test_no_open_case_is_ever_without_an_owner_and_a_due_time(firm: Company, bridge: App, account: str) -> None:
    flagged(firm, bridge, account)

    for step in (31 * MINUTE, 2 * HOUR, 3 * HOUR, DAY, DAY):
        later(firm, bridge, step)
        assert bridge.store.orphans() == []
