"""Freshdesk's rule that tells us of ratings: what `setup` does about it, and what `doctor` says of it."""

from __future__ import annotations

from typing import Any

import pytest
from freshdesk_account import Account, close_all
from memory import NOON

from bridge.connector import Finding, Level, SetupStep
from connectors.freshdesk import hooks
from connectors.freshdesk.webhook import BODY, HEADER, TITLE
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.freshdesk_rules import add
from connectors.sandbox.world import World
from tests.in_process import Call

HERE = "https://recovery.acme.example/hooks/shop"
GIVEN = "g" * 32
RULE = f"automation rule {TITLE}"
SECRET = f"secret of {RULE}, for its header {HEADER}: kept here"


class Shop:
    """A stand-in Freshdesk, and the connector of it with its memory."""

    def __init__(self) -> None:
        self.desk = FreshdeskDesk(World(NOON))
        self.account = self.connected()

    def connected(self, hooks_at: str | None = HERE, given: str | None = None) -> Account:
        memory = {"memory": self.account.memory} if hasattr(self, "account") else {}
        account = Account(url="http://localhost:1", hooks_at=hooks_at, hook_secret=given, **memory)
        account.http.mount("http://", Call(self.desk))
        return account

    def setup(self, hooks_at: str | None = HERE, given: str | None = None, **options: bool) -> list[SetupStep]:
        """Run setup and return its steps about the webhook."""
        steps = self.connected(hooks_at, given).freshdesk.setup(**options)
        return [step for step in steps if step.what.startswith((RULE, SECRET))]

    def doctor(self, hooks_at: str | None = HERE, given: str | None = None) -> list[Finding]:
        """Return what doctor says of the webhook."""
        found = self.connected(hooks_at, given).freshdesk.doctor()
        return [finding for finding in found if "of ratings" in finding.what]

    def kept(self) -> str | None:
        """Return the secret that setup keeps."""
        return self.account.memory.secrets.get("webhook_secret")

    def makes(self, secret: str | None, **action: Any) -> dict[str, Any]:
        """Let an admin follow our recipe, as far as *action* does; returns the rule."""
        headers = {} if secret is None else {HEADER: secret}
        hook = {"field_name": "trigger_webhook", "url": HERE, "request_type": "POST", "content_type": "JSON",
                "content_layout": "2", "custom_headers": headers, "content": BODY} | action  # fmt: skip
        events = [{"field_name": "customer_feedback"}]
        body = {"name": TITLE, "performer": {"type": 2}, "events": events, "actions": [hook]}
        return add(self.desk, 4, body).body


@pytest.fixture
def shop() -> Any:
    yield Shop()
    close_all()


# ------------------------------------------------------------------ setup
def test_setup_makes_a_secret_and_says_how_the_rule_is_made(shop: Shop) -> None:
    secret, rule = shop.setup()

    assert (secret.what, secret.state) == (SECRET, "created")
    assert secret.secret is not None
    assert (secret.secret.reveal(), hooks.why_weak(secret.secret.reveal())) == (shop.kept(), None)
    assert (rule.state, "there is none; add one, under Admin > " in rule.what) == ("by hand", True)
    for said in (
        "Ticket Updates",
        TITLE,
        "Requester",
        "Customer feedback",
        "Trigger webhook",
        "POST",
        HERE,
        HEADER,
        BODY,
    ):
        assert said in rule.what


def test_no_step_holds_the_secret_in_its_words(shop: Shop) -> None:
    kept = [shop.setup(), shop.setup()][1]

    assert [step.state for step in kept] == ["present", "by hand"]
    assert str(shop.kept()) not in "".join(map(repr, kept))


def test_a_secret_of_the_environment_needs_no_other(shop: Shop) -> None:
    [rule] = shop.setup(given=GIVEN)

    assert shop.kept() is None
    assert f"{HEADER}: (the one in the variable of this account that ends in _WEBHOOK_SECRET)" in rule.what
    assert GIVEN not in rule.what


def test_a_rule_made_by_our_recipe_is_all_there_is_to_do(shop: Shop) -> None:
    shop.setup()
    shop.makes(shop.kept())

    assert [step.state for step in shop.setup()] == ["present", "present"]


def test_a_dry_run_makes_no_secret(shop: Shop) -> None:
    assert [step.state for step in shop.setup(dry_run=True)] == ["missing", "by hand"]
    assert shop.kept() is None


def test_without_an_address_of_ours_there_is_nothing_to_do(shop: Shop) -> None:
    assert shop.setup(None) == shop.setup(None, remove=True) == shop.doctor(None) == []


def test_a_plan_without_automations_is_told_the_recipe_all_the_same(shop: Shop) -> None:
    shop.desk.missing_features.add("automations")

    assert [step.state for step in shop.setup()] == ["created", "by hand"]


def test_of_rules_that_cannot_be_read_none_is_said_to_be_removed(shop: Shop) -> None:
    shop.setup()
    shop.desk.missing_features.add("automations")

    [step] = shop.setup(remove=True)

    assert (step.state, "rules cannot be read; delete it under Admin" in step.what) == ("by hand", True)
    assert shop.kept() is None


def test_removing_takes_the_rule_and_forgets_the_secret(shop: Shop) -> None:
    shop.setup()
    shop.makes(shop.kept())
    before = len(shop.desk.rules)

    assert [step.state for step in shop.setup(None, remove=True, dry_run=True)] == ["present"]
    assert [step.state for step in shop.setup(None, remove=True)] == ["removed"]

    assert (len(shop.desk.rules), shop.kept()) == (before - 1, None)
    assert [step.state for step in shop.setup(remove=True)] == ["absent"]


def test_of_two_rules_of_our_name_none_is_removed(shop: Shop) -> None:
    shop.makes(GIVEN)
    shop.makes(GIVEN)

    [step] = shop.setup(remove=True)

    assert (step.state, "there are 2 of this name" in step.what) == ("by hand", True)
    assert [rule.name for rule in shop.desk.rules.values()].count(TITLE) == 2


# ------------------------------------------------------------------ doctor
def test_doctor_knows_a_rule_that_works(shop: Shop) -> None:
    shop.makes(GIVEN)

    [finding] = shop.doctor(given=f"older-{GIVEN},{GIVEN}")

    assert (finding.level, finding.what) == (Level.OK, f"the rule {TITLE!r} tells {HERE} of ratings")


def test_doctor_tells_the_recipe_where_there_is_no_rule(shop: Shop) -> None:
    shop.makes(GIVEN, url="https://other.example/hooks/shop")

    [finding] = shop.doctor()

    assert finding.what == "no rule tells us of ratings: ratings are found by polling alone"
    assert finding.todo.startswith("run recovery-bridge setup; then under Admin > ")
    assert f"{HEADER}: (what setup --show-secret shows)" in finding.todo


@pytest.mark.parametrize("content", [{"simple": True}, '{"id": {{ ticket.id }}}', BODY])
def test_every_content_that_names_the_ticket_will_do(shop: Shop, content: Any) -> None:
    shop.makes(GIVEN, content=content)

    assert shop.doctor(given=GIVEN)[0].level is Level.OK


@pytest.mark.parametrize(
    ("action", "rule", "what"),
    [
        ({}, {"active": False}, "is switched off"),
        ({}, {"performer": {"type": 1}}, "does not wait for requesters"),
        ({}, {"events": [{"field_name": "priority"}]}, "waits for no event that looks like a rating"),
        ({"request_type": "PUT"}, {}, "does not send by POST"),
        ({"content": '{"ticket_id": 7}'}, {}, "names no ticket in its content"),
        ({"custom_headers": {}}, {}, "brings no X-Bridge-Secret"),
        ({"custom_headers": {HEADER: "another"}}, {}, "brings a secret that is not known here"),
    ],
)
def test_doctor_says_what_a_rule_lacks(shop: Shop, action: dict[str, Any], rule: dict[str, Any], what: str) -> None:
    shop.makes(GIVEN, **action).update(rule)

    [finding] = shop.doctor(given=GIVEN)

    assert finding.what == f"the rule {TITLE!r} {what}: ratings are found by polling alone"
    assert (finding.level, GIVEN in finding.todo) == (Level.WARNING, False)


@pytest.mark.parametrize(
    "action", [{"custom_headers": {"x-bridge-SECRET": GIVEN}}, {"custom_headers": {HEADER: "********"}},
               {"custom_headers": {}, "auth_header": {"username": "b", "password": GIVEN}}],
)  # fmt: skip
def test_a_secret_may_come_as_a_password_or_be_hidden_from_us(shop: Shop, action: dict[str, Any]) -> None:
    shop.makes(GIVEN, **action)

    assert shop.doctor(given=GIVEN)[0].level is Level.OK


def test_doctor_names_a_rule_that_is_left_over(shop: Shop) -> None:
    shop.makes(GIVEN)

    [finding] = shop.doctor(None)

    assert (finding.level, "left over" in finding.what) == (Level.WARNING, True)
