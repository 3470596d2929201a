"""Stories of agents and groups that are newer than the directory that the bridge remembers for an hour."""

from __future__ import annotations

from pathlib import Path

from tests.bridge.stories import BOTH, HOUR, MINUTE, MONDAY, Story, story_in, text_of, told_in
from tests.in_process import company

NO_LEADS = ("{group: Team Leads,", "{group: Night Leads,")
LEADS_FIRST = ("[original_agent, same_team, leads]", "[leads, original_agent]")


def calls(story: Story) -> int:
    return story.app.sessions[story.account].requests_made


def look(story: Story) -> int:
    """Have the bridge read the directory now; returns what that costs."""
    before = calls(story)
    story.app.engine.desks[story.account].directory(fresh=True)
    return calls(story) - before


def hire(story: Story, name: str, group: str) -> str:
    """Somebody is new since the bridge has read the directory."""
    look(story)
    agent_id = story.firm.hire(story.account, name, f"{name.lower()}@example.com", group)
    story.firm.pass_time(2 * MINUTE)
    return agent_id


def rated(story: Story, by: str, group: str = "Care", customer: str = "Mia Maier") -> str:
    """Somebody answers and solves a ticket, which is rated badly within minutes."""
    desk, agent_id = story.desk, story.agent(by)
    customer_id = desk.add_customer(customer, f"{customer[:3].lower()}@customer.example")
    ticket_id = desk.open_ticket(customer_id, "My order", "?", group=story.firm.groups[story.account, group])
    desk.assign(ticket_id, agent_id, by=agent_id)
    story.firm.pass_time(MINUTE)
    desk.reply(ticket_id, agent_id, "It is on its way.")
    desk.solve(ticket_id, agent_id)
    story.firm.pass_time(MINUTE)
    desk.rate(ticket_id, "bad", "Nobody helped me", None)
    return ticket_id


def cost_of_a_run(story: Story) -> int:
    before = calls(story)
    story.later(2 * MINUTE)
    return calls(story) - before


# ------------------------------------------------------------------ who is new
@BOTH
def test_a_new_agent_has_the_first_shot_and_is_called_by_name(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        newcomer = hire(story, "Nia", "Care")
        ticket_id = rated(story, "Nia")

        story.later(2 * MINUTE)

        assert story.case.assignee_id == story.holder(ticket_id) == newcomer
        assert [(step.rung, step.why[:8]) for step in story.case.ladder] == [("original_agent", "Nia held")]


@BOTH
def test_a_new_agent_who_takes_a_rated_ticket_keeps_it(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        newcomer = hire(story, "Nia", "Care")
        ticket_id = rated(story, "Ana")
        story.desk.assign(ticket_id, newcomer, by=newcomer)

        story.later(2 * MINUTE)

        assert story.case.assignee_id == story.holder(ticket_id) == newcomer


@BOTH
def test_a_case_that_a_human_gave_to_a_new_agent_stays_there(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        ticket_id = story.flagged()
        newcomer = hire(story, "Nia", "Care")
        story.desk.assign(ticket_id, newcomer, by=story.agent("Ana"))

        story.later(12 * MINUTE, every=6 * MINUTE)

        assert story.case.assignee_id == story.holder(ticket_id) == newcomer
        assert "owner_gone" not in " ".join(story.happened())


@BOTH
def test_a_new_group_that_rules_name_is_found(tmp_path: Path, account: str) -> None:
    with company(MONDAY, tmp_path) as firm:
        firm.hire("shop" if account == "acme" else "acme", "Noa", "noa@example.com", "Night Leads")  # only there
        with told_in(firm, account, NO_LEADS, LEADS_FIRST) as story:
            lead = hire(story, "Nia", "Night Leads")
            ticket_id = rated(story, "Ana")

            story.later(2 * MINUTE)

            assert story.holder(ticket_id) == lead
            assert story.case.group_id == story.firm.groups[account, "Night Leads"]


@BOTH
def test_a_group_that_is_as_new_as_the_rules_that_name_it_is_no_mistake(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        hire(story, "Nia", "Night Leads")
        rules = story.firm.rules(text_of(story.firm, NO_LEADS))

        with story.firm.bridge(rules) as app:
            assert app.check_names()


# ------------------------------------------------------------------ what it costs
@BOTH
def test_an_agent_who_left_costs_one_look_for_all_ratings_of_a_minute(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        rated(story, "Ana", customer="Ada Abel")
        rated(story, "Ana", customer="Bob Bell")
        usual = cost_of_a_run(story)
        one_look = look(story)
        rated(story, "Cem", customer="Cia Cole")
        rated(story, "Cem", customer="Dan Dorn")
        story.desk.remove_agent(story.agent("Cem"))

        assert cost_of_a_run(story) < usual + 2 * one_look
        assert len(story.app.store.cases()) == 4


@BOTH
def test_agents_who_are_known_cost_no_look(tmp_path: Path, account: str) -> None:
    with story_in(tmp_path, account) as story:
        look(story)
        read_at = story.app.engine.desks[account].directory().read_at
        rated(story, "Ana")

        story.later(HOUR / 2, every=HOUR / 6)

        assert story.app.engine.desks[account].directory().read_at == read_at
