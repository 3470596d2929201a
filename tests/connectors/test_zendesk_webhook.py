"""Zendesk's webhook: how `setup` makes, mends and removes it, and what `doctor` says of it; beside the stand-in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from memory import NOON, DictMemory
from zendesk_account import connected

from bridge.connector import Finding, Level
from bridge.errors import CredentialsRefused
from connectors.sandbox.world import Fault, World
from connectors.sandbox.zendesk import ZendeskDesk
from connectors.sandbox.zendesk_webhooks import BY_TRIGGERS, PUBLIC_TEST_SECRET
from connectors.zendesk import hooks
from connectors.zendesk.webhook import EVENT, TITLE, webhook
from tests.in_process import Call

HERE = "https://recovery.acme.example/hooks/acme"
HOOK = f"webhook {TITLE}: tells {HERE} of ratings"
SECRET = f"secret of webhook {TITLE}: kept here, so that nobody need copy it"
LOGIN = {"email": "bridge@acme.example", "api_token": "bridge-api-token"}


class Account:
    """A stand-in Zendesk, and the connector of it with its memory."""

    def __init__(self) -> None:
        self.desk = ZendeskDesk(World(NOON))
        self.memory = DictMemory()
        self.hooks = self.desk.hooks

    def connected(self, hooks_at: str | None = HERE, **secrets: str) -> Any:
        zendesk: Any = connected(self.memory, url="http://localhost:1", hooks_at=hooks_at, **LOGIN, **secrets)
        zendesk.http.mount("http://", Call(self.desk))
        return zendesk

    def setup(self, hooks_at: str | None = HERE, **options: bool) -> list[tuple[str, str]]:
        """Run setup and return its steps about the webhook."""
        steps = [(step.what, step.state) for step in self.connected(hooks_at).setup(**options)]
        return [step for step in steps if "webhook" in step[0]]

    def doctor(self, hooks_at: str | None = HERE, **secrets: str) -> list[Finding]:
        """Return what doctor says of the webhook."""
        words = ("webhook", "deliveries", "test that")
        found = self.connected(hooks_at, **secrets).doctor()
        return [finding for finding in found if any(word in finding.what for word in words)]

    def makes(self, **changes: Any) -> str:
        """Let an admin make a webhook by hand, and return its id."""
        made = self.connected().http.write("POST", "/api/v2/webhooks", {"webhook": webhook(HERE) | changes})
        return str(made["webhook"]["id"])

    def written(self) -> list[str]:
        """Return every request that may have changed webhooks."""
        asked = [one for one in self.desk.requests if "/webhooks" in one.path and one.method != "GET"]
        return [f"{one.method} {one.path.removeprefix('/api/v2')}" for one in asked if "/test" not in one.path]


@pytest.fixture
def account() -> Account:
    return Account()


# ------------------------------------------------------------------ setup
def test_setup_makes_the_webhook_and_keeps_its_secret(account: Account) -> None:
    assert account.setup() == [(HOOK, "created"), (SECRET, "created")]

    [(webhook_id, row)] = account.hooks.rows.items()
    assert (row["endpoint"], row["subscriptions"], row["status"]) == (HERE, [EVENT], "active")
    assert account.memory.secrets == {"webhook_secret": account.hooks.secrets[webhook_id]}


def test_doing_it_again_changes_nothing(account: Account) -> None:
    account.setup()

    assert account.setup() == [(HOOK, "present"), (SECRET, "present")]
    assert account.written() == ["POST /webhooks"]


def test_without_an_address_of_ours_nobody_looks(account: Account) -> None:
    assert account.setup(None) == []
    assert not [one for one in account.desk.requests if "/webhooks" in one.path]


def test_a_dry_run_tells_what_is_missing_and_does_nothing(account: Account) -> None:
    assert account.setup(dry_run=True) == [(HOOK, "missing"), (SECRET, "missing")]
    account.makes(status="inactive")
    assert account.setup(dry_run=True) == [(HOOK, "differs"), (SECRET, "missing")]

    assert account.written() == ["POST /webhooks"]
    assert account.memory.secrets == {}


@pytest.mark.parametrize(
    "changes", [{"endpoint": "https://old.acme.example/hooks/acme"}, {"status": "inactive"},
                {"subscriptions": ["zen:event-type:ticket.created"]}],
)  # fmt: skip
def test_what_is_not_as_it_must_be_is_mended(account: Account, changes: dict[str, Any]) -> None:
    webhook_id = account.makes(**changes)

    assert account.setup() == [(HOOK, "changed"), (SECRET, "created")]

    row = account.hooks.rows[webhook_id]
    assert (row["endpoint"], row["subscriptions"], row["status"]) == (HERE, [EVENT], "active")


def test_a_webhook_that_a_trigger_sends_is_as_good(account: Account) -> None:
    webhook_id = account.makes(subscriptions=[BY_TRIGGERS])

    assert account.setup() == [(HOOK, "present"), (SECRET, "created")]
    assert account.memory.secrets["webhook_secret"] == account.hooks.secrets[webhook_id]


def test_a_secret_that_was_changed_in_zendesk_is_taken_over(account: Account) -> None:
    account.setup()
    [webhook_id] = account.hooks.rows
    account.hooks.secrets[webhook_id] = "another=="

    assert account.setup() == [(HOOK, "present"), (SECRET, "changed")]
    assert account.memory.secrets == {"webhook_secret": "another=="}


@pytest.mark.parametrize("remove", [False, True])
def test_two_of_our_name_stop_with_advice(account: Account, remove: bool) -> None:
    account.makes()
    account.makes()

    [(what, state)] = account.setup(remove=remove)

    assert (state, what.startswith(f"webhook {TITLE}: there are 2 with this name; delete all but one")) == (
        "stopped", True)  # fmt: skip
    assert len(account.hooks.rows) == 2


def test_where_the_event_is_not_known_people_are_told_what_to_do(account: Account) -> None:
    account.hooks.unknown_events.add(EVENT)

    [(what, state)] = account.setup()

    assert state == "by hand"
    for said in (f"{EVENT} is not an event type", HERE, '{"ticket_id": "{{ticket.id}}"}', "run setup again"):
        assert said in what


def test_who_may_not_read_the_secret_is_told_where_to_put_it(account: Account) -> None:
    account.makes()
    account.desk.faults.append(Fault("status", path="/signing_secret", status=403, body="{}"))

    [_, (what, state)] = account.setup()

    assert (state, "into the variable of this account that ends in _WEBHOOK_SECRET" in what) == ("by hand", True)


def test_the_public_test_secret_is_never_kept(account: Account) -> None:
    account.hooks.secrets[account.makes()] = PUBLIC_TEST_SECRET

    assert [state for _, state in account.setup()] == ["present", "by hand"]
    assert account.memory.secrets == {}


def test_credentials_that_are_refused_end_setup(account: Account) -> None:
    account.desk.faults.append(Fault("status", path="/webhooks", status=401, body="{}"))

    with pytest.raises(CredentialsRefused):
        account.setup()


def test_removing_takes_the_webhook_and_forgets_its_secret(account: Account) -> None:
    account.setup()
    other = account.makes(name="[recovery-bridge] Something else")

    assert account.setup(remove=True, dry_run=True) == [(f"webhook {TITLE}", "present")]
    assert account.setup(remove=True) == [(f"webhook {TITLE}", "removed")]

    assert list(account.hooks.rows) == [other]
    assert account.memory.secrets == {}
    assert account.setup(remove=True) == [(f"webhook {TITLE}", "absent")]


def test_one_that_is_left_over_can_be_removed_without_an_address(account: Account) -> None:
    account.setup()

    assert account.setup(None, remove=True) == [(f"webhook {TITLE}", "removed")]
    assert account.setup(None, remove=True) == []


# ------------------------------------------------------------------ doctor
def test_doctor_lets_zendesk_call_our_service(account: Account) -> None:
    account.setup()

    found = account.doctor()

    assert [finding.level for finding in found] == [Level.OK, Level.OK]
    [probe] = account.desk.webhooks
    [secret] = account.memory.secrets.values()
    headers = {name.lower(): value for name, value in probe.headers.items()}
    assert hooks.why_refused(headers, probe.body, [secret], NOON) is None
    assert hooks.ticket_of({"recovery_bridge": "doctor"}) is None  # so that nothing comes of it


def moved(account: Account) -> None:
    account.makes(endpoint="https://old.acme.example/hooks/acme")


def twice(account: Account) -> None:
    account.makes()
    account.makes()


WRONG: list[tuple[Callable[[Account], Any], str, str]] = [
    (lambda _: None, "no webhook tells us of ratings: ratings are found by polling", "run recovery-bridge setup"),
    (twice, f"there are 2 webhooks {TITLE!r}", "delete all but one"),
    (moved, "sends to another address, on old.acme.example: ratings", "run recovery-bridge setup"),
    (lambda account: account.makes(status="inactive"), "is not active", "run recovery-bridge setup"),
    (lambda account: account.makes(subscriptions=["zen:event-type:ticket.created"]), f"does not wait for {EVENT}",
     "run recovery-bridge setup"),
    (lambda account: account.makes(), "is not known here: all that it sends is refused", "run recovery-bridge setup"),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case[1])
def test_doctor_says_why_ratings_are_not_told_at_once(
    account: Account, case: tuple[Callable[[Account], Any], str, str]
) -> None:
    happens, what, todo = case
    happens(account)

    [finding] = account.doctor()

    assert (finding.level, what in finding.what, todo in finding.todo) == (Level.WARNING, True, True)
    assert account.desk.webhooks == []


def test_a_secret_of_the_environment_is_known_too(account: Account) -> None:
    secret = account.hooks.secrets[account.makes()]

    assert {finding.level for finding in account.doctor(webhook_secret=f"older==,{secret}")} == {Level.OK}


def test_doctor_names_a_webhook_that_is_left_over(account: Account) -> None:
    assert account.doctor(None) == []
    account.makes()

    [finding] = account.doctor(None)

    assert (finding.level, "left over" in finding.what) == (Level.WARNING, True)


def test_who_may_not_see_webhooks_needs_none_without_an_address(account: Account) -> None:
    account.desk.faults.append(Fault("status", path="/webhooks", status=403, body="{}", times=2))

    assert account.doctor(None) == []
    [finding] = account.doctor()
    assert finding.what.startswith("could not look at webhooks: ")


def ended(account: Account, status: str, code: int, ago: timedelta) -> None:
    """Let a delivery end so."""
    [(_, invocations)] = account.hooks.invocations.items()
    at = (NOON - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
    invocations.append({"id": f"{len(invocations)}", "status": status, "status_code": code, "latest_completed_at": at})


def test_doctor_tells_what_became_of_the_deliveries_of_a_day(account: Account) -> None:
    account.setup()
    for status, code, hours in (("terminated", 500, 30), ("terminated", 401, 2), ("success", 200, 1),
                                ("circuit broken", 0, 1), ("throttled", 0, 1), ("accepted", 0, 0)):  # fmt: skip
        ended(account, status, code, timedelta(hours=hours))

    found = {finding.what: finding.todo for finding in account.doctor() if "deliveries" in finding.what}

    assert list(found) == [
        "of 5 deliveries of the last day 1 ended as 'throttled'",
        "of 5 deliveries of the last day 1 ended as 'circuit broken'",
        "of 5 deliveries of the last day 1 ended as 'terminated' (401)",
        "of 5 deliveries of the last day 1 arrived",
    ]
    assert found["of 5 deliveries of the last day 1 ended as 'terminated' (401)"].startswith("see the log of serve")


@pytest.mark.parametrize(
    ("status", "todo"), [(401, "our service does not know the secret"), (404, "something else answers there"),
                         (0, "see that serve runs")],
)  # fmt: skip
def test_doctor_says_what_zendesk_was_answered(account: Account, status: int, todo: str) -> None:
    account.setup()
    account.desk.send = lambda _: status

    [_, probe] = account.doctor()

    assert (probe.level, probe.todo.startswith(todo)) == (Level.WARNING, True)
    assert probe.what == f"a test that Zendesk sent did not arrive: it was answered {status or 504}"


def test_where_zendesk_sends_no_test_doctor_goes_on(account: Account) -> None:
    account.setup()
    account.desk.faults.append(Fault("status", path="/webhooks/test", status=400, body="{}"))

    assert [finding.level for finding in account.doctor()] == [Level.OK, Level.NOTE]
