"""`verify` as its users meet it: what it prints, and how it ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from commands import SINCE, Shell, shell_beside_a_company

from connectors.sandbox.world import Fault


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell after a run that flagged two tickets of each account."""
    with shell_beside_a_company(tmp_path_factory.mktemp("worked")) as shell:
        for account in ("acme", "shop"):
            for customer in ("Mia Maier", "Tom Tanner"):
                shell.rate(account, customer=customer)
        assert shell("run --once", *SINCE).code == 0
        yield shell


@pytest.fixture
def shell(worked: Shell) -> Iterator[Shell]:
    """The same, with its helpdesks and rows as they were."""
    yield worked
    for desk in worked.firm.desks.values():
        desk.faults.clear()
    in_database(worked, "UPDATE effect SET state = 'applied', error = NULL WHERE kind = 'update'")
    worked.env |= worked.firm.env


def in_database(shell: Shell, sql: str) -> None:
    connection = sqlite3.connect(shell.state / "bridge.db", isolation_level=None)
    connection.execute(sql)
    connection.close()


def test_where_all_is_as_recorded_one_line_says_so(shell: Shell) -> None:
    before = shell.written()

    said = shell("verify")

    assert (said.code, said.out) == (0, "4 effects on 4 tickets compared: 4 as recorded, 0 differ\n")
    assert shell.written() == before


def test_one_account_can_be_compared_alone(shell: Shell) -> None:
    assert shell("verify --account shop").out == "2 effects on 2 tickets compared: 2 as recorded, 0 differ\n"


def test_effects_from_before_the_day_that_is_named_are_left_out(shell: Shell) -> None:
    assert shell("verify --since 2090-01-01").says("0 effects on 0 tickets compared")


def test_a_difference_is_printed_with_what_to_do_and_ends_with_1(shell: Shell) -> None:
    in_database(shell, "UPDATE effect SET state = 'parked', error = 'no answer' WHERE account = 'acme'")

    said = shell("verify")

    assert said.code == 1
    assert said.out.count("DIFFERS  acme ticket 5") == 2
    assert said.says("recorded: parked: no answer (", "; found: its note is there\n         -> recovery-bridge retry ")
    assert said.out.endswith("4 effects on 4 tickets compared: 2 as recorded, 2 differ\n")


def test_programs_read_the_figures_and_each_difference(shell: Shell) -> None:
    in_database(shell, "UPDATE effect SET state = 'sending' WHERE account = 'acme'")

    said = shell("verify --json")

    acme, shop = said.json
    assert (said.code, shop["as_recorded"], acme["as_recorded"], acme["differ"]) == (0, 2, 2, 0)
    assert [(one["step"], one["recorded"], one["needs_human"]) for one in acme["differences"]] == [
        ("flag", "sending", False)
    ] * 2


def test_a_helpdesk_that_is_down_ends_with_69_and_the_other_is_compared(shell: Shell) -> None:
    shell.firm.desks["acme"].faults.append(Fault("status", status=503, times=99, headers={"Retry-After": "0"}))

    said = shell("verify")

    assert (said.code, said.out) == (69, "2 effects on 2 tickets compared: 2 as recorded, 0 differ\n")
    assert "acme: GET /api/v2/tickets/show_many: 503" in said.err


def test_refused_credentials_end_with_77(shell: Shell) -> None:
    shell.env["BRIDGE_SHOP_API_KEY"] = "wrong-secret"

    said = shell("verify --account shop")

    assert (said.code, "shop: GET /api/v2/" in said.err) == (77, True)


def test_an_account_that_is_not_there_ends_with_78(shell: Shell) -> None:
    assert shell("verify --account other").code == 78
