"""Webhooks: how many are taken in, how soon one becomes an effect on its ticket, and what a siege does to honest ones.

`python -m tests.bench.webhooks FOLDER` is the web part alone, until standard input ends.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connectors.sandbox.company import RULES
from tests.bench.hooked import SHARED, SIGNED_BY, signed
from tests.bench.stand_in import SECRETS, another_process
from tests.bench.table import Chapter, Row, middle

RATE, COUNT, CALM = 20.0, 300, 20  # bad ratings per second; how many; how many for a count of calls, one at a time
FLAVOURS = (("legacy", "acme", "Zendesk, legacy ratings", 2.0, 3), ("new", "acme", "Zendesk, new surveys", 2.0, 3),
            ("legacy", "shop", "Freshdesk", 0.0, 3))  # fmt: skip
WEBHOOKS, LINES = 6_000, 16
HONEST, SLOW = 300, 300
PATIENCE = 60.0

EFFECTS = (
    f"`serve` and both stand-ins in processes of their own, real HTTP, SQLite with synchronous=FULL. {COUNT} customers"
    f" rate badly with a comment, {RATE:g} a second, and the helpdesk sends a signed webhook for each. Counted from the"
    " rating to the private note, less what the guards cost: Zendesk's stamps have whole seconds, so nothing is written"
    " to a ticket within two seconds of its last change, and its hint is followed when they are over (Freshdesk: no"
    " such guard; a rating without a comment would wait for 15 minutes on both). Calls: of the API, people and groups"
    " in memory, a rating every half second. Freshdesk has no call that reads a ticket with its rating, nor one that"
    " changes a ticket and adds a note."
)
INTAKE = (
    f"{WEBHOOKS:,} signed webhooks over {LINES} connections from another process of the same machine, each stored"
    " durably before it is answered; answer times are those of the sender. The web part alone has no worker beside it."
)
SIEGE = (
    f"{SLOW} connections that send half a head or half a body and then nothing, one that sends 50 MB, and beside them"
    f" {HONEST} honest webhooks, each on a new connection. Then the server is killed (SIGKILL) while {LINES} lines send."
)


def measure() -> Iterator[Chapter]:
    """Measure the ways of a webhook."""
    yield Chapter("From a webhook to the ticket", EFFECTS, [row for flavour in FLAVOURS for row in _effects(*flavour)])
    yield Chapter("Taking webhooks in", INTAKE, [*_intake()])
    yield Chapter("A siege, and a sudden end", SIEGE, [*_siege()])


# ------------------------------------------------------------------ from webhook to effect
def _effects(csat: str, account: str, name: str, guard: float, most_calls: float) -> Iterator[Row]:
    with _scene(csat, COUNT + 3 * CALM) as (desks, server):
        desks.play(account, server.port, CALM, RATE)  # fills the caches
        calm = desks.play(account, server.port, CALM, 2.0)
        before = server.cpu_ms()
        busy = desks.play(account, server.port, COUNT, RATE)
        cpu = server.cpu_ms() - before
        memory = server.memory_mb()
    if len(busy["took"]) < COUNT:
        raise RuntimeError(f"{name}: {COUNT - len(busy['took'])} of {COUNT} ratings led to nothing")
    took = sorted(1000 * (seconds - guard) for seconds in busy["took"])
    yield Row(f"{name}, p50", middle(took), "ms", 50, best=took[0])
    yield Row(f"{name}, p99", _p99(took), "ms", 200)
    yield Row(f"{name}, CPU of `serve` for each", cpu / COUNT, "ms")
    yield Row(f"{name}, calls for each, one at a time", calm["calls"] / CALM, "calls", most_calls)
    yield Row(f"{name}, calls for each, {RATE:g} a second", busy["calls"] / COUNT, "calls", most_calls)
    yield Row(f"{name}, peak memory of `serve`", memory, "MB", 120)


@dataclass
class _Desks:
    urls: dict[str, str]
    process: subprocess.Popen[str]

    def play(self, account: str, port: int, count: int, per_second: float) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        order = {"account": account, "port": port, "count": count, "per_second": per_second}
        print(json.dumps(order), file=self.process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@contextmanager
def _desks(csat: str, count: int) -> Iterator[_Desks]:
    command = [sys.executable, "-m", "tests.bench.hooked", csat, str(count)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin and child.stdout
    try:
        yield _Desks(json.loads(child.stdout.readline()), child)
    finally:
        child.stdin.close()
        child.wait(30)
        child.stdout.close()


# ------------------------------------------------------------------ the server
@dataclass
class _Server:
    port: int
    process: subprocess.Popen[str]
    folder: Path

    def memory_mb(self) -> float:
        """Return the peak memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024

    def cpu_ms(self) -> float:
        """Return the CPU time of the process so far, user and system."""
        used = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return 1000 * (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")

    def line(self) -> socket.socket:
        """Open a connection."""
        line = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line


@contextmanager
def _serving(folder: Path, urls: dict[str, str]) -> Iterator[_Server]:
    """Run `recovery-bridge serve` on accounts that it has seen before."""
    rules, text = folder / "rules.yaml", RULES.read_text(encoding="utf-8")
    for old, new in (
        ("ZENDESK_URL", urls["acme"]), ("FRESHDESK_URL", urls["shop"]), ("share_of_rated: 50%", "share_of_rated: 100%"),
        ("settings:\n", "settings:\n  max_open: 100000\n"), ("tickets_per_hour: 50", "tickets_per_hour: 100000"),
        ("mon-fri: 09:00-18:00\n    sat: 10:00-14:00", "mon-sun: 00:00-24:00"),
        ("quiet_hours: 21:00-08:00", "# no quiet hours:"),
    ):  # fmt: skip
        text = text.replace(old, new, 1)
    rules.write_text(text, encoding="utf-8")
    hooks = {"BRIDGE_ACME_WEBHOOK_SECRET": SIGNED_BY, "BRIDGE_SHOP_WEBHOOK_SECRET": SHARED}
    env = os.environ | SECRETS | hooks | {"BRIDGE_STATE_DIR": str(folder)}
    bridge = [sys.executable, "-m", "bridge"]
    for _ in range(2):
        subprocess.run([*bridge, "run", "--once", "--rules", str(rules)], env=env, check=True, capture_output=True)
    command = [*bridge, "serve", "--port", "0", "--every", "3600", "--rules", str(rules)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        found = next(filter(None, (re.search(r"127\.0\.0\.1:(\d+)", line) for line in process.stderr)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield _Server(int(found[1]), process, folder)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _scene(csat: str, tickets: int) -> Iterator[tuple[_Desks, _Server]]:
    """Run `serve` beside desks with so many tickets each, which nobody has rated yet."""
    with TemporaryDirectory() as folder, _desks(csat, tickets) as desks, _serving(Path(folder), desks.urls) as server:
        yield desks, server


# ------------------------------------------------------------------ taking in
def _intake() -> Iterator[Row]:
    with TemporaryDirectory() as folder, another_process("tests.bench.webhooks", folder) as said:
        alone = _storm(said["port"])
    with _scene("legacy", 1) as (_, server):
        whole = _storm(server.port)
    for name, (per_second, p99), goal in (("the web part alone", alone, 1000), ("`serve`", whole, None)):
        yield Row(f"webhooks per second, {name}", per_second, "/s", goal, at_least=True)
        yield Row(f"time to the answer, {name}, p99", p99, "ms", 50 if goal else None)


def _storm(port: int) -> tuple[float, float]:
    """Let another process send; returns webhooks per second and the p99 of answers in ms."""
    command = [sys.executable, "-m", "tests.bench.webhooks", "storm", str(port)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found["per_second"], found["p99"]


def storm(port: int) -> None:
    """Send WEBHOOKS over LINES connections, and print how fast they were answered."""
    import selectors

    numbers, took, selector = itertools.count(1_000_000), list[float](), selectors.DefaultSelector()
    begun = time.perf_counter()

    def send(line: socket.socket) -> None:
        line.sendall(_delivery(str(next(numbers))))
        selector.modify(line, selectors.EVENT_READ, time.perf_counter())

    for _ in range(LINES):
        line = socket.create_connection(("127.0.0.1", port))
        selector.register(line, selectors.EVENT_READ, 0.0)
        send(line)
    while len(took) < WEBHOOKS:
        for key, _ in selector.select(PATIENCE):
            answered: socket.socket = key.fileobj  # type: ignore[assignment]
            if not answered.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise RuntimeError("a webhook was not acknowledged")
            took.append(1000 * (time.perf_counter() - key.data))
            send(answered)
    print(json.dumps({"per_second": len(took) / (time.perf_counter() - begun), "p99": _p99(sorted(took))}))


def _delivery(ticket_id: str) -> bytes:
    body = json.dumps({"ticket_id": ticket_id}).encode()
    headers = {"Host": "bridge", "Content-Length": str(len(body)), **signed("acme", body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /hooks/acme HTTP/1.1\r\n{head}\r\n".encode() + body


# ------------------------------------------------------------------ a siege
def _siege() -> Iterator[Row]:
    with _scene("legacy", 1) as (_, server):
        calm = _honest(server)
        with ExitStack() as stack:
            for number in range(SLOW):
                slow = stack.enter_context(server.line())
                slow.sendall(_delivery(str(number))[: 40 if number % 2 else -2])
            large = stack.enter_context(server.line())
            threading.Thread(target=_pour, args=(large,), daemon=True).start()
            besieged = _honest(server)
        for name, took in (("without a siege", calm), ("besieged", besieged)):
            yield Row(f"time to the answer, {name}, p50", middle(took), "ms")
            yield Row(f"time to the answer, {name}, p99", _p99(took), "ms", 100 if took is besieged else None)
        acknowledged, lost = _killed(server)
        yield Row("acknowledged before the server was killed", acknowledged, "")
        yield Row("of them lost", lost, "", 0)


def _pour(line: socket.socket) -> None:
    """Send a body of 50 MB as fast as it is taken."""
    head = (
        b"POST /hooks/acme HTTP/1.1\r\nHost: bridge\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    )
    part = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    try:
        line.sendall(head + b"\r\n")
        for _ in range(50_000_000 // 65_536):
            line.sendall(part)
    except OSError:
        return  # refused, as it should be


def _honest(server: _Server) -> list[float]:
    """Send honest webhooks one after the other; returns the times to their answers in ms, sorted."""
    took = []
    for number in range(HONEST):
        begun = time.perf_counter()
        with server.line() as line:
            line.sendall(_delivery(f"{number}{time.monotonic_ns() % 1_000_000}"))
            if not line.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise RuntimeError("an honest webhook was not acknowledged")
        took.append(1000 * (time.perf_counter() - begun))
        threading.Event().wait(0.005)
    return sorted(took)


def _killed(server: _Server) -> tuple[int, int]:
    """Kill the server while webhooks come in; returns how many it acknowledged, and how many of them are not stored."""
    numbers, acknowledged = itertools.count(5_000_000), set[str]()

    def send() -> None:
        with server.line() as line:
            while True:
                ticket_id = str(next(numbers))
                try:
                    line.sendall(_delivery(ticket_id))
                    said = line.recv(4096)
                except OSError:
                    return
                if not said.startswith(b"HTTP/1.1 200 "):
                    return
                acknowledged.add(ticket_id)

    senders = [threading.Thread(target=send) for _ in range(LINES)]
    for sender in senders:
        sender.start()
    _until(lambda: len(acknowledged) > 500)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    for sender in senders:
        sender.join()
    with closing(sqlite3.connect(server.folder / "bridge.db")) as db:
        stored = {ticket_id for (ticket_id,) in db.execute("SELECT ticket_id FROM inbox WHERE source = 'hint'")}
    return len(acknowledged), len(acknowledged - stored)


def _until(fact: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > ends:
            raise RuntimeError("the server does not answer")
        threading.Event().wait(0.01)


def _p99(found: Sequence[float]) -> float:
    """Return the 99th percentile of sorted values."""
    return found[min(len(found) - 1, int(0.99 * len(found)))]


# ------------------------------------------------------------------ the web part alone
def alone(folder: Path) -> None:
    """Serve webhooks for one account, with a store and nothing behind it."""
    from bridge.store import Store
    from bridge.web import web_app
    from bridge.web.counts import Counts
    from bridge.web.hooks import Door, Hooks
    from bridge.web.keeping import Keeper
    from bridge.web.service import web_server
    from connectors.zendesk import hooks as zendesk

    store, counts = Store.open(f"sqlite:///{folder / 'bridge.db'}"), Counts()
    keeper = Keeper(store, lambda: datetime.now(UTC), lambda _account, _at: None)
    vendor: Any = zendesk
    hooks = Hooks({"acme": Door(vendor, (SIGNED_BY,))}, keeper, counts, lambda: datetime.now(UTC))
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    with listening, web_server(web_app([hooks.routes()], counts), listening):
        print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
        sys.stdin.read()
    keeper.close()
    store.close()


if __name__ == "__main__":
    storm(int(sys.argv[2])) if sys.argv[1] == "storm" else alone(Path(sys.argv[1]))
