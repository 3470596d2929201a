"""One Zendesk account: its people, tickets, ratings and rules, and what a change of a ticket sets off.

Everything here is about the helpdesk itself; the HTTP API is in zendesk_api.py, what people do in zendesk.py.
Rules of assignment, tags and conflicts: Zendesk's API reference and recorded answers; UNVERIFIED where marked.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from connectors.sandbox import zendesk_rows as rows
from connectors.sandbox import zendesk_rules as rules
from connectors.sandbox.world import Entry, World
from connectors.sandbox.wsgi import Refusal
from connectors.sandbox.zendesk_mails import Mailer
from connectors.sandbox.zendesk_rows import By, File, RatingIndex, Row
from connectors.sandbox.zendesk_rules import Happening

LEDGER_WORDS = {"assignee_id": "assignee", "group_id": "group", "satisfaction_score": "rating"}
PLAIN_FIELDS = ("subject", "type", "priority", "external_id", "due_at", "requester_id", "problem_id", "brand_id",
                "organization_id", "recipient", "ticket_form_id")  # fmt: skip
WRITABLE = frozenset(
    {*PLAIN_FIELDS, "status", "custom_status_id", "assignee_id", "assignee_email", "group_id", "custom_fields", "tags",
     "comment", "email_ccs", "followers", "metadata", "macro_ids", "safe_update", "updated_stamp", "fields",
     "collaborator_ids", "additional_collaborators", "via_followup_source_id", "description", "requester",
     "submitter_id", "id", "created_at", "macro_id", "attribute_value_ids"}
)  # fmt: skip
CLOSED = "Status: closed prevents ticket update"


def invalid(**details: Any) -> Refusal:
    """Return the 422 of a record that breaks a rule: `assignee=[{"description": ...}]`."""
    return Refusal(422, {"error": "RecordInvalid", "description": "Record validation errors", "details": details})


def not_found() -> Refusal:
    """Return the recorded 404."""
    return Refusal(404, {"error": "RecordNotFound", "description": "Not found"})


class Account:
    """The state of one account. Callers hold the desk's lock."""

    def __init__(self, world: World, name: str, csat: str, start_time_means: str) -> None:
        self.world = world
        self.name = name
        self.csat = csat
        self.base = f"https://{name}.zendesk.com/api/v2"
        self.users: dict[int, Row] = {}
        self.groups: dict[int, Row] = {}
        self.memberships: list[Row] = []
        self.organizations: dict[int, Row] = {}
        self.brands: dict[int, Row] = {}
        self.tickets: dict[int, File] = {}
        self.ratings: dict[int, Row] = {}
        self.rating_index = RatingIndex(f"{start_time_means}_at")
        self.reasons: dict[int, Row] = {}
        self.triggers: dict[int, Row] = {}
        self.categories: dict[str, Row] = {}  # of triggers
        self.automations: dict[int, Row] = {}
        self.fields: dict[int, Row] = {}
        self.statuses: dict[int, Row] = {}
        self.settings: Row = {}
        self.mailer = Mailer(self)
        self.search_lag = timedelta()  # how far the search index is behind
        self.indexed: dict[int, Row] = {}  # tickets as search sees them, while it lags
        self._to_index: deque[tuple[datetime, Row]] = deque()
        self.triggers_clear_fields = True
        self.demands_category = False
        self.on_offer: Callable[[File], Any] | None = None  # offers the newer survey
        self.on_rated: Callable[[File, str], None] | None = None  # hears of every rating, good or bad
        self.waiting: set[int] = set()  # tickets that an automation may concern: all but closed and deleted ones
        self.log: list[tuple[int, int]] = []  # (generated_timestamp, ticket id) of every change, oldest first
        self.logged_at: dict[int, int] = {}  # ticket id -> its newest place in the log
        self._counters = {kind: itertools.count(first) for kind, first in rows.FIRST_IDS.items()}
        self._due: list[tuple[datetime, int, int, datetime]] = []  # due at, ticket, automation, status since: a heap
        self._automations_known = ""  # as they were when the heap was filled
        self._moment: datetime | None = None  # set while an automation runs at a moment that has passed

    # -------------------------------------------------------------- time, ids, people
    def now(self) -> datetime:
        """Return the moment at which things happen."""
        return self._moment or self.world.clock.now()

    def new_id(self, kind: str) -> int:
        """Return the next id of a kind of row."""
        return next(self._counters[kind])

    def file(self, ticket_id: int) -> File:
        """Return a ticket that is not deleted. Raises Refusal 404."""
        found = self.tickets.get(ticket_id)
        if found is None or found.deleted:
            raise not_found()
        return found

    def member(self, user_id: int, group_id: int | None) -> bool:
        """Tell if an agent belongs to a group."""
        return any(m["user_id"] == user_id and m["group_id"] == group_id for m in self.memberships)

    def may_hold_tickets(self, user_id: int) -> bool:
        """Tell if a ticket can be assigned to this user. The texts for light and suspended agents are UNVERIFIED."""
        user = self.users.get(user_id)
        is_staff = user is not None and user["role"] in ("agent", "admin") and user["active"]
        return bool(user and is_staff and not user["suspended"] and user["role_type"] != rows.LIGHT_AGENT)

    def role(self, user_id: int) -> str:
        """Return agent or end_user, as the conditions of rules name them."""
        user = self.users.get(user_id)
        return "end_user" if user is None or user["role"] == "end-user" else "agent"

    def status_id(self, category: str) -> int | None:
        """Return the id of the default custom status of a category."""
        return next(
            (s["id"] for s in self.statuses.values() if s["status_category"] == category and s["default"]), None
        )

    def fields_changed(self) -> None:
        """Give every ticket the custom fields that the account has now."""
        for file in self.tickets.values():
            values = {field["id"]: field["value"] for field in file.row["custom_fields"]}
            file.row["custom_fields"] = self._custom_fields(values)
            file.row["fields"] = file.row["custom_fields"]

    def _custom_fields(self, values: dict[int, Any]) -> list[Row]:
        return [{"id": f, "value": values.get(f)} for f, row in self.fields.items() if row["removable"]]

    # -------------------------------------------------------------- creating and changing tickets
    def create(self, wish: Row, by: By, requester_id: int, channel: str) -> File:
        """Open a ticket with its first comment, and let the triggers run. Raises Refusal."""
        at = self.now()
        ticket_id = self.new_id("ticket")
        row = rows.ticket_row(ticket_id, self.base, at, requester_id=requester_id, submitter_id=by.user_id)
        row |= {"via": {"channel": channel, "source": {"from": {}, "to": {}, "rel": None}}, "status": "new"}
        row["brand_id"] = wish.get("brand_id") or next(iter(self.brands), None)
        row["organization_id"] = self.users[requester_id]["organization_id"]
        row["satisfaction_rating"] = {"score": "unoffered"} if self.csat != "none" else None
        row["custom_status_id"] = self.status_id("new")
        row["custom_fields"] = self._custom_fields({})
        row["fields"] = row["custom_fields"]
        file = File(row, rows.metric_row(self.new_id("metric"), ticket_id, self.base, at), at)
        changes = self._planned(file, wish, by)
        self.tickets[ticket_id] = file
        self.waiting.add(ticket_id)
        self._ledger(file, by, "created", None, row["subject"])
        self._carry_out(file, changes, wish, by, before={})
        row["description"] = file.comments[0]["body"] if file.comments else ""
        return file

    def update(self, file: File, wish: Row, by: By) -> Row:
        """Change a ticket and let the triggers run; returns the audit. Raises Refusal, and then nothing is changed."""
        row = file.row
        if row["status"] == "closed":
            raise invalid(status=[{"description": CLOSED}])
        # false behaves like true (vendor's documentation); leaving the key out is the only way to switch it off
        if "safe_update" in wish and not _same_moment(wish.get("updated_stamp"), row["updated_at"]):
            raise Refusal(409, {"error": "UpdateConflict", "description": "Safe Update prevented this update"})
        before = row | {"tags": list(row["tags"])}
        return self._carry_out(file, self._planned(file, wish, by), wish, by, before)

    def _planned(self, file: File, wish: Row, by: By) -> Row:
        """Return the new value of every field that the wish touches, checked against the account's rules."""
        row = file.row
        changes = {name: wish[name] for name in PLAIN_FIELDS if name in wish}
        if changes.get("priority") not in (None, "low", "normal", "high", "urgent"):
            raise invalid(priority=[{"description": f"Priority: {changes['priority']} is not a valid priority"}])
        changes |= self._planned_holder(row, wish)
        changes |= self._planned_status(row, wish, changes, by)
        if "tags" in wish:
            changes["tags"] = rows.clean_tags(wish["tags"] or [])
        if "add_tags" in wish or "remove_tags" in wish:
            kept = set(changes["tags"] if "tags" in changes else row["tags"]) | set(
                rows.clean_tags(wish.get("add_tags", []))
            )
            changes["tags"] = sorted(kept - set(rows.clean_tags(wish.get("remove_tags", []))))
        if "custom_fields" in wish or "fields" in wish:
            changes["custom_fields"] = self._planned_fields(row, wish.get("custom_fields") or wish.get("fields"))
        if "email_ccs" in wish:
            changes["email_cc_ids"] = self._planned_ccs(row, wish["email_ccs"])
        if "satisfaction_score" in wish:
            changes["satisfaction_score"] = wish["satisfaction_score"]
        comment = wish.get("comment")
        if isinstance(comment, dict) and not (comment.get("body") or comment.get("html_body")):
            raise invalid(comment=[{"description": "Comment: cannot be blank", "error": "BlankValue"}])
        if changes.get("status") == "solved":
            self._require_fields(changes["custom_fields"] if "custom_fields" in changes else row["custom_fields"])
        return changes

    def _planned_holder(self, row: Row, wish: Row) -> Row:
        """Return assignee and group after a wish for one, the other or both."""
        if "assignee_email" in wish:
            found = (u["id"] for u in self.users.values() if u["email"] == wish["assignee_email"])
            wish = wish | {"assignee_id": next(found, -1)}
        if "assignee_id" not in wish and "group_id" not in wish:
            return {}
        group_id = _number(wish.get("group_id", row["group_id"]))
        if group_id is not None and (group_id not in self.groups or self.groups[group_id]["deleted"]):
            raise invalid(group=[{"description": "Group: is invalid", "error": "InvalidValue"}])
        assignee_id = _number(wish.get("assignee_id", row["assignee_id"]))
        if assignee_id is None:
            return {"assignee_id": None, "group_id": group_id}
        if "assignee_id" not in wish and not self.member(assignee_id, group_id):
            return {"assignee_id": None, "group_id": group_id}  # another group takes the ticket from its agent
        if "group_id" not in wish and self.may_hold_tickets(assignee_id):
            group_id = self.users[assignee_id]["default_group_id"]  # the vendor takes the agent's default membership
        bad = {"description": "Assignee: is invalid", "error": "InvalidValue"}
        if not self.may_hold_tickets(assignee_id):
            raise invalid(assignee=[bad])
        if not self.member(assignee_id, group_id):
            raise invalid(assignee=[bad, {"description": "Assignee: is not a member of the group"}])
        return {"assignee_id": assignee_id, "group_id": group_id}

    def _planned_status(self, row: Row, wish: Row, changes: Row, by: By) -> Row:
        """Return status and custom status, and the assignee that solving may bring."""
        status = wish.get("status", row["status"])
        if wish.get("custom_status_id") in self.statuses:
            status = self.statuses[wish["custom_status_id"]]["status_category"]
        if status not in rows.STATUSES:
            raise invalid(status=[{"description": f"Status: {status} is not a valid status"}])
        assignee_id = changes.get("assignee_id", row["assignee_id"])
        if status == "new" and assignee_id is not None:
            status = "open"
        planned: Row = {}
        if status != row["status"] or "custom_status_id" in wish:
            planned["status"] = status
            planned["custom_status_id"] = (
                wish.get("custom_status_id") or self.status_id(status) or row["custom_status_id"]
            )
        solver = status == "solved" != row["status"] and assignee_id is None and self.may_hold_tickets(by.user_id)
        if solver and self.settings["tickets"]["assign_tickets_upon_solve"]:
            planned |= {"assignee_id": by.user_id, "group_id": self.users[by.user_id]["default_group_id"]}
        return planned

    def _planned_fields(self, row: Row, wished: Iterable[Row] | None) -> list[Row]:
        values = {field["id"]: field["value"] for field in row["custom_fields"]}
        values |= {int(field["id"]): field.get("value") for field in wished or () if int(field["id"]) in self.fields}
        return [{"id": field_id, "value": None if value == "" else value} for field_id, value in values.items()]

    def _planned_ccs(self, row: Row, wished: Iterable[Row]) -> list[int]:
        ccs = list(row["email_cc_ids"])
        for cc in wished:
            user_id = int(cc["user_id"])
            if cc.get("action", "put") == "put" and user_id not in ccs:
                ccs.append(user_id)
            elif cc.get("action") == "delete" and user_id in ccs:
                ccs.remove(user_id)
        return ccs

    def _require_fields(self, custom_fields: Iterable[Row]) -> None:
        values = {field["id"]: field["value"] for field in custom_fields}
        for field in self.fields.values():
            if field["required"] and field["active"] and field["removable"] and values.get(field["id"]) in (None, ""):
                why = f"{field['title']}: is required when solving a ticket"
                raise invalid(base=[{"description": why, "error": "BlankValue", "ticket_field_id": field["id"]}])

    def _carry_out(self, file: File, changes: Row, wish: Row, by: By, before: Row) -> Row:
        """Write the changes and the comment into the ticket, run the triggers, file the audit and return it."""
        at = self.now()
        audit: Row = {
            "id": self.new_id("audit"), "ticket_id": file.ticket_id, "created_at": rows.stamp(at),
            "author_id": by.user_id, "events": [], "via": by.via,
            "metadata": {"system": {"client": None, "ip_address": None}, "custom": wish.get("metadata") or {}},
        }  # fmt: skip
        comment = self._comment(file, wish.get("comment"), by, audit)
        self._apply(file, changes, by, audit, created=not before)
        happening = Happening(file, before, by, self.role(by.user_id), comment)
        if audit["events"]:
            self._run_triggers(happening, audit)
            file.audits.append(audit)
            self._touch(file, at)
            if by.user_id == file.row["assignee_id"]:
                file.metric["assignee_updated_at"] = rows.stamp(at)
        return audit

    def _comment(self, file: File, wish: Any, by: By, audit: Row) -> Row | None:
        if not wish:
            return None
        wish = {"body": wish} if isinstance(wish, str) else wish
        inherited = file.comments[0]["public"] if file.comments else True
        public = bool(wish.get("public", inherited))
        author_id = int(wish.get("author_id") or by.user_id)
        text = wish.get("body") or _without_markup(wish["html_body"])
        at = self.now()
        comment = rows.comment_row(self.new_id("audit"), at, by, author_id=author_id, text=text, public=public)
        comment["audit_id"], comment["metadata"]["custom"] = audit["id"], audit["metadata"]["custom"]
        file.comments.append(comment)
        kept = ("id", "type", "author_id", "body", "html_body", "plain_body", "public", "attachments", "audit_id")
        audit["events"].append({key: comment[key] for key in kept})
        file.row["is_public"] = any(c["public"] for c in file.comments)
        self._ledger(file, by, "public_comment" if public else "private_note", None, text)
        file.metric["latest_comment_added_at"] = rows.stamp(at)
        if public and self.role(author_id) == "agent":
            file.metric["replies"] += 1
        if author_id == file.row["requester_id"]:
            file.metric["requester_updated_at"] = rows.stamp(at)
        return comment

    def _apply(self, file: File, changes: Row, by: By, audit: Row, *, created: bool = False) -> None:
        """Write every value that differs, with its event in the audit and its line in the ledger."""
        for name, value in changes.items():
            former = rules.value_of(file.row, name) if name == "satisfaction_score" else file.row[name]
            offered_before = name == "satisfaction_score" and former != "unoffered"  # nothing makes it unoffered again
            if former == value or offered_before:
                continue
            for field_name, then, now in _differences(name, former, value):
                event: Row = {"id": self.new_id("audit"), "type": "Create" if created else "Change"}
                event |= {"field_name": field_name, "value": _event_value(now)}
                event |= {} if created else {"previous_value": _event_value(then)}
                audit["events"].append(event | ({"via": by.via} if by.rule else {}))
            self._write(file, name, value, former)
            if name != "custom_status_id" and not (created and name == "subject"):
                self._ledger(file, by, LEDGER_WORDS.get(name, name), former, value)

    def _write(self, file: File, name: str, value: Any, former: Any) -> None:
        row, metric, at = file.row, file.metric, self.now()
        if name == "satisfaction_score":
            self._offer(file)
            return
        row[name] = value
        if name == "subject":
            row["raw_subject"] = value
        if name == "custom_fields":
            row["fields"] = value
        if name == "status":
            file.status_since = at
            metric["status_updated_at"] = rows.stamp(at)
            metric["reopens"] += former == "solved" and value != "closed"
            if value == "solved":
                metric["solved_at"] = rows.stamp(at)
            if value == "closed":
                self.waiting.discard(file.ticket_id)
        if name == "group_id":
            metric["group_stations"] += value is not None
        if name == "assignee_id" and value is not None:
            metric["assignee_stations"] += 1
            metric["assigned_at"] = rows.stamp(at)
            metric["initially_assigned_at"] = metric["initially_assigned_at"] or rows.stamp(at)

    def _touch(self, file: File, at: datetime) -> None:
        """Move the ticket's times and its place in the incremental export."""
        file.row["updated_at"] = file.metric["updated_at"] = rows.stamp(at)
        file.row["generated_timestamp"] = int(at.timestamp())
        newest = max(int(at.timestamp()), self.log[-1][0] if self.log else 0)
        self.logged_at[file.ticket_id] = len(self.log)
        self.log.append((newest, file.ticket_id))
        self._plan_automations(file)
        if self.search_lag:
            self._to_index.append((at, file.row | {"deleted": file.deleted}))

    def searchable(self) -> list[Row]:
        """Return the tickets as the search index has them: all that are not deleted, as they were some time ago."""
        while self._to_index and self._to_index[0][0] <= self.now() - self.search_lag:
            row = self._to_index.popleft()[1]
            self.indexed[row["id"]] = row
        if self.search_lag:
            return [row for row in self.indexed.values() if not row["deleted"]]
        return [file.row for file in self.tickets.values() if not file.deleted]

    def _ledger(self, file: File, by: By, what: str, before: Any, after: Any) -> None:
        actor = f"rule:{by.rule['title']}" if by.rule else by.actor
        self.world.ledger.append(Entry(self.now(), self.name, actor, what, str(file.ticket_id), before, after))

    # -------------------------------------------------------------- triggers, automations, mail
    def _run_triggers(self, happening: Happening, audit: Row) -> None:
        """Run every trigger at most once; one that changes the ticket starts the round again."""
        fired: set[int] = set()
        again = True
        while again:
            again = False
            for rule in list(self.triggers.values()):
                if rule["id"] in fired or not rule["active"] or happening.file.row["status"] == "closed":
                    continue
                if rules.applies(rule, happening):
                    fired.add(rule["id"])
                    if self._act(rule, happening, audit):
                        again = True
                        break
        self.mailer.flush()

    def _act(self, rule: Row, happening: Happening, audit: Row) -> bool:
        """Do what a rule says; True if that changed the ticket."""
        file, by = happening.file, By(happening.by.user_id, happening.by.actor, happening.by.channel, rule)
        events = len(audit["events"])
        notifications = 0
        for action in rule["actions"]:
            name, value = action["field"], action["value"]
            if name == "notification_user":
                self.mailer.notify(file, by, value, audit)
                notifications += 1
                continue
            wish = _rule_wish(name, value)
            if wish is not None and (value or self.triggers_clear_fields or not name.startswith("custom_fields_")):
                self._apply(file, self._planned(file, wish, by), by, audit)
        return len(audit["events"]) > events + notifications

    def run_automations(self, since: datetime) -> None:
        """Do what automations have to do until now, each at its own moment; *since* is when they were last run."""
        until = self.world.clock.now()
        if (now_known := repr(self.automations)) != self._automations_known:
            self._automations_known, self._due = now_known, []
            for ticket_id in sorted(self.waiting):
                self._plan_automations(self.tickets[ticket_id])
        while self._due and self._due[0][0] <= until:
            due, ticket_id, rule_id, status_since = heapq.heappop(self._due)
            file, rule = self.tickets[ticket_id], self.automations[rule_id]
            if (
                ticket_id not in self.waiting
                or file.status_since != status_since
                or (rule_id, status_since) in file.ran
            ):
                continue
            happening = Happening(file, file.row, By(-1, "system"), "agent")
            if rules.applies(rule, happening):
                at = due if rules.happens_once(rule) else max(due, min(since, until))
                self._run_automation(max(at, rows.moment_of(file.row["updated_at"])), file, rule)
            elif rules.happens_once(rule):
                file.ran.add((rule_id, status_since))
        self._moment = None

    def _plan_automations(self, file: File) -> None:
        """Note when automations have to look at a ticket, as long as it stays as it is: a change plans anew."""
        for rule in self.automations.values() if file.ticket_id in self.waiting else ():
            due = rules.is_due(rule, file)
            if due is not None and (rule["id"], file.status_since) not in file.ran:
                heapq.heappush(self._due, (due, file.ticket_id, rule["id"], file.status_since))

    def _run_automation(self, at: datetime, file: File, rule: Row) -> None:
        self._moment = at
        file.ran.add((rule["id"], file.status_since))
        by = By(-1, "system", "rule", rule)
        before = file.row | {"tags": list(file.row["tags"])}
        audit: Row = {
            "id": self.new_id("audit"), "ticket_id": file.ticket_id, "created_at": rows.stamp(at), "author_id": -1,
            "events": [], "via": by.via, "metadata": {"system": {}, "custom": {}},
        }  # fmt: skip
        happening = Happening(file, before, by, "agent")
        if self._act(rule, happening, audit):
            self._run_triggers(happening, audit)
        self.mailer.flush()
        if audit["events"]:
            file.audits.append(audit)
            self._touch(file, at)

    # -------------------------------------------------------------- satisfaction
    def _offer(self, file: File) -> None:
        """Offer the survey of this account to the requester."""
        row = file.row
        if self.csat == "new":
            row["satisfaction_rating"] = {"score": "offered"}
            if self.on_offer:
                self.on_offer(file)
        elif self.csat == "legacy" and file.rating_id is None:
            rating = rows.rating_row(self.new_id("rating"), self.base, self.now(), ticket_id=file.ticket_id)
            rating |= {name: row[name] for name in ("assignee_id", "group_id", "requester_id")}
            self.ratings[rating["id"]] = rating
            self.rating_index.file(rating)
            file.rating_id = rating["id"]
            row["satisfaction_rating"] = {"score": "offered"}

    def rate(self, file: File, score: str, comment: str | None, reason: Row | None) -> Row:
        """Let the requester answer the legacy survey, for the first time or again; returns the rating."""
        row, at = file.row, self.now()
        rating = self.ratings.get(file.rating_id or 0)
        if rating is None:
            rating = rows.rating_row(self.new_id("rating"), self.base, at, ticket_id=file.ticket_id)
            self.ratings[rating["id"]] = rating
            file.rating_id = rating["id"]
        rating |= {name: row[name] for name in ("assignee_id", "group_id", "requester_id")}  # those of this moment
        rating |= {"score": score, "comment": comment, "updated_at": rows.stamp(at)}
        rating |= {"reason": reason and reason["value"], "reason_id": reason and reason["id"]}
        self.rating_index.file(rating)
        shown = {name: rating[name] for name in ("id", "score", "comment", "reason", "reason_id")}
        self.show_score(file, shown, By(row["requester_id"], str(row["requester_id"]), "web"))
        return rating

    def show_score(self, file: File, shown: Row, by: By) -> None:
        """Put a rating on its ticket, with audit, ledger and triggers."""
        before, at = dict(file.row), self.now()
        former = rules.value_of(before, "satisfaction_score")
        file.row["satisfaction_rating"] = shown
        event = {"id": self.new_id("audit"), "type": "Change", "field_name": "satisfaction_score"}
        event |= {"value": shown["score"], "previous_value": former}
        audit = {
            "id": self.new_id("audit"), "ticket_id": file.ticket_id, "created_at": rows.stamp(at),
            "author_id": by.user_id, "events": [event], "via": by.via, "metadata": {"system": {}, "custom": {}},
        }  # fmt: skip
        self._ledger(file, by, "rated", former, shown["score"])
        self._run_triggers(Happening(file, before, by, "end_user"), audit)
        file.audits.append(audit)
        self._touch(file, at)
        if self.on_rated:
            self.on_rated(file, shown["score"])

    def remove(self, file: File, by: By, what: str) -> None:
        """Delete a ticket; it stays in the incremental export for a while."""
        file.deleted = True
        self.waiting.discard(file.ticket_id)
        self._ledger(file, by, what, file.row["status"], "deleted")
        file.row["status"] = "deleted"
        self._touch(file, self.now())

    def link_follow_up(self, file: File, source: File) -> None:
        """Join a follow-up ticket to the closed ticket that it continues."""
        file.followup_source = source.ticket_id
        source.row["followup_ids"] = [*source.row["followup_ids"], file.ticket_id]
        origin = {"ticket_id": source.ticket_id, "subject": source.row["subject"], "channel": "web"}
        file.row["via"] = {"channel": "api", "source": {"from": origin, "to": {}, "rel": "follow_up"}}

    def past(self, step: timedelta) -> datetime:
        """Return the moment that lies *step* ago."""
        return self.world.clock.now() - step


def _rule_wish(name: str, value: Any) -> Row | None:
    """Return what a rule's action wishes for, in the words of an update."""
    if name == "current_tags":
        return {"add_tags": str(value).split()}
    if name in ("remove_tags", "set_tags"):
        return {name.replace("set_", ""): str(value).split()}
    if name in ("assignee_id", "group_id"):
        return {name: int(value) if str(value).isdigit() else None}
    if name in ("status", "priority", "type", "satisfaction_score", "custom_status_id"):
        return {name: value}
    if name.startswith("custom_fields_"):
        return {"custom_fields": [{"id": int(name.removeprefix("custom_fields_")), "value": value}]}
    return None  # webhooks, targets and the like


def _differences(name: str, former: Any, present: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value before and value now as audits tell them: custom fields one by one, by their ids."""
    if name != "custom_fields":
        yield name, former, present
        return
    then = {field["id"]: field["value"] for field in former}
    for field in present:
        if field["value"] != then.get(field["id"]):
            yield str(field["id"]), then.get(field["id"]), field["value"]


def _event_value(value: Any) -> Any:
    return value if value is None or isinstance(value, str | list) else str(value)


def _number(value: Any) -> int | None:
    """Read an id, which clients also send as text; what is no number is an id that nobody has."""
    if value in (None, ""):
        return None
    return int(value) if str(value).isdigit() else -1


def _same_moment(told: Any, updated_at: str) -> bool:
    try:
        return rows.moment_of(str(told)) == rows.moment_of(updated_at)
    except (ValueError, TypeError):
        return False


def _without_markup(html: str) -> str:
    import re
    from html import unescape

    return unescape(re.sub(r"<[^>]+>", "", re.sub(r"</p>\s*<p>|<br\s*/?>", "\n", html)))
