"""Ever more seeds: `run(count)` plays those that nobody has played yet, on every core, and keeps where it stopped.

`soak.txt` beside this file is tracked: the next seed and the totals of all runs so far. `python -m tests.simulator
FIRST COUNT` plays any of them again.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.simulator import Verdict, simulate
from tests.simulator.wire import FAULTS

KEPT = Path(__file__).with_name("soak.txt")
AT_ONCE = 100  # seeds of one task; neighbours share their stages
KEPT_OF_EACH = ("crash", "pause", "pause beyond the lease", "meddling", "clock jump", "start refused")


def run(count: int, cores: int | None = None, kept: Path = KEPT) -> list[str]:
    """Play *count* new seeds and keep the totals; returns one line for each violation, with its command."""
    totals = read(kept)
    first = totals["next seed"]
    tasks = [range(at, min(at + AT_ONCE, first + count)) for at in range(first, first + count, AT_ONCE)]
    failed: list[str] = []
    with ExitStack() as stack:
        spawned = multiprocessing.get_context("spawn")
        pool = None if cores == 1 else stack.enter_context(ProcessPoolExecutor(cores, mp_context=spawned))
        for number, (counts, said) in enumerate((pool.map if pool else map)(play, tasks), 1):
            failed += said
            totals += counts
            totals["next seed"] += counts["seeds"]
            keep(totals, kept)  # after each task, so that a run that is ended has counted what it did
            for line in said:
                sys.stdout.write(f"{line}\n")
            if number % 10 == 0:
                sys.stdout.write(f"{number * AT_ONCE} of {count} seeds, {len(failed)} violations\n")
            sys.stdout.flush()
    return failed


def play(seeds: range) -> tuple[Counter[str], list[str]]:
    """Play some seeds; returns the totals, and the violations with their commands."""
    counts: Counter[str] = Counter()
    said: list[str] = []
    for verdict in (simulate(seed) for seed in seeds):
        counts += summed(verdict)
        said += [f"{verdict.replay}: {violation}" for violation in verdict.violations]
    return counts, said


def summed(verdict: Verdict) -> Counter[str]:
    """Return what is kept of one seed."""
    found = Counter({name: verdict.counts[name] for name in KEPT_OF_EACH})
    found["requests that went wrong"] = sum(verdict.counts[kind] for kind in FAULTS)
    found["effects"] = sum(times for name, times in verdict.counts.items() if name.startswith("effect: "))
    found["seeds"], found["boundaries"] = 1, verdict.boundaries
    found["violations"] = len(verdict.violations)
    for name, times in verdict.counts.items():
        if name.startswith("Freshdesk, counted"):
            found[name] += times
    return found


def read(kept: Path = KEPT) -> Counter[str]:
    """Return the totals of all runs so far: {name: number}."""
    return Counter(dict(_lines(kept)))


def _lines(kept: Path) -> Iterator[tuple[str, int]]:
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        number, _, name = line.strip().partition(" ")
        yield name, int(number)


def keep(totals: Counter[str], kept: Path = KEPT) -> None:
    """Write the totals down, one `number name` per line."""
    lines = [f"{number} {name}\n" for name, number in sorted(totals.items())]
    draft = kept.with_suffix(".new")
    draft.write_text("".join(lines), encoding="utf-8")
    draft.replace(kept)


if __name__ == "__main__":
    sys.exit(bool(run(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)))
