"""The mails of the stand-in Zendesk: who gets them, what their placeholders become, and of what kind they are.

Placeholders: the vendor's pages on them. Those of the newer survey are not published; `survey_section` is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from connectors.sandbox import zendesk_rules as rules
from connectors.sandbox.world import Mail
from connectors.sandbox.zendesk_rows import By, File, Row

if TYPE_CHECKING:
    from connectors.sandbox.zendesk_account import Account

_PLACEHOLDER = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_SURVEY = re.compile(r"/satisfaction/new/\w+|/survey_responses/\w+\?access_token=")
FIELD = "ticket.ticket_field_"


class Mailer:
    """Sends what rules say.

    *renders_late*: True fills placeholders in when all triggers of an update have run, so that a field which a trigger
    mails and clears is empty by then; which of the two the vendor does is UNVERIFIED.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.renders_late = False
        self.survey_link: Callable[[File], str] = lambda _file: ""
        self._late: list[Callable[[], None]] = []

    def notify(self, file: File, by: By, value: list[str], audit: Row) -> None:
        """Do the action `notification_user` of the rule `by.rule`: recipient, subject and body."""
        account = self.account
        to, subject, body = (*value, "", "")[:3]
        known = [user for user in self._recipients(to, file, by) if user in account.users]
        recipients = [user for user in known if not account.users[user]["suspended"]]
        event = {"id": account.new_id("audit"), "type": "Notification", "via": by.via, "subject": subject, "body": body}
        audit["events"].append(event | {"recipients": recipients})

        def send() -> None:
            self._send(file, by, (subject, body), recipients)

        if self.renders_late:
            self._late.append(send)
        else:
            send()

    def flush(self) -> None:
        """Send what has waited for the end of the update."""
        late, self._late = self._late, []
        for send in late:
            send()

    def _send(self, file: File, by: By, templates: tuple[str, str], recipients: list[int]) -> None:
        if not recipients:
            return
        account, title = self.account, str(by.rule and by.rule["title"])
        subject, text = (self._filled(template, file) for template in templates)
        for user in (account.users[user_id] for user_id in recipients):
            mail = Mail(
                account.now(), account.name, str(user["email"]), _kind(title, text), str(file.ticket_id), subject, text,
                rule=title, actor=by.actor, to_customer=user["role"] == "end-user",
            )  # fmt: skip
            account.world.mails.append(mail)

    def _filled(self, template: str, file: File) -> str:
        """Return a template with its placeholders filled in once; those that nobody knows become empty."""
        return _PLACEHOLDER.sub(lambda found: self._value(found[1], file), template)

    def _value(self, name: str, file: File) -> str:
        if name.removeprefix(FIELD).isdigit():
            return rules.value_of(file.row, "custom_fields_" + name.removeprefix(FIELD))
        is_legacy, is_new = self.account.csat == "legacy", self.account.csat == "new"
        if (is_legacy and name == "satisfaction.rating_url") or (is_new and name == "satisfaction.survey_url"):
            return self.survey_link(file)
        if is_legacy and name == "satisfaction.rating_section":
            link = self.survey_link(file)
            return f"Good, I'm satisfied: {link}?intention=16\nBad, I'm unsatisfied: {link}?intention=17"
        if is_new and name == "satisfaction.survey_section":
            return f"How would you rate the support you received?\n{self.survey_link(file)}"
        words = {
            "ticket.id": str(file.ticket_id),
            "ticket.title": str(file.row["subject"]),
            "ticket.account": self.account.name,
            "ticket.comments_formatted": str(file.comments[-1]["body"]) if file.comments else "",
        }
        return words.get(name, "")

    def _recipients(self, to: str, file: File, by: By) -> list[int]:
        row = file.row
        if to == "requester_and_ccs":
            return [
                user
                for user in (row["requester_id"], *row["email_cc_ids"])
                if user != by.user_id or len(file.comments) == 1
            ]
        if to == "group_id":
            return [m["user_id"] for m in self.account.memberships if m["group_id"] == row["group_id"]]
        named = {"requester_id": row["requester_id"], "assignee_id": row["assignee_id"], "current_user": by.user_id}
        found = named.get(to, int(to) if str(to).isdigit() else None)
        return [] if found is None else [found]


def _kind(title: str, text: str) -> str:
    """Return the kind of a mail by the rule that sent it and by what stands in it."""
    if _SURVEY.search(text):
        return "survey"
    return rules.MAIL_KINDS.get(title) or ("question" if re.search(r"https?://", text) else "rule")
