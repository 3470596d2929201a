"""What `doctor` looks at in a Freshdesk account, each finding with what to do about it.

Source: developers.freshdesk.com/api, Agents, Ticket Fields, Automations and Rate Limit (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bridge.connector import Finding, Level, Tools
from bridge.errors import CredentialsRefused
from connectors.freshdesk import automations, webhook
from connectors.freshdesk.api import UNREADABLE, Api
from connectors.freshdesk.asking import asking
from connectors.freshdesk.automations import ASK, HOURLY, MAIL, ON_UPDATE, SURVEYED_TAG, Rule
from connectors.freshdesk.csat import Csat
from connectors.freshdesk.fields import MARKER
from connectors.freshdesk.people import GLOBAL_SCOPE, People
from connectors.freshdesk.scales import scale_of, scales_of

CLOSED = 5
OUR_FIELDS = frozenset(
    {"status", "priority", "responder_id", "group_id", "tag_names", "tags", "tag", "note_type", "ticket"}
)
ALWAYS_FILLED = frozenset({"requester", "subject", "status", "priority", "description", "source", "company"})
NO_SURVEYS = "switch satisfaction surveys on (Admin > Customer Satisfaction), on a plan that has them (Pro, Enterprise)"
SKEW_NOTED = timedelta(seconds=30)


def examine(api: Api, tools: Tools, csat: Csat, people: People, given: Sequence[str]) -> Iterator[Finding]:
    """Look at the account; a key that is refused ends the examination. *given*: secrets of webhooks."""
    try:
        me = vars(api.library.agents.currently_authenticated_agent())
    except CredentialsRefused as no:
        yield Finding(Level.FAIL, f"the API key is refused: {no}", "set the key of an active agent with full access")
        return
    except UNREADABLE:
        me = {}
    yield from _key(api, me)
    yield from _surveys(api, csat)
    yield from _limits(tools)
    yield from _fields(api)
    yield from _rules(api, tools, given)
    yield from _presence(people)
    yield from _clock(tools)


def _key(api: Api, me: Mapping[str, Any]) -> Iterator[Finding]:
    yield Finding(Level.OK, f"the API key is accepted; it acts as agent {me.get('id', 'unknown')}")
    if me.get("ticket_scope", GLOBAL_SCOPE) != GLOBAL_SCOPE:
        yield Finding(
            Level.FAIL,
            "this agent does not see all tickets, so ratings would be missed without a word",
            "give the agent of the key global access (Admin > Agents > Scope)",
        )
    if api.read_if_offered("agents", {"per_page": 1}) is None:
        yield Finding(
            Level.FAIL,
            "this agent may not list agents and groups",
            "give the agent of the key the role Administrator",
        )


def _surveys(api: Api, csat: Csat) -> Iterator[Finding]:
    try:
        found = csat.probe()
    except CredentialsRefused as no:
        yield Finding(Level.FAIL, str(no), NO_SURVEYS)
        return
    if found["both"]:
        yield Finding(
            Level.WARNING,
            "both the older and the newer CSAT hold answers of the last four weeks; only the newer one is read",
            "switch the older survey off, so that no answer is left out",
        )
    if found["api"] == "new":
        scales = [scale_of(survey) for survey in csat.surveys() if str(survey.get("state")).upper() == "ACTIVE"]
        said = ", ".join(f"{scale.low} to {scale.high}" for scale in scales) or "no active survey"
        yield Finding(Level.OK, f"ratings come from the newer CSAT; scale: {said}")
        return
    surveys = api.read_if_offered("surveys") or []
    active = scales_of([survey for survey in surveys if survey.get("active")])
    said = ", ".join(f"{len(codes)} points ({', '.join(map(str, codes))})" for codes in active.values())
    yield Finding(Level.OK, f"ratings come from satisfaction ratings; scale: {said or 'no active survey'}")


def _limits(tools: Tools) -> Iterator[Finding]:
    budget = tools.http.budget
    share = f"{budget.limit * budget.share:.0f}"
    yield Finding(Level.NOTE, f"the plan allows {budget.limit} calls per minute; we use at most {share} of them")


def _fields(api: Api) -> Iterator[Finding]:
    fields = api.as_list("ticket_fields", api.read("ticket_fields"))
    if any(field.get("name") == MARKER.name for field in fields):
        yield Finding(Level.OK, f"tickets have the field {MARKER.name}, by which a write is known again")
    else:
        todo = "run `recovery-bridge setup`, or " + MARKER.by_hand
        yield Finding(Level.WARNING, f"tickets have no field {MARKER.name}, by which a write is known again", todo)
    required = [
        str(field.get("label") or field.get("name"))
        for field in fields
        if (field.get("required_for_agents") or field.get("required_for_closure"))
        and field.get("name") not in ALWAYS_FILLED
    ]
    if required:
        yield Finding(
            Level.WARNING,
            f"tickets on which a required field is empty may refuse our writes: {', '.join(required)}",
            "make them optional for agents, or fill them by a rule when tickets are created",
        )


# ------------------------------------------------------------------ automations
def _rules(api: Api, tools: Tools, given: Sequence[str]) -> Iterator[Finding]:
    hourly, on_update = (automations.rules_of(api, kind) for kind in (HOURLY, ON_UPDATE))
    if hourly is None or on_update is None:
        yield Finding(Level.NOTE, "the automation rules cannot be read with this key")
    active = [rule for rule in (*(hourly or ()), *(on_update or ())) if automations.is_active(rule)]
    yield from _closing([rule for rule in hourly or () if rule in active])
    yield from _set_off([rule for rule in on_update or () if rule in active])
    if on_update is not None:
        yield from webhook.findings(on_update, tools, given)
    if tools.needs.surveys:
        yield from _ways(api, tools)
        yield from _surveys_by_themselves(active)


def _closing(rules: Sequence[Rule]) -> Iterator[Finding]:
    closing = [rule for rule in rules if automations.sets_status(rule, CLOSED)]
    if closing:
        named = ", ".join(f"{_name(rule)}{_after(rule)}" for rule in closing)
        yield Finding(
            Level.NOTE,
            f"rules that close tickets: {named}; closed tickets are reopened and rated like resolved ones, "
            "archived ones (120 days after the last activity) cannot be",
        )


def _after(rule: Rule) -> str:
    hours = automations.hours_of(rule)
    return f" ({hours})" if hours else ""


def _set_off(rules: Sequence[Rule]) -> Iterator[Finding]:
    touched = [rule for rule in rules if automations.waits_for(rule, OUR_FIELDS) and not automations.is_ours(rule)]
    if touched:
        yield Finding(
            Level.WARNING,
            f"rules that our own writes would set off: {', '.join(map(_name, touched))}",
            "see that none of them writes to the customer; a condition `tag is not sr_reopened` keeps them out",
        )


def _ways(api: Api, tools: Tools) -> Iterator[Finding]:
    """Say which of the ways that the rules may want are open to ask a customer again."""
    found = asking(api, tools.memory, fresh=True)
    ways = [(f'by Freshdesk\'s own survey (rule "{ASK.name}")', found.own)]
    if tools.needs.survey_mail:
        ways.append((f'by a mail with our words (rule "{MAIL.name}")', found.mail))
    for way, obstacle in ways:
        if obstacle:
            what, _, todo = obstacle.partition("; ")
            yield Finding(Level.WARNING, f"customers cannot be asked again {way}: {what}", todo)
        else:
            yield Finding(Level.OK, f"customers can be asked again {way}")


def _surveys_by_themselves(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Warn of a second question beside ours: nothing shows us that the helpdesk asked by itself."""
    senders = [rule for rule in rules if automations.sends_survey(rule) and not automations.is_ours(rule)]
    if senders:
        yield Finding(
            Level.WARNING,
            f"rules that send surveys by themselves: {', '.join(map(_name, senders))}; a customer could be asked twice",
            f"give them the conditions `tag is not sr_flagged` and `tag is not {SURVEYED_TAG}`, "
            "so that recoveries are left to us",
        )
    yield Finding(
        Level.NOTE,
        "whether the account asks by itself on every resolved ticket is not shown to us",
        "if it does (Admin > Customer Satisfaction), write asks_on_solve: true under this account in rules.yaml: that "
        "survey then counts as the second question, and ours is not sent",
    )


def _name(rule: Rule) -> str:
    return str(rule.get("name"))


def _presence(people: People) -> Iterator[Finding]:
    if people.availability() is None:
        yield Finding(
            Level.NOTE,
            "this account does not tell who is present",
            "list absences under `away:` in rules.yaml",
        )
    else:
        yield Finding(Level.OK, "the presence of agents can be read")


def _clock(tools: Tools) -> Iterator[Finding]:
    helpdesk = tools.http.helpdesk_time
    skew = abs(helpdesk - tools.now()) if helpdesk else timedelta()
    if skew > SKEW_NOTED:
        seconds = f"{skew.total_seconds():.0f}"
        yield Finding(
            Level.WARNING, f"the clock here and that of Freshdesk differ by {seconds} s", "run a time service"
        )
