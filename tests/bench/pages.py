"""What the pages of the dashboard cost with many cases: time until each is there, and memory after many views.

The server is a process of its own; the one that asks counts what a browser would wait for. `python -m
tests.bench.pages FOLDER` is the server: it says its port and ends with its standard input.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.bench.stand_in import another_process
from tests.bench.table import Chapter, Row

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MANY = 100_000
VIEWS, FRESH_VIEWS = 40, 12
GOAL = 200  # ms
LATER = "/later"  # a minute later no figures of a period are kept, and every open case has moved: 5 weeks have changed
YEAR = "overview, 52 weeks"
PAGES = {
    "overview, 4 weeks": "/",
    YEAR: "/?weeks=52",
    "overview, 52 weeks of one account": "/?weeks=52&account=acme",
    "cases, open": "/cases",
    "cases, of a rule and an account, ended": "/cases?state=ended&account=acme&rule=Refund",
    "cases, of a week": "/cases?state=all&week=2026-06-01",
    "cases, the last page of all": f"/cases?state=all&page={MANY // 50}",
    "one case": "",  # its address is made with the store
    "work for people": "/work",
}

HOW = (
    f"{MANY:,} cases of a year on two accounts, with their ratings, decisions and effects, SQLite; the dashboard as"
    f" `serve` runs it, without its login, asked over HTTP on one connection, {VIEWS} views of each page in turn. p95"
    f" of what a browser waits for. Figures are kept for a minute, so most views of the overview find them made;"
    f" `made anew` is the view that makes them, {FRESH_VIEWS} times, each after every open case has moved: what was"
    " counted of weeks that have not changed is kept. Memory is that of the server process (VmRSS)."
)


def measure() -> Iterator[Chapter]:
    """Measure each page, and the memory of the server before and after."""
    with TemporaryDirectory() as folder, another_process("tests.bench.pages", folder) as told:
        yield Chapter(f"The dashboard with {MANY:,} cases", HOW, list(_rows(told)))


def _rows(told: dict[str, Any]) -> Iterator[Row]:
    pages = PAGES | {"one case": f"/cases/{told['case']}"}
    with closing(http.client.HTTPConnection("127.0.0.1", told["port"], timeout=60)) as line:
        first = {name: _view(line, path) for name, path in pages.items()}  # compiles templates, opens connections
        before, took = _rss_mb(told["pid"]), {name: list[float]() for name in pages}
        for _ in range(VIEWS):
            for name, path in pages.items():
                took[name].append(_view(line, path))
        after = _rss_mb(told["pid"])
        for name, times in took.items():
            yield Row(f"{name}: p95", _p95(times), "ms", GOAL)
        for name in [name for name in pages if name.startswith("overview")]:
            fresh = [_view(line, pages[name]) for _ in range(FRESH_VIEWS) if _view(line, LATER)]
            yield Row(f"{name}, figures made anew: p95", _p95(fresh), "ms", GOAL)
        yield Row(f"{YEAR}, the first view after a start", first[YEAR], "ms")
    yield Row("memory of the server, each page seen once", before, "MB")
    yield Row(f"memory after {VIEWS * len(pages)} more views / before", after / before, "times", 1.05)


def _view(line: http.client.HTTPConnection, path: str) -> float:
    """Return the milliseconds until a page is there, whole."""
    begun = time.perf_counter()
    line.request("GET", path)
    answer = line.getresponse()
    body = answer.read()
    if answer.status != 200 or b"</html>" not in body:
        raise RuntimeError(f"{path}: {answer.status}")
    return (time.perf_counter() - begun) * 1000


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024


# ------------------------------------------------------------------ the server
def main(folder: str) -> None:
    """Make the store, serve the dashboard over it, and end with the standard input."""
    import socket

    from bridge.store import Store
    from bridge.web import web_app
    from bridge.web.counts import Counts
    from bridge.web.dashboard import DashDesk, dashboard_routes
    from bridge.web.service import web_server
    from tests.many_cases import UNTIL, many_cases
    from tests.web.dash_states import URLS, everybody, rules

    path = Path(folder) / "bridge.db"
    many_cases(path, MANY)
    store, later = Store.open(f"sqlite:///{path}"), [timedelta()]
    desk = DashDesk(store, rules, lambda account, ticket: URLS[account] + ticket, lambda: UNTIL + later[0])
    app = web_app([dashboard_routes(desk, everybody)], Counts())

    def pass_a_minute() -> None:
        later[0] += timedelta(minutes=1)
        with store._writing() as tx:
            tx.exec_driver_sql("UPDATE cases SET version = version + 1 WHERE outcome IS NULL")

    with socket.create_server(("127.0.0.1", 0)) as listening, web_server(_ages(app, pass_a_minute), listening):
        case = store.cases(account="acme", limit=1)[0].case_id
        told = {"port": listening.getsockname()[1], "pid": os.getpid(), "case": case}
        print(json.dumps(told), flush=True)
        sys.stdin.read()
    store.close()


def _ages(app: ASGIApp, pass_a_minute: Callable[[], None]) -> ASGIApp:
    """Let a minute pass at LATER, which shows a page that has no figures."""

    async def aged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == LATER:
            pass_a_minute()
            scope = {**scope, "path": "/work"}
        await app(scope, receive, send)

    return aged


if __name__ == "__main__":
    main(sys.argv[1])
