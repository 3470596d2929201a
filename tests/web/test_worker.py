"""The work behind the server: hints are followed at once, polls go on, and what no webhook told of is counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.app import App
from bridge.hints import PATIENCE, TOGETHER
from bridge.model import Case
from bridge.reloading import LivingApp
from bridge.status import account_status, status_text
from bridge.web.counts import Counts
from bridge.web.service import Bell, Worker
from connectors.sandbox.company import Company
from connectors.sandbox.world import Fault
from tests.bridge.stories import BOTH, MINUTE, MONDAY, WHOLE_SHARE
from tests.in_process import company

NOTHING, SECOND = timedelta(), timedelta(seconds=1)
CALLS = {"acme": 3, "shop": 4}  # two readings and a write; Freshdesk takes a note in a write of its own


class Service:
    """A company, and the worker of its server."""

    def __init__(self, firm: Company, living: LivingApp) -> None:
        self.firm, self.living, self.bell, self.counts = firm, living, Bell(), Counts()
        self.stops: Iterator[bool] = iter(())
        self.worker = Worker(
            living, self.bell, self.counts, every=MINUTE, stopping=lambda: next(self.stops, False),
            hooked=lambda account: account == "acme",
        )  # fmt: skip
        self.worker.reconcile()

    @property
    def app(self) -> App:
        return self.living.app

    def rated(self, account: str, customer: str = "Mia Maier") -> str:
        ticket_id = self.firm.solved_ticket(account, "Ana", customer)
        self.firm.desks[account].rate(ticket_id, "bad", "Nobody helped me")
        self.firm.pass_time(timedelta(seconds=5))
        return ticket_id

    def hint(self, account: str, ticket_id: str) -> None:
        """A webhook was stored."""
        self.app.store.add_hint(account, f"delivery {ticket_id}", ticket_id, self.firm.now())
        self.bell.ring(account, self.firm.now())
        self.worker.listen(NOTHING)
        self.worker.follow()

    def notes(self, ticket_id: str) -> int:
        return sum(e.what == "private_note" and e.ticket_id == ticket_id for e in self.firm.world.ledger)

    def case(self, account: str, ticket_id: str) -> Case | None:
        return self.app.store.open_case_on(account, ticket_id)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with company(MONDAY, tmp_path) as firm:
        path = tmp_path / "rules.yaml"
        path.write_text(firm.rules().text.replace(*WHOLE_SHARE), encoding="utf-8")
        with LivingApp(path, firm.bridge) as living:
            yield Service(firm, living)


@BOTH
def test_a_hint_is_followed_between_two_polls_with_few_calls(service: Service, account: str) -> None:
    first, ticket_id = service.rated(account, "Cora First"), service.rated(account)
    service.hint(account, first)  # reads who works there
    before = len(service.firm.desks[account].requests)

    service.hint(account, ticket_id)

    assert service.notes(ticket_id) == 1
    assert len(service.firm.desks[account].requests) - before <= CALLS[account]


@BOTH
def test_many_hints_of_one_ticket_are_one_reading(service: Service, account: str) -> None:
    ticket_id = service.rated(account)
    service.hint(account, ticket_id)
    before = len(service.firm.desks[account].requests)
    for number in range(30):
        service.app.store.add_hint(account, f"again {number}", ticket_id, service.firm.now())

    service.app.follow(account)

    readings = {"acme": 2, "shop": 1}[account]  # a legacy rating is read by way of its ticket
    assert len(service.firm.desks[account].requests) - before <= readings
    assert service.app.store.next_hint_at(account) is None


def test_a_hint_waits_until_it_is_ripe_and_takes_others_of_its_ticket_along(service: Service) -> None:
    ticket_id, store, now = service.rated("acme"), service.app.store, service.firm.now()
    store.add_hint("acme", "first", ticket_id, now, now + SECOND)
    store.add_hint("acme", "second", ticket_id, now, now + MINUTE)

    assert (service.app.follow("acme"), service.notes(ticket_id)) == (now + SECOND, 0)
    service.firm.pass_time(SECOND)
    service.app.follow("acme")

    assert (service.notes(ticket_id), store.next_hint_at("acme")) == (1, None)


def test_hints_behind_many_others_are_followed_in_the_same_pass(service: Service) -> None:
    for number in range(3 * TOGETHER):
        service.app.store.add_hint("acme", f"unknown {number}", f"90000{number}", service.firm.now())
    ticket_id = service.rated("acme")

    service.hint("acme", ticket_id)

    assert service.notes(ticket_id) == 1


def test_what_comes_during_a_pass_is_left_to_the_next_one(service: Service) -> None:
    ticket_id, begun = service.rated("acme"), service.firm.now()
    service.app.store.add_hint("acme", "late", ticket_id, begun + SECOND)
    service.firm.pass_time(MINUTE)

    assert not service.app.engine.decide("acme", begun)
    assert service.app.engine.decide("acme")


@BOTH
def test_a_flood_of_hints_that_lead_to_nothing_takes_few_calls_and_stops_no_rating(
    service: Service, account: str
) -> None:
    now = service.firm.now()
    flood = [(account, f"unknown {number}", f"90000{number}", now) for number in range(3 * PATIENCE)]
    service.app.store.add_hints(flood, now)
    before = len(service.firm.desks[account].requests)

    at = service.app.follow(account)

    assert len(service.firm.desks[account].requests) - before <= PATIENCE + TOGETHER
    assert at == now + MINUTE
    ticket_id = service.rated(account)
    service.worker.reconcile()
    assert service.notes(ticket_id) == 1


def test_what_falls_due_between_two_polls_is_done_when_it_is_due(service: Service) -> None:
    ticket_id = service.rated("acme")
    service.hint("acme", ticket_id)
    due_at = service.case("acme", ticket_id).due_at

    assert service.app.store.next_due_at("acme") == due_at
    assert service.app.follow("acme") == due_at


@BOTH
def test_an_agent_who_answered_since_the_last_poll_is_not_reminded(service: Service, account: str) -> None:
    ticket_id = service.rated(account)
    service.hint(account, ticket_id)
    due_at = service.case(account, ticket_id).due_at
    service.firm.pass_time(due_at - service.firm.now() - MINUTE)
    service.worker.reconcile()
    service.firm.pass_time(MINUTE / 2)
    service.firm.desks[account].reply(ticket_id, service.firm.agents[account, "Ana"], "I am sorry, it works now.")
    service.firm.pass_time(MINUTE / 2)

    service.worker.follow()

    assert service.case(account, ticket_id).replied_at is not None
    assert service.notes(ticket_id) == 1  # that of the beginning, and no reminder


@pytest.mark.parametrize("status", [422, 500])
@BOTH
def test_a_ticket_whose_rating_cannot_be_read_stops_nobody_else(service: Service, account: str, status: int) -> None:
    odd, ticket_id = service.rated(account, "Cora Odd"), service.rated(account)
    path = {"acme": f"/tickets/{odd}", "shop": f"/tickets/{odd}/satisfaction_ratings"}[account]
    service.firm.desks[account].faults.append(Fault("status", path, status=status, times=9))
    service.hint(account, odd)

    service.worker.reconcile()

    assert service.notes(ticket_id) == 1


def test_an_account_that_cannot_be_reached_is_left_to_the_next_poll(service: Service) -> None:
    ticket_id = service.rated("acme")
    service.firm.zendesk.faults.append(Fault("status", status=403, times=99))
    service.hint("acme", ticket_id)
    asked = len(service.firm.zendesk.requests)

    service.bell.ring("acme", service.firm.now())
    service.worker.listen(NOTHING)
    service.worker.follow()

    assert len(service.firm.zendesk.requests) == asked
    service.firm.zendesk.faults.clear()
    service.worker.reconcile()
    assert service.notes(ticket_id) == 1


def test_bad_ratings_of_which_no_webhook_told_are_counted_once(service: Service) -> None:
    told, untold = service.rated("acme", "Cora Told"), service.rated("acme", "Cora Untold")
    service.hint("acme", told)
    service.rated("shop")  # sends no webhooks
    service.worker.reconcile()
    for _ in range(2):
        service.firm.pass_time(11 * MINUTE)
        service.worker.reconcile()

    report = account_status(service.app.store, service.app.rules, "acme", service.firm.now())
    assert (report.missed_by_webhooks, service.notes(untold)) == (1, 1)
    assert "found only by polling, no webhook told: 1 bad rating" in status_text([report], service.firm.now())
    assert service.counts.get("ratings_missed_by_webhooks_total", account="acme") == 1


def test_a_disk_that_is_full_does_not_end_the_service(service: Service) -> None:
    for _ in range(9):
        service.rated("acme")
    with service.app.store._writing() as tx:
        tx.exec_driver_sql("PRAGMA max_page_count = 1")  # no page more than there are
    service.stops = iter((False, True, True))

    service.worker.work()

    assert service.counts.get("store_failures_total") == 1
