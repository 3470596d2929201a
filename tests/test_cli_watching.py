"""What `run` shows of itself: a textfile for Prometheus, pings, and its word to the service manager."""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import SINCE, Shell, shell_beside_a_company
from prometheus_client.parser import text_string_to_metric_families
from werkzeug import Request, Response

from bridge.cli.shell import Stop
from connectors.sandbox.server import serve
from connectors.sandbox.world import Fault

SECRET = "0f1e2d3c-switch"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_beside_a_company(tmp_path) as found:
        yield found


class Pinged:
    """Whoever waits for pings."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.paths.append(Request(environ).path)
        return Response("ok")(environ, start_response)


def figures(path: Path) -> Mapping[tuple[str, str], float]:
    """Return what Prometheus reads from a file, by name and account: the sum over all other labels."""
    found: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        for one in family.samples:
            found[one.name, one.labels.get("account", "")] += one.value
    return found


def test_a_run_writes_for_prometheus_what_it_did(shell: Shell, tmp_path: Path) -> None:
    shell.rate("acme")
    path = tmp_path / "bridge.prom"

    assert shell("run --once", *SINCE, "--textfile", str(path)).code == 0

    found = figures(path)
    assert found["recovery_bridge_cases_open", "acme"] == 1
    assert found["recovery_bridge_last_success_timestamp", "shop"] > 0
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_helpdesk_that_cannot_be_reached_does_not_stop_what_is_shown(shell: Shell, tmp_path: Path) -> None:
    shell.firm.zendesk.faults.append(Fault("status", status=403, times=99))
    pinged, path = Pinged(), tmp_path / "bridge.prom"
    with serve(pinged) as url:
        shell.env["BRIDGE_PING_URL"] = f"{url}/{SECRET}"

        said = shell("run --once", "--textfile", str(path))

    assert said.code == 77
    assert figures(path)["recovery_bridge_last_success_timestamp", "shop"] > 0
    assert ("recovery_bridge_last_success_timestamp", "acme") not in figures(path)
    assert pinged.paths == [f"/{SECRET}/fail"]


def test_a_good_run_pings_by_an_address_that_nobody_reads_in_a_log(shell: Shell, tmp_path: Path) -> None:
    pinged = Pinged()
    with serve(pinged) as url:
        secret = tmp_path / "ping_url"
        secret.write_text(f"{url}/{SECRET}\n")
        secret.chmod(0o600)
        shell.env["BRIDGE_PING_URL_FILE"] = str(secret)

        well = shell("run --once")
    nobody = shell("run --once")

    assert (well.code, nobody.code) == (0, 0)
    assert pinged.paths == [f"/{SECRET}"]
    assert nobody.says("the ping of BRIDGE_PING_URL did not get through: ConnectionError")
    assert not well.says(SECRET)
    assert not nobody.says(SECRET)


def test_a_textfile_that_cannot_be_written_is_said_and_costs_no_run(shell: Shell, tmp_path: Path) -> None:
    said = shell("run --once", "--textfile", str(tmp_path / "missing" / "bridge.prom"))

    assert said.code == 0
    assert said.says("bridge.prom: cannot be written (No such file or directory)")


def test_a_loop_tells_the_service_manager_how_it_is_until_it_is_told_to_stop(shell: Shell, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        shell.env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000"}
        loop = shell.start("run --every 3600")

        said: list[str] = []
        while not said or not said[-1].startswith("STATUS="):
            said.append(manager.recv(4096).decode())
        waiting = [manager.recv(4096).decode() for _ in range(2)]  # it goes on while it waits
        loop.send_signal(signal.SIGTERM)
        said_last = shell.wait(loop)
        while said[-1] != "STOPPING=1":
            said.append(manager.recv(4096).decode())

    assert said_last.code == 0
    assert "READY=1" in said[:3]
    assert waiting == ["WATCHDOG=1"] * 2
    assert any(line.endswith("Z: all is well") for line in said)


def test_a_run_that_hangs_stops_beating(shell: Shell, tmp_path: Path) -> None:
    asked, answer = threading.Event(), threading.Event()
    shell.firm.zendesk.faults.append(Fault("slow"))
    shell.firm.zendesk.sleep = lambda _seconds: (asked.set(), answer.wait(30))  # type: ignore[assignment,return-value]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        shell.env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000"}
        run = shell.start("run --once")
        assert asked.wait(30)
        said = heard(manager, 0.1)

        hanging = heard(manager, 0.5)
        answer.set()

        shell.wait(run)
        assert (said[-1], hanging) == ("READY=1", [])
        assert "WATCHDOG=1" in heard(manager, 0.1)


def heard(manager: socket.socket, seconds: float) -> list[str]:
    """Return what is said until nobody has said anything for so long."""
    manager.settimeout(seconds)
    said = []
    with suppress(TimeoutError):
        while True:
            said.append(manager.recv(4096).decode())
    return said


# ------------------------------------------------------------------ waiting
def test_waiting_on_purpose_is_progress() -> None:
    asked: list[bool] = []
    stop = Stop(on_progress=lambda: asked.append(True))

    stop.sleep(0.001)

    assert len(asked) >= 2  # before and after


def test_whoever_is_told_to_stop_waits_no_longer() -> None:
    stop = Stop()
    stop.event.set()

    stop.sleep(3600)

    assert stop.asked()
