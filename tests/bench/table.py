"""What the benchmark found: rows beside their goals, as one table."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

WIDTH = 118


@dataclass(frozen=True)
class Row:
    """One number: what it is, what it came to, and what it should be; *goal* None: only for comparison.

    *best* is the best of the rounds, where the number is their median: whatever else runs here only ever slows them.
    """

    what: str
    found: float
    unit: str
    goal: float | None = None
    at_least: bool = False  # the goal is a floor, not a ceiling
    best: float | None = None

    @property
    def is_met(self) -> bool:
        """True unless the goal is missed."""
        if self.goal is None:
            return True
        return self.found >= self.goal if self.at_least else self.found <= self.goal

    def line(self) -> str:
        """Return the row as text."""
        goal = "" if self.goal is None else f"{'>=' if self.at_least else '<='} {_number(self.goal)}"
        met = "" if self.goal is None else "yes" if self.is_met else "NO"
        best = "" if self.best is None else f"best {_number(self.best)}"
        return f"  {self.what:<70} {_number(self.found):>8} {self.unit:<6} {goal:>9}  {met:<4}{best}".rstrip()


@dataclass(frozen=True)
class Chapter:
    """The rows of one question, and the way in which they were measured."""

    title: str
    how: str
    rows: Sequence[Row]

    def __str__(self) -> str:
        said = textwrap.fill(self.how, WIDTH, initial_indent="  ", subsequent_indent="  ")
        return "\n".join([self.title, said, *(row.line() for row in self.rows), ""])


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return float(median(values))


def peak_mb() -> float:
    """Return the peak memory of this process alone: ru_maxrss also knows the parent that it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"
