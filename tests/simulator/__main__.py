"""Replaying seeds: `python -m tests.simulator SEED [COUNT] [-v]`."""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.simulator import simulate


def main(words: list[str]) -> int:
    """Play seeds and print what came of them; with -v every boundary of each."""
    numbers = [int(word) for word in words if word.isdigit()]
    first, count = numbers[0], numbers[1] if len(numbers) > 1 else 1
    counts: Counter[str] = Counter()
    began, failed = time.process_time(), 0
    for seed in range(first, first + count):
        verdict = simulate(seed, verbose="-v" in words)
        counts += verdict.counts
        counts["boundaries"] += verdict.boundaries
        for line in verdict.trace:
            sys.stdout.write(f"{line}\n")
        for violation in verdict.violations:
            sys.stdout.write(f"{verdict.replay}: {violation}\n")
        sys.stdout.flush()
        failed += bool(verdict.violations)
    for name, times in sorted(counts.items()):
        sys.stdout.write(f"{times:>9} {name}\n")
    spent = time.process_time() - began
    sys.stdout.write(
        f"{count} seeds, {failed} with violations, {spent:.1f} s CPU, {spent / count * 1000:.0f} ms each\n"
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
