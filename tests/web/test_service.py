"""`recovery-bridge serve` as a process: from a webhook to the ticket, killed, told to stop, and besieged."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.client
import itertools
import json
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from commands import SINCE, Shell, shell_beside_a_company
from uvicorn.server import ServerState

from bridge.model import Audit, Decision, Stage, SurveyWay
from bridge.settings import survey_key
from bridge.store import Store
from bridge.survey_link import Invitation, SurveyLinks
from bridge.web import web_app
from bridge.web.counts import Counts
from bridge.web.doorkeeper import Deadlined
from bridge.web.service import Bell, web_server
from connectors.freshdesk.hooks import SECRET_HEADER
from connectors.zendesk.hooks import SIGNATURE, SIGNED_AT

SECRET, SHARED = "bridge-signs-webhooks==", "3f1c0a9d7e5b42688f6d0c1b2a394857"
NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
PATIENCE = 30  # seconds until a test gives up


class Served:
    """A server that runs, and the helpdesks' way of reaching it."""

    def __init__(self, shell: Shell, process: subprocess.Popen[str]) -> None:
        self.shell, self.process, self.said = shell, process, list[str]()
        assert process.stderr
        for line in process.stderr:
            self.said.append(line)
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        threading.Thread(target=self.said.extend, args=(process.stderr,), daemon=True).start()

    def line(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def send(self, line: http.client.HTTPConnection, account: str, ticket_id: str) -> int:
        """Send a webhook as its vendor would; returns the status of the answer."""
        body, headers = json.dumps({"ticket_id": ticket_id}).encode(), {"Content-Type": "application/json"}
        if account == "acme":
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            mac = hmac.new(SECRET.encode(), stamp.encode() + body, hashlib.sha256).digest()
            headers |= {SIGNATURE: base64.b64encode(mac).decode(), SIGNED_AT: stamp}
        else:
            headers[SECRET_HEADER] = SHARED
        line.request("POST", f"/hooks/{account}", body, headers)
        answer = line.getresponse()
        answer.read()
        return answer.status

    def hook(self, account: str, ticket_id: str) -> int:
        """Send one webhook on a connection of its own."""
        with closing(self.line()) as line:
            return self.send(line, account, ticket_id)

    def rows(self, asked: str, *values: str) -> list[tuple[str, ...]]:
        """Read rows of its database."""
        with closing(sqlite3.connect(self.shell.state / "bridge.db", timeout=PATIENCE)) as db:
            return list(db.execute(asked, values))

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def until(fact: Callable[[], object]) -> None:
    """Wait for what another process does."""
    ends = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < ends, "it does not come"
        threading.Event().wait(0.02)


@contextmanager
def served(folder: Path, prepare: Callable[[Shell], int] = lambda _shell: 0) -> Iterator[Served]:
    """A server beside a company, past its first poll; the next one is an hour away. *prepare* returns its port."""
    polled = "SELECT account FROM account_state WHERE key = 'succeeded_at' AND value > ?"
    with shell_beside_a_company(folder) as shell:
        shell.env |= {"BRIDGE_ACME_WEBHOOK_SECRET": SECRET, "BRIDGE_SHOP_WEBHOOK_SECRET": SHARED}
        shell("run --once", *SINCE)
        port = prepare(shell)
        began = json.dumps(datetime.now(UTC).isoformat())
        process = shell.start(f"serve --port {port} --every 3600")
        try:
            server = Served(shell, process)
            until(lambda: len(server.rows(polled, began)) == 2)
            yield server
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for those who leave it as it is."""
    with served(tmp_path_factory.mktemp("lasting")) as found:
        yield found


def test_a_webhook_brings_the_ticket_back_at_once_on_both_helpdesks(server: Served) -> None:
    shell = server.shell
    tickets = {account: shell.rate(account) for account in ("acme", "shop")}

    assert [server.hook(account, ticket_id) for account, ticket_id in tickets.items()] == [200, 200]

    notes = [("acme", tickets["acme"]), ("shop", tickets["shop"])]
    ledger = shell.firm.world.ledger
    until(lambda: sorted((e.desk, e.ticket_id) for e in ledger if e.what == "private_note") == notes)
    assert server.rows("SELECT DISTINCT source FROM rating") == [("hint",)]
    assert shell("run --once").code == 75
    assert server.end(signal.SIGTERM) == 0


def test_no_acknowledged_webhook_is_lost_when_the_server_is_killed(server: Served) -> None:
    tickets, acknowledged = itertools.count(1_000_000), list[str]()

    def helpdesk() -> None:
        with closing(server.line()) as line:
            while True:
                ticket_id = str(next(tickets))
                try:
                    status = server.send(line, "acme", ticket_id)
                except (OSError, http.client.HTTPException):
                    return
                if status == 200:
                    acknowledged.append(ticket_id)

    senders = [threading.Thread(target=helpdesk) for _ in range(4)]
    for sender in senders:
        sender.start()
    until(lambda: len(acknowledged) > 100)
    server.end(signal.SIGKILL)
    for sender in senders:
        sender.join()

    stored = {ticket_id for (ticket_id,) in server.rows("SELECT ticket_id FROM inbox")}
    assert set(acknowledged) <= stored


def test_300_slow_connections_stop_nobody(lasting: Served) -> None:
    with ExitStack() as stack:
        for number in range(300):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", lasting.port)))
            head = b"POST /hooks/acme HTTP/1.1\r\nHost: bridge\r\n"
            slow.sendall(
                head if number % 2 else head + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
            )
        large = stack.enter_context(socket.create_connection(("127.0.0.1", lasting.port)))
        large.sendall(b"POST /hooks/acme HTTP/1.1\r\nHost: bridge\r\nContent-Length: 50000000\r\n\r\n")

        assert large.recv(99).startswith(b"HTTP/1.1 413 ")
        assert lasting.hook("acme", "7") == 200


def asked_by_link(shell: Shell) -> int:
    """A customer of a solved ticket is asked on the page of a server to come; returns the port of that."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    shell.rules(mode="live", survey_page=f"http://127.0.0.1:{port}")
    ticket_id = shell.rate("shop")
    shell("run --once")
    shell.firm.freshdesk.solve(ticket_id, shell.firm.agents["shop", "Ana"])
    now = datetime.now(UTC)
    with closing(Store.open(f"sqlite:///{shell.state / 'bridge.db'}")) as store:
        (case,) = store.cases()
        asked = replace(
            case, stage=Stage.SURVEYED, solved_at=now, asked_at=now, asked_by=SurveyWay.LINK, due_at=now + 7 * DAY,
            next_step="wait for the answer", version=case.version + 1,
        )  # fmt: skip
        audit = Audit(now, "shop", ticket_id, "asked", "by link", case_id=case.case_id)
        store.save(Decision(audit, asked), expected_version=case.version)
    return port


def test_an_answer_on_the_page_ends_the_case_at_once(tmp_path: Path) -> None:
    with served(tmp_path, asked_by_link) as server, closing(server.line()) as line:
        [(case_id,)] = server.rows("SELECT case_id FROM cases")
        links = SurveyLinks(survey_key(server.shell.state), f"http://127.0.0.1:{server.port}")
        link = urlsplit(links.link(Invitation(case_id, 1, datetime.now(UTC) + DAY, "de", None))).path
        line.request("GET", link)
        shown = line.getresponse().read().decode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        line.request("POST", link, "value=5&comment=Jetzt+geht+es", form)

        assert (line.getresponse().status, 'lang="de"' in shown) == (200, True)
        until(lambda: server.rows("SELECT outcome FROM cases") == [("recovered",)])
        until(lambda: any("Jetzt geht es" in str(e.after) for e in server.shell.firm.world.ledger))


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/survey/x", 404), ("/x", 404)])
def test_pages_are_answered_beside_webhooks(lasting: Served, path: str, status: int) -> None:
    with closing(lasting.line()) as line:
        line.request("GET", path)

        assert line.getresponse().status == status


def test_an_address_that_is_taken_is_said(lasting: Served, tmp_path: Path) -> None:
    shell = lasting.shell
    state = shell.env["BRIDGE_STATE_DIR"]
    shell.env["BRIDGE_STATE_DIR"] = str(tmp_path)
    said = shell(f"serve --port {lasting.port}")
    shell.env["BRIDGE_STATE_DIR"] = state

    assert said.code == 78
    taken = f"127.0.0.1 port {lasting.port}: cannot be listened on (Address already in use); try another --port"
    assert said.says(taken)


class Hasty(Deadlined):
    head_within = 0.05


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nX-Slow: ", b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 20_000])
def test_a_head_that_does_not_end_ends_the_connection(head: bytes) -> None:
    async def answers(_scope: object, _receive: object, send: Callable[..., Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def visit() -> bytes:
        config = uvicorn.Config(answers, log_config=None)  # type: ignore[arg-type]
        config.load()
        state = ServerState()
        door = await asyncio.get_running_loop().create_server(lambda: Hasty(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*door.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: bridge\r\n\r\n")
        said = await reader.readuntil(b"\r\n\r\n")
        writer.write(head or b"G")
        with suppress(ConnectionResetError):
            said += await reader.read()
        writer.close()
        door.close()
        return said

    assert asyncio.run(visit()).count(b"HTTP/1.1 204") == 1


def test_the_bell_tells_all_that_was_rung_for() -> None:
    bell = Bell()
    bell.ring("acme", NOW)
    bell.stir()
    bell.ring("shop", NOW)

    assert bell.wait(0) == [("acme", NOW), ("shop", NOW)]
    assert bell.wait(0) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_web_server_that_ends_by_itself_is_heard_of() -> None:
    fell, listening = threading.Event(), socket.create_server(("127.0.0.1", 0))
    listening.close()

    with web_server(web_app([], Counts()), listening, fell=fell.set):
        assert fell.wait(10)
