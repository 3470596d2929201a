"""What Prometheus is told: `/metrics` of `serve`, and the textfile of `run --once --textfile`.

What the store knows is counted from the store, so that cron and serve say the same and a restart loses nothing. What
only a process knows begins at nothing with each. Labels never name a ticket, a case or a person.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from bridge.errors import StoreError
from bridge.model import EffectState, Stage
from bridge.notices import INSTALLATION
from bridge.rules import Rules
from bridge.silence import Sign
from bridge.store import Store
from bridge.vigil import silence_in

PREFIX = "recovery_bridge_"
FRESH_FOR = timedelta(seconds=10)
LATELY = timedelta(days=1)
QUANTILES = (0.5, 0.9, 1.0)
KNOWN = (EffectState.APPLIED, EffectState.ADOPTED, EffectState.REFUSED, EffectState.SUPERSEDED, EffectState.SHADOW)
TOTALS = {  # what the state of an account counts up
    "ratings_found_late_total": "found_late",
    "ratings_missed_by_webhooks_total": "missed_by_webhooks",
    "conflicts_total": "conflicts",
    "budget_stops_total": "limits_reached",
}

Labels = tuple[str, ...]
Values = dict[str, dict[Labels, float]]  # by name and labels
Told = tuple[str, Labels, float | None]  # name, labels but for the account, value; None is not known
Series = tuple[str, tuple[tuple[str, str], ...]]  # as bridge/web/counts.py counts


@dataclass(frozen=True)
class Metric:
    """One figure; names that end in _total are counters. *of_process*: it begins anew with each process."""

    name: str
    labels: Labels
    help: str
    of_process: bool = False


METRICS: Sequence[Metric] = (
    Metric("oldest_due_seconds", ("account",), "how long the oldest work that is due has been waiting"),
    Metric("last_success_timestamp", ("account",), "when the helpdesk was last read without trouble, in Unix time"),
    Metric("silent", ("account", "sign"), "1 while ratings or flagged ones fail to come for longer than ever before"),
    Metric("held", ("account",), "1 while a limit lets no new recovery begin"),
    Metric("effects_parked", ("account",), "effects that wait for a person: recovery-bridge retry --list"),
    Metric(
        "rules_refused_since", ("account",), "since when rules.yaml as it is now is not used, in Unix time; 0: it is"
    ),
    Metric("ratings_seen_total", ("account", "source", "score"), "ratings that were stored, each version of each"),
    Metric(
        "rating_lag_seconds",
        ("account", "quantile"),
        "from rating to our seeing it, of ratings given in the last 24 hours",
    ),
    Metric("ratings_found_late_total", ("account",), "bad ratings that only the daily sweep found"),
    Metric("ratings_missed_by_webhooks_total", ("account",), "bad ratings that only polls found, though webhooks come"),
    Metric("cases_open", ("account", "stage"), "open cases"),
    Metric("deadline_missed_total", ("account",), "reminders, handovers and messages because of missed deadlines"),
    Metric("effects_total", ("account", "kind", "outcome"), "effects that came to an end"),
    Metric("adopted_total", ("account",), "effects that were found done, after a crash or a lost answer"),
    Metric("conflicts_total", ("account",), "writes put off because somebody had just changed the ticket"),
    Metric("budget_stops_total", ("account",), "how often a limit stopped new recoveries"),
    Metric("http_requests_total", ("account", "code"), "calls to the helpdesk by status, none for no answer"),
    Metric("ratelimit_remaining", ("account",), "calls that the helpdesk said it would still take this minute"),
    Metric("clock_skew_seconds", ("account",), "how far our clock is ahead of the helpdesk's"),
    Metric(
        "webhooks_total", ("account", "outcome"), "webhooks that came in; without an account if it is not ours", True
    ),
    Metric("requests_refused_total", ("status",), "requests that were answered 4xx", True),
    Metric("requests_crashed_total", (), "requests that failed for a reason of ours", True),
    Metric("logins_total", ("outcome",), "people who signed in, and who did not get in", True),
    Metric("polls_total", (), "polls of all accounts", True),
    Metric("store_failures_total", (), "how often the database could not be used", True),
)


def metrics_table() -> str:
    """Return the table of the README."""
    head = "| metric | labels | what it says |\n| --- | --- | --- |"
    return "\n".join([head, *map(_row, METRICS)])


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.labels)
    return f"| `{metric.name}` | {labels} | {metric.help}{' (of this process)' * metric.of_process} |"


class Metrics(Collector):
    """The figures of one installation. *counted* gives what this process has counted."""

    def __init__(
        self,
        store: Store,
        rules: Callable[[], Rules],
        now: Callable[[], datetime],
        counted: Callable[[], Mapping[Series, int]] = dict,
    ) -> None:
        self._store, self._rules, self._now, self._counted = store, rules, now, counted
        self._ratings = _RatingsSeen(store, now)
        self._lock = threading.Lock()
        self._text, self._read_at = b"", datetime.min.replace(tzinfo=UTC)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return what Prometheus reads, never older than FRESH_FOR. Raises StoreError."""
        with self._lock:  # whoever asks meanwhile gets the same answer
            now = self._now()
            if not self._text or not self._read_at <= now < self._read_at + FRESH_FOR:
                self._text, self._read_at = generate_latest(self._registry), now
            return self._text

    def describe(self) -> Iterable[Family]:
        """Return nothing: registering must not count."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield every metric with its values."""
        values = self.values()
        for metric in METRICS:
            kind = CounterMetricFamily if metric.name.endswith("_total") else GaugeMetricFamily
            family = kind(PREFIX + metric.name, metric.help, labels=metric.labels)
            for labels, value in sorted(values.get(metric.name, {}).items()):
                family.add_metric(labels, value)
            yield family

    def values(self) -> Values:
        """Return the values of all metrics; what is not known has none."""
        rules, now = self._rules(), self._now()
        found: Values = {metric.name: {} for metric in METRICS}
        for account in rules.accounts:
            _add(found, (account,), _of_account(self._store, account, now, is_live=rules.settings.mode == "live"))
        self._add_tables(found, set(rules.accounts))
        self._add_counted(found)
        return found

    def _add_tables(self, found: Values, accounts: set[str]) -> None:
        """Add what one question tells of all accounts."""
        for seen, number in self._ratings.count().items():
            found["ratings_seen_total"][seen] = number
        for stage, number in self._store.open_stages().items():
            found["cases_open"][stage] = number
        for (account,), number in self._store.deadlines_missed().items():
            found["deadline_missed_total"][account,] = number
        for (kind, state, account), number in self._store.effect_states().items():
            if state in KNOWN:
                found["effects_total"][account, kind, state] = number
            totals = {EffectState.ADOPTED: "adopted_total", EffectState.PARKED: "effects_parked"}
            if name := totals.get(EffectState(state)):
                found[name][account,] = found[name].get((account,), 0) + number
        for name, values in found.items():
            found[name] = {labels: value for labels, value in values.items() if labels[0] in accounts}

    def _add_counted(self, found: Values) -> None:
        ours = {metric.name: metric.labels for metric in METRICS if metric.of_process}
        for (name, labels), number in self._counted().items():
            if name in ours:
                by_name = dict(labels)
                found[name][tuple(by_name.get(label, "") for label in ours[name])] = number


def _add(found: Values, labels: Labels, values: Iterable[Told]) -> None:
    for name, more, value in values:
        if value is not None:
            found[name][labels + more] = value


def _of_account(store: Store, account: str, now: datetime, *, is_live: bool) -> Iterator[Told]:
    """Yield what is known of one account."""
    due_at = store.oldest_due(account, now, writes=is_live)
    yield "oldest_due_seconds", (), (now - due_at).total_seconds() if due_at else 0
    yield from _of_state(store.account_state(account))
    rate = store.rate_state(account) or {}
    for code, number in rate.get("answered", {}).items():
        yield "http_requests_total", (code,), number
    yield "ratelimit_remaining", (), rate.get("remaining")
    yield "clock_skew_seconds", (), rate.get("clock_skew")
    lags = store.rating_lags(account, now - LATELY)
    for quantile in QUANTILES if lags else ():
        place = min(int(quantile * len(lags)), len(lags) - 1)
        yield "rating_lag_seconds", (f"{quantile:g}",), lags[place].total_seconds()
    for stage in Stage:  # what is counted elsewhere, where there is any: no figure may vanish
        if stage is not Stage.ENDED:
            yield "cases_open", (stage,), 0
    for name in ("effects_parked", "adopted_total", "deadline_missed_total"):
        yield name, (), 0


def _of_state(state: Mapping[str, Any]) -> Iterator[Told]:
    """Yield what is put down about an account."""
    yield "last_success_timestamp", (), _unix(state.get("succeeded_at"))
    yield "rules_refused_since", (), _unix(state.get("rules_refused_at")) or 0
    yield "held", (), bool(state.get("held"))
    silent = silence_in(state)
    for sign in Sign:
        yield "silent", (sign,), silent is not None and silent.sign is sign
    for name, key in TOTALS.items():
        yield name, (), int(state.get(key, 0))


def _unix(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


class _RatingsSeen:
    """Counts stored ratings, each once: their rows only ever grow, and there may be a hundred thousand."""

    SETTLED = 1_000  # the last rows are counted anew each time: another process may still commit a lower number
    KEPT_EVERY = 10_000  # rows, so that the next process need not count them again
    NAME = "ratings_seen"  # under which that is remembered

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._row = self._kept_row = 0
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def count(self) -> Counter[tuple[str, str, str]]:
        """Return how many there are by account, source and category."""
        if not self._row and (kept := self._store.recall(INSTALLATION, self.NAME)):
            self._row = self._kept_row = kept[0]["row"]
            self._seen = Counter(
                {(account, source, score): number for account, source, score, number in kept[0]["seen"]}
            )
        last = self._store.last_row()
        settled = max(self._row, last - self.SETTLED)
        self._seen += self._store.ratings_stored(self._row, settled)
        self._row = settled
        if self._row - self._kept_row >= self.KEPT_EVERY:
            kept_now: dict[str, Any] = {"row": self._row, "seen": [[*labels, n] for labels, n in self._seen.items()]}
            self._store.remember(INSTALLATION, self.NAME, kept_now, self._now())
            self._kept_row = self._row
        return self._seen + self._store.ratings_stored(settled, last)


# ------------------------------------------------------------------ the textfile of cron
def write_textfile(text: bytes, path: Path) -> None:
    """Replace the file that node_exporter's textfile collector reads, which must be able to.

    Raises StoreError. What it reads ends in .prom; the draft does not.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(text)
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as exc:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written ({exc.strerror}); may this user write there?") from exc
