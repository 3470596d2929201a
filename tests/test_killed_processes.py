"""Processes that are killed, frozen and started all at once: a small part of `python -m tests.soak`, same code."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import StoreError
from connectors.sandbox.company import company
from tests.soak import postgres
from tests.soak.clock import START
from tests.soak.processes import kills, overlaps, play, stops, unnoted_jobs
from tests.soak.referee import Found, judge
from tests.soak.scene import MINUTE, scene

SEED = 4
CALM = {"most": 2, "pauses": (7, 20)}


def test_on_sqlite_killed_and_frozen_runs_lose_nothing_and_do_nothing_twice() -> None:
    found = play(SEED, [(overlaps, 12), (unnoted_jobs, 1), (stops, 2), (kills, 4)], **CALM)

    assert found.violations == []
    assert found.counts["ended with 75"] == 11 + 2
    assert max(found.recovered.get("all others", [0])) < 60 + 10  # cron's minute, and the run


def test_on_postgresql_another_worker_or_the_next_run_goes_on_within_one_lease() -> None:
    with postgres.server() as server:
        stories = [(unnoted_jobs, 1), (postgres.takeovers, 1), (postgres.outages(server), 1), (kills, 2)]

        found = play(SEED, stories, server.database(), **CALM)

    assert found.violations == []
    assert found.counts["ended with 74"] == 1
    assert max(found.recovered["all others"]) < 180 + 10  # the lease, and the run that then does it


def test_the_referees_see_what_is_lost_and_what_is_there_twice() -> None:
    with scene(SEED, **CALM) as here:
        here.some_work()
        here.run()
        notes = [entry for entry in here.firm.world.ledger if entry.what == "private_note"]
        here.firm.world.ledger.append(notes[0])
        here.rated.append(("acme", "4711"))

        found = Found()
        said = judge(here, found.counts)

    assert [line.partition(": ")[2].partition(" ")[0] for line in said] == ["0", "the"]


def test_a_disk_that_is_full_is_no_fault_of_the_rating_in_hand(tmp_path: Path) -> None:
    with company(START, tmp_path) as firm, firm.bridge() as app:
        app.run()
        for number in range(9):
            firm.zendesk.rate(firm.solved_ticket("acme", "Ana", f"Cora {number}"), "bad")
        firm.pass_time(5 * MINUTE)
        app.engine.poll("acme")
        with app.store._writing() as tx:
            tx.exec_driver_sql("PRAGMA max_page_count = 1")  # no page more than there are

        with pytest.raises(StoreError, match="the disk is full"):
            app.engine.decide("acme")

        assert [row.tries for row in app.store.pending("acme", firm.now(), 9)].count(0) > 0
