"""Which disturbances a seed brings: drawn at random for it, or written down for one boundary after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

from tests.simulator.kernel import CRASH, MEDDLING, Act, Boundary, Fault, Pause
from tests.simulator.wire import FAULTS, READS_ONLY

# where a disturbance hurts most: around the protocol of an effect and around its request
HOT = re.compile(r"^(claim|intend|accepted|finish|save\w*|unsend|postpone|PUT|POST|told|mailed)\b")
BEYOND_LEASE, LONGEST_PAUSE = 185.0, 280.0  # seconds; with LATEST and a timeout still shorter than `settle`
LATEST = 290.0  # seconds until a late write lands
ABOVE_SETTLE = 1500.0
CRASH_AFTER_TROUBLE = 0.4
COOLER = 30  # times as seldom elsewhere
WRITES_ONLY = ("truncated write", "late")
ON_READS = [kind for kind in FAULTS if kind not in WRITES_ONLY]
ON_WRITES = [kind for kind in FAULTS if kind not in READS_ONLY] + ["late"] * 4 + ["lost after", "reset after"]


class AtRandom:
    """The disturbances of one seed; *lateness* is the longest of a late write, *pause* the longest of a process."""

    def __init__(self, chance: Random, lateness: float = LATEST, pause: float = LONGEST_PAUSE) -> None:
        self.chance, self.lateness, self.pause = chance, lateness, pause
        self.crash = chance.choice((0, 0.01, 0.03, 0.08))  # at a hot boundary; elsewhere far less
        self.meddled = chance.choice((0, 0.02, 0.06))
        self.paused = chance.choice((0, 0.02, 0.08))
        self.faulty_reads = chance.choice((0, 0.01, 0.04, 0.1))
        self.faulty_writes = chance.choice((0, 0.1, 0.3, 0.5))
        self.is_calm = False
        self.troubled = ""  # the process whose last write got no answer
        self.stood_still: set[str] = set()

    def decide(self, boundary: Boundary) -> Act:
        """Draw what happens at a boundary."""
        if self.is_calm:
            return None
        drawn = self.chance.random() * (1 if HOT.match(boundary.name) else COOLER)
        crash = self.crash
        if self.troubled == boundary.process:  # what cost the answer may cost the machine as well
            self.troubled = ""
            crash = max(crash, CRASH_AFTER_TROUBLE if self.crash else 0)
        if drawn < (edge := crash):
            return CRASH
        if drawn < (edge := edge + self.meddled):
            return MEDDLING
        return Pause(self._length(boundary.process)) if drawn < edge + self.paused else None

    def _length(self, process: str) -> float:
        """Most pauses let others slip in; one of a process may outlast its lease, so that they do not add up."""
        drawn = self.chance.random()
        if drawn < 0.25:
            return 0.0
        if drawn < 0.55 or process in self.stood_still:
            return self.chance.uniform(0.01, 4.0)
        self.stood_still.add(process)
        return self.chance.uniform(5.0, BEYOND_LEASE) if drawn < 0.75 else self.chance.uniform(BEYOND_LEASE, self.pause)

    def fault(self, boundary: Boundary, method: str, path: str) -> Fault | None:
        """Draw what goes wrong with a request."""
        often = self.faulty_reads if method == "GET" else self.faulty_writes
        if self.is_calm or self.chance.random() > often:
            return None
        kind = self.chance.choice(ON_READS if method == "GET" else ON_WRITES)
        if method != "GET":
            self.troubled = boundary.process
        if kind == "late":
            return Fault(kind, self.chance.uniform(1.0, self.lateness))
        return Fault(kind, float(self.chance.randint(1, 90)) if kind.startswith("429") else 0.0)


class Written:
    """Disturbances by the number of their boundary, and faults by the number of that before their request."""

    def __init__(self, acts: Mapping[int, Act], faults: Mapping[int, Fault] | None = None) -> None:
        self.acts, self.faults = acts, faults or {}
        self.is_calm = False

    def decide(self, boundary: Boundary) -> Act:
        """Return what is written for this boundary."""
        return None if self.is_calm else self.acts.get(boundary.number)

    def fault(self, boundary: Boundary, method: str, path: str) -> Fault | None:
        """Return what is written for this request."""
        return None if self.is_calm else self.faults.get(boundary.number)


class Named:
    """Disturbances by the name of their boundary, `accepted: after`, and faults by a request; each once."""

    def __init__(self, acts: Mapping[str, Act], faults: Mapping[str, Fault] | None = None) -> None:
        self.acts, self.faults = dict(acts), dict(faults or {})
        self.is_calm = False

    def decide(self, boundary: Boundary) -> Act:
        """Return what is named for this boundary, the first time."""
        return None if self.is_calm else self.acts.pop(boundary.name, None)

    def fault(self, boundary: Boundary, method: str, path: str) -> Fault | None:
        """Return what is named for this request, the first time."""
        return None if self.is_calm else self.faults.pop(f"{method} {path}", None)
