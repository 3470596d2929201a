"""Stories of the engine: real connectors over real HTTP against the stand-in helpdesks, one settable clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.app import App
from bridge.model import Case, EffectKind, EffectState, Outcome, Stage
from connectors.sandbox.company import Company, company
from connectors.sandbox.world import Fault
from tests.in_process import migrated

MONDAY = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)  # 10:00 in Berlin
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BOTH = pytest.mark.parametrize("account", ["acme", "shop"])


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Company]:
    (tmp_path / "bridge.db").write_bytes(migrated())
    with company(MONDAY, tmp_path) as found:
        yield found


@pytest.fixture
def bridge(firm: Company) -> Iterator[App]:
    """A live bridge that has seen the accounts once, so that what comes now is acted on."""
    with firm.bridge() as app:
        app.run()
        yield app


def rated(
    firm: Company, account: str, *, comment: str | None = "Nobody helped me", by: str = "Ana", **details: object
) -> str:
    """A customer rates a solved ticket badly; two minutes later."""
    ticket_id = firm.solved_ticket(account, by, str(details.pop("customer", "Mia Maier")), **details)
    firm.desks[account].rate(ticket_id, "bad", comment)
    firm.pass_time(2 * MINUTE)
    return ticket_id


def run(app: App) -> None:
    app.run()
    assert app.failures == {}


def only_case(app: App) -> Case:
    (case,) = app.store.cases()
    return case


def shown(firm: Company, account: str, ticket_id: str) -> dict[str, object]:
    """Return a ticket as the helpdesk's people see it, in the same words for both vendors."""
    if account == "acme":
        row = firm.zendesk.account.file(int(ticket_id)).row
        return {
            "status": row["status"],
            "assignee": str(row["assignee_id"] or ""),
            "priority": row["priority"],
            "tags": set(row["tags"]),
        }
    ticket = firm.freshdesk.tickets[int(ticket_id)]
    status = {2: "open", 3: "pending", 4: "solved", 5: "closed"}[ticket.status]
    priority = {1: "low", 2: "normal", 3: "high", 4: "urgent"}[ticket.priority]
    return {
        "status": status,
        "assignee": str(ticket.responder_id or ""),
        "priority": priority,
        "tags": set(ticket.tags),
    }


def notes(firm: Company, ticket_id: str) -> list[str]:
    """Return the private notes that the bridge wrote on a ticket."""
    return [
        str(e.after)
        for e in firm.world.ledger
        if e.ticket_id == ticket_id and e.what == "private_note" and e.actor.startswith("api:")
    ]


def calls(app: App, account: str) -> int:
    return app.sessions[account].requests_made


# ------------------------------------------------------------------ one bad rating
@BOTH
def test_a_bad_rating_goes_back_to_the_agent_who_handled_it(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)

    run(bridge)

    ticket = shown(firm, account, ticket_id)
    assert (ticket["status"], ticket["priority"]) == ("open", "high")
    assert ticket["assignee"] == firm.agents[account, "Ana"]
    assert {"csat-recovery", "sr_flagged", "sr_reopened"} <= ticket["tags"]  # type: ignore[operator]


@BOTH
def test_the_note_says_what_went_wrong_for_whom_and_by_when(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account, comment="Nobody helped me")

    run(bridge)

    (note,) = notes(firm, ticket_id)
    assert "Mia rated this conversation bad" in note
    assert "Nobody helped me" in note
    assert "Mon 09 Mar 2026, 15:02 CET" in note
    assert "Ana held the ticket when it was rated" in note


@BOTH
def test_no_customer_hears_of_it(firm: Company, bridge: App, account: str) -> None:
    rated(firm, account)
    before = len(firm.world.mails)

    run(bridge)

    assert {mail.to for mail in firm.world.mails[before:]} <= {"ana@example.com"}


@BOTH
def test_a_second_run_changes_nothing(firm: Company, bridge: App, account: str) -> None:
    rated(firm, account)
    run(bridge)
    before = len(firm.world.ledger)

    firm.pass_time(MINUTE)
    run(bridge)

    assert len(firm.world.ledger) == before


@pytest.mark.parametrize(("account", "most"), [("acme", 3), ("shop", 4)])
def test_one_flagged_ticket_costs_few_calls(firm: Company, bridge: App, account: str, most: int) -> None:
    next_one = firm.solved_ticket(account, "Ana", "Tom Tanner")
    rated(firm, account)
    run(bridge)  # agents and groups are known now, for an hour
    firm.desks[account].rate(next_one, "bad", "Not solved")
    firm.pass_time(2 * MINUTE)
    before = calls(bridge, account)

    run(bridge)

    assert calls(bridge, account) - before <= most


@BOTH
def test_an_idle_run_costs_one_call(firm: Company, bridge: App, account: str) -> None:
    before = calls(bridge, account)
    firm.pass_time(MINUTE)

    run(bridge)

    assert calls(bridge, account) - before == 1


# ------------------------------------------------------------------ without a word
@BOTH
def test_a_rating_without_a_word_is_not_reopened_at_once(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account, comment=None)

    run(bridge)

    assert shown(firm, account, ticket_id)["status"] == "solved"
    assert "sr_flagged" in shown(firm, account, ticket_id)["tags"]  # type: ignore[operator]
    assert len(notes(firm, ticket_id)) == 1
    assert only_case(bridge).stage is Stage.UNCONFIRMED


@BOTH
def test_it_is_reopened_when_it_still_stands_after_the_grace_time(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account, comment=None)
    run(bridge)

    firm.pass_time(15 * MINUTE)
    run(bridge)

    assert shown(firm, account, ticket_id)["status"] == "open"
    assert only_case(bridge).stage is Stage.ASSIGNED


def test_a_rating_that_turned_good_in_time_is_withdrawn(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme", comment=None)
    run(bridge)
    firm.zendesk.rate(ticket_id, "good")

    firm.pass_time(15 * MINUTE)
    run(bridge)

    assert shown(firm, "acme", ticket_id)["status"] == "solved"
    assert only_case(bridge).outcome is Outcome.DISMISSED


# ------------------------------------------------------------------ who gets it
@BOTH
def test_a_colleague_takes_it_when_the_original_agent_has_left(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    firm.desks[account].remove_agent(firm.agents[account, "Ana"])
    firm.pass_time(2 * HOUR)  # the list of agents is remembered for an hour

    run(bridge)

    case = only_case(bridge)
    assert case.original_agent_id == firm.agents[account, "Ana"]
    assert shown(firm, account, ticket_id)["assignee"] == firm.agents[account, "Cem"]
    assert [step.rung for step in case.ladder] == ["original_agent", "same_team"]


@BOTH
def test_an_agent_who_is_away_passes_the_first_shot_on(firm: Company, account: str) -> None:
    rules = firm.rules().text.replace("away: []", "away: [{agent: ana@example.com, from: 2026-03-01, to: 2026-03-20}]")
    with firm.bridge(firm.rules(rules)) as app:
        run(app)
        ticket_id = rated(firm, account)
        run(app)

        assert shown(firm, account, ticket_id)["assignee"] == firm.agents[account, "Cem"]
        assert "away from 2026-03-01" in only_case(app).ladder[0].why


@BOTH
def test_a_ticket_that_a_human_took_stays_with_them(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    firm.desks[account].assign(ticket_id, firm.agents[account, "Ben"], by=firm.agents[account, "Ben"])
    firm.pass_time(MINUTE)

    run(bridge)

    assert shown(firm, account, ticket_id)["assignee"] == firm.agents[account, "Ben"]
    assert "took the ticket after the rating" in only_case(bridge).reason


@BOTH
def test_nobody_gets_more_recoveries_than_they_can_carry(firm: Company, account: str) -> None:
    rules = firm.rules().text.replace("  mode: ", "  max_open: 1\n  mode: ")
    with firm.bridge(firm.rules(rules)) as app:
        run(app)
        first = rated(firm, account, customer="Mia Maier")
        second = rated(firm, account, customer="Tom Tanner")
        run(app)

        assert shown(firm, account, first)["assignee"] == firm.agents[account, "Ana"]
        assert shown(firm, account, second)["assignee"] == firm.agents[account, "Cem"]


def test_when_nobody_can_take_it_a_person_is_told(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    for name in ("Ana", "Cem", "Ben"):
        firm.zendesk.remove_agent(firm.agents["acme", name])
    firm.pass_time(2 * HOUR)

    bridge.run()

    case = only_case(bridge)
    alerts = [e for e in bridge.store.effects_of(case.case_id) if e.effect.kind is EffectKind.ALERT]
    assert shown(firm, "acme", ticket_id)["assignee"] == ""
    assert [(e.effect.person, e.state) for e in alerts] == [("leads", EffectState.APPLIED)]
    assert [message["channel"] for message in firm.chat.posted] == ["#recovery-leads"]


def test_the_third_bad_rating_on_any_helpdesk_goes_to_a_supervisor(firm: Company, bridge: App) -> None:
    for account in ("acme", "shop"):
        ticket_id = rated(firm, account)
        run(bridge)
        case = bridge.store.open_case_on(account, ticket_id)
        assert case
        firm.desks[account].delete(ticket_id, by=firm.agents[account, "Ana"])
        firm.pass_time(DAY)
        run(bridge)

    ticket_id = rated(firm, "acme")
    run(bridge)

    assert shown(firm, "acme", ticket_id)["assignee"] == firm.agents["acme", "Zoe"]


# ------------------------------------------------------------------ tickets that cannot be reopened
def test_a_closed_zendesk_ticket_gets_a_follow_up_without_a_mail(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Ana"], status="closed")
    firm.pass_time(MINUTE)
    before = len(firm.world.mails)

    run(bridge)

    new = only_case(bridge).work_ticket_id
    assert new
    assert shown(firm, "acme", new)["assignee"] == firm.agents["acme", "Ana"]
    assert not [mail for mail in firm.world.mails[before:] if mail.to.endswith("customer.example")]


def test_a_closed_freshdesk_ticket_is_reopened(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "shop")
    firm.freshdesk.edit(ticket_id, by=firm.agents["shop", "Ana"], status="closed")

    run(bridge)

    assert shown(firm, "shop", ticket_id)["status"] == "open"


@BOTH
def test_a_deleted_ticket_is_dismissed_with_its_reason(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    firm.desks[account].delete(ticket_id, by=firm.agents[account, "Ana"])

    run(bridge)

    assert (only_case(bridge).outcome, only_case(bridge).reason) == (Outcome.DISMISSED, "the ticket is deleted")


# ------------------------------------------------------------------ left alone, joined
@BOTH
def test_spam_is_left_alone_and_says_why(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account, tags=["spam"])

    run(bridge)

    (stored,) = bridge.store.ratings_of_ticket(account, ticket_id)
    assert (stored.outcome, stored.why) == ("ignored", 'ignored by "Spam and tests"')
    assert notes(firm, ticket_id) == []


@BOTH
def test_a_customer_with_an_open_case_gets_no_second_one(firm: Company, bridge: App, account: str) -> None:
    first = rated(firm, account)
    run(bridge)
    second = rated(firm, account, comment="And this one as well")

    run(bridge)

    assert only_case(bridge).ticket_id == first
    assert [note for note in notes(firm, first) if "And this one as well" in note] != []
    assert notes(firm, second) == []


# ------------------------------------------------------------------ shadow, memory
@BOTH
def test_shadow_mode_decides_and_changes_nothing(firm: Company, account: str) -> None:
    with firm.bridge(firm.rules(mode="shadow")) as app:
        run(app)
        ticket_id = rated(firm, account)
        before = len(firm.world.ledger)
        run(app)

        assert len(firm.world.ledger) == before
        assert only_case(app).ticket_id == ticket_id
        assert only_case(app).reason.startswith("shadow: ")


@BOTH
def test_going_live_never_replays_the_shadow(firm: Company, account: str) -> None:
    with firm.bridge(firm.rules(mode="shadow")) as app:
        run(app)
        rated(firm, account)
        run(app)
    with firm.bridge() as app:
        firm.pass_time(MINUTE)
        before = len(firm.world.ledger)
        run(app)

        assert len(firm.world.ledger) == before


@BOTH
def test_the_first_run_keeps_old_ratings_as_memory(firm: Company, account: str) -> None:
    ticket_id = rated(firm, account)
    with firm.bridge() as app:
        run(app)

        assert app.store.cases() == []
        assert [r.outcome for r in app.store.ratings_of_ticket(account, ticket_id)] == ["memory"]


@BOTH
def test_since_reaches_back_explicitly(firm: Company, account: str) -> None:
    ticket_id = rated(firm, account)
    with firm.bridge() as app:
        run(app)
        app.run(since=MONDAY)

        assert only_case(app).ticket_id == ticket_id
        assert shown(firm, account, ticket_id)["status"] == "open"


# ------------------------------------------------------------------ busy people, lost answers
def test_tags_that_an_agent_adds_meanwhile_are_kept(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    bridge.engine.poll("acme")
    bridge.engine.decide("acme")
    firm.pass_time(3 * timedelta(seconds=1))
    firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Cem"], add_tags=["urgent-parcel"])
    firm.pass_time(3 * timedelta(seconds=1))

    run(bridge)

    assert {"urgent-parcel", "sr_flagged"} <= shown(firm, "acme", ticket_id)["tags"]  # type: ignore[operator]


@BOTH
def test_a_write_whose_answer_is_lost_is_found_and_not_repeated(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    firm.desks[account].faults.append(Fault("lost", path=f"/tickets/{ticket_id}", method="PUT"))

    bridge.run()
    firm.pass_time(11 * MINUTE)
    run(bridge)

    assert len(notes(firm, ticket_id)) == 1
    assert shown(firm, account, ticket_id)["status"] == "open"


def test_a_note_whose_answer_is_lost_is_not_written_twice(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "shop")
    firm.freshdesk.faults.append(Fault("lost", path="/notes", method="POST"))

    bridge.run()
    firm.pass_time(11 * MINUTE)
    run(bridge)

    assert len(notes(firm, ticket_id)) == 1


def test_being_told_to_wait_stops_the_account_and_not_the_run(firm: Company, bridge: App) -> None:
    rated(firm, "acme")
    ticket_id = rated(firm, "shop")
    firm.zendesk.faults.append(Fault("status", status=429, headers={"Retry-After": "3000"}))

    bridge.run()

    assert set(bridge.failures) == {"acme"}
    assert shown(firm, "shop", ticket_id)["status"] == "open"


@BOTH
def test_a_helpdesk_that_is_down_loses_nothing(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    firm.desks[account].faults.append(Fault("html", times=20))
    bridge.run()
    assert set(bridge.failures) == {account}
    firm.desks[account].faults.clear()

    firm.pass_time(MINUTE)
    run(bridge)

    assert shown(firm, account, ticket_id)["status"] == "open"


def test_what_customers_write_arrives_as_harmless_text(firm: Company, bridge: App) -> None:
    nasty = "<script>x</script> {{ticket.requester.email}} https://evil.example \u202e\x00" + "A" * 64_000
    zendesk, freshdesk = (rated(firm, account, comment=nasty) for account in ("acme", "shop"))

    run(bridge)

    for ticket_id, escaped in ((zendesk, False), (freshdesk, True)):
        (note,) = notes(firm, ticket_id)
        assert "{{" not in note
        assert "https://evil" not in note
        assert ("<script>" in note) is not escaped
        assert len(note) < 2_000
