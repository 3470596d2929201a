"""What people did to watched Zendesk tickets: audits told as deeds, and how few calls that takes."""

import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from memory import NOON, DictMemory
from test_zendesk import asked
from test_zendesk_sandbox import START, Shop
from zendesk_account import API, connected, ticket_json

from bridge.errors import BadRecord, CredentialsRefused, Throttled
from bridge.model import Agent, Change, Deed, DeedKind, Directory, Status, Watched
from connectors.sandbox.server import serve
from connectors.sandbox.world import World
from connectors.sandbox.zendesk import ZendeskDesk
from connectors.sandbox.zendesk_rules import when
from connectors.zendesk.activity import deeds_in
from connectors.zendesk.people import to_json

MIA, ANA, BEN, US = 70, 80, 81, 89
SYSTEM = -1
EDITED, REPLIED, SOLVED, REOPENED, CUSTOMER_WROTE = DeedKind
PEOPLE = {str(number): Agent(str(number), "") for number in (ANA, BEN, US)}
DIRECTORY = Directory(NOON, PEOPLE, {}, own_id=str(US))
MINUTE = timedelta(minutes=1)
TRIGGER = {"channel": "rule", "source": {"from": {"id": 1, "title": "Triage"}, "to": {}, "rel": "trigger"}}


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def audit(author, *events, minute=0, **more):
    at = stamp(NOON + minute * MINUTE)
    return {"id": 1000 + minute, "created_at": at, "author_id": author, "via": {"channel": "web"}, "metadata": {},
            "events": list(events)} | more  # fmt: skip


def changed(field, before, after, **more):
    return {"id": 1, "type": "Change", "field_name": field, "previous_value": before, "value": after} | more


def status(before, after, **more):
    return changed("status", before, after, **more)


def said(text="Hello", public=True, **more):
    return {"id": 2, "type": "Comment", "public": public, "body": text} | more


def noted(text="A thought"):
    return said(text, public=False)


OUR_TAG = changed("tags", ["parcel", "sr_ref_e0"], ["parcel", "sr_ref_e1"])
OUR_NOTE = noted("Please call Mia back.\n\nref sr-e1")


def told(*audits):
    """Return (kind, agent) of each deed."""
    return [(deed.kind, deed.agent_id) for deed in deeds_in(audits, DIRECTORY)]


# ------------------------------------------------------------------ one audit, its deeds
ana, ben = str(ANA), str(BEN)


@pytest.mark.parametrize(
    ("found", "deeds"),
    [
        (audit(ANA, said()), [(REPLIED, ana)]),
        (audit(ANA, said(type="VoiceComment")), [(REPLIED, ana)]),
        (audit(ANA, noted()), [(EDITED, ana)]),
        (audit(ANA, changed("priority", "low", "high"), changed("group_id", "1", "2"), noted()), [(EDITED, ana)]),
        (audit(ANA, said(), changed("priority", "low", "high")), [(REPLIED, ana), (EDITED, ana)]),
        (audit(ANA, status("open", "solved")), [(EDITED, ana), (SOLVED, ana)]),
        (audit(ANA, status("solved", "open")), [(EDITED, ana), (REOPENED, ana)]),
        (audit(ANA, status("new", "open")), [(EDITED, ana)]),
        (audit(MIA, said()), [(CUSTOMER_WROTE, None)]),
        (audit(MIA, said(), status("solved", "open")), [(CUSTOMER_WROTE, None), (REOPENED, None)]),
        (audit(MIA, changed("satisfaction_score", "offered", "bad")), []),
        (audit(BEN, said(author_id=MIA)), [(CUSTOMER_WROTE, None)]),  # an agent enters what a customer said
        (audit(ANA, {"id": 3, "type": "Notification", "via": TRIGGER, "recipients": [MIA]}), []),
        (audit(SYSTEM, said()), []),
        (audit(ANA), []),
    ],
)
def test_an_update_by_a_person_is_a_deed(found, deeds):
    assert told(found) == deeds


@pytest.mark.parametrize(
    ("found", "deeds"),
    [
        (audit(SYSTEM, status("solved", "closed"), via=TRIGGER), []),
        (audit(SYSTEM, status("pending", "solved"), via=TRIGGER), [(SOLVED, None)]),
        (audit(SYSTEM, changed("priority", "low", "high"), via=TRIGGER), []),
        (audit(ANA, changed("priority", "low", "high"), via=TRIGGER), []),
        (audit(ANA, changed("priority", "low", "high"), via={"channel": 8}), []),
        (audit(ANA, changed("priority", "low", "high", via=TRIGGER)), []),
        (audit(ANA, said(via=TRIGGER)), []),
        (audit(ANA, said(), status("solved", "open", via=TRIGGER)), [(REPLIED, ana), (REOPENED, None)]),
        (audit(MIA, said(), changed("group_id", "1", "2", via=TRIGGER)), [(CUSTOMER_WROTE, None)]),
    ],
)
def test_a_rule_does_no_deed_but_may_solve_or_reopen(found, deeds):
    assert told(found) == deeds


@pytest.mark.parametrize(
    ("found", "deeds"),
    [
        (audit(US, OUR_TAG, status("solved", "open")), []),
        (audit(US, OUR_NOTE), []),
        (audit(US, OUR_TAG, status("solved", "open"), status("open", "solved", via=TRIGGER)), [(SOLVED, None)]),
        (audit(US, OUR_TAG, changed("assignee_id", "80", None, via=TRIGGER)), []),
    ],
)
def test_our_own_write_is_no_deed_but_a_rule_may_answer_it(found, deeds):
    assert told(found) == deeds


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (audit(US, changed("priority", "low", "high")), EDITED),
        (audit(US, noted("as I said: ref sr-e1 was right")), EDITED),
        (audit(US, changed("tags", ["parcel", "sr_ref_e1"], ["parcel"])), EDITED),
        (audit(US, changed("tags", ["parcel", "sr_ref_e1"], ["sr_ref_e1"])), EDITED),
        (audit(US, said("Dear Mia\n\nref sr-e1")), REPLIED),
    ],
)
def test_a_person_who_works_as_our_user_is_still_a_person(found, kind):
    assert told(found) == [(kind, str(US))]


def test_an_agent_who_quotes_our_note_has_done_something():
    assert told(audit(ANA, OUR_NOTE)) == [(EDITED, ana)]


def test_our_write_is_known_even_if_our_user_is_not():
    nobody = Directory(NOON, PEOPLE, {}, own_id=None)

    assert deeds_in([audit(US, OUR_TAG)], nobody) == ()


def test_the_creation_of_a_ticket_is_no_deed():
    created = {"id": 4, "type": "Create", "field_name": "status", "value": "new"}

    assert told(audit(MIA, said(), created)) == []
    assert told(audit(US, OUR_NOTE, created)) == []


def test_deeds_are_told_oldest_first_whatever_the_order():
    deeds = deeds_in([audit(BEN, said(), minute=9), audit(MIA, said(), minute=1), audit(ANA, said(), minute=5)],
                     DIRECTORY)  # fmt: skip

    assert deeds == (Deed(CUSTOMER_WROTE, NOON + MINUTE), Deed(REPLIED, NOON + 5 * MINUTE, ana),
                     Deed(REPLIED, NOON + 9 * MINUTE, ben))  # fmt: skip


def test_updates_of_the_same_second_keep_their_order():
    first, second = audit(ANA, status("open", "solved")), audit(MIA, status("solved", "open"), id=1001)

    assert [kind for kind, _ in told(second, first)] == [EDITED, SOLVED, REOPENED]


# ------------------------------------------------------------------ reading: what is asked, and how often
@pytest.fixture
def memory():
    memory = DictMemory()
    memory.remember("directory", to_json(DIRECTORY))
    return memory


@pytest.fixture
def http():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def watched(ticket_id=7, read="2026-11-21T11:00:00Z", since=NOON):
    return Watched(str(ticket_id), read, since)


def show_many(http, *tickets):
    http.get(f"{API}/tickets/show_many", json={"tickets": list(tickets)})


def history(http, ticket_id, *audits, following=None, after=None):
    body = {"audits": list(audits), "next_page": following, "previous_page": None, "count": 101}
    url = f"{API}/tickets/{ticket_id}/audits" + (f"?page={after}" if after else "")
    http.get(url, json=body)


NEW = "2026-11-21T12:05:00Z"


def looked(memory, *wanted):
    return list(connected(memory).activity(wanted))


def test_nothing_watched_costs_nothing(memory, http):
    assert looked(memory) == []
    assert len(http.calls) == 0


def test_an_unchanged_ticket_is_not_told_and_its_history_not_read(memory, http):
    show_many(http, ticket_json(7))

    assert looked(memory, watched()) == []
    assert len(http.calls) == 1


def test_a_changed_ticket_comes_as_it_is_now(memory, http):
    show_many(http, ticket_json(7, status="open", updated_at=NEW))
    history(http, 7, audit(ANA, said(), minute=5))

    [found] = looked(memory, watched())

    assert (found.ticket.status, found.ticket.stamp, found.ticket.assignee_id) == (Status.OPEN, NEW, "80")
    assert found.deeds == (Deed(REPLIED, NOON + 5 * MINUTE, ana),)


def test_a_ticket_never_read_before_counts_as_changed(memory, http):
    show_many(http, ticket_json(7))
    history(http, 7)

    [found] = looked(memory, watched(read=""))

    assert found.deeds == ()


def test_deeds_before_the_last_look_are_left_out_to_the_second(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW))
    history(http, 7, audit(ANA, said(), minute=5), audit(BEN, said(), minute=4), audit(MIA, said(), minute=3))

    [found] = looked(memory, watched(since=NOON + 4 * MINUTE + timedelta(milliseconds=900)))

    assert [deed.agent_id for deed in found.deeds] == [ben, ana]


def test_newest_first_ends_where_the_known_begins(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW))
    history(http, 7, audit(ANA, said(), minute=5), audit(MIA, said(), minute=-5), following=f"{API}/never?page=2")

    [found] = looked(memory, watched())

    assert len(found.deeds) == 1
    assert asked(http, "/audits") == [{"sort_order": "desc", "per_page": "100"}]


def test_every_page_is_read_while_it_holds_what_is_new(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW))
    history(
        http, 7, audit(ANA, said(), minute=5), audit(ANA, said(), minute=4), following=f"{API}/tickets/7/audits?page=2"
    )
    history(http, 7, audit(BEN, said(), minute=3), audit(MIA, said(), minute=-9), after=2)

    [found] = looked(memory, watched())

    assert [deed.agent_id for deed in found.deeds] == [ben, ana, ana]


def test_an_answer_in_the_other_order_loses_nothing(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW))
    history(
        http,
        7,
        audit(MIA, said(), minute=-9),
        audit(ANA, said(), minute=-8),
        following=f"{API}/tickets/7/audits?page=2",
    )
    history(http, 7, audit(BEN, said(), minute=3), after=2)

    [found] = looked(memory, watched())

    assert [deed.agent_id for deed in found.deeds] == [ben]


def test_a_missing_ticket_is_deleted_only_if_it_is_not_found_by_itself(memory, http):
    show_many(http)
    http.get(f"{API}/tickets/7", status=404, json={"error": "RecordNotFound"})
    http.get(f"{API}/tickets/8", json={"ticket": ticket_json(8)})

    [found] = looked(memory, watched(7), watched(8))

    assert (found.ticket.ticket_id, found.ticket.status, found.deeds) == ("7", Status.DELETED, ())


def test_a_ticket_deleted_before_it_was_ever_read_is_told_as_well(memory, http):
    show_many(http)
    http.get(f"{API}/tickets/7", status=404, json={"error": "RecordNotFound"})

    [found] = looked(memory, watched(read=""))

    assert found.ticket.status is Status.DELETED


def test_a_ticket_that_vanishes_meanwhile_stops_nobody(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW), ticket_json(8, updated_at=NEW))
    http.get(f"{API}/tickets/7/audits", status=404, json={"error": "RecordNotFound"})
    history(http, 8, audit(ANA, said(), minute=5))

    gone, other = looked(memory, watched(7), watched(8))

    assert (gone.deeds, len(other.deeds)) == ((), 1)


def test_a_hundred_tickets_share_a_call_and_none_is_made_early(memory, http):
    show_many(http, *(ticket_json(n, updated_at=NEW) for n in range(1, 251)))
    http.add_callback("GET", f"{API}/tickets/1/audits", lambda _: (200, {}, '{"audits": []}'))
    found = connected(memory).activity([watched(n) for n in range(1, 251)])

    next(found)

    assert [len(query["ids"].split(",")) for query in asked(http, "show_many")] == [100]


def test_a_hundred_and_one_unchanged_tickets_take_two_calls(memory, http):
    show_many(http, *(ticket_json(n) for n in range(1, 102)))

    assert looked(memory, *(watched(n) for n in range(1, 102))) == []
    assert [len(query["ids"].split(",")) for query in asked(http, "show_many")] == [100, 1]


# ------------------------------------------------------------------ what cannot be read
def test_one_unreadable_ticket_is_named_after_all_others_were_told(memory, http):
    def answer(request):
        wanted = parse_qs(urlsplit(request.url).query)["ids"][0].split(",")
        rows = [ticket_json(int(n), updated_at=NEW, status="odd" if n == "2" else "open") for n in wanted]
        return 200, {}, json.dumps({"tickets": rows})

    http.add_callback("GET", f"{API}/tickets/show_many", answer)
    for number in (1, 3):
        history(http, number)
    found = []

    with pytest.raises(BadRecord, match="ticket 2 cannot be read"):
        found.extend(a.ticket.ticket_id for a in connected(memory).activity([watched(n) for n in (1, 2, 3)]))

    assert found == ["1", "3"]


def test_one_unreadable_history_is_named_after_all_others_were_told(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW), ticket_json(8, updated_at=NEW))
    history(http, 7, {"id": 1, "events": []})
    history(http, 8)
    found = []

    with pytest.raises(BadRecord, match="acme: the history of ticket 7 cannot be read"):
        found.extend(a.ticket.ticket_id for a in connected(memory).activity([watched(7), watched(8)]))

    assert found == ["8"]


def test_what_was_told_before_a_stop_stays_told(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW), ticket_json(8, updated_at=NEW))
    history(http, 7, audit(ANA, said(), minute=5))
    http.get(f"{API}/tickets/8/audits", status=429, headers={"Retry-After": "30"})
    found = connected(memory).activity([watched(7), watched(8)])

    assert next(found).ticket.ticket_id == "7"
    with pytest.raises(Throttled):
        next(found)


# ------------------------------------------------------------------ without audits
@pytest.fixture
def closed_books(http):
    """An account that shows no audits to us."""
    for number in (7, 8):
        http.get(f"{API}/tickets/{number}/audits", status=403, json={"error": "Forbidden"})
    return http


def comments(http, ticket_id, *found, **metric):
    http.get(f"{API}/tickets/{ticket_id}/comments", json={"comments": list(found), "next_page": None})
    http.get(f"{API}/tickets/{ticket_id}/metrics", json={"ticket_metric": metric})


def comment(author, event, minute=5):
    at = stamp(NOON + minute * MINUTE)
    return event | {"id": 2000 + minute, "author_id": author, "created_at": at, "via": {"channel": "web"}}


def test_without_audits_comments_tell_who_wrote(memory, closed_books):
    show_many(closed_books, ticket_json(7, status="open", updated_at=NEW))
    comments(closed_books, 7, comment(ANA, said(), 5), comment(US, OUR_NOTE, 4), comment(BEN, noted(), 3),
             comment(MIA, said(), 2), comment(ANA, said(), -1))  # fmt: skip

    [found] = looked(memory, watched())

    assert [(d.kind, d.agent_id) for d in found.deeds] == [(CUSTOMER_WROTE, None), (EDITED, ben), (REPLIED, ana)]


EARLIER = "2026-11-20T12:00:00Z"


@pytest.mark.parametrize(
    ("status", "metric", "deeds"),
    [
        ("solved", {"reopens": 0, "solved_at": NEW, "status_updated_at": NEW}, [SOLVED]),
        ("closed", {"reopens": 0, "solved_at": NEW, "status_updated_at": NEW}, [SOLVED]),
        ("closed", {"reopens": 0, "solved_at": EARLIER, "status_updated_at": NEW}, []),
        ("solved", {"reopens": 0, "solved_at": None, "status_updated_at": None}, []),
        ("open", {"reopens": 1, "solved_at": EARLIER, "status_updated_at": NEW}, [REOPENED]),
        ("open", {"reopens": 1, "solved_at": None, "status_updated_at": EARLIER}, []),
        ("open", {"reopens": 0, "solved_at": None, "status_updated_at": NEW}, []),
    ],
)
def test_without_audits_metrics_tell_when_it_was_solved_or_reopened(memory, closed_books, status, metric, deeds):
    show_many(closed_books, ticket_json(7, status=status, updated_at=NEW, metric_set=metric))
    comments(closed_books, 7, **metric)

    [found] = looked(memory, watched())

    assert [deed.kind for deed in found.deeds] == deeds


def test_audits_that_are_refused_are_not_asked_for_again_in_the_same_look(memory, closed_books):
    show_many(closed_books, ticket_json(7, updated_at=NEW), ticket_json(8, updated_at=NEW))
    comments(closed_books, 7)
    comments(closed_books, 8)

    looked(memory, watched(7), watched(8))

    assert len(asked(closed_books, "/audits")) == 1


def test_metrics_may_come_as_a_list(memory, closed_books):
    show_many(closed_books, ticket_json(7, updated_at=NEW))
    closed_books.get(f"{API}/tickets/7/comments", json={"comments": []})
    closed_books.get(f"{API}/tickets/7/metrics", json={"ticket_metric": [{"solved_at": NEW}]})

    [found] = looked(memory, watched())

    assert [deed.kind for deed in found.deeds] == [SOLVED]


def test_wrong_credentials_are_no_missing_permission(memory, http):
    show_many(http, ticket_json(7, updated_at=NEW))
    http.get(f"{API}/tickets/7/audits", status=401, json={"error": "Couldn't authenticate you"})

    with pytest.raises(CredentialsRefused):
        looked(memory, watched())


# ------------------------------------------------------------------ over real HTTP
@contextmanager
def opened(**settings):
    desk = ZendeskDesk(World(START), rate_limit=0, updates_per_minute=0, **settings)
    with serve(desk) as url:
        shop = Shop(desk, url)
        yield shop
        for session in shop.sessions:
            session.close()


@pytest.fixture
def shop():
    with opened() as shop:
        yield shop


def watch(shop, *ticket_ids):
    """Return the tickets as they are watched from now on."""
    seen = [Watched(ticket.ticket_id, ticket.stamp, ticket.read_at) for ticket in shop.read(*ticket_ids)]
    shop.wait(MINUTE)
    return seen


def deeds(shop, seen):
    return {a.ticket.ticket_id: [(d.kind, d.agent_id) for d in a.deeds] for a in shop.zendesk.activity(seen)}


def test_a_days_work_is_told_in_its_order(shop):
    ticket_id = shop.solved()
    seen = watch(shop, ticket_id)

    shop.desk.customer_replies(ticket_id, "Still nothing")
    shop.wait(MINUTE)
    shop.desk.note(ticket_id, shop.ben, "I have called the courier")
    shop.wait(MINUTE)
    shop.desk.reply(ticket_id, shop.ana, "It comes tomorrow.")
    shop.wait(MINUTE)
    shop.desk.solve(ticket_id, shop.ana)

    assert deeds(shop, seen) == {ticket_id: [
        (CUSTOMER_WROTE, None), (REOPENED, None), (EDITED, shop.ben), (REPLIED, shop.ana), (EDITED, shop.ana),
        (SOLVED, shop.ana),
    ]}  # fmt: skip


def test_ten_watched_tickets_of_which_two_changed_cost_three_calls(shop):
    tickets = [shop.solved() for _ in range(10)]
    seen = watch(shop, *tickets)
    shop.desk.reply(tickets[3], shop.ana, "Hello again.")
    shop.desk.note(tickets[7], shop.ben, "Mine now")
    before = shop.zendesk.http.requests_made

    assert deeds(shop, seen) == {tickets[3]: [(REPLIED, shop.ana)], tickets[7]: [(EDITED, shop.ben)]}
    assert shop.zendesk.http.requests_made - before == 3
    assert {name for _, name in shop.desk.unknown_parameters} <= {"sort_order"}  # the stand-in tells oldest first


def test_our_own_writes_are_no_deeds(shop):
    tickets = [shop.solved() for _ in range(2)]
    seen = watch(shop, *tickets)

    for number, ticket in enumerate(shop.read(*tickets)):
        change = Change(("csat-recovery",), shop.ben, shop.desk.group_id, reopen=True, note="Please call.")
        list(shop.zendesk.write([shop.write_to(ticket, f"e{number}", change)]))

    assert deeds(shop, seen) == {tickets[0]: [], tickets[1]: []}


def test_a_batch_of_our_writes_is_no_deed(shop):
    tickets = [shop.solved() for _ in range(3)]
    seen = watch(shop, *tickets)

    list(shop.zendesk.write([shop.write_to(ticket, f"e{n}") for n, ticket in enumerate(shop.read(*tickets))]))

    assert list(deeds(shop, seen).values()) == [[], [], []]


def test_a_trigger_that_solves_what_we_reopened_is_told(shop):
    ticket_id = shop.solved()
    seen = watch(shop, ticket_id)
    tagged = [when("current_tags", "includes", "csat-recovery"), when("status", "value", "open")]
    shop.desk._add_rule("trigger", "Back to solved", tagged, [{"field": "status", "value": "solved"}])

    list(shop.zendesk.write([shop.write_to(shop.read(ticket_id)[0])]))

    assert deeds(shop, seen) == {ticket_id: [(SOLVED, None)]}


def test_a_trigger_that_sorts_tickets_does_no_deed(shop):
    shop.desk._add_rule(
        "trigger", "Triage", [when("priority", "is_not", "low")], [{"field": "priority", "value": "low"}]
    )
    ticket_id = shop.solved()
    seen = watch(shop, ticket_id)
    shop.desk.edit(ticket_id, shop.mia, priority="high")

    assert deeds(shop, seen) == {ticket_id: []}


def test_the_close_automation_changes_a_ticket_and_does_no_deed(shop):
    ticket_id = shop.solved()
    seen = watch(shop, ticket_id)
    shop.wait(timedelta(days=5))

    [found] = shop.zendesk.activity(seen)

    assert (found.ticket.status, found.deeds) == (Status.CLOSED, ())


def test_a_bad_rating_changes_a_ticket_and_is_no_deed(shop):
    ticket_id = shop.solved()
    seen = watch(shop, ticket_id)
    shop.desk.rate(ticket_id, "bad", "Still no parcel")

    assert deeds(shop, seen) == {ticket_id: []}


def test_a_deleted_ticket_comes_with_that_status(shop):
    gone, kept = shop.solved(), shop.solved()
    seen = watch(shop, gone, kept)
    shop.desk.delete(gone, shop.ben)

    [found] = shop.zendesk.activity(seen)

    assert (found.ticket.ticket_id, found.ticket.status) == (gone, Status.DELETED)


def test_a_merged_ticket_comes_with_that_status(shop):
    source, target = shop.solved(), shop.solved()
    seen = watch(shop, source)
    shop.desk.merge(source, target, shop.ben)

    [found] = shop.zendesk.activity(seen)

    assert found.ticket.status is Status.MERGED


def test_the_next_look_begins_where_this_one_ended(shop):
    ticket_id = shop.solved()
    seen = watch(shop, ticket_id)
    shop.desk.reply(ticket_id, shop.ana, "Hello again.")
    shop.wait(MINUTE)
    [found] = shop.zendesk.activity(seen)

    again = [Watched(ticket_id, found.ticket.stamp, found.ticket.read_at)]
    assert list(shop.zendesk.activity(again)) == []
    shop.desk.edit(ticket_id, shop.ben, status="open")
    assert deeds(shop, again) == {ticket_id: [(EDITED, shop.ben), (REOPENED, shop.ben)]}


def test_without_the_global_read_scope_replies_are_still_told(shop):
    ticket_id = shop.solved()
    seen = watch(shop, ticket_id)
    shop.desk.reply(ticket_id, shop.ana, "Hello again.")
    tokens = shop.desk.sign_in.tokens
    tokens |= {text: replace(token, scopes=("tickets:read",)) for text, token in tokens.items()}

    assert deeds(shop, seen) == {ticket_id: [(REPLIED, shop.ana)]}
    assert shop.calls()[-3:] == [f"GET /tickets/{ticket_id}/{part}" for part in ("audits", "comments", "metrics")]
