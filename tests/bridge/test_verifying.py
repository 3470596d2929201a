"""Stories of `verify`: what people, other programs and broken disks do, and what the comparison says about it.

Real connectors against both stand-in helpdesks; rows are edited where a story needs a store that is wrong.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bridge.by_hand import Learned, close
from bridge.connector import Connector, Marks
from bridge.errors import BadRecord, CredentialsRefused, Throttled, Unreachable
from bridge.model import Outcome, Ticket
from bridge.verifying import LATELY, Comparer, Comparison, Difference, summary, verify
from connectors.sandbox.company import company
from connectors.sandbox.world import Fault
from tests.bridge.second_question import VENDORS, Tell
from tests.bridge.stories import BOTH, DAY, HOUR, MINUTE, MONDAY, Story, story_in, text_of, told_in

Begin = Callable[..., Story]


@pytest.fixture
def begin(tmp_path: Path, migrated_file: Path) -> Iterator[Begin]:
    """Begin a story: `begin("acme", ("ticket: reopen", "ticket: follow_up"))`."""
    with ExitStack() as stack:

        def told(account: str, *changes: tuple[str, str], **options: Any) -> Story:
            shutil.copyfile(migrated_file, tmp_path / "bridge.db")
            return stack.enter_context(story_in(tmp_path, account, *changes, **options))

        yield told


def compare(story: Any) -> Comparison:
    app = story.app
    return Comparer(app.store, app.engine.desks[story.account], app.now, app.sleep).compare(app.now() - LATELY)


def differences(story: Any) -> list[Difference]:
    app = story.app
    return verify(app.store, app.engine.desks[story.account], app.now() - LATELY, app.now)


def only(story: Any) -> Difference:
    (one,) = differences(story)
    return one


def edit_rows(story: Any, sql: str, **values: Any) -> None:
    """Change rows as no program should."""
    with story.app.store.engine.begin() as tx:
        tx.execute(text(sql), values)


def set_state(story: Any, state: str, step: str = "flag") -> None:
    edit_rows(story, "UPDATE effect SET state = :state, error = 'no answer' WHERE step = :step", state=state, step=step)


def copy_note(story: Story, ticket_id: str, by: str, words: str) -> None:
    """An agent writes a private note."""
    if story.account == "acme":
        story.desk.edit(ticket_id, story.agent(by), comment={"body": words, "public": False})
    else:
        story.firm.freshdesk.private_note(ticket_id, story.agent(by), words)


def delete_notes(story: Story, ticket_id: str) -> None:
    """Somebody deletes our notes (Freshdesk), or redacts their words (Zendesk)."""
    if story.account == "shop":
        said = story.firm.freshdesk.tickets[int(ticket_id)].conversations
        said[:] = [one for one in said if "ref sr-" not in one.body]
        return
    file = story.firm.zendesk.account.tickets[int(ticket_id)]
    events = [event for audit in file.audits for event in audit["events"]]
    for row in [*file.comments, *events]:
        if "ref sr-" in str(row.get("body")):
            row["body"] = "▇▇▇▇▇"


def without_audits(story: Any) -> None:
    """The OAuth client loses the global scope `read`, which audits need."""
    tokens = story.firm.zendesk.sign_in.tokens
    scopes = ("tickets:read", "tickets:write", "users:read")
    story.firm.zendesk.sign_in.tokens = {key: replace(token, scopes=scopes) for key, token in tokens.items()}


# ------------------------------------------------------------------ agreement
@BOTH
def test_after_a_recovery_both_agree(begin: Begin, account: str) -> None:
    story = begin(account)
    ticket_id = story.flagged()
    story.later(3 * HOUR, every=HOUR)  # the owner is reminded, and the ticket goes to a lead
    story.solve(ticket_id, by="Ben")

    found = compare(story)

    assert (found.differences, found.tickets) == ([], 1)
    assert found.effects >= 3


@VENDORS
def test_after_a_second_question_both_agree(tell: Tell, flavour: str) -> None:
    story = tell(flavour)
    story.begin()
    story.until_asked()

    assert differences(story) == []


@BOTH
def test_where_a_customer_had_reopened_the_ticket_our_tag_for_that_is_not_missed(begin: Begin, account: str) -> None:
    story = begin(account)
    ticket_id = story.rated()
    story.desk.customer_replies(ticket_id, "And where is it?")
    story.later(2 * MINUTE)

    assert (differences(story), story.case.ticket_id) == ([], ticket_id)


def test_a_question_that_was_taken_back_is_not_there(tell: Tell) -> None:
    story = tell("new")
    story.begin()
    story.until_due()
    story.app.engine.desks["acme"].asking(fresh=True)
    for trigger in story.firm.zendesk.account.triggers.values():
        trigger["active"] = False
    story.later(MINUTE)

    assert (story.asking_effects(), differences(story)) == (["parked"], [])


def test_looking_changes_nothing(begin: Begin) -> None:
    story = begin("shop")
    story.flagged()
    before = (len(story.firm.world.ledger), story.app.store.audits(), story.app.store.effects_of(story.case.case_id))

    compare(story)

    kept = story.app.store
    assert (len(story.firm.world.ledger), kept.audits(), kept.effects_of(story.case.case_id)) == before


@pytest.mark.parametrize(("account", "calls"), [("acme", 1 + 3), ("shop", 3 + 3)])
def test_it_costs_few_calls(begin: Begin, account: str, calls: int) -> None:
    story = begin(account)
    for customer in ("Mia Maier", "Tom Tanner", "Ida Iden"):
        story.rated(customer=customer)
    story.later(2 * MINUTE)
    before = len(story.desk.requests)

    assert compare(story).tickets == 3
    assert len(story.desk.requests) - before == calls


@BOTH
def test_only_what_was_done_lately_is_looked_at(begin: Begin, account: str) -> None:
    story = begin(account)
    story.flagged()
    story.firm.pass_time(LATELY + DAY)

    assert (compare(story).effects, differences(story)) == (0, [])


@BOTH
def test_what_people_do_with_a_ticket_is_counted_and_no_difference(begin: Begin, account: str) -> None:
    story = begin(account)
    ticket_id = story.flagged()
    story.desk.assign(ticket_id, story.agent("Cem"), by=story.agent("Ben"))

    found = compare(story)

    assert (found.moved_on, found.differences) == (1, [])
    assert summary([found]).endswith("1 as recorded, 0 differ; 1 ticket given to others by people since")


# ------------------------------------------------------------------ what is missing
@BOTH
def test_a_write_that_never_happened_is_a_difference(begin: Begin, account: str) -> None:
    story = begin(account)
    story.rated()
    story.firm.pass_time(2 * MINUTE)
    story.app.engine.poll(account)
    story.app.engine.decide(account)
    set_state(story, "applied")

    found = compare(story)

    (one,) = found.differences
    assert (one.step, one.found, one.needs_human) == ("flag", "no trace of it", True)
    assert f"recovery-bridge case {story.case.case_id}" in one.todo
    assert (
        summary([found])
        == "1 effect on 1 ticket compared: 0 as recorded, 1 differs; 1 ticket given to others by people since"
    )


def test_a_note_that_is_gone_from_freshdesk_is_a_difference(begin: Begin) -> None:
    story = begin("shop")
    list(story.app.engine.desks["shop"].setup())
    delete_notes(story, story.flagged())

    assert (only(story).found, only(story).needs_human) == ("its fields are written, its note is not there", True)


def test_a_note_that_was_redacted_in_zendesk_is_told_for_its_history_shows_it(begin: Begin) -> None:
    story = begin("acme")
    delete_notes(story, story.flagged())

    assert (only(story).found, only(story).needs_human) == (
        "its note was there, and somebody has removed its words",
        False,
    )


@pytest.mark.parametrize(
    ("account", "who"), [("acme", "Ben took off sr_flagged since"), ("shop", "sr_flagged is not there: somebody")]
)
def test_a_tag_that_an_agent_took_off_is_told(begin: Begin, account: str, who: str) -> None:
    story = begin(account)
    ticket_id = story.flagged()
    kept = [tag for tag in story.app.engine.desks[account].tickets([ticket_id])[ticket_id].tags if tag != "sr_flagged"]
    story.desk.edit(ticket_id, story.agent("Ben"), tags=kept)

    assert who in only(story).found
    assert not only(story).needs_human


def test_without_the_right_to_read_audits_comments_and_tags_tell(begin: Begin) -> None:
    story = begin("acme")
    ticket_id = story.flagged()
    without_audits(story)
    agreed = differences(story)
    delete_notes(story, ticket_id)
    story.desk.edit(ticket_id, story.agent("Ben"), tags=[])

    assert (agreed, only(story).found) == ([], "no trace of it")


def test_a_question_that_left_nothing_on_its_ticket_is_a_difference(tell: Tell) -> None:
    story = tell("freshdesk")
    story.begin()
    story.until_asked()
    agent = story.firm.agents["shop", "Ana"]
    story.desk.edit(story.ticket_id, agent, tags=["sr_flagged"], custom_fields={"cf_sr_ref": None})

    (found,) = [one.found for one in differences(story) if one.needs_human]

    assert found == "no trace of it, nor of sr_surveyed"


# ------------------------------------------------------------------ what is there too often, or should not be
@BOTH
def test_a_note_that_stands_there_twice_is_a_difference(begin: Begin, account: str) -> None:
    story = begin(account)
    ticket_id = story.flagged()
    copy_note(story, ticket_id, "Ana", story.notes(ticket_id)[0].replace("<br>", "\n"))

    assert only(story).found.startswith("its note stands there 2 times, written by Ana and ")
    assert only(story).needs_human


@BOTH
def test_what_was_parked_and_is_there_is_a_difference_that_retry_mends(begin: Begin, account: str) -> None:
    story = begin(account)
    ticket_id = story.flagged()
    set_state(story, "parked")
    one = only(story)

    story.app.store.retry_parked([str(one.effect_id)])
    story.later(15 * MINUTE)

    assert (one.recorded, one.found) == ("parked: no answer", "its note is there")
    assert (f"retry {one.effect_id}" in one.todo, differences(story), len(story.notes(ticket_id))) == (True, [], 1)


@BOTH
def test_retry_repeats_nothing_though_a_later_write_took_the_mark_off(begin: Begin, account: str) -> None:
    story = begin(account)
    ticket_id = story.flagged()
    set_state(story, "parked")
    story.later(HOUR)  # the owner is reminded
    written = len(story.notes(ticket_id))

    story.app.store.retry_parked()
    story.later(15 * MINUTE)

    assert (differences(story), written, len(story.notes(ticket_id))) == ([], 2, 2)


@BOTH
def test_what_is_still_under_way_and_is_there_needs_nobody(begin: Begin, account: str) -> None:
    story = begin(account)
    story.flagged()
    set_state(story, "sending")

    assert (only(story).needs_human, only(story).found) == (False, "its note is there; the next run takes note of it")


@BOTH
@pytest.mark.parametrize("state", ["refused", "superseded"])
def test_what_was_given_up_and_is_there_is_a_difference(begin: Begin, account: str, state: str) -> None:
    story = begin(account)
    story.flagged()
    set_state(story, state)

    assert (only(story).needs_human, "went on without it" in only(story).todo) == (True, True)


@BOTH
def test_what_this_store_never_sent_and_is_there_tells_of_a_restored_backup(begin: Begin, account: str) -> None:
    story = begin(account)
    story.flagged()
    edit_rows(story, "UPDATE effect SET state = 'planned', first_sent_at = NULL, last_sent_at = NULL")

    assert [("restored from a backup" in one.todo, one.needs_human) for one in differences(story)] == [(True, True)]


@BOTH
def test_the_marks_of_another_installation_are_told_loudly(begin: Begin, account: str, tmp_path: Path) -> None:
    story = begin(account)
    story.firm.env["BRIDGE_STATE_DIR"] = str(tmp_path / "other")
    with story.firm.bridge(story.app.rules) as other:
        other.run()
        ticket_id = story.flagged()
        other.run()
        (theirs,) = [one.effect.marker for case in other.store.cases() for one in other.store.effects_of(case.case_id)]

    one = only(story)

    assert (one.ticket_id, one.found, one.needs_human) == (ticket_id, f"marks of ANOTHER INSTALLATION: {theirs}", True)
    assert "1 as recorded, 0 differ; 1 other difference" in summary([compare(story)])


def test_a_question_that_went_out_twice_is_a_difference(tell: Tell) -> None:
    story = tell("new")
    story.begin()
    story.until_asked()
    marker = next(
        one.effect.effect_id for one in story.app.store.writes_since("acme", story.began_at) if one.effect.way
    )
    desk, agent = story.app.engine.desks["acme"], story.firm.agents["acme", "Ana"]
    tags = [*desk.tickets([story.ticket_id])[story.ticket_id].tags, "sr_ask"]
    assert f"sr_ref_{marker}" in tags
    story.desk.edit(story.ticket_id, agent, tags=tags)

    assert (only(story).found, only(story).needs_human) == ("its question went out 2 times", True)


@BOTH
def test_after_a_restored_backup_nothing_is_repeated_by_who_goes_through_shadow_mode_and_verify(
    tmp_path: Path, migrated_file: Path, account: str
) -> None:
    kept, backup = tmp_path / "bridge.db", tmp_path / "backup.db"
    shutil.copyfile(migrated_file, kept)
    with company(MONDAY, tmp_path) as firm:
        with told_in(firm, account) as story:
            known = story.rated()
            story.app.engine.poll(account)
            story.app.engine.decide(account)
            story.app.store.copy_to(f"sqlite:///{backup}")  # it knows of one ticket, and has not written to it yet
            later = story.flagged(customer="Tom Tanner")
        before = [len(story.notes(ticket_id)) for ticket_id in (known, later)]
        shutil.copyfile(backup, kept)
        with firm.bridge(firm.rules(text_of(firm), mode="shadow")) as app:
            app.run()
            story.app = app
            named = {one.ticket_id for one in differences(story) if one.needs_human}
            for case in app.store.cases(open_only=True):
                app.store.save(close(case, Outcome.STOPPED, Learned(), app.now()), expected_version=case.version)
        with firm.bridge(firm.rules(text_of(firm))) as app:
            story.app = app
            story.later(DAY, every=2 * HOUR)

        assert (named, before) == ({known}, [2, 1])  # one was reminded, too
        assert [len(story.notes(ticket_id)) for ticket_id in (known, later)] == before


# ------------------------------------------------------------------ follow-up tickets
def followed_up(begin: Begin, account: str) -> tuple[Story, str]:
    """Return a story in which a new ticket continues one that is closed for ever, and that new ticket."""
    story = begin(account, ("ticket: reopen ", "archived: new_ticket\n    ticket: reopen "))
    list(story.app.engine.desks[account].setup())
    ticket_id = story.rated()
    if account == "acme":
        story.desk.edit(ticket_id, story.agent("Ana"), status="closed")
    else:
        story.firm.freshdesk.tickets[int(ticket_id)].archived = True
    story.later(2 * MINUTE)
    assert story.case.work_ticket_id
    return story, story.case.work_ticket_id


@BOTH
def test_a_follow_up_ticket_that_is_there_once_agrees(begin: Begin, account: str) -> None:
    story, _ = followed_up(begin, account)

    assert (compare(story).effects, differences(story)) == (1, [])


@BOTH
def test_a_second_follow_up_ticket_is_a_difference(begin: Begin, account: str) -> None:
    story, new = followed_up(begin, account)
    edit_rows(story, "UPDATE effect SET remote_ref = '4711'")

    found = [one.found for one in differences(story)]

    assert f"ticket 4711 continues it, and so does {new}" in found


@BOTH
def test_a_follow_up_that_was_given_up_and_was_made_is_a_difference(begin: Begin, account: str) -> None:
    story, new = followed_up(begin, account)
    edit_rows(story, "UPDATE effect SET state = 'parked', remote_ref = NULL")

    assert only(story).found == f"ticket {new} was made by it"


# ------------------------------------------------------------------ tickets that are gone, and helpdesks that are
@BOTH
@pytest.mark.parametrize("how", ["deleted", "merged"])
def test_a_ticket_that_is_gone_is_told_and_not_compared(begin: Begin, account: str, how: str) -> None:
    story = begin(account)
    ticket_id, other = story.flagged(), story.flagged(customer="Tom Tanner")
    if how == "merged":
        story.desk.merge(ticket_id, other, by=story.agent("Ana"))
    else:
        story.desk.delete(ticket_id, by=story.agent("Ana"))

    found = compare(story)

    assert [(one.ticket_id, one.needs_human) for one in found.differences] == [(ticket_id, False)]
    assert f"the ticket is {how}" in found.differences[0].found
    assert (found.gone, found.tickets) == (1, 1)


@BOTH
def test_a_helpdesk_that_cannot_be_reached_is_no_agreement(begin: Begin, account: str) -> None:
    story = begin(account)
    story.flagged()
    story.desk.faults.append(Fault("status", status=503, times=99))

    with pytest.raises(Unreachable):
        compare(story)


@BOTH
def test_refused_credentials_are_no_agreement(begin: Begin, account: str) -> None:
    story = begin(account)
    story.flagged()
    story.desk.faults.append(Fault("status", status=401, times=99))

    with pytest.raises(CredentialsRefused):
        compare(story)


@BOTH
def test_one_ticket_that_may_not_be_read_does_not_stop_the_others(begin: Begin, account: str) -> None:
    story = begin(account)
    ticket_id = story.flagged()
    story.flagged(customer="Tom Tanner")
    path = f"/tickets/{ticket_id}/{'comments' if account == 'acme' else 'conversations'}"
    if account == "acme":
        without_audits(story)
    story.desk.faults.append(Fault("status", path=path, status=403, times=99))

    found = compare(story)

    assert [(one.ticket_id, "it cannot be read" in one.found) for one in found.differences] == [(ticket_id, True)]
    assert found.tickets == 1


class Unreadable:
    """A connector that stumbles over one ticket."""

    def __init__(self, desk: Connector, ticket_id: str) -> None:
        self.desk, self.ticket_id = desk, ticket_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)

    def tickets(self, ticket_ids: Sequence[str]) -> Mapping[str, Ticket]:
        if self.ticket_id in ticket_ids:
            raise BadRecord(f"ticket {self.ticket_id} has no field 'status'")
        return self.desk.tickets(ticket_ids)


def test_one_ticket_that_cannot_be_read_does_not_spoil_the_hundred_read_with_it(begin: Begin) -> None:
    story = begin("acme")
    ticket_id = story.flagged()
    story.flagged(customer="Tom Tanner")
    desk: Any = Unreadable(story.app.engine.desks["acme"], ticket_id)

    found = Comparer(story.app.store, desk, story.app.now).compare(story.app.now() - LATELY)

    assert ([one.ticket_id for one in found.differences], found.tickets) == ([ticket_id], 1)


@BOTH
def test_who_is_told_to_wait_waits(begin: Begin, account: str) -> None:
    story = begin(account)
    story.flagged()
    before = story.firm.now()
    story.desk.faults.append(Fault("status", status=429, headers={"Retry-After": "40"}))

    found = compare(story)

    assert (found.differences, story.firm.now() - before >= timedelta(seconds=40)) == ([], True)


def test_who_has_no_time_to_wait_is_told_until_when(begin: Begin) -> None:
    story = begin("shop")
    story.flagged()
    story.desk.faults.append(Fault("status", status=429, headers={"Retry-After": "40"}))

    with pytest.raises(Throttled):
        differences(story)


class Meanwhile:
    """A connector beside which something happens while it looks at a ticket."""

    def __init__(self, desk: Connector, happens: Callable[[], None]) -> None:
        self.desk, self.happens = desk, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)

    def marks(self, ticket: Ticket) -> Marks:
        found = self.desk.marks(ticket)
        self.happens()
        return found


@BOTH
def test_what_a_run_finishes_while_we_look_is_no_difference(begin: Begin, account: str) -> None:
    story = begin(account)
    story.flagged()
    set_state(story, "sending")
    slow: Any = Meanwhile(story.app.engine.desks[account], lambda: set_state(story, "adopted"))

    assert verify(story.app.store, slow, story.app.now() - LATELY, story.app.now) == []
