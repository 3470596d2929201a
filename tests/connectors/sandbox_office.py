"""A stand-in Zendesk account with a few people and one ticket, for the tests of the stand-in itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.test import Client, TestResponse

from connectors.sandbox.world import World
from connectors.sandbox.zendesk import ZendeskDesk

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
BASIC = ("bridge@acme.example/token", "bridge-api-token")


class Office:
    """A desk with a group, two agents, a customer and one ticket, and short words for its API."""

    def __init__(self, **options: Any) -> None:
        self.world = World(START)
        self.desk = ZendeskDesk(self.world, **options)
        self.billing = self.desk.add_group("Billing")
        self.sales = self.desk.add_group("Sales")
        self.ann = self.desk.add_agent("Ann", "ann@acme.example", [self.billing])
        self.bob = self.desk.add_agent("Bob", "bob@acme.example", [self.sales, self.billing])
        self.cy = self.desk.add_customer("Cy", "cy@example.com")
        self.ticket = self.desk.open_ticket(self.cy, "Help", "It is broken", group=self.billing, tags=["printer"])
        self.client = Client(self.desk)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open("/api/v2" + path, method=method, json=body, auth=BASIC, headers=names)

    def put(self, ticket_id: str | None = None, **wish: Any) -> TestResponse:
        return self.call("PUT", f"/tickets/{ticket_id or self.ticket}", {"ticket": wish})

    def shown(self, ticket_id: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/tickets/{ticket_id or self.ticket}").json["ticket"]
        return found

    def solved(self) -> None:
        self.desk.assign(self.ticket, self.ann, self.ann)
        self.desk.solve(self.ticket, self.ann)
        self.passes(MINUTE)

    def closed(self) -> None:
        self.solved()
        self.passes(97 * HOUR)

    def passes(self, step: timedelta) -> None:
        self.world.clock.advance(step)
        self.desk.pass_time(step)

    def mails(self) -> list[tuple[str, str]]:
        return [(mail.to.split("@")[0], mail.kind) for mail in self.world.mails]
