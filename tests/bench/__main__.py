"""`make bench`: measure everything and print it. A missed goal is printed, not an error: machines differ.

`python -m tests.bench pages figures` measures these chapters only.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time

from tests.bench import calls, deciding, figures, history, loading, open_cases, pages, processes, recoveries, webhooks
from tests.bench.table import WIDTH

# What is timed comes first; counting can wait.
CHAPTERS = (processes, loading, deciding, open_cases, figures, history, webhooks, pages, calls, recoveries)


def main(*wanted: str) -> None:
    """Print each chapter as soon as it is measured, and what was missed at the end."""
    logging.disable(logging.WARNING)
    begun, rows = time.monotonic(), []
    print(f"Recovery Bridge on Python {platform.python_version()}, {platform.machine()}, medians unless said otherwise")
    print(f"{os.cpu_count()} processors, load of the last minute {os.getloadavg()[0]:.1f}")
    parts = {part.__name__.rpartition(".")[2]: part for part in CHAPTERS}
    for part in [parts[name] for name in wanted] or CHAPTERS:
        for chapter in part.measure():
            print("-" * WIDTH, chapter, sep="\n", flush=True)
            rows += chapter.rows
    missed = [row.what for row in rows if not row.is_met]
    print("-" * WIDTH)
    print(f"{sum(row.goal is not None for row in rows)} goals, {len(missed)} missed; {time.monotonic() - begun:.0f} s")
    for what in missed:
        print(f"  missed: {what}")


if __name__ == "__main__":
    main(*sys.argv[1:])
