"""The HTTP under both stand-ins: kept connections, ordered faults, the log and the remote control."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from werkzeug import Response
from werkzeug.routing import Rule
from werkzeug.test import Client

from connectors.sandbox.server import serve
from connectors.sandbox.world import Fault, Mail, World
from connectors.sandbox.wsgi import Api, Call, Refusal, answer, route

START = datetime(2026, 11, 21, 9, tzinfo=UTC)


class Kiosk(Api):
    """A vendor with one path, which counts."""

    suffix = ".json"
    count = 0
    passed = timedelta()

    def routes(self) -> Iterable[Rule]:
        return [route("GET POST", "/count/<int:step>", self.add)]

    def add(self, call: Call, step: int) -> Response:
        if step > 100:
            raise Refusal(422, {"error": "too many"}, {"X-Why": "greed"})
        self.count += step
        return answer({"count": self.count, "sent": call.sent})

    def pass_time(self, step: timedelta) -> None:
        self.passed += step

    def rate(self, ticket_id: str, category: str) -> str:
        return f"{ticket_id} is {category}"


@pytest.fixture
def kiosk() -> Kiosk:
    return Kiosk(World(START), "kiosk")


@pytest.fixture
def url(kiosk: Kiosk) -> Iterator[str]:
    with serve(kiosk) as base:
        yield base


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def test_a_path_is_found_with_and_without_its_suffix(url: str, http: requests.Session) -> None:
    assert http.get(url + "/count/1").json()["count"] == 1
    assert http.get(url + "/count/1.json").json()["count"] == 2


def test_a_connection_is_kept_for_the_next_request(url: str, http: requests.Session) -> None:
    for _ in range(3):
        http.post(url + "/count/1", json={"a": "ä" * 2000})

    adapter: Any = http.adapters["http://"]
    pools = adapter.poolmanager.pools
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 (it is no dict)


def test_the_date_is_the_date_of_the_world(url: str, http: requests.Session) -> None:
    assert http.get(url + "/count/1").headers["Date"] == "Sat, 21 Nov 2026 09:00:00 GMT"


def test_a_refusal_has_status_body_and_headers(url: str, http: requests.Session) -> None:
    refused = http.get(url + "/count/101")

    assert (refused.status_code, refused.json(), refused.headers["X-Why"]) == (422, {"error": "too many"}, "greed")


def test_an_unknown_path_and_an_unknown_method_are_refused(url: str, http: requests.Session) -> None:
    assert http.get(url + "/nothing").status_code == 404
    assert http.delete(url + "/count/1").status_code == 405


def test_a_bug_of_the_sandbox_is_a_500_and_not_a_hang(
    kiosk: Kiosk, url: str, http: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    kiosk.count = "no number"  # type: ignore[assignment]

    assert http.get(url + "/count/1").status_code == 500
    assert "TypeError" in caplog.text


@pytest.mark.parametrize(("kind", "count"), [("reset", 0), ("lost", 5)])
def test_a_broken_connection_before_or_after_the_work(
    kiosk: Kiosk, url: str, http: requests.Session, kind: str, count: int
) -> None:
    kiosk.faults.append(Fault(kind))

    with pytest.raises(requests.ConnectionError):
        http.post(url + "/count/5", json={})

    assert kiosk.count == count
    assert [seen.status for seen in kiosk.requests] == [0]


@pytest.mark.parametrize("kind", ["reset", "lost"])
def test_in_process_a_broken_connection_is_an_exception(kiosk: Kiosk, kind: str) -> None:
    kiosk.faults.append(Fault(kind))

    with pytest.raises(ConnectionResetError):
        Client(kiosk).get("/count/5")


def test_a_fault_waits_for_its_path_and_method_and_is_used_up(kiosk: Kiosk, url: str, http: requests.Session) -> None:
    kiosk.faults.append(Fault("status", path="/count/2", method="POST", status=503, headers={"Retry-After": "7"}))

    assert http.get(url + "/count/2").status_code == 200
    assert http.post(url + "/count/2").headers["Retry-After"] == "7"
    assert http.post(url + "/count/2").status_code == 200
    assert kiosk.count == 4


def test_a_login_page_instead_of_the_work(kiosk: Kiosk, url: str, http: requests.Session) -> None:
    kiosk.faults.append(Fault("html"))

    page = http.get(url + "/count/1")

    assert (page.status_code, page.headers["Content-Type"], kiosk.count) == (200, "text/html; charset=utf-8", 0)


def test_truncated_json_after_the_work(kiosk: Kiosk, url: str, http: requests.Session) -> None:
    kiosk.faults.append(Fault("truncated"))

    with pytest.raises(requests.JSONDecodeError):
        http.get(url + "/count/1").json()

    assert kiosk.count == 1


def test_a_slow_answer_waits_as_long_as_it_was_told(kiosk: Kiosk) -> None:
    waited: list[float] = []
    kiosk.sleep = waited.append
    kiosk.faults.append(Fault("slow", seconds=30))

    assert Client(kiosk).get("/count/1").status_code == 200
    assert waited == [30]


def test_every_request_is_logged_with_its_body(kiosk: Kiosk, url: str, http: requests.Session) -> None:
    http.post(url + "/count/1?why=not", json={"a": 1})

    seen = kiosk.requests[0]
    assert (seen.at, seen.method, seen.path, seen.query, seen.body, seen.status) == (
        START, "POST", "/count/1", "why=not", {"a": 1}, 200,
    )  # fmt: skip


def test_another_process_reads_mail(kiosk: Kiosk, url: str, http: requests.Session) -> None:
    kiosk.world.mails.append(Mail(START, "kiosk", "ann@example.com", "reply", "1"))

    mails = http.get(url + "/_sandbox/mails").json()["mails"]

    assert (mails[0]["to"], mails[0]["at"]) == ("ann@example.com", START.isoformat())
    assert kiosk.requests == []


def test_another_process_moves_the_clock_of_all_desks(kiosk: Kiosk, url: str, http: requests.Session) -> None:
    neighbour = Kiosk(kiosk.world, "neighbour")
    kiosk.neighbours = [neighbour]

    http.post(url + "/_sandbox/clock", json={"advance": 60})
    now = http.post(url + "/_sandbox/clock", json={"set": "2026-11-21T10:00:00Z"}).json()["now"]

    assert now == "2026-11-21T10:00:00+00:00"
    assert kiosk.passed == neighbour.passed == timedelta(hours=1)


def test_another_process_lets_people_act(url: str, http: requests.Session) -> None:
    wish: dict[str, Any] = {"verb": "rate", "args": {"ticket_id": "1", "category": "bad"}}

    assert http.post(url + "/_sandbox/do", json=wish).json() == {"result": "1 is bad"}
    assert http.post(url + "/_sandbox/do", json={"verb": "__init__"}).status_code == 404


def test_another_process_orders_faults(url: str, http: requests.Session) -> None:
    http.post(url + "/_sandbox/faults", json=[{"kind": "status", "status": 502}])

    assert http.get(url + "/count/1").status_code == 502
