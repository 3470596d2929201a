"""Both stand-ins in a process of their own, with customers who rate and helpdesks that send webhooks when told to.

`python -m tests.bench.hooked` says the addresses, then takes one order a line on standard input: a JSON object of what
`Scene.play` takes; answers with one line each.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.freshdesk.hooks import SECRET_HEADER
from connectors.sandbox.company import API_KEY, STAFF
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.server import serve
from connectors.sandbox.world import Desk, Entry, World
from connectors.sandbox.zendesk import ZendeskDesk
from connectors.zendesk.hooks import SIGNATURE, SIGNED_AT

SIGNED_BY, SHARED = "bridge-signs-webhooks==", "3f1c0a9d7e5b42688f6d0c1b2a394857"
HIGH = 999_999_999  # calls per minute, the most that is believed; without any limit no header would name it
TEAM = 40  # agents who hold the tickets
AGO = timedelta(hours=2)
PATIENCE = 60.0  # seconds until what has not come is lost


def signed(account: str, body: bytes) -> dict[str, str]:
    """Return the headers with which this account's helpdesk sends a webhook now."""
    headers = {"Content-Type": "application/json"}
    if account == "shop":
        return headers | {SECRET_HEADER: SHARED}
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    mac = hmac.digest(SIGNED_BY.encode(), stamp.encode() + body, hashlib.sha256)
    return headers | {SIGNATURE: base64.b64encode(mac).decode(), SIGNED_AT: stamp}


class Ledger(list[Entry]):
    """The ledger of a world, which knows to the millisecond when each ticket got its note: desks keep whole seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[str, float] = {}

    def append(self, entry: Entry) -> None:
        """Keep one line."""
        super().append(entry)
        if entry.what == "private_note":
            self.noted[entry.ticket_id] = time.monotonic()


@dataclass
class Scene:
    """Two accounts whose tickets were solved before, and wait to be rated."""

    world: World
    desks: Mapping[str, Desk]
    ledger: Ledger
    waiting: dict[str, list[str]] = field(default_factory=dict)

    def prepare(self, account: str, count: int) -> None:
        """Let agents solve tickets of as many customers."""
        desk = self.desks[account]
        group = desk.add_group("Care")
        team = [desk.add_agent(f"Agent {n}", f"agent{n}@example.com", [group]) for n in range(TEAM)]
        tickets = self.waiting.setdefault(account, [])
        self.world.clock.advance(-AGO)
        for number in range(count):
            customer, agent = desk.add_customer(f"Customer {number}", f"c{number}@shop.example"), team[number % TEAM]
            tickets.append(desk.open_ticket(customer, "My order", "Where is it?", group=group))
            desk.assign(tickets[-1], agent, by=agent)
            desk.reply(tickets[-1], agent, "It is on its way.")
            desk.solve(tickets[-1], agent)
        self.world.clock.advance(AGO)

    def play(self, account: str, port: int, count: int, per_second: float) -> dict[str, Any]:
        """Let customers rate badly at a steady pace, each with a webhook; wait for the notes.

        Returns `took`: seconds from each rating to its note, and `calls` of the API in all.
        """
        desk, rated = self.desks[account], dict[str, float]()
        tickets, self.waiting[account] = self.waiting[account][:count], self.waiting[account][count:]
        self.ledger.noted, asked = {}, len(desk.requests)
        begun = time.monotonic()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as line:
            for number, ticket_id in enumerate(tickets):
                threading.Event().wait(begun + number / per_second - time.monotonic())
                desk.rate(ticket_id, "bad", "Nobody helped me")
                rated[ticket_id] = time.monotonic()
                send(line, account, ticket_id)
        noted, ends = self.ledger.noted, time.monotonic() + PATIENCE
        while len(noted) < len(rated) and time.monotonic() < ends:
            threading.Event().wait(0.1)
        took = [noted[ticket_id] - at for ticket_id, at in rated.items() if ticket_id in noted]
        calls = [call for call in desk.requests[asked:] if call.path != "/oauth/tokens"]
        return {"took": took, "calls": len(calls)}


def send(line: http.client.HTTPConnection, account: str, ticket_id: str) -> None:
    """Send a webhook; raises RuntimeError unless it is acknowledged."""
    body = json.dumps({"ticket_id": ticket_id}).encode()
    line.request("POST", f"/hooks/{account}", body, signed(account, body))
    answer = line.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"a webhook was answered {answer.status}")


def main(zendesk_csat: str, count: int) -> None:
    """Serve two accounts and play what standard input says."""
    world, ledger = World(), Ledger()
    world.ledger = ledger
    zendesk = ZendeskDesk(world, "acme", csat=zendesk_csat, rate_limit=HIGH, updates_per_minute=0)
    freshdesk = FreshdeskDesk(world, "shop", api_key=API_KEY, rate_limit=HIGH)
    scene = Scene(world, {"acme": zendesk, "shop": freshdesk}, ledger)
    for desk in scene.desks.values():
        for name, (email, group) in STAFF.items():
            desk.add_agent(name, email, [desk.add_group(group)])
    for account in scene.desks:
        scene.prepare(account, count)
    with serve(zendesk) as zendesk_url, serve(freshdesk) as freshdesk_url:
        print(json.dumps({"acme": zendesk_url, "shop": freshdesk_url}), flush=True)
        for order in sys.stdin:
            print(json.dumps(scene.play(**json.loads(order))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
