"""`make soak`: what takes longer than a commit may wait. Prints a table of what happened; exits 1 on any violation.

    python -m tests.soak processes            # SQLite: kills, stops, overlapping starts, jobs nobody noted
    python -m tests.soak postgres             # the same on a PostgreSQL server that also goes down
    python -m tests.soak disk                 # full, failing and read-only disks
    python -m tests.soak simulator            # many seeds of tests/simulator
    python -m tests.soak processes --story kills --seed 7     # one episode, as it is printed with a violation

The seed chooses what people do, after which request and how many milliseconds later a process is hit. The machine has
a hand in where that is exactly, so that a replay tells the same story and may need more than one try.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from random import SystemRandom

from tests.bench.table import WIDTH, Chapter, Row
from tests.soak import disk, postgres, processes
from tests.soak.referee import Found
from tests.soak.scene import FLAVOURS

SEEDS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """A story: how often it does its deed in one episode, and how many episodes there are."""

    story: str
    count: int
    episodes: int


PLANS = {
    "processes": (Plan("overlaps", 30, 1), Plan("unnoted_jobs", 10, 2), Plan("stops", 20, 5), Plan("kills", 20, 15)),
    "postgres": (Plan("outages", 10, 1), Plan("unnoted_jobs", 10, 1), Plan("takeovers", 10, 10), Plan("kills", 20, 5)),
    "disk": (Plan("failing", 25, 4), Plan("full", 10, 2)),
}
TITLES = {
    "processes": "Processes on SQLite",
    "postgres": "Processes on PostgreSQL",
    "disk": "Troubled disks under SQLite",
}
HOW = (
    "`recovery-bridge run --once` as processes beside both stand-ins over HTTP on loopback; at seeded moments of their"
    " work they are hit, and the next run goes on. Referees read the stand-ins' ledger and mails. Seconds are those of"
    " the bridge's clock, on which a run's waiting passes at once."
)
GOALS = {  # at least so many
    "kills": 300,
    "stops": 100,
    "overlapping starts": 30,
    "stops of PostgreSQL": 10,
    "kills between acceptance and note": 10,
    "runs in trouble": 100,
}
ON_POSTGRESQL = {"kills": 100}
LEASE = 180.0 + 10.0  # seconds, with the run that then does it
SETTLED = 600.0 + 300.0  # an unknown answer of Freshdesk waits for `settle`, and the next run


def main() -> None:
    """Tell what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("chapter", choices=[*PLANS, "simulator", "all"])
    parser.add_argument("--story", choices=sorted({plan.story for plans in PLANS.values() for plan in plans}))
    parser.add_argument("--seed", type=int, help="of the first episode; by chance if there is none")
    parser.add_argument("--count", type=int, help="seeds of the simulator", default=100_000)
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends us leaves no server behind
    chapters = [*PLANS, "simulator"] if wanted.chapter == "all" else [wanted.chapter]
    kept = [_tell(chapter, wanted) for chapter in chapters]  # all of them, whatever the first ones came to
    sys.exit(not all(kept))


def _tell(chapter: str, wanted: argparse.Namespace) -> bool:
    """Tell one chapter; False if a promise was broken."""
    if chapter == "simulator":
        from tests.simulator import soak

        return not soak.run(wanted.count)
    seed = SystemRandom().randrange(SEEDS) * len(FLAVOURS) if wanted.seed is None else wanted.seed
    plans = [plan for plan in PLANS[chapter] if wanted.story in (None, plan.story)]
    if wanted.story and wanted.seed is not None:
        plans = [Plan(plan.story, plan.count, 1) for plan in plans]
    began, total = time.monotonic(), Found()
    try:
        for found in _episodes(chapter, plans, seed):
            total += found
    finally:  # whoever ends it early sees what there is
        goals = {} if wanted.story else GOALS | (ON_POSTGRESQL if chapter == "postgres" else {})
        title = f"{TITLES[chapter]}, seed {seed}, {time.monotonic() - began:,.0f} s"
        _say("-" * WIDTH, Chapter(title, HOW, [*_rows(total, goals)]), *(f"  {said}" for said in total.violations))
    return not total.violations


def _say(*lines: object) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _episodes(chapter: str, plans: list[Plan], seed: int) -> Iterator[Found]:
    with ExitStack() as stack:
        server = stack.enter_context(postgres.server()) if chapter == "postgres" else None
        for plan in plans:
            for number in range(plan.episodes):
                began = time.monotonic()
                found = _episode(plan, seed + number, server, chapter)
                if isinstance(found, str):
                    _say(f"{plan.story}: {found}")
                    break
                replay = f"python -m tests.soak {chapter} --story {plan.story} --seed {seed + number}"
                found.violations = [f"{said}\n    {replay}" for said in found.violations]
                done = f"{found.counts['effects']} effects, {len(found.violations)} violations"
                _say(f"{plan.story}, seed {seed + number}: {done}, {time.monotonic() - began:.0f} s", *found.violations)
                yield found


def _episode(plan: Plan, seed: int, server: postgres.Server | None, chapter: str) -> Found | str:
    if chapter == "disk":
        return {"failing": disk.failing, "full": disk.full}[plan.story](seed, plan.count)
    stories = {name: getattr(processes, name) for name in ("kills", "stops", "overlaps", "unnoted_jobs")}
    if server is None:
        return processes.play(seed, [(stories[plan.story], plan.count)])
    stories |= {"takeovers": postgres.takeovers, "outages": postgres.outages(server)}
    return processes.play(seed, [(stories[plan.story], plan.count)], server.database())


def _rows(found: Found, goals: dict[str, int]) -> Iterator[Row]:
    for what, number in sorted(found.counts.items()):
        if number:
            yield Row(what, number, "", goals.get(what), at_least=True)
    for what, seconds in found.recovered.items():
        ordered = sorted(seconds)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            value = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
            goal = (SETTLED if "Freshdesk" in what else LEASE) if name == "max" else None
            yield Row(f"from the kill until it was done, {what}: {name}", value, "s", goal)
    yield Row("lost, done twice, unfinished, or not as promised", len(found.violations), "", 0)


if __name__ == "__main__":
    main()
