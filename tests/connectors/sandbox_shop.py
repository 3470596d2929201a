"""A Freshdesk stand-in with a ticket, and a client with its key, for the tests of its HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.test import Client, TestResponse

from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.world import World

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Shop:
    """A desk with a ticket, and a client with its key."""

    def __init__(self, **options: Any) -> None:
        self.world = World(START)
        self.desk = FreshdeskDesk(self.world, "shop", api_key="key", **options)
        self.http = Client(self.desk)
        self.team = self.desk.add_group("Support")
        self.leads = self.desk.add_group("Leads", escalate_to=1)
        self.ann = int(self.desk.add_agent("Ann", "ann@shop.example", [self.team]))
        self.cora = self.desk.add_customer("Cora", "cora@mail.example", tags=["vip"], organization="Acme")
        self.ticket_id = self.open("Lamp", assignee=str(self.ann), group=self.team)
        self.world.mails.clear()

    def open(self, subject: str, **details: Any) -> int:
        return int(self.desk.open_ticket(self.cora, subject, "Please help", **details))

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
        options.setdefault("auth", ("key", "X"))
        sent = {} if body is None else {"json": body}
        return self.http.open(f"/api/v2{path}", method=method, **sent, **options)

    def get(self, path: str) -> Any:
        return self.call("GET", path).json

    def put(self, body: Any) -> TestResponse:
        return self.call("PUT", f"/tickets/{self.ticket_id}", body)

    def after(self, step: timedelta) -> None:
        self.world.clock.advance(step)
        self.desk.pass_time(step)

    def mails(self) -> list[tuple[str, str]]:
        return [(mail.kind, mail.to) for mail in self.world.mails]


def first_error(response: TestResponse) -> tuple[int, str, str]:
    body: Any = response.json
    return response.status_code, body["errors"][0]["field"], body["errors"][0]["code"]
