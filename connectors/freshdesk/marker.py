"""The ticket field that carries the marker of our last write: `cf_sr_ref`.

A PUT with the marker in it is known again after a lost answer: Freshdesk has neither conditional writes nor keys for
idempotence. Source: developers.freshdesk.com/api, Ticket Fields (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from bridge.connector import Memory, SetupStep
from bridge.errors import CredentialsRefused
from connectors.freshdesk.api import Api

MARKER_FIELD = "cf_sr_ref"
FIELD = {
    "label": "sr_ref",  # the helpdesk makes the name from it: cf_ and the label in small letters
    "label_for_customers": "sr_ref",
    "type": "custom_text",
    "displayed_to_customers": False,
    "customers_can_edit": False,
    "required_for_agents": False,
    "required_for_closure": False,
}
BY_HAND = "in Admin > Ticket Fields add a single-line text field labelled sr_ref, not shown to customers"
THERE_AGE, NOT_THERE_AGE = timedelta(days=1), timedelta(hours=1)


def find(api: Api, memory: Memory) -> dict[str, Any] | None:
    """Return the definition of the marker field as it is now, or None."""
    fields = api.as_list("ticket_fields", api.read("ticket_fields"))
    found = next((field for field in fields if field.get("name") == MARKER_FIELD), None)
    memory.remember("marker_field", found is not None)
    return found


def is_there(api: Api, memory: Memory) -> bool:
    """Return whether tickets have the marker field, from memory for a day, for an hour if they do not."""
    if memory.recall("marker_field", THERE_AGE):
        return True
    return memory.recall("marker_field", NOT_THERE_AGE) is None and find(api, memory) is not None


def set_up(api: Api, memory: Memory, *, dry_run: bool, remove: bool) -> Iterator[SetupStep]:
    """Create or remove the marker field; says what to do by hand where the key may not."""
    what = f"ticket field {MARKER_FIELD}"
    found = find(api, memory)
    if remove and found and not dry_run:
        api.session.write("DELETE", f"/api/v2/admin/ticket_fields/{found['id']}", None)
        memory.remember("marker_field", False)
        yield SetupStep(what, "removed")
    elif remove or found or dry_run:
        yield SetupStep(what, "present" if found else "absent" if remove else "missing")
    else:
        yield _create(api, memory, what)


def _create(api: Api, memory: Memory, what: str) -> SetupStep:
    try:
        made = api.session.write("POST", "/api/v2/admin/ticket_fields", FIELD)
    except CredentialsRefused as no:
        return SetupStep(f"{what} ({no.status}: this key may not create it; {BY_HAND})", "missing")
    if made.get("name") != MARKER_FIELD:
        return SetupStep(f"{what} (the helpdesk named it {made.get('name')}; remove that one and {BY_HAND})", "missing")
    memory.remember("marker_field", True)
    return SetupStep(what, "created")
