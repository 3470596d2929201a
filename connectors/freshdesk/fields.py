"""The ticket fields of ours: `cf_sr_ref`, the marker of our last write, and `cf_sr_survey_text`, a question on its way.

A PUT with the marker in it is known again after a lost answer: Freshdesk has neither conditional writes nor keys for
idempotence. Source: developers.freshdesk.com/api, Ticket Fields (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bridge.connector import Memory, SetupStep
from bridge.errors import CredentialsRefused
from connectors.freshdesk.api import Api

THERE_AGE, NOT_THERE_AGE = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True)
class OwnField:
    """One ticket field of ours, for agents only; the helpdesk makes its name of cf_ and the label."""

    label: str
    type: str
    in_words: str
    remembered_as: str

    @property
    def name(self) -> str:
        """The name in `custom_fields`."""
        return f"cf_{self.label}"

    @property
    def body(self) -> Mapping[str, Any]:
        """What creates it."""
        return {
            "label": self.label,
            "label_for_customers": self.label,
            "type": self.type,
            "displayed_to_customers": False,
            "customers_can_edit": False,
            "required_for_agents": False,
            "required_for_closure": False,
        }

    @property
    def by_hand(self) -> str:
        """What an admin does where our key may not."""
        return f"in Admin > Ticket Fields add a {self.in_words} field labelled {self.label}, not shown to customers"


MARKER = OwnField("sr_ref", "custom_text", "single-line text", "marker_field")
SURVEY_TEXT = OwnField("sr_survey_text", "custom_paragraph", "multi-line text", "survey_text_field")


def find(api: Api, memory: Memory) -> dict[str, dict[str, Any]]:
    """Return the definitions of those fields of ours that are there now, by name."""
    rows = api.as_list("ticket_fields", api.read("ticket_fields"))
    there = {str(row.get("name")): row for row in rows}
    for field in (MARKER, SURVEY_TEXT):
        memory.remember(field.remembered_as, field.name in there)
    return {field.name: there[field.name] for field in (MARKER, SURVEY_TEXT) if field.name in there}


def is_there(field: OwnField, api: Api, memory: Memory) -> bool:
    """Return whether tickets have the field, from memory for a day, for an hour if they do not."""
    if memory.recall(field.remembered_as, THERE_AGE):
        return True
    return memory.recall(field.remembered_as, NOT_THERE_AGE) is None and field.name in find(api, memory)


def set_up(
    field: OwnField, found: Mapping[str, Any] | None, api: Api, memory: Memory, *, dry_run: bool, remove: bool
) -> Iterator[SetupStep]:
    """Create or remove one field, which is there as *found*; says what to do by hand where the key may not."""
    what = f"ticket field {field.name}"
    if remove and found and not dry_run:
        api.session.write("DELETE", f"/api/v2/admin/ticket_fields/{found['id']}", None)
        memory.remember(field.remembered_as, False)
        yield SetupStep(what, "removed")
    elif remove or found or dry_run:
        yield SetupStep(what, "present" if found else "absent" if remove else "missing")
    else:
        yield _create(field, api, memory, what)


def _create(field: OwnField, api: Api, memory: Memory, what: str) -> SetupStep:
    try:
        made = api.session.write("POST", "/api/v2/admin/ticket_fields", field.body)
    except CredentialsRefused as no:
        return SetupStep(f"{what} ({no.status}: this key may not create it; {field.by_hand})", "missing")
    if made.get("name") != field.name:
        named = f"the helpdesk named it {made.get('name')}; remove that one and {field.by_hand}"
        return SetupStep(f"{what} ({named})", "missing")
    memory.remember(field.remembered_as, True)
    return SetupStep(what, "created")
