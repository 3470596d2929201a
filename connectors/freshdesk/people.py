"""The people, groups and products of an account, read seldom and remembered.

`contact.active` means a verified address, `available` automatic assignment: neither says whether an agent works.
Source: developers.freshdesk.com/api, Agents, Groups and Products (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bridge.connector import Tools
from bridge.errors import BadRecord, Refused
from bridge.model import Agent, Directory
from connectors.freshdesk.api import UNREADABLE, Api, as_text, moment

SUPPORT_AGENT, FIELD_GROUP = "support_agent", "field_agent_group"
GLOBAL_SCOPE = 1
KINDS = {"collaborator": "is a collaborator", "field_agent": "is a field agent"}


class People:
    """The staff of one account. *out_of_office* are statuses that mean absence."""

    def __init__(self, api: Api, tools: Tools, out_of_office: Iterable[str] = ()) -> None:
        self.api = api
        self.tools = tools
        self.out_of_office = frozenset(status.casefold() for status in out_of_office)
        self._directory: Directory | None = None

    def directory(self, *, fresh: bool = False) -> Directory:
        """Return agents, groups and brands, from memory unless too old or *fresh* is asked for."""
        kept = None if fresh else self._directory
        if kept and self.tools.now() - kept.read_at <= self.tools.directory_age:
            return kept
        known = None if fresh else self.tools.memory.recall("directory", self.tools.directory_age)
        if known is None:
            known = self._read(fresh=fresh)
            self.tools.memory.remember("directory", known)
        self._directory = Directory(
            read_at=moment(known["read_at"]),
            agents={row["agent_id"]: _agent(row) for row in known["agents"]},
            groups=known["groups"],
            brands=known["brands"],
            own_id=known.get("own_id"),
        )
        return self._directory

    def brands(self, *, fresh: bool = False) -> dict[str, str]:
        """Return the names of the products by id; Freshdesk's products are what Zendesk calls brands."""
        known: dict[str, str] | None = None if fresh else self.tools.memory.recall("brands", self.tools.directory_age)
        if known is None:
            known = {str(row["id"]): row["name"] for row in self.api.rows_if_offered("products") or ()}
            self.tools.memory.remember("brands", known)
        return known

    def availability(self) -> dict[str, dict[str, Any]] | None:
        """Return what the account says about the presence of each agent; None where it has no such list."""
        try:
            rows = self.api.rows_if_offered("agents", {"only": "availability"}) or ()
        except Refused:  # an account that knows no such parameter
            return None
        # UNVERIFIED: older accounts may refuse, or answer with the plain list of agents
        if not any("channel_availability" in row for row in rows):
            return None
        return {str(row.get("agent_ref") or row.get("id")): row for row in rows}

    def _read(self, *, fresh: bool) -> dict[str, Any]:
        try:
            agents = [vars(agent) for agent in self.api.library.agents.list_agents()]
            groups = [vars(group) for group in self.api.library.groups.list_groups()]
        except UNREADABLE as exc:
            raise BadRecord(f"{self.api.account}: an agent or group lacks a field that every one has ({exc})") from exc
        groups = [group for group in groups if group.get("group_type") != FIELD_GROUP]
        groups_of: dict[int, list[str]] = {}
        for group in groups:
            for agent_id in self._members(group, fresh=fresh):
                groups_of.setdefault(agent_id, []).append(str(group["id"]))
        presence = self.availability() or {}
        return {
            "read_at": as_text(self.tools.now()),
            "agents": [self._row(a, groups_of.get(a["id"], []), presence.get(str(a["id"]), {})) for a in agents],
            "groups": {str(group["id"]): group["name"] for group in groups},
            "brands": self.brands(fresh=fresh),
            "own_id": self._own_id(),
        }

    def _own_id(self) -> str | None:
        me = self.api.read_if_offered("agents/me") or {}
        return str(me["id"]) if me.get("id") else None

    def _members(self, group: Mapping[str, Any], *, fresh: bool) -> list[int]:
        """Return the ids of a group's agents; remembered one by one, so that a small rate limit is enough."""
        name = f"members:{group['id']}"
        known: list[int] | None = None if fresh else self.tools.memory.recall(name, self.tools.directory_age)
        if known is None:
            known = list(self.api.record(f"groups/{group['id']}").get("agent_ids") or ())
            self.tools.memory.remember(name, known)
        return known

    def _row(self, agent: Mapping[str, Any], groups: list[str], presence: Mapping[str, Any]) -> dict[str, Any]:
        """Return one agent as JSON that `_agent` reads."""
        contact = agent.get("contact") or {}
        away_since = _away_since(presence.get("channel_availability") or ())
        return {
            "agent_id": str(agent["id"]),
            "name": contact.get("name") or f"agent {agent['id']}",
            "email": contact.get("email") or "",
            "group_ids": groups,
            "unusable": _unusable(agent, groups, presence),
            "away_since": as_text(away_since) if away_since else None,
            "out_of_office": self._out_of_office(agent, presence),
            "time_zone": contact.get("time_zone"),
        }

    def _out_of_office(self, agent: Mapping[str, Any], presence: Mapping[str, Any]) -> str | None:
        # UNVERIFIED what these look like; an id of a status has no documented name
        statuses = [agent.get("agent_operational_status")]
        statuses += [channel.get("status_id") for channel in presence.get("channel_availability") or ()]
        said = (str(status) for status in statuses if status)
        return next((f"status {status}" for status in said if status.casefold() in self.out_of_office), None)


def _agent(row: Mapping[str, Any]) -> Agent:
    away_since = row["away_since"]
    return Agent(**{**row, "group_ids": tuple(row["group_ids"]), "away_since": away_since and moment(away_since)})


def _unusable(agent: Mapping[str, Any], groups: list[str], presence: Mapping[str, Any]) -> str | None:
    kind = agent.get("type") or SUPPORT_AGENT
    if agent.get("deactivated") or presence.get("deactivated"):
        return "is deactivated"
    if kind != SUPPORT_AGENT:
        return KINDS.get(kind, f"is a {kind}")
    if agent.get("ticket_scope", GLOBAL_SCOPE) != GLOBAL_SCOPE and not groups:
        return "sees only the tickets of their groups and is in none"
    return None


def _away_since(channels: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Return when the last channel was left, if every one is left; `available: false` alone is not absence."""
    channels = list(channels)
    if any(channel.get("available") or channel.get("logged_in") for channel in channels):
        return None
    return max((moment(at) for c in channels if (at := c.get("availability_updated_at"))), default=None)
