"""Freshdesk stand-in: the HTTP API of an account: who may call it, people, fields, rules.

Source: developers.freshdesk.com/api (read 2026-11-21). Tickets are in freshdesk_tickets.py, surveys in
freshdesk_csat.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox import freshdesk_rules as automations
from connectors.sandbox import freshdesk_shapes as shapes
from connectors.sandbox.freshdesk_csat import SurveyEndpoints
from connectors.sandbox.freshdesk_http import (
    Meter,
    body_of,
    check_keys,
    invalid,
    listed,
    missing_feature,
    moment,
    no_such_path,
    not_found,
    number,
    said,
    window,
)
from connectors.sandbox.freshdesk_records import Agent, Field, Group
from connectors.sandbox.freshdesk_search import MAX_PAGE, PER_PAGE, parse
from connectors.sandbox.freshdesk_tickets import TicketEndpoints
from connectors.sandbox.wsgi import Call, Refusal, answer, route

if TYPE_CHECKING:
    from connectors.sandbox.freshdesk import FreshdeskDesk

__all__ = ["Endpoints", "no_such_path"]

BASE = "/api/v2"
FOR_ADMINS = re.compile(r"/api/v2/(agents(?!/me$)|groups|roles|admin/|automations)")
CONTACT_SEARCH = frozenset({"active", "company_id", "email", "language", "tag", "created_at", "updated_at"})
RULE_KEYS = frozenset({"name", "active", "position", "performer", "events", "conditions", "operator", "actions"})
FIELD_KEYS = frozenset(
    {
        "label",
        "label_for_customers",
        "type",
        "position",
        "customers_can_edit",
        "required_for_closure",
        "required_for_agents",
        "required_for_customers",
        "displayed_to_customers",
        "choices",
    }
)
PRICE = "freshdesk.credits"  # where a call keeps what it cost


class Endpoints:
    """The HTTP API of one desk."""

    def __init__(self, desk: FreshdeskDesk) -> None:
        self.desk = desk
        self.meter = Meter(desk.rate_limit)
        self.parts = (TicketEndpoints(desk), SurveyEndpoints(desk))

    def routes(self) -> Iterable[Rule]:
        """Return every rule of the API."""
        for part in self.parts:
            yield from part.routes()
        yield route("GET", f"{BASE}/account", self.account)
        yield route("GET", f"{BASE}/agents", self.list_agents)
        yield route("GET", f"{BASE}/agents/me", self.me)
        yield route("GET", f"{BASE}/agents/<int:agent_id>", self.agent)
        yield route("GET", f"{BASE}/agents/<int:agent_id>/availability", self.availability)
        yield route("GET", f"{BASE}/groups", self.list_groups)
        yield route("GET", f"{BASE}/groups/<int:group_id>", self.group)
        yield route("GET", f"{BASE}/admin/groups", self.list_groups)
        yield route("GET", f"{BASE}/admin/groups/<int:group_id>", self.group)
        yield route("GET", f"{BASE}/admin/groups/<int:group_id>/agents", self.group_agents)
        yield route("GET", f"{BASE}/roles", self.list_roles)
        yield route("GET", f"{BASE}/products", self.list_products)
        yield route("GET", f"{BASE}/companies/<int:company_id>", self.company)
        yield route("GET", f"{BASE}/contacts", self.list_contacts)
        yield route("GET", f"{BASE}/contacts/<int:contact_id>", self.contact)
        yield route("GET", f"{BASE}/search/contacts", self.search_contacts)
        yield route("GET", f"{BASE}/ticket_fields", self.list_fields)
        yield route("GET", f"{BASE}/admin/ticket_fields", self.list_fields)
        yield route("POST", f"{BASE}/admin/ticket_fields", self.add_field)
        yield route("DELETE", f"{BASE}/admin/ticket_fields/<int:field_id>", self.remove_field)
        yield route("GET", f"{BASE}/automations/<int:kind>/rules", self.list_rules)
        yield route("POST", f"{BASE}/automations/<int:kind>/rules", self.add_rule)
        yield route("GET", f"{BASE}/automations/<int:kind>/rules/<int:rule_id>", self.rule)
        yield route("PUT", f"{BASE}/automations/<int:kind>/rules/<int:rule_id>", self.change_rule)
        yield route("DELETE", f"{BASE}/automations/<int:kind>/rules/<int:rule_id>", self.remove_rule)

    # -------------------------------------------------------------- every call
    def admit(self, call: Call) -> None:
        """Count the call, then check the key, the media types and the role. Raises 429, 401, 406 or 403."""
        self.meter.limit = self.desk.rate_limit
        call.environ[PRICE] = 0
        call.environ[PRICE] = self.meter.admit(call, self.desk.now())
        if not call.authorization or call.authorization.username != self.desk.api_key:
            raise said(401, "invalid_credentials", "You have to be logged in to perform this action.")
        if call.accept_mimetypes and not call.accept_mimetypes.accept_json:
            raise said(406, "invalid_accept_header", "The Accept header should be application/json or */*")
        call.user = str(self.desk.api_agent)
        if FOR_ADMINS.match(call.path) and not self.desk.key_is_admin:
            raise said(403, "access_denied", "You are not authorized to perform this action.")

    def finish(self, call: Call, response: Response) -> None:
        """Add the headers that every answer carries."""
        if self.meter.limit:
            response.headers["X-RateLimit-Total"] = str(self.meter.limit)
            response.headers["X-RateLimit-Remaining"] = str(self.meter.remaining)
        response.headers["X-RateLimit-Used-CurrentRequest"] = str(call.environ.get(PRICE, 0))
        response.headers["X-Freshdesk-Api-Version"] = "latest=v2; requested=v2"

    # -------------------------------------------------------------- account, staff, customers
    def account(self, _call: Call) -> Response:
        """Answer what the account is."""
        full_time = sum(not agent.occasional and not agent.deactivated for agent in self.desk.agents.values())
        staff = {"full_time": full_time, "occasional": 0, "field_service": 0, "collaborators": 0}
        name = self.desk.name
        return answer(
            {
                "organisation_id": 1,
                "organisation_name": name,
                "account_id": 1,
                "account_name": name,
                "account_domain": f"{name}.freshdesk.com",
                "bundle_id": None,
                "total_agents": staff,
                "timezone": "UTC",
                "data_center": "EU",
                "tier_type": "Paid",
                "address": None,
                "contact_person": None,
            }
        )

    def me(self, _call: Call) -> Response:
        """Answer whose key was used."""
        return answer(shapes.whole_agent(self.desk.agents[self.desk.api_agent]))

    def list_agents(self, call: Call) -> Response:
        """List agents, or their presence with `only=availability`."""
        shape = shapes.agent
        if call.args.get("only") == "availability":
            self._need_availability()
            shape = shapes.listed_availability
        agents = [agent for agent in self.desk.agents.values() if self._is_listed(call, agent)]
        return self._paged(call, agents, shape)

    def _is_listed(self, call: Call, agent: Agent) -> bool:
        email, state = call.args.get("email"), call.args.get("state")
        if agent.deactivated and not self.desk.lists_deactivated:
            return False
        if email and agent.email.lower() != email.lower():
            return False
        return state is None or agent.occasional == (state == "occasional")

    def agent(self, _call: Call, agent_id: int) -> Response:
        """Answer one agent with groups and roles."""
        return answer(shapes.whole_agent(self._agent(agent_id)))

    def availability(self, _call: Call, agent_id: int) -> Response:
        """Answer the presence of one agent."""
        self._need_availability()
        return answer(shapes.availability(self._agent(agent_id)))

    def _need_availability(self) -> None:
        if "availability" in self.desk.missing_features:
            raise not_found()  # UNVERIFIED: older accounts may answer 404 or 403

    def _agent(self, agent_id: int) -> Agent:
        if agent_id not in self.desk.agents:
            raise not_found()
        return self.desk.agents[agent_id]

    def list_groups(self, call: Call) -> Response:
        """List groups without their agents."""
        return self._paged(call, list(self.desk.groups.values()), shapes.group)

    def group(self, _call: Call, group_id: int) -> Response:
        """Answer one group with the ids of its agents."""
        members = [agent.id for agent in self._members(group_id)]
        return answer(shapes.group(self._group(group_id)) | {"agent_ids": members})

    def group_agents(self, call: Call, group_id: int) -> Response:
        """List the agents of a group with their roles."""
        self._group(group_id)
        return self._paged(call, self._members(group_id), lambda agent: shapes.group_member(agent, group_id))

    def _group(self, group_id: int) -> Group:
        if group_id not in self.desk.groups:
            raise not_found()
        return self.desk.groups[group_id]

    def _members(self, group_id: int) -> list[Agent]:
        return [agent for agent in self.desk.agents.values() if group_id in agent.group_ids and not agent.deactivated]

    def list_roles(self, _call: Call) -> Response:
        """List the roles."""
        return answer([shapes.role(self.desk, name) for name in shapes.ROLES])

    def list_products(self, call: Call) -> Response:
        """List the products."""
        return self._paged(call, list(self.desk.products.items()), lambda one: {"id": one[0], "name": one[1]})

    def company(self, _call: Call, company_id: int) -> Response:
        """Answer one organisation of customers."""
        found = shapes.company(self.desk, company_id)
        if found is None:
            raise not_found()
        return answer(found)

    def contact(self, _call: Call, contact_id: int) -> Response:
        """Answer one customer."""
        if contact_id not in self.desk.contacts:
            raise not_found()
        return answer(shapes.contact(self.desk.contacts[contact_id]))

    def list_contacts(self, call: Call) -> Response:
        """List customers, by address or by the time of their last change."""
        email, since = call.args.get("email"), moment(call, "_updated_since")
        found = [
            contact
            for contact in self.desk.contacts.values()
            if (not email or contact.email.lower() == email.lower()) and (not since or contact.updated_at >= since)
        ]
        return self._paged(call, found, shapes.contact)

    def search_contacts(self, call: Call) -> Response:
        """Answer a query about customers, 30 at a time."""
        test = parse(call.args.get("query", ""), CONTACT_SEARCH)
        found = [contact for contact in self.desk.contacts.values() if test(vars(contact) | {"tag": contact.tags})]
        page = number(call, "page") or 1
        if page > MAX_PAGE:
            raise invalid("page", "It should be a Positive Integer less than or equal to 10")
        shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
        return answer({"total": len(found), "results": [shapes.contact(contact) for contact in shown]})

    def _paged(self, call: Call, rows: list[Any], shape: Any) -> Response:
        page, per_page = window(call)
        last = page * per_page
        return listed(call, [shape(row) for row in rows[last - per_page : last]], len(rows) > last)

    # -------------------------------------------------------------- fields
    def list_fields(self, call: Call) -> Response:
        """List the fields of a ticket with their choices."""
        kind = call.args.get("type")
        found = [field for field in shapes.ticket_fields(self.desk) if kind in (None, field["type"])]
        return answer(found)

    def add_field(self, call: Call) -> Response:
        """Add a custom field: `cf_` and its label in lower case, with underscores."""
        body = body_of(call)
        check_keys(body, FIELD_KEYS)
        for key in ("label", "label_for_customers", "type"):
            if not isinstance(body.get(key), str) or not body[key]:
                raise invalid(key, "It should be a/an String", "missing_field")
        name = "cf_" + re.sub(r"[^a-z0-9]+", "_", body["label"].lower()).strip("_")
        if any(field.name == name for field in self.desk.fields.values()):
            raise invalid("label", "It should be a unique value", "duplicate_value")
        field = Field(
            self.desk.next_id(), name, body["label"], body["label_for_customers"], body["type"], self.desk.now(),
            body.get("choices"),
        )  # fmt: skip
        self.desk.fields[field.id] = field
        for key, names in (("agents", self.desk.required_for_agents), ("closure", self.desk.required_for_closure)):
            if body.get(f"required_for_{key}"):
                names.add(name)
        return answer(shapes.custom_field(self.desk, field), 201)

    def remove_field(self, _call: Call, field_id: int) -> Response:
        """Delete a custom field with its values."""
        field = self.desk.fields.pop(field_id, None)
        if field is None:
            raise not_found()
        for ticket in self.desk.tickets.values():
            ticket.custom_fields.pop(field.name, None)
        return answer(None, 204)

    # -------------------------------------------------------------- automation rules
    def list_rules(self, call: Call, kind: int) -> Response:
        """List the rules of a kind: 1 creation, 3 hourly, 4 updates."""
        self._need_automations(kind)
        rules = [shapes.rule(rule) for rule in self.desk.rules.values() if rule.kind == kind]
        page, per_page = window(call)
        last = page * per_page
        return answer({"rules": rules[last - per_page : last], "meta": {"count": len(rules)}})

    def rule(self, _call: Call, kind: int, rule_id: int) -> Response:
        """Answer one rule."""
        return answer(shapes.rule(self._rule(kind, rule_id)))

    def add_rule(self, call: Call, kind: int) -> Response:
        """Add a rule."""
        self._need_automations(kind)
        body = self._rule_body(call)
        for key in ("name", "actions"):
            if not body.get(key):
                raise invalid(key, "It should be present", "missing_field")
        return answer(shapes.rule(automations.add(self.desk, kind, body)), 201)

    def change_rule(self, call: Call, kind: int, rule_id: int) -> Response:
        """Change parts of a rule."""
        rule = self._rule(kind, rule_id)
        rule.body |= self._rule_body(call)
        rule.updated_at = self.desk.now()
        return answer(shapes.rule(rule))

    def remove_rule(self, _call: Call, kind: int, rule_id: int) -> Response:
        """Delete a rule."""
        del self.desk.rules[self._rule(kind, rule_id).id]
        return answer(None, 204)

    def _rule_body(self, call: Call) -> dict[str, Any]:
        body = body_of(call)
        check_keys(body, RULE_KEYS)
        if automations.is_malformed(body):
            raise Refusal(500, None)  # seen by others on live accounts: not a 400
        return body

    def _rule(self, kind: int, rule_id: int) -> Any:
        self._need_automations(kind)
        rule = self.desk.rules.get(rule_id)
        if rule is None or rule.kind != kind:
            raise not_found()
        return rule

    def _need_automations(self, kind: int) -> None:
        if "automations" in self.desk.missing_features:
            raise missing_feature("Automations")
        if kind not in (1, 3, 4):
            raise not_found()
