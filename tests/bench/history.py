"""Reading and storing past ratings: the bridge's import beside a bare loop, each in a process of its own.

`python -m tests.bench.history WHO VENDOR URL FOLDER` does it once and prints what it took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.stand_in import SECRETS, stand_ins
from tests.bench.table import Chapter, Row, middle, peak_mb

MANY, SOME, FEW = 100_000, 20_000, 10_000
ROUNDS = 3
ACCOUNTS = {"zendesk": "acme", "freshdesk": "shop"}
Figures = dict[str, float]
NAMES = {"zendesk": "Zendesk legacy", "freshdesk": "Freshdesk"}

HOW = (
    "Pages of 100 ratings, a tenth of them bad, from a stand-in in another process, into SQLite with WAL and"
    " synchronous=FULL, one transaction per page. Bridge: open_app, then the first engine.poll, in a migrated store;"
    " it also looks up once who rated badly. Bare loop: requests + sqlite3, the same calls for ratings, columns,"
    " unique key and cursor, nothing else. Imports of modules are not in the times, but in the memory (VmHWM)."
)


def measure() -> Iterator[Chapter]:
    """Compare the import with a bare loop, in time, CPU and memory."""
    with stand_ins(MANY) as many, stand_ins(SOME) as some, stand_ins(FEW) as few:
        for vendor, account in ACCOUNTS.items():
            ours, bare = (_once(who, vendor, many[account]) for who in ("bridge", "bare"))
            rounds = [
                (_once("bridge", vendor, some[account]), _once("bare", vendor, some[account])) for _ in range(ROUNDS)
            ]
            small = _once("bridge", vendor, few[account])
            if not ours["rows"] == bare["rows"] == MANY:
                raise RuntimeError(f"{vendor}: {ours['rows']} and {bare['rows']} of {MANY} ratings were stored")
            rows = [*_once_each(ours, bare), *_in_rounds(rounds), *_memory(ours, small)]
            yield Chapter(f"Reading and storing past ratings, {NAMES[vendor]}", HOW, rows)


def _once_each(ours: Figures, bare: Figures) -> Iterator[Row]:
    yield Row(f"{MANY:,} ratings, one round: time, bridge / bare loop", ours["wall"] / bare["wall"], "times", 2)
    for name, word in (("wall", "time"), ("cpu", "CPU")):
        yield Row(f"{MANY:,} ratings, one round: {word} of the bridge", ours[name], "s")
        yield Row(f"{MANY:,} ratings, one round: {word} of the bare loop", bare[name], "s")


def _in_rounds(rounds: Sequence[tuple[Figures, Figures]]) -> Iterator[Row]:
    for name, word, goal in (("wall", "time", 2.0), ("cpu", "CPU", None)):
        ratio = middle([ours[name] for ours, _ in rounds]) / middle([bare[name] for _, bare in rounds])
        what = f"{SOME:,} ratings, medians of {ROUNDS} alternating rounds: {word}, bridge / bare loop"
        yield Row(what, ratio, "times", goal)


def _memory(many: Figures, few: Figures) -> Iterator[Row]:
    yield Row(f"{MANY:,} ratings: peak memory of the bridge", many["peak_mb"], "MB", 100)
    yield Row(f"{FEW:,} ratings: peak memory of the bridge", few["peak_mb"], "MB")
    yield Row(f"peak memory for {MANY:,} / for {FEW:,}", many["peak_mb"] / few["peak_mb"], "times", 1.05)


def _once(who: str, vendor: str, url: str) -> Figures:
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.bench.history", who, vendor, url, folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: Figures = json.loads(done.stdout)
    return found


# ------------------------------------------------------------------ in the child
def _bridge(vendor: str, url: str, folder: Path) -> Generator[int, None, None]:
    """Import with the bridge; yields before the clock starts, and the number of rows when it has stopped."""
    from bridge.app import open_app
    from bridge.rules import check
    from bridge.store import Store

    account = ACCOUNTS[vendor]
    rules, problems = check(
        f'version: 1\nneeds: "1.0"\naccounts: {{{account}: {{connector: {vendor}, url: "{url}"}}}}\n'
        "playbooks: {standard: {assign_to_first_available: [original_agent]}}\n"
        "rules: [{name: Low rating, when: {rating: bad}, playbook: standard}]\n"
    )
    if rules is None:
        raise ValueError("\n".join(map(str, problems)))
    env = SECRETS | {"BRIDGE_STATE_DIR": str(folder)}
    Store.open(f"sqlite:///{folder / 'bridge.db'}").close()
    yield 0
    with open_app(rules, env) as app:
        app.engine.poll(account)
        yield app.engine.tally.ratings_seen


def _bare(vendor: str, url: str, folder: Path) -> Generator[int, None, None]:
    from tests.bench.bare import read_freshdesk, read_zendesk

    yield 0
    yield {"zendesk": read_zendesk, "freshdesk": read_freshdesk}[vendor](url, folder / "bare.db")


def main(who: str, vendor: str, url: str, folder: str) -> None:
    """Do it once and print wall and CPU seconds, peak memory and the number of ratings."""
    steps = {"bridge": _bridge, "bare": _bare}[who](vendor, url, Path(folder))
    next(steps)
    wall, cpu = time.perf_counter(), time.process_time()
    rows = next(steps)
    found: dict[str, Any] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    steps.close()
    print(json.dumps(found | {"rows": rows, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
