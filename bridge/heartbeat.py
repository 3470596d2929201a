"""Signs of life: to systemd by sd_notify, with a watchdog that progress feeds, and to a dead man's switch by a ping.

Nothing here beats by itself: whoever works asks `Heartbeat.beat` at each item, so that a worker that hangs is noticed,
and systemd starts it anew. The protocol: sd_notify(3), sd_watchdog_enabled(3); names that begin with @ are sockets in
Linux's abstract namespace. The ping is what healthchecks.io and its like take: a GET after each good pass, and the same
address with /fail after a bad one.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

from bridge.connector import Secret

log = logging.getLogger(__name__)

PING_EVERY = 60.0  # seconds
PING_WITHIN = 10.0
TIMEOUT = (4.0, 5.0)  # seconds to connect, seconds between two bytes


class Heartbeat:
    """Tells the service manager how we are; nothing where there is none."""

    def __init__(self, env: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._address = env.get("NOTIFY_SOCKET", "")
        self._clock, self._next_at = clock, 0.0
        usec = env.get("WATCHDOG_USEC", "")
        is_ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every = int(usec) / 1_000_000 / 4 if usec.isdecimal() and is_ours else None  # seconds; four in its time

    def ready(self) -> None:
        """Say that the work begins."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """Say in one line how it goes: `systemctl status` shows it."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def stopping(self) -> None:
        """Say that we are about to end."""
        self._tell("STOPPING=1")

    def beat(self) -> None:
        """Feed the watchdog, if its time has come: something was done, or we wait on purpose."""
        if self._every is not None and (now := self._clock()) >= self._next_at:
            self._next_at = now + self._every
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setblocking(False)  # it may be busy; its word counts, not ours
            manager.sendto(message.encode(), address)


class DeadMansSwitch:
    """Pings an address after each pass, at most once a minute and beside the work: it can neither delay nor fail it."""

    def __init__(self, url: Secret | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._next_at = 0.0
        self._ping: Thread | None = None

    def passed(self, *, well: bool) -> None:
        """Ping after a pass."""
        if self._url is None or self._clock() < self._next_at:
            return
        self._next_at = self._clock() + PING_EVERY
        self._ping = Thread(target=_ping, args=(self._url, well), name="ping", daemon=True)
        self._ping.start()

    def close(self) -> None:
        """Wait for a ping that is under way, but no longer than PING_WITHIN."""
        if self._ping:
            self._ping.join(PING_WITHIN)


def _ping(url: Secret, well: bool) -> None:
    """Send one ping. Its address is a secret: whoever knows it can keep the switch quiet."""
    import requests

    try:
        with requests.get(
            _address(url, well), timeout=TIMEOUT, allow_redirects=False, stream=True,
            headers={"User-Agent": "recovery-bridge"},
        ) as answer:  # fmt: skip
            why = "" if answer.status_code < 300 else f"answered {answer.status_code}"
    except (requests.RequestException, ValueError) as exc:
        why = type(exc).__name__
    if why:
        log.warning("the ping of BRIDGE_PING_URL did not get through: %s", why)


def _address(url: Secret, well: bool) -> str:
    parts = urlsplit(url.reveal())
    return urlunsplit(parts if well else parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
