"""A thousand recoveries among mixed people, month by month: what they cost, how they end, and which promise is broken.

`tests/recoveries.py` is the simulation with its referees; a violation is printed with the command that replays it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.table import Chapter, Row
from tests.recoveries import HOUR, VENDORS, Found, simulate

SEEDS, COUNT = range(4), 135  # months, and customers of each helpdesk in each: a thousand recoveries and some more
WANTED = 1000

HOW = (
    "Seeded people over simulated months of 30 days, hourly runs, both vendors with both kinds of CSAT, surveys for"
    " everyone; tickets are rated badly in the first days. Real app, real HTTP on loopback, SQLite. CPU and calls are"
    " those of the whole month, idle runs and the stand-ins included. A violation is a promise that was broken: a lost"
    " rating, a second effect, a question too many, a deadline not acted on, an open case that nobody has."
)


def measure() -> Iterator[Chapter]:
    """Live through the months and count."""
    found = Found()
    for seed in SEEDS:
        found += simulate(seed, COUNT, HOUR)
    yield Chapter("Recoveries among mixed people", HOW, [*_rows(found)])
    for violation in found.violations[:20]:
        print(f"  {violation}")


def _rows(found: Found) -> Iterator[Row]:
    yield Row("recoveries", found.cases, "cases", WANTED, at_least=True)
    yield Row("violations", len(found.violations), "", 0)
    yield Row("runs of the bridge", found.runs, "runs")
    yield Row("CPU for each recovery", found.cpu / found.cases, "s")
    yield Row("questions mailed because of the bridge", found.mails, "mails")
    for vendor in VENDORS.values():
        ended = {what: number for (whose, what), number in sorted(found.outcomes.items()) if whose == vendor}
        yield Row(f"{vendor}, calls for each recovery", found.calls[vendor] / sum(ended.values()), "calls")
        for outcome, number in ended.items():
            yield Row(f"{vendor}, ended {outcome}", number, "cases")
