"""The ladder: who gets the ticket, and why nobody before them did."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.model import Directory
from bridge.owner import Owner, Staff, find_owner
from tests.bridge.people import (
    ANA,
    BEN,
    BOT,
    CARE,
    CEM,
    DAY,
    DORA,
    HOUR,
    LEADS,
    MINUTE,
    NIGHT,
    NOW,
    agent,
    directory,
    rating,
    rules,
    staff,
    ticket,
)

LADDER = ("original_agent", "same_team", "leads")
FRIDAY = NOW - 3 * DAY  # also at 11:00 in Berlin; seven working hours are left of that day


def climb(
    *rungs: str, among: Staff | None = None, original: str | None = ANA, on: Any = None, rated: Any = None
) -> Owner:
    return find_owner(rungs or LADDER, rated or rating(), on or ticket(), original, among or staff())


def steps(owner: Owner) -> list[tuple[str, str | None, str]]:
    return [(step.rung, step.agent_id, step.why) for step in owner.steps]


# ------------------------------------------------------------------ the original agent
def test_the_original_agent_gets_it_first_in_the_ticket_s_group() -> None:
    owner = climb()

    assert (owner.agent_id, owner.group_id, owner.keeps) == (ANA, CARE, False)
    assert owner.why == "Ana held the ticket when it was rated"


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (directory(without=("Ana",)), "agent 1 is no longer an agent"),
        (directory(Ana={"unusable": "suspended"}), "Ana suspended"),
        (directory(Ana={"unusable": "light agent"}), "Ana light agent"),
        (directory(Ana={"unusable": "in no group", "group_ids": ()}), "Ana in no group"),
        (directory(Ana={"out_of_office": "tag agent_ooo"}), "Ana is out of office (tag agent_ooo)"),
        (directory(Ana={"away_since": FRIDAY}), "Ana has been away for more than 8 working hours"),
    ],
    ids=["gone", "suspended", "light", "no group", "out of office", "away"],
)
def test_a_colleague_gets_it_when_the_original_agent_cannot(who: Directory, why: str) -> None:
    owner = climb(among=staff(who))

    assert owner.agent_id == CEM
    assert steps(owner)[0] == ("original_agent", None, why)


@pytest.mark.parametrize(
    ("since", "now"),
    [
        (NOW - 2 * HOUR, NOW),  # not at the desk since the morning
        (NOW - 3 * DAY + 4 * HOUR, NOW),  # went home on Friday at 15:00, not back on Monday at 11:00: five hours
        (NOW - DAY, NOW - 12 * HOUR),  # all Sunday
        (NOW + 8 * HOUR, NOW + 12 * HOUR),  # off shift, at night
        (NOW + HOUR, NOW),  # the helpdesk's clock is ahead of ours
        (None, NOW),
    ],
)
def test_an_agent_who_is_merely_off_shift_keeps_the_first_shot(since: datetime | None, now: datetime) -> None:
    assert climb(among=staff(directory(Ana={"away_since": since}), now=now)).agent_id == ANA


@pytest.mark.parametrize(("hours_away", "owner"), [(timedelta(hours=8, minutes=-1), ANA), (timedelta(hours=8), CEM)])
def test_eight_working_hours_make_an_absence(hours_away: timedelta, owner: str) -> None:
    opened = NOW - 2 * HOUR  # Monday 09:00 in Berlin
    absent = directory(Ana={"away_since": opened})

    assert climb(among=staff(absent, now=opened + hours_away)).agent_id == owner


def test_how_long_is_absent_can_be_set() -> None:
    strict = rules(settings="absent_after: 1h")

    assert climb(among=staff(directory(Ana={"away_since": NOW - 2 * HOUR}), strict)).agent_id == CEM


@pytest.mark.parametrize(
    ("away", "owner"),
    [
        ("{agent: ana@example.com, from: 2026-03-09, to: 2026-03-09}", CEM),
        ("{agent: ANA@example.com, from: 2026-03-01, to: 2026-03-20}", CEM),
        ("{agent: ana@example.com, from: 2026-03-10, to: 2026-03-20}", ANA),
        ("{agent: ana@example.com, from: 2026-03-01, to: 2026-03-08}", ANA),
        ("{agent: cem@example.com, from: 2026-03-01, to: 2026-03-20}", ANA),
    ],
)
def test_whoever_is_listed_as_away_is_passed_over_on_these_days(away: str, owner: str) -> None:
    assert climb(among=staff(by=rules(away=away))).agent_id == owner


def test_the_days_of_an_absence_are_those_of_our_time_zone() -> None:
    monday_in_berlin = datetime.fromisoformat("2026-03-08T23:30:00+00:00")
    among = staff(by=rules(away="{agent: ana@example.com, from: 2026-03-09, to: 2026-03-09}"), now=monday_in_berlin)

    assert climb(among=among).agent_id == CEM


@pytest.mark.parametrize(("load", "owner"), [(4, ANA), (5, CEM), (6, CEM)])
def test_five_open_recoveries_are_enough(load: int, owner: str) -> None:
    assert climb(among=staff(load={ANA: load})).agent_id == owner


def test_how_many_are_enough_can_be_set() -> None:
    owner = climb(among=staff(by=rules(settings="max_open: 1"), load={ANA: 1}))

    assert steps(owner)[0] == ("original_agent", None, "Ana already has 1 open recoveries")


def test_whom_the_helpdesk_refused_is_passed_over() -> None:
    owner = climb(among=staff(refused={ANA: "was refused by the helpdesk (422)"}))

    assert owner.agent_id == CEM
    assert steps(owner)[0][2] == "Ana was refused by the helpdesk (422)"


def test_an_original_agent_of_another_group_takes_the_ticket_along() -> None:
    owner = climb(among=staff(directory(Ana={"group_ids": (NIGHT,), "default_group_id": NIGHT})))

    assert (owner.agent_id, owner.group_id) == (ANA, NIGHT)


def test_an_original_agent_without_groups_needs_none() -> None:
    owner = climb(among=staff(directory(Ana={"group_ids": (), "default_group_id": None})), on=ticket(group_id=None))

    assert (owner.agent_id, owner.group_id) == (ANA, None)


def test_our_own_user_is_the_original_agent_like_anybody_else() -> None:
    held_by_bot = rating(assignee_id=BOT)

    assert climb(original=BOT, on=ticket(assignee_id=BOT), rated=held_by_bot).agent_id == BOT


# ------------------------------------------------------------------ the team
@pytest.mark.parametrize(
    ("load", "owner"),
    [
        ({}, CEM),  # a tie goes to the lower id
        ({CEM: 1}, DORA),
        ({CEM: 2, DORA: 1}, DORA),
        ({CEM: 1, DORA: 1}, CEM),
        ({DORA: 3, ANA: 0}, CEM),  # the original agent had the first shot
        ({BOT: 0, CEM: 4, DORA: 4}, CEM),  # never our own user
    ],
)
def test_the_colleague_with_the_fewest_open_recoveries_gets_it(load: dict[str, int], owner: str) -> None:
    gone = directory(Ana={"unusable": "suspended"})

    assert climb(among=staff(gone, load=load)).agent_id == owner


def test_colleagues_who_cannot_take_it_are_passed_over() -> None:
    who = directory(Ana={"unusable": "suspended"}, Cem={"out_of_office": "tag agent_ooo"})

    owner = climb(among=staff(who, load={DORA: 4}))

    assert (owner.agent_id, owner.group_id) == (DORA, CARE)
    assert owner.why == "Ana suspended; Dora in Care has the fewest open recoveries (4)"


def test_the_team_is_that_of_the_rating() -> None:
    among = staff(directory(without=("Ana", "Cem")))

    owner = climb(rated=rating(group_id=NIGHT), on=ticket(group_id=LEADS, assignee_id=None), among=among)

    assert (owner.agent_id, owner.group_id) == (DORA, NIGHT)


def test_without_a_group_at_the_rating_the_team_is_that_of_the_ticket() -> None:
    owner = climb("same_team", rated=rating(group_id=None), on=ticket(group_id=NIGHT))

    assert (owner.agent_id, owner.group_id) == (DORA, NIGHT)


def test_a_ticket_without_any_group_has_no_team() -> None:
    owner = climb("same_team", rated=rating(group_id=None), on=ticket(group_id=None))

    assert steps(owner) == [("same_team", None, "the rating names no team")]


# ------------------------------------------------------------------ people of rules.yaml
def among_people(people: str, **details: Any) -> Staff:
    by = rules(people=people, playbooks="asks: {like: standard, assign_to_first_available: [helper]}")
    return staff(details.pop("of", None), by, **details)


def test_a_group_stands_for_its_member_with_the_fewest_open_recoveries() -> None:
    owner = climb("helper", among=among_people("helper: {group: night}"))  # in any letter case

    assert (owner.agent_id, owner.group_id) == (DORA, NIGHT)
    assert owner.why == "Dora in Night has the fewest open recoveries (0)"


def test_an_agent_is_asked_by_address_in_their_own_group() -> None:
    owner = climb("helper", among=among_people("helper: {agent: BEN@example.com}"))

    assert (owner.agent_id, owner.group_id, owner.why) == (BEN, LEADS, "Ben is helper")


@pytest.mark.parametrize(
    ("people", "details", "why"),
    [
        ("helper: {agent: ben@example.com}", {"load": {BEN: 5}}, "Ben already has 5 open recoveries"),
        ("helper: {agent: eve@example.com}", {}, "there is no agent eve@example.com"),
        ("helper: {group: Nobody}", {}, "there is no group 'Nobody'"),
        ("helper: {group: Team Leads}", {"of": directory(without=("Ben",))}, "nobody in Team Leads can take it"),
        ('helper: {notify: "#x", per_brand: {Toys: {group: Night}}}', {}, "is only to be notified"),
    ],
    ids=["full", "no agent", "no group", "empty", "notify only"],
)
def test_a_person_who_cannot_take_it_says_why(people: str, details: dict[str, Any], why: str) -> None:
    assert steps(climb("helper", among=among_people(people, **details))) == [("helper", None, why)]


@pytest.mark.parametrize(
    ("variant", "details"),
    [
        ("per_group: {care: {group: Night}}", {}),
        ("per_brand: {Toys: {group: Night}}", {"on": ticket(brand="toys")}),
        ("per_reason: {Too slow: {group: Night}}", {"rated": rating(reason="Too slow")}),
    ],
)
def test_who_a_name_is_depends_on_group_brand_and_reason(variant: str, details: dict[str, Any]) -> None:
    among = among_people(f"helper: {{group: Team Leads, {variant}}}")

    assert climb("helper", among=among, **details).agent_id == DORA
    assert climb("helper", among=among, on=ticket(group_id=LEADS, assignee_id=None)).agent_id == BEN


# ------------------------------------------------------------------ nobody
def test_when_every_rung_fails_it_stays_unassigned_in_the_last_group() -> None:
    owner = climb(among=staff(load=dict.fromkeys((ANA, CEM, DORA, BEN), 5)))

    assert (owner.agent_id, owner.group_id) == (None, LEADS)
    assert [step.rung for step in owner.steps] == list(LADDER)
    assert owner.why == (
        "Ana already has 5 open recoveries; nobody in Care can take it; nobody in Team Leads can take it"
    )


def test_a_rung_without_a_group_leaves_it_in_the_one_before() -> None:
    full = among_people('helper: {agent: eve@example.com, notify: "#x"}', load=dict.fromkeys((ANA, CEM, DORA), 5))

    assert climb("original_agent", "same_team", "helper", among=full).group_id == CARE


# ------------------------------------------------------------------ what a human did
def test_a_human_who_took_the_ticket_after_the_rating_keeps_it() -> None:
    owner = climb(on=ticket(assignee_id=BEN, group_id=LEADS))

    assert (owner.agent_id, owner.group_id, owner.keeps) == (BEN, LEADS, True)
    assert steps(owner) == [("taken", BEN, "Ben took the ticket after the rating and keeps it")]


def test_a_human_keeps_it_however_many_they_have_and_wherever_they_are() -> None:
    busy = staff(directory(Ben={"out_of_office": "tag agent_ooo"}), load={BEN: 9})

    assert climb(on=ticket(assignee_id=BEN), among=busy).keeps


@pytest.mark.parametrize(
    "who",
    [directory(without=("Ana",)), directory(Ana={"unusable": "deleted"}), directory(Ana={"unusable": "suspended"})],
    ids=["gone", "deleted", "suspended"],
)
def test_where_the_helpdesk_moved_a_leaver_s_ticket_is_nobody_s_choice(who: Directory) -> None:
    owner = climb(on=ticket(assignee_id=BOT), among=staff(who))

    assert (owner.agent_id, owner.keeps) == (CEM, False)


def test_a_holder_who_cannot_work_on_it_does_not_keep_it() -> None:
    suspended = directory(Ben={"unusable": "suspended"})

    assert climb(on=ticket(assignee_id=BEN), among=staff(suspended)).agent_id == ANA


def test_a_holder_whom_the_helpdesk_refuses_does_not_keep_it() -> None:
    assert climb(on=ticket(assignee_id=BEN), among=staff(refused={BEN: "was refused"})).agent_id == ANA


def test_an_unassigned_ticket_goes_back_to_who_had_it() -> None:
    assert climb(on=ticket(assignee_id=None)).agent_id == ANA


# ------------------------------------------------------------------ a rating that names nobody
def test_without_an_assignee_of_the_rating_the_history_tells_who_held_it() -> None:
    owner = climb(rated=rating(assignee_id=None), original=ANA)

    assert (owner.agent_id, owner.keeps) == (ANA, False)


def test_who_held_it_all_along_did_not_take_it_and_may_be_passed_over() -> None:
    owner = climb(rated=rating(assignee_id=None), original=ANA, among=staff(load={ANA: 5}))

    assert (owner.agent_id, owner.keeps) == (CEM, False)


def test_when_nobody_held_it_the_team_is_asked() -> None:
    owner = climb(rated=rating(assignee_id=None), original=None, on=ticket(assignee_id=None))

    assert owner.agent_id == ANA
    assert steps(owner)[0] == ("original_agent", None, "nobody held the ticket when it was rated")


def test_whoever_took_a_ticket_that_nobody_held_keeps_it() -> None:
    owner = climb(rated=rating(assignee_id=None), original=None, on=ticket(assignee_id=BEN, group_id=LEADS))

    assert (owner.agent_id, owner.keeps) == (BEN, True)


# ------------------------------------------------------------------ calling people
def test_an_agent_who_is_gone_is_called_by_number() -> None:
    assert staff().name("404") == "agent 404"
    assert staff(directory(Ana={"name": "Ana Alt"})).name(ANA) == "Ana Alt"


def test_members_of_a_group_come_in_the_order_of_their_ids() -> None:
    people = {key: agent(key, f"A{key}", CARE) for key in ("12", "9", "101")}
    who = Directory(NOW, people, {CARE: "Care"})

    found = staff(who).least_loaded(CARE, but_not=None)

    assert found is not None
    assert found.agent_id == "101"  # as text, the same everywhere
    assert MINUTE < HOUR
