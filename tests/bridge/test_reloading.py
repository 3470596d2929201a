"""A rules.yaml that is edited while the bridge runs: what works is swapped in, what does not changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.app import App
from bridge.errors import StoreError
from bridge.reloading import REFUSED, LivingApp
from bridge.rules import Rules
from connectors.sandbox.company import Company, company
from connectors.sandbox.world import Desk, Fault
from tests.bridge.stories import MONDAY

QUIETER = ("tickets_per_hour: 50", "tickets_per_hour: 7")
TESTS = """
version: 1
now: 2026-03-09 10:00
agents: {ana: {group: Care}}
ticket: {rating: bad, comment: Still broken, original_agent: ana}
tests:
  - {name: Low, expect: {assign: ana}}
"""


class Edited:
    """A living app, and its file in an admin's editor."""

    def __init__(self, path: Path, living: LivingApp, desks: dict[str, Desk]) -> None:
        self.path, self.living, self.desks = path, living, desks

    def edit(self, old: str, new: str) -> bool:
        text = self.path.read_text(encoding="utf-8")
        assert old in text
        self.path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return self.living.refresh()

    @property
    def limit(self) -> int | None:
        return self.living.app.rules.limits.tickets_per_hour

    @property
    def refused(self) -> str:
        return str(self.living.app.store.account_state("acme").get(REFUSED, ""))


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Company]:
    with company(MONDAY, tmp_path / "state") as found:
        yield found


@pytest.fixture
def file(firm: Company, tmp_path: Path) -> Iterator[Edited]:
    path = tmp_path / "rules.yaml"
    path.write_text(firm.rules().text, encoding="utf-8")
    with LivingApp(path, firm.bridge) as living:
        yield Edited(path, living, firm.desks)


def test_a_file_that_nobody_touched_is_left_alone(file: Edited) -> None:
    before = file.living.app

    assert file.living.refresh() is False
    assert file.living.app is before


def test_an_edit_that_works_is_in_charge_at_once(file: Edited) -> None:
    assert file.edit(*QUIETER) is True

    assert (file.limit, file.refused) == (7, "")
    file.living.app.run()
    assert file.living.app.failures == {}


def test_an_edit_that_does_not_work_leaves_the_old_rules_in_charge_and_says_so(
    file: Edited, caplog: pytest.LogCaptureFixture
) -> None:
    assert file.edit("tickets_per_hour: 50", "tickets_per_our: 7") is False

    assert file.limit == 50
    assert 'did you mean "tickets_per_hour"?' in file.refused
    assert "is not used; the rules of before decide on" in caplog.text


def test_what_does_not_work_is_said_once(file: Edited, caplog: pytest.LogCaptureFixture) -> None:
    file.edit("tickets_per_hour: 50", "tickets_per_our: 7")
    caplog.clear()

    file.living.refresh()

    assert caplog.text == ""


@pytest.mark.parametrize("limit", ["tickets_per_hour: 50", "tickets_per_hour: 7"])
def test_once_it_is_mended_nothing_is_refused_any_more(file: Edited, limit: str) -> None:
    file.edit("tickets_per_hour: 50", "tickets_per_our: 7")

    file.edit("tickets_per_our: 7", limit)

    assert (f"tickets_per_hour: {file.limit}", file.refused) == (limit, "")


def test_a_new_process_with_a_file_that_works_refuses_nothing_any_more(firm: Company, file: Edited) -> None:
    file.edit("tickets_per_hour: 50", "tickets_per_our: 7")
    file.path.write_text(firm.rules().text, encoding="utf-8")

    with LivingApp(file.path, firm.bridge):
        assert file.refused == ""


def test_what_was_refused_is_not_in_charge_after_a_restart_either(firm: Company, file: Edited) -> None:
    file.living.app.run()
    file.path.with_name("rules_test.yaml").write_text(TESTS, encoding="utf-8")
    file.edit(*QUIETER)  # the tests reach one rule only

    with LivingApp(file.path, firm.bridge) as restarted:
        again = Edited(file.path, restarted, firm.desks)

        assert (again.limit, "no test reaches" in again.refused) == (50, True)


def test_a_database_that_cannot_be_opened_is_no_fault_of_the_file(firm: Company, tmp_path: Path) -> None:
    path, opened = tmp_path / "rules.yaml", 0

    @contextmanager
    def second_time_locked(rules: Rules) -> Iterator[App]:
        nonlocal opened
        opened += 1
        if opened == 2:
            raise StoreError("it is locked by another process")
        with firm.bridge(rules) as app:
            yield app

    path.write_text(firm.rules().text, encoding="utf-8")
    with LivingApp(path, second_time_locked) as living:
        file = Edited(path, living, firm.desks)
        with pytest.raises(StoreError):
            file.edit(*QUIETER)
        assert file.limit == 50

        assert living.refresh() is True
        assert file.limit == 7


def test_rules_that_fail_their_tests_are_refused(file: Edited) -> None:
    file.path.with_name("rules_test.yaml").write_text(TESTS, encoding="utf-8")

    file.edit(*QUIETER)

    assert file.limit == 50
    assert "no test reaches" in file.refused


def test_a_file_that_is_gone_changes_nothing(file: Edited) -> None:
    file.path.unlink()

    assert file.living.refresh() is False
    assert "no such file" in file.refused


def test_an_account_without_credentials_changes_nothing(file: Edited) -> None:
    file.edit("  acme: {", "  new: {connector: zendesk, url: http://127.0.0.1:1}\n  acme: {")

    assert set(file.living.app.accounts) == {"acme", "shop"}
    assert "BRIDGE_NEW" in file.refused


def test_a_group_that_the_helpdesk_does_not_have_changes_nothing(file: Edited) -> None:
    file.edit("group: Team Leads", "group: Team Leeds")

    assert 'did you mean "Team Leads"?' in file.refused
    file.living.app.run()
    assert file.living.app.failures == {}


def test_a_rule_that_is_switched_off_needs_no_test_any_more(file: Edited) -> None:
    tests = TESTS.replace("expect: {assign: ana}}", "expect: {rule: Low rating}}")
    file.path.with_name("rules_test.yaml").write_text(tests, encoding="utf-8")
    text = file.path.read_text(encoding="utf-8")
    for name in ("Spam and tests", "Low rating"):
        text = text.replace(f"- name: {name}\n", f'- name: {name}\n    disabled: "2026-11-22: we look at it"\n')
    file.path.write_text(text, encoding="utf-8")

    file.living.refresh()

    assert "no test reaches" in file.refused
    assert "expected rule: Low rating, got none" not in file.refused


def test_names_that_cannot_be_looked_up_now_are_looked_up_later(file: Edited) -> None:
    file.living.app.sleep(4000)  # what is remembered of the helpdesks is old by now
    for desk in file.living.app.engine.desks:
        file.desks[desk].faults.append(Fault("status", status=503, times=50))

    assert file.edit(*QUIETER) is False
    for desk in file.living.app.engine.desks:
        file.desks[desk].faults.clear()

    assert (file.living.refresh(), file.limit, file.refused) == (True, 7, "")
