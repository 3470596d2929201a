"""How customers of a Freshdesk account can be asked again, and what setup installs for it.

Freshdesk has no call that sends a survey, and none that shows that one was sent. So a write puts the question into a
ticket field and adds a tag; a rule of ours mails the field to the requester, with the survey where the tag says so.
Source: developers.freshdesk.com/api, Automations, and support articles on automation rules (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from bridge.connector import Asking, Memory, Needs, SetupStep
from connectors.freshdesk import automations, fields
from connectors.freshdesk.api import Api
from connectors.freshdesk.automations import ASK, MAIL, ON_UPDATE, OwnRule, Rule
from connectors.freshdesk.fields import MARKER, SURVEY_TEXT, OwnField

ASKING_AGE = timedelta(days=1)
RUN_SETUP = "run `recovery-bridge setup`"
NOT_READ = (
    "this key may not read automation rules (403); give its agent the role Administrator, "
    "and the account a plan with automations"
)


def asking(api: Api, memory: Memory, *, fresh: bool = False) -> Asking:
    """Return the ways to ask again, from memory for a day: two calls.

    A closed ticket takes answers like a resolved one, so nothing closes; a second rating stands beside the first.
    """
    known: dict[str, Any] | None = None if fresh else memory.recall("asking", ASKING_AGE)
    if known is None:
        known = _look(api, memory)
        memory.remember("asking", known)
    return Asking(own=known["own"], mail=known["mail"], asks_on_solve=known["asks_on_solve"])


def forget(memory: Memory) -> None:
    """Look again the next time."""
    memory.remember("asking", None)


def _look(api: Api, memory: Memory) -> dict[str, Any]:
    there = fields.find(api, memory)
    no_field = next((_no_field(field) for field in (MARKER, SURVEY_TEXT) if field.name not in there), "")
    rules = automations.rules_of(api, ON_UPDATE)
    if rules is None:
        return {"own": NOT_READ, "mail": NOT_READ, "asks_on_solve": False}
    return {
        "own": no_field or _why_not(ASK, rules),
        "mail": no_field or _why_not(MAIL, rules),
        "asks_on_solve": any(map(automations.asks_on_solve, rules)),
    }


def _no_field(field: OwnField) -> str:
    return f"tickets have no field {field.name}; {RUN_SETUP}"


def _why_not(own: OwnRule, rules: Sequence[Rule]) -> str:
    found = own.of(rules)
    if not found:
        return f'there is no rule "{own.name}"; {RUN_SETUP}'
    if len(found) > 1:
        return f'there are {len(found)} rules "{own.name}"; delete all but one'
    if not automations.is_active(found[0]):
        return f'the rule "{own.name}" is switched off; {RUN_SETUP}, or switch it on'
    return ""


# ------------------------------------------------------------------ setting up
def set_up(api: Api, memory: Memory, needs: Needs, *, dry_run: bool, remove: bool) -> Iterator[SetupStep]:
    """Create or remove the fields and rules that the rules.yaml needs; only ours are ever touched.

    What is removed goes in the other order, and whatever there is of it, needed now or not.
    """
    there = fields.find(api, memory)
    steps = [
        fields.set_up(field, there.get(field.name), api, memory, dry_run=dry_run, remove=remove)
        for field in (MARKER, SURVEY_TEXT)
        if field is MARKER or needs.surveys or (remove and field.name in there)
    ]
    if remove:
        yield from _rules(api, needs, dry_run=dry_run, remove=True)
        steps.reverse()
    for step in steps:
        yield from step
    if not remove and needs.surveys:
        yield from _rules(api, needs, dry_run=dry_run, remove=False)
    if not dry_run:
        forget(memory)


def _rules(api: Api, needs: Needs, *, dry_run: bool, remove: bool) -> Iterator[SetupStep]:
    wanted = [own for own in (MAIL, ASK) if needs.surveys and (own is ASK or needs.survey_mail)]
    rules = automations.rules_of(api, ON_UPDATE)
    for own in (MAIL, ASK):
        if rules is None and own in wanted:
            yield _unread(own, remove=remove)
        elif rules is not None and (own in wanted or (remove and own.of(rules))):
            yield from automations.set_up(own, rules, api, dry_run=dry_run, remove=remove)


def _unread(own: OwnRule, *, remove: bool) -> SetupStep:
    todo = f'under {automations.WHERE} delete "{own.name}"' if remove else own.by_hand
    return SetupStep(f"automation rule {own.name} ({NOT_READ}; or {todo})", "by hand")
