"""Stories of delivery: whatever breaks, each ticket is written once and by the right hand, and nothing is lost.

Real store, real connectors, real HTTP to the stand-in helpdesks; one settable clock. A process that dies is played by
taking its steps by hand and stopping in the middle.
"""

from __future__ import annotations

import itertools
import json
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response

from bridge.app import App, open_app
from bridge.delivery import LEASE, MAX_TRIES, Delivery
from bridge.model import (
    Accepted,
    Case,
    News,
    Outcome,
    Sending,
    Stage,
    Write,
)
from bridge.recovery import settle
from bridge.rules import Rules
from connectors.sandbox.company import RULES, Company, company
from connectors.sandbox.server import serve
from connectors.sandbox.world import Fault
from tests.bridge.test_engine import HOUR, MINUTE, MONDAY, notes, rated, run, shown

SECOND = timedelta(seconds=1)
BOTH = pytest.mark.parametrize("account", ["acme", "shop"])
ARRIVED = 15 * MINUTE  # whatever was under way has landed by then, and every lease is over


@pytest.fixture
def firm(tmp_path: Path, migrated_file: Path) -> Iterator[Company]:
    shutil.copyfile(migrated_file, tmp_path / "bridge.db")  # to make the tables anew takes longer than a story
    with company(MONDAY, tmp_path) as found:
        del found.env["BRIDGE_SLACK_WEBHOOK"]  # nobody can be told, unless a test says how
        yield found


@pytest.fixture
def bridge(firm: Company, request: pytest.FixtureRequest) -> Iterator[App]:
    """A live bridge that has seen its account once, so that what comes now is acted on; acme unless a story says so."""
    account = request.getfixturevalue("account") if "account" in request.fixturenames else "acme"
    with firm.bridge(rules(firm, only=account)) as app:
        app.run()
        yield app


def rules(firm: Company, *changes: tuple[str, str], mode: str = "live", only: str = "acme") -> Rules:
    """Return the rules of the company for one account, without deadlines: here nobody is reminded of anything."""
    dropped = ["within:", "deadlines:", *(f"  {name}: {{connector:" for name in firm.desks if name != only)]
    lines = RULES.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not any(words in line for words in dropped))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return firm.rules(text, mode=mode)


def decide(app: App, account: str) -> None:
    """Poll and decide, and deliver nothing."""
    app.engine.poll(account)
    while app.engine.decide(account):
        pass


def deliver(app: App, account: str) -> None:
    while app.delivery.deliver(account):
        pass


def case_on(app: App, account: str, ticket_id: str) -> Case:
    return next(case for case in app.store.cases(account=account) if case.ticket_id == ticket_id)


def states(app: App, case: Case) -> list[tuple[str, int, str]]:
    """Return (step, generation, state) of every effect of a case."""
    return [(e.effect.step, e.effect.generation, str(e.state)) for e in app.store.effects_of(case.case_id)]


def is_recovered(firm: Company, account: str, ticket_id: str, agent: str = "Ana") -> bool:
    """True if a ticket is open, back with its agent, flagged, and carries one note of ours."""
    ticket = shown(firm, account, ticket_id)
    tags: Any = ticket["tags"]
    held = (ticket["status"], ticket["assignee"]) == ("open", firm.agents[account, agent])
    return held and "sr_flagged" in tags and len(notes(firm, ticket_id)) == 1


def writes(firm: Company, account: str) -> list[str]:
    """Return the requests that could change something."""
    return [f"{r.method} {r.path}" for r in firm.desks[account].requests if r.method != "GET" and "oauth" not in r.path]


def retag(firm: Company, account: str, ticket_id: str, by: str, tag: str) -> None:
    """An agent adds a tag in the helpdesk."""
    known: Any = shown(firm, account, ticket_id)["tags"]
    firm.desks[account].edit(ticket_id, by=firm.agents[account, by], tags=[*known, tag])


# ------------------------------------------------------------------ a process that dies
def steps_of(app: App, account: str) -> Iterator[News]:
    """Deliver like a process that may die after each step, which the caller decides by asking for no more."""
    desk = app.engine.desks[account]
    claims = {c.effect.effect_id: c for c in app.store.claim(account, app.now(), limit=100, lease=LEASE)}
    tickets = desk.tickets([claim.effect.ticket_id for claim in claims.values()])
    work = [(claim.effect, tickets[claim.effect.ticket_id]) for claim in claims.values()]
    for news in desk.write([Write(effect, ticket, settle(effect, ticket)) for effect, ticket in work]):
        if isinstance(news, Sending):
            app.store.intend([claims[key] for key in news.effect_ids], app.now(), LEASE)
        if isinstance(news, Accepted):
            app.store.accepted([claims[key] for key in news.effect_ids], news.job)
        yield news


def die_after(steps: int, app: App, account: str) -> None:
    """Take *steps* steps and stop for ever; the last answer never reaches the store."""
    going = steps_of(app, account)
    list(itertools.islice(going, steps))


@BOTH
def test_who_dies_holding_a_claim_is_replaced_when_the_lease_ends(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    decide(bridge, account)
    assert bridge.store.claim(account, bridge.now(), limit=9, lease=LEASE)

    firm.pass_time(LEASE - SECOND)
    assert not bridge.delivery.deliver(account)
    firm.pass_time(SECOND)
    deliver(bridge, account)

    assert is_recovered(firm, account, ticket_id)


@pytest.mark.parametrize(
    ("account", "tickets", "steps"),
    [("acme", 1, n) for n in (1, 2)] + [("acme", 2, n) for n in (1, 2, 3, 4)] + [("shop", 1, n) for n in (1, 2, 3)],
)
def test_wherever_a_process_dies_the_next_one_finishes_and_repeats_nothing(
    firm: Company, bridge: App, account: str, tickets: int, steps: int
) -> None:
    customers = ("Mia Maier", "Tom Tanner")[:tickets]
    found = [rated(firm, account, customer=name) for name in customers]
    decide(bridge, account)
    die_after(steps, bridge, account)

    firm.pass_time(ARRIVED)
    run(bridge)

    assert [is_recovered(firm, account, ticket_id) for ticket_id in found] == [True] * tickets
    assert {state for case in bridge.store.cases() for _, _, state in states(bridge, case)} <= {"applied", "adopted"}


@pytest.mark.parametrize("account", ["shop"])
def test_where_a_late_write_would_not_be_refused_nobody_repeats_it_before_it_has_landed(
    firm: Company, bridge: App, account: str
) -> None:
    ticket_id = rated(firm, account)
    decide(bridge, account)
    die_after(1, bridge, account)  # the intent is stored; whether anything was sent nobody knows

    firm.pass_time(10 * MINUTE - SECOND)
    deliver(bridge, account)
    assert writes(firm, account) == []

    firm.pass_time(SECOND)
    deliver(bridge, account)
    assert is_recovered(firm, account, ticket_id)


@pytest.mark.parametrize("steps", [1, 2])
def test_wherever_a_process_dies_one_follow_up_is_made(firm: Company, bridge: App, steps: int) -> None:
    ticket_id = rated(firm, "acme")
    firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Ana"], status="closed")
    firm.pass_time(MINUTE)
    decide(bridge, "acme")
    before = len(firm.zendesk.account.tickets)
    die_after(steps, bridge, "acme")

    firm.pass_time(3 * HOUR)  # the helpdesk has forgotten the Idempotency-Key
    run(bridge)

    assert len(firm.zendesk.account.tickets) == before + 1
    new = case_on(bridge, "acme", ticket_id).work_ticket_id
    assert new
    assert is_recovered(firm, "acme", new)


class PulledPlugError(BaseException):
    """The process ends here."""


@contextmanager
def impatient(firm: Company) -> Iterator[App]:
    """Open a bridge that is ended as soon as it would wait."""

    def die(seconds: float) -> None:
        raise PulledPlugError

    with open_app(rules(firm), firm.env, now=firm.now, sleep=die) as app:
        yield app


def test_a_batch_whose_job_was_still_running_is_followed_by_the_next_run(firm: Company, bridge: App) -> None:
    found = [rated(firm, "acme", customer=name) for name in ("Mia Maier", "Tom Tanner")]
    decide(bridge, "acme")
    firm.zendesk.tickets.job_polls, firm.zendesk.tickets.jobs_at_once = 3, False
    with impatient(firm) as app, pytest.raises(PulledPlugError):
        app.delivery.deliver("acme")

    run(bridge)

    assert all(is_recovered(firm, "acme", ticket_id) for ticket_id in found)
    assert writes(firm, "acme") == ["PUT /api/v2/tickets/update_many"]


def test_a_batch_whose_job_was_never_heard_of_again_is_sent_again(firm: Company, bridge: App) -> None:
    found = [rated(firm, "acme", customer=name) for name in ("Mia Maier", "Tom Tanner")]
    decide(bridge, "acme")
    firm.zendesk.tickets.job_polls, firm.zendesk.tickets.jobs_at_once = 3, False
    with impatient(firm) as app, pytest.raises(PulledPlugError):
        app.delivery.deliver("acme")
    firm.zendesk.tickets.jobs.clear()

    firm.pass_time(MINUTE)
    run(bridge)

    assert all(is_recovered(firm, "acme", ticket_id) for ticket_id in found)


def test_a_batch_that_takes_ages_is_sent_again_and_lands_once(firm: Company, bridge: App) -> None:
    found = [rated(firm, "acme", customer=name) for name in ("Mia Maier", "Tom Tanner")]
    decide(bridge, "acme")
    firm.zendesk.tickets.job_polls, firm.zendesk.tickets.jobs_at_once = 10_000, False
    stuck = bridge.delivery.deliver("acme")
    firm.zendesk.tickets.job_polls = 1

    run(bridge)
    firm.zendesk.tickets.run_jobs()

    assert stuck
    assert all(is_recovered(firm, "acme", ticket_id) for ticket_id in found)


# ------------------------------------------------------------------ answers that get lost
ANSWERS = [
    Fault("lost"),
    Fault("reset", times=2),
    Fault("status", status=503, headers={"Retry-After": "7"}),
]
WRITES = [("acme", ("PUT", "/tickets/")), ("shop", ("PUT", "/tickets/")), ("shop", ("POST", "/notes"))]


@pytest.mark.parametrize("fault", ANSWERS, ids=lambda fault: fault.kind)
@pytest.mark.parametrize(("account", "where"), WRITES)
def test_a_write_without_a_usable_answer_happens_once(
    firm: Company, bridge: App, account: str, where: tuple[str, str], fault: Fault
) -> None:
    method, path = where
    ticket_id = rated(firm, account)
    firm.desks[account].faults.append(replace(fault, method=method, path=path))

    for _ in range(3):
        bridge.run()
        firm.pass_time(ARRIVED)

    assert is_recovered(firm, account, ticket_id)
    assert firm.desks[account].faults == []


@pytest.mark.parametrize("kind", ["lost", "reset", "html"])
def test_a_batch_whose_job_number_is_lost_is_found_by_its_marks(firm: Company, bridge: App, kind: str) -> None:
    found = [rated(firm, "acme", customer=name) for name in ("Mia Maier", "Tom Tanner")]
    firm.zendesk.faults.append(Fault(kind, method="PUT", path="/update_many"))

    bridge.run()
    firm.pass_time(ARRIVED)
    run(bridge)

    assert all(is_recovered(firm, "acme", ticket_id) for ticket_id in found)


@pytest.mark.parametrize("wait", [MINUTE, 3 * HOUR], ids=["key known", "key forgotten"])
def test_a_follow_up_whose_answer_is_lost_is_made_once(firm: Company, bridge: App, wait: timedelta) -> None:
    ticket_id = rated(firm, "acme")
    firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Ana"], status="closed")
    firm.pass_time(MINUTE)
    before = len(firm.zendesk.account.tickets)
    firm.zendesk.faults.append(Fault("lost", method="POST", path="/tickets"))
    decide(bridge, "acme")
    bridge.delivery.deliver("acme")

    firm.pass_time(wait)
    run(bridge)

    assert len(firm.zendesk.account.tickets) == before + 1
    assert is_recovered(firm, "acme", case_on(bridge, "acme", ticket_id).work_ticket_id or "")


def test_a_write_that_is_found_on_a_ticket_that_closed_since_needs_no_follow_up(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    decide(bridge, "acme")
    die_after(2, bridge, "acme")
    firm.pass_time(ARRIVED)
    firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Ana"], status="closed")

    run(bridge)

    assert states(bridge, case_on(bridge, "acme", ticket_id)) == [("flag", 0, "adopted")]


@pytest.mark.parametrize("path", ["/api/v2/tickets", "/notes"])
def test_a_new_ticket_for_an_archived_one_is_made_once(firm: Company, path: str) -> None:
    instead = ("    ticket: reopen ", "    archived: new_ticket\n    ticket: reopen ")
    with firm.bridge(rules(firm, instead, only="shop")) as app:
        run(app)
        list(app.engine.desks["shop"].setup())
        ticket_id = rated(firm, "shop")
        firm.freshdesk.tickets[int(ticket_id)].archived = True
        before = len(firm.freshdesk.tickets)
        firm.freshdesk.faults.append(Fault("lost", method="POST", path=path))
        app.run()
        firm.pass_time(ARRIVED)
        run(app)

        assert len(firm.freshdesk.tickets) == before + 1
        assert is_recovered(firm, "shop", case_on(app, "shop", ticket_id).work_ticket_id or "")


# ------------------------------------------------------------------ nobody may have it
def refuses(account: str, ticket_id: str, times: int = 1) -> Fault:
    """The helpdesk will not give this ticket to the one that is named, whatever its list of agents says."""
    zendesk = {"error": "RecordInvalid", "details": {"assignee": [{"description": "Assignee: is invalid"}]}}
    freshdesk = {"errors": [{"field": "responder_id", "message": "is invalid", "code": "invalid_value"}]}
    body, status = (zendesk, 422) if account == "acme" else (freshdesk, 400)
    return Fault("status", "/tickets/" + ticket_id, "PUT", status=status, body=json.dumps(body), times=times)


@BOTH
def test_who_can_no_longer_hold_tickets_is_passed_over(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    decide(bridge, account)
    ana = firm.agents[account, "Ana"]
    if account == "acme":
        firm.zendesk.change_agent(ana, suspended=True)
    else:
        firm.freshdesk.remove_agent(ana)
    firm.pass_time(MINUTE)

    run(bridge)

    assert is_recovered(firm, account, ticket_id, agent="Cem")
    case = case_on(bridge, account, ticket_id)
    assert (case.original_agent_id, case.assignee_id) == (ana, firm.agents[account, "Cem"])
    assert states(bridge, case) == [("flag", 0, "refused"), ("flag", 1, "applied")]
    assert "to Cem" in notes(firm, ticket_id)[0]


@BOTH
def test_whom_the_helpdesk_refuses_is_followed_by_the_next_rung(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    firm.desks[account].faults.append(refuses(account, ticket_id, times=2))

    run(bridge)

    assert is_recovered(firm, account, ticket_id, agent="Ben")
    ladder = case_on(bridge, account, ticket_id).ladder
    assert list(dict.fromkeys(step.rung for step in ladder)) == ["original_agent", "same_team", "leads"]
    assert any("Ana was refused by the helpdesk" in step.why for step in ladder)


@BOTH
def test_when_the_helpdesk_refuses_everybody_it_waits_for_a_person(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    firm.desks[account].faults.append(refuses(account, ticket_id, times=100))

    run(bridge)

    case = case_on(bridge, account, ticket_id)
    assert [state for _, _, state in states(bridge, case)][:4] == ["refused", "refused", "refused", "parked"]
    assert len(writes(firm, account)) == 4  # Ana, Cem, Ben, nobody
    assert notes(firm, ticket_id) == []


# ------------------------------------------------------------------ tickets that change meanwhile
def test_a_ticket_closed_after_the_decision_gets_a_follow_up(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    decide(bridge, "acme")
    firm.zendesk.edit(ticket_id, by=firm.agents["acme", "Ana"], status="closed")  # and nobody has read it since

    run(bridge)

    case = case_on(bridge, "acme", ticket_id)
    assert case.work_ticket_id
    assert is_recovered(firm, "acme", case.work_ticket_id)
    assert states(bridge, case) == [("flag", 0, "refused"), ("flag", 1, "applied")]


@pytest.mark.parametrize("account", ["shop"])
def test_a_ticket_archived_after_the_decision_becomes_an_alert(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    decide(bridge, account)
    firm.freshdesk.tickets[int(ticket_id)].archived = True

    run(bridge)

    assert states(bridge, case_on(bridge, account, ticket_id)) == [
        ("flag", 0, "refused"),
        ("flag:tell:leads", 1, "parked"),  # no chat webhook is set
    ]


@BOTH
@pytest.mark.parametrize("happens", ["delete", "mark_spam"])
def test_a_ticket_that_goes_after_the_decision_is_dismissed(
    firm: Company, bridge: App, account: str, happens: str
) -> None:
    ticket_id = rated(firm, account)
    decide(bridge, account)
    getattr(firm.desks[account], happens)(ticket_id, by=firm.agents[account, "Ana"])

    run(bridge)

    case = case_on(bridge, account, ticket_id)
    assert (case.stage, case.outcome) == (Stage.ENDED, Outcome.DISMISSED)
    assert states(bridge, case) == [("flag", 0, "refused")]


@BOTH
def test_a_human_who_takes_the_ticket_after_the_decision_keeps_it(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    decide(bridge, account)
    ben = firm.agents[account, "Ben"]
    firm.pass_time(3 * SECOND)
    firm.desks[account].assign(ticket_id, ben, by=ben)
    firm.pass_time(MINUTE)

    run(bridge)

    assert is_recovered(firm, account, ticket_id, agent="Ben")
    case = case_on(bridge, account, ticket_id)
    assert (case.assignee_id, "a human gave the ticket to somebody else" in case.reason) == (ben, True)


def test_a_human_s_choice_is_told_once(firm: Company, bridge: App) -> None:
    first, second = solved_twice(firm, "acme")
    rate(firm, "acme", first, "Nobody helped me")
    rate(firm, "acme", second, "And this one")
    decide(bridge, "acme")
    ben = firm.agents["acme", "Ben"]
    firm.zendesk.assign(first, ben, by=ben)
    firm.pass_time(MINUTE)

    run(bridge)

    case = case_on(bridge, "acme", first)
    assert (case.assignee_id, case.reason.count("a human")) == (ben, 1)
    assert len(notes(firm, first)) == 2


def test_a_ticket_that_somebody_edits_at_this_moment_is_read_again(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    decide(bridge, "acme")
    retag(firm, "acme", ticket_id, "Cem", "urgent-parcel")

    run(bridge)

    assert is_recovered(firm, "acme", ticket_id)
    assert "urgent-parcel" in shown(firm, "acme", ticket_id)["tags"]  # type: ignore[operator]


def test_a_ticket_that_never_stands_still_waits_for_a_person(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    fault = Fault("status", f"/tickets/{ticket_id}", "PUT", status=409, body='{"error": "UpdateConflict"}', times=50)
    firm.zendesk.faults.append(fault)

    run(bridge)

    (parked,) = bridge.store.parked()
    assert (parked.tries, len(writes(firm, "acme"))) == (MAX_TRIES, MAX_TRIES)
    assert parked.error == f"given up after {MAX_TRIES} tries: the ticket changed since it was read"


def test_what_was_parked_can_be_tried_again(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    fault = Fault("status", f"/tickets/{ticket_id}", "PUT", status=409, body='{"error": "UpdateConflict"}', times=50)
    firm.zendesk.faults.append(fault)
    run(bridge)
    firm.zendesk.faults.clear()

    bridge.store.retry_parked()
    run(bridge)

    assert is_recovered(firm, "acme", ticket_id)
    assert bridge.store.parked() == []


def test_a_write_that_the_helpdesk_will_not_have_is_parked_at_once(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme")
    body = '{"error": "RecordInvalid", "details": {"base": [{"description": "Color: is required"}]}}'
    firm.zendesk.faults.append(Fault("status", f"/tickets/{ticket_id}", "PUT", status=422, body=body, times=50))

    run(bridge)

    (parked,) = bridge.store.parked()
    assert (parked.tries, "Color: is required" in (parked.error or "")) == (1, True)


# ------------------------------------------------------------------ effects that are no longer wanted
def test_what_an_ended_case_wanted_is_dropped_and_agents_never_hear_of_it(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme", comment=None)
    decide(bridge, "acme")
    firm.zendesk.rate(ticket_id, "good")
    firm.pass_time(2 * MINUTE)
    decide(bridge, "acme")

    run(bridge)

    case = case_on(bridge, "acme", ticket_id)
    assert states(bridge, case) == [("flag", 0, "superseded"), ("withdraw", 0, "superseded")]
    assert notes(firm, ticket_id) == []


def test_what_agents_have_read_is_taken_back(firm: Company, bridge: App) -> None:
    ticket_id = rated(firm, "acme", comment=None)
    run(bridge)
    firm.zendesk.rate(ticket_id, "good")
    firm.pass_time(2 * MINUTE)

    run(bridge)

    assert states(bridge, case_on(bridge, "acme", ticket_id)) == [("flag", 0, "applied"), ("withdraw", 0, "applied")]
    assert "No action is needed any more" in notes(firm, ticket_id)[1]


@BOTH
def test_effects_of_one_case_go_out_in_their_order(firm: Company, bridge: App, account: str) -> None:
    first = rated(firm, account)
    decide(bridge, account)
    rated(firm, account, comment="And this one as well")
    decide(bridge, account)
    firm.desks[account].faults.append(Fault("reset", path=f"/tickets/{first}", method="PUT"))

    for _ in range(2):
        bridge.run()
        firm.pass_time(ARRIVED)

    told = notes(firm, first)
    assert ("Nobody helped me" in told[0], "And this one as well" in told[1], len(told)) == (True, True, 2)


# ------------------------------------------------------------------ ratings of other tickets
def solved_twice(firm: Company, account: str) -> tuple[str, str]:
    """Let Ana solve two tickets of one customer."""
    desk, ana = firm.desks[account], firm.agents[account, "Ana"]
    mia = desk.add_customer("Mia Maier", "mia@customer.example")
    found = [str(desk.open_ticket(mia, "My order", "Where?", group=firm.groups[account, "Care"])) for _ in range(2)]
    for ticket_id in found:
        desk.assign(ticket_id, ana, by=ana)
        desk.solve(ticket_id, ana)
    firm.pass_time(HOUR)
    return found[0], found[1]


def rate(firm: Company, account: str, ticket_id: str, comment: str | None) -> None:
    firm.desks[account].rate(ticket_id, "bad", comment)
    firm.pass_time(2 * MINUTE)


@BOTH
def test_a_rating_of_a_deleted_ticket_ends_no_case_of_another(firm: Company, bridge: App, account: str) -> None:
    first, second = solved_twice(firm, account)
    rate(firm, account, first, "Nobody helped me")
    run(bridge)
    rate(firm, account, second, "And this one")
    firm.desks[account].delete(second, by=firm.agents[account, "Ana"])
    firm.pass_time(MINUTE)

    run(bridge)

    assert case_on(bridge, account, first).is_open
    assert "And this one" in notes(firm, first)[1]


@BOTH
def test_a_rating_whose_customer_has_a_case_on_a_deleted_ticket_gets_its_own(
    firm: Company, bridge: App, account: str
) -> None:
    first, second = solved_twice(firm, account)
    rate(firm, account, first, "Nobody helped me")
    run(bridge)
    firm.desks[account].delete(first, by=firm.agents[account, "Ana"])
    rate(firm, account, second, "And this one")

    run(bridge)

    assert case_on(bridge, account, first).outcome is Outcome.DISMISSED
    assert is_recovered(firm, account, second)


@BOTH
def test_a_rating_of_an_open_ticket_reopens_the_ticket_of_the_case(firm: Company, bridge: App, account: str) -> None:
    first, second = solved_twice(firm, account)
    rate(firm, account, first, None)
    run(bridge)
    firm.desks[account].customer_replies(second, "Hello?")
    rate(firm, account, second, "Both are broken")

    run(bridge)

    assert shown(firm, account, first)["status"] == "open"
    assert "Both are broken" in notes(firm, first)[1]
    assert notes(firm, second) == []


def test_a_joined_rating_says_nothing_of_a_human_who_did_nothing(firm: Company, bridge: App) -> None:
    first = rated(firm, "acme", by="Ana")
    run(bridge)
    rated(firm, "acme", by="Ben", comment="And this one")

    run(bridge)

    assert "a human" not in case_on(bridge, "acme", first).reason


def test_a_closed_ticket_that_is_rated_again_has_one_follow_up(firm: Company, bridge: App) -> None:
    first = rated(firm, "acme")
    firm.zendesk.edit(first, by=firm.agents["acme", "Ana"], status="closed")
    firm.pass_time(MINUTE)
    decide(bridge, "acme")
    second = rated(firm, "acme", comment="And this one")
    decide(bridge, "acme")
    before = len(firm.zendesk.account.tickets)

    run(bridge)

    new = case_on(bridge, "acme", first).work_ticket_id or ""
    assert len(firm.zendesk.account.tickets) == before + 1
    assert [("Nobody helped" in note, "And this one" in note) for note in notes(firm, new)] == [
        (True, False),
        (False, True),
    ]
    assert notes(firm, second) == []


def test_a_follow_up_that_was_parked_is_not_made_when_there_is_one_already(firm: Company, bridge: App) -> None:
    first, second = solved_twice(firm, "acme")
    firm.zendesk.rate(first, "bad", "Nobody helped me")
    firm.zendesk.edit(first, by=firm.agents["acme", "Ana"], status="closed")
    firm.pass_time(2 * MINUTE)
    body = '{"error": "RecordInvalid", "details": {"base": [{"description": "Color: is required"}]}}'
    firm.zendesk.faults.append(Fault("status", "/tickets", "POST", status=422, body=body))
    run(bridge)
    rate(firm, "acme", second, "And this one")
    run(bridge)
    new = case_on(bridge, "acme", first).work_ticket_id

    assert bridge.store.retry_parked() == 1
    run(bridge)

    assert (case_on(bridge, "acme", first).work_ticket_id, bool(new)) == (new, True)
    assert states(bridge, case_on(bridge, "acme", first))[0] == ("flag", 0, "superseded")


def test_a_follow_up_that_was_closed_is_continued_by_another(firm: Company, bridge: App) -> None:
    first = rated(firm, "acme")
    firm.zendesk.edit(first, by=firm.agents["acme", "Ana"], status="closed")
    firm.pass_time(MINUTE)
    run(bridge)
    new = case_on(bridge, "acme", first).work_ticket_id or ""
    firm.zendesk.edit(new, by=firm.agents["acme", "Ana"], status="closed")
    rated(firm, "acme", comment="And this one")

    run(bridge)

    newest = case_on(bridge, "acme", first).work_ticket_id or ""
    assert newest not in ("", new)
    assert shown(firm, "acme", newest)["assignee"] == firm.agents["acme", "Ana"]


# ------------------------------------------------------------------ telling people
class Chat:
    """A chat service's incoming webhook, that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.told.append(json.loads(Request(environ).get_data()))
        return Response("ok")(environ, start_response)


class MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to get a message."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.server.told.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return


@contextmanager
def mail_server() -> Iterator[tuple[str, list[str]]]:
    """Serve SMTP on loopback; gives its url and the messages that arrive."""
    with socketserver.TCPServer(("127.0.0.1", 0), MailServer) as server:
        server.told = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}", server.told  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def rate_because(firm: Company, account: str, reason: str) -> str:
    """A customer picks a reason; rules.yaml wants the product lead to hear of some."""
    ticket_id = firm.solved_ticket(account, "Ana", "Mia Maier")
    firm.desks[account].rate(ticket_id, "bad", "I miss it", reason)
    firm.pass_time(2 * MINUTE)
    return ticket_id


def test_a_person_without_a_way_to_reach_them_is_told_when_there_is_one(firm: Company, bridge: App) -> None:
    ticket_id = rate_because(firm, "acme", "Missing feature")
    run(bridge)
    (parked,) = bridge.store.parked()
    assert "set BRIDGE_SLACK_WEBHOOK" in (parked.error or "")
    chat = Chat()
    with serve(chat) as url:
        firm.env["BRIDGE_SLACK_WEBHOOK"] = url
        with firm.bridge(rules(firm)) as app:
            app.store.retry_parked()
            run(app)
            run(app)

    (told,) = chat.told
    assert told["channel"] == "#product-feedback"
    assert f"ticket {ticket_id}" in told["text"]


def test_a_person_with_an_address_gets_a_mail(firm: Company) -> None:
    with mail_server() as (url, told):
        firm.env["BRIDGE_SMTP_URL"] = url
        with firm.bridge(rules(firm, ('"#product-feedback"', "product@example.com"))) as app:
            run(app)
            ticket_id = rate_because(firm, "acme", "Missing feature")
            run(app)
            run(app)

    (message,) = told
    assert "To: product@example.com" in message
    assert f"ticket {ticket_id}" in message


# ------------------------------------------------------------------ more than one at work
@contextmanager
def two_bridges(firm: Company, by: Rules, url: str) -> Iterator[tuple[App, App]]:
    """Open two bridges on one database, as two processes would."""
    with ExitStack() as stack:
        opened = (open_app(by, firm.env, now=firm.now, sleep=firm.sleep, database_url=url) for _ in range(2))
        one, two = (stack.enter_context(app) for app in opened)
        yield one, two


def together(*work: Callable[[], object]) -> list[BaseException]:
    """Do things at once; returns what went wrong."""
    wrong: list[BaseException] = []
    start = threading.Barrier(len(work))

    def begin(task: Callable[[], object]) -> None:
        start.wait()
        try:
            task()
        except BaseException as exc:
            wrong.append(exc)

    threads = [threading.Thread(target=begin, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def many_ratings(firm: Company, account: str, count: int) -> list[str]:
    """Let many customers rate at once what Ana solved an hour ago."""
    desk, ana, care = firm.desks[account], firm.agents[account, "Ana"], firm.groups[account, "Care"]
    found = []
    for number in range(count):
        customer = desk.add_customer(f"C{number}", f"c{number}@customer.example")
        found.append(desk.open_ticket(customer, "My order", "Where is it?", group=care))
        desk.assign(found[-1], ana, by=ana)
        desk.solve(found[-1], ana)
    firm.pass_time(HOUR)
    for ticket_id in found:
        desk.rate(ticket_id, "bad", "Not here yet")
    firm.pass_time(2 * MINUTE)
    return found


@BOTH
def test_two_at_once_write_every_note_once(firm: Company, account: str, database_url: str) -> None:
    patient = rules(firm, ("  mode: ", "  max_open: 1000\n  mode: "), ("50%", "100%"), only=account)
    with two_bridges(firm, patient, database_url) as (one, two):
        run(one)
        found = many_ratings(firm, account, 50)
        one.engine.poll(account)

        wrong = together(lambda: decide(one, account), lambda: decide(two, account))
        wrong += together(lambda: deliver(one, account), lambda: deliver(two, account))

        assert wrong == []
        assert all(is_recovered(firm, account, ticket_id) for ticket_id in found)
        assert [app.engine.tally.failed_records for app in (one, two)] == [0, 0]
        assert sum(app.engine.tally.effects["applied"] for app in (one, two)) == 50


class Meanwhile:
    """A desk behind which something happens after everything was read and before anything is sent."""

    def __init__(self, app: App, account: str, happens: Callable[[], object]) -> None:
        self.desk, self.happens = app.engine.desks[account], happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        self.happens()
        return self.desk.write(writes)


def delivery_through(desk: Any, app: App, account: str) -> Delivery:
    return Delivery(replace(app.engine, desks={account: desk}), app.delivery.channels)


@BOTH
def test_who_lost_the_lease_while_reading_sends_nothing(firm: Company, bridge: App, account: str) -> None:
    ticket_id = rated(firm, account)
    decide(bridge, account)

    def another_process() -> None:
        firm.pass_time(2 * LEASE)
        with firm.bridge(rules(firm, only=account)) as other:
            deliver(other, account)

    delivery_through(Meanwhile(bridge, account, another_process), bridge, account).deliver(account)

    assert len(writes(firm, account)) == (1 if account == "acme" else 2)
    assert is_recovered(firm, account, ticket_id)


def joined_meanwhile(firm: Company, account: str, second: str) -> Callable[[], object]:
    """Another process decides about a second rating of the customer."""
    firm.desks[account].rate(second, "bad", "And this one")

    def happens() -> None:
        with firm.bridge(rules(firm, only=account)) as other:
            decide(other, account)
            assert [row.outcome for row in other.store.ratings_of_ticket(account, second)] == ["joined"]

    return happens


@pytest.mark.parametrize("account", ["acme"])
def test_a_case_that_is_joined_while_its_follow_up_is_made_knows_it(firm: Company, bridge: App, account: str) -> None:
    first, second = solved_twice(firm, account)
    firm.zendesk.rate(first, "bad", "Nobody helped me")
    firm.zendesk.edit(first, by=firm.agents[account, "Ana"], status="closed")
    firm.pass_time(2 * MINUTE)
    decide(bridge, account)
    meanwhile = Meanwhile(bridge, account, joined_meanwhile(firm, account, second))

    delivery_through(meanwhile, bridge, account).deliver(account)
    run(bridge)

    case = case_on(bridge, account, first)
    assert ("joined by" in case.reason, len(notes(firm, case.work_ticket_id or ""))) == (True, 2)
    assert states(bridge, case)[0] == ("flag", 0, "applied")


@BOTH
def test_a_case_that_is_joined_while_its_owner_is_refused_gets_another(
    firm: Company, bridge: App, account: str
) -> None:
    first, second = solved_twice(firm, account)
    rate(firm, account, first, "Nobody helped me")
    decide(bridge, account)
    firm.desks[account].faults.append(refuses(account, first))
    firm.pass_time(MINUTE)
    meanwhile = Meanwhile(bridge, account, joined_meanwhile(firm, account, second))

    delivery_through(meanwhile, bridge, account).deliver(account)
    for _ in range(2):
        firm.pass_time(ARRIVED)
        run(bridge)

    assert shown(firm, account, first)["status"] == "open"
    assert len(notes(firm, first)) == 2


# ------------------------------------------------------------------ trouble of our own
class Broken:
    """A desk that cannot cope with one ticket, in a way that nobody foresaw."""

    def __init__(self, app: App, account: str, bad: str) -> None:
        self.desk, self.bad = app.engine.desks[account], bad

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)

    def write(self, writes: Sequence[Write]) -> Iterator[News]:
        if any(write.ticket.ticket_id == self.bad for write in writes):
            raise KeyError("nobody foresaw this")
        return self.desk.write(writes)


@BOTH
def test_one_write_that_crashes_stops_no_other(firm: Company, bridge: App, account: str) -> None:
    found = [rated(firm, account, customer=name) for name in ("Mia Maier", "Tom Tanner", "Eva Engel")]
    decide(bridge, account)
    delivery = delivery_through(Broken(bridge, account, found[0]), bridge, account)

    while delivery.deliver(account):
        pass

    assert [is_recovered(firm, account, ticket_id) for ticket_id in found] == [False, True, True]
    firm.pass_time(HOUR)
    run(bridge)
    assert is_recovered(firm, account, found[0])


# ------------------------------------------------------------------ shadow
@BOTH
def test_turning_to_shadow_stops_what_was_planned_and_turning_back_goes_on(
    firm: Company, bridge: App, account: str
) -> None:
    ticket_id = rated(firm, account, comment=None)
    decide(bridge, account)
    before = len(firm.world.ledger)
    with firm.bridge(rules(firm, mode="shadow", only=account)) as app:
        for _ in range(2):
            run(app)
            firm.pass_time(HOUR)
        assert len(firm.world.ledger) == before

    for _ in range(2):
        run(bridge)
    assert shown(firm, account, ticket_id)["status"] == "open"


# ------------------------------------------------------------------ a change of mind for the worse
SURVEYS = [
    ("acme", {"zendesk": {"csat": "legacy"}}),
    ("shop", {"freshdesk": {"csat": "classic_codes"}}),
    ("acme", {"zendesk": {"csat": "new"}}),
    ("shop", {"freshdesk": {"csat": "new"}}),
]


@pytest.mark.parametrize(("account", "options"), SURVEYS)
def test_a_good_rating_of_the_past_that_turns_bad_now_is_recovered(
    tmp_path: Path, account: str, options: dict[str, Any]
) -> None:
    with company(MONDAY, tmp_path, **options) as firm:
        ticket_id = firm.solved_ticket(account, "Ana", "Mia Maier")
        firm.desks[account].rate(ticket_id, "good", "Thank you")
        firm.pass_time(HOUR)
        with firm.bridge(rules(firm, only=account)) as app:
            run(app)
            firm.pass_time(2 * HOUR)
            rate(firm, account, ticket_id, "It broke again")
            run(app)

        assert is_recovered(firm, account, ticket_id)
