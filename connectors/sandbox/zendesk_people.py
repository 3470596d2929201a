"""People, groups, rules and settings of the stand-in Zendesk over HTTP, and its sign-in.

Shapes: Zendesk's Support API OpenAPI (snapshot 2026-08).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox import zendesk_rules as rules
from connectors.sandbox.wsgi import Call, Refusal, answer, route
from connectors.sandbox.zendesk_account import Account, invalid, not_found
from connectors.sandbox.zendesk_pages import asked, asked_ids, asked_list, page_of
from connectors.sandbox.zendesk_rows import Row, stamp

UNAUTHORIZED = {"error": "Couldn't authenticate you"}
FORBIDDEN = {"error": {"title": "Forbidden", "message": "You do not have access to this page."}}
PRESENCE = {"offline": 2, "online": 3, "away": 4, "transfers_only": 5}
READ_ONLY = frozenset({"id", "url", "created_at", "updated_at", "kind"})


@dataclass(frozen=True)
class Token:
    """An OAuth access token; *expires_at* None is never."""

    token_id: int
    text: str
    user_id: int
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None


class SignIn:
    """OAuth client credentials and the older API token."""

    def __init__(self, account: Account, *, user_id: int, client_id: str, client_secret: str, api_token: str) -> None:
        self.account = account
        self.user_id = user_id
        self.client_id = client_id
        self.client_secret = client_secret
        self.api_token = api_token
        self.default_life: int | None = 1800
        self.tokens: dict[str, Token] = {}

    def routes(self) -> Iterable[Rule]:
        """Return the rules of this part."""
        return (
            route("POST", "/oauth/tokens", self.mint),
            route("GET", "/api/v2/oauth/tokens/current", self.current),
        )

    def mint(self, call: Call) -> Response:
        """Give a token for client credentials."""
        sent: Mapping[str, Any] = call.sent if isinstance(call.sent, dict) else call.form
        if sent.get("grant_type") != "client_credentials":
            raise Refusal(400, {"error": "unsupported_grant_type", "error_description": "The grant is not supported"})
        if (sent.get("client_id"), sent.get("client_secret")) != (self.client_id, self.client_secret):
            raise Refusal(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
        life = sent.get("expires_in", self.default_life)
        if life is not None and not 300 < int(life) < 172_800:
            raise Refusal(400, {"error": "invalid_request", "error_description": "expires_in is out of range"})
        # A scope in the wrong form still gives a token, which is then good for nothing.
        wanted = sent.get("scope", "read write")
        scopes = tuple(wanted.split()) if isinstance(wanted, str) else ()
        now = self.account.now()
        expires_at = now + timedelta(seconds=int(life)) if life is not None else None
        text = f"{self.account.world.random.getrandbits(256):064x}"
        token = Token(self.account.new_id("token"), text, self.user_id, scopes, now, expires_at)
        self.tokens[text] = token
        body = {"access_token": text, "token_type": "bearer", "scope": " ".join(scopes), "expires_in": life}
        return answer(body | {"refresh_token": None, "refresh_token_expires_in": None}, 201)

    def current(self, call: Call) -> Response:
        """Show the token that the client used."""
        token = self.tokens.get(call.headers.get("Authorization", "").removeprefix("Bearer "))
        if token is None:
            raise not_found()
        shown = {
            "id": token.token_id, "user_id": token.user_id, "client_id": 1, "scopes": list(token.scopes),
            "url": f"{self.account.base}/oauth/tokens/{token.token_id}.json", "token": token.text[:10],
            "created_at": stamp(token.created_at), "refresh_token": None, "used_at": None,
            "expires_at": token.expires_at and stamp(token.expires_at),
        }  # fmt: skip
        return answer({"token": shown})

    def user_of(self, call: Call) -> tuple[int, tuple[str, ...]]:
        """Return who a client acts as, and its scopes. Raises Refusal 401."""
        kind, _, secret = call.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            token = self.tokens.get(secret)
            if token and (token.expires_at is None or self.account.now() < token.expires_at):
                return token.user_id, token.scopes
        elif kind == "Basic" and self.api_token:
            email, _, password = _decoded(secret).partition("/token:")
            found = (u["id"] for u in self.account.users.values() if u["email"] == email and u["active"])
            if password == self.api_token and (user_id := next(found, None)) is not None:
                return int(user_id), ("read", "write")
        raise Refusal(401, UNAUTHORIZED)


class PeopleCalls:
    """Users, groups, brands, organizations and presence."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.presence: dict[int, tuple[str, datetime]] | None = {}  # None: the account has no such API

    def routes(self) -> Iterable[Rule]:
        """Return the rules of this part."""
        api = "/api/v2"
        return (
            route("GET", api + "/users", self.list_users),
            route("GET", api + "/users/me", self.me),
            route("GET", api + "/users/show_many", self.show_users),
            route("GET", api + "/users/<int:user_id>", self.show_user),
            route("GET", api + "/users/<int:user_id>/group_memberships", self.list_memberships),
            route("GET", api + "/groups", self.list_groups),
            route("GET", api + "/groups/assignable", self.list_groups),
            route("GET", api + "/group_memberships", self.list_memberships),
            route("GET", api + "/brands", self.list_brands),
            route("GET", api + "/organizations/show_many", self.show_organizations),
            route("GET", api + "/agent_availabilities", self.list_presence),
        )

    def list_users(self, call: Call) -> Response:
        """List users that are not deleted, by role."""
        roles = set(asked_list(call, "role[]") + asked_list(call, "role"))
        users = (user for user in self.account.users.values() if user["active"])
        return answer(page_of(call, "users", (user for user in users if not roles or user["role"] in roles)))

    def me(self, call: Call) -> Response:
        """Show the acting user; without credentials an anonymous one."""
        user = self.account.users[int(call.user)] if call.user else {"id": None, "name": "Anonymous user"}
        return answer({"user": user | {"authenticity_token": None}})

    def show_users(self, call: Call) -> Response:
        """Show up to 100 users; deleted ones only if asked for."""
        deleted = asked(call, "include_deleted") == "true"
        found = [self.account.users[user_id] for user_id in asked_ids(call) if user_id in self.account.users]
        shown = [user for user in found if user["active"] or deleted]
        return answer({"users": shown, "next_page": None, "previous_page": None, "count": len(shown)})

    def show_user(self, _call: Call, user_id: int) -> Response:
        """Show one user, also a deleted one."""
        if user_id not in self.account.users:
            raise not_found()
        return answer({"user": self.account.users[user_id]})

    def list_groups(self, call: Call) -> Response:
        """List the groups that tickets can be given to."""
        return answer(page_of(call, "groups", (g for g in self.account.groups.values() if not g["deleted"])))

    def list_memberships(self, call: Call, user_id: int | None = None) -> Response:
        """List who belongs to which group."""
        found = (m for m in self.account.memberships if user_id in (None, m["user_id"]))
        return answer(page_of(call, "group_memberships", found))

    def list_brands(self, call: Call) -> Response:
        """List the brands."""
        return answer(page_of(call, "brands", self.account.brands.values()))

    def show_organizations(self, call: Call) -> Response:
        """Show up to 100 organizations."""
        known = self.account.organizations
        shown = [known[found] for found in asked_ids(call) if found in known]
        return answer({"organizations": shown, "next_page": None, "previous_page": None, "count": len(shown)})

    def list_presence(self, call: Call) -> Response:
        """List who is online, in the style of JSON:API."""
        if self.presence is None:
            raise not_found()
        agents = [u["id"] for u in self.account.users.values() if u["role"] != "end-user" and u["active"]]
        rows = [{"id": agent_id} for agent_id in agents]
        body = page_of(call, "data", rows)
        return answer(body | {"data": [self._presence_of(row["id"]) for row in body["data"]], "included": []})

    def _presence_of(self, agent_id: int) -> Row:
        known = self.presence or {}
        name, since = known.get(agent_id, ("offline", self.account.now() - timedelta(hours=1)))
        status = {"id": PRESENCE.get(name, 9001), "name": name, "reason": "manual", "updated_at": stamp(since)}
        groups = [m["group_id"] for m in self.account.memberships if m["user_id"] == agent_id]
        attributes = {"agent_id": agent_id, "agent_status": status, "group_ids": groups, "skills": [], "version": 1}
        resource = {"id": f"agent_availabilities|{agent_id}", "type": "agent_availabilities", "attributes": attributes}
        return resource | {"relationships": {"channels": {"data": []}}}


class AdminCalls:
    """What an administrator sets up: triggers, automations, fields, statuses, settings."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._categorize(int(rules.CATEGORY), "Notifications")

    def routes(self) -> Iterable[Rule]:
        """Return the rules of this part."""
        api = "/api/v2"
        lists = (
            ("trigger", self.account.triggers),
            ("automation", self.account.automations),
            ("ticket_field", self.account.fields),
        )
        for name, table in lists:
            calls = Table(self.account, name, table)
            yield route("GET POST", f"{api}/{name}s", calls.list_or_create)
            yield route("GET", f"{api}/{name}s/search", calls.search)
            yield route("GET", f"{api}/{name}s/active", calls.search)
            yield route("GET PUT PATCH DELETE", f"{api}/{name}s/<row_id>", calls.one)
        yield route("GET POST", f"{api}/trigger_categories", self.categories)
        yield route("GET PATCH DELETE", f"{api}/trigger_categories/<row_id>", self.category)
        yield route("GET", f"{api}/account/settings", self.settings)
        yield route("GET", f"{api}/custom_statuses", self.custom_statuses)

    def categories(self, call: Call) -> Response:
        """List the categories of triggers, or add one (200, as the OpenAPI says)."""
        if call.method == "GET":
            return answer(page_of(call, "trigger_categories", self.account.categories.values()))
        name = (call.sent or {}).get("trigger_category", {}).get("name")
        if not name:
            raise Refusal(400, {"errors": [{"code": "InvalidTriggerCategory", "title": "Name cannot be blank"}]})
        return answer({"trigger_category": self._categorize(self.account.new_id("rule"), name)})

    def _categorize(self, number: int, name: str) -> Row:
        at, position = stamp(self.account.now()), len(self.account.categories)
        row: Row = {"id": str(number), "name": name, "position": position, "created_at": at, "updated_at": at}
        self.account.categories[row["id"]] = row
        return row

    def category(self, call: Call, row_id: str) -> Response:
        """Show, rename or delete a category; one with triggers stays."""
        if row_id not in self.account.categories:
            raise Refusal(404, {"errors": [{"code": "TriggerCategoryNotFound", "title": "No such category"}]})
        if call.method == "DELETE":
            if any(rule["category_id"] == row_id for rule in self.account.triggers.values()):
                raise Refusal(400, {"errors": [{"code": "TriggerCategoryNotEmpty", "title": "It has triggers"}]})
            del self.account.categories[row_id]
            return answer(None, 204)
        row = self.account.categories[row_id]
        if call.method == "PATCH":
            sent = (call.sent or {}).get("trigger_category", {})
            row |= {name: sent[name] for name in ("name", "position") if name in sent}
        return answer({"trigger_category": row})

    def settings(self, _call: Call) -> Response:
        """Show what the account has switched on."""
        return answer({"settings": self.account.settings})

    def custom_statuses(self, call: Call) -> Response:
        """List the statuses; there is no paging here."""
        categories = asked_list(call, "status_categories")
        rows = self.account.statuses.values()
        return answer({"custom_statuses": [r for r in rows if not categories or r["status_category"] in categories]})


class Table:
    """List, create, change and delete for one kind of row."""

    def __init__(self, account: Account, name: str, rows: dict[int, Row]) -> None:
        self.account = account
        self.name = name
        self.rows = rows

    def list_or_create(self, call: Call) -> Response:
        """Answer GET and POST on the whole list."""
        if call.method == "POST":
            return answer({self.name: self._shown(self._create(self._sent(call)))}, 201)
        active = asked(call, "active")
        chosen = [row for row in self.rows.values() if active is None or str(row["active"]).lower() == active]
        body = page_of(call, f"{self.name}s", chosen)
        return answer(body | {f"{self.name}s": [self._shown(row) for row in body[f"{self.name}s"]]})

    def search(self, call: Call) -> Response:
        """Find rows whose title contains the query; `/active` finds the active ones."""
        query = (asked(call, "query") or "").lower()
        found = [row for row in self.rows.values() if query in row["title"].lower()]
        if call.path.split(".")[0].endswith("/active"):
            found = [row for row in found if row["active"]]
        return answer(page_of(call, f"{self.name}s", [self._shown(row) for row in found]))

    def one(self, call: Call, row_id: str) -> Response:
        """Answer GET, PUT, PATCH and DELETE on one row."""
        row = next((row for row in self.rows.values() if str(row["id"]) == row_id), None)
        if row is None:
            raise not_found()
        if call.method == "DELETE":
            del self.rows[row["id"]]
            self._fields_follow()
            return answer(None, 204)
        if call.method in ("PUT", "PATCH"):
            changes = {name: value for name, value in self._sent(call).items() if name not in READ_ONLY}
            changes = self._checked(self._normal(changes))
            if changes.keys() & {"conditions", "actions"}:  # sending one of them replaces both
                changes = {"conditions": {"all": [], "any": []}, "actions": []} | changes
            row |= changes | {"updated_at": stamp(self.account.now())}
        return answer({self.name: self._shown(row)})

    def _sent(self, call: Call) -> Row:
        sent = call.sent.get(self.name) if isinstance(call.sent, dict) else None
        if not isinstance(sent, dict):
            raise Refusal(400, {"error": "RequiredParameterMissing", "description": f"{self.name} is missing"})
        return dict(sent)

    def _normal(self, sent: Row) -> Row:
        """Return conditions in their present form; `all` and `any` at the top are the old one."""
        if "all" in sent or "any" in sent:
            sent["conditions"] = {"all": sent.pop("all", []), "any": sent.pop("any", [])}
        if "conditions" in sent:
            sent["conditions"] = {"all": [], "any": []} | sent["conditions"]
        if "title" in sent:
            sent["raw_title"] = sent["title"]
        return sent

    def _create(self, sent: Row) -> Row:
        if not sent.get("title"):
            raise invalid(title=[{"description": "Title: cannot be blank", "error": "BlankValue"}])
        row_id = self.account.new_id("field" if self.name == "ticket_field" else "rule")
        at = stamp(self.account.now())
        row = self._defaults(row_id) | {"created_at": at, "updated_at": at}
        row |= self._checked(self._normal(sent)) | {"id": row_id}
        if self.name == "trigger" and self.account.demands_category and "category_id" not in sent:  # text UNVERIFIED
            raise invalid(category_id=[{"description": "Category: cannot be blank", "error": "BlankValue"}])
        self.rows[row_id] = row
        self._fields_follow()
        return row

    def _fields_follow(self) -> None:
        if self.name == "ticket_field":
            self.account.fields_changed()

    def _checked(self, sent: Row) -> Row:
        """Return a rule, or part of one, that can be run. Raises Refusal 422; the texts are UNVERIFIED."""
        conditions = [one for kind in ("all", "any") for one in sent.get("conditions", {}).get(kind, ())]
        for one in conditions:
            if one.get("operator") not in rules.OPERATORS:
                raise invalid(base=[{"description": f"Condition: {one} is not valid", "error": "InvalidValue"}])
        if "actions" in sent and not sent["actions"]:
            raise invalid(base=[{"description": "Actions: cannot be blank", "error": "BlankValue"}])
        if sent.get("category_id") not in (None, *self.account.categories):
            raise invalid(category_id=[{"description": "Category: is invalid", "error": "InvalidValue"}])
        return sent

    def _defaults(self, row_id: int) -> Row:
        url = f"{self.account.base}/{self.name}s/{row_id}.json"
        if self.name == "ticket_field":
            return field_row(url)
        row: Row = {"url": url, "kind": self.name, "active": True, "default": False, "position": 0, "actions": []}
        row["conditions"] = {"all": [], "any": []}
        return row | ({"description": None, "category_id": rules.CATEGORY} if self.name == "trigger" else {})

    def _shown(self, row: Row) -> Row:
        """Return a row as the API shows it: without what is ours."""
        return {name: value for name, value in row.items() if name != "kind"}


def field_row(url: str) -> Row:
    """Return a ticket field that an administrator has made."""
    return {
        "url": url, "type": "text", "title": "", "raw_title": "", "description": "", "raw_description": "",
        "position": 9999, "active": True, "required": False, "collapsed_for_agents": False,
        "regexp_for_validation": None, "title_in_portal": "", "raw_title_in_portal": "", "visible_in_portal": False,
        "editable_in_portal": False, "required_in_portal": False, "agent_can_edit": True, "tag": None,
        "removable": True, "key": None, "agent_description": None,
    }  # fmt: skip


def _decoded(secret: str) -> str:
    try:
        return base64.b64decode(secret).decode()
    except ValueError:
        return ""


def forbidden() -> Refusal:
    """Return the 403 of an agent or a token that may not do this."""
    return Refusal(403, FORBIDDEN)
