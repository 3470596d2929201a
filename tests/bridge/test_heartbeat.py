"""Signs of life: real datagrams to a service manager, fed by progress alone, and pings that cost the work nothing."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from werkzeug import Request, Response

from bridge.connector import Secret
from bridge.heartbeat import DeadMansSwitch, Heartbeat
from connectors.sandbox.server import serve


class Manager:
    """A service manager that listens on a socket of its own."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Return what was said since the last time."""
        said = []
        while True:
            try:
                said.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return said


@contextmanager
def listening(address: str) -> Iterator[Manager]:
    manager = Manager(address)
    try:
        yield manager
    finally:
        manager.socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    path = str(tmp_path / "notify")
    with listening(path) as found:
        yield found, path


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


# ------------------------------------------------------------------ systemd
def test_what_happens_is_told_to_the_service_manager(manager: tuple[Manager, str]) -> None:
    heart = Heartbeat({"NOTIFY_SOCKET": manager[1]})

    heart.ready()
    heart.status("all is\nwell")
    heart.stopping()

    assert manager[0].heard() == ["READY=1", "STATUS=all is well", "STOPPING=1"]


def test_a_socket_without_a_file_is_reached_too() -> None:
    name = f"recovery-bridge-test-{os.getpid()}"
    with listening(f"\0{name}") as manager:
        Heartbeat({"NOTIFY_SOCKET": f"@{name}"}).ready()

        assert manager.heard() == ["READY=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens-here", "vsock:2:1", "/" + "x" * 300])
def test_without_a_service_manager_nothing_happens(address: str) -> None:
    heart = Heartbeat({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})

    heart.ready()
    heart.beat()


def test_a_manager_that_does_not_listen_cannot_stop_the_work(manager: tuple[Manager, str]) -> None:
    heart = Heartbeat({"NOTIFY_SOCKET": manager[1]})

    for _ in range(2_000):  # more than its socket holds
        heart.ready()

    assert 0 < len(manager[0].heard()) < 2_000


def test_the_watchdog_is_fed_by_progress_and_not_more_often_than_needed(manager: tuple[Manager, str]) -> None:
    clock = Clock()
    heart = Heartbeat({"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "40000000"}, clock)

    for clock.seconds in range(100, 140):
        heart.beat()

    assert manager[0].heard() == ["WATCHDOG=1"] * 4


def test_a_worker_that_hangs_does_not_beat(manager: tuple[Manager, str]) -> None:
    clock = Clock()
    heart = Heartbeat({"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "40000000"}, clock)
    heart.beat()
    manager[0].heard()

    clock.seconds += 3600

    assert manager[0].heard() == []


@pytest.mark.parametrize("env", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}])
def test_a_watchdog_that_is_not_ours_is_not_fed(manager: tuple[Manager, str], env: dict[str, str]) -> None:
    Heartbeat({"NOTIFY_SOCKET": manager[1], **env}).beat()

    assert manager[0].heard() == []


# ------------------------------------------------------------------ the dead man's switch
class Pinged:
    """Whoever waits for pings; answers once it is let."""

    def __init__(self, status: int = 200) -> None:
        self.paths: list[str] = []
        self.status, self.may_answer = status, Event()
        self.may_answer.set()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.paths.append(Request(environ).full_path.rstrip("?"))
        self.may_answer.wait(5)
        return Response(status=self.status)(environ, start_response)


def test_a_good_pass_and_a_bad_one_are_told_apart() -> None:
    pinged, clock = Pinged(), Clock()
    with serve(pinged) as url:
        switch = DeadMansSwitch(Secret(f"{url}/uuid/?rid=1"), clock)
        for well in (True, False):
            switch.passed(well=well)
            switch.close()
            clock.seconds += 60

    assert pinged.paths == ["/uuid/?rid=1", "/uuid/fail?rid=1"]


def test_it_is_pinged_once_a_minute_at_most() -> None:
    pinged, clock = Pinged(), Clock()
    with serve(pinged) as url:
        switch = DeadMansSwitch(Secret(url), clock)
        for clock.seconds in range(100, 280, 5):
            switch.passed(well=True)
            switch.close()

    assert len(pinged.paths) == 3


def test_whoever_does_not_answer_delays_nothing() -> None:
    pinged = Pinged()
    pinged.may_answer.clear()
    with serve(pinged) as url:
        switch = DeadMansSwitch(Secret(url))
        switch.passed(well=True)  # comes back at once, or this test waits for itself

        pinged.may_answer.set()
        switch.close()

    assert len(pinged.paths) == 1


@pytest.mark.parametrize("where", ["http://127.0.0.1:9/secret-uuid", "nonsense secret-uuid", "http://[secret-uuid"])
def test_a_ping_that_fails_is_a_warning_without_the_address(where: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        switch = DeadMansSwitch(Secret(where))
        switch.passed(well=True)
        switch.close()

    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("the ping of BRIDGE_PING_URL did not get through: ")
    assert "secret-uuid" not in caplog.text


def test_without_an_address_nobody_is_pinged() -> None:
    switch = DeadMansSwitch(None)

    switch.passed(well=True)
    switch.close()
