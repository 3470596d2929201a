"""A company whose helpdesks answer over HTTP on loopback, and `recovery-bridge` as processes beside it.

`Scene.some_work` lets customers rate and agents work, by a seed; `Scene.start` begins a command. What came of it is
judged by referee.py from the ledger of the stand-ins, which the bridge never sees.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from bridge.store import Store
from connectors.sandbox.company import Company, company
from connectors.sandbox.server import serve
from connectors.sandbox.wsgi import Api
from tests.soak.clock import START, SharedClock
from tests.soak.nursery import PATIENCE, Ended, Nursery, Worker, nursery

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
IN_MEMORY = Path("/dev/shm")
HIGH = 1_000_000_000  # calls per minute
FLAVOURS = (("legacy", "classic_codes"), ("new", "new"))
AGENT = "Ana"
SETTINGS = {  # of the company's rules: no limit holds anybody back
    "tickets_per_hour": "100000",
    "writes_per_ticket_per_day": "100",
}
RUN = ("run", "--once")


def nothing(_method: str, _path: str) -> None:
    """Let a request pass."""


class Gate:
    """Stands before a desk: *before* is called ahead of each request, *after* when it was carried out, unanswered."""

    def __init__(self, desk: Api) -> None:
        self.desk = desk
        self.before: Callable[[str, str], object] = nothing
        self.after: Callable[[str, str], object] = nothing
        self.seen = self.seen_writes = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.seen += 1
        self.seen_writes += method != "GET"
        self.before(method, path)
        answer = self.desk(environ, start_response)
        self.after(method, path)
        return answer


@dataclass
class Scene:
    """One company for some hours."""

    firm: Company
    clock: SharedClock
    nursery: Nursery
    folder: Path
    chance: Random
    gates: dict[str, Gate]
    url: str  # of the bridge's database
    rated: list[tuple[str, str]] = field(default_factory=list)  # (account, ticket) that got a bad rating
    most: int = 4  # customers who rate at once, on each desk
    pauses: Sequence[int] = (7, 20, 45, 90, 16 * 60)  # minutes between them
    customers: int = 0
    solved: set[tuple[str, str]] = field(default_factory=set)  # that an agent has worked on since
    automations_at: Any = START

    def __post_init__(self) -> None:
        self.rules_file = self.folder / "rules.yaml"
        text = self.firm.rules(**SETTINGS).text
        text = text.replace("settings:\n", "settings:\n  max_open: 100000\n", 1)
        self.rules_file.write_text(re.sub(r"(?m)^  (quiet_hours|share_of_rated): .*\n", "", text), encoding="utf-8")
        self.env = {"PATH": os.environ["PATH"], **self.firm.env, "BRIDGE_DATABASE_URL": self.url}

    # -------------------------------------------------------------- what people do
    def some_work(self) -> None:
        """Let time pass, agents look after a few customers, and others rate what Ana solved."""
        self.pass_time(self.chance.choice(self.pauses) * MINUTE)
        for account, ticket_id in self.chance.sample(self.rated, len(self.rated) // 5):
            self._look_after(account, ticket_id)
        tickets = [
            (account, self._solved_ticket(account))
            for account in self.firm.desks
            for _ in range(self.chance.randint(2, self.most))
        ]
        self.pass_time(5 * MINUTE)
        for account, ticket_id in tickets:
            self.firm.desks[account].rate(ticket_id, "bad", "Nobody helped me")
        self.rated += tickets
        self.pass_time(MINUTE)

    def _solved_ticket(self, account: str) -> str:
        self.customers += 1
        return self.firm.solved_ticket(account, AGENT, f"Cora {self.customers}", takes=timedelta())

    def _look_after(self, account: str, ticket_id: str) -> None:
        if (account, ticket_id) not in self.solved:
            agent_id = self.firm.agents[account, AGENT]
            self.firm.desks[account].reply(ticket_id, agent_id, "Sorry! A new one is on its way.")
            self.firm.desks[account].solve(ticket_id, agent_id)
            self.solved.add((account, ticket_id))

    def pass_time(self, step: timedelta) -> None:
        """Let time pass, and the accounts' automations do what they had to do since the last time."""
        self.clock.advance(step)
        since, self.automations_at = self.automations_at, self.clock.now()
        for desk in self.firm.desks.values():
            desk.pass_time(self.automations_at - since)

    # -------------------------------------------------------------- what the bridge does
    def start(self, *arguments: str, env: dict[str, str] | None = None, **how: Any) -> Worker:
        """Start a command, `run --once` by default; *env* changes its environment."""
        line = [*(arguments or RUN), "--rules", str(self.rules_file)]
        return self.nursery.start(line, {**self.env, **(env or {})}, self.folder, self.clock, **how)

    def run(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments).wait()

    def requests(self, only_writes: bool) -> int:
        """Return how many requests the helpdesks have seen, or how many that write."""
        return sum(gate.seen_writes if only_writes else gate.seen for gate in self.gates.values())

    def wait_for(self, number: int, only_writes: bool, worker: Worker) -> bool:
        """Wait until the helpdesks have seen so many; False if the worker has ended before."""
        while self.requests(only_writes) < number:
            if worker.is_gone():
                return False
            time.sleep(0.001)
        return True

    @contextmanager
    def held_up(self) -> Iterator[Callable[[], None]]:
        """Hold every request up until the function that this gives is called."""
        go_on = threading.Event()
        for gate in self.gates.values():
            gate.before = lambda _method, _path: go_on.wait(PATIENCE)
        try:
            yield go_on.set
        finally:
            go_on.set()
            for gate in self.gates.values():
                gate.before = nothing

    @contextmanager
    def database_lock(self) -> Iterator[Callable[[], None]]:
        """Give a function that locks the database for everybody else, until the block ends."""
        with ExitStack() as stack:

            def lock() -> None:
                if self.url.startswith("sqlite"):
                    connection = sqlite3.connect(self.url.removeprefix("sqlite:///"), check_same_thread=False)
                    stack.callback(connection.close)
                    connection.execute("BEGIN IMMEDIATE")
                    return
                import psycopg

                session = psycopg.connect(self.url)
                stack.callback(session.close)
                session.execute("SELECT 1 FROM cases FOR UPDATE")

            yield lock

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open the bridge's database beside it."""
        store = Store.open(self.url)
        try:
            yield store
        finally:
            store.close()

    def ask(self, sql: str) -> list[Any]:
        """Read something from the bridge's database."""
        with self.store() as store, store._reading() as tx:
            return [tuple(row) for row in tx.exec_driver_sql(sql)]


@contextmanager
def scene(seed: int, url: str = "", *, state: Path | None = None, fails: bool = False, **pace: Any) -> Iterator[Scene]:
    """Found a company and have the bridge installed; *url*: of a database, SQLite by default.

    *state* is where the bridge keeps its files; *fails*: system calls of its processes can be made to fail; *pace*:
    most= and pauses= of the scene.
    """
    zendesk, freshdesk = FLAVOURS[seed % 2]
    options = {
        "zendesk": {"csat": zendesk, "rate_limit": HIGH, "updates_per_minute": 0},
        "freshdesk": {"csat": freshdesk, "rate_limit": HIGH},
    }
    with ExitStack() as stack:
        memory = IN_MEMORY if IN_MEMORY.is_dir() else None
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="recovery-bridge-soak-", dir=memory)))
        state = state or folder / "state"
        firm = stack.enter_context(company(START, state, seed=seed, **options))
        firm.freshdesk.asks_on_solve = False
        firm.world.clock = clock = SharedClock(folder / "clock")
        stack.callback(clock.close)
        gates = {"acme": Gate(firm.zendesk), "shop": Gate(firm.freshdesk)}
        firm.urls.update({account: stack.enter_context(serve(gate)) for account, gate in gates.items()})
        url = url or f"sqlite:///{state / 'bridge.db'}"
        found = Scene(firm, clock, nursery(fails=fails), folder, Random(seed), gates, url, **pace)
        for command in (("setup",), RUN):
            ended = found.run(*command)
            if ended.code:
                raise RuntimeError(f"{' '.join(command)}: {ended}\n{ended.out}\n{ended.err}")
        yield found
