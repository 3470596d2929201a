"""Names of the helpdesk in rules.yaml, compared with what is remembered of the accounts; nothing is ever asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.model import Agent, Directory
from bridge.remembered import Remembered, remembered
from bridge.rules import Rules, check
from bridge.rules.lint_playbooks import report_late_reminders
from bridge.rules.names import names, report_doubted, report_unseen
from bridge.rules.problems import Reporter
from bridge.store import Store

NOW = datetime(2026, 3, 9, 10, tzinfo=UTC)
FILE = """\
version: 1
accounts: {acme: {connector: zendesk, url: https://acme.zendesk.com}}
people: {leads: {group: Team Leeds, notify: leads@example.com}}
survey_texts: [{brand: Acme Prow, subject: a, text: b}]
playbooks:
  standard: {assign_to_first_available: [leads], survey: {after: 2d, remind_after: 3d}}
rules:
  - {name: A, when: {any: [{tags: {has_any: [vpi, spam]}}, {reason: {none_of: [Too slwo]}}]}, playbook: standard}
  - {name: B, when: {rating: bad, brand: Acme Pro}, unless: {group: [Suport]}, playbook: standard}
settings: {surveys: everyone}
"""


def rules_of(text: str) -> Rules:
    found, problems = check(text)
    assert found is not None, [problem.headline for problem in problems]
    return found


def report_on(rules: Rules) -> Reporter:
    return Reporter(rules.path, rules.text)


def directory(**brands: str) -> Directory:
    agents = {"1": Agent("1", "Ana", "ana@example.com")}
    return Directory(NOW - timedelta(hours=2), agents, {"10": "Support", "20": "Team Leads"}, brands)


def test_every_name_of_the_helpdesk_is_found() -> None:
    found = {(name.kind, name.text) for name in names(rules_of(FILE).document.data)}

    assert found == {
        *(("group", "Team Leeds"), ("group", "Suport"), ("brand", "Acme Prow"), ("brand", "Acme Pro")),
        *(("tags", "vpi"), ("tags", "spam"), ("reason", "Too slwo")),
    }


def test_a_name_that_was_not_there_is_doubted_with_the_age_of_what_is_known() -> None:
    rules = rules_of(FILE)
    report = report_on(rules)

    report_doubted(rules.document.data, {"acme": directory(b="Acme Pro")}, NOW, report)

    assert [problem.headline for problem in report.problems] == [
        f'rules.yaml:{place}: warning: unknown {name} in account acme (as of 2h ago), did you mean "{right}"?'
        for place, name, right in (
            ("3:25", 'group "Team Leeds"', "Team Leads"),
            ("4:24", 'brand "Acme Prow"', "Acme Pro"),
            ("9:70", 'group "Suport"', "Support"),
        )
    ]


def test_brands_are_doubted_only_where_every_account_tells_its_own() -> None:
    rules = rules_of(FILE)
    report = report_on(rules)

    report_doubted(rules.document.data, {"acme": directory(b="Acme Pro"), "shop": directory()}, NOW, report)

    assert not any("brand" in problem.message for problem in report.problems)


def test_a_tag_or_reason_much_like_one_that_tickets_had_is_doubted() -> None:
    rules = rules_of(FILE)
    report = report_on(rules)

    report_unseen(rules.document.data, {"tags": {"VIP", "billing"}, "reason": {"Too slow"}}, report)

    assert [(problem.line, problem.suggestion) for problem in report.problems] == [(8, "VIP"), (8, "Too slow")]


@pytest.mark.parametrize(
    ("days", "change", "late"),
    [
        (4, ("", ""), True),
        (7, ("", ""), False),
        (3, ("remind_after: 3d", "remind_after: 2d, reopen: never"), True),
        (4, ("remind_after: 3d", "remind_after: 1d"), False),
        (4, ("remind_after: 3d", "remind_after: 3d, reopen: always"), False),
    ],
)
def test_a_reminder_after_the_ticket_is_closed_is_named(days: int, change: tuple[str, str], late: bool) -> None:
    rules = rules_of(FILE.replace(*change) if change[0] else FILE)
    report = report_on(rules)

    report_late_reminders(rules, "acme", timedelta(days=days), report)

    messages = [problem.message for problem in report.problems]
    assert bool(messages) is late
    assert all(f"acme closes tickets {days}d after they are solved" in message for message in messages)


# ------------------------------------------------------------------ what is remembered
def kept(path: Path, **values: Any) -> dict[str, str]:
    """Let a store remember values of the account acme; return the environment in which it is found."""
    store = Store.open(f"sqlite:///{path / 'bridge.db'}")
    for name, value in values.items():
        store.remember("acme", name, value, NOW)
    store.close()
    return {"BRIDGE_STATE_DIR": str(path)}


def test_what_the_connectors_remember_is_read_from_the_file(tmp_path: Path) -> None:
    agent = {"agent_id": "1", "name": "Ana", "email": "ana@example.com", "group_ids": ["10"]}
    people = {"read_at": "2026-03-09T08:00:00+00:00", "agents": [agent], "groups": {"10": "Support"}, "brands": {}}

    found = remembered(kept(tmp_path, directory=people, asking={"closes_after": 96}), "acme")

    assert found is not None
    assert found.directory == Directory(
        NOW - timedelta(hours=2), {"1": Agent("1", "Ana", "ana@example.com")}, {"10": "Support"}, {}
    )
    assert found.closes_after == timedelta(days=4)


def test_without_a_store_nothing_is_remembered_and_none_is_made(tmp_path: Path) -> None:
    assert remembered({"BRIDGE_STATE_DIR": str(tmp_path / "state")}, "acme") is None
    assert list(tmp_path.iterdir()) == []


def test_a_database_on_a_server_is_not_asked() -> None:
    assert remembered({"BRIDGE_DATABASE_URL": "postgresql://nobody@192.0.2.1/none"}, "acme") is None


@pytest.mark.parametrize("text", ["", "no database"])
def test_a_file_that_cannot_be_read_is_like_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "bridge.db").write_text(text)

    assert remembered({"BRIDGE_STATE_DIR": str(tmp_path)}, "acme") is None


def test_an_account_that_was_never_run_is_known_to_be_unknown(tmp_path: Path) -> None:
    assert remembered(kept(tmp_path), "acme") == Remembered()
