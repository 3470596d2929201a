"""What report and dashboard ask of a store with many cases: figures, the most urgent, pages and counts.

`python -m tests.bench.figures PATH` asks once in a process of its own and prints what it took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from tests.bench.table import Chapter, Row, middle, peak_mb

MANY, FEW = 100_000, 10_000
ROUNDS = 15
QUARTER, YEAR = timedelta(weeks=13), timedelta(weeks=52)
BERLIN = ZoneInfo("Europe/Berlin")
HOW = (
    f"One process, SQLite, milliseconds of a clock on the wall, medians of {ROUNDS} rounds. {MANY:,} cases of a year on"
    " two accounts, each with its rating and a good one, about four decisions and two effects; a quarter are the"
    " default period of report and dashboard. Figures: everything that both show. Pages of 50 cases; the slowest of the"
    " lists and of the counts that the dashboard can ask for."
)


def measure() -> Iterator[Chapter]:
    """Measure milliseconds and memory."""
    many, few = (_once(count) for count in (MANY, FEW))
    yield Chapter(
        f"{MANY:,} cases: figures and lists",
        HOW,
        [
            Row("figures of 13 weeks", many["quarter"], "ms", 120),
            Row("figures of the whole year", many["year"], "ms"),
            Row("the 50 most urgent, and how many are open", many["urgent"], "ms", 20),
            Row("a page of cases: the slowest of all filters", many["page"], "ms", 20),
            Row("how many cases: the slowest of all filters", many["count"], "ms", 20),
            Row("peak memory after the figures of a year", many["peak_mb"], "MB"),
            Row(f"peak memory for {MANY:,} / for {FEW:,} cases", many["peak_mb"] / few["peak_mb"], "times", 1.5),
        ],
    )


def _once(count: int) -> dict[str, float]:
    from tests.many_cases import many_cases

    with TemporaryDirectory() as folder:
        path = Path(folder) / "bridge.db"
        many_cases(path, count)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.figures", str(path)], check=True, stdout=subprocess.PIPE, text=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def look(path: str) -> None:
    """Ask for everything, and print what it took."""
    from bridge.model import Outcome
    from bridge.store import Store, Which
    from tests.many_cases import ACCOUNTS, UNTIL

    store, accounts = Store.open(f"sqlite:///{path}"), sorted(set(ACCOUNTS))
    everything = store.cases_count(Which())
    lists = (
        Which(), Which(is_open=True), Which(is_open=False), Which(accounts[0], is_open=False),
        Which(outcome=Outcome.RECOVERED), Which(outcome=Outcome.UNFIXABLE), Which(rule="VIP"), Which(rule="never"),
        Which(accounts[0], outcome=Outcome.STOPPED, rule="VIP"), Which(since=UNTIL - YEAR, until=UNTIL - QUARTER),
    )  # fmt: skip
    pages = [_ms(lambda which=which: store.cases_page(which, 50)) for which in lists]  # type: ignore[misc]
    found = {
        "quarter": _ms(lambda: store.figures(accounts, UNTIL - QUARTER, UNTIL, BERLIN)),
        "year": _ms(lambda: store.figures(accounts, UNTIL - YEAR, UNTIL, BERLIN)),
        "urgent": _ms(lambda: (store.open_by_urgency(None, 50), store.open_counts(None, UNTIL))),
        "page": max(*pages, _ms(lambda: store.cases_page(Which(), 50, everything - 50))),
        "count": max(_ms(lambda which=which: store.cases_count(which)) for which in lists),  # type: ignore[misc]
        "peak_mb": peak_mb(),
    }
    print(json.dumps(found))


def _ms(work: Callable[[], object]) -> float:
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        found.append((time.perf_counter() - begun) * 1000)
    return middle(found)


if __name__ == "__main__":
    look(sys.argv[1])
