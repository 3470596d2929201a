"""Business rules of the stand-in Zendesk: the default triggers and automations, and what makes any rule run.

Titles and conditions follow the defaults of a new account; the CSAT automations follow a public dump of a real one.
The new survey's own automation and placeholders are not published: `{{satisfaction.survey_section}}` is a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.sandbox.zendesk_rows import STATUSES, By, File, Row

HOURS_SINCE = {status.upper(): status for status in STATUSES}

RECEIVED = "Notify requester and CCs of received request"
COMMENTED = "Notify requester and CCs of comment update"
SOLVED = "Notify requester of solved request"
ASSIGNED = "Notify assignee of assignment"
NOTED = "Notify assignee of comment update"
REOPENED = "Notify assignee of reopened ticket"
CLOSE = "Close ticket 4 days after status is set to solved"
ASK = "Request customer satisfaction rating (System Automation)"
OUT_OF_OFFICE = "Out of Office: unassign reopened tickets"
CATEGORY = "10026"  # of triggers; the account's first
OPERATORS = frozenset(
    {"is", "is_not", "includes", "not_includes", "changed", "not_changed", "value", "not_value", "value_previous",
     "not_value_previous", "less_than", "greater_than", "present", "not_present"}
)  # fmt: skip
MAIL_KINDS = {
    RECEIVED: "request_received", COMMENTED: "reply", SOLVED: "solved", ASSIGNED: "assigned", NOTED: "comment",
    REOPENED: "reopened",
}  # fmt: skip


@dataclass
class Happening:
    """What a rule looks at: the ticket now and before, who changed it, and the comment that came with it."""

    file: File
    before: Row  # empty when the ticket was created
    by: By
    role: str  # of the acting user: agent or end_user
    comment: Row | None = None


def when(field: str, operator: str, value: Any = "") -> Row:
    """Return one condition."""
    return {"field": field, "operator": operator, "value": value}


def mail(to: str, subject: str, body: str) -> Row:
    """Return the action that sends a mail."""
    return {"field": "notification_user", "value": [to, subject, body]}


def default_triggers(mail_on_solve: bool) -> list[tuple[str, list[Row], list[Row]]]:
    """Return title, conditions (all of them) and actions of the triggers that an account comes with."""
    request = "[Request received] {{ticket.title}}"
    triggers = [
        (RECEIVED, [when("update_type", "is", "Create"), when("status", "is_not", "solved"),
                    when("comment_is_public", "is", "true")],
         [mail("requester_and_ccs", request, "Your request ({{ticket.id}}) has been received.")]),
        (COMMENTED, [when("update_type", "is", "Change"), when("comment_is_public", "is", "true"),
                     when("requester_id", "is_not", "current_user")],
         [mail("requester_and_ccs", "[{{ticket.account}}] Re: {{ticket.title}}", "{{ticket.comments_formatted}}")]),
        (NOTED, [when("update_type", "is", "Change"), when("comment_is_public", "is", "not_relevant"),
                 when("assignee_id", "is_not", "current_user"), when("assignee_id", "is_not", "requester_id"),
                 when("assignee_id", "not_changed"), when("status", "not_value_previous", "solved")],
         [mail("assignee_id", "Re: {{ticket.title}}", "This ticket (#{{ticket.id}}) has been updated.")]),
        (ASSIGNED, [when("assignee_id", "changed"), when("assignee_id", "is_not", "current_user")],
         [mail("assignee_id", "Assignment: {{ticket.title}}", "You have been assigned ticket #{{ticket.id}}.")]),
        (REOPENED, [when("update_type", "is", "Change"), when("assignee_id", "is_not", "current_user"),
                    when("status", "value_previous", "solved"), when("status", "is_not", "closed"),
                    when("assignee_id", "not_changed")],
         [mail("assignee_id", "Re: {{ticket.title}}", "This ticket (#{{ticket.id}}) has been reopened.")]),
    ]  # fmt: skip
    if mail_on_solve:
        solved = [when("update_type", "is", "Change"), when("status", "value", "solved")]
        triggers.append((SOLVED, solved, [mail("requester_id", "Solved: {{ticket.title}}", "Your request is solved.")]))
    return triggers


def default_automations(csat: str, close_after: int) -> list[tuple[str, list[Row], list[Row]]]:
    """Return title, conditions and actions of the automations that an account comes with; *close_after* in hours."""
    automations = []
    if csat != "none":
        section = "{{satisfaction.rating_section}}" if csat == "legacy" else "{{satisfaction.survey_section}}"
        asked = [when("status", "less_than", "closed"), when("SOLVED", "is", "24"),
                 when("satisfaction_score", "is", "unoffered")]  # fmt: skip
        ask = mail("requester_id", "Request #{{ticket.id}}: How would you rate the support you received?", section)
        automations.append((ASK, asked, [ask, {"field": "satisfaction_score", "value": "offered"}]))
    closing = [when("status", "is", "solved"), when("SOLVED", "greater_than", str(close_after))]
    automations.append((CLOSE, closing, [{"field": "status", "value": "closed"}]))
    return automations


def rule_row(
    rule_id: int, base: str, at: str, *, kind: str, title: str, conditions: list[Row], actions: list[Row]
) -> Row:
    """Return a trigger or automation as the API shows it; `kind` is taken off before."""
    return {
        "url": f"{base}/{kind}s/{rule_id}.json", "id": rule_id, "kind": kind, "title": title, "raw_title": title,
        "active": True, "updated_at": at, "created_at": at, "default": True, "actions": actions,
        "conditions": {"all": conditions, "any": []}, "position": 0,
    } | ({"description": None, "category_id": CATEGORY} if kind == "trigger" else {})  # fmt: skip


def timed_status(rule: Row) -> str | None:
    """Return the status whose hours an automation counts; None if it counts none or is switched off."""
    counted = (HOURS_SINCE[c["field"]] for c in rule["conditions"]["all"] if c["field"] in HOURS_SINCE)
    return next(counted, None) if rule["active"] else None


def is_due(rule: Row, file: File) -> datetime | None:
    """Return when an automation's hours are over for a ticket in its present status; None if it has no such time."""
    status = timed_status(rule)
    if status is None or status != file.row["status"]:
        return None
    hours = next(c["value"] for c in rule["conditions"]["all"] if HOURS_SINCE.get(c["field"]) == status)
    return file.status_since + timedelta(hours=float(hours))


def happens_once(rule: Row) -> bool:
    """Tell if an automation's time condition is true in one hour only."""
    return any(c["field"] in HOURS_SINCE and c["operator"] == "is" for c in rule["conditions"]["all"])


def applies(rule: Row, happening: Happening) -> bool:
    """Tell if all of a rule's `all` conditions and one of its `any` conditions hold."""
    wanted, options = rule["conditions"]["all"], rule["conditions"]["any"]
    return all(_holds(c, happening) for c in wanted) and (not options or any(_holds(c, happening) for c in options))


def _holds(condition: Row, happening: Happening) -> bool:
    field, operator, wanted = condition["field"], condition["operator"], condition.get("value")
    if field in HOURS_SINCE:
        return True  # `is_due` has looked at the time
    if field == "update_type":
        return (wanted == "Change") is bool(happening.before)
    if field == "comment_is_public":
        return _comment_is(happening.comment, str(wanted).lower())
    if field == "current_tags":
        has = bool(set(str(wanted).split()) & set(happening.file.row["tags"]))
        return has is (operator == "includes")
    if field in ("role", "current_user_id"):
        present = wanted in (happening.role, str(happening.by.user_id))
        return present is (operator == "is")
    return _compare(operator, _named(wanted, happening), value_of(happening.file.row, field), happening, field)


def _compare(operator: str, wanted: str, now: str, happening: Happening, field: str) -> bool:
    then = value_of(happening.before, field)
    rank = {status: place for place, status in enumerate(STATUSES)}
    answers = {
        "is": now == wanted,
        "is_not": now != wanted,
        "changed": now != then,
        "not_changed": now == then,
        "value": now == wanted != then,
        "not_value": not now == wanted != then,
        "value_previous": then == wanted != now,
        "not_value_previous": not then == wanted != now,
        "less_than": rank.get(now, 0) < rank.get(wanted, 0),
        "greater_than": rank.get(now, 0) > rank.get(wanted, 0),
        "present": bool(now),
        "not_present": not now,
    }
    return answers[operator]


def _comment_is(comment: Row | None, wanted: str) -> bool:
    if comment is None:
        return False
    return wanted in (
        "not_relevant",
        "requester_can_see_comment" if comment["public"] else "",
        str(comment["public"]).lower(),
    )


def _named(wanted: Any, happening: Happening) -> str:
    if wanted == "current_user":
        return str(happening.by.user_id)
    return str(happening.file.row["requester_id"]) if wanted == "requester_id" else str(wanted or "")


def value_of(row: Row, field: str) -> str:
    """Return a ticket's value as rules compare it, in text; "" for none."""
    if not row:
        return ""
    if field == "satisfaction_score":
        return str((row["satisfaction_rating"] or {"score": "unoffered"})["score"])
    if field.startswith("custom_fields_"):
        wanted = int(field.removeprefix("custom_fields_"))
        return str(next((f["value"] for f in row["custom_fields"] if f["id"] == wanted), None) or "")
    return str(row.get(field) or "")
