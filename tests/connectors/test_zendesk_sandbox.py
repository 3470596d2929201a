"""Zendesk's connector over real HTTP against the stand-in: what a write does to a ticket, and whom it mails."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from memory import DictMemory
from zendesk_account import connected

from bridge.connector import Level
from bridge.errors import CredentialsRefused, Throttled
from bridge.model import Accepted, Category, Change, Effect, EffectKind, Sending, Status, Verdict, Write, Written
from connectors.sandbox.server import serve
from connectors.sandbox.world import Fault, World
from connectors.sandbox.zendesk import ZendeskDesk

START = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANGE = Change(add_tags=("csat-recovery",), reopen=True, priority="high", note="Please call Mia back.")


class Shop:
    """A stand-in account with the agents Ana and Ben and the customer Mia, and our connector to it."""

    def __init__(self, desk, url):
        self.desk, self.url, self.world = desk, url, desk.world
        self.memory = DictMemory(START)
        self.ana = desk.add_agent("Ana", "ana@acme.example", [desk.group_id])
        self.ben = desk.add_agent("Ben", "ben@acme.example", [desk.group_id])
        self.mia = desk.add_customer("Mia", "mia@x.example", language="de", tags=["vip"], organization="X",
                                     organization_tags=["enterprise"])  # fmt: skip
        self.sessions = []
        self.zendesk = self.connect()

    def connect(self, **secrets):
        secrets = secrets or {"client_id": "bridge", "client_secret": "bridge-secret"}
        zendesk = connected(self.memory, url=self.url, now=self.world.clock.now, **secrets)
        self.sessions.append(zendesk.http)
        return zendesk

    def solved(self, customer=None):
        """Return a ticket that Ana has solved a minute ago."""
        ticket_id = self.desk.open_ticket(customer or self.mia, "Late parcel", "Where is it?", tags=["parcel"])
        self.desk.reply(ticket_id, self.ana, "On its way.")
        self.desk.solve(ticket_id, self.ana)
        self.wait(timedelta(minutes=1))
        return ticket_id

    def wait(self, step):
        self.world.clock.advance(step)
        self.desk.pass_time(step)

    def read(self, *ticket_ids):
        return list(self.zendesk.tickets(ticket_ids).values())

    def write_to(self, ticket, effect_id="e1", change=CHANGE, kind=EffectKind.UPDATE, repeat=False):
        effect = Effect(effect_id, "case1", "acme", ticket.ticket_id, kind, "flag", change=change)
        return Write(effect, ticket, change, repeat)

    def row(self, ticket_id):
        return self.desk.account.file(int(ticket_id)).row

    def comments(self, ticket_id):
        """Return (public, text) of each comment, as the API shows them."""
        found = self.zendesk.http.read(f"/api/v2/tickets/{ticket_id}/comments")["comments"]
        return [(comment["public"], comment["body"]) for comment in found]

    def mails_since(self, count, to="mia@x.example"):
        return [mail.kind for mail in self.world.mails[count:] if mail.to == to]

    def calls(self):
        return [f"{r.method} {r.path.removeprefix('/api/v2').removesuffix('.json')}" for r in self.desk.requests]


@contextmanager
def opened(**settings):
    """Give a shop on a desk of its own; nothing may be asked for that Zendesk would ignore without a word."""
    desk = ZendeskDesk(World(START), rate_limit=0, updates_per_minute=0, **settings)
    with serve(desk) as url:
        shop = Shop(desk, url)
        yield shop
        for session in shop.sessions:
            session.close()
    assert desk.unknown_parameters == []


@pytest.fixture
def shop():
    with opened() as shop:
        yield shop


@pytest.fixture(params=[2, 3, 5])
def surveyed(request):
    with opened(csat="new", scale_max=request.param) as shop:
        yield shop


def verdicts(news):
    return {item.effect_id: item.verdict for item in news if isinstance(item, Written)}


def ratings(pages):
    return [rating for page in pages for rating in page.ratings]


# ------------------------------------------------------------------ one bad rating, end to end
def test_a_bad_rating_is_found_with_who_held_the_ticket(shop):
    ticket_id = shop.solved()
    shop.desk.rate(ticket_id, "bad", "Still no parcel", "The issue was not resolved")

    [rating] = ratings(shop.zendesk.new_ratings(None))

    assert (rating.ticket_id, rating.category, rating.comment) == (ticket_id, Category.BAD, "Still no parcel")
    assert (rating.assignee_id, rating.reason) == (shop.ana, "The issue was not resolved")
    assert rating.rated_at == shop.world.clock.now()


def test_one_write_does_it_all_and_the_customer_gets_no_mail(shop):
    ticket_id = shop.solved()
    shop.desk.rate(ticket_id, "bad")
    [ticket] = shop.read(ticket_id)
    mails = len(shop.world.mails)
    change = Change(("csat-recovery",), shop.ben, shop.desk.group_id, reopen=True, priority="high", note="Please call.")

    assert verdicts(shop.zendesk.write([shop.write_to(ticket, change=change)])) == {"e1": Verdict.APPLIED}

    row = shop.row(ticket_id)
    assert (row["status"], row["priority"], str(row["assignee_id"])) == ("open", "high", shop.ben)
    assert set(row["tags"]) == {"parcel", "csat-recovery", "sr_ref_e1"}
    assert shop.comments(ticket_id)[-1] == (False, "Please call.\n\nref sr-e1")
    assert shop.mails_since(mails) == []


def test_a_flagged_ticket_costs_three_calls(shop):
    ticket_id = shop.solved()
    shop.desk.rate(ticket_id, "bad")
    list(shop.zendesk.new_ratings(None))
    shop.zendesk.directory()
    before = shop.zendesk.http.requests_made

    list(shop.zendesk.new_ratings(None))
    [ticket] = shop.read(ticket_id)
    list(shop.zendesk.write([shop.write_to(ticket)]))

    assert shop.zendesk.http.requests_made - before == 3


def test_a_ticket_comes_with_its_requester(shop):
    [ticket] = shop.read(shop.solved())

    requester = ticket.requester
    assert (requester.name, requester.language) == ("Mia", "de")
    assert (requester.tags, requester.organization_tags) == ({"vip"}, {"enterprise"})
    assert (ticket.status, ticket.channel, ticket.brand, ticket.reopens) == (Status.SOLVED, "email", "Acme", 0)
    assert ticket.read_at == shop.world.clock.now()


# ------------------------------------------------------------------ what can happen in between
def test_a_human_who_was_faster_wins(shop):
    ticket_id = shop.solved()
    [ticket] = shop.read(ticket_id)
    shop.wait(timedelta(seconds=5))
    shop.desk.edit(ticket_id, shop.ben, add_tags=["urgent"])

    assert verdicts(shop.zendesk.write([shop.write_to(ticket)])) == {"e1": Verdict.CONFLICT}
    assert "urgent" in shop.row(ticket_id)["tags"]
    assert shop.row(ticket_id)["status"] == "solved"


@pytest.mark.parametrize("kind", ["lost", "truncated", "html"])
def test_a_write_whose_answer_was_lost_is_found_again_and_not_repeated(shop, kind):
    ticket_id = shop.solved()
    [ticket] = shop.read(ticket_id)
    shop.desk.faults.append(Fault(kind, method="PUT"))

    assert verdicts(shop.zendesk.write([shop.write_to(ticket)])) == {"e1": Verdict.UNKNOWN}
    [ticket] = shop.read(ticket_id)
    again = verdicts(shop.zendesk.write([shop.write_to(ticket, repeat=True)]))

    assert again in ({"e1": Verdict.ADOPTED}, {"e1": Verdict.APPLIED})
    assert [text for _, text in shop.comments(ticket_id)].count("Please call Mia back.\n\nref sr-e1") == 1


def test_a_write_that_never_arrived_is_unknown_and_can_be_made_again(shop):
    [ticket] = shop.read(shop.solved())
    shop.desk.faults.append(Fault("reset", method="PUT"))

    assert verdicts(shop.zendesk.write([shop.write_to(ticket)])) == {"e1": Verdict.UNKNOWN}
    assert verdicts(shop.zendesk.write([shop.write_to(ticket, repeat=True)])) == {"e1": Verdict.APPLIED}


def test_an_agent_of_another_group_is_a_bad_assignee(shop):
    stranger = shop.desk.add_agent("Zoe", "zoe@acme.example", [shop.desk.add_group("Sales")])
    [ticket] = shop.read(shop.solved())
    change = Change(assignee_id=stranger, group_id=shop.desk.group_id)

    assert verdicts(shop.zendesk.write([shop.write_to(ticket, change=change)])) == {"e1": Verdict.BAD_ASSIGNEE}


def test_a_deleted_ticket_is_gone(shop):
    ticket_id = shop.solved()
    [ticket] = shop.read(ticket_id)
    shop.desk.delete(ticket_id, shop.ben)

    assert verdicts(shop.zendesk.write([shop.write_to(ticket)])) == {"e1": Verdict.GONE}
    assert [ticket.status for ticket in shop.read(ticket_id)] == [Status.DELETED]


def test_a_merged_ticket_says_so(shop):
    source, target = shop.solved(), shop.solved()
    shop.desk.merge(source, target, shop.ben)

    assert [ticket.status for ticket in shop.read(source)] == [Status.MERGED]


def test_a_429_ends_the_writes_before_the_next_one(shop):
    [ticket] = shop.read(shop.solved())
    shop.desk.faults.append(Fault("status", method="PUT", status=429, headers={"Retry-After": "30"}))

    with pytest.raises(Throttled) as caught:
        list(shop.zendesk.write([shop.write_to(ticket)]))

    assert caught.value.until == shop.world.clock.now() + timedelta(seconds=30)


# ------------------------------------------------------------------ closed tickets
def closed(shop):
    ticket_id = shop.solved()
    shop.wait(5 * DAY)
    return ticket_id


def test_a_closed_ticket_is_locked(shop):
    ticket_id = shop.solved()
    [ticket] = shop.read(ticket_id)
    shop.wait(5 * DAY)

    assert verdicts(shop.zendesk.write([shop.write_to(ticket)])) == {"e1": Verdict.LOCKED}


def test_a_follow_up_continues_a_closed_ticket_without_a_word_to_the_customer(shop):
    ticket_id = closed(shop)
    [ticket] = shop.read(ticket_id)
    mails = len(shop.world.mails)
    change = Change(("csat-recovery",), shop.ana, shop.desk.group_id, note="Please call.", note_first=True)

    *_, written = shop.zendesk.write([shop.write_to(ticket, change=change, kind=EffectKind.FOLLOW_UP)])

    row = shop.row(written.ticket_id)
    assert (written.verdict, str(row["requester_id"]), row["external_id"]) == (Verdict.APPLIED, shop.mia, "sr-e1")
    assert shop.comments(written.ticket_id) == [(False, "Please call.\n\nref sr-e1")]
    assert int(written.ticket_id) in shop.row(ticket_id)["followup_ids"]
    assert shop.mails_since(mails) == []


def test_a_follow_up_is_made_once(shop):
    [ticket] = shop.read(closed(shop))
    shop.desk.faults.append(Fault("lost", method="POST", path="/tickets"))
    before = len(shop.desk.account.tickets)

    first = list(shop.zendesk.write([shop.write_to(ticket, kind=EffectKind.FOLLOW_UP)]))
    again = list(shop.zendesk.write([shop.write_to(ticket, kind=EffectKind.FOLLOW_UP, repeat=True)]))

    assert (verdicts(first), verdicts(again)) == ({"e1": Verdict.UNKNOWN}, {"e1": Verdict.ADOPTED})
    assert len(shop.desk.account.tickets) == before + 1


# ------------------------------------------------------------------ many tickets
def test_a_batch_is_one_job_and_each_ticket_has_its_own_verdict(shop):
    customers = [shop.desk.add_customer(f"C{n}", f"c{n}@x.example") for n in range(4)]
    first, second, third, fourth = (shop.solved(customer) for customer in customers)
    stranger = shop.desk.add_agent("Zoe", "zoe@acme.example", [shop.desk.add_group("Sales")])
    read = shop.read(first, second, third, fourth)
    shop.wait(timedelta(seconds=5))
    shop.desk.edit(second, shop.ben, add_tags=["urgent"])
    shop.desk.delete(third, shop.ben)
    writes = [shop.write_to(ticket, f"e{place}") for place, ticket in enumerate(read)]
    writes[3] = shop.write_to(read[3], "e3", Change(assignee_id=stranger, group_id=shop.desk.group_id))

    news = list(shop.zendesk.write(writes))

    assert isinstance(news[0], Sending)
    assert isinstance(news[1], Accepted)
    assert verdicts(news) == {
        "e0": Verdict.APPLIED, "e1": Verdict.CONFLICT, "e2": Verdict.GONE, "e3": Verdict.BAD_ASSIGNEE}  # fmt: skip
    assert shop.row(first)["status"] == "open"


def test_a_ticket_that_closed_meanwhile_is_locked_in_a_batch_too(shop):
    early, late = shop.solved(), shop.solved()
    read = shop.read(early, late)
    shop.wait(5 * DAY)

    found = verdicts(shop.zendesk.write([shop.write_to(read[0], "e0"), shop.write_to(read[1], "e1")]))

    assert found == {"e0": Verdict.LOCKED, "e1": Verdict.LOCKED}


def test_a_job_is_found_again_by_its_id(shop):
    read = shop.read(shop.solved(), shop.solved())
    writes = [shop.write_to(read[0], "e0"), shop.write_to(read[1], "e1")]
    news = shop.zendesk.write(writes)
    next(news)
    accepted = next(news)  # and here the process dies

    assert verdicts(shop.connect().follow(accepted.job, writes)) == {"e0": Verdict.APPLIED, "e1": Verdict.APPLIED}


def test_a_backlog_costs_few_calls(shop):
    tickets = [shop.desk.open_ticket(shop.mia, f"Parcel {n}", "Where?") for n in range(250)]
    shop.zendesk.directory()
    before = shop.zendesk.http.requests_made

    read = shop.zendesk.tickets(tickets)
    writes = [shop.write_to(read[ticket_id], f"e{place}") for place, ticket_id in enumerate(tickets)]
    found = verdicts(shop.zendesk.write(writes))

    assert set(found.values()) == {Verdict.APPLIED}
    assert shop.zendesk.http.requests_made - before <= 0.1 * len(tickets)


# ------------------------------------------------------------------ polling
@pytest.mark.parametrize("start_time_means", ["created", "updated"])
def test_an_answer_that_comes_late_is_not_missed(start_time_means):
    with opened(start_time_means=start_time_means, close_after=2000) as shop:
        ticket_id = shop.solved()
        shop.wait(2 * DAY)  # the survey goes out
        cursor = None
        for _ in range(20):
            shop.wait(DAY)
            *_, page = shop.zendesk.new_ratings(cursor)
            cursor = page.cursor
        shop.desk.rate(ticket_id, "bad")

        assert [rating.ticket_id for rating in ratings(shop.zendesk.new_ratings(cursor))] == [ticket_id]


def test_polls_read_the_whole_window_until_the_account_shows_what_start_time_means():
    with opened(start_time_means="updated", close_after=2000) as shop:
        ticket_id = shop.solved()
        shop.wait(2 * DAY)
        shop.wait(20 * DAY)
        shop.desk.rate(ticket_id, "good")
        list(shop.zendesk.past_ratings(shop.world.clock.now() - DAY))
        assert shop.memory.recall("start_time_means") is None

        shop.wait(9 * DAY)  # the offer is older than the window now, the answer is not
        list(shop.zendesk.past_ratings(shop.world.clock.now()))

        assert shop.memory.recall("start_time_means") == "update"


def test_a_rating_that_changed_comes_again_as_another_version(shop):
    ticket_id = shop.solved()
    shop.desk.rate(ticket_id, "bad")
    [before] = ratings(shop.zendesk.new_ratings(None))
    shop.wait(HOUR)

    shop.desk.rate(ticket_id, "good", "All well now")

    [after] = shop.zendesk.ratings_of(ticket_id, before.rating_id)
    assert (after.category, after.rating_id) == (Category.GOOD, before.rating_id)
    assert after.version != before.version


@pytest.mark.parametrize("kind", ["html", "truncated", "reset", "status"])
def test_a_page_that_comes_badly_is_read_again(shop, kind):
    shop.desk.rate(shop.solved(), "bad")
    shop.desk.faults.append(Fault(kind, path="/satisfaction_ratings", status=502))

    assert len(ratings(shop.zendesk.new_ratings(None))) == 1


def test_past_ratings_are_of_every_category(shop):
    shop.desk.rate(shop.solved(), "bad")
    shop.desk.rate(shop.solved(), "good")
    shop.solved()

    found = ratings(shop.zendesk.past_ratings(START - DAY))

    assert sorted(rating.category for rating in found) == [Category.BAD, Category.GOOD]


# ------------------------------------------------------------------ the new surveys
def test_a_bad_answer_to_a_survey_is_found_on_every_scale(surveyed):
    ticket_id = surveyed.solved()
    surveyed.wait(2 * DAY)
    surveyed.desk.rate(ticket_id, "bad", "Still no parcel", "The issue was not resolved")

    [rating] = ratings(surveyed.zendesk.new_ratings(None))

    scale = surveyed.desk.surveys.scale_max
    assert (rating.category, rating.value, rating.scale_max) == (Category.BAD, 1, scale)
    assert (rating.comment, rating.reason) == ("Still no parcel", "The issue was not resolved")


def test_later_answers_are_found_through_changed_tickets_with_their_holder(surveyed):
    ticket_id = surveyed.solved()
    surveyed.wait(2 * DAY)
    *_, page = surveyed.zendesk.new_ratings(None)
    surveyed.desk.rate(ticket_id, "bad")
    surveyed.wait(timedelta(minutes=5))

    [rating] = ratings(surveyed.zendesk.new_ratings(page.cursor))

    assert (rating.ticket_id, rating.assignee_id) == (ticket_id, surveyed.ana)


def test_an_idle_poll_of_surveys_costs_at_most_two_calls(surveyed):
    surveyed.solved()
    surveyed.wait(2 * DAY)
    *_, page = surveyed.zendesk.new_ratings(None)
    surveyed.wait(timedelta(minutes=20))
    *_, page = surveyed.zendesk.new_ratings(page.cursor)
    surveyed.wait(timedelta(minutes=5))
    before = surveyed.zendesk.http.requests_made

    list(surveyed.zendesk.new_ratings(page.cursor))

    assert surveyed.zendesk.http.requests_made - before <= 2


def test_a_sweep_finds_survey_answers_by_their_time(surveyed):
    ticket_id = surveyed.solved()
    surveyed.wait(2 * DAY)
    surveyed.desk.rate(ticket_id, "good")

    assert len(ratings(surveyed.zendesk.past_ratings(surveyed.world.clock.now() - HOUR))) == 1
    assert ratings(surveyed.zendesk.past_ratings(surveyed.world.clock.now() + HOUR)) == []


def test_the_answers_of_a_ticket_are_read_again(surveyed):
    ticket_id = surveyed.solved()
    surveyed.wait(2 * DAY)
    rating_id = surveyed.desk.rate(ticket_id, "bad")

    [rating] = surveyed.zendesk.ratings_of(ticket_id, rating_id)

    assert (rating.rating_id, rating.ticket_id) == (rating_id, ticket_id)


# ------------------------------------------------------------------ what a webhook costs
@pytest.fixture(params=["legacy", "new"])
def told(request):
    """A shop whose customer has rated badly a minute ago; its kind of CSAT, people and groups are remembered."""
    with opened(csat=request.param) as shop:
        shop.zendesk.directory()
        shop.rated = shop.solved()
        shop.zendesk.ratings_of(shop.solved())
        shop.desk.rate(shop.rated, "bad")
        shop.wait(timedelta(minutes=1))
        shop.desk.requests.clear()
        yield shop


def test_from_a_webhook_to_the_write_it_takes_three_calls(told):
    [rating] = told.zendesk.ratings_of(told.rated)
    [ticket] = told.read(told.rated)
    [*_, done] = told.zendesk.write([told.write_to(ticket)])

    assert (rating.assignee_id, ticket.requester.name, done.verdict) == (told.ana, "Mia", Verdict.APPLIED)
    assert len(told.calls()) == 3


def test_a_ticket_that_was_looked_at_serves_one_reading_as_of_then(told):
    looked_at = told.world.clock.now()
    told.zendesk.ratings_of(told.rated)
    told.wait(timedelta(seconds=10))
    [taken_over], [anew] = told.read(told.rated), told.read(told.rated)

    assert (taken_over.read_at, anew.read_at) == (looked_at, told.world.clock.now())


def test_who_changes_a_ticket_after_the_look_is_not_overwritten(told):
    told.zendesk.ratings_of(told.rated)
    told.desk.edit(told.rated, told.ben, add_tags=["mine"])
    [*_, done] = told.zendesk.write([told.write_to(told.read(told.rated)[0])])

    assert done.verdict is Verdict.CONFLICT
    assert "mine" in told.read(told.rated)[0].tags


def test_after_ten_seconds_or_a_write_a_ticket_is_read_anew(told):
    told.zendesk.ratings_of(told.rated)
    told.wait(timedelta(seconds=11))
    [late] = told.read(told.rated)
    told.zendesk.ratings_of(told.rated)
    list(told.zendesk.write([told.write_to(late)]))

    assert late.read_at == told.world.clock.now()
    assert "csat-recovery" in told.read(told.rated)[0].tags


# ------------------------------------------------------------------ people
def test_the_directory_tells_who_is_there_and_who_cannot_be_asked(shop):
    shop.desk.change_agent(shop.ben, suspended=True)
    shop.desk.set_out_of_office(shop.ana)

    agents = shop.zendesk.directory().agents

    assert agents[shop.ben].unusable == "suspended"
    assert (agents[shop.ana].unusable, agents[shop.ana].out_of_office) == (None, "tag agent_ooo")
    assert shop.mia not in agents


def test_who_held_a_ticket_is_known_from_its_history(shop):
    ticket_id = shop.solved()
    rated_at = shop.world.clock.now()
    shop.wait(HOUR)
    shop.desk.assign(ticket_id, shop.ben, shop.ben)

    assert shop.zendesk.past_holder(ticket_id, rated_at) == shop.ana
    assert shop.zendesk.past_holder(ticket_id, shop.world.clock.now()) == shop.ben


# ------------------------------------------------------------------ credentials
def test_a_wrong_client_is_refused(shop):
    with pytest.raises(CredentialsRefused):
        shop.connect(client_id="bridge", client_secret="wrong").directory()


def test_an_api_token_opens_the_door(shop):
    zendesk = shop.connect(email="bridge@acme.example", api_token="bridge-api-token")

    assert shop.ana in zendesk.directory().agents


# ------------------------------------------------------------------ doctor and setup
def findings(zendesk):
    return [(finding.level, finding.what) for finding in zendesk.doctor()]


def says(found, level, words):
    return any(at is level and words in what for at, what in found)


def test_a_healthy_account_has_no_warning(shop):
    found = findings(shop.zendesk)

    assert [what for level, what in found if level in (Level.WARNING, Level.FAIL)] == []
    assert says(found, Level.OK, "we are Recovery Bridge, an admin")
    assert says(found, Level.OK, "legacy satisfaction ratings")
    assert says(found, Level.OK, "solved tickets close after 96 h")
    assert says(found, Level.OK, "no active trigger mails the requester")


def test_the_doctor_names_the_scale_of_the_surveys(surveyed):
    found = findings(surveyed.zendesk)

    assert says(found, Level.OK, f"uses the new CSAT surveys, {surveyed.desk.surveys.scale_max} points")


def test_an_api_token_has_a_dated_warning(shop):
    zendesk = shop.connect(email="bridge@acme.example", api_token="bridge-api-token")

    assert says(findings(zendesk), Level.WARNING, "ends these on 2027-04-30 (165 days from now)")


def test_a_user_who_is_no_admin_is_a_failure(shop):
    shop.desk.change_agent(shop.desk.service_id, role="agent")

    found = findings(shop.zendesk)

    assert says(found, Level.FAIL, "role agent; ratings and exports are for admins")
    assert says(found, Level.WARNING, "could not look at satisfaction ratings")


def test_wrong_credentials_end_the_examination(shop):
    [(level, what)] = findings(shop.connect(client_id="bridge", client_secret="wrong"))

    assert level is Level.FAIL
    assert "POST /oauth/tokens" in what


def test_a_short_time_to_close_and_a_talkative_trigger_are_warned_of():
    change = {"field": "update_type", "operator": "is", "value": "Change"}
    mail = {"field": "notification_user", "value": ["requester_id", "News", "Your ticket changed."]}
    with opened(close_after=4) as shop:
        shop.desk._add_rule("trigger", "Tell of every change", [change], [mail])
        found = findings(shop.zendesk)

    assert says(found, Level.WARNING, "solved tickets close after 4 h")
    assert says(found, Level.WARNING, "trigger 'Tell of every change' mails the requester")


def test_setup_without_surveys_changes_nothing(shop):
    before = len(shop.desk.requests)

    steps = list(shop.zendesk.setup())

    assert {step.state for step in steps} == {"in use"}
    assert len(shop.desk.requests) == before
