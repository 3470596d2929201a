"""Facts about what is remembered from run to run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.store import Store

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_what_is_put_down_about_an_account_adds_up(store: Store) -> None:
    store.put_account_state("acme", began_at="2026-11-21", found_late=2)
    store.put_account_state("acme", found_late=3)

    assert store.account_state("acme") == {"began_at": "2026-11-21", "found_late": 3}
    assert store.account_state("shop") == {}


def test_the_budget_of_an_account_is_kept_for_the_next_process(store: Store) -> None:
    assert store.rate_state("acme") is None

    store.save_rate_state("acme", {"limit": 200, "stopped_until": None})
    store.save_rate_state("acme", {"limit": 400, "stopped_until": None})

    assert store.rate_state("acme") == {"limit": 400, "stopped_until": None}


def test_a_connector_recalls_what_it_remembered_last_and_when(store: Store) -> None:
    assert store.recall("acme", "directory") is None

    store.remember("acme", "directory", {"agents": ["Ä\0"]}, NOW)
    store.remember("acme", "directory", None, NOW + timedelta(hours=1))

    assert store.recall("acme", "directory") == (None, NOW + timedelta(hours=1))


def test_any_json_can_be_remembered(store: Store) -> None:
    value = {"text": "Ä\0\ud800", "list": [1, 2.5, True, None]}

    store.remember("acme", "x", value, NOW)

    assert store.recall("acme", "x") == (value, NOW)


def test_rules_are_kept_by_their_hash(store: Store) -> None:
    store.keep_rules("h1", "rules: []\n", NOW)
    store.keep_rules("h1", "rules: []\n", NOW + timedelta(hours=1))

    assert store.rules_text("h1") == "rules: []\n"
    assert store.rules_text("h2") is None
