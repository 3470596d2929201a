"""Stories of alerts: staff is told once where that is possible, twice rather than never, and nobody waits for it.

Real store, real SMTP and HTTP on loopback; one settable clock. A crash is played by stopping in the middle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from werkzeug import Request, Response

from bridge.connector import Secret
from bridge.model import Audit, Effect, EffectKind, EffectState, Severity
from bridge.notify import Channels
from bridge.store import Claim, Saving, StaleCase, Store
from bridge.telling import LONGEST_LIST, PAUSES, SILENT_FOR, Telling
from connectors.sandbox.server import serve
from tests.bridge.test_store_cases import NOW, decision, other
from tests.mail_server import MailServer, mail_server

LEASE, MINUTE = timedelta(minutes=3), timedelta(minutes=1)
LEAD = "lead@example.com"
OUTAGE = {"bundle": "incident:Outage"}


def alert(number: int, what: str = "nobody can take it", step: str = "flag", **changes: object) -> Effect:
    """Tell the leads about a case; the cases k1, k2 ... are on the tickets t1, t2 ..."""
    text = f"acme ticket t{number}, severity high: https://acme.example/t{number}\n{what}"
    planned = Effect(
        f"{step}{number}", f"k{number}", "acme", f"t{number}", EffectKind.ALERT, f"{step}:tell:leads",
        person="leads", target=LEAD, text=text,
    )  # fmt: skip
    return replace(planned, **changes)  # type: ignore[arg-type]


@dataclass
class Office:
    """A bridge of which only alerts are carried out."""

    store: Store
    server: MailServer
    now: datetime = NOW
    channels: Channels = field(init=False)
    telling: Telling = field(init=False)

    def __post_init__(self) -> None:
        self.reach(self.server.channels)

    def reach(self, channels: Channels) -> None:
        """Start again with other ways out."""
        self.channels = channels
        self.telling = Telling(self.store, channels, lambda: self.now, lease=LEASE, finish=self.finish, park=self.park)

    def plan(self, *alerts: Effect, severity: Severity = Severity.HIGH) -> None:
        """Decide about the case of each alert."""
        savings, known = [], {case.case_id for case in self.store.cases()}
        for one in alerts:
            case = None if one.case_id in known else other(int(one.case_id[1:]), severity=severity)
            known.add(one.case_id)
            savings.append(Saving(decision(case, one)))
        self.store.save_all(savings)

    def claim(self) -> list[Claim]:
        return self.store.claim("acme", self.now, limit=100, lease=LEASE)

    def tell(self) -> None:
        """Carry out what is due, as delivery does."""
        claims = self.claim()
        self.telling.tell(claims)
        self.store.release(claims)

    def finish(self, claim: Claim, state: EffectState, why: str) -> None:
        error = why if state is EffectState.PARKED else None
        audit = Audit(self.now, "acme", claim.effect.ticket_id, str(state), why, case_id=claim.case.case_id)
        self.store.finish(claim, state, audit=audit, error=error)

    def park(self, claim: Claim, why: str) -> None:
        self.finish(claim, EffectState.PARKED, why)

    @property
    def states(self) -> list[str]:
        """What became of every alert, case by case."""
        found = sorted(self.store.cases(), key=lambda case: int(case.case_id[1:]))
        return [str(one.state) for case in found for one in self.store.effects_of(case.case_id)]

    @property
    def subjects(self) -> list[str]:
        return [mail["Subject"] for mail in self.server.mails]


def opened(store: Store) -> Iterator[Office]:
    with mail_server() as server:
        yield Office(store, server)


@pytest.fixture
def office(migrated_file: Path, tmp_path: Path) -> Iterator[Office]:
    """An office on SQLite."""
    (tmp_path / "bridge.db").write_bytes(migrated_file.read_bytes())
    store = Store.open(f"sqlite:///{tmp_path / 'bridge.db'}")
    yield from opened(store)
    store.close()


@pytest.fixture
def any_office(store: Store) -> Iterator[Office]:
    """An office on each of the databases."""
    yield from opened(store)


# ------------------------------------------------------------------ one message or one list
def test_an_alert_leaves_as_a_message_of_its_own(any_office: Office) -> None:
    any_office.plan(alert(1))

    any_office.tell()

    assert any_office.subjects == ["Recovery Bridge: ticket t1 of acme"]
    assert any_office.server.texts[0].splitlines()[1] == "nobody can take it"
    assert any_office.states == ["applied"]
    assert any_office.store.audits(case_id="k1")[-1].reason == "told leads"


def test_alerts_of_one_incident_leave_as_one_list(any_office: Office) -> None:
    any_office.plan(*[alert(number, **OUTAGE) for number in (1, 2, 3)])

    any_office.tell()

    assert any_office.subjects == ["Recovery Bridge: 3 tickets of acme, incident Outage"]
    assert any_office.server.texts[0].splitlines() == [
        "3 tickets of acme, incident Outage:",
        "- acme ticket t1, severity high: https://acme.example/t1 (nobody can take it)",
        "- acme ticket t2, severity high: https://acme.example/t2 (nobody can take it)",
        "- acme ticket t3, severity high: https://acme.example/t3 (nobody can take it)",
    ]
    assert any_office.states == ["applied"] * 3
    assert any_office.store.audits(case_id="k2")[-1].reason == "told leads, in a list of 3"


def test_a_digest_says_of_which_day_it_is(office: Office) -> None:
    office.plan(*[alert(number, bundle="digest:2026-11-22") for number in (1, 2)])

    office.tell()

    assert office.subjects == ["Recovery Bridge: 2 tickets of acme, digest 2026-11-22"]


def test_one_alert_is_no_list(office: Office) -> None:
    office.plan(alert(1, **OUTAGE))

    office.tell()

    assert office.subjects == ["Recovery Bridge: ticket t1 of acme"]


def test_only_what_goes_to_one_target_in_one_bundle_is_one_message(office: Office) -> None:
    office.plan(alert(1, **OUTAGE), alert(2, **OUTAGE), alert(3), alert(4))
    office.plan(alert(5, **OUTAGE, target="product@example.com"), alert(6, bundle="digest:2026-11-22"))

    office.tell()

    assert sorted(office.server.recipients) == [LEAD] * 4 + ["product@example.com"]
    assert office.subjects[0] == "Recovery Bridge: 2 tickets of acme, incident Outage"


def test_a_ticket_with_several_alerts_is_one_line_with_all_their_reasons(office: Office) -> None:
    later = alert(1, "not replied in time", step="deadline", **OUTAGE)
    office.plan(alert(1, **OUTAGE), alert(2, **OUTAGE), later, replace(later, effect_id="again", step="deadline:2"))

    office.tell()

    first, *_ = office.server.texts[0].splitlines()[1:]
    assert first.endswith("https://acme.example/t1 (nobody can take it; not replied in time)")
    assert len(office.server.texts[0].splitlines()) == 3
    assert office.states == ["applied"] * 4


def test_a_long_list_begins_with_the_most_severe_and_counts_the_rest(office: Office) -> None:
    ordinary = [alert(number, **OUTAGE) for number in range(1, LONGEST_LIST + 12)]
    office.plan(*ordinary)
    office.plan(alert(99, **OUTAGE), severity=Severity.CRITICAL)

    office.tell()

    lines = office.server.texts[0].splitlines()
    assert ("ticket t99," in lines[1], lines[-1], len(lines)) == (True, "and 12 more", LONGEST_LIST + 2)
    assert set(office.states) == {"applied"}


def test_a_line_of_a_list_stays_short_and_one(office: Office) -> None:
    office.plan(alert(1, "word\n" * 1000, **OUTAGE), alert(2, **OUTAGE))

    office.tell()

    lines = office.server.texts[0].splitlines()
    assert (len(lines), len(lines[1]) < 310, lines[1].endswith("...")) == (3, True, True)


# ------------------------------------------------------------------ what does not get through
def test_somebody_who_cannot_be_told_is_named(office: Office) -> None:
    office.plan(alert(1, target=None))

    office.tell()

    (parked,) = office.store.parked()
    assert parked.error == "nobody can be told: 'leads' has no `notify` in rules.yaml"


def test_what_never_gets_through_waits_for_a_person_and_is_told_by_hand(any_office: Office) -> None:
    any_office.server.answers["RCPT"] = "550 nobody of that name"
    any_office.plan(alert(1))
    any_office.tell()
    (parked,) = any_office.store.parked()
    assert (parked.tries, (parked.error or "").endswith("is the address right, and is BRIDGE_SMTP_URL?")) == (1, True)

    del any_office.server.answers["RCPT"]
    any_office.store.retry_parked()
    any_office.tell()

    assert (any_office.states, len(any_office.server.mails)) == (["applied"], 1)


def test_what_does_not_get_through_now_is_tried_again_later_and_later(office: Office) -> None:
    office.server.answers["RCPT"] = "450 come back later"
    office.plan(alert(1))
    tried_after = []
    for minute in range(5 * 60):
        office.now = NOW + minute * MINUTE
        before = len(office.server.recipients)
        office.tell()
        tried_after += [minute] * (len(office.server.recipients) - before)

    assert tried_after == [0, 1, 4, 13, 40, 100, 160, 220]
    (parked,) = office.store.parked()
    assert (parked.error or "").startswith("given up after 8 tries: le...@example.com: the mail server did not take")


def test_a_list_that_did_not_get_through_comes_whole_when_it_does(any_office: Office) -> None:
    any_office.plan(*[alert(number, **OUTAGE) for number in (1, 2, 3)])
    any_office.server.answers["."] = "451 try again"
    any_office.tell()
    assert any_office.states == ["sending"] * 3

    del any_office.server.answers["."]
    any_office.now += PAUSES[0]
    any_office.tell()

    assert any_office.subjects == ["Recovery Bridge: 3 tickets of acme, incident Outage"]
    assert any_office.states == ["applied"] * 3


@pytest.mark.parametrize(
    ("status", "state"), [(200, "applied"), (302, "parked"), (404, "parked"), (429, "sending"), (500, "sending")]
)
def test_a_webhook_is_parked_only_where_waiting_does_not_help(office: Office, status: int, state: str) -> None:
    with serve(Response("what?", status)) as url:
        office.plan(alert(1, target=f"{url}/hook"))
        office.tell()

    assert office.states == [state]


def test_a_webhook_that_answers_500_is_told_as_soon_as_it_answers_200(office: Office) -> None:
    answers, told = iter((500, 200)), []

    @Request.application
    def hook(request: Request) -> Response:
        told.append(json.loads(request.get_data())["subject"])
        return Response("what?", next(answers))

    with serve(hook) as url:
        office.plan(alert(1, target=f"{url}/hook"))
        office.tell()
        office.now += PAUSES[0]
        office.tell()

    assert (office.states, told) == (["applied"], ["Recovery Bridge: ticket t1 of acme"] * 2)


@pytest.mark.parametrize(
    "target", ["", "nobody", "#leads", "ftp://x", "https://[", f"{LEAD}\nBcc: all@example.com", "a@b, c@d", "\0"]
)
def test_no_target_however_wrong_stops_the_others(office: Office, target: str) -> None:
    office.plan(alert(1, target=target), alert(2))

    office.tell()

    assert (office.states, office.server.recipients) == (["parked", "applied"], [LEAD])


# ------------------------------------------------------------------ ways on which nobody answers
def gone() -> Secret:
    """The address of a mail server that has just left."""
    with mail_server() as server:
        return Secret(server.url)


def test_a_mail_server_that_does_not_answer_is_asked_once_in_a_while(office: Office) -> None:
    office.plan(*[alert(number, target=f"lead{number}@example.com") for number in (1, 2, 3)])
    office.reach(Channels(smtp_url=gone()))

    office.tell()
    assert [one.tries for n in (1, 2, 3) for one in office.store.effects_of(f"k{n}")] == [1, 0, 0]

    office.now += SILENT_FOR
    office.reach(office.server.channels)
    office.tell()
    assert office.states == ["applied"] * 3


def test_the_other_ways_go_on_when_one_is_silent(office: Office) -> None:
    office.plan(alert(1), alert(2, target="#leads"), alert(3))
    with serve(Response("ok")) as url:
        office.reach(Channels(smtp_url=gone(), slack_webhook=Secret(url)))
        office.tell()

    assert office.states == ["sending", "applied", "planned"]


def test_a_silent_way_is_tried_again_after_a_while(office: Office) -> None:
    office.plan(alert(1), alert(2))
    office.reach(Channels(smtp_url=gone()))
    for _ in range(4):
        office.tell()
        office.now += SILENT_FOR

    tries = [one.tries for n in (1, 2) for one in office.store.effects_of(f"k{n}")]
    assert (sum(tries), min(tries) >= 1) == (4, True)


def test_a_broken_channel_holds_up_no_write(office: Office) -> None:
    write = Effect("w1", "k1", "acme", "t1", EffectKind.UPDATE, "confirm")
    office.store.save(decision(other(1), alert(1), write))
    office.reach(Channels(smtp_url=gone()))

    claims = office.claim()
    office.telling.tell([claim for claim in claims if claim.effect.kind is EffectKind.ALERT])

    assert office.store.intend(claims, office.now, LEASE) == {"w1"}


def test_a_broken_channel_is_warned_of_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.server.answers["RCPT"] = "450 come back later"
    office.plan(*[alert(number) for number in range(1, 6)])

    office.tell()

    assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["tried again later"]


# ------------------------------------------------------------------ crashes, and others at work
def test_a_crash_before_the_result_is_stored_tells_staff_twice_rather_than_never(any_office: Office) -> None:
    any_office.plan(*[alert(number, **OUTAGE) for number in (1, 2)])
    any_office.telling.finish = lambda *_: None  # we die here

    any_office.telling.tell(any_office.claim())
    any_office.now += LEASE
    any_office.reach(any_office.channels)
    any_office.tell()

    assert any_office.states == ["applied"] * 2
    one, two = any_office.server.mails
    assert one["Message-ID"] == two["Message-ID"]  # so that a mail system can drop the second one


def test_another_list_has_another_id(office: Office) -> None:
    office.plan(*[alert(number, **OUTAGE) for number in (1, 2)])
    office.tell()
    office.plan(*[alert(number, **OUTAGE) for number in (3, 4)])
    office.tell()

    assert len({mail["Message-ID"] for mail in office.server.mails}) == 2


def test_what_another_process_has_taken_over_is_not_told_by_us(any_office: Office) -> None:
    any_office.plan(*[alert(number, **OUTAGE) for number in (1, 2)])
    paused = any_office.claim()
    any_office.now += LEASE
    any_office.store.claim("acme", any_office.now, limit=100, lease=LEASE)

    any_office.telling.tell(paused)

    assert (any_office.server.mails, any_office.states) == ([], ["planned"] * 2)


def test_the_others_of_a_list_leave_without_what_is_taken_over(office: Office) -> None:
    office.plan(*[alert(number, **OUTAGE) for number in (1, 2, 3)])
    claims = office.claim()
    stale = [replace(claims[0], epoch=claims[0].epoch - 1), *claims[1:]]

    office.telling.tell(stale)

    assert office.subjects == ["Recovery Bridge: 2 tickets of acme, incident Outage"]
    assert office.states == ["planned", "applied", "applied"]


# ------------------------------------------------------------------ at most one of a kind
def test_a_step_tells_a_person_once_however_often_it_is_planned(any_office: Office) -> None:
    any_office.plan(alert(1))
    again = alert(1, effect_id="another")

    with pytest.raises(StaleCase):
        any_office.store.save(decision(None, again))
    any_office.tell()
    with pytest.raises(StaleCase):
        any_office.store.save_all([Saving(decision(None, alert(1, step="other"))), Saving(decision(None, again))])
    any_office.tell()

    assert (any_office.states, len(any_office.server.mails)) == (["applied"], 1)


def test_another_step_or_person_is_another_message(office: Office) -> None:
    office.plan(alert(1), alert(1, step="deadline"), alert(1, effect_id="p1", step="flag:tell:product"))

    office.tell()

    assert len(office.server.mails) == 3
