"""One thread that plays a whole installation: processes of the bridge, people, late landings, and time.

A process is a greenlet that runs the production code. It calls `step` at each boundary: before and after everything
that others can see, which is a transaction or a request. There the schedule decides whether it goes on, is paused, or
ends as after SIGKILL. Nothing else can interrupt it, so that a seed always tells the same story.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from greenlet import getcurrent, greenlet

AT_MOST = 60_000  # boundaries of one seed; more is an endless loop
LEASE = timedelta(minutes=3)  # a pause beyond it is counted apart


class Killed(BaseException):
    """The process is gone. It is raised again at each later boundary, so that no `finally` writes anything."""


@dataclass(frozen=True)
class Boundary:
    """A place between two things that others can see."""

    number: int  # from 1, over all processes of a seed
    process: str
    name: str  # "intend: before", "PUT /api/v2/tickets/7: after"


@dataclass(frozen=True)
class Pause:
    """The process stands still for so long, and others go on; 0 lets those go first whose time has come."""

    seconds: float


class Crash:
    """The process ends here, as after SIGKILL."""


class Meddling:
    """Somebody at the helpdesk acts right here."""


CRASH, MEDDLING = Crash(), Meddling()
Act = Pause | Crash | Meddling | None  # None: go on


class Schedule(Protocol):
    """What happens at the boundaries of one seed, and what goes wrong with its requests."""

    def decide(self, boundary: Boundary) -> Act:
        """Return what happens at this boundary."""

    def fault(self, boundary: Boundary, method: str, path: str) -> Fault | None:
        """Return what goes wrong with the request that leaves now, or None."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; *seconds* are those of a Retry-After, or by which a write lands late."""

    kind: str  # see wire.FAULTS
    seconds: float = 0.0


class Undisturbed:
    """A schedule on which nothing happens."""

    def decide(self, boundary: Boundary) -> Act:
        """Go on."""

    def fault(self, boundary: Boundary, method: str, path: str) -> Fault | None:
        """Let the request through."""


class Process:
    """One start of the bridge. *ended*: "", or how: done, killed, or the name of what it raised."""

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.ended = ""
        self.is_dead = False
        self.error: BaseException | None = None
        self._body = body
        self.greenlet = greenlet(self._live)

    def _live(self) -> None:
        try:
            self._body()
            self.ended = "done"
        except Killed:
            self.ended = "killed"
        except Exception as exc:  # whatever it is, the referee looks at it
            self.error, self.ended = exc, type(exc).__name__


class Kernel:
    """The agenda of one seed; *move* sets the clock of its world."""

    def __init__(self, now: Callable[[], datetime], move: Callable[[datetime], None], schedule: Schedule) -> None:
        self.now, self.move, self.schedule = now, move, schedule
        self.meddle: Callable[[], str] = lambda: "nobody"  # lets somebody at the helpdesk act; returns what they did
        self.ended: Callable[[Process], None] = lambda process: None
        self.paused: Callable[[float], None] = lambda seconds: None
        self.counts: Counter[str] = Counter()
        self.boundaries = 0
        self.trace: list[str] | None = None  # kept if it is a list
        self.processes: list[Process] = []
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._places = itertools.count()
        self._main = getcurrent()
        self._running: Process | None = None

    # -------------------------------------------------------------- the agenda
    def at(self, moment: datetime, do: Callable[[], None]) -> None:
        """Put something on the agenda; what has the same time happens in the order in which it was put there."""
        heapq.heappush(self._agenda, (moment, next(self._places), do))

    def start(self, name: str, body: Callable[[], None]) -> Process:
        """Begin a process now."""
        process = Process(name, body)
        self.processes.append(process)
        self.at(self.now(), lambda: self._let_run(process))
        return process

    def run(self, until: datetime | None = None) -> None:
        """Work off the agenda, all of it or what is due by *until*, which then is the time."""
        while self._agenda and (until is None or self._agenda[0][0] <= until):
            moment, _, do = heapq.heappop(self._agenda)
            if moment > self.now():
                self.move(moment)
            do()
        if until and until > self.now():
            self.move(until)

    def _let_run(self, process: Process) -> None:
        self._running = process
        process.greenlet.switch()
        self._running = None
        if process.ended:
            self.says(process.name, f"ends: {process.ended}")
            self.ended(process)

    # -------------------------------------------------------------- from inside a process
    @property
    def process(self) -> Process | None:
        """The process that runs now, if it is one that does."""
        return self._running if self._running and getcurrent() is self._running.greenlet else None

    def step(self, name: str) -> Boundary | None:
        """Stand at a boundary. Raises Killed; does nothing outside of processes."""
        process = self.process
        if process is None:
            return None
        if process.is_dead:
            raise Killed
        self.boundaries += 1
        if self.boundaries > AT_MOST:
            raise RuntimeError("the simulation does not come to an end")
        boundary = Boundary(self.boundaries, process.name, name)
        self._suffer(process, boundary, self.schedule.decide(boundary))
        return boundary

    def _suffer(self, process: Process, boundary: Boundary, act: Act) -> None:
        if act is None:
            if self.trace is not None:
                self.says(process.name, f"{boundary.number} {boundary.name}")
        elif isinstance(act, Crash):
            self.counts["crash"] += 1
            self.says(process.name, f"{boundary.number} {boundary.name}: CRASH")
            process.is_dead = True
            raise Killed
        elif isinstance(act, Meddling):
            self.says(process.name, f"{boundary.number} {boundary.name}: meanwhile {self.meddle()}")
            self.counts["meddling"] += 1
        else:
            self.counts["pause beyond the lease" if act.seconds > LEASE.total_seconds() else "pause"] += 1
            self.says(process.name, f"{boundary.number} {boundary.name}: PAUSE {act.seconds:.1f} s")
            self.paused(act.seconds)
            self.sleep(act.seconds)

    def sleep(self, seconds: float) -> None:
        """Let time pass for the process that runs now; others act meanwhile."""
        process = self.process
        if process is None:
            self.run(self.now() + timedelta(seconds=seconds))
            return
        if process.is_dead:
            raise Killed
        self.at(self.now() + timedelta(seconds=seconds), lambda: self._let_run(process))
        self._main.switch()
        if process.is_dead:
            raise Killed

    def says(self, who: str, what: str) -> None:
        """Put a line into the trace, if one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now():%m-%d %H:%M:%S.%f} {who:>8} {what}")
