"""Putting it together: rules, secrets, store and connectors become an engine; one run over all accounts.

`bridge` never imports a connector by name: the name in rules.yaml is the name of the file.
"""

from __future__ import annotations

import importlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from bridge import settings
from bridge.connector import Connector, Tools
from bridge.delivery import Delivery
from bridge.engine import Engine
from bridge.errors import (
    BadRecord,
    BridgeError,
    HelpdeskError,
    RulesError,
    SettingsError,
    Throttled,
)
from bridge.http import BridgeSession, Budget
from bridge.notices import Notices
from bridge.notify import Channels
from bridge.rules import Account, Rules
from bridge.store import Store
from bridge.survey_link import SurveyLinks
from bridge.vigil import Vigil

log = logging.getLogger(__name__)

RUN_WITHIN = timedelta(minutes=4)  # a run that still waits for rate limits then leaves the rest to the next one
LOCKED_FOR = timedelta(seconds=30)  # until we try again to claim what is due, and is in the hands of another process
FEW = 5  # tickets: a job for them would take as many calls, with those that ask whether it is done
Clock = Callable[[], datetime]
Sleep = Callable[[float], None]


def load_connector(name: str) -> ModuleType:
    """Return the module of one helpdesk. Raises SettingsError naming those that exist."""
    names = settings.connector_names()
    if name not in names:
        raise SettingsError(f"no connector {name!r}; there are: {', '.join(names)}")
    return importlib.import_module(f"connectors.{name}")


class AccountMemory:
    """What one account's connector remembers: values in the store, secrets in files with mode 0600."""

    def __init__(self, store: Store, account: str, folder: Path, now: Clock) -> None:
        self.store, self.account, self.folder, self.now = store, account, folder, now

    def recall(self, name: str, max_age: timedelta | None = None) -> Any:
        """Return what is remembered under *name*, or None if there is nothing or it is older than *max_age*."""
        found = self.store.recall(self.account, name)
        if found is None:
            return None
        value, at = found
        return None if max_age is not None and self.now() - at > max_age else value

    def remember(self, name: str, value: Any) -> None:
        """Keep a JSON value."""
        self.store.remember(self.account, name, value, self.now())

    def recall_secret(self, name: str) -> str | None:
        """Return a secret of this account, or None."""
        return settings.read_private(settings.remembered(self.folder, self.account, name))

    def remember_secret(self, name: str, text: str) -> None:
        """Keep a secret of this account."""
        settings.write_private(settings.remembered(self.folder, self.account, name), text)

    def forget_secret(self, name: str) -> None:
        """Keep a secret of this account no longer."""
        settings.remove_private(settings.remembered(self.folder, self.account, name))


@dataclass
class App:
    """One installation at work."""

    rules: Rules
    folder: Path
    store: Store
    engine: Engine
    delivery: Delivery
    sessions: Mapping[str, BridgeSession]
    now: Clock
    sleep: Sleep
    vigil: Vigil
    failures: dict[str, BridgeError] = field(default_factory=dict)

    @property
    def accounts(self) -> Sequence[str]:
        """The names of the accounts, in the order of rules.yaml."""
        return list(self.rules.accounts)

    def run(self, since: datetime | None = None, within: timedelta = RUN_WITHIN) -> None:
        """Poll, decide, tick and deliver for every account; trouble of one account leaves the others alone.

        What went wrong stands in `failures` by account.
        """
        self.failures.clear()
        self.check_names()
        self.store.keep_rules(self.rules.hash, self.rules.text, self.now())
        self.store.free_leases()  # of a run that was killed: we hold the lock, so nobody works under them
        give_up_at = self.now() + within
        polled: set[str] = set()
        active = list(self.accounts)
        while active and not self.engine.stopping():
            ready = {account: self._attempt(account, since, polled) for account in active}
            active = [account for account, at in ready.items() if at and at <= give_up_at]
            if active:
                self.sleep(max(0.0, (min(at for at in ready.values() if at) - self.now()).total_seconds()))
        for account, session in self.sessions.items():
            self.store.save_rate_state(account, session.budget.state())
        if not self.engine.stopping():
            self.vigil.keep()

    def _attempt(self, account: str, since: datetime | None, polled: set[str]) -> datetime | None:
        """Do what can be done now; return when to come back within this run, or None."""
        engine = self.engine
        try:
            if account not in polled:
                engine.poll(account, since)
                polled.add(account)
            self._work_off(account)
        except Throttled as exc:
            log.warning("%s", exc, extra={"account": account})
            self.failures[account] = exc
            return exc.until
        except (HelpdeskError, BadRecord) as exc:
            log.error("%s", exc, extra={"account": account})
            self.failures[account] = exc
            self.store.put_account_state(account, failed_at=self.now().isoformat(), error=str(exc))
            return None
        self.failures.pop(account, None)
        self.store.put_account_state(account, succeeded_at=self.now().isoformat(), error="")
        at, now = self.store.next_effect_at(account), self.now()
        return at if at is None or at > now else now + LOCKED_FOR

    def follow(self, account: str) -> datetime | None:
        """Work off what came in for one account, without a poll; return when more will be due, None if nothing will.

        What is due already, and could not be done, waits for the next poll.
        Trouble is logged, and is nothing to the account's state: only a poll shows that the helpdesk can be read.
        """
        self.failures.pop(account, None)
        begun = self.now()
        try:
            self._work_off(account, FEW)
        except (HelpdeskError, BadRecord) as exc:
            log.warning("%s", exc, extra={"account": account})
            self.failures[account] = exc
            return exc.until if isinstance(exc, Throttled) else None
        due = (
            self.store.next_effect_at(account), self.store.next_due_at(account), self.engine.hints.next_at(account)
        )  # fmt: skip
        return min((at for at in due if at and at > begun), default=None)

    def _work_off(self, account: str, few: int = 1) -> None:
        engine, begun = self.engine, self.now()
        engine.watch(account)  # before deadlines: who has answered must not be reminded, nor lose the case
        self._deliver(account, few)  # first, because a case that waits for a write holds up its next step
        while not engine.stopping() and engine.decide(account, begun):  # before deadlines: an answer may be among it
            self._deliver(account, few)
        while engine.tick(account):
            self._deliver(account, few)

    def _deliver(self, account: str, few: int) -> None:
        while not self.engine.stopping() and self.delivery.deliver(account, few):
            pass

    def check_names(self) -> bool:
        """Look up the names of groups and agents once for each rules.yaml; False if no helpdesk could be asked.

        Raises RulesError for unknown ones.
        """
        state = {account: self.store.account_state(account) for account in self.accounts}
        if all(known.get("names_checked") == self.rules.hash for known in state.values()):
            return True
        desks, again = self.engine.desks, self.engine.briefing.directory_again
        try:
            problems = self.rules.unknown_names({account: desk.directory() for account, desk in desks.items()})
            if problems:  # who is named may be newer than what is remembered
                problems = self.rules.unknown_names({account: again(desk) for account, desk in desks.items()})
        except (HelpdeskError, BadRecord) as exc:
            log.warning("names of groups and agents are not checked: %s", exc)
            return False
        if any(not problem.is_warning for problem in problems):
            raise RulesError(problems)
        for problem in problems:
            log.warning("%s", problem.headline)
        for account in self.accounts:
            self.store.put_account_state(account, names_checked=self.rules.hash)
        return True


@contextmanager
def open_app(
    rules: Rules,
    env: Mapping[str, str],
    *,
    now: Clock = lambda: datetime.now(UTC),
    sleep: Sleep = time.sleep,
    stopping: Callable[[], bool] = lambda: False,
    database_url: str | None = None,
    open_store: Callable[[str], Store] = Store.open,
    new_id: Callable[[], str] = lambda: secrets.token_hex(4),
) -> Iterator[App]:
    """Open the store and every account of *rules*. Raises SettingsError or StoreError."""
    folder = settings.state_dir(env)
    store = open_store(database_url or settings.database_url(env, folder))
    try:
        desks: dict[str, Connector] = {}
        sessions: dict[str, BridgeSession] = {}
        for name, account in rules.accounts.items():
            memory = AccountMemory(store, name, folder, now)
            sessions[name] = _session(rules, store, name, now, sleep)
            age, hooks_at = rules.settings.directory_age, rules.settings.hooks_at(name)
            tools = Tools(sessions[name], memory, now, sleep, rules.needs(), age, hooks_at)
            desks[name] = _connect(name, account, rules, env, tools)
        engine = Engine(rules, store, desks, now, new_id, settings.customer_hasher(folder), stopping)
        told = channels(env, now)
        delivery = Delivery(engine, told, _links(rules, folder))
        vigil = Vigil(rules, store, Notices(rules, store, told, now), now, stopping)
        yield App(rules, folder, store, engine, delivery, sessions, now, sleep, vigil)
    finally:
        store.close()


def channels(env: Mapping[str, str], now: Clock | None = None) -> Channels:
    """Return the ways to members of staff that the environment names."""
    return Channels(
        smtp_url=settings.program_secret(env, "smtp_url"),
        mail_from=env.get("BRIDGE_MAIL_FROM", "recovery-bridge@localhost"),
        slack_webhook=settings.program_secret(env, "slack_webhook"),
        signing_secret=settings.program_secret(env, "notify_secret"),
        now=now,
    )


def _links(rules: Rules, folder: Path) -> SurveyLinks | None:
    """Return what makes the links to our own question, if it has a page."""
    page = rules.settings.survey_page
    return SurveyLinks(settings.survey_key(folder), page) if page else None


def _session(rules: Rules, store: Store, name: str, now: Clock, sleep: Sleep) -> BridgeSession:
    budget = Budget(name, now, rules.settings.rate_share)
    if state := store.rate_state(name):
        budget.restore(state)
    return BridgeSession(name, rules.accounts[name].url.rstrip("/"), budget, sleep=sleep)


def _connect(name: str, account: Account, rules: Rules, env: Mapping[str, str], tools: Tools) -> Connector:
    """Connect one account: each field of Config that holds a secret is looked up in the environment."""
    module = load_connector(account.connector)
    given: dict[str, Any] = {"account": name, "url": account.url}
    for found in fields(module.Config):
        if "Secret" in str(found.type):
            given[found.name] = settings.secret(env, name, found.name)
        elif found.name == "out_of_office":
            given[found.name] = tuple(rules.settings.out_of_office)
    connector: Connector = module.connect(module.Config(**given), tools)
    return connector
