"""What `doctor` looks at in a Freshdesk account, each finding with what to do about it.

Source: developers.freshdesk.com/api, Agents, Ticket Fields, Automations and Rate Limit (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from bridge.connector import Finding, Level, Tools
from bridge.errors import CredentialsRefused
from connectors.freshdesk import marker
from connectors.freshdesk.api import PER_PAGE, UNREADABLE, Api
from connectors.freshdesk.csat import Csat
from connectors.freshdesk.people import GLOBAL_SCOPE, People
from connectors.freshdesk.scales import scale_of, scales_of

HOURLY, ON_UPDATE = 3, 4  # types of automation rules
CLOSED = 5
AGENT, EITHER = 1, 3  # who performs what a rule waits for; our key is an agent
OUR_FIELDS = frozenset(
    {"status", "priority", "responder_id", "group_id", "tag_names", "tags", "tag", "note_type", "ticket"}
)
ALWAYS_FILLED = frozenset({"requester", "subject", "status", "priority", "description", "source", "company"})
SKEW_NOTED = timedelta(seconds=30)


def examine(api: Api, tools: Tools, csat: Csat, people: People) -> Iterator[Finding]:
    """Look at the account; a key that is refused ends the examination."""
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
    yield from _closing(api)
    yield from _set_off(api)
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
        yield Finding(Level.FAIL, str(no), "switch satisfaction surveys on (Admin > Customer Satisfaction)")
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
    if any(field.get("name") == marker.MARKER_FIELD for field in fields):
        yield Finding(Level.OK, f"tickets have the field {marker.MARKER_FIELD}, by which a write is known again")
    else:
        todo = "run `recovery-bridge setup`, or " + marker.BY_HAND
        yield Finding(
            Level.WARNING, f"tickets have no field {marker.MARKER_FIELD}, by which a write is known again", todo
        )
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


def _closing(api: Api) -> Iterator[Finding]:
    rules = _rules(api, HOURLY)
    if rules is None:
        yield Finding(Level.NOTE, "the automation rules cannot be read with this key")
        return
    closing = [str(rule.get("name")) for rule in rules if any(map(_closes, rule.get("actions") or ()))]
    if closing:
        yield Finding(
            Level.NOTE,
            f"rules that close tickets: {', '.join(closing)}; closed tickets are reopened like resolved ones, "
            "archived ones (120 days after the last activity) cannot be",
        )


def _closes(action: Mapping[str, Any]) -> bool:
    return action.get("field_name") == "status" and str(action.get("value")) == str(CLOSED)


def _set_off(api: Api) -> Iterator[Finding]:
    touched = [str(rule.get("name")) for rule in _rules(api, ON_UPDATE) or () if _waits_for_us(rule)]
    if touched:
        yield Finding(
            Level.WARNING,
            f"rules that our own writes would set off: {', '.join(touched)}",
            "see that none of them writes to the customer; a condition `tag is not sr_reopened` keeps them out",
        )


def _waits_for_us(rule: Mapping[str, Any]) -> bool:
    performer = (rule.get("performer") or {}).get("type", EITHER)
    events = {str(event.get("field_name")) for event in rule.get("events") or ()}
    return performer in (AGENT, EITHER) and bool(events & OUR_FIELDS)


def _rules(api: Api, kind: int) -> list[dict[str, Any]] | None:
    body = api.read_if_offered(f"automations/{kind}/rules", {"per_page": PER_PAGE})
    if body is None:
        return None
    rules = body.get("rules") if isinstance(body, dict) else body
    return [rule for rule in rules or () if rule.get("active", True)]


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
