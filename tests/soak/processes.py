"""Processes that are killed, frozen, and started all at once, at seeded moments of their work.

Each story works on a scene and counts; `play` tells some by a seed and lets the referee judge. The same stories are
told on SQLite and on PostgreSQL (postgres.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any

from bridge.delivery import LEASE
from tests.soak.nursery import Worker
from tests.soak.referee import SETTLES, Found, finish, in_hand, waits
from tests.soak.scene import Scene, nothing, scene

AGAIN = 0.5  # how often a restart is killed as well
CRON = timedelta(minutes=1)
KILLED = -9
ALREADY_RUNNING = 75
SOON = 0.03  # seconds until an answer that has left has certainly been read
WITHIN = 0.012  # seconds from one request to the next, about: a moment is chosen among them

Story = Callable[[Scene, Found, int], None]


def play(seed: int, stories: Sequence[tuple[Story, int]], url: str = "", **pace: Any) -> Found:
    """Tell stories, each with its count, at a new company; finish the work and return what came of it."""
    found = Found()
    with scene(seed, url, **pace) as here:
        for story, count in stories:
            story(here, found, count)
        finish(here, found)
    found.violations = [f"seed {seed}: {said}" for said in found.violations]
    return found


class Moments:
    """Chooses moments of a run's work: some milliseconds after one of as many requests as the runs before made.

    Every second one is chosen among the writes, because there is more to go wrong.
    """

    def __init__(self, here: Scene) -> None:
        self.scene, self.chance = here, Random(here.chance.getrandbits(64))
        self.usual = {False: 12.0, True: 4.0}  # requests of a run; those that write

    def start(self) -> tuple[Worker, bool]:
        """Start a run and return it at such a moment, and if that came; otherwise the run has ended."""
        only_writes = self.chance.random() < 0.5
        number = self.scene.requests(only_writes) + self.chance.randint(1, round(self.usual[only_writes]))
        pause = self.chance.uniform(0, WITHIN)
        worker = self.scene.start()
        has_come = self.scene.wait_for(number, only_writes, worker)
        if has_come:
            time.sleep(pause)
        return worker, has_come

    def whole_run(self, found: Found) -> None:
        """Run once to the end, and learn from it."""
        before = {only_writes: self.scene.requests(only_writes) for only_writes in self.usual}
        found.expect(self.scene.run(), 0)
        for only_writes, usual in self.usual.items():
            made = self.scene.requests(only_writes) - before[only_writes]
            self.usual[only_writes] = max(2.0, usual + (made - usual) / 3)


def kills(here: Scene, found: Found, count: int) -> None:
    """Kill *count* runs somewhere in their work and start again within a minute, as cron does."""
    moments, before = Moments(here), found.counts["kills"]
    while found.counts["kills"] < before + count:
        here.some_work()
        while _killed(moments, found):
            found.interrupted += (lost := in_hand(here))
            found.counts["kills with effects in hand"] += bool(lost)
            here.pass_time(here.chance.random() * CRON)
            if here.chance.random() > AGAIN:
                break
        moments.whole_run(found)
        if waits(here):
            here.pass_time(SETTLES)
            moments.whole_run(found)


def _killed(moments: Moments, found: Found) -> bool:
    worker, has_come = moments.start()
    if has_come:
        worker.kill()
    ended = worker.wait()
    found.counts["kills"] += ended.code == KILLED
    if ended.code != KILLED:
        found.expect(ended, 0)
    return ended.code == KILLED


def stops(here: Scene, found: Found, count: int) -> None:
    """Freeze *count* runs beyond their lease; whoever starts meanwhile is refused, and the run goes on where it was."""
    moments, before = Moments(here), found.counts["stops"]
    while found.counts["stops"] < before + count:
        here.some_work()
        worker = frozen(moments, found)
        if worker is None:
            continue
        here.pass_time(LEASE + here.chance.random() * CRON)
        found.expect(here.run(), ALREADY_RUNNING)
        worker.go_on()
        found.expect(worker.wait(), 0)


def frozen(moments: Moments, found: Found) -> Worker | None:
    """Start a run and freeze it somewhere in its work; None if it had ended before."""
    worker, has_come = moments.start()
    if has_come:
        worker.stop()
        if worker.is_frozen():
            found.counts["stops"] += 1
            found.counts["stops with effects in hand"] += bool(in_hand(moments.scene))
            return worker
    found.expect(worker.wait(), 0)
    return None


def overlaps(here: Scene, found: Found, count: int) -> None:
    """Start *count* runs at the same time; the one that works is held until all others have ended."""
    here.some_work()
    with here.held_up() as let_go:
        workers = [here.start() for _ in range(count)]
        for _ in range(count - 1):
            found.expect(here.nursery.first_of(workers).wait(), ALREADY_RUNNING)
        let_go()
        (winner,) = (worker for worker in workers if worker.ended is None)
        found.expect(winner.wait(), 0)
    found.counts["overlapping starts"] += count


def unnoted_jobs(here: Scene, found: Found, count: int) -> None:
    """Kill *count* runs between Zendesk's acceptance of `update_many` and our note of the job's id.

    As soon as Zendesk has taken the job, the database is locked: the answer arrives, its note cannot be written, and
    the process is killed. Every second job is worked on only after that.
    """
    jobs = here.firm.zendesk.tickets
    for _ in range(count):
        here.some_work()
        jobs.jobs_at_once, known = here.chance.random() < 0.5, len(jobs.jobs)
        with _locked_after_update_many(here) as accepted:
            worker = here.start()
            if accepted.wait(20):
                time.sleep(SOON)
                worker.kill()
            ended = worker.wait()
        if ended.code != KILLED or len(jobs.jobs) != known + 1:
            found.says(f"the run was to be killed behind update_many, and ended with {ended}")
            return
        unknown = here.ask("SELECT job FROM effect WHERE state = 'sending' AND account = 'acme'")
        if len(unknown) < 2 or any(job for (job,) in unknown):
            found.says(f"a job was noted though its process was killed: {unknown}")
        found.counts["kills between acceptance and note"] += 1
        found.counts["tickets of those jobs"] += len(unknown)
        if here.chance.random() < 0.5:
            jobs.run_jobs()
        here.pass_time(here.chance.random() * CRON)
        found.expect(here.run(), 0)
        jobs.run_jobs()  # late: whichever write comes second is stale
    jobs.jobs_at_once = True


@contextmanager
def _locked_after_update_many(here: Scene) -> Iterator[threading.Event]:
    accepted, gate = threading.Event(), here.gates["acme"]
    with here.database_lock() as lock:

        def after(_method: str, path: str) -> None:
            if "update_many" in path and not accepted.is_set():
                lock()
                accepted.set()

        gate.after = after
        yield accepted
        gate.after = nothing
