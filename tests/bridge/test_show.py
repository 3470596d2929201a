"""How ids become names, where they are known."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.connector import SetupStep
from bridge.model import Change
from bridge.show import NO_NAMES, Names, groups_of, masked, money, setup_line
from bridge.store import Store

NAMES = Names({"12": "Ana", "13": "Ben"}, {"5": "Care"})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("flag: assign to 12 in group 5, priority high", "flag: assign to Ana in group Care, priority high"),
        ("leave unassigned in group 5", "leave unassigned in group Care"),
        ("agent 13 is no longer an agent", "agent Ben is no longer an agent"),
        ("assign to 99 in group 98", "assign to 99 in group 98"),
        ("carried on in ticket 12, 5 tries", "carried on in ticket 12, 5 tries"),
    ],
)
def test_ids_in_what_was_decided_become_names_where_they_are_known(text: str, read: str) -> None:
    assert NAMES.in_text(text) == read


def test_a_change_is_read_with_names() -> None:
    assert NAMES.named(Change(assignee_id="12", group_id="5")).parts == ["assign to Ana in group Care"]
    assert NO_NAMES.named(Change(assignee_id="12", group_id="5")).parts == ["assign to 12 in group 5"]


def test_a_change_that_assigns_nobody_stays_so() -> None:
    assert NAMES.named(Change(reopen=True)) == Change(reopen=True)


def test_groups_of_one_name_are_told_apart_by_their_accounts(tmp_path: Path, migrated_file: Path) -> None:
    store = Store.open(f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'bridge.db')}")
    for account, groups in (("acme", {"5": "Care", "6": "Orders"}), ("shop", {"7": "Care"})):
        store.remember(account, "directory", {"agents": [], "groups": groups}, datetime(2026, 3, 2, tzinfo=UTC))

    both, one = (groups_of(store, accounts).groups for accounts in (["acme", "shop"], ["acme"]))
    store.close()
    assert both == {"5": "Care (acme)", "6": "Orders", "7": "Care (shop)"}
    assert one == {"5": "Care", "6": "Orders"}


def test_only_enough_of_an_address_is_shown() -> None:
    assert masked("mia.maier@customer.example") == "mi...@customer.example"


def test_money_is_shown_by_currency() -> None:
    assert money({"USD": Decimal("3.00"), "EUR": Decimal(5)}) == "5 EUR, 3.00 USD"


def test_what_setup_leaves_to_people_has_a_line_for_each_field() -> None:
    first, second = setup_line("shop", SetupStep("a rule\nname: Told", "by hand")).splitlines()

    assert (first, second.strip()) == ("shop: by hand          a rule", "name: Told")
    assert second.index("name") > first.index("a rule")
