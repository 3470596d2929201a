"""A made-up company with a Zendesk and a Freshdesk account, and Recovery Bridge beside them.

The demo tells its week here, and the tests of the engine tell their stories here: real connectors, real HTTP on
loopback, one clock for everybody. Sleeping moves that clock.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from werkzeug import Request, Response

from bridge.app import App, open_app
from bridge.rules import Rules, check
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.server import serve
from connectors.sandbox.world import Desk, World
from connectors.sandbox.zendesk import ZendeskDesk

RULES = Path(__file__).with_name("company_rules.yaml")
API_KEY = "sandbox-key"
_check = functools.lru_cache(maxsize=64)(check)  # stories tell of the same rules again and again
NOWHERE = {"acme": "http://localhost:1", "shop": "http://localhost:2"}

# name -> (mail, group); the same people on both desks
STAFF = {
    "Ana": ("ana@example.com", "Care"),
    "Cem": ("cem@example.com", "Care"),
    "Ben": ("ben@example.com", "Team Leads"),
    "Zoe": ("zoe@example.com", "Supervisors"),
}


class Chat:
    """The staff's chat, as a webhook sees it: keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Take one message."""
        self.posted.append(Request(environ).get_json())
        return Response("ok")(environ, start_response)


@dataclass
class Company:
    """Two desks, their people by name, and what the bridge needs to know to reach them."""

    world: World
    zendesk: ZendeskDesk
    freshdesk: FreshdeskDesk
    urls: dict[str, str]
    env: dict[str, str]
    chat: Chat
    agents: dict[tuple[str, str], str] = field(default_factory=dict)  # (desk, name) -> id
    groups: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def desks(self) -> dict[str, Desk]:
        """The desks by the names that rules.yaml gives their accounts."""
        return {"acme": self.zendesk, "shop": self.freshdesk}

    def now(self) -> datetime:
        """Return the time that everybody here believes in."""
        return self.world.clock.now()

    def pass_time(self, step: timedelta) -> None:
        """Move the clock on, and let the accounts' own automations do what they do."""
        self.world.clock.advance(step)
        for desk in self.desks.values():
            desk.pass_time(step)

    def sleep(self, seconds: float) -> None:
        """Let somebody wait."""
        self.pass_time(timedelta(seconds=seconds))

    def hire(self, account: str, name: str, email: str, group: str) -> str:
        """Add an agent to a group of a desk, which is made if it is new."""
        desk = self.desks[account]
        if (account, group) not in self.groups:
            self.groups[account, group] = desk.add_group(group)
        self.agents[account, name] = desk.add_agent(name, email, [self.groups[account, group]])
        return self.agents[account, name]

    def solved_ticket(
        self, account: str, agent: str, customer: str, *, takes: timedelta = timedelta(hours=1), **details: Any
    ) -> str:
        """Let a customer ask, an agent answer and solve; returns the ticket."""
        desk, agent_id = self.desks[account], self.agents[account, agent]
        tags = details.pop("customer_tags", [])
        subject = details.pop("subject", "My order")
        email = f"{customer.replace(' ', '.').lower()}@customer.example"
        customer_id = desk.add_customer(customer, email, tags=tags)
        group_id = self.groups[account, STAFF[agent][1]]
        ticket_id = desk.open_ticket(customer_id, subject, "Where is it?", group=group_id, **details)
        desk.assign(ticket_id, agent_id, by=agent_id)
        self.pass_time(takes / 2)
        desk.reply(ticket_id, agent_id, "It is on its way.")
        desk.solve(ticket_id, agent_id)
        self.pass_time(takes / 2)
        return ticket_id

    def rules(self, text: str | None = None, **replacements: str) -> Rules:
        """Return rules for these two accounts; *replacements* change lines of the settings, such as mode="shadow"."""
        text = text or RULES.read_text(encoding="utf-8")
        text = text.replace("ZENDESK_URL", self.urls["acme"]).replace("FRESHDESK_URL", self.urls["shop"])
        for key, value in replacements.items():
            lines = [f"  {key}: {value}" if line.startswith(f"  {key}: ") else line for line in text.splitlines()]
            text = "\n".join(lines) + "\n"
        rules, problems = _check(text)
        if rules is None:
            raise ValueError("\n".join(str(problem) for problem in problems))
        return rules

    @contextmanager
    def bridge(self, rules: Rules | None = None) -> Iterator[App]:
        """Open Recovery Bridge on this company's clock."""
        with open_app(rules or self.rules(), self.env, now=self.now, sleep=self.sleep) as app:
            yield app


def founded(start: datetime, state_dir: Path, *, seed: int = 1, **options: Any) -> Company:
    """Found the company at *start*, at addresses where nobody answers; *options* are those of the two desks."""
    world = World(start, seed)
    zendesk = ZendeskDesk(world, "acme", **options.get("zendesk", {}))
    freshdesk = FreshdeskDesk(world, "shop", api_key=API_KEY, **options.get("freshdesk", {}))
    env = {
        "BRIDGE_STATE_DIR": str(state_dir),
        "BRIDGE_ACME_CLIENT_ID": "bridge",
        "BRIDGE_ACME_CLIENT_SECRET": "bridge-secret",
        "BRIDGE_SHOP_API_KEY": API_KEY,
    }
    firm = Company(world, zendesk, freshdesk, dict(NOWHERE), env, Chat())
    for account in firm.desks:
        for name, (email, group) in STAFF.items():
            firm.hire(account, name, email, group)
    return firm


@contextmanager
def company(start: datetime, state_dir: Path, *, seed: int = 1, **options: Any) -> Iterator[Company]:
    """Found the company at *start* and serve its desks; *options* are theirs, such as zendesk={"csat": "new"}."""
    firm = founded(start, state_dir, seed=seed, **options)
    with ExitStack() as stack:
        firm.env["BRIDGE_SLACK_WEBHOOK"] = stack.enter_context(serve(firm.chat))
        for name, desk in firm.desks.items():
            firm.urls[name] = stack.enter_context(serve(desk))
        yield firm
