"""The automation rules of an account, and the two of ours that bring the second question to the requester.

Source: developers.freshdesk.com/api, Automations; rules that public clients read back (read 2026-11-21). UNVERIFIED:

- the name of the event "a tag is added": taken from a rule of the account that has one, else `tag_names`, which is what
  conditions call it
- the name of the action "send the satisfaction survey": without an example the rule is left to be made by hand
- that a rule may remove a tag and empty a field: one that is refused is left to be made by hand
- that a mail is written when its action runs, in the order of the actions: else the field would be empty by then
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.connector import SetupStep
from bridge.errors import CredentialsRefused, Refused, Unreachable
from connectors.freshdesk.api import PER_PAGE, Api
from connectors.freshdesk.fields import SURVEY_TEXT

Rule = Mapping[str, Any]
HOURLY, ON_UPDATE = 3, 4  # types of automation rules
AGENT, EITHER = 1, 3  # who performs what a rule waits for; our key is an agent
MAX_PAGES = 20
OURS = "[recovery-bridge] "
SURVEYED_TAG = "sr_surveyed"  # stays on the ticket
PLACEHOLDER = "{{ticket." + SURVEY_TEXT.name + "}}"
SURVEY_ACTION = re.compile("survey|csat|satisfaction")
SURVEY_PLACEHOLDER = re.compile(r"\{\{\s*ticket\.\w*(survey|csat|satisfaction)")
WHERE = "Admin > Workflows > Automations > Ticket Updates"


@dataclass(frozen=True)
class OwnRule:
    """One rule of ours: what an agent's *tag* sets off."""

    name: str
    tag: str
    adds_survey: bool

    def body(self, rules: Sequence[Rule]) -> dict[str, Any] | None:
        """Return what creates the rule, in the words of the account's *rules*; None where these show no survey."""
        survey = next((action for rule in rules for action in _actions(rule) if _is_survey_action(action)), None)
        if self.adds_survey and survey is None:
            return None
        mail = {
            "field_name": "send_email_to_requester",
            "email_subject": "Re: {{ticket.subject}}",
            "email_body": f'<div style="white-space: pre-line">{PLACEHOLDER}</div>',
        }
        return {
            "name": self.name,
            "active": True,
            "performer": {"type": AGENT},
            "events": [{"field_name": _tag_event(rules), "value": self.tag}],
            "actions": [
                mail,
                *([dict(survey)] if self.adds_survey and survey else []),
                {"field_name": "remove_tag", "value": self.tag},
                {"field_name": SURVEY_TEXT.name, "value": ""},
            ],
        }

    @property
    def by_hand(self) -> str:
        """What an admin does where the rule cannot be made over the API."""
        survey = "send the satisfaction survey, " if self.adds_survey else ""
        return (
            f"under {WHERE} add a rule with exactly this name: when an agent adds the tag {self.tag}, send an email to "
            f"the requester with the text {PLACEHOLDER}, {survey}remove the tag and empty {SURVEY_TEXT.label}"
        )

    def of(self, rules: Sequence[Rule]) -> list[Rule]:
        """Return the rules that have this name exactly."""
        return [rule for rule in rules if rule.get("name") == self.name]

    def works(self, rule: Rule) -> bool:
        """Return whether a rule does what this one is for, whoever made it and in whatever words."""
        awaited = json.dumps([rule.get("events"), rule.get("conditions")])
        mails = [action for action in _actions(rule) if PLACEHOLDER in json.dumps(action)]
        return (
            is_active(rule)
            and _waits_for_agents(rule)
            and f'"{self.tag}"' in awaited
            and bool(mails)
            and all("requester" in str(action.get("field_name")) for action in mails)  # and nobody else
            and (not self.adds_survey or sends_survey(rule))
        )


ASK = OwnRule(f"{OURS}Ask for a second rating", "sr_ask_survey", adds_survey=True)
MAIL = OwnRule(f"{OURS}Mail the second question", "sr_ask", adds_survey=False)
ASKING_TAGS = frozenset({ASK.tag, MAIL.tag})


# ------------------------------------------------------------------ reading
def rules_of(api: Api, kind: int) -> list[Rule] | None:
    """Return all rules of a kind, also those that are switched off; None where this plan or key has none to show."""
    found: dict[Any, Rule] = {}
    for number in range(1, MAX_PAGES + 1):  # UNVERIFIED that pages are kept to: one that brings nothing new is the last
        body = api.read_if_offered(f"automations/{kind}/rules", {"page": number, "per_page": PER_PAGE})
        if body is None:
            return None
        rows = api.as_list("automations", body.get("rules") or [] if isinstance(body, dict) else body)
        known = len(found)
        found.update((row.get("id"), row) for row in rows)
        if len(rows) < PER_PAGE or len(found) == known:
            break
    return list(found.values())


def is_active(rule: Rule) -> bool:
    """Return whether a rule is switched on."""
    return bool(rule.get("active", True))


def is_ours(rule: Rule) -> bool:
    """Return whether a rule carries our name."""
    return str(rule.get("name")).startswith(OURS)


def sends_survey(rule: Rule) -> bool:
    """Return whether a rule sends the helpdesk's own survey: by an action, or by a placeholder in a mail."""
    return any(_is_survey_action(one) or SURVEY_PLACEHOLDER.search(_without_ours(one)) for one in _actions(rule))


def asks_on_solve(rule: Rule) -> bool:
    """Return whether a rule of the account sends a survey when a ticket is solved, recovered ones included.

    A condition that names a tag of ours is taken to keep recovered tickets out.
    """
    theirs = is_active(rule) and not is_ours(rule) and waits_for(rule, frozenset({"status"}))
    return theirs and sends_survey(rule) and "sr_" not in str(rule.get("conditions"))


def sets_status(rule: Rule, status: int) -> bool:
    """Return whether a rule gives tickets this status."""
    actions = (action for action in _actions(rule) if action.get("field_name") == "status")
    return any(str(action.get("value")) == str(status) for action in actions)


def waits_for(rule: Rule, fields: frozenset[str]) -> bool:
    """Return whether a rule is set off when an agent changes one of these."""
    return _waits_for_agents(rule) and any(event.get("field_name") in fields for event in _events(rule))


def hours_of(rule: Rule) -> str:
    """Return after how many hours a time-triggered rule acts, such as "96 hours since resolved"; "" if unknown."""
    tests = (test for part in rule.get("conditions") or () for test in part.get("properties") or ())
    named = ((str(test.get("field_name")), test.get("value")) for test in tests)
    said = (f"{value} {name.replace('_', ' ')}" for name, value in named if name.startswith("hours_since"))
    return ", ".join(said)


def _waits_for_agents(rule: Rule) -> bool:
    return (rule.get("performer") or {}).get("type", EITHER) in (AGENT, EITHER)


def _actions(rule: Rule) -> list[dict[str, Any]]:
    return [action for action in rule.get("actions") or () if isinstance(action, dict)]


def _events(rule: Rule) -> list[dict[str, Any]]:
    return [event for event in rule.get("events") or () if isinstance(event, dict)]


def _is_survey_action(action: Mapping[str, Any]) -> bool:
    name = str(action.get("field_name"))
    return not name.startswith("cf_") and bool(SURVEY_ACTION.search(name))


def _without_ours(action: Mapping[str, Any]) -> str:
    return json.dumps(action).replace(PLACEHOLDER, "")


def _tag_event(rules: Sequence[Rule]) -> str:
    names = (str(event.get("field_name")) for rule in rules for event in _events(rule))
    return next((name for name in names if "tag" in name and not name.startswith("cf_")), "tag_names")


# ------------------------------------------------------------------ setting up
def set_up(own: OwnRule, rules: Sequence[Rule], api: Api, *, dry_run: bool, remove: bool) -> Iterator[SetupStep]:
    """Create, mend or remove one rule of ours; two of its name are left alone, for nobody knows which one counts."""
    what, found = f"automation rule {own.name}", own.of(rules)
    if len(found) > 1:
        twice = f"there are {len(found)} of this name, and nothing was touched; delete all but one and run setup again"
        yield SetupStep(f"{what} ({twice})", "by hand")
    elif remove:
        if found and not dry_run:
            api.session.write("DELETE", f"/api/v2/automations/{ON_UPDATE}/rules/{found[0]['id']}", None)
        yield SetupStep(what, "absent" if not found else "present" if dry_run else "removed")
    elif found and own.works(found[0]):
        yield SetupStep(what, "present")
    else:
        yield _make(own, found, rules, api, dry_run=dry_run)


def _make(own: OwnRule, found: Sequence[Rule], rules: Sequence[Rule], api: Api, *, dry_run: bool) -> SetupStep:
    what, body = f"automation rule {own.name}", own.body(rules)
    if body is None:
        unknown = "no rule of this account shows how it sends its survey"
        return SetupStep(f"{what} ({unknown}; {own.by_hand})", "by hand")
    if dry_run:
        return SetupStep(what, "differs" if found else "missing")
    path = f"/api/v2/automations/{ON_UPDATE}/rules"
    try:
        if found:
            api.session.write("PUT", f"{path}/{found[0]['id']}", body)
        else:
            api.session.write("POST", path, body)
    except (CredentialsRefused, Refused, Unreachable) as no:  # one that it cannot read is answered with a 500
        return SetupStep(f"{what} ({no}; {own.by_hand})", "by hand")
    return SetupStep(what, "changed" if found else "created")
