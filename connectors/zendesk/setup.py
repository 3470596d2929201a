"""Zendesk: installing what brings the second question to the requester, mending it, and taking it away again.

Source: the OpenAPI file (ticket fields, triggers, trigger categories), read 2026-11-21. Nothing there has a name of our
own, so objects are found by their exact title; where two have it, nothing is done. Which accounts want a category for a
trigger is UNVERIFIED: one is given where a trigger is refused without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge.connector import SetupStep, Tools
from bridge.errors import CredentialsRefused, NotFound, Refused
from connectors.zendesk.asking import Asker
from connectors.zendesk.csat import Csat
from connectors.zendesk.pages import read_all
from connectors.zendesk.question import (
    FIELDS,
    MAIL_TITLE,
    RATE_TITLE,
    TEXT_FIELD,
    TITLES,
    TRIGGERS,
    Installed,
    Record,
    installed,
    is_as,
    text_field,
    trigger,
)

CATEGORIES = "/api/v2/trigger_categories"
CATEGORY = "[recovery-bridge]"


class Setup:
    """The objects of ours in one account."""

    def __init__(self, tools: Tools, csat: Csat, asker: Asker, *, dry_run: bool) -> None:
        self._http = tools.http
        self._needs = tools.needs
        self._csat = csat
        self._asker = asker
        self._dry_run = dry_run

    # -------------------------------------------------------------- installing
    def install(self) -> Iterator[SetupStep]:
        """Create or mend what the rules need; doing it again changes nothing."""
        titles = self._wanted()
        if not titles:
            return
        there = installed(self._http)
        if stop := _stop(there):
            yield stop
            return
        step, field_id = self._field(there)
        yield step
        for title in titles:
            yield self._trigger(title, there, field_id)
        self._asker.forget()

    def _wanted(self) -> list[str]:
        """Return the titles of the triggers that the rules need."""
        needs = self._needs
        mail = needs.surveys and needs.survey_mail
        rate = needs.surveys and needs.rerating and not self._csat.uses_surveys()
        return [title for title, is_needed in ((MAIL_TITLE, mail), (RATE_TITLE, rate)) if is_needed]

    def _field(self, there: Installed) -> tuple[SetupStep, str | None]:
        what, wished = f"ticket field {TEXT_FIELD}: carries a question to the trigger that mails it", text_field()
        if not there.fields:
            if self._dry_run:
                return SetupStep(what, "missing"), None
            made = self._http.write("POST", FIELDS, {"ticket_field": wished})
            return SetupStep(what, "created"), str(made["ticket_field"]["id"])
        found = there.fields[0]
        path, body = f"{FIELDS}/{found['id']}", {"ticket_field": wished}
        return SetupStep(what, self._mended(path, body, is_as(found, wished))), str(found["id"])

    def _trigger(self, title: str, there: Installed, field_id: str | None) -> SetupStep:
        purpose = "mails a question" if title == MAIL_TITLE else "mails a question with the helpdesk's own rating"
        what, found = f"trigger {title}: {purpose} to the requester", there.triggers[title]
        if not found and (self._dry_run or field_id is None):
            return SetupStep(what, "missing")
        wished = trigger(title, field_id or "")
        if not found:
            self._create(wished)
            return SetupStep(what, "created")
        path = f"{TRIGGERS}/{found[0]['id']}"
        return SetupStep(what, self._mended(path, {"trigger": wished}, is_as(found[0], wished)))

    def _mended(self, path: str, body: Record, is_right: bool) -> str:
        if is_right:
            return "present"
        if not self._dry_run:
            self._http.write("PUT", path, body)
        return "differs" if self._dry_run else "changed"

    def _create(self, wished: dict[str, Any]) -> None:
        try:
            self._http.write("POST", TRIGGERS, {"trigger": wished})
        except Refused as exc:
            if not exc.says("category"):
                raise
            self._http.write("POST", TRIGGERS, {"trigger": {**wished, "category_id": self._category()}})

    def _category(self) -> str:
        if found := self._categories():
            return found[0]
        made = self._http.write("POST", CATEGORIES, {"trigger_category": {"name": CATEGORY}})
        return str(made["trigger_category"]["id"])

    def _categories(self) -> list[str]:
        """Return the ids of our category; none where the account has no categories."""
        try:
            found = read_all(self._http, CATEGORIES, "trigger_categories")
            return [str(row["id"]) for row in found if row.get("name") == CATEGORY]
        except (NotFound, CredentialsRefused) as exc:
            if exc.status == 401:
                raise
            return []

    # -------------------------------------------------------------- removing
    def remove(self) -> Iterator[SetupStep]:
        """Take away exactly what setup made: the triggers first, for the field is in use as long as they are there."""
        there = installed(self._http)
        if stop := _stop(there):
            yield stop
            return
        for title in TITLES:
            yield SetupStep(f"trigger {title}", self._removed(TRIGGERS, [row["id"] for row in there.triggers[title]]))
        yield SetupStep(f"ticket field {TEXT_FIELD}", self._removed(FIELDS, [row["id"] for row in there.fields]))
        if categories := self._categories():
            yield SetupStep(f"trigger category {CATEGORY}", self._removed_category(categories))
        self._asker.forget()

    def _removed_category(self, ids: list[str]) -> str:
        try:
            return self._removed(CATEGORIES, ids)
        except Refused:  # somebody put other triggers into it
            return "in use"

    def _removed(self, path: str, ids: list[Any]) -> str:
        if not ids:
            return "absent"
        for one in () if self._dry_run else ids:
            self._http.write("DELETE", f"{path}/{one}", None)
        return "present" if self._dry_run else "removed"


def _stop(there: Installed) -> SetupStep | None:
    """Return the step that says why nothing is done, where it is not clear what is ours."""
    found = {f"ticket field {TEXT_FIELD}": there.fields, **{f"trigger {t}": rows for t, rows in there.triggers.items()}}
    for what, rows in found.items():
        if len(rows) > 1:
            todo = "delete all but one in Admin Center and run setup again; nothing was done"
            return SetupStep(f"{what}: there are {len(rows)} with this title; {todo}", "stopped")
    if there.fields and there.fields[0].get("type") != "textarea":
        kind = there.fields[0].get("type")
        todo = "rename it in Admin Center and run setup again; nothing was done"
        return SetupStep(f"ticket field {TEXT_FIELD}: a field with this title is of type {kind}; {todo}", "stopped")
    return None
