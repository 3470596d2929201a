"""Where seeds begin: an account of one vendor a moment before something interesting, and the bridge's rows about it.

A chapter is played once, undisturbed, and kept as bytes; each seed begins with a copy, which takes about two
milliseconds. `Installation` is the bridge beside it: machines with clocks and folders, one database in memory.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Connection

from bridge.app import App, open_app
from bridge.notify import NoAnswerError
from bridge.rules import Rules, check
from bridge.settings import run_lock
from bridge.store import Store
from connectors.sandbox import freshdesk_rules
from connectors.sandbox.company import API_KEY, RULES, STAFF, Chat, Company
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.freshdesk_records import ON_UPDATE
from connectors.sandbox.world import Mail, World
from connectors.sandbox.zendesk import ZendeskDesk
from tests.simulator.kernel import Kernel, Undisturbed
from tests.simulator.wire import Line

START = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)  # a Monday, 09:00 in Berlin
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HIGH = 1_000_000_000  # calls per minute
FLAVOURS = {  # what accounts are sold: name -> (account, its CSAT)
    "legacy": ("acme", "legacy"),
    "surveys": ("acme", "new"),
    "classic": ("shop", "classic_codes"),
    "newer": ("shop", "new"),
}
CHAPTERS = ("rated", "closed", "deadline", "ask", "mail", "answer")
TICKETS = 3
URL = "http://localhost:1"
THEIR_RULE = {
    "name": "Survey on request",
    "performer": {"type": 1},
    "events": [{"field_name": "tags", "value": "ask"}],
    "actions": [{"field_name": "send_survey"}],
}
SECRETS = {
    "BRIDGE_ACME_CLIENT_ID": "bridge",
    "BRIDGE_ACME_CLIENT_SECRET": "bridge-secret",
    "BRIDGE_SHOP_API_KEY": API_KEY,
}

copyreg.pickle(type(threading.RLock()), lambda _: (threading.RLock, ()))  # type: ignore[arg-type,return-value]


@dataclass
class Office:
    """One account with its people and tickets, at one moment."""

    flavour: str
    account: str
    world: World
    desk: Any  # ZendeskDesk or FreshdeskDesk
    agents: dict[str, str]  # name -> id
    tickets: list[str]
    begun: list[str] = field(default_factory=list)  # tickets that were rated before the seed begins
    known_mails: int = 0  # of before the seed begins
    begun_at: datetime = START

    @property
    def is_zendesk(self) -> bool:
        """True for an account that refuses stale writes."""
        return self.account == "acme"

    def now(self) -> datetime:
        """Return the true time."""
        return self.world.clock.now()

    def move(self, moment: datetime) -> None:
        """Let it be later; the account's own automations do what they do."""
        step = moment - self.now()
        self.world.clock.set(moment)
        self.desk.pass_time(step)


# ------------------------------------------------------------------ the bridge beside it
class SharedStore(Store):
    """The store of one process: it stands at a boundary before and after each transaction, and never inside one."""

    kernel: Kernel
    alone = True  # one machine with a run lock; else several, where leases end by themselves, as on PostgreSQL

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        verb = _verb()
        self.kernel.step(f"{verb}: before")
        with self._translated(), _transaction("BEGIN IMMEDIATE") as tx:
            yield tx
        self.kernel.step(f"{verb}: after")

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self.kernel.step(f"{_verb()}: before reading")
        with self._translated(), _transaction("BEGIN DEFERRED") as tx:
            yield tx

    def free_leases(self) -> None:
        """Free leases where the run lock proves that nobody works under them."""
        if self.alone:
            super().free_leases()

    def close(self) -> None:
        """Leave the database to the others."""


@functools.cache
def connected() -> Connection:
    """Return a connection that stays: taking one from the pool for each transaction costs a tenth of a seed."""
    return database().engine.connect()


@contextmanager
def _transaction(begin: str) -> Iterator[Connection]:
    connection = connected()
    driver: Any = connection.connection.driver_connection
    driver.execute(begin)
    try:
        yield connection
    except BaseException:
        connection.rollback()
        driver.rollback()  # where nothing was asked, SQLAlchemy does not know that we have begun
        raise
    connection.commit()
    driver.commit()


def _verb() -> str:
    """Return the verb of the store whose transaction this is."""
    frame = sys._getframe(3)
    while frame.f_code.co_name[0] in "_<" and frame.f_back:
        frame = frame.f_back
    return frame.f_code.co_name


@functools.cache
def database() -> Store:
    """Return the one database of this process, in memory; its engine keeps what SQLAlchemy has compiled."""
    return Store.open("sqlite://")


def pour(data: bytes) -> None:
    """Put these rows in the place of what the database holds."""
    with database().engine.connect() as connection:
        connection.rollback()
        raw: Any = connection.connection.driver_connection
        raw.deserialize(data)
        raw.execute("PRAGMA foreign_keys=ON")


def poured() -> bytes:
    """Return the rows of the database."""
    raw = database().engine.raw_connection()
    try:
        found: Any = raw.driver_connection
        return bytes(found.serialize())
    finally:
        raw.close()


class Postbox:
    """Stands for `Channels`, in memory: *told* are the alerts; a question that we mail is a mail like others."""

    can_mail = True

    def __init__(self, bridge: Installation) -> None:
        self.bridge, self.kernel, self.office = bridge, bridge.kernel, bridge.office

    def way_to(self, target: str) -> str:
        """Return what a message goes through."""
        return "chat"

    def tell(self, target: str, subject: str, text: str, message_id: str | None = None) -> None:
        """Take an alert."""
        self._take("told", lambda: self.bridge.told.append((message_id or "", f"{target}: {text}")))

    def mail_customer(self, to: str, sender: str | None, subject: str, text: str, message_id: str) -> None:
        """Take a mail to a customer, and note it where the helpdesk notes its own."""
        mail = Mail(
            self.office.now(), self.office.account, to, "question", message_id, subject, text,
            actor="api:mail", to_customer=True,
        )  # fmt: skip
        self._take("mailed", lambda: self.office.world.mails.append(mail))

    def _take(self, verb: str, deliver: Callable[[], None]) -> None:
        boundary = self.kernel.step(f"{verb}: before")
        fault = self.kernel.schedule.fault(boundary, "POST", verb) if boundary else None
        if fault is None or fault.kind.endswith("after"):
            deliver()
        self.kernel.step(f"{verb}: after")
        if fault:
            raise NoAnswerError("nobody answered", may_have_arrived=True)


class Machine:
    """One computer: a folder with its lock and keys, and a clock that may be wrong."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office, self.folder = office, folder
        self.wrong_by = timedelta()
        self.env = {**SECRETS, "BRIDGE_STATE_DIR": str(folder)}

    def now(self) -> datetime:
        """Return what its clock says."""
        return self.office.now() + self.wrong_by


@functools.cache
def folders() -> tuple[Path, ...]:
    """Return the folders of three machines, in memory where that is possible; all have the same keys."""
    memory = Path("/dev/shm")
    top = Path(tempfile.mkdtemp(prefix="simulator-", dir=memory if memory.is_dir() else None))
    import atexit

    atexit.register(shutil.rmtree, top, ignore_errors=True)
    found = tuple(top / name for name in ("one", "two", "three"))
    for folder in found:
        folder.mkdir()
        for name in ("customer.key", "survey.key"):
            (folder / name).write_text("5" * 64)
    return found


class Installation:
    """The bridge of one seed: *count* machines on one database. One alone keeps the run lock, several keep leases."""

    def __init__(
        self, office: Office, kernel: Kernel, line: Line, rules: Rules, *, count: int = 1, seed: int = 0
    ) -> None:
        self.office, self.kernel, self.line, self.rules = office, kernel, line, rules
        self.machines = [Machine(office, folder) for folder in folders()[:count]]
        self.ids = Random(seed)
        self.told: list[tuple[str, str]] = []
        for machine in self.machines:
            for token in machine.folder.glob("acme.*"):
                token.unlink()

    def open_store(self, _url: str = "") -> SharedStore:
        """Return the store of one process."""
        store = SharedStore(database().engine)
        store.kernel, store.alone = self.kernel, len(self.machines) == 1
        return store

    @contextmanager
    def app(self, machine: Machine, name: str) -> Iterator[App]:
        """Open the bridge as its command does, with our wire in the place of sockets."""
        with open_app(
            self.rules,
            machine.env,
            now=machine.now,
            sleep=self.kernel.sleep,
            database_url="sqlite://",
            open_store=self.open_store,
            new_id=lambda: f"{self.ids.getrandbits(32):08x}",
        ) as app:
            for session in app.sessions.values():
                session.mount("http://", self.line.wire(name))
            box: Any = Postbox(self)
            app.delivery.channels = app.delivery.telling.channels = app.delivery.asker.channels = box
            yield app

    def run_once(self, machine: Machine, name: str, seen: Callable[[App], None] = lambda app: None) -> None:
        """Do what `run --once` does."""
        with self.app(machine, name) as app, run_lock(app.folder):
            app.run()
            seen(app)


# ------------------------------------------------------------------ the chapters
def play(flavour: str, chapter: str) -> Office:
    """Play the story up to the moment at which seeds of this chapter begin."""
    account, csat = FLAVOURS[flavour]
    world = World(START, 1)
    flavours = {"acme": "legacy", "shop": "classic_codes", account: csat}
    zendesk = ZendeskDesk(world, csat=flavours["acme"], rate_limit=HIGH, updates_per_minute=0, close_after=300)
    freshdesk = FreshdeskDesk(world, api_key=API_KEY, csat=flavours["shop"], rate_limit=HIGH)
    freshdesk.asks_on_solve = False
    freshdesk_rules.add(freshdesk, ON_UPDATE, THEIR_RULE)
    firm = Company(world, zendesk, freshdesk, {"acme": URL, "shop": URL}, {}, Chat())
    for name, (email, group) in STAFF.items():
        firm.hire(account, name, email, group)
    agents = {name: firm.agents[account, name] for name in STAFF}
    office = Office(flavour, account, world, firm.desks[account], agents, [])
    pour(empty())
    kernel = Kernel(office.now, office.move, Undisturbed())
    bridge = Installation(office, kernel, Line(kernel, office.desk), rules_of(account, chapter))
    with bridge.app(bridge.machines[0], "setup") as app:
        list(app.engine.desks[account].setup())
        app.run()
        for number in range(TICKETS):
            office.tickets.append(firm.solved_ticket(account, "Ana", f"Mia {number}", takes=2 * MINUTE))
        PRELUDES[chapter](office, app)
        app.run()
        if app.failures:
            raise app.failures[account]
    return office


def _rated(office: Office, app: App) -> None:
    """Three tickets are solved, and nobody has rated yet."""
    office.move(office.now() + MINUTE)


def _closed(office: Office, app: App) -> None:
    """Two tickets are locked; see `Chapter`: they are rated badly before anybody looks."""
    office.move(office.now() + MINUTE)


def _flagged(office: Office, app: App) -> None:
    for ticket_id in office.tickets[:1]:
        office.desk.rate(ticket_id, "bad", "Nobody helped me")
        office.begun.append(ticket_id)
    office.move(office.now() + 5 * MINUTE)
    app.run()


def _deadline(office: Office, app: App) -> None:
    """One ticket is flagged and nobody has touched it; it is about to go to the team leads."""
    _flagged(office, app)
    office.move(office.now() + 40 * MINUTE)
    app.run()
    office.move(app.store.cases()[0].due_at or office.now())
    office.move(office.now() - MINUTE)


def _repaired(office: Office, app: App) -> None:
    _flagged(office, app)
    office.move(office.now() + 10 * MINUTE)
    for ticket_id in office.begun:
        office.desk.reply(ticket_id, office.agents["Ana"], "I am sorry. Here is what I can do for you.")
        office.desk.solve(ticket_id, office.agents["Ana"])
    office.move(office.now() + 10 * MINUTE)
    app.run()
    for _ in range(6):
        case = app.store.cases()[0]
        if case.next_step == "ask the customer again":
            return
        office.move(max(case.due_at or office.now(), office.now()) + MINUTE)
        app.run()


def _ask(office: Office, app: App) -> None:
    """One ticket is repaired, and the customer is about to be asked again."""
    _repaired(office, app)
    case = app.store.cases()[0]
    if case.next_step != "ask the customer again" or case.due_at is None:
        raise AssertionError(f"{office.flavour}: nobody is asked: {case}")
    office.move(case.due_at - MINUTE)


def _answer(office: Office, app: App) -> None:
    """The customer has been asked again."""
    _ask(office, app)
    office.move(office.now() + 2 * MINUTE)
    app.run()
    office.move(office.now() + 2 * MINUTE)


PRELUDES: dict[str, Callable[[Office, App], None]] = {
    "rated": _rated, "closed": _closed, "deadline": _deadline, "ask": _ask, "mail": _ask, "answer": _answer,
}  # fmt: skip


@functools.cache
def rules_of(account: str, chapter: str) -> Rules:
    """Return the company's rules for one account: no limit on shares stops anybody."""
    text = RULES.read_text(encoding="utf-8").replace("share_of_rated: 50%", "share_of_rated: 100%")
    other = "  shop:" if account == "acme" else "  acme:"
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(other))
    if chapter == "mail":
        text = text.replace("survey_mail: helpdesk", "survey_mail: smtp").replace("by: auto", "by: link")
    rules, problems = check(text.replace("ZENDESK_URL", URL).replace("FRESHDESK_URL", URL))
    if rules is None:
        raise ValueError("\n".join(str(problem) for problem in problems))
    return rules


@functools.cache
def empty() -> bytes:
    """Return the rows of a database without a row."""
    return poured()


@functools.cache
def _kept(flavour: str, chapter: str) -> tuple[bytes, bytes]:
    office = play(flavour, chapter)
    office.desk.requests.clear()
    office.world.ledger.clear()
    office.known_mails, office.begun_at = len(office.world.mails), office.now()
    return pickle.dumps(office), poured()


def begin(flavour: str, chapter: str, seed: int) -> Office:
    """Return a copy of the stage, and pour its rows into the database."""
    world, rows = _kept(flavour, chapter)
    pour(rows)
    office: Office = pickle.loads(world)
    office.world.random = Random(seed)
    return office
