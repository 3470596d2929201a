"""What Prometheus reads is what the store knows; no label names a ticket, a case or a person."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.errors import StoreError
from bridge.http import Budget
from bridge.metrics import METRICS, PREFIX, Metrics, metrics_table, write_textfile
from bridge.model import Category, EffectKind, EffectState, Rating
from bridge.rules import Rules, check
from bridge.store import Store
from connectors.sandbox.world import Fault
from tests.bridge.stories import DAY, HOUR, MINUTE, Story, story_in
from tests.bridge.test_store_cases import CASE, EFFECT, NOW, decision

ROOT = Path(__file__).parent.parent.parent
RULES = """
version: 1
accounts: {acme: {connector: zendesk, url: https://acme.zendesk.com}}
settings: {mode: live}
rules: [{name: Low rating, when: {rating: bad}, playbook: standard}]
playbooks: {standard: {}}
"""
Found = dict[tuple[str, tuple[str, ...]], float]  # by name without its prefix, and the values of its labels


def read(text: bytes) -> Found:
    """Return what Prometheus would read."""
    families = text_string_to_metric_families(text.decode())
    samples = {
        (one.name.removeprefix(PREFIX), *one.labels.items()): one for family in families for one in family.samples
    }
    labels = {metric.name: metric.labels for metric in METRICS}
    return {(key[0], tuple(one.labels[name] for name in labels[key[0]])): one.value for key, one in samples.items()}


def live() -> Rules:
    rules, _ = check(RULES)
    assert rules
    return rules


@pytest.fixture
def metrics(store: Store) -> Metrics:
    return Metrics(store, live, lambda: NOW)


def of(store: Store, now: datetime = NOW) -> Found:
    return read(Metrics(store, live, lambda: now).text())


def see(store: Store, *numbers: int, source: str = "poll", at: datetime = NOW - HOUR) -> None:
    found = [Rating(f"r{number}", f"t{number}", Category.BAD, 1, 2, at, at) for number in numbers]
    store.add_ratings("acme", found, source=source, seen_at=at + MINUTE, memory_before=NOW - DAY)


# ------------------------------------------------------------------ the same as the store
def test_ratings_are_counted_by_source_and_score(store: Store) -> None:
    see(store, 1, 2)
    see(store, 3, source="hint")

    found = of(store)

    assert found["ratings_seen_total", ("acme", "poll", "bad")] == 2
    assert found["ratings_seen_total", ("acme", "hint", "bad")] == 1
    assert found["rating_lag_seconds", ("acme", "0.5")] == 60


def test_many_ratings_are_counted_once_and_by_the_next_process_as_well(store: Store, metrics: Metrics) -> None:
    metrics._ratings.SETTLED, metrics._ratings.KEPT_EVERY = 3, 5
    for number in range(12):
        see(store, number)
        metrics.values()
    assert (store.recall("", "ratings_seen") or ({}, None))[0]["row"] >= 5

    assert of(store)["ratings_seen_total", ("acme", "poll", "bad")] == 12
    assert metrics.values()["ratings_seen_total"] == {("acme", "poll", "bad"): 12}


def test_cases_and_effects_are_counted_by_what_became_of_them(store: Store) -> None:
    store.save(decision(CASE, EFFECT), effect_state=EffectState.ADOPTED)
    alert = replace(EFFECT, effect_id="e2", kind=EffectKind.ALERT, step="deadline:20261121093000:0:tell:leads")
    store.save(decision(None, alert), effect_state=EffectState.PARKED)

    found = of(store)

    assert found["cases_open", ("acme", "assigned")] == 1
    assert found["effects_total", ("acme", "update", "adopted")] == found["adopted_total", ("acme",)] == 1
    assert found["effects_parked", ("acme",)] == found["deadline_missed_total", ("acme",)] == 1
    assert ("effects_total", ("acme", "alert", "parked")) not in found


@pytest.mark.parametrize(("after", "seconds"), [(timedelta(), 0.0), (3 * HOUR, 7200.0)])
def test_the_oldest_work_that_is_due_says_for_how_long(store: Store, after: timedelta, seconds: float) -> None:
    store.save(decision(CASE))  # due in an hour

    assert of(store, NOW + after)["oldest_due_seconds", ("acme",)] == seconds


def test_the_state_of_an_account_shows(store: Store) -> None:
    silent = {"sign": "flagged", "since": NOW.isoformat(), "longest_s": 9.0}
    at = datetime(2026, 11, 21, 9, tzinfo=UTC)
    store.put_account_state(
        "acme", succeeded_at=at.isoformat(), silent=silent, held="50 began", limits_reached=2, conflicts=3,
        found_late="4", missed_by_webhooks=5, rules_refused="no", rules_refused_at=at.isoformat(),
    )  # fmt: skip

    found = of(store)

    one = {name: found[name, ("acme",)] for name, labels in found if labels == ("acme",)}
    assert (one["last_success_timestamp"], one["rules_refused_since"]) == (at.timestamp(), at.timestamp())
    assert (one["held"], one["budget_stops_total"], one["conflicts_total"]) == (1, 2, 3)
    assert (one["ratings_found_late_total"], one["ratings_missed_by_webhooks_total"]) == (4, 5)
    assert (found["silent", ("acme", "flagged")], found["silent", ("acme", "ratings")]) == (1, 0)


def test_what_is_not_known_is_left_out(store: Store) -> None:
    names = {name for name, _ in of(store)}

    assert not names & {"last_success_timestamp", "ratelimit_remaining", "clock_skew_seconds", "rating_lag_seconds"}
    assert of(store)["rules_refused_since", ("acme",)] == 0


def test_calls_are_counted_over_all_processes(store: Store) -> None:
    for _ in range(2):
        budget = Budget("acme", lambda: NOW)
        if kept := store.rate_state("acme"):
            budget.restore(kept)
        budget.answered["200"] += 3
        budget.learn({"x-rate-limit-remaining": "187"})
        store.save_rate_state("acme", budget.state())

    found = of(store)

    assert found["http_requests_total", ("acme", "200")] == 6
    assert found["ratelimit_remaining", ("acme",)] == 187


def test_an_account_that_is_gone_from_the_rules_is_not_told_of(store: Store) -> None:
    store.save(decision(replace(CASE, account="old")))

    assert not [labels for _, labels in of(store) if "old" in labels]


def test_what_a_process_counts_is_added_under_its_names_alone(store: Store) -> None:
    counted = {
        ("webhooks_total", (("account", "acme"), ("outcome", "kept"))): 7,
        ("webhooks_total", (("outcome", "forged"),)): 2,
        ("tickets_total", (("ticket", "4711"),)): 1,
    }
    found = read(Metrics(store, live, lambda: NOW, lambda: counted).text())

    assert found["webhooks_total", ("acme", "kept")] == 7
    assert found["webhooks_total", ("", "forged")] == 2
    assert not [name for name, _ in found if name == "tickets_total"]


def test_a_second_look_within_ten_seconds_costs_nothing(store: Store) -> None:
    now = NOW
    metrics = Metrics(store, live, lambda: now)
    first = metrics.text()
    see(store, 1)
    assert metrics.text() is first

    now += 10 * timedelta(seconds=1)

    assert read(metrics.text())["ratings_seen_total", ("acme", "poll", "bad")] == 1


# ------------------------------------------------------------------ a whole story
@pytest.fixture(scope="module", params=["acme", "shop"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with story_in(tmp_path_factory.mktemp("story"), request.param) as found:
        found.flagged("Nobody helped me: call 030 1234567")
        found.later(40 * MINUTE, every=5 * MINUTE)  # a reminder is due after 30
        yield found


def told_of(story: Story) -> bytes:
    return Metrics(story.app.store, lambda: story.app.rules, story.firm.now).text()


def test_a_recovery_shows_in_the_figures(story: Story) -> None:
    found, account = read(told_of(story)), story.account

    assert found["cases_open", (account, "assigned")] == 1
    assert found["effects_total", (account, "update", "applied")] == 2
    assert found["deadline_missed_total", (account,)] == 1
    assert found["rating_lag_seconds", (account, "1")] == 120
    assert found["oldest_due_seconds", (account,)] == 0
    desks = story.firm.desks.items()
    answers = Counter((name, str(request.status)) for name, desk in desks for request in desk.requests)
    assert {labels: number for (name, labels), number in found.items() if name == "http_requests_total"} == answers
    assert found["last_success_timestamp", (account,)] == story.firm.now().timestamp()
    assert abs(found["clock_skew_seconds", (account,)]) < 2


def test_no_label_names_a_ticket_a_case_or_a_person(story: Story) -> None:
    values = {value for name, labels in read(told_of(story)) for value in labels if name != "rating_lag_seconds"}
    case = story.case
    ids = {case.case_id, case.ticket_id, case.rating_id, case.customer, case.assignee_id, case.group_id}

    assert not values & ids
    assert all(re.fullmatch(r"[a-z_]*|[0-9]{3}", value) for value in values), values


def test_a_ticket_that_changes_under_our_hands_is_a_conflict(tmp_path: Path) -> None:
    with story_in(tmp_path, "acme") as story:
        ticket_id = story.rated()
        fault = Fault("status", f"/tickets/{ticket_id}", "PUT", status=409, body='{"error": "UpdateConflict"}')
        story.desk.faults.append(fault)
        story.later(2 * MINUTE)

        found = read(told_of(story))

        assert found["conflicts_total", ("acme",)] == found["http_requests_total", ("acme", "409")] == 1


# ------------------------------------------------------------------ told to people
def test_the_readme_lists_every_metric() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    written = re.search(r"<!-- begin: metrics -->\n\n(.*?)\n\n<!-- end: metrics -->", readme, re.DOTALL)

    assert written, "README.md has no place for metrics"
    assert written[1] == metrics_table(), "run `recovery-bridge fields --markdown` and paste it between the markers"


def test_whatever_a_process_counts_is_a_metric() -> None:
    known = {metric.name: set(metric.labels) for metric in METRICS}

    for name, labels in counted_in(ROOT / "bridge"):
        assert name in known, f"{name} is counted and never shown; add it to bridge/metrics.py"
        assert labels <= known[name]


def counted_in(folder: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield names and labels of all counters that the code raises."""
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    for text in (text for text in texts if "counts.add(" in text):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("counts.add"):
                assert isinstance(node.args[0], ast.Constant)
                yield str(node.args[0].value), {keyword.arg for keyword in node.keywords if keyword.arg}


# ------------------------------------------------------------------ the textfile
def test_a_textfile_takes_the_place_of_the_old_one_at_once_and_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "bridge.prom"
    path.write_text("old")
    with path.open(encoding="utf-8") as reading:
        write_textfile(b"new\n", path)

        assert reading.read() == "old"  # whoever had it open has all of the old one
    assert path.read_bytes() == b"new\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_textfile_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bridge.prom").mkdir()

    with pytest.raises(StoreError, match=r"bridge\.prom: cannot be written"):
        write_textfile(b"new\n", tmp_path / "bridge.prom")

    assert [path.name for path in tmp_path.iterdir()] == ["bridge.prom"]
