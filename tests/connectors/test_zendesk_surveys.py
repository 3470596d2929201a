"""Zendesk's second question over real HTTP against the stand-in: installed, asked, answered, and what goes wrong."""

from dataclasses import replace
from datetime import timedelta

import pytest
from test_zendesk_sandbox import DAY, HOUR, findings, opened, says, verdicts
from zendesk_account import question

from bridge.connector import Level, Needs
from bridge.errors import Refused
from bridge.model import Category, Change, DeedKind, Effect, EffectKind, Status, SurveyWay, Verdict, Watched, Write
from connectors.sandbox.world import Fault
from connectors.zendesk.question import MAIL_TITLE, RATE_TITLE

NEEDS = Needs(surveys=True, survey_mail=True, rerating=True)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def needing(shop, needs=NEEDS):
    """Connect to the shop with rules that ask customers again."""
    return shop.connect(client_id="bridge", client_secret="bridge-secret", needs=needs)


@pytest.fixture
def legacy():
    with opened() as shop:
        yield ready(shop)


@pytest.fixture
def fresh():
    """A shop with the new survey."""
    with opened(csat="new") as shop:
        yield ready(shop)


def ready(shop):
    shop.zendesk = needing(shop)
    list(shop.zendesk.setup())
    return shop


def asking(shop, ticket_id, text="", *, again=False, adds_survey=False, kind=EffectKind.SURVEY, effect_id="e1"):
    """Return a write that asks the requester of a ticket, as it is now."""
    [ticket] = shop.read(ticket_id)
    change = Change(add_tags=("sr_surveyed",), solve_again=again)
    effect = Effect(effect_id, "case1", "acme", ticket_id, kind, "ask:1", change=change, way=SurveyWay.HELPDESK,
                    seen_assignee_id=shop.ana)  # fmt: skip
    return Write(effect, ticket, change, question=question(text, adds_survey=adds_survey))


def ask(shop, ticket_id, text="", **options):
    found = verdicts(shop.zendesk.write([asking(shop, ticket_id, text, **options)]))
    return found[options.get("effect_id", "e1")]


def question_on(shop, ticket_id):
    """Return what stands in the field for questions, as the API shows it."""
    row = shop.zendesk.http.read(f"/api/v2/tickets/{ticket_id}")["ticket"]
    return next(field["value"] for field in row["custom_fields"] if str(field["id"]) == shop.zendesk._asker.field_id())


def mails_to_mia(shop, count=0):
    return [mail for mail in shop.world.mails[count:] if mail.to == "mia@x.example"]


def rated_bad(shop):
    ticket_id = shop.solved()
    shop.wait(2 * DAY)
    shop.desk.rate(ticket_id, "bad")
    shop.wait(HOUR)
    return ticket_id


# ------------------------------------------------------------------ installing
def test_before_setup_nothing_can_be_mailed_and_after_it_everything():
    with opened() as shop:
        zendesk = needing(shop)
        before = zendesk.asking()
        states = [step.state for step in zendesk.setup() if not step.what.startswith("tag ")]
        after = zendesk.asking()

    assert before.mail == "ticket field 'sr_survey_text' is missing or not active; run recovery-bridge setup"
    assert states == ["created", "created", "created"]
    assert (after.own, after.mail, after.closes_after) == ("", "", timedelta(hours=96))


def test_setup_twice_changes_nothing(legacy):
    count = len(legacy.desk.requests)

    states = [step.state for step in legacy.zendesk.setup() if not step.what.startswith("tag ")]

    assert states == ["present", "present", "present"]
    assert not any(call.startswith(("POST", "PUT", "DELETE")) for call in legacy.calls()[count:])


@pytest.mark.parametrize(
    "harm", [{"active": False}, {"actions": [{"field": "remove_tags", "value": "sr_ask"}], "conditions": {"all": []}}]
)
def test_a_trigger_that_somebody_changed_is_noticed_and_mended(legacy, harm):
    trigger = next(rule for rule in legacy.desk.account.triggers.values() if rule["title"] == MAIL_TITLE)
    trigger |= {"conditions": {"all": [], "any": []}} | harm
    assert MAIL_TITLE in legacy.zendesk.asking(fresh=True).mail

    assert "changed" in [step.state for step in legacy.zendesk.setup()]

    assert legacy.zendesk.asking().mail == ""


def test_removing_leaves_the_account_as_it_was():
    with opened() as shop:
        account, zendesk = shop.desk.account, needing(shop)
        before = (set(account.triggers), set(account.fields), set(account.categories))
        list(zendesk.setup())

        states = [step.state for step in zendesk.setup(remove=True) if not step.what.startswith("tag ")]

        assert states == ["removed", "removed", "removed"]
        assert (set(account.triggers), set(account.fields), set(account.categories)) == before


def test_an_account_that_wants_categories_gets_one_and_loses_it_again():
    with opened(demands_category=True) as shop:
        before, zendesk = set(shop.desk.account.categories), needing(shop)

        assert [step.state for step in zendesk.setup()][-3:] == ["created", "created", "created"]
        assert len(shop.desk.account.categories) == len(before) + 1
        assert zendesk.asking().mail == ""

        assert {step.state for step in zendesk.setup(remove=True)} == {"stays on tickets", "removed"}
        assert set(shop.desk.account.categories) == before


# ------------------------------------------------------------------ the new survey, by a link
@pytest.mark.parametrize("renders_late", [False, True])
def test_the_link_of_a_new_survey_reaches_the_requester_alone_and_is_answered(fresh, renders_late):
    fresh.desk.account.mailer.renders_late = renders_late
    ticket_id = rated_bad(fresh)
    copied = fresh.desk.add_customer("Cc", "cc@x.example")
    fresh.row(ticket_id)["email_cc_ids"] = [int(copied)]
    count = len(fresh.world.mails)
    [ticket] = fresh.read(ticket_id)
    link = fresh.zendesk.survey_link(ticket, "de")

    assert ask(fresh, ticket_id, f"Better now? {link}") is Verdict.APPLIED

    [mail] = fresh.world.mails[count:]
    assert (mail.to, mail.kind, mail.subject, mail.link) == ("mia@x.example", "survey", "Re: Late parcel", link)
    assert question_on(fresh, ticket_id) is None
    assert set(fresh.row(ticket_id)["tags"]) == {"parcel", "sr_surveyed", "sr_ref_e1"}
    fresh.desk.answer(mail.link, "good")
    assert Category.GOOD in [rating.category for rating in fresh.zendesk.ratings_of(ticket_id)]


def test_the_link_is_in_no_comment_and_on_no_ticket(fresh):
    ticket_id = rated_bad(fresh)
    [ticket] = fresh.read(ticket_id)
    link = fresh.zendesk.survey_link(ticket)
    ask(fresh, ticket_id, link)

    token = link.split("access_token=")[1]
    assert not any(token in text for _, text in fresh.comments(ticket_id))
    assert token not in str(fresh.row(ticket_id))


def test_a_question_costs_two_updates(fresh):
    ticket_id = rated_bad(fresh)
    [write] = [asking(fresh, ticket_id, "Hello")]
    fresh.zendesk.asking()
    count = len(fresh.desk.requests)

    list(fresh.zendesk.write([write]))

    assert fresh.calls()[count:] == [f"PUT /tickets/{ticket_id}"] * 2


def test_an_offer_of_ours_and_of_the_account_are_both_dated(fresh):
    ticket_id = fresh.solved()
    solved_at = fresh.world.clock.now()
    assert fresh.zendesk.asked_since(ticket_id, solved_at) is None

    fresh.wait(2 * DAY)

    asked_at = fresh.zendesk.asked_since(ticket_id, solved_at)
    assert timedelta(hours=23) <= asked_at - solved_at <= timedelta(hours=25)
    assert fresh.zendesk.asked_since(ticket_id, fresh.world.clock.now()) is None


def test_a_second_offer_that_is_refused_says_so():
    with opened(csat="new", second_offer="refused") as shop:
        ready(shop)
        [ticket] = shop.read(rated_bad(shop))

        with pytest.raises(Refused, match="perhaps it was offered before"):
            shop.zendesk.survey_link(ticket)


# ------------------------------------------------------------------ a second legacy rating
def test_a_second_rating_overwrites_the_first(legacy):
    ticket_id = rated_bad(legacy)
    count = len(legacy.world.mails)

    assert ask(legacy, ticket_id, "Better now?", adds_survey=True) is Verdict.APPLIED

    [mail] = mails_to_mia(legacy, count)
    assert (mail.kind, mail.rule) == ("survey", RATE_TITLE)
    assert mail.text.startswith("Better now?\n\n")
    legacy.desk.answer(mail.link, "good")
    assert [rating.category for rating in legacy.zendesk.ratings_of(ticket_id)] == [Category.GOOD]


def test_our_own_question_brings_no_rating_along(legacy):
    ticket_id = rated_bad(legacy)
    count = len(legacy.world.mails)

    ask(legacy, ticket_id, "Better now? https://survey.example/q/1")

    [mail] = mails_to_mia(legacy, count)
    assert (mail.text, mail.rule) == ("Better now? https://survey.example/q/1", MAIL_TITLE)


def test_a_new_ticket_carries_the_question_for_a_closed_one(legacy):
    ticket_id = rated_bad(legacy)
    legacy.wait(5 * DAY)
    count = len(legacy.world.mails)
    write = asking(legacy, ticket_id, "Better now?", adds_survey=True, kind=EffectKind.FOLLOW_UP)

    *_, written = legacy.zendesk.write([write])

    row = legacy.row(written.ticket_id)
    assert (written.verdict, row["status"], str(row["assignee_id"])) == (Verdict.APPLIED, "solved", legacy.ana)
    assert question_on(legacy, written.ticket_id) is None
    [mail] = mails_to_mia(legacy, count)
    assert (mail.ticket_id, mail.kind) == (written.ticket_id, "survey")


# ------------------------------------------------------------------ what goes wrong
def test_without_the_trigger_nothing_is_mailed_and_the_question_is_taken_back(legacy):
    ticket_id = rated_bad(legacy)
    write, count = asking(legacy, ticket_id, "Better now?"), len(legacy.world.mails)
    for rule in legacy.desk.account.triggers.values():
        rule["active"] = rule["title"] != MAIL_TITLE and rule["active"]

    assert verdicts(legacy.zendesk.write([write])) == {"e1": Verdict.REFUSED}

    assert mails_to_mia(legacy, count) == []
    assert question_on(legacy, ticket_id) is None
    assert legacy.row(ticket_id)["tags"] == ["parcel", "sr_surveyed"]
    assert "is not active" in legacy.zendesk.asking().mail


def test_it_can_be_asked_after_the_trigger_is_back(legacy):
    test_without_the_trigger_nothing_is_mailed_and_the_question_is_taken_back(legacy)
    [ticket_id] = [str(key) for key in legacy.desk.account.tickets]
    list(legacy.zendesk.setup())
    legacy.wait(5 * SECOND)

    assert ask(legacy, ticket_id, "Better now?") is Verdict.APPLIED
    assert mails_to_mia(legacy)[-1].text == "Better now?"


@pytest.mark.parametrize(("kind", "verdict"), [("lost", Verdict.ADOPTED), ("html", Verdict.APPLIED)])
def test_a_question_whose_answer_was_lost_is_mailed_once(legacy, kind, verdict):
    ticket_id = rated_bad(legacy)
    write, count = asking(legacy, ticket_id, "Better now?"), len(legacy.world.mails)
    legacy.desk.faults.append(Fault(kind, method="PUT"))

    assert verdicts(legacy.zendesk.write([write])) == {"e1": Verdict.UNKNOWN}

    assert repeated(legacy, ticket_id, write) is verdict
    assert len(mails_to_mia(legacy, count)) == 1
    assert question_on(legacy, ticket_id) is None


def test_a_repeat_without_its_question_asks_nobody(legacy):
    ticket_id = rated_bad(legacy)
    write = asking(legacy, ticket_id, "Better now?")
    count = len(legacy.desk.requests)

    assert verdicts(legacy.zendesk.write([replace(write, question=None, repeat=True)])) == {"e1": Verdict.REFUSED}
    assert len(legacy.desk.requests) == count


def test_a_question_left_on_its_ticket_goes_with_our_next_write(legacy):
    ticket_id = rated_bad(legacy)
    news = legacy.zendesk.write([asking(legacy, ticket_id, "Better now?")])
    next(news)
    next(news)  # and here the process dies
    assert question_on(legacy, ticket_id) == "Better now?"
    legacy.wait(5 * SECOND)

    [ticket] = legacy.read(ticket_id)
    found = verdicts(needing(legacy).write([legacy.write_to(ticket, "e2")]))

    assert found == {"e2": Verdict.APPLIED}
    assert question_on(legacy, ticket_id) is None


def test_an_agent_who_was_faster_stops_the_question(legacy):
    ticket_id = rated_bad(legacy)
    write, count = asking(legacy, ticket_id, "Better now?"), len(legacy.world.mails)
    legacy.wait(5 * SECOND)
    legacy.desk.edit(ticket_id, legacy.ben, add_tags=["urgent"])

    assert verdicts(legacy.zendesk.write([write])) == {"e1": Verdict.CONFLICT}
    assert mails_to_mia(legacy, count) == []


# ------------------------------------------------------------------ solving again
def test_solving_again_gives_the_customer_more_time(legacy):
    ticket_id = rated_bad(legacy)
    legacy.wait(DAY)

    assert ask(legacy, ticket_id, "Better now?", adds_survey=True, again=True) is Verdict.APPLIED

    row = legacy.row(ticket_id)
    assert (row["status"], set(row["tags"])) == ("solved", {"parcel", "sr_surveyed", "sr_ref_e1"})
    assert question_on(legacy, ticket_id) is None
    legacy.wait(3 * DAY)
    assert legacy.row(ticket_id)["status"] == "solved"


@pytest.mark.parametrize("again", [False, True])
def test_our_updates_are_no_deeds(legacy, again):
    ticket_id = rated_bad(legacy)
    since = legacy.world.clock.now()
    legacy.wait(MINUTE)
    ask(legacy, ticket_id, "Better now?", again=again)
    legacy.wait(MINUTE)

    [seen] = legacy.zendesk.activity([Watched(ticket_id, "", since)])

    assert seen.deeds == ()
    legacy.desk.unknown_parameters.clear()


def test_an_out_of_office_agent_keeps_the_ticket_that_is_solved_again(legacy):
    ticket_id = rated_bad(legacy)
    legacy.desk.set_out_of_office(legacy.ana)

    assert ask(legacy, ticket_id, "Better now?", again=True) is Verdict.APPLIED
    assert str(legacy.row(ticket_id)["assignee_id"]) == legacy.ana


def half_done(shop):
    """Leave a ticket reopened: the connection breaks before the second update."""
    ticket_id = rated_bad(shop)
    write = asking(shop, ticket_id, "Better now?", again=True)
    shop.desk.faults += [Fault("slow", method="PUT"), Fault("reset", method="PUT")]
    assert verdicts(shop.zendesk.write([write])) == {"e1": Verdict.UNKNOWN}
    assert shop.row(ticket_id)["status"] == "open"
    return ticket_id, write


def repeated(shop, ticket_id, write):
    [ticket] = shop.read(ticket_id)
    found = verdicts(shop.zendesk.write([replace(write, ticket=ticket, repeat=True)]))["e1"]
    shop.desk.unknown_parameters.clear()  # the order of audits is documented, and unknown to the stand-in
    return found


def test_a_ticket_left_open_is_solved_by_the_next_run(legacy):
    ticket_id, write = half_done(legacy)
    count = len(legacy.world.mails)
    legacy.wait(MINUTE)

    assert repeated(legacy, ticket_id, write) is Verdict.APPLIED
    assert legacy.row(ticket_id)["status"] == "solved"
    assert [mail.text for mail in mails_to_mia(legacy, count)] == ["Better now?"]


def test_a_ticket_left_open_on_which_somebody_worked_stays_open(legacy):
    ticket_id, write = half_done(legacy)
    legacy.wait(MINUTE)
    legacy.desk.note(ticket_id, legacy.ben, "Why is this open?")
    count = len(legacy.world.mails)

    assert repeated(legacy, ticket_id, write) is Verdict.REFUSED
    assert legacy.row(ticket_id)["status"] == "open"
    assert mails_to_mia(legacy, count) == []


# ------------------------------------------------------------------ requests, fields, merges
def test_requests_of_agents_are_found_until_the_ticket_closes(legacy):
    wanted, closed, other = legacy.solved(), legacy.solved(), legacy.solved()
    for ticket_id in (wanted, closed):
        legacy.desk.edit(ticket_id, legacy.ana, add_tags=["sr_request"])
    legacy.desk.account.file(int(closed)).row["status"] = "closed"
    count = len(legacy.desk.requests)

    assert list(legacy.zendesk.requests()) == [wanted]
    assert other not in legacy.zendesk.requests()
    assert legacy.calls()[count:] == ["GET /search"] * 2


def test_a_rating_is_no_deed_and_a_merge_and_a_deletion_are_noticed(legacy):
    rated, merged, deleted = legacy.solved(), legacy.solved(), legacy.solved()
    legacy.wait(2 * DAY)
    since = legacy.world.clock.now()
    legacy.desk.rate(rated, "bad")
    legacy.wait(MINUTE)
    legacy.desk.rate(rated, "good")
    legacy.desk.merge(merged, rated, legacy.ben)
    legacy.desk.delete(deleted, legacy.ben)

    seen = {
        one.ticket.ticket_id: one
        for one in legacy.zendesk.activity([Watched(key, "", since) for key in (rated, merged, deleted)])
    }

    assert [one.ticket.status for one in seen.values()] == [Status.SOLVED, Status.MERGED, Status.DELETED]
    assert [deed.kind for deed in seen[rated].deeds] == [DeedKind.EDITED]  # the note of the merge
    legacy.desk.unknown_parameters.clear()


# ------------------------------------------------------------------ doctor
def test_an_account_that_is_set_up_is_healthy(legacy):
    found = findings(legacy.zendesk)

    assert [what for level, what in found if level in (Level.WARNING, Level.FAIL)] == []
    assert says(found, Level.OK, "customers can be asked again by a second rating, which overwrites the first")
    assert says(found, Level.NOTE, "a trigger of ours mails our question to the requester alone")
    assert says(found, Level.NOTE, "'Request customer satisfaction rating (System Automation)' asks who was not asked")


def test_an_account_of_the_new_survey_is_healthy_too(fresh):
    found = findings(fresh.zendesk)

    assert [what for level, what in found if level in (Level.WARNING, Level.FAIL)] == []
    assert says(found, Level.OK, "customers can be asked again by a link to its new survey")


def test_the_doctor_says_the_same_twice_and_changes_nothing(legacy):
    before = len(legacy.desk.account.triggers)

    assert findings(legacy.zendesk) == findings(legacy.zendesk)
    assert len(legacy.desk.account.triggers) == before


def test_without_surveys_the_doctor_does_not_speak_of_them(legacy):
    assert not any("asked again" in what for _, what in findings(needing(legacy, Needs())))


def test_a_missing_trigger_means_that_no_link_reaches_anybody():
    with opened(csat="new") as shop:
        found = findings(needing(shop))

    assert says(found, Level.FAIL, "no question can reach a customer: ticket field 'sr_survey_text' is missing")


def test_where_a_rating_can_still_be_mailed_a_missing_trigger_is_a_warning(legacy):
    for rule in legacy.desk.account.triggers.values():
        rule["active"] = rule["title"] != MAIL_TITLE and rule["active"]

    assert says(findings(legacy.zendesk), Level.WARNING, "our own question cannot reach a customer: trigger")


def test_a_field_that_end_users_see_is_a_failure(legacy):
    for row in legacy.desk.account.fields.values():
        row["visible_in_portal"] = True

    assert says(findings(legacy.zendesk), Level.FAIL, "end users can see the ticket field 'sr_survey_text'")


def test_tickets_that_close_early_leave_no_time_for_an_answer():
    with opened(close_after=40) as shop:
        assert says(findings(ready(shop).zendesk), Level.WARNING, "solved tickets close after 40 h: too soon")


def test_an_account_without_csat_is_told_so():
    with opened(csat="none") as shop:
        found = findings(ready(shop).zendesk)

    assert says(found, Level.WARNING, "customer satisfaction is switched off in this account, or not in its plan")
    assert says(found, Level.WARNING, "customers cannot be asked again by a rating of Zendesk: customer satisfaction")


def test_both_kinds_of_csat_are_warned_of(fresh):
    fresh.desk.account.settings["active_features"]["customer_satisfaction"] = True

    assert says(findings(fresh.zendesk), Level.WARNING, "is on, and so is the legacy satisfaction rating itself")


def test_a_rule_of_the_account_that_asks_anybody_again_is_warned_of(legacy):
    mail = {"field": "notification_user", "value": ["requester_id", "?", "{{satisfaction.rating_section}}"]}
    solved = {"field": "status", "operator": "value", "value": "solved"}
    legacy.desk._add_rule("trigger", "Ask at once", [solved], [mail])

    found = findings(legacy.zendesk)

    assert says(found, Level.WARNING, "trigger 'Ask at once' may ask a customer whom we ask, too")
    assert says(found, Level.NOTE, "trigger 'Ask at once' mails the requester when we solve a ticket again")


def test_a_rule_that_leaves_our_tickets_out_is_not_spoken_of(legacy):
    mail = {"field": "notification_user", "value": ["requester_id", "?", "{{satisfaction.rating_section}}"]}
    spared = {"field": "current_tags", "operator": "not_includes", "value": "sr_surveyed"}
    legacy.desk._add_rule("trigger", "Ask at once", [spared], [mail])

    assert not any("Ask at once" in what for _, what in findings(legacy.zendesk))
