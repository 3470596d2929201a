"""A stand-in Zendesk account: what its people do, and the limits and permissions of its API.

    desk = ZendeskDesk(World(START), csat="legacy")
    with serve(desk) as url: ...        # or mount the desk in process: it is a WSGI application

State and business rules: zendesk_account.py. HTTP: zendesk_tickets.py, zendesk_surveys.py, zendesk_people.py.
Limits and header names: recorded answers and the vendor's page on rate limits; the body of a 429 is UNVERIFIED.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox import zendesk_rows as rows
from connectors.sandbox import zendesk_rules as rules
from connectors.sandbox.world import World
from connectors.sandbox.wsgi import Api, Call, Refusal, locked
from connectors.sandbox.zendesk_account import Account, invalid
from connectors.sandbox.zendesk_pages import unasked
from connectors.sandbox.zendesk_people import AdminCalls, PeopleCalls, SignIn, forbidden
from connectors.sandbox.zendesk_rows import By, File, Row, stamp
from connectors.sandbox.zendesk_surveys import CATEGORIES, SurveyCalls
from connectors.sandbox.zendesk_tickets import HEADERS, TicketCalls, add_header
from connectors.sandbox.zendesk_webhooks import WebhookCalls

ADMINS_ONLY = re.compile(
    r"/satisfaction_ratings|/satisfaction_reasons|/incremental/|/guide/survey_responses|/webhooks|/account/settings"
)
UPDATES_ONE = re.compile(r"/api/v2/tickets/(\d+)(/tags)?(\.json)?$")
CHANNELS = {"chat": "chat", "phone": "voice", "social": "facebook", "messaging": "native_messaging"}
REASONS = ("No reason provided", "The issue took too long to resolve", "The issue was not resolved",
           "The agent's knowledge is unsatisfactory", "The agent's attitude is unsatisfactory")  # fmt: skip


class Window:
    """At most *limit* of a kind within *seconds*, counted back from now."""

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit = limit
        self.seconds = seconds
        self._taken: dict[Any, deque[datetime]] = {}

    def take(self, key: Any, now: datetime) -> tuple[bool, int, int]:
        """Count one; returns if it is allowed, how many are left, and in how many seconds one comes free."""
        taken = self._taken.setdefault(key, deque())
        while taken and now - taken[0] >= timedelta(seconds=self.seconds):
            taken.popleft()
        allowed = not self.limit or len(taken) < self.limit
        if allowed and self.limit:
            taken.append(now)
        resets = math.ceil((taken[0] + timedelta(seconds=self.seconds) - now).total_seconds()) if taken else 0
        return allowed, self.limit - len(taken), resets


class ZendeskDesk(Api):
    """One Zendesk account with an owner, a service user for programs, a brand and a first group.

    *csat*: "legacy", "new" (with *scale_max* 2, 3 or 5) or "none". *rate_limit* per minute; 0 is no limit, also for
    *updates_per_minute*. *start_time_means* "created" or "updated": what a filter of legacy ratings goes by.
    UNVERIFIED and to be switched: *second_offer* "allowed" or "refused" (a survey response for a ticket that has one),
    *triggers_clear_fields*, *demands_category* (of new triggers), `account.mailer.renders_late`, `account.search_lag`.
    *unknown_parameters* collects (path, name) of query parameters that the vendor would ignore without a word.
    """

    suffix = ".json"

    def __init__(
        self,
        world: World,
        name: str = "acme",
        *,
        csat: str = "legacy",
        scale_max: int = 5,
        start_time_means: str = "created",
        rate_limit: int = 700,
        updates_per_minute: int = 100,
        client_id: str = "bridge",
        client_secret: str = "bridge-secret",  # noqa: S107 (a stand-in's credentials are no secrets)
        email: str = "bridge@acme.example",
        api_token: str = "bridge-api-token",  # noqa: S107
        mail_on_solve: bool = False,
        close_after: int = 96,
        second_offer: str = "allowed",
        triggers_clear_fields: bool = True,
        demands_category: bool = False,
    ) -> None:
        super().__init__(world, name)
        self.account = Account(world, name, csat, start_time_means)
        self.account.triggers_clear_fields = triggers_clear_fields
        self.account.demands_category = demands_category
        self.unknown_parameters: list[tuple[str, str]] = []
        self._per_minute = Window(rate_limit, 60)
        self._updates = Window(updates_per_minute, 60)
        self._per_ticket = Window(30, 600)
        self._exports = Window(10, 60)
        self._furnish(mail_on_solve, close_after)
        self.owner_id = self.add_agent("Olive Owner", "owner@acme.example", [self.group_id], role="admin")
        self.service_id = self.add_agent("Recovery Bridge", email, [self.group_id], role="admin")
        self.sign_in = SignIn(
            self.account, user_id=int(self.service_id), client_id=client_id, client_secret=client_secret,
            api_token=api_token,
        )  # fmt: skip
        self.tickets = TicketCalls(self.account)
        self.surveys = SurveyCalls(self.account, scale_max, second_offer)
        self.people = PeopleCalls(self.account)
        self.admin = AdminCalls(self.account)
        self.hooks = WebhookCalls(self.account, self.deliver)

    def _furnish(self, mail_on_solve: bool, close_after: int) -> None:
        """Give the account what a new one has."""
        account, at = self.account, self.world.clock.now()
        self.group_id = self.add_group("Support")
        brand_id = account.new_id("brand")
        account.brands[brand_id] = rows.brand_row(brand_id, account.base, at, self.name.capitalize(), default=True)
        for number, text in enumerate(REASONS):
            self._add_reason(text, code=number)
        for category in rows.STATUSES[:-1]:
            status_id = account.new_id("status")
            label = category.capitalize()
            account.statuses[status_id] = {
                "id": status_id, "status_category": category, "agent_label": label, "end_user_label": label,
                "raw_agent_label": label, "raw_end_user_label": label, "description": "", "raw_description": "",
                "end_user_description": "", "raw_end_user_description": "", "active": True, "default": True,
                "created_at": stamp(at), "updated_at": stamp(at),
            }  # fmt: skip
        for title, conditions, actions in rules.default_triggers(mail_on_solve):
            self._add_rule("trigger", title, conditions, actions)
        for title, conditions, actions in rules.default_automations(account.csat, close_after):
            self._add_rule("automation", title, conditions, actions)
        account.settings |= {
            "active_features": {
                "customer_satisfaction": account.csat == "legacy", "csat_reason_code": account.csat == "legacy",
                "customer_satisfaction_survey": account.csat == "new", "ticket_tagging": True, "business_hours": False,
            },
            "tickets": {
                "comments_public_by_default": True, "assign_tickets_upon_solve": True, "tagging": True,
                "default_solved_ticket_reassignment_strategy": "", "follower_and_email_cc_collaborations": True,
                "is_first_comment_private_enabled": True,
            },
        }  # fmt: skip

    def _add_rule(self, kind: str, title: str, conditions: list[Row], actions: list[Row]) -> int:
        account = self.account
        rule_id = account.new_id("rule")
        row = rules.rule_row(
            rule_id, account.base, stamp(account.now()), kind=kind, title=title, conditions=conditions, actions=actions
        )
        (account.triggers if kind == "trigger" else account.automations)[rule_id] = row
        return rule_id

    def _add_reason(self, text: str, code: int) -> Row:
        account = self.account
        reason_id, at = account.new_id("reason"), stamp(account.now())
        account.reasons[reason_id] = {
            "id": reason_id, "url": f"{account.base}/satisfaction_reasons/{reason_id}.json", "reason_code": code,
            "value": text, "raw_value": text, "created_at": at, "updated_at": at, "deleted_at": None,
        }  # fmt: skip
        return account.reasons[reason_id]

    # -------------------------------------------------------------- the API's door
    def routes(self) -> Iterable[Rule]:
        """Return the rules of all parts."""
        parts = (self.sign_in, self.tickets, self.surveys, self.people, self.admin, self.hooks)
        return (rule for part in parts for rule in part.routes())

    def admit(self, call: Call) -> None:
        """Check credentials, scopes, role and limits. Raises Refusal 401, 403 or 429."""
        if call.path.startswith("/oauth/"):
            return
        path = call.path.removesuffix(".json")
        if path.endswith("/users/me") and "Authorization" not in call.headers:
            return
        user_id, scopes = self.sign_in.user_of(call)
        call.user = str(user_id)
        self._limit(call)
        resource = path.removeprefix("/api/v2/").split("/")[0]
        verb = "read" if call.method == "GET" else "write"
        wanted = {verb} if path.endswith("/audits") else {verb, f"{resource}:{verb}"}
        is_admin = self.account.users[user_id]["role"] == "admin"
        if not wanted & set(scopes) or (ADMINS_ONLY.search(path) and not is_admin):
            raise forbidden()

    def _limit(self, call: Call) -> None:
        now = self.world.clock.now()
        allowed, left, resets = self._per_minute.take("account", now)
        limit = self._per_minute.limit
        if limit:
            for name in ("X-Rate-Limit", "ratelimit-limit"):
                add_header(call, name, str(limit))
            for name in ("X-Rate-Limit-Remaining", "ratelimit-remaining"):
                add_header(call, name, str(left))
            add_header(call, "ratelimit-reset", str(resets))
        if not allowed:
            raise _too_many(resets)
        if "/incremental/" in call.path:
            self._limit_endpoint(call, "incremental-exports", self._exports, "exports")
        ticket = UPDATES_ONE.match(call.path)
        if ticket and call.method in ("PUT", "POST", "DELETE"):
            self._limit_endpoint(call, "tickets-update", self._updates, "updates")
            self._limit_endpoint(call, "per-ticket-updates", self._per_ticket, (call.user, ticket[1]))

    def _limit_endpoint(self, call: Call, name: str, window: Window, key: Any) -> None:
        allowed, left, resets = window.take(key, self.world.clock.now())
        if window.limit:
            add_header(call, f"zendesk-ratelimit-{name}", f"total={window.limit}; remaining={left}; resets={resets}")
        if not allowed:
            raise _too_many(resets)

    def finish(self, call: Call, response: Response) -> None:
        """Add limits and warnings to an answer, and remember parameters that nobody looked at."""
        response.headers.extend(call.environ.get(HEADERS, {}))
        if response.status_code < 400:
            self.unknown_parameters += [(call.path, name) for name in sorted(unasked(call))]

    def refuse_path(self, call: Call, methods: Iterable[str]) -> Refusal:
        """Return the vendor's answer to a path that it does not have."""
        said = {"error": "InvalidEndpoint", "description": f"Not found: {call.path}"}
        return Refusal(405 if methods else 404, said)

    # -------------------------------------------------------------- people and groups
    @locked
    def add_group(self, name: str) -> str:
        """Add a group of agents; returns its id."""
        group_id = self.account.new_id("group")
        self.account.groups[group_id] = rows.group_row(group_id, self.account.base, self.account.now(), name)
        return str(group_id)

    @locked
    def add_agent(self, name: str, email: str, groups: Iterable[str] = (), **details: Any) -> str:
        """Add an agent; details are fields of Zendesk's user, such as role="admin", role_type=1 or suspended=True."""
        user_id = self._add_user(name, email, {"role": "agent"} | details)
        for place, group_id in enumerate(groups):
            self._add_membership(user_id, int(group_id), default=place == 0)
        return str(user_id)

    def _add_user(self, name: str, email: str, details: Row) -> int:
        user_id = self.account.new_id("user")
        row = rows.user_row(user_id, self.account.base, self.account.now(), name=name, email=email, **details)
        self.account.users[user_id] = row
        return user_id

    def _add_membership(self, user_id: int, group_id: int, *, default: bool) -> None:
        account = self.account
        row = rows.membership_row(
            account.new_id("membership"), account.base, account.now(),
            user_id=user_id, group_id=group_id, default=default,
        )  # fmt: skip
        account.memberships.append(row)
        if default:
            account.users[user_id]["default_group_id"] = group_id

    @locked
    def add_customer(self, name: str, email: str, **details: Any) -> str:
        """Add a customer; details: tags, language, organization (a name), organization_tags, suspended, ..."""
        organization, tags = details.pop("organization", None), details.pop("organization_tags", ())
        if "language" in details:
            details["locale"] = details.pop("language")
        if organization is not None:
            details["organization_id"] = self._organization(organization, tags)
        return str(self._add_user(name, email, details | {"tags": rows.clean_tags(details.get("tags", ()))}))

    def _organization(self, name: str, tags: Iterable[str]) -> int:
        account = self.account
        found = next((o["id"] for o in account.organizations.values() if o["name"] == name), None)
        if found is not None:
            return int(found)
        new_id = account.new_id("organization")
        account.organizations[new_id] = rows.organization_row(new_id, account.base, account.now(), name, tags)
        return new_id

    @locked
    def remove_agent(self, agent_id: str) -> None:
        """Delete an agent: solved tickets go to the owner, unsolved ones lose their assignee (order UNVERIFIED)."""
        account, user_id = self.account, int(agent_id)
        account.users[user_id] |= {"active": False, "updated_at": stamp(account.now())}
        account.memberships = [m for m in account.memberships if m["user_id"] != user_id]
        system = By(-1, "system")
        for ticket_id in sorted(account.waiting):
            file = account.tickets[ticket_id]
            if file.row["assignee_id"] == user_id:
                solved = file.row["status"] == "solved"
                wish = {"assignee_id": int(self.owner_id)} if solved else {"assignee_id": None}
                account.update(file, wish, system)

    @locked
    def change_agent(self, agent_id: str, **details: Any) -> None:
        """Change fields of an agent, such as suspended, role or tags."""
        self.account.users[int(agent_id)] |= details | {"updated_at": stamp(self.account.now())}

    @locked
    def set_presence(self, agent_id: str, status: str) -> None:
        """Set an agent's unified status: online, away, offline, transfers_only or the name of a custom one."""
        if self.people.presence is not None:
            self.people.presence[int(agent_id)] = (status, self.world.clock.now())

    @locked
    def set_out_of_office(self, agent_id: str) -> None:
        """Mark an agent as the Out of Office app does: a field and tags; and install the app's trigger."""
        account, user_id = self.account, int(agent_id)
        account.users[user_id] |= {"user_fields": {"agent_ooo": True}, "tags": ["agent_ooo"]}
        for ticket_id in sorted(account.waiting):
            row = account.tickets[ticket_id].row
            if row["assignee_id"] == user_id and row["status"] in ("pending", "hold", "solved"):
                account.update(account.tickets[ticket_id], {"add_tags": ["agent_ooo"]}, By(user_id, "app:ooo"))
        if not any(rule["title"] == rules.OUT_OF_OFFICE for rule in account.triggers.values()):
            out = [rules.when("current_tags", "includes", "agent_ooo"), rules.when("status", "value", "open")]
            self._add_rule("trigger", rules.OUT_OF_OFFICE, out, [{"field": "assignee_id", "value": ""}])

    # -------------------------------------------------------------- tickets
    @locked
    def open_ticket(self, customer_id: str, subject: str, text: str, **details: Any) -> str:
        """A customer asks; details: channel, group, assignee, tags, priority, brand (an id), ccs, support_type."""
        wish: Row = {"subject": subject, "comment": {"body": text, "public": True}}
        names = {"group": "group_id", "assignee": "assignee_id", "tags": "tags", "priority": "priority",
                 "brand": "brand_id", "external_id": "external_id"}  # fmt: skip
        wish |= {names[key]: value for key, value in details.items() if key in names}
        wish["email_ccs"] = [{"user_id": user_id} for user_id in details.get("ccs", ())]
        if "brand_id" in wish:
            wish["brand_id"] = int(wish["brand_id"])
        channel = details.get("channel", "email")
        by = By(int(customer_id), customer_id, CHANNELS.get(channel, channel))
        file = self.account.create(wish, by, int(customer_id), by.channel)
        file.row["support_type"] = details.get("support_type", "agent")
        file.row["from_messaging_channel"] = channel == "messaging"
        return str(file.ticket_id)

    @locked
    def assign(self, ticket_id: str, agent_id: str | None, by: str) -> None:
        """A person gives the ticket to an agent, in the agent's group; None takes it from everybody."""
        self._update(ticket_id, {"assignee_id": agent_id}, by)

    @locked
    def edit(self, ticket_id: str, by: str, **changes: Any) -> None:
        """A person changes status, priority, group, tags, add_tags, remove_tags or another field."""
        names = {"group": "group_id", "assignee": "assignee_id"}
        self._update(ticket_id, {names.get(name, name): value for name, value in changes.items()}, by)

    @locked
    def reply(self, ticket_id: str, agent_id: str, text: str) -> None:
        """An agent writes to the customer; a new ticket is theirs from then on."""
        wish: Row = {"comment": {"body": text, "public": True}}
        row = self._file(ticket_id).row
        if row["assignee_id"] is None and self.account.may_hold_tickets(int(agent_id)):
            wish["assignee_id"] = agent_id
        self._update(ticket_id, wish, agent_id)

    @locked
    def note(self, ticket_id: str, agent_id: str, text: str) -> None:
        """An agent writes a private note."""
        self._update(ticket_id, {"comment": {"body": text, "public": False}}, agent_id)

    @locked
    def customer_replies(self, ticket_id: str, text: str) -> None:
        """The customer writes; a pending or solved ticket opens again, a closed one gets a follow-up ticket."""
        file = self._file(ticket_id)
        requester = str(file.row["requester_id"])
        if file.row["status"] == "closed":
            follow_up = self.open_ticket(requester, f"Re: {file.row['subject']}", text, tags=file.row["tags"])
            self.account.link_follow_up(self._file(follow_up), file)
            return
        status = {"pending": "open", "hold": "open", "solved": "open"}.get(file.row["status"], file.row["status"])
        self._update(ticket_id, {"comment": {"body": text, "public": True}, "status": status}, requester, "email")

    @locked
    def solve(self, ticket_id: str, agent_id: str) -> None:
        """An agent solves the ticket."""
        self._update(ticket_id, {"status": "solved"}, agent_id)

    @locked
    def merge(self, source_id: str, target_id: str, by: str) -> None:
        """An agent merges a ticket into another: it is closed with a pointer, and the other gets a note."""
        words = f"Request #{source_id} was closed and merged into this request."
        self._update(target_id, {"comment": {"body": words, "public": False}}, by)
        pointer = f"This request was closed and merged into request #{target_id}."
        wish = {"status": "closed", "add_tags": ["closed_by_merge"], "comment": {"body": pointer, "public": False}}
        self._update(source_id, wish, by)

    @locked
    def delete(self, ticket_id: str, by: str) -> None:
        """An agent deletes the ticket."""
        self.account.remove(self._file(ticket_id), By(int(by), by), "deleted")

    @locked
    def mark_spam(self, ticket_id: str, by: str) -> None:
        """An agent marks the ticket as spam: it is deleted and its requester suspended."""
        file = self._file(ticket_id)
        self.account.users[file.row["requester_id"]]["suspended"] = True
        self.account.remove(file, By(int(by), by), "spam")

    @locked
    def pass_time(self, step: timedelta) -> None:
        """Run jobs that wait, and what the automations had to do within *step*."""
        self.tickets.run_jobs()
        self.account.run_automations(self.account.past(step))

    def _file(self, ticket_id: str) -> File:
        return self.account.file(int(ticket_id))

    def _update(self, ticket_id: str, wish: Row, by: str, channel: str = "web") -> None:
        self.account.update(self._file(ticket_id), wish, By(int(by), by, channel))

    # -------------------------------------------------------------- ratings
    @locked
    def rate(self, ticket_id: str, category: str, comment: str | None = None, reason: str | None = None) -> str:
        """The customer rates; again changes the rating, which keeps its id. Raises Refusal on a closed ticket."""
        return self._rate(self._file(ticket_id), category, comment, reason)

    @locked
    def answer(self, link: str, category: str, comment: str | None = None, reason: str | None = None) -> str:
        """The customer opens the link in a mail and answers; again changes the answer. Returns the rating's id.

        Raises Refusal 404 for a link that is none of ours, 422 on a closed ticket, 409 when its time is over.
        """
        file, offer = self.surveys.linked(link)
        return self._rate(file, category, comment, reason, offer)

    def _rate(
        self, file: File, category: str, comment: str | None, reason: str | None, offer: Row | None = None
    ) -> str:
        if file.row["status"] == "closed":
            raise invalid(status=[{"description": "Status: closed tickets cannot be rated"}])
        found = self._reason(reason) if reason else None
        if self.account.csat == "legacy" and category in ("good", "bad"):
            return str(self.account.rate(file, category, comment, found)["id"])
        categories = CATEGORIES[self.surveys.scale_max]
        if self.account.csat != "new" or category not in categories:
            raise invalid(score=[{"description": f"Score: {category} cannot be given on this account"}])
        value = {"good": len(categories)}.get(category, categories.index(category) + 1)
        return str(self.surveys.give_answer(file, value, comment, reason, offer)["id"])

    def _reason(self, text: str) -> Row:
        known = (reason for reason in self.account.reasons.values() if reason["value"] == text)
        found = next(known, None)
        return found or self._add_reason(text, code=1000 + len(self.account.reasons))

    @locked
    def add_ratings_in_bulk(
        self, count: int, *, bad_share: float = 0.1, start: datetime, step: timedelta = timedelta(minutes=1)
    ) -> None:
        """Add legacy ratings, spread evenly, of tickets that exist no more; for measuring."""
        account = self.account
        agents = [u["id"] for u in account.users.values() if u["role"] != "end-user"]
        for number in range(count):
            at, is_bad = start + number * step, math.floor((number + 1) * bad_share) > math.floor(number * bad_share)
            rating = rows.rating_row(
                account.new_id("rating"), account.base, at, ticket_id=account.new_id("ticket"),
                requester_id=1_000_000 + number, assignee_id=agents[number % len(agents)], group_id=int(self.group_id),
                score="bad" if is_bad else "good", comment="Waited five days" if number % 3 == 0 else None,
            )  # fmt: skip
            account.ratings[rating["id"]] = rating
            account.rating_index.file(rating)


def _too_many(resets: int) -> Refusal:
    said = {"error": "APIRateLimitExceeded", "description": "Number of allowed API requests per minute exceeded"}
    return Refusal(429, said, {"Retry-After": str(max(1, resets))})
