"""From `setup` to the recovered ticket: a customer rates, the helpdesk sends its webhook, and the work begins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bridge.app import App
from bridge.rules import Rules
from bridge.store import Store
from bridge.web import web_app
from bridge.web.counts import Counts
from bridge.web.hooks import Hooks, doors_of
from bridge.web.keeping import Keeper
from connectors.freshdesk.webhook import BODY, HEADER
from connectors.sandbox.company import RULES, Company
from connectors.sandbox.courier import Webhook
from connectors.sandbox.freshdesk_rules import add
from tests.bridge.stories import MONDAY, WHOLE_SHARE
from tests.in_process import company
from tests.web.test_hooks import call

SERVED_AT = "https://recovery.acme.example"


class Service:
    """A company, its bridge after `setup`, and the part of `serve` that takes webhooks in."""

    def __init__(self, firm: Company, app: App, rules: Rules, keeper: Keeper) -> None:
        self.firm, self.app, self.counts = firm, app, Counts()
        self.hooks = Hooks({}, keeper, self.counts, firm.now, lambda: doors_of(rules, firm.env))
        self.server = web_app([self.hooks.routes()], self.counts)
        self.answers: list[int] = []
        for desk in firm.desks.values():
            desk.send = self.carry  # type: ignore[attr-defined]

    def carry(self, webhook: Webhook) -> int:
        """Bring a webhook to where its address leads."""
        headers = {name.lower(): value for name, value in webhook.headers.items()}
        status, _, _ = asyncio.run(call(self.server, urlsplit(webhook.url).path, headers, [webhook.body]))
        self.answers.append(status)
        return status

    def setup(self, account: str) -> None:
        """Run setup, and follow the recipe where it leaves something to people."""
        steps = list(self.app.engine.desks[account].setup())
        if account == "shop":
            [secret] = [step.secret.reveal() for step in steps if step.secret]
            hook = {"field_name": "trigger_webhook", "url": f"{SERVED_AT}/hooks/shop", "request_type": "POST",
                    "content_type": "JSON", "content_layout": "2", "custom_headers": {HEADER: secret},
                    "content": BODY}  # fmt: skip
            rule = {"name": "told", "performer": {"type": 2}, "events": [{"field_name": "customer_feedback"}]}
            add(self.firm.freshdesk, 4, rule | {"actions": [hook]})

    def notes(self, ticket_id: str) -> int:
        """Return how many private notes a ticket has."""
        return sum(e.what == "private_note" and e.ticket_id == ticket_id for e in self.firm.world.ledger)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    text = RULES.read_text(encoding="utf-8").replace(*WHOLE_SHARE)
    with company(MONDAY, tmp_path) as firm:
        rules = firm.rules(text.replace("settings:\n", f"settings:\n  served_at: {SERVED_AT}\n", 1))
        store = Store.open(f"sqlite:///{tmp_path / 'bridge.db'}")
        with firm.bridge(rules) as app, closing(store), closing(Keeper(store, firm.now, lambda *_: None)) as keeper:
            app.run()
            yield Service(firm, app, rules, keeper)


@pytest.mark.parametrize("account", ["acme", "shop"])
def test_after_setup_a_bad_rating_is_told_believed_and_followed(service: Service, account: str) -> None:
    service.setup(account)
    ticket_id = service.firm.solved_ticket(account, "Ana", "Mia Maier")

    service.firm.desks[account].rate(ticket_id, "bad", "Nobody helped me")
    service.firm.pass_time(timedelta(seconds=5))
    service.app.follow(account)

    assert service.answers == [200]
    assert service.counts.get("webhooks_total", outcome="kept", account=account) == 1
    assert service.notes(ticket_id) == 1


def test_doctor_hears_that_zendesk_reaches_us_and_no_hint_comes_of_it(service: Service) -> None:
    service.setup("acme")

    told = [finding.what for finding in service.app.engine.desks["acme"].doctor()]

    assert "a test that Zendesk sent arrived: our service answered 200" in told
    assert service.counts.get("webhooks_total", outcome="no_ticket", account="acme") == 1


def test_after_setup_has_removed_the_webhook_nothing_is_told(service: Service) -> None:
    service.setup("acme")
    list(service.app.engine.desks["acme"].setup(remove=True))
    ticket_id = service.firm.solved_ticket("acme", "Ana", "Mia Maier")

    service.firm.desks["acme"].rate(ticket_id, "bad", "Nobody helped me")

    assert service.answers == []
    assert doors_of(service.app.rules, service.firm.env) == {}
