"""From shadow to live: plans against the last one, what shadow mode would have done, and the first live run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.commands import HOUR, SINCE, Shell, shell_beside_a_company

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture(scope="module")
def shadow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A run in shadow mode after two bad ratings."""
    with shell_beside_a_company(tmp_path_factory.mktemp("shadow")) as shell:
        shell.rules(mode="shadow")
        shell.rate("acme")
        shell.rate("shop", customer="Bo Berg")
        shell("run --once", *SINCE)
        yield shell


def rate_now(shell: Shell) -> str:
    """Let a customer rate a ticket after whatever ran before: stamps are in whole seconds, so two ahead of us."""
    firm = shell.firm
    firm.world.clock.advance(2 * SECOND - HOUR)
    ticket_id = firm.solved_ticket("acme", "Ana", "Mia Maier", takes=HOUR)
    firm.desks["acme"].rate(ticket_id, "bad", "Nobody helped me")
    return ticket_id


# ------------------------------------------------------------------ shadow
def test_shadow_mode_says_what_it_would_have_done_since_it_began(shadow: Shell) -> None:
    said = shadow("plan --shadow")

    assert said.says("acme: shadow mode, ratings since", "1 recovery, nothing was written", "ticket 1: normal")
    assert said.says("private note", "by first owner: Ana 1", "busiest hour: 1 recovery (limit ")
    assert shadow.written() == 0


def test_the_shadow_report_for_programs(shadow: Shell) -> None:
    reports = shadow("plan --shadow --json").json

    assert [report["account"] for report in reports] == ["acme", "shop"]
    assert [len(report["recoveries"]) for report in reports] == [1, 1]
    assert "tags + " in reports[0]["recoveries"][0]["would_do"][0]


def test_before_the_first_run_there_is_no_shadow(tmp_path_factory: pytest.TempPathFactory) -> None:
    with shell_beside_a_company(tmp_path_factory.mktemp("fresh")) as shell:
        assert shell("plan --shadow").says("acme: has not run in shadow mode yet")


# ------------------------------------------------------------------ going live, and plans
@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path_factory.mktemp("live")) as shell:
        shell.rules(mode="shadow")
        shell("run --once")
        yield shell


def test_the_first_live_run_says_its_plan_and_its_limits(shell: Shell) -> None:
    shell.rules(mode="live")
    ticket_id = rate_now(shell)

    first, second = shell("run --once"), shell("run --once")

    assert first.says("acme, shop: going live. The limits: tickets_per_hour 50")
    assert first.says(f"acme ticket {ticket_id}: normal", "status    solved -> open", "1 change; nothing was written")
    assert not second.says("going live")


def test_a_plan_says_what_is_different_from_the_last_one(shell: Shell) -> None:
    shell.rules(mode="live")
    shell("run --once")
    shell("plan")
    first = rate_now(shell)

    new = shell("plan")
    shell.firm.desks["acme"].delete(first, by=shell.firm.agents["acme", "Ana"])
    gone = shell("plan")

    assert new.says("(new)", "1 change (1 new and 0 gone since the plan of ")
    assert gone.says(f"no longer: acme ticket {first}, flag: ", "0 changes (0 new and 1 gone since the plan of ")
