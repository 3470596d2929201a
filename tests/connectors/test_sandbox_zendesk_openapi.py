"""The stand-in's answers against the vendor's own OpenAPI file, where that file is at hand.

$BRIDGE_TEST_REFERENCE names the folder with zendesk-support-oas.yaml (default: ../shared/reference beside this
repository). It is not ours to publish, so the tests are skipped without it. The file forbids nulls that live answers
have, so every property may be null here; it allows unknown keys, so those are looked for separately.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from werkzeug.test import Client

from connectors.sandbox.world import World
from connectors.sandbox.zendesk import ZendeskDesk

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("BRIDGE_TEST_REFERENCE", REPOSITORY.parent / "shared" / "reference"))
FILE = FOLDER / "zendesk-support-oas.yaml"
START = datetime(2026, 11, 21, 9, tzinfo=UTC)
BASIC = ("bridge@acme.example/token", "bridge-api-token")

# What live answers have and the file does not know: recorded, or documented elsewhere by the vendor.
PAGE_KEYS = {"next_page", "previous_page", "count", "meta", "links"}
GAPS = {"ticket_field.key", "ticket_fields.key", "ticket.via.source.from.ticket_id", "ticket.via.source.from.subject",
        "ticket.via.source.from.channel", "audit.events.previous_value", "audit.events.author_id",
        "audit.events.html_body", "audit.events.plain_body", "audit.events.public", "audit.events.attachments",
        "audit.events.audit_id", "audit.events.via", "audit.events.subject", "audit.events.recipients",
        "automations.url", "audit"}  # fmt: skip
SAID_TO_BE_A_LIST = {"satisfaction_rating", "ticket_metric"}  # live: one object

pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"the vendor's OpenAPI is not at {FILE}")


class _Loader(yaml.CSafeLoader):
    """PyYAML refuses the bare `=` that the file contains."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def nullable(schema: Any) -> Any:
    """Let every property be null as well."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: nullable(part) for name, part in schema.items() if name != "example"}
    if isinstance(schema.get("properties"), dict):
        changed["properties"] = {
            name: {"anyOf": [{"type": "null"}, part]} for name, part in changed["properties"].items()
        }
    return changed


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    with FILE.open(encoding="utf-8") as text:
        loaded = yaml.load(text, _Loader)  # a subclass of the safe loader
    components = {"schemas": nullable(loaded["components"]["schemas"])}
    return {"paths": loaded["paths"], "components": components}


@pytest.fixture(scope="module")
def desk() -> ZendeskDesk:
    """An account in which most things have happened once; tickets 501 (rated), 502 (closed), 503 (open)."""
    desk = ZendeskDesk(World(START), rate_limit=0, updates_per_minute=0)
    billing = desk.add_group("Billing")
    ann = desk.add_agent("Ann", "ann@acme.example", [billing])
    customer = desk.add_customer("Cy", "cy@example.com", language="de", organization="Initech", tags=["vip"])
    for _ in range(3):
        ticket = desk.open_ticket(customer, "Help", "It is broken", group=billing, tags=["printer"])
        desk.reply(ticket, ann, "We look into it")
        desk.note(ticket, ann, "Odd customer")
    desk.solve("501", ann)
    desk.edit("502", ann, status="closed")
    desk.world.clock.advance(timedelta(hours=25))
    desk.pass_time(timedelta(hours=25))
    desk.rate("501", "bad", "slow", "The issue was not resolved")
    desk.world.clock.advance(timedelta(minutes=5))
    return desk


def unknown_keys(schema: Any, value: Any, where: str, spec: dict[str, Any]) -> Iterator[str]:
    """Give the places of keys that the schema does not know."""
    if isinstance(value, list):
        items = [part["items"] for part in parts_of(schema, spec) if "items" in part]
        for item in value:
            yield from unknown_keys({"anyOf": items}, item, where, spec)
    known: dict[str, list[Any]] = {}
    for part in parts_of(schema, spec):
        for name, property_ in part.get("properties", {}).items():
            known.setdefault(name, []).append(property_)
    if isinstance(value, dict) and known:
        for name, inner in value.items():
            if name not in known:
                yield f"{where}.{name}".lstrip(".")
            else:
                yield from unknown_keys({"anyOf": known[name]}, inner, f"{where}.{name}".lstrip("."), spec)


def parts_of(schema: Any, spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a schema and everything that it is combined from."""
    if "$ref" in schema:
        yield from parts_of(spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]], spec)
        return
    yield schema
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, ()):
            yield from parts_of(part, spec)


def check(spec: dict[str, Any], template: str, method: str, status: int, body: Any) -> None:
    """Fail if the answer is not one that the vendor's file describes."""
    schema = spec["paths"][template][method]["responses"][str(status)]["content"]["application/json"]["schema"]
    body = {name: [inner] if name in SAID_TO_BE_A_LIST else inner for name, inner in body.items()}
    said_to_be_text = body.get("audit", {}).get("events", [])  # tags and fields are lists
    said_to_be_text += [action for rule in body.get("automations", ()) for action in rule["actions"]]  # mails are lists
    for row in said_to_be_text:
        row.update({name: "a list" for name, value in row.items() if isinstance(value, list)})
    errors = Draft7Validator(schema | {"components": spec["components"]}).iter_errors(body)
    assert [f"{list(error.absolute_path)}: {error.message[:300]}" for error in errors] == []
    unknown = {name for name in unknown_keys(schema, body, "", spec) if name not in PAGE_KEYS}
    assert unknown - GAPS == set()


READS = [
    ("/api/v2/users/me", ""), ("/api/v2/users", "?role[]=agent"), ("/api/v2/users/show_many", "?ids=40000000003"),
    ("/api/v2/groups", ""), ("/api/v2/groups/assignable", ""), ("/api/v2/group_memberships", ""),
    ("/api/v2/brands", ""), ("/api/v2/organizations/show_many", "?ids=38000000001"),
    ("/api/v2/satisfaction_ratings", "?score=bad"), ("/api/v2/satisfaction_reasons", ""),
    ("/api/v2/satisfaction_ratings/{satisfaction_rating_id}", "91000000001"),
    ("/api/v2/tickets", ""), ("/api/v2/tickets/show_many", "?ids=501,502,503"),
    ("/api/v2/tickets/{ticket_id}", "501"), ("/api/v2/tickets/{ticket_id}/tags", "501"),
    ("/api/v2/tickets/{ticket_id}/comments", "501"), ("/api/v2/tickets/{ticket_id}/audits", "501"),
    ("/api/v2/tickets/{ticket_id}/metrics", "501"), ("/api/v2/tickets/{ticket_id}/related", "501"),
    ("/api/v2/incremental/tickets/cursor", "?start_time=1700000000"),
    ("/api/v2/triggers", ""), ("/api/v2/automations", ""), ("/api/v2/ticket_fields", ""),
    ("/api/v2/account/settings", ""), ("/api/v2/custom_statuses", ""), ("/api/v2/trigger_categories", ""),
]  # fmt: skip


@pytest.mark.parametrize(("template", "more"), READS)
def test_reading_answers_as_the_vendor_describes(
    spec: dict[str, Any], desk: ZendeskDesk, template: str, more: str
) -> None:
    query = more if more.startswith("?") else ""
    path = template.split("{", maxsplit=1)[0] + (more + template.split("}")[1] if "{" in template else "")

    read = Client(desk).get(path + query, auth=BASIC)

    assert read.status_code == 200
    check(spec, template, "get", 200, read.json)


def test_an_update_answers_as_the_vendor_describes(spec: dict[str, Any], desk: ZendeskDesk) -> None:
    wish = {"status": "pending", "tags": ["a", "b"], "comment": {"body": "Hello", "public": False}}

    changed = Client(desk).put("/api/v2/tickets/503", json={"ticket": wish}, auth=BASIC)

    check(spec, "/api/v2/tickets/{ticket_id}", "put", 200, changed.json)


def test_a_follow_up_answers_as_the_vendor_describes(spec: dict[str, Any], desk: ZendeskDesk) -> None:
    wish = {"via_followup_source_id": 502, "comment": {"body": "Hello", "public": False}}

    created = Client(desk).post("/api/v2/tickets", json={"ticket": wish}, auth=BASIC)

    check(spec, "/api/v2/tickets", "post", 201, created.json)


def test_a_job_answers_as_the_vendor_describes(spec: dict[str, Any], desk: ZendeskDesk) -> None:
    tickets = [{"id": 503, "additional_tags": ["c"]}, {"id": 502, "status": "open"}, {"id": 99, "status": "open"}]

    accepted = Client(desk).put("/api/v2/tickets/update_many", json={"tickets": tickets}, auth=BASIC)
    job_id = accepted.json["job_status"]["id"]
    done = Client(desk).get(f"/api/v2/job_statuses/{job_id}", auth=BASIC)

    check(spec, "/api/v2/tickets/update_many", "put", 200, accepted.json)
    check(spec, "/api/v2/job_statuses/{job_status_id}", "get", 200, done.json)


def test_a_token_and_a_new_field_answer_as_the_vendor_describes(spec: dict[str, Any], desk: ZendeskDesk) -> None:
    grant = {"grant_type": "client_credentials", "client_id": "bridge", "client_secret": "bridge-secret"}
    field = {"ticket_field": {"type": "text", "title": "[recovery-bridge] marker"}}

    token = Client(desk).post("/oauth/tokens", json=grant)
    created = Client(desk).post("/api/v2/ticket_fields", json=field, auth=BASIC)

    check(spec, "/oauth/tokens", "post", 201, token.json)
    check(spec, "/api/v2/ticket_fields", "post", 201, created.json)


def test_a_new_trigger_and_its_category_answer_as_the_vendor_describes(spec: dict[str, Any], desk: ZendeskDesk) -> None:
    client, named = Client(desk), {"trigger_category": {"name": "Recovery"}}
    rule = {
        "title": "[recovery-bridge] Ask",
        "conditions": {"all": [{"field": "current_tags", "operator": "includes", "value": "sr_ask"}], "any": []},
        "actions": [{"field": "notification_user", "value": ["requester_id", "Hello", "{{ticket.title}}"]}],
    }

    category = client.post("/api/v2/trigger_categories", json=named, auth=BASIC)
    rule["category_id"] = category.json["trigger_category"]["id"]
    trigger = client.post("/api/v2/triggers", json={"trigger": rule}, auth=BASIC)

    check(spec, "/api/v2/trigger_categories", "post", 200, category.json)
    check(spec, "/api/v2/triggers", "post", 201, trigger.json)


def test_the_check_itself_notices_wrong_types_and_unknown_keys(spec: dict[str, Any]) -> None:
    template = "/api/v2/groups"

    for bad in ({"groups": [{"name": 7}]}, {"groups": [{"name": "Support", "lead": 1}]}):
        with pytest.raises(AssertionError):
            check(spec, template, "get", 200, bad)
