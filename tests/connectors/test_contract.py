"""What every helpdesk's connector keeps to, whoever wrote it: one set of facts, over real HTTP, for each of them.

Every module of `connectors/` is tried. DESKS says which stand-in speaks for it; nothing else here knows any of them.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from memory import DictMemory

from bridge.app import load_connector
from bridge.connector import Connector, Finding, Level, Needs, Secret, Tools
from bridge.errors import CredentialsRefused, HelpdeskError, NotFound, Refused, SettingsError, Throttled
from bridge.http import BridgeSession, Budget
from bridge.model import (
    Category,
    Change,
    Directory,
    Effect,
    EffectKind,
    Question,
    Rating,
    Sending,
    Status,
    SurveyWay,
    Ticket,
    Verdict,
    Write,
    Written,
)
from bridge.settings import connector_names
from connectors.sandbox import freshdesk_rules
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.freshdesk_records import ON_UPDATE
from connectors.sandbox.server import serve
from connectors.sandbox.world import Fault, World
from connectors.sandbox.wsgi import Refusal
from connectors.sandbox.zendesk import ZendeskDesk

START = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NAMES = connector_names()


@dataclass(frozen=True)
class Speaker:
    """A stand-in account, what opens its door, and how a ticket of it becomes one that nobody can write to."""

    desk: Callable[[World], Any]
    secrets: dict[str, str]
    lock: Callable[[Any, str], None]
    may_ask: Callable[[Any], None] = lambda desk: None  # lets the account ask on request, and not by itself


def close(desk: Any, ticket_id: str) -> None:
    desk.edit(ticket_id, by=desk.owner_id, status="closed")


def ask_on_request(desk: Any) -> None:
    desk.asks_on_solve = False
    survey = {"events": [{"field_name": "tags", "value": "ask"}], "actions": [{"field_name": "send_survey"}]}
    freshdesk_rules.add(desk, ON_UPDATE, {"name": "Survey on request", "performer": {"type": 1}, **survey})


def archive(desk: Any, ticket_id: str) -> None:
    desk.tickets[int(ticket_id)].archived = True


DESKS = {  # the file in connectors/ -> who speaks for it
    "zendesk": Speaker(
        lambda world: ZendeskDesk(world, rate_limit=0, updates_per_minute=0),
        {"client_id": "bridge", "client_secret": "bridge-secret"},
        close,
    ),
    "freshdesk": Speaker(
        lambda world: FreshdeskDesk(world, api_key="sandbox-key", rate_limit=0),
        {"api_key": "sandbox-key"},
        archive,
        ask_on_request,
    ),
}


def speaker(name: str) -> Speaker:
    if name not in DESKS:
        pytest.fail(
            f"connectors/{name} has nobody to speak for it: write a stand-in account in connectors/sandbox/{name}*.py"
            f" (the verbs of world.Desk, and the vendor's HTTP API) and add it to DESKS in {__file__}",
            pytrace=False,
        )
    return DESKS[name]


class Office:
    """A stand-in account with the agents Ana and Ben and the customer Mia, and our connector to it."""

    def __init__(self, name: str, desk: Any, url: str) -> None:
        self.name, self.desk, self.url = name, desk, url
        self.memory = DictMemory(START)
        self.care, self.night = desk.add_group("Care"), desk.add_group("Night")
        self.ana = desk.add_agent("Ana", "ana@example.com", [self.care])
        self.ben = desk.add_agent("Ben", "ben@example.com", [self.night])
        self.mia = desk.add_customer("Mia Maier", "mia@customer.example")
        self.sessions: list[BridgeSession] = []
        self.needs = Needs()
        self.connector = self.connect()

    def connect(self, **secrets: str) -> Connector:
        """Return a connector as a new process would have it: only memory is shared."""
        module, given = load_connector(self.name), secrets or speaker(self.name).secrets
        budget = Budget("account", self.desk.world.clock.now, share=1.0)
        budget.limit = 100_000
        session = BridgeSession("account", self.url, budget, sleep=lambda seconds: None)
        self.sessions.append(session)
        tools = Tools(session, self.memory, self.desk.world.clock.now, lambda seconds: None, self.needs)
        config = module.Config("account", self.url, **{key: Secret(text) for key, text in given.items()})
        found: Connector = module.connect(config, tools)
        return found

    def wait(self, step: timedelta) -> None:
        self.desk.world.clock.advance(step)
        self.memory.advance(step)
        self.desk.pass_time(step)

    def solved(self, **details: Any) -> str:
        """Return a ticket that Ana has answered and solved a minute ago."""
        ticket_id = str(self.desk.open_ticket(self.mia, "Late parcel", "Where is it?", group=self.care, **details))
        self.desk.assign(ticket_id, self.ana, by=self.ana)
        self.desk.reply(ticket_id, self.ana, "On its way.")
        self.desk.solve(ticket_id, self.ana)
        self.wait(MINUTE)
        return ticket_id

    def rated(self, comment: str | None = "Still no parcel", category: str = "bad") -> str:
        ticket_id = self.solved()
        self.desk.rate(ticket_id, category, comment)
        self.wait(2 * MINUTE)
        return ticket_id

    def read(self, ticket_id: str) -> Ticket:
        return self.connector.tickets([ticket_id])[ticket_id]

    def notes(self, ticket_id: str) -> list[str]:
        """Return the private notes that programs wrote."""
        ledger = self.desk.world.ledger
        ours = [e for e in ledger if e.what == "private_note" and e.actor.startswith("api:")]
        return [str(entry.after) for entry in ours if entry.ticket_id == ticket_id]

    def writes(self) -> int:
        return sum(r.method != "GET" and "oauth" not in r.path for r in self.desk.requests)

    def tickets_made(self) -> int:
        return sum(entry.what == "created" for entry in self.desk.world.ledger)


@contextmanager
def opened(name: str) -> Iterator[Office]:
    desk = speaker(name).desk(World(START))
    with serve(desk) as url:
        office = Office(name, desk, url)
        yield office
        for session in office.sessions:
            session.close()


@pytest.fixture(params=NAMES)
def office(request: pytest.FixtureRequest) -> Iterator[Office]:
    with opened(request.param) as found:
        yield found


def all_of(pages: Iterator[Any]) -> list[Rating]:
    return [rating for page in pages for rating in page.ratings]


def last_cursor(pages: Iterator[Any]) -> str:
    cursor = [page.cursor for page in pages][-1]
    assert isinstance(cursor, str)
    return cursor


# ------------------------------------------------------------------ the shape of a connector
@pytest.mark.parametrize("name", NAMES)
def test_every_connector_has_somebody_to_speak_for_it(name: str) -> None:
    assert speaker(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_connector_is_a_config_and_a_way_to_connect(name: str) -> None:
    module = load_connector(name)

    config = [field.name for field in fields(module.Config)]
    secret = [field.name for field in fields(module.Config) if "Secret" in str(field.type)]
    assert is_dataclass(module.Config)
    assert config[:2] == ["account", "url"]
    assert {*speaker(name).secrets, "webhook_secret"} <= set(secret)


def test_it_has_every_verb_of_the_contract(office: Office) -> None:
    verbs = [name for name in vars(Connector) if not name.startswith("_")]

    assert [verb for verb in verbs if not callable(getattr(office.connector, verb, None))] == []
    for verb in verbs:
        wanted = list(inspect.signature(getattr(Connector, verb)).parameters)[1:]
        assert list(inspect.signature(getattr(office.connector, verb)).parameters) == wanted
    assert office.connector.account == "account"
    assert isinstance(office.connector.conditional_writes, bool)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("url", ["http://shop.example.com", "https://elsewhere.example", "ftp://127.0.0.1"])
def test_secrets_are_sent_to_the_vendor_only_and_encrypted(name: str, url: str) -> None:
    with opened(name) as office, pytest.raises(SettingsError, match="account: url"):
        office.url = url
        office.connect()


@pytest.mark.parametrize("name", NAMES)
def test_without_credentials_it_says_what_to_set(name: str) -> None:
    with opened(name) as office, pytest.raises(SettingsError, match=r"account: no .*BRIDGE_ACCOUNT_[A-Z]"):
        office.connect(webhook_secret="x")


# ------------------------------------------------------------------ ratings
def test_a_bad_rating_is_found_with_its_words_and_who_held_the_ticket(office: Office) -> None:
    ticket_id = office.rated()

    (rating,) = all_of(office.connector.new_ratings(None))

    assert (rating.ticket_id, rating.category, rating.comment) == (ticket_id, Category.BAD, "Still no parcel")
    assert (rating.assignee_id, rating.group_id, rating.requester_id) == (office.ana, office.care, office.mia)
    assert rating.rated_at == office.desk.world.clock.now() - 2 * MINUTE


def test_polling_goes_on_from_its_cursor_in_another_process(office: Office) -> None:
    office.rated()
    cursor = last_cursor(office.connector.new_ratings(None))
    later = office.rated()

    assert later in {rating.ticket_id for rating in all_of(office.connect().new_ratings(cursor))}


def test_a_poll_without_news_has_a_cursor_too(office: Office) -> None:
    cursor = last_cursor(office.connector.new_ratings(None))
    office.wait(DAY)

    assert last_cursor(office.connector.new_ratings(cursor))


@pytest.mark.parametrize("after", [MINUTE, DAY, 10 * DAY, 26 * DAY])
def test_an_answer_that_comes_late_is_not_missed(office: Office, after: timedelta) -> None:
    if office.name == "zendesk":
        office.desk.account.automations.clear()  # or the ticket closes, and cannot be rated any more
    ticket_id = office.solved()
    cursor = None
    for _ in range(4):
        cursor = last_cursor(office.connector.new_ratings(cursor))
        office.wait(after / 4)
    office.desk.rate(ticket_id, "bad", "Late, but angry")
    office.wait(2 * MINUTE)

    assert [rating.comment for rating in all_of(office.connector.new_ratings(cursor))] == ["Late, but angry"]


def test_a_changed_answer_comes_again_as_another_version(office: Office) -> None:
    ticket_id = office.rated("It is late")
    pages = list(office.connector.new_ratings(None))
    office.wait(HOUR)
    office.desk.rate(ticket_id, "bad", "It is broken, too")
    office.wait(2 * MINUTE)

    now = all_of(office.connector.new_ratings(pages[-1].cursor))

    known = {(rating.rating_id, rating.version) for rating in all_of(iter(pages))}
    assert [r.comment for r in now if (r.rating_id, r.version) not in known] == ["It is broken, too"]


def test_an_answer_that_did_not_change_keeps_its_version(office: Office) -> None:
    office.rated()

    versions = [[rating.version for rating in all_of(office.connect().new_ratings(None))] for _ in range(2)]

    assert versions[0] == versions[1] != []


def categories(office: Office) -> set[Category]:
    """Let a customer give every answer that this account offers."""
    given = set()
    for category in Category:
        ticket_id = office.solved()
        try:
            office.desk.rate(ticket_id, str(category), "As I said")
        except Refusal:
            continue
        given.add(category)
    return given


def test_past_ratings_are_of_every_category(office: Office) -> None:
    given = categories(office)
    office.wait(HOUR)

    found = all_of(office.connector.past_ratings(START - DAY))

    assert {rating.category for rating in found} == given
    assert {Category.BAD, Category.GOOD} <= given
    assert all(1 <= rating.value <= rating.scale_max for rating in found)


def test_past_ratings_begin_where_they_are_asked_to_or_as_far_back_as_answers_can_change(office: Office) -> None:
    office.rated("Before")
    office.wait(40 * DAY)
    since = office.desk.world.clock.now()
    office.rated("After")

    assert [rating.comment for rating in all_of(office.connector.past_ratings(since))] == ["After"]


@pytest.fixture(scope="module", params=NAMES)
def busy(request: pytest.FixtureRequest) -> Iterator[Office]:
    """An office with more ratings than fit on two pages."""
    with opened(request.param) as office:
        for number in range(220):
            ticket_id = str(office.desk.open_ticket(office.mia, "Late", "Where?", group=office.care))
            office.desk.assign(ticket_id, office.ana, by=office.ana)
            office.desk.solve(ticket_id, office.ana)
            office.desk.world.clock.advance(MINUTE)
            office.desk.rate(ticket_id, "bad", f"Number {number}")
        office.wait(HOUR)
        yield office


def walk(office: Office, verb: str, cursor: str | None) -> Iterator[Any]:
    connector = office.connect()
    return connector.new_ratings(cursor) if verb == "new" else connector.past_ratings(START - DAY, cursor)


@pytest.mark.parametrize("verb", ["new", "past"])
def test_pages_come_one_by_one_so_that_memory_does_not_grow(busy: Office, verb: str) -> None:
    pages = walk(busy, verb, None)
    next(pages)
    asked = len(busy.desk.requests)

    rest = list(pages)

    assert len(rest) >= 2
    assert len(busy.desk.requests) - asked >= 2


@pytest.mark.parametrize("verb", ["new", "past"])
def test_every_rating_comes_once(busy: Office, verb: str) -> None:
    found = [rating.rating_id for rating in all_of(walk(busy, verb, None))]

    assert (len(found), len(set(found))) == (220, 220)


@pytest.mark.parametrize("verb", ["new", "past"])
def test_a_walk_that_was_broken_off_goes_on_behind_its_last_page(busy: Office, verb: str) -> None:
    first = next(walk(busy, verb, None))

    rest = all_of(walk(busy, verb, first.cursor))

    assert {r.rating_id for r in (*first.ratings, *rest)} == {r.rating_id for r in all_of(walk(busy, verb, None))}
    assert len(rest) < 220


def test_the_ratings_of_one_ticket_are_read_as_they_are_now(office: Office) -> None:
    ticket_id, other = office.rated("Bad"), office.rated("Another")
    (found,) = office.connector.ratings_of(ticket_id)

    assert (found.comment, found.ticket_id) == ("Bad", ticket_id)
    assert [r.rating_id for r in office.connector.ratings_of(ticket_id, found.rating_id)] == [found.rating_id]
    assert [r.comment for r in office.connector.ratings_of(other)] == ["Another"]


def test_a_ticket_that_was_never_rated_has_no_rating(office: Office) -> None:
    ticket_id = office.solved()

    try:
        found: Sequence[Rating] = office.connector.ratings_of(ticket_id)
    except NotFound:
        found = ()

    assert list(found) == []


# ------------------------------------------------------------------ tickets and people
def test_every_ticket_that_was_asked_for_is_answered(office: Office) -> None:
    solved, deleted = office.solved(), office.solved()
    office.desk.delete(deleted, by=office.ana)

    found = office.connector.tickets([solved, deleted, "999999"])

    assert {key: ticket.status for key, ticket in found.items()} == {
        solved: Status.SOLVED,
        deleted: Status.DELETED,
        "999999": Status.DELETED,
    }


def test_a_ticket_comes_with_its_holder_and_its_requester(office: Office) -> None:
    ticket = office.read(office.solved(tags=["parcel"], priority="low"))

    assert (ticket.assignee_id, ticket.group_id, ticket.tags) == (office.ana, office.care, ("parcel",))
    assert (ticket.priority, ticket.subject) == ("low", "Late parcel")
    assert ticket.requester is not None
    assert (ticket.requester.requester_id, ticket.requester.email) == (office.mia, "mia@customer.example")
    assert ticket.read_at == office.desk.world.clock.now()


@pytest.mark.parametrize(("happens", "status"), [("mark_spam", {Status.SPAM, Status.DELETED}), ("lock", None)])
def test_a_ticket_that_cannot_be_written_says_so(office: Office, happens: str, status: set[Status] | None) -> None:
    ticket_id = office.solved()
    if happens == "lock":
        speaker(office.name).lock(office.desk, ticket_id)
    else:
        office.desk.mark_spam(ticket_id, by=office.ana)

    found = office.read(ticket_id).status

    assert found.is_locked if status is None else found in status


def test_who_held_a_ticket_at_a_moment_is_known(office: Office) -> None:
    ticket_id = office.solved()
    then = office.desk.world.clock.now()
    office.wait(HOUR)
    office.desk.assign(ticket_id, office.ben, by=office.ben)

    assert office.connector.past_holder(ticket_id, then) == office.ana


def test_the_directory_tells_people_groups_and_ourselves(office: Office) -> None:
    found = office.connector.directory()

    ana = found.agents[office.ana]
    assert (ana.name, ana.email, ana.group_ids, ana.unusable) == ("Ana", "ana@example.com", (office.care,), None)
    assert {found.groups[office.care], found.groups[office.night]} == {"Care", "Night"}
    assert found.own_id in found.agents
    assert office.mia not in found.agents


def test_the_directory_is_remembered_until_it_is_too_old_or_wanted_fresh(office: Office) -> None:
    office.connector.directory()
    asked = len(office.desk.requests)
    office.desk.add_agent("Eve", "eve@example.com", [office.care])

    assert "eve@example.com" not in emails(office.connect().directory())
    assert len(office.desk.requests) == asked
    assert "eve@example.com" in emails(office.connector.directory(fresh=True))
    office.desk.add_agent("Kim", "kim@example.com", [office.care])
    office.wait(2 * HOUR)
    assert "kim@example.com" in emails(office.connect().directory())


def emails(directory: Directory) -> set[str]:
    return {agent.email for agent in directory.agents.values()}


def test_an_agent_who_left_is_gone_or_cannot_be_given_a_ticket(office: Office) -> None:
    office.desk.remove_agent(office.ana)

    ana = office.connector.directory(fresh=True).agents.get(office.ana)

    assert ana is None or ana.unusable


def test_the_link_leads_staff_to_the_ticket(office: Office) -> None:
    assert re.fullmatch(re.escape(office.url) + r"/.*\b4711", office.connector.link("4711"))


# ------------------------------------------------------------------ writing
def change(office: Office, **details: Any) -> Change:
    given: dict[str, Any] = {
        "add_tags": ("csat-recovery",),
        "assignee_id": office.ana,
        "group_id": office.care,
        "reopen": True,
        "priority": "high",
        "note": "Please call Mia back.",
    }
    return Change(**given | details)


def write_to(
    ticket: Ticket,
    wanted: Change,
    *,
    effect_id: str = "e1",
    kind: EffectKind = EffectKind.UPDATE,
    repeat: bool = False,
) -> Write:
    effect = Effect(effect_id, "k1", "account", ticket.ticket_id, kind, "flag", change=wanted)
    return Write(effect, ticket, wanted, repeat)


def verdicts(office: Office, *writes: Write) -> dict[str, Verdict]:
    news = [item for item in office.connector.write(writes) if isinstance(item, Written)]
    assert len(news) == len(writes)
    return {item.effect_id: item.verdict for item in news}


@pytest.fixture(params=NAMES)
def ready(request: pytest.FixtureRequest) -> Iterator[Office]:
    """An office that was set up for writing."""
    with opened(request.param) as office:
        list(office.connector.setup())
        yield office


def test_a_write_does_it_all_and_leaves_its_mark(ready: Office) -> None:
    ticket_id = ready.solved(tags=["parcel"])

    assert verdicts(ready, write_to(ready.read(ticket_id), change(ready))) == {"e1": Verdict.APPLIED}

    ready.wait(MINUTE)
    after = ready.read(ticket_id)
    assert (after.status, after.priority, after.assignee_id) == (Status.OPEN, "high", ready.ana)
    assert {"parcel", "csat-recovery"} <= set(after.tags)
    assert after.marker == "sr-e1"
    assert "Please call Mia back." in ready.notes(ticket_id)[0]


def test_a_ticket_is_given_to_somebody_else_in_their_group(ready: Office) -> None:
    ticket_id = ready.solved()

    verdicts(ready, write_to(ready.read(ticket_id), change(ready, assignee_id=ready.ben, group_id=ready.night)))

    assert (ready.read(ticket_id).assignee_id, ready.read(ticket_id).group_id) == (ready.ben, ready.night)


def test_a_ticket_is_taken_from_everybody_and_left_in_a_group(ready: Office) -> None:
    ticket_id = ready.solved()
    nobody = change(ready, assignee_id=None, unassign=True, group_id=ready.night)

    assert verdicts(ready, write_to(ready.read(ticket_id), nobody)) == {"e1": Verdict.APPLIED}

    assert (ready.read(ticket_id).assignee_id, ready.read(ticket_id).group_id) == (None, ready.night)


def test_what_is_not_wanted_is_left_as_it_is(ready: Office) -> None:
    before = ready.read(ready.solved(tags=["parcel"], priority="low"))

    verdicts(ready, write_to(before, Change(note="A word")))

    after = ready.read(before.ticket_id)
    unchanged = ("status", "priority", "assignee_id", "group_id", "subject")
    assert [getattr(after, name) for name in unchanged] == [getattr(before, name) for name in unchanged]
    assert "parcel" in after.tags


def test_the_customer_gets_no_mail(ready: Office) -> None:
    ticket_id = ready.solved()
    before = len(ready.desk.world.mails)

    verdicts(ready, write_to(ready.read(ticket_id), change(ready)))

    assert [mail for mail in ready.desk.world.mails[before:] if mail.to == "mia@customer.example"] == []


@pytest.mark.parametrize("text", ["<b>&amp;</b>", "\u202egnp \U0001f926", "x" * 9_000, "=1+1", "a\n\nb"])
def test_a_note_arrives_once_whatever_it_says(ready: Office, text: str) -> None:
    ticket_id = ready.solved()

    assert verdicts(ready, write_to(ready.read(ticket_id), Change(note=text))) == {"e1": Verdict.APPLIED}

    assert len(ready.notes(ticket_id)) == 1


def test_every_request_is_announced_before_it_leaves(ready: Office) -> None:
    found = [ready.solved(), ready.solved()]
    ready.wait(MINUTE)
    works = [write_to(ready.read(key), change(ready), effect_id=f"e{key}") for key in found]
    before, announced, named = ready.writes(), 0, set[str]()

    for news in ready.connector.write(works):
        assert ready.writes() - before == announced
        if isinstance(news, Sending):
            announced, named = announced + 1, named | set(news.effect_ids)
        if isinstance(news, Written):
            assert news.effect_id in named

    assert announced > 0


def test_a_repeat_of_what_happened_changes_nothing(ready: Office) -> None:
    ticket_id = ready.solved()
    verdicts(ready, write_to(ready.read(ticket_id), change(ready)))
    ready.wait(HOUR)
    before = ready.writes()

    again = write_to(ready.read(ticket_id), change(ready), repeat=True)

    assert verdicts(ready, again) == {"e1": Verdict.ADOPTED}
    assert (ready.writes(), len(ready.notes(ticket_id))) == (before, 1)


BREAKS = ["lost", "reset", "truncated", "html", "status"]


@pytest.mark.parametrize("kind", BREAKS)
def test_an_answer_that_cannot_be_used_is_unknown_and_the_repeat_finds_out(ready: Office, kind: str) -> None:
    ticket_id = ready.solved()
    ready.desk.faults.append(Fault(kind, path="/tickets/", method="PUT", status=502))

    assert verdicts(ready, write_to(ready.read(ticket_id), change(ready))) == {"e1": Verdict.UNKNOWN}

    ready.wait(HOUR)
    again = verdicts(ready, write_to(ready.read(ticket_id), change(ready), repeat=True))
    assert again["e1"] in (Verdict.APPLIED, Verdict.ADOPTED)
    assert (len(ready.notes(ticket_id)), ready.read(ticket_id).status) == (1, Status.OPEN)


def test_a_ticket_that_changed_since_it_was_read_is_a_conflict_where_we_can_tell(ready: Office) -> None:
    ticket = ready.read(ready.solved())
    ready.wait(MINUTE)
    ready.desk.edit(ticket.ticket_id, by=ready.ben, tags=["urgent-parcel"])

    verdict = verdicts(ready, write_to(ticket, change(ready)))["e1"]

    assert verdict is (Verdict.CONFLICT if ready.connector.conditional_writes else Verdict.APPLIED)
    assert len(ready.notes(ticket.ticket_id)) == (0 if ready.connector.conditional_writes else 1)


def test_a_ticket_that_was_locked_since_it_was_read_is_locked(ready: Office) -> None:
    ticket = ready.read(ready.solved())
    speaker(ready.name).lock(ready.desk, ticket.ticket_id)
    stamp = ready.read(ticket.ticket_id).stamp  # or a conflict would come first

    assert verdicts(ready, write_to(replace(ticket, stamp=stamp), change(ready))) == {"e1": Verdict.LOCKED}


@pytest.mark.parametrize("verb", ["delete", "mark_spam"])
def test_a_ticket_that_went_since_it_was_read_is_gone(ready: Office, verb: str) -> None:
    ticket = ready.read(ready.solved())
    getattr(ready.desk, verb)(ticket.ticket_id, by=ready.ana)

    assert verdicts(ready, write_to(ticket, change(ready))) == {"e1": Verdict.GONE}


@pytest.mark.parametrize("who", ["nobody", "outside the group", "left"])
def test_whom_the_helpdesk_will_not_have_is_a_bad_assignee(ready: Office, who: str) -> None:
    ticket = ready.read(ready.solved())
    if who == "left":
        ready.desk.remove_agent(ready.ben)
        ticket = ready.read(ticket.ticket_id)
    wanted = change(ready, assignee_id="999999" if who == "nobody" else ready.ben)

    assert verdicts(ready, write_to(ticket, wanted)) == {"e1": Verdict.BAD_ASSIGNEE}
    assert ready.notes(ticket.ticket_id) == []


def test_of_many_tickets_each_has_its_own_verdict(ready: Office) -> None:
    fine, gone, also = (ready.read(ready.solved()) for _ in range(3))
    ready.wait(MINUTE)
    ready.desk.delete(gone.ticket_id, by=ready.ana)
    works = [
        write_to(ticket, change(ready), effect_id=name) for ticket, name in ((fine, "a"), (gone, "b"), (also, "c"))
    ]

    found = verdicts(ready, *works)

    assert found == {"a": Verdict.APPLIED, "b": Verdict.GONE, "c": Verdict.APPLIED}


def test_being_told_to_wait_raises_and_nothing_happens(ready: Office) -> None:
    ticket_id = ready.solved()
    work = write_to(ready.read(ticket_id), change(ready))
    ready.desk.faults.append(Fault("status", method="PUT", status=429, headers={"Retry-After": "90"}))

    with pytest.raises(Throttled) as told:
        list(ready.connector.write([work]))

    assert told.value.until == ready.desk.world.clock.now() + timedelta(seconds=90)
    assert ready.notes(ticket_id) == []


def test_a_job_that_nobody_knows_tells_nothing(ready: Office) -> None:
    work = write_to(ready.read(ready.solved()), change(ready))

    (news,) = ready.connector.follow("never-heard-of", [work])

    assert isinstance(news, Written)
    assert (news.effect_id, news.verdict) == ("e1", Verdict.UNKNOWN)


# ------------------------------------------------------------------ follow-up tickets
def follow_up(office: Office, *, repeat: bool = False) -> tuple[str, Write]:
    """Return a locked ticket and a write that continues it."""
    ticket_id = office.solved(tags=["parcel"])
    speaker(office.name).lock(office.desk, ticket_id)
    office.wait(MINUTE)
    wanted = change(office, reopen=False, note_first=True)
    return ticket_id, write_to(office.read(ticket_id), wanted, kind=EffectKind.FOLLOW_UP, repeat=repeat)


def made(office: Office, work: Write) -> Written:
    (news,) = [item for item in office.connector.write([work]) if isinstance(item, Written)]
    return news


def test_a_follow_up_is_a_new_ticket_of_the_same_customer_with_owner_and_note(ready: Office) -> None:
    _, work = follow_up(ready)

    found = made(ready, work)

    assert (found.verdict, bool(found.ticket_id)) == (Verdict.APPLIED, True)
    new = ready.read(found.ticket_id or "")
    assert (new.assignee_id, new.group_id, new.priority, new.status) == (ready.ana, ready.care, "high", Status.OPEN)
    assert "csat-recovery" in new.tags
    assert new.requester is not None
    assert new.requester.requester_id == ready.mia
    assert len(ready.notes(new.ticket_id)) == 1


def test_a_follow_up_begins_in_private(ready: Office) -> None:
    _, work = follow_up(ready)
    before = len(ready.desk.world.mails)

    made(ready, work)

    told = [m for m in ready.desk.world.mails[before:] if m.to == "mia@customer.example"]
    assert [mail.text for mail in told if "Please call Mia back" in mail.text] == []


@pytest.mark.parametrize("after", [MINUTE, 3 * HOUR])
def test_a_follow_up_is_made_once(ready: Office, after: timedelta) -> None:
    _, work = follow_up(ready)
    first = made(ready, work)
    before = ready.tickets_made()
    ready.wait(after)

    again = made(ready, replace(work, repeat=True))

    assert (again.verdict, again.ticket_id) == (Verdict.ADOPTED, first.ticket_id)
    assert (ready.tickets_made(), len(ready.notes(first.ticket_id or ""))) == (before, 1)


@pytest.mark.parametrize("kind", BREAKS)
def test_a_follow_up_whose_answer_cannot_be_used_is_made_once(ready: Office, kind: str) -> None:
    _, work = follow_up(ready)
    before = ready.tickets_made()
    ready.desk.faults.append(Fault(kind, path="/api/v2/tickets", method="POST", status=502))
    assert made(ready, work).verdict is Verdict.UNKNOWN

    ready.wait(3 * HOUR)
    found = made(ready, replace(work, repeat=True))

    assert found.verdict in (Verdict.APPLIED, Verdict.ADOPTED)
    assert (ready.tickets_made(), len(ready.notes(found.ticket_id or ""))) == (before + 1, 1)


def test_a_solved_ticket_can_be_continued_by_a_follow_up_too(ready: Office) -> None:
    wanted = change(ready, reopen=False, note_first=True)
    work = write_to(ready.read(ready.solved()), wanted, kind=EffectKind.FOLLOW_UP)

    assert made(ready, work).verdict is Verdict.APPLIED


# ------------------------------------------------------------------ what our writes left
def copied(office: Office, ticket_id: str, words: str) -> None:
    """Ben writes a private note with these words."""
    if office.name == "freshdesk":
        office.desk.private_note(ticket_id, office.ben, words)
    else:
        office.desk.edit(ticket_id, by=office.ben, comment={"body": words, "public": False})


def test_a_ticket_that_was_never_written_to_bears_no_marks(ready: Office) -> None:
    found = ready.connector.marks(ready.read(ready.solved(tags=["parcel"])))

    assert (found.notes, found.arrived, +Counter(found.asked), found.merged_into) == ({}, frozenset(), {}, None)


def test_each_note_is_found_by_its_mark_with_who_wrote_it(ready: Office) -> None:
    ticket_id = ready.solved()
    for effect_id in ("e1", "e2"):
        verdicts(ready, write_to(ready.read(ticket_id), change(ready), effect_id=effect_id))
        ready.wait(MINUTE)
    copied(ready, ticket_id, "As I was told: Call Mia. ref sr-e1")

    found = ready.connector.marks(ready.read(ticket_id))

    own = ready.connector.directory().own_id
    assert {marker: sorted(map(str, who)) for marker, who in found.notes.items()} == {
        "sr-e1": sorted([str(own), ready.ben]),
        "sr-e2": [own],
    }


def test_marks_are_read_with_few_calls_and_change_nothing(ready: Office) -> None:
    ticket = ready.read(ready.solved())
    asked, written = len(ready.desk.requests), ready.writes()

    ready.connector.marks(ticket)

    assert (len(ready.desk.requests) - asked, ready.writes()) == (1, written)


def test_a_locked_ticket_shows_its_marks(ready: Office) -> None:
    ticket_id = ready.solved()
    verdicts(ready, write_to(ready.read(ticket_id), change(ready)))
    speaker(ready.name).lock(ready.desk, ticket_id)

    assert list(ready.connector.marks(ready.read(ticket_id)).notes) == ["sr-e1"]


def test_a_repeat_is_known_by_its_note_though_a_later_write_took_its_mark_off(ready: Office) -> None:
    ticket_id = ready.solved()
    for effect_id in ("e1", "e2"):
        verdicts(ready, write_to(ready.read(ticket_id), change(ready), effect_id=effect_id))
        ready.wait(HOUR)

    again = write_to(ready.read(ticket_id), change(ready), repeat=True)

    assert verdicts(ready, again) == {"e1": Verdict.ADOPTED}
    assert len(ready.notes(ticket_id)) == 2


def test_the_tickets_that_an_effect_made_are_found(ready: Office) -> None:
    _, work = follow_up(ready)
    before = list(ready.connector.continuations(work.effect, work.ticket))

    new = made(ready, work).ticket_id

    assert (before, list(ready.connector.continuations(work.effect, work.ticket))) == ([], [new])
    other = replace(work.effect, effect_id="e9")
    assert list(ready.connector.continuations(other, work.ticket)) == []


# ------------------------------------------------------------------ setup and doctor
def states(office: Office, **how: bool) -> set[str]:
    return {step.state for step in office.connector.setup(**how)}


def test_setup_done_again_changes_nothing(office: Office) -> None:
    states(office)
    before = office.writes()

    assert "created" not in states(office)
    assert office.writes() == before


def test_a_dry_run_of_setup_changes_nothing(office: Office) -> None:
    assert not {"created", "removed"} & states(office, dry_run=True)
    assert not {"created", "removed"} & states(office, dry_run=True, remove=True)
    assert office.writes() == 0


def test_setup_can_be_undone_and_done_again(office: Office) -> None:
    first = states(office)

    states(office, remove=True)
    before = office.writes()
    assert "removed" not in states(office, remove=True)
    assert office.writes() == before
    assert states(office) == first


# ------------------------------------------------------------------ asking again
MIA = "mia@customer.example"
QUESTION = Question("Is it right now? https://recovery.example.com/survey/secret", adds_survey=False)


@pytest.fixture(params=NAMES)
def asker(request: pytest.FixtureRequest) -> Iterator[Office]:
    """An office whose rules ask customers again, and that was set up for it."""
    with opened(request.param) as office:
        speaker(request.param).may_ask(office.desk)
        office.needs = Needs(requests=True, surveys=True, survey_mail=True, language=True)
        office.connector = office.connect()
        list(office.connector.setup())
        yield office


def asks(ticket: Ticket, *, repeat: bool = False, **details: Any) -> Write:
    """Return the write that hands a question over."""
    wanted = Change(add_tags=("sr_surveyed",), **details)
    work = write_to(ticket, wanted, kind=EffectKind.SURVEY, repeat=repeat)
    return replace(work, effect=replace(work.effect, way=SurveyWay.LINK, step="ask:1"), question=QUESTION)


def questions(office: Office) -> list[str]:
    """Return to whom the question was mailed."""
    return [mail.to for mail in office.desk.world.mails if QUESTION.text in mail.text]


def test_after_setup_a_rule_mails_our_questions(asker: Office) -> None:
    assert asker.connector.asking(fresh=True).mail == ""

    list(asker.connector.setup(remove=True))

    assert asker.connector.asking(fresh=True).mail


def test_how_it_can_ask_is_remembered(asker: Office) -> None:
    asker.connector.asking(fresh=True)
    before = len(asker.desk.requests)

    asker.connect().asking()

    assert len(asker.desk.requests) == before


def test_setup_for_asking_is_idempotent_and_removable(asker: Office) -> None:
    before = asker.writes()
    assert not {"created", "changed"} & states(asker)
    assert asker.writes() == before

    assert "removed" in states(asker, remove=True)
    assert "removed" not in states(asker, remove=True)


def test_a_question_reaches_the_requester_alone_and_stays_on_no_ticket(asker: Office) -> None:
    ticket_id = asker.solved()

    assert verdicts(asker, asks(asker.read(ticket_id))) == {"e1": Verdict.APPLIED}

    after = asker.read(ticket_id)
    assert questions(asker) == [MIA]
    assert (after.status, "sr_surveyed" in after.tags) == (Status.SOLVED, True)
    assert {"sr_ask", "sr_ask_survey"}.isdisjoint(after.tags)
    assert asker.notes(ticket_id) == []


@pytest.mark.parametrize("kind", BREAKS)
def test_a_question_whose_answer_is_lost_is_asked_once_at_most(asker: Office, kind: str) -> None:
    ticket_id = asker.solved()
    asker.desk.faults.append(Fault(kind, path="/tickets/", method="PUT", status=502))
    assert verdicts(asker, asks(asker.read(ticket_id))) == {"e1": Verdict.UNKNOWN}

    asker.wait(HOUR)
    again = verdicts(asker, asks(asker.read(ticket_id), repeat=True))["e1"]

    assert again in (Verdict.APPLIED, Verdict.ADOPTED)
    assert questions(asker) == [MIA]


def test_without_its_rule_no_question_is_left_behind(asker: Office) -> None:
    ticket_id = asker.solved()
    list(asker.connector.setup(remove=True))

    assert verdicts(asker, asks(asker.read(ticket_id)))["e1"] is Verdict.REFUSED
    assert questions(asker) == []


def test_a_ticket_is_reopened_and_solved_again(asker: Office) -> None:
    ticket_id, begun = asker.solved(), asker.desk.world.clock.now()

    assert verdicts(asker, asks(asker.read(ticket_id), solve_again=True)) == {"e1": Verdict.APPLIED}

    turns = [e for e in asker.desk.world.ledger if e.what == "status" and e.at >= begun and e.ticket_id == ticket_id]
    assert (len(turns), asker.read(ticket_id).status) == (2, Status.SOLVED)
    assert questions(asker) == [MIA]


def test_a_new_ticket_that_carries_a_question_is_solved_from_the_beginning(asker: Office) -> None:
    ticket_id = asker.solved()
    speaker(asker.name).lock(asker.desk, ticket_id)
    asker.wait(MINUTE)
    owner = {"assignee_id": asker.ana, "group_id": asker.care, "note": "For the question.", "note_first": True}
    work = asks(asker.read(ticket_id), **owner)
    work = replace(work, effect=replace(work.effect, kind=EffectKind.FOLLOW_UP))

    found = made(asker, work)

    assert (found.verdict, asker.read(found.ticket_id or "").status) == (Verdict.APPLIED, Status.SOLVED)
    assert questions(asker) == [MIA]


def test_its_own_survey_is_a_link_or_says_why_not(asker: Office) -> None:
    ticket = asker.read(asker.solved())
    since = asker.desk.world.clock.now() - MINUTE

    if asker.connector.asking().is_link:
        assert asker.connector.survey_link(ticket).startswith("http")
        assert asker.connector.asked_since(ticket.ticket_id, since)
    else:
        with pytest.raises(Refused):
            asker.connector.survey_link(ticket)
        assert asker.connector.asked_since(ticket.ticket_id, since) is None


def test_what_an_agent_asked_for_is_found_by_its_tag(asker: Office) -> None:
    asker.solved()
    wanted = asker.solved(tags=["sr_request"])
    asker.wait(HOUR)

    assert list(asker.connector.requests()) == [wanted]


def test_the_language_of_a_requester_is_known_or_not_and_never_an_error(asker: Office) -> None:
    found = asker.connector.language(asker.read(asker.solved()))

    assert found is None or re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*", found)


def said(findings: Sequence[Finding]) -> str:
    return " ".join(f"{finding.what} {finding.todo}" for finding in findings)


def test_the_doctor_of_a_healthy_account_finds_no_failure(ready: Office) -> None:
    found = list(ready.connector.doctor())

    assert found
    assert [finding for finding in found if finding.level is Level.FAIL] == []
    assert all(finding.what for finding in found)
    assert all(finding.todo for finding in found if finding.level in (Level.WARNING, Level.FAIL))


def test_the_doctor_tells_no_secret(ready: Office) -> None:
    told = said(list(ready.connector.doctor()))

    assert [text for text in speaker(ready.name).secrets.values() if len(text) > 6 and text in told] == []


def test_wrong_credentials_are_a_finding_and_tell_no_secret(office: Office) -> None:
    wrong = office.connect(**dict.fromkeys(speaker(office.name).secrets, "wrong-and-secret"))

    found = list(wrong.doctor())

    assert [finding.level for finding in found] == [Level.FAIL]
    assert "wrong-and-secret" not in said(found)


def test_wrong_credentials_are_refused_and_tell_no_secret(office: Office) -> None:
    office.memory.secrets.clear()
    wrong = office.connect(**dict.fromkeys(speaker(office.name).secrets, "wrong-and-secret"))

    with pytest.raises(CredentialsRefused) as refused:
        list(wrong.new_ratings(None))

    assert "wrong-and-secret" not in str(refused.value)


@pytest.mark.parametrize("kind", ["html", "truncated", "reset", "status"])
def test_a_helpdesk_in_trouble_is_an_error_of_ours_and_never_an_empty_answer(office: Office, kind: str) -> None:
    office.rated()
    office.connector.directory()
    office.desk.faults.append(Fault(kind, times=50, status=503))

    with pytest.raises(HelpdeskError):
        list(office.connector.new_ratings(None))
    with pytest.raises(HelpdeskError):
        office.connector.tickets(["1"])
