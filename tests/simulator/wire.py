"""The line between the bridge and the stand-in helpdesk, inside one process, with everything that goes wrong on it.

It is mounted on the session of an account, where requests would open a socket: what the bridge and both libraries do
above it is the production code. A write may land late: its client has timed out long ago when the helpdesk acts on it.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from connectors.sandbox.wsgi import LOGIN_PAGE, Api
from tests.in_process import environ_of
from tests.simulator.kernel import Fault, Kernel

LOST = ("lost before", "reset before", "lost after", "reset after")
ANSWERED = ("429 in seconds", "429 until a date", "500", "503", "502 after", "HTML")
READS_ONLY = ("truncated", "duplicated rows")
FAULTS = (*LOST, *ANSWERED, *READS_ONLY, "truncated write", "late")
TIMEOUT = 20.0  # seconds without an answer, as bridge.http waits
TICKET = re.compile(r"/tickets/(\d+)")
REASONS = {200: "OK", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Unavailable"}


@dataclass(frozen=True)
class Landed:
    """One write as it reached a ticket: what the ledger held when the ticket was read, and before and after it."""

    ticket_id: str
    process: str
    method: str
    path: str
    read: int  # the length of the ledger when this process last read the ticket
    before: int
    after: int
    body: Any


class Wire(BaseAdapter):  # type: ignore[misc]
    """Carries the requests of one process to one desk."""

    def __init__(self, line: Line, process: str) -> None:
        super().__init__()
        self.line, self.process = line, process

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Carry one request. Raises what requests raises, and Killed."""
        return self.line.carry(request, self.process)

    def close(self) -> None:
        """Nothing is open."""


class Line:
    """All requests of one seed to its desk; *visible_after* is how late ratings show up in Zendesk's lists."""

    def __init__(self, kernel: Kernel, desk: Api, visible_after: timedelta = timedelta()) -> None:
        self.kernel, self.desk, self.visible_after = kernel, desk, visible_after
        self.ledger = desk.world.ledger
        self.landed: list[Landed] = []
        self.counts: Counter[str] = Counter()
        self.writes = 0
        self._read: dict[tuple[str, str], int] = {}  # (process, ticket) -> length of the ledger

    def wire(self, process: str) -> Wire:
        """Return the adapter for the session of one process."""
        return Wire(self, process)

    def carry(self, request: requests.PreparedRequest, process: str) -> requests.Response:
        """Carry one request there and its answer back, unless something goes wrong."""
        method, path = str(request.method), urlsplit(str(request.url)).path
        boundary = self.kernel.step(f"{method} {path}: before")
        fault = self.kernel.schedule.fault(boundary, method, path) if boundary else None
        if fault:
            self.counts[fault.kind] += 1
            self.kernel.says(process, f"{method} {path}: {fault.kind} {fault.seconds or ''}")
        response = self._answer(request, process, fault)
        self._reads(request, response, process)
        self.kernel.step(f"{method} {path}: after")
        return response

    # -------------------------------------------------------------- there and back
    def _answer(self, request: requests.PreparedRequest, process: str, fault: Fault | None) -> requests.Response:
        kind = fault.kind if fault else ""
        if kind.endswith("before"):
            self._break(kind)
        if fault and kind == "late":
            since = {key: length for key, length in self._read.items() if key[0] == process}
            moment = self.kernel.now() + timedelta(seconds=fault.seconds)
            self.kernel.at(moment, lambda: self._land_late(request, process, since))
            self._break("lost")
        if fault and kind in ("500", "503", "HTML", "429 in seconds", "429 until a date"):
            return _response(request, *self._refusal(fault))
        status, headers, body = self._deliver(request, process, self._read)
        if kind.endswith("after") and kind != "502 after":
            self._break(kind)
        if kind == "502 after":
            return _response(request, 502, {}, b"")
        body = self._hidden(request, body)
        if kind == "duplicated rows":
            body = _repeated(body)
        if kind.startswith("truncated"):
            body = body[: len(body) // 2]
        return _response(request, status, headers, body)

    def _break(self, kind: str) -> None:
        """Lose the answer, at once or after the client has waited for it."""
        if kind.startswith("reset"):
            raise requests.ConnectionError("the connection broke")
        self.kernel.sleep(TIMEOUT)
        raise requests.ReadTimeout("no answer")

    def _refusal(self, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        match fault.kind:
            case "429 in seconds":
                return 429, {"Retry-After": str(int(fault.seconds))}, b'{"error": "TooManyRequests"}'
            case "429 until a date":
                until = self.desk.world.clock.now() + timedelta(seconds=fault.seconds)
                return 429, {"Retry-After": format_datetime(until, usegmt=True)}, b""
            case "HTML":
                return 200, {"Content-Type": "text/html"}, LOGIN_PAGE.encode()
        return int(fault.kind), {}, b""

    def _land_late(self, request: requests.PreparedRequest, process: str, read: dict[tuple[str, str], int]) -> None:
        status = self._deliver(request, process, read)[0]
        self.kernel.says("late", f"{request.method} {urlsplit(str(request.url)).path} lands: {status}")

    def _deliver(
        self, request: requests.PreparedRequest, process: str, read: Mapping[tuple[str, str], int]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Let the helpdesk act on a request, and note what a write did to tickets that were read before."""
        before = len(self.ledger)
        status, headers, body = _call(self.desk, request)
        if request.method == "GET" or "/oauth/" in str(request.url):
            return status, headers, body
        self.writes += 1
        sent = json.loads(request.body) if request.body else None
        path = urlsplit(str(request.url)).path
        for ticket_id, one in _written_to(path, sent):
            seen = read.get((process, ticket_id), before)
            self.landed.append(
                Landed(ticket_id, process, str(request.method), path, seen, before, len(self.ledger), one)
            )
            if status < 300:
                self._read[process, ticket_id] = len(self.ledger)  # its answer shows the ticket
        return status, headers, body

    def _reads(self, request: requests.PreparedRequest, response: requests.Response, process: str) -> None:
        if request.method != "GET" or response.status_code != 200:
            return
        parts = urlsplit(str(request.url))
        found = TICKET.search(parts.path)
        asked = ",".join(parse_qs(parts.query).get("ids", ())).split(",")
        for ticket_id in [found[1]] if found else asked:
            if not (found and parts.path.count("/") > 4):  # of its notes alone nothing is concluded about the ticket
                self._read[process, ticket_id] = len(self.ledger)

    # -------------------------------------------------------------- rows that come late
    def _hidden(self, request: requests.PreparedRequest, body: bytes) -> bytes:
        """Return an answer of Zendesk without the ratings that are too young to be seen."""
        if not self.visible_after or not body or request.method != "GET":
            return body
        if not (b'"satisfaction_ratings"' in body or b'"survey_responses"' in body):
            return body
        answer = json.loads(body)
        for name in ("satisfaction_ratings", "survey_responses"):
            if isinstance(answer, dict) and name in answer:
                seen = [row for row in answer[name] if self._is_visible(row)]
                self.counts["rating visible late"] += len(answer[name]) - len(seen)
                answer[name] = seen
        return json.dumps(answer).encode()

    def _is_visible(self, row: Mapping[str, Any]) -> bool:
        answers = [given.get("updated_at") or given.get("created_at") for given in row.get("answers", ())]
        changed_at = max(filter(None, answers), default=row.get("updated_at"))
        return not changed_at or datetime.fromisoformat(changed_at) <= self.desk.world.clock.now() - self.visible_after


def _call(desk: Api, request: requests.PreparedRequest) -> tuple[int, Mapping[str, str], bytes]:
    """Hand one request to the helpdesk."""
    said: list[Any] = []
    text = b"".join(desk(environ_of(request), lambda status, headers, exc=None: said.extend((status, headers))))
    return int(said[0][:3]), dict(said[1]), text


def _response(
    request: requests.PreparedRequest, status: int, headers: Mapping[str, str], body: bytes
) -> requests.Response:
    response = requests.Response()
    response.status_code, response.headers = status, CaseInsensitiveDict(headers)
    response.reason = REASONS.get(status, str(status))
    response.request, response.url, response.raw = request, str(request.url), io.BytesIO(body)
    return response


def _repeated(body: bytes) -> bytes:
    """Return an answer whose lists show their first row twice, as where a row moved between two pages."""
    answer = json.loads(body) if body else None
    lists: Sequence[Any] = [answer] if isinstance(answer, list) else list(answer.values()) if answer else []
    for rows in lists:
        if isinstance(rows, list) and rows and isinstance(rows[0], dict) and "id" in rows[0]:
            rows.append(rows[0])
    return json.dumps(answer).encode() if body else body


def _written_to(path: str, sent: Any) -> list[tuple[str, Any]]:
    """Return the tickets that a write means, each with what it says about it."""
    if path.endswith("/update_many"):
        return [(str(one["id"]), one) for one in sent["tickets"]]
    found = TICKET.search(path)
    return [(found[1], sent)] if found else []
