"""Zendesk: agents, groups, brands and presence of an account.

Source: the OpenAPI file for users, groups, group_memberships and brands; api-reference/agent-availability for presence
(read 2026-11-21), which only accounts with omnichannel routing have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from bridge.connector import Tools
from bridge.errors import BadRecord, CredentialsRefused, NotFound
from bridge.model import Agent, Directory
from connectors.zendesk.pages import PAGE_SIZE, PAGED, next_position, read_all, read_page, record, rows
from connectors.zendesk.ratings import optional_id

USERS = "/api/v2/users"
ME = "/api/v2/users/me"
GROUPS = "/api/v2/groups"
MEMBERSHIPS = "/api/v2/group_memberships"
BRANDS = "/api/v2/brands"
PRESENCE = "/api/v2/agent_availabilities"

_DIRECTORY, _NO_PRESENCE = "directory", "no_presence"  # names in the account's memory
BRAND_HOSTS = "brand_hosts"  # there too: name -> https://...
_NO_PRESENCE_AGE = timedelta(hours=24)
_NOT_HERE = frozenset({"offline", "away"})
_ABSENT_WORDS = ("vacation", "out of office", "absent", "leave")
_ROLE_TYPES = {1: "light agent", 2: "chat agent only", 3: "chat contributor", 5: "billing administrator"}


class People:
    """The directory of one account, kept between runs until it is too old."""

    def __init__(self, tools: Tools, out_of_office: Sequence[str]) -> None:
        self._tools = tools
        self._http = tools.http
        self._out_of_office = out_of_office
        self._directory: Directory | None = None

    def directory(self, fresh: bool) -> Directory:
        """Return the people and groups, from memory unless too old or *fresh* is asked for."""
        if not fresh:
            kept = self._remembered()
            if kept is not None:
                return kept
        try:
            self._directory = self._read()
        except (KeyError, TypeError, ValueError) as exc:
            what = "an agent or group lacks a field that every one has"
            raise BadRecord(f"{self._http.account}: {what} ({type(exc).__name__} {exc})") from exc
        self._tools.memory.remember(_DIRECTORY, to_json(self._directory))
        return self._directory

    def _remembered(self) -> Directory | None:
        if self._directory and self._tools.now() - self._directory.read_at <= self._tools.directory_age:
            return self._directory
        kept = self._tools.memory.recall(_DIRECTORY, self._tools.directory_age)
        self._directory = from_json(kept) if kept else None
        return self._directory

    def _read(self) -> Directory:
        groups = {str(g["id"]): str(g["name"]) for g in read_all(self._http, GROUPS, "groups") if not g.get("deleted")}
        memberships = defaultdict(list)
        for membership in read_all(self._http, MEMBERSHIPS, "group_memberships"):
            if str(membership["group_id"]) in groups:
                memberships[str(membership["user_id"])].append(membership)
        presence = self._read_presence()
        agents = {}
        for user in read_all(self._http, USERS, "users", {**PAGED, "role[]": ["agent", "admin"]}):
            user_id = str(user["id"])
            agents[user_id] = agent_from(user, memberships[user_id], presence.get(user_id), self._out_of_office)
        return Directory(self._tools.now(), agents, groups, self._read_brands(), self._read_own_id())

    def _read_own_id(self) -> str | None:
        """Return who we are; None for an anonymous user, whose id is null, and where it is not told."""
        try:
            user = record(self._http, ME, self._http.read(ME)).get("user") or {}
        except NotFound:
            return None
        return optional_id(user.get("id"))

    def _read_brands(self) -> dict[str, str]:
        """Return the names of the brands; none where the account has no such thing, or this user may not see it."""
        try:
            brands = list(read_all(self._http, BRANDS, "brands"))
        except (NotFound, CredentialsRefused) as exc:
            if exc.status == 401:
                raise
            return {}
        hosts = {str(b["name"]): b["brand_url"] for b in brands if str(b.get("brand_url")).startswith("https://")}
        self._tools.memory.remember(BRAND_HOSTS, hosts)
        return {str(brand["id"]): str(brand["name"]) for brand in brands}

    def addresses(self, requester_ids: Sequence[str]) -> dict[str, str]:
        """Return the e-mail addresses of requesters, 100 per call; those without one are left out."""
        found = {}
        for first in range(0, len(requester_ids), PAGE_SIZE):
            ids = ",".join(requester_ids[first : first + PAGE_SIZE])
            body = self._http.read(f"{USERS}/show_many", {"ids": ids})
            users = rows(self._http, USERS, body, "users")
            found.update({str(user["id"]): str(user["email"]) for user in users if user.get("email")})
        return found

    def has_presence(self) -> bool:
        """True if the account tells who is there."""
        self._read_presence()
        return self._tools.memory.recall(_NO_PRESENCE, _NO_PRESENCE_AGE) is None

    def _read_presence(self) -> dict[str, Mapping[str, Any]]:
        """Return each agent's status {name, updated_at}; empty where the account has no such thing."""
        if self._tools.memory.recall(_NO_PRESENCE, _NO_PRESENCE_AGE):
            return {}
        found: dict[str, Mapping[str, Any]] = {}
        position: str | None = None
        try:
            while True:
                body = read_page(self._http, PRESENCE, PAGED, position)
                for resource in rows(self._http, PRESENCE, body, "data"):
                    attributes = resource.get("attributes") or {}
                    found[str(attributes.get("agent_id"))] = attributes.get("agent_status") or {}
                after = next_position(body)
                if after is None or after == position:
                    return found
                position = after
        except (NotFound, CredentialsRefused) as exc:
            if exc.status == 401:  # seen where the account has no omnichannel routing
                self._http.read(ME)  # raises if it is the credentials after all
            self._tools.memory.remember(_NO_PRESENCE, True)
            return {}


def agent_from(
    user: Mapping[str, Any],
    memberships: Sequence[Mapping[str, Any]],
    presence: Mapping[str, Any] | None,
    out_of_office: Sequence[str],
) -> Agent:
    """Make an agent of a user, the memberships in groups that exist, and the presence where it is known."""
    groups = tuple(sorted({str(membership["group_id"]) for membership in memberships}, key=_by_number))
    default = next((m["group_id"] for m in memberships if m.get("default")), user.get("default_group_id"))
    status = presence or {}
    return Agent(
        agent_id=str(user["id"]),
        name=user.get("name") or "",
        email=user.get("email") or "",
        group_ids=groups,
        default_group_id=optional_id(default) if optional_id(default) in groups else None,
        unusable=why_unusable(user, groups),
        away_since=_away_since(status),
        out_of_office=_out_of_office(user, str(status.get("name") or ""), out_of_office),
        time_zone=user.get("iana_time_zone") or user.get("time_zone"),
    )


def why_unusable(user: Mapping[str, Any], groups: Sequence[str]) -> str | None:
    """Return why a user cannot be given a ticket to answer, or None."""
    found = (
        (user.get("active") is False, "deleted"),
        (user.get("suspended"), "suspended"),
        (user.get("role") not in ("agent", "admin"), "not an agent any more"),
        (user.get("role_type") in _ROLE_TYPES, _ROLE_TYPES.get(user.get("role_type") or 0)),
        (user.get("chat_only"), "chat agent only"),
        (user.get("only_private_comments"), "cannot reply publicly"),
        (not groups, "in no group"),
    )
    return next((why for is_so, why in found if is_so), None)


def _out_of_office(user: Mapping[str, Any], status: str, names: Sequence[str]) -> str | None:
    """Return the tag, field or status that says that this agent is out of office."""
    tags, fields = user.get("tags") or (), user.get("user_fields") or {}
    for name in names:
        if name in tags:
            return f"tag {name}"
        if fields.get(name):
            return f"field {name}"
    return f"status {status}" if any(word in status.lower() for word in _ABSENT_WORDS) else None


def _away_since(status: Mapping[str, Any]) -> datetime | None:
    if str(status.get("name") or "").lower() not in _NOT_HERE or not status.get("updated_at"):
        return None
    return datetime.fromisoformat(status["updated_at"])


def _by_number(group_id: str) -> tuple[int, str]:
    return len(group_id), group_id


def to_json(directory: Directory) -> dict[str, Any]:
    """Return a directory as JSON values."""
    agents = [asdict(agent) for agent in directory.agents.values()]
    for agent in agents:
        agent["away_since"] = agent["away_since"].isoformat() if agent["away_since"] else None
    return {
        "read_at": directory.read_at.isoformat(),
        "agents": agents,
        "groups": dict(directory.groups),
        "brands": dict(directory.brands),
        "own_id": directory.own_id,
    }


def from_json(kept: Mapping[str, Any]) -> Directory:
    """Return the directory that `to_json` wrote."""
    agents = {}
    for values in kept["agents"]:
        away = values["away_since"]
        changed = {
            "group_ids": tuple(values["group_ids"]),
            "away_since": datetime.fromisoformat(away) if away else None,
        }
        agents[values["agent_id"]] = Agent(**{**values, **changed})
    read_at = datetime.fromisoformat(kept["read_at"])
    return Directory(read_at, agents, kept["groups"], kept["brands"], kept.get("own_id"))
